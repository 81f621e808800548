"""Writing EXECUTION rows. Every field is written: the rows of ``out`` may hold anything before.

All rows of a command carry its ``header.ts_ns``; ExecIDs are consecutive over all kinds of rows,
so that the sequence of a venue's reports has no gaps. ``msg_seq`` carries the order's notional, from
which the average price follows. Commission, ``source`` and possible-duplicate flags belong to the
venue and are left 0.
"""

from typing import Any

import numpy as np

from market.enums import ExecType, FrameKind, OrderAction, OrdStatus
from market.jit import kernel
from market.records import EXEC_QUOTE
from simulator.matching.arena import ALL_BOOKS, MAX_ORDER_QTY, SLOT_BITS, Arena, Word, i64

_LAST_EXEC, _NOW_NS, _RECV_NS = int(Word.LAST_EXEC), int(Word.NOW_NS), int(Word.RECV_NS)
_EXECUTION, _CANCEL_REJECT = int(FrameKind.EXECUTION), int(FrameKind.CANCEL_REJECT)
_NEW, _PARTIAL, _FILLED = int(OrdStatus.NEW), int(OrdStatus.PARTIALLY_FILLED), int(OrdStatus.FILLED)
_REJECTED = int(OrdStatus.REJECTED)
_EXEC_REJECTED, _EXEC_STATUS = int(ExecType.REJECTED), int(ExecType.ORDER_STATUS)
_PENDING_CANCEL, _PENDING_REPLACE = int(ExecType.PENDING_CANCEL), int(ExecType.PENDING_REPLACE)
_REPLACE = int(OrderAction.REPLACE)
_SLOT_BITS = np.uint64(SLOT_BITS)


@kernel(inline=True, internal=True)
def order_id_of(arena: Arena, slot: int) -> Any:
    """OrderID (uint64) of the order in ``slot``."""
    return (np.uint64(arena.orders[slot].generation) << _SLOT_BITS) | np.uint64(slot)


@kernel(inline=True, internal=True)
def working_status(arena: Arena, slot: int) -> int:
    """OrdStatus that follows from what is left and what has traded."""
    order = arena.orders[slot]
    if order.leaves == 0:
        return _FILLED
    return _PARTIAL if order.cum > 0 else _NEW


@kernel(inline=True, internal=True)
def _open_row(arena: Arena, out: Any, n: int, kind: int) -> None:
    """Header and the fields that most reports leave at 0."""
    words = arena.words
    exec_id = words[_LAST_EXEC] + 1
    words[_LAST_EXEC] = exec_id
    row = out[n]
    row.kind = kind
    row.source = 0
    row.crc = 0
    row.jseq = 0
    row.ts_ns = words[_NOW_NS]
    row.recv_ns = words[_RECV_NS]
    row.poss_dup = 0
    row.last_report = 0
    row.flags = 0
    row.reason = 0
    row.tot_reports = 0
    row.orig_cl_ord_id = 0
    row.exec_id = exec_id
    row.msg_seq = 0
    row.last_ticks = 0
    row.last_qty = 0
    row.commission_e4 = 0


@kernel(inline=True, internal=True)
def report(arena: Arena, out: Any, n: int, slot: int, exec_type: int, ord_status: int, cause: int) -> int:
    """One report about the order in ``slot`` as it stands; returns n + 1."""
    _open_row(arena, out, n, _EXECUTION)
    order, row = arena.orders[slot], out[n]
    row.instrument = order.book
    row.session = order.owner
    row.side = order.side
    row.exec_type = exec_type
    row.ord_status = ord_status
    row.reason = cause
    row.cl_ord_id = order.cl_ord_id
    row.order_id = order_id_of(arena, slot)
    row.price_ticks = order.price
    row.order_qty = order.qty
    row.leaves_qty = order.leaves
    row.cum_qty = order.cum
    if order.cum > 0:
        row.msg_seq = arena.details[slot].notional
    if order.quote != 0:
        row.cl_ord_id = arena.details[slot].quote_id
        row.orig_cl_ord_id = arena.details[slot].entry_id
        row["flags"] = EXEC_QUOTE
    return n + 1


@kernel(inline=True, internal=True)
def _named_order(order_id: Any, owner: int, cl_ord_id: Any, orig_cl_ord_id: Any, out: Any, n: int) -> None:
    row = out[n]
    row.session = i64(owner) & 0xFFFF
    row.cl_ord_id = cl_ord_id
    row.orig_cl_ord_id = orig_cl_ord_id
    row.order_id = order_id


@kernel(internal=True)
def reject_new(arena: Arena, command: Any, reason: int, out: Any, n: int) -> int:
    """Refuse a new order: it never existed, OrderID 0."""
    _open_row(arena, out, n, _EXECUTION)
    _named_order(np.uint64(0), command.owner, command.cl_ord_id, np.uint64(0), out, n)
    row = out[n]
    row.instrument = command.instrument
    row.side = command.side
    row.exec_type = _EXEC_REJECTED
    row.ord_status = _REJECTED
    row.reason = reason
    row.price_ticks = command.price_ticks
    row.order_qty = min(max(command.qty, 0), MAX_ORDER_QTY)
    row.leaves_qty = 0
    row.cum_qty = 0
    return n + 1


@kernel(internal=True)
def reject_change(arena: Arena, command: Any, slot: int, reason: int, out: Any, n: int) -> int:
    """Refuse a CANCEL or REPLACE. ``slot`` is the order it meant, 0 where there is none.

    ``exec_type`` says what was refused: PENDING_CANCEL or PENDING_REPLACE (FIX CxlRejResponseTo).
    Without an order the status is REJECTED, as FIX has it: it does not say that an order was.
    """
    _open_row(arena, out, n, _CANCEL_REJECT)
    _named_order(command.order_id, command.owner, command.cl_ord_id, command.orig_cl_ord_id, out, n)
    row = out[n]
    row.instrument = command.instrument
    row.side = command.side
    row.exec_type = _PENDING_REPLACE if command.action == _REPLACE else _PENDING_CANCEL
    row.ord_status = _REJECTED
    row.reason = reason
    row.price_ticks = 0
    row.order_qty = 0
    row.leaves_qty = 0
    row.cum_qty = 0
    if slot != 0:
        order = arena.orders[slot]
        row.side = order.side
        row.order_id = order_id_of(arena, slot)
        row.ord_status = working_status(arena, slot)
        row.price_ticks = order.price
        row.order_qty = order.qty
        row.leaves_qty = order.leaves
        row.cum_qty = order.cum
    return n + 1


@kernel(internal=True)
def no_orders(arena: Arena, owner: int, request: Any, out: Any, n: int) -> int:
    """The answer to a MASS_STATUS of an owner without open orders."""
    _open_row(arena, out, n, _EXECUTION)
    _named_order(np.uint64(0), owner, np.uint64(0), request, out, n)
    row = out[n]
    row.instrument = ALL_BOOKS
    row.side = 0
    row.exec_type = _EXEC_STATUS
    row.ord_status = _REJECTED
    row.last_report = 1
    row.price_ticks = 0
    row.order_qty = 0
    row.leaves_qty = 0
    row.cum_qty = 0
    return n + 1
