"""What the step thread does with hot sessions: take their frames, send their orders, give them back.

A session whose lane is HOT belongs to whoever turns. Its frames are taken as any other source's, in one order with
them, each journaled and applied before the peer's number moves. Its orders leave by the lane straight from
the step's output; only what a lane does not do goes to the outbox, and the lane is then on its way back to asyncio,
which sends it behind what left here.

Of a turn that must end early the rest of a lane's frames waits for the next one (``L_DONE``): the lane cannot leave
before they are taken.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.handle import (
    Handle,
    in_cells,
    in_execution,
    in_header,
    out_cells,
    out_header,
    out_order,
    out_stamps,
    scalars,
)
from engine.journal import JournalView, journal_append, room
from engine.latency import STEP_THREAD, Stage, record, record_answer
from engine.state import OUTPUT_FRAMES, STAMP_DECIDED, STAMP_GATED, STAMP_SENT, STAMP_WORDS, W_NOW
from fix.lane import (
    LANE_FRAMES,
    MAX_LANES,
    LaneOwner,
    lane_accept,
    lane_frame,
    lane_heed,
    lane_moves,
    lane_owner,
    lane_receive,
    lane_send,
    lane_taken,
    lane_tick,
)
from market.atomics import clock_ns, load_acquire
from market.enums import FrameKind
from market.jit import kernel
from market.records import STAMPS, as_layout, frames
from market.rings import spsc_push

Words = npt.NDArray[np.int64]

# Feeds.lane_rows[k]: what the driver keeps of lane k.
(
    L_HOT,  # it was HOT when last looked at
    L_COLD,  # outbox position behind the last order of this session that went that way
    L_DONE,  # frames in the lane's hands that were taken already
    L_INFORM,  # 1: asyncio wants a copy of every report (drop copies)
    L_IN_NS,  # step time at which its last frame was taken
    L_RETURNS,  # times that it went back
    L_SENT,  # orders that left by it
    L_TAKEN,  # frames that came by it
    L_MOVES,  # times that it went on in its store's next window
) = range(9)
LANE_ROW_WORDS = 16
TICK_NS = 1_000_000

_ORDER, _EXECUTION, _REJECT = (
    np.int64(FrameKind.ORDER), np.int64(FrameKind.EXECUTION), np.int64(FrameKind.CANCEL_REJECT)
)  # fmt: skip
_STAMPS = np.int64(FrameKind.STAMPS)
_OFFERED, _HOT, _RETURNED = (
    np.int64(LaneOwner.OFFERED), np.int64(LaneOwner.HOT), np.int64(LaneOwner.RETURNED)
)  # fmt: skip
_MINE = np.int64(STEP_THREAD)
_TICK_TO_ORDER, _DECIDE, _AGE = np.int64(Stage.TICK_TO_ORDER), np.int64(Stage.DECIDE), np.int64(Stage.DATA_AGE)
_ACK, _TRIP = np.int64(Stage.ACK), np.int64(Stage.ROUND_TRIP)
_STAMP_BATCH = 64


class Hot(NamedTuple):
    """Lanes, and what is measured on the way."""

    lanes: Words  # fix.lane.Lanes.state
    words: Words  # H_*
    rows: Words  # int64[MAX_LANES, LANE_ROW_WORDS]
    histograms: Words  # int64[writer, stage, bucket] of engine.latency
    sent_ns: Words  # by order slot
    ring_ns: Words
    stamp_cells: Words  # int64[_STAMP_BATCH, 16]
    stamps: Any  # STAMPS, the same memory


# Hot.words
(
    H_COUNT,  # lanes 0 .. H_COUNT-1 are looked at; 0: none is bound
    H_HANDLED,  # outbox frames whose handler has returned
    H_RETURNS,  # lanes given back, or gone on in their store's next window, so far: asyncio must look
    H_TICKED_NS,
    H_EVERY,  # a lane's socket is looked at every so many turns that brought nothing
    H_OFFSET_NS,  # monotonic clock + this = step time
    H_RING_NS,  # when the frame in hand was published; 0: not said
    H_TELL,  # 1: asyncio wants to see the orders that left here, too
) = range(8)
SENT_SOURCE = 1  #: ``header.source`` of an ORDER frame in the outbox that has left already
HOT_WORDS = 16


def make_hot(lanes: Words, histograms: Words, sent_ns: Words, ring_ns: Words, offset_ns: int) -> Hot:
    """Memory of the hot sessions of one loop."""
    raw = frames(_STAMP_BATCH)
    words = np.zeros(HOT_WORDS, np.int64)
    words[H_EVERY], words[H_OFFSET_NS] = 1, offset_ns
    rows = np.zeros((MAX_LANES, LANE_ROW_WORDS), np.int64)
    return Hot(lanes, words, rows, histograms, sent_ns, ring_ns, raw.view(np.int64), as_layout(raw, STAMPS))


@kernel(inline=True)
def _session_of(e: Handle, row: int) -> int:
    """Session of an output row, -1 if it is no order."""
    return np.int64(out_order(e)[row].session) if out_header(e)[row].kind == _ORDER else np.int64(-1)


@kernel(inline=True)
def is_hot(hot: Hot, session: int) -> bool:
    """Whether this thread sends the orders of ``session``."""
    return 0 <= session < hot.words[H_COUNT] and lane_owner(hot.lanes, session) == _HOT


@kernel(internal=True)
def hand_on(e: Handle, hot: Hot, outbox_words: Words, outbox_slots: Words, count: int) -> None:
    """The step's outputs: orders of hot sessions leave now, all else goes to the outbox, each session's in order."""
    row = 0
    while row < count:
        session = _session_of(e, row)
        last = row + 1
        if is_hot(hot, session):
            while last < count and _session_of(e, last) == session:
                last += 1
            done = _send(e, hot, session, row, last - row)
            for sent in range(row, row + done if hot.words[H_TELL] != 0 else row):
                out_header(e)[sent].source = SENT_SOURCE  # it stands in the journal already
                spsc_push(outbox_words, outbox_slots, out_cells(e), sent)
            row += done
        while row < last:
            spsc_push(outbox_words, outbox_slots, out_cells(e), row)
            if session >= 0 and session < MAX_LANES:
                hot.rows[session, L_COLD] = outbox_words[0]
            row += 1


@kernel(internal=True)
def _send(e: Handle, hot: Hot, session: int, first: int, count: int) -> int:
    """Send rows by the lane; how many left."""
    done = lane_send(hot.lanes, session, out_cells(e), first, count, scalars(e)[W_NOW])
    now = clock_ns(1)
    for row in range(first, first + done):
        out_stamps(e)[STAMP_WORDS * row + STAMP_SENT] = now
        order = out_order(e)[row]
        record(hot.histograms[_MINE, _TICK_TO_ORDER], now + hot.words[H_OFFSET_NS] - order.tick_ns)
        slot = np.int64(order.slot)
        if 0 <= slot < len(hot.sent_ns):
            hot.sent_ns[slot] = now + hot.words[H_OFFSET_NS]
    hot.rows[session, L_SENT] += done
    return done


@kernel(internal=True)
def stamp(e: Handle, journal: JournalView, hot: Hot, count: int) -> None:
    """Journal the times of the orders just put out, where there is room to spare."""
    held = 0
    offset = hot.words[H_OFFSET_NS]
    for row in range(count):
        if out_header(e)[row].kind != _ORDER:
            continue
        order, place = out_order(e)[row], STAMP_WORDS * row
        slot = np.int64(order.slot)
        if 0 <= slot < len(hot.ring_ns):
            hot.ring_ns[slot] = hot.words[H_RING_NS]
        gated = out_stamps(e)[place + STAMP_GATED]
        if gated == 0:
            continue  # a mass request: no tick made it
        record(hot.histograms[_MINE, _DECIDE], gated + offset - order.tick_ns)
        frame = hot.stamps[held]
        frame.kind = _STAMPS
        frame.ts_ns = frame.recv_ns = order.tick_ns
        frame.cl_ord_id = order.cl_ord_id
        frame.slot = order.slot
        frame.session = order.session
        sent = out_stamps(e)[place + STAMP_SENT]
        frame.hot = 1 if sent != 0 else 0
        frame.venue_ns = in_header(e)[0].ts_ns
        frame.ring_ns = hot.words[H_RING_NS]
        frame.read_ns = order.tick_ns
        frame.decided_ns = out_stamps(e)[place + STAMP_DECIDED] + offset
        frame.gated_ns = gated + offset
        frame.sent_ns = sent + offset if sent != 0 else 0
        held += 1
        if held == _STAMP_BATCH:
            _journal_stamps(journal, hot, held)
            held = 0
    if held > 0:
        _journal_stamps(journal, hot, held)


@kernel(internal=True)
def _journal_stamps(journal: JournalView, hot: Hot, count: int) -> None:
    if room(journal) > OUTPUT_FRAMES + count:
        journal_append(journal, hot.stamp_cells, 0, count)


@kernel(inline=True)
def record_age(e: Handle, hot: Hot) -> None:
    """Count how long the quote in hand had waited since it was published."""
    if hot.words[H_RING_NS] > 0:
        record(hot.histograms[_MINE, _AGE], in_header(e)[0].recv_ns - hot.words[H_RING_NS])


@kernel(internal=True)
def next_frame(e: Handle, hot: Hot, k: int, pending: int) -> bool:
    """Put the next of a lane's ``pending`` frames into the step's scratch; False when all are taken."""
    row = hot.rows[k, L_DONE]
    if row >= pending:
        hot.rows[k, L_DONE] = 0
        lane_taken(hot.lanes, k)
        return False
    lane_frame(hot.lanes, k, row, in_cells(e), 0)
    hot.rows[k, L_DONE] = row + 1
    return True


@kernel(internal=True)
def frame_taken(e: Handle, hot: Hot, k: int, outbox_words: Words, outbox_slots: Words) -> None:
    """The frame of :func:`next_frame` is journaled and applied: count it, and tell asyncio where it wants to know."""
    header = in_header(e)[0]
    hot.rows[k, L_IN_NS] = header.recv_ns
    hot.rows[k, L_TAKEN] += 1
    if header.kind != _EXECUTION and header.kind != _REJECT:
        return
    record_answer(
        hot.histograms[_MINE, _ACK], hot.histograms[_MINE, _TRIP], hot.sent_ns, hot.ring_ns,
        np.int64(in_execution(e)[0].cl_ord_id), header.recv_ns,
    )  # fmt: skip
    if hot.rows[k, L_INFORM] != 0:
        spsc_push(outbox_words, outbox_slots, in_cells(e), 0)


@kernel(internal=True)
def begin_turn(hot: Hot) -> None:
    """Obey whoever wants a session back, and look at the clock for all: also in turns that can do nothing else."""
    count = hot.words[H_COUNT]
    if count == 0:
        return
    now = clock_ns(1) + hot.words[H_OFFSET_NS]
    due = now - hot.words[H_TICKED_NS] >= TICK_NS
    if due:
        hot.words[H_TICKED_NS] = now
    for k in range(count):
        owner = lane_owner(hot.lanes, k)
        if owner != _HOT:
            continue
        hot.rows[k, L_HOT] = 1
        if due:
            lane_tick(hot.lanes, k, now)
        else:
            lane_heed(hot.lanes, k)


@kernel(internal=True)
def offered(hot: Hot, inbox_empty: bool) -> None:
    """Take the sessions that asyncio offers, once nothing of theirs is under way."""
    for k in range(hot.words[H_COUNT]):
        if inbox_empty and lane_owner(hot.lanes, k) == _OFFERED:
            hot.rows[k, L_DONE] = 0
            lane_accept(hot.lanes, k, load_acquire(hot.words, H_HANDLED), hot.rows[k, L_COLD])


@kernel(internal=True)
def received(hot: Hot, k: int, turns: Any) -> int:
    """Frames in lane ``k``'s hands; its socket is asked every H_EVERY turns."""
    if hot.rows[k, L_HOT] == 0 and lane_owner(hot.lanes, k) != _HOT:
        return np.int64(0)
    if hot.rows[k, L_DONE] == 0 and turns % hot.words[H_EVERY] != 0:
        return np.int64(0)
    return lane_receive(hot.lanes, k, clock_ns(1) + hot.words[H_OFFSET_NS])


@kernel(internal=True)
def end_turn(hot: Hot) -> None:
    """Note the sessions that went back to asyncio, and those that want another store window."""
    for k in range(hot.words[H_COUNT]):
        if hot.rows[k, L_HOT] == 0:
            continue
        if lane_owner(hot.lanes, k) != _HOT:
            hot.rows[k, L_HOT] = 0
            hot.rows[k, L_RETURNS] += 1
            hot.words[H_RETURNS] += 1
        elif lane_moves(hot.lanes, k) != hot.rows[k, L_MOVES]:
            hot.rows[k, L_MOVES] = lane_moves(hot.lanes, k)
            hot.words[H_RETURNS] += 1


__all__ = [
    "H_COUNT", "H_EVERY", "H_HANDLED", "H_RETURNS", "H_RING_NS", "H_TELL", "LANE_FRAMES", "L_INFORM", "L_IN_NS",
    "L_RETURNS", "L_SENT", "L_TAKEN", "MAX_LANES", "SENT_SOURCE", "Hot", "begin_turn", "end_turn", "frame_taken",
    "hand_on", "is_hot", "make_hot", "next_frame", "offered", "received", "record_age", "stamp",
]  # fmt: skip
