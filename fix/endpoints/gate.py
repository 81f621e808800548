"""The throttle at work: which messages of a call may leave now, which wait, which are refused.

Messages that wait keep their order, except that cancels stand before everything else; only a
cancel of an order that itself still waits stays behind it, since the venue could not know it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fix.errors import ThrottledError
from fix.messages import Field
from fix.throttle import CANCEL_TYPES, COUNTED_TYPES, Throttle, ThrottlePolicy, ThrottleSettings
from market.enums import OrderAction

_CANCELS = (int(OrderAction.CANCEL), int(OrderAction.MASS_CANCEL))
_FREE = int(OrderAction.MASS_STATUS)


class Waiting:
    """One message that waits: an ORDER row, or a cold message."""

    __slots__ = ("app_ref", "cancel", "cl_ord_id", "fields", "msg_type", "orig", "row", "since_ns")

    def __init__(self, *, cancel: bool, cl_ord_id: int | str, orig: int | str, since_ns: int) -> None:
        self.cancel, self.cl_ord_id, self.orig, self.since_ns = cancel, cl_ord_id, orig, since_ns
        self.row: Any = None
        self.msg_type = ""
        self.fields: Sequence[Field] = ()
        self.app_ref = 0


class Gate:
    """Stands between a session's send calls and its socket.

    Parameters
    ----------
    settings:
        The limits.
    send:
        Sends a :class:`Waiting` whose turn has come.
    dropped:
        Called with the reason and the ClOrdIDs of messages that waited in vain.
    """

    def __init__(
        self, settings: ThrottleSettings, send: Callable[[Waiting], None],
        dropped: Callable[[str, tuple[int | str, ...]], None], clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:  # fmt: skip
        self.throttle = Throttle(settings)
        self.queued_total = 0
        self.dropped_total = 0
        self._settings = settings
        self._send, self._dropped = send, dropped
        self._clock = clock
        self._queue: deque[Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Messages that wait now."""
        return len(self._queue)

    # ------------------------------------------------------------------ asking

    def admit_rows(self, rows: Any, first: int, count: int) -> tuple[Any, tuple[int, ...]]:
        """Of ``rows[first:first+count]`` those to send now, and the numbers of those that are refused.

        Whatever is neither waits. Cancels are served first; one whose order does not go stays with it.
        """
        chosen = rows[first : first + count]
        actions = chosen["action"]
        cancels = np.isin(actions, _CANCELS)
        fresh = (actions != _FREE) & ~cancels
        passing = cancels
        if self._queue:
            fresh_may_go = False
            passing = cancels & ~np.isin(chosen["orig_cl_ord_id"], self._waiting_ids())
        else:
            fresh_may_go = True
        now_ns = self._clock()
        go = actions == _FREE
        go |= self._grant(passing, now_ns, cancels=True)
        if fresh_may_go:
            go |= self._grant(fresh, now_ns, cancels=False)
        if bool(go.all()):
            return chosen, ()
        go &= ~(cancels & np.isin(chosen["orig_cl_ord_id"], chosen["cl_ord_id"][fresh & ~go]))
        return chosen[go], self._hold_rows(chosen, np.flatnonzero(~go), cancels, first, now_ns)

    def _waiting_ids(self) -> npt.NDArray[np.uint64]:
        ids = [item.cl_ord_id for item in self._queue]
        return np.array([number for number in ids if isinstance(number, int)], np.uint64)

    def _grant(self, wanted: npt.NDArray[np.bool_], now_ns: int, *, cancels: bool) -> npt.NDArray[np.bool_]:
        """The first of ``wanted``, as many as the budget lets through."""
        count = int(np.count_nonzero(wanted))
        granted = self.throttle.take(now_ns, count, cancels=cancels) if count else 0
        return wanted if granted == count else wanted & (np.cumsum(wanted) <= granted)

    def _hold_rows(
        self, chosen: Any, held: npt.NDArray[np.int64], cancels: npt.NDArray[np.bool_], first: int, now_ns: int
    ) -> tuple[int, ...]:
        """Let rows wait as far as policy and room allow; the numbers of the others."""
        room = 0
        if self._settings.policy is ThrottlePolicy.QUEUE:
            room = max(self._settings.max_queued - len(self._queue), 0)
        for k in held[:room].tolist():
            row = chosen[k : k + 1].copy()
            item = Waiting(cancel=bool(cancels[k]), cl_ord_id=int(row["cl_ord_id"][0]),
                           orig=int(row["orig_cl_ord_id"][0]), since_ns=now_ns)  # fmt: skip
            item.row = row
            self._enqueue(item)
        return tuple((held[room:] + first).tolist())

    def admit_quotes(self, entries: Any, first: int, count: int, per_message: int) -> None:
        """Use up budget for the mass quotes (35=i) that ``entries[first:first+count]`` make: whole or not at all.

        They never wait: prices that are late are worse than none.

        Raises
        ------
        ThrottledError
            They are more than may be sent now, or orders wait already; nothing was used up.
        """
        ids = entries["quote_id"][first : first + count]
        runs = np.diff(np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1], [True]))))
        messages = int((-(-runs // per_message)).sum()) if count else 0
        now_ns = self._clock()
        if self._queue or messages > self.throttle.free(now_ns, cancels=False):
            raise self.refusal(tuple(range(first, first + count)), 0)
        self.throttle.take(now_ns, messages, cancels=False)

    def admit(self, msg_type: str, fields: Sequence[Field], app_ref: int) -> bool:
        """Whether a cold message may be sent now; False: it waits.

        Raises
        ------
        ThrottledError
            It may not, and does not wait.
        """
        if msg_type not in COUNTED_TYPES:
            return True
        now_ns = self._clock()
        cancel = msg_type in CANCEL_TYPES
        item = Waiting(cancel=cancel, cl_ord_id=_text(fields, 11), orig=_text(fields, 41), since_ns=now_ns)
        may_pass = not self._queue or (cancel and all(item.orig != other.cl_ord_id for other in self._queue))
        if may_pass and self.throttle.take(now_ns, 1, cancels=cancel):
            return True
        if self._settings.policy is ThrottlePolicy.REJECT or len(self._queue) >= self._settings.max_queued:
            raise self.refusal((), 0, cancel=cancel)
        item.msg_type, item.fields, item.app_ref = msg_type, list(fields), app_ref
        self._enqueue(item)
        return False

    def refusal(self, refused: tuple[int, ...], sent: int, *, cancel: bool = False) -> ThrottledError:
        """The error for messages that neither go nor wait, counted."""
        settings = self._settings
        count = len(refused) or 1
        self.throttle.refused += count
        now_ns = self._clock()
        wait_s = (self.throttle.next_free_ns(now_ns, cancels=cancel) - now_ns) / 1e9
        return ThrottledError(
            f"{count} {'message is' if count == 1 else 'messages are'} beyond the throttle of {settings.messages} in "
            f"{settings.window_s:g} s ({settings.reserve_for_cancels} kept for cancels), {sent} sent; "
            f"the next may go in {wait_s:.3f} s",
            sent, refused, wait_s,
        )  # fmt: skip

    # ------------------------------------------------------------------ waiting

    def _enqueue(self, item: Waiting) -> None:
        self.queued_total += 1
        self._queue.append(item)
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._queue:
            now_ns = self._clock()
            due_ns = self.throttle.next_free_ns(now_ns, cancels=self._next().cancel)
            stale_ns = min(item.since_ns for item in self._queue) + int(self._settings.max_queued_s * 1e9)
            delay_s = max(min(due_ns, stale_ns) - now_ns, 0) / 1e9
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._turn)

    def _next(self) -> Waiting:
        """Whose turn it is: the first cancel whose order does not wait before it, else the first."""
        before: set[int | str] = set()
        for item in self._queue:
            if item.cancel and item.orig not in before:
                return item
            before.add(item.cl_ord_id)
        return self._queue[0]

    def _turn(self) -> None:
        self._timer = None
        now_ns = self._clock()
        horizon = now_ns - int(self._settings.max_queued_s * 1e9)
        stale = [item for item in self._queue if item.since_ns <= horizon]
        if stale:
            self._queue = deque(item for item in self._queue if item.since_ns > horizon)
            self._drop("waited too long for the throttle", stale)
        while self._queue:
            item = self._next()
            if not self.throttle.take(self._clock(), 1, cancels=item.cancel):
                break
            self._queue.remove(item)
            self._send(item)
        self._arm()

    def clear(self, reason: str) -> None:
        """Drop whatever waits: the line is down."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue:
            gone, self._queue = list(self._queue), deque()
            self._drop(reason, gone)

    def _drop(self, reason: str, items: list[Waiting]) -> None:
        self.dropped_total += len(items)
        self._dropped(reason, tuple(item.cl_ord_id for item in items))

    def snapshot(self) -> dict[str, Any]:
        """State for people."""
        return self.throttle.snapshot(self._clock()) | {
            "waiting": len(self._queue), "queued": self.queued_total, "dropped": self.dropped_total,
        }  # fmt: skip


def _text(fields: Sequence[Field], tag: int) -> str:
    for number, value in fields:
        if number == tag:
            return value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return ""
