"""A chain whose constants are cached: when only the spot moves, two thirds of the work is already done.

``load`` once per time step, curve or volatility; ``move`` on every tick. A move costs one exponential
and two tails per option instead of three exponentials, a logarithm, a square root and four divisions.
The logarithm of forward over strike is that at the spot ``anchor`` plus ln(spot / anchor), both pairs of
doubles (``maths/pairs.py``), so that nothing is lost where they cancel; a move further than ``REANCHOR``
away renews the anchor (one pass of logarithms).
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.errors import ChainError
from gpu.european.formulas import MAX_PRICE, MIN_PRICE, log_moneyness, moved_reduced, moved_row
from gpu.european.greeks import BAD_INPUT, GREEK_COUNT, OK, spot_greeks, spot_status
from gpu.maths.aligned import aligned_table
from gpu.maths.functions import exp_near
from gpu.maths.pairs import log_ratio_pair, sum_pair
from gpu.maths.wide import wide_kernel
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I4: TypeAlias = npt.NDArray[np.int32]
U1: TypeAlias = npt.NDArray[np.uint8]
Column: TypeAlias = npt.NDArray[np.generic] | float

REDUCED_COUNT = 5
CONSTANTS = 12
REANCHOR = 0.1  # of the logarithm of the spot


@wide_kernel
def load_loop(
    strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: F8,
    move: F8, carry: F8, cash: F8, root: F8, inv_root: F8, dev: F8, inv_dev: F8, r: F8, q: F8, w: F8,
) -> None:  # fmt: skip
    """What a spot move leaves alone, per option; see ``formulas.moved_row``."""
    for i in range(strike.shape[0]):
        t = years[i]
        side = math.sqrt(t)
        deviation = vol[i] * side
        move[i] = (rate[i] - dividend_yield[i]) * t
        carry[i] = exp_near(-dividend_yield[i] * t)
        cash[i] = strike[i] * exp_near(-rate[i] * t)
        root[i], inv_root[i] = side, 1.0 / side
        dev[i], inv_dev[i] = deviation, 1.0 / deviation
        r[i], q[i], w[i] = rate[i], dividend_yield[i], float(right[i])


@wide_kernel
def anchor_loop(
    anchor: float, strike: F8, years: F8, rate: F8, dividend_yield: F8, x: F8, x_low: F8
) -> None:  # fmt: skip
    """Logarithm of the forward moneyness at the spot ``anchor``, as a pair per option."""
    for i in range(strike.shape[0]):
        x[i], x_low[i] = log_moneyness(anchor, strike[i], years[i], rate[i], dividend_yield[i])


@wide_kernel
def move_loop(
    spot: float, inv_spot: float, step: float, step_low: float,
    x: F8, x_low: F8, move: F8, carry: F8, cash: F8, root: F8, inv_root: F8, dev: F8, inv_dev: F8, r: F8, q: F8, w: F8,
    price: F8, delta: F8, gamma: F8, vega: F8, theta: F8, rho: F8, vanna: F8, volga: F8, charm: F8, veta: F8,
    speed: F8, zomma: F8, colour: F8, ultima: F8,
) -> None:  # fmt: skip
    """All fourteen rows at a new spot; step = ln(spot / anchor)."""
    for i in range(price.shape[0]):  # the constants' rows are padded
        row = moved_row(
            spot, inv_spot, sum_pair(x[i], x_low[i], step, step_low), move[i], carry[i], cash[i], root[i], inv_root[i],
            dev[i], inv_dev[i], r[i], q[i], w[i],
        )  # fmt: skip
        price[i], delta[i], gamma[i], vega[i], theta[i] = row[0], row[1], row[2], row[3], row[4]
        rho[i], vanna[i], volga[i], charm[i], veta[i] = row[5], row[6], row[7], row[8], row[9]
        speed[i], zomma[i], colour[i], ultima[i] = row[10], row[11], row[12], row[13]


@wide_kernel
def move_reduced_loop(
    spot: float, inv_spot: float, step: float, step_low: float,
    x: F8, x_low: F8, carry: F8, cash: F8, root: F8, inv_root: F8, dev: F8, inv_dev: F8, r: F8, q: F8, w: F8,
    price: F8, delta: F8, gamma: F8, vega: F8, theta: F8,
) -> None:  # fmt: skip
    """Price, delta, gamma, vega, theta at a new spot."""
    for i in range(price.shape[0]):  # the constants' rows are padded
        row = moved_reduced(
            spot, inv_spot, sum_pair(x[i], x_low[i], step, step_low), carry[i], cash[i], root[i], inv_root[i],
            dev[i], inv_dev[i], r[i], q[i], w[i],
        )  # fmt: skip
        price[i], delta[i], gamma[i], vega[i], theta[i] = row[0], row[1], row[2], row[3], row[4]


@kernel
def chain_move(constants: F8, spot: float, anchor: float, out: F8) -> None:
    """Move a chain of ``constants[12, >= n]`` to ``spot``: fill ``out[14, n]``; ``chain_mend`` follows for bad rows."""
    c = constants
    step, step_low = log_ratio_pair(spot, anchor)
    move_loop(
        spot, 1.0 / spot, step, step_low,
        c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11],
        out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7], out[8], out[9], out[10], out[11],
        out[12], out[13],
    )  # fmt: skip


@kernel
def chain_move_reduced(constants: F8, spot: float, anchor: float, out: F8) -> None:
    """As :func:`chain_move`, ``out[5, n]``."""
    c = constants
    step, step_low = log_ratio_pair(spot, anchor)
    move_reduced_loop(
        spot, 1.0 / spot, step, step_low,
        c[0], c[1], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], out[0], out[1], out[2], out[3], out[4],
    )  # fmt: skip


@kernel
def chain_status(inputs: F8, first: int, last: int, spot: float, status: U1) -> int:
    """``PriceStatus`` of rows first..last-1 at ``spot``; the number of those that are not OK."""
    count = 0
    x = inputs
    for i in range(first, last):
        status[i] = spot_status(spot, x[0, i], x[1, i], x[2, i], x[3, i], x[4, i], x[5, i])
        count += 0 if status[i] == OK else 1
    return count


@kernel
def chain_mend(inputs: F8, spot: float, rows: I4, out: F8) -> None:
    """NaN or intrinsic values for the flagged ``rows``."""
    for j in range(rows.shape[0]):
        i = rows[j]
        x = inputs
        row = spot_greeks(spot, x[0, i], x[1, i], x[2, i], x[3, i], x[4, i], x[5, i])
        for greek in range(out.shape[0]):
            out[greek, i] = row[greek]


class ChainGreeks:
    """Price and Greeks of ``n`` options on one spot, kept ready for spot moves.

    One thread at a time. ``move`` allocates nothing after the first call. ``status`` uint8[n] of
    ``PriceStatus`` belongs to the last move.

    Parameters
    ----------
    n : int
        Options of the chain, >= 1.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ChainError(f"a chain needs at least one option, n was {n}")
        self.count = n
        self.status: U1 = np.full(n, BAD_INPUT, np.uint8)
        self._load_status: U1 = self.status.copy()
        self._inputs: F8 = np.full((6, n), math.nan)
        self._sound: F8 = np.ones((6, n))
        self._constants: F8 = aligned_table(CONSTANTS, n)
        self._flagged: I4 = np.arange(n, dtype=np.int32)
        self._anchor = math.nan
        self._spot_was_bad = False

    def load(
        self, strike: Column, years: Column, rate: Column, dividend_yield: Column, vol: Column, right: Column
    ) -> None:
        """Take over everything but the spot (arrays [n] or scalars): once per time step or calibration."""
        self._anchor = math.nan
        self.load_rows(0, self.count, strike, years, rate, dividend_yield, vol, right)

    def load_rows(
        self, first: int, last: int, strike: Column, years: Column, rate: Column, dividend_yield: Column,
        vol: Column, right: Column,
    ) -> None:  # fmt: skip
        """As :meth:`load` for rows first..last-1 alone (one expiry, say); the others keep what they have."""
        if not 0 <= first <= last <= self.count:
            raise ChainError(f"rows {first}..{last} are not within the chain's 0..{self.count}")
        rows = slice(first, last)
        for row, column in zip(self._inputs, (strike, years, rate, dividend_yield, vol, right), strict=True):
            row[rows] = column
        chain_status(self._inputs, first, last, 1.0, self._load_status)
        self._sound[:, rows] = self._inputs[:, rows]
        bad = first + np.flatnonzero(self._load_status[rows] != OK)
        self._sound[:, bad] = 1.0  # any sound option: chain_mend overwrites its rows
        self._flagged = np.flatnonzero(self._load_status != OK).astype(np.int32)
        self.status[:] = self._load_status
        load_loop(*self._sound[:, rows], *self._constants[2:, rows])
        if math.isfinite(self._anchor):
            anchor_loop(self._anchor, *self._sound[:4, rows], *self._constants[:2, rows])

    def move(self, spot: float, out: F8) -> None:
        """Fill ``out[14, n]`` (rows as ``Greek``) at ``spot``. A bad spot gives NaN and BAD_INPUT everywhere."""
        if self._prepare(spot, out, GREEK_COUNT):
            chain_move(self._constants, spot, self._anchor, out)
            if self._flagged.size:
                chain_mend(self._inputs, spot, self._flagged, out)

    def move_reduced(self, spot: float, out: F8) -> None:
        """Fill ``out[5, n]``: price, delta, gamma, vega, theta."""
        if self._prepare(spot, out, REDUCED_COUNT):
            chain_move_reduced(self._constants, spot, self._anchor, out)
            if self._flagged.size:
                chain_mend(self._inputs, spot, self._flagged, out)

    def _prepare(self, spot: float, out: F8, rows: int) -> bool:
        if out.shape != (rows, self.count):
            raise ChainError(f"out must be float64[{rows}, {self.count}], its shape was {out.shape}")
        if not MIN_PRICE <= spot <= MAX_PRICE:
            out.fill(math.nan)
            self.status.fill(BAD_INPUT)
            self._spot_was_bad = True
            return False
        if self._spot_was_bad:
            self.status[:] = self._load_status
            self._spot_was_bad = False
        if not abs(math.log(spot / self._anchor)) <= REANCHOR:  # also without an anchor
            anchor_loop(spot, *self._sound[:4], *self._constants[:2, : self.count])
            self._anchor = spot
        return True
