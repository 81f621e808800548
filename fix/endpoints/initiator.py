"""Opens connections for a session and keeps opening them, with a growing pause, until told to stop."""

import asyncio
from contextlib import suppress

import msgspec

from fix.endpoints.connection import Connection
from fix.endpoints.session import FixSession
from fix.errors import SettingsError
from fix.session import Role, State


class Reconnect(msgspec.Struct, frozen=True):
    """Pause before each new attempt: ``first_s``, times ``factor`` each time, up to ``max_s``.

    It starts over after a session that lasted longer than the pause before it, so that a session
    that dies right after each logon is not retried at full speed. ``connect_timeout_s`` bounds
    one attempt.
    """

    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 5.0
    connect_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.max_s and self.factor >= 1 and self.connect_timeout_s > 0):
            raise SettingsError(
                f"a reconnect policy needs 0 < first_s <= max_s, factor >= 1, a timeout > 0, was {self}"
            )


class Initiator:
    """Connects ``session`` to ``host:port``.

    Attributes
    ----------
    attempts:
        Connections tried so far.
    last_error:
        Why the last attempt failed; empty while connected.
    """

    def __init__(self, session: FixSession, host: str, port: int, reconnect: Reconnect | None = None) -> None:
        if session.settings.role is not Role.INITIATOR:
            raise SettingsError(
                f"{session.settings.name}: an Initiator needs role INITIATOR, was {session.settings.role}"
            )
        self.session = session
        self.host = host
        self.port = port
        self.reconnect = reconnect or Reconnect()
        self.attempts = 0
        self.last_error = ""
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; must be called inside the running loop."""
        if self._task is None or self._task.done():
            self._stopping.clear()
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"fix {self.session.settings.name}")

    async def stop(self, text: str = "") -> None:
        """Log out if logged on, close, and stay closed."""
        self._stopping.set()
        if self.session.connected:
            self.session.logout(text)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.session.settings.logout_timeout_s + 1.0):
                    await self.session.wait_state(State.DISCONNECTED)
            self.session.abort("stopped")
        if self._task is not None:
            await self._task
            self._task = None

    async def _run(self) -> None:
        delay_s = self.reconnect.first_s
        while not self._stopping.is_set():
            if await self._connect_once() > delay_s:
                delay_s = self.reconnect.first_s
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()
            delay_s = min(delay_s * self.reconnect.factor, self.reconnect.max_s)

    async def _connect_once(self) -> float:
        """One connection, from the attempt to its end; seconds that it was logged on."""
        loop = asyncio.get_running_loop()
        session = self.session
        self.attempts += 1
        try:
            async with asyncio.timeout(self.reconnect.connect_timeout_s):
                _, connection = await loop.create_connection(lambda: Connection(session), self.host, self.port)
        except (OSError, TimeoutError) as error:
            self.last_error = f"{self.host}:{self.port}: {str(error) or type(error).__name__}"
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
