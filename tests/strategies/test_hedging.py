"""The no-trade band and the order that leads back into it."""

import math

import pytest

from market.enums import Side
from strategies.hedging import HEDGING, HedgeOrder, HedgingParam, default_hedging, hedge_band, hedge_order

P = HedgingParam
BID, ASK = 9_995, 10_005
NOTHING = HedgeOrder(0, 0, 0)


@pytest.fixture
def params():
    return default_hedging()


def _order(params, delta, *, inflight=0.0, band=200.0, bid=BID, ask=ASK, max_qty=100_000):
    return hedge_order(params, delta, inflight, band, bid, ask, 0, max_qty)


def test_band_is_whalley_and_wilmotts(params):
    params[P.FEE_BP] = 1.0
    expected = (1.5 * (0.05 + 0.01) * 200.0**2 / 1e-4) ** (1 / 3)  # 330 shares
    assert hedge_band(params, 100.0, 200.0, 0.05) == pytest.approx(expected)
    assert hedge_band(params, 100.0, -200.0, 0.05) == pytest.approx(expected)


def test_band_grows_with_cost_and_gamma_and_shrinks_with_aversion(params):
    base = hedge_band(params, 100.0, 200.0, 0.05)
    assert hedge_band(params, 100.0, 200.0, 0.10) > base
    assert hedge_band(params, 100.0, 1_600.0, 0.05) == pytest.approx(4 * base)
    params[P.RISK_AVERSION] *= 8
    assert hedge_band(params, 100.0, 200.0, 0.05) == pytest.approx(base / 2)


@pytest.mark.parametrize(("gamma", "expected"), [(0.0, 100.0), (1e9, 5_000.0), (math.nan, 100.0), (math.inf, 100.0)])
def test_band_stays_between_its_bounds_and_is_narrow_when_gamma_is_unknown(params, gamma, expected):
    assert hedge_band(params, 100.0, gamma, 0.05) == expected


def test_band_is_narrow_when_costs_are_unknown(params):
    assert hedge_band(params, 100.0, 200.0, math.nan) == 100.0


@pytest.mark.parametrize("delta", [0.0, 199.0, 200.0, -200.0])
def test_nothing_is_traded_inside_the_band(params, delta):
    assert _order(params, delta) == NOTHING


@pytest.mark.parametrize(
    ("delta", "target_share", "expected"),
    [
        (201.0, 0.5, HedgeOrder(int(Side.SELL), 101, BID - 2)),
        (-201.0, 0.5, HedgeOrder(int(Side.BUY), 101, ASK + 2)),
        (1_000.0, 1.0, HedgeOrder(int(Side.SELL), 800, BID - 2)),
        (1_000.0, 0.0, HedgeOrder(int(Side.SELL), 1_000, BID - 2)),
        (-1_000.9, 0.0, HedgeOrder(int(Side.BUY), 1_000, ASK + 2)),
    ],
)
def test_outside_the_band_delta_is_traded_back_to_the_target(params, delta, target_share, expected):
    params[P.TARGET_SHARE] = target_share
    assert _order(params, delta) == expected


def test_hedges_in_flight_count_as_done(params):
    assert _order(params, 1_000.0, inflight=-900.0) == NOTHING
    assert _order(params, 1_000.0, inflight=-500.0).qty == 400


@pytest.mark.parametrize(("max_qty", "qty"), [(50, 50), (0, 0), (-5, 0), (100_000, 5_000)])
def test_quantity_is_bounded_by_risk_and_by_one_order(params, max_qty, qty):
    assert _order(params, -20_000.0, max_qty=max_qty).qty == qty


def test_quantity_is_whole_lots(params):
    params[P.LOT] = 100
    assert _order(params, 555.0).qty == 400
    assert _order(params, 201.0).qty == 100
    params[P.TARGET_SHARE] = 1.0
    assert _order(params, 250.0) == NOTHING


@pytest.mark.parametrize(("delta", "bid", "ask"), [(1_000.0, 0, ASK), (-1_000.0, BID, 0)])
def test_no_order_without_the_side_it_would_trade_with(params, delta, bid, ask):
    assert _order(params, delta, bid=bid, ask=ask) == NOTHING


@pytest.mark.parametrize("delta", [math.nan, math.inf, -math.inf])
def test_no_order_for_a_delta_that_is_none(params, delta):
    assert _order(params, delta) == NOTHING


def test_every_parameter_has_a_spec_with_its_default_in_range():
    words = default_hedging()
    assert set(HEDGING) == set(HedgingParam)
    for param, spec in HEDGING.items():
        assert spec.check(param.name, spec.default) == words[param]
