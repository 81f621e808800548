"""American options on a spot that pays dividends in cash: arrays in, arrays out.

Two models (``DividendModel``): SPOT, lognormal between ex-dates and dropping by the amount at each, which
is what a listed option's spot does; ESCROWED, where the spot less the value of the dividends to come is
lognormal, which leaves European options Black-Scholes and makes volatility mean less the longer the dates
are away. The two give different prices from the same volatility: never mix them.

Two methods: calls that are exercised at ex-dates alone go through the exact recursion
(``dividend_recursion.py``, microseconds for one date); everything else, all puts among it, through finite
differences on two grids and Richardson's extrapolation (``finite_difference.py``, milliseconds).
"""

import math
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.dividend_recursion import MAX_POINTS, RECURSION_WORK, call_by_recursion, recursion_is_exact
from gpu.american.finite_difference import (
    GRID_WORK,
    OUT_ROWS,
    DividendModel,
    calendar_greeks,
    finite_difference_row,
)
from gpu.european.formulas import MIN_DEVIATION, spot_domain
from gpu.status import PriceStatus
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I1: TypeAlias = npt.NDArray[np.int8]
U1: TypeAlias = npt.NDArray[np.uint8]

OK = int(PriceStatus.OK)
DIVIDEND_ROWS = OUT_ROWS

#: Default size of the finer grid: about 1e-5 of a strike of 100 after extrapolation.
DEFAULT_NODES = 400
MIN_NODES = 64
MAX_NODES = 6400

_STEP_VOL = 0.01  # relative
_STEP_RATE = 5e-4


class DividendMethod(IntEnum):
    """Which method answers a row."""

    AUTO = 0  # the recursion where it is exact, the grid elsewhere
    GRID = 1  # always the grid


AUTO = int(DividendMethod.AUTO)


@kernel(internal=True)
def _recursion_row(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float,
    amounts: F8, times: F8, model: int, all_greeks: bool, work: F8, out: F8,
) -> bool:  # fmt: skip
    """A call by the recursion; False, and ``out`` unspoiled by anything but NaN, where it has no room."""
    price, delta, gamma, speed, good = call_by_recursion(
        spot, strike, years, rate, dividend_yield, vol, amounts, times, model, work
    )
    if not good:
        return False
    base = (price, delta, gamma, speed, False)
    out[0], out[1], out[2] = price, delta, gamma
    out[4], out[8] = calendar_greeks(spot, strike, years, rate, dividend_yield, vol, amounts, times, model, base)
    if not all_greeks:
        return True
    h, k = _STEP_VOL * vol, _STEP_RATE
    for j in (3, 5, 6, 7, 9, 10):
        out[j] = 0.0
    for m in (-2, -1, 1, 2):
        first = (8.0 if abs(m) == 1 else -1.0) * (1.0 if m > 0 else -1.0) / 12.0
        second = (16.0 if abs(m) == 1 else -1.0) / 12.0
        moved = call_by_recursion(spot, strike, years, rate, dividend_yield, vol + m * h, amounts, times, model, work)
        theta, _ = calendar_greeks(
            spot, strike, years, rate, dividend_yield, vol + m * h, amounts, times, model,
            (moved[0], moved[1], moved[2], moved[3], False),
        )  # fmt: skip
        by_rate = call_by_recursion(spot, strike, years, rate + m * k, dividend_yield, vol, amounts, times, model, work)
        by_yield = call_by_recursion(
            spot, strike, years, rate, dividend_yield + m * k, vol, amounts, times, model, work
        )
        good = good and moved[4] and by_rate[4] and by_yield[4]
        out[3] += first / h * moved[0]
        out[6] += first / h * moved[1]
        out[7] += second / (h * h) * (moved[0] - price)
        out[9] += first / h * theta
        out[5] += first / k * by_rate[0]
        out[10] += first / k * by_yield[0]
    return good


@kernel
def dividend_row(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    amounts: F8, times: F8, model: int, method: int, steps: int, all_greeks: bool,
    fine: F8, coarse: F8, points: F8, out: F8, spare: F8,
) -> int:  # fmt: skip
    """One option; ``fine`` and ``coarse`` [GRID_WORK, nodes] set the grids, ``points`` is the recursion's work.

    ``out``, ``spare`` float64[DIVIDEND_ROWS], rows as in :func:`finite_difference_row`. Returns ``PriceStatus``.
    """
    sound = spot_domain(spot, strike, years, rate, dividend_yield, vol, float(right)) and years > 0.0 and vol > 0.0
    for j in range(amounts.shape[0]):
        sound = sound and amounts[j] >= 0.0 and abs(times[j] + amounts[j]) < math.inf
        sound = sound and (j == 0 or times[j] >= times[j - 1])
    if (
        method == AUTO and right == 1 and sound and vol * math.sqrt(years) > MIN_DEVIATION
        and recursion_is_exact(spot, strike, years, rate, dividend_yield, vol)
    ):  # fmt: skip
        for j in range(DIVIDEND_ROWS):
            out[j] = math.nan
        if _recursion_row(
            spot, strike, years, rate, dividend_yield, vol, amounts, times, model, all_greeks, points, out
        ):
            return OK
    status = finite_difference_row(
        spot, strike, years, rate, dividend_yield, vol, right, amounts, times, model, True, steps, all_greeks,
        fine, out,
    )  # fmt: skip
    if status != OK:
        return status
    finite_difference_row(
        spot, strike, years, rate, dividend_yield, vol, right, amounts, times, model, True, steps // 2, all_greeks,
        coarse, spare,
    )  # fmt: skip
    for j in range(DIVIDEND_ROWS):
        out[j] += (out[j] - spare[j]) / 3.0
    return OK


@kernel
def _batch(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: I1, amounts: F8, times: F8,
    model: int, method: int, steps: int, all_greeks: bool, fine: F8, coarse: F8, points: F8, rows: F8, out: F8,
    status: U1,
) -> None:  # fmt: skip
    for i in range(spot.shape[0]):
        status[i] = dividend_row(
            spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], int(right[i]), amounts, times,
            model, method, steps, all_greeks, fine, coarse, points, rows[0], rows[1],
        )  # fmt: skip
        for j in range(out.shape[0]):
            out[j, i] = rows[0, j]


def check_dates_and_nodes(amounts: F8, times: F8, nodes: int) -> None:
    """ValueError for dividends that are no list of dates, and for a grid that is too small or too large."""
    if amounts.shape != times.shape or amounts.ndim != 1:
        raise ValueError(f"amounts and times must be vectors of one length, were {amounts.shape} and {times.shape}")
    if not MIN_NODES <= nodes <= MAX_NODES:
        raise ValueError(f"nodes must be {MIN_NODES}..{MAX_NODES}, was {nodes}; {DEFAULT_NODES} suits most uses")


def american_dividend_greeks(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: I1, amounts: F8, times: F8,
    out: F8, status: U1, *, model: DividendModel = DividendModel.SPOT,
    method: DividendMethod = DividendMethod.AUTO, nodes: int = DEFAULT_NODES, all_greeks: bool = True,
) -> None:  # fmt: skip
    """Price and Greeks of n American options on one underlying that pays cash dividends.

    Parameters
    ----------
    spot, strike, years, rate, dividend_yield, vol
        float64[n]; the yield is paid continuously, beside the dividends (a borrow fee, say).
    right
        int8[n], +1 call, -1 put.
    amounts, times
        float64[d], the dividends in currency and their ex-dates in years from now, in any order. Those
        outside (0, years of the row] do not touch that row. Zero dividends are allowed.
    out
        float64[DIVIDEND_ROWS, n]: the first ten rows of ``Greek``, then the derivative in the yield. Theta
        and charm let the ex-dates stand in the calendar. NaN where the status is BAD_INPUT.
    status
        uint8[n] of ``PriceStatus``; INTRINSIC rows have no volatility left and the value of the best date.
    model, method
        See the module.
    nodes
        Nodes of the finer grid, 64 to 6400; its steps and the coarser grid are half of it.
    all_greeks
        False: only price, delta, gamma, theta and charm, seven times faster; the other rows are NaN.

    Raises
    ------
    ValueError
        Arrays of unequal length, or ``nodes`` out of range.
    """
    n = spot.shape[0]
    for name, array in (
        ("strike", strike), ("years", years), ("rate", rate), ("dividend_yield", dividend_yield), ("vol", vol),
        ("right", right), ("status", status),
    ):  # fmt: skip
        if array.shape != (n,):
            raise ValueError(f"{name} must have shape ({n},) as spot has, was {array.shape}")
    if out.shape != (DIVIDEND_ROWS, n):
        raise ValueError(f"out must have shape ({DIVIDEND_ROWS}, {n}), was {out.shape}")
    check_dates_and_nodes(amounts, times, nodes)
    order = np.argsort(times, kind="stable")
    _batch(
        spot, strike, years, rate, dividend_yield, vol, right,
        np.ascontiguousarray(amounts[order]), np.ascontiguousarray(times[order]), int(model), int(method),
        nodes // 2, all_greeks, np.empty((GRID_WORK, nodes)), np.empty((GRID_WORK, nodes // 2)),
        np.empty((RECURSION_WORK, MAX_POINTS)), np.empty((2, DIVIDEND_ROWS)), out, status,
    )  # fmt: skip
