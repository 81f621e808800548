"""The recorded chains: inside the spreads, free of arbitrage, one refit after another."""

import numpy as np
import pytest

from gpu.surface.arbitrage import check_surface
from gpu.surface.calibrate import SliceStatus, SurfaceChain, SurfaceFitter, SurfaceSettings
from tests.gpu.surface.surfaces import GOOG, SPXW, assert_no_arbitrage, recorded_chain

GOOG_RATE, SPXW_RATE = 0.005, 0.0025


def fitted(chain, american, settings=None):
    layout = SurfaceChain(chain.strike, chain.years, chain.right, american)
    fitter = SurfaceFitter(layout, GOOG_RATE if american else SPXW_RATE, settings)
    return fitter, fitter.fit(chain.bid, chain.ask, chain.spot)


@pytest.mark.parametrize(("hour", "minute"), [(9, 32), (10, 30), (12, 0), (12, 55)])
def test_goog_is_met_within_its_spreads_without_arbitrage(market_data, hour, minute):
    chain = recorded_chain(market_data, GOOG, hour, minute)
    fitter, report = fitted(chain, american=True)
    assert report.fitted == 12
    assert report.points > 650
    assert report.median_miss < 0.1  # half-spreads; the requirement is 1
    assert report.inside >= 0.98 * report.points
    plain = sum(row.plain_inside for row in report.expiries)
    assert 0.9 * report.points < plain < report.inside
    # The expiry that ends with the (shortened) day is the only one that the rest may contradict.
    assert all(row.status == SliceStatus.OK for row in report.expiries[1:])
    assert all(row.smoothed < 4 for row in report.expiries[1:])
    assert_no_arbitrage(fitter.surface)
    proof = check_surface(fitter.surface.terms, fitter.surface.expiries)
    assert proof.free, proof.worst()


def test_goog_by_plain_essvi_has_its_median_inside_half_of_the_spread_too(market_data):
    chain = recorded_chain(market_data, GOOG, 10, 30)
    fitter, report = fitted(chain, True, SurfaceSettings(roughness=0.0))
    assert report.median_miss < 0.2
    assert report.inside >= 0.94 * report.points
    assert_no_arbitrage(fitter.surface)


def test_refits_through_a_morning_end_where_cold_fits_do(market_data):
    first = recorded_chain(market_data, GOOG, 10, 0)
    warm, _ = fitted(first, american=True)
    for minute in range(5, 60, 10):
        chain = recorded_chain(market_data, GOOG, 10, minute)
        elapsed = float(first.years[0] - chain.years[0])
        report = warm.refit(chain.bid, chain.ask, chain.spot, elapsed)
        assert report.warm
        layout = SurfaceChain(chain.strike, chain.years, chain.right, american=True)
        cold = SurfaceFitter(layout, GOOG_RATE)
        cold.set_premium(warm.premium)  # the refits keep the morning's; half an hour changes it by less than a cent
        again = cold.fit(chain.bid, chain.ask, chain.spot)
        assert report.points == again.points
        assert report.inside == pytest.approx(again.inside, abs=2)
        points = cold.points
        years = chain.years[points.row]
        warm_price = warm.surface.price(points.strike, years, chain.right[points.row])
        cold_price = cold.surface.price(points.strike, years, chain.right[points.row])
        half = 0.5 * (chain.ask - chain.bid)[points.row] + 0.005
        assert np.max(np.abs(warm_price - cold_price) / half) < 0.02


@pytest.mark.parametrize("name", SPXW)
@pytest.mark.parametrize(("hour", "minute"), [(9, 45), (11, 0), (14, 30), (15, 30)])
def test_spxw_of_two_strikes_is_met_without_arbitrage(market_data, name, hour, minute):
    chain = recorded_chain(market_data, name, hour, minute)
    fitter, report = fitted(chain, american=False)
    live = [row for row in report.expiries if row.years > 0.0 and row.status != SliceStatus.NO_QUOTES]
    assert len(live) == report.fitted >= 3
    assert all(row.status == SliceStatus.FEW_POINTS for row in live)
    assert report.median_miss < 0.5
    # Half an hour before its end one far strike costs a tick that no slice free of butterflies can follow.
    assert report.inside >= report.points - 1
    assert_no_arbitrage(fitter.surface)
