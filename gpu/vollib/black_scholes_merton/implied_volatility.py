"""Implied volatility in Merton's model. What raises and what has a status: ``gpu.vollib``."""

from gpu.vollib.rows import Answer, Flag, Number, discount_factor, forward_price, implied_value


def implied_volatility(
    price: Number, S: Number, K: Number, t: Number, r: Number, q: Number, flag: Flag, *, return_status: bool = False
) -> Answer:
    """Volatility at which :func:`gpu.vollib.black_scholes_merton.black_scholes_merton` gives this price.

    Raises ``PriceIsBelowIntrinsic``, ``PriceIsAboveMaximum`` or ``InvalidArgument`` for numbers; a row of an
    array is NaN instead. ``return_status=True`` gives (volatility, ``IvStatus``) and never raises. A price that
    is exactly intrinsic gives 0.
    """
    return implied_value(flag, price, forward_price(S, r, q, t), K, t, discount_factor(r, t), return_status)
