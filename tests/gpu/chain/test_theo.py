import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.chain.theo import ChainPricer, PricerSettings, TheoStatus
from gpu.errors import ChainError, GpuError
from gpu.european.greeks import Greek, spot_greeks
from gpu.surface.forwards.forward import ForwardStatus
from gpu.surface.slices.smile import SmileStatus
from market.enums import ExerciseStyle, FrameKind
from market.records import THEO, table
from tests.gpu.chain.chains import YEAR_NS, Market, recorded, synthetic, true_vol

NO_RESIDUAL = PricerSettings(residual=False)


def priced(market: Market, settings=None, rate=0.03):
    pricer = ChainPricer(market.master, market.count, 0, rate, settings)
    report = pricer.calibrate(market.bid, market.ask, market.spot, market.now_ns)
    return pricer, refreshed(pricer, market.spot, market.now_ns), report


def refreshed(pricer, spot, now_ns):
    out = table(THEO, pricer.count)
    assert pricer.refresh(spot, now_ns, out) == pricer.count
    return out


def out_of_the_money(pricer):
    forward = pricer.slices["forward"][pricer.chain.expiry]
    return np.where(pricer.chain.right > 0, pricer.chain.strike >= forward, pricer.chain.strike < forward)


def test_a_synthetic_chain_gets_its_true_values_back():
    market = synthetic(half_spread=0.01)
    pricer, rows, report = priced(market, NO_RESIDUAL)
    assert (report.expiries, report.failed, report.expired, report.off_market) == (3, 0, 0, 0)
    assert report.inside == report.points > 50
    assert (rows["status"] == TheoStatus.OK).all()
    truth = market.ask[pricer.instruments] - 0.01
    np.testing.assert_allclose(rows["theo"], truth, atol=0.01)
    near = np.abs(np.log(pricer.chain.strike / 100.0)) < 0.1
    years = rows["years"]
    vol = true_vol(pricer.chain.strike, 100.0 * np.exp(0.02 * years), years)
    np.testing.assert_allclose(rows["vol"][near], vol[near], rtol=0.01)


def test_rows_are_frames_in_instrument_order():
    market = synthetic()
    pricer, rows, _ = priced(market)
    assert rows["kind"].tolist() == [FrameKind.THEO] * pricer.count
    assert rows["instrument"].tolist() == pricer.instruments.tolist() == list(range(1, market.count))
    assert (rows["ts_ns"] == market.now_ns).all()
    assert (rows["spot_ref"] == 100.0).all()
    assert (rows["refresh"] == 1).all()
    assert (refreshed(pricer, 100.0, market.now_ns)["refresh"] == 2).all()
    assert pricer.row_of[0] == -1
    assert pricer.row_of[pricer.instruments].tolist() == list(range(pricer.count))


def test_greeks_are_the_spot_models_and_the_derivatives_of_refresh():
    market = synthetic()
    pricer, rows, _ = priced(market, NO_RESIDUAL)
    for j in range(0, pricer.count, 7):
        piece = pricer.slices[pricer.chain.expiry[j]]
        want = spot_greeks(
            100.0, float(pricer.chain.strike[j]), float(rows["years"][j]), float(piece["discount_rate"]),
            float(piece["discount_rate"] - piece["carry"]), float(rows["vol"][j]), int(pricer.chain.right[j]),
        )  # fmt: skip
        assert rows["theo"][j] == pytest.approx(want[Greek.PRICE], rel=1e-9, abs=1e-12)
        for name in ("DELTA", "GAMMA", "VEGA", "THETA"):
            assert rows[name.lower()][j] == pytest.approx(want[Greek[name]], rel=1e-9, abs=1e-12), name
    h = 0.01
    up, down = refreshed(pricer, 100.0 + h, market.now_ns), refreshed(pricer, 100.0 - h, market.now_ns)
    np.testing.assert_allclose(rows["delta"], (up["theo"] - down["theo"]) / (2 * h), atol=1e-6)
    np.testing.assert_allclose(rows["gamma"], (up["delta"] - down["delta"]) / (2 * h), atol=1e-5)


def test_parity_holds_between_theos_of_one_strike():
    market = synthetic()
    pricer, rows, _ = priced(market, NO_RESIDUAL)
    calls, puts = rows[pricer.chain.right > 0], rows[pricer.chain.right < 0]
    piece = pricer.slices[pricer.chain.expiry[pricer.chain.right > 0]]
    strike = pricer.chain.strike[pricer.chain.right > 0]
    discount = np.exp(-piece["discount_rate"] * calls["years"])
    np.testing.assert_allclose(calls["theo"] - puts["theo"], discount * (piece["forward"] - strike), atol=1e-9)


def test_american_theo_is_never_under_intrinsic_and_behaves_like_the_stock_there():
    market = synthetic(rate=0.08, dividend_yield=0.0, style=ExerciseStyle.AMERICAN)
    market.bid[:], market.ask[:] = market.bid, market.ask
    pricer, rows, _ = priced(market, NO_RESIDUAL, rate=0.08)
    intrinsic = np.maximum(pricer.chain.right * (100.0 - pricer.chain.strike), 0.0)
    assert (rows["theo"] >= intrinsic).all()
    floored = (rows["theo"] == intrinsic) & (intrinsic > 0.0)
    assert floored.any()
    assert (rows["delta"][floored] == -1.0).all()
    assert (rows["gamma"][floored] == 0.0).all()
    european, european_rows, _ = priced(synthetic(rate=0.08, dividend_yield=0.0), NO_RESIDUAL, rate=0.08)
    assert (european_rows["theo"] < intrinsic - 0.1)[european.chain.strike > 125.0].any()


def test_residual_brings_theo_inside_the_market_by_its_inset_and_no_further():
    market = synthetic()
    number = int(market.numbers(0.25, 110.0, 1)[0])
    _, plain, _ = priced(market, NO_RESIDUAL)
    theo = float(plain["theo"][number - 1])
    market.bid[number], market.ask[number] = theo + 0.03, theo + 0.07
    # An isolated quote is an outlier to the smile; it is the residual's business.
    pricer, rows, _ = priced(market, PricerSettings(residual_inset=0.25))
    row = int(pricer.row_of[number])
    assert rows["status"][row] == TheoStatus.OK
    assert rows["theo"][row] == pytest.approx(market.bid[number] + 0.25 * 0.04, abs=1e-9)
    market.bid[number], market.ask[number] = theo - 0.05, theo + 0.05
    pricer, rows, _ = priced(market, PricerSettings(residual_inset=0.25))
    assert pricer.chain.residual[row] == 0.0


@pytest.mark.parametrize(("shift", "status"), [(0.9, TheoStatus.OK), (1.1, TheoStatus.OFF_MARKET)])
def test_a_series_beyond_the_residuals_bound_is_off_market(shift, status):
    """The bound: cap_price + cap_vol * vega + cap_spread * spread, here 0.01 + 0 + 0.5 * 0.1."""
    settings = PricerSettings(residual_cap_price=0.01, residual_cap_vol=0.0, residual_cap_spread=0.5)
    market = synthetic()
    number = int(market.numbers(1.0, 130.0, 1)[0])
    # Outside the money range of the fit the smile hardly moves with the quote, so the miss is known.
    _, rows, _ = priced(market, NO_RESIDUAL)
    reach = 0.01 + 0.5 * 0.1
    for _ in range(4):  # the smile gives way a little: find the quote that misses it by shift * reach
        theo = float(rows["theo"][number - 1])
        market.bid[number], market.ask[number] = theo + shift * reach, theo + shift * reach + 0.1
        _, rows, _ = priced(market, NO_RESIDUAL)
    miss = market.bid[number] - float(rows["theo"][number - 1])
    assert miss == pytest.approx(shift * reach, abs=0.1 * reach * abs(1.0 - shift) + 0.002)
    _, rows, _ = priced(market, PricerSettings(**{**_as_dict(settings), "residual_inset": 0.0}))
    assert rows["status"][number - 1] == status


def _as_dict(settings):
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def _break_crossed(market, number):
    market.bid[number], market.ask[number] = market.ask[number] + 5.0, 0.5


def _break_one_sided(market, number):
    market.bid[number] = math.nan


def _break_stub(market, number):
    market.bid[number], market.ask[number] = 0.01, 900.0


def _break_negative(market, number):
    market.bid[number], market.ask[number] = -4.0, -3.0


def _break_infinite(market, number):
    market.bid[number], market.ask[number] = math.inf, math.inf


def _break_mistyped(market, number):
    market.bid[number], market.ask[number] = 10.0 * market.bid[number], 10.0 * market.ask[number]


@pytest.mark.parametrize(
    "breaking",
    [_break_crossed, _break_one_sided, _break_stub, _break_negative, _break_infinite, _break_mistyped],
)
def test_one_bad_quote_moves_no_neighbour_out_of_its_market(breaking):
    market = synthetic()
    _, before, _ = priced(market)
    number = int(market.numbers(0.25, 105.0, 1)[0])
    breaking(market, number)
    pricer, rows, report = priced(market)
    assert (report.expiries, report.failed) == (3, 0)
    others = pricer.instruments != number
    assert (rows["status"][others] == TheoStatus.OK).all()
    assert np.isfinite(rows["theo"]).all()
    same_expiry = pricer.chain.expiry == pricer.chain.expiry[number - 1]
    np.testing.assert_allclose(rows["theo"][same_expiry & others], before["theo"][same_expiry & others], atol=0.02)
    np.testing.assert_array_equal(rows["theo"][~same_expiry], before["theo"][~same_expiry])


def test_an_expiry_without_quotes_fails_alone_and_says_why():
    market = synthetic()
    empty = market.numbers(0.25)
    market.bid[empty], market.ask[empty] = math.nan, math.nan
    pricer, rows, report = priced(market)
    assert (report.expiries, report.failed) == (2, 1)
    mine = np.isin(pricer.instruments, empty)
    assert (rows["status"][mine] == TheoStatus.NO_SMILE).all()
    assert (rows["theo"][mine] == 0.0).all()
    assert (rows["status"][~mine] == TheoStatus.OK).all()


def test_an_expiry_of_one_strike_is_priced_flat():
    market = synthetic(maturities=(0.25,), strikes=(105.0,))
    pricer, rows, report = priced(market)
    assert report.expiries == 1
    assert pricer.slices["smile_status"][0] == SmileStatus.FEW_POINTS
    assert (rows["status"] == TheoStatus.OK).all()
    assert ((rows["theo"] > market.bid[1:]) & (rows["theo"] < market.ask[1:])).all()


def test_a_chain_of_calls_alone_is_carried_at_the_rate():
    market = synthetic(dividend_yield=0.0)
    puts = market.numbers(right=-1)
    market.bid[puts], market.ask[puts] = math.nan, math.nan
    pricer, rows, _ = priced(market)
    assert (pricer.slices["forward_status"] == ForwardStatus.CARRY).all()
    np.testing.assert_allclose(pricer.slices["forward"], 100.0 * np.exp(0.03 * pricer.slices["years"]))
    assert (rows["status"] == TheoStatus.OK).all()


def test_an_expiry_of_calls_alone_takes_its_neighbours_carry():
    market = synthetic(dividend_yield=0.05)
    puts = market.numbers(1.0, right=-1)
    market.bid[puts], market.ask[puts] = math.nan, math.nan
    pricer, rows, _ = priced(market)
    assert pricer.slices["forward_status"].tolist() == [ForwardStatus.PARITY, ForwardStatus.PARITY, ForwardStatus.CARRY]
    assert pricer.slices["forward"][2] == pytest.approx(100.0 * math.exp(-0.02), abs=0.05)
    assert (rows["status"] == TheoStatus.OK).all()


def test_before_any_calibration_nothing_may_be_quoted():
    market = synthetic()
    pricer = ChainPricer(market.master, market.count, 0, 0.03)
    rows = refreshed(pricer, 100.0, market.now_ns)
    assert (rows["status"] == TheoStatus.NOT_CALIBRATED).all()
    pricer.calibrate(market.bid, market.ask, math.nan, market.now_ns)
    assert (refreshed(pricer, 100.0, market.now_ns)["status"] == TheoStatus.NO_FORWARD).all()


@pytest.mark.parametrize("spot", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_a_bad_spot_is_a_status_and_leaves_the_calibration(spot):
    market = synthetic()
    pricer, before, _ = priced(market)
    rows = refreshed(pricer, spot, market.now_ns)
    assert (rows["status"] == TheoStatus.BAD_SPOT).all()
    assert (rows["theo"] == 0.0).all()
    report = pricer.calibrate(market.bid, market.ask, spot, market.now_ns)
    assert (report.expiries, report.failed) == (0, 3)
    np.testing.assert_array_equal(refreshed(pricer, 100.0, market.now_ns)["theo"], before["theo"])


def test_expiry_is_reached_exactly_at_its_nanosecond():
    market = synthetic()
    pricer, _, _ = priced(market)
    expiry = market.now_ns + int(0.05 * YEAR_NS)
    first = pricer.chain.expiry == 0
    last = refreshed(pricer, 103.0, expiry - 1)
    assert (last["status"][first] == TheoStatus.STALE).all()  # 18 days without a calibration
    assert np.isfinite(last["theo"]).all()
    assert np.isfinite(last["theta"]).all()
    gone = refreshed(pricer, 103.0, expiry)
    assert (gone["status"][first] == TheoStatus.EXPIRED).all()
    intrinsic = np.maximum(pricer.chain.right * (103.0 - pricer.chain.strike), 0.0)
    np.testing.assert_array_equal(gone["theo"][first], intrinsic[first])
    assert (gone["delta"][first] == 0.0).all()
    report = pricer.calibrate(market.bid, market.ask, 100.0, expiry)
    assert (report.expiries, report.expired) == (2, 1)


def test_calibration_goes_stale_one_nanosecond_after_its_limit():
    market = synthetic()
    pricer, _, _ = priced(market, PricerSettings(stale_after_s=2.0))
    limit = market.now_ns + 2_000_000_000
    assert (refreshed(pricer, 100.0, limit)["status"] == TheoStatus.OK).all()
    late = refreshed(pricer, 100.0, limit + 1)
    assert (late["status"] == TheoStatus.STALE).all()
    assert (late["theo"] > 0.0).any()


def test_calibrating_one_expiry_at_a_time_ends_where_all_at_once_does():
    market = synthetic()
    whole, want, _ = priced(market)
    pricer = ChainPricer(market.master, market.count, 0, 0.03)
    for turn in range(whole.expiries):
        assert pricer.calibrate_next(market.bid, market.ask, market.spot, market.now_ns) == 1
        rows = refreshed(pricer, market.spot, market.now_ns)
        assert (rows["status"] == TheoStatus.OK).sum() == (pricer.chain.expiry <= turn).sum()
    np.testing.assert_array_equal(rows["theo"], want["theo"])


def test_incremental_calibration_passes_over_expired_expiries():
    market = synthetic()
    pricer = ChainPricer(market.master, market.count, 0, 0.03)
    now = market.now_ns + int(0.05 * YEAR_NS)
    assert pricer.calibrate_next(market.bid, market.ask, market.spot, now, expiries=2) == 2
    assert pricer.slices["calibrated_ns"].tolist() == [0, now, now]


def test_a_failing_calibration_keeps_the_last_success():
    market = synthetic()
    pricer, before, _ = priced(market)
    nothing = np.full(market.count, math.nan)
    report = pricer.calibrate(nothing, nothing, market.spot, market.now_ns + 1)
    assert (report.expiries, report.failed) == (0, 3)
    np.testing.assert_array_equal(refreshed(pricer, market.spot, market.now_ns)["theo"], before["theo"])


_NUMBER = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(0.0, 60.0))


@given(st.data())
def test_no_quotes_whatever_raise_or_give_a_value_that_is_not_finite(data):
    market = synthetic(
        maturities=(0.0003, 0.5), strikes=(80.0, 95.0, 100.0, 105.0, 120.0), style=ExerciseStyle.AMERICAN
    )
    size = market.count
    bid = np.array(data.draw(st.lists(_NUMBER, min_size=size, max_size=size)))
    ask = np.array(data.draw(st.lists(_NUMBER, min_size=size, max_size=size)))
    spot = data.draw(st.one_of(st.just(100.0), _NUMBER))
    pricer = ChainPricer(market.master, market.count, 0, 0.03)
    pricer.calibrate(bid, ask, spot, market.now_ns)
    for at in (spot, 1e-3, 100.0, 1e6):
        rows = refreshed(pricer, at, market.now_ns)
        for name in ("theo", "delta", "gamma", "vega", "theta", "vol", "spot_ref"):
            assert np.isfinite(rows[name]).all(), name
        assert (rows["theo"] >= 0.0).all()


def test_theo_that_is_ok_stands_inside_its_market():
    market = synthetic(half_spread=0.01)
    rng = np.random.default_rng(11)
    noise = rng.normal(0.0, 0.02, market.count)
    market.bid[:], market.ask[:] = market.bid + noise, market.ask + noise
    _, rows, _ = priced(market)
    bid, ask = market.bid[1:], market.ask[1:]
    inside = (np.isnan(bid) | (rows["theo"] >= bid - 1e-9)) & (rows["theo"] <= ask + 1e-9)
    assert inside[(rows["status"] == TheoStatus.OK) & (ask > 0.0)].all()
    assert (rows["status"] == TheoStatus.OK).mean() > 0.9


def test_contracts_of_another_multiplier_have_their_own_slice():
    market = synthetic(maturities=(0.25,))
    adjusted = market.numbers(0.25, 100.0)
    market.master["multiplier"][adjusted] = 110
    market.bid[adjusted] *= 1.1
    market.ask[adjusted] *= 1.1
    pricer, rows, _ = priced(market)
    assert pricer.expiries == 2
    assert (rows["status"] == TheoStatus.OK).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("residual_inset", 0.51), ("residual_inset", -0.1), ("residual_cap_vol", math.nan), ("min_half_spread", 0.0)],
)
def test_settings_out_of_range_are_refused_with_name_value_and_bound(name, value):
    market = synthetic()
    with pytest.raises(ChainError, match=rf"{name} must be .* was {value!r}"):
        ChainPricer(market.master, market.count, 0, 0.03, PricerSettings(**{name: value}))


def test_chains_that_cannot_work_are_refused():
    market = synthetic()
    with pytest.raises(ChainError, match="underlying 5 has no options"):
        ChainPricer(market.master, market.count, 5, 0.03)
    with pytest.raises(ChainError, match="rate must be"):
        ChainPricer(market.master, market.count, 0, math.nan)
    pricer = ChainPricer(market.master, market.count, 0, 0.03)
    with pytest.raises(ChainError, match=r"float64\[151\]"):
        pricer.calibrate(np.zeros(3), np.zeros(3), 100.0, market.now_ns)
    with pytest.raises(ChainError, match="150 THEO rows"):
        pricer.refresh(100.0, market.now_ns, table(THEO, 3))
    market.master["strike"][7] = 0.0
    with pytest.raises(GpuError, match="strike of instrument 7"):
        ChainPricer(market.master, market.count, 0, 0.03)


@pytest.fixture(scope="module")
def goog(market_data):
    options = market_data / "goog_20151224_quote_minute_american.zip"
    equity = market_data / "goog_20151224_quote_minute_equity.zip"
    if not options.is_file() or not equity.is_file():
        pytest.skip(f"no recorded GOOG day in {market_data}")
    return recorded(options, equity, ExerciseStyle.AMERICAN, minutes=780)


@pytest.mark.parametrize(("hour", "minute"), [(9, 32), (10, 30), (12, 55)])
def test_recorded_goog_chain_is_priced_inside_its_spreads(goog, hour, minute):
    market = goog.at(hour, minute)
    pricer, rows, report = priced(market, NO_RESIDUAL, rate=0.005)
    assert (pricer.count, pricer.expiries) == (2192, 12)
    assert (report.expiries, report.failed, report.expired) == (12, 0, 0)
    assert report.points > 600
    assert report.inside >= 0.95 * report.points
    bid, ask = market.bid[1:], market.ask[1:]
    two = (bid > 0.0) & (ask >= bid)
    hit = (rows["theo"] >= bid - 1e-9) & (rows["theo"] <= ask + 1e-9)
    assert hit[two & ~out_of_the_money(pricer)].mean() >= 0.9
    pricer, rows, report = priced(market, rate=0.005)
    ok = rows["status"] == TheoStatus.OK
    assert ok.mean() > 0.99
    assert ((rows["theo"] >= bid - 1e-6) | ~(bid > 0.0))[ok].all()
    assert ((rows["theo"] <= ask + 1e-6) | ~(ask > 0.0))[ok].all()
    assert np.isfinite(rows["theta"]).all()
    assert report.calendar_crossings <= 1


def test_recorded_spxw_of_two_strikes_is_priced(market_data):
    path = market_data / "spxw_20210106_quote_minute_european.zip"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {market_data}")
    day = recorded(path, None, ExerciseStyle.EUROPEAN)
    assert day.day == date(2021, 1, 6)
    market = day.at(14, 30)
    rows = market.master
    expiry = rows["expiry_ns"] == rows["expiry_ns"][1:].min()
    pairs = [
        (np.flatnonzero(expiry & (rows["strike"] == k) & (rows["right"] == r))[0])
        for k in (3700.0, 3800.0)
        for r in (1, -1)
    ]
    middle = 0.5 * (market.bid + market.ask)
    spot = 3700.0 + float(middle[pairs[0]] - middle[pairs[1]])
    _, theos, report = priced(market._replace(spot=spot), rate=0.001)
    assert report.failed == 0
    # One series of that minute is recorded crossed, 0.15 to 0.10: the truth is taken to lie between.
    low, high = np.minimum(market.bid, market.ask)[1:], np.maximum(market.bid, market.ask)[1:]
    ok = theos["status"] == TheoStatus.OK
    assert ok.sum() >= 15
    assert ((theos["theo"] >= low - 1e-9) & (theos["theo"] <= high + 1e-9))[ok].all()
