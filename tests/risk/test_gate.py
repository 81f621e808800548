"""Every rule through the whole gate, at its limit - 1, at it, and + 1."""

import math

import pytest

from market.enums import RiskState as TradingState
from market.enums import ScopeKind, Side, TradingStatus
from market.instruments import TickRule
from risk.denials import Denial
from risk.exposure import on_open, set_position
from risk.gate import check_cancel, reducible_qty
from risk.limits import Limit
from risk.state import set_state
from tests.risk.world import CALL, EXPIRY_NS, NOW_NS, PUT, UNDERLYING

BUY, SELL = Side.BUY, Side.SELL
MS = 1_000_000
S = 1_000_000_000


def test_plain_order_passes_and_uses_one_message(world):
    assert world.ask() == Denial.NONE
    assert world.risk.firm[0]["accepted"] == world.risk.sessions[0]["messages"] == 1


def test_denied_order_counts_and_uses_no_message(world):
    assert world.ask(qty=0) == Denial.ORDER_BAD_QTY
    assert world.risk.firm[0]["denied"] == world.risk.sessions[0]["denied"] == 1
    assert world.risk.firm[0]["denial"] == Denial.ORDER_BAD_QTY
    assert world.risk.sessions[0]["messages"] == 0


@pytest.mark.parametrize(
    ("instrument", "limit"), [(CALL, Limit.MAX_ORDER_QTY), (UNDERLYING, Limit.MAX_HEDGE_ORDER_QTY)]
)
@pytest.mark.parametrize(("qty", "denial"), [(9, 0), (10, 0), (11, Denial.SIZE_QTY)])
def test_order_qty(world, instrument, limit, qty, denial):
    world.limit(limit, 10)
    assert world.ask(instrument, qty=qty) == denial
    if denial:
        assert world.verdict() == (11, 10)


@pytest.mark.parametrize(("qty", "denial"), [(1, 0), (2, 0), (3, Denial.SIZE_NOTIONAL)])
def test_order_notional(world, qty, denial):
    world.limit(Limit.MAX_ORDER_NOTIONAL, 1_000.0)  # 2 contracts x 5.00 x 100
    world.limit(Limit.MAX_HEDGE_ORDER_NOTIONAL, 200.0)  # 2 shares x 100.00
    assert world.ask(CALL, qty=qty) == denial
    assert world.ask(UNDERLYING, qty=qty) == denial


@pytest.mark.parametrize(("qty", "denial"), [(-1, Denial.ORDER_BAD_QTY), (0, Denial.ORDER_BAD_QTY), (1, 0)])
def test_qty_valid(world, qty, denial):
    assert world.ask(qty=qty) == denial


@pytest.mark.parametrize(("price", "denial"), [(-1, Denial.ORDER_BAD_PRICE), (1, 0)])
def test_price_valid(world, price, denial):
    assert world.ask(price=price) == denial


@pytest.mark.parametrize("side", [0, 48, 51])
def test_side_valid(world, side):
    assert world.ask(side=side) == Denial.ORDER_BAD_SIDE


@pytest.mark.parametrize(("price", "denial"), [(495, 0), (496, Denial.ORDER_OFF_TICK), (490, 0)])
def test_price_on_tick(world, price, denial):
    world.risk.instruments[CALL]["tick_rule"] = int(TickRule.PENNY_NICKEL)
    assert world.ask(price=price) == denial
    if denial:
        assert world.verdict() == (496, 5)


@pytest.mark.parametrize("status", [TradingStatus.UNKNOWN, TradingStatus.HALTED, TradingStatus.CLOSED, 99])
def test_instrument_open(world, status):
    assert world.ask(status=int(status)) == Denial.INSTRUMENT_NOT_OPEN


@pytest.mark.parametrize(
    ("ahead_ns", "denial"), [(-1, 0), (0, Denial.INSTRUMENT_EXPIRED), (1, Denial.INSTRUMENT_EXPIRED)]
)
def test_expiry(world, ahead_ns, denial):
    assert world.ask(market_ns=EXPIRY_NS + ahead_ns) == denial
    assert world.ask(UNDERLYING, market_ns=EXPIRY_NS + ahead_ns) == 0


@pytest.mark.parametrize("instrument", [-1, 3, 4, 1 << 40])
def test_unknown_instrument(world, instrument):
    assert world.ask(instrument) == Denial.INSTRUMENT_UNKNOWN


@pytest.mark.parametrize("session", [-1, 2])
def test_unknown_session(world, session):
    assert world.ask(session=session) == Denial.SESSION_NOT_READY


@pytest.mark.parametrize(
    ("limit", "word", "denial"),
    [
        (Limit.MAX_OPTION_FEED_AGE_MS, "feed_ns", Denial.STALE_FEED),
        (Limit.MAX_UNDERLYING_AGE_MS, "underlying_ns", Denial.STALE_UNDERLYING),
        (Limit.MAX_THEO_AGE_MS, "theo_ns", Denial.STALE_THEO),
    ],
)
def test_each_source_goes_stale_by_itself(world, limit, word, denial):
    world.limit(limit, 50)
    for age_ms, expected in ((49, 0), (50, 0), (51, denial), (-50, 0), (-51, denial)):
        assert world.ask(**{word: NOW_NS - age_ms * MS}) == expected
    assert world.ask(**{word: 0}) == denial  # never heard


def test_underlying_itself_needs_no_theo_and_no_option_feed(world):
    assert world.ask(UNDERLYING, theo_ok=0, theo_ns=0, feed_ns=0) == 0
    assert world.ask(UNDERLYING, underlying_ns=0) == Denial.STALE_UNDERLYING


@pytest.mark.parametrize(
    ("theo", "theo_ok"), [(5.0, 0), (math.nan, 1), (-0.01, 1), (math.inf, 1)]
)  # fmt: skip
def test_theo_known(world, theo, theo_ok):
    assert world.ask(theo=theo, theo_ok=theo_ok) == Denial.THEO_UNKNOWN


def test_market_empty_and_crossed(world):
    assert world.ask(bid_ticks=0, ask_ticks=0) == Denial.MARKET_EMPTY
    assert world.ask(bid_ticks=500, ask_ticks=499) == Denial.MARKET_CROSSED
    assert world.ask(bid_ticks=500, ask_ticks=500) == 0


@pytest.mark.parametrize(
    ("side", "price", "denial"),
    [(BUY, 519, 0), (BUY, 520, 0), (BUY, 521, Denial.COLLAR_THEO),
     (SELL, 481, 0), (SELL, 480, 0), (SELL, 479, Denial.COLLAR_THEO)],
)  # fmt: skip
def test_theo_collar_takes_the_wider_of_its_two(world, side, price, denial):
    for bp, ticks in ((400, 1), (1, 20)):  # 4 % of 5.00, or 20 units: 0.20 either way
        world.limit(Limit.MAX_COLLAR_THEO_BP, bp)
        world.limit(Limit.MAX_COLLAR_THEO_TICKS, ticks)
        assert world.ask(side=side, price=price) == denial


@pytest.mark.parametrize(
    ("side", "price", "denial"),
    [(BUY, 514, 0), (BUY, 515, 0), (BUY, 516, Denial.COLLAR_MARKET),
     (SELL, 486, 0), (SELL, 485, 0), (SELL, 484, Denial.COLLAR_MARKET)],
)  # fmt: skip
def test_market_collar(world, side, price, denial):
    world.limit(Limit.MAX_COLLAR_MARKET_TICKS, 5)  # past 490 / 510
    assert world.ask(side=side, price=price) == denial


@pytest.mark.parametrize(("side", "price", "denial"), [(BUY, 506, Denial.COLLAR_MARKET), (BUY, 505, 0)])
def test_market_collar_uses_the_other_side_when_one_is_empty(world, side, price, denial):
    world.limit(Limit.MAX_COLLAR_MARKET_TICKS, 5)
    assert world.ask(side=side, price=price, bid_ticks=500, ask_ticks=0) == denial


@pytest.mark.parametrize(
    ("side", "price", "denial"),
    [(BUY, 499, 0), (BUY, 500, Denial.CROSS_OWN), (BUY, 501, Denial.CROSS_OWN),
     (SELL, 501, 0), (SELL, 500, Denial.CROSS_OWN), (SELL, 499, Denial.CROSS_OWN)],
)  # fmt: skip
def test_own_order_on_the_other_side_is_not_met(world, side, price, denial):
    assert world.ask(side=side, price=price, own_opposite_ticks=500) == denial


@pytest.mark.parametrize(
    ("instrument", "limit", "denial"),
    [
        (CALL, Limit.MAX_SERIES_POSITION, Denial.POSITION_SERIES),
        (UNDERLYING, Limit.MAX_HEDGE_POSITION, Denial.POSITION_HEDGE),
    ],
)
@pytest.mark.parametrize("side", [BUY, SELL])
def test_position_counts_position_and_working_orders(world, instrument, limit, denial, side):
    world.limit(limit, 10)
    world.fill(instrument, side, 4)
    world.work(instrument, side, 3)
    assert [world.ask(instrument, side, qty=q) for q in (2, 3, 4)] == [0, 0, denial]
    assert world.verdict() == (11, 10)


def test_orders_of_the_other_side_do_not_make_room(world):
    world.limit(Limit.MAX_SERIES_POSITION, 10)
    world.fill(CALL, BUY, 10)
    world.work(CALL, SELL, 10)
    assert world.ask(CALL, BUY) == Denial.POSITION_SERIES


def test_underlying_position_is_gross_over_series(world):
    world.limit(Limit.MAX_UNDERLYING_POSITION, 10)
    world.fill(CALL, BUY, 4)
    world.work(PUT, SELL, 4)  # nets with the call in delta, not in contracts
    assert [world.ask(PUT, SELL, qty=q) for q in (1, 2, 3)] == [0, 0, Denial.POSITION_UNDERLYING]
    assert world.ask(PUT, BUY, qty=6) == 0  # the worst of long 6 and short 4 counts once
    assert world.ask(PUT, BUY, qty=7) == Denial.POSITION_UNDERLYING
    assert world.ask(UNDERLYING, BUY, qty=100) == 0  # shares are no contracts


def test_reducing_order_passes_a_limit_set_below_the_position(world):
    world.fill(CALL, BUY, 8)
    for limit in (
        Limit.MAX_UNDERLYING_POSITION,
        Limit.MAX_SERIES_POSITION,
        Limit.MAX_HELD_DELTA,
        Limit.MAX_PORTFOLIO_DELTA,
    ):
        world.limit(limit, 0)
    assert world.ask(CALL, SELL, qty=8) == 0
    assert world.ask(CALL, SELL, qty=9) == Denial.POSITION_SERIES
    assert world.ask(CALL, BUY) == Denial.POSITION_SERIES


@pytest.mark.parametrize(
    ("instrument", "side", "room"),
    [(CALL, BUY, 2), (PUT, SELL, 4), (UNDERLYING, BUY, 100), (CALL, SELL, 6), (PUT, BUY, 12), (UNDERLYING, SELL, 300)],
)
def test_portfolio_delta_is_the_worst_of_all_working_orders(world, instrument, side, room):
    world.limit(Limit.MAX_PORTFOLIO_DELTA, 300)
    world.fill(UNDERLYING, BUY, 50)
    world.work(CALL, BUY, 2)  # up 100
    world.work(PUT, SELL, 2)  # up 50
    world.work(CALL, SELL, 1)  # down 50
    answers = [world.ask(instrument, side, qty=room + step) for step in (-1, 0, 1)]
    assert answers == [0, 0, Denial.DELTA_PORTFOLIO]


@pytest.mark.parametrize(
    ("instrument", "side", "room"),
    [(CALL, BUY, 2), (PUT, SELL, 4), (UNDERLYING, BUY, 100), (CALL, SELL, 10), (PUT, BUY, 20), (UNDERLYING, SELL, 500)],
)
def test_held_delta_bounds_what_is_held_after_this_order(world, instrument, side, room):
    world.limit(Limit.MAX_HELD_DELTA, 300)
    world.fill(UNDERLYING, BUY, 200)
    world.work(CALL, BUY, 100)
    answers = [world.ask(instrument, side, qty=room + step) for step in (-1, 0, 1)]
    assert answers == [0, 0, Denial.DELTA_HELD]


def test_held_delta_above_its_limit_lets_only_orders_back(world):
    world.limit(Limit.MAX_HELD_DELTA, 100)
    world.fill(UNDERLYING, BUY, 400)
    assert world.ask(UNDERLYING, BUY) == Denial.DELTA_HELD
    assert world.ask(UNDERLYING, SELL, qty=800) == 0
    assert world.ask(UNDERLYING, SELL, qty=801) == Denial.DELTA_HELD


@pytest.mark.parametrize(
    ("instrument", "side", "room"), [(CALL, BUY, 3), (PUT, BUY, 6), (CALL, SELL, 5), (PUT, SELL, 10)]
)
def test_portfolio_vega_is_the_worst_of_all_working_orders(world, instrument, side, room):
    world.limit(Limit.MAX_PORTFOLIO_VEGA, 8_000)
    world.fill(CALL, BUY, 1)  # 1,600 held
    world.work(PUT, BUY, 2)  # up 1,600
    world.work(CALL, SELL, 1)  # down 1,600
    assert [world.ask(instrument, side, qty=room + step) for step in (-1, 0, 1)] == [0, 0, Denial.VEGA_PORTFOLIO]


@pytest.mark.parametrize(("side", "room"), [(BUY, 2), (SELL, 8)])
def test_held_vega_bounds_what_is_held_after_this_order(world, side, room):
    world.limit(Limit.MAX_HELD_VEGA, 8_000)
    world.fill(CALL, BUY, 3)
    assert [world.ask(CALL, side, qty=room + step) for step in (-1, 0, 1)] == [0, 0, Denial.VEGA_HELD]


@pytest.mark.parametrize(("already_open", "denial"), [(8, 0), (9, 0), (10, Denial.ORDERS_OPEN)])
def test_open_orders_of_the_session(world, already_open, denial):
    world.limit(Limit.MAX_OPEN_ORDERS, 10)
    on_open(world.risk, 0, already_open)
    assert world.ask() == denial
    assert world.ask_replace(0) == 0  # a replace opens none


def test_duplicates_within_a_second(world):
    world.limit(Limit.MAX_DUPLICATES, 2)
    assert [world.ask() for _ in range(4)] == [0, 0, 0, Denial.RATE_DUPLICATES]
    assert world.ask(side=SELL) == world.ask(PUT) == world.ask(price=499) == 0
    assert [world.ask() for _ in range(3)] == [0, 0, 0]  # another price came between
    assert world.ask(now_ns=NOW_NS + S - 1) == Denial.RATE_DUPLICATES
    assert world.ask(now_ns=NOW_NS + S) == 0


def test_duplicates_are_counted_from_the_first_of_them(world):
    world.limit(Limit.MAX_DUPLICATES, 2)
    assert [world.ask(now_ns=NOW_NS + tenths * S // 10) for tenths in (0, 5, 9, 10)] == [0, 0, 0, 0]


def test_message_budget_refills_at_its_rate_and_keeps_a_share_for_cancels(world):
    world.limit(Limit.MAX_MESSAGES_PER_S, 100)
    world.limit(Limit.MAX_MESSAGE_BURST, 10)
    world.limit(Limit.MAX_NEW_ORDER_SHARE, 0.8)
    assert [world.ask(qty=q) for q in range(1, 10)] == [0] * 8 + [Denial.RATE_MESSAGES]
    assert world.verdict() == (9, 8)
    assert world.ask(now_ns=NOW_NS + 10 * MS - 1000) == Denial.RATE_MESSAGES
    assert world.ask(now_ns=NOW_NS + 10 * MS) == 0
    assert world.ask(now_ns=NOW_NS + 10 * MS, qty=2) == Denial.RATE_MESSAGES


def test_cancels_use_the_same_budget_but_are_never_refused(world):
    world.limit(Limit.MAX_MESSAGES_PER_S, 100)
    world.limit(Limit.MAX_MESSAGE_BURST, 10)
    assert [check_cancel(world.risk, 0, NOW_NS) for _ in range(50)] == [0] * 50
    assert world.ask() == world.ask_replace(1) == Denial.RATE_MESSAGES
    later_ns = NOW_NS + 30 * MS  # the debt is at most one burst: 10 - 3 + 1 = 8
    fresh = {"feed_ns": later_ns, "underlying_ns": later_ns, "theo_ns": later_ns}
    assert world.ask(now_ns=later_ns, **fresh) == 0
    assert world.risk.sessions[0]["messages"] == 51


def test_clock_that_jumps_back_costs_at_most_one_burst(world):
    world.limit(Limit.MAX_MESSAGES_PER_S, 100)
    world.limit(Limit.MAX_MESSAGE_BURST, 10)
    assert world.ask() == 0
    back_ns = NOW_NS - 3_600 * S
    check_cancel(world.risk, 0, back_ns)
    assert world.risk.sessions[0]["arrival_ns"] == back_ns + 100 * MS


@pytest.mark.parametrize("limit", [lim for lim in Limit if lim != Limit.MAX_DUPLICATES])
@pytest.mark.parametrize("word", [0.0, math.nan, -1.0])
def test_limit_that_is_zero_or_unreadable_denies(world, limit, word):
    hedge = limit in (Limit.MAX_HEDGE_ORDER_QTY, Limit.MAX_HEDGE_ORDER_NOTIONAL, Limit.MAX_HEDGE_POSITION)
    if limit in (Limit.MAX_COLLAR_THEO_BP, Limit.MAX_COLLAR_THEO_TICKS):
        world.limit(Limit.MAX_COLLAR_THEO_BP, 0)
        world.limit(Limit.MAX_COLLAR_THEO_TICKS, 0)
    world.limit(limit, word)
    old_ns = NOW_NS - 1
    price = 501 if limit in (Limit.MAX_COLLAR_THEO_BP, Limit.MAX_COLLAR_THEO_TICKS) else 0
    price = 511 if limit == Limit.MAX_COLLAR_MARKET_TICKS else price
    answer = world.ask(UNDERLYING if hedge else CALL, price=price, feed_ns=old_ns, underlying_ns=old_ns, theo_ns=old_ns)
    assert answer != 0


def test_tightened_limit_binds_from_the_next_order_on(world):
    assert world.ask(qty=5) == 0
    world.limit(Limit.MAX_ORDER_QTY, 4)
    assert world.ask(qty=5) == Denial.SIZE_QTY


@pytest.mark.parametrize(
    ("position", "side", "working", "room"),
    [(10, SELL, 0, 10), (10, SELL, 4, 6), (-10, BUY, 0, 10), (-10, BUY, 10, 0), (10, BUY, 0, 0), (0, SELL, 0, 0)],
)
def test_reducing_lets_through_only_what_reduces(world, position, side, working, room):
    set_position(world.risk, CALL, position)
    world.work(CALL, side, working)
    set_state(world.risk, int(ScopeKind.INSTRUMENT), CALL, int(TradingState.REDUCING))
    assert world.ask(CALL, side, qty=room + 1) == Denial.STATE_REDUCING
    assert world.verdict() == (room + 1, room)
    if room:
        assert world.ask(CALL, side, qty=room) == 0
        assert world.ask_replace(working, CALL, side, qty=room) == 0


def test_reducing_lets_hedges_through_that_reduce_delta(world):
    world.fill(CALL, BUY, 4)  # long 200 delta, no shares
    set_state(world.risk, int(ScopeKind.FIRM), 0, int(TradingState.REDUCING))
    assert world.ask(UNDERLYING, SELL, qty=200) == 0
    assert world.ask(UNDERLYING, SELL, qty=201) == Denial.STATE_REDUCING
    assert world.ask(UNDERLYING, BUY, qty=1) == Denial.STATE_REDUCING
    assert reducible_qty(world.risk, UNDERLYING, int(SELL), 150) == 50


def test_replace_counts_the_larger_of_old_and_new(world):
    world.limit(Limit.MAX_SERIES_POSITION, 10)
    world.work(CALL, BUY, 8)
    assert [world.ask_replace(8, qty=q) for q in (1, 10, 11)] == [0, 0, Denial.POSITION_SERIES]
    world.work(CALL, BUY, 1)
    assert world.ask_replace(8, qty=10) == Denial.POSITION_SERIES  # 1 beside it


def test_shrinking_replace_makes_no_room_before_it_is_acknowledged(world):
    world.work(CALL, BUY, 8)
    world.limit(Limit.MAX_SERIES_POSITION, 5)
    assert world.ask_replace(8, qty=1) == Denial.POSITION_SERIES
    assert world.verdict() == (8, 5)


def test_replace_in_reducing_does_not_count_its_own_old_quantity(world):
    set_position(world.risk, CALL, 10)
    world.work(CALL, SELL, 10)
    set_state(world.risk, int(ScopeKind.FIRM), 0, int(TradingState.REDUCING))
    assert world.ask_replace(10, CALL, SELL, qty=8) == 0
    assert world.ask_replace(10, CALL, SELL, qty=11) == Denial.STATE_REDUCING


def test_replace_is_not_taken_for_a_duplicate(world):
    world.limit(Limit.MAX_DUPLICATES, 0)
    assert [world.ask_replace(1) for _ in range(5)] == [0] * 5


def test_replace_in_reducing_may_not_move_an_order_that_opens(world):
    world.work(CALL, BUY, 5)
    set_state(world.risk, int(ScopeKind.FIRM), 0, int(TradingState.REDUCING))
    assert world.ask_replace(5, qty=5) == Denial.STATE_REDUCING
