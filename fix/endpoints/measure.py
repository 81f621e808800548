"""Takes the times that a session's histograms count. Only a session with ``latency`` on has one."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fix.latency import Histogram, SessionLatency
from fix.messages import Field
from fix.session import Role
from fix.store import Store
from market.enums import FrameKind, OrderAction
from market.records import EXECUTION, ORDER, as_layout

_REQUESTS = frozenset(("D", "F", "G"))
_REPORTS = frozenset(("8", "9"))
_KINDS = {int(FrameKind.QUOTE): "W", int(FrameKind.EXECUTION): "8", int(FrameKind.CANCEL_REJECT): "9"}
_ACTIONS = {int(OrderAction.NEW): "D", int(OrderAction.CANCEL): "F", int(OrderAction.REPLACE): "G",
            int(OrderAction.MASS_CANCEL): "q", int(OrderAction.MASS_STATUS): "AF"}  # fmt: skip
_REPORT_KINDS = (int(FrameKind.EXECUTION), int(FrameKind.CANCEL_REJECT))
#: Of a larger batch these many at each end are timed: a burst must not pay for its own statistics.
_SAMPLE = 8
_APPEND_MASK = 15


class Measure:
    """Stopwatch of one session. Every call of it is on the path that it measures, so it is short."""

    __slots__ = ("_appends", "_client", "_frames", "_handle", "_kinds", "_latency", "_numbers", "arrived_ns")

    def __init__(self, latency: SessionLatency, role: Role) -> None:
        self._latency = latency
        self._client = role is Role.INITIATOR
        self._handle = latency.handle
        self._appends = 0
        #: When the bytes in hand were read from the socket.
        self.arrived_ns = 0
        self._frames: npt.NDArray[np.uint8] | None = None  # the array that the views below are of
        self._numbers: Any = None
        self._kinds: Any = None

    def handled(self, msg_type: str, raw: bytes) -> None:
        """The handler has taken one message."""
        arrived_ns = self.arrived_ns
        histogram = self._handle.get(msg_type)
        if histogram is None:
            histogram = self._handle[msg_type] = Histogram()
        histogram.record(time.perf_counter_ns() - arrived_ns)
        if self._client and msg_type in _REPORTS:
            start = raw.find(b"\x0111=") + 4
            if start > 3:
                # Up to the read from the socket: what our handler did is not the venue's time.
                self._latency.answered(raw[start : raw.find(b"\x01", start)], arrived_ns)

    def frames_handled(self, frames: npt.NDArray[np.uint8], count: int) -> None:
        """The handler has taken a batch of frames; it is counted under the first one's type."""
        elapsed_ns = time.perf_counter_ns() - self.arrived_ns
        if frames is not self._frames:
            self._look_at(frames)
        kind = self._kinds.item(0)
        if self._client:
            self._latency.handled(_KINDS.get(kind, "?"), elapsed_ns, count)
            if kind in _REPORT_KINDS:
                if count == 1:
                    self._latency.answered(self._numbers.item(0), self.arrived_ns)
                else:
                    self._latency.answered_all(_ends_of(self._numbers[:count]), self.arrived_ns)
        else:
            self._latency.handled(_ACTIONS.get(kind, "?"), elapsed_ns, count)

    def _look_at(self, frames: npt.NDArray[np.uint8]) -> None:
        """Views of the kernels' array, made once: numpy takes a microsecond for each."""
        self._frames = frames
        rows = as_layout(frames, EXECUTION if self._client else ORDER)
        self._numbers = rows["cl_ord_id"]
        self._kinds = rows["kind" if self._client else "action"]

    def requested(self, msg_type: str, fields: Sequence[Field]) -> None:
        """A cold message goes out."""
        if self._client and msg_type in _REQUESTS:
            for tag, value in fields:
                if tag == 11:
                    key = value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
                    self._latency.requested(key, msg_type, time.perf_counter_ns())
                    return

    def append(self, store: Store, msg_type: str, seq: int, raw: bytes, app_ref: int) -> None:
        """Store one message; one in sixteen is timed."""
        self._appends += 1
        if self._appends & _APPEND_MASK:
            store.append(seq, raw, app_ref)
            return
        begun_ns = time.perf_counter_ns()
        store.append(seq, raw, app_ref)
        self._latency.stored(msg_type, time.perf_counter_ns() - begun_ns)

    def append_batch(
        self, store: Store, buffer: Any, ends: npt.NDArray[np.int64], app_ref: int, rows: Any, first: int
    ) -> None:
        """Store a batch of rows, timed as :meth:`append`, and note its requests."""
        self._appends += 1
        begun_ns = time.perf_counter_ns()
        store.append_batch(buffer, store.next_out, ends, app_ref)
        if self._client:
            now_ns = time.perf_counter_ns()
            msg_type = _ACTIONS.get(rows["action"].item(first), "?")
            if msg_type in _REQUESTS:
                numbers = rows["cl_ord_id"]
                if len(ends) == 1:
                    self._latency.requested(numbers.item(first), msg_type, now_ns)
                else:
                    for number in _ends_of(numbers[first : first + len(ends)]):
                        self._latency.requested(number, msg_type, now_ns)
            if not self._appends & _APPEND_MASK:
                self._latency.stored(msg_type, now_ns - begun_ns)
        elif not self._appends & _APPEND_MASK:
            msg_type = _KINDS.get(rows["kind"].item(first), "?")
            self._latency.stored(msg_type, time.perf_counter_ns() - begun_ns)


def _ends_of(ids: Any) -> list[int]:
    if len(ids) <= 2 * _SAMPLE:
        return ids.tolist()
    return [*ids[:_SAMPLE].tolist(), *ids[-_SAMPLE:].tolist()]
