"""Wall clock against monotonic clock: a jump of the wall clock is detected, not followed blindly.

The step has no clock of its own; drivers stamp frames. ``ClockWatch`` compares how far the two
clocks moved between two looks: more than ``tolerance_ns`` apart means that somebody set the time,
which the daemon turns into a CLOCK_JUMP control frame (quotes are pulled, ages are void).
"""

import time
from dataclasses import dataclass, field

DEFAULT_TOLERANCE_NS = 500_000_000


@dataclass
class ClockWatch:
    """Remembers the offset wall - monotonic; :meth:`check` returns the jump in ns, 0 if none."""

    tolerance_ns: int = DEFAULT_TOLERANCE_NS
    _offset_ns: int = field(default_factory=lambda: time.time_ns() - time.monotonic_ns())

    def check(self, wall_ns: int | None = None, monotonic_ns: int | None = None) -> int:
        """Compare both clocks with the last look; clocks may be passed in (tests, replay)."""
        wall = time.time_ns() if wall_ns is None else wall_ns
        mono = time.monotonic_ns() if monotonic_ns is None else monotonic_ns
        jump = (wall - mono) - self._offset_ns
        self._offset_ns = wall - mono
        return jump if abs(jump) > self.tolerance_ns else 0
