"""The picture of ``axiom surface --plot``: a smile per expiry with its quotes, the surface, the residuals."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from engine.cli.chainfit import FittedChain, FittedExpiry

_COLUMNS = 4
_DPI = 72
_CURVE = 161
_REACH = 0.15  # of the quotes' span: how far a smile is drawn beyond them


def draw(fitted: FittedChain, path: Path) -> None:
    """Write the picture of one chain; the suffix says which format. Needs matplotlib, but no display."""
    figure_of(fitted).savefig(path)


def figure_of(fitted: FittedChain) -> Any:
    """The picture as a matplotlib Figure: the smiles in order of time, then the surface, then the residuals."""
    from matplotlib.figure import Figure  # a Figure made without pyplot draws with Agg: no window, no state

    shown = [expiry for expiry in fitted.expiries if expiry.points]
    rows = max(math.ceil(len(shown) / _COLUMNS), 1)
    figure = Figure(figsize=(4.0 * _COLUMNS, 2.7 * rows + 4.6), dpi=_DPI, layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.7 * rows, 4.6])
    top, bottom = parts
    for panel, expiry in enumerate(shown):
        _smile(top.add_subplot(rows, _COLUMNS, panel + 1), fitted, expiry)
    _surface(bottom.add_subplot(1, 2, 1, projection="3d"), fitted, shown)
    _residuals(bottom.add_subplot(1, 2, 2), shown)
    snapshot, proof = fitted.snapshot, fitted.proof
    verdict = "free of arbitrage" if proof.free else "with ARBITRAGE: " + proof.worst()
    figure.suptitle(
        f"{snapshot.symbol} {snapshot.day} {snapshot.at} New York, {fitted.model}: {verdict} on "
        f"{proof.points:,} grid points; median miss {fitted.median_miss:.2f} half-spreads"
    )
    return figure


def _smile(axes: Any, fitted: FittedChain, expiry: FittedExpiry) -> None:
    """Mid volatilities with the bid-ask as error bars, and the fitted smile through them."""
    quotes = expiry.quotes
    # A bid under intrinsic implies no volatility: its bar reaches down to zero.
    low = quotes.mid_vol - np.nan_to_num(quotes.bid_vol, nan=0.0)
    high = np.nan_to_num(quotes.ask_vol, nan=np.inf) - quotes.mid_vol
    high = np.where(np.isfinite(high), high, 0.0)
    axes.errorbar(quotes.strike, 100.0 * quotes.mid_vol, yerr=100.0 * np.array([low, high]), fmt=".", markersize=2.5,
                  elinewidth=0.7, color="tab:gray", zorder=1)  # fmt: skip
    span = max(quotes.k.max() - quotes.k.min(), 1e-3)
    k = np.linspace(quotes.k.min() - _REACH * span, quotes.k.max() + _REACH * span, _CURVE)
    vol = np.sqrt(fitted.surface.variance(k, np.full(len(k), expiry.years)) / expiry.years)
    axes.plot(expiry.forward * np.exp(k), 100.0 * vol, color="tab:red", linewidth=1.2, zorder=2)
    axes.axvline(expiry.forward, color="tab:blue", linewidth=0.5)
    ends = np.nanmin(quotes.mid_vol), np.nanmax(quotes.mid_vol)
    pad = 0.25 * (ends[1] - ends[0]) + 0.01
    axes.set_ylim(100.0 * max(ends[0] - pad, 0.0), 100.0 * (ends[1] + pad))
    axes.set_title(f"{expiry.day} ({365.0 * expiry.years:,.1f} d)  {expiry.inside}/{expiry.points} inside", fontsize=9)
    axes.tick_params(labelsize=7)


def _surface(axes: Any, fitted: FittedChain, shown: list[FittedExpiry]) -> None:
    """Volatility over strikes in deviations and the square root of time."""
    years = np.array([expiry.years for expiry in shown])
    times = np.geomspace(years[0], years[-1], 41) if len(years) > 1 else years[:1] * np.array([0.5, 1.0])
    money = np.sqrt(fitted.surface.variance(np.zeros(len(times)), times))
    z = np.linspace(-3.0, 2.0, 51)
    grid_z, grid_t = np.meshgrid(z, times)
    k = grid_z * money[:, None]
    vol = np.sqrt(fitted.surface.variance(k, grid_t) / grid_t)
    axes.plot_surface(grid_z, np.log10(365.0 * grid_t), 100.0 * vol, cmap="viridis", linewidth=0, antialiased=False,
                      rcount=41, ccount=51)  # fmt: skip
    axes.set_xlabel("ln(K/F) in deviations", fontsize=8)
    axes.set_ylabel("log10 days", fontsize=8)
    axes.set_zlabel("volatility %", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.view_init(elev=25, azim=-60)


def _residuals(axes: Any, shown: list[FittedExpiry]) -> None:
    """Misses in half-spreads against the strike in deviations; within the band a quote holds the surface."""
    from matplotlib import colormaps

    colours = colormaps["plasma"](np.linspace(0.0, 0.9, max(len(shown), 2)))
    axes.axhspan(-1.0, 1.0, color="tab:green", alpha=0.12)
    axes.axhline(0.0, color="tab:gray", linewidth=0.5)
    limit = 4.0
    for colour, expiry in zip(colours, shown, strict=False):
        z = expiry.quotes.k / (expiry.money_vol * math.sqrt(expiry.years))
        axes.plot(z, np.clip(expiry.quotes.miss, -limit, limit), ".", markersize=3, color=colour,
                  label=f"{expiry.day}")  # fmt: skip
    axes.set_ylim(-1.05 * limit, 1.05 * limit)
    axes.set_xlabel("ln(K/F) in deviations", fontsize=8)
    axes.set_ylabel("surface - mid, half-spreads (clipped at 4)", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6, ncols=2, loc="upper right")
