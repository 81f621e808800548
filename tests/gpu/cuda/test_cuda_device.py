"""What only a GPU can show; skipped, with the reason, where there is none. Run by ``benchmarks/cuda.py --check``."""

import numpy as np
import pytest

from gpu.cuda.driver import CudaDriver
from gpu.cuda.errors import GpuError, NoDeviceError
from gpu.cuda.handshake import Outcome, await_state
from gpu.cuda.kernels import RUNNING, State
from gpu.cuda.sessions import GraphSession, ResidentSession
from gpu.router.calibration import calibrate
from gpu.router.paths import Path, RouterSettings, open_session, sample_columns, self_test
from gpu.router.router import GreeksRouter
from tests.gpu.cuda.columns import chain, expected

TIMEOUT_NS = 2_000_000_000


@pytest.fixture
def driver():
    try:
        opened = CudaDriver()
    except NoDeviceError as e:
        pytest.skip(str(e))
    return opened


@pytest.fixture
def driver_exists(driver):
    driver.close()


@pytest.mark.parametrize("kind", [GraphSession, ResidentSession])
@pytest.mark.parametrize("n", [1, 127, 128, 129, 5_000])
@pytest.mark.parametrize("reduced", [False, True])
def test_device_rows_are_the_cpus(driver, kind, n, reduced):
    session = kind(driver, n, reduced, TIMEOUT_NS)
    assert self_test(session, 1e-9) == ""
    columns = sample_columns(n, seed=8)
    session.stage(columns, 0, n)
    for spot in (100.0, 60.0, 180.0):
        assert session.refresh(spot) == Outcome.ANSWERED, session.trouble
        np.testing.assert_allclose(session.out, expected(columns, spot, session.rows), rtol=1e-9, atol=1e-9)
    columns[4, n // 2 :] *= 1.1
    session.stage(columns, n // 2, n)
    assert session.refresh(100.0) == Outcome.ANSWERED
    np.testing.assert_allclose(session.out, expected(columns, 100.0, session.rows), rtol=1e-9, atol=1e-9)
    session.close()


def test_a_hundred_thousand_rows_need_more_than_one_row_a_thread(driver):
    session = ResidentSession(driver, 100_000, False, TIMEOUT_NS)
    assert self_test(session, 1e-9) == ""
    session.close()


@pytest.mark.parametrize("most_blocks", [1, 2, 40])
def test_blocks_of_the_resident_kernel_agree_on_every_request(driver, most_blocks):
    session = ResidentSession(driver, 5_000, True, TIMEOUT_NS, most_blocks=most_blocks)
    columns = chain(5_000)
    session.stage(columns, 0, 5_000)
    want = {spot: expected(columns, spot, 5) for spot in (99.0, 101.0)}
    for turn in range(5_000):
        spot = 99.0 if turn % 2 else 101.0
        assert session.refresh(spot) == Outcome.ANSWERED, session.trouble
        if turn % 500 < 2:
            np.testing.assert_allclose(session.out, want[spot], rtol=1e-9, atol=1e-9)
    session.close()


def test_the_resident_kernel_ends_itself_when_the_host_stands_still(driver):
    session = ResidentSession(driver, 64, True, TIMEOUT_NS, idle_polls=20_000)
    assert await_state(session.answer, RUNNING + 1, 10_000_000_000)
    assert session.state == State.HEARTBEAT_LOST
    assert session.refresh(100.0) == Outcome.ENDED
    session.close()


def test_a_heartbeat_keeps_it(driver):
    session = ResidentSession(driver, 64, True, TIMEOUT_NS, idle_polls=1_000_000)
    session.stage(chain(64), 0, 64)
    for _ in range(200_000):
        session.beat()
    assert session.refresh(100.0) == Outcome.ANSWERED
    session.close()


def test_it_is_launched_again_after_its_number_of_requests(driver_exists):
    for _ in range(3):
        session = ResidentSession(CudaDriver(), 64, True, TIMEOUT_NS, request_limit=2)
        session.stage(chain(64), 0, 64)
        outcomes = [session.refresh(100.0) for _ in range(3)]
        assert outcomes == [Outcome.ANSWERED, Outcome.ANSWERED, Outcome.ENDED]
        session.close()


def test_a_launch_that_the_driver_refuses_is_an_outcome(driver):
    session = GraphSession(driver, 64, True, TIMEOUT_NS)
    session._CALL = session._CALL._replace(graph=0)
    session.stage(chain(64), 0, 64)
    assert session.refresh(100.0) == Outcome.LAUNCH_FAILED
    assert "error" in session.trouble
    session.close()


@pytest.mark.parametrize("persistent", [False, True])
def test_a_router_survives_the_loss_of_its_session_and_takes_the_device_back(driver_exists, persistent):
    settings = RouterSettings(
        device="cuda", persistent=persistent, sizes=(64,), rounds=11, retry_after_s=0.0, timeout_ms=2_000.0
    )
    router = GreeksRouter(2_000, settings=settings, supervise=False)
    columns = chain(2_000)
    router.load(*columns)
    np.testing.assert_allclose(router.refresh(100.0), expected(columns, 100.0), rtol=1e-9, atol=1e-9)
    assert router.path is not Path.CPU, (router.last_loss, router.report.text())
    session = router._session
    if isinstance(session, ResidentSession):
        assert session.stop()
    else:
        session._CALL = session._CALL._replace(graph=0)
    np.testing.assert_allclose(router.refresh(101.0), expected(columns, 101.0), rtol=1e-9, atol=1e-9)
    assert (router.path, router.losses) == (Path.CPU, 1)
    router.supervisor.step(1e12)
    np.testing.assert_allclose(router.refresh(102.0), expected(columns, 102.0), rtol=1e-9, atol=1e-9)
    assert router.path is not Path.CPU
    router.close()


def test_the_calibration_measures_every_path(driver_exists):
    report = calibrate(
        1_000, True, RouterSettings(persistent=True, sizes=(256,), rounds=21, timeout_ms=2_000.0), CudaDriver
    )
    assert report.unavailable == ()
    assert {timing.path for timing in report.timings} == set(Path)


def test_sessions_come_and_go_without_leaving_memory(driver_exists):
    patient = RouterSettings(timeout_ms=2_000.0)
    for _ in range(20):
        open_session(Path.GRAPH, 5_000, False, patient, CudaDriver).close()
        open_session(Path.PERSISTENT, 5_000, False, patient, CudaDriver).close()


def test_an_ordinal_that_does_not_exist_is_refused(driver_exists):
    with pytest.raises(GpuError, match="device 99 does not exist"):
        CudaDriver(ordinal=99)
