"""TOML, environment and options to an ``AxiomConfig``; every fault with its place and its mend.

Layers, later ones win: the schema's defaults, the file, ``AXIOM__SECTION__KEY`` variables, options.
All faults are found before any is reported. Entries of an array of tables are addressed by their
``name`` or their number: ``AXIOM__SESSIONS__OPT__PORT=9001``.
"""

import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from config.checks import Tables, check, nearest, plain
from config.errors import ConfigError, Problem
from config.lines import KeyPath, Lines
from config.schema import AxiomConfig

ENV_PREFIX = "AXIOM__"


def load(
    path: str | Path,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    tables: Tables | None = None,
) -> AxiomConfig:
    """Read the profile ``path``.

    Parameters
    ----------
    path
        A TOML file.
    environ
        Where ``AXIOM__*`` variables are looked up; ``os.environ`` unless given.
    overrides
        Dotted key to value, from command line options.
    tables
        What names the tables of numbers may hold (``risk.limits``, ``quoting.params``, ...), with
        the lowest and highest value of each; without it they are only checked for being numbers.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        mend = "give the path of a profile, e.g. config/profiles/demo.toml"
        raise ConfigError([Problem(str(path), "", f"cannot be read ({error.strerror}); {mend}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), "", "is not UTF-8 text; a profile is a TOML file")]) from error
    return load_text(text, str(path), environ=environ, overrides=overrides, tables=tables)


def load_text(
    text: str,
    name: str = "<text>",
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    tables: Tables | None = None,
) -> AxiomConfig:
    """Read a profile from ``text``; as :func:`load`, with ``name`` for the file."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(text, name, error)]) from error
    reader = _Reader(name, Lines(text))
    reader.overlay_environment(tree, os.environ if environ is None else environ)
    for dotted, value in (overrides or {}).items():
        reader.overlay(tree, dotted.split("."), value, f"option {dotted}")
    config = reader.struct(AxiomConfig, tree, ())
    if not reader.problems and config is not None:
        for key_path, words in check(config, tables):
            reader.problem(key_path, words)
    if reader.problems or config is None:
        raise ConfigError(reader.problems)
    return config  # type: ignore[no-any-return]


def _syntax_problem(text: str, name: str, error: tomllib.TOMLDecodeError) -> Problem:
    words = str(error)
    match = re.search(r"\s*\(at line (\d+), column (\d+)\)", words)
    if match is None:
        return Problem(f"{name}:{max(1, len(text.splitlines()))}", "", f"is not TOML: {words}")
    return Problem(f"{name}:{match[1]}", "", f"is not TOML: {words.replace(match[0], '')} at column {match[2]}")


def _dotted(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


class _Reader:
    """One pass over a tree of plain values; collects problems instead of raising."""

    def __init__(self, name: str, lines: Lines) -> None:
        self.name = name
        self.lines = lines
        self.problems: list[Problem] = []
        self._overlaid: dict[KeyPath, str] = {}

    def problem(self, path: KeyPath, words: str) -> None:
        self.problems.append(Problem(self._where(path), _dotted(path), words))

    def _where(self, path: KeyPath) -> str:
        for depth in range(len(path), 0, -1):
            if path[:depth] in self._overlaid:
                return self._overlaid[path[:depth]]
        for overlaid, where in self._overlaid.items():
            if path and overlaid[: len(path)] == path and not self.lines.knows(path):
                return where
        return f"{self.name}:{self.lines.of(path)}"

    # -- layers -----------------------------------------------------------------------------

    def overlay_environment(self, tree: dict[str, Any], environ: Mapping[str, str]) -> None:
        for variable in sorted(environ):
            if variable.startswith(ENV_PREFIX):
                parts = [part.lower() for part in variable[len(ENV_PREFIX) :].split("__")]
                self.overlay(tree, parts, _plain(environ[variable]), f"environment {variable}")

    def overlay(self, tree: dict[str, Any], parts: list[str], value: Any, where: str) -> None:
        """Put ``value`` at ``parts`` of the tree, making tables on the way."""
        node: Any = tree
        path: KeyPath = ()
        for depth, part in enumerate(parts):
            key: Any = _entry_number(node, part) if isinstance(node, list) else part
            if key is None or not isinstance(node, dict | list):
                self.problems.append(Problem(where, ".".join(parts), f"leads nowhere: there is no {part}"))
                return
            path = (*path, key)
            if depth == len(parts) - 1:
                node[key] = value
                self._overlaid[path] = where
            else:
                node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]

    # -- typing -----------------------------------------------------------------------------

    def value(self, kind: Any, raw: Any, path: KeyPath) -> Any:
        """``raw`` as type ``kind``; None (and a problem) where it does not fit."""
        bare = get_args(kind)[0] if get_origin(kind) is not None and hasattr(kind, "__metadata__") else kind
        if isinstance(bare, type) and issubclass(bare, Struct):
            return self.struct(bare, raw, path)
        if get_origin(bare) is tuple:
            return self._entries(get_args(bare)[0], raw, path)
        if get_origin(bare) is dict:
            return self._mapping(get_args(bare)[1], raw, path)
        is_whole = isinstance(raw, int) and not isinstance(raw, bool) and _base(kind) is float
        try:
            fits = msgspec.convert(float(raw) if is_whole else raw, kind, strict=True)
        except msgspec.ValidationError:
            fits = None
        # msgspec lets NaN through every bound, since no comparison with it is true.
        if fits is None or (isinstance(fits, float) and not math.isfinite(fits)):
            self.problem(path, f"must be {describe(kind)}, was {_shown(raw)}")
            return None
        return fits

    def struct(self, kind: type[Struct], raw: Any, path: KeyPath) -> Any:
        if not isinstance(raw, dict):
            self.problem(path, f"must be a table, was {_shown(raw)}")
            return None
        hints = get_type_hints(kind, include_extras=True)
        for key in raw:
            if key not in hints:
                self.problem((*path, key), _unknown(key, list(hints), kind is AxiomConfig))
        found = {key: self.value(hint, raw[key], (*path, key)) for key, hint in hints.items() if key in raw}
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in raw:
                self.problem(path, f"lacks the key {field.name} ({describe(hints[field.name])})")
        return None if self.problems else kind(**found)

    def _entries(self, kind: Any, raw: Any, path: KeyPath) -> Any:
        if not isinstance(raw, list):
            tables = isinstance(kind, type) and issubclass(kind, Struct)
            wanted = f"an array of tables ([[{_dotted(path)}]])" if tables else f"an array, each {describe(kind)}"
            self.problem(path, f"must be {wanted}, was {_shown(raw)}")
            return None
        return tuple(self.value(kind, entry, (*path, number)) for number, entry in enumerate(raw))

    def _mapping(self, kind: Any, raw: Any, path: KeyPath) -> Any:
        if not isinstance(raw, dict):
            self.problem(path, f"must be a table, was {_shown(raw)}")
            return None
        return {key: self.value(kind, entry, (*path, key)) for key, entry in raw.items()}


def _entry_number(entries: list[Any], part: str) -> int | None:
    """Index of the entry called ``part``, by its name (any case) or its number."""
    for number, entry in enumerate(entries):
        if isinstance(entry, dict) and str(entry.get("name", "")).lower() == part.lower():
            return number
    return int(part) if part.isdigit() and int(part) < len(entries) else None


def _plain(text: str) -> Any:
    """An environment variable as a TOML value; as a string where it is not one."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _unknown(key: str, known: list[str], is_top: bool) -> str:
    what = "section" if is_top else "key"
    guess = nearest(key, known)
    mend = f"did you mean {guess}?" if guess else f"known: {', '.join(sorted(known))}"
    return f"is not a known {what}; {mend}"


def _shown(raw: Any) -> str:
    words = "a table" if isinstance(raw, dict) else "an array" if isinstance(raw, list) else repr(raw)
    if isinstance(raw, bool):
        words = str(raw).lower()
    return words if len(words) <= 80 else words[:77] + "..."


def _base(kind: Any) -> Any:
    while hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    return kind


def describe(kind: Any) -> str:
    """What a key's type allows, in words: the range or the list of choices."""
    if get_origin(_base(kind)) is tuple:
        inner = get_args(_base(kind))[0]
        return "tables" if isinstance(inner, type) else f"an array, each {describe(inner)}"
    metas: list[Meta] = [entry for entry in getattr(kind, "__metadata__", ()) if isinstance(entry, Meta)]
    base = _base(kind)
    if hasattr(base, "__args__") and get_origin(base) is not dict:
        return "one of " + ", ".join(choice or '""' for choice in get_args(base))
    low = next((m.ge if m.ge is not None else m.gt for m in metas if m.ge is not None or m.gt is not None), None)
    high = next((m.le if m.le is not None else m.lt for m in metas if m.le is not None or m.lt is not None), None)
    open_low = any(m.gt is not None for m in metas)
    noun = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}.get(base, "a table")
    if low is not None and high is not None:
        return f"{noun} {'above' if open_low else 'in'} {plain(low)}{' up to ' if open_low else '..'}{plain(high)}"
    if low is not None:
        return f"{noun} {'above' if open_low else 'of at least'} {plain(low)}"
    pattern = next((m.pattern for m in metas if m.pattern), None)
    return f"{noun} matching {pattern}" if pattern else noun
