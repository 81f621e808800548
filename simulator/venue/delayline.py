"""A delay line: frames that may go on when their time has come, in the order in which they came.

Models a gateway: each frame waits ``delay + uniform(0, jitter)`` and never overtakes the one ahead.
Jitter is seeded, so the sequence of delays is the same in every run. Without delay and jitter a
frame is due at once, and the same code runs. Nothing is ever dropped: a full line doubles.
"""

import ctypes
import os
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from market.jit import kernel
from market.records import FRAME_BYTES

Words = npt.NDArray[np.int64]

FRAME_WORDS = FRAME_BYTES // 8
NEVER_NS = np.iinfo(np.int64).max


class LineWord(IntEnum):
    """Index into a line's words."""

    HEAD = 0  # frames pushed so far
    TAIL = 1  # frames popped so far
    DELAY = 2
    JITTER = 3
    RANDOM = 4  # counter of the generator
    LAST_DUE = 5


_HEAD, _TAIL, _DELAY, _JITTER = int(LineWord.HEAD), int(LineWord.TAIL), int(LineWord.DELAY), int(LineWord.JITTER)
_RANDOM, _LAST_DUE = int(LineWord.RANDOM), int(LineWord.LAST_DUE)


@kernel(inline=True)
def _uniform_below(counter: int, bound: int) -> int:
    """Random integer in 0..bound-1 (bound <= 2**32): the 32-bit ``counter``, mixed.

    32-bit arithmetic in int64, since plain Python warns where uint64 overflows.
    """
    x = counter & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (x ^ (x >> 16)) % bound


@kernel
def line_push(
    words: Words, slots: Words, due: Words, refs: Words, frames: Words, frame_refs: Words, first: int, count: int,
    now_ns: int,
) -> int:  # fmt: skip
    """Append ``frames[first : first+count]`` (int64[n, 16]) with their references; returns how many fitted.

    ``slots`` int64[size, 16], ``due`` and ``refs`` int64[size], size a power of two.
    """
    size = len(slots)
    done = 0
    while done < count and words[_HEAD] - words[_TAIL] < size:
        place = words[_HEAD] & (size - 1)
        for k in range(FRAME_WORDS):
            slots[place, k] = frames[first + done, k]
        wait = words[_DELAY]
        if words[_JITTER] > 0:
            words[_RANDOM] += 1
            wait += _uniform_below(words[_RANDOM], words[_JITTER] + 1)
        at = max(now_ns + wait, words[_LAST_DUE])
        words[_LAST_DUE] = at
        due[place] = at
        refs[place] = frame_refs[first + done]
        words[_HEAD] += 1
        done += 1
    return done


@kernel
def line_pop(words: Words, slots: Words, due: Words, refs: Words, out: Words, out_refs: Words, now_ns: int) -> int:
    """Take the frames that are due at ``now_ns`` into ``out`` as far as it goes; returns how many."""
    size = len(slots)
    done = 0
    while done < len(out) and words[_TAIL] < words[_HEAD]:
        place = words[_TAIL] & (size - 1)
        if due[place] > now_ns:
            break
        for k in range(FRAME_WORDS):
            out[done, k] = slots[place, k]
        out_refs[done] = refs[place]
        words[_TAIL] += 1
        done += 1
    return done


class DelayLine:
    """One direction of a venue's gateway; times are monotonic nanoseconds."""

    def __init__(self, *, delay_ns: int = 0, jitter_ns: int = 0, seed: int = 0, slots: int = 1 << 12) -> None:
        self.words = np.zeros(8, np.int64)
        self.words[LineWord.DELAY], self.words[LineWord.JITTER] = delay_ns, jitter_ns
        self.words[LineWord.RANDOM] = (seed * 0x9E3779B9) & 0xFFFF_FFFF
        self._slots = np.zeros((slots, FRAME_WORDS), np.int64)
        self._due = np.zeros(slots, np.int64)
        self._refs = np.zeros(slots, np.int64)

    def __len__(self) -> int:
        return int(self.words[LineWord.HEAD] - self.words[LineWord.TAIL])

    @property
    def next_due_ns(self) -> int:
        """When the oldest frame is due; ``NEVER_NS`` if there is none."""
        if not len(self):
            return int(NEVER_NS)
        return int(self._due[self.words[LineWord.TAIL] & (len(self._slots) - 1)])

    def push(self, frames: npt.NDArray[np.int64], refs: npt.NDArray[np.int64], count: int, now_ns: int) -> None:
        """Append the first ``count`` rows of ``frames`` (int64[n, 16])."""
        first = 0
        while first < count:
            first += line_push(
                self.words, self._slots, self._due, self._refs, frames, refs, first, count - first, now_ns
            )
            if first < count:
                self._double()

    def pop(self, out: npt.NDArray[np.int64], out_refs: npt.NDArray[np.int64], now_ns: int) -> int:
        """Move the frames that are due into ``out``; at most its length."""
        return int(line_pop(self.words, self._slots, self._due, self._refs, out, out_refs, now_ns))

    def _double(self) -> None:
        size, tail, count = len(self._slots), int(self.words[LineWord.TAIL]), len(self)
        places = np.arange(tail, tail + count) & (size - 1)
        for name in ("_slots", "_due", "_refs"):
            old = getattr(self, name)
            new = np.zeros((2 * size, *old.shape[1:]), np.int64)
            new[np.arange(tail, tail + count) & (2 * size - 1)] = old[places]
            setattr(self, name, new)


class EventLoop(Protocol):
    """What a timer needs of asyncio's loop."""

    def add_reader(self, fd: int, callback: Callable[[], Any], /) -> Any:
        """Call back whenever ``fd`` is readable."""

    def remove_reader(self, fd: int, /) -> Any:
        """Stop that."""


class _TimerSpec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "s", "ns")]


class DueTimer:
    """Wakes the event loop at a monotonic time, to tens of microseconds.

    The loop's own timers count milliseconds, which is longer than a gateway's delay; hence a
    kernel timer's file descriptor. Not available on this Python version by name: called through libc.
    """

    _ABSOLUTE = 1  # TFD_TIMER_ABSTIME
    _CLOCK_MONOTONIC = 1

    def __init__(self, loop: EventLoop, callback: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(self._CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._loop = loop
        self._callback = callback
        self._armed_ns = int(NEVER_NS)
        self._spec = _TimerSpec(0, 0, 0, 0)
        loop.add_reader(self._fd, self._fire)

    def arm(self, due_ns: int) -> None:
        """Fire once at ``due_ns``; ``NEVER_NS`` disarms. A time in the past fires at once."""
        if due_ns == self._armed_ns:
            return
        self._armed_ns = due_ns
        never = due_ns == NEVER_NS
        self._spec.s, self._spec.ns = (0, 0) if never else divmod(max(1, due_ns), 1_000_000_000)
        self._libc.timerfd_settime(self._fd, self._ABSOLUTE, ctypes.byref(self._spec), None)

    def close(self) -> None:
        """Stop and release the descriptor."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # it was armed anew between the wake-up and this call
        self._armed_ns = int(NEVER_NS)
        self._callback()
