"""Is an eSSVI surface with bumps free of arbitrage? Checked on a dense grid wherever a bump is not zero.

Where all bumps are zero nothing needs checking, the slices keep their conditions by construction
(``terms.py``). Elsewhere, on a grid of ``_PER_CELL`` points per knot interval of every bump:

* butterfly: Durrleman's g(k) = (1 - k w'/2w)^2 - w'^2/4 (1/w + 1/4) + w''/2, which has the sign of the
  risk-neutral density, at every expiry, half-way to the next and at twice the last maturity. Below the
  first expiry it follows: w = lambda w_1, and g is concave in lambda with g(0) >= 0.
* calendar: dw/dT >= 0 just after and just before each expiry. In between it follows: at fixed k the slice is
  the square root of a quadratic in time plus something linear, so dw/dT is monotone between two expiries.

A bump that fails is fitted again ten times smoother, and is given up when that has not helped three times.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.surface.essvi.bump import (
    BUMP_COUNT,
    ETA,
    K_HIGH,
    K_LOW,
    PSI,
    THETA,
    bump_terms,
    bump_value,
    fit_bump,
    knot_place,
    no_bump,
    place_knots,
)
from gpu.surface.essvi.terms import essvi_gradient, essvi_terms
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]

_PER_CELL = 5
_LEAST_DENSITY = 2e-3  # margin for what happens between grid points
_NEAR_DENSITY = 0.25  # below it the grid is finer
_FINER = 8
_LEAST_VARIANCE = 1e-3  # of theta
_LEAST_SLOPE = 0.02  # of the slices' own dw/dT
_SMOOTHER = 10.0
_ATTEMPTS = 4


@kernel(inline=True)
def density_of(k: float, w: float, first: float, second: float) -> float:
    """Durrleman's g from total variance and its derivatives; -1 where the variance is not positive."""
    if not w > 0.0:
        return -1.0
    bend = 1.0 - 0.5 * k * first / w
    return bend * bend - 0.25 * first * first * (1.0 / w + 0.25) + 0.5 * second


@kernel(inline=True)
def _density(nodes: F8, a: int, b: int, share: float, stretch: float, k: float) -> float:
    """Durrleman's g of the mixture (1 - share) of node ``a`` and ``share`` of node ``b``, theta times ``stretch``."""
    rest = 1.0 - share
    theta = (rest * nodes[a, THETA] + share * nodes[b, THETA]) * stretch
    psi = rest * nodes[a, PSI] + share * nodes[b, PSI]
    eta = rest * nodes[a, ETA] + share * nodes[b, ETA]
    w, first, second = essvi_terms(theta, psi, eta, k)
    v0, v1, v2 = bump_terms(nodes, a, k)
    w, first, second = w + rest * v0, first + rest * v1, second + rest * v2
    if share > 0.0:
        v0, v1, v2 = bump_terms(nodes, b, k)
        w, first, second = w + share * v0, first + share * v1, second + share * v2
    return density_of(k, w, first, second) if w > _LEAST_VARIANCE * theta else -1.0


@kernel(inline=True)
def _slopes_ok(nodes: F8, a: int, b: int, k: float) -> bool:
    """Does total variance rise from node ``a`` to ``b`` at ``k``, at both ends of the interval?"""
    jump = bump_value(nodes, b, k) - bump_value(nodes, a, k)
    d_theta = nodes[b, THETA] - nodes[a, THETA]
    d_psi, d_eta = nodes[b, PSI] - nodes[a, PSI], nodes[b, ETA] - nodes[a, ETA]
    t, p, h = essvi_gradient(nodes[a, THETA], nodes[a, PSI], nodes[a, ETA], k)
    early = t * d_theta + p * d_psi + h * d_eta
    t, p, h = essvi_gradient(nodes[b, THETA], nodes[b, PSI], nodes[b, ETA], k)
    late = t * d_theta + p * d_psi + h * d_eta
    return min(early, late) + jump >= _LEAST_SLOPE * max(min(early, late), 0.0)


@kernel(allocates=True, internal=True)
def _densities_ok(nodes: F8, grid: int, a: int, b: int, share: float, stretch: float) -> bool:
    """Durrleman's g of one mixture on the grid of node ``grid``, eight times finer where it comes near zero.

    The spline's second derivative has a kink at every knot: a dip may hide between two points of the coarse grid.
    """
    cells = int(nodes[grid, BUMP_COUNT]) - 3
    before = 1.0
    for m in range(cells * _PER_CELL + 1):
        here = _density(nodes, a, b, share, stretch, knot_place(nodes, grid, m / _PER_CELL))
        if here < _LEAST_DENSITY:
            return False
        if min(before, here) < _NEAR_DENSITY and m > 0:
            for part in range(1, _FINER):
                k = knot_place(nodes, grid, (m - part / _FINER) / _PER_CELL)
                if _density(nodes, a, b, share, stretch, k) < _LEAST_DENSITY:
                    return False
        before = here
    return True


@kernel(allocates=True, internal=True)
def _interval_ok(nodes: F8, a: int, b: int) -> bool:
    """Calendar and half-way butterfly between nodes ``a`` and ``b``, on the grids of both bumps."""
    for i in range(a, b + 1):
        if not nodes[i, K_HIGH] > nodes[i, K_LOW]:
            continue
        for m in range((int(nodes[i, BUMP_COUNT]) - 3) * _PER_CELL + 1):
            if not _slopes_ok(nodes, a, b, knot_place(nodes, i, m / _PER_CELL)):
                return False
        if not _densities_ok(nodes, i, a, b, 0.5, 1.0):
            return False
    return True


@kernel(allocates=True, internal=True)
def _slice_ok(nodes: F8, i: int, last: bool) -> bool:
    """Butterfly at node ``i``, and beyond it at twice its maturity if it is the last."""
    if not nodes[i, K_HIGH] > nodes[i, K_LOW]:
        return True
    return _densities_ok(nodes, i, i, i, 0.0, 1.0) and not (last and not _densities_ok(nodes, i, i, i, 0.0, 2.0))


@kernel(allocates=True, internal=True)
def _fit_at(nodes: F8, i: int, k: F8, w: F8, half: F8, first: I8, attempt: int, rough: float, work: F8) -> None:
    """Bump of node ``i`` (points of slice i - 1) at one attempt; none for too few points or attempts spent."""
    start, stop = first[i - 1], first[i]
    no_bump(nodes, i)
    if attempt >= _ATTEMPTS or stop - start < 5:
        return
    low, high = k[start], k[start]
    for p in range(start, stop):
        low, high = min(low, k[p]), max(high, k[p])
    place_knots(nodes, i, low, high, stop - start)
    fit_bump(nodes, i, k, w, half, start, stop, rough * _SMOOTHER**attempt, work)


@kernel(allocates=True, internal=True)
def refine(nodes: F8, count: int, k: F8, w: F8, half: F8, first: I8, rough: float, attempts: I8, work: F8) -> None:
    """Give nodes 1 .. ``count`` - 1 the least smooth bumps that leave the surface free of arbitrage.

    Node 0 is today. ``attempts`` int64[>= count] tells how often each bump was refitted smoother (4: it has
    none). ``rough`` not positive: no bumps at all. ``work`` as for :func:`fit_bump`.
    """
    for i in range(1, count):
        attempts[i] = 0 if rough > 0.0 else _ATTEMPTS
        _fit_at(nodes, i, k, w, half, first, attempts[i], rough, work)
    dirty = True
    while dirty:
        dirty = False
        for i in range(1, count):
            good = _slice_ok(nodes, i, i == count - 1)
            if not good and attempts[i] < _ATTEMPTS:
                attempts[i] += 1
                _fit_at(nodes, i, k, w, half, first, attempts[i], rough, work)
                dirty = True
        for i in range(1, count - 1):
            if _interval_ok(nodes, i, i + 1):
                continue
            for j in range(i, i + 2):
                if attempts[j] < _ATTEMPTS:
                    attempts[j] += 1
                    _fit_at(nodes, j, k, w, half, first, attempts[j], rough, work)
                    dirty = True
