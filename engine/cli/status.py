"""``axiom status``: what the daemon is doing, once or as a live screen."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from engine.cli.client import NotRunning, request
from engine.cli.output import emit_json, stdout
from engine.cli.profile import ConfigOption, JsonOption, StateDirOption, control_socket
from engine.view import screen, summary, svg

CHAIN_ROWS = 120


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C.")] = False,
    interval_s: Annotated[float, typer.Option("--interval", min=0.05, max=60, help="Seconds between updates.")] = 0.5,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write the screen as an SVG picture (for documents).", hidden=True)
    ] = None,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show sessions, quotes, positions, risk and latencies of the running daemon."""
    path = control_socket(config, state_dir)
    document = request(path, "status", {"rows": CHAIN_ROWS})
    if picture is not None:
        picture.write_text(svg(document), encoding="utf-8")
        return
    if not watch:
        _show_once(document, as_json)
        return
    try:
        if as_json:
            _stream(path, document, interval_s)
        else:
            _watch(path, document, interval_s)
    except KeyboardInterrupt:
        return


def _show_once(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(document)
    else:
        stdout().print(summary(document))


def _stream(path: Path, document: dict[str, Any], interval_s: float) -> None:
    """One JSON document per line, for scripts."""
    while True:
        emit_json(document)
        time.sleep(interval_s)
        document = request(path, "status", {"rows": CHAIN_ROWS})


def _watch(path: Path, document: dict[str, Any], interval_s: float) -> None:
    """The live screen; a daemon that goes away is shown as such until it is back."""
    console = stdout()
    note = ""
    with Live(console=console, screen=console.is_terminal, auto_refresh=False, transient=False) as live:
        while True:
            live.update(screen(document, width=console.width, height=console.height, note=note), refresh=True)
            time.sleep(interval_s)
            try:
                document = request(path, "status", {"rows": CHAIN_ROWS})
                note = ""
            except NotRunning:
                note = "the daemon has gone: showing its last status"
