"""Black implied volatility to the accuracy that the price itself allows, with a status per row.

Prior art: Jaeckel, "Let's Be Rational" (2017): normalise to the out-of-the-money side, solve on the
logarithm of the price with a third-order method; Choi et al. (2023): the log-price is concave enough
that a start from below converges always. Here: log-price below half of the attainable time value,
logarithm of the missing part above it, Householder / Halley steps inside a bracket, so that the
worst input ends in bisection and never in a wrong number.
"""

import math
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.maths.normal import INV_SQRT_2PI, LOG_SQRT_2PI, SQRT_HALF, SQRT_HALF_PI, erfcx, norm_cdf
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I1: TypeAlias = npt.NDArray[np.int8]
U1: TypeAlias = npt.NDArray[np.uint8]


class IvStatus(IntEnum):
    """Why a row has a volatility or has none."""

    OK = 0
    BELOW_INTRINSIC = 1  # the price is under the European lower bound: no volatility gives it
    ABOVE_MAXIMUM = 2  # at or over the forward (call) or the strike (put)
    NO_TIME_VALUE = 3  # exactly intrinsic, or so close that no digit of the time value is left
    BAD_INPUT = 4  # not finite, or a forward, strike, discount or time that is not positive


OK = int(IvStatus.OK)
BELOW_INTRINSIC = int(IvStatus.BELOW_INTRINSIC)
ABOVE_MAXIMUM = int(IvStatus.ABOVE_MAXIMUM)
NO_TIME_VALUE = int(IvStatus.NO_TIME_VALUE)
BAD_INPUT = int(IvStatus.BAD_INPUT)

_MAX_STEPS = 64  # 3 to 5 in practice; the rest is room for bisection
_HIGHEST = 40.0  # deviation beyond which the value is the maximum to the last bit
_TINY = 1e-290


@kernel(inline=True)
def _scaled_value(moneyness: float, deviation: float) -> float:
    """Ratio b / b'(s): normalised OTM value over its vega; ``moneyness`` = -|ln(F/K)|."""
    h, t = moneyness / deviation, 0.5 * deviation
    return SQRT_HALF_PI * (erfcx(-(h + t) * SQRT_HALF) - erfcx(-(h - t) * SQRT_HALF))


@kernel
def _lower_step(moneyness: float, s: float, log_value: float) -> tuple[float, float]:
    """(log-price miss, third-order step) towards ``log_value`` from ``s``."""
    h, t = moneyness / s, 0.5 * s
    ratio = _scaled_value(moneyness, s)
    if ratio <= 0.0:  # far below anything attainable in double precision
        return -1.0, s
    miss = math.log(ratio) - 0.5 * (h * h + t * t) - LOG_SQRT_2PI - log_value
    inverse = 1.0 / ratio
    q2 = h * h / s - 0.25 * s  # b''/b'
    q3 = q2 * q2 - 3.0 * h * h / (s * s) - 0.25  # b'''/b'
    nu = -miss * ratio
    h2 = q2 - inverse
    h3 = q3 - 3.0 * inverse * q2 + 2.0 * inverse * inverse
    below = 1.0 + nu * (h2 + h3 * nu / 6.0)
    step = nu * (1.0 + 0.5 * nu * h2) / below if below > 0.1 else nu
    return miss, step


@kernel
def _upper_step(moneyness: float, s: float, log_missing: float) -> tuple[float, float]:
    """As :func:`_lower_step` for values near the maximum, on ln(maximum - value)."""
    h, t = moneyness / s, 0.5 * s
    half = math.exp(0.5 * moneyness)
    missing = half * norm_cdf(-(h + t)) + norm_cdf(h - t) / half
    vega = INV_SQRT_2PI * math.exp(-0.5 * (h * h + t * t))
    if missing <= 0.0 or vega <= 0.0:
        return 1.0, 0.0
    miss = log_missing - math.log(missing)  # rises with s, like the lower branch's
    slope = vega / missing
    curve = (h * h / s - 0.25 * s) + slope
    newton = -miss / slope
    below = 1.0 + 0.5 * newton * curve
    return miss, newton / below if below > 0.25 else newton


@kernel
def normalised_deviation(value: float, moneyness: float) -> float:
    """Solve b(moneyness, s) = value for s: 0 < value < exp(moneyness / 2), moneyness = -|ln(F/K)|.

    ``value`` is the undiscounted OTM price over sqrt(F * K). Four steps typically, about 0.4 us.
    """
    highest = math.exp(0.5 * moneyness)
    upper = value > 0.5 * highest
    target = math.log(highest - value) if upper else math.log(value)
    low, high = 0.0, _HIGHEST
    s = math.sqrt(-2.0 * moneyness) + 1e-9  # the inflection: b is convex below, concave above
    ratio, t, h = _scaled_value(moneyness, s), 0.5 * s, moneyness / s
    vega = INV_SQRT_2PI * math.exp(-0.5 * (h * h + t * t))
    gap = math.log(ratio * vega) - math.log(value) if ratio > 0.0 else 0.0
    if gap > 0.0:  # below: ln b ~ -x^2 / (2 s^2), so step in 1 / s^2
        s = 1.0 / math.sqrt(1.0 / (s * s) + 2.0 * gap * ratio / (s * s * s))
    elif not upper:
        s = s + (value - ratio * vega) / vega
    for _ in range(_MAX_STEPS):
        if upper:
            miss, step = _upper_step(moneyness, s, target)
        else:
            miss, step = _lower_step(moneyness, s, target)
        if miss < 0.0:
            low = s
        else:
            high = s
        following = s + step
        if not (low <= following <= high):
            following = 0.5 * (low + high)
        done = abs(following - s) <= 2e-16 * s
        s = following
        if done or abs(miss) < 1e-16:
            break
    return s


@kernel
def implied_deviation(price: float, forward: float, strike: float, right: int) -> tuple[float, int]:
    """(vol * sqrt(years), IvStatus) of one undiscounted option price; the deviation is NaN unless OK.

    Error: about eps * max(F, K) / vega, which is what the price's own last digit allows; an
    in-the-money price has already lost the digits of its intrinsic value.
    """
    if not (forward > 0.0 and strike > 0.0 and forward < math.inf and strike < math.inf and abs(price) < math.inf):
        return math.nan, BAD_INPUT
    intrinsic = max(right * (forward - strike), 0.0)
    if price < intrinsic:
        return math.nan, BELOW_INTRINSIC
    if price >= (forward if right > 0 else strike):
        return math.nan, ABOVE_MAXIMUM
    scale = math.sqrt(forward) * math.sqrt(strike)
    value = (price - intrinsic) / scale
    moneyness = -abs(math.log(forward / strike))
    if value <= _TINY:
        return math.nan, NO_TIME_VALUE
    if value >= math.exp(0.5 * moneyness):
        return math.nan, ABOVE_MAXIMUM
    return normalised_deviation(value, moneyness), OK


@kernel
def implied_vol(
    price: F8, forward: F8, strike: F8, years: F8, discount: F8, right: I1, out_vol: F8, out_status: U1
) -> None:
    """Black implied volatility of n European options; every array [n].

    ``out_vol`` [1/sqrt(year)] is NaN wherever ``out_status`` is not ``IvStatus.OK``. Prefer prices of
    the out-of-the-money side. Cost: about 0.5 us each.
    """
    for i in range(price.shape[0]):
        if not (years[i] > 0.0 and discount[i] > 0.0 and years[i] < math.inf and discount[i] < math.inf):
            out_vol[i] = math.nan
            out_status[i] = BAD_INPUT
        else:
            deviation, status = implied_deviation(price[i] / discount[i], forward[i], strike[i], int(right[i]))
            out_vol[i] = deviation / math.sqrt(years[i])
            out_status[i] = status
