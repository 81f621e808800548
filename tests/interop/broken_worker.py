"""A worker with one fault built in: ``broken_worker.py FAULT FD``. Otherwise the real one.

========== =====================================================================
raise:NAME the callback NAME raises, inside its guard
unguarded  fromApp raises without a guard: the hazard that the guard is for
hang       fromApp never returns
spooled    the process dies after a message is spooled, before quickfix counts it
stored     the process dies after quickfix has stored a message of ours, before it uses up its number
segfault   fromApp reads address 0
start      the worker cannot start
========== =====================================================================

A message whose text is ``boom`` sets a fault off, once in the life of the session's directory.
"""

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from fix.foreign import application, worker


def armed(line: Any) -> bool:
    """Whether the fault has still to happen; it happens now."""
    mark = Path(line.spec.files) / "went-off"
    if mark.exists():
        return False
    mark.touch()
    return True


def break_callback(name: str, fault: Any) -> None:
    """Let ``fault`` run inside the guard of a callback of the application."""
    original = getattr(application.Application, name).__wrapped__

    def broken(self: Any, *arguments: Any) -> Any:
        line = self.lines[arguments[-1].toString()]
        if name not in ("fromApp", "toApp") or "58=boom" in arguments[0].toString():
            fault(line)
        return original(self, *arguments)

    broken.__name__ = name
    setattr(application.Application, name, application.guarded(*_LET.get(name, ()))(broken))


_LET = {"toApp": (application.quickfix.DoNotSend,), "fromAdmin": (application.quickfix.RejectLogon,)}


def raises(line: Any) -> None:
    if armed(line):
        raise ValueError("broken on purpose")


def hangs(line: Any) -> None:
    if armed(line):
        threading.Event().wait()


def crashes(line: Any) -> None:
    if armed(line):
        ctypes.string_at(0)


def dies_storing(self: Any, message: Any, session_id: Any) -> None:
    """toApp, and what quickfix does next, byte for byte: the body, then its header; the number is not counted."""
    line = self.lines[session_id.toString()]
    raw = application.to_bytes(message.toString())
    if b"58=boom" in raw and armed(line):
        body, header = (line.prefix.with_name(f"{line.prefix.name}.{end}") for end in ("body", "header"))
        with body.open("ab") as messages, header.open("ab") as entries:
            entries.write(b"%d,%d,%d " % (application.number(raw, 34), messages.tell(), len(raw)))
            messages.write(raw)
        os.kill(os.getpid(), signal.SIGKILL)
    _TO_APP(self, message, session_id)


_TO_APP = application.Application.toApp


def main() -> None:
    fault = sys.argv[1]
    del sys.argv[1]
    if fault.startswith("raise:"):
        break_callback(fault.removeprefix("raise:"), raises)
    elif fault == "unguarded":
        break_callback("fromApp", raises)
        application.Application.fromApp = application.Application.fromApp.__wrapped__
    elif fault == "hang":
        break_callback("fromApp", hangs)
    elif fault == "segfault":
        break_callback("fromApp", crashes)
    elif fault == "spooled":
        append = application.SpoolWriter.append

        def die_after(self: Any, seq: int, raw: bytes) -> None:
            append(self, seq, raw)
            mark = self.path.with_name("went-off")
            if b"58=boom" in raw and not mark.exists():
                mark.touch()
                os._exit(1)

        application.SpoolWriter.append = die_after  # type: ignore[method-assign]
    elif fault == "stored":
        application.Application.toApp = dies_storing
    elif fault == "start":
        worker.Worker._start = lambda self, setup: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    worker.main()


if __name__ == "__main__":
    main()
