"""Opens connections for a session and keeps opening them, with a growing pause, until told to stop."""

import asyncio
import random
import ssl
import zlib
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

import msgspec

from fix.endpoints.connection import Connection
from fix.endpoints.session import FixSession
from fix.endpoints.tls import TlsSettings, describe_error
from fix.errors import SettingsError
from fix.session import Role, State

#: A schedule is looked at this often at least: the clock may have been set.
_LOOK_S = 30.0


class HostPolicy(Enum):
    """Which address comes next."""

    PRIORITY = "priority"  # after a connection that logged on, the first again
    ROUND_ROBIN = "round_robin"  # after each connection the next one


class Reconnect(msgspec.Struct, frozen=True):
    """Pause before each new attempt: ``first_s``, times ``factor`` each time, up to ``max_s``.

    It starts over after a session that lasted longer than the pause before it, so that a session
    that dies right after each logon is not retried at full speed. With several addresses the pause
    grows only once all of them have failed. ``jitter`` takes a random part of each pause away, up to this share
    of it: 1.0 is "full jitter", which spreads best what a venue's restart has synchronised.
    ``connect_timeout_s`` bounds one attempt. ``seed`` fixes the random numbers; 0 takes the session's name.
    """

    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 5.0
    connect_timeout_s: float = 5.0
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.max_s and self.factor >= 1 and self.connect_timeout_s > 0):
            raise SettingsError(
                f"a reconnect policy needs 0 < first_s <= max_s, factor >= 1, a timeout > 0, was {self}"
            )
        if not 0 <= self.jitter <= 1:
            raise SettingsError(f"jitter must be 0..1, was {self.jitter}")


class Pauses:
    """The pauses of one session, in seconds."""

    def __init__(self, policy: Reconnect, name: str) -> None:
        self._policy = policy
        self._random = random.Random(policy.seed or zlib.crc32(name.encode()))
        self.next_s = policy.first_s

    def take(self) -> float:
        """The pause to make now; the next is longer."""
        pause_s, policy = self.next_s, self._policy
        self.next_s = min(pause_s * policy.factor, policy.max_s)
        return pause_s * (1 - policy.jitter * self._random.random())

    def restart(self) -> None:
        """A session has held: begin with the shortest again."""
        self.next_s = self._policy.first_s


class Initiator:
    """Connects ``session`` to ``host:port``, or to one of ``hosts`` when that fails.

    Parameters
    ----------
    hosts:
        Further addresses, tried in this order after the first.
    host_policy:
        Where to begin after a connection that logged on.
    tls:
        Encrypt; None: plain TCP.

    Attributes
    ----------
    attempts:
        Connections tried so far.
    last_error:
        Why the last attempt failed; empty while connected.
    address:
        Host and port of the connection, or of the next attempt.
    """

    def __init__(
        self, session: FixSession, host: str, port: int, reconnect: Reconnect | None = None, *,
        hosts: Sequence[tuple[str, int]] = (), host_policy: HostPolicy = HostPolicy.PRIORITY,
        tls: TlsSettings | None = None,
    ) -> None:  # fmt: skip
        if session.settings.role is not Role.INITIATOR:
            raise SettingsError(
                f"{session.settings.name}: an Initiator needs role INITIATOR, was {session.settings.role}"
            )
        self.session = session
        self.reconnect = reconnect or Reconnect()
        self.host_policy = host_policy
        self.attempts = 0
        self.last_error = ""
        self._hosts = [(host, port), *hosts]
        self._turn = 0  # which of them
        self._pauses = Pauses(self.reconnect, session.settings.name)
        self._tls = tls
        self._context = tls.client_context() if tls is not None else None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def host(self) -> str:
        """Host of the first address; may be set, for the next attempt."""
        return self._hosts[0][0]

    @host.setter
    def host(self, host: str) -> None:
        self._hosts[0] = (host, self._hosts[0][1])

    @property
    def port(self) -> int:
        """Port of the first address; may be set, for the next attempt."""
        return self._hosts[0][1]

    @port.setter
    def port(self, port: int) -> None:
        self._hosts[0] = (self._hosts[0][0], port)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in use or next."""
        return self._hosts[self._turn]

    def start(self) -> None:
        """Begin; must be called inside the running loop."""
        if self._task is None or self._task.done():
            self._stopping.clear()
            self.session.watch()
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"fix {self.session.settings.name}")

    async def stop(self, text: str = "") -> None:
        """Log out if logged on, close, and stay closed."""
        self._stopping.set()
        self.session.wakeup.set()
        if self.session.connected:
            self.session.logout(text)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.session.settings.logout_timeout_s + 1.0):
                    await self.session.wait_state(State.DISCONNECTED)
            self.session.abort("stopped")
        if self._task is not None:
            await self._task
            self._task = None
        self.session.unwatch()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            if await self._wait_until_allowed():
                continue
            lasted_s = await self._connect_once()
            if lasted_s > self._pauses.next_s:
                self._pauses.restart()
            if not self._choose_next(logged_on=lasted_s > 0):
                continue  # another address may be tried at once
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pauses.take()):
                    await self._stopping.wait()

    async def _wait_until_allowed(self) -> bool:
        """Sleep while an operator or the schedule keeps the session down; whether it did."""
        session = self.session
        session.wakeup.clear()
        reason = session.closed_reason()
        if not reason:
            return False
        self.last_error = reason
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await session.wakeup.wait()
        return True

    def _choose_next(self, *, logged_on: bool) -> bool:
        """Move on to the next address; whether the pause is due."""
        if len(self._hosts) == 1:
            return True
        if logged_on and self.host_policy is HostPolicy.PRIORITY:
            self._turn = 0
            return True
        self._turn = (self._turn + 1) % len(self._hosts)
        return logged_on or self._turn == 0

    async def _connect_once(self) -> float:
        """One connection, from the attempt to its end; seconds that it was logged on."""
        loop = asyncio.get_running_loop()
        session = self.session
        self.attempts += 1
        host, port = self._hosts[self._turn]
        try:
            async with asyncio.timeout(self.reconnect.connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(session), host, port, ssl=self._context, server_hostname=self._server_name(host)
                )
        except (OSError, TimeoutError, ssl.CertificateError) as error:
            self.last_error = f"{host}:{port}: {describe_error(error)}"
            return 0.0
        logon = loop.create_task(session.wait_state(State.LOGGED_ON))
        try:
            await asyncio.wait((connection.closed, logon), return_when=asyncio.FIRST_COMPLETED)
            begun_s = loop.time() if logon.done() else None
            if begun_s is not None:
                self.last_error = ""
            await connection.closed
        finally:
            logon.cancel()
        self.last_error = session.last_reason
        return 0.0 if begun_s is None else loop.time() - begun_s

    def _server_name(self, host: str) -> str | None:
        if self._tls is None:
            return None
        return self._tls.server_name or host
