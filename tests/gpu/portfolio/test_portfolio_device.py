"""The grid's kernel for GPUs: on the CPU it gives the CPU's cells; with numba-cuda it becomes device code."""

import ctypes
import re
from typing import Any

import numpy as np
import pytest

from gpu.cuda.build import DeviceCode
from gpu.cuda.driver import CudaDriver
from gpu.cuda.errors import DeviceError, NoDeviceError
from gpu.portfolio import device
from gpu.portfolio.book import Book
from gpu.portfolio.grid import day_rows, portfolio_grid
from gpu.portfolio.scenarios import PortfolioError, Scenarios
from gpu.portfolio.value import ROWS
from tests.gpu.cuda.fake_cuda import FakeCuda

SCENARIOS = Scenarios(
    spot_shocks=(-0.3, -0.1, 0.0, 0.2), vol_shocks=(-0.5, 0.0, 0.25), stickiness=0.7, spot_beta=(1.0, 1.5, 0.5)
)


def some_book(n: int = 200, seed: int = 1, spot: float = 100.0) -> Book:
    g = np.random.default_rng(seed)
    return Book(
        (spot, 40.0, 900.0), g.uniform(30.0, 150.0, n), g.choice([0.0, 0.02, 0.4, 2.0], n), 0.03, 0.01,
        g.uniform(0.1, 0.9, n), g.choice([-1, 1], n), g.integers(-9, 10, n), underlying=g.choice([0, 2], n),
        smile_slope=-0.1,
    )  # fmt: skip


def expected(book: Book) -> Any:
    result = portfolio_grid(book, SCENARIOS, greeks=False)
    return result.by_underlying[:, 0] + result.value[:, None, None]


def test_slices_cover_every_series_once_within_its_underlying() -> None:
    book = some_book()
    slices = device.slices_of(book)
    assert np.array_equal(np.concatenate([np.arange(a, b) for _, a, b in slices]), np.arange(len(book.series.strike)))
    for u, a, b in slices:
        assert 0 < b - a <= device.SLICE
        assert np.all(book.series.underlying[a:b] == u)


def test_the_device_kernel_gives_the_cells_of_the_cpu() -> None:
    book = some_book()
    slices, m = device.slices_of(book), len(book.series.strike)
    out = np.zeros((len(slices), 4, 3))
    device.grid_kernel(
        day_rows(book, SCENARIOS, 0.0).reshape(-1), slices.reshape(-1), SCENARIOS.log_moves(3).reshape(-1),
        SCENARIOS.axes()[1], out.reshape(-1), m, len(slices), 4, 3,
    )  # fmt: skip
    cells = np.zeros((3, 4, 3))
    np.add.at(cells, slices[:, 0], out)
    assert np.allclose(cells, expected(book), rtol=1e-12, atol=1e-9)
    assert np.all(cells[1] == 0.0)  # nothing is held of it


class Machine(FakeCuda):
    """The library that runs this room's two kernels."""

    def _cuLaunchKernel(self, function: Any, *rest: Any) -> None:
        name = self._names[function.value - 1].decode()
        packed = rest[8]
        assert len(packed) == len(device.SIGNATURES[name])
        assert self.recording is not None
        self.recording.append((name, [ctypes.c_int64.from_address(pointer).value for pointer in packed]))

    def _replay(self, graph: int | None, stream: int | None) -> int:
        if code := self.faults.codes.get("cuGraphLaunch"):
            return code
        for name, values in self.graphs[graph]:
            if name == "portfolio_take":
                sizes = [values[2], values[2]]
            else:
                series, count, spots, vols = values[5:]
                sizes = [ROWS * series, 3 * count, 3 * spots, vols, count * spots * vols]
            kinds = {"p": np.int64, "d": np.float64}
            arrays = [
                np.frombuffer((ctypes.c_byte * (8 * size)).from_address(at), kinds[kind])
                for kind, at, size in zip(device.SIGNATURES[name], values, sizes, strict=False)
            ]
            call = device.take_kernel if name == "portfolio_take" else device.grid_kernel
            call(*arrays, *values[len(sizes) :])
        return 0


def open_grid(book: Book, machine: Machine, **more: Any) -> device.DeviceGrid:
    driver = CudaDriver(machine, code=lambda name, _capability: DeviceCode(name, name.encode()))
    return device.DeviceGrid(book, more.pop("scenarios", SCENARIOS), driver, **more)


def test_a_book_on_the_device_follows_the_host() -> None:
    machine = Machine()
    grid = open_grid(some_book(), machine)
    assert np.allclose(grid.cells(), expected(some_book()), rtol=1e-12, atol=1e-9)
    grid.load(some_book(spot=104.0))
    assert np.allclose(grid.cells(), expected(some_book(spot=104.0)), rtol=1e-12, atol=1e-9)
    grid.close()
    assert machine.memory == {} and machine.contexts == 0


def test_failures_of_the_device_are_named() -> None:
    machine = Machine()
    grid = open_grid(some_book(), machine)
    machine.faults.codes["cuGraphLaunch"] = 719
    with pytest.raises(DeviceError, match="refused the launch with error 719"):
        grid.cells()
    grid.close()
    slow = Machine()
    grid = open_grid(some_book(), slow, timeout_s=0.01)
    slow.faults.codes["cuStreamQuery"] = 600
    with pytest.raises(DeviceError, match=r"no answer within 0\.01 s"):
        grid.cells()
    grid.close()


def test_what_the_device_does_not_do_is_said_at_once() -> None:
    american = Book(100.0, 100.0, 1.0, 0.03, 0.0, 0.2, -1, [1.0], american=True)
    with pytest.raises(PortfolioError, match="European series alone"):
        open_grid(american, Machine())
    days = Scenarios(spot_shocks=(0.0,), vol_shocks=(0.0,), days=(0.0, 1.0))
    with pytest.raises(PortfolioError, match="one day, got 2"):
        open_grid(some_book(), Machine(), scenarios=days)
    grid = open_grid(some_book(), Machine())
    with pytest.raises(PortfolioError, match="other places"):
        grid.load(some_book(n=150))
    grid.close()


@pytest.mark.parametrize("name", sorted(device.SIGNATURES))
def test_the_kernels_become_device_code(name: str) -> None:
    try:
        text = device.ptx_of(name, (9, 0))
    except NoDeviceError as error:
        pytest.skip(str(error))
    assert text.count(".visible .entry") == 1
    assert not re.search(r"^\s*call", text, re.MULTILINE), "a formula was not inlined"
    assert re.search(r"^\s*(add|mul|fma|div)\S*\.f32", text, re.MULTILINE) is None, "single precision has crept in"
    assert len(re.findall(r"\.param \.u64 \w+_param_\d+,?$", text, re.MULTILINE)) == len(device.SIGNATURES[name])


def test_on_a_real_device_the_cells_are_the_cpus() -> None:
    try:
        grid = device.DeviceGrid(some_book(), SCENARIOS)
    except NoDeviceError as error:
        pytest.skip(str(error))
    assert np.allclose(grid.cells(), expected(some_book()), rtol=1e-12, atol=1e-9)
    grid.close()
