"""Kernels of the grid: the discounted value of one option in one cell, and the sum over a block of options.

Everything that a cell does not change is worked out before: discount factors, forward moneyness and
sqrt(T) once per roll of time, standard deviations and their inverses once per volatility column. A
spot row then adds one number to the moneyness and multiplies the asset leg, so a valuation is one
exponential, two tails and about a hundred operations, and its sum goes straight into its cell.

The scalar functions know no arrays, so that a GPU kernel can call the same ones.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.formulas import MIN_DEVIATION
from gpu.maths.functions import density, tail
from gpu.maths.wide import wide_helper, wide_kernel
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]

#: Options of one underlying taken together: their inputs and scratch stay in the first-level cache.
BLOCK = 256

# Rows of the ``rows`` argument of :func:`revalue`.
ASSET, CASH, RATIO, MONEYNESS, ROOT, RIGHT, WEIGHT, VOL, SHIFT, SLOPE, FLOOR, SPOT, STRIKE, LOG_SPOT = range(14)
ROWS = 14


@wide_helper
def shocked_vol(vol: float, shift: float, slope: float, floor: float, vol_shock: float, log_move: float) -> float:
    """Volatility in a cell; ``shift`` per unit of shock, ``slope`` = stickiness * dv/d ln K."""
    return max(vol + shift * vol_shock - slope * log_move, floor)


@wide_helper
def discounted_value(
    asset: float, cash: float, ratio: float, moneyness: float, deviation: float, inverse: float, right: float
) -> float:
    """Discounted European value; error <= 4 eps * max(asset, cash).

    ``asset`` = S exp(-qT), ``cash`` = K exp(-rT), ``ratio`` = asset / cash, ``moneyness`` its logarithm,
    ``deviation`` = vol sqrt(T) not below ``MIN_DEVIATION`` (where this is the intrinsic value),
    ``inverse`` = 1 / deviation, ``right`` +1.0 or -1.0. The density at d2 is the one at d1 times the
    ratio, which saves an exponential.
    """
    d1 = moneyness * inverse + 0.5 * deviation
    d2 = d1 - deviation
    at_d1 = density(d1)
    t1, t2 = tail(abs(d1), at_d1), tail(abs(d2), at_d1 * ratio)
    n1 = t1 if right * d1 < 0.0 else 1.0 - t1
    n2 = t2 if right * d2 < 0.0 else 1.0 - t2
    return right * (asset * n1 - cash * n2)


@wide_kernel
def column_deviations(vol: F8, shift: F8, slope: F8, floor: F8, root: F8, vol_shock: float, log_move: float,
                      deviation: F8, inverse: F8) -> None:  # fmt: skip
    """Standard deviations of a block in one volatility column, and their inverses."""
    for i in range(vol.shape[0]):
        moved = shocked_vol(vol[i], shift[i], slope[i], floor[i], vol_shock, log_move)
        dev = max(moved * root[i], MIN_DEVIATION)
        deviation[i] = dev
        inverse[i] = 1.0 / dev


@wide_kernel
def cell_values(asset: F8, cash: F8, ratio: F8, moneyness: F8, right: F8, weight: F8, deviation: F8, inverse: F8,
                factor: float, log_move: float, out: F8) -> None:  # fmt: skip
    """Weighted values of a block at the spot moved by ``factor`` = exp(log_move)."""
    for i in range(asset.shape[0]):
        out[i] = weight[i] * discounted_value(
            asset[i] * factor, cash[i], ratio[i] * factor, moneyness[i] + log_move, deviation[i], inverse[i], right[i]
        )


@kernel(inline=True)
def block_sum(values: F8, count: int) -> float:
    """Sum in eight lanes, always in the same order whatever the width of the machine's vectors."""
    a0, a1, a2, a3, a4, a5, a6, a7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = count - count % 8
    for i in range(0, whole, 8):
        a0 += values[i]
        a1 += values[i + 1]
        a2 += values[i + 2]
        a3 += values[i + 3]
        a4 += values[i + 4]
        a5 += values[i + 5]
        a6 += values[i + 6]
        a7 += values[i + 7]
    for i in range(whole, count):
        a0 += values[i]
    return ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7))


@kernel
def revalue(rows: F8, owner: I8, first: I8, last: I8, log_moves: F8, vol_shocks: F8, sticky: bool, scratch: F8,
            out: F8) -> None:  # fmt: skip
    """Add the European value of series to their underlyings' cells.

    ``rows`` float64[ROWS, m]; run k is the series first[k]:last[k], all of underlying owner[k];
    ``log_moves`` float64[u, s]; ``vol_shocks`` float64[v]; ``sticky``: volatility depends on the spot's
    move as well; ``scratch`` float64[3, BLOCK]; ``out`` float64[u, s, v], not cleared here. About 3 ns
    per series and cell with AVX-512. Any thread, no allocation.
    """
    for k in range(owner.shape[0]):
        u = owner[k]
        for low in range(first[k], last[k], BLOCK):
            high = min(low + BLOCK, last[k])
            count = high - low
            deviation, inverse, values = scratch[0, :count], scratch[1, :count], scratch[2, :count]
            for j in range(vol_shocks.shape[0]):
                for i in range(log_moves.shape[1]):
                    if sticky or i == 0:
                        column_deviations(
                            rows[VOL, low:high], rows[SHIFT, low:high], rows[SLOPE, low:high], rows[FLOOR, low:high],
                            rows[ROOT, low:high], vol_shocks[j], log_moves[u, i], deviation, inverse,
                        )  # fmt: skip
                    cell_values(
                        rows[ASSET, low:high], rows[CASH, low:high], rows[RATIO, low:high], rows[MONEYNESS, low:high],
                        rows[RIGHT, low:high], rows[WEIGHT, low:high], deviation, inverse,
                        math.exp(log_moves[u, i]), log_moves[u, i], values,
                    )  # fmt: skip
                    out[u, i, j] += block_sum(values, count)
