import math

import mpmath as mp
import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st

from gpu.implied import bachelier
from gpu.implied.bachelier import bachelier_deviation, bachelier_implied_vol_batch
from gpu.implied.black import IvStatus
from gpu.maths.wide import machine_width, vector_width, wide_support
from tests.gpu.implied.exact_prices import bachelier_options


def solve(price, forward, strike, years, discount, right):
    given = np.broadcast_arrays(np.atleast_1d(price), forward, strike, years, discount)
    columns = [np.array(x, np.float64) for x in given]
    right = np.array(np.broadcast_to(right, columns[0].shape), np.int8)
    out, status = np.full(len(right), -1.0), np.full(len(right), 99, np.uint8)
    bachelier_implied_vol_batch(*columns, right, out, status)
    return out, status


def test_error_is_what_the_price_allows_at_any_distance_and_sign():
    rng = np.random.default_rng(1)
    n = 2500
    deviation = 10.0 ** rng.uniform(-6.0, 3.0, n)
    distance = rng.uniform(-35.0, 35.0, n) * np.where(rng.random(n) < 0.7, 0.25, 1.0)
    distance[:200] = rng.uniform(-1e-3, 1e-3, 200)
    options = bachelier_options(deviation, distance, rng.uniform(-5.0, 5.0, n))
    vol, status = solve(*options[:3], 1.0, 1.0, options.right)
    assert np.all(status == IvStatus.OK)
    assert np.max(np.abs(vol - deviation) / options.relative_unit()) <= 5.0


def test_at_the_money_is_the_closed_form():
    vol, status = solve([0.25, 1e-12, 1e90], [-3.0, 0.0, 1.0], [-3.0, 0.0, 1.0], 1.0, 1.0, [1, -1, 1])
    assert np.all(status == IvStatus.OK)
    assert vol == pytest.approx(np.array([0.25, 1e-12, 1e90]) * math.sqrt(2.0 * math.pi), rel=1e-15)


def test_an_independent_root_of_the_pricing_formula():
    vol, _ = solve(0.011, -0.004, 0.002, 1.75, 1.01, -1)
    with mp.workdps(30):

        def price(sigma):
            s = sigma * mp.sqrt(1.75)
            d = (mp.mpf(-0.004) - mp.mpf(0.002)) / s
            return 1.01 * s * (mp.npdf(d) - d * mp.ncdf(-d))

        exact = mp.findroot(lambda sigma: price(sigma) - mp.mpf(0.011), 0.01)
    assert vol[0] == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize(
    ("price", "forward", "strike", "years", "discount", "right", "reason"),
    [
        (0.99, 2.0, 1.0, 1.0, 1.0, 1, IvStatus.BELOW_INTRINSIC),
        (-1e-9, 1.0, 2.0, 1.0, 1.0, 1, IvStatus.BELOW_INTRINSIC),
        (1.0, 2.0, 1.0, 1.0, 1.0, 1, IvStatus.NO_TIME_VALUE),
        (0.0, 1.0, 2.0, 1.0, 1.0, 1, IvStatus.NO_TIME_VALUE),
        (1000.0 + 1.2e-13, 1000.0, 0.0, 1.0, 1.0, 1, IvStatus.NO_VEGA),
        (math.nan, 1.0, 2.0, 1.0, 1.0, 1, IvStatus.BAD_INPUT),
        (math.inf, 1.0, 2.0, 1.0, 1.0, 1, IvStatus.BAD_INPUT),
        (0.1, math.nan, 2.0, 1.0, 1.0, 1, IvStatus.BAD_INPUT),
        (0.1, 1.0, math.inf, 1.0, 1.0, 1, IvStatus.BAD_INPUT),
        (0.1, 1.0, 2.0, 0.0, 1.0, 1, IvStatus.BAD_INPUT),
        (0.1, 1.0, 2.0, math.inf, 1.0, 1, IvStatus.BAD_INPUT),
        (0.1, 1.0, 2.0, 1.0, -1.0, 1, IvStatus.BAD_INPUT),
        (0.1, 1.0, 2.0, 1.0, math.nan, 1, IvStatus.BAD_INPUT),
        (0.1, 1.0, 2.0, 1.0, 1.0, 0, IvStatus.BAD_INPUT),
        (1e6, 1.0, 2.0, 1.0, 1.0, 1, IvStatus.OK),
    ],
)
def test_status_of_each_kind_of_row_beside_sound_ones(price, forward, strike, years, discount, right, reason):
    sound = (0.4, -1.0, -1.5, 1.0, 1.0, -1)
    columns = [
        np.array([x, y, x]) for x, y in zip(sound, (price, forward, strike, years, discount, right), strict=True)
    ]
    vol, status = solve(*columns)
    assert status.tolist() == [IvStatus.OK, reason, IvStatus.OK]
    assert math.isnan(vol[1]) == (reason != IvStatus.OK)
    assert vol[0] == vol[2] == solve(*sound)[0][0]


@given(st.floats(-10.0, 10.0), st.floats(-10.0, 10.0), st.lists(st.floats(1e-9, 100.0), min_size=2, unique=True))
def test_a_higher_price_never_has_a_lower_volatility(forward, strike, prices):
    right = 1 if strike >= forward else -1
    results = [bachelier_deviation(price, forward, strike, right) for price in sorted(prices)]
    assert all(status == IvStatus.OK for _, status in results)
    found = np.array([s for s, _ in results])
    assert found[0] > 0.0
    assert np.all(np.diff(found) >= -1e-14 * found[1:])


def test_quantlib_agrees():
    rng = np.random.default_rng(6)
    deviation = rng.uniform(0.01, 2.0, 200)
    options = bachelier_options(deviation, rng.uniform(-3.0, 3.0, 200), rng.uniform(-1.0, 1.0, 200))
    vol, _ = solve(*options[:3], 1.0, 1.0, options.right)
    for i in range(200):
        kind = ql.Option.Call if options.right[i] > 0 else ql.Option.Put
        theirs = ql.bachelierBlackFormulaImpliedVol(
            kind, options.strike[i], options.forward[i], 1.0, options.price[i], 1.0
        )
        assert vol[i] == pytest.approx(theirs, rel=1e-10)


def test_the_loop_fills_the_machines_vectors():
    columns = [np.full(8, 0.4) for _ in range(5)]
    bachelier._explicit(*columns, np.ones(8), np.empty(8, np.uint8))
    assert wide_support() or vector_width(bachelier._explicit) == machine_width()
