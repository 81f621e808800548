"""How a session on quickfix sends: encoded here, numbered in the worker.

The MsgSeqNum is given there: what these methods return is the number that the message will have
unless a heartbeat comes in between. Throttle as for our own engine: it stands before anything else.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

from fix.endpoints.events import QueueDropped
from fix.endpoints.gate import Gate, Waiting
from fix.endpoints.rows import RowSending
from fix.errors import FixError, HotPathError, SessionNotLoggedOnError
from fix.foreign.outbox import BATCH_BYTES, Outbox
from fix.foreign.records import Command
from fix.messages import ADMIN_TYPES, Field, build, parse, utc_timestamp
from fix.session import Role, State
from fix.session.replies import business_reject
from fix.throttle import ThrottleSettings


class Host(Protocol):
    """The endpoint that keeps the worker."""

    @property
    def ready(self) -> bool:
        """Whether a worker is running and has its setup."""

    def tell(self, command: Command) -> None:
        """To the worker, if there is one."""

    def cut(self, session: Any, reason: str) -> None:
        """End the connection of ``session`` at once."""

    def wake(self) -> None:
        """Try again after standing down."""


class Sending(RowSending):
    """The sending half of :class:`fix.foreign.session.QuickfixSession`."""

    _outbox: Outbox
    _host: Host | None
    _place: int
    _state: State
    _clock: Callable[[], int]

    @property
    @abstractmethod
    def logged_on(self) -> bool:
        """Whether application messages reach the peer now."""

    @property
    @abstractmethod
    def next_out(self) -> int:
        """MsgSeqNum of the next message sent."""

    @abstractmethod
    def _tell(self, method: str, argument: object) -> None:
        """Call an optional method of the handler."""

    def limit_sending(self, throttle: ThrottleSettings | None) -> None:
        """Put a throttle in front of orders and cancels, or take it away."""
        self.throttle = None if throttle is None else Gate(throttle, self._send_waiting, self._dropped)

    def _send_waiting(self, item: Waiting) -> None:
        if item.row is not None:
            self._send_rows(self._kernels().encode_orders, item.row, 0, 1, 0)
        else:
            self._send_cold(item.msg_type, item.fields, item.app_ref, ())

    def _dropped(self, reason: str, cl_ord_ids: tuple[int | str, ...]) -> None:
        self._tell("on_event", QueueDropped(reason, cl_ord_ids))

    def send(self, msg_type: str, fields: Sequence[Field], app_ref: int = 0, *, header: Sequence[Field] = ()) -> int:
        """Send one application message of body ``fields``; the MsgSeqNum that it will most likely have, 0: it waits.

        Raises
        ------
        SessionNotLoggedOnError
            An initiator that is not logged on.
        ThrottledError
            A limit forbids it; nothing was sent.
        """
        if msg_type in ADMIN_TYPES:
            raise FixError(f"MsgType {msg_type} belongs to the session; use its own methods")
        self._require_sendable()
        if self.throttle is not None and not self.throttle.admit(msg_type, fields, app_ref):
            return 0
        return self._send_cold(msg_type, fields, app_ref, header)

    def _send_cold(self, msg_type: str, fields: Sequence[Field], app_ref: int, header: Sequence[Field]) -> int:
        settings = self.settings
        raw = build(
            settings.begin_string, msg_type, 1, settings.sender_comp_id, settings.target_comp_id,
            utc_timestamp(self._clock()), fields, header,
        )  # fmt: skip
        return self._hand_over([raw], app_ref)

    def refuse(self, raw: bytes, reason: int, text: str) -> int:
        """Answer an application message by BusinessMessageReject(35=j); before FIX.4.2 by Reject(35=3)."""
        settings = self.settings
        msg_type, body = business_reject(settings, parse(raw), reason, text, 0)
        answer = build(
            settings.begin_string, msg_type, 1, settings.sender_comp_id, settings.target_comp_id,
            utc_timestamp(self._clock()), body,
        )  # fmt: skip
        return self._hand_over([answer], 0)

    def _send_rows(self, encode: Any, rows: Any, first: int, count: int, app_ref: int) -> int:
        self._require_sendable()
        hot, first_seq = self._kernels(), self.next_out
        while count > 0:
            buffer, ends, *rest = encode(rows, first, min(count, hot.max_batch), self.next_out, self._clock())
            done = rest[0] if rest else len(ends)  # a mass quote holds many rows, all others one
            if not done:
                raise HotPathError(
                    f"{self.settings.name}: row {first} cannot be encoded, {count} rows are unsent: {rows[first]}"
                )
            starts = [0, *(int(end) for end in ends)]
            messages = [bytes(buffer[a:b]) for a, b in pairwise(starts)]
            self._hand_over(messages, app_ref if done == count else 0)
            first += done
            count -= done
        return first_seq

    def _held_back(self, queued: int, refused: int) -> None:
        """Nothing to count here: the gate's own snapshot says it."""

    def _require_sendable(self) -> None:
        if not self.logged_on and self.settings.role is Role.INITIATOR:
            raise SessionNotLoggedOnError(
                f"{self.settings.name}: an initiator sends only while logged on, it is {self._state.value}"
            )

    def _hand_over(self, messages: list[bytes], app_ref: int) -> int:
        first_seq = self.next_out
        for raw in messages:
            if len(raw) > BATCH_BYTES:
                raise FixError(f"{self.settings.name}: a message of {len(raw)} bytes; at most {BATCH_BYTES} fit")
        host = self._host
        ready = host is not None and host.ready
        added = self._outbox.add(messages, app_ref, told=ready)
        if host is not None and ready:
            for record in self._outbox.records(added, self._place):
                host.tell(record)
        return first_seq
