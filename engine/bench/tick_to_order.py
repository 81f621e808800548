# ruff: noqa: T201 - rows speak to their parent process through stdout
"""Tick to order: a tick is published, the order that it causes is read from a TCP socket at the other end.

Rounds of all rows alternate, so that a busy neighbour meets them all; a row shows its quietest round. Each round
of a row is two fresh processes: the driver (:mod:`engine.bench.venue`) and an engine. Two legs each: ticks one by
one, paced (a closed loop: the next tick leaves after the order has come and a pause), and bursts back to back.

Percentiles of the paced leg are corrected for coordinated omission: an order that took longer than the pace also
counts as the orders that could not be asked for meanwhile (each by the pace shorter than the one before). The JSON
holds the uncorrected ones beside them.
"""

import argparse
import contextlib
import json
import os
import platform
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

BURST = 35  # a divisor of the number of series: the spot moves between bursts
SERIES = 4_095
FLOOR_BYTES = 210  # what a replace of ours has on the wire
TIMEOUT_S = 600.0  # of one answer; the first one may have to compile every kernel


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    mode: str  # floor, spin, poll, park, simplefix, quickfix
    about: str
    load: bool = False
    needs: str = ""  # a package without which it is left out
    share: float = 1.0  # of the ticks asked for: the slow ones need fewer


ROWS = (
    Row("floor", "floor", "ring to send by a spinning thread, no computation"),
    Row("spin", "spin", "full step in the spinning thread"),
    # Few enough that the session keeps its store window: the one after it is lent by asyncio, which is held up here.
    Row("spin, main thread busy", "spin", "the same while Python computes and collects garbage", load=True, share=0.2),
    Row("poll", "poll", "the event loop polls and never sleeps"),
    Row("park", "park", "the event loop sleeps until the ring's doorbell", share=0.25),
    Row("asyncio + simplefix", "simplefix", "what a user would write first", needs="simplefix", share=0.1),
    Row("quickfix-python", "quickfix", "typed fields, FileStore, dictionary", needs="quickfix", share=0.1),
)


class Settings(NamedTuple):
    """What a run is asked to do."""

    rounds: int = 3
    ticks: int = 20_000
    gap_us: float = 100.0
    series: int = SERIES
    only: tuple[str, ...] = ()


def percentiles(samples: npt.NDArray[np.int64], pace_ns: float = 0.0) -> dict[str, float]:
    """p50 p90 p99 p99.9 and max in us; with ``pace_ns`` corrected for coordinated omission."""
    parts = [samples.astype(np.float64)]
    late = parts[0] - pace_ns
    while pace_ns > 0 and len(late := late[late > pace_ns]):
        parts.append(late)
        late = late - pace_ns
    every = np.concatenate(parts)
    found = {name: float(np.percentile(every, at)) / 1e3 for name, at in
             (("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9), ("max", 100))}  # fmt: skip
    return {name: round(value, 3) for name, value in found.items()}


def machine() -> dict[str, Any]:
    """What it ran on, as the JSON keeps it."""
    model = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    packages = ("numpy", "numba", "llvmlite", "uvloop")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "load_average": list(os.getloadavg()),
    }


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _read(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    ready = select.select([process.stdout], [], [], TIMEOUT_S)[0]  # nothing is buffered: one line an answer
    line = process.stdout.readline() if ready else ""
    if not ready:
        raise RuntimeError(f"{process.args!r}: no answer in {TIMEOUT_S:g} s")
    if not line:
        raise RuntimeError(f"{process.args!r} ended with status {process.wait()}")
    return json.loads(line)  # type: ignore[no-any-return]


def _ask(process: "subprocess.Popen[str]", **document: Any) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(json.dumps(document) + "\n")
    process.stdin.flush()
    return _read(process)


@contextlib.contextmanager
def _started(*arguments: object, core: int = -1) -> Iterator["subprocess.Popen[str]"]:
    base = [sys.executable, "-m", "engine.bench.tick_to_order", *map(str, arguments)]
    pin = None if core < 0 else (lambda: os.sched_setaffinity(0, {core}))
    process = subprocess.Popen(base, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pin)  # noqa: PLW1509
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def play_round(row: Row, settings: Settings) -> dict[str, Any]:
    """One round of one row."""
    cores = sorted(os.sched_getaffinity(0))
    driver_core, engine_core = cores[0], cores[-1]
    feed = row.mode in ("simplefix", "quickfix")
    spinner = row.mode in ("floor", "spin")
    shm = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    with (
        tempfile.TemporaryDirectory(prefix="axiom-bench-") as name,
        tempfile.TemporaryDirectory(prefix="axiom-bench-", dir=shm) as ring_name,
    ):
        ring = Path(ring_name) / "ring"
        common = ("--ring", ring, "--series", settings.series, "--directory", name, "--raw",
                  FLOOR_BYTES if row.mode == "floor" else 0)  # fmt: skip
        with _started("--role", "driver", *common, *(("--feeds",) if feed else ()), core=driver_core) as driver:
            ports = _read(driver)
            extra = ("--load",) if row.load else ()
            # A spinning thread has its core to itself, as far as there are cores: the main thread keeps off it.
            main_core = (cores[1] if len(cores) > 2 else driver_core) if spinner else engine_core
            with _started(
                "--role", "engine", *common, "--mode", row.mode, "--port", ports["port"], "--feed", ports["feed"],
                "--core", engine_core if spinner else -1, *extra, core=main_core,
            ) as engine:  # fmt: skip
                _read(engine)
                found = _legs(row, settings, driver, engine)
                found["engine"] = _ask(engine, stop=True)
            return found


def _legs(row: Row, settings: Settings, driver: Any, engine: Any) -> dict[str, Any]:
    ticks = max(BURST, int(settings.ticks * row.share) // BURST * BURST)
    wake = {"wake": True} if row.mode == "park" else {}

    def leg(count: int, gap_us: float, burst: int) -> dict[str, Any]:
        found = _ask(driver, ticks=count, gap_us=gap_us, burst=burst, pid=engine.pid, **wake)
        if found["failed"] or found["stray"]:
            raise RuntimeError(f"{row.name}: {found['failed']=} {found['stray']=}")
        found["samples"] = np.array(found["samples"], np.int64)
        return found

    leg(max(BURST, ticks // 10 // BURST * BURST), settings.gap_us, 1)  # caches and branch predictors, files' pages
    paced = leg(ticks, settings.gap_us, 1)
    bursts = leg(ticks, settings.gap_us, BURST)
    full = leg(ticks, 0.0, BURST)
    idle = full["settled_ns"] if row.mode in ("floor", "spin", "poll") else 0  # they spin while the driver waits
    pace_ns = settings.gap_us * 1e3 + float(np.median(paced["samples"]))
    return {
        "load_average": os.getloadavg()[0],
        "paced": percentiles(paced["samples"], pace_ns),
        "paced_uncorrected": percentiles(paced["samples"]),
        "burst": percentiles(bursts["samples"]),
        "cpu_us_paced": round(paced["cpu_ns"] / ticks / 1e3, 3),
        "cpu_us_full": round((full["cpu_ns"] - idle) / ticks / 1e3, 3),
        "orders_per_s": round(ticks / ((full["wall_ns"] - full["settled_ns"]) / 1e9)),
    }


def play(settings: Settings, say: Any = print) -> dict[str, Any]:
    """All rows, all rounds: the document that is kept."""
    rows = [row for row in ROWS if not settings.only or row.name in settings.only]
    for row in [row for row in rows if row.needs and find_spec(row.needs) is None]:
        say(f"{row.name} is left out: {row.needs} is not installed")
        rows.remove(row)
    document: dict[str, Any] = {
        "benchmark": "tick to order",
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "settings": settings._asdict() | {"burst": BURST},
        "rows": {row.name: {"about": row.about, "rounds": [], "failures": []} for row in rows},
    }
    for number in range(settings.rounds):
        for row in rows:
            say(f"round {number + 1} of {settings.rounds}: {row.name}")
            found = document["rows"][row.name]
            try:
                found["rounds"].append(play_round(row, settings))
            except RuntimeError as error:  # the others are worth having; the table says so
                say(f"failed: {error}")
                found["failures"].append(str(error))
    for found in document["rows"].values():
        if found["rounds"]:
            found["best"] = min(found["rounds"], key=lambda one: one["paced"]["p50"])
    return document


def text_of(document: dict[str, Any]) -> str:
    """The table."""
    on, chosen = document["machine"], document["settings"]
    rows = document["rows"]
    base = rows.get("floor", {}).get("best", {}).get("paced", {}).get("p50")
    load = max((one["load_average"] for row in rows.values() for one in row["rounds"]), default=0.0)
    lines = [
        f"tick to order, us: {chosen['series'] + 1} instruments, {chosen['ticks']} ticks a row, "
        f"{chosen['gap_us']:g} us apart; best of {chosen['rounds']} rounds",
        f"{on['cpu']}, {on['usable_cores']} of {on['cores']} cores, Linux {on['kernel']}, Python {on['python']}; "
        f"load average {on['load_average'][0]:.2f} before, at most {load:.2f} during",
        "",
        f"{'':24}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>10}{'x floor':>9}{'burst p50':>11}{'p99':>9}"
        f"{'cpu/order':>11}{'orders/s':>10}",
    ]
    for name, row in rows.items():
        if row["failures"]:
            lines.append(f"{name:24}{len(row['failures'])} of {chosen['rounds']} rounds failed")
        best = row.get("best")
        if best is None:
            continue
        paced, burst = best["paced"], best["burst"]
        ratio = f"{paced['p50'] / base:9.2f}" if base else f"{'':9}"
        lines.append(
            f"{name:24}{paced['p50']:9.2f}{paced['p90']:9.2f}{paced['p99']:9.1f}{paced['p99.9']:10.1f}{ratio}"
            f"{burst['p50']:11.1f}{burst['p99']:9.1f}{best['cpu_us_full']:11.2f}{best['orders_per_s']:10,}"
        )
    lines += ["", "floor: no computation. Percentiles corrected for coordinated omission; cpu/order and orders/s at "
              f"full tilt, {chosen['burst']} orders outstanding"]  # fmt: skip
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Tick to order: all rows, one table")
    parser.add_argument("--rounds", type=int, default=Settings._field_defaults["rounds"])
    parser.add_argument("--ticks", type=int, default=Settings._field_defaults["ticks"])
    parser.add_argument("--gap-us", type=float, default=Settings._field_defaults["gap_us"])
    parser.add_argument("--series", type=int, default=SERIES, help=f"options; a multiple of {BURST}")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=None, help="write the document there as JSON")
    for name in ("role", "mode"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    for name in ("port", "feed", "raw"):
        parser.add_argument(f"--{name}", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, default=-1, help=argparse.SUPPRESS)
    for name in ("ring", "directory"):
        parser.add_argument(f"--{name}", type=Path, default=Path(), help=argparse.SUPPRESS)
    for name in ("load", "feeds"):
        parser.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Parent, driver or engine."""
    args = _parser().parse_args()
    if args.role == "driver":
        from engine.bench.venue import Driver

        Driver(args.ring, args.series, args.raw, args.feeds).run()
        return
    if args.role == "engine":
        from engine.bench import rivals, spine

        (rivals if args.mode in ("simplefix", "quickfix") else spine).main(args)
        return
    document = play(Settings(args.rounds, args.ticks, args.gap_us, args.series, tuple(args.only)))
    print(text_of(document))
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
