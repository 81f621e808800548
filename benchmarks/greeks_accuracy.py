"""Largest error of every European Greek against 60-digit arithmetic: the table of docs/numerics/european.md.

    python -m benchmarks.greeks_accuracy [--options 1000]

First number: error over the sum of the absolute terms of the formula (price, delta, gamma, vega, rho:
of the value itself). Second: strictly relative error wherever the value is over a hundredth of that sum.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gpu.european.bachelier import bachelier_greeks_batch
from gpu.european.batch import forward_greeks_batch, spot_greeks_batch
from tests.gpu.european.european_oracle import (
    GREEKS,
    bachelier_exact,
    cancelling,
    forward_exact,
    market,
    spot_exact,
    worst_errors,
)

REGIONS = {
    "T 1e-6..100, vol 0.1%..500%, 30 sd": {},
    "T 1 day..3, vol 5%..100%, 6 sd": {"years": (1 / 365, 3.0), "vols": (0.05, 1.0), "reach": 6.0},
    "T 3 ms..1, vol 0.001%..10%, 37 sd": {"years": (1e-10, 1.0), "vols": (1e-5, 0.1), "reach": 37.0},
    "T 1..500, vol 5%..2000%, 37 sd": {"years": (1.0, 500.0), "vols": (0.05, 20.0), "reach": 37.0},
}

#: Where the spot model's ln(S/K) and (r-q)T cancel: see ``cancelling``.
CORNERS = {
    "T 0.3..3, deviation 1e-5..1e-4, carry 30%": {"years": (0.3, 3.0), "deviations": (1e-5, 1e-4), "carry": 0.3},
    "T 9 h..100, deviation 1e-10..1, carry 120": {
        "years": (1e-3, 100.0),
        "deviations": (1.001e-10, 1.0),
        "carry": 120.0,
    },
}


def measured(batch: Any, exact: Any, columns: list[Any]) -> Any:
    """(error over the terms, strictly relative error) per Greek, as ``worst_errors``, of the rows that are OK."""
    n = columns[0].size
    out, status = np.empty((14, n)), np.empty(n, np.uint8)
    batch(*columns, out, status)
    sound = status == 0
    return worst_errors(out[:, sound], list(zip(*(c[sound].tolist() for c in columns), strict=True)), exact)


def show(name: str, labels: list[str], table: list[Any]) -> None:
    print(name)
    print(f"  {'':8s}" + "".join(f"{label:>22s}" for label in labels))
    for j, greek in enumerate(GREEKS):
        print(f"  {greek:8s}" + "".join(f"{worst[j][0]:11.1e}{strict[j]:11.1e}" for worst, strict in table))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--options", type=int, default=1000, help="per region")
    n = parser.parse_args().options
    for name, region in REGIONS.items():
        s, k, t, r, q, v, w = market(n, 20151224, **region)
        forward, normal = s * np.exp((r - q) * t), v * s
        far = np.random.default_rng(1).uniform(-30.0, 30.0, n)
        models = (
            ("spot", spot_greeks_batch, spot_exact, [s, k, t, r, q, v, w]),
            ("forward", forward_greeks_batch, forward_exact, [forward, k, t, r, v, w]),
            ("Bachelier", bachelier_greeks_batch, bachelier_exact, [s, s - far * normal * np.sqrt(t), t, r, normal, w]),
        )
        show(name, [label for label, *_ in models], [measured(*model[1:]) for model in models])
    for name, corner in CORNERS.items():
        show(name, ["spot"], [measured(spot_greeks_batch, spot_exact, cancelling(n, 20151224, **corner))])


if __name__ == "__main__":
    main()
