"""The grid: what a book gains or loses in every cell, and its Greeks where it stands.

Every series is revalued in every cell in closed form (``value.py``). An American series has the
premium of early exercise added, which is interpolated (``american.py``) and carries a bound on its
error, measured in the same run on points kept apart.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.batch import american_greeks, american_prices
from gpu.american.put import AMERICAN_ROWS
from gpu.european.batch import spot_greeks_batch
from gpu.european.greeks import GREEK_COUNT, Greek
from gpu.portfolio import american, premium, value
from gpu.portfolio.book import Book
from gpu.portfolio.scenarios import Scenarios
from gpu.status import PriceStatus
from market.calendar import DAYS_PER_YEAR

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]

#: Volatility below which the tables of early exercise do not go; American series are taken not below it.
MIN_AMERICAN_VOL = 1e-3
_SECOND_ORDER = int(Greek.SPEED)  # rows that American kernels share with ``Greek``


class GridResult(NamedTuple):
    """Answer of :func:`portfolio_grid`, money in the spots' currency; [u] underlyings, d days, s spots, v vols."""

    pnl: F8  # [d, s, v] gain of the whole book against its value now
    by_underlying: F8  # [u, d, s, v]
    value: F8  # [u] value now, shares included
    greeks: F8  # [14, u] sums of quantity * multiplier * Greek, shares included; NaN: not asked for, or third orders
    # of an underlying with American series
    status: npt.NDArray[np.uint8]  # [n] PriceStatus of every position
    bad: I8  # rows that are BAD_INPUT or NOT_CONVERGED
    skipped: bool  # bad rows were left out; else their underlyings and the total are NaN
    error_bound: F8  # [u] bound on |error| of a cell's gain from interpolating early exercise; 0 for European books
    series: int  # distinct contracts after netting


class _Day:
    """A book after some days: what no cell of that day changes, and the tables of early exercise."""

    def __init__(self, book: Book, scenarios: Scenarios, day: float, tolerance: float) -> None:
        self._book = book
        self._sticky = scenarios.stickiness != 0.0
        self.rows = day_rows(book, scenarios, day)
        s = book.series
        left = np.maximum(s.years - day / DAYS_PER_YEAR, 0.0)
        flipped = s.right > 0.0  # a call is a put with rate and yield exchanged
        rate, carry = np.where(flipped, s.dividend_yield, s.rate), np.where(flipped, s.rate, s.dividend_yield)
        early, tabled = american.exercised_early(left, rate, carry)
        use, full = s.american & tabled, s.american & early & ~tabled
        self._european = _runs(np.stack((s.underlying, use, full)), ~use & ~full)
        self._american = _runs(np.stack((s.underlying, use, left, rate, carry, flipped)), use)
        self._tables, self._group = self._fit(scenarios, np.stack((left, rate, carry)), tolerance)
        for a, b, g in zip(*self._american, self._group, strict=True):
            full[a:b] = not np.isfinite(self._tables.error[g])
        self._left, self._full = left, np.flatnonzero(full)
        self._now = self._full_values(np.zeros((book.underlyings, 1)), np.zeros(1))
        self._shocked = self._full_values(scenarios.log_moves(book.underlyings), scenarios.axes()[1])
        #: bool[m]: series that even the full valuation does not price.
        self.missing = np.zeros(len(s.strike), np.bool_)
        self.missing[self._full] = ~np.isfinite(self._shocked).all(axis=(1, 2)) | ~np.isfinite(self._now[:, 0, 0])
        highest = np.exp(np.maximum(scenarios.log_moves(book.underlyings).max(axis=1), 0.0))[s.underlying]
        self._scale = np.where(s.right > 0.0, self.rows[value.SPOT] * highest, s.strike)

    def _fit(self, scenarios: Scenarios, keys: F8, tolerance: float) -> tuple[american.PremiumTables, I8]:
        """(tables, table of each American run)."""
        first, last = self._american
        moves = scenarios.log_moves(self._book.underlyings)[self._book.series.underlying]
        low, high = american.volatility_range(self.rows, moves.min(axis=1), moves.max(axis=1), scenarios.axes()[1])
        named: Any
        named, group = np.unique(keys[:, first], axis=1, return_inverse=True)
        group = group.reshape(-1).astype(np.int64)
        lowest, highest = np.full(named.shape[1], np.inf), np.zeros(named.shape[1])
        for run, (a, b) in enumerate(zip(first, last, strict=True)):
            lowest[group[run]] = min(lowest[group[run]], low[a:b].min())
            highest[group[run]] = max(highest[group[run]], high[a:b].max())
        return american.fit_tables(american.Groups(*[*named, np.log(lowest), np.log(highest)]), tolerance), group

    def _full_values(self, log_moves: F8, vol_shocks: F8) -> F8:
        """Full American values of the series without a table, in every cell [k, s, v]; NaN where there is none."""
        s, k = self._book.series, self._full
        move = log_moves[s.underlying[k]][:, :, None]
        rows = self.rows[:, k, None, None]
        vol = rows[value.VOL] + rows[value.SHIFT] * vol_shocks - rows[value.SLOPE] * move
        vol = np.maximum(vol, rows[value.FLOOR])
        numbers = (rows[value.SPOT] * np.exp(move), *(c[k][:, None, None] for c in (
            s.strike, self._left, s.rate, s.dividend_yield)), vol)  # fmt: skip
        columns: list[Any] = [np.ascontiguousarray(np.broadcast_to(x, vol.shape)).reshape(-1) for x in numbers]
        right = np.broadcast_to(s.right[k][:, None, None], vol.shape).astype(np.int8).reshape(-1)
        out, status = np.empty(vol.size), np.empty(vol.size, np.uint8)
        if vol.size:
            american_prices(*[*columns, right, out, status])
        return out.reshape(vol.shape)

    def leave_out(self, missing: npt.NDArray[np.bool_]) -> None:
        """Hold nothing of these series."""
        self.rows[value.WEIGHT, missing] = 0.0
        for values in (self._now, self._shocked):
            values[missing[self._full]] = 0.0

    def bound(self) -> F8:
        """Bound on the error of each underlying's value in any cell [u]."""
        bound = np.zeros(self._book.underlyings)
        for a, b, g in zip(*self._american, self._group, strict=True):
            if np.isfinite(self._tables.error[g]):
                held = np.abs(self.rows[value.WEIGHT, a:b]) @ self._scale[a:b]
                bound[self._book.series.underlying[a]] += held * self._tables.error[g]
        return bound

    def value_now(self) -> F8:
        """Value of the options of each underlying without any shock [u]."""
        return self._sum(np.zeros((self._book.underlyings, 1)), np.zeros(1), self._now)[:, 0, 0]

    def cells(self, log_moves: F8, vol_shocks: F8) -> F8:
        """Value of the options of each underlying in every cell [u, s, v]; the scenarios' own shocks."""
        return self._sum(log_moves, vol_shocks, self._shocked)

    def _sum(self, log_moves: F8, vol_shocks: F8, full: F8) -> F8:
        out = np.zeros((len(log_moves), log_moves.shape[1], len(vol_shocks)))
        owner = self._book.series.underlying
        first, last = self._european
        scratch = np.empty((3, value.BLOCK))
        value.revalue(self.rows, owner[first], first, last, log_moves, vol_shocks, self._sticky, scratch, out)
        made = np.isfinite(self._tables.error[self._group])
        first, last = (edge[made] for edge in self._american)
        if len(first):
            t = self._tables
            premium.revalue_american(
                self.rows, owner[first], first, last, self._group[made], t.coefficients, t.boundary, t.shape, log_moves,
                vol_shocks, self._sticky, np.empty((premium.SCRATCH, premium.BLOCK)), out,
            )  # fmt: skip
        np.add.at(out, owner[self._full], full * self.rows[value.WEIGHT, self._full, None, None])
        return out


def portfolio_grid(
    book: Book, scenarios: Scenarios, *, greeks: bool = True, skip_bad: bool = False, premium_tolerance: float = 1e-7
) -> GridResult:
    """Revalue ``book`` in every cell of ``scenarios``.

    A bad row makes its underlying and the total NaN (nobody trades on a sum that silently lacks a
    position) and is listed in the result; ``skip_bad=True`` leaves such rows, and shares without a
    price, out instead, and lists them all the same. ``premium_tolerance``, per unit of strike, is what
    the tables of early exercise are refined to; what they reach is in ``error_bound``.

    Cost: about 3 ns per European and 12 ns per American series and cell on one core, and about 0.7 ms
    per distinct (years, rate, yield) of American series and day. American series that have no table (two
    exercise boundaries, under negative rates) are valued in full in every cell, some 20 us each.
    European series are exact to rounding, a few eps of the gross value of their legs. Any thread.
    """
    spots, vols, days = scenarios.axes()
    moves = scenarios.log_moves(book.underlyings)
    now = _Day(book, scenarios, 0.0, premium_tolerance)
    later = [now if day == 0.0 else _Day(book, scenarios, float(day), premium_tolerance) for day in days]
    missing = np.logical_or.reduce([now.missing, *(day.missing for day in later)])
    for day in (now, *later):
        day.leave_out(missing)
    worth = now.value_now()
    grid = np.zeros((book.underlyings, len(days), len(spots), len(vols)))
    for d, day in enumerate(later):
        grid[:, d] = day.cells(moves, vols)
    bound = now.bound() + np.max([day.bound() for day in later], axis=0)
    held = np.where(_priced(book), book.shares * book.spot, 0.0)
    worth += held
    grid += held[:, None, None, None] * np.exp(moves)[:, None, :, None]
    grid -= worth[:, None, None, None]
    return _result(book, grid, worth, bound, missing, greeks, skip_bad)


def _result(
    book: Book, grid: F8, worth: F8, bound: F8, missing: npt.NDArray[np.bool_], greeks: bool, skip_bad: bool
) -> GridResult:
    """The answer, with what must not be added up silently."""
    status, spoiled = book.status, book.spoiled
    if missing.any():
        spoiled = spoiled.copy()
        spoiled[book.series.underlying[missing]] = True
        status = status.copy()
        status[(book.series_of >= 0) & missing[book.series_of]] = int(PriceStatus.NOT_CONVERGED)
    sums = _greeks(book, missing) if greeks else np.full((GREEK_COUNT, book.underlyings), np.nan)
    if not skip_bad:
        for array in (grid, worth, bound, sums.T):
            array[spoiled] = np.nan
    bad = np.flatnonzero((status == PriceStatus.BAD_INPUT) | (status == PriceStatus.NOT_CONVERGED))
    return GridResult(grid.sum(axis=0), grid, worth, sums, status, bad, skip_bad, bound, len(book.series.strike))


def day_rows(book: Book, scenarios: Scenarios, day: float) -> F8:
    """``rows`` of ``value.revalue`` after ``day`` days: all that no cell of that day changes."""
    s = book.series
    spot = book.spot[s.underlying]
    years = np.maximum(s.years - day / DAYS_PER_YEAR, 0.0)
    least = np.where(s.american, MIN_AMERICAN_VOL, 0.0)
    vol = np.maximum(s.vol, least)
    log_spot = np.log(spot / s.strike)
    rows = np.empty((value.ROWS, len(s.strike)))
    rows[value.SPOT], rows[value.STRIKE], rows[value.LOG_SPOT] = spot, s.strike, log_spot
    rows[value.ASSET] = spot * np.exp(-s.dividend_yield * years)
    rows[value.CASH] = s.strike * np.exp(-s.rate * years)
    rows[value.RATIO] = rows[value.ASSET] / rows[value.CASH]
    rows[value.MONEYNESS] = log_spot + (s.rate - s.dividend_yield) * years
    rows[value.ROOT] = np.sqrt(years)
    rows[value.RIGHT], rows[value.WEIGHT] = s.right, s.weight
    live = np.maximum(s.years, 0.0)
    log_strike = -log_spot - (s.rate - s.dividend_yield) * live
    rows[value.VOL] = vol
    rows[value.SHIFT] = scenarios.vol_weights(s.underlying, live, log_strike, vol, book.underlyings)
    rows[value.SLOPE] = scenarios.stickiness * s.smile_slope
    rows[value.FLOOR] = np.maximum(np.minimum(vol, scenarios.vol_floor), least)
    return rows


def _runs(keys: F8, chosen: npt.NDArray[np.bool_]) -> tuple[I8, I8]:
    """(first, last) of the runs of equal columns of ``keys`` [k, m] among the ``chosen`` series."""
    new = np.ones(keys.shape[1] + 1, np.bool_)
    new[1:-1] = np.any(keys[:, 1:] != keys[:, :-1], axis=0)
    edges = np.flatnonzero(new)
    first, last = edges[:-1], edges[1:]
    kept = chosen[first]
    return first[kept].astype(np.int64), last[kept].astype(np.int64)


def _priced(book: Book) -> npt.NDArray[np.bool_]:
    """Underlyings whose shares have a value."""
    with np.errstate(invalid="ignore"):
        return (book.spot > 0.0) & np.isfinite(book.spot) & np.isfinite(book.shares)


def _greeks(book: Book, missing: npt.NDArray[np.bool_]) -> F8:
    """Sums of the Greeks [14, u]; third orders are NaN where American series are held. ``missing`` is left out."""
    s = book.series
    out, status = np.empty((GREEK_COUNT, len(s.strike))), np.empty(len(s.strike), np.uint8)
    spot = book.spot[s.underlying]
    spot_greeks_batch(spot, s.strike, s.years, s.rate, s.dividend_yield, s.vol, s.right, out, status)
    if s.american.any():
        a = np.flatnonzero(s.american)
        rows, states = np.empty((AMERICAN_ROWS, len(a))), np.empty(len(a), np.uint8)
        columns: list[Any] = [column[a] for column in (spot, s.strike, s.years, s.rate, s.dividend_yield, s.vol)]
        american_greeks(*[*columns, s.right[a].astype(np.int8), rows, states])
        out[:_SECOND_ORDER, a] = rows[:_SECOND_ORDER]
        out[_SECOND_ORDER:, a] = np.nan
    out[:, missing] = 0.0
    sums = np.zeros((GREEK_COUNT, book.underlyings))
    for u in range(book.underlyings):
        first, last = book.starts[u], book.starts[u + 1]
        sums[:, u] = out[:, first:last] @ s.weight[first:last]
    priced = _priced(book)
    sums[Greek.PRICE] += np.where(priced, book.shares * book.spot, 0.0)
    sums[Greek.DELTA] += np.where(priced, book.shares, 0.0)
    return sums
