"""Merton's model (1973): options on a spot with a continuous dividend yield. Units and errors: ``gpu.vollib``."""

from gpu.european.greeks import Greek
from gpu.vollib.rows import Answer, Flag, Number, spot_value


def black_scholes_merton(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number, *, return_status: bool = False
) -> Answer:
    """Value of an option on a spot that pays ``q``.

    Parameters
    ----------
    flag : 'c' or 'p', or array of them
    S, K : float or array
        Spot and strike, in one currency.
    t, r : float or array
        Years to expiry (ACT/365), continuous rate per year.
    sigma, q : float or array
        Volatility per sqrt(year), continuous dividend yield per year.
    return_status : bool
        Give (value, ``PriceStatus``).
    """
    return spot_value(Greek.PRICE, 1.0, flag, S, K, t, r, q, sigma, return_status)
