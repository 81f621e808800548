"""100,000 consecutive refreshes of a 5,000-option chain through the router: drift, memory, latency.

    python benchmarks/chain_refresh.py [--refreshes 100000] [--options 5000] [--device auto|cpu|cuda] [--persistent]

The spot walks at random; every thousandth refresh is compared with a direct evaluation of the same inputs that
shares nothing with the chain's cached constants; allocations are counted by numba and by tracemalloc.
"""

import argparse
import json
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NRT_STATS", "1")  # before numba: its allocations are counted

import numpy as np
from numba.core.runtime import rtsys

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.analytics_peers import machine, table
from gpu.european.batch import spot_greeks_batch
from gpu.router.router import GreeksRouter, RouterSettings

RESULTS = Path(__file__).resolve().parent / "results"
EVERY = 1000


def chain(n: int, seed: int = 11) -> Any:
    """Expiries of a week to two years with strikes of 60 to 150 around a spot of 100, float64[6, n]."""
    rng = np.random.default_rng(seed)
    years = rng.choice(np.array([7, 14, 30, 60, 91, 182, 365, 730]) / 365.0, n)
    strike = np.round(np.exp(rng.uniform(np.log(60.0), np.log(150.0), n)), 1)
    vol = 0.18 + 0.25 * np.abs(np.log(strike / 100.0)) + 0.03 / np.sqrt(years + 0.1)
    right = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    return np.ascontiguousarray([strike, years, 0.03 + 0.005 * years, np.full(n, 0.01), vol, right])


def resident_kib() -> int:
    """Resident set of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def direct(columns: Any, spot: float) -> Any:
    n = columns.shape[1]
    out, status = np.empty((14, n)), np.empty(n, np.uint8)
    spot_greeks_batch(np.full(n, spot), *(columns[i].copy() for i in range(6)), out, status)
    return out


def measure(refreshes: int, n: int, reduced: bool, settings: RouterSettings) -> dict[str, Any]:
    columns = chain(n)
    router = GreeksRouter(n, reduced=reduced, settings=settings)
    router.load(*columns)
    rng = np.random.default_rng(5)
    spots = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-4, refreshes)))
    times = np.zeros(refreshes, np.int64)
    for i in range(100):
        router.refresh(float(spots[i]))
    drift, checked = 0.0, []
    tracemalloc.start()
    blocks, memory, traced = rtsys.get_allocation_stats().alloc, resident_kib(), tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    for i in range(refreshes):
        spot = float(spots[i])
        started = time.perf_counter_ns()
        out = router.refresh(spot)
        times[i] = time.perf_counter_ns() - started
        if i % EVERY == EVERY - 1:
            checked.append((spot, out.copy()))
    grown = resident_kib() - memory - sum(kept.nbytes for _, kept in checked) // 1024
    allocated = rtsys.get_allocation_stats().alloc - blocks
    for spot, kept in checked:
        want = direct(columns, spot)[: kept.shape[0]]
        scale = np.abs(want).max(axis=1, keepdims=True)
        drift = max(drift, float((np.abs(kept - want) / scale).max()))
    tracemalloc.start()
    for spot in spots[:2000]:
        router.refresh(float(spot))
    leaked = tracemalloc.get_traced_memory()[0] - traced
    tracemalloc.stop()
    us = np.percentile(times, [50, 90, 99, 99.9, 100]) / 1e3
    router.close()
    return {
        "rows": 5 if reduced else 14, "path": router.report.path.value, "options": n, "refreshes": refreshes,
        "p50_us": us[0], "p90_us": us[1], "p99_us": us[2], "p999_us": us[3], "max_us": us[4],
        "ns_per_option": us[0] * 1e3 / n, "drift_of_largest": drift, "kernel_allocations": int(allocated),
        "resident_growth_kib": int(grown), "python_bytes_after_2000": int(leaked), "losses": router.losses,
        "report": router.report.text(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refreshes", type=int, default=100_000)
    parser.add_argument("--options", type=int, default=5_000)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--persistent", action="store_true")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    arguments = parser.parse_args()
    settings = RouterSettings(device=arguments.device, persistent=arguments.persistent)
    found = [measure(arguments.refreshes, arguments.options, reduced, settings) for reduced in (True, False)]
    names = ["rows", "path", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "ns_per_option"]
    print(table(names, [[row[name] for name in names] for row in found]))
    for row in found:
        print(
            f"{row['rows']} rows: drift {row['drift_of_largest']:.1e} of the largest value, kernel allocations "
            f"{row['kernel_allocations']}, resident memory {row['resident_growth_kib']:+d} KiB, Python objects "
            f"{row['python_bytes_after_2000']:+d} bytes after 2,000 refreshes, devices lost {row['losses']}"
        )
    print(found[0]["report"])
    if arguments.save:
        path = RESULTS / f"{time.strftime('%Y-%m-%d')}-chain-refresh.json"
        path.write_text(json.dumps({"machine": machine(), "found": found}, indent=1) + "\n", encoding="utf-8")
        print(f"saved {path}")


if __name__ == "__main__":
    main()
