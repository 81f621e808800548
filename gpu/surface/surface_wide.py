"""Many points of a surface in loops that become vectors; one point at a time is ``surface.surface_terms``.

``surface.py`` finds each point's two nodes and their mixture; here the rest. There is no branch: a place outside a
bump's knots is moved to their end, where the bump is zero.
"""

# ruff: noqa: FURB136  (min and max lose NaN where a comparison written out keeps it)

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.formulas import black_value
from gpu.maths.functions import exp_fast, log_fast
from gpu.maths.wide import wide_helper, wide_kernel
from gpu.surface.essvi.bump import BUMP_COEF, BUMP_COUNT, PER_SCALE, PER_STEP, SHIFT

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]

_LEAST_DEVIATION = 1e-10  # below it an option is worth its intrinsic value to the last digit
_INSIDE = 3.0 + 1e-9  # the last place is just inside the last cell


@wide_helper
def _place(k: float, per_scale: float, per_step: float, shift: float, last: float) -> float:
    """Place of ``k`` among a bump's knots, moved into 0 .. ``last``."""
    x = k * per_scale
    size = log_fast(abs(x) + math.sqrt(1.0 + x * x))
    place = (size if x >= 0.0 else -size) * per_step - shift
    place = place if place < last else last
    return place if place > 0.0 else 0.0  # NaN, and a node without a bump, too


@wide_helper
def _spline(t: float, c0: float, c1: float, c2: float, c3: float) -> float:
    """Six times the cubic B-spline at ``t`` within a cell."""
    s = 1.0 - t
    t2, s2 = t * t, s * s
    return s2 * s * c0 + (4.0 - 6.0 * t2 + 3.0 * t2 * t) * c1 + (4.0 - 6.0 * s2 + 3.0 * s2 * s) * c2 + t2 * t * c3


@wide_helper
def _slice(theta: float, psi: float, eta: float, k: float) -> float:
    """``essvi.essvi_variance`` without a branch."""
    lift, bend = theta + eta * k, psi * psi - eta * eta
    root = math.sqrt(lift * lift + bend * k * k)
    steep = bend * k * k / (root - (lift if lift < 0.0 else -1.0))
    return 0.5 * (lift + root) if lift >= 0.0 else 0.5 * steep


@wide_kernel
def variance_loop(flat: F8, near: I8, far: I8, theta: F8, psi: F8, eta: F8, share: F8, k: F8, out: F8) -> None:
    """Total variance at ``k`` [n]: a slice, and the bumps of two nodes mixed by ``share``; NaN unless k is finite.

    ``flat``: the nodes as float64[count * NODE]; ``near``, ``far`` [n]: where in it the two nodes begin.
    """
    for p in range(k.shape[0]):
        sound = abs(k[p]) < math.inf
        x, a, b = k[p] if sound else 0.0, near[p], far[p]
        last = flat[a + BUMP_COUNT] - _INSIDE
        place = _place(x, flat[a + PER_SCALE], flat[a + PER_STEP], flat[a + SHIFT], last)
        cell = int(place)
        at = a + BUMP_COEF + cell
        left = _spline(place - cell, flat[at], flat[at + 1], flat[at + 2], flat[at + 3])
        last = flat[b + BUMP_COUNT] - _INSIDE
        place = _place(x, flat[b + PER_SCALE], flat[b + PER_STEP], flat[b + SHIFT], last)
        cell = int(place)
        at = b + BUMP_COEF + cell
        right = _spline(place - cell, flat[at], flat[at + 1], flat[at + 2], flat[at + 3])
        bump = ((1.0 - share[p]) * left + share[p] * right) * (1.0 / 6.0)
        w = _slice(theta[p], psi[p], eta[p], x) + bump
        out[p] = w if sound else math.nan


@wide_kernel
def moneyness_loop(strike: F8, log_forward: F8, shift: float, out: F8) -> None:
    """ln(strike / forward) - shift [n]; NaN or infinite unless the strike is positive and finite."""
    for p in range(strike.shape[0]):
        out[p] = log_fast(strike[p]) - log_forward[p] - shift


@wide_kernel
def vol_loop(variance: F8, years: F8, out: F8) -> None:
    """Volatility [n] from total variance."""
    for p in range(variance.shape[0]):
        out[p] = math.sqrt(variance[p] / years[p])


@wide_kernel
def price_loop(
    strike: F8, right: F8, variance: F8, log_forward: F8, log_discount: F8, move: float, out: F8
) -> None:  # fmt: skip
    """European values [n] on total variances, forwards exp(``move``) times as high. NaN where a row makes no sense."""
    for p in range(strike.shape[0]):
        sound = abs(right[p]) == 1.0 and variance[p] == variance[p]
        level = strike[p] if sound else 1.0
        dev = math.sqrt(variance[p])
        forward = exp_fast(log_forward[p] + move)
        gain = right[p] * (forward - level)
        flat = gain if gain > 0.0 else 0.0
        safe = dev if dev > _LEAST_DEVIATION else 1.0
        value = black_value(forward, level, safe, right[p])
        value = value if dev > _LEAST_DEVIATION else flat
        out[p] = exp_fast(log_discount[p]) * value if sound else math.nan
