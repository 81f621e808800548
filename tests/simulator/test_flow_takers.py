"""Takers: how often, on which side, at which price and how much they trade."""

import math
from typing import Any

import numpy as np
import pytest

from market.enums import OrderAction, OrdType, Right, SecurityKind, Side, TimeInForce
from market.instruments import InstrumentMaster
from market.records import ORDER, QUOTE, table
from simulator.flow.settings import TakerSettings
from simulator.flow.takers import OWNER_TAKER, Takers

SECOND = 1_000_000_000
YEAR_NS = 365 * 86_400 * SECOND


def market(strikes: tuple[float, ...] = (100.0,)) -> InstrumentMaster:
    """An underlying and a call and a put per strike, a quarter from expiry."""
    master = InstrumentMaster(1 + 2 * len(strikes))
    master.add(symbol="XYZ", security=SecurityKind.EQUITY)
    for strike in strikes:
        for right in (Right.CALL, Right.PUT):
            master.add(symbol=f"XYZ{right.name[0]}{strike:g}", security=SecurityKind.OPTION, underlying=0, right=right,
                       strike=strike, expiry_ns=YEAR_NS // 4, multiplier=100)  # fmt: skip
    return master


class Street:
    """Takers in front of fixed books: every half-spread is 10, fair value is 1000."""

    def __init__(
        self, settings: TakerSettings, *, distance: int = 10, qty: int = 10**6, speed: float = 1.0, seed: int = 1
    ) -> None:
        master = market()
        self.n = master.count
        self.takers = Takers(settings, master.rows, self.n, speed, seed)
        self.books: Any = table(QUOTE, self.n)
        self.books["bid_ticks"], self.books["ask_ticks"] = 1000 - distance, 1000 + distance
        self.books["bid_qty"] = self.books["ask_qty"] = qty
        self.fair, self.half = np.full(self.n, 1000.0), np.full(self.n, 10.0)
        self.listed = np.ones(self.n, np.uint8)
        self.out: Any = table(ORDER, 256)
        self.speed = speed
        self.takers.begin(0, 100.0)

    def run(self, wall_s: float, step_s: float = 0.01) -> Any:
        """All orders of ``wall_s`` seconds."""
        rows = []
        for i in range(1, round(wall_s / step_s) + 1):
            now = round(i * step_s * self.speed * SECOND)
            k = self.takers.act(now, self.listed, self.books, self.fair, self.half, self.out, 0)
            rows.append(self.out[:k].copy())
        return np.concatenate(rows)


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_trades_per_wall_second_are_as_asked_at_any_speed(speed: float) -> None:
    street = Street(TakerSettings(trades_per_wall_s=20), speed=speed)
    orders = street.run(400)
    # The variance of Hawkes counts is the mean / (1 - branching)**2: four standard errors are 16 %.
    assert len(orders) / 400 == pytest.approx(20, rel=0.1)


def test_zero_rate_is_silence() -> None:
    assert len(Street(TakerSettings(trades_per_wall_s=0)).run(10)) == 0


@pytest.mark.parametrize("branching", [0.0, 0.5, 0.8])
def test_arrivals_cluster_as_a_hawkes_process_does(branching: float) -> None:
    street = Street(TakerSettings(trades_per_wall_s=20, branching=branching, decay_per_wall_s=20), distance=0)
    street.run(1)
    counts = []
    for i in range(600):
        before = street.takers.arrivals
        for j in range(10):
            now = round((1 + 2 * i + 0.2 * (j + 1)) * SECOND)
            street.takers.act(now, street.listed, street.books, street.fair, street.half, street.out, 0)
        counts.append(street.takers.arrivals - before)
    # Index of dispersion over windows long against the decay: 1 / (1 - n)**2 (Hawkes 1971).
    dispersion = np.var(counts) / np.mean(counts)
    assert dispersion == pytest.approx(1 / (1 - branching) ** 2, rel=0.25)


def test_arrival_times_do_not_depend_on_how_time_is_cut() -> None:
    fine, coarse = Street(TakerSettings()), Street(TakerSettings())
    fields = ["instrument", "side", "price_ticks", "qty", "cl_ord_id"]
    assert fine.run(30, 0.01)[fields].tolist() == coarse.run(30, 0.25)[fields].tolist()


def test_fill_rate_falls_exponentially_with_the_distance_from_fair_value() -> None:
    rates = [len(Street(TakerSettings(edge_decay=1.5), distance=d).run(300)) for d in (0, 10, 20)]
    assert math.log(rates[0] / rates[1]) == pytest.approx(1.5, abs=0.15)
    assert math.log(rates[1] / rates[2]) == pytest.approx(1.5, abs=0.3)


def test_price_better_than_fair_is_always_taken() -> None:
    street = Street(TakerSettings(trades_per_wall_s=5), distance=-5)
    orders = street.run(50)
    assert len(orders) == street.takers.sent == street.takers.arrivals > 100


def test_orders_are_immediate_limits_at_the_touch_of_at_most_what_rests() -> None:
    orders = Street(TakerSettings(max_contracts=7), qty=4).run(60)
    buys = orders["side"] == Side.BUY
    assert set(orders["price_ticks"][buys].tolist()) == {1010}
    assert set(orders["price_ticks"][~buys].tolist()) == {990}
    assert set(orders["tif"].tolist()) == {TimeInForce.IOC}
    assert set(orders["ord_type"].tolist()) == {OrdType.LIMIT}
    assert set(orders["action"].tolist()) == {OrderAction.NEW}
    assert set(orders["owner"].tolist()) == {OWNER_TAKER}
    assert orders["qty"].max() == 4
    assert orders["qty"].min() == 1
    assert len(set(orders["cl_ord_id"].tolist())) == len(orders)


def test_sizes_are_contracts_and_round_lots() -> None:
    orders = Street(TakerSettings(max_contracts=7, lot_shares=100)).run(120)
    stock = orders["instrument"] == 0
    assert set(orders["qty"][~stock].tolist()) == set(range(1, 8))
    assert set(orders["qty"][stock].tolist()) == {100 * k for k in range(1, 8)}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_the_underlying(share: float) -> None:
    orders = Street(TakerSettings(underlying_share=share)).run(200)
    assert np.mean(orders["instrument"] == 0) == pytest.approx(share, abs=0.04)


def test_views_buy_calls_with_stock_and_sell_puts() -> None:
    # Nearly all events of one second are triggered by the first: one direction dominates a burst.
    orders = Street(TakerSettings(directional=1.0, branching=0.9, cross_excitation=0.0, trades_per_wall_s=2)).run(
        200, 0.5
    )
    delta = np.array([1, 1, -1])[orders["instrument"]] * np.where(orders["side"] == Side.BUY, 1, -1)
    same = np.mean(delta[1:] == delta[:-1])
    coin = Street(TakerSettings(directional=0.0, underlying_share=0.0)).run(200)
    signs = np.where(coin["side"] == Side.BUY, 1, -1)
    assert same > 0.65
    assert np.mean(signs[1:] == signs[:-1]) == pytest.approx(0.5, abs=0.06)


def test_nobody_trades_what_is_not_quoted_listed_or_valued() -> None:
    street = Street(TakerSettings(trades_per_wall_s=50))
    street.books["ask_qty"][1] = 0
    street.fair[2] = np.nan
    orders = street.run(30)
    assert set(orders["instrument"].tolist()) == {0, 1}
    assert set(orders["side"][orders["instrument"] == 1].tolist()) == {Side.SELL}
    street.listed[0] = 0
    street.takers.begin(0, 100.0)
    assert set(street.run(30)["instrument"].tolist()) == {1}


def test_near_the_money_trades_most() -> None:
    master = market((60.0, 100.0, 140.0))
    takers = Takers(TakerSettings(), master.rows, master.count, 1.0, 1)
    takers.begin(0, 100.0)
    weights = np.diff(np.concatenate([[0.0], takers._cumulative]))
    assert weights[0] == 0.0
    assert weights[3] == pytest.approx(weights[4])
    assert weights[3] > 5 * max(weights[1], weights[5])


def test_pause_does_not_end_in_a_burst() -> None:
    street = Street(TakerSettings(trades_per_wall_s=10))
    street.run(5)
    k = street.takers.act(3600 * SECOND, street.listed, street.books, street.fair, street.half, street.out, 0)
    assert k <= 2


def test_full_table_keeps_what_is_in_it() -> None:
    street = Street(TakerSettings(trades_per_wall_s=500))
    street.out = table(ORDER, 3)
    assert street.takers.act(SECOND, street.listed, street.books, street.fair, street.half, street.out, 3) == 3
    assert not street.out["kind"].any()
