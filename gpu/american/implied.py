"""Volatility implied by the price of an American option, with a status per row.

The American price is the European one, whose inverse is cheap, plus an early-exercise premium that
bends little with volatility. So each step solves European(v) + (premium to second order about the last
point) = price, from the exact vega and volga of the collocation, inside a bracket whose upper end is the
European implied volatility of the same price (an American option is worth no less). Two or three American
prices per row; a step that leaves the bracket or does not shrink it is replaced by bisection. With two
exercise boundaries, where Greeks cost ten prices, a secant takes the place of the vega.

No volatility is identified where the option is exercised at once: every volatility up to the one
whose boundary passes through the spot gives the same price.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.batch import thread_workspace
from gpu.american.put import AMERICAN_ROWS
from gpu.american.row import american_price, american_row
from gpu.european.formulas import spot_domain
from gpu.european.greeks import Greek, spot_greeks
from gpu.implied.black import IvStatus, implied_deviation
from gpu.status import PriceStatus
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I1: TypeAlias = npt.NDArray[np.int8]
U1: TypeAlias = npt.NDArray[np.uint8]

OK = int(IvStatus.OK)
BELOW_INTRINSIC = int(IvStatus.BELOW_INTRINSIC)
ABOVE_MAXIMUM = int(IvStatus.ABOVE_MAXIMUM)
NO_TIME_VALUE = int(IvStatus.NO_TIME_VALUE)
BAD_INPUT = int(IvStatus.BAD_INPUT)
NO_VEGA = int(IvStatus.NO_VEGA)
_BAD_PRICE = int(PriceStatus.BAD_INPUT)
_NOT_CONVERGED = int(PriceStatus.NOT_CONVERGED)

_MAX_STEPS = 60
_HIGHEST = 40.0  # standard deviations at which the price is its maximum to the last bit
_LAST_DIGITS = 4e-16  # of spot + strike: prices closer than this are equal
_CLOSE = 2e-14  # of spot + strike: a miss that no further step improves
_DONE = 1e-12  # product of the last two relative moves, which is about the next one
_DONE_KNOWN = 1e-5  # a move of second order leaves about its cube
_INNER_STEPS = 8
_VEGA, _VOLGA = int(Greek.VEGA), int(Greek.VOLGA)


@kernel
def certain_value(spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: int) -> float:
    """Least value of an American option: exercise at the best time of a path without uncertainty.

    right * (S exp(-q t) - K exp(-r t)) is largest at an end of the option's life, or where its derivative is zero.
    """
    best = max(right * (spot - strike), 0.0)
    best = max(best, right * (spot * math.exp(-dividend_yield * years) - strike * math.exp(-rate * years)))
    if rate * dividend_yield > 0.0 and rate != dividend_yield:
        turn = math.log(dividend_yield * spot / (rate * strike)) / (dividend_yield - rate)
        if 0.0 < turn < years:
            best = max(best, right * (spot * math.exp(-dividend_yield * turn) - strike * math.exp(-rate * turn)))
    return best


@kernel(internal=True)
def _next_vol(
    vol: float, target: float, slope: float, bend: float, spot: float, strike: float, years: float, rate: float,
    dividend_yield: float, right: int,
) -> float:  # fmt: skip
    """Newton on European(v) + ``slope`` dv + ``bend`` dv^2 / 2 = ``target``, dv = v - ``vol``; NaN if it strays."""
    v = vol
    for _ in range(_INNER_STEPS):
        row = spot_greeks(spot, strike, years, rate, dividend_yield, v, right)
        steep = row[_VEGA] + slope + bend * (v - vol)
        if not steep > 0.0:
            return math.nan
        step = (row[0] + (slope + 0.5 * bend * (v - vol)) * (v - vol) - target) / steep
        v -= step
        if not v > 0.0:
            return math.nan
        if abs(step) <= 1e-10 * v:
            break
    return v


@kernel(internal=True)
def _premium(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    rules: F8, work: F8, row: F8,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    """(price, premium, its vega, its volga, PriceStatus); slopes NaN where only the price is cheap."""
    european = spot_greeks(spot, strike, years, rate, dividend_yield, vol, right)
    first, second = (rate, dividend_yield) if right < 0 else (dividend_yield, rate)
    if second < first < 0.0:
        value, status = american_price(spot, strike, years, rate, dividend_yield, vol, right, rules, work)
        return value, value - european[0], math.nan, math.nan, status
    status = american_row(spot, strike, years, rate, dividend_yield, vol, right, rules, work, row)
    vega, volga = row[_VEGA] - european[_VEGA], row[_VOLGA] - european[_VOLGA]
    return row[0], row[0] - european[0], vega, volga, status


@kernel
def american_implied_row(
    price: float, spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: int,
    guess: float, rules: F8, work: F8, row: F8,
) -> tuple[float, int]:  # fmt: skip
    """(volatility, IvStatus) of one American price; the volatility is NaN unless OK.

    ``guess`` > 0 is where to start (the last volatility, say); 0 or NaN starts from the European one. ``rules``
    and ``work`` as of :func:`american_row`, ``row`` float64[AMERICAN_ROWS] is scratch. The price of the answer
    misses the one given by a few 1e-14 of spot + strike; the volatility, by that over vega.
    """
    sound = spot_domain(spot, strike, years, rate, dividend_yield, 0.0, float(right))
    if not (sound and years > 0.0 and abs(price) < math.inf):
        return math.nan, BAD_INPUT
    size = spot + strike
    least = certain_value(spot, strike, years, rate, dividend_yield, right)
    if price < least - _LAST_DIGITS * size:
        return math.nan, BELOW_INTRINSIC
    if price <= least + _LAST_DIGITS * size:
        return math.nan, NO_TIME_VALUE
    most = (
        spot * max(1.0, math.exp(-dividend_yield * years)) if right > 0 else strike * max(1.0, math.exp(-rate * years))
    )
    if price >= most:
        return math.nan, ABOVE_MAXIMUM
    root = math.sqrt(years)
    growth = math.exp(rate * years)
    deviation, european = implied_deviation(
        price * growth, spot * math.exp((rate - dividend_yield) * years), strike, right
    )
    low, high = 0.0, _HIGHEST / root
    if european == OK:
        high = min(high, deviation / root * (1.0 + 1e-12))
    vol = guess if 0.0 < guess < high else (high if european == OK else 1.0 / root)
    return _search(price, vol, low, high, spot, strike, years, rate, dividend_yield, right, rules, work, row)


@kernel(internal=True)
def _search(
    price: float, vol: float, low: float, high: float,
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: int,
    rules: F8, work: F8, row: F8,
) -> tuple[float, int]:  # fmt: skip
    """Root of the American price less ``price`` in [low, high], starting at ``vol``."""
    size = spot + strike
    exercised = right * (spot - strike)
    last_vol = last_premium = math.nan
    last_move, width = 1.0, math.inf
    for turn in range(_MAX_STEPS):
        value, premium, slope, bend, status = _premium(
            spot, strike, years, rate, dividend_yield, vol, right, rules, work, row
        )
        if status == _BAD_PRICE:
            return math.nan, BAD_INPUT
        if status == _NOT_CONVERGED:
            # Only far out: there the side is known, and the search goes on from inside.
            value, premium = (-math.inf, math.nan) if vol * math.sqrt(years) < 0.5 else (math.inf, math.nan)
        miss = value - price
        if miss > 0.0:
            high = min(high, vol)
        else:
            low = max(low, vol)
        following, vega = math.nan, 0.0
        if exercised + _LAST_DIGITS * size < value < math.inf:  # else exercised at once: flat, no slope to use
            known = slope == slope
            if not known:
                bend = 0.0
                moved = last_vol == last_vol and last_vol != vol
                slope = (premium - last_premium) / (vol - last_vol) if moved else 0.0
            last_vol, last_premium = vol, premium
            vega = spot_greeks(spot, strike, years, rate, dividend_yield, vol, right)[_VEGA]
            if known or last_move < 0.1:  # a secant from afar says nothing of here
                vega += slope
            following = vol
            if abs(miss) > _CLOSE * size:
                following = _next_vol(
                    vol, price - premium, slope, bend, spot, strike, years, rate, dividend_yield, right
                )
            move = abs(following - vol) / vol
            if move * max(move, last_move) <= _DONE or (known and move <= _DONE_KNOWN):
                return _verdict(following, vega, size)
        slow = turn % 3 == 2 and high - low > 0.5 * width
        if turn % 3 == 2:
            width = high - low
        if not low < following < high or slow:
            following = 0.5 * (low + high) if low > 0.0 else 0.5 * high
        last_move = abs(following - vol) / vol
        if high - low <= 1e-14 * high:
            return _verdict(following, vega, size)
        vol = following
    return _verdict(vol, 0.0, size)


@kernel(internal=True)
def _verdict(vol: float, vega: float, size: float) -> tuple[float, int]:
    """NO_VEGA where the last digits of the price move the volatility by a tenth of itself."""
    if _CLOSE * size > 0.1 * vol * vega:
        return math.nan, NO_VEGA
    return vol, OK


@kernel
def _batch(
    price: F8, spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, right: I1, guess: F8,
    rules: F8, work: F8, row: F8, out_vol: F8, status: U1,
) -> None:  # fmt: skip
    warm = guess.shape[0] == price.shape[0]
    for i in range(price.shape[0]):
        out_vol[i], status[i] = american_implied_row(
            price[i], spot[i], strike[i], years[i], rate[i], dividend_yield[i], int(right[i]),
            guess[i] if warm else 0.0, rules, work, row,
        )  # fmt: skip


_NO_GUESS = np.empty(0)


def american_implied_vol(
    price: F8, spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, right: I1, out_vol: F8, status: U1,
    guess: F8 | None = None,
) -> None:  # fmt: skip
    """Volatility implied by n American prices; every array [n].

    ``status`` of ``IvStatus``; ``out_vol`` [1/sqrt(year)] is NaN wherever it is not OK. NO_TIME_VALUE: the
    price is that of exercise at once, or of a path without uncertainty: every small volatility gives it.
    BELOW_INTRINSIC, ABOVE_MAXIMUM: no volatility gives it. ``guess`` float64[n], optional: where to
    start (not positive or NaN: no guess). The yield is continuous; for cash dividends see ``dividend_implied.py``.
    """
    n = price.shape[0]
    for name, array in (
        ("spot", spot), ("strike", strike), ("years", years), ("rate", rate), ("dividend_yield", dividend_yield),
        ("right", right), ("out_vol", out_vol), ("status", status),
    ):  # fmt: skip
        if array.shape != (n,):
            raise ValueError(f"{name} must have shape ({n},) as price has, was {array.shape}")
    if guess is not None and guess.shape != (n,):
        raise ValueError(f"guess must have shape ({n},) as price has, was {guess.shape}")
    rules, work = thread_workspace()
    _batch(
        price, spot, strike, years, rate, dividend_yield, right, _NO_GUESS if guess is None else guess,
        rules, work, np.empty(AMERICAN_ROWS), out_vol, status,
    )  # fmt: skip
