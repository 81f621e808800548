"""A market without data: makers around a moving fair value, and takers, all from one seed.

The chain is one underlying and its European options. It is open around the clock: an option stops
being quoted when it expires, and nothing else ends. Makers are wider than a competitive market
maker and follow the fair value with hysteresis (see ``place_wants``), so that the market looks
alive without flooding a session.
"""

import hashlib
import math
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from market.calendar import expiry_ns, instant_ns
from market.enums import ExerciseStyle, Right, SecurityKind
from market.instruments import InstrumentMaster, OsiSymbol, TickRule, tick_ceil, tick_floor, tick_step
from market.jit import kernel
from simulator.errors import FlowError
from simulator.flow.flow import QuotedMarket
from simulator.flow.heston import SpotPath, fair_values, model_words
from simulator.flow.quoter import Quoter
from simulator.flow.settings import FlowSettings, GeneratedSettings
from simulator.flow.takers import Takers

OWNER_FIRST_MAKER = 1
MULTIPLIER = 100
_NEVER = np.iinfo(np.int64).max
_NS_PER_MS = 1_000_000
_LADDER = (0.5, 1.0, 2.0, 2.5, 5.0, 10.0)
_FULL_QUOTES = 4  # a maker is full of inventory at this many times its size
_MISPRICING = 0.1  # standard deviation of a maker's own view, in half-spreads
_MAX_MISPRICING = 0.3
_SIZE_SPREAD = 0.4  # sizes vary by this share around the maker's own
_MAX_REFRESHES = 100  # of the makers' views in one step: after a pause there is no point in more


@kernel
def place_wants(
    slots: Any, position: Any, rows: Any, fair_ticks: Any, half_ticks: Any, offset: Any, quantity: Any, width: Any,
    band_low: float, band_high: float, shift: float,
) -> None:  # fmt: skip
    """Set the wants of all makers over n instruments: ``slots`` SLOT[2 * makers * n].

    A maker's centre is the fair value, moved by its own view (``offset`` float64[makers * n], in
    half-spreads) and against its inventory; it quotes ``quantity`` int64[makers * n]. A side keeps
    its price while its distance from the centre is between ``band_low`` and ``band_high``
    half-spreads (plus the increment that rounding outward may add); otherwise it goes to one
    half-spread, rounded outward. ~10 ns per side.
    """
    n = rows.shape[0]
    for pair in range(position.shape[0]):
        maker, i = pair // n, pair % n
        bid, ask = 2 * pair, 2 * pair + 1
        slots[bid].want_qty = 0
        slots[ask].want_qty = 0
        if not half_ticks[i] > 0.0:
            continue
        qty = quantity[pair]
        full = min(max(position[pair] / (_FULL_QUOTES * qty), -1.0), 1.0)
        half = width[maker] * half_ticks[i]
        centre = fair_ticks[i] + (offset[pair] - shift * full) * half
        rule = int(rows[i].tick_rule)
        widest = band_high + tick_step(rule, int(max(centre, 0.0))) / half
        edge = (centre - slots[bid].want_ticks) / half
        if edge < band_low or edge > widest or slots[bid].want_ticks <= 0:
            slots[bid].want_ticks = tick_floor(rule, int(max(centre - half, 0.0)))
        if slots[bid].want_ticks > 0:
            slots[bid].want_qty = qty
        edge = (slots[ask].want_ticks - centre) / half
        if edge < band_low or edge > widest or slots[ask].want_ticks <= 0:
            slots[ask].want_ticks = tick_ceil(rule, math.ceil(max(centre + half, 1.0)))
        slots[ask].want_qty = qty


def _expiries(first: date, days: tuple[int, ...]) -> list[date]:
    """Fridays on or after the given distances, each once."""
    found = {first + timedelta(days=d + (4 - (first + timedelta(days=d)).weekday()) % 7) for d in days}
    return sorted(found)


def _spacing(spot: float, vol: float, years: float, strikes: int) -> float:
    """Distance of strikes from the listing ladder, so that they span about 2.5 deviations either way."""
    ideal = 2.5 * vol * math.sqrt(years) * spot / max(strikes // 2, 1)
    scale = 10.0 ** math.floor(math.log10(spot / 100.0))
    return min((step * scale for step in _LADDER), key=lambda step: abs(math.log(step / ideal)))


def generated_master(settings: GeneratedSettings) -> InstrumentMaster:
    """The underlying, then calls and puts by expiry and strike; FlowError for a date that is none."""
    try:
        first = date.fromisoformat(settings.first_day)
    except ValueError as e:
        raise FlowError(f"flow settings: first_day {settings.first_day!r} is no date; give YYYY-MM-DD") from e
    expiries = _expiries(first, settings.expiry_days)
    master = InstrumentMaster(1 + len(expiries) * settings.strikes * 2)
    master.add(symbol=settings.symbol, security=SecurityKind.EQUITY)
    for day in expiries:
        years = max((day - first).days, 1) / 365
        step = _spacing(settings.spot, math.sqrt(settings.variance), years, settings.strikes)
        middle = round(settings.spot / step)
        close = expiry_ns(day)
        for j in range(settings.strikes):
            strike = Decimal(str(round((middle - settings.strikes // 2 + j) * step, 3)))
            if strike <= 0:
                continue
            for right in (Right.CALL, Right.PUT):
                master.add(
                    symbol=OsiSymbol(settings.symbol, day, right, strike).compact(), security=SecurityKind.OPTION,
                    underlying=0, right=right, style=ExerciseStyle.EUROPEAN, strike=float(strike), expiry_ns=close,
                    multiplier=MULTIPLIER, tick_rule=TickRule.PENNY_NICKEL,
                )  # fmt: skip
    return master


class GeneratedFlow(QuotedMarket):
    """The generated market as order flow."""

    def __init__(self, seed: int, speed: float, settings: FlowSettings) -> None:
        market = settings.generated
        master = generated_master(market)
        n = master.count
        makers = len(market.maker_widths)
        expiry = np.where(master.rows["expiry_ns"][:n] > 0, master.rows["expiry_ns"][:n], _NEVER).astype(np.int64)
        refill_ns = int(market.replenish_wall_ms * _NS_PER_MS * speed)
        quoter = Quoter(n, makers, OWNER_FIRST_MAKER, expiry, refill_ns)
        super().__init__(master, quoter, Takers(settings.takers, master.rows, n, speed, seed))
        self.day = date.fromisoformat(market.first_day)
        self.start_ns = instant_ns(self.day, time(9, 30))
        self.end_ns = int(expiry[1:].max())
        self.description = (
            f"generated market {market.symbol}: {n - 1} series, {makers} makers, seed {seed}, "
            f"spot {market.spot:g}, volatility {math.sqrt(market.variance):.0%}"
        )
        identity = repr((seed, speed)).encode() + msgspec.json.encode(settings)
        self.sha = hashlib.sha256(identity).hexdigest()
        self._settings = market
        self._seed = seed
        self._grid_ns = max(int(market.grid_wall_ms * _NS_PER_MS * speed), 1)
        self._model = model_words(market)
        self._rows = master.rows[:n]
        self._width = np.array(market.maker_widths, np.float64)
        base = np.repeat(np.array(market.maker_contracts, np.float64), n)
        base[::n] *= market.underlying_shares
        self._base_quantity = base
        self._offset = np.zeros(n * makers)
        self._quantity = base.astype(np.int64)
        self._views = np.random.Generator(np.random.PCG64(seed))
        self._refreshed = 0
        self._path = SpotPath(market, seed, self.start_ns, self._grid_ns)

    def _begin_at(self, start_ns: int) -> None:
        self._path = SpotPath(self._settings, self._seed, self.start_ns, self._grid_ns)
        self._views = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, 3])))
        self._change_views(1.0)
        self._refreshed = self._path.index_at(start_ns)
        self._move_to(start_ns)

    def _change_views(self, share: float) -> None:
        """Draw view and size anew for about this share of the (maker, instrument) pairs."""
        chosen = self._views.random(len(self._offset)) < share
        count = int(np.count_nonzero(chosen))
        views = _MISPRICING * self._views.standard_normal(count)
        self._offset[chosen] = np.clip(views, -_MAX_MISPRICING, _MAX_MISPRICING)
        scale = 1.0 + _SIZE_SPREAD * (2.0 * self._views.random(count) - 1.0)
        self._quantity[chosen] = np.maximum(np.rint(self._base_quantity[chosen] * scale), 1).astype(np.int64)

    def _move_to(self, now_ns: int) -> None:
        market = self._settings
        index = self._path.index_at(now_ns)
        for _ in range(min(index - self._refreshed, _MAX_REFRESHES)):
            self._change_views(market.refresh_per_wall_s * market.grid_wall_ms / 1000.0)
        self._refreshed = index
        spot, variance = self._path.at(now_ns)
        fair_values(self._model, spot, variance, now_ns, self._rows, self._fair_ticks, self._half_ticks)
        place_wants(
            self._quoter.slots, self._quoter.position, self._rows, self._fair_ticks, self._half_ticks, self._offset,
            self._quantity, self._width, market.band_low, market.band_high, market.inventory_shift,
        )  # fmt: skip

    @property
    def spot(self) -> float:
        """Fair value of the underlying [currency]."""
        return float(self._fair_ticks[0]) * self.price_unit

    def move_spot(self, factor: float) -> None:
        """Multiply the path by ``factor`` from now on: a shock on demand, for drills and tests."""
        self._path.scale(factor)
