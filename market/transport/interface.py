"""What every carrier of frames offers."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.int64]  #: frames as int64[n, 16]


class Publisher(Protocol):
    """The sending end; one thread."""

    def publish(self, cells: Words, count: int) -> int:
        """Send ``cells[:count]`` in order; returns how many left.

        Fewer than ``count``: the carrier had no room or nobody listens. Those frames are gone, their
        numbers are not, so that subscribers see the gap.
        """

    def beat(self, wall_ns: int, market_ns: int) -> None:
        """Say that the publisher lives, at ``wall_ns``, its market being at ``market_ns``."""

    def close(self) -> None:
        """End in order."""


class Subscriber(Protocol):
    """The receiving end; one thread."""

    def poll(self, out: Words) -> int:
        """Write the next frames into ``out[:n]`` and return n; 0: none now.

        Where frames were lost, or another publisher took over, a void frame stands: a TIMER frame whose
        ``period_ns`` is ``market.rings.VOID_NS``.
        """

    @property
    def heartbeat_ns(self) -> int:
        """Wall time of the publisher's last sign of life by its own clock; 0: none yet."""

    @property
    def market_ns(self) -> int:
        """The publisher's market time then."""

    @property
    def silence_ns(self) -> int:
        """Longest silence that the publisher promised; 0: not known yet."""

    @property
    def books(self) -> int:
        """Instrument numbers of the publisher are below this; 0: not known yet."""

    @property
    def ended(self) -> bool:
        """Whether the publisher said that it ended."""

    def close(self) -> None:
        """Stop listening."""
