"""exp, log, log ratio and the normal tail against 60-digit arithmetic, over the whole range of doubles."""

import math

import mpmath as mp
import numpy as np
import pytest

from gpu.maths.functions import (
    bits_of,
    density,
    exp_fast,
    exp_near,
    float_of,
    log_fast,
    log_ratio,
    mills,
    normal_cdf,
    tail,
)
from market.jit import kernel

RANDOM = np.random.default_rng(20151224)
TINY = 5e-324


def ulps(got, exact):
    """Distance in units in the last place of the exact value (of the smallest double for subnormals)."""
    return float(abs(mp.mpf(got) - exact) / mp.mpf(float(np.spacing(abs(float(exact))))))


def worst(function, reference, points, measure=ulps):
    with mp.workdps(60):
        return max(measure(function(float(x)), reference(mp.mpf(float(x)))) for x in points)


def relative(got, exact):
    return float(abs(mp.mpf(got) - exact) / abs(exact))


def exact_mills(z):
    return mp.sqrt(mp.pi / 2) * mp.exp(z * z / 2) * mp.erfc(z / mp.sqrt(2))


def test_exp_is_right_to_one_ulp_from_the_subnormals_to_the_largest_double():
    points = np.concatenate(
        [RANDOM.uniform(-745.1, 709.78, 1500), RANDOM.uniform(-1, 1, 700), RANDOM.uniform(-745.1, -708, 300)]
    )
    assert worst(exp_fast, mp.exp, points) <= 1.1
    assert worst(exp_near, mp.exp, points[abs(points) <= 708.0]) <= 1.1


def test_log_is_right_to_one_ulp_near_one_and_in_the_subnormals():
    points = np.concatenate(
        [
            np.exp(RANDOM.uniform(-708, 709, 1000)),
            RANDOM.uniform(0.4, 2.5, 1000),
            1 + RANDOM.uniform(-1e-6, 1e-6, 400),
            RANDOM.uniform(TINY, 1e-310, 100),
        ]
    )
    assert worst(log_fast, mp.log, points[points != 1.0]) <= 1.0
    assert log_fast(1.0) == 0.0


def test_mills_ratio_keeps_its_relative_error_from_zero_to_the_largest_arguments():
    near = np.concatenate([RANDOM.uniform(0, 10, 1000), np.exp(RANDOM.uniform(-30, 9, 500))])
    assert worst(mills, exact_mills, near, relative) <= 7e-16
    far = np.exp(RANDOM.uniform(9, 59, 200))
    assert worst(mills, lambda z: (1 - 1 / z**2 + 3 / z**4 - 15 / z**6) / z, far, relative) <= 7e-16


def test_logarithm_of_a_ratio_is_accurate_relative_to_itself_where_both_are_close():
    a = np.concatenate([np.exp(RANDOM.uniform(-690, 690, 600)), RANDOM.uniform(50, 200, 600),
                        100 * (1 + RANDOM.uniform(-1e-9, 1e-9, 600))])  # fmt: skip
    b = np.concatenate([np.exp(RANDOM.uniform(-690, 690, 600)), RANDOM.uniform(50, 200, 600), np.full(600, 100.0)])
    with mp.workdps(60):
        errors = [
            ulps(log_ratio(p, q), mp.log(mp.mpf(p) / mp.mpf(q)))
            for p, q in zip(a.tolist(), b.tolist(), strict=True)
            if p != q
        ]
    assert max(errors) <= 2.0
    assert log_ratio(123.0, 123.0) == 0.0


def test_normal_distribution_and_density_keep_their_digits_in_both_tails():
    points = np.concatenate([RANDOM.uniform(-37, 8, 400), [-37.5, 0.0]])
    with mp.workdps(60):
        for x in points.tolist():
            eps = 2.3e-16 * (5 + x * x / 2)
            assert relative(normal_cdf(x), mp.erfc(-mp.mpf(x) / mp.sqrt(2)) / 2) <= eps, x
            assert relative(density(x), mp.npdf(mp.mpf(x))) <= eps, x
    assert tail(2.5, density(2.5)) == pytest.approx(normal_cdf(-2.5), rel=1e-15)


@pytest.mark.parametrize(
    ("function", "x", "value"),
    [
        (exp_fast, 0.0, 1.0), (exp_fast, -745.14, 0.0), (exp_fast, -745.13, TINY), (exp_fast, -math.inf, 0.0),
        (exp_fast, 709.79, math.inf), (exp_fast, math.inf, math.inf), (exp_fast, 1e308, math.inf),
        (log_fast, 0.0, -math.inf), (log_fast, math.inf, math.inf), (log_fast, TINY, -744.4400719213812),
        (mills, 0.0, 1.2533141373155003), (normal_cdf, math.inf, 1.0), (normal_cdf, -math.inf, 0.0),
        (normal_cdf, 40.0, 1.0), (density, math.inf, 0.0),
    ],
)  # fmt: skip
def test_edges_have_their_exact_value(function, x, value):
    assert function(x) == value


@pytest.mark.parametrize("function", [exp_fast, exp_near, log_fast, mills, density, normal_cdf])
def test_no_number_stays_no_number(function):
    assert math.isnan(function(math.nan))


@pytest.mark.parametrize("x", [-1.0, -TINY, -math.inf])
def test_logarithm_of_a_negative_number_is_none(x):
    assert math.isnan(log_fast(x))


@kernel
def there_and_back(x):
    return bits_of(x), float_of(bits_of(x))


@pytest.mark.parametrize("x", [0.0, 1.0, -2.5, TINY, math.inf])
def test_bits_go_there_and_back(x):
    assert there_and_back(x) == (int(np.float64(x).view(np.int64)), x)
