"""How frames travel: a shared-memory broadcast ring between processes, an SPSC ring between threads.

Broadcast ring: one publisher, any number of readers that it never waits for. Each slot holds a
sequence word on its own cache line (2n+1 while frame n is written, 2n+2 once it stands) and the
128-byte frame; a reader keeps its own cursor, and finds by the sequence word that it was lapped.

Behind the slots stands the *book table*: one row per instrument number of the publisher, the last
QUOTE frame of that book under a seqlock of its own. A frame enters the table before the cursor
passes it. So a reader that was lapped, or has only just attached, notes the cursor, reads the whole
table and goes on from that cursor: it has missed nothing that still holds, and what it meets again
carries a ``src_seq`` that it has seen. No waiting for repetitions.

The header carries epoch (the clock when the publisher opened the ring, so that it never comes again),
heartbeat, the longest silence that the publisher promises, pid, whether it ended in order, and the
source's market time, so that a dead or restarted publisher is seen. A publisher that ends in order
removes the file; one that was killed leaves it to its successor.

A reader that parks would need a wake-up in another process: each parked reader binds a datagram
socket beside the ring file and raises the ``parked`` word; a publisher that sees the word raised
sends one byte to every such socket at the end of its batch. No system call is made while all
readers are awake. ``multiprocessing.shared_memory`` is not used: its resource tracker unlinks
segments when an attaching process exits.
"""

import contextlib
import mmap
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from market.atomics import cpu_pause, fence_acquire, fence_release, load_acquire, store_release
from market.enums import FrameKind
from market.errors import RingError
from market.jit import kernel
from market.records import FRAME_BYTES, HEADER, table

Words = npt.NDArray[np.int64]

MAGIC = 0x4158494F4D524E47  # "AXIOMRNG"
VERSION = 2

MAX_RINGS = 16  #: rings that one daemon reads; ``header.source`` of their frames is the ring's place
FIX_SOURCE = MAX_RINGS  #: ``header.source`` of a quote that FIX session k brought is FIX_SOURCE + k

# Header words.
(
    W_MAGIC,
    W_VERSION,
    W_SLOTS,
    W_EPOCH,
    W_CURSOR,
    W_HEARTBEAT,
    W_PID,
    W_PARKED,
    W_MARKET_NS,
    W_BOOKS,  # rows of the book table
    W_SILENCE_NS,  # neither heartbeat nor frame for longer than this: the publisher is dead
    W_CLOSED,  # 1: the publisher ended in order
) = range(12)
HEADER_WORDS = 64
SLOT_WORDS = 24  # 8 words (one cache line) of sequence, 16 words of frame
FRAME_WORDS = FRAME_BYTES // 8
DEFAULT_SLOTS = 1 << 14
DEFAULT_SILENCE_NS = 1_000_000_000
VOID_NS = -1  #: ``period_ns`` of a TIMER frame in a ring: no book of this source holds any more
_PUBLISHER_DEAD_AFTER_NS = 2_000_000_000
_MAX_BOOKS = 1 << 16
_TABLE_TRIES = 1000  # a row is written in tens of nanoseconds: beyond this its writer is dead

_QUOTE = np.int64(FrameKind.QUOTE)
_TIMER = np.int64(FrameKind.TIMER)
_KIND_MASK = np.int64(0xFFFF)
_INDEX_MASK = np.int64(0xFFFFFFFF)


@kernel
def _row_base(words: Words, index: int) -> int:
    return HEADER_WORDS + (words[W_SLOTS] + index) * SLOT_WORDS


@kernel
def _note_book(words: Words, frames: Words, row: int, index: int) -> None:
    """Make ``frames[row]`` the standing quote of book ``index``."""
    base = _row_base(words, index)
    version = words[base]
    store_release(words, base, version + 1)
    fence_release()
    for k in range(FRAME_WORDS):
        words[base + 8 + k] = frames[row, k]
    store_release(words, base, version + 2)


@kernel
def ring_publish(words: Words, frames: Words, row: int) -> None:
    """Publish ``frames[row]`` (int64[n, 16]) as the next frame. Publisher's thread only."""
    n = words[W_CURSOR]
    if frames[row, 0] & _KIND_MASK == _QUOTE:
        index = frames[row, 4] & _INDEX_MASK
        if index < words[W_BOOKS]:
            _note_book(words, frames, row, index)
    base = HEADER_WORDS + (n & (words[W_SLOTS] - 1)) * SLOT_WORDS
    store_release(words, base, 2 * n + 1)
    fence_release()
    for k in range(FRAME_WORDS):
        words[base + 8 + k] = frames[row, k]
    store_release(words, base, 2 * n + 2)
    store_release(words, W_CURSOR, n + 1)


@kernel
def ring_read(words: Words, cursor: int, out: Words, row: int) -> int:
    """Copy frame number ``cursor`` into ``out[row]``: 1 got it, 0 not there yet, -1 lapped."""
    base = HEADER_WORDS + (cursor & (words[W_SLOTS] - 1)) * SLOT_WORDS
    wanted = 2 * cursor + 2
    seen = load_acquire(words, base)
    if seen < wanted:
        return 0
    if seen > wanted:
        return -1
    for k in range(FRAME_WORDS):
        out[row, k] = words[base + 8 + k]
    fence_acquire()
    return 1 if load_acquire(words, base) == wanted else -1


@kernel
def book_read(words: Words, index: int, out: Words, row: int) -> int:
    """Copy the standing quote of book ``index``: 1 got it, 0 there is none, -1 its writer died in the middle."""
    base = _row_base(words, index)
    for _ in range(_TABLE_TRIES):
        version = load_acquire(words, base)
        if version == 0:
            return 0
        if version & 1 == 0:
            for k in range(FRAME_WORDS):
                out[row, k] = words[base + 8 + k]
            fence_acquire()
            if load_acquire(words, base) == version:
                return 1 if out[row, 0] & _KIND_MASK == _QUOTE else 0
        cpu_pause()
    return -1


@kernel
def ring_publish_many(words: Words, frames: Words, count: int) -> None:
    """Publish ``frames[:count]`` in order."""
    for row in range(count):
        ring_publish(words, frames, row)


@kernel
def ring_void(words: Words, scratch: Words) -> None:
    """Say that no book of this ring holds: empty the table, publish a TIMER frame of VOID_NS.

    For a publisher that passes on what another one sends and has missed some of it. ``scratch`` is int64[1, 16].
    """
    for k in range(FRAME_WORDS):
        scratch[0, k] = 0
    for index in range(words[W_BOOKS]):
        if words[_row_base(words, index)] != 0:
            _note_book(words, scratch, 0, index)
    scratch[0, 0] = _TIMER
    scratch[0, 5] = VOID_NS
    ring_publish(words, scratch, 0)


class BroadcastRing:
    """A ring mapped from a file (normally under /dev/shm); see the module's text for the protocol."""

    def __init__(self, path: Path, mapping: mmap.mmap, identity: tuple[int, int], publisher: bool) -> None:
        self.path = path
        self._identity = identity
        self.publisher = publisher
        self._mapping = mapping
        self.words: Words = np.frombuffer(mapping, np.int64)
        self._bell: socket.socket | None = None
        self._bell_path: Path | None = None
        self._sender: socket.socket | None = None

    @classmethod
    def create(
        cls, path: Path, slots: int = DEFAULT_SLOTS, books: int = 0, silence_ns: int = DEFAULT_SILENCE_NS
    ) -> "BroadcastRing":
        """Open ``path`` as its only publisher; a ring that stands there already is replaced.

        Parameters
        ----------
        slots
            A power of two: how many frames a reader may fall behind.
        books
            Rows of the book table: quotes of instrument numbers below it can be read back by a late reader.
        silence_ns
            The publisher's promise: it never goes longer without :meth:`beat`.

        Raises
        ------
        RingError
            A live process publishes to ``path``, or a size is out of range.
        """
        if slots & (slots - 1) or slots < 2:
            raise RingError(f"ring slots must be a power of two >= 2, was {slots}")
        if not 0 <= books <= _MAX_BOOKS:
            raise RingError(f"a ring's book table has 0..{_MAX_BOOKS} rows, was {books}")
        path.parent.mkdir(parents=True, exist_ok=True)
        size = _size(slots, books)
        epoch = _next_epoch(path)
        # A new file under the same name: readers of the old mapping notice its silent heartbeat
        # and re-attach; they never see a half-initialised ring.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.ftruncate(fd, size)
            mapping = mmap.mmap(fd, size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
            identity = _identity(os.fstat(fd))
        finally:
            os.close(fd)
        ring = cls(path, mapping, identity, publisher=True)
        words = ring.words
        words[W_VERSION], words[W_SLOTS], words[W_EPOCH], words[W_PID] = VERSION, slots, epoch, os.getpid()
        words[W_BOOKS], words[W_SILENCE_NS] = books, silence_ns
        words[W_HEARTBEAT] = time.time_ns()
        words[W_MAGIC] = MAGIC
        temporary.rename(path)
        return ring

    @classmethod
    def attach(cls, path: Path) -> "BroadcastRing":
        """Map an existing ring for reading. Raises RingError if absent or of another format."""
        try:
            fd = os.open(path, os.O_RDWR)
        except OSError as e:
            raise RingError(f"no ring at {path}: {e.strerror}; is its publisher running?") from e
        try:
            found = os.fstat(fd)
            size = found.st_size
            if size < HEADER_WORDS * 8:
                raise RingError(f"{path} has {size} bytes: not a ring")
            mapping = mmap.mmap(fd, size, flags=mmap.MAP_SHARED)
        finally:
            os.close(fd)
        ring = cls(path, mapping, _identity(found), publisher=False)
        words = ring.words
        good = words[W_MAGIC] == MAGIC and words[W_VERSION] == VERSION
        if not good or size != _size(int(words[W_SLOTS]), int(words[W_BOOKS])):
            ring.close()
            raise RingError(f"{path} is not a version {VERSION} ring: remove it and restart its publisher")
        return ring

    @property
    def cursor(self) -> int:
        """Number of frames published so far; the next frame has this number."""
        return int(self.words[W_CURSOR])

    @property
    def epoch(self) -> int:
        """Which publisher this mapping belongs to."""
        return int(self.words[W_EPOCH])

    def beat(self, wall_ns: int, market_ns: int) -> None:
        """Publisher: still alive at ``wall_ns``; the market's own time is ``market_ns``."""
        self.words[W_MARKET_NS] = market_ns
        self.words[W_HEARTBEAT] = wall_ns

    def replaced(self) -> bool:
        """Reader: whether another file now stands under the path (a publisher restarted)."""
        try:
            return _identity(os.stat(self.path)) != self._identity
        except OSError:
            return False

    def open_doorbell(self) -> int:
        """Reader: return a file descriptor that becomes readable after :meth:`park` when frames come."""
        if self._bell is None:
            self._bell_path = self.path.with_name(f"{self.path.name}.bell.{os.getpid()}.{id(self) & 0xFFFF:x}")
            self._bell_path.unlink(missing_ok=True)
            self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._bell.setblocking(False)
            self._bell.bind(str(self._bell_path))
        return self._bell.fileno()

    def park(self, cursor: int) -> bool:
        """Reader: ask to be woken; False if frames beyond ``cursor`` already came (do not sleep)."""
        self.words[W_PARKED] = 1
        return self.cursor <= cursor

    def drain_doorbell(self) -> None:
        """Reader: swallow the wake-up bytes."""
        if self._bell is not None:
            with contextlib.suppress(BlockingIOError):
                while self._bell.recv(64):
                    pass

    def wake_readers(self) -> None:
        """Publisher: wake the parked readers, if any. Call once a batch, after publishing."""
        if self.words[W_PARKED] == 0:
            return
        self.words[W_PARKED] = 0
        if self._sender is None:
            self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sender.setblocking(False)
        for bell in self.path.parent.glob(f"{self.path.name}.bell.*"):
            try:
                self._sender.sendto(b"!", str(bell))
            except BlockingIOError:
                continue  # its queue is full: it has a wake-up pending already
            except (ConnectionRefusedError, FileNotFoundError):
                bell.unlink(missing_ok=True)  # left behind by a reader that died

    def void(self) -> None:
        """Publisher: none of the books sent so far holds any more."""
        ring_void(self.words, np.zeros((1, FRAME_WORDS), np.int64))

    def end(self) -> None:
        """Publisher: the last word. Readers learn that it ended in order, and the file goes."""
        if not self.publisher:
            raise RingError(f"{self.path}: only its publisher may end a ring")
        if not self.replaced():
            self.path.unlink(missing_ok=True)  # first: nobody takes the name over before this ring says that it ended
        self.words[W_CLOSED] = 1
        self.wake_readers()
        self.close()

    def close(self) -> None:
        """Unmap; a reader's doorbell is removed. The file stays, and says nothing of an end: see :meth:`end`."""
        if self._bell is not None:
            self._bell.close()
            if self._bell_path is not None:
                self._bell_path.unlink(missing_ok=True)
            self._bell = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        self.words = np.zeros(HEADER_WORDS, np.int64)
        with contextlib.suppress(BufferError):  # somebody still holds a view: it is unmapped with it
            self._mapping.close()


def _size(slots: int, books: int) -> int:
    return (HEADER_WORDS + (slots + books) * SLOT_WORDS) * 8


def _identity(found: os.stat_result) -> tuple[int, int]:
    """What tells one file from another of the same name: no other has it while this one is mapped."""
    return found.st_dev, found.st_ino


def _next_epoch(path: Path) -> int:
    """The clock, or one more than the ring's at ``path`` where that is later; RingError if that one is in use."""
    now = time.time_ns()
    try:
        old = BroadcastRing.attach(path)
    except RingError:
        return now
    pid, heartbeat, epoch = int(old.words[W_PID]), int(old.words[W_HEARTBEAT]), old.epoch
    ended = bool(old.words[W_CLOSED])
    old.close()
    if not ended and pid != os.getpid() and _alive(pid) and now - heartbeat < _PUBLISHER_DEAD_AFTER_NS:
        raise RingError(f"{path} is published to by process {pid}: stop it or choose another path")
    return max(now, epoch + 1)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# SPSC ring words: each on its own cache line.
S_HEAD, S_TAIL, S_SLOTS = 0, 8, 16
SPSC_WORDS = 24


@kernel
def spsc_push(words: Words, slots: Words, frames: Words, row: int) -> bool:
    """Producer: append ``frames[row]``; False when full (the caller applies its back-pressure policy)."""
    head = words[S_HEAD]
    if head - load_acquire(words, S_TAIL) >= words[S_SLOTS]:
        return False
    place = head & (words[S_SLOTS] - 1)
    for k in range(FRAME_WORDS):
        slots[place, k] = frames[row, k]
    store_release(words, S_HEAD, head + 1)
    return True


@kernel
def spsc_pop(words: Words, slots: Words, out: Words, row: int) -> bool:
    """Consumer: take the oldest frame into ``out[row]``; False when empty."""
    tail = words[S_TAIL]
    if load_acquire(words, S_HEAD) <= tail:
        return False
    place = tail & (words[S_SLOTS] - 1)
    for k in range(FRAME_WORDS):
        out[row, k] = slots[place, k]
    store_release(words, S_TAIL, tail + 1)
    return True


class SpscRing:
    """Single-producer single-consumer ring of frames between two threads of one process.

    ``eventfd`` wakes an asyncio consumer: it coalesces, so drain the ring at every wake-up.
    """

    def __init__(self, count: int) -> None:
        if count & (count - 1) or count < 2:
            raise RingError(f"ring slots must be a power of two >= 2, was {count}")
        self.words: Words = np.zeros(SPSC_WORDS, np.int64)
        self.words[S_SLOTS] = count
        self._rows = table(HEADER, count)
        self.slots: Words = self._rows.view(np.int64).reshape(count, FRAME_WORDS)
        self.eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __len__(self) -> int:
        return int(self.words[S_HEAD] - self.words[S_TAIL])

    def push(self, frame: Any) -> bool:
        """Producer in plain Python: ``frame`` is one row of any 128-byte layout."""
        one = np.frombuffer(frame.tobytes(), np.int64).reshape(1, FRAME_WORDS)
        return bool(spsc_push(self.words, self.slots, one, 0))

    def notify(self) -> None:
        """Producer: wake the consumer."""
        os.eventfd_write(self.eventfd, 1)

    def acknowledge(self) -> None:
        """Consumer: clear the wake-up before draining."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.eventfd)

    def close(self) -> None:
        """Release the eventfd."""
        if self.eventfd >= 0:
            os.close(self.eventfd)
            self.eventfd = -1
