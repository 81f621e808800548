"""``SurfaceChain``: which row of a chain is which contract, by expiry and strike. Built once, quotes come and go."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.errors import ChainError
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]


@kernel
def pair_quotes(bid: F8, ask: F8, call: I8, put: I8, out: F8) -> None:
    """Quotes of every pair to ``out`` float64[4, pairs]: call bid, call ask, put bid, put ask; NaN for no contract."""
    for i in range(call.shape[0]):
        out[0, i] = bid[call[i]] if call[i] >= 0 else np.nan
        out[1, i] = ask[call[i]] if call[i] >= 0 else np.nan
        out[2, i] = bid[put[i]] if put[i] >= 0 else np.nan
        out[3, i] = ask[put[i]] if put[i] >= 0 else np.nan


class SurfaceChain:
    """n contracts grouped by expiry (in order of time) and paired by strike.

    Parameters
    ----------
    strike
        float64[n], in currency.
    years
        float64[n], ACT/365 to each contract's expiry; equal numbers are one expiry.
    right
        [n], +1 call, -1 put.
    american
        Style of all of them.

    Raises
    ------
    ChainError
        Arrays of different lengths. Rows that make no sense (a strike that is not positive, years that
        are NaN, a right other than +-1, a second row for the same contract) belong to no pair: ``bad`` is
        True for them and nothing else is touched.

    """

    def __init__(
        self, strike: npt.ArrayLike, years: npt.ArrayLike, right: npt.ArrayLike, american: bool = False
    ) -> None:
        self.strike = np.ascontiguousarray(strike, np.float64)
        self.row_years = np.ascontiguousarray(years, np.float64)
        self.right = np.ascontiguousarray(right).astype(np.int64)
        self.american = bool(american)
        self.count = len(self.strike)
        if not (self.strike.ndim == 1 and self.strike.shape == self.row_years.shape == self.right.shape):
            raise ChainError(
                f"strike, years and right must be three [n], had shapes "
                f"{self.strike.shape}, {self.row_years.shape}, {self.right.shape}"
            )
        sound = np.isfinite(self.strike) & (self.strike > 0.0) & np.isfinite(self.row_years) & (abs(self.right) == 1)
        order = np.lexsort((-self.right, self.strike, self.row_years))
        order = order[sound[order]]
        k, t, r = self.strike[order], self.row_years[order], self.right[order]
        fresh = np.ones(len(order), bool)
        fresh[1:] = (k[1:] != k[:-1]) | (t[1:] != t[:-1]) | (r[1:] != r[:-1])
        order, k, t, r = order[fresh], k[fresh], t[fresh], r[fresh]
        self.bad = np.ones(self.count, bool)
        self.bad[order] = False
        starts = np.ones(len(order), bool)
        starts[1:] = (k[1:] != k[:-1]) | (t[1:] != t[:-1])
        pair = np.cumsum(starts) - 1
        pairs = int(starts.sum())
        self.pair_strike = k[starts].copy()
        self.pair_call = np.full(pairs, -1, np.int64)
        self.pair_put = np.full(pairs, -1, np.int64)
        self.pair_call[pair[r > 0]] = order[r > 0]
        self.pair_put[pair[r < 0]] = order[r < 0]
        self.years, first = np.unique(t[starts], return_index=True)
        self.pair_first = np.append(first, pairs).astype(np.int64)
        #: Expiry of each row, -1 for a bad one.
        self.expiry = np.full(self.count, -1, np.int64)
        self.expiry[order] = np.searchsorted(self.years, t)
        self.longest = int(np.diff(self.pair_first).max()) if pairs else 0

    def prices(self, values: npt.ArrayLike, what: str) -> F8:
        """Contiguous float64[n] of what the caller gives, or ChainError."""
        array = np.ascontiguousarray(values, np.float64)
        if array.shape != (self.count,):
            raise ChainError(f"{what} must be float64[{self.count}], one per contract, had shape {array.shape}")
        return array

    def pair_quotes(self, bid: npt.ArrayLike, ask: npt.ArrayLike) -> F8:
        """float64[4, pairs]: call bid, call ask, put bid, put ask; NaN where there is no such contract."""
        out = np.full((4, len(self.pair_strike)), np.nan)
        pair_quotes(self.prices(bid, "bid"), self.prices(ask, "ask"), self.pair_call, self.pair_put, out)
        return out
