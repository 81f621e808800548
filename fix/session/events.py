"""What a session tells its driver. Each is a small frozen struct; the driver matches on the type.

``repr`` masks passwords and raw data, so events may be logged as they are.
"""

import msgspec

from fix.messages import mask_secrets


class SessionEvent(msgspec.Struct, frozen=True):
    """Base of all events."""

    def __repr__(self) -> str:
        values = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            shown = mask_secrets(value) if isinstance(value, bytes) else value
            values.append(f"{name}={shown!r}")
        return f"{type(self).__name__}({', '.join(values)})"


class LoggedOn(SessionEvent, frozen=True):
    """Both Logons are exchanged. A gap may still be open: ask ``machine.steady``."""

    next_in: int
    next_out: int
    heartbeat_interval_s: int
    appl_ver_id: str = ""  # the peer's DefaultApplVerID(1137), FIXT.1.1 only


class LoggedOut(SessionEvent, frozen=True):
    """The logged-on time is over, by a Logout of either side or without one."""

    reason: str
    by_peer: bool


class LogonRefused(SessionEvent, frozen=True):
    """We refused the peer's Logon. ``text`` went out in a Logout, or nothing did when it is empty."""

    reason: str
    text: str


class AppMessage(SessionEvent, frozen=True):
    """An application message in sequence.

    ``poss_dup``: it was sent before under this number, you may have seen it. ``poss_resend``: its
    content may have been sent before under another number.
    """

    msg_type: str
    raw: bytes
    seq: int
    poss_dup: bool
    poss_resend: bool = False


class GapDetected(SessionEvent, frozen=True):
    """Messages ``begin``..``end`` are missing; a resend request is out, or the peer resends unasked (789)."""

    begin: int
    end: int


class GapFilled(SessionEvent, frozen=True):
    """Nothing is missing any more."""

    next_in: int


class NumbersSkipped(SessionEvent, frozen=True):
    """The peer's SequenceReset-Reset jumped over ``begin``..``end``: whatever they were will never come."""

    begin: int
    end: int


class Resent(SessionEvent, frozen=True):
    """A resend request of the peer has been answered."""

    begin: int
    end: int
    messages: int  # of the application, sent again with PossDupFlag=Y
    gap_filled: int  # numbers that were admin messages, stale, or not stored


class StoreDamaged(SessionEvent, frozen=True):
    """Messages ``begin``..``end`` could not be read for a resend; the peer got a gap fill for them."""

    begin: int
    end: int
    text: str


class SequencesReset(SessionEvent, frozen=True):
    """Both numbers are 1 again. What was stored for the peer and not received is gone for it."""

    by_peer: bool


class SequenceAdjusted(SessionEvent, frozen=True):
    """An operator has set the next number ``in`` or ``out``."""

    direction: str
    before: int
    after: int


class PeerReject(SessionEvent, frozen=True):
    """The peer refused message ``ref_seq`` of ours at session level (35=3)."""

    ref_seq: int
    ref_msg_type: str
    reason: int
    text: str
    raw: bytes


class Refused(SessionEvent, frozen=True):
    """We refused message ``ref_seq`` of the peer at session level."""

    ref_seq: int
    ref_msg_type: str
    reason: int
    text: str
    raw: bytes


class Garbled(SessionEvent, frozen=True):
    """Bytes that are no message were ignored."""

    reason: str
    raw: bytes


class Stalled(SessionEvent, frozen=True):
    """Our process did not run for ``seconds``; time-outs that passed meanwhile are measured anew."""

    seconds: float


class StandDown(SessionEvent, frozen=True):
    """The two sides' numbers disagree and no reset is agreed upon: a person has to decide.

    To log on again would use up a number each time, until the numbers fit by accident and
    everything between them is lost without a word.

    ``ours_low``: it is our number that the peer finds too low, so our memory has gone back. Then an acceptor
    must not answer Logons either; where the peer's is too low, that one may come back right.
    """

    reason: str
    ours_low: bool = False


class Disconnect(SessionEvent, frozen=True):
    """The driver must close the connection, after sending what is in the output."""

    reason: str
