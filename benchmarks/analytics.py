"""Analytics beside everybody else's, in one run: nanoseconds per option and error, at five sizes.

    python benchmarks/analytics.py [--quick] [--sizes 1 100 1000] [--only greeks ...] [--json FILE]

Families: greeks, implied, american, portfolio, surface. Peers that are not installed are named, with
how to get them (``pip install 'axiom[peers]'``), and their rows left out. Times are of the whole call
from Python in one thread: the smallest of several rounds' medians, CPU time from 0.1 ms on. Ratios
between rows of one run are what carries from machine to machine. Errors are against 50- and 60-digit
arithmetic, for American options against QuantLib's spectral engine at 20 nodes and 60 iterations (2e-9
near the boundary). Then the targets, and what each kernel's machine code really holds. ``--json``
keeps figures and machine.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 - the checkout must be importable first

import gpu  # noqa: E402
from benchmarks import analytics_peers as peers  # noqa: E402
from gpu.european.batch import spot_greeks_batch, spot_reduced_batch  # noqa: E402
from gpu.european.chain_greeks import ChainGreeks  # noqa: E402
from gpu.implied.batch import implied_vol_batch, implied_vol_warm  # noqa: E402

_EXACT = 48  # rows compared with 60 digits
_EXACT_VOLS = 400
_SCALAR = 1  # the size at which a function of one option is timed
_GREEKS_TARGETS = ("QuantLib, instrument kept: NPV and 5 Greeks", "numba loop over libm: price, 13 Greeks")
_IV_PEERS = ("QuantLib blackFormulaImpliedStdDev", "py_vollib_vectorized")


class Row(NamedTuple):
    """One line of a table."""

    name: str
    ns: dict[int, float]  # per option, by size
    error: float | None = None
    note: str = ""


class Family(NamedTuple):
    """One table, and what must hold of it."""

    title: str
    error: str  # what the error column means
    rows: list[Row]
    facts: list[tuple[str, float, float, bool]]  # what, measured, target, more is better

    def at(self, name: str, n: int) -> float:
        """Nanoseconds of a row, NaN where it was not measured."""
        return next((row.ns.get(n, math.nan) for row in self.rows if row.name == name), math.nan)


class Bench:
    """Sizes, patience, and rows that may fail because a peer is not there."""

    def __init__(self, sizes: tuple[int, ...], rounds: int) -> None:
        self.sizes, self.rounds = sizes, rounds

    def arrays(self, name: str, prepare: Callable[[int], Callable[[], Any]], error: float | None = None,
               sizes: tuple[int, ...] | None = None) -> Row:  # fmt: skip
        """Time ``prepare(n)()`` at every size."""
        ns = {n: peers.best_ns(prepare(n), n, rounds=self.rounds) for n in sizes or self.sizes}
        print(f"  {name}", file=sys.stderr, flush=True)
        return Row(name, ns, error)

    def scalar(self, name: str, calls: list[Callable[[], Any]], error: float | None = None) -> Row:
        """Time functions of one option each, one after the other."""

        def run() -> None:
            for call in calls:
                call()

        ns = peers.best_ns(run, len(calls), rounds=self.rounds)
        print(f"  {name}", file=sys.stderr, flush=True)
        return Row(name, {_SCALAR: ns}, error)


def scaled_error(got: Any, exact: Any) -> float:
    """Largest |got - exact| / max(|exact|, a thousandth of that Greek's median size): zeros of a Greek do not count."""
    size = np.maximum(np.abs(exact), 1e-3 * np.median(np.abs(exact), axis=-1, keepdims=True))
    with np.errstate(all="ignore"):
        return float(np.nanmax(np.abs(got - exact) / size))


def greeks(bench: Bench) -> Family:
    """Price and Greeks of European options."""
    s = peers.sample(max(bench.sizes))
    few = s.head(_EXACT)
    exact = peers.exact_greeks(few)
    out, status = np.empty((14, s.n)), np.empty(s.n, np.uint8)

    def kernel(n: int, call: Any, rows: int) -> Callable[[], Any]:
        part, table, states = s.head(n), np.empty((rows, n)), np.empty(n, np.uint8)
        right = part.right_f8
        return lambda: call(*part[:6], right, table, states)

    def moved(n: int, rows: int) -> Callable[[], Any]:
        part, chain, table = s.head(n), ChainGreeks(n), np.empty((rows, n))
        chain.load(*part[1:6], part.right)
        spots, turn = (100.0, 100.01), [0]
        move = chain.move if rows == 14 else chain.move_reduced

        def call() -> None:
            turn[0] ^= 1
            move(spots[turn[0]], table)

        return call

    def through_api(n: int) -> Callable[[], Any]:
        p = s.head(n)
        return lambda: gpu.greeks(p.spot, p.strike, p.years, p.rate, p.vol, p.right, p.dividend_yield)

    spot_greeks_batch(*few[:6], few.right_f8, out[:, :_EXACT].copy(), status[:_EXACT])
    ours = gpu.greeks(few.spot, few.strike, few.years, few.rate, few.vol, few.right, few.dividend_yield).values
    single = [[float(c[i]) for c in few[:6]] for i in range(_EXACT)]
    ones = [
        (lambda r=r, w=int(w): gpu.option(r[0], r[1], r[2], r[3], r[5], w, r[4]))
        for r, w in zip(single, few.right, strict=True)
    ]
    error = scaled_error(ours, exact)
    rows = [
        bench.arrays("axiom kernel: price, 13 Greeks", lambda n: kernel(n, spot_greeks_batch, 14), error),
        bench.arrays("axiom kernel: price, delta, gamma, vega, theta", lambda n: kernel(n, spot_reduced_batch, 5),
                     scaled_error(ours[:5], exact[:5])),
        bench.arrays("axiom spot move of a chain: price, 13 Greeks", lambda n: moved(n, 14)),
        bench.arrays("axiom spot move of a chain: price and 4 Greeks", lambda n: moved(n, 5)),
        bench.arrays("axiom gpu.greeks (arrays in, arrays out)", through_api, error),
        bench.scalar("axiom gpu.option (one by one)", ones, error),
        bench.arrays("numba loop over libm: price, 13 Greeks", lambda n: _libm(s.head(n)), _libm_error(few, exact)),
        *_greeks_peers(bench, s, few, exact),
    ]  # fmt: skip
    family = Family("European price and Greeks, ns per option", "largest scaled error", rows, [])
    n = 1_000 if 1_000 in bench.sizes else max(bench.sizes)
    ours_ns = family.at(rows[0].name, n)
    for name, target, size in ((_GREEKS_TARGETS[0], 300.0, _SCALAR), (_GREEKS_TARGETS[1], 3.0, n)):
        family.facts.append((f"Greeks kernel against {name}, n = {n:,}", family.at(name, size) / ours_ns, target, True))
    family.facts.append(("ns per option, price and 13 Greeks", ours_ns, 14.0, False))
    family.facts.append(("ns per option, pure spot move", family.at(rows[2].name, n), 9.0, False))
    family.facts.append(("error, price and 13 Greeks", error, 1e-11, False))
    return family


def _libm(part: peers.Sample) -> Callable[[], Any]:
    loop, table, right = _libm_loop(), np.empty((14, part.n)), part.right_f8
    return lambda: loop(*part[:6], right, table)


def _libm_loop(made: list[Any] = []) -> Any:  # noqa: B006 - compiled once
    if not made:
        made.append(peers.numba_libm_greeks())
    return made[0]


def _libm_error(few: peers.Sample, exact: Any) -> float:
    table = np.empty((14, few.n))
    _libm_loop()(*few[:6], few.right_f8, table)
    return scaled_error(table, exact)


def _greeks_peers(bench: Bench, s: peers.Sample, few: peers.Sample, exact: Any) -> list[Row]:
    rows = []
    if peers.has("scipy"):
        rows.append(bench.arrays("numpy + scipy: price, 13 Greeks", lambda n: _bound(peers.numpy_greeks, s.head(n)),
                                 scaled_error(peers.numpy_greeks(few), exact)))  # fmt: skip
    if peers.has("torch"):
        rows.append(bench.arrays("torch, eager, 1 thread: price, 13 Greeks", lambda n: peers.TorchGreeks(s.head(n)),
                                 scaled_error(peers.TorchGreeks(few)(), exact)))  # fmt: skip
    if peers.has("QuantLib"):
        got = np.array([peers.QuantLibOption(few, i).six() for i in range(few.n)]).T
        rows.append(Row(_GREEKS_TARGETS[0], {_SCALAR: peers.quantlib_ns(s)}, scaled_error(got, exact[:6])))
    if peers.has("py_vollib"):  # before the vectorised one, which replaces its functions
        got = np.array([peers.vollib_greeks(few, i) for i in range(few.n)]).T
        calls = [(lambda i=i: peers.vollib_greeks(few, i)) for i in range(16)]
        rows.append(bench.scalar("py_vollib: price, 5 Greeks", calls, scaled_error(got, exact[:6])))
    if peers.has("py_vollib_vectorized"):
        rows.append(
            _attempt("py_vollib_vectorized: price, 5 Greeks", lambda name: _vectorized(bench, name, s, few, exact))
        )
    return rows


def _vectorized(bench: Bench, name: str, s: peers.Sample, few: peers.Sample, exact: Any) -> Row:
    def call(n: int) -> Callable[[], Any]:
        return _bound(lambda part: peers.quiet(lambda: peers.vectorized_greeks(part)), s.head(n))

    got = peers.quiet(lambda: peers.vectorized_greeks(few))
    each = [scaled_error(got[row], exact[row]) for row in range(6)]
    note = ", ".join(f"{greek} {error:.0e}" for greek, error in zip(peers.FIVE, each, strict=True))
    return bench.arrays(name, call, max(each))._replace(note=note)


def _bound(call: Callable[[Any], Any], argument: Any) -> Callable[[], Any]:
    return lambda: call(argument)


def _attempt(name: str, measure: Callable[[str], Row]) -> Row:
    """A peer that is installed but does not work with what else is installed."""
    try:
        return measure(name)
    except Exception as error:  # noqa: BLE001 - whatever another library raises is its row's note
        return Row(name, {}, None, f"fails here: {type(error).__name__}: {str(error).splitlines()[0]}")


def implied(bench: Bench) -> Family:
    """Implied volatility of out-of-the-money options within six standard deviations."""
    q = peers.quotes(max(bench.sizes), _EXACT_VOLS)
    few = q.head(_EXACT_VOLS)
    floor = few.floor()
    discount = q.discount

    def misses(vols: Any) -> float:
        return float(np.nanmax(np.abs(vols - few.vol[: len(vols)]) / floor[: len(vols)]))

    def cold(n: int) -> Callable[[], Any]:
        p, d, vol, status = q.head(n), discount[:n].copy(), np.empty(n), np.empty(n, np.uint8)
        return lambda: implied_vol_batch(p.price, p.forward, p.strike, p.years, d, p.right, vol, status)

    def warm(n: int) -> Callable[[], Any]:
        p, d, vol, status = q.head(n), discount[:n].copy(), np.empty(n), np.empty(n, np.uint8)
        last = p.vol * 1.002
        return lambda: implied_vol_warm(p.price, p.forward, p.strike, p.years, d, p.right, last, vol, status)

    found = gpu.black76_implied_vol(few.price, few.forward, few.strike, few.years, few.rate, few.right)
    rows = [
        bench.arrays("axiom, cold", cold, misses(found.vol)),
        bench.arrays("axiom, warm start (0.2 % off)", warm),
        bench.arrays("axiom gpu.black76_implied_vol", lambda n: _api_vols(q.head(n)), misses(found.vol)),
    ]
    if peers.has("QuantLib"):
        for name, rational in ((_IV_PEERS[0], False), ("QuantLib blackFormulaImpliedStdDevLiRS", True)):
            calls = [peers.quantlib_implied(few, i, rational=rational) for i in range(len(few.price))]
            sound, vols = _those_that_answer(calls)
            row = bench.scalar(name, [calls[i] for i in sound], misses_at(vols, sound, few, floor))
            rows.append(row._replace(note=_failures(len(calls) - len(sound))))
    if peers.has("py_vollib"):
        calls = [(lambda i=i: peers.vollib_implied(few, i)) for i in range(64)]
        sound, vols = _those_that_answer(calls)
        row = bench.scalar("py_vollib", [calls[i] for i in sound], misses_at(vols, sound, few, floor))
        rows.append(row._replace(note=_failures(len(calls) - len(sound))))
    if peers.has("py_vollib_vectorized"):
        rows.append(_attempt(_IV_PEERS[1], lambda name: bench.arrays(
            name, lambda n: _bound(lambda p: peers.quiet(lambda: peers.vectorized_implied(p)), q.head(n)),
            misses(peers.quiet(lambda: peers.vectorized_implied(few))))))  # fmt: skip
    family = Family("Implied volatility, ns per option", "largest error in units of eps F / vega", rows, [])
    n = 1_000 if 1_000 in bench.sizes else max(bench.sizes)
    ours = family.at(rows[0].name, n)
    family.facts.append((f"implied volatility against {_IV_PEERS[0]}", family.at(_IV_PEERS[0], 1) / ours, 10.0, True))
    family.facts.append(
        (f"implied volatility against {_IV_PEERS[1]}, n = {n:,}", family.at(_IV_PEERS[1], n) / ours, 8.0, True)
    )
    family.facts.append(("ns per implied volatility, cold", ours, 80.0, False))
    family.facts.append(("ns per implied volatility, warm", family.at(rows[1].name, n), 50.0, False))
    family.facts.append(("implied volatility error, eps F / vega", rows[0].error or math.nan, 3.0, False))
    return family


def _api_vols(p: peers.Quotes) -> Callable[[], Any]:
    return lambda: gpu.black76_implied_vol(p.price, p.forward, p.strike, p.years, p.rate, p.right)


def _those_that_answer(calls: list[Callable[[], float]]) -> tuple[list[int], list[float]]:
    """(numbers of the calls that do not raise, their answers)."""
    sound, vols = [], []
    for i, call in enumerate(calls):
        try:
            vols.append(call())
        except Exception:  # noqa: BLE001 - counted in the row's note
            continue
        sound.append(i)
    return sound, vols


def misses_at(vols: list[float], sound: list[int], few: peers.Quotes, floor: Any) -> float:
    """Largest error of these answers in units of the floor."""
    return float(np.max(np.abs(np.array(vols) - few.vol[sound]) / floor[sound]))


def _failures(count: int) -> str:
    return f"{count} rows raise and are left out" if count else ""


def american(bench: Bench) -> Family:
    """American options: price with all first- and second-order Greeks beside QuantLib's price alone."""
    from gpu.american.batch import american_greeks, american_prices, thread_workspace
    from gpu.american.row import AMERICAN_ROWS, american_price

    s = _exercised_early(peers.sample(4_000))
    few = s.head(_EXACT)
    price = gpu.american_price(few.spot, few.strike, few.years, few.rate, few.vol, few.right, few.dividend_yield).price

    def table(n: int) -> Callable[[], Any]:
        p, out, status = s.head(n), np.empty((AMERICAN_ROWS, n)), np.empty(n, np.uint8)
        return lambda: american_greeks(*p[:6], p.right, out, status)

    def prices(n: int) -> Callable[[], Any]:
        p, out, status = s.head(n), np.empty(n), np.empty(n, np.uint8)
        return lambda: american_prices(*p[:6], p.right, out, status)

    def one_smile(n: int) -> Callable[[], Any]:
        """N strikes of one expiry with one volatility: one boundary for all."""
        strike, out, status = np.linspace(70.0, 130.0, n), np.empty((AMERICAN_ROWS, n)), np.empty(n, np.uint8)
        rest = [np.full(n, x) for x in (0.5, 0.04, 0.02, 0.3)]
        return lambda: american_greeks(np.full(n, 100.0), strike, *rest, np.full(n, -1, np.int8), out, status)

    rules, work = thread_workspace()
    rows = [[float(c[i]) for c in few[:6]] for i in range(_EXACT)]
    ones = [(lambda r=r, w=int(w): american_price(*r, w, rules, work)) for r, w in zip(rows, few.right, strict=True)]
    sizes = tuple(n for n in bench.sizes if 100 <= n <= s.n) or (100,)  # one row again and again keeps its boundary
    rows_ = [
        bench.arrays("axiom: price and 10 Greeks, every row its own boundary", table, sizes=sizes),
        bench.arrays("axiom: price alone, every row its own boundary", prices, sizes=sizes),
        bench.arrays("axiom: price and 10 Greeks, one boundary for all", one_smile, sizes=sizes),
        bench.scalar("axiom: price alone, one by one", ones),
    ]
    family = Family("American options, ns per option", "largest |error| of the price (spots near 100)", rows_, [])
    if not peers.has("QuantLib"):
        return family
    exact = np.array([peers.QuantLibOption(few, i, american="reference").option.NPV() for i in range(few.n)])
    error = float(np.max(np.abs(price - exact)))
    for at in (0, 1, 3):
        rows_[at] = rows_[at]._replace(error=error)
    for scheme in ("fast", "accurate"):
        got = np.array([peers.QuantLibOption(few, i, american=scheme).option.NPV() for i in range(few.n)])
        ns = float(np.mean([peers.quantlib_ns(few, i, american=scheme) for i in range(0, few.n, 6)]))
        rows_.append(Row(f"QuantLib QdFp {scheme}: price alone, instrument kept", {1: ns},
                         float(np.max(np.abs(got - exact)))))  # fmt: skip
    n = max(x for x in sizes if x <= 1_000)
    fast = family.at("QuantLib QdFp fast: price alone, instrument kept", 1)
    family.facts.append((f"American price and all Greeks over QdFp-fast's price, n = {n:,}",
                         family.at(rows_[0].name, n) / fast, 1.3, False))  # fmt: skip
    family.facts.append(("us per American price and all Greeks", family.at(rows_[0].name, n) / 1e3, 25.0, False))
    family.facts.append(("American price error", error, 1e-7, False))
    return family


def _exercised_early(s: peers.Sample) -> peers.Sample:
    """Rows where early exercise is worth something: positive rates on the side that receives them."""
    keep = (np.where(s.right > 0, s.dividend_yield, s.rate) > 0.005) & (s.rate > 0.005)
    return peers.Sample(*(np.ascontiguousarray(column[keep]) for column in s))


def book_of(n: int, american_: bool, seed: int = 5) -> gpu.Book:
    """N distinct contracts on four underlyings, twelve expiries each, strikes within two standard deviations."""
    g = np.random.default_rng(seed)
    spot = np.array([75.0, 180.0, 740.0, 3760.0])
    expiries = np.array([3, 9, 16, 23, 30, 58, 86, 149, 240, 331, 394, 758]) / 365.0
    owner, years = g.integers(0, 4, n), g.choice(expiries, n)
    vol = g.uniform(0.15, 0.5, n)
    strike = spot[owner] * np.exp(g.uniform(-2.0, 2.0, n) * vol * np.sqrt(years))
    return gpu.Book(
        spot, strike, years, 0.03, np.array([0.0, 0.01, 0.0, 0.015])[owner], vol, g.choice([-1, 1], n),
        g.integers(1, 50, n) * g.choice([-1.0, 1.0], n), multiplier=100.0, underlying=owner, american=american_,
    )  # fmt: skip


def portfolio(bench: Bench) -> Family:
    """A 5,000-position book revalued on a 21 x 11 grid, now and after a day."""
    n, cells = 5_000, 21 * 11
    axes = {"spot_shocks": np.linspace(-0.2, 0.2, 21), "vol_shocks": np.linspace(-0.10, 0.15, 11)}
    rows, facts = [], []
    for name, style, days, target in (
        ("European book, 21 x 11", False, (0.0,), 25.0),
        ("European book, 21 x 11 and after a day", False, (0.0, 1.0), 50.0),
        ("American book, 21 x 11", True, (0.0,), 250.0),
        ("American book, 21 x 11 and after a day", True, (0.0, 1.0), 500.0),
    ):
        book, grid = book_of(n, style), gpu.Scenarios(days=days, **axes)
        result = gpu.portfolio_grid(book, grid, greeks=False)
        ns = peers.best_ns(_bound(lambda a: gpu.portfolio_grid(*a, greeks=False), (book, grid)), rounds=bench.rounds)
        gross = float(np.abs(book.series.weight) @ book.series.strike)
        note = f"{ns / 1e6:.2f} ms, {ns / (result.series * cells * len(days)):.2f} ns per series and cell"
        rows.append(Row(name, {n: ns / n}, float(result.error_bound.sum() / gross), note))
        facts.append((f"ms, {name}", ns / 1e6, target, False))
        print(f"  {name}", file=sys.stderr, flush=True)
    return Family("Portfolio, ns per position for the whole grid", "bound over the strikes held", rows, facts[::2])


def surface(bench: Bench) -> Family:
    """Volatility surface of a synthetic chain of 12 expiries (of the recorded one: ``benchmarks/surface.py``)."""
    from gpu.surface.calibrate import SurfaceChain, SurfaceFitter

    strike, years, right, bid, ask = synthetic_chain()
    fitter = SurfaceFitter(SurfaceChain(strike, years, right), 0.02)
    fitter.fit(bid, ask, 100.0)
    k, t = np.linspace(-0.3, 0.3, 1_000), np.linspace(0.05, 1.9, 1_000)
    rows, facts = [], []
    for name, call, target in (
        ("fit, cold", lambda: fitter.fit(bid, ask, 100.0), math.inf),
        ("refit from the last state", lambda: fitter.refit(bid, ask, 100.0, 0.0), 5e6),
        ("1,000 volatilities", lambda: fitter.surface.variance(k, t), 50e3),
    ):
        ns = peers.best_ns(call, rounds=bench.rounds)
        count = 1_000 if "1,000" in name else len(strike)
        rows.append(Row(name, {count: ns / count}, None, f"{ns / 1e3:,.1f} us in all"))
        if math.isfinite(target):
            facts.append((f"us, {name}", ns / 1e3, target / 1e3, False))
        print(f"  {name}", file=sys.stderr, flush=True)
    return Family(f"Surface of {len(strike):,} contracts, ns per contract or point", "", rows, facts)


def synthetic_chain() -> tuple[Any, ...]:
    """(strike, years, right, bid, ask) of 12 expiries around a skewed smile, spot 100, rate 2 %."""
    expiries = np.array([9, 16, 23, 30, 58, 86, 149, 177, 240, 331, 394, 758]) / 365.0
    rows = [(k, t, w) for t in expiries for k in np.arange(60.0, 150.0, 1.0) for w in (1.0, -1.0)]
    strike, years, right = (np.array(column) for column in zip(*rows, strict=True))
    z = np.log(strike / (100.0 * np.exp(0.02 * years))) / np.sqrt(years)
    vol = 0.22 - 0.05 * z + 0.04 * z * z / (1.0 + np.abs(z))
    price = gpu.price(100.0, strike, years, 0.02, vol, right).price
    half = 0.01 + 0.005 * price
    return strike, years, right, np.where(price > half, price - half, np.nan), price + half


def widths() -> dict[str, int]:
    """Bits of the widest vector arithmetic in each kernel's machine code."""
    from gpu.european.batch import forward_loop, spot_loop, spot_reduced_loop
    from gpu.implied import batch
    from gpu.maths.wide import vector_width
    from gpu.portfolio import premium, value

    n = 16
    one, states = np.ones(n), np.empty(n, np.uint8)

    def fresh(count: int) -> list[Any]:
        return [np.empty(n) for _ in range(count)]

    spot_loop(*(one.copy() for _ in range(7)), *fresh(14), states)
    spot_reduced_loop(*(one.copy() for _ in range(7)), *fresh(5), states)
    forward_loop(*(one.copy() for _ in range(6)), *fresh(14), states)
    batch._cold(*(one.copy() for _ in range(6)), states)
    value.cell_values(*(one.copy() for _ in range(8)), 1.0, 0.0, *fresh(1))
    premium.cell_values(*(one.copy() for _ in range(12)), 1.0, 1.0, 0.0, *(one.copy() for _ in range(4)), *fresh(1))
    kernels = {
        "price, 13 Greeks": spot_loop, "price, 4 Greeks": spot_reduced_loop, "Black-76, 13 Greeks": forward_loop,
        "implied volatility": batch._cold, "portfolio cell": value.cell_values,
        "American portfolio cell": premium.cell_values,
    }  # fmt: skip
    return {name: vector_width(kernel) for name, kernel in kernels.items()}


FAMILIES: dict[str, Callable[[Bench], Family]] = {
    "greeks": greeks, "implied": implied, "american": american, "portfolio": portfolio, "surface": surface,
}  # fmt: skip


def show(family: Family) -> None:
    """Print one table."""
    sizes = sorted({n for row in family.rows for n in row.ns})
    heads = ["", *(f"n = {n:,}" for n in sizes), "error" if family.error else "", ""]
    lines = [[row.name, *(row.ns.get(n) for n in sizes), row.error, row.note] for row in family.rows]
    print(f"\n{family.title}" + (f"; error: {family.error}" if family.error else ""))
    print(peers.table(heads, lines))


def verdicts(families: list[Family]) -> list[list[Any]]:
    """Each target, what was measured, and whether it holds."""
    rows = []
    for family in families:
        for what, measured, target, more in family.facts:
            if math.isnan(measured):
                rows.append([what, None, f"{'>=' if more else '<='} {target:g}", "not measured"])
            else:
                good = measured >= target if more else measured <= target
                rows.append([what, measured, f"{'>=' if more else '<='} {target:g}", "met" if good else "MISSED"])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(peers.SIZES))
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--quick", action="store_true", help="two rounds instead of five, sizes up to 10,000")
    parser.add_argument("--json", type=Path, help="keep the figures and the machine there")
    args = parser.parse_args()
    sizes = tuple(n for n in sorted(args.sizes) if not args.quick or n <= 10_000)
    bench = Bench(sizes, 2 if args.quick else 5)
    machine = peers.machine()
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    for line in peers.missing():
        print(line)
    families = []
    for name in args.only:
        families.append(FAMILIES[name](bench))
        show(families[-1])
    print("\nTargets (absolute ones are for a 2.6 GHz AVX-512 core)")
    print(peers.table(["", "measured", "target", ""], verdicts(families)))
    bits = widths()
    print("\nWidest vector arithmetic in the machine code: " + ", ".join(f"{k} {v} bits" for k, v in bits.items()))
    if args.json is not None:
        keep(args.json, machine, families, bits)


def keep(path: Path, machine: dict[str, str], families: list[Family], bits: dict[str, int]) -> None:
    """Write the figures as JSON."""
    document = {
        "taken": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine, "missing": peers.missing(),
        "families": [family._asdict() | {"rows": [row._asdict() for row in family.rows]} for family in families],
        "targets": verdicts(families), "vector_bits": bits,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"\nkept in {path}")


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"\n{time.perf_counter() - began:.0f} s")
