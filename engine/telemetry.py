"""Orders and events for onlookers, as they leave the step: by a ring, or by Aeron to another machine.

A copy, off the path: the event loop sends it after the sessions have theirs, nobody is waited for, and
who misses some sees a void frame. What must not be lost stands in the journal.
"""

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from config.schema import AxiomConfig
from market.rings import FRAME_WORDS
from market.transport.choose import open_publisher
from market.transport.interface import Publisher

_SILENCE_NS = 2_000_000_000


class Telemetry:
    """Sends output frames on."""

    def __init__(self, publisher: Publisher) -> None:
        self.sent = 0
        self.lost = 0  # no room, or nobody listened
        self._publisher = publisher
        publisher.publish(np.zeros((1, FRAME_WORDS), np.int64), 0)  # compiled or loaded before the first order

    def send(self, cells: npt.NDArray[Any], count: int) -> None:
        """Send ``cells[:count]`` (int64[n, 16])."""
        sent = self._publisher.publish(cells, count)
        self.sent += sent
        self.lost += count - sent

    def beat(self) -> None:
        """Say that the daemon lives; ten times a second."""
        now = time.time_ns()
        self._publisher.beat(now, now)

    def close(self) -> None:
        """End in order."""
        self._publisher.close()


def open_telemetry(config: AxiomConfig) -> Telemetry | None:
    """What ``engine.telemetry`` asks for.

    Raises
    ------
    TransportError
        The address is wrong, or its carrier is not installed or not reachable.
    RingError
        Another process publishes to the ring.
    """
    where = config.engine.telemetry
    if where == "none":
        return None
    return Telemetry(open_publisher(where, base=config.runtime_dir, silence_ns=_SILENCE_NS))
