"""``axiom latency``: the histograms of the running daemon, read from shared memory without asking it."""

import time
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from engine.cli.client import NotRunning
from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit_json, stdout
from engine.cli.profile import ConfigOption, JsonOption, StateDirOption, load_profile

_EXPLAINED = 130  # columns of the terminal from which on each stage is explained beside its numbers
_COLUMNS = ("count", "p50", "p90", "p99", "p999", "max")


def latency(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C.")] = False,
    interval_s: Annotated[float, typer.Option("--interval", min=0.05, max=60, help="Seconds between updates.")] = 1.0,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show latencies by stage: p50 to p99.9 in microseconds, corrected for coordinated omission.

    A daemon that was killed leaves its last figures behind.
    """
    from engine.errors import EngineError
    from engine.latency import FILE_NAME, read_latencies

    overrides = {"engine.state_dir": str(state_dir)} if state_dir is not None else None
    profile = load_profile(config, overrides=overrides)
    path = profile.runtime_dir / FILE_NAME
    while True:
        try:
            found = read_latencies(path)
        except EngineError as error:
            if not path.exists():
                raise NotRunning(profile.control_socket) from error
            raise CliError(ExitCode.ERROR, str(error)) from error
        if as_json:
            emit_json({"ok": True, "result": {"unit": "us", "stages": found}})
        else:
            stdout().print(_table(found))
        if not watch:
            return
        try:
            time.sleep(interval_s)
        except KeyboardInterrupt:
            return


def _table(found: dict[str, dict[str, Any]]) -> Table:
    from engine.latency import ABOUT

    table = Table(title="latency, us", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    explained = stdout().width >= _EXPLAINED  # else the numbers would be cut
    if explained:
        table.add_column("from .. to", no_wrap=True)
    for stage, about in ABOUT.items():
        row = found[stage.name.lower()]
        values = [f"{row['count']:,}", *(f"{row[name]:,.1f}" for name in _COLUMNS[1:])]
        table.add_row(stage.name.lower().replace("_", " "), *values, *([about] if explained else []))
    return table
