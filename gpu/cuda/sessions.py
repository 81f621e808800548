"""A chain of n rows on a device: its constants stay there, a spot goes in, rows come out.

Two ways to ask: :class:`GraphSession` replays a captured launch per request; :class:`ResidentSession` has a
kernel that stays on the device and polls. Both answer with an ``Outcome`` and never raise in mid-run: whoever
calls has another way to get the rows (``gpu/router``). One thread owns a session; the heartbeat alone is
another's.
"""

import threading
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.cuda.driver import Buffer, Call, Driver
from gpu.cuda.errors import DeviceError
from gpu.cuda.handshake import Outcome, ask, await_state, beat, post
from gpu.cuda.kernels import COLUMN_COUNT, FULL_ROWS, REDUCED_ROWS, RUNNING, STATE, STOP, WORDS, State
from market.atomics import load_acquire
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
Words: TypeAlias = npt.NDArray[np.int64]

_THREADS = 128
_START_NS = 2_000_000_000  #: longest wait for the kernel that stays to begin


@kernel
def _state(answer: Words) -> int:
    return int(load_acquire(answer, STATE))


class DeviceSession:
    """What both ways share. ``out`` [rows, n] holds the rows of the last answered request, until the next.

    Parameters
    ----------
    driver
        Owned from here on: :meth:`close` closes it.
    n
        Rows of the chain.
    reduced
        Five rows (price, delta, gamma, vega, theta) instead of fourteen.
    timeout_ns
        Longest wait for an answer.
    """

    _CALL = Call(0, 0, 0)

    def __init__(self, driver: Driver, n: int, reduced: bool, timeout_ns: int) -> None:
        self.driver = driver
        self.n = n
        self.rows = REDUCED_ROWS if reduced else FULL_ROWS
        self.timeout_ns = timeout_ns
        self.trouble = ""  #: what the last outcome other than ANSWERED was
        self._control, self._spots = driver.mapped(WORDS, np.int64), driver.mapped(WORDS, np.float64)
        self._answer = driver.mapped(WORDS, np.int64)
        self._staged = driver.mapped((COLUMN_COUNT, n), np.float64)
        self._out = driver.mapped((self.rows, n), np.float64)
        self._columns, self._board, self._board_spot = (
            driver.resident(COLUMN_COUNT * n), driver.resident(WORDS), driver.resident(WORDS)
        )  # fmt: skip
        self.control: Words = _view(self._control)
        self.answer: Words = _view(self._answer)
        self.spots: F8 = _view(self._spots)
        self.staged: F8 = _view(self._staged)
        self.out: F8 = _view(self._out)
        self._sequence = 0
        self._first, self._last = 0, 0
        self._thread = threading.get_ident()

    def _arguments(self) -> list[Buffer | int]:
        return [
            self._control, self._spots, self._staged, self._columns, self._board, self._board_spot, self._answer,
            self._out, self.n, self.rows,
        ]  # fmt: skip

    def stage(self, columns: F8, first: int, last: int) -> None:
        """Have rows [first, last) of ``columns`` [6, n] taken over with the next request."""
        if last <= first:
            return
        if self._last > self._first:
            first, last = min(first, self._first), max(last, self._last)
        self.staged[:, first:last] = columns[:, first:last]
        self._first, self._last = first, last

    def refresh(self, spot: float) -> Outcome:
        """Value all rows at ``spot``; the rows are in ``out`` if, and only if, the outcome is ANSWERED."""
        thread = threading.get_ident()
        if thread != self._thread:
            try:
                self.driver.bind()
            except DeviceError as e:
                self.trouble = str(e)
                return Outcome.LAUNCH_FAILED
            self._thread = thread
        self._sequence += 1
        call = self._CALL
        code = ask(
            self.control, self.spots, self.answer, spot, self._first, self._last, self._sequence,
            call.entry, call.graph, call.stream, self.timeout_ns,
        )  # fmt: skip
        if code == Outcome.ANSWERED:
            self._first = self._last = 0
            return Outcome.ANSWERED
        return self._failed(int(code))

    def _failed(self, code: int) -> Outcome:
        if code < 0:
            self.trouble = f"the driver refused the launch with error {-code}"
            return Outcome.LAUNCH_FAILED
        outcome = Outcome(code)
        if outcome == Outcome.TIMED_OUT:
            self.trouble = f"no answer to request {self._sequence} within {self.timeout_ns / 1e6:g} ms"
        else:
            self.trouble = f"the kernel that stays has ended: {State(_state(self.answer)).name}"
        return outcome

    def beat(self) -> None:
        """Say that the host lives; from any one thread."""

    def idle(self) -> bool:
        """Whether the device is done with this session; also true when it can no longer tell."""
        try:
            self.driver.bind()
            return self.driver.idle()
        except DeviceError:
            return True

    def close(self) -> None:
        """Free the device's side. ``out`` is invalid from here on."""
        empty = np.empty((0, 0))
        self.staged = self.out = empty
        self.driver.close()


class GraphSession(DeviceSession):
    """One captured launch, replayed per request; the host spins on the answer's word."""

    def __init__(self, driver: Driver, n: int, reduced: bool, timeout_ns: int, threads: int = _THREADS) -> None:
        super().__init__(driver, n, reduced, timeout_ns)
        self._CALL = driver.capture("refresh", (n + threads - 1) // threads, threads, self._arguments())


class ResidentSession(DeviceSession):
    """A kernel that stays on the device.

    It blocks whatever would wait for the whole device (synchronising it, freeing memory, loading code), so
    the process should do nothing else there. It ends by itself when the heartbeat stands still for
    ``idle_polls`` polls (about a microsecond each) and after ``request_limit`` requests.
    """

    def __init__(
        self, driver: Driver, n: int, reduced: bool, timeout_ns: int, idle_polls: int = 2_000_000,
        request_limit: int = 1 << 40, threads: int = _THREADS, most_blocks: int = 0, stop_timeout_ns: int = _START_NS,
    ) -> None:  # fmt: skip
        super().__init__(driver, n, reduced, timeout_ns)
        self._stop_timeout_ns = stop_timeout_ns
        wanted = (n + threads - 1) // threads
        blocks = max(1, min(wanted, most_blocks or driver.resident_blocks("serve", threads)))
        driver.launch("serve", blocks, threads, [*self._arguments(), 0, idle_polls, request_limit])
        if not await_state(self.answer, RUNNING, _START_NS):
            raise DeviceError(f"the kernel that stays did not begin within {_START_NS / 1e9:g} s")

    @property
    def state(self) -> State:
        """Of the kernel."""
        return State(_state(self.answer))

    def beat(self) -> None:
        """Say that the host lives."""
        beat(self.control)

    def stop(self) -> bool:
        """Ask the kernel to end and wait for it; whether it did."""
        post(self.control, STOP)
        return bool(await_state(self.answer, RUNNING + 1, self._stop_timeout_ns))

    def close(self) -> None:
        """End the kernel, then free; a kernel that does not end keeps its memory rather than hang its host."""
        if self.stop():
            super().close()


def _view(buffer: Buffer) -> Any:
    assert buffer.view is not None
    return buffer.view
