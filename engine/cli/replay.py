"""``axiom replay``: run a journal through the step again, and compare what came out."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.cli.exits import CliError, ExitCode, Finished
from engine.cli.output import emit
from engine.cli.profile import JsonOption


def replay(
    journal: Annotated[Path, typer.Argument(help="Journal directory, or a daemon's state directory.")],
    verify: Annotated[bool, typer.Option("--verify", help="Compare every output byte for byte.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Replay JOURNAL; fails where an output differs from the recorded one."""
    if not journal.exists():
        text = f"there is no journal at {journal}; give a run directory (STATE_DIR/runs/NNNNNN) or engine.state_dir"
        raise CliError(ExitCode.NOT_FOUND, text)
    from engine.errors import EngineError, JournalError
    from engine.replay import run_directory
    from engine.replay import verify as verify_journal

    try:
        run = run_directory(journal)
    except JournalError as error:
        raise CliError(ExitCode.NOT_FOUND, str(error)) from error
    try:
        result = verify_journal(run)
    except EngineError as error:
        raise CliError(ExitCode.ERROR, str(error)) from error
    document = plain_result(result)
    ok = bool(document.get("ok"))
    facts = ", ".join(f"{key} {value}" for key, value in document.items() if key != "ok" and value not in (None, ""))
    emit({"ok": ok, "result": document}, f"{'identical' if ok else 'DIFFERENT'}: {facts}", as_json=as_json)
    if verify and not ok:
        raise Finished(ExitCode.ERROR)


def plain_result(result: Any) -> dict[str, Any]:
    """Result of a verification as plain values, whatever kind of record it is."""
    if isinstance(result, dict):
        return result
    if hasattr(result, "_asdict"):
        return dict(result._asdict())
    plain = msgspec.to_builtins(result, enc_hook=str)
    return plain if isinstance(plain, dict) else {"ok": bool(plain)}
