"""Kernel of a surface's calibration: quotes of a whole chain to nodes, one call, nothing allocated.

The object around it is ``calibrate.SurfaceFitter``; one thread owns its arrays.
"""

import math
from enum import IntEnum
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.surface.essvi.bump import (
    ETA,
    LOG_DISCOUNT,
    LOG_FORWARD,
    NODE,
    PSI,
    THETA,
    YEARS,
    bump_value,
)
from gpu.surface.essvi.check import refine
from gpu.surface.essvi.fit import fit_essvi
from gpu.surface.essvi.terms import essvi_variance
from gpu.surface.forwards.forward import CARRY, MAX_PRICE, PARITY
from gpu.surface.forwards.parity import P_DISCOUNT, P_FORWARD, P_STATUS, parity_rows
from gpu.surface.layout import pair_quotes
from gpu.surface.weights import HALF, NO_EXPIRY, K, W, expiry_points, money_deviation, price_misses
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]
U1: TypeAlias = npt.NDArray[np.uint8]


class SliceStatus(IntEnum):
    """What became of one expiry. The first three are nodes of the surface."""

    OK = 0
    FEW_POINTS = 1  # one to four quotes: the neighbours' constraints and a usual shape decide what they do not
    POOR = 2  # half of its quotes are missed by more than one half-spread: they contradict each other or the neighbours
    NO_QUOTES = 3  # no usable out-of-the-money quote (empty, crossed, all one-sided): read off the neighbours
    NO_SPOT = 4  # the spot is no price: nothing is fitted
    TOO_SHORT = 5  # less than ``min_years`` left: a few ticks of time value say nothing about its neighbours
    EXPIRED = 6  # no time left


OK = int(SliceStatus.OK)
FEW_POINTS = int(SliceStatus.FEW_POINTS)
POOR = int(SliceStatus.POOR)
NO_QUOTES = int(SliceStatus.NO_QUOTES)
NO_SPOT = int(SliceStatus.NO_SPOT)
TOO_SHORT = int(SliceStatus.TOO_SHORT)
EXPIRED = int(SliceStatus.EXPIRED)

#: Columns of an expiry's result row.
R_POINTS, R_INSIDE, R_OUTLIERS, R_MEDIAN, R_WORST, R_PLAIN_MEDIAN, R_PLAIN_INSIDE, R_STATUS, R_NODE, R_SMOOTHED = range(
    10
)
RESULT_COLUMNS = 10


class FitArrays(NamedTuple):
    """All arrays of one fitter: n rows, p pairs, e expiries, m = p points at most."""

    pair_strike: F8  # [p]
    pair_call: I8  # [p]
    pair_put: I8  # [p]
    pair_first: I8  # [e + 1]
    years: F8  # [e] now
    rate: F8  # [e] prior
    quotes: F8  # [4, p]
    rejected: U1  # [p] by parity
    status: U1  # [n] RowStatus
    parity: F8  # [e, PARITY_COLUMNS]
    points: F8  # [POINT_ROWS, p]
    first: I8  # [e + 1] of the live expiries' points
    live: I8  # [e] expiry of each slice
    scale: F8  # [e]
    slices: F8  # [3, e] of the last fit, by slice
    nodes: F8  # [e + 1, NODE]
    results: F8  # [e, RESULT_COLUMNS]
    attempts: I8  # [e + 1]
    variance: F8  # [longest]
    order: F8  # [longest]
    indices: I8  # [longest]
    work: F8  # [BUMP_WORK, max(longest, NODE)]
    z: F8  # [3 e]
    least: F8  # [3 e]
    grad: F8  # [3, e, 3 e]
    big: F8  # [6 e + 8, max(3 e, 9)]


@kernel(allocates=True, internal=True)
def _carry_of_neighbours(a: FitArrays, e: int, spot: float) -> float:
    """Carry per year at expiry ``e``: interpolated from the nearest expiries that parity gave, else the prior rate."""
    before, after = -1, -1
    for other in range(a.years.shape[0]):
        if a.parity[other, P_STATUS] == PARITY and a.years[other] > 0.0:
            if other < e:
                before = other
            elif other > e and after < 0:
                after = other
    low = math.log(a.parity[before, P_FORWARD] / spot) if before >= 0 else 0.0
    start = a.years[before] if before >= 0 else 0.0
    if after >= 0:
        high = math.log(a.parity[after, P_FORWARD] / spot)
        return (low + (high - low) * (a.years[e] - start) / (a.years[after] - start)) / a.years[e]
    return low / start if before >= 0 else a.rate[e]


@kernel(allocates=True, internal=True)
def _collect(a: FitArrays, spot: float, american: bool, least_half: float, min_years: float) -> int:
    """Forwards, then points of every expiry that can be a slice; returns the number of slices."""
    parity_rows(a.pair_strike, a.pair_first, a.quotes, a.years, spot, a.rate, american, a.parity, a.rejected,
                a.work, a.indices)  # fmt: skip
    a.status[:] = NO_EXPIRY
    n, at = 0, 0
    a.first[0] = 0
    for e in range(a.years.shape[0]):
        a.results[e, :] = math.nan
        a.results[e, R_POINTS], a.results[e, R_NODE] = 0.0, -1.0
        years = a.years[e]
        if not 0.0 < spot < MAX_PRICE:
            a.results[e, R_STATUS] = NO_SPOT
            continue
        if years < min_years:
            a.results[e, R_STATUS] = TOO_SHORT if years > 0.0 else EXPIRED
            continue
        forward, discount = a.parity[e, P_FORWARD], a.parity[e, P_DISCOUNT]
        if a.parity[e, P_STATUS] == CARRY:
            forward = spot * math.exp(_carry_of_neighbours(a, e, spot) * years)
            a.parity[e, P_FORWARD] = forward
        lo, hi = a.pair_first[e], a.pair_first[e + 1]
        stop = expiry_points(a.pair_strike[lo:hi], a.quotes[:, lo:hi], a.pair_call[lo:hi], a.pair_put[lo:hi], forward,
                             discount, years, least_half, a.points, at, a.status)  # fmt: skip
        a.results[e, R_POINTS], a.results[e, R_STATUS] = stop - at, NO_QUOTES
        if stop == at:
            continue
        a.results[e, R_STATUS], a.results[e, R_NODE] = (OK if stop - at >= 5 else FEW_POINTS), n + 1
        a.live[n], a.scale[n] = e, money_deviation(a.points, at, stop)
        n, at = n + 1, stop
        a.first[n] = at
    return n


@kernel(allocates=True, internal=True)
def _measure(a: FitArrays, i: int, with_bump: bool) -> None:
    """Misses of slice ``i`` in price, with its bump or without, into its expiry's results."""
    e, node = a.live[i], i + 1
    start, stop = a.first[i], a.first[i + 1]
    theta, psi, eta = a.nodes[node, THETA], a.nodes[node, PSI], a.nodes[node, ETA]
    for p in range(start, stop):
        k = a.points[K, p]
        a.variance[p - start] = essvi_variance(theta, psi, eta, k) + (
            bump_value(a.nodes, node, k) if with_bump else 0.0
        )
    median, worst, inside, outliers = price_misses(
        a.points, start, stop, a.parity[e, P_FORWARD], a.variance, a.status, a.order
    )  # fmt: skip
    if not with_bump:
        a.results[e, R_PLAIN_MEDIAN], a.results[e, R_PLAIN_INSIDE] = median, inside
        return
    a.results[e, R_MEDIAN], a.results[e, R_WORST] = median, worst
    a.results[e, R_INSIDE], a.results[e, R_OUTLIERS] = inside, outliers
    a.results[e, R_SMOOTHED] = a.attempts[node]
    if a.results[e, R_STATUS] == OK and median > 1.0:
        a.results[e, R_STATUS] = POOR


@kernel(allocates=True)
def calibrate_chain(a: FitArrays, bid: F8, ask: F8, spot: float, american: bool, least_half: float, min_years: float,
                    rough: float, fitted: int) -> tuple[int, int]:  # fmt: skip
    """Calibrate the whole chain; returns (number of slices, Gauss-Newton steps).

    ``bid``, ``ask`` float64[n] in currency. ``fitted``: number of slices of the last fit, from which this one starts
    if the same expiries are there again; 0 for a cold start. Without a slice the nodes are left as they are.
    """
    before = a.live[:fitted].copy()
    pair_quotes(bid, ask, a.pair_call, a.pair_put, a.quotes)
    n = _collect(a, spot, american, least_half, min_years)
    if n == 0:
        return 0, 0
    warm = n == fitted
    for i in range(min(n, fitted)):
        warm = warm and a.live[i] == before[i]
    _, steps = fit_essvi(
        a.points[K], a.points[W], a.points[HALF], a.first, n, a.scale, warm, a.slices, a.z, a.least, a.grad, a.big
    )  # fmt: skip
    a.nodes[: n + 1, :] = 0.0
    a.nodes[0, LOG_FORWARD] = math.log(spot)
    for i in range(n):
        e, node = a.live[i], i + 1
        u, v = a.slices[1, i], a.slices[2, i]
        a.nodes[node, YEARS] = a.years[e]
        a.nodes[node, LOG_FORWARD] = math.log(a.parity[e, P_FORWARD])
        a.nodes[node, LOG_DISCOUNT] = math.log(a.parity[e, P_DISCOUNT])
        a.nodes[node, THETA], a.nodes[node, PSI], a.nodes[node, ETA] = a.slices[0, i], 0.5 * (u + v), 0.5 * (u - v)
    for i in range(n):
        _measure(a, i, False)
    refine(a.nodes, n + 1, a.points[K], a.points[W], a.points[HALF], a.first, rough, a.attempts, a.work)
    for i in range(n):
        _measure(a, i, True)
    return n, steps


def node_rows(expiries: int) -> F8:
    """Room for the nodes of a chain of so many expiries and today."""
    return np.zeros((expiries + 1, NODE))
