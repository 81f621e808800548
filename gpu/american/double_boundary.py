"""American puts under negative rates, dividend yield < rate < 0: exercise only between two boundaries.

Exercise earns rate * K - dividend_yield * S per year, here positive for K * rate / dividend_yield < S
alone: far in the money the negative rate makes waiting for the strike worth more than the spot pays.
The upper boundary B starts at K and falls, the lower one Y starts at K * rate / dividend_yield and rises;
above the critical volatility |sqrt(-2 rate) - sqrt(-2 dividend_yield)| they meet at a finite time to
expiry, beyond which the option is never exercised at once (Battauz, De Donno and Sbuelz 2015).

Andersen and Lake, "Fast American option pricing: the double-boundary case" (2021), is the prior art.
What is done here: the option above B solves a free boundary problem that does not know of Y, and the
one below Y one that does not know of B. Extended by the exercise payoff to the other side each has the
premium integral of a single boundary, so that the two smooth-pasting equations are solved one by one:

    alpha (1 - exp(-q t) N(-d+(t, b(t) / K))) = int_0^t exp(-q u) [n(d+) / (v sqrt u) (r K / b(t-u) - q) + q N(-d+)] du

with d+ = d+(u, b(t) / b(t-u)) and alpha = 1 for B, 0 for Y (``double_solve.py``). Prices integrate over both
boundaries up to the time at which they meet; while both stand, over the one next to the spot alone.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.double_solve import (
    DOUBLE_WORK,
    LOWER,
    NODES,
    SAVED,
    TERMS,
    UPPER,
    find_boundaries,
    log_boundary,
    log_gap,
    meeting,
    solve_both,
    solve_boundary,
)
from gpu.european.formulas import MIN_DEVIATION, spot_domain
from gpu.european.greeks import spot_greeks
from gpu.maths.functions import INV_SQRT_2PI, normal_cdf
from gpu.status import PriceStatus
from market.jit import kernel

__all__ = ["DOUBLE_WORK", "double_boundaries", "double_boundary_price", "double_boundary_row"]

F8: TypeAlias = npt.NDArray[np.float64]

OK = int(PriceStatus.OK)
INTRINSIC = int(PriceStatus.INTRINSIC)
BAD_INPUT = int(PriceStatus.BAD_INPUT)
NOT_CONVERGED = int(PriceStatus.NOT_CONVERGED)

_FINE = 96  # quadrature points of a price
_points, _weights = np.polynomial.legendre.leggauss(_FINE)
# As shares of the angle, crowded at its end, where the kernel is narrow when the spot is near a boundary.
_FINE_AT, _FINE_WEIGHT = 1.0 - 0.25 * (1.0 - _points) ** 2, 0.5 * (1.0 - _points) * _weights

_LEAST_SHARE = 1e-14  # of the yield: a rate closer to zero is taken as this far from it
_FAR_APART = 0.2  # of ln(B / Y): no small move of an input makes them meet
_STEP_VOL = 0.005  # relative
_STEP_RATE = 2e-4
_STEP_SHARE = 0.005  # of rate - yield and of the rate, which set the distance between the boundaries
_MAX_SHRINK = 4


@kernel(internal=True)
def _premium(
    ratio: float, years: float, at: int, start: float, span: float, end: float,
    rate: float, dividend_yield: float, vol: float, work: F8,
) -> None:  # fmt: skip
    """Premium integral of the region below a boundary and three spot derivatives, strike 1, into ``TERMS``."""
    root = math.sqrt(years)
    top = math.asin(min(end / root, 1.0))
    drift = rate - dividend_yield + 0.5 * vol * vol
    here = math.log(ratio)
    price = delta = gamma = speed = 0.0
    for k in range(_FINE):
        angle = top * _FINE_AT[k]
        sine, cosine = math.sin(angle), math.cos(angle)
        zu = root * cosine
        c = log_boundary(min(root * sine, span), span, NODES, at, start, work)
        w = vol * zu
        d = (here - c + drift * zu * zu) / w
        weight = 2.0 * years * sine * cosine * top * _FINE_WEIGHT[k]
        carry = weight * math.exp(-dividend_yield * zu * zu)
        dense = carry * INV_SQRT_2PI * math.exp(-0.5 * d * d)
        below = normal_cdf(-d)
        earn = rate * math.exp(-c) - dividend_yield
        bend = d * earn / w + dividend_yield
        price += weight * rate * math.exp(-rate * zu * zu) * normal_cdf(w - d) - carry * dividend_yield * ratio * below
        delta -= dense * earn / w + carry * dividend_yield * below
        gamma += dense * bend / (ratio * w)
        speed += dense * ((earn / w - d * bend) / w - bend) / (ratio * ratio * w)
    work[TERMS], work[TERMS + 1], work[TERMS + 2], work[TERMS + 3] = price, delta, gamma, speed


@kernel(internal=True)
def _add_premium(sign: float, row: tuple[float, float, float, float], work: F8) -> tuple[float, float, float, float]:
    return (
        row[0] + sign * work[TERMS], row[1] + sign * work[TERMS + 1],
        row[2] + sign * work[TERMS + 2], row[3] + sign * work[TERMS + 3],
    )  # fmt: skip


@kernel(internal=True)
def _value(
    ratio: float, years: float, rate: float, dividend_yield: float, vol: float, span: float, end: float, alone: bool,
    work: F8,
) -> tuple[float, float, float, float, bool]:  # fmt: skip
    """Price, delta, gamma, speed of the put with strike 1, and whether it is exercised now.

    While both boundaries stand, the region above B needs B alone, the one below Y needs Y alone. ``alone``:
    the series of B is the only one there is.
    """
    start = 0.0 if alone else math.log(rate / dividend_yield)
    here = math.log(ratio)
    above, under = True, not alone
    if end * end >= years * (1.0 - 1e-14):  # both stand
        above = here > log_boundary(min(end, span), span, NODES, UPPER, 0.0, work)
        under = under and here < log_boundary(min(end, span), span, NODES, LOWER, start, work)
        if not (above or under):
            return 1.0 - ratio, -1.0, 0.0, 0.0, True
    row = (1.0 - ratio, -1.0, 0.0, 0.0)
    if above:
        european = spot_greeks(ratio, 1.0, years, rate, dividend_yield, vol, -1)
        row = (european[0], european[1], european[2], european[10])
        _premium(ratio, years, UPPER, 0.0, span, end, rate, dividend_yield, vol, work)
        row = _add_premium(1.0, row, work)
    if under:
        _premium(ratio, years, LOWER, start, span, end, rate, dividend_yield, vol, work)
        row = _add_premium(-1.0, row, work)
    return row[0], row[1], row[2], row[3], False


@kernel(internal=True)
def _moved(
    ratio: float, years: float, rate: float, dividend_yield: float, vol: float, span: float, rest: float, alone: bool,
    work: F8,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Price, delta, theta with one input moved a little, starting from the unmoved boundaries; and 1, or NaN.

    ``rest``: square root of the time for which boundaries stand that do not meet within ``span``.
    ``alone``: as of :func:`_value`; then the rate may rise to zero and above.
    """
    for j in range(2 * NODES):
        work[j] = work[SAVED + j]
    end = rest
    if alone:
        if solve_boundary(span, NODES, UPPER, 0.0, rate, dividend_yield, vol, work) < 0:
            return math.nan, math.nan, math.nan, math.nan
    else:
        start = math.log(rate / dividend_yield)
        if not solve_both(span, NODES, start, rate, dividend_yield, vol, work):
            return math.nan, math.nan, math.nan, math.nan
        met = meeting(span, span, NODES, start, work)
        end = rest if met == span else met
    price, delta, gamma, _, held = _value(ratio, years, rate, dividend_yield, vol, span, end, alone, work)
    theta = rate * price - (rate - dividend_yield) * ratio * delta - 0.5 * vol * vol * ratio * ratio * gamma
    return price, delta, 0.0 if held else theta, 1.0


@kernel(internal=True)
def _valid(spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float) -> bool:
    sound = spot_domain(spot, strike, years, rate, dividend_yield, vol, -1.0) and abs(years + vol) < math.inf
    return sound and dividend_yield < rate < 0.0


@kernel
def double_boundary_price(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, work: F8
) -> tuple[float, int]:
    """(price, PriceStatus) of an American put with dividend_yield < rate < 0; ``work`` float64[DOUBLE_WORK]."""
    if not _valid(spot, strike, years, rate, dividend_yield, vol):
        return math.nan, BAD_INPUT
    rate = min(rate, _LEAST_SHARE * dividend_yield)
    if vol * math.sqrt(max(years, 0.0)) <= MIN_DEVIATION:
        return _certain(spot, strike, max(years, 0.0), rate, dividend_yield), INTRINSIC
    span, end = find_boundaries(years, rate, dividend_yield, vol, work)
    if end == 0.0:
        return spot_greeks(spot, strike, years, rate, dividend_yield, vol, -1)[0], OK
    if not end > 0.0:
        return math.nan, NOT_CONVERGED
    return strike * _value(spot / strike, years, rate, dividend_yield, vol, span, end, False, work)[0], OK


@kernel(internal=True)
def _certain(spot: float, strike: float, years: float, rate: float, dividend_yield: float) -> float:
    """Value of the put when the spot's path is certain: the best time to exercise, which may lie between the ends.

    K exp(-r t) - S exp(-q t) is largest now, at expiry, or where r K exp(-r t) = q S exp(-q t), which for
    q < r < 0 is a maximum (the second derivative there is r (r - q) K exp(-r t) < 0).
    """
    best = max(strike - spot, strike * math.exp(-rate * years) - spot * math.exp(-dividend_yield * years), 0.0)
    turn = math.log(rate * strike / (dividend_yield * spot)) / (rate - dividend_yield)
    if 0.0 < turn < years:
        best = max(best, strike * math.exp(-rate * turn) - spot * math.exp(-dividend_yield * turn))
    return best


@kernel(internal=True)
def _certain_row(spot: float, strike: float, years: float, rate: float, dividend_yield: float, row: F8) -> None:
    """Price and Greeks without any uncertainty: those of exercise at the best time, which is held fixed."""
    for j in range(11):
        row[j] = 0.0
    row[0] = _certain(spot, strike, years, rate, dividend_yield)
    if row[0] <= 0.0:
        return
    turn = math.log(rate * strike / (dividend_yield * spot)) / (rate - dividend_yield)
    at = min(max(turn, 0.0), years)
    cash, asset = strike * math.exp(-rate * at), math.exp(-dividend_yield * at)
    if not cash - spot * asset >= row[0] * (1.0 - 1e-12):  # the best time is an end of the interval
        at = years if strike - spot < row[0] else 0.0
        cash, asset = strike * math.exp(-rate * at), math.exp(-dividend_yield * at)
    row[1], row[5], row[10] = -asset, -at * cash, at * spot * asset
    if at == years:
        row[4] = rate * cash - dividend_yield * spot * asset
        row[8] = -dividend_yield * asset


@kernel(internal=True)
def _differences(
    ratio: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float,
    price: float, span: float, rest: float, alone: bool, h: float, k: float, work: F8, row: F8,
) -> bool:  # fmt: skip
    """Vega, rho, vanna, volga, veta, dividend rho from -2, -1, 1, 2 steps: ``h`` of vol, ``k`` of the rates."""
    for j in (3, 5, 6, 7, 9, 10):
        row[j] = 0.0
    sure = 1.0
    for m in (-2, -1, 1, 2):
        first = (8.0 if abs(m) == 1 else -1.0) * (1.0 if m > 0 else -1.0) / 12.0
        second = (16.0 if abs(m) == 1 else -1.0) / 12.0
        moved = _moved(ratio, years, rate, dividend_yield, vol + m * h, span, rest, alone, work)
        row[3] += first / h * strike * moved[0]
        row[6] += first / h * moved[1]
        row[7] += second / (h * h) * strike * (moved[0] - price)
        row[9] += first / h * strike * moved[2]
        by_rate = _moved(ratio, years, rate + m * k, dividend_yield, vol, span, rest, alone, work)
        by_yield = _moved(ratio, years, rate, dividend_yield + m * k, vol, span, rest, alone, work)
        row[5] += first / k * strike * by_rate[0]
        row[10] += first / k * strike * by_yield[0]
        sure *= moved[3] * by_rate[3] * by_yield[3]
    return sure == 1.0


@kernel
def double_boundary_row(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, work: F8, row: F8
) -> int:
    """Price and Greeks of an American put with dividend_yield < rate < 0; returns its ``PriceStatus``.

    ``row[11]``: the first ten rows of ``Greek``, then the derivative in the dividend yield; NaN unless OK.
    Price, delta, gamma, theta, charm come from the integral; the others are fourth-order central
    differences of it, and are one-sided by nature within their step of an exercise boundary.
    """
    for j in range(11):
        row[j] = math.nan
    if not _valid(spot, strike, years, rate, dividend_yield, vol):
        return BAD_INPUT
    rate = min(rate, _LEAST_SHARE * dividend_yield)
    if vol * math.sqrt(max(years, 0.0)) <= MIN_DEVIATION:
        _certain_row(spot, strike, max(years, 0.0), rate, dividend_yield, row)
        return INTRINSIC
    span, end = find_boundaries(years, rate, dividend_yield, vol, work)
    if end == 0.0:
        european = spot_greeks(spot, strike, years, rate, dividend_yield, vol, -1)
        for j in range(10):
            row[j] = european[j]
        row[10] = -years * spot * european[1]
        return OK
    if not end > 0.0:
        return NOT_CONVERGED
    ratio = spot / strike
    price, delta, gamma, speed, held = _value(ratio, years, rate, dividend_yield, vol, span, end, False, work)
    drift, variance = rate - dividend_yield, vol * vol
    row[0], row[1], row[2] = strike * price, delta, gamma / strike
    if held:
        for j in range(3, 11):
            row[j] = 0.0
        return OK
    row[4] = strike * (rate * price - drift * ratio * delta - 0.5 * variance * ratio * ratio * gamma)
    row[8] = dividend_yield * delta - (drift + variance) * ratio * gamma - 0.5 * variance * ratio * ratio * speed
    for j in range(2 * NODES):
        work[SAVED + j] = work[j]
    rest = max(span, end)
    # B is enough where the spot lies above it and Y is far away: then a rate near zero may cross it.
    start = math.log(rate / dividend_yield)
    last = min(end, span)
    alone = end * end >= years * (1.0 - 1e-14) and ratio > 1.1 * rate / dividend_yield
    alone = alone and log_gap(last, span, NODES, start, work) > _FAR_APART
    alone = alone and math.log(ratio) > log_boundary(last, span, NODES, UPPER, 0.0, work)
    h, k = _STEP_VOL * vol, min(_STEP_RATE, _STEP_SHARE * drift)
    k = k if alone else min(k, -_STEP_SHARE * rate)
    for _ in range(_MAX_SHRINK):
        if _differences(ratio, strike, years, rate, dividend_yield, vol, price, span, rest, alone, h, k, work, row):
            return OK
        h, k = 0.2 * h, 0.2 * k  # a moved meeting fell too far inside of the span for B to exist
    for j in range(11):
        row[j] = math.nan
    return NOT_CONVERGED


def double_boundaries(
    years: float, rate: float, dividend_yield: float, vol: float
) -> tuple[float, float, Callable[[float], float], Callable[[float], float]]:
    """(years that the series cover, years for which both stand, upper(t), lower(t)), boundaries per strike of 1.

    ``t`` is the time to expiry; the boundaries are flat beyond the first of the two. For study and tests: it allocates.

    Raises
    ------
    ValueError
        Not dividend_yield < rate < 0, or a boundary that was not found.
    """
    if not dividend_yield < rate < 0.0:
        raise ValueError(f"two boundaries need dividend_yield < rate < 0, were {dividend_yield} and {rate}")
    work = np.empty(DOUBLE_WORK)
    span, end = find_boundaries(years, rate, dividend_yield, vol, work)
    if not end > 0.0:
        raise ValueError(f"no boundaries found for years={years} vol={vol}")
    start = math.log(rate / dividend_yield)

    def upper(t: float) -> float:
        return math.exp(log_boundary(min(math.sqrt(t), span), span, NODES, UPPER, 0.0, work))

    def lower(t: float) -> float:
        return math.exp(log_boundary(min(math.sqrt(t), span), span, NODES, LOWER, start, work))

    return span * span, min(end * end, years), upper, lower
