"""``Surface``: volatility, variance and price at any strike and time, from the nodes of a calibrated chain.

Between two expiries (theta, psi, eta), the logarithms of forward and discount and the bumps are linear
in time at fixed k = ln(strike / forward), which keeps eSSVI free of arbitrage (``essvi/terms.py``). Node 0 is today: no
variance, the spot. So below the first expiry the smile is the first one's, scaled: w = w_1 T / T_1. Beyond the last
expiry the at-the-money volatility, the wing slopes, the carry and the rate stay what they are:
theta grows in proportion to time, psi and eta do not, and the smile flattens.

How the surface moves with the spot is the caller's choice (``Sticky``); the forward is proportional to the spot.
"""

import math
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.errors import ChainError
from gpu.surface.essvi.bump import (
    ETA,
    LOG_DISCOUNT,
    LOG_FORWARD,
    NODE,
    PSI,
    THETA,
    YEARS,
    bump_terms,
)
from gpu.surface.essvi.terms import essvi_gradient, essvi_terms
from gpu.surface.surface_wide import moneyness_loop, price_loop, variance_loop, vol_loop
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]
Array: TypeAlias = npt.NDArray[np.float64]

#: Rows of a point's scratch.
_THETA, _PSI, _ETA, _SHARE, _LOG_FORWARD, _LOG_DISCOUNT, _K, _W = range(8)
POINT_SCRATCH = 8


class Sticky(Enum):
    """What stays where it is when the spot moves away from ``Surface.spot``."""

    MONEYNESS = "moneyness"  # volatility at a given strike / forward: the smile moves with the spot
    STRIKE = "strike"  # volatility at a given strike: the smile stays (Black's delta is then the whole delta)


@kernel(inline=True)
def _interval(nodes: F8, count: int, years: float, near: int) -> int:
    """Index i of the node at or before ``years``, found from ``near``; ``count`` - 1 beyond the last."""
    i = near
    while i > 0 and years < nodes[i, YEARS]:
        i -= 1
    while i < count - 1 and years >= nodes[i + 1, YEARS]:
        i += 1
    return i


@kernel(inline=True)
def _mixture(nodes: F8, count: int, i: int, years: float) -> tuple[float, float, float, float, float, float, float]:
    """(theta, psi, eta, their slopes in time, share of node i + 1) at ``years`` in interval ``i``."""
    if i >= count - 1:
        stretch = years / nodes[i, YEARS]
        return nodes[i, THETA] * stretch, nodes[i, PSI], nodes[i, ETA], nodes[i, THETA] / nodes[i, YEARS], 0.0, 0.0, 0.0
    span = nodes[i + 1, YEARS] - nodes[i, YEARS]
    share = (years - nodes[i, YEARS]) / span
    d_theta, d_psi = nodes[i + 1, THETA] - nodes[i, THETA], nodes[i + 1, PSI] - nodes[i, PSI]
    d_eta = nodes[i + 1, ETA] - nodes[i, ETA]
    return (
        nodes[i, THETA] + share * d_theta, nodes[i, PSI] + share * d_psi, nodes[i, ETA] + share * d_eta,
        d_theta / span, d_psi / span, d_eta / span, share,
    )  # fmt: skip


@kernel(inline=True)
def _terms_in(nodes: F8, count: int, i: int, k: float, years: float) -> tuple[float, float, float, float]:
    """(w, w_k, w_kk, w_T) in interval ``i``."""
    theta, psi, eta, r_theta, r_psi, r_eta, share = _mixture(nodes, count, i, years)
    w, first, second = essvi_terms(theta, psi, eta, k)
    by_theta, by_psi, by_eta = essvi_gradient(theta, psi, eta, k)
    rate = by_theta * r_theta + by_psi * r_psi + by_eta * r_eta
    v0, v1, v2 = bump_terms(nodes, i, k)
    w, first, second = w + (1.0 - share) * v0, first + (1.0 - share) * v1, second + (1.0 - share) * v2
    if i < count - 1:
        u0, u1, u2 = bump_terms(nodes, i + 1, k)
        w, first, second = w + share * u0, first + share * u1, second + share * u2
        rate += (u0 - v0) / (nodes[i + 1, YEARS] - nodes[i, YEARS])
    return w, first, second, rate


@kernel(inline=True)
def surface_terms(nodes: F8, count: int, k: float, years: float) -> tuple[float, float, float, float]:
    """(w, dw/dk, d2w/dk2, dw/dT) of total variance at k = ln(strike / forward(years)); NaN unless years > 0.

    ``nodes`` float64[>= count, NODE], ``count`` >= 2, node 0 today. dw/dT is at fixed k, from the right at an expiry.
    """
    if not (count >= 2 and years > 0.0 and years < math.inf and abs(k) < math.inf):
        return math.nan, math.nan, math.nan, math.nan
    return _terms_in(nodes, count, _interval(nodes, count, years, 0), k, years)


@kernel(inline=True)
def _log_line(nodes: F8, count: int, i: int, years: float, column: int) -> float:
    """LOG_FORWARD or LOG_DISCOUNT at ``years``: linear between nodes, at the average rate beyond the last."""
    if i >= count - 1:
        start = nodes[0, column]
        return start + (nodes[i, column] - start) * years / nodes[i, YEARS]
    share = (years - nodes[i, YEARS]) / (nodes[i + 1, YEARS] - nodes[i, YEARS])
    return nodes[i, column] + share * (nodes[i + 1, column] - nodes[i, column])


@kernel
def surface_grid(nodes: F8, count: int, k: F8, years: F8, out: F8) -> None:
    """:func:`surface_terms` at n points: ``k``, ``years`` float64[n], ``out`` float64[4, n]; best in order of time."""
    i = 0
    for p in range(k.shape[0]):
        t = years[p]
        if not (count >= 2 and t > 0.0 and t < math.inf and abs(k[p]) < math.inf):
            out[0, p], out[1, p], out[2, p], out[3, p] = math.nan, math.nan, math.nan, math.nan
            continue
        i = _interval(nodes, count, t, i)
        out[0, p], out[1, p], out[2, p], out[3, p] = _terms_in(nodes, count, i, k[p], t)


@kernel(internal=True)
def _locate(nodes: F8, count: int, years: F8, mixture: F8, index: I8) -> None:
    """Nodes and mixture of n points: rows _THETA .. _LOG_DISCOUNT of ``mixture``, starts of two nodes in ``index``."""
    i = 0
    for p in range(years.shape[0]):
        t = years[p]
        if p > 0 and t == years[p - 1]:
            for row in range(_K):
                mixture[row, p] = mixture[row, p - 1]
            index[0, p], index[1, p] = index[0, p - 1], index[1, p - 1]
            continue
        if not (count >= 2 and t > 0.0 and t < math.inf):
            mixture[_THETA, p], mixture[_PSI, p], mixture[_ETA, p], mixture[_SHARE, p] = math.nan, 0.0, 0.0, 0.0
            index[0, p], index[1, p] = 0, 0
            continue
        i = _interval(nodes, count, t, i)
        theta, psi, eta, _, _, _, share = _mixture(nodes, count, i, t)
        mixture[_THETA, p], mixture[_PSI, p], mixture[_ETA, p], mixture[_SHARE, p] = theta, psi, eta, share
        mixture[_LOG_FORWARD, p] = _log_line(nodes, count, i, t, LOG_FORWARD)
        mixture[_LOG_DISCOUNT, p] = _log_line(nodes, count, i, t, LOG_DISCOUNT)
        index[0, p], index[1, p] = i * NODE, min(i + 1, count - 1) * NODE


@kernel(allocates=True, internal=True)
def _variances(nodes: F8, k: F8, mixture: F8, index: I8, out: F8) -> None:
    """Total variance at located points."""
    variance_loop(nodes.reshape(nodes.size), index[0], index[1], mixture[_THETA], mixture[_PSI], mixture[_ETA],
                  mixture[_SHARE], k, out)  # fmt: skip


@kernel(allocates=True)
def surface_variances(nodes: F8, count: int, k: F8, years: F8, mixture: F8, index: I8, out: F8) -> None:
    """Total variance at n points, ``out`` float64[n]; NaN unless years > 0.

    ``mixture`` float64[POINT_SCRATCH, n] and ``index`` int64[2, n] are scratch, here and below. About 15 ns each.
    """
    _locate(nodes, count, years, mixture, index)
    _variances(nodes, k, mixture, index, out)


@kernel(allocates=True)
def surface_vols(
    nodes: F8, count: int, strike: F8, years: F8, shift: float, mixture: F8, index: I8, out: F8
) -> None:  # fmt: skip
    """Volatility at n strikes, the forward exp(``shift``) times the nodes'; ``out`` float64[n], NaN off the domain."""
    _locate(nodes, count, years, mixture, index)
    moneyness_loop(strike, mixture[_LOG_FORWARD], shift, mixture[_K])
    _variances(nodes, mixture[_K], mixture, index, mixture[_W])
    vol_loop(mixture[_W], years, out)


@kernel(allocates=True)
def surface_prices(
    nodes: F8, count: int, strike: F8, years: F8, right: F8, move: float, shift: float, mixture: F8, index: I8, out: F8
) -> None:  # fmt: skip
    """European values at n strikes; forwards exp(``move``) times the nodes', volatilities read at ``shift``."""
    _locate(nodes, count, years, mixture, index)
    moneyness_loop(strike, mixture[_LOG_FORWARD], shift, mixture[_K])
    _variances(nodes, mixture[_K], mixture, index, mixture[_W])
    price_loop(strike, right, mixture[_W], mixture[_LOG_FORWARD], mixture[_LOG_DISCOUNT], move, out)


@kernel
def surface_lines(nodes: F8, count: int, column: int, years: F8, out: F8) -> None:
    """Exponential of LOG_FORWARD or LOG_DISCOUNT at n times >= 0, ``out`` float64[n]."""
    i = 0
    for p in range(years.shape[0]):
        t = years[p]
        if not (count >= 2 and t >= 0.0 and t < math.inf):
            out[p] = math.nan
            continue
        i = _interval(nodes, count, t, i)
        out[p] = math.exp(_log_line(nodes, count, i, t, column))


def _flat(*arguments: npt.ArrayLike) -> tuple[list[F8], tuple[int, ...]]:
    """Arguments broadcast against each other and flattened, and the shape of the answer."""
    arrays = [np.asarray(argument, np.float64) for argument in arguments]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    whole = (array if array.shape == shape else np.broadcast_to(array, shape) for array in arrays)
    return [np.ascontiguousarray(array).reshape(-1) for array in whole], shape


def _scratch(points: int) -> tuple[F8, I8]:
    """Scratch of the array kernels."""
    return np.empty((POINT_SCRATCH, points)), np.empty((2, points), np.int64)


class Surface:
    """A calibrated surface; every method takes arrays that broadcast and answers an array of their shape.

    Times are years from the moment of calibration. What is outside the domain (times that are not positive, strikes
    that are not, NaN) is NaN, its neighbours are not touched, and nothing raises or warns.

    Parameters
    ----------
    nodes
        float64[count, NODE], node 0 today: years 0, the logarithm of the spot, no variance. See ``essvi/bump.py``.

    Raises
    ------
    ChainError
        Nodes of another width, or times that do not rise from 0.

    """

    def __init__(self, nodes: npt.NDArray[np.float64]) -> None:
        nodes = np.ascontiguousarray(nodes, np.float64)
        if nodes.ndim != 2 or nodes.shape[1] != NODE or len(nodes) < 1:
            raise ChainError(f"nodes must be float64[count >= 1, {NODE}], had shape {nodes.shape}")
        if nodes[0, YEARS] != 0.0 or not (np.diff(nodes[:, YEARS]) > 0.0).all():
            raise ChainError(f"years of the nodes must rise from 0, were {nodes[:, YEARS].tolist()}")
        self.nodes = nodes
        self.count = len(nodes)

    @property
    def spot(self) -> float:
        """Spot at calibration; NaN if there was none."""
        return math.exp(self.nodes[0, LOG_FORWARD])

    @property
    def expiries(self) -> Array:
        """Years of the calibrated expiries, float64[count - 1]."""
        return self.nodes[1:, YEARS].copy()

    def terms(self, k: npt.ArrayLike, years: npt.ArrayLike) -> tuple[Array, Array, Array, Array]:
        """(w, dw/dk, d2w/dk2, dw/dT) at k = ln(strike / forward)."""
        (flat_k, flat_t), shape = _flat(k, years)
        out = np.empty((4, flat_k.size))
        surface_grid(self.nodes, self.count, flat_k, flat_t, out)
        return out[0].reshape(shape), out[1].reshape(shape), out[2].reshape(shape), out[3].reshape(shape)

    def variance(self, k: npt.ArrayLike, years: npt.ArrayLike) -> Array:
        """Total variance vol^2 years at k = ln(strike / forward)."""
        (flat_k, flat_t), shape = _flat(k, years)
        out = np.empty(flat_k.size)
        surface_variances(self.nodes, self.count, flat_k, flat_t, *_scratch(out.size), out)
        return out.reshape(shape)

    def vol(
        self,
        strike: npt.ArrayLike,
        years: npt.ArrayLike,
        spot: float | None = None,
        sticky: Sticky = Sticky.MONEYNESS,
    ) -> Array:
        """Volatility per sqrt(year) at strikes in currency, with the spot at ``spot`` (None: where it was)."""
        (flat_k, flat_t), shape = _flat(strike, years)
        out = np.empty(flat_k.size)
        shift = self._move(spot) if sticky is Sticky.MONEYNESS else 0.0
        surface_vols(self.nodes, self.count, flat_k, flat_t, shift, *_scratch(out.size), out)
        return out.reshape(shape)

    def price(
        self,
        strike: npt.ArrayLike,
        years: npt.ArrayLike,
        right: npt.ArrayLike,
        spot: float | None = None,
        sticky: Sticky = Sticky.MONEYNESS,
    ) -> Array:
        """European value today in currency; ``right`` +1 call, -1 put."""
        (flat_k, flat_t, flat_r), shape = _flat(strike, years, right)
        out, move = np.empty(flat_k.size), self._move(spot)
        shift = move if sticky is Sticky.MONEYNESS else 0.0
        surface_prices(
            self.nodes, self.count, flat_k, flat_t, flat_r, move, shift, *_scratch(out.size), out
        )  # fmt: skip
        return out.reshape(shape)

    def forward(self, years: npt.ArrayLike, spot: float | None = None) -> Array:
        """Forward for delivery at ``years`` >= 0, proportional to the spot."""
        return self._line(LOG_FORWARD, years) * math.exp(self._move(spot))

    def discount(self, years: npt.ArrayLike) -> Array:
        """Value today of one unit of currency at ``years`` >= 0."""
        return self._line(LOG_DISCOUNT, years)

    def _line(self, column: int, years: npt.ArrayLike) -> Array:
        times = np.asarray(years, np.float64)
        out = np.empty(times.size)
        surface_lines(self.nodes, self.count, column, np.ascontiguousarray(times).ravel(), out)
        return out.reshape(times.shape)

    def _move(self, spot: float | None) -> float:
        """ln(spot now / spot then)."""
        if spot is None:
            return 0.0
        return math.log(spot) - float(self.nodes[0, LOG_FORWARD]) if spot > 0.0 else math.nan
