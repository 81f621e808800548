"""Totals: what each event does to them, and that they always equal a count from nothing."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.enums import Right, SecurityKind, Side
from risk.exposure import (
    counted_qty,
    on_fill,
    on_open,
    on_working,
    portfolio_delta,
    portfolio_vega,
    retotal,
    set_greeks,
    set_position,
    worst_qty,
)
from risk.state import define_instrument, make_risk_state
from tests.risk.world import CALL, PUT, UNDERLYING, World

BUY, SELL = Side.BUY, Side.SELL
TOTALS = (
    "gross_contracts", "held_delta", "working_delta_up", "working_delta_down", "held_gamma", "held_vega",
    "working_vega_up", "working_vega_down",
)  # fmt: skip


def totals(world: World) -> dict[str, float]:
    return {name: float(world.risk.underlyings[0][name]) for name in TOTALS}


@pytest.mark.parametrize(
    ("order", "pending", "cum", "expected"),
    [(10, 0, 0, 10), (10, 0, 4, 6), (10, 15, 4, 11), (10, 5, 4, 6), (10, 3, 4, 6), (10, 0, 12, 0)],
)
def test_order_counts_with_the_larger_of_old_and_pending_less_what_traded(order, pending, cum, expected):
    assert counted_qty(order, pending, cum) == expected


@pytest.mark.parametrize(
    ("position", "buys", "sells", "worst"), [(0, 3, 2, 3), (4, 0, 5, 4), (4, 0, 9, 5), (-4, 9, 1, 5)]
)
def test_worst_quantity(position, buys, sells, worst):
    assert worst_qty(position, buys, sells) == worst


def test_totals_of_a_small_portfolio(world):
    world.fill(CALL, BUY, 2)
    world.fill(PUT, SELL, 4)
    world.fill(UNDERLYING, SELL, 30)
    world.work(CALL, SELL, 1)
    world.work(PUT, SELL, 2)
    assert totals(world) == {
        "gross_contracts": 2 + 6,
        "held_delta": 100 + 100 - 30,
        "working_delta_up": 50,
        "working_delta_down": 50,
        "held_gamma": 0,
        "held_vega": 3_200 - 3_200,
        "working_vega_up": 0,
        "working_vega_down": 1_600 + 1_600,
    }


def test_fill_moves_quantity_from_working_to_position(world):
    world.work(CALL, BUY, 5)
    world.fill(CALL, BUY, 2, released=2)
    row = world.risk.instruments[CALL]
    assert (row["position"], row["working_buy"], row["working_sell"]) == (2, 3, 0)
    world.fill(CALL, SELL, 7)
    assert (row["position"], row["working_buy"]) == (-5, 3)


def test_report_counted_twice_makes_no_room(world):
    world.work(CALL, BUY, 5)
    world.work(CALL, BUY, -5)
    world.work(CALL, BUY, -5)
    assert world.risk.instruments[CALL]["working_buy"] == 0
    assert totals(world)["working_delta_up"] == 0
    on_open(world.risk, 0, 1)
    on_open(world.risk, 0, -2)
    assert world.risk.sessions[0]["open_orders"] == 0


def test_gamma_moves_delta_between_refreshes(world):
    set_greeks(world.risk, CALL, 0.5, 0.02, 16.0)
    world.fill(CALL, BUY, 10)
    assert portfolio_delta(world.risk, 0, 0.0) == 500
    assert portfolio_delta(world.risk, 0, 1.5) == pytest.approx(500 + 0.02 * 100 * 10 * 1.5)
    assert portfolio_vega(world.risk, 0) == 16_000


def test_option_without_theo_counts_with_the_largest_delta_it_can_have():
    risk = make_risk_state(3, 1, 1)
    for instrument, right in ((1, Right.CALL), (2, Right.PUT)):
        define_instrument(risk, instrument, 0, int(SecurityKind.OPTION), int(right), 100, 2, 0, 0, 0)
    assert list(risk.instruments["unit_delta"]) == [0.0, 100.0, -100.0]


@pytest.mark.parametrize("greeks", [(math.nan, 0.0, 0.0), (0.1, math.inf, 0.0), (0.1, 0.0, math.nan)])
def test_greeks_that_are_none_leave_the_last_ones(world, greeks):
    assert not set_greeks(world.risk, CALL, *greeks)
    assert world.risk.instruments[CALL]["unit_delta"] == 50.0


def test_underlying_and_unknown_instruments_take_no_greeks(world):
    assert not set_greeks(world.risk, UNDERLYING, 0.5, 0.0, 0.0)
    assert not set_greeks(world.risk, 3, 0.5, 0.0, 0.0)
    assert not set_greeks(world.risk, 99, 0.5, 0.0, 0.0)


def test_fill_before_the_definition_is_kept_and_counted_once_defined(world):
    world.fill(3, BUY, 2)
    assert world.risk.instruments[3]["position"] == 2
    assert totals(world)["gross_contracts"] == 0


def test_instruments_beyond_the_table_are_ignored(world):
    before = world.risk.instruments.tobytes() + world.risk.underlyings.tobytes()
    for instrument in (-1, 4, 1 << 40):
        on_working(world.risk, instrument, int(BUY), 1)
        on_fill(world.risk, instrument, int(BUY), 1, 0)
        set_position(world.risk, instrument, 1)
    world.work(CALL, 0, 5)  # nor a side that is none
    assert world.risk.instruments.tobytes() + world.risk.underlyings.tobytes() == before


events = st.one_of(
    st.tuples(st.just("work"), st.integers(0, 2), st.sampled_from([BUY, SELL]), st.integers(-5, 20)),
    st.tuples(st.just("fill"), st.integers(0, 2), st.sampled_from([BUY, SELL]), st.integers(1, 9)),
    st.tuples(st.just("adopt"), st.integers(0, 2), st.just(BUY), st.integers(-50, 50)),
    st.tuples(st.just("greeks"), st.integers(1, 2), st.just(BUY), st.integers(-9, 9)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(events, max_size=25))
def test_totals_moved_by_events_equal_totals_counted_from_nothing(sequence):
    world = World()
    for what, instrument, side, number in sequence:
        if what == "work":
            world.work(instrument, side, number)
        elif what == "fill":
            world.fill(instrument, side, number, released=number // 2)
        elif what == "adopt":
            set_position(world.risk, instrument, number)
        else:
            set_greeks(world.risk, instrument, number / 8.0, number / 64.0, number * 3.0)
    moved = totals(world)
    retotal(world.risk, 4)
    rows = world.risk.instruments
    units, position = rows["unit_delta"], rows["position"]
    assert moved == pytest.approx(totals(world), abs=1e-6)
    assert moved["held_delta"] == pytest.approx(float(np.sum(units * position)), abs=1e-6)
    up = rows["working_buy"] * np.maximum(units, 0) + rows["working_sell"] * np.maximum(-units, 0)
    assert moved["working_delta_up"] == pytest.approx(float(np.sum(up)), abs=1e-6)
    options = rows[1:3]
    worst = np.maximum(
        np.abs(options["position"] + options["working_buy"]), np.abs(options["position"] - options["working_sell"])
    )
    assert moved["gross_contracts"] == worst.sum()
