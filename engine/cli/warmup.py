"""``axiom warmup``: compile every kernel now, so that the next start is a warm one."""

import time

from engine.cli.output import emit, stderr
from engine.cli.profile import JsonOption


def warmup(as_json: JsonOption = False) -> None:
    """Compile every kernel into the cache."""
    from engine.warmup import warm_kernels

    began = time.monotonic()
    count = warm_kernels(lambda text: None if as_json else stderr.print(text, markup=False))
    took_s = round(time.monotonic() - began, 2)
    emit({"ok": True, "result": {"kernels": count, "seconds": took_s}}, f"{count} kernels, {took_s} s", as_json=as_json)
