"""One kernel, three drivers: take waiting frames from every source, journal, step, hand on.

Per frame: stamp ``recv_ns``, append to the journal, ``step``, append the outputs, push them to the
outbox. The stamp comes from the monotonic clock plus an offset fixed at start, so that somebody
setting the wall clock cannot make data look fresh or old.

``turn`` is called by the asyncio callbacks of park and poll mode; ``spin`` runs it for ever in a
nogil thread. Whoever calls it is *the* step thread: nobody else touches the state.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.handle import Handle, in_cells, in_commit, in_header, in_quote, in_timer, out_cells
from engine.journal import JournalView, journal_append, room
from engine.state import OUTPUT_FRAMES, SOURCE_VOID, W_OUT
from engine.step.dispatch import step
from gpu.theo_table import ROWS, WRITING, theo_read
from market.atomics import c_write, clock_ns, cpu_pause, load_acquire, store_release
from market.enums import FrameKind
from market.jit import kernel
from market.records import FRAME_BYTES
from market.rings import W_CURSOR, W_SLOTS, ring_read, spsc_pop, spsc_push

_QUOTE = int(FrameKind.QUOTE)
_COMMIT = int(FrameKind.THEO_COMMIT)
_TIMER = int(FrameKind.TIMER)

# feeds.words: the driver's own words, not part of the state.
(
    F_OFFSET_NS,  # monotonic clock + this = step time
    F_STOP,  # spin only: leave at the next turn
    F_LAPPED,  # frames lost because a reader was lapped
    F_ORPHANS,  # frames about instruments that no venue index maps to
    F_THEO_SEEN,  # last theo refresh delivered
    F_STALLS,  # turns in which the outbox was full
    F_BACKLOG,  # frames waiting in the rings at the start of the last turn
    F_BACKLOG_MAX,
    F_TURNS,
    F_UNDERLYING,  # instrument number of the theo table's underlying
    F_EMPTY,  # turns that left nothing waiting
    F_TAKEN,  # inbox frames journaled and applied so far: what a waiting session may count on
) = range(12)
FEED_WORDS = 32
MAX_RINGS = 4

STATUS_IDLE = 0
STATUS_MORE = 1  # the budget ended before the sources were empty
STATUS_ROTATE = 2  # the journal segment has no room for another step
STATUS_STALLED = 3  # the outbox has no room for another step's output
STATUS_LAPPED = 4  # a ring overtook us: the step was told that its books are void


class Feeds(NamedTuple):
    """Where frames come from and go to."""

    words: npt.NDArray[np.int64]
    rings: tuple[npt.NDArray[np.int64], ...]  # MAX_RINGS header+slot words (an idle ring fills a gap)
    cursors: npt.NDArray[np.int64]  # [MAX_RINGS] next frame of each ring
    numbers: npt.NDArray[np.int32]  # [MAX_RINGS, capacity] venue index -> instrument, -1 unknown
    inbox_words: npt.NDArray[np.int64]
    inbox_slots: npt.NDArray[np.int64]
    outbox_words: npt.NDArray[np.int64]
    outbox_slots: npt.NDArray[np.int64]
    theo_words: npt.NDArray[np.int64]
    theo_first: Any  # THEO, the table's two buffers
    theo_second: Any
    theo_rows: Any  # THEO scratch
    theo_cells: npt.NDArray[np.int64]  # the same memory


@kernel
def _outbox_room(feeds: Feeds) -> int:
    return feeds.outbox_words[16] - (feeds.outbox_words[0] - load_acquire(feeds.outbox_words, 8))


@kernel
def take(e: Handle, journal: JournalView, feeds: Feeds, stamp: bool) -> None:
    """Journal and apply the frame in ``e.inputs`` row 0, journal and hand on its outputs.

    The caller has made sure of room in journal and outbox.
    """
    if stamp:
        in_header(e)[0].recv_ns = clock_ns(1) + feeds.words[F_OFFSET_NS]
    journal_append(journal, in_cells(e), 0, 1)
    count = step(e, 0)
    if count > 0:
        journal_append(journal, out_cells(e), 0, count)
        for row in range(count):
            spsc_push(feeds.outbox_words, feeds.outbox_slots, out_cells(e), row)


@kernel
def _blocked(journal: JournalView, feeds: Feeds) -> int:
    """Why no further frame may be taken now; 0 if one may."""
    if room(journal) <= OUTPUT_FRAMES:
        return STATUS_ROTATE
    if _outbox_room(feeds) < OUTPUT_FRAMES:
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
        take(e, journal, feeds, True)
        # The ring's own tail moves when a frame is popped, which is before it is in the journal.
        store_release(feeds.words, F_TAKEN, feeds.words[F_TAKEN] + 1)
        taken += 1
    return taken


@kernel
def void_source(e: Handle, journal: JournalView, feeds: Feeds, ring: int) -> None:
    """Tell the step that it has missed frames of ``ring``: its books do not hold until they are repeated."""
    for k in range(16):
        in_cells(e)[0, k] = 0
    frame = in_timer(e)[0]
    frame.kind = _TIMER
    frame.source = ring
    frame.timer = ring + 1
    frame.period_ns = SOURCE_VOID
    take(e, journal, feeds, True)


@kernel
def _from_ring(
    e: Handle, journal: JournalView, feeds: Feeds, ring: int, words: npt.NDArray[np.int64], budget: int
) -> int:
    """Market data of one publisher, its own instrument numbers translated to ours."""
    taken = 0
    while taken < budget:
        blocked = _blocked(journal, feeds)
        if blocked != 0:
            return -blocked
        cursor = feeds.cursors[ring]
        got = ring_read(words, cursor, in_cells(e), 0)
        if got == 0:
            break
        if got < 0:
            # Continue at the publisher's present end; what was lost is repeated by its carousel.
            now_at = load_acquire(words, W_CURSOR)
            feeds.words[F_LAPPED] += now_at - cursor
            feeds.cursors[ring] = now_at
            void_source(e, journal, feeds, ring)
            return -STATUS_LAPPED
        feeds.cursors[ring] = cursor + 1
        header = in_header(e)[0]
        if header.kind != _QUOTE:
            continue
        index = np.int64(in_quote(e)[0].instrument)
        number = np.int64(-1)
        if index < feeds.numbers.shape[1]:
            number = np.int64(feeds.numbers[ring, index])
        if number < 0:
            feeds.words[F_ORPHANS] += 1
            continue
        header.source = ring
        in_quote(e)[0].instrument = number
        take(e, journal, feeds, True)
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
def turn(e: Handle, journal: JournalView, feeds: Feeds, budget: int) -> int:
    """Take up to ``budget`` frames of each source; returns a STATUS_* code."""
    feeds.words[F_TURNS] += 1
    waiting = np.int64(0)
    more = STATUS_IDLE
    got = _from_inbox(e, journal, feeds, 4 * budget)
    if got < 0:
        return -got
    if got == 4 * budget:
        more = STATUS_MORE
    for ring in range(MAX_RINGS):
        words = feeds.rings[ring]
        if words[W_SLOTS] == 0:
            continue
        waiting += words[W_CURSOR] - feeds.cursors[ring]
        got = _from_ring(e, journal, feeds, ring, words, budget)
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
def spin(e: Handle, journal: JournalView, feeds: Feeds, budget: int, wake_fd: int, one: npt.NDArray[np.int64]) -> int:
    """Turn until told to stop or until Python must act (STATUS_ROTATE); the caller re-enters.

    ``wake_fd`` is the outbox's eventfd, written whenever frames were put out; ``one`` is int64[1] = 1.
    """
    while load_acquire(feeds.words, F_STOP) == 0:
        before = feeds.outbox_words[0]
        status = turn(e, journal, feeds, budget)
        if feeds.outbox_words[0] != before:
            c_write(np.int32(wake_fd), np.uintp(one.ctypes.data), np.uintp(8))
        if status == STATUS_ROTATE:
            return status
        if status == STATUS_IDLE or status == STATUS_STALLED:
            for _ in range(16):
                cpu_pause()
    return STATUS_IDLE


__all__ = ["FEED_WORDS", "FRAME_BYTES", "MAX_RINGS", "W_OUT", "Feeds", "spin", "take", "turn"]
