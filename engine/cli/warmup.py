"""``axiom warmup``: compile every kernel now, so that the next start is a warm one."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.cli.output import emit, stderr
from engine.cli.profile import JsonOption

_LINE_EVERY_S = 10.0
_DRAW_EVERY_S = 0.1

Say = Callable[[str], None]
Counted = Callable[[int], None]


def warmup(as_json: JsonOption = False) -> None:
    """Compile every kernel into the cache."""
    from engine.warmup import EXPECTED_COMPILATIONS, warm_kernels

    began = time.monotonic()
    compiled = 0
    with _silent() if as_json else _bar(EXPECTED_COMPILATIONS) if stderr.is_terminal else _lines() as (say, counted):

        def kept(done: int) -> None:
            nonlocal compiled
            compiled = done
            counted(done)

        count = warm_kernels(say, kept)
    took_s = round(time.monotonic() - began, 2)
    text = f"{count} kernels, {took_s} s" + (f", {compiled} functions compiled" if compiled else "")
    emit({"ok": True, "result": {"kernels": count, "seconds": took_s, "compiled": compiled}}, text, as_json=as_json)


@contextlib.contextmanager
def _silent() -> Iterator[tuple[Say, Counted]]:
    yield lambda _text: None, lambda _done: None


@contextlib.contextmanager
def _bar(expected: int) -> Iterator[tuple[Say, Counted]]:
    """One bar for all processes that compile; none where everything is loaded from the cache."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    drawn = 0.0
    with Progress(*columns, console=stderr, auto_refresh=False, transient=True) as progress:
        bar = progress.add_task("loading kernels", total=expected, visible=False)

        def say(text: str) -> None:
            progress.update(bar, description=text, refresh=True)

        def counted(done: int) -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn >= _DRAW_EVERY_S:
                drawn = now
                progress.update(bar, completed=min(done, expected), visible=True, refresh=True)

        yield say, counted


@contextlib.contextmanager
def _lines() -> Iterator[tuple[Say, Counted]]:
    """For a log: what is being done, and now and then how far it is."""
    said = time.monotonic()

    def say(text: str) -> None:
        stderr.print(text, markup=False)

    def counted(done: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= _LINE_EVERY_S:
            said = now
            stderr.print(f"{done} functions compiled", markup=False)

    yield say, counted
