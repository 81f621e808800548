"""Surfaces from one smile per expiry: raw SVI or SABR, with their repairs; the alternatives to eSSVI.

A slice has more freedom than eSSVI's three numbers and follows one expiry better; what it gives up is
that neighbours do not know of each other. Three repairs, always in this order, make the result free of
arbitrage (``slice_terms`` says why each works): a slice whose density is negative among its quotes is
mixed with a flat smile (SVI) or cut (SABR); beyond the first failure of the density a power tail goes on; and where
a slice falls below an earlier one, the earlier one's variance holds. ``arbitrage.check_surface`` is the proof.

Not here: the choice of quotes and forwards (``forwards``, ``calibrate.py``), eSSVI.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.errors import GpuError
from gpu.surface.slices.sabr import (
    ALPHA,
    BETA,
    FIT_ROWS,
    FORWARD,
    NU,
    RHO,
    SABR_PARAMS,
    Leading,
    fit_sabr,
    sabr_alpha,
    sabr_vol_terms,
)
from gpu.surface.slices.sabr import YEARS as YEARS_OF
from gpu.surface.slices.slice_terms import (
    EMPTY,
    FLOORED,
    K_HIGH,
    K_LOW,
    KIND,
    MIXED,
    MODEL,
    MONEY,
    SABR,
    SLICE_PARAMS,
    SVI,
    YEARS,
    attach_tails,
    end_is_sound,
    falls_below,
    gap_is_sound,
    own_terms,
    slice_terms,
    surface_terms_batch,
)
from gpu.surface.slices.svi import fit_svi

F8: TypeAlias = npt.NDArray[np.float64]

_FAR = 3.0  # |k| out to which a formula's density is looked at, and at least ...
_FAR_DEVIATIONS = 15.0  # ... this many deviations
_CALENDAR_GRID = 601
_CALENDAR_DATES = 7
_MIXES = 12
_SAME_STRIKE = 1e-12  # in log-moneyness around the money
_ROBUST_PASSES = 2


class SliceStatus(IntEnum):
    """How a slice came about; NONE has no parameters and is left out of the surface."""

    OK = 0
    FEW_POINTS = 1  # under five quotes: what they cannot decide is pulled to a plain shape
    REPAIRED = 2  # the best fit had a negative density among the quotes
    NONE = 3  # no usable quote, or no sound smile through them


class SlicePoints(NamedTuple):
    """What one expiry's quotes say: inputs of a slice. ``k``, ``variance`` and ``half`` are float64[n]."""

    years: float
    forward: float
    discount: float
    k: F8  # ln(strike / forward)
    variance: F8  # total Black variance of the mid
    half: F8  # half of the bid-ask in total variance, > 0


class RawSvi(NamedTuple):
    """w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2))."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float


class NaturalSvi(NamedTuple):
    """w(k) = delta + omega/2 (1 + zeta rho (k - mu) + sqrt((zeta (k - mu) + rho)^2 + 1 - rho^2))."""

    delta: float
    mu: float
    rho: float
    omega: float
    zeta: float


class JumpWings(NamedTuple):
    """Traders' numbers of an SVI slice (Gatheral, Jacquier 2014): all but ``skew`` >= 0."""

    variance: float  # at the money, per year
    skew: float  # d vol/dk at the money, times sqrt(years)
    put_wing: float  # slope of w in the left wing over the root of the money's w
    call_wing: float
    lowest: float  # variance per year at the minimum


def natural_of_raw(raw: RawSvi) -> NaturalSvi:
    """Natural parameters of a raw slice; |rho| < 1 and sigma > 0."""
    root = math.sqrt(1.0 - raw.rho * raw.rho)
    omega = 2.0 * raw.b * raw.sigma / root
    return NaturalSvi(
        raw.a - 0.5 * omega * root * root, raw.m + raw.rho * raw.sigma / root, raw.rho, omega, root / raw.sigma
    )


def raw_of_natural(natural: NaturalSvi) -> RawSvi:
    """Inverse of :func:`natural_of_raw`; zeta > 0."""
    delta, mu, rho, omega, zeta = natural
    root = math.sqrt(1.0 - rho * rho)
    return RawSvi(delta + 0.5 * omega * root * root, 0.5 * omega * zeta, rho, mu - rho / zeta, root / zeta)


def jump_wings_of_raw(raw: RawSvi, years: float) -> JumpWings:
    """Jump-wings parameters of a raw slice at ``years`` > 0; its money variance must be positive."""
    a, b, rho, m, sigma = raw
    far = math.hypot(m, sigma)
    money = a + b * (far - rho * m)
    root = math.sqrt(money)
    lowest = a + b * sigma * math.sqrt(1.0 - rho * rho)
    return JumpWings(
        money / years, 0.5 * b * (rho - m / far) / root, b * (1.0 - rho) / root, b * (1.0 + rho) / root, lowest / years
    )


def raw_of_jump_wings(wings: JumpWings, years: float) -> RawSvi:
    """Inverse of :func:`jump_wings_of_raw`.

    Raises
    ------
    GpuError
        Numbers that no raw slice has: wings that are not positive, or a skew outside them.
    """
    money = wings.variance * years
    root = math.sqrt(money) if money > 0.0 else math.nan
    b = 0.5 * root * (wings.put_wing + wings.call_wing)
    if not b > 0.0:
        raise GpuError(f"the wings must be positive with a positive variance, were {wings}")
    rho = 1.0 - wings.put_wing * root / b
    lean = rho - 2.0 * wings.skew * root / b  # m / sqrt(m^2 + sigma^2)
    if not (abs(lean) < 1.0 and abs(rho) < 1.0):
        raise GpuError(
            f"skew {wings.skew} must lie within half the wings, -{wings.put_wing / 2}..{wings.call_wing / 2}"
        )
    above, complement = (wings.variance - wings.lowest) * years, math.sqrt(1.0 - rho * rho)
    # money - lowest = b far (1 - rho lean - sqrt(1 - rho^2) sqrt(1 - lean^2))
    unit = 1.0 - rho * lean - complement * math.sqrt(1.0 - lean * lean)
    if not unit > 0.0:
        raise GpuError(f"skew {wings.skew} puts the lowest variance at the money: sigma is undetermined")
    far = above / (b * unit)
    m, sigma = lean * far, far * math.sqrt(1.0 - lean * lean)
    return RawSvi(wings.lowest * years - b * sigma * complement, b, rho, m, sigma)


def within_bounds(raw: RawSvi) -> bool:
    """Necessary bounds of a raw slice: positive variance, Lee's slope, sigma > 0, |rho| < 1 (not sufficient)."""
    a, b, rho, _m, sigma = raw
    shape = b >= 0.0 and abs(rho) < 1.0 and sigma > 0.0
    return shape and a + b * sigma * math.sqrt(1.0 - rho * rho) > 0.0 and b * (1.0 + abs(rho)) <= 2.0


@dataclass(frozen=True)
class SliceSurface:
    """Total variance over (k, years) from fitted slices; see the module for what it guarantees.

    ``params`` float64[e, SLICE_PARAMS], one row per expiry that has a smile (layout: ``slice_terms``);
    ``status`` has one entry per expiry that was given, ``row_of`` its row or -1.
    """

    model: str
    years: F8
    forwards: F8
    discounts: F8
    spot: float
    params: F8
    status: tuple[SliceStatus, ...]
    row_of: tuple[int, ...]

    @property
    def count(self) -> int:
        """Expiries with a smile."""
        return len(self.years)

    @property
    def floored(self) -> npt.NDArray[np.bool_]:
        """Slices whose variance is, somewhere, an earlier expiry's (the calendar repair)."""
        return np.asarray(self.params[:, FLOORED] != 0.0)

    def terms(self, k: npt.ArrayLike, years: npt.ArrayLike) -> tuple[F8, F8, F8, F8]:
        """(w, dw/dk, d2w/dk2, dw/dT) at log-moneyness and years, broadcast; NaN for bad numbers."""
        ks, ts = np.broadcast_arrays(np.asarray(k, np.float64), np.asarray(years, np.float64))
        out = np.empty((4, ks.size))
        surface_terms_batch(self.params, self.count, ks.ravel(), ts.ravel(), out)
        shaped = out.reshape(4, *ks.shape)
        return shaped[0], shaped[1], shaped[2], shaped[3]

    def variance(self, k: npt.ArrayLike, years: npt.ArrayLike) -> F8:
        """Total Black variance."""
        return self.terms(k, years)[0]

    def vol(self, strike: npt.ArrayLike, years: npt.ArrayLike) -> F8:
        """Black volatility per sqrt(year) at a strike."""
        strikes, ts = np.broadcast_arrays(np.asarray(strike, np.float64), np.asarray(years, np.float64))
        with np.errstate(all="ignore"):
            k = np.log(strikes / self.forward(ts))
            return np.asarray(np.sqrt(self.variance(k, ts) / ts))

    def forward(self, years: npt.ArrayLike) -> F8:
        """Forward: log-linear between the spot and the expiries' forwards, the last carry beyond."""
        return self._curve(years, np.log(self.forwards / self.spot), self.spot)

    def discount(self, years: npt.ArrayLike) -> F8:
        """Discount factor, interpolated in the same way."""
        return self._curve(years, np.log(self.discounts), 1.0)

    def _curve(self, years: npt.ArrayLike, logs: F8, base: float) -> F8:
        ts = np.asarray(years, np.float64)
        value = np.interp(ts, np.concatenate(([0.0], self.years)), np.concatenate(([0.0], logs)))
        beyond = np.where(ts > self.years[-1], logs[-1] / self.years[-1] * (ts - self.years[-1]), 0.0)
        return np.asarray(np.where(ts >= 0.0, base * np.exp(value + beyond), np.nan))

    def smile(self, row: int, k: npt.ArrayLike) -> F8:
        """Total variance of row ``row`` at its own expiry, the floor included."""
        return self.variance(k, np.full(np.shape(k), self.years[row]))


def fit_slices(
    points: Sequence[SlicePoints], spot: float, *, model: str = "svi", beta: float = 1.0,
    leading: Leading = Leading.OBLOJ,
) -> SliceSurface:  # fmt: skip
    """Fit one smile per expiry and repair what has to be.

    Parameters
    ----------
    points
        One entry per expiry, years ascending. Points that are not finite or have no positive variance
        and half-spread are left out.
    spot
        Price of the underlying, for the forward curve before the first expiry.
    model
        ``"svi"`` or ``"sabr"``.
    beta, leading
        SABR's backbone, 0..1, and its leading order.

    Raises
    ------
    GpuError
        An unknown model, a beta outside 0..1, years that do not ascend, or no expiry with a smile.
    """
    if model not in ("svi", "sabr"):
        raise GpuError(f"model must be svi or sabr, was {model!r}")
    if not 0.0 <= beta <= 1.0:
        raise GpuError(f"beta must be 0..1, was {beta!r}")
    if any(not b.years > a.years > 0.0 for a, b in pairwise(points)):
        raise GpuError(f"years must be positive and ascend, were {[p.years for p in points]}")
    rows: list[F8] = []
    kept: list[SlicePoints] = []
    status: list[SliceStatus] = []
    row_of: list[int] = []
    for raw in points:
        given = _usable(raw)
        params, found = _fit_svi(given) if model == "svi" else _fit_sabr(given, beta, int(leading))
        status.append(found)
        row_of.append(len(rows) if found != SliceStatus.NONE else -1)
        if found != SliceStatus.NONE:
            rows.append(params)
            kept.append(given)
    if not rows:
        raise GpuError("no expiry has a usable quote: nothing to fit a surface to")
    table = np.array(rows)
    _repair_calendar(table)
    return SliceSurface(
        model=model, years=np.array([p.years for p in kept]), forwards=np.array([p.forward for p in kept]),
        discounts=np.array([p.discount for p in kept]), spot=float(spot), params=table, status=tuple(status),
        row_of=tuple(row_of),
    )  # fmt: skip


def _usable(points: SlicePoints) -> SlicePoints:
    """The points that are numbers, as contiguous arrays."""
    k, variance, half = (np.asarray(x, np.float64) for x in (points.k, points.variance, points.half))
    with np.errstate(all="ignore"):
        good = np.isfinite(k) & (variance > 0.0) & np.isfinite(variance) & (half > 0.0) & np.isfinite(half)
    # Strikes closer than this are one strike: a slope between two of them would be infinite.
    k = np.where(np.abs(k[good]) < _SAME_STRIKE, 0.0, k[good])
    return points._replace(k=k, variance=variance[good].copy(), half=half[good].copy())


def _money_variance(points: SlicePoints) -> float:
    """Median total variance of the (up to five) quotes nearest to the money."""
    near = np.argsort(np.abs(points.k), kind="stable")[:5]
    return float(np.median(points.variance[near]))


def _fit_svi(points: SlicePoints) -> tuple[F8, SliceStatus]:
    """Raw SVI: least squares in half-spreads, then again with far-off quotes discounted."""
    params = np.zeros(SLICE_PARAMS)
    n = len(points.k)
    if n == 0 or not points.years > 0.0:
        return params, SliceStatus.NONE
    money = _money_variance(points)
    scale, work = math.sqrt(money), np.zeros((8, max(n + 2, 16)))
    params[KIND], params[YEARS] = SVI, points.years
    weight = (money / points.half) ** 2
    fit_svi(points.k, points.variance, weight, n, scale, params[MODEL : MODEL + 5], work)
    params[K_LOW], params[K_HIGH] = -math.inf, math.inf
    for _ in range(_ROBUST_PASSES if n >= 5 else 0):
        doubted = weight * _doubt(params, points)
        fit_svi(points.k, points.variance, doubted, n, scale, params[MODEL : MODEL + 5], work)
    repaired = _repair_svi(params, points, money)
    if params[KIND] == EMPTY:
        return params, SliceStatus.NONE
    if n < 5:
        return params, SliceStatus.FEW_POINTS
    return params, SliceStatus.REPAIRED if repaired else SliceStatus.OK


def _doubt(params: F8, points: SlicePoints) -> F8:
    """Cauchy weights of the misses, in units of the typical one: a stale quote must not bend the smile."""
    model = np.array([own_terms(params, float(k))[0] for k in points.k])
    miss = np.abs(model - points.variance) / points.half
    unit = max(2.0 * float(np.median(miss)), 1.0)
    return np.asarray(1.0 / (1.0 + (miss / unit) ** 2))


def _tails_hold(params: F8, points: SlicePoints, always: bool) -> bool:
    """Attach the tails; do both seams lie beyond the quotes?"""
    deviation = math.sqrt(max(float(np.median(points.variance)), 1e-12))
    far = max(_FAR, _FAR_DEVIATIONS * deviation)
    if attach_tails(params, far, always) == 3:
        params[K_LOW], params[K_HIGH] = math.nan, math.nan
        return False
    return bool(params[K_LOW] <= points.k.min() and params[K_HIGH] >= points.k.max())


def _repair_svi(params: F8, points: SlicePoints, money: float) -> bool:
    """Mix with the flat smile of the money (a mix of raw SVIs is one) until the density holds over the quotes."""
    if _tails_hold(params, points, False):
        _finish(params)
        return False
    a, b = float(params[MODEL]), float(params[MODEL + 1])
    good, bad = 1.0, 0.0
    for _ in range(_MIXES):
        mix = 0.5 * (good + bad)
        params[MODEL], params[MODEL + 1] = (1.0 - mix) * a + mix * money, (1.0 - mix) * b
        if _tails_hold(params, points, False):
            good = mix
        else:
            bad = mix
    params[MODEL], params[MODEL + 1] = (1.0 - good) * a + good * money, (1.0 - good) * b
    _tails_hold(params, points, False)
    _finish(params)
    return True


def _finish(params: F8) -> None:
    """Note the money's variance; a slice without sound tails becomes EMPTY."""
    if np.isnan(params[K_LOW]):
        params[KIND] = EMPTY
        return
    params[MONEY] = own_terms(params, 0.0)[0]


def _fit_sabr(points: SlicePoints, beta: float, leading: int) -> tuple[F8, SliceStatus]:
    """SABR: money volatility, rho and nu by least squares in half-spreads, then tails where the density fails."""
    params = np.zeros(SLICE_PARAMS)
    n = len(points.k)
    if n == 0 or not (points.years > 0.0 and points.forward > 0.0):
        return params, SliceStatus.NONE
    params[KIND], params[YEARS] = SABR, points.years
    vol = np.sqrt(points.variance / points.years)
    weight = 2.0 * vol * points.years / points.half
    order = np.argsort(points.k, kind="stable")
    money = float(np.interp(0.0, points.k[order], vol[order]))
    if not 0.0 < money < math.inf:  # strikes a rounding apart: their slope is infinite
        money = math.sqrt(_money_variance(points) / points.years)
    out, work = params[MODEL : MODEL + SABR_PARAMS], np.zeros((FIT_ROWS, max(n, SABR_PARAMS)))
    arguments = (n, points.forward, points.years, beta, money, True, leading, out, work)
    error = fit_sabr(points.k, vol, weight, *arguments)
    params[K_LOW], params[K_HIGH] = -math.inf, math.inf
    for _ in range(_ROBUST_PASSES if n >= 5 and np.isfinite(error) else 0):
        error = fit_sabr(points.k, vol, weight * np.sqrt(_doubt(params, points)), *arguments)
    if not (np.isfinite(error) and params[MODEL + ALPHA] > 0.0):
        return params, SliceStatus.NONE
    held = _tails_hold(params, points, True)
    if np.isnan(params[K_LOW]):
        _calm(params, points)
    _finish(params)
    if params[KIND] == EMPTY:
        return params, SliceStatus.NONE
    if n < 5:
        return params, SliceStatus.FEW_POINTS
    return params, SliceStatus.OK if held else SliceStatus.REPAIRED


def _calm(params: F8, points: SlicePoints) -> None:
    """Lower nu, at the same money volatility, until the density holds at the money at least (at 0 it is CEV's)."""
    p = params[MODEL : MODEL + SABR_PARAMS]
    nu, money = float(p[NU]), float(sabr_vol_terms(p, 0.0)[0])
    good, bad = 0.0, 1.0
    for step in range(_MIXES + 1):
        share = 0.0 if step == 0 else 0.5 * (good + bad)
        p[NU] = nu * share
        p[ALPHA] = sabr_alpha(money, p[FORWARD], p[YEARS_OF], p[BETA], p[RHO], p[NU])
        if p[ALPHA] > 0.0 and (_tails_hold(params, points, True) or not np.isnan(params[K_LOW])):
            good = share
        else:
            bad = share
        if bad == 0.0:
            return  # no smile of this kind at all
    p[NU] = nu * good
    p[ALPHA] = sabr_alpha(money, p[FORWARD], p[YEARS_OF], p[BETA], p[RHO], p[NU])
    _tails_hold(params, points, True)


def _repair_calendar(table: F8) -> None:
    """Let an earlier variance hold wherever a slice falls below it; only slices and gaps that need it are marked."""
    for i in range(1, len(table)):
        k = _calendar_grid(table[i - 1 : i + 1, MONEY])
        if falls_below(table, i, k):
            table[i, FLOORED] = 1.0
            table[i, MONEY] = slice_terms(table, i, 0.0)[0]
        if not gap_is_sound(table, i - 1, k, _CALENDAR_DATES):
            table[i - 1, MIXED] = 1.0
    if not end_is_sound(table, len(table) - 1, _calendar_grid(table[-1:, MONEY])):
        table[-1, MIXED] = 1.0


def _calendar_grid(money: F8) -> F8:
    """Log-moneyness from far left to far right of two slices, dense at the narrower one's money."""
    narrow, wide = math.sqrt(max(money.min(), 1e-12)), math.sqrt(max(money.max(), 1e-12))
    u = np.linspace(-1.0, 1.0, _CALENDAR_GRID) * math.asinh(max(_FAR, _FAR_DEVIATIONS * wide) / narrow)
    return np.asarray(narrow * np.sinh(u))
