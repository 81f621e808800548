"""Processes that compile kernels beside the one that waits for them.

Compiling holds Python's lock most of the time, so threads would not help. Each helper compiles some
tasks of ``engine.warmup`` into the cache on disk, where the waiting process then finds them; what a
helper has not done, for whatever reason, the waiting process compiles itself. Helpers start at the
first function that is really compiled: a start from a full cache never sees them.

A helper says on its standard output what it has done, and ends when its standard input does: so it
outlives neither the end of its parent nor its being killed.
"""

import contextlib
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numba.core.event import Listener, install_listener

_PROJECT_DIR = str(Path(__file__).resolve().parent.parent)
_HELPER_BYTES = 1 << 30  #: free memory that a helper asks for: it grows to half of it
_COMPILED, _DONE = "+", "="  #: first letters of what a helper says

#: Who does what, by the number of helpers. The waiting process does the step meanwhile, which takes longest.
ROSTERS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (),
    (("lanes", "codec", "analytics"),),
    (("lanes", "codec"), ("analytics",)),
    (("lanes", "codec"), ("analytics",), ("handlers",)),
)


def helpers_for(cores: int, free_bytes: int) -> int:
    """How many helpers a machine bears: one for each core but ours and each GiB of free memory, at most three."""
    return max(0, min(cores - 1, free_bytes // _HELPER_BYTES, len(ROSTERS) - 1))


def _free_bytes() -> int:
    """Memory that can be had without swapping; plenty where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62


class _Events(Listener):  # type: ignore[misc]
    """Tells of compilations; what comes from the cache is none."""

    def __init__(self, began: Callable[[], None], compiled: Callable[[str], None]) -> None:
        self._began = began
        self._compiled = compiled

    def on_start(self, _event: Any) -> None:
        """A function is not in the cache."""
        self._began()

    def on_end(self, event: Any) -> None:
        """It has been compiled: named by what it is, the same in every process."""
        function = event.data["dispatcher"].py_func
        name = f"{function.__module__}.{function.__qualname__} {event.data['args']}"
        self._compiled(f"{zlib.crc32(name.encode()):08x}")


class Crew:
    """The helpers of one warm-up; a context manager that leaves none of them behind.

    Parameters
    ----------
    counted
        Told how many different functions have been compiled, by whomever; called from several threads,
        one at a time.
    helpers
        How many processes to start; None: as many as the machine bears.
    """

    def __init__(self, counted: Callable[[int], None], helpers: int | None = None) -> None:
        if helpers is None:
            helpers = helpers_for(len(os.sched_getaffinity(0)), _free_bytes())
        self._roster = ROSTERS[helpers]
        self._counted = counted
        self._names: set[str] = set()
        self._lock = threading.Lock()
        self._started = False
        self._over: dict[str, threading.Event] = {}
        self._processes: list[subprocess.Popen[str]] = []
        self._listeners: list[threading.Thread] = []
        self._listening = contextlib.ExitStack()

    def __enter__(self) -> "Crew":
        self._listening.enter_context(install_listener("numba:compile", _Events(self.start, self._compiled)))
        return self

    def __exit__(self, *_error: object) -> None:
        self._listening.close()
        for process in self._processes:
            process.kill()
        for listener in self._listeners:
            listener.join()  # its pipe ends with its helper
        for process in self._processes:
            process.communicate()

    def start(self) -> None:
        """Start the helpers, once."""
        if self._started:
            return
        self._started = True
        for tasks in self._roster:
            with contextlib.suppress(OSError):  # no process to be had: their tasks are compiled here
                self._start_one(tasks)

    def wait(self, *tasks: str) -> None:
        """Until helpers have done ``tasks``, or have ended without: then they are the caller's to do."""
        for task in tasks:
            if task in self._over:
                self._over[task].wait()

    def _start_one(self, tasks: Sequence[str]) -> None:
        path = os.pathsep.join(filter(None, (_PROJECT_DIR, os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.crew", *tasks],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # whatever it cannot do is done, and complained of, here
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # a Ctrl-C is ours to act on
        )
        self._processes.append(process)
        self._over.update({task: threading.Event() for task in tasks})
        listener = threading.Thread(target=self._listen, args=(process, tasks), name="axiom-crew", daemon=True)
        self._listeners.append(listener)
        listener.start()

    def _listen(self, process: "subprocess.Popen[str]", tasks: Sequence[str]) -> None:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line[0] == _COMPILED:
                    self._compiled(line[1:-1])
                elif line[0] == _DONE:
                    self._over[line[1:-1]].set()
        finally:
            for task in tasks:
                self._over[task].set()

    def _compiled(self, name: str) -> None:
        with self._lock:
            self._names.add(name)
            self._counted(len(self._names))


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)  # in the middle of whatever the other thread compiles: files appear whole or not at all


def help_compile(tasks: Sequence[str]) -> None:
    """Be a helper: do ``tasks`` and say so. Never called in the process that waits."""
    from engine.warmup import TASKS, calm_collector

    said = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what anything else prints is no news for the parent
    threading.Thread(target=_end_with_parent, name="axiom-parent", daemon=True).start()

    def compiled(name: str) -> None:
        said.write(f"{_COMPILED}{name}\n")

    with calm_collector(), install_listener("numba:compile", _Events(lambda: None, compiled)):
        for task in tasks:
            TASKS[task](lambda _text: None)
            said.write(f"{_DONE}{task}\n")


if __name__ == "__main__":
    help_compile(sys.argv[1:])
