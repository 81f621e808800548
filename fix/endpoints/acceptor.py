"""Listens for connections and gives each to the session that its Logon names.

Whoever cannot be placed is dropped without an answer: a first message that is not a Logon or is
garbled, CompIDs that are not ours, a second connection of a session that is live, silence, a TLS
handshake that fails. One timer watches all who wait at the door.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from fix.endpoints.connection import Connection
from fix.endpoints.policy import Doorstep
from fix.endpoints.session import FixSession
from fix.endpoints.tls import TlsSettings, describe_error
from fix.errors import GarbledMessageError, SettingsError
from fix.messages import Message, frame, parse
from fix.session import Role, State

_SWEEP_S = 0.5


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
    tls:
        Encrypt; None: plain TCP.
    doorstep:
        Limits of connections that have not said who they are.
    session_factory:
        Called with the parsed Logon of a peer that no session knows: gives the session to take it, which
        is added, or None to drop it.
    """

    def __init__(
        self, sessions: Iterable[FixSession] = (), host: str = "127.0.0.1", port: int = 0,
        on_drop: Callable[[str], None] | None = None, *, tls: TlsSettings | None = None,
        doorstep: Doorstep | None = None, session_factory: Callable[[Message], FixSession | None] | None = None,
    ) -> None:  # fmt: skip
        self.host = host
        self.port = port
        self.doorstep = doorstep or Doorstep()
        #: Reasons of the latest drops, newest last.
        self.drops: deque[str] = deque(maxlen=100)
        self.drop_count = 0
        self._on_drop = on_drop
        self._factory = session_factory
        self._context = tls.server_context() if tls is not None else None
        self._sessions: dict[tuple[str, str, str], FixSession] = {}
        self._server: asyncio.Server | None = None
        self._listener: socket.socket | None = None  # with TLS
        self._accepting: asyncio.Task[None] | None = None
        self._open = False
        self._backlog = max(self.doorstep.max_waiting, 128)
        self._waiting: dict[Connection, float] = {}  # at the door, and until when; in order of arrival
        self._handshakes: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
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
        if self._open:
            session.watch()

    def remove(self, session: FixSession) -> None:
        """Let ``session`` log on no more; cut it if it is connected."""
        if self._sessions.pop(session.settings.key, None) is not None:
            session.abort("removed from its acceptor")
            session.unwatch()

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        if self._context is not None:
            self._listener = self._listen_for_tls()
            self.port = self._listener.getsockname()[1]
        else:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self), self.host, self.port, reuse_address=True, backlog=self._backlog
            )
            self.port = self._server.sockets[0].getsockname()[1]
        self._open = True
        for session in self._sessions.values():
            session.watch()

    async def close(self, text: str = "") -> None:
        """Stop listening, log every session out, close everything."""
        self._open = False
        if self._server is not None:
            self._server.close()
        if self._accepting is not None:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for task in list(self._handshakes):
            task.cancel()
        for connection in list(self._waiting):
            self._drop(connection, "the acceptor is closing")
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
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
        for session in self._sessions.values():
            session.unwatch()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    # ------------------------------------------------------------ the doorstep

    def connection_made(self, connection: Connection) -> None:
        """A connection has come in and has not said who it is."""
        if self._context is None and self.crowded:  # with TLS that was asked before the handshake
            self._drop(connection, f"{self.doorstep.max_waiting} connections are waiting to log on")
            return
        loop = asyncio.get_running_loop()
        self._waiting[connection] = loop.time() + self.doorstep.wait_s
        if self._sweeper is None:
            self._sweeper = loop.call_later(min(_SWEEP_S, self.doorstep.wait_s), self._sweep)

    @property
    def crowded(self) -> bool:
        """Whether the door takes nobody at present."""
        return len(self._waiting) + len(self._handshakes) > self.doorstep.max_waiting - 1

    def _sweep(self) -> None:
        """Drop whoever has waited too long."""
        loop = asyncio.get_running_loop()
        self._sweeper = None
        now_s = loop.time()
        for connection, until_s in list(self._waiting.items()):
            if until_s > now_s:
                break
            self._drop(connection, f"no Logon in {self.doorstep.wait_s:g} s")
        if self._waiting:
            self._sweeper = loop.call_later(min(_SWEEP_S, self.doorstep.wait_s), self._sweep)

    def bytes_arrived(self, connection: Connection) -> None:
        """Place the connection once its first message is whole; the session reads it again."""
        begin, stop = frame(connection.buffer, connection.start, connection.end)
        if begin == stop:
            connection.start = begin
            if connection.received > self.doorstep.max_bytes:
                self._drop(connection, f"no message in the first {connection.received} bytes")
            return
        raw = bytes(connection.buffer[begin:stop])
        try:
            message = parse(raw)
        except GarbledMessageError as error:
            self._drop(connection, f"garbled first message: {error}")
            return
        if message.msg_type != "A":
            self._drop(connection, f"first message must be a Logon, was MsgType {message.msg_type!r}")
            return
        found = self._session_of(message)
        if isinstance(found, str):
            self._drop(connection, found)
            return
        self._waiting.pop(connection, None)
        found.connection_made(connection)
        found.bytes_arrived(connection)

    def _session_of(self, logon: Message) -> FixSession | str:
        """The session that takes ``logon``, or why none does."""
        key = (logon.text(8), logon.text(56), logon.text(49))
        session = self._sessions.get(key)
        if session is None and self._factory is not None:
            session = self._factory(logon)
            if session is not None:
                self.add(session)
        if session is None:
            return f"no session {key[0]} of {key[1]!r} with {key[2]!r}"
        if session.connected:
            return f"{session.settings.name} is connected already; the second connection goes"
        reason = session.refusal_of(logon)
        return f"{session.settings.name}: {reason}" if reason else session

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """It went before it said anything."""
        del reason
        self._waiting.pop(connection, None)

    def _drop(self, connection: Connection, reason: str) -> None:
        self._waiting.pop(connection, None)
        connection.close()
        self.dropped(connection.peer, reason)

    def dropped(self, peer: str, reason: str) -> None:
        """Note that a connection was turned away."""
        text = f"dropped {peer}: {reason}"
        self.drops.append(text)
        self.drop_count += 1
        if self._on_drop is not None:
            self._on_drop(text)

    # ---------------------------------------------------------------- TLS

    def _listen_for_tls(self) -> socket.socket:
        """Accept by hand: a server of asyncio would tell nobody of a handshake that fails."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=self._backlog)
        listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener), name=f"tls {self.host}")
        return listener

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                stream, address = await loop.sock_accept(listener)
            except OSError as error:  # no descriptors left, or the peer has gone again: the door stays open
                self.dropped("a peer", f"accept failed: {error}")
                await asyncio.sleep(_SWEEP_S)
                continue
            if self.crowded:
                stream.close()
                self.dropped(str(address), f"{self.doorstep.max_waiting} connections are waiting to log on")
                continue
            task = loop.create_task(self._handshake(stream, str(address)))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, stream: socket.socket, peer: str) -> None:
        """Agree on TLS; then the connection stands at the door like any other."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self), stream, ssl=self._context, ssl_handshake_timeout=self.doorstep.wait_s
            )
        except (OSError, TimeoutError, ssl.CertificateError) as error:
            self.dropped(peer, describe_error(error))
