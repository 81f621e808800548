"""Forwards and discounts of a chain from put-call parity, with errors, and what they imply about carry.

Each strike with both sides quoted measures discount * (forward - strike) to within the two half-spreads.
Over the strikes of an expiry that is a line: its zero is the forward, its slope the discount. The line starts
from the weighted median of the strikes' forwards (half of the strikes may be wrong), then a few reweighted
passes with Huber's loss, the prior exp(-rate * years) counting as one more measurement of the slope; few
strikes near the money leave the slope to the prior. A strike that misses the line by 1.5 half-widths of its
interval is rejected and reported.

For AMERICAN quotes the slope measures early exercise rather than interest: the prior stands, and strikes
fade with their distance from the spot. Take the early exercise premium off the quotes first where it is known
(``parity_american.exercise_premium``): a tenth of the bias is left then, a hundredth after twice.

Errors are standard errors under quotes uniform within their spreads and independent between strikes,
widened where the strikes disagree by more than that. Beside them stands the interval of forwards on
which all accepted strikes allow no arbitrage.
"""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.surface.forwards.forward import CARRY, MAX_PRICE, NONE, PARITY, two_sided, weighted_median
from gpu.surface.layout import SurfaceChain
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]
U1: TypeAlias = npt.NDArray[np.uint8]

#: Columns of a parity row.
P_FORWARD, P_FORWARD_ERROR, P_DISCOUNT, P_DISCOUNT_ERROR, P_LOW, P_HIGH, P_VOTES, P_USED, P_STATUS = range(9)
PARITY_COLUMNS = 9
#: Rows of scratch.
PARITY_WORK = 7

_HUBER = 1.5  # standard deviations
_PASSES = 8
_AGREE = 1.5  # half-widths of the interval
_RATE_ERROR = 0.01  # one sd of the funding rate around the given one, per year
_DISCOUNT_ERROR = 1e-5  # and its floor, so that an expiry of today keeps its discount of one
_LEAST_HALF = 1e-5  # of spot: a locked market is not known better
_MAX_GAP, _MAX_GAP_PER_YEAR = 0.02, 0.15  # credible |ln(forward / spot)|, as in forward.py


@kernel(allocates=True, internal=True)
def _measurements(strike: F8, quotes: F8, spot: float, years: float, discount: float, american: bool, work: F8) -> int:
    """Work rows 0 strike, 1 call - put, 2 half-width, 3 weight (1 / variance), 4 forward, 6 row; their number."""
    count = 0
    reach = min(max(0.15 * math.sqrt(years), 0.01), 0.1)
    for i in range(strike.shape[0]):
        if not (two_sided(quotes[0, i], quotes[1, i]) and two_sided(quotes[2, i], quotes[3, i])):
            continue
        call, put = 0.5 * (quotes[1, i] - quotes[0, i]), 0.5 * (quotes[3, i] - quotes[2, i])
        least = _LEAST_HALF * spot
        variance = max(call * call + put * put, least * least) / 3.0
        fade = 1.0
        if american:
            away = math.log(strike[i] / spot) / reach
            fade = 1.0 / ((1.0 + away * away) * (1.0 + away * away))
        work[0, count] = strike[i]
        work[1, count] = 0.5 * (quotes[0, i] + quotes[1, i] - quotes[2, i] - quotes[3, i])
        work[2, count] = max(call + put, least)
        work[3, count] = fade / variance
        work[4, count] = strike[i] + work[1, count] / discount
        work[6, count] = i
        count += 1
    return count


@kernel(allocates=True, internal=True)
def _line(work: F8, count: int, start: float, prior: float, prior_error: float, free: bool, out: F8) -> None:
    """Reweighted line through the measurements: forward, discount and their errors to ``out``."""
    forward, discount = start, prior
    information = 1.0 / (prior_error * prior_error) if free else 1e30
    for step in range(_PASSES + 1):
        s0, s1, s2, sy, sxy, chi, chi_weight, accepted = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
        for i in range(count):
            x = forward - work[0, i]
            miss = work[1, i] - discount * x
            allowance = _AGREE * work[2, i]
            if free and step == 0:  # before the slope is known it is known as well as the prior is
                allowance += 3.0 * prior_error * abs(x)
            if abs(miss) > allowance and step < _PASSES:
                continue  # an outlier must not lever the slope
            size = abs(miss) * math.sqrt(work[3, i])
            weight = work[3, i] * min(1.0, _HUBER / max(size, 1e-300))
            s0 += weight
            s1 += weight * x
            s2 += weight * x * x
            sy += weight * miss
            sxy += weight * miss * x
            if abs(miss) <= _AGREE * work[2, i]:
                chi += weight * miss * miss
                chi_weight += weight
                accepted += 1
        if s0 <= 0.0:
            break
        # Corrections (level, slope) of y = level + discount x, the prior pulling the slope back.
        pull = information * (prior - discount)
        det = s0 * (s2 + information) - s1 * s1
        level = (sy * (s2 + information) - s1 * (sxy + pull)) / det
        slope = (s0 * (sxy + pull) - s1 * sy) / det
        if step < _PASSES:
            discount += slope
            forward += level / discount
        else:
            wide = 1.0
            if accepted > 2:
                wide = max(chi / (accepted - 1.0) * (s0 / chi_weight), 1.0)
            out[P_FORWARD_ERROR] = math.sqrt(wide * (s2 + information) / det) / discount
            out[P_DISCOUNT_ERROR] = min(math.sqrt(wide * s0 / det), prior_error) if free else prior_error
    out[P_FORWARD], out[P_DISCOUNT] = forward, discount


@kernel(allocates=True, internal=True)
def _interval(work: F8, count: int, rejected: U1, out: F8) -> int:
    """Reject what the line leaves 1.5 half-widths away; the interval of the others. Returns their number."""
    low, high, used = -math.inf, math.inf, 0
    forward, discount = out[P_FORWARD], out[P_DISCOUNT]
    for i in range(count):
        middle = work[0, i] + work[1, i] / discount
        half = work[2, i] / discount
        if abs(middle - forward) > _AGREE * half:
            rejected[int(work[6, i])] = 1
        else:
            low, high = max(low, middle - half), min(high, middle + half)
            used += 1
    out[P_LOW], out[P_HIGH] = (low, high) if used > 0 else (math.nan, math.nan)
    return used


@kernel(allocates=True, internal=True)
def fit_parity(strike: F8, quotes: F8, spot: float, years: float, rate: float, american: bool, rejected: U1, out: F8,
               work: F8, order: I8) -> int:  # fmt: skip
    """Forward and discount of one expiry: the columns P_* to ``out``; returns ``ForwardStatus``.

    ``quotes`` float64[4, n]: call bid, call ask, put bid, put ask at ``strike`` [n]; a missing side is NaN or
    <= 0. ``rejected`` uint8[n] becomes 1 where a strike was outvoted. ``work`` float64[PARITY_WORK, >= n],
    ``order`` int64[>= n] scratch. CARRY (no whole pair, or one that contradicts the spot): the forward is
    spot * exp(rate * years), its error infinite. NONE: NaN. About 1 us for 10 strikes, 20 for 100.
    """
    out[:PARITY_COLUMNS] = math.nan
    out[P_VOTES], out[P_USED], out[P_STATUS] = 0.0, 0.0, NONE
    rejected[:] = 0
    if not (0.0 < spot < MAX_PRICE and 0.0 < years < math.inf and abs(rate) < 10.0):
        return NONE
    prior = math.exp(-rate * years)
    prior_error = max(_RATE_ERROR * years * prior, _DISCOUNT_ERROR)
    count = _measurements(strike, quotes, spot, years, prior, american, work)
    out[P_VOTES] = count
    if count > 0:
        start = weighted_median(work[4], work[3], order, count)
        _line(work, count, start, prior, prior_error, not american and count >= 2, out)
        used = _interval(work, count, rejected, out)
        forward = out[P_FORWARD]
        if used > 0 and forward > 0.0 and abs(math.log(forward / spot)) <= _MAX_GAP + _MAX_GAP_PER_YEAR * years:
            out[P_USED], out[P_STATUS] = used, PARITY
            return PARITY
        rejected[:] = 1
    out[P_FORWARD], out[P_DISCOUNT], out[P_STATUS] = spot / prior, prior, CARRY
    out[P_FORWARD_ERROR], out[P_DISCOUNT_ERROR] = math.inf, prior_error
    out[P_LOW], out[P_HIGH] = math.nan, math.nan
    return CARRY


class ParityCurve(NamedTuple):
    """What parity says about each of e expiries; arrays float64[e] unless said otherwise, errors one sd."""

    years: F8
    status: I8  # ForwardStatus [e]
    votes: I8  # strikes with both sides quoted
    used: I8  # of these, how many agree
    forward: F8
    forward_error: F8
    forward_low: F8  # no accepted strike allows arbitrage against a forward between these;
    forward_high: F8  # low > high: the accepted strikes contradict each other by less than a half-spread
    discount: F8
    discount_error: F8
    rate: F8  # -ln(discount) / years
    dividend_yield: F8  # continuous: rate - ln(forward / spot) / years; borrow cost counts as dividend
    dividend_yield_error: F8
    dividend_pv: F8  # spot - discount * forward: all that the holder of the share gets until expiry, today's worth
    dividend_pv_error: F8
    borrow: F8  # the yield that is left once the given cash dividends are taken out
    rejected: U1  # [pairs] 1: this strike was outvoted; pairs as in ``SurfaceChain``


def curve_of(rows: F8, rejected: U1, years: F8, spot: float, cash_dividends: F8) -> ParityCurve:
    """The term structures that follow from parity rows float64[e, PARITY_COLUMNS]."""
    forward, discount = rows[:, P_FORWARD], rows[:, P_DISCOUNT]
    sd_forward, sd_discount = rows[:, P_FORWARD_ERROR], rows[:, P_DISCOUNT_ERROR]
    with np.errstate(all="ignore"):
        rate = -np.log(discount) / years
        # The present value of the forward is what the level of the line measures: its error carries the
        # forward's alone, since the forward's error is taken where the line crosses zero.
        error_pv = np.hypot(discount * sd_forward, forward * sd_discount)
        left = spot - cash_dividends
        return ParityCurve(
            years=years.copy(), status=rows[:, P_STATUS].astype(np.int64), votes=rows[:, P_VOTES].astype(np.int64),
            used=rows[:, P_USED].astype(np.int64), forward=forward.copy(), forward_error=sd_forward.copy(),
            forward_low=rows[:, P_LOW].copy(), forward_high=rows[:, P_HIGH].copy(), discount=discount.copy(),
            discount_error=sd_discount.copy(), rate=rate, dividend_yield=rate - np.log(forward / spot) / years,
            dividend_yield_error=error_pv / (discount * forward * years), dividend_pv=spot - discount * forward,
            dividend_pv_error=error_pv, borrow=rate - np.log(forward / left) / years, rejected=rejected.copy(),
        )  # fmt: skip


@kernel(allocates=True)
def parity_rows(pair_strike: F8, pair_first: I8, quotes: F8, years: F8, spot: float, rate: F8, american: bool,
                rows: F8, rejected: U1, work: F8, order: I8) -> None:  # fmt: skip
    """:func:`fit_parity` of every expiry; ``quotes`` float64[4, pairs], ``rows`` float64[e, PARITY_COLUMNS]."""
    for e in range(years.shape[0]):
        a, b = pair_first[e], pair_first[e + 1]
        fit_parity(
            pair_strike[a:b], quotes[:, a:b], spot, years[e], rate[e], american, rejected[a:b], rows[e], work, order
        )  # fmt: skip


def parity_curve(
    chain: SurfaceChain,
    bid: npt.ArrayLike,
    ask: npt.ArrayLike,
    spot: float,
    rate: npt.ArrayLike,
    cash_dividends: npt.ArrayLike = 0.0,
) -> ParityCurve:
    """Forwards, discounts and carry of a chain from its quotes, with errors; never raises on quotes.

    Parameters
    ----------
    chain
        Which contract each row is.
    bid, ask
        float64[n] in currency; NaN or <= 0 is no quote. American quotes: with the early exercise premium taken off
        for an unbiased forward (see ``exercise_premium``), as they are for one biased by a few cents.
    spot
        Price of the underlying; NaN: every status is NONE.
    rate
        Prior of the funding rate per year, one number or one per expiry (a discount curve).
    cash_dividends
        Known present value of the cash dividends until each expiry, one number or one per expiry; what is
        left of the carry is ``borrow``.

    """
    quotes = chain.pair_quotes(bid, ask)
    e, longest = len(chain.years), chain.longest
    rows = np.full((e, PARITY_COLUMNS), np.nan)
    rejected = np.zeros(len(chain.pair_strike), np.uint8)
    rates = np.ascontiguousarray(np.broadcast_to(np.asarray(rate, np.float64), (e,)))
    parity_rows(
        chain.pair_strike, chain.pair_first, quotes, chain.years, float(spot), rates, chain.american, rows, rejected,
        np.zeros((PARITY_WORK, longest)), np.zeros(longest, np.int64),
    )  # fmt: skip
    dividends = np.broadcast_to(np.asarray(cash_dividends, np.float64), (e,))
    return curve_of(rows, rejected, chain.years, float(spot), dividends)
