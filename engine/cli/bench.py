"""``axiom bench``: measure this machine, in the same way and to the same table as ``benchmarks/``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit_json, stderr, stdout
from engine.cli.profile import JsonOption

app = typer.Typer(help="Measure this machine.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def bench() -> None:
    """Measure this machine."""


@app.command("tick-to-order")
def tick_to_order(
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100, help="Rounds of all rows; the best counts.")] = 3,
    ticks: Annotated[int, typer.Option("--ticks", min=35, max=10_000_000, help="Ticks of one row and round.")] = 20_000,
    gap_us: Annotated[float, typer.Option("--gap-us", min=0, max=1e6, help="Pause from an order to a tick.")] = 100.0,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this row; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the figures and the machine there (JSON).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Publish ticks, time the orders that they cause on a socket: our loop modes, a floor, and others' ways."""
    from engine.bench.tick_to_order import ROWS, Settings, play, text_of

    names = [row.name for row in ROWS]
    for name in only or ():
        if name not in names:
            raise CliError(ExitCode.NOT_FOUND, f"there is no row {name!r}; known: {', '.join(names)}")
    settings = Settings(rounds=rounds, ticks=ticks, gap_us=gap_us, only=tuple(only or ()))
    try:
        document = play(settings, lambda text: stderr.print(text, markup=False))
    except RuntimeError as error:
        raise CliError(ExitCode.ERROR, str(error)) from error
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1) + "\n")
    if as_json:
        emit_json({"ok": True, "result": document})
    else:
        stdout().print(text_of(document), markup=False, soft_wrap=True)
