"""Kernels of an American book: the premium of early exercise read from its Chebyshev table, cell by cell.

A call on (S, K, r, q) is a put on (K, S, q, r), so all is said for puts of strike one. For one maturity,
rate and yield the premium is a function of log-moneyness x and volatility, analytic between the
exercise boundary ln B(vol) and infinity. In the boundary's own coordinates,

    z = 2 (x - ln B) / (vol sqrt(T) reach) - 1,   t = the logarithm of vol, scaled to -1..1,

it is so smooth that a table of 21 x 9 coefficients is good for eight digits. Left of z = -1 the option
is exercised and worth its intrinsic value; right of 1 the premium is below the table's error.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.formulas import MIN_DEVIATION
from gpu.maths.functions import log_fast
from gpu.maths.wide import wide_kernel
from gpu.portfolio.value import (
    ASSET,
    CASH,
    FLOOR,
    LOG_SPOT,
    MONEYNESS,
    RATIO,
    RIGHT,
    ROOT,
    SHIFT,
    SLOPE,
    SPOT,
    STRIKE,
    VOL,
    WEIGHT,
    block_sum,
    discounted_value,
    shocked_vol,
)
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]

#: Degree in z of every table; even (two steps of the recurrence at a time).
DEGREE = 20
#: Highest degree in volatility.
MAX_VOL_DEGREE = 32
#: Options taken together: 21 rows of coefficients stay near the core.
BLOCK = 128

# Columns of ``shape`` [groups, SHAPE]: centre and inverse half-width of ln vol, 2 / reach, degree in volatility.
CENTRE, NARROW, STEEP, VOL_DEGREE = range(4)
SHAPE = 4

#: Rows of ``scratch`` float64[SCRATCH, BLOCK]: deviation, inverse, t, ln B, 2z, two of the recurrence, values;
#: then the Chebyshev polynomials of t, then the coefficients in z.
SCRATCH = 8 + (MAX_VOL_DEGREE + 1) + (DEGREE + 1)


@wide_kernel
def column_positions(vol: F8, shift: F8, slope: F8, floor: F8, root: F8, vol_shock: float, log_move: float,
                     centre: float, narrow: float, deviation: F8, inverse: F8, t: F8) -> None:  # fmt: skip
    """Standard deviations of a block in a volatility column, and where its volatilities lie in the table."""
    for i in range(vol.shape[0]):
        moved = shocked_vol(vol[i], shift[i], slope[i], floor[i], vol_shock, log_move)
        dev = max(moved * root[i], MIN_DEVIATION)
        deviation[i] = dev
        inverse[i] = 1.0 / dev
        t[i] = min(max((log_fast(moved) - centre) * narrow, -1.0), 1.0)


@wide_kernel
def next_polynomial(t: F8, last: F8, before: F8, out: F8) -> None:
    """T_n+1 = 2 t T_n - T_n-1."""
    for i in range(t.shape[0]):
        out[i] = 2.0 * t[i] * last[i] - before[i]


@wide_kernel
def add_multiple(factor: float, polynomial: F8, out: F8) -> None:
    """Add factor * polynomial to out."""
    for i in range(polynomial.shape[0]):
        out[i] += factor * polynomial[i]


@wide_kernel
def cell_positions(log_spot: F8, right: F8, log_boundary: F8, inverse: F8, steep: float, log_move: float,
                   twice_z: F8) -> None:  # fmt: skip
    """2 z of a block in a cell, kept within the table."""
    for i in range(log_spot.shape[0]):
        z = (-right[i] * (log_spot[i] + log_move) - log_boundary[i]) * inverse[i] * steep - 1.0
        twice_z[i] = 2.0 * min(max(z, -1.0), 1.0)


@wide_kernel
def recurrence(coefficient: F8, twice_z: F8, last: F8, before: F8) -> None:
    """One step of Clenshaw's sum, over the older of the two terms."""
    for i in range(twice_z.shape[0]):
        before[i] = coefficient[i] + twice_z[i] * last[i] - before[i]


@wide_kernel
def cell_values(asset: F8, cash: F8, ratio: F8, moneyness: F8, right: F8, weight: F8, spot: F8, strike: F8,
                log_spot: F8, log_boundary: F8, deviation: F8, inverse: F8, steep: float, factor: float,
                log_move: float, twice_z: F8, lowest: F8, last: F8, before: F8, out: F8) -> None:  # fmt: skip
    """Weighted values of a block: European value and premium, or the intrinsic value where it is exercised."""
    for i in range(asset.shape[0]):
        european = discounted_value(
            asset[i] * factor, cash[i], ratio[i] * factor, moneyness[i] + log_move, deviation[i], inverse[i], right[i]
        )
        z = (-right[i] * (log_spot[i] + log_move) - log_boundary[i]) * inverse[i] * steep - 1.0
        scale = strike[i] if right[i] < 0.0 else spot[i] * factor
        premium = scale * (lowest[i] + 0.5 * twice_z[i] * last[i] - before[i])
        held = european + (premium if z < 1.0 else 0.0)
        out[i] = weight[i] * (held if z > -1.0 else right[i] * (spot[i] * factor - strike[i]))


@kernel
def _collapse(coefficients: F8, boundary: F8, degree: int, count: int, scratch: F8) -> None:
    """Sum the table over volatility: the boundary and the coefficients in z of every option of the block."""
    t = scratch[2, :count]
    first = 8
    for n in range(degree + 1):
        polynomial = scratch[first + n, :count]
        polynomial[:] = 1.0 if n == 0 else 0.0
        if n == 1:
            add_multiple(1.0, t, polynomial)
        elif n > 1:
            next_polynomial(t, scratch[first + n - 1, :count], scratch[first + n - 2, :count], polynomial)
    log_boundary = scratch[3, :count]
    log_boundary[:] = 0.0
    for n in range(degree + 1):
        add_multiple(boundary[n], scratch[first + n, :count], log_boundary)
    for a in range(DEGREE + 1):
        row = scratch[first + MAX_VOL_DEGREE + 1 + a, :count]
        row[:] = 0.0
        for n in range(degree + 1):
            add_multiple(coefficients[a, n], scratch[first + n, :count], row)


@kernel
def revalue_american(rows: F8, owner: I8, first: I8, last: I8, group: I8, coefficients: F8, boundary: F8, shape: F8,
                     log_moves: F8, vol_shocks: F8, sticky: bool, scratch: F8, out: F8) -> None:  # fmt: skip
    """Add the American value of series to their underlyings' cells.

    As ``value.revalue``; run k reads table ``group[k]``: ``coefficients`` float64[g, DEGREE + 1,
    MAX_VOL_DEGREE + 1], ``boundary`` float64[g, MAX_VOL_DEGREE + 1], ``shape`` float64[g, SHAPE];
    ``scratch`` float64[SCRATCH, BLOCK]. About 12 ns per series and cell. Any thread, no allocation.
    """
    table = 8 + MAX_VOL_DEGREE + 1
    for k in range(owner.shape[0]):
        u, g = owner[k], group[k]
        degree, steep = int(shape[g, VOL_DEGREE]), shape[g, STEEP]
        for low in range(first[k], last[k], BLOCK):
            high = min(low + BLOCK, last[k])
            count = high - low
            deviation, inverse, log_boundary = scratch[0, :count], scratch[1, :count], scratch[3, :count]
            twice_z, values = scratch[4, :count], scratch[7, :count]
            newer, older = scratch[5, :count], scratch[6, :count]
            log_spot, right = rows[LOG_SPOT, low:high], rows[RIGHT, low:high]
            for j in range(vol_shocks.shape[0]):
                for i in range(log_moves.shape[1]):
                    move = log_moves[u, i]
                    if sticky or i == 0:
                        column_positions(
                            rows[VOL, low:high], rows[SHIFT, low:high], rows[SLOPE, low:high], rows[FLOOR, low:high],
                            rows[ROOT, low:high], vol_shocks[j], move, shape[g, CENTRE], shape[g, NARROW], deviation,
                            inverse, scratch[2, :count],
                        )  # fmt: skip
                        _collapse(coefficients[g], boundary[g], degree, count, scratch)
                    cell_positions(log_spot, right, log_boundary, inverse, steep, move, twice_z)
                    newer[:] = 0.0
                    older[:] = 0.0
                    for a in range(DEGREE, 0, -2):
                        recurrence(scratch[table + a, :count], twice_z, newer, older)
                        recurrence(scratch[table + a - 1, :count], twice_z, older, newer)
                    cell_values(
                        rows[ASSET, low:high], rows[CASH, low:high], rows[RATIO, low:high], rows[MONEYNESS, low:high],
                        right, rows[WEIGHT, low:high], rows[SPOT, low:high], rows[STRIKE, low:high], log_spot,
                        log_boundary, deviation, inverse, steep, math.exp(move), move, twice_z,
                        scratch[table, :count], newer, older, values,
                    )  # fmt: skip
                    out[u, i, j] += block_sum(values, count)
