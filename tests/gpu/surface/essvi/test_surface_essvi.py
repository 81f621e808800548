import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.surface.essvi.fit import increments_from, slices_from
from gpu.surface.essvi.terms import (
    MAX_WING,
    essvi_fault,
    essvi_floor,
    essvi_gradient,
    essvi_terms,
    essvi_variance,
)
from gpu.surface.slices.svi import svi_variance
from gpu.surface.surface import Surface
from tests.gpu.surface.surfaces import assert_no_arbitrage, ssvi_variance

SLICES = [(0.04, 0.25, -0.1), (1e-5, 0.006, -0.002), (0.3, 1.2, 0.9), (0.02, 0.05, 0.0499), (0.5, 1.0, -0.999)]
KS = [-40.0, -3.0, -0.3, -1e-3, 0.0, 1e-3, 0.2, 2.0, 30.0]


def exact(theta, psi, eta, k):
    theta, psi, eta, k = (mpmath.mpf(x) for x in (theta, psi, eta, k))
    return (theta + eta * k + mpmath.sqrt((theta + eta * k) ** 2 + (psi * psi - eta * eta) * k * k)) / 2


@pytest.mark.parametrize("piece", SLICES)
@pytest.mark.parametrize("k", KS)
def test_variance_and_its_derivatives_against_fifty_digits(piece, k):
    with mpmath.workdps(50):
        want = [exact(*piece, k)] + [mpmath.diff(lambda x: exact(*piece, x), k, order) for order in (1, 2)]
        gradient = [
            mpmath.diff(lambda x, at=at: exact(*(x if j == at else v for j, v in enumerate(piece)), k), piece[at])
            for at in range(3)
        ]
    got = essvi_terms(*piece, k)
    assert essvi_variance(*piece, k) == got[0] == pytest.approx(float(want[0]), rel=1e-14)
    assert got[1] == pytest.approx(float(want[1]), rel=1e-9, abs=1e-15)
    assert got[2] == pytest.approx(float(want[2]), rel=1e-11)
    assert essvi_gradient(*piece, k) == pytest.approx([float(x) for x in gradient], rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("piece", SLICES[:3])
def test_it_is_the_surface_of_gatheral_and_jacquier_and_a_raw_svi(piece):
    theta, psi, eta = piece
    rho, phi = eta / psi, psi / theta
    k = np.linspace(-1.5, 1.2, 41)
    got = np.array([essvi_variance(theta, psi, eta, x) for x in k])
    np.testing.assert_allclose(got, ssvi_variance(theta, rho, phi, k), rtol=1e-13)
    raw = (0.5 * theta * (1.0 - rho * rho), 0.5 * psi, rho, -rho / phi, math.sqrt(1.0 - rho * rho) / phi)
    np.testing.assert_allclose(got, [svi_variance(*raw, x) for x in k], rtol=1e-13)


@given(st.floats(1e-6, 1.0), st.floats(1e-4, 2.0), st.floats(-0.999, 0.999), st.floats(-5.0, 5.0), st.floats(1e-3, 1e3))
def test_variance_is_homogeneous_of_degree_one(theta, psi, rho, k, size):
    """Below the first expiry the smile is scaled: w of (x theta, x psi, x eta) is x w."""
    plain = essvi_variance(theta, psi, rho * psi, k)
    assert essvi_variance(size * theta, size * psi, size * rho * psi, k) == pytest.approx(size * plain, rel=1e-9)


_GOOD = (0.04, 0.25, -0.1)


@pytest.mark.parametrize(
    ("piece", "before", "fault"),
    [
        (_GOOD, (0.0, 0.0, 0.0), 0),
        (_GOOD, _GOOD, 0),
        ((0.04, 0.3, -0.1), (0.0, 0.0, 0.0), 0),  # psi (psi + |eta|) = 0.12 <= 4 theta = 0.16
        ((0.04, 0.36, -0.1), (0.0, 0.0, 0.0), 1),  # 0.1656
        ((9.0, 3.0, 1.1), (0.0, 0.0, 0.0), 1),  # wing slope over Lee's bound
        ((0.039, 0.25, -0.1), _GOOD, 2),  # theta falls
        ((0.05, 0.25, -0.11), _GOOD, 2),  # right wing falls
        ((0.05, 0.25, -0.09), _GOOD, 2),  # left wing falls
        ((0.041, 0.27, -0.1), _GOOD, 2),  # psi / theta rises
        ((0.05, 0.27, -0.1), _GOOD, 0),
        ((0.04, 0.25, -0.26), (0.0, 0.0, 0.0), 3),
        ((math.nan, 0.25, 0.1), (0.0, 0.0, 0.0), 3),
        ((0.04, 0.0, 0.0), (0.0, 0.0, 0.0), 3),
    ],
)
def test_each_condition_is_told_apart(piece, before, fault):
    assert essvi_fault(*piece, *before) == fault


def test_the_floor_is_where_the_conditions_begin_to_hold():
    for u, v, *before in ((0.2, 0.5, 0.04, 0.3, -0.1), (0.9, 0.3, 0.04, 0.2, 0.0), (1.0, 1.2, 0.0, 0.0, 0.0)):
        floor, psi, eta = essvi_floor(u, v, before[0], before[1]), 0.5 * (u + v), 0.5 * (u - v)
        assert essvi_fault(floor, psi, eta, *before) == 0
        assert essvi_fault(floor * (1.0 - 3e-6), psi, eta, *before) in (1, 2)


_STEP = st.floats(1e-6, 1.0)


def surface_of(slices, years):
    from gpu.surface.essvi.bump import ETA, NODE, PSI, THETA, YEARS

    nodes = np.zeros((len(years) + 1, NODE))
    nodes[1:, YEARS] = years
    nodes[1:, THETA], nodes[1:, PSI] = slices[0], 0.5 * (slices[1] + slices[2])
    nodes[1:, ETA] = 0.5 * (slices[1] - slices[2])
    return Surface(nodes)


@given(st.lists(st.tuples(_STEP, _STEP, _STEP, st.floats(0.01, 1.0)), min_size=1, max_size=5))
def test_any_positive_increments_give_a_surface_free_of_arbitrage(steps):
    """Between, before and beyond the expiries too; sizes from a two-hour option's to absurd ones."""
    n = len(steps)
    z, slices = np.array([step[:3] for step in steps]).ravel(), np.zeros((3, n))
    slices_from(z, n, slices)
    before = (0.0, 0.0, 0.0)
    for theta, u, v in slices.T:
        piece = (theta, 0.5 * (u + v), 0.5 * (u - v))
        assert essvi_fault(*piece, *before) == 0
        assert max(u, v) <= MAX_WING
        before = piece
    assert_no_arbitrage(surface_of(slices, np.cumsum([step[3] for step in steps])), points=150)


@given(st.lists(st.tuples(_STEP, _STEP, _STEP), min_size=1, max_size=6))
def test_increments_and_slices_are_each_others_inverse(steps):
    n = len(steps)
    z, slices, back, least = np.array(steps).ravel(), np.zeros((3, n)), np.zeros(3 * n), np.zeros(3 * n)
    slices_from(z, n, slices)
    increments_from(slices, np.full(n, 1e-3), n, back, least)
    again = np.zeros((3, n))
    slices_from(back, n, again)
    np.testing.assert_allclose(again, slices, rtol=1e-9, atol=1e-12)
