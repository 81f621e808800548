"""Market data rings of the sessions: attached when their venue is there, re-attached when it restarted."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from engine.loop import StepLoop, new_frame
from market.enums import FrameKind
from market.errors import RingError
from market.records import TIMER
from market.rings import W_HEARTBEAT, BroadcastRing

_SILENT_CHECKS = 10  # heartbeats come ten times a second; this many checks without one: look for a new ring


class RingFeed:
    """One session's ring."""

    def __init__(self, place: int, path: Path, loop: StepLoop, say: Callable[[str, str], None]) -> None:
        self.place = place
        self.path = path
        self._loop = loop
        self._say = say
        self._ring: BroadcastRing | None = None
        self._heartbeat = 0
        self._silent = 0
        self._fd = -1

    @property
    def attached(self) -> bool:
        """Whether a ring is mapped."""
        return self._ring is not None

    def attach(self) -> bool:
        """Map the ring and read from its present end (the venue repeats every book each second)."""
        try:
            ring = BroadcastRing.attach(self.path)
        except RingError as e:
            if self._silent % 100 == 0:
                self._say("warning", f"market data: {e}")
            self._silent += 1
            return False
        self.detach()
        self._ring = ring
        self._silent = 0
        self._loop.set_ring(self.place, ring.words, ring.cursor)
        if self._loop.mode == "park":
            self._fd = ring.open_doorbell()
            asyncio.get_running_loop().add_reader(self._fd, self._on_bell)
            self._on_bell()
        return True

    def ensure(self) -> bool:
        """The venue has just logged on: its ring of now, not the one of before its restart."""
        if self._ring is not None and not self._ring.replaced():
            return True
        return self.attach()

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

    def _on_bell(self) -> None:
        """Frames came while we slept: take them, then ask to be woken again."""
        ring = self._ring
        if ring is None:
            return
        ring.drain_doorbell()
        for _ in range(4):
            self._loop.kick()
            if ring.park(int(self._loop.feeds.cursors[self.place])):
                return
        asyncio.get_running_loop().call_soon(self._on_bell)

    def check(self) -> None:
        """Ten times a second: tell the step that the source lives, or look whether it was replaced."""
        if self._ring is None:
            self.attach()
            return
        heartbeat = int(self._ring.words[W_HEARTBEAT])
        if heartbeat != self._heartbeat:
            self._heartbeat, self._silent = heartbeat, 0
            frame = new_frame(TIMER)
            frame["kind"], frame["timer"] = FrameKind.TIMER, self.place + 1
            frame["wall_ns"] = self._loop.now_ns()
            self._loop.post_frame(frame)
            return
        self._silent += 1
        if self._silent % _SILENT_CHECKS == 0 and self._ring.replaced() and self.attach():
            self._say("info", f"market data: {self.path.name} has a new publisher")
