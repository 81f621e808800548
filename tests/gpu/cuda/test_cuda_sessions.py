import numpy as np
import pytest

from gpu.cuda import kernels, primitives
from gpu.cuda.errors import DeviceError, NoDeviceError
from gpu.cuda.handshake import Outcome, await_state, first_difference
from gpu.cuda.kernels import REQUEST, RUNNING, State
from gpu.cuda.retarget import Retargeter
from gpu.cuda.sessions import GraphSession, ResidentSession
from tests.gpu.cuda.columns import chain, expected
from tests.gpu.cuda.fake_cuda import LAUNCH_FAILURE, NO_DEVICE, FakeCuda

TIMEOUT_NS = 5_000_000_000
N = 37


@pytest.fixture(params=[GraphSession, ResidentSession])
def kind(request):
    return request.param


def test_rows_are_the_cpus_whatever_the_order_of_spots_and_changes(kind):
    session = kind(FakeCuda().driver(), N, False, TIMEOUT_NS)
    columns = chain(N)
    session.stage(columns, 0, N)
    for spot in (100.0, 93.5, 101.25):
        assert session.refresh(spot) == Outcome.ANSWERED
        np.testing.assert_array_equal(session.out, expected(columns, spot))
    session.close()


def test_only_changed_rows_travel_and_two_changes_travel_together(kind):
    session = kind(FakeCuda().driver(), N, False, TIMEOUT_NS)
    columns = chain(N)
    session.stage(columns, 0, N)
    assert session.refresh(100.0) == Outcome.ANSWERED
    session.staged[...] = np.nan  # whatever is read again without having been staged would show
    columns[4, 5:9] += 0.1
    session.stage(columns, 5, 9)
    columns[4, 20:22] += 0.1
    session.stage(columns, 20, 22)
    assert np.isnan(session.staged[:, :5]).all()
    assert np.isnan(session.staged[:, 22:]).all()
    assert session.refresh(100.0) == Outcome.ANSWERED
    np.testing.assert_array_equal(session.out, expected(columns, 100.0))
    session.staged[...] = np.nan
    assert session.refresh(90.0) == Outcome.ANSWERED
    np.testing.assert_array_equal(session.out, expected(columns, 90.0))
    session.close()


def test_reduced_rows_are_the_first_five(kind):
    session = kind(FakeCuda().driver(), N, True, TIMEOUT_NS)
    columns = chain(N)
    session.stage(columns, 0, N)
    assert session.refresh(104.0) == Outcome.ANSWERED
    assert session.out.shape == (5, N)
    np.testing.assert_array_equal(session.out, expected(columns, 104.0, 5))
    session.close()


def test_a_bad_row_is_its_own_affair(kind):
    session = kind(FakeCuda().driver(), N, False, TIMEOUT_NS)
    columns = chain(N)
    columns[0, 3], columns[1, 4], columns[4, 6] = -1.0, np.nan, 0.0
    session.stage(columns, 0, N)
    assert session.refresh(100.0) == Outcome.ANSWERED
    assert np.isnan(session.out[:, [3, 4]]).all()
    np.testing.assert_array_equal(session.out, expected(columns, 100.0))
    session.close()


def test_a_refused_launch_and_a_silent_device_are_outcomes_not_exceptions():
    cuda = FakeCuda()
    session = GraphSession(cuda.driver(), N, False, 1_000_000)
    session.stage(chain(N), 0, N)
    cuda.faults.codes["cuGraphLaunch"] = LAUNCH_FAILURE
    assert session.refresh(100.0) == Outcome.LAUNCH_FAILED
    assert "719" in session.trouble
    cuda.faults.codes.clear()
    cuda.faults.silent = True
    assert session.refresh(100.0) == Outcome.TIMED_OUT
    assert session.trouble == "no answer to request 2 within 1 ms"
    session.close()


def test_an_answer_that_comes_late_is_not_taken_for_the_next_one():
    cuda = FakeCuda()
    session = GraphSession(cuda.driver(), N, False, 1_000_000)
    columns = chain(N)
    session.stage(columns, 0, N)
    cuda.faults.silent = True
    assert session.refresh(100.0) == Outcome.TIMED_OUT
    session.answer[0] = 1  # the device wakes up: request 1 is done now
    assert session.refresh(101.0) == Outcome.TIMED_OUT
    session.close()


def test_what_was_staged_survives_a_request_that_failed():
    cuda = FakeCuda()
    session = GraphSession(cuda.driver(), N, False, 1_000_000)
    columns = chain(N)
    session.stage(columns, 0, N)
    cuda.faults.codes["cuGraphLaunch"] = LAUNCH_FAILURE
    session.refresh(100.0)
    cuda.faults.codes.clear()
    assert session.refresh(100.0) == Outcome.ANSWERED
    np.testing.assert_array_equal(session.out, expected(columns, 100.0))
    session.close()


def test_the_resident_kernel_ends_when_asked():
    cuda = FakeCuda()
    session = ResidentSession(cuda.driver(), N, False, TIMEOUT_NS)
    assert session.state == State.RUNNING
    assert not session.idle()
    assert session.stop()
    assert session.state == State.STOPPED
    cuda.threads[0].join()
    assert session.idle()
    session.close()
    assert cuda.memory == {}
    assert cuda.contexts == 0


def test_the_resident_kernel_ends_itself_without_a_heartbeat_and_the_request_says_so():
    cuda = FakeCuda()
    cuda.faults.idle_polls = 5_000
    session = ResidentSession(cuda.driver(), N, False, TIMEOUT_NS)
    assert await_state(session.answer, RUNNING + 1, TIMEOUT_NS)
    assert session.state == State.HEARTBEAT_LOST
    session.stage(chain(N), 0, N)
    assert session.refresh(100.0) == Outcome.ENDED
    assert session.trouble == "the kernel that stays has ended: HEARTBEAT_LOST"
    session.close()


class Script:
    """Words of ``control`` as a poll after another finds them."""

    def __init__(self, beats_until):
        self.polls, self.beats_until = 0, beats_until

    def load(self, words, index):
        if index == REQUEST:
            self.polls += 1
            return 41
        return min(self.polls, self.beats_until)


@pytest.mark.parametrize("beats_until", [0, 1_000, 10_000])
def test_a_heartbeat_keeps_the_kernel_polling_and_its_end_is_noticed_within_the_limit(beats_until):
    script, limit = Script(beats_until), 640
    substitutes = {primitives.load_host_word: script.load, primitives.rest: lambda nanoseconds: None}
    wait = Retargeter(lambda function: function, substitutes)(kernels.await_request)
    assert wait(None, 41, limit) == -State.HEARTBEAT_LOST
    assert beats_until + limit - 64 <= script.polls <= beats_until + limit + 64


def test_the_resident_kernel_serves_its_number_of_requests_and_no_more():
    cuda = FakeCuda()
    session = ResidentSession(cuda.driver(), N, False, TIMEOUT_NS, request_limit=2)
    session.stage(chain(N), 0, N)
    outcomes = [session.refresh(100.0 + i) for i in range(3)]
    assert outcomes == [Outcome.ANSWERED, Outcome.ANSWERED, Outcome.ENDED]
    assert session.state == State.EPOCH_OVER
    session.close()


def test_a_resident_kernel_that_hangs_keeps_its_memory():
    """Freeing what a kernel still writes to would hang the host or corrupt somebody."""
    cuda = FakeCuda()
    cuda.faults.silent = True
    session = ResidentSession(cuda.driver(), N, False, 1_000_000, stop_timeout_ns=1_000_000)
    session.stage(chain(N), 0, N)
    assert session.refresh(100.0) == Outcome.TIMED_OUT
    session.close()
    assert len(cuda.memory) == 8


def test_a_closed_graph_session_leaves_nothing_behind():
    cuda = FakeCuda()
    session = GraphSession(cuda.driver(), N, False, TIMEOUT_NS)
    session.close()
    assert (cuda.memory, cuda.contexts) == ({}, 0)


def test_no_device_is_told_with_the_drivers_own_word():
    cuda = FakeCuda()
    cuda.faults.init = NO_DEVICE
    with pytest.raises(NoDeviceError, match=r"cuInit says CUDA_ERROR_NO_DEVICE \(100\)"):
        cuda.driver()


@pytest.mark.parametrize(
    "call", ["cuDevicePrimaryCtxRetain", "cuMemHostAlloc", "cuMemAlloc_v2", "cuModuleLoadData", "cuGraphUpload"]
)
def test_a_driver_call_that_fails_is_named(call):
    cuda = FakeCuda()
    cuda.faults.codes[call] = 2
    with pytest.raises(DeviceError, match=rf"{call}: CUDA_ERROR_OUT_OF_MEMORY \(2\)"):
        GraphSession(cuda.driver(), N, False, TIMEOUT_NS)


def test_the_comparison_with_the_cpu_sees_one_wrong_number():
    columns = chain(N)
    columns[0, 30] = -1.0
    out = expected(columns, 100.0)
    assert first_difference(columns, 100.0, out, 1, 1e-12) == -1
    for row in range(14):
        wrong = out.copy()
        wrong[row, 17] += 2e-9 * (1.0 + abs(wrong[row, 17]))
        assert first_difference(columns, 100.0, wrong, 1, 1e-9) == 17
        wrong = out.copy()
        wrong[row, 30] = 0.0
        assert first_difference(columns, 100.0, wrong, 1, 1e-9) == 30
        wrong[row, 30], wrong[row, 8] = np.nan, np.nan
        assert first_difference(columns, 100.0, wrong, 1, 1e-9) == 8
