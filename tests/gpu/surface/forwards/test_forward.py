import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.european.greeks import black_price
from gpu.surface.forwards.forward import ForwardStatus, parity_forward
from market.enums import ExerciseStyle
from tests.gpu.chain.chains import recorded

STRIKES = np.arange(80.0, 121.0, 2.0)
FORWARD, YEARS, RATE = 101.3, 0.4, 0.03


def quotes(discount=None, half=0.05, strikes=STRIKES, forward=FORWARD):
    discount = math.exp(-RATE * YEARS) if discount is None else discount
    call, put = (
        np.array([discount * black_price(forward, k, 0.2 * math.sqrt(YEARS), right) for k in strikes])
        for right in (1, -1)
    )
    return call - half, call + half, put - half, put + half


def fit(sides, strikes=STRIKES, spot=100.0, years=YEARS, american=False):
    n = len(strikes)
    work, order = np.zeros((5, n)), np.zeros(n, np.int64)
    return parity_forward(np.asarray(strikes, float), *sides, spot, years, RATE, american, work, order)


@pytest.mark.parametrize("american", [False, True])
def test_exact_quotes_give_the_exact_forward(american):
    forward, discount, status, votes = fit(quotes(), american=american)
    assert forward == pytest.approx(FORWARD, rel=1e-12)
    assert discount == pytest.approx(math.exp(-RATE * YEARS), rel=1e-12)
    assert status == ForwardStatus.PARITY
    assert votes == len(STRIKES)


def test_european_slope_moves_the_discount_and_american_does_not():
    true = math.exp(-0.036 * YEARS)
    sides = quotes(discount=true, half=0.005)
    forward, discount, _, _ = fit(sides)
    assert discount == pytest.approx(true, rel=1e-5)
    assert forward == pytest.approx(FORWARD, abs=1e-3)
    assert fit(sides, american=True)[1] == math.exp(-RATE * YEARS)


def test_wide_quotes_leave_the_prior_discount():
    true = math.exp(-0.036 * YEARS)
    _, discount, _, _ = fit(quotes(discount=true, half=1.0))
    assert abs(discount - math.exp(-RATE * YEARS)) < 0.2 * abs(true - math.exp(-RATE * YEARS))


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("error", [-30.0, -3.0, 3.0, 30.0])
def test_one_mistyped_strike_is_outvoted(side, error):
    sides = [column.copy() for column in quotes()]
    at = int(np.searchsorted(STRIKES, 100.0))
    pair = (0, 1) if side < 2 else (2, 3)
    for column in pair:
        sides[column][at] = max(sides[column][at] + error, 0.5)
    forward, _, status, _ = fit(sides)
    assert status == ForwardStatus.PARITY
    assert forward == pytest.approx(FORWARD, abs=0.02)


@pytest.mark.parametrize("nothing", [math.nan, 0.0, -1.0])
def test_without_one_whole_pair_the_forward_is_carried(nothing):
    sides = [column.copy() for column in quotes()]
    sides[0][::2] = nothing
    sides[3][1::2] = nothing
    forward, discount, status, votes = fit(sides)
    assert (status, votes) == (ForwardStatus.CARRY, 0)
    assert forward == pytest.approx(100.0 * math.exp(RATE * YEARS))
    assert discount == pytest.approx(math.exp(-RATE * YEARS))


def test_parity_that_contradicts_the_spot_is_not_believed():
    forward, _, status, _ = fit(quotes(forward=130.0))
    assert status == ForwardStatus.CARRY
    assert forward == pytest.approx(100.0 * math.exp(RATE * YEARS))


def test_crossed_pairs_do_not_vote():
    bid, ask, put_bid, put_ask = quotes()
    _, _, status, votes = fit((ask, bid, put_bid, put_ask))
    assert (status, votes) == (ForwardStatus.CARRY, 0)


@pytest.mark.parametrize("spot", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("years", [YEARS, 0.0, -1.0, math.nan])
def test_no_spot_or_no_time_is_a_status(spot, years):
    assert fit(quotes(), spot=spot, years=years)[2] == ForwardStatus.NONE


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=12, max_size=12), st.booleans())
def test_any_quotes_give_a_positive_forward_and_discount(values, american):
    sides = [np.array(values[i : i + 3]) for i in (0, 3, 6, 9)]
    forward, discount, status, _ = fit(sides, strikes=np.array([90.0, 100.0, 110.0]), american=american)
    assert status in (ForwardStatus.PARITY, ForwardStatus.CARRY)
    assert 50.0 < forward < 200.0
    assert 0.5 < discount < 1.5


@pytest.mark.parametrize("day", [date(2021, 1, 4), date(2021, 1, 6)])
def test_recorded_spxw_pairs_agree_on_one_forward_within_their_spreads(market_data, day):
    """Two strikes 100 points apart, European: both parities must hold the fitted forward."""
    path = market_data / f"spxw_{day:%Y%m%d}_quote_minute_european.zip"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {market_data}")
    market = recorded(path, None, ExerciseStyle.EUROPEAN).at(11, 0)
    rows = market.master
    checked = 0
    for expiry in np.unique(rows["expiry_ns"][1:]):
        strikes = np.unique(rows["strike"][rows["expiry_ns"] == expiry])
        chosen = rows["expiry_ns"] == expiry
        index = {(float(row["strike"]), int(row["right"])): int(i) for i, row in enumerate(rows) if chosen[i]}
        call = [index[k, 1] for k in strikes]
        put = [index[k, -1] for k in strikes]
        sides = (market.bid[call], market.ask[call], market.bid[put], market.ask[put])
        middle = float(np.median(strikes + 0.5 * (sides[0] + sides[1] - sides[2] - sides[3])))
        years = (int(expiry) - market.now_ns) / 31_536e12
        forward, discount, status, votes = fit(sides, strikes, middle, years)
        assert status == ForwardStatus.PARITY
        assert votes == len(strikes) == 2
        low = np.max(strikes + (sides[0] - sides[3]) / discount)
        high = np.min(strikes + (sides[1] - sides[2]) / discount)
        assert low - 0.5 <= forward <= high + 0.5
        checked += 1
    assert checked >= 3
