"""Latency histograms: constant memory, log-linear, written by one thread each, read by any.

Bucket of ``n`` nanoseconds: 16 linear steps per power of two, so a percentile is within 6.25 % of
the true value, from 16 ns to about 9 minutes. Telemetry, not state: a replay does not reproduce it.
"""

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from market.ids import slot_of
from market.jit import kernel

STEPS = 16
BUCKETS = 36 * STEPS


class Stage(IntEnum):
    """What is measured."""

    TICK_TO_ORDER = 0  # step took the frame -> the order's bytes were handed to the socket
    ACK = 1  # handed to the socket -> the venue's answer was read
    STEP = 2  # one turn of the step thread, per frame
    LOOP_LAG = 3  # how late the 10 ms timer ran
    JOURNAL_SYNC = 4


@kernel(inline=True)
def _bucket(nanos: int) -> int:
    if nanos < STEPS:
        return max(nanos, 0)
    exponent = 0
    rest = nanos
    while rest >= 2 * STEPS:
        rest >>= 1
        exponent += 1
    return min((exponent + 1) * STEPS + rest - STEPS, BUCKETS - 1)


@kernel
def record(histogram: npt.NDArray[np.int64], nanos: int) -> None:
    """Count one duration."""
    histogram[_bucket(nanos)] += 1


@kernel
def record_orders(
    histogram: npt.NDArray[np.int64], sent_ns: npt.NDArray[np.int64], orders: Any, count: int, now_ns: int
) -> None:
    """Count tick-to-order of ``count`` ORDER rows just sent, and remember when each slot was sent."""
    for i in range(count):
        histogram[_bucket(now_ns - orders[i].tick_ns)] += 1
        slot = np.int64(orders[i].slot)
        if 0 <= slot < len(sent_ns):
            sent_ns[slot] = now_ns


@kernel
def record_answers(
    histogram: npt.NDArray[np.int64], sent_ns: npt.NDArray[np.int64], executions: Any, count: int, now_ns: int
) -> None:
    """Count, for each first answer to a request, how long the venue took."""
    for i in range(count):
        slot = slot_of(executions[i].cl_ord_id)
        if 0 <= slot < len(sent_ns) and sent_ns[slot] != 0:
            histogram[_bucket(now_ns - sent_ns[slot])] += 1
            sent_ns[slot] = 0


def upper_bound_ns(bucket: int) -> float:
    """Largest duration that falls into ``bucket``."""
    if bucket < STEPS:
        return float(bucket)
    exponent, step = divmod(bucket, STEPS)
    return float((STEPS + step + 1) << (exponent - 1)) - 1.0


class Latencies:
    """One histogram per stage, and the send stamps of the order slots."""

    def __init__(self, max_orders: int) -> None:
        self.histograms = np.zeros((len(Stage), BUCKETS), np.int64)
        self.sent_ns = np.zeros(max_orders, np.int64)

    def add(self, stage: Stage, nanos: int) -> None:
        """Count one duration from plain Python."""
        record(self.histograms[stage], nanos)

    def summary_us(self, stage: Stage) -> dict[str, float]:
        """Percentiles in microseconds, and the count."""
        counts = self.histograms[stage]
        total = int(counts.sum())
        result: dict[str, float] = {"count": total}
        cumulative = np.cumsum(counts)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)):
            place = int(np.searchsorted(cumulative, max(1.0, share * total)))
            result[name] = round(upper_bound_ns(min(place, BUCKETS - 1)) / 1000.0, 3) if total else 0.0
        return result
