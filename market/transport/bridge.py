"""Copying between carriers: into a local ring for the step, out of a ring for the rest of the world."""

import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from market.enums import FrameKind
from market.jit import kernel
from market.rings import (
    DEFAULT_SLOTS,
    FRAME_WORDS,
    VOID_NS,
    W_BOOKS,
    W_CLOSED,
    W_SILENCE_NS,
    BroadcastRing,
    ring_publish,
    ring_void,
)
from market.transport.interface import Publisher, Subscriber
from market.transport.ring import RingSubscriber

Words = npt.NDArray[np.int64]

_TIMER = np.int64(FrameKind.TIMER)
_KIND_MASK = np.int64(0xFFFF)
_ROWS = 2048
IDLE_S = 50e-6


@kernel
def pass_on(ring: Words, cells: Words, count: int, scratch: Words) -> None:
    """Publish ``cells[:count]``; a void frame empties the ring's book table too. ``scratch`` int64[1, 16]."""
    for row in range(count):
        if cells[row, 0] & _KIND_MASK == _TIMER and cells[row, 5] == VOID_NS:
            ring_void(ring, scratch)
        else:
            ring_publish(ring, cells, row)


class Bridge:
    """A thread that copies what a subscriber gives into a ring, which the step then reads as any other.

    The ring appears with the publisher's first sign of life, has its book table, and beats as it beats:
    when the far end dies, the ring falls silent, and whoever reads it finds out in the usual way. Costs one
    more hop: the thread's poll (it sleeps ``idle_s`` when nothing came), a few microseconds for a batch, and
    the interpreter's lock while it works.
    """

    def __init__(
        self, subscriber: Subscriber, path: Path, *, slots: int = DEFAULT_SLOTS, idle_s: float = IDLE_S
    ) -> None:
        self.path = path
        self.subscriber = subscriber
        self.failure: BaseException | None = None
        self.ring: BroadcastRing | None = None
        self._slots, self._idle_s = slots, idle_s
        self._rows = np.zeros((_ROWS, FRAME_WORDS), np.int64)
        self._scratch = np.zeros((1, FRAME_WORDS), np.int64)
        self._heard_ns = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="axiom-bridge", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End: the subscription is closed, the ring removed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.subscriber.close()
        if self.ring is not None:
            self.ring.end()
            self.ring = None

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self.pump() == 0:
                    time.sleep(self._idle_s)
        except BaseException as e:  # noqa: BLE001 - the thread's outermost frame: whoever owns the bridge reports it
            self.failure = e

    def pump(self) -> int:
        """Copy what there is; returns how many frames."""
        subscriber = self.subscriber
        count = subscriber.poll(self._rows)
        if count == 0 and subscriber.heartbeat_ns == self._heard_ns and not subscriber.ended:
            return 0
        ring = self._open_ring()
        if ring is None:
            return count
        if count:
            pass_on(ring.words, self._rows, count, self._scratch)
        ended = int(subscriber.ended)
        if ring.words[W_CLOSED] != ended:
            ring.words[W_CLOSED] = ended
        if subscriber.heartbeat_ns != self._heard_ns:
            self._heard_ns = subscriber.heartbeat_ns
            ring.beat(time.time_ns(), subscriber.market_ns)
        ring.wake_readers()
        return count

    def _open_ring(self) -> BroadcastRing | None:
        """The ring, made anew when a publisher with another number of books has taken over."""
        books, silence_ns = self.subscriber.books, self.subscriber.silence_ns
        if self.ring is not None and int(self.ring.words[W_BOOKS]) == books:
            self.ring.words[W_SILENCE_NS] = silence_ns
            return self.ring
        if silence_ns == 0:
            return None
        if self.ring is not None:
            self.ring.end()
        self.ring = BroadcastRing.create(self.path, self._slots, books, silence_ns)
        return self.ring


class Relay:
    """Sends on, from the publisher's own thread, whatever its ring has got since the last call."""

    def __init__(self, path: Path, publisher: Publisher) -> None:
        self.publisher = publisher
        self._reader = RingSubscriber(path)
        self._rows = np.zeros((_ROWS, FRAME_WORDS), np.int64)

    def pump(self) -> int:
        """Send on; returns how many frames were sent. Those that found no room show as a gap at the far end."""
        sent = 0
        while count := self._reader.poll(self._rows):
            sent += self.publisher.publish(self._rows, count)
        return sent

    def beat(self, wall_ns: int, market_ns: int) -> None:
        """Pass the heartbeat on."""
        self.publisher.beat(wall_ns, market_ns)

    def close(self) -> None:
        """End the far stream in order."""
        self.pump()
        self.publisher.close()
        self._reader.close()
