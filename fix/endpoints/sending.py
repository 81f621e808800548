"""How a session sends: by the kernels, by the plain writer, or by the machine; past throttle and back-pressure.

Always in this order: what forbids it is asked first, then the message is stored, then it is put on the
socket. Whatever raises before the store was written has used no number.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from fix.endpoints.events import QueueDropped
from fix.endpoints.gate import Gate, Waiting
from fix.endpoints.measure import Measure
from fix.endpoints.policy import Backpressure, Counters, OnExceed
from fix.endpoints.rows import RowSending
from fix.endpoints.steady import SteadyWriter
from fix.errors import BackpressureError, FixError, HotPathError
from fix.messages import ADMIN_TYPES, Field
from fix.session import SessionMachine
from fix.store import Store
from fix.throttle import ThrottleSettings


class Sending(RowSending):
    """The sending half of :class:`fix.endpoints.session.FixSession`."""

    store: Store
    machine: SessionMachine
    counters: Counters
    backpressure: Backpressure
    #: The step thread has the session, or may take it at any moment.
    lane_out: bool = False
    _measure: Measure | None
    _writer: SteadyWriter | None
    _clock: Callable[[], int]

    def limit_sending(self, throttle: ThrottleSettings | None) -> None:
        """Put a throttle in front of orders and cancels, or take it away."""
        if self.lane_out:
            self.reclaim()
        self.throttle = None if throttle is None else Gate(throttle, self._send_waiting, self._dropped)

    @property
    @abstractmethod
    def backlog_bytes(self) -> int:
        """Bytes sent that the kernel has not taken."""

    @abstractmethod
    def reclaim(self) -> None:
        """Make the session asyncio's, whoever has it now."""

    @abstractmethod
    def _flush(self) -> None:
        """Put out what the machine has said."""

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Put bytes on the socket."""

    @abstractmethod
    def _tell(self, method: str, argument: object) -> None:
        """Call an optional method of the handler."""

    def send(self, msg_type: str, fields: Sequence[Field], app_ref: int = 0, *, header: Sequence[Field] = ()) -> int:
        """Send one application message of body ``fields``; its MsgSeqNum, 0 when it waits for the throttle.

        Raises
        ------
        SessionNotLoggedOnError
            An initiator that is not logged on.
        StoreFullError
            The store could not be written; nothing was sent and no number used.
        ThrottledError, BackpressureError
            A limit forbids it; nothing was sent and no number used.
        """
        if self.lane_out:
            self.reclaim()
        if self.throttle is not None or self.backpressure.on_exceed is OnExceed.REFUSE:
            self.machine.require_sendable()
            self._check_backlog()
            if self.throttle is not None and not self.throttle.admit(msg_type, fields, app_ref):
                self.counters.queued += 1
                return 0
        return self._send_cold(msg_type, fields, app_ref, header)

    def _send_cold(self, msg_type: str, fields: Sequence[Field], app_ref: int, header: Sequence[Field] = ()) -> int:
        machine, now_ns = self.machine, self._clock()
        raw = None
        if self._writer is not None and not header and msg_type not in ADMIN_TYPES and machine.logged_on:
            seq = self.store.next_out
            raw = self._writer.build(msg_type, seq, fields, now_ns)
        measure = self._measure
        if raw is None:
            if measure is not None:
                measure.requested(msg_type, fields)
            seq = machine.send(msg_type, fields, now_ns, app_ref, header=header)
            self._flush()
            return seq
        if measure is None:
            self.store.append(seq, raw, app_ref)
        else:
            measure.append(self.store, msg_type, seq, raw, app_ref)
        self._flush()
        self._write(raw)
        machine.hot_sent(now_ns)
        if measure is not None:
            measure.requested(msg_type, fields)
        self.counters.messages_out += 1
        return seq

    def refuse(self, raw: bytes, reason: int, text: str) -> int:
        """Answer an application message by BusinessMessageReject(35=j); ``reason`` is tag 380."""
        if self.lane_out:
            self.reclaim()
        seq = self.machine.refuse_business(raw, reason, text, self._clock())
        self._flush()
        return seq

    def _require_sendable(self) -> None:
        if self.lane_out:
            self.reclaim()
        self.machine.require_sendable()
        self._check_backlog()

    def _held_back(self, queued: int, refused: int) -> None:
        self.counters.queued += queued
        self.counters.throttled += refused

    def _send_rows(self, encode: Any, rows: Any, first: int, count: int, app_ref: int) -> int:
        self._require_sendable()
        store, measure = self.store, self._measure
        hot = self._kernels()
        first_seq = store.next_out
        while count > 0:
            now_ns = self._clock()
            buffer, ends, *rest = encode(rows, first, min(count, hot.max_batch), store.next_out, now_ns)
            done = rest[0] if rest else len(ends)  # a mass quote holds many rows, all others one
            if not done:
                raise HotPathError(
                    f"{self.settings.name}: row {first} cannot be encoded, {count} rows are unsent: {rows[first]}"
                )
            reference = app_ref if done == count else 0
            if measure is None or rest:
                store.append_batch(buffer, store.next_out, ends, reference)
            else:
                measure.append_batch(store, buffer, ends, reference, rows, first)
            if self.machine.logged_on:
                self._flush()
                self._write(bytes(buffer))
                self.machine.hot_sent(now_ns)
                self.counters.messages_out += len(ends)
            first += done
            count -= done
        return first_seq

    def _check_backlog(self) -> None:
        policy = self.backpressure
        if policy.on_exceed is OnExceed.REFUSE and self.backlog_bytes > policy.max_backlog_bytes:
            self.counters.backlog_refused += 1
            raise BackpressureError(
                f"{self.settings.name}: {self.backlog_bytes} bytes are unsent, at most "
                f"{policy.max_backlog_bytes} may be; the peer reads too slowly: send less, or cut it off"
            )

    def _send_waiting(self, item: Waiting) -> None:
        """A message's turn has come at the throttle."""
        try:
            if item.row is not None:
                self._send_rows(self._kernels().encode_orders, item.row, 0, 1, 0)
            else:
                self._send_cold(item.msg_type, item.fields, item.app_ref)
        except FixError as error:
            self._dropped(f"{type(error).__name__}: {error}", (item.cl_ord_id,))

    def _dropped(self, reason: str, cl_ord_ids: tuple[int | str, ...]) -> None:
        self.counters.queue_dropped += len(cl_ord_ids)
        self._tell("on_event", QueueDropped(reason, cl_ord_ids))
