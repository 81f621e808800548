"""What a venue tells of itself: order status, definitions, trading status, trading session, user, news, depth."""

from decimal import Decimal

import pytest

from fix.codec.depth import BID, OFFER, DepthBook
from market.enums import ExecType, OrderAction, Side, TimeInForce, TradingStatus
from simulator.errors import OperatorError
from simulator.tradelog import read_log
from tests.simulator.venue_client import VenueRoom
from tests.simulator.venue_orders import MAKER, Orders


@pytest.fixture
async def room(tmp_path):
    room = await VenueRoom(tmp_path).open()
    yield room
    await room.close()
    assert room.failures == []


def symbol_of(room, book=0):
    return bytes(room.instruments[book]["symbol"]).decode()


# ---------------------------------------------------------------- order status


async def test_status_of_an_order_is_one_report(room):
    trader = await room.trader("ALICE").log_on()
    room.flow(Orders().add(MAKER, side=Side.SELL, qty=3))
    trader.send(Orders().add(0, cl_ord_id=0xA))
    await trader.reports(2)
    trader.session.send("H", [(11, f"{0xA:016X}"), (790, "S1"), (55, symbol_of(room)), (54, "1")])
    *_, status = await trader.reports(3)
    assert (status["exec_type"], status["cl_ord_id"], status["order_id"]) == (
        ExecType.ORDER_STATUS, 0xA, trader.inbox.executions[0]["order_id"],
    )  # fmt: skip
    assert (status["cum_qty"], status["leaves_qty"], status["order_qty"], status["price_ticks"]) == (3, 7, 10, 100)


async def test_status_of_an_order_that_is_not_there_says_so(room):
    trader = await room.trader("ALICE").log_on()
    for own_id in (f"{0xDEAD:016X}", "not-hex"):
        trader.session.send("H", [(11, own_id), (55, symbol_of(room)), (54, "2")])
    one, other = await trader.reports(2)
    for report in (one, other):
        assert (chr(report["ord_status"]), report["reason"], int(report["order_id"])) == ("8", 5, 0), "no OrderID: NONE"
    trader.session.send("H", [(11, "A"), (55, "NOPE"), (54, "2")])
    (reject,) = await trader.message("j")
    assert reject.text(380) == "2"


async def status_of(trader, symbol, **ids):
    tags = {"own_id": 11, "order_id": 37}
    head = [(tags[name], f"{value:016X}") for name, value in ids.items()]
    before = len(trader.inbox.executions)
    trader.session.send("H", [*head, (55, symbol), (54, "1")])
    return (await trader.reports(before + 1))[-1]


async def test_status_of_an_order_that_has_ended_is_what_it_came_to(room):
    trader = await room.trader("ALICE").log_on()
    room.flow(Orders().add(MAKER, side=Side.SELL, qty=3))
    trader.send(Orders().add(0, cl_ord_id=0xA, qty=3))  # filled
    trader.send(Orders().add(0, cl_ord_id=0xB, instrument=1))
    await trader.reports(3)
    trader.send(Orders().add(0, action=OrderAction.CANCEL, cl_ord_id=0xC, orig_cl_ord_id=0xB, instrument=1))
    new, fill, _, canceled = await trader.reports(4)
    assert new["order_id"] != canceled["order_id"]
    filled = await status_of(trader, symbol_of(room), own_id=0xA)
    assert (chr(filled["ord_status"]), filled["cum_qty"], filled["leaves_qty"]) == ("2", 3, 0)
    assert filled["order_id"] == fill["order_id"] and filled["exec_id"] not in (new["exec_id"], fill["exec_id"])
    for ids in ({"own_id": 0xB}, {"order_id": int(canceled["order_id"])}):
        ended = await status_of(trader, symbol_of(room, 1), **ids)
        assert (chr(ended["ord_status"]), ended["order_id"]) == ("4", canceled["order_id"])
    elsewhere = await status_of(trader, symbol_of(room, 2), own_id=0xA)
    assert chr(elsewhere["ord_status"]) == "8", "of another instrument"


async def test_status_by_the_id_that_an_order_had_before_a_replace(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=0xA))
    await trader.reports(1)
    replace = {"action": OrderAction.REPLACE, "cl_ord_id": 0xB, "orig_cl_ord_id": 0xA, "price_ticks": 99}
    trader.send(Orders().add(0, **replace))
    await trader.reports(2)
    status = await status_of(trader, symbol_of(room), own_id=0xA)
    assert (chr(status["ord_status"]), status["price_ticks"], status["leaves_qty"]) == ("0", 99, 10)


async def test_nobody_learns_of_the_orders_of_others(room):
    alice, bob = await room.trader("ALICE").log_on(), await room.trader("BOB").log_on()
    alice.send(Orders().add(0, cl_ord_id=0xA))
    (new,) = await alice.reports(1)
    for ids in ({"own_id": 0xA}, {"order_id": int(new["order_id"])}):
        assert chr((await status_of(bob, symbol_of(room), **ids))["ord_status"]) == "8"


# ---------------------------------------------------------------- definition, user, session


async def test_definition_of_one_instrument(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("c", [(320, "R1"), (321, 0), (55, symbol_of(room))])
    trader.session.send("c", [(320, "R2"), (321, 0), (55, "NOPE")])
    await trader.inbox.until(lambda: len([m for m in trader.inbox.messages if m.msg_type == "d"]) == 2)
    known, unknown = await trader.message("d")
    assert (known.text(320), known.text(323), known.text(55), known.text(231)) == ("R1", "1", symbol_of(room), "100")
    assert (unknown.text(320), unknown.text(323)) == ("R2", "6")


@pytest.mark.parametrize(
    ("msg_type", "body"),
    [("x", [(559, 4)]), ("c", [(321, 0), (55, "X")]), ("BE", [(924, 4), (553, "ALICE")]), ("BE", [(923, "U")]),
     ("e", [(263, 1)]), ("g", [(335, "T"), (263, 3)]), ("V", [(263, 1)]), ("H", [(11, "A")])],
)  # fmt: skip
async def test_a_request_that_cannot_be_answered_under_its_name_is_refused(room, msg_type, body):
    trader = await room.trader("ALICE").log_on()
    trader.session.send(msg_type, body)
    (reject,) = await trader.message("j")
    assert reject.text(372) == msg_type and reject.text(380) in ("2", "5")


@pytest.mark.parametrize("text", ["", "a\x01b", "\u00fc", "x" * 201])
async def test_news_that_cannot_be_written_are_refused(room, text):
    trader = await room.trader("ALICE").log_on()
    for headline, lines in ((text, ()), ("fine", ("fine", text))):
        with pytest.raises(OperatorError, match="printable ASCII"):
            room.venue.operations.news(headline, lines)
    assert trader.inbox.messages == []


@pytest.mark.parametrize(("kind", "name", "status"), [("4", "ALICE", "1"), ("4", "BOB", "3"), ("3", "ALICE", "6")])
async def test_user_status(room, kind, name, status):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("BE", [(923, "U1"), (924, kind), (553, name)])
    (answer,) = await trader.message("BF")
    assert (answer.text(923), answer.text(553), answer.text(926)) == ("U1", name, status)


async def test_trading_session_is_open_and_its_end_is_told_to_who_asked(tmp_path):
    room = await VenueRoom(tmp_path).open()
    trader = await room.trader("ALICE").log_on()
    trader.session.send("g", [(335, "T1"), (263, "1")])
    (first,) = await trader.message("h")
    assert (first.text(335), first.text(340), first.text(325)) == ("T1", "2", "N")
    await room.venue.close()
    await trader.inbox.until(lambda: len([m for m in trader.inbox.messages if m.msg_type == "h"]) == 2)
    last = (await trader.message("h"))[1]
    assert (last.text(340), last.text(325)) == ("3", "Y")
    await trader.leave()


async def test_trading_session_is_halted_while_nothing_is_open(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("g", [(335, "T1"), (263, "1")])
    await trader.message("h")
    room.venue.operations.halt(symbol_of(room))
    room.venue.operations.halt()
    trader.session.send("g", [(335, "T2"), (263, "0")])
    await trader.inbox.until(lambda: len([m for m in trader.inbox.messages if m.msg_type == "h"]) == 3)
    room.venue.operations.reopen(symbol_of(room, 2))
    await trader.inbox.until(lambda: len([m for m in trader.inbox.messages if m.msg_type == "h"]) == 4)
    told = [(m.text(335), m.text(340), m.text(325)) for m in await trader.message("h")]
    assert told == [("T1", "2", "N"), ("T1", "1", "Y"), ("T2", "1", "N"), ("T1", "2", "Y")]


async def test_news_reach_everybody(room):
    traders = [await room.trader(name).log_on() for name in ("ALICE", "BOB")]
    assert room.venue.operations.news("Circuit breaker", ["level 1", "15 minutes"], urgent=True) == 2
    for trader in traders:
        (news,) = await trader.message("B")
        assert (news.text(148), news.text(61), news.text(33)) == ("Circuit breaker", "1", "2")
        assert [entry[58] for entry in news.groups(33, 58)] == [b"level 1", b"15 minutes"]


async def test_a_clients_refusal_is_not_answered_by_another(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("j", [(45, 2), (372, "8"), (380, 0), (58, "why")])
    trader.session.send("g", [(335, "T1"), (263, "0")])
    await trader.message("h")
    assert [m.msg_type for m in trader.inbox.messages] == ["h"]


# ---------------------------------------------------------------- trading status


async def statuses(trader, count):
    def found():
        return [m for m in trader.inbox.messages if m.msg_type == "f"]

    await trader.inbox.until(lambda: len(found()) >= count)
    return [(m.text(324), m.text(55), m.integer(326), m.text(325)) for m in found()]


async def test_status_once(room):
    trader = await room.trader("ALICE").log_on()
    room.venue.operations.halt(symbol_of(room, 1))
    for k, symbol in enumerate((symbol_of(room), symbol_of(room, 1), "NOPE")):
        trader.session.send("e", [(324, f"E{k}"), (55, symbol), (263, "0")])
    assert await statuses(trader, 3) == [
        ("E0", symbol_of(room), TradingStatus.OPEN, "N"), ("E1", symbol_of(room, 1), TradingStatus.HALTED, "N"),
        ("E2", "NOPE", 20, "N"),
    ]  # fmt: skip


async def test_halt_and_resume_are_told_unasked_to_who_subscribed(room):
    alice, bob = await room.trader("ALICE").log_on(), await room.trader("BOB").log_on()
    alice.session.send("e", [(324, "E1"), (55, symbol_of(room)), (263, "1")])
    bob.session.send("e", [(324, "ALL"), (55, "*"), (263, "1")])
    await statuses(alice, 1)
    assert await statuses(bob, 1) == [("ALL", "*", TradingStatus.OPEN, "N")]
    room.venue.operations.halt(symbol_of(room))
    room.venue.operations.halt(symbol_of(room, 2))
    room.venue.operations.reopen(symbol_of(room))
    assert (await statuses(alice, 3))[1:] == [
        ("E1", symbol_of(room), TradingStatus.HALTED, "Y"), ("E1", symbol_of(room), TradingStatus.OPEN, "Y"),
    ]  # fmt: skip
    assert len(await statuses(bob, 4)) == 4
    alice.session.send("e", [(324, "E1"), (55, symbol_of(room)), (263, "2")])
    alice.session.send("e", [(324, "E9"), (55, symbol_of(room, 2)), (263, "0")])
    await statuses(alice, 4)
    room.venue.operations.halt(symbol_of(room))
    await statuses(bob, 5)
    assert len(await statuses(alice, 4)) == 4


async def test_giving_up_what_is_not_listed_gives_up_nothing_else(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("e", [(324, "ALL"), (55, "*"), (263, "1")])
    trader.session.send("e", [(324, "X"), (55, "NOPE"), (263, "2")])
    assert ("X", "NOPE", 20, "N") in await statuses(trader, 2)
    room.venue.operations.halt(symbol_of(room))
    assert (await statuses(trader, 3))[2] == ("ALL", symbol_of(room), TradingStatus.HALTED, "Y")


async def test_everything_is_halted_and_reopened_at_once(room, monkeypatch):
    monkeypatch.setattr("simulator.venue.reference._TOLD_AT_ONCE", 2)  # of three books
    trader = await room.trader("ALICE").log_on()
    trader.session.send("e", [(324, "ALL"), (55, "*"), (263, "1")])
    await statuses(trader, 1)
    symbols = [symbol_of(room, book) for book in range(3)]
    room.venue.operations.halt(symbols[1])
    assert [room.venue.operations.halt(), room.venue.operations.halt()] == [2, 0]
    told = await statuses(trader, 4)
    assert [(symbol, status) for _, symbol, status, _ in told[1:]] == [
        (symbols[1], TradingStatus.HALTED), (symbols[0], TradingStatus.HALTED), (symbols[2], TradingStatus.HALTED),
    ]  # fmt: skip
    assert room.venue.operations.reopen() == 3
    assert [(s, status) for _, s, status, _ in (await statuses(trader, 7))[4:]] == [
        (symbol, TradingStatus.OPEN) for symbol in symbols
    ]


async def test_who_asks_for_everything_hears_what_is_not_open(room):
    room.venue.operations.halt(symbol_of(room, 1))
    trader = await room.trader("ALICE").log_on()
    trader.session.send("e", [(324, "ALL"), (55, "*"), (263, "0")])
    assert await statuses(trader, 2) == [
        ("ALL", symbol_of(room, 1), TradingStatus.HALTED, "N"), ("ALL", "*", TradingStatus.OPEN, "N"),
    ]  # fmt: skip


# ---------------------------------------------------------------- depth


def subscribe(trader, symbol, depth, update, kind="1", entry_types=("0", "1"), request="MD"):
    types = [(269, entry_type) for entry_type in entry_types]
    head = [(262, request), (263, kind), (264, depth), (265, update), (267, len(types)), *types]
    trader.session.send("V", [*head, (146, 1), (55, symbol)])


def deep(room, orders=None):
    """Five bids at 100, 99 .. and five offers at 110, 111 .."""
    orders = Orders() if orders is None else orders
    for k in range(5):
        orders.add(MAKER, price_ticks=100 - k, qty=k + 1)
        orders.add(MAKER, side=Side.SELL, price_ticks=110 + k, qty=k + 1)
    room.flow(orders)


def in_book(room, book, side, depth=None):
    """The venue's own levels."""
    bids, offers = room.venue.application.subscribers.feed.levels(book, depth or 0)
    return [(Decimal(t).scaleb(-2), q) for t, q in (bids if side == BID else offers).items()]


async def heard(trader, book, count=1):
    def data():
        return [m for m in trader.inbox.messages if m.msg_type in "WX"]

    await trader.inbox.until(lambda: len(data()) >= count)
    for message in data()[book.updates :]:
        book.apply(message)
    return book


class Cold:
    """A trader whose W and X come as text: what a client without our kernels would see."""

    @staticmethod
    async def log_on(room, name="ALICE"):
        trader = room.trader(name)
        trader.session.hot.decode_one = lambda raw: 0
        whole = trader.session.hot.decode

        def decode(buffer, start, end, *rest):
            batch = whole(buffer, start, start, *rest)
            return batch._replace(stop=type(batch.stop).HAND_OVER)

        trader.session.hot.decode = decode
        return await trader.log_on()


@pytest.mark.parametrize("depth", [0, 3])
async def test_a_snapshot_has_as_many_levels_as_were_asked_for(room, depth):
    deep(room)
    trader = await Cold.log_on(room)
    subscribe(trader, symbol_of(room), depth, 0, kind="0")
    book = await heard(trader, DepthBook(symbol_of(room)))
    for side in (BID, OFFER):
        assert book.levels(side) == in_book(room, 0, side, depth)
        assert len(book.levels(side)) == (depth or 5)
    room.flow(Orders().add(MAKER, price_ticks=90, cl_ord_id=5000))
    room.venue.step(1, 1)
    subscribe(trader, symbol_of(room), 0, 0, kind="0", request="MD2")
    await heard(trader, book, 2)
    assert book.updates == 2, "a snapshot is told once"


@pytest.mark.parametrize("update", [0, 1], ids=["snapshots", "increments"])
@pytest.mark.parametrize("depth", [0, 2, 3])
async def test_a_deep_subscriber_has_the_venues_book_after_every_change(room, depth, update):
    if (depth, update) == (2, 0):
        pytest.skip("two levels as snapshots go the hot way")
    deep(room)
    trader = await Cold.log_on(room)
    subscribe(trader, symbol_of(room), depth, update)
    book = await heard(trader, DepthBook(symbol_of(room)))
    changes = [
        Orders().add(MAKER, price_ticks=97, qty=9, cl_ord_id=2000),
        Orders().add(MAKER, price_ticks=101, qty=1, cl_ord_id=2001),
        Orders().add(MAKER, price_ticks=1, qty=1, cl_ord_id=2002),
        Orders().add(2, side=Side.SELL, price_ticks=99, qty=3, tif=TimeInForce.IOC, cl_ord_id=2003),
        Orders().add(2, price_ticks=112, qty=5, tif=TimeInForce.IOC, cl_ord_id=2004),
    ]
    for orders in changes:
        room.flow(orders)
        room.venue.step(1, 1)
        subscribe(trader, symbol_of(room, 1), 0, 0, kind="0", request="MARK")  # comes behind what changed
        marks = len([m for m in trader.inbox.messages if m.text(262) == "MARK"])
        await trader.inbox.until(lambda m=marks: len([x for x in trader.inbox.messages if x.text(262) == "MARK"]) > m)
        messages = [m for m in trader.inbox.messages if m.text(262) == "MD"]
        for message in messages[book.updates :]:
            assert message.msg_type == ("X" if update else "W")
            book.apply(message)
        for side in (BID, OFFER):
            assert book.levels(side) == in_book(room, 0, side, depth)
        assert not book.broken


async def test_a_halt_comes_as_a_snapshot_even_to_who_wants_increments(room):
    deep(room)
    trader = await Cold.log_on(room)
    subscribe(trader, symbol_of(room), 0, 1)
    book = await heard(trader, DepthBook(symbol_of(room)))
    assert not book.halted
    room.venue.operations.halt(symbol_of(room))
    await heard(trader, book, 2)
    assert book.halted and trader.inbox.messages[-1].msg_type == "W"


async def test_trades_are_told_to_who_asked_for_them(room):
    deep(room)
    trader = await Cold.log_on(room)
    subscribe(trader, symbol_of(room), 0, 1, entry_types=("0", "1", "2"))
    book = await heard(trader, DepthBook(symbol_of(room)))
    room.flow(Orders().add(2, price_ticks=111, qty=2, tif=TimeInForce.IOC, cl_ord_id=3000))
    room.venue.step(1, 1)
    await heard(trader, book, 3)
    assert [(t.price, t.qty) for t in book.trades.values()] == [(Decimal("1.10"), 1), (Decimal("1.11"), 1)]
    assert book.levels(OFFER) == in_book(room, 0, OFFER)


def tape(trader):
    """Action, id, price and size of every trade entry that was heard."""
    messages = [m for m in trader.inbox.messages if m.msg_type == "X"]
    entries = [entry for message in messages for entry in message.groups(268, 279) if entry[269] == b"2"]
    return [(e[279].decode(), e[278].decode(), Decimal(e[270].decode()), int(e[271])) for e in entries]


async def test_the_tape_alone_tells_trades_and_what_becomes_of_them(room):
    deep(room)
    trader = await room.trader("ALICE").log_on()
    subscribe(trader, symbol_of(room), 1, 1, entry_types=("2",))
    subscribe(trader, symbol_of(room, 1), 1, 1, request="OTHER")  # its answer comes behind
    await trader.inbox.until(lambda: trader.inbox.quotes)
    room.flow(Orders().add(2, price_ticks=110, qty=1, tif=TimeInForce.IOC, cl_ord_id=3000))
    room.venue.step(1, 1)
    await trader.inbox.until(lambda: tape(trader))
    [fill] = [row for row in read_log(room.venue.log.path).executions if row["session"] == 2]
    room.venue.operations.correct(int(fill["exec_id"]), qty=4, ticks=109)
    room.venue.step(1, 1)
    room.venue.operations.bust(int(fill["exec_id"]))
    room.venue.step(1, 1)
    await trader.inbox.until(lambda: len(tape(trader)) == 3)
    match = f"{int(fill['jseq']):016X}"
    assert tape(trader) == [
        ("0", match, Decimal("1.10"), 1), ("1", match, Decimal("1.09"), 4), ("2", match, Decimal("1.09"), 4),
    ]  # fmt: skip
    assert {m.msg_type for m in trader.inbox.messages} == {"X"}, "no book was asked for"
    book, seen = DepthBook(symbol_of(room)), []
    for message in trader.inbox.messages:
        book.apply(message)
        seen.append([(trade.price, trade.qty) for trade in book.trades.values()])
    assert seen == [[(Decimal("1.10"), 1)], [(Decimal("1.09"), 4)], []]


@pytest.mark.parametrize(("kind", "other"), [(BID, OFFER), (OFFER, BID)])
async def test_one_side_alone_is_told_alone(room, kind, other):
    deep(room)
    trader = await Cold.log_on(room)
    subscribe(trader, symbol_of(room), 0, 1, entry_types=(kind,))
    book = await heard(trader, DepthBook(symbol_of(room)))
    room.flow(Orders().add(MAKER, price_ticks=98, cl_ord_id=9998))
    room.flow(Orders().add(MAKER, side=Side.SELL, price_ticks=111, cl_ord_id=9999))
    room.venue.step(1, 1)
    await heard(trader, book, 2)
    assert (book.levels(kind), book.levels(other)) == (in_book(room, 0, kind), [])


async def test_top_of_the_book_has_one_level_and_two_are_two(room):
    deep(room)
    trader = await room.trader("ALICE").log_on()
    subscribe(trader, symbol_of(room), 1, 0)
    await trader.inbox.until(lambda: trader.inbox.quotes)
    assert (trader.inbox.quotes[0]["bid_qty"], trader.inbox.quotes[0]["bid2_qty"]) == (1, 0)
    subscribe(trader, symbol_of(room), 2, 0)
    await trader.inbox.until(lambda: len(trader.inbox.quotes) == 2)
    assert (trader.inbox.quotes[1]["bid2_ticks"], trader.inbox.quotes[1]["bid2_qty"]) == (99, 2)


async def test_unsubscribing_ends_it(room):
    deep(room)
    trader = await Cold.log_on(room)
    subscribe(trader, symbol_of(room), 0, 1)
    await heard(trader, DepthBook(symbol_of(room)))
    subscribe(trader, symbol_of(room), 0, 1, kind="2")
    subscribe(trader, symbol_of(room, 1), 0, 0, kind="0", request="MARK")
    await trader.inbox.until(lambda: len(trader.inbox.messages) == 2)
    deep(room, Orders().add(MAKER, price_ticks=99, cl_ord_id=9999))
    room.venue.step(1, 1)
    assert room.venue.clients[0].depth.wanted == {}


async def test_a_depth_that_is_none_is_refused(room):
    trader = await room.trader("ALICE").log_on()
    subscribe(trader, symbol_of(room), -1, 0)
    (refused,) = await trader.message("Y")
    assert refused.text(281) == "5"


@pytest.mark.parametrize(("types", "kind"), [((), "1"), (("0", "7"), "1"), (("2",), "0")])
async def test_entry_types_that_are_not_kept_are_refused(room, types, kind):
    trader = await room.trader("ALICE").log_on()
    subscribe(trader, symbol_of(room), 1, 0, kind=kind, entry_types=types)
    (refused,) = await trader.message("Y")
    assert (refused.text(262), refused.text(281)) == ("MD", "8")
