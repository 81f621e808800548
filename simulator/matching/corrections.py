"""Orders looked up or changed from outside the flow of commands: status, bust and correction of a trade."""

from typing import Any

import numpy as np

from market.enums import ExecType
from market.jit import kernel
from simulator.matching.arena import SLOT_BITS, Arena, Word, i64
from simulator.matching.cl_ord_ids import find_order
from simulator.matching.reports import report, working_status

_NOW_NS, _RECV_NS = int(Word.NOW_NS), int(Word.RECV_NS)
_FRESH_ORDER = int(Word.FRESH_ORDER)
_EXEC_STATUS = int(ExecType.ORDER_STATUS)
_SLOT_BITS, _SLOT_MASK = np.uint64(SLOT_BITS), np.uint64((1 << SLOT_BITS) - 1)


@kernel(internal=True)
def live_slot(arena: Arena, order_id: Any) -> int:
    """Slot of the live order of an OrderID (uint64), 0 if it has ended or never was."""
    slot = i64(order_id & _SLOT_MASK)
    if slot < 1 or slot >= arena.words[_FRESH_ORDER]:
        return i64(0)
    order = arena.orders[slot]
    same = i64(order_id >> _SLOT_BITS) == order.generation
    return slot if same and order.live != 0 else i64(0)


@kernel
def order_status(arena: Arena, owner: int, book: int, cl_ord_id: Any, order_id: Any, now_ns: int, out: Any) -> int:
    """ORDER_STATUS report of one live order of ``owner`` into ``out[0]``: 1, or 0 where there is none.

    By ``order_id`` (uint64) where that is not 0, else by ``cl_ord_id``; it must be in ``book``.
    """
    arena.words[_NOW_NS] = now_ns
    slot = live_slot(arena, order_id) if order_id != np.uint64(0) else find_order(arena, owner, cl_ord_id)
    if slot == 0:
        return 0
    order = arena.orders[slot]
    if order.owner != owner or order.book != book or order.quote != 0:
        return 0
    return report(arena, out, 0, slot, _EXEC_STATUS, working_status(arena, slot), 0)


@kernel
def amend_order(
    arena: Arena, order_id: Any, exec_type: int, qty: int, notional: int, now_ns: int, wall_ns: int, out: Any, n: int
) -> int:
    """Add ``qty`` and ``notional`` (both may be negative) to what a live order has traded.

    Writes its report to ``out[n]`` (EXECUTION) and returns n + 1; n, and nothing done, where the order has ended.
    What is busted does not come back into the book: what is left stays, OrderQty changes with CumQty.
    """
    slot = live_slot(arena, order_id)
    if slot == 0:
        return n
    order = arena.orders[slot]
    before = arena.details[slot].notional if order.cum > 0 else i64(0)
    order.cum += qty
    order.qty += qty
    arena.details[slot].notional = before + notional
    arena.words[_NOW_NS] = now_ns
    arena.words[_RECV_NS] = wall_ns
    return report(arena, out, n, slot, exec_type, working_status(arena, slot), 0)
