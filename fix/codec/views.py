"""Frame bytes as records, inside kernels: numba cannot view a uint8 array as a structured one."""

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from market.jit import JIT_ENABLED
from market.records import EXECUTION, FRAME_BYTES, ORDER, QUOTE, as_layout

if JIT_ENABLED:

    def _reinterpret(record: Any) -> Any:
        """Codegen of ``uint8[n, 128]`` (C order) to ``record[n]`` on the same memory."""

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source = context.make_array(sig.args[0])(context, builder, args[0])
            result = context.make_array(sig.return_type)(context, builder)
            word = context.get_value_type(types.intp)
            size = ir.Constant(word, FRAME_BYTES)
            count = builder.extract_value(source.shape, 0)
            pair = ir.ArrayType(word, 1)
            result.meminfo = source.meminfo
            result.parent = source.parent
            result.nitems = count
            result.itemsize = size
            result.data = builder.bitcast(source.data, context.get_data_type(record).as_pointer())
            result.shape = builder.insert_value(ir.Constant(pair, ir.Undefined), count, 0)
            result.strides = builder.insert_value(ir.Constant(pair, ir.Undefined), size, 0)
            if context.enable_nrt:
                context.nrt.incref(builder, sig.return_type, result._getvalue())
            return result._getvalue()

        return codegen

    _EXECUTION, _ORDER, _QUOTE = (numba.from_dtype(layout) for layout in (EXECUTION, ORDER, QUOTE))

    @intrinsic  # type: ignore[untyped-decorator]
    def executions_of(_ctx: Any, out: Any) -> Any:
        """uint8[n, 128] as EXECUTION[n]."""
        return types.Array(_EXECUTION, 1, "C")(out), _reinterpret(_EXECUTION)

    @intrinsic  # type: ignore[untyped-decorator]
    def orders_of(_ctx: Any, out: Any) -> Any:
        """uint8[n, 128] as ORDER[n]."""
        return types.Array(_ORDER, 1, "C")(out), _reinterpret(_ORDER)

    @intrinsic  # type: ignore[untyped-decorator]
    def quotes_of(_ctx: Any, out: Any) -> Any:
        """uint8[n, 128] as QUOTE[n]."""
        return types.Array(_QUOTE, 1, "C")(out), _reinterpret(_QUOTE)

else:

    def executions_of(out: Any) -> Any:  # noqa: D103
        return as_layout(out, EXECUTION)

    def orders_of(out: Any) -> Any:  # noqa: D103
        return as_layout(out, ORDER)

    def quotes_of(out: Any) -> Any:  # noqa: D103
        return as_layout(out, QUOTE)
