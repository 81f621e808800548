"""Numerical Greeks: differences of prices over py_vollib's steps.

They are not approximations of the analytical ones so much as the change over a whole step: of the price over
a day (theta), over one per cent of volatility (vega) or rate (rho), each side's mean; delta and gamma use a step of
0.01 in F. Prefer ``analytical``. Arguments as there.
"""

from gpu.vollib.black import black
from gpu.vollib.differences import delta_difference, gamma_difference, rho_difference, theta_difference, vega_difference
from gpu.vollib.rows import Answer, Flag, Number


def delta(flag: Flag, F: Number, K: Number, t: Number, r: Number, sigma: Number) -> Answer:
    """Half the difference of the prices at F + 0.01 and F - 0.01, per 1.00; at expiry 1, 0.5 or 0 (puts: less one)."""
    return delta_difference(black, flag, F, K, t, r, sigma)


def gamma(flag: Flag, F: Number, K: Number, t: Number, r: Number, sigma: Number) -> Answer:
    """Second difference of the prices over 0.01 of F, per 1.00 twice; at expiry 0, or infinity at the strike."""
    return gamma_difference(black, flag, F, K, t, r, sigma)


def theta(flag: Flag, F: Number, K: Number, t: Number, r: Number, sigma: Number) -> Answer:
    """Price one day later (in the last day: at 1e-5 years to expiry) less the price now."""
    return theta_difference(black, flag, F, K, t, r, sigma)


def vega(flag: Flag, F: Number, K: Number, t: Number, r: Number, sigma: Number) -> Answer:
    """Half the difference of the prices at 1 % more and 1 % less volatility."""
    return vega_difference(black, flag, F, K, t, r, sigma)


def rho(flag: Flag, F: Number, K: Number, t: Number, r: Number, sigma: Number) -> Answer:
    """Half the difference of the prices at 1 % more and 1 % less rate."""
    return rho_difference(black, flag, F, K, t, r, sigma)
