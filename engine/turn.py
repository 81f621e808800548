"""One kernel, three drivers: take waiting frames from every source, journal, step, hand on.

Per frame: stamp ``recv_ns``, append to the journal, ``step``, append the outputs, push them to the
outbox. The stamp comes from the monotonic clock plus an offset fixed at start, so that somebody
setting the wall clock cannot make data look fresh or old.

``turn`` is called by the asyncio callbacks of park and poll mode; ``spin`` runs it for ever in a
nogil thread. Whoever calls it is *the* step thread: nobody else touches the state.
"""

import os
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types

from engine.fanin import MAX_RINGS, R_RESTORE, SOURCE_WORDS, fan_in, fan_waiting
from engine.handle import Handle, in_cells, in_commit, in_header, out_cells
from engine.journal import J_NEXT_SEQ, JournalView, journal_append, room
from engine.lanes import (
    H_COUNT,
    H_EVERY,
    H_RETURNS,
    H_RING_NS,
    Hot,
    begin_turn,
    end_turn,
    frame_taken,
    hand_on,
    next_frame,
    offered,
    received,
    record_age,
    stamp,
)
from engine.state import OUTPUT_FRAMES, W_OUT
from engine.step.dispatch import step
from gpu.chain.theo_table import ROWS, WRITING, theo_read
from market.atomics import c_write, clock_ns, cpu_pause, load_acquire, store_release
from market.enums import FrameKind
from market.jit import JIT_ENABLED, kernel
from market.records import FRAME_BYTES
from market.rings import spsc_pop

_COMMIT = int(FrameKind.THEO_COMMIT)

if JIT_ENABLED:
    c_yield = types.ExternalFunction("sched_yield", types.int32())
else:
    c_yield = os.sched_yield

# feeds.words: the driver's own words, not part of the state.
(
    F_OFFSET_NS,  # monotonic clock + this = step time
    F_STOP,  # spin only: leave at the next turn
    F_THEO_SEEN,  # last theo refresh delivered
    F_STALLS,  # turns in which the outbox was full
    F_BACKLOG,  # frames waiting in the rings at the start of the last turn
    F_BACKLOG_MAX,
    F_TURNS,
    F_UNDERLYING,  # instrument number of the theo table's underlying
    F_EMPTY,  # turns that left nothing waiting
    F_TAKEN,  # inbox frames journaled and applied so far: what a waiting session may count on
    F_YIELD_AFTER,  # spin only: idle turns after which the core is offered to others; 0: never
    F_YIELDS,  # times that it was
) = range(12)
FEED_WORDS = 32

STATUS_IDLE = 0
STATUS_MORE = 1  # the budget ended before the sources were empty
STATUS_ROTATE = 2  # the journal segment has no room for another step
STATUS_STALLED = 3  # the outbox has no room for another step's output


class Feeds(NamedTuple):
    """Where frames come from and go to."""

    words: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]  # engine.fanin: one row of words for each ring
    numbers: npt.NDArray[np.int32]  # [MAX_RINGS, capacity] publisher's index -> instrument, -1 unknown
    inbox_words: npt.NDArray[np.int64]
    inbox_slots: npt.NDArray[np.int64]
    outbox_words: npt.NDArray[np.int64]
    outbox_slots: npt.NDArray[np.int64]
    theo_words: npt.NDArray[np.int64]
    theo_first: Any  # THEO, the table's two buffers
    theo_second: Any
    theo_rows: Any  # THEO scratch
    theo_cells: npt.NDArray[np.int64]  # the same memory
    hot: Hot  # sessions that the step drives itself


@kernel
def _outbox_room(feeds: Feeds) -> int:
    return feeds.outbox_words[16] - (feeds.outbox_words[0] - load_acquire(feeds.outbox_words, 8))


@kernel
def take(e: Handle, journal: JournalView, feeds: Feeds, now: bool) -> None:
    """Journal and apply the frame in ``e.inputs`` row 0, journal and hand on its outputs.

    ``now``: it is taken now; else it bears the time of its kind's first. The caller has made sure of
    room in journal and outbox.
    """
    if now:
        in_header(e)[0].recv_ns = clock_ns(1) + feeds.words[F_OFFSET_NS]
    journal_append(journal, in_cells(e), 0, 1)
    count = step(e, 0)
    if count > 0:
        journal_append(journal, out_cells(e), 0, count)
        hand_on(e, feeds.hot, feeds.outbox_words, feeds.outbox_slots, count)
        stamp(e, journal, feeds.hot, count)


@kernel
def _blocked(journal: JournalView, feeds: Feeds) -> int:
    """Why no further frame may be taken now; 0 if one may."""
    if room(journal) <= OUTPUT_FRAMES:
        return STATUS_ROTATE
    if _outbox_room(feeds) <= OUTPUT_FRAMES:  # one more: a lane's report for asyncio
        feeds.words[F_STALLS] += 1
        return STATUS_STALLED
    return STATUS_IDLE


@kernel
def _from_inbox(e: Handle, journal: JournalView, feeds: Feeds, budget: int) -> int:
    """Sessions, operators and time first: answers free what new orders need."""
    taken = 0
    while taken < budget:
        blocked = _blocked(journal, feeds)
        if blocked != 0:
            return -blocked
        if not spsc_pop(feeds.inbox_words, feeds.inbox_slots, in_cells(e), 0):
            break
        feeds.hot.words[H_RING_NS] = 0
        take(e, journal, feeds, True)
        # The ring's own tail moves when a frame is popped, which is before it is in the journal.
        store_release(feeds.words, F_TAKEN, feeds.words[F_TAKEN] + 1)
        taken += 1
    return taken


@kernel
def _from_ring(e: Handle, journal: JournalView, feeds: Feeds, ring: int, budget: int) -> int:
    """Market data of one publisher, and what there is to say of it."""
    taken = 0
    while taken < budget:
        blocked = _blocked(journal, feeds)
        if blocked != 0:
            return -blocked
        if not fan_in(e, feeds.sources, feeds.numbers, ring):
            break
        # What is read back from the table of standing books is as old as it is, and waited for nobody.
        restored = feeds.sources[ring * SOURCE_WORDS + R_RESTORE] >= 0
        feeds.hot.words[H_RING_NS] = 0 if restored else in_header(e)[0].recv_ns
        take(e, journal, feeds, True)
        record_age(e, feeds.hot)
        taken += 1
    return taken


@kernel
def _from_lanes(e: Handle, journal: JournalView, feeds: Feeds, budget: int) -> int:
    """What hot sessions have received: their peers' numbers move when it is journaled and applied."""
    taken = 0
    for k in range(feeds.hot.words[H_COUNT]):
        first = taken
        while taken - first < budget:
            pending = received(feeds.hot, k, feeds.words[F_TURNS])
            if pending == 0:
                break
            while True:
                blocked = _blocked(journal, feeds)
                if blocked != 0:
                    return -blocked
                if not next_frame(e, feeds.hot, k, pending):
                    break
                feeds.hot.words[H_RING_NS] = 0
                take(e, journal, feeds, True)
                frame_taken(e, feeds.hot, k, feeds.outbox_words, feeds.outbox_slots)
                taken += 1
    return taken


@kernel
def _from_theo(e: Handle, journal: JournalView, feeds: Feeds) -> int:
    """A whole refresh of the theo table, row by row, closed by a commit: one place in the order."""
    if load_acquire(feeds.theo_words, 0) == feeds.words[F_THEO_SEEN]:
        return 0
    sequence = theo_read(feeds.theo_words, feeds.theo_first, feeds.theo_second, feeds.theo_rows)
    if sequence <= 0 or sequence == feeds.words[F_THEO_SEEN]:
        return 0
    count = feeds.theo_words[ROWS + (sequence & 1)]
    if load_acquire(feeds.theo_words, WRITING) >= sequence + 2:
        return 0  # the count may be of the refresh being written: take that one when it is there
    if room(journal) <= OUTPUT_FRAMES + count:  # rows put nothing out, their commit may
        return -STATUS_ROTATE
    if _outbox_room(feeds) < OUTPUT_FRAMES:
        return -STATUS_STALLED
    feeds.words[F_THEO_SEEN] = sequence
    feeds.hot.words[H_RING_NS] = 0
    now = clock_ns(1) + feeds.words[F_OFFSET_NS]
    for row in range(count):
        for k in range(16):
            in_cells(e)[0, k] = feeds.theo_cells[row, k]
        in_header(e)[0].recv_ns = now
        take(e, journal, feeds, False)
    for k in range(16):
        in_cells(e)[0, k] = 0
    commit = in_commit(e)[0]
    commit.kind = _COMMIT
    commit.ts_ns = feeds.theo_rows[0].ts_ns
    commit.refresh = np.uint64(sequence)
    commit.rows = count
    commit.underlying = feeds.words[F_UNDERLYING]
    commit.spot_ref = feeds.theo_rows[0].spot_ref
    take(e, journal, feeds, True)
    return count


@kernel
def finish_lane(e: Handle, journal: JournalView, feeds: Feeds, k: int) -> bool:
    """Take the frames that lane ``k`` has in hand, so that it can go back; False where there is no room for them."""
    pending = received(feeds.hot, k, np.int64(0))
    while pending > 0:
        if _blocked(journal, feeds) != 0:
            return False
        if not next_frame(e, feeds.hot, k, pending):
            break
        feeds.hot.words[H_RING_NS] = 0
        take(e, journal, feeds, True)
        frame_taken(e, feeds.hot, k, feeds.outbox_words, feeds.outbox_slots)
    return True


@kernel
def _sources(e: Handle, journal: JournalView, feeds: Feeds, budget: int) -> int:
    """One round of all sources; the STATUS_* code."""
    waiting = np.int64(0)
    more = STATUS_IDLE
    got = _from_inbox(e, journal, feeds, 4 * budget)
    if got < 0:
        return -got
    if got == 4 * budget:
        more = STATUS_MORE
    # Only in a turn that also asks their sockets: one wished back at once has read what was waiting.
    offered(feeds.hot, got < 4 * budget and feeds.words[F_TURNS] % feeds.hot.words[H_EVERY] == 0)
    got = _from_lanes(e, journal, feeds, budget)
    if got < 0:
        return -got
    if got >= budget:
        more = STATUS_MORE
    for ring in range(MAX_RINGS):
        waiting += fan_waiting(feeds.sources, ring)
        got = _from_ring(e, journal, feeds, ring, budget)
        if got < 0:
            return -got
        if got == budget:
            more = STATUS_MORE
    feeds.words[F_BACKLOG] = waiting
    feeds.words[F_BACKLOG_MAX] = max(waiting, feeds.words[F_BACKLOG_MAX])
    got = _from_theo(e, journal, feeds)
    if got < 0:
        return -got
    if more == STATUS_IDLE:
        feeds.words[F_EMPTY] += 1
    return more


@kernel
def turn(e: Handle, journal: JournalView, feeds: Feeds, budget: int) -> int:
    """Take up to ``budget`` frames of each source; returns a STATUS_* code."""
    feeds.words[F_TURNS] += 1
    begin_turn(feeds.hot)
    status = _sources(e, journal, feeds, budget)
    end_turn(feeds.hot)
    return status


@kernel
def linger(e: Handle, journal: JournalView, feeds: Feeds, budget: int, turns: int) -> int:
    """Poll mode: up to ``turns`` turns, while asyncio has nothing to do about them; returns a STATUS_* code."""
    status = STATUS_IDLE
    outbox, returns = feeds.outbox_words[0], feeds.hot.words[H_RETURNS]
    for _ in range(turns):
        status = turn(e, journal, feeds, budget)
        asyncio_waits = feeds.outbox_words[0] != outbox or feeds.hot.words[H_RETURNS] != returns
        if asyncio_waits or (status != STATUS_IDLE and status != STATUS_MORE):
            return status
    return status


@kernel
def spin(e: Handle, journal: JournalView, feeds: Feeds, budget: int, wake_fd: int, one: npt.NDArray[np.int64]) -> int:
    """Turn until told to stop or until Python must act (STATUS_ROTATE); the caller re-enters.

    ``wake_fd`` is the outbox's eventfd, written whenever frames were put out or a session went back to
    asyncio; ``one`` is int64[1] = 1.
    """
    idle = 0
    while load_acquire(feeds.words, F_STOP) == 0:
        outbox, returns, steps = feeds.outbox_words[0], feeds.hot.words[H_RETURNS], journal.words[J_NEXT_SEQ]
        status = turn(e, journal, feeds, budget)
        if feeds.outbox_words[0] != outbox or feeds.hot.words[H_RETURNS] != returns:
            c_write(np.int32(wake_fd), np.uintp(one.ctypes.data), np.uintp(8))
        if status == STATUS_ROTATE:
            return status
        idle = 0 if journal.words[J_NEXT_SEQ] != steps else idle + 1
        if 0 < feeds.words[F_YIELD_AFTER] <= idle:
            feeds.words[F_YIELDS] += 1
            c_yield()
            idle = 0
        elif idle > 0:
            cpu_pause()
    return STATUS_IDLE


__all__ = ["FEED_WORDS", "FRAME_BYTES", "MAX_RINGS", "W_OUT", "Feeds", "finish_lane", "linger", "spin", "take", "turn"]
