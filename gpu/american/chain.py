"""A whole American chain at once: boundaries tabulated per expiry in volatility, kept while spot moves.

A boundary does not depend on spot and scales with the strike. What remains is (expiry, right,
volatility): for each expiry and right the boundary is solved at a few volatilities that span the
smile and interpolated between them, with its derivatives; each contract keeps its own interpolated
curve. A move of spot then costs one quadrature per contract, a move of the smile within the
tabulated range one interpolation more, and only time, rates or yields solve boundaries again.
"""

import math

import numpy as np
import numpy.typing as npt

from gpu.american.boundary import choose_rule, curve_size, solve_by_rule
from gpu.american.put import AMERICAN_ROWS, call_row, certain_put, european_put, put_row
from gpu.american.rules import (
    CURVE_EDGE,
    CURVE_GROUND,
    CURVE_HEADER,
    CURVE_NODES,
    CURVE_RULE,
    CURVE_START,
    CURVE_TOP,
    F8,
    WORK_SLOT,
    pack_rules,
)
from gpu.american.value import DERIVATIVES, curve_derivatives
from gpu.errors import ChainError
from gpu.european.formulas import MAX_EXPONENT, MAX_PRICE, MAX_VOL, MIN_DEVIATION, MIN_PRICE
from gpu.status import PriceStatus
from market.jit import kernel

I1 = npt.NDArray[np.int8]
I8 = npt.NDArray[np.int64]
U1 = npt.NDArray[np.uint8]

_OK = int(PriceStatus.OK)
_INTRINSIC = int(PriceStatus.INTRINSIC)
_BAD_INPUT = int(PriceStatus.BAD_INPUT)
_NOT_CONVERGED = int(PriceStatus.NOT_CONVERGED)

#: How a contract is valued: from its curve, without early exercise, without chance, or not at all.
_CURVE, _EUROPEAN, _CERTAIN, _ALONE, _BAD = range(5)

#: Chebyshev-Lobatto nodes in ln(volatility) of a table, at most.
_MOST_NODES = 32
#: A table spans this much more than the smile on both sides, so that the next smile still fits.
_MARGIN = 1.15
_WIDEST = 20.0


@kernel
def solve_table(
    count: int, rate: float, dividend: float, low: float, high: float, rules: F8, work: F8, table: F8
) -> bool:
    """Boundaries at ``count`` Lobatto nodes of ln(dev) in [low, high], one after the other in ``table``."""
    size = curve_size(rules)
    at = choose_rule(rate, dividend, math.exp(low), math.exp(high), rules)
    for j in range(count):
        place = 0.5 * (low + high) + 0.5 * (high - low) * math.cos(math.pi * j / (count - 1))
        if not solve_by_rule(at, rate, dividend, math.exp(place), True, rules, work, table[j * size : j * size + size]):
            return False
    return True


@kernel(fastmath={"contract", "reassoc", "nsz"})
def blend_curve(count: int, low: float, high: float, dev: float, rules: F8, table: F8, weights: F8, curve: F8) -> None:
    """The boundary at ``dev`` between the nodes of a table: each number divided by its power of dev is smooth."""
    size = curve_size(rules)
    place = (2.0 * math.log(dev) - low - high) / (high - low)
    total = 0.0
    hit = -1
    for j in range(count):
        gap = place - math.cos(math.pi * j / (count - 1))
        if abs(gap) < 1e-14:
            hit = j
            break
        weight = (-1.0 if j % 2 else 1.0) * (0.5 if j in (0, count - 1) else 1.0) / gap
        weights[j] = weight
        total += weight
    for j in range(count):
        weights[j] = (1.0 if j == hit else 0.0) if hit >= 0 else weights[j] / total
    for k in range(size):
        curve[k] = 0.0
    terms = int(table[CURVE_NODES]) + 1
    for j in range(count):
        weight = weights[j]
        one = dev / math.exp(0.5 * (low + high) + 0.5 * (high - low) * math.cos(math.pi * j / (count - 1)))
        two = weight * one * one
        node = table[j * size : j * size + size]
        curve[CURVE_GROUND] += two * node[CURVE_GROUND]
        for k in range(CURVE_HEADER, CURVE_HEADER + terms):
            curve[k] += two * node[k]
        for k in range(CURVE_HEADER + terms, CURVE_HEADER + 2 * terms):
            curve[k] += weight * one * node[k]
        for k in range(CURVE_HEADER + 2 * terms, CURVE_HEADER + 3 * terms):
            curve[k] += weight * node[k]
        for k in range(CURVE_HEADER + 3 * terms, CURVE_HEADER + 5 * terms):
            curve[k] += two * node[k]
    for k in (CURVE_START, CURVE_RULE, CURVE_NODES, CURVE_EDGE):
        curve[k] = table[k]
    square = curve[CURVE_START] * curve[CURVE_START]
    for k in range(CURVE_HEADER, CURVE_HEADER + terms):
        square += curve[k]
    curve[CURVE_TOP] = -math.sqrt(square)


@kernel
def _blend_all(
    count: int, low: float, high: float, dev: F8, rows: I8, rules: F8, table: F8, weights: F8, curves: F8
) -> None:
    """Curves of the contracts ``rows`` of one table."""
    size = curve_size(rules)
    for k in range(rows.shape[0]):
        i = rows[k]
        blend_curve(count, low, high, dev[i], rules, table, weights, curves[i * size : i * size + size])


@kernel
def refresh_rows(
    spot: float, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: I1, mode: I1,
    rules: F8, work: F8, curves: F8, out: F8, status: U1,
) -> None:  # fmt: skip
    """Price and Greeks of every contract at ``spot``; those of mode ``_ALONE`` are left to the caller."""
    size = curve_size(rules)
    into, row, scratch = work[:DERIVATIVES], work[DERIVATIVES : DERIVATIVES + AMERICAN_ROWS], work[32:]
    for i in range(strike.shape[0]):
        kind = mode[i]
        if kind == _ALONE:
            continue
        if kind == _BAD or not MIN_PRICE <= spot <= MAX_PRICE:
            status[i] = _BAD_INPUT
            for j in range(AMERICAN_ROWS):
                out[j, i] = math.nan
            continue
        put = right[i] < 0
        s, k = (spot, strike[i]) if put else (strike[i], spot)
        r, q = (rate[i], dividend_yield[i]) if put else (dividend_yield[i], rate[i])
        status[i] = _OK
        if kind == _CURVE:
            dev = vol[i] * math.sqrt(years[i])
            curve_derivatives(
                math.log(s / k),
                r * years[i],
                q * years[i],
                dev,
                rules,
                scratch,
                curves[i * size : i * size + size],
                into,
            )
            put_row(s, k, years[i], r, q, vol[i], into, row)
        elif kind == _EUROPEAN:
            european_put(s, k, years[i], r, q, vol[i], row)
        else:
            certain_put(s, k, years[i], r, q, row)
            status[i] = _INTRINSIC
        if not put:
            call_row(spot, strike[i], row)
        for j in range(AMERICAN_ROWS):
            out[j, i] = row[j]


class AmericanChain:
    """Prices and Greeks of one underlying's American contracts, refreshed as spot moves.

    ``load`` once with the market's curves and volatilities and again whenever those change: it solves
    only what is no longer covered. ``refresh`` for every spot. One thread at a time.

    Attributes
    ----------
    rows : float64[AMERICAN_ROWS, n]
        As of the last refresh, in the contracts' order; rows of ``AmericanRow``.
    status : uint8[n]
        ``PriceStatus`` of each.
    solved : int
        Boundaries solved so far, a measure of what ``load`` had to do.
    """

    def __init__(self, strike: F8, right: I1, expiry: I8, rules: F8 | None = None) -> None:
        """``strike[n]``, ``right[n]`` (+1 call, -1 put) and ``expiry[n]``, an index into the arrays of ``load``."""
        self._strike = np.ascontiguousarray(strike, np.float64)
        self._right = np.ascontiguousarray(right, np.int8)
        self._expiry = np.ascontiguousarray(expiry, np.int64)
        count = self._strike.size
        if self._right.shape != (count,) or self._expiry.shape != (count,):
            raise ChainError(
                f"strike, right and expiry must have one length, were {count}, {self._right.size}, {self._expiry.size}"
            )
        if count and (self._expiry.min() < 0 or not np.isin(self._right, (-1, 1)).all()):
            raise ChainError("expiry must be 0 or more and right +1 or -1 in every contract")
        self._rules = pack_rules() if rules is None else rules
        self._size = curve_size(self._rules)
        self._work = np.zeros(32 + int(self._rules[WORK_SLOT]))
        self._curves = np.zeros(count * self._size)
        self._mode = np.full(count, _BAD, np.int8)
        self._weights = np.zeros(_MOST_NODES)
        self._years, self._rate, self._yield, self._vol = (np.full(count, np.nan) for _ in range(4))
        self._tables: dict[tuple[int, int], tuple[float, float, float, float, int, F8]] = {}
        self._members = {
            (int(e), w): np.flatnonzero((self._expiry == e) & (self._right == w))
            for e in np.unique(self._expiry)
            for w in (-1, 1)
        }
        self.rows = np.full((AMERICAN_ROWS, count), np.nan)
        self.status = np.full(count, _BAD_INPUT, np.uint8)
        self.solved = 0

    def load(self, years: F8, rate: F8, dividend_yield: F8, vol: F8) -> None:
        """New curves ``years[e]``, ``rate[e]``, ``dividend_yield[e]`` per expiry and volatilities ``vol[n]``.

        Boundaries of an expiry are solved again if its years, rate or yield changed, or a
        volatility left the range of its table; otherwise its contracts are only interpolated again.
        """
        self._years[:], self._rate[:] = years[self._expiry], rate[self._expiry]
        self._yield[:], self._vol[:] = dividend_yield[self._expiry], vol
        for curve in (self._rate, self._yield):  # subnormal rates included
            curve[np.abs(curve) * np.nan_to_num(self._years) < 1e-15] = 0.0
        self._classify()
        for key, members in self._members.items():
            rows = members[self._mode[members] == _CURVE]
            if rows.size:
                self._cover(key, rows)

    def _classify(self) -> None:
        """The mode of each contract; mirrored, a call is a put of the exchanged rates."""
        put = self._right < 0
        rate, other = np.where(put, self._rate, self._yield), np.where(put, self._yield, self._rate)
        with np.errstate(all="ignore"):
            dev = self._vol * np.sqrt(np.maximum(self._years, 0.0))
            good = np.isfinite(self._years + self._rate + self._yield + self._vol) & (self._vol <= MAX_VOL)
            good &= (self._strike >= MIN_PRICE) & (self._strike <= MAX_PRICE)
            good &= (np.abs(rate) + np.abs(other)) * self._years <= MAX_EXPONENT
            mode = np.full(put.size, _CURVE, np.int8)
            mode[(rate < 0.0) & (other < rate)] = _ALONE
            mode[(rate <= 0.0) & (other >= rate)] = _EUROPEAN
            mode[dev <= MIN_DEVIATION] = _CERTAIN
            mode[~good] = _BAD
        self._mode[:] = mode

    def _cover(self, key: tuple[int, int], rows: I8) -> None:
        """Make the table of (expiry, right) cover the volatilities of ``rows`` and interpolate their curves."""
        i = int(rows[0])
        root = math.sqrt(self._years[i])
        rate, other = self._rate[i] * self._years[i], self._yield[i] * self._years[i]
        if key[1] > 0:
            rate, other = other, rate
        dev = self._vol * root
        low, high = math.log(float(dev[rows].min())), math.log(float(dev[rows].max()))
        known = self._tables.get(key)
        if known is None or known[:2] != (rate, other) or low < known[2] or high > known[3]:
            low, high = low - math.log(_MARGIN), high + math.log(_MARGIN)
            count = table_nodes(low, high, other > rate)
            table = np.zeros(count * self._size)
            if high - low > math.log(_WIDEST) or not solve_table(
                count, rate, other, low, high, self._rules, self._work, table
            ):
                self._mode[rows] = _ALONE
                self._tables.pop(key, None)
                return
            self.solved += count
            known = self._tables[key] = (rate, other, low, high, count, table)
        _, _, low, high, count, table = known
        _blend_all(count, low, high, dev, rows, self._rules, table, self._weights, self._curves)

    def refresh(self, spot: float) -> F8:
        """Value every contract at ``spot``; returns ``rows``. One kernel call, no allocation in the usual case."""
        refresh_rows(
            spot, self._strike, self._years, self._rate, self._yield, self._vol, self._right, self._mode,
            self._rules, self._work, self._curves, self.rows, self.status,
        )  # fmt: skip
        alone = np.flatnonzero(self._mode == _ALONE)
        if alone.size:
            self._refresh_alone(spot, alone)
        return self.rows

    def _refresh_alone(self, spot: float, alone: I8) -> None:
        """Contracts no table holds: two boundaries, or a range of volatilities too wide."""
        from gpu.american.batch import american_greeks  # the general dispatcher compiles long; few chains need it

        out, status = np.zeros((AMERICAN_ROWS, alone.size)), np.zeros(alone.size, np.uint8)
        american_greeks(
            np.full(alone.size, spot), self._strike[alone], self._years[alone], self._rate[alone], self._yield[alone],
            self._vol[alone], self._right[alone], out, status,
        )  # fmt: skip
        self.rows[:, alone], self.status[alone] = out, status


def table_nodes(low: float, high: float, away: bool) -> int:
    """How many volatilities a table over [low, high] (logarithms) needs.

    Interpolated prices are then within 1e-8 of the strike / 100, first Greeks within 1e-6 and second
    within 1e-5 of those from a boundary of their own. ``away``: the boundary starts below the strike,
    and the volatility decides when it notices the strike, which takes more nodes.
    """
    count = 8 + math.ceil(8.0 * (high - low)) if away else 6 + math.ceil(3.0 * (high - low))
    return min(count, _MOST_NODES)
