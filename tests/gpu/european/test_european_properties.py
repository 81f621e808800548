"""What must hold for any option: parity, bounds, monotonicity, convexity, homogeneity, the pricing equation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.european.greeks import Greek, bachelier_greeks, forward_greeks, spot_greeks

G = Greek
spots = st.floats(1.0, 1e4)
moneyness = st.floats(-8.0, 8.0)
times = st.floats(1e-4, 30.0)
rates = st.floats(-0.05, 0.2)
vols = st.floats(0.01, 2.0)
rights = st.sampled_from([1, -1])
options = st.tuples(spots, moneyness, times, rates, rates, vols)


def strike_of(s, h, t, v):
    return s * math.exp(max(min(h * v * math.sqrt(t), 20.0), -20.0))


@given(options)
def test_put_call_parity_in_the_price_and_every_greek(option):
    s, h, t, r, q, v = option
    k = strike_of(s, h, t, v)
    call, put = (np.array(spot_greeks(s, k, t, r, q, v, w)) for w in (1, -1))
    carry, cash = math.exp(-q * t), k * math.exp(-r * t)
    asset = s * carry
    size = max(asset, cash)
    gap = call - put
    assert gap[G.PRICE] == pytest.approx(asset - cash, abs=1e-13 * size)
    assert gap[G.DELTA] == pytest.approx(carry, rel=1e-13)
    assert gap[G.THETA] == pytest.approx(q * asset - r * cash, abs=1e-12 * (size + abs(call[G.THETA])))
    assert gap[G.RHO] == pytest.approx(t * cash, rel=1e-12)
    assert gap[G.CHARM] == pytest.approx(q * carry, abs=1e-12 * (1.0 + abs(call[G.CHARM])))
    for same in (G.GAMMA, G.VEGA, G.VANNA, G.VOLGA, G.VETA, G.SPEED, G.ZOMMA, G.COLOUR, G.ULTIMA):
        assert call[same] == pytest.approx(put[same], rel=1e-11, abs=0.0)


@given(options, rights)
def test_the_price_lies_between_its_bounds_and_so_do_its_slopes(option, w):
    s, h, t, r, q, v = option
    k = strike_of(s, h, t, v)
    row = spot_greeks(s, k, t, r, q, v, w)
    carry, cash = math.exp(-q * t), k * math.exp(-r * t)
    low, high = max(w * (s * carry - cash), 0.0), s * carry if w > 0 else cash
    assert low * (1.0 - 1e-13) <= row[G.PRICE] <= high * (1.0 + 1e-13)
    assert 0.0 <= w * row[G.DELTA] <= carry * (1.0 + 1e-13)
    assert row[G.GAMMA] >= 0.0 and row[G.VEGA] >= 0.0 and w * row[G.RHO] >= 0.0


@given(options, rights, st.floats(1e-3, 0.3))
def test_prices_rise_with_volatility_and_are_monotone_and_convex_in_the_strike(option, w, step):
    s, h, t, r, q, v = option
    k = strike_of(s, h, t, v)
    price = lambda strike, vol: spot_greeks(s, strike, t, r, q, vol, w)[G.PRICE]  # noqa: E731
    here = price(k, v)
    assert price(k, v * (1.0 + step)) >= here * (1.0 - 1e-12)
    below, above = k * (1.0 - step), k * (1.0 + step)
    noise = 1e-13 * max(s, above) * max(1.0, math.exp(-q * t), math.exp(-r * t))
    assert w * (price(below, v) - price(above, v)) >= -noise
    assert price(below, v) + price(above, v) - 2.0 * here >= -noise


@given(options, rights, st.sampled_from([-40, -3, 5, 20]))
def test_prices_are_homogeneous_in_spot_and_strike(option, w, power):
    s, h, t, r, q, v = option
    k, scale = strike_of(s, h, t, v), 2.0**power  # a power of two: nothing is rounded, crossings included
    one, other = spot_greeks(s, k, t, r, q, v, w), spot_greeks(s * scale, k * scale, t, r, q, v, w)
    # each derivative in the spot takes one power of the scale away
    powers = (1, 0, -1, 1, 1, 1, 0, 1, 0, 1, -2, -1, -1, 1)
    for greek in Greek:
        assert other[greek] / scale ** powers[greek] == pytest.approx(one[greek], rel=1e-14, abs=1e-300), greek.name


@given(options, rights)
def test_the_rows_solve_the_pricing_equation(option, w):
    """theta = r V - (r - q) S delta - v^2 S^2 gamma / 2, and its derivative in the spot for charm."""
    s, h, t, r, q, v = option
    x = spot_greeks(s, strike_of(s, h, t, v), t, r, q, v, w)
    terms = (r * x[G.PRICE], -(r - q) * s * x[G.DELTA], -0.5 * v * v * s * s * x[G.GAMMA])
    assert x[G.THETA] == pytest.approx(sum(terms), abs=1e-11 * sum(map(abs, terms)) + 1e-300)
    slope = (q * x[G.DELTA], -(r - q + v * v) * s * x[G.GAMMA], -0.5 * v * v * s * s * x[G.SPEED])
    assert x[G.CHARM] == pytest.approx(sum(slope), abs=1e-9 * sum(map(abs, slope)) + 1e-300)
    # vega = S^2 gamma v T
    assert x[G.VEGA] == pytest.approx(s * s * x[G.GAMMA] * v * t, rel=1e-12)


@given(options, rights)
def test_forward_form_is_the_spot_form_with_the_yield_at_the_rate(option, w):
    s, h, t, r, _, v = option
    k = strike_of(s, h, t, v)
    ours, spot = forward_greeks(s, k, t, r, v, w), spot_greeks(s, k, t, r, r, v, w)
    assert ours[:5] == pytest.approx(spot[:5], rel=1e-11)
    assert ours[G.RHO] == pytest.approx(-t * ours[G.PRICE], rel=1e-14)


@given(st.floats(-50.0, 50.0), moneyness, times, rates, st.floats(0.01, 20.0))
def test_bachelier_parity_symmetry_and_shift_invariance(f, h, t, r, v):
    k = f + h * v * math.sqrt(t)
    call, put = (np.array(bachelier_greeks(f, k, t, r, v, w)) for w in (1, -1))
    discount = math.exp(-r * t)
    assert call[G.PRICE] - put[G.PRICE] == pytest.approx(discount * (f - k), abs=1e-13 * (abs(f) + abs(k) + v))
    assert call[G.DELTA] - put[G.DELTA] == pytest.approx(discount, rel=1e-13)
    mirrored = bachelier_greeks(-f, -k, t, r, v, -1)
    assert mirrored[G.PRICE] == pytest.approx(call[G.PRICE], rel=1e-13)
    assert mirrored[G.DELTA] == pytest.approx(-call[G.DELTA], rel=1e-13)
    assert mirrored[G.SPEED] == pytest.approx(-call[G.SPEED], rel=1e-13)


def test_bachelier_is_the_limit_of_black_for_small_volatility():
    normal = bachelier_greeks(100.0, 100.01, 0.5, 0.02, 100.0 * 2e-4, 1)
    black = forward_greeks(100.0, 100.01, 0.5, 0.02, 2e-4, 1)
    assert normal[G.PRICE] == pytest.approx(black[G.PRICE], rel=3e-4)
    assert normal[G.DELTA] == pytest.approx(black[G.DELTA], rel=3e-4)
