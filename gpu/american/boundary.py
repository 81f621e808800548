"""The early-exercise boundary of an American put, by collocation, and its derivatives by the same linear system.

The unknown is B(u), u the time to expiry, in units of the strike; everything is per life of the
option (rate and dividend times years, dev = vol sqrt(years)). On the boundary the option's delta
is -1. Written out with the early-exercise premium of Kim, Jacka, Carr, Jarrow and Myneni, and with
the identity S e^-qs n(d+) = B e^-rs n(d-), that is an equation between two positive numbers

    e^-qu N(d+(u, B/K)) + int_0^u q e^-qs N(d+) ds  =  int_0^u (r K / B(u-s) - q) e^-qs n(d+) / (v sqrt s) ds

with d+ = d+(s, B(u) / B(u-s)). (Smooth pasting, system A of Andersen, Lake and Offengenden 2016;
the value-matching system B has a singular derivative at its solution.) The difference of its logarithms is
nearly linear in H = ln^2(B/K), so that Newton's method on all nodes at once converges
quadratically from a guess that is off by 10 %: three or four linear systems, against ten or more
fixed-point sweeps. The last factorised matrix then gives the derivatives of the boundary with
respect to volatility (first and second), rate and dividend as the exact derivatives of the discrete
solution, one back substitution each.
"""

import math

import numpy as np

from gpu.american.linear import factor, substitute
from gpu.american.rules import (
    AWAY_RULES,
    AWAY_SLOT,
    CURVE_EDGE,
    CURVE_GROUND,
    CURVE_HEADER,
    CURVE_NODES,
    CURVE_RULE,
    CURVE_SLOT,
    CURVE_START,
    CURVE_STEPS,
    CURVE_TOP,
    DISTANT_ABOVE,
    DISTANT_SLOT,
    F8,
    FIRST_TURN,
    FIRST_WIDE,
    HEADER,
    LEAST_EXPONENT,
    LOCAL_NODES,
    NEAR_BELOW,
    NEAR_SLOT,
    NEXT_TURN,
    NEXT_WIDE,
    RULE_CENTRE,
    WIDE_RULES,
    WIDE_SLOT,
)
from gpu.american.start import first_guess
from gpu.maths.functions import exp_fast, mills
from gpu.maths.wide import wide_kernel
from market.jit import kernel

_INV_SQRT_2PI = 0.3989422804014327
#: Sums may be taken in any order here: no rounding trick is inside.
_SUMS = {"contract", "nsz", "arcp", "reassoc"}

#: Newton stops when no node moves by more than this part of itself; the step taken is the square of it.
_TOLERANCE = 1e-6
_MAX_STEPS = 14
#: Largest rate or dividend yield, times years, in units of vol sqrt(years). Beyond it the boundary falls to its
#: perpetual level in a layer that the nodes do not resolve; the solve is refused rather than inexact.
MOST_DRIFT = 16.0
#: How far after the two terms of ``turning_point`` are equal the boundary turns, as found over the standard domain.
_LATE = 1.15
#: Turning points after which a rule made for another one is still good: the turn is gentle there.
_SMOOTH = 0.25
#: Yields (times years) and deviations above which more happens on the way than the turn, and a wide rule is taken.
_HEAVY, _WILD = 0.5, 1.5


@kernel(inline=True)
def curve_size(rules: F8) -> int:
    """Words of a curve that any of these rules may leave."""
    return int(rules[CURVE_SLOT])


@kernel
def turning_point(rate: float, dividend: float, dev: float) -> float:
    """Square root of the time to expiry at which a boundary that starts at K rate / dividend leaves its power series.

    There what the strike adds, of the order of exp(-(d / w)^2 / 2) with d = ln(dividend / rate) / dev, meets what
    waiting costs, dividend w^2. Good to a tenth; not below ``FIRST_TURN``, nor far above 1.
    """
    distance = math.log(dividend / rate) / dev
    if distance > 8.0:
        return distance
    place = max(0.3 * distance, FIRST_TURN)
    for _ in range(3):
        place = max(distance / math.sqrt(2.0 * max(1.0, -math.log(dividend * place * place))), FIRST_TURN)
    return _LATE * place


@kernel
def choose_rule(rate: float, dividend: float, low: float, high: float, rules: F8) -> int:
    """Offset of the rule that suits all deviations from ``low`` to ``high``."""
    if dividend <= rate or math.log(dividend / rate) <= NEAR_BELOW * low:
        return int(rules[NEAR_SLOT])
    first = turning_point(rate, dividend, high)
    heavy = (dividend > _HEAVY or high > _WILD) and math.log(dividend / rate) < 2.0 * high
    if first > DISTANT_ABOVE and not heavy:
        return int(rules[DISTANT_SLOT])
    last = turning_point(rate, dividend, low) if low < high else first
    middle = math.sqrt(first * min(last, 1.0))
    if not heavy and (last < first * NEXT_TURN or first > _SMOOTH):
        k = round(math.log(middle / FIRST_TURN) / math.log(NEXT_TURN))
        return int(rules[AWAY_SLOT + min(max(k, 0), AWAY_RULES - 1)])
    k = round(math.log(middle / FIRST_WIDE) / math.log(NEXT_WIDE))
    return int(rules[WIDE_SLOT + min(max(k, 0), WIDE_RULES - 1)])


@wide_kernel
def _discount(count: int, dividend: float, dev: float, s: F8, root: F8, decay: F8, over: F8) -> None:
    """What stays the same in all steps: e^-qs and 1 / (dev sqrt s)."""
    for k in range(count):
        decay[k] = exp_fast(-dividend * s[k])
        over[k] = 1.0 / (dev * root[k])


@wide_kernel
def _spread(n: int, inner: int, base: float, values: F8, matrix: F8, out: F8) -> None:
    """``base`` plus the interpolated values of the nodes, at all inner points."""
    nodes, width = np.uintp(n), np.uintp(inner)
    for i in range(nodes):
        for k in range(width):
            out[i * width + k] = base
        quads = nodes // np.uintp(4)
        for quad in range(quads):
            j = np.uintp(4) * quad
            v0, v1, v2, v3 = values[j], values[j + np.uintp(1)], values[j + np.uintp(2)], values[j + np.uintp(3)]
            m0 = (i * nodes + j) * width
            m1, m2, m3 = m0 + width, m0 + np.uintp(2) * width, m0 + np.uintp(3) * width
            for k in range(width):
                out[i * width + k] += (v0 * matrix[m0 + k] + v1 * matrix[m1 + k]) + (
                    v2 * matrix[m2 + k] + v3 * matrix[m3 + k]
                )
        for last in range(np.uintp(4) * quads, nodes):
            value = values[last]
            for k in range(width):
                out[i * width + k] += value * matrix[(i * nodes + last) * width + k]


@wide_kernel
def _repeat(n: int, inner: int, level: F8, own: F8) -> None:
    """Each node's ln(B/K) at its own inner points."""
    nodes, width = np.uintp(n), np.uintp(inner)
    for i in range(nodes):
        for k in range(width):
            own[i * width + k] = level[i]


@wide_kernel
def _points(
    count: int, rate: float, dividend: float, dev: float, floor: float,
    h: F8, own: F8, s: F8, root: F8, over: F8, step: F8, decay: F8,
    mass: F8, gone: F8, dist: F8, rise: F8, slope: F8,
) -> None:  # fmt: skip
    """At each inner point: n(d+) and N(d+) discounted and weighted, d+, K / B, and d ln B / dH."""
    carry = rate - dividend
    for k in range(count):
        square = h[k]
        square = max(floor, square)
        level = math.sqrt(square)  # -ln(B(u - s) / K)
        slope[k] = -0.5 / level
        rise[k] = exp_fast(level)
        d = (own[k] + level + carry * s[k]) * over[k] + 0.5 * dev * root[k]
        density = _INV_SQRT_2PI * exp_fast(max(LEAST_EXPONENT, -0.5 * d * d))
        tail = density * mills(abs(d))
        weight = decay[k] * step[k]
        dist[k] = d
        mass[k] = weight * density
        gone[k] = weight * (tail if d < 0.0 else 1.0 - tail)


@wide_kernel
def _ends(
    n: int, rate: float, dividend: float, dev: float, square: float, values: F8, root: F8,
    level: F8, dist: F8, mass: F8, gone: F8,
) -> None:  # fmt: skip
    """At each node, the European term: ln(B/K), d+(u, B/K), e^-qu n(d+), e^-qu N(d+)."""
    for i in range(n):
        tau = root[i] * root[i]
        own = -math.sqrt(square + values[i])
        d = (own + (rate - dividend) * tau) / (dev * root[i]) + 0.5 * dev * root[i]
        decay = exp_fast(-dividend * tau)
        density = _INV_SQRT_2PI * exp_fast(max(LEAST_EXPONENT, -0.5 * d * d))
        tail = density * mills(abs(d))
        level[i] = own
        dist[i] = d
        mass[i] = decay * density
        gone[i] = decay * (tail if d < 0.0 else 1.0 - tail)


@wide_kernel(fastmath=_SUMS)
def _equations(
    n: int, inner: int, rate: float, dividend: float, dev: float, root: F8,
    level: F8, end_mass: F8, end_gone: F8, mass: F8, gone: F8, dist: F8, rise: F8, slope: F8, over: F8, matrix: F8,
    left: F8, right: F8, row: F8, jacobian: F8,
) -> None:  # fmt: skip
    """Both sides of the equation at each node, and the derivative of ln(left / right) by the nodes' values."""
    nodes, width = np.uintp(n), np.uintp(inner)
    for i in range(nodes):
        kept = flow = own_left = own_right = 0.0
        for k in range(width):
            at = i * width + k
            part = mass[at] * over[at]
            net = rate * rise[at] - dividend
            kept += gone[at]
            flow += net * part
            own_left += part
            own_right -= net * part * dist[at] * over[at]
        a = end_gone[i] + dividend * kept
        b = flow
        left[i], right[i] = a, b
        inv_a, inv_b = 1.0 / a, 1.0 / b
        for k in range(width):
            at = i * width + k
            part = mass[at] * over[at]
            grow = rate * rise[at]
            moved = grow * part - (grow - dividend) * part * dist[at] * over[at]
            row[k] = (moved * inv_b - dividend * part * inv_a) * slope[at]
        quads = nodes // np.uintp(4)
        for quad in range(quads):
            j = np.uintp(4) * quad
            m0 = (i * nodes + j) * width
            m1, m2, m3 = m0 + width, m0 + np.uintp(2) * width, m0 + np.uintp(3) * width
            t0 = t1 = t2 = t3 = 0.0
            for k in range(width):
                t0 += row[k] * matrix[m0 + k]
                t1 += row[k] * matrix[m1 + k]
                t2 += row[k] * matrix[m2 + k]
                t3 += row[k] * matrix[m3 + k]
            at = i * nodes + j
            jacobian[at], jacobian[at + np.uintp(1)] = t0, t1
            jacobian[at + np.uintp(2)], jacobian[at + np.uintp(3)] = t2, t3
        for last in range(np.uintp(4) * quads, nodes):
            total = 0.0
            for k in range(width):
                total += row[k] * matrix[(i * nodes + last) * width + k]
            jacobian[i * nodes + last] = total
        own = (end_mass[i] / (dev * root[i]) + dividend * own_left) * inv_a - own_right * inv_b
        jacobian[i * nodes + i] += 0.5 * own / level[i]


@wide_kernel(fastmath=_SUMS)
def _first_sources(
    n: int, inner: int, rate: float, dividend: float, dev: float, start_rate: float, start_dividend: float,
    root: F8, level: F8, end_dist: F8, end_mass: F8, end_gone: F8, left: F8, right: F8,
    s: F8, mass: F8, gone: F8, dist: F8, rise: F8, slope: F8, over: F8,
    by_dev: F8, by_rate: F8, by_dividend: F8,
) -> None:  # fmt: skip
    """-d ln(left / right) by dev, rate and dividend at fixed node values.

    ``start_rate`` and ``start_dividend``: derivatives of the square of ln(X/K), on which H rests.
    """
    nodes, width = np.uintp(n), np.uintp(inner)
    over_dev = 1.0 / dev
    for i in range(nodes):
        base_rate, base_dividend = 0.5 * start_rate / level[i], 0.5 * start_dividend / level[i]
        a_dev = a_rate = a_dividend = b_dev = b_rate = b_dividend = 0.0
        for k in range(width):
            at = i * width + k
            inv, d, m, g = over[at], dist[at], mass[at], rate * rise[at]
            net = g - dividend
            d_dev = (1.0 / inv - d) * over_dev  # -d- / dev
            lift_rate, lift_dividend = start_rate * slope[at], start_dividend * slope[at]
            d_rate = (s[at] + base_rate - lift_rate) * inv
            d_dividend = (base_dividend - lift_dividend - s[at]) * inv
            a_dev += dividend * m * d_dev
            a_rate += dividend * m * d_rate
            a_dividend += gone[at] * (1.0 - dividend * s[at]) + dividend * m * d_dividend
            b_dev -= net * m * inv * (d * d_dev + over_dev)
            b_rate += m * inv * (rise[at] - net * d * d_rate - g * lift_rate)
            b_dividend += m * inv * (-net * (d * d_dividend + s[at]) - 1.0 - g * lift_dividend)
        tau = root[i] * root[i]
        inv_end = over_dev / root[i]
        end_m, end_d = end_mass[i], end_dist[i]
        a_dev += end_m * (dev * root[i] - end_d) * over_dev
        a_rate += end_m * (tau + base_rate) * inv_end
        a_dividend += end_m * (base_dividend - tau) * inv_end - tau * end_gone[i]
        inv_a, inv_b = 1.0 / left[i], 1.0 / right[i]
        by_dev[i] = b_dev * inv_b - a_dev * inv_a
        by_rate[i] = b_rate * inv_b - a_rate * inv_a
        by_dividend[i] = b_dividend * inv_b - a_dividend * inv_a


@wide_kernel(fastmath=_SUMS)
def _second_source(
    n: int, inner: int, rate: float, dividend: float, dev: float, move: F8,
    root: F8, level: F8, end_dist: F8, end_mass: F8, left: F8, right: F8,
    mass: F8, dist: F8, rise: F8, slope: F8, over: F8, moves: F8, source: F8,
) -> None:  # fmt: skip
    """-d2 ln(left / right) / ddev2 while the nodes' values move with ``move`` (at inner points ``moves``)."""
    nodes, width = np.uintp(n), np.uintp(inner)
    over_dev = 1.0 / dev
    for i in range(nodes):
        own1 = 0.5 * move[i] / level[i]
        own2 = -own1 * own1 / level[i]
        a1 = a2 = b1 = b2 = 0.0
        for k in range(width):
            at = i * width + k
            inv, d, m, g = over[at], dist[at], mass[at], rate * rise[at]
            net = g - dividend
            line1 = moves[at] * slope[at]
            line2 = -2.0 * line1 * line1 * slope[at]
            v = 1.0 / inv
            d1 = (own1 - line1) * inv + (v - d) * over_dev
            d2 = (own2 - line2) * inv + 2.0 * over_dev * ((d - 0.5 * v) * over_dev - (own1 - line1) * inv)
            m1 = -m * d * d1
            m2 = -m1 * d * d1 - m * (d1 * d1 + d * d2)
            a1 += dividend * m * d1
            a2 += dividend * (m1 * d1 + m * d2)
            net1 = -g * line1
            net2 = g * (line1 * line1 - line2)
            rate1 = (net1 - net * over_dev) * inv
            rate2 = (net2 - 2.0 * over_dev * (net1 - net * over_dev)) * inv
            b1 += m1 * net * inv + m * rate1
            b2 += m2 * net * inv + 2.0 * m1 * rate1 + m * rate2
        d, m = end_dist[i], end_mass[i]
        v = dev * root[i]
        d1 = own1 / v + (v - d) * over_dev
        d2 = own2 / v + 2.0 * over_dev * ((d - 0.5 * v) * over_dev - own1 / v)
        a1 += m * d1
        a2 += m * (d2 - d * d1 * d1)
        inv_a, inv_b = 1.0 / left[i], 1.0 / right[i]
        source[i] = b2 * inv_b - (b1 * inv_b) * (b1 * inv_b) - a2 * inv_a + (a1 * inv_a) * (a1 * inv_a)


@kernel(fastmath={"contract", "reassoc", "nsz"})
def _coefficients(n: int, table: F8, values: F8, out: F8) -> None:
    """Chebyshev coefficients [n + 1] of the polynomial through the nodes' values (0 at expiry)."""
    for m in range(n + 1):
        row = table[m * n : m * n + n]
        total = 0.0
        for j in range(n):
            total += row[j] * values[j]
        out[m] = total


@kernel
def _move(n: int, square: float, values: F8, step: F8) -> float:
    """Take a Newton step, at most a factor five either way; the largest relative change is returned."""
    worst = 0.0
    for i in range(n):
        old = values[i]
        new = old + step[i]
        worst = max(worst, abs(step[i]) / (old + 1e-6 * square))
        if not new > 0.2 * old:
            new = 0.2 * old
        values[i] = min(new, 5.0 * old)
    return worst


@kernel
def solve_curve(rate: float, dividend: float, dev: float, derivatives: bool, rules: F8, work: F8, curve: F8) -> bool:
    """Solve the boundary of a put and leave it in ``curve`` (``curve_size(rules)`` words); False if it fails.

    ``rate`` and ``dividend`` are times years, ``dev`` = vol sqrt(years) > 0. Domain: rate > 0 with
    any dividend, or rate = 0 with dividend < 0 (one boundary, down from the strike or from
    K rate / dividend), neither beyond ``MOST_DRIFT``. ``rules`` from ``pack_rules``, ``work`` of
    ``rules[WORK_SLOT]`` words.
    """
    at = choose_rule(rate, dividend, dev, dev, rules)
    return solve_by_rule(at, rate, dividend, dev, derivatives, rules, work, curve)


@kernel
def solve_by_rule(
    at: int, rate: float, dividend: float, dev: float, derivatives: bool, rules: F8, work: F8, curve: F8
) -> bool:
    """:func:`solve_curve` with the rule at the offset ``at``."""
    if max(abs(rate), abs(dividend)) > MOST_DRIFT * dev:
        return False
    away = dividend > rate
    n, inner = int(rules[at]), int(rules[at + 1])
    count = n * inner
    start = math.log(dividend / rate) if away else 0.0
    square = start * start
    curve[CURVE_START], curve[CURVE_RULE], curve[CURVE_NODES] = start, at, n

    p = at + HEADER + n
    root = rules[p : p + n]
    p += n
    s, point_root, step = rules[p : p + count], rules[p + count : p + 2 * count], rules[p + 2 * count : p + 3 * count]
    p += 3 * count
    matrix = rules[p : p + n * count]
    p += n * count
    table = rules[p : p + n * (n + 1)]

    values, level, end_dist, end_mass = work[:n], work[n : 2 * n], work[2 * n : 3 * n], work[3 * n : 4 * n]
    end_gone, left, right = work[4 * n : 5 * n], work[5 * n : 6 * n], work[6 * n : 7 * n]
    by_dev, by_rate, by_dividend = work[7 * n : 8 * n], work[8 * n : 9 * n], work[9 * n : 10 * n]
    change, top = work[10 * n : 11 * n], work[11 * n : 12 * n]
    p = 12 * n
    jacobian = work[p : p + n * n]
    p += n * n
    scratch = work[p : p + inner + 4 * n]
    row = scratch[:inner]
    p += inner + 4 * n
    decay, over, h, own = (
        work[p : p + count],
        work[p + count : p + 2 * count],
        work[p + 2 * count : p + 3 * count],
        work[p + 3 * count : p + 4 * count],
    )
    p += 4 * count
    mass, gone, dist = work[p : p + count], work[p + count : p + 2 * count], work[p + 2 * count : p + 3 * count]
    rise, slope = work[p + 3 * count : p + 4 * count], work[p + 4 * count : p + 5 * count]

    first_guess(n, rate, dividend, dev, root, scratch, values)
    _discount(count, dividend, dev, s, point_root, decay, over)
    floor = square + 1e-20 * dev * dev
    good = False
    for turn in range(_MAX_STEPS):
        _ends(n, rate, dividend, dev, square, values, root, level, end_dist, end_mass, end_gone)
        _repeat(n, inner, level, own)
        _spread(n, inner, square, values, matrix, h)
        _points(
            count, rate, dividend, dev, floor, h, own, s, point_root, over, step, decay, mass, gone, dist, rise, slope
        )
        _equations(
            n, inner, rate, dividend, dev, root, level, end_mass, end_gone, mass, gone, dist, rise, slope, over, matrix,
            left, right, row, jacobian,
        )  # fmt: skip
        for i in range(n):
            change[i] = math.log(right[i] / left[i])
        factor(n, jacobian, top)
        substitute(n, jacobian, change)
        worst = _move(n, square, values, change)
        curve[CURVE_STEPS] = turn + 1
        if worst < _TOLERANCE:
            good = True
            break
        if not worst < math.inf:
            break
    curve[CURVE_TOP] = -math.sqrt(square + values[0])
    edge = rules[at + HEADER + n - LOCAL_NODES]
    near = rules[at + RULE_CENTRE] == 0.0
    curve[CURVE_EDGE] = edge if near else 0.0
    curve[CURVE_GROUND] = values[n - LOCAL_NODES] / (edge * edge * edge * edge) if near else 0.0
    size = n + 1
    p = CURVE_HEADER
    _coefficients(n, table, values, curve[p : p + size])
    if not (derivatives and good):
        return good
    d_start_rate = -2.0 * start / rate if away else 0.0
    d_start_dividend = 2.0 * start / dividend if away else 0.0
    _first_sources(
        n, inner, rate, dividend, dev, d_start_rate, d_start_dividend, root, level, end_dist, end_mass, end_gone,
        left, right, s, mass, gone, dist, rise, slope, over, by_dev, by_rate, by_dividend,
    )  # fmt: skip
    substitute(n, jacobian, by_dev)
    substitute(n, jacobian, by_rate)
    substitute(n, jacobian, by_dividend)
    _spread(n, inner, 0.0, by_dev, matrix, h)
    _second_source(
        n, inner, rate, dividend, dev, by_dev, root, level, end_dist, end_mass, left, right,
        mass, dist, rise, slope, over, h, change,
    )  # fmt: skip
    substitute(n, jacobian, change)
    _coefficients(n, table, by_dev, curve[p + size : p + 2 * size])
    _coefficients(n, table, change, curve[p + 2 * size : p + 3 * size])
    _coefficients(n, table, by_rate, curve[p + 3 * size : p + 4 * size])
    _coefficients(n, table, by_dividend, curve[p + 4 * size : p + 5 * size])
    return True
