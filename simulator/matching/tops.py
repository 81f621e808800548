"""The top of a book as a QUOTE row, and which books' tops have changed.

Matching only notes that a book was touched. Whether its published content (two levels a side,
status, last price) differs from what was last taken is decided here, once per batch and book.
"""

from typing import Any

from market.enums import FrameKind
from market.jit import kernel
from simulator.matching.arena import Arena, Word, i64
from simulator.matching.levels import level_at, next_price

_QUOTE = int(FrameKind.QUOTE)
_MAX_TICKS, _NOW_NS = int(Word.MAX_TICKS), int(Word.NOW_NS)
_DIRTY_HEAD, _DIRTY_TAIL = int(Word.DIRTY_HEAD), int(Word.DIRTY_TAIL)


@kernel(inline=True, internal=True)
def _bid_qty(arena: Arena, book: int, price: int) -> int:
    """Sum of the bids at ``price``; 0 for price 0, which is no level."""
    return i64(arena.levels[level_at(arena, book, price)].qty) if price > 0 else i64(0)


@kernel(inline=True, internal=True)
def _ask_qty(arena: Arena, book: int, price: int) -> int:
    """Sum of the asks at ``price``; 0 for max_ticks, which is no level."""
    if price >= arena.words[_MAX_TICKS]:
        return i64(0)
    return i64(arena.levels[level_at(arena, book, price)].qty)


@kernel(internal=True)
def _publish(arena: Arena, book: int) -> bool:
    """Bring the ``pub_*`` fields up to date; whether anything published changed."""
    row = arena.books[book]
    bid, ask = i64(row.best_bid), i64(row.best_ask)
    bid2 = next_price(arena, book, True, bid) if bid > 0 else i64(0)
    ask2 = next_price(arena, book, False, ask) if ask < arena.words[_MAX_TICKS] else ask
    bid_qty, bid2_qty = _bid_qty(arena, book, bid), _bid_qty(arena, book, bid2)
    ask_qty, ask2_qty = _ask_qty(arena, book, ask), _ask_qty(arena, book, ask2)
    same_prices = row.pub_bid == bid and row.pub_bid2 == bid2 and row.pub_ask == ask and row.pub_ask2 == ask2
    same_bids = row.pub_bid_qty == bid_qty and row.pub_bid2_qty == bid2_qty
    same_asks = row.pub_ask_qty == ask_qty and row.pub_ask2_qty == ask2_qty
    same_rest = row.pub_last == row.last and row.pub_status == row.status
    if same_prices and same_bids and same_asks and same_rest:
        return False
    row.pub_bid, row.pub_bid_qty, row.pub_bid2, row.pub_bid2_qty = bid, bid_qty, bid2, bid2_qty
    row.pub_ask, row.pub_ask_qty, row.pub_ask2, row.pub_ask2_qty = ask, ask_qty, ask2, ask2_qty
    row.pub_last = row.last
    row.pub_status = row.status
    return True


@kernel
def take_dirty(arena: Arena, out: Any) -> int:
    """Write to ``out`` int64[] the books whose published content changed since they were last taken.

    Returns how many, in the order in which they were first touched. What does not fit stays for the
    next call. Cost: 20..50 ns per touched book.
    """
    words, n = arena.words, 0
    while words[_DIRTY_HEAD] != 0 and n < out.shape[0]:
        book = words[_DIRTY_HEAD] - 1
        row = arena.books[book]
        words[_DIRTY_HEAD] = row.next_dirty
        if row.next_dirty == 0:
            words[_DIRTY_TAIL] = 0
        row.dirty = 0
        if _publish(arena, book):
            out[n] = book
            n += 1
    return n


@kernel
def depth_levels(arena: Arena, book: int, is_bid: bool, most: int, ticks: Any, quantities: Any) -> int:
    """Write up to ``most`` levels of one side, best first, to ``ticks`` and ``quantities`` (int64[]); how many."""
    row = arena.books[book]
    price = i64(row.best_bid) if is_bid else i64(row.best_ask)
    n = 0
    while n < min(most, ticks.shape[0]) and 0 < price < arena.words[_MAX_TICKS]:
        ticks[n] = price
        quantities[n] = arena.levels[level_at(arena, book, price)].qty
        n += 1
        price = next_price(arena, book, is_bid, price)
    return n


@kernel
def top_levels(arena: Arena, book: int, quotes: Any, i: int) -> None:
    """Write the two best levels a side of ``book`` to the QUOTE row ``quotes[i]``.

    A level that does not exist has price and quantity 0. ``ts_ns`` is the time of the last command
    of the arena, ``src_seq`` the book's change count; the publisher overwrites both as it needs.
    """
    row, quote = arena.books[book], quotes[i]
    bid, ask = i64(row.best_bid), i64(row.best_ask)
    none = arena.words[_MAX_TICKS]
    bid2 = next_price(arena, book, True, bid) if bid > 0 else i64(0)
    ask2 = next_price(arena, book, False, ask) if ask < none else none
    quote.kind = _QUOTE
    quote.source = 0
    quote.crc = 0
    quote.jseq = 0
    quote.ts_ns = arena.words[_NOW_NS]
    quote.recv_ns = 0
    quote.instrument = book
    quote.status = row.status
    quote.bid_ticks = bid
    quote.bid_qty = _bid_qty(arena, book, bid)
    quote.bid2_ticks = bid2
    quote.bid2_qty = _bid_qty(arena, book, bid2)
    quote.ask_ticks = ask if ask < none else 0
    quote.ask_qty = _ask_qty(arena, book, ask)
    quote.ask2_ticks = ask2 if ask2 < none else 0
    quote.ask2_qty = _ask_qty(arena, book, ask2)
    quote.src_seq = row.version
    quote.last_ticks = row.last
