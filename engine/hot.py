"""Hot sessions as asyncio sees them: which session has which lane, and how one comes back.

Sessions are bound once, by the number that the step knows them by. Offering is the gateway's policy; here is
what a session needs of whoever drives its lane, and the look at lanes that came back by themselves.
"""

from collections.abc import Callable
from typing import Any

from engine.lanes import (
    H_COUNT,
    H_EVERY,
    H_RETURNS,
    H_TELL,
    L_IN_NS,
    L_INFORM,
    L_SENT,
    L_TAKEN,
    MAX_LANES,
    Hot,
    make_hot,
)
from engine.latency import Latencies
from fix.endpoints import FixSession
from fix.errors import SettingsError
from fix.lane import LaneDriver, LaneOwner, Lanes, lane_take_back, lane_wait
from market.atomics import monotonic_ns

WAIT_NS = 1_000_000_000
_SPINS = 5_000  # a quarter of a millisecond: between two looks at the outbox
#: Looks before a step counts as stuck, whatever the clock says: a machine that stood still has given it no time.
_LEAST_LOOKS = 4_000
#: A lane's socket is asked every so many turns: a recv() that finds nothing costs as much as three empty turns.
_EVERY = 4


def _full(session: FixSession) -> int:
    """Times that the session came back because its store's window was full."""
    return session.lane.demotions.get("store", 0) if session.lane is not None else 0


class HotSessions(LaneDriver):
    """Lanes of one loop.

    Parameters
    ----------
    alone:
        Whether nobody else runs the step now: it is the caller's own thread, or stands still.
    clock:
        Step time.
    finish:
        Takes the frames that a lane has in hand; used where ``alone``.
    relieve:
        Makes room in the outbox, where a step that is waited for may be waiting for it.
    """

    def __init__(
        self,
        latencies: Latencies,
        offset_ns: int,
        alone: Callable[[], bool],
        clock: Callable[[], int],
        finish: Callable[[int], bool],
        relieve: Callable[[], None],
    ) -> None:
        self.lanes = Lanes()
        self.memory: Hot = make_hot(
            self.lanes.state, latencies.slots, latencies.sent_ns, latencies.ring_ns, offset_ns
        )  # fmt: skip
        self.memory.words[H_EVERY] = _EVERY
        self.sessions: dict[int, FixSession] = {}
        self._is_alone, self._clock, self._finish, self._relieve = alone, clock, finish, relieve
        self._seen_returns = 0

    # -- LaneDriver --------------------------------------------------------------------------------

    @property
    def same_thread(self) -> bool:  # type: ignore[override]
        """As :class:`LaneDriver` says."""
        return self._is_alone()

    def now_ns(self) -> int:
        """Step time."""
        return self._clock()

    def wait_returned(self, lanes: Any, k: int) -> bool:
        """As :class:`LaneDriver` says."""
        deadline, looks = monotonic_ns() + WAIT_NS, 0
        while monotonic_ns() < deadline or looks < _LEAST_LOOKS:
            looks += 1
            if self._is_alone():
                return bool(lane_take_back(lanes, k)) or (self._finish(k) and bool(lane_take_back(lanes, k)))
            if lane_wait(lanes, k, _SPINS):
                return True
            self._relieve()
        return False

    # -- binding and looking ------------------------------------------------------------------------

    def bind(self, k: int, session: Any) -> str:
        """Give ``session``, number ``k`` of the step, a lane: why it can have none, or nothing."""
        if k >= MAX_LANES:
            return f"only the first {MAX_LANES} sessions can be hot"
        if not isinstance(session, FixSession):
            return "its engine is another one"
        try:
            session.bind_lane(self.lanes, k, self)
        except SettingsError as error:
            return str(error)
        self.sessions[k] = session
        self.memory.words[H_COUNT] = max(int(self.memory.words[H_COUNT]), k + 1)
        return ""

    def tend(self) -> None:
        """Take back the sessions that the step has returned; see to the store windows of those that used one up."""
        returns = int(self.memory.words[H_RETURNS])
        if returns == self._seen_returns:
            return
        self._seen_returns = returns
        for session in self.sessions.values():
            full = _full(session)
            if session.tend_lane() and _full(session) > full:
                session.offer_lane()  # nothing was wrong: it has a fresh window now

    def inform(self, k: int) -> None:
        """From now on have the reports of session ``k`` shown to asyncio too."""
        if k < MAX_LANES:
            self.memory.rows[k, L_INFORM] = 1

    def last_in_ns(self, k: int) -> int:
        """Step time at which session ``k``'s lane last took a frame."""
        return int(self.memory.rows[k, L_IN_NS]) if k < MAX_LANES else 0

    def tell(self) -> None:
        """From now on have the orders that leave by lanes shown to asyncio too (telemetry)."""
        self.memory.words[H_TELL] = 1

    def taken(self, k: int) -> int:
        """Frames that came by session ``k``'s lane."""
        return int(self.memory.rows[k, L_TAKEN]) if k < MAX_LANES else 0

    def sent(self, k: int) -> int:
        """Orders that left by session ``k``'s lane."""
        return int(self.memory.rows[k, L_SENT]) if k < MAX_LANES else 0

    def is_hot(self, k: int) -> bool:
        """Whether the step drives session ``k`` now."""
        return k in self.sessions and self.lanes.owner(k) is LaneOwner.HOT
