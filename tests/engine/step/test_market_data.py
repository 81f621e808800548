"""Books, theo and what their silence does: stale is a state, and quotes do not stand on it."""

import numpy as np
import pytest

from engine.state import W_MARKET_NS, W_ORPHANS, W_PRESENCE_ALLOWED, W_PRESENCE_TWO_SIDED
from market.enums import OrderAction, Side, TradingStatus
from risk.denials import Denial
from risk.limits import Limit
from tests.engine.step.rig import CALL, EQ, LOT, MS, OPT, PUT, START_NS, UNDER, Rig, S


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    for order in rig.open().orders:
        rig.ack(order)
    return rig


def _cancelled(out) -> set[int]:
    return {int(o["instrument"]) for o in out.of(OrderAction.CANCEL)}


@pytest.mark.parametrize(("limit", "silent"), [(Limit.MAX_OPTION_FEED_AGE_MS, OPT), (Limit.MAX_UNDERLYING_AGE_MS, EQ)])
def test_quotes_are_pulled_when_a_feed_is_silent_for_longer_than_its_limit(rig, limit, silent):
    rig.engine.risk.limits[limit] = 1_000
    rig.wait(S)
    rig.alive(EQ if silent == OPT else OPT)
    assert not rig.timer(0).orders, "at the limit it is fresh"
    assert _cancelled(rig.timer(100 * MS)) == {CALL, PUT}


def test_heartbeats_keep_a_quiet_feed_fresh(rig):
    for _ in range(40):
        rig.alive()
        assert not rig.timer(100 * MS).orders


def test_quotes_are_pulled_when_theo_is_old(rig):
    rig.engine.risk.limits[Limit.MAX_THEO_AGE_MS] = 1_000
    rig.wait(S + 1)
    rig.alive()
    assert _cancelled(rig.timer(0)) == {CALL, PUT}


def test_quotes_come_back_with_the_feed_even_at_unchanged_prices(rig):
    rig.wait(3 * S)
    rig.alive(EQ)
    for cancel in rig.timer(0).of(OrderAction.CANCEL):
        out = rig.canceled(cancel)
        assert not out.of(OrderAction.NEW) and Denial.STALE_FEED in out.codes()
    rig.alive()
    out = rig.timer(100 * MS)
    sent = out.of(OrderAction.NEW) + rig.timer(10 * MS).of(OrderAction.NEW)
    assert len(sent) == 4


def test_a_voided_source_pulls_what_stood_on_it_and_its_next_books_bring_it_back(rig):
    rig.void(OPT)
    assert _cancelled(rig.timer(100 * MS)) == {CALL, PUT}
    rig.void(EQ)
    assert rig.engine.underlyings[0]["spot"] == 0.0


def test_a_restarted_publisher_that_counts_and_dates_from_the_beginning_is_heard(rig):
    rig.void(OPT)
    rig.quote(CALL, 470, 530, src_seq=1, ts_ns=START_NS - 3600 * S)
    assert rig.engine.books[CALL]["bid_ticks"] == 470


def test_a_repeated_older_book_does_not_overwrite_a_newer_one(rig):
    rig.quote(CALL, 470, 530, src_seq=1, ts_ns=START_NS - 1)
    assert rig.engine.books[CALL]["bid_ticks"] == 480


def test_a_halt_by_the_venue_pulls_the_series_at_the_same_prices(rig):
    assert _cancelled(rig.quote(CALL, 480, 520, status=TradingStatus.HALTED)) == {CALL}


def test_theo_that_cannot_be_computed_pulls_its_series(rig):
    rig.theo(CALL, status=1)
    assert _cancelled(rig.commit()) == {CALL}


def test_the_underlyings_move_requotes_the_chain_from_a_hundred_thousandth_on(rig):
    before = rig.engine.underlyings[0]["spot_quoted"]
    rig.wait(S)
    rig.quote(UNDER, 9999, 10001, 900)
    assert rig.engine.underlyings[0]["spot_quoted"] == before
    out = rig.quote(UNDER, 10049, 10051, 900)
    assert rig.engine.underlyings[0]["spot_quoted"] == 100.5
    assert {int(o["instrument"]) for o in out.of(OrderAction.REPLACE)} == {CALL, PUT}


def test_theo_moves_with_spot_by_delta_and_gamma(rig):
    bid, ask = rig.order(CALL, Side.BUY), rig.order(CALL, Side.SELL)
    distance = int(ask["price_ticks"]) - int(bid["price_ticks"])
    rig.quote(UNDER, 10009, 10011)
    moved = 500 + 100 * (0.5 * 0.1 + 0.5 * 0.02 * 0.1**2)
    assert bid["pending_ticks"] < moved < ask["pending_ticks"]
    assert bid["pending_ticks"] > bid["price_ticks"]
    assert abs(ask["pending_ticks"] - bid["pending_ticks"] - distance) <= 1, "rounded outward, each by itself"


# -- the market without ourselves ------------------------------------------------------------------


def _book(rig, **levels):
    rig.wait(MS)
    rig.quote(CALL, levels["bid"], levels["ask"], **{k: v for k, v in levels.items() if k not in ("bid", "ask")})
    row = rig.engine.books[CALL]
    return int(row["market_bid"]), int(row["market_ask"])


def test_our_own_order_alone_on_a_level_is_taken_out(rig):
    ours = int(rig.order(CALL, Side.BUY)["price_ticks"])
    assert _book(rig, bid=ours, ask=520, bid_qty=LOT, bid2_ticks=480, bid2_qty=50) == (480, 520)


def test_others_beside_us_keep_the_level(rig):
    ours = int(rig.order(CALL, Side.BUY)["price_ticks"])
    assert _book(rig, bid=ours, ask=520, bid_qty=LOT + 1, bid2_ticks=480, bid2_qty=50) == (ours, 520)


def test_what_has_traded_of_ours_is_not_in_the_book_any_more(rig):
    ours = rig.order(CALL, Side.BUY).copy()
    fields = {"cl_ord_id": ours["cl_ord_id"], "instrument": CALL, "side": Side.BUY}
    rig.execution(
        **fields, exec_type=ord("F"), ord_status=ord("1"), last_qty=2, cum_qty=2, leaves_qty=3,
        last_ticks=ours["price_ticks"],
    )  # fmt: skip
    assert _book(rig, bid=int(ours["price_ticks"]), ask=520, bid_qty=4) == (int(ours["price_ticks"]), 520)
    assert _book(rig, bid=int(ours["price_ticks"]), ask=520, bid_qty=3) == (0, 520)


def test_nobody_but_us_is_no_market(rig):
    bid, ask = (int(rig.order(CALL, side)["price_ticks"]) for side in (Side.BUY, Side.SELL))
    assert _book(rig, bid=bid, ask=ask, bid_qty=LOT, ask_qty=LOT) == (0, 0)


def test_an_order_not_yet_acknowledged_is_not_in_the_book():
    rig = Rig()
    rig.open()
    ours = int(rig.order(CALL, Side.BUY)["price_ticks"])
    assert _book(rig, bid=ours, ask=520, bid_qty=LOT) == (ours, 520)


# -- frames about nothing --------------------------------------------------------------------------


def test_quotes_and_theos_of_unknown_instruments_are_counted_and_dropped(rig):
    books, series = rig.engine.books.copy(), rig.engine.series.copy()
    rig.quote(6, 100, 110)
    rig.quote(0xFFFFFFFF, 100, 110)
    rig.quote(CALL, 100, 110, source=400)
    rig.theo(6)
    assert rig.engine.words[W_ORPHANS] == 4
    assert np.array_equal(books, rig.engine.books) and np.array_equal(series, rig.engine.series)


# -- presence --------------------------------------------------------------------------------------


def _presence(rig) -> tuple[int, int]:
    return int(rig.engine.words[W_PRESENCE_TWO_SIDED]), int(rig.engine.words[W_PRESENCE_ALLOWED])


def test_presence_counts_series_ten_times_a_second(rig):
    before = _presence(rig)
    for _ in range(30):
        rig.alive()
        rig.timer(10 * MS)
    assert (_presence(rig)[0] - before[0], _presence(rig)[1] - before[1]) == (6, 6)


def test_a_missing_side_is_allowed_but_not_present(rig):
    rig.freeze()
    bid = rig.order(CALL, Side.BUY)
    rig.execution(cl_ord_id=bid["cl_ord_id"], instrument=CALL, side=Side.BUY, exec_type=ord("4"), ord_status=ord("4"))
    two, allowed = _presence(rig)
    rig.timer(100 * MS)
    assert _presence(rig) == (two + 1, allowed + 2)


def test_a_series_that_risk_forbids_is_not_counted(rig):
    rig.halt(CALL)
    two, allowed = _presence(rig)
    rig.timer(100 * MS)
    assert _presence(rig) == (two + 1, allowed + 1)


def test_presence_and_market_time_belong_to_one_run(rig):
    rig.timer(100 * MS)
    rig.run_start(run=2)
    assert _presence(rig) == (0, 0) and rig.engine.words[W_MARKET_NS] == 0
