"""The exercise boundary, price and Greeks of single American options against QuantLib, literals and high precision."""

import inspect
import math

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr

from gpu.american.batch import american_greeks, american_prices
from gpu.american.boundary import curve_size, solve_curve
from gpu.american.put import AMERICAN_ROWS, AmericanRow
from gpu.american.row import american_boundary, american_price, american_row, workspace
from gpu.american.rules import CURVE_STEPS, CURVE_TOP, REFERENCE, WORK_SLOT, pack_rules
from gpu.european.greeks import Greek, spot_greeks
from gpu.maths.wide import machine_width, vector_width, wide_support
from gpu.status import PriceStatus

RULES, WORK = workspace()
FINE, FINE_WORK = workspace(pack_rules(REFERENCE))


def row_of(spot, strike, years, rate, dividend_yield, vol, right, fine=False):
    row = np.empty(AMERICAN_ROWS)
    rules, work = (FINE, FINE_WORK) if fine else (RULES, WORK)
    status = american_row(spot, strike, years, rate, dividend_yield, vol, right, rules, work, row)
    return row, status


def price_of(*option, fine=False):
    rules, work = (FINE, FINE_WORK) if fine else (RULES, WORK)
    price, status = american_price(*option, rules, work)
    assert status == PriceStatus.OK
    return price


def quantlib_price(spot, strike, days, rate, dividend_yield, vol, right):
    """QdFp with 40 nodes, 16 sweeps and system A; ``days`` / 365 years.

    Its own highPrecisionScheme stops after 10 sweeps, up to 1e-7 short of where it is going.
    """
    today = ql.Date(2, 1, 2024)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    curve = lambda value: ql.YieldTermStructureHandle(ql.FlatForward(today, value, count))  # noqa: E731
    surface = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), vol, count))
    quote = ql.QuoteHandle(ql.SimpleQuote(spot))
    process = ql.BlackScholesMertonProcess(quote, curve(dividend_yield), curve(rate), surface)
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
    option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + days))
    scheme = ql.QdFpTanhSinhIterationScheme(16, 40, 1e-10)
    option.setPricingEngine(ql.QdFpAmericanEngine(process, scheme, ql.QdFpAmericanEngine.FP_A))
    return option.NPV()


def domain_sample(count, seed):
    """Standard domain: rates and yields 0..10 %, vol 10..60 %, a week to three years, spot / strike 0.6..1.6."""
    draw = np.random.default_rng(seed)
    for k in range(count):
        rate, dividend_yield = draw.uniform(0.0, 0.1, 2)
        if k % 5 == 1:
            dividend_yield = 0.0
        elif k % 5 == 2:
            dividend_yield = rate
        days = int(draw.choice([7, 30, 91, 182, 365, 730, 1095]))
        right = 1 if k % 3 == 0 else -1
        yield 100.0 * draw.uniform(0.6, 1.6), 100.0, days, rate, dividend_yield, draw.uniform(0.1, 0.6), right


def test_the_published_point_of_andersen_lake_offengenden():
    price = price_of(100.0, 100.0, 1.0, 0.05, 0.05, 0.25, -1)
    european = spot_greeks(100.0, 100.0, 1.0, 0.05, 0.05, 0.25, -1)[0]
    assert price == pytest.approx(9.569445298914, abs=2e-9)
    assert price - european == pytest.approx(0.106952702747, abs=2e-9)


def test_prices_are_within_1e_7_of_quantlib_at_its_best():
    worst = 0.0
    for spot, strike, days, rate, dividend_yield, vol, right in domain_sample(36, 11):
        got = price_of(spot, strike, days / 365, rate, dividend_yield, vol, right)
        worst = max(worst, abs(got - quantlib_price(spot, strike, days, rate, dividend_yield, vol, right)))
    assert worst < 1e-7


def test_prices_and_greeks_are_those_of_a_far_finer_discretisation():
    price_error, first_error, second_error = 0.0, 0.0, 0.0
    first = [AmericanRow.DELTA, AmericanRow.VEGA, AmericanRow.THETA, AmericanRow.RHO, AmericanRow.DIVIDEND_RHO]
    second = [AmericanRow.GAMMA, AmericanRow.VANNA, AmericanRow.VOLGA, AmericanRow.CHARM, AmericanRow.VETA]
    # Rows in units that make them comparable: per strike, per 1 % of spot and of volatility, per life.
    for spot, strike, days, rate, dividend_yield, vol, right in domain_sample(300, 12):
        years = days / 365
        got, status = row_of(spot, strike, years, rate, dividend_yield, vol, right)
        want, _ = row_of(spot, strike, years, rate, dividend_yield, vol, right, fine=True)
        assert status == PriceStatus.OK
        scale = np.maximum(np.abs(want), 1e-2 * unit_scales(strike, years, vol))
        error = np.abs(got - want) / scale
        price_error = max(price_error, abs(got[0] - want[0]))
        first_error, second_error = max(first_error, error[first].max()), max(second_error, error[second].max())
    assert price_error < 1e-7
    assert first_error < 2e-5
    assert second_error < 2e-4


def unit_scales(strike, years, vol):
    """The size of each row near the money: what errors are measured against where a Greek is nearly zero."""
    root = math.sqrt(years)
    return np.array([
        strike, 1.0, 1.0 / (strike * vol * root), strike * root, strike * vol / root, strike * years, 1.0 / vol,
        strike * root / vol, 1.0 / years, strike / root, strike * years,
    ])  # fmt: skip


CASES = [
    (100.0, 100.0, 1.0, 0.05, 0.05, 0.25, -1),
    (110.0, 100.0, 0.5, 0.08, 0.02, 0.3, -1),
    (95.0, 100.0, 1.5, 0.03, 0.07, 0.4, -1),
    (90.0, 100.0, 0.25, 0.02, 0.09, 0.35, 1),
    (104.0, 100.0, 2.0, 0.06, 0.03, 0.2, 1),
    (98.0, 100.0, 1.0, 0.04, -0.02, 0.25, -1),
]


@pytest.mark.parametrize("case", CASES)
def test_greeks_are_derivatives_of_the_price(case):
    """Fourth and sixth order differences of the fine discretisation's price, in every variable and pair."""
    *variables, right = case
    steps = np.array([2e-3 * case[0], 0.0, 2e-3 * case[2], 1e-3, 1e-3, 4e-3 * case[5]])

    def price(moves):
        moved = list(variables)
        for axis, size in moves:
            moved[axis] += size * steps[axis]
        return price_of(*moved, right, fine=True)

    stencil = ((-3, -1 / 60), (-2, 3 / 20), (-1, -3 / 4), (1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
    curvature = ((-3, 1 / 90), (-2, -3 / 20), (-1, 3 / 2), (0, -49 / 18), (1, 3 / 2), (2, -3 / 20), (3, 1 / 90))

    def once(axis):
        return sum(w * price([(axis, m)]) for m, w in stencil) / steps[axis]

    def twice(axis):
        return sum(w * price([(axis, m)]) for m, w in curvature) / steps[axis] ** 2

    def mixed(one, other):
        total = sum(w * u * price([(one, m), (other, k)]) for m, w in stencil for k, u in stencil)
        return total / (steps[one] * steps[other])

    got, _ = row_of(*case)
    spot, years, rate, dividend, vol = 0, 2, 3, 4, 5
    want = [
        price([]), once(spot), twice(spot), once(vol), -once(years), once(rate),
        mixed(spot, vol), twice(vol), -mixed(spot, years), -mixed(vol, years), once(dividend),
    ]  # fmt: skip
    scale = np.maximum(np.abs(want), 0.1 * unit_scales(case[1], case[2], case[5]))
    error = np.abs(got - want) / scale
    assert error[[0, 1, 3, 4, 5, 10]].max() < 2e-6
    assert error[[2, 6, 7, 8, 9]].max() < 2e-5


def test_greeks_against_differences_of_quantlib():
    """An implementation apart: delta, gamma, vega, rho, dividend rho, volga at the published point."""
    base = (100.0, 100.0, 365, 0.05, 0.05, 0.25, -1)

    def moved(axis, h):
        values = [quantlib_price(*base[:axis], base[axis] + m * h, *base[axis + 1 :]) for m in (-2, -1, 0, 1, 2)]
        first = (8 * (values[3] - values[1]) - (values[4] - values[0])) / (12 * h)
        second = (16 * (values[3] + values[1]) - values[4] - values[0] - 30 * values[2]) / (12 * h * h)
        return first, second

    got, _ = row_of(100.0, 100.0, 1.0, 0.05, 0.05, 0.25, -1)
    delta, gamma = moved(0, 0.5)
    vega, volga = moved(5, 0.004)
    assert got[AmericanRow.DELTA] == pytest.approx(delta, abs=1e-7)
    assert got[AmericanRow.GAMMA] == pytest.approx(gamma, abs=1e-7)
    assert got[AmericanRow.VEGA] == pytest.approx(vega, rel=1e-6)
    assert got[AmericanRow.VOLGA] == pytest.approx(volga, rel=1e-4)
    # At r = q the boundary begins to leave the strike at expiry: small steps, the price is not analytic there.
    assert got[AmericanRow.RHO] == pytest.approx(moved(3, 1e-4)[0], rel=3e-7)
    assert got[AmericanRow.DIVIDEND_RHO] == pytest.approx(moved(4, 1e-4)[0], rel=3e-7)


@pytest.mark.parametrize(("vol", "years", "column"), [(0.2, 1.0, 0), (0.2, 2.0, 1), (0.4, 1.0, 2), (0.4, 2.0, 3)])
def test_the_true_american_column_behind_longstaff_and_schwartz(vol, years, column):
    """Not their table, which is Bermudan with 50 dates a year and lower by up to 0.3 %."""
    table = {
        36: (4.486674, 4.848304, 7.108980, 8.514185),
        38: (3.257197, 3.751381, 6.154590, 7.674906),
        40: (2.319574, 2.889951, 5.318294, 6.923458),
        42: (1.621155, 2.216724, 4.588160, 6.250236),
        44: (1.112962, 1.693330, 3.952785, 5.646731),
    }
    for spot, row in table.items():
        assert price_of(float(spot), 40.0, years, 0.06, 0.0, vol, -1) == pytest.approx(row[column], abs=6e-7)


def test_true_values_of_the_points_that_haug_prints_with_an_approximation():
    assert price_of(100.0, 100.0, 0.1, 0.1, 0.1, 0.15, 1) == pytest.approx(1.876453, abs=6e-7)
    assert price_of(90.0, 100.0, 0.5, 0.1, 0.1, 0.35, -1) == pytest.approx(14.669408, abs=6e-7)


@pytest.mark.parametrize(
    ("rate", "dividend", "dev"), [(0.05, 0.02, 0.25), (0.06, 0.06, 0.4), (0.04, 0.09, 0.3), (0.0, -0.03, 0.2)]
)
def test_smooth_pasting_holds_between_the_nodes(rate, dividend, dev):
    """The option's delta on its boundary is -1 at every age: adaptive quadrature over the solved boundary."""
    curve, work = np.zeros(curve_size(RULES)), np.zeros(int(RULES[WORK_SLOT]))

    def log_boundary(age):
        """ln(B/K) with ``age`` of the life left, from a solve of that shorter life."""
        assert solve_curve(rate * age, dividend * age, dev * math.sqrt(age), False, RULES, work, curve)
        return curve[CURVE_TOP]

    ages = 0.5 * (1.0 + np.cos(np.pi * np.arange(41) / 40))[:-1] ** 2
    nodes = np.sqrt(np.append(2.0 * ages, 0.0))
    start = math.log(rate / dividend) if dividend > rate else 0.0
    values = np.append([log_boundary(2.0 * a) if 2.0 * a <= 1.0 else np.nan for a in ages], start)
    keep = ~np.isnan(values)
    shape = np.polynomial.chebyshev.Chebyshev.fit(nodes[keep] ** 0.5, values[keep], 14)
    own = log_boundary(1.0)

    def integrand(angle):
        s, u = math.sin(angle) ** 2, math.cos(angle) ** 2
        v = dev * math.sin(angle)
        other = float(shape(u**0.25))
        d = (own - other + (rate - dividend) * s) / v + 0.5 * v
        density = math.exp(-0.5 * d * d) / math.sqrt(2.0 * math.pi)
        flow = dividend * ndtr(d) - (rate * math.exp(-other) - dividend) * density / v
        return math.exp(-dividend * s) * flow * math.sin(2.0 * angle)

    d = (own + rate - dividend) / dev + 0.5 * dev
    integral, _ = quad(integrand, 0.0, 0.5 * math.pi, epsabs=1e-11, limit=200)
    assert math.exp(-dividend) * ndtr(d) + integral == pytest.approx(0.0, abs=2e-6)


def test_the_boundary_of_a_long_life_is_the_perpetual_one():
    rate, dividend, vol = 0.08, 0.03, 0.3
    beta = 0.5 - (rate - dividend) / vol**2
    root = beta - math.sqrt(beta**2 + 2.0 * rate / vol**2)
    got = american_boundary(60.0, rate, dividend, vol, -1, RULES, WORK)
    assert got == pytest.approx(root / (root - 1.0), rel=2e-4)
    assert american_boundary(60.0, dividend, rate, vol, 1, RULES, WORK) == pytest.approx(1.0 / got, rel=1e-12)


def test_the_boundary_near_expiry_starts_at_strike_or_at_the_ratio_of_rate_and_yield():
    assert american_boundary(1e-9, 0.05, 0.02, 0.2, -1, RULES, WORK) == pytest.approx(1.0, abs=5e-5)
    assert american_boundary(1e-9, 0.02, 0.05, 0.2, -1, RULES, WORK) == pytest.approx(0.4, abs=1e-5)
    assert math.isnan(american_boundary(1.0, -0.01, 0.02, 0.2, -1, RULES, WORK))
    assert math.isnan(american_boundary(1.0, 0.05, 0.0, 0.2, 1, RULES, WORK))


def test_spot_greeks_stay_exact_through_the_thin_layer_at_the_boundary():
    """From far to 1e-5 deviations above it, third derivatives included (charm, veta)."""
    years, rate, dividend_yield, vol = 1.0, 0.05, 0.02, 0.25
    start = 100.0 * american_boundary(years, rate, dividend_yield, vol, -1, RULES, WORK)
    for distance in (1e-4, 1e-3, 0.01, 0.05, 0.2, 1.0):
        spot = start * math.exp(distance * vol)
        got, _ = row_of(spot, 100.0, years, rate, dividend_yield, vol, -1)
        want, _ = row_of(spot, 100.0, years, rate, dividend_yield, vol, -1, fine=True)
        assert np.abs(got - want) / unit_scales(100.0, years, vol) == pytest.approx(np.zeros(AMERICAN_ROWS), abs=2e-5)


def test_at_the_boundary_value_and_delta_join_the_payoff_and_gamma_jumps():
    years, rate, dividend_yield, vol = 1.0, 0.05, 0.02, 0.25
    start = 100.0 * american_boundary(years, rate, dividend_yield, vol, -1, RULES, WORK)
    below, _ = row_of(start * (1.0 - 1e-12), 100.0, years, rate, dividend_yield, vol, -1)
    above, _ = row_of(start * (1.0 + 1e-12), 100.0, years, rate, dividend_yield, vol, -1)
    assert below[0] == pytest.approx(100.0 - start, abs=1e-9)
    assert list(below[1:]) == [-1.0] + [0.0] * 9
    assert above[:2] == pytest.approx(below[:2], abs=1e-6)
    jump = 2.0 * (rate * 100.0 - dividend_yield * start) / (vol * start) ** 2  # from the equation at theta = 0
    assert above[AmericanRow.GAMMA] == pytest.approx(jump, rel=1e-4)
    assert above[AmericanRow.THETA] == pytest.approx(0.0, abs=1e-3)


def test_time_scaling_ties_theta_to_vega_rho_and_dividend_rho():
    """T V_T = r V_r + q V_q + (v / 2) V_v: theta comes from the pricing equation, the others from the boundary."""
    for case in CASES:
        row, _ = row_of(*case)
        _, _, years, rate, dividend_yield, vol, _ = case
        right_side = rate * row[5] + dividend_yield * row[10] + 0.5 * vol * row[3]
        assert -years * row[AmericanRow.THETA] == pytest.approx(right_side, abs=2e-5)


def test_a_call_is_the_put_with_spot_and_strike_rate_and_yield_exchanged():
    call, _ = row_of(103.0, 95.0, 0.7, 0.03, 0.06, 0.28, 1)
    put, _ = row_of(95.0, 103.0, 0.7, 0.06, 0.03, 0.28, -1)
    for row in (AmericanRow.PRICE, AmericanRow.VEGA, AmericanRow.THETA, AmericanRow.VOLGA, AmericanRow.VETA):
        assert call[row] == put[row]
    assert call[AmericanRow.RHO] == put[AmericanRow.DIVIDEND_RHO]
    up, down = (price_of(103.0 + h, 95.0, 0.7, 0.03, 0.06, 0.28, 1) for h in (0.01, -0.01))
    assert call[AmericanRow.DELTA] == pytest.approx((up - down) / 0.02, abs=1e-7)


@pytest.mark.parametrize(
    ("rate", "dividend_yield", "right"),
    [(0.0, 0.03, -1), (0.0, 0.0, -1), (-0.01, 0.02, -1), (-0.02, -0.01, -1), (0.05, 0.0, 1), (0.03, -0.01, 1)],
)
def test_without_a_gain_from_early_exercise_the_row_is_the_european_one(rate, dividend_yield, right):
    row, status = row_of(101.0, 100.0, 0.8, rate, dividend_yield, 0.3, right)
    european = spot_greeks(101.0, 100.0, 0.8, rate, dividend_yield, 0.3, right)
    assert status == PriceStatus.OK
    assert row[:10] == pytest.approx(european[:10], rel=1e-12)
    assert row[AmericanRow.DIVIDEND_RHO] == pytest.approx(-0.8 * 101.0 * european[Greek.DELTA], rel=1e-12)


def test_vanishing_rates_join_the_european_value_continuously():
    european = spot_greeks(100.0, 105.0, 1.0, 0.0, 0.0, 0.25, -1)[0]
    for rate in (1e-4, 1e-7, 1e-10, 1e-13, 1e-17):
        assert price_of(100.0, 105.0, 1.0, rate, 0.0, 0.25, -1) == pytest.approx(european, abs=100.0 * rate + 1e-12)


options = st.tuples(
    st.floats(50.0, 180.0), st.floats(1e-5, 4.0), st.floats(-0.02, 0.12), st.floats(-0.02, 0.12), st.floats(0.05, 1.2)
).filter(lambda x: not (x[3] < x[2] < 0.0 or x[2] < x[3] < 0.0))


@given(options, st.sampled_from([-1, 1]))
def test_bounds_convexity_and_monotony(option, right):
    spot, years, rate, dividend_yield, vol = option
    strikes = np.array([95.0, 100.0, 105.0])
    prices = [price_of(spot, k, years, rate, dividend_yield, vol, right) for k in strikes]
    for strike, price in zip(strikes, prices, strict=True):
        assert price >= max(right * (spot - strike), 0.0) - 1e-9
        assert price >= spot_greeks(spot, strike, years, rate, dividend_yield, vol, right)[0] - 1e-7
        assert price <= (spot if right > 0 else strike) * math.exp(max(-rate, -dividend_yield, 0.0) * years) + 1e-9
    assert prices[0] - 2.0 * prices[1] + prices[2] >= -1e-7
    assert right * (prices[0] - prices[2]) >= -1e-7
    longer = price_of(spot, 100.0, years * 1.2, rate, dividend_yield, vol, right)
    wilder = price_of(spot, 100.0, years, rate, dividend_yield, vol * 1.1, right)
    assert longer >= prices[1] - 1e-7
    assert wilder >= prices[1] - 1e-7


def test_a_minute_to_expiry_and_volatilities_from_tiny_to_huge():
    minute = 1.0 / (365 * 24 * 60)
    assert price_of(100.0, 100.0, minute, 0.05, 0.02, 0.2, -1) == pytest.approx(
        spot_greeks(100.0, 100.0, minute, 0.05, 0.02, 0.2, -1)[0], abs=1e-5
    )
    assert price_of(90.0, 100.0, minute, 0.05, 0.02, 0.2, -1) == pytest.approx(10.0, abs=1e-12)
    for vol in (0.02, 0.05, 2.0, 6.0):
        got, status = row_of(100.0, 100.0, 1.0, 0.05, 0.02, vol, -1)
        assert status == PriceStatus.OK
        assert np.isfinite(got).all()
        assert got[0] == pytest.approx(price_of(100.0, 100.0, 1.0, 0.05, 0.02, vol, -1, fine=True), abs=1e-5)
    # Between little chance and none the boundary is a layer that is not resolved: refused, not inexact.
    row, status = row_of(100.0, 100.0, 1.0, 0.05, 0.02, 0.003, -1)
    assert status == PriceStatus.NOT_CONVERGED
    assert np.isnan(row).all()
    assert row_of(100.0, 100.0, 1.0, 0.05, 0.02, 0.0032, -1)[1] == PriceStatus.OK
    # So little chance that the put at the money is worth what the path without chance says: nothing.
    row, status = row_of(100.0, 100.0, 1.0, 0.05, 0.02, 0.0, -1)
    assert status == PriceStatus.INTRINSIC
    assert row[0] == 0.0


def test_without_volatility_the_put_is_exercised_at_the_best_time():
    # Spot falls by 10 % a year, the strike earns 2 %: wait until 0.02 * 100 exp(-.02 t) = 0.1 S exp(-.1 t).
    row, status = row_of(60.0, 100.0, 12.0, 0.02, 0.1, 0.0, -1)
    times = np.linspace(0.0, 12.0, 200_001)
    best = (100.0 * np.exp(-0.02 * times) - 60.0 * np.exp(-0.1 * times)).max()
    assert status == PriceStatus.INTRINSIC
    assert row[0] == pytest.approx(best, abs=1e-7)
    assert price_of_certain(60.0, 100.0, 12.0, 0.02, 0.1) == pytest.approx(best, abs=1e-7)
    for h in (0.1,):
        up, down = (
            price_of_certain(60.0 + h, 100.0, 12.0, 0.02, 0.1),
            price_of_certain(60.0 - h, 100.0, 12.0, 0.02, 0.1),
        )
        assert row[AmericanRow.DELTA] == pytest.approx((up - down) / (2 * h), abs=1e-6)
        assert row[AmericanRow.GAMMA] == pytest.approx((up + down - 2 * row[0]) / h**2, rel=1e-4)


def price_of_certain(spot, strike, years, rate, dividend_yield):
    price, status = american_price(spot, strike, years, rate, dividend_yield, 0.0, -1, RULES, WORK)
    assert status == PriceStatus.INTRINSIC
    return price


@pytest.mark.parametrize("trifle", [5e-324, -5e-324, 1e-300, 1e-200, -1e-100, 1e-17])
def test_rates_too_small_to_matter_are_none(trifle):
    for rate, dividend_yield, right in ((trifle, 0.04, -1), (0.04, trifle, -1), (0.0625, trifle, 1), (trifle, 0.04, 1)):
        clean = [0.0 if x == trifle else x for x in (rate, dividend_yield)]
        row, status = row_of(95.0, 100.0, 0.5, rate, dividend_yield, 0.3, right)
        want, _ = row_of(95.0, 100.0, 0.5, *clean, 0.3, right)
        assert status == PriceStatus.OK
        assert (row == want).all()
        assert price_of(95.0, 100.0, 0.5, rate, dividend_yield, 0.3, right) == pytest.approx(want[0], abs=1e-12)


def test_expired_options_are_worth_their_payoff():
    for years in (0.0, -0.5):
        row, status = row_of(90.0, 100.0, years, 0.05, 0.01, 0.3, -1)
        assert status == PriceStatus.INTRINSIC
        assert (row[0], row[1]) == (10.0, -1.0)


def arrays(*options):
    columns = [np.array(x, float) for x in zip(*options, strict=True)]
    return [*columns[:6], columns[6].astype(np.int8)]


def test_bad_rows_have_their_status_and_touch_no_neighbour():
    good = (100.0, 105.0, 0.5, 0.04, 0.02, 0.3, -1)
    bad = [tuple(v if j == k else x for j, x in enumerate(good)) for k in range(6) for v in (math.nan, math.inf)]
    bad += [(0.0, *good[1:]), (-5.0, *good[1:]), (100.0, 0.0, *good[2:])]
    bad += [(*good[:6], right) for right in (0, 2, -3)] + [(1e101, *good[1:]), (*good[:3], 2000.0, *good[4:])]
    rows = [good]
    for option in bad:
        rows += [option, good]
    out, status = np.zeros((AMERICAN_ROWS, len(rows))), np.full(len(rows), 99, np.uint8)
    american_greeks(*arrays(*rows), out, status)
    prices, price_status = np.zeros(len(rows)), np.full(len(rows), 99, np.uint8)
    american_prices(*arrays(*rows), prices, price_status)
    want, _ = row_of(*good)
    assert (status[::2] == PriceStatus.OK).all()
    assert (status[1::2] == PriceStatus.BAD_INPUT).all()
    assert (out[:, ::2] == want[:, None]).all()
    assert np.isnan(out[:, 1::2]).all()
    assert (price_status == status).all()
    assert np.isnan(prices[1::2]).all()
    assert prices[::2] == pytest.approx(np.full(len(bad) + 1, want[0]), abs=1e-12)


def test_a_shared_boundary_gives_the_same_rows_in_any_order():
    draw = np.random.default_rng(4)
    options = [(s, 100.0, 0.5, 0.04, 0.02, v, w) for s in (90.0, 101.0, 115.0) for v in (0.2, 0.35) for w in (-1, 1)]
    shuffled = [options[i] for i in draw.permutation(len(options))]
    results = []
    for rows in (options, shuffled):
        out, status = np.zeros((AMERICAN_ROWS, len(rows))), np.zeros(len(rows), np.uint8)
        american_greeks(*arrays(*rows), out, status)
        results.append({row: tuple(out[:, k]) for k, row in enumerate(rows)})
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("years", "rate", "dividend_yield", "vol"),
    [
        (1.5290554316098057, 0.09888183797022511, 0.09884849789725597, 0.1987418303558731),
        (2.778347271818949, 0.0839861654775528, 0.08270168424717439, 0.38206969734508944),
        (4.690087325840867, 0.09063615549731793, 0.0897082766825451, 0.39070676973619844),
        (2.4827293514550672, 0.09575752936541135, 0.09150298392666462, 0.4772877343344828),
    ],
)
def test_long_lives_with_the_rate_close_to_the_yield_are_solved(years, rate, dividend_yield, vol):
    """Where the first guess used to have a kink and Newton lost its way, once in tens of thousands of options."""
    option = (100.0, 100.0, years, rate, dividend_yield, vol, -1)
    assert price_of(*option) == pytest.approx(price_of(*option, fine=True), abs=1e-7)


def test_three_or_four_linear_systems_solve_any_boundary_of_the_domain():
    curve, work = np.zeros(curve_size(RULES)), np.zeros(int(RULES[WORK_SLOT]))
    draw = np.random.default_rng(8)
    steps = []
    for _ in range(500):
        rate, dividend = draw.uniform(0.0, 0.1, 2)
        years, vol = math.exp(draw.uniform(math.log(1 / 52), math.log(3.0))), draw.uniform(0.1, 0.6)
        assert solve_curve(rate * years, dividend * years, vol * math.sqrt(years), True, RULES, work, curve)
        steps.append(curve[CURVE_STEPS])
    assert max(steps) <= 6
    assert np.mean(steps) < 4.0


def test_the_loops_are_vectors():
    import gpu.american.boundary as boundary
    import gpu.american.value as value

    if wide_support():
        pytest.skip(wide_support())
    for kernel in (boundary._points, boundary._spread, boundary._equations, value._derivative_terms):
        examples = {int: 8, float: 0.5}
        names = inspect.signature(kernel.py_func).parameters.values()
        kernel(*(examples[x.annotation] if x.annotation in examples else np.full(4096, 0.5) for x in names))
        assert vector_width(kernel) == machine_width(), kernel.__name__
