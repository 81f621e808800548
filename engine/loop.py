"""The three loop modes: who calls ``turn``, and how it is woken.

park: asyncio callbacks (a ring's doorbell, a session's bytes, a timer) call ``turn``; between them
the process sleeps. poll: the loop calls it on every iteration and never sleeps. spin: a nogil
thread runs it for ever, asyncio only feeds the inbox and empties the outbox. In all three exactly
one thread runs the step, and answers are journaled before their session counts them as taken.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.fanin import R_LAPPED, R_LAPS, bind_source, make_sources, total
from engine.handle import make_handle
from engine.hot import HotSessions
from engine.journal import Journal
from engine.lanes import H_HANDLED
from engine.latency import Latencies, Stage
from engine.snapshot import Frozen, freeze
from engine.state import OUTPUT_FRAMES, SOURCE_VOID, W_STEPS, Engine
from engine.turn import (
    F_OFFSET_NS,
    F_STOP,
    F_TAKEN,
    F_YIELD_AFTER,
    FEED_WORDS,
    MAX_RINGS,
    STATUS_MORE,
    STATUS_ROTATE,
    STATUS_STALLED,
    Feeds,
    finish_lane,
    linger,
    spin,
    turn,
)
from gpu.chain.theo_table import TheoTable
from market.atomics import cpu_pause, load_acquire, store_release
from market.enums import FrameKind
from market.jit import kernel
from market.records import THEO, TIMER, frames, table
from market.rings import FRAME_WORDS, SpscRing, spsc_push

_ORDER = int(FrameKind.ORDER)
INBOX_FRAMES = 1 << 14
OUTBOX_FRAMES = 1 << 17
TURN_BUDGET = 512  # frames of one source per turn: a tenth of a millisecond
DRAIN_FRAMES = 4096
LINGER_TURNS = 200  # of poll mode, before asyncio may look at everything else: about 50 us
YIELD_AFTER_TURNS = 256  # idle turns of a spinner that shares its core, before it lets others run: about 60 us
_SPIN_CORES = 3
_TAKEN_SPINS = 20_000  # about a millisecond
_TAKEN_LOOKS = 5_000  # at least, before a step is given up: a machine that stood still has given it no time


@kernel
def push_all(
    words: npt.NDArray[np.int64], slots: npt.NDArray[np.int64], cells: npt.NDArray[np.int64], first: int, count: int
) -> int:
    """Push ``cells[first:first+count]``; returns how many fitted."""
    for i in range(count):
        if not spsc_push(words, slots, cells, first + i):
            return i
    return count


@kernel
def drain(words: npt.NDArray[np.int64], slots: npt.NDArray[np.int64], out: npt.NDArray[np.int64]) -> int:
    """Pop as many frames as there are, at most ``len(out)``."""
    tail = words[8]
    count = min(load_acquire(words, 0) - tail, len(out))
    for i in range(count):
        place = (tail + i) & (words[16] - 1)
        for k in range(FRAME_WORDS):
            out[i, k] = slots[place, k]
    store_release(words, 8, tail + count)
    return count


@kernel
def partition(
    cells: npt.NDArray[np.int64], count: int, out: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> None:
    """Sort ``count`` output frames by who gets them, keeping their order.

    ``counts[k]`` becomes the number of ORDER frames of session ``k`` and ``counts[-1]`` that of events;
    ``out`` holds session 0's frames first, then session 1's and so on, the events last.
    """
    most = len(counts) - 1
    counts[:] = 0
    for i in range(count):
        counts[_receiver(cells[i, 0], cells[i, 4], most)] += 1  # frames that only inform count with the events
    at = 0
    for k in range(most + 1):
        held = counts[k]
        counts[k] = at
        at += held
    for i in range(count):
        k = _receiver(cells[i, 0], cells[i, 4], most)
        for word in range(FRAME_WORDS):
            out[counts[k], word] = cells[i, word]
        counts[k] += 1
    for k in range(most, 0, -1):
        counts[k] -= counts[k - 1]


@kernel(inline=True)
def _receiver(first: int, fifth: int, most: int) -> int:
    """Session of an ORDER frame that is to be sent (word 4 holds instrument and session), else ``most``."""
    session = (fifth >> 32) & 0xFFFF
    return session if (first & 0xFFFFFFFF) == _ORDER and session < most else most


@kernel
def store_word(words: npt.NDArray[np.int64], place: int, value: int) -> None:
    """Write a word that another thread waits for."""
    store_release(words, place, value)


@kernel
def wait_taken(words: npt.NDArray[np.int64], head: int, spins: int) -> bool:
    """Spin until ``head`` inbox frames are journaled and applied; False when ``spins`` ran out."""
    for _ in range(spins):
        if load_acquire(words, F_TAKEN) >= head:
            return True
        cpu_pause()
    return False


def choose_mode(wanted: str) -> str:
    """``auto``: spin only where the process may use at least three cores."""
    if wanted != "auto":
        return wanted
    return "spin" if len(os.sched_getaffinity(0)) >= _SPIN_CORES else "park"


def mode_reason(wanted: str) -> str:
    """Why :func:`choose_mode` chose what it chose, for log and status."""
    cores = len(os.sched_getaffinity(0))
    if wanted != "auto":
        shared = f"; on {cores} cores it shares its own with others" if wanted == "spin" and cores < _SPIN_CORES else ""
        return f"{wanted} as configured{shared}"
    if cores >= _SPIN_CORES:
        return f"auto: {cores} cores may be used, one of them for the step alone"
    return f"auto: {cores} cores may be used, a spinning step wants {_SPIN_CORES} (one for itself, two for the rest)"


class StepLoop:
    """Owns the step's surroundings: journal, rings, inbox, outbox, theo table and the driver."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        mode: str,
        latencies: Latencies,
        on_outputs: Callable[[npt.NDArray[np.int64], int], None],
        pin_core: int = -1,
    ) -> None:
        capacity = len(engine.instruments)
        self.engine = engine
        self.handle = make_handle(engine)
        self.journal = journal
        self.mode = choose_mode(mode)
        self.mode_reason = mode_reason(mode)
        self.latencies = latencies
        self.inbox = SpscRing(INBOX_FRAMES)
        self.outbox = SpscRing(OUTBOX_FRAMES)
        self.theo = TheoTable(capacity)
        self.failure: BaseException | None = None
        self._on_outputs = on_outputs
        self._pin_core = pin_core
        self._drained = np.zeros((DRAIN_FRAMES, FRAME_WORDS), np.int64)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turning = False
        self._polling = False
        rows = table(THEO, capacity)
        self._rings: list[npt.NDArray[np.int64] | None] = [None] * MAX_RINGS  # keeps what is mapped mapped
        words = np.zeros(FEED_WORDS, np.int64)
        words[F_OFFSET_NS] = time.time_ns() - time.monotonic_ns()
        words[F_YIELD_AFTER] = YIELD_AFTER_TURNS if len(os.sched_getaffinity(0)) < _SPIN_CORES else 0
        self.hot = HotSessions(
            latencies, int(words[F_OFFSET_NS]), self._alone, self.now_ns, self._finish_lane, self._relieve
        )
        self._held: list[npt.NDArray[np.int64]] = []  # outputs taken out of a full outbox before their turn
        self.feeds = Feeds(
            words=words,
            sources=make_sources(),
            numbers=np.full((MAX_RINGS, 1 << 16), -1, np.int32),
            inbox_words=self.inbox.words,
            inbox_slots=self.inbox.slots,
            outbox_words=self.outbox.words,
            outbox_slots=self.outbox.slots,
            theo_words=self.theo.words,
            theo_first=self.theo.buffers[0],
            theo_second=self.theo.buffers[1],
            theo_rows=rows,
            theo_cells=np.asarray(rows).view(np.int64).reshape(capacity, FRAME_WORDS),
            hot=self.hot.memory,
        )

    def now_ns(self) -> int:
        """Step time: monotonic, in UTC nanoseconds as the wall clock stood at start."""
        return time.monotonic_ns() + int(self.feeds.words[F_OFFSET_NS])

    @property
    def laps(self) -> int:
        """Times that a publisher overtook us."""
        return total(self.feeds.sources, R_LAPS)

    @property
    def lapped_frames(self) -> int:
        """Frames that were overwritten before the step had read them; what stood in them was read back."""
        return total(self.feeds.sources, R_LAPPED)

    # -- feeding -------------------------------------------------------------------------------

    def post(self, cells: npt.NDArray[np.int64], count: int) -> None:
        """Put frames (int64[n, 16]) into the inbox and let the step take them.

        Returns when they are journaled: the caller may then tell its peer that it has them.
        """
        first = 0
        while first < count:
            pushed = int(push_all(self.inbox.words, self.inbox.slots, cells, first, count - first))
            first += pushed
            self.kick()
            if pushed == 0 and self._turning:
                raise RuntimeError("inbox full inside a turn: a handler may not post more than its size")
        if self.mode == "spin" and self._thread is not None:
            self._await_taken()

    def _await_taken(self) -> None:
        head = int(self.inbox.words[0])
        deadline, looks = time.monotonic() + 5.0, 0
        while not wait_taken(self.feeds.words, head, _TAKEN_SPINS):
            looks += 1
            if self.failure is not None or (time.monotonic() > deadline and looks > _TAKEN_LOOKS):
                raise RuntimeError("the step thread does not take frames") from self.failure

    def post_frame(self, frame: Any) -> None:
        """Post one row of any 128-byte layout."""
        self.post(np.frombuffer(frame.tobytes(), np.int64).reshape(1, FRAME_WORDS), 1)

    def freeze(self, run: int) -> Frozen:
        """Copy the state between two frames, for a snapshot; holds the step for about a millisecond."""
        running = self._stop_thread()
        frozen = freeze(self.engine, run, self.journal.next_seq)
        if running:
            self._start_thread()
        return frozen

    def set_ring(self, place: int, words: npt.NDArray[np.int64] | None, cursor: int = 0) -> None:
        """Attach or detach a market data ring; restarts the spin thread around the change.

        Books of the ring before are void: a restarted publisher counts and dates from the beginning.
        """
        running = self._stop_thread()
        bind_source(self.feeds.sources, place, words, cursor)
        self._rings[place] = words
        if words is not None:
            frame = new_frame(TIMER)
            frame["kind"], frame["timer"], frame["period_ns"] = FrameKind.TIMER, place + 1, SOURCE_VOID
            self.post_frame(frame)
        if running:
            self._start_thread()

    # -- driving -------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin turning."""
        self._loop = loop
        loop.add_reader(self.outbox.eventfd, self._on_outbox)
        loop.add_reader(self.inbox.eventfd, self._on_inbox)
        if self.mode == "spin":
            self._start_thread()
        elif self.mode == "poll":
            self._polling = True
            loop.call_soon(self._poll)

    def stop(self) -> None:
        """Stop turning; what is in the inbox is taken first."""
        self._polling = False
        self._stop_thread()
        self._turn()
        if self._loop is not None:
            self._loop.remove_reader(self.outbox.eventfd)
            self._loop.remove_reader(self.inbox.eventfd)
            self._loop = None

    def kick(self) -> None:
        """Something may be waiting: in park and poll mode, turn now."""
        if self.mode != "spin" or self._thread is None:
            self._turn()

    def wake(self) -> None:
        """From another thread: have the loop turn soon (park mode)."""
        if self.mode == "park":
            self.inbox.notify()

    def _on_inbox(self) -> None:
        self.inbox.acknowledge()
        self.kick()

    def _on_outbox(self) -> None:
        self.outbox.acknowledge()
        self.flush()

    def _poll(self) -> None:
        if self._polling and self._loop is not None:
            self._turn(LINGER_TURNS)
            self._loop.call_soon(self._poll)

    def _turn(self, turns: int = 1) -> None:
        """One turn of park or poll mode, or up to ``turns`` that bring nothing, and whatever was put out."""
        if self._turning:
            return  # inside our own flush: the outer turn sees what was added
        self._turning = True
        try:
            again = True
            while again:
                started = time.perf_counter_ns()
                steps = int(self.engine.words[W_STEPS])
                if turns > 1:
                    status = linger(self.handle, self.journal.view, self.feeds, TURN_BUDGET, turns)
                else:
                    status = turn(self.handle, self.journal.view, self.feeds, TURN_BUDGET)
                taken = int(self.engine.words[W_STEPS]) - steps
                if taken and turns == 1:  # else it is mostly waiting
                    self.latencies.add(Stage.STEP, (time.perf_counter_ns() - started) // taken)
                self.flush()
                if status == STATUS_ROTATE:
                    self.journal.rotate()
                again = status in (STATUS_ROTATE, STATUS_STALLED) or len(self.inbox) > 0
                if status == STATUS_MORE and not again and self._loop is not None:
                    self._loop.call_soon(self.kick)
        finally:
            self._turning = False

    def flush(self) -> None:
        """Hand on everything in the outbox; then it counts as handled, and sessions may go hot again."""
        while True:
            if self._held:
                rows = self._held.pop(0)
                count = len(rows)
            else:
                rows = self._drained
                count = int(drain(self.outbox.words, self.outbox.slots, rows))
            if count == 0:
                break
            self._on_outputs(rows, count)
            store_word(self.hot.memory.words, H_HANDLED, int(self.hot.memory.words[H_HANDLED]) + count)
        self.hot.tend()

    # -- hot sessions --------------------------------------------------------------------------

    def _alone(self) -> bool:
        """Whether no other thread turns."""
        return self.mode != "spin" or self._thread is None or not self._thread.is_alive()

    def _finish_lane(self, k: int) -> bool:
        """Take what a lane has in hand; from inside a turn's own hand-over, too."""
        return bool(finish_lane(self.handle, self.journal.view, self.feeds, k))

    def _relieve(self) -> None:
        """The step may wait for room in the outbox while we wait for the step: set its outputs aside, in order."""
        if len(self.outbox) > OUTBOX_FRAMES // 2:
            for _ in range(OUTBOX_FRAMES // 2 // DRAIN_FRAMES):
                rows = np.zeros((DRAIN_FRAMES, FRAME_WORDS), np.int64)
                count = int(drain(self.outbox.words, self.outbox.slots, rows))
                self._held.append(rows[:count])

    # -- the spin thread -----------------------------------------------------------------------

    def _start_thread(self) -> None:
        self.feeds.words[F_STOP] = 0
        self._thread = threading.Thread(target=self._spin, name="axiom-step", daemon=True)
        self._thread.start()

    def _stop_thread(self) -> bool:
        if self._thread is None:
            return False
        self.feeds.words[F_STOP] = 1
        self._thread.join()
        self._thread = None
        return True

    def _spin(self) -> None:
        one = np.ones(1, np.int64)
        try:
            if self._pin_core >= 0:
                os.sched_setaffinity(threading.get_native_id(), {self._pin_core})
            while self.feeds.words[F_STOP] == 0:
                status = spin(self.handle, self.journal.view, self.feeds, TURN_BUDGET, self.outbox.eventfd, one)
                if status == STATUS_ROTATE:
                    self.journal.rotate()
        except BaseException as e:  # noqa: BLE001  the thread's outermost frame: the daemon sees it and stops trading
            self.failure = e
            self.outbox.notify()

    def frames_behind(self) -> int:
        """Frames waiting in inbox and outbox."""
        return len(self.inbox) + len(self.outbox)


def new_frame(layout: Any) -> Any:
    """One zeroed row of ``layout``."""
    return table(layout, 1)[0]


__all__ = ["OUTPUT_FRAMES", "Stage", "StepLoop", "choose_mode", "drain", "frames", "new_frame", "push_all"]
