"""How kernels reach the state: one int64 array of addresses and lengths, and an accessor per table.

Passing the state as a tuple of its tables would hand some 250 words to every call that is not
inlined, take microseconds at each entry from Python, and multiply compile time. A handle is one
array; ``books(e)`` rebuilds the table's descriptor from it, which the optimiser folds away. The
handle holds raw addresses: it lives and dies with the ``Engine`` it was made from, and is never
part of a snapshot.

With the JIT off the handle is the ``Engine`` itself and the accessors are attribute look-ups.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from engine.state import BOOK, FILL, LEDGER, LINK, ORDER_SLOT, SERIES, UNDERLYING, Engine
from market import records
from market.jit import JIT_ENABLED, kernel
from risk.state import FIRM, INSTRUMENT_RISK, SESSION_RISK, UNDERLYING_RISK, RiskState

#: What kernels take as ``e``.
Handle = Any

_INT64, _FLOAT64, _INT32, _UINT64 = (np.dtype(t) for t in ("<i8", "<f8", "<i4", "<u8"))

# Path of each table in the Engine tuple, and its item type; the order is the handle's layout.
_TABLES: tuple[tuple[str, np.dtype[Any]], ...] = (
    ("words", _INT64),
    ("instruments", records.INSTRUMENT),
    ("books", BOOK),
    ("series", SERIES),
    ("ledger", LEDGER),
    ("orders", ORDER_SLOT),
    ("free", _INT32),
    ("underlyings", UNDERLYING),
    ("underlying_of", _INT32),
    ("links", LINK),
    ("source_ns", _INT64),
    ("unknown_execs", _UINT64),
    ("fills", FILL),
    ("quoting", _FLOAT64),
    ("hedging", _FLOAT64),
    ("options", _FLOAT64),
    ("risk.limits", _FLOAT64),
    ("risk.firm", FIRM),
    ("risk.underlyings", UNDERLYING_RISK),
    ("risk.instruments", INSTRUMENT_RISK),
    ("risk.sessions", SESSION_RISK),
    ("inputs.cells", _INT64),
    ("inputs.header", records.HEADER),
    ("inputs.quote", records.QUOTE),
    ("inputs.execution", records.EXECUTION),
    ("inputs.control", records.CONTROL),
    ("inputs.timer", records.TIMER),
    ("inputs.theo", records.THEO),
    ("inputs.commit", records.THEO_COMMIT),
    ("inputs.instrument", records.INSTRUMENT),
    ("inputs.session", records.SESSION),
    ("inputs.run_start", records.RUN_START),
    ("inputs.security_status", records.SECURITY_STATUS),
    ("outputs.cells", _INT64),
    ("outputs.header", records.HEADER),
    ("outputs.order", records.ORDER),
    ("outputs.event", records.EVENT),
    ("outputs.stamps", _INT64),
)
_PLACES = {name: place for place, (name, _) in enumerate(_TABLES)}


def _resolve(engine: Engine, path: str) -> Any:
    found: Any = engine
    for part in path.split("."):
        found = getattr(found, part)
    return found


def make_handle(engine: Engine) -> Handle:
    """Addresses and lengths of the state's tables, in the order of ``_TABLES``; keep ``engine`` alive."""
    if not JIT_ENABLED:
        return engine
    handle = np.zeros(2 * len(_TABLES), np.int64)
    for place, (path, dtype) in enumerate(_TABLES):
        array: npt.NDArray[Any] = _resolve(engine, path)
        if array.dtype != dtype or not array.flags.c_contiguous:
            raise TypeError(f"{path} is {array.dtype}, the handle's layout says {dtype}")
        handle[2 * place], handle[2 * place + 1] = array.ctypes.data, len(array)
    return handle


def _accessor(path: str) -> Callable[[Handle], Any]:
    """What gives the table at ``path`` from a handle inside a kernel.

    An intrinsic and not a kernel: kernels are compiled without reference counting, and such a
    function may not return an array that it did not get as an argument.
    """
    if not JIT_ENABLED:
        return lambda engine: _resolve(engine, path)
    place = 2 * _PLACES[path]
    item = from_dtype(_TABLES[_PLACES[path]][1])
    columns = (16,) if path.endswith(".cells") else ()
    array_type = types.Array(item, 1 + len(columns), "C")

    @intrinsic  # type: ignore[untyped-decorator]
    def table(_ctx: Any, handle: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            word = ir.IntType(64)
            words = context.make_array(sig.args[0])(context, builder, args[0]).data
            address = builder.load(builder.gep(words, [ir.Constant(word, place)]))
            count = builder.load(builder.gep(words, [ir.Constant(word, place + 1)]))
            data_type = context.get_data_type(item)
            item_size = item.size if isinstance(item, types.Record) else context.get_abi_sizeof(data_type)
            shape = [count, *(ir.Constant(word, n) for n in columns)]
            strides = [ir.Constant(word, item_size * int(np.prod(columns[k:], dtype=int))) for k in range(len(shape))]
            array = context.make_array(array_type)(context, builder)
            populate_array(
                array,
                data=builder.inttoptr(address, data_type.as_pointer()),
                shape=cgutils.pack_array(builder, shape),
                strides=cgutils.pack_array(builder, strides),
                itemsize=ir.Constant(word, item_size),
                meminfo=None,
            )
            return array._getvalue()

        return array_type(handle), codegen

    return table  # type: ignore[no-any-return]


scalars = _accessor("words")
instruments = _accessor("instruments")
books = _accessor("books")
series = _accessor("series")
ledger = _accessor("ledger")
orders = _accessor("orders")
free_slots = _accessor("free")
underlyings = _accessor("underlyings")
underlying_of = _accessor("underlying_of")
links = _accessor("links")
source_ns = _accessor("source_ns")
unknown_execs = _accessor("unknown_execs")
fills = _accessor("fills")
quoting_params = _accessor("quoting")
hedging_params = _accessor("hedging")
options = _accessor("options")
in_cells = _accessor("inputs.cells")
in_header = _accessor("inputs.header")
in_quote = _accessor("inputs.quote")
in_execution = _accessor("inputs.execution")
in_control = _accessor("inputs.control")
in_timer = _accessor("inputs.timer")
in_theo = _accessor("inputs.theo")
in_commit = _accessor("inputs.commit")
in_instrument = _accessor("inputs.instrument")
in_session = _accessor("inputs.session")
in_run_start = _accessor("inputs.run_start")
in_security_status = _accessor("inputs.security_status")
out_cells = _accessor("outputs.cells")
out_header = _accessor("outputs.header")
out_order = _accessor("outputs.order")
out_event = _accessor("outputs.event")
out_stamps = _accessor("outputs.stamps")
_limits = _accessor("risk.limits")
_firm = _accessor("risk.firm")
_risk_underlyings = _accessor("risk.underlyings")
_risk_instruments = _accessor("risk.instruments")
_risk_sessions = _accessor("risk.sessions")


@kernel(inline=True)
def risk(e: Handle) -> RiskState:
    """The risk tables, as the kernels of ``risk`` take them."""
    return RiskState(_limits(e), _firm(e), _risk_underlyings(e), _risk_instruments(e), _risk_sessions(e))
