"""The Greeks thread: it says who computes, and a lost device changes nothing but that."""

import threading

import numpy as np

from config.schema import TheoConfig
from engine.greeks import GreeksThread
from engine.state import W_MARKET_NS, make_engine
from gpu.chain.theo_table import TheoTable
from gpu.cuda import driver
from market.records import THEO, table
from tests.gpu.chain.chains import synthetic
from tests.gpu.cuda.fake_cuda import LAUNCH_FAILURE, NO_DEVICE, FakeCuda, fake_code


class Published:
    """Counts refreshes and lets a test wait for one."""

    def __init__(self):
        self.condition = threading.Condition()
        self.count = 0

    def __call__(self):
        with self.condition:
            self.count += 1
            self.condition.notify_all()

    def wait_for(self, happened):
        with self.condition:
            assert self.condition.wait_for(happened, timeout=60.0)


def started(monkeypatch, cuda, **settings):
    """A thread on a synthetic market whose device, if it asks for one, is ``cuda``."""
    monkeypatch.setattr(driver, "load_library", lambda: cuda)
    monkeypatch.setattr(driver.CudaDriver.__init__, "__defaults__", (None, 0, fake_code))
    market = synthetic()
    engine = make_engine(256, 64)
    rows = np.asarray(engine.instruments)
    rows[: market.count] = np.asarray(market.master)
    rows["price_scale"] = 4
    books = np.asarray(engine.books)
    for side, prices in (("market_bid", market.bid), ("market_ask", market.ask)):
        books[side][: market.count] = np.where(np.isnan(prices), 0, np.round(prices * 1e4)).astype(np.int64)
    engine.underlyings[0]["instrument"], engine.underlyings[0]["spot"] = 0, market.spot
    engine.words[W_MARKET_NS] = market.now_ns
    published, theo = Published(), TheoTable(market.count)
    config = TheoConfig(refresh_interval_ms=1, **settings)
    thread = GreeksThread(engine, theo, market.count, 0, config, published)
    thread.start()
    return thread, theo, published


def rows_of(theo):
    out = table(THEO, len(theo.buffers[0]))
    assert theo.read(out) > 0
    return out[: theo.rows]


def test_without_a_gpu_it_says_so_and_computes(monkeypatch):
    cuda = FakeCuda()
    cuda.faults.init = NO_DEVICE
    thread, theo, published = started(monkeypatch, cuda, device="cuda")
    published.wait_for(lambda: published.count > 0)
    thread.stop()
    assert thread.failure is None
    severity, text = thread.news.popleft()
    assert severity == "warning"
    assert "greeks path cpu for 150 rows: no device can be used, though cuda is configured" in text
    assert (rows_of(theo)["status"] == 0).all()


def test_a_device_that_is_lost_is_news_and_no_gap(monkeypatch):
    cuda = FakeCuda()
    thread, theo, published = started(monkeypatch, cuda, device="cuda")
    published.wait_for(lambda: published.count > 0)
    assert thread.pricer.path.value == "graph"
    before = rows_of(theo)
    cuda.faults.codes["cuGraphLaunch"] = LAUNCH_FAILURE
    published.wait_for(lambda: thread.pricer.losses > 0)
    seen = published.count
    published.wait_for(lambda: published.count > seen + 1)
    thread.stop()
    assert thread.failure is None
    assert [severity for severity, _ in thread.news] == ["info", "warning"]
    assert thread.news[1][1].startswith("Greeks are computed on the CPU: graph: the driver refused the launch")
    after = rows_of(theo)
    assert (after["status"] == 0).all()
    np.testing.assert_allclose(after["theo"], before["theo"], rtol=1e-6, atol=1e-6)
    assert cuda.contexts == 0
