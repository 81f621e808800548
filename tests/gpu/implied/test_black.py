import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.european.greeks import black_price
from gpu.implied.black import IvStatus, implied_deviation, implied_vol, normalised_deviation

#: Beyond 35 deviations the value underflows.
GRID = [
    (m, d) for m in (-1e-6, -1e-3, -0.1, -1.0, -3.0, -8.0) for d in (0.01, 0.1, 0.5, 1.0, 3.0, 8.0) if -m < 35.0 * d
]


@pytest.mark.parametrize(("moneyness", "deviation"), GRID)
def test_inverts_high_precision_values_to_what_the_price_allows(moneyness, deviation):
    with mp.workdps(50):
        h, t = mp.mpf(moneyness) / deviation, mp.mpf(deviation) / 2
        value = mp.exp(mp.mpf(moneyness) / 2) * mp.ncdf(h + t) - mp.exp(-mp.mpf(moneyness) / 2) * mp.ncdf(h - t)
        vega = float(mp.npdf(0) * mp.exp(-(h * h + t * t) / 2))
    value = float(value)
    got = normalised_deviation(value, moneyness)
    last_digit = 1.0 if value > 1e-3 else 10.0 * value  # near the money the difference of two halves costs digits
    assert abs(got - deviation) <= 1e-15 * (4.0 * deviation + last_digit / vega)


@given(st.floats(0.5, 2.0), st.floats(0.01, 2.0), st.floats(0.003, 3.0), st.floats(0.9, 1.05), st.sampled_from([1, -1]))
def test_round_trip_from_the_out_of_the_money_side(ratio, vol, years, discount, right):
    forward, strike = 100.0, 100.0 * ratio
    right = right if ratio == 1.0 else (1 if strike > forward else -1)
    deviation = vol * math.sqrt(years)
    price = discount * black_price(forward, strike, deviation, right)
    columns = [np.array([x]) for x in (price, forward, strike, years, discount)]
    out, status = np.empty(1), np.empty(1, np.uint8)
    implied_vol(*columns, np.array([right], np.int8), out, status)
    if status[0] == IvStatus.NO_TIME_VALUE:
        assert price < 1e-280
        return
    assert status[0] == IvStatus.OK
    vega = 100.0 * math.exp(-0.5 * (abs(math.log(ratio)) / deviation + 0.5 * deviation) ** 2) * math.sqrt(years)
    # libm's own tail enters the test's price with a relative error of some eps
    assert abs(out[0] - vol) <= 1e-13 * (vol + price / max(vega, 1e-300)) + 2e-15 * 100.0 / max(vega, 1e-300)


@pytest.mark.parametrize(
    ("price", "forward", "strike", "right", "status"),
    [
        (9.99, 110.0, 100.0, 1, IvStatus.BELOW_INTRINSIC),
        (-0.01, 90.0, 100.0, 1, IvStatus.BELOW_INTRINSIC),
        (10.0, 110.0, 100.0, 1, IvStatus.NO_TIME_VALUE),
        (0.0, 90.0, 100.0, 1, IvStatus.NO_TIME_VALUE),
        (110.0, 110.0, 100.0, 1, IvStatus.ABOVE_MAXIMUM),
        (100.0, 110.0, 100.0, -1, IvStatus.ABOVE_MAXIMUM),
        (math.nan, 110.0, 100.0, 1, IvStatus.BAD_INPUT),
        (math.inf, 110.0, 100.0, 1, IvStatus.BAD_INPUT),
        (5.0, 0.0, 100.0, 1, IvStatus.BAD_INPUT),
        (5.0, 110.0, -1.0, 1, IvStatus.BAD_INPUT),
        (5.0, math.inf, 100.0, 1, IvStatus.BAD_INPUT),
        (12.0, 110.0, 100.0, 1, IvStatus.OK),
    ],
)
def test_status_of_each_kind_of_price(price, forward, strike, right, status):
    deviation, got = implied_deviation(price, forward, strike, right)
    assert got == status
    assert math.isnan(deviation) == (status != IvStatus.OK)


@pytest.mark.parametrize(("years", "discount"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (1.0, math.nan), (math.inf, 1.0)])
def test_a_bad_row_does_not_touch_its_neighbours(years, discount):
    price = black_price(100.0, 105.0, 0.2, 1)
    columns = [
        np.array([x, y, x]) for x, y in ((price, price), (100.0, 100.0), (105.0, 105.0), (1.0, years), (1.0, discount))
    ]
    out, status = np.empty(3), np.empty(3, np.uint8)
    implied_vol(*columns, np.ones(3, np.int8), out, status)
    assert status.tolist() == [IvStatus.OK, IvStatus.BAD_INPUT, IvStatus.OK]
    assert math.isnan(out[1])
    assert out[0] == out[2] == pytest.approx(0.2, rel=1e-13)


def test_value_near_the_maximum_is_inverted_on_its_missing_part():
    price = black_price(100.0, 90.0, 9.0, 1)
    deviation, status = implied_deviation(price, 100.0, 90.0, 1)
    assert status == IvStatus.OK
    assert deviation == pytest.approx(9.0, rel=1e-9)
