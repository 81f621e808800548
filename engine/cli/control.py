"""``axiom halt|resume|kill|rearm|arm|stop``: the verbs that change what the daemon may do.

The daemon records who asked (the socket's peer credentials) and why (``--reason``).
"""

import os
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.cli.client import NotRunning, request
from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit
from engine.cli.profile import ConfigOption, JsonOption, ReasonOption, StateDirOption, control_socket

ScopeArgument = Annotated[
    str, typer.Argument(help="firm, underlying:SYMBOL, instrument:SYMBOL, session:NAME, or a bare name.")
]
_POLL_S = 0.05
_NO_REASON = "no reason given"  # a halt is not to wait for words; a kill or a limit is worth some

OptionalReason = Annotated[str, typer.Option("--reason", help="Why; goes into the audit trail.")]


def _ask(
    verb: str, args: dict[str, Any], config: Path | None, state_dir: Path | None, as_json: bool, text: str
) -> None:
    result = request(control_socket(config, state_dir), verb, args)
    emit({"ok": True, "result": result}, text.format_map(_Lenient(result)), as_json=as_json)


class _Lenient(dict[str, Any]):
    """Result keys for a text; a key that the daemon left out reads as a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"


def halt(
    scope: ScopeArgument,
    reason: OptionalReason = _NO_REASON,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Allow only cancels in SCOPE; its working orders are pulled."""
    _ask("halt", {"scope": scope, "reason": reason}, config, state_dir, as_json, "{scope}: {state}")


def resume(
    scope: ScopeArgument,
    reason: OptionalReason = _NO_REASON,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift a halt of SCOPE; a kill is only lifted by `axiom rearm`."""
    _ask("resume", {"scope": scope, "reason": reason}, config, state_dir, as_json, "{scope}: {state}")


def kill(
    reason: ReasonOption,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel everything and refuse every order until `axiom rearm`; survives a restart."""
    _ask("kill", {"reason": reason}, config, state_dir, as_json, "risk state: {risk_state}")


def rearm(
    reason: ReasonOption,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift a kill."""
    _ask("rearm", {"reason": reason}, config, state_dir, as_json, "risk state: {risk_state}")


def arm(
    reason: OptionalReason = _NO_REASON,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a reconciled daemon trade, where engine.auto_arm is off."""
    _ask("arm", {"reason": reason}, config, state_dir, as_json, "armed: {armed}")


def stop(
    mode: Annotated[
        Literal["drain", "cancel"],
        typer.Option("--mode", help="drain: wait for cancel acknowledgements. cancel: send them and go."),
    ] = "drain",
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, max=600, help="Seconds to wait.")] = 15.0,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop the daemon in order, and wait until it has gone."""
    path = control_socket(config, state_dir)
    before = request(path, "status", {"rows": 0})
    request(path, "stop", {"mode": mode, "timeout_s": timeout_s})
    pid = int(before.get("pid") or 0)
    deadline = time.monotonic() + timeout_s
    while _answers(path, pid):
        if time.monotonic() > deadline:
            text = f"the daemon (pid {pid}) has not ended within {timeout_s:g} s; it is still stopping"
            raise CliError(ExitCode.TIMEOUT, text)
        time.sleep(_POLL_S)
    emit({"ok": True, "result": {"stopped": True, "pid": pid, "mode": mode}}, "stopped", as_json=as_json)


def _answers(path: Path, pid: int) -> bool:
    """Whether the daemon is still there: its process where it is known, else its socket."""
    if pid > 0:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return not _is_zombie(pid)
    try:
        request(path, "status", {"rows": 0}, timeout_s=1.0)
    except NotRunning:
        return False
    except CliError:
        return True
    return True


def _is_zombie(pid: int) -> bool:
    """A child that nobody has waited for is gone as far as we are concerned."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
