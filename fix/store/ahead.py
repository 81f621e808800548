"""One thread for all stores of a process: it makes windows ready before they are needed, and clears used ones away.

Allocating and touching 16 MiB takes milliseconds, sometimes many, and unmapping them again about one: an event loop
that did it would hold up every session meanwhile.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Protocol

_WAITING, _BEGUN, _OVER, _CANCELLED = range(4)


class Closes(Protocol):
    """What can be let go of."""

    def close(self) -> None:
        """Let go."""


class Task(ABC):
    """Something to be done ahead. What it makes belongs to the thread until :attr:`over`.

    Attributes
    ----------
    error:
        Why it was not done; None when it was, or never begun.
    """

    def __init__(self, when_over: Callable[[], None] | None = None) -> None:
        self.error: Exception | None = None
        self._when_over = when_over
        self._state = _WAITING
        self._changed = threading.Condition()

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self._state == _OVER

    @abstractmethod
    def act(self) -> None:
        """Do it: on the helper's thread."""

    def play(self) -> None:
        """The helper's part: unless it was cancelled, do it, then say so."""
        with self._changed:
            if self._state == _CANCELLED:
                return
            self._state = _BEGUN
        try:
            self.act()
        except Exception as error:  # noqa: BLE001  the thread's outermost frame: whoever asked is told
            self.error = error
        with self._changed:
            self._state = _OVER
            self._changed.notify_all()
        if self._when_over is not None:
            self._when_over()

    def cancel(self) -> bool:
        """Do not begin it; False where it was begun, and is over now: this waits for it."""
        with self._changed:
            if self._state == _WAITING:
                self._state = _CANCELLED
                return True
            self._changed.wait_for(lambda: self._state != _BEGUN)
        return False


class Clear(Task):
    """Let go of mappings."""

    def __init__(self, *used: Closes) -> None:
        super().__init__()
        self._used = list(used)

    def act(self) -> None:
        """Close them; one that somebody still looks at goes with that."""
        while self._used:
            with suppress(BufferError):
                self._used.pop().close()


class Helper:
    """The thread. It is started when there is something to do, and anew in a process that was forked."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ask(self, task: Task) -> None:
        """Have ``task`` done after those asked for before."""
        if self._thread is None or not self._thread.is_alive():
            self._start()
        self._tasks.put(task)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._tasks = SimpleQueue()
                self._thread = threading.Thread(target=self._run, name="fix store ahead", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._tasks.get().play()


HELPER = Helper()
