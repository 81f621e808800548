import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.european.greeks import black_price
from gpu.surface.slices.smile import (
    BUMP_COEF,
    BUMP_COUNT,
    BUMP_LOW,
    BUMP_STEP,
    SCALE,
    SMILE_PARAMS,
    SVI_A,
    WORK_ROWS,
    SmileStatus,
    butterfly_free,
    durrleman,
    fit_smile,
    inside_count,
    smile_terms,
    smile_variance,
)
from gpu.surface.slices.svi import svi_variance

GOOD = (0.02, 0.10, -0.5, 0.02, 0.15)
#: Axel Vogt's slice: fits five parameters within every classical bound, and has a negative density.
VOGT = (-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)


def fit(k, variance, half):
    n = max(len(k) + 2, 64)
    out = np.zeros(SMILE_PARAMS)
    k, variance, half = (np.asarray(x, float) for x in (k, variance, np.broadcast_to(half, np.shape(k))))
    status = fit_smile(
        k, variance, np.ascontiguousarray(half), len(k), out, np.zeros(SMILE_PARAMS), np.zeros((WORK_ROWS, n))
    )
    return out, status


def svi_params(values, scale):
    params = np.zeros(SMILE_PARAMS)
    params[SCALE] = scale
    params[SVI_A : SVI_A + 5] = values
    return params


def is_free(params, k):
    u = np.arcsinh(np.asarray(k) / params[SCALE])
    dense = params[SCALE] * np.sinh(np.linspace(u.min() - 1.5, u.max() + 1.5, 1500))
    return all(durrleman(params, float(x)) >= 0.0 and smile_variance(params, float(x)) > 0.0 for x in dense)


def test_recovers_an_svi_from_exact_points():
    k = np.linspace(-0.6, 0.5, 45)
    variance = np.array([svi_variance(*GOOD, x) for x in k])
    params, status = fit(k, variance, 1e-5)
    assert status == SmileStatus.OK
    got = np.array([smile_variance(params, x) for x in k])
    np.testing.assert_allclose(got, variance, atol=1e-5)
    assert is_free(params, k)


@pytest.mark.parametrize("years", [0.0003, 0.01, 0.3, 3.0])
def test_the_same_shape_is_fitted_at_two_hours_and_at_three_years(years):
    x = np.linspace(-3.0, 2.5, 40)
    root = math.sqrt(0.04 * years)
    variance = root * root * (0.9 + 0.1 * np.sqrt(1.0 + x * x) - 0.08 * x)
    params, status = fit(root * x, variance, 0.01 * root * root)
    assert status == SmileStatus.OK
    assert inside_count(params, root * x, variance, np.full(40, 0.01 * root * root), 40) == 40


def test_a_shape_svi_cannot_make_is_met_by_the_bump():
    """A smile with a shoulder, spreads of half a percent of variance: SVI alone misses a third of it."""
    k = np.linspace(-0.5, 0.4, 60)
    base = np.array([svi_variance(*GOOD, x) for x in k])
    variance = base * (1.0 + 0.03 * np.exp(-(((k + 0.15) / 0.06) ** 2)))
    half = 0.005 * base
    params, status = fit(k, variance, half)
    assert status == SmileStatus.OK
    assert params[BUMP_COUNT] > 0
    alone = params.copy()
    alone[BUMP_COUNT] = 0
    assert inside_count(alone, k, variance, half, 60) < 50
    assert inside_count(params, k, variance, half, 60) >= 57
    assert is_free(params, k)


def test_vogts_slice_has_a_negative_density_and_its_repair_has_not():
    k = np.linspace(-1.5, 1.5, 61)
    variance = np.array([svi_variance(*VOGT, x) for x in k])
    scale = math.sqrt(svi_variance(*VOGT, 0.0))
    raw = svi_params(VOGT, scale)
    assert min(durrleman(raw, x) for x in np.linspace(0.5, 1.5, 50)) < -0.01
    u = float(np.arcsinh(1.5 / scale))
    assert not butterfly_free(raw, -u, u)
    params, status = fit(k, variance, 0.02 * variance)
    assert status in (SmileStatus.OK, SmileStatus.REPAIRED)
    assert is_free(params, k)


def test_durrlemans_function_has_the_sign_and_size_of_the_second_strike_derivative():
    """g(k) against a finite difference of Black prices: density = g n(d2) / (K sqrt(w))."""
    k_grid = np.linspace(-0.5, 0.4, 60)
    base = np.array([svi_variance(*GOOD, x) for x in k_grid])
    params, _ = fit(k_grid, base * (1.0 + 0.02 * np.sin(12.0 * k_grid)), 0.002 * base)
    assert params[BUMP_COUNT] > 0

    def call(strike):
        return black_price(1.0, strike, math.sqrt(smile_variance(params, math.log(strike))), 1)

    for k in (-0.4, -0.15, 0.0, 0.1, 0.3):
        strike, h = math.exp(k), 2e-4
        density = (call(strike + h) - 2.0 * call(strike) + call(strike - h)) / (h * h)
        w = smile_variance(params, k)
        d2 = -k / math.sqrt(w) - 0.5 * math.sqrt(w)
        expected = durrleman(params, k) * math.exp(-0.5 * d2 * d2) / math.sqrt(2.0 * math.pi) / (strike * math.sqrt(w))
        assert density == pytest.approx(expected, rel=2e-4, abs=1e-5)


def test_derivatives_of_the_smile_with_a_bump():
    params = svi_params(GOOD, 0.2)
    params[BUMP_LOW], params[BUMP_STEP], params[BUMP_COUNT] = -1.5, 0.3, 13
    params[BUMP_COEF + 3 : BUMP_COEF + 10] = (0.001, -0.002, 0.003, 0.001, -0.001, 0.002, 0.0005)
    h = 1e-5
    for k in (-0.41, -0.2, -0.01, 0.02, 0.07, 0.3, 0.9):  # none on a knot, where the third one jumps
        down, here, up = (smile_terms(params, k + e) for e in (-h, 0.0, h))
        assert here[1] == pytest.approx((up[0] - down[0]) / (2 * h), rel=1e-6, abs=1e-9)
        assert here[2] == pytest.approx((up[1] - down[1]) / (2 * h), rel=1e-5, abs=1e-7)
        assert smile_variance(params, k) == here[0]


def test_wings_are_svi_outside_the_quotes_and_below_lees_slope():
    k = np.linspace(-0.4, 0.3, 30)
    variance = 0.01 + 3.0 * np.maximum(0.0, -k) + 0.1 * k * k
    params, _ = fit(k, variance, 0.02 * variance)
    far = 50.0
    for sign in (-1.0, 1.0):
        value, slope, _ = smile_terms(params, sign * far)
        assert value == pytest.approx(svi_variance(*params[SVI_A : SVI_A + 5], sign * far))
        assert abs(slope) < 2.0
    assert is_free(params, k)


def test_no_quote_one_quote_and_two():
    assert fit([], [], 0.01)[1] == SmileStatus.NONE
    params, status = fit([0.1], [0.04], 0.001)
    assert status == SmileStatus.FEW_POINTS
    for k in (-1.0, 0.0, 0.1, 1.0):
        assert smile_variance(params, k) == pytest.approx(0.04, rel=1e-6)
    params, status = fit([-0.1, 0.1], [0.05, 0.03], 0.001)
    assert status == SmileStatus.FEW_POINTS
    assert smile_variance(params, -0.1) == pytest.approx(0.05, abs=5e-4)
    assert smile_variance(params, 0.1) == pytest.approx(0.03, abs=5e-4)
    assert is_free(params, [-0.1, 0.1])


def test_one_absurd_quote_does_not_bend_the_smile():
    k = np.linspace(-0.6, 0.5, 45)
    variance = np.array([svi_variance(*GOOD, x) for x in k])
    half = 0.01 * variance
    bad = variance.copy()
    bad[20] *= 4.0
    params, _ = fit(k, bad, half)
    got = np.array([smile_variance(params, x) for x in k])
    misses = np.abs(got - variance) / half
    misses[20] = 0.0
    assert misses.max() < 1.0


def test_no_dip_of_the_density_hides_between_two_points_of_the_check():
    """Found by hypothesis: the spline's kinks made a negative density that a coarse grid stepped over."""
    k = [0.0] * 9 + [1.0] * 5 + [0.5] * 3 + [0.75, 0.1875, -0.96875, -0.25]
    variance = [1.0, 1.0, 0.5, 0.75, 0.25] + [1.0] * 12 + [0.25, 1.0, 1.0, 1.0]
    half = [1.0, 1.0, 1.0, 1.0, 0.03125] + [1.0] * 9 + [0.5, 0.375, 0.03125, 0.03125, 0.25, 0.125, 0.09375]
    params, _ = fit(np.array(k), np.array(variance), np.array(half))
    assert is_free(params, k)


@given(st.lists(st.tuples(st.floats(-1.0, 1.0), st.floats(1e-4, 1.0), st.floats(1e-5, 1.0)), min_size=1, max_size=30))
def test_whatever_the_quotes_the_smile_is_free_of_butterflies(points):
    k, variance, half = (np.array(column) for column in zip(*points, strict=True))
    params, status = fit(k, variance, half)
    assert status != SmileStatus.NONE
    assert np.isfinite(params).all()
    assert is_free(params, k)
