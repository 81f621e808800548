"""American chains priced by QuantLib: parity and smile must come out as if the quotes were European."""

import math

import numpy as np
import pytest
import QuantLib as ql

from gpu.surface.calibrate import SliceStatus, SurfaceChain, SurfaceFitter, SurfaceSettings
from gpu.surface.forwards.forward import ForwardStatus
from gpu.surface.forwards.parity import ParityCurve
from gpu.surface.forwards.parity_american import pooled_yields

SPOT, RATE = 100.0, 0.05
DAYS = (73, 182, 365, 730)


def smile(strike: float, days: int) -> float:
    x = math.log(strike / SPOT) / math.sqrt(days / 365.0)
    return 0.25 - 0.06 * x + 0.04 * x * x


def american_quotes(dividend_yield: float, half: float):
    """Columns strike, years, right, value of a chain; QuantLib's spectral engine at its high precision settings."""
    today = ql.Date(2, 3, 2026)
    ql.Settings.instance().evaluationDate = today
    day_count = ql.Actual365Fixed()
    spot = ql.QuoteHandle(ql.SimpleQuote(SPOT))
    rates, dividends = (
        ql.YieldTermStructureHandle(ql.FlatForward(today, level, day_count)) for level in (RATE, dividend_yield)
    )
    rows = []
    for days in DAYS:
        for strike in np.arange(70.0, 140.0, 5.0):
            vol = ql.SimpleQuote(smile(strike, days))
            curve = ql.BlackVolTermStructureHandle(
                ql.BlackConstantVol(today, ql.NullCalendar(), ql.QuoteHandle(vol), day_count)
            )
            process = ql.BlackScholesMertonProcess(spot, dividends, rates, curve)
            engine = ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.accurateScheme())
            for right, kind in ((1, ql.Option.Call), (-1, ql.Option.Put)):
                option = ql.VanillaOption(
                    ql.PlainVanillaPayoff(kind, float(strike)), ql.AmericanExercise(today, today + days)
                )
                option.setPricingEngine(engine)
                rows.append((strike, days / 365.0, right, option.NPV()))
    strike, years, right, value = (np.array(column) for column in zip(*rows, strict=True))
    return strike, years, right, value - half, value + half


@pytest.mark.parametrize("dividend_yield", [0.0, 0.02, 0.08])
def test_the_premium_taken_off_leaves_forward_and_smile_unbiased(dividend_yield):
    half = 0.01
    strike, years, right, bid, ask = american_quotes(dividend_yield, half)
    layout = SurfaceChain(strike, years, right, american=True)
    found = {}
    for rounds in (0, 3):
        fitter = SurfaceFitter(layout, RATE, SurfaceSettings(exercise_rounds=rounds))
        report = fitter.fit(bid, ask, SPOT)
        assert all(row.status == SliceStatus.OK for row in report.expiries)
        true = SPOT * np.exp((RATE - dividend_yield) * layout.years)
        forward = np.abs(fitter.parity.forward - true)
        otm = (strike >= SPOT) == (right > 0)
        want = np.array([smile(k, round(365 * t)) for k, t in zip(strike, years, strict=True)])
        got = fitter.surface.vol(strike, years)
        found[rounds] = forward, np.abs(got - want)[otm], fitter
    as_european, vols_biased, _ = found[0]
    forward, vols, fitter = found[3]
    assert as_european.max() > 0.15  # half a year's interest on the exercise of something
    assert forward.max() < 0.01  # of 100, at half-spreads of 0.01
    assert forward.max() < 0.1 * as_european.max()
    assert vols.max() < 0.002
    assert vols.max() < 0.5 * vols_biased.max()
    # The premium is the difference to the European value on the true smile.
    assert (fitter.premium >= 0.0).all()
    assert fitter.premium[(right < 0) & (strike == 135.0)].min() > (0.3 if dividend_yield < 0.05 else 0.0)


def test_a_refit_keeps_the_premium_and_a_given_one_is_not_computed_again():
    strike, years, right, bid, ask = american_quotes(0.02, 0.01)
    layout = SurfaceChain(strike, years, right, american=True)
    fitter = SurfaceFitter(layout, RATE)
    fitter.fit(bid, ask, SPOT)
    premium, nodes = fitter.premium, fitter.surface.nodes
    fitter.refit(bid, ask, SPOT)
    np.testing.assert_array_equal(fitter.premium, premium)
    fitter.renew_premium()
    np.testing.assert_allclose(fitter.premium, premium, atol=0.01)
    assert (fitter.premium != premium).any()
    given = SurfaceFitter(layout, RATE)
    given.set_premium(premium)
    given.fit(bid, ask, SPOT)
    np.testing.assert_array_equal(given.premium, premium)
    np.testing.assert_allclose(given.surface.nodes, nodes, rtol=1e-3, atol=1e-5)


def test_european_chains_have_no_premium():
    strike, years, right, bid, ask = american_quotes(0.02, 0.01)
    fitter = SurfaceFitter(SurfaceChain(strike, years, right), RATE)
    fitter.fit(bid, ask, SPOT)
    assert (fitter.premium == 0.0).all()


def test_a_yield_known_badly_is_drawn_to_those_known_well():
    e = 4
    nothing = np.zeros(e)
    curve = ParityCurve(*(nothing for _ in ParityCurve._fields))._replace(
        years=np.array([0.001, 0.1, 0.5, 1.0]),
        status=np.array([ForwardStatus.PARITY] * 3 + [ForwardStatus.CARRY]),
        dividend_yield=np.array([0.30, 0.011, 0.009, math.nan]),
        dividend_yield_error=np.array([0.25, 0.001, 0.001, math.inf]),
    )
    yields = pooled_yields(curve)
    assert yields[1:3] == pytest.approx([0.011, 0.009], abs=1e-4)
    assert yields[0] == pytest.approx(0.012, abs=0.003)
    assert yields[3] == pytest.approx(0.010, abs=0.003)
    assert (pooled_yields(curve._replace(status=np.full(e, ForwardStatus.CARRY))) == 0.0).all()
