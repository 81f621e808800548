"""American options: ours beside QuantLib's QdFp engine, in one run on one core.

    python benchmarks/american.py [--chain FILE]

Three tables: microseconds and error of one option on the published point of Andersen, Lake and
Offengenden; the same over a sample of the standard domain, by regime; a whole chain (the recorded
GOOG day where it is found, else a synthetic one of the same size). QuantLib's fast and accurate
schemes give a price only; ours is timed with the price alone and with all first and second order
Greeks. Errors are against QuantLib with 40 nodes and 16 sweeps: its own highPrecisionScheme stops
up to 1e-7 short.
"""

import argparse
import math
import sys
import time
import zipfile
from datetime import date, datetime
from datetime import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import QuantLib as ql  # noqa: N813

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.analytics_peers import machine, table  # noqa: E402
from gpu.american.batch import american_greeks, american_prices  # noqa: E402
from gpu.american.chain import AmericanChain  # noqa: E402
from gpu.american.put import AMERICAN_ROWS  # noqa: E402
from market.calendar import expiry_ns, instant_ns  # noqa: E402

TODAY = ql.Date(2, 1, 2024)
GOOG = "goog_20151224_quote_minute_american.zip"
YEAR_NS = 365 * 86_400 * 10**9
TURNING = "ln(q/r) 0.05-0.6 deviations"


def best_us(call: Any, count: int = 1, seconds: float = 0.15) -> float:
    """Microseconds of CPU per item of ``count``: the least of as many calls as fit, a neighbour's slices left out."""
    best = math.inf
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        begin = time.thread_time_ns()
        call()
        best = min(best, (time.thread_time_ns() - begin) / 1e3)
    return best / count


class QuantLibOption:
    """One American option with every market input behind a quote, so that only the engine is timed."""

    def __init__(self, spot: float, days: int, rate: float, dividend_yield: float, vol: float, right: int) -> None:
        ql.Settings.instance().evaluationDate = TODAY
        count = ql.Actual365Fixed()
        self.spot = ql.SimpleQuote(spot)

        def curve(value: float) -> Any:
            return ql.YieldTermStructureHandle(ql.FlatForward(TODAY, value, count))

        surface = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(TODAY, ql.NullCalendar(), vol, count))
        self.process = ql.BlackScholesMertonProcess(
            ql.QuoteHandle(self.spot), curve(dividend_yield), curve(rate), surface
        )
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, 100.0)
        self.option = ql.VanillaOption(payoff, ql.AmericanExercise(TODAY, TODAY + int(days)))

    def price(self, scheme: str) -> float:
        """NPV with one of the engine's named schemes, or the "best" that errors are measured against."""
        engine = ql.QdFpAmericanEngine
        if scheme == "best":
            made = engine(self.process, ql.QdFpTanhSinhIterationScheme(16, 40, 1e-10), engine.FP_A)
        else:
            made = engine(self.process, getattr(engine, f"{scheme}Scheme")())
        self.option.setPricingEngine(made)
        return float(self.option.NPV())

    def time_us(self, scheme: str, calls: int) -> float:
        """Of one price with the engine at hand and a moved spot."""
        self.price(scheme)
        base = self.spot.value()

        def run() -> None:
            for k in range(calls):
                self.spot.setValue(base * (1.0 + 1e-9 * k))
                self.option.NPV()
            self.spot.setValue(base)

        return best_us(run, calls, seconds=0.02)


def arrays(rows: list[tuple[float, ...]]) -> list[Any]:
    columns = [np.array(x, float) for x in zip(*rows, strict=True)]
    spot, days, rate, dividend_yield, vol, right = columns
    return [spot, np.full(spot.size, 100.0), days / 365, rate, dividend_yield, vol, right.astype(np.int8)]


def ours(rows: list[tuple[float, ...]]) -> tuple[Any, float, float]:
    """Prices, us per option of a batch with the price alone, and with all Greeks."""
    data = arrays(rows)
    n = len(rows)
    out, prices, status = np.zeros((AMERICAN_ROWS, n)), np.zeros(n), np.zeros(n, np.uint8)
    american_prices(*data, prices, status)
    repeat = max(1, 20 // n)

    def price() -> None:
        for k in range(repeat):
            data[5][0] *= 1.0 + 1e-13 * (1 if k % 2 else -1)  # never the boundary of the call before
            american_prices(*data, out[0], status)

    def greeks() -> None:
        for k in range(repeat):
            data[5][0] *= 1.0 + 1e-13 * (1 if k % 2 else -1)
            american_greeks(*data, out, status)

    price(), greeks()
    return prices, best_us(price, repeat * n), best_us(greeks, repeat * n)


def domain(count: int, regime: str, seed: int = 5) -> list[tuple[float, ...]]:
    """(spot, days, rate, yield, vol, right) of the standard domain; the regime is the put's or the mirrored call's.

    ``TURNING`` is the part of "q > r" where ln(q/r) is 0.05 to 0.6 standard deviations.
    """
    draw = np.random.default_rng(seed)
    rows: list[tuple[float, ...]] = []
    while len(rows) < count:
        rate, dividend_yield = draw.uniform(0.0, 0.1, 2)
        right = -1 if draw.random() < 0.5 else 1
        mine, other = (rate, dividend_yield) if right < 0 else (dividend_yield, rate)
        if (other <= mine) != (regime == "q <= r"):
            continue
        days = round(365 * math.exp(draw.uniform(math.log(1 / 52), math.log(3.0))))
        spot, vol = 100.0 * draw.uniform(0.6, 1.6), draw.uniform(0.1, 0.6)
        if regime == TURNING and not 0.05 <= math.log(other / mine) / (vol * math.sqrt(days / 365)) <= 0.6:
            continue
        rows.append((spot, days, rate, dividend_yield, vol, right))
    return rows


def compare(title: str, rows: list[tuple[float, ...]], truth_of: int) -> None:
    """One table: error and time of each engine over ``rows``."""
    options = [QuantLibOption(*row) for row in rows]
    some = options[:truth_of]
    truth = np.array([o.price("best") for o in some])
    prices, price_us, greeks_us = ours(rows)
    fast_us = float(np.mean([o.time_us("fast", 40) for o in options[:40]]))
    accurate_us = float(np.mean([o.time_us("accurate", 8) for o in options[:10]]))
    lines = []
    for name, us, got in (
        ("QuantLib QdFp fast, price", fast_us, np.array([o.price("fast") for o in some])),
        ("QuantLib QdFp accurate, price", accurate_us, np.array([o.price("accurate") for o in some])),
        ("Axiom, price", price_us, prices[:truth_of]),
        ("Axiom, price and 10 Greeks", greeks_us, prices[:truth_of]),
    ):
        error = np.abs(got - truth)
        lines.append((name, f"{us:.1f}", f"{us / fast_us:.2f}", f"{error.max():.1e}", f"{np.median(error):.1e}"))
    print(f"\n{title} ({len(rows)} options, strike 100; errors of {len(some)})\n")
    print(table(("engine", "us", "of fast", "largest error", "median error"), lines))


def goog_contracts(path: Path) -> tuple[Any, Any, Any]:
    """Strike, right and years of the recorded contracts at 10:30 New York."""
    now = instant_ns(date(2015, 12, 24), clock(10, 30))
    with zipfile.ZipFile(path) as archive:
        parts = [name.removesuffix(".csv").split("_") for name in sorted(archive.namelist())]
    strike = np.array([int(p[6]) / 1e4 for p in parts])
    right = np.array([1 if p[5] == "call" else -1 for p in parts], np.int8)
    expiry = np.array([expiry_ns(datetime.strptime(p[7], "%Y%m%d").date()) for p in parts])
    return strike, right, (expiry - now) / YEAR_NS


def chain_table(path: Path | None) -> None:
    """Milliseconds of the whole chain, from everything anew to a move of spot alone."""
    if path is not None and path.is_file():
        strike, right, life = goog_contracts(path)
        name = path.name
    else:
        strike = np.tile(np.repeat(np.linspace(300.0, 1200.0, 91), 2), 12)
        right = np.tile(np.array([1, -1], np.int8), strike.size // 2)
        life = np.repeat(np.geomspace(0.01, 2.1, 12), strike.size // 12)
        name = "synthetic chain"
    years, expiry = np.unique(life, return_inverse=True)
    vol = 0.22 + 0.08 * np.abs(np.log(strike / 748.0)) / np.sqrt(life + 0.02)
    print(f"\n{name}: {strike.size} contracts in {years.size} expiries, price and 10 Greeks each, milliseconds\n")
    lines = []
    for dividend in (0.0, 0.01):
        rate, dividend_yield = np.full(years.size, 0.006), np.full(years.size, dividend)
        chain = AmericanChain(strike, right, expiry)
        turn = 0

        def anew(chain: Any = chain, rate: Any = rate, dividend_yield: Any = dividend_yield) -> None:
            nonlocal turn
            turn += 1
            chain.load(years - 1e-7 * turn, rate, dividend_yield, vol)
            chain.refresh(748.0)

        def smile(chain: Any = chain, rate: Any = rate, dividend_yield: Any = dividend_yield) -> None:
            nonlocal turn
            turn += 1
            chain.load(years, rate, dividend_yield, vol * (1.0 + 1e-4 * (turn % 3)))
            chain.refresh(748.0)

        anew(), smile()
        data = [np.full(strike.size, 748.0), strike, life, rate[expiry], dividend_yield[expiry], vol, right]
        out, status = np.zeros((AMERICAN_ROWS, strike.size)), np.zeros(strike.size, np.uint8)
        american_greeks(*data, out, status)
        difference = np.abs(smile() or chain.load(years, rate, dividend_yield, vol) or chain.refresh(748.0)[0] - out[0])
        times = (
            best_us(lambda chain=chain: chain.refresh(748.0)), best_us(smile), best_us(anew),
            best_us(lambda data=data, out=out, status=status: american_greeks(*data, out, status)),
        )  # fmt: skip
        lines.append((f"yield {dividend:.0%}", *(f"{t / 1e3:.2f}" for t in times), f"{difference.max():.1e}"))
    heads = ("rate 0.6 %", "spot moves", "smile moves", "all anew", "row by row", "chain - rows, price")
    print(table(heads, lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", type=Path, default=ROOT.parent / "shared" / "data" / "market" / GOOG)
    parser.add_argument("--options", type=int, default=200, help="options of each regime in the second table")
    given = parser.parse_args()
    print(", ".join(f"{k} {v}" for k, v in machine().items()))
    compare(
        "Andersen, Lake, Offengenden: S = K, r = q = 5 %, vol 25 %, one year", [(100.0, 365, 0.05, 0.05, 0.25, -1)], 1
    )
    for regime in ("q <= r", "q > r", TURNING):
        compare(f"Standard domain, {regime} (put, or call mirrored)", domain(given.options, regime), 60)
    chain_table(given.chain)


if __name__ == "__main__":
    main()
