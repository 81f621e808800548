"""From (owner, ClOrdID) to the slot of the live order: open addressing, at most half full.

An entry is ``tag << 32 | slot``; 0 is empty. The tag is the hash's 32 bits, from which an entry's
home position follows, so neither a probe that does not match nor the closing of a gap has to touch
an order. Removal shifts entries back instead of leaving tombstones: nothing to rebuild, ever.
ClOrdID 0 means "unnamed": such an order is not in the table and is addressed by its OrderID.
"""

from typing import Any

import numpy as np

from market.jit import kernel
from simulator.matching.arena import Arena, Word, i64

_MASK_WORD = int(Word.INDEX_MASK)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_EMPTY = np.uint64(0)


@kernel(inline=True, internal=True)
def _tag(owner: int, cl_ord_id: Any) -> Any:
    """32-bit hash. Halves are multiplied apart, because 32 x 32 bits cannot overflow 64."""
    low = (cl_ord_id & _LOW) * np.uint64(0x9E3779B1)
    high = (cl_ord_id >> _32) * np.uint64(0x85EBCA77)
    mixed = low ^ high ^ (np.uint64(owner) * np.uint64(0xC2B2AE3D))
    return (mixed ^ (mixed >> np.uint64(29))) & _LOW


@kernel(inline=True, internal=True)
def find_order(arena: Arena, owner: int, cl_ord_id: Any) -> int:
    """Slot of the live order, 0 if there is none; ``cl_ord_id`` is a uint64."""
    if cl_ord_id == _EMPTY:
        return i64(0)
    table, mask = arena.cl_ord_ids, arena.words[_MASK_WORD]
    tag = _tag(owner, cl_ord_id)
    at = i64(tag) & mask
    while True:
        entry = table[at]
        if entry == _EMPTY:
            return i64(0)
        if entry >> _32 == tag:
            slot = i64(entry & _LOW)
            order = arena.orders[slot]
            if order.cl_ord_id == cl_ord_id and order.owner == owner:
                return slot
        at = (at + 1) & mask


@kernel(inline=True, internal=True)
def remember_order(arena: Arena, slot: int) -> None:
    """Enter the order of ``slot`` under its owner and ClOrdID; it must not be there yet."""
    order = arena.orders[slot]
    cl_ord_id = order.cl_ord_id
    if cl_ord_id == _EMPTY:
        return
    table, mask = arena.cl_ord_ids, arena.words[_MASK_WORD]
    tag = _tag(order.owner, cl_ord_id)
    at = i64(tag) & mask
    while table[at] != _EMPTY:
        at = (at + 1) & mask
    table[at] = (tag << _32) | np.uint64(slot)


@kernel(internal=True)
def forget_order(arena: Arena, slot: int) -> None:
    """Remove the order of ``slot``."""
    order = arena.orders[slot]
    cl_ord_id = order.cl_ord_id
    if cl_ord_id == _EMPTY:
        return
    table, mask = arena.cl_ord_ids, arena.words[_MASK_WORD]
    tag = _tag(order.owner, cl_ord_id)
    wanted = (tag << _32) | np.uint64(slot)
    hole = i64(tag) & mask
    while table[hole] != wanted:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        entry = table[at]
        if entry == _EMPTY:
            break
        home = i64(entry >> _32) & mask
        if (at - home) & mask >= (at - hole) & mask:  # it may stand in the hole: not before its home
            table[hole] = entry
            hole = at
    table[hole] = _EMPTY
