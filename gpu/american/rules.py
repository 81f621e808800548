"""Nodes, interpolation and quadrature tables of the early-exercise boundary; built once, on the host.

Time runs in fractions of the option's life. Two substitutions make every integral of the problem
smooth: time s since now and time u = 1 - s to expiry are sin^2 and cos^2 of an angle, so that both
sqrt(s) (diffusion) and sqrt(u) (the boundary near expiry) are analytic in it. Gauss-Legendre in
the angle then needs few points. The boundary B is carried as H = ln^2(B / K), which Andersen, Lake
and Offengenden (2016) found smoothest, by its values at Chebyshev-Lobatto nodes of x in (0, 1]:

* ``NEAR`` (the boundary starts at the strike): u = x^4. H behaves like u ln u at expiry, and nodes
  in the fourth root of time resolve that; in the square root, as published, the error is a
  hundred times larger at the same number of nodes.
* ``AWAY`` (dividends push the start X below the strike): u = x^2; H starts from a value that is not
  zero with a slope in sqrt(u), and turns where exp(-ln^2(K / X) / (2 vol^2 u)) sets in: the strike
  comes in reach. That function has no power series and takes more nodes, unless it is over
  at once or hardly comes (``APART``) or never (``DISTANT``).
"""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

F8: TypeAlias = npt.NDArray[np.float64]

#: Words of a rule's header in the packed table: nodes, inner points, outer points, power of x.
HEADER = 8
NEAR_SLOT, AWAY_SLOT, APART_SLOT = 0, 1, 2  # words of the packed table that hold the rules' offsets
WORK_SLOT = 3  # word that holds the scratch a solve needs
CURVE_SLOT = 4  # word that holds the size of a solved boundary
DISTANT_SLOT = 5
#: ln(K / X) in standard deviations, X the boundary's limit at expiry, outside which ``APART`` is enough,
#: and above which ``DISTANT`` is.
APART_BELOW, APART_ABOVE = 0.05, 0.6
DISTANT_ABOVE = 1.6
#: Nodes nearest to expiry between which H / u is interpolated piecewise: a polynomial that is exact
#: to 1e-9 of the largest H may be negative where H itself is 1e-8 of it.
LOCAL_NODES = 3

#: Exponents are not let below this: numbers under 1e-308 take a hundred times as long, and nothing here needs them.
LEAST_EXPONENT = -600.0

# Words of a curve, the solved boundary: a header, then five Chebyshev series.
CURVE_TOP = 0  # ln(B / K) at the whole life
CURVE_START = 1  # -ln(X / K): X the boundary's limit at expiry
CURVE_RULE = 2  # offset of its rule in the packed table
CURVE_NODES = 3
CURVE_STEPS = 4  # linear systems solved
CURVE_GROUND = 5  # H / x^4 at the node CURVE_EDGE, below which H is at least that (0: no such floor)
CURVE_EDGE = 6
CURVE_HEADER = 8
CURVE_PARTS = 5  # Z = H - H(expiry), dZ/ddev, d2Z/ddev2, dZ/drate, dZ/ddividend


class Accuracy(NamedTuple):
    """How fine the tables are: (nodes, inner quadrature, outer quadrature) of each rule."""

    near: tuple[int, int, int] = (14, 20, 64)
    away: tuple[int, int, int] = (32, 32, 64)
    apart: tuple[int, int, int] = (20, 24, 64)
    distant: tuple[int, int, int] = (16, 16, 64)


#: The setting of the documented errors, and one whose errors are far below (tests, references).
STANDARD = Accuracy()
REFERENCE = Accuracy(near=(22, 40, 128), away=(44, 56, 128), apart=(44, 56, 128), distant=(44, 56, 128))


def _lobatto(count: int) -> F8:
    """The positive nodes x of [0, 1], largest (x = 1) first; x = 0 is the node ``count``."""
    return 0.5 * (1.0 + np.cos(math.pi * np.arange(count) / count))


def _interpolation(count: int, at: F8) -> F8:
    """Weights [..., count] of the values at the positive nodes for a polynomial that vanishes at x = 0."""
    nodes = np.append(_lobatto(count), 0.0)
    weights = np.where(np.arange(count + 1) % 2 == 0, 1.0, -1.0)
    weights[0] *= 0.5
    weights[-1] *= 0.5
    gap = at[..., None] - nodes
    hit = np.abs(gap) < 1e-15
    terms = weights / np.where(hit, 1.0, gap)
    matrix = np.asarray(terms / terms.sum(axis=-1, keepdims=True))
    matrix[hit.any(axis=-1)] = hit[hit.any(axis=-1)]
    return matrix[..., :count]


def _near_expiry(matrix: F8, nodes: F8, at: F8, power: float) -> None:
    """Overwrite the weights of points below the third-last node: H / u linear in ln u between nodes."""
    last = nodes.size - 1
    for j in range(nodes.size - LOCAL_NODES, nodes.size):
        rows = at < nodes[j] * (1.0 - 1e-14)
        matrix[rows] = 0.0
        scale = at[rows] / nodes[j]
        if j == last:
            matrix[rows, j] = scale ** (2.0 * power)
            continue
        part = np.log(1.0 / scale) / np.log(nodes[j] / nodes[j + 1])
        matrix[rows, j] = (1.0 - part) * scale ** (2.0 * power)
        matrix[rows, j + 1] = part * (at[rows] / nodes[j + 1]) ** (2.0 * power)


def _coefficients(count: int) -> F8:
    """[count + 1, count]: values at the positive nodes to Chebyshev coefficients (the value at 0 is 0)."""
    m, j = np.arange(count + 1)[:, None], np.arange(count)[None, :]
    matrix = np.asarray(2.0 / count * np.cos(math.pi * m * j / count))
    matrix[0] *= 0.5
    matrix[-1] *= 0.5
    matrix[:, 0] *= 0.5
    return matrix


def _unit_gauss(count: int) -> F8:
    """Gauss-Legendre points of [0, 1], then their weights."""
    return np.asarray(np.polynomial.legendre.leggauss(count)).ravel() / 2.0 + np.repeat((0.5, 0.0), count)


def _pack_rule(count: int, inner: int, outer: int, power: float) -> F8:
    nodes = _lobatto(count)
    points, weights = np.polynomial.legendre.leggauss(inner)
    angle, weight = (points + 1.0) * math.pi / 4.0, weights * math.pi / 4.0
    at = nodes[:, None] * np.cos(angle) ** (1.0 / power)
    matrix = _interpolation(count, at)
    if power == 2.0:
        _near_expiry(matrix, nodes, at, power)
    tau = nodes ** (2.0 * power)
    root = nodes[:, None] ** power * np.sin(angle)
    step = tau[:, None] * np.sin(2.0 * angle) * weight
    header = np.zeros(HEADER)
    header[:4] = count, inner, outer, power
    return np.concatenate([
        header, nodes, np.sqrt(tau), (root * root).ravel(), root.ravel(), step.ravel(),
        matrix.transpose(0, 2, 1).ravel(),  # [node, value, inner point]: both loops over points run along memory
        _coefficients(count).ravel(), _unit_gauss(outer), _unit_gauss(2 * outer),
    ])  # fmt: skip


def pack_rules(accuracy: Accuracy = STANDARD) -> F8:
    """All rules in one array, as every kernel of this room takes them."""
    parts = [_pack_rule(*accuracy.near, 2.0)] + [_pack_rule(*fine, 1.0) for fine in accuracy[1:]]
    head = np.zeros(HEADER)
    slots = [NEAR_SLOT, AWAY_SLOT, APART_SLOT, DISTANT_SLOT]
    head[slots] = HEADER + np.cumsum([0] + [part.size for part in parts])[:-1]
    head[WORK_SLOT] = max(12 * n + n * n + 18 * n * inner + 5 * (n + 1) + 50 * outer for n, inner, outer in accuracy)
    head[CURVE_SLOT] = CURVE_HEADER + CURVE_PARTS * (1 + max(n for n, _, _ in accuracy))
    return np.concatenate([head, *parts])
