"""Price levels: linking orders in and out, and finding the next occupied price.

The kernels here keep three things true together: a level's list and sum, the occupancy bits, and
the cached best prices. No reports, no rules.
"""

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import leading_zeros, trailing_zeros

from market.enums import Side
from market.jit import JIT_ENABLED, kernel
from simulator.matching.arena import Arena, Word, i64

_BUY = int(Side.BUY)
_MAX_TICKS = int(Word.MAX_TICKS)
_PAGES_PER_BOOK = int(Word.PAGES_PER_BOOK)
_SUMMARY_WORDS = int(Word.SUMMARY_WORDS)
_FREE_PAGE, _FRESH_PAGE = int(Word.FREE_PAGE), int(Word.FRESH_PAGE)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)

if JIT_ENABLED:

    @kernel(inline=True, internal=True)
    def highest_bit(word: Any) -> int:
        """Position of the highest set bit of a uint64 that is not 0."""
        return 63 - i64(leading_zeros(word))

    @kernel(inline=True, internal=True)
    def lowest_bit(word: Any) -> int:
        """Position of the lowest set bit of a uint64 that is not 0."""
        return i64(trailing_zeros(word))

else:

    def highest_bit(word: Any) -> int:  # noqa: D103
        return int(word).bit_length() - 1

    def lowest_bit(word: Any) -> int:  # noqa: D103
        return (int(word) & -int(word)).bit_length() - 1


@kernel(inline=True, internal=True)
def _bit(position: int) -> Any:
    return _ONE << np.uint64(position)


@kernel(inline=True, internal=True)
def level_at(arena: Arena, book: int, price: int) -> int:
    """Index into ``arena.levels`` of a price whose page exists (any price with an order does)."""
    page = i64(arena.directory[book * arena.words[_PAGES_PER_BOOK] + (price >> 6)]) - 1
    return page * 64 + (price & 63)


@kernel(internal=True)
def _take_page(arena: Arena, entry: int) -> int:
    """Give directory ``entry`` a page; there is always one, because a page in use holds an order."""
    words = arena.words
    page = words[_FREE_PAGE] - 1
    if page >= 0:
        words[_FREE_PAGE] = arena.pages[page].next
    else:
        page = words[_FRESH_PAGE]
        words[_FRESH_PAGE] = page + 1
    arena.directory[entry] = page + 1
    return page


@kernel(internal=True)
def next_price(arena: Arena, book: int, is_bid: bool, price: int) -> int:
    """Next occupied price behind ``price``: lower for bids, higher for asks.

    0 (bids) or max_ticks (asks) when there is none, which is how a book says that a side is empty.
    """
    per_book = arena.words[_PAGES_PER_BOOK]
    summary_words = arena.words[_SUMMARY_WORDS]
    entries = book * per_book
    number = price >> 6
    page = i64(arena.directory[entries + number]) - 1
    w = number >> 6
    if is_bid:
        if arena.books[book].bid_levels == 0:
            return i64(0)
        if page >= 0:
            word = arena.pages[page].bids & (_bit(price & 63) - _ONE)
            if word != _ZERO:
                return (number << 6) + highest_bit(word)
        first = book * 2 * summary_words
        word = arena.summary[first + w] & (_bit(number & 63) - _ONE)
        while word == _ZERO:
            w -= 1
            if w < 0:
                return i64(0)
            word = arena.summary[first + w]
        number = (w << 6) + highest_bit(word)
        page = i64(arena.directory[entries + number]) - 1
        return (number << 6) + highest_bit(arena.pages[page].bids)
    if arena.books[book].ask_levels == 0:
        return arena.words[_MAX_TICKS]
    if page >= 0:
        word = arena.pages[page].asks & ((_FULL << np.uint64(price & 63)) << _ONE)
        if word != _ZERO:
            return (number << 6) + lowest_bit(word)
    first = (book * 2 + 1) * summary_words
    word = arena.summary[first + w] & ((_FULL << np.uint64(number & 63)) << _ONE)
    while word == _ZERO:
        w += 1
        if w >= summary_words:
            return arena.words[_MAX_TICKS]
        word = arena.summary[first + w]
    number = (w << 6) + lowest_bit(word)
    page = i64(arena.directory[entries + number]) - 1
    return (number << 6) + lowest_bit(arena.pages[page].asks)


@kernel(inline=True, internal=True)
def _occupy(arena: Arena, book: int, is_bid: bool, price: int, page: int) -> None:
    """A level got its first order."""
    row, header = arena.books[book], arena.pages[page]
    number = price >> 6
    if is_bid:
        if header.bids == _ZERO:
            arena.summary[book * 2 * arena.words[_SUMMARY_WORDS] + (number >> 6)] |= _bit(number & 63)
        header.bids |= _bit(price & 63)
        row.bid_levels += 1
        if price > row.best_bid:
            row.best_bid = price
    else:
        if header.asks == _ZERO:
            arena.summary[(book * 2 + 1) * arena.words[_SUMMARY_WORDS] + (number >> 6)] |= _bit(number & 63)
        header.asks |= _bit(price & 63)
        row.ask_levels += 1
        if price < row.best_ask:
            row.best_ask = price


@kernel(inline=True, internal=True)
def _vacate(arena: Arena, book: int, is_bid: bool, price: int, page: int) -> None:
    """A level lost its last order; its page goes back to the pool with its last level."""
    row, header = arena.books[book], arena.pages[page]
    number = price >> 6
    if is_bid:
        header.bids &= ~_bit(price & 63)
        row.bid_levels -= 1
        if header.bids == _ZERO:
            arena.summary[book * 2 * arena.words[_SUMMARY_WORDS] + (number >> 6)] &= ~_bit(number & 63)
    else:
        header.asks &= ~_bit(price & 63)
        row.ask_levels -= 1
        if header.asks == _ZERO:
            arena.summary[(book * 2 + 1) * arena.words[_SUMMARY_WORDS] + (number >> 6)] &= ~_bit(number & 63)
    if header.bids == _ZERO and header.asks == _ZERO:
        header.next = arena.words[_FREE_PAGE]
        arena.words[_FREE_PAGE] = page + 1
        arena.directory[book * arena.words[_PAGES_PER_BOOK] + number] = 0
    if is_bid:
        if price == row.best_bid:
            row.best_bid = next_price(arena, book, True, price)
    elif price == row.best_ask:
        row.best_ask = next_price(arena, book, False, price)


@kernel(inline=True, internal=True)
def link_order(arena: Arena, slot: int) -> None:
    """Put the order of ``slot`` behind all others at its price."""
    order = arena.orders[slot]
    book, price = i64(order.book), i64(order.price)
    entry = book * arena.words[_PAGES_PER_BOOK] + (price >> 6)
    page = i64(arena.directory[entry]) - 1
    if page < 0:
        page = _take_page(arena, entry)
    at = page * 64 + (price & 63)
    level = arena.levels[at]
    tail = i64(level.tail)
    order.next = 0
    order.prev = tail
    order.level = at
    if tail == 0:
        level.head = slot
        _occupy(arena, book, order.side == _BUY, price, page)
    else:
        arena.orders[tail].next = slot
    level.tail = slot
    level.qty += order.leaves
    arena.books[book].orders += 1


@kernel(inline=True, internal=True)
def unlink_order(arena: Arena, slot: int) -> None:
    """Take the order of ``slot`` out of its level, with what it has left."""
    order = arena.orders[slot]
    book, at = i64(order.book), i64(order.level)
    level = arena.levels[at]
    before, behind = i64(order.prev), i64(order.next)
    if before != 0:
        arena.orders[before].next = behind
    else:
        level.head = behind
    if behind != 0:
        arena.orders[behind].prev = before
    else:
        level.tail = before
    level.qty -= order.leaves
    arena.books[book].orders -= 1
    if before == 0 and behind == 0:
        _vacate(arena, book, order.side == _BUY, i64(order.price), at >> 6)
