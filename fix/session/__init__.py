"""The FIX session as a sans-I/O machine. Open ``machine.py`` first, then ``states.py``.

What lives here: sequence numbers, logon, heartbeats, gaps, resends, rejects, logout; no socket,
no clock, no thread. Drivers are in ``fix.endpoints``.
"""

from fix.session.checks import Dictionary, Refusal, RejectReason
from fix.session.events import (
    AppMessage,
    Disconnect,
    GapDetected,
    GapFilled,
    Garbled,
    LoggedOn,
    LoggedOut,
    PeerReject,
    Refused,
    Resent,
    SequencesReset,
    SessionEvent,
)  # fmt: skip
from fix.session.machine import SessionMachine
from fix.session.settings import STALE_TYPES, Role, SessionSettings
from fix.session.states import TRANSITIONS, Signal, State

__all__ = [
    "STALE_TYPES",
    "TRANSITIONS",
    "AppMessage",
    "Dictionary",
    "Disconnect",
    "GapDetected",
    "GapFilled",
    "Garbled",
    "LoggedOn",
    "LoggedOut",
    "PeerReject",
    "Refusal",
    "Refused",
    "RejectReason",
    "Resent",
    "Role",
    "SequencesReset",
    "SessionEvent",
    "SessionMachine",
    "SessionSettings",
    "Signal",
    "State",
]  # fmt: skip
