"""Listens for connections and gives each to the session that its Logon names.

Whoever cannot be placed is dropped without an answer: a first message that is not a Logon or is
garbled, CompIDs that are not ours, a second connection of a session that is live, silence.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from fix.endpoints.connection import Connection
from fix.endpoints.session import FixSession
from fix.errors import GarbledMessageError, SettingsError
from fix.messages import frame, parse
from fix.session import Role, State

_DOORSTEP_S = 10.0
_MAX_DOORSTEP = 256
_MAX_DOORSTEP_BYTES = 1 << 16


class Acceptor:
    """Server side of any number of sessions on one port.

    Parameters
    ----------
    sessions:
        Of role ACCEPTOR; more by :meth:`add`.
    port:
        0 takes a free one; see :attr:`port` after :meth:`start`.
    on_drop:
        Called with the reason whenever a connection is dropped before it reached a session.
    """

    def __init__(
        self,
        sessions: Iterable[FixSession] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        on_drop: Callable[[str], None] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        #: Reasons of the latest drops, newest last.
        self.drops: deque[str] = deque(maxlen=100)
        self.drop_count = 0
        self._on_drop = on_drop
        self._sessions: dict[tuple[str, str, str], FixSession] = {}
        self._server: asyncio.Server | None = None
        self._doorstep: dict[Connection, asyncio.TimerHandle] = {}
        for session in sessions:
            self.add(session)

    @property
    def sessions(self) -> list[FixSession]:
        """All sessions, in the order they were added."""
        return list(self._sessions.values())

    def add(self, session: FixSession) -> None:
        """Let ``session`` log on here."""
        settings = session.settings
        if settings.role is not Role.ACCEPTOR:
            raise SettingsError(f"{settings.name}: an Acceptor needs role ACCEPTOR, was {settings.role}")
        if settings.key in self._sessions:
            raise SettingsError(f"{settings.name}: two sessions have the same BeginString and CompIDs; rename one")
        self._sessions[settings.key] = session

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), self.host, self.port, reuse_address=True, backlog=128
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self, text: str = "") -> None:
        """Stop listening, log every session out, close everything."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._doorstep):
            self._drop(connection, "the acceptor is closing")
        live = [session for session in self._sessions.values() if session.connected]
        for session in live:
            session.logout(text)
        if live:
            longest_s = max(session.settings.logout_timeout_s for session in live)
            with suppress(TimeoutError):
                async with asyncio.timeout(longest_s + 1.0):
                    await asyncio.gather(*(session.wait_state(State.DISCONNECTED) for session in live))
        for session in live:
            session.abort("the acceptor is closing")
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    # ------------------------------------------------------------ the doorstep

    def connection_made(self, connection: Connection) -> None:
        """A connection has come in and has not said who it is."""
        if len(self._doorstep) >= _MAX_DOORSTEP:
            self._drop(connection, f"{_MAX_DOORSTEP} connections are waiting to log on")
            return
        loop = asyncio.get_running_loop()
        self._doorstep[connection] = loop.call_later(
            _DOORSTEP_S, self._drop, connection, f"no Logon in {_DOORSTEP_S} s"
        )

    def bytes_arrived(self, connection: Connection) -> None:
        """Place the connection once its first message is whole; the session reads it again."""
        begin, stop = frame(connection.buffer, connection.start, connection.end)
        if begin == stop:
            connection.start = begin
            if connection.received > _MAX_DOORSTEP_BYTES:
                self._drop(connection, f"no message in the first {connection.received} bytes")
            return
        raw = bytes(connection.buffer[begin:stop])
        try:
            message = parse(raw)
        except GarbledMessageError as error:
            self._drop(connection, f"garbled first message: {error}")
            return
        key = (message.text(8), message.text(56), message.text(49))
        session = self._sessions.get(key)
        if message.msg_type != "A":
            self._drop(connection, f"first message must be a Logon, was MsgType {message.msg_type!r}")
        elif session is None:
            self._drop(connection, f"no session {key[0]} of {key[1]!r} with {key[2]!r}")
        elif session.connected:
            self._drop(connection, f"{session.settings.name} is connected already; the second connection goes")
        else:
            self._doorstep.pop(connection).cancel()
            session.connection_made(connection)
            session.bytes_arrived(connection)

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """It went before it said anything."""
        del reason
        timer = self._doorstep.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _drop(self, connection: Connection, reason: str) -> None:
        timer = self._doorstep.pop(connection, None)
        if timer is not None:
            timer.cancel()
        text = f"dropped {connection.peer}: {reason}"
        self.drops.append(text)
        self.drop_count += 1
        connection.close()
        if self._on_drop is not None:
            self._on_drop(text)
