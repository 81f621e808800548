"""Where commands print: results to stdout as text or one JSON document, the rest to stderr."""

import sys
from typing import Any

import msgspec
from rich.console import Console

stderr = Console(stderr=True, highlight=False)


def stdout() -> Console:
    """A console on the present stdout (tests replace it)."""
    return Console(highlight=False)


def emit_json(document: Any) -> None:
    """Print ``document`` as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(document, enc_hook=_plain).decode() + "\n")
    sys.stdout.flush()


def emit(document: Any, text: str, *, as_json: bool) -> None:
    """Print a command's result: the document with ``--json``, else the text."""
    if as_json:
        emit_json(document)
    elif text:
        stdout().print(text, markup=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    """JSON for what msgspec does not know: numpy scalars and arrays, paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "_asdict"):
        return value._asdict()
    return str(value)
