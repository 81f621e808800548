"""The matching engine's rules, one at a time, and what its callers may rely on."""

import hashlib
from typing import Any

import numpy as np
import pytest

from market.enums import (
    ExecType,
    FrameKind,
    OrderAction,
    OrdStatus,
    OrdType,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradingStatus,
)
from market.instruments import TickRule
from market.jit import JIT_ENABLED, kernel
from market.records import EXECUTION, ORDER, QUOTE, table
from simulator.matching import (
    ALL_BOOKS,
    NO_ROOM,
    REASON_TEXT,
    Arena,
    CancelCause,
    CxlRejReason,
    OrdRejReason,
    Word,
    apply,
    apply_batch,
    cancel_owner,
    fix44_reason,
    make_arena,
    open_orders,
    set_status,
    set_tick_rule,
    set_tick_rules,
    take_dirty,
    top_levels,
)
from tests.simulator.matching_audit import audit_pools, levels_of

BUY, SELL = Side.BUY, Side.SELL
ANN, BOB, CAT = 16, 17, 18


class Venue:
    """One arena and a few words to trade with; ``rows`` are the reports of the last command."""

    def __init__(self, books: int = 2, max_orders: int = 20, max_ticks: int = 1000, **options: Any) -> None:
        self.arena = make_arena(books, max_orders, max_ticks, **options)
        self.command, self.out = table(ORDER, 1), table(EXECUTION, 2 * max_orders + 3)
        self.rows: list[Any] = []
        self.last_id = 0

    def send(self, action: OrderAction, owner: int, **fields: Any) -> list[Any]:
        self.command[:] = np.zeros(1, ORDER)
        self.last_id += 1
        fields = {"cl_ord_id": self.last_id, "ts_ns": 1000 + self.last_id, **fields}
        for name, value in {"action": action, "owner": owner, "kind": FrameKind.ORDER, **fields}.items():
            self.command[name][0] = value
        n = apply(self.arena, self.command, 0, self.out, 0)
        self.rows = list(self.out[:n].copy())
        return self.rows

    def new(self, owner: int, side: Side, qty: int, price: int = 0, *, book: int = 0, **fields: Any) -> int:
        """Send a new order and return its OrderID."""
        kind = OrdType.LIMIT if price else OrdType.MARKET
        fields = {"ord_type": kind, "tif": TimeInForce.DAY, **fields}
        self.send(OrderAction.NEW, owner, instrument=book, side=side, qty=qty, price_ticks=price, **fields)
        return int(self.rows[0]["order_id"])

    def replace(self, owner: int, order_id: int, side: Side, qty: int, price: int, **fields: Any) -> list[Any]:
        fields = {"ord_type": OrdType.LIMIT, "tif": TimeInForce.DAY, "side": side, **fields}
        return self.send(OrderAction.REPLACE, owner, order_id=order_id, qty=qty, price_ticks=price, **fields)

    def cancel(self, owner: int, order_id: int, **fields: Any) -> list[Any]:
        return self.send(OrderAction.CANCEL, owner, order_id=order_id, **fields)

    def told(self) -> list[tuple[str, int, str, int, int]]:
        """(ExecType, owner, OrdStatus, LastQty, LeavesQty) of each report."""
        return [
            (
                ExecType(r["exec_type"]).name,
                int(r["session"]),
                OrdStatus(r["ord_status"]).name,
                int(r["last_qty"]),
                int(r["leaves_qty"]),
            )
            for r in self.rows
        ]

    def queue(self, price: int, book: int = 0) -> list[int]:
        """OrderIDs resting at ``price`` in order of priority."""
        slots = next((side[price] for side in levels_of(self.arena, book) if price in side), [])
        return [int(self.arena.orders[s]["generation"]) << 24 | s for s in slots]

    def state(self) -> str:
        return hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in self.arena)).hexdigest()

    def reason(self) -> int:
        return int(self.rows[0]["reason"])


def test_better_price_trades_first_then_earlier_arrival() -> None:
    venue = Venue()
    late = venue.new(ANN, SELL, 5, 101)
    first = venue.new(ANN, SELL, 5, 100)
    second = venue.new(BOB, SELL, 5, 100)
    venue.new(CAT, BUY, 12, 105)
    trades = [(int(r["order_id"]), int(r["last_ticks"]), int(r["last_qty"])) for r in venue.rows[1::2]]
    assert trades == [(first, 100, 5), (second, 100, 5), (late, 101, 2)]


def test_a_trade_is_reported_to_both_sides_at_the_resting_price_with_one_match_number() -> None:
    venue = Venue()
    venue.new(ANN, SELL, 5, 100)
    venue.new(BOB, BUY, 8, 103)
    assert venue.told() == [
        ("NEW", BOB, "NEW", 0, 8),
        ("TRADE", ANN, "FILLED", 5, 0),
        ("TRADE", BOB, "PARTIALLY_FILLED", 5, 3),
    ]
    resting, aggressor = venue.rows[1:]
    assert resting["jseq"] == aggressor["jseq"] != 0
    assert resting["last_ticks"] == aggressor["last_ticks"] == 100
    assert [int(r["exec_id"]) for r in venue.rows] == [2, 3, 4]
    assert {int(r["ts_ns"]) for r in venue.rows} == {1002}
    assert venue.queue(103) == [int(aggressor["order_id"])]


@pytest.mark.parametrize(
    ("qty", "price", "keeps_place"),
    [(5, 100, True), (10, 100, True), (11, 100, False), (10, 99, False), (5, 99, False)],
    ids=["less", "same", "more", "other price", "less at another price"],
)
def test_replace_keeps_its_place_only_at_the_same_price_without_more_quantity(
    qty: int, price: int, keeps_place: bool
) -> None:
    venue = Venue()
    first, second = venue.new(ANN, BUY, 10, 100), venue.new(BOB, BUY, 10, 100)
    third = venue.new(CAT, BUY, 10, price) if price != 100 else 0
    (row,) = venue.replace(ANN, first, BUY, qty, price)
    assert (ExecType(row["exec_type"]), row["order_id"], row["leaves_qty"]) == (ExecType.REPLACED, first, qty)
    assert row["orig_cl_ord_id"] == 1
    if keeps_place:
        assert venue.queue(100) == [first, second]
    elif price == 100:
        assert venue.queue(100) == [second, first]
    else:
        assert (venue.queue(100), venue.queue(price)) == ([second], [third, first])


def test_replace_quantity_is_the_total_including_what_has_traded() -> None:
    venue = Venue()
    order = venue.new(ANN, BUY, 10, 100)
    venue.new(BOB, SELL, 4, 100)
    (row,) = venue.replace(ANN, order, BUY, 7, 100)
    assert (int(row["order_qty"]), int(row["cum_qty"]), int(row["leaves_qty"])) == (7, 4, 3)
    venue.replace(ANN, order, BUY, 4, 100)
    assert venue.rows[0]["kind"] == FrameKind.CANCEL_REJECT
    assert venue.reason() == CxlRejReason.TOO_LATE
    assert venue.rows[0]["ord_status"] == OrdStatus.PARTIALLY_FILLED
    assert venue.queue(100) == [order], "the refused replace changed nothing"


def test_replace_that_crosses_trades_and_rests_with_the_remainder() -> None:
    venue = Venue()
    order = venue.new(ANN, BUY, 10, 95)
    venue.new(BOB, SELL, 4, 100)
    venue.replace(ANN, order, BUY, 10, 100)
    assert venue.told() == [
        ("REPLACED", ANN, "NEW", 0, 10),
        ("TRADE", BOB, "FILLED", 4, 0),
        ("TRADE", ANN, "PARTIALLY_FILLED", 4, 6),
    ]
    assert (venue.queue(95), venue.queue(100)) == ([], [order])


def test_post_only_is_refused_where_it_would_trade_on_entry_and_on_replace() -> None:
    venue = Venue()
    venue.new(ANN, SELL, 5, 100)
    venue.new(BOB, BUY, 5, 100, post_only=1)
    assert venue.reason() == OrdRejReason.WOULD_CROSS
    order = venue.new(BOB, BUY, 5, 99, post_only=1)
    assert venue.told() == [("NEW", BOB, "NEW", 0, 5)]
    venue.replace(BOB, order, BUY, 5, 100, post_only=1)
    assert venue.reason() == CxlRejReason.WOULD_CROSS
    assert venue.queue(99) == [order]


@pytest.mark.parametrize(
    ("tif", "price", "expected"),
    [
        (TimeInForce.IOC, 100, ["NEW", "TRADE", "TRADE", "CANCELED"]),
        (TimeInForce.IOC, 99, ["NEW", "CANCELED"]),
        (TimeInForce.FOK, 100, ["NEW", "CANCELED"]),
        (TimeInForce.FOK, 101, ["NEW", "TRADE", "TRADE", "TRADE", "TRADE"]),
        (TimeInForce.DAY, 0, ["NEW", "TRADE", "TRADE", "TRADE", "TRADE"]),
    ],
    ids=["ioc part", "ioc none", "fok killed", "fok filled", "market"],
)
def test_orders_that_never_rest(tif: TimeInForce, price: int, expected: list[str]) -> None:
    venue = Venue()
    venue.new(ANN, SELL, 5, 100)
    venue.new(ANN, SELL, 5, 101)
    venue.new(BOB, BUY, 8, price, tif=tif)
    assert [row[0] for row in venue.told()] == expected
    assert venue.arena.books["bid_levels"][0] == 0
    if expected[-1] == "CANCELED":
        assert venue.rows[-1]["reason"] == CancelCause.NOT_FILLED


def test_market_order_into_an_empty_book_is_canceled_with_price_zero() -> None:
    venue = Venue()
    venue.new(BOB, SELL, 8, tif=TimeInForce.IOC)
    assert venue.told() == [("NEW", BOB, "NEW", 0, 8), ("CANCELED", BOB, "CANCELED", 0, 0)]
    assert {int(r["price_ticks"]) for r in venue.rows} == {0}


@pytest.mark.parametrize(
    ("stp", "expected"),
    [
        (
            SelfTradePrevention.CANCEL_RESTING,
            [("NEW", ANN, 8), ("CANCELED", ANN, 0), ("TRADE", BOB, 0), ("TRADE", ANN, 3)],
        ),
        (SelfTradePrevention.CANCEL_INCOMING, [("NEW", ANN, 8), ("CANCELED", ANN, 0)]),
        (
            SelfTradePrevention.DECREMENT_BOTH,
            [("NEW", ANN, 8), ("CANCELED", ANN, 0), ("REPLACED", ANN, 3), ("TRADE", BOB, 2), ("TRADE", ANN, 0)],
        ),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, SelfTradePrevention) else "",
)
def test_self_trade_prevention(stp: SelfTradePrevention, expected: list[tuple[str, int, int]]) -> None:
    venue = Venue(stp=stp)
    venue.new(ANN, SELL, 5, 100)
    venue.new(BOB, SELL, 5, 100)
    venue.new(ANN, BUY, 8, 100)
    assert [(kind, owner, leaves) for kind, owner, _, _, leaves in venue.told()] == expected
    assert venue.rows[1]["reason"] == CancelCause.SELF_TRADE


def test_fill_or_kill_does_not_count_own_orders() -> None:
    for stp in SelfTradePrevention:
        venue = Venue(stp=stp)
        own = venue.new(ANN, SELL, 5, 100)
        venue.new(BOB, SELL, 5, 101)
        venue.new(ANN, BUY, 8, 101, tif=TimeInForce.FOK)
        assert [row[0] for row in venue.told()] == ["NEW", "CANCELED"], stp.name
        assert venue.queue(100) == [own], "a killed order touches nothing"


@pytest.mark.parametrize("status", [TradingStatus.HALTED, TradingStatus.CLOSED, TradingStatus.UNKNOWN])
def test_a_book_that_is_not_open_takes_cancels_only(status: TradingStatus) -> None:
    venue = Venue()
    order = venue.new(ANN, BUY, 10, 100)
    set_status(venue.arena, 0, int(status))
    venue.new(BOB, SELL, 5, 100)
    assert venue.reason() == OrdRejReason.EXCHANGE_CLOSED
    venue.replace(ANN, order, BUY, 5, 100)
    assert venue.reason() == CxlRejReason.NOT_OPEN
    assert venue.new(BOB, SELL, 5, 100, book=1) != 0, "the other book is open"
    assert ExecType(venue.cancel(ANN, order)[0]["exec_type"]) == ExecType.CANCELED
    set_status(venue.arena, 0, int(TradingStatus.OPEN))
    venue.new(BOB, SELL, 5, 100)
    assert venue.told() == [("NEW", BOB, "NEW", 0, 5)]


def test_price_bounds_and_increments() -> None:
    venue = Venue(max_ticks=1000)
    set_tick_rule(venue.arena, 0, TickRule.NICKEL_DIME)
    for price, reason in [
        (-1, OrdRejReason.PRICE_OUT_OF_RANGE),
        (999, OrdRejReason.PRICE_OFF_TICK),
        (1000, OrdRejReason.PRICE_OUT_OF_RANGE),
        (295, None),
        (296, OrdRejReason.PRICE_OFF_TICK),
        (305, OrdRejReason.PRICE_OFF_TICK),
        (990, None),
    ]:
        venue.new(ANN, BUY, 1, price)
        assert (venue.reason() or None) == reason, price
    assert venue.new(ANN, SELL, 1, 999, book=1) != 0, "the highest price of a book without increments"
    assert venue.new(ANN, BUY, 1, 1, book=1) != 0, "and the lowest"


def test_orders_are_found_by_order_id_or_by_cl_ord_id_and_by_their_owner_alone() -> None:
    venue = Venue()
    order = venue.new(ANN, BUY, 10, 100, cl_ord_id=500)
    venue.cancel(BOB, order)
    assert venue.reason() == CxlRejReason.UNKNOWN_ORDER
    venue.cancel(ANN, order, instrument=1)
    assert venue.reason() == CxlRejReason.UNKNOWN_ORDER
    venue.cancel(BOB, 0, orig_cl_ord_id=500)
    assert venue.reason() == CxlRejReason.UNKNOWN_ORDER
    assert venue.rows[0]["exec_type"] == ExecType.PENDING_CANCEL
    venue.cancel(ANN, 0, orig_cl_ord_id=500, cl_ord_id=501)
    row = venue.rows[0]
    assert (int(row["order_id"]), int(row["cl_ord_id"]), int(row["orig_cl_ord_id"])) == (order, 501, 500)
    venue.cancel(ANN, order)
    assert venue.reason() == CxlRejReason.TOO_LATE
    venue.cancel(ANN, 0, orig_cl_ord_id=500)
    assert venue.reason() == CxlRejReason.UNKNOWN_ORDER


def test_a_stale_order_id_does_not_reach_the_order_that_uses_its_slot_now() -> None:
    venue = Venue()
    stale = venue.new(ANN, BUY, 10, 100)
    venue.cancel(ANN, stale)
    current = venue.new(ANN, BUY, 10, 100)
    assert current & 0xFFFFFF == stale & 0xFFFFFF
    venue.cancel(ANN, stale)
    assert venue.reason() == CxlRejReason.TOO_LATE
    assert venue.queue(100) == [current]


def test_cl_ord_id_must_differ_from_those_of_live_orders_of_the_owner() -> None:
    venue = Venue()
    order = venue.new(ANN, BUY, 10, 100, cl_ord_id=7)
    venue.new(ANN, BUY, 10, 100, cl_ord_id=7)
    assert venue.reason() == OrdRejReason.DUPLICATE_ORDER
    venue.replace(ANN, order, BUY, 9, 100, cl_ord_id=7)
    assert venue.reason() == CxlRejReason.DUPLICATE_CL_ORD_ID
    assert venue.new(BOB, BUY, 10, 100, cl_ord_id=7) != 0, "another owner's ids are its own"
    venue.replace(ANN, order, BUY, 9, 100, cl_ord_id=8)
    assert venue.new(ANN, BUY, 10, 100, cl_ord_id=7) != 0, "the replaced id is free again"
    assert venue.new(ANN, BUY, 10, 100, cl_ord_id=0) != 0
    assert venue.new(ANN, BUY, 10, 100, cl_ord_id=0) != 0, "unnamed orders do not collide"


def test_the_pool_is_the_only_thing_that_can_run_out() -> None:
    venue = Venue(books=1, max_orders=20, max_ticks=100_000)
    orders = [venue.new(ANN, BUY, 1, 1 + 4000 * k) for k in range(20)]  # a page of levels each
    venue.new(ANN, BUY, 1, 99_999)
    assert venue.reason() == OrdRejReason.NO_CAPACITY
    venue.cancel(ANN, orders[3])
    assert venue.new(ANN, BUY, 1, 99_999) != 0
    levels = levels_of(venue.arena, 0)[0]
    audit_pools(venue.arena, {slot for slots in levels.values() for slot in slots})


def test_mass_cancel_ends_orders_in_order_of_acceptance_over_all_books() -> None:
    venue = Venue(books=3)
    orders = [venue.new(ANN, BUY, 5, 100 - k, book=k % 3) for k in range(6)]
    other = venue.new(BOB, BUY, 5, 100)
    venue.replace(ANN, orders[0], BUY, 9, 101)  # loses its place, keeps its acceptance
    venue.send(OrderAction.MASS_CANCEL, ANN, instrument=1)
    assert [int(r["order_id"]) for r in venue.rows] == [orders[1], orders[4]]
    venue.send(OrderAction.MASS_CANCEL, ANN, instrument=ALL_BOOKS, reason=1)
    assert venue.rows == [], "an unknown symbol must not cancel everything"
    venue.send(OrderAction.MASS_CANCEL, ANN, instrument=ALL_BOOKS)
    assert [int(r["order_id"]) for r in venue.rows] == [orders[0], orders[2], orders[3], orders[5]]
    assert {ExecType(r["exec_type"]) for r in venue.rows} == {ExecType.CANCELED}
    assert venue.queue(100) == [other]


def test_mass_status_and_open_orders_list_live_orders_oldest_first() -> None:
    venue = Venue()
    orders = [venue.new(ANN, BUY, 5, 100 - k) for k in range(3)]
    venue.send(OrderAction.MASS_STATUS, ANN, instrument=ALL_BOOKS, cl_ord_id=77)
    assert [int(r["order_id"]) for r in venue.rows] == orders
    assert [int(r["last_report"]) for r in venue.rows] == [0, 0, 1]
    assert {(int(r["tot_reports"]), int(r["orig_cl_ord_id"])) for r in venue.rows} == {(3, 77)}
    assert open_orders(venue.arena, ANN, 5, venue.out) == 3
    assert open_orders(venue.arena, BOB, 5, venue.out) == 0
    venue.send(OrderAction.MASS_STATUS, BOB, instrument=ALL_BOOKS, cl_ord_id=78)
    (row,) = venue.rows
    assert (int(row["instrument"]), int(row["tot_reports"]), int(row["last_report"])) == (ALL_BOOKS, 0, 1)


def test_cancel_owner_takes_orders_out_of_a_halted_book() -> None:
    venue = Venue()
    venue.new(ANN, BUY, 5, 100)
    kept = venue.new(ANN, BUY, 5, 100, book=1)
    set_status(venue.arena, 0, int(TradingStatus.HALTED))
    assert cancel_owner(venue.arena, ANN, 0, 9, venue.out, 0) == 1
    assert venue.out["ts_ns"][0] == 9
    assert venue.queue(100, book=1) == [kept]


def test_a_command_that_out_may_not_hold_does_nothing_until_there_is_room() -> None:
    venue = Venue()
    for _ in range(3):
        venue.new(ANN, SELL, 1, 100)
    venue.new(BOB, BUY, 5, 100, cl_ord_id=99, book=1)  # leaves the command in place
    venue.command["instrument"] = 0
    venue.command["cl_ord_id"] = 100
    before = venue.state()
    assert apply(venue.arena, venue.command, 0, venue.out[:8], 0) == NO_ROOM
    assert apply(venue.arena, venue.command, 0, venue.out, len(venue.out) - 8) == NO_ROOM
    assert cancel_owner(venue.arena, ANN, -1, 0, venue.out[:3], 0) == NO_ROOM
    assert open_orders(venue.arena, ANN, 0, venue.out[:3]) == NO_ROOM
    assert venue.state() == before
    assert apply(venue.arena, venue.command, 0, venue.out[:9], 0) == 7


def test_apply_batch_stops_where_out_is_full_and_goes_on_from_there() -> None:
    commands = table(ORDER, 30)
    commands["action"], commands["side"], commands["ord_type"] = OrderAction.NEW, BUY, OrdType.LIMIT
    commands["tif"], commands["qty"], commands["price_ticks"] = TimeInForce.DAY, 1, np.arange(1, 31)
    commands["cl_ord_id"] = np.arange(1, 31)
    whole, parts = make_arena(1, 30, 100), make_arena(1, 30, 100)
    out = table(EXECUTION, 100)
    assert apply_batch(whole, commands, 0, 30, out, 0) == (30, 30)
    first, calls = 0, 0
    while first < 30:
        rows, done = apply_batch(parts, commands, first, 30 - first, out[:64], 0)
        assert rows == done > 0
        first += done
        calls += 1
    assert calls > 1
    for one, other in zip(whole, parts, strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_identifiers_of_a_restarted_venue_do_not_repeat() -> None:
    runs = [Venue(first_exec_id=1 + 1000 * run, first_generation=(run + 1) << 24) for run in range(2)]
    ids = [{venue.new(ANN, BUY, 1, 100) for _ in range(5)} for venue in runs]
    assert not ids[0] & ids[1]
    assert [int(venue.rows[0]["exec_id"]) for venue in runs] == [5, 1005]
    runs[1].cancel(ANN, min(ids[0]))
    assert runs[1].reason() == CxlRejReason.UNKNOWN_ORDER


def test_dirty_books_are_those_whose_two_best_levels_differ_from_what_was_taken() -> None:
    venue = Venue(books=4)
    books = np.zeros(4, np.int64)
    first = venue.new(ANN, BUY, 5, 100, book=2)
    venue.new(ANN, BUY, 5, 99, book=1)
    assert books[: take_dirty(venue.arena, books)].tolist() == [2, 1], "in order of their first change"
    assert take_dirty(venue.arena, books) == 0
    venue.new(ANN, BUY, 5, 98, book=2)
    assert take_dirty(venue.arena, books) == 1, "the second level is published"
    third = venue.new(ANN, BUY, 5, 97, book=2)
    assert take_dirty(venue.arena, books) == 0, "the third is not"
    venue.cancel(ANN, third, instrument=2)
    venue.cancel(ANN, first, instrument=2)
    venue.new(ANN, BUY, 5, 100, book=2)
    assert take_dirty(venue.arena, books) == 0, "it looks as it did"
    set_status(venue.arena, 3, int(TradingStatus.HALTED))
    venue.new(ANN, SELL, 5, 101, book=1)
    assert take_dirty(venue.arena, books[:1]) == 1
    assert take_dirty(venue.arena, books[1:]) == 1, "what did not fit is not lost"
    assert books[:2].tolist() == [3, 1]


def test_top_levels_sum_what_rests_and_say_zero_where_nothing_does() -> None:
    venue = Venue()
    quotes = table(QUOTE, 1)
    top_levels(venue.arena, 1, quotes, 0)
    names = ("bid_ticks", "bid_qty", "bid2_ticks", "bid2_qty", "ask_ticks", "ask_qty", "ask2_ticks", "ask2_qty")
    assert [int(quotes[0][name]) for name in names] == [0] * 8
    for owner, side, qty, price in [(ANN, BUY, 5, 90), (BOB, BUY, 6, 90), (ANN, BUY, 7, 20), (BOB, SELL, 8, 700)]:
        venue.new(owner, side, qty, price, book=1)
    top_levels(venue.arena, 1, quotes, 0)
    assert [int(quotes[0][name]) for name in names] == [90, 11, 20, 7, 700, 8, 0, 0]
    assert (int(quotes[0]["instrument"]), quotes[0]["status"]) == (1, TradingStatus.OPEN)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 10, 100), "n_books must be 1.."),
        ((1, 0, 100), "max_orders must be 1.."),
        ((1, 1 << 24, 100), "was 16777216"),
        ((1, 10, 1), "max_ticks must be 2.."),
    ],
)
def test_sizes_out_of_range_are_named_with_their_bounds(arguments: tuple[int, int, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make_arena(*arguments)


def test_tick_rules_must_fit_the_books() -> None:
    arena = make_arena(2, 10, 100)
    with pytest.raises(ValueError, match="shape"):
        set_tick_rules(arena, np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="must be 0"):
        set_tick_rules(arena, np.array([0, 4]))


def test_every_reason_has_a_text_and_a_fix44_code() -> None:
    for reason in [*OrdRejReason, *CxlRejReason]:
        assert REASON_TEXT[reason]
        assert fix44_reason(int(reason)) in {0, 1, 2, 6, 11, 13, 99}


@kernel
def _caller(arena: Arena, commands: Any, out: Any) -> int:
    n = 0
    for i in range(commands.shape[0]):
        n = apply(arena, commands, i, out, n)
    return n


def _many_orders(count: int, books: int) -> Any:
    random = np.random.default_rng(3)
    commands = table(ORDER, 2 * count)
    news, cancels = commands[:count], commands[count:]
    news["action"], news["ord_type"], news["tif"] = OrderAction.NEW, OrdType.LIMIT, TimeInForce.DAY
    news["side"] = random.choice([BUY, SELL], count)
    news["price_ticks"] = np.where(
        news["side"] == BUY, random.integers(1, 5000, count), random.integers(5001, 9999, count)
    )
    news["instrument"], news["qty"] = random.integers(0, books, count), 1
    news["owner"] = random.integers(16, 20, count)
    news["cl_ord_id"] = (np.uint64(3) << np.uint64(48)) + (np.arange(count, dtype=np.uint64) << np.uint64(16))
    cancels[:] = news[random.permutation(count)]
    cancels["action"], cancels["orig_cl_ord_id"] = OrderAction.CANCEL, cancels["cl_ord_id"]
    cancels["cl_ord_id"] = 1
    return commands


def test_many_orders_come_and_go_by_their_cl_ord_ids_and_leave_nothing_behind() -> None:
    count, books = (50_000, 100) if JIT_ENABLED else (500, 10)
    commands = _many_orders(count, books)
    arena, out = make_arena(books, count, 10_000), table(EXECUTION, 4 * count)
    n = _caller(arena, commands, out)  # through another kernel, as a venue does
    assert n == 2 * count
    assert (out["exec_type"][:count] == ExecType.NEW).all()
    assert (out["exec_type"][count:n] == ExecType.CANCELED).all()
    assert (out["exec_id"][:n] == np.arange(1, n + 1)).all()
    assert arena.words[Word.LIVE_ORDERS] == 0
    assert not arena.cl_ord_ids.any()
    assert not arena.directory.any()
    assert not arena.summary.any()
    for book in range(books):
        assert levels_of(arena, book) == ({}, {})
