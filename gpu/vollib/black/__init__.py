"""Black's model (1976): options on a forward or a future. Units and errors: ``gpu.vollib``."""

import numpy as np

from gpu.european.greeks import Greek
from gpu.vollib.rows import Answer, Flag, Number, forward_value


def black(
    flag: Flag, F: Number, K: Number, t: Number, r: Number, sigma: Number, *, return_status: bool = False
) -> Answer:
    """Discounted value of an option on a forward.

    Parameters
    ----------
    flag : 'c' or 'p', or array of them
    F, K : float or array
        Forward (or futures price) and strike, in one currency.
    t, r : float or array
        Years to expiry (ACT/365), continuous rate per year.
    sigma : float or array
        Volatility per sqrt(year).
    return_status : bool
        Give (value, ``PriceStatus``).
    """
    return forward_value(Greek.PRICE, 1.0, flag, F, K, t, r, sigma, return_status)


def undiscounted_black(
    F: Number, K: Number, sigma: Number, t: Number, flag: Flag, *, return_status: bool = False
) -> Answer:
    """Value of an option on a forward, paid at expiry. Mind the order of the arguments, which is py_vollib's."""
    return forward_value(Greek.PRICE, 1.0, flag, F, K, t, 0.0, sigma, return_status)


def normalised_black(x: Number, s: Number, flag: Flag, *, return_status: bool = False) -> Answer:
    """Undiscounted value over sqrt(F * K), from ``x`` = ln(F/K) and ``s`` = sigma * sqrt(t)."""
    half = np.multiply(x, 0.5)
    forward, strike = np.exp(half), np.exp(-half)
    return forward_value(Greek.PRICE, 1.0, flag, forward, strike, 1.0, 0.0, s, return_status)
