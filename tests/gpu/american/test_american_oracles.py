"""The American kernels against methods that share nothing with them: QuantLib's collocation, our finite differences."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.american.batch import american_greeks, american_prices
from gpu.american.finite_difference import GRID_WORK, OUT_ROWS, DividendModel, finite_difference_row
from gpu.european.greeks import Greek, spot_greeks
from tests.gpu.american.quantlib_american import DAY, exact, smooth

NONE = np.empty(0)
DIVIDEND_RHO = 10


def prices(rows):
    """``rows``: (spot, strike, days, rate, yield, vol, right) each."""
    parts = [np.array(c, dtype=float) for c in zip(*rows, strict=True)]
    out, status = np.empty(len(rows)), np.empty(len(rows), np.uint8)
    american_prices(parts[0], parts[1], parts[2] * DAY, *parts[3:6], parts[6].astype(np.int8), out, status)
    assert (status == 0).all()
    return out


def greeks(*row):
    parts = [np.array([x], dtype=float) for x in row]
    out, status = np.empty((11, 1)), np.empty(1, np.uint8)
    american_greeks(parts[0], parts[1], parts[2] * DAY, *parts[3:6], parts[6].astype(np.int8), out, status)
    assert status[0] == 0
    return out[:, 0]


def on_grid(spot, strike, days, rate, dividend_yield, vol, right, nodes=800):
    """Finite differences, two grids and Richardson: about 1e-6."""
    out = []
    for n in (nodes, nodes // 2):
        work, row = np.empty((GRID_WORK, n)), np.empty(OUT_ROWS)
        finite_difference_row(
            spot, strike, days * DAY, rate, dividend_yield, vol, right, NONE, NONE, DividendModel.SPOT, True, n // 2,
            False, work, row,
        )  # fmt: skip
        out.append(row)
    return out[0] + (out[0] - out[1]) / 3.0


def lattice_of_cases(days, rates, yields, vols):
    """Both rights, spots from deep in to far out of the money; the mirrored call has rate and yield exchanged."""
    rows = []
    for d in days:
        for r in rates:
            for q in yields:
                for v in vols:
                    for sd in (-1.0, -0.3, 0.2, 1.0):
                        spot = 100.0 * math.exp(sd * v * math.sqrt(d * DAY))
                        rows.append((spot, 100.0, d, r, q, v, -1))
                        rows.append((1e4 / spot, 100.0, d, q, r, v, 1))
    return rows


def test_prices_of_the_listed_market():
    """A week to a year, rates and yields of 0 to 6 %, volatility 15 % and more."""
    rows = lattice_of_cases((7, 91, 365), (0.005, 0.06), (0.0, 0.02, 0.06), (0.15, 0.4))[::7]
    reference = np.array([exact(*row) for row in rows])
    errors = np.abs(prices(rows) - reference)
    assert np.median(errors) < 1e-9
    assert errors.max() < 1e-7


def test_prices_at_the_corners():
    """Years of life, low volatility against high rates, negative yields."""
    rows = lattice_of_cases((730, 1825), (0.01, 0.12), (-0.02, 0.0, 0.12), (0.1, 0.6))[::5]
    reference = np.array([exact(*row) for row in rows])
    errors = np.abs(prices(rows) - reference)
    assert np.median(errors) < 2e-8
    assert errors.max() < 1e-6


@pytest.mark.parametrize("right", [-1, 1])
@pytest.mark.parametrize(
    ("rate", "dividend_yield"),
    [
        (-0.01, 0.0), (-0.01, 0.02), (0.0, 0.0), (0.0, 0.03), (-0.01, -0.005), (-0.01, -0.01),  # never exercised
        (0.0, -0.02), (0.02, -0.03), (1e-5, -0.02), (-0.01, -0.03), (-1e-4, -0.02),  # one boundary, then two
    ],
)  # fmt: skip
def test_every_regime_of_rates_against_finite_differences(rate, dividend_yield, right):
    """Never exercised, one boundary, two boundaries, and the limits between; calls are mirrored."""
    for spot in (80.0, 99.0, 115.0):
        row = (spot, 100.0, 400, rate, dividend_yield, 0.22, -1)
        if right > 0:
            row = (1e4 / spot, 100.0, 400, dividend_yield, rate, 0.22, 1)
        reference, got = on_grid(*row), greeks(*row)
        assert got[0] == pytest.approx(reference[0], abs=2e-5)
        assert got[Greek.DELTA] == pytest.approx(reference[Greek.DELTA], abs=2e-5)
        assert got[Greek.GAMMA] == pytest.approx(reference[Greek.GAMMA], abs=2e-5)
        assert got[Greek.THETA] == pytest.approx(reference[Greek.THETA], abs=2e-3)


@pytest.mark.parametrize(
    "case",
    [
        (95.0, 100.0, 365, 0.05, 0.02, 0.25, -1), (105.0, 100.0, 180, 0.03, 0.06, 0.3, 1),
        (92.0, 100.0, 90, 0.06, 0.0, 0.2, -1), (110.0, 100.0, 500, 0.02, 0.05, 0.35, -1),
    ],
)  # fmt: skip
def test_greeks_are_derivatives_of_foreign_prices(case):
    spot, strike, days, rate, dividend_yield, vol, right = case
    got = greeks(*case)

    def price(ds=0.0, dv=0.0, dr=0.0, dq=0.0, dd=0):
        return smooth(spot + ds, strike, days + dd, rate + dr, dividend_yield + dq, vol + dv, right)

    def slope(f, h):
        return (8.0 * (f(h) - f(-h)) - f(2 * h) + f(-2 * h)) / (12.0 * h)

    def bend(f, h):
        return (16.0 * (f(h) + f(-h)) - f(2 * h) - f(-2 * h) - 30.0 * f(0.0)) / (12.0 * h * h)

    def delta(**moved):
        return slope(lambda h: price(ds=h, **moved), 0.4)

    assert got[Greek.PRICE] == pytest.approx(exact(*case), abs=1e-7)
    assert got[Greek.DELTA] == pytest.approx(delta(), abs=1e-6)
    assert got[Greek.GAMMA] == pytest.approx(bend(lambda h: price(ds=h), 0.4), abs=1e-6)
    assert got[Greek.VEGA] == pytest.approx(slope(lambda h: price(dv=h), 0.004), rel=1e-5)
    assert got[Greek.RHO] == pytest.approx(slope(lambda h: price(dr=h), 0.001), rel=1e-5, abs=1e-5)
    assert got[DIVIDEND_RHO] == pytest.approx(slope(lambda h: price(dq=h), 0.001), rel=1e-5, abs=1e-5)
    assert got[Greek.VANNA] == pytest.approx(slope(lambda h: delta(dv=h), 0.004), abs=2e-4)
    assert got[Greek.VOLGA] == pytest.approx(bend(lambda h: price(dv=h), 0.006), rel=1e-3, abs=1e-2)
    assert got[Greek.THETA] == pytest.approx(-slope(lambda n: price(dd=int(n)), 3) / DAY, rel=1e-4)
    assert got[Greek.CHARM] == pytest.approx(-slope(lambda n: delta(dd=int(n)), 3) / DAY, rel=1e-3, abs=1e-5)
    by_vol = lambda n: slope(lambda h: price(dv=h, dd=int(n)), 0.004)  # noqa: E731
    assert got[Greek.VETA] == pytest.approx(-slope(by_vol, 3) / DAY, rel=1e-3)


@given(
    st.floats(40.0, 250.0), st.integers(2, 1500), st.floats(-0.04, 0.12), st.floats(-0.04, 0.12), st.floats(0.06, 0.9),
    st.sampled_from([-1, 1]),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_bounds_and_order(spot, days, rate, dividend_yield, vol, right):
    row = (spot, 100.0, days, rate, dividend_yield, vol, right)
    value, more_vol, later, nearer = prices(
        [row, (*row[:5], vol * 1.02, right), (*row[:2], days + 5, *row[3:]), (spot + 0.5, *row[1:])]
    )
    european = spot_greeks(spot, 100.0, days * DAY, rate, dividend_yield, vol, right)[0]
    slack = 2e-5
    assert value >= max(right * (spot - 100.0), european, 0.0) - slack
    assert more_vol >= value - slack
    assert later >= value - slack
    assert -slack <= right * (nearer - value) <= 0.5 * max(1.0, math.exp(-dividend_yield * days * DAY)) + slack


@given(st.floats(60.0, 160.0), st.integers(5, 1000), st.floats(0.0, 0.1), st.floats(0.0, 0.1), st.floats(0.1, 0.8))
@settings(max_examples=60, deadline=None)
def test_american_put_call_inequality(spot, days, rate, dividend_yield, vol):
    call, put = prices([(spot, 100.0, days, rate, dividend_yield, vol, right) for right in (1, -1)])
    years = days * DAY
    assert spot * math.exp(-dividend_yield * years) - 100.0 - 1e-5 <= call - put
    assert call - put <= spot - 100.0 * math.exp(-rate * years) + 1e-5


def test_deltas_and_gammas_are_continuous_across_the_exercise_boundary():
    for rate, dividend_yield in ((0.05, 0.0), (0.03, 0.06), (-0.01, -0.02)):
        spots = np.linspace(60.0, 99.9, 800)
        rows = [(s, 100.0, 365, rate, dividend_yield, 0.2, -1) for s in spots]
        delta = np.array([greeks(*row)[1] for row in rows[::4]])
        assert (delta >= -1.0 - 1e-6).all()
        assert np.abs(np.diff(delta)).max() < 0.03
        assert (np.diff(prices(rows)) >= -1.001 * np.diff(spots)).all()
