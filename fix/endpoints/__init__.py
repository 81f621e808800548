"""Drivers of the session machine on asyncio (uvloop): sockets, timers, the fast paths. Open ``session.py`` first.

``FixSession`` carries one session over successive connections; ``Initiator`` and ``Acceptor``
make those connections. What a message means is the handler's business.
"""

from fix.endpoints.acceptor import Acceptor
from fix.endpoints.events import HotRefused, OperatorAction, QueueDropped, ScheduleClosed, ScheduleOpened
from fix.endpoints.hotpath import CodecHotPath, HotBatch, HotPath, Stop
from fix.endpoints.initiator import HostPolicy, Initiator, Reconnect
from fix.endpoints.policy import Backpressure, Counters, Doorstep, OnExceed
from fix.endpoints.session import FixSession, SessionHandler
from fix.endpoints.tls import TlsSettings

__all__ = [
    "Acceptor", "Backpressure", "CodecHotPath", "Counters", "Doorstep", "FixSession", "HostPolicy", "HotBatch",
    "HotPath", "HotRefused", "Initiator", "OnExceed", "OperatorAction", "QueueDropped", "Reconnect", "ScheduleClosed",
    "ScheduleOpened", "SessionHandler", "Stop", "TlsSettings",
]  # fmt: skip
