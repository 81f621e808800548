"""Trading an incoming order against the book, and the end of an order's life.

The aggressor already has a slot of the order pool but is not linked into a level. Each trade is at
the resting order's price and gives two reports that share a match number (``jseq``): first the
resting order's, then the aggressor's.
"""

from typing import Any

from market.enums import ExecType, OrdStatus, SelfTradePrevention, Side
from market.jit import kernel
from simulator.matching.arena import Arena, Word, i64
from simulator.matching.cl_ord_ids import forget_order
from simulator.matching.levels import level_at, next_price, unlink_order
from simulator.matching.reasons import CancelCause
from simulator.matching.reports import report, working_status

_BUY = int(Side.BUY)
_STP, _LAST_MATCH = int(Word.SELF_TRADE_PREVENTION), int(Word.LAST_MATCH)
_LIVE_ORDERS, _FREE_ORDER = int(Word.LIVE_ORDERS), int(Word.FREE_ORDER)
_CANCEL_RESTING = int(SelfTradePrevention.CANCEL_RESTING)
_CANCEL_INCOMING = int(SelfTradePrevention.CANCEL_INCOMING)
_TRADE, _EXEC_CANCELED, _EXEC_REPLACED = int(ExecType.TRADE), int(ExecType.CANCELED), int(ExecType.REPLACED)
_CANCELED = int(OrdStatus.CANCELED)
_SELF_TRADE = int(CancelCause.SELF_TRADE)


@kernel(inline=True, internal=True)
def release_slot(arena: Arena, slot: int) -> None:
    """Give a slot back; what it holds stays readable until it is used again."""
    order = arena.orders[slot]
    order.live = 0
    order.next = arena.words[_FREE_ORDER]
    arena.words[_FREE_ORDER] = slot
    arena.words[_LIVE_ORDERS] -= 1


@kernel(internal=True)
def end_resting(arena: Arena, slot: int) -> None:
    """Remove a resting order from its level, the ClOrdID table and the pool."""
    unlink_order(arena, slot)
    forget_order(arena, slot)
    release_slot(arena, slot)


@kernel(inline=True, internal=True)
def report_canceled(arena: Arena, slot: int, cause: int, out: Any, n: int) -> int:
    """CANCELED: nothing is left of the order in ``slot``, which must be out of its level."""
    arena.orders[slot].leaves = 0
    return report(arena, out, n, slot, _EXEC_CANCELED, _CANCELED, cause)


@kernel(inline=True, internal=True)
def _count_trade(arena: Arena, slot: int, price: int, qty: int) -> None:
    """Move ``qty`` of the order from what is left to what has traded."""
    order, detail = arena.orders[slot], arena.details[slot]
    money = i64(price) * i64(qty)
    detail.notional = money + (detail.notional if order.cum > 0 else i64(0))
    order.leaves -= qty
    order.cum += qty


@kernel(inline=True, internal=True)
def _trade(arena: Arena, taker: int, maker: int, price: int, out: Any, n: int) -> int:
    """Trade as much as both have; two reports, resting order first."""
    orders, words = arena.orders, arena.words
    t, m = orders[taker], orders[maker]
    qty = min(t.leaves, m.leaves)
    _count_trade(arena, taker, price, qty)
    _count_trade(arena, maker, price, qty)
    arena.levels[m.level].qty -= qty
    arena.books[t.book].last = price
    match = words[_LAST_MATCH] + 1
    words[_LAST_MATCH] = match
    for side in range(2):
        slot = maker if side == 0 else taker
        report(arena, out, n, slot, _TRADE, working_status(arena, slot), 0)
        out[n].jseq = match
        out[n].last_ticks = price
        out[n].last_qty = qty
        n += 1
    if m.leaves == 0:
        end_resting(arena, maker)
    return n


@kernel(internal=True)
def _prevent_self_trade(arena: Arena, taker: int, maker: int, out: Any, n: int) -> int:
    """Both orders are of one owner: act as the arena's mode says, without a trade.

    An order that is only reduced (DECREMENT_BOTH) is reported REPLACED under its own ClOrdID, with
    OrderQty less by what was taken off: a decremented quantity was never executed.
    """
    orders = arena.orders
    mode = arena.words[_STP]
    t, m = orders[taker], orders[maker]
    if mode == _CANCEL_INCOMING:
        return report_canceled(arena, taker, _SELF_TRADE, out, n)
    if mode == _CANCEL_RESTING:
        end_resting(arena, maker)
        return report_canceled(arena, maker, _SELF_TRADE, out, n)
    qty = min(t.leaves, m.leaves)
    t.leaves -= qty
    m.leaves -= qty
    arena.levels[m.level].qty -= qty
    for side in range(2):
        slot = maker if side == 0 else taker
        order = orders[slot]
        if order.leaves == 0:
            n = report(arena, out, n, slot, _EXEC_CANCELED, _CANCELED, _SELF_TRADE)
        else:
            order.qty -= qty
            n = report(arena, out, n, slot, _EXEC_REPLACED, working_status(arena, slot), _SELF_TRADE)
            if order.quote == 0:
                out[n - 1].orig_cl_ord_id = order.cl_ord_id
    if m.leaves == 0:
        end_resting(arena, maker)
    return n


@kernel(internal=True)
def match_order(arena: Arena, taker: int, limit: int, out: Any, n: int) -> int:
    """Trade the order in ``taker`` down to (sell) or up to (buy) ``limit``, best price first.

    Within a level the order that has rested there longest trades first. Returns the number of rows;
    the order's ``leaves`` is what remains, 0 also when self-trade prevention canceled it.
    Cost: about 40 ns per trade, its two reports included.
    """
    t = arena.orders[taker]
    book = i64(t.book)
    row = arena.books[book]
    is_buy = t.side == _BUY
    while t.leaves > 0:
        best = i64(row.best_ask) if is_buy else i64(row.best_bid)
        if (is_buy and best > limit) or (not is_buy and best < limit):
            break
        maker = i64(arena.levels[level_at(arena, book, best)].head)
        if arena.orders[maker].owner == t.owner:
            n = _prevent_self_trade(arena, taker, maker, out, n)
        else:
            n = _trade(arena, taker, maker, best, out, n)
    return n


@kernel(internal=True)
def can_fill(arena: Arena, taker: int, limit: int) -> bool:
    """Whether the whole of ``taker`` would trade at once, counting what self-trade prevention does.

    Meeting an own resting order makes that impossible, except where the mode is to cancel the
    resting one: then it is passed over. Walks orders, not levels, for that reason.
    """
    t = arena.orders[taker]
    book = i64(t.book)
    is_buy = t.side == _BUY
    skip_own = arena.words[_STP] == _CANCEL_RESTING
    wanted = i64(t.leaves)
    price = i64(arena.books[book].best_ask) if is_buy else i64(arena.books[book].best_bid)
    while (is_buy and price <= limit) or (not is_buy and price >= limit):
        slot = i64(arena.levels[level_at(arena, book, price)].head)
        while slot != 0:
            m = arena.orders[slot]
            if m.owner != t.owner:
                wanted -= m.leaves
                if wanted <= 0:
                    return True
            elif not skip_own:
                return False
            slot = i64(m.next)
        price = next_price(arena, book, not is_buy, price)
    return False
