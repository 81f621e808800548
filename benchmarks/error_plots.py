"""Draws the measured error of each function over its domain into docs/images/ (small PNGs; the pages show them).

    python benchmarks/error_plots.py [--only greeks implied american portfolio] [--out docs/images] [--points 41]

References: 60-digit numerical differentiation for Greeks, 50-digit prices for implied volatility, QuantLib's
spectral engine for American prices, full American values for the portfolio's tables. Takes some minutes.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import matplotlib as mpl  # noqa: E402 - the checkout must be importable first

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

import gpu  # noqa: E402
from benchmarks import analytics_peers as peers  # noqa: E402

_LEAST = 1e-18
_DPI = 90


def greeks(out: Path, points: int) -> list[Path]:
    """Scaled error of all fourteen rows over (ln(F/K) in standard deviations, years)."""
    moneyness = np.linspace(-9.0, 9.0, points)
    years = np.geomspace(1.0 / 365.0, 10.0, max(points // 3, 5))
    sd, t = (a.ravel() for a in np.meshgrid(moneyness, years))
    vol = np.full(sd.size, 0.3)
    rate, carry = np.full(sd.size, 0.03), np.full(sd.size, 0.01)
    strike = 100.0 * np.exp((rate - carry) * t - sd * vol * np.sqrt(t))
    right = np.ones(sd.size, np.int8)
    sample = peers.Sample(np.full(sd.size, 100.0), strike, t, rate, carry, vol, right, np.zeros(sd.size, np.int64))
    exact = peers.exact_greeks(sample)
    got = gpu.greeks(sample.spot, strike, t, rate, vol, right, carry).values
    figure, axes = plt.subplots(3, 5, figsize=(14, 6.5), sharex=True, sharey=True, layout="constrained")
    shown = None
    for row, axis in enumerate(axes.flat):
        if row >= 14:
            axis.axis("off")
            continue
        # Relative to the Greek, or to its neighbourhood where it passes through zero.
        size = np.abs(exact[row]).reshape(len(years), points)
        near = np.maximum(np.roll(size, 1, axis=1), np.roll(size, -1, axis=1))
        error = np.abs(got[row] - exact[row]).reshape(size.shape) / np.maximum(size, near)
        shown = axis.pcolormesh(
            moneyness, years, np.log10(np.maximum(error, _LEAST)), vmin=-17, vmax=-11, cmap="viridis"
        )
        axis.set_yscale("log")
        axis.set_title(f"{gpu.Greek(row).name.lower()}: {np.nanmax(error):.0e}", fontsize=9)
    figure.colorbar(shown, ax=axes, label="log10 of the relative error")
    figure.supxlabel("ln(F/K) in standard deviations (call, vol 30 %)")
    figure.supylabel("years")
    return [_save(figure, out / "greeks-error.png")]


def implied(out: Path, points: int) -> list[Path]:
    """Error of implied volatility in units of eps F / vega, and of the volatility itself."""
    sd, dev = np.meshgrid(np.linspace(-8.0, 8.0, 2 * points + 1), np.geomspace(0.005, 3.0, points))
    shape, sd, dev = sd.shape, sd.ravel(), dev.ravel()
    forward, years = np.full(sd.size, 100.0), np.ones(sd.size)
    strike = 100.0 * np.exp(sd * dev)
    price, right = peers.exact_otm_prices(forward, strike, years, dev)
    found = gpu.black76_implied_vol(price, forward, strike, years, 0.0, right)
    quotes = peers.Quotes(price, forward, strike, years, np.zeros(sd.size), dev, right)
    miss = np.abs(found.vol - dev)
    figure, axes = plt.subplots(1, 2, figsize=(12, 4), sharey=True, layout="constrained")
    for axis, values, label, limits in (
        (axes[0], miss / quotes.floor(), "error / (eps F / vega)", (-8.0, 1.0)),
        (axes[1], miss / dev, "relative error", (-17.0, -12.0)),
    ):
        shown = axis.pcolormesh(
            np.linspace(-8.0, 8.0, 2 * points + 1), np.geomspace(0.005, 3.0, points),
            np.log10(np.maximum(values, _LEAST)).reshape(shape), vmin=limits[0], vmax=limits[1], cmap="viridis",
        )  # fmt: skip
        axis.set_yscale("log")
        axis.set_title(f"{label}: largest {np.nanmax(values):.1e}", fontsize=10)
        figure.colorbar(shown, ax=axis, label="log10")
    figure.supxlabel("ln(K/F) in standard deviations")
    figure.supylabel("vol sqrt(T)")
    return [_save(figure, out / "implied-vol-error.png")]


def american(out: Path, points: int) -> list[Path]:
    """Error of the American put's price over (S/K, years), against QuantLib."""
    ratio, days = np.linspace(0.6, 1.5, points), np.unique(np.geomspace(3, 1095, max(points // 3, 5)).astype(int))
    spot, day = (a.ravel() for a in np.meshgrid(100.0 * ratio, days))
    n = spot.size
    fixed = [np.full(n, x) for x in (0.05, 0.02, 0.25)]
    right = np.full(n, -1, np.int8)
    sample = peers.Sample(spot, np.full(n, 100.0), day / 365.0, *fixed, right, day.astype(np.int64))
    exact = np.array([peers.QuantLibOption(sample, i, american="reference").option.NPV() for i in range(n)])
    got = gpu.american_price(spot, sample.strike, sample.years, *(fixed[0], fixed[2]), right, fixed[1]).price
    error = np.abs(got - exact).reshape(len(days), points)
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    shown = axis.pcolormesh(ratio, days / 365.0, np.log10(np.maximum(error, 1e-13)), vmin=-13, vmax=-6, cmap="viridis")
    axis.set_yscale("log")
    axis.set_title(f"American put, strike 100, r 5 %, q 2 %, vol 25 %: largest |error| {error.max():.1e}", fontsize=10)
    axis.set_xlabel("spot / strike")
    axis.set_ylabel("years")
    figure.colorbar(shown, ax=axis, label="log10 of |error|")
    return [_save(figure, out / "american-error.png")]


def portfolio(out: Path, points: int) -> list[Path]:
    """Error of one table of early exercise over its square, and over the degree in volatility."""
    from gpu.portfolio import american as tables
    from gpu.portfolio import premium

    group = tables.Groups(*(np.array([x]) for x in (0.5, 0.05, 0.02, math.log(0.08), math.log(1.0))))
    figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    z, t = np.linspace(-1.0, 1.0, 4 * points + 1), np.linspace(-1.0, 1.0, 2 * points + 1)
    bounds, found = [], []
    degrees = (4, 6, 8, 12, 16, 20, 26, 32)
    for degree in degrees:
        middle, half = 0.5 * (group.low + group.high), 0.5 * (group.high - group.low)
        coefficients, boundary, shape = tables._fit(group, middle, half, degree)
        bounds.append(tables.SAFETY * tables._held_out_error(group, coefficients, boundary, shape)[0])
        error = _table_error(tables, premium, group, coefficients, boundary, shape, t, z)
        found.append(error.max())
        if degree == 12:
            shown = axes[0].pcolormesh(z, np.exp(middle + half * t), np.log10(np.maximum(error, 1e-14)), cmap="viridis")
            axes[0].set_yscale("log")
            axes[0].set_title(f"21 x 13 coefficients: largest {error.max():.0e} of the strike", fontsize=10)
            axes[0].set_xlabel("z: exercise boundary at -1, end of the premium at 1")
            axes[0].set_ylabel("volatility")
            figure.colorbar(shown, ax=axes[0], label="log10 of |error| / strike")
    axes[1].semilogy(degrees, found, "o-", label="largest error on a fine mesh")
    axes[1].semilogy(degrees, bounds, "s--", label="reported bound (held-out points, times 2)")
    axes[1].set_xlabel("degree in volatility (8 % to 100 %)")
    axes[1].set_title("half a year, r 5 %, q 2 %", fontsize=10)
    axes[1].legend()
    axes[1].grid(visible=True, alpha=0.3)
    return [_save(figure, out / "portfolio-premium-error.png")]


def _table_error(
    tables: Any, premium: Any, group: Any, coefficients: Any, boundary: Any, shape: Any, t: Any, z: Any
) -> Any:
    vol = np.exp(shape[:, premium.CENTRE, None] + t / shape[:, premium.NARROW, None])
    basis = np.cos(np.outer(np.arange(coefficients.shape[2]), np.arccos(t)))
    log_b = boundary @ basis
    sd = vol * np.sqrt(group.years)[:, None]
    x = log_b[:, :, None] + sd[:, :, None] * (z + 1.0) / shape[:, premium.STEEP, None, None]
    curves, _ = tables._boundaries(group, shape[:, premium.CENTRE], 1.0 / shape[:, premium.NARROW], vol)
    exact = tables._premium(group, vol, x, curves)[0]
    return np.abs(np.polynomial.chebyshev.chebgrid2d(z, t, coefficients[0]).T - exact)


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    plt.close(figure)
    return path


PLOTS: dict[str, Callable[[Path, int], list[Path]]] = {
    "greeks": greeks, "implied": implied, "american": american, "portfolio": portfolio,
}  # fmt: skip


def main() -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PLOTS), default=list(PLOTS))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--points", type=int, default=41, help="along the longer side of each picture")
    args = parser.parse_args()
    for name in args.only:
        for path in PLOTS[name](args.out, args.points):
            print(f"{name}: {path} ({path.stat().st_size / 1024:.0f} KiB)", flush=True)


if __name__ == "__main__":
    main()
