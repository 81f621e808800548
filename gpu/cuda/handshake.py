"""The host's half of the conversation with the device; its words are told in ``kernels.py``.

The payload is stored first and the request number last, with release: x86 keeps that order on the bus.
Nothing here holds the GIL while it waits.
"""

import ctypes
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpu.cuda.kernels import DONE, FIRST, HEARTBEAT, LAST, REQUEST, RUNNING, STATE
from gpu.european.greeks import spot_greeks
from market.atomics import clock_ns, cpu_pause, fence_acquire, load_acquire, store_release
from market.jit import JIT_ENABLED, kernel

Words: TypeAlias = npt.NDArray[np.int64]
F8: TypeAlias = npt.NDArray[np.float64]


class Outcome(IntEnum):
    """Of one request. Only ``ANSWERED`` means that the rows may be read."""

    ANSWERED = 0
    LAUNCH_FAILED = 1  # the driver refused the launch
    TIMED_OUT = 2  # no answer in time
    ENDED = 3  # the kernel that stays has ended


ANSWERED = int(Outcome.ANSWERED)
TIMED_OUT = int(Outcome.TIMED_OUT)
ENDED = int(Outcome.ENDED)

if JIT_ENABLED:

    @intrinsic  # type: ignore[untyped-decorator]
    def call_address(_ctx: Any, address: Any, first: Any, second: Any) -> Any:
        """Call the C function ``int f(void *, void *)`` at ``address``: a driver call without Python in between."""

        def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            word = ir.IntType(64)
            shape = ir.FunctionType(ir.IntType(32), [word, word])
            function = builder.inttoptr(args[0], shape.as_pointer())
            return builder.sext(builder.call(function, [args[1], args[2]]), word)

        return types.int64(types.int64, types.int64, types.int64), codegen

else:

    def call_address(address: int, first: int, second: int) -> int:
        """As its compiled twin."""
        shape = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        return int(shape(address)(first, second))


@kernel
def ask(
    control: Words, spots: F8, answer: Words, spot: float, first: int, last: int, sequence: int,
    entry: int, graph: int, stream: int, timeout_ns: int,
) -> int:  # fmt: skip
    """Post request ``sequence`` and wait for its answer; an ``Outcome``, or minus the driver's error code.

    ``entry`` is the address of the driver's launch function, called with ``graph`` and ``stream``; 0 where a
    kernel that stays is polling. The wait ends at the answer, at ``timeout_ns``, or when that kernel ended.
    """
    spots[0] = spot
    control[FIRST], control[LAST] = first, last
    store_release(control, REQUEST, sequence)
    if entry != 0:
        code = call_address(entry, graph, stream)
        if code != 0:
            return -abs(code)
    limit = clock_ns(1) + timeout_ns
    while load_acquire(answer, DONE) != sequence:
        if entry == 0 and load_acquire(answer, STATE) > RUNNING:
            return ENDED
        if clock_ns(1) > limit:
            return TIMED_OUT
        cpu_pause()
    fence_acquire()
    return ANSWERED


@kernel
def await_state(answer: Words, state: int, timeout_ns: int) -> bool:
    """Wait until the kernel that stays is in ``state`` or beyond; whether it came to be in time."""
    limit = clock_ns(1) + timeout_ns
    while load_acquire(answer, STATE) < state:
        if clock_ns(1) > limit:
            return False
        cpu_pause()
    return True


@kernel
def beat(control: Words) -> None:
    """Say that the host lives."""
    store_release(control, HEARTBEAT, load_acquire(control, HEARTBEAT) + 1)


@kernel
def post(control: Words, request: int) -> None:
    """Store the request word alone."""
    store_release(control, REQUEST, request)


@kernel
def first_difference(columns: F8, spot: float, out: F8, every: int, tolerance: float) -> int:
    """First row among every ``every``-th whose values differ from the CPU's by more than ``tolerance``; -1 if none.

    ``columns[6, n]`` as in ``kernels.py``, ``out[rows, n]``. Each value is measured against its own size plus
    that of one unit of the price's natural scale for the Greek, so that deep tails are not compared digit by digit.
    NaN agrees with NaN alone.
    """
    for i in range(0, columns.shape[1], every):
        row = spot_greeks(
            spot, columns[0, i], columns[1, i], columns[2, i], columns[3, i], columns[4, i], int(columns[5, i])
        )
        for j in range(out.shape[0]):
            want, got = row[j], out[j, i]
            if (want != want) != (got != got):
                return i
            if want == want and abs(got - want) > tolerance * (abs(want) + 1.0):
                return i
    return -1
