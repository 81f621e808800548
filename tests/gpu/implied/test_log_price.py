import math

import mpmath as mp
import numpy as np
import pytest

from gpu.implied.log_price import (
    FINAL_STEP,
    black_guess,
    exp_small,
    guess_holds,
    log_step,
    normal_guess,
    refined,
    step_size,
    value_over_vega,
)
from gpu.maths.functions import log_ratio
from tests.gpu.implied.exact_prices import black_options


def coordinates(price, forward, strike):
    gap = abs(forward - strike)
    share = (2.0 * price + gap) / (forward + strike)
    return log_ratio(price + gap, price), share, abs(log_ratio(forward, strike))


def test_the_guess_is_within_its_stated_error_over_its_whole_domain():
    rng = np.random.default_rng(11)
    deviation = 10.0 ** rng.uniform(-5.0, 0.75, 4000)
    options = black_options(deviation, rng.uniform(-10.0, 10.0, 4000) * rng.uniform(0.0, 1.0, 4000) ** 2)
    inside = 0
    for price, forward, strike, s in zip(*options[:3], options.deviation, strict=True):
        over, share, k = coordinates(price, forward, strike)
        if guess_holds(over, share, k):
            inside += 1
            off = math.log(black_guess(over, share, k) / s)
            assert step_size(off, (k / s) ** 2, 0.25 * s * s) <= 0.017 < FINAL_STEP
        else:
            assert s > 4.6 or over > 60.0 or k > 16.0 or (k > 1.0 and price > 0.93 * min(forward, strike))
    assert inside > 3500


def test_the_normal_models_guess_is_within_its_stated_error():
    for h in np.linspace(0.0, 10.0, 200):
        with mp.workdps(40):
            value = mp.npdf(h) - mp.mpf(h) * mp.ncdf(-h)  # at a deviation of 1
            over = float(mp.log((value + h) / value))
        off = math.log((float(value) + 0.5 * h) / normal_guess(over))
        assert step_size(off, h * h, 0.0) <= 0.017 < FINAL_STEP


@pytest.mark.parametrize("s", [0.1, 0.5, 1.0, 2.0, 4.0, 6.0])
@pytest.mark.parametrize("h", [0.0, 0.5, 1.0, 2.0, 5.0, 8.0])
def test_a_step_that_calls_itself_final_is_exact(s, h):
    """The step's own error at the edge of what is accepted, in 40 digits: all else here is rounding."""
    with mp.workdps(40):
        k = mp.mpf(h) * s
        size = 1.0 + h * h / 3.0 + 0.25 * s * s

        def value(at):
            return mp.exp(-k / 2) * mp.ncdf(at / 2 - k / at) - mp.exp(k / 2) * mp.ncdf(-at / 2 - k / at)

        for side in (FINAL_STEP, -FINAL_STEP):
            start = s * mp.exp(mp.mpf(side) / size)
            miss = mp.log(value(start) / value(mp.mpf(s)))
            h2, t2 = (k / start) ** 2, start**2 / 4
            slope = start * mp.npdf(0) * mp.exp(-(h2 + t2) / 2) / value(start)
            step = getattr(log_step, "py_func", log_step)(miss, slope, h2, t2)
            # float constants inside the formula (1/3 and so on) are rounded at 1e-16 of themselves
            assert abs(start * mp.exp(step) / s - 1) < 1.5e-16


@pytest.mark.parametrize("t", [1e-9, 1e-4, 0.01, 0.1, 0.19999, 0.20001, 0.5, 2.0])
@pytest.mark.parametrize("h", [0.0, 1e-3, 0.3, 1.0, 3.0, 8.0, 12.0, 13.0, 30.0])
def test_value_over_vega_keeps_its_digits(h, t):
    with mp.workdps(60):

        def mills(z):
            return mp.ncdf(-z) / mp.npdf(z)

        exact = float(mills(mp.mpf(h) - mp.mpf(t)) - mills(mp.mpf(h) + mp.mpf(t)))
    assert value_over_vega(h, t) == pytest.approx(exact, rel=1e-15 * (4.0 + h * h), abs=0.0)


@pytest.mark.parametrize("start", [0.0, -1.0, 1e-300, 1e-5, 0.05, 0.19, 0.21, 5.0, 1e3, 1e300, math.inf, math.nan])
def test_a_wild_start_never_calls_itself_final(start):
    options = black_options(np.array([0.2]), np.array([1.0]))
    price, forward, strike = (float(x[0]) for x in options[:3])
    _, size, _ = refined(price, forward, strike, abs(math.log(forward / strike)), start)
    assert not size <= FINAL_STEP


def test_small_exponentials_are_exact():
    for x in np.linspace(-FINAL_STEP, FINAL_STEP, 101):
        assert exp_small(x) == pytest.approx(math.exp(x), rel=2.3e-16, abs=0.0)
