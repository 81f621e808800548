"""Latency histograms by stage: constant memory, log-linear, in a file that other processes may read.

Bucket of ``n`` nanoseconds: 16 linear steps per power of two, so a percentile is within 6.25 % of
the true value, from 16 ns to about 9 minutes. Two threads count (asyncio and the step), each into slots of
its own; whoever reads adds them up. Telemetry, not state: a replay does not reproduce it.

Coordinated omission: what happens while the measured thing stalls must be counted as well. Ages and
tick to order begin at stamps that their *sources* gave (a publisher, an order's own send), so whatever
had to wait in a ring or a socket counts with all of its waiting. What is measured by a clock of ours that
stalls with the rest (the loop's timer, the journal's commits) is corrected by the expected interval: a tick that
came late also counts as those that were due meanwhile (:func:`record_paced`).
"""

import mmap
import os
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from market.ids import slot_of
from market.jit import kernel

STEPS = 16
BUCKETS = 36 * STEPS
ASYNCIO, STEP_THREAD = 0, 1  #: who counts
_WRITERS = 2
_MAGIC = 0x415849_4C4154_0001
_HEADER_WORDS = 8
FILE_NAME = "latency"


class Stage(IntEnum):
    """What is measured."""

    TICK_TO_ORDER = 0  # step took the frame -> the order's bytes were handed to the socket
    ACK = 1  # handed to the socket -> the venue's answer was read
    STEP = 2  # one turn of the step thread, per frame (park and poll)
    LOOP_LAG = 3  # how late the 10 ms timer ran
    JOURNAL_SYNC = 4
    DATA_AGE = 5  # the publisher put a quote into its ring -> step took it
    DECIDE = 6  # step took the frame -> the order was through the risk gate
    ROUND_TRIP = 7  # the publisher put the quote into its ring -> the venue's answer to the order was read


ABOUT = {
    Stage.DATA_AGE: "published to taken by the step",
    Stage.DECIDE: "taken to through the risk gate",
    Stage.TICK_TO_ORDER: "taken to handed to the socket",
    Stage.ACK: "handed to the socket to answered",
    Stage.ROUND_TRIP: "published to answered",
    Stage.STEP: "one frame of a turn (park, poll)",
    Stage.LOOP_LAG: "how late the loop's timer ran",
    Stage.JOURNAL_SYNC: "one group commit of the journal",
}


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
def record_paced(histogram: npt.NDArray[np.int64], nanos: int, interval: int) -> None:
    """Count one duration of something due every ``interval``, and those that it kept from being measured."""
    histogram[_bucket(nanos)] += 1
    if interval > 0:
        late = nanos - interval
        while late > 0:
            histogram[_bucket(late)] += 1
            late -= interval


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
def record_answer(
    answers: npt.NDArray[np.int64],
    trips: npt.NDArray[np.int64],
    sent_ns: npt.NDArray[np.int64],
    ring_ns: npt.NDArray[np.int64],
    cl_ord_id: Any,
    now_ns: int,
) -> None:
    """Count the first answer to a request: how long the venue took, and all of it since the tick."""
    slot = slot_of(cl_ord_id)
    if not (0 <= slot < len(sent_ns)) or sent_ns[slot] == 0:
        return
    answers[_bucket(now_ns - sent_ns[slot])] += 1
    sent_ns[slot] = 0
    if ring_ns[slot] > 0:
        trips[_bucket(now_ns - ring_ns[slot])] += 1
        ring_ns[slot] = 0


@kernel
def record_answers(
    answers: npt.NDArray[np.int64],
    trips: npt.NDArray[np.int64],
    sent_ns: npt.NDArray[np.int64],
    ring_ns: npt.NDArray[np.int64],
    executions: Any,
    count: int,
    now_ns: int,
) -> None:
    """:func:`record_answer` for each of ``count`` EXECUTION rows."""
    for i in range(count):
        record_answer(answers, trips, sent_ns, ring_ns, np.int64(executions[i].cl_ord_id), now_ns)


def upper_bound_ns(bucket: int) -> float:
    """Largest duration that falls into ``bucket``."""
    if bucket < STEPS:
        return float(bucket)
    exponent, step = divmod(bucket, STEPS)
    return float((STEPS + step + 1) << (exponent - 1)) - 1.0


def summary_us(counts: npt.NDArray[np.int64]) -> dict[str, float]:
    """Percentiles of one histogram in microseconds, and the count."""
    total = int(counts.sum())
    result: dict[str, float] = {"count": total}
    cumulative = np.cumsum(counts)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)):
        place = int(np.searchsorted(cumulative, max(1.0, share * total)))
        result[name] = round(upper_bound_ns(min(place, BUCKETS - 1)) / 1000.0, 3) if total else 0.0
    return result


class Latencies:
    """Histograms of a daemon, and the send stamps of the order slots.

    With ``path`` the histograms lie in that file (put it where files are memory), which
    :func:`read_latencies` reads from any process.
    """

    def __init__(self, max_orders: int, path: Path | None = None) -> None:
        count = _HEADER_WORDS + _WRITERS * len(Stage) * BUCKETS
        self._path = path
        self._words = np.zeros(count, np.int64) if path is None else _mapped(path, count)
        self._words[:4] = _MAGIC, os.getpid(), len(Stage), BUCKETS
        #: int64[writer, stage, bucket]
        self.slots: npt.NDArray[np.int64] = self._words[_HEADER_WORDS:].reshape(_WRITERS, len(Stage), BUCKETS)
        #: Those of asyncio.
        self.histograms: npt.NDArray[np.int64] = self.slots[ASYNCIO]
        self.sent_ns = np.zeros(max_orders, np.int64)
        self.ring_ns = np.zeros(max_orders, np.int64)  # when the tick of each slot's last request was published

    def add(self, stage: Stage, nanos: int, interval_ns: int = 0) -> None:
        """Count one duration from plain Python; ``interval_ns``: of something due that often."""
        record_paced(self.histograms[stage], nanos, interval_ns)

    def summary_us(self, stage: Stage) -> dict[str, float]:
        """Percentiles in microseconds, and the count."""
        return summary_us(self.slots[:, stage].sum(axis=0))

    def close(self) -> None:
        """Remove the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _mapped(path: Path, count: int) -> npt.NDArray[np.int64]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(fd, count * 8)
        populate = getattr(mmap, "MAP_POPULATE", 0)
        return np.frombuffer(mmap.mmap(fd, count * 8, flags=mmap.MAP_SHARED | populate), np.int64)
    finally:
        os.close(fd)


def read_latencies(path: Path) -> dict[str, dict[str, float]]:
    """Summary of every stage that a daemon counts into ``path``.

    Raises
    ------
    EngineError
        There is no such file, or it is of another build.
    """
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise EngineError(f"no latencies at {path}: {e.strerror}; is the daemon running?") from e
    words = np.frombuffer(raw[: len(raw) // 8 * 8], np.int64)
    wanted = _HEADER_WORDS + _WRITERS * len(Stage) * BUCKETS
    if len(words) != wanted or (int(words[0]), int(words[2]), int(words[3])) != (_MAGIC, len(Stage), BUCKETS):
        raise EngineError(f"{path} was written by another build: use the axiom that runs there")
    counts = words[_HEADER_WORDS:].reshape(_WRITERS, len(Stage), BUCKETS).sum(axis=0)
    return {stage.name.lower(): summary_us(counts[stage]) for stage in ABOUT}
