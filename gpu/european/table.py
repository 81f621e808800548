"""The narrow entrance: a table of options that lives between calls and is repriced by one call of four numbers.

Entering a kernel costs about 125 ns per array from Python; for a handful of options that is more than
the pricing. ``GreeksTable`` owns its memory, so its kernels take addresses.
"""

import numpy as np
import numpy.typing as npt

from gpu.errors import ChainError
from gpu.european.batch import mend_spot_rows, spot_loop
from gpu.european.greeks import GREEK_COUNT
from gpu.maths.aligned import aligned_table
from gpu.maths.memory import bytes_at, doubles_at
from market.jit import kernel

INPUTS = 7


@kernel
def _refresh(inputs: int, out: int, status: int, count: int, pitch: int) -> None:
    """``spot_greeks_batch`` on memory: ``inputs`` double[7, pitch], ``out`` double[14, pitch], ``status`` bytes."""
    row = pitch * 8
    spot, strike = doubles_at(inputs, count), doubles_at(inputs + row, count)
    years, rate = doubles_at(inputs + 2 * row, count), doubles_at(inputs + 3 * row, count)
    dividend_yield, vol = doubles_at(inputs + 4 * row, count), doubles_at(inputs + 5 * row, count)
    right, states = doubles_at(inputs + 6 * row, count), bytes_at(status, count)
    flagged = spot_loop(
        spot, strike, years, rate, dividend_yield, vol, right, doubles_at(out, count), doubles_at(out + row, count),
        doubles_at(out + 2 * row, count), doubles_at(out + 3 * row, count), doubles_at(out + 4 * row, count),
        doubles_at(out + 5 * row, count), doubles_at(out + 6 * row, count), doubles_at(out + 7 * row, count),
        doubles_at(out + 8 * row, count), doubles_at(out + 9 * row, count), doubles_at(out + 10 * row, count),
        doubles_at(out + 11 * row, count), doubles_at(out + 12 * row, count), doubles_at(out + 13 * row, count), states,
    )  # fmt: skip
    if flagged > 0:
        table = doubles_at(out, GREEK_COUNT * pitch).reshape((GREEK_COUNT, pitch))
        mend_spot_rows(spot, strike, years, rate, dividend_yield, vol, right, table, states)


class GreeksTable:
    """Room for ``n`` options: write the inputs, call :meth:`refresh`, read ``out`` and ``status``.

    ``spot``, ``strike``, ``years``, ``rate``, ``dividend_yield``, ``vol``, ``right`` (+1 or -1) are
    float64[n] views to write into; ``out`` float64[14, n] has the rows of ``Greek``, ``status`` uint8[n]
    is ``PriceStatus``. Nothing is allocated after construction. One thread at a time.

    Raises
    ------
    ChainError
        If ``n`` is not positive, or ``refresh`` is asked for more rows than there are.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ChainError(f"a table needs room for at least one option, n was {n}")
        self.count = n
        self._inputs = aligned_table(INPUTS, n)
        self._out = aligned_table(GREEK_COUNT, n)
        self.out = self._out[:, :n]
        self.status: npt.NDArray[np.uint8] = np.zeros(n, np.uint8)
        (self.spot, self.strike, self.years, self.rate, self.dividend_yield, self.vol, self.right) = self._inputs[:, :n]
        self._addresses = (self._inputs.ctypes.data, self._out.ctypes.data, self.status.ctypes.data)
        self._pitch = self._inputs.shape[1]

    def refresh(self, count: int | None = None) -> None:
        """Reprice the first ``count`` options (all of them if not given)."""
        rows = self.count if count is None else count
        if not 0 <= rows <= self.count:
            raise ChainError(f"the table has room for {self.count} options, count was {rows}: make a larger table")
        inputs, out, status = self._addresses
        _refresh(inputs, out, status, rows, self._pitch)
