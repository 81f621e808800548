"""Black implied volatility of one option to the accuracy that the price itself allows, with a status.

One guess and one step (``log_price.py``) answer nearly every price; what they cannot certify goes to a
bracketed solver. That one works on the logarithm of the price below half of the attainable time
value and on the logarithm of the missing part above it, with Householder / Halley steps inside a
bracket, so that the worst input ends in bisection and never in a wrong number.

Prior art: Jaeckel, "Let's Be Rational" (2017): normalise to the out-of-the-money side, solve on the
logarithm of the price with a high-order method; Choi et al. (2023): the log-price is concave enough
that a start from below converges always. Whole chains: ``batch.py``.
"""

import math
from enum import IntEnum

from gpu.implied.log_price import FINAL_STEP, LAST_DIGITS, black_guess, guess_holds, refined, value_over_vega
from gpu.maths.functions import INV_SQRT_2PI, LOG_SQRT_2PI, log_ratio, mills, normal_cdf
from market.jit import kernel


class IvStatus(IntEnum):
    """Why a row has a volatility or has none."""

    OK = 0
    BELOW_INTRINSIC = 1  # the price is under the European lower bound: no volatility gives it
    ABOVE_MAXIMUM = 2  # at or over the forward (call) or the strike (put)
    NO_TIME_VALUE = 3  # exactly intrinsic, or so close that no digit of the time value is left
    BAD_INPUT = 4  # not finite, or a forward, strike, discount or time that is not positive, or a right that is not +-1
    NO_VEGA = 5  # inside the bounds, but rounding the price (four units in its last place) moves the volatility by 1 %


OK = int(IvStatus.OK)
BELOW_INTRINSIC = int(IvStatus.BELOW_INTRINSIC)
ABOVE_MAXIMUM = int(IvStatus.ABOVE_MAXIMUM)
NO_TIME_VALUE = int(IvStatus.NO_TIME_VALUE)
BAD_INPUT = int(IvStatus.BAD_INPUT)
NO_VEGA = int(IvStatus.NO_VEGA)

_MAX_STEPS = 64  # 3 to 5 in practice; the rest is room for bisection
_HIGHEST = 40.0  # deviation beyond which the value at the money is the maximum to the last bit
_TINY = 1e-290
_NORMAL = 2.3e-308
#: Forwards and strikes whose product is far from overflow and underflow, as the one-step formulas need.
SMALLEST, LARGEST = 1e-150, 1e150


@kernel
def _lower_step(moneyness: float, s: float, log_value: float) -> tuple[float, float]:
    """(log-price miss, third-order step) towards ``log_value`` from ``s``; ``moneyness`` = |ln(F/K)|."""
    h, t = moneyness / s, 0.5 * s
    ratio = value_over_vega(h, t)
    if not ratio > 0.0:  # far below anything attainable in double precision
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
    vega = INV_SQRT_2PI * math.exp(-0.5 * (h * h + t * t))
    missing = math.exp(-0.5 * moneyness) * normal_cdf(h - t) + vega * mills(h + t)
    if missing <= 0.0 or vega <= 0.0:
        return 1.0, 0.0
    miss = log_missing - math.log(missing)  # rises with s, like the lower branch's
    slope = vega / missing
    curve = (h * h / s - 0.25 * s) + slope
    newton = -miss / slope
    below = 1.0 + 0.5 * newton * curve
    return miss, newton / below if below > 0.25 else newton


@kernel
def normalised_deviation(value: float, missing: float, moneyness: float) -> float:
    """Solve b(moneyness, s) = ``value`` for s by bracketing; ``moneyness`` = |ln(F/K)|.

    ``value`` is the undiscounted out-of-the-money price over sqrt(F K), ``missing`` what it lacks to
    its maximum exp(-moneyness / 2); both must be positive. Four steps typically, about 0.7 us.
    """
    upper = missing < value
    target = math.log(missing) if upper else math.log(value)
    low, high = 0.0, _HIGHEST + math.sqrt(2.0 * moneyness)  # d1 = 20 up there
    s = math.sqrt(2.0 * moneyness) + 1e-9  # the inflection: b is convex below, concave above
    t, h = 0.5 * s, moneyness / s
    ratio = value_over_vega(h, t)
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

    ``right`` is +1 for a call, -1 for a put. Error: some eps * (deviation + price / vega), which is what
    the price's own last digit allows; an in-the-money price has already lost the digits of its
    intrinsic value. About 0.13 us.
    """
    if not (forward > 0.0 and strike > 0.0 and forward < math.inf and strike < math.inf and abs(price) < math.inf):
        return math.nan, BAD_INPUT
    if right != 1 and right != -1:
        return math.nan, BAD_INPUT
    intrinsic = max(right * (forward - strike), 0.0)
    if price < intrinsic:
        return math.nan, BELOW_INTRINSIC
    shortfall = (forward if right > 0 else strike) - price
    if shortfall <= 0.0:
        return math.nan, ABOVE_MAXIMUM
    value, gap = price - intrinsic, abs(forward - strike)
    plain = min(forward, strike) >= SMALLEST and max(forward, strike) <= LARGEST
    normal = min(forward, strike) >= _NORMAL
    moneyness = abs(log_ratio(forward, strike)) if normal else abs(math.log(forward) - math.log(strike))
    if plain and value > 0.0:
        over, share = log_ratio(value + gap, value), (2.0 * value + gap) / (forward + strike)
        if guess_holds(over, share, moneyness):
            start = black_guess(over, share, moneyness)
            s, size, slope = refined(value, forward, strike, moneyness, start)
            if size <= FINAL_STEP and price * LAST_DIGITS <= value * slope:
                return s, OK
    scale = math.sqrt(forward) * math.sqrt(strike)
    if value / scale <= _TINY:
        return math.nan, NO_TIME_VALUE
    s = normalised_deviation(value / scale, shortfall / scale, moneyness)
    h, t = moneyness / s, 0.5 * s
    vega = INV_SQRT_2PI * math.exp(-0.5 * (h * h + t * t))
    if not price / scale * LAST_DIGITS <= s * vega:
        return math.nan, NO_VEGA
    return s, OK
