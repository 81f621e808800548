"""Kernels of the chain pricer: calibrate one expiry, refresh every series. Their arrays, too.

The object around them is ``theo.ChainPricer``. One thread owns a chain's arrays.

What a series is worth: Black's European value on the volatility that the expiry's smile has at its
strike, not under intrinsic if it is AMERICAN, plus a residual: the bounded distance by which the
market, without our own orders, disagrees with the smile. Volatilities are sticky by strike between
two calibrations and the forward keeps its ratio to the spot, so a refresh is one Black value a row.

Where the European value matters: an American deep in-the-money put is worth up to strike * (1 -
discount) more than its European twin (calls likewise, where carry is negative). Quotes away from the
money are implied on the other side, where early exercise is worth next to nothing, so the smile is
right; the missing premium of the in-the-money series is inside the residual's bound, hence in theo
where the market shows it, but not in the Greeks.
"""

import math
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.greeks import MIN_DEVIATION, black_price
from gpu.implied.black import OK as IV_OK
from gpu.implied.black import implied_deviation
from gpu.maths.normal import norm_cdf, norm_pdf
from gpu.surface.forward import CARRY, MAX_PRICE, NONE, PARITY, parity_forward, two_sided
from gpu.surface.smile import NONE as NO_PARAMS
from gpu.surface.smile import fit_smile, smile_variance
from market.calendar import calendar_years
from market.enums import FrameKind
from market.jit import kernel
from market.records import packed

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]


class TheoStatus(IntEnum):
    """Of one THEO row. 0 may be quoted; the rest may not.

    Values are present (for risk) with OK, STALE, OFF_MARKET and EXPIRED, and zero otherwise.
    """

    OK = 0
    NOT_CALIBRATED = 1  # its expiry has not been calibrated yet
    EXPIRED = 2  # now >= expiry: theo is the intrinsic value, Greeks are zero
    NO_FORWARD = 3  # never calibrated: there was no usable spot or forward
    NO_SMILE = 4  # never calibrated: no usable out-of-the-money quote in its expiry
    BAD_SPOT = 5  # this refresh's spot is not a positive number under 1e9
    STALE = 6  # the last successful calibration of its expiry is older than the setting
    OFF_MARKET = 7  # the market ex own is further from the smile than the residual may reach


OK = int(TheoStatus.OK)
NOT_CALIBRATED = int(TheoStatus.NOT_CALIBRATED)
EXPIRED = int(TheoStatus.EXPIRED)
NO_FORWARD = int(TheoStatus.NO_FORWARD)
NO_SMILE = int(TheoStatus.NO_SMILE)
BAD_SPOT = int(TheoStatus.BAD_SPOT)
STALE = int(TheoStatus.STALE)
OFF_MARKET = int(TheoStatus.OFF_MARKET)
THEO_KIND = int(FrameKind.THEO)

#: One expiry. ``status`` is a TheoStatus: that of the last success, or why there never was one.
SLICE = packed(
    [
        ("expiry_ns", "<i8"),
        ("calibrated_ns", "<i8"),  # last success
        ("attempted_ns", "<i8"),  # last try
        ("forward", "<f8"),
        ("forward_ratio", "<f8"),  # forward / spot, kept between calibrations
        ("discount_rate", "<f8"),  # continuous, per year
        ("carry", "<f8"),  # ln(forward / spot) / years, clamped: enters theta alone
        ("years", "<f8"),
        ("money_vol", "<f8"),  # at the forward
        ("status", "<i4"),
        ("forward_status", "<i4"),  # ForwardStatus
        ("smile_status", "<i4"),  # SmileStatus
        ("votes", "<i4"),  # strikes behind the forward
        ("points", "<i4"),  # two-sided out-of-the-money quotes behind the smile
        ("inside", "<i4"),  # of these, how many bid-asks hold the smile's own value (no residual)
        ("off_market", "<i4"),  # rows beyond the residual's reach
        ("american", "<i4"),
    ]
)


class Knob(IntEnum):
    """Index into the settings array of the kernels; see ``theo.PricerSettings``."""

    RESIDUAL_INSET = 0
    RESIDUAL_CAP_VOL = 1
    RESIDUAL_CAP_SPREAD = 2
    RESIDUAL_CAP_PRICE = 3
    MIN_HALF_SPREAD = 4
    STALE_AFTER_NS = 5
    RESIDUAL_ON = 6


RESIDUAL_INSET = int(Knob.RESIDUAL_INSET)
RESIDUAL_CAP_VOL = int(Knob.RESIDUAL_CAP_VOL)
RESIDUAL_CAP_SPREAD = int(Knob.RESIDUAL_CAP_SPREAD)
RESIDUAL_CAP_PRICE = int(Knob.RESIDUAL_CAP_PRICE)
MIN_HALF_SPREAD = int(Knob.MIN_HALF_SPREAD)
STALE_AFTER_NS = int(Knob.STALE_AFTER_NS)
RESIDUAL_ON = int(Knob.RESIDUAL_ON)

_MAX_CARRY = 0.25  # per year; parity over two hours says 300 % and means one cent
_MIN_CARRY_YEARS = 7.0 / 365.0
_MAX_VOL = 5.0  # an implied volatility above 500 % is a bad quote


class Chain(NamedTuple):
    """All arrays of one chain. m rows (series, by instrument number), p strikes over all expiries, e expiries."""

    strike: F8  # [m]
    right: I8  # [m] +1, -1
    american: I8  # [m] 0, 1
    expiry: I8  # [m] index into slices
    instrument: I8  # [m]
    pair_strike: F8  # [p] ascending within an expiry
    pair_call: I8  # [p] row, -1 none
    pair_put: I8  # [p]
    pair_first: I8  # [e + 1]
    slice_row: I8  # [m] rows grouped by expiry
    slice_first: I8  # [e + 1]
    slices: Any  # SLICE[e]
    params: F8  # [e, SMILE_PARAMS]
    vol: F8  # [m]
    residual: F8  # [m] currency
    quality: I8  # [m] OK or OFF_MARKET
    quotes: F8  # scratch [8, longest expiry]
    work: F8  # scratch [WORK_ROWS, longest expiry or 64]
    order: I8  # scratch [longest expiry]
    trial: F8  # scratch [2, SMILE_PARAMS]
    knobs: F8  # [Knob]


@kernel(inline=True)
def _side(prices: F8, instrument: I8, row: int) -> float:
    """Price of a row's side, NaN where there is no row or no quote."""
    if row < 0:
        return math.nan
    price = prices[instrument[row]]
    return price if 0.0 < price < MAX_PRICE else math.nan


@kernel(allocates=True)
def _forward_of(chain: Chain, e: int, bid: F8, ask: F8, spot: float, years: float, rate: float
                ) -> tuple[float, float, int, int]:  # fmt: skip
    """Parity forward of expiry ``e``; leaves its quotes in ``chain.quotes`` (call bid, ask, put bid, ask)."""
    first, last = chain.pair_first[e], chain.pair_first[e + 1]
    quotes, n = chain.quotes, last - first
    for i in range(n):
        call, put = chain.pair_call[first + i], chain.pair_put[first + i]
        quotes[0, i] = _side(bid, chain.instrument, call)
        quotes[1, i] = _side(ask, chain.instrument, call)
        quotes[2, i] = _side(bid, chain.instrument, put)
        quotes[3, i] = _side(ask, chain.instrument, put)
    return parity_forward(
        chain.pair_strike[first:last], quotes[0, :n], quotes[1, :n], quotes[2, :n], quotes[3, :n],
        spot, years, rate, chain.slices[e].american != 0, chain.work, chain.order,
    )  # fmt: skip


@kernel(allocates=True)
def _smile_points(chain: Chain, e: int, forward: float, discount: float, years: float) -> int:
    """Out-of-the-money points to ``chain.quotes`` rows 4 k, 5 variance, 6 half-spread; their number."""
    first, last = chain.pair_first[e], chain.pair_first[e + 1]
    quotes, count = chain.quotes, 0
    highest = _MAX_VOL * math.sqrt(years)
    for i in range(last - first):
        strike = chain.pair_strike[first + i]
        right = 1 if strike >= forward else -1
        bid, ask = (quotes[0, i], quotes[1, i]) if right > 0 else (quotes[2, i], quotes[3, i])
        if not two_sided(bid, ask):
            continue
        deviation, status = implied_deviation(0.5 * (bid + ask) / discount, forward, strike, right)
        if status != IV_OK or deviation > highest:
            continue
        k = math.log(strike / forward)
        d1 = -k / deviation + 0.5 * deviation
        slope = 0.5 * discount * forward * norm_pdf(d1) / deviation  # of the price in total variance
        half = max(0.5 * (ask - bid), chain.knobs[MIN_HALF_SPREAD])
        if slope <= 1e-12 * half:
            continue
        quotes[4, count], quotes[5, count], quotes[6, count] = k, deviation * deviation, half / slope
        count += 1
    return count


@kernel(allocates=True)
def _residual(theo: float, bid: float, ask: float, reach: float, floor: float, knobs: F8) -> tuple[float, int]:
    """(bounded correction that moves ``theo`` into the market, OK or OFF_MARKET).

    NaN sides say nothing; of a crossed market (one side is old) the truth is taken to lie between its
    sides. ``reach`` excludes the part that grows with the spread, which is added here.
    """
    low, high = 0.0, math.inf
    if bid > 0.0:
        low = bid
    if ask > 0.0:
        high = ask
    crossed = low > high
    if crossed:
        low, high = high, low
    inner_low, inner_high = low, high
    if bid > 0.0 and ask > 0.0 and not crossed:
        inset = knobs[RESIDUAL_INSET] * (ask - bid)
        inner_low, inner_high = low + inset, high - inset
        reach += knobs[RESIDUAL_CAP_SPREAD] * (ask - bid)
    correction = 0.0
    if knobs[RESIDUAL_ON] > 0.0:
        correction = min(max(theo, inner_low), inner_high) - theo
        correction = min(max(correction, -reach), reach)
    tolerance = 1e-9 * (1.0 + theo)
    value = max(theo + correction, floor)  # as refresh will have it
    return correction, OK if low - tolerance <= value <= high + tolerance else OFF_MARKET


@kernel(allocates=True)
def _store_rows(chain: Chain, e: int, bid: F8, ask: F8, spot: float, forward: float, discount: float, years: float
                ) -> int:  # fmt: skip
    """Volatility, residual and quality of every series of expiry ``e``; returns the number OFF_MARKET."""
    off, root = 0, math.sqrt(years)
    for j in range(chain.slice_first[e], chain.slice_first[e + 1]):
        row = chain.slice_row[j]
        strike, right = chain.strike[row], chain.right[row]
        deviation = math.sqrt(smile_variance(chain.params[e], math.log(strike / forward)))
        theo = discount * black_price(forward, strike, deviation, right)
        d1 = math.log(forward / strike) / deviation + 0.5 * deviation
        vega = discount * forward * norm_pdf(d1) * root
        reach = chain.knobs[RESIDUAL_CAP_PRICE] + chain.knobs[RESIDUAL_CAP_VOL] * vega
        floor = 0.0
        if chain.american[row] != 0:
            floor = max(right * (spot - strike), 0.0)
            theo = max(theo, floor)
            # the most that early exercise can be worth: the interest on the strike, or the carry on the share
            reach += max(strike * (1.0 - discount) if right < 0 else spot - forward * discount, 0.0)
        sides_bid, sides_ask = _side(bid, chain.instrument, row), _side(ask, chain.instrument, row)
        chain.vol[row] = deviation / root
        chain.residual[row], chain.quality[row] = _residual(theo, sides_bid, sides_ask, reach, floor, chain.knobs)
        off += 1 if chain.quality[row] != OK else 0
    return off


@kernel(allocates=True)
def _count_inside(chain: Chain, e: int, forward: float, discount: float) -> int:
    """Two-sided out-of-the-money quotes of expiry ``e`` that hold the smile's own value."""
    first, last = chain.pair_first[e], chain.pair_first[e + 1]
    inside = 0
    for i in range(last - first):
        strike = chain.pair_strike[first + i]
        right = 1 if strike >= forward else -1
        bid, ask = (chain.quotes[0, i], chain.quotes[1, i]) if right > 0 else (chain.quotes[2, i], chain.quotes[3, i])
        if two_sided(bid, ask):
            deviation = math.sqrt(smile_variance(chain.params[e], math.log(strike / forward)))
            theo = discount * black_price(forward, strike, deviation, right)
            inside += 1 if bid - 1e-9 <= theo <= ask + 1e-9 else 0
    return inside


@kernel(allocates=True)
def _neighbours_carry(chain: Chain, e: int, rate: float) -> float:
    """Carry per year of the nearest expiry whose forward came from parity; ``rate`` where there is none."""
    carry, nearest = rate, math.inf
    for other in range(chain.slices.shape[0]):
        piece = chain.slices[other]
        # Under a week the quotient of a cent by the time says nothing about a year.
        if piece.calibrated_ns != 0 and piece.forward_status == PARITY and piece.years > _MIN_CARRY_YEARS:
            apart = abs(float(piece.expiry_ns - chain.slices[e].expiry_ns))
            if other != e and apart < nearest:
                carry, nearest = piece.carry, apart
    return carry


@kernel(allocates=True)
def calibrate_slice(chain: Chain, e: int, bid: F8, ask: F8, spot: float, now_ns: int, rate: float) -> int:
    """Calibrate expiry ``e`` on the market's quotes; returns a TheoStatus (OK = success).

    ``bid``, ``ask``: currency by instrument number, NaN or <= 0 = none. A failure leaves the last
    success in place, which then ages into STALE. About 0.5 ms for 100 strikes.
    """
    piece = chain.slices[e]
    piece.attempted_ns = now_ns
    years = calendar_years(now_ns, piece.expiry_ns)
    if years <= 0.0:
        return EXPIRED
    never = piece.calibrated_ns == 0
    forward, discount, forward_status, votes = _forward_of(chain, e, bid, ask, spot, years, rate)
    if forward_status == NONE:
        if never:
            piece.status = NO_FORWARD
        return NO_FORWARD
    if forward_status == CARRY:
        forward = spot * math.exp(_neighbours_carry(chain, e, rate) * years)
    points = _smile_points(chain, e, forward, discount, years)
    quotes, fresh = chain.quotes, chain.trial[0]
    smile_status = fit_smile(quotes[4], quotes[5], quotes[6], points, fresh, chain.trial[1], chain.work)
    if smile_status == NO_PARAMS:
        if never:
            piece.status = NO_SMILE
        return NO_SMILE
    chain.params[e, :] = fresh
    carry = math.log(forward / spot) / years
    piece.calibrated_ns = now_ns
    piece.forward, piece.forward_ratio = forward, forward / spot
    piece.discount_rate = -math.log(discount) / years
    piece.carry = min(max(carry, -_MAX_CARRY), _MAX_CARRY)
    piece.years = years
    piece.money_vol = math.sqrt(smile_variance(fresh, 0.0) / years)
    piece.status = OK
    piece.forward_status, piece.smile_status = forward_status, smile_status
    piece.votes, piece.points = votes, points
    piece.inside = _count_inside(chain, e, forward, discount)
    piece.off_market = _store_rows(chain, e, bid, ask, spot, forward, discount, years)
    return OK


@kernel(allocates=True)
def _value_row(chain: Chain, row: int, spot: float, years: float, out: Any) -> None:
    """Value and Greeks of one calibrated series into the frame ``out``."""
    piece = chain.slices[chain.expiry[row]]
    strike, right, vol = chain.strike[row], chain.right[row], chain.vol[row]
    root = math.sqrt(years)
    deviation, discount = max(vol * root, 2.0 * MIN_DEVIATION), math.exp(-piece.discount_rate * years)
    forward = spot * piece.forward_ratio
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    n1, n2 = norm_cdf(right * d1), norm_cdf(right * (d1 - deviation))
    density = discount * norm_pdf(d1)
    theo = max(discount * right * (forward * n1 - strike * n2), 0.0)
    intrinsic = max(right * (spot - strike), 0.0)
    if chain.american[row] != 0 and theo < intrinsic:
        # Worth more dead than alive: exercised at once it is right * (spot - strike), and nothing else moves it.
        out.theo, out.delta, out.gamma, out.vega, out.theta = intrinsic, float(right), 0.0, 0.0, 0.0
    else:
        out.delta = right * discount * piece.forward_ratio * n1
        out.gamma = density * piece.forward_ratio / (spot * deviation)
        out.vega = density * forward * root
        out.theta = (
            piece.discount_rate * theo
            - 0.5 * density * forward * vol / root
            - piece.carry * right * discount * forward * n1
        )
        out.theo = theo
    floor = intrinsic if chain.american[row] != 0 else 0.0
    out.theo = max(out.theo + chain.residual[row], floor)
    out.vol = vol


@kernel(allocates=True)
def refresh_rows(chain: Chain, spot: float, now_ns: int, refresh: int, out: Any) -> int:
    """Write one THEO row per series to ``out``; returns their number. About 0.1 us a row."""
    good_spot = 0.0 < spot < MAX_PRICE
    stale_after = chain.knobs[STALE_AFTER_NS]
    for row in range(chain.strike.shape[0]):
        piece, frame = chain.slices[chain.expiry[row]], out[row]
        years = calendar_years(now_ns, piece.expiry_ns)
        frame.kind, frame.ts_ns = THEO_KIND, now_ns
        frame.instrument, frame.refresh = chain.instrument[row], refresh
        frame.spot_ref, frame.years = spot if good_spot else 0.0, years
        frame.theo, frame.delta, frame.gamma, frame.vega, frame.theta, frame.vol = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        if not good_spot:
            frame.status = BAD_SPOT
        elif years <= 0.0:
            frame.status = EXPIRED
            frame.theo = max(chain.right[row] * (spot - chain.strike[row]), 0.0)
        elif piece.calibrated_ns == 0:
            frame.status = piece.status
        else:
            _value_row(chain, row, spot, years, frame)
            old = now_ns - piece.calibrated_ns > stale_after
            frame.status = STALE if old else chain.quality[row]
    return int(chain.strike.shape[0])


@kernel(allocates=True)
def calendar_crossings(chain: Chain) -> int:
    """Pairs of neighbouring expiries whose total variances cross within 1.5 deviations of the money."""
    crossings, before = 0, -1
    for e in range(chain.slices.shape[0]):
        if chain.slices[e].calibrated_ns == 0:
            continue
        if before >= 0:
            scale = chain.params[before, 0]
            for i in range(-6, 7):
                k = 0.25 * i * scale
                if smile_variance(chain.params[e], k) < smile_variance(chain.params[before], k):
                    crossings += 1
                    break
        before = e
    return crossings
