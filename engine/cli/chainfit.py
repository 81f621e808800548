"""A recorded chain as a fitted surface with its report: what ``axiom surface`` prints and draws.

All models see the same points: out-of-the-money mids on parity forwards (``gpu.surface.calibrate``).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.cli.chainfile import ChainSnapshot
from engine.cli.exits import CliError, ExitCode
from gpu.errors import GpuError
from gpu.european.greeks import black_price
from gpu.implied.black import IvStatus, implied_deviation
from gpu.surface.arbitrage import ArbitrageReport, ExpiryQuotes, QuoteViolation, check_quotes, check_surface
from gpu.surface.calibrate import RowStatus, SurfaceChain, SurfaceFitter, SurfacePoints, SurfaceReport
from gpu.surface.forwards.forward import ForwardStatus
from gpu.surface.slices.slice_terms import FLOORED, MODEL
from gpu.surface.slices.slices import SlicePoints, SliceSurface, fit_slices
from gpu.surface.surface import Surface

F8: TypeAlias = npt.NDArray[np.float64]

_REFITS = 4  # the first one may compile


class Model(StrEnum):
    """Which surface is fitted."""

    ESSVI = "essvi"
    SVI = "svi"
    SABR = "sabr"


@dataclass(frozen=True)
class FittedQuotes:
    """The quotes behind one expiry's smile, by strike; volatilities per sqrt(year), NaN where a side implies none."""

    strike: F8
    k: F8  # ln(strike / forward)
    bid_vol: F8
    mid_vol: F8
    ask_vol: F8
    miss: F8  # (price of the surface - mid) in half-spreads


@dataclass(frozen=True)
class FittedExpiry:
    """One expiry's line of the report; NaN where there is nothing to report."""

    day: date
    years: float
    status: str
    forward: float
    forward_error: float
    forward_source: str  # name of a ForwardStatus
    discount: float
    dividend_yield: float
    dividend_yield_error: float  # one standard deviation
    money_vol: float
    params: dict[str, float]
    contracts: int
    points: int
    rejected: int  # points far off every smile, and strikes that parity outvoted
    inside: int
    median_miss: float
    verdict: str
    quotes: FittedQuotes


@dataclass(frozen=True)
class FittedChain:
    """A snapshot, its surface, and the proof."""

    snapshot: ChainSnapshot
    model: Model
    rate: float
    surface: Surface | SliceSurface
    expiries: tuple[FittedExpiry, ...]
    proof: ArbitrageReport
    quote_faults: tuple[QuoteViolation, ...]
    fit_ms: float
    refit_ms: float  # warm, from the last fit; NaN for the models that have none

    @property
    def median_miss(self) -> float:
        """Median of |price - mid| over all points, in half-spreads."""
        misses = np.concatenate([np.abs(e.quotes.miss) for e in self.expiries])
        return float(np.median(misses)) if len(misses) else math.nan


def fit_chain(snapshot: ChainSnapshot, model: Model, rate: float, beta: float = 1.0) -> FittedChain:
    """Fit ``model`` to a snapshot and prove it.

    Raises CliError where no expiry of the snapshot has a usable quote.
    """
    if not (snapshot.years > 0.0).any():
        raise CliError(
            ExitCode.ERROR, f"{snapshot.path}: all expiries have passed at {snapshot.at}; give an earlier --at"
        )
    try:
        fitter = SurfaceFitter(SurfaceChain(snapshot.strike, snapshot.years, snapshot.right, snapshot.american), rate)
        report = fitter.fit(snapshot.bid, snapshot.ask, snapshot.spot)
        if report.fitted == 0:
            raise CliError(ExitCode.ERROR, f"{snapshot.path} at {snapshot.at}: {_nothing(fitter)}")
        surface, seconds = _timed_fit(fitter, report, snapshot, model, beta)
    except GpuError as error:
        raise CliError(ExitCode.ERROR, f"{snapshot.path} at {snapshot.at}: {error}") from error
    points = fitter.points
    proof = check_surface(surface.terms, _nodes(surface))
    faults = check_quotes(_raw_quotes(snapshot, fitter), american=snapshot.american)
    expiries = tuple(_expiry(snapshot, fitter, surface, report, points, e) for e in range(len(report.expiries)))
    again = _refit_seconds(fitter, snapshot) if model == Model.ESSVI else math.nan
    return FittedChain(
        snapshot, model, rate, surface, expiries, proof, tuple(faults), 1e3 * seconds, 1e3 * again
    )  # fmt: skip


def _refit_seconds(fitter: SurfaceFitter, snapshot: ChainSnapshot) -> float:
    """Shortest of a few warm fits on the same quotes; last, since the fitter's points are then theirs."""
    best = math.inf
    for _ in range(_REFITS):
        begin = time.perf_counter()
        fitter.refit(snapshot.bid, snapshot.ask, snapshot.spot)
        best = min(best, time.perf_counter() - begin)
    return best


def _nodes(surface: Surface | SliceSurface) -> F8:
    return surface.years if isinstance(surface, SliceSurface) else surface.expiries


def _nothing(fitter: SurfaceFitter) -> str:
    """Why no quote could be used."""
    counts = np.bincount(fitter.row_status, minlength=len(RowStatus))
    why = ", ".join(
        f"{counts[status]} {status.name.lower().replace('_', ' ')}" for status in RowStatus if counts[status]
    )
    return (
        f"no expiry has a usable quote out of the money (contracts: {why}); give another --at, or --spot if it is wrong"
    )


def _timed_fit(
    fitter: SurfaceFitter, report: SurfaceReport, snapshot: ChainSnapshot, model: Model, beta: float
) -> tuple[Surface | SliceSurface, float]:
    """The surface, and the seconds of the second run (the first one may compile)."""
    build: Callable[[], Surface | SliceSurface]
    if model == Model.ESSVI:
        build = partial(_again, fitter, snapshot)
    else:
        build = partial(fit_slices, _slice_points(fitter, report), snapshot.spot, model=str(model), beta=beta)
        build()
    begin = time.perf_counter()
    surface = build()
    return surface, time.perf_counter() - begin


def _again(fitter: SurfaceFitter, snapshot: ChainSnapshot) -> Surface:
    fitter.fit(snapshot.bid, snapshot.ask, snapshot.spot)
    return fitter.surface


def _slice_points(fitter: SurfaceFitter, report: SurfaceReport) -> list[SlicePoints]:
    """The fitter's points, expiry by expiry; expiries without any are left out."""
    points, out = fitter.points, []
    for e, row in enumerate(report.expiries):
        mine = points.expiry == e
        if mine.any():
            out.append(SlicePoints(row.years, row.forward, row.discount, points.k[mine], points.w[mine],
                                   points.half[mine]))  # fmt: skip
    return out


def _raw_quotes(snapshot: ChainSnapshot, fitter: SurfaceFitter) -> list[ExpiryQuotes]:
    """Both sides of all contracts by expiry, for the check of the quotes themselves."""
    chain, curve = fitter.chain, fitter.parity
    call_bid, call_ask, put_bid, put_ask = chain.pair_quotes(snapshot.bid, snapshot.ask)
    out = []
    for e, years in enumerate(chain.years.tolist()):
        at = slice(int(chain.pair_first[e]), int(chain.pair_first[e + 1]))
        if years > 0.0:
            out.append(
                ExpiryQuotes(
                    years, chain.pair_strike[at], call_bid[at], call_ask[at], put_bid[at], put_ask[at],
                    float(curve.discount[e]), float(curve.forward[e]),
                )
            )  # fmt: skip
    return out


def _expiry(
    snapshot: ChainSnapshot, fitter: SurfaceFitter, surface: Surface | SliceSurface, report: SurfaceReport,
    points: SurfacePoints, e: int,
) -> FittedExpiry:  # fmt: skip
    """Line ``e`` of the report."""
    row, curve, mine = report.expiries[e], fitter.parity, points.expiry == e
    rows = np.flatnonzero(fitter.chain.expiry == e)
    fitted = bool(np.any(np.isclose(_nodes(surface), row.years, rtol=0.0, atol=1e-12)))
    quotes = _quotes(snapshot, points, mine, surface, row, fitter.premium)
    sides = np.abs(quotes.miss) <= 1.0
    money = float(surface.variance(0.0, row.years)) if fitted else math.nan
    return FittedExpiry(
        day=snapshot.expiry_day(int(snapshot.expiry_ns[rows[0]])), years=row.years, status=row.status.name,
        forward=row.forward, forward_error=row.forward_error,
        forward_source=ForwardStatus(int(curve.status[e])).name, discount=row.discount,
        dividend_yield=float(curve.dividend_yield[e]),
        dividend_yield_error=float(curve.dividend_yield_error[e]),
        money_vol=math.sqrt(money / row.years) if fitted else math.nan,
        params=_params(surface, row) if fitted else {}, contracts=len(rows), points=int(mine.sum()),
        rejected=int(points.outlier[mine].sum()) + row.parity_rejected, inside=int(sides.sum()),
        median_miss=float(np.median(np.abs(quotes.miss))) if mine.any() else math.nan,
        verdict=_verdict(surface, row.years) if fitted else "-", quotes=quotes,
    )  # fmt: skip


def _quotes(
    snapshot: ChainSnapshot, points: SurfacePoints, mine: npt.NDArray[np.bool_], surface: Surface | SliceSurface,
    row: Any, premium: F8,
) -> FittedQuotes:  # fmt: skip
    """Volatilities of the sides of each point, and the surface's miss of its mid in half-spreads.

    American quotes are taken without their early exercise premium, as the fit takes them.
    """
    numbers, strike, k = points.row[mine], points.strike[mine], points.k[mine]
    bid, ask = (snapshot.bid - premium)[numbers] / row.discount, (snapshot.ask - premium)[numbers] / row.discount
    right = snapshot.right[numbers].astype(int)
    root = math.sqrt(row.years) if row.years > 0.0 else math.nan
    vols = np.full((3, len(numbers)), np.nan)
    prices = np.empty(len(numbers))
    variance = surface.variance(k, np.full(len(k), row.years))
    for i, (x, r) in enumerate(zip(strike.tolist(), right.tolist(), strict=True)):
        prices[i] = black_price(row.forward, x, math.sqrt(variance[i]), r)
        for side, price in enumerate((bid[i], 0.5 * (bid[i] + ask[i]), ask[i])):
            deviation, status = implied_deviation(price, row.forward, x, r)
            vols[side, i] = deviation / root if status == IvStatus.OK else math.nan
    with np.errstate(all="ignore"):
        half = np.maximum(0.5 * (ask - bid), 0.005 / row.discount)
        miss = (prices - 0.5 * (bid + ask)) / half
    return FittedQuotes(strike, k, vols[0], vols[1], vols[2], miss)


def _params(surface: Surface | SliceSurface, row: Any) -> dict[str, float]:
    """The numbers of one expiry's smile, by their names."""
    if not isinstance(surface, SliceSurface):
        return {"theta": row.theta, "rho": row.rho, "phi": row.phi}
    at = int(np.argmin(np.abs(surface.years - row.years)))
    values = surface.params[at, MODEL : MODEL + 5]
    names = ("a", "b", "rho", "m", "sigma") if surface.model == "svi" else ("alpha", "beta", "rho", "nu")
    return dict(zip(names, values.tolist(), strict=False)) | {"floored": float(surface.params[at, FLOORED])}


def _verdict(surface: Surface | SliceSurface, years: float) -> str:
    """``free``, or what is wrong at this expiry or on the way to it."""
    nodes = _nodes(surface)
    at = int(np.argmin(np.abs(nodes - years)))
    proof = check_surface(surface.terms, nodes[max(at - 1, 0) : at + 1], extend=False, points=201)
    if proof.free:
        return "free"
    return ", ".join(part.split(" ", 1)[0] for part in proof.worst().split(", "))
