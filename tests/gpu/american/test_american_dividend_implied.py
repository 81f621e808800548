import math

import numpy as np
import pytest

from gpu.american.batch import american_prices
from gpu.american.dividend_implied import american_dividend_implied_vol
from gpu.american.dividends import DIVIDEND_ROWS, DividendMethod, american_dividend_greeks
from gpu.american.finite_difference import DividendModel
from gpu.implied.black import IvStatus
from tests.gpu.american.quantlib_american import DAY, grid

SPOT, ESCROWED = DividendModel.SPOT, DividendModel.ESCROWED
TWICE = [(1.5, 73 * DAY), (1.0, 255 * DAY)]


def columns(rows):
    """(spot, strike, years, rate, yield, x, right) each -> arrays."""
    parts = [np.array(c, dtype=float) for c in zip(*rows, strict=True)]
    return [*parts[:6], parts[6].astype(np.int8)]


def paid(dividends):
    amounts, times = np.array([a for a, _ in dividends]), np.array([t for _, t in dividends])
    return amounts.astype(float), times.astype(float)


def prices(rows, dividends=TWICE, **options):
    out, status = np.empty((DIVIDEND_ROWS, len(rows))), np.empty(len(rows), np.uint8)
    american_dividend_greeks(*columns(rows), *paid(dividends), out, status, all_greeks=False, **options)
    return out[0]


def implied(rows, dividends=TWICE, guess=None, **options):
    """``rows`` with the price in the place of the volatility."""
    *numbers, price, right = columns(rows)
    vol, status = np.empty(len(rows)), np.full(len(rows), 99, np.uint8)
    american_dividend_implied_vol(price, *numbers, right, *paid(dividends), vol, status, guess, **options)
    assert (np.isnan(vol) == (status != IvStatus.OK)).all()
    return vol, status


def priced(rows, values):
    return [(*row[:5], value, row[6]) for row, value in zip(rows, values, strict=True)]


@pytest.mark.parametrize("model", [SPOT, ESCROWED])
@pytest.mark.parametrize("right", [-1, 1])
def test_finds_the_volatility_of_a_foreign_grid(model, right):
    rows = [(100.0, strike, 1.0, 0.05, 0.0, vol, right) for strike, vol in ((90.0, 0.3), (105.0, 0.2), (120.0, 0.25))]
    days = [(amount, round(time / DAY)) for amount, time in TWICE]
    foreign = [grid(*row[:2], 365, *row[3:], days, model == ESCROWED)[0] for row in rows]
    vol, status = implied(priced(rows, foreign), model=model)
    assert (status == IvStatus.OK).all()
    assert vol == pytest.approx([row[5] for row in rows], abs=1.5e-4)  # 3e-3 over the least vega
    other, _ = implied(priced(rows, foreign), model=ESCROWED if model == SPOT else SPOT)
    assert (abs(other - vol) > 5e-4).all()


def random_rows(n, right, seed):
    rng = np.random.default_rng(seed)
    return [
        (
            100.0, 100.0 * math.exp(0.2 * rng.normal()), 10 ** rng.uniform(-1.0, 0.4), rng.uniform(-0.01, 0.08),
            max(rng.uniform(-0.03, 0.03), 0.0), 10 ** rng.uniform(-1.0, -0.2), right,
        )
        for _ in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize("model", [SPOT, ESCROWED])
@pytest.mark.parametrize(("right", "n"), [(1, 40), (-1, 25)])
def test_round_trip_to_what_the_price_allows(model, right, n):
    rows = random_rows(n, right, 11)
    options = {"model": model, "nodes": 128}
    price, vol = prices(rows, **options), np.array([row[5] for row in rows])
    cold, status = implied(priced(rows, price), **options)
    found = status == IvStatus.OK
    assert found.sum() > 0.7 * n
    assert set(status[~found]) <= {IvStatus.NO_TIME_VALUE, IvStatus.NO_VEGA}
    again = prices([row for row, ok in zip(priced(rows, cold), found, strict=True) if ok], **options)
    assert np.abs(again - price[found]).max() < 1e-7
    bump = (prices(priced(rows, vol * 1.001), **options) - price) / (vol * 0.001)
    steep = found & (bump > 1.0)
    assert np.abs(cold - vol)[steep].max() < 1e-7
    for guess in (vol * 1.01, np.full(n, 3.0), np.full(n, math.nan)):
        warm, again = implied(priced(rows, price), guess=guess, **options)
        assert (again == status)[steep].all()
        assert np.abs(warm - cold)[steep].max() < 2e-7


def test_without_dividends_it_is_the_volatility_of_the_collocation():
    rows = [(100.0, 105.0, 0.5, 0.05, 0.01, 0.2, -1), (100.0, 95.0, 2.0, 0.02, 0.06, 0.35, 1)]
    price, status = np.empty(2), np.empty(2, np.uint8)
    american_prices(*columns(rows), price, status)
    for dividends in ([], [(5.0, 3.0), (2.0, -0.1)]):  # none, or none that is paid before expiry
        vol, status = implied(priced(rows, price), dividends)
        assert (status == IvStatus.OK).all()
        assert vol == pytest.approx([0.2, 0.35], abs=2e-6)


def test_recursion_and_grid_imply_the_same():
    rows = [(100.0, 95.0, 1.0, 0.04, 0.0, 0.25, 1), (100.0, 120.0, 1.0, 0.04, 0.0, 0.4, 1)]
    price = prices(rows)
    fast, _ = implied(priced(rows, price))
    slow, _ = implied(priced(rows, price), method=DividendMethod.GRID)
    assert fast == pytest.approx([0.25, 0.4], abs=1e-11)
    assert slow == pytest.approx(fast, abs=2e-6)
    assert (slow != fast).all()


def test_status_of_prices_that_have_no_volatility():
    put, call = (80.0, 100.0, 1.0, 0.05, 0.0), (120.0, 100.0, 1.0, 0.05, 0.0)
    date = TWICE[1][1]
    held = 120.0 - 1.5 * math.exp(-0.05 * TWICE[0][1]) - 100.0 * math.exp(-0.05 * date)  # exercised before the second
    S = IvStatus
    cases = [
        ((*put, 20.0 - 1e-9, -1), S.BELOW_INTRINSIC), ((*put, 100.0, -1), S.ABOVE_MAXIMUM), ((*put, 98.5, -1), S.OK),
        ((*put, 99.5, -1), S.ABOVE_MAXIMUM),
        ((*call, held - 1e-9, 1), S.BELOW_INTRINSIC), ((*call, 120.0, 1), S.ABOVE_MAXIMUM),
        ((*call, 119.9999, 1), S.ABOVE_MAXIMUM), ((*call, held + 1.0, 1), S.OK), ((*put, -1.0, -1), S.BELOW_INTRINSIC),
        ((*put, math.nan, -1), S.BAD_INPUT), ((*put, math.inf, -1), S.BAD_INPUT),
        ((0.0, *put[1:], 20.5, -1), S.BAD_INPUT), ((*put[:2], 0.0, *put[3:], 20.5, -1), S.BAD_INPUT),
        ((*put, 20.5, 0), S.BAD_INPUT),
    ]  # fmt: skip
    _, status = implied([row for row, _ in cases], nodes=128)
    assert status.tolist() == [expected for _, expected in cases]
    _, status = implied([(*call[:1], 119.0, *call[2:], 5.0, 1)], [(130.0, 0.5)], model=ESCROWED)
    assert status[0] == S.BAD_INPUT  # escrowed dividends of more than the spot
    _, status = implied([(*put, 25.0, -1)], [(-1.0, 0.5)])
    assert status[0] == S.BAD_INPUT


def test_a_dividend_of_more_than_the_spot_leaves_no_closed_form_and_is_solved_all_the_same():
    rows, dividends = [(100.0, 120.0, 1.0, 0.05, 0.0, 0.5, 1), (100.0, 120.0, 1.0, 0.05, 0.01, 0.5, 1)], [(118.0, 0.1)]
    vol, status = implied(priced(rows, prices(rows, dividends)), dividends)
    assert (status == IvStatus.OK).all()
    assert vol == pytest.approx([0.5, 0.5], abs=1e-7)


def test_shapes_are_checked():
    one, right, status = np.ones(1), np.ones(1, np.int8), np.empty(1, np.uint8)
    with pytest.raises(ValueError, match="spot must have shape"):
        american_dividend_implied_vol(one, np.ones(2), one, one, one, one, right, one, one, one.copy(), status)
    with pytest.raises(ValueError, match="vectors of one length"):
        american_dividend_implied_vol(one, one, one, one, one, one, right, np.ones(2), one, one.copy(), status)
    with pytest.raises(ValueError, match="nodes must be 64"):
        american_dividend_implied_vol(one, one, one, one, one, one, right, one, one, one.copy(), status, nodes=8)
