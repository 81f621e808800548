"""American calls on a spot that pays dividends in cash: exact recursion over the ex-dates.

Between ex-dates early exercise costs rate * K and earns yield * S a year. Without a yield, or where no
spot within reach makes up for the rate, a call is exercised just before an ex-date or at expiry alone
(Merton 1973). So its value is one maximum and one integral over a normal density per date,

    U_j(S) = max(S - K, C_j(S - D_j)),      C_{j-1}(S) = exp(-r dt) E[U_j(S_t)],      C_last = Black-Scholes,

in the escrowed model with X + (value of the dividends left) - K and C_j(X). Below the critical spot
U_j is smooth and is integrated by Gauss-Legendre in panels of about one standard deviation; above it the
integral of S - K is closed. No interpolation: C_j is a sum over the points of the next date. For one
dividend in the escrowed model this is the Roll-Geske-Whaley value.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.finite_difference import ESCROWED, pending
from gpu.european.greeks import spot_greeks
from gpu.maths.functions import INV_SQRT_2PI, density, normal_cdf
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
Slopes: TypeAlias = tuple[float, float, float, float]

MAX_POINTS = 640
#: Rows of the work array ``[RECURSION_WORK, MAX_POINTS]``: log-spot and weighted value of the date being
#: read, the same of the date being made, and a row of scalars of the date being read.
RECURSION_WORK = 5
_AT, _MASS, _NEXT_AT, _NEXT_MASS, _DATE = range(RECURSION_WORK)
_COUNT, _GAP, _CRITICAL, _STRIKE = range(4)  # in _DATE: points, years to that date, critical log-spot, its strike

_ORDER = 12
_PANEL = 2.0  # standard deviations per panel
_REACH = 8.5  # standard deviations beyond which nothing is left at 1e-15
_legendre, _legendre_weight = np.polynomial.legendre.leggauss(_ORDER)
_POINT, _WEIGHT = 0.5 * (_legendre + 1.0), 0.5 * _legendre_weight


@kernel(internal=True)
def _continued(
    spot: float, strike: float, left: float, rate: float, dividend_yield: float, vol: float, last: bool, work: F8
) -> Slopes:
    """Value after an ex-date and three log-spot derivatives: Black-Scholes, or the sum over the next date."""
    if spot <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    if last:
        row = spot_greeks(spot, strike, left, rate, dividend_yield, vol, 1)
        d1, d2, d3 = spot * row[1], spot * spot * row[2], spot * spot * spot * row[10]
        return row[0], d1, d2 + d1, d3 + 3.0 * d2 + d1
    gap = work[_DATE, _GAP]
    s = vol * math.sqrt(gap)
    centre = math.log(spot) + (rate - dividend_yield - 0.5 * vol * vol) * gap
    v0 = v1 = v2 = v3 = 0.0
    for k in range(int(work[_DATE, _COUNT])):
        z = (work[_AT, k] - centre) / s
        mass = work[_MASS, k] * math.exp(-0.5 * z * z)
        v0 += mass
        v1 += mass * z
        v2 += mass * (z * z - 1.0)
        v3 += mass * (z * z - 3.0) * z
    discount = math.exp(-rate * gap)
    unit = discount * INV_SQRT_2PI / s
    v0, v1, v2, v3 = v0 * unit, v1 * unit / s, v2 * unit / (s * s), v3 * unit / (s * s * s)
    critical = work[_DATE, _CRITICAL]
    if critical < math.inf:
        low = (centre - critical) / s
        high = low + s
        density_low, density_high = density(low), density(high)
        asset = spot * math.exp(-dividend_yield * gap)
        n_high = normal_cdf(high)
        edge = discount * (math.exp(critical) - work[_DATE, _STRIKE]) / s
        v0 += asset * n_high - work[_DATE, _STRIKE] * discount * normal_cdf(low)
        v1 += asset * n_high + edge * density_low
        v2 += asset * (n_high + density_high / s) - edge * low * density_low / s
        v3 += asset * (n_high + density_high / s * (2.0 - high / s)) + edge * (low * low - 1.0) * density_low / (s * s)
    return v0, v1, v2, v3


@kernel(internal=True)
def _critical_spot(
    drop: float, exercise_strike: float, highest: float,
    strike: float, left: float, rate: float, dividend_yield: float, vol: float, last: bool, work: F8,
) -> float:  # fmt: skip
    """Spot before an ex-date at which S - ``exercise_strike`` = C(S - ``drop``); infinite beyond ``highest``."""
    low, high = max(exercise_strike, 0.0), highest  # below the drop too, where all that is left is worth nothing
    if high <= low:
        return math.inf
    held = _continued(high - drop, strike, left, rate, dividend_yield, vol, last, work)[0]
    if high - exercise_strike <= held:
        return math.inf
    spot = min(max(low * 1.1, 1e-3 * high), high)
    for _ in range(80):
        value, slope, _, _ = _continued(spot - drop, strike, left, rate, dividend_yield, vol, last, work)
        excess = spot - exercise_strike - value
        if excess < 0.0:
            low = spot
        else:
            high = spot
        steep = 1.0 - (slope / (spot - drop) if spot > drop else 0.0)
        following = spot - excess / steep if steep > 1e-12 else 0.5 * (low + high)
        if not low < following < high:
            following = 0.5 * (low + high)
        if abs(following - spot) <= 1e-14 * spot:
            return following
        spot = following
    return spot


@kernel(internal=True)
def _add_date(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float,
    amounts: F8, times: F8, model: int, j: int, before: float, after: float, last: bool, work: F8,
) -> bool:  # fmt: skip
    """Points of ex-date ``j`` from those of the next date; False when there is no room for enough of them.

    ``before`` and ``after``: years from the previous date (or now) and to the next (or expiry).
    """
    now = times[j]
    left = years - now
    escrow = amounts[j] + pending(amounts, times, rate - dividend_yield, now, years) if model == ESCROWED else 0.0
    drop = 0.0 if model == ESCROWED else amounts[j]
    reach = _REACH * vol * math.sqrt(now)
    growth = (rate - dividend_yield - 0.5 * vol * vol) * now
    highest = math.log(spot) + max(growth, 0.0) + reach
    critical = _critical_spot(
        drop, strike - escrow, math.exp(highest), strike, left, rate, dividend_yield, vol, last, work
    )
    top = min(highest, math.log(critical)) if critical < math.inf else highest
    # Below: the call is worth nothing, or the spot does not come here.
    bottom = math.log(strike) - _REACH * vol * math.sqrt(left)
    bottom -= (abs(rate - dividend_yield) + 0.5 * vol * vol) * left
    lowest = spot * math.exp(min(growth, 0.0) - reach)
    if model != ESCROWED:
        for i in range(j):
            lowest -= amounts[i] if times[i] > 0.0 else 0.0
    if lowest > 0.0:
        bottom = max(bottom, math.log(lowest) - 0.5)
    panel = _PANEL * vol * math.sqrt(min(before, after) if after > 0.0 else before)
    panels = max(math.ceil((top - bottom) / panel), 0)
    if not panels * _ORDER <= MAX_POINTS:
        return False
    count = 0
    for p in range(panels):
        width = (top - bottom) / panels
        for a in range(_ORDER):
            x = bottom + (p + _POINT[a]) * width
            value = _continued(math.exp(x) - drop, strike, left, rate, dividend_yield, vol, last, work)[0]
            work[_NEXT_AT, count], work[_NEXT_MASS, count] = x, value * width * _WEIGHT[a]
            count += 1
    for k in range(count):
        work[_AT, k], work[_MASS, k] = work[_NEXT_AT, k], work[_NEXT_MASS, k]
    work[_DATE, _COUNT], work[_DATE, _GAP] = count, before
    work[_DATE, _CRITICAL] = math.log(critical) if critical < math.inf else math.inf
    work[_DATE, _STRIKE] = strike - escrow
    return True


@kernel
def call_by_recursion(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float,
    amounts: F8, times: F8, model: int, work: F8,
) -> tuple[float, float, float, float, bool]:  # fmt: skip
    """Price, delta, gamma, speed of a call exercised at ex-dates alone; and whether they are good.

    ``times`` ascend; those outside (0, years] do not count. False where dates lie too close together for the
    points there are. See :func:`recursion_is_exact` for where this is the American call.
    """
    rest = spot - (pending(amounts, times, rate - dividend_yield, 0.0, years) if model == ESCROWED else 0.0)
    if not rest > 0.0:
        return math.nan, math.nan, math.nan, math.nan, False
    last, after = True, years
    for j in range(amounts.shape[0] - 1, -1, -1):
        if not 0.0 < times[j] <= years or amounts[j] <= 0.0:
            continue
        previous = 0.0
        for i in range(j):
            if 0.0 < times[i] < times[j] and amounts[i] > 0.0:
                previous = times[i]
        for i in range(j):
            if times[i] == times[j] and amounts[i] > 0.0:
                return math.nan, math.nan, math.nan, math.nan, False  # two on one date: let the grid take it
        ahead = after - times[j]
        gap = times[j] - previous
        if not _add_date(
            rest, strike, years, rate, dividend_yield, vol, amounts, times, model, j, gap, ahead, last, work
        ):
            return math.nan, math.nan, math.nan, math.nan, False
        last, after = False, times[j]
    value, d1, d2, d3 = _continued(rest, strike, years, rate, dividend_yield, vol, last, work)
    square = rest * rest
    return value, d1 / rest, (d2 - d1) / square, (d3 - 3.0 * d2 + 2.0 * d1) / (square * rest), True


@kernel
def recursion_is_exact(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float
) -> bool:
    """Whether no spot within 8.5 standard deviations makes exercise between ex-dates worth while."""
    if rate < 0.0 or dividend_yield < 0.0:
        return False
    growth = max(rate - dividend_yield - 0.5 * vol * vol, 0.0) * years
    return dividend_yield * spot * math.exp(growth + _REACH * vol * math.sqrt(years)) <= rate * strike
