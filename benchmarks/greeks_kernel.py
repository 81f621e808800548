"""European Greeks on one core: our wide kernels beside a plain numba loop over libm, in one run.

    python benchmarks/greeks_kernel.py [--sizes 100,1000,5000] [--seconds 2]

Prints nanoseconds per option (best of medians), the ratio to the plain loop of the same run, and
the vector width found in the machine code. Compare ratios between machines, not nanoseconds.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu.european.bachelier import bachelier_greeks_batch
from gpu.european.batch import forward_greeks_batch, spot_greeks_batch, spot_reduced_batch
from gpu.european.chain_greeks import ChainGreeks
from gpu.european.table import GreeksTable
from gpu.maths.aligned import aligned_table
from gpu.maths.wide import machine_width, vector_width, wide_support
from market.jit import kernel

SEED = 20151224


@kernel
def plain_greeks(x: Any, out: Any) -> None:
    """Price and thirteen Greeks as anybody would write them: one loop, libm's exp, log and erfc."""
    for i in range(x.shape[1]):
        s, k, t, r, q, v, w = x[0, i], x[1, i], x[2, i], x[3, i], x[4, i], x[5, i], x[6, i]
        root = math.sqrt(t)
        dev = v * root
        d1 = (math.log(s / k) + (r - q) * t) / dev + 0.5 * dev
        d2 = d1 - dev
        discount, carry = math.exp(-r * t), math.exp(-q * t)
        pdf = 0.3989422804014327 * math.exp(-0.5 * d1 * d1)
        n1 = 0.5 * math.erfc(-w * d1 * 0.7071067811865476)
        n2 = 0.5 * math.erfc(-w * d2 * 0.7071067811865476)
        asset, cash = s * carry, k * discount
        dense = carry * pdf
        gamma = dense / (s * dev)
        vega = s * dense * root
        both = d1 * d2
        drift = (r - q) / dev - 0.5 * d2 / t
        out[0, i] = w * (asset * n1 - cash * n2)
        out[1, i] = w * carry * n1
        out[2, i] = gamma
        out[3, i] = vega
        out[4, i] = -0.5 * vega * v / t - w * (r * cash * n2 - q * asset * n1)
        out[5, i] = w * t * cash * n2
        out[6, i] = -dense * d2 / v
        out[7, i] = vega * both / v
        out[8, i] = w * q * carry * n1 - dense * drift
        out[9, i] = vega * (q + d1 * drift - 0.5 / t)
        out[10, i] = -gamma / s * (d1 / dev + 1.0)
        out[11, i] = gamma * (both - 1.0) / v
        out[12, i] = gamma * (q + d1 * drift + 0.5 / t)
        out[13, i] = -vega / (v * v) * (both * (1.0 - both) + d1 * d1 + d2 * d2)


def chain(n: int) -> np.ndarray[Any, Any]:
    """float64[7, n]: spot, strike, years, rate, dividend yield, vol, right."""
    random = np.random.default_rng(SEED)
    table = aligned_table(7, n)
    for row, (low, high) in zip(
        table, ((80, 120), (70, 130), (0.02, 2.0), (0.0, 0.06), (0.0, 0.04), (0.08, 0.8)), strict=False
    ):
        row[:] = random.uniform(low, high, row.size)
    table[6] = np.where(random.random(table.shape[1]) < 0.5, 1.0, -1.0)
    return np.ascontiguousarray(table[:, :n]) if table.shape[1] != n else table


def best_of_medians(calls: list[Callable[[], Any]], seconds: float, rounds: int = 9) -> list[float]:
    """Nanoseconds per call of each; the calls take turns, so that a busy moment hits all of them."""
    samples = []
    for call in calls:
        call()
        start = time.perf_counter_ns()
        call()
        samples.append(max(3, int(seconds * 1e9 / (rounds * len(calls)) / max(time.perf_counter_ns() - start, 500))))
    best = [math.inf] * len(calls)
    for _ in range(rounds):
        for j, call in enumerate(calls):
            times = []
            for _ in range(min(samples[j], 2000)):
                start = time.perf_counter_ns()
                call()
                times.append(time.perf_counter_ns() - start)
            best[j] = min(best[j], float(np.median(times)))
    return best


def measure(n: int, seconds: float) -> dict[str, float]:
    """Nanoseconds per option of every kernel at n options."""
    x = chain(n)
    columns, six = list(x), [x[0], x[1], x[2], x[3], x[5], x[6]]
    normal = [x[0], x[1], x[2], x[3], x[5] * 100.0, x[6]]
    out, few, status = aligned_table(14, n)[:, :n], aligned_table(5, n)[:, :n], np.zeros(n, np.uint8)
    out, few = np.ascontiguousarray(out), np.ascontiguousarray(few)
    group, table = ChainGreeks(n), GreeksTable(n)
    group.load(*columns[1:])
    views = (table.spot, table.strike, table.years, table.rate, table.dividend_yield, table.vol, table.right)
    for view, column in zip(views, columns, strict=True):
        view[:] = column
    calls: dict[str, Callable[[], Any]] = {
        "plain numba over libm, 14 rows": lambda: plain_greeks(x, out),
        "spot, 14 rows": lambda: spot_greeks_batch(*columns, out, status),
        "spot by address, 14 rows": table.refresh,
        "spot, 5 rows": lambda: spot_reduced_batch(*columns, few, status),
        "forward (Black-76), 14 rows": lambda: forward_greeks_batch(*six, out, status),
        "Bachelier, 14 rows": lambda: bachelier_greeks_batch(*normal, out, status),
        "spot move, 14 rows": lambda: group.move(100.5, out),
        "spot move, 5 rows": lambda: group.move_reduced(100.5, few),
        "chain load": lambda: group.load(*columns[1:]),
    }
    times = best_of_medians(list(calls.values()), seconds)
    return {name: t / n for name, t in zip(calls, times, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="8,100,1000,1003,5000,10000")
    parser.add_argument("--seconds", type=float, default=2.0, help="per size")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes = [int(word) for word in options.sizes.split(",")]
    results = {n: measure(n, options.seconds) for n in sizes}
    width = vector_width(spot_greeks_batch)
    if options.json:
        print(json.dumps({"vector_bits": width, "machine_bits": machine_width(), "ns_per_option": results}))
        return
    print(f"vectors in the machine code: {width} bits of {machine_width()} {wide_support()}")
    print(f"{'ns per option (ratio to plain)':32s}" + "".join(f"{n:>16,d}" for n in sizes))
    for name in results[sizes[0]]:
        plain = [results[n]["plain numba over libm, 14 rows"] for n in sizes]
        cells = [
            f"{results[n][name]:8.2f} ({base / results[n][name]:4.1f})" for n, base in zip(sizes, plain, strict=True)
        ]
        print(f"{name:32s}" + "".join(f"{cell:>16s}" for cell in cells))


if __name__ == "__main__":
    main()
