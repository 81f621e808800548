"""The premium of early exercise of a whole book, tabulated once per maturity, rate and yield.

What a grid of scenarios asks for is a function of two numbers only, moneyness and volatility, for
each (years, rate, yield): strikes share it by homogeneity, calls and puts by symmetry, underlyings by
chance. So instead of 1,155 revaluations of every option there are some 200 of every expiry, at
Chebyshev nodes in the coordinates of ``premium.py``, and a sum of 21 terms per cell.

The error is measured, not assumed: after the fit the full American value is computed at points
between the nodes that the fit has not seen, in every table; their largest miss, with a safety
factor, is the bound that the grid reports. A table that misses ``tolerance`` is fitted once more
with more volatilities. Prior art: control variates by the European value; Andersen, Lake and
Offengenden (2016) for the boundary and the value at the nodes.
"""

import math
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.american.boundary import choose_rule, curve_size, solve_by_rule
from gpu.american.rules import CURVE_TOP, WORK_SLOT, pack_rules
from gpu.american.value import curve_value
from gpu.portfolio.premium import CENTRE, DEGREE, MAX_VOL_DEGREE, NARROW, SHAPE, STEEP, VOL_DEGREE
from gpu.portfolio.value import FLOOR, SHIFT, SLOPE, VOL, discounted_value
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]
B1: TypeAlias = npt.NDArray[np.bool_]

#: Degrees in volatility that are tried in turn.
_VOL_DEGREES = (8, 12, 20, MAX_VOL_DEGREE)
#: Largest miss between the nodes times this is the reported bound.
SAFETY = 2.0
#: Standard deviations beyond the boundary's start at which the premium ends: N(-7) = 1e-12.
_TAIL = 7.0
#: A table narrower than this in ln vol is widened to it.
_LEAST_WIDTH = 0.02
#: A rate times years smaller than this leaves no premium that a double could show.
_TRIFLE = 1e-15
#: Held-out points: angles between those of the nodes, in z and in volatility, and one beyond the end of the table.
_HELD_Z = 9
_HELD_VOL = 4


class PremiumTables(NamedTuple):
    """Tables of g groups, as ``premium.revalue_american`` reads them."""

    coefficients: F8  # [g, DEGREE + 1, MAX_VOL_DEGREE + 1]
    boundary: F8  # [g, MAX_VOL_DEGREE + 1]
    shape: F8  # [g, SHAPE]
    error: F8  # [g] bound on the premium's error, per unit of strike; NaN: no table could be made


class Groups(NamedTuple):
    """Maturities that need a table; [g]. ``rate`` and ``dividend_yield`` are the equivalent put's."""

    years: F8
    rate: F8
    dividend_yield: F8
    low: F8  # ln of the lowest and highest volatility of any cell
    high: F8


def exercised_early(years: F8, rate: F8, dividend_yield: F8) -> tuple[B1, B1]:
    """(there is a premium, it is of the kind that the tables hold) for puts with these numbers.

    A put is exercised early where interest on the strike is worth having (rate > 0), or the asset
    drifts away by a negative yield (rate = 0 > yield); for yield < rate < 0 there are two boundaries,
    which have no table here: such series are valued in full.
    """
    rate = np.where(np.abs(rate) * years < _TRIFLE, 0.0, rate)
    single = ((rate > 0.0) | ((rate == 0.0) & (dividend_yield < 0.0))) & (years > 0.0)
    double = (rate < 0.0) & (dividend_yield < rate) & (years > 0.0)
    return single | double, single


def fit_tables(groups: Groups, tolerance: float) -> PremiumTables:
    """Tables of all groups, each as fine as ``tolerance`` (per unit of strike) asks for, or as fine as they get."""
    count = len(groups.years)
    tables = PremiumTables(
        np.zeros((count, DEGREE + 1, MAX_VOL_DEGREE + 1)), np.zeros((count, MAX_VOL_DEGREE + 1)),
        np.zeros((count, SHAPE)), np.full(count, np.inf),
    )  # fmt: skip
    middle, half = 0.5 * (groups.low + groups.high), 0.5 * np.maximum(groups.high - groups.low, _LEAST_WIDTH)
    todo = np.arange(count)
    for degree in _VOL_DEGREES:
        if len(todo) == 0:
            break
        part = Groups(*(column[todo] for column in groups))
        coefficients, boundary, shape = _fit(part, middle[todo], half[todo], degree)
        error = SAFETY * _held_out_error(part, coefficients, boundary, shape)
        tables.coefficients[todo, :, : degree + 1] = coefficients
        tables.boundary[todo, : degree + 1] = boundary
        tables.shape[todo] = shape
        tables.error[todo] = error
        todo = todo[error > tolerance]  # not NaN: finer nodes would not help
    failed = ~np.isfinite(tables.error)
    tables.error[failed] = np.nan
    for array in (tables.coefficients, tables.boundary, tables.shape):
        array[failed] = 0.0  # so that a series held with weight 0 adds 0
    return tables


def _fit(groups: Groups, middle: F8, half: F8, degree: int) -> tuple[F8, F8, F8]:
    """(coefficients [g, DEGREE + 1, degree + 1], boundary [g, degree + 1], shape [g, SHAPE])."""
    z, to_z = _nodes(DEGREE)
    t, to_t = _nodes(degree)
    vol = np.exp(middle[:, None] + half[:, None] * t)  # [g, t]
    curves, log_b = _boundaries(groups, middle, half, vol)
    sd = vol * np.sqrt(groups.years)[:, None]
    with np.errstate(divide="ignore"):
        start = np.log(np.minimum(1.0, np.where(groups.dividend_yield > 0.0, groups.rate / groups.dividend_yield, 1.0)))
    reach = np.max((start[:, None] - log_b) / sd, axis=1) + _TAIL
    x = log_b[:, :, None] + sd[:, :, None] * reach[:, None, None] * 0.5 * (z + 1.0)  # [g, t, z]
    premium = _premium(groups, vol, x, curves)
    shape = np.zeros((len(middle), SHAPE))
    shape[:, CENTRE], shape[:, NARROW], shape[:, STEEP], shape[:, VOL_DEGREE] = middle, 1.0 / half, 2.0 / reach, degree
    return np.einsum("az,gtz,nt->gan", to_z, premium, to_t), log_b @ to_t.T, shape


def _held_out_error(groups: Groups, coefficients: F8, boundary: F8, shape: F8) -> F8:
    """Largest |table - full American value| per unit of strike at points that the table has not seen."""
    degree = coefficients.shape[2] - 1
    z = np.append(np.cos(math.pi * (np.linspace(0, DEGREE - 1, _HELD_Z).round() + 0.5) / DEGREE), 1.2)
    t = np.cos(math.pi * (np.linspace(0, degree - 1, _HELD_VOL).round() + 0.5) / degree)
    vol = np.exp(shape[:, CENTRE, None] + t / shape[:, NARROW, None])
    basis = np.cos(np.outer(np.arange(degree + 1), np.arccos(t)))  # [n, t]
    log_b = boundary @ basis
    sd = vol * np.sqrt(groups.years)[:, None]
    x = log_b[:, :, None] + sd[:, :, None] * (z + 1.0) / shape[:, STEEP, None, None]
    curves, _ = _boundaries(groups, shape[:, CENTRE], 1.0 / shape[:, NARROW], vol)
    exact = _premium(groups, vol, x, curves)
    in_z = np.cos(np.outer(np.arange(DEGREE + 1), np.arccos(np.minimum(z, 1.0))))
    table = np.einsum("gan,nt,az->gtz", coefficients, basis, in_z)
    table[:, :, z > 1.0] = 0.0
    return np.asarray(np.max(np.abs(table - exact), axis=(1, 2)))


def _nodes(degree: int) -> tuple[F8, F8]:
    """(Chebyshev points of the second kind, matrix [degree + 1, degree + 1] from values there to coefficients)."""
    angle = math.pi * np.arange(degree + 1) / degree
    weight = np.full(degree + 1, 2.0 / degree)
    weight[[0, -1]] *= 0.5
    matrix = np.cos(np.outer(np.arange(degree + 1), angle)) * weight
    matrix[[0, -1]] *= 0.5
    return np.cos(angle), matrix


@cache
def _rules() -> F8:
    return pack_rules()


def _boundaries(groups: Groups, middle: F8, half: F8, vol: F8) -> tuple[F8, F8]:
    """(solved boundaries [g * t, words], logarithm of the boundary over the strike now [g, t]); NaN if one fails.

    One rule for all volatilities of a table: the seam between two is as wide as their errors.
    """
    rules = _rules()
    curves, log_b, work = np.zeros((vol.size, curve_size(rules))), np.empty(vol.shape), np.empty(int(rules[WORK_SLOT]))
    low, high = np.exp(middle - half), np.exp(middle + half)
    solve_boundaries(groups.years, groups.rate, groups.dividend_yield, low, high, vol, rules, work, curves, log_b)
    return curves, log_b


def _premium(groups: Groups, vol: F8, x: F8, curves: F8) -> F8:
    """Full American value less the European one, puts of strike 1 at spots exp(x); [g, t, z]."""
    out = np.empty(x.shape)
    work = np.empty(int(_rules()[WORK_SLOT]))
    exact_premiums(groups.years, groups.rate, groups.dividend_yield, vol, x, _rules(), work, curves, out)
    return out


@kernel
def solve_boundaries(years: F8, rate: F8, dividend_yield: F8, low: F8, high: F8, vol: F8, rules: F8, work: F8,
                     curves: F8, log_boundary: F8) -> None:  # fmt: skip
    """Boundary of every group [g] at every volatility [g, t]; ``low`` and ``high`` [g] are the table's ends."""
    for g in range(vol.shape[0]):
        r, q, root = rate[g] * years[g], dividend_yield[g] * years[g], math.sqrt(years[g])
        rule = choose_rule(r, q, low[g] * root, high[g] * root, rules)
        for t in range(vol.shape[1]):
            curve = curves[g * vol.shape[1] + t]
            good = solve_by_rule(rule, r, q, vol[g, t] * root, False, rules, work, curve)
            log_boundary[g, t] = curve[CURVE_TOP] if good else math.nan


@kernel
def exact_premiums(years: F8, rate: F8, dividend_yield: F8, vol: F8, x: F8, rules: F8, work: F8, curves: F8,
                   out: F8) -> None:  # fmt: skip
    """Premium of early exercise at log-moneyness x [g, t, z]; NaN where the boundary failed."""
    for g in range(x.shape[0]):
        r, q, root = rate[g] * years[g], dividend_yield[g] * years[g], math.sqrt(years[g])
        cash, growth = math.exp(-r), math.exp(-q)
        for t in range(x.shape[1]):
            curve, dev = curves[g * x.shape[1] + t], vol[g, t] * root
            for k in range(x.shape[2]):
                asset = math.exp(x[g, t, k]) * growth
                european = discounted_value(asset, cash, asset / cash, x[g, t, k] + r - q, dev, 1.0 / dev, -1.0)
                out[g, t, k] = curve_value(x[g, t, k], r, q, dev, rules, work, curve) - european


def volatility_range(rows: Any, log_low: F8, log_high: F8, shocks: F8) -> tuple[F8, F8]:
    """(lowest, highest) volatility of every series over all cells; arguments as in ``grid.day_rows``."""
    by_vol = np.stack((rows[SHIFT] * shocks.min(), rows[SHIFT] * shocks.max(), np.zeros_like(rows[SHIFT])))
    by_spot = np.stack((-rows[SLOPE] * log_low, -rows[SLOPE] * log_high, np.zeros_like(log_low)))
    low = rows[VOL] + by_vol.min(axis=0) + by_spot.min(axis=0)
    high = rows[VOL] + by_vol.max(axis=0) + by_spot.max(axis=0)
    return np.maximum(low, rows[FLOOR]), np.maximum(high, rows[FLOOR])
