"""What a venue publishes: changed tops, trades, repetitions, subscriptions, security list, market time."""

import os

import numpy as np
import pytest

from market import records
from market.enums import FrameKind, Side, TimeInForce, TradingStatus
from market.rings import BroadcastRing, ring_read
from simulator.matching import set_status
from simulator.venue.core import FrameBuffer
from simulator.venue.marketclock import RESUME_WITHIN_NS, ClockFile, ClockLine, MarketClock
from simulator.venue.publisher import REFRESH_PERIOD_NS, MarketDataPublisher, Subscription
from simulator.venue.securities import PAGE_ENTRIES, RequestResult, RequestType, SecurityList
from tests.simulator.venue_orders import ALICE, MAKER, Orders, options_of, small_core, small_market

SECOND = 1_000_000_000


class Market:
    """A core, its publisher and a reader of the ring."""

    def __init__(self, tmp_path):
        self.core = small_core()
        self.tops = FrameBuffer(records.QUOTE, 4)
        _, numbers = options_of(small_market())
        ring = BroadcastRing.create(tmp_path / "OPT.ring", 256)
        self.publisher = MarketDataPublisher(ring, self.core.arena, numbers, self.tops.rows, self.tops.words, source=5)
        self.reader = BroadcastRing.attach(tmp_path / "OPT.ring")
        self.cursor = 0
        self.subscription = Subscription(3)

    def trade(self, orders, market_ns=100, wall_ns=200):
        _, reports, *_ = self.core.apply(orders.buffer.rows, 0, orders.count, market_ns, wall_ns)
        batch = self.core.settle(reports, 1)
        return self.publisher.publish(market_ns, wall_ns, self.core.prints, batch.prints, (self.subscription,))

    def read(self):
        frames = []
        while True:
            out = records.frames(1)
            if ring_read(self.reader.words, self.cursor, out.view(np.int64), 0) != 1:
                return frames
            self.cursor += 1
            kind = int(out.reshape(-1).view(records.HEADER)["kind"][0])
            frames.append(out.reshape(-1).view(records.QUOTE if kind == FrameKind.QUOTE else records.TRADE)[0])


@pytest.fixture
def market(tmp_path):
    return Market(tmp_path)


def test_only_books_whose_top_changed_are_published_in_market_time(market):
    market.trade(Orders().add(MAKER, instrument=1, qty=7).add(MAKER, instrument=1, price_ticks=99))
    (quote,) = market.read()
    assert (quote["kind"], quote["instrument"], quote["source"], quote["ts_ns"]) == (FrameKind.QUOTE, 1, 5, 100)
    assert (quote["bid_ticks"], quote["bid_qty"], quote["bid2_ticks"], quote["bid2_qty"]) == (100, 7, 99, 10)
    assert (quote["ask_qty"], quote["status"]) == (0, TradingStatus.OPEN)
    market.trade(Orders().add(MAKER, instrument=1, price_ticks=90))  # third level: nothing to say
    assert market.read() == []


def test_whole_markets_tops_are_by_the_markets_number(market):
    market.trade(Orders().add(MAKER, instrument=1, qty=7))
    assert (market.tops.rows[2]["bid_qty"], market.tops.rows[2]["instrument"]) == (7, 2)
    assert market.tops.rows[1]["bid_qty"] == 0


def test_trades_precede_the_quotes_that_they_changed(market):
    market.trade(Orders().add(MAKER, side=Side.SELL))
    market.read()
    market.trade(Orders().add(ALICE, qty=4, tif=TimeInForce.IOC))
    trade, quote = market.read()
    assert (trade["kind"], trade["qty"], trade["src_seq"]) == (FrameKind.TRADE, 4, 1)
    assert (quote["ask_qty"], quote["last_ticks"]) == (6, 100)


def test_src_seq_of_a_book_has_no_gaps(market):
    for k in range(5):
        market.trade(Orders().add(MAKER, price_ticks=100 + k, cl_ord_id=k + 1))
    assert [int(q["src_seq"]) for q in market.read()] == [1, 2, 3, 4, 5]


def test_quiet_books_are_repeated_once_a_period_with_fresh_time(market):
    market.trade(Orders().add(MAKER, qty=7))
    market.read()
    market.publisher.refresh(1000, 10 * SECOND)
    assert sorted(int(q["instrument"]) for q in market.read()) == [0, 1, 2]
    market.publisher.refresh(2000, 10 * SECOND + 1)
    assert market.read() == []
    seen = []
    for k in range(1, 21):
        market.publisher.refresh(2000 + k, 10 * SECOND + k * REFRESH_PERIOD_NS // 20)
        seen += [(int(q["instrument"]), int(q["ts_ns"]) > 2000) for q in market.read()]
    assert 2 <= len(seen) <= 4
    assert all(fresh for _, fresh in seen)


def test_halt_is_published_although_no_price_changed(market):
    set_status(market.core.arena, 2, int(TradingStatus.HALTED))
    market.publisher.publish(1, 2)
    (quote,) = market.read()
    assert (quote["instrument"], quote["status"]) == (2, TradingStatus.HALTED)


def test_subscriber_hears_the_latest_once_however_often_it_changed(market):
    market.subscription.wanted[:] = [1, 0, 1]
    for k in range(5):
        orders = Orders().add(MAKER, price_ticks=100 + k, cl_ord_id=k + 1)
        market.trade(orders.add(MAKER, instrument=1, cl_ord_id=k + 9))
    out = FrameBuffer(records.QUOTE, 8)
    assert market.publisher.drain(market.subscription, market.publisher.quotes, out) == 1
    assert (out.rows[0]["instrument"], out.rows[0]["bid_ticks"]) == (0, 104)
    assert market.publisher.drain(market.subscription, market.publisher.quotes, out) == 0


def test_drain_that_does_not_fit_goes_on_where_it_stopped(market):
    market.subscription.pending[:] = 1
    market.subscription.pending_count = 3
    out = FrameBuffer(records.QUOTE, 2)
    counts = [market.publisher.drain(market.subscription, market.publisher.quotes, out) for _ in range(3)]
    assert counts == [2, 1, 0]


# ---------------------------------------------------------------- security list


def listing(count):
    instruments, _ = options_of(small_market())
    many = np.repeat(instruments[:1], count)
    many["symbol"] = [f"AXM151224C{k:08d}".encode() for k in range(1, count + 1)]
    return SecurityList(many, ["AXM"] * count)


@pytest.mark.parametrize("count", [1, PAGE_ENTRIES, PAGE_ENTRIES + 1])
def test_pages_hold_every_instrument_once_and_the_last_one_says_so(count):
    pages = list(listing(count).answer("Q", "R", RequestType.ALL, ""))
    symbols = [value for page in pages for tag, value in page if tag == 55]
    assert len(symbols) == len(set(symbols)) == count
    assert [dict(page)[893] for page in pages] == ["N"] * (len(pages) - 1) + ["Y"]
    assert sum(int(dict(page)[146]) for page in pages) == count
    assert {dict(page)[393] for page in pages} == {count}


def test_one_symbol_is_described_with_right_strike_expiry_and_style():
    instruments, _ = options_of(small_market())
    (page,) = SecurityList(instruments, ["AXM"] * 3).answer("Q", "R", RequestType.SYMBOL, "AXM151224C00100000")
    fields = dict(page)
    assert (fields[55], fields[461], fields[202]) == (b"AXM151224C00100000", "OCEXXS", "100")
    assert (fields[541], fields[231], fields[311], fields[5001]) == ("20151224", 100, "AXM", 1)


@pytest.mark.parametrize(
    ("kind", "symbol", "result"),
    [
        (RequestType.SYMBOL, "NOPE", RequestResult.NOT_FOUND),
        (3, "", RequestResult.INVALID),
        (None, "", RequestResult.INVALID),
    ],
)
def test_what_is_not_listed_or_not_supported_is_said(kind, symbol, result):
    (page,) = listing(3).answer("Q", "R", kind, symbol)
    assert dict(page)[560] == result


# ---------------------------------------------------------------- market time


def opened(file, now_ns, **changes):
    wanted = {"start_ns": 1000 * SECOND, "end_ns": 10**18, "speed": 60.0, "market": "m", "now_ns": now_ns, **changes}
    return file.open_line(**wanted)


def aged(path, now_ns, age_ns):
    os.utime(path, ns=(now_ns - age_ns, now_ns - age_ns))


def test_restart_continues_the_line_as_if_nobody_had_been_away(tmp_path):
    file = ClockFile(tmp_path / "clock.json")
    first = opened(file, 50 * SECOND)
    aged(file.path, 60 * SECOND, SECOND)
    again = opened(file, 60 * SECOND)
    assert again == first
    assert again.at(60 * SECOND) == (1000 + 10 * 60) * SECOND


@pytest.mark.parametrize(
    "changes",
    [{"speed": 1.0}, {"market": "other"}, {"end_ns": 1000 * SECOND + 1}],
    ids=["other speed", "other market", "day is over"],
)
def test_line_of_something_else_is_not_continued(tmp_path, changes):
    file = ClockFile(tmp_path / "clock.json")
    opened(file, 50 * SECOND)
    aged(file.path, 60 * SECOND, SECOND)
    assert opened(file, 60 * SECOND, **changes).origin_ns == 60 * SECOND


@pytest.mark.parametrize(("age_ns", "continued"), [(RESUME_WITHIN_NS - 1, True), (RESUME_WITHIN_NS, False)])
def test_after_a_long_absence_the_market_begins_anew(tmp_path, age_ns, continued):
    file = ClockFile(tmp_path / "clock.json")
    opened(file, 50 * SECOND)
    now_ns = 200 * SECOND
    aged(file.path, now_ns, age_ns)
    assert (opened(file, now_ns).origin_ns == 50 * SECOND) == continued


def test_clean_end_forgets_the_line(tmp_path):
    file = ClockFile(tmp_path / "clock.json")
    opened(file, 50 * SECOND)
    file.forget()
    assert opened(file, 51 * SECOND).origin_ns == 51 * SECOND


def test_market_time_never_goes_back():
    clock = MarketClock(ClockLine(start_ns=2**62, origin_ns=2**62, speed=1.0, market="m"))
    assert clock.now_ns() == 2**62
