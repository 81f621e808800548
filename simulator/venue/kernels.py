"""The venue's batch kernels: what happens per order and per report, so that Python runs per batch.

Frames are int64[n, 16] views where they are copied, structured rows where they are read. Report
buffers of one batch: ``out`` is everything the books said; ``logged`` what the trade log must
hold; ``outbox`` what goes to FIX clients; ``internal`` what participants without FIX are told;
``prints`` the trades for the tape.
"""

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from market.enums import ExecType, FrameKind, OrderAction
from market.jit import kernel
from market.records import FRAME_BYTES
from simulator.matching import NO_ROOM, Arena, Word, apply
from simulator.venue.settings import FIRST_CLIENT

Words = npt.NDArray[np.int64]

FRAME_WORDS = FRAME_BYTES // 8

_STP = int(Word.SELF_TRADE_PREVENTION)
_MASS_CANCEL, _QUOTE = int(OrderAction.MASS_CANCEL), int(OrderAction.QUOTE)
_QUOTE_CANCEL, _ORDER_STATUS = int(OrderAction.QUOTE_CANCEL), int(OrderAction.ORDER_STATUS)
_EXECUTION, _TRADE_PRINT, _ORDER = int(FrameKind.EXECUTION), int(FrameKind.TRADE), int(FrameKind.ORDER)
_TRADE, _STATUS = int(ExecType.TRADE), int(ExecType.ORDER_STATUS)
_NO_ROOM = int(NO_ROOM)
_FIRST_CLIENT = FIRST_CLIENT


class BatchStop(IntEnum):
    """Why :func:`apply_batch` returned."""

    DONE = 0
    MASS_CANCEL = 1  # the command before ``next`` was one: its answer follows its reports
    NO_ROOM = 2  # empty ``out``, then go on at ``next``
    TICKET = 3  # the command before ``next`` is one of a request that waits for its outcome (requests.py)


_STOP_DONE, _STOP_CANCEL, _STOP_ROOM = int(BatchStop.DONE), int(BatchStop.MASS_CANCEL), int(BatchStop.NO_ROOM)
_STOP_TICKET = int(BatchStop.TICKET)


@kernel
def apply_batch(
    arena: Arena, stp_of_owner: Words, orders: Any, first: int, count: int, market_ns: int, wall_ns: int, out: Any
) -> tuple[int, int, int, int]:
    """Apply commands ``first .. count-1`` in order; returns ``(next, n_reports, BatchStop, n_last)``.

    ``n_last`` is how many of the reports the last command caused: of a mass cancel, the orders ended.

    ``orders`` ORDER[n] (their times are overwritten: ``market_ns`` is when the market took them),
    ``out`` EXECUTION[m], filled from row 0. ``stp_of_owner`` int64[65536]: the incoming order's
    owner decides how a self-trade is prevented. Event loop's thread only.
    """
    n = 0
    for i in range(first, count):
        order = orders[i]
        order.ts_ns = market_ns
        order.recv_ns = wall_ns
        arena.words[_STP] = stp_of_owner[order.owner]
        after = apply(arena, orders, i, out, n)
        if after == _NO_ROOM:
            return i, n, _STOP_ROOM, 0
        caused = after - n
        n = after
        action = order.action
        if action == _MASS_CANCEL:
            return i + 1, n, _STOP_CANCEL, caused
        # Of a mass quote only what was refused and the last entry (post_only is last_entry) have an outcome.
        if action == _QUOTE and (order.reason != 0 or order.post_only != 0):
            return i + 1, n, _STOP_TICKET, caused
        if action in (_QUOTE_CANCEL, _ORDER_STATUS):
            return i + 1, n, _STOP_TICKET, caused
    return count, n, _STOP_DONE, 0


@kernel
def settle_reports(
    out: Any, out_words: Words, count: int, maker_fee_e4: int, taker_fee_e4: int, position: int, instrument_of: Words,
    logged: Words, outbox: Words, outbox_refs: Words, internal: Words, internal_rows: Any, prints: Words,
    prints_rows: Any,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Charge commission and deal the reports out; returns ``(n_logged, n_outbox, n_internal, n_prints)``.

    ``out`` EXECUTION[m] and the same memory as ``out_words`` int64[m, 16]. ``position`` is the trade
    log's position that the first logged frame will get; ``outbox_refs`` int64 receives each client
    report's position, 0 for a status report: it repeats what the log holds already. Of a trade's two
    reports the first is the resting side's. Reports to participants without FIX carry the market's
    instrument number (``instrument_of``), all others the book's.
    """
    n_logged = n_outbox = n_internal = n_prints = 0
    for i in range(count):
        row = out[i]
        client = row.session >= _FIRST_CLIENT
        trade = row.kind == _EXECUTION and row.exec_type == _TRADE
        if trade:
            aggressor = i > 0 and out[i - 1].exec_type == _TRADE and out[i - 1].jseq == row.jseq
            row.commission_e4 = (taker_fee_e4 if aggressor else maker_fee_e4) * np.int64(row.last_qty)
            if aggressor:
                tape = prints_rows[n_prints]
                for k in range(FRAME_WORDS):
                    prints[n_prints, k] = 0
                tape.kind = _TRADE_PRINT
                tape.ts_ns = row.ts_ns
                tape.recv_ns = row.recv_ns
                tape.instrument = row.instrument
                tape.aggressor = row.side
                tape.price_ticks = row.last_ticks
                tape.qty = row.last_qty
                tape.trade_id = row.jseq
                n_prints += 1
        status = row.kind == _EXECUTION and row.exec_type == _STATUS
        if (client or trade) and not status:
            for k in range(FRAME_WORDS):
                logged[n_logged, k] = out_words[i, k]
            n_logged += 1
        if client:
            for k in range(FRAME_WORDS):
                outbox[n_outbox, k] = out_words[i, k]
            outbox_refs[n_outbox] = 0 if status else position + n_logged - 1
            n_outbox += 1
        else:
            for k in range(FRAME_WORDS):
                internal[n_internal, k] = out_words[i, k]
            if row.instrument < len(instrument_of):
                internal_rows[n_internal].instrument = instrument_of[row.instrument]
            n_internal += 1
    return n_logged, n_outbox, n_internal, n_prints


@kernel
def claim_commands(rows: Any, first: int, count: int, owner: int) -> None:
    """Stamp ORDER rows with the participant whose session they came from: a client cannot say who it is."""
    for i in range(first, first + count):
        rows[i].owner = owner
        rows[i].session = owner


@kernel
def is_cold(rows: Any, i: int, books: int) -> bool:
    """Whether outgoing frame ``i`` needs the cold encoder.

    The answer to a request (kind ORDER) does, and the refusal of an order for a symbol that is
    none of the ``books``.
    """
    row = rows[i]
    if row.kind == _ORDER:
        return True
    return bool(row.kind == _EXECUTION and row.exec_type != _STATUS and np.int64(row.instrument) >= books)


@kernel
def group_by_session(
    rows: Any, words: Words, refs: Words, count: int, books: int, starts: Words, out: Words, out_refs: Words
) -> int:
    """Stable counting sort of outgoing frames by participant.

    ``rows`` EXECUTION[n] over the same memory as ``words`` int64[n, 16]. ``starts`` int64[k + 1],
    for participants FIRST_CLIENT .. FIRST_CLIENT + k - 1, receives each one's first row in ``out``
    (the last element is ``count``). Returns how many frames the hot encoder cannot write: see
    :func:`is_cold`.
    """
    clients = len(starts) - 1
    for c in range(clients + 1):
        starts[c] = 0
    cold = 0
    for i in range(count):
        starts[np.int64(rows[i].session) - _FIRST_CLIENT + 1] += 1
        if is_cold(rows, i, books):
            cold += 1
    for c in range(clients):
        starts[c + 1] += starts[c]
    for back in range(count):
        i = count - 1 - back
        client = np.int64(rows[i].session) - _FIRST_CLIENT
        # starts[client + 1] counts down to the client's first row; afterwards it is its start
        starts[client + 1] -= 1
        place = starts[client + 1]
        for k in range(FRAME_WORDS):
            out[place, k] = words[i, k]
        out_refs[place] = refs[i]
    for c in range(clients):
        starts[c] = starts[c + 1]
    starts[clients] = count
    return cold


@kernel
def route_commands(orders: Any, words: Words, count: int, book_of: Words, out: Words, out_rows: Any) -> int:
    """Copy the commands for one venue out of the whole market's; returns how many.

    ``book_of`` int64[instruments]: the venue's book or -1. ``out`` int64[m, 16] over the same memory
    as ``out_rows`` ORDER[m].
    """
    n = 0
    for i in range(count):
        instrument = np.int64(orders[i].instrument)
        if instrument >= len(book_of):
            continue
        book = book_of[instrument]
        if book < 0:
            continue
        for k in range(FRAME_WORDS):
            out[n, k] = words[i, k]
        out_rows[n].instrument = book
        n += 1
    return n
