"""The two exercise boundaries of a put with dividend yield < rate < 0: collocation, Newton, where they meet.

See ``double_boundary.py`` for the equations and what they mean.

Unknowns are the Chebyshev coefficients of P with ln(B/K)^2 = sqrt(t) P and ln(Y/Y(0)) = sqrt(t) P, t the
time to expiry; collocation at the Lobatto points, full Newton, Gauss-Legendre after u = t cos^2,
t-u = t sin^2, which leaves no singularity at either end. B has a logarithm at expiry: its series runs
in t^(1/4), whose nodes crowd there, and so converges like n^-9 instead of n^-5; Y is analytic in sqrt(t).
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.maths.functions import INV_SQRT_2PI, normal_cdf
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]

NODES = 16  # coefficients of each boundary
_ANGLES = 32  # quadrature points of an integral equation
_points, _weights = np.polynomial.legendre.leggauss(_ANGLES)
_SINE, _COSINE = np.sin(0.25 * np.pi * (_points + 1.0)), np.cos(0.25 * np.pi * (_points + 1.0))
_ANGLE_WEIGHT = np.pi * _SINE * _COSINE * 0.5 * _weights  # du = 2 t sin cos d(angle), angle over [0, pi / 2]

# Layout of the scratch array.
UPPER, LOWER = 0, NODES  # coefficients of B and Y
SAVED = 2 * NODES  # those of the unmoved inputs
TERMS = 4 * NODES  # price, delta, gamma, speed of one integral
_BASIS = 4 * NODES + 8
_BASIS_HERE = 5 * NODES + 8
_MISS = 6 * NODES + 8
_MATRIX = 7 * NODES + 8
DOUBLE_WORK = _MATRIX + NODES * NODES

_COARSE = 6  # coefficients while the meeting time is sought
_MAX_NEWTON = 14  # four to seven in practice; past the meeting time B does not exist for long
_MAX_SEARCH = 60
_SEARCHED = 0.02  # of the span: where the coarse series fails without a meeting, it is not the meeting's fault
_NO_PREMIUM = 1e-12  # of the strike
_FLAT = 1e-4  # of ln(boundary) over the last fifth of the time covered
_RIPPLE = 1.03
_MEETING_GAP = 1e-6  # of ln(B / Y) where they are said to meet
_MARGIN = 1.02  # of sqrt(time) solved beyond the meeting, so that the moved inputs of a Greek meet inside


@kernel(inline=True)
def _place(z: float, span: float, at: int) -> float:
    """Argument in [-1, 1] of the Chebyshev series at z = sqrt(t).

    B has a logarithm at expiry, which costs a polynomial in sqrt(t) its order: its nodes crowd there.
    """
    return 2.0 * (math.sqrt(z / span) if at == UPPER else z / span) - 1.0


@kernel(inline=True)
def _node(i: int, n: int, span: float, at: int) -> float:
    """Square root of the time of collocation point i; 0 is the far end, expiry itself is none of them."""
    x = 0.5 + 0.5 * math.cos(math.pi * i / n)
    return span * (x * x if at == UPPER else x)


@kernel(internal=True)
def _set_basis(x: float, n: int, at: int, work: F8) -> None:
    """Chebyshev polynomials T_0..T_{n-1} at ``x`` in [-1, 1]."""
    before, now = x, 1.0
    for j in range(n):
        work[at + j] = now
        before, now = now, 2.0 * x * now - before


@kernel(internal=True)
def _series(z: float, span: float, n: int, at: int, work: F8) -> float:
    """Clenshaw sum of the coefficients at ``work[at:]`` at z = sqrt(t), 0 <= z <= span."""
    x = _place(z, span, at)
    b1 = b2 = 0.0
    for j in range(n - 1, 0, -1):
        b1, b2 = work[at + j] + 2.0 * x * b1 - b2, b1
    return work[at] + x * b1 - b2


@kernel
def log_boundary(z: float, span: float, n: int, at: int, start: float, work: F8) -> float:
    """ln(boundary / K) at z = sqrt(t); ``start`` is its value at 0 (which also tells Y from B)."""
    p = z * _series(z, span, n, at, work)
    return start + p if at == LOWER else -math.sqrt(max(p, 0.0))


@kernel(internal=True)
def _assemble(
    span: float, n: int, at: int, start: float, rate: float, dividend_yield: float, vol: float, work: F8
) -> float:
    """Misses of the smooth-pasting equation at the nodes and their Jacobian; the largest miss."""
    worst = 0.0
    drift = rate - dividend_yield + 0.5 * vol * vol
    upper = at == UPPER
    for i in range(n):
        z = _node(i, n, span, at)
        years = z * z
        b = log_boundary(z, span, n, at, start, work)
        _set_basis(_place(z, span, at), n, _BASIS_HERE, work)
        slope = (0.5 * z / b if b < 0.0 else 0.0) if upper else z  # d b / d P
        miss = 0.0
        for j in range(n):
            work[_MATRIX + i * NODES + j] = 0.0
        if upper:
            d = (b + drift * years) / (vol * z)
            carry = math.exp(-dividend_yield * years)
            miss = 1.0 - carry * normal_cdf(-d)
            weight = carry * INV_SQRT_2PI * math.exp(-0.5 * d * d) / (vol * z) * slope
            for j in range(n):
                work[_MATRIX + i * NODES + j] = weight * work[_BASIS_HERE + j]
        for k in range(_ANGLES):
            zs, zu = z * _SINE[k], z * _COSINE[k]
            c = log_boundary(zs, span, n, at, start, work)
            _set_basis(_place(zs, span, at), n, _BASIS, work)
            slope_c = (0.5 * zs / c if c < 0.0 else 0.0) if upper else zs
            d = (b - c + drift * zu * zu) / (vol * zu)
            carry = math.exp(-dividend_yield * zu * zu) * years * _ANGLE_WEIGHT[k]
            dense = INV_SQRT_2PI * math.exp(-0.5 * d * d)
            inverse = 1.0 / (vol * zu)
            pay = rate * math.exp(-c)
            earn = pay - dividend_yield
            miss -= carry * (dense * inverse * earn + dividend_yield * normal_cdf(-d))
            by_d = carry * dense * (d * inverse * earn + dividend_yield) * inverse  # times (db - dc)
            by_c = carry * dense * inverse * pay
            for j in range(n):
                work[_MATRIX + i * NODES + j] += (
                    by_d * (slope * work[_BASIS_HERE + j] - slope_c * work[_BASIS + j])
                    + by_c * slope_c * work[_BASIS + j]
                )
        work[_MISS + i] = miss
        worst = max(worst, abs(miss))
    return worst


@kernel(internal=True)
def _eliminate(n: int, work: F8) -> bool:
    """Solve the linear system in place (partial pivoting); the answer replaces the misses."""
    for k in range(n):
        best = k
        for i in range(k + 1, n):
            if abs(work[_MATRIX + i * NODES + k]) > abs(work[_MATRIX + best * NODES + k]):
                best = i
        pivot = work[_MATRIX + best * NODES + k]
        if not abs(pivot) > 0.0:
            return False
        if best != k:
            for j in range(k, n):
                held = work[_MATRIX + k * NODES + j]
                work[_MATRIX + k * NODES + j] = work[_MATRIX + best * NODES + j]
                work[_MATRIX + best * NODES + j] = held
            held = work[_MISS + k]
            work[_MISS + k] = work[_MISS + best]
            work[_MISS + best] = held
        for i in range(k + 1, n):
            factor = work[_MATRIX + i * NODES + k] / pivot
            for j in range(k, n):
                work[_MATRIX + i * NODES + j] -= factor * work[_MATRIX + k * NODES + j]
            work[_MISS + i] -= factor * work[_MISS + k]
    for k in range(n - 1, -1, -1):
        total = work[_MISS + k]
        for j in range(k + 1, n):
            total -= work[_MATRIX + k * NODES + j] * work[_MISS + j]
        work[_MISS + k] = total / work[_MATRIX + k * NODES + k]
    return True


@kernel(internal=True)
def _falls(span: float, n: int, at: int, work: F8) -> bool:
    """Whether the series makes a boundary at all: B must fall, Y rise, from expiry backwards.

    A few percent of slack: far from expiry both are flat, and a short series ripples about that.
    """
    last = math.inf
    for i in range(n):
        z = _node(i, n, span, at)
        p = z * _series(z, span, n, at, work)
        if not 0.0 < p < last * _RIPPLE:
            return False
        last = p
    return True


@kernel
def solve_boundary(
    span: float, n: int, at: int, start: float, rate: float, dividend_yield: float, vol: float, work: F8
) -> int:
    """Newton from the coefficients in ``work[at:]``; number of steps, or -1 when it does not settle."""
    last = math.inf
    for turn in range(_MAX_NEWTON):
        worst = _assemble(span, n, at, start, rate, dividend_yield, vol, work)
        if not worst < math.inf or worst > 1e3 * max(last, 1e-3):
            return -1
        last = worst
        if not _eliminate(n, work):
            return -1
        size = 0.0
        for j in range(n):
            size = max(size, abs(work[_MISS + j]))
        if not size < math.inf:
            return -1
        for j in range(n):
            work[at + j] -= work[_MISS + j]
        if size < 1e-8 * vol:  # quadratic: the step just made leaves about size squared
            return turn + 1 if _falls(span, n, at, work) else -1
    return -1


@kernel(internal=True)
def _guess(span: float, n: int, rate: float, dividend_yield: float, vol: float, work: F8) -> None:
    """Coefficients to start from: the short-time law of either boundary, bent so that it stays finite."""
    for j in range(NODES):
        work[UPPER + j] = work[LOWER + j] = 0.0
    work[LOWER] = 0.451725 * vol  # Y / Y(0) = 1 + 0.4517 v sqrt(t) + O(t)
    scale = vol * vol / (8.0 * math.pi * (rate - dividend_yield) ** 2)
    for i in range(n):
        z = _node(i, n, span, UPPER)
        _set_basis(_place(z, span, UPPER), n, _BASIS, work)
        for j in range(n):
            work[_MATRIX + i * NODES + j] = work[_BASIS + j]
        work[_MISS + i] = vol * vol * z * math.log1p(scale / (z * z))
    _eliminate(n, work)
    for j in range(n):
        work[UPPER + j] = work[_MISS + j]


@kernel
def log_gap(z: float, span: float, n: int, start: float, work: F8) -> float:
    """ln(B / Y) at z = sqrt(t)."""
    return log_boundary(z, span, n, UPPER, 0.0, work) - log_boundary(z, span, n, LOWER, start, work)


@kernel
def meeting(limit: float, span: float, n: int, start: float, work: F8) -> float:
    """Square root of the time at which the boundaries meet, at most ``limit``, by bisection of their series."""
    low, high = 0.0, limit
    if log_gap(high, span, n, start, work) > 0.0:
        return limit
    while high - low > 1e-15 * limit:
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if log_gap(middle, span, n, start, work) > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@kernel
def solve_both(span: float, n: int, start: float, rate: float, dividend_yield: float, vol: float, work: F8) -> bool:
    """B and Y on one span, each from the coefficients that are there; whether both settled."""
    return (
        solve_boundary(span, n, UPPER, 0.0, rate, dividend_yield, vol, work) > 0
        and solve_boundary(span, n, LOWER, start, rate, dividend_yield, vol, work) > 0
    )


@kernel
def find_boundaries(years: float, rate: float, dividend_yield: float, vol: float, work: F8) -> tuple[float, float]:
    """Both series into ``work``: (sqrt of the time they cover, sqrt of the time they meet or of ``years``).

    NaN where Newton fails; zeros where the boundaries meet so soon that exercise is worth nothing. A coarse
    bisection on the span finds the meeting, a full solution refines it. Where the series cover less than
    ``years`` without a meeting the boundaries have become flat, and stay at their last values.
    """
    start = math.log(rate / dividend_yield)
    root = math.sqrt(years)
    gain = (rate - dividend_yield) * math.exp(-rate * years)  # at most, per strike and year of exercise
    low, high, span, end = 0.0, root, root, math.nan
    for _ in range(_MAX_SEARCH):
        if gain * high * high < _NO_PREMIUM:
            return 0.0, 0.0
        _guess(span, _COARSE, rate, dividend_yield, vol, work)
        if not solve_both(span, _COARSE, start, rate, dividend_yield, vol, work):
            high = span
        else:
            met = meeting(span, span, _COARSE, start, work)
            if met < span or span == root:
                end = met
                break
            low = span
            if high - low < _SEARCHED * high:
                break
        span = 0.5 * (low + high) if low > 0.0 else 0.7 * high
    if not end > 0.0:
        return _flat_boundaries(root, start, rate, dividend_yield, vol, work)
    for margin in (_MARGIN, 1.0 + 1e-4):
        span = min(end * margin, root)
        _guess(span, NODES, rate, dividend_yield, vol, work)
        if solve_both(span, NODES, start, rate, dividend_yield, vol, work):
            met = meeting(span, span, NODES, start, work)
            if met == root or abs(log_gap(met, span, NODES, start, work)) < _MEETING_GAP:
                return span, met
    return _flat_boundaries(root, start, rate, dividend_yield, vol, work)


@kernel(internal=True)
def _flat_boundaries(
    root: float, start: float, rate: float, dividend_yield: float, vol: float, work: F8
) -> tuple[float, float]:
    """Boundaries of a life many times (vol / (rate - yield))^2, where they come to rest before they meet."""
    scale = vol / (rate - dividend_yield)
    for lives in (6.0, 5.0, 4.2, 3.5):
        span = lives * scale
        if span < root:
            _guess(span, NODES, rate, dividend_yield, vol, work)
            if solve_both(span, NODES, start, rate, dividend_yield, vol, work):
                upper = log_boundary(0.9 * span, span, NODES, UPPER, 0.0, work)
                lower = log_boundary(0.9 * span, span, NODES, LOWER, start, work)
                upper -= log_boundary(span, span, NODES, UPPER, 0.0, work)
                lower -= log_boundary(span, span, NODES, LOWER, start, work)
                if log_gap(span, span, NODES, start, work) > 0.0 and max(abs(upper), abs(lower)) < _FLAT:
                    return span, root
    return math.nan, math.nan
