"""One FIX session over successive connections: the machine, its store, the handler, the hot path.

Every message is in the store before it is on the socket, and everything a batch needs leaves in
one write. Nothing here is thread-safe: a session belongs to the event loop it runs on.

Order of events for a received message: the handler takes it, then ``next_in`` is persisted. A
crash in between makes the peer send it again with PossDupFlag=Y; a handler must recognise what it
has seen (ExecID, ClOrdID). A handler that raises ends the connection: what it did not take is
asked for again after the next logon.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fix.endpoints.connection import Connection
from fix.endpoints.hotpath import HotPath, Stop
from fix.errors import FixError, HotPathError, StoreError
from fix.messages import Field, frame
from fix.session import AppMessage, Dictionary, Disconnect, SessionEvent, SessionMachine, SessionSettings, State
from fix.session.events import LoggedOut
from fix.store import MessageStore

TICK_S = 0.2
#: Messages that the machine takes in one turn of the loop, at about 40 us each.
_COLD_PER_TURN = 20
_JUMP_NS = 250_000_000
_RESEND_PAUSE_BYTES = 1 << 20
#: A peer that reads this much too slowly is cut off; what it misses it gets by resend.
MAX_BACKLOG_BYTES = 1 << 26


class SessionHandler(Protocol):
    """What the application does. All calls come on the event loop, one at a time.

    Optional methods: ``on_event(session, event)`` gets every :class:`SessionEvent` that is not an
    application message; ``on_failure(session, error)`` gets what made a session fail.
    """

    def on_frames(self, session: "FixSession", frames: npt.NDArray[np.uint8], count: int) -> None:
        """Take ``frames[:count]`` (uint8[n, 128]); the array is reused, copy what you keep."""

    def on_message(self, session: "FixSession", msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Take an application message that has no frame."""

    def on_state(self, session: "FixSession", state: State, reason: str) -> None:
        """The session's state has changed."""


class FixSession:
    """One session, whoever opens the connection.

    Parameters
    ----------
    settings, store, handler:
        What it is, what it remembers, who acts on it.
    hot:
        Kernels for the frequent messages; None: every message goes through the machine.
    index:
        The application's number for this session.
    clock:
        UTC nanoseconds.
    """

    def __init__(
        self,
        settings: SessionSettings,
        store: MessageStore,
        handler: SessionHandler,
        hot: HotPath | None = None,
        index: int = 0,
        dictionary: Dictionary | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.settings = settings
        self.store = store
        self.handler = handler
        self.hot = hot
        self.index = index
        self.machine = SessionMachine(settings, store, dictionary)
        #: Why the last connection ended.
        self.last_reason = ""
        self._clock = clock
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._state = State.DISCONNECTED
        self._reason = ""
        self._utc_offset_ns = 0
        self._waiters: list[tuple[frozenset[State], asyncio.Future[State]]] = []

    # ------------------------------------------------------------ what it is

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self.machine.state

    @property
    def logged_on(self) -> bool:
        """Whether application messages reach the peer now."""
        return self.machine.logged_on

    @property
    def steady(self) -> bool:
        """Logged on, nothing missing on either side."""
        return self.machine.steady

    @property
    def connected(self) -> bool:
        """Whether a connection is attached."""
        return self._connection is not None

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected from the peer."""
        return self.machine.next_in

    @property
    def next_out(self) -> int:
        """MsgSeqNum of the next message sent."""
        return self.machine.next_out

    @property
    def backlog_bytes(self) -> int:
        """Bytes sent that the kernel has not taken: above 0 the peer reads too slowly."""
        return self._connection.backlog_bytes if self._connection else 0

    async def wait_state(self, *states: State) -> State:
        """Wait until the session is in one of ``states``."""
        if self.machine.state in states:
            return self.machine.state
        future: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiters.append((frozenset(states), future))
        return await future

    # ---------------------------------------------------------------- sending

    def send(self, msg_type: str, fields: Sequence[Field], app_ref: int = 0) -> int:
        """Send one application message of body ``fields``; its MsgSeqNum.

        Raises
        ------
        SessionNotLoggedOnError
            An initiator that is not logged on.
        StoreFullError
            The store could not be written; nothing was sent and no number used.
        """
        seq = self.machine.send(msg_type, fields, self._clock(), app_ref)
        self._flush()
        return seq

    def refuse(self, raw: bytes, reason: int, text: str) -> int:
        """Answer an application message by BusinessMessageReject(35=j); ``reason`` is tag 380."""
        seq = self.machine.refuse_business(raw, reason, text, self._clock())
        self._flush()
        return seq

    def send_orders(self, orders: Any, count: int, first: int = 0) -> int:
        """Send ORDER rows ``first .. first+count``; the first MsgSeqNum.

        Raises
        ------
        HotPathError
            A row cannot be put on the wire: those before it are sent, it and those after it are not.
        SessionNotLoggedOnError, StoreFullError
            As :meth:`send`.
        """
        return self._send_hot(self._kernels().encode_orders, orders, first, count, 0)

    def send_executions(self, executions: Any, count: int, first: int = 0, app_ref: int = 0) -> int:
        """Send EXECUTION rows as 35=8 or 9 by ``header.kind``; the first MsgSeqNum. Errors as :meth:`send_orders`."""
        return self._send_hot(self._kernels().encode_executions, executions, first, count, app_ref)

    def send_quotes(self, quotes: Any, count: int, first: int = 0) -> int:
        """Send QUOTE rows as 35=W; the first MsgSeqNum. Errors as :meth:`send_orders`."""
        return self._send_hot(self._kernels().encode_quotes, quotes, first, count, 0)

    def _kernels(self) -> HotPath:
        if self.hot is None:
            raise HotPathError(f"{self.settings.name}: no hot path is bound; give FixSession one, or use send()")
        return self.hot

    def _send_hot(self, encode: Any, rows: Any, first: int, count: int, app_ref: int) -> int:
        self.machine.require_sendable()
        store = self.store
        hot = self._kernels()
        first_seq = store.next_out
        while count > 0:
            now_ns = self._clock()
            buffer, ends = encode(rows, first, min(count, hot.max_batch), store.next_out, now_ns)
            done = len(ends)
            if not done:
                raise HotPathError(
                    f"{self.settings.name}: row {first} cannot be encoded, {count} rows are unsent: {rows[first]}"
                )
            store.append_batch(buffer, store.next_out, ends, app_ref if done == count else 0)
            if self.machine.logged_on:
                self._flush()
                self.machine.hot_sent(now_ns)
                self._write(bytes(buffer))
            first += done
            count -= done
        return first_seq

    def logout(self, text: str = "") -> None:
        """Say Logout and wait for the answer (``logout_timeout_s``); the state says when it is over."""
        self._act(lambda now_ns: self.machine.begin_logout(text, now_ns))

    def abort(self, reason: str) -> None:
        """Cut the connection now."""
        self._detach(reason, abort=True)

    # ------------------------------------------------------- the connection's side

    def connection_made(self, connection: Connection) -> None:
        """Take a fresh connection. Called by the endpoint."""
        if self._connection is not None:
            raise FixError(f"{self.settings.name}: has a connection already; drop the second one")
        self._connection = connection
        connection.consumer = self
        self._utc_offset_ns = self._clock() - time.monotonic_ns()
        self._schedule()
        self._act(self.machine.connected)

    def bytes_arrived(self, connection: Connection) -> None:
        """Take what has been received."""
        try:
            self._consume(connection)
        except Exception as error:  # noqa: BLE001 - the outermost frame of a callback: stop, then report
            self._fail(error)
        self._after()

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """Forget a connection that the peer or the network closed."""
        if connection is self._connection:
            self._detach(reason, abort=True)

    def _consume(self, connection: Connection) -> None:
        machine, hot = self.machine, self.hot
        now_ns = self._clock()
        cold = 0
        while not connection.dead and connection.start < connection.end:
            if hot is not None and machine.steady:
                batch = hot.decode(connection.array, connection.start, connection.end, machine.next_in, now_ns)
                connection.start += batch.consumed
                if batch.messages:
                    if batch.frames:
                        self.handler.on_frames(self, hot.frames, batch.frames)
                    if connection is not self._connection:
                        return  # the handler has cut the connection
                    machine.advance_hot_in(batch.messages, now_ns)
                    machine.commit()
                if batch.stop is Stop.NEED_MORE:
                    return
                if batch.stop is Stop.OUT_FULL:
                    continue
            if cold == _COLD_PER_TURN:
                connection.pause()
                asyncio.get_running_loop().call_soon(self._go_on, connection)
                return
            begin, stop = frame(connection.buffer, connection.start, connection.end)
            connection.start = stop
            if begin == stop:
                return
            cold += 1
            self._dispatch(machine.receive(bytes(connection.buffer[begin:stop]), now_ns))

    def _go_on(self, connection: Connection) -> None:
        """The next turn of a long backlog: others on the loop have had theirs."""
        if connection is self._connection:
            connection.resume()
            self.bytes_arrived(connection)

    def _dispatch(self, events: list[SessionEvent]) -> None:
        """Give events to the handler in order; then what was taken counts as taken."""
        connection = self._connection
        closing = None
        for event in events:
            if isinstance(event, AppMessage):
                self._deliver(event)
            elif isinstance(event, Disconnect):
                closing = event
            else:
                if isinstance(event, LoggedOut):
                    self._reason = event.reason
                self._tell("on_event", event)
            if connection is not self._connection:
                return  # cut by the handler: the rest is asked for again
        self.machine.commit()
        if closing is not None:
            self._detach(closing.reason)
        else:
            self._say_state()

    def _deliver(self, event: AppMessage) -> None:
        hot = self.hot
        if hot is not None and event.msg_type in hot.msg_types:
            count = hot.decode_one(event.raw)
            if count:
                self.handler.on_frames(self, hot.frames, count)
                return
        self.handler.on_message(self, event.msg_type, event.raw, event.poss_dup)

    def _tell(self, method: str, argument: object) -> None:
        call = getattr(self.handler, method, None)
        if call is not None:
            call(self, argument)

    def _say_state(self) -> None:
        state = self.machine.state
        if state is self._state:
            return
        self._state = state
        reason, self._reason = self._reason, ""
        waiting, self._waiters = self._waiters, []
        for states, future in waiting:
            if state not in states and not future.done():
                self._waiters.append((states, future))
            elif not future.done():
                future.set_result(state)
        self.handler.on_state(self, state, reason)

    # ------------------------------------------------------------- the turn

    def _act(self, step: Callable[[int], list[SessionEvent]]) -> None:
        """Run one step of the machine as the outermost frame of a callback."""
        try:
            self._dispatch(step(self._clock()))
        except Exception as error:  # noqa: BLE001 - as in bytes_arrived
            self._fail(error)
        self._after()

    def _after(self) -> None:
        """Send what the machine has said; go on with a resend in the next turn of the loop."""
        self._flush()
        if self.machine.resending and self.backlog_bytes < _RESEND_PAUSE_BYTES:
            self._schedule(0.0)

    def _flush(self) -> None:
        out = self.machine.take_output()
        if out:
            self._write(out)

    def _write(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.write(data)
        if connection.backlog_bytes > MAX_BACKLOG_BYTES:
            self._detach(f"the peer reads too slowly: {connection.backlog_bytes} bytes unsent", abort=True)

    def _schedule(self, delay_s: float = TICK_S) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._connection is None:
            return
        self._schedule()
        now_ns = self._clock()
        offset_ns = now_ns - time.monotonic_ns()
        if abs(offset_ns - self._utc_offset_ns) > _JUMP_NS:
            self.machine.clock_jumped(offset_ns - self._utc_offset_ns)
        self._utc_offset_ns = offset_ns
        resend = self.backlog_bytes < _RESEND_PAUSE_BYTES
        self._act(lambda now: self.machine.tick(now, resend=resend))

    def _detach(self, reason: str, *, abort: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self.last_reason = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if abort:
            connection.abort()
        else:
            out = self.machine.take_output()
            if out:
                connection.write(out)
            connection.close()
        for event in self.machine.disconnected(self._clock(), reason):
            self._tell("on_event", event)
        self._reason = reason
        self._say_state()

    def _fail(self, error: Exception) -> None:
        """A handler, the store or the machine has raised: cut the connection, then report."""
        what = "the store failed" if isinstance(error, StoreError) else "handler failed"
        with suppress(Exception):  # a handler that raises again must not hide the first error
            self._detach(f"{what}: {type(error).__name__}: {error}", abort=True)
        report = getattr(self.handler, "on_failure", None)
        if report is not None:
            report(self, error)
        else:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"FIX session {self.settings.name} failed", "exception": error}
            )
