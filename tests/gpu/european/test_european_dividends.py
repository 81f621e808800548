"""Cash dividends: the piecewise lognormal reference against independent quadrature, the closed forms against it."""

import math

import numpy as np
import pytest
import QuantLib as ql
from scipy import integrate

from gpu.european.dividends import dividend_greeks_batch, escrowed_greeks, split_greeks
from gpu.european.greeks import Greek, spot_greeks
from gpu.european.piecewise import piecewise_greeks, piecewise_value
from gpu.status import PriceStatus

NONE = np.empty(0)


def schedule(*pairs):
    return np.array([t for t, _ in pairs]), np.array([d for _, d in pairs])


def black_scholes(s, k, t, r, q, v, w):
    """Textbook formula with libm's erfc, apart from the code under test."""
    if s <= 1e-11 * k:
        return max(-w * k * math.exp(-r * t), 0.0)
    dev = v * math.sqrt(t)
    d1 = (math.log(s / k) + (r - q) * t) / dev + 0.5 * dev
    cdf = lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0))  # noqa: E731
    return w * (s * math.exp(-q * t) * cdf(w * d1) - k * math.exp(-r * t) * cdf(w * (d1 - dev)))


def nested(s, k, t, r, q, v, w, dividends, tolerance):
    """Piecewise lognormal value by adaptive quadrature, one nested integral per dividend."""
    if not dividends:
        return black_scholes(s, k, t, r, q, v, w)
    (date, paid), rest = dividends[0], [(x - dividends[0][0], d) for x, d in dividends[1:]]
    dev, centre = v * math.sqrt(date), (r - q - 0.5 * v * v) * date

    def integrand(z):
        left = max(s * math.exp(centre + dev * z) - paid, 1e-12 * s)
        return nested(left, k, t - date, r, q, v, w, rest, tolerance) * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

    kink = min(max((math.log((k + sum(d for _, d in dividends)) / s) - centre) / dev, -8.5), 8.5)
    value, _ = integrate.quad(integrand, -9.0, 9.0, points=[kink], limit=200, epsabs=tolerance, epsrel=tolerance)
    return math.exp(-r * date) * value


MARKET = (100.0, 100.0, 1.0, 0.06, 0.0, 0.3)


@pytest.mark.parametrize("right", [1, -1])
@pytest.mark.parametrize(
    ("market", "date", "paid"),
    [
        (MARKET, 0.5, 7.0), (MARKET, 1e-4, 7.0), (MARKET, 0.99, 7.0), (MARKET, 0.998, 3.0),
        ((100.0, 70.0, 1.0, 0.06, 0.0, 0.3), 0.5, 50.0), ((100.0, 130.0, 3.0, 0.01, 0.04, 0.2), 2.5, 2.0),
        ((100.0, 100.0, 0.02, 0.0, 0.0, 0.1), 0.01, 0.5), ((10.0, 14.0, 2.0, -0.02, 0.01, 0.9), 1.0, 9.0),
    ],
)  # fmt: skip
def test_one_dividend_is_the_integral_to_ten_digits_of_the_spot(market, date, paid, right):
    price, _, _, _, status = piecewise_value(*market, right, *schedule((date, paid)))
    assert status == PriceStatus.OK
    assert price == pytest.approx(nested(*market, right, [(date, paid)], 1e-13), abs=1e-10 * market[0])


@pytest.mark.parametrize("dividends", [[(0.2, 2.0), (0.7, 3.0)], [(0.5, 5.0), (0.55, 5.0)]])
def test_two_dividends_are_the_nested_integral(dividends):
    price = piecewise_value(*MARKET, 1, *schedule(*dividends))[0]
    assert price == pytest.approx(nested(*MARKET, 1, dividends, 1e-9), abs=2e-7)


def test_quantlib_finite_differences_agree_on_four_dividends():
    today = ql.Date(2, 1, 2024)
    ql.Settings.instance().evaluationDate = today
    days, paid = [50, 140, 230, 320], [1.0, 1.2, 1.0, 1.5]
    flat = lambda x: ql.YieldTermStructureHandle(ql.FlatForward(today, x, ql.Actual365Fixed()))  # noqa: E731
    vol = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), 0.25, ql.Actual365Fixed()))
    spot = ql.QuoteHandle(ql.SimpleQuote(100.0))
    process = ql.BlackScholesMertonProcess(spot, flat(0.01), flat(0.05), vol)
    cash = ql.DividendVector([today + n for n in days], paid)
    option = ql.VanillaOption(ql.PlainVanillaPayoff(ql.Option.Call, 105.0), ql.EuropeanExercise(today + 365))
    option.setPricingEngine(ql.FdBlackScholesVanillaEngine(process, cash, 800, 800))
    dates = np.array(days) / 365.0
    ours = piecewise_greeks(100.0, 105.0, 1.0, 0.05, 0.01, 0.25, 1, dates, np.array(paid))
    assert ours[Greek.PRICE] == pytest.approx(option.NPV(), abs=2e-3)
    assert ours[Greek.DELTA] == pytest.approx(option.delta(), abs=2e-4)
    assert ours[Greek.GAMMA] == pytest.approx(option.gamma(), abs=2e-5)


@pytest.mark.parametrize("greeks", [escrowed_greeks, split_greeks, piecewise_greeks])
@pytest.mark.parametrize("right", [1, -1])
def test_greeks_are_derivatives_of_the_value_in_the_true_spot(greeks, right):
    s, k, t, r, q, v = 100.0, 104.0, 1.0, 0.05, 0.01, 0.25
    dates, paid = schedule((0.3, 2.0), (0.8, 3.0))

    def value(ds=0.0, dv=0.0, dt=0.0, dr=0.0):
        if greeks is piecewise_greeks:
            return np.array(piecewise_value(s + ds, k, t + dt, r + dr, q, v + dv, right, dates + dt, paid)[:3])
        return np.array(greeks(s + ds, k, t + dt, r + dr, q, v + dv, right, dates + dt, paid)[:3])

    def slope(name, h):
        one, two = (value(**{name: n * h}) - value(**{name: -n * h}) for n in (1, 2))
        return (8 * one - two) / (12 * h)

    row = greeks(s, k, t, r, q, v, right, dates, paid)
    in_spot, in_vol, in_time, in_rate = slope("ds", 0.05), slope("dv", 1e-3), -slope("dt", 1e-3), slope("dr", 1e-3)
    close = {"rel": 2e-6, "abs": 1e-9}
    assert row[Greek.DELTA] == pytest.approx(in_spot[0], **close)
    assert row[Greek.GAMMA] == pytest.approx(in_spot[1], **close)
    assert row[Greek.SPEED] == pytest.approx(in_spot[2], **close)
    assert row[Greek.VEGA] == pytest.approx(in_vol[0], **close)
    assert row[Greek.VANNA] == pytest.approx(in_vol[1], **close)
    assert row[Greek.ZOMMA] == pytest.approx(in_vol[2], **close)
    assert row[Greek.THETA] == pytest.approx(in_time[0], **close)
    assert row[Greek.CHARM] == pytest.approx(in_time[1], **close)
    assert row[Greek.COLOUR] == pytest.approx(in_time[2], **close)
    assert row[Greek.RHO] == pytest.approx(in_rate[0], **close)
    up, down = (greeks(s, k, t, r, q, v + e, right, dates, paid) for e in (1e-3, -1e-3))
    assert row[Greek.VOLGA] == pytest.approx((up[Greek.VEGA] - down[Greek.VEGA]) / 2e-3, rel=1e-3)
    assert row[Greek.ULTIMA] == pytest.approx((up[Greek.VOLGA] - down[Greek.VOLGA]) / 2e-3, rel=1e-3)
    later, sooner = (greeks(s, k, t + e, r, q, v, right, dates + e, paid) for e in (1e-3, -1e-3))
    assert row[Greek.VETA] == pytest.approx(-(later[Greek.VEGA] - sooner[Greek.VEGA]) / 2e-3, rel=1e-4)


def test_the_split_is_ten_times_closer_to_the_reference_than_the_escrowed_value():
    dates, paid = schedule((0.1, 0.5), (0.35, 0.5), (0.6, 0.5), (0.85, 0.5))
    escrowed, split = [], []
    for strike in (80.0, 90.0, 100.0, 110.0, 120.0):
        case = (100.0, strike, 1.0, 0.05, 0.0, 0.25, 1)
        exact = piecewise_value(*case, dates, paid)[0]
        escrowed.append(abs(escrowed_greeks(*case, dates, paid)[0] - exact))
        split.append(abs(split_greeks(*case, dates, paid)[0] - exact))
    assert max(escrowed) < 0.15
    assert max(split) < 5e-3
    assert max(split) < 0.1 * max(escrowed)


@pytest.mark.parametrize("greeks", [escrowed_greeks, split_greeks, piecewise_greeks])
def test_parity_holds_with_the_value_of_the_dividends(greeks):
    s, k, t, r, q, v = 100.0, 95.0, 1.5, 0.04, 0.01, 0.3
    dates, paid = schedule((0.25, 2.0), (1.25, 2.5))
    call, put = (greeks(s, k, t, r, q, v, w, dates, paid)[0] for w in (1, -1))
    present = sum(d * math.exp(-(r - q) * x) for x, d in zip(dates, paid, strict=True))
    assert call - put == pytest.approx((s - present) * math.exp(-q * t) - k * math.exp(-r * t), abs=1e-9)


@pytest.mark.parametrize("greeks", [escrowed_greeks, split_greeks, piecewise_greeks])
def test_dividends_past_or_after_expiry_do_not_count(greeks):
    case = (100.0, 95.0, 0.5, 0.03, 0.01, 0.25, 1)
    want = spot_greeks(*case)
    for dates, paid in ((NONE, NONE), schedule((-0.1, 4.0), (0.0, 3.0), (0.6, 5.0))):
        assert greeks(*case, dates, paid)[:4] == pytest.approx(want[:4], rel=1e-9)


@pytest.mark.parametrize("greeks", [split_greeks, piecewise_greeks])
def test_a_dividend_at_expiry_is_a_higher_strike(greeks):
    got = greeks(100.0, 95.0, 0.5, 0.03, 0.0, 0.25, 1, *schedule((0.5, 4.0)))
    assert got[:3] == pytest.approx(spot_greeks(100.0, 99.0, 0.5, 0.03, 0.0, 0.25, 1)[:3], rel=1e-12)


def test_a_batch_is_its_rows_and_bad_rows_stay_alone():
    dates, paid = schedule((0.3, 2.0), (0.8, 3.0))
    strikes = np.array([90.0, 100.0, 110.0, -1.0, 95.0, 100.0])
    years = np.array([1.0, 0.5, 0.25, 1.0, 0.0, 1.0])
    spot = np.array([100.0, 100.0, 100.0, 100.0, 100.0, 3.0])  # the last: worth less than its dividends
    rest = [np.full(6, x) for x in (0.03, 0.01, 0.25, 1.0)]
    for split, scalar in ((False, escrowed_greeks), (True, split_greeks)):
        out, status = np.empty((14, 6)), np.empty(6, np.uint8)
        dividend_greeks_batch(spot, strikes, years, *rest, dates, paid, split, out, status)
        assert status[:5].tolist() == [0, 0, 0, PriceStatus.BAD_INPUT, PriceStatus.INTRINSIC]
        assert np.isnan(out[:, 3]).all() and np.isfinite(out[:, [0, 1, 2, 4]]).all()
        for i in (0, 1, 2, 4):
            assert tuple(out[:, i]) == pytest.approx(
                scalar(spot[i], strikes[i], years[i], 0.03, 0.01, 0.25, 1.0, dates, paid), rel=1e-11
            )
    assert status[5] == PriceStatus.OK  # split: the strike takes most of them
    dividend_greeks_batch(spot, strikes, years, *rest, dates, paid, False, out, status)
    assert status[5] == PriceStatus.BAD_INPUT and np.isnan(out[:, 5]).all()


@pytest.mark.parametrize("greeks", [escrowed_greeks, split_greeks, piecewise_greeks])
@pytest.mark.parametrize("paid", [math.nan, -1.0, math.inf])
def test_a_dividend_that_is_no_amount_gives_no_number(greeks, paid):
    assert all(math.isnan(x) for x in greeks(100.0, 95.0, 1.0, 0.03, 0.0, 0.25, 1, *schedule((0.5, paid))))


def test_the_order_of_the_dividends_does_not_matter():
    case = (100.0, 105.0, 1.0, 0.05, 0.01, 0.25, 1)
    pairs = [(0.2, 1.0), (0.5, 2.0), (0.7, 0.0), (0.9, 1.5)]
    want = piecewise_value(*case, *schedule(*pairs))
    assert want[4] == PriceStatus.OK
    for order in ((3, 1, 0, 2), (1, 0, 3, 2), (2, 3, 1, 0)):
        assert piecewise_value(*case, *schedule(*(pairs[i] for i in order))) == want


def test_dates_too_close_together_say_so():
    answer = piecewise_value(*MARKET, 1, *schedule((0.5, 1.0), (0.5000001, 1.0)))
    assert answer[4] == PriceStatus.NOT_CONVERGED and math.isnan(answer[0])
    merged = piecewise_value(*MARKET, 1, *schedule((0.5, 1.0), (0.5, 1.0)))
    assert merged[0] == pytest.approx(piecewise_value(*MARKET, 1, *schedule((0.5, 2.0)))[0], rel=1e-12)
