"""The shared-memory ring as a carrier of frames."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from market.atomics import load_acquire
from market.enums import FrameKind
from market.jit import kernel
from market.rings import (
    DEFAULT_SILENCE_NS,
    DEFAULT_SLOTS,
    FRAME_WORDS,
    VOID_NS,
    W_BOOKS,
    W_CLOSED,
    W_CURSOR,
    W_HEARTBEAT,
    W_MARKET_NS,
    W_SILENCE_NS,
    BroadcastRing,
    ring_publish_many,
    ring_read,
)

Words = npt.NDArray[np.int64]

_TIMER = np.int64(FrameKind.TIMER)
_NEXT, _LAPPED = range(2)  # words of a reader
_LOOK_AFTER = 1000  # polls without a frame: does the ring still stand under its name?


@kernel
def read_many(words: Words, reader: Words, out: Words) -> int:
    """Fill ``out`` from the ring; a void frame where the reader was lapped. ``reader`` int64[2]: next number, lost."""
    count = 0
    while count < len(out):
        got = ring_read(words, reader[_NEXT], out, count)
        if got == 0:
            break
        if got < 0:
            end = load_acquire(words, W_CURSOR)
            reader[_LAPPED] += end - reader[_NEXT]
            reader[_NEXT] = end
            for k in range(FRAME_WORDS):
                out[count, k] = 0
            out[count, 0] = _TIMER
            out[count, 5] = VOID_NS
        else:
            reader[_NEXT] += 1
        count += 1
    return count


class RingPublisher:
    """Publishes to a ring of its own."""

    def __init__(
        self,
        path: Path,
        *,
        slots: int = DEFAULT_SLOTS,
        books: int = 0,
        silence_ns: int = DEFAULT_SILENCE_NS,
    ) -> None:
        self.ring = BroadcastRing.create(path, slots, books, silence_ns)

    def publish(self, cells: Words, count: int) -> int:
        """See :class:`~market.transport.interface.Publisher`; a ring takes everything."""
        ring_publish_many(self.ring.words, cells, count)
        self.ring.wake_readers()
        return count

    def beat(self, wall_ns: int, market_ns: int) -> None:
        """See :class:`~market.transport.interface.Publisher`."""
        self.ring.beat(wall_ns, market_ns)

    def close(self) -> None:
        """Say so, remove the file."""
        self.ring.end()


class RingSubscriber:
    """Reads a ring from its present end on, and its successors after it."""

    def __init__(self, path: Path) -> None:
        self.ring = BroadcastRing.attach(path)
        self._reader = np.array([self.ring.cursor, 0], np.int64)
        self._idle = 0

    @property
    def lapped(self) -> int:
        """Frames that were overwritten before they were read."""
        return int(self._reader[_LAPPED])

    @property
    def heartbeat_ns(self) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        return int(self.ring.words[W_HEARTBEAT])

    @property
    def market_ns(self) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        return int(self.ring.words[W_MARKET_NS])

    @property
    def silence_ns(self) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        return int(self.ring.words[W_SILENCE_NS])

    @property
    def books(self) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        return int(self.ring.words[W_BOOKS])

    @property
    def ended(self) -> bool:
        """See :class:`~market.transport.interface.Subscriber`."""
        return bool(self.ring.words[W_CLOSED])

    def poll(self, out: Words) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        count = int(read_many(self.ring.words, self._reader, out))
        self._idle = 0 if count else self._idle + 1
        if self._idle >= _LOOK_AFTER and self.ring.replaced():
            self._idle = 0
            self.ring.close()
            self.ring = BroadcastRing.attach(self.ring.path)
            self._reader[_NEXT] = 0
            out[0] = 0
            out[0, 0], out[0, 5] = _TIMER, VOID_NS
            return 1
        return count

    def close(self) -> None:
        """Unmap."""
        self.ring.close()
