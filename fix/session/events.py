"""What a session tells its driver. Each is a small frozen struct; the driver matches on the type."""

import msgspec


class SessionEvent(msgspec.Struct, frozen=True):
    """Base of all events."""


class LoggedOn(SessionEvent, frozen=True):
    """Both Logons are exchanged. A gap may still be open: ask ``machine.steady``."""

    next_in: int
    next_out: int
    heartbeat_interval_s: int


class LoggedOut(SessionEvent, frozen=True):
    """The logged-on time is over, by a Logout of either side or without one."""

    reason: str
    by_peer: bool


class AppMessage(SessionEvent, frozen=True):
    """An application message in sequence. ``poss_dup``: it was sent before, you may have seen it."""

    msg_type: str
    raw: bytes
    seq: int
    poss_dup: bool


class GapDetected(SessionEvent, frozen=True):
    """Messages ``begin``..``end`` are missing; a resend request is out."""

    begin: int
    end: int


class GapFilled(SessionEvent, frozen=True):
    """Nothing is missing any more."""

    next_in: int


class Resent(SessionEvent, frozen=True):
    """A resend request of the peer has been answered."""

    begin: int
    end: int
    messages: int  # of the application, sent again with PossDupFlag=Y
    gap_filled: int  # numbers that were admin messages, stale, or not stored


class SequencesReset(SessionEvent, frozen=True):
    """Both numbers are 1 again. What was stored for the peer and not received is gone for it."""

    by_peer: bool


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


class Disconnect(SessionEvent, frozen=True):
    """The driver must close the connection, after sending what is in the output."""

    reason: str
