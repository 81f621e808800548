"""The short form of ``benchmarks/chain_refresh.py``: thousands of refreshes leave no trace."""

import tracemalloc

import numpy as np
import pytest

from gpu.european.batch import spot_greeks_batch
from gpu.router.router import GreeksRouter, Path, RouterSettings
from tests.gpu.cuda.columns import chain
from tests.gpu.cuda.fake_cuda import FakeCuda

N = 5_000
CPU = RouterSettings(device="cpu", rounds=3)
DEVICE = RouterSettings(device="cuda", sizes=(16,), rounds=3, timeout_ms=5_000.0)


@pytest.mark.parametrize(("settings", "refreshes"), [(CPU, 4_000), (DEVICE, 300)])
def test_a_walking_spot_never_drifts_from_direct_evaluation_and_nothing_grows(settings, refreshes):
    columns = chain(N)
    router = GreeksRouter(N, settings=settings, open_driver=FakeCuda().driver, supervise=False)
    router.load(*columns)
    spots = 100.0 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0, 2e-3, refreshes)))
    direct, status = np.empty((14, N)), np.empty(N, np.uint8)
    router.refresh(100.0)
    # The walk leaves the neighbourhood in which the cached logarithms were taken, several times.
    assert np.ptp(np.log(spots)) > (0.2 if settings is CPU else 0.02)
    tracemalloc.start()
    try:
        before = 0
        for i, spot in enumerate(spots):
            out = router.refresh(float(spot))
            if i == refreshes // 10:
                before = tracemalloc.get_traced_memory()[0]
            if i % (refreshes // 10) == 0:
                spot_greeks_batch(np.full(N, spot), *columns, direct, status)
                scale = np.abs(direct).max(axis=1, keepdims=True)
                assert (np.abs(out - direct) / scale).max() < 1e-13
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4_096
    assert router.path is (Path.CPU if settings is CPU else Path.GRAPH)
    assert router.losses == 0
    router.close()


def test_the_cpus_rows_are_written_in_place():
    router = GreeksRouter(N, settings=CPU)
    router.load(*chain(N))
    first = router.refresh(100.0)
    assert router.refresh(101.0) is first
