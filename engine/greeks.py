"""The Greeks thread: keeps the theo table fresh, outside the loop and mostly outside the GIL.

It reads the book table that the step writes (aligned words; a torn pair is one odd quote, which
the calibration's outlier rules absorb) and publishes whole refreshes into the theo table, from
where the step takes them as frames. Time is the market's own: the latest quote's timestamp.
Who computes the values (this CPU or a GPU) is measured when the thread begins; what it found and what
it lost since is news for the daemon's log.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from config.schema import TheoConfig
from engine.state import W_MARKET_NS, Engine
from gpu.chain.theo import ChainPricer
from gpu.chain.theo_table import TheoTable
from gpu.router.router import RouterSettings

_IDLE_S = 0.02


class GreeksThread:
    """Refreshes one underlying's chain; ``on_publish`` is called from the thread after each."""

    def __init__(
        self,
        engine: Engine,
        table: TheoTable,
        instrument_count: int,
        underlying_row: int,
        settings: TheoConfig,
        on_publish: Callable[[], None],
        pin_core: int = -1,
    ) -> None:
        self._engine = engine
        self._table = table
        self._count = instrument_count
        self._row = underlying_row
        self._settings = settings
        self._on_publish = on_publish
        self._pin_core = pin_core
        self._stop = threading.Event()
        number = int(engine.underlyings[underlying_row]["instrument"])
        rows = np.asarray(engine.instruments)
        self.pricer = ChainPricer(rows, instrument_count, number, settings.rate)
        self._unit = np.power(10.0, -rows["price_scale"][:instrument_count].astype(np.float64))
        self.refreshes = 0
        self.calibrations = 0
        self.refresh_ms = 0.0
        self.calibrate_ms = 0.0
        self.last_refresh = 0.0
        self.failure: BaseException | None = None
        self.news: deque[tuple[str, str]] = deque(maxlen=20)  # severity and text; the daemon takes them out
        self._losses = 0
        self._thread = threading.Thread(target=self._run, name="axiom-greeks", daemon=True)

    def start(self) -> None:
        """Begin refreshing."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            if self._pin_core >= 0:
                os.sched_setaffinity(threading.get_native_id(), {self._pin_core})
            self._choose_path()
            self._refresh_loop()
        except BaseException as e:  # noqa: BLE001 - the thread's outermost frame: the daemon sees it and halts
            self.failure = e
        finally:
            self.pricer.close()

    def _choose_path(self) -> None:
        settings = self._settings
        report = self.pricer.route(RouterSettings(device=settings.device, persistent=settings.cuda_persistent))
        missed = settings.device == "cuda" and report.path == "cpu"
        self.news.append(("warning" if missed else "info", report.text()))

    def _tell_losses(self) -> None:
        if self.pricer.losses != self._losses:
            self._losses = self.pricer.losses
            self.news.append(("warning", f"Greeks are computed on the CPU: {self.pricer.router.last_loss}"))

    def _refresh_loop(self) -> None:
        settings = self._settings
        threshold = settings.refresh_spot_bp * 1e-4
        next_calibration = 0.0
        last_spot = 0.0
        while not self._stop.wait(_IDLE_S):
            spot = float(self._engine.underlyings[self._row]["spot"])
            market_ns = int(self._engine.words[W_MARKET_NS])
            if spot <= 0 or market_ns <= 0:
                continue
            now = time.monotonic()
            if now >= next_calibration:
                self._calibrate(spot, market_ns, first=next_calibration == 0.0)
                next_calibration = now + settings.calibrate_interval_ms / 1000.0 / max(1, self.pricer.expiries)
            moved = abs(spot - last_spot) > threshold * last_spot
            if moved or now - self.last_refresh >= settings.refresh_interval_ms / 1000.0:
                started = time.perf_counter()
                rows = self.pricer.refresh(spot, market_ns, self._table.back())
                self._table.publish(rows)
                self._tell_losses()
                self.refresh_ms = (time.perf_counter() - started) * 1000.0
                self.refreshes += 1
                self.last_refresh, last_spot = now, spot
                self._on_publish()

    def _calibrate(self, spot: float, market_ns: int, first: bool) -> None:
        """Fit all expiries at the beginning, then one after another in turn."""
        books = np.asarray(self._engine.books)[: self._count]
        bid = np.where(books["market_bid"] > 0, books["market_bid"] * self._unit, np.nan)
        ask = np.where(books["market_ask"] > 0, books["market_ask"] * self._unit, np.nan)
        started = time.perf_counter()
        if first:
            self.pricer.calibrate(bid, ask, spot, market_ns)
        else:
            self.pricer.calibrate_next(bid, ask, spot, market_ns, 1)
        self.calibrate_ms = (time.perf_counter() - started) * 1000.0
        self.calibrations += 1
