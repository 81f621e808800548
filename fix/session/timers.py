"""The clockwork of a session: when it owes a heartbeat, a test request, or must give up.

HeartBtInt after the last message sent a Heartbeat is due; 1.2 x after the last one received a
TestRequest; 2.4 x after it the peer is gone. No Heartbeat goes out while a TestRequest is open.
"""

from enum import Enum

from fix.messages import parse_utc_timestamp
from fix.session.settings import SessionSettings
from fix.session.states import State

_SECOND_NS = 1_000_000_000
_TEST_AFTER = 1.2
_GONE_AFTER = 2.4


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
        self.interval_s = settings.heartbeat_interval_s
        #: Why :meth:`due` said CLOSE.
        self.reason = ""
        self._connected_ns = 0
        self._sent_ns = 0
        self._received_ns = 0
        self._logout_ns = 0
        self._gap_ns = 0
        self._testing = False

    def connected(self, now_ns: int) -> None:
        """A connection has begun."""
        self._connected_ns = self._sent_ns = self._received_ns = now_ns
        self._testing = False
        self.interval_s = self._settings.heartbeat_interval_s

    def logged_on(self, now_ns: int) -> None:
        """Both Logons are exchanged."""
        self.received(now_ns)

    def heartbeat_s(self, seconds: int) -> None:
        """Take the peer's HeartBtInt."""
        self.interval_s = seconds

    def sent(self, now_ns: int) -> None:
        """Something was sent."""
        self._sent_ns = now_ns

    def received(self, now_ns: int) -> None:
        """A sound message arrived: the peer is alive."""
        self._received_ns = now_ns
        self._testing = False

    def logout_sent(self, now_ns: int) -> None:
        """We said Logout first."""
        self._logout_ns = now_ns

    def gap_progress(self, now_ns: int) -> None:
        """A resend was asked for, or part of it arrived."""
        self._gap_ns = now_ns

    def shift(self, delta_ns: int) -> None:
        """UTC was stepped by ``delta_ns``; no time has passed."""
        self._connected_ns += delta_ns
        self._sent_ns += delta_ns
        self._received_ns += delta_ns
        self._logout_ns += delta_ns
        self._gap_ns += delta_ns

    def due(self, state: State, now_ns: int, *, gap_open: bool) -> Urge:
        """The most urgent thing; a TEST_REQUEST counts as sent."""
        settings = self._settings
        if state in (State.AWAITING_LOGON, State.LOGON_SENT):
            return self._close_after(now_ns - self._connected_ns, settings.logon_timeout_s, "no Logon")
        if state is State.LOGOUT_SENT:
            return self._close_after(now_ns - self._logout_ns, settings.logout_timeout_s, "no answer to our Logout")
        silent_ns = now_ns - self._received_ns
        interval_ns = self.interval_s * _SECOND_NS
        if interval_ns:
            if silent_ns >= _GONE_AFTER * interval_ns:
                return self._close_after(silent_ns, 0.0, "nothing received")
            if silent_ns >= _TEST_AFTER * interval_ns and not self._testing:
                self._testing = True
                return Urge.TEST_REQUEST
            if now_ns - self._sent_ns >= interval_ns and not self._testing:
                return Urge.HEARTBEAT
        if gap_open and now_ns - self._gap_ns >= settings.resend_timeout_s * _SECOND_NS:
            return Urge.ASK_AGAIN
        return Urge.NOTHING

    def _close_after(self, waited_ns: int, limit_s: float, what: str) -> Urge:
        if waited_ns < limit_s * _SECOND_NS:
            return Urge.NOTHING
        self.reason = f"{what} for {waited_ns / _SECOND_NS:.1f} s"
        return Urge.CLOSE

    def sending_time_is_near(self, value: bytes | None, now_ns: int) -> bool:
        """Whether SendingTime is within check_latency_s of our clock."""
        stamp = self.parse(value)
        return stamp is not None and abs(now_ns - stamp) <= self._settings.check_latency_s * _SECOND_NS

    @staticmethod
    def parse(value: bytes | None) -> int | None:
        """UTC nanoseconds of a timestamp field, None when absent or unreadable."""
        return None if value is None else parse_utc_timestamp(value)
