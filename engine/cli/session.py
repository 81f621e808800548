"""``axiom session ...``: one FIX session at a time. ``store verify|show`` need no daemon and change nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.cli.client import NotRunning, request
from engine.cli.exits import CliError, ExitCode, Finished
from engine.cli.output import emit, emit_json, stderr, stdout
from engine.cli.profile import ConfigOption, JsonOption, ReasonOption, StateDirOption, control_socket, load_profile

app = typer.Typer(no_args_is_help=True, help="Administer FIX sessions, and read their message stores.")
store_app = typer.Typer(no_args_is_help=True, help="Read a session's message store, also while it is in use.")
app.add_typer(store_app, name="store")

NameArgument = Annotated[str, typer.Argument(help="Name of the session, as in the profile.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Also where messages, and with them fills, may be lost.")]
_NUMBERS = ("next_in", "next_out", "reconnects")
_LISTED = ("name", "venue", "role", "state", "next_in", "next_out", "reconnects", "driven_by", "address", "detail")


@app.command("list")
def list_sessions(config: ConfigOption = None, state_dir: StateDirOption = None, as_json: JsonOption = False) -> None:
    """List every session: state, numbers, address. Without a daemon: what the profile and the stores say."""
    try:
        rows = request(control_socket(config, state_dir), "session.list")["sessions"]
    except NotRunning:
        rows = _offline(config, state_dir)
    if as_json:
        emit_json({"ok": True, "result": {"sessions": rows}})
        return
    stdout().print(_aligned(rows), markup=False, soft_wrap=True)


def _aligned(rows: list[dict[str, Any]]) -> str:
    """One line a session, in columns as wide as they must be: a table cut to a terminal's width loses numbers."""
    lines = [[heading.replace("_", " ") for heading in _LISTED]]
    lines += [[str(row.get(heading, "")) for heading in _LISTED] for row in rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(_LISTED))]
    cells = [
        [
            text.rjust(width) if heading in _NUMBERS else text.ljust(width)
            for heading, text, width in zip(_LISTED, line, widths, strict=True)
        ]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in cells)


@app.command("connect")
def connect(
    name: NameArgument,
    reason: ReasonOption,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Connect a session that was disconnected by hand."""
    _ask("session.connect", {"name": name, "reason": reason}, config, state_dir, as_json)


@app.command("disconnect")
def disconnect(
    name: NameArgument,
    reason: ReasonOption,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Log a session out; it stays down until `axiom session connect`."""
    _ask("session.disconnect", {"name": name, "reason": reason}, config, state_dir, as_json)


@app.command("reset")
def reset(
    name: NameArgument,
    reason: ReasonOption,
    force: ForceOption = False,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set both sequence numbers to 1, with the peer where it is logged on."""
    _ask("session.reset", {"name": name, "reason": reason, "force": force}, config, state_dir, as_json)


@app.command("set-seq")
def set_seq(
    name: NameArgument,
    reason: ReasonOption,
    next_in: Annotated[int | None, typer.Option("--in", min=1, help="Number expected of the peer next.")] = None,
    next_out: Annotated[int | None, typer.Option("--out", min=1, help="Number of our next message.")] = None,
    force: ForceOption = False,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the sequence numbers, as agreed with the counterparty by telephone."""
    if next_in is None and next_out is None:
        raise CliError(ExitCode.ERROR, "give --in N, --out N or both")
    args = {"name": name, "reason": reason, "next_in": next_in, "next_out": next_out, "force": force}
    _ask("session.set_seq", args, config, state_dir, as_json)


@app.command("accept")
def accept(
    name: NameArgument,
    reason: ReasonOption,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a drop copy's open mismatches as explained; then `axiom resume` the halted session."""
    result = request(control_socket(config, state_dir), "session.accept", {"name": name, "reason": reason})
    text = f"{name}: {result.get('accepted')} mismatches accepted"
    emit({"ok": True, "result": result}, text, as_json=as_json)


def _ask(verb: str, args: dict[str, Any], config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    if not args["reason"].strip():
        raise CliError(ExitCode.ERROR, "--reason must not be empty: it is what the audit trail will say")
    result = request(control_socket(config, state_dir), verb, args)
    text = "{name}: {state}, next in {next_in}, next out {next_out}".format_map(result)
    emit({"ok": True, "result": result}, text, as_json=as_json)


# -- the message store --------------------------------------------------------------------------


@store_app.command("verify")
def verify(
    name: NameArgument, config: ConfigOption = None, state_dir: StateDirOption = None, as_json: JsonOption = False
) -> None:
    """Check every entry of a session's store; exit 1 where one does not hold."""
    from fix.errors import FixError

    try:
        report = _verified(_store(name, config, state_dir))
    except FixError as error:
        raise CliError(ExitCode.ERROR, str(error)) from error
    emit({"ok": report.sound, "result": msgspec.to_builtins(report)}, "\n".join(report.lines()), as_json=as_json)
    if not report.sound:
        raise Finished(ExitCode.ERROR)


@store_app.command("show")
def show(
    name: NameArgument,
    first: Annotated[int, typer.Option("--first", min=1, help="Lowest MsgSeqNum.")] = 1,
    last: Annotated[int, typer.Option("--last", min=0, help="Highest MsgSeqNum; 0: to the end.")] = 0,
    fields: Annotated[bool, typer.Option("--fields", help="One field a line, with names of tags and values.")] = False,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the messages of a session's store; passwords are masked."""
    from fix.errors import FixError
    from fix.foreign.report import OWN_FILES, is_quickfix
    from fix.foreign.report import show as show_foreign
    from fix.store import show as show_store

    path = _store(name, config, state_dir)
    if foreign := is_quickfix(path):
        stderr.print(f"session {name}: {OWN_FILES}", markup=False, soft_wrap=True)
    try:
        for entry in (show_foreign if foreign else show_store)(path, first, last):
            _print_entry(entry, fields=fields, as_json=as_json)
    except FixError as error:
        raise CliError(ExitCode.ERROR, str(error)) from error


def _print_entry(entry: Any, *, fields: bool, as_json: bool) -> None:
    if as_json:
        emit_json({name: getattr(entry, name) for name in ("file", "time_ns", "kind", "seq", "app_ref", "text")})
        return
    # quickfix keeps no time beside a message; SendingTime(52) stands in it.
    when = datetime.fromtimestamp(entry.time_ns / 1e9, UTC).isoformat(timespec="milliseconds") if entry.time_ns else "-"
    text = entry.text
    if fields and entry.raw:
        from fix.dictionary import describe

        text = "\n" + describe(entry.raw)
    stdout().print(f"{when} {entry.seq or entry.kind} {text}", markup=False, soft_wrap=True)


def _verified(path: Path) -> Any:
    """The report on a store, whichever engine keeps it: ``sound``, ``next_in``, ``next_out``, ``lines()``."""
    from fix.foreign.report import is_quickfix
    from fix.foreign.report import verify as verify_foreign
    from fix.store import verify as verify_store

    return verify_foreign(path) if is_quickfix(path) else verify_store(path)


def _store(name: str, config: Path | None, state_dir: Path | None) -> Path:
    overrides = {"engine.state_dir": str(state_dir)} if state_dir is not None else None
    settings = load_profile(config, overrides=overrides)
    known = [session.name for session in settings.sessions]
    if name not in known:
        raise CliError(ExitCode.NOT_FOUND, f"there is no session {name!r}; there are: {', '.join(known) or 'none'}")
    path = settings.state_dir / "fix" / name
    if not path.is_dir():
        raise CliError(ExitCode.NOT_FOUND, f"session {name} has no store in {path}: it has never run there")
    return path


def _offline(config: Path | None, state_dir: Path | None) -> list[dict[str, Any]]:
    """Sessions of the profile with the numbers that their stores hold."""
    from fix.errors import FixError

    overrides = {"engine.state_dir": str(state_dir)} if state_dir is not None else None
    settings = load_profile(config, overrides=overrides)
    rows = []
    for session in settings.sessions:
        row: dict[str, Any] = {
            "name": session.name,
            "venue": session.venue,
            "role": session.role,
            "engine": session.engine,
            "begin_string": session.begin_string,
            "sender_comp_id": session.sender_comp_id,
            "target_comp_id": session.target_comp_id,
            "address": f"{session.host}:{session.port}",
            "state": "NO_DAEMON",
            "detail": "no daemon is running",
        }
        path = settings.state_dir / "fix" / session.name
        if path.is_dir():
            try:
                report = _verified(path)
                row |= {"next_in": report.next_in, "next_out": report.next_out}
            except FixError as error:
                row["detail"] = str(error)
        rows.append(row)
    return rows
