"""Slices: their parameters, tails, repairs and interpolation, each against an independent number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.errors import GpuError
from gpu.european.greeks import black_price
from gpu.implied.black import implied_deviation
from gpu.surface.arbitrage import check_surface
from gpu.surface.slices.slice_terms import (
    K_HIGH,
    K_LOW,
    KIND,
    MIXED,
    MODEL,
    MONEY,
    SABR,
    SLICE_PARAMS,
    SVI,
    YEARS,
    attach_tails,
    deviation_of_log_price,
    durrleman_g,
    from_prices,
    gap_is_sound,
    model_terms,
    own_terms,
    surface_terms,
    surface_terms_batch,
    to_prices,
)
from gpu.surface.slices.slices import (
    JumpWings,
    RawSvi,
    SlicePoints,
    SliceStatus,
    fit_slices,
    jump_wings_of_raw,
    natural_of_raw,
    raw_of_jump_wings,
    raw_of_natural,
    within_bounds,
)

GOOD = RawSvi(0.02, 0.10, -0.5, 0.02, 0.15)
#: Axel Vogt's slice (Gatheral, Jacquier 2014, section 4.2): within every bound on the parameters, negative density.
VOGT = RawSvi(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)


def svi(raw, k):
    return raw.a + raw.b * (raw.rho * (k - raw.m) + np.sqrt((k - raw.m) ** 2 + raw.sigma**2))


def svi_slice(raw, years=1.0):
    params = np.zeros(SLICE_PARAMS)
    params[KIND], params[YEARS], params[MODEL : MODEL + 5] = SVI, years, raw
    params[K_LOW], params[K_HIGH] = -math.inf, math.inf
    params[MONEY] = svi(raw, 0.0)
    return params


def sabr_slice(alpha, beta, rho, nu, years, forward=1.0):
    params = np.zeros(SLICE_PARAMS)
    params[KIND], params[YEARS] = SABR, years
    params[MODEL : MODEL + 7] = (alpha, beta, rho, nu, forward, years, 0.0)
    params[K_LOW], params[K_HIGH] = -math.inf, math.inf
    return params


def points_of(raw, years, k=None, noise=0.0, forward=100.0):
    k = np.linspace(-0.5, 0.4, 41) if k is None else np.asarray(k, float)
    variance = svi(raw, k)
    return SlicePoints(years, forward, math.exp(-0.02 * years), k, variance + noise, 0.01 * variance)


def otm_price(k, w):
    return black_price(1.0, math.exp(k), math.sqrt(w), 1 if k >= 0.0 else -1)


# --- parameters


def test_parametrisations_are_one_curve():
    k = np.linspace(-2.0, 2.0, 9)
    delta, mu, rho, omega, zeta = natural_of_raw(GOOD)
    natural = delta + 0.5 * omega * (1.0 + zeta * rho * (k - mu) + np.sqrt((zeta * (k - mu) + rho) ** 2 + 1.0 - rho**2))
    np.testing.assert_allclose(natural, svi(GOOD, k), rtol=1e-14)
    np.testing.assert_allclose(raw_of_natural(natural_of_raw(GOOD)), GOOD, rtol=1e-13)


@pytest.mark.parametrize("raw", [GOOD, RawSvi(0.01, 0.2, 0.3, 0.0, 0.1), VOGT])
def test_jump_wings_mean_what_they_say(raw):
    years, h, far = 0.7, 1e-6, 1e7
    wings = jump_wings_of_raw(raw, years)
    money = svi(raw, 0.0)
    assert wings.variance == pytest.approx(money / years)
    assert wings.skew == pytest.approx((math.sqrt(svi(raw, h)) - math.sqrt(svi(raw, -h))) / (2 * h), rel=1e-6)
    assert wings.put_wing == pytest.approx(svi(raw, -far) / far / math.sqrt(money), rel=1e-6)
    assert wings.call_wing == pytest.approx(svi(raw, far) / far / math.sqrt(money), rel=1e-6)
    assert wings.lowest == pytest.approx(svi(raw, np.linspace(-3.0, 3.0, 200_001)).min() / years, rel=1e-6)
    np.testing.assert_allclose(raw_of_jump_wings(wings, years), raw, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "wings", [JumpWings(0.04, 0.0, 0.0, 0.0, 0.03), JumpWings(0.04, 9.0, 0.5, 0.5, 0.03), JumpWings(-1, 0, 1, 1, 0)]
)
def test_impossible_jump_wings_are_refused(wings):
    with pytest.raises(GpuError, match=r"wings|skew"):
        raw_of_jump_wings(wings, 1.0)


def test_vogts_slice_passes_the_bounds_on_its_parameters():
    assert within_bounds(VOGT)
    assert not within_bounds(VOGT._replace(b=1.6))
    assert not within_bounds(VOGT._replace(a=-0.1))


# --- prices and back


@pytest.mark.parametrize("k", [-1.5, -0.3, -1e-9, 0.0, 0.2, 1.1])
def test_price_coordinates_are_price_elasticity_and_convexity(k):
    w, w1, w2 = model_terms(svi_slice(GOOD), k)
    log_price, q, c = to_prices(k, w, w1, w2)
    strike, h, right = math.exp(k), 1e-4 * math.exp(k), 1 if k >= 0.0 else -1

    def price(x):
        return black_price(1.0, x, math.sqrt(svi(GOOD, math.log(x))), right)

    assert log_price == pytest.approx(math.log(price(strike)), abs=1e-12)
    assert q == pytest.approx(strike * (price(strike + h) - price(strike - h)) / (2 * h) / price(strike), rel=1e-5)
    second = (price(strike + h) - 2 * price(strike) + price(strike - h)) / (h * h)
    assert c == pytest.approx(strike * strike * second / price(strike), rel=1e-4)
    np.testing.assert_allclose(from_prices(k, math.sqrt(w), q, c), (w, w1, w2), rtol=1e-9, atol=1e-11)


def test_deviation_of_a_price_and_of_one_too_small_for_a_double():
    for k in (-2.0, -0.1, 0.0, 0.5):
        for s in (0.05, 0.3, 1.2):
            price = otm_price(k, s * s)
            if price > 1e-280:
                expected, status = implied_deviation(price, 1.0, math.exp(k), 1 if k >= 0.0 else -1)
                assert status == 0
                assert deviation_of_log_price(math.log(price), k, 1e-6, 5.0) == pytest.approx(expected, rel=1e-10)
    for k in (-3.0, 2.0):  # ln p ~ -k^2 / 2 s^2 = -45,000 and more
        log_price = to_prices(k, 1e-4, 0.0, 0.0)[0]
        assert log_price < -15_000.0
        assert deviation_of_log_price(log_price, k, 1e-9, 3.0) == pytest.approx(0.01, rel=1e-13)


# --- tails


@pytest.mark.parametrize(
    ("params", "sides"),
    [
        (svi_slice(VOGT), 1),
        (sabr_slice(0.05, 0.5, -0.3, 0.6, 10.0, 0.04), 1),
        (sabr_slice(0.03, 0.5, -0.2, 0.4, 10.0, 0.03), 1),
        (sabr_slice(0.25, 1.0, -0.6, 1.2, 2.0), 2),
    ],
)
def test_tails_replace_a_negative_density(params, sides):
    def worst(terms, low, high):
        return min(durrleman_g(*terms(params, k), k) for k in np.linspace(low, high, 4001).tolist())

    raw_failure = any(
        not (model_terms(params, k)[0] > 0.0 and durrleman_g(*model_terms(params, k), k) > 0.0)
        for k in np.linspace(-8.0, 8.0, 4001).tolist()
    )
    assert raw_failure
    assert attach_tails(params, 8.0, False) in (1, 2)
    assert int(params[K_LOW] > -8.0) + int(params[K_HIGH] < 8.0) == sides
    assert worst(own_terms, -8.0, 8.0) > 0.0
    # Prices themselves: convex and within the bounds over the seams, from their own differences.
    strike = np.exp(np.linspace(-4.0, 2.0, 3001))
    calls = np.array([
        black_price(1.0, x, math.sqrt(own_terms(params, math.log(x))[0]), -1) + 1.0 - x for x in strike.tolist()
    ])  # fmt: skip
    slope = np.diff(calls) / np.diff(strike)
    assert (np.diff(slope) > -1e-9).all()
    assert slope.min() >= -1.0 - 1e-9
    assert slope.max() <= 1e-9


@pytest.mark.parametrize("end", [K_LOW, K_HIGH])
def test_a_tail_is_a_power_of_the_strike_that_meets_price_and_slope(end):
    params = sabr_slice(0.25, 1.0, -0.6, 1.2, 2.0)
    attach_tails(params, 8.0, True)
    seam, out = float(params[end]), -1.0 if end == K_LOW else 1.0
    inner, outer = own_terms(params, seam - out * 1e-9), own_terms(params, seam + out * 1e-9)
    assert outer[:2] == pytest.approx(inner[:2], rel=1e-6)
    k = [seam + out * x for x in (0.1, 0.3, 0.6, 1.0)]
    logs = [math.log(otm_price(x, own_terms(params, x)[0])) for x in k]
    slopes = np.diff(logs) / np.diff(k)
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-7)
    for x in k:  # and the tail's derivatives are those of its variance
        h = 1e-4
        down, here, up = (own_terms(params, x + e) for e in (-h, 0.0, h))
        assert here[1] == pytest.approx((up[0] - down[0]) / (2 * h), rel=1e-5, abs=1e-8)
        assert here[2] == pytest.approx((up[1] - down[1]) / (2 * h), rel=1e-4, abs=1e-7)


def test_far_tails_stay_under_lees_slope_where_no_price_is_a_double():
    params = sabr_slice(0.05, 0.5, -0.3, 0.6, 10.0, 0.04)
    attach_tails(params, 8.0, True)
    for k in (-500.0, -50.0, 50.0, 500.0):
        w, w1, _ = own_terms(params, k)
        assert 0.0 < w < 2.0 * abs(k)
        assert abs(w1) < 2.0


def test_a_slice_unsound_at_the_money_has_no_tails():
    assert attach_tails(svi_slice(RawSvi(-0.5, 0.1, 0.0, 0.0, 0.1)), 3.0, True) == 3


# --- fits and repairs


@pytest.mark.parametrize("years", [0.0006, 0.05, 2.0])
def test_svi_points_give_their_slice_back(years):
    scale = math.sqrt(years)
    raw = RawSvi(0.02 * years, 0.1 * scale, -0.5, 0.02 * scale, 0.15 * scale)
    k = np.linspace(-0.5, 0.4, 41) * scale
    surface = fit_slices([points_of(raw, years, k)], 100.0)
    assert surface.status == (SliceStatus.OK,)
    np.testing.assert_allclose(surface.smile(0, k), svi(raw, k), rtol=2e-4)


def test_sabr_points_give_their_slice_back():
    true = sabr_slice(0.3, 1.0, -0.5, 0.9, 0.5, 100.0)
    k = np.linspace(-0.4, 0.3, 31)
    variance = np.array([model_terms(true, x)[0] for x in k])
    surface = fit_slices([SlicePoints(0.5, 100.0, 0.99, k, variance, 0.01 * variance)], 100.0, model="sabr")
    assert surface.status == (SliceStatus.OK,)
    np.testing.assert_allclose(surface.smile(0, k), variance, rtol=1e-8)


@pytest.mark.parametrize("model", ["svi", "sabr"])
def test_one_absurd_quote_does_not_bend_the_smile(model):
    clean = points_of(RawSvi(0.02, 0.1, -0.4, 0.0, 0.2), 0.5)
    if model == "sabr":
        true = sabr_slice(0.3, 1.0, -0.5, 0.9, 0.5, 100.0)
        variance = np.array([model_terms(true, float(x))[0] for x in clean.k])
        clean = clean._replace(variance=variance, half=0.01 * variance)
    bad = clean._replace(variance=np.where(np.arange(41) == 17, 4.0, 1.0) * clean.variance)
    got = fit_slices([bad], 100.0, model=model).smile(0, clean.k)
    want = fit_slices([clean], 100.0, model=model).smile(0, clean.k)
    keep = np.arange(41) != 17
    assert (np.abs(got - want) / clean.half)[keep].max() < 1.0


def test_vogts_quotes_are_fitted_without_a_butterfly():
    surface = fit_slices([points_of(VOGT, 1.0, np.linspace(-1.5, 1.5, 61))], 100.0)
    report = check_surface(surface.terms, surface.years)
    assert report.free, report.worst()


@pytest.mark.parametrize("model", ["svi", "sabr"])
def test_crossing_slices_are_repaired_by_the_larger_variance(model):
    early, late = RawSvi(0.03, 0.20, -0.6, 0.0, 0.15), RawSvi(0.052, 0.04, -0.2, 0.0, 0.3)
    k = np.linspace(-0.6, 0.4, 41)
    crossing = svi(early, k) > svi(late, k)
    assert 0 < crossing.sum() < 41
    surface = fit_slices([points_of(early, 0.5, k), points_of(late, 0.8, k)], 100.0, model=model)
    assert surface.floored.tolist() == [False, True]
    report = check_surface(surface.terms, surface.years)
    assert report.free, report.worst()
    first, second = surface.variance(k, 0.5), surface.variance(k, 0.8)
    assert (second >= first).all()
    assert (second[crossing][2:] == first[crossing][2:]).any()
    if model == "svi":
        np.testing.assert_allclose(second, np.maximum(svi(early, k), svi(late, k)), rtol=2e-3)


def two_slices(early, late, mixed):
    table = np.array([svi_slice(early, 0.5), svi_slice(late, 1.0)])
    table[0, MIXED] = mixed
    return table


@pytest.mark.parametrize("mixed", [0.0, 1.0])
@pytest.mark.parametrize("years", [0.2, 0.6, 0.9, 1.3])
def test_terms_are_the_derivatives_of_the_variance(mixed, years):
    late = RawSvi(0.05, 0.15, -0.3, 0.05, 0.25)
    table, h = two_slices(GOOD, late, mixed), 1e-5
    for k in (-0.8, -0.1, 0.05, 0.6):
        w, w1, w2, wt = surface_terms(table, 2, k, years)
        up, down = surface_terms(table, 2, k + h, years), surface_terms(table, 2, k - h, years)
        later, sooner = surface_terms(table, 2, k, years + h), surface_terms(table, 2, k, years - h)
        assert w1 == pytest.approx((up[0] - down[0]) / (2 * h), abs=1e-8)
        assert w2 == pytest.approx((up[1] - down[1]) / (2 * h), abs=1e-7)
        assert wt == pytest.approx((later[0] - sooner[0]) / (2 * h), abs=1e-8)
        assert w > 0.0


def test_mixed_prices_are_the_mixture_and_the_money_variance_is_linear_in_time():
    late = RawSvi(0.05, 0.15, -0.3, 0.05, 0.25)
    table = two_slices(GOOD, late, 1.0)
    for years in (0.5, 0.6, 0.75, 0.99):
        part = (years - 0.5) / 0.5
        expected = (1 - part) * svi(GOOD, 0.0) + part * svi(late, 0.0)
        assert surface_terms(table, 2, 0.0, years)[0] == pytest.approx(expected, rel=1e-12)
    weights = []
    for k in (-0.7, -0.2, 0.3, 0.8):
        a, b, c = (otm_price(k, x) for x in (svi(GOOD, k), svi(late, k), surface_terms(table, 2, k, 0.7)[0]))
        weights.append((c - a) / (b - a))
    np.testing.assert_allclose(weights, weights[0], rtol=1e-8)


def test_a_gap_with_a_negative_density_is_seen():
    k = np.linspace(-1.5, 1.5, 301)
    wider = VOGT._replace(a=VOGT.a + 0.001)
    assert not gap_is_sound(two_slices(VOGT, wider, 0.0), 0, k, 3)
    assert gap_is_sound(two_slices(GOOD, RawSvi(0.05, 0.15, -0.3, 0.05, 0.25), 0.0), 0, k, 3)


def test_a_gap_whose_linear_variance_has_a_butterfly_is_mixed_in_prices():
    """Contradictory quotes, found at random: both slices are sound, a date between them is not."""
    points = [
        SlicePoints(years, 100.0, 1.0, np.array(k), np.array(vol) ** 2 * years, 0.05 * np.array(vol) ** 2 * years)
        for years, k, vol in (
            (0.1, [-0.09, -0.06, -0.36], [0.31, 0.9, 0.62]),
            (0.2, [0.5, -0.55, 0.28], [1.16, 0.6, 0.32]),
        )
    ]
    surface = fit_slices(points, 100.0)
    assert surface.params[0, MIXED] == 1.0
    report = check_surface(surface.terms, surface.years, between=9)
    assert report.free, report.worst()
    surface.params[0, MIXED] = 0.0
    report = check_surface(surface.terms, surface.years, between=9)
    assert report.calendar_free
    assert not report.butterfly_free
    assert 0.1 < report.butterfly.years < 0.2


def test_the_mixture_of_sound_slices_is_free_of_arbitrage():
    early = RawSvi(0.0, 0.9, -0.98, 0.30, 0.02)
    late = RawSvi(0.3, 0.55, 0.98, -0.35, 0.02)
    k = np.linspace(-0.6, 0.6, 121)
    surface = fit_slices([points_of(early, 0.5, k), points_of(late, 0.6, k)], 100.0)
    mixed = surface.params.copy()
    mixed[0, MIXED] = 1.0
    assert surface.floored[1]

    def terms(k, years):
        out = np.empty((4, len(k)))
        surface_terms_batch(mixed, 2, k, years, out)
        return tuple(out)

    report = check_surface(terms, surface.years, between=9)
    assert report.free, report.worst()


def test_before_the_first_expiry_and_after_the_last():
    surface = fit_slices([points_of(GOOD, 0.5)], 100.0)
    k = np.array([-0.3, 0.0, 0.2])
    np.testing.assert_allclose(surface.variance(k, 0.125), 0.25 * surface.variance(k, 0.5))
    gain = surface.variance(k, 1.0) - surface.variance(k, 0.5)
    np.testing.assert_allclose(gain, surface.variance(0.0, 0.5), rtol=1e-12)


def test_forwards_discounts_and_vols_between_the_expiries():
    first, second = points_of(GOOD, 0.5, forward=101.0), points_of(GOOD._replace(a=0.04), 1.0, forward=103.0)
    surface = fit_slices([first, second], 100.0)
    np.testing.assert_allclose(surface.forward([0.0, 0.5, 0.75, 1.0]), [100.0, 101.0, math.sqrt(101 * 103), 103.0])
    np.testing.assert_allclose(surface.discount([0.25, 1.0, 2.0]), np.exp([-0.005, -0.02, -0.04]))
    np.testing.assert_allclose(surface.vol(101.0, 0.5), math.sqrt(surface.variance(0.0, 0.5) / 0.5))
    assert np.isnan(surface.forward(-1.0))


def test_bad_points_of_a_surface_are_nan_and_touch_no_other():
    surface = fit_slices([points_of(GOOD, 0.5)], 100.0)
    k = np.array([0.1, math.nan, math.inf, 0.1, 0.1, 0.1, 0.1])
    years = np.array([0.4, 0.4, 0.4, 0.0, -1.0, math.nan, 0.4])
    terms = np.array(surface.terms(k, years))
    assert np.isnan(terms[:, 1:6]).all()
    np.testing.assert_array_equal(terms[:, 0], terms[:, 6])
    assert np.isfinite(terms[:, 0]).all()


@pytest.mark.parametrize("model", ["svi", "sabr"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_few_quotes_give_a_plain_slice_or_none(model, count):
    k = np.array([-0.1, 0.1, 0.0, 0.2])[:count]
    few = points_of(GOOD, 0.3, k)
    rest = points_of(GOOD._replace(a=0.05), 0.6)
    surface = fit_slices([few, rest], 100.0, model=model)
    assert surface.status[0] == (SliceStatus.NONE if count == 0 else SliceStatus.FEW_POINTS)
    assert surface.row_of == ((-1, 0) if count == 0 else (0, 1))
    if count:
        np.testing.assert_allclose(surface.smile(0, k), svi(GOOD, k), rtol=0.02)
    report = check_surface(surface.terms, surface.years)
    assert report.free, report.worst()


QUOTE = st.tuples(st.floats(-0.8, 0.8), st.floats(0.05, 1.5), st.floats(1e-3, 0.3))


@pytest.mark.parametrize("model", ["svi", "sabr"])
@pytest.mark.parametrize("apart", [1e-310, 1e-16, 1e-13])
def test_quotes_of_what_is_one_strike_are_one_smile(model, apart):
    k, vol = np.array([apart, -apart]), np.array([1.0, 0.5])
    surface = fit_slices([SlicePoints(1.0, 100.0, 1.0, k, vol * vol, 0.25 * vol * vol)], 100.0, model=model)
    assert surface.status[0] == SliceStatus.FEW_POINTS
    assert 0.25 <= float(surface.smile(0, np.zeros(1))[0]) <= 1.0


@pytest.mark.parametrize("model", ["svi", "sabr"])
@given(st.lists(st.lists(QUOTE, min_size=1, max_size=12), min_size=1, max_size=3), st.floats(0.001, 1.0))
def test_whatever_the_quotes_the_surface_is_free_of_arbitrage(model, expiries, first):
    """Volatilities from 5 to 150 % in any order, half-spreads from 0.1 to 30 % of variance."""
    points = []
    for n, quotes in enumerate(expiries, start=1):
        k, vol, share = (np.array(column) for column in zip(*quotes, strict=True))
        points.append(SlicePoints(n * first, 100.0, 1.0, k, vol * vol * n * first, share * vol * vol * n * first))
    surface = fit_slices(points, 100.0, model=model)
    report = check_surface(surface.terms, surface.years, points=201)
    assert report.free, report.worst()


def test_bad_quotes_are_left_out():
    good = points_of(GOOD, 0.5)
    k = np.concatenate([good.k, [math.nan, 0.0, 0.0, 0.0, 0.0]])
    variance = np.concatenate([good.variance, [0.1, math.nan, -1.0, 0.1, math.inf]])
    half = np.concatenate([good.half, [0.1, 0.1, 0.1, 0.0, 0.1]])
    dirty = fit_slices([SlicePoints(0.5, 100.0, 1.0, k, variance, half)], 100.0)
    np.testing.assert_array_equal(dirty.params, fit_slices([good], 100.0).params)


def test_what_cannot_be_fitted_is_refused_with_the_bound():
    good = points_of(GOOD, 0.5)
    with pytest.raises(GpuError, match="svi or sabr"):
        fit_slices([good], 100.0, model="heston")
    with pytest.raises(GpuError, match=r"beta must be 0\.\.1"):
        fit_slices([good], 100.0, model="sabr", beta=1.5)
    with pytest.raises(GpuError, match="ascend"):
        fit_slices([good, good], 100.0)
    with pytest.raises(GpuError, match="no expiry"):
        fit_slices([points_of(GOOD, 0.5, [])], 100.0)
