"""``axiom limits show|set``: the risk limits of a running daemon."""

from typing import Annotated, Any

import typer
from rich.table import Table

from engine.cli.client import NotRunning, request
from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit, emit_json, stdout
from engine.cli.profile import ConfigOption, JsonOption, ReasonOption, StateDirOption, control_socket, load_profile

app = typer.Typer(no_args_is_help=True, help="Show and change the risk limits.")


@app.command("show")
def show(config: ConfigOption = None, state_dir: StateDirOption = None, as_json: JsonOption = False) -> None:
    """Show every limit: value, range, use. Without a daemon: what the profile asks for."""
    try:
        document = request(control_socket(config, state_dir), "limits.show")
        document["source"] = "daemon"
    except NotRunning:
        configured = load_profile(config, with_tables=True).risk.limits
        document = {"source": "profile", "limits": _configured(configured)}
    if as_json:
        emit_json({"ok": True, "result": document})
        return
    stdout().print(_table(document))


@app.command("set")
def set_limit(
    name: Annotated[str, typer.Argument(help="Name of the limit, e.g. max_order_qty.")],
    value: Annotated[float, typer.Argument(help="Its new value, in the limit's unit.")],
    reason: ReasonOption,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a limit; it binds from the next order on."""
    if not reason.strip():
        raise CliError(ExitCode.ERROR, "--reason must not be empty: it is what the audit trail will say")
    args = {"name": name, "value": value, "reason": reason}
    result = request(control_socket(config, state_dir), "limits.set", args)
    emit({"ok": True, "result": result}, f"{name}: {result.get('old')} -> {result.get('new')}", as_json=as_json)


def _configured(chosen: dict[str, float]) -> list[dict[str, Any]]:
    from risk.limits import LIMITS

    return [
        {
            "name": limit.name.lower(),
            "value": chosen.get(limit.name.lower(), spec.default),
            "default": spec.default,
            "low": 0.0,
            "high": spec.high,
            "unit": spec.unit,
            "meaning": spec.meaning,
            "reason": spec.reason,
            "used": None,
        }
        for limit, spec in LIMITS.items()
    ]


def _table(document: dict[str, Any]) -> Table:
    table = Table(title=f"limits ({document['source']})", title_justify="left", box=None, pad_edge=False)
    for heading in ("limit", "value", "used", "range", "unit", "meaning"):
        numeric = heading in ("value", "used")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=heading != "meaning")
    for row in document.get("limits", []):
        used = "" if row.get("used") is None else f"{row['used']:g}"
        bounds = f"{row.get('low', 0):g}..{row.get('high', 0):g}"
        meaning = str(row.get("meaning") or row.get("reason") or "")
        table.add_row(row["name"], f"{row['value']:,g}", used, bounds, str(row.get("unit", "")), meaning)
    return table
