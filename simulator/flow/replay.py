"""The replay participant: recorded bids and asks, with their sizes, kept in the books.

The market that a client meets is the recorded one at every instant, but it is real in the book: it
can be traded, is back at its recorded size a moment later, and trades against a client's quote that
it moves through.
"""

from typing import Any

import numpy as np

from market.jit import kernel
from simulator.flow.flow import QuotedMarket
from simulator.flow.quoter import Quoter
from simulator.flow.recording import BAR_NS, Recording
from simulator.flow.settings import FlowSettings
from simulator.flow.takers import Takers

OWNER_REPLAY = 1
_NEVER = np.iinfo(np.int64).max
_NS_PER_MS = 1_000_000
_GOLDEN = 0.6180339887498949


@kernel
def apply_events(
    time_ns: Any, instrument: Any, bid_ticks: Any, bid_qty: Any, ask_ticks: Any, ask_qty: Any,
    cursor: int, now_ns: int, slots: Any, fair_ticks: Any, half_ticks: Any,
) -> int:  # fmt: skip
    """Take all events up to ``now_ns`` into the wants; return the next cursor. ~10 ns per event.

    All arrays int64[events] ascending in time, ``slots`` SLOT[2 n], ``fair_ticks`` and
    ``half_ticks`` float64[n]: middle and half of the spread, NaN while one side is missing.
    """
    while cursor < time_ns.shape[0] and time_ns[cursor] <= now_ns:
        i = instrument[cursor]
        slots[2 * i].want_ticks = bid_ticks[cursor]
        slots[2 * i].want_qty = bid_qty[cursor]
        slots[2 * i + 1].want_ticks = ask_ticks[cursor]
        slots[2 * i + 1].want_qty = ask_qty[cursor]
        if bid_qty[cursor] > 0 and ask_qty[cursor] > 0:
            fair_ticks[i] = 0.5 * (bid_ticks[cursor] + ask_ticks[cursor])
            half_ticks[i] = max(0.5 * (ask_ticks[cursor] - bid_ticks[cursor]), 1.0)
        else:
            fair_ticks[i] = np.nan
            half_ticks[i] = np.nan
        cursor += 1
    return cursor


class ReplayFlow(QuotedMarket):
    """A recorded day as order flow: one participant with the recorded quotes, and takers."""

    def __init__(self, recording: Recording, seed: int, speed: float, settings: FlowSettings) -> None:
        master = recording.master
        n = master.count
        expiry = np.where(master.rows["expiry_ns"][:n] > 0, master.rows["expiry_ns"][:n], _NEVER).astype(np.int64)
        quoter = Quoter(n, 1, OWNER_REPLAY, expiry, settings.replay.replenish_ms * _NS_PER_MS)
        super().__init__(master, quoter, Takers(settings.takers, master.rows, n, speed, seed))
        self.recording = recording
        self.day = recording.day
        # Two bars after the open, and all their staggered updates: most of a chain is quoted by then.
        self.start_ns = recording.first_ns + 2 * BAR_NS + settings.replay.stagger_ms * _NS_PER_MS
        self.end_ns = recording.last_ns
        self.sha = recording.sha
        self.description = (
            f"replay of {recording.symbol} {recording.day}: {n - 1} series, {recording.events} quotes, "
            f"ticks {recording.tick_rule.name}, underlying from {recording.underlying_source}"
        )
        # Fixed per series (golden-ratio sequence: even, and not in order of strikes); options only.
        offset = (np.arange(n) * _GOLDEN % 1.0) * settings.replay.stagger_ms * _NS_PER_MS
        offset[0] = 0.0
        time_ns = recording.time_ns + offset.astype(np.int64)[recording.instrument]
        order = np.argsort(time_ns, kind="stable")
        names = ("instrument", "bid_ticks", "bid_qty", "ask_ticks", "ask_qty")
        self._events: tuple[Any, ...] = (time_ns[order], *(getattr(recording, name)[order] for name in names))
        self._cursor = 0

    def _begin_at(self, start_ns: int) -> None:
        self._cursor = 0
        self._fair_ticks[:] = np.nan
        self._half_ticks[:] = np.nan
        self._move_to(start_ns)

    def _move_to(self, now_ns: int) -> None:
        time_ns, instrument, bid_ticks, bid_qty, ask_ticks, ask_qty = self._events
        self._cursor = int(
            apply_events(
                time_ns, instrument, bid_ticks, bid_qty, ask_ticks, ask_qty, self._cursor, now_ns,
                self._quoter.slots, self._fair_ticks, self._half_ticks,
            )
        )  # fmt: skip

    @property
    def finished(self) -> bool:
        """Whether all recorded events have been played; the last quotes stay."""
        return self._cursor >= len(self._events[0])
