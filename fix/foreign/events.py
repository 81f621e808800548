"""Events that only a session on quickfix has; same base and same ``on_event`` as all others."""

from fix.foreign.records import Report
from fix.session import SessionEvent


class Unsent(SessionEvent, frozen=True):
    """A message that was handed over was not sent, and used no number."""

    msg_type: str
    raw: bytes
    reason: str


class WorkerFailed(SessionEvent, frozen=True):
    """The worker process ended; ``restarts`` so far. ``standing_down``: it will not be started again."""

    reason: str
    restarts: int
    standing_down: bool


class Died(Report, frozen=True):
    """Not of the worker: its end, in order behind everything that it said."""

    reason: str
