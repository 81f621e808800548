"""What one FIX session is: names, role, intervals and policies. Frozen; only ever grows."""

import re
from enum import Enum

import msgspec

from fix.errors import SettingsError


class Role(Enum):
    """Who opens the connection."""

    INITIATOR = "initiator"
    ACCEPTOR = "acceptor"


#: Messages that ask the peer to do something now. Arriving late they would be acted upon as if
#: they were fresh, so a resend request for them is answered by a gap fill.
STALE_TYPES = ("D", "E", "F", "G", "q", "AB", "AC", "AF", "H", "R", "S", "Z", "i", "V", "x", "c", "e", "g")


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one session.

    Raises
    ------
    SettingsError
        When a value is out of its range.
    """

    sender_comp_id: str
    target_comp_id: str
    role: Role
    begin_string: str = "FIX.4.4"
    #: HeartBtInt(108) that an initiator asks for; an acceptor takes the peer's. 0: no heartbeats.
    heartbeat_interval_s: int = 10
    #: Start every logon from MsgSeqNum 1. Off: a reset forgets what the peer has not received.
    reset_on_logon: bool = False
    #: When the peer's Logon carries a lower number than expected (it lost its memory), ask for
    #: ResetSeqNumFlag=Y on the next logon. Off: log out each time until a person decides.
    recover_by_reset: bool = False
    #: SendingTime(52) may be this far from our clock; 120 s is what counterparties use.
    check_latency_s: float = 120.0
    #: A connection that has not logged on by then is closed.
    logon_timeout_s: float = 10.0
    #: How long to wait for the answer to our Logout.
    logout_timeout_s: float = 2.0
    #: A gap that shows no progress for this long is asked for again.
    resend_timeout_s: float = 10.0
    #: Messages of a resend made in one turn of the loop, at about 8 us each.
    resend_chunk: int = 100
    #: Messages held while a gap is open. Beyond it they are dropped and asked for again.
    max_held_messages: int = 100_000
    #: Whether the venue cancels our orders when the session goes down. Carried for the
    #: application, which does it.
    cancel_on_disconnect: bool = True
    #: MsgTypes answered by a gap fill on a resend request.
    stale_types: tuple[str, ...] = STALE_TYPES

    def __post_init__(self) -> None:
        for name, value in (("sender_comp_id", self.sender_comp_id), ("target_comp_id", self.target_comp_id)):
            if not value or not value.isascii() or not value.isprintable() or len(value) > 32:
                raise SettingsError(f"{name} must be 1..32 printable ASCII characters, was {value!r}")
        if not 0 <= self.heartbeat_interval_s <= 3600:
            raise SettingsError(f"heartbeat_interval_s must be 0..3600, was {self.heartbeat_interval_s}")
        for name in ("check_latency_s", "logon_timeout_s", "logout_timeout_s", "resend_timeout_s"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0, was {getattr(self, name)}")
        for name in ("resend_chunk", "max_held_messages"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, was {getattr(self, name)}")

    @property
    def key(self) -> tuple[str, str, str]:
        """(BeginString, our CompID, the peer's CompID): what identifies a session."""
        return (self.begin_string, self.sender_comp_id, self.target_comp_id)

    @property
    def name(self) -> str:
        """``SENDER-TARGET``, safe as the name of a directory."""
        return re.sub(r"[^A-Za-z0-9._-]", "_", f"{self.sender_comp_id}-{self.target_comp_id}").lstrip(".")
