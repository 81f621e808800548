import math

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st

from gpu.implied import batch
from gpu.implied.batch import UNFINISHED, implied_vol_batch, implied_vol_warm
from gpu.implied.black import IvStatus
from gpu.maths.wide import machine_width, vector_width, wide_support
from tests.gpu.implied.exact_prices import Options, black_options


def solve(price, forward, strike, years, discount, right, last=None):
    given = np.broadcast_arrays(np.atleast_1d(price), forward, strike, years, discount)
    columns = [np.array(x, np.float64) for x in given]
    right = np.array(np.broadcast_to(right, columns[0].shape), np.int8)
    out, status = np.full(len(right), -1.0), np.full(len(right), 99, np.uint8)
    if last is None:
        implied_vol_batch(*columns, right, out, status)
    else:
        implied_vol_warm(*columns, right, np.array(last, np.float64), out, status)
    return out, status


def deviations(options: Options, last=None):
    return solve(*options[:3], 1.0, 1.0, options.right, last)


@pytest.fixture(scope="module")
def chain() -> Options:
    """Deviations of a minute (1e-4) to years (2), strikes up to six deviations out, F/K up to e^12."""
    rng = np.random.default_rng(2)
    n = 4000
    deviation = np.exp(rng.uniform(math.log(1e-4), math.log(2.0), n))
    distance = rng.uniform(-6.0, 6.0, n) * np.where(rng.random(n) < 0.3, 0.02, 1.0)
    return black_options(deviation, distance, rng.uniform(1.0, 5000.0, n))


def test_error_is_at_the_conditioning_floor_up_to_six_deviations_out(chain):
    vol, status = deviations(chain)
    assert np.all(status == IvStatus.OK)
    error = np.abs(vol - chain.deviation)
    # A floor of the price's last digit alone would be below a double's resolution of the volatility itself far up.
    assert np.all(error <= 3.0 * np.maximum(chain.floor(), chain.relative_unit()))
    # The stronger statement: what the price's own relative rounding allows, however short the time.
    assert np.max(error / chain.relative_unit()) <= 5.0


def test_the_fast_loop_answers_the_whole_chain_by_itself(chain):
    out, status = chain.right * batch._OPEN, np.empty(chain.count, np.uint8)
    ones = np.ones(chain.count)
    batch._cold(*chain[:3], ones, ones, out, status)
    assert np.all(status == IvStatus.OK)


def test_far_wings_and_saturated_prices_are_as_exact():
    """Up to 35 deviations out (prices of 1e-270) and deviations up to 14 (within 1e-11 of the maximum)."""
    rng = np.random.default_rng(3)
    n = 1500
    deviation = 10.0 ** rng.uniform(-6.0, math.log10(14.0), n)
    distance = rng.uniform(-1.0, 1.0, n) * np.minimum(35.0, 80.0 / deviation)
    options = black_options(deviation, distance)
    vol, status = deviations(options)
    assert np.all(status == IvStatus.OK)
    assert np.max(np.abs(vol - deviation) / options.relative_unit()) <= 5.0


def test_years_and_discounting_only_scale():
    options = black_options(np.array([0.1, 0.3, 0.8]), np.array([-1.0, 0.1, 2.0]))
    years, discount = np.array([0.25, 4.0, 1.0]), np.array([0.5, 0.25, 2.0])  # powers of two: no rounding
    vol, status = solve(options.price * discount, options.forward, options.strike, years, discount, options.right)
    assert np.all(status == IvStatus.OK)
    assert vol == pytest.approx(options.deviation / np.sqrt(years), rel=1e-14)


def test_a_price_in_the_money_is_read_from_the_other_side_by_parity():
    options = black_options(np.array([0.2, 0.2, 0.05]), np.array([1.0, -2.0, 3.0]))
    inside = options.price + np.abs(options.forward - options.strike)
    vol, status = solve(inside, options.forward, options.strike, 1.0, 1.0, -options.right)
    assert np.all(status == IvStatus.OK)
    unit = np.finfo(float).eps * np.maximum(options.forward, options.strike) / options.vega
    assert np.all(np.abs(vol - options.deviation) <= 2.0 * unit + 5.0 * options.relative_unit())


@pytest.mark.parametrize("expiry_s", [1, 60, 3600])
def test_an_expiry_in_a_minute(expiry_s):
    years = expiry_s / (365 * 86400)
    deviation = np.full(41, 0.6 * math.sqrt(years))
    options = black_options(deviation, np.linspace(-6.0, 6.0, 41), 4700.0)
    vol, status = solve(*options[:3], years, 1.0, options.right)
    assert np.all(status == IvStatus.OK)
    assert np.max(np.abs(vol * math.sqrt(years) - deviation) / options.relative_unit()) <= 5.0


BAD_ROWS = [
    ((math.nan, 100.0, 105.0, 1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((math.inf, 100.0, 105.0, 1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((-math.inf, 100.0, 105.0, 1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, math.nan, 105.0, 1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 0.0, 105.0, 1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, -100.0, -105.0, 1.0, -1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, math.inf, 105.0, 1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 0.0, 1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, math.nan, 1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, 0.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, -1.0, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, math.nan, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, math.inf, 1.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, 1.0, 0.0, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, 1.0, math.nan, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, 1.0, math.inf, 1), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, 1.0, 1.0, 0), IvStatus.BAD_INPUT),
    ((3.0, 100.0, 105.0, 1.0, 1.0, 3), IvStatus.BAD_INPUT),
    ((-1e-9, 100.0, 105.0, 1.0, 1.0, 1), IvStatus.BELOW_INTRINSIC),
    ((math.nextafter(5.0, 0.0), 105.0, 100.0, 1.0, 1.0, 1), IvStatus.BELOW_INTRINSIC),
    ((5.0, 105.0, 100.0, 1.0, 1.0, 1), IvStatus.NO_TIME_VALUE),
    ((0.0, 100.0, 105.0, 1.0, 1.0, 1), IvStatus.NO_TIME_VALUE),
    ((1000.0 + 2e-13, 1100.0, 100.0, 1.0, 1.0, 1), IvStatus.NO_VEGA),
    ((math.nextafter(100.0, 0.0), 100.0, 105.0, 1.0, 1.0, 1), IvStatus.NO_VEGA),
    ((100.0, 100.0, 105.0, 1.0, 1.0, 1), IvStatus.ABOVE_MAXIMUM),
    ((105.0, 100.0, 105.0, 1.0, 1.0, -1), IvStatus.ABOVE_MAXIMUM),
    ((1e300, 100.0, 105.0, 1.0, 1.0, 1), IvStatus.ABOVE_MAXIMUM),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_a_row_without_a_volatility_has_its_reason_and_touches_nobody(row, reason):
    """In every position of a vector, cold and warm, the neighbours are bit for bit what they are alone."""
    options = black_options(np.full(9, 0.2), np.linspace(-2.0, 2.0, 9))
    ones = np.ones(9)
    alone, _ = deviations(options)
    for position in range(9):
        columns = [x.copy() for x in (*options[:3], ones, ones, options.right)]
        for column, x in zip(columns, row, strict=True):
            column[position] = x
        for last in (None, options.deviation):
            vol, status = solve(*columns, last=last)
            assert status[position] == reason
            assert math.isnan(vol[position])
            others = np.arange(9) != position
            assert np.all(status[others] == IvStatus.OK)
            if last is None:
                assert np.array_equal(vol[others], alone[others])
            else:
                assert vol[others] == pytest.approx(options.deviation[others], rel=1e-13)


def test_an_empty_chain_and_a_chain_of_one_strike():
    for last in (None, np.empty(0)):
        vol, status = solve(*(np.empty(0) for _ in range(5)), np.empty(0, np.int8), last=last)
        assert len(vol) == len(status) == 0
    options = black_options(np.array([0.2]), np.array([0.5]))
    for last in (None, np.array([0.21])):
        vol, status = deviations(options, last)
        assert status.tolist() == [IvStatus.OK]
        assert vol[0] == pytest.approx(0.2, rel=1e-14)


def test_a_warm_start_gives_the_same_answer_from_near_far_and_nonsense(chain):
    rng = np.random.default_rng(4)
    cold, _ = deviations(chain)
    nonsense = rng.choice([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300, 5e-324], chain.count)
    starts = {
        "itself": chain.deviation,
        "one per mille": chain.deviation * (1.0 + 1e-3 * rng.standard_normal(chain.count)),
        "ten per cent": chain.deviation * (1.0 + 0.1 * rng.uniform(-1.0, 1.0, chain.count)),
        "another option's": rng.permutation(chain.deviation),
        "nonsense": nonsense,
        "some nonsense": np.where(rng.random(chain.count) < 0.02, nonsense, chain.deviation),
    }
    for name, last in starts.items():
        vol, status = deviations(chain, last)
        assert np.all(status == IvStatus.OK), name
        assert np.max(np.abs(vol - chain.deviation) / chain.relative_unit()) <= 5.0, name
        assert np.max(np.abs(vol - cold) / chain.relative_unit()) <= 8.0, name


def test_no_start_whatever_makes_the_warm_loop_certify_a_wrong_answer():
    """A step of high order is short by chance at some far starts; half a million of them, 1e-9 to 1e5 times off."""
    distances = np.array([0.0, 0.02, -0.1, 0.5, -0.86, 1.5, 3.08, -5.56])
    deviation = np.repeat([1e-4, 2.6e-3, 0.03, 0.24, 1.0, 3.0], len(distances))
    options = black_options(deviation, np.tile(distances, 6))
    factors = np.exp(np.linspace(-20.0, 12.0, 10_001))
    ones, status = np.ones(len(factors)), np.empty(len(factors), np.uint8)
    answered = 0
    for i in range(options.count):
        rows = [np.full(len(factors), x[i]) for x in options[:3]]
        found = np.full(len(factors), options.right[i] * batch._OPEN)
        batch._warm(*rows, ones, ones, factors * deviation[i], found, status)
        final = status == IvStatus.OK
        answered += int(final.sum())
        assert np.all(np.abs(found[final] - deviation[i]) <= 5.0 * options.relative_unit()[i])
    assert answered > 300  # those near enough


def test_a_near_start_is_answered_by_the_warm_loop_alone(chain):
    status, ones = np.empty(chain.count, np.uint8), np.ones(chain.count)
    d2 = (np.log(chain.forward / chain.strike) / chain.deviation) ** 2
    last = chain.deviation * (1.0 + 0.025 / (1.0 + d2 / 3.0 + chain.deviation**2 / 4.0))
    batch._warm(*chain[:3], ones, ones, last, chain.right * batch._OPEN, status)
    assert np.all(status == IvStatus.OK)
    batch._warm(*chain[:3], ones, ones, 2.0 * last, chain.right * batch._OPEN, status)
    assert np.all(status == UNFINISHED)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_length_of_a_chain_does_not_change_a_row(n, seed):
    """Whole vectors, the masked last one, and alone: the same bits."""
    rng = np.random.default_rng(seed)
    forward, strike = np.full(n, 100.0), 100.0 * np.exp(rng.uniform(-1.0, 1.0, n))
    right = np.where(strike >= forward, 1, -1)
    price = rng.uniform(0.0, 1.0, n) ** 8 * np.minimum(forward, strike)
    vol, status = solve(price, forward, strike, 0.5, 0.97, right)
    for i in range(n):
        one, reason = solve(price[i : i + 1], forward[:1], strike[i : i + 1], 0.5, 0.97, right[i : i + 1])
        assert reason[0] == status[i]
        assert np.array_equal(one, vol[i : i + 1], equal_nan=True)


def test_quantlib_agrees():
    rng = np.random.default_rng(6)
    n = 300
    deviation, years = rng.uniform(0.02, 1.0, n), rng.uniform(0.05, 2.0, n)
    options = black_options(deviation, rng.uniform(-3.0, 3.0, n))
    discount = np.exp(-0.03 * years)
    vol, status = solve(options.price * discount, options.forward, options.strike, years, discount, options.right)
    assert np.all(status == IvStatus.OK)
    for i in range(n):
        kind = ql.Option.Call if options.right[i] > 0 else ql.Option.Put
        theirs = ql.blackFormulaImpliedStdDev(
            kind, options.strike[i], options.forward[i], options.price[i] * discount[i], discount[i],
            0.0, 0.9 * deviation[i], 1e-13, 200,
        )  # fmt: skip
        assert vol[i] * math.sqrt(years[i]) == pytest.approx(theirs, abs=2e-12 + 1e-13 * 100.0 / options.vega[i])


def test_the_loops_fill_the_machines_vectors():
    options, ones = black_options(np.full(8, 0.2), np.linspace(-2.0, 2.0, 8)), np.ones(8)
    status = np.empty(8, np.uint8)
    batch._cold(*options[:3], ones, ones, options.right * batch._OPEN, status)
    batch._warm(*options[:3], ones, ones, options.deviation, options.right * batch._OPEN, status)
    for loop in (batch._cold, batch._warm):
        assert wide_support() or vector_width(loop) == machine_width()
