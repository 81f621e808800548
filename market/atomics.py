"""Acquire/release words, compare-and-exchange, a spin hint, clocks and libc calls usable inside kernels.

A plain array load in a spin loop is hoisted by LLVM and the loop never ends, hence the atomics.
``ctypes`` function pointers would make a kernel uncacheable; ``types.ExternalFunction`` resolves
by symbol name and caches. Inline assembly aborts the process under numba, hence LLVM intrinsics.
"""

import ctypes
import os
import platform
import threading
import time
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from market.jit import JIT_ENABLED, kernel

CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1
MSG_DONTWAIT = 0x40
MSG_NOSIGNAL = 0x4000
EINTR = 4
EAGAIN = 11

_X86 = platform.machine() in ("x86_64", "AMD64")


def _element(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    array = context.make_array(sig.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


if JIT_ENABLED:

    @intrinsic  # type: ignore[untyped-decorator]
    def load_acquire(_ctx: Any, arr: Any, idx: Any) -> Any:
        """``arr[idx]`` (1-D, C-contiguous, 8-byte items) with acquire ordering."""

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.load_atomic(_element(context, builder, sig, args), ordering="acquire", align=8)

        return arr.dtype(arr, types.intp), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def store_release(_ctx: Any, arr: Any, idx: Any, val: Any) -> Any:
        """``arr[idx] = val`` with release ordering."""

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            builder.store_atomic(args[2], _element(context, builder, sig, args), ordering="release", align=8)
            return context.get_dummy_value()

        return types.void(arr, types.intp, arr.dtype), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def compare_exchange(_ctx: Any, arr: Any, idx: Any, expected: Any, val: Any) -> Any:
        """Store ``val`` in ``arr[idx]`` if it is ``expected``, as one act (acquire and release); whether it was."""

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            place = _element(context, builder, sig, args)
            return builder.extract_value(builder.cmpxchg(place, args[2], args[3], "acq_rel", "acquire"), 1)

        return types.boolean(arr, types.intp, arr.dtype, arr.dtype), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def c_errno(_ctx: Any) -> Any:
        """``errno`` of this thread's last failed libc call."""

        def codegen(context: Any, builder: Any, _sig: Any, _args: Any) -> Any:
            signature = ir.FunctionType(ir.IntType(32).as_pointer(), [])
            function = cgutils.get_or_insert_function(builder.module, signature, "__errno_location")
            return builder.sext(builder.load(builder.call(function, [])), ir.IntType(64))

        return types.int64(), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def fence_acquire(_ctx: Any) -> Any:
        """No later load moves before this point."""

        def codegen(context: Any, builder: Any, _sig: Any, _args: Any) -> Any:
            builder.fence("acquire")
            return context.get_dummy_value()

        return types.void(), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def fence_release(_ctx: Any) -> Any:
        """No earlier store moves after this point."""

        def codegen(context: Any, builder: Any, _sig: Any, _args: Any) -> Any:
            builder.fence("release")
            return context.get_dummy_value()

        return types.void(), codegen

    @intrinsic  # type: ignore[untyped-decorator]
    def cpu_pause(_ctx: Any) -> Any:
        """Tell the core that this is a spin loop (x86 PAUSE; nothing elsewhere)."""

        def codegen(context: Any, builder: Any, _sig: Any, _args: Any) -> Any:
            if _X86:
                signature = ir.FunctionType(ir.VoidType(), [])
                builder.call(cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.sse2.pause"), [])
            return context.get_dummy_value()

        return types.void(), codegen

    _clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))

    @intrinsic  # type: ignore[untyped-decorator]
    def clock_ns(_ctx: Any, clock: Any) -> Any:
        """Nanoseconds of CLOCK_REALTIME or CLOCK_MONOTONIC; about 40 ns."""

        def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            pair = ir.LiteralStructType([ir.IntType(64), ir.IntType(64)])
            place = cgutils.alloca_once(builder, pair)
            signature = ir.FunctionType(ir.IntType(32), [ir.IntType(32), pair.as_pointer()])
            function = cgutils.get_or_insert_function(builder.module, signature, "clock_gettime")
            builder.call(function, [builder.trunc(args[0], ir.IntType(32)), place])
            seconds = builder.load(cgutils.gep_inbounds(builder, place, 0, 0))
            nanos = builder.load(cgutils.gep_inbounds(builder, place, 0, 1))
            return builder.add(builder.mul(seconds, ir.Constant(ir.IntType(64), 1_000_000_000)), nanos)

        return types.int64(types.int64), codegen

    c_send = types.ExternalFunction("send", types.intp(types.int32, types.uintp, types.uintp, types.int32))
    c_recv = types.ExternalFunction("recv", types.intp(types.int32, types.uintp, types.uintp, types.int32))
    c_write = types.ExternalFunction("write", types.intp(types.int32, types.uintp, types.uintp))
    #: ``memmove(to, from, bytes)``; the two may overlap.
    c_move = types.ExternalFunction("memmove", types.uintp(types.uintp, types.uintp, types.uintp))

else:  # plain Python: what the intrinsics above mean, for debugging and as the kernels' own oracle

    def load_acquire(arr: Any, idx: int) -> Any:
        """As its compiled twin."""
        return arr[idx]

    def store_release(arr: Any, idx: int, val: Any) -> None:
        """As its compiled twin."""
        arr[idx] = val

    _one_at_a_time = threading.Lock()

    def compare_exchange(arr: Any, idx: int, expected: Any, val: Any) -> bool:
        """As its compiled twin."""
        with _one_at_a_time:
            if arr[idx] != expected:
                return False
            arr[idx] = val
            return True

    def c_errno() -> int:
        """As its compiled twin."""
        return ctypes.get_errno()

    def fence_acquire() -> None:
        """As its compiled twin."""
        return

    def fence_release() -> None:
        """As its compiled twin."""
        return

    def cpu_pause() -> None:
        """As its compiled twin."""
        return

    def clock_ns(clock: int) -> int:
        """As its compiled twin."""
        return time.clock_gettime_ns(clock)

    _libc = ctypes.CDLL(None, use_errno=True)

    def c_send(fd: int, address: int, count: int, flags: int) -> int:
        """As its compiled twin."""
        return int(_libc.send(int(fd), ctypes.c_void_p(int(address)), ctypes.c_size_t(int(count)), int(flags)))

    def c_recv(fd: int, address: int, count: int, flags: int) -> int:
        """As its compiled twin."""
        return int(_libc.recv(int(fd), ctypes.c_void_p(int(address)), ctypes.c_size_t(int(count)), int(flags)))

    def c_write(fd: int, address: int, count: int) -> int:
        """As its compiled twin."""
        return os.write(fd, ctypes.string_at(address, count))

    def c_move(to: int, source: int, count: int) -> int:
        """As its compiled twin."""
        return int(ctypes.memmove(int(to), int(source), int(count)) or 0)


@kernel
def wall_clock_ns() -> int:
    """UTC nanoseconds now."""
    return clock_ns(0)


@kernel
def monotonic_ns() -> int:
    """Monotonic nanoseconds now, comparable between processes of one machine."""
    return clock_ns(1)
