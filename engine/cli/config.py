"""``axiom config check|show|explain``: the configuration, checked and explained."""

import difflib
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import typer
from msgspec import Meta, Struct

from config.dump import to_toml
from config.load import describe
from config.schema import AxiomConfig
from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit, emit_json, stdout
from engine.cli.profile import ConfigOption, JsonOption, load_profile, profile_path

app = typer.Typer(no_args_is_help=True, help="Check, show and explain the configuration.")

FileArgument = Annotated[Path | None, typer.Argument(metavar="file", help="The profile; the same as --config FILE.")]


@app.command("check")
def check(file: FileArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check a profile: every fault with file, line, bound and mend."""
    path = _one(file, config)
    settings = load_profile(path, with_tables=True)
    digest = f"{settings.digest():016x}"
    result = {"path": str(profile_path(path)), "digest": digest, "sessions": len(settings.sessions)}
    emit({"ok": True, "result": result}, f"{result['path']}: ok (digest {digest})", as_json=as_json)


@app.command("show")
def show(file: FileArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show a profile with every default and override applied."""
    settings = load_profile(_one(file, config))
    emit({"ok": True, "result": msgspec.to_builtins(settings)}, to_toml(settings), as_json=as_json)


def _one(file: Path | None, config: Path | None) -> Path | None:
    """The profile meant, however it was given."""
    if file is not None and config is not None:
        raise CliError(ExitCode.ERROR, f"give one profile, was {file} and --config {config}")
    return file or config


@app.command("explain")
def explain(
    section: Annotated[str, typer.Argument(help="Only keys that begin so, e.g. quoting or theo.rate.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Explain every key: what it allows, its default, and why."""
    known = explained()
    rows = [row for row in known if row["key"].startswith(section)]
    if not rows:
        near = difflib.get_close_matches(section, [row["key"] for row in known], 1, 0.0)
        raise CliError(ExitCode.NOT_FOUND, f"no key begins with {section!r}; did you mean {near[0]}?")
    if as_json:
        emit_json({"ok": True, "result": rows})
        return
    for row in rows:
        default = "required" if row["default"] is None else f"default {row['default']}"
        stdout().print(f"{row['key']}  ({row['allows']}; {default})\n    {row['about']}", markup=False, soft_wrap=True)


def explained() -> list[dict[str, Any]]:
    """Every key of the schema: name, what it allows, default as JSON (None: required), and its text."""
    return _rows(AxiomConfig, "")


def _rows(kind: type[Struct], prefix: str) -> list[dict[str, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    rows: list[dict[str, Any]] = []
    for field in msgspec.structs.fields(kind):
        hint = hints[field.name]
        bare = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
        inner = get_args(bare)[0] if get_origin(bare) is tuple else bare
        if isinstance(inner, type) and issubclass(inner, Struct):
            rows += _rows(inner, f"{prefix}{field.name}{'[]' if inner is not bare else ''}.")
            continue
        about = " ".join(meta.description or "" for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Meta))
        default = None if field.default is msgspec.NODEFAULT else msgspec.json.encode(field.default).decode()
        if field.default_factory is not msgspec.NODEFAULT:
            default = "{}"
        rows.append({"key": prefix + field.name, "allows": describe(hint), "default": default, "about": about.strip()})
    return rows
