"""SABR against QuantLib, 40-digit arithmetic, conditional Monte Carlo and its own limits."""

import math

import mpmath
import numpy as np
import pytest
import QuantLib as ql

from gpu.european.greeks import black_price
from gpu.surface.slices import sabr
from gpu.surface.slices.sabr import (
    ALPHA,
    FIT_ROWS,
    NU,
    RHO,
    SABR_PARAMS,
    Leading,
    fit_sabr,
    sabr_alpha,
    sabr_lognormal_vol,
    sabr_normal_vol,
    sabr_terms,
    sabr_vol_terms,
)


def lognormal(strike, forward, years, alpha, beta, nu, rho, shift=0.0, leading=Leading.OBLOJ):
    work = np.zeros(SABR_PARAMS)
    return sabr_lognormal_vol(strike, forward, years, alpha, beta, nu, rho, shift, int(leading), work)


def params(alpha, beta, rho, nu, forward, years, leading=Leading.OBLOJ):
    return np.array([alpha, beta, rho, nu, forward, years, float(leading)])


def random_models(count, seed=5):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        forward, beta = 100.0 * math.exp(0.3 * rng.normal()), float(rng.choice([0.0, 0.3, 0.5, 0.9, 1.0]))
        yield (
            forward * math.exp(0.4 * rng.normal()), forward, rng.uniform(0.05, 3.0),
            rng.uniform(0.1, 0.4) * forward ** (1.0 - beta), beta, rng.uniform(0.01, 1.0), rng.uniform(-0.9, 0.9),
        )  # fmt: skip


def test_lognormal_formula_of_2002_is_quantlibs():
    for strike, forward, years, alpha, beta, nu, rho in random_models(300):
        expected = ql.sabrVolatility(strike, forward, years, alpha, beta, nu, rho)
        got = lognormal(strike, forward, years, alpha, beta, nu, rho, leading=Leading.HAGAN)
        assert got == pytest.approx(expected, rel=1e-11)


def test_shift_is_a_change_of_forward_and_strike():
    got = lognormal(-0.001, 0.004, 2.0, 0.03, 0.6, 0.5, -0.2, 0.02, Leading.HAGAN)
    assert got == pytest.approx(ql.shiftedSabrVolatility(-0.001, 0.004, 2.0, 0.03, 0.6, 0.5, -0.2, 0.02), rel=1e-12)
    assert got == lognormal(0.019, 0.024, 2.0, 0.03, 0.6, 0.5, -0.2, 0.0, Leading.HAGAN)


def test_lognormal_backbone_has_one_leading_order():
    for strike, forward, years, alpha, _beta, nu, rho in random_models(50):
        level = alpha / forward if alpha > 1.0 else alpha
        hagan = lognormal(strike, forward, years, level, 1.0, nu, rho, leading=Leading.HAGAN)
        assert lognormal(strike, forward, years, level, 1.0, nu, rho) == pytest.approx(hagan, rel=1e-13)


def test_without_vol_of_vol_the_lognormal_backbone_is_black_and_the_normal_one_bachelier():
    for strike in (60.0, 100.0, 170.0):
        assert lognormal(strike, 100.0, 1.0, 0.3, 1.0, 1e-9, 0.4) == pytest.approx(0.3, rel=1e-8)
        assert sabr_normal_vol(strike, 100.0, 1.0, 17.0, 0.0, 1e-9, 0.4, 0.0) == pytest.approx(17.0, rel=1e-6)
    assert sabr_normal_vol(-0.002, 0.001, 1.0, 0.006, 0.0, 1e-9, 0.0, 0.0) == pytest.approx(0.006, rel=1e-6)


@pytest.mark.parametrize("beta", [0.2, 0.5, 0.8])
def test_without_vol_of_vol_the_leading_order_is_the_exact_one_of_cev(beta):
    """Berestycki, Busca, Florent: as T -> 0 the volatility is ln(f/K) over the integral of dF / local vol."""
    alpha, f, k = 2.0, 100.0, 55.0
    expected = math.log(f / k) * alpha * (1.0 - beta) / (f ** (1.0 - beta) - k ** (1.0 - beta))
    assert lognormal(k, f, 1e-9, alpha, beta, 1e-9, 0.3) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("strike", [0.2, 0.7, 1.4, 4.0])
def test_both_volatilities_are_one_distance_as_time_goes_to_zero(strike):
    """ln(f/K) over the lognormal and (f - K) over the normal leading order; Hagan's of 2002 misses that."""
    model = (0.3, 0.5, 0.6, -0.3)
    distance = (1.0 - strike) / sabr_normal_vol(strike, 1.0, 1e-13, *model, 0.0)
    assert math.log(1.0 / strike) / lognormal(strike, 1.0, 1e-13, *model) == pytest.approx(distance, rel=1e-12)
    hagan = math.log(1.0 / strike) / lognormal(strike, 1.0, 1e-13, *model, leading=Leading.HAGAN)
    assert abs(hagan / distance - 1.0) > 1e-5


def test_normal_and_lognormal_formulas_give_one_price_for_a_short_time():
    years = 0.004
    for strike in (0.9, 0.97, 1.0, 1.03, 1.1):
        vol = lognormal(strike, 1.0, years, 0.3, 0.5, 0.6, -0.3)
        normal = sabr_normal_vol(strike, 1.0, years, 0.3, 0.5, 0.6, -0.3, 0.0)
        root = math.sqrt(years)
        right = 1 if strike >= 1.0 else -1
        expected = black_price(1.0, strike, vol * root, right)
        d = right * (1.0 - strike) / (normal * root)
        n = 0.5 * math.erfc(-d / math.sqrt(2.0))
        price = normal * root * (d * n + math.exp(-0.5 * d * d) / math.sqrt(2.0 * math.pi))
        assert price == pytest.approx(expected, rel=2e-4)


def conditional_paths(alpha, nu, years, seed=3):
    """(A_T, integral of A^2) of 40,000 antithetic volatility paths; given them F is (log)normal, exactly."""
    rng = np.random.default_rng(seed)
    steps, half = 64, 20_000
    z = rng.normal(size=(half, steps))
    z = np.concatenate([z, -z])
    dt = years / steps
    a = alpha * np.exp(np.cumsum(nu * math.sqrt(dt) * z - 0.5 * nu * nu * dt, axis=1))
    a = np.concatenate([np.full((len(a), 1), alpha), a], axis=1)
    return a[:, -1], dt * (np.sum(a * a, axis=1) - 0.5 * (a[:, 0] ** 2 + a[:, -1] ** 2))


CUMULATIVE = np.vectorize(ql.CumulativeNormalDistribution())


@pytest.mark.parametrize("strike", [0.8, 0.95, 1.0, 1.05, 1.25])
def test_lognormal_backbone_agrees_with_conditional_monte_carlo(strike):
    alpha, nu, rho, years = 0.25, 0.5, -0.4, 0.25
    last, area = conditional_paths(alpha, nu, years)
    forward = np.exp(rho / nu * (last - alpha) - 0.5 * rho * rho * area)
    deviation = np.sqrt((1.0 - rho * rho) * area)
    d1 = np.log(forward / strike) / deviation + 0.5 * deviation
    calls = forward * CUMULATIVE(d1) - strike * CUMULATIVE(d1 - deviation)
    right, price = (ql.Option.Call, calls) if strike >= 1.0 else (ql.Option.Put, calls - forward + strike)
    deviation = ql.blackFormulaImpliedStdDev(right, strike, 1.0, float(np.mean(price)), 1.0, 0.0, 0.1, 1e-12)
    got = lognormal(strike, 1.0, years, alpha, 1.0, nu, rho)
    assert got == pytest.approx(deviation / math.sqrt(years), abs=5e-4)


@pytest.mark.parametrize("strike", [-0.01, 0.0, 0.01, 0.02, 0.03])
def test_normal_backbone_agrees_with_conditional_monte_carlo(strike):
    alpha, nu, rho, years, start = 0.01, 0.5, 0.3, 0.5, 0.01
    last, area = conditional_paths(alpha, nu, years)
    forward = start + rho / nu * (last - alpha)
    deviation = np.sqrt((1.0 - rho * rho) * area)
    d = (forward - strike) / deviation
    calls = (forward - strike) * CUMULATIVE(d) + deviation * np.exp(-0.5 * d * d) / math.sqrt(2.0 * math.pi)
    vol = sabr_normal_vol(strike, start, years, alpha, 0.0, nu, rho, 0.0) * math.sqrt(years)
    got = ql.bachelierBlackFormula(ql.Option.Call, strike, start, vol)
    assert got == pytest.approx(float(np.mean(calls - forward)) + start, abs=2e-3 * alpha)


@pytest.mark.parametrize("rho", [-0.95, -0.3, 0.0, 0.7])
@pytest.mark.parametrize("z", [-8.0, -0.5, -0.031, -0.029, -1e-5, 0.0, 1e-9, 0.0299, 0.0301, 2.0, 30.0])
def test_distance_ratio_and_its_derivatives_at_forty_digits(rho, z):
    with mpmath.workdps(40):
        r = mpmath.mpf(rho)

        def ratio(v):
            if v == 0:
                return mpmath.mpf(1)
            return v / mpmath.log((mpmath.sqrt(1 - 2 * r * v + v * v) + v - r) / (1 - r))

        shifted = mpmath.mpf(z) + (mpmath.mpf("1e-18") if z == 0.0 else 0)
        expected = [mpmath.diff(ratio, shifted, n, h=mpmath.mpf("1e-9")) for n in (0, 1, 2)]
    got = sabr._scaled_distance(z, rho)
    assert got[0] == pytest.approx(float(expected[0]), rel=1e-15)
    assert got[1] == pytest.approx(float(expected[1]), rel=1e-12, abs=2e-13)
    assert got[2] == pytest.approx(float(expected[2]), rel=1e-9, abs=2e-11)


@pytest.mark.parametrize("leading", list(Leading))
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_derivatives_of_the_smile(leading, beta):
    p = params(0.25 * 100.0 ** (1.0 - beta), beta, -0.4, 0.7, 100.0, 1.5, leading)
    h = 1e-5
    for y in (-1.2, -0.3, -0.01, 1e-6, 0.02, 0.5):
        down, here, up = (sabr_terms(p, y + e) for e in (-h, 0.0, h))
        assert here[1] == pytest.approx((up[0] - down[0]) / (2.0 * h), abs=1e-8)
        assert here[2] == pytest.approx((up[1] - down[1]) / (2.0 * h), abs=1e-8)


def test_alpha_meets_the_money_volatility_exactly():
    for _strike, forward, years, _alpha, beta, nu, rho in random_models(100, seed=8):
        alpha = sabr_alpha(0.23, forward, years, beta, rho, nu)
        assert sabr_vol_terms(params(alpha, beta, rho, nu, forward, years), 0.0)[0] == pytest.approx(0.23, rel=1e-14)


def test_alpha_that_does_not_exist_is_nan():
    assert math.isnan(sabr_alpha(5.0, 100.0, 10.0, 1.0, -0.9, 2.0))
    assert math.isnan(sabr_alpha(-0.1, 100.0, 1.0, 0.5, 0.0, 0.3))
    assert math.isnan(sabr_alpha(0.2, 0.0, 1.0, 0.5, 0.0, 0.3))


def fit(y, vol, forward, years, beta, money, free, weight=None):
    out, work = np.zeros(SABR_PARAMS), np.zeros((FIT_ROWS, max(len(y), SABR_PARAMS)))
    weight = np.ones(len(y)) if weight is None else weight
    error = fit_sabr(y, vol, weight, len(y), forward, years, beta, money, free, int(Leading.OBLOJ), out, work)
    return error, out


@pytest.mark.parametrize("years", [0.001, 0.1, 2.0])
@pytest.mark.parametrize("beta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("free", [False, True])
def test_fit_recovers_the_model_it_was_given(years, beta, free):
    nu, rho = 0.6 / math.sqrt(years), -0.55
    true = params(sabr_alpha(0.3, 50.0, years, beta, rho, nu), beta, rho, nu, 50.0, years)
    y = np.linspace(-2.5, 2.0, 25) * 0.3 * math.sqrt(years)
    vol = np.array([sabr_vol_terms(true, x)[0] for x in y])
    error, out = fit(y, vol, 50.0, years, beta, 0.27 if free else 0.3, free)
    assert error < 1e-16
    np.testing.assert_allclose(out, true, rtol=1e-6)


def test_fixed_money_volatility_is_met_whatever_the_quotes_say():
    y = np.linspace(-0.4, 0.3, 15)
    vol = 0.3 - 0.2 * y + 0.3 * y * y
    _, out = fit(y, vol, 100.0, 0.5, 0.5, 0.25, False)
    assert sabr_vol_terms(out, 0.0)[0] == pytest.approx(0.25, rel=1e-13)
    _, free = fit(y, vol, 100.0, 0.5, 0.5, 0.25, True)
    assert sabr_vol_terms(free, 0.0)[0] == pytest.approx(0.3, abs=2e-3)


def test_fit_is_a_minimum():
    rng = np.random.default_rng(4)
    y = np.linspace(-0.4, 0.3, 20)
    vol = 0.3 - 0.2 * y + 0.3 * y * y + 0.003 * rng.normal(size=20)
    error, out = fit(y, vol, 100.0, 0.5, 1.0, 0.3, True)
    for index, step in ((ALPHA, 1e-3), (RHO, 1e-2), (NU, 1e-2)):
        for sign in (-1.0, 1.0):
            moved = out.copy()
            moved[index] *= 1.0 + sign * step
            assert sum((sabr_vol_terms(moved, x)[0] - v) ** 2 for x, v in zip(y, vol, strict=True)) > error


def test_no_point_or_no_model_is_nan():
    empty = np.zeros(0)
    assert math.isnan(fit(empty, empty, 100.0, 1.0, 1.0, 0.2, True)[0])
    for forward, years, beta, money in ((-1.0, 1.0, 0.5, 0.2), (1.0, 0.0, 0.5, 0.2), (1.0, 1.0, 1.5, 0.2),
                                        (1.0, 1.0, 0.5, math.nan)):  # fmt: skip
        error, out = fit(np.zeros(3), np.full(3, 0.2), forward, years, beta, money, True)
        assert math.isnan(error)
        assert np.isnan(out).all()


@pytest.mark.parametrize(
    ("strike", "forward", "years", "alpha", "beta", "nu", "rho"),
    [
        (math.nan, 1.0, 1.0, 0.2, 0.5, 0.3, 0.0), (-1.0, 1.0, 1.0, 0.2, 0.5, 0.3, 0.0),
        (1.0, math.inf, 1.0, 0.2, 0.5, 0.3, 0.0), (1.0, 1.0, 0.0, 0.2, 0.5, 0.3, 0.0),
        (1.0, 1.0, 1.0, -0.2, 0.5, 0.3, 0.0), (1.0, 1.0, 1.0, 0.2, 1.1, 0.3, 0.0),
        (1.0, 1.0, 1.0, 0.2, 0.5, -0.3, 0.0), (1.0, 1.0, 1.0, 0.2, 0.5, 0.3, 1.0),
    ],
)  # fmt: skip
def test_outside_the_domain_is_nan(strike, forward, years, alpha, beta, nu, rho):
    assert math.isnan(lognormal(strike, forward, years, alpha, beta, nu, rho))
    assert math.isnan(sabr_normal_vol(strike, forward, years, alpha, beta, nu, rho, 0.0))
