"""Stands in for the engine's step: takes frames from a lane and sends orders, in a thread or by hand."""

import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from fix.lane import (
    LaneDriver,
    LaneOwner,
    Lanes,
    lane_accept,
    lane_frame,
    lane_owner,
    lane_receive,
    lane_send,
    lane_taken,
    lane_tick,
)
from market import records
from market.atomics import clock_ns, cpu_pause, load_acquire, store_release
from market.jit import kernel

_HOT = np.int64(LaneOwner.HOT)

STOP = 0
ASKED = 8  # rows that the test wants sent; written by the test
STEPPED = 16  # of them: sent hot, or put out to asyncio
COLD = 17  # rows put out to asyncio so far
HANDLED = 24  # of them: what asyncio has sent
GOT = 32  # frames taken
TURNS = 33
OFFSET_NS = 34
BATCH = 35  # rows of one lane_send
WORDS = 40
MOST = 1 << 17


@kernel
def turn(lanes: Any, k: int, words: Any, orders: Any, cold: Any, got: Any, now_ns: int) -> None:
    """One turn of the step: inbound, then outbound, each row to where its session is."""
    if words[STEPPED] == load_acquire(words, ASKED):
        lane_accept(lanes, k, load_acquire(words, HANDLED), words[COLD])
    count = lane_receive(lanes, k, now_ns)
    for row in range(count):
        lane_frame(lanes, k, row, got, words[GOT] + row)
    # Orders go out while frames are in hand, as they do in the engine.
    asked = load_acquire(words, ASKED)
    while words[STEPPED] < asked:
        first = words[STEPPED]
        rows = min(asked - first, words[BATCH])
        done = lane_send(lanes, k, orders, first, rows, now_ns)
        for i in range(done, rows):
            cold[words[COLD]] = first + i
            store_release(words, COLD, words[COLD] + 1)
        words[STEPPED] = first + rows
    if count > 0:
        store_release(words, GOT, words[GOT] + count)
        lane_taken(lanes, k)
    lane_tick(lanes, k, now_ns)
    words[TURNS] += 1


@kernel
def spin(lanes: Any, k: int, words: Any, orders: Any, cold: Any, got: Any) -> None:
    """Turn until told to stop."""
    while load_acquire(words, STOP) == 0:
        turn(lanes, k, words, orders, cold, got, clock_ns(1) + words[OFFSET_NS])
        for _ in range(20):
            cpu_pause()


class Step(LaneDriver):
    """The step of one lane.

    ``thread``: it turns by itself. Else the test turns it, and it is on the test's thread.
    """

    def __init__(self, *, thread: bool, k: int = 0) -> None:
        self.lanes = Lanes(4)
        self.k = k
        self.words: npt.NDArray[np.int64] = np.zeros(WORDS, np.int64)
        self.words[BATCH] = 64
        self.words[OFFSET_NS] = time.time_ns() - time.monotonic_ns()
        self.orders = np.zeros((MOST, 16), np.int64)
        self.cold = np.zeros(MOST, np.int64)
        self.got = np.zeros((MOST, 16), np.int64)
        self.fixed_ns = 0  # by hand: the step's clock stands still
        self._thread: threading.Thread | None = None
        self._threaded = thread

    def __enter__(self) -> "Step":
        if self._threaded:
            self._thread = threading.Thread(target=spin, args=self._args, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self.words[STOP] = 1
            self._thread.join()
            self._thread = None

    @property
    def _args(self) -> tuple[Any, ...]:
        return (self.lanes.state, self.k, self.words, self.orders, self.cold, self.got)

    @property
    def same_thread(self) -> bool:  # type: ignore[override]
        return self._thread is None

    def now_ns(self) -> int:
        if self.fixed_ns:
            return self.fixed_ns
        return time.monotonic_ns() + int(self.words[OFFSET_NS])

    def turn(self, count: int = 1) -> None:
        """By hand: turn ``count`` times."""
        assert self._thread is None
        for _ in range(count):
            turn(*self._args, self.now_ns())

    @property
    def owner(self) -> LaneOwner:
        return LaneOwner(int(lane_owner(self.lanes.state, self.k)))

    def ask(self, rows: Any) -> None:
        """Have ORDER rows sent."""
        first = int(self.words[ASKED])
        self.orders[first : first + len(rows)] = np.ascontiguousarray(rows).view(np.int64).reshape(-1, 16)
        self.words[ASKED] = first + len(rows)

    def serve(self, session: Any) -> int:
        """Asyncio's part: send cold what could not go hot, in order; how many."""
        begin, end = int(self.words[HANDLED]), int(self.words[COLD])
        for at in range(begin, end):
            row = int(self.cold[at])
            orders = self.orders[row : row + 1].view(records.ORDER).reshape(-1)
            session.send_orders(orders.copy(), 1)
        self.words[HANDLED] = end
        return end - begin

    @property
    def frames(self) -> npt.NDArray[np.uint8]:
        """What came by the lane."""
        return self.got[: int(self.words[GOT])].view(np.uint8).reshape(-1, 128)
