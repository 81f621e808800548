import math

import numpy as np
import pytest

from gpu.european.greeks import black_price
from gpu.implied.quotes import QuoteStatus, implied_quotes
from gpu.surface.forwards.parity import parity_curve
from gpu.surface.layout import SurfaceChain
from tests.gpu.implied.exact_prices import black_options
from tests.gpu.surface.surfaces import GOOG, SPXW, recorded_chain

NAN = math.nan
F, D, T = 100.0, 0.97, 0.5


def exact(strikes, deviation=0.2):
    """(call, put) discounted values at each strike, by parity from the one out of the money."""
    k = np.asarray(strikes, np.float64)
    options = black_options(np.full(k.shape, deviation), np.log(k / F) / deviation, F)
    other = options.price + np.abs(F - options.strike)
    call = np.where(options.right > 0, options.price, other)
    put = np.where(options.right > 0, other, options.price)
    return D * call, D * put


def test_a_sound_chain_is_read_from_the_options_out_of_the_money():
    strikes = np.array([60.0, 80.0, 99.0, 100.0, 101.0, 130.0])
    call, put = exact(strikes)
    wide = call * 0.5, call * 2.0  # the in-the-money side would give something else
    out = strikes >= F
    quotes = (
        np.where(out, call * 0.99, wide[0]), np.where(out, call * 1.01, wide[1]),
        np.where(out, put * 0.5, put * 0.99), np.where(out, put * 2.0, put * 1.01),
    )  # fmt: skip
    got = implied_quotes(*quotes, F, D, strikes, T)
    assert np.all(got.status == QuoteStatus.OK)
    assert got.side.tolist() == [-1, -1, -1, 1, 1, 1]
    assert got.vol_mid * math.sqrt(T) == pytest.approx(np.full(6, 0.2), rel=1e-9)
    assert np.all((got.vol_bid < got.vol_mid) & (got.vol_mid < got.vol_ask))


CALL, PUT = (float(x[0]) for x in exact([110.0]))
TOP = D * F


@pytest.mark.parametrize(
    ("quotes", "change", "status", "present"),
    [
        ((CALL, CALL, 1.0, 2.0), {}, QuoteStatus.OK, "bma"),  # locked, not crossed
        ((0.0, CALL, 1.0, 2.0), {}, QuoteStatus.NO_BID, "a"),
        ((NAN, CALL, 1.0, 2.0), {}, QuoteStatus.NO_BID, "a"),
        ((-1.0, CALL, 1.0, 2.0), {}, QuoteStatus.NO_BID, "a"),
        ((CALL, NAN, 1.0, 2.0), {}, QuoteStatus.NO_ASK, "b"),
        ((CALL, math.inf, 1.0, 2.0), {}, QuoteStatus.NO_ASK, "b"),
        ((NAN, 0.0, 1.0, 2.0), {}, QuoteStatus.NO_QUOTE, ""),
        ((CALL, CALL * 0.99, 1.0, 2.0), {}, QuoteStatus.CROSSED, ""),
        ((CALL, TOP, 1.0, 2.0), {}, QuoteStatus.NO_VOL, "bm"),
        ((CALL, 2.5 * TOP, 1.0, 2.0), {}, QuoteStatus.NO_VOL, "b"),
        ((TOP, TOP * 1.1, 1.0, 2.0), {}, QuoteStatus.NO_VOL, ""),
        ((CALL, CALL, 1.0, 2.0), {"forward": NAN}, QuoteStatus.BAD_INPUT, ""),
        ((CALL, CALL, 1.0, 2.0), {"forward": -1.0}, QuoteStatus.BAD_INPUT, ""),
        ((CALL, CALL, 1.0, 2.0), {"discount": 0.0}, QuoteStatus.BAD_INPUT, ""),
        ((CALL, CALL, 1.0, 2.0), {"strikes": math.inf}, QuoteStatus.BAD_INPUT, ""),
        ((CALL, CALL, 1.0, 2.0), {"strikes": 0.0}, QuoteStatus.BAD_INPUT, ""),
        ((CALL, CALL, 1.0, 2.0), {"years": 0.0}, QuoteStatus.BAD_INPUT, ""),
        ((CALL, CALL, 1.0, 2.0), {"years": NAN}, QuoteStatus.BAD_INPUT, ""),
    ],
)
def test_each_fault_has_its_status_and_leaves_the_neighbours_alone(quotes, change, status, present):
    sound = (CALL * 0.99, CALL * 1.01, 1.0, 2.0)
    terms = {"forward": F, "discount": D, "strikes": 110.0, "years": T}
    quoted = [np.array([a, b, a]) for a, b in zip(sound, quotes, strict=True)]
    named = {name: np.array([value, change.get(name, value), value]) for name, value in terms.items()}
    got = implied_quotes(*quoted, *named.values())
    assert got.status.tolist() == [QuoteStatus.OK, status, QuoteStatus.OK]
    assert got.side[1] == (0 if status == QuoteStatus.BAD_INPUT else 1)
    for vols, letter in ((got.vol_bid, "b"), (got.vol_mid, "m"), (got.vol_ask, "a")):
        assert math.isnan(vols[1]) == (letter not in present)
        assert vols[0] == vols[2]
        assert vols[0] * math.sqrt(T) == pytest.approx(0.2, rel=0.02)


def test_the_option_in_the_money_stands_in_only_when_asked():
    call, put = exact([110.0, 90.0])
    missing = np.full(2, NAN)
    for either_side, expected in ((False, QuoteStatus.NO_QUOTE), (True, QuoteStatus.OK)):
        got = implied_quotes(
            np.where([True, False], missing, call), np.where([True, False], missing, call),
            np.where([True, False], put, missing), np.where([True, False], put, missing),
            F, D, [110.0, 90.0], T, either_side=either_side,
        )  # fmt: skip
        assert np.all(got.status == expected)
        if either_side:
            assert got.side.tolist() == [-1, 1]
            assert got.vol_mid * math.sqrt(T) == pytest.approx([0.2, 0.2], rel=1e-12)


def test_shapes_broadcast_and_an_empty_chain_is_one():
    got = implied_quotes(CALL, CALL, 1.0, 2.0, F, D, np.full((2, 3), 110.0), [[0.25], [0.5]])
    assert all(array.shape == (2, 3) for array in got)
    assert got.vol_mid[0, 0] == pytest.approx(got.vol_mid[1, 0] * math.sqrt(2.0), rel=1e-14)
    assert implied_quotes(CALL, CALL, 1.0, 2.0, F, D, 110.0, T).vol_mid.shape == ()
    empty = implied_quotes([], [], [], [], F, D, [], T)
    assert all(array.shape == (0,) for array in empty)


@pytest.mark.parametrize("name", [GOOG, *SPXW])
def test_a_recorded_chain_has_a_volatility_for_every_quote(market_data, name):
    chain = recorded_chain(market_data, name, 10, 30)
    layout = SurfaceChain(chain.strike, chain.years, chain.right, american=name == GOOG)
    curve = parity_curve(layout, chain.bid, chain.ask, chain.spot, 0.005)
    expiry = np.searchsorted(layout.pair_first, np.arange(len(layout.pair_strike)), side="right") - 1
    forward, discount, years = curve.forward[expiry], curve.discount[expiry], layout.years[expiry]
    quotes = layout.pair_quotes(chain.bid, chain.ask)
    got = implied_quotes(*quotes, forward, discount, layout.pair_strike, years)
    call = got.side > 0
    bid, ask = np.where(call, quotes[0], quotes[2]), np.where(call, quotes[1], quotes[3])
    expected = np.where(bid > 0.0, QuoteStatus.OK, QuoteStatus.NO_BID)
    assert np.array_equal(got.status, expected)
    sound = got.status == QuoteStatus.OK
    assert np.all((0.05 < got.vol_bid[sound]) & (got.vol_bid[sound] <= got.vol_mid[sound]))
    assert np.all((got.vol_mid[sound] <= got.vol_ask[sound]) & (got.vol_ask[sound] < 6.0))
    for i in range(len(forward)):
        value = discount[i] * black_price(
            forward[i], layout.pair_strike[i], got.vol_ask[i] * math.sqrt(years[i]), int(got.side[i])
        )
        assert value == pytest.approx(ask[i], rel=1e-9, abs=1e-12 * forward[i])
