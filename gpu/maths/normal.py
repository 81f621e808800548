"""The normal distribution for kernels: density, distribution, scaled complementary error function."""

import math

from market.jit import kernel

INV_SQRT_2PI = 0.3989422804014327
SQRT_HALF = 0.7071067811865476
SQRT_HALF_PI = 1.2533141373155003
LOG_SQRT_2PI = 0.9189385332046727

# Beyond this argument exp(x*x) of a negative argument overflows; 26 is 36 standard deviations.
_ERFCX_LIMIT = 26.0


@kernel(inline=True)
def erfcx_positive(x: float) -> float:
    """exp(x^2) erfc(x) for x >= 0, relative error <= 3e-16.

    Polynomial of degree 23 in t = (x - 4)/(x + 4) for (1 + 2x) erfcx(x), which runs smoothly from
    1 at x = 0 to 2/sqrt(pi) at infinity; coefficients from a Chebyshev fit at 60 digits.
    """
    t = (x - 4.0) / (x + 4.0)
    p = 9.31174516927562e-10
    p = p * t + 1.5738283864053808e-09
    p = p * t - 1.2346866149788423e-08
    p = p * t - 1.6371779811493435e-08
    p = p * t + 1.0633855644064961e-07
    p = p * t + 7.115337811582774e-08
    p = p * t - 8.210939046037889e-07
    p = p * t + 2.9801353788826474e-07
    p = p * t + 5.706604415192701e-06
    p = p * t - 1.122510187554573e-05
    p = p * t - 2.43977464226011e-05
    p = p * t + 0.00015062309720012836
    p = p * t - 0.00019925714661085228
    p = p * t - 0.000757773707063806
    p = p * t + 0.005031970067657475
    p = p * t - 0.016197733981455197
    p = p * t + 0.03716751552655567
    p = p * t - 0.06633036582031154
    p = p * t + 0.0937328349990944
    p = p * t - 0.10103906603586531
    p = p * t + 0.06809705425466908
    p = p * t + 0.015379652102610473
    p = p * t - 0.1396211168405623
    p = p * t + 1.2329951186255526
    return p / (1.0 + 2.0 * x)


@kernel(inline=True)
def erfcx(x: float) -> float:
    """exp(x^2) erfc(x); arguments below -26 are clamped there, where the value is 1e294."""
    size = min(abs(x), _ERFCX_LIMIT) if x < 0.0 else x
    value = erfcx_positive(size)
    return value if x >= 0.0 else 2.0 * math.exp(size * size) - value


@kernel(inline=True)
def norm_pdf(x: float) -> float:
    """Standard normal density."""
    return INV_SQRT_2PI * math.exp(-0.5 * x * x)


@kernel(inline=True)
def norm_cdf(x: float) -> float:
    """Standard normal distribution function, relative error of libm's erfc in both tails."""
    return 0.5 * math.erfc(-x * SQRT_HALF)
