import math

import mpmath as mp
import numpy as np
import pytest
import QuantLib as ql

from gpu.european.greeks import GREEK_COUNT, Greek, black_price, greeks, greeks_forward, spot_greeks
from gpu.maths.normal import erfcx, norm_cdf, norm_pdf

CASES = [
    # spot, strike, years, rate, dividend yield, vol, right
    (100.0, 95.0, 0.5, 0.03, 0.01, 0.25, 1),
    (100.0, 95.0, 0.5, 0.03, 0.01, 0.25, -1),
    (60.0, 90.0, 1.7, -0.005, 0.04, 0.45, 1),
    (748.0, 740.0, 0.0006, 0.005, 0.0, 0.19, -1),
    (50.0, 50.0, 2.0, 0.05, 0.05, 0.08, 1),
]


def exact_price(s, k, t, r, q, v, w):
    deviation = v * mp.sqrt(t)
    d1 = (mp.log(s / k) + (r - q) * t) / deviation + deviation / 2
    return w * (s * mp.exp(-q * t) * mp.ncdf(w * d1) - k * mp.exp(-r * t) * mp.ncdf(w * (d1 - deviation)))


def exact_greeks(case):
    """Every Greek as a 50-digit numerical derivative of the price: no formula shared with the kernel."""
    s, k, t, r, q, v = (mp.mpf(x) for x in case[:6])
    w = case[6]

    def derivative(spot=0, vol=0, years=0, rate=0):
        steps = (mp.mpf(10) ** -12 * s, mp.mpf(10) ** -12 * v, mp.mpf(10) ** -12 * t, mp.mpf(10) ** -12)

        def along(order, axis, f):
            if order == 0:
                return f
            inner = along(order - 1, axis, f)
            h = steps[axis]

            def difference(*x):
                up, down = list(x), list(x)
                up[axis] += h
                down[axis] -= h
                return (inner(*up) - inner(*down)) / (2 * h)

            return difference

        f = lambda a, b, c, d: exact_price(a, k, c, d, q, b, w)  # noqa: E731
        for axis, order in enumerate((spot, vol, years, rate)):
            f = along(order, axis, f)
        return f(s, v, t, r)

    with mp.workdps(60):
        return {
            Greek.PRICE: exact_price(s, k, t, r, q, v, w),
            Greek.DELTA: derivative(spot=1),
            Greek.GAMMA: derivative(spot=2),
            Greek.VEGA: derivative(vol=1),
            Greek.THETA: -derivative(years=1),
            Greek.RHO: derivative(rate=1),
            Greek.VANNA: derivative(spot=1, vol=1),
            Greek.VOLGA: derivative(vol=2),
            Greek.CHARM: -derivative(spot=1, years=1),
            Greek.VETA: -derivative(vol=1, years=1),
            Greek.SPEED: derivative(spot=3),
            Greek.ZOMMA: derivative(spot=2, vol=1),
            Greek.COLOUR: -derivative(spot=2, years=1),
            Greek.ULTIMA: derivative(vol=3),
        }


@pytest.mark.parametrize("case", CASES)
def test_price_and_thirteen_greeks_match_high_precision_derivatives(case):
    got = spot_greeks(*case)
    want = exact_greeks(case)
    assert len(got) == GREEK_COUNT == len(want) == len(Greek)
    for greek, value in want.items():
        assert got[greek] == pytest.approx(float(value), rel=2e-9, abs=1e-13), greek.name


@pytest.mark.parametrize(
    ("case", "value"),
    [((60.0, 65.0, 0.25, 0.08, 0.0, 0.30, 1), 2.133368), ((75.0, 70.0, 0.5, 0.10, 0.05, 0.35, -1), 4.086954)],
)
def test_haug_table_values(case, value):
    assert spot_greeks(*case)[Greek.PRICE] == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize("case", CASES)
def test_quantlib_agrees(case):
    s, k, t, r, q, v, w = case
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if w > 0 else ql.Option.Put, k)
    discount, forward = math.exp(-r * t), s * math.exp((r - q) * t)
    calculator = ql.BlackCalculator(payoff, forward, v * math.sqrt(t), discount)
    got = spot_greeks(*case)
    assert got[Greek.PRICE] == pytest.approx(calculator.value(), rel=1e-11, abs=1e-12)
    assert got[Greek.DELTA] == pytest.approx(calculator.delta(s), rel=1e-11)
    assert got[Greek.GAMMA] == pytest.approx(calculator.gamma(s), rel=1e-10)
    assert got[Greek.VEGA] == pytest.approx(calculator.vega(t), rel=1e-10)
    assert got[Greek.RHO] == pytest.approx(calculator.rho(t), rel=1e-10)


def test_vectorised_rows_equal_scalar_rows_and_satisfy_parity():
    columns = [np.array([case[j] for case in CASES]) for j in range(6)]
    calls, puts = np.ones(len(CASES), np.int8), -np.ones(len(CASES), np.int8)
    call, put = np.empty((14, len(CASES))), np.empty((14, len(CASES)))
    greeks(*columns, calls, call)
    greeks(*columns, puts, put)
    for i, case in enumerate(CASES):
        assert tuple((call if case[6] > 0 else put)[:, i]) == spot_greeks(*case)
    s, k, t, r, q, _ = columns
    np.testing.assert_allclose(call[0] - put[0], s * np.exp(-q * t) - k * np.exp(-r * t), atol=1e-11)
    np.testing.assert_allclose(call[Greek.DELTA] - put[Greek.DELTA], np.exp(-q * t), rtol=1e-13)
    for greek in (Greek.GAMMA, Greek.VEGA, Greek.VANNA, Greek.VOLGA, Greek.SPEED, Greek.ZOMMA, Greek.ULTIMA):
        np.testing.assert_allclose(call[greek], put[greek], rtol=1e-12)


def test_forward_form_is_black_76_with_a_fixed_forward():
    forward, strike, years, rate, vol, right = (np.array([x]) for x in (101.0, 95.0, 0.5, 0.03, 0.25, 1.0))
    out = np.empty((14, 1))
    greeks_forward(forward, strike, years, rate, vol, right.astype(np.int8), out)
    price = math.exp(-0.015) * black_price(101.0, 95.0, 0.25 * math.sqrt(0.5), 1)
    assert out[Greek.PRICE, 0] == pytest.approx(price, rel=1e-14)
    assert out[Greek.RHO, 0] == pytest.approx(-0.5 * price, rel=1e-14)
    h = 1e-5
    up, down = (black_price(101.0 + e, 95.0, 0.25 * math.sqrt(0.5), 1) for e in (h, -h))
    assert out[Greek.DELTA, 0] == pytest.approx(math.exp(-0.015) * (up - down) / (2 * h), rel=1e-8)
    later = math.exp(-0.03 * (0.5 - h)) * black_price(101.0, 95.0, 0.25 * math.sqrt(0.5 - h), 1)
    earlier = math.exp(-0.03 * (0.5 + h)) * black_price(101.0, 95.0, 0.25 * math.sqrt(0.5 + h), 1)
    assert out[Greek.THETA, 0] == pytest.approx((later - earlier) / (2 * h), rel=1e-7)


@pytest.mark.parametrize(("years", "vol"), [(0.0, 0.3), (-0.1, 0.3), (0.5, 0.0), (0.5, -0.2)])
def test_without_volatility_left_the_value_is_discounted_intrinsic(years, vol):
    t = max(years, 0.0)
    forward_value = 100.0 * math.exp(-0.01 * t) - 90.0 * math.exp(-0.03 * t)
    call = spot_greeks(100.0, 90.0, years, 0.03, 0.01, vol, 1)
    put = spot_greeks(100.0, 90.0, years, 0.03, 0.01, vol, -1)
    assert call[Greek.PRICE] == pytest.approx(forward_value)
    assert call[Greek.DELTA] == pytest.approx(math.exp(-0.01 * t))
    assert put == (0.0,) * 14
    assert all(math.isfinite(value) for value in call)


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_gives_nan_in_its_row_alone(position, bad):
    columns = [np.array([CASES[0][j], CASES[0][j]]) for j in range(6)]
    columns[position][0] = bad
    out = np.empty((14, 2))
    greeks(*columns, np.ones(2, np.int8), out)
    assert np.isnan(out[:, 0]).all()
    assert np.isfinite(out[:, 1]).all()


@pytest.mark.parametrize(("spot", "strike"), [(0.0, 100.0), (-5.0, 100.0), (100.0, 0.0), (100.0, -1.0)])
def test_prices_that_are_not_positive_give_nan(spot, strike):
    assert all(math.isnan(value) for value in spot_greeks(spot, strike, 0.5, 0.03, 0.0, 0.2, 1))


def test_normal_functions_hold_their_relative_error_far_into_the_tails():
    with mp.workdps(40):
        for x in np.linspace(-8.0, 25.0, 200):
            exact = float(mp.exp(mp.mpf(x) ** 2) * mp.erfc(x))
            assert erfcx(float(x)) == pytest.approx(exact, rel=1e-14 * (1.0 + x * x))
        for x in np.linspace(-30.0, 8.0, 100):
            assert norm_cdf(float(x)) == pytest.approx(float(mp.ncdf(x)), rel=3e-13)
            assert norm_pdf(float(x)) == pytest.approx(float(mp.npdf(x)), rel=3e-13)
