import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.errors import ChainError
from gpu.surface.calibrate import RowStatus, SliceStatus, SurfaceChain, SurfaceFitter, SurfaceSettings, fit_surface
from tests.gpu.surface.surfaces import (
    MATURITIES,
    PHI,
    RATE,
    RHO,
    SPOT,
    THETA,
    YIELD,
    assert_no_arbitrage,
    black,
    chain_of,
    ssvi_variance,
    true_variance,
)

PLAIN = SurfaceSettings(roughness=0.0, min_half_spread=1e-9)
FINE = SurfaceSettings(min_half_spread=1e-9)


def fitted(chain, settings=FINE, american=False):
    fitter = SurfaceFitter(SurfaceChain(chain.strike, chain.years, chain.right, american), RATE, settings)
    return fitter, fitter.fit(chain.bid, chain.ask, chain.spot)


def misses_of_truth(surface, half, deviations=3.0, variance=true_variance, points=31):
    """|surface - truth| at each expiry in units of the half-spread in price."""
    worst = 0.0
    for i, years in enumerate(surface.expiries):
        root = math.sqrt(variance(i, 0.0))
        k = np.linspace(-deviations, 0.7 * deviations, points) * root
        strike, right = np.exp(k), np.where(k >= 0.0, 1, -1)
        true = black(1.0, strike, variance(i, k), right)
        got = black(1.0, strike, surface.variance(k, years), right)
        worst = max(worst, float(np.max(np.abs(got - true) / (half * true))))
    return worst


def test_an_essvi_surface_is_recovered():
    fitter, report = fitted(chain_of(true_variance, half=1e-4, least=1e-12), PLAIN)
    assert [row.status for row in report.expiries] == [SliceStatus.OK] * 5
    np.testing.assert_allclose([row.theta for row in report.expiries], THETA, rtol=1e-6)
    np.testing.assert_allclose([row.rho for row in report.expiries], RHO, atol=1e-6)
    np.testing.assert_allclose([row.phi for row in report.expiries], PHI, rtol=1e-6)
    np.testing.assert_allclose([row.forward for row in report.expiries], SPOT * np.exp(0.02 * MATURITIES), rtol=1e-9)
    np.testing.assert_allclose(fitter.surface.discount(MATURITIES), np.exp(-RATE * MATURITIES), rtol=1e-7)
    assert report.inside == report.points == 125
    assert misses_of_truth(fitter.surface, 1e-4) < 0.05


def test_the_bump_leaves_an_exact_surface_alone():
    fitter, report = fitted(chain_of(true_variance, half=0.01))
    assert misses_of_truth(fitter.surface, 0.01) < 0.05
    assert report.median_miss < 1e-3


def test_noise_within_the_spreads_stays_within_them():
    rng = np.random.default_rng(5)
    chain = chain_of(true_variance, half=0.05, strikes=60, mid_noise=lambda _i, n: rng.uniform(-0.8, 0.8, n))
    fitter, report = fitted(chain)
    assert report.outliers == 0
    assert report.inside >= 0.97 * report.points
    assert misses_of_truth(fitter.surface, 0.05, deviations=2.5) < 1.0
    assert_no_arbitrage(fitter.surface)


def test_what_three_numbers_miss_the_bump_meets():
    """A shoulder of 6 % of variance that eSSVI cannot make: half-spreads of 0.5 % of the price."""

    def variance(i, k):
        x = k / math.sqrt(THETA[i])
        return true_variance(i, k) * (1.0 + 0.06 * np.exp(-(((x + 0.8) / 0.5) ** 2)))

    chain = chain_of(variance, half=0.005, strikes=41)
    plain, first = fitted(chain, PLAIN)
    refined, second = fitted(chain)
    assert first.inside < 0.75 * first.points
    assert second.inside > 0.97 * second.points
    assert sum(row.plain_inside for row in second.expiries) == first.inside
    left, before = (misses_of_truth(f.surface, 0.005, variance=variance) for f in (refined, plain))
    assert left < 0.3 * before
    assert_no_arbitrage(refined.surface)


def test_outliers_are_named_and_do_not_bend_the_surface():
    chain = chain_of(true_variance, half=0.02, strikes=40)
    rng = np.random.default_rng(2)
    forward = SPOT * np.exp((RATE - YIELD) * chain.years)
    otm = (chain.strike >= forward) == (chain.right > 0)
    wrong = rng.choice(np.flatnonzero(otm), 12, replace=False)
    shift = 25.0 * 0.5 * (chain.ask - chain.bid)[wrong] * rng.choice([-1.0, 1.0], 12)
    chain.bid[wrong] += shift
    chain.ask[wrong] += shift
    fitter, report = fitted(chain)
    np.testing.assert_array_equal(np.flatnonzero(fitter.row_status == RowStatus.OUTLIER), np.sort(wrong))
    assert report.outliers == 12
    assert misses_of_truth(fitter.surface, 0.02) < 1.0
    assert fitter.points.outlier.sum() == 12


@pytest.mark.parametrize("name", ["inverted", "butterfly", "steep", "vogt"])
def test_quotes_that_allow_arbitrage_give_a_surface_that_does_not(name):
    def variance(i, k):
        if name == "inverted":  # total variance falls with maturity
            return ssvi_variance(0.06 - 0.01 * i, -0.4, 3.0, k)
        if name == "butterfly":  # a peak of a third of the variance over a tenth of a deviation
            return true_variance(i, k) * (1.0 + 0.3 * np.exp(-((k / math.sqrt(THETA[i]) / 0.1) ** 2)))
        if name == "steep":  # wings over Lee's bound
            return THETA[i] + 3.0 * np.abs(k)
        return -0.0410 + 0.1331 * (0.3060 * (k - 0.3586) + np.sqrt((k - 0.3586) ** 2 + 0.4153**2)) + 0.001 * i

    chain = chain_of(variance, half=0.01, strikes=41)
    fitter, _ = fitted(chain)
    assert_no_arbitrage(fitter.surface, points=800)


_PRICE = st.one_of(st.floats(0.001, 30.0), st.floats(allow_nan=True, allow_infinity=True))


@settings(max_examples=60)
@given(st.lists(_PRICE, min_size=40, max_size=40), st.lists(st.floats(0.0, 5.0), min_size=40, max_size=40))
def test_no_quotes_whatever_raise_or_give_arbitrage(bid, width):
    strike = np.tile([80.0, 90.0, 95.0, 98.0, 100.0, 102.0, 105.0, 110.0, 120.0, 140.0], 4)
    years = np.repeat([0.01, 0.5], 20)
    right = np.tile(np.repeat([1, -1], 10), 2)
    bid = np.array(bid)
    ask = bid + np.array(width)
    fitter = SurfaceFitter(SurfaceChain(strike, years, right), RATE)
    report = fitter.fit(bid, ask, SPOT)
    if report.fitted == 0:
        assert all(row.status == SliceStatus.NO_QUOTES for row in report.expiries)
        return
    assert np.isfinite(fitter.surface.nodes).all()
    assert_no_arbitrage(fitter.surface, points=150)


def test_a_refit_ends_where_a_cold_fit_does():
    rng = np.random.default_rng(8)
    first = chain_of(true_variance, half=0.03, mid_noise=lambda _i, n: rng.uniform(-0.7, 0.7, n))
    second = chain_of(
        lambda i, k: 1.1 * true_variance(i, k + 0.01), half=0.03, mid_noise=lambda _i, n: rng.uniform(-0.7, 0.7, n)
    )
    cold, _ = fitted(second)
    warm, _ = fitted(second)
    warm.fit(first.bid, first.ask, SPOT)  # a few volatility points away
    report = warm.refit(second.bid, second.ask, SPOT)
    assert report.warm
    k = np.linspace(-0.2, 0.15, 21)
    for years in cold.surface.expiries:
        np.testing.assert_allclose(warm.surface.variance(k, years), cold.surface.variance(k, years), rtol=2e-4)
    again = warm.refit(second.bid, second.ask, SPOT)
    assert again.steps <= 2


def test_a_refit_after_time_has_passed_keeps_volatility_and_shortens_the_expiries():
    chain = chain_of(true_variance, half=0.01)
    fitter, _ = fitted(chain)
    before = fitter.surface
    report = fitter.refit(chain.bid, chain.ask, SPOT, elapsed_years=0.005)
    np.testing.assert_allclose(fitter.surface.expiries, MATURITIES - 0.005)
    np.testing.assert_allclose(before.expiries, MATURITIES)  # the old surface is another object
    assert report.fitted == 5
    gone = fitter.refit(chain.bid, chain.ask, SPOT, elapsed_years=0.05)
    assert gone.expiries[0].status == SliceStatus.EXPIRED
    assert gone.fitted == 4


def emptied(chain, years, value=math.nan):
    rows = chain.of(years)
    bid, ask = chain.bid.copy(), chain.ask.copy()
    bid[rows], ask[rows] = value, value
    return chain._replace(bid=bid, ask=ask)


@pytest.mark.parametrize("value", [math.nan, 0.0, -1.0, math.inf])
def test_an_empty_expiry_is_a_status_and_its_neighbours_do_not_notice(value):
    chain = chain_of(true_variance, half=0.01)
    fitter, report = fitted(emptied(chain, MATURITIES[1], value))
    assert [row.status for row in report.expiries] == [0, SliceStatus.NO_QUOTES, 0, 0, 0]
    assert (fitter.row_status[chain.of(MATURITIES[1])] == RowStatus.NO_QUOTE).all()
    rest = ~chain.of(MATURITIES[1])
    without = chain._replace(
        **{name: getattr(chain, name)[rest] for name in ("strike", "years", "right", "bid", "ask")}
    )
    alone, _ = fitted(without)
    np.testing.assert_array_equal(fitter.surface.nodes, alone.surface.nodes)
    # The empty one is read off its neighbours.
    assert np.isfinite(fitter.surface.vol(100.0, MATURITIES[1]))


def test_crossed_quotes_are_a_status_and_an_expiry_of_them_is_none():
    chain = chain_of(true_variance, half=0.01)
    rows = chain.of(MATURITIES[2])
    bid, ask = chain.bid.copy(), chain.ask.copy()
    bid[rows], ask[rows] = chain.ask[rows], chain.bid[rows]
    fitter, report = fitted(chain._replace(bid=bid, ask=ask))
    assert report.expiries[2].status == SliceStatus.NO_QUOTES
    assert (fitter.row_status[rows] == RowStatus.CROSSED).all()
    assert report.fitted == 4


def test_one_strike_is_met_and_the_neighbours_hold_it_in_place():
    chain = chain_of(true_variance, half=0.01)
    rows = chain.of(MATURITIES[1])
    near = np.argmin(np.abs(chain.strike[rows] - SPOT))
    keep = ~rows
    keep[np.flatnonzero(rows & (chain.strike == chain.strike[rows][near]))] = True
    chain = chain._replace(**{name: getattr(chain, name)[keep] for name in ("strike", "years", "right", "bid", "ask")})
    fitter, report = fitted(chain)
    assert report.expiries[1].status == SliceStatus.FEW_POINTS
    assert report.expiries[1].points == 1
    assert report.expiries[1].worst_miss < 0.01
    assert report.inside == report.points
    assert_no_arbitrage(fitter.surface)


def test_an_expiry_in_a_minute_and_one_gone_do_not_touch_the_others():
    minute = 1.0 / (365 * 24 * 60)
    chain = chain_of(lambda i, k: true_variance(max(i - 2, 0), k), maturities=(-0.01, minute, *MATURITIES), half=0.01)
    # Absurd quotes just before the end: two dollars for everything.
    for years in (-0.01, minute):
        rows = chain.of(years)
        chain.bid[rows], chain.ask[rows] = 1.9, 2.1
    fitter, report = fitted(chain)
    assert [row.status for row in report.expiries[:2]] == [SliceStatus.EXPIRED, SliceStatus.TOO_SHORT]
    alone, _ = fitted(chain_of(true_variance, half=0.01))
    np.testing.assert_allclose(fitter.surface.nodes, alone.surface.nodes, rtol=1e-12)
    assert (fitter.row_status[chain.years < 0.01] == RowStatus.NO_EXPIRY).all()


def test_an_expiry_of_nonsense_is_called_poor_and_bends_nobody():
    chain = chain_of(true_variance, half=0.01)
    rows = chain.of(MATURITIES[1])
    bid, ask = chain.bid.copy(), chain.ask.copy()
    forward = SPOT * np.exp((RATE - YIELD) * MATURITIES[1])
    value = np.exp(-RATE * MATURITIES[1]) * black(forward, chain.strike, 6.0 * THETA[1] * 4.0, chain.right)
    bid[rows], ask[rows] = 0.99 * value[rows], 1.01 * value[rows]
    fitter, report = fitted(chain._replace(bid=bid, ask=ask))
    assert report.expiries[1].status == SliceStatus.POOR
    for at in (2, 3, 4):
        assert report.expiries[at].status == SliceStatus.OK
        assert report.expiries[at].median_miss < 1.0
    assert_no_arbitrage(fitter.surface)


def test_bad_rows_belong_to_nothing():
    chain = chain_of(true_variance, half=0.01)
    more = {
        "strike": [math.nan, -5.0, 0.0, 100.0, 100.0, chain.strike[0]],
        "years": [0.1, 0.1, 0.1, math.nan, 0.1, chain.years[0]],
        "right": [1, 1, 1, 1, 3, chain.right[0]],
        "bid": [1.0, 1.0, 1.0, 1.0, 1.0, 77.0],
        "ask": [1.1, 1.1, 1.1, 1.1, 1.1, 78.0],
    }
    bad = chain._replace(**{name: np.append(getattr(chain, name), values) for name, values in more.items()})
    fitter, report = fitted(bad)
    alone, _ = fitted(chain)
    np.testing.assert_array_equal(fitter.surface.nodes, alone.surface.nodes)
    assert (fitter.row_status[-6:] == RowStatus.BAD_ROW).all()
    assert report.points == 125


@pytest.mark.parametrize("spot", [math.nan, 0.0, -1.0, math.inf])
def test_no_spot_is_a_status_and_keeps_the_last_surface(spot):
    chain = chain_of(true_variance, half=0.01)
    fitter, _ = fitted(chain)
    surface = fitter.surface
    report = fitter.refit(chain.bid, chain.ask, spot)
    assert report.fitted == 0
    assert {row.status for row in report.expiries} == {SliceStatus.NO_SPOT}
    assert fitter.surface is surface
    assert fitter.refit(chain.bid, chain.ask, SPOT).fitted == 5


def test_the_report_is_what_its_own_surface_says():
    rng = np.random.default_rng(3)
    chain = chain_of(true_variance, half=0.03, mid_noise=lambda _i, n: rng.uniform(-0.9, 0.9, n))
    fitter, report = fitted(chain)
    points, surface = fitter.points, fitter.surface
    price = surface.price(points.strike, chain.years[points.row], chain.right[points.row])
    middle, half = 0.5 * (chain.bid + chain.ask)[points.row], 0.5 * (chain.ask - chain.bid)[points.row]
    miss = (price - middle) / half
    np.testing.assert_allclose(points.miss, miss, rtol=1e-6, atol=1e-6)
    for e, row in enumerate(report.expiries):
        mine = np.abs(miss[points.expiry == e])
        assert row.points == len(mine)
        assert row.median_miss == pytest.approx(np.median(mine), rel=1e-6, abs=1e-6)
        assert row.worst_miss == pytest.approx(mine.max(), rel=1e-6)
        assert row.inside == (mine <= 1.0).sum()
    assert report.median_miss == pytest.approx(np.median(np.abs(miss)), rel=1e-6)
    # In total variance the same misses, to first order.
    w = surface.variance(points.k, chain.years[points.row])
    np.testing.assert_allclose((w - points.w) / points.half, miss, rtol=0.1, atol=0.02)


def test_what_cannot_work_is_refused_with_the_value_and_the_bound():
    chain = chain_of(true_variance)
    layout = SurfaceChain(chain.strike, chain.years, chain.right)
    with pytest.raises(ChainError, match=r"roughness must be 0..1e\+12, was nan"):
        SurfaceFitter(layout, RATE, SurfaceSettings(roughness=math.nan))
    with pytest.raises(ChainError, match="rate must be a fraction per year"):
        SurfaceFitter(layout, 5.0)
    with pytest.raises(ChainError, match="none of the 1 rows"):
        SurfaceFitter(SurfaceChain([0.0], [1.0], [1]), RATE)
    with pytest.raises(ChainError, match=r"three \[n\]"):
        SurfaceChain([1.0, 2.0], [1.0], [1])
    fitter = SurfaceFitter(layout, RATE)
    with pytest.raises(ChainError, match="no surface yet"):
        _ = fitter.surface
    with pytest.raises(ChainError, match=r"bid must be float64\[250\]"):
        fitter.fit(chain.bid[1:], chain.ask, SPOT)
    nothing = np.full(len(chain.bid), math.nan)
    with pytest.raises(ChainError, match="no surface yet"):
        fit_surface(chain.strike, chain.years, chain.right, nothing, nothing, SPOT, RATE)
