"""Market data of many publishers, as one stream of input frames a source.

A *source* is a ring, or a FIX session that brings quotes. Each ring has a row of words in one flat
table: where it is mapped, how far it was read, when its publisher last gave a sign of life, and what
was counted. ``fan_in`` puts the next input frame of one ring into the step's scratch: the driver
takes it as it takes any frame, so that everything said here is journaled and replays.

What a ring gives, in this order:

1. Its publisher's life, looked at once a millisecond of step time. Heartbeat or cursor moved: a TIMER
   frame now and then, so that quiet books stay fresh. Neither moved for the silence that the publisher
   promised, or it ended: a TIMER frame that voids its books, in the very turn that finds it.
2. Books to restore: the publisher's book table, row by row. After an attach (as soon as the publisher has
   given a sign of life: a table that a dead one left proves nothing), after the publisher came back, when
   instruments were defined, and after a lap.
3. Frames of the ring. One that was overwritten before it was read: a voiding TIMER frame, the cursor
   goes to the publisher's present end, and the table is read again.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.handle import Handle, books, in_cells, in_header, in_quote, in_timer, scalars
from engine.state import SOURCE_VOID, W_NOW
from market.arrays import words_at
from market.atomics import clock_ns, load_acquire
from market.enums import FrameKind
from market.jit import kernel
from market.rings import (
    FRAME_WORDS,
    MAX_RINGS,
    W_BOOKS,
    W_CLOSED,
    W_CURSOR,
    W_HEARTBEAT,
    W_SILENCE_NS,
    book_read,
    ring_read,
)

Words = npt.NDArray[np.int64]

# Words of one ring's row.
(
    R_ADDRESS,  # of the mapping; 0: no ring
    R_LENGTH,  # words mapped
    R_CURSOR,  # next frame
    R_WISH,  # restorations asked for; the event loop's word, all others are the step's
    R_WISHED,  # the last of them that was begun
    R_RESTORE,  # next row of the book table, -1: none to restore
    R_WATCHED_NS,  # step time of the last look at the publisher
    R_LIFE,  # heartbeat + cursor at that look
    R_MOVED_NS,  # step time at which they last moved
    R_TOLD_NS,  # step time of the last TIMER frame that said so
    R_DEAD,  # 1: no sign of life (yet, or any more)
    R_STARTED_NS,  # monotonic clock at which the restoration began
    # Counted, never reset:
    R_FRAMES,  # frames read
    R_ORPHANS,  # quotes of instruments that no listing maps to
    R_GAPS,  # times that a book's src_seq jumped
    R_MISSED,  # numbers jumped over
    R_LAPS,  # times that the publisher overtook us
    R_LAPPED,  # frames lost by it
    R_DEATHS,  # times that the publisher fell silent or ended
    R_VOIDS,  # times that the publisher itself said that its books are void
    R_RESTORES,  # times that the book table was read
    R_RESTORED,  # books taken from it
    R_TORN,  # rows of it whose writer died in the middle
    R_RESTORE_NS,  # longest restoration
) = range(24)
SOURCE_WORDS = 32
COUNTERS = {
    "frames": R_FRAMES,
    "orphans": R_ORPHANS,
    "gaps": R_GAPS,
    "missed": R_MISSED,
    "laps": R_LAPS,
    "lapped_frames": R_LAPPED,
    "deaths": R_DEATHS,
    "voids": R_VOIDS,
    "restores": R_RESTORES,
    "restored_books": R_RESTORED,
    "torn_books": R_TORN,
    "longest_restore_ns": R_RESTORE_NS,
}

WATCH_NS = 1_000_000
ALIVE_NS = 100_000_000
_SKIPS = 1024  # frames that are not for the step, passed over in one call

_QUOTE = np.int64(FrameKind.QUOTE)
_TIMER = np.int64(FrameKind.TIMER)


def make_sources() -> Words:
    """The table: MAX_RINGS rows of SOURCE_WORDS, none of them bound."""
    return np.zeros(MAX_RINGS * SOURCE_WORDS, np.int64)


def bind_source(sources: Words, ring: int, words: Words | None, cursor: int = 0) -> None:
    """Give row ``ring`` a mapping to read from ``cursor`` on, or none. The step must not be running.

    The caller keeps ``words`` alive, and tells the step that what it knew of this source is void.
    """
    row = sources[ring * SOURCE_WORDS : (ring + 1) * SOURCE_WORDS]
    row[: R_STARTED_NS + 1] = 0
    row[R_RESTORE] = -1
    row[R_DEAD] = 1
    if words is not None:
        row[R_CURSOR] = cursor
        row[R_LIFE] = words[W_HEARTBEAT] + words[W_CURSOR]
        row[R_LENGTH], row[R_ADDRESS] = len(words), words.ctypes.data


def wish_restore(sources: Words, ring: int) -> None:
    """Event loop: have the book table of ``ring`` read (again)."""
    sources[ring * SOURCE_WORDS + R_WISH] += 1


def word(sources: Words, ring: int, which: int) -> int:
    """One word of one ring's row."""
    return int(sources[ring * SOURCE_WORDS + which])


def total(sources: Words, which: int) -> int:
    """The sum of one counter over all rings."""
    return int(sources[which::SOURCE_WORDS].sum())


class SourceReport(NamedTuple):
    """What status shows of one ring."""

    alive: bool
    waiting: int
    counters: dict[str, int]


def source_report(sources: Words, ring: int) -> SourceReport:
    """State and counters of one ring; call it on the event loop while the ring stays bound."""
    alive = word(sources, ring, R_ADDRESS) != 0 and not word(sources, ring, R_DEAD)
    waiting = int(fan_waiting(sources, ring))
    return SourceReport(alive, waiting, {name: word(sources, ring, which) for name, which in COUNTERS.items()})


@kernel
def fan_waiting(sources: Words, ring: int) -> int:
    """Frames of ``ring`` that were published and not read yet."""
    at = ring * SOURCE_WORDS
    if sources[at + R_ADDRESS] == 0:
        return 0
    words = words_at(sources[at + R_ADDRESS], sources[at + R_LENGTH])
    return int(max(load_acquire(words, W_CURSOR) - sources[at + R_CURSOR], 0))


@kernel(internal=True)
def _timer(e: Handle, ring: int, period_ns: int, alive_ns: int) -> None:
    """The source lives, or (period SOURCE_VOID) its books are void."""
    for k in range(FRAME_WORDS):
        in_cells(e)[0, k] = 0
    frame = in_timer(e)[0]
    frame.kind = _TIMER
    frame.source = ring
    frame.timer = ring + 1
    frame.period_ns = period_ns
    frame.wall_ns = alive_ns


@kernel(internal=True)
def _begin_restore(sources: Words, at: int) -> None:
    sources[at + R_RESTORE] = 0
    sources[at + R_STARTED_NS] = clock_ns(1)


@kernel(internal=True)
def _watch(e: Handle, sources: Words, at: int, ring: int, words: Words, now: int) -> bool:
    """Look whether the publisher lives; True when a TIMER frame about it stands in the scratch."""
    sources[at + R_WATCHED_NS] = now
    cursor = load_acquire(words, W_CURSOR)
    life = load_acquire(words, W_HEARTBEAT) + cursor
    if sources[at + R_MOVED_NS] == 0:
        sources[at + R_MOVED_NS] = now
    if life != sources[at + R_LIFE] and words[W_CLOSED] == 0:
        sources[at + R_LIFE] = life
        sources[at + R_MOVED_NS] = now
        if sources[at + R_DEAD] != 0:
            sources[at + R_DEAD] = 0
            sources[at + R_TOLD_NS] = 0
            _begin_restore(sources, at)
        if now - sources[at + R_TOLD_NS] < ALIVE_NS:
            return False
        sources[at + R_TOLD_NS] = now
        _timer(e, ring, 0, now)
        return True
    # What it published before its end is read first, and voided with the rest.
    unread = sources[at + R_CURSOR] < cursor
    silent = words[W_CLOSED] != 0 or now - sources[at + R_MOVED_NS] > words[W_SILENCE_NS]
    if sources[at + R_DEAD] != 0 or unread or not silent:
        return False
    sources[at + R_DEAD] = 1
    sources[at + R_DEATHS] += 1
    sources[at + R_RESTORE] = -1
    _timer(e, ring, SOURCE_VOID, 0)
    return True


@kernel(internal=True)
def _ours(e: Handle, numbers: npt.NDArray[np.int32], ring: int) -> bool:
    """Give the quote in the scratch our instrument number; False if we have none."""
    index = np.int64(in_quote(e)[0].instrument)
    if index >= numbers.shape[1] or numbers[ring, index] < 0:
        return False
    in_header(e)[0].source = ring
    in_quote(e)[0].instrument = numbers[ring, index]
    return True


@kernel(internal=True)
def _restore(e: Handle, sources: Words, at: int, ring: int, words: Words, numbers: npt.NDArray[np.int32]) -> bool:
    """The next book of the table; False at its end."""
    row = sources[at + R_RESTORE]
    while row < words[W_BOOKS]:
        got = book_read(words, row, in_cells(e), 0)
        row += 1
        if got < 0:
            sources[at + R_TORN] += 1
        elif got > 0 and _ours(e, numbers, ring):
            sources[at + R_RESTORED] += 1
            sources[at + R_RESTORE] = row
            return True
    sources[at + R_RESTORE] = -1
    sources[at + R_RESTORES] += 1
    sources[at + R_RESTORE_NS] = max(sources[at + R_RESTORE_NS], clock_ns(1) - sources[at + R_STARTED_NS])
    return False


@kernel(internal=True)
def _count_gap(e: Handle, sources: Words, at: int, ring: int) -> None:
    """Numbers that a book's publisher used and we never saw. A quote is a whole book: nothing else follows."""
    quote = in_quote(e)[0]
    book = books(e)[np.int64(quote.instrument)]
    before, seen = np.int64(book.src_seq), np.int64(quote.src_seq)
    if book.source == ring and before > 0 and seen > before + 1:
        sources[at + R_GAPS] += 1
        sources[at + R_MISSED] += seen - before - 1


@kernel(internal=True)
def _read(e: Handle, sources: Words, at: int, ring: int, words: Words, numbers: npt.NDArray[np.int32]) -> bool:
    """The next frame of the ring that is for the step."""
    for _ in range(_SKIPS):
        cursor = sources[at + R_CURSOR]
        got = ring_read(words, cursor, in_cells(e), 0)
        if got == 0:
            return False
        if got < 0:
            end = load_acquire(words, W_CURSOR)
            sources[at + R_LAPS] += 1
            sources[at + R_LAPPED] += end - cursor
            sources[at + R_CURSOR] = end
            _begin_restore(sources, at)  # after the cursor is noted: what enters the table meanwhile comes twice
            _timer(e, ring, SOURCE_VOID, 0)
            return True
        sources[at + R_CURSOR] = cursor + 1
        sources[at + R_FRAMES] += 1
        kind = np.int64(in_header(e)[0].kind)
        if kind == _QUOTE:
            if _ours(e, numbers, ring):
                _count_gap(e, sources, at, ring)
                return True
            sources[at + R_ORPHANS] += 1
        elif kind == _TIMER and in_timer(e)[0].period_ns == SOURCE_VOID:
            sources[at + R_VOIDS] += 1
            sources[at + R_RESTORE] = -1
            _timer(e, ring, SOURCE_VOID, 0)
            return True
    return False


@kernel
def fan_in(e: Handle, sources: Words, numbers: npt.NDArray[np.int32], ring: int) -> bool:
    """Put the next input frame of ``ring`` into row 0 of the step's scratch; False if there is none now.

    ``numbers`` int32[MAX_RINGS, n]: the publisher's instrument number to ours, -1 unknown.
    """
    at = ring * SOURCE_WORDS
    if sources[at + R_ADDRESS] == 0:
        return False
    words = words_at(sources[at + R_ADDRESS], sources[at + R_LENGTH])
    now = scalars(e)[W_NOW]
    if abs(now - sources[at + R_WATCHED_NS]) >= WATCH_NS and _watch(e, sources, at, ring, words, now):
        return True
    wish = load_acquire(sources, at + R_WISH)
    if wish != sources[at + R_WISHED]:
        sources[at + R_WISHED] = wish
        if sources[at + R_DEAD] == 0:  # else it is restored when it lives
            _begin_restore(sources, at)
    if sources[at + R_RESTORE] >= 0 and _restore(e, sources, at, ring, words, numbers):
        return True
    return _read(e, sources, at, ring, words, numbers)


__all__ = [
    "MAX_RINGS", "SOURCE_WORDS", "SourceReport", "bind_source", "fan_in", "fan_waiting", "make_sources",
    "source_report", "total", "wish_restore", "word",
]  # fmt: skip
