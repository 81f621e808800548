"""The ways a chain can be valued, and the test that a device's way has to pass before it is believed."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gpu.cuda.driver import Driver
from gpu.cuda.errors import DeviceError
from gpu.cuda.handshake import Outcome, first_difference
from gpu.cuda.sessions import DeviceSession, GraphSession, ResidentSession
from gpu.errors import GpuError

F8: TypeAlias = npt.NDArray[np.float64]
OpenDriver: TypeAlias = Callable[[], Driver]


class Path(StrEnum):
    """Who computes a chain's rows."""

    CPU = "cpu"
    GRAPH = "graph"  # a captured launch, replayed for each refresh
    PERSISTENT = "persistent"  # a kernel that stays on the device and polls


class RouterSettings(msgspec.Struct, frozen=True):
    """How the way is chosen and when a device counts as lost."""

    device: str = "auto"  # auto: the fastest as measured; cpu; cuda: a device wherever there is one
    persistent: bool = False  # offer the kernel that stays; it wants the GPU for itself and a core that spins
    timeout_ms: float = 20.0  # a hundred times a large chain's answer; the CPU then takes the same refresh
    retry_after_s: float = 1.0  # doubled after each failure that comes soon
    retry_longest_s: float = 60.0
    sizes: tuple[int, ...] = (256, 1024, 4096, 16384)  # chains that the start-up calibration measures, beside ours
    rounds: int = 101  # refreshes behind each median
    tolerance: float = 1e-9  # device against CPU, relative above 1; both are good to about 1e-12

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise GpuError(f"device must be auto, cpu or cuda, was {self.device!r}")
        bounds = {
            "timeout_ms": (0.01, 60_000.0), "retry_after_s": (0.0, 86_400.0), "retry_longest_s": (0.0, 86_400.0),
            "rounds": (3, 100_000), "tolerance": (1e-15, 1.0),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise GpuError(f"{name} must be {low:g}..{high:g}, was {value!r}")
        if any(size < 1 for size in self.sizes):
            raise GpuError(f"sizes must be at least 1, were {self.sizes}")


def sample_columns(n: int, seed: int = 20) -> F8:
    """A chain of ``n`` rows over the whole domain for tests of a path, float64[6, n] around a spot of 100.

    The first rows of a chain longer than eight are bad or degenerate: they have to come out alike, too.
    """
    rng = np.random.default_rng(seed)
    columns = np.ascontiguousarray(
        [
            100.0 * np.exp(rng.normal(0.0, 0.35, n)), np.exp(rng.uniform(-6.0, 1.2, n)), rng.uniform(-0.02, 0.10, n),
            rng.uniform(-0.02, 0.08, n), np.exp(rng.uniform(-3.0, 0.4, n)), np.where(rng.random(n) < 0.5, 1.0, -1.0),
        ]
    )  # fmt: skip
    if n > 8:
        columns[0, 0], columns[0, 1], columns[1, 2], columns[4, 3] = np.nan, -5.0, 0.0, 0.0
        columns[4, 4], columns[0, 5], columns[0, 6] = np.inf, 1e-3, 1e6
    return columns


def self_test(session: DeviceSession, tolerance: float) -> str:
    """Compare every row of a sample chain with the CPU's at three spots; empty, or what is wrong.

    Leaves the sample in the session: stage the real chain afterwards.
    """
    columns = sample_columns(session.n)
    session.stage(columns, 0, session.n)
    for spot in (100.0, 71.3, 140.9):
        session.out[...] = -1.0  # rows of the request before must not pass for an answer
        if session.refresh(spot) != Outcome.ANSWERED:
            return session.trouble
        row = int(first_difference(columns, spot, session.out, 1, tolerance))
        if row >= 0:
            return f"self-test refused it: row {row} at spot {spot:g} differs from the CPU's by more than {tolerance:g}"
    return ""


def open_session(path: Path, n: int, reduced: bool, settings: RouterSettings, open_driver: OpenDriver) -> DeviceSession:
    """Open a device's way for a chain of ``n`` rows, and test it.

    Raises
    ------
    DeviceError
        There is no device, it failed, or its rows are not the CPU's. Nothing is left open.
    """
    driver = open_driver()
    timeout_ns = int(settings.timeout_ms * 1e6)
    kind = ResidentSession if path is Path.PERSISTENT else GraphSession
    try:
        session: DeviceSession = kind(driver, n, reduced, timeout_ns)
    except BaseException:
        driver.close()
        raise
    trouble = self_test(session, settings.tolerance)
    if trouble:
        session.close()
        raise DeviceError(trouble)
    return session
