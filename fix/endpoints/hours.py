"""When a session may be up: its schedule, and the numbers that start over with each of its days."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from fix.endpoints.connection import Connection
from fix.endpoints.events import ScheduleClosed, ScheduleOpened
from fix.endpoints.ticker import ticker
from fix.schedule import Schedule
from fix.session import SessionEvent, SessionMachine
from fix.store import Store


class Hours(ABC):
    """The part of :class:`fix.endpoints.session.FixSession` that follows the schedule."""

    store: Store
    machine: SessionMachine
    schedule: Schedule | None
    wakeup: asyncio.Event
    _clock: Callable[[], int]
    _connection: Connection | None
    _down_text: str | None
    _schedule_due_ns: int
    _session_start: int | None

    @abstractmethod
    def tick(self, now_ns: int) -> None:
        """Time has passed."""

    @abstractmethod
    def stalled(self, late_ns: int) -> None:
        """Our process was frozen."""

    @abstractmethod
    def clock_jumped(self, delta_ns: int) -> None:
        """UTC was stepped."""

    @abstractmethod
    def logout(self, text: str = "") -> None:
        """Say Logout and wait for the answer."""

    @abstractmethod
    def _settle(self, events: list[SessionEvent]) -> None:
        """Carry out what an operator's call brought about."""

    @abstractmethod
    def _tell(self, method: str, argument: object) -> None:
        """Call an optional method of the handler."""

    def closed_reason(self, now_ns: int | None = None) -> str:
        """Why no connection may be made now; empty when it may."""
        return self._outside_hours(now_ns) if self._down_text is None else self._down_text

    def _outside_hours(self, now_ns: int | None) -> str:
        if self.schedule is not None:
            now_ns = self._clock() if now_ns is None else now_ns
            if not self.schedule.is_open(now_ns):
                return f"outside its hours ({self.schedule.describe()})"
            if not self.schedule.logon_open(now_ns):
                return f"outside its logon window ({self.schedule.describe()})"
            if now_ns >= self._schedule_due_ns:
                self._watch_schedule(now_ns)
        return ""

    def watch(self) -> None:
        """Follow the schedule while no connection is there. Called by the endpoint."""
        if self.schedule is not None:
            ticker().add(self)

    def unwatch(self) -> None:
        """The endpoint is closed."""
        if self._connection is None:
            with suppress(RuntimeError):  # no loop is running: then nothing ticks either
                ticker().remove(self)

    def _watch_schedule(self, now_ns: int) -> None:
        assert self.schedule is not None
        self._schedule_due_ns = self.schedule.next_change(now_ns) or 1 << 62
        self.wakeup.set()
        start = self.schedule.session_start(now_ns)
        if start == self._session_start:
            return
        self._session_start = start
        if start is None:
            self._tell("on_event", ScheduleClosed())
        if self._connection is not None:
            self.logout("the session's hours are over")  # the numbers start over once it is down
        else:
            self._roll(now_ns)

    def _roll(self, now_ns: int) -> None:
        """Begin the schedule's session: the numbers start over unless they are of this session."""
        assert self.schedule is not None
        if not self.schedule.is_open(now_ns):
            return
        reset = not self.schedule.same_session(self.store.created_ns, now_ns)
        if reset:
            self._settle(self.machine.reset_sequences(now_ns))
        self._tell("on_event", ScheduleOpened(reset))
