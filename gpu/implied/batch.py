"""Implied volatility of whole chains: one guess, one step of order eight, in vectors; the worst row ends in bisection.

The loop knows two answers: a volatility that its own last step certifies, or "not by me". Whatever
is not plain (bad numbers, prices at a bound, deviations above 4.6 at the money, strikes further out than
ten deviations) is left to ``black.py``, row by row, which also finds the reason where there is no
volatility. So the fast loop needs no branch and no row can spoil its neighbours.

A warm start takes the last volatility in place of the guess. It is final if the step from it was
small (about 3 % of the volatility at the money, 9 % over d1^2 further out); otherwise the row is as cold as
any other, so a last volatility that is stale, zero, NaN or from another option costs time, never digits.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.implied.black import BAD_INPUT, LARGEST, OK, SMALLEST, implied_deviation
from gpu.implied.log_price import FINAL_STEP, LAST_DIGITS, black_guess, guess_holds, refined
from gpu.maths.functions import log_ratio
from gpu.maths.wide import wide_helper, wide_kernel
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I1: TypeAlias = npt.NDArray[np.int8]
U1: TypeAlias = npt.NDArray[np.uint8]

UNFINISHED = 255  # in ``out_status`` between the two passes only

_OPEN, _CLOSE = 2.0**1000, 2.0**-1000  # far above any volatility (the largest is 1e165)
_BLOCK = 512  # rows of a warm block: small enough for the first-level cache


@wide_helper
def _plain(value: float, forward: float, strike: float, discount: float, right: float) -> bool:
    """Numbers that the fast formulas can take: positive, far from overflow, not NaN."""
    low, high = min(forward, strike), max(forward, strike)
    return (low >= SMALLEST) & (high <= LARGEST) & (value > 0.0) & (discount > 0.0) & (abs(right) == 1.0)


@kernel
def _open_rows(right: I1, out_vol: F8, out_status: U1) -> None:
    """Put right * _OPEN where a row has no volatility yet; the others keep theirs.

    The wide loops read the rights from there, and with them which rows are theirs: one stream of doubles
    instead of two of bytes, which not every machine can load under a mask.
    """
    for i in range(right.shape[0]):
        if out_status[i] == UNFINISHED:
            out_vol[i] = right[i] * _OPEN if right[i] != 0 else math.nan


@wide_kernel
def _cold(price: F8, forward: F8, strike: F8, years: F8, discount: F8, out_vol: F8, out_status: U1) -> None:
    """Guess and step for the open rows; see :func:`_open_rows`."""
    for i in range(price.shape[0]):
        f, x, held = forward[i], strike[i], out_vol[i]
        is_open, w = abs(held) >= _OPEN, held * _CLOSE
        given = price[i] / discount[i]
        gap = abs(f - x)
        value = given - max(w * (f - x), 0.0)  # of the option out of the money, by parity
        over, share, k = log_ratio(value + gap, value), (2.0 * value + gap) / (f + x), abs(log_ratio(f, x))
        start = black_guess(over, share, k)
        s, size, slope = refined(value, f, x, k, start)
        vol = s / math.sqrt(years[i])
        good = _plain(value, f, x, discount[i], w) & guess_holds(over, share, k) & (size <= FINAL_STEP)
        good = good & (given * LAST_DIGITS <= value * slope) & (vol > 0.0) & (vol < math.inf)
        found = (vol if good else math.nan) if is_open else held
        out_vol[i] = found
        out_status[i] = OK if found > 0.0 else UNFINISHED


@wide_kernel
def _warm(
    price: F8, forward: F8, strike: F8, years: F8, discount: F8, last_vol: F8, out_vol: F8, out_status: U1
) -> None:
    """Step from ``last_vol``; all rows are open, see :func:`_open_rows`."""
    for i in range(price.shape[0]):
        f, x, w = forward[i], strike[i], out_vol[i] * _CLOSE
        given = price[i] / discount[i]
        value = given - max(w * (f - x), 0.0)
        root = math.sqrt(years[i])
        s, size, slope = refined(value, f, x, abs(log_ratio(f, x)), last_vol[i] * root)
        vol = s / root
        good = _plain(value, f, x, discount[i], w) & (size <= FINAL_STEP)
        good = good & (given * LAST_DIGITS <= value * slope) & (vol > 0.0) & (vol < math.inf)
        out_vol[i] = vol if good else math.nan
        out_status[i] = OK if good else UNFINISHED


@kernel
def _finish(
    price: F8, forward: F8, strike: F8, years: F8, discount: F8, right: I1, out_vol: F8, out_status: U1
) -> None:
    """The rows that the fast loop left: bracketed solver, or the reason why there is no volatility."""
    for i in range(price.shape[0]):
        if out_status[i] != UNFINISHED:
            continue
        if not (years[i] > 0.0 and discount[i] > 0.0 and years[i] < math.inf and discount[i] < math.inf):
            out_status[i] = BAD_INPUT
        else:
            deviation, status = implied_deviation(price[i] / discount[i], forward[i], strike[i], int(right[i]))
            out_vol[i] = deviation / math.sqrt(years[i])
            out_status[i] = status


@kernel
def implied_vol_batch(
    price: F8, forward: F8, strike: F8, years: F8, discount: F8, right: I1, out_vol: F8, out_status: U1
) -> None:
    """Black implied volatility of n European options; every array [n], contiguous, none overlapping an output.

    Parameters
    ----------
    price, forward, strike : float64[n]
        Discounted option price, forward to expiry and strike in one currency. Best from the option out of
        the money; a price in the money is converted by parity (see ``docs/numerics/implied.md``).
    years, discount : float64[n]
        Time to expiry (ACT/365) and discount factor to it.
    right : int8[n]
        +1 call, -1 put.
    out_vol : float64[n]
        Volatility per sqrt(year); NaN unless the status is OK.
    out_status : uint8[n]
        ``IvStatus``.

    Error: <= 3 eps * F / vega up to six deviations out, like the price's own last digit.
    """
    out_status[:] = UNFINISHED
    _open_rows(right, out_vol, out_status)
    _cold(price, forward, strike, years, discount, out_vol, out_status)
    _finish(price, forward, strike, years, discount, right, out_vol, out_status)


@kernel
def implied_vol_warm(
    price: F8, forward: F8, strike: F8, years: F8, discount: F8, right: I1, last_vol: F8, out_vol: F8, out_status: U1
) -> None:
    """As :func:`implied_vol_batch`, from ``last_vol[n]``: what it was a moment ago, or anything at all.

    ``last_vol`` must not be the array of the results. Rows whose last volatility is not close are
    solved cold, in vectors if they are many in their block; the results have the same error either way.
    """
    n = price.shape[0]
    for a in range(0, n, _BLOCK):
        b = min(a + _BLOCK, n)
        p, f, k, y, d, w = price[a:b], forward[a:b], strike[a:b], years[a:b], discount[a:b], right[a:b]
        vol, status = out_vol[a:b], out_status[a:b]
        status[:] = UNFINISHED
        _open_rows(w, vol, status)
        _warm(p, f, k, y, d, last_vol[a:b], vol, status)
        left = 0
        for i in range(b - a):
            left += status[i] == UNFINISHED
        if 16 * left > b - a:  # a row alone costs sixteen in a vector
            _open_rows(w, vol, status)
            _cold(p, f, k, y, d, vol, status)
        if left > 0:
            _finish(p, f, k, y, d, w, vol, status)
