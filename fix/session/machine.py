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

``core.py`` holds the state and the small acts, ``receiving.py`` what each message of the peer
does, ``versions.py`` how FIX versions differ.
"""

from collections.abc import Sequence

from fix.errors import FixError, SessionNotLoggedOnError
from fix.messages import ADMIN_TYPES, Field, parse
from fix.session.checks import Refusal, RejectReason
from fix.session.events import SequenceAdjusted, SequencesReset, SessionEvent, Stalled, StoreDamaged
from fix.session.receiving import Receiving
from fix.session.replies import business_reject, reversed_route
from fix.session.settings import Role
from fix.session.states import Signal, State
from fix.session.timers import Urge


class SessionMachine(Receiving):
    """One FIX session, FIX.4.0 to FIXT.1.1.

    Parameters
    ----------
    settings, store:
        What the session is, and its numbers and sent messages.
    dictionary:
        Checks every message of the peer; None accepts what is structurally sound.
    authenticate:
        Given the peer's Logon before it is answered: None lets it in, a text refuses it.
    """

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
        return bool(self._jobs)

    @property
    def draining(self) -> bool:
        """Whether held messages wait until the application has taken what was returned: call :meth:`drain`."""
        return self._paused

    @property
    def gap(self) -> tuple[int, int] | None:
        """Numbers of the peer that are missing, inclusive."""
        return (self._next_in, self._gap_end) if self._gap_end else None

    @property
    def steady(self) -> bool:
        """Logged on, nothing missing, nothing held, no resend owed, no reset open: the hot path may be used."""
        return (
            self._state is State.LOGGED_ON
            and not self._closing
            and not self._gap_end
            and not self._held
            and not self._jobs
            and not self._reset_asked
        )

    @property
    def next_due_ns(self) -> int:
        """When :meth:`tick` can have something to do at the earliest: 0 for at once.

        What is received or sent afterwards only moves it later, so a driver may look again when it has passed.
        """
        if self._jobs or self._paused:
            return 0
        return self._timers.next_due_ns(self._state, gap_open=self._gap_end != 0)

    def snapshot(self) -> dict[str, object]:
        """The session as a status page shows it."""
        timers, gap = self._timers, self.gap
        return {
            "state": self._state.value,
            "begin_string": self.settings.begin_string,
            "peer_appl_ver_id": self.peer_appl_ver_id,
            "next_in": self._next_in,
            "next_out": self.store.next_out,
            "gap": None if gap is None else list(gap),
            "held": len(self._held),
            "resends_owed": len(self._jobs),
            "reset_pending": self._reset_asked or self._ask_reset,
            "heartbeat_interval_s": timers.interval_s,
            "last_received_ns": timers.received_ns,
            "last_sent_ns": timers.sent_ns,
        }

    def take_output(self) -> bytes:
        """Bytes to send, in order, and forget them."""
        return self._outbound.take()

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
        self._outbound.clear()
        self._timers.connected(now_ns)
        if self.settings.refresh_on_logon:
            self.store.refresh()
            self._next_in = self.store.next_in
        self._tell_damage()
        if self.settings.role is Role.INITIATOR:
            self._reset_asked = self._starts_over()
            if self._reset_asked:
                self._reset(by_peer=False)
            self._move(Signal.CONNECTED)
            self._send_logon(now_ns, reset=self._reset_asked, next_expected=self._next_in)
        return self._take_events()

    def _starts_over(self) -> bool:
        """Whether our Logon is to carry ResetSeqNumFlag=Y: when asked for, or to say so where we start over anyway."""
        settings = self.settings
        if self._ask_reset or settings.reset_on_logon:
            return True
        resets = settings.reset_on_logout or settings.reset_on_disconnect
        return resets and self._next_in == self.store.next_out == 1

    def _tell_damage(self) -> None:
        if not self._damage_said:
            self._damage_said = True
            self._events += [StoreDamaged(found.first_seq, found.last_seq, found.text) for found in self.store.damage]

    def disconnected(self, now_ns: int, reason: str = "connection lost") -> list[SessionEvent]:
        """Forget the connection. What was received but not committed will be asked for again."""
        del now_ns
        if self._state is State.DISCONNECTED:
            return []
        self._say_logged_out(reason, by_peer=False)
        if self._reset_asked and self._live:  # whether the peer has done it is not known: ask again
            self._ask_reset = True
        self._move(Signal.CLOSED)
        self._next_in = self.store.next_in
        self._forget_gap()
        self._jobs.clear()
        self._reset_asked = False
        self._outbound.clear()
        self.peer_appl_ver_id = ""
        if self._reset_when_down or self.settings.reset_on_disconnect:
            self._reset_when_down = False
            self._reset(by_peer=False)
        return self._take_events()

    def commit(self) -> None:
        """Persist that the application has taken every event returned so far."""
        if self._next_in != self.store.next_in and not (self._reset_asked and self._live):
            self.store.set_next_in(self._next_in)

    def clock_jumped(self, delta_ns: int) -> None:
        """Move every running interval by ``delta_ns``: UTC was stepped, no time has passed."""
        self._timers.shift(delta_ns)

    # ---------------------------------------------------------------- sending

    def send(
        self, msg_type: str, fields: Sequence[Field], now_ns: int, app_ref: int = 0, *, header: Sequence[Field] = ()
    ) -> int:
        """Store and, when logged on, put out one application message; its MsgSeqNum.

        An acceptor that is not logged on only stores: the peer gets it by resend after its logon.

        Parameters
        ----------
        fields:
            The body, in wire order.
        header:
            Header fields beside, or in place of, the session's constants: 97, 115, 1128...

        Raises
        ------
        SessionNotLoggedOnError
            An initiator that is not logged on.
        """
        if msg_type in ADMIN_TYPES:
            raise FixError(f"MsgType {msg_type} belongs to the session; use its own methods")
        self.require_sendable()
        if header and not self.settings.allow_poss_dup:
            header = [field for field in header if field[0] not in (43, 122)]
        return self._send(msg_type, fields, now_ns, header, app_ref=app_ref, put_out=self.logged_on)

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

    def refuse_business(self, raw: bytes, reason: int, text: str, now_ns: int, ref_tag: int = 0) -> int:
        """Answer an application message by BusinessMessageReject(35=j); before FIX.4.2 by Reject(35=3)."""
        message = parse(raw)
        msg_type, body = business_reject(self.settings, message, reason, text, ref_tag)
        # Only the session's own Reject goes back along the route that the message came by.
        route = reversed_route(message, self.rules) if msg_type == "3" else ()
        return self._send(msg_type, body, now_ns, route, put_out=self.logged_on)

    def refuse_session(self, raw: bytes, reason: RejectReason, now_ns: int, ref_tag: int | None = None) -> int:
        """Answer an application message that was delivered by Reject(35=3)."""
        message = parse(raw)
        return self._reject(message, Refusal(reason, ref_tag), now_ns, put_out=self.logged_on)

    # ------------------------------------------------------------------- time

    def tick(self, now_ns: int, *, resend: bool = True) -> list[SessionEvent]:
        """Heartbeats, test requests, time-outs, and (``resend``) the next part of a resend."""
        if self._state is State.DISCONNECTED or self._closing:
            return []
        timers, gap_open = self._timers, self._gap_end != 0
        late_ns = timers.late_ns(self._state, now_ns, gap_open=gap_open)
        if late_ns:
            timers.stalled(now_ns)
            self._events.append(Stalled(late_ns / 1e9))
        urge = timers.due(self._state, now_ns, gap_open=gap_open)
        if urge is Urge.CLOSE:
            self._disconnect(timers.reason)
        elif urge is Urge.HEARTBEAT:
            self._send("0", (), now_ns)
        elif urge is Urge.TEST_REQUEST:
            self._send("1", [(112, "TEST")], now_ns)
        elif urge is Urge.ASK_AGAIN:
            self._ask_resend(now_ns)
        if self._paused and not self._closing:
            self._drain(now_ns)
        if resend and self._jobs and not self._closing:
            self._continue_resend(now_ns)
        return self._take_events()

    def drain(self, now_ns: int) -> list[SessionEvent]:
        """Go on with held messages while :attr:`draining`, once the application has taken the events so far.

        What we answer by ourselves thus goes out behind what the application answered to earlier
        messages. A driver that does not call it gets the rest from ``receive`` or ``tick``.
        """
        if self._paused and not self._closing:
            self._drain(now_ns)
        return self._take_events()

    def stalled(self, now_ns: int) -> None:
        """The process was frozen until now: the next :meth:`tick` gives nobody up.

        For a driver that notices it by its own clock; ``tick`` notices it by being called late.
        """
        if self._state is not State.DISCONNECTED:
            self._timers.stalled(now_ns)

    # --------------------------------------------------------- administration

    def set_next_in(self, seq: int, *, force: bool = False) -> list[SessionEvent]:
        """An operator's word on the number expected from the peer; at once and persisted.

        Raises
        ------
        FixError
            Below 1, or down without ``force``: what was taken would be taken again.
        """
        before = self._next_in
        self._require_number("next_in", seq, before, force=force)
        self._next_in = seq
        self.store.set_next_in(seq)
        self._held = {number: message for number, message in self._held.items() if number >= seq}
        if self._gap_end and seq > self._gap_end:
            self._gap_end = 0
        self._events.append(SequenceAdjusted("in", before, seq))
        return self._take_events()

    def set_next_out(self, seq: int, *, force: bool = False) -> list[SessionEvent]:
        """An operator's word on the number that we use next; at once and persisted.

        Raises
        ------
        FixError
            Below 1, or down without ``force``: a number would be used twice.
        """
        before = self.store.next_out
        self._require_number("next_out", seq, before, force=force)
        self._jobs.clear()
        self.store.set_next_out(seq)
        self._events.append(SequenceAdjusted("out", before, seq))
        return self._take_events()

    def _require_number(self, name: str, seq: int, before: int, *, force: bool) -> None:
        if not 1 <= seq < 1 << 62:
            raise FixError(f"{self.settings.name}: {name} must be 1 or more, was {seq}")
        if seq < before and not force:
            raise FixError(f"{self.settings.name}: {name} is {before}; to go down to {seq}, force it")

    def reset_sequences(self, now_ns: int) -> list[SessionEvent]:
        """Start over at 1 in both directions.

        Logged on: a Logon with ResetSeqNumFlag=Y inside the session; until the peer has answered
        it, what it still says under the old numbers is taken as before. FIX.4.0 has no such
        flag: a Logout, and the numbers start over when the connection is gone. Otherwise the
        store is reset, and an initiator's next Logon says so.
        """
        if self._state in (State.AWAITING_LOGON, State.LOGON_SENT, State.LOGOUT_SENT):
            raise FixError(f"{self.settings.name}: cannot reset while {self._state.value}; wait or disconnect")
        if self._state is State.DISCONNECTED:
            self._reset(by_peer=False)
            self._ask_reset = self.rules.reset_flag and self.settings.role is Role.INITIATOR
        elif not self.rules.reset_flag:
            self._reset_when_down = True
            self._say_logout("sequence numbers are reset", now_ns)
        elif not self._reset_asked and not self._closing:
            taken = self._next_in
            self._reset_in_place(now_ns)
            self._next_in = taken
        return self._take_events()

    def _reset_in_place(self, now_ns: int) -> None:
        self.store.reset()
        self._forget_gap()
        self._jobs.clear()
        self._events.append(SequencesReset(by_peer=False))
        self._next_in = 1
        self._reset_asked = True
        self._timers.reset_asked(now_ns)
        self._send_logon(now_ns, reset=True, next_expected=1)
