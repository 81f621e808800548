"""The memory of a matching engine: every book, level and order in a few flat tables.

Nothing is allocated after :func:`make_arena`. Tables are arrays of records, not one array per
field, because an order operation touches few records and most of their fields: the cost of a
book is cache lines. An order is one line (64 bytes), a book's hot part is one, a level is 16 bytes.

Prices. A book covers ticks 1..max_ticks-1. Levels come in *pages* of 64 consecutive ticks that a
book takes from a pool when its first order arrives there and gives back with the last one, so an
empty region costs 4 bytes of directory per 64 ticks. A level is one-sided (books are never
crossed), hence both sides share pages. Occupied levels are bits in the page, pages with levels
are bits in ``summary``, and the best price of each side is cached in the book: finding the next
level is two or three bit scans however far away it is. There are as many pages as could ever be
needed (one per order), so only the order pool can run out; untouched pages take no memory.

Orders. A slot of the pool, linked into its level in order of priority. The OrderID is
``generation << 24 | slot``: a slot's generation rises with each use, so a stale OrderID is
recognised without a search, and 39 bits of it outlast any venue. Slots start at 1 and page numbers
are stored plus 1, so that 0 means "none" and all tables can start as untouched zero pages.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from market.enums import SelfTradePrevention, TradingStatus
from market.instruments import TickRule
from market.jit import JIT_ENABLED, kernel
from market.records import packed

PAGE_TICKS = 64
MAX_ORDER_QTY = 1_000_000_000  # quantities are int32 in EXECUTION
MAX_OWNER = 65_535  # EXECUTION.session is 16 bits wide
SLOT_BITS = 24  # of an OrderID, and of the sort key of a mass cancel
MAX_ORDERS = (1 << SLOT_BITS) - 1
MAX_GENERATION = (1 << 39) - 1  # OrderIDs stay positive as int64
MAX_TICKS = 1 << 24
ALL_BOOKS = 0xFFFF_FFFF  # ORDER.instrument of a MASS_CANCEL or MASS_STATUS for every book
NO_ROOM = -1  # apply(): ``out`` could not hold every report the command might cause; nothing was done

#: Record fields are narrower than 64 bits and some are unsigned: kernels widen what they compute with.
i64: Any = np.int64

_CACHE_LINE = 64


class Word(IntEnum):
    """Index into ``Arena.words``."""

    MAX_TICKS = 0
    PAGES_PER_BOOK = 1
    SUMMARY_WORDS = 2  # uint64 words of ``summary`` per book and side
    INDEX_MASK = 3
    SELF_TRADE_PREVENTION = 4
    FIRST_GENERATION = 5
    LIVE_ORDERS = 6
    FREE_ORDER = 7  # head of the list of used and freed slots, 0 none
    FRESH_ORDER = 8  # lowest slot never used
    FREE_PAGE = 9  # head of the list of freed pages, stored as page + 1
    FRESH_PAGE = 10
    DIRTY_HEAD = 11  # first book of the dirty list, stored as book + 1
    DIRTY_TAIL = 12
    LAST_ACCEPT = 13  # acceptance number given last
    LAST_EXEC = 14  # ExecID given last
    LAST_MATCH = 15  # match number given last
    NOW_NS = 16  # header.ts_ns of the command in work
    RECV_NS = 17  # header.recv_ns of it


#: One order; 64 bytes. ``live`` is 1 from acceptance to its end.
ORDER_SLOT = packed(
    [
        ("cl_ord_id", "<u8"),
        ("accepted", "<i8"),  # acceptance number: rises by one per accepted order, kept on a replace
        ("generation", "<i8"),
        ("next", "<i4"),  # slot behind in the level; of a free slot the next free one
        ("prev", "<i4"),
        ("level", "<i4"),
        ("price", "<i4"),
        ("leaves", "<i4"),
        ("cum", "<i4"),
        ("qty", "<i4"),  # OrderQty: total
        ("owner", "<i4"),
        ("book", "<i4"),
        ("side", "u1"),
        ("live", "u1"),
        ("quote", "u1"),  # 1: a side of a mass quote
    ],
    64,
)

#: What only trades and quotes need of an order, apart from what every command touches.
ORDER_DETAIL = packed(
    [
        ("notional", "<i8"),  # ticks x contracts of all its trades; rubbish while ``cum`` is 0
        ("quote_id", "<u8"),  # QuoteID and QuoteEntryID of a quote; rubbish on other orders
        ("entry_id", "<u8"),
    ],
    32,
)

#: One price level: first and last slot, and the sum of their ``leaves``; 16 bytes.
LEVEL = packed([("head", "<i4"), ("tail", "<i4"), ("qty", "<i8")], 16)

#: Which of a page's 64 levels hold bids, which asks; ``next`` links freed pages.
PAGE = packed([("bids", "<u8"), ("asks", "<u8"), ("next", "<i8")], 32)

#: One book; 128 bytes, the first line is what matching touches, ``pub_*`` is what was last taken.
BOOK = packed(
    [
        ("best_bid", "<i4"),  # 0: no bids
        ("best_ask", "<i4"),  # max_ticks: no asks
        ("bid_levels", "<i4"),
        ("ask_levels", "<i4"),
        ("orders", "<i4"),
        ("last", "<i4"),  # price of the last trade, 0 none
        ("status", "u1"),  # TradingStatus
        ("tick_rule", "u1"),
        ("dirty", "u1"),
        ("pub_status", "u1"),
        ("next_dirty", "<i4"),
        ("version", "<i8"),  # rises with every change of the book
        ("pub_bid", "<i4"),
        ("pub_ask", "<i4"),
        ("pub_bid2", "<i4"),
        ("pub_ask2", "<i4"),
        ("pub_bid_qty", "<i8"),
        ("pub_ask_qty", "<i8"),
        ("pub_bid2_qty", "<i8"),
        ("pub_ask2_qty", "<i8"),
        ("pub_last", "<i4"),
    ],
    128,
)


class Arena(NamedTuple):
    """All books of one matching engine; one thread at a time may use it.

    ``words`` int64[32] by :class:`Word`; ``books`` BOOK[n]; ``orders`` ORDER_SLOT[max_orders + 1]
    (slot 0 unused), ``details`` ORDER_DETAIL likewise; ``levels`` LEVEL[pages * 64]; ``pages`` PAGE[pages];
    ``directory`` int32[n * pages_per_book], page + 1 or 0; ``summary`` uint64[n * 2 * summary_words] (bids, then
    asks of each book), bit p set where page p has levels of that side; ``cl_ord_ids`` uint64[2**k], see
    cl_ord_ids.py; ``scratch`` int64[max_orders + 1].
    """

    words: npt.NDArray[np.int64]
    books: Any
    orders: Any
    details: Any
    levels: Any
    pages: Any
    directory: npt.NDArray[np.int32]
    summary: npt.NDArray[np.uint64]
    cl_ord_ids: npt.NDArray[np.uint64]
    scratch: npt.NDArray[np.int64]


def _aligned_table(layout: np.dtype[Any], count: int) -> Any:
    """Zeroed ``layout``[count] that starts on a cache line, so that a 64-byte record is one line."""
    raw = np.zeros(count * layout.itemsize + _CACHE_LINE, np.uint8)
    skip = -raw.ctypes.data % _CACHE_LINE
    rows = raw[skip : skip + count * layout.itemsize].view(layout)
    return rows if JIT_ENABLED else rows.view(np.recarray)


def _require(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"matching arena: {name} must be {low}..{high}, was {value}")


def make_arena(
    n_books: int,
    max_orders: int,
    max_ticks: int,
    *,
    stp: SelfTradePrevention = SelfTradePrevention.CANCEL_RESTING,
    first_exec_id: int = 1,
    first_generation: int = 1,
) -> Arena:
    """An arena of ``n_books`` empty books, open for trading, every price unit allowed.

    Parameters
    ----------
    n_books
        Books are numbered 0..n_books-1: ``ORDER.instrument`` of their commands.
    max_orders
        Live orders at once over all books; one more is rejected with NO_CAPACITY.
    max_ticks
        Prices are 1..max_ticks-1 price units.
    stp
        What happens when an order meets one of the same owner.
    first_exec_id, first_generation
        A restarted venue passes values above those of its earlier runs, so that neither ExecIDs
        nor OrderIDs repeat. Generations have 39 bits: ``run << 24`` serves 32,767 runs.

    Raises
    ------
    ValueError
        A size is out of range; the text names it, its bounds and the value.
    """
    _require("n_books", n_books, 1, 1 << 24)
    _require("max_orders", max_orders, 1, MAX_ORDERS)
    _require("max_ticks", max_ticks, 2, MAX_TICKS)
    _require("first_exec_id", first_exec_id, 1, (1 << 62) - 1)
    _require("first_generation", first_generation, 1, MAX_GENERATION)
    pages_per_book = -(-max_ticks // PAGE_TICKS)
    summary_words = -(-pages_per_book // 64)
    n_pages = min(max_orders, n_books * pages_per_book)
    index_size = 1 << max(4, (2 * max_orders - 1).bit_length())  # at most half full: short probes
    words = np.zeros(32, np.int64)
    words[Word.MAX_TICKS] = max_ticks
    words[Word.PAGES_PER_BOOK] = pages_per_book
    words[Word.SUMMARY_WORDS] = summary_words
    words[Word.INDEX_MASK] = index_size - 1
    words[Word.SELF_TRADE_PREVENTION] = SelfTradePrevention(stp)
    words[Word.FIRST_GENERATION] = first_generation
    words[Word.FRESH_ORDER] = 1
    words[Word.LAST_EXEC] = first_exec_id - 1
    books = _aligned_table(BOOK, n_books)
    books["best_ask"] = max_ticks
    books["pub_ask"] = books["pub_ask2"] = max_ticks
    books["status"] = books["pub_status"] = TradingStatus.OPEN
    return Arena(
        words=words,
        books=books,
        orders=_aligned_table(ORDER_SLOT, max_orders + 1),
        details=_aligned_table(ORDER_DETAIL, max_orders + 1),
        levels=_aligned_table(LEVEL, n_pages * PAGE_TICKS),
        pages=_aligned_table(PAGE, n_pages),
        directory=np.zeros(n_books * pages_per_book, np.int32),
        summary=np.zeros(n_books * 2 * summary_words, np.uint64),
        cl_ord_ids=np.zeros(index_size, np.uint64),
        scratch=np.zeros(max_orders + 1, np.int64),
    )


_DIRTY_HEAD, _DIRTY_TAIL = int(Word.DIRTY_HEAD), int(Word.DIRTY_TAIL)


@kernel(inline=True, internal=True)
def touch_book(arena: Arena, book: int) -> None:
    """Note that ``book`` changed; ``take_dirty`` decides whether its top did."""
    row = arena.books[book]
    row.version += 1
    if row.dirty == 0:
        row.dirty = 1
        row.next_dirty = 0
        tail = arena.words[_DIRTY_TAIL]
        if tail == 0:
            arena.words[_DIRTY_HEAD] = book + 1
        else:
            arena.books[tail - 1].next_dirty = book + 1
        arena.words[_DIRTY_TAIL] = book + 1


@kernel
def set_status(arena: Arena, book: int, status: int) -> None:
    """Open, halt or close a book (TradingStatus). Resting orders stay; they can be canceled."""
    if arena.books[book].status != status:
        arena.books[book].status = status
        touch_book(arena, book)


def set_tick_rule(arena: Arena, book: int, rule: TickRule) -> None:
    """Set which prices ``book`` takes. Resting orders are not examined: set it before the first."""
    arena.books["tick_rule"][book] = TickRule(rule)


def set_tick_rules(arena: Arena, rules: npt.NDArray[Any]) -> None:
    """Set the rule of every book at once; ``rules`` is TickRule values[n_books]."""
    if rules.shape != arena.books.shape:
        raise ValueError(f"matching arena: rules must have shape {arena.books.shape}, was {rules.shape}")
    if rules.size and not (0 <= int(rules.min()) and int(rules.max()) < len(TickRule)):
        raise ValueError(f"matching arena: a tick rule must be 0..{len(TickRule) - 1}")
    arena.books["tick_rule"] = rules
