"""Endpoints of quickfix sessions: they start the worker, keep it alive by policy, and stop it."""

import asyncio
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress

from fix.endpoints.initiator import Reconnect
from fix.errors import SettingsError, WorkerFailedError
from fix.foreign import installed
from fix.foreign.configuration import default_section
from fix.foreign.events import Died, WorkerFailed
from fix.foreign.process import WorkerPolicy, WorkerProcess, beat_s
from fix.foreign.records import Ask, Beat, Command, Cut, Ready, Report, Setup, Started, Stop, Verdict
from fix.foreign.session import QuickfixSession
from fix.session import Role

_STOP_MARGIN_S = 2.0
_KILLED_BY_US = "cut: "


class _WorkerHost(ABC):
    """A worker, its sessions, and the policy that keeps it running."""

    def __init__(self, sessions: Sequence[QuickfixSession], role: Role, policy: WorkerPolicy | None) -> None:
        if not installed():
            raise SettingsError('engine "quickfix" needs the quickfix package: pip install "axiom[quickfix]"')
        for place, session in enumerate(sessions):
            if session.settings.role is not role:
                raise SettingsError(
                    f"{session.settings.name}: this endpoint needs role {role.name}, was {session.settings.role.name}"
                )
            session.attach(self, place)
        self.policy = policy or WorkerPolicy()
        self.restarts = 0
        #: How a worker is started; the number of its socket follows.
        self.command = [sys.executable, "-m", "fix.foreign.worker"]
        self._sessions = list(sessions)
        self._role = role
        self._process: WorkerProcess | None = None
        self._ready = False
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._deaths: list[float] = []
        self._death: tuple[str, bool] | None = None
        self._standing_down = False

    @property
    def ready(self) -> bool:
        """Whether a worker is running and has its setup."""
        return self._ready

    @property
    def worker_pid(self) -> int:
        """Of the worker, 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def standing_down(self) -> bool:
        """Whether the worker failed too often; :meth:`QuickfixSession.connect` lets it try again."""
        return self._standing_down

    def tell(self, command: Command) -> None:
        """To the worker, if there is one."""
        if self._process is not None and self._ready:
            self._process.tell(command)

    def cut(self, session: QuickfixSession, reason: str) -> None:
        """End the connection of ``session`` at once: alone in its worker, the worker ends."""
        if len(self._sessions) == 1 and self._process is not None:
            self._process.kill(_KILLED_BY_US + reason)
        else:
            self.tell(Cut(self._sessions.index(session)))

    def wake(self) -> None:
        """Try again after standing down."""
        self._wake.set()

    # ------------------------------------------------------------ the worker's life

    @abstractmethod
    def _hosts(self) -> Sequence[tuple[str, int]]:
        """Where the worker connects to, or listens."""

    def _reconnect_s(self) -> float:
        return 1.0

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._stopping = False
            self._task = asyncio.get_running_loop().create_task(self._run(), name="quickfix worker")

    def _setup(self) -> Setup:
        prepared = [session.prepare() for session in self._sessions]
        config = default_section(self._role, self._hosts(), self._reconnect_s())
        config += "".join(section for _, section in prepared)
        shortest = min(filter(None, (session.heartbeat_s for session in self._sessions)), default=0)
        return Setup(config, self._role is Role.ACCEPTOR, tuple(spec for spec, _ in prepared), beat_s(shortest or 8))

    def _heartbeat_s(self, place: int) -> int:
        return self._sessions[place].heartbeat_s

    async def _run(self) -> None:
        while not self._stopping:
            self._death = None
            log = self._sessions[0].store.directory / "worker.log"
            self._process = WorkerProcess(self, self._setup(), log, self._heartbeat_s, self.command)
            try:
                await self._process.start()
            except OSError as error:
                self.on_death(f"the worker cannot be started: {error}", fault=False)
            else:
                await self._process.gone
            self._process = None
            await self._pause()

    async def _pause(self) -> None:
        """After a death: wait as the policy says, or until an operator comes."""
        reason, fault = self._death or ("", False)
        if self._stopping:
            return
        self.restarts += 1
        self._wake.clear()
        if reason.startswith(_KILLED_BY_US):
            delay_s: float | None = self._reconnect_s() if self._role is Role.INITIATOR else 0.0
        else:
            delay_s = self._delay_s(fault=fault)
            for session in self._sessions:
                session._tell("on_event", WorkerFailed(reason, self.restarts, delay_s is None))
        self._standing_down = delay_s is None
        if self._standing_down:
            for session in self._sessions:
                session.report_failure(WorkerFailedError(f"{session.settings.name} stands down: {reason}"))
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
        if self._standing_down:
            self._standing_down = False
            self._deaths.clear()

    def _delay_s(self, *, fault: bool) -> float | None:
        """Seconds before the next start; None: stand down."""
        now_s, policy = time.monotonic(), self.policy
        self._deaths = [at_s for at_s in self._deaths if now_s - at_s < policy.window_s] + [now_s]
        if fault or len(self._deaths) >= policy.most_failures:
            return None
        return min(policy.first_s * policy.factor ** (len(self._deaths) - 1), policy.max_s)

    def on_report(self, report: Report) -> None:
        """One record of the worker."""
        if isinstance(report, Ready):
            self._ready = True
            for session, numbers in zip(self._sessions, report.numbers, strict=True):
                session.worker_ready(*numbers)
        elif isinstance(report, Beat):
            for session, spooled, next_out in zip(self._sessions, report.spooled, report.next_out, strict=True):
                session.beat(spooled, next_out)
        elif isinstance(report, Ask):
            self.tell(Verdict(report.question, self._sessions[report.session].judge(report.raw)))
        elif hasattr(report, "session"):
            self._sessions[report.session].on_report(report)

    def on_death(self, reason: str, *, fault: bool) -> None:
        """The process is gone and reaped."""
        self._ready = False
        self._death = (reason, fault)
        for session in self._sessions:
            session.on_report(Died(reason.removeprefix(_KILLED_BY_US)))

    async def _end(self, text: str) -> None:
        self._stopping = True
        self._wake.set()
        process = self._process
        if process is not None:
            process.tell(Stop(text))
            longest_s = max(session.settings.logout_timeout_s for session in self._sessions)
            with suppress(TimeoutError):
                async with asyncio.timeout(longest_s + _STOP_MARGIN_S):
                    await asyncio.shield(process.gone)
            process.kill("stopped")
            await process.gone
        if self._task is not None:
            await self._task
            self._task = None


class QuickfixInitiator(_WorkerHost):
    """Connects ``session`` to ``host:port``, or to one of ``hosts`` when that fails.

    Attributes
    ----------
    last_error:
        Why the last attempt failed; empty while logged on.

    Notes
    -----
    quickfix tries again after a constant number of whole seconds: ``reconnect.first_s``, at least one.
    """

    def __init__(
        self, session: QuickfixSession, host: str, port: int, reconnect: Reconnect | None = None, *,
        policy: WorkerPolicy | None = None, hosts: Sequence[tuple[str, int]] = (),
    ) -> None:  # fmt: skip
        super().__init__([session], Role.INITIATOR, policy)
        self.session = session
        self.host, self.port = host, port
        self.reconnect = reconnect or Reconnect()
        self._addresses = ((host, port), *hosts)

    @property
    def attempts(self) -> int:
        """Connections tried so far."""
        return self.session.attempts

    @property
    def last_error(self) -> str:
        """Why the last attempt failed; empty while logged on."""
        return "" if self.session.logged_on else self.session.last_reason

    @property
    def address(self) -> tuple[str, int]:
        """The first address."""
        return self._addresses[0]

    def _hosts(self) -> Sequence[tuple[str, int]]:
        return self._addresses

    def _reconnect_s(self) -> float:
        return self.reconnect.first_s

    def start(self) -> None:
        """Begin; must be called inside the running loop."""
        self._begin()

    async def stop(self, text: str = "") -> None:
        """Log out if logged on, close, and stay closed."""
        await self._end(text)


class QuickfixAcceptor(_WorkerHost):
    """Server side of sessions on one port, in one worker."""

    def __init__(
        self, sessions: Iterable[QuickfixSession], host: str = "127.0.0.1", port: int = 0, *,
        policy: WorkerPolicy | None = None,
    ) -> None:  # fmt: skip
        super().__init__(list(sessions), Role.ACCEPTOR, policy)
        self.host, self.port = host, port

    @property
    def sessions(self) -> list[QuickfixSession]:
        """All sessions."""
        return list(self._sessions)

    def _hosts(self) -> Sequence[tuple[str, int]]:
        return [(self.host, self.port)]

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        if self.port == 0:
            with socket.socket() as probe:  # quickfix cannot choose one
                probe.bind((self.host, 0))
                self.port = probe.getsockname()[1]
        self._started = asyncio.get_running_loop().create_future()
        self._begin()
        await self._started

    def on_report(self, report: Report) -> None:
        """As the base; the first one also ends :meth:`start`."""
        super().on_report(report)
        if isinstance(report, Started) and not self._started.done():
            self._started.set_result(None)

    def on_death(self, reason: str, *, fault: bool) -> None:
        """As the base; before it listens this fails :meth:`start`."""
        super().on_death(reason, fault=fault)
        if not self._started.done():
            self._stopping = True
            self._started.set_exception(OSError(f"{self.host}:{self.port}: {reason}"))

    async def close(self, text: str = "") -> None:
        """Log every session out, close everything."""
        await self._end(text)
