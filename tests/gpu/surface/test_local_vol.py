"""Dupire's formula against models whose local volatility is known, and round trips through a PDE."""

import math
from typing import NamedTuple

import mpmath
import numpy as np
import pytest
from scipy.linalg import solve_banded

from gpu.implied.black import implied_deviation
from gpu.surface.local_vol import LocalVolStatus, local_vol_surface, local_vols
from gpu.surface.slices.slices import RawSvi, SlicePoints, fit_slices


def flat(k, years):
    zero = np.zeros_like(k)
    return 0.09 * years + zero, zero, zero, 0.09 + zero


def test_flat_surface_has_a_flat_local_volatility():
    vol, status = local_vol_surface(flat, np.linspace(-2.0, 2.0, 41)[:, None], [0.01, 1.0, 5.0])
    assert vol.shape == status.shape == (41, 3)
    np.testing.assert_allclose(vol, 0.3, rtol=1e-15)
    assert (status == LocalVolStatus.OK).all()


def test_volatility_that_depends_on_time_alone_is_its_own_local_volatility():
    def terms(k, years):
        zero = np.zeros_like(k)
        return 0.04 * years + 0.03 * years**3, zero, zero, 0.04 + 0.09 * years**2

    years = np.array([0.1, 0.7, 2.0])
    vol, _ = local_vol_surface(terms, 0.3, years)
    np.testing.assert_allclose(vol, np.sqrt(0.04 + 0.09 * years**2), rtol=1e-15)


class Displaced(NamedTuple):
    """dF = vol (F + shift) dW with F = 1: its local volatility is vol (1 + shift / F) exactly."""

    vol: float
    shift: float

    def variance(self, k, years):
        """Total Black variance in high precision, by Newton on the price."""
        normal, pdf = mpmath.ncdf, mpmath.npdf

        def call(forward, strike, s):
            d1 = mpmath.log(forward / strike) / s + s / 2
            return forward * normal(d1) - strike * normal(d1 - s)

        strike, years = mpmath.exp(k), mpmath.mpf(years)
        price = call(1 + self.shift, strike + self.shift, self.vol * mpmath.sqrt(years))
        s = self.vol * (1 + self.shift) * mpmath.sqrt(years)
        for _ in range(60):
            step = (call(mpmath.mpf(1), strike, s) - price) / pdf(-k / s + s / 2)
            s -= step
            if abs(step) < mpmath.mpf("1e-32"):
                break
        return s * s


@pytest.mark.parametrize("shift", [-0.3, 0.5])
@pytest.mark.parametrize("k", [-0.35, 0.0, 0.3])
@pytest.mark.parametrize("years", [0.3, 2.0])
def test_displaced_diffusion_has_its_own_local_volatility(shift, k, years):
    model = Displaced(mpmath.mpf("0.2"), mpmath.mpf(shift))
    with mpmath.workdps(40):
        at, h = mpmath.mpf(k), mpmath.mpf("1e-7")
        w, up, down = (model.variance(at + e, years) for e in (0, h, -h))
        later, sooner = (model.variance(at, mpmath.mpf(years) + e) for e in (h, -h))
        terms = [float(x) for x in (w, (up - down) / (2 * h), (up - 2 * w + down) / h**2, (later - sooner) / (2 * h))]
    out, status = np.empty(1), np.empty(1, np.uint8)
    local_vols(np.array([k]), *(np.array([x]) for x in terms), out, status)
    assert status[0] == LocalVolStatus.OK
    assert out[0] == pytest.approx(0.2 * (1.0 + shift * math.exp(-k)), rel=1e-9)


def ssvi(k, years):
    """Gatheral and Jacquier's surface with a square-root skew: analytic terms, free of arbitrage."""
    theta, rho, eta = 0.06 * years, -0.5, 0.6
    phi = eta / np.sqrt(theta)
    z = phi * k + rho
    root = np.sqrt(z * z + 1.0 - rho * rho)
    w = 0.5 * theta * (1.0 + rho * phi * k + root)
    w_k = 0.5 * theta * phi * (rho + z / root)
    w_kk = 0.5 * theta * phi * phi * (1.0 - rho * rho) / root**3
    phi_t = -0.5 * phi / years
    w_t = w / years + 0.5 * theta * k * phi_t * (rho + z / root)
    return w, w_k, w_kk, w_t


def forward_calls(terms, years, start, steps, k):
    """Calls on forward 1 at log-strikes ``k`` (a fine grid) from Dupire's forward equation, Crank-Nicolson.

    C_T = sigma^2 / 2 (C_kk - C_k), from the surface's own prices at ``start`` > 0, where they are smooth.
    """
    h = k[1] - k[0]
    sides = np.where(k >= 0.0, 1, -1)
    price = prices_of(terms(k, np.full(len(k), start))[0], k, sides)
    value = np.where(sides > 0, price, price + 1.0 - np.exp(k))
    dt = (years - start) / steps
    for n in range(steps):
        middle = np.full(len(k), start + (n + 0.5) * dt)
        vol, status = local_vol_surface(terms, k, middle)
        assert (status == LocalVolStatus.OK).all()
        a = 0.25 * dt * vol**2
        lower, diagonal, upper = a * (1 / h**2 + 0.5 / h), -2.0 * a / h**2, a * (1 / h**2 - 0.5 / h)
        lower[[0, -1]] = diagonal[[0, -1]] = upper[[0, -1]] = 0.0  # the far ends keep their values
        right = value.copy()
        right[1:-1] += lower[1:-1] * value[:-2] + diagonal[1:-1] * value[1:-1] + upper[1:-1] * value[2:]
        banded = np.zeros((3, len(k)))
        banded[0, 1:], banded[1], banded[2, :-1] = -upper[:-1], 1.0 - diagonal, -lower[1:]
        value = solve_banded((1, 1), banded, right)
    return np.where(sides > 0, value, value - 1.0 + np.exp(k))


def prices_of(w, k, sides):
    from gpu.european.greeks import black_price

    return np.array([
        black_price(1.0, math.exp(x), math.sqrt(v), int(side)) for x, v, side in zip(k, w, sides, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("years", [0.5, 1.5])
def test_european_prices_under_the_local_volatility_give_the_surface_back(years):
    k = np.linspace(-2.5, 2.0, 1801)
    prices = forward_calls(ssvi, years, 0.05, 120, k)
    for at in (-0.5, -0.2, 0.0, 0.15, 0.4):
        i = int(np.argmin(np.abs(k - at)))
        deviation, status = implied_deviation(prices[i], 1.0, math.exp(k[i]), 1 if k[i] >= 0.0 else -1)
        assert status == 0
        expected = math.sqrt(ssvi(np.array([k[i]]), np.array([years]))[0][0] / years)
        assert deviation / math.sqrt(years) == pytest.approx(expected, abs=1e-4)


def test_slices_have_a_local_volatility_that_gives_the_later_slice_back():
    """Linear variance between two expiries: the local volatility jumps at each, and still returns the quotes."""
    k = np.linspace(-0.6, 0.5, 45)

    def points(years, raw):
        variance = raw.a + raw.b * (raw.rho * (k - raw.m) + np.sqrt((k - raw.m) ** 2 + raw.sigma**2))
        return SlicePoints(years, 100.0, 1.0, k, variance, 0.01 * variance)

    surface = fit_slices(
        [points(0.25, RawSvi(0.004, 0.06, -0.5, 0.02, 0.15)), points(0.75, RawSvi(0.012, 0.12, -0.45, 0.02, 0.22))],
        100.0,
    )
    grid = np.linspace(-2.0, 1.5, 1401)
    prices = forward_calls(surface.terms, 0.75, 0.25, 100, grid)
    for at in (-0.4, -0.1, 0.0, 0.2):
        i = int(np.argmin(np.abs(grid - at)))
        deviation, _ = implied_deviation(prices[i], 1.0, math.exp(grid[i]), 1 if grid[i] >= 0.0 else -1)
        assert deviation**2 == pytest.approx(float(surface.variance(grid[i], 0.75)), rel=1e-3)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ((0.04, 0.0, 0.0, 0.04), LocalVolStatus.OK),
        ((0.04, 0.0, 0.0, 0.0), LocalVolStatus.OK),
        ((0.04, 0.0, -2.0, 0.04), LocalVolStatus.NO_DENSITY),
        ((0.04, 0.0, -2.1, -0.04), LocalVolStatus.NO_DENSITY),
        ((0.04, 0.0, 0.0, -1e-12), LocalVolStatus.NO_CALENDAR),
        ((0.0, 0.0, 0.0, 0.04), LocalVolStatus.BAD_INPUT),
        ((-0.04, 0.0, 0.0, 0.04), LocalVolStatus.BAD_INPUT),
        ((math.nan, 0.0, 0.0, 0.04), LocalVolStatus.BAD_INPUT),
        ((0.04, math.inf, 0.0, 0.04), LocalVolStatus.BAD_INPUT),
        ((0.04, 0.0, math.nan, 0.04), LocalVolStatus.BAD_INPUT),
        ((0.04, 0.0, 0.0, math.inf), LocalVolStatus.BAD_INPUT),
    ],
)
def test_where_there_is_no_local_volatility_a_status_says_why(terms, expected):
    """Between two good points, which keep theirs."""
    good = (0.04, 0.0, 0.0, 0.04)
    columns = np.array([good, terms, good]).T
    out, status = np.empty(3), np.empty(3, np.uint8)
    local_vols(np.array([0.1, 0.1, 0.1]), *(np.ascontiguousarray(c) for c in columns), out, status)
    assert status.tolist() == [LocalVolStatus.OK, expected, LocalVolStatus.OK]
    assert np.isnan(out[1]) == (expected != LocalVolStatus.OK)
    np.testing.assert_allclose(out[[0, 2]], 0.2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_moneyness_or_time_is_a_status(bad):
    surface = fit_slices([SlicePoints(0.5, 1.0, 1.0, np.zeros(1), np.full(1, 0.02), np.full(1, 1e-4))], 1.0)
    vol, status = local_vol_surface(surface.terms, [0.0, bad, 0.0, 0.0, 0.0], [0.4, 0.4, bad, -1.0, 0.4])
    assert status.tolist() == [0, LocalVolStatus.BAD_INPUT, LocalVolStatus.BAD_INPUT, LocalVolStatus.BAD_INPUT, 0]
    assert vol[0] == vol[4] == pytest.approx(0.2, rel=1e-3)
