"""CUDA twins of ``primitives.py``, and the function that compiles a formula for the device.

Imported only where device code is built: it needs numba-cuda, which a machine without a GPU may lack.
numba's own atomics act within the device alone, and a plain load in a loop may be read once and for
all; words shared with the host therefore go through PTX of their own, whose ``volatile`` inline
assembly the compiler neither hoists nor merges, with a memory clobber so that nothing moves across.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cuda, types
from numba.cuda.extending import intrinsic

from gpu.cuda import primitives
from gpu.maths import functions, pairs

_WORD = ir.IntType(64)
_ARGUMENT = "l"


def _load(instruction: str) -> Any:
    """``words[index]`` by one load instruction, never hoisted."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(_typing: Any, words: Any, index: Any) -> Any:
        def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            pointer = builder.gep(args[0], [args[1]])
            shape = ir.FunctionType(_WORD, [pointer.type])
            code = ir.InlineAsm(shape, f"{instruction} $0, [$1];", "=l,l,~{memory}", side_effect=True)
            return builder.call(code, [pointer])

        return types.int64(words, types.int64), codegen

    return load


def _store(instruction: str) -> Any:
    """``words[index] = value`` by one store instruction."""

    @intrinsic  # type: ignore[untyped-decorator]
    def store(_typing: Any, words: Any, index: Any, value: Any) -> Any:
        def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            pointer = builder.gep(args[0], [args[1]])
            shape = ir.FunctionType(ir.VoidType(), [pointer.type, _WORD])
            code = ir.InlineAsm(shape, f"{instruction} [$0], $1;", "l,l,~{memory}", side_effect=True)
            return builder.call(code, [pointer, args[2]])

        return types.void(words, types.int64, types.int64), codegen

    return store


@intrinsic  # type: ignore[untyped-decorator]
def _ticket(_typing: Any, words: Any, index: Any) -> Any:
    """Add one with acquire and release among the device's blocks; the value before."""

    def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        pointer = builder.gep(args[0], [args[1]])
        shape = ir.FunctionType(_WORD, [pointer.type])
        code = ir.InlineAsm(shape, "atom.acq_rel.gpu.add.u64 $0, [$1], 1;", "=l,l,~{memory}", side_effect=True)
        return builder.call(code, [pointer])

    return types.int64(words, types.int64), codegen


def _same_bits(argument: Any, result: Any, kind: Any) -> Any:
    """The bits of one 64-bit type as the other."""

    @intrinsic  # type: ignore[untyped-decorator]
    def cast(_typing: Any, value: Any) -> Any:
        def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            return builder.bitcast(args[0], kind)

        return result(argument), codegen

    return cast


@intrinsic  # type: ignore[untyped-decorator]
def _fused(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """The double nearest to a b + c."""

    def codegen(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), codegen


_load_system, _load_device = _load("ld.acquire.sys.u64"), _load("ld.acquire.gpu.u64")
_store_system, _store_device = _store("st.release.sys.u64"), _store("st.release.gpu.u64")


def _block_index() -> int:
    return cuda.blockIdx.x


def _block_count() -> int:
    return cuda.gridDim.x


def _thread_index() -> int:
    return cuda.threadIdx.x


def _thread_count() -> int:
    return cuda.blockDim.x


def _barrier() -> None:
    cuda.syncthreads()


def _fence_everywhere() -> None:
    cuda.threadfence_system()


def _load_host_word(words: Any, index: int) -> int:
    return _load_system(words, index)


def _store_host_word(words: Any, index: int, value: int) -> None:
    _store_system(words, index, value)


def _load_board_word(words: Any, index: int) -> int:
    return _load_device(words, index)


def _store_board_word(words: Any, index: int, value: int) -> None:
    _store_device(words, index, value)


def _take_ticket(words: Any, index: int) -> int:
    return _ticket(words, index)


def _rest(nanoseconds: int) -> None:
    cuda.nanosleep(nanoseconds)


def compile_function(function: Callable[..., Any]) -> Any:
    """A device function that kernels inline."""
    return cuda.jit(device=True, inline="always")(function)


def device_primitives() -> dict[Any, Any]:
    """The CUDA twin of every primitive, by the CPU's."""
    twins: dict[Any, Any] = {
        primitives.block_index: _block_index,
        primitives.block_count: _block_count,
        primitives.thread_index: _thread_index,
        primitives.thread_count: _thread_count,
        primitives.barrier: _barrier,
        primitives.fence_everywhere: _fence_everywhere,
        primitives.load_host_word: _load_host_word,
        primitives.store_host_word: _store_host_word,
        primitives.load_board_word: _load_board_word,
        primitives.store_board_word: _store_board_word,
        primitives.take_ticket: _take_ticket,
        primitives.rest: _rest,
    }
    bits = {
        functions.bits_of: _same_bits(types.float64, types.int64, _WORD),
        functions.float_of: _same_bits(types.int64, types.float64, ir.DoubleType()),
    }
    return {ours: compile_function(theirs) for ours, theirs in twins.items()} | bits | {pairs.fused: _fused}
