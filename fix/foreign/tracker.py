"""What quickfix's callbacks and log lines mean, in our words. Plain Python, no quickfix: testable alone.

quickfix tells an application about logons and messages, but of gaps, refusals and the reason of a
disconnect it speaks only in its log. All of it comes here on quickfix's own thread, and leaves as
:class:`~fix.foreign.records.Said`. Kinds and their ``numbers``:

=========== ============================================== =========================
kind        meaning                                        numbers
=========== ============================================== =========================
connecting  an initiator tries to connect (``text``)
logon-sent  our Logon is out
logged-on   both Logons are exchanged                      HeartBtInt
logout-sent we said Logout first
down        the connection is over: ``text`` says why      1 if the peer ended it
gap         messages are missing                           begin, end
filled      nothing is missing any more                    next_in
skipped     SequenceReset-Reset jumped over numbers        begin, end
resent      a resend request was answered                  begin, end, sent, filled
reset       both numbers are 1 again                       1 if the peer asked
rejected    the peer refused a message of ours (``raw``)
refused     we refused a message of the peer (``raw``)
noted       quickfix ignored or refused something (``text``)
numbers     the numbers have changed
=========== ============================================== =========================
"""

import re
import time
from collections.abc import Callable

_TOO_HIGH = re.compile(r"MsgSeqNum too high, expecting (\d+) but received (\d+)")
_RESEND = re.compile(r"Received ResendRequest FROM: (\d+) TO: (\d+)")
#: Log lines that say why a connection ends; the first of them counts.
_REASONS = (
    "Socket Error", "Timed out", "MsgSeqNum too low", "Incorrect BeginString", "Rejected", "Message ",
    "Logon state is not valid", "Required field missing", "Received logon response before", "Connection failed",
    "Session ", "Dropped", "Invalid", "Connection refused",
)  # fmt: skip
_NOTED = ("Message ", "Invalid", "Tried to send a reject", "Incorrect")
SOH = b"\x01"
#: Nothing came after a resend for this long: it is over.
_RESEND_QUIET_S = 0.25

Say = Callable[[str, tuple[int, ...], str, bytes], None]


def field(raw: bytes, tag: int) -> bytes:
    """First value of ``tag``, empty when it is not there."""
    at = raw.find(b"\x01%d=" % tag)
    if at < 0:
        return b""
    at = raw.index(b"=", at) + 1
    return raw[at : raw.find(SOH, at)]


def number(raw: bytes, tag: int) -> int:
    """First value of an integer tag, 0 when it is not there or is none."""
    value = field(raw, tag)
    return int(value) if value.isdigit() else 0


class Tracker:
    """One session as its callbacks tell it."""

    def __init__(self, say: Say, *, acceptor: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._acceptor = acceptor
        self._clock = clock
        #: When quickfix's thread last called.
        self.life = clock()
        #: Whether a connection is open, as far as the log tells.
        self.connected = False
        self.logged_on = False
        self.next_in = 1
        self.next_out = 1
        self._why = ""
        self._dialled = False  # an initiator has connected and not lost it again
        self._by_peer = False
        self._logout_out = False
        self._gap_end = 0
        self._reset_out = self._reset_in = False
        self._resend: list[int] | None = None  # begin, end, sent
        self._resend_at = 0.0
        self._too_low = False

    def touch(self) -> None:
        """Quickfix's thread has called."""
        self.life = self._clock()

    # ------------------------------------------------------------- quickfix's log

    def event(self, text: str) -> None:
        """One line of quickfix's log."""
        if text.startswith("Connecting to"):
            self._why, self._dialled = "", True
            self._say("connecting", (), text, b"")
        elif text.startswith("Initiated logon request"):
            if not self._dialled:
                return  # quickfix says Logon once more into a connection that has just gone
            self._begin()
            self._say("logon-sent", (), "", b"")
        elif text.startswith("Received logon request"):
            self._begin()
        elif match := _TOO_HIGH.search(text):
            self._beyond(int(match[1]), int(match[2]))
        elif match := _RESEND.search(text):
            self._flush_resend()
            begin, end = int(match[1]), int(match[2])
            self._resend, self._resend_at = [begin, end, 0], self._clock()
        elif text.startswith(_REASONS):
            if text.startswith("MsgSeqNum too low"):
                self._too_low = True
            self._why = self._why or text
            if text.startswith(_NOTED):
                self._say("noted", (), text, b"")

    def _begin(self) -> None:
        self.connected = True
        self._why, self._by_peer, self._logout_out, self._too_low = "", False, False, False

    def _beyond(self, expected: int, received: int) -> None:
        self.next_in = expected
        if not self._gap_end:
            self._gap_end = received - 1
            self._say("gap", (expected, self._gap_end), "", b"")

    # ------------------------------------------------------------- session messages

    def admin_in(self, msg_type: str, raw: bytes) -> None:
        """A session message that quickfix has accepted, before it acts on it."""
        if msg_type != "2":
            self._flush_resend()
        if msg_type == "A":
            self._reset_in = field(raw, 141) == b"Y"
        elif msg_type == "5":
            self._by_peer = not self._logout_out
            text = field(raw, 58).decode("latin-1")
            self._why = f"logged out by the peer: {text}" if text else "logged out by the peer"
            if not self._by_peer:
                self._why = text or "logged out"
        elif msg_type == "3":
            self._say("rejected", (), "", raw)
            self._cover(number(raw, 34))
        elif msg_type == "4":
            self._sequence_reset(raw)
        elif msg_type in ("0", "1"):
            self._cover(number(raw, 34))

    def _sequence_reset(self, raw: bytes) -> None:
        new = number(raw, 36)
        if field(raw, 123) != b"Y" and new > self.next_in:
            self._say("skipped", (self.next_in, new - 1), "", b"")
        if new > self.next_in:
            self._cover(new - 1)

    def _cover(self, seq: int) -> None:
        """Everything up to ``seq`` has come."""
        self.next_in = max(self.next_in, seq + 1)
        if self._gap_end and seq >= self._gap_end:
            self._gap_end = 0
            self._say("filled", (seq + 1,), "", b"")

    def admin_out(self, msg_type: str, raw: bytes) -> None:
        """A session message that quickfix is about to send."""
        if msg_type != "4":
            self._flush_resend()
        if msg_type == "A":
            self._reset_out = field(raw, 141) == b"Y"
        elif msg_type == "5" and not self._by_peer:
            self._logout_out = True
            text = field(raw, 58).decode("latin-1")
            self._why = text or self._why or "logged out"
            if self.logged_on:
                self._say("logout-sent", (), self._why, b"")
        elif msg_type == "3":
            self._say("refused", (), "", raw)

    def outgoing(self, raw: bytes) -> None:
        """Bytes of a message as it leaves: the number it uses."""
        seq = number(raw, 34)
        if seq and field(raw, 43) != b"Y":
            self.next_out = seq + 1

    # ------------------------------------------------------------- application messages

    def app_in(self, seq: int) -> None:
        """An application message in sequence is in the spool."""
        self._flush_resend()
        self._cover(seq)

    def app_again(self, *, sent: bool) -> None:
        """Quickfix resends an application message, or (not ``sent``) fills its number."""
        if self._resend is not None:
            self._resend[2] += sent
            self._resend_at = self._clock()

    def _flush_resend(self) -> None:
        if self._resend is None:
            return
        (begin, end, sent), self._resend = self._resend, None
        if end == 0 or end >= 999_999 or end >= self.next_out:
            end = self.next_out - 1
        self._say("resent", (begin, end, sent, max(end - begin + 1 - sent, 0)), "", b"")

    def tick(self) -> None:
        """A resend after which nothing came is over."""
        if self._resend is not None and self._clock() - self._resend_at > _RESEND_QUIET_S:
            self._flush_resend()

    # ------------------------------------------------------------------- up and down

    def logon(self, next_in: int, next_out: int, heartbeat_s: int) -> None:
        """Quickfix's onLogon."""
        self.connected = self.logged_on = True
        self._too_low = False
        self.next_in, self.next_out = next_in, next_out
        if self._reset_out or self._reset_in:
            # Either answer to such a Logon carries the flag, too: who opened the connection asked.
            by_peer = self._reset_in and (self._acceptor or not self._reset_out)
            self._gap_end = 0
            self._say("reset", (int(by_peer),), "", b"")
        self._reset_out = self._reset_in = False
        self._say("logged-on", (heartbeat_s,), "", b"")

    def logout(self, next_in: int, next_out: int) -> bool:
        """Quickfix's onLogout, which also follows a logon that failed; whether the peer found our number too low."""
        self._flush_resend()
        nothing = not self._acceptor and not self._dialled
        self.connected = self.logged_on = self._dialled = False
        self.next_in, self.next_out = next_in, next_out
        self._gap_end = 0
        self._reset_out = self._reset_in = False
        why, self._why = self._why or "connection lost", ""
        too_low, self._too_low = self._too_low, False
        if nothing:
            self._say("numbers", (), "", b"")
        else:
            self._say("down", (int(self._by_peer),), why, b"")
        return too_low
