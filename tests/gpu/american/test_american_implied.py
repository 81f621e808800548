import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.american.batch import american_greeks, american_prices
from gpu.american.implied import american_implied_vol, certain_value
from gpu.european.greeks import Greek
from gpu.implied.black import IvStatus
from tests.gpu.american.quantlib_american import DAY, exact


def columns(rows):
    """(spot, strike, years, rate, yield, x, right) each -> arrays."""
    parts = [np.array(c, dtype=float) for c in zip(*rows, strict=True)]
    return parts[:6], parts[6].astype(np.int8)


def implied(rows, guess=None):
    (spot, strike, years, rate, dividend_yield, price), right = columns(rows)
    vol, status = np.empty(len(rows)), np.empty(len(rows), np.uint8)
    american_implied_vol(price, spot, strike, years, rate, dividend_yield, right, vol, status, guess)
    return vol, status


def prices(rows):
    numbers, right = columns(rows)
    out, status = np.empty(len(rows)), np.empty(len(rows), np.uint8)
    american_prices(*numbers, right, out, status)
    assert (status == 0).all()
    return out


def greeks(rows):
    numbers, right = columns(rows)
    out, status = np.empty((11, len(rows))), np.empty(len(rows), np.uint8)
    american_greeks(*numbers, right, out, status)
    return out


@pytest.mark.parametrize(
    "case",
    [
        (100.0, 100.0, 365, 0.05, 0.05, 0.25, -1), (90.0, 100.0, 365, 0.05, 0.0, 0.25, -1),
        (110.0, 100.0, 73, 0.05, 0.02, 0.4, -1), (100.0, 120.0, 730, 0.02, 0.07, 0.3, 1),
        (100.0, 95.0, 365, 0.04, -0.03, 0.2, -1), (100.0, 100.0, 365, 0.0, 0.08, 0.3, 1),
        (80.0, 100.0, 182, 0.03, 0.0, 0.35, -1), (100.0, 130.0, 30, 0.03, 0.01, 0.6, 1),
    ],
)  # fmt: skip
def test_finds_the_volatility_of_foreign_prices(case):
    spot, strike, days, rate, dividend_yield, vol, right = case
    got, status = implied([(spot, strike, days * DAY, rate, dividend_yield, exact(*case), right)])
    assert status[0] == IvStatus.OK
    assert got[0] == pytest.approx(vol, abs=5e-8)  # a price error of 1e-6 over a vega of 20


def random_rows(n, seed=11):
    rng = np.random.default_rng(seed)
    return [
        (
            100.0, 100.0 * math.exp(0.25 * rng.normal()), 10 ** rng.uniform(-2.0, 0.6), rng.uniform(-0.01, 0.1),
            rng.uniform(0.0, 0.08), 10 ** rng.uniform(-1.0, 0.0), int(rng.choice([-1, 1])),
        )
        for _ in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.5])
def test_round_trip_to_what_the_price_allows(spread):
    """``spread``: relative error of the guess, 0 for none."""
    rows = random_rows(400)
    price, vol = prices(rows), np.array([row[5] for row in rows])
    asked = [(*row[:5], p, row[6]) for row, p in zip(rows, price, strict=True)]
    got, status = implied(asked, vol * (1.0 + spread) if spread else None)
    found = status == IvStatus.OK
    assert np.isnan(got[~found]).all()
    assert set(status[~found]) <= {IvStatus.NO_TIME_VALUE, IvStatus.NO_VEGA}
    again = prices([(*row[:5], v, row[6]) for row, v, ok in zip(rows, got, found, strict=True) if ok])
    assert np.abs(again - price[found]).max() < 1e-10
    vega = greeks([row for row, ok in zip(rows, found, strict=True) if ok])[Greek.VEGA]
    good = vega > 1e-3
    assert good.sum() > 250
    assert (np.abs(got[found] - vol[found])[good] <= 1e-10 / vega[good] + 1e-12).all()


def test_rows_without_an_answer_are_those_exercised_at_once_or_without_time_value():
    rows = random_rows(400)
    price = prices(rows)
    _, status = implied([(*row[:5], p, row[6]) for row, p in zip(rows, price, strict=True)])
    for row, p, s in zip(rows, price, status, strict=True):
        least = certain_value(*row[:5], row[6])
        if s != IvStatus.OK:
            assert p - least < 1e-8
        else:
            assert p > least


def test_two_boundaries():
    rows = [(s, 100.0, t, -0.01, -0.02, v, -1) for s in (75.0, 95.0, 110.0) for t in (0.5, 5.0) for v in (0.08, 0.3)]
    rows += [(s, 100.0, 2.0, -0.05, -0.02, 0.25, 1) for s in (95.0, 110.0)]
    price = prices(rows)
    got, status = implied([(*row[:5], p, row[6]) for row, p in zip(rows, price, strict=True)])
    exercised = np.array(
        [abs(p - max(row[6] * (row[0] - row[1]), 0.0)) < 1e-12 for row, p in zip(rows, price, strict=True)]
    )
    assert (status[exercised] == IvStatus.NO_TIME_VALUE).all()
    assert (status[~exercised] == IvStatus.OK).all()
    assert (~exercised).sum() >= 10
    vol = np.array([row[5] for row in rows])
    assert got[~exercised] == pytest.approx(vol[~exercised], abs=1e-8)


def test_status_of_prices_that_have_no_volatility():
    put = (80.0, 100.0, 1.0, 0.05, 0.0)
    call = (120.0, 100.0, 1.0, 0.02, 0.05)
    waiting = (100.0, 120.0, 2.0, -0.03, 0.0)  # a put never exercised early: worth the forward at least
    forward = 120.0 * math.exp(0.06) - 100.0
    rows = [
        (*put, 20.0, -1), (*put, 19.999, -1), (*put, 100.0, -1), (*put, 99.999, -1),
        (*call, 20.0, 1), (*call, 19.0, 1), (*call, 120.0, 1),
        (*waiting, forward - 1e-9, -1), (*waiting, forward, -1), (*waiting, 120.0 * math.exp(0.06), -1),
        (*waiting, 125.0, -1), (*put, -1.0, -1), (*put, math.nan, -1), (0.0, *put[1:], 20.5, -1),
        (*put[:2], 0.0, *put[3:], 20.5, -1), (*put, math.inf, -1), (*put, 20.5, 0),
    ]  # fmt: skip
    S = IvStatus
    expected = [
        S.NO_TIME_VALUE, S.BELOW_INTRINSIC, S.ABOVE_MAXIMUM, S.OK,
        S.NO_TIME_VALUE, S.BELOW_INTRINSIC, S.ABOVE_MAXIMUM,
        S.BELOW_INTRINSIC, S.NO_TIME_VALUE, S.ABOVE_MAXIMUM,
        S.OK, S.BELOW_INTRINSIC, S.BAD_INPUT, S.BAD_INPUT,
        S.BAD_INPUT, S.BAD_INPUT, S.BAD_INPUT,
    ]  # fmt: skip
    vol, status = implied(rows)
    assert status.tolist() == expected
    assert (np.isnan(vol) == (status != S.OK)).all()


def test_just_above_exercise_the_volatility_is_that_of_the_boundary():
    # The price leaves the payoff with the square of the volatility: a billionth of time value still tells it.
    row = (80.0, 100.0, 1.0, 0.05, 0.0)
    vol, status = implied([(*row, 20.0 + 10.0**-e, -1) for e in range(2, 10)])
    assert (status == IvStatus.OK).all()
    assert (np.diff(vol) < 0.0).all()
    assert np.diff(vol)[-1] > -1e-3
    again = prices([(*row, v, -1) for v in vol])
    assert again - 20.0 == pytest.approx(10.0 ** -np.arange(2.0, 10.0), abs=1e-11)


@given(
    st.floats(50.0, 200.0), st.floats(0.01, 5.0), st.floats(-0.05, 0.15), st.floats(-0.05, 0.15),
    st.floats(1e-6, 0.99), st.sampled_from([-1, 1]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_price_between_the_bounds(spot, years, rate, dividend_yield, share, right):
    least = certain_value(spot, 100.0, years, rate, dividend_yield, right)
    most = (
        spot * max(1.0, math.exp(-dividend_yield * years)) if right > 0 else 100.0 * max(1.0, math.exp(-rate * years))
    )
    price = least + share * (most - least)
    vol, status = implied([(spot, 100.0, years, rate, dividend_yield, price, right)])
    if status[0] == IvStatus.OK:
        assert prices([(spot, 100.0, years, rate, dividend_yield, vol[0], right)])[0] == pytest.approx(price, abs=1e-9)
    else:
        assert status[0] in {IvStatus.NO_VEGA, IvStatus.NO_TIME_VALUE}
        assert share < 1e-4 or share > 0.9


def test_a_stale_guess_costs_no_digits():
    rows = random_rows(50, seed=5)
    price = prices(rows)
    asked = [(*row[:5], p, row[6]) for row, p in zip(rows, price, strict=True)]
    _, status = implied(asked)
    for guess in (5.0, 1e-3, math.nan, -1.0):
        warm, again = implied(asked, np.full(len(rows), guess))
        assert (again == status).all()
        # both are right to the price's last digits; where vega is small that is not the last digit of the volatility
        good = status == IvStatus.OK
        assert prices(
            [(*r[:5], v, r[6]) for r, v in zip(np.array(rows)[good], warm[good], strict=True)]
        ) == pytest.approx(price[good], abs=1e-10)


def test_shapes_are_checked():
    one = np.ones(1)
    with pytest.raises(ValueError, match="spot must have shape"):
        american_implied_vol(
            one, np.ones(2), one, one, one, one, one.astype(np.int8), np.empty(1), np.empty(1, np.uint8)
        )
