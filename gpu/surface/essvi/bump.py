"""What three numbers per expiry miss: a small smooth spline added to the total variance of each eSSVI slice.

A cubic B-spline in u = asinh(k / scale), twice continuously differentiable and zero outside its knots, so
that both wings, and all statements about them, stay eSSVI's. It is fitted to what the slice leaves, in
half-spreads with Cauchy's loss, against a penalty on the second differences of the spline relative to the
slice's own variance (Eilers and Marx), and never without :mod:`gpu.surface.essvi.check`, which demands that
neither a butterfly nor a calendar spread of the sum is worth less than nothing.

Also here: the layout of a node, the row of numbers that is one expiry of a surface.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.surface.essvi.terms import essvi_variance
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]

#: Columns of a node. Forward and discount as logarithms; K_LOW..K_HIGH is where the bump is not zero (empty: none).
YEARS, LOG_FORWARD, LOG_DISCOUNT, THETA, PSI, ETA = 0, 1, 2, 3, 4, 5
#: The bump's cells: place = asinh(k PER_SCALE) PER_STEP - SHIFT, cell m from place m to m + 1.
PER_SCALE, PER_STEP, SHIFT, BUMP_COUNT, K_LOW, K_HIGH, BUMP_COEF = 6, 7, 8, 9, 10, 11, 12
NODE = 64

_FADE = 4  # knot intervals beyond the quotes on each side
_MAX_INNER = NODE - BUMP_COEF - 3 - 2 * _FADE - 1
_MIN_STEP = 0.05  # of u: a twentieth of a deviation at the money
_LOSS_SCALE = 2.0
_PASSES = 3
#: Rows of scratch for :func:`fit_bump`: weight, miss, relative scale of the coefficients, then the band.
BUMP_WORK = 8


@kernel(inline=True)
def bump_value(nodes: F8, i: int, k: float) -> float:
    """Bump of node ``i`` at ``k``."""
    if not nodes[i, K_LOW] < k < nodes[i, K_HIGH]:
        return 0.0
    x = k * nodes[i, PER_SCALE]
    size = math.log(abs(x) + math.sqrt(1.0 + x * x))
    place = (size if x >= 0.0 else -size) * nodes[i, PER_STEP] - nodes[i, SHIFT]
    cell = min(max(int(place), 0), int(nodes[i, BUMP_COUNT]) - 4)
    t = place - cell
    s = 1.0 - t
    at = BUMP_COEF + cell
    t2, s2 = t * t, s * s
    return (
        s2 * s * nodes[i, at] + (4.0 - 6.0 * t2 + 3.0 * t2 * t) * nodes[i, at + 1]
        + (4.0 - 6.0 * s2 + 3.0 * s2 * s) * nodes[i, at + 2] + t2 * t * nodes[i, at + 3]
    ) / 6.0  # fmt: skip


@kernel(inline=True)
def bump_terms(nodes: F8, i: int, k: float) -> tuple[float, float, float]:
    """(bump, d/dk, d2/dk2) of node ``i`` at ``k``."""
    if not nodes[i, K_LOW] < k < nodes[i, K_HIGH]:
        return 0.0, 0.0, 0.0
    per_scale, per_step = nodes[i, PER_SCALE], nodes[i, PER_STEP]
    x = k * per_scale
    root = math.sqrt(1.0 + x * x)
    size = math.log(abs(x) + root)
    place = (size if x >= 0.0 else -size) * per_step - nodes[i, SHIFT]
    cell = min(max(int(place), 0), int(nodes[i, BUMP_COUNT]) - 4)
    t = place - cell
    s = 1.0 - t
    at = BUMP_COEF + cell
    c0, c1, c2, c3 = nodes[i, at], nodes[i, at + 1], nodes[i, at + 2], nodes[i, at + 3]
    t2, s2 = t * t, s * s
    value = (s2 * s * c0 + (4.0 - 6.0 * t2 + 3.0 * t2 * t) * c1
             + (4.0 - 6.0 * s2 + 3.0 * s2 * s) * c2 + t2 * t * c3) / 6.0  # fmt: skip
    first = 0.5 * (-s2 * c0 + (3.0 * t2 - 4.0 * t) * c1 + (4.0 * s - 3.0 * s2) * c2 + t2 * c3) * per_step
    second = (s * c0 + (3.0 * t - 2.0) * c1 + (3.0 * s - 2.0) * c2 + t * c3) * per_step * per_step
    by_k = per_scale / root  # du/dk
    return value, first * by_k, (second - first * x / root) * by_k * by_k


@kernel(inline=True)
def knot_place(nodes: F8, i: int, place: float) -> float:
    """Log-moneyness at a place in units of knot intervals from the first knot of node ``i``, which has a bump."""
    return math.sinh((place + nodes[i, SHIFT]) / nodes[i, PER_STEP]) / nodes[i, PER_SCALE]


@kernel(allocates=True, internal=True)
def place_knots(nodes: F8, i: int, low: float, high: float, count: int) -> int:
    """Lay the knots of node ``i`` over ``count`` quotes from k = ``low`` to ``high``; returns the free coefficients.

    Scale, interval and number follow from the arguments alone, so that a refit over the same quotes has the same
    knots up to their common movement.
    """
    scale = math.sqrt(nodes[i, THETA])
    first, last = math.asinh(low / scale), math.asinh(high / scale)
    inner = min(max(count // 3, 3), _MAX_INNER)
    step = max((last - first) / inner, _MIN_STEP)
    low = 0.5 * (first + last) - step * (0.5 * inner + _FADE)
    nodes[i, PER_SCALE], nodes[i, PER_STEP], nodes[i, SHIFT] = 1.0 / scale, 1.0 / step, low / step
    total = inner + 2 * _FADE + 3
    nodes[i, BUMP_COUNT] = total
    nodes[i, BUMP_COEF:NODE] = 0.0
    nodes[i, K_LOW] = scale * math.sinh(low)
    nodes[i, K_HIGH] = scale * math.sinh(low + step * (total - 3))
    return total - 6


@kernel(allocates=True, internal=True)
def no_bump(nodes: F8, i: int) -> None:
    """Leave node ``i`` without a bump."""
    nodes[i, PER_SCALE:NODE] = 0.0


@kernel(inline=True)
def _basis(place: float, cells: int) -> tuple[int, float, float, float, float]:
    """Cell of ``place`` and the four splines that live there."""
    cell = min(max(int(place), 0), cells)
    t = place - cell
    s = 1.0 - t
    v1 = (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0
    v2 = (4.0 - 6.0 * s * s + 3.0 * s * s * s) / 6.0
    return cell, s * s * s / 6.0, v1, v2, t * t * t / 6.0


@kernel(allocates=True, internal=True)
def _add_row(band: F8, free: int, first: int, v0: float, v1: float, v2: float, v3: float, weight: float, target: float
             ) -> None:  # fmt: skip
    """Add weight * (row . c - target)^2 to the banded normal equations; rows 0-3 the diagonals, 4 the right side."""
    values = (v0, v1, v2, v3)
    for p in range(4):
        row = first + p
        if 0 <= row < free:
            band[4, row] += weight * values[p] * target
            for q in range(p + 1):
                if first + q >= 0:
                    band[p - q, row] += weight * values[p] * values[q]


@kernel(allocates=True, internal=True)
def _solve_band(band: F8, free: int, out: F8) -> bool:
    """Cholesky solution with three lower diagonals (``band[d, row]`` = element (row, row - d)); False if singular."""
    for row in range(free):
        for d in range(min(3, row), -1, -1):
            total = band[d, row]
            column = row - d
            for c in range(max(row - 3, 0), column):
                if column - c <= 3:
                    total -= band[row - c, row] * band[column - c, column]
            if d == 0:
                if not total > 0.0:
                    return False
                band[0, row] = math.sqrt(total)
            else:
                band[d, row] = total / band[0, column]
    for row in range(free):
        total = band[4, row]
        for d in range(1, min(3, row) + 1):
            total -= band[d, row] * out[row - d]
        out[row] = total / band[0, row]
    for row in range(free - 1, -1, -1):
        total = out[row]
        for d in range(1, min(3, free - 1 - row) + 1):
            total -= band[d, row + d] * out[row + d]
        out[row] = total / band[0, row]
    return True


@kernel(allocates=True, internal=True)
def _relative_scales(nodes: F8, i: int, free: int, scales: F8) -> None:
    """Variance of the slice at the centre of each free coefficient's spline."""
    for j in range(free):
        k = knot_place(nodes, i, j + 2.0)
        scales[j] = essvi_variance(nodes[i, THETA], nodes[i, PSI], nodes[i, ETA], k)


@kernel(allocates=True, internal=True)
def _add_roughness(band: F8, free: int, scales: F8, weight: float) -> None:
    """Squared second differences of coefficient over scale, the fixed zeros at both ends included."""
    for j in range(-2, free):
        v0 = 1.0 / scales[j] if j >= 0 else 0.0
        v1 = -2.0 / scales[j + 1] if 0 <= j + 1 < free else 0.0
        v2 = 1.0 / scales[j + 2] if j + 2 < free else 0.0
        _add_row(band, free, j, v0, v1, v2, 0.0, weight, 0.0)


@kernel(allocates=True, internal=True)
def fit_bump(nodes: F8, i: int, k: F8, w: F8, half: F8, start: int, stop: int, rough: float, work: F8) -> None:
    """Fit the coefficients of node ``i`` (knots laid, slice set) to the points ``start`` .. ``stop``.

    ``rough``: weight of the squared second derivative (in u) of the bump relative to the slice, in squared
    half-spreads. ``work`` float64[BUMP_WORK, >= max(points, NODE)] is scratch.
    """
    free = int(nodes[i, BUMP_COUNT]) - 6
    weight, miss, scales, band = work[0], work[1], work[2], work[3:8]
    step = 1.0 / nodes[i, PER_STEP]
    _relative_scales(nodes, i, free, scales)
    nodes[i, BUMP_COEF:NODE] = 0.0
    for p in range(start, stop):
        miss[p - start] = w[p] - essvi_variance(nodes[i, THETA], nodes[i, PSI], nodes[i, ETA], k[p])
    for _ in range(_PASSES):
        band[:, :free] = 0.0
        for p in range(start, stop):
            left = (miss[p - start] - bump_value(nodes, i, k[p])) / (half[p] * _LOSS_SCALE)
            weight[p - start] = 1.0 / (half[p] * half[p] * (1.0 + left * left))
            cell, v0, v1, v2, v3 = _basis(math.asinh(k[p] * nodes[i, PER_SCALE]) / step - nodes[i, SHIFT], free + 2)
            _add_row(band, free, cell - 3, v0, v1, v2, v3, weight[p - start], miss[p - start])
        _add_roughness(band, free, scales, rough / (step * step * step))
        if not _solve_band(band, free, nodes[i, BUMP_COEF + 3 : BUMP_COEF + 3 + free]):
            nodes[i, BUMP_COEF:NODE] = 0.0
            return
