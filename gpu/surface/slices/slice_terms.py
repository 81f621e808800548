"""A surface made of one smile per expiry, free of arbitrage by construction between and outside them.

Every step works on out-of-the-money prices, in three numbers: the logarithm of the price p (forward 1,
strike K = exp(k)), its elasticity q = K p'/p and its convexity c = K^2 p''/p. They are as good as
(w, dw/dk, d2w/dk2), never underflow, and arbitrage is visible in them: no butterfly is c >= 0.

* **Tails.** Where a formula's density fails (SABR at low strikes, a raw SVI far out) the price goes on as a
  power of the strike, p0 (K / K0)^q. With the slope matched, q > 1 for puts and q < 0 for calls, that
  is convex, positive, monotone and ends in 0: a tail and its seam have no butterfly, on any grid.
* **Calendar.** Where a slice falls under an earlier one the larger variance holds. The pointwise maximum
  of convex, decreasing call prices is one again, so this repairs the calendar without a new butterfly;
  at the crossing the density has an atom (a kink of the price), never a negative part.
* **Between expiries** total variance is linear in time, which cannot break the calendar; where a dense grid
  finds a negative density in such a gap, prices are mixed linearly instead, with the weight that makes the
  at-the-money variance linear in time (after Gatheral, Jacquier 2014, lemma 5.1): mixtures of convex
  prices are convex and rise from the earlier slice to the later one. That is always free of
  arbitrage, but in the wings the later slice takes over at once, so it is not the first choice.
* **Before the first expiry** w is scaled by T / T1: Durrleman's g is concave in that factor and not
  negative at 0 and at 1. **After the last** every strike gains the last at-the-money variance per year;
  where a dense grid finds a negative density in that, the last smile's total variance stays as it is.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.maths.functions import LOG_SQRT_2PI, mills_anywhere
from gpu.surface.slices.sabr import SABR_PARAMS, sabr_terms
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]

#: Layout of a slice's parameter vector. MODEL: raw SVI (a, b, rho, m, sigma) or ``sabr``'s seven.
KIND, MODEL, K_LOW, LOG_LOW, Q_LOW, K_HIGH, LOG_HIGH, Q_HIGH = 0, 1, 8, 9, 10, 11, 12, 13
FLOORED, YEARS, MONEY, MIXED = 14, 15, 16, 17
#: Of MIXED: 1 where prices, not variances, are mixed up to the next slice; on the last one, where nothing is gained.
SLICE_PARAMS = 20

EMPTY, SVI, SABR = 0, 1, 2

_SOLVE_STEPS = 60
_TAIL_GRID = 400  # points a side, even in asinh(k / s0)
_MIN_DENSITY = 1e-3  # of Durrleman's g at which a tail takes over
_TINY_ELASTICITY = 1e-3
_MAX_SLOPE = 1.98  # of w in either wing; Lee's bound is 2


@kernel(inline=True)
def durrleman_g(w: float, w1: float, w2: float, k: float) -> float:
    """Durrleman's g from total variance and its derivatives; its sign is that of the density."""
    bend = 1.0 - 0.5 * k * w1 / w
    return bend * bend - 0.25 * w1 * w1 * (1.0 / w + 0.25) + 0.5 * w2


@kernel(inline=True)
def _price_parts(k: float, s: float) -> tuple[float, float, float]:
    """(ln p, p / n(d1), Mills ratio) of the out-of-the-money price at deviation ``s``."""
    side = 1.0 if k >= 0.0 else -1.0
    h, t = abs(k) / s, 0.5 * s
    near, far = mills_anywhere(h - t), mills_anywhere(h + t)
    ratio, mills = near - far, far if side > 0.0 else near
    return 0.5 * k + math.log(ratio) - 0.5 * (h * h + t * t) - LOG_SQRT_2PI, ratio, mills


@kernel(inline=True)
def to_prices(k: float, w: float, w1: float, w2: float) -> tuple[float, float, float]:
    """(ln p, elasticity, convexity) of a slice at k from its total variance."""
    s = math.sqrt(w)
    log_price, ratio, mills = _price_parts(k, s)
    side = 1.0 if k >= 0.0 else -1.0
    return log_price, (0.5 * w1 / s - side * mills) / ratio, durrleman_g(w, w1, w2, k) / (s * ratio)


@kernel(inline=True)
def from_prices(k: float, s: float, q: float, c: float) -> tuple[float, float, float]:
    """(w, w1, w2) from the deviation, the elasticity and the convexity: the inverse of :func:`to_prices`."""
    ratio, mills = _price_parts(k, s)[1:]
    side = 1.0 if k >= 0.0 else -1.0
    w = s * s
    w1 = 2.0 * s * (q * ratio + side * mills)
    bend = 1.0 - 0.5 * k * w1 / w
    return w, w1, 2.0 * (c * s * ratio - bend * bend + 0.25 * w1 * w1 * (1.0 / w + 0.25))


@kernel
def deviation_of_log_price(log_price: float, k: float, low: float, high: float) -> float:
    """Deviation s in [low, high] at which the out-of-the-money price has that logarithm.

    Third-order steps inside a bracket; no price is too small.
    """
    s = 0.5 * (low + high)
    for _ in range(_SOLVE_STEPS):
        found, ratio, _mills = _price_parts(k, s)
        miss = found - log_price
        if miss > 0.0:
            high = s
        else:
            low = s
        newton = -miss * ratio
        bend = k * k / (s * s * s) - 0.25 * s - 1.0 / ratio  # (ln p)'' / (ln p)'
        below = 1.0 + 0.5 * newton * bend
        following = s + (newton / below if below > 0.3 else newton)
        if not low <= following <= high:
            following = 0.5 * (low + high)
        if abs(following - s) <= 1e-15 * s:
            return following
        s = following
    return s


@kernel(inline=True)
def svi_terms(a: float, b: float, rho: float, m: float, sigma: float, k: float) -> tuple[float, float, float]:
    """(w, w1, w2) of raw SVI."""
    x = k - m
    root = math.sqrt(x * x + sigma * sigma)
    return a + b * (rho * x + root), b * (rho + x / root), b * sigma * sigma / (root * root * root)


@kernel
def model_terms(p: F8, k: float) -> tuple[float, float, float]:
    """(w, w1, w2) of the slice's own formula, without tails; w <= 0 where it has none."""
    if p[KIND] == SVI:
        return svi_terms(p[MODEL], p[MODEL + 1], p[MODEL + 2], p[MODEL + 3], p[MODEL + 4], k)
    if p[KIND] == SABR:
        return sabr_terms(p[MODEL : MODEL + SABR_PARAMS], k)
    return -1.0, 0.0, 0.0


@kernel
def _tail_terms(p: F8, k: float, low: bool) -> tuple[float, float, float]:
    """(w, w1, w2) on a power tail."""
    k0, log0, q = (p[K_LOW], p[LOG_LOW], p[Q_LOW]) if low else (p[K_HIGH], p[LOG_HIGH], p[Q_HIGH])
    log_price = log0 + q * (k - k0)
    # Lee: variance grows slower than 2 |k|; and the deviation at the seam is a fair scale for the rest.
    high = math.sqrt(2.0 * abs(k) + model_terms(p, k0)[0] + 1.0)
    s = deviation_of_log_price(log_price, k, 1e-9, high)
    return from_prices(k, s, q, q * (q - 1.0))


@kernel
def own_terms(p: F8, k: float) -> tuple[float, float, float]:
    """(w, w1, w2) of one slice with its tails, whatever its neighbours say."""
    if k < p[K_LOW]:
        return _tail_terms(p, k, True)
    if k > p[K_HIGH]:
        return _tail_terms(p, k, False)
    return model_terms(p, k)


@kernel
def slice_terms(params: F8, i: int, k: float) -> tuple[float, float, float]:
    """(w, w1, w2) of slice ``i`` of ``params`` float64[e, SLICE_PARAMS]: the largest of its own and its floor's."""
    best = own_terms(params[i], k)
    while params[i, FLOORED] != 0.0 and i > 0:
        i -= 1
        other = own_terms(params[i], k)
        if other[0] > best[0]:
            best = other
    return best


@kernel
def _sound(p: F8, k: float) -> bool:
    """Has the formula a positive density and a bounded slope at k, and prices that a power tail could go on from?"""
    w, w1, w2 = model_terms(p, k)
    if not (w > 0.0 and abs(w1) <= _MAX_SLOPE and durrleman_g(w, w1, w2, k) >= _MIN_DENSITY):
        return False
    log_price, q, _ = to_prices(k, w, w1, w2)
    slope = q * math.exp(log_price - k)
    if k < 0.0:
        return q > 1.0 + _TINY_ELASTICITY and slope < 1.0
    return q < -_TINY_ELASTICITY and slope > -1.0


@kernel
def attach_tails(p: F8, far: float, always: bool) -> int:
    """Cut the slice where its density first fails, seen from the money, and join power tails there.

    Looks out to ``|k| <= far`` on a dense grid; ``always`` also cuts at ``far`` where nothing failed (for
    formulas whose wings break Lee's bound sooner or later). Returns how many of the two sides failed,
    3 when the slice is unsound at the money already (it has then no use).
    """
    p[K_LOW], p[K_HIGH] = -math.inf, math.inf
    w0 = model_terms(p, 0.0)[0]
    if not (w0 > 0.0 and _sound(p, 0.0)):
        return 3
    scale = math.sqrt(w0)
    step = math.asinh(far / scale) / _TAIL_GRID
    failed = 0
    for side in range(2):
        sign = -1.0 if side == 0 else 1.0
        last = 0.0
        cut = always
        for n in range(1, _TAIL_GRID + 1):
            k = sign * scale * math.sinh(n * step)
            if not _sound(p, k):
                cut = True
                failed += 1
                break
            last = k
        if not cut:
            continue
        if last == 0.0:
            return 3
        w, w1, w2 = model_terms(p, last)
        log_price, q, _ = to_prices(last, w, w1, w2)
        if side == 0:
            p[K_LOW], p[LOG_LOW], p[Q_LOW] = last, log_price, q
        else:
            p[K_HIGH], p[LOG_HIGH], p[Q_HIGH] = last, log_price, q
    return failed


@kernel(inline=True)
def _money_price(w: float) -> float:
    """At-the-money price of total variance w."""
    return math.erf(math.sqrt(0.125 * w))


@kernel(inline=True)
def _mix_weight(w_a: float, w_b: float, part: float) -> tuple[float, float]:
    """(weight of the later price, its derivative in ``part``) for an at-the-money variance linear in ``part``."""
    low, high = _money_price(w_a), _money_price(w_b)
    if not high - low > 1e-6 * high:
        return part, 1.0
    w = w_a + part * (w_b - w_a)
    slope = math.exp(-0.125 * w - LOG_SQRT_2PI) / (2.0 * math.sqrt(w))
    return min(max((_money_price(w) - low) / (high - low), 0.0), 1.0), slope * (w_b - w_a) / (high - low)


@kernel
def _mixed_prices(params: F8, i: int, k: float, part: float, wa: float, wa1: float, wa2: float, wb: float, wb1: float,
                  wb2: float) -> tuple[float, float, float, float]:  # fmt: skip
    """(w, w1, w2, dw/dpart) of the mixture of the prices of slices ``i`` and ``i + 1``."""
    weight, slope = _mix_weight(params[i, MONEY], params[i + 1, MONEY], part)
    log_a, qa, ca = to_prices(k, wa, wa1, wa2)
    log_b, qb, cb = to_prices(k, wb, wb1, wb2)
    if weight <= 0.0:
        ratio = _price_parts(k, math.sqrt(wa))[1]
        return wa, wa1, wa2, 2.0 * math.sqrt(wa) * ratio * (math.exp(min(log_b - log_a, 600.0)) - 1.0) * slope
    top = max(log_a, log_b)
    a, b = (1.0 - weight) * math.exp(log_a - top), weight * math.exp(log_b - top)
    total = a + b
    s = deviation_of_log_price(top + math.log(total), k, math.sqrt(min(wa, wb)), math.sqrt(max(wa, wb)))
    w, w1, w2 = from_prices(k, s, (a * qa + b * qb) / total, (a * ca + b * cb) / total)
    rise = (math.exp(log_b - top) - math.exp(log_a - top)) / total
    return w, w1, w2, 2.0 * s * _price_parts(k, s)[1] * rise * slope


@kernel
def _between(params: F8, i: int, k: float, years: float) -> tuple[float, float, float, float]:
    """(w, w1, w2, dw/dT) between slices ``i`` and ``i + 1``."""
    wa, wa1, wa2 = slice_terms(params, i, k)
    wb, wb1, wb2 = slice_terms(params, i + 1, k)
    if not (wa > 0.0 and wb > 0.0):
        return math.nan, math.nan, math.nan, math.nan
    span = params[i + 1, YEARS] - params[i, YEARS]
    part = (years - params[i, YEARS]) / span
    if params[i, MIXED] != 0.0:
        w, w1, w2, rise = _mixed_prices(params, i, k, part, wa, wa1, wa2, wb, wb1, wb2)
        return w, w1, w2, rise / span
    return wa + part * (wb - wa), wa1 + part * (wb1 - wa1), wa2 + part * (wb2 - wa2), (wb - wa) / span


@kernel
def gap_is_sound(params: F8, i: int, k: F8, dates: int) -> bool:
    """Is the density positive at every k on ``dates`` dates between slices ``i`` and ``i + 1``, linear in variance?"""
    for j in range(k.shape[0]):
        wa, wa1, wa2 = slice_terms(params, i, k[j])
        wb, wb1, wb2 = slice_terms(params, i + 1, k[j])
        for n in range(1, dates + 1):
            part = n / (dates + 1.0)
            w, w1, w2 = wa + part * (wb - wa), wa1 + part * (wb1 - wa1), wa2 + part * (wb2 - wa2)
            if not durrleman_g(w, w1, w2, k[j]) >= 0.0:
                return False
    return True


@kernel
def end_is_sound(params: F8, i: int, k: F8) -> bool:
    """Is the density of slice ``i`` positive at every k also with up to four more times its money variance?"""
    for j in range(k.shape[0]):
        w, w1, w2 = slice_terms(params, i, k[j])
        for n in range(9):
            if not durrleman_g(w + params[i, MONEY] * 4.0 * 0.5**n, w1, w2, k[j]) >= 0.0:
                return False
    return True


@kernel
def falls_below(params: F8, i: int, k: F8) -> bool:
    """Is slice ``i`` under slice ``i - 1`` at any of ``k``?"""
    below = False
    for j in range(k.shape[0]):
        below = below or slice_terms(params, i, k[j])[0] < slice_terms(params, i - 1, k[j])[0]
    return below


@kernel
def surface_terms(params: F8, count: int, k: float, years: float) -> tuple[float, float, float, float]:
    """(w, w1, w2, dw/dT) of the first ``count`` slices at log-moneyness k and ``years`` > 0; NaN for bad numbers.

    At an expiry dw/dT is the one to its right. About 0.1 us; 1 us where prices are mixed.
    """
    if not (abs(k) < math.inf and 0.0 < years < math.inf and count > 0):
        return math.nan, math.nan, math.nan, math.nan
    if years < params[0, YEARS]:
        w, w1, w2 = slice_terms(params, 0, k)
        part = years / params[0, YEARS]
        return part * w, part * w1, part * w2, w / params[0, YEARS]
    last = count - 1
    if years >= params[last, YEARS]:
        w, w1, w2 = slice_terms(params, last, k)
        slope = params[last, MONEY] / params[last, YEARS] if params[last, MIXED] == 0.0 else 0.0
        return w + slope * (years - params[last, YEARS]), w1, w2, slope
    i = 0
    while years >= params[i + 1, YEARS]:
        i += 1
    return _between(params, i, k, years)


@kernel
def surface_terms_batch(params: F8, count: int, k: F8, years: F8, out: F8) -> None:
    """:func:`surface_terms` of n points; ``out`` float64[4, n]. A bad point is NaN and touches no other."""
    for j in range(k.shape[0]):
        w, w1, w2, wt = surface_terms(params, count, k[j], years[j])
        good = w > 0.0
        out[0, j] = w if good else math.nan
        out[1, j] = w1 if good else math.nan
        out[2, j] = w2 if good else math.nan
        out[3, j] = wt if good else math.nan
