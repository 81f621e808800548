"""Analytical Greeks: thirteen derivatives of the model's price.

Arguments of every function: ``flag`` 'c' or 'p', ``S`` spot price, ``K`` strike, ``t`` years (ACT/365),
``r`` rate, ``sigma`` volatility per sqrt(year), ``q`` dividend yield; numbers or arrays, which broadcast.
Units are py_vollib's for its five and follow from them for the rest: per 1.00 of S, per 1 % of volatility and rate, per
calendar day that passes. Bad rows are NaN; ``return_status=True`` adds their ``PriceStatus``.
"""

from gpu.european.greeks import Greek
from gpu.vollib.rows import PER_CENT, PER_DAY, Answer, Flag, Number, spot_value


def delta(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of the price per 1.00 of S."""
    return spot_value(Greek.DELTA, 1.0, flag, S, K, t, r, q, sigma, return_status)


def gamma(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of delta per 1.00 of S."""
    return spot_value(Greek.GAMMA, 1.0, flag, S, K, t, r, q, sigma, return_status)


def theta(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of the price per calendar day that passes (1/365 of the derivative in years)."""
    return spot_value(Greek.THETA, PER_DAY, flag, S, K, t, r, q, sigma, return_status)


def vega(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of the price per 1 % of volatility."""
    return spot_value(Greek.VEGA, PER_CENT, flag, S, K, t, r, q, sigma, return_status)


def rho(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of the price per 1 % of rate, the dividend yield staying where it is."""
    return spot_value(Greek.RHO, PER_CENT, flag, S, K, t, r, q, sigma, return_status)


def vanna(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of delta per 1 % of volatility."""
    return spot_value(Greek.VANNA, PER_CENT, flag, S, K, t, r, q, sigma, return_status)


def volga(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of :func:`vega` per 1 % of volatility."""
    return spot_value(Greek.VOLGA, PER_CENT * PER_CENT, flag, S, K, t, r, q, sigma, return_status)


def charm(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of delta per calendar day that passes."""
    return spot_value(Greek.CHARM, PER_DAY, flag, S, K, t, r, q, sigma, return_status)


def veta(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of :func:`vega` per calendar day that passes."""
    return spot_value(Greek.VETA, PER_CENT * PER_DAY, flag, S, K, t, r, q, sigma, return_status)


def speed(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of gamma per 1.00 of S."""
    return spot_value(Greek.SPEED, 1.0, flag, S, K, t, r, q, sigma, return_status)


def zomma(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of gamma per 1 % of volatility."""
    return spot_value(Greek.ZOMMA, PER_CENT, flag, S, K, t, r, q, sigma, return_status)


def colour(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of gamma per calendar day that passes."""
    return spot_value(Greek.COLOUR, PER_DAY, flag, S, K, t, r, q, sigma, return_status)


def ultima(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Change of :func:`volga` per 1 % of volatility."""
    return spot_value(Greek.ULTIMA, PER_CENT**3, flag, S, K, t, r, q, sigma, return_status)


#: The other common names of the same functions.
vomma = volga
color = colour
