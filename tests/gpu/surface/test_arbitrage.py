"""The prover finds every kind of arbitrage where it is, and none where there is none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.chainfile import load_chain
from gpu.errors import GpuError
from gpu.european.greeks import black_price
from gpu.surface.arbitrage import ExpiryQuotes, QuoteFault, check_quotes, check_surface, lower_hull

VOGT = (-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)


def flat(k, years):
    zero = np.zeros_like(k)
    return 0.04 * years + zero, zero, zero, 0.04 + zero


def svi(a, b, rho, m, sigma, k):
    root = np.sqrt((k - m) ** 2 + sigma**2)
    return a + b * (rho * (k - m) + root), b * (rho + (k - m) / root), b * sigma**2 / root**3


def growing(*raw):
    """An SVI at one year whose variance is proportional to time."""

    def terms(k, years):
        w, w1, w2 = svi(*raw, k)
        return years * w, years * w1, years * w2, w

    return terms


def test_flat_variance_is_free_with_the_margins_of_a_flat_smile():
    report = check_surface(flat, [0.01, 0.5, 2.0])
    assert report.free
    assert report.worst() == ""
    assert report.butterfly.margin == 1.0
    assert report.wings.margin == 2.0
    assert report.rows == 3 + 2 * 3 + 3
    assert report.points == report.rows * 401
    assert report.positive.margin == pytest.approx(0.04 * 0.0025)


def test_vogts_slice_is_caught_by_the_density_and_by_the_prices():
    report = check_surface(growing(*VOGT), [1.0], extend=False)
    assert not report.free
    assert not report.butterfly_free
    assert report.calendar_free
    assert "butterfly" in report.worst()
    # the published plot has its minimum of g near k = 0.9, about -0.04
    assert report.butterfly.k == pytest.approx(0.9, abs=0.1)
    assert report.butterfly.margin == pytest.approx(-0.04, abs=0.015)
    assert report.convexity.margin < -1e-6
    assert report.convexity.k == pytest.approx(0.9, abs=0.4)


def test_wrong_derivatives_do_not_hide_a_negative_density():
    def lying(k, years):
        w, w1, w2, wt = growing(*VOGT)(k, years)
        return w, w1, w2 + 1.0, wt

    report = check_surface(lying, [1.0], extend=False)
    assert report.butterfly.margin > 0.0
    assert report.convexity.margin < -1e-6
    assert not report.free


def test_prices_show_a_density_that_the_derivatives_deny_and_the_other_way_round():
    def too_curved(k, years):
        w, w1, w2, wt = flat(k, years)
        return w, w1, w2 - 3.0, wt

    report = check_surface(too_curved, [1.0])
    assert report.butterfly.margin == pytest.approx(-0.5)
    assert report.convexity.margin >= 0.0
    assert not report.butterfly_free


@pytest.mark.parametrize("bump_at", [0.5, 0.75])
def test_a_calendar_arbitrage_at_or_between_expiries_is_found(bump_at):
    """Variance rises, falls in one short stretch of time near k = 0.1, and rises again."""

    def terms(k, years):
        hill = 0.01 * np.exp(-(((years - bump_at) / 0.08) ** 2) - ((k - 0.1) / 0.3) ** 2)
        w, w1, w2, wt = flat(k, years)
        slope = -2.0 * (k - 0.1) / 0.09
        return (w + hill, w1 + hill * slope, w2 + hill * (slope**2 - 2.0 / 0.09),
                wt - 2.0 * (years - bump_at) / 0.0064 * hill)  # fmt: skip

    report = check_surface(terms, [0.5, 1.0], between=9)
    assert not report.calendar_free
    assert report.calendar.k == pytest.approx(0.1, abs=0.02)
    assert bump_at < report.calendar.years < bump_at + 0.16

    def silent(k, years):  # the same without its derivative in time: rows against rows find it
        w, w1, w2, _ = terms(k, years)
        return w, w1, w2, np.ones_like(k)

    assert not check_surface(silent, [0.5, 1.0], between=9).calendar_free


def test_two_slices_that_cross_far_from_the_money_are_found():
    def terms(k, years):
        steep, plain = svi(0.02, 0.2, -0.6, 0.0, 0.1, k), svi(0.06, 0.1, -0.3, 0.0, 0.1, k)
        chosen = [np.where(years < 0.75, a, b) for a, b in zip(steep, plain, strict=True)]
        return chosen[0], chosen[1], chosen[2], np.zeros_like(k)

    report = check_surface(terms, [0.5, 1.0], extend=False)
    assert not report.calendar_free
    assert report.butterfly_free
    assert report.calendar.k < -0.2


def test_wings_over_lees_slope_are_found():
    report = check_surface(growing(0.04, 1.3, 0.6, 0.0, 0.4), [1.0], extend=False)
    assert report.wings.margin == pytest.approx(2.0 - 1.3 * 1.6, abs=0.01)
    assert report.wings.k > 0.0
    assert "wings" in report.worst()


@pytest.mark.parametrize("broken", [math.nan, -0.01, 0.0])
def test_one_point_without_a_variance_is_not_free(broken):
    def terms(k, years):
        w, w1, w2, wt = flat(k, years)
        w[np.argmin(np.abs(k - 0.3))] = broken
        return w, w1, w2, wt

    report = check_surface(terms, [1.0], extend=False)
    assert not report.free
    assert report.positive.k == pytest.approx(0.3, abs=0.05)


@given(
    st.floats(0.01, 0.3), st.floats(-0.95, 0.95), st.floats(0.05, 1.0), st.floats(0.001, 3.0),
)  # fmt: skip
def test_ssvi_inside_its_proven_bounds_is_free(theta, rho, share, years):
    """Gatheral and Jacquier: theta phi (1 + |rho|) <= 4 and theta phi^2 (1 + |rho|) <= 4 suffice."""
    phi = share * min(4.0 / (theta * (1.0 + abs(rho))), math.sqrt(4.0 / (theta * (1.0 + abs(rho)))))
    a, b = 0.5 * theta * (1.0 - rho * rho), 0.5 * theta * phi
    m, sigma = -rho / phi, math.sqrt(1.0 - rho * rho) / phi

    def terms(k, t):
        w, w1, w2 = svi(a, b, rho, m, sigma, k)
        return w, w1, w2, np.zeros_like(k)

    report = check_surface(terms, [years], extend=False, points=201)
    assert report.free, report.worst()


@pytest.mark.parametrize("expiries", [[], [0.0], [-1.0, 1.0], [1.0, 0.5], [1.0, 1.0], [math.nan]])
def test_expiries_that_make_no_sense_are_refused(expiries):
    with pytest.raises(GpuError, match="expiries must be positive"):
        check_surface(flat, expiries)
    with pytest.raises(GpuError, match="points must be at least 9"):
        check_surface(flat, [1.0], points=5)


# --- raw quotes


def chain(years=0.5, vol=0.25, half=0.05, strikes=None, forward=100.0, discount=0.98):
    strikes = np.arange(80.0, 121.0, 5.0) if strikes is None else np.asarray(strikes, float)
    deviation = vol * math.sqrt(years)
    call, put = (
        np.array([discount * black_price(forward, float(k), deviation, right) for k in strikes]) for right in (1, -1)
    )
    return ExpiryQuotes(years, strikes, call - half, call + half, put - half, put + half, discount, forward)


def faults(violations):
    return {(v.fault, v.right, v.strike) for v in violations}


@pytest.mark.parametrize("half", [0.0, 0.01, 0.5])
def test_quotes_around_a_model_have_no_arbitrage(half):
    assert check_quotes([chain(0.25, half=half), chain(0.5, half=half), chain(1.0, half=half)]) == []
    assert check_quotes([chain(0.25, half=half), chain(0.5, half=half)], american=True) == []


def test_crossed_quote():
    quotes = chain()
    quotes.call_bid[4], quotes.call_ask[4] = quotes.call_ask[4], quotes.call_bid[4]
    found = [v for v in check_quotes([quotes]) if v.fault == QuoteFault.CROSSED]
    assert [(v.strike, v.right) for v in found] == [(100.0, 1)]
    assert found[0].amount == pytest.approx(0.1)


def test_a_higher_call_bid_over_a_lower_calls_ask():
    quotes = chain()
    quotes.call_bid[6] = quotes.call_ask[5] + 0.20
    quotes.call_ask[6] = quotes.call_bid[6] + 0.10
    found = [v for v in check_quotes([quotes]) if v.fault == QuoteFault.MONOTONE]
    assert [(v.strike, v.right, round(v.amount, 9)) for v in found] == [(110.0, 1, 0.2)]


def test_a_higher_put_asked_under_a_lower_puts_bid():
    quotes = chain()
    quotes.put_bid[2] = quotes.put_ask[3] + 0.15
    quotes.put_ask[2] = quotes.put_bid[2] + 0.10
    found = [v for v in check_quotes([quotes]) if v.fault == QuoteFault.MONOTONE]
    assert [(v.strike, v.right, round(v.amount, 9)) for v in found] == [(90.0, -1, 0.15)]


@pytest.mark.parametrize("american", [False, True])
def test_a_vertical_sold_for_more_than_it_can_pay(american):
    quotes = chain(strikes=[90.0, 95.0])
    bound = 1.0 if american else 0.98
    quotes.call_bid[0] = quotes.call_ask[1] + 5.0 * bound + 0.3
    quotes.call_ask[0] = quotes.call_bid[0] + 0.1
    found = [v for v in check_quotes([quotes], american=american) if v.fault == QuoteFault.VERTICAL]
    assert [(v.strike, v.right) for v in found] == [(90.0, 1)]
    assert found[0].amount == pytest.approx(0.3)
    quotes = chain(strikes=[90.0, 95.0])
    quotes.put_bid[1] = quotes.put_ask[0] + 5.0 * bound + 0.2
    quotes.put_ask[1] = quotes.put_bid[1] + 0.1
    found = [v for v in check_quotes([quotes], american=american) if v.fault == QuoteFault.VERTICAL]
    assert [(v.strike, v.right) for v in found] == [(95.0, -1)]
    assert found[0].amount == pytest.approx(0.2)


@pytest.mark.parametrize("right", [1, -1])
def test_a_butterfly_with_unequal_wings(right):
    """95 - 100 - 120: the chord of the wings' asks at 100 is 0.8 of the one and 0.2 of the other."""
    quotes = chain(strikes=[95.0, 100.0, 120.0], half=0.02)
    bid, ask = (quotes.call_bid, quotes.call_ask) if right > 0 else (quotes.put_bid, quotes.put_ask)
    bid[1] = 0.8 * ask[0] + 0.2 * ask[2] + 0.07
    ask[1] = bid[1] + 0.05
    found = [v for v in check_quotes([quotes], american=True) if v.fault == QuoteFault.BUTTERFLY]
    assert [(v.strike, v.right) for v in found] == [(100.0, right)]
    assert found[0].amount == pytest.approx(0.07)


def test_two_strikes_that_disagree_on_the_forward():
    quotes = chain(strikes=[95.0, 105.0])
    for side in (quotes.put_bid, quotes.put_ask):
        side[1] -= 1.0
    amounts = {v.strike: v.amount for v in check_quotes([quotes]) if v.fault == QuoteFault.BOX}
    assert amounts == {105.0: pytest.approx(1.0 - 4 * 0.05)}
    assert all(v.fault != QuoteFault.BOX for v in check_quotes([quotes], american=True))


@pytest.mark.parametrize("american", [False, True])
def test_an_earlier_expiry_bid_over_a_later_one(american):
    early, late = chain(0.5, vol=0.4), chain(0.6, vol=0.2)
    found = check_quotes([late, early], american=american)
    assert {v.fault for v in found} == {QuoteFault.CALENDAR}
    assert found[0].years == 0.6
    money = next(v for v in found if v.strike == 100.0 and v.right == 1)
    assert money.amount == pytest.approx(early.call_bid[4] - late.call_ask[4], rel=1e-9)
    amounts = [v.amount for v in found]
    assert amounts == sorted(amounts, reverse=True)


def test_european_calendars_compare_at_one_moneyness_and_need_a_forward():
    """Late forward twice the early one, same vol: strikes compare at k / F, so there is no arbitrage."""
    early = chain(0.5, strikes=np.arange(80.0, 121.0, 2.5))
    late = chain(1.0, strikes=np.arange(160.0, 241.0, 5.0), forward=200.0, discount=0.9)
    assert check_quotes([early, late]) == []
    blind = ExpiryQuotes(1.0, late.strike, late.call_bid, 0.1 * late.call_ask, late.put_bid, 0.1 * late.put_ask, 0.9)
    assert all(v.fault != QuoteFault.CALENDAR for v in check_quotes([early, blind]))


@pytest.mark.parametrize("nothing", [math.nan, 0.0, -1.0])
def test_missing_sides_bind_nothing(nothing):
    quotes = chain()
    for side in (quotes.call_bid, quotes.call_ask, quotes.put_bid, quotes.put_ask):
        side[::2] = nothing
    quotes.put_ask[:] = nothing
    assert check_quotes([quotes]) == []
    assert check_quotes([chain(strikes=[])]) == []
    assert check_quotes([]) == []


def test_the_hull_is_the_largest_convex_function_below():
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    y = np.array([math.inf, 4.0, 3.0, 1.0, 3.0, math.inf])
    np.testing.assert_allclose(lower_hull(x, y), [math.inf, 4.0, 2.5, 1.0, 3.0, math.inf])


@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 10.0)), min_size=3, max_size=12))
def test_a_hull_is_convex_and_below(points):
    x = np.arange(float(len(points)))
    y = np.array([p[0] for p in points])
    hull = lower_hull(x, y)
    assert (hull <= y + 1e-12).all()
    assert (np.diff(hull, 2) >= -1e-9).all()
    assert (np.isclose(hull, y)).sum() >= 2


def test_recorded_spxw_quotes_have_nothing_to_give_away(market_data):
    path = market_data / "spxw_20210104_quote_minute_european.zip"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {market_data}")
    snapshot = load_chain(path)
    expiries = []
    for expiry in snapshot.expiries:
        rows = snapshot.expiry_ns == expiry
        call, put = rows & (snapshot.right > 0), rows & (snapshot.right < 0)
        assert (snapshot.strike[call] == snapshot.strike[put]).all()
        sides = (snapshot.bid[call], snapshot.ask[call], snapshot.bid[put], snapshot.ask[put])
        expiries.append(ExpiryQuotes(float(snapshot.years[call][0]), snapshot.strike[call], *sides))
    assert len(expiries) == 3
    assert [v for v in check_quotes(expiries) if v.fault != QuoteFault.BOX] == []
    # and a quarter that is really there is found: the lower call asked under the higher one's bid
    expiries[2].call_ask[0] = expiries[2].call_bid[1] - 0.25
    found = [v for v in check_quotes(expiries) if v.fault == QuoteFault.MONOTONE]
    assert [round(v.amount, 9) for v in found] == [0.25]
