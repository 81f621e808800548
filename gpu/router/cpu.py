"""The way that always works: a chain's rows on the CPU, its constants prepared when they change."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.cuda.kernels import FULL_ROWS, REDUCED_ROWS
from gpu.european.chain_greeks import ChainGreeks

F8: TypeAlias = npt.NDArray[np.float64]


class CpuChain:
    """Rows of a chain of ``n`` series. ``out`` [rows, n] holds those of the last refresh."""

    def __init__(self, n: int, reduced: bool) -> None:
        self._chain = ChainGreeks(n)
        self._move = self._chain.move_reduced if reduced else self._chain.move
        self.out: F8 = np.full((REDUCED_ROWS if reduced else FULL_ROWS, n), np.nan)

    def load(self, columns: F8) -> None:
        """Take over the chain's inputs, float64[6, n]: about 15 ns a row, so a part is not worth the trouble."""
        self._chain.load(columns[0], columns[1], columns[2], columns[3], columns[4], columns[5])

    def refresh(self, spot: float) -> F8:
        """Value all rows at ``spot``; returns ``out``."""
        self._move(spot, self.out)
        return self.out
