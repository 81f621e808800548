"""``GreeksRouter``: a chain's price and Greeks at a spot, from whoever is fastest and healthy.

One object owns the chain's inputs (``columns``). Whatever path is in use, a refresh that a device does not
answer, or answers wrongly, is computed on the CPU within the same call: the caller never waits longer than
``timeout_ms`` plus the CPU's time, and never sees rows of another spot. A lost device is counted, its reason
kept, and it comes back (tested anew) when it can. One thread calls; it may be any thread.
"""

import atexit
import time
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.cuda.driver import CudaDriver
from gpu.cuda.errors import DeviceError
from gpu.cuda.handshake import Outcome, first_difference
from gpu.cuda.kernels import COLUMN_COUNT
from gpu.cuda.sessions import DeviceSession
from gpu.errors import GpuError
from gpu.router.calibration import RouterReport, calibrate
from gpu.router.cpu import CpuChain
from gpu.router.paths import OpenDriver, Path, RouterSettings, open_session
from gpu.router.supervisor import Supervisor

__all__ = ["GreeksRouter", "Path", "RouterReport", "RouterSettings"]

F8: TypeAlias = npt.NDArray[np.float64]

_CHECKED_ROWS = 16  #: of a device's first answer after a change of the chain, compared with the CPU's


class GreeksRouter:
    """Rows of a chain of ``n`` series.

    Parameters
    ----------
    n
        Rows of the chain, fixed.
    reduced
        Price, delta, gamma, vega and theta (five rows) instead of price and thirteen Greeks (``Greek``).
    settings
        Which devices may be used, and when one is lost.
    open_driver
        How a device is opened; by default this machine's first NVIDIA GPU.
    supervise
        Run the supervisor in a thread. False: the owner calls ``supervisor.step``.

    Attributes
    ----------
    columns
        float64[6, n]: strike, years, rate, dividend yield, volatility, right (+1, -1). Write, then say
        which rows by :meth:`changed`; or use :meth:`load`. NaN until then.
    report
        What the calibration at start found.
    losses, last_loss
        How often a device was lost, and why the last time.
    """

    def __init__(
        self, n: int, *, reduced: bool = False, settings: RouterSettings | None = None,
        open_driver: OpenDriver = CudaDriver, supervise: bool = True,
    ) -> None:  # fmt: skip
        if n < 1:
            raise GpuError(f"a chain needs at least 1 row, had {n}")
        self.n = n
        self.reduced = reduced
        self.settings = settings or RouterSettings()
        self.columns: F8 = np.full((COLUMN_COUNT, n), np.nan)
        self.losses = 0
        self.last_loss = ""
        self._cpu = CpuChain(n, reduced)
        self._cpu_behind = True  # the CPU has not seen the last change
        self._session: DeviceSession | None = None
        self._unchecked = True
        self._open_driver = open_driver
        self._every = max(1, n // _CHECKED_ROWS)
        self.supervisor = Supervisor(self._open, self.settings.retry_after_s, self.settings.retry_longest_s)
        self.report = calibrate(n, reduced, self.settings, open_driver)
        if self.report.path is not Path.CPU:
            self._begin(supervise)

    @property
    def path(self) -> Path:
        """Who answers now: the chosen path, or the CPU while a device is lost."""
        return Path.CPU if self._session is None else self.report.path

    def load(
        self, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: npt.NDArray[np.generic]
    ) -> None:
        """Set the whole chain; each [n], as in ``columns``."""
        for row, values in enumerate((strike, years, rate, dividend_yield, vol, right)):
            self.columns[row] = values
        self.changed()

    def changed(self, first: int = 0, last: int | None = None) -> None:
        """Rows [first, last) of ``columns`` were written: they travel with the next refresh."""
        last = self.n if last is None else last
        if not 0 <= first <= last <= self.n:
            raise GpuError(f"changed rows must lie within 0..{self.n}, were {first}..{last}")
        if first == last:
            return
        self._cpu_behind = True
        if self._session is not None:
            self._session.stage(self.columns, first, last)
        self._unchecked = True

    def refresh(self, spot: float) -> F8:
        """Value every row at ``spot``; float64[rows, n], valid until the next refresh (copy what is kept).

        Rows whose inputs are no option (NaN, a strike that is not positive) are NaN.
        """
        session = self._session or self._adopted()
        if session is not None:
            if session.refresh(spot) == Outcome.ANSWERED and self._agrees(session, spot):
                return session.out
            self._lose(session)
        if self._cpu_behind:
            self._cpu.load(self.columns)
            self._cpu_behind = False
        return self._cpu.refresh(spot)

    def close(self) -> None:
        """Give the device back. Refreshes go on, on the CPU."""
        atexit.unregister(self.close)
        session, self._session = self._session, None
        self.supervisor.close()
        if session is not None:
            session.close()

    def _open(self) -> DeviceSession:
        return open_session(self.report.path, self.n, self.reduced, self.settings, self._open_driver)

    def _begin(self, supervise: bool) -> None:
        """Open the chosen path; a device that fails now counts as lost from the start."""
        atexit.register(self.close)
        try:
            self._use(self._open())
        except DeviceError as e:
            self.losses, self.last_loss = 1, f"{self.report.path.value}: {e}"
            self.supervisor.want(time.monotonic())
        if supervise:
            self.supervisor.start()

    def _use(self, session: DeviceSession) -> None:
        session.stage(self.columns, 0, self.n)
        self._unchecked = True
        self._session = session
        self.supervisor.watch(session, time.monotonic())

    def _adopted(self) -> DeviceSession | None:
        """A session that the supervisor has opened meanwhile."""
        session = self.supervisor.take()
        if session is not None:
            self._use(session)
        return session

    def _agrees(self, session: DeviceSession, spot: float) -> bool:
        """The first answer after a change is compared in a sample of its rows."""
        if not self._unchecked:
            return True
        row = int(first_difference(self.columns, spot, session.out, self._every, self.settings.tolerance))
        if row >= 0:
            session.trouble = f"row {row} differs from the CPU's by more than {self.settings.tolerance:g}"
            return False
        self._unchecked = False
        return True

    def _lose(self, session: DeviceSession) -> None:
        self._session = None
        self.losses += 1
        self.last_loss = f"{self.report.path.value}: {session.trouble}"
        self.supervisor.bury(session, time.monotonic(), again=True)
