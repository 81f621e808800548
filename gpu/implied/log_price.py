"""First guess and last step of every implied volatility here: scalar formulas, free of branches.

One deviation s = vol * sqrt(years) is to be found from the undiscounted value c of the out-of-the-money
option. Prior art: Jaeckel's "Let's Be Rational" (2017) takes a rational guess in four zones and two
steps of order four; Choi et al. (2009, 2023) show what straddles and log-prices do for the guess. Here:
a better guess and one single step of order eight, because in a vector an iteration costs its
exponentials and logarithms again, while a higher order costs only arithmetic.

**Guess.** Let L = ln((c + |F - K|) / c), the logarithm of the in-the-money over the out-of-the-money
price; k = |ln(F / K)|; and p = (2c + |F - K|) / (F + K), the straddle in parts of its maximum. These have
no unit. *Near* (k <= 1): s is odd in p, even in L, and behaves as p / sqrt(L) far out, so (p / s)^2 is a
smooth function of p^2 and (L^2 + 25)^(1/4). *Far* (k > 1): L - k is nearly -ln N(d1), and k / s^2 a smooth
function of sqrt(L - k) and 1 / sqrt(k). One polynomial each (35 and 40 terms, weighted minimax fits
to solutions of the bracketed solver, by ``benchmarks/implied_guess.py``) gives s to a ``step_size`` of
0.016 (1.6 % at worst), for deviations up to 4.6 at the money, strikes up to ten deviations out and F/K
up to e^16. Near, at p = 0, is the normal model's guess.

**Step.** The miss f = ln(value at s / c) is nearly a straight line in ln s, both far out (where the
value is exp(-k^2 / 2s^2)) and at the money (where it is s). All its derivatives follow from the first by
arithmetic, since the logarithm of vega is a sum of powers of s. Householder's method with seven of
them takes an error e to about 1e-5 (e/0.03)^8 times the last digit of a double. ``step_size`` weighs
how far it went and how far Newton's would have gone; below ``FINAL_STEP`` it is final. A wild start is
recognised, never trusted.
"""

import math

from gpu.maths.functions import INV_SQRT_2PI, SQRT_2PI, exp_fast, log_fast, mills
from gpu.maths.wide import wide_helper

#: Largest :func:`step_size` whose result is exact to the last digit: the error that it leaves is under
#: 1e-16 of the deviation (found with 40 digits, s in 0.1..6, k/s in 0..8; worst at k/s = 0.5 and 1).
FINAL_STEP = 0.03

#: A volatility is refused if four units in the last place of the price move it by a hundredth: then
#: price * LAST_DIGITS > deviation * vega, and the price says nothing that is worth a number.
LAST_DIGITS = 4.0 * 100.0 * 2.220446049250313e-16

_SPLIT = 1.0  # in k, between near and far; both fits hold on either side of it for a little
_MAX_SHARE_SQUARED = 0.98 * 0.98
_MIN_EXCESS = 0.05  # L - k: a far price of 95 % of its maximum
_MAX_FAR = 16.0
#: L up to which the guesses hold: ten deviations out.
MAX_LOG_RATIO = 60.0


@wide_helper
def _near(root: float, share_squared: float) -> float:
    """(p / s)^2 from ``root`` = (L^2 + 25)^(1/4) and p^2."""
    u = root * 0.36210159966133015 - 1.8096837916041491
    v = share_squared * (2.0 / _MAX_SHARE_SQUARED) - 1.0
    t = (((2.26277676 * v + 2.70172557) * v - 1.94654691) * v - 3.87620011) * v - 0.656669215
    t = t * u + ((((1.87836333 * v + 1.5934714) * v - 3.87801093) * v - 5.27257513) * v - 1.85575116)
    t = t * u + ((((-4.4515506 * v - 7.76379517) * v - 2.00588514) * v + 2.96191376) * v + 0.548776756)
    t = t * u + ((((-3.74755925 * v - 5.82266337) * v + 1.26722265) * v + 5.29947185) * v + 2.04910127)
    t = t * u + ((((2.06038401 * v + 4.20486129) * v + 2.29099217) * v - 1.65007215) * v + 2.55943891)
    t = t * u + ((((1.59721307 * v + 3.06775009) * v + 0.683438972) * v - 5.6980343) * v + 8.12833454)
    return t * u + ((((-0.165628166 * v - 0.305984248) * v - 0.258212838) * v - 3.15986709) * v + 5.98389336)


@wide_helper
def _far(excess: float, inverse_root: float) -> float:
    """Return k / s^2 from ``excess`` = L - k and ``inverse_root`` = 1 / sqrt(k)."""
    u = math.sqrt(excess) * 0.26587401134828398 - 1.0594512362825315
    v = inverse_root * -2.6666666666666665 + 1.6666666666666665
    t = (((-0.178710162 * v + 0.00789869051) * v - 0.495929783) * v + 1.38587639) * v - 0.505747477
    t = t * u + ((((-0.054811606 * v - 0.0336262761) * v - 0.595093527) * v + 1.2662204) * v - 0.589657246)
    t = t * u + ((((0.285636223 * v - 0.0245972476) * v + 1.54702737) * v - 3.75169086) * v + 1.6333495)
    t = t * u + ((((0.105900923 * v + 0.0743155088) * v + 0.453329542) * v - 0.917684614) * v + 0.186605126)
    t = t * u + ((((-0.131658357 * v - 0.014834795) * v - 1.32265635) * v + 2.85026026) * v - 1.11878578)
    t = t * u + ((((-0.0522231368 * v - 0.00157509947) * v + 4.66811761) * v - 14.9449721) * v + 12.0449005)
    t = t * u + ((((0.0251284375 * v - 0.00476700269) * v + 7.47291818) * v - 25.0421618) * v + 21.1477722)
    return t * u + ((((0.00542202301 * v - 0.0549158356) * v + 2.72520789) * v - 9.87942357) * v + 9.62585368)


@wide_helper
def black_guess(log_ratio: float, share: float, moneyness: float) -> float:
    """Deviation s from L, p and k (see above); outside of the fits' domain anything, NaN included."""
    square = share * share
    far = moneyness > _SPLIT
    near_value = _near(math.sqrt(math.sqrt(log_ratio * log_ratio + 25.0)), square)
    # The branch not taken gets harmless numbers: as plain Python it would raise.
    far_value = _far(log_ratio - moneyness if far else 1.0, 1.0 / math.sqrt(moneyness if far else 1.0))
    return math.sqrt((moneyness if far else square) / (far_value if far else near_value))


@wide_helper
def guess_holds(log_ratio: float, share: float, moneyness: float) -> bool:
    """Whether :func:`black_guess` is within a :func:`step_size` of 0.016 here."""
    near = (moneyness <= _SPLIT) & (share * share <= _MAX_SHARE_SQUARED)
    far = (moneyness > _SPLIT) & (moneyness <= _MAX_FAR) & (log_ratio - moneyness >= _MIN_EXCESS)
    return (near | far) & (log_ratio <= MAX_LOG_RATIO)


@wide_helper
def normal_guess(log_ratio: float) -> float:
    """Half of the straddle over the normal deviation, from L <= 60; within a :func:`step_size` of 0.016."""
    root = math.sqrt(math.sqrt(log_ratio * log_ratio + 25.0))
    u = root * 0.36210159966133015 - 1.8096837916041491
    t = 0.834035189
    t = t * u - 0.176295032
    t = t * u - 1.10677758
    t = t * u + 0.0919561927
    t = t * u + 4.35602595
    t = t * u + 13.0392708
    t = t * u + 9.02590369
    return math.sqrt(t)


@wide_helper
def log_step(miss: float, slope: float, h2: float, t2: float) -> float:
    """Change of ln s that takes ``miss`` to zero: Householder's method with seven derivatives.

    ``miss`` = ln(value / target) at s and ``slope`` its derivative by ln s; ``h2`` = (k / s)^2 and
    ``t2`` = (s / 2)^2 (0 in the normal model) give the higher ones: the value's derivative by ln s is
    s * exp(-(h2 + t2) / 2) times a constant, and the logarithm of that has simple Taylor coefficients.
    """
    difference, total = h2 - t2, h2 + t2
    # j times the j-th coefficient of ln(d value / d ln s)
    w1, w2, w3 = 1.0 + difference, -2.0 * total, 2.0 * difference
    w4, w5, w6 = total * (-4.0 / 3.0), difference * (2.0 / 3.0), total * (-4.0 / 15.0)
    # coefficients of its exponential, and of the value itself over its slope
    e2 = (w1 * w1 + w2) * (1.0 / 2.0)
    e3 = (w1 * e2 + w2 * w1 + w3) * (1.0 / 3.0)
    e4 = (w1 * e3 + w2 * e2 + w3 * w1 + w4) * (1.0 / 4.0)
    e5 = (w1 * e4 + w2 * e3 + w3 * e2 + w4 * w1 + w5) * (1.0 / 5.0)
    e6 = (w1 * e5 + w2 * e4 + w3 * e3 + w4 * e2 + w5 * w1 + w6) * (1.0 / 6.0)
    a2, a3, a4, a5, a6 = w1 * (1.0 / 2.0), e2 * (1.0 / 3.0), e3 * (1.0 / 4.0), e4 * (1.0 / 5.0), e5 * (1.0 / 6.0)
    # j times the coefficients of the logarithm of the value, over the slope
    m2 = w1 - slope
    m3 = e2 - slope * (a2 + m2)
    m4 = e3 - slope * (a3 + m2 * a2 + m3)
    m5 = e4 - slope * (a4 + m2 * a3 + m3 * a2 + m4)
    m6 = e5 - slope * (a5 + m2 * a4 + m3 * a3 + m4 * a2 + m5)
    m7 = e6 - slope * (a6 + m2 * a5 + m3 * a4 + m4 * a3 + m5 * a2 + m6)
    # coefficients of 1/f in units of Newton's step; the last two in ratio are Householder's
    newton = -miss / slope
    x2 = newton * newton
    x3, x4 = x2 * newton, x2 * x2
    n2, n3, n4 = m2 * newton * (1.0 / 2.0), m3 * x2 * (1.0 / 3.0), m4 * x3 * (1.0 / 4.0)
    n5, n6, n7 = m5 * x4 * (1.0 / 5.0), m6 * (x4 * newton) * (1.0 / 6.0), m7 * (x3 * x3) * (1.0 / 7.0)
    g2 = 1.0 + n2
    g3 = g2 + n2 + n3
    g4 = g3 + n2 * g2 + n3 + n4
    g5 = g4 + n2 * g3 + n3 * g2 + n4 + n5
    g6 = g5 + n2 * g4 + n3 * g3 + n4 * g2 + n5 + n6
    g7 = g6 + n2 * g5 + n3 * g4 + n4 * g3 + n5 * g2 + n6 + n7
    return newton * g6 / g7


@wide_helper
def step_size(step: float, h2: float, t2: float) -> float:
    """Length of a :func:`log_step` in the unit of its own convergence; compare with ``FINAL_STEP``.

    Newton's step is to be weighed with it (they agree where either is right): that one is as long as the
    miss, while a ratio of polynomials is small by chance in places where nothing is near.
    """
    return abs(step) * (1.0 + h2 * (1.0 / 3.0) + t2)


@wide_helper
def exp_small(x: float) -> float:
    """exp(x) for |x| <= 0.03, to the last digit; elsewhere whatever it is."""
    p = 1.0 / 5040.0
    p = p * x + 1.0 / 720.0
    p = p * x + 1.0 / 120.0
    p = p * x + 1.0 / 24.0
    p = p * x + 1.0 / 6.0
    p = p * x + 0.5
    p = p * x + 1.0
    return p * x + 1.0


@wide_helper
def _small_difference(h: float, t: float) -> float:
    """M(h - t) - M(h + t) of Mills' ratio for 0 <= t <= 0.2 as a power series in t: nothing cancels.

    The odd derivatives of M, from M' = h M - 1 and M(n + 2) = h M(n + 1) + (n + 1) M(n); thirteen of them.
    """
    d0 = mills(h)
    d1 = h * d0 - 1.0
    d2 = h * d1 + d0
    d3 = h * d2 + 2.0 * d1
    d4 = h * d3 + 3.0 * d2
    d5 = h * d4 + 4.0 * d3
    d6 = h * d5 + 5.0 * d4
    d7 = h * d6 + 6.0 * d5
    d8 = h * d7 + 7.0 * d6
    d9 = h * d8 + 8.0 * d7
    d10 = h * d9 + 9.0 * d8
    d11 = h * d10 + 10.0 * d9
    d12 = h * d11 + 11.0 * d10
    d13 = h * d12 + 12.0 * d11
    t2 = t * t
    p = d13 * (1.0 / 6227020800.0)
    p = p * t2 + d11 * (1.0 / 39916800.0)
    p = p * t2 + d9 * (1.0 / 362880.0)
    p = p * t2 + d7 * (1.0 / 5040.0)
    p = p * t2 + d5 * (1.0 / 120.0)
    p = p * t2 + d3 * (1.0 / 6.0)
    p = p * t2 + d1
    return -2.0 * t * p


@wide_helper
def _is_small(h: float, t: float) -> bool:
    """Where the power series converges to the last digit; beyond, the plain difference loses less than one."""
    return (t <= 0.2) & (h * t <= 2.5)


@wide_helper
def value_over_vega(h: float, t: float) -> float:
    """Black value out of the money over its derivative by s, h = k / s and t = s / 2: M(h - t) - M(h + t).

    M is Mills' ratio N(-z) / density(z), so there is no exponential below the inflection h = t, one above
    it, and the far tail keeps its relative accuracy: error <= 4 eps * (1 + h^2), of which ln s sees 4 eps.
    """
    near = h - t
    tail = mills(abs(near))
    plain = (tail if near >= 0.0 else SQRT_2PI * exp_fast(0.5 * near * near) - tail) - mills(h + t)
    return _small_difference(h, t) if _is_small(h, t) else plain


@wide_helper
def refined(value: float, forward: float, strike: float, moneyness: float, s: float) -> tuple[float, float, float]:
    """One step towards the deviation whose undiscounted out-of-the-money Black value is ``value``, from ``s``.

    Returns (deviation, :func:`step_size` of the mean of its and Newton's, slope = d ln value / d ln s at s).
    ``moneyness`` is |ln(F/K)|.
    Above the inflection the value is taken as what it lacks to its maximum, below it as in
    :func:`value_over_vega`: neither a saturated value nor a far one loses digits.
    """
    h, t = moneyness / s, 0.5 * s
    near, far = h - t, mills(h + t)
    tail = mills(abs(near))
    h2, t2 = h * h, t * t
    exponent = 0.5 * (h2 + t2)
    unit = INV_SQRT_2PI * math.sqrt(forward * strike)
    small = _is_small(h, t)
    ratio = _small_difference(h, t) if small else tail - far
    vega = unit * exp_fast(-exponent)
    at_s = min(forward, strike) - vega * (tail + far)
    from_top = (near < 0.0) & (not small)
    slope = s * vega / at_s if from_top else s / ratio
    miss = log_fast((at_s if from_top else ratio * unit) / value) - (0.0 if from_top else exponent)
    step, newton = log_step(miss, slope, h2, t2), miss / slope
    return s * exp_small(step), step_size(0.5 * (abs(step) + abs(newton)), h2, t2), slope
