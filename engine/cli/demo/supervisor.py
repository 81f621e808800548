"""Keeps the demo's two children running, watches the daemon, and ends all of it in order."""

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from config import AxiomConfig
from engine.cli.client import NotRunning, request
from engine.cli.demo.children import Child
from engine.cli.exits import CliError, ExitCode

POLL_INTERVAL_S = 0.25
STOP_MARGIN_S = 15.0
MAX_RESTARTS = 5
CHAIN_ROWS = 120
MILESTONES = (1, 10, 100, 500, 1000, 1500, 2000)

Draw = Callable[[dict[str, Any], str], None]


class Supervisor:
    """One demo: two children and what was seen of them."""

    def __init__(self, config: AxiomConfig, daemon: Child, simulator: Child, draw: Draw) -> None:
        self.config = config
        self.daemon = daemon
        self.simulator = simulator
        self.status: dict[str, Any] = {}
        self.running_after_s: float | None = None
        self.quoted_peak = 0
        #: Seconds from the daemon's start until so many series were quoted two-sided.
        self.quoted_after_s: dict[str, float] = {}
        self._draw = draw
        self._note = ""
        self._interrupts = 0
        self._began = 0.0

    # -- life -------------------------------------------------------------------------------

    def run(self, duration_s: float | None, start_timeout_s: float) -> None:
        """Start the children and supervise until the time is up, Ctrl-C, or the daemon's own end."""
        previous = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        self._began = time.monotonic()
        try:
            for child in (self.simulator, self.daemon):
                child.start()
            self._watch(duration_s, start_timeout_s)
            self._stop()
        finally:
            for child in (self.daemon, self.simulator):
                child.kill()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1

    def _watch(self, duration_s: float | None, start_timeout_s: float) -> None:
        running_since: float | None = None
        while not self._interrupts:
            if self.daemon.exit_code == ExitCode.OK:
                return  # `axiom stop`
            self._revive()
            self._poll()
            now = time.monotonic()
            if running_since is None and self.status.get("phase") == "running":
                running_since = now
                self.running_after_s = round(now - self._began, 2)
            if running_since is None and now - self._began > start_timeout_s:
                text = f"the daemon was not running within {start_timeout_s:g} s; its log {self.daemon.log} ends with\n"
                raise CliError(ExitCode.TIMEOUT, text + self.daemon.tail())
            if running_since is not None and duration_s is not None and now - running_since >= duration_s:
                return
            time.sleep(POLL_INTERVAL_S)

    def _revive(self) -> None:
        """Start a child that died, unless it will only die again."""
        for child in (self.simulator, self.daemon):
            code = child.exit_code
            if code is None:
                continue
            hopeless = code in (ExitCode.CONFIG, ExitCode.NOT_FOUND) or child.starts > MAX_RESTARTS
            if hopeless or (code > 0 and self.running_after_s is None):
                text = f"{child.name} ended with {_ending(code)}; its log {child.log} ends with\n{child.tail()}"
                raise CliError(code if code in (ExitCode.CONFIG, ExitCode.NOT_FOUND) else ExitCode.ERROR, text)
            self._note = f"{child.name} ended with {_ending(code)}: started again ({child.starts} of {MAX_RESTARTS})"
            child.start()

    # -- what is seen -------------------------------------------------------------------------

    def _poll(self) -> None:
        try:
            self.status = request(self.config.control_socket, "status", {"rows": CHAIN_ROWS}, timeout_s=2.0)
        except NotRunning:
            if self.running_after_s is not None:
                self._draw(self.status, self._note or "the daemon does not answer")
                return
        except CliError as error:
            self._draw(self.status, str(error))
            return
        quoted = int((self.status.get("chain") or {}).get("quoted_two_sided") or 0)
        self.quoted_peak = max(self.quoted_peak, quoted)
        since_start_s = round(time.monotonic() - self.daemon.started_at, 2)
        for milestone in MILESTONES:
            if quoted >= milestone:
                self.quoted_after_s.setdefault(str(milestone), since_start_s)
        self._draw(self.status, self._note)

    # -- the end ------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Drain the daemon while the venues still answer, then end the venues."""
        self._interrupts = 0
        self._note = "draining; Ctrl-C again: stop at once"
        self.daemon.signal(signal.SIGTERM)
        self._await(self.daemon, self.config.engine.drain_timeout_s + STOP_MARGIN_S)
        self._note = "ending the venues"
        self.simulator.signal(signal.SIGTERM)
        self._await(self.simulator, STOP_MARGIN_S)

    def _await(self, child: Child, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        told = 0
        while child.exit_code is None and time.monotonic() < deadline:
            if self._interrupts > told:
                told = self._interrupts
                child.signal(signal.SIGTERM if told == 1 else signal.SIGKILL)
            self._poll()
            child.wait(POLL_INTERVAL_S)
        if child.exit_code is None:
            child.kill()


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
