"""The matching engine: price-time books in integer ticks, one kernel call per command.

What lives here: the books and the rules of trading in them. What may not: sockets, FIX, clocks,
fees, logs, who a participant is. ``engine.py`` states the rules of priority and holds ``apply``;
``arena.py`` describes the memory. Everything is callable from other kernels.
"""

from simulator.matching.arena import (
    ALL_BOOKS,
    MAX_ORDER_QTY,
    NO_ROOM,
    Arena,
    Word,
    make_arena,
    set_status,
    set_tick_rule,
    set_tick_rules,
)
from simulator.matching.corrections import amend_order, order_status
from simulator.matching.engine import apply, apply_batch
from simulator.matching.reasons import REASON_TEXT, CancelCause, CxlRejReason, OrdRejReason, QuoteRefusal, fix44_reason
from simulator.matching.sweeps import cancel_owner, open_orders
from simulator.matching.tops import depth_levels, take_dirty, top_levels

__all__ = [
    "ALL_BOOKS",
    "MAX_ORDER_QTY",
    "NO_ROOM",
    "REASON_TEXT",
    "Arena",
    "CancelCause",
    "CxlRejReason",
    "OrdRejReason",
    "QuoteRefusal",
    "Word",
    "amend_order",
    "apply",
    "apply_batch",
    "cancel_owner",
    "depth_levels",
    "fix44_reason",
    "make_arena",
    "open_orders",
    "order_status",
    "set_status",
    "set_tick_rule",
    "set_tick_rules",
    "take_dirty",
    "top_levels",
]
