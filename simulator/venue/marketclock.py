"""Simulated market time: a straight line over wall time, shared by the processes of one market.

``sim = start + (wall - origin) * speed``. The line is kept in a small file, so that a venue that
was killed comes back at the time the market has reached meanwhile, and so that two processes that
host one venue each agree. After a longer absence, at another speed or once the recorded day is
over the market begins anew: a day-old line would lead nowhere.
"""

import fcntl
import os
import time
from pathlib import Path

import msgspec

RESUME_WITHIN_NS = 60_000_000_000  #: an outage longer than this starts the market anew


class ClockLine(msgspec.Struct, frozen=True):
    """``sim = start_ns + (wall - origin_ns) * speed``; ``market`` names what it was drawn for."""

    start_ns: int
    origin_ns: int
    speed: float
    market: str

    def at(self, wall_ns: int) -> int:
        """Market time at a wall time."""
        return self.start_ns + int((wall_ns - self.origin_ns) * self.speed)


class MarketClock:
    """Market time now; wall time is read once, then the monotonic clock carries on.

    A wall clock that is set while the market runs moves nothing: time never goes back.
    """

    def __init__(self, line: ClockLine) -> None:
        self.line = line
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._last_ns = line.start_ns

    def now_ns(self) -> int:
        """Market time, UTC nanoseconds; never less than what was returned before."""
        self._last_ns = max(self._last_ns, self.line.at(time.monotonic_ns() + self._offset_ns))
        return self._last_ns


class ClockFile:
    """The line on disk; its modification time says when a process of this market was last alive."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open_line(self, *, start_ns: int, end_ns: int, speed: float, market: str, now_ns: int) -> ClockLine:
        """Continue the market's line if it is recent and of this market, else draw a new one.

        Two processes may start together: the first one draws it for both.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that start together must not draw two lines
            found = self._recent(now_ns)
            if found is not None and found.market == market and found.speed == speed and found.at(now_ns) < end_ns:
                return found
            line = ClockLine(start_ns, now_ns, speed, market)
            temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            temporary.write_bytes(msgspec.json.encode(line))
            temporary.rename(self.path)
            return line

    def touch(self) -> None:
        """Say that this market is alive; about once a second."""
        if self.path.exists():
            os.utime(self.path)

    def forget(self) -> None:
        """A clean end: the next start draws a new line."""
        self.path.unlink(missing_ok=True)

    def _recent(self, now_ns: int) -> ClockLine | None:
        try:
            age_ns = now_ns - self.path.stat().st_mtime_ns
            return msgspec.json.decode(self.path.read_bytes(), type=ClockLine) if age_ns < RESUME_WITHIN_NS else None
        except (FileNotFoundError, msgspec.DecodeError):
            return None
