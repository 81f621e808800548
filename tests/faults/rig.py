"""Daemon and venues as processes of their own, over real sockets, and conditions to wait for.

Each child is forked from one server process that has loaded all kernels, so that a restart costs
tenths of a second and twenty of them fit into a test. What a child does is exactly what ``axiom
run`` and ``axiom sim`` do from there on.
"""

import asyncio
import faulthandler
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from config.schema import (
    AxiomConfig,
    EngineConfig,
    FlowConfig,
    QuotingConfig,
    SessionConfig,
    SimulatorConfig,
    VenueClientConfig,
    VenueConfig,
)
from engine.audit import audit
from engine.cli.client import NotRunning, request
from engine.cli.demo.checks import count_venues, final_status
from engine.cli.exits import CliError
from engine.replay import verify
from fix.messages import parse
from fix.store import MessageStore
from market.clock import ClockWatch
from market.enums import ExecType, FrameKind
from simulator.tradelog import audit_trades, open_orders, participant_numbers, read_log
from tests.ports import free_ports

DEADLINE_S = 60.0  # of a condition: generous, because the first test may have to compile
MODE = os.environ.get("AXIOM_LOOP_MODE", "park")
COMPILE_S = 280.0
US = "AXIOM"
ROOT = Path(__file__).resolve().parents[2]
_ORDER_TYPES = ("D", "F", "G", "q", "AF")


def profile(
    directory: Path,
    *,
    on_restart: str = "cancel",
    cancel_on_disconnect: bool = False,
    market_data: str = "ring",
    engine: dict[str, Any] | None = None,
    **flow: Any,
) -> AxiomConfig:
    """A small, busy, generated market and the daemon's two sessions with it."""
    ports = free_ports(2)
    clients = (VenueClientConfig(comp_id=US, cancel_on_disconnect=cancel_on_disconnect),)
    names = (("OPT", "options", 0.25), ("EQ", "underlying", 0.001))
    venues = tuple(
        VenueConfig(
            name=name, kind="options" if role == "options" else "equity", comp_id=f"SIM{name}", port=port,
            clients=clients, fee_per_unit_usd=fee,
        )
        for (name, role, fee), port in zip(names, ports, strict=True)
    )  # fmt: skip
    sessions = tuple(
        SessionConfig(
            name=name, venue=name, role=role, port=port, sender_comp_id=US, target_comp_id=f"SIM{name}",
            heartbeat_interval_s=1, market_data=market_data, on_restart=on_restart,
            reconnect_min_ms=10, reconnect_max_ms=50,
        )
        for (name, role, _), port in zip(names, ports, strict=True)
    )  # fmt: skip
    settings = {"state_dir": str(directory / "run"), "runtime_dir": str(directory / "rings"), "loop_mode": MODE}
    settings |= {"max_instruments": 64, "max_orders": 512, "journal_segment_mib": 8, "journal_min_free_mib": 1}
    settings |= {"snapshot_interval_s": 1.0}  # so that some restarts begin in the middle of a run
    settings |= {"drain_timeout_s": 30.0}  # a busy machine answers the cancels late, and that is no fault
    values: dict[str, Any] = {"expiries": 2, "strikes": 5, "taker_rate_per_s": 80.0, "equity_taker_rate_per_s": 20.0}
    return AxiomConfig(
        engine=EngineConfig(**(settings | (engine or {}))),
        sessions=sessions,
        quoting=QuotingConfig(params={"lot": 5}, min_replace_interval_ms=10),
        simulator=SimulatorConfig(
            state_dir=str(directory / "sim"), seed=7, step_interval_ms=5, venues=venues,
            flow=FlowConfig(**(values | flow)),
        ),
    )  # fmt: skip


def with_engine(config: AxiomConfig, **changes: Any) -> AxiomConfig:
    """The same profile with other ``[engine]`` keys."""
    return msgspec.structs.replace(config, engine=msgspec.structs.replace(config.engine, **changes))


def with_sessions(config: AxiomConfig, **changes: Any) -> AxiomConfig:
    """The same profile with other keys in every session."""
    return msgspec.structs.replace(
        config, sessions=tuple(msgspec.structs.replace(session, **changes) for session in config.sessions)
    )


async def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait for a condition; what it returned. ``what`` says which one was not met."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        await asyncio.sleep(0.002)
    return value


#: Phases of a start, in order.
_START = ("compiling", "replaying", "connecting", "reconciling", "running")


class ClockFromFile(ClockWatch):
    """A wall clock that jumps by what a test writes into a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def check(self, wall_ns: int | None = None, monotonic_ns: int | None = None) -> int:
        """The jump that was written since the last look, if it is beyond the tolerance."""
        wall, mono = time.time_ns(), time.monotonic_ns()
        if self._path.exists():
            wall += int(self._path.read_text())
        return super().check(wall, mono)


def _run_daemon(config: AxiomConfig, log: str, clock: str) -> None:
    _log_to(log)
    from engine.daemon import run_daemon

    raise SystemExit(run_daemon(config, ClockFromFile(Path(clock)) if clock else None))


def _run_simulator(config: AxiomConfig, log: str, names: list[str] | None) -> None:
    _log_to(log)
    from simulator.process import run_simulator

    raise SystemExit(run_simulator(config, names))


def _log_to(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    faulthandler.register(signal.SIGUSR1, fd, all_threads=True)
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - for the life of the process


def _context() -> Any:
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.preload"])
    return context


class Child:
    """A process that is started, killed and started again."""

    all_of_them: ClassVar[list["Child"]] = []

    def __init__(self, target: Callable[..., None], log: Path, *args: Any) -> None:
        Child.all_of_them.append(self)
        self.log = log
        self.starts = 0
        self._said_before = 0  # bytes of the log, at the last start
        self.process: Any = None
        self._target, self._args = target, args

    def start(self) -> None:
        """Fork it."""
        assert self.process is None or not self.process.is_alive()
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        self.process = _context().Process(target=self._target, args=self._args)
        self.process.start()
        self.starts += 1

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.is_alive()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    async def ended(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end; the exit code (negative: the signal)."""
        await until(lambda: not self.alive, f"the end of process {self.process.pid}\n{self.tail()}", deadline_s)
        self.process.join()
        return int(self.process.exitcode)

    async def kill(self) -> None:
        """End it by SIGKILL."""
        if self.alive:
            self.signal(signal.SIGKILL)
            assert await self.ended() == -signal.SIGKILL

    def destroy(self) -> None:
        """After the test, however it ended."""
        if self.alive:
            self.process.kill()
            self.process.join()

    def said(self) -> str:
        """Its whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def says(self, text: str) -> str:
        """The first line of its log since the last start that contains ``text``; empty where there is none."""
        said = self.log.read_bytes()[self._said_before :] if self.log.exists() else b""
        return next((line for line in said.decode(errors="replace").splitlines() if text in line), "")

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.said().splitlines()[-25:])


class Daemon(Child):
    """``axiom run``."""

    def __init__(self, config: AxiomConfig, clock: Path | None = None) -> None:
        self.config = config
        log = config.state_dir.with_name("daemon.log")
        super().__init__(_run_daemon, log, config, str(log), str(clock or ""))

    def use(self, config: AxiomConfig) -> None:
        """Another configuration from the next start on."""
        self.config = config
        self._args = (config, *self._args[1:])

    def ask(self, verb: str, **args: Any) -> dict[str, Any]:
        """One control request; NotRunning and CliError as the CLI has them."""
        return request(self.config.control_socket, verb, args, timeout_s=DEADLINE_S)

    def status(self, *, orders: bool = False, rows: int = 0) -> dict[str, Any]:
        """The status document; empty while nobody answers."""
        try:
            return self.ask("status", rows=rows, orders=orders)
        except (NotRunning, CliError):
            return {}

    async def reaches(self, phase: str, deadline_s: float = COMPILE_S) -> dict[str, Any]:
        """Wait for a phase; its first status. A phase of the start counts as reached once it is over: some last
        less than a millisecond.
        """
        enough = _START[_START.index(phase) :] if phase in _START else (phase,)

        def there() -> dict[str, Any] | None:
            assert self.alive, f"the daemon ended with {self.process.exitcode}\n{self.tail()}"
            status = self.status()
            return status if status.get("phase") in enough else None

        try:
            return await until(there, f"phase {phase}", deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.status()}\n{self.tail()}") from None

    async def shows(self, condition: Callable[[dict[str, Any]], Any], what: str) -> Any:
        """Wait for a condition on the status document (with orders); what it gives at a second look.

        A document is read while a spinning step goes on writing: one part of it may be of before a frame, and
        another of after it. What the step was doing at the first look is done at the second.
        """

        def look() -> Any:
            assert self.alive, f"the daemon ended with {self.process.exitcode}\n{self.tail()}"
            status = self.status(orders=True)
            return condition(status) if "chain" in status else None

        def there() -> Any:
            return look() and look()

        try:
            return await until(there, what)
        except AssertionError as error:
            if not self.alive:
                raise
            self.signal(signal.SIGUSR1)  # where it stands, all threads, into its log
            status = self.status(orders=True)
            shown = {key: status.get(key) for key in ("phase", "phase_text", "armed", "risk_state", "alerts", "orders")}
            raise AssertionError(f"{error}; it shows {shown}\n{self.tail()}") from None

    async def alert(self, text: str) -> str:
        """Wait for an alert that contains ``text``. In the log: the status document has only the last twenty."""

        def said() -> str:
            assert self.alive, f"the daemon ended with {self.process.exitcode}\n{self.tail()}"
            return self.says(text)

        try:
            return await until(said, f"an alert with {text!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None


class Simulator(Child):
    """``axiom sim``."""

    def __init__(self, config: AxiomConfig, names: list[str] | None = None) -> None:
        self.config = config
        log = config.simulator_dir.with_name("simulator.log")
        super().__init__(_run_simulator, log, config, str(log), names)
        self.ready = config.simulator_dir / "ready.json"

    async def open(self) -> None:
        """Start it and wait until its venues listen."""
        self.ready.unlink(missing_ok=True)  # left behind by one that was killed
        self.start()

        def there() -> bool:
            assert self.alive, f"the simulator ended with {self.process.exitcode}\n{self.tail()}"
            return self.ready.exists()

        await until(there, "ready.json of the simulator", COMPILE_S)


class Venues:
    """What the venues' own trade logs say of us."""

    def __init__(self, config: AxiomConfig) -> None:
        self.config = config

    def path(self, name: str) -> Path:
        """A venue's trade log."""
        return self.config.simulator_dir / name / "trades.log"

    def size(self) -> int:
        """Frames in both logs; cheap."""
        return sum(self.path(venue.name).stat().st_size // 128 for venue in self.config.simulator.venues)

    def open(self) -> set[str]:
        """ClOrdIDs of our open orders."""
        return count_venues(self.config).open_orders

    def ours(self, name: str) -> Any:
        """Our EXECUTION rows at one venue, file order."""
        executions = read_log(self.path(name)).executions
        return executions[executions["session"] == participant_numbers(self.path(name))[US]]

    def agree(self, status: dict[str, Any]) -> bool:
        """Whether positions, cash, fills and open orders are the same on both sides, to the cent."""
        if not status:
            return False
        theirs = count_venues(self.config)
        ours = {row["symbol"]: row["qty"] for row in status["positions"]}
        return (
            ours == {symbol: qty for symbol, qty in theirs.positions.items() if qty}
            and status["pnl"]["cash_e4"] == theirs.cash_e4
            and status["fills"]["count"] == theirs.fills
            and {row["cl_ord_id"] for row in status["open_orders"]} == theirs.open_orders
        )


def assert_sent_once(config: AxiomConfig, venues: Venues) -> int:
    """No request left twice under any number, none was accepted twice; how many there were.

    Read from the daemon's own message stores (what was on the wire) and the venues' logs.
    """
    total = 0
    for session in config.sessions:
        store = MessageStore(config.state_dir / "fix" / session.name)
        seen: dict[str, int] = {}
        numbers = []
        for seq, raw in store.read(1, store.next_out - 1):
            message = parse(raw)
            numbers.append(seq)
            assert message.seq == seq
            if message.msg_type in _ORDER_TYPES:
                own_id = message.text(584) if message.msg_type == "AF" else message.text(11)
                assert own_id not in seen, f"{own_id} is in messages {seen[own_id]} and {seq} of {session.name}"
                seen[own_id] = seq
        assert numbers == sorted(set(numbers))
        store.close()
        total += len(seen)
        ours = venues.ours(session.venue)
        new = ours[(ours["kind"] == FrameKind.EXECUTION) & (ours["exec_type"] == ExecType.NEW)]
        _, counts = np.unique(new["cl_ord_id"], return_counts=True)
        assert not (counts > 1).any(), f"{session.venue} accepted a ClOrdID twice"
    return total


def assert_runs_replay(config: AxiomConfig) -> int:
    """Every run's journal gives the same outputs again, and exceeds no limit; how many runs there were."""
    runs = sorted(path for path in (config.state_dir / "runs").iterdir() if (path / "start.npz").exists())
    verified = 0
    for run in runs:
        if not list(run.glob("journal-*.bin")):
            continue  # killed before its first frame
        result = verify(run)
        assert result.ok, f"{run.name}: {result.mismatch}"
        audited = audit(run)
        assert audited.ok, f"{run.name}: {audited.violations}"
        verified += 1
    return verified


def assert_settled(config: AxiomConfig) -> dict[str, Any]:
    """After an orderly end: the final report equals the venues' logs; returns it."""
    final = final_status(config)
    venues = Venues(config)
    assert venues.agree(final), (final["pnl"], final["fills"], final["open_orders"], count_venues(config))
    for venue in config.simulator.venues:
        contents = read_log(venues.path(venue.name))
        assert audit_trades(contents) == []
        assert open_orders(contents, participant_numbers(venues.path(venue.name))[US]) == {}
    return final
