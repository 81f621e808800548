"""Theo on a recorded chain: how much of the market it lies inside, with and without its parts, and what it costs.

    AXIOM_MARKET_DATA=DIRECTORY python benchmarks/theo.py [--minutes 10:30,12:00] [--rates 0.005,0.01]

The day is GOOG, 2015-12-24: 2,192 American contracts. For each minute: calibrate cold, look; then refresh at the
next minute's spot and look at the next minute's quotes.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.analytics_peers import table as text_table
from gpu.chain.theo import ChainPricer, PricerSettings
from market.enums import ExerciseStyle
from market.records import THEO, table
from tests.gpu.chain.chains import recorded

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("goog_20151224_quote_minute_american.zip", "goog_20151224_quote_minute_equity.zip")
WAYS = {
    "smile alone, European": PricerSettings(residual=False, early_exercise=False),
    "smile alone": PricerSettings(residual=False),
    "with the residual": PricerSettings(),
}


def refreshed(pricer: ChainPricer, spot: float, now_ns: int) -> Any:
    out = table(THEO, pricer.count)
    pricer.refresh(spot, now_ns, out)
    return out


def inside(rows: Any, market: Any) -> tuple[Any, Any]:
    """Which rows are two-sided quotes, and which of them hold their theo."""
    bid, ask = market.bid[1:], market.ask[1:]
    two = (bid > 0.0) & (ask >= bid)
    return two, (rows["theo"] >= bid - 1e-9) & (rows["theo"] <= ask + 1e-9)


def look(day: Any, minutes: list[tuple[int, int]], settings: PricerSettings, rate: float) -> list[Any]:
    """Shares inside over the minutes: out of the money, in the money, the next minute's; OFF_MARKET rows; times."""
    hits: dict[str, list[float]] = {"otm": [], "itm": [], "next": []}
    off, cold, warm, one = [], [], [], []
    for hour, minute in minutes:
        market = day.at(hour, minute)
        pricer = ChainPricer(market.master, market.count, 0, rate, settings)
        started = time.perf_counter()
        pricer.calibrate(market.bid, market.ask, market.spot, market.now_ns)
        cold.append(time.perf_counter() - started)
        started = time.perf_counter()
        report = pricer.calibrate(market.bid, market.ask, market.spot, market.now_ns)
        warm.append(time.perf_counter() - started)
        started = time.perf_counter()
        for _ in range(pricer.expiries):
            pricer.calibrate_next(market.bid, market.ask, market.spot, market.now_ns)
        one.append((time.perf_counter() - started) / pricer.expiries)
        rows = refreshed(pricer, market.spot, market.now_ns)
        forward = pricer.slices["forward"][pricer.chain.expiry]
        above = pricer.chain.strike >= forward
        outside = np.where(pricer.chain.right > 0, above, ~above)
        two, hit = inside(rows, market)
        hits["otm"].append(float(hit[two & outside].mean()))
        hits["itm"].append(float(hit[two & ~outside].mean()))
        off.append(report.off_market)
        after = day.at(*divmod(hour * 60 + minute + 1, 60))
        two, hit = inside(refreshed(pricer, after.spot, after.now_ns), after)
        hits["next"].append(float(hit[two & outside].mean()))
    shares = [f"{100.0 * statistics.mean(values):.1f} % ({100.0 * min(values):.1f})" for values in hits.values()]
    return [*shares, max(off), *(statistics.median(times) * 1e3 for times in (cold, warm, one))]


def refresh_us(day: Any) -> tuple[float, float]:
    """Median microseconds of a refresh after a spot move, and after a time step."""
    market = day.at(10, 30)
    pricer = ChainPricer(market.master, market.count, 0, 0.005)
    pricer.calibrate(market.bid, market.ask, market.spot, market.now_ns)
    out = table(THEO, pricer.count)
    found = []
    for step_ns in (0, 2_000_000_000):
        times = []
        for i in range(500):
            started = time.perf_counter_ns()
            pricer.refresh(market.spot + 0.001 * i, market.now_ns + step_ns * i, out)
            times.append(time.perf_counter_ns() - started)
        found.append(statistics.median(times) / 1e3)
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", default="9:45,10:30,11:15,12:00,12:45")
    parser.add_argument("--rates", default="0.005,0.01", help="theo.rate: the funding that parity cannot tell")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("AXIOM_MARKET_DATA", ROOT.parent / "shared" / "data" / "market"))
    if not all((folder / name).is_file() for name in NAMES):
        print(f"no recorded GOOG day in {folder} (set AXIOM_MARKET_DATA): nothing measured")
        return
    day = recorded(folder / NAMES[0], folder / NAMES[1], ExerciseStyle.AMERICAN, minutes=780)
    minutes = [(int(h), int(m)) for h, _, m in (text.partition(":") for text in arguments.minutes.split(","))]
    look(day, minutes[:1], PricerSettings(), 0.005)  # compile
    rates = [float(text) for text in arguments.rates.split(",")]
    rows = [
        [name, f"{100.0 * rate:g} %", *look(day, minutes, settings, rate)]
        for rate in rates
        for name, settings in WAYS.items()
    ]
    heads = [
        "theo",
        "rate",
        "out of the money",
        "in the money",
        "next minute's",
        "off market",
        "cold ms",
        "warm ms",
        "one ms",
    ]
    print(f"two-sided quotes that hold theo, mean of {arguments.minutes} (and the worst)")
    print(text_table(heads, rows))
    spot, step = refresh_us(day)
    print(f"refresh of 2,192 rows: {spot:.1f} us after a spot move, {step:.1f} us after a time step")


if __name__ == "__main__":
    main()
