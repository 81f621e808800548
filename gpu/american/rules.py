"""Nodes, interpolation and quadrature tables of the early-exercise boundary; built once, on the host.

Time runs in fractions of the option's life. Two substitutions make every integral of the problem
smooth: time s since now and time u = 1 - s to expiry are sin^2 and cos^2 of an angle, so that both
sqrt(s) (diffusion) and w = sqrt(u) (the boundary near expiry) are analytic in it. Gauss-Legendre in
the angle then needs few points. The boundary B is carried as H = ln^2(B / K), which Andersen, Lake
and Offengenden (2016) found smoothest, by its values at Chebyshev-Lobatto nodes of x in (0, 1]:

* ``NEAR`` (the boundary starts at the strike): w = x^2. H behaves like u ln u at expiry, and nodes
  in the fourth root of time resolve that; in the square root, as published, the error is a
  hundred times larger at the same number of nodes.
* ``AWAY`` (dividends push the start X = K r / q below the strike): B = X (1 - 0.6388 vol w + ...) is a
  power series in w until the strike comes in reach. It does when what the strike adds,
  exp(-ln^2(K / X) / (2 vol^2 u)), is no longer small against what waiting costs, q u: at
  w = ``turning_point``, and then within a small part of it, with singularities close beside the
  real axis. x(w) is therefore an inverse hyperbolic sine around that point, w = c + h sinh(a + b x):
  dense nodes there, logarithmic beyond, a few before. Twenty of those are worth more than sixty in
  w or in sqrt(w). The points of the integrals crowd there in the same way. One rule for each
  tenth that the turning point may lie elsewhere; ``DISTANT`` where it is late or after the life;
  ``WIDE`` for the boundaries of many volatilities that are to share one rule,
  and for huge yields and deviations.
"""

import functools
import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

F8: TypeAlias = npt.NDArray[np.float64]

#: Words of a rule's header: nodes, inner points, outer points, then c, h, a, a + b of the nodes' places (c = 0: NEAR).
HEADER = 8
RULE_CENTRE, RULE_WIDTH, RULE_LOW, RULE_HIGH = 3, 4, 5, 6
NEAR_SLOT, DISTANT_SLOT = 0, 1  # words of the packed table that hold the rules' offsets
WORK_SLOT = 3  # word that holds the scratch a solve needs
CURVE_SLOT = 4  # word that holds the size of a solved boundary
#: Turning points that the rules of ``AWAY`` are made for: the first, and each next one by this factor.
FIRST_TURN, NEXT_TURN, AWAY_RULES = 0.006, 1.2, 28
#: The same for ``WIDE``.
FIRST_WIDE, NEXT_WIDE, WIDE_RULES = 0.0125, 2.0, 6
#: Turning points after which ``DISTANT`` is enough, and the one that it is made for.
DISTANT_ABOVE, DISTANT_TURN = 0.82, 1.0
#: ln(K / X) in standard deviations up to which the turning point is so early that ``NEAR`` does better.
NEAR_BELOW = 0.005
AWAY_SLOT = 8
WIDE_SLOT = AWAY_SLOT + AWAY_RULES
HEAD = WIDE_SLOT + WIDE_RULES
#: Width of the crowd of nodes around the turning point, in units of it, of a rule for one volatility and for many.
_NARROW, _BROAD = 0.2, 0.5
#: The same of the integrals' points, and its least: fewer points reach less far.
_SPREAD, _LEAST = 0.5, 0.04
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
    away: tuple[int, int, int] = (20, 16, 64)
    distant: tuple[int, int, int] = (16, 16, 64)
    wide: tuple[int, int, int] = (32, 32, 64)


#: The setting of the documented errors, and one whose errors are far below (tests, references).
STANDARD = Accuracy()
REFERENCE = Accuracy(near=(22, 40, 128), away=(40, 48, 128), distant=(40, 48, 128), wide=(48, 56, 128))


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


def _near_expiry(matrix: F8, nodes: F8, at: F8) -> None:
    """Overwrite the weights of points below the third-last node: H / u linear in ln u between nodes."""
    last = nodes.size - 1
    for j in range(nodes.size - LOCAL_NODES, nodes.size):
        rows = at < nodes[j] * (1.0 - 1e-14)
        matrix[rows] = 0.0
        scale = at[rows] / nodes[j]
        if j == last:
            matrix[rows, j] = scale**4
            continue
        part = np.log(1.0 / scale) / np.log(nodes[j] / nodes[j + 1])
        matrix[rows, j] = (1.0 - part) * scale**4
        matrix[rows, j + 1] = part * (at[rows] / nodes[j + 1]) ** 4


def _coefficients(count: int) -> F8:
    """[count + 1, count]: values at the positive nodes to Chebyshev coefficients (the value at 0 is 0)."""
    m, j = np.arange(count + 1)[:, None], np.arange(count)[None, :]
    matrix = np.asarray(2.0 / count * np.cos(math.pi * m * j / count))
    matrix[0] *= 0.5
    matrix[-1] *= 0.5
    matrix[:, 0] *= 0.5
    return matrix


@functools.cache
def _legendre(count: int) -> F8:
    """Gauss-Legendre points of [0, 1], then their weights: [2, count]."""
    return np.asarray(np.polynomial.legendre.leggauss(count)) / 2.0 + np.array([[0.5], [0.0]])


def _crowded(x: F8, centre: float, width: float, end: float) -> tuple[F8, F8]:
    """Map [0, 1] to [0, end] with most of it around ``centre``; the places and the slopes there."""
    low, high = np.arcsinh(-centre / width), np.arcsinh((end - centre) / width)
    at = low + (high - low) * x
    return centre + width * np.sinh(at), width * (high - low) * np.cosh(at)


def _angles(inner: int, turn: float, crowd: F8) -> tuple[F8, F8]:
    """Points and weights [node, inner] of [0, pi/2], crowded at the distances ``crowd`` before its end."""
    points, weights = _legendre(inner)
    parts = [_crowded(points, c, (_SPREAD + _LEAST / turn) * c, math.pi / 2.0) for c in crowd]
    rest = np.array([place for place, _ in parts])
    return math.pi / 2.0 - rest, np.array([slope for _, slope in parts]) * weights


def _pack_rule(fine: tuple[int, int, int], turn: float, part: float = _NARROW) -> F8:
    """One rule: for boundaries that turn at w = ``turn``, or that start at the strike (0)."""
    count, inner, outer = fine
    nodes = _lobatto(count)
    header = np.zeros(HEADER)
    header[:3] = fine
    if turn == 0.0:
        own = nodes * nodes
        points, weights = _legendre(inner)
        angle, weight = points * (math.pi / 2.0), weights * (math.pi / 2.0)
        at = nodes[:, None] * np.sqrt(np.cos(angle))
        matrix = _interpolation(count, at)
        _near_expiry(matrix, nodes, at)
    else:
        own, _ = _crowded(nodes, turn, part * turn, 1.0)
        own[0] = 1.0
        angle, weight = _angles(inner, turn, turn / own)
        low, high = np.arcsinh(-1.0 / part), np.arcsinh((1.0 / turn - 1.0) / part)
        at = (np.arcsinh((own[:, None] * np.cos(angle) / turn - 1.0) / part) - low) / (high - low)
        matrix = _interpolation(count, at)
        header[[RULE_CENTRE, RULE_WIDTH, RULE_LOW, RULE_HIGH]] = turn, part * turn, low, high
    tau = own * own
    root = own[:, None] * np.sin(angle)
    step = tau[:, None] * np.sin(2.0 * angle) * weight
    return np.concatenate([
        header, nodes, own, (root * root).ravel(), root.ravel(), step.ravel(),
        matrix.transpose(0, 2, 1).ravel(),  # [node, value, inner point]: both loops over points run along memory
        _coefficients(count).ravel(), _legendre(outer).ravel(), _legendre(2 * outer).ravel(),
    ])  # fmt: skip


@functools.cache
def _all_rules(accuracy: Accuracy) -> F8:
    parts = [_pack_rule(accuracy.near, 0.0), _pack_rule(accuracy.distant, DISTANT_TURN)]
    parts += [_pack_rule(accuracy.away, FIRST_TURN * NEXT_TURN**k) for k in range(AWAY_RULES)]
    parts += [_pack_rule(accuracy.wide, FIRST_WIDE * NEXT_WIDE**k, _BROAD) for k in range(WIDE_RULES)]
    head = np.zeros(HEAD)
    slots = [NEAR_SLOT, DISTANT_SLOT, *range(AWAY_SLOT, HEAD)]
    head[slots] = HEAD + np.cumsum([0] + [part.size for part in parts])[:-1]
    head[WORK_SLOT] = max(12 * n + n * n + 18 * n * inner + 5 * (n + 1) + 50 * outer for n, inner, outer in accuracy)
    head[CURVE_SLOT] = CURVE_HEADER + CURVE_PARTS * (1 + max(n for n, _, _ in accuracy))
    return np.concatenate([head, *parts])


def pack_rules(accuracy: Accuracy = STANDARD) -> F8:
    """All rules in one array, as every kernel of this room takes them; the same one at each call, not to be changed."""
    return _all_rules(accuracy)
