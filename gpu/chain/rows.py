"""Kernels of the chain pricer: calibrate one expiry, load and publish every series. Their arrays, too.

The object around them is ``theo.ChainPricer``. One thread owns a chain's arrays.

What a series is worth: Black's European value on the volatility that the expiry's smile has at its
strike, if it is AMERICAN the premium of early exercise (``premium.py``) and not under intrinsic, plus a
residual: the bounded distance by which the market, without our own orders, disagrees with the smile.
Volatilities are sticky by strike between two calibrations and the forward keeps its ratio to the spot, so a
refresh is one Black value a row, computed by whoever ``gpu/router`` found fastest between ``load_rows``
and ``publish_rows``.

American quotes are made European before anything is fitted to them: the premium of the last calibration,
carried to today's spot, is taken off both sides. The very first calibration of an expiry has none and is
done until they agree. A premium that could not be computed counts as zero; what it would be worth is inside the
residual's bound, hence in theo where the market shows it, but not in the Greeks.
"""

import math
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.formulas import MIN_DEVIATION
from gpu.european.greeks import black_price
from gpu.implied.black import OK as IV_OK
from gpu.implied.black import implied_deviation
from gpu.maths.functions import density
from gpu.surface.forwards.forward import CARRY, MAX_PRICE, NONE, PARITY, parity_forward, two_sided
from gpu.surface.slices.smile import NONE as NO_PARAMS
from gpu.surface.slices.smile import fit_smile, smile_variance
from market.calendar import DAYS_PER_YEAR, NS_PER_YEAR, calendar_years
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
    BAD_SPOT = 5  # this refresh's spot is not a positive number under 1e9, or the value at it is not finite
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

#: Columns of ``Chain.premium``: the worth of early exercise and its derivatives; BY_TIME is -d/dT.
PREMIUM, BY_SPOT, BY_SPOT2, BY_VOL, BY_TIME = 0, 1, 2, 3, 4
PREMIUM_ROWS = 5

#: Part of the spot over which the premium bends with it; further away it goes on straight.
_PREMIUM_REACH = 0.02
_EXERCISED = 1e-9  # of the strike: this close to its intrinsic value a series is exercised

_MAX_CARRY = 0.25  # per year; parity over two hours says 300 % and means one cent
_MIN_CARRY_YEARS = 7.0 / DAYS_PER_YEAR
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
    premium: F8  # [m, PREMIUM_ROWS] zero where the series is EUROPEAN
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


@kernel(internal=True)
def carried_premium(chain: Chain, row: int, spot: float, now_ns: int) -> tuple[float, float, float]:
    """(premium, its delta, its gamma) at ``spot`` and ``now_ns``, from those of the last calibration."""
    piece = chain.slices[chain.expiry[row]]
    by_spot, by_spot2 = chain.premium[row, BY_SPOT], chain.premium[row, BY_SPOT2]
    anchor = piece.forward / piece.forward_ratio if piece.calibrated_ns != 0 else spot
    away, reach = spot - anchor, _PREMIUM_REACH * anchor
    bent = min(max(away, -reach), reach)
    slope = by_spot + by_spot2 * bent
    value = chain.premium[row, PREMIUM] + (by_spot + 0.5 * by_spot2 * bent) * bent + slope * (away - bent)
    value += chain.premium[row, BY_TIME] * max(now_ns - piece.calibrated_ns, 0) / NS_PER_YEAR
    if not value > 0.0:
        return 0.0, 0.0, 0.0
    return value, slope, by_spot2 if bent == away else 0.0


@kernel(inline=True)
def _european_side(chain: Chain, prices: F8, row: int, spot: float, now_ns: int) -> float:
    """A row's side without its premium; NaN where there is no row or no quote."""
    price = _side(prices, chain.instrument, row)
    if row >= 0 and chain.american[row] != 0 and price > 0.0:
        price -= carried_premium(chain, row, spot, now_ns)[0]
    return price


@kernel(internal=True)
def _forward_of(chain: Chain, e: int, bid: F8, ask: F8, spot: float, now_ns: int, years: float, rate: float
                ) -> tuple[float, float, int, int]:  # fmt: skip
    """Parity forward of expiry ``e``; leaves its quotes in ``chain.quotes`` (call bid, ask, put bid, ask)."""
    first, last = chain.pair_first[e], chain.pair_first[e + 1]
    quotes, n = chain.quotes, last - first
    for i in range(n):
        call, put = chain.pair_call[first + i], chain.pair_put[first + i]
        quotes[0, i] = _european_side(chain, bid, call, spot, now_ns)
        quotes[1, i] = _european_side(chain, ask, call, spot, now_ns)
        quotes[2, i] = _european_side(chain, bid, put, spot, now_ns)
        quotes[3, i] = _european_side(chain, ask, put, spot, now_ns)
    return parity_forward(
        chain.pair_strike[first:last], quotes[0, :n], quotes[1, :n], quotes[2, :n], quotes[3, :n],
        spot, years, rate, chain.slices[e].american != 0, chain.work, chain.order,
    )  # fmt: skip


@kernel(internal=True)
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
        slope = 0.5 * discount * forward * density(d1) / deviation  # of the price in total variance
        half = max(0.5 * (ask - bid), chain.knobs[MIN_HALF_SPREAD])
        if slope <= 1e-12 * half:
            continue
        quotes[4, count], quotes[5, count], quotes[6, count] = k, deviation * deviation, half / slope
        count += 1
    return count


@kernel(internal=True)
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


@kernel
def store_slice(chain: Chain, e: int, bid: F8, ask: F8) -> int:
    """Residual and quality of every series of expiry ``e`` after its fit; returns the number OFF_MARKET."""
    piece = chain.slices[e]
    forward, years = piece.forward, piece.years
    spot, discount = forward / piece.forward_ratio, math.exp(-piece.discount_rate * piece.years)
    off, root = 0, math.sqrt(years)
    for j in range(chain.slice_first[e], chain.slice_first[e + 1]):
        row = chain.slice_row[j]
        strike, right = chain.strike[row], chain.right[row]
        deviation = chain.vol[row] * root
        theo = discount * black_price(forward, strike, deviation, right) + chain.premium[row, PREMIUM]
        d1 = math.log(forward / strike) / deviation + 0.5 * deviation
        vega = discount * forward * density(d1) * root
        reach = chain.knobs[RESIDUAL_CAP_PRICE] + chain.knobs[RESIDUAL_CAP_VOL] * vega
        floor = 0.0
        if chain.american[row] != 0:
            floor = max(right * (spot - strike), 0.0)
            theo = max(theo, floor)
            # the most that early exercise can be worth: the interest on the strike, or the carry on the share
            reach += max(strike * (1.0 - discount) if right < 0 else spot - forward * discount, 0.0)
        sides_bid, sides_ask = _side(bid, chain.instrument, row), _side(ask, chain.instrument, row)
        chain.residual[row], chain.quality[row] = _residual(theo, sides_bid, sides_ask, reach, floor, chain.knobs)
        off += 1 if chain.quality[row] != OK else 0
    piece.off_market = off
    return off


@kernel(internal=True)
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


@kernel(internal=True)
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


@kernel
def fit_slice(chain: Chain, e: int, bid: F8, ask: F8, spot: float, now_ns: int, rate: float) -> int:
    """Fit forward and smile of expiry ``e`` to the market's quotes; returns a TheoStatus (OK = success).

    ``bid``, ``ask``: currency by instrument number, NaN or <= 0 = none. A failure leaves the last
    success in place, which then ages into STALE. About 0.5 ms for 100 strikes. After a success the premiums
    are due, where there are any, and then :func:`store_slice`.
    """
    piece = chain.slices[e]
    piece.attempted_ns = now_ns
    years = calendar_years(now_ns, piece.expiry_ns)
    if years <= 0.0:
        return EXPIRED
    never = piece.calibrated_ns == 0
    forward, discount, forward_status, votes = _forward_of(chain, e, bid, ask, spot, now_ns, years, rate)
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
    for i in range(fresh.shape[0]):
        chain.params[e, i] = fresh[i]
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
    for j in range(chain.slice_first[e], chain.slice_first[e + 1]):
        row = chain.slice_row[j]
        chain.vol[row] = math.sqrt(smile_variance(fresh, math.log(chain.strike[row] / forward)) / years)
    return OK


@kernel(internal=True)
def _load_slice(chain: Chain, e: int, now_ns: int, columns: F8, scales: F8) -> None:
    """Pricing inputs of expiry ``e`` at ``now_ns`` into its columns of ``columns[6, m]``; NaN if it has none.

    Column j is series ``slice_row[j]``; the rows are those of ``gpu/router``: strike, years, rate, yield,
    volatility, right. The yield is the clamped carry's, whose decay theta is to show; the forward is what parity
    said, spot * forward_ratio. A scale a = forward_ratio / exp(carry * years) reconciles them: the value is a
    times that of an option on strike / a, and so are its derivatives. ``scales[e]`` keeps it.
    """
    piece = chain.slices[e]
    years = calendar_years(now_ns, piece.expiry_ns)
    ready = years > 0.0 and piece.calibrated_ns != 0
    scale = piece.forward_ratio * math.exp(-piece.carry * years) if ready else 1.0
    least_vol = 2.0 * MIN_DEVIATION / math.sqrt(years) if ready else 0.0
    scales[e] = scale
    for j in range(chain.slice_first[e], chain.slice_first[e + 1]):
        row = chain.slice_row[j]
        columns[0, j], columns[1, j] = chain.strike[row] / scale, years if ready else math.nan
        columns[2, j], columns[3, j] = piece.discount_rate, piece.discount_rate - piece.carry
        columns[4, j], columns[5, j] = max(chain.vol[row], least_vol), float(chain.right[row])


@kernel
def load_rows(chain: Chain, first: int, last: int, now_ns: int, columns: F8, scales: F8) -> None:
    """Pricing inputs of expiries [first, last) at ``now_ns``; see ``_load_slice``."""
    for e in range(first, last):
        _load_slice(chain, e, now_ns, columns, scales)


@kernel(internal=True)
def _publish_row(chain: Chain, j: int, spot: float, scale: float, values: F8, good: int, out: Any) -> None:
    """European values of column ``j``, made the series' theo, into the frame ``out``."""
    row = chain.slice_row[j]
    theo, delta, gamma = scale * values[0, j], scale * values[1, j], scale * values[2, j]
    vega, theta = scale * values[3, j], scale * values[4, j]
    if chain.american[row] != 0:
        premium, premium_delta, premium_gamma = carried_premium(chain, row, spot, out.ts_ns)
        if premium > 0.0:
            theo, delta, gamma = theo + premium, delta + premium_delta, gamma + premium_gamma
            vega, theta = vega + chain.premium[row, BY_VOL], theta + chain.premium[row, BY_TIME]
    if not abs(theo + delta + gamma + vega + theta) < math.inf:
        out.status = BAD_SPOT
        return
    floor = 0.0
    if chain.american[row] != 0:
        floor = max(chain.right[row] * (spot - chain.strike[row]), 0.0)
        if theo <= floor + _EXERCISED * chain.strike[row] and floor > 0.0:
            # Worth more dead than alive: exercised at once it is right * (spot - strike), and nothing else moves it.
            theo, delta, gamma, vega, theta = floor, float(chain.right[row]), 0.0, 0.0, 0.0
    out.theo = max(theo + chain.residual[row], floor)
    out.delta, out.gamma, out.vega, out.theta = delta, gamma, vega, theta
    out.vol, out.status = chain.vol[row], good


@kernel
def publish_rows(chain: Chain, spot: float, now_ns: int, refresh: int, scales: F8, values: F8, out: Any) -> int:
    """Write one THEO row per series to ``out`` from its ``values[5, m]`` (price, delta, gamma, vega, theta).

    ``scales[e]`` is what ``_load_slice`` left when the values' inputs were made. Returns the number of rows.
    """
    good_spot = 0.0 < spot < MAX_PRICE
    for e in range(chain.slices.shape[0]):
        piece = chain.slices[e]
        years = calendar_years(now_ns, piece.expiry_ns)
        old = now_ns - piece.calibrated_ns > chain.knobs[STALE_AFTER_NS]
        for j in range(chain.slice_first[e], chain.slice_first[e + 1]):
            row = chain.slice_row[j]
            frame = out[row]
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
                _publish_row(chain, j, spot, scales[e], values, STALE if old else chain.quality[row], frame)
    return int(chain.strike.shape[0])


@kernel
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
