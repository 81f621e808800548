"""Volatility implied by the price of an American option on a spot that pays dividends in cash, with a status per row.

The price is ``dividends.py``'s: exact recursion for calls, finite differences (milliseconds) for the rest, so what
counts is to ask for few of them. A European option on the same dividends, in closed form, follows the
American one closely; the difference of the two is nearly straight in the volatility. Each step solves European(v) +
difference on the last secant = price, inside a bracket; three or four prices a row. A step that leaves the bracket, or
three that do not halve it, give way to bisection.

The same price means another volatility in each ``DividendModel``. A continuous yield alone: ``implied.py``.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.dividend_recursion import MAX_POINTS, RECURSION_WORK
from gpu.american.dividends import DEFAULT_NODES, DIVIDEND_ROWS, DividendMethod, check_dates_and_nodes, dividend_row
from gpu.american.finite_difference import ESCROWED, GRID_WORK, DividendModel
from gpu.european.dividends import Shift, escrowed_shift, split_shift
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

_MAX_STEPS = 60
_INNER_STEPS = 8
_HIGHEST = 8.0  # standard deviations: a call has its maximum within 1e-4, a put within 1e-2; the grid is coarse beyond
_LOWEST = 1e-6  # standard deviations that are none
_LAST_DIGITS = 4e-16  # of spot + strike: prices closer than this are equal
#: What the methods' prices are good to, of spot + strike, and how near a price the search goes. The grid's, at
#: ``_GRID_STEPS`` steps, falls with their square.
_RECURSION_NOISE, _RECURSION_CLOSE = 1e-12, 1e-13
_GRID_NOISE, _GRID_STEPS, _GRID_CLOSE = 1e-7, 200.0, 1e-11
_JUMP = 10.0  # times the noise: a bracket closed on no root but on a step of the price
_DONE = 1e-12  # product of the last two relative moves, which is about the next one
_VEGA = int(Greek.VEGA)


@kernel(internal=True)
def _european(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int, shift: Shift
) -> tuple[float, float]:
    """(price, vega) of the closed form with these dividends; NaN where they take the whole spot."""
    row = spot_greeks(spot - shift[0], strike + shift[3], years, rate, dividend_yield, vol, right)
    return row[0], row[_VEGA]


@kernel(internal=True)
def _next_vol(
    vol: float, target: float, slope: float,
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: int, shift: Shift,
) -> float:  # fmt: skip
    """Newton on European(v) + ``slope`` (v - ``vol``) = ``target``; NaN if it strays."""
    v = vol
    for _ in range(_INNER_STEPS):
        value, vega = _european(spot, strike, years, rate, dividend_yield, v, right, shift)
        if not vega + slope > 0.0:
            return math.nan
        step = (value + slope * (v - vol) - target) / (vega + slope)
        v -= step
        if not v > 0.0:
            return math.nan
        if abs(step) <= 1e-10 * v:
            break
    return v


@kernel(internal=True)
def _verdict(vol: float, vega: float, noise: float) -> tuple[float, int]:
    """NO_VEGA where what the price is good to moves the volatility by a tenth of itself."""
    if noise > 0.1 * vol * vega:
        return math.nan, NO_VEGA
    return vol, OK


@kernel
def dividend_implied_row(
    price: float, spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: int,
    guess: float, amounts: F8, times: F8, model: int, method: int, steps: int,
    fine: F8, coarse: F8, points: F8, out: F8, spare: F8,
) -> tuple[float, int]:  # fmt: skip
    """(volatility, IvStatus) of one price; the volatility is NaN unless OK.

    ``guess`` > 0 is where to start; 0 or NaN starts from the European volatility. The rest as of
    ``dividends.dividend_row``, whose price at no volatility is the least there is.
    """
    state = dividend_row(
        spot, strike, years, rate, dividend_yield, 0.0, right, amounts, times, model, method, steps, False,
        fine, coarse, points, out, spare,
    )  # fmt: skip
    if state == _BAD_PRICE or not (years > 0.0 and abs(price) < math.inf):
        return math.nan, BAD_INPUT
    size, least = spot + strike, out[0]
    if price < least - _LAST_DIGITS * size:
        return math.nan, BELOW_INTRINSIC
    if price <= least + _LAST_DIGITS * size:
        return math.nan, NO_TIME_VALUE
    if price >= (spot if right > 0 else strike) * max(1.0, math.exp(-(dividend_yield if right > 0 else rate) * years)):
        return math.nan, ABOVE_MAXIMUM
    carry, root = rate - dividend_yield, math.sqrt(years)
    if model == ESCROWED:
        shift = escrowed_shift(years, carry, times, amounts)
    else:
        shift = split_shift(years, carry, times, amounts)
    vol = guess
    if not 0.0 < vol * root < _HIGHEST:
        deviation, european = implied_deviation(
            price * math.exp(rate * years), (spot - shift[0]) * math.exp(carry * years), strike + shift[3], right
        )
        vol = min(deviation, 0.5 * _HIGHEST) / root if european == OK else 0.3 / root
    return _search(
        price, least, vol, spot, strike, years, rate, dividend_yield, right, shift, amounts, times, model, method,
        steps, fine, coarse, points, out, spare,
    )  # fmt: skip


@kernel(internal=True)
def _search(
    price: float, least: float, vol: float,
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: int,
    shift: Shift, amounts: F8, times: F8, model: int, method: int, steps: int,
    fine: F8, coarse: F8, points: F8, out: F8, spare: F8,
) -> tuple[float, int]:  # fmt: skip
    """Root of the American price less ``price``, starting at ``vol``."""
    size, root = spot + strike, math.sqrt(years)
    grid_noise = _GRID_NOISE * size * (_GRID_STEPS / steps) ** 2
    flat = right * (spot - strike) + _LAST_DIGITS * size  # exercised at once: no slope to use
    low, high, top = 0.0, math.inf, _HIGHEST / root
    last_vol = last_extra = math.nan
    last_move, width = 1.0, math.inf
    for turn in range(_MAX_STEPS):
        spare[0] = math.nan  # stays if the recursion answers
        dividend_row(
            spot, strike, years, rate, dividend_yield, vol, right, amounts, times, model, method, steps, False,
            fine, coarse, points, out, spare,
        )  # fmt: skip
        value, by_grid = out[0], spare[0] == spare[0]
        noise = grid_noise if by_grid else _RECURSION_NOISE * size
        if by_grid and price <= least + noise:
            return math.nan, NO_TIME_VALUE
        miss = value - price
        if miss > 0.0:
            high = min(high, vol)
        else:
            low = max(low, vol)
        following, vega, slope = math.nan, 0.0, 0.0
        if value > flat:
            near, vega = _european(spot, strike, years, rate, dividend_yield, vol, right, shift)
            if not vega >= 0.0:  # no closed form: a secant of the price itself
                near = vega = 0.0
            extra = value - near
            if last_vol == last_vol and last_vol != vol:
                slope = (extra - last_extra) / (vol - last_vol)
            last_vol, last_extra = vol, extra
            if abs(miss) <= (_GRID_CLOSE if by_grid else _RECURSION_CLOSE) * size:
                return _verdict(vol, vega + slope, noise)
            if vega > 0.0:
                following = _next_vol(
                    vol, price - extra, slope, spot, strike, years, rate, dividend_yield, right, shift
                )
            elif slope > 0.0:
                following = vol - miss / slope
            move = abs(following - vol) / vol
            if move * max(move, last_move) <= _DONE and abs(miss) <= _JUMP * noise:
                return _verdict(following, vega + slope, noise)
        if high < math.inf and high - low <= 1e-12 * high:
            if abs(miss) > _JUMP * noise:
                return math.nan, NO_VEGA
            return _verdict(vol, vega + slope, noise)
        if high * root <= _LOWEST:
            return math.nan, NO_TIME_VALUE
        if low >= top:
            return math.nan, ABOVE_MAXIMUM
        slow = turn % 3 == 2 and high - low > 0.5 * width
        if turn % 3 == 2:
            width = high - low
        if high == math.inf:
            following = min(following if vol < following < 4.0 * vol else 2.0 * vol, top)
        elif not low < following < high or slow:
            following = 0.5 * (low + high) if low > 0.0 else 0.25 * high
        last_move = abs(following - vol) / vol
        vol = following
    return _verdict(vol, 0.0, size)


@kernel
def _batch(
    price: F8, spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, right: I1, guess: F8, amounts: F8,
    times: F8, model: int, method: int, steps: int, fine: F8, coarse: F8, points: F8, rows: F8, out_vol: F8, status: U1,
) -> None:  # fmt: skip
    warm = guess.shape[0] == price.shape[0]
    for i in range(price.shape[0]):
        out_vol[i], status[i] = dividend_implied_row(
            price[i], spot[i], strike[i], years[i], rate[i], dividend_yield[i], int(right[i]),
            guess[i] if warm else 0.0, amounts, times, model, method, steps, fine, coarse, points, rows[0], rows[1],
        )  # fmt: skip


_NO_GUESS = np.empty(0)


def american_dividend_implied_vol(
    price: F8, spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, right: I1, amounts: F8, times: F8,
    out_vol: F8, status: U1, guess: F8 | None = None, *, model: DividendModel = DividendModel.SPOT,
    method: DividendMethod = DividendMethod.AUTO, nodes: int = DEFAULT_NODES,
) -> None:  # fmt: skip
    """Volatility implied by n American prices on one underlying that pays cash dividends.

    It is the one at which ``dividends.american_dividend_greeks`` gives the price, whose error over vega is its
    error: 1e-5 of a strike of 100 by the grid at 400 nodes, 1e-9 by the recursion. Three or four prices a row.

    Parameters
    ----------
    price, spot, strike, years, rate, dividend_yield
        float64[n]; the yield is paid continuously, beside the dividends.
    right
        int8[n], +1 call, -1 put.
    amounts, times
        float64[d], dividends in currency and their ex-dates in years from now, in any order.
    out_vol
        float64[n], 1/sqrt(year); NaN wherever the status is not OK.
    status
        uint8[n] of ``IvStatus``. BELOW_INTRINSIC: less than exercise at the best date known in advance pays.
        NO_TIME_VALUE: that, or nearer to it than the method's error. ABOVE_MAXIMUM: more than eight standard
        deviations give. NO_VEGA: the method's error moves the volatility by a tenth of itself.
    guess
        float64[n], optional: where to start (not positive or NaN: no guess).
    model, method, nodes
        As of ``american_dividend_greeks``; the model must be the one in which the volatility will be used.

    Raises
    ------
    ValueError
        Arrays of unequal length, or ``nodes`` out of range.
    """
    n = price.shape[0]
    for name, array in (
        ("spot", spot), ("strike", strike), ("years", years), ("rate", rate), ("dividend_yield", dividend_yield),
        ("right", right), ("out_vol", out_vol), ("status", status), ("guess", price if guess is None else guess),
    ):  # fmt: skip
        if array.shape != (n,):
            raise ValueError(f"{name} must have shape ({n},) as price has, was {array.shape}")
    check_dates_and_nodes(amounts, times, nodes)
    order = np.argsort(times, kind="stable")
    _batch(
        price, spot, strike, years, rate, dividend_yield, right, _NO_GUESS if guess is None else guess,
        np.ascontiguousarray(amounts[order]), np.ascontiguousarray(times[order]), int(model), int(method), nodes // 2,
        np.empty((GRID_WORK, nodes)), np.empty((GRID_WORK, nodes // 2)), np.empty((RECURSION_WORK, MAX_POINTS)),
        np.empty((2, DIVIDEND_ROWS)), out_vol, status,
    )  # fmt: skip
