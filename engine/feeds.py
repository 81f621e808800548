"""Market data rings of the sessions: attached when their venue is there, re-attached when it restarted.

Whether a publisher lives is the step's own business (``engine.fanin``): it looks at the heartbeat in the
mapping, and voids the books in the same turn. Here is what only the file system knows, that another ring
stands under the name; the doorbell of park mode; and what people are told.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np

from config.schema import AxiomConfig
from config.sessions import SessionConfig
from engine.fanin import R_CURSOR, R_DEAD, R_DEATHS, R_LAPPED, R_LAPS, wish_restore, word
from engine.loop import StepLoop
from market.errors import RingError
from market.rings import FRAME_WORDS, HEADER_WORDS, W_CLOSED, W_PID, BroadcastRing
from market.transport.bridge import Bridge, pass_on
from market.transport.choose import open_subscriber

Say = Callable[[str, str], None]

_SAY_EVERY = 100  # looks, ten a second, between two words about a ring that is not there
_PARK_TRIES = 4


class RingFeed:
    """One session's ring."""

    def __init__(self, place: int, path: Path, loop: StepLoop, say: Say) -> None:
        self.place = place
        self.path = path
        self._loop = loop
        self._say = say
        self._ring: BroadcastRing | None = None
        self._looked = 0
        self._deaths = 0
        self._laps = 0
        self._lapped = 0
        self._fd = -1

    @property
    def attached(self) -> bool:
        """Whether a ring is mapped."""
        return self._ring is not None

    @property
    def alive(self) -> bool:
        """Whether the publisher has given a sign of life lately."""
        return self._ring is not None and not word(self._loop.feeds.sources, self.place, R_DEAD)

    def attach(self) -> bool:
        """Map the ring; the step reads its book table as soon as it lives, and its frames from now on."""
        try:
            ring = BroadcastRing.attach(self.path)
        except RingError as e:
            if self._looked % _SAY_EVERY == 0:
                self._say("warning", f"market data: {e}")
            self._looked += 1
            return False
        self.detach()
        self._ring = ring
        self._looked = 0
        self._loop.set_ring(self.place, ring.words, ring.cursor)
        if self._loop.mode == "park":
            self._fd = ring.open_doorbell()
            asyncio.get_running_loop().add_reader(self._fd, self._on_bell)
            self._on_bell()
        return True

    def ensure(self) -> bool:
        """The venue has just listed its instruments: its ring of now, and every book of it."""
        if self._ring is None or self._ring.replaced():
            return self.attach()
        wish_restore(self._loop.feeds.sources, self.place)
        self._loop.kick()
        return True

    def detach(self) -> None:
        """Unmap."""
        if self._ring is None:
            return
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._fd = -1
        self._loop.set_ring(self.place, None)
        self._ring.close()
        self._ring = None

    def close(self) -> None:
        """The daemon ends."""
        self.detach()

    def _on_bell(self) -> None:
        """Frames came while we slept: take them, then ask to be woken again."""
        ring = self._ring
        if ring is None:
            return
        ring.drain_doorbell()
        for _ in range(_PARK_TRIES):
            self._loop.kick()
            if ring.park(word(self._loop.feeds.sources, self.place, R_CURSOR)):
                return
        asyncio.get_running_loop().call_soon(self._on_bell)

    def check(self) -> None:
        """Ten times a second: is it still the ring of that name, and what has the step found out?"""
        if self._ring is None:
            self.attach()
            return
        if self._ring.replaced():
            if self.attach():
                self._say("info", f"market data: {self.path.name} has a new publisher")
            return
        self._tell(self._ring)

    def _tell(self, ring: BroadcastRing) -> None:
        sources = self._loop.feeds.sources
        deaths, laps = word(sources, self.place, R_DEATHS), word(sources, self.place, R_LAPS)
        if deaths != self._deaths:
            self._deaths = deaths
            how = "has ended" if ring.words[W_CLOSED] else f"is silent (process {int(ring.words[W_PID])})"
            self._say("warning", f"market data: the publisher of {self.path.name} {how}: its books are void")
        if laps != self._laps:
            lapped = word(sources, self.place, R_LAPPED)
            self._say(
                "warning",
                f"market data: {self.path.name} overtook us {laps - self._laps} times ({lapped - self._lapped} "
                f"frames): books read back from its table",
            )
            self._laps, self._lapped = laps, lapped


class AeronFeed(RingFeed):
    """A session whose market data come by Aeron: a bridge copies them into a local ring, which is then read as any.

    What is lost on the way, and a publisher that took over from another, voids the books; there is no table to
    read back from at the far end, so they return with the publisher's repetitions, about a second.
    """

    def __init__(self, place: int, address: str, path: Path, loop: StepLoop, say: Say) -> None:
        super().__init__(place, path, loop, say)
        one = np.zeros((1, FRAME_WORDS), np.int64)
        pass_on(np.zeros(HEADER_WORDS, np.int64), one, 0, one)  # compiled or loaded before the thread needs it
        self.bridge = Bridge(open_subscriber(address), path)
        self.bridge.start()
        self._failed = False

    def check(self) -> None:
        """As for a ring; and whether the bridge still carries."""
        super().check()
        if self.bridge.failure is not None and not self._failed:
            self._failed = True
            self._say("error", f"market data: the bridge to {self.path.name} failed: {self.bridge.failure!r}")

    def close(self) -> None:
        """End the bridge; its ring goes with it."""
        super().close()
        self.bridge.stop()


def open_feed(config: AxiomConfig, place: int, session: SessionConfig, loop: StepLoop, say: Say) -> RingFeed | None:
    """The feed that ``session`` is configured for; None where its market data come by FIX, or not at all.

    Raises
    ------
    TransportError
        They come by Aeron, and no binding is installed or no driver answers.
    """
    path = config.market_data_path(session)
    if path is None:
        return None
    if session.market_data.startswith("aeron:"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return AeronFeed(place, session.market_data, path, loop, say)
    return RingFeed(place, path, loop, say)
