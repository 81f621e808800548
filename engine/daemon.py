"""The daemon: one process, one event loop, from the first lock to the final report.

Start: own the state directory, open the control socket, compile or load kernels, replay the last
run, open the next, log on, read the security lists, reconcile every session, arm. Stop: no more
quotes, mass cancel, wait for the answers, log out, seal the journal, write the final report.
"""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import structlog
import uvloop

from config.schema import AxiomConfig
from config.sessions import SessionConfig
from engine import snapshot
from engine.alerts import Alerts
from engine.control import Audit, ControlServer
from engine.copygateway import CopyGateway
from engine.directory import InstrumentDirectory
from engine.errors import ControlError, EngineError, SessionConfigError
from engine.events import EventCode
from engine.feeds import RingFeed, open_feed
from engine.gateway import Gateway
from engine.greeks import GreeksThread
from engine.journal import Journal
from engine.latency import FILE_NAME as LATENCY_FILE
from engine.latency import Latencies
from engine.logs import configure_logging
from engine.loop import DRAIN_FRAMES, StepLoop, new_frame, partition
from engine.metrics import MetricsServer
from engine.securities import Listing, Page
from engine.sessions import AnyStore, open_store
from engine.startup import StateLock, open_run, tightened_limits
from engine.state import W_OPEN, Engine
from engine.status import StatusBuilder
from engine.telemetry import Telemetry, open_telemetry
from engine.turn import F_UNDERLYING
from engine.upkeep import Upkeep
from engine.verbs import CHANGING, Verbs
from engine.warmup import EXPECTED_COMPILATIONS, warm_kernels_aside
from fix.codec import SymbolTable
from fix.errors import FixError
from fix.store import GroupSync, MessageStore
from market.clock import ClockWatch
from market.enums import ControlVerb, FrameKind, ScopeKind, SecurityKind, SessionState
from market.errors import MarketError
from market.records import CONTROL, EVENT, EXECUTION, ORDER, RUN_START, as_layout
from market.rings import FRAME_WORDS
from risk.errors import RiskError
from strategies.errors import StrategyError

EXIT_OK, EXIT_ERROR, EXIT_CONFIG, EXIT_TIMEOUT = 0, 1, 4, 5


class Daemon:
    """Everything that lives as long as the process does.

    ``clock_watch`` is what notices that somebody has set the wall clock; tests pass one of their own.
    """

    def __init__(self, config: AxiomConfig, clock_watch: ClockWatch | None = None) -> None:
        self.config = config
        self.started_ns = time.time_ns()
        self.run_number = 0
        self.phase, self.phase_text = "starting", "starting"
        self.phase_progress: float | None = None
        self.engine: Engine | None = None
        self.loop: StepLoop | None = None
        self.journal: Journal | None = None
        self.directory: InstrumentDirectory | None = None
        self.greeks: GreeksThread | None = None
        self.gateways: list[Gateway] = []  # sessions that trade; numbers of drop copies are left out
        self.drop_copies: list[CopyGateway] = []
        self.store_sync: GroupSync | None = None
        self.telemetry: Telemetry | None = None
        self.metrics: MetricsServer | None = None
        self.latencies = Latencies(config.engine.max_orders, config.runtime_dir / LATENCY_FILE)
        self.alerts = Alerts(self.scope_name)
        self.first_seq = 0
        self.feeds: list[RingFeed] = []
        self.armed_once = False
        self.upkeep = Upkeep(self, clock_watch or ClockWatch(config.engine.max_clock_jump_ms * 1_000_000))
        self.exit_code = EXIT_OK
        self._verbs = Verbs(self)
        self._status = StatusBuilder(self)
        self._pages: dict[int, list[Listing]] = {}
        self._listed: dict[int, list[Listing]] = {}
        self._stop = asyncio.Event()
        self._stop_reason = ""
        self._immediate = False
        self.abandoned_compiler = False  # stopped while compiling: a thread is busy that nothing can stop
        self._hold = ""  # why a person must arm, whatever the configuration says
        self._log = structlog.get_logger()
        self._counts = np.zeros(len(config.sessions) + 1, np.int64)
        self._sorted = np.zeros((DRAIN_FRAMES, FRAME_WORDS), np.int64)
        self._sorted_orders: Any = as_layout(self._sorted.view(np.uint8), ORDER)
        self._sorted_events: Any = as_layout(self._sorted.view(np.uint8), EVENT)

    # -- names and small questions ---------------------------------------------------------------

    def scope_name(self, scope: int, target: int) -> str:
        """Name of what an event is about."""
        if scope == ScopeKind.SESSION:
            sessions = self.config.sessions
            return sessions[target].name if target < len(sessions) else f"session {target}"
        if scope == ScopeKind.FIRM or self.engine is None:
            return "firm"
        if target >= len(self.engine.instruments):
            return f"instrument {target}"
        return bytes(self.engine.instruments[target]["symbol"]).decode("ascii")

    @property
    def sessions(self) -> list[Gateway | CopyGateway]:
        """Every session: those that trade first."""
        return [*self.gateways, *self.drop_copies]

    def require_engine(self) -> Engine:
        """The state, or a ControlError while there is none."""
        if self.engine is None or self.loop is None:
            raise ControlError(f"the daemon is {self.phase}: try again when it is running")
        return self.engine

    def open_orders(self) -> int:
        """Orders that may still trade."""
        return int(self.engine.words[W_OPEN]) if self.engine is not None else 0

    def status(self, rows: int, orders: bool = False, final: bool = False) -> dict[str, Any]:
        """The status document."""
        return self._status.build(rows, orders, final)

    @property
    def stopping(self) -> bool:
        """Whether a stop has been asked for."""
        return self._stop.is_set()

    def quoted_mask(self, engine: Engine, side: str) -> Any:
        """bool[count]: series whose quote on ``side`` (bid_slot or ask_slot) stands in the market."""
        return self._status.quoted_mask(engine, side)

    def _set_phase(self, phase: str, text: str, progress: float | None = None) -> None:
        self.phase, self.phase_text, self.phase_progress = phase, text, progress
        self._log.info("phase", phase=phase, text=text)

    def on_alert(self, severity: str, text: str) -> None:
        """Say something to people."""
        self.alerts.say(severity, text)

    def on_fatal(self, reason: str) -> None:
        """Stop trading first, then say why, then stop in order."""
        self.exit_code = EXIT_ERROR
        self.alerts.say("error", reason)
        self.request_stop(reason)

    def halt(self, scope: ScopeKind, target: int, reason: str) -> None:
        """Stop trading in a scope until a person resumes it; a firm that is not armed yet is not armed by itself."""
        assert self.loop is not None
        self.alerts.say("error", reason)
        self.alerts.state_reasons[(int(scope), target)] = reason
        if scope == ScopeKind.FIRM and not self.armed_once:
            self._hold = reason
        frame = new_frame(CONTROL)
        frame["kind"], frame["verb"], frame["actor_uid"] = FrameKind.CONTROL, ControlVerb.HALT, os.getuid()
        frame["scope"], frame["target"] = scope, target
        self.loop.post_frame(frame)

    def request_stop(self, reason: str, immediate: bool = False) -> None:
        """Begin to stop; a second request stops at once, leaving the rest to cancel-on-disconnect."""
        if self._stop.is_set():
            self._immediate = True
            return
        self._stop_reason, self._immediate = reason, immediate
        self._stop.set()

    # -- what the step puts out ------------------------------------------------------------------

    def _on_outputs(self, cells: npt.NDArray[np.int64], count: int) -> None:
        """Orders to their sessions (one batch each), events to people."""
        partition(cells, count, self._sorted, self._counts)
        at = 0
        for gateway in self.gateways:
            held = int(self._counts[gateway.index])
            if held:
                gateway.send(self._sorted_orders[at : at + held], held)
            at += held
        rest = int(self._counts[-1])
        events = self._sorted_events[at : at + rest]
        kinds = events["kind"]
        if not (kinds == int(FrameKind.EVENT)).all():
            self._inform(self._sorted[at : at + rest], kinds)
            events = events[kinds == int(FrameKind.EVENT)]
        for event in events:
            self._on_event(event)
        if self.telemetry is not None:
            self.telemetry.send(cells, count)

    def _inform(self, cells: npt.NDArray[np.int64], kinds: npt.NDArray[np.uint16]) -> None:
        """Reports that hot sessions took past asyncio, for who wants to know."""
        reports = np.isin(kinds, (int(FrameKind.EXECUTION), int(FrameKind.CANCEL_REJECT)))
        rows = np.ascontiguousarray(cells[reports]).view(np.uint8)
        sessions = as_layout(rows, EXECUTION)["session"]
        for gateway in self.gateways:
            mine = rows[sessions == gateway.index]
            if len(mine):
                gateway.hot_frames(mine, len(mine))

    def _on_event(self, event: Any) -> None:
        code = int(event["code"])
        if code in (EventCode.CONTROL_DONE, EventCode.REFUSED_CONTROL):
            self._verbs.answered(int(event["ref"]), code == EventCode.CONTROL_DONE)
            return
        self.alerts.take(event)
        if code == EventCode.RECONCILED:
            asyncio.get_running_loop().call_soon(self._maybe_arm)

    # -- sessions and instruments ----------------------------------------------------------------

    def on_link(self, gateway: Gateway, up: bool, reason: str) -> None:
        """A session logged on or was lost."""
        self.alerts.say(
            "info" if up else "warning", f"{gateway.config.name}: {'logged on' if up else 'down'} {reason}".rstrip()
        )
        if not up:
            self._pages.pop(gateway.index, None)
            if self.phase == "running" and not self._stop.is_set():
                self._set_phase("reconciling", f"waiting for {gateway.config.name}")

    def on_list_asked(self, gateway: Gateway) -> None:
        """A security list was asked for, perhaps again."""
        self._pages.pop(gateway.index, None)

    def on_listings(self, gateway: Gateway, page: Page) -> None:
        """One page of a security list; at the last one its instruments are defined, underlyings before options."""
        pages = self._pages.setdefault(gateway.index, [])
        pages += page.listings
        if not page.last:
            return
        self._listed[gateway.index] = self._pages.pop(gateway.index)
        gateway.listed = True
        for one in sorted(self.gateways, key=lambda g: g.config.role != "underlying"):
            if one.listed and self._can_define(one):
                one.listed = False
                self._define(one)
                one.tell_step(SessionState.LOGGED_ON)
        missing = [g.config.name for g in self.gateways if g.index not in self._listed]
        if missing:
            self._set_phase("connecting", f"waiting for the security lists of {', '.join(missing)}")
        elif self.phase != "running":
            self._set_phase("reconciling", "asking the venues for our open orders")

    def _can_define(self, gateway: Gateway) -> bool:
        """Options wait for their underlying's venue, unless an earlier run knew it: our orders there do not wait."""
        assert self.directory is not None
        if all(g.index in self._listed for g in self.gateways):
            return True
        numbers = self.directory.numbers
        return all(
            item.security == SecurityKind.EQUITY or item.underlying in numbers for item in self._listed[gateway.index]
        )

    def _define(self, gateway: Gateway) -> None:
        """Define what is new in one session's list, attach its market data, start the Greeks."""
        assert self.directory is not None and self.loop is not None and self.engine is not None
        problems: list[str] = []
        before = self.directory.count
        frames = self.directory.define(gateway.index, self._listed[gateway.index], problems)
        for text in problems[:5]:
            self.alerts.say("error", text)
        if len(problems) > 5:
            self.alerts.say("error", f"{len(problems) - 5} more instruments of {gateway.config.name} cannot be traded")
        if len(frames):
            self.loop.post(np.asarray(frames).view(np.int64).reshape(-1, FRAME_WORDS), len(frames))
        feed = next((one for one in self.feeds if one.place == gateway.index), None)
        if feed is not None:
            feed.ensure()
        if gateway.config.market_data == "fix":
            known = self.directory.numbers
            gateway.subscribe([item.symbol for item in self._listed[gateway.index] if item.symbol in known])
        gateway.ask_status()
        if self.directory.count != before or self.greeks is None:
            self._start_greeks()
        for copy in self.drop_copies:
            if gateway in copy.covered:
                copy.start()

    def _start_greeks(self) -> None:
        """(Re)build the pricer for the first underlying that has options."""
        assert self.engine is not None and self.loop is not None and self.directory is not None
        count = self.directory.count
        rows = np.asarray(self.engine.instruments)[:count]
        options = rows["security"] == int(SecurityKind.OPTION)
        if not options.any():
            return
        chains = np.unique(rows["underlying"][options])
        number = int(chains[0])
        for other in chains[1:]:
            self.alerts.say(
                "error",
                f"options on {self.scope_name(ScopeKind.UNDERLYING, int(other))} are not priced: one chain a daemon",
            )
        if self.greeks is not None:
            self.greeks.stop()
        self.loop.feeds.words[F_UNDERLYING] = number
        row = int(self.engine.underlying_of[number])
        self.greeks = GreeksThread(
            self.engine,
            self.loop.theo,
            count,
            row,
            self.config.theo,
            self.loop.wake,
            self.config.engine.pin_greeks_core,
        )
        self.greeks.start()

    def _maybe_arm(self) -> None:
        """Once every session has reconciled: arm, if the configuration says so and nobody was killed."""
        assert self.engine is not None and self.loop is not None
        ready = [int(self.engine.links[g.index]["state"]) == SessionState.READY for g in self.gateways]
        if not all(ready) or self._stop.is_set():
            return
        self._set_phase("running", "all sessions reconciled")
        if self.armed_once or not self.config.engine.auto_arm:
            return
        if self._hold:
            self.alerts.say("error", f"not armed: {self._hold}")
            return
        self.armed_once = True
        frame = new_frame(CONTROL)
        frame["kind"], frame["verb"], frame["actor_uid"] = FrameKind.CONTROL, ControlVerb.ARM, os.getuid()
        self.loop.post_frame(frame)

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, trade, stop; returns the exit code."""
        config = self.config
        lock = StateLock(config.state_dir)
        audit = Audit(config.state_dir / "audit.log")
        control = ControlServer(config.control_socket, self._verbs.table(), CHANGING, audit)
        tasks: list[asyncio.Task[None]] = []
        try:
            await control.start()
            self._install_signals()
            if await self._start():
                tasks = [asyncio.create_task(self._guard(job)) for job in (self.upkeep.tick, self.upkeep.keep)]
                await self._stop.wait()
                await self._shut_down()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.upkeep.settle()
            await self._close()
            await control.stop()
            audit.close()
            lock.release()
        return self.exit_code

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop, signal.Signals(number).name)

    async def _guard(self, job: Callable[[], Any]) -> None:
        """A task's outermost frame: its failure stops trading."""
        try:
            await job()
        except asyncio.CancelledError:
            raise
        except Exception as e:  # noqa: BLE001 - as said above
            name = getattr(job, "__name__", str(job))
            if isinstance(e, OSError) and e.errno == errno.ENOSPC:  # no fault of the code: nobody needs its traceback
                self.on_fatal(f"{name} failed: {e}: free disk space and start again")
                return
            self._log.exception("task failed", job=name)
            self.on_fatal(f"{name} failed: {e!r}")

    async def _start(self) -> bool:
        """Everything before the first logon; False when stopped meanwhile."""
        settings = self.config.engine
        if settings.metrics_port:
            self.metrics = MetricsServer(
                settings.metrics_host, settings.metrics_port, lambda: self.status(0), self.latencies
            )
            self._log.info("metrics", url=f"http://{settings.metrics_host}:{self.metrics.port}/metrics")
        await self._compile()
        if self._stop.is_set():
            return False
        self._set_phase("replaying", "restoring the last run")
        run = await asyncio.to_thread(open_run, self.config)
        self.run_number, self.engine, self.journal = run.number, run.engine, run.journal
        self.first_seq = run.journal.next_seq
        for text in tightened_limits(run.engine):
            self.alerts.say("warning", text)
        self.loop = StepLoop(
            run.engine,
            run.journal,
            self.config.engine.loop_mode,
            self.latencies,
            self._on_outputs,
            self.config.engine.pin_step_core,
        )
        symbols = SymbolTable(self.config.engine.max_instruments)
        self.directory = InstrumentDirectory(run.engine, symbols, self.loop.feeds.numbers)
        frame = new_frame(RUN_START)
        frame["kind"], frame["run"], frame["config_digest"] = FrameKind.RUN_START, run.number, self.config.digest()
        self.loop.post_frame(frame)
        self._start_store_sync()
        for index, session in enumerate(self.config.sessions):
            if session.role == "drop_copy":
                continue
            store = self._open_store(session)
            self.gateways.append(Gateway(index, session, store, symbols, self.loop, self.latencies, self))
            feed = open_feed(self.config, index, session, self.loop, self.alerts.say)
            if feed is not None:
                self.feeds.append(feed)
        self._open_drop_copies(symbols)
        self._open_lanes()
        gc.collect()
        gc.freeze()
        self.loop.start(asyncio.get_running_loop())
        self._set_phase("connecting", "logging on")
        for gateway in self.gateways:
            gateway.tell_step(SessionState.DOWN)
            gateway.initiator.start()
        return True

    def _open_lanes(self) -> None:
        """Say how the step is driven and why, and which sessions it may drive itself."""
        assert self.loop is not None
        self._log.info("loop", mode=self.loop.mode, why=self.loop.mode_reason)
        self.telemetry = open_telemetry(self.config)
        if self.telemetry is not None:
            self.loop.hot.tell()
        if self.loop.mode == "park" or not self.config.engine.hot_sessions:
            return
        for gateway in self.gateways:
            gateway.allow_hot()
            if not gateway.hot:
                self._log.info("session stays with asyncio", session=gateway.config.name, why=gateway.why_cold)

    def _open_store(self, session: SessionConfig) -> AnyStore:
        """Message store of a session; what a crash left half written is cut, and said."""
        name = session.name
        store = open_store(session, self.config.state_dir / "fix" / name, self.config.engine.store_keep_days)
        if not isinstance(store, MessageStore):
            return store  # of the other engine, which keeps its own files
        if store.torn_bytes:
            text = f"{name}: cut {store.torn_bytes} bytes of a message that a crash left half written"
            self.alerts.say("warning", text)
        for damage in store.damage:
            self.alerts.say("error", f"{name}: {damage.text}")
        if self.store_sync is not None:
            self.store_sync.add(store)
        return store

    def _start_store_sync(self) -> None:
        """Group commit of all message stores, in a thread of its own."""
        window_ms = self.config.engine.store_sync_window_ms
        if not window_ms:
            return
        loop = asyncio.get_running_loop()

        def failed(_store: object, error: Exception) -> None:
            loop.call_soon_threadsafe(self.on_fatal, f"a message store cannot be forced to the disk: {error}")

        self.store_sync = GroupSync(window_ms / 1000, failed)
        self.store_sync.start()

    def _open_drop_copies(self, symbols: SymbolTable) -> None:
        """Sessions that repeat what the venue's other sessions of ours trade."""
        assert self.loop is not None
        for index, session in enumerate(self.config.sessions):
            if session.role != "drop_copy":
                continue
            covered = [gateway for gateway in self.gateways if gateway.config.venue == session.venue]
            store, directory = self._open_store(session), self.config.state_dir / "dropcopy"
            copy = CopyGateway(index, session, store, symbols, self.loop, self, covered, directory)
            if copy.ledger.torn_bytes:
                self.alerts.say("warning", f"{session.name}: cut {copy.ledger.torn_bytes} bytes of a torn ledger entry")
            self.drop_copies.append(copy)

    async def _compile(self) -> None:
        """Load or compile kernels in a thread, so that status answers meanwhile."""

        def say(text: str) -> None:
            self._set_phase("compiling", text, self.phase_progress)

        def counted(done: int) -> None:  # called hundreds of times: shown, not logged
            self.phase_progress = min(0.99, done / EXPECTED_COMPILATIONS)
            self.phase_text = f"compiling kernels (first start only): {done} of about {EXPECTED_COMPILATIONS}"

        self._set_phase("compiling", "loading kernels", 0.0)
        compiled = asyncio.ensure_future(warm_kernels_aside(say, counted))
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({compiled, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        self.abandoned_compiler = not compiled.done()
        if compiled.done():
            await compiled
        else:
            compiled.cancel()

    # -- the end ---------------------------------------------------------------------------------

    async def _shut_down(self) -> None:
        """Stop quoting, cancel everything, wait for the answers, log out."""
        assert self.loop is not None
        self._set_phase("draining", self._stop_reason)
        frame = new_frame(CONTROL)
        frame["kind"], frame["verb"] = FrameKind.CONTROL, ControlVerb.DRAIN
        self.loop.post_frame(frame)
        deadline = time.monotonic() + self.config.engine.drain_timeout_s
        while self.open_orders() and time.monotonic() < deadline and not self._immediate:
            if not any(g.session.logged_on for g in self.gateways):
                break
            await asyncio.sleep(0.02)
        if self.open_orders():
            self.alerts.say(
                "warning", f"{self.open_orders()} orders still open: left to the venues' cancel-on-disconnect"
            )
        await asyncio.gather(*(copy.settle() for copy in self.drop_copies))
        await asyncio.gather(*(gateway.stop() for gateway in self.sessions))

    async def _close(self) -> None:
        """Seal what is open; safe after a start that failed half-way."""
        if self.metrics is not None:
            self.metrics.stop()
        if self.greeks is not None:
            self.greeks.stop()
        for feed in self.feeds:
            feed.close()
        if self.loop is not None:
            self.loop.stop()
        if self.telemetry is not None:
            self.telemetry.close()
        self._set_phase("stopped", self._stop_reason)
        if self.engine is not None and self.journal is not None and self.loop is not None:
            document = self.status(60, orders=True, final=True)
            try:
                _write_atomically(self.config.state_dir / "final.json", msgspec.json.encode(document))
            except OSError as e:  # the journal says the same, only less readably
                self._log.error("final report not written", text=str(e))
            path = self.journal.directory / f"snapshot-{self.journal.next_seq:012d}.npz"
            with contextlib.suppress(OSError):  # the journal alone restores the state, only slower
                snapshot.save(self.engine, path, self.run_number, self.journal.next_seq)
            self.journal.close()
            self.loop.inbox.close()
            self.loop.outbox.close()
        if self.store_sync is not None:
            self.store_sync.stop()
        for gateway in self.sessions:
            gateway.close()
        self.latencies.close()
        with contextlib.suppress(OSError):  # others may have theirs there
            self.config.runtime_dir.rmdir()


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    temporary.rename(path)


def run_daemon(config: AxiomConfig, clock_watch: ClockWatch | None = None) -> int:
    """Run the daemon in this process until it is told to stop; returns the exit code.

    0 stopped in order; 1 an error (printed and logged); 4 the configuration names something that
    does not exist.
    """
    configure_logging(config.engine.log_level)
    log = structlog.get_logger()
    try:
        daemon = Daemon(config, clock_watch)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(daemon.run())
        if daemon.abandoned_compiler:
            os._exit(code)  # the interpreter's own end would pull LLVM from under the compiler's feet
        return code
    except (RiskError, StrategyError, SessionConfigError) as e:
        log.error("configuration", text=str(e))
        return EXIT_CONFIG
    except (EngineError, FixError, MarketError) as e:
        log.error("stopped", text=str(e))
        return EXIT_ERROR


__all__ = ["EXIT_CONFIG", "EXIT_ERROR", "EXIT_OK", "EXIT_TIMEOUT", "Daemon", "run_daemon"]
