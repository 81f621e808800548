"""Pairs of doubles against 60-digit arithmetic, alone and inside a wide loop, where the compiler may fuse."""

import math

import mpmath as mp
import numpy as np
import pytest

from gpu.maths.pairs import add_pairs, difference_times, fused, fused_exactly, log_ratio_pair, sum_pair, two_sum
from gpu.maths.wide import wide_kernel
from market.jit import kernel

RANDOM = np.random.default_rng(20151224)


@wide_kernel
def all_of_them(a, b, c, high, low, gap, gap_low, total, error):
    for i in range(a.shape[0]):
        high[i], low[i] = log_ratio_pair(a[i], b[i])
        gap[i], gap_low[i] = difference_times(a[i], b[i], c[i])
        total[i], error[i] = two_sum(a[i], c[i])


@kernel
def fused_once(a, b, c):
    return fused(a, b, c)


def columns():
    wide, near = np.exp(RANDOM.uniform(-230, 230, (2, 300))), RANDOM.uniform(50, 200, (2, 300))
    close = np.array([100.0 * (1.0 + RANDOM.uniform(-1e-9, 1e-9, 100)), np.full(100, 100.0)])
    # Where the nearest power of two changes, s is largest: mantissas that are 1.5 apart.
    edge = np.array([RANDOM.uniform(1.4, 1.51, 200), 2.0 ** RANDOM.integers(-90, 90, 200).astype(float)])
    a, b = np.concatenate([wide, near, close, edge], axis=1)
    return a, b, RANDOM.uniform(-3.0, 3.0, a.size)


def test_pairs_are_exact_to_their_bounds_in_vectors_and_one_by_one():
    a, b, c = columns()
    out = np.empty((6, a.size))
    all_of_them(a, b, c, *out)
    with mp.workdps(60):
        for i, (x, y, z) in enumerate(zip(a.tolist(), b.tolist(), c.tolist(), strict=True)):
            log, product, total = mp.log(mp.mpf(x) / y), (mp.mpf(x) - y) * z, mp.mpf(x) + z
            for got in (out[:, i].tolist(), [*log_ratio_pair(x, y), *difference_times(x, y, z), *two_sum(x, z)]):
                assert abs(mp.mpf(got[0]) + got[1] - log) <= 1.5e-22 * abs(log), (x, y)
                assert abs(mp.mpf(got[2]) + got[3] - product) <= 1e-31 * abs(product), (x, y, z)
                assert mp.mpf(got[4]) + got[5] == total, (x, z)


def test_what_cancels_to_the_last_digit_leaves_the_low_parts():
    assert sum_pair(0.3, 1e-20, -0.3, 2e-20) == pytest.approx(3e-20, rel=1e-15)
    assert add_pairs(1.0, 1e-20, 1e-18, 0.0) == (1.0, pytest.approx(1.01e-18, rel=1e-15))
    assert log_ratio_pair(123.0, 123.0) == (0.0, 0.0)


@pytest.mark.parametrize("function", [fused_once, fused_exactly])
def test_a_product_and_a_sum_are_rounded_once(function):
    a = 1.0 + 2.0**-30
    assert a * a - (1.0 + 2.0**-29) == 0.0
    assert function(a, a, -(1.0 + 2.0**-29)) == 2.0**-60
    assert math.isnan(function(math.nan, 1.0, 1.0))
    assert function(math.inf, 1.0, 1.0) == math.inf
