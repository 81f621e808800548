"""Drivers of the session machine on asyncio (uvloop): sockets, timers, the hot path. Open ``session.py`` first.

``FixSession`` carries one session over successive connections; ``Initiator`` and ``Acceptor``
make those connections. What a message means is the handler's business.
"""

from fix.endpoints.acceptor import Acceptor
from fix.endpoints.hotpath import CodecHotPath, HotBatch, HotPath, Stop
from fix.endpoints.initiator import Initiator, Reconnect
from fix.endpoints.session import FixSession, SessionHandler

__all__ = [
    "Acceptor", "CodecHotPath", "FixSession", "HotBatch", "HotPath", "Initiator", "Reconnect", "SessionHandler", "Stop",
]  # fmt: skip
