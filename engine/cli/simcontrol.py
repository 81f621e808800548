"""``axiom sim-control ...``: what an exchange's operator does, at the simulated venues: busts, halts, news."""

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.client import NotRunning, request
from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit
from engine.cli.profile import ConfigOption, JsonOption, StateDirOption, load_profile

app = typer.Typer(no_args_is_help=True, help="Operate the simulated venues: busts, corrections, halts, news.")

ExecIdArgument = Annotated[str, typer.Argument(help="ExecID of either side; `axiom sim-control trades` lists them.")]
SymbolArgument = Annotated[str, typer.Argument(help="Symbol of an instrument, or all.")]
VenueOption = Annotated[str, typer.Option("--venue", help="Only this venue; needed where two have the same ExecID.")]
_SOCKETS = "sim*.sock"
_COLUMNS = ("venue", "exec_id", "kind", "stands", "client", "side", "qty", "price", "symbol", "ref")
_NUMBERS = ("qty", "price")


@app.command("bust")
def bust(
    exec_id: ExecIdArgument,
    venue: VenueOption = "",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a trade back: both sides are told (ExecType H)."""
    [result] = _ask("bust", {"exec_id": exec_id.upper(), "venue": venue}, config, state_dir)
    emit({"ok": True, "result": result}, "{venue}: trade of {exec_id} busted".format_map(result), as_json=as_json)


@app.command("correct")
def correct(
    exec_id: ExecIdArgument,
    qty: Annotated[int | None, typer.Option("--qty", min=1, help="Contracts or shares; else as it was.")] = None,
    price: Annotated[str | None, typer.Option("--price", help="Price; else as it was.")] = None,
    venue: VenueOption = "",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change quantity or price of a trade: both sides are told (ExecType G)."""
    if qty is None and price is None:
        raise CliError(ExitCode.ERROR, "give --qty N, --price P or both")
    args = {"exec_id": exec_id.upper(), "qty": qty, "price": price, "venue": venue}
    [result] = _ask("correct", args, config, state_dir)
    text = "{venue}: trade of {exec_id} is now {qty} at {ticks} ticks".format_map(result)
    emit({"ok": True, "result": result}, text, as_json=as_json)


@app.command("halt")
def halt(
    symbol: SymbolArgument,
    venue: VenueOption = "",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop trading of SYMBOL, or of all: only cancels are taken."""
    _change("halt", symbol, venue, config, state_dir, as_json)


@app.command("reopen")
def reopen(
    symbol: SymbolArgument,
    venue: VenueOption = "",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resume trading of SYMBOL, or of all."""
    _change("reopen", symbol, venue, config, state_dir, as_json)


@app.command("news")
def news(
    headline: Annotated[str, typer.Argument(help="Headline.")],
    lines: Annotated[list[str] | None, typer.Option("--text", help="A line of text; may be repeated.")] = None,
    flash: Annotated[bool, typer.Option("--flash", help="Urgent.")] = False,
    venue: VenueOption = "",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send news to every client that is logged on."""
    args = {"headline": headline, "lines": lines or [], "urgent": flash, "venue": venue}
    told = sum(int(result["told"]) for result in _ask("news", args, config, state_dir, everywhere=True))
    emit({"ok": True, "result": {"told": told}}, f"{told} clients told", as_json=as_json)


@app.command("trades")
def trades(
    last: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many.")] = 20,
    venue: VenueOption = "",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the last executions of clients, newest first, with their ExecIDs."""
    answers = _ask("trades", {"last": last, "venue": venue}, config, state_dir, everywhere=True)
    rows = sorted((row for answer in answers for row in answer["trades"]), key=lambda row: -int(row["time_ns"]))[:last]
    emit({"ok": True, "result": {"trades": rows}}, _aligned(rows), as_json=as_json)


def _change(verb: str, symbol: str, venue: str, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    everywhere = symbol == "all"
    answers = _ask(verb, {"symbol": symbol, "venue": venue}, config, state_dir, everywhere=everywhere)
    changed = sum(int(answer["changed"]) for answer in answers)
    emit({"ok": True, "result": {"changed": changed}}, f"{verb} {symbol}: {changed} instruments", as_json=as_json)


def _ask(
    verb: str, args: dict[str, Any], config: Path | None, state_dir: Path | None, *, everywhere: bool = False
) -> list[dict[str, Any]]:
    """Answers of the simulators of the profile: of all, or of the first that knows what is meant.

    A profile's venues may run in several processes (``axiom sim --venue``), each with a socket of its own.
    """
    overrides = {"engine.state_dir": str(state_dir)} if state_dir is not None else None
    directory = load_profile(config, overrides=overrides).runtime_dir
    paths = sorted(directory.glob(_SOCKETS))
    if "exec_id" in args and not args["venue"] and len(paths) > 1:
        text = "each venue gives ExecIDs of its own, and several simulators run here: name the venue by --venue"
        raise CliError(ExitCode.ERROR, text)
    answers, unknown = [], None
    for path in paths:
        try:
            answers.append(request(path, verb, args))
        except NotRunning:
            continue  # left behind by one that was killed
        except CliError as error:
            if error.code != ExitCode.NOT_FOUND:
                raise
            unknown = error
            continue
        if not everywhere:
            break
    if not answers:
        text = f"no simulator is running on {directory} (start one with `axiom sim`, or name its profile by --config)"
        raise unknown or CliError(ExitCode.NOT_RUNNING, text)
    return answers


def _aligned(rows: list[dict[str, Any]]) -> str:
    """One line an execution."""
    if not rows:
        return "no executions of clients"
    lines = [[heading.replace("_", " ") for heading in _COLUMNS]]
    lines += [[_cell(row[heading]) for heading in _COLUMNS] for row in rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(_COLUMNS))]
    cells = [
        [
            text.rjust(width) if heading in _NUMBERS else text.ljust(width)
            for heading, text, width in zip(_COLUMNS, line, widths, strict=True)
        ]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in cells)


def _cell(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
