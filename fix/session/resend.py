"""Answers to a resend request: what is sent again, and what is filled.

Reports are sent again with PossDupFlag=Y and OrigSendingTime. Session messages, numbers that are
not stored, and everything that would be acted upon late (settings.stale_types: orders, cancels,
requests) become a SequenceReset-GapFill; neighbours share one. So do messages that the store can
no longer read: the session goes on, and says which numbers they were.
"""

from fix.messages import ADMIN_TYPES, SOH, Field
from fix.session.events import StoreDamaged
from fix.session.outbound import Outbound
from fix.session.settings import SessionSettings
from fix.store import Damage


def stored_msg_type(raw: bytes) -> str:
    """MsgType of a message of ours: always its third field."""
    start = raw.find(b"\x0135=") + 4
    return raw[start : raw.find(SOH, start)].decode("latin-1")


class ResendJob:
    """One answer, made in chunks so that a long one does not hold the event loop.

    Numbers ``begin``..``end`` (inclusive) are answered, ascending and without a hole.
    """

    def __init__(self, settings: SessionSettings, outbound: Outbound, begin: int, end: int) -> None:
        self.begin = begin
        self.end = end
        self.messages = 0
        self.done = False
        #: What could not be read, to be told to the application.
        self.damaged: list[StoreDamaged] = []
        self._settings = settings
        self._outbound = outbound
        self._stored = outbound.store.read(begin, end, self._damaged)
        self._unanswered = begin  # first number that the peer has not been told about
        self._header: tuple[Field, ...] = ()

    @property
    def gap_filled(self) -> int:
        """Numbers that were answered by a gap fill so far."""
        return self._unanswered - self.begin - self.messages

    def covers(self, begin: int, end: int) -> bool:
        """Whether ``begin``..``end`` is still going to be answered by this job."""
        return not self.done and self._unanswered <= begin and end <= self.end

    def step(self, limit: int, now_ns: int, header: tuple[Field, ...] = ()) -> None:
        """Put out the answer for up to ``limit`` further stored messages; ``header`` goes into gap fills."""
        self._header = header
        for _ in range(limit):
            found = next(self._stored, None)
            if found is None:
                self._fill_to(self.end + 1, now_ns)
                self.done = True
                break
            seq, raw = found
            msg_type = stored_msg_type(raw)
            if msg_type in ADMIN_TYPES or msg_type in self._settings.stale_types:
                continue
            try:
                again = self._outbound.poss_dup(raw, now_ns)
            except ValueError:
                self._note(seq, seq, "its header cannot be read")
                continue
            self._fill_to(seq, now_ns)
            self._outbound.put(again)
            self.messages += 1
            self._unanswered = seq + 1

    def _fill_to(self, seq: int, now_ns: int) -> None:
        if self._unanswered < seq:
            self._outbound.put(self._outbound.gap_fill(self._unanswered, seq, now_ns, self._header))
            self._unanswered = seq

    def _damaged(self, damage: Damage) -> None:
        self._note(max(damage.first_seq, self.begin), min(damage.last_seq, self.end), damage.text)

    def _note(self, begin: int, end: int, text: str) -> None:
        self.damaged.append(StoreDamaged(begin, end, text))
