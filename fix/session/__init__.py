"""The FIX session as a sans-I/O machine. Open ``machine.py`` first, then ``states.py`` and ``versions.py``.

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
    LogonRefused,
    NumbersSkipped,
    PeerReject,
    Refused,
    Resent,
    SequenceAdjusted,
    SequencesReset,
    SessionEvent,
    Stalled,
    StandDown,
    StoreDamaged,
)  # fmt: skip
from fix.session.logon import Authenticate
from fix.session.machine import SessionMachine
from fix.session.settings import STALE_TYPES, Role, SessionSettings, TestRequestPolicy
from fix.session.states import TRANSITIONS, Signal, State
from fix.session.versions import (
    APPL_VER_IDS,
    BEGIN_STRINGS,
    TimestampPrecision,
    VersionRules,
    appl_ver_id,
)  # fmt: skip

__all__ = [
    "APPL_VER_IDS",
    "BEGIN_STRINGS",
    "STALE_TYPES",
    "TRANSITIONS",
    "AppMessage",
    "Authenticate",
    "Dictionary",
    "Disconnect",
    "GapDetected",
    "GapFilled",
    "Garbled",
    "LoggedOn",
    "LoggedOut",
    "LogonRefused",
    "NumbersSkipped",
    "PeerReject",
    "Refusal",
    "Refused",
    "RejectReason",
    "Resent",
    "Role",
    "SequenceAdjusted",
    "SequencesReset",
    "SessionEvent",
    "SessionMachine",
    "SessionSettings",
    "Signal",
    "Stalled",
    "StandDown",
    "State",
    "StoreDamaged",
    "TestRequestPolicy",
    "TimestampPrecision",
    "VersionRules",
    "appl_ver_id",
]  # fmt: skip
