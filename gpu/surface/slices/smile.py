"""One smile per expiry: raw SVI plus a smooth bump, free of butterfly arbitrage, inside the spreads.

Five SVI parameters carry the shape and the wings, but on a liquid chain they miss penny-wide quotes by
several spreads (earnings, pinned strikes, two-hour options). What they leave is fitted by a
penalised cubic spline (Eilers and Marx) in u = asinh(k / s0), measured in half-spreads, and fading
to nothing outside the quotes, so that the wings stay SVI's. Durrleman's function
g(k) = (1 - k w' / 2w)^2 - w'^2 / 4 (1/w + 1/4) + w''/2, which has the sign of the risk-neutral
density, is checked on a dense grid: an SVI that fails is mixed with a flat smile (a mix of raw SVIs
is a raw SVI) until it passes, a bump that fails is shrunk. Both always end, the flat smile passes.

Not here: arbitrage between expiries (reported by the pricer, not repaired), dynamics of the smile.
"""

import math
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.surface.slices.svi import fit_svi, svi_variance
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]


class SmileStatus(IntEnum):
    """How good a fit is; NONE has no parameters."""

    OK = 0
    FEW_POINTS = 1  # one to four quotes: level, slope and curvature pulled to flat, no bump
    REPAIRED = 2  # the best SVI had a negative density and was mixed with a flat one
    NONE = 3  # no usable quote


OK = int(SmileStatus.OK)
FEW_POINTS = int(SmileStatus.FEW_POINTS)
REPAIRED = int(SmileStatus.REPAIRED)
NONE = int(SmileStatus.NONE)

#: Layout of a smile's parameter vector.
SCALE, SVI_A, SVI_B, SVI_RHO, SVI_M, SVI_SIGMA, BUMP_LOW, BUMP_STEP, BUMP_COUNT = 0, 1, 2, 3, 4, 5, 6, 7, 8
BUMP_COEF = 16
SMILE_PARAMS = 64

_MAX_INNER = 24  # spline intervals over the quotes
_PAD = 3  # and beyond them on each side
_MAX_COEF = _MAX_INNER + 2 * _PAD + 3
#: Rows of the scratch array: 0-7 SVI, 8 weights, 9 misses, 10.. normal matrix.
WORK_ROWS = 10 + _MAX_COEF + 4

_GRID = 160  # points of the butterfly check over the quotes and two units of u beyond
_GRID_BEYOND = 2.0
_MIN_DENSITY = 2e-3  # margin for what happens between grid points
_NEAR_DENSITY = 0.25  # below it the grid is refined
_FINER = 8
_TARGET_INSIDE = 0.97
_MIN_RELATIVE_VARIANCE = 1e-3


@kernel(allocates=True)
def _bump(params: F8, k: float) -> tuple[float, float, float]:
    """Bump and its first two derivatives in k; zero (C2) outside its knots."""
    count = int(params[BUMP_COUNT])
    if count == 0:
        return 0.0, 0.0, 0.0
    scale, step = params[SCALE], params[BUMP_STEP]
    root = math.sqrt(k * k + scale * scale)
    place = (math.asinh(k / scale) - params[BUMP_LOW]) / step
    cell = math.floor(place)
    if cell < 0 or cell > count - 4:
        return 0.0, 0.0, 0.0
    t = place - cell
    c0, c1 = params[BUMP_COEF + cell], params[BUMP_COEF + cell + 1]
    c2, c3 = params[BUMP_COEF + cell + 2], params[BUMP_COEF + cell + 3]
    s = 1.0 - t
    value = (s * s * s * c0 + (4.0 - 6.0 * t * t + 3.0 * t * t * t) * c1
             + (4.0 - 6.0 * s * s + 3.0 * s * s * s) * c2 + t * t * t * c3) / 6.0  # fmt: skip
    first = 0.5 * (-s * s * c0 + (3.0 * t * t - 4.0 * t) * c1 + (4.0 * s - 3.0 * s * s) * c2 + t * t * c3) / step
    second = (s * c0 + (3.0 * t - 2.0) * c1 + (3.0 * s - 2.0) * c2 + t * c3) / (step * step)
    u1 = 1.0 / root
    return value, first * u1, second * u1 * u1 - first * k * u1 * u1 * u1


@kernel(allocates=True)
def smile_terms(params: F8, k: float) -> tuple[float, float, float]:
    """(w, dw/dk, d2w/dk2) of total variance at log-moneyness k = ln(strike / forward)."""
    x = k - params[SVI_M]
    root = math.sqrt(x * x + params[SVI_SIGMA] * params[SVI_SIGMA])
    b, rho = params[SVI_B], params[SVI_RHO]
    base = params[SVI_A] + b * (rho * x + root)
    slope = b * (rho + x / root)
    curve = b * params[SVI_SIGMA] * params[SVI_SIGMA] / (root * root * root)
    value, first, second = _bump(params, k)
    return base + value, slope + first, curve + second


@kernel(allocates=True)
def smile_variance(params: F8, k: float) -> float:
    """Total variance at ``k``, never under 1e-3 of the at-the-money one."""
    base = svi_variance(params[SVI_A], params[SVI_B], params[SVI_RHO], params[SVI_M], params[SVI_SIGMA], k)
    return float(max(base + _bump(params, k)[0], _MIN_RELATIVE_VARIANCE * params[SCALE] * params[SCALE]))


@kernel(allocates=True)
def durrleman(params: F8, k: float) -> float:
    """Durrleman's g(k): negative where a butterfly around exp(k) would cost less than nothing."""
    w, first, second = smile_terms(params, k)
    if w <= 0.0:
        return -1.0
    bend = 1.0 - 0.5 * k * first / w
    return bend * bend - 0.25 * first * first * (1.0 / w + 0.25) + 0.5 * second


@kernel(allocates=True)
def _density(params: F8, u: float, floor: float) -> float:
    """Durrleman's g at ``u``; -1 where the variance has fallen to its floor."""
    k = params[SCALE] * math.sinh(u)
    return -1.0 if smile_terms(params, k)[0] < floor else durrleman(params, k)


@kernel(allocates=True)
def butterfly_free(params: F8, low: float, high: float) -> bool:
    """Is the density positive, with a margin, on a dense grid from ``low`` to ``high`` (in u) and beyond?

    Where it comes near zero the grid is eight times finer: the spline's second derivative has kinks,
    and a dip between two points of the coarse grid would be missed.
    """
    start = low - _GRID_BEYOND
    step = (high - low + 2.0 * _GRID_BEYOND) / (_GRID - 1)
    floor = _MIN_RELATIVE_VARIANCE * params[SCALE] * params[SCALE]
    before = 1.0
    for i in range(_GRID):
        here = _density(params, start + i * step, floor)
        if here < _MIN_DENSITY:
            return False
        if i > 0 and min(before, here) < _NEAR_DENSITY:
            for part in range(1, _FINER):
                if _density(params, start + (i - part / _FINER) * step, floor) < _MIN_DENSITY:
                    return False
        before = here
    return True


@kernel(allocates=True)
def _repair_svi(params: F8, low: float, high: float) -> bool:
    """Mix the SVI with the flat smile of its money level until it is free of butterflies. True if it had to."""
    if butterfly_free(params, low, high):
        return False
    a, b = params[SVI_A], params[SVI_B]
    flat = params[SCALE] * params[SCALE]
    good, bad = 1.0, 0.0
    for _ in range(12):
        mix = 0.5 * (good + bad)
        params[SVI_A], params[SVI_B] = (1.0 - mix) * a + mix * flat, (1.0 - mix) * b
        if butterfly_free(params, low, high):
            good = mix
        else:
            bad = mix
    params[SVI_A], params[SVI_B] = (1.0 - good) * a + good * flat, (1.0 - good) * b
    return True


@kernel(allocates=True)
def _normal_equations(params: F8, k: F8, miss: F8, weight: F8, count: int, free: int, rough: float,
                      matrix: F8) -> None:  # fmt: skip
    """Penalised normal equations of the bump's ``free`` inner coefficients; column ``free`` is the right side."""
    matrix[:free, : free + 1] = 0.0
    scale, step, low = params[SCALE], params[BUMP_STEP], params[BUMP_LOW]
    for i in range(count):
        place = (math.asinh(k[i] / scale) - low) / step
        cell = min(max(math.floor(place), 0), free + 2)
        t = place - cell
        s = 1.0 - t
        v0, v3 = s * s * s / 6.0, t * t * t / 6.0
        v1, v2 = (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0, (4.0 - 6.0 * s * s + 3.0 * s * s * s) / 6.0
        values = (v0, v1, v2, v3)
        for p in range(4):
            row = cell + p - 3
            if row < 0 or row >= free:
                continue
            matrix[row, free] += weight[i] * values[p] * miss[i]
            for q in range(4):
                column = cell + q - 3
                if 0 <= column < free:
                    matrix[row, column] += weight[i] * values[p] * values[q]
    for j in range(-2, free):  # squared second differences, the fixed zeros at both ends included
        for p in range(3):
            for q in range(3):
                if 0 <= j + p < free and 0 <= j + q < free:
                    matrix[j + p, j + q] += rough * (1.0 if p != 1 else -2.0) * (1.0 if q != 1 else -2.0)


@kernel(allocates=True)
def _solve(matrix: F8, free: int, out: F8) -> bool:
    """Cholesky solution of the banded normal equations (bandwidth 3); False if not positive definite."""
    for i in range(free):
        for j in range(max(i - 3, 0), i + 1):
            total = matrix[i, j]
            for m in range(max(i - 3, 0), j):
                total -= matrix[i, m] * matrix[j, m]
            if i == j:
                if total <= 0.0:
                    return False
                matrix[i, i] = math.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    for i in range(free):
        total = matrix[i, free]
        for m in range(max(i - 3, 0), i):
            total -= matrix[i, m] * out[m]
        out[i] = total / matrix[i, i]
    for i in range(free - 1, -1, -1):
        total = out[i]
        for m in range(i + 1, min(i + 4, free)):
            total -= matrix[m, i] * out[m]
        out[i] = total / matrix[i, i]
    return True


@kernel(allocates=True)
def inside_count(params: F8, k: F8, variance: F8, half: F8, count: int) -> int:
    """Quotes whose total variance the smile meets within their half-spread."""
    inside = 0
    for i in range(count):
        if abs(smile_variance(params, k[i]) - variance[i]) <= half[i]:
            inside += 1
    return inside


@kernel(allocates=True)
def _fit_bump(params: F8, k: F8, variance: F8, half: F8, count: int, rough: float, work: F8) -> bool:
    """Set the bump's coefficients at one roughness penalty; three robust passes."""
    free = int(params[BUMP_COUNT]) - 6
    weight, miss, matrix = work[8], work[9], work[10:]
    square = params[SCALE] * params[SCALE]
    params[BUMP_COEF : BUMP_COEF + free + 6] = 0.0
    for i in range(count):
        miss[i] = variance[i] - smile_variance(params, k[i])
    for robust in range(3):
        for i in range(count):
            left = (miss[i] - _bump(params, k[i])[0]) / half[i] if robust > 0 else 0.0
            weight[i] = 1.0 / (half[i] * half[i] * (1.0 + 0.25 * left * left))
        _normal_equations(params, k, miss, weight, count, free, rough / (square * square), matrix)
        if not _solve(matrix, free, params[BUMP_COEF + 3 :]):
            params[BUMP_COEF : BUMP_COEF + free + 6] = 0.0
            return False
    return True


@kernel(allocates=True)
def _best_bump(params: F8, k: F8, variance: F8, half: F8, count: int, low: float, high: float, trial: F8,
               work: F8) -> None:  # fmt: skip
    """Add to a good SVI the smoothest bump that puts enough quotes inside, or the best there is."""
    inner = min(max(count // 3, 3), _MAX_INNER)
    params[BUMP_STEP] = max((high - low) / inner, 0.02)
    params[BUMP_LOW] = 0.5 * (low + high) - params[BUMP_STEP] * (0.5 * inner + _PAD)
    best = inside_count(params, k, variance, half, count)
    trial[:] = params
    trial[BUMP_COUNT] = inner + 2 * _PAD + 3
    for rough in (1e4, 1e3, 1e2, 1e1):
        if best >= _TARGET_INSIDE * count:
            return
        if not _fit_bump(trial, k, variance, half, count, rough, work):
            continue
        for _ in range(5):
            if butterfly_free(trial, low, high):
                inside = inside_count(trial, k, variance, half, count)
                if inside > best:
                    best = inside
                    params[:] = trial
                break
            trial[BUMP_COEF:] *= 0.7


@kernel(allocates=True)
def _money_scale(k: F8, variance: F8, count: int) -> float:
    """Deviation at the money: root of the median variance of the (up to five) quotes nearest to it."""
    chosen = 0
    v0, v1, v2, v3, v4 = math.inf, math.inf, math.inf, math.inf, math.inf
    reach = -1.0
    while chosen < min(count, 5):
        nearest = math.inf
        for i in range(count):
            if reach < abs(k[i]) < nearest:
                nearest = abs(k[i])
        if nearest == math.inf:
            break
        reach = nearest
        for i in range(count):
            if abs(k[i]) == nearest and chosen < 5:
                v = variance[i]  # insertion into the five sorted values
                v0, v = min(v0, v), max(v0, v)
                v1, v = min(v1, v), max(v1, v)
                v2, v = min(v2, v), max(v2, v)
                v3, v = min(v3, v), max(v3, v)
                v4 = min(v4, v)
                chosen += 1
    return math.sqrt(v0 if chosen < 3 else (v1 if chosen < 5 else v2))


@kernel(allocates=True)
def fit_smile(k: F8, variance: F8, half: F8, count: int, out: F8, trial: F8, work: F8) -> int:
    """Fit ``count`` quotes; parameters to ``out[SMILE_PARAMS]``, returns ``SmileStatus``.

    ``k`` log-moneyness, ``variance`` total Black variance of the mid, ``half`` > 0 half of the bid-ask
    in total variance; any order. ``trial`` float64[SMILE_PARAMS] and ``work``
    float64[WORK_ROWS, >= max(count, 64)] are scratch. About 0.3 ms for 100 quotes.
    """
    out[:] = 0.0
    if count < 1:
        return NONE
    scale = _money_scale(k, variance, count)
    out[SCALE] = scale
    low, high = math.asinh(k[0] / scale), math.asinh(k[0] / scale)
    for i in range(count):
        low, high = min(low, math.asinh(k[i] / scale)), max(high, math.asinh(k[i] / scale))
    weight = work[8]
    for i in range(count):
        weight[i] = (scale * scale / half[i]) ** 2
    fit_svi(k, variance, weight, count, scale, out[SVI_A:BUMP_LOW], work)
    if count >= 5:  # once more, with quotes that stand far off (in units of the typical miss) discounted
        typical = 0.0
        for i in range(count):
            typical += min(abs(smile_variance(out, k[i]) - variance[i]) / half[i], 20.0) / count
        unit = max(2.0 * typical, 1.0)
        for i in range(count):
            left = (smile_variance(out, k[i]) - variance[i]) / (half[i] * unit)
            weight[i] = (scale * scale / half[i]) ** 2 / (1.0 + left * left)
        fit_svi(k, variance, weight, count, scale, out[SVI_A:BUMP_LOW], work)
    repaired = _repair_svi(out, low, high)
    if count < 5:
        return FEW_POINTS
    _best_bump(out, k, variance, half, count, low, high, trial, work)
    return REPAIRED if repaired else OK
