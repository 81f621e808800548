"""The demo command: options in, screen or headless, report out."""

import re
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from config import AxiomConfig
from engine.cli.demo.checks import all_checks, final_status
from engine.cli.demo.children import Child, axiom_command
from engine.cli.demo.preparation import (
    clear_state,
    demo_config,
    refuse_if_running,
    with_free_ports,
    write_effective,
)
from engine.cli.demo.supervisor import Draw, Supervisor
from engine.cli.exits import CliError, ExitCode, Finished
from engine.cli.output import emit_json, stderr, stdout
from engine.cli.profile import ConfigOption, JsonOption
from engine.view import report, screen
from engine.view.screen import headline

_UNIT_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_HEADLINE_EVERY_S = 5.0


def demo(
    duration: Annotated[str, typer.Option("--for", help="How long, e.g. 60s or 5m. Default: until Ctrl-C.")] = "",
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the simulated order flow.")] = None,
    market: Annotated[str | None, typer.Option("--market", help="generated, or replay:PATH.zip.")] = None,
    speed: Annotated[float | None, typer.Option("--speed", help="Market seconds per second.")] = None,
    config: ConfigOption = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", help="Directory for all state. Default: the profile's.")
    ] = None,
    keep_state: Annotated[
        bool, typer.Option("--continue", help="Go on from the state of an earlier demo instead of beginning flat.")
    ] = False,
    start_timeout_s: Annotated[
        float, typer.Option("--start-timeout", min=1, max=3600, help="Seconds to allow for the start.")
    ] = 240.0,
    headless: Annotated[bool, typer.Option("--headless", help="No screen, also on a terminal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a simulated market and the daemon, and watch it trade; Ctrl-C drains and reports."""
    duration_s = parse_duration(duration)
    settings = demo_config(config, state_dir, market=market, seed=seed, speed=speed)
    refuse_if_running(settings)
    if not keep_state:
        for aside in clear_state(settings):
            _say(f"earlier state is now in {aside}")
    settings = with_free_ports(settings)
    effective = str(write_effective(settings))
    daemon = Child("daemon", axiom_command("run", "--config", effective), settings.state_dir / "daemon.log")
    simulator = Child(
        "simulator", axiom_command("sim", "--config", effective), settings.simulator_dir / "simulator.log"
    )
    with ExitStack() as stack:
        draw = _screen(stack) if sys.stdout.isatty() and not (as_json or headless) else _Headlines().draw
        supervisor = Supervisor(settings, daemon, simulator, draw)
        supervisor.run(duration_s, start_timeout_s)
    if supervisor.running_after_s is None:
        text = f"stopped before the daemon was running: nothing was traded; its log is {daemon.log}"
        raise CliError(ExitCode.ERROR, text)
    document = _report(settings, supervisor)
    if as_json:
        emit_json(document)
    else:
        stdout().print(report(document))
    if not document["ok"]:
        raise Finished(ExitCode.ERROR)


def parse_duration(text: str) -> float | None:
    """Seconds of ``60s``, ``5m``, ``1h`` or ``90``; None of an empty text."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise CliError(ExitCode.ERROR, f"--for must be a positive time such as 60s, 5m or 1h, was {text!r}")
    return float(match[1]) * _UNIT_S[match[2]]


def _say(text: str) -> None:
    stderr.print(f"axiom demo: {text}", markup=False, soft_wrap=True)


def _screen(stack: ExitStack) -> Draw:
    console = stdout()
    live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))

    def draw(status: dict[str, Any], note: str) -> None:
        live.update(screen(status, width=console.width, height=console.height, note=note), refresh=True)

    return draw


class _Headlines:
    """A line on stderr now and then: what a screen would show, for logs."""

    def __init__(self) -> None:
        self._last = 0.0
        self._last_phase = ""
        self._last_note = ""

    def draw(self, status: dict[str, Any], note: str) -> None:
        """Say where things stand: at most every few seconds, and at every change of phase."""
        now = time.monotonic()
        phase = str(status.get("phase") or "starting")
        changed = phase != self._last_phase or note != self._last_note
        if not changed and now - self._last < _HEADLINE_EVERY_S:
            return
        self._last, self._last_phase, self._last_note = now, phase, note
        text = headline(status) if status else "starting"
        if phase not in ("running", "draining", "stopped") and status.get("phase_text"):
            text = f"{phase}: {status['phase_text']}"
        _say(f"{text}{f' [{note}]' if note else ''}")


def _report(config: AxiomConfig, supervisor: Supervisor) -> dict[str, Any]:
    final = final_status(config)
    exit_codes = {child.name: child.exit_code for child in (supervisor.daemon, supervisor.simulator)}
    checks = list(all_checks(config, final, exit_codes))
    return {
        "ok": all(check["ok"] for check in checks),
        "market": config.simulator.market,
        "seed": config.simulator.seed,
        "speed": config.simulator.speed,
        "running_after_s": supervisor.running_after_s,
        "quoted_peak": supervisor.quoted_peak,
        "quoted_after_s": supervisor.quoted_after_s,
        "starts": {"daemon": supervisor.daemon.starts, "simulator": supervisor.simulator.starts},
        "checks": checks,
        "final": final,
        "state_dir": str(config.state_dir),
        "logs": [str(supervisor.daemon.log), str(supervisor.simulator.log)],
    }
