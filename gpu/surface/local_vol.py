"""Dupire's local volatility from a surface of total variance.

With w(k, T), k = ln(K / F(T)), Dupire's formula in a market of deterministic rates and yields is
sigma^2(k, T) = w_T / g(k), g Durrleman's function (Gatheral 2006, eq. 1.10): no option price, hence no
numerical differentiation of prices, is needed. It takes a surface free of arbitrage: where the
density g or the calendar slope w_T is not positive there is no local volatility, and a status says so.

The local volatility belongs to the diffusion of the forward-scaled spot, X = ln(S_t / F_t), at
X = k, t = T.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
U1: TypeAlias = npt.NDArray[np.uint8]


class LocalVolStatus(IntEnum):
    """Why a point has a local volatility or has none (then it is NaN)."""

    OK = 0
    NO_DENSITY = 1  # Durrleman's g <= 0 (or so near that the quotient has no digit): a butterfly arbitrage
    NO_CALENDAR = 2  # dw/dT < 0: a calendar arbitrage; exactly 0 is OK, the local volatility is 0
    BAD_INPUT = 3  # not a number, or a total variance that is not positive


OK = int(LocalVolStatus.OK)
NO_DENSITY = int(LocalVolStatus.NO_DENSITY)
NO_CALENDAR = int(LocalVolStatus.NO_CALENDAR)
BAD_INPUT = int(LocalVolStatus.BAD_INPUT)

#: g under this (it is 1 for a flat smile) is a density that is numerically zero.
MIN_DENSITY = 1e-10


@kernel
def local_vols(k: F8, w: F8, w_k: F8, w_kk: F8, w_t: F8, out: F8, status: U1) -> None:
    """Local volatility [1/sqrt(year)] of n points from the terms of total variance; every array [n].

    ``out`` is NaN wherever ``status`` is not ``LocalVolStatus.OK``. A bad point touches no other.
    About 5 ns a point.
    """
    for i in range(k.shape[0]):
        out[i] = np.nan
        variance, slope = w[i], w_k[i]
        if not (variance > 0.0 and abs(k[i]) < np.inf and variance < np.inf and abs(slope) < np.inf
                and abs(w_kk[i]) < np.inf and abs(w_t[i]) < np.inf):  # fmt: skip
            status[i] = BAD_INPUT
            continue
        bend = 1.0 - 0.5 * k[i] * slope / variance
        density = bend * bend - 0.25 * slope * slope * (1.0 / variance + 0.25) + 0.5 * w_kk[i]
        if density < MIN_DENSITY:
            status[i] = NO_DENSITY
        elif w_t[i] < 0.0:
            status[i] = NO_CALENDAR
        else:
            status[i] = OK
            out[i] = np.sqrt(w_t[i] / density)


def local_vol_surface(
    terms: Callable[[F8, F8], tuple[F8, F8, F8, F8]], k: npt.ArrayLike, years: npt.ArrayLike
) -> tuple[F8, U1]:
    """(local volatility, status) of a surface at ``k`` and ``years``, broadcast against each other.

    ``terms(k, years)`` gives (w, dw/dk, d2w/dk2, dw/dT), as a surface's ``terms`` method does. Any numbers
    are answered by a status, never by an exception.
    """
    ks, ts = np.broadcast_arrays(np.asarray(k, np.float64), np.asarray(years, np.float64))
    flat_k, flat_t = np.ascontiguousarray(ks).ravel(), np.ascontiguousarray(ts).ravel()
    w, w_k, w_kk, w_t = (np.ascontiguousarray(part, np.float64).ravel() for part in terms(flat_k, flat_t))
    out, status = np.empty(flat_k.shape), np.empty(flat_k.shape, np.uint8)
    local_vols(flat_k, w, w_k, w_kk, w_t, out, status)
    return out.reshape(ks.shape), status.reshape(ks.shape)
