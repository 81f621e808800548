"""Largest error of every European Greek against 60-digit arithmetic: the table of docs/numerics/european.md.

    python -m benchmarks.greeks_accuracy [--options 1000]

First number: error over the sum of the absolute terms of the formula (price, delta, gamma, vega, rho:
of the value itself). Second: strictly relative error wherever the value is over a hundredth of that sum.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gpu.european.bachelier import bachelier_greeks_batch
from gpu.european.batch import forward_greeks_batch, spot_greeks_batch
from tests.gpu.european.european_oracle import (
    GREEKS,
    bachelier_exact,
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
        print(name)
        table = []
        for _, batch, exact, columns in models:
            out, status = np.empty((14, n)), np.empty(n, np.uint8)
            batch(*columns, out, status)
            sound = status == 0
            cases = list(zip(*(c[sound].tolist() for c in columns), strict=True))
            table.append(worst_errors(out[:, sound], cases, exact))
        print(f"  {'':8s}" + "".join(f"{label:>22s}" for label, *_ in models))
        for j, greek in enumerate(GREEKS):
            print(f"  {greek:8s}" + "".join(f"{worst[j][0]:11.1e}{strict[j]:11.1e}" for worst, strict in table))


if __name__ == "__main__":
    main()
