"""Is there an arbitrage? A proof for any surface on a dense grid, and one for raw quotes.

The check of a surface knows nothing of how it was fitted: it asks a callable for total variance and its
derivatives and looks at

* the *density* (butterfly): Durrleman's g(k) = (1 - k w'/2w)^2 - w'^2/4 (1/w + 1/4) + w''/2 >= 0;
* the same once more from *prices* alone: call prices decrease and are convex in the strike, so wrong
  derivatives cannot hide a negative density;
* the *calendar*: w does not fall with time at a fixed k, from row to row of the grid, and dw/dT >= 0;
* the *wings*: |w'| <= 2 and w <= 2 |k| + constant at the far ends (Lee 2004).

A grid is not a theorem: between its points nothing is proved. The rows stand at every expiry and at
several dates between, before and after; the columns are dense near the money and reach far beyond
every quote. The report names the worst point of each kind, also of a surface that passes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.errors import GpuError
from gpu.maths.functions import normal_cdf
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
#: (k [n], years [n]) -> (w, dw/dk, d2w/dk2, dw/dT), each [n]; k = ln(strike / forward), w total variance.
Terms: TypeAlias = Callable[[F8, F8], tuple[F8, F8, F8, F8]]

_POINTS = 401  # columns of a row
_BETWEEN = 3  # rows between two expiries
_REACH = 12.0  # at-the-money deviations ...
_FARTHEST = 3.0  # ... and at least this |k|, out of which a row goes
_MAX_SLOPE = 2.0
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Worst:
    """The worst point of one kind of check. ``margin`` < 0 is an arbitrage; its unit depends on the kind."""

    k: float
    years: float
    margin: float


@dataclass(frozen=True)
class ArbitrageReport:
    """What a dense grid says about a surface; every ``Worst`` is the smallest margin found.

    ``butterfly``: Durrleman's g. ``convexity``: change of the call's slope between two strikes, beyond
    rounding. ``monotone``: distance of that slope from the interval [-1, 0]. ``calendar``: relative
    change of w to the next row, or years * dw/dT / w. ``wings``: 2 - |w'| at the far ends. ``positive``:
    w itself; a NaN anywhere is a failure here.
    """

    points: int
    rows: int
    butterfly: Worst
    convexity: Worst
    monotone: Worst
    calendar: Worst
    wings: Worst
    positive: Worst
    tolerance: float

    @property
    def butterfly_free(self) -> bool:
        """No butterfly, by the derivatives and by the prices."""
        return all(worst.margin >= -self.tolerance for worst in (self.butterfly, self.convexity, self.monotone))

    @property
    def calendar_free(self) -> bool:
        """Total variance nowhere falls with time."""
        return self.calendar.margin >= -self.tolerance

    @property
    def free(self) -> bool:
        """No arbitrage of any kind on the grid."""
        good = self.wings.margin >= -self.tolerance and self.positive.margin > 0.0
        return good and self.butterfly_free and self.calendar_free

    def worst(self) -> str:
        """The failing checks with their points; empty where there are none."""
        kinds = ("butterfly", "convexity", "monotone", "calendar", "wings", "positive")
        found = []
        for kind in kinds:
            point: Worst = getattr(self, kind)
            if not point.margin >= -self.tolerance or (kind == "positive" and not point.margin > 0.0):
                found.append(f"{kind} {point.margin:.3g} at k={point.k:.4f} T={point.years:.4f}")
        return ", ".join(found)


def check_surface(
    terms: Terms, expiries: npt.ArrayLike, *, points: int = _POINTS, between: int = _BETWEEN, reach: float = _REACH,
    farthest: float = _FARTHEST, extend: bool = True, tolerance: float = _TOLERANCE,
) -> ArbitrageReport:  # fmt: skip
    """Prove a surface free of static arbitrage on a dense grid, or name the worst points.

    Parameters
    ----------
    terms
        The surface, as :data:`Terms`; called once per row of the grid.
    expiries
        Node years, ascending, > 0.
    points, between
        Columns of a row (>= 9); rows between two expiries.
    reach, farthest
        A row spans |k| <= max(reach * at-the-money deviation, farthest).
    extend
        Also rows at a quarter and half of the first expiry and at 1.5 times the last one.
    tolerance
        Margins over ``-tolerance`` pass (rounding).

    Raises
    ------
    GpuError
        Expiries that do not ascend or are not positive, or fewer than nine points.
    """
    nodes = np.atleast_1d(np.asarray(expiries, np.float64))
    if not (len(nodes) > 0 and np.isfinite(nodes).all() and nodes[0] > 0.0 and (np.diff(nodes) > 0.0).all()):
        raise GpuError(f"expiries must be positive years in ascending order, were {nodes.tolist()}")
    if points < 9:
        raise GpuError(f"points must be at least 9, was {points}")
    dates = _dates(nodes, between, extend)
    track = _Track()
    before: tuple[float, F8] | None = None
    total = 0
    for years in dates:
        grid = _row_grid(terms, float(years), points, reach, farthest)
        w, w1, w2, wt = _ask(terms, grid, float(years))
        total += len(grid)
        _look_along_row(track, grid, float(years), w, w1, w2, wt)
        if before is not None:
            _look_at_calendar(track, terms, before, (float(years), grid), w)
        before = (float(years), grid)
    return ArbitrageReport(
        points=total, rows=len(dates), tolerance=tolerance,
        **{kind: Worst(*track.found[kind]) for kind in _KINDS},
    )  # fmt: skip


_KINDS = ("butterfly", "convexity", "monotone", "calendar", "wings", "positive")


class _Track:
    """Smallest margin of each kind so far, and where; a NaN is worse than anything."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, float, float]] = dict.fromkeys(_KINDS, (math.nan, math.nan, math.inf))

    def see(self, kind: str, k: F8, years: float, margin: F8) -> None:
        if len(margin) == 0:
            return
        margins = np.where(np.isnan(margin), -np.inf, margin)
        at = int(np.argmin(margins))
        if margins[at] < self.found[kind][2]:
            self.found[kind] = (float(k[at]), years, float(margins[at]))


def _dates(nodes: F8, between: int, extend: bool) -> F8:
    """Rows of the grid: the expiries, ``between`` dates in each gap, and a few outside."""
    parts = [nodes]
    for a, b in pairwise(nodes.tolist()):
        parts.append(a + (b - a) * np.arange(1, between + 1) / (between + 1))
    if extend:
        parts.append(np.array([0.25 * nodes[0], 0.5 * nodes[0], 1.5 * nodes[-1]]))
    return np.unique(np.concatenate(parts))


def _ask(terms: Terms, k: F8, years: float) -> tuple[F8, F8, F8, F8]:
    with np.errstate(all="ignore"):
        w, w1, w2, wt = (np.asarray(part, np.float64) for part in terms(k, np.full(len(k), years)))
    return w, w1, w2, wt


def _row_grid(terms: Terms, years: float, points: int, reach: float, farthest: float) -> F8:
    """Even in asinh(k / deviation): as dense near the money of two hours as of two years; 0 is one point."""
    money = float(_ask(terms, np.zeros(1), years)[0][0])
    deviation = math.sqrt(money) if money > 0.0 else 0.1
    u = np.linspace(-1.0, 1.0, points | 1) * math.asinh(max(reach * deviation, farthest) / deviation)
    return deviation * np.sinh(u)


def _look_along_row(track: _Track, k: F8, years: float, w: F8, w1: F8, w2: F8, wt: F8) -> None:
    """Density, prices, wings and the sign of dw/dT on one row."""
    with np.errstate(all="ignore"):
        good = np.where(w > 0.0, w, np.nan)
        bend = 1.0 - 0.5 * k * w1 / good
        track.see("butterfly", k, years, bend * bend - 0.25 * w1 * w1 * (1.0 / good + 0.25) + 0.5 * w2)
        track.see("positive", k, years, good)
        track.see("calendar", k, years, wt * years / good)
        ends = np.array([0, len(k) - 1])
        track.see("wings", k[ends], years, _MAX_SLOPE - np.abs(w1[ends]))
    slope, step, noise = np.empty(len(k)), np.empty(len(k)), np.empty(len(k))
    call_slopes(k, good, slope, step, noise)
    middle = 0.5 * (k[1:] + k[:-1])
    slopes, noises = slope[:-1], noise[:-1]
    track.see("monotone", middle, years, np.minimum(-slopes + noises, slopes + 1.0 + noises))
    track.see("convexity", k[1:-1], years, slopes[1:] - slopes[:-1] + noises[1:] + noises[:-1])


def _look_at_calendar(track: _Track, terms: Terms, before: tuple[float, F8], now: tuple[float, F8], w_now: F8) -> None:
    """Variance of this row less that of the row before, relative, at the columns of both rows."""
    with np.errstate(all="ignore"):
        earlier = _ask(terms, now[1], before[0])[0]
        track.see("calendar", now[1], now[0], (w_now - earlier) / earlier)
        earlier, later = _ask(terms, before[1], before[0])[0], _ask(terms, before[1], now[0])[0]
        track.see("calendar", before[1], now[0], (later - earlier) / earlier)


@kernel
def call_slopes(k: F8, w: F8, slope: F8, step: F8, noise: F8) -> None:
    """Slopes of the call price between neighbouring strikes exp(k), forward 1; all [n], the last is unused.

    Under the money puts are used (call - put is linear in the strike): calls there are nearly 1 and have no
    digits left. ``noise``: what rounding may have done to the slope.
    """
    for i in range(k.shape[0] - 1):
        strike, following = math.exp(k[i]), math.exp(k[i + 1])
        step[i] = following - strike
        right = 1.0 if k[i] >= 0.0 else -1.0
        first, size = _otm(k[i], w[i], right)
        second, other = _otm(k[i + 1], w[i + 1], right)
        slope[i] = (second - first) / step[i] - (1.0 if right < 0.0 else 0.0)
        noise[i] = 8.0 * 2.2e-16 * ((size + other) / step[i] + 1.0)


@kernel(inline=True)
def _otm(k: float, w: float, right: float) -> tuple[float, float]:
    """(price, size of the terms that were subtracted) of the call or put on forward 1 at strike exp(k)."""
    s = math.sqrt(w)
    d1 = -k / s + 0.5 * s
    a, b = normal_cdf(right * d1), math.exp(k) * normal_cdf(right * (d1 - s))
    # Errors of the arguments count as well: an error of eps d1 in d1 moves N by eps d1 n(d1).
    return right * (a - b), (a + b) * (1.0 + d1 * d1)


class QuoteFault(IntEnum):
    """What a pair or triple of quotes lets one earn without risk."""

    CROSSED = 0  # bid over ask of one series
    MONOTONE = 1  # sell the worse strike over what the better one costs
    VERTICAL = 2  # a vertical spread sold for more than it can ever pay
    BUTTERFLY = 3  # a strike bid over the chord of its neighbours' asks
    BOX = 4  # parity of two strikes disagrees (European only)
    CALENDAR = 5  # the earlier expiry bid over what the later one costs


@dataclass(frozen=True)
class QuoteViolation:
    """One free lunch: ``amount`` [currency] is left after crossing every spread."""

    fault: QuoteFault
    years: float
    strike: float
    right: int  # +1 call, -1 put, 0 both
    amount: float


@dataclass(frozen=True)
class ExpiryQuotes:
    """Quotes of one expiry, strikes ascending; every array [n], a missing side NaN (or <= 0)."""

    years: float
    strike: F8
    call_bid: F8
    call_ask: F8
    put_bid: F8
    put_ask: F8
    discount: float = 1.0
    forward: float = math.nan


def check_quotes(
    expiries: list[ExpiryQuotes], *, american: bool = False, tolerance: float = 1e-9
) -> list[QuoteViolation]:
    """Static arbitrage in raw bids and asks that survives crossing the spreads, largest amounts first.

    Sizes and fees are not looked at. AMERICAN: vertical spreads are bounded by the undiscounted
    strikes, there is no box, and the calendar compares one strike. European calendars compare
    undiscounted prices over the forward and need ``forward``; without it they are left out.
    """
    found: list[QuoteViolation] = []
    for quotes in expiries:
        found.extend(_check_expiry(quotes, american))
    ordered = sorted(expiries, key=lambda quotes: quotes.years)
    for early, late in pairwise(ordered):
        found.extend(_check_calendar(early, late, american))
    return sorted((v for v in found if v.amount > tolerance), key=lambda v: -v.amount)


def _sides(quotes: ExpiryQuotes, right: int) -> tuple[F8, F8]:
    """(bid, ask) of one right with missing sides as -inf and +inf: they bind nothing."""
    bid, ask = (quotes.call_bid, quotes.call_ask) if right > 0 else (quotes.put_bid, quotes.put_ask)
    bid, ask = np.asarray(bid, np.float64), np.asarray(ask, np.float64)
    return np.where(bid > 0.0, bid, -np.inf), np.where(ask > 0.0, ask, np.inf)


def _check_expiry(quotes: ExpiryQuotes, american: bool) -> list[QuoteViolation]:
    strike = np.asarray(quotes.strike, np.float64)
    bound = 1.0 if american else quotes.discount
    found: list[QuoteViolation] = []

    def note(fault: QuoteFault, right: int, amounts: F8) -> None:
        for i in np.flatnonzero(np.isfinite(amounts) & (amounts > 0.0)):
            found.append(QuoteViolation(fault, quotes.years, float(strike[i]), right, float(amounts[i])))

    for right in (1, -1):
        bid, ask = _sides(quotes, right)
        note(QuoteFault.CROSSED, right, np.where(np.isfinite(bid) & np.isfinite(ask), bid - ask, -np.inf))
        if len(strike) < 2:
            continue
        # Calls fall with the strike: the cheapest ask among lower strikes must cost at least this bid.
        cheapest = np.minimum.accumulate(ask)[:-1] if right > 0 else np.minimum.accumulate(ask[::-1])[::-1][1:]
        here = bid[1:] if right > 0 else bid[:-1]
        amount = np.full(len(strike), -np.inf)
        amount[slice(1, None) if right > 0 else slice(None, -1)] = here - cheapest
        note(QuoteFault.MONOTONE, right, amount)
        # Sell the dearer strike, buy the other: at most the distance of the strikes is ever paid out.
        level = ask + right * bound * strike
        best = np.minimum.accumulate(level[::-1])[::-1][1:] if right > 0 else np.minimum.accumulate(level)[:-1]
        mine = bid + right * bound * strike
        amount = np.full(len(strike), -np.inf)
        amount[slice(None, -1) if right > 0 else slice(1, None)] = (mine[:-1] if right > 0 else mine[1:]) - best
        note(QuoteFault.VERTICAL, right, amount)
        note(QuoteFault.BUTTERFLY, right, bid - lower_hull(strike, ask))
    if not american:
        note(QuoteFault.BOX, 0, _box(quotes, strike))
    return found


def lower_hull(x: F8, y: F8) -> F8:
    """Largest convex function under the points, at each x; inf outside the finite points' range."""
    chain: list[int] = []
    for i in np.flatnonzero(np.isfinite(y)).tolist():
        while len(chain) >= 2:
            a, b = chain[-2], chain[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            chain.pop()
        chain.append(i)
    if not chain:
        return np.full(len(x), np.inf)
    return np.interp(x, x[chain], y[chain], left=np.inf, right=np.inf)


def _box(quotes: ExpiryQuotes, strike: F8) -> F8:
    """By how much a strike's sold synthetic forward exceeds the cheapest bought one, discounted."""
    call_bid, call_ask = _sides(quotes, 1)
    put_bid, put_ask = _sides(quotes, -1)
    sold = call_bid - put_ask + quotes.discount * strike
    bought = call_ask - put_bid + quotes.discount * strike
    return sold - np.min(bought, initial=np.inf)


def _check_calendar(early: ExpiryQuotes, late: ExpiryQuotes, american: bool) -> list[QuoteViolation]:
    """The earlier expiry's bids against the convex hull of the later one's asks."""
    found: list[QuoteViolation] = []
    if american:
        scale_early = scale_late = unit = 1.0
    else:
        scale_early, scale_late = early.discount * early.forward, late.discount * late.forward
        unit = scale_early
        if not (scale_early > 0.0 and scale_late > 0.0):
            return found
    base_early, base_late = (1.0, 1.0) if american else (early.forward, late.forward)
    x, x_late = np.asarray(early.strike) / base_early, np.asarray(late.strike) / base_late
    for right in (1, -1):
        bid, ask = _sides(early, right)[0] / scale_early, _sides(late, right)[1] / scale_late
        hull = lower_hull(x_late, ask)
        inside = np.isfinite(hull)
        if not inside.any():
            continue
        cost = np.interp(x, x_late[inside], hull[inside], left=np.inf, right=np.inf)
        amount = (bid - cost) * unit
        for i in np.flatnonzero(np.isfinite(amount) & (amount > 0.0)):
            found.append(
                QuoteViolation(QuoteFault.CALENDAR, late.years, float(early.strike[i]), right, float(amount[i]))
            )
    return found
