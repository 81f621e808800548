import math

import mpmath as mp
import numpy as np
import pytest

from gpu.american.double_boundary import (
    DOUBLE_WORK,
    double_boundaries,
    double_boundary_price,
    double_boundary_row,
)
from gpu.american.finite_difference import GRID_WORK, OUT_ROWS, DividendModel, finite_difference_row
from gpu.european.greeks import Greek, spot_greeks
from gpu.status import PriceStatus
from tests.gpu.american.quantlib_american import grid

NONE = np.empty(0)
WORK = np.empty(DOUBLE_WORK)

#: years, rate, yield, vol. The critical volatility |sqrt(-2r) - sqrt(-2q)| is in the comment.
STANDING = [
    (1.0, -0.01, -0.02, 0.10),  # 0.059: they would meet in 14.8 years
    (10.0, -0.01, -0.02, 0.05),  # below critical: they never meet
    (0.02, -0.01, -0.02, 0.10),
    (2.0, -0.01, -0.06, 0.20),
    (0.5, -0.03, -0.08, 0.50),
]
MET = [
    (20.0, -0.01, -0.02, 0.10),
    (5.0, -0.005, -0.01, 0.15),  # 0.041
    (6.0, -0.01, -0.06, 0.40),  # 0.205
    (8.0, -0.02, -0.025, 0.05),  # 0.024
]


def price(spot, case, strike=100.0):
    value, status = double_boundary_price(spot, strike, *case, WORK)
    assert status == PriceStatus.OK
    return value


def greeks(spot, case, strike=100.0):
    row = np.empty(11)
    assert double_boundary_row(spot, strike, *case, WORK, row) == PriceStatus.OK
    return row


def on_grid(spot, case, nodes=1600):
    """Price, delta, gamma, theta, charm by finite differences, two grids and Richardson."""
    out = []
    for n in (nodes, nodes // 2):
        work, row = np.empty((GRID_WORK, n)), np.empty(OUT_ROWS)
        finite_difference_row(spot, 100.0, *case, -1, NONE, NONE, DividendModel.SPOT, True, n // 2, False, work, row)
        out.append(row)
    return out[0] + (out[0] - out[1]) / 3.0


@pytest.mark.parametrize("case", STANDING + MET)
@pytest.mark.parametrize("spot", [45.0, 70.0, 90.0, 105.0])
def test_against_finite_differences(spot, case):
    row, reference = greeks(spot, case), on_grid(spot, case)
    assert price(spot, case) == row[0]
    assert row[0] == pytest.approx(reference[0], abs=5e-6)
    assert row[1] == pytest.approx(reference[1], abs=5e-6)
    assert row[2] == pytest.approx(reference[2], rel=3e-4)
    assert row[4] == pytest.approx(reference[4], abs=2e-4)


def test_against_a_foreign_grid():
    for spot, case in ((90.0, (1.0, -0.01, -0.02, 0.10)), (100.0, (5.0, -0.005, -0.01, 0.15))):
        years, *rest = case
        foreign = grid(spot, 100.0, round(365 * years), *rest, -1)
        row = greeks(spot, case)
        assert row[:3] == pytest.approx(foreign[:3], abs=1e-3)


@pytest.mark.parametrize("case", [*STANDING, MET[1]])
def test_boundaries_solve_the_value_matching_equations(case):
    """In 30-digit arithmetic: the premium over both boundaries is what exercise is worth beyond the European put.

    The boundaries come from smooth pasting, each without the other; value matching with both is independent.
    """
    years, rate, dividend_yield, vol = case
    _, end, upper, lower = double_boundaries(years, rate, dividend_yield, vol)
    if end < years:
        years = 0.9 * end  # while both stand
    with mp.workdps(30):
        r, q, v, t = (mp.mpf(x) for x in (rate, dividend_yield, vol, years))

        def leg(s, u, barrier):
            d = (mp.log(s / barrier) + (r - q + v * v / 2) * u) / (v * mp.sqrt(u))
            return r * mp.exp(-r * u) * mp.ncdf(v * mp.sqrt(u) - d) - q * s * mp.exp(-q * u) * mp.ncdf(-d)

        def premium(s):
            def at(angle):
                u = t * mp.cos(angle) ** 2
                then = float(t) - float(u)
                weight = 2 * t * mp.sin(angle) * mp.cos(angle)
                return weight * (leg(s, u, mp.mpf(upper(then))) - leg(s, u, mp.mpf(lower(then))))

            return mp.quad(at, [0, mp.pi / 4, mp.pi / 2], maxdegree=5)

        def european(s):
            d = (mp.log(s) + (r - q + v * v / 2) * t) / (v * mp.sqrt(t))
            return mp.exp(-r * t) * mp.ncdf(v * mp.sqrt(t) - d) - s * mp.exp(-q * t) * mp.ncdf(-d)

        top, bottom = upper(years), lower(years)
        for s in (top, bottom, 0.5 * (top + bottom)):
            assert float(european(mp.mpf(s)) + premium(mp.mpf(s))) == pytest.approx(1.0 - s, abs=2e-9)


def test_boundaries_start_where_exercise_pays_and_meet_where_theory_says():
    *_, upper, lower = double_boundaries(1e-9, -0.01, -0.03, 0.2)
    assert upper(0.0) == pytest.approx(1.0, abs=1e-12)
    assert lower(0.0) == pytest.approx(1.0 / 3.0, rel=1e-12)
    critical = abs(math.sqrt(0.02) - math.sqrt(0.06))
    # Just below the critical volatility they stand for ever, just above it they meet.
    _, end, _, _ = double_boundaries(60.0, -0.01, -0.03, 0.98 * critical)
    assert end == 60.0
    # and approach the perpetual option's boundaries K x / (x - 1), x the roots of the characteristic equation.
    vol = 0.6 * critical
    *_, upper, lower = double_boundaries(160.0, -0.01, -0.03, vol)
    a, b = 0.5 * vol * vol, -0.01 + 0.03 - 0.5 * vol * vol
    roots = sorted(np.roots([a, b, 0.01]))
    perpetual = sorted(x / (x - 1.0) for x in roots)
    assert lower(160.0) == pytest.approx(perpetual[0], rel=1e-4)
    assert upper(160.0) == pytest.approx(perpetual[1], rel=1e-4)
    _, end, upper, lower = double_boundaries(60.0, -0.01, -0.03, 1.5 * critical)
    assert 0.0 < end < 60.0
    assert upper(end) == pytest.approx(lower(end), abs=1e-9)


@pytest.mark.parametrize("case", [STANDING[0], STANDING[3], MET[1], MET[2]])
@pytest.mark.parametrize("spot", [40.0, 97.0, 120.0])
def test_greeks_are_derivatives_of_the_price(spot, case):
    """Against sixth-order differences of the price itself, each point solved from scratch."""
    years, rate, dividend_yield, vol = case
    row = greeks(spot, case)

    def slope(f, h):
        return (45.0 * (f(h) - f(-h)) - 9.0 * (f(2 * h) - f(-2 * h)) + f(3 * h) - f(-3 * h)) / (60.0 * h)

    def bend(f, h):
        return (f(-h) * 16 - f(-2 * h) + f(h) * 16 - f(2 * h) - 30 * f(0.0)) / (12.0 * h * h)

    def moved(column):
        return lambda h: price(spot, tuple(x + h * (i == column) for i, x in enumerate(case)))

    def delta(column):
        return lambda h: greeks(spot, tuple(x + h * (i == column) for i, x in enumerate(case)))[1]

    size = 1e-6 * (1.0 + abs(row))
    assert row[Greek.DELTA] == pytest.approx(slope(lambda h: price(spot + h, case), 0.05), abs=size[1])
    assert row[Greek.GAMMA] == pytest.approx(bend(lambda h: price(spot + h, case), 0.2), abs=1e-5)
    small = 0.02 * min(-rate, rate - dividend_yield)
    assert row[Greek.VEGA] == pytest.approx(slope(moved(3), 0.01 * vol), rel=1e-4, abs=1e-4)
    assert row[Greek.THETA] == pytest.approx(-slope(moved(0), 0.01 * years), rel=1e-4, abs=1e-4)
    assert row[Greek.RHO] == pytest.approx(slope(moved(1), small), rel=1e-3, abs=1e-2)
    assert row[10] == pytest.approx(slope(moved(2), small), rel=1e-3, abs=1e-2)
    assert row[Greek.VANNA] == pytest.approx(slope(delta(3), 0.01 * vol), rel=1e-3, abs=1e-3)
    assert row[Greek.CHARM] == pytest.approx(-slope(delta(0), 0.01 * years), rel=1e-3, abs=1e-5)


def test_value_lies_above_payoff_and_falls_with_the_spot():
    for case in STANDING + MET:
        spots = np.linspace(20.0, 200.0, 91)
        values = np.array([price(s, case) for s in spots])
        assert (values >= np.maximum(100.0 - spots, 0.0) - 1e-9).all()
        assert (np.diff(values) <= 1e-9).all()
        assert (np.diff(values, 2) >= -1e-7).all()  # convex


def test_homogeneous_in_spot_and_strike():
    case = MET[0]
    small, large = greeks(0.9, case, strike=1.0), greeks(900.0, case, strike=1000.0)
    assert large[0] == pytest.approx(1000.0 * small[0], rel=1e-12)
    assert large[2] == pytest.approx(small[2] / 1000.0, rel=1e-9)
    assert large[Greek.CHARM] == pytest.approx(small[Greek.CHARM], rel=1e-9)


def test_random_cases_converge():
    rng = np.random.default_rng(3)
    for _ in range(60):
        dividend_yield = -(10 ** rng.uniform(-3, -1))
        case = (
            10 ** rng.uniform(-2.5, 1.4), dividend_yield * rng.uniform(0.02, 0.98), dividend_yield,
            10 ** rng.uniform(-1.5, -0.1),
        )  # fmt: skip
        row = greeks(100.0 * math.exp(0.3 * rng.normal()), case)
        assert np.isfinite(row).all()


@pytest.mark.parametrize(
    "case",
    [
        (math.nan, 100.0, 1.0, -0.01, -0.02, 0.1), (90.0, math.inf, 1.0, -0.01, -0.02, 0.1),
        (-90.0, 100.0, 1.0, -0.01, -0.02, 0.1), (90.0, 100.0, 1.0, 0.01, -0.02, 0.1),
        (90.0, 100.0, 1.0, -0.02, -0.01, 0.1),
    ],
)  # fmt: skip
def test_bad_input_and_foreign_regimes_are_refused(case):
    row = np.zeros(11)
    assert double_boundary_row(*case, WORK, row) == PriceStatus.BAD_INPUT
    assert np.isnan(row).all()
    assert double_boundary_price(*case, WORK)[1] == PriceStatus.BAD_INPUT


def test_without_uncertainty_exercise_is_at_the_best_time():
    years, rate, dividend_yield = 30.0, -0.02, -0.03
    for spot in (50.0, 66.0, 90.0, 101.0, 150.0):
        row = np.zeros(11)
        assert double_boundary_row(spot, 100.0, years, rate, dividend_yield, 0.0, WORK, row) == PriceStatus.INTRINSIC
        times = np.linspace(0.0, years, 200_001)
        best = (100.0 * np.exp(-rate * times) - spot * np.exp(-dividend_yield * times)).max()
        assert row[0] == pytest.approx(max(best, 0.0), rel=1e-9)
    assert double_boundary_price(90.0, 100.0, -1.0, rate, dividend_yield, 0.2, WORK) == (10.0, PriceStatus.INTRINSIC)


def european(spot, case):
    return spot_greeks(spot, 100.0, *case, -1)


def test_at_the_edges_of_the_regime_it_joins_its_neighbours():
    # Rate just under the zero: the lower boundary is gone, nothing else happens; Greeks too cross the zero.
    near, nearer = greeks(90.0, (1.0, -1e-6, -0.02, 0.2)), greeks(90.0, (1.0, -5e-324, -0.02, 0.2))
    assert nearer[0] == pytest.approx(near[0] + 1e-6 * near[5], rel=1e-8)
    assert nearer[3:] == pytest.approx(near[3:], rel=1e-3)
    # Yield just under the rate: exercise earns nothing.
    for gap in (1e-6, 1e-9, 1e-17):
        case = (1.0, -0.01, -0.01 - gap, 0.2)
        assert price(90.0, case) == pytest.approx(european(90.0, case)[0], abs=1e-6)


@pytest.mark.parametrize(
    ("spot", "case"),
    [
        (99.9, (0.1, -0.12, -0.52, 0.0101)), (99.0, (8.0, -0.007, -0.096, 0.0146)), (101.0, (17.0, -6e-4, -0.28, 0.1)),
        (99.3, (400.0, -0.01, -0.03, 0.062)),
    ],
)  # fmt: skip
def test_long_lives_at_low_volatility_rest_on_flat_boundaries(spot, case):
    assert greeks(spot, case)[0] == pytest.approx(on_grid(spot, case)[0], abs=1e-4)


def test_extremes_keep_within_bounds():
    rng = np.random.default_rng(9)
    failed = 0
    for _ in range(500):
        dividend_yield = -(10 ** rng.uniform(-4, 0))
        years, vol = 10 ** rng.uniform(-4, 1.5), 10 ** rng.uniform(-2, 0.5)
        case = (years, dividend_yield * 10 ** rng.uniform(-4, -0.0005), dividend_yield, vol)
        spot = 100.0 * math.exp(rng.normal() * vol * math.sqrt(years))
        value, status = double_boundary_price(spot, 100.0, *case, WORK)
        failed += status != PriceStatus.OK
        if status == PriceStatus.OK:
            assert value >= max(100.0 - spot, european(spot, case)[0]) - 1e-8
            assert value <= 100.0 * math.exp(-case[1] * years) + 1e-8
    assert failed <= 5
