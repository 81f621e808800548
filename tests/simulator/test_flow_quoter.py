"""Makers' quotes against the real matching engine: what is wanted is what rests, and nothing trades by accident."""

from typing import Any

import numpy as np
import pytest

from market.enums import FrameKind, OrderAction, OrdType, Side, TimeInForce, TradingStatus
from market.records import EXECUTION, ORDER, table
from simulator.flow.quoter import IDLE, LIVE, Quoter
from simulator.matching import ALL_BOOKS, apply, cancel_owner, make_arena, open_orders, set_status

REFILL_NS = 1_000
CLIENT = 16
NEVER = np.iinfo(np.int64).max
TRADE = ord("F")


class Bench:
    """Quoter and arena, with reports delivered at once."""

    def __init__(self, n: int = 1, makers: int = 1) -> None:
        self.quoter = Quoter(n, makers, 1, np.full(n, NEVER, np.int64), REFILL_NS)
        self.arena = make_arena(n, 1024, 100_000)
        self.orders = table(ORDER, 256)
        self.reports = table(EXECUTION, 4096)
        self.sequence = 0
        self.now_ns = 0

    def want(self, instrument: int, bid: tuple[int, int], ask: tuple[int, int], maker: int = 0) -> None:
        first = 2 * (maker * self.quoter.n + instrument)
        for slot, (ticks, qty) in ((first, bid), (first + 1, ask)):
            self.quoter.slots[slot]["want_ticks"], self.quoter.slots[slot]["want_qty"] = ticks, qty

    def step(self, now_ns: int) -> tuple[int, Any]:
        self.now_ns = now_ns
        count = self.quoter.emit(now_ns, self.orders)
        return count, self.apply(self.orders, count)

    def apply(self, orders: Any, count: int) -> Any:
        n = 0
        for i in range(count):
            n = apply(self.arena, orders, i, self.reports, n)
        self.quoter.absorb(self.reports, n, self.now_ns)
        return self.reports[:n]

    def client(self, side: Side, ticks: int, qty: int, tif: TimeInForce = TimeInForce.IOC, instrument: int = 0) -> Any:
        self.sequence += 1
        row = table(ORDER, 1)
        row[0]["kind"], row[0]["owner"], row[0]["session"] = FrameKind.ORDER, CLIENT, CLIENT
        row[0]["action"], row[0]["ord_type"], row[0]["tif"] = OrderAction.NEW, OrdType.LIMIT, tif
        row[0]["side"], row[0]["price_ticks"], row[0]["qty"] = side, ticks, qty
        row[0]["cl_ord_id"], row[0]["instrument"] = self.sequence, instrument
        return self.apply(row, 1)

    def resting(self, owner: int = 1) -> list[tuple[int, int, int, int]]:
        """(instrument, side, price, leaves) of an owner's open orders."""
        out = table(EXECUTION, 1024)
        n = open_orders(self.arena, owner, 0, out)
        rows = [tuple(int(out[i][f]) for f in ("instrument", "side", "price_ticks", "leaves_qty")) for i in range(n)]
        return sorted(row for row in rows if row[3] > 0)  # type: ignore[misc]


def test_wanted_quotes_rest_once_and_quiet_steps_send_nothing() -> None:
    bench = Bench()
    bench.want(0, (100, 5), (110, 7))
    assert bench.step(0)[0] == 2
    assert bench.resting() == [(0, Side.BUY, 100, 5), (0, Side.SELL, 110, 7)]
    assert bench.step(1)[0] == 0


def test_busy_quote_waits_for_its_report() -> None:
    bench = Bench()
    bench.want(0, (100, 5), (0, 0))
    assert bench.quoter.emit(0, bench.orders) == 1
    bench.want(0, (101, 5), (0, 0))
    assert bench.quoter.emit(1, table(ORDER, 8)) == 0
    bench.apply(bench.orders, 1)
    bench.step(2)
    assert bench.resting() == [(0, Side.BUY, 101, 5)]


def test_price_change_replaces_and_withdrawal_cancels() -> None:
    bench = Bench()
    bench.want(0, (100, 5), (110, 5))
    bench.step(0)
    bench.want(0, (99, 8), (0, 0))
    count, _ = bench.step(1)
    assert count == 2
    assert sorted(bench.orders["action"][:2].tolist()) == [OrderAction.CANCEL, OrderAction.REPLACE]
    assert bench.resting() == [(0, Side.BUY, 99, 8)]


@pytest.mark.parametrize("traded", [2, 5], ids=["partly", "wholly"])
def test_traded_quote_is_refilled_to_its_size_after_the_delay(traded: int) -> None:
    bench = Bench()
    bench.want(0, (100, 5), (110, 5))
    bench.step(10)
    bench.client(Side.SELL, 100, traded)
    left = [] if traded == 5 else [(0, Side.BUY, 100, 5 - traded)]
    bench.step(10 + REFILL_NS - 1)
    assert bench.resting() == [*left, (0, Side.SELL, 110, 5)]
    bench.step(10 + REFILL_NS)
    assert bench.resting() == [(0, Side.BUY, 100, 5), (0, Side.SELL, 110, 5)]
    assert bench.quoter.position.tolist() == [traded]


def test_traded_quote_follows_a_price_change_at_once() -> None:
    bench = Bench()
    bench.want(0, (100, 5), (0, 0))
    bench.step(0)
    bench.client(Side.SELL, 100, 5)
    bench.want(0, (99, 5), (0, 0))
    bench.step(1)
    assert bench.resting() == [(0, Side.BUY, 99, 5)]


@pytest.mark.parametrize("jump", [-50, -10, -9, 9, 10, 50])
def test_jump_through_its_own_other_side_trades_nothing(jump: int) -> None:
    bench = Bench()
    bench.want(0, (100, 5), (110, 5))
    bench.step(0)
    bench.want(0, (100 + jump, 5), (110 + jump, 5))
    _, reports = bench.step(1)
    assert bench.resting() == [(0, Side.BUY, 100 + jump, 5), (0, Side.SELL, 110 + jump, 5)]
    assert not (reports["exec_type"] == TRADE).any()


@pytest.mark.parametrize("jump", [-50, 50])
def test_makers_do_not_trade_with_each_others_stale_quotes(jump: int) -> None:
    bench = Bench(makers=3)
    for maker in range(3):
        bench.want(0, (100 - maker, 5), (110 + maker, 5), maker)
    bench.step(0)
    for maker in range(3):
        bench.want(0, (100 - maker + jump, 5), (110 + maker + jump, 5), maker)
    count, reports = bench.step(1)
    assert count == 6
    assert not (reports["exec_type"] == TRADE).any()


def test_quote_that_moves_through_a_client_trades_with_it() -> None:
    bench = Bench()
    bench.want(0, (100, 5), (110, 5))
    bench.step(0)
    bench.client(Side.SELL, 105, 3, TimeInForce.DAY)
    bench.want(0, (106, 5), (112, 5))
    _, reports = bench.step(1)
    trades = reports[reports["exec_type"] == TRADE]
    assert trades["last_ticks"].tolist() == [105, 105]
    assert trades["last_qty"].tolist() == [3, 3]
    assert bench.resting() == [(0, Side.BUY, 106, 2), (0, Side.SELL, 112, 5)]
    bench.step(1 + REFILL_NS)
    assert bench.resting() == [(0, Side.BUY, 106, 5), (0, Side.SELL, 112, 5)]


def test_halted_book_refuses_and_is_tried_again_after_the_delay() -> None:
    bench = Bench()
    set_status(bench.arena, 0, TradingStatus.HALTED)
    bench.want(0, (100, 5), (0, 0))
    assert bench.step(0)[0] == 1
    assert bench.step(REFILL_NS - 1)[0] == 0
    set_status(bench.arena, 0, TradingStatus.OPEN)
    assert bench.step(REFILL_NS)[0] == 1
    assert bench.resting() == [(0, Side.BUY, 100, 5)]


def test_order_that_the_venue_ended_comes_back() -> None:
    bench = Bench()
    bench.want(0, (100, 5), (110, 5))
    bench.step(0)
    n = cancel_owner(bench.arena, 1, 0, 0, bench.reports, 0)
    bench.quoter.absorb(bench.reports, n, 1)
    assert bench.resting() == []
    bench.step(1 + REFILL_NS)
    assert bench.resting() == [(0, Side.BUY, 100, 5), (0, Side.SELL, 110, 5)]


def test_replace_that_comes_too_late_ends_idle_and_starts_anew() -> None:
    bench = Bench()
    bench.want(0, (100, 5), (0, 0))
    bench.step(0)
    bench.want(0, (99, 5), (0, 0))
    count = bench.quoter.emit(1, bench.orders)
    commands = bench.orders[:count].copy()
    bench.client(Side.SELL, 100, 5)  # arrives first
    bench.apply(commands, count)
    assert bench.quoter.slots[0]["state"] == IDLE
    bench.step(2 + REFILL_NS)
    assert bench.resting() == [(0, Side.BUY, 99, 5)]


def test_full_table_leaves_the_rest_for_the_next_step() -> None:
    bench = Bench(n=10)
    for i in range(10):
        bench.want(i, (100, 5), (110, 5))
    bench.orders = table(ORDER, 7)
    assert [bench.step(t)[0] for t in range(4)] == [7, 7, 6, 0]
    assert len(bench.resting()) == 20


def test_unlisted_and_expired_instruments_get_no_orders() -> None:
    bench = Bench(n=3)
    bench.quoter.listed[0] = 0
    bench.quoter.expiry_ns[1] = 100
    for i in range(3):
        bench.want(i, (100, 5), (110, 5))
    bench.step(0)
    assert {row[0] for row in bench.resting()} == {1, 2}
    bench.step(100)
    assert {row[0] for row in bench.resting()} == {2}


def test_reports_of_others_and_of_forgotten_orders_change_nothing() -> None:
    bench = Bench()
    bench.want(0, (100, 5), (110, 5))
    _, reports = bench.step(0)
    old = reports.copy()
    bench.quoter.clear()
    bench.quoter.absorb(old, len(old), 1)
    assert bench.quoter.slots["state"].tolist() == [IDLE, IDLE]
    assert bench.quoter.reports_ignored == len(old)
    old["session"] = CLIENT
    bench.quoter.absorb(old, len(old), 1)
    assert bench.quoter.reports_ignored == len(old)


def test_slots_mirror_the_engine_under_random_interference() -> None:
    bench = Bench(n=3, makers=2)
    random = np.random.default_rng(5)
    for step in range(400):
        for maker in range(2):
            for i in range(3):
                if random.random() < 0.3:
                    middle, half = int(random.integers(100, 130)), int(random.integers(1, 6))
                    bid_qty, ask_qty = (int(q) for q in random.integers(0, 9, 2))
                    bench.want(i, (middle - half, bid_qty), (middle + half, ask_qty), maker)
        bench.step(step * 300)
        if random.random() < 0.7:
            side = Side.BUY if random.random() < 0.5 else Side.SELL
            tif = TimeInForce.IOC if random.random() < 0.5 else TimeInForce.DAY
            bench.client(side, int(random.integers(95, 135)), int(random.integers(1, 12)), tif, int(random.integers(3)))
        if step % 50 == 49:
            cancel_owner(bench.arena, CLIENT, ALL_BOOKS, 0, bench.reports, 0)
        for maker in range(2):
            slots = bench.quoter.slots[6 * maker : 6 * maker + 6]
            assert set(slots["state"].tolist()) <= {IDLE, LIVE}
            live = sorted(
                (s // 2, Side.SELL if s & 1 else Side.BUY, int(slots[s]["live_ticks"]), int(slots[s]["leaves_qty"]))
                for s in range(6)
                if slots[s]["state"] == LIVE
            )
            assert live == bench.resting(1 + maker)
    assert bench.quoter.fills > 100
    assert bench.quoter.reports_ignored == 0
