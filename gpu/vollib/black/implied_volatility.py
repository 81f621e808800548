"""Implied volatility in Black's model. What raises and what has a status: ``gpu.vollib``."""

import numpy as np

from gpu.vollib.rows import Answer, Flag, Number, discount_factor, implied_value


def implied_volatility_of_discounted_option_price(
    discounted_option_price: Number, F: Number, K: Number, r: Number, t: Number, flag: Flag,
    *, return_status: bool = False,
) -> Answer:  # fmt: skip
    """Volatility at which :func:`gpu.vollib.black.black` gives this price. Mind the order: rate before time.

    Parameters
    ----------
    discounted_option_price : float or array
        In the currency of ``F`` and ``K``. An option out of the money tells most.
    F, K, r, t, flag
        As for the price.
    return_status : bool
        Give (volatility, ``IvStatus``) and never raise.

    Raises
    ------
    PriceIsBelowIntrinsic, PriceIsAboveMaximum, InvalidArgument
        For numbers; a row of an array is NaN instead. A price that is exactly intrinsic gives 0.
    """
    return implied_value(flag, discounted_option_price, F, K, t, discount_factor(r, t), return_status)


implied_volatility = implied_volatility_of_discounted_option_price


def implied_volatility_of_undiscounted_option_price(
    undiscounted_option_price: Number, F: Number, K: Number, t: Number, flag: Flag, *, return_status: bool = False
) -> Answer:
    """As :func:`implied_volatility`, of a price paid at expiry."""
    return implied_value(flag, undiscounted_option_price, F, K, t, 1.0, return_status)


def implied_volatility_of_undiscounted_option_price_limited_iterations(
    undiscounted_option_price: Number, F: Number, K: Number, t: Number, flag: Flag, N: int,
    *, return_status: bool = False,
) -> Answer:  # fmt: skip
    """As :func:`implied_volatility_of_undiscounted_option_price`; ``N`` is ignored, there is nothing to iterate."""
    return implied_value(flag, undiscounted_option_price, F, K, t, 1.0, return_status)


def normalised_implied_volatility(beta: Number, x: Number, flag: Flag, *, return_status: bool = False) -> Answer:
    """Deviation sigma * sqrt(t) from ``beta`` = undiscounted price over sqrt(F * K) and ``x`` = ln(F/K)."""
    half = np.multiply(x, 0.5)
    return implied_value(flag, beta, np.exp(half), np.exp(-half), 1.0, 1.0, return_status)


def normalised_implied_volatility_limited_iterations(
    beta: Number, x: Number, flag: Flag, N: int, *, return_status: bool = False
) -> Answer:
    """As :func:`normalised_implied_volatility`; ``N`` is ignored."""
    return normalised_implied_volatility(beta, x, flag, return_status=return_status)
