"""A session that quickfix carries in its worker process, with the surface of ``FixSession``.

The order of what the handler sees is the order in which it happened: records of the worker say
how far the spool reaches, messages up to there are delivered first. A message counts as taken
when the handler has returned; what a crash leaves is delivered again after the next logon with
``poss_dup`` set.

Unlike our own engine the MsgSeqNum is given in the worker: ``send`` returns the number that the
message will have unless a heartbeat comes in between.
"""

import asyncio
import hmac
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fix.dictionary import Validator
from fix.endpoints.events import OperatorAction, ScheduleClosed, ScheduleOpened
from fix.endpoints.hotpath import HotPath
from fix.endpoints.session import SessionHandler
from fix.errors import FixError
from fix.foreign.configuration import LENIENT, check_settings, session_section, session_spec, write_dictionaries
from fix.foreign.events import Died, Unsent
from fix.foreign.outbox import Outbox
from fix.foreign.records import (
    Compact,
    Logon,
    Logout,
    Numbers,
    Refusal,
    Report,
    Reset,
    Said,
    Sent,
    SessionSpec,
    Spooled,
)  # fmt: skip
from fix.foreign.sending import Host, Sending
from fix.foreign.spool import COMPACT_BYTES, OFFSET_BITS
from fix.foreign.store import QuickfixStore
from fix.foreign.tracker import field, number
from fix.messages import Message, parse
from fix.schedule import Schedule
from fix.session import (
    GapDetected,
    GapFilled,
    Garbled,
    LoggedOn,
    LoggedOut,
    NumbersSkipped,
    PeerReject,
    Refused,
    Resent,
    Role,
    SequencesReset,
    SessionSettings,
    State,
)  # fmt: skip
from fix.throttle import ThrottleSettings
from market.records import EXECUTION, as_layout

#: Messages delivered in one turn of the loop.
_PER_TURN = 100
_LIVE = frozenset((State.LOGGED_ON, State.LOGOUT_SENT))
_PEER_BODY = 400  # PossDupFlag stands in the header: no need to look further


class QuickfixSession(Sending):
    """One session; see the module. Parameters as of :class:`fix.endpoints.FixSession`.

    Parameters
    ----------
    dictionary:
        As ``FixSession`` takes it: dictionaries with a venue's overlay, and the validation switches. None: the
        version's own, user-defined fields let through.
    authenticate:
        Acceptor: given the peer's parsed Logon, None or the text of a refusal.

    Raises
    ------
    SettingsError
        When the settings ask for what quickfix cannot do.
    """

    def __init__(
        self,
        settings: SessionSettings,
        store: QuickfixStore,
        handler: SessionHandler,
        hot: HotPath | None = None,
        index: int = 0,
        clock: Callable[[], int] = time.time_ns,
        *,
        dictionary: Validator | None = None,
        schedule: Schedule | None = None,
        throttle: ThrottleSettings | None = None,
        authenticate: Callable[[Message], str | None] | None = None,
    ) -> None:
        self._dictionary = dictionary
        self._validation = LENIENT if dictionary is None else dictionary.validation
        check_settings(settings, self._validation)
        self.settings = settings
        self.store = store
        self.handler = handler
        self.hot = hot
        self.index = index
        #: Why the last connection ended.
        self.last_reason = ""
        #: HeartBtInt in force, 0 while there is none.
        self.heartbeat_s = settings.heartbeat_interval_s if settings.role is Role.INITIATOR else 0
        self.attempts = 0
        self._clock = clock
        self._authenticate = authenticate
        self._host: Host | None = None
        self._place = 0  # number of this session in its worker
        self._state = State.DISCONNECTED
        self._gap = False
        self._down_text: str | None = None
        self._next_in, self._next_out = store.next_in, store.next_out
        self._set_in = self._set_out = 0  # numbers to be set when a worker starts
        self._outbox = Outbox(store.next_out)
        self.schedule = schedule
        self.limit_sending(throttle)
        #: By the schedule, as last looked at.
        self._open = schedule is None or schedule.logon_open(clock())
        self._reports: deque[Report] = deque()
        self._pumping = False
        self._stalled = False  # a handler has raised: nothing more before the next logon
        self._old_until = 0  # spooled before this logon: delivered as possible duplicates
        self._waiters: list[tuple[frozenset[State], asyncio.Future[State]]] = []

    # ------------------------------------------------------------ what it is

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def logged_on(self) -> bool:
        """Whether application messages reach the peer now."""
        return self._state is State.LOGGED_ON and self._host is not None and self._host.ready

    @property
    def steady(self) -> bool:
        """Logged on, nothing missing of what the peer sent."""
        return self.logged_on and not self._gap

    @property
    def connected(self) -> bool:
        """Whether a connection is being used or logged on."""
        return self._state is not State.DISCONNECTED

    @property
    def enabled(self) -> bool:
        """Whether an operator lets the session be up."""
        return self._down_text is None

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected from the peer."""
        return self._next_in

    @property
    def next_out(self) -> int:
        """MsgSeqNum of the next message sent, counting those that are on their way to the worker."""
        return self._next_out + len(self._outbox)

    @property
    def backlog_bytes(self) -> int:
        """Bytes handed over that quickfix has not stored."""
        return self._outbox.bytes

    def describe(self) -> dict[str, Any]:
        """Everything about the session, ready for JSON."""
        settings = self.settings
        return {
            "name": settings.name, "index": self.index, "engine": "quickfix", "begin_string": settings.begin_string,
            "sender_comp_id": settings.sender_comp_id, "target_comp_id": settings.target_comp_id,
            "role": settings.role.value, "state": self._state.value, "enabled": self.enabled,
            "closed_reason": self.closed_reason(), "steady": self.steady, "next_in": self.next_in,
            "next_out": self.next_out, "last_reason": self.last_reason, "backlog_bytes": self.backlog_bytes,
            "peer": "", "tls": "", "latency": {},
            "schedule": self.schedule.describe() if self.schedule is not None else "", "schedule_open": self._open,
            "schedule_next_change_ns": self.schedule.next_change(self._clock()) if self.schedule is not None else None,
            "throttle": self.throttle.snapshot() if self.throttle is not None else None,
            "worker_ready": self._host is not None and self._host.ready,
        }  # fmt: skip

    async def wait_state(self, *states: State) -> State:
        """Wait until the session is in one of ``states``."""
        if self._state in states:
            return self._state
        future: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiters.append((frozenset(states), future))
        return await future

    # --------------------------------------------------------- administration

    def logout(self, text: str = "") -> None:
        """Say Logout and wait for the answer; an initiator connects again afterwards."""
        if self._host is not None and self.connected:
            self._host.tell(Logout(self._place, text, back=not self.closed_reason()))

    def abort(self, reason: str) -> None:
        """Cut the connection now."""
        if self._host is not None and self.connected:
            self._go_down(reason, by_peer=False)
            self._host.cut(self, reason)

    def connect(self) -> None:
        """Let the session be up again, after :meth:`disconnect` or after its worker stood down."""
        if self._down_text is not None:
            self._down_text = None
            self._tell("on_event", OperatorAction("connect", ""))
        if self._host is not None:
            self._host.tell(Logon(self._place))
            self._host.wake()

    def disconnect(self, text: str = "") -> None:
        """Log out, and stay down until :meth:`connect`."""
        self._down_text = text or "disconnected by an operator"
        self._tell("on_event", OperatorAction("disconnect", self._down_text))
        if self._host is not None:
            self._host.tell(Logout(self._place, text, back=False))

    def reset_sequences(self) -> None:
        """Both numbers to 1: by Logout, and a Logon with ResetSeqNumFlag=Y.

        Raises
        ------
        FixError
            An acceptor that is connected: quickfix cannot ask for a reset from that side.
        """
        if self.settings.role is Role.ACCEPTOR and self.connected:
            raise FixError(
                f"{self.settings.name}: quickfix cannot ask the peer for a reset from the accepting side; let the "
                "peer ask, or agree with it, disconnect, and reset on both sides"
            )
        self._tell("on_event", OperatorAction("reset", f"in {self.next_in}, out {self.next_out}"))
        if self._host is not None and self._host.ready:
            self._host.tell(Reset(self._place, ask=True))
        else:
            self._set_in = self._set_out = 1
        self.store.note_reset(self._clock())

    def set_next_in(self, seq: int, *, force: bool = False) -> None:
        """Expect ``seq`` next; FixError if that is lower and not forced."""
        self._set_numbers("in", self._next_in, seq, force)

    def set_next_out(self, seq: int, *, force: bool = False) -> None:
        """Send ``seq`` next; FixError if that is lower and not forced."""
        self._set_numbers("out", self._next_out, seq, force)

    def _set_numbers(self, direction: str, before: int, seq: int, force: bool) -> None:
        if seq < 1 or (seq < before and not force):
            raise FixError(
                f"{self.settings.name}: next {direction} must be at least {max(before, 1)}, was {seq}; a lower number "
                "repeats what was sent: force it only when the peer does the same"
            )
        self._tell("on_event", OperatorAction("set-seq", f"{direction} {before} -> {seq}"))
        numbers = (seq, 0) if direction == "in" else (0, seq)
        if self._host is not None and self._host.ready:
            self._host.tell(Numbers(self._place, *numbers))
        else:
            self._set_in, self._set_out = numbers[0] or self._set_in, numbers[1] or self._set_out
        self._next_in, self._next_out = numbers[0] or self._next_in, numbers[1] or self._next_out

    def closed_reason(self) -> str:
        """Why the session must be down now, empty when it may be up."""
        if self._down_text is not None:
            return self._down_text
        return "" if self._open else "outside the session's hours"

    def _look_at_schedule(self) -> None:
        """Open or close the session as its hours say; a new one starts its numbers over."""
        if self.schedule is None:
            return
        now_ns = self._clock()
        is_open = self.schedule.is_open(now_ns) if self._open else self.schedule.logon_open(now_ns)
        if is_open and not self.schedule.same_session(self.store.created_ns, now_ns):
            self.store.note_reset(now_ns)
            if self._host is not None and self._host.ready:
                self._host.tell(Reset(self._place, ask=False))
            else:
                self._set_in = self._set_out = 1
            self._tell("on_event", SequencesReset(by_peer=False))
        if is_open is self._open:
            return
        self._open = is_open
        self._tell("on_event", ScheduleOpened(reset=self._set_in == 1) if is_open else ScheduleClosed())
        if self._host is not None and is_open and self.enabled:
            self._host.tell(Logon(self._place))
        elif self._host is not None and not is_open:
            self._host.tell(Logout(self._place, "end of the session's hours", back=False))

    # ------------------------------------------------------- the endpoint's side

    def attach(self, host: Host, place: int) -> None:
        """Belong to an endpoint, as its session number ``place``."""
        if self._host is not None and self._host is not host:
            raise FixError(f"{self.settings.name}: belongs to another endpoint already")
        self._host, self._place = host, place

    def prepare(self) -> tuple[SessionSpec, str]:
        """What a new worker has to know, and the session's part of its configuration."""
        settings, store = self.settings, self.store
        self._look_at_schedule()
        books = write_dictionaries(settings, store.files, self._dictionary)
        asks = settings.role is Role.ACCEPTOR
        numbers = (self._set_in, self._set_out)
        spec = session_spec(settings, store, books, ask=asks, numbers=numbers, enabled=not self.closed_reason())
        return spec, session_section(settings, store.files, tuple(books), self._validation)

    def worker_ready(self, next_in: int, next_out: int) -> None:
        """A worker has the session; what it has not been given goes out now."""
        self._set_in = self._set_out = 0
        self._next_in, self._next_out = next_in, next_out
        assert self._host is not None
        for record in self._outbox.again(self._place, next_out):
            self._host.tell(record)
        self.store.note_numbers(next_in, next_out)

    def judge(self, raw: bytes) -> str:
        """Why the peer of this Logon may not log on, empty when it may."""
        settings = self.settings
        if self.closed_reason():
            return self.closed_reason()
        for tag, expected in ((553, settings.username), (554, settings.password)):
            if expected and not hmac.compare_digest(field(raw, tag), expected.encode()):
                return "Invalid credentials"
        low, high = getattr(settings, "heartbeat_min_s", 0), getattr(settings, "heartbeat_max_s", 3600)
        if not low <= number(raw, 108) <= high:
            return f"HeartBtInt must be {low}..{high}"
        return (self._authenticate(parse(raw)) or "") if self._authenticate is not None else ""

    def on_report(self, report: Report) -> None:
        """One record of the worker, in order."""
        self._reports.append(report)
        if not self._pumping:
            self._pump()

    def _pump(self) -> None:
        """Work off the records, a bounded number of messages in one turn."""
        self._pumping = True
        budget = _PER_TURN
        while self._reports:
            report = self._reports[0]
            until = report.spooled if isinstance(report, Said | Spooled) else 0
            if until or isinstance(report, Died):
                budget = self._deliver(until or None, budget)
                if budget <= 0:
                    asyncio.get_running_loop().call_soon(self._pump)
                    return
            self._reports.popleft()
            try:
                self._act(report)
            except Exception as error:  # noqa: BLE001 - the outermost frame: stop the session, then report
                self._fail(error)
        self._pumping = False

    def _deliver(self, until: int | None, budget: int) -> int:
        """Give spooled messages to the handler; what is left of ``budget``."""
        if self._stalled or self._state not in _LIVE or (until is not None and until <= self.store.taken):
            return budget
        try:
            for entry in self.store.spool.entries(self.store.taken, until):
                if not entry.carried:
                    self._next_in = max(self._next_in, entry.seq + 1) if entry.end > self._old_until else self._next_in
                    self._give(entry.raw, old=entry.end <= self._old_until)
                    budget -= 1
                self.store.set_taken(entry.end)
                if budget <= 0 or self._state not in _LIVE:
                    break
        except Exception as error:  # noqa: BLE001 - a handler or the spool
            self._fail(error)
        return budget

    def _give(self, raw: bytes, *, old: bool) -> None:
        msg_type = field(raw, 35).decode("latin-1")
        hot = self.hot
        if hot is not None and msg_type in hot.msg_types:
            count = hot.decode_one(raw)
            if count:
                if old and msg_type in ("8", "9"):
                    as_layout(hot.frames, EXECUTION)["poss_dup"][:count] = 1
                self.handler.on_frames(self, hot.frames, count)  # type: ignore[arg-type]
                return
        poss_dup = old or b"\x0143=Y\x01" in raw[:_PEER_BODY]
        self.handler.on_message(self, msg_type, raw, poss_dup)  # type: ignore[arg-type]

    # --------------------------------------------------------------- what was said

    def _act(self, report: Report) -> None:
        if isinstance(report, Said):
            self._next_in, self._next_out = report.next_in, report.next_out
            self.store.note_numbers(report.next_in, report.next_out)
            act = _ACTS.get(report.kind)
            if act is not None:
                act(self, report)
        elif isinstance(report, Spooled):
            self._compact(report.spooled)
        elif isinstance(report, Sent):
            self._sent(report)
        elif isinstance(report, Refusal):
            self._unsent(report)
        elif isinstance(report, Died):
            self._died(report.reason)

    def beat(self, spooled: int, next_out: int) -> None:
        """The worker's regular word, in case a doorbell was lost."""
        self._look_at_schedule()
        if not self._outbox:
            self._next_out = max(self._next_out, next_out)
        if spooled > self.store.taken and not self._reports and self._state in _LIVE:
            self.on_report(Spooled(self._place, spooled, self._next_in))

    def _compact(self, spooled: int) -> None:
        taken = self.store.taken
        if taken == spooled and taken & ((1 << OFFSET_BITS) - 1) > COMPACT_BYTES and self._host is not None:
            self._host.tell(Compact(self._place, taken))

    def _sent(self, report: Sent) -> None:
        app_ref = self._outbox.sent(report.ticket, report.next_out)
        self._next_out = report.next_out
        if app_ref:
            self.store.note_app_ref(app_ref)

    def _unsent(self, report: Refusal) -> None:
        self._outbox.refused(report.ticket)
        self._tell("on_event", Unsent(field(report.raw, 35).decode("latin-1"), report.raw, report.reason))

    def _died(self, reason: str) -> None:
        self._go_down(reason, by_peer=False)
        if self.settings.role is Role.INITIATOR:
            # Sent or not, nobody knows: orders among them are in doubt until the venue is asked.
            self._outbox.clear()

    def _logged_on(self, report: Said) -> None:
        self._stalled = False
        self._old_until = report.spooled
        if self.settings.role is Role.ACCEPTOR:
            self.heartbeat_s = report.numbers[0]
        self._tell("on_event", LoggedOn(report.next_in, report.next_out, self.heartbeat_s))
        self._set_state(State.LOGGED_ON, "")
        self.on_report(Spooled(self._place, report.spooled, report.next_in))

    def _down(self, report: Said) -> None:
        self._go_down(report.text, by_peer=bool(report.numbers[0]))

    def _go_down(self, reason: str, *, by_peer: bool) -> None:
        self._gap = False
        self.last_reason = reason
        if self._state in _LIVE:
            self._tell("on_event", LoggedOut(reason, by_peer))
        self._set_state(State.DISCONNECTED, reason)

    def _gap_found(self, report: Said) -> None:
        self._gap = True
        self._tell("on_event", GapDetected(*report.numbers))

    def _gap_filled(self, report: Said) -> None:
        self._gap = False
        self._tell("on_event", GapFilled(*report.numbers))

    def _was_reset(self, report: Said) -> None:
        self.store.note_reset(self._clock())
        self._outbox.confirmed = 1
        self._tell("on_event", SequencesReset(bool(report.numbers[0])))

    def _reject(self, report: Said) -> None:
        kind = PeerReject if report.kind == "rejected" else Refused
        raw = report.raw
        reason = number(raw, 373) if field(raw, 373) else -1
        text = field(raw, 58).decode("latin-1")
        self._tell("on_event", kind(number(raw, 45), field(raw, 372).decode("latin-1"), reason, text, raw))

    def _connecting(self, report: Said) -> None:
        self.attempts += 1

    def _tell(self, method: str, argument: object) -> None:
        call = getattr(self.handler, method, None)
        if call is not None:
            call(self, argument)

    def _set_state(self, state: State, reason: str) -> None:
        if state is self._state:
            return
        self._state = state
        waiting, self._waiters = self._waiters, []
        for states, future in waiting:
            if state not in states and not future.done():
                self._waiters.append((states, future))
            elif not future.done():
                future.set_result(state)
        self.handler.on_state(self, state, reason)  # type: ignore[arg-type]

    def _fail(self, error: Exception) -> None:
        """A handler or the spool has raised: cut the connection, then report."""
        self._stalled = True
        reason = f"handler failed: {type(error).__name__}: {error}"
        with suppress(Exception):  # a handler that raises again must not hide the first error
            self.abort(reason)
        self.report_failure(error)

    def report_failure(self, error: Exception) -> None:
        """To the handler, else to the loop."""
        report = getattr(self.handler, "on_failure", None)
        if report is not None:
            report(self, error)
        else:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"FIX session {self.settings.name} failed", "exception": error}
            )


_ACTS: dict[str, Callable[[QuickfixSession, Said], None]] = {
    "connecting": QuickfixSession._connecting,
    "logon-sent": lambda self, report: self._set_state(State.LOGON_SENT, ""),
    "logged-on": QuickfixSession._logged_on,
    "logout-sent": lambda self, report: self._set_state(State.LOGOUT_SENT, report.text),
    "down": QuickfixSession._down,
    "gap": QuickfixSession._gap_found,
    "filled": QuickfixSession._gap_filled,
    "skipped": lambda self, report: self._tell("on_event", NumbersSkipped(*report.numbers)),
    "resent": lambda self, report: self._tell("on_event", Resent(*report.numbers)),
    "reset": QuickfixSession._was_reset,
    "rejected": QuickfixSession._reject,
    "refused": QuickfixSession._reject,
    "noted": lambda self, report: self._tell("on_event", Garbled(report.text, b"")),
}
