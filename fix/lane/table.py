"""The table of lanes and their memory; asyncio's side of handing one over and taking it back."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fix.codec import HotLink, SymbolTable
from fix.codec.writing import MESSAGE_ROOM
from fix.errors import SettingsError
from fix.lane import layout as at
from fix.lane.layout import (
    LANE_BATCH,
    LANE_FRAMES,
    LANE_WORDS,
    MAX_LANES,
    RECEIVE_BYTES,
    SLACK_BYTES,
    TAIL_BYTES,
    LaneOwner,
    LaneReason,
)
from fix.lane.receiving import lane_owner
from fix.store import StoreWindow
from market.atomics import store_release
from market.jit import kernel
from market.records import FRAME_BYTES

Words = npt.NDArray[np.int64]


@kernel
def _publish(lanes: Any, word: int, value: int) -> None:
    store_release(lanes, word, value)


class _Memory:
    """Buffers of one lane; they live as long as the table, which has their addresses."""

    def __init__(self) -> None:
        self.receive = np.zeros(RECEIVE_BYTES + SLACK_BYTES, np.uint8)
        self.frames = np.zeros((LANE_FRAMES, FRAME_BYTES), np.uint8)
        self.out = np.zeros(LANE_BATCH * MESSAGE_ROOM + SLACK_BYTES, np.uint8)
        self.ends = np.zeros(LANE_BATCH, np.int64)
        self.tail = np.zeros(TAIL_BYTES, np.uint8)
        self.throttle = np.zeros(2, np.int64)
        #: What else the addresses point into.
        self.held: list[Any] = []


@dataclass(kw_only=True)
class Handing:
    """What goes over with a lane."""

    fd: int
    next_in: int
    next_out: int
    unread: bytes
    window: StoreWindow
    #: The session's clock minus the driver's.
    shift_ns: int
    #: How long ago something was sent and received.
    sent_ago_ns: int
    received_ago_ns: int
    #: 0: no heartbeats.
    heartbeat_ns: int
    #: Silence after which the session machine has something to do.
    silence_ns: int
    #: Unsent bytes beyond which the lane comes back.
    tail_limit: int
    #: The throttle's messages, reserve and window (nanoseconds); messages 0: none.
    throttle: tuple[int, int, int] = (0, 0, 0)
    throttle_sent: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Returned:
    """What comes back with a lane."""

    reason: LaneReason
    next_in: int
    next_out: int
    unread: bytes
    unsent: bytes
    sent_ago_ns: int
    received_ago_ns: int
    messages_in: int
    messages_out: int
    heartbeats_in: int
    heartbeats_out: int
    bytes_in: int
    bytes_out: int
    partial_sends: int
    throttle_sent: list[tuple[int, int]]


class Lanes:
    """Lanes of one step.

    Parameters
    ----------
    count:
        1..MAX_LANES.

    Attributes
    ----------
    state:
        int64[count * LANE_WORDS]: what kernels take as ``lanes``. It holds addresses of memory that this
        object owns: keep it for as long as a kernel may run.
    """

    def __init__(self, count: int = MAX_LANES) -> None:
        if not 1 <= count <= MAX_LANES:
            raise SettingsError(f"lanes must be 1..{MAX_LANES}, was {count}")
        self.count = count
        # Cache lines of two lanes must not be one: the table begins on a line.
        raw = np.zeros(count * LANE_WORDS + 8, np.int64)
        skip = (-raw.ctypes.data // 8) % 8
        self.state: Words = raw[skip : skip + count * LANE_WORDS]
        self._memory: dict[int, _Memory] = {}

    def owner(self, k: int) -> LaneOwner:
        """Whose lane ``k`` is."""
        return LaneOwner(int(lane_owner(self.state, k)))

    def word(self, k: int, word: int) -> int:
        """One word of lane ``k``, as it stands at this moment."""
        return int(self.state[k * LANE_WORDS + word])

    def bind(self, k: int, link: HotLink, symbols: SymbolTable) -> None:
        """Give lane ``k`` to the session of ``link``.

        Raises
        ------
        SettingsError
            There is no such lane, or it is bound.
        """
        if not 0 <= k < self.count:
            raise SettingsError(f"lane must be 0..{self.count - 1}, was {k}")
        if k in self._memory:
            raise SettingsError(f"lane {k} belongs to another session; give each its own")
        memory = self._memory[k] = _Memory()
        memory.held = [link.state, symbols.state]
        words = self._words(k)
        slots, rows, shift = symbols.state
        words[at.A_LINK_WORDS], words[at.A_LINK_TEXT] = (part.ctypes.data for part in link.state)
        words[at.A_SLOTS], words[at.N_SLOTS] = slots.ctypes.data, len(slots)
        words[at.A_ROWS], words[at.N_ROWS] = rows.ctypes.data, len(rows)
        words[at.A_SHIFT] = shift.ctypes.data
        words[at.A_RECEIVE], words[at.A_FRAMES] = memory.receive.ctypes.data, memory.frames.ctypes.data
        words[at.A_OUT], words[at.A_ENDS] = memory.out.ctypes.data, memory.ends.ctypes.data
        words[at.A_TAIL] = memory.tail.ctypes.data

    def unbind(self, k: int) -> None:
        """Free lane ``k``, which must be COLD."""
        if self.owner(k) is not LaneOwner.COLD:
            raise SettingsError(f"lane {k} is {self.owner(k).name}; take it back first")
        self._memory.pop(k, None)
        self._words(k)[:] = 0

    def _words(self, k: int) -> Words:
        return self.state[k * LANE_WORDS : (k + 1) * LANE_WORDS]

    def offer(self, k: int, handing: Handing) -> None:
        """Write everything that the step thread needs, then offer the lane to it."""
        words, memory = self._words(k), self._memory[k]
        window = handing.window
        words[at.WISH], words[at.SHIFT_NS], words[at.NEXT_LENT] = 0, handing.shift_ns, 0
        words[at.FD : at.THROTTLE_LIMIT] = 0
        words[at.FD], words[at.NEXT_IN], words[at.NEXT_OUT] = handing.fd, handing.next_in, handing.next_out
        size = len(handing.unread)
        memory.receive[:size] = np.frombuffer(handing.unread, np.uint8)
        words[at.END], words[at.TAIL_LIMIT] = size, handing.tail_limit
        words[at.SENT_NS], words[at.RECEIVED_NS] = handing.sent_ago_ns, handing.received_ago_ns
        words[at.HEARTBEAT_NS], words[at.SILENCE_NS] = handing.heartbeat_ns, handing.silence_ns
        memory.held[2:] = [window]
        words[at.STORE_AT], words[at.STORE_BASE], words[at.STORE_END] = window.at, window.base, window.end
        words[at.STORE_DAY_END_NS], words[at.STORE_PLACE] = window.day_end_ns, window.place
        words[at.STORE_TAG] = window.tag
        words[at.A_STORE_DATA], words[at.A_STORE_WORDS] = window.data.ctypes.data, window.words.ctypes.data
        words[at.A_STORE_INDEX], words[at.N_STORE_INDEX] = window.index.ctypes.data, len(window.index)
        words[at.A_STORE_FAILED] = window.failed.ctypes.data
        self._put_throttle(words, memory, handing)
        _publish(self.state, k * LANE_WORDS + at.OWNER, int(LaneOwner.OFFERED))

    def _put_throttle(self, words: Words, memory: _Memory, handing: Handing) -> None:
        sent, room = handing.throttle_sent, handing.throttle[0] + 1
        if 2 * room != len(memory.throttle):
            memory.throttle = np.zeros(2 * room, np.int64)
        words[at.A_THROTTLE], words[at.THROTTLE_ROOM] = memory.throttle.ctypes.data, room
        words[at.THROTTLE_LIMIT], words[at.THROTTLE_RESERVE], words[at.THROTTLE_WINDOW_NS] = handing.throttle
        words[at.THROTTLE_FIRST], words[at.THROTTLE_COUNT] = 0, len(sent)
        words[at.THROTTLE_USED] = sum(count for _, count in sent)
        memory.throttle[: len(sent)] = [when for when, _ in sent]
        memory.throttle[room : room + len(sent)] = [count for _, count in sent]

    def lend_next(self, k: int, window: StoreWindow) -> None:
        """Give lane ``k`` the window in which it goes on when its own is full; the one before was taken."""
        words = self._words(k)
        words[at.NEXT_BASE], words[at.NEXT_END] = window.base, window.end
        words[at.A_NEXT_DATA], words[at.A_NEXT_INDEX] = window.data.ctypes.data, window.index.ctypes.data
        words[at.N_NEXT_INDEX] = len(window.index)
        self._memory[k].held[3:] = [window]
        _publish(self.state, k * LANE_WORDS + at.NEXT_LENT, 1)

    def went_on(self, k: int) -> bool:
        """Whether lane ``k`` has gone on in the window that was lent last; then the one before may go."""
        held = self._memory[k].held
        if len(held) < 4 or self.word(k, at.NEXT_LENT):
            return False
        del held[2]
        return True

    def wish(self, k: int) -> None:
        """Ask the step thread for lane ``k``."""
        _publish(self.state, k * LANE_WORDS + at.WISH, 1)

    def shift(self, k: int, delta_ns: int) -> None:
        """The session's clock was stepped by ``delta_ns``."""
        word = k * LANE_WORDS + at.SHIFT_NS
        _publish(self.state, word, int(self.state[word]) + delta_ns)

    def take(self, k: int) -> Returned:
        """Make a lane that was returned, or whose offer was withdrawn, COLD; what it holds."""
        words, memory = self._words(k), self._memory[k]
        value = {name: int(words[getattr(at, name)]) for name in _COUNTED}
        unread = memory.receive[int(words[at.START]) : int(words[at.END])].tobytes()
        unsent = memory.tail[int(words[at.TAIL_START]) : int(words[at.TAIL_END])].tobytes()
        sent_ago, received_ago = int(words[at.SENT_NS]), int(words[at.RECEIVED_NS])
        ticked = int(words[at.TICKED_NS])
        if ticked:
            sent_ago, received_ago = ticked - sent_ago, ticked - received_ago
        returned = Returned(
            reason=LaneReason(int(words[at.REASON])), unread=unread, unsent=unsent,
            sent_ago_ns=0 if words[at.SENT_NEW] else sent_ago,
            received_ago_ns=0 if words[at.RECEIVED_NEW] else received_ago,
            throttle_sent=self._take_throttle(words, memory),
            **{name.lower(): number for name, number in value.items()},
        )  # fmt: skip
        memory.held[2:] = []
        words[at.WISH] = words[at.NEXT_LENT] = 0
        _publish(self.state, k * LANE_WORDS + at.OWNER, int(LaneOwner.COLD))
        return returned

    @staticmethod
    def _take_throttle(words: Words, memory: _Memory) -> list[tuple[int, int]]:
        room, first, count = len(memory.throttle) // 2, int(words[at.THROTTLE_FIRST]), int(words[at.THROTTLE_COUNT])
        places = [(first + k) % room for k in range(count)]
        return [(int(memory.throttle[place]), int(memory.throttle[room + place])) for place in places]


_COUNTED = ("NEXT_IN", "NEXT_OUT", "MESSAGES_IN", "MESSAGES_OUT", "HEARTBEATS_IN", "HEARTBEATS_OUT", "BYTES_IN",
            "BYTES_OUT", "PARTIAL_SENDS")  # fmt: skip
