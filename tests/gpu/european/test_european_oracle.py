"""The oracle's own proof: its closed formulas are the derivatives of its price, by 80-digit differences."""

import mpmath as mp
import pytest

from tests.gpu.european.european_oracle import (
    GREEKS,
    bachelier_exact,
    bachelier_price,
    forward_exact,
    forward_price,
    spot_exact,
    spot_price,
)

#: (axis, how often) of each Greek; time counts with the other sign.
SPOT, VOL, TIME, RATE = range(4)
ORDERS = {
    "price": (), "delta": (SPOT,), "gamma": (SPOT, SPOT), "vega": (VOL,), "theta": (TIME,), "rho": (RATE,),
    "vanna": (SPOT, VOL), "volga": (VOL, VOL), "charm": (SPOT, TIME), "veta": (VOL, TIME),
    "speed": (SPOT, SPOT, SPOT), "zomma": (SPOT, SPOT, VOL), "colour": (SPOT, SPOT, TIME), "ultima": (VOL, VOL, VOL),
}  # fmt: skip


def derivative(f, point, axes):
    """Nested central differences with steps of 1e-15: good to 25 digits at 80."""
    if not axes:
        return f(*point)
    axis, *rest = axes
    h = mp.mpf(10) ** -15

    def at(sign):
        moved = list(point)
        moved[axis] += sign * h
        return derivative(f, moved, rest)

    slope = (at(1) - at(-1)) / (2 * h)
    return -slope if axis == TIME else slope


def check(exact, price, case, point):
    with mp.workdps(80):
        values, scales = exact(case)
        for greek, value, scale in zip(GREEKS, values, scales, strict=True):
            want = derivative(price, [mp.mpf(x) for x in point], ORDERS[greek])
            assert abs(value - want) <= abs(want) * mp.mpf(10) ** -20, greek
            assert scale >= abs(value) * (1 - mp.mpf(10) ** -40), greek


@pytest.mark.parametrize(
    "case",
    [(100.0, 95.0, 0.5, 0.03, 0.01, 0.25, 1), (60.0, 90.0, 1.7, -0.005, 0.04, 0.45, 1),
     (748.0, 740.0, 0.0006, 0.005, 0.0, 0.19, -1), (50.0, 44.0, 2.0, 0.05, 0.05, 0.08, -1)],
)  # fmt: skip
def test_spot_formulas_are_derivatives_of_the_price(case):
    s, k, t, r, q, v, w = case
    check(spot_exact, lambda a, b, c, d: spot_price(a, mp.mpf(k), c, d, mp.mpf(q), b, w), case, (s, v, t, r))


@pytest.mark.parametrize("case", [(101.0, 95.0, 0.5, 0.03, 0.25, 1), (60.0, 90.0, 1.7, -0.01, 0.45, -1)])
def test_forward_formulas_are_derivatives_at_a_fixed_forward(case):
    f, k, t, r, v, w = case
    check(forward_exact, lambda a, b, c, d: forward_price(a, mp.mpf(k), c, d, b, w), case, (f, v, t, r))


@pytest.mark.parametrize("case", [(2.0, 1.5, 0.5, 0.03, 1.1, 1), (-0.4, 0.1, 1.7, -0.01, 0.45, -1)])
def test_bachelier_formulas_are_derivatives_of_the_price(case):
    f, k, t, r, v, w = case
    check(bachelier_exact, lambda a, b, c, d: bachelier_price(a, mp.mpf(k), c, d, b, w), case, (f, v, t, r))
