"""Keeps a device's session alive behind the refreshing thread: heartbeats, burials, new attempts.

The refreshing thread owns the session that it uses; it hands one over by :meth:`Supervisor.bury` when it was
lost and takes a tested new one that was offered. So a device may take seconds to come back, or hang
for ever when it is freed, and no refresh waits for it.
"""

import threading
import time
from collections.abc import Callable

from gpu.cuda.sessions import DeviceSession
from gpu.errors import GpuError

_TICK_S = 0.005


class Supervisor:
    """One device's caretaker.

    Parameters
    ----------
    open_session
        Gives a tested session or raises GpuError.
    retry_after_s, retry_longest_s
        First and longest delay before another attempt; doubled when a session did not live for the longest.
    """

    def __init__(self, open_session: Callable[[], DeviceSession], retry_after_s: float, retry_longest_s: float) -> None:
        self._open = open_session
        self._shortest, self._longest = retry_after_s, retry_longest_s
        self._delay = 0.0
        self._next_try = 0.0
        self._opened = 0.0
        self._watched: DeviceSession | None = None
        self._wanted = False
        self._lost: list[DeviceSession] = []
        self._offer: DeviceSession | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.attempts = 0
        self.trouble = ""  #: why the last attempt failed

    def watch(self, session: DeviceSession, now: float) -> None:
        """Beat for a session that is in use."""
        self._opened, self._watched = now, session

    def bury(self, session: DeviceSession, now: float, again: bool) -> None:
        """Take over a lost session; ``again``: open another one in time."""
        self._watched = None
        lived = now - self._opened
        self._delay = 0.0 if lived > self._longest else min(max(2.0 * self._delay, self._shortest), self._longest)
        self._next_try = now + self._delay
        self._lost.append(session)
        self._wanted = again

    def want(self, now: float) -> None:
        """The first session could not be opened: try again in time."""
        self._delay, self._next_try, self._wanted = self._shortest, now + self._shortest, True

    def take(self) -> DeviceSession | None:
        """The new session, once: the caller owns it from here on."""
        offer = self._offer
        if offer is not None:
            self._offer = None
        return offer

    def step(self, now: float) -> None:
        """One round: beat, free what is done, open what is due. Called from one thread."""
        for session in (self._watched, self._offer):
            if session is not None:
                session.beat()
        for session in list(self._lost):
            if session.idle():
                session.close()
                self._lost.remove(session)
        if self._wanted and not self._lost and self._offer is None and now >= self._next_try:
            self._attempt(now)

    def _attempt(self, now: float) -> None:
        self.attempts += 1
        try:
            session = self._open()
        except GpuError as e:
            self.trouble = str(e)
            self._delay = min(max(2.0 * self._delay, self._shortest), self._longest)
            self._next_try = now + self._delay
            return
        self._wanted, self._offer = False, session

    def start(self) -> None:
        """Run rounds in a thread of their own."""
        self._thread = threading.Thread(target=self._run, name="axiom-gpu", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            self.step(time.monotonic())

    def close(self) -> None:
        """End the thread and free what is done; a device that hangs keeps what it holds."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            if self._thread.is_alive():
                return  # stuck in a driver's call: what it holds is its own
        offer = self.take()
        for session in [*self._lost, *([offer] if offer is not None else [])]:
            if session is offer or session.idle():
                session.close()
        self._lost.clear()
