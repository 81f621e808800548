"""py_vollib's numerical Greeks: what a price changes by over stated steps. ``price`` is a model's price function."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu.vollib.rows import PER_DAY, Answer, Flag, Number, rights

Price = Callable[..., Any]

_STEP = 0.01  # in the underlying, and as 1 % in volatility and rate
_LAST_YEARS = 1e-5  # time left at the end of the last day


def _moved(x: Number, by: float) -> Answer:
    """X + by, a number for a number and an array for an array."""
    return np.add(x, by)


def _where(condition: Answer, value: Answer, otherwise: Answer) -> Answer:
    """As ``np.where``, a float for numbers."""
    chosen: Any = np.where(condition, value, otherwise)
    return float(chosen) if chosen.ndim == 0 else chosen


def delta_difference(price: Price, flag: Flag, under: Number, K: Number, t: Number, *rest: Number) -> Answer:
    """Per 1.00 of the underlying, over a step of 0.01 to either side; at expiry the slope of the payoff."""
    up, down = (price(flag, _moved(under, step), K, t, *rest) for step in (_STEP, -_STEP))
    right = rights(flag)
    at_expiry = right * (np.sign(np.multiply(right, np.subtract(under, K))) + 1.0) * 0.5
    return _where(np.equal(t, 0.0), at_expiry, (up - down) / (2.0 * _STEP))


def gamma_difference(price: Price, flag: Flag, under: Number, K: Number, t: Number, *rest: Number) -> Answer:
    """Second difference over a step of 0.01; at expiry nothing, or infinity at the strike."""
    up, here, down = (price(flag, _moved(under, step), K, t, *rest) for step in (_STEP, 0.0, -_STEP))
    at_expiry = np.where(np.equal(under, K), np.inf, 0.0)
    return _where(np.equal(t, 0.0), at_expiry, (up - 2.0 * here + down) / _STEP**2)


def theta_difference(price: Price, flag: Flag, under: Number, K: Number, t: Number, *rest: Number) -> Answer:
    """Price a day later less the price now."""
    later = _where(np.less_equal(t, PER_DAY), _LAST_YEARS, np.subtract(t, PER_DAY))
    return price(flag, under, K, later, *rest) - price(flag, under, K, t, *rest)


def vega_difference(
    price: Price, flag: Flag, under: Number, K: Number, t: Number, r: Number, sigma: Number, *rest: Number
) -> Answer:
    """Half of what 1 % more and 1 % less volatility make."""
    up, down = (price(flag, under, K, t, r, _moved(sigma, step), *rest) for step in (_STEP, -_STEP))
    return (up - down) / 2.0


def rho_difference(
    price: Price, flag: Flag, under: Number, K: Number, t: Number, r: Number, sigma: Number, *rest: Number
) -> Answer:
    """Half of what 1 % more and 1 % less rate make."""
    up, down = (price(flag, under, K, t, _moved(r, step), sigma, *rest) for step in (_STEP, -_STEP))
    return (up - down) / 2.0
