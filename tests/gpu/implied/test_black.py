import math
import os
import subprocess
import sys
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.european.greeks import black_price
from gpu.implied.black import IvStatus, implied_deviation, normalised_deviation

ROOT = Path(__file__).resolve().parents[3]

#: Beyond 35 deviations the value underflows.
GRID = [(m, d) for m in (1e-6, 1e-3, 0.1, 1.0, 3.0, 8.0) for d in (0.01, 0.1, 0.5, 1.0, 3.0, 8.0) if m < 35.0 * d]


@pytest.mark.parametrize(("moneyness", "deviation"), GRID)
def test_the_bracketed_solver_inverts_high_precision_values_to_what_they_allow(moneyness, deviation):
    with mp.workdps(50):
        h, t = mp.mpf(moneyness) / deviation, mp.mpf(deviation) / 2
        top = mp.exp(-mp.mpf(moneyness) / 2)
        value = top * mp.ncdf(t - h) - mp.ncdf(-h - t) / top
        missing = top - value
        vega = float(mp.npdf(0) * mp.exp(-(h * h + t * t) / 2))
    got = normalised_deviation(float(value), float(missing), moneyness)
    allowed = deviation + float(min(value, missing)) / vega
    assert abs(got - deviation) <= 4e-15 * allowed


@given(st.floats(0.5, 2.0), st.floats(0.01, 2.0), st.floats(0.003, 3.0), st.sampled_from([1, -1]))
def test_round_trip_from_the_out_of_the_money_side(ratio, vol, years, right):
    forward, strike = 100.0, 100.0 * ratio
    right = right if ratio == 1.0 else (1 if strike > forward else -1)
    deviation = vol * math.sqrt(years)
    price = black_price(forward, strike, deviation, right)
    got, status = implied_deviation(price, forward, strike, right)
    if status in (IvStatus.NO_TIME_VALUE, IvStatus.BELOW_INTRINSIC):  # libm's tail: rounded to nothing or less
        assert price < 1e-280 or deviation < 1e-9
        return
    assert status == IvStatus.OK
    vega = 100.0 * math.exp(-0.5 * (abs(math.log(ratio)) / deviation + 0.5 * deviation) ** 2)
    # the test's price carries some eps of the forward
    assert abs(got - deviation) <= 1e-14 * deviation + 4e-15 * 100.0 / max(vega, 1e-300)


@pytest.mark.parametrize(
    ("price", "forward", "strike", "right", "status"),
    [
        (9.99, 110.0, 100.0, 1, IvStatus.BELOW_INTRINSIC),
        (-0.01, 90.0, 100.0, 1, IvStatus.BELOW_INTRINSIC),
        (math.nextafter(10.0, 0.0), 110.0, 100.0, 1, IvStatus.BELOW_INTRINSIC),
        (10.0, 110.0, 100.0, 1, IvStatus.NO_TIME_VALUE),
        (0.0, 90.0, 100.0, 1, IvStatus.NO_TIME_VALUE),
        (5e-324, 90.0, 100.0, 1, IvStatus.NO_TIME_VALUE),
        (1e-280, 90.0, 100.0, 1, IvStatus.OK),
        (1000.0 + 2e-13, 1100.0, 100.0, 1, IvStatus.NO_VEGA),  # two units in its last place above intrinsic
        (math.nextafter(110.0, 0.0), 110.0, 100.0, 1, IvStatus.NO_VEGA),
        (math.nextafter(100.0, 0.0), 110.0, 100.0, -1, IvStatus.NO_VEGA),
        (110.0, 110.0, 100.0, 1, IvStatus.ABOVE_MAXIMUM),
        (100.0, 110.0, 100.0, -1, IvStatus.ABOVE_MAXIMUM),
        (math.nan, 110.0, 100.0, 1, IvStatus.BAD_INPUT),
        (math.inf, 110.0, 100.0, 1, IvStatus.BAD_INPUT),
        (5.0, 0.0, 100.0, 1, IvStatus.BAD_INPUT),
        (5.0, math.nan, 100.0, 1, IvStatus.BAD_INPUT),
        (5.0, 110.0, -1.0, 1, IvStatus.BAD_INPUT),
        (5.0, 110.0, math.nan, 1, IvStatus.BAD_INPUT),
        (5.0, math.inf, 100.0, 1, IvStatus.BAD_INPUT),
        (12.0, 110.0, 100.0, 0, IvStatus.BAD_INPUT),
        (12.0, 110.0, 100.0, 2, IvStatus.BAD_INPUT),
        (12.0, 110.0, 100.0, 1, IvStatus.OK),
        (12e-200, 110e-200, 100e-200, 1, IvStatus.OK),
        (12e200, 110e200, 100e200, 1, IvStatus.OK),
    ],
)
def test_status_of_each_kind_of_price(price, forward, strike, right, status):
    deviation, got = implied_deviation(price, forward, strike, right)
    assert got == status
    assert math.isnan(deviation) == (status != IvStatus.OK)


def test_the_unit_of_money_does_not_matter():
    reference = implied_deviation(12.0, 110.0, 100.0, 1)[0]
    for scale in (1e-250, 1e-120, 1.0, 1e120, 1e250):
        assert implied_deviation(12.0 * scale, 110.0 * scale, 100.0 * scale, 1)[0] == pytest.approx(
            reference, rel=1e-14
        )


@pytest.mark.parametrize(
    ("price", "forward", "strike", "right"),
    [
        (4.8e-245, 3.3e260, 7.1e-245, -1),  # F/K = e^1162: the solver's bracket and its far tail
        (3.9e-128, 1.6e264, 2.8e-126, -1),
        (1.46, 3.0188e203, 3.1435e203, 1),  # ln F - ln K would cancel
        (9.7e-284, 1.653e-279, 1.697e-279, 1),
        (8.8e306, 1.84e307, 1.52e307, -1),
    ],
)
def test_extreme_numbers_are_solved_or_refused_never_wrong(price, forward, strike, right):
    deviation, status = implied_deviation(price, forward, strike, right)
    assert status == IvStatus.OK
    with mp.workdps(60):
        f, k, s = mp.mpf(forward), mp.mpf(strike), mp.mpf(deviation)
        d1 = mp.log(f / k) / s + s / 2
        miss = right * (f * mp.ncdf(right * d1) - k * mp.ncdf(right * (d1 - s))) - mp.mpf(price)
        off = float(abs(miss) / (f * mp.npdf(d1)))
        exponent = abs(math.log(forward) - math.log(strike))  # a value of exp(-k / 2) sqrt(F K) is known to eps k / 2
        assert off <= 2.3e-16 * (1.0 + exponent) * (deviation + float(price / (f * mp.npdf(d1))))


def test_value_near_the_maximum_is_inverted_on_its_missing_part():
    price = black_price(100.0, 90.0, 9.0, 1)
    deviation, status = implied_deviation(price, 100.0, 90.0, 1)
    assert status == IvStatus.OK
    assert deviation == pytest.approx(9.0, rel=1e-9)


@given(st.floats(0.3, 3.0), st.lists(st.floats(1e-12, 0.999999), min_size=2, max_size=8, unique=True))
def test_a_higher_price_never_has_a_lower_volatility(ratio, parts):
    forward, strike = 100.0, 100.0 * ratio
    top = min(forward, strike)
    right = 1 if strike >= forward else -1
    results = [implied_deviation(part * top, forward, strike, right) for part in sorted(parts)]
    assert all(status == IvStatus.OK for _, status in results)
    deviations = np.array([deviation for deviation, _ in results])
    assert deviations[0] > 0.0
    assert np.all(np.diff(deviations) >= -1e-13 * deviations[1:])


@given(st.floats(0.5, 2.0), st.floats(0.05, 3.0))
def test_a_call_and_its_put_by_parity_have_the_same_volatility(ratio, deviation):
    forward, strike = 128.0, 128.0 * ratio
    right = 1 if strike >= forward else -1
    out = black_price(forward, strike, deviation, right)
    in_the_money = out + abs(forward - strike)
    a, first = implied_deviation(out, forward, strike, right)
    b, second = implied_deviation(in_the_money, forward, strike, -right)
    if second != IvStatus.OK:  # the sum has swallowed the time value
        assert out < 1e-12
        return
    assert first == IvStatus.OK
    vega = forward * math.exp(-0.5 * (math.log(1.0 / ratio) / deviation + 0.5 * deviation) ** 2) * 0.3989
    assert abs(a - b) <= 1e-14 * a + 3e-16 * 3.0 * max(forward, strike) / vega


def test_the_kernels_are_plain_python_with_the_jit_off():
    """How they are debugged: no branch that is not taken may raise."""
    cases = [(5.0, 100.0, 100.0, 1), (1e-20, 100.0, 150.0, 1), (99.999, 100.0, 150.0, 1), (12.0, 110.0, 100.0, 1)]
    cases += [(0.5, 110.0, 1.0, -1), (1e-250, 110.0, 1.0, -1), (math.nan, 1.0, 1.0, 1), (1.0, 1.0, 1.0, 1)]
    program = (
        "from math import nan\nfrom gpu.implied.black import implied_deviation\n"
        f"for case in {cases!r}:\n    print(*implied_deviation(*case))\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    lines = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()
    for case, line in zip(cases, lines, strict=True):
        deviation, status = implied_deviation(*case)
        assert int(line.split()[1]) == status
        assert float(line.split()[0]) == pytest.approx(deviation, rel=1e-14, nan_ok=True)
