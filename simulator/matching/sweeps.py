"""What concerns all orders of one owner: mass cancel, mass status, cancel on disconnect.

Orders are not linked by owner: that would cost every order operation two more cache lines to make
a rare request faster. The pool is scanned instead (about 1 ms for 250,000 slots) and what is found
is sorted by acceptance number, so that the result does not depend on slots.
"""

from typing import Any

import numpy as np

from market.enums import ExecType
from market.jit import kernel
from simulator.matching.arena import ALL_BOOKS, NO_ROOM, SLOT_BITS, Arena, Word, i64, touch_book
from simulator.matching.matching import end_resting, report_canceled
from simulator.matching.reports import no_orders, report, working_status

_FRESH_ORDER, _LIVE_ORDERS, _NOW_NS = int(Word.FRESH_ORDER), int(Word.LIVE_ORDERS), int(Word.NOW_NS)
_EXEC_STATUS = int(ExecType.ORDER_STATUS)
_SLOT_MASK = (1 << SLOT_BITS) - 1
_REPORTS_CAP = 65_535  # EXECUTION.tot_reports is 16 bits wide
_NO_ID = np.uint64(0)


@kernel(internal=True)
def _sift_down(heap: Any, root: int, count: int) -> None:
    value = heap[root]
    while True:
        child = 2 * root + 1
        if child >= count:
            break
        if child + 1 < count and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[root] = heap[child]
        root = child
    heap[root] = value


_QUOTES, _ORDERS, _EVERYTHING = i64(1), i64(0), i64(2)  # what of an owner _collect takes


@kernel(internal=True)
def _collect(arena: Arena, owner: int, book: int, what: int) -> int:
    """Write ``accepted << 24 | slot`` of the owner's live orders to scratch[0:n], ascending; return n.

    ``book`` -1 means all; ``what``: orders, quotes or both. Heap sort: in place, no recursion, no allocation.
    """
    keys, n = arena.scratch, 0
    for slot in range(1, arena.words[_FRESH_ORDER]):
        order = arena.orders[slot]
        wanted = what == _EVERYTHING or order.quote == what
        if order.live != 0 and order.owner == owner and wanted and (book < 0 or order.book == book):
            keys[n] = (order.accepted << SLOT_BITS) | slot
            n += 1
    for root in range(n // 2 - 1, -1, -1):
        _sift_down(keys, root, n)
    for last in range(n - 1, 0, -1):
        keys[0], keys[last] = keys[last], keys[0]
        _sift_down(keys, 0, last)
    return n


@kernel
def cancel_owner(arena: Arena, owner: int, book: int, now_ns: int, out: Any, n_out: int) -> int:
    """Cancel all orders and quotes of ``owner`` in ``book`` (-1: all books), oldest first; return the row count.

    Each is reported CANCELED under its own ClOrdID. Returns NO_ROOM, having done nothing, if ``out``
    has fewer free rows than the arena has live orders.
    """
    if out.shape[0] - n_out < arena.words[_LIVE_ORDERS]:
        return NO_ROOM
    arena.words[_NOW_NS] = now_ns
    n = _collect(arena, owner, book, _EVERYTHING)
    for k in range(n):
        slot = arena.scratch[k] & _SLOT_MASK
        end_resting(arena, slot)
        n_out = report_canceled(arena, slot, 0, out, n_out)
        touch_book(arena, i64(arena.orders[slot].book))
    return n_out


@kernel(internal=True)
def _report_open(arena: Arena, owner: int, book: int, request: Any, out: Any, n_out: int) -> int:
    """Status of the owner's orders; quotes are none: their maker replaces them whole."""
    n = _collect(arena, owner, book, _ORDERS)
    for k in range(n):
        slot = arena.scratch[k] & _SLOT_MASK
        n_out = report(arena, out, n_out, slot, _EXEC_STATUS, working_status(arena, slot), 0)
        row = out[n_out - 1]
        row.orig_cl_ord_id = request
        row.tot_reports = min(n, _REPORTS_CAP)
        row.last_report = 1 if k == n - 1 else 0
    return n_out


@kernel
def open_orders(arena: Arena, owner: int, now_ns: int, out: Any) -> int:
    """ORDER_STATUS reports of all live orders of ``owner``, oldest first, into out[0:n]; return n.

    ``tot_reports`` is n (at most 65535), ``last_report`` 1 on the last. NO_ROOM as ``cancel_owner``.
    """
    if out.shape[0] < arena.words[_LIVE_ORDERS]:
        return NO_ROOM
    arena.words[_NOW_NS] = now_ns
    return _report_open(arena, owner, -1, _NO_ID, out, 0)


@kernel(internal=True)
def withdraw_quotes(arena: Arena, owner: int, book: int, quote_id: Any) -> int:
    """Take quotes of ``owner`` out of the market, without reports; returns how many orders that ended.

    ``book`` -1: of all series; ``quote_id`` 0: of whatever quote.
    """
    n = _collect(arena, owner, book, _QUOTES)
    ended = i64(0)
    for k in range(n):
        slot = arena.scratch[k] & _SLOT_MASK
        if quote_id != _NO_ID and arena.details[slot].quote_id != quote_id:
            continue
        end_resting(arena, slot)
        touch_book(arena, i64(arena.orders[slot].book))
        ended += 1
    return ended


@kernel(inline=True, internal=True)
def _scope(arena: Arena, command: Any) -> int:
    """Book that a mass command means, -1 for all, -2 for none.

    ``reason`` of a decoded command is not 0 where its symbol was unknown, and then ``instrument`` is
    ALL_BOOKS as well: such a command must not cancel everything.
    """
    if command.instrument == ALL_BOOKS:
        return -1 if command.reason == 0 else -2
    return i64(command.instrument) if command.instrument < arena.books.shape[0] else -2


@kernel(internal=True)
def mass_cancel(arena: Arena, command: Any, out: Any, n_out: int) -> int:
    """35=q. The number of rows written is the number of orders that it ended."""
    book = _scope(arena, command)
    if book == -2:
        return n_out
    return cancel_owner(arena, i64(command.owner), book, command.ts_ns, out, n_out)


@kernel(internal=True)
def quote_cancel(arena: Arena, orders: Any, i: int) -> None:
    """35=Z: no reports; ``qty`` of the command becomes the number of sides that it ended."""
    command = orders[i]
    book = _scope(arena, command)
    ended = i64(0)
    if book != -2:
        ended = withdraw_quotes(arena, i64(command.owner), book, command.orig_cl_ord_id)
    command.qty = ended


@kernel(internal=True)
def mass_status(arena: Arena, command: Any, out: Any, n_out: int) -> int:
    """35=AF: ORDER_STATUS reports with the request's id in ``orig_cl_ord_id``, at least one row."""
    book = _scope(arena, command)
    n = n_out
    if book != -2:
        n = _report_open(arena, i64(command.owner), book, command.cl_ord_id, out, n_out)
    return n if n > n_out else no_orders(arena, i64(command.owner), command.cl_ord_id, out, n_out)
