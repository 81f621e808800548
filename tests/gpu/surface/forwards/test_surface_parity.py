import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.surface.forwards.forward import ForwardStatus
from gpu.surface.forwards.parity import parity_curve
from gpu.surface.layout import SurfaceChain
from tests.gpu.surface.surfaces import SPXW, black, recorded_chain

FORWARD, YEARS, RATE, SPOT = 101.3, 0.4, 0.03, 100.0
STRIKES = np.arange(80.0, 121.0, 2.0)
DISCOUNT = math.exp(-RATE * YEARS)


def quotes(rng=None, discount=DISCOUNT, half=0.05, strikes=STRIKES, forward=FORWARD):
    """Calls then puts of one expiry; with ``rng`` the mids lie anywhere inside their spreads."""
    strike, right = np.tile(strikes, 2), np.repeat([1, -1], len(strikes))
    value = discount * black(forward, strike, 0.04 * YEARS, right)
    if rng is not None:
        value = value + rng.uniform(-half, half, len(value))
    return SurfaceChain(strike, np.full(len(strike), YEARS), right), value - half, value + half


def one(sides, spot=SPOT, rate=RATE, **other):
    return parity_curve(*sides, spot, rate, **other)


def test_exact_quotes_give_the_exact_line():
    curve = one(quotes())
    assert curve.status[0] == ForwardStatus.PARITY
    assert curve.forward[0] == pytest.approx(FORWARD, rel=1e-12)
    assert curve.discount[0] == pytest.approx(DISCOUNT, rel=1e-12)
    assert (curve.votes[0], curve.used[0]) == (21, 21)
    assert curve.forward_low[0] < FORWARD < curve.forward_high[0]
    # Each strike knows the forward to within both half-spreads, over the discount.
    assert curve.forward_high[0] - curve.forward_low[0] == pytest.approx(4 * 0.05 / DISCOUNT)


def test_the_slope_is_the_discount_where_the_quotes_know_it_better_than_the_prior():
    true = math.exp(-0.036 * YEARS)
    curve = one(quotes(discount=true, half=0.005))
    assert curve.discount[0] == pytest.approx(true, rel=2e-5)
    assert curve.rate[0] == pytest.approx(0.036, abs=1e-4)
    wide = one(quotes(discount=true, half=1.0))
    assert wide.discount[0] == pytest.approx(DISCOUNT, rel=3e-4)
    assert wide.discount_error[0] > 20.0 * curve.discount_error[0]
    american = quotes(discount=true, half=0.005)
    american[0].american = True
    assert one(american).discount[0] == DISCOUNT


def test_errors_are_honest():
    """Over 400 draws inside the spreads forward, discount and dividends miss by one standard error."""
    rng = np.random.default_rng(4)
    true = math.exp(-0.032 * YEARS)
    z, inside = [], 0
    for _ in range(400):
        curve = one(quotes(rng, discount=true, half=0.1))
        z.append(
            [
                (curve.forward[0] - FORWARD) / curve.forward_error[0],
                (curve.discount[0] - true) / curve.discount_error[0],
                (curve.dividend_pv[0] - (SPOT - true * FORWARD)) / curve.dividend_pv_error[0],
            ]
        )
        inside += curve.forward_low[0] <= FORWARD <= curve.forward_high[0]
    assert inside > 360  # the interval is drawn at the fitted discount, so it is a little off where that is
    spread = np.std(np.array(z), axis=0)
    assert 0.8 < spread[0] < 1.25
    assert 0.7 < spread[1] < 1.25
    assert 0.7 < spread[2] < 1.25
    assert abs(np.mean(np.array(z)[:, 0])) < 0.15


def test_disagreement_beyond_the_spreads_widens_the_error():
    rng = np.random.default_rng(6)
    chain, bid, ask = quotes(half=0.02)
    shift = np.tile(rng.uniform(-0.05, 0.05, 21), 2) * chain.right
    calm, torn = one((chain, bid, ask)), one((chain, bid + shift, ask + shift))
    assert torn.forward_error[0] > 1.3 * calm.forward_error[0]


@pytest.mark.parametrize("error", [-30.0, -3.0, 3.0, 30.0])
def test_up_to_a_third_of_mistyped_strikes_are_outvoted_and_named(error):
    chain, bid, ask = quotes()
    wrong = np.arange(21) % 3 == 1
    rows = np.tile(wrong, 2) & (chain.right == 1)
    bid, ask = bid + error * rows + 31.0, ask + error * rows + 31.0  # both sides dearer: parity does not mind
    curve = one((chain, bid, ask))
    np.testing.assert_array_equal(curve.rejected, wrong)
    assert curve.used[0] == 14
    assert curve.forward[0] == pytest.approx(FORWARD, abs=1e-9)
    assert curve.discount[0] == pytest.approx(DISCOUNT, rel=1e-9)


def test_one_strike_measures_the_forward_and_the_prior_the_discount():
    curve = one(quotes(strikes=np.array([100.0])))
    assert curve.forward[0] == pytest.approx(FORWARD, rel=1e-6)
    assert curve.discount[0] == pytest.approx(DISCOUNT, rel=1e-6)
    assert curve.forward_error[0] == pytest.approx(0.05 * math.sqrt(2.0 / 3.0) / DISCOUNT, rel=1e-3)


def test_without_a_pair_or_a_credible_one_the_forward_is_carried_and_says_so():
    chain, bid, ask = quotes()
    for value in (math.nan, 0.0, -1.0):
        empty = np.where(chain.right > 0, bid, value)
        curve = one((chain, empty, ask))
        assert curve.status[0] == ForwardStatus.CARRY
        assert curve.forward[0] == pytest.approx(SPOT * math.exp(RATE * YEARS))
        assert math.isinf(curve.forward_error[0])
    far = one(quotes(forward=130.0))
    assert far.status[0] == ForwardStatus.CARRY
    assert far.rejected.all()
    crossed = one((chain, ask, bid))
    assert (crossed.status[0], crossed.votes[0]) == (ForwardStatus.CARRY, 0)


@pytest.mark.parametrize("spot", [0.0, -1.0, math.nan, math.inf])
def test_no_spot_is_a_status(spot):
    curve = one(quotes(), spot=spot)
    assert curve.status[0] == ForwardStatus.NONE
    assert math.isnan(curve.forward[0])
    assert math.isnan(curve.dividend_pv[0])


def test_dividends_and_borrow_are_what_is_left_of_the_carry():
    """A cash dividend of 1.20 in the second expiry and a borrow cost of 1 % a year."""
    times, discount_rates, borrow = np.array([0.1, 0.6]), np.array([0.025, 0.03]), 0.01
    cash = np.array([0.0, 1.2])
    forward = (SPOT - cash) * np.exp((discount_rates - borrow) * times)
    parts = []
    for years, rate, level in zip(times, discount_rates, forward, strict=True):
        strike, right = np.tile(STRIKES, 2), np.repeat([1, -1], len(STRIKES))
        value = math.exp(-rate * years) * black(level, strike, 0.04 * years, right)
        parts.append((strike, np.full(42, years), right, value - 0.005, value + 0.005))
    strike, years, right, bid, ask = (np.concatenate(column) for column in zip(*parts, strict=True))
    curve = parity_curve(SurfaceChain(strike, years, right), bid, ask, SPOT, discount_rates, cash)
    np.testing.assert_allclose(curve.forward, forward, rtol=1e-6)
    np.testing.assert_allclose(curve.rate, discount_rates, atol=1e-6)
    np.testing.assert_allclose(curve.borrow, borrow, atol=2e-6)
    np.testing.assert_allclose(curve.dividend_pv, SPOT - forward * np.exp(-discount_rates * times), atol=1e-5)
    np.testing.assert_allclose(curve.dividend_yield, discount_rates - np.log(forward / SPOT) / times, atol=2e-6)
    np.testing.assert_allclose(
        curve.dividend_yield_error * times * forward * curve.discount, curve.dividend_pv_error, rtol=1e-6
    )


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=12, max_size=12), st.booleans())
def test_any_quotes_give_a_positive_forward_and_discount(values, american):
    chain = SurfaceChain([90.0, 100.0, 110.0] * 2, [YEARS] * 6, [1, 1, 1, -1, -1, -1], american)
    curve = parity_curve(chain, values[:6], values[6:], SPOT, RATE)
    assert curve.status[0] in (ForwardStatus.PARITY, ForwardStatus.CARRY)
    assert 50.0 < curve.forward[0] < 200.0
    assert 0.5 < curve.discount[0] < 1.5
    assert curve.forward_error[0] > 0.0


@pytest.mark.parametrize("name", SPXW)
@pytest.mark.parametrize("hour", [10, 11, 13, 15])
def test_recorded_spxw_forwards_lie_in_the_intervals_of_both_strikes(market_data, name, hour):
    """European, two strikes 100 points apart: every accepted pair's bid-ask interval holds the fitted forward."""
    chain = recorded_chain(market_data, name, hour, 0)
    layout = SurfaceChain(chain.strike, chain.years, chain.right)
    curve = parity_curve(layout, chain.bid, chain.ask, chain.spot, 0.0025)
    live = layout.years > 0.0
    assert live.sum() >= 3
    sides = layout.pair_quotes(chain.bid, chain.ask)
    checked = 0
    for e in np.flatnonzero(live):
        assert curve.status[e] == ForwardStatus.PARITY
        assert abs(curve.rate[e] - 0.0025) < 0.02
        pairs = slice(layout.pair_first[e], layout.pair_first[e + 1])
        low = layout.pair_strike[pairs] + (sides[0, pairs] - sides[3, pairs]) / curve.discount[e]
        high = layout.pair_strike[pairs] + (sides[1, pairs] - sides[2, pairs]) / curve.discount[e]
        good = (
            (curve.rejected[pairs] == 0) & (sides[1, pairs] >= sides[0, pairs]) & (sides[3, pairs] >= sides[2, pairs])
        )
        width = high - low
        assert (low[good] - 0.25 * width[good] <= curve.forward[e]).all()
        assert (curve.forward[e] <= high[good] + 0.25 * width[good]).all()
        checked += int(good.sum())
    assert checked >= 5
