"""What a session asks of whoever drives its lane."""

import time
from typing import Any

from fix.lane.receiving import lane_take_back, lane_wait

#: A step thread that has not obeyed for so long is not turning any more.
WAIT_S = 1.0
_SPINS = 20_000  # about a millisecond: between two looks at the clock


class LaneDriver:
    """The step as a session sees it.

    Attributes
    ----------
    same_thread:
        Nobody else runs the step now: it is the caller's own thread, or it stands still. May be a property.
    """

    same_thread: bool = False

    def now_ns(self) -> int:
        """The clock whose readings the lane's kernels are given."""
        return time.time_ns()

    def _alone(self) -> bool:
        return self.same_thread

    def wait_returned(self, lanes: Any, k: int) -> bool:
        """Get lane ``k`` back, whose wish is raised; False when nobody obeys within ``WAIT_S``."""
        if self.same_thread:
            return bool(lane_take_back(lanes, k))
        deadline_ns = time.monotonic_ns() + int(WAIT_S * 1e9)
        while not lane_wait(lanes, k, _SPINS):
            if self._alone():  # the thread has ended meanwhile
                return bool(lane_take_back(lanes, k))
            if time.monotonic_ns() > deadline_ns:
                return False
        return True
