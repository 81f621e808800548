"""Order-entry throttle: so many messages in any window of time, with a budget that only cancels may use.

Counts what was really sent, in a sliding window: no instant sees more than ``messages`` in the
``window_s`` before it, which is how venues count. A new order is let through only if it leaves
``reserve_for_cancels`` free, so that a burst of quotes never takes away the means to pull them.
"""

from collections import deque
from enum import Enum

import msgspec

from fix.errors import SettingsError

#: MsgTypes that ask for something new: single, cross, list, multileg, replace, mass quote.
NEW_TYPES = frozenset(("D", "E", "G", "s", "t", "AB", "AC", "i", "S"))
#: MsgTypes that take something away: they may use the reserve.
CANCEL_TYPES = frozenset(("F", "q", "Z", "u", "CA"))
COUNTED_TYPES = NEW_TYPES | CANCEL_TYPES


class ThrottlePolicy(Enum):
    """What happens to messages beyond the budget."""

    REJECT = "reject"  # ThrottledError names them; nothing of them was sent
    QUEUE = "queue"  # they wait, cancels first; what waits too long is dropped and reported


class ThrottleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one session. Raises SettingsError when a value is out of range."""

    #: In any ``window_s``.
    messages: int
    window_s: float = 1.0
    #: Of ``messages``, kept free for cancels.
    reserve_for_cancels: int = 0
    policy: ThrottlePolicy = ThrottlePolicy.REJECT
    #: QUEUE: messages that may wait.
    max_queued: int = 10_000
    #: QUEUE: an order that has waited this long is dropped: a stale price is worse than none.
    max_queued_s: float = 1.0

    def __post_init__(self) -> None:
        if self.messages < 1:
            raise SettingsError(
                f"messages must be at least 1, was {self.messages}; leave the throttle out for no limit"
            )
        if not 0 < self.window_s <= 3600:
            raise SettingsError(f"window_s must be above 0 and at most 3600, was {self.window_s}")
        if not 0 <= self.reserve_for_cancels < self.messages:
            raise SettingsError(
                f"reserve_for_cancels must be 0..messages-1 ({self.messages - 1}), was {self.reserve_for_cancels}"
            )
        if self.max_queued < 1:
            raise SettingsError(f"max_queued must be at least 1, was {self.max_queued}")
        if not self.max_queued_s > 0:
            raise SettingsError(f"max_queued_s must be above 0, was {self.max_queued_s}")


class Throttle:
    """The window of one session. Time is given in nanoseconds of a clock that does not go back.

    Attributes
    ----------
    refused:
        Messages that were not let through, in all.
    """

    def __init__(self, settings: ThrottleSettings) -> None:
        self.settings = settings
        self.refused = 0
        self._window_ns = round(settings.window_s * 1e9)
        self._sent: deque[tuple[int, int]] = deque()  # (when, how many), oldest first
        self._used = 0

    def _expire(self, now_ns: int) -> None:
        sent = self._sent
        horizon = now_ns - self._window_ns
        while sent and sent[0][0] <= horizon:
            self._used -= sent.popleft()[1]

    def free(self, now_ns: int, *, cancels: bool) -> int:
        """Messages that may be sent now."""
        self._expire(now_ns)
        budget = self.settings.messages - (0 if cancels else self.settings.reserve_for_cancels)
        return max(budget - self._used, 0)

    def take(self, now_ns: int, count: int, *, cancels: bool) -> int:
        """Use up to ``count`` of the budget; how many were granted."""
        granted = min(count, self.free(now_ns, cancels=cancels))
        if granted:
            sent = self._sent
            if sent and sent[-1][0] == now_ns:
                sent[-1] = (now_ns, sent[-1][1] + granted)
            else:
                sent.append((now_ns, granted))
            self._used += granted
        return granted

    def next_free_ns(self, now_ns: int, *, cancels: bool) -> int:
        """When at least one message may be sent: ``now_ns`` if one may now."""
        missing = 1 - self.free(now_ns, cancels=cancels)
        budget = self.settings.messages - (0 if cancels else self.settings.reserve_for_cancels)
        excess = self._used - budget + 1  # may be more than one below a reserve that cancels have used
        if missing <= 0:
            return now_ns
        for when, count in self._sent:
            excess -= count
            if excess <= 0:
                return when + self._window_ns
        return now_ns + self._window_ns

    @property
    def sent(self) -> list[tuple[int, int]]:
        """What is in the window: when, and how many, oldest first."""
        return list(self._sent)

    @sent.setter
    def sent(self, entries: list[tuple[int, int]]) -> None:
        """Go on from a window that somebody else has kept meanwhile."""
        self._sent = deque(entries)
        self._used = sum(count for _, count in entries)

    def snapshot(self, now_ns: int) -> dict[str, int | float | str]:
        """State for people."""
        settings = self.settings
        return {
            "messages": settings.messages, "window_s": settings.window_s, "policy": settings.policy.value,
            "reserve_for_cancels": settings.reserve_for_cancels, "free_new": self.free(now_ns, cancels=False),
            "free_cancels": self.free(now_ns, cancels=True), "used": self._used, "refused": self.refused,
        }  # fmt: skip
