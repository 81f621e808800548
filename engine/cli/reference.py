"""``axiom reference``: the reference pages of ``docs/``, generated from the tables in the code.

A number that stands in two places is wrong in one of them. A test compares the pages in the
repository with what this makes; ``make docs`` writes them.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.config import explained
from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit
from engine.cli.profile import JsonOption

_MADE = "<!-- Made by `make docs` from the tables in the code: do not edit. -->\n\n"


def reference(
    directory: Annotated[Path, typer.Argument(help="Where to write the pages.")] = Path("docs"),
    as_json: JsonOption = False,
) -> None:
    """Write the reference pages (configuration, limits, denials, events, FIX)."""
    if not directory.is_dir():
        raise CliError(ExitCode.NOT_FOUND, f"there is no directory {directory}")
    made = pages()
    for name, text in made.items():
        (directory / name).write_text(text, encoding="utf-8")
    emit({"ok": True, "result": {"pages": list(made)}}, f"{len(made)} pages in {directory}", as_json=as_json)


def pages() -> dict[str, str]:
    """Name and text of every generated page."""
    from engine.cli.fixreference import fix_page  # brings the compiler with it

    return {
        "configuration.md": _MADE + configuration_page(),
        "risk.md": _MADE + risk_page(),
        "fix-reference.md": _MADE + fix_page(),
    }


def configuration_page() -> str:
    """Every key of a profile, and the parameters of quoting and hedging."""
    from strategies.hedging import HEDGING
    from strategies.params import params_table
    from strategies.quoting import QUOTING

    lines = [
        "# Configuration",
        "",
        "A profile is a TOML file; `config/profiles/demo.toml` is one to begin with. Later layers win: the defaults",
        "below, the file, `AXIOM__SECTION__KEY` in the environment (an entry of an array by its name:",
        "`AXIOM__SESSIONS__OPT__PORT`), command line options. `axiom config check` reports every fault with file,",
        "line, bound and mend; `axiom config show` prints a profile with everything applied.",
        "",
    ]
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in explained():
        tables.setdefault(row["key"].rpartition(".")[0], []).append(row)
    for table, rows in tables.items():
        title = f"[[{table.replace('[]', '')}]]" if table.endswith("[]") else f"[{table.replace('[]', '')}]"
        lines += ["", f"## `{title}`", "", "| key | allowed | default | meaning |", "|---|---|---|---|"]
        for row in rows:
            default = "required" if row["default"] is None else f"`{row['default']}`"
            key = row["key"].rpartition(".")[2]
            lines.append(f"| `{key}` | {_cell(row['allows'])} | {default} | {_cell(row['about'])} |")
    lines += ["", "## Parameters of `[quoting.params]`", "", params_table(QUOTING).replace("|delta|", _cell("|delta|"))]
    lines += ["## Parameters of `[hedging.params]`", "", params_table(HEDGING)]
    return "\n".join(lines).replace("\n\n\n", "\n\n").strip() + "\n"


def _cell(text: str) -> str:
    """Text for a cell of a table, which a bare bar would end."""
    return text.replace("|", "\\|")


def risk_page() -> str:
    """Every risk limit, denial and event."""
    from risk.denials import denial_table
    from risk.limits import limits_table

    return (
        "\n".join(
            [
                "# Risk limits, denials and events",
                "",
                "A limit binds from the next order on after `axiom limits set NAME VALUE --reason TEXT`, or is given",
                "in `[risk.limits]`. A limit that cannot be read is zero, and allows nothing.",
                "",
                "## Limits",
                "",
                limits_table(),
                "## Denials",
                "",
                denial_table(),
                "## Events",
                "",
                _events_table(),
            ]
        ).strip()
        + "\n"
    )


def _events_table() -> str:
    from engine.events import TEXTS

    rows = ["| code | event | severity | text |", "|---|---|---|---|"]
    rows += [f"| {code.value} | `{code.name}` | {text.severity} | {text.template} |" for code, text in TEXTS.items()]
    return "\n".join(rows) + "\n"
