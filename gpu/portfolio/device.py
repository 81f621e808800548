"""The European grid on a GPU: the same scalar formulas, one thread per cell and slice of the book.

The book lies in the device's memory; the host writes what changed into pinned memory, one launch takes it
over, a second one values all cells. A thread values one cell over a slice of an underlying's
series, one after the other, and the host adds up the slices: no atomics, so the same inputs give the
same bits on every run. Threads of a warp work on neighbouring cells of the same series, so the
series' numbers are read once for all of them. American books stay on the CPU.

Tested without a GPU: the kernel runs on the CPU and is compiled to PTX where numba-cuda is installed.
No time has been measured on a device.
"""

import ctypes
import math
import time
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.cuda.build import DeviceCode, compiler_version
from gpu.cuda.driver import Buffer, Call, CudaDriver
from gpu.cuda.errors import DeviceError, NoDeviceError
from gpu.cuda.primitives import block_count, block_index, thread_count, thread_index
from gpu.european.formulas import MIN_DEVIATION
from gpu.portfolio.book import Book
from gpu.portfolio.grid import day_rows
from gpu.portfolio.scenarios import PortfolioError, Scenarios
from gpu.portfolio.value import (
    ASSET,
    CASH,
    FLOOR,
    MONEYNESS,
    RATIO,
    RIGHT,
    ROOT,
    ROWS,
    SHIFT,
    SLOPE,
    VOL,
    WEIGHT,
    discounted_value,
    shocked_vol,
)
from market.jit import kernel, kernel_cache_dir

F8: TypeAlias = npt.NDArray[np.float64]

#: Series that one thread takes one after the other: 5,000 in 21 x 11 cells are 36,000 threads.
SLICE = 32
_THREADS = 128
_LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

#: Parameters of the kernels: p a pointer to int64, d a pointer to float64, i an int64.
SIGNATURES = {"portfolio_take": "ddi", "portfolio_grid": "dpddd" + "iiii"}


@kernel
def take_kernel(staged: Any, resident: Any, count: int) -> None:
    """Copy what the host staged into the device's own memory."""
    i = block_index() * thread_count() + thread_index()
    while i < count:
        resident[i] = staged[i]
        i += block_count() * thread_count()


@kernel
def grid_kernel(
    rows: Any, slices: Any, log_moves: Any, vol_shocks: Any, out: Any, series: int, count: int, spots: int, vols: int
) -> None:
    """Value of every slice in every cell: ``out`` float64[count, spots, vols], flat.

    ``rows`` as of ``value.revalue``, flat [ROWS, series]; ``slices`` int64[count, 3]: underlying, first and last
    series; ``log_moves`` float64[u, spots]; ``vol_shocks`` float64[vols].
    """
    cells = spots * vols
    at = block_index() * thread_count() + thread_index()
    while at < count * cells:
        k, cell = at // cells, at % cells
        move = log_moves[slices[3 * k] * spots + cell // vols]
        factor, shock = math.exp(move), vol_shocks[cell % vols]
        n, last, total = slices[3 * k + 1], slices[3 * k + 2], 0.0
        while n < last:
            moved = shocked_vol(rows[VOL * series + n], rows[SHIFT * series + n], rows[SLOPE * series + n],
                                rows[FLOOR * series + n], shock, move)  # fmt: skip
            deviation = moved * rows[ROOT * series + n]
            if deviation < MIN_DEVIATION:
                deviation = MIN_DEVIATION
            total += rows[WEIGHT * series + n] * discounted_value(
                rows[ASSET * series + n] * factor, rows[CASH * series + n], rows[RATIO * series + n] * factor,
                rows[MONEYNESS * series + n] + move, deviation, 1.0 / deviation, rows[RIGHT * series + n],
            )  # fmt: skip
            n += 1
        out[at] = total
        at += block_count() * thread_count()


def slices_of(book: Book) -> npt.NDArray[np.int64]:
    """[count, 3]: underlying, first and last series of each slice."""
    found = [
        (u, first, min(first + SLICE, book.starts[u + 1]))
        for u in range(book.underlyings)
        for first in range(book.starts[u], book.starts[u + 1], SLICE)
    ]
    return np.array(found, np.int64).reshape(-1, 3)


def ptx_of(name: str, capability: tuple[int, int]) -> str:
    """PTX of one of the kernels; see ``gpu.cuda.build.ptx_of``. Raises NoDeviceError without numba-cuda."""
    compiler_version()
    try:
        from numba import cuda, types

        from gpu.cuda import device
    except (ImportError, OSError) as error:
        raise NoDeviceError(f"numba-cuda cannot be imported: {error}") from error
    from gpu.cuda.retarget import Retargeter

    retarget = Retargeter(device.compile_function, device.device_primitives())
    source = retarget.copy({"portfolio_take": take_kernel, "portfolio_grid": grid_kernel}[name])
    kinds = {"p": types.CPointer(types.int64), "d": types.CPointer(types.float64), "i": types.int64}
    signature = types.void(*(kinds[letter] for letter in SIGNATURES[name]))
    ptx, _ = cuda.compile(source, signature, device=False, abi="numba", cc=capability, output="ptx")
    return str(ptx)


def device_code(name: str, capability: tuple[int, int]) -> DeviceCode:
    """PTX of a kernel for the driver to translate, kept on disk."""
    path = (
        kernel_cache_dir("gpu.portfolio.device") / f"{name}-sm{capability[0]}{capability[1]}-{compiler_version()}.ptx"
    )
    if not path.is_file():
        part = path.with_suffix(".part")
        part.write_text(ptx_of(name, capability))
        part.replace(path)
    text = path.read_text()
    entry = text.split(".visible .entry ", 1)[1].split("(", 1)[0]
    return DeviceCode(entry, text.encode() + b"\0")


class DeviceGrid:
    """A European book on the device, for one shape of grid.

    Parameters
    ----------
    book
        Without American series. Its rows may be written again by :meth:`load`; its shape stays.
    scenarios
        One day; the shocks stay.
    driver
        By default the machine's first GPU; owned from here on.
    timeout_s
        Longest wait for an answer.

    Raises
    ------
    PortfolioError
        A book with American series, or scenarios with several days.
    NoDeviceError, DeviceError
        No usable device; a driver call failed.
    """

    def __init__(
        self, book: Book, scenarios: Scenarios, driver: CudaDriver | None = None, timeout_s: float = 1.0
    ) -> None:
        spots, vols, days = scenarios.axes()
        if book.series.american.any():
            raise PortfolioError("a DeviceGrid takes European series alone: portfolio_grid prices American ones")
        if len(days) != 1:
            raise PortfolioError(f"a DeviceGrid has one day, got {len(days)}: make one for each")
        self._scenarios, self._timeout_s = scenarios, timeout_s
        self._driver = CudaDriver(code=device_code) if driver is None else driver
        self._slices = slices_of(book)
        self._shape = (book.underlyings, len(spots), len(vols))
        m, count = len(book.series.strike), len(self._slices)
        self._staged = self._driver.mapped((ROWS, m), np.float64)
        resident = self._driver.resident(ROWS * m)
        self._out = self._driver.mapped((count, len(spots), len(vols)), np.float64)
        tables = [
            self._filled(table)
            for table in (self._slices, scenarios.log_moves(book.underlyings), np.ascontiguousarray(vols))
        ]
        self._take = self._captured("portfolio_take", ROWS * m, [self._staged, resident, ROWS * m])
        self._grid = self._captured(
            "portfolio_grid", count * len(spots) * len(vols), [resident, *tables, self._out, m, count, *self._shape[1:]]
        )
        self.load(book)

    def _filled(self, values: Any) -> Buffer:
        buffer = self._driver.mapped(values.shape, values.dtype)
        assert buffer.view is not None
        buffer.view[...] = values
        return buffer

    def _captured(self, name: str, work: int, arguments: list[Buffer | int]) -> Call:
        blocks = max(1, min((work + _THREADS - 1) // _THREADS, 64 * 1024))
        return self._driver.capture(name, blocks, _THREADS, arguments)

    def load(self, book: Book) -> None:
        """Take over the book's spots, volatilities and times; it must have the series of the first one."""
        view = self._staged.view
        assert view is not None
        rows = day_rows(book, self._scenarios, float(self._scenarios.axes()[2][0]))
        if rows.shape != view.shape or not np.array_equal(slices_of(book), self._slices):
            raise PortfolioError(
                f"the book has {rows.shape[1]} series in other places; it was made for {view.shape[1]}"
            )
        view[...] = rows
        self._run(self._take)

    def cells(self) -> F8:
        """Value of the options of each underlying in every cell [u, s, v], as ``value.revalue`` gives it."""
        self._run(self._grid)
        values = np.zeros(self._shape)
        assert self._out.view is not None
        np.add.at(values, self._slices[:, 0], self._out.view)
        return values

    def _run(self, call: Call) -> None:
        """Replay a launch and wait for its end."""
        code = _LAUNCH(call.entry)(call.graph, call.stream)
        if code != 0:
            raise DeviceError(f"the driver refused the launch with error {code}")
        until = time.monotonic() + self._timeout_s
        while not self._driver.idle():
            if time.monotonic() > until:
                raise DeviceError(f"no answer within {self._timeout_s:g} s")

    def close(self) -> None:
        """Free the device's side."""
        self._driver.close()
