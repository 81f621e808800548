"""The closed form against published and exact values, and what a placed quote must never do."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from market.enums import Side
from market.instruments import TickRule, is_on_tick
from strategies.errors import ParamError
from strategies.params import param_by_name, params_table
from strategies.quoting import (
    QUOTING,
    Quote,
    QuotingParam,
    default_quoting,
    glft_quote,
    glft_terms,
    needs_replace,
    place_quote,
    portfolio_skew,
    series_width,
)

P = QuotingParam
BUY, SELL = int(Side.BUY), int(Side.SELL)
NICKEL = int(TickRule.NICKEL_DIME)


@pytest.fixture
def params():
    return default_quoting()


# --- the closed form ---------------------------------------------------------------------------


def test_glft_at_the_parameters_of_avellaneda_and_stoikov():
    half, c = glft_terms(2.0, 0.1, 140.0, 1.5)
    assert half == pytest.approx(0.6454, abs=5e-5)
    assert c == pytest.approx(0.0517, abs=5e-5)


@pytest.mark.parametrize("gamma", [1e-12, 1e-9, 2e-9, 1e-6, 1e-3, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("k", [0.3, 1.5, 40.0])
def test_glft_against_fifty_digits(gamma, k):
    with mpmath.workdps(50):
        g, kk = mpmath.mpf(gamma), mpmath.mpf(k)
        half = mpmath.log(1 + g / kk) / g
        c = mpmath.sqrt(4 * g / (2 * kk * 140) * (1 + g / kk) ** (1 + kk / g))
    assert glft_terms(2.0, gamma, 140.0, k) == pytest.approx((float(half), float(c)), rel=2e-9)


def test_no_risk_aversion_is_the_risk_neutral_spread_without_skew():
    assert glft_terms(2.0, 0.0, 140.0, 2.0) == (0.5, 0.0)


@pytest.mark.parametrize(
    "bad", [(math.nan, 0.1, 1.0, 1.0), (1.0, -0.1, 1.0, 1.0), (1.0, 0.1, 0.0, 1.0), (1.0, 0.1, 1.0, 0.0)]
)
def test_glft_of_what_is_no_model_is_nan(bad):
    assert all(math.isnan(x) for x in glft_terms(*bad))


def test_glft_earns_what_simulation_of_the_same_model_says():
    """s=100, T=1, sigma=2, A=140, k=1.5, gamma=0.1, linear fills: profit 67.7, its sd 7.2, sd of inventory 2.2."""
    rng = np.random.default_rng(7)
    half, c = glft_terms(2.0, 0.1, 140.0, 1.5)
    paths, dt = 20_000, 0.005
    price, cash, stock = np.full(paths, 100.0), np.zeros(paths), np.zeros(paths)
    for _ in range(200):
        bid, ask = half + c * (stock + 0.5), half - c * (stock - 0.5)
        bought = rng.random(paths) < 140.0 * np.exp(-1.5 * bid) * dt
        sold = rng.random(paths) < 140.0 * np.exp(-1.5 * ask) * dt
        cash += sold * (price + ask) - bought * (price - bid)
        stock += bought * 1.0 - sold * 1.0
        price += 2.0 * math.sqrt(dt) * rng.choice([-1.0, 1.0], paths)
    profit = cash + stock * price
    assert profit.mean() == pytest.approx(67.72, abs=0.25)
    assert profit.std() == pytest.approx(7.16, rel=0.04)
    assert stock.std() == pytest.approx(2.20, rel=0.04)


# --- width and skew of a series ------------------------------------------------------------------


def _width(params, **changes):
    inputs = {
        "theo": 5.0, "delta": 0.5, "vega": 12.0, "vol": 0.3, "spot": 100.0, "multiplier": 100.0, "step_price": 0.05,
        "market_half_spread": 0.0,
    } | changes  # fmt: skip
    return series_width(params, *inputs.values())


@pytest.mark.parametrize(
    ("inputs", "scale"),
    [
        ({"vega": 0.0, "delta": 0.0}, 0.05),  # the tick
        ({"vega": 80.0}, 0.24),  # 0.3 points of volatility
        ({"vega": 0.0, "delta": -1.0, "spot": 750.0}, 0.15),  # 2 bp of spot
        ({"market_half_spread": 1.0}, 0.5),  # half of the market's
    ],
)
def test_half_spread_is_about_one_price_scale_over_k(params, inputs, scale):
    params[P.GAMMA] = 1e-9
    half, _ = _width(params, **inputs)
    assert half == pytest.approx(scale, rel=1e-3)
    params[P.K] = 2.0
    assert _width(params, **inputs)[0] == pytest.approx(scale / 2, rel=1e-3)


def test_width_and_skew_of_one_series_worked_by_hand(params):
    half, skew = _width(params)
    sigma = math.sqrt(((0.8 * 12) ** 2 + (0.1 * 0.5 * 100 * 0.3) ** 2) / (365 * 86_400))
    terms = glft_terms(sigma, 1e-4 * 5 * 100, 0.05, 1.0 / 0.05)
    assert (half, skew) == pytest.approx((terms[0] + terms[1] / 2, terms[1]))


def test_more_risk_aversion_skews_more(params):
    skews = []
    for gamma in (1e-6, 1e-5, 1e-4):
        params[P.GAMMA] = gamma
        skews.append(_width(params)[1])
    assert skews == sorted(skews)
    assert skews[2] > 9 * skews[0]


@pytest.mark.parametrize("name", ["theo", "delta", "vega", "vol", "spot", "market_half_spread", "multiplier"])
def test_input_that_is_not_a_number_gives_no_quote(params, name):
    half, skew = _width(params, **{name: math.nan})
    bid, ask = glft_quote(params, 5.0, 0.5, 12.0, half, skew, 0, 0.0, 0.0)
    assert place_quote(params, bid, ask, 5.0, 0.01, NICKEL, 0, 0, 0) == Quote(0, 0, 0, 0)


def test_portfolio_skew_is_linear_to_its_capacity_and_flat_beyond(params):
    assert portfolio_skew(params, 100.0, 0.0, 0.0) == (0.0, 0.0)
    half_way = portfolio_skew(params, 100.0, 2_500.0, -500_000.0)
    assert half_way == pytest.approx((-0.01, 0.0015))
    assert portfolio_skew(params, 100.0, 1e9, -1e12) == pytest.approx((-0.02, 0.003))


def test_long_delta_lowers_calls_and_raises_puts_and_long_vega_lowers_both(params):
    for delta, way in ((0.5, -1), (-0.5, 1)):
        spot_shift, _ = portfolio_skew(params, 100.0, 5_000.0, 0.0)
        bid, ask = glft_quote(params, 5.0, delta, 12.0, 0.05, 0.001, 0, spot_shift, 0.0)
        assert (bid + ask) / 2 - 5.0 == pytest.approx(way * 0.01)
        _, vol_shift = portfolio_skew(params, 100.0, 0.0, 1e6)
        bid, ask = glft_quote(params, 5.0, delta, 12.0, 0.05, 0.001, 0, 0.0, vol_shift)
        assert (bid + ask) / 2 - 5.0 == pytest.approx(-0.036)


def test_own_inventory_shifts_by_lots_and_at_most_by_the_half_spread(params):
    bid, ask = glft_quote(params, 5.0, 0.5, 12.0, 0.05, 0.002, 10, 0.0, 0.0)  # two lots long
    assert (bid, ask) == pytest.approx((4.946, 5.046))
    bid, ask = glft_quote(params, 5.0, 0.5, 12.0, 0.05, 0.002, 10_000, 0.0, 0.0)
    assert (bid, ask) == pytest.approx((4.90, 5.00))
    bid, ask = glft_quote(params, 5.0, 0.5, 12.0, 0.05, 0.002, -10_000, 0.0, 0.0)
    assert (bid, ask) == pytest.approx((5.00, 5.10))


# --- placing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bid", "ask", "theo", "rule", "expected"),
    [
        (4.93, 5.07, 5.0, TickRule.UNIT, (493, 507)),
        (4.93, 5.07, 5.0, TickRule.NICKEL_DIME, (490, 510)),
        (2.93, 2.97, 2.95, TickRule.NICKEL_DIME, (290, 300)),
        (2.97, 3.03, 3.0, TickRule.NICKEL_DIME, (295, 310)),
        (2.97, 3.03, 3.0, TickRule.PENNY_NICKEL, (297, 305)),
        (5.05, 5.15, 5.1, TickRule.NICKEL, (505, 515)),  # 5.05 / 0.01 is 504.99999999999994
        (0.04, 0.12, 0.08, TickRule.NICKEL, (0, 15)),
        (-0.3, 0.02, 0.01, TickRule.NICKEL, (0, 5)),
    ],
)
def test_prices_round_outward_to_the_tick_table(params, bid, ask, theo, rule, expected):
    quote = place_quote(params, bid, ask, theo, 0.01, int(rule), 0, 0, 0)
    assert quote[:2] == expected
    assert (quote.bid_qty, quote.ask_qty) == (5 if expected[0] else 0, 5)


@pytest.mark.parametrize(
    ("market_bid", "market_ask", "expected"),
    [
        (0, 0, (490, 510)),
        (480, 490, (480, 510)),
        (480, 500, (490, 510)),
        (510, 520, (490, 520)),
        (300, 300, (295, 510)),
    ],
)
def test_quote_never_meets_the_market(params, market_bid, market_ask, expected):
    assert place_quote(params, 4.93, 5.07, 5.0, 0.01, NICKEL, market_bid, market_ask, 0)[:2] == expected


def test_quote_keeps_the_minimal_edge(params):
    params[P.MIN_EDGE_TICKS], params[P.MIN_EDGE_BP] = 3, 0
    assert place_quote(params, 5.0, 5.0, 5.0, 0.01, 0, 0, 0, 0)[:2] == (497, 503)
    params[P.MIN_EDGE_BP] = 100
    assert place_quote(params, 5.0, 5.0, 5.0, 0.01, 0, 0, 0, 0)[:2] == (495, 505)
    params[P.MIN_EDGE_TICKS] = params[P.MIN_EDGE_BP] = 0
    assert place_quote(params, 5.0, 5.0, 5.0, 0.01, 0, 0, 0, 0)[:2] == (500, 501)


@pytest.mark.parametrize(
    ("position", "sizes"),
    [(0, (5, 5)), (96, (4, 5)), (99, (1, 5)), (100, (0, 5)), (101, (0, 5)), (-97, (5, 3)), (-100, (5, 0))],
)
def test_size_shrinks_towards_the_largest_position(params, position, sizes):
    quote = place_quote(params, 4.9, 5.1, 5.0, 0.01, 0, 0, 0, position)
    assert (quote.bid_qty, quote.ask_qty) == sizes


@pytest.mark.parametrize(
    ("bid", "ask", "theo"),
    [(math.nan, 5.1, 5.0), (4.9, math.nan, 5.0), (4.9, 5.1, math.nan), (5.2, 5.1, 5.0), (4.9, math.inf, 5.0)],
)
def test_prices_that_are_none_place_nothing(params, bid, ask, theo):
    assert place_quote(params, bid, ask, theo, 0.01, 0, 0, 0, 0) == Quote(0, 0, 0, 0)


@settings(max_examples=400)
@given(
    theo=st.floats(0.0, 500.0),
    half=st.floats(0.0, 20.0),
    shift=st.floats(-5.0, 5.0),
    rule=st.sampled_from(list(TickRule)),
    market_bid=st.integers(0, 50_000),
    width=st.integers(0, 500),
    position=st.integers(-300, 300),
)
def test_any_quote_is_valid_outside_its_target_and_short_of_the_market(
    theo, half, shift, rule, market_bid, width, position
):
    params = default_quoting()
    bid, ask = theo + shift - half, theo + shift + half
    assume(ask < 1e6)
    market_ask = market_bid + width if width else 0
    quote = place_quote(params, bid, ask, theo, 0.01, int(rule), market_bid, market_ask, position)
    assert 0 <= quote.bid_qty <= 5
    assert 0 <= quote.ask_qty <= 5
    if quote.bid_qty:
        assert quote.bid_ticks >= 1
        assert is_on_tick(int(rule), quote.bid_ticks)
        assert quote.bid_ticks * 0.01 <= min(bid, theo - 0.01) + 1e-7
        assert market_ask == 0 or quote.bid_ticks < market_ask
    if quote.ask_qty:
        assert is_on_tick(int(rule), quote.ask_ticks)
        assert quote.ask_ticks * 0.01 >= max(ask, theo + 0.01) - 1e-7
        assert quote.ask_ticks > market_bid
    assert quote.bid_ticks < quote.ask_ticks


# --- hysteresis -------------------------------------------------------------------------------


def _moves(params, side, working, target, *, theo=500.0, desired=None, working_qty=5, desired_qty=5):
    if desired is None:
        desired = math.floor(target) if side == BUY else math.ceil(target)
    return bool(needs_replace(params, side, working, working_qty, desired, desired_qty, target, theo, 0))


@pytest.mark.parametrize("side", [BUY, SELL])
def test_quote_moves_sooner_when_it_gives_edge_away_than_when_it_stands_back(params, side):
    way = 1 if side == BUY else -1
    params[P.REPLACE_SHARE] = 0
    at = 500 - 20 * way
    for behind, moves in ((2.0, False), (2.1, True), (-0.5, False), (-0.6, True)):
        assert _moves(params, side, at, at + way * behind, theo=500.0 + way) is moves


@pytest.mark.parametrize(("share", "band"), [(0.25, 5), (0.5, 10)])
def test_bands_widen_with_the_distance_from_theo(params, share, band):
    params[P.REPLACE_SHARE] = share  # the target is 20 from theo
    for behind in (band, -band):
        assert not _moves(params, BUY, 480 - behind, 480.0)
        assert _moves(params, BUY, 480 - behind - int(math.copysign(1, behind)), 480.0)


def test_quote_at_the_desired_price_stays(params):
    assert not _moves(params, BUY, 480, 495.0, desired=480)  # held back by the market: nothing better to do


def test_quote_inside_the_minimal_edge_moves_however_little_it_is(params):
    params[P.REPLACE_SHARE] = 1.0
    assert _moves(params, BUY, 500, 499.4, theo=500.5)
    assert _moves(params, SELL, 501, 501.6, theo=500.5)
    assert not _moves(params, BUY, 499, 498.6, theo=500.5)


def test_sizes_shrink_at_once_and_refill_late(params):
    assert _moves(params, BUY, 480, 480.0, working_qty=6)
    assert not _moves(params, BUY, 480, 480.0, working_qty=3)
    assert _moves(params, BUY, 480, 480.0, working_qty=2)
    assert _moves(params, BUY, 480, 480.0, desired_qty=0)


# --- parameters -------------------------------------------------------------------------------


def test_every_parameter_has_a_spec_with_its_default_in_range():
    words = default_quoting()
    assert set(QUOTING) == set(QuotingParam)
    for param, spec in QUOTING.items():
        assert spec.check(param.name, spec.default) == words[param]
        assert f"`{param.name.lower()}`" in params_table(QUOTING)


def test_parameter_errors_name_value_bound_and_nearest_name():
    assert param_by_name(QuotingParam, "vol-width") is P.VOL_WIDTH
    with pytest.raises(ParamError, match="did you mean vol_width"):
        param_by_name(QuotingParam, "vol_widht")
    with pytest.raises(ParamError, match=r"lot must be 1\.\.100000 contracts, was 0"):
        QUOTING[P.LOT].check("lot", 0)
