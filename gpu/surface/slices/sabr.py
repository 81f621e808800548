"""SABR smiles: Hagan's lognormal and normal volatilities with Obloj's leading term, and their fit.

dF = A F^beta dW, dA = nu A dZ, d<W, Z> = rho dt, A_0 = alpha. The asymptotic formulas are Hagan,
Kumar, Lesniewski, Woodward (2002); the leading order is, unless told, Obloj's (2008) corrected one,
which agrees with the geodesic distance of Berestycki, Busca, Florent (2004) and with the normal formula
for every beta (Hagan's own, for 0 < beta < 1, does not: it goes wrong first in the low-strike wing).

Everything is in y = ln((K + shift) / (F + shift)) and f = F + shift: a shift lets forwards and
strikes be negative, and the price of an option does not change under it. The formulas are
expansions in nu^2 T: at low strikes and long times they have a negative density. The fit here is of the
formula; ``slice_terms.attach_tails`` replaces the wings where the density fails.
"""

import math
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]


class Leading(IntEnum):
    """Which leading order of the lognormal volatility."""

    OBLOJ = 0
    HAGAN = 1  # the formula of 2002, which most systems still quote


OBLOJ, HAGAN = int(Leading.OBLOJ), int(Leading.HAGAN)

#: Layout of a parameter vector. FORWARD is F + shift.
ALPHA, BETA, RHO, NU, FORWARD, YEARS, LEADING = 0, 1, 2, 3, 4, 5, 6
SABR_PARAMS = 7
#: Rows of a fit's scratch array.
FIT_ROWS = 17

#: |rho| of a fit stays under this: at 1 the density degenerates.
MAX_RHO = 0.999
_MAX_NU_ROOT = 6.0  # nu sqrt(T): far outside the expansion's domain already
_MAX_MONEY = 1.1  # a free money volatility stays within a factor of three of its start
_SERIES_Z = 0.03
_SERIES_U = 0.3
_LM_STEPS = 60
_STARTS = 4


@kernel(inline=True)
def _scaled_distance(z: float, rho: float) -> tuple[float, float, float]:
    """R(z) = z / x(z) and its first two derivatives, x(z) = ln((sqrt(1 - 2 rho z + z^2) + z - rho) / (1 - rho)).

    Near zero by the series x(z) / z = sum P_n(rho) z^n / (n + 1) (Legendre's generating function),
    elsewhere through asinh, which does not cancel in the lower wing. Relative error of R 2e-16, of
    R'' 3e-13.
    """
    if abs(z) < _SERIES_Z:
        s, s1, s2 = 1.0, 0.0, 0.0
        before, here, power, below, lower = 1.0, rho, z, 1.0, 0.0
        for n in range(1, 11):
            c = here / (n + 1.0)
            s += c * power
            s1 += n * c * below
            s2 += n * (n - 1.0) * c * lower
            before, here = here, ((2.0 * n + 1.0) * rho * here - n * before) / (n + 1.0)
            lower, below, power = below, power, power * z
        r = 1.0 / s
        return r, -s1 * r * r, (2.0 * s1 * s1 * r - s2) * r * r
    complement = math.sqrt(1.0 - rho * rho)
    x = math.asinh((z - rho) / complement) + math.asinh(rho / complement)
    q = 1.0 - 2.0 * rho * z + z * z
    x1 = 1.0 / math.sqrt(q)
    x2 = -(z - rho) * x1 / q
    r = z / x
    r1 = (1.0 - r * x1) / x
    return r, r1, -(2.0 * r1 * x1 + r * x2) / x


@kernel(inline=True)
def _bernoulli(u: float) -> tuple[float, float, float]:
    """Bernoulli's u / (exp(u) - 1) and its first two derivatives."""
    if abs(u) < _SERIES_U:
        v = u * u
        even = v * (1.0 / 12.0 + v * (-1.0 / 720.0 + v * (1.0 / 30240.0 + v * (-1.0 / 1209600.0 + v / 47900160.0))))
        first = u * (1.0 / 6.0 + v * (-1.0 / 180.0 + v * (1.0 / 5040.0 + v * (-1.0 / 151200.0 + v / 4790016.0))))
        second = 1.0 / 6.0 + v * (-1.0 / 60.0 + v * (1.0 / 1008.0 + v * (-1.0 / 21600.0 + v / 532224.0)))
        return 1.0 - 0.5 * u + even, first - 0.5, second
    p = u / math.expm1(u)
    p1 = p * (1.0 - p) / u - p
    return p, p1, p1 * (1.0 - 2.0 * p) / u - p * (1.0 - p) / (u * u) - p1


@kernel(inline=True)
def _obloj_leading(p: F8, y: float) -> tuple[float, float, float]:
    """Leading order nu ln(f/K) / x(z), z = nu (f^(1-beta) - K^(1-beta)) / (alpha (1-beta)), with derivatives in y."""
    alpha, lean = p[ALPHA], 1.0 - p[BETA]
    level = math.exp(-lean * math.log(p[FORWARD]))  # f^-(1-beta)
    b, b1, b2 = _bernoulli(lean * y)
    e1 = math.exp(lean * y) / level  # dE/dy, E = f^(1-beta) (exp(lean y) - 1) / lean
    size = y / (b * level)
    tilt = -p[NU] / alpha
    r, r1, r2 = _scaled_distance(tilt * size, p[RHO])
    r2 = r2 * tilt * e1 * tilt * e1 + r1 * tilt * e1 * lean
    r1 = r1 * tilt * e1
    b1, b2 = b1 * lean, b2 * lean * lean
    scale = alpha * level
    return scale * b * r, scale * (b1 * r + b * r1), scale * (b2 * r + 2.0 * b1 * r1 + b * r2)


@kernel(inline=True)
def _hagan_leading(p: F8, y: float) -> tuple[float, float, float]:
    """Leading order of 2002: alpha z / (x(z) (fK)^((1-beta)/2) (1 + ...)), with derivatives in y."""
    alpha, lean = p[ALPHA], 1.0 - p[BETA]
    m = math.exp(-lean * (math.log(p[FORWARD]) + 0.5 * y))  # (fK)^(-(1-beta)/2)
    tilt = -p[NU] / alpha
    z1 = tilt * (1.0 + 0.5 * lean * y) / m
    z2 = tilt * (lean + 0.25 * lean * lean * y) / m
    r, r1, r2 = _scaled_distance(tilt * y / m, p[RHO])
    r2 = r2 * z1 * z1 + r1 * z2
    r1 = r1 * z1
    l2 = lean * lean
    d = 1.0 + y * y * (l2 / 24.0 + y * y * l2 * l2 / 1920.0)
    d1 = y * (l2 / 12.0 + y * y * l2 * l2 / 480.0)
    d2 = l2 / 12.0 + y * y * l2 * l2 / 160.0
    n = alpha * m / d
    n1 = n * (-0.5 * lean - d1 / d)
    n2 = n1 * (-0.5 * lean - d1 / d) - n * (d2 / d - d1 * d1 / (d * d))
    return n * r, n1 * r + n * r1, n2 * r + 2.0 * n1 * r1 + n * r2


@kernel(inline=True)
def sabr_vol_terms(p: F8, y: float) -> tuple[float, float, float]:
    """(vol, d vol/dy, d2 vol/dy2) of the lognormal (Black) volatility of ``p`` at y; vol per sqrt(year)."""
    v, v1, v2 = _obloj_leading(p, y) if p[LEADING] == OBLOJ else _hagan_leading(p, y)
    lean = 1.0 - p[BETA]
    m = p[ALPHA] * math.exp(-lean * (math.log(p[FORWARD]) + 0.5 * y))
    square, cross = lean * lean / 24.0 * m * m, 0.25 * p[RHO] * p[BETA] * p[NU] * m
    h = 1.0 + p[YEARS] * (square + cross + (2.0 - 3.0 * p[RHO] * p[RHO]) / 24.0 * p[NU] * p[NU])
    h1 = -p[YEARS] * lean * (square + 0.5 * cross)
    h2 = p[YEARS] * lean * lean * (square + 0.25 * cross)
    return v * h, v1 * h + v * h1, v2 * h + 2.0 * v1 * h1 + v * h2


@kernel(inline=True)
def sabr_terms(p: F8, y: float) -> tuple[float, float, float]:
    """(w, dw/dy, d2w/dy2) of total variance; -1 where the expansion's volatility is not positive."""
    v, v1, v2 = sabr_vol_terms(p, y)
    if not v > 0.0:
        return -1.0, 0.0, 0.0
    t = p[YEARS]
    return t * v * v, 2.0 * t * v * v1, 2.0 * t * (v1 * v1 + v * v2)


@kernel
def sabr_lognormal_vol(
    strike: float, forward: float, years: float, alpha: float, beta: float, nu: float, rho: float, shift: float,
    leading: int, work: F8,
) -> float:  # fmt: skip
    """Black volatility of the (shifted) option; NaN outside 0 <= beta <= 1, |rho| < 1, positive shifted prices.

    ``work`` float64[SABR_PARAMS] is scratch. Error: of order (nu^2 T)^2; see the module.
    """
    f, k = forward + shift, strike + shift
    if not (_in_domain(f, k, years, alpha, beta, nu, rho)):
        return math.nan
    work[ALPHA], work[BETA], work[RHO], work[NU] = alpha, beta, rho, nu
    work[FORWARD], work[YEARS], work[LEADING] = f, years, leading
    vol = sabr_vol_terms(work, math.log(k / f))[0]
    return vol if vol > 0.0 else math.nan


@kernel
def sabr_normal_vol(
    strike: float, forward: float, years: float, alpha: float, beta: float, nu: float, rho: float, shift: float
) -> float:
    """Bachelier volatility (currency per sqrt(year)) of the (shifted) option; NaN outside the domain.

    nu (F - K) / x(z) times the first-order term in T of Hagan et al. (2002). beta = 0 allows any sign of
    forward and strike without a shift.
    """
    f, k = forward + shift, strike + shift
    lean = 1.0 - beta
    if beta == 0.0:
        if not (_in_domain(1.0, 1.0, years, alpha, beta, nu, rho) and abs(f) < math.inf and abs(k) < math.inf):
            return math.nan
        ratio, distance, m = 1.0, f - k, alpha
    else:
        if not _in_domain(f, k, years, alpha, beta, nu, rho):
            return math.nan
        y = math.log(k / f)
        # (f - K) over the integral of dF / F^beta, both over y: their ratio is smooth at the money.
        integral = math.exp(lean * math.log(f)) * y / _bernoulli(lean * y)[0]
        ratio = math.exp(beta * math.log(f)) * _bernoulli(lean * y)[0] / _bernoulli(y)[0]
        distance, m = -integral, alpha * math.exp(-lean * (math.log(f) + 0.5 * y))
    r = _scaled_distance(nu / alpha * distance, rho)[0]
    order = -beta * (2.0 - beta) / 24.0 * m * m + 0.25 * rho * beta * nu * m + (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu
    vol = alpha * ratio * r * (1.0 + order * years)
    return vol if vol > 0.0 else math.nan


@kernel(inline=True)
def _in_domain(f: float, k: float, years: float, alpha: float, beta: float, nu: float, rho: float) -> bool:
    """Every number finite and within the model's bounds."""
    return (
        0.0 < f < math.inf and 0.0 < k < math.inf and 0.0 < years < math.inf and 0.0 < alpha < math.inf
        and 0.0 <= beta <= 1.0 and 0.0 <= nu < math.inf and abs(rho) < 1.0
    )  # fmt: skip


@kernel
def sabr_alpha(money_vol: float, forward: float, years: float, beta: float, rho: float, nu: float) -> float:
    """Find the alpha at which the lognormal volatility at the money is ``money_vol``: a cubic's smallest positive root.

    ``forward`` is F + shift. NaN where no alpha gives that volatility (rho beta nu negative and large).
    """
    lean = 1.0 - beta
    # With a = alpha f^-(1-beta): a (1 + T (c2 a^2 + c1 a + c0)) = money_vol.
    c2, c1 = years * lean * lean / 24.0, 0.25 * years * rho * beta * nu
    c0 = 1.0 + years * (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu
    if not (0.0 < forward < math.inf and 0.0 < money_vol < math.inf and c0 > 0.0):
        return math.nan
    # From 0 the cubic rises with slope c0 > 0: its first crossing lies before its first maximum.
    high = math.inf
    if c1 < 0.0:
        inner = c1 * c1 - 3.0 * c2 * c0
        if inner > 0.0:
            high = c0 / (-c1 + math.sqrt(inner))
        if c2 == 0.0:
            high = -0.5 * c0 / c1
        if high < math.inf and high * (c0 + high * (c1 + high * c2)) < money_vol:
            return math.nan
    a, low = min(money_vol / c0, 0.999 * high), 0.0
    for _ in range(100):
        miss = a * (c0 + a * (c1 + a * c2)) - money_vol
        if miss > 0.0:
            high = min(high, a)
        else:
            low = a
        slope = c0 + a * (2.0 * c1 + 3.0 * c2 * a)
        following = a - miss / slope if slope > 0.0 else -1.0
        if not low <= following <= high:
            following = 0.5 * (low + high) if high < math.inf else 2.0 * a
        if abs(following - a) <= 4e-16 * a:
            return following * math.exp(lean * math.log(forward))
        a = following
    return a * math.exp(lean * math.log(forward))


@kernel(inline=True)
def _copy(to: F8, of: F8, count: int) -> None:
    """Slice assignment would allocate."""
    for i in range(count):
        to[i] = of[i]


@kernel
def _set_shape(p: F8, x: F8, money: float) -> bool:
    """Parameters from the coordinates (ln of the money vol over ``money``, atanh rho, ln nu); False for no model."""
    p[RHO] = MAX_RHO * math.tanh(x[1])
    p[NU] = math.exp(min(max(x[2], -20.0), 20.0))
    if not abs(x[0]) <= _MAX_MONEY:
        return False
    p[ALPHA] = sabr_alpha(money * math.exp(x[0]), p[FORWARD], p[YEARS], p[BETA], p[RHO], p[NU])
    return p[ALPHA] > 0.0 and p[NU] * math.sqrt(p[YEARS]) <= _MAX_NU_ROOT


@kernel
def _misfit(p: F8, x: F8, money: float, y: F8, vol: F8, weight: F8, count: int, miss: F8) -> float:
    """Residuals sqrt(weight) (model - quote) to ``miss``; their sum of squares, inf where there is no model."""
    if not _set_shape(p, x, money):
        return math.inf
    total = 0.0
    for i in range(count):
        model = sabr_vol_terms(p, y[i])[0]
        miss[i] = weight[i] * (model - vol[i])
        total += miss[i] * miss[i]
    return total if total >= 0.0 else math.inf


@kernel
def _step(normal: F8, right: F8, first: int, damping: float, step: F8) -> bool:
    """Solve (N + damping diag N) step = -right for coordinates first..2 by elimination."""
    size = 3 - first
    a = normal[3:6]
    for i in range(size):
        for j in range(size):
            a[i, j] = normal[first + i, first + j]
        a[i, i] += damping * max(normal[first + i, first + i], 1e-12)
        a[i, 3] = -right[first + i]
    for i in range(size):
        if not a[i, i] > 0.0:
            return False
        for r in range(i + 1, size):
            factor = a[r, i] / a[i, i]
            for c in range(i, size):
                a[r, c] -= factor * a[i, c]
            a[r, 3] -= factor * a[i, 3]
    for i in range(3):
        step[i] = 0.0
    for i in range(size - 1, -1, -1):
        value = a[i, 3]
        for c in range(i + 1, size):
            value -= a[i, c] * step[first + c]
        step[first + i] = min(max(value / a[i, i], -1.0), 1.0)
    return True


@kernel
def _levenberg(p: F8, x: F8, money: float, y: F8, vol: F8, weight: F8, count: int, first: int, work: F8) -> float:
    """Improve ``x`` from coordinate ``first`` on (0 frees the money volatility); returns the error."""
    miss, other, normal, right, trial, step = work[0], work[1], work[2:8], work[8], work[9], work[10]
    error, damping = _misfit(p, x, money, y, vol, weight, count, miss), 1e-3
    for _ in range(_LM_STEPS):
        if error == math.inf:
            return error
        for c in range(first, 3):
            _copy(trial, x, 3)
            trial[c] += 1e-6
            if _misfit(p, trial, money, y, vol, weight, count, other) == math.inf:
                return error
            row = work[11 + c]
            for i in range(count):
                row[i] = (other[i] - miss[i]) * 1e6
        for i in range(first, 3):
            right[i] = 0.0
            for q in range(count):
                right[i] += work[11 + i, q] * miss[q]
            for j in range(first, 3):
                normal[i, j] = 0.0
                for q in range(count):
                    normal[i, j] += work[11 + i, q] * work[11 + j, q]
        gained = False
        while damping < 1e12 and not gained:
            if _step(normal, right, first, damping, step):
                for c in range(3):
                    trial[c] = x[c] + step[c]
                found = _misfit(p, trial, money, y, vol, weight, count, other)
                if found <= error:
                    gained = True
                    small = error - found <= 1e-14 * error
                    error = found
                    _copy(x, trial, 3)
                    _copy(miss, other, count)
            damping = max(0.2 * damping, 1e-12) if gained else 4.0 * damping
        if not gained or small:
            break
    return error


@kernel
def fit_sabr(
    y: F8, vol: F8, weight: F8, count: int, forward: float, years: float, beta: float, money_vol: float,
    free_money: bool, leading: int, out: F8, work: F8,
) -> float:  # fmt: skip
    """Fit rho and nu (and, with ``free_money``, the money volatility) to ``count`` lognormal volatilities.

    Parameters
    ----------
    y, vol, weight
        float64[count]: ln((K + shift) / forward), Black volatility, root of the weight of its squared error.
    forward
        F + shift, > 0.
    money_vol
        Volatility at the money; met exactly through alpha, or the start where it is free.
    out
        float64[SABR_PARAMS]: the parameters; NaN where there are none.
    work
        float64[FIT_ROWS, >= max(count, SABR_PARAMS)] scratch.

    Returns
    -------
    Sum of the weighted squared errors; NaN for no point or a number out of range. Levenberg-Marquardt
    from four starts; about 0.2 ms for 50 points.
    """
    for i in range(SABR_PARAMS):
        out[i] = math.nan
    if not (count >= 1 and forward > 0.0 and years > 0.0 and 0.0 <= beta <= 1.0 and money_vol > 0.0):
        return math.nan
    p, x, best_x = work[14], work[15], work[16]
    best = math.inf
    p[BETA], p[FORWARD], p[YEARS], p[LEADING] = beta, forward, years, leading
    for start in range(_STARTS):
        x[0] = 0.0
        x[1] = -0.6 if start % 2 == 0 else 0.3
        # A smile of two hours and one of two years have a similar nu sqrt(T).
        x[2] = math.log((0.4 if start < 2 else 1.2) / math.sqrt(years))
        found = _levenberg(p, x, money_vol, y, vol, weight, count, 0 if free_money else 1, work)
        if found < best - 1e-12:  # of two that a few quotes cannot tell apart the plainer one, which comes first
            best = found
            _copy(best_x, x, 3)
    if best == math.inf or not _set_shape(p, best_x, money_vol):
        return math.nan
    _copy(out, p, SABR_PARAMS)
    return best
