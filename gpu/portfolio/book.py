"""Positions in arrays: checked row by row, netted per series, ordered for the kernels.

A row that cannot be priced is not an error and is never dropped in silence: it is listed in ``bad``
with its status, and a grid answers NaN for its underlying and for the total, unless it is told to
leave such rows out (``skip_bad``).
"""

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.greeks import spot_status
from gpu.portfolio.scenarios import PortfolioError
from gpu.status import PriceStatus
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]
U1: TypeAlias = npt.NDArray[np.uint8]

BAD_INPUT = int(PriceStatus.BAD_INPUT)


class Series(NamedTuple):
    """Distinct contracts with what the book holds of them, ordered by underlying, style, expiry and right; all [m]."""

    underlying: I8
    american: npt.NDArray[np.bool_]
    years: F8
    rate: F8
    dividend_yield: F8
    right: F8  # +1.0 or -1.0
    vol: F8
    strike: F8
    smile_slope: F8
    weight: F8  # sum of quantity * multiplier


class Book:
    """Option positions, and shares, of one or several underlyings.

    Parameters
    ----------
    spot
        [u] (or one number): price of each underlying.
    strike, years, rate, dividend_yield, vol, right, quantity
        [n], or single numbers that hold for all: strike in the spot's currency, years to expiry (ACT/365),
        continuous rates per year, volatility per sqrt(year), right +1 call or -1 put, signed contracts.
    multiplier
        Units of the underlying per contract, [n] or one.
    underlying
        [n] or one: index into ``spot``.
    american
        [n] or one: may be exercised early.
    smile_slope
        [n] or one: d vol / d ln K of the position's smile, for ``Scenarios.stickiness``.
    shares
        [u] or one: units of the underlying itself held beside the options (hedges).

    Attributes
    ----------
    status
        uint8[n], ``PriceStatus``: OK, INTRINSIC (no time or volatility left) or BAD_INPUT.
    bad
        int64: rows with BAD_INPUT.
    series, starts
        What is left after netting; series of underlying u are starts[u]:starts[u + 1].
    series_of
        int64[n]: the series that a position was netted into; -1 if it is bad or came to nothing.

    Raises
    ------
    PortfolioError
        Shapes that do not fit, or an ``underlying`` that is no index into ``spot``.
    """

    def __init__(
        self, spot: Any, strike: Any, years: Any, rate: Any, dividend_yield: Any, vol: Any, right: Any, quantity: Any,
        *, multiplier: Any = 1.0, underlying: Any = 0, american: Any = False, smile_slope: Any = 0.0,
        shares: Any = 0.0,
    ) -> None:  # fmt: skip
        self.spot = np.atleast_1d(np.asarray(spot, np.float64))
        if self.spot.ndim != 1:
            raise PortfolioError(f"spot must be one number per underlying, has shape {self.spot.shape}")
        self.underlyings = len(self.spot)
        named = {
            "strike": strike, "years": years, "rate": rate, "dividend_yield": dividend_yield, "vol": vol,
            "right": right, "quantity": quantity, "multiplier": multiplier, "underlying": underlying,
            "american": american, "smile_slope": smile_slope,
        }  # fmt: skip
        columns = _columns(named)
        self.count = len(columns["strike"])
        owner = columns["underlying"].astype(np.int64)
        if np.any(owner != columns["underlying"]) or np.any((owner < 0) | (owner >= self.underlyings)):
            raise PortfolioError(f"underlying must be whole numbers, 0 to {self.underlyings - 1}: indices into spot")
        self.shares = _shares(shares, self.underlyings)
        weight = columns["quantity"] * columns["multiplier"]
        self.status = np.empty(self.count, np.uint8)
        row_statuses(
            self.spot[owner], columns["strike"], columns["years"], columns["rate"], columns["dividend_yield"],
            columns["vol"], columns["right"], weight + 0.0 * columns["smile_slope"], self.status,
        )  # fmt: skip
        self.bad: I8 = np.flatnonzero(self.status == PriceStatus.BAD_INPUT)
        good = self.status != PriceStatus.BAD_INPUT
        self.series, self.series_of = _net(good, Series(
            owner[good], columns["american"][good] != 0.0, columns["years"][good], columns["rate"][good],
            columns["dividend_yield"][good], columns["right"][good], columns["vol"][good], columns["strike"][good],
            columns["smile_slope"][good], weight[good],
        ))  # fmt: skip
        self.starts: I8 = np.searchsorted(self.series.underlying, np.arange(self.underlyings + 1)).astype(np.int64)
        #: bool[u]: holds a bad row or shares without a price.
        self.spoiled = np.zeros(self.underlyings, np.bool_)
        self.spoiled[owner[self.bad]] = True
        priced = (self.spot > 0.0) & np.isfinite(self.spot)
        self.spoiled |= ~np.isfinite(self.shares) | ((self.shares != 0.0) & ~priced)

    def statuses(self) -> dict[str, int]:
        """How many rows have which status, by name."""
        counts = np.bincount(self.status, minlength=len(PriceStatus))
        return {status.name: int(counts[status]) for status in PriceStatus if counts[status]}


def _columns(named: dict[str, Any]) -> dict[str, F8]:
    """All inputs as float64[n]."""
    arrays = {name: np.asarray(value, np.float64) for name, value in named.items()}
    sizes = {name: array.shape for name, array in arrays.items() if array.shape != ()}
    if len(set(sizes.values())) > 1 or any(len(shape) != 1 for shape in sizes.values()):
        shapes = ", ".join(f"{name} {shape}" for name, shape in sizes.items())
        raise PortfolioError(f"positions must be arrays of one length or single numbers, got {shapes}")
    shape = next(iter(sizes.values()), (1,))
    return {name: np.ascontiguousarray(np.broadcast_to(array, shape)) for name, array in arrays.items()}


def _shares(values: Any, count: int) -> F8:
    array = np.asarray(values, np.float64)
    if array.shape not in ((), (count,)):
        raise PortfolioError(f"shares must be one number or {count} (one per underlying), has shape {array.shape}")
    return np.ascontiguousarray(np.broadcast_to(array, (count,)))


@kernel
def row_statuses(spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: F8, weight: F8,
                 status: U1) -> None:  # fmt: skip
    """``PriceStatus`` of every row; one whose weight is not finite is BAD_INPUT too."""
    for i in range(spot.shape[0]):
        status[i] = spot_status(spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], right[i])
        if not abs(weight[i]) < math.inf:
            status[i] = BAD_INPUT


def _net(good: npt.NDArray[np.bool_], rows: Series) -> tuple[Series, I8]:
    """(equal contracts added up, those that came to nothing dropped, in order of the fields; series of each row)."""
    keys = rows[:-1]
    order = np.lexsort(keys[::-1])
    ordered = [column[order] for column in rows]
    new = np.ones(len(order), np.bool_)
    if len(order):
        new[1:] = np.any([column[1:] != column[:-1] for column in ordered[:-1]], axis=0)
    first = np.flatnonzero(new)
    weight = np.add.reduceat(ordered[-1], first) if len(first) else ordered[-1]
    held = weight != 0.0
    number = np.where(held, np.cumsum(held) - 1, -1)  # of each group of equal rows among those kept
    of = np.full(len(good), -1, np.int64)
    of[np.flatnonzero(good)[order]] = number[np.cumsum(new) - 1] if len(order) else 0
    kept: Any = [np.ascontiguousarray(column[first][held]) for column in ordered[:-1]]
    return Series(*[*kept, weight[held]]), of
