"""A configuration back to TOML: what ``axiom config show`` prints and ``axiom demo`` runs from."""

import json
from typing import Any

import msgspec

from config.schema import AxiomConfig


def to_toml(config: AxiomConfig) -> str:
    """Every key with its value; ``load_text`` of it gives an equal configuration."""
    lines: list[str] = []
    _table(msgspec.to_builtins(config), "", lines)
    return "\n".join(lines).strip() + "\n"


def _table(table: dict[str, Any], name: str, lines: list[str]) -> None:
    """Scalars first: in TOML a key behind a sub-table's header would belong to that."""
    for key, value in table.items():
        if not isinstance(value, dict) and not _is_tables(value):
            lines.append(f"{_key(key)} = {_scalar(value)}")
    for key, value in table.items():
        path = f"{name}.{_key(key)}" if name else _key(key)
        if isinstance(value, dict):
            lines += ["", f"[{path}]"]
            _table(value, path, lines)
        elif _is_tables(value):
            for entry in value:
                lines += ["", f"[[{path}]]"]
                _table(entry, path, lines)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_scalar(entry) for entry in value) + "]"
    if isinstance(value, str):
        # TOML's basic strings take JSON's escapes, save that a lone surrogate is not a character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
