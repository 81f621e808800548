"""Numerical Greeks: differences of prices over py_vollib's steps.

They are not approximations of the analytical ones so much as the change over a whole step: of the price over
a day (theta), over one per cent of volatility (vega) or rate (rho), each side's mean; delta and gamma use a step of
0.01 in S. Prefer ``analytical``. Arguments as there.
"""

from gpu.vollib.black_scholes_merton import black_scholes_merton
from gpu.vollib.differences import delta_difference, gamma_difference, rho_difference, theta_difference, vega_difference
from gpu.vollib.rows import Answer, Flag, Number


def delta(flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number) -> Answer:
    """Half the difference of the prices at S + 0.01 and S - 0.01, per 1.00; at expiry 1, 0.5 or 0 (puts: less one)."""
    return delta_difference(black_scholes_merton, flag, S, K, t, r, sigma, q)


def gamma(flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number) -> Answer:
    """Second difference of the prices over 0.01 of S, per 1.00 twice; at expiry 0, or infinity at the strike."""
    return gamma_difference(black_scholes_merton, flag, S, K, t, r, sigma, q)


def theta(flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number) -> Answer:
    """Price one day later (in the last day: at 1e-5 years to expiry) less the price now."""
    return theta_difference(black_scholes_merton, flag, S, K, t, r, sigma, q)


def vega(flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number) -> Answer:
    """Half the difference of the prices at 1 % more and 1 % less volatility."""
    return vega_difference(black_scholes_merton, flag, S, K, t, r, sigma, q)


def rho(flag: Flag, S: Number, K: Number, t: Number, r: Number, sigma: Number, q: Number) -> Answer:
    """Half the difference of the prices at 1 % more and 1 % less rate."""
    return rho_difference(black_scholes_merton, flag, S, K, t, r, sigma, q)
