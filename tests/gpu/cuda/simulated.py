"""The kernels and both kinds of session in numba's CUDA simulator; run by ``test_cuda_simulator.py``.

The simulator must be chosen before numba is imported, hence a process of its own. It runs blocks one
after another and threads as Python threads: it proves indices, barriers, tickets and the conversation,
and nothing about memory order or time. Scalar maths are the CPU's.
"""

import ctypes
import threading
from typing import Any

import numpy as np
import pytest
from numba import cuda

from gpu.cuda import kernels, primitives
from gpu.cuda.driver import Buffer, Call
from gpu.cuda.handshake import Outcome, await_state
from gpu.cuda.kernels import RUNNING, State
from gpu.cuda.retarget import Retargeter
from gpu.cuda.sessions import GraphSession, ResidentSession
from gpu.european.greeks import spot_greeks
from tests.gpu.cuda.columns import chain, expected

TIMEOUT_NS = 60_000_000_000
LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def _block_index():
    return cuda.blockIdx.x


def _block_count():
    return cuda.gridDim.x


def _thread_index():
    return cuda.threadIdx.x


def _thread_count():
    return cuda.blockDim.x


def _barrier():
    cuda.syncthreads()


def _fence():
    cuda.threadfence_system()


def _load(words, index):
    return int(words[index])


def _store(words, index, value):
    words[index] = value


def _ticket(words, index):
    return int(cuda.atomic.add(words, index, 1))


def _rest(nanoseconds):
    """The simulator knows no nanosleep; its threads take turns by themselves."""


#: The simulator replaces ``cuda`` in the globals of the kernel it launches: this module's.
_retarget = Retargeter(
    lambda function: function,
    {
        primitives.block_index: _block_index, primitives.block_count: _block_count,
        primitives.thread_index: _thread_index, primitives.thread_count: _thread_count,
        primitives.barrier: _barrier, primitives.fence_everywhere: _fence,
        primitives.load_host_word: _load, primitives.store_host_word: _store,
        primitives.load_board_word: _load, primitives.store_board_word: _store,
        primitives.take_ticket: _ticket, primitives.rest: _rest, spot_greeks: spot_greeks,
    },
)  # fmt: skip
_refresh_twin, _serve_twin = _retarget(kernels.refresh_kernel), _retarget(kernels.serve_kernel)


@cuda.jit
def _refresh(control, spots, staged, columns, board, board_spot, answer, out, n, rows):
    _refresh_twin(control, spots, staged, columns, board, board_spot, answer, out, n, rows)


@cuda.jit
def _serve(control, spots, staged, columns, board, board_spot, answer, out, n, rows, last, idle_limit, request_limit):
    _serve_twin(
        control, spots, staged, columns, board, board_spot, answer, out, n, rows, last, idle_limit, request_limit
    )


class SimulatorDriver:
    """A ``Driver`` over the simulator."""

    name = "simulator"

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.failure: BaseException | None = None
        self._entries: list[Any] = []

    def bind(self) -> None:
        pass

    def mapped(self, shape, dtype) -> Buffer:
        array = cuda.mapped_array(int(np.prod(shape)), dtype=dtype)
        array[:] = 0
        return Buffer(np.asarray(array).reshape(shape), array)

    def resident(self, count) -> Buffer:
        return Buffer(None, cuda.to_device(np.zeros(count)))

    def capture(self, kernel, blocks, threads, arguments) -> Call:
        assert kernel == "refresh"

        def replay(graph: int, stream: int) -> int:
            _refresh[blocks, threads](*_handles(arguments))
            return 0

        self._entries.append(LAUNCH(replay))
        return Call(ctypes.cast(self._entries[-1], ctypes.c_void_p).value, 0, 0)

    def launch(self, kernel, blocks, threads, arguments) -> None:
        assert (kernel, blocks) == ("serve", 1)

        def run() -> None:
            try:
                _serve[blocks, threads](*_handles(arguments))
            except BaseException as e:  # noqa: BLE001 - the thread's outermost frame
                self.failure = e

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def resident_blocks(self, kernel, threads) -> int:
        return 1

    def idle(self) -> bool:
        return self.thread is None or not self.thread.is_alive()

    def close(self) -> None:
        if self.thread is not None:
            self.thread.join()
        assert self.failure is None


def _handles(arguments):
    return [argument.handle if isinstance(argument, Buffer) else argument for argument in arguments]


@pytest.mark.parametrize("n", [3, 4, 10])
def test_a_launch_of_several_blocks_fills_every_row_once_and_answers_last(n):
    """Four threads a block: one short block, one whole, three of which the last is short."""
    session = GraphSession(SimulatorDriver(), n, False, TIMEOUT_NS, threads=4)
    columns = chain(n)
    session.stage(columns, 0, n)
    for spot in (100.0, 95.0):  # the second finds the ticket counter as the first left it
        assert session.refresh(spot) == Outcome.ANSWERED
        np.testing.assert_allclose(session.out, expected(columns, spot), rtol=1e-13, atol=1e-13)
    columns[4, 1:3] += 0.1
    session.stage(columns, 1, 3)
    assert session.refresh(95.0) == Outcome.ANSWERED
    np.testing.assert_allclose(session.out, expected(columns, 95.0), rtol=1e-13, atol=1e-13)
    session.close()


def resident(n=6, idle_polls=1 << 40, request_limit=1 << 40):
    driver = SimulatorDriver()
    session = ResidentSession(driver, n, True, TIMEOUT_NS, idle_polls, request_limit, threads=4)
    session.stage(chain(n), 0, n)
    return driver, session


def test_requests_are_answered_in_turn_until_the_kernel_is_told_to_stop():
    driver, session = resident()
    columns = chain(6)
    for spot in (100.0, 90.0, 110.0):
        assert session.refresh(spot) == Outcome.ANSWERED
        np.testing.assert_allclose(session.out, expected(columns, spot, 5), rtol=1e-13, atol=1e-13)
    columns[4] += 0.1
    session.stage(columns, 2, 6)
    columns[4, :2] -= 0.1
    assert session.refresh(110.0) == Outcome.ANSWERED
    np.testing.assert_allclose(session.out, expected(columns, 110.0, 5), rtol=1e-13, atol=1e-13)
    assert session.stop()
    driver.thread.join()
    assert (session.state, driver.failure) == (State.STOPPED, None)


def test_without_a_heartbeat_it_ends_itself_and_is_launched_again():
    driver, session = resident(idle_polls=200)
    assert await_state(session.answer, RUNNING + 1, TIMEOUT_NS)
    driver.thread.join()
    assert (session.state, driver.failure) == (State.HEARTBEAT_LOST, None)
    assert session.refresh(100.0) == Outcome.ENDED
    session.close()
    driver, session = resident()
    assert session.refresh(100.0) == Outcome.ANSWERED
    np.testing.assert_allclose(session.out, expected(chain(6), 100.0, 5), rtol=1e-13, atol=1e-13)
    session.close()


def test_it_serves_its_number_of_requests_and_ends():
    driver, session = resident(request_limit=2)
    assert [session.refresh(spot) for spot in (100.0, 101.0, 102.0)] == [
        Outcome.ANSWERED, Outcome.ANSWERED, Outcome.ENDED,
    ]  # fmt: skip
    driver.thread.join()
    assert (session.state, driver.failure) == (State.EPOCH_OVER, None)
    session.close()
