"""Mass quotes in the books: one quote per maker and series, replaced whole, keeping its place where it may."""

import random

import numpy as np
import pytest

from market import records
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, OrdType, SelfTradePrevention, Side, TimeInForce
from market.enums import TradingStatus as Status
from simulator.matching import ALL_BOOKS, QuoteRefusal, amend_order, apply, make_arena, order_status, set_status
from simulator.venue.core import FrameBuffer
from tests.simulator.matching_audit import audit_pools, levels_of

MAKER, OTHER, TAKER = 16, 17, 20
MAX_TICKS = 1000


class Books:
    """An arena with commands by name; ``rows`` are the reports of the last one."""

    def __init__(self, stp=SelfTradePrevention.CANCEL_INCOMING, max_orders=64):
        self.arena = make_arena(3, max_orders, MAX_TICKS, stp=stp)
        self.out = FrameBuffer(records.EXECUTION, 4 * max_orders + 8)
        self.ids = 100
        self.quotes = 0

    def _apply(self, buffer):
        count = int(apply(self.arena, records.as_layout(buffer.frames, records.ORDER), 0, self.out.rows, 0))
        self.rows = self.out.rows[:count].copy()
        return buffer.rows[0]

    def quote(self, bid, ask, owner=MAKER, book=0, entry_id=1, **fields):
        """``bid`` and ``ask`` are (ticks, qty); returns the refusal."""
        buffer = FrameBuffer(records.QUOTE_ENTRY, 1)
        self.quotes += 1
        values = {
            "kind": FrameKind.ORDER, "action": OrderAction.QUOTE, "owner": owner, "session": owner, "instrument": book,
            "quote_id": self.quotes, "entry_id": entry_id, "bid_ticks": bid[0], "bid_qty": bid[1],
            "ask_ticks": ask[0], "ask_qty": ask[1], **fields,
        }  # fmt: skip
        for name, value in values.items():
            buffer.rows[0][name] = value
        return QuoteRefusal(int(self._apply(buffer)["reason"]))

    def order(self, side, ticks, qty, owner=TAKER, book=0, **fields):
        buffer = FrameBuffer(records.ORDER, 1)
        self.ids += 1
        values = {
            "kind": FrameKind.ORDER, "action": OrderAction.NEW, "owner": owner, "instrument": book, "side": side,
            "ord_type": OrdType.LIMIT, "tif": TimeInForce.DAY, "price_ticks": ticks, "qty": qty, "cl_ord_id": self.ids,
            **fields,
        }  # fmt: skip
        for name, value in values.items():
            buffer.rows[0][name] = value
        return self._apply(buffer)

    def cancel_quotes(self, owner=MAKER, book=ALL_BOOKS, quote_id=0):
        return int(self.order(0, 0, 0, owner, book, action=OrderAction.QUOTE_CANCEL, orig_cl_ord_id=quote_id)["qty"])

    def trades(self):
        return [row for row in self.rows if row["exec_type"] == ExecType.TRADE]

    def side(self, book=0, bids=True):
        """(ticks, owner, leaves) of one side in priority."""
        found = levels_of(self.arena, book)[0 if bids else 1]
        prices = sorted(found, reverse=bids)
        orders = self.arena.orders
        return [(p, int(orders[s]["owner"]), int(orders[s]["leaves"])) for p in prices for s in found[p]]

    def audit(self):
        slots = {s for book in range(3) for side in levels_of(self.arena, book) for at in side.values() for s in at}
        audit_pools(self.arena, slots)


@pytest.fixture
def books():
    books = Books()
    yield books
    books.audit()


def test_a_quote_rests_on_both_sides_and_says_nothing(books):
    assert books.quote((100, 5), (110, 7)) == QuoteRefusal.TAKEN
    assert len(books.rows) == 0
    assert (books.side(), books.side(bids=False)) == ([(100, MAKER, 5)], [(110, MAKER, 7)])


def test_the_next_quote_replaces_both_sides_of_its_series_alone(books):
    books.quote((100, 5), (110, 7))
    books.quote((100, 5), (110, 7), book=1)
    books.quote((120, 2), (130, 3))
    assert (books.side(), books.side(bids=False)) == ([(120, MAKER, 2)], [(130, MAKER, 3)])
    assert books.side(book=1) == [(100, MAKER, 5)]


def test_a_quote_above_its_own_old_offer_does_not_meet_itself(books):
    books.quote((100, 5), (110, 7))
    books.quote((115, 5), (125, 7))
    assert len(books.rows) == 0, "no self-trade prevention, no trade"
    assert books.side() == [(115, MAKER, 5)]


def test_a_side_that_stays_or_shrinks_keeps_its_place_and_one_that_grows_loses_it(books):
    books.quote((100, 5), (110, 7))
    books.quote((100, 5), (110, 7), owner=OTHER)
    books.quote((100, 4), (110, 8))
    assert books.side() == [(100, MAKER, 4), (100, OTHER, 5)]
    assert books.side(bids=False) == [(110, OTHER, 7), (110, MAKER, 8)]


def test_a_kept_side_is_the_new_quotes(books):
    books.quote((100, 5), (110, 7), entry_id=1)
    books.order(Side.SELL, 100, 2)
    first = books.trades()[0]["order_id"]
    books.quote((100, 3), (110, 7), entry_id=2)
    books.order(Side.SELL, 100, 1)
    fill = books.trades()[0]
    assert (fill["cl_ord_id"], fill["orig_cl_ord_id"]) == (2, 2), "QuoteID and QuoteEntryID of the last quote"
    assert (fill["cum_qty"], fill["order_qty"], fill["leaves_qty"], fill["msg_seq"]) == (1, 3, 2, 100)
    assert fill["order_id"] != first, "the old OrderID has ended"


def test_a_quantity_of_zero_takes_a_side_out_even_in_a_halted_book(books):
    books.quote((100, 5), (110, 7))
    set_status(books.arena, 0, int(Status.HALTED))
    assert books.quote((100, 5), (110, 0)) == QuoteRefusal.CLOSED
    assert books.quote((0, 0), (0, 0)) == QuoteRefusal.TAKEN
    assert books.side() == books.side(bids=False) == []


def test_a_crossing_side_trades_and_rests_with_what_is_left(books):
    books.order(Side.SELL, 100, 3)
    assert books.quote((105, 5), (110, 5)) == QuoteRefusal.TAKEN
    resting, taking = books.trades()
    assert (resting["session"], taking["session"], taking["last_ticks"], taking["last_qty"]) == (TAKER, MAKER, 100, 3)
    assert taking["flags"] == records.EXEC_QUOTE and taking["ord_status"] == OrdStatus.PARTIALLY_FILLED
    assert books.side() == [(105, MAKER, 2)]


def test_a_fill_of_a_quote_names_it(books):
    books.quote((100, 5), (110, 7), entry_id=42)
    books.order(Side.SELL, 99, 5)
    fill = books.trades()[0]
    assert (fill["session"], fill["cl_ord_id"], fill["orig_cl_ord_id"]) == (MAKER, books.quotes, 42)
    assert (fill["flags"], fill["ord_status"], fill["leaves_qty"]) == (records.EXEC_QUOTE, OrdStatus.FILLED, 0)
    assert books.side(bids=False) == [(110, MAKER, 7)], "the other side stands"


@pytest.mark.parametrize(
    ("bid", "ask", "fields", "why"),
    [
        ((110, 1), (110, 1), {}, QuoteRefusal.INVALID_SPREAD),
        ((0, 1), (110, 1), {}, QuoteRefusal.INVALID_PRICE),
        ((100, 1), (MAX_TICKS, 1), {}, QuoteRefusal.INVALID_PRICE),
        ((100, -1), (110, 1), {}, QuoteRefusal.OTHER),
        ((100, 1), (110, 1 << 40), {}, QuoteRefusal.OTHER),
        ((100, 1), (110, 1), {"instrument": 3}, QuoteRefusal.UNKNOWN_SYMBOL),
        ((100, 1), (110, 1), {"reason": int(QuoteRefusal.INVALID_PRICE)}, QuoteRefusal.INVALID_PRICE),
    ],
)
def test_a_refused_entry_changes_nothing(books, bid, ask, fields, why):
    books.quote((90, 5), (120, 7))
    assert books.quote(bid, ask, **fields) == why
    assert (books.side(), books.side(bids=False)) == ([(90, MAKER, 5)], [(120, MAKER, 7)])


def test_a_full_pool_refuses_the_quote_whole():
    books = Books(max_orders=3)
    books.quote((100, 5), (110, 7))
    assert books.quote((100, 5), (110, 7), owner=OTHER) == QuoteRefusal.EXCEEDS_LIMIT
    assert books.side() == [(100, MAKER, 5)]


def test_self_trade_prevention_ends_the_incoming_side_and_says_so(books):
    books.order(Side.SELL, 100, 3, owner=MAKER)
    books.quote((105, 5), (110, 5))
    (ended,) = books.rows
    assert (ended["exec_type"], ended["flags"], ended["cl_ord_id"]) == (ExecType.CANCELED, records.EXEC_QUOTE, 1)
    assert books.side() == [] and books.side(bids=False) == [(100, MAKER, 3), (110, MAKER, 5)]


def test_quotes_are_cancelled_by_all_series_or_quote(books):
    for book in range(3):
        books.quote((100, 5), (110, 7), book=book)
    books.quote((100, 5), (110, 7), owner=OTHER)
    assert books.cancel_quotes(quote_id=2) == 2, "the quote of book 1"
    assert books.cancel_quotes(book=0) == 2 and len(books.rows) == 0
    assert books.cancel_quotes() == 2
    assert books.cancel_quotes() == 0
    assert books.side() == [(100, OTHER, 5)]


def test_orders_stay_when_quotes_are_cancelled_and_a_mass_cancel_ends_both(books):
    books.quote((100, 5), (110, 7))
    books.order(Side.BUY, 90, 1, owner=MAKER)
    books.cancel_quotes()
    assert books.side() == [(90, MAKER, 1)]
    books.quote((100, 5), (110, 7))
    books.order(0, 0, 0, MAKER, ALL_BOOKS, action=OrderAction.MASS_CANCEL)
    assert [int(row["flags"]) for row in books.rows] == [0, records.EXEC_QUOTE, records.EXEC_QUOTE]
    assert books.side() == books.side(bids=False) == []


def test_status_requests_are_about_orders(books):
    books.quote((100, 5), (110, 7))
    books.order(0, 0, 0, MAKER, ALL_BOOKS, action=OrderAction.MASS_STATUS)
    (none,) = books.rows
    assert none["cl_ord_id"] == 0, "no orders"


def test_a_client_can_neither_name_nor_touch_a_quote_as_an_order(books):
    books.quote((100, 5), (110, 7))
    key = int(books.arena.orders[1]["cl_ord_id"])
    books.order(Side.BUY, 90, 1, owner=MAKER, cl_ord_id=key)
    assert books.rows[0]["exec_type"] == ExecType.REJECTED
    books.order(Side.BUY, 90, 1, owner=MAKER, action=OrderAction.CANCEL, orig_cl_ord_id=key)
    assert books.rows[0]["kind"] == FrameKind.CANCEL_REJECT
    books.order(Side.BUY, 90, 1, owner=MAKER, action=OrderAction.CANCEL, order_id=(1 << 24) + 1)
    assert books.rows[0]["kind"] == FrameKind.CANCEL_REJECT
    assert books.side() == [(100, MAKER, 5)]


def test_status_of_one_order(books):
    books.order(Side.BUY, 90, 4, owner=MAKER)
    out = FrameBuffer(records.EXECUTION, 1)
    ids = (np.uint64(books.ids), np.uint64(0))
    assert order_status(books.arena, MAKER, 0, *ids, 7, out.rows) == 1
    assert (out.rows[0]["exec_type"], out.rows[0]["leaves_qty"], out.rows[0]["ts_ns"]) == (ExecType.ORDER_STATUS, 4, 7)
    assert order_status(books.arena, MAKER, 1, *ids, 7, out.rows) == 0, "another book"
    assert order_status(books.arena, OTHER, 0, *ids, 7, out.rows) == 0, "another's order"
    by_order_id = (np.uint64(0), np.uint64(out.rows[0]["order_id"]))
    assert order_status(books.arena, MAKER, 0, *by_order_id, 7, out.rows) == 1


def test_a_live_order_is_amended_without_its_place(books):
    books.order(Side.BUY, 100, 10, owner=MAKER)
    books.order(Side.SELL, 100, 4)
    order_id = np.uint64(books.trades()[0]["order_id"])
    out = FrameBuffer(records.EXECUTION, 1)
    assert amend_order(books.arena, order_id, int(ExecType.TRADE_CANCEL), -4, -400, 5, 6, out.rows, 0) == 1
    row = out.rows[0]
    assert (row["cum_qty"], row["order_qty"], row["leaves_qty"], row["ord_status"]) == (0, 6, 6, OrdStatus.NEW)
    assert (row["msg_seq"], row["ts_ns"], row["recv_ns"]) == (0, 5, 6)
    assert books.side() == [(100, MAKER, 6)]
    books.order(Side.SELL, 100, 6)
    fill = books.trades()[0]
    assert (fill["cum_qty"], fill["msg_seq"], fill["ord_status"]) == (6, 600, OrdStatus.FILLED)
    assert amend_order(books.arena, order_id, int(ExecType.TRADE_CANCEL), -6, -600, 5, 6, out.rows, 0) == 0, "ended"


@pytest.mark.parametrize("stp", list(SelfTradePrevention), ids=lambda stp: stp.name.lower())
def test_random_quotes_and_orders_keep_the_books_right(stp):
    draw, books = random.Random(int(stp)), Books(stp, max_orders=40)
    bought = {16: 0, 17: 0, 20: 0}
    last = {}
    for step in range(4000):
        owner, book = draw.choice([MAKER, OTHER]), draw.randrange(3)
        kind = draw.random()
        if kind < 0.5:
            bid = draw.randrange(85, 105)
            terms = ((bid, draw.randrange(0, 6)), (bid + draw.randrange(-1, 12), draw.randrange(0, 6)))
            if books.quote(*terms, owner, book) == QuoteRefusal.TAKEN:
                last[owner, book] = terms
        elif kind < 0.9:
            side = draw.choice([Side.BUY, Side.SELL])
            books.order(side, draw.randrange(85, 115), draw.randrange(1, 8), draw.choice([TAKER, owner]), book,
                        tif=draw.choice([TimeInForce.DAY, TimeInForce.IOC]))  # fmt: skip
        elif kind < 0.97:
            books.order(0, 0, 0, TAKER, ALL_BOOKS, action=OrderAction.MASS_CANCEL)
        else:
            books.cancel_quotes(owner, book)
            last[owner, book] = ((0, 0), (0, 0))
        for row in books.trades():
            bought[int(row["session"])] += int(row["last_qty"]) * (1 if row["side"] == Side.BUY else -1)
        if step % 20 == 0:
            books.audit()
            _each_maker_has_one_quote_as_stated(books, last)
    assert sum(bought.values()) == 0 and any(bought.values())


def _each_maker_has_one_quote_as_stated(books, last):
    for book in range(3):
        for number, side in enumerate(levels_of(books.arena, book)):
            seen = set()
            for ticks, slots in side.items():
                for slot in slots:
                    order = books.arena.orders[slot]
                    if not order["quote"]:
                        continue
                    owner = int(order["owner"])
                    assert owner not in seen, "one quote per maker, series and side"
                    seen.add(owner)
                    stated = last[owner, book][number]
                    assert ticks == stated[0] and int(order["leaves"]) <= stated[1]
