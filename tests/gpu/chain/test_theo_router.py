"""Whoever computes, and whenever inputs travel: the rows of a theo table are the same."""

import math

import numpy as np
import pytest

from gpu.chain.theo import TIME_STEP_NS, ChainPricer, PricerSettings, TheoStatus
from gpu.router.router import Path, RouterSettings
from market.calendar import NS_PER_S
from market.enums import ExerciseStyle
from market.records import THEO, table
from tests.gpu.chain.chains import YEAR_NS, synthetic
from tests.gpu.cuda.fake_cuda import LAUNCH_FAILURE, FakeCuda

VALUES = ("theo", "delta", "gamma", "vega", "theta", "vol", "years", "spot_ref")
QUICK = RouterSettings(device="cuda", sizes=(16,), rounds=3, timeout_ms=5_000.0)


def calibrated(settings=None, **market):
    chain = synthetic(**market)
    pricer = ChainPricer(chain.master, chain.count, 0, 0.03, settings)
    pricer.calibrate(chain.bid, chain.ask, chain.spot, chain.now_ns)
    return chain, pricer


def refreshed(pricer, spot, now_ns):
    out = table(THEO, pricer.count)
    assert pricer.refresh(spot, now_ns, out) == pricer.count
    return out


def assert_same_rows(got, want):
    for name in ("instrument", "status", "refresh", "ts_ns"):
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    for name in VALUES:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-9, atol=1e-10, err_msg=name)


def test_a_device_gives_the_rows_of_the_cpu_and_its_loss_changes_none():
    cuda = FakeCuda()
    market, pricer = calibrated(style=ExerciseStyle.AMERICAN)
    _, other = calibrated(style=ExerciseStyle.AMERICAN)
    report = other.route(QUICK, cuda.driver)
    assert (report.path, other.path, other.losses) == (Path.GRAPH, Path.GRAPH, 0)
    now = market.now_ns
    for step, spot in enumerate((100.0, 101.5, 101.5, 99.0, math.nan, 99.5)):
        now += step * 400_000_000
        if step == 2:
            for p in (pricer, other):
                p.calibrate_next(market.bid, market.ask, spot, now)
        if step == 3:
            cuda.faults.codes["cuGraphLaunch"] = LAUNCH_FAILURE
        launches = cuda.launches
        assert_same_rows(refreshed(other, spot, now), refreshed(pricer, spot, now))
        assert cuda.launches == launches + (1 if step < 4 else 0)
    assert (other.path, other.losses) == (Path.CPU, 1)
    other.close()


def test_a_chain_given_back_goes_on_with_the_cpu():
    cuda = FakeCuda()
    market, pricer = calibrated()
    want = refreshed(pricer, 100.0, market.now_ns)
    pricer.route(QUICK, cuda.driver)
    pricer.refreshes = 0
    assert_same_rows(refreshed(pricer, 100.0, market.now_ns), want)
    pricer.close()
    pricer.refreshes = 0
    assert_same_rows(refreshed(pricer, 100.0, market.now_ns), want)
    assert (pricer.path, cuda.memory) == (Path.CPU, {})


@pytest.mark.parametrize(("elapsed_ns", "moves"), [(TIME_STEP_NS, False), (TIME_STEP_NS + 1, True)])
def test_values_follow_the_clock_in_steps(elapsed_ns, moves):
    market, pricer = calibrated(maturities=(0.25, 1.0))
    before = refreshed(pricer, 100.0, market.now_ns)
    after = refreshed(pricer, 100.0, market.now_ns + elapsed_ns)
    assert (after["years"] < before["years"]).all()
    assert (after["theo"] != before["theo"]).any() == moves
    assert (after["ts_ns"] == market.now_ns + elapsed_ns).all()


def test_a_value_between_two_time_steps_is_off_by_less_than_a_hundred_thousandth_of_itself():
    market, pricer = calibrated(PricerSettings(residual=False), maturities=(600 / (365 * 86_400), 1.0))
    refreshed(pricer, 100.0, market.now_ns)
    late = market.now_ns + 5_900_000  # just within a hundred thousandth of the ten minutes left
    got = refreshed(pricer, 100.0, late)
    _, fresh = calibrated(PricerSettings(residual=False), maturities=(600 / (365 * 86_400), 1.0))
    want = refreshed(fresh, 100.0, late)
    money = np.abs(pricer.chain.strike - 100.0) < 0.5
    assert (got["theo"][money] != want["theo"][money]).any()
    np.testing.assert_allclose(got["theo"][money], want["theo"][money], rtol=1e-5)
    later = market.now_ns + 6_100_000
    _, newest = calibrated(PricerSettings(residual=False), maturities=(600 / (365 * 86_400), 1.0))
    np.testing.assert_array_equal(refreshed(pricer, 100.0, later)["theo"], refreshed(newest, 100.0, later)["theo"])


def test_time_that_runs_backwards_is_followed_too():
    market, pricer = calibrated()
    want = refreshed(pricer, 100.0, market.now_ns)
    refreshed(pricer, 100.0, market.now_ns + 3600 * NS_PER_S)
    pricer.refreshes = 0
    got = refreshed(pricer, 100.0, market.now_ns)
    np.testing.assert_array_equal(got["theo"], want["theo"])


def test_calibrating_one_expiry_moves_that_expiry_alone():
    market, pricer = calibrated()
    before = refreshed(pricer, 100.0, market.now_ns)
    second = pricer.chain.expiry == 1
    pricer._cursor = 1
    pricer.calibrate_next(market.bid * 1.01, market.ask * 1.01, 100.0, market.now_ns)
    after = refreshed(pricer, 100.0, market.now_ns)
    assert (after["theo"][second] != before["theo"][second]).any()
    np.testing.assert_array_equal(after["theo"][~second], before["theo"][~second])


def test_forward_and_theta_of_the_last_minutes_stay_finite_and_right():
    """The yield behind a parity forward explodes as time runs out; the values do not."""
    minutes = 1.0 / (365 * 24 * 60)
    market, pricer = calibrated(PricerSettings(residual=False), maturities=(2 * minutes, 0.5), half_spread=0.001)
    expiry_ns = market.now_ns + int(2 * minutes * YEAR_NS)
    for left_ns in (60 * NS_PER_S, NS_PER_S, 1_000_000, 1_000, 1):
        rows = refreshed(pricer, 100.0, expiry_ns - left_ns)
        first = pricer.chain.expiry == 0
        assert np.isfinite(rows["theo"]).all()
        assert np.isfinite(rows["theta"]).all()
        assert (rows["status"][first] == TheoStatus.OK).all()
        piece = pricer.slices[0]
        forward = 100.0 * piece["forward_ratio"]
        calls = first & (pricer.chain.right > 0) & (pricer.chain.strike < 99.0)
        np.testing.assert_allclose(rows["theo"][calls], forward - pricer.chain.strike[calls], atol=1e-4)


def test_a_value_that_is_not_finite_is_not_quoted():
    market, pricer = calibrated()
    refreshed(pricer, 100.0, market.now_ns)
    row = int(pricer.chain.slice_row[7])
    pricer.router.columns[4, 7] = math.inf
    pricer.router.changed(7, 8)
    rows = refreshed(pricer, 100.0, market.now_ns)
    assert rows["status"][row] == TheoStatus.BAD_SPOT
    assert [float(rows[name][row]) for name in ("theo", "delta", "gamma", "vega", "theta", "vol")] == [0.0] * 6
    others = np.arange(pricer.count) != row
    assert (rows["status"][others] == TheoStatus.OK).all()
