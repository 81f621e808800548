"""Which way is fastest here: measured at start, told in one report."""

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from gpu.errors import GpuError
from gpu.router.cpu import CpuChain
from gpu.router.paths import OpenDriver, Path, RouterSettings, open_session, sample_columns


class Timing(msgspec.Struct, frozen=True):
    """One path at one size: a refresh as its caller sees it, Python included."""

    path: Path
    n: int
    median_us: float


class RouterReport(msgspec.Struct, frozen=True):
    """What the router chose at start, and on which figures."""

    path: Path
    n: int  # rows of the chain
    reason: str
    timings: tuple[Timing, ...] = ()
    unavailable: tuple[tuple[Path, str], ...] = ()  # with the reason
    break_even: tuple[tuple[Path, int | None], ...] = ()  # rows from which a device's path beats the CPU; None: never
    device: str = ""

    def text(self) -> str:
        """The report in one line of a log."""
        parts = [f"greeks path {self.path.value} for {self.n} rows: {self.reason}"]
        if self.device:
            parts.append(f"device {self.device}")
        for path in dict.fromkeys(timing.path for timing in self.timings):
            mine = [timing for timing in self.timings if timing.path is path]
            parts.append(f"{path.value} " + ", ".join(f"{timing.n}: {timing.median_us:.1f} us" for timing in mine))
        for path, rows in self.break_even:
            parts.append(
                f"{path.value} is faster " + (f"from {rows} rows" if rows is not None else "at no size measured")
            )
        parts.extend(f"no {path.value}: {reason}" for path, reason in self.unavailable)
        return "; ".join(parts)


def median_us(refresh: Callable[[float], Any], rounds: int) -> float:
    """Median time of one refresh in microseconds, over moving spots."""
    refresh(100.0)
    times = []
    for i in range(rounds):
        spot = 100.0 + 0.01 * (i % 7)
        started = time.perf_counter_ns()
        refresh(spot)
        times.append(time.perf_counter_ns() - started)
    return statistics.median(times) / 1e3


def break_even_rows(cpu: Sequence[Timing], device: Sequence[Timing]) -> int | None:
    """Rows from which the device stays faster, interpolated between the sizes measured; None if it never is."""
    gaps = [(a.n, b.median_us - a.median_us) for a, b in zip(cpu, device, strict=True)]
    if not gaps or gaps[-1][1] >= 0.0:
        return None
    found = gaps[0][0]
    for (n, gap), (following, next_gap) in pairwise(gaps):
        if gap >= 0.0 > next_gap:
            found = round(n + (following - n) * gap / (gap - next_gap))
    return found


def calibrate(n: int, reduced: bool, settings: RouterSettings, open_driver: OpenDriver) -> RouterReport:
    """Measure every path there is at several sizes and choose one for chains of ``n`` rows.

    Takes about a tenth of a second per path; building device code for the first time, a few seconds.
    """
    wanted: list[Path] = [] if settings.device == "cpu" else [Path.GRAPH]
    if wanted and settings.persistent:
        wanted.append(Path.PERSISTENT)
    sizes = sorted({*settings.sizes, n}) if wanted else [n]
    timings: dict[Path, list[Timing]] = {}
    unavailable: list[tuple[Path, str]] = []
    device = ""
    for path in wanted:
        try:
            timings[path], device = _device_timings(path, sizes, reduced, settings, open_driver)
        except GpuError as e:
            unavailable.append((path, str(e)))
    timings[Path.CPU] = _cpu_timings(sizes if len(timings) > 0 else [n], reduced, settings)
    if settings.device == "cpu":
        unavailable.append((Path.GRAPH, "the configuration says cpu"))
    if not settings.persistent:
        unavailable.append((Path.PERSISTENT, "not asked for"))
    at_n = {path: next(t.median_us for t in mine if t.n == n) for path, mine in timings.items()}
    devices: dict[Path, float] = {path: us for path, us in at_n.items() if path is not Path.CPU}
    chosen, reason = _choice(settings, at_n, devices)
    return RouterReport(
        path=chosen,
        n=n,
        reason=reason,
        timings=tuple(timing for mine in timings.values() for timing in mine),
        unavailable=tuple(unavailable),
        break_even=tuple((path, break_even_rows(timings[Path.CPU], timings[path])) for path in devices),
        device=device,
    )


def _choice(settings: RouterSettings, at_n: dict[Path, float], devices: dict[Path, float]) -> tuple[Path, str]:
    if settings.device == "cpu":
        return Path.CPU, "as configured"
    if not devices:
        return Path.CPU, "no device can be used" + (", though cuda is configured" if settings.device == "cuda" else "")
    if settings.device == "cuda":
        return min(devices, key=devices.__getitem__), "the fastest of the device's, as configured"
    return min(at_n, key=at_n.__getitem__), "the fastest as measured"


def _cpu_timings(sizes: Sequence[int], reduced: bool, settings: RouterSettings) -> list[Timing]:
    found = []
    for n in sizes:
        chain = CpuChain(n, reduced)
        chain.load(sample_columns(n))
        found.append(Timing(Path.CPU, n, median_us(chain.refresh, settings.rounds)))
    return found


def _device_timings(
    path: Path, sizes: Sequence[int], reduced: bool, settings: RouterSettings, open_driver: OpenDriver
) -> tuple[list[Timing], str]:
    found, device = [], ""
    for n in sizes:
        session = open_session(path, n, reduced, settings, open_driver)
        try:
            found.append(Timing(path, n, median_us(session.refresh, settings.rounds)))
            device = session.driver.name
        finally:
            session.close()
    return found, device
