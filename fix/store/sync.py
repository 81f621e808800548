"""Group commit: one thread of a process forces all its stores to the disk, a window apart.

The sending path never waits for a disk. What a loss of power can take is what was written within
the window before it, plus the time that the disk takes for one round; see :class:`SyncStats`. A
kill of the process takes nothing, window or not.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from fix.errors import StoreError

#: Fifty milliseconds: twenty rounds a second are nothing to a disk, and an exchange's own
#: reports outlive us for longer than that.
WINDOW_S = 0.05


class Syncable(Protocol):
    """A store that can be forced to the disk from another thread."""

    @property
    def written(self) -> tuple[int, int, int]:
        """Changes when there is something new to force."""

    def sync(self) -> None:
        """Force everything to the disk."""


class SyncStats(msgspec.Struct, frozen=True):
    """How the rounds have gone."""

    window_s: float
    rounds: int
    syncs: int  # stores forced; one that was not written since is left out
    last_round_s: float
    longest_round_s: float
    failures: int

    @property
    def exposed_s(self) -> float:
        """Age that anything not on the disk had at most."""
        return self.window_s + 2 * self.longest_round_s


class GroupSync:
    """Forces the stores that were written since the last round, every ``window_s``.

    Parameters
    ----------
    on_failure:
        Called on the sync thread with the store and the error when the disk refuses. From then on
        that store refuses to append, so its session stands down; it is not tried again, because a
        disk that has failed once may say that it succeeded the next time.
    """

    def __init__(
        self, window_s: float = WINDOW_S, on_failure: Callable[[Syncable, StoreError], None] | None = None
    ) -> None:
        if not 0 < window_s <= 60:
            raise StoreError(f"window_s must be above 0 and at most 60, was {window_s}")
        self.window_s = window_s
        self._on_failure = on_failure
        self._stores: dict[Syncable, tuple[int, int, int] | None] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._rounds = self._syncs = self._failures = 0
        self._last_round_s = self._longest_round_s = 0.0

    def add(self, store: Syncable) -> None:
        """Cover ``store`` from now on."""
        with self._lock:
            self._stores[store] = None

    def remove(self, store: Syncable) -> None:
        """Do not cover ``store`` any more: before it is closed."""
        with self._lock:
            self._stores.pop(store, None)

    def start(self) -> None:
        """Begin."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="fix store sync", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Make a last round and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.round()

    def round(self) -> int:
        """Force now what was written since the last round; how many stores that were."""
        begun_s = time.monotonic()
        with self._lock:
            due = [(store, known) for store, known in self._stores.items()]
        done = 0
        for store, known in due:
            written = store.written  # before the sync: what is written during it is the next round's
            if written == known:
                continue
            try:
                store.sync()
            except StoreError as error:
                self._failures += 1
                self.remove(store)
                if self._on_failure is not None:
                    self._on_failure(store, error)
                continue
            done += 1
            with self._lock:
                if store in self._stores:
                    self._stores[store] = written
        self._rounds += 1
        self._syncs += done
        self._last_round_s = time.monotonic() - begun_s
        self._longest_round_s = max(self._longest_round_s, self._last_round_s)
        return done

    def stats(self) -> SyncStats:
        """How the rounds have gone so far."""
        return SyncStats(
            self.window_s, self._rounds, self._syncs, self._last_round_s, self._longest_round_s, self._failures
        )

    def _run(self) -> None:
        while not self._stopping.wait(self.window_s):
            self.round()
