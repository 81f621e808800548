import numpy as np
import pytest

from gpu.cuda.kernels import State
from gpu.errors import GpuError
from gpu.router.calibration import Timing, break_even_rows, calibrate
from gpu.router.paths import open_session, sample_columns, self_test
from gpu.router.router import GreeksRouter, Path, RouterSettings
from tests.gpu.cuda.columns import expected
from tests.gpu.cuda.fake_cuda import LAUNCH_FAILURE, NO_DEVICE, FakeCuda

N = 40
QUICK = {"sizes": (16,), "rounds": 3, "retry_after_s": 1.0, "retry_longest_s": 8.0, "timeout_ms": 5_000.0}
GRAPH = RouterSettings(device="cuda", **QUICK)
PERSISTENT = RouterSettings(device="cuda", persistent=True, **QUICK)


def routed(cuda, settings=GRAPH, n=N, **keywords):
    router = GreeksRouter(n, settings=settings, open_driver=cuda.driver, supervise=False, **keywords)
    router.load(*sample_columns(n, seed=5))
    return router


def same(router, spot):
    got = np.array(router.refresh(spot))
    np.testing.assert_allclose(got, expected(router.columns, spot, got.shape[0]), rtol=1e-9, atol=1e-11)
    return got


def prefer_persistent(monkeypatch, **cost):
    """Times by path instead of measured ones."""
    cost = {"CpuChain": 40.0, "GraphSession": 25.0, "ResidentSession": 12.0, **cost}
    monkeypatch.setattr(
        "gpu.router.calibration.median_us", lambda refresh, rounds: cost[type(refresh.__self__).__name__]
    )


def settle(cuda):
    """The resident kernels that were told to end have ended."""
    for thread in cuda.threads:
        thread.join()


def test_without_a_gpu_the_cpu_answers_and_the_report_says_why():
    cuda = FakeCuda()
    cuda.faults.init = NO_DEVICE
    router = routed(cuda, RouterSettings(**QUICK))
    assert router.path is Path.CPU
    same(router, 100.0)
    text = router.report.text()
    assert "greeks path cpu for 40 rows: no device can be used" in text
    assert "no graph: the NVIDIA driver finds no usable device: cuInit says CUDA_ERROR_NO_DEVICE (100)" in text
    assert "no persistent: not asked for" in text
    assert router.losses == 0


def test_cuda_configured_and_absent_is_said_in_so_many_words():
    cuda = FakeCuda()
    cuda.faults.init = NO_DEVICE
    assert "no device can be used, though cuda is configured" in routed(cuda).report.text()


def test_cpu_configured_asks_no_driver():
    cuda = FakeCuda()
    router = routed(cuda, RouterSettings(device="cpu", **QUICK))
    assert cuda.calls == []
    assert router.report.reason == "as configured"
    same(router, 101.0)


@pytest.mark.parametrize("settings", [GRAPH, PERSISTENT])
@pytest.mark.parametrize("reduced", [False, True])
def test_a_devices_rows_are_the_cpus(settings, reduced, monkeypatch):
    cuda = FakeCuda()
    prefer_persistent(monkeypatch)
    router = routed(cuda, settings, reduced=reduced)
    assert router.path is (Path.PERSISTENT if settings.persistent else Path.GRAPH)
    assert same(router, 100.0).shape == (5 if reduced else 14, N)
    same(router, 97.25)
    router.columns[4, 3:7] *= 1.2
    router.changed(3, 7)
    same(router, 97.25)
    assert (router.losses, router.path) == (0, router.report.path)
    router.close()
    same(router, 98.0)
    settle(cuda)
    assert (cuda.memory, cuda.contexts) == ({}, 0)


def test_the_fastest_measured_path_is_chosen_and_the_report_tells_every_figure(monkeypatch):
    prefer_persistent(monkeypatch)
    report = calibrate(N, False, RouterSettings(persistent=True, **QUICK), FakeCuda().driver)
    assert report.path is Path.PERSISTENT
    assert {(t.path, t.n, t.median_us) for t in report.timings} == {
        (path, n, us) for path, us in ((Path.CPU, 40.0), (Path.GRAPH, 25.0), (Path.PERSISTENT, 12.0)) for n in (16, N)
    }
    assert report.break_even == ((Path.GRAPH, 16), (Path.PERSISTENT, 16))
    assert "device a CPU in disguise; graph 16: 25.0 us, 40: 25.0 us" in report.text()
    prefer_persistent(monkeypatch, CpuChain=5.0)
    report = calibrate(N, False, RouterSettings(persistent=True, **QUICK), FakeCuda().driver)
    assert (report.path, report.reason) == (Path.CPU, "the fastest as measured")
    assert "persistent is faster at no size measured" in report.text()
    assert calibrate(N, False, GRAPH, FakeCuda().driver).path is Path.GRAPH


@pytest.mark.parametrize(
    ("device_us", "rows"),
    [
        ((11.0, 11.0, 11.0), 1_100),  # from 1,000 rows and 10 us to 2,000 and 20
        ((10.0, 5.0, 4.0), 679),  # 9 us behind at 100, 5 ahead at 1,000
        ((0.5, 1.0, 1.0), 100),  # ahead from the smallest size on
        ((0.5, 12.0, 1.0), 1_095),  # ahead, behind, ahead: the last change counts
        ((0.5, 1.0, 21.0), None),  # behind at the end
    ],
)
def test_break_even_is_where_the_device_gets_ahead_for_good(device_us, rows):
    cpu = [Timing(Path.CPU, n, us) for n, us in ((100, 1.0), (1_000, 10.0), (2_000, 20.0))]
    device = [Timing(Path.GRAPH, n, us) for n, us in zip((100, 1_000, 2_000), device_us, strict=True)]
    assert break_even_rows(cpu, device) == rows


def test_a_device_that_computes_wrongly_is_refused_by_the_self_test():
    cuda = FakeCuda()

    def spoil(out):
        out[2, 11] *= 1.0 + 1e-6

    cuda.faults.spoil = spoil
    router = routed(cuda, GRAPH)
    assert router.path is Path.CPU
    assert "no graph: self-test refused it: row 11 at spot 100" in router.report.text()
    same(router, 100.0)
    router.close()
    assert cuda.memory == {}


def test_a_device_that_answers_without_computing_is_refused():
    cuda = FakeCuda()
    session = open_session(Path.GRAPH, N, False, GRAPH, cuda.driver)

    def forget(out):
        out[...] = before

    before = np.array(session.out)
    cuda.faults.spoil = forget
    assert "self-test refused it" in self_test(session, 1e-9)
    session.close()


FAULTS = {
    "launch": (
        lambda cuda: cuda.faults.codes.update(cuGraphLaunch=LAUNCH_FAILURE),
        "refused the launch with error 719",
    ),
    "silence": (lambda cuda: setattr(cuda.faults, "silent", True), "no answer to request"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_device_costs_no_refresh_and_is_counted(fault):
    cuda = FakeCuda()
    router = routed(cuda, RouterSettings(device="cuda", **{**QUICK, "timeout_ms": 20.0}))
    same(router, 100.0)
    break_it, reason = FAULTS[fault]
    break_it(cuda)
    for spot in (103.0, 104.0):
        same(router, spot)
    assert (router.path, router.losses) == (Path.CPU, 1)
    assert router.last_loss.startswith("graph: ")
    assert reason in router.last_loss
    router.close()


def test_a_change_made_while_the_device_was_lost_reaches_both():
    cuda = FakeCuda()
    router = routed(cuda)
    same(router, 100.0)
    cuda.faults.codes["cuGraphLaunch"] = LAUNCH_FAILURE
    router.columns[4, 8:12] += 0.05
    router.changed(8, 12)
    same(router, 100.0)
    router.columns[4, 20:30] += 0.05
    router.changed(20, 30)
    same(router, 100.0)
    cuda.faults.codes.clear()
    router.supervisor.step(1e12)
    same(router, 100.0)
    assert (router.path, router.losses) == (Path.GRAPH, 1)
    router.close()


def test_a_wrong_row_after_a_change_is_caught_and_never_returned():
    cuda = FakeCuda()
    router = routed(cuda)
    same(router, 100.0)

    def spoil(out):
        out[0, 16] += 0.01

    cuda.faults.spoil = spoil
    router.changed(0, 3)
    same(router, 100.0)
    assert router.last_loss == "graph: row 16 differs from the CPU's by more than 1e-09"
    router.close()


def test_retries_wait_longer_each_time_and_the_device_comes_back_tested():
    cuda = FakeCuda()
    router = routed(cuda)
    cuda.faults.codes["cuGraphLaunch"] = LAUNCH_FAILURE
    same(router, 100.0)
    supervisor = router.supervisor
    start = supervisor._next_try  # one second after the loss
    tries = []
    now = start - 1.0
    while len(tries) < 5:
        before = supervisor.attempts
        supervisor.step(now)
        if supervisor.attempts > before:
            tries.append(now - start)
        now += 0.5
    assert tries == [0.0, 2.0, 6.0, 14.0, 22.0]  # 1, 2, 4, 8, 8 seconds apart
    assert "refused the launch with error 719" in supervisor.trouble
    cuda.faults.codes.clear()
    cuda.faults.spoil = lambda out: out.__setitem__((1, 20), 7.0)
    supervisor.step(now + 8.0)
    assert "self-test" in supervisor.trouble
    cuda.faults.spoil = None
    supervisor.step(now + 20.0)
    assert router.path is Path.CPU  # offered; the refreshing thread takes it
    same(router, 99.0)
    assert router.path is Path.GRAPH
    router.close()
    assert (cuda.memory, cuda.contexts) == ({}, 0)


def test_a_session_whose_kernel_ended_is_launched_again(monkeypatch):
    cuda = FakeCuda()
    prefer_persistent(monkeypatch)
    router = routed(cuda, PERSISTENT)
    same(router, 100.0)
    session = router._session
    assert session.stop()
    settle(cuda)
    assert session.state == State.STOPPED
    same(router, 102.0)
    assert router.path is Path.CPU
    assert "the kernel that stays has ended: STOPPED" in router.last_loss
    router.supervisor.step(1e12)
    same(router, 103.0)
    assert router.path is Path.PERSISTENT
    router.close()
    settle(cuda)
    assert (cuda.memory, cuda.contexts) == ({}, 0)


def test_a_device_that_hangs_is_not_freed_and_not_tried_again():
    cuda = FakeCuda()
    router = routed(cuda, RouterSettings(device="cuda", **{**QUICK, "timeout_ms": 1.0}))
    cuda.faults.silent = True
    same(router, 100.0)
    cuda.faults.codes["cuStreamQuery"] = 600  # still at work
    held = len(cuda.memory)
    router.supervisor.step(1e12)
    assert (router.supervisor.attempts, len(cuda.memory)) == (0, held)
    cuda.faults.codes.clear()
    cuda.faults.silent = False
    router.supervisor.step(2e12)
    same(router, 100.0)
    assert router.path is Path.GRAPH
    router.close()


def test_a_device_lost_between_measuring_and_opening_is_tried_again():
    cuda = FakeCuda()
    opened = []

    def open_driver():
        opened.append(1)
        if len(opened) == 3:  # two sizes were measured
            cuda.faults.codes["cuMemAlloc_v2"] = 2
        return cuda.driver()

    router = GreeksRouter(N, settings=GRAPH, open_driver=open_driver, supervise=False)
    router.load(*sample_columns(N, seed=5))
    assert (router.path, router.losses) == (Path.CPU, 1)
    assert "CUDA_ERROR_OUT_OF_MEMORY" in router.last_loss
    same(router, 100.0)
    cuda.faults.codes.clear()
    router.supervisor.step(1e12)
    same(router, 100.0)
    assert router.path is Path.GRAPH
    router.close()


def test_the_supervisors_thread_brings_a_device_back_by_itself():
    cuda = FakeCuda()
    settings = RouterSettings(device="cuda", **{**QUICK, "retry_after_s": 0.0})
    router = GreeksRouter(N, settings=settings, open_driver=cuda.driver)
    router.load(*sample_columns(N, seed=5))
    cuda.faults.codes["cuGraphLaunch"] = LAUNCH_FAILURE
    same(router, 100.0)
    cuda.faults.codes.clear()
    while router.path is Path.CPU:
        same(router, 100.0)
    assert router.losses == 1
    router.close()
    assert (cuda.memory, cuda.contexts) == ({}, 0)


def test_rows_before_any_load_are_not_numbers():
    router = GreeksRouter(3, settings=RouterSettings(device="cpu", rounds=3))
    assert np.isnan(router.refresh(100.0)).all()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"device": "gpu"}, "device must be auto, cpu or cuda, was 'gpu'"),
        ({"timeout_ms": 0.0}, r"timeout_ms must be 0.01\.\.60000, was 0.0"),
        ({"tolerance": float("nan")}, "tolerance must be .* was nan"),
        ({"sizes": (0,)}, "sizes must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, text):
    with pytest.raises(GpuError, match=text):
        RouterSettings(**settings)


def test_ranges_outside_the_chain_are_refused():
    router = GreeksRouter(3, settings=RouterSettings(device="cpu", rounds=3))
    with pytest.raises(GpuError, match=r"within 0\.\.3, were 1\.\.4"):
        router.changed(1, 4)
    with pytest.raises(GpuError, match="at least 1 row, had 0"):
        GreeksRouter(0)
