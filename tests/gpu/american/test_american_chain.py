"""``AmericanChain``: tables of boundaries against boundaries of each contract's own, and what is kept when."""

import numpy as np
import pytest

from gpu.american.batch import american_greeks
from gpu.american.chain import AmericanChain
from gpu.american.put import AMERICAN_ROWS
from gpu.errors import ChainError
from gpu.status import PriceStatus

YEARS = np.array([0.02, 0.25, 1.5])
RATE = np.array([0.03, 0.04, 0.05])
YIELD = np.array([0.05, 0.01, 0.0])


def contracts(spot=100.0):
    strike = np.tile(np.repeat(np.arange(60.0, 150.0, 7.5), 2), YEARS.size)
    right = np.tile(np.array([1, -1], np.int8), strike.size // 2)
    expiry = np.repeat(np.arange(YEARS.size), strike.size // YEARS.size)
    distance = np.log(strike / spot)
    vol = 0.25 - 0.1 * distance + 0.3 * distance**2
    return strike, right, expiry, vol


def alone(spot, strike, right, years, rate, dividend_yield, vol):
    count = strike.size
    out, status = np.zeros((AMERICAN_ROWS, count)), np.zeros(count, np.uint8)
    american_greeks(np.full(count, spot), strike, years, rate, dividend_yield, vol, right, out, status)
    return out, status


def loaded():
    strike, right, expiry, vol = contracts()
    chain = AmericanChain(strike, right, expiry)
    chain.load(YEARS, RATE, YIELD, vol)
    return chain, strike, right, expiry, vol


@pytest.mark.parametrize("spot", [80.0, 100.0, 131.0])
def test_rows_are_those_of_boundaries_of_their_own(spot):
    chain, strike, right, expiry, vol = loaded()
    rows = chain.refresh(spot)
    want, status = alone(spot, strike, right, YEARS[expiry], RATE[expiry], YIELD[expiry], vol)
    assert (chain.status == status).all()
    assert rows is chain.rows
    scale = np.maximum(np.abs(want), np.array([1.0, 0.01, 1e-3, 1.0, 1.0, 1.0, 0.1, 10.0, 0.1, 1.0, 1.0])[:, None])
    error = (np.abs(rows - want) / scale).max(axis=1)
    assert np.abs(rows[0] - want[0]).max() < 2e-8
    assert error[[1, 3, 4, 5, 10]].max() < 1e-6
    assert error.max() < 1e-5


def test_only_time_rates_and_a_wider_smile_solve_boundaries_again():
    chain, _, _, _, vol = loaded()
    first = chain.solved
    assert first > 0
    chain.refresh(101.0)
    chain.load(YEARS, RATE, YIELD, vol)
    chain.load(YEARS, RATE, YIELD, vol * 1.05)
    assert chain.solved == first
    chain.load(YEARS, RATE, YIELD, vol * 1.5)
    wider = chain.solved
    assert wider > first
    rate = RATE.copy()
    rate[1] += 0.001
    chain.load(YEARS, rate, YIELD, vol * 1.5)
    one_expiry = chain.solved - wider
    assert 0 < one_expiry < wider - first
    chain.load(YEARS - 1e-4, rate, YIELD, vol * 1.5)
    assert chain.solved > wider + one_expiry


def test_a_moved_smile_is_priced_with_its_own_volatilities():
    chain, strike, right, expiry, vol = loaded()
    chain.load(YEARS, RATE, YIELD, vol * 1.04)
    rows = chain.refresh(97.0)
    want, _ = alone(97.0, strike, right, YEARS[expiry], RATE[expiry], YIELD[expiry], vol * 1.04)
    assert np.abs(rows[0] - want[0]).max() < 2e-8


def test_bad_volatilities_expiries_and_spots_have_their_status_and_touch_no_neighbour():
    chain, strike, right, expiry, vol = loaded()
    before = chain.refresh(100.0).copy()
    broken = vol.copy()
    broken[[3, 9]] = np.nan, np.inf
    broken[12] = 0.0
    chain.load(YEARS, RATE, YIELD, broken)
    rows = chain.refresh(100.0)
    assert list(chain.status[[3, 9, 12]]) == [PriceStatus.BAD_INPUT, PriceStatus.BAD_INPUT, PriceStatus.INTRINSIC]
    assert np.isnan(rows[:, [3, 9]]).all()
    others = np.setdiff1d(np.arange(strike.size), [3, 9, 12])
    assert (chain.status[others] == PriceStatus.OK).all()
    assert rows[0, others] == pytest.approx(before[0, others], abs=2e-8)
    chain.refresh(np.nan)
    assert (chain.status == PriceStatus.BAD_INPUT).all()
    assert np.isnan(chain.rows).all()
    years = YEARS.copy()
    years[0] = 0.0
    chain.load(years, RATE, YIELD, vol)
    chain.refresh(100.0)
    gone = expiry == 0
    assert (chain.status[gone] == PriceStatus.INTRINSIC).all()
    assert chain.rows[0, gone] == pytest.approx(np.maximum(right[gone] * (100.0 - strike[gone]), 0.0))


def test_one_contract_an_empty_chain_and_negative_rates():
    chain = AmericanChain(np.array([100.0]), np.array([-1], np.int8), np.array([0]))
    chain.load(np.array([0.5]), np.array([0.04]), np.array([0.0]), np.array([0.3]))
    want, _ = alone(99.0, np.array([100.0]), np.array([-1], np.int8), *(np.array([x]) for x in (0.5, 0.04, 0.0, 0.3)))
    assert chain.refresh(99.0)[0] == pytest.approx(want[0], abs=1e-9)
    chain.load(np.array([0.5]), np.array([-0.01]), np.array([-0.02]), np.array([0.3]))
    want, status = alone(
        99.0, np.array([100.0]), np.array([-1], np.int8), *(np.array([x]) for x in (0.5, -0.01, -0.02, 0.3))
    )
    assert chain.refresh(99.0) == pytest.approx(want, nan_ok=True)
    assert chain.status[0] == status[0]
    empty = AmericanChain(np.empty(0), np.empty(0, np.int8), np.empty(0, np.int64))
    empty.load(np.array([0.5]), np.array([0.04]), np.array([0.0]), np.empty(0))
    assert empty.refresh(100.0).shape == (AMERICAN_ROWS, 0)


def test_a_wrong_shape_or_right_is_refused_by_name():
    with pytest.raises(ChainError, match="one length"):
        AmericanChain(np.array([100.0]), np.array([1, -1], np.int8), np.array([0]))
    with pytest.raises(ChainError, match=r"right \+1 or -1"):
        AmericanChain(np.array([100.0]), np.array([2], np.int8), np.array([0]))


def test_the_recorded_goog_chain_is_priced_in_full(market_data):
    """2,192 contracts with a smile: every row OK, none below its payoff, tables against own boundaries."""
    options = market_data / "goog_20151224_quote_minute_american.zip"
    if not options.is_file():
        pytest.skip(f"no {options.name} in the market data")
    import zipfile
    from datetime import date, datetime, time

    from market.calendar import expiry_ns, instant_ns

    now = instant_ns(date(2015, 12, 24), time(10, 30))
    with zipfile.ZipFile(options) as archive:
        parts = [name.removesuffix(".csv").split("_") for name in sorted(archive.namelist())]
    strike = np.array([int(p[6]) / 1e4 for p in parts])
    right = np.array([1 if p[5] == "call" else -1 for p in parts], np.int8)
    days = [expiry_ns(datetime.strptime(p[7], "%Y%m%d").date()) for p in parts]
    years, expiry = np.unique((np.array(days) - now) / (365 * 86_400 * 10**9), return_inverse=True)
    spot, rate, dividend_yield = 748.0, np.full(years.size, 0.006), np.full(years.size, 0.001)
    vol = 0.22 + 0.08 * np.abs(np.log(strike / spot)) / np.sqrt(years[expiry] + 0.02)
    chain = AmericanChain(strike, right, expiry)
    chain.load(years, rate, dividend_yield, vol)
    rows = chain.refresh(spot)
    assert (strike.size, years.size) == (2192, 12)
    assert (chain.status == PriceStatus.OK).all()
    assert (rows[0] >= np.maximum(right * (spot - strike), 0.0) - 1e-7).all()
    pick = np.arange(0, strike.size, 7)
    want, _ = alone(
        spot,
        strike[pick],
        right[pick],
        years[expiry[pick]],
        rate[expiry[pick]],
        dividend_yield[expiry[pick]],
        vol[pick],
    )
    assert np.abs(rows[0, pick] - want[0]).max() < 1e-6
    assert np.abs(rows[1, pick] - want[1]).max() < 1e-7
