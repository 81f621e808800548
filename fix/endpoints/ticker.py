"""One timer for all sessions of an event loop.

A timer per session would be thousands of wake-ups a second for a thousand sessions. Here the
sessions stand in slots; a turn takes one slot, so that no turn holds the loop for long, and every
session has its turn once in ``TICK_S``. A session that knows when it is next due costs one comparison.

A turn that comes much too late means that the process was frozen (suspended, swapped, debugged).
Everybody is told before anybody is ticked, and the sockets are read first: our own stall must not
be taken for the peers' silence.
"""

import asyncio
import time
from typing import Protocol

TICK_S = 0.2
_MAX_SLOTS = 16
_SESSIONS_PER_SLOT = 32
#: Later than this, the process was frozen.
STALL_S = 2.0


class Ticked(Protocol):
    """A session, as the ticker sees it."""

    def tick(self, now_ns: int) -> None:
        """Time has passed; UTC nanoseconds."""

    def stalled(self, late_ns: int) -> None:
        """The process was frozen for about this long."""

    def clock_jumped(self, delta_ns: int) -> None:
        """UTC was stepped by this much while no time passed."""


_JUMP_NS = 250_000_000


class Ticker:
    """Ticks sessions of one loop; make it by :func:`ticker`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sessions: dict[Ticked, None] = {}
        self._slots: list[list[Ticked]] = []
        self._slot = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due_ns = 0
        self._offset_ns = 0

    def add(self, session: Ticked) -> None:
        """Tick ``session`` from now on."""
        if session not in self._sessions:
            self._sessions[session] = None
            self._slots = []
            if self._timer is None:
                self._offset_ns = time.time_ns() - time.monotonic_ns()
                self._arm(TICK_S)

    def remove(self, session: Ticked) -> None:
        """Tick it no more."""
        if session in self._sessions:
            del self._sessions[session]
            self._slots = []
            if not self._sessions and self._timer is not None:
                self._timer.cancel()
                self._timer = None
                _TICKERS.pop(self._loop, None)

    def _arm(self, delay_s: float) -> None:
        self._due_ns = time.monotonic_ns() + int(delay_s * 1e9)
        self._timer = self._loop.call_later(delay_s, self._turn)

    def _turn(self) -> None:
        now_ns, mono_ns = time.time_ns(), time.monotonic_ns()
        late_ns = mono_ns - self._due_ns
        if not self._slots:
            self._deal()
        self._arm(TICK_S / len(self._slots))
        offset_ns = now_ns - mono_ns
        jump_ns, self._offset_ns = offset_ns - self._offset_ns, offset_ns
        if abs(jump_ns) > _JUMP_NS:
            for session in list(self._sessions):
                session.clock_jumped(jump_ns)
        if late_ns > STALL_S * 1e9:
            for session in list(self._sessions):
                session.stalled(late_ns)
            return
        self._slot = (self._slot + 1) % len(self._slots)
        for session in self._slots[self._slot]:
            if session in self._sessions:
                session.tick(now_ns)

    def _deal(self) -> None:
        """Deal the sessions out to slots."""
        sessions = list(self._sessions)
        count = min(max(-(-len(sessions) // _SESSIONS_PER_SLOT), 1), _MAX_SLOTS)
        self._slots = [sessions[slot::count] for slot in range(count)]


_TICKERS: dict[asyncio.AbstractEventLoop, Ticker] = {}  # of loops with something to tick


def ticker() -> Ticker:
    """The ticker of the running loop."""
    loop = asyncio.get_running_loop()
    found = _TICKERS.get(loop)
    if found is None:
        found = _TICKERS[loop] = Ticker(loop)
    return found
