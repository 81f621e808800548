"""All slices of an eSSVI surface at once: damped Gauss-Newton inside the arbitrage-free set.

The unknowns are increments (du, dv, dtheta) per expiry over what the expiry before it demands (see
``terms.py``): u_i = u_(i-1) + du, v_i = v_(i-1) + dv, theta_i = floor_i + dtheta. The whole set without arbitrage
is then the orthant of positive increments, so that the only constraints left are bounds; a step solves the
normal equations over the increments that are free to move (those that would cross a bound are put on it and
the rest solved again) and Levenberg-Marquardt damping makes it a descent. Misses are in half-spreads with
Cauchy's loss, entered by stages from a wide scale (nothing is an outlier while the surface is far off).

A weak pull towards a usual shape decides what one or two quotes of an expiry cannot.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.surface.essvi.terms import MAX_WING, essvi_floor, essvi_gradient, essvi_variance
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]

#: Cauchy scale of the final stage, half-spreads: a miss of 6 weighs a tenth.
LOSS_SCALE = 2.0

_LEAST_WING = 1e-4  # least du, dv of the first slice and 1e-3 of it later, in units of sqrt(theta)
_LEAST_THETA = 1e-7  # least dtheta, in units of theta
_USUAL_RIGHT, _USUAL_LEFT = 0.4, 0.8  # u and v over sqrt(theta) of a common equity smile ...
_PULL = 0.1  # ... and the weight (half-spreads per unit) with which a slice is drawn there
_STAGES = 8
_STAGE_STEPS = 6
_FINAL_STEPS = 300
_TIGHT = 1e-9  # relative gain of the last step
_MAX_DAMPING = 1e12


@kernel(allocates=True)
def slices_from(z: F8, n: int, slices: F8) -> None:
    """(theta, u, v) of ``n`` slices from their increments, ``slices`` float64[3, >= n]."""
    u, v, theta, psi = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        u, v = min(u + z[3 * i], MAX_WING), min(v + z[3 * i + 1], MAX_WING)
        floor = essvi_floor(u, v, theta, psi)
        theta, psi = floor + z[3 * i + 2], 0.5 * (u + v)
        slices[0, i], slices[1, i], slices[2, i] = theta, u, v


@kernel(allocates=True)
def increments_from(slices: F8, scale: F8, n: int, z: F8, least: F8) -> None:
    """Increments nearest to given (theta, u, v), and their lower bounds; ``scale`` [n] is sqrt(theta), roughly."""
    u, v, theta, psi = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        wing = _LEAST_WING * scale[i] * (1.0 if i == 0 else 1e-3)
        least[3 * i], least[3 * i + 1], least[3 * i + 2] = wing, wing, _LEAST_THETA * scale[i] * scale[i]
        z[3 * i] = max(slices[1, i] - u, wing)
        z[3 * i + 1] = max(slices[2, i] - v, wing)
        u, v = min(u + z[3 * i], MAX_WING), min(v + z[3 * i + 1], MAX_WING)
        floor = essvi_floor(u, v, theta, psi)
        z[3 * i + 2] = max(slices[0, i] - floor, least[3 * i + 2])
        theta, psi = floor + z[3 * i + 2], 0.5 * (u + v)


@kernel(allocates=True, internal=True)
def _sensitivities(z: F8, n: int, slices: F8, grad: F8) -> None:
    """d(theta, u, v) of every slice in every increment: ``grad`` float64[3, n, 3 n], lower triangular in slices."""
    grad[:, :n, : 3 * n] = 0.0
    for i in range(n):
        m, j = 3 * i + 3, 3 * i
        theta, u, v = slices[0, i], slices[1, i], slices[2, i]
        if i > 0:
            for a in range(j):
                grad[1, i, a], grad[2, i, a] = grad[1, i - 1, a], grad[2, i - 1, a]
        grad[1, i, j], grad[2, i, j + 1] = 1.0, 1.0
        if u >= MAX_WING:
            grad[1, i, :m] = 0.0
        if v >= MAX_WING:
            grad[2, i, :m] = 0.0
        psi = 0.5 * (u + v)
        floor = theta - z[3 * i + 2]
        before_theta, before_psi = 0.0, 0.0
        if i > 0:
            before_theta, before_psi = slices[0, i - 1], 0.5 * (slices[1, i - 1] + slices[2, i - 1])
        if before_psi > 0.0 and before_theta * psi / before_psi >= 0.25 * psi * max(u, v):
            for a in range(m):
                step = 0.5 * (grad[1, i, a] + grad[2, i, a]) / psi
                step -= 0.5 * (grad[1, i - 1, a] + grad[2, i - 1, a]) / before_psi
                grad[0, i, a] = floor * (step + grad[0, i - 1, a] / before_theta)
        else:
            side = 1 if u >= v else 2
            for a in range(m):
                step = 0.5 * (grad[1, i, a] + grad[2, i, a]) / psi + grad[side, i, a] / max(u, v)
                grad[0, i, a] = floor * step
        grad[0, i, j + 2] += 1.0


@kernel(allocates=True)
def robust_cost(k: F8, w: F8, half: F8, first: I8, n: int, scale: F8, slices: F8, loss: float) -> float:
    """Half the sum of loss^2 log(1 + (miss / loss)^2) over all points, and of the squared pulls."""
    total = 0.0
    for i in range(n):
        theta, u, v = slices[0, i], slices[1, i], slices[2, i]
        psi, eta = 0.5 * (u + v), 0.5 * (u - v)
        for p in range(first[i], first[i + 1]):
            miss = (essvi_variance(theta, psi, eta, k[p]) - w[p]) / (half[p] * loss)
            total += math.log1p(miss * miss)
    total *= loss * loss
    for i in range(n):
        right, left = slices[1, i] / scale[i] - _USUAL_RIGHT, slices[2, i] / scale[i] - _USUAL_LEFT
        total += _PULL * _PULL * (right * right + left * left)
    return 0.5 * total


@kernel(allocates=True, internal=True)
def _slice_normal(k: F8, w: F8, half: F8, start: int, stop: int, theta: float, u: float, v: float, loss: float,
                  block: F8) -> None:  # fmt: skip
    """Weighted normal matrix of one slice in (theta, u, v): block 0-5 = 00 01 02 11 12 22, 6-8 the gradient."""
    psi, eta = 0.5 * (u + v), 0.5 * (u - v)
    block[:9] = 0.0
    for p in range(start, stop):
        inverse = 1.0 / half[p]
        by_theta, by_psi, by_eta = essvi_gradient(theta, psi, eta, k[p])
        miss = (essvi_variance(theta, psi, eta, k[p]) - w[p]) * inverse
        weight = 1.0 / (1.0 + miss * miss / (loss * loss))
        d0, d1, d2 = by_theta * inverse, 0.5 * (by_psi + by_eta) * inverse, 0.5 * (by_psi - by_eta) * inverse
        block[0] += weight * d0 * d0
        block[1] += weight * d0 * d1
        block[2] += weight * d0 * d2
        block[3] += weight * d1 * d1
        block[4] += weight * d1 * d2
        block[5] += weight * d2 * d2
        block[6] += weight * d0 * miss
        block[7] += weight * d1 * miss
        block[8] += weight * d2 * miss


@kernel(allocates=True, internal=True)
def _assemble(k: F8, w: F8, half: F8, first: I8, n: int, scale: F8, slices: F8, loss: float, grad: F8, block: F8,
              matrix: F8, slope: F8) -> None:  # fmt: skip
    """Normal matrix [3n, 3n] and gradient [3n] of the cost in the increments."""
    size = 3 * n
    matrix[:size, :size] = 0.0
    slope[:size] = 0.0
    for i in range(n):
        _slice_normal(k, w, half, first[i], first[i + 1], slices[0, i], slices[1, i], slices[2, i], loss, block)
        pull = _PULL * _PULL / scale[i]
        block[3] += pull / scale[i]
        block[5] += pull / scale[i]
        block[7] += pull * (slices[1, i] / scale[i] - _USUAL_RIGHT)
        block[8] += pull * (slices[2, i] / scale[i] - _USUAL_LEFT)
        m = 3 * i + 3
        for a in range(m):
            g0, g1, g2 = grad[0, i, a], grad[1, i, a], grad[2, i, a]
            slope[a] += g0 * block[6] + g1 * block[7] + g2 * block[8]
            t0 = g0 * block[0] + g1 * block[1] + g2 * block[2]
            t1 = g0 * block[1] + g1 * block[3] + g2 * block[4]
            t2 = g0 * block[2] + g1 * block[4] + g2 * block[5]
            for b in range(a + 1):
                matrix[a, b] += t0 * grad[0, i, b] + t1 * grad[1, i, b] + t2 * grad[2, i, b]


@kernel(allocates=True, internal=True)
def _solve_free(matrix: F8, slope: F8, size: int, damping: float, fixed: F8, step: F8, factor: F8) -> None:
    """Cholesky step over the increments that are not ``fixed``; fixed ones keep the step they have been given."""
    for a in range(size):
        if fixed[a] != 0.0:
            continue
        total = -slope[a]
        for b in range(size):
            if fixed[b] != 0.0:
                total -= (matrix[a, b] if b < a else matrix[b, a]) * step[b]
        factor[size, a] = total
    for a in range(size):
        if fixed[a] != 0.0:
            continue
        for b in range(a + 1):
            if fixed[b] != 0.0:
                continue
            total = matrix[a, b]
            if a == b:
                total += damping * matrix[a, a] + 1e-300
            for c in range(b):
                if fixed[c] == 0.0:
                    total -= factor[a, c] * factor[b, c]
            factor[a, b] = math.sqrt(max(total, 1e-14 * matrix[a, a] + 1e-300)) if a == b else total / factor[b, b]
    for a in range(size):
        if fixed[a] == 0.0:
            total = factor[size, a]
            for c in range(a):
                if fixed[c] == 0.0:
                    total -= factor[a, c] * step[c]
            step[a] = total / factor[a, a]
    for a in range(size - 1, -1, -1):
        if fixed[a] == 0.0:
            total = step[a]
            for c in range(a + 1, size):
                if fixed[c] == 0.0:
                    total -= factor[c, a] * step[c]
            step[a] = total / factor[a, a]


@kernel(allocates=True, internal=True)
def _bounded_step(matrix: F8, slope: F8, size: int, damping: float, z: F8, least: F8, fixed: F8, step: F8,
                  factor: F8) -> None:  # fmt: skip
    """Damped step that stays above the bounds: increments that would cross are put on them, the rest re-solved."""
    for a in range(size):
        at_bound = z[a] <= least[a] and slope[a] > 0.0
        fixed[a], step[a] = (1.0 if at_bound else 0.0), 0.0
    for _ in range(6):
        _solve_free(matrix, slope, size, damping, fixed, step, factor)
        crossed = False
        for a in range(size):
            if fixed[a] == 0.0 and z[a] + step[a] < least[a]:
                fixed[a], step[a], crossed = 1.0, least[a] - z[a], True
        if not crossed:
            return
    for a in range(size):
        step[a] = max(step[a], least[a] - z[a])


@kernel(allocates=True, internal=True)
def _descend(k: F8, w: F8, half: F8, first: I8, n: int, scale: F8, loss: float, most: int, tight: float, z: F8,
             least: F8, slices: F8, grad: F8, work: F8) -> tuple[float, int]:  # fmt: skip
    """Levenberg-Marquardt at one loss scale from ``z``, in place; returns (cost, steps)."""
    size = 3 * n
    matrix, factor = work[:size], work[size : 2 * size + 1]
    at = 2 * size + 1
    slope, fixed, step, trial, block = work[at], work[at + 1], work[at + 2], work[at + 3], work[at + 4]
    slices_from(z, n, slices)
    cost = robust_cost(k, w, half, first, n, scale, slices, loss)
    damping, steps = 1e-4, 0
    while steps < most:
        steps += 1
        _sensitivities(z, n, slices, grad)
        _assemble(k, w, half, first, n, scale, slices, loss, grad, block, matrix, slope)
        gained = -1.0
        while damping < _MAX_DAMPING:
            _bounded_step(matrix, slope, size, damping, z, least, fixed, step, factor)
            for a in range(size):
                trial[a] = max(z[a] + step[a], least[a])
            slices_from(trial, n, slices)
            fresh = robust_cost(k, w, half, first, n, scale, slices, loss)
            if fresh < cost:
                gained, cost = cost - fresh, fresh
                z[:size] = trial[:size]
                damping = max(0.02 * damping, 1e-13)
                break
            damping = 10.0 * damping
        if gained <= tight * (cost + 0.01 * n):
            break
    slices_from(z, n, slices)
    return cost, steps


@kernel(allocates=True, internal=True)
def _mean_miss(k: F8, w: F8, half: F8, first: I8, n: int, slices: F8, most: float) -> float:
    """Mean absolute miss in half-spreads, each counted up to ``most``."""
    total, count = 0.0, max(first[n] - first[0], 1)
    for i in range(n):
        psi, eta = 0.5 * (slices[1, i] + slices[2, i]), 0.5 * (slices[1, i] - slices[2, i])
        for p in range(first[i], first[i + 1]):
            total += min(abs(essvi_variance(slices[0, i], psi, eta, k[p]) - w[p]) / half[p], most)
    return total / count


@kernel(allocates=True)
def fit_essvi(k: F8, w: F8, half: F8, first: I8, n: int, scale: F8, warm: bool, slices: F8, z: F8, least: F8,
              grad: F8, work: F8) -> tuple[float, int]:  # fmt: skip
    """Fit ``n`` >= 1 slices; (theta, u, v) to ``slices`` float64[3, n]. Returns (cost, Gauss-Newton steps).

    Parameters
    ----------
    k, w, half
        Log-moneyness, total variance and half-spread in total variance (> 0) of all points, by expiry in order
        of time; points of slice i are ``first[i]`` .. ``first[i + 1]``, at least one each.
    scale
        Positive guess of the at-the-money deviation sqrt(theta) of each slice.
    warm
        Start from ``slices`` as they are (any numbers; what violates a constraint is moved onto it), instead of from
        ``scale``.
    z, least, grad, work
        Scratch: float64[3n], [3n], [3, n, 3n] and [6n + 8, max(3n, 9)].

    """
    if not warm:
        for i in range(n):
            slices[0, i] = scale[i] * scale[i]
            slices[1, i], slices[2, i] = _USUAL_RIGHT * scale[i], _USUAL_LEFT * scale[i]
    increments_from(slices, scale, n, z, least)
    slices_from(z, n, slices)
    steps = 0
    # A market that has jumped makes the last state a bad start like any other.
    loss = max(3.0 * _mean_miss(k, w, half, first, n, slices, math.inf), LOSS_SCALE)
    for _ in range(_STAGES):
        if loss <= LOSS_SCALE:
            break
        _, used = _descend(k, w, half, first, n, scale, loss, _STAGE_STEPS, 1e-3, z, least, slices, grad, work)
        steps += used
        loss = max(min(loss / 4.0, 3.0 * _mean_miss(k, w, half, first, n, slices, loss)), LOSS_SCALE)
    cost, used = _descend(
        k, w, half, first, n, scale, LOSS_SCALE, _FINAL_STEPS, _TIGHT, z, least, slices, grad, work
    )  # fmt: skip
    return cost, steps + used
