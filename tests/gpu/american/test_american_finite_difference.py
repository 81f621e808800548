import math

import numpy as np
import pytest

from gpu.american.finite_difference import GRID_WORK, OUT_ROWS, DividendModel, finite_difference_row
from gpu.european.greeks import Greek, spot_greeks
from gpu.status import PriceStatus
from tests.gpu.american.quantlib_american import DAY, exact, grid, smooth

NONE = np.empty(0)

#: spot, strike, days, rate, yield, vol, right: boundaries near and far, rates of both signs, years from 0.05 to 5.
CASES = [
    (100.0, 100.0, 365, 0.05, 0.05, 0.25, -1),
    (100.0, 100.0, 365, 0.05, 0.05, 0.25, 1),
    (90.0, 100.0, 365, 0.05, 0.0, 0.25, -1),
    (110.0, 100.0, 73, 0.05, 0.02, 0.4, -1),
    (100.0, 120.0, 1825, 0.02, 0.07, 0.3, 1),
    (100.0, 100.0, 365, 0.0, 0.08, 0.3, 1),
    (98.0, 100.0, 18, 0.03, 0.0, 0.15, -1),
    (100.0, 95.0, 365, 0.04, -0.03, 0.2, -1),
    (100.0, 105.0, 365, -0.03, 0.04, 0.2, 1),
]


def solve(spot, strike, years, rate, dividend_yield, vol, right, nodes=200, american=True, greeks=False):
    work, out = np.empty((GRID_WORK, nodes)), np.empty(OUT_ROWS)
    status = finite_difference_row(
        spot, strike, years, rate, dividend_yield, vol, right, NONE, NONE, DividendModel.SPOT, american, nodes // 2,
        greeks, work, out,
    )  # fmt: skip
    return out, status


def extrapolated(*arguments, nodes=400, greeks=False):
    fine, coarse = (
        solve(*arguments, nodes=nodes, greeks=greeks)[0],
        solve(*arguments, nodes=nodes // 2, greeks=greeks)[0],
    )
    return fine + (fine - coarse) / 3.0


@pytest.mark.parametrize("case", CASES)
def test_price_against_spectral_collocation(case):
    spot, strike, days, *rest = case
    reference = exact(*case)
    assert extrapolated(spot, strike, days * DAY, *rest)[0] == pytest.approx(reference, abs=4e-6)


def test_price_converges_with_the_square_of_the_spacing():
    reference = 9.569445298914  # S = K = 100, r = q = 5 %, vol 25 %, one year
    errors = [solve(100.0, 100.0, 1.0, 0.05, 0.05, 0.25, -1, nodes)[0][0] - reference for nodes in (100, 200, 400)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.15)


#: True American values behind Longstaff and Schwartz's table 1: K = 40, r = 6 %.
LONGSTAFF_SCHWARTZ = {
    (36.0, 0.2, 1): 4.486674, (36.0, 0.4, 2): 8.514185, (40.0, 0.2, 2): 2.889951, (40.0, 0.4, 1): 5.318294,
    (44.0, 0.2, 1): 1.112962, (44.0, 0.4, 2): 5.646731,
}  # fmt: skip


@pytest.mark.parametrize(("case", "value"), LONGSTAFF_SCHWARTZ.items())
def test_longstaff_schwartz_puts(case, value):
    spot, vol, years = case
    assert extrapolated(spot, 40.0, float(years), 0.06, 0.0, vol, -1, nodes=800)[0] == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize(
    "case", [(100.0, 100.0, 1825, -0.005, -0.01, 0.15, -1), (90.0, 100.0, 365, -0.01, -0.02, 0.1, -1)]
)
def test_two_boundaries_against_a_foreign_grid(case):
    spot, strike, days, *rest = case
    out = extrapolated(spot, strike, days * DAY, *rest)
    price, delta, gamma = grid(*case)
    assert out[0] == pytest.approx(price, abs=1e-3)
    assert out[1] == pytest.approx(delta, abs=2e-4)
    assert out[2] == pytest.approx(gamma, rel=1e-2)


def test_greeks_against_differences_of_exact_prices():
    spot, strike, days, rate, dividend_yield, vol, right = case = (95.0, 100.0, 365, 0.05, 0.02, 0.25, -1)
    out = extrapolated(spot, strike, days * DAY, rate, dividend_yield, vol, right, greeks=True)

    def price(ds=0.0, dv=0.0, dr=0.0, dq=0.0):
        return smooth(spot + ds, strike, days, rate + dr, dividend_yield + dq, vol + dv, right)

    def slope(h, **names):
        ((name, _),) = names.items()
        return (8.0 * (price(**{name: h}) - price(**{name: -h})) - price(**{name: 2 * h}) + price(**{name: -2 * h})) / (
            12.0 * h
        )

    def cross(a, b):
        return (price(a, b) - price(a, -b) - price(-a, b) + price(-a, -b)) / (4.0 * a * b)

    assert out[Greek.DELTA] == pytest.approx(slope(0.5, ds=0), abs=1e-6)
    assert out[Greek.GAMMA] == pytest.approx((price(0.3) - 2 * price() + price(-0.3)) / 0.09, abs=1e-6)
    assert out[Greek.VEGA] == pytest.approx(slope(0.005, dv=0), rel=2e-4)
    assert out[Greek.RHO] == pytest.approx(slope(0.001, dr=0), rel=2e-4)
    assert out[10] == pytest.approx(slope(0.001, dq=0), rel=2e-4)
    assert out[Greek.VANNA] == pytest.approx(cross(0.5, 0.002), rel=5e-3)
    assert out[Greek.VOLGA] == pytest.approx((price(dv=0.01) - 2 * price() + price(dv=-0.01)) / 1e-4, abs=0.5)
    day = [smooth(*case[:2], days + d, *case[3:]) for d in (-1, 1)]
    assert out[Greek.THETA] == pytest.approx(-(day[1] - day[0]) / (2.0 * DAY), rel=1e-4)
    month = [solve(*case[:2], (days + d) * DAY, *case[3:], nodes=800, greeks=True)[0] for d in (-10, 10)]
    assert out[Greek.CHARM] == pytest.approx(-(month[1][1] - month[0][1]) / (20.0 * DAY), abs=2e-4)
    assert out[Greek.VETA] == pytest.approx(-(month[1][3] - month[0][3]) / (20.0 * DAY), rel=2e-3)


def test_without_early_exercise_the_control_makes_it_exact():
    exact_row = spot_greeks(100.0, 110.0, 0.7, 0.03, 0.01, 0.3, -1)
    out, status = solve(100.0, 110.0, 0.7, 0.03, 0.01, 0.3, -1, nodes=100, american=False)
    assert status == PriceStatus.OK
    assert out[:3] == pytest.approx(exact_row[:3], rel=1e-12)
    # A call without a yield is never exercised early.
    assert solve(100.0, 110.0, 0.7, 0.03, 0.0, 0.3, 1, nodes=100)[0][0] == pytest.approx(
        spot_greeks(100.0, 110.0, 0.7, 0.03, 0.0, 0.3, 1)[0], rel=1e-12
    )


def test_exercise_region_is_the_payoff_to_the_last_digit():
    out, status = solve(60.0, 100.0, 1.0, 0.08, 0.0, 0.2, -1, greeks=True)
    assert status == PriceStatus.OK
    assert out.tolist() == [40.0, -1.0] + [0.0] * 9


def test_mirror_call_and_put():
    put = extrapolated(100.0, 90.0, 1.5, 0.06, 0.02, 0.3, -1)[0]
    call = extrapolated(90.0, 100.0, 1.5, 0.02, 0.06, 0.3, 1)[0]
    assert put == pytest.approx(call, abs=3e-6)


@pytest.mark.parametrize("bad", [0, 1, 2, 3, 4, 5])
def test_bad_numbers_are_a_status(bad):
    case = [100.0, 100.0, 1.0, 0.05, 0.02, 0.2]
    case[bad] = math.nan
    out, status = solve(*case, -1, nodes=64)
    assert status == PriceStatus.BAD_INPUT
    assert np.isnan(out).all()
    assert solve(100.0, 100.0, 1.0, 0.05, 0.02, 0.2, 0, nodes=64)[1] == PriceStatus.BAD_INPUT


@pytest.mark.parametrize("right", [-1, 1])
def test_no_volatility_left(right):
    # Never exercised at once: the forward is worth more than the payoff; and the other way round.
    out, status = solve(100.0, 100.0 + 20.0 * right, 2.0, -0.04 * right, 0.0, 0.0, right)
    assert status == PriceStatus.INTRINSIC
    out, status = solve(100.0, 100.0 - 20.0 * right, 2.0, 0.03, 0.03, 0.0, right)
    assert status == PriceStatus.INTRINSIC
    assert out[0] == pytest.approx(20.0)
    assert out[1] == right
    expired, status = solve(100.0, 110.0, 0.0, 0.03, 0.03, 0.3, -1)
    assert (expired[0], expired[1], status) == (10.0, -1.0, PriceStatus.INTRINSIC)
