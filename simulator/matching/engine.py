"""``apply``: one command in, execution reports out.

Priority, stated once:

1. Better price first; at one price the order that arrived at it first. Internal participants and
   FIX clients are equal.
2. A REPLACE keeps an order's place only if the price stays and the quantity does not rise.
   Otherwise the order leaves its level first and then behaves like a new arrival with the same
   OrderID: it trades if it crosses (unless post-only, which is refused) and rests behind all others
   at its price. ``qty`` of a REPLACE is FIX's OrderQty: the total, so what is left is qty - CumQty.
   A total that has already traded is refused as TOO_LATE; the order stays as it is.
3. Trades happen at the resting order's price.
4. A mass cancel ends orders in the order in which they were accepted (a replace does not change
   that), whatever book they are in.

Time in force: DAY rests; IOC and market orders trade what they can at once and the rest is
CANCELED; FOK trades in full at once or is CANCELED. Each is first reported NEW. A market order has
no limit (its ``price_ticks`` is ignored and reported as 0) and never rests. Post-only is taken with
DAY limit orders alone and refused where it would trade, also against the owner's own orders; it
belongs to the command, so a REPLACE has to say it again. Self-trade prevention: matching.py.

A ClOrdID must differ from those of the owner's *live* orders (a venue that never forgets checks
earlier ones itself); 0 means unnamed and is never looked up. A CANCEL's own ClOrdID is echoed, not
remembered; a REPLACE's becomes the order's. An order is found by OrderID if the command has one,
otherwise by OrigClOrdID, and must be the command's owner's and instrument's. Mass quotes: quotes.py;
ClOrdIDs from ``QUOTE_KEYS`` on belong to them. An OrderID tells
TOO_LATE from UNKNOWN_ORDER; by ClOrdID an order that has ended is unknown.

Anything that is not understood is refused, with a reason; a refused command changes nothing.
"""

from typing import Any

import numpy as np

from market.enums import ExecType, OrderAction, OrdStatus, OrdType, Side, TimeInForce, TradingStatus
from market.instruments import is_on_tick
from market.jit import kernel
from simulator.matching.arena import (
    MAX_ORDER_QTY,
    MAX_OWNER,
    NO_ROOM,
    SLOT_BITS,
    Arena,
    Word,
    i64,
    touch_book,
)
from simulator.matching.cl_ord_ids import find_order, forget_order, remember_order
from simulator.matching.levels import link_order, unlink_order
from simulator.matching.matching import can_fill, end_resting, match_order, release_slot, report_canceled
from simulator.matching.quotes import QUOTE_KEYS, enter_quote
from simulator.matching.reasons import CancelCause, CxlRejReason, OrdRejReason
from simulator.matching.reports import reject_change, reject_new, report, working_status
from simulator.matching.sweeps import mass_cancel, mass_status, quote_cancel

_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_LIMIT, _MARKET = int(OrdType.LIMIT), int(OrdType.MARKET)
_DAY, _IOC, _FOK = int(TimeInForce.DAY), int(TimeInForce.IOC), int(TimeInForce.FOK)
_OPEN = int(TradingStatus.OPEN)
_A_NEW, _A_CANCEL, _A_REPLACE = int(OrderAction.NEW), int(OrderAction.CANCEL), int(OrderAction.REPLACE)
_A_MASS_CANCEL, _A_MASS_STATUS = int(OrderAction.MASS_CANCEL), int(OrderAction.MASS_STATUS)
_A_QUOTE, _A_QUOTE_CANCEL = int(OrderAction.QUOTE), int(OrderAction.QUOTE_CANCEL)
_A_ORDER_STATUS = int(OrderAction.ORDER_STATUS)
_EXEC_NEW, _EXEC_CANCELED, _EXEC_REPLACED = int(ExecType.NEW), int(ExecType.CANCELED), int(ExecType.REPLACED)
_CANCELED, _NEW = int(OrdStatus.CANCELED), int(OrdStatus.NEW)
_MAX_TICKS, _FIRST_GENERATION = int(Word.MAX_TICKS), int(Word.FIRST_GENERATION)
_LIVE_ORDERS, _FREE_ORDER, _FRESH_ORDER = int(Word.LIVE_ORDERS), int(Word.FREE_ORDER), int(Word.FRESH_ORDER)
_LAST_ACCEPT, _NOW_NS, _RECV_NS = int(Word.LAST_ACCEPT), int(Word.NOW_NS), int(Word.RECV_NS)
_NOT_FILLED = int(CancelCause.NOT_FILLED)
_UNKNOWN_SYMBOL, _EXCHANGE_CLOSED = int(OrdRejReason.UNKNOWN_SYMBOL), int(OrdRejReason.EXCHANGE_CLOSED)
_DUPLICATE, _UNSUPPORTED = int(OrdRejReason.DUPLICATE_ORDER), int(OrdRejReason.UNSUPPORTED)
_INCORRECT_QUANTITY, _BAD_OWNER = int(OrdRejReason.INCORRECT_QUANTITY), int(OrdRejReason.BAD_OWNER)
_PRICE_OUT_OF_RANGE, _PRICE_OFF_TICK = int(OrdRejReason.PRICE_OUT_OF_RANGE), int(OrdRejReason.PRICE_OFF_TICK)
_WOULD_CROSS, _NO_CAPACITY = int(OrdRejReason.WOULD_CROSS), int(OrdRejReason.NO_CAPACITY)
_TOO_LATE, _UNKNOWN_ORDER = int(CxlRejReason.TOO_LATE), int(CxlRejReason.UNKNOWN_ORDER)
_DUPLICATE_CL_ORD_ID, _NOT_OPEN = int(CxlRejReason.DUPLICATE_CL_ORD_ID), int(CxlRejReason.NOT_OPEN)
_BAD_QUANTITY, _CXL_UNSUPPORTED = int(CxlRejReason.BAD_QUANTITY), int(CxlRejReason.UNSUPPORTED)
_ACCEPTABLE = -1  # OrdRejReason and CxlRejReason are >= 0
_SLOT_BITS, _SLOT_MASK = np.uint64(SLOT_BITS), np.uint64((1 << SLOT_BITS) - 1)
_NO_ID = np.uint64(0)


@kernel(inline=True, internal=True)
def _price_refusal(arena: Arena, book: int, is_buy: bool, price: int, post_only: int) -> int:
    """What is wrong with a limit price; the codes are the same for new orders and replaces."""
    if price <= 0 or price >= arena.words[_MAX_TICKS]:
        return _PRICE_OUT_OF_RANGE
    row = arena.books[book]
    if row.tick_rule != 0 and not is_on_tick(i64(row.tick_rule), price):
        return _PRICE_OFF_TICK
    if post_only != 0 and ((is_buy and price >= row.best_ask) or (not is_buy and price <= row.best_bid)):
        return _WOULD_CROSS
    return _ACCEPTABLE


@kernel(inline=True, internal=True)
def _new_refusal(arena: Arena, command: Any) -> int:
    """OrdRejReason of a NEW, or ``_ACCEPTABLE``."""
    book = i64(command.instrument)
    if book >= arena.books.shape[0]:
        return _UNKNOWN_SYMBOL
    if arena.books[book].status != _OPEN:
        return _EXCHANGE_CLOSED
    if command.owner > MAX_OWNER:
        return _BAD_OWNER
    side, kind, tif = command.side, command.ord_type, command.tif
    if (side != _BUY and side != _SELL) or (tif != _DAY and tif != _IOC and tif != _FOK):
        return _UNSUPPORTED
    if command.qty <= 0 or command.qty > MAX_ORDER_QTY:
        return _INCORRECT_QUANTITY
    if kind == _LIMIT:
        if command.post_only != 0 and tif != _DAY:
            return _UNSUPPORTED
        refusal = _price_refusal(arena, book, side == _BUY, command.price_ticks, command.post_only)
        if refusal != _ACCEPTABLE:
            return refusal
    elif kind != _MARKET or command.post_only != 0:
        return _UNSUPPORTED
    if command.cl_ord_id >= QUOTE_KEYS:
        return _UNSUPPORTED
    if find_order(arena, command.owner, command.cl_ord_id) != 0:
        return _DUPLICATE
    if arena.words[_FREE_ORDER] == 0 and arena.words[_FRESH_ORDER] >= arena.orders.shape[0]:
        return _NO_CAPACITY
    return _ACCEPTABLE


@kernel(inline=True, internal=True)
def _accept(arena: Arena, command: Any) -> int:
    """Take a slot for the order of ``command`` (there is one) and fill it in; returns the slot."""
    words = arena.words
    slot = words[_FREE_ORDER]
    if slot != 0:
        words[_FREE_ORDER] = arena.orders[slot].next
    else:
        slot = words[_FRESH_ORDER]
        words[_FRESH_ORDER] = slot + 1
    words[_LIVE_ORDERS] += 1
    words[_LAST_ACCEPT] += 1
    order = arena.orders[slot]
    order.generation = max(order.generation + 1, words[_FIRST_GENERATION])
    order.accepted = words[_LAST_ACCEPT]
    order.cl_ord_id = command.cl_ord_id
    order.price = command.price_ticks if command.ord_type == _LIMIT else 0
    order.leaves = command.qty
    order.cum = 0
    order.qty = command.qty
    order.owner = command.owner
    order.book = command.instrument
    order.side = command.side
    order.live = 1
    order.quote = 0
    return slot


@kernel(inline=True, internal=True)
def _crosses(arena: Arena, book: int, is_buy: bool, limit: int) -> bool:
    row = arena.books[book]
    return limit >= row.best_ask if is_buy else limit <= row.best_bid


@kernel(inline=True, internal=True)
def _enter(arena: Arena, command: Any, out: Any, n: int) -> int:
    """35=D: refuse, or accept, trade, and rest or cancel what is left."""
    refusal = _new_refusal(arena, command)
    if refusal != _ACCEPTABLE:
        return reject_new(arena, command, refusal, out, n)
    slot = _accept(arena, command)
    order = arena.orders[slot]
    book = i64(command.instrument)
    n = report(arena, out, n, slot, _EXEC_NEW, _NEW, 0)
    is_buy = command.side == _BUY
    is_limit = command.ord_type == _LIMIT
    limit = i64(order.price)
    if not is_limit:
        limit = arena.words[_MAX_TICKS] - 1 if is_buy else i64(1)
    if _crosses(arena, book, is_buy, limit) and (command.tif != _FOK or can_fill(arena, slot, limit)):
        n = match_order(arena, slot, limit, out, n)
        touch_book(arena, book)
    if order.leaves == 0:
        release_slot(arena, slot)
    elif is_limit and command.tif == _DAY:
        link_order(arena, slot)
        remember_order(arena, slot)
        touch_book(arena, book)
    else:
        n = report_canceled(arena, slot, _NOT_FILLED, out, n)
        release_slot(arena, slot)
    return n


@kernel(inline=True, internal=True)
def _locate(arena: Arena, command: Any) -> int:
    """Slot of the order that a CANCEL or REPLACE means; else -1 - CxlRejReason."""
    if command.order_id != _NO_ID:
        slot = i64(command.order_id & _SLOT_MASK)
        generation = i64(command.order_id >> _SLOT_BITS)
        if slot < 1 or slot >= arena.words[_FRESH_ORDER] or generation < arena.words[_FIRST_GENERATION]:
            return -1 - _UNKNOWN_ORDER
        order = arena.orders[slot]
        if generation != order.generation or order.live == 0:
            return -1 - (_TOO_LATE if generation <= order.generation else _UNKNOWN_ORDER)
    else:
        slot = find_order(arena, command.owner, command.orig_cl_ord_id)
        if slot == 0:
            return -1 - _UNKNOWN_ORDER
    order = arena.orders[slot]
    if order.owner != command.owner or order.book != command.instrument or order.quote != 0:
        return -1 - _UNKNOWN_ORDER
    return slot


@kernel(inline=True, internal=True)
def _cancel(arena: Arena, command: Any, out: Any, n: int) -> int:
    """35=F: allowed whatever the book's status is."""
    slot = _locate(arena, command)
    if slot < 0:
        return reject_change(arena, command, 0, -1 - slot, out, n)
    order = arena.orders[slot]
    end_resting(arena, slot)
    n = report_canceled(arena, slot, 0, out, n)
    out[n - 1].cl_ord_id = command.cl_ord_id
    out[n - 1].orig_cl_ord_id = order.cl_ord_id
    touch_book(arena, i64(order.book))
    return n


@kernel(inline=True, internal=True)
def _replace_refusal(arena: Arena, command: Any, slot: int) -> int:
    """CxlRejReason of a REPLACE of the live order in ``slot``, or ``_ACCEPTABLE``."""
    order = arena.orders[slot]
    book = i64(order.book)
    if arena.books[book].status != _OPEN:
        return _NOT_OPEN
    if command.side != order.side or command.ord_type != _LIMIT or command.tif != _DAY:
        return _CXL_UNSUPPORTED
    if command.qty <= 0 or command.qty > MAX_ORDER_QTY:
        return _BAD_QUANTITY
    if command.qty <= order.cum:
        return _TOO_LATE
    refusal = _price_refusal(arena, book, order.side == _BUY, command.price_ticks, command.post_only)
    if refusal != _ACCEPTABLE:
        return refusal
    if command.cl_ord_id >= QUOTE_KEYS:
        return _CXL_UNSUPPORTED
    if find_order(arena, command.owner, command.cl_ord_id) != 0:
        return _DUPLICATE_CL_ORD_ID
    return _ACCEPTABLE


@kernel(inline=True, internal=True)
def _replace(arena: Arena, command: Any, out: Any, n: int) -> int:
    """35=G: see the module's priority rules."""
    slot = _locate(arena, command)
    if slot < 0:
        return reject_change(arena, command, 0, -1 - slot, out, n)
    refusal = _replace_refusal(arena, command, slot)
    if refusal != _ACCEPTABLE:
        return reject_change(arena, command, slot, refusal, out, n)
    order = arena.orders[slot]
    book = i64(order.book)
    price, leaves = i64(command.price_ticks), command.qty - order.cum
    keeps_place = price == order.price and command.qty <= order.qty
    old_cl_ord_id = order.cl_ord_id
    forget_order(arena, slot)
    if keeps_place:
        arena.levels[order.level].qty += leaves - order.leaves
    else:
        unlink_order(arena, slot)
    order.cl_ord_id = command.cl_ord_id
    order.price = price
    order.qty = command.qty
    order.leaves = leaves
    n = report(arena, out, n, slot, _EXEC_REPLACED, working_status(arena, slot), 0)
    out[n - 1].orig_cl_ord_id = old_cl_ord_id
    if not keeps_place:
        if _crosses(arena, book, order.side == _BUY, price):
            n = match_order(arena, slot, price, out, n)
        if order.leaves > 0:
            link_order(arena, slot)
    if order.leaves > 0:
        remember_order(arena, slot)
    else:
        release_slot(arena, slot)
    touch_book(arena, book)
    return n


@kernel(inline=True, internal=True)
def _rows_needed(arena: Arena, command: Any) -> int:
    """Upper bound of the rows that ``command`` may cause: two per resting order it may meet, and three."""
    action = command.action
    if action in (_A_MASS_CANCEL, _A_MASS_STATUS):
        return arena.words[_LIVE_ORDERS] + 1
    if action in (_A_QUOTE_CANCEL, _A_ORDER_STATUS):
        return 1
    if action == _A_CANCEL or command.instrument >= arena.books.shape[0]:
        return 1
    most = 2 * i64(arena.books[command.instrument].orders) + 3
    return 2 * most if action == _A_QUOTE else most


@kernel
def apply(arena: Arena, orders: Any, i: int, out: Any, n_out: int) -> int:
    """Carry out the command ``orders[i]``; write reports from ``out[n_out]`` on; return the new count.

    ``orders`` ORDER rows: ``instrument`` is the book, ``owner`` the participant (0..65535), ``action``
    NEW, CANCEL, REPLACE, MASS_CANCEL or MASS_STATUS (both with ``instrument`` ALL_BOOKS or one book);
    QUOTE (the frame is a QUOTE_ENTRY) and QUOTE_CANCEL, which answer in the command itself: ``reason`` is
    why an entry was refused, ``qty`` how many sides a cancel ended; ORDER_STATUS, which does nothing here
    (its answer is :func:`order_status`, at that place of the order of commands).
    ``out`` EXECUTION rows; reports of all participants are written, ``session`` is the owner.
    Returns NO_ROOM (-1), having done nothing, if ``out`` might be too short: take the rows out and
    call again with n_out 0. 2 * max_orders + 3 rows are always enough.
    Cost: 40..90 ns and the cache misses of cold books. One thread at a time per arena.
    """
    command = orders[i]
    if out.shape[0] - n_out < _rows_needed(arena, command):
        return NO_ROOM
    arena.words[_NOW_NS] = command.ts_ns
    arena.words[_RECV_NS] = command.recv_ns
    action = command.action
    if action == _A_NEW:
        return _enter(arena, command, out, n_out)
    if action == _A_CANCEL:
        return _cancel(arena, command, out, n_out)
    if action == _A_REPLACE:
        return _replace(arena, command, out, n_out)
    if action == _A_MASS_CANCEL:
        return mass_cancel(arena, command, out, n_out)
    if action == _A_MASS_STATUS:
        return mass_status(arena, command, out, n_out)
    if action == _A_QUOTE:
        return enter_quote(arena, orders, i, out, n_out)
    if action == _A_QUOTE_CANCEL:
        quote_cancel(arena, orders, i)
        return n_out
    if action == _A_ORDER_STATUS:
        return n_out
    return reject_new(arena, command, _UNSUPPORTED, out, n_out)


@kernel
def apply_batch(arena: Arena, orders: Any, first: int, count: int, out: Any, n_out: int) -> tuple[int, int]:
    """``apply`` for orders[first : first + count]; returns (rows in ``out``, commands done).

    Fewer commands are done than asked only when ``out`` is full: empty it and go on from there.
    """
    done = 0
    while done < count:
        n = apply(arena, orders, first + done, out, n_out)
        if n < 0:
            break
        n_out = n
        done += 1
    return n_out, done
