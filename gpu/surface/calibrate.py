"""Calibrate a surface on the quotes of a chain: ``SurfaceFitter`` (cold, then warm), or ``fit_surface`` once.

One fit is: parity (forward, discount), out-of-the-money mids as total variances in half-spreads, eSSVI over all
expiries inside the arbitrage-free set, bumps for what it leaves, the check on the dense grid, and a report. The
answer depends on the quotes alone; a refit only starts from the last one, and ends where a cold fit does.

Nothing raises on quotes: a bad row, an empty expiry, an expiry in a minute have a status and touch no neighbour.
"""

import math
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gpu.errors import ChainError
from gpu.surface.essvi.bump import BUMP_WORK, ETA, NODE, PSI, THETA
from gpu.surface.forwards.parity import (
    P_DISCOUNT,
    P_FORWARD,
    P_FORWARD_ERROR,
    PARITY_COLUMNS,
    PARITY_WORK,
    ParityCurve,
    curve_of,
)
from gpu.surface.forwards.parity_american import exercise_premium
from gpu.surface.layout import SurfaceChain
from gpu.surface.surface import Surface
from gpu.surface.surface_fit import (
    R_INSIDE,
    R_MEDIAN,
    R_NODE,
    R_OUTLIERS,
    R_PLAIN_INSIDE,
    R_PLAIN_MEDIAN,
    R_POINTS,
    R_SMOOTHED,
    R_STATUS,
    R_WORST,
    RESULT_COLUMNS,
    FitArrays,
    SliceStatus,
    calibrate_chain,
    node_rows,
)
from gpu.surface.weights import HALF, MISS, POINT_ROWS, ROW, STRIKE, K, RowStatus, W

__all__ = [
    "ExpiryReport", "RowStatus", "SliceStatus", "Surface", "SurfaceChain", "SurfaceFitter", "SurfacePoints",
    "SurfaceReport", "SurfaceSettings", "fit_surface",
]  # fmt: skip

F8: TypeAlias = npt.NDArray[np.float64]
U1: TypeAlias = npt.NDArray[np.uint8]


class SurfaceSettings(msgspec.Struct, frozen=True):
    """How a surface is fitted; every default has its reason beside it."""

    min_half_spread: float = 0.005  # currency: a locked market is not known better than half a cent
    min_years: float = 15.0 / (365.0 * 24.0 * 60.0)  # a quarter of an hour: then ticks outweigh time value
    #: Weight of the bumps' curvature, in squared half-spreads; 0 for plain eSSVI. Of 0.01 .. 1e4, predicting every
    #: second quote of GOOG from the others is best from 0.1 to 1.
    roughness: float = 0.3
    #: AMERICAN chains: how often a cold fit takes the early exercise premium off the quotes and fits again (0: never,
    #: quotes are read as European). Each time a tenth of the bias is left: after three a thousandth.
    exercise_rounds: int = 3

    def check(self) -> None:
        """Raise ChainError for a value out of range."""
        bounds = {"min_half_spread": (1e-9, math.inf), "min_years": (1e-9, 1.0), "roughness": (0.0, 1e12),
                  "exercise_rounds": (0, 10)}  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ChainError(f"{name} must be {low:g}..{high:g}, was {value!r}")


class ExpiryReport(msgspec.Struct, frozen=True):
    """One expiry of a fit. Numbers are NaN where ``status`` left nothing to report."""

    years: float
    status: SliceStatus
    forward: float
    forward_error: float  # one standard deviation; infinite where parity said nothing
    discount: float
    theta: float  # at-the-money total variance
    rho: float
    phi: float
    points: int  # quotes used
    outliers: int  # of these, how many the surface misses by more than six half-spreads
    parity_rejected: int  # strikes outvoted by parity
    inside: int  # used quotes that hold the surface's price within their bid-ask
    median_miss: float  # median |price - mid| in half-spreads
    worst_miss: float
    plain_inside: int  # the same without the bump: eSSVI alone
    plain_median_miss: float
    smoothed: int  # times the bump was made smoother to stay free of arbitrage; 4: it has none


class SurfaceReport(msgspec.Struct, frozen=True):
    """What one fit achieved: per expiry, and over all points."""

    expiries: tuple[ExpiryReport, ...]
    fitted: int  # expiries that are nodes of the surface
    points: int
    inside: int
    outliers: int
    median_miss: float  # median |price - mid| over all points, in half-spreads
    steps: int  # Gauss-Newton steps of the eSSVI core
    warm: bool  # started from the last fit


class SurfacePoints(msgspec.Struct, frozen=True):
    """The points of the last fit, [m], by expiry and ascending strike."""

    expiry: npt.NDArray[np.int64]  # index into the chain's years
    row: npt.NDArray[np.int64]  # row of the chain
    strike: F8
    k: F8  # ln(strike / forward)
    w: F8  # total variance of the mid
    half: F8  # half-spread in total variance
    miss: F8  # (price of the surface - mid) in half-spreads
    outlier: npt.NDArray[np.bool_]


class SurfaceFitter:
    """Owns the arrays of one chain's surface. One thread at a time.

    Parameters
    ----------
    chain
        Which contract each row is.
    rate
        Prior of the funding rate per year: one number, or one per expiry (a discount curve).
    settings
        See ``SurfaceSettings``.

    Raises
    ------
    ChainError
        No sound contract in the chain, a rate that is not within -1..1, settings out of range.

    """

    def __init__(self, chain: SurfaceChain, rate: npt.ArrayLike, settings: SurfaceSettings | None = None) -> None:
        self.chain = chain
        self.settings = settings or SurfaceSettings()
        self.settings.check()
        e, p, longest = len(chain.years), len(chain.pair_strike), max(chain.longest, NODE)
        if e == 0:
            raise ChainError(f"none of the {chain.count} rows is a contract with a positive strike and a finite time")
        rates = np.ascontiguousarray(np.broadcast_to(np.asarray(rate, np.float64), (e,)))
        if not (abs(rates) < 1.0).all():
            raise ChainError(f"rate must be a fraction per year within -1..1, was {rate!r}")
        self._arrays = FitArrays(
            pair_strike=chain.pair_strike, pair_call=chain.pair_call, pair_put=chain.pair_put,
            pair_first=chain.pair_first, years=chain.years.copy(), rate=rates, quotes=np.full((4, p), np.nan),
            rejected=np.zeros(p, np.uint8), status=np.zeros(chain.count, np.uint8),
            parity=np.full((e, PARITY_COLUMNS), np.nan), points=np.zeros((POINT_ROWS, p)),
            first=np.zeros(e + 1, np.int64), live=np.zeros(e, np.int64), scale=np.zeros(e), slices=np.zeros((3, e)),
            nodes=node_rows(e), results=np.full((e, RESULT_COLUMNS), np.nan), attempts=np.zeros(e + 1, np.int64),
            variance=np.zeros(longest), order=np.zeros(longest), indices=np.zeros(longest, np.int64),
            work=np.zeros((max(BUMP_WORK, PARITY_WORK), longest)), z=np.zeros(3 * e), least=np.zeros(3 * e),
            grad=np.zeros((3, e, 3 * e)), big=np.zeros((6 * e + 8, max(3 * e, 9))),
        )  # fmt: skip
        self._premium = np.zeros(chain.count)
        self._premium_given = False
        self._spot = math.nan
        self._fitted = 0
        self._surface: Surface | None = None

    @property
    def surface(self) -> Surface:
        """The last successful fit; a new object after every fit, so an old one never changes under its reader."""
        if self._surface is None:
            raise ChainError("there is no surface yet: no fit has found a usable expiry")
        return self._surface

    @property
    def row_status(self) -> U1:
        """RowStatus of every row in the last fit, [n]."""
        status = self._arrays.status.copy()
        status[self.chain.bad] = RowStatus.BAD_ROW
        return status

    @property
    def parity(self) -> ParityCurve:
        """Term structures of the last fit's forwards, discounts and carry."""
        a = self._arrays
        return curve_of(a.parity, a.rejected, a.years, self._spot, np.zeros(len(a.years)))

    @property
    def points(self) -> SurfacePoints:
        """The points of the last fit."""
        a = self._arrays
        n = int(a.first[self._fitted])
        counts = np.diff(a.first[: self._fitted + 1])
        row = a.points[ROW, :n].astype(np.int64)
        return SurfacePoints(
            expiry=np.repeat(a.live[: self._fitted], counts), row=row, strike=a.points[STRIKE, :n].copy(),
            k=a.points[K, :n].copy(), w=a.points[W, :n].copy(), half=a.points[HALF, :n].copy(),
            miss=a.points[MISS, :n].copy(), outlier=a.status[row] == RowStatus.OUTLIER,
        )  # fmt: skip

    def fit(self, bid: npt.ArrayLike, ask: npt.ArrayLike, spot: float, elapsed_years: float = 0.0) -> SurfaceReport:
        """Fit from nothing.

        Parameters
        ----------
        bid, ask
            float64[n] in currency, row by row of the chain; NaN or <= 0 is no quote.
        spot
            Price of the underlying; one that is no price gives NO_SPOT everywhere and keeps the last surface.
        elapsed_years
            Time since the chain's ``years`` were right.

        """
        rounds = 0 if self._premium_given or not self.chain.american else self.settings.exercise_rounds
        if rounds:
            self._premium[:] = 0.0
        report = self._fit(bid, ask, spot, elapsed_years, 0)
        for _ in range(rounds if report.fitted else 0):
            self._premium = exercise_premium(self.surface, self.chain, self.parity)
            report = self._fit(bid, ask, spot, elapsed_years, self._fitted)
        return report

    def refit(self, bid: npt.ArrayLike, ask: npt.ArrayLike, spot: float, elapsed_years: float = 0.0) -> SurfaceReport:
        """Fit from the last fit; arguments as for :meth:`fit`.

        Where the usable expiries have changed it starts from nothing. The early exercise premium stays what the last
        :meth:`fit` or :meth:`renew_premium` found.
        """
        return self._fit(bid, ask, spot, elapsed_years, self._fitted)

    @property
    def premium(self) -> F8:
        """Early exercise premium taken off the quotes, float64[n] in currency."""
        return self._premium.copy()

    def renew_premium(self) -> None:
        """Compute the early exercise premium anew on the last surface, for the fits to come; slower than a refit."""
        if self.chain.american and not self._premium_given:
            self._premium = exercise_premium(self.surface, self.chain, self.parity)

    def set_premium(self, premium: npt.ArrayLike) -> None:
        """Give the early exercise premium of every row, float64[n] in currency; fits compute none of their own then."""
        self._premium = np.nan_to_num(self.chain.prices(premium, "premium"))
        self._premium_given = True

    def _fit(
        self, bid: npt.ArrayLike, ask: npt.ArrayLike, spot: float, elapsed_years: float, fitted: int
    ) -> SurfaceReport:
        a, chain, settings = self._arrays, self.chain, self.settings
        bids, asks = chain.prices(bid, "bid") - self._premium, chain.prices(ask, "ask") - self._premium
        a.years[:] = chain.years - elapsed_years
        self._spot = float(spot)
        warm = fitted > 0
        n, steps = calibrate_chain(
            a, bids, asks, self._spot, chain.american, settings.min_half_spread, settings.min_years,
            settings.roughness, fitted,
        )  # fmt: skip
        self._fitted = int(n)
        if n > 0:
            self._surface = Surface(a.nodes[: n + 1].copy())
        return self._report(int(steps), warm)

    def _report(self, steps: int, warm: bool) -> SurfaceReport:
        a = self._arrays
        rows = tuple(_expiry_report(a, e) for e in range(len(a.years)))
        misses = np.abs(a.points[MISS, : a.first[self._fitted]])
        return SurfaceReport(
            expiries=rows,
            fitted=self._fitted,
            points=sum(row.points for row in rows),
            inside=sum(row.inside for row in rows),
            outliers=sum(row.outliers for row in rows),
            median_miss=float(np.median(misses)) if len(misses) else math.nan,
            steps=steps,
            warm=warm,
        )


def _expiry_report(a: FitArrays, e: int) -> ExpiryReport:
    """Report of expiry ``e`` from the fitter's arrays."""
    node, row = int(a.results[e, R_NODE]), a.results[e]
    live = node > 0
    theta, psi, eta = (float(a.nodes[node, c]) if live else math.nan for c in (THETA, PSI, ETA))
    return ExpiryReport(
        years=float(a.years[e]),
        status=SliceStatus(int(row[R_STATUS])),
        forward=float(a.parity[e, P_FORWARD]),
        forward_error=float(a.parity[e, P_FORWARD_ERROR]),
        discount=float(a.parity[e, P_DISCOUNT]),
        theta=theta,
        rho=eta / psi if live else math.nan,
        phi=psi / theta if live else math.nan,
        points=int(row[R_POINTS]),
        outliers=int(row[R_OUTLIERS]) if live else 0,
        parity_rejected=int(a.rejected[a.pair_first[e] : a.pair_first[e + 1]].sum()),
        inside=int(row[R_INSIDE]) if live else 0,
        median_miss=float(row[R_MEDIAN]),
        worst_miss=float(row[R_WORST]),
        plain_inside=int(row[R_PLAIN_INSIDE]) if live else 0,
        plain_median_miss=float(row[R_PLAIN_MEDIAN]),
        smoothed=int(row[R_SMOOTHED]) if live else 0,
    )


def fit_surface(
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    right: npt.ArrayLike,
    bid: npt.ArrayLike,
    ask: npt.ArrayLike,
    spot: float,
    rate: npt.ArrayLike,
    american: bool = False,
    settings: SurfaceSettings | None = None,
) -> tuple[Surface, SurfaceReport]:
    """Surface of a chain in one call: n contracts as arrays [n], see ``SurfaceChain`` and ``SurfaceFitter.fit``.

    Raises ChainError where no expiry has a usable quote; a caller who wants a status instead holds a ``SurfaceFitter``.
    """
    fitter = SurfaceFitter(SurfaceChain(strike, years, right, american), rate, settings)
    report = fitter.fit(bid, ask, spot)
    return fitter.surface, report
