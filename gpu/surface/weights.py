"""Quotes to points of a surface: out-of-the-money mids as total variances, each with the half-spread as its error.

A miss in total variance over ``half`` is, to first order, the miss in price over half of the bid-ask: vega
and spread weigh a quote at once. Every row of the chain gets a ``RowStatus`` that says what became of it.
"""

import math
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.greeks import black_price
from gpu.implied.black import OK as IV_OK
from gpu.implied.black import implied_deviation
from gpu.maths.functions import density
from gpu.surface.forwards.forward import MAX_PRICE, two_sided
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]
U1: TypeAlias = npt.NDArray[np.uint8]


class RowStatus(IntEnum):
    """What became of one contract's quote."""

    USED = 0
    OUTLIER = 1  # used with little weight: the surface misses it by more than six half-spreads
    IN_THE_MONEY = 2  # speaks through parity alone
    NO_QUOTE = 3  # a side is missing, not positive, NaN or absurd
    CROSSED = 4  # bid over ask
    NO_VOL = 5  # no volatility gives this price (below intrinsic, above the forward) or none that the price can tell
    NO_EXPIRY = 6  # its expiry is not in the surface
    BAD_ROW = 7  # the contract itself makes no sense, or is there twice


USED = int(RowStatus.USED)
OUTLIER = int(RowStatus.OUTLIER)
IN_THE_MONEY = int(RowStatus.IN_THE_MONEY)
NO_QUOTE = int(RowStatus.NO_QUOTE)
CROSSED = int(RowStatus.CROSSED)
NO_VOL = int(RowStatus.NO_VOL)
NO_EXPIRY = int(RowStatus.NO_EXPIRY)

#: Rows of the points array: log-moneyness, total variance, its half-spread, row of the chain, strike, undiscounted
#: mid, undiscounted half-spread, miss (price, in half-spreads).
K, W, HALF, ROW, STRIKE, MID, PRICE_HALF, MISS = range(8)
POINT_ROWS = 8

_MAX_VOL = 5.0  # an implied volatility above 500 % is a bad quote
_OUTLIER = 6.0


@kernel(inline=True)
def quote_status(bid: float, ask: float) -> int:
    """USED for a two-sided quote, else why not; prices in currency."""
    if two_sided(bid, ask):
        return USED
    return CROSSED if bid > ask > 0.0 and bid < MAX_PRICE else NO_QUOTE


@kernel(allocates=True, internal=True)
def expiry_points(strike: F8, quotes: F8, call: I8, put: I8, forward: float, discount: float, years: float,
                  least_half: float, points: F8, at: int, status: U1) -> int:  # fmt: skip
    """Points of one expiry to the columns of ``points`` float64[POINT_ROWS, m] from ``at``; returns the next column.

    ``strike`` [n] ascending, ``quotes`` float64[4, n] (call bid, ask, put bid, ask), ``call`` and ``put`` the rows of
    the chain, whose ``status`` is set. ``least_half`` in currency: a locked market is not known better. The points come
    in ascending k.
    """
    highest = _MAX_VOL * math.sqrt(years)
    for i in range(strike.shape[0]):
        right = 1 if strike[i] >= forward else -1
        side, row, other = (0, call[i], put[i]) if right > 0 else (2, put[i], call[i])
        if other >= 0:
            away = quote_status(quotes[2 - side, i], quotes[3 - side, i])
            status[other] = IN_THE_MONEY if away == USED else away
        if row < 0:
            continue
        bid, ask = quotes[side, i], quotes[side + 1, i]
        status[row] = quote_status(bid, ask)
        if status[row] != USED:
            continue
        mid = 0.5 * (bid + ask) / discount
        deviation, answer = implied_deviation(mid, forward, strike[i], right)
        status[row] = NO_VOL
        if answer != IV_OK or deviation > highest:
            continue
        k = math.log(strike[i] / forward)
        d1 = -k / deviation + 0.5 * deviation
        slope = 0.5 * forward * density(d1) / deviation  # of the undiscounted price in total variance
        half = max(0.5 * (ask - bid), least_half) / discount
        # No variance is known better than this: deep wings have no vega to divide by.
        if slope * deviation * deviation <= 1e-6 * half:
            continue
        status[row] = USED
        points[K, at], points[W, at], points[HALF, at] = k, deviation * deviation, half / slope
        points[ROW, at], points[STRIKE, at] = row, strike[i]
        points[MID, at], points[PRICE_HALF, at], points[MISS, at] = mid, half, math.nan
        at += 1
    return at


@kernel(allocates=True, internal=True)
def money_deviation(points: F8, start: int, stop: int) -> float:
    """Root of the median variance of the (up to five) points nearest to the money; ascending k."""
    near = start
    for p in range(start, stop):
        if abs(points[K, p]) < abs(points[K, near]):
            near = p
    low, high = near, near + 1
    while high - low < 5 and (low > start or high < stop):
        if high >= stop or (low > start and abs(points[K, low - 1]) <= abs(points[K, high])):
            low -= 1
        else:
            high += 1
    # The lower median of at most five: the one that at least half of them do not exceed.
    for a in range(low, high):
        under, same = 0, 0
        for b in range(low, high):
            under += 1 if points[W, b] < points[W, a] else 0
            same += 1 if points[W, b] == points[W, a] else 0
        if under <= (high - low - 1) // 2 < under + same:
            return math.sqrt(points[W, a])
    return math.sqrt(points[W, near])


@kernel(allocates=True, internal=True)
def price_misses(points: F8, start: int, stop: int, forward: float, variance: F8, status: U1, order: F8
                 ) -> tuple[float, float, int, int]:  # fmt: skip
    """(median, largest, inside, outliers) of |price of the surface - mid| in half-spreads; points' MISS is set.

    ``variance`` float64[>= stop - start] of the surface at the points, ``order`` scratch of the same size. The signed
    miss is positive where the surface is dearer.
    """
    inside, outliers, worst, count = 0, 0, 0.0, stop - start
    for p in range(start, stop):
        right = 1 if points[STRIKE, p] >= forward else -1
        value = black_price(forward, points[STRIKE, p], math.sqrt(variance[p - start]), right)
        miss = (value - points[MID, p]) / points[PRICE_HALF, p]
        points[MISS, p] = miss
        size = abs(miss)
        inside += 1 if size <= 1.0 else 0
        worst = max(worst, size)
        status[int(points[ROW, p])] = USED
        if size > _OUTLIER:
            status[int(points[ROW, p])] = OUTLIER
            outliers += 1
        place = p - start
        while place > 0 and order[place - 1] > size:
            order[place] = order[place - 1]
            place -= 1
        order[place] = size
    if count == 0:
        return math.nan, math.nan, 0, 0
    return 0.5 * (order[(count - 1) // 2] + order[count // 2]), worst, inside, outliers
