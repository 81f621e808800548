"""One FIX session over successive connections: the machine, its store, the handler, the fast paths.

Every message is in the store before it is on the socket, and everything a batch needs leaves in
one write. Nothing here is thread-safe: a session belongs to the event loop it runs on.

Order of events for a received message: the handler takes it, then ``next_in`` is persisted. A
crash in between makes the peer send it again with PossDupFlag=Y; a handler must recognise what it
has seen (ExecID, ClOrdID). A handler that raises ends the connection: what it did not take is
asked for again after the next logon.

Three paths carry messages, each complete for what it takes and leaving the rest to the next: the
kernels (``hotpath.py``), the plain steady path (``steady.py``), the machine.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fix.dictionary import Validator
from fix.endpoints.connection import Connection
from fix.endpoints.describe import describe
from fix.endpoints.events import HotRefused, OperatorAction
from fix.endpoints.hotpath import HotPath, Stop
from fix.endpoints.hours import Hours
from fix.endpoints.laned import Laned
from fix.endpoints.measure import Measure
from fix.endpoints.policy import Backpressure, Counters, OnExceed
from fix.endpoints.sending import Sending
from fix.endpoints.steady import SteadyReader, SteadyWriter, readable_by
from fix.endpoints.ticker import ticker
from fix.errors import FixError, SettingsError, StoreError
from fix.latency import SessionLatency
from fix.messages import Message, frame
from fix.schedule import Schedule
from fix.session import AppMessage, Dictionary, Disconnect, Role, SessionEvent, SessionMachine, SessionSettings, State
from fix.session.events import LoggedOut, SequencesReset, StandDown
from fix.store import MessageStore, Store
from fix.throttle import ThrottleSettings

#: Messages of the cold path begin within this much of a turn of the loop; then it is the others' turn.
_TURN_NS = 400_000
#: Pause of a resend that waits for the peer to read.
_RESEND_RETRY_S = 0.01


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


class FixSession(Hours, Laned, Sending):
    """One session, whoever opens the connection.

    Parameters
    ----------
    settings, store, handler:
        What it is, what it remembers, who acts on it.
    hot:
        Kernels for the frequent messages; None: every message goes through plain Python.
    index:
        The application's number for this session.
    dictionary:
        Checks application messages; None accepts what is structurally sound.
    clock:
        UTC nanoseconds.
    schedule:
        When it may be up; None: always. The numbers start over with each of its sessions.
    throttle:
        Limits what is sent of orders and cancels; None: no limit.
    backpressure:
        Limits towards a peer that reads too slowly.
    latency:
        Whether histograms are kept, at about 0.5 us a message.
    authenticate:
        Acceptor: looks at the peer's Logon; a text refuses it.
    """

    def __init__(
        self,
        settings: SessionSettings,
        store: Store,
        handler: SessionHandler,
        hot: HotPath | None = None,
        index: int = 0,
        dictionary: Dictionary | None = None,
        clock: Callable[[], int] = time.time_ns,
        *,
        schedule: Schedule | None = None,
        throttle: ThrottleSettings | None = None,
        backpressure: Backpressure | None = None,
        latency: bool = True,
        authenticate: Callable[[Message], str | None] | None = None,
    ) -> None:
        if hot is not None and settings.hot_faults:
            raise SettingsError(f"{settings.name}: no hot path here: {'; '.join(settings.hot_faults)}; give hot=None")
        self.settings = settings
        self.store = store
        self.handler = handler
        self.hot = hot
        self.index = index
        self.machine = SessionMachine(settings, store, dictionary, authenticate=authenticate)
        self.schedule = schedule
        self.backpressure = backpressure or Backpressure()
        self.latency = SessionLatency()
        self.counters = Counters()
        self.limit_sending(throttle)
        #: Why the last connection ended.
        self.last_reason = ""
        #: Set whenever :meth:`closed_reason` may have changed; an initiator waits for it.
        self.wakeup = asyncio.Event()
        self._clock = clock
        self._measure = Measure(self.latency, settings.role) if latency else None
        self._reader = None
        if readable_by(dictionary):
            self._reader = SteadyReader(settings, dictionary if isinstance(dictionary, Validator) else None)
        writer = SteadyWriter(settings)
        self._writer = writer if writer.usable else None
        self._connection: Connection | None = None
        self._state = State.DISCONNECTED
        self._reason = ""
        self._down_text: str | None = None  # why it stays down until a person has acted
        self._stood_down = False  # because the two sides' numbers disagree
        self._due_ns = 0
        self._resume: asyncio.Handle | None = None
        self._going: asyncio.Handle | None = None  # received or held messages wait for the next turn
        self._turn_ns = 0  # when the present turn began
        self._inside = 0  # calls of the handler may be under way
        self._waiters: list[tuple[frozenset[State], asyncio.Future[State]]] = []
        self._schedule_due_ns = 0
        self._session_start: int | None = None
        if schedule is not None:
            self._session_start = schedule.session_start(clock())
            self._roll(clock())

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
    def connection(self) -> Connection | None:
        """The connection that is attached."""
        return self._connection

    @property
    def enabled(self) -> bool:
        """Whether it may be up: no operator has taken it down, it has not stood down by itself."""
        return self._down_text is None

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected from the peer."""
        return self.store.next_in if self.lane_out else self.machine.next_in

    @property
    def next_out(self) -> int:
        """MsgSeqNum of the next message sent."""
        return self.machine.next_out

    @property
    def backlog_bytes(self) -> int:
        """Bytes sent that the kernel has not taken: above 0 the peer reads too slowly."""
        if self.lane_out:
            return self.lane_backlog
        return self._connection.backlog_bytes if self._connection else 0

    def describe(self) -> dict[str, Any]:
        """Everything about the session, ready for JSON."""
        return describe(self, self._clock())

    async def wait_state(self, *states: State) -> State:
        """Wait until the session is in one of ``states``."""
        if self.machine.state in states:
            return self.machine.state
        future: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiters.append((frozenset(states), future))
        return await future

    # --------------------------------------------------------- administration

    def connect(self) -> None:
        """Let the session be up again after :meth:`disconnect`."""
        if self._down_text is not None:
            self._down_text, self._stood_down = None, False
            self.wakeup.set()
            self._tell("on_event", OperatorAction("connect", ""))

    def disconnect(self, text: str = "") -> None:
        """Log out, and stay down until :meth:`connect`: no redial, and the peer is refused."""
        self._down_text, self._stood_down = text or "disconnected by an operator", False
        self._tell("on_event", OperatorAction("disconnect", self._down_text))
        self.logout(text)

    def reset_sequences(self) -> None:
        """Both numbers to 1: by a Logon with ResetSeqNumFlag=Y while logged on, in the store otherwise."""
        self._tell("on_event", OperatorAction("reset", f"in {self.next_in}, out {self.next_out}"))
        self.reclaim()
        self._settle(self.machine.reset_sequences(self._clock()))
        self._numbers_set()

    def set_next_in(self, seq: int, force: bool = False) -> None:
        """Expect ``seq`` next; FixError if that is lower and not forced."""
        self.reclaim()
        self._settle(self.machine.set_next_in(seq, force=force))
        self._numbers_set()

    def set_next_out(self, seq: int, force: bool = False) -> None:
        """Send ``seq`` next; FixError if that is lower and not forced."""
        self.reclaim()
        self._settle(self.machine.set_next_out(seq, force=force))
        self._numbers_set()

    def _numbers_set(self) -> None:
        """A person has mended the numbers: a session that stood down for them may try again."""
        if self._stood_down:
            self.connect()

    def refusal_of(self, logon: Message) -> str:
        """Why a peer that comes with ``logon`` is not let in; empty when it is.

        One that starts the numbers over is the way out, agreed upon, of numbers that disagree.
        """
        if self._stood_down and self.settings.rules.reset_flag and logon.flag(141) and not logon.flag(43):
            return self._outside_hours(None)
        return self.closed_reason()

    # ------------------------------------------------------------ the connection

    def logout(self, text: str = "") -> None:
        """Say Logout and wait for the answer (``logout_timeout_s``); the state says when it is over."""
        if self._connection is not None:
            self.reclaim()
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
        self.counters.connections += 1
        if self._reader is not None:
            self._reader.forget()
        ticker().add(self)
        self._act(self.machine.connected)

    def bytes_arrived(self, connection: Connection) -> None:
        """Take what has been received."""
        counters = self.counters
        before = counters.machine_in
        self._inside += 1
        try:
            self._consume(connection)
        except Exception as error:  # noqa: BLE001 - the outermost frame of a callback: stop, then report
            self._fail(error)
        finally:
            self._inside -= 1
        if counters.machine_in != before:  # a handler's sends have flushed for themselves
            self._after()

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """Forget a connection that the peer or the network closed."""
        if connection is self._connection:
            self._detach(reason, abort=True)

    def _consume(self, connection: Connection) -> None:
        machine, hot, reader, counters = self.machine, self.hot, self._reader, self.counters
        now_ns = self._clock()
        measure = self._measure
        self._turn_ns = time.perf_counter_ns()
        if measure is not None:
            measure.arrived_ns = self._turn_ns
        if machine.draining and not self._drain(now_ns):
            return
        cold = 0
        while not connection.dead and connection.start < connection.end:
            steady = machine.steady
            if hot is not None and steady:
                batch = hot.decode(connection.array, connection.start, connection.end, machine.next_in, now_ns)
                connection.start += batch.consumed
                if batch.messages:
                    if batch.frames:
                        self.handler.on_frames(self, hot.frames, batch.frames)
                        if measure is not None:
                            measure.frames_handled(hot.frames, batch.frames)
                    if connection is not self._connection:
                        return  # the handler has cut the connection
                    machine.advance_hot_in(batch.messages, now_ns)
                    machine.commit()
                    counters.hot_in += batch.messages
                if batch.stop is Stop.NEED_MORE:
                    return
                if batch.stop is Stop.OUT_FULL:
                    continue
            if cold and (cold == self.backpressure.max_cold_per_turn or self._turn_spent()):
                self._go_later(connection)
                return
            cold += 1
            if steady and reader is not None:
                found = reader.take(connection.buffer, connection.start, connection.end, machine.next_in, now_ns)
                if found is not None and (hot is None or found.msg_type not in hot.msg_types):
                    connection.start = found.stop
                    machine.advance_hot_in(1, now_ns)
                    raw, msg_type = found.raw, found.msg_type
                    self.handler.on_message(self, msg_type, raw, False)
                    if measure is not None:
                        measure.handled(msg_type, raw)
                    if connection is not self._connection:
                        return
                    machine.commit()
                    counters.steady_in += 1
                    continue
            begin, stop = frame(connection.buffer, connection.start, connection.end)
            connection.start = stop
            if begin == stop:
                return
            counters.machine_in += 1
            raw = bytes(connection.buffer[begin:stop])
            events = machine.receive(raw, now_ns)
            if reader is not None and len(events) == 1 and isinstance(events[0], AppMessage):
                reader.accepted(raw)
            self._dispatch(events)
            if machine.draining and not self._drain(now_ns):
                return

    def _turn_spent(self) -> bool:
        return time.perf_counter_ns() - self._turn_ns > _TURN_NS

    def _go_later(self, connection: Connection) -> None:
        """Leave the rest of a backlog to the next turn; until then nothing more is received."""
        connection.pause()
        if self._going is None:
            self._going = asyncio.get_running_loop().call_soon(self._go_on, connection)

    def _stay(self) -> None:
        """Take nothing in the next turn."""
        if self._going is not None:
            self._going.cancel()
            self._going = None

    def _go_on(self, connection: Connection) -> None:
        """The next turn of a long backlog: others on the loop have had theirs."""
        self._going = None
        if connection is self._connection:
            connection.resume()
            self.bytes_arrived(connection)
            self._after()

    def _drain(self, now_ns: int) -> bool:
        """Go on with held messages: what a handler has sent stands before our next answer.

        False when the turn is spent: the next one goes on, and what comes meanwhile waits behind them.
        """
        connection = self._connection
        while self.machine.draining and connection is not None and connection is self._connection:
            if self._turn_spent():
                self._go_later(connection)
                return False
            self._dispatch(self.machine.drain(now_ns))
        return True

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
                elif isinstance(event, StandDown) and (event.ours_low or self.settings.role is Role.INITIATOR):
                    # Otherwise an acceptor goes on listening: the peer may come back right.
                    self._down_text, self._stood_down = event.reason, True
                elif isinstance(event, SequencesReset) and self._stood_down:
                    self._down_text, self._stood_down = None, False  # both sides begin at 1: nothing disagrees
                    self.wakeup.set()
                self._tell("on_event", event)
            if connection is not self._connection:
                return  # cut by the handler: the rest is asked for again
        self.machine.commit()
        if closing is not None:
            self._detach(closing.reason)
        else:
            self._say_state()

    def _deliver(self, event: AppMessage) -> None:
        hot, measure = self.hot, self._measure
        if hot is not None and event.msg_type in hot.msg_types:
            count = hot.decode_one(event.raw)
            if count:
                self.handler.on_frames(self, hot.frames, count)
                if measure is not None:
                    measure.frames_handled(hot.frames, count)
                return
            self.counters.hot_refused += 1
            self._tell("on_event", HotRefused(event.msg_type, event.seq, *hot.last_refusal))
        self.handler.on_message(self, event.msg_type, event.raw, event.poss_dup)
        if measure is not None:
            measure.handled(event.msg_type, event.raw)

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
        self._inside += 1
        try:
            now_ns = self._clock()
            self._turn_ns = time.perf_counter_ns()
            self._dispatch(step(now_ns))
            self._drain(now_ns)
        except Exception as error:  # noqa: BLE001 - as in bytes_arrived
            self._fail(error)
        finally:
            self._inside -= 1
        self._after()

    def _settle(self, events: list[SessionEvent]) -> None:
        """Carry out what an operator's call brought about."""
        self._inside += 1
        try:
            self._dispatch(events)
        finally:
            self._inside -= 1
        self._after()

    def _after(self) -> None:
        """Send what the machine has said; go on with a resend in the next turn of the loop."""
        self._flush()
        self._due_ns = 0
        if self._resume is None and self._connection is not None and self.machine.resending:
            loop = asyncio.get_running_loop()
            if self.backlog_bytes < self.backpressure.pause_resend_bytes:
                self._resume = loop.call_soon(self._continue_resend)
            else:
                self._resume = loop.call_later(_RESEND_RETRY_S, self._continue_resend)

    def _continue_resend(self) -> None:
        self._resume = None
        if self._connection is not None:
            may = self.backlog_bytes < self.backpressure.pause_resend_bytes
            self._act(lambda now: self.machine.tick(now, resend=may))

    def _flush(self) -> None:
        out = self.machine.take_output()
        if out:
            self._write(out)

    def _write(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        backlog = connection.write(data)
        counters = self.counters
        counters.bytes_out += len(data)
        if backlog:
            counters.backlog_peak_bytes = max(backlog, counters.backlog_peak_bytes)
            policy = self.backpressure
            if backlog > policy.max_backlog_bytes and policy.on_exceed is OnExceed.DISCONNECT:
                counters.backlog_cuts += 1
                self._detach(f"the peer reads too slowly: {backlog} bytes unsent", abort=True)

    # ----------------------------------------------------------- the ticker's side

    def tick(self, now_ns: int) -> None:
        """Time has passed. Called by the ticker."""
        del now_ns  # of all sessions of a loop; this session's clock may be another
        now_ns = self._clock()
        if self.schedule is not None and now_ns >= self._schedule_due_ns:
            self._watch_schedule(now_ns)
        if self.lane_out:
            self._tick_lane()
        if self.lane_out:
            return
        if self._connection is not None and now_ns >= self._due_ns and self._resume is None:
            self._act(self.machine.tick)
            self._due_ns = self.machine.next_due_ns

    def stalled(self, late_ns: int) -> None:
        """Our process was frozen: the peer's silence in that time says nothing. Called by the ticker."""
        del late_ns
        self.counters.stalls += 1
        self._due_ns = 0
        if self._connection is not None and not self.lane_out:  # a lane that was frozen too comes back, overdue
            self.machine.stalled(self._clock())

    def clock_jumped(self, delta_ns: int) -> None:
        """UTC was stepped. Called by the ticker."""
        self._due_ns = self._schedule_due_ns = 0
        self.machine.clock_jumped(delta_ns)
        if self.lane_out:
            self._lanes.shift(self._lane_k, delta_ns)

    def _detach(self, reason: str, *, abort: bool = False) -> None:
        self.reclaim()  # before the socket is closed: its number may be another's at once
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self.last_reason = reason
        if self.schedule is None:
            ticker().remove(self)
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self._stay()
        if isinstance(self.store, MessageStore):
            self.store.close_window()
        self.counters.bytes_in += connection.received
        if abort:
            connection.abort()
        else:
            out = self.machine.take_output()
            if out:
                connection.write(out)
            connection.close()
        self.latency.forget_requests()
        if self.throttle is not None:
            self.throttle.clear(f"the line is down: {reason}")
        for event in self.machine.disconnected(self._clock(), reason):
            self._tell("on_event", event)
        self._reason = reason
        self._say_state()
        if self.schedule is not None and self._connection is None:
            self._roll(self._clock())

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
