"""Mass quotes: one entry (a QUOTE_ENTRY frame) states both sides of a series and replaces the last one.

A maker has at most one quote per series. Each side of it is an ordinary order of the pool, limit, DAY,
so that priority, matching and self-trade prevention need no second rule; it is found by a key made
of book and side (``QUOTE_KEYS``), and its reports carry QuoteID and QuoteEntryID instead.

1. An entry is taken whole or refused whole; a refused one changes nothing.
2. A side whose price stays and whose size does not grow keeps its place; any other side is withdrawn and
   enters anew. Both old sides are out before a new one goes in, so a quote never meets itself.
3. A new side trades if it crosses, then rests. Each entry's quantities are its own: CumQty starts at 0.
4. Nothing is reported of a quote that is entered, replaced or withdrawn: the acknowledgement of
   the message does. Trades are reported, and the end of a side that its maker did not ask for.
"""

from typing import Any

import numpy as np

from market.enums import Side, TradingStatus
from market.instruments import is_on_tick
from market.jit import kernel
from simulator.matching.arena import MAX_ORDER_QTY, MAX_OWNER, Arena, Word, i64, touch_book
from simulator.matching.cl_ord_ids import find_order, remember_order
from simulator.matching.levels import link_order
from simulator.matching.matching import end_resting, match_order, release_slot
from simulator.matching.reasons import QuoteRefusal

#: ClOrdIDs from here on are keys of quotes; a client's order may not have one.
QUOTE_KEYS = np.uint64(0xFFFF_0000_0000_0000)

_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_OPEN = int(TradingStatus.OPEN)
_MAX_TICKS, _FIRST_GENERATION = int(Word.MAX_TICKS), int(Word.FIRST_GENERATION)
_LIVE_ORDERS, _FREE_ORDER, _FRESH_ORDER = int(Word.LIVE_ORDERS), int(Word.FREE_ORDER), int(Word.FRESH_ORDER)
_LAST_ACCEPT = int(Word.LAST_ACCEPT)
_TAKEN = int(QuoteRefusal.TAKEN)
_UNKNOWN_SYMBOL, _CLOSED = int(QuoteRefusal.UNKNOWN_SYMBOL), int(QuoteRefusal.CLOSED)
_EXCEEDS_LIMIT, _INVALID_SPREAD = int(QuoteRefusal.EXCEEDS_LIMIT), int(QuoteRefusal.INVALID_SPREAD)
_INVALID_PRICE, _OTHER = int(QuoteRefusal.INVALID_PRICE), int(QuoteRefusal.OTHER)


@kernel(inline=True, internal=True)
def _key(book: int, side: int) -> Any:
    return QUOTE_KEYS | (np.uint64(book) << np.uint64(1)) | np.uint64(1 if side == _SELL else 0)


@kernel(internal=True)
def _price_is_valid(arena: Arena, book: int, ticks: int) -> bool:
    if ticks <= 0 or ticks >= arena.words[_MAX_TICKS]:
        return False
    rule = i64(arena.books[book].tick_rule)
    return rule == 0 or is_on_tick(rule, ticks)


@kernel(internal=True)
def _refusal(arena: Arena, command: Any) -> int:
    """QuoteRefusal of an entry, TAKEN if there is nothing wrong with it."""
    book = i64(command.instrument)
    if book >= arena.books.shape[0]:
        return _UNKNOWN_SYMBOL
    bid, bid_qty = i64(command.price_ticks), i64(command.qty)
    ask, ask_qty = i64(command.order_id), i64(command.tick_ns)
    if command.owner > MAX_OWNER or min(bid_qty, ask_qty) < 0 or max(bid_qty, ask_qty) > MAX_ORDER_QTY:
        return _OTHER
    if bid_qty == 0 and ask_qty == 0:
        return _TAKEN  # a withdrawal is taken whatever the book's status is
    if arena.books[book].status != _OPEN:
        return _CLOSED
    if (bid_qty > 0 and not _price_is_valid(arena, book, bid)) or (
        ask_qty > 0 and not _price_is_valid(arena, book, ask)
    ):
        return _INVALID_PRICE
    if bid_qty > 0 and ask_qty > 0 and bid >= ask:
        return _INVALID_SPREAD
    if arena.words[_LIVE_ORDERS] + 2 > arena.orders.shape[0] - 1:  # two may be needed before two are given back
        return _EXCEEDS_LIMIT
    return _TAKEN


@kernel(internal=True)
def _take_slot(arena: Arena, command: Any, side: int, ticks: int, qty: int) -> int:
    """A slot for one side of a quote, filled in."""
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
    order.cl_ord_id = _key(i64(command.instrument), side)
    order.price = ticks
    order.owner = command.owner
    order.book = command.instrument
    order.side = side
    order.live = 1
    order.quote = 1
    _set_terms(arena, slot, command, qty)
    return slot


@kernel(inline=True, internal=True)
def _set_terms(arena: Arena, slot: int, command: Any, qty: int) -> None:
    """What an entry gives to a side, new or kept."""
    order, detail = arena.orders[slot], arena.details[slot]
    order.leaves = qty
    order.qty = qty
    order.cum = 0
    detail.quote_id = command.cl_ord_id
    detail.entry_id = command.orig_cl_ord_id


@kernel(internal=True)
def _keep_or_withdraw(arena: Arena, command: Any, side: int, ticks: int, qty: int) -> bool:
    """Deal with the side that stands: True where it now is what the entry asks for."""
    book = i64(command.instrument)
    slot = find_order(arena, command.owner, _key(book, side))
    if slot == 0:
        return False
    order = arena.orders[slot]
    touch_book(arena, book)
    if qty > 0 and order.price == ticks and qty <= order.leaves:
        arena.levels[order.level].qty += qty - order.leaves
        order.generation += 1  # a new order in the old one's place: the old OrderID has ended
        _set_terms(arena, slot, command, qty)
        return True
    end_resting(arena, slot)
    return False


@kernel(internal=True)
def _enter_side(arena: Arena, command: Any, side: int, ticks: int, qty: int, out: Any, n: int) -> int:
    """Trade what crosses, rest what is left."""
    slot = _take_slot(arena, command, side, ticks, qty)
    book = i64(command.instrument)
    n = match_order(arena, slot, ticks, out, n)
    if arena.orders[slot].leaves > 0:
        link_order(arena, slot)
        remember_order(arena, slot)
    else:
        release_slot(arena, slot)
    touch_book(arena, book)
    return n


@kernel(internal=True)
def enter_quote(arena: Arena, orders: Any, i: int, out: Any, n: int) -> int:
    """One entry of 35=i; ``orders[i].reason`` becomes its QuoteRefusal, 0 where it was taken.

    The command is an ORDER row over a QUOTE_ENTRY: ``price_ticks`` and ``qty`` are the bid, ``order_id`` and
    ``tick_ns`` price and quantity of the ask, ``cl_ord_id`` and ``orig_cl_ord_id`` QuoteID and QuoteEntryID.
    """
    command = orders[i]
    if command.reason == 0:  # else its symbol was not to be read
        command.reason = _refusal(arena, command)
    if command.reason != _TAKEN:
        return n
    bid, bid_qty = i64(command.price_ticks), i64(command.qty)
    ask, ask_qty = i64(command.order_id), i64(command.tick_ns)
    bid_stays = _keep_or_withdraw(arena, command, i64(_BUY), bid, bid_qty)
    ask_stays = _keep_or_withdraw(arena, command, i64(_SELL), ask, ask_qty)
    if bid_qty > 0 and not bid_stays:
        n = _enter_side(arena, command, i64(_BUY), bid, bid_qty, out, n)
    if ask_qty > 0 and not ask_stays:
        n = _enter_side(arena, command, i64(_SELL), ask, ask_qty, out, n)
    return n
