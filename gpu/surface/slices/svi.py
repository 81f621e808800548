"""Raw SVI slice: total variance w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)), fitted to quotes.

The quasi-explicit method (Zeliade 2009): for given (m, sigma) the rest is a linear least squares
problem in (a, d = rho c, c = b sigma) with linear bounds, solved exactly by visiting the faces; only
(m, sigma) are searched, by a small Nelder-Mead. All in the scaled coordinate x = k / s0, y = w / s0^2
with s0^2 the at-the-money total variance, so that one start fits an option of two hours and of two years.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]

#: Lee's moment bound on the slope of total variance in either wing is 2; a little under it keeps
#: the density positive far out.
MAX_WING_SLOPE = 1.9

_STEPS = 60  # Nelder-Mead steps per start
_DENSITY_GRID = 32  # points at which the search looks at the density
_DENSITY_MARGIN = 0.02
_DENSITY_WEIGHT = 0.05  # against a mean squared relative error of variance: 1e-4 is a bad fit
_GRID_BEYOND = 2.0
_MIN_LOG_SIGMA = -4.0  # sigma in units of s0: sharper is a kink, flatter a parabola
_MAX_LOG_SIGMA = 1.5
_MAX_SHIFT = 1.5


@kernel(inline=True)
def svi_variance(a: float, b: float, rho: float, m: float, sigma: float, k: float) -> float:
    """Raw SVI total variance at log-moneyness ``k``."""
    x = k - m
    return a + b * (rho * x + math.sqrt(x * x + sigma * sigma))


@kernel(inline=True)
def _quadratic(n: F8, a: float, d: float, c: float) -> float:
    """Weighted squared error from the normal equations ``n`` (see :func:`_moments`)."""
    return float(
        n[9] + a * (a * n[0] + 2.0 * (d * n[1] + c * n[2] - n[6]))
        + d * (d * n[3] + 2.0 * (c * n[4] - n[7])) + c * (c * n[5] - 2.0 * n[8])
    )  # fmt: skip


@kernel(allocates=True)
def _moments(x: F8, y: F8, weight: F8, count: int, m: float, sigma: float, ridge: float, n: F8) -> None:
    """Normal equations of y ~ a + d u + c sqrt(1 + u^2), u = (x - m) / sigma: 1,u,r | uu,ur,rr | y,uy,ry | yy."""
    n[:10] = 0.0
    for i in range(count):
        u = (x[i] - m) / sigma
        r = math.sqrt(1.0 + u * u)
        w, wy = weight[i], weight[i] * y[i]
        n[0] += w
        n[1] += w * u
        n[2] += w * r
        n[3] += w * u * u
        n[4] += w * u * r
        n[5] += w * r * r
        n[6] += wy
        n[7] += wy * u
        n[8] += wy * r
        n[9] += wy * y[i]
    # A little pull to a flat smile decides what two or three quotes cannot.
    n[3] += ridge * n[0]
    n[5] += ridge * n[0]


@kernel(allocates=True)
def _edge(n: F8, d0: float, c0: float, d1: float, c1: float, best: F8) -> None:
    """Best (a, d, c) along d = d0 + t (d1 - d0), c likewise, t in [0, 1]; kept in ``best`` if better."""
    dd, dc = d1 - d0, c1 - c0
    # With e = d u + c r linear in t: minimise over a and t.
    g0 = d0 * n[1] + c0 * n[2]
    g1 = dd * n[1] + dc * n[2]
    h01 = d0 * (dd * n[3] + dc * n[4]) + c0 * (dd * n[4] + dc * n[5])
    h11 = dd * (dd * n[3] + 2.0 * dc * n[4]) + dc * dc * n[5]
    y1 = dd * n[7] + dc * n[8]
    curvature = h11 - g1 * g1 / n[0]
    slope = (y1 - g1 * n[6] / n[0]) - (h01 - g0 * g1 / n[0])
    t = min(max(slope / curvature, 0.0), 1.0) if curvature > 0.0 else 0.0
    d, c = d0 + t * dd, c0 + t * dc
    a = (n[6] - d * n[1] - c * n[2]) / n[0]
    error = _quadratic(n, a, d, c)
    if error < best[0]:
        best[0], best[1], best[2], best[3] = error, a, d, c


@kernel(allocates=True)
def _inner(n: F8, limit: float, best: F8) -> None:
    """Bounded least squares: |d| <= c and c + |d| <= limit. Result (error, a, d, c) in ``best``."""
    best[0] = math.inf
    # Interior: eliminate a, then a 2 x 2 system.
    uu, ur, rr = n[3] - n[1] * n[1] / n[0], n[4] - n[1] * n[2] / n[0], n[5] - n[2] * n[2] / n[0]
    uy, ry = n[7] - n[1] * n[6] / n[0], n[8] - n[2] * n[6] / n[0]
    det = uu * rr - ur * ur
    if det > 1e-12 * uu * rr:
        d, c = (uy * rr - ry * ur) / det, (ry * uu - uy * ur) / det
        if abs(d) <= c and c + abs(d) <= limit:
            a = (n[6] - d * n[1] - c * n[2]) / n[0]
            best[0], best[1], best[2], best[3] = _quadratic(n, a, d, c), a, d, c
            return
    half = 0.5 * limit
    _edge(n, 0.0, 0.0, half, half, best)
    _edge(n, 0.0, 0.0, -half, half, best)
    _edge(n, half, half, 0.0, limit, best)
    _edge(n, -half, half, 0.0, limit, best)


@kernel(allocates=True)
def _density_shortfall(x: F8, count: int, scale: float, m: float, sigma: float, best: F8) -> float:
    """Mean of max(margin - g, 0) of Durrleman's g over a coarse grid around the points, for ``best``'s (a, d, c).

    The grid is even in asinh(x) and reaches ``_GRID_BEYOND`` past ``x[count]`` and ``x[count + 1]`` (the
    lowest and the highest point), as the exact check that follows the fit does.
    """
    low = math.asinh(x[count]) - _GRID_BEYOND
    step = (math.asinh(x[count + 1]) + _GRID_BEYOND - low) / (_DENSITY_GRID - 1)
    a, d, c = best[1], best[2], best[3]
    total = 0.0
    for i in range(_DENSITY_GRID):
        z = math.sinh(low + i * step)
        u = (z - m) / sigma
        r = math.sqrt(1.0 + u * u)
        y = a + d * u + c * r
        if y <= 1e-3:
            total += 1.0
            continue
        first = (d + c * u / r) / sigma
        bend = 1.0 - 0.5 * z * first / y
        g = bend * bend - 0.25 * first * first * (1.0 / y + 0.25 * scale * scale)
        g += 0.5 * c / (sigma * sigma * r * r * r)
        total += min(max(_DENSITY_MARGIN - g, 0.0), 1.0)
    return total / _DENSITY_GRID


@kernel(allocates=True)
def _objective(x: F8, y: F8, weight: F8, count: int, scale: float, ridge: float, m: float, log_sigma: float,
               n: F8, best: F8) -> float:  # fmt: skip
    """Error at (m, ln sigma) with the best (a, d, c) left in ``best``; a wall outside the allowed box."""
    wall = max(abs(m) - _MAX_SHIFT, 0.0) + max(_MIN_LOG_SIGMA - log_sigma, 0.0) + max(log_sigma - _MAX_LOG_SIGMA, 0.0)
    m = min(max(m, -_MAX_SHIFT), _MAX_SHIFT)
    sigma = math.exp(min(max(log_sigma, _MIN_LOG_SIGMA), _MAX_LOG_SIGMA))
    _moments(x, y, weight, count, m, sigma, ridge, n)
    # b (1 + |rho|) <= slope in k; with b = s0 c / sigma: c + |d| <= slope sigma / s0.
    _inner(n, MAX_WING_SLOPE * sigma / scale, best)
    low = best[1] + math.sqrt(max(best[3] * best[3] - best[2] * best[2], 0.0))  # the smile's lowest variance
    negative = max(0.01 - low, 0.0)
    shortfall = _density_shortfall(x, count, scale, m, sigma, best)
    # Two shapes the quotes cannot tell apart: the rounder and more central one.
    tie = 1e-6 * (m * m + log_sigma * log_sigma)
    return float(best[0] + n[0] * (wall + wall * wall + 10.0 * negative + _DENSITY_WEIGHT * shortfall + tie))


@kernel(allocates=True)
def _nelder_mead(x: F8, y: F8, weight: F8, count: int, scale: float, ridge: float, start: F8, n: F8, best: F8,
                 simplex: F8) -> float:  # fmt: skip
    """Improve ``start`` = (m, ln sigma) in place; returns the error there. simplex: float64[4, 3]."""
    for v in range(3):
        simplex[v, 0] = start[0] + (0.4 if v == 1 else 0.0)
        simplex[v, 1] = start[1] + (0.6 if v == 2 else 0.0)
        simplex[v, 2] = _objective(x, y, weight, count, scale, ridge, simplex[v, 0], simplex[v, 1], n, best)
    for _ in range(_STEPS):
        low, high = 0, 0
        for v in range(1, 3):
            if simplex[v, 2] < simplex[low, 2]:
                low = v
            if simplex[v, 2] >= simplex[high, 2]:
                high = v
        if high == low or simplex[high, 2] - simplex[low, 2] <= 1e-5 * simplex[low, 2] + 1e-12:
            break
        middle = 3 - low - high
        c0, c1 = 0.5 * (simplex[low, 0] + simplex[middle, 0]), 0.5 * (simplex[low, 1] + simplex[middle, 1])
        r0, r1 = 2.0 * c0 - simplex[high, 0], 2.0 * c1 - simplex[high, 1]
        error = _objective(x, y, weight, count, scale, ridge, r0, r1, n, best)
        if error < simplex[low, 2]:
            e0, e1 = 3.0 * c0 - 2.0 * simplex[high, 0], 3.0 * c1 - 2.0 * simplex[high, 1]
            further = _objective(x, y, weight, count, scale, ridge, e0, e1, n, best)
            if further < error:
                r0, r1, error = e0, e1, further
        elif error >= simplex[middle, 2]:
            if error >= simplex[high, 2]:
                r0, r1 = simplex[high, 0], simplex[high, 1]
            r0, r1 = 0.5 * (c0 + r0), 0.5 * (c1 + r1)
            error = _objective(x, y, weight, count, scale, ridge, r0, r1, n, best)
        if error < simplex[high, 2]:
            simplex[high, 0], simplex[high, 1], simplex[high, 2] = r0, r1, error
            continue
        for v in range(3):
            if v != low:
                simplex[v, 0] = 0.5 * (simplex[v, 0] + simplex[low, 0])
                simplex[v, 1] = 0.5 * (simplex[v, 1] + simplex[low, 1])
                simplex[v, 2] = _objective(x, y, weight, count, scale, ridge, simplex[v, 0], simplex[v, 1], n, best)
    low = 0
    for v in range(1, 3):
        if simplex[v, 2] < simplex[low, 2]:
            low = v
    start[0], start[1] = simplex[low, 0], simplex[low, 1]
    return _objective(x, y, weight, count, scale, ridge, start[0], start[1], n, best)


@kernel(allocates=True)
def fit_svi(k: F8, variance: F8, weight: F8, count: int, scale: float, out: F8, work: F8) -> float:
    """Fit ``count`` >= 1 points; writes (a, b, rho, m, sigma) to ``out[:5]``, returns the mean weighted error.

    ``weight``: of squared errors in total variance over ``scale``^2. ``scale``: s0, the deviation at
    the money. ``work`` float64[>= 8, >= max(count + 2, 16)] is scratch. Under five points only the level,
    slope and curvature are fitted, at m = 0, sigma = s0, pulled to flat. About 0.1 ms for 100 points.
    """
    x, y, n, best, simplex, start = work[0], work[1], work[2], work[3], work[4:8], work[2, 10:]
    low, high = math.inf, -math.inf
    for i in range(count):
        x[i] = k[i] / scale
        y[i] = variance[i] / (scale * scale)
        low, high = min(low, x[i]), max(high, x[i])
    x[count], x[count + 1] = low, high
    if count < 5:
        m, log_sigma = 0.0, 0.0
        error = _objective(x, y, weight, count, scale, 1e-4, m, log_sigma, n, best)
    else:
        error, m, log_sigma = math.inf, 0.0, 0.0
        for attempt in range(2):
            start[0], start[1] = 0.0, -1.0 + 1.5 * attempt
            found = _nelder_mead(x, y, weight, count, scale, 1e-8, start, n, best, simplex)
            if found < error:
                error, m, log_sigma = found, start[0], start[1]
        error = _objective(x, y, weight, count, scale, 1e-8, m, log_sigma, n, best)
    m = min(max(m, -_MAX_SHIFT), _MAX_SHIFT)
    sigma = math.exp(min(max(log_sigma, _MIN_LOG_SIGMA), _MAX_LOG_SIGMA))
    a, d, c = best[1], best[2], best[3]
    out[0] = scale * scale * a
    out[1] = scale * c / sigma
    out[2] = d / c if c > 0.0 else 0.0
    out[3] = scale * m
    out[4] = scale * sigma
    return float(error / n[0]) if n[0] > 0.0 else math.nan
