"""Arrays in, arrays out: the package's functions for users, also as ``gpu.price``, ``gpu.greeks`` and so on.

Every argument is a number or an array; they are broadcast against each other, and results have the
broadcast shape (``*shape`` below). A row that makes no sense gets NaN and a status, never an exception,
never a warning, and never touches another row. What raises is a call that makes no sense: shapes
that do not broadcast, an ``out`` that cannot hold the answer (``ShapeError``).

Units: prices, spots, forwards and strikes in one currency; ``years`` ACT/365; ``rate`` and
``dividend_yield`` continuous per year; volatility per sqrt(year) (Bachelier: currency per sqrt(year));
``right`` +1 call, -1 put; Greeks per 1.00 of spot, per 1.00 of volatility, per year, theta, charm, veta
and colour as -d/dT. float64 arrays in memory order of full size are used where they lie.

Thread-safe: nothing here keeps state. The first call of a function loads or compiles its kernel.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.batch import american_greeks as american_greeks_batch
from gpu.american.batch import american_prices
from gpu.american.implied import american_implied_vol as american_implied_vol_batch
from gpu.american.put import AMERICAN_ROWS
from gpu.errors import GpuError
from gpu.european.bachelier import bachelier_greeks_batch, bachelier_reduced_batch
from gpu.european.batch import forward_greeks_batch, forward_reduced_batch, spot_greeks_batch, spot_reduced_batch
from gpu.european.greeks import GREEK_COUNT, Greek, spot_greeks, spot_status
from gpu.implied.bachelier import bachelier_implied_vol_batch
from gpu.implied.batch import implied_vol_batch, implied_vol_warm
from gpu.implied.black import IvStatus
from gpu.portfolio.book import Book
from gpu.portfolio.grid import GridResult, portfolio_grid
from gpu.portfolio.scenarios import PortfolioError, Scenarios
from gpu.status import PriceStatus
from gpu.surface.calibrate import SurfaceReport
from gpu.surface.calibrate import fit_surface as surface_of_chain
from gpu.surface.forwards.parity import ParityCurve, parity_curve
from gpu.surface.layout import SurfaceChain
from gpu.surface.surface import Surface

F8: TypeAlias = npt.NDArray[np.float64]
U1: TypeAlias = npt.NDArray[np.uint8]
ArrayLike: TypeAlias = npt.ArrayLike

_REDUCED = 5  # rows of the kernels that stop at theta
_STATUSES = tuple(PriceStatus)

__all__ = [
    "AmericanGreeks", "Book", "Greek", "Greeks", "GridResult", "ImpliedVols", "IvStatus", "OptionGreeks",
    "PortfolioError", "PriceStatus", "Prices", "Scenarios", "ShapeError",
    "american_greeks", "american_implied_vol", "american_price", "bachelier_greeks", "bachelier_implied_vol",
    "bachelier_price", "black76_greeks", "black76_implied_vol", "black76_price", "fit_surface", "forward_from_parity",
    "greeks", "implied_vol", "option", "portfolio_grid", "price",
]  # fmt: skip


class ShapeError(GpuError):
    """Arguments that do not broadcast, or an ``out`` of another shape, type or memory order."""


class Prices(NamedTuple):
    """Values of options."""

    price: F8  # [*shape], NaN where the status is BAD_INPUT
    status: U1  # [*shape] PriceStatus


class Greeks(NamedTuple):
    """Price and thirteen Greeks; each [*shape], views of ``values``. NaN where the status is BAD_INPUT."""

    price: F8
    delta: F8
    gamma: F8
    vega: F8
    theta: F8
    rho: F8
    vanna: F8
    volga: F8
    charm: F8
    veta: F8
    speed: F8
    zomma: F8
    colour: F8
    ultima: F8
    status: U1  # [*shape] PriceStatus
    values: F8  # [14, *shape], rows in the order of Greek


class AmericanGreeks(NamedTuple):
    """Price, all first- and second-order Greeks of American options, and dividend_rho = dV/d(dividend yield)."""

    price: F8
    delta: F8
    gamma: F8
    vega: F8
    theta: F8
    rho: F8
    vanna: F8
    volga: F8
    charm: F8
    veta: F8
    dividend_rho: F8
    status: U1  # [*shape] PriceStatus
    values: F8  # [11, *shape]


class ImpliedVols(NamedTuple):
    """Volatilities that prices stand for."""

    vol: F8  # [*shape], NaN where the status is not OK
    status: U1  # [*shape] IvStatus (for American prices and others: the same codes)


class OptionGreeks(NamedTuple):
    """One option, as plain numbers."""

    price: float
    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float
    vanna: float
    volga: float
    charm: float
    veta: float
    speed: float
    zomma: float
    colour: float
    ultima: float
    status: PriceStatus


def _columns(out: F8 | None, **named: Any) -> tuple[tuple[int, ...], list[Any]]:
    """(shape, each argument as contiguous float64[n] apart from ``out``)."""
    try:
        arrays = [np.asarray(value, np.float64) for value in named.values()]
    except (TypeError, ValueError) as error:
        shown = ", ".join(name for name, value in named.items() if np.asarray(value).dtype.kind not in "fiub")
        raise ShapeError(f"{shown} must be numbers or arrays of numbers ({error}); right is +1 or -1") from error
    shape: tuple[int, ...] = ()
    for array in arrays:
        if array.shape not in ((), shape):
            if shape != ():
                shape = _broadcast(named, arrays)
                break
            shape = array.shape
    return shape, [_flat(array, shape, out) for array in arrays]


def _broadcast(named: dict[str, Any], arrays: list[F8]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(named, arrays, strict=True))
        raise ShapeError(f"arguments must broadcast against each other, got {shapes}") from None


def _flat(array: F8, shape: tuple[int, ...], out: F8 | None) -> F8:
    if array.shape == ():
        return np.full(math.prod(shape), array[()])
    if array.shape != shape:
        array = np.broadcast_to(array, shape)
    if out is not None and np.may_share_memory(array, out):  # kernels take it that no output lies in an input
        array = array.copy()
    return np.ascontiguousarray(array).reshape(-1)


def _sound_right(first: F8, right: F8) -> F8:
    """``first`` with NaN where ``right`` is neither +1 nor -1; never in place."""
    wrong = np.abs(right) != 1.0
    return np.where(wrong, np.nan, first) if wrong.any() else first


def _room(out: Any, rows: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """(array handed back, the same as [rows, n]); ``rows`` 0: no row axis."""
    wanted = (rows, *shape) if rows else shape
    if out is None:
        out = np.empty(wanted)
    elif not (isinstance(out, np.ndarray) and out.dtype == np.float64 and out.shape == wanted):
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ShapeError(f"out must be a float64 array of shape {wanted}, got {got}")
    elif not (out.flags.c_contiguous and out.flags.writeable):
        raise ShapeError("out must be writeable and contiguous in C order: np.empty(shape) makes one")
    return out, out.reshape((rows or 1, -1))


def _signs(right: F8) -> npt.NDArray[np.int8]:
    return np.where(right > 0.0, 1, -1).astype(np.int8)


# European options


def price(
    spot: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike,
    dividend_yield: ArrayLike = 0.0, *, out: F8 | None = None,
) -> Prices:  # fmt: skip
    """Black-Scholes-Merton value of options on a spot with a continuous yield.

    ``out``: float64[*shape] to fill. No time or no volatility left: the discounted intrinsic value,
    status INTRINSIC. Error: about 1e-13 relative, in the far tails too (docs/numerics/european.md).
    """
    shape, columns = _columns(
        out, spot=spot, strike=strike, years=years, rate=rate, dividend_yield=dividend_yield, vol=vol, right=right
    )
    return _first_row(spot_reduced_batch, columns, shape, out)


def greeks(
    spot: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike,
    dividend_yield: ArrayLike = 0.0, *, out: F8 | None = None,
) -> Greeks:  # fmt: skip
    """Black-Scholes-Merton price and thirteen Greeks; ``out``: float64[14, *shape] to fill (rows: ``Greek``)."""
    shape, columns = _columns(
        out, spot=spot, strike=strike, years=years, rate=rate, dividend_yield=dividend_yield, vol=vol, right=right
    )
    return _all_rows(spot_greeks_batch, columns, shape, out)


def black76_price(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike, *,
    out: F8 | None = None,
) -> Prices:  # fmt: skip
    """Black-76 value of options on a forward or a future, discounted at ``rate``; as :func:`price`."""
    shape, columns = _columns(out, forward=forward, strike=strike, years=years, rate=rate, vol=vol, right=right)
    return _first_row(forward_reduced_batch, columns, shape, out)


def black76_greeks(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike, *,
    out: F8 | None = None,
) -> Greeks:  # fmt: skip
    """Black-76 price and thirteen Greeks, per 1.00 of the forward, which stays fixed in time and rate."""
    shape, columns = _columns(out, forward=forward, strike=strike, years=years, rate=rate, vol=vol, right=right)
    return _all_rows(forward_greeks_batch, columns, shape, out)


def bachelier_price(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike, *,
    out: F8 | None = None,
) -> Prices:  # fmt: skip
    """Bachelier (normal) value; forward and strike of any sign, ``vol`` in currency per sqrt(year)."""
    shape, columns = _columns(out, forward=forward, strike=strike, years=years, rate=rate, vol=vol, right=right)
    return _first_row(bachelier_reduced_batch, columns, shape, out)


def bachelier_greeks(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike, *,
    out: F8 | None = None,
) -> Greeks:  # fmt: skip
    """Bachelier (normal) price and thirteen Greeks, per 1.00 of the forward and per 1.00 of its volatility."""
    shape, columns = _columns(out, forward=forward, strike=strike, years=years, rate=rate, vol=vol, right=right)
    return _all_rows(bachelier_greeks_batch, columns, shape, out)


def option(
    spot: float, strike: float, years: float, rate: float, vol: float, right: int, dividend_yield: float = 0.0
) -> OptionGreeks:
    """One option on a spot, numbers in and numbers out; as :func:`greeks`, without arrays (about two microseconds)."""
    try:
        numbers: Any = tuple(float(x) for x in (spot, strike, years, rate, dividend_yield, vol, right))
    except (TypeError, ValueError) as error:
        raise ShapeError(f"option() takes single numbers ({error}); greeks() takes arrays") from error
    sign = int(numbers[6]) if numbers[6] in (1.0, -1.0) else 0
    first = numbers[:6]
    row: list[Any] = [*spot_greeks(*[*first, sign]), _STATUSES[spot_status(*[*first, float(sign)])]]
    return OptionGreeks(*row)


def _all_rows(kernel: Any, columns: list[Any], shape: tuple[int, ...], out: F8 | None) -> Greeks:
    table, flat = _room(out, GREEK_COUNT, shape)
    status = np.empty(flat.shape[1], np.uint8)
    kernel(*columns, flat, status)
    return Greeks(*[*table, status.reshape(shape), table])


def _first_row(kernel: Any, columns: list[Any], shape: tuple[int, ...], out: F8 | None) -> Prices:
    n = len(columns[0])
    table, status = np.empty((_REDUCED, n)), np.empty(n, np.uint8)
    kernel(*columns, table, status)
    answer, flat = _room(out, 0, shape)
    flat[0] = table[0]
    return Prices(answer, status.reshape(shape))


# Implied volatility


def implied_vol(
    price: ArrayLike, spot: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, right: ArrayLike,
    dividend_yield: ArrayLike = 0.0, *, start: ArrayLike | None = None, out: F8 | None = None,
) -> ImpliedVols:  # fmt: skip
    """Black-Scholes-Merton volatility of discounted prices; ``out``: float64[*shape] to fill.

    ``start`` is what it was a moment ago, for speed alone: any number gives the same answer. Prefer
    the price of the option out of the money, which is all time value. Error: <= 3 eps F / vega, what
    the price's own last digit allows.
    """
    shape, columns = _columns(
        out, price=price, spot=spot, strike=strike, years=years, rate=rate, right=right, dividend_yield=dividend_yield
    )
    paid, at, strikes, time, rates, rights, carry = columns
    with np.errstate(all="ignore"):
        forward, discount = at * np.exp((rates - carry) * time), np.exp(-rates * time)
    return _implied(_sound_right(paid, rights), forward, strikes, time, discount, rights, shape, start, out)


def black76_implied_vol(
    price: ArrayLike, forward: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, right: ArrayLike, *,
    start: ArrayLike | None = None, out: F8 | None = None,
) -> ImpliedVols:  # fmt: skip
    """Black-76 volatility of discounted prices of options on a forward or a future; as :func:`implied_vol`."""
    shape, columns = _columns(out, price=price, forward=forward, strike=strike, years=years, rate=rate, right=right)
    paid, at, strikes, time, rates, rights = columns
    with np.errstate(all="ignore"):
        discount = np.exp(-rates * time)
    return _implied(_sound_right(paid, rights), at, strikes, time, discount, rights, shape, start, out)


def bachelier_implied_vol(
    price: ArrayLike, forward: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, right: ArrayLike, *,
    out: F8 | None = None,
) -> ImpliedVols:  # fmt: skip
    """Bachelier (normal) volatility [currency per sqrt(year)] of discounted prices; as :func:`implied_vol`."""
    shape, columns = _columns(out, price=price, forward=forward, strike=strike, years=years, rate=rate, right=right)
    paid, at, strikes, time, rates, rights = columns
    with np.errstate(all="ignore"):
        discount = np.exp(-rates * time)
    vol, flat = _room(out, 0, shape)
    status = np.empty(flat.shape[1], np.uint8)
    bachelier_implied_vol_batch(
        _sound_right(paid, rights), at, strikes, time, discount, _signs(rights), flat[0], status
    )
    return ImpliedVols(vol, status.reshape(shape))


def _implied(
    price: F8, forward: F8, strike: F8, years: F8, discount: F8, right: F8, shape: tuple[int, ...],
    start: ArrayLike | None, out: F8 | None,
) -> ImpliedVols:  # fmt: skip
    vol, flat = _room(out, 0, shape)
    status = np.empty(flat.shape[1], np.uint8)
    signs = _signs(right)
    if start is None:
        implied_vol_batch(price, forward, strike, years, discount, signs, flat[0], status)
    else:
        last = _start(start, shape)
        implied_vol_warm(price, forward, strike, years, discount, signs, last, flat[0], status)
    return ImpliedVols(vol, status.reshape(shape))


def _start(start: ArrayLike, shape: tuple[int, ...]) -> F8:
    """The volatilities to start from, [n]; a copy, since they may lie in ``out``."""
    last = np.asarray(start, np.float64)
    if last.shape not in ((), shape):
        raise ShapeError(f"start must be one number or have the shape of the answer, {shape}, has {last.shape}")
    return np.array(np.broadcast_to(last, shape)).reshape(-1)


# American options


def american_price(
    spot: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike,
    dividend_yield: ArrayLike = 0.0, *, out: F8 | None = None,
) -> Prices:  # fmt: skip
    """Value of American options on a spot with a continuous yield; ``out``: float64[*shape] to fill.

    Error: docs/numerics/american.md. Rows with equal years, rate, yield, volatility and right share one
    exercise boundary, which is nearly all of the work.
    """
    shape, columns = _columns(
        out, spot=spot, strike=strike, years=years, rate=rate, dividend_yield=dividend_yield, vol=vol, right=right
    )
    order, ordered = _by_boundary(columns)
    prices, statuses = np.empty(len(order)), np.empty(len(order), np.uint8)
    american_prices(*[*ordered, _signs(columns[6])[order], prices, statuses])
    answer, flat = _room(out, 0, shape)
    status = np.empty(len(order), np.uint8)
    flat[0, order], status[order] = prices, statuses
    return Prices(answer, status.reshape(shape))


def american_greeks(
    spot: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, vol: ArrayLike, right: ArrayLike,
    dividend_yield: ArrayLike = 0.0, *, out: F8 | None = None,
) -> AmericanGreeks:  # fmt: skip
    """Price and all first- and second-order Greeks of American options; ``out``: float64[11, *shape] to fill."""
    shape, columns = _columns(
        out, spot=spot, strike=strike, years=years, rate=rate, dividend_yield=dividend_yield, vol=vol, right=right
    )
    order, ordered = _by_boundary(columns)
    values, statuses = np.empty((AMERICAN_ROWS, len(order))), np.empty(len(order), np.uint8)
    american_greeks_batch(*[*ordered, _signs(columns[6])[order], values, statuses])
    table, flat = _room(out, AMERICAN_ROWS, shape)
    status = np.empty(len(order), np.uint8)
    flat[:, order], status[order] = values, statuses
    return AmericanGreeks(*[*table, status.reshape(shape), table])


def american_implied_vol(
    price: ArrayLike, spot: ArrayLike, strike: ArrayLike, years: ArrayLike, rate: ArrayLike, right: ArrayLike,
    dividend_yield: ArrayLike = 0.0, *, start: ArrayLike | None = None, out: F8 | None = None,
) -> ImpliedVols:  # fmt: skip
    """Volatility of American prices, early exercise included; as :func:`implied_vol`.

    NO_TIME_VALUE: the price is that of exercise at once, which every small volatility gives.
    """
    shape, columns = _columns(
        out, price=price, spot=spot, strike=strike, years=years, rate=rate, dividend_yield=dividend_yield, right=right
    )
    vol, flat = _room(out, 0, shape)
    status = np.empty(flat.shape[1], np.uint8)
    guess = None if start is None else _start(start, shape)
    paid = _sound_right(columns[0], columns[6])
    american_implied_vol_batch(*[paid, *columns[1:6], _signs(columns[6]), flat[0], status, guess])
    return ImpliedVols(vol, status.reshape(shape))


def _by_boundary(columns: list[Any]) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """(order, first six columns in it): rows that share an exercise boundary next to each other."""
    order = np.lexsort(columns[2:])
    spot, *rest = (column[order] for column in columns[:6])
    return order, [_sound_right(spot, columns[6][order]), *rest]


# Forwards and surfaces


def forward_from_parity(
    strike: ArrayLike, years: ArrayLike, right: ArrayLike, bid: ArrayLike, ask: ArrayLike, spot: float,
    rate: ArrayLike = 0.0, *, american: bool = False, cash_dividends: ArrayLike = 0.0,
) -> ParityCurve:  # fmt: skip
    """Forward, discount, implied dividends and borrow of every expiry of a chain from put-call parity.

    Parameters
    ----------
    strike, years, right, bid, ask
        [n], one row per contract in any order; equal ``years`` are one expiry; NaN is no quote.
    spot
        Price of the underlying.
    rate
        What the discount is expected to be, per year; one number or one per expiry. European quotes
        correct it as far as they can, American ones cannot.
    american
        The style of the quotes.
    cash_dividends
        Known present value of cash dividends until each expiry, one number or one per expiry.

    Returns
    -------
    ParityCurve
        Arrays [expiries] in order of time, with standard errors and a ``ForwardStatus`` each.
    """
    chain = SurfaceChain(strike, years, right, american)
    return parity_curve(chain, bid, ask, float(spot), rate, cash_dividends)


def fit_surface(
    strike: ArrayLike, years: ArrayLike, right: ArrayLike, bid: ArrayLike, ask: ArrayLike, spot: float,
    rate: ArrayLike = 0.0, *, american: bool = False,
) -> tuple[Surface, SurfaceReport]:  # fmt: skip
    """Arbitrage-free volatility surface of a chain's quotes, and how well it fits; arguments as above.

    For a chain that is fitted again and again keep a ``gpu.surface.calibrate.SurfaceFitter``: its refit
    starts from the last state.
    """
    return surface_of_chain(strike, years, right, bid, ask, float(spot), rate, american)
