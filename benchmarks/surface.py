"""Surfaces of recorded chains: time and quality of a fit, beside the daemon's per-slice smiles and scipy.

    python -m benchmarks.surface [--chain FILE ...] [--at 10:30] [--rounds 20]

Without ``--chain``: the GOOG and SPXW files of ``AXIOM_MARKET_DATA`` (else ../shared/data/market). One run, one thread.

* ``refit``: one minute's quotes to the next minute's, warm; ``cold``: from nothing, for an American chain with the
  early exercise premium of every row computed three times.
* ``daemon``: ``ChainPricer.calibrate`` on the same quotes, the SVI and spline per expiry behind the theo table.
* ``scipy``: ``least_squares`` (trust region, bounds, Cauchy loss) on the objective of the eSSVI core alone, the
  same unknowns from the same start, differences for derivatives; beside it the core alone as fitted here.

A miss is |price of the surface - mid| in half-spreads; inside means that bid and ask hold the surface's price.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from benchmarks.analytics_peers import best_ns, machine, table
from engine.cli.chainfile import ChainSnapshot, load_chain
from gpu.chain.theo import ChainPricer, PricerSettings
from gpu.surface.arbitrage import check_surface
from gpu.surface.calibrate import SurfaceChain, SurfaceFitter, SurfaceSettings
from gpu.surface.essvi.fit import LOSS_SCALE, fit_essvi, increments_from, robust_cost, slices_from
from gpu.surface.essvi.terms import essvi_variance
from gpu.surface.surface import Surface
from market.enums import ExerciseStyle, SecurityKind
from market.jit import kernel
from market.records import INSTRUMENT
from market.records import table as records

TARGET_REFIT_MS = 5.0
TARGET_EVALUATION_US = 50.0
_POINTS = 1_000
_DEFAULT = ("goog_20151224_quote_minute_american.zip", "spxw_20210104_quote_minute_european.zip",
            "spxw_20210106_quote_minute_european.zip")  # fmt: skip


def _minute_later(at: str) -> str:
    hour, minute = (int(part) for part in at.split(":"))
    return f"{(hour * 60 + minute + 1) // 60:02}:{(minute + 1) % 60:02}"


def _fitter(chain: ChainSnapshot, rate: float, settings: SurfaceSettings | None = None) -> SurfaceFitter:
    layout = SurfaceChain(chain.strike, chain.years, chain.right, chain.american)
    return SurfaceFitter(layout, rate, settings)


def _refit_ns(fitter: SurfaceFitter, chain: ChainSnapshot, later: ChainSnapshot, rounds: int) -> float:
    """Median nanoseconds of refits that go to and fro between two minutes; the least of the rounds."""
    elapsed = float(chain.years.max() - later.years.max())
    fitter.fit(chain.bid, chain.ask, chain.spot)
    medians = []
    for _ in range(rounds):
        times = []
        for turn in range(12):  # short rounds: one of them goes undisturbed on a busy machine
            side = later if turn % 2 == 0 else chain
            began = time.perf_counter_ns()
            report = fitter.refit(side.bid, side.ask, side.spot, elapsed if turn % 2 == 0 else 0.0)
            times.append(time.perf_counter_ns() - began)
            if not report.warm:
                raise SystemExit("a refit started from nothing: the usable expiries differ between the two minutes")
        medians.append(float(np.median(times)))
    return min(medians)


def _daemon(chain: ChainSnapshot, rate: float) -> Callable[[], Any]:
    """The daemon's calibration of the same chain."""
    rows = records(INSTRUMENT, chain.count + 1)
    one = rows[1:]
    one["instrument"] = np.arange(1, chain.count + 1)
    one["security"], one["multiplier"] = SecurityKind.OPTION, 100
    one["style"] = ExerciseStyle.AMERICAN if chain.american else ExerciseStyle.EUROPEAN
    one["right"], one["strike"], one["expiry_ns"] = chain.right, chain.strike, chain.expiry_ns
    pricer = ChainPricer(rows, chain.count + 1, 0, rate, PricerSettings(residual=False))
    bid, ask = np.append(np.nan, chain.bid), np.append(np.nan, chain.ask)
    return lambda: pricer.calibrate(bid, ask, chain.spot, chain.at_ns)


@kernel(allocates=True)
def _misses(z: Any, n: int, points: Any, first: Any, scale: Any, slices: Any, out: Any) -> None:
    """Misses in half-spreads at increments ``z``, for scipy."""
    slices_from(z * scale, n, slices)
    for i in range(n):
        psi, eta = 0.5 * (slices[1, i] + slices[2, i]), 0.5 * (slices[1, i] - slices[2, i])
        for p in range(first[i], first[i + 1]):
            out[p] = (essvi_variance(slices[0, i], psi, eta, points[0, p]) - points[1, p]) / points[2, p]


def _core(fitter: SurfaceFitter) -> list[tuple[str, float, float, int]]:
    """(who, milliseconds, cost reached, evaluations or steps) of the eSSVI core, ours and scipy's."""
    a, n = fitter._arrays, len(fitter.surface.expiries)
    points, first, scale = a.points, a.first, a.scale
    slices, z, least = np.zeros((3, n)), np.zeros(3 * n), np.zeros(3 * n)
    grad, work = np.zeros((3, n, 3 * n)), np.zeros((6 * n + 8, max(3 * n, 9)))

    def ours() -> tuple[float, int]:
        return fit_essvi(points[0], points[1], points[2], first, n, scale, False, slices, z, least, grad, work)

    cost, steps = ours()
    rows = [("here", best_ns(ours) / 1e6, float(cost), int(steps))]
    start = np.zeros((3, n))
    start[0], start[1], start[2] = scale[:n] ** 2, 0.4 * scale[:n], 0.8 * scale[:n]
    increments_from(start, scale, n, z, least)
    unit = np.repeat(scale[:n], 3)
    unit[2::3] **= 2
    out = np.zeros(int(first[n]))

    def misses(x: Any) -> Any:
        _misses(x, n, points, first, unit, slices, out)
        return out.copy()

    misses(z / unit)
    began = time.perf_counter()
    found = least_squares(
        misses, np.maximum(z, least * 1.0001) / unit, bounds=(least / unit, np.inf), loss="cauchy",
        f_scale=LOSS_SCALE, x_scale="jac", max_nfev=300,
    )  # fmt: skip
    took = time.perf_counter() - began
    slices_from(found.x * unit, n, slices)
    reached = robust_cost(points[0], points[1], points[2], first, n, scale, slices, LOSS_SCALE)
    rows.append(("scipy", took * 1e3, float(reached), int(found.nfev)))
    return rows


def _evaluation(surface: Surface, chain: ChainSnapshot) -> list[list[str]]:
    """Microseconds per thousand points, on one date and on dates in any order."""
    rng = np.random.default_rng(1)
    strike = chain.spot * np.exp(rng.uniform(-0.4, 0.3, _POINTS))
    last = float(surface.expiries[-1])
    rows: list[list[str]] = []
    dates = {"one date": np.full(_POINTS, 0.4 * last), "any dates": rng.uniform(0.01, 1.0, _POINTS) * last}
    for name, years in dates.items():
        k = np.log(strike / surface.forward(years))
        calls: list[tuple[str, Callable[[], Any]]] = [
            ("total variance", partial(surface.variance, k, years)),
            ("volatility at strikes", partial(surface.vol, strike, years)),
            ("w and three derivatives", partial(surface.terms, k, years)),
            ("price", partial(surface.price, strike, years, 1)),
        ]
        rows.extend([what, name, f"{best_ns(call) / 1e3:.1f}"] for what, call in calls)
    return rows


def report(path: Path, at: str, rate: float, rounds: int) -> None:
    """Print everything about one chain."""
    chain, later = load_chain(path, at), load_chain(path, _minute_later(at))
    fitter = _fitter(chain, rate)
    cold_ns = best_ns(lambda: fitter.fit(chain.bid, chain.ask, chain.spot))
    european = _fitter(chain, rate, SurfaceSettings(exercise_rounds=0))
    european_ns = best_ns(lambda: european.fit(chain.bid, chain.ask, chain.spot))
    daemon = _daemon(chain, rate)
    old = daemon()
    daemon_ns = best_ns(daemon)
    refit_ns = _refit_ns(fitter, chain, later, rounds)
    plain = _fitter(chain, rate, SurfaceSettings(roughness=0.0))
    plain.fit(chain.bid, chain.ask, chain.spot)
    plain_ns = _refit_ns(plain, chain, later, rounds)
    found = fitter.fit(chain.bid, chain.ask, chain.spot)
    bare = plain.fit(chain.bid, chain.ask, chain.spot)
    proof = check_surface(fitter.surface.terms, fitter.surface.expiries)
    print(f"\n{path.name} at {at}: {chain.count} contracts, {found.fitted} expiries, {found.points} points")
    head = ["fit", "refit ms", "cold ms", "median miss", "inside", "arbitrage"]
    rows = [
        ["eSSVI and bumps", f"{refit_ns / 1e6:.2f}", f"{cold_ns / 1e6:.2f}", f"{found.median_miss:.3f}",
         f"{found.inside / max(found.points, 1):.1%}", "none" if proof.free else str(proof.worst())],
        ["the same, read as European", "", f"{european_ns / 1e6:.2f}", "", "", ""],
        ["eSSVI alone", f"{plain_ns / 1e6:.2f}", "", f"{bare.median_miss:.3f}",
         f"{bare.inside / max(bare.points, 1):.1%}", ""],
        ["daemon, per slice", "", f"{daemon_ns / 1e6:.2f}", "", f"{old.inside / max(old.points, 1):.1%}",
         f"{old.calendar_crossings} calendar crossings near the money"],
    ]  # fmt: skip
    print(table(head, rows))
    print(f"refit target {TARGET_REFIT_MS:g} ms: {'met' if refit_ns / 1e6 <= TARGET_REFIT_MS else 'MISSED'}")
    print(table(["eSSVI core from nothing", "ms", "cost", "steps"],
                [[who, f"{ms:.2f}", f"{cost:.4f}", str(steps)] for who, ms, cost, steps in _core(plain)]))  # fmt: skip
    print(table([f"evaluation of {_POINTS}", "at", "us"], _evaluation(fitter.surface, chain)))
    print(f"evaluation target {TARGET_EVALUATION_US:g} us")


def main() -> None:
    """Run for the chains asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", type=Path, action="append", help="recorded option file; may be given more than once")
    parser.add_argument("--at", default="10:30", help="New York time, HH:MM")
    parser.add_argument("--rate", type=float, default=0.005, help="prior of the funding rate per year")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    root = Path(os.environ.get("AXIOM_MARKET_DATA", Path(__file__).resolve().parents[2] / "shared" / "data" / "market"))
    chains = arguments.chain or [root / name for name in _DEFAULT if (root / name).is_file()]
    if not chains:
        raise SystemExit(f"no recorded chains at {root}: give --chain FILE or set AXIOM_MARKET_DATA")
    print(" ".join(f"{name} {value};" for name, value in machine().items()))
    for path in chains:
        report(path, arguments.at, arguments.rate, arguments.rounds)


if __name__ == "__main__":
    main()
