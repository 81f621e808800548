"""What early exercise adds to a European value, and how it moves: computed at calibration, carried between.

The American value comes from the exercise boundary (``gpu/american``), microseconds an option on the
series' own volatility: too long for every tick, no hurry at all otherwise. So a calibration leaves five
numbers a series, the premium and its derivatives, and a refresh follows them to second order in the spot.
Not here: cash dividends (the carry that parity shows stands for them), and negative rates with two
boundaries, whose premium counts as none; the residual then has to bring what the market sees.
"""

import math
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.boundary import curve_size
from gpu.american.chain import blend_curve, solve_table, table_nodes
from gpu.american.put import AMERICAN_ROWS, call_row, put_row
from gpu.american.rules import WORK_SLOT, pack_rules
from gpu.american.value import DERIVATIVES, curve_derivatives
from gpu.chain.rows import BY_SPOT, BY_SPOT2, BY_TIME, BY_VOL, PREMIUM, PREMIUM_ROWS, Chain
from gpu.european.formulas import spot_reduced
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]

#: Less than this part of the strike is no premium: it saves the boundaries of what expires today.
_LEAST = 1e-6
_LEAST_DEVIATION = 1e-4
_WIDEST = 20.0  # largest over smallest volatility of one table of boundaries
_MOST_NODES = 32


@kernel(internal=True)
def _early_exercise(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    rules: F8, work: F8, curve: F8, into: F8, row: F8, out: F8,
) -> bool:  # fmt: skip
    """Premium of one option and its derivatives into ``out[PREMIUM_ROWS]`` from its boundary ``curve``.

    Per 1.00 of spot and of volatility, per year (BY_TIME is -d/dT). Zeros and False if they are no numbers.
    ``curve`` is that of the put with the same boundary: a call's has spot and strike, rate and yield exchanged.
    """
    put = right < 0
    s, k = (spot, strike) if put else (strike, spot)
    r, q = (rate, dividend_yield) if put else (dividend_yield, rate)
    curve_derivatives(math.log(s / k), r * years, q * years, vol * math.sqrt(years), rules, work, curve, into)
    put_row(s, k, years, r, q, vol, into, row)
    if not put:
        call_row(spot, strike, row)
    european = spot_reduced(spot, strike, years, rate, dividend_yield, vol, float(right))
    out[PREMIUM], out[BY_SPOT], out[BY_SPOT2] = row[0] - european[0], row[1] - european[1], row[2] - european[2]
    out[BY_VOL], out[BY_TIME] = row[3] - european[3], row[4] - european[4]
    good = (
        out[PREMIUM] > 0.0 and abs(out[BY_SPOT]) + abs(out[BY_SPOT2]) + abs(out[BY_VOL]) + abs(out[BY_TIME]) < math.inf
    )
    if not good:
        for j in range(PREMIUM_ROWS):
            out[j] = 0.0
    return good


@kernel
def _premiums(
    chain: Chain, e: int, right: int, count: int, low: float, high: float, rules: F8, work: F8, table: F8, scratch: F8
) -> float:
    """Premiums of one expiry's calls or puts from their table of boundaries; the largest part of a strike."""
    piece = chain.slices[e]
    spot, rate, years = piece.forward / piece.forward_ratio, piece.discount_rate, piece.years
    size = curve_size(rules)
    weights, into = scratch[:_MOST_NODES], scratch[_MOST_NODES : _MOST_NODES + DERIVATIVES]
    row = scratch[_MOST_NODES + DERIVATIVES : _MOST_NODES + DERIVATIVES + AMERICAN_ROWS]
    curve = scratch[_MOST_NODES + DERIVATIVES + AMERICAN_ROWS :][:size]
    largest = 0.0
    for j in range(chain.slice_first[e], chain.slice_first[e + 1]):
        series = chain.slice_row[j]
        if chain.right[series] == right:
            vol, strike = chain.vol[series], chain.strike[series]
            blend_curve(count, low, high, vol * math.sqrt(years), rules, table, weights, curve)
            _early_exercise(
                spot, strike, years, rate, rate - piece.carry, vol, right, rules, work, curve, into, row,
                chain.premium[series],
            )  # fmt: skip
            largest = max(largest, chain.premium[series, PREMIUM] / strike)
    return largest


@cache
def _rules() -> F8:
    """Tables of the collocation, read only: a tenth of a second, once a process."""
    return pack_rules()


def clear_premiums(chain: Chain, e: int) -> None:
    """Expiry ``e`` is European for now."""
    chain.premium[_members(chain, e)] = 0.0


def _members(chain: Chain, e: int) -> npt.NDArray[np.int64]:
    return chain.slice_row[chain.slice_first[e] : chain.slice_first[e + 1]]


class EarlyExercise:
    """Computes the premiums of a chain's expiries; one thread, nothing allocated after construction."""

    def __init__(self) -> None:
        self._rules = _rules()
        self._work = np.zeros(int(self._rules[WORK_SLOT]))
        self._table = np.zeros(_MOST_NODES * curve_size(self._rules))
        self._scratch = np.zeros(_MOST_NODES + DERIVATIVES + AMERICAN_ROWS + curve_size(self._rules))

    def fill(self, chain: Any, e: int) -> float:
        """Set the premiums of expiry ``e`` from its last fit; the largest part of a strike that one is worth."""
        clear_premiums(chain, e)
        piece = chain.slices[e]
        years, rate = float(piece["years"]), float(piece["discount_rate"])
        dividend_yield = rate - float(piece["carry"])
        return max(
            self._side(chain, e, -1, years, rate, dividend_yield), self._side(chain, e, 1, years, dividend_yield, rate)
        )

    def _side(self, chain: Any, e: int, right: int, years: float, rate: float, other: float) -> float:
        """Of the puts, or of the calls with rate and yield exchanged."""
        if rate < 0.0 or (rate + max(-other, 0.0)) * years < _LEAST:
            return 0.0
        rows = _members(chain, e)
        vols = chain.vol[rows][chain.right[rows] == right]
        if vols.size == 0:
            return 0.0
        low, high = float(vols.min()), float(vols.max())
        root = math.sqrt(years)
        if not (low * root > _LEAST_DEVIATION and high < math.inf and high <= _WIDEST * low):
            return 0.0
        # A little wider than the smile: a table needs two different ends.
        bottom, top = math.log(low * root) - 0.01, math.log(high * root) + 0.01
        count = table_nodes(bottom, top, other > rate)
        if not solve_table(count, rate * years, other * years, bottom, top, self._rules, self._work, self._table):
            return 0.0
        return float(
            _premiums(chain, e, right, count, bottom, top, self._rules, self._work, self._table, self._scratch)
        )
