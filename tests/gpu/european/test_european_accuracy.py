"""Every Greek of every model against the 60-digit oracle over the whole domain: 1e-11, strictly so off crossings."""

import math

import numpy as np
import pytest
import QuantLib as ql

from gpu.european.bachelier import bachelier_greeks_batch, bachelier_reduced_batch
from gpu.european.batch import forward_greeks_batch, forward_reduced_batch, spot_greeks_batch, spot_reduced_batch
from gpu.european.chain_greeks import ChainGreeks
from gpu.european.formulas import SMALL_DEVIATION, SMALL_LOG, black_value
from gpu.european.greeks import Greek, bachelier_greeks, forward_greeks, spot_greeks
from tests.gpu.european.european_oracle import (
    GREEKS,
    bachelier_exact,
    cancelling,
    forward_exact,
    market,
    spot_exact,
    worst_errors,
)

BOUND = 1e-11


def check(batch, exact, columns):
    n = columns[0].size
    out, status = np.empty((14, n)), np.full(n, 9, np.uint8)
    batch(*columns, out, status)
    assert not status.any()
    check_rows(out, exact, columns)


def check_rows(out, exact, columns):
    cases = list(zip(*(column.tolist() for column in columns), strict=True))
    worst, strict = worst_errors(out, cases, exact)
    for greek, (error, where), relative in zip(GREEKS, worst, strict, strict=True):
        assert error <= BOUND, (greek, error, where)
        assert relative <= BOUND, (greek, relative)


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"years": (1e-10, 1.0), "vols": (1e-4, 0.1), "reach": 37.0},  # minutes, still markets
        {"years": (1.0, 500.0), "vols": (0.05, 20.0), "reach": 37.0},
        {"years": (0.001, 3.0), "vols": (0.05, 1.0), "reach": 6.0},
    ],
)
def test_spot_greeks_to_eleven_digits(region):
    check(spot_greeks_batch, spot_exact, market(500, 1, **region))


CORNERS = [
    {"years": (0.3, 3.0), "deviations": (1e-5, 1e-4), "carry": 0.3},  # a volatility of 0.001 % over a year
    {"years": (1e-3, 10.0), "deviations": (1.001e-10, 1e-5), "carry": 1.0},
    {"years": (1e-3, 100.0), "deviations": (1e-9, 0.01), "carry": 120.0},
]


@pytest.mark.parametrize("corner", CORNERS)
def test_eleven_digits_are_left_where_moneyness_and_carry_cancel(corner):
    columns = cancelling(300, 9, **corner)
    check(spot_greeks_batch, spot_exact, columns)
    twin = np.array([spot_greeks(*(float(x) for x in row[:6]), int(row[6])) for row in zip(*columns, strict=True)])
    check_rows(twin.T, spot_exact, columns)


@pytest.mark.parametrize("corner", CORNERS[:2])
def test_a_moved_chain_keeps_them_too(corner):
    columns = cancelling(200, 10, **corner)
    strikes = columns[1] / columns[0] * 100.0
    group, out = ChainGreeks(200), np.empty((14, 200))
    group.load(strikes, *columns[2:])
    for spot in (102.0, 100.0):  # an anchor elsewhere, then the move
        group.move(spot, out)
    check_rows(out, spot_exact, [np.full(200, 100.0), strikes, *columns[2:]])


def test_forward_greeks_to_eleven_digits():
    s, k, t, r, q, v, w = market(500, 2)
    check(forward_greeks_batch, forward_exact, [s * np.exp((r - q) * t), k, t, r, v, w])


def test_bachelier_greeks_to_eleven_digits_for_prices_of_any_sign():
    s, _, t, r, _, v, w = market(500, 3)
    forward = np.where(np.arange(500) % 3 == 0, -s, s)
    vol = v * s
    far = np.random.default_rng(4).uniform(-30.0, 30.0, 500)
    far[::7] = 0.0
    check(bachelier_greeks_batch, bachelier_exact, [forward, forward - far * vol * np.sqrt(t), t, r, vol, w])


def test_an_in_the_money_forward_price_is_good_to_its_last_digits():
    got = forward_greeks(1.25, 1.3, 0.08, -0.005, 0.09, -1)[Greek.PRICE]
    assert got == pytest.approx(float(forward_exact((1.25, 1.3, 0.08, -0.005, 0.09, -1))[0][0]), rel=6e-16)


@pytest.mark.parametrize("factor", [0.999999, 1.0, 1.000001])
@pytest.mark.parametrize("log", [0.0, 1e-9, 0.003, SMALL_LOG, 0.3])
def test_nothing_is_lost_where_series_replace_differences(factor, log):
    n = 16
    dev = SMALL_DEVIATION * factor
    t = np.full(n, 0.25)
    k = 100.0 * np.exp(np.where(np.arange(n) % 2 == 0, log, -log) * factor)
    w = np.where(np.arange(n) % 4 < 2, 1.0, -1.0)
    zero = np.zeros(n)
    check(spot_greeks_batch, spot_exact, [np.full(n, 100.0), k, t, zero, zero, np.full(n, dev / 0.5), w])


def test_undiscounted_black_value_is_accurate_relative_to_itself():
    s, k, t, _, _, v, w = market(300, 5, reach=35.0)
    for f, x, years, vol, side in zip(*(c.tolist() for c in (s, k, t, v, w)), strict=True):
        dev = vol * math.sqrt(years)
        if abs(math.log(f / x)) <= 36.0 * dev:
            want = spot_exact((f, x, dev * dev, 0.0, 0.0, 1.0, side))[0][0]
            assert black_value(f, x, dev, side) == pytest.approx(float(want), rel=BOUND)


@pytest.mark.parametrize(
    ("reduced", "whole", "model"),
    [
        (spot_reduced_batch, spot_greeks_batch, "spot"),
        (forward_reduced_batch, forward_greeks_batch, "forward"),
        (bachelier_reduced_batch, bachelier_greeks_batch, "forward"),
    ],
)
def test_the_reduced_set_is_the_first_five_rows(reduced, whole, model):
    columns = market(203, 6, years=(0.01, 3.0), vols=(0.05, 1.0), reach=10.0)
    if model == "forward":
        del columns[4]
    few, all_rows, status = np.empty((5, 203)), np.empty((14, 203)), np.empty(203, np.uint8)
    reduced(*columns, few, status)
    assert not status.any()
    whole(*columns, all_rows, status)
    np.testing.assert_allclose(few, all_rows[:5], rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("right", [1, -1])
def test_scalar_twins_are_the_batch(right):
    s, k, t, r, q, v, _ = market(60, 7)
    w = np.full(60, float(right))
    out, status = np.empty((14, 60)), np.empty(60, np.uint8)
    for batch, scalar, columns in (
        (spot_greeks_batch, spot_greeks, [s, k, t, r, q, v]),
        (forward_greeks_batch, forward_greeks, [s, k, t, r, v]),
        (bachelier_greeks_batch, bachelier_greeks, [s, k, t, r, v * s]),
    ):
        batch(*columns, w, out, status)
        twin = np.array([scalar(*(float(c[i]) for c in columns), right) for i in range(60)]).T
        np.testing.assert_allclose(twin, out, rtol=1e-9, atol=1e-290)
        np.testing.assert_allclose(twin[:4], out[:4], rtol=2e-12, atol=1e-290)


@pytest.mark.parametrize(
    ("case", "value"),
    [((60.0, 65.0, 0.25, 0.08, 0.0, 0.30, 1), 2.133368), ((75.0, 70.0, 0.5, 0.10, 0.05, 0.35, -1), 4.086954)],
)
def test_haug_table_values(case, value):
    assert spot_greeks(*case)[Greek.PRICE] == pytest.approx(value, abs=5e-7)


def test_quantlib_agrees_on_all_it_has():
    s, k, t, r, q, v, w = (x.tolist() for x in market(60, 8, years=(0.02, 3.0), vols=(0.08, 0.8), reach=4.0))
    for case in zip(s, k, t, r, q, v, w, strict=True):
        spot, strike, years, rate, dividend, vol, right = case
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
        discount, forward = math.exp(-rate * years), spot * math.exp((rate - dividend) * years)
        black = ql.BlackCalculator(payoff, forward, vol * math.sqrt(years), discount)
        got = spot_greeks(*case)
        close = {"rel": 1e-9, "abs": 1e-11 * spot}
        assert got[Greek.PRICE] == pytest.approx(black.value(), **close)
        assert got[Greek.DELTA] == pytest.approx(black.delta(spot), rel=1e-9, abs=1e-12)
        assert got[Greek.GAMMA] == pytest.approx(black.gamma(spot), rel=1e-9)
        assert got[Greek.VEGA] == pytest.approx(black.vega(years), rel=1e-9)
        assert got[Greek.RHO] == pytest.approx(black.rho(years), **close)
        normal = bachelier_greeks(forward, strike, years, rate, vol * forward, int(right))
        want = ql.bachelierBlackFormula(
            payoff.optionType(), strike, forward, vol * forward * math.sqrt(years), discount
        )
        assert normal[Greek.PRICE] == pytest.approx(want, **close)
