"""American chains: early exercise in values and Greeks, carried from calibration to calibration. Oracle: QuantLib."""

import numpy as np
import pytest

from gpu.chain.rows import BY_TIME, PREMIUM
from gpu.chain.theo import ChainPricer, PricerSettings, TheoStatus
from gpu.european.greeks import Greek, spot_greeks
from market.calendar import NS_PER_S
from market.enums import ExerciseStyle
from market.records import THEO, table
from tests.gpu.american.quantlib_american import exact
from tests.gpu.chain.chains import YEAR_NS, synthetic, true_vol

RATE, YIELD = 0.07, 0.03
DAYS = (91, 365)
PLAIN = PricerSettings(residual=False)


def strip(strike, days, spot=100.0):
    years = days / 365.0
    return float(true_vol(strike, spot * np.exp((RATE - YIELD) * years), years))


@pytest.fixture(scope="module")
def market():
    """Quotes a cent around exact American prices of a skewed smile."""
    chain = synthetic(
        rate=RATE, dividend_yield=YIELD, maturities=tuple(d / 365.0 for d in DAYS), strikes=np.arange(70.0, 131.0, 5.0),
        style=ExerciseStyle.AMERICAN,
    )  # fmt: skip
    for number in range(1, chain.count):
        row = chain.master[number]
        days = round((row["expiry_ns"] - chain.now_ns) / YEAR_NS * 365)
        strike, right = float(row["strike"]), int(row["right"])
        value = exact(100.0, strike, days, RATE, YIELD, strip(strike, days), right)
        chain.bid[number], chain.ask[number] = (value - 0.01 if value > 0.02 else np.nan), value + 0.01
    return chain


def priced(market, settings=PLAIN):
    pricer = ChainPricer(market.master, market.count, 0, RATE, settings)
    pricer.calibrate(market.bid, market.ask, market.spot, market.now_ns)
    return pricer


def refreshed(pricer, spot, now_ns):
    out = table(THEO, pricer.count)
    pricer.refresh(spot, now_ns, out)
    return out


def inputs(pricer, row):
    days = round(float(pricer.slices["years"][pricer.chain.expiry[row]]) * 365)
    return float(pricer.chain.strike[row]), days, int(pricer.chain.right[row])


def test_theo_is_the_american_value_where_european_theo_is_far_off(market):
    rows = refreshed(priced(market), 100.0, market.now_ns)
    truth = 0.5 * (market.bid + market.ask)[1:]
    quoted = np.isfinite(truth)
    assert np.abs(rows["theo"] - truth)[quoted].max() < 0.02
    european = refreshed(priced(market, PricerSettings(residual=False, early_exercise=False)), 100.0, market.now_ns)
    assert np.abs(european["theo"] - truth)[quoted].max() > 0.3


def test_the_smile_is_the_true_one_though_the_quotes_are_american(market):
    pricer = priced(market)
    rows = refreshed(pricer, 100.0, market.now_ns)
    for row in range(pricer.count):
        strike, days, _ = inputs(pricer, row)
        if abs(np.log(strike / 100.0)) < 0.2:
            assert rows["vol"][row] == pytest.approx(strip(strike, days), abs=0.003)
    carry = pricer.slices["carry"]
    np.testing.assert_allclose(carry, RATE - YIELD, atol=0.002)


def test_greeks_are_those_of_the_american_option(market):
    pricer = priced(market)
    rows = refreshed(pricer, 100.0, market.now_ns)
    for row in range(0, pricer.count, 5):
        strike, days, right = inputs(pricer, row)
        vol = float(rows["vol"][row])

        def value(spot=100.0, day=days, v=vol, strike=strike, right=right):
            return exact(spot, strike, day, RATE, YIELD, v, right)

        h = 0.2
        up, middle, down = value(100.0 + h), value(), value(100.0 - h)
        assert rows["delta"][row] == pytest.approx((up - down) / (2 * h), abs=0.01)
        assert rows["gamma"][row] == pytest.approx((up - 2 * middle + down) / (h * h), abs=0.002, rel=0.08)
        assert rows["vega"][row] == pytest.approx((value(v=vol + 0.01) - value(v=vol - 0.01)) / 0.02, abs=0.4, rel=0.03)
        theta = -(value(day=days + 1) - value(day=days - 1)) / (2.0 / 365.0)
        assert rows["theta"][row] == pytest.approx(theta, abs=0.15, rel=0.05)


def test_the_premium_follows_the_spot_between_calibrations(market):
    pricer = priced(market)
    vol = refreshed(pricer, 100.0, market.now_ns)["vol"]
    for spot in (99.0, 101.0):
        rows = refreshed(pricer, spot, market.now_ns)
        for row in range(0, pricer.count, 3):
            strike, days, right = inputs(pricer, row)
            want = exact(spot, strike, days, RATE, YIELD, float(vol[row]), right)
            assert rows["theo"][row] == pytest.approx(want, abs=0.012), (strike, days, right)


def test_delta_is_the_slope_of_theo_also_away_from_the_last_calibration(market):
    pricer = priced(market)
    h = 0.01
    for spot in (98.5, 100.0, 101.5, 106.0):
        rows = refreshed(pricer, spot, market.now_ns)
        up, down = refreshed(pricer, spot + h, market.now_ns), refreshed(pricer, spot - h, market.now_ns)
        slope = (up["theo"] - down["theo"]) / (2 * h)
        held = np.abs(rows["delta"]) < 0.999  # exercise is a kink
        np.testing.assert_allclose(rows["delta"][held], slope[held], atol=2e-3)


def test_a_premium_decays_until_the_next_calibration(market):
    """Five days without a calibration, against the premiums that these days later have."""
    pricer = priced(market)
    later = market.now_ns + 5 * 86_400 * NS_PER_S
    with_decay = refreshed(pricer, 100.0, later)["theo"].copy()
    premium = pricer.chain.premium[:, PREMIUM].copy()
    pricer.chain.premium[:, BY_TIME] = 0.0
    decayed = premium + with_decay - refreshed(pricer, 100.0, later)["theo"]
    for row in range(0, pricer.count, 5):
        strike, days, right = inputs(pricer, row)
        if days < 300:
            continue
        vol = float(pricer.chain.vol[row])
        european = spot_greeks(100.0, strike, (days - 5) / 365.0, RATE, YIELD, vol, right)[Greek.PRICE]
        want = exact(100.0, strike, days - 5, RATE, YIELD, vol, right) - european
        assert decayed[row] == pytest.approx(want, abs=6e-3)
        assert abs(decayed[row] - want) < max(0.3 * abs(premium[row] - want), 1e-3)


def test_a_series_that_is_best_exercised_is_worth_its_intrinsic_value_and_moves_like_it(market):
    pricer = priced(market)
    deep = (pricer.chain.right < 0) & (pricer.chain.strike >= 125.0) & (pricer.chain.expiry == 0)
    rows = refreshed(pricer, 100.0, market.now_ns)
    assert deep.any()
    np.testing.assert_array_equal(rows["theo"][deep], pricer.chain.strike[deep] - 100.0)
    assert (rows["delta"][deep] == -1.0).all()
    for name in ("gamma", "vega", "theta"):
        assert (rows[name][deep] == 0.0).all(), name


@pytest.mark.parametrize("spot", [50.0, 80.0, 120.0, 250.0])
def test_far_from_the_last_calibration_values_stay_bounded(market, spot):
    pricer = priced(market)
    rows = refreshed(pricer, spot, market.now_ns)
    intrinsic = np.maximum(pricer.chain.right * (spot - pricer.chain.strike), 0.0)
    assert (rows["theo"] >= intrinsic).all()
    assert (rows["theo"] <= np.maximum(spot, pricer.chain.strike)).all()
    for name in ("delta", "gamma", "vega", "theta"):
        assert np.isfinite(rows[name]).all(), name


def test_the_first_calibration_needs_no_second_one(market):
    pricer = priced(market)
    first = refreshed(pricer, 100.0, market.now_ns)
    pricer.calibrate(market.bid, market.ask, 100.0, market.now_ns)
    second = refreshed(pricer, 100.0, market.now_ns)
    assert np.abs(second["theo"] - first["theo"]).max() < 2e-3
    np.testing.assert_allclose(second["vol"], first["vol"], atol=1e-3)


def test_premiums_of_a_bad_moment_do_not_lock_an_expiry_out(market):
    pricer = priced(market)
    want = refreshed(pricer, 100.0, market.now_ns)
    pricer.chain.premium[:, PREMIUM] = 60.0  # nothing is left of any quote
    report = pricer.calibrate(market.bid, market.ask, 100.0, market.now_ns)
    assert (report.expiries, report.failed) == (2, 0)
    got = refreshed(pricer, 100.0, market.now_ns)
    np.testing.assert_allclose(got["theo"], want["theo"], atol=2e-3)


def test_a_market_without_quotes_keeps_the_last_premiums(market):
    pricer = priced(market)
    before = pricer.chain.premium.copy()
    nothing = np.full(market.count, np.nan)
    report = pricer.calibrate(nothing, nothing, 100.0, market.now_ns + 1)
    assert (report.expiries, report.failed) == (0, 2)
    np.testing.assert_array_equal(pricer.chain.premium, before)


def test_a_european_chain_has_no_premium():
    market = synthetic(rate=RATE, dividend_yield=YIELD)
    pricer = priced(market)
    assert (pricer.chain.premium == 0.0).all()


@pytest.mark.parametrize(("rate", "dividend_yield"), [(-0.02, -0.03), (-0.01, 0.02), (0.0, 0.0)])
def test_without_a_single_boundary_there_is_no_premium_and_no_harm(rate, dividend_yield):
    market = synthetic(rate=rate, dividend_yield=dividend_yield, style=ExerciseStyle.AMERICAN, maturities=(0.5,))
    pricer = ChainPricer(market.master, market.count, 0, rate, PLAIN)
    pricer.calibrate(market.bid, market.ask, market.spot, market.now_ns)
    puts = pricer.chain.right < 0
    assert (pricer.chain.premium[puts, PREMIUM] < 1e-3).all()
    rows = refreshed(pricer, 100.0, market.now_ns)
    assert np.isin(rows["status"], (TheoStatus.OK, TheoStatus.OFF_MARKET)).all()  # the quotes are European
    assert np.isfinite(rows["theo"]).all()
    assert (rows["theo"] >= np.maximum(pricer.chain.right * (100.0 - pricer.chain.strike), 0.0)).all()
