"""Black and Scholes' model (1973): options on a spot without dividends. Units and errors: ``gpu.vollib``."""

from gpu.european.greeks import Greek
from gpu.vollib.black import undiscounted_black
from gpu.vollib.rows import Answer, Flag, Number, spot_value

__all__ = ["black_scholes", "undiscounted_black"]


def black_scholes(
    flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, *, return_status: bool = False
) -> Answer:
    """Value of an option on a spot.

    Parameters
    ----------
    flag : 'c' or 'p', or array of them
    S, K : float or array
        Spot and strike, in one currency.
    t, r : float or array
        Years to expiry (ACT/365), continuous rate per year.
    sigma : float or array
        Volatility per sqrt(year).
    return_status : bool
        Give (value, ``PriceStatus``).
    """
    return spot_value(Greek.PRICE, 1.0, flag, S, K, t, r, 0.0, sigma, return_status)
