"""The simulator process: one market, one or more of its venues, until a signal ends it.

``run_simulator`` is what ``axiom sim`` calls. Warm speed throughout (uvloop, one thread): per step of a
few milliseconds the order flow moves, its commands go through the venues' books, quiet books are
repeated and subscribers are served; orders of FIX clients are handled as they arrive in between.

When every venue listens, ``ready.json`` in the state directory says where, and one log line too. A
second process that hosts other venues of the same market adds its own to that file.
"""

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
import uvloop

from config.schema import AxiomConfig
from fix.errors import FixError
from fix.store import GroupSync
from market import records
from market.calendar import instant_ns
from market.enums import SecurityKind
from market.errors import MarketError
from simulator.control import ControlServer, Verbs, socket_path
from simulator.errors import FlowError, SimulatorError, VenueSettingsError
from simulator.flow import Flow, open_flow, settings_from_config
from simulator.venue.core import FrameBuffer
from simulator.venue.marketclock import ClockFile, MarketClock
from simulator.venue.settings import VenueSettings, venue_settings
from simulator.venue.venue import Venue

log = structlog.get_logger()

EXIT_OK, EXIT_ERROR, EXIT_NOT_FOUND, EXIT_CONFIG = 0, 1, 2, 4

_SYNC_INTERVAL_NS = 250_000_000  # group fdatasync of the logs, off the loop
_ALIVE_INTERVAL_NS = 1_000_000_000


def run_simulator(config: AxiomConfig, venue_names: Sequence[str] | None = None) -> int:
    """Run the venues of ``config.simulator`` (or those named) until SIGTERM or SIGINT.

    Returns
    -------
    int
        0 after a clean end, 1 when a venue failed or could not start, 2 for an unknown venue name,
        4 when configuration or market file cannot be used. Errors are printed to stderr in one line.
    """
    _log_to_stderr()
    try:
        settings = _chosen(config, venue_names)
        simulator = config.simulator
        flow = open_flow(
            simulator.market, seed=simulator.seed, speed=simulator.speed, settings=settings_from_config(simulator.flow)
        )
    except (FlowError, VenueSettingsError) as error:
        _complain(error)
        return EXIT_NOT_FOUND if isinstance(error, UnknownVenueError) else EXIT_CONFIG
    process = SimulatorProcess(config, settings, flow, socket_path(config.runtime_dir, venue_names or None))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(process.run())
    except (SimulatorError, FixError, MarketError, OSError) as error:
        _complain(error)
        return EXIT_ERROR


def _log_to_stderr() -> None:
    """Structured log lines to stderr, unless the caller has set up logging already."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
            ],
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
            cache_logger_on_first_use=False,
        )


def _complain(error: BaseException) -> None:
    taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    mend = "; end the program that has it, or choose another port in [[simulator.venues]]" if taken else ""
    sys.stderr.write(f"axiom sim: {error}{mend}\n")


class UnknownVenueError(VenueSettingsError):
    """A venue was asked for by a name that the configuration does not have."""


def _chosen(config: AxiomConfig, venue_names: Sequence[str] | None) -> list[VenueSettings]:
    known = {venue.name: venue for venue in config.simulator.venues}
    wanted = list(known) if venue_names is None else list(venue_names)
    for name in wanted:
        if name not in known:
            there = ", ".join(known) or "none"
            raise UnknownVenueError(f"venue {name!r} is not in [[simulator.venues]]; there are: {there}")
    if not wanted:
        raise VenueSettingsError("no venue to run: add a [[simulator.venues]] entry")
    return [venue_settings(config, known[name]) for name in wanted]


class SimulatorProcess:
    """The market's clock, its order flow and the hosted venues; ``run`` inside an event loop."""

    def __init__(
        self, config: AxiomConfig, settings: list[VenueSettings], flow: Flow, control: Path | None = None
    ) -> None:
        self.config = config
        self.flow = flow
        self.venues: list[Venue] = []
        #: Forces the message stores of all venues to the disk, fifty milliseconds apart, in a thread of its own.
        self.store_sync: GroupSync | None = None
        self._settings = settings
        self.control = ControlServer(control or socket_path(config.runtime_dir, None), Verbs(self.venues).table)
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._ready = ReadyFile(config.simulator_dir / "ready.json")
        self._clock_file = ClockFile(config.simulator_dir / "clock.json")
        self._tops = FrameBuffer(records.QUOTE, flow.master.count)
        self._orders = FrameBuffer(records.ORDER, flow.max_commands)
        self.steps = 0

    async def run(self) -> int:
        """Start, step until told to stop, close; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
        clock = self._open_market()
        try:
            await self._start(clock)
            await self._step_until_stopped(clock)
        finally:
            await self._close()
        return EXIT_ERROR if self._failure is not None else EXIT_OK

    def stop(self, why: str) -> None:
        """Ask for a clean end; asking twice changes nothing."""
        if not self._stopping.is_set():
            log.info("simulator is stopping", reason=why)
        self._stopping.set()

    def _open_market(self) -> MarketClock:
        simulator = self.config.simulator
        start_ns = instant_ns(self.flow.day, clock_time.fromisoformat(simulator.start_time))
        line = self._clock_file.open_line(
            start_ns=start_ns, end_ns=self.flow.end_ns, speed=simulator.speed, market=self.flow.sha,
            now_ns=time.time_ns(),
        )  # fmt: skip
        self.flow.begin(line.start_ns)
        return MarketClock(line)

    async def _start(self, clock: MarketClock) -> None:
        self.config.runtime_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        hosted: list[int] = []
        for source, settings in enumerate(self._settings):
            numbers = _listed_by(settings, self.flow)
            hosted.extend(int(number) for number in numbers)
            self.venues.append(self._make_venue(settings, numbers, clock, source))
        self.flow.list_only(hosted)
        self._step(clock)  # books are full, and kernels compiled, before the first client is let in
        self._start_store_sync()
        for venue in self.venues:
            await venue.start()
        await self.control.start()
        gc.collect()
        gc.freeze()
        self._ready.add({venue.settings.name: _whereabouts(venue) for venue in self.venues}, self.flow.master.count)
        log.info(
            "simulator is ready", market=self.flow.description, speed=self.config.simulator.speed,
            venues={venue.settings.name: venue.port for venue in self.venues}, state_dir=str(self.config.simulator_dir),
        )  # fmt: skip

    def _start_store_sync(self) -> None:
        loop = asyncio.get_running_loop()

        def refused(_store: object, error: Exception) -> None:  # on the sync thread
            with contextlib.suppress(RuntimeError):  # the last round, after the loop: nobody is left to tell
                loop.call_soon_threadsafe(self._fail, error)

        self.store_sync = GroupSync(on_failure=refused)
        for venue in self.venues:
            for store in (*[client.store for client in venue.clients], *[copy.store for copy in venue.copies]):
                self.store_sync.add(store)
        self.store_sync.start()

    def _make_venue(self, settings: VenueSettings, numbers: Any, clock: MarketClock, source: int) -> Venue:
        master = self.flow.master
        instruments = np.array(master.rows[numbers])
        instruments["venue_index"] = np.arange(len(numbers))
        underlyings = [master.symbol(int(row["underlying"])) for row in instruments]
        return Venue(
            settings, instruments, numbers, underlyings, self._tops, clock, source=source,
            on_internal=self.flow.on_executions, on_fatal=self._fail,
        )  # fmt: skip

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self.stop(f"failed: {error}")

    async def _step_until_stopped(self, clock: MarketClock) -> None:
        loop = asyncio.get_running_loop()
        interval_s = self.config.simulator.step_interval_ms / 1000
        due_s = loop.time()
        synced_ns = touched_ns = time.monotonic_ns()
        syncing: asyncio.Future[None] | None = None
        while not self._stopping.is_set():
            self._step(clock)
            now_ns = time.monotonic_ns()
            if now_ns - synced_ns >= _SYNC_INTERVAL_NS and (syncing is None or syncing.done()):
                synced_ns = now_ns
                if syncing is not None:
                    syncing.result()
                syncing = loop.run_in_executor(None, self._sync)
            if now_ns - touched_ns >= _ALIVE_INTERVAL_NS:
                touched_ns = now_ns
                self._clock_file.touch()
            due_s = max(due_s + interval_s, loop.time())  # a late step is not made up for: time moves on anyway
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), due_s - loop.time())
        if syncing is not None:
            await syncing

    def _step(self, clock: MarketClock) -> None:
        market_ns = clock.now_ns()
        count = self.flow.step(market_ns, self._tops.rows, self._orders.rows)
        if count:
            for venue in self.venues:
                venue.apply_flow(self._orders, count)
        wall_ns = time.time_ns()
        for venue in self.venues:
            venue.step(market_ns, wall_ns)
        self.steps += 1

    def _sync(self) -> None:
        for venue in self.venues:
            venue.log.sync()

    async def _close(self) -> None:
        self._ready.remove([settings.name for settings in self._settings])
        await self.control.stop()
        if self.store_sync is not None:
            self.store_sync.stop()  # before the stores close: each forces what its venue's end still writes
        for venue in self.venues:
            await venue.close()
        with contextlib.suppress(OSError):  # the rings are gone; somebody else may keep something there
            self.config.runtime_dir.rmdir()
        if self._failure is None:
            self._clock_file.forget()
            log.info("simulator has stopped", steps=self.steps)
        else:
            _complain(self._failure)


def _listed_by(settings: VenueSettings, flow: Flow) -> Any:
    """Numbers (int64) of the instruments that a venue lists."""
    wanted = SecurityKind.OPTION if settings.lists_options else SecurityKind.EQUITY
    numbers = np.flatnonzero(flow.master.rows[: flow.master.count]["security"] == wanted).astype(np.int64)
    if not len(numbers):
        raise VenueSettingsError(f"venue {settings.name}: this market has no {wanted.name.lower()} to list")
    return numbers


def _whereabouts(venue: Venue) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": venue.settings.host,
        "port": venue.port,
        "ring": str(venue.settings.ring_path),
        "trade_log": str(venue.log.path),
        "comp_id": venue.settings.comp_id,
        "instruments": venue.core.books,
    }


class ReadyFile:
    """``ready.json``: {"pid", "venues": {NAME: {"pid", "port", "ring", ...}}, "instruments"}; written atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, venues: dict[str, dict[str, Any]], instruments: int) -> None:
        """Announce ``venues``; those of other processes that are alive stay."""
        with self._locked():
            merged = {**self._others(set(venues)), **venues}
            self._write({"pid": os.getpid(), "venues": merged, "instruments": instruments})

    def remove(self, names: Sequence[str]) -> None:
        """Take ``names`` off; the file goes with the last venue."""
        if not self.path.exists():
            return
        with self._locked():
            others = self._others(set(names))
            if others:
                pid = next(iter(others.values()))["pid"]
                self._write({"pid": pid, "venues": others, "instruments": self._read().get("instruments", 0)})
            else:
                self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, Any])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _others(self, mine: set[str]) -> dict[str, dict[str, Any]]:
        venues = self._read().get("venues", {})
        return {name: venue for name, venue in venues.items() if name not in mine and _alive(int(venue.get("pid", 0)))}

    def _write(self, document: dict[str, Any]) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2))
        temporary.rename(self.path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _alive(pid: int) -> bool:
    if pid <= 0 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
