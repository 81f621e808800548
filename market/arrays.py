"""Arrays over memory that somebody else owns, inside kernels: from an address and a count.

What a kernel works on is often too much to hand it at each call; so it is given one table of
addresses and takes the arrays from there. Nothing here keeps the memory alive or knows its size:
**whoever wrote the address vouches for both**.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from market.jit import JIT_ENABLED


def _from_address(item: Any, dtype: npt.DTypeLike, columns: int = 0) -> Callable[[int, int], Any]:
    """What gives ``item[count]``, or ``item[count, columns]``, at an address."""
    if not JIT_ENABLED:
        layout = np.dtype(dtype)

        def view(address: int, count: int) -> npt.NDArray[Any]:
            size = int(count) * max(columns, 1) * layout.itemsize
            memory: Any = (ctypes.c_uint8 * size).from_address(int(address))
            array = np.frombuffer(memory, layout)
            return array.reshape(-1, columns) if columns else array

        return view
    array_type = types.Array(item, 2 if columns else 1, "C")

    @intrinsic  # type: ignore[untyped-decorator]
    def array_at(_ctx: Any, address: Any, count: Any) -> Any:
        def codegen(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
            word = ir.IntType(64)
            size = np.dtype(dtype).itemsize
            shape, strides = [args[1]], [ir.Constant(word, size * max(columns, 1))]
            if columns:
                shape.append(ir.Constant(word, columns))
                strides.append(ir.Constant(word, size))
            array = context.make_array(array_type)(context, builder)
            populate_array(
                array,
                data=builder.inttoptr(args[0], context.get_data_type(item).as_pointer()),
                shape=cgutils.pack_array(builder, shape),
                strides=cgutils.pack_array(builder, strides),
                itemsize=ir.Constant(word, size),
                meminfo=None,
            )
            return array._getvalue()

        return array_type(types.int64, types.int64), codegen

    return array_at  # type: ignore[no-any-return]


#: uint8[count]
bytes_at = _from_address(types.uint8, np.uint8)
#: int64[count]
words_at = _from_address(types.int64, np.int64)
#: int32[count]
ints_at = _from_address(types.int32, np.int32)
#: uint8[count, 128]: frames
frames_at = _from_address(types.uint8, np.uint8, 128)
#: int64[count, 8]: rows of one cache line
lines_at = _from_address(types.int64, np.int64, 8)
