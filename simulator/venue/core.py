"""Commands in, reports out: the venue without sockets, files or clocks.

Owns the matching arena and the buffers of one batch. What a batch's reports become (logged, sent,
told to the order flow, printed on the tape) is dealt out by one kernel; who carries them is
``venue.py``. One thread, the event loop's.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from market import records
from market.enums import SelfTradePrevention
from market.records import FRAME_BYTES
from simulator.matching import Word, make_arena, set_tick_rules
from simulator.venue.kernels import BatchStop, apply_batch, settle_reports
from simulator.venue.settings import FeeModel

FRAME_WORDS = FRAME_BYTES // 8


class FrameBuffer:
    """Frames of one layout, seen as bytes (``frames``), words (``words``) and records (``rows``)."""

    def __init__(self, layout: np.dtype[Any], count: int) -> None:
        self.frames: npt.NDArray[np.uint8] = records.frames(count)
        self.words: npt.NDArray[np.int64] = self.frames.reshape(-1).view(np.int64).reshape(count, FRAME_WORDS)
        self.rows: Any = records.as_layout(self.frames, layout)

    def __len__(self) -> int:
        return len(self.frames)


class Batch(msgspec.Struct):
    """How many rows of each of the core's buffers the last :meth:`VenueCore.settle` filled."""

    logged: int = 0
    outbox: int = 0
    internal: int = 0
    prints: int = 0


class VenueCore:
    """The books of one venue and the buffers around them.

    Parameters
    ----------
    instruments
        INSTRUMENT rows by book number.
    instrument_of
        int64[books]: number of each book's instrument in the whole market.
    max_orders, max_ticks
        Of the arena.
    run
        Which start of this venue it is, from 1: makes ExecIDs and match numbers unique over restarts.
    first_generation
        Above that of every OrderID that an earlier run has logged.
    """

    def __init__(
        self,
        instruments: Any,
        instrument_of: npt.NDArray[np.int64],
        *,
        max_orders: int,
        max_ticks: int,
        fees: FeeModel,
        run: int = 1,
        first_generation: int = 1,
    ) -> None:
        books = len(instruments)
        self.arena = make_arena(
            books, max_orders, max_ticks, first_exec_id=(run << 40) + 1, first_generation=first_generation
        )
        self.arena.words[Word.LAST_MATCH] = run << 40
        set_tick_rules(self.arena, instruments["tick_rule"].astype(np.uint8))
        self.books = books
        self.instrument_of = instrument_of
        self.fees = fees
        self.stp_of_owner = np.full(0x1_0000, int(SelfTradePrevention.CANCEL_RESTING), np.int64)
        # A sweep or a mass cancel may report twice per live order; untouched rows cost no memory.
        room = 2 * max_orders + 1024
        self.reports = FrameBuffer(records.EXECUTION, room)
        self.logged = FrameBuffer(records.EXECUTION, room)
        self.outbox = FrameBuffer(records.EXECUTION, room)
        self.internal = FrameBuffer(records.EXECUTION, room)
        self.prints = FrameBuffer(records.TRADE, room)
        self.outbox_refs = np.zeros(room, np.int64)
        self.commands = 0  # applied since the start

    def apply(
        self, orders: Any, first: int, count: int, market_ns: int, wall_ns: int
    ) -> tuple[int, int, BatchStop, int]:
        """Apply ORDER rows ``first .. count-1``; see :func:`apply_batch` for what is returned."""
        at, reports, stop, last = apply_batch(
            self.arena, self.stp_of_owner, orders, first, count, market_ns, wall_ns, self.reports.rows
        )
        self.commands += int(at) - first
        return int(at), int(reports), BatchStop(stop), int(last)

    def settle(self, count: int, position: int) -> Batch:
        """Deal the first ``count`` reports out to the buffers; ``position`` is the log's next one."""
        counts = settle_reports(
            self.reports.rows, self.reports.words, count, self.fees.maker_e4, self.fees.taker_e4, position,
            self.instrument_of, self.logged.words, self.outbox.words, self.outbox_refs,
            self.internal.words, self.internal.rows, self.prints.words, self.prints.rows,
        )  # fmt: skip
        return Batch(*(int(n) for n in counts))

    def next_exec_id(self) -> int:
        """Take an ExecID for a report that the books did not make."""
        self.arena.words[Word.LAST_EXEC] += 1
        return int(self.arena.words[Word.LAST_EXEC])

    @property
    def live_orders(self) -> int:
        """Orders resting now, all participants."""
        return int(self.arena.words[Word.LIVE_ORDERS])
