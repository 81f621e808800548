"""European options in the piecewise lognormal dividend model, by quadrature: the reference for ``dividends.py``.

Between dividend dates the spot is lognormal with the carry rate - dividend_yield; at a date it falls
by min(dividend, spot). After the last dividend the value is Black-Scholes; each earlier interval is
one Gaussian expectation of a smooth function of the log-spot, taken with the trapezoidal rule, which
for such functions converges faster than any power of the spacing (Haug, Haug and Lewis, "Back to
basics: a new approach to the discrete dividend problem", 2003, do one interval so). No grid is
interpolated: every value needed is one more sum. Price, delta, gamma and speed differentiate
the outermost Gaussian; the other Greeks are fourth-order central differences.

Cost: about 5 us a price for one dividend, 60 us for four; 29 prices for all Greeks.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.dividends import dividend_status
from gpu.european.formulas import MIN_DEVIATION, Row, black_value
from gpu.european.greeks import BAD_INPUT, OK, nan_row, spot_greeks
from gpu.maths.functions import density, normal_cdf
from gpu.status import PriceStatus
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]

NOT_CONVERGED = int(PriceStatus.NOT_CONVERGED)

_REACH = 8.5  # standard deviations on each side: 1e-17 of the mass is outside
_SPACING = 0.35  # of the narrower Gaussian, before or after: the rule's own error is exp(-2 (pi / 0.35)^2)
_WIDEST = 0.25  # of log-spot, where the dividend itself bends the integrand
_MOST_POINTS = 4000
_LEAST_SPOT = 1e-14  # of the spot: what is left of it when a dividend takes nearly all
_AT_EXPIRY = 1e-4  # of the life: a dividend so close to expiry is a change of the strike
_SQRT_2PI = 2.5066282746310002


@kernel
def _after_last(
    s: float, strike: float, years: float, rate: float, carry: float, vol: float, w: float
) -> float:  # fmt: skip
    """Black-Scholes value from spot s with ``years`` to go, for any s >= 0."""
    forward = s * math.exp(carry * years)
    deviation = vol * math.sqrt(years)
    if deviation <= MIN_DEVIATION or forward <= strike * 1e-12:
        return math.exp(-rate * years) * max(w * (forward - strike), 0.0)
    return math.exp(-rate * years) * black_value(forward, strike, deviation, w)


@kernel
def _worthless(strike: float, years: float, rate: float, w: float) -> float:
    """Value where the spot is gone."""
    return strike * math.exp(-rate * years) if w < 0.0 else 0.0


@kernel
def _lay(
    spot: float, paid: float, lost: float, carry: float, vol: float, date: float, reach: float, step: float,
    nodes: F8, weights: F8, after: F8,
) -> int:  # fmt: skip
    """Nodes of the integral over the log-spot just before a dividend: uniform in y, the log of what is left after it.

    In y the integrand is smooth even where a dividend may take the whole spot; in the log-spot
    itself it has a corner there. ``lost``: earlier dividends, by which the path may lie lower.
    Returns the number of nodes, 0 if they do not fit.
    """
    centre, width = math.log(spot) + (carry - 0.5 * vol * vol) * date, reach * vol * math.sqrt(date)
    tiny = _LEAST_SPOT * spot
    low = math.log(max(math.exp(centre - width) - lost - paid, tiny))
    high = math.log(max(math.exp(centre + width) - paid, 2.0 * tiny))
    if (high - low) / step > nodes.shape[0] - 2.0:
        return 0
    count = math.ceil((high - low) / step) + 1
    for j in range(count):
        left = math.exp(low + j * step)
        after[j] = left
        nodes[j] = math.log(left + paid)
        weights[j] = step * left / (left + paid)
    return count


@kernel
def _expect(x: float, sd: float, nodes: F8, weights: F8, values: F8, count: int, corner: float, floor: float) -> float:
    """Gaussian average, mean x and deviation sd: ``values`` on the nodes, ``floor`` below the log-spot ``corner``."""
    low, high = x - _REACH * sd, x + _REACH * sd
    total, scale = 0.0, 1.0 / sd
    for j in range(count):
        if low <= nodes[j] <= high:
            z = (nodes[j] - x) * scale
            total += weights[j] * values[j] * math.exp(-0.5 * z * z)
    return total * scale / _SQRT_2PI + floor * normal_cdf((corner - x) * scale)


@kernel(allocates=True)
def _solve(
    spot: float, strike: float, years: float, rate: float, carry: float, vol: float, w: float, dates: F8, amounts: F8,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    """(price, delta, gamma, speed, status) for dividends inside (0, years), ascending."""
    bad = (math.nan, math.nan, math.nan, math.nan, NOT_CONVERGED)
    m = dates.shape[0]
    grid = np.empty((4, _MOST_POINTS))  # nodes, weights, what is left, values: of the dividend after this one
    fresh = np.empty((4, _MOST_POINTS))
    count, lost = 0, 0.0
    for i in range(m):
        lost += amounts[i]
    for i in range(m - 1, -1, -1):
        lost -= amounts[i]
        here = vol * math.sqrt(dates[i] - dates[i - 1]) if i > 0 else vol * math.sqrt(dates[0])
        gap = (dates[i + 1] if i + 1 < m else years) - dates[i]
        ahead = vol * math.sqrt(gap)
        step = min(_SPACING * min(here, ahead), _WIDEST)
        reach = _REACH if i == 0 else _REACH + 1.0
        size = _lay(spot, amounts[i], lost, carry, vol, dates[i], reach, step, fresh[0], fresh[1], fresh[2])
        if size == 0:
            return bad
        for j in range(size):
            if i == m - 1:
                fresh[3, j] = _after_last(fresh[2, j], strike, gap, rate, carry, vol, w)
            else:
                x = math.log(fresh[2, j]) + (carry - 0.5 * vol * vol) * gap
                floor = _worthless(strike, years - dates[i + 1], rate, w)
                mean = _expect(x, ahead, grid[0], grid[1], grid[3], count, math.log(amounts[i + 1]), floor)
                fresh[3, j] = math.exp(-rate * gap) * mean
        grid, fresh = fresh, grid
        count = size
    sd = vol * math.sqrt(dates[0])
    centre = math.log(spot) + (carry - 0.5 * vol * vol) * dates[0]
    corner = (math.log(amounts[0]) - centre) / sd
    floor = _worthless(strike, years - dates[0], rate, w)
    c0 = floor * normal_cdf(corner)
    mass = floor * density(corner)  # integrals of z, z^2 - 1, z^3 - 3z below the corner
    c1, c2, c3 = -mass, -mass * corner, mass * (1.0 - corner * corner)
    for j in range(count):
        z = (grid[0, j] - centre) / sd
        mass = grid[1, j] * grid[3, j] * density(z) / sd
        c0 += mass
        c1 += mass * z
        c2 += mass * (z * z - 1.0)
        c3 += mass * z * (z * z - 3.0)
    scale = math.exp(-rate * dates[0])
    v1, v2, v3 = c1 / sd, c2 / (sd * sd), c3 / (sd * sd * sd)  # derivatives in the log-spot
    return (
        scale * c0,
        scale * v1 / spot,
        scale * (v2 - v1) / (spot * spot),
        scale * (v3 - 3.0 * v2 + 2.0 * v1) / (spot * spot * spot),
        OK,
    )


@kernel(allocates=True)
def _shifted(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, w: float,
    dates: F8, amounts: F8, later: float,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    """:func:`_solve` with everything ``later`` years further away; sorts out which dividends matter."""
    life = years + later
    carry = rate - dividend_yield
    when, paid = np.empty(dates.shape[0]), np.empty(dates.shape[0])
    m = 0
    for i in range(dates.shape[0]):
        if not (0.0 < dates[i] <= years and amounts[i] > 0.0):
            continue
        if years - dates[i] <= _AT_EXPIRY * years:
            strike += amounts[i] * math.exp(carry * (years - dates[i]))
            continue
        t, place = dates[i] + later, m
        while place > 0 and when[place - 1] > t:
            place -= 1
        if place > 0 and when[place - 1] == t:
            paid[place - 1] += amounts[i]
            continue
        for j in range(m, place, -1):
            when[j], paid[j] = when[j - 1], paid[j - 1]
        when[place], paid[place] = t, amounts[i]
        m += 1
    if m == 0:
        row = spot_greeks(spot, strike, life, rate, dividend_yield, vol, w)
        return row[0], row[1], row[2], row[10], OK
    return _solve(spot, strike, life, rate, carry, vol, w, when[:m], paid[:m])


@kernel(allocates=True)
def piecewise_value(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: float,
    dates: F8, amounts: F8,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    """(price, delta, gamma, speed, ``PriceStatus``) of one option; error about 1e-10 of the spot.

    ``dates[m]`` in years from now, in any order, ``amounts[m]`` >= 0 in currency. NOT_CONVERGED where two
    dates lie so close together that the quadrature would need more than 4,000 points (under about 1e-5
    of the time to them): merge them.
    """
    bad, w = math.nan, float(right)
    state = dividend_status(spot, strike, years, rate, dividend_yield, vol, w, dates, amounts, 0.0)
    if state == BAD_INPUT:
        return bad, bad, bad, bad, BAD_INPUT
    if state != OK:
        off = 0.0
        for i in range(dates.shape[0]):
            if 0.0 < dates[i] <= years:
                off += amounts[i] * math.exp(-(rate - dividend_yield) * dates[i])
        if off >= spot:
            return bad, bad, bad, bad, BAD_INPUT
        row = spot_greeks(spot - off, strike, years, rate, dividend_yield, vol, w)
        return row[0], row[1], 0.0, 0.0, state
    return _shifted(spot, strike, years, rate, dividend_yield, vol, w, dates, amounts, 0.0)


@kernel(allocates=True)
def piecewise_greeks(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: float,
    dates: F8, amounts: F8,
) -> Row:  # fmt: skip
    """Value and thirteen Greeks; NaN where :func:`piecewise_value` is not OK.

    Derivatives in volatility, time and rate are differences of fourth order: relative error about 1e-7,
    ultima 1e-4. Time shifts all dates and the expiry together.
    """
    w = float(right)
    base = piecewise_value(spot, strike, years, rate, dividend_yield, vol, w, dates, amounts)
    if base[4] != OK:
        return nan_row()
    level = (base[0], base[1], base[2])
    first = years
    for i in range(dates.shape[0]):
        if 0.0 < dates[i] <= years:
            first = min(first, dates[i])
    hv, ht, hr = 0.005 * vol, 0.01 * first, 1e-3
    up = np.empty((4, 4))  # steps +1, -1, +2, -2 of each difference; columns price, delta, gamma, unused
    vol_slope, vol_bend, vol_third = np.empty(3), np.empty(3), np.empty(3)
    time_slope = np.empty(3)
    for j in range(4):
        e = (1.0, -1.0, 2.0, -2.0)[j]
        x = _shifted(spot, strike, years, rate, dividend_yield, vol + e * hv, w, dates, amounts, 0.0)
        up[j, 0], up[j, 1], up[j, 2] = x[0], x[1], x[2]
    for g in range(3):
        vol_slope[g] = (8.0 * (up[0, g] - up[1, g]) - (up[2, g] - up[3, g])) / (12.0 * hv)
        vol_bend[g] = (16.0 * (up[0, g] + up[1, g]) - (up[2, g] + up[3, g]) - 30.0 * level[g]) / (12.0 * hv * hv)
        vol_third[g] = (up[2, g] - up[3, g] - 2.0 * (up[0, g] - up[1, g])) / (2.0 * hv * hv * hv)
    for j in range(4):
        e = (1.0, -1.0, 2.0, -2.0)[j]
        x = _shifted(spot, strike, years, rate, dividend_yield, vol, w, dates, amounts, e * ht)
        up[j, 0], up[j, 1], up[j, 2] = x[0], x[1], x[2]
    for g in range(3):
        time_slope[g] = (8.0 * (up[0, g] - up[1, g]) - (up[2, g] - up[3, g])) / (12.0 * ht)
    rho = veta = 0.0
    for j in range(4):
        e = (1.0, -1.0, 2.0, -2.0)[j]
        weight = (8.0, -8.0, -1.0, 1.0)[j] / 12.0
        x = _shifted(spot, strike, years, rate + e * hr, dividend_yield, vol, w, dates, amounts, 0.0)
        rho += weight / hr * x[0]
        slope = 0.0
        for i in range(4):
            bump = (1.0, -1.0, 2.0, -2.0)[i] * hv
            x = _shifted(spot, strike, years, rate, dividend_yield, vol + bump, w, dates, amounts, e * ht)
            slope += (8.0, -8.0, -1.0, 1.0)[i] * x[0] / (12.0 * hv)
        veta -= weight / ht * slope
    return (
        base[0], base[1], base[2], vol_slope[0], -time_slope[0], rho, vol_slope[1], vol_bend[0],
        -time_slope[1], veta, base[3], vol_slope[2], -time_slope[2], vol_third[0],
    )  # fmt: skip
