"""The states of a session and the table of what may follow what.

``TRANSITIONS`` is checked by the machine on every change, and is the table in the documentation.
A gap in what we receive and a resend that we owe are not states of their own: both can be open at
once, in either direction, while the session is logged on.
"""

from enum import Enum


class State(Enum):
    """Of a session."""

    DISCONNECTED = "disconnected"
    AWAITING_LOGON = "awaiting logon"  # acceptor: connected, nothing said yet
    LOGON_SENT = "logon sent"  # initiator: connected, our Logon is out
    LOGGED_ON = "logged on"
    LOGOUT_SENT = "logout sent"  # we said Logout first and wait for the peer's


class Signal(Enum):
    """What moves a session from one state to another."""

    CONNECTED = "connected"
    LOGON_ACCEPTED = "logon accepted"
    LOGOUT_BEGUN = "logout begun"
    CLOSED = "closed"


TRANSITIONS: dict[tuple[State, Signal], State] = {
    # CONNECTED leads an initiator on to LOGON_SENT once its Logon is written.
    (State.DISCONNECTED, Signal.CONNECTED): State.AWAITING_LOGON,
    (State.AWAITING_LOGON, Signal.CONNECTED): State.LOGON_SENT,
    (State.AWAITING_LOGON, Signal.LOGON_ACCEPTED): State.LOGGED_ON,
    (State.LOGON_SENT, Signal.LOGON_ACCEPTED): State.LOGGED_ON,
    # A Logon with ResetSeqNumFlag=Y inside a live session resets it in place.
    (State.LOGGED_ON, Signal.LOGON_ACCEPTED): State.LOGGED_ON,
    (State.LOGGED_ON, Signal.LOGOUT_BEGUN): State.LOGOUT_SENT,
    (State.LOGON_SENT, Signal.LOGOUT_BEGUN): State.LOGOUT_SENT,
    (State.AWAITING_LOGON, Signal.LOGOUT_BEGUN): State.LOGOUT_SENT,
    (State.AWAITING_LOGON, Signal.CLOSED): State.DISCONNECTED,
    (State.LOGON_SENT, Signal.CLOSED): State.DISCONNECTED,
    (State.LOGGED_ON, Signal.CLOSED): State.DISCONNECTED,
    (State.LOGOUT_SENT, Signal.CLOSED): State.DISCONNECTED,
}

#: States in which messages of the peer are taken in sequence.
LIVE = frozenset((State.LOGGED_ON, State.LOGOUT_SENT))
