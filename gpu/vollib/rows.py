"""From flags, numbers and arrays to rows of the pricing kernels and back; the one place that knows both worlds.

Numbers take a short way through the scalar kernels (about a microsecond); anything else is broadcast
and goes through the wide ones.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.batch import forward_greeks_batch, forward_reduced_batch, spot_greeks_batch, spot_reduced_batch
from gpu.european.greeks import GREEK_COUNT, Greek, forward_greeks, spot_greeks, spot_status
from gpu.implied.batch import implied_vol_batch
from gpu.implied.black import IvStatus, implied_deviation
from gpu.status import PriceStatus
from gpu.vollib.helpers.exceptions import InvalidArgument, PriceIsAboveMaximum, PriceIsBelowIntrinsic
from market.calendar import DAYS_PER_YEAR

#: 'c' or 'p', or an array of them.
Flag: TypeAlias = str | npt.ArrayLike
#: A number, or an array.
Number: TypeAlias = npt.ArrayLike
#: A float where all arguments are numbers, else float64 of the broadcast shape; with ``return_status``
#: a pair of that and the status (an enum member, or uint8 of the same shape).
Answer: TypeAlias = Any

PER_CENT = 0.01
PER_DAY = 1.0 / DAYS_PER_YEAR

_MAX_EXPONENT = 709.0
_NUMBERS = (float, int, np.floating, np.integer)
_REDUCED = int(Greek.THETA) + 1  # rows of the kernels that stop at theta
_SIGNS = {"c": 1, "p": -1}


def sign(flag: str) -> int:
    """+1 of 'c', -1 of 'p'."""
    try:
        return _SIGNS[flag]
    except KeyError:
        raise InvalidArgument(f"flag must be 'c' for a call or 'p' for a put, was {flag!r}") from None


def rights(flag: Flag) -> npt.NDArray[np.int8]:
    """Right of each flag: +1, -1, or 0 for what is neither, whose rows then are BAD_INPUT."""
    if isinstance(flag, str):
        return np.array(sign(flag), np.int8)
    flags = np.asarray(flag)
    return (flags == "c").astype(np.int8) - (flags == "p").astype(np.int8)


def are_numbers(flag: Flag, *numbers: Number) -> bool:
    """Whether the call is about one option, given by plain numbers."""
    return isinstance(flag, str) and all(isinstance(x, _NUMBERS) for x in numbers)


def _full(x: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """``x`` as [n] of its own: the array itself where it lies as the kernels want it, else a copy."""
    if x.shape != shape or not (x.flags.c_contiguous and x.flags.writeable):
        x = np.array(np.broadcast_to(x, shape))
    return x.reshape(-1)


def columns(flag: Flag, *numbers: Number) -> tuple[tuple[int, ...], npt.NDArray[np.int8], list[npt.NDArray[Any]]]:
    """(broadcast shape, rights [n], each number as float64 [n])."""
    right, given = rights(flag), [np.asarray(x, np.float64) for x in numbers]
    shape = np.broadcast_shapes(right.shape, *(x.shape for x in given))
    return shape, _full(right, shape), [_full(x, shape) for x in given]


def shaped(values: npt.NDArray[Any], status: npt.NDArray[np.uint8], shape: tuple[int, ...], pair: bool) -> Answer:
    """The answer in the shape of the question."""
    answer = values.reshape(shape) if shape else float(values[0])
    return (answer, status.reshape(shape)) if pair else answer


def spot_value(
    row: int, unit: float, flag: Flag, spot: Number, strike: Number, years: Number, rate: Number,
    dividend_yield: Number, vol: Number, return_status: bool,
) -> Answer:  # fmt: skip
    """Row ``row`` of ``Greek`` in the spot model, times ``unit``."""
    if are_numbers(flag, spot, strike, years, rate, dividend_yield, vol):
        option: Any = (spot, strike, years, rate, dividend_yield, vol, sign(str(flag)))
        s, k, t, r, q, v, w = map(float, option)
        value = spot_greeks(s, k, t, r, q, v, w)[row] * unit
        return (value, PriceStatus(spot_status(s, k, t, r, q, v, w))) if return_status else value
    shape, right, (ss, ks, ts, rs, qs, vs) = columns(flag, spot, strike, years, rate, dividend_yield, vol)
    status = np.empty(right.size, np.uint8)
    out = np.empty((_REDUCED if row < _REDUCED else GREEK_COUNT, right.size))
    batch = spot_reduced_batch if row < _REDUCED else spot_greeks_batch
    batch(ss, ks, ts, rs, qs, vs, right.astype(np.float64), out, status)
    return shaped(out[row] * unit, status, shape, return_status)


def forward_value(
    row: int, unit: float, flag: Flag, forward: Number, strike: Number, years: Number, rate: Number, vol: Number,
    return_status: bool,
) -> Answer:  # fmt: skip
    """Row ``row`` of ``Greek`` in Black-76, times ``unit``."""
    if are_numbers(flag, forward, strike, years, rate, vol):
        option: Any = (forward, strike, years, rate, vol, sign(str(flag)))
        f, k, t, r, v, w = map(float, option)
        value = forward_greeks(f, k, t, r, v, w)[row] * unit
        return (value, PriceStatus(spot_status(f, k, t, r, r, v, w))) if return_status else value
    shape, right, (fs, ks, ts, rs, vs) = columns(flag, forward, strike, years, rate, vol)
    status = np.empty(right.size, np.uint8)
    out = np.empty((_REDUCED if row < _REDUCED else GREEK_COUNT, right.size))
    batch = forward_reduced_batch if row < _REDUCED else forward_greeks_batch
    batch(fs, ks, ts, rs, vs, right.astype(np.float64), out, status)
    return shaped(out[row] * unit, status, shape, return_status)


def _one_implied(price: float, forward: float, strike: float, years: float, discount: float, right: int) -> Answer:
    """(volatility, IvStatus) of one option; exactly intrinsic is volatility 0, as py_vollib has it."""
    if not (0.0 < years < np.inf and 0.0 < discount < np.inf):
        return np.nan, IvStatus.BAD_INPUT
    deviation, code = implied_deviation(price / discount, forward, strike, right)
    status = IvStatus(code)
    return (0.0 if status is IvStatus.NO_TIME_VALUE else deviation / years**0.5), status


def _refuse(status: IvStatus, price: float, forward: float, strike: float, discount: float, right: int) -> None:
    """Raise what py_vollib would for a price without a volatility."""
    low, high = max(right * (forward - strike), 0.0) * discount, (forward if right > 0 else strike) * discount
    if status is IvStatus.NO_VEGA:
        nearer = PriceIsBelowIntrinsic if price - low < high - price else PriceIsAboveMaximum
        raise nearer(
            f"price {price!r} is within rounding of a bound ({low!r} .. {high!r}): it holds no digit of the "
            "volatility; give the price of the option out of the money, or return_status=True"
        )
    if status is IvStatus.BELOW_INTRINSIC:
        raise PriceIsBelowIntrinsic(f"price {price!r} is below the discounted intrinsic value {low!r}")
    if status is IvStatus.ABOVE_MAXIMUM:
        raise PriceIsAboveMaximum(f"price {price!r} is not below the discounted maximum {high!r}")
    if status is IvStatus.BAD_INPUT:
        raise InvalidArgument(
            f"forward {forward!r}, strike {strike!r}, discount factor {discount!r} and time must be positive and "
            f"finite, and price {price!r} finite"
        )


def implied_value(
    flag: Flag, price: Number, forward: Number, strike: Number, years: Number, discount: Number, return_status: bool
) -> Answer:
    """Implied volatility of a discounted price: raises for one option, NaN and status for rows of arrays."""
    if are_numbers(flag, price, forward, strike, years, discount):
        option: Any = (price, forward, strike, years, discount)
        p, f, k, t, d = map(float, option)
        vol, status = _one_implied(p, f, k, t, d, sign(str(flag)))
        if return_status:
            return vol, status
        _refuse(status, p, f, k, d, sign(str(flag)))
        return vol
    shape, right, (ps, fs, ks, ts, ds) = columns(flag, price, forward, strike, years, discount)
    out, codes = np.empty(right.size), np.empty(right.size, np.uint8)
    implied_vol_batch(ps, fs, ks, ts, ds, right, out, codes)
    out[codes == IvStatus.NO_TIME_VALUE] = 0.0
    return shaped(out, codes, shape, return_status)


def growth(rate: Number, years: Number) -> Answer:
    """Growth exp(rate * years), a number for numbers; silent about what makes no sense: the kernels refuse that."""
    if isinstance(rate, _NUMBERS) and isinstance(years, _NUMBERS):
        exponent = float(rate) * float(years)
        return math.exp(exponent) if exponent < _MAX_EXPONENT else math.inf + exponent
    with np.errstate(all="ignore"):
        return np.exp(np.multiply(rate, years))


def discount_factor(rate: Number, years: Number) -> Answer:
    """Discount factor exp(-rate * years)."""
    return growth(-float(rate) if isinstance(rate, _NUMBERS) else np.negative(rate), years)


def forward_price(spot: Number, rate: Number, dividend_yield: Number, years: Number) -> Answer:
    """Spot * exp((rate - dividend_yield) * years)."""
    if are_numbers("c", spot, rate, dividend_yield, years):
        at: Any = (spot, rate, dividend_yield)
        s, r, q = map(float, at)
        return s * growth(r - q, years)
    with np.errstate(all="ignore"):
        return np.multiply(spot, growth(np.subtract(rate, dividend_yield), years))
