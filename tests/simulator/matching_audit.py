"""Checks of an arena's inner consistency: everything that is stored twice must agree."""

from typing import Any

import numpy as np

from market.enums import Side
from simulator.matching import Arena, Word


def _bits(words: Any) -> set[int]:
    return {64 * w + b for w, word in enumerate(words) for b in range(64) if int(word) >> b & 1}


def levels_of(arena: Arena, book: int) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Slots by price for bids and asks, in priority order, read through the directory and the bits.

    Asserts that lists are linked both ways, sums and counts are right and bits tell the truth.
    """
    per_book, summary_words = int(arena.words[Word.PAGES_PER_BOOK]), int(arena.words[Word.SUMMARY_WORDS])
    row = arena.books[book]
    found: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
    pages = arena.directory[book * per_book : (book + 1) * per_book]
    for number in np.flatnonzero(pages):
        page = int(pages[number]) - 1
        bids, asks = int(arena.pages[page]["bids"]), int(arena.pages[page]["asks"])
        assert bids | asks, "an empty page is kept"
        assert not bids & asks, "a level holds bids and asks"
        for at in range(64):
            level = arena.levels[page * 64 + at]
            slots: list[int] = []
            slot = int(level["head"])
            while slot:
                order = arena.orders[slot]
                assert int(order["prev"]) == (slots[-1] if slots else 0)
                assert (int(order["book"]), int(order["price"])) == (book, number * 64 + at)
                assert int(order["level"]) == page * 64 + at
                assert order["live"] == 1
                assert order["leaves"] > 0
                slots.append(slot)
                slot = int(order["next"])
            assert int(level["tail"]) == (slots[-1] if slots else 0)
            assert int(level["qty"]) == sum(int(arena.orders[s]["leaves"]) for s in slots)
            assert ((bids | asks) >> at & 1) == bool(slots)
            if slots:
                side = 0 if bids >> at & 1 else 1
                assert {int(arena.orders[s]["side"]) for s in slots} == {int(Side.SELL) if side else int(Side.BUY)}
                found[side][int(number) * 64 + at] = slots
    for side, name in ((0, "bid_levels"), (1, "ask_levels")):
        first = (2 * book + side) * summary_words
        assert _bits(arena.summary[first : first + summary_words]) == {price // 64 for price in found[side]}
        assert int(row[name]) == len(found[side])
    assert int(row["best_bid"]) == max(found[0], default=0)
    assert int(row["best_ask"]) == min(found[1], default=int(arena.words[Word.MAX_TICKS]))
    assert row["best_bid"] < row["best_ask"]
    assert int(row["orders"]) == sum(len(slots) for side in found for slots in side.values())
    return found


def audit_pools(arena: Arena, in_books: set[int]) -> None:
    """Every slot and page is in use or free, exactly once; the ClOrdID table holds the live orders."""
    words = arena.words
    fresh = int(words[Word.FRESH_ORDER])
    free, slot = [], int(words[Word.FREE_ORDER])
    while slot:
        free.append(slot)
        slot = int(arena.orders[slot]["next"])
    assert sorted([*free, *in_books]) == list(range(1, fresh))
    assert int(words[Word.LIVE_ORDERS]) == len(in_books)
    free_pages, page = [], int(words[Word.FREE_PAGE]) - 1
    while page >= 0:
        free_pages.append(page)
        page = int(arena.pages[page]["next"]) - 1
    used_pages = [int(p) - 1 for p in arena.directory if p]
    assert sorted([*free_pages, *used_pages]) == list(range(int(words[Word.FRESH_PAGE])))
    entries = [int(e) for e in arena.cl_ord_ids if e]
    named = {s for s in in_books if int(arena.orders[s]["cl_ord_id"])}
    assert sorted(e & 0xFFFFFFFF for e in entries) == sorted(named)
    mask = int(words[Word.INDEX_MASK])
    for at in np.flatnonzero(arena.cl_ord_ids):
        home = (int(arena.cl_ord_ids[at]) >> 32) & mask
        gap = [p & mask for p in range(home, home + ((int(at) - home) & mask))]
        assert all(arena.cl_ord_ids[p] for p in gap), "a probe from its home would not find this entry"
