"""State of a session and the small acts that everything else is made of: say, refuse, hold, close.

Nothing outside ``fix.session`` uses this; open ``machine.py`` first.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from fix.errors import FixError
from fix.messages import Field, Message
from fix.session.checks import Dictionary, Refusal, check_message
from fix.session.events import Disconnect, GapDetected, GapFilled, LoggedOut, Refused, SequencesReset, SessionEvent
from fix.session.logon import Authenticate, logon_body
from fix.session.outbound import Outbound
from fix.session.replies import business_reject, reject_body, reversed_route
from fix.session.resend import ResendJob
from fix.session.settings import SessionSettings
from fix.session.states import LIVE, TRANSITIONS, Signal, State
from fix.session.timers import Timers
from fix.store import Store

#: Resends owed at once. A peer that asks for more, all different, is not recovering any more.
_MOST_JOBS = 64
#: Faulty Rejects in a row that are answered by a Reject: two sides that find fault with each
#: other's would never end.
_MOST_REFUSED_REJECTS = 10
#: Held messages that are acted upon in one go: behind a long gap there may be a hundred thousand.
_DRAIN_AT_ONCE = 10


class SessionCore(ABC):
    """What a session remembers, and what it can do."""

    def __init__(
        self,
        settings: SessionSettings,
        store: Store,
        dictionary: Dictionary | None = None,
        *,
        authenticate: Authenticate | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.dictionary = dictionary
        self.authenticate = authenticate
        self.rules = settings.rules
        #: The peer's DefaultApplVerID(1137) while logged on; "" where there is none.
        self.peer_appl_ver_id = ""
        self._outbound = Outbound(settings, store)
        self._timers = Timers(settings)
        self._state = State.DISCONNECTED
        self._live = False  # whether messages of the peer are taken in sequence
        self._next_in = store.next_in
        self._events: list[SessionEvent] = []
        self._closing = False  # a Disconnect has been said
        self._logged_out = True  # LoggedOut has been said since the last LoggedOn
        self._gap_end = 0  # highest number known to be missing, 0 when none
        self._asked_end = 0  # the outstanding resend request covers the gap up to here
        self._refused_rejects = 0  # in a row
        self._asked_seq = 0  # MsgSeqNum of that request
        self._held: dict[int, Message | None] = {}  # beyond the gap; None: already acted upon
        self._paused = False  # held messages wait until the application has taken its events
        self._app_waits = False  # an AppMessage is among the events that are not taken yet
        self._jobs: deque[ResendJob] = deque()  # resends that we owe, in the order in which they were asked for
        self._ask_reset = False  # the next Logon carries ResetSeqNumFlag=Y
        self._reset_asked = False  # the Logon that is out does
        self._reset_when_down = False  # numbers start over once the connection is gone
        self._damage_said = False  # what the store found broken when it was opened has been told
        # Compared with each message; as bytes, since that is what they come as.
        self._begin_string = settings.begin_string.encode("latin-1")
        self._their_comp_id = settings.target_comp_id.encode("latin-1")
        self._asks_closed = settings.closed_resend_interval or settings.resend_chunk_size > 0
        self._our_comp_id = settings.sender_comp_id.encode("latin-1")

    # --------------------------------------------------------------- checking

    def _check(self, message: Message) -> Refusal | None:
        """First fault of a message as such, by dictionary or by structure alone."""
        if self.dictionary is None:
            return check_message(message)
        return self.dictionary.check(message, self.peer_appl_ver_id)

    # ----------------------------------------------------------------- saying

    def _send(
        self, msg_type: str, body: Sequence[Field], now_ns: int, header: Sequence[Field] = (), *,
        app_ref: int = 0, put_out: bool = True,
    ) -> int:  # fmt: skip
        """Build, store, put out. In this order: a number that may have been seen is always stored."""
        if self.settings.last_msg_seq_num_processed:
            header = self._with_last_processed(header)
        seq = self._outbound.send(msg_type, body, now_ns, header, app_ref=app_ref, put_out=put_out)
        if put_out:
            self._timers.sent(now_ns)
        return seq

    def _with_last_processed(self, header: Sequence[Field] = ()) -> tuple[Field, ...]:
        return (*header, (369, self._next_in - 1))

    def _send_logon(self, now_ns: int, *, reset: bool, next_expected: int) -> None:
        body = logon_body(self.settings, self._timers.interval_s, reset=reset, next_expected=next_expected)
        header = self._with_last_processed() if self.settings.last_msg_seq_num_processed else ()
        self._outbound.send_secret("A", body, now_ns, header)
        self._timers.sent(now_ns)

    def _say_logout(self, text: str, now_ns: int) -> None:
        """Say Logout and wait for the peer's."""
        if self._state is State.LOGGED_ON:
            self._send("5", [(58, text)] if text else (), now_ns)
            self._timers.logout_sent(now_ns)
            self._move(Signal.LOGOUT_BEGUN)

    def _close_with_logout(self, text: str, now_ns: int) -> None:
        """The peer is beyond repair: say why and close without waiting for an answer."""
        self._send("5", [(58, text)], now_ns)
        self._say_logged_out(text, by_peer=False)
        self._disconnect(text)

    def _refuse(self, message: Message, refusal: Refusal, now_ns: int, *, count: bool = True) -> None:
        """Answer a faulty message; its number counts as received when it was the expected one.

        A fault found beyond a gap does not open it, and one below the expected number does not end
        the session: nothing of such a message is acted upon, its MsgSeqNum included.
        """
        if not self._live:
            return
        seq = message.seq
        if refusal.business is not None and self.rules.business_reject:
            text, tag = "Conditionally Required Field Missing", refusal.ref_tag or 0
            msg_type, body = business_reject(self.settings, message, int(refusal.business), text, tag)
            self._send(msg_type, body, now_ns)
        else:
            self._reject(message, refusal, now_ns)
        self._events.append(Refused(seq or 0, message.msg_type, int(refusal.reason), refusal.text, message.raw))
        if count and seq == self._next_in and message.msg_type not in ("A", "4"):
            self._advance(seq + 1, now_ns)
        self._refused_rejects = self._refused_rejects + 1 if message.msg_type == "3" else 0
        if self._refused_rejects > _MOST_REFUSED_REJECTS:
            self._close_with_logout("each side refuses the other's Rejects", now_ns)

    def _reject(self, message: Message, refusal: Refusal, now_ns: int, *, put_out: bool = True) -> int:
        body = reject_body(message, refusal, self.rules)
        return self._send("3", body, now_ns, reversed_route(message, self.rules), put_out=put_out)

    # -------------------------------------------------------------- receiving

    def _in_sequence(self, message: Message, seq: int, now_ns: int) -> bool:
        """Whether ``message`` is the one expected; otherwise it is held, ignored, or ends the session."""
        if seq == self._next_in:
            return True
        if seq > self._next_in:
            self._hold(seq, message, now_ns)
        else:
            self._too_low(message, seq, now_ns)
        return False

    @abstractmethod
    def _too_low(self, message: Message, seq: int, now_ns: int) -> None:
        """In receiving.py."""

    def _hold(self, seq: int, message: Message | None, now_ns: int, *, ask: bool = True) -> None:
        """Keep a message from beyond a gap and ask for what is missing, once.

        Not ``ask``: the peer knows what we expect and resends by itself (789).
        """
        if len(self._held) < self.settings.max_held_messages:
            self._held.setdefault(seq, message)
        if not self._gap_end:
            self._open_gap(seq - 1, now_ns, ask=ask)
        elif self.settings.send_redundant_resend_requests:
            self._gap_end = max(self._gap_end, seq - 1)
            self._ask_resend(now_ns)

    def _open_gap(self, end: int, now_ns: int, *, ask: bool = True) -> None:
        self._gap_end = end
        self._events.append(GapDetected(self._next_in, end))
        # After a Logon of ours that resets, the peer no longer knows the numbers that are missing.
        if ask and not self._reset_asked:
            self._ask_resend(now_ns)
        else:
            self._asked_end = end
            self._timers.gap_progress(now_ns)

    def _ask_resend(self, now_ns: int) -> None:
        """Ask for what is missing, or for the first part of it."""
        settings = self.settings
        end = self._gap_end
        if settings.resend_chunk_size:
            end = min(end, self._next_in + settings.resend_chunk_size - 1)
        self._asked_seq = self._send(
            "2", [(7, self._next_in), (16, end if self._asks_closed else self.rules.all_messages)], now_ns
        )
        self._asked_end = end
        self._timers.gap_progress(now_ns)

    def _advance(self, next_in: int, now_ns: int) -> None:
        self._next_in = next_in
        if self._gap_end:
            self._timers.gap_progress(now_ns)

    def _drain(self, now_ns: int) -> None:
        """Act on held messages that have become due, a few in one go; see whether the gap is closed."""
        self._paused = False
        left = _DRAIN_AT_ONCE
        while self._held and not self._closing:
            if self._next_in not in self._held:
                break
            message = self._held[self._next_in]
            # Our Heartbeat must not overtake what the application answers.
            if not left or (message is not None and message.msg_type == "1" and self._app_waits):
                self._paused = True
                return
            left -= 1
            del self._held[self._next_in]
            if message is None:
                self._advance(self._next_in + 1, now_ns)
            else:
                self._act_on(message, self._next_in, now_ns)
        if not self._gap_end or self._closing:
            return
        if self._next_in > self._gap_end:
            self._gap_end = 0
            self._events.append(GapFilled(self._next_in))
            # Not before, message by message: what came twice or was filled over is of no use any more.
            self._held = {seq: message for seq, message in self._held.items() if seq > self._next_in}
            if self._held:
                # A second gap lies behind the first. A request without an end has asked for it
                # too, and its answer is still on the way; if it is not, time will tell.
                self._open_gap(min(self._held) - 1, now_ns, ask=self._asks_closed)
        elif self._next_in > self._asked_end:
            self._ask_resend(now_ns)

    @abstractmethod
    def _act_on(self, message: Message, seq: int, now_ns: int) -> None:
        """In receiving.py."""

    def _forget_gap(self) -> None:
        self._gap_end = 0
        self._paused = False
        self._held = {}

    # ----------------------------------------------------------------- resend

    def _owe_resend(self, begin: int, end: int) -> None:
        """Queue the answer to a resend request, unless one that is still being given covers it."""
        if any(job.covers(begin, end) for job in self._jobs):
            return
        if len(self._jobs) >= _MOST_JOBS:
            begin, end = min(begin, *(job.begin for job in self._jobs)), max(end, *(job.end for job in self._jobs))
            self._jobs.clear()
        self._jobs.append(ResendJob(self.settings, self._outbound, begin, end))

    # ---------------------------------------------------------------- closing

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
        self._jobs.clear()
        self._events.append(SequencesReset(by_peer))

    def _move(self, signal: Signal) -> None:
        after = TRANSITIONS.get((self._state, signal))
        if after is None:
            raise FixError(f"{self.settings.name}: {signal.value} is not possible when {self._state.value}")
        self._state = after
        self._live = after in LIVE

    def _take_events(self) -> list[SessionEvent]:
        events, self._events = self._events, []
        self._app_waits = False
        return events
