import math

import numpy as np
import pytest

from gpu.errors import ChainError
from gpu.maths.wide import machine_width, vector_width, wide_support
from gpu.surface.calibrate import SurfaceChain, SurfaceFitter, SurfaceSettings
from gpu.surface.essvi.bump import NODE
from gpu.surface.surface import Sticky, Surface
from gpu.surface.surface_wide import price_loop, variance_loop
from tests.gpu.surface.surfaces import MATURITIES, RATE, SPOT, THETA, YIELD, black, chain_of, true_variance


@pytest.fixture(scope="module")
def surface():
    """With bumps: the truth has a shoulder."""

    def variance(i, k):
        return true_variance(i, k) * (1.0 + 0.05 * np.exp(-((k / math.sqrt(THETA[i]) + 0.8) ** 2) / 0.25))

    chain = chain_of(variance, half=0.01, strikes=41)
    fitter = SurfaceFitter(
        SurfaceChain(chain.strike, chain.years, chain.right), RATE, SurfaceSettings(min_half_spread=1e-9)
    )
    report = fitter.fit(chain.bid, chain.ask, SPOT)
    assert all(row.smoothed < 4 for row in report.expiries)
    return fitter.surface


TIMES = np.array([0.004, 0.02, 0.05, 0.1, 0.7, 1.0, 2.0, 2.5, 4.0])


def test_derivatives_are_those_of_the_variance(surface):
    k = np.linspace(-0.5, 0.35, 60)
    for years in (0.007, 0.06, 0.5, 1.7, 3.0):
        w, first, second, rate = surface.terms(k, years)
        np.testing.assert_allclose(w, surface.variance(k, years), rtol=1e-13)
        h = 2e-5
        down, up = surface.variance(k - h, years), surface.variance(k + h, years)
        np.testing.assert_allclose(first, (up - down) / (2 * h), rtol=1e-5, atol=1e-8)
        slopes = surface.terms(k - h, years)[1], surface.terms(k + h, years)[1]
        np.testing.assert_allclose(
            second, (slopes[1] - slopes[0]) / (2 * h), rtol=2e-3, atol=2e-3 * np.abs(second).max()
        )
        d = 1e-6 * years
        np.testing.assert_allclose(
            rate, (surface.variance(k, years + d) - surface.variance(k, years - d)) / (2 * d), rtol=1e-5, atol=1e-9
        )


def test_below_the_first_expiry_the_smile_is_scaled_and_beyond_the_last_it_flattens(surface):
    k = np.linspace(-0.3, 0.2, 31)
    first, last = MATURITIES[0], MATURITIES[-1]
    np.testing.assert_allclose(surface.variance(k, 0.25 * first), 0.25 * surface.variance(k, first), rtol=1e-12)
    money = float(surface.vol(surface.forward(last), last))
    far = surface.variance(k, 3.0 * last)
    assert far.min() > 0.0
    # At the money the volatility stays, but for the last expiry's bump, which does not grow.
    assert math.sqrt(float(surface.variance(0.0, 3.0 * last)) / (3.0 * last)) == pytest.approx(money, rel=0.01)
    spread = np.ptp(np.sqrt(far / (3.0 * last)))
    assert spread < 0.7 * np.ptp(np.sqrt(surface.variance(k, last) / last))


def test_forward_and_discount_run_through_the_nodes_at_constant_rates_between(surface):
    np.testing.assert_allclose(surface.forward(MATURITIES), SPOT * np.exp((RATE - YIELD) * MATURITIES), rtol=1e-6)
    np.testing.assert_allclose(surface.forward(TIMES), SPOT * np.exp((RATE - YIELD) * TIMES), rtol=1e-5)
    np.testing.assert_allclose(surface.discount(TIMES), np.exp(-RATE * TIMES), rtol=1e-5)
    assert surface.forward(0.0) == pytest.approx(SPOT)
    assert surface.discount(0.0) == 1.0
    assert surface.spot == pytest.approx(SPOT)
    np.testing.assert_array_equal(surface.expiries, MATURITIES)


def test_prices_are_black_on_the_surfaces_own_volatility_and_keep_parity(surface):
    strike = np.linspace(60.0, 140.0, 17)
    for years in TIMES:
        forward, discount = float(surface.forward(years)), float(surface.discount(years))
        w = surface.vol(strike, years) ** 2 * years
        np.testing.assert_allclose(w, surface.variance(np.log(strike / forward), years), rtol=1e-12)
        call, put = surface.price(strike, years, 1), surface.price(strike, years, -1)
        np.testing.assert_allclose(call, discount * black(forward, strike, w, 1), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(call - put, discount * (forward - strike), atol=1e-10)


def test_sticky_strike_keeps_the_volatility_of_a_strike_and_sticky_moneyness_that_of_a_ratio(surface):
    strike, years, spot = np.array([85.0, 100.0, 110.0]), 0.4, 104.0
    here = surface.vol(strike, years)
    np.testing.assert_array_equal(surface.vol(strike, years, spot, Sticky.STRIKE), here)
    np.testing.assert_allclose(surface.vol(strike * spot / SPOT, years, spot), here, rtol=1e-12)
    assert np.abs(surface.vol(strike, years, spot) - here).min() > 1e-4
    assert surface.forward(years, spot) == pytest.approx(float(surface.forward(years)) * spot / SPOT)
    for sticky in Sticky:
        forward, vol = float(surface.forward(years, spot)), surface.vol(strike, years, spot, sticky)
        want = float(surface.discount(years)) * black(forward, strike, vol**2 * years, -1)
        np.testing.assert_allclose(surface.price(strike, years, -1, spot, sticky), want, rtol=1e-9)


def test_shapes_broadcast_and_any_order_of_times_gives_the_same(surface):
    k, years = np.linspace(-0.3, 0.3, 7), TIMES[:, None]
    whole = surface.variance(k, years)
    assert whole.shape == (9, 7)
    rng = np.random.default_rng(1)
    order = rng.permutation(whole.size)
    flat_k, flat_t = np.broadcast_to(k, whole.shape).ravel(), np.broadcast_to(years, whole.shape).ravel()
    # One by one and in vectors: the same but for the last digit.
    np.testing.assert_allclose(surface.variance(flat_k[order], flat_t[order]), whole.ravel()[order], rtol=1e-13)
    strike = SPOT * np.exp(k)
    vols = surface.vol(strike, years)
    got = surface.vol(np.broadcast_to(strike, vols.shape).ravel()[order], flat_t[order])
    np.testing.assert_allclose(got, vols.ravel()[order], rtol=1e-13)
    got = surface.terms(flat_k[order], flat_t[order])
    for a, b in zip(got, surface.terms(k, years), strict=True):
        np.testing.assert_array_equal(a, b.ravel()[order])
    assert surface.variance(0.0, 1.0).shape == ()


def test_what_is_outside_the_domain_is_nan_and_its_neighbours_are_not(surface):
    years = np.array([0.5, 0.0, -1.0, math.nan, math.inf, 0.5])
    want = surface.vol(100.0, 0.5)
    for got in (surface.vol(100.0, years), surface.price(100.0, years, 1), surface.variance(0.0, years)):
        np.testing.assert_array_equal(np.isnan(got), [False, True, True, True, True, False])
        assert got[0] == got[5]
    assert surface.vol(100.0, years)[5] == want
    strikes = np.array([100.0, 0.0, -5.0, math.nan, math.inf, 100.0])
    for times in (0.5, 0.5 + 1e-3 * np.arange(6)):  # in vectors and one by one
        np.testing.assert_array_equal(np.isnan(surface.vol(strikes, times)), [False, True, True, True, True, False])
        np.testing.assert_array_equal(
            np.isnan(surface.variance(strikes - 100.0, times)), [False, False, False, True, True, False]
        )
        np.testing.assert_array_equal(
            np.isnan(surface.price(strikes, times, 1)), [False, True, True, True, True, False]
        )
    np.testing.assert_array_equal(np.isnan(surface.price(100.0, 0.5, [1, -1, 0, 2])), [False, False, True, True])
    assert np.isnan(surface.terms(math.nan, 0.5)).all()
    assert np.isnan(surface.vol(100.0, 0.5, spot=-1.0))
    empty = Surface(surface.nodes[:1])
    assert np.isnan(empty.vol(100.0, 0.5))


def test_the_loops_are_as_wide_as_the_machine(surface):
    n, flat = 16, surface.nodes.ravel()
    near, row = np.zeros(n, np.int64), np.full((8, n), 0.04)
    variance_loop(flat, near, near.copy(), row[0], row[1], row[2], row[3], row[4], row[5])
    price_loop(row[0], np.ones(n), row[1], row[2], row[3], 0.0, row[4])
    for loop in (variance_loop, price_loop):
        assert wide_support() or vector_width(loop) == machine_width()


def test_nodes_that_are_no_surface_are_refused(surface):
    with pytest.raises(ChainError, match="nodes must be float64"):
        Surface(np.zeros((3, NODE - 1)))
    with pytest.raises(ChainError, match="must rise from 0"):
        Surface(surface.nodes[1:])
    with pytest.raises(ChainError, match="must rise from 0"):
        Surface(surface.nodes[[0, 2, 1]])
