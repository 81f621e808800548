"""The surface models side by side on recorded chains, and SABR's expansion against simulation.

    python -m benchmarks.surface_models [--chain FILE ...] [--at 11:00] [--rounds 8]

Without ``--chain``: the GOOG file of ``AXIOM_MARKET_DATA`` (else ../shared/data/market); skipped where there is none.
All models see the same points. ``hidden``: every second strike is hidden from the fit and predicted from the
others, then the other way round. A miss is |price of the surface - mid| in half-spreads. One thread.
"""

import argparse
import dataclasses
import math
import os
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.analytics_peers import best_ns, machine, table
from engine.cli.chainfile import ChainSnapshot, load_chain
from engine.cli.chainfit import FittedChain, Model, fit_chain
from gpu.european.greeks import black_price
from gpu.implied.black import implied_deviation
from gpu.surface.arbitrage import check_surface
from gpu.surface.slices.sabr import SABR_PARAMS, Leading, sabr_lognormal_vol

F8 = npt.NDArray[np.float64]
_DEFAULT = "goog_20151224_quote_minute_american.zip"
_POINTS = 1_000
_PATHS, _STEPS = 40_000, 128


def hidden_misses(snapshot: ChainSnapshot, whole: FittedChain, model: Model) -> F8:
    """Misses of the quotes of every second strike, predicted by a fit that did not see them; both halves."""
    misses: list[float] = []
    for half in (0, 1):
        hide = np.zeros(snapshot.count, bool)
        for expiry in snapshot.expiries:
            mine = snapshot.expiry_ns == expiry
            hide |= mine & np.isin(snapshot.strike, np.unique(snapshot.strike[mine])[half::2])
        part = fit_chain(dataclasses.replace(snapshot, bid=np.where(hide, np.nan, snapshot.bid)), model, whole.rate)
        for e, (full, seen) in enumerate(zip(whole.expiries, part.expiries, strict=True)):
            if math.isnan(seen.money_vol):
                continue
            unseen = np.isin(full.quotes.strike, snapshot.strike[hide & (snapshot.expiry_ns == snapshot.expiries[e])])
            root, quotes = math.sqrt(full.years), full.quotes
            for i in np.flatnonzero(unseen):
                strike, right = float(quotes.strike[i]), 1 if quotes.k[i] >= 0.0 else -1
                variance = float(part.surface.variance(quotes.k[i], full.years))
                value = black_price(full.forward, strike, math.sqrt(variance), right)
                sides = [
                    0.0 if math.isnan(vol) else black_price(full.forward, strike, float(vol) * root, right)
                    for vol in (quotes.bid_vol[i], quotes.ask_vol[i])
                ]
                misses.append((value - 0.5 * (sides[0] + sides[1])) / max(0.5 * (sides[1] - sides[0]), 0.005))
    return np.abs(np.array(misses))


def model_rows(snapshot: ChainSnapshot, rounds: int) -> list[list[str]]:
    """One row of the table per model."""
    rows = []
    for model in Model:
        fits = [fit_chain(snapshot, model, 0.0) for _ in range(rounds)]
        fitted = fits[0]
        nodes = np.array([e.years for e in fitted.expiries if not math.isnan(e.money_vol)])
        rng = np.random.default_rng(0)
        years = rng.uniform(nodes[0], nodes[-1], _POINTS)
        k = 0.3 * rng.normal(size=_POINTS) * np.sqrt(years)
        seen = np.abs(np.concatenate([e.quotes.miss for e in fitted.expiries]))
        hidden = hidden_misses(snapshot, fitted, model)
        terms = fitted.surface.terms
        fit_ms = min(one.fit_ms for one in fits)
        refit_ms = min(one.refit_ms for one in fits)
        rows.append([
            str(model), f"{fit_ms:.1f}", "-" if math.isnan(refit_ms) else f"{refit_ms:.1f}",
            f"{best_ns(partial(terms, k, years)) / 1e3:.0f}",
            f"{best_ns(partial(check_surface, terms, nodes)) / 1e6:.1f}",
            f"{100 * np.mean(seen <= 1.0):.1f}", f"{np.median(seen):.3f}", f"{100 * np.mean(hidden <= 1.0):.1f}",
            f"{np.median(hidden):.3f}", f"{fitted.proof.butterfly.margin:.4f}", "yes" if fitted.proof.free else "NO",
        ])  # fmt: skip
    return rows


def simulated_vol(nu: float, rho: float, alpha: float, years: float, z: float) -> tuple[float, float, float]:
    """(strike, volatility, standard error) of lognormal SABR; given the volatility's path the spot is lognormal."""
    rng = np.random.default_rng(1)
    half = rng.normal(size=(_PATHS, _STEPS))
    noise, dt = np.concatenate([half, -half]), years / _STEPS
    path = alpha * np.exp(np.cumsum(nu * math.sqrt(dt) * noise - 0.5 * nu * nu * dt, axis=1))
    path = np.concatenate([np.full((len(path), 1), alpha), path], axis=1)
    area = dt * (np.sum(path * path, axis=1) - 0.5 * (path[:, 0] ** 2 + path[:, -1] ** 2))
    forward = np.exp(rho / nu * (path[:, -1] - alpha) - 0.5 * rho * rho * area)
    deviation = math.sqrt(1.0 - rho * rho) * np.sqrt(area)
    strike = math.exp(z * alpha * math.sqrt(years))
    right = 1 if strike >= 1.0 else -1
    values = np.array([
        black_price(f, strike, s, right) for f, s in zip(forward.tolist(), deviation.tolist(), strict=True)
    ])  # fmt: skip
    pairs = 0.5 * (values[:_PATHS] + values[_PATHS:])
    price, error = float(pairs.mean()), float(pairs.std() / math.sqrt(_PATHS))
    vol, above = (implied_deviation(p, 1.0, strike, right)[0] / math.sqrt(years) for p in (price, price + error))
    return strike, vol, above - vol


def expansion_rows() -> list[list[str]]:
    """Lognormal SABR: formula less simulation, in volatility points."""
    rows, alpha, rho = [], 0.25, -0.4
    for nu, years in ((0.5, 0.25), (0.5, 1.0), (0.8, 1.0), (0.8, 4.0)):
        row = [f"{nu * nu * years:.2f}"]
        for z in (-2.0, -1.0, 0.0, 1.0, 2.0):
            strike, vol, error = simulated_vol(nu, rho, alpha, years, z)
            work = np.zeros(SABR_PARAMS)
            formula = sabr_lognormal_vol(strike, 1.0, years, alpha, 1.0, nu, rho, 0.0, int(Leading.OBLOJ), work)
            row.append(f"{100 * (formula - vol):.2f} ({100 * error:.2f})")
        rows.append(row)
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", type=Path, action="append", help="recorded chain (zip); may be repeated")
    parser.add_argument("--at", default="11:00", help="minute, New York")
    parser.add_argument("--rounds", type=int, default=8, help="fits of each model; the fastest counts")
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parents[2] / "shared" / "data" / "market"
    default = Path(os.environ.get("AXIOM_MARKET_DATA", here)) / _DEFAULT
    chains = arguments.chain or ([default] if default.is_file() else [])
    print(machine())
    for path in chains:
        snapshot = load_chain(path, arguments.at)
        print(f"\n{snapshot.symbol} {snapshot.day} {snapshot.at}, {snapshot.count} contracts")
        names = ["model", "fit ms", "refit ms", f"{_POINTS:,} terms us", "proof ms", "inside %", "median miss",
                 "hidden inside %", "hidden miss", "least g", "free"]  # fmt: skip
        print(table(names, model_rows(snapshot, arguments.rounds)))
    if not chains:
        print(f"no chain: {default} is not there (set AXIOM_MARKET_DATA or give --chain)")
    print("\nSABR, beta 1, vol 25 %, rho -0.4: formula less simulation, volatility points (standard error)")
    print(table(["nu^2 T", "-2 sd", "-1 sd", "money", "+1 sd", "+2 sd"], expansion_rows()))


if __name__ == "__main__":
    main()
