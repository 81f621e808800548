"""Mass quotes over real sockets: taken, refused entry by entry, filled, cancelled, acknowledged in order."""

import numpy as np
import pytest

from fix.codec.quotes import QuoteCancelType, QuoteStatus, quote_cancel, read_mass_quote_ack
from market import records
from market.enums import ExecType, FrameKind, OrderAction, Side, TimeInForce
from simulator.matching import QuoteRefusal
from simulator.tradelog import audit_trades, count_account, open_orders, read_log
from simulator.venue.core import FrameBuffer
from simulator.venue.settings import LatencyModel
from tests.simulator.venue_client import VenueRoom
from tests.simulator.venue_orders import ALICE, MAKER, NO_INSTRUMENT, Orders

QUOTE_ID = 0x51


@pytest.fixture
async def room(tmp_path):
    room = await VenueRoom(tmp_path).open()
    yield room
    await room.close()
    assert room.failures == []


def entries(*terms, quote_id=QUOTE_ID):
    """QUOTE_ENTRY rows of (book, bid, bid_qty, ask, ask_qty), one set."""
    buffer = FrameBuffer(records.QUOTE_ENTRY, len(terms))
    for place, (book, bid, bid_qty, ask, ask_qty) in enumerate(terms):
        row = buffer.rows[place]
        row["kind"], row["action"], row["instrument"], row["quote_id"] = (
            FrameKind.ORDER,
            OrderAction.QUOTE,
            book,
            quote_id,
        )
        row["entry_id"], row["set_id"], row["underlying"] = place + 1, 7, NO_INSTRUMENT
        row["bid_ticks"], row["bid_qty"], row["ask_ticks"], row["ask_qty"] = bid, bid_qty, ask, ask_qty
    return buffer.rows


def quote(trader, *terms, quote_id=QUOTE_ID, level=2):
    rows = entries(*terms, quote_id=quote_id)
    return trader.session.send_mass_quote(rows, len(rows), level=level)


async def acks(trader, count=1):
    def found():
        return [read_mass_quote_ack(m) for m in trader.inbox.messages if m.msg_type == "b"]

    await trader.inbox.until(lambda: len(found()) >= count)
    return found()


def tops(room, book):
    row = room.venue.core.arena.books[book]
    return int(row["best_bid"]), int(row["best_ask"])


async def test_a_quote_is_acknowledged_and_stands(room):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 100, 5, 110, 7), (1, 200, 5, 210, 7))
    (ack,) = await acks(trader)
    assert (ack.quote_id, ack.status, ack.sets) == (f"{QUOTE_ID:016X}", QuoteStatus.ACCEPTED, [])
    assert (tops(room, 0), tops(room, 1)) == ((100, 110), (200, 210))
    assert trader.inbox.executions == [], "a quote is no order: nothing but the acknowledgement"


async def test_the_quote_before_is_replaced_and_refused_entries_are_named(room):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 100, 5, 110, 7), (1, 200, 5, 210, 7))
    quote(trader, (0, 120, 5, 130, 7), (1, 220, 5, 220, 7), (2, 0, 0, 0, 0), quote_id=QUOTE_ID + 1)
    _, ack = await acks(trader, 2)
    assert ack.status == QuoteStatus.ACCEPTED
    ((group, refused),) = [(group, group.entries) for group in ack.sets]
    assert (group.set_id, group.total) == ("7", 3)
    assert [(e.entry_id, e.reject_reason) for e in refused] == [("2", QuoteRefusal.INVALID_SPREAD)]
    assert (tops(room, 0), tops(room, 1)) == ((120, 130), (200, 210)), "a refused entry leaves what stood"


async def test_a_quote_of_which_nothing_is_taken_is_refused(room):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 110, 5, 100, 7), (len(room.instruments), 1, 1, 2, 1))
    (ack,) = await acks(trader)
    assert (ack.status, ack.reject_reason) == (QuoteStatus.REJECTED, QuoteRefusal.INVALID_SPREAD)
    assert [e.reject_reason for e in ack.entries] == [QuoteRefusal.INVALID_SPREAD, QuoteRefusal.UNKNOWN_SYMBOL]


async def test_fills_name_the_quote_and_come_before_the_acknowledgement_of_the_next(room):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 100, 5, 110, 7))
    await acks(trader)
    room.flow(Orders().add(MAKER, instrument=0, side=Side.SELL, price_ticks=100, qty=2, tif=TimeInForce.IOC))
    quote(trader, (0, 100, 5, 110, 7), quote_id=QUOTE_ID + 1)
    await acks(trader, 2)
    (fill,) = trader.inbox.executions
    assert (fill["exec_type"], fill["cl_ord_id"], fill["orig_cl_ord_id"]) == (ExecType.TRADE, QUOTE_ID, 1)
    assert fill["flags"] & records.EXEC_QUOTE and (fill["last_qty"], fill["leaves_qty"]) == (2, 3)
    contents = read_log(room.venue.log.path)
    assert count_account(contents, ALICE).positions == {bytes(room.instruments[0]["symbol"]).decode(): 2}
    assert audit_trades(contents) == []
    assert open_orders(contents, ALICE) == {}, "a quote is not an open order"


@pytest.mark.parametrize(("level", "good", "bad"), [(0, 0, 0), (1, 0, 1), (2, 1, 1)])
async def test_what_is_acknowledged_is_what_was_asked_for(room, level, good, bad):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 100, 5, 110, 7), level=level)
    quote(trader, (0, 110, 5, 100, 7), level=level, quote_id=QUOTE_ID + 1)
    quote(trader, (0, 100, 5, 110, 7), level=2, quote_id=QUOTE_ID + 2)  # a mark: it comes behind them
    found = await acks(trader, good + bad + 1)
    assert [ack.quote_id[-2:] for ack in found] == ["51"] * good + ["52"] * bad + ["53"]


@pytest.mark.parametrize(
    ("kind", "symbols", "status", "left"),
    [
        (QuoteCancelType.ALL, [], QuoteStatus.CANCELED_ALL, set()),
        (QuoteCancelType.SYMBOLS, [1], QuoteStatus.CANCELED_FOR_SYMBOLS, {0, 2}),
        (QuoteCancelType.SINGLE_QUOTE, [], QuoteStatus.CANCELED_FOR_SYMBOLS, {1, 2}),
    ],
)
async def test_quote_cancel(room, kind, symbols, status, left):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 100, 5, 110, 7))
    quote(trader, (1, 100, 5, 110, 7), (2, 100, 5, 110, 7), quote_id=QUOTE_ID + 1)
    names = [bytes(room.instruments[k]["symbol"]).decode() for k in symbols]
    trader.session.send("Z", quote_cancel(f"{QUOTE_ID:016X}", kind, names))
    *_, ack = await acks(trader, 3)
    assert ack.status == status
    assert {book for book in range(3) if tops(room, book)[0]} == left
    assert trader.inbox.executions == []


async def test_quote_cancel_by_underlying_and_of_nothing(room):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 100, 5, 110, 7))
    body = quote_cancel("X", QuoteCancelType.UNDERLYING)
    trader.session.send("Z", [*body, (311, "AXM")])
    trader.session.send("Z", quote_cancel(f"{QUOTE_ID:016X}", QuoteCancelType.SINGLE_QUOTE))
    _, canceled, nothing = await acks(trader, 3)
    assert (canceled.status, canceled.text) == (QuoteStatus.CANCELED_FOR_UNDERLYING, "2 quote sides canceled")
    assert nothing.status == QuoteStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("msg_type", "body", "why"),
    [
        ("i", [(117, "short"), (301, 2), (296, 1), (302, 1), (304, 1), (295, 1), (299, 1), (55, "X")], "16 hex"),
        ("i", [(117, "0" * 15 + "1"), (296, 1), (302, 1), (304, 0), (295, 0)], "1..1000 entries"),
        ("Z", [(117, "1"), (298, 1)], "NoQuoteEntries"),
        ("Z", [(117, "1"), (298, 1), (295, 1), (55, "NOPE")], "NOPE is not listed"),
        ("Z", [(117, "1"), (298, 2)], "QuoteCancelType"),
    ],
)
async def test_what_cannot_be_taken_whole_is_refused_whatever_was_asked(room, msg_type, body, why):
    trader = await room.trader("ALICE").log_on()
    trader.session.send(msg_type, body)
    (ack,) = await acks(trader)
    assert ack.status == QuoteStatus.REJECTED and why in ack.text


async def test_groups_that_are_not_what_they_say_are_a_business_reject(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("i", [(117, "0" * 15 + "1"), (296, 2), (302, 1), (304, 0), (295, 0)])
    (reject,) = await trader.message("j")
    assert (reject.text(372), "NoQuoteSets" in reject.text(58)) == ("i", True)


async def test_a_price_finer_than_the_instruments_is_refused_alone(room):
    trader = await room.trader("ALICE").log_on()
    one, other = (bytes(room.instruments[k]["symbol"]).decode() for k in (0, 1))
    body = [(117, f"{5:016X}"), (301, 2), (296, 1), (302, "A"), (304, 2), (295, 2)]
    body += [(299, 1), (55, one), (132, "1.005"), (133, "1.10"), (134, 1), (135, 1)]
    body += [(299, 2), (55, other), (132, "1.0500"), (133, "1.1"), (134, "1"), (135, "1.0")]
    trader.session.send("i", body)
    (ack,) = await acks(trader)
    assert [(e.entry_id, e.reject_reason) for e in ack.entries] == [("1", QuoteRefusal.INVALID_PRICE)]
    assert tops(room, 1) == (105, 110)


async def test_a_lost_connection_takes_the_quotes_out_and_the_client_learns_it(room):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 100, 5, 110, 7))
    await acks(trader)
    trader.session.abort("test")
    await room.venue.clients[0].session.wait_state(
        *[s for s in type(trader.session.state) if s.value == "disconnected"]
    )
    await trader.log_on()
    ended = await trader.reports(2)
    assert [(int(row["exec_type"]), int(row["cl_ord_id"])) for row in ended] == [(ExecType.CANCELED, QUOTE_ID)] * 2
    assert tops(room, 0)[0] == 0


async def test_a_fill_of_a_quote_is_corrected_and_busted_whether_its_side_stands_or_not(room):
    trader = await room.trader("ALICE").log_on()
    quote(trader, (0, 100, 5, 110, 7))
    await acks(trader)
    room.flow(Orders().add(MAKER, side=Side.SELL, price_ticks=100, qty=2, tif=TimeInForce.IOC))
    (fill,) = await trader.reports(1)
    operations = room.venue.operations
    operations.correct(int(fill["exec_id"]), qty=1, ticks=99)
    (_, live) = await trader.reports(2)
    quote(trader, (0, 90, 5, 110, 7), quote_id=QUOTE_ID + 1)  # the side that traded has ended
    await acks(trader, 2)
    operations.bust(int(fill["exec_id"]))
    (_, _, ended) = await trader.reports(3)
    for report, before, qty, standing in ((live, fill, 1, 3), (ended, live, 1, 0)):
        assert report["cl_ord_id"] == QUOTE_ID
        assert (report["orig_cl_ord_id"], report["order_id"]) == (before["exec_id"], fill["order_id"])
        assert (report["last_qty"], report["last_ticks"], report["leaves_qty"]) == (qty, 99, standing)
    assert (chr(live["ord_status"]), chr(ended["ord_status"]), ended["cum_qty"]) == ("1", "4", 0)
    assert tops(room, 0) == (90, 110), "no amendment touches what stands"
    contents = read_log(room.venue.log.path)
    assert audit_trades(contents) == [] and count_account(contents, ALICE).cash_e4 == 0


async def test_delays_keep_quotes_orders_and_answers_in_order(tmp_path):
    delay = LatencyModel(order_delay_ns=200_000, report_delay_ns=200_000, jitter_ns=300_000)
    room = await VenueRoom(tmp_path, latency=delay).open()
    try:
        trader = await room.trader("ALICE").log_on()
        for k in range(20):
            quote(trader, (0, 100 + k, 5, 150, 7), quote_id=QUOTE_ID + k)
            trader.send(Orders().add(0, instrument=1, cl_ord_id=k + 1))
        found = await acks(trader, 20)
        assert [ack.quote_id for ack in found] == [f"{QUOTE_ID + k:016X}" for k in range(20)]
        await trader.reports(20)
        assert tops(room, 0) == (119, 150)
    finally:
        await room.close()
    assert room.failures == [] and len(room.venue.tickets) == 0


def test_the_codecs_and_the_venues_reasons_are_the_same():
    from fix.codec.quotes import QuoteRejectReason

    assert {r.name: int(r) for r in QuoteRefusal}.items() <= {r.name: int(r) for r in QuoteRejectReason}.items()
    assert np.uint32(QuoteRefusal.OTHER) == 99
