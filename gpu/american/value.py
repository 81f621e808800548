"""Value and derivatives of an American put from its solved boundary: one quadrature in time per option.

The premium over the European value is an integral along the boundary. Seen from a spot at the
distance ``a`` standard deviations above it, the integrand turns on at times of the order of a^2,
which no fixed quadrature resolves for all ``a``; second derivatives in spot keep the whole weight
of that layer however thin it is. So the angle of ``rules.py`` is replaced by t = tan(angle / 2),
rational in sqrt(s) and sqrt(u), and t = (a / 2) sinh(Y y) with Gauss-Legendre in y of [0, 1]: linear
for a far spot, logarithmic through the layer for a near one.

Spot derivatives are taken under the integral: the boundary does not depend on spot. Those by
volatility, rate and dividend follow the boundary through its derivatives from ``boundary.py``.
"""

import math

from gpu.american.rules import (
    CURVE_EDGE,
    CURVE_GROUND,
    CURVE_HEADER,
    CURVE_RULE,
    CURVE_START,
    CURVE_TOP,
    F8,
    HEADER,
    LEAST_EXPONENT,
    RULE_CENTRE,
    RULE_HIGH,
    RULE_LOW,
    RULE_WIDTH,
)
from gpu.maths.functions import exp_fast, log_fast, mills
from gpu.maths.wide import wide_kernel
from market.jit import kernel

_INV_SQRT_2PI = 0.3989422804014327
_SUMS = {"contract", "nsz", "arcp", "reassoc"}

# What ``curve_derivatives`` fills: of the value in strikes by x = spot / strike, dev, rate, dividend.
VALUE, BY_X, BY_XX, BY_XXX, BY_DEV, BY_DEV2, BY_X_DEV, BY_XX_DEV, BY_RATE, BY_DIVIDEND = range(10)
DERIVATIVES = 10

#: In standard deviations from the boundary. Third derivatives cancel by the inverse of the distance: closer
#: than the first, everything is continued from there; closer than the second, twice the points are taken.
_NEAREST = 1e-5
_CLOSE = 0.06


@wide_kernel
def _abscissae(
    outer: int, distance: float, reach: float, y: F8, weight: F8, s: F8, root: F8, step: F8, left: F8
) -> None:
    """Time, its root, the weight and the root of the time to expiry of each outer point; ``distance`` = a / 2."""
    for k in range(outer):
        grown = exp_fast(reach * y[k])
        shrunk = 1.0 / grown
        t = 0.5 * distance * (grown - shrunk)
        over = 1.0 / (1.0 + t * t)
        sine = 2.0 * t * over
        cosine = (1.0 - t * t) * over
        cosine = max(0.0, cosine)
        root[k] = sine
        s[k] = sine * sine
        step[k] = 2.0 * sine * cosine * over * reach * weight[k] * distance * (grown + shrunk)
        left[k] = cosine


@wide_kernel
def _place_near(outer: int, place: F8) -> None:
    """From the root of the time to expiry to the argument of the Chebyshev polynomials; rule ``NEAR``."""
    for k in range(outer):
        place[k] = 2.0 * math.sqrt(place[k]) - 1.0


@wide_kernel
def _place_away(outer: int, centre: float, width: float, low: float, high: float, place: F8) -> None:
    """As :func:`_place_near`, for the other rules."""
    inverse, scale = 1.0 / width, 2.0 / (high - low)
    for k in range(outer):
        t = (place[k] - centre) * inverse
        place[k] = (log_fast(t + math.sqrt(t * t + 1.0)) - low) * scale - 1.0


@kernel
def _outer_points(
    at: int, outer: int, distance: float, p: int, rules: F8, s: F8, root: F8, step: F8, place: F8
) -> None:
    """The points of the price integral: times, roots, weights, Chebyshev arguments."""
    y, weight = rules[p : p + outer], rules[p + outer : p + 2 * outer]
    _abscissae(outer, distance, math.asinh(1.0 / distance), y, weight, s, root, step, place)
    if rules[at + RULE_CENTRE] == 0.0:
        _place_near(outer, place)
    else:
        _place_away(
            outer, rules[at + RULE_CENTRE], rules[at + RULE_WIDTH], rules[at + RULE_LOW], rules[at + RULE_HIGH], place
        )


@wide_kernel
def _series(outer: int, terms: int, coefficients: F8, place: F8, before: F8, now: F8, out: F8) -> None:
    """One Chebyshev series at the outer points, by the recurrence of the polynomials, two terms a pass."""
    first, second = coefficients[0], coefficients[1]
    for k in range(outer):
        before[k] = 1.0
        now[k] = place[k]
        out[k] = first + second * place[k]
    pairs = (terms - 2) // 2
    for m in range(pairs):
        third, fourth = coefficients[2 * m + 2], coefficients[2 * m + 3]
        for k in range(outer):
            double = 2.0 * place[k]
            next_one = double * now[k] - before[k]
            next_two = double * next_one - now[k]
            out[k] += third * next_one + fourth * next_two
            before[k] = next_one
            now[k] = next_two
    if (terms - 2) % 2:
        last = coefficients[terms - 1]
        for k in range(outer):
            out[k] += last * (2.0 * place[k] * now[k] - before[k])


@wide_kernel
def _five_series(
    outer: int, terms: int, c: F8, place: F8, before: F8, now: F8, z: F8, z_dev: F8, z_dev2: F8, z_rate: F8, z_div: F8
) -> None:
    """As :func:`_series`, for all parts of a curve at once."""
    for k in range(outer):
        x = place[k]
        before[k] = 1.0
        now[k] = x
        z[k] = c[0] + c[1] * x
        z_dev[k] = c[terms] + c[terms + 1] * x
        z_dev2[k] = c[2 * terms] + c[2 * terms + 1] * x
        z_rate[k] = c[3 * terms] + c[3 * terms + 1] * x
        z_div[k] = c[4 * terms] + c[4 * terms + 1] * x
    pairs = (terms - 2) // 2
    for m in range(pairs):
        i = 2 * m + 2
        a0, a1, a2, a3, a4 = c[i], c[terms + i], c[2 * terms + i], c[3 * terms + i], c[4 * terms + i]
        b0, b1, b2, b3, b4 = (
            c[i + 1],
            c[terms + i + 1],
            c[2 * terms + i + 1],
            c[3 * terms + i + 1],
            c[4 * terms + i + 1],
        )
        for k in range(outer):
            double = 2.0 * place[k]
            p = double * now[k] - before[k]
            q = double * p - now[k]
            before[k] = p
            now[k] = q
            z[k] += a0 * p + b0 * q
            z_dev[k] += a1 * p + b1 * q
            z_dev2[k] += a2 * p + b2 * q
            z_rate[k] += a3 * p + b3 * q
            z_div[k] += a4 * p + b4 * q
    if (terms - 2) % 2:
        i = terms - 1
        a0, a1, a2, a3, a4 = c[i], c[terms + i], c[2 * terms + i], c[3 * terms + i], c[4 * terms + i]
        for k in range(outer):
            p = 2.0 * place[k] * now[k] - before[k]
            z[k] += a0 * p
            z_dev[k] += a1 * p
            z_dev2[k] += a2 * p
            z_rate[k] += a3 * p
            z_div[k] += a4 * p


@wide_kernel
def _premium_terms(
    outer: int, log_x: float, rate: float, dividend: float, dev: float, square: float, ground: float, edge: float,
    s: F8, root: F8, step: F8, place: F8, z: F8, out: F8,
) -> None:  # fmt: skip
    """The premium's integrand alone."""
    carry = rate - dividend
    x = exp_fast(log_x)
    for k in range(outer):
        part = z[k]
        near = 0.5 * (place[k] + 1.0)
        low = ground * near * near * near * near
        part = low if part < low and near < edge else part
        level = math.sqrt(square + (max(0.0, part)))
        v = dev * root[k]
        d = (log_x + level + carry * s[k]) / v + 0.5 * v
        dm = d - v
        asset = exp_fast(-dividend * s[k])
        cash = exp_fast(-rate * s[k])
        mass = _INV_SQRT_2PI * asset * exp_fast(max(LEAST_EXPONENT, -0.5 * d * d))
        tail = mass * mills(abs(d))
        tail_m = x * exp_fast(level) * mass * mills(abs(dm))
        below = tail if d > 0.0 else asset - tail
        below_m = tail_m if dm > 0.0 else cash - tail_m
        out[k] = step[k] * (rate * below_m - dividend * x * below)


@wide_kernel
def _derivative_terms(
    outer: int, log_x: float, rate: float, dividend: float, dev: float,
    square: float, start_rate: float, start_dividend: float, ground: float, edge: float,
    s: F8, root: F8, step: F8, place: F8, z: F8, z_dev: F8, z_dev2: F8, z_rate: F8, z_div: F8,
    t0: F8, t1: F8, t2: F8, t3: F8, t4: F8, t5: F8, t6: F8, t7: F8, t8: F8, t9: F8,
) -> None:  # fmt: skip
    """All ten integrands, weighted, in the order of the constants above (gamma and speed by ln x, see the sum)."""
    carry = rate - dividend
    x = exp_fast(log_x)
    over_dev = 1.0 / dev
    for k in range(outer):
        part = z[k]
        near = 0.5 * (place[k] + 1.0)
        low = ground * near * near * near * near
        part = low if part < low and near < edge else part
        level = math.sqrt(square + (max(1e-20 * dev * dev, part)))
        time, weight = s[k], step[k]
        v = dev * root[k]
        inv = 1.0 / v
        d = (log_x + level + carry * time) * inv + 0.5 * v
        dm = d - v
        asset = exp_fast(-dividend * time)
        cash = exp_fast(-rate * time)
        rise = exp_fast(level)
        grow = rate * rise
        net = grow - dividend
        mass = _INV_SQRT_2PI * asset * exp_fast(max(LEAST_EXPONENT, -0.5 * d * d))
        tail = mass * mills(abs(d))
        tail_m = x * rise * mass * mills(abs(dm))
        below = tail if d > 0.0 else asset - tail  # e^-qs N(-d+)
        below_m = tail_m if dm > 0.0 else cash - tail_m  # e^-rs N(-d-)
        mass = mass * weight
        slope = -0.5 / level  # d ln B / dH
        line1 = z_dev[k] * slope
        line2 = (z_dev2[k] - 2.0 * line1 * line1) * slope
        move = (d - 0.5 * v) * over_dev
        d1 = -line1 * inv - dm * over_dev
        dm1 = -line1 * inv - d * over_dev
        d2 = -line2 * inv + 2.0 * over_dev * (line1 * inv + move)
        mass1 = -mass * d * d1
        pull = net * inv
        pull1 = (-grow * line1 - net * over_dev) * inv
        curve = dividend + pull * d
        curve1 = pull1 * d + pull * d1
        d_rate = (time - (start_rate + z_rate[k]) * slope) * inv
        d_dividend = (-time - (start_dividend + z_div[k]) * slope) * inv
        t0[k] = weight * (rate * below_m - dividend * x * below)
        t1[k] = weight * dividend * below + pull * mass
        t2[k] = curve * mass * inv
        t3[k] = (pull - curve * d) * mass * inv * inv
        t4[k] = mass * (dividend * d1 - grow * dm1)
        t5[k] = mass1 * (dividend * d1 - grow * dm1) + mass * (dividend * d2 - grow * d2 + grow * line1 * dm1)
        t6[k] = dividend * mass * d1 - pull1 * mass - pull * mass1
        t7[k] = (curve1 * mass + curve * (mass1 - mass * over_dev)) * inv
        t8[k] = weight * (1.0 - rate * time) * below_m - x * net * mass * d_rate
        t9[k] = -weight * (1.0 - dividend * time) * x * below - x * net * mass * d_dividend


@wide_kernel(fastmath=_SUMS)
def _total(count: int, terms: F8, out: F8) -> None:
    total = 0.0
    for k in range(count):
        total += terms[k]
    out[0] = total


@wide_kernel(fastmath=_SUMS)
def _totals(
    count: int, t0: F8, t1: F8, t2: F8, t3: F8, t4: F8, t5: F8, t6: F8, t7: F8, t8: F8, t9: F8, out: F8
) -> None:
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = 0.0
    for k in range(count):
        s0 += t0[k]
        s1 += t1[k]
        s2 += t2[k]
        s3 += t3[k]
        s4 += t4[k]
        s5 += t5[k]
        s6 += t6[k]
        s7 += t7[k]
        s8 += t8[k]
        s9 += t9[k]
    out[0], out[1], out[2], out[3], out[4] = s0, s1, s2, s3, s4
    out[5], out[6], out[7], out[8], out[9] = s5, s6, s7, s8, s9


@kernel(inline=True)
def _upper(d: float, density: float) -> float:
    """N(-d)."""
    tail = density * mills(abs(d))
    return tail if d > 0.0 else 1.0 - tail


@kernel(inline=True)
def _outer_rule(at: int, gap: float, dev: float, rules: F8) -> tuple[int, int, int, float]:
    """(coefficients a curve has, offset and number of the price integral's points, half of the spot's distance)."""
    n, inner, outer = int(rules[at]), int(rules[at + 1]), int(rules[at + 2])
    p = at + HEADER + 2 * n + 3 * n * inner + n * n * inner + n * (n + 1)
    distance = max(gap / dev, _NEAREST)
    if distance < _CLOSE:  # the thin layer takes twice the points
        p += 2 * outer
        outer *= 2
    return n + 1, p, outer, 0.5 * distance


@kernel
def curve_value(log_x: float, rate: float, dividend: float, dev: float, rules: F8, work: F8, curve: F8) -> float:
    """Value in strikes of the put at ln(spot / strike) = ``log_x`` from a solved curve; the payoff below it."""
    x = math.exp(log_x)
    gap = log_x - curve[CURVE_TOP]
    if gap <= 0.0:
        return 1.0 - x
    at = int(curve[CURVE_RULE])
    terms, points, outer, distance = _outer_rule(at, gap, dev, rules)
    s, root, step, place = (
        work[:outer],
        work[outer : 2 * outer],
        work[2 * outer : 3 * outer],
        work[3 * outer : 4 * outer],
    )
    before, now, z = work[4 * outer : 5 * outer], work[5 * outer : 6 * outer], work[6 * outer : 7 * outer]
    out = work[7 * outer : 8 * outer]
    _outer_points(at, outer, distance, points, rules, s, root, step, place)
    _series(outer, terms, curve[CURVE_HEADER : CURVE_HEADER + terms], place, before, now, z)
    start = curve[CURVE_START]
    _premium_terms(
        outer,
        log_x,
        rate,
        dividend,
        dev,
        start * start,
        curve[CURVE_GROUND],
        curve[CURVE_EDGE],
        s,
        root,
        step,
        place,
        z,
        out,
    )
    _total(outer, out, work[8 * outer : 8 * outer + 1])
    dm = (log_x + rate - dividend) / dev - 0.5 * dev
    d = dm + dev
    european = math.exp(-rate) * _upper(dm, _INV_SQRT_2PI * math.exp(-0.5 * dm * dm)) - x * math.exp(
        -dividend
    ) * _upper(d, _INV_SQRT_2PI * math.exp(-0.5 * d * d))
    return european + work[8 * outer]


@kernel
def curve_derivatives(
    log_x: float, rate: float, dividend: float, dev: float, rules: F8, work: F8, curve: F8, out: F8
) -> None:
    """Fill ``out[DERIVATIVES]`` at ln(spot / strike) = ``log_x`` from a curve solved with derivatives."""
    wanted = math.exp(log_x)
    gap = log_x - curve[CURVE_TOP]
    if gap <= 0.0:
        out[:DERIVATIVES] = 0.0
        out[VALUE], out[BY_X] = 1.0 - wanted, -1.0
        return
    log_x = max(log_x, curve[CURVE_TOP] + _NEAREST * dev)
    x = math.exp(log_x)
    at = int(curve[CURVE_RULE])
    terms, points, outer, distance = _outer_rule(at, gap, dev, rules)
    s, root, step, place = (
        work[:outer],
        work[outer : 2 * outer],
        work[2 * outer : 3 * outer],
        work[3 * outer : 4 * outer],
    )
    p = 4 * outer
    before, now = work[p : p + outer], work[p + outer : p + 2 * outer]
    p += 2 * outer
    z, z_dev, z_dev2 = work[p : p + outer], work[p + outer : p + 2 * outer], work[p + 2 * outer : p + 3 * outer]
    p += 3 * outer
    z_rate, z_div = work[p : p + outer], work[p + outer : p + 2 * outer]
    p += 2 * outer
    t0, t1, t2, t3 = (
        work[p : p + outer],
        work[p + outer : p + 2 * outer],
        work[p + 2 * outer : p + 3 * outer],
        work[p + 3 * outer : p + 4 * outer],
    )
    p += 4 * outer
    t4, t5, t6 = work[p : p + outer], work[p + outer : p + 2 * outer], work[p + 2 * outer : p + 3 * outer]
    p += 3 * outer
    t7, t8, t9 = work[p : p + outer], work[p + outer : p + 2 * outer], work[p + 2 * outer : p + 3 * outer]

    _outer_points(at, outer, distance, points, rules, s, root, step, place)
    _five_series(
        outer,
        terms,
        curve[CURVE_HEADER : CURVE_HEADER + 5 * terms],
        place,
        before,
        now,
        z,
        z_dev,
        z_dev2,
        z_rate,
        z_div,
    )
    start = curve[CURVE_START]
    start_rate = -2.0 * start / rate if start > 0.0 else 0.0
    start_dividend = 2.0 * start / dividend if start > 0.0 else 0.0
    _derivative_terms(
        outer, log_x, rate, dividend, dev, start * start, start_rate, start_dividend, curve[CURVE_GROUND],
        curve[CURVE_EDGE], s, root, step, place, z, z_dev, z_dev2, z_rate, z_div,
        t0, t1, t2, t3, t4, t5, t6, t7, t8, t9,
    )  # fmt: skip
    _totals(outer, t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, out)
    _add_european(log_x, x, rate, dividend, dev, out)
    short = wanted - x
    out[VALUE] += short * (out[BY_X] + 0.5 * short * out[BY_XX])
    out[BY_X] += short * out[BY_XX]


@kernel(inline=True)
def _add_european(log_x: float, x: float, rate: float, dividend: float, dev: float, out: F8) -> None:
    """Turn the ten integrals into derivatives: add the European terms, and go from ln x to x."""
    dm = (log_x + rate - dividend) / dev - 0.5 * dev
    d = dm + dev
    asset, cash = math.exp(-dividend), math.exp(-rate)
    mass = asset * _INV_SQRT_2PI * math.exp(-0.5 * d * d)
    below = asset * _upper(d, mass / asset)
    below_m = cash * _upper(dm, _INV_SQRT_2PI * math.exp(-0.5 * dm * dm))
    over_dev = 1.0 / dev
    out[VALUE] += below_m - x * below
    out[BY_X] = -below - out[BY_X]
    slope = mass * over_dev + out[BY_XX]  # x times gamma
    slope_by_log = -mass * d * over_dev * over_dev + out[BY_XXX]
    out[BY_XX] = slope / x
    out[BY_XXX] = (slope_by_log - slope) / (x * x)
    out[BY_DEV] = x * (mass + out[BY_DEV])
    out[BY_DEV2] = x * (mass * d * dm * over_dev + out[BY_DEV2])
    out[BY_X_DEV] += -mass * dm * over_dev
    out[BY_XX_DEV] = (mass * over_dev * (d * dm - 1.0) * over_dev + out[BY_XX_DEV]) / x
    out[BY_RATE] -= below_m
    out[BY_DIVIDEND] += x * below
