"""Where commands print: results to stdout as text or one JSON document, the rest to stderr."""

import os
import sys
from typing import Any, NoReturn

import msgspec
from rich.console import Console

stderr = Console(stderr=True, highlight=False)


def _reader_gone() -> NoReturn:
    """Send what is still buffered nowhere and tell ``app.status_of``; with an errno the parser would exit with 1."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise BrokenPipeError


class _Stdout(Console):
    """rich ends the process with status 1 when the reader (head, a closed pager) has gone; that is no failure."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        _reader_gone()


def stdout() -> Console:
    """A console on the present stdout (tests replace it)."""
    return _Stdout(highlight=False)


def emit_json(document: Any) -> None:
    """Print ``document`` as one line of JSON."""
    text = msgspec.json.encode(document, enc_hook=_plain).decode() + "\n"
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_gone()


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
