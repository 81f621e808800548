"""Bachelier (normal) implied volatility: as ``batch.py`` and ``black.py``, for forwards and strikes of any sign.

In this model the price over the distance to the strike is a function of that distance in deviations
alone, so the answer is explicit: Jaeckel ("Implied Normal Volatility", 2017) gives rational functions
for it, Choi, Kim and Kwak (2009) an earlier one. Here: the guess of ``log_price.py`` at small p, which is
good to 1.6 % up to ten deviations out, and one step of order eight; no price needs an iteration.

Scale: vol in currency per sqrt(year). There is no upper bound on the price.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.implied.black import BAD_INPUT, BELOW_INTRINSIC, NO_TIME_VALUE, NO_VEGA, OK
from gpu.implied.log_price import FINAL_STEP, LAST_DIGITS, MAX_LOG_RATIO, exp_small, log_step, normal_guess, step_size
from gpu.maths.functions import LOG_SQRT_2PI, SQRT_2PI, log_fast, log_ratio, mills
from gpu.maths.wide import wide_helper, wide_kernel
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I1: TypeAlias = npt.NDArray[np.int8]
U1: TypeAlias = npt.NDArray[np.uint8]

_UNFINISHED = 255
_LARGEST = 1e100  # of forward, strike and price, as in gpu/european/bachelier.py
_TINY = 1e-290


@wide_helper
def normal_refined(value: float, gap: float, s: float) -> tuple[float, float, float]:
    """One step towards the deviation whose out-of-the-money value at distance ``gap`` >= 0 is ``value``, from ``s``.

    Returns (deviation, ``step_size``, slope = d ln value / d ln s at s).
    """
    h = gap / s
    ratio = 1.0 - h * mills(h)  # value over s * density(h); relative error eps * (1 + h^2), of which ln s sees eps
    h2, slope = h * h, 1.0 / ratio
    miss = log_fast(s * ratio / (SQRT_2PI * value)) - 0.5 * h2
    step, newton = log_step(miss, slope, h2, 0.0), miss / slope
    return s * exp_small(step), step_size(0.5 * (abs(step) + abs(newton)), h2, 0.0), slope


@wide_kernel
def _explicit(price: F8, forward: F8, strike: F8, years: F8, discount: F8, out_vol: F8, out_status: U1) -> None:
    """Guess and step; ``out_vol`` holds the rights on entry, as in ``batch.py``."""
    for i in range(price.shape[0]):
        f, x, w = forward[i], strike[i], out_vol[i]
        given = price[i] / discount[i]
        gap = abs(f - x)
        value = given - max(w * (f - x), 0.0)
        over = log_ratio(value + gap, value)
        s, size, slope = normal_refined(value, gap, (value + 0.5 * gap) / normal_guess(over))
        vol = s / math.sqrt(years[i])
        good = (max(abs(f), abs(x)) <= _LARGEST) & (given <= _LARGEST) & (value > _TINY) & (discount[i] > 0.0)
        good = good & (abs(w) == 1.0) & (over <= MAX_LOG_RATIO) & (size <= FINAL_STEP)
        good = good & (given * LAST_DIGITS <= value * slope) & (vol > 0.0) & (vol < math.inf)
        out_vol[i] = vol if good else math.nan
        out_status[i] = OK if good else _UNFINISHED


@kernel
def bachelier_deviation(price: float, forward: float, strike: float, right: int) -> tuple[float, int]:
    """(vol * sqrt(years), ``IvStatus``) of one undiscounted price in Bachelier's model; NaN unless OK.

    Forward and strike of any sign, up to 1e100; ``right`` +1 call, -1 put. Never ABOVE_MAXIMUM.
    """
    if not (abs(forward) <= _LARGEST and abs(strike) <= _LARGEST and abs(price) <= _LARGEST):
        return math.nan, BAD_INPUT
    if right != 1 and right != -1:
        return math.nan, BAD_INPUT
    intrinsic = max(right * (forward - strike), 0.0)
    if price < intrinsic:
        return math.nan, BELOW_INTRINSIC
    value, gap = price - intrinsic, abs(forward - strike)
    if value <= _TINY:
        return math.nan, NO_TIME_VALUE
    over = log_ratio(value + gap, value)
    if over <= MAX_LOG_RATIO:
        s = (value + 0.5 * gap) / normal_guess(over)
    else:  # so far out that value / gap = density(h) / h^3 nearly
        h = math.sqrt(2.0 * over)
        for _ in range(3):
            h = math.sqrt(2.0 * (over - LOG_SQRT_2PI - 3.0 * math.log(h)))
        s = gap / h
    size, slope = math.inf, 1.0
    for _ in range(4):
        s, size, slope = normal_refined(value, gap, s)
        if size <= FINAL_STEP:
            break
    if not (size <= FINAL_STEP and price * LAST_DIGITS <= value * slope):
        return math.nan, NO_VEGA
    return s, OK


@kernel
def bachelier_implied_vol_batch(
    price: F8, forward: F8, strike: F8, years: F8, discount: F8, right: I1, out_vol: F8, out_status: U1
) -> None:
    """Normal implied volatility of n European options; every array [n], contiguous, none overlapping an output.

    Parameters
    ----------
    price, forward, strike : float64[n]
        Discounted option price, forward and strike in one currency; the latter two may be negative.
    years, discount : float64[n]
        Time to expiry (ACT/365) and discount factor to it.
    right : int8[n]
        +1 call, -1 put.
    out_vol : float64[n]
        Volatility in currency per sqrt(year); NaN unless the status is OK.
    out_status : uint8[n]
        ``IvStatus``.

    Error: some eps * (vol + price / vega), for the price out of the money.
    """
    for i in range(price.shape[0]):
        out_vol[i] = right[i]
    _explicit(price, forward, strike, years, discount, out_vol, out_status)
    for i in range(price.shape[0]):
        if out_status[i] != _UNFINISHED:
            continue
        if not (years[i] > 0.0 and discount[i] > 0.0 and years[i] < math.inf and discount[i] < math.inf):
            out_status[i] = BAD_INPUT
        else:
            deviation, status = bachelier_deviation(price[i] / discount[i], forward[i], strike[i], int(right[i]))
            vol = deviation / math.sqrt(years[i])
            vanished = status == OK and vol == 0.0  # a tiny price over an age: no double is that small
            out_vol[i] = math.nan if vanished else vol
            out_status[i] = NO_TIME_VALUE if vanished else status
