"""The clockwork of a session: when it owes a heartbeat, a test request, or must give up.

HeartBtInt after the last message sent a Heartbeat is due; ``test_request_after`` intervals after
the last one received a TestRequest; ``disconnect_after`` intervals after it the peer is gone. No
Heartbeat goes out while a TestRequest is open.

A process that was itself frozen (suspended, swapped, stopped in a debugger) wakes with all of this
overdue at once, while what the peer sent meanwhile lies unread in the socket. Being woken late is
therefore told apart from the peer's silence: nothing is decided at the first look afterwards, and the peer is
asked by a TestRequest before it is given up.
"""

from enum import Enum

from fix.messages import parse_utc_timestamp
from fix.session.settings import SessionSettings, TestRequestPolicy
from fix.session.states import State

_SECOND_NS = 1_000_000_000
#: Nothing is due: as far away as 64-bit nanoseconds reach.
NEVER_NS = (1 << 63) - 1


class Urge(Enum):
    """What a session has to do because time has passed."""

    NOTHING = 0
    HEARTBEAT = 1
    TEST_REQUEST = 2
    ASK_AGAIN = 3
    CLOSE = 4


class Timers:
    """Reference times of one session, UTC nanoseconds. Written by the machine alone."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._check_latency = settings.check_latency
        self._latency_ns = int(settings.check_latency_s * _SECOND_NS)
        self.interval_s = settings.heartbeat_interval_s
        #: Why :meth:`due` said CLOSE.
        self.reason = ""
        self.connected_ns = 0
        self.sent_ns = 0
        self.received_ns = 0
        self._logout_ns = 0
        self._gap_ns = 0
        self._reset_ns = 0  # when a reset in place was asked for, 0: none is open
        self._looked_ns = 0  # the last time that anybody looked
        self._tests = 0  # TestRequests since something was received
        self._patient = False  # the next look takes no silence for an answer

    def connected(self, now_ns: int) -> None:
        """A connection has begun."""
        self.connected_ns = self.sent_ns = self.received_ns = self._looked_ns = now_ns
        self._tests = self._reset_ns = 0
        self._patient = False
        self.interval_s = self._settings.heartbeat_interval_s

    def logged_on(self, now_ns: int) -> None:
        """Both Logons are exchanged."""
        self.received(now_ns)

    def heartbeat_s(self, seconds: int) -> None:
        """Take the peer's HeartBtInt."""
        self.interval_s = seconds

    def sent(self, now_ns: int) -> None:
        """Something was sent."""
        self.sent_ns = now_ns

    def received(self, now_ns: int) -> None:
        """A sound message arrived: the peer is alive."""
        self.received_ns = now_ns
        self._tests = 0

    def logout_sent(self, now_ns: int) -> None:
        """We said Logout first."""
        self._logout_ns = now_ns

    def reset_asked(self, now_ns: int) -> None:
        """A Logon with ResetSeqNumFlag=Y is out inside a live session; 0: it is answered."""
        self._reset_ns = now_ns

    def gap_progress(self, now_ns: int) -> None:
        """A resend was asked for, or part of it arrived."""
        self._gap_ns = now_ns

    def shift(self, delta_ns: int) -> None:
        """UTC was stepped by ``delta_ns``; no time has passed."""
        self.connected_ns += delta_ns
        self.sent_ns += delta_ns
        self.received_ns += delta_ns
        self._logout_ns += delta_ns
        self._gap_ns += delta_ns
        self._looked_ns += delta_ns
        if self._reset_ns:
            self._reset_ns += delta_ns

    # ------------------------------------------------------------- our own stall

    def late_ns(self, state: State, now_ns: int, *, gap_open: bool) -> int:
        """How much later than it should somebody looks now; 0 when that is within stall_after_s."""
        limit_ns = int(self._settings.stall_after_s * _SECOND_NS)
        expected_ns = max(self._looked_ns, min(self.next_due_ns(state, gap_open=gap_open), now_ns))
        late_ns = now_ns - expected_ns
        return late_ns if limit_ns and late_ns > limit_ns else 0

    def stalled(self, now_ns: int) -> None:
        """We were frozen until now: the next look decides nothing, and the peer is asked before it is given up."""
        self._patient = True
        asked_ns = int(self._settings.test_request_after * self.interval_s * _SECOND_NS)
        self.received_ns = max(self.received_ns, now_ns - asked_ns)
        self._tests = 0
        self.connected_ns = max(self.connected_ns, now_ns - int(self._settings.logon_timeout_s * _SECOND_NS))
        self._logout_ns = max(self._logout_ns, now_ns - int(self._settings.logout_timeout_s * _SECOND_NS))

    # -------------------------------------------------------------------- due

    def due(self, state: State, now_ns: int, *, gap_open: bool) -> Urge:
        """The most urgent thing; a TEST_REQUEST counts as sent."""
        self._looked_ns = now_ns
        patient, self._patient = self._patient, False
        settings = self._settings
        if patient:
            return Urge.NOTHING
        if state is State.LOGGED_ON:
            return self._due_live(now_ns, gap_open=gap_open)
        if state is State.LOGOUT_SENT:
            return self._close_after(now_ns - self._logout_ns, settings.logout_timeout_s, "no answer to our Logout")
        return self._close_after(now_ns - self.connected_ns, settings.logon_timeout_s, "no Logon")

    def _due_live(self, now_ns: int, *, gap_open: bool) -> Urge:
        settings = self._settings
        interval_ns = self.interval_s * _SECOND_NS
        silent_ns = now_ns - self.received_ns
        if self._reset_ns and now_ns - self._reset_ns >= settings.logon_timeout_s * _SECOND_NS:
            return self._close_after(now_ns - self._reset_ns, 0.0, "no answer to our reset")
        if interval_ns:
            if silent_ns >= settings.disconnect_after * interval_ns:
                return self._close_after(silent_ns, 0.0, "nothing received")
            if self._heartbeat_comes_first(now_ns, interval_ns):
                return Urge.HEARTBEAT
            if silent_ns >= self._test_due_ns():
                self._tests += 1
                return Urge.TEST_REQUEST
        if gap_open and now_ns - self._gap_ns >= settings.resend_timeout_s * _SECOND_NS:
            return Urge.ASK_AGAIN
        return Urge.NOTHING

    def _heartbeat_comes_first(self, now_ns: int, interval_ns: int) -> bool:
        """Whether a Heartbeat is due, and was so before a TestRequest.

        Looked at so late that both are, the peer is given the time between them after all: on a slow
        machine it sees what it would have seen on a fast one.
        """
        late_ns = now_ns - self.sent_ns - interval_ns
        if late_ns < 0 or self._tests:
            return False
        before_test_ns = self.received_ns + self._test_due_ns() - (self.sent_ns + interval_ns)
        if late_ns < before_test_ns:
            return True
        if before_test_ns <= 0 or late_ns >= interval_ns:
            return False
        self.received_ns += late_ns
        return True

    def _test_due_ns(self) -> int:
        """Silence after which the next TestRequest goes out."""
        policy = self._settings.test_request_policy
        if policy is TestRequestPolicy.NEVER or (self._tests and policy is TestRequestPolicy.ONCE):
            return NEVER_NS
        return int((self._settings.test_request_after + self._tests) * self.interval_s * _SECOND_NS)

    def next_due_ns(self, state: State, *, gap_open: bool) -> int:
        """When something can be due at the earliest, as far as is known now."""
        settings = self._settings
        if state is State.LOGOUT_SENT:
            return self._logout_ns + int(settings.logout_timeout_s * _SECOND_NS)
        if state is not State.LOGGED_ON:
            return self.connected_ns + int(settings.logon_timeout_s * _SECOND_NS)
        due_ns = NEVER_NS
        interval_ns = self.interval_s * _SECOND_NS
        if interval_ns:
            due_ns = self.received_ns + min(int(settings.disconnect_after * interval_ns), self._test_due_ns())
            if not self._tests:
                due_ns = min(due_ns, self.sent_ns + interval_ns)
        if gap_open:
            due_ns = min(due_ns, self._gap_ns + int(settings.resend_timeout_s * _SECOND_NS))
        if self._reset_ns:
            due_ns = min(due_ns, self._reset_ns + int(settings.logon_timeout_s * _SECOND_NS))
        return due_ns

    def _close_after(self, waited_ns: int, limit_s: float, what: str) -> Urge:
        if waited_ns < limit_s * _SECOND_NS:
            return Urge.NOTHING
        self.reason = f"{what} for {waited_ns / _SECOND_NS:.1f} s"
        return Urge.CLOSE

    def sending_time_is_near(self, value: bytes | None, now_ns: int) -> bool:
        """Whether SendingTime is within check_latency_s of our clock."""
        if not self._check_latency:
            return True
        stamp = None if value is None else parse_utc_timestamp(value)
        return stamp is not None and -self._latency_ns <= now_ns - stamp <= self._latency_ns

    @staticmethod
    def parse(value: bytes | None) -> int | None:
        """UTC nanoseconds of a timestamp field, None when absent or unreadable."""
        return None if value is None else parse_utc_timestamp(value)
