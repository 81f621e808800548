"""The session machine: whole messages and the time in, events and bytes out. No socket, no clock.

It follows h11's shape for HTTP: a driver frames messages and calls :meth:`SessionMachine.receive`
and :meth:`SessionMachine.tick`, acts on the events that come back, and sends whatever
:meth:`SessionMachine.take_output` returns. Everything that leaves is in the store first. What the
machine counts as received is persisted only by :meth:`SessionMachine.commit`, which the driver
calls once the application has taken the events: after a crash the rest is asked for again.

While :attr:`SessionMachine.steady` holds, application messages may bypass the machine: a kernel
decodes them and reports the count through :meth:`SessionMachine.advance_hot_in`; the same for
sending through :meth:`SessionMachine.hot_sent`. Anything unusual comes back here.

All times are UTC nanoseconds, used both as stamps and for intervals; a driver that sees its clock
jump says so through :meth:`SessionMachine.clock_jumped`.
"""

from collections.abc import Sequence

from fix.errors import FixError, GarbledMessageError, SessionNotLoggedOnError
from fix.messages import ADMIN_TYPES, Field, Message, build, parse, utc_timestamp
from fix.session.checks import (
    Dictionary,
    Refusal,
    RejectReason,
    check_message,
    reject_body,
    reversed_route,
)  # fmt: skip
from fix.session.events import (
    AppMessage,
    Disconnect,
    GapDetected,
    GapFilled,
    Garbled,
    LoggedOn,
    LoggedOut,
    PeerReject,
    Refused,
    Resent,
    SequencesReset,
    SessionEvent,
)  # fmt: skip
from fix.session.logon import LogonFault, check_logon
from fix.session.resend import ResendJob
from fix.session.settings import Role, SessionSettings
from fix.session.states import LIVE, TRANSITIONS, Signal, State
from fix.session.timers import Timers, Urge
from fix.store import MessageStore

_TOO_LOW = "MsgSeqNum too low, expecting {} but received {}"


class SessionMachine:
    """One FIX.4.x session.

    Parameters
    ----------
    settings, store:
        What the session is, and its numbers and sent messages.
    dictionary:
        Checks application messages; None accepts what is structurally sound.
    """

    def __init__(self, settings: SessionSettings, store: MessageStore, dictionary: Dictionary | None = None) -> None:
        self.settings = settings
        self.store = store
        self.dictionary = dictionary
        self._state = State.DISCONNECTED
        self._next_in = store.next_in
        self._timers = Timers(settings)
        self._out = bytearray()
        self._events: list[SessionEvent] = []
        self._closing = False  # a Disconnect has been said
        self._gap_end = 0  # highest number known to be missing, 0 when none
        self._held: dict[int, Message | None] = {}  # beyond the gap; None: already acted upon
        self._job: ResendJob | None = None
        self._ask_reset = False  # the next Logon carries ResetSeqNumFlag=Y
        self._reset_asked = False  # the Logon that is out does
        self._logged_out = True  # LoggedOut has been said since the last LoggedOn

    # ------------------------------------------------------------ what it is

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected from the peer."""
        return self._next_in

    @property
    def next_out(self) -> int:
        """MsgSeqNum of the next message sent."""
        return self.store.next_out

    @property
    def logged_on(self) -> bool:
        """Whether messages of the application may be sent to the peer now."""
        return self._state is State.LOGGED_ON and not self._closing

    @property
    def resending(self) -> bool:
        """Whether a resend is unfinished: :meth:`tick` soon."""
        return self._job is not None

    @property
    def gap(self) -> tuple[int, int] | None:
        """Numbers of the peer that are missing, inclusive."""
        return (self._next_in, self._gap_end) if self._gap_end else None

    @property
    def steady(self) -> bool:
        """Logged on, nothing missing, nothing held, no resend owed: the hot path may be used."""
        return self.logged_on and not self._gap_end and not self._held and self._job is None

    def take_output(self) -> bytes:
        """Bytes to send, in order, and forget them."""
        out = bytes(self._out)
        self._out.clear()
        return out

    # ---------------------------------------------------------- the connection

    def connected(self, now_ns: int) -> list[SessionEvent]:
        """Begin on a fresh connection; an initiator says Logon.

        Raises
        ------
        FixError
            When the session is connected already.
        """
        if self._state is not State.DISCONNECTED:
            raise FixError(f"{self.settings.name}: already connected ({self._state.value})")
        self._move(Signal.CONNECTED)
        self._closing = False
        self._out.clear()
        self._timers.connected(now_ns)
        if self.settings.role is Role.INITIATOR:
            if self._ask_reset or self.settings.reset_on_logon:
                self._reset(by_peer=False)
                self._reset_asked = True
            self._move(Signal.CONNECTED)
            self._send_logon(now_ns, reset=self._reset_asked)
        return self._take_events()

    def disconnected(self, now_ns: int, reason: str = "connection lost") -> list[SessionEvent]:
        """Forget the connection. What was received but not committed will be asked for again."""
        del now_ns
        if self._state is State.DISCONNECTED:
            return []
        self._say_logged_out(reason, by_peer=False)
        self._move(Signal.CLOSED)
        self._next_in = self.store.next_in
        self._forget_gap()
        self._job = None
        self._reset_asked = False
        self._out.clear()
        return self._take_events()

    def commit(self) -> None:
        """Persist that the application has taken every event returned so far."""
        if self._next_in != self.store.next_in:
            self.store.set_next_in(self._next_in)

    def clock_jumped(self, delta_ns: int) -> None:
        """Move every running interval by ``delta_ns``: UTC was stepped, no time has passed."""
        self._timers.shift(delta_ns)

    # ---------------------------------------------------------------- sending

    def send(self, msg_type: str, fields: Sequence[Field], now_ns: int, app_ref: int = 0) -> int:
        """Store and, when logged on, put out one application message; its MsgSeqNum.

        An acceptor that is not logged on only stores: the peer gets it by resend after its logon.

        Raises
        ------
        SessionNotLoggedOnError
            An initiator that is not logged on.
        """
        if msg_type in ADMIN_TYPES:
            raise FixError(f"MsgType {msg_type} belongs to the session; use its own methods")
        self.require_sendable()
        return self._send(msg_type, fields, now_ns, app_ref=app_ref, put_out=self.logged_on)

    def require_sendable(self) -> None:
        """Raise unless an application message may be stored now.

        Raises
        ------
        SessionNotLoggedOnError
            An initiator that is not logged on.
        """
        if not self.logged_on and self.settings.role is Role.INITIATOR:
            raise SessionNotLoggedOnError(
                f"{self.settings.name}: an initiator sends only while logged on, it is {self._state.value}"
            )

    def hot_sent(self, now_ns: int) -> None:
        """A kernel has encoded, stored (``store.append_batch``) and put out messages."""
        self._timers.sent(now_ns)

    def advance_hot_in(self, messages: int, now_ns: int) -> None:
        """A kernel has taken ``messages`` in-sequence messages of the peer."""
        self._next_in += messages
        self._timers.received(now_ns)

    def begin_logout(self, text: str, now_ns: int) -> list[SessionEvent]:
        """Say Logout and wait for the peer's; before the logon it just closes."""
        if self._state is State.LOGGED_ON:
            self._say_logout(text, now_ns)
        elif self._state in (State.AWAITING_LOGON, State.LOGON_SENT):
            self._disconnect(text or "logout before logon")
        return self._take_events()

    def refuse_business(self, raw: bytes, reason: int, text: str, now_ns: int) -> int:
        """Answer an application message by BusinessMessageReject(35=j)."""
        message = parse(raw)
        body: list[Field] = [(45, message.seq or 0), (58, text), (372, message.msg_type), (380, reason)]
        return self._send("j", body, now_ns, reversed_route(message), put_out=self.logged_on)

    # ------------------------------------------------------------------- time

    def tick(self, now_ns: int, *, resend: bool = True) -> list[SessionEvent]:
        """Heartbeats, test requests, time-outs, and (``resend``) the next part of a resend."""
        if self._state is State.DISCONNECTED or self._closing:
            return []
        urge = self._timers.due(self._state, now_ns, gap_open=self._gap_end != 0)
        if urge is Urge.CLOSE:
            self._disconnect(self._timers.reason)
        elif urge is Urge.HEARTBEAT:
            self._send("0", (), now_ns)
        elif urge is Urge.TEST_REQUEST:
            self._send("1", [(112, "TEST")], now_ns)
        elif urge is Urge.ASK_AGAIN:
            self._ask_resend(now_ns)
        if resend and self._job is not None and not self._closing:
            self._continue_resend(now_ns)
        return self._take_events()

    # -------------------------------------------------------------- receiving

    def receive(self, raw: bytes, now_ns: int) -> list[SessionEvent]:
        """Take one framed message."""
        if self._closing or self._state is State.DISCONNECTED:
            return []
        try:
            message = parse(raw)
        except GarbledMessageError as error:
            self._events.append(Garbled(str(error), raw))
            if self._state not in LIVE:
                self._disconnect("the first message is garbled")
            return self._take_events()
        if self._state in LIVE:
            self._timers.received(now_ns)
            self._handle(message, now_ns, held=False)
            self._drain(now_ns)
        else:
            self._handle_first(message, now_ns)
        return self._take_events()

    def _handle(self, message: Message, now_ns: int, *, held: bool) -> None:
        """Act on one message of a live session."""
        if message.text(8) != self.settings.begin_string:
            self._say_logout("Incorrect BeginString", now_ns)
            return
        msg_type = message.msg_type
        seq = message.seq
        if seq is None and 34 not in message:
            self._close_with_logout("MsgSeqNum missing", now_ns)
            return
        refusal = check_message(message)
        if refusal is None and self.dictionary is not None:
            refusal = self.dictionary.check(message)
        if refusal is not None:
            self._refuse(message, refusal, now_ns)
            return
        assert seq is not None
        if not held and not self._identity_holds(message, now_ns):
            return
        handler = _HANDLERS.get(msg_type)
        if handler is not None:
            handler(self, message, seq, now_ns)
        elif self._in_sequence(message, seq, now_ns):
            self._events.append(AppMessage(msg_type, message.raw, seq, message.flag(43)))
            self._advance(seq + 1, now_ns)

    def _identity_holds(self, message: Message, now_ns: int) -> bool:
        """CompIDs and SendingTime; otherwise Reject and Logout."""
        settings = self.settings
        refusal = None
        if message.text(49) != settings.target_comp_id or message.text(56) != settings.sender_comp_id:
            refusal = Refusal(RejectReason.COMP_ID_PROBLEM)
        elif not self._timers.sending_time_is_near(message.get(52), now_ns):
            refusal = Refusal(RejectReason.SENDING_TIME_PROBLEM)
        if refusal is None:
            return True
        self._refuse(message, refusal, now_ns)
        self._say_logout("", now_ns)
        return False

    def _in_sequence(self, message: Message, seq: int, now_ns: int) -> bool:
        """Whether ``message`` is the one expected; otherwise it is held, ignored, or ends the session."""
        if seq == self._next_in:
            return True
        if seq > self._next_in:
            self._hold(seq, message, now_ns)
        else:
            self._too_low(message, seq, now_ns)
        return False

    def _too_low(self, message: Message, seq: int, now_ns: int) -> None:
        if not message.flag(43):
            self._close_with_logout(_TOO_LOW.format(self._next_in, seq), now_ns)
            return
        if message.msg_type == "4":
            return
        original = self._timers.parse(message.get(122))
        if original is None:
            self._refuse(message, Refusal(RejectReason.REQUIRED_TAG_MISSING, 122), now_ns)
        elif original > (self._timers.parse(message.get(52)) or 0):
            self._refuse(message, Refusal(RejectReason.SENDING_TIME_PROBLEM), now_ns)
            self._say_logout("", now_ns)

    def _hold(self, seq: int, message: Message | None, now_ns: int) -> None:
        """Keep a message from beyond a gap and ask for what is missing, once."""
        if len(self._held) < self.settings.max_held_messages:
            self._held.setdefault(seq, message)
        if not self._gap_end:
            self._gap_end = seq - 1
            self._events.append(GapDetected(self._next_in, self._gap_end))
            self._ask_resend(now_ns)

    def _ask_resend(self, now_ns: int) -> None:
        self._send("2", [(7, self._next_in), (16, 0)], now_ns)
        self._timers.gap_progress(now_ns)

    def _advance(self, next_in: int, now_ns: int) -> None:
        self._next_in = next_in
        if self._gap_end:
            self._timers.gap_progress(now_ns)

    def _drain(self, now_ns: int) -> None:
        """Act on held messages that have become due; see whether the gap is closed."""
        while self._held and not self._closing:
            if self._next_in not in self._held:
                self._held = {seq: message for seq, message in self._held.items() if seq > self._next_in}
                break
            message = self._held.pop(self._next_in)
            if message is None:
                self._advance(self._next_in + 1, now_ns)
            else:
                self._handle(message, now_ns, held=True)
        if self._gap_end and self._next_in > self._gap_end:
            self._gap_end = 0
            self._events.append(GapFilled(self._next_in))
            if self._held and not self._closing:  # a second gap lies behind the first
                self._gap_end = min(self._held) - 1
                self._events.append(GapDetected(self._next_in, self._gap_end))
                self._ask_resend(now_ns)

    # ------------------------------------------------------- session messages

    def _handle_first(self, message: Message, now_ns: int) -> None:
        """The first message of a connection: a Logon, or the connection is closed."""
        fault = check_logon(self.settings, message, self._timers, now_ns)
        if fault is not None:
            if fault is LogonFault.LOGGED_OUT:
                self._refused_by_logout(message)
            self._disconnect(fault.describe(message))
            return
        seq = message.seq or 0
        reset = message.flag(141)
        if self.settings.role is Role.ACCEPTOR:
            if reset or self.settings.reset_on_logon:
                self._reset(by_peer=reset)
            if seq >= self._next_in:
                self._timers.heartbeat_s(message.integer(108) or 0)
                self._send_logon(now_ns, reset=reset)
        elif reset and not self._reset_asked:
            self._reset(by_peer=True)
            # Whether the peer counted our Logon as number 1 is not known. From 2 on it either
            # fits, or the peer asks for 1 and gets a gap fill; from 1 on it could log us out.
            self.store.skip_out(2)
        if seq < self._next_in:
            self._ask_reset = self.settings.recover_by_reset and self.settings.role is Role.INITIATOR
            self._close_with_logout(_TOO_LOW.format(self._next_in, seq), now_ns)
            return
        self._ask_reset = self._reset_asked = False
        self._logged_out = False
        self._timers.logged_on(now_ns)
        self._move(Signal.LOGON_ACCEPTED)
        self._events.append(LoggedOn(self._next_in, self.next_out, self._timers.interval_s))
        if seq > self._next_in:
            self._hold(seq, None, now_ns)
        else:
            self._advance(seq + 1, now_ns)

    def _refused_by_logout(self, message: Message) -> None:
        """The peer answered our Logon by a Logout."""
        if message.seq == self._next_in:
            self._next_in += 1
        if self.settings.recover_by_reset and message.text(58).startswith("MsgSeqNum too low"):
            self._ask_reset = True

    def _on_logon(self, message: Message, seq: int, now_ns: int) -> None:
        """A Logon inside a live session: a reset in place, or a number like any other."""
        if not message.flag(141):
            if self._in_sequence(message, seq, now_ns):
                self._advance(seq + 1, now_ns)
            return
        if seq != 1:
            self._refuse(message, Refusal(RejectReason.VALUE_INCORRECT, 34), now_ns)
            return
        self._reset(by_peer=True)
        self._timers.heartbeat_s(message.integer(108) or 0)
        self._send_logon(now_ns, reset=True)
        self._advance(2, now_ns)

    def _on_heartbeat(self, message: Message, seq: int, now_ns: int) -> None:
        if self._in_sequence(message, seq, now_ns):
            self._advance(seq + 1, now_ns)

    def _on_test_request(self, message: Message, seq: int, now_ns: int) -> None:
        if self._in_sequence(message, seq, now_ns):
            self._send("0", [(112, message.get(112) or b"")], now_ns)
            self._advance(seq + 1, now_ns)

    def _on_resend_request(self, message: Message, seq: int, now_ns: int) -> None:
        """Answered even beyond a gap: two sides that wait for each other would wait for ever."""
        begin, end = message.integer(7) or 0, message.integer(16) or 0
        last = self.next_out - 1
        if begin < 1 or begin > last or (0 < end < begin):
            self._refuse(message, Refusal(RejectReason.VALUE_INCORRECT, 7 if begin < 1 or begin > last else 16), now_ns)
            return
        # Before the Heartbeats or Rejects that this turn may add: the job ends at what is out now.
        self._job = ResendJob(self.settings, self.store, begin, last if end == 0 else min(end, last))
        self._continue_resend(now_ns)
        if seq == self._next_in:
            self._advance(seq + 1, now_ns)
        elif seq > self._next_in:
            self._hold(seq, None, now_ns)

    def _continue_resend(self, now_ns: int) -> None:
        job = self._job
        assert job is not None
        self._out += job.step(self.settings.resend_chunk, now_ns)
        self._timers.sent(now_ns)
        if job.done:
            self._job = None
            self._events.append(Resent(job.begin, job.end, job.messages, job.gap_filled))

    def _on_reject(self, message: Message, seq: int, now_ns: int) -> None:
        if self._in_sequence(message, seq, now_ns):
            reason = message.integer(373)
            self._events.append(
                PeerReject(message.integer(45) or 0, message.text(372), -1 if reason is None else reason,
                           message.text(58), message.raw)
            )  # fmt: skip
            self._advance(seq + 1, now_ns)

    def _on_sequence_reset(self, message: Message, seq: int, now_ns: int) -> None:
        new_seq = message.integer(36) or 0
        fill = message.flag(123)
        if fill and not self._in_sequence(message, seq, now_ns):
            return
        # A gap fill that fills nothing would be asked for again, for ever.
        if new_seq < self._next_in or (fill and new_seq <= seq):
            self._refuse(message, Refusal(RejectReason.VALUE_INCORRECT), now_ns)
            return
        self._advance(new_seq, now_ns)

    def _on_logout(self, message: Message, seq: int, now_ns: int) -> None:
        if seq == self._next_in:
            self._advance(seq + 1, now_ns)
        by_peer = self._state is State.LOGGED_ON
        text = message.text(58) or ("logged out by the peer" if by_peer else "logged out")
        if by_peer:
            self._send("5", (), now_ns)
        self._say_logged_out(text, by_peer=by_peer)
        self._disconnect(text)

    # ----------------------------------------------------------------- pieces

    def _send_logon(self, now_ns: int, *, reset: bool) -> None:
        body: list[Field] = [(98, 0), (108, self._timers.interval_s)]
        if reset:
            body.append((141, "Y"))
        self._send("A", body, now_ns)

    def _send(
        self, msg_type: str, body: Sequence[Field], now_ns: int, header: Sequence[Field] = (), *,
        app_ref: int = 0, put_out: bool = True,
    ) -> int:  # fmt: skip
        """Build, store, put out. In this order: a number that may have been seen is always stored."""
        settings = self.settings
        seq = self.store.next_out
        raw = build(
            settings.begin_string, msg_type, seq, settings.sender_comp_id, settings.target_comp_id,
            utc_timestamp(now_ns), body, header,
        )  # fmt: skip
        self.store.append(seq, raw, app_ref)
        if put_out:
            self._out += raw
            self._timers.sent(now_ns)
        return seq

    def _refuse(self, message: Message, refusal: Refusal, now_ns: int) -> None:
        """Answer by a session Reject; the number counts as received when it was the expected one."""
        seq = message.seq
        if seq is not None and seq < self._next_in and not message.flag(43) and message.msg_type not in ("4", "2", "A"):
            self._close_with_logout(_TOO_LOW.format(self._next_in, seq), now_ns)
            return
        self._send("3", reject_body(message, refusal), now_ns, reversed_route(message))
        self._events.append(Refused(seq or 0, message.msg_type, int(refusal.reason), refusal.text, message.raw))
        if seq is None:
            return
        if seq == self._next_in and message.msg_type != "4":
            self._advance(seq + 1, now_ns)
        elif seq > self._next_in and message.msg_type != "4":
            self._hold(seq, None, now_ns)

    def _say_logout(self, text: str, now_ns: int) -> None:
        if self._state is State.LOGGED_ON:
            self._send("5", [(58, text)] if text else (), now_ns)
            self._timers.logout_sent(now_ns)
            self._move(Signal.LOGOUT_BEGUN)

    def _close_with_logout(self, text: str, now_ns: int) -> None:
        """The peer is beyond repair: say why and close without waiting for an answer."""
        self._send("5", [(58, text)], now_ns)
        self._say_logged_out(text, by_peer=False)
        self._disconnect(text)

    def _say_logged_out(self, reason: str, *, by_peer: bool) -> None:
        if not self._logged_out:
            self._logged_out = True
            self._events.append(LoggedOut(reason, by_peer))

    def _disconnect(self, reason: str) -> None:
        if not self._closing:
            self._closing = True
            self._events.append(Disconnect(reason))

    def _reset(self, *, by_peer: bool) -> None:
        self.store.reset()
        self._next_in = 1
        self._forget_gap()
        self._job = None
        self._events.append(SequencesReset(by_peer))

    def _forget_gap(self) -> None:
        self._gap_end = 0
        self._held = {}

    def _move(self, signal: Signal) -> None:
        after = TRANSITIONS.get((self._state, signal))
        if after is None:
            raise FixError(f"{self.settings.name}: {signal.value} is not possible when {self._state.value}")
        self._state = after

    def _take_events(self) -> list[SessionEvent]:
        events, self._events = self._events, []
        return events


_HANDLERS = {
    "A": SessionMachine._on_logon,
    "0": SessionMachine._on_heartbeat,
    "1": SessionMachine._on_test_request,
    "2": SessionMachine._on_resend_request,
    "3": SessionMachine._on_reject,
    "4": SessionMachine._on_sequence_reset,
    "5": SessionMachine._on_logout,
}
