"""Boundaries that start below the strike and turn when it comes in reach: yields a little above the rate.

What is exact at the boundary itself is the oracle: there the value is the payoff, so that it moves with
neither time, volatility, rate nor yield, and gamma follows from the pricing equation.
"""

import math

import numpy as np
import pytest

from gpu.american.boundary import choose_rule, curve_size, solve_curve, turning_point
from gpu.american.put import AMERICAN_ROWS, AmericanRow
from gpu.american.row import american_boundary, american_row, workspace
from gpu.american.rules import CURVE_NODES, CURVE_STEPS, CURVE_TOP, REFERENCE, WORK_SLOT, pack_rules
from gpu.status import PriceStatus
from tests.gpu.american.quantlib_american import DAY, exact

RULES, WORK = workspace()
FINE, FINE_WORK = workspace(pack_rules(REFERENCE))
STRIKE = 100.0
STEPS = (1e-4, 2e-4)  # standard deviations above the boundary


def puts(low, high, count, seed):
    """(years, rate, yield, vol) with ln(yield / rate) between ``low`` and ``high`` standard deviations."""
    draw = np.random.default_rng(seed)
    for _ in range(count):
        days = round(math.exp(draw.uniform(math.log(30), math.log(1095))))
        vol, dividend_yield = draw.uniform(0.15, 0.6), draw.uniform(0.02, 0.1)
        apart = math.exp(draw.uniform(math.log(low), math.log(high)))
        yield days * DAY, dividend_yield * math.exp(-apart * vol * math.sqrt(days * DAY)), dividend_yield, vol


def row_of(spot, years, rate, dividend_yield, vol, fine=False):
    row = np.empty(AMERICAN_ROWS)
    rules, work = (FINE, FINE_WORK) if fine else (RULES, WORK)
    assert american_row(spot, STRIKE, years, rate, dividend_yield, vol, -1, rules, work, row) == PriceStatus.OK
    return row


ZONES = [(0.01, 0.05), (0.05, 0.2), (0.2, 0.6), (0.6, 1.6), (1.6, 4.0)]


@pytest.mark.parametrize(("low", "high"), ZONES)
def test_at_the_boundary_nothing_moves_the_value(low, high):
    for years, rate, dividend_yield, vol in puts(low, high, 12, 21):
        at = STRIKE * american_boundary(years, rate, dividend_yield, vol, -1, RULES, WORK)
        near, next_one = (
            row_of(at * math.exp(h * vol * math.sqrt(years)), years, rate, dividend_yield, vol) for h in STEPS
        )
        got = 2.0 * near - next_one  # continued to the boundary
        jump = 2.0 * (rate * STRIKE - dividend_yield * at) / (vol * at) ** 2
        assert got[AmericanRow.PRICE] == pytest.approx(STRIKE - at, abs=2e-6)
        assert got[AmericanRow.GAMMA] == pytest.approx(jump, rel=5e-6)
        assert got[AmericanRow.THETA] == pytest.approx(0.0, abs=5e-8 * STRIKE * vol / math.sqrt(years))
        assert got[AmericanRow.VEGA] == pytest.approx(0.0, abs=5e-8 * STRIKE * math.sqrt(years))
        assert got[AmericanRow.RHO] == pytest.approx(0.0, abs=1e-6 * STRIKE * years)
        assert got[AmericanRow.DIVIDEND_RHO] == pytest.approx(0.0, abs=1e-6 * STRIKE * years)


@pytest.mark.parametrize(("low", "high"), ZONES)
def test_theta_is_what_the_scaling_of_time_makes_of_the_others(low, high):
    """T V_T = r V_r + q V_q + (v / 2) V_v: theta comes from the pricing equation, the others from the boundary."""
    draw = np.random.default_rng(5)
    for years, rate, dividend_yield, vol in puts(low, high, 12, 22):
        start = STRIKE * american_boundary(years, rate, dividend_yield, vol, -1, RULES, WORK)
        away = math.exp(draw.uniform(math.log(1e-3), math.log(2.0)))
        row = row_of(start * math.exp(away * vol * math.sqrt(years)), years, rate, dividend_yield, vol)
        scaled = rate * row[AmericanRow.RHO] + dividend_yield * row[AmericanRow.DIVIDEND_RHO]
        scaled += 0.5 * vol * row[AmericanRow.VEGA]
        assert -years * row[AmericanRow.THETA] == pytest.approx(scaled, abs=2e-8 * STRIKE * vol * math.sqrt(years))


@pytest.mark.parametrize(("low", "high"), ZONES)
def test_every_row_is_that_of_twice_the_nodes(low, high):
    draw = np.random.default_rng(6)
    for years, rate, dividend_yield, vol in puts(low, high, 12, 23):
        start = STRIKE * american_boundary(years, rate, dividend_yield, vol, -1, RULES, WORK)
        root = math.sqrt(years)
        spot = start * math.exp(math.exp(draw.uniform(math.log(1e-4), 0.5)) * vol * root)
        got = row_of(spot, years, rate, dividend_yield, vol)
        want = row_of(spot, years, rate, dividend_yield, vol, fine=True)
        usual = np.array([
            1e2, 1.0, 1.0 / (STRIKE * vol * root), STRIKE * root, STRIKE * vol / root, STRIKE * years, 1.0 / vol,
            STRIKE * root / vol, 1.0 / years, STRIKE / root, STRIKE * years,
        ])  # fmt: skip
        error = np.abs(got - want) / np.maximum(np.abs(want), 1e-2 * usual)
        assert abs(got[0] - want[0]) < 5e-8
        first = error[[AmericanRow.DELTA, AmericanRow.VEGA, AmericanRow.THETA]]
        assert first.max() < 1e-5
        assert error[[AmericanRow.RHO, AmericanRow.DIVIDEND_RHO]].max() < 5e-5
        assert error[[AmericanRow.GAMMA, AmericanRow.VANNA, AmericanRow.VOLGA]].max() < 1e-5
        assert error[[AmericanRow.CHARM, AmericanRow.VETA]].max() < 1e-4


@pytest.mark.parametrize("apart", [0.1, 0.3, 0.8])
def test_prices_are_those_of_quantlib(apart):
    days, vol, dividend_yield = 365, 0.3, 0.06
    rate = dividend_yield * math.exp(-apart * vol)
    for spot in (85.0, 110.0):
        got = row_of(spot, days * DAY, rate, dividend_yield, vol)[0]
        assert got == pytest.approx(exact(spot, STRIKE, days, rate, dividend_yield, vol, -1), abs=3e-8)


def test_no_boundary_takes_more_than_twenty_nodes_and_few_linear_systems():
    """What a row costs: it grows as the square of the nodes times the systems."""
    curve, work = np.zeros(curve_size(RULES)), np.zeros(int(RULES[WORK_SLOT]))
    steps = []
    for low, high in ZONES:
        for years, rate, dividend_yield, vol in puts(low, high, 60, 24):
            scaled = rate * years, dividend_yield * years, vol * math.sqrt(years)
            assert solve_curve(*scaled, True, RULES, work, curve)
            assert curve[CURVE_NODES] <= 20
            steps.append(curve[CURVE_STEPS])
    assert np.mean(steps) < 4.2
    assert max(steps) <= 12


@pytest.mark.parametrize("apart", [1e-9, 1e-6, 1e-3, 0.004, 0.006])
def test_a_yield_hardly_above_the_rate_joins_the_boundary_from_the_strike(apart):
    for years, rate, vol in ((0.1, 0.03, 0.2), (1.0, 0.06, 0.3), (9.0, 0.07, 0.4)):
        other = rate * math.exp(apart * vol * math.sqrt(years))
        near, joined = (row_of(95.0, years, rate, q, vol) for q in (rate, other))
        moved = 0.5 * (other - rate) * (near[AmericanRow.DIVIDEND_RHO] + joined[AmericanRow.DIVIDEND_RHO])
        assert joined[0] == pytest.approx(near[0] + moved, abs=1e-6)


def test_the_turning_point_is_where_the_boundary_leaves_its_square_root():
    """Before it ln(X / B) is 0.6388 vol sqrt(u), after it more."""
    curve, work = np.zeros(curve_size(FINE)), np.zeros(int(FINE[WORK_SLOT]))
    rate, dividend, dev = 0.05, 0.055, 0.3
    turn = turning_point(rate, dividend, dev)

    def slope(w):
        assert solve_curve(rate * w * w, dividend * w * w, dev * w, False, FINE, work, curve)
        return -(curve[CURVE_TOP] - math.log(rate / dividend)) / (dev * w)

    assert slope(0.4 * turn) == pytest.approx(0.6388, abs=2e-3)
    assert slope(3.0 * turn) > 1.2


def test_many_volatilities_share_a_rule_and_alike_ones_the_narrow_one():
    one = choose_rule(0.03, 0.033, 0.2, 0.2, RULES)
    assert choose_rule(0.03, 0.033, 0.199, 0.201, RULES) == one
    assert choose_rule(0.03, 0.033, 0.1, 0.4, RULES) != one
    assert choose_rule(0.03, 0.02, 0.1, 0.4, RULES) == choose_rule(0.03, 0.03, 0.2, 0.2, RULES)
