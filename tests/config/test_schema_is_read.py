"""A key that nothing reads is a promise that nobody keeps."""

import re
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import msgspec
import pytest
from msgspec import Struct

from config.schema import AxiomConfig

ROOT = Path(__file__).resolve().parents[2]
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for package in ("fix", "gpu", "risk", "simulator", "strategies", "engine")
    for path in sorted((ROOT / package).rglob("*.py"))
    if "cli" not in path.parts
)
#: Read by the schema's own properties (paths), or by the command line alone.
ELSEWHERE = {"engine.state_dir", "engine.runtime_dir", "sessions.market_data", "simulator.state_dir"}


def keys(kind: type[Struct], prefix: str = "") -> list[str]:
    found = []
    for field in msgspec.structs.fields(kind):
        hint = get_type_hints(kind, include_extras=True)[field.name]
        bare = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
        inner = get_args(bare)[0] if get_origin(bare) is tuple else bare
        if isinstance(inner, type) and issubclass(inner, Struct):
            found += keys(inner, f"{prefix}{field.name}.")
        else:
            found.append(prefix + field.name)
    return found


@pytest.mark.parametrize("key", [key for key in keys(AxiomConfig) if key not in ELSEWHERE])
def test_key_is_read_by_some_source(key: str) -> None:
    name = key.rpartition(".")[2]
    # By attribute, or by name in a table of those that are handed on as they are.
    is_read = re.search(rf"\.{name}\b|\"{name}\"", SOURCES) is not None
    assert is_read, f"{key} is in the schema but nothing reads it"
