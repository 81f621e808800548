"""Latency of a session by message type, in constant memory.

A histogram is log-linear: 16 steps a power of two, so a percentile is right to 6.25 %, from 64 ns
to about 35 s, in 4 kB. It is made when its first duration comes; an idle session has none. What is
measured where:

``handle``      bytes read from the socket to the handler's return, by MsgType received
``round_trip``  handed to the socket to the venue's first answer, by MsgType sent (D, F, G)
``store``       one append to the message store, by MsgType sent; every sixteenth is timed
"""

from array import array
from collections.abc import Iterable
from typing import Any

_STEP_BITS = 4
_STEPS = 1 << _STEP_BITS
_UNIT_BITS = 6  # the resolution is 64 ns
_POWERS = 25
_BUCKETS = (_POWERS + 1) * _STEPS
#: Requests without an answer that are remembered; the oldest go first.
MAX_OPEN_REQUESTS = 4096


class Histogram:
    """Counts of durations in nanoseconds."""

    __slots__ = ("counts", "max_ns", "total")

    def __init__(self) -> None:
        self.counts = array("Q", bytes(8 * _BUCKETS))
        self.total = 0
        self.max_ns = 0

    def record(self, nanos: int, count: int = 1) -> None:
        """Count ``count`` durations of ``nanos``; one below zero (a clock set back) counts as zero."""
        units = nanos >> _UNIT_BITS if nanos > 0 else 0
        if units >= _STEPS:
            shift = units.bit_length() - _STEP_BITS - 1
            bucket = (shift << _STEP_BITS) + (units >> shift)
            if bucket >= _BUCKETS:
                bucket = _BUCKETS - 1
        else:
            bucket = units
        self.counts[bucket] += count
        self.total += count
        if nanos > self.max_ns:
            self.max_ns = nanos

    def percentile_ns(self, share: float) -> float:
        """Duration that ``share`` (0..1) of all do not exceed, to 6.25 %; 0 when there are none."""
        if not self.total:
            return 0.0
        left = share * self.total
        for bucket, count in enumerate(self.counts):
            left -= count
            if count and left <= 1e-9:
                return min(_upper_bound_ns(bucket), float(self.max_ns))
        return float(self.max_ns)

    def merge(self, other: "Histogram") -> None:
        """Add the counts of ``other``."""
        for bucket, count in enumerate(other.counts):
            self.counts[bucket] += count
        self.total += other.total
        self.max_ns = max(self.max_ns, other.max_ns)

    def snapshot(self) -> dict[str, float]:
        """Count and percentiles in microseconds."""
        found: dict[str, float] = {"count": self.total}
        for name, share in (("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99), ("p999_us", 0.999)):
            found[name] = round(self.percentile_ns(share) / 1e3, 2)
        found["max_us"] = round(self.max_ns / 1e3, 2)
        return found


def _upper_bound_ns(bucket: int) -> float:
    """Largest duration that falls into ``bucket``."""
    shift = max((bucket >> _STEP_BITS) - 1, 0)
    step = bucket - (shift << _STEP_BITS)
    return float(((step + 1) << (shift + _UNIT_BITS)) - 1)


class SessionLatency:
    """All histograms of one session. Telemetry: it decides nothing."""

    __slots__ = ("_open", "handle", "round_trip", "store")

    def __init__(self) -> None:
        self.handle: dict[str, Histogram] = {}
        self.round_trip: dict[str, Histogram] = {}
        self.store: dict[str, Histogram] = {}
        self._open: dict[Any, tuple[int, str]] = {}

    def handled(self, msg_type: str, nanos: int, count: int = 1) -> None:
        """``count`` received messages were handled within ``nanos`` of their arrival."""
        _of(self.handle, msg_type).record(nanos, count)

    def stored(self, msg_type: str, nanos: int, count: int = 1) -> None:
        """An append of ``count`` messages took ``nanos``."""
        _of(self.store, msg_type).record(nanos, count)

    def requested(self, cl_ord_id: Any, msg_type: str, now_ns: int) -> None:
        """A request was handed to the socket."""
        pending = self._open
        if len(pending) >= MAX_OPEN_REQUESTS:
            del pending[next(iter(pending))]
        pending[cl_ord_id] = (now_ns, msg_type)

    def answered(self, cl_ord_id: Any, now_ns: int) -> None:
        """A report names a request: its first answer is what counts."""
        found = self._open.pop(cl_ord_id, None)
        if found is not None:
            _of(self.round_trip, found[1]).record(now_ns - found[0])

    def answered_all(self, cl_ord_ids: Iterable[Any], now_ns: int) -> None:
        """As :meth:`answered` for many."""
        if self._open:
            for cl_ord_id in cl_ord_ids:
                self.answered(cl_ord_id, now_ns)

    def forget_requests(self) -> None:
        """The line is down: what comes later is no answer in time."""
        self._open.clear()

    def snapshot(self) -> dict[str, dict[str, dict[str, float]]]:
        """Percentiles by what was measured and by MsgType."""
        return {
            name: {msg_type: found.snapshot() for msg_type, found in sorted(getattr(self, name).items())}
            for name in ("handle", "round_trip", "store")
        }


def _of(table: dict[str, Histogram], msg_type: str) -> Histogram:
    found = table.get(msg_type)
    if found is None:
        found = table[msg_type] = Histogram()
    return found
