"""Implied volatility: ns an option and error, ours cold, warm and one by one, beside other libraries, in one run.

    python -m benchmarks.implied_vol [--n 10000] [--exact 2000]

Quotes out of the money up to six deviations, 0.02 to 2 years, volatilities 8 to 100 %; the first
``--exact`` prices are rounded once from 50 digits and give the errors, in units of the conditioning
floor eps * F / vega (of what the price's own last digit allows: eps * (vol + price / vega)). Ours warm starts
0.5 % of a step's range off, and from nonsense. Libraries one option at a time are measured on 64 of the rows.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import analytics_peers as peers
from gpu.implied import batch
from gpu.implied.bachelier import bachelier_implied_vol_batch
from gpu.implied.batch import implied_vol_batch, implied_vol_warm
from gpu.implied.black import implied_deviation, normalised_deviation
from gpu.implied.quotes import implied_quotes_batch
from gpu.maths.functions import log_ratio
from gpu.maths.wide import vector_width, wide_support
from market.jit import kernel

F8 = npt.NDArray[np.float64]
EPS = 2.220446049250313e-16


@kernel
def one_by_one(price: F8, forward: F8, strike: F8, years: F8, right: Any, out: F8) -> None:
    """The scalar kernel in a loop: what a caller inside a kernel pays."""
    for i in range(price.shape[0]):
        deviation, _ = implied_deviation(price[i], forward[i], strike[i], int(right[i]))
        out[i] = deviation / np.sqrt(years[i])


@kernel
def bracketed(price: F8, forward: F8, strike: F8, years: F8, out: F8) -> None:
    """The bracketed solver alone, which mends what the fast step leaves."""
    for i in range(price.shape[0]):
        scale = np.sqrt(forward[i] * strike[i])
        top = min(forward[i], strike[i])
        s = normalised_deviation(price[i] / scale, (top - price[i]) / scale, abs(log_ratio(forward[i], strike[i])))
        out[i] = s / np.sqrt(years[i])


class Run:
    """The quotes, and one line per contender."""

    def __init__(self, n: int, exact: int) -> None:
        self.q = peers.quotes(n, min(exact, n))
        self.exact = min(exact, len(self.q.price))
        few = self.q.head(self.exact)
        floor = few.floor()
        self.floor = np.maximum(floor, EPS * few.vol)
        self.unit = EPS * few.vol + floor * few.price / few.forward
        self.vol = few.vol
        self.lines: list[list[str]] = []

    def add(self, name: str, ns: float, found: Sequence[float] | F8 | None = None) -> float:
        """A line; ``found`` are the volatilities of the first rows."""
        errors = ["", "", ""]
        if found is not None:
            m = min(len(found), self.exact)
            miss = np.abs(np.asarray(found[:m]) - self.vol[:m])
            lost = int(np.sum(~np.isfinite(miss)))
            errors = [f"{np.nanmax(miss / self.floor[:m]):.2f}", f"{np.nanmax(miss / self.unit[:m]):.3g}", str(lost)]
        self.lines.append([name, f"{ns:,.1f}", *errors])
        return ns


def ours(run: Run) -> tuple[float, float]:
    """Our own ways; (cold, warm) ns."""
    q, n = run.q, len(run.q.price)
    d, out, status = np.ascontiguousarray(q.discount), np.empty(n), np.empty(n, np.uint8)
    terms = (q.price, q.forward, q.strike, q.years, d, q.right)

    def timed(name: str, call: Callable[[], Any], results: bool = True) -> float:
        ns = peers.best_ns(call, n)
        return run.add(name, ns, out.copy() if results else None)

    batch._cold(*terms[:5], q.right * batch._OPEN, status)  # by themselves, so that vector_width finds them
    batch._warm(*terms[:5], q.vol, q.right * batch._OPEN, status)
    cold = timed("axiom, cold", lambda: implied_vol_batch(*terms, out, status))
    print(f"  statuses other than OK: {int(np.sum(status != 0))} of {n}")
    deviation = q.vol * np.sqrt(q.years)
    d2 = (np.log(q.forward / q.strike) / deviation) ** 2
    near = q.vol * (1.0 + 0.015 / (1.0 + d2 / 3.0 + deviation**2 / 4.0))
    warm = timed("axiom, warm, last vol half a step off", lambda: implied_vol_warm(*terms, near, out, status))
    nonsense = np.random.default_rng(5).permutation(q.vol) * 3.0
    timed("axiom, warm, last vol nonsense", lambda: implied_vol_warm(*terms, nonsense, out, status))
    timed("axiom, scalar kernel in a loop", lambda: one_by_one(q.price, q.forward, q.strike, q.years, q.right, out))
    timed("axiom, bracketed solver alone", lambda: bracketed(q.price, q.forward, q.strike, q.years, out))
    timed("axiom, Bachelier (another volatility)", lambda: bachelier_implied_vol_batch(*terms, out, status), False)
    side, three, room = np.empty(n, np.int8), np.empty((3, n)), np.empty((4, n))
    bid, ask = 0.99 * q.price, 1.01 * q.price
    quoted = (bid, ask, bid, ask, q.forward, d, q.strike, q.years, False, room, three, side, status)
    timed("axiom, bid + mid + ask of a strike", lambda: implied_quotes_batch(*quoted), False)
    return cold, warm


def others(run: Run) -> list[tuple[str, float]]:
    """Each library that is installed: (name, ns)."""
    q, found = run.q, []
    some = range(min(64, run.exact))
    if peers.has("QuantLib"):
        for name, rational in (("QuantLib impliedStdDev", False), ("QuantLib impliedStdDevLiRS", True)):
            calls, vols = [], []
            for call in (peers.quantlib_implied(q, i, rational=rational) for i in some):
                try:
                    vols.append(call())
                    calls.append(call)
                except RuntimeError:  # it gave up, after many iterations: not timed
                    vols.append(float("nan"))
            found.append((name, run.add(name, peers.best_ns(lambda c=calls: [f() for f in c], len(calls)), vols)))
    if peers.has("py_vollib_vectorized"):
        ns = peers.best_ns(lambda: peers.quiet(lambda: peers.vectorized_implied(q)), len(q.price))
        vols = peers.quiet(lambda: peers.vectorized_implied(q.head(run.exact)))
        found.append(("py_vollib_vectorized", run.add(f"py_vollib_vectorized, n = {len(q.price):,}", ns, vols)))
    if peers.has("py_vollib"):
        ns = peers.best_ns(lambda: peers.quiet(lambda: [peers.vollib_implied(q, i) for i in some]), len(some))
        vols = peers.quiet(lambda: [peers.vollib_implied(q, i) for i in some])
        found.append(("py_vollib", run.add("py_vollib", ns, vols)))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--exact", type=int, default=2_000)
    options = parser.parse_args()
    for name, value in peers.machine().items():
        print(f"{name}: {value}")
    run = Run(options.n, options.exact)
    cold, warm = ours(run)
    ratios = others(run)
    print(peers.table(["implied volatility", "ns each", "max / floor", "max / last digit", "no answer"], run.lines))
    for name, ns in ratios:
        print(f"  cold is {ns / cold:,.0f} times as fast as {name}, warm {ns / warm:,.0f} times")
    for loop in (batch._cold, batch._warm):
        print(f"  {loop.__name__}: vectors of {vector_width(loop)} bits {wide_support()}")
    for line in peers.missing():
        print(f"  {line}")


if __name__ == "__main__":
    main()
