"""What each message of the peer does to a session: the Logon that opens it, then the live ones.

Nothing outside ``fix.session`` uses this; open ``machine.py`` first.
"""

import re
from collections.abc import Callable

from fix.errors import GarbledMessageError
from fix.messages import Message, parse
from fix.session.checks import Refusal, RejectReason
from fix.session.core import SessionCore
from fix.session.events import (
    AppMessage,
    Garbled,
    LoggedOn,
    LogonRefused,
    NumbersSkipped,
    PeerReject,
    Resent,
    SessionEvent,
    StandDown,
)  # fmt: skip
from fix.session.logon import LogonFault, check_identity, check_logon, heartbeat_fits, refusal_text, wants_reset
from fix.session.settings import Role
from fix.session.states import Signal, State

_TOO_LOW = "MsgSeqNum too low, expecting {} but received {}"
#: How engines say in a Logout that our number is below the one they expect.
_SAYS_TOO_LOW = re.compile(r"seq.*too low", re.IGNORECASE)
_NO_SECOND_LOGON = "Logon without ResetSeqNumFlag inside a live session"


class Receiving(SessionCore):
    """The peer's half of the conversation."""

    def receive(self, raw: bytes, now_ns: int) -> list[SessionEvent]:
        """Take one framed message."""
        if self._closing or (not self._live and self._state is State.DISCONNECTED):
            return []
        try:
            message = parse(raw)
        except GarbledMessageError as error:
            self._events.append(Garbled(str(error), raw))
            if not self._live:
                self._disconnect("the first message is garbled")
            return self._take_events()
        if self._live:
            self._timers.received(now_ns)
            self._handle(message, now_ns)
            if self._held or self._gap_end:
                self._drain(now_ns)
        else:
            self._handle_first(message, now_ns)
        return self._take_events()

    def _handle(self, message: Message, now_ns: int) -> None:
        """Act on one message of a live session, or refuse it."""
        if message.get(8) != self._begin_string:
            self._wrong_version(message, now_ns)
            return
        if 34 not in message:
            self._close_with_logout("MsgSeqNum missing", now_ns)
            return
        seq = message.seq
        if seq is None or seq < 0:  # a Reject could not name it, and nothing could be counted
            self._events.append(Garbled("MsgSeqNum(34) is no number", message.raw))
            return
        refusal = self._check(message)
        if refusal is not None:
            self._refuse(message, refusal, now_ns)
        elif self._identity_holds(message, now_ns):
            self._refused_rejects = 0
            self._act_on(message, seq, now_ns)

    def _act_on(self, message: Message, seq: int, now_ns: int) -> None:
        """What a sound message of the right peer does."""
        msg_type = message.msg_type
        handler = _HANDLERS.get(msg_type)
        if handler is not None:
            handler(self, message, seq, now_ns)
        elif seq == self._next_in or self._in_sequence(message, seq, now_ns):
            self._events.append(AppMessage(msg_type, message.raw, seq, message.flag(43), message.flag(97)))
            self._app_waits = True
            self._next_in = seq + 1
            if self._gap_end:
                self._timers.gap_progress(now_ns)

    def _wrong_version(self, message: Message, now_ns: int) -> None:
        """BeginString is not this session's; a Logout is one in any version."""
        seq = message.seq
        if message.msg_type == "5":
            self._on_logout(message, seq or 0, now_ns)
            return
        self._say_logout("Incorrect BeginString", now_ns)
        if seq == self._next_in:
            self._advance(seq + 1, now_ns)

    def _identity_holds(self, message: Message, now_ns: int) -> bool:
        """CompIDs and SendingTime; otherwise Reject and Logout, once.

        While we wait for the peer's Logout nothing further is refused, or two sides whose clocks
        have parted would answer Rejects by Rejects. A message that came with a wrong time is not
        counted: it comes again after the next logon, with a right one.
        """
        if not self._timers.sending_time_is_near(message.get(52), now_ns):
            refusal = Refusal(RejectReason.SENDING_TIME_PROBLEM)
        elif self.settings.check_comp_id and (
            message.get(49) != self._their_comp_id or message.get(56) != self._our_comp_id
        ):
            refusal = Refusal(RejectReason.COMP_ID_PROBLEM)
        else:
            return True
        in_time = refusal.reason is not RejectReason.SENDING_TIME_PROBLEM
        if self._state is not State.LOGGED_ON:
            return message.msg_type == "5" and not in_time  # the Logout that we wait for
        if message.msg_type == "3":  # not answered by a Reject, which would look as wrong to the peer
            self._say_logout(refusal.text, now_ns)
        else:
            self._refuse(message, refusal, now_ns, count=in_time)
            self._say_logout("", now_ns)
        return False

    def _too_low(self, message: Message, seq: int, now_ns: int) -> None:
        if not message.flag(43):
            self._close_with_logout(_TOO_LOW.format(self._next_in, seq), now_ns)
            return
        if message.msg_type == "4":
            return
        original = self._timers.parse(message.get(122))
        if original is None:
            if self.settings.require_orig_sending_time:
                self._refuse(message, Refusal(RejectReason.REQUIRED_TAG_MISSING, 122), now_ns)
        elif original > (self._timers.parse(message.get(52)) or 0):
            self._refuse(message, Refusal(RejectReason.SENDING_TIME_PROBLEM), now_ns)
            self._say_logout("", now_ns)

    # ---------------------------------------------------------- the first one

    def _handle_first(self, message: Message, now_ns: int) -> None:
        """The first message of a connection: a Logon, or the connection is closed."""
        fault = check_identity(self.settings, message)
        if fault is None and self._check(message) is not None:
            fault = LogonFault.MALFORMED
        if fault is None:
            fault = check_logon(self.settings, message, self._timers, now_ns, self.store.next_out)
        if fault is not None:
            self._refuse_logon(message, fault, now_ns)
            return
        text = None if self.authenticate is None else self.authenticate(message)
        if text is not None:  # before anything of ours has changed: who is there is not known
            self._logout_refused(text, text, now_ns)
            return
        if self._accept(message, message.seq or 0, now_ns):
            self._logged_on(message, message.seq or 0, now_ns)

    def _refuse_logon(self, message: Message, fault: LogonFault, now_ns: int) -> None:
        if fault is LogonFault.LOGGED_OUT:
            self._refused_by_logout(message)
            self._disconnect(fault.describe(message))
        elif fault.silent:
            self._events.append(LogonRefused(fault.describe(message), ""))
            self._disconnect(fault.describe(message))
        else:
            text = refusal_text(self.settings, fault, message, self.store.next_out)
            self._logout_refused(fault.describe(message), text, now_ns)

    def _logout_refused(self, reason: str, text: str, now_ns: int) -> None:
        self._events.append(LogonRefused(reason, text))
        self._close_with_logout(text, now_ns)

    def _accept(self, message: Message, seq: int, now_ns: int) -> bool:
        """Reset as asked, answer; False when the number is too low."""
        reset = wants_reset(self.settings, message)
        if self.settings.role is Role.ACCEPTOR:
            if reset or self.settings.reset_on_logon:
                self._reset(by_peer=reset)
            owed = self.store.next_out  # what went out before our answer
            if seq >= self._next_in:
                self._timers.heartbeat_s(message.integer(108) or 0)
                expected = self._next_in + (seq == self._next_in)
                self._send_logon(now_ns, reset=reset, next_expected=expected)
        else:
            if reset and not self._reset_asked:
                self._reset(by_peer=True)
                # Whether the peer counted our Logon as number 1 is not known. From 2 on it either
                # fits, or the peer asks for 1 and gets a gap fill; from 1 on it could log us out.
                self.store.skip_out(2)
            owed = self.store.next_out
            self._timers.heartbeat_s(message.integer(108) or 0)
        if seq < self._next_in:
            text = _TOO_LOW.format(self._next_in, seq)
            self._numbers_disagree(f"the peer's Logon was refused: {text}")
            self._close_with_logout(text, now_ns)
            return False
        if self._says_next_expected(message) and not reset:
            expected = message.integer(789) or 0
            if 0 < expected < owed:  # through our Logon: not every peer keeps one that came too high
                self._owe_resend(expected, self.store.next_out - 1)
        return True

    def _says_next_expected(self, message: Message) -> bool:
        return self.settings.next_expected_msg_seq_num and 789 in message

    def _logged_on(self, message: Message, seq: int, now_ns: int) -> None:
        self._ask_reset = self._reset_asked = False
        self._logged_out = False
        self.peer_appl_ver_id = message.text(1137) if self.settings.is_fixt else ""
        self._timers.logged_on(now_ns)
        self._move(Signal.LOGON_ACCEPTED)
        next_in = self._next_in + (seq == self._next_in)  # the Logon itself counts
        self._events.append(LoggedOn(next_in, self.store.next_out, self._timers.interval_s, self.peer_appl_ver_id))
        if self._jobs:
            self._continue_resend(now_ns)
        if seq > self._next_in:
            self._hold(seq, None, now_ns, ask=not self._says_next_expected(message))
        else:
            self._advance(seq + 1, now_ns)

    def _refused_by_logout(self, message: Message) -> None:
        """The peer answered our Logon by a Logout."""
        if message.seq == self._next_in:
            self._next_in += 1
        text = message.text(58)
        if _SAYS_TOO_LOW.search(text):
            self._numbers_disagree(f"our Logon was refused: {text}", ours_low=True)

    def _numbers_disagree(self, reason: str, *, ours_low: bool = False) -> None:
        """Out of step for good: start over where that is agreed upon, else leave it to a person."""
        if self.settings.recover_by_reset and self.settings.role is Role.INITIATOR:
            self._ask_reset = True
        else:
            self._events.append(StandDown(reason, ours_low))

    # ---------------------------------------------------------- the live ones

    def _on_logon(self, message: Message, seq: int, now_ns: int) -> None:
        """A Logon inside a live session: a reset in place, ours answered or the peer's own."""
        if not wants_reset(self.settings, message):
            if self._in_sequence(message, seq, now_ns):
                self._close_with_logout(_NO_SECOND_LOGON, now_ns)
            return
        if seq != 1:
            self._refuse(message, Refusal(RejectReason.VALUE_INCORRECT, 34), now_ns)
            return
        interval_s = message.integer(108)
        if interval_s is None or not heartbeat_fits(self.settings, interval_s):
            self._refuse(message, Refusal(RejectReason.VALUE_INCORRECT, 108), now_ns)
            return
        if self._reset_asked:  # the numbers are 1 since we asked; until now the peer's were the old ones
            self._reset_asked = False
            self._timers.reset_asked(0)
            self._forget_gap()
        else:
            self._reset(by_peer=True)
            self._timers.heartbeat_s(interval_s)
            self._send_logon(now_ns, reset=True, next_expected=2)
        self._advance(2, now_ns)

    def _on_heartbeat(self, message: Message, seq: int, now_ns: int) -> None:
        if self._in_sequence(message, seq, now_ns):
            self._advance(seq + 1, now_ns)

    def _on_test_request(self, message: Message, seq: int, now_ns: int) -> None:
        if self._in_sequence(message, seq, now_ns):
            self._advance(seq + 1, now_ns)
            self._send("0", [(112, message.get(112) or b"")], now_ns)

    def _on_resend_request(self, message: Message, seq: int, now_ns: int) -> None:
        """Answered even beyond a gap: two sides that wait for each other would wait for ever."""
        begin, end = message.integer(7) or 0, message.integer(16) or 0
        last = self.store.next_out - 1
        if end == self.rules.all_messages:
            end = last
        if begin < 1 or begin > last or (0 < end < begin):
            self._refuse(message, Refusal(RejectReason.VALUE_INCORRECT, 7 if begin < 1 or begin > last else 16), now_ns)
            return
        if seq == self._next_in:
            self._advance(seq + 1, now_ns)
        # Before a request of ours that this turn may add: the answer ends at what is out now.
        if end:  # 0 asks for nothing in FIX.4.0 and 4.1, which call everything 999999
            self._owe_resend(begin, min(end, last))
            self._continue_resend(now_ns)
        if seq > self._next_in:
            self._hold(seq, None, now_ns)
        if self._gap_end and begin == self._asked_seq:  # what the peer misses first is our own request
            self._ask_resend(now_ns)

    def _continue_resend(self, now_ns: int) -> None:
        """The next part of what we owe, at most ``resend_chunk`` messages of it."""
        job = self._jobs[0]
        header = self._with_last_processed() if self.settings.last_msg_seq_num_processed else ()
        job.step(self.settings.resend_chunk, now_ns, header)
        self._timers.sent(now_ns)
        if job.damaged:
            self._events += job.damaged
            job.damaged = []
        if job.done:
            self._jobs.popleft()
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
        if not fill and new_seq > self._next_in:
            self._events.append(NumbersSkipped(self._next_in, new_seq - 1))
        self._advance(new_seq, now_ns)

    def _on_logout(self, message: Message, seq: int, now_ns: int) -> None:
        if seq == self._next_in:
            self._advance(seq + 1, now_ns)
        by_peer = self._state is State.LOGGED_ON
        text = message.text(58) or ("logged out by the peer" if by_peer else "logged out")
        if by_peer:
            self._send("5", (), now_ns)
        self._reset_when_down |= self.settings.reset_on_logout
        self._say_logged_out(text, by_peer=by_peer)
        if by_peer and _SAYS_TOO_LOW.search(text):  # to an acceptor, the Logon that it answered with
            self._numbers_disagree(f"the peer has logged out: {text}", ours_low=True)
        self._disconnect(text)


_HANDLERS: dict[str, Callable[[Receiving, Message, int, int], None]] = {
    "A": Receiving._on_logon,
    "0": Receiving._on_heartbeat,
    "1": Receiving._on_test_request,
    "2": Receiving._on_resend_request,
    "3": Receiving._on_reject,
    "4": Receiving._on_sequence_reset,
    "5": Receiving._on_logout,
}
