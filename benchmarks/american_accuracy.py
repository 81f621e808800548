"""Errors of American prices and Greeks over the standard domain, by regime.

    python benchmarks/american_accuracy.py [--options 5000] [--quantlib 0]

Rates and yields 0 to 10 %, volatility 10 to 60 %, a week to three years, spot 0.6 to 1.6 of a strike of
100, one option in five within a standard deviation of its exercise boundary. Against our own kernel with
1.5 to 3 times the nodes, which the tests hold against QuantLib and finite differences. Price in units
of the strike's 100; Greeks relative to the larger of the value and a hundredth of its size near the money.
``--quantlib N`` also compares N prices of either regime with QuantLib's collocation (60 nodes, 20 sweeps,
tanh-sinh quadrature; 0.1 s each), and where they differ most with 120 nodes and 40 sweeps.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.analytics_peers import table  # noqa: E402
from gpu.american.put import AMERICAN_ROWS, AmericanRow  # noqa: E402
from gpu.american.row import american_boundary, american_row, workspace  # noqa: E402
from gpu.american.rules import REFERENCE, pack_rules  # noqa: E402

_GROUPS = {
    "price": (AmericanRow.PRICE,), "delta": (AmericanRow.DELTA,), "vega": (AmericanRow.VEGA,),
    "theta": (AmericanRow.THETA,), "rho, dividend rho": (AmericanRow.RHO, AmericanRow.DIVIDEND_RHO),
    "gamma": (AmericanRow.GAMMA,), "vanna, volga": (AmericanRow.VANNA, AmericanRow.VOLGA),
    "charm, veta": (AmericanRow.CHARM, AmericanRow.VETA),
}  # fmt: skip
_STRIKE = 100.0


def size_of(years: float, vol: float) -> np.ndarray:
    """The usual size of each row near the money; 1 for the price, whose error is absolute."""
    root = math.sqrt(years)
    return np.array([
        1.0, 1.0, 1.0 / (_STRIKE * vol * root), _STRIKE * root, _STRIKE * vol / root, _STRIKE * years, 1.0 / vol,
        _STRIKE * root / vol, 1.0 / years, _STRIKE / root, _STRIKE * years,
    ])  # fmt: skip


def errors_of(regime: str, options: int, seed: int) -> tuple[np.ndarray, int]:
    """float64[rows, options] of a regime ("q <= r" or "q > r"), and how many rows had no answer."""
    draw = np.random.default_rng(seed)
    rules, work = workspace()
    fine_rules, fine_work = workspace(pack_rules(REFERENCE))
    got, want, errors, refused = np.empty(AMERICAN_ROWS), np.empty(AMERICAN_ROWS), [], 0
    for k in range(options):
        low, high = np.sort(draw.uniform(0.0, 0.1, 2))
        rate, dividend = (high, low) if regime == "q <= r" else (low, high)
        vol, years = draw.uniform(0.1, 0.6), math.exp(draw.uniform(math.log(7 / 365), math.log(3.0)))
        spot = _STRIKE * draw.uniform(0.6, 1.6)
        if k % 5 == 0:
            boundary = american_boundary(years, rate, dividend, vol, -1, rules, work)
            if boundary > 0.0:
                away = math.exp(draw.uniform(math.log(1e-4), 0.0))
                spot = _STRIKE * boundary * math.exp(away * vol * math.sqrt(years))
        option = (spot, _STRIKE, years, rate, dividend, vol, -1)
        if american_row(*option, rules, work, got) or american_row(*option, fine_rules, fine_work, want):
            refused += 1
            continue
        size = np.maximum(np.abs(want), 1e-2 * size_of(years, vol))
        size[AmericanRow.PRICE] = 1.0
        errors.append(np.abs(got - want) / size)
    return np.array(errors).T, refused


def quantlib_errors(options: int) -> None:
    """Print how far our prices are from QuantLib's, and its own from itself with twice the nodes."""
    import QuantLib as ql  # noqa: N813

    from benchmarks.american import QuantLibOption, arrays, domain
    from gpu.american.batch import american_prices

    def prices(rows: list[tuple[float, ...]], nodes: int, sweeps: int) -> np.ndarray:
        scheme = ql.QdFpTanhSinhIterationScheme(sweeps, nodes, 1e-13)
        values = []
        for row in rows:
            one = QuantLibOption(*row)
            one.option.setPricingEngine(ql.QdFpAmericanEngine(one.process, scheme))
            values.append(one.option.NPV())
        return np.array(values)

    for regime in ("q <= r", "q > r"):
        rows = domain(options, regime, seed=17)
        got, status = np.zeros(options), np.zeros(options, np.uint8)
        american_prices(*arrays(rows), got, status)
        error = np.abs(got - prices(rows, 60, 20))
        print(f"\n{options} prices, {regime}, against QuantLib with 60 nodes: largest {error.max():.1e}, ", end="")
        print(f"99 % {np.quantile(error, 0.99):.0e}, median {np.median(error):.0e}")
        worst = np.argsort(error)[-5:]
        finer = np.abs(got[worst] - prices([rows[k] for k in worst], 120, 40))
        print("the five largest,", ", ".join(f"{error[k]:.0e}" for k in worst), end="; ")
        print("against its 120 nodes,", ", ".join(f"{e:.0e}" for e in finer))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--options", type=int, default=5_000, help="options per regime")
    parser.add_argument("--quantlib", type=int, default=0, help="prices per regime against QuantLib")
    given = parser.parse_args()
    options = given.options
    regimes = ("q <= r", "q > r")
    found = {regime: errors_of(regime, options, seed) for seed, regime in enumerate(regimes)}
    rows = [
        [
            name,
            *(f"{e[list(at)].max():.0e} ({np.quantile(e[list(at)].max(axis=0), 0.99):.0e})" for e, _ in found.values()),
        ]
        for name, at in _GROUPS.items()
    ]
    print(table(["puts", *(f"{regime}: largest (99 %)" for regime in regimes)], rows))
    print("without an answer:", ", ".join(f"{regime} {refused}" for regime, (_, refused) in found.items()))
    if given.quantlib:
        quantlib_errors(given.quantlib)


if __name__ == "__main__":
    main()
