"""Chains on a GPU beside the CPU, from a new spot to readable rows, price and 13 Greeks in doubles.

    python benchmarks/cuda.py            the figures of every path that this machine has
    python benchmarks/cuda.py --check    first the tests that only a GPU can run
    python benchmarks/cuda.py --save     keep the figures in benchmarks/results

Each path: the sizes of the targets, then 100,000 consecutive refreshes of 5,000 options compared with direct
evaluation. Without a GPU it says why, and measures the CPU alone.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import numpy as np

sys.path.insert(0, str(FilePath(__file__).resolve().parent.parent))

from benchmarks.analytics_peers import machine, table
from benchmarks.chain_refresh import chain, direct
from gpu.cuda.driver import CudaDriver
from gpu.errors import GpuError
from gpu.router.cpu import CpuChain
from gpu.router.paths import Path, RouterSettings, open_session

ROOT = FilePath(__file__).resolve().parent.parent
#: Options and the most that p50 may be in microseconds on an H200; p99 at most twice that.
TARGETS = {1_000: 15.0, 5_000: 30.0, 100_000: 300.0}
SETTINGS = RouterSettings(timeout_ms=1_000.0)


def latencies(refresh: Callable[[float], Any], rounds: int) -> dict[str, float]:
    """Percentiles of one refresh in microseconds over a walking spot."""
    spots = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0, 1e-4, rounds + 200)))
    times = np.zeros(rounds, np.int64)
    for spot in spots[:200]:
        refresh(float(spot))
    for i in range(rounds):
        spot = float(spots[200 + i])
        started = time.perf_counter_ns()
        refresh(spot)
        times[i] = time.perf_counter_ns() - started
    values = np.percentile(times, [50, 99, 99.9, 100]) / 1e3
    return dict(zip(("p50_us", "p99_us", "p999_us", "max_us"), values.tolist(), strict=True))


def drift(refresh: Callable[[float], Any], rows: Callable[[], Any], columns: Any, refreshes: int) -> float:
    """Largest difference from direct evaluation, of the largest value of its row, over consecutive refreshes."""
    spots = 100.0 * np.exp(np.cumsum(np.random.default_rng(4).normal(0.0, 1e-4, refreshes)))
    worst = 0.0
    for i, spot in enumerate(spots):
        refresh(float(spot))
        if i % 1000 == 999:
            want = direct(columns, float(spot))
            got = rows()
            scale = np.abs(want[: len(got)]).max(axis=1, keepdims=True)
            worst = max(worst, float((np.abs(got - want[: len(got)]) / scale).max()))
    return worst


def measure(path: Path, n: int, reduced: bool, rounds: int, refreshes: int) -> dict[str, Any]:
    """One path at one size; raises GpuError where it cannot be used."""
    columns = chain(n)
    found: dict[str, Any] = {"path": path.value, "options": n, "rows": 5 if reduced else 14}
    if path is Path.CPU:
        cpu = CpuChain(n, reduced)
        cpu.load(columns)
        found |= latencies(cpu.refresh, rounds)
        if refreshes:
            found["drift"] = drift(cpu.refresh, lambda: cpu.out, columns, refreshes)
        return found
    session = open_session(path, n, reduced, SETTINGS, CudaDriver)
    try:
        session.stage(columns, 0, n)

        def refresh(spot: float) -> None:
            session.beat()
            if session.refresh(spot) != 0:
                raise GpuError(session.trouble)

        found |= latencies(refresh, rounds)
        if refreshes:
            found["drift"] = drift(refresh, lambda: session.out, columns, refreshes)
        return found
    finally:
        session.close()


def device_name() -> tuple[str, str]:
    """Name of the GPU, or nothing and the reason."""
    try:
        driver = CudaDriver()
    except GpuError as e:
        return "", str(e)
    name = driver.name
    driver.close()
    return name, ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--rounds", type=int, default=5_000)
    parser.add_argument("--refreshes", type=int, default=100_000)
    arguments = parser.parse_args()
    device, reason = device_name()
    print(f"GPU: {device}" if device else f"no GPU here ({reason}): the CPU alone is measured")
    if arguments.check:
        code = subprocess.call([sys.executable, "-m", "pytest", "-rs", "tests/gpu/cuda", "tests/gpu/router"], cwd=ROOT)
        if code != 0:
            raise SystemExit(code)
    found, refused = [], []
    for path in (Path.CPU, Path.GRAPH, Path.PERSISTENT) if device else (Path.CPU,):
        for n in TARGETS:
            for reduced in (False, True):
                rounds = arguments.rounds if n < 100_000 else max(arguments.rounds // 10, 3)
                consecutive = arguments.refreshes if n == 5_000 and not reduced else 0
                try:
                    found.append(measure(path, n, reduced, rounds, consecutive))
                except GpuError as e:
                    refused.append(f"{path.value}, {n} options: {e}")
    heads = ["path", "options", "rows", "p50_us", "p99_us", "p999_us", "max_us", "target_us", "drift"]
    for row in found:
        row["target_us"] = TARGETS[row["options"]] if row["rows"] == 14 else None
    print(table(heads, [[row.get(name) for name in heads] for row in found]))
    for line in refused:
        print("refused: " + line)
    if arguments.save:
        path_out = ROOT / "benchmarks" / "results" / f"{time.strftime('%Y-%m-%d')}-cuda.json"
        text = json.dumps(
            {"machine": machine() | {"gpu": device or reason}, "found": found, "refused": refused}, indent=1
        )
        path_out.write_text(text + "\n", encoding="utf-8")
        print(f"saved {path_out}")


if __name__ == "__main__":
    main()
