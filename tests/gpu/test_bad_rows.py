"""Every batch of the package against every kind of bad number, in every argument, one at a time.

What must hold for all of them: no exception and no warning; the documented status; NaN exactly where
the status says that there is no answer, finite numbers elsewhere; and the other rows bit for bit what
they are in a batch that never had the bad row.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import gpu
from gpu.american.batch import american_greeks, american_prices
from gpu.american.dividends import american_dividend_greeks
from gpu.american.implied import american_implied_vol
from gpu.european.bachelier import bachelier_greeks_batch, bachelier_reduced_batch
from gpu.european.batch import forward_greeks_batch, forward_reduced_batch, spot_greeks_batch, spot_reduced_batch
from gpu.european.chain_greeks import ChainGreeks
from gpu.european.dividends import dividend_greeks_batch
from gpu.european.table import GreeksTable
from gpu.implied.bachelier import bachelier_implied_vol_batch
from gpu.implied.batch import implied_vol_batch, implied_vol_warm
from gpu.implied.black import IvStatus
from gpu.implied.quotes import QuoteStatus, implied_quotes
from gpu.router.paths import RouterSettings
from gpu.router.router import GreeksRouter
from gpu.status import PriceStatus
from gpu.surface.calibrate import RowStatus, SliceStatus, SurfaceChain, SurfaceFitter

NAN, INF = math.nan, math.inf
OK, INTRINSIC, BAD = PriceStatus.OK, PriceStatus.INTRINSIC, PriceStatus.BAD_INPUT
N = 7
POSITIONS = (0, 3, N - 1)

#: Bad numbers by name; "negative" is taken times a plausible size of the argument.
NUMBERS = {
    "nan": NAN, "infinite": INF, "minus infinite": -INF, "zero": 0.0, "negative": -1.0, "denormal": 5e-324,
    "huge": 1e308,
}  # fmt: skip
RIGHTS = {"zero": 0.0, "two": 2.0, "minus three": -3.0}

Columns = dict[str, Any]


class Answer(NamedTuple):
    """What a batch said: outputs [rows, n], status [n]."""

    values: Any
    status: Any


class Batch(NamedTuple):
    """A batch under test."""

    name: str
    sound: Columns  # column -> float64[N] of sound numbers
    call: Callable[[Columns], Answer]
    expected: Callable[[str, str], set[int]]  # (column, kind of bad number) -> statuses that are right
    answered: frozenset[int]  # statuses with finite outputs; with every other the row is NaN


def spread(low: float, high: float) -> Any:
    return np.linspace(low, high, N)


RIGHT = np.where(np.arange(N) % 2 == 0, 1.0, -1.0)
SPOT: Columns = {
    "spot": np.full(N, 100.0), "strike": spread(85.0, 115.0), "years": spread(0.1, 1.3), "rate": spread(0.01, 0.05),
    "dividend_yield": spread(0.0, 0.03), "vol": spread(0.15, 0.4), "right": RIGHT,
}  # fmt: skip
FORWARD: Columns = {
    "forward": np.full(N, 100.0), **{name: SPOT[name] for name in ("strike", "years", "rate", "vol", "right")}
}  # fmt: skip
NORMAL: Columns = {**FORWARD, "vol": spread(20.0, 40.0)}


def priced(column: str, kind: str, positive: tuple[str, ...] = ("spot", "forward", "strike")) -> set[int]:
    """Statuses of the pricing batches."""
    if kind in ("nan", "infinite", "minus infinite", "huge") or column == "right":
        return {BAD}
    if column in ("years", "vol"):
        return {INTRINSIC}
    if column in positive:
        return {BAD}
    return {OK}


def anywhere(column: str, kind: str) -> set[int]:
    """As :func:`priced` where forward and strike may have any sign."""
    return priced(column, kind, ())


def filled(kernel: Any, rows: int, right: Any = np.float64, **options: Any) -> Callable[[Columns], Answer]:
    """A kernel of columns, an ``out`` of so many rows (0: one dimension) and a status."""

    def call(columns: Columns) -> Answer:
        n = len(columns["right"])
        arrays = [x.astype(right if name == "right" else np.float64) for name, x in columns.items()]
        out, status = np.full((rows, n) if rows else n, 7.0), np.full(n, 99, np.uint8)
        kernel(*arrays, out, status, **options)
        return Answer(np.atleast_2d(out), status)

    return call


def chain_greeks(columns: Columns) -> Answer:
    rest = {name: x for name, x in columns.items() if name != "spot"}
    chain = ChainGreeks(len(columns["right"]))
    chain.load(*rest.values())
    out = np.empty((14, len(columns["right"])))
    chain.move(100.0, out)
    return Answer(out, chain.status.copy())


def table_greeks(columns: Columns) -> Answer:
    table = GreeksTable(len(columns["right"]))
    for name, x in columns.items():
        getattr(table, name)[:] = x
    table.refresh()
    return Answer(np.array(table.out), np.array(table.status))


def routed(columns: Columns) -> Answer:
    n = len(columns["right"])
    router = GreeksRouter(n, settings=RouterSettings(device="cpu"))
    try:
        router.load(*(x for name, x in columns.items() if name != "spot"))
        out = np.array(router.refresh(100.0))[:, :n]
    finally:
        router.close()
    # It has no status: NaN says it.
    return Answer(out, np.where(np.isnan(out[0]), int(BAD), int(OK)).astype(np.uint8))


def with_dividends(columns: Columns) -> Answer:
    n = len(columns["right"])
    out, status = np.full((14, n), 7.0), np.full(n, 99, np.uint8)
    dates, amounts = np.array([0.3, 0.8]), np.array([1.0, 1.5])
    dividend_greeks_batch(*(x.astype(np.float64) for x in columns.values()), dates, amounts, True, out, status)
    return Answer(out, status)


def american_with_dividends(columns: Columns) -> Answer:
    n = len(columns["right"])
    out, status = np.full((11, n), 7.0), np.full(n, 99, np.uint8)
    arrays = [x.astype(np.int8 if name == "right" else np.float64) for name, x in columns.items()]
    dates, amounts = np.array([0.3, 0.8]), np.array([1.0, 1.5])
    american_dividend_greeks(*arrays, amounts, dates, out, status, nodes=64, all_greeks=False)
    return Answer(out[[0, 1, 2, 4, 8]], status)


PRICED = frozenset({int(OK), int(INTRINSIC)})


def from_price(column: str, kind: str, positive: tuple[str, ...] = ("forward", "spot", "strike")) -> set[int]:
    """Statuses of the implied volatilities."""
    iv = IvStatus
    if column == "last_vol":  # any number will do
        return {iv.OK}
    if kind in ("nan", "infinite", "minus infinite") or column == "right":
        return {iv.BAD_INPUT}
    if column == "price":
        return {
            "zero": {iv.NO_TIME_VALUE, iv.BELOW_INTRINSIC}, "denormal": {iv.NO_TIME_VALUE, iv.BELOW_INTRINSIC},
            "negative": {iv.BELOW_INTRINSIC}, "huge": {iv.ABOVE_MAXIMUM, iv.BAD_INPUT},
        }[kind]  # fmt: skip
    if column in ("years", "discount", *positive) and kind in ("zero", "negative"):
        return {iv.BAD_INPUT}
    if kind in ("zero", "negative"):  # a rate or a yield: the price may be too low or too high for it
        return {iv.OK, iv.BELOW_INTRINSIC, iv.ABOVE_MAXIMUM}
    return set(iv)  # denormal and huge: whatever they stand for, if it is an answer it is a number


def from_normal_price(column: str, kind: str) -> set[int]:
    """In Bachelier's model no price is too high, forward and strike have any sign."""
    if column == "price" and kind == "huge":
        return {IvStatus.OK, IvStatus.BAD_INPUT}
    if column in ("forward", "strike"):
        strange = kind in ("nan", "infinite", "minus infinite")
        return {IvStatus.BAD_INPUT} if strange else set(IvStatus)
    return from_price(column, kind)


def implied_columns(american: bool = False, normal: bool = False) -> Columns:
    """Sound prices of options near and out of the money."""
    if american:
        terms = {name: SPOT[name] for name in ("spot", "strike", "years", "rate", "dividend_yield", "right")}
        price = gpu.american_price(**terms, vol=SPOT["vol"]).price
        return {"price": price, **terms}
    terms = {name: FORWARD[name] for name in ("forward", "strike", "years", "right")}
    model, vol = (gpu.bachelier_price, NORMAL["vol"]) if normal else (gpu.black76_price, FORWARD["vol"])
    undiscounted = model(**terms, rate=0.0, vol=vol).price
    discount = np.exp(-FORWARD["rate"] * FORWARD["years"])
    return {
        "price": undiscounted * discount, "forward": terms["forward"], "strike": terms["strike"],
        "years": terms["years"], "discount": discount, "right": terms["right"],
    }  # fmt: skip


def warm(columns: Columns) -> Answer:
    n = len(columns["right"])
    out, status = np.full(n, 7.0), np.full(n, 99, np.uint8)
    arrays = [x.astype(np.int8 if name == "right" else np.float64) for name, x in columns.items()]
    implied_vol_warm(*arrays, out, status)
    return Answer(out[None, :], status)


def american_warm(columns: Columns) -> Answer:
    n = len(columns["right"])
    out, status = np.full(n, 7.0), np.full(n, 99, np.uint8)
    arrays = {k: np.ascontiguousarray(x, np.int8 if k == "right" else np.float64) for k, x in columns.items()}
    last = arrays.pop("last_vol")
    american_implied_vol(*arrays.values(), out, status, last)
    return Answer(out[None, :], status)


def vols(found: Any) -> Answer:
    return Answer(found.vol[None, :], found.status)


def by_rate(columns: Columns, normal: bool = False) -> Columns:
    """The same with a rate in place of the discount factor, as the api takes it."""
    terms = {name: x for name, x in columns.items() if name != "discount"}
    return {**terms, "rate": FORWARD["rate"]}


FOUND = frozenset({int(IvStatus.OK)})
BLACK_PRICES, NORMAL_PRICES = implied_columns(), implied_columns(normal=True)
AMERICAN_PRICES = implied_columns(american=True)
SPOT_PRICES = {
    "price": gpu.price(**SPOT).price, **{k: SPOT[k] for k in SPOT if k != "vol"},
}  # fmt: skip


def routed_status(column: str, kind: str) -> set[int]:
    return {BAD if status == BAD else OK for status in priced(column, kind)}


def api(function: Any, answer: Callable[[Any], Answer]) -> Callable[[Columns], Answer]:
    return lambda columns: answer(function(**columns))


def whole(greeks: Any) -> Answer:
    return Answer(greeks.values, greeks.status)


def alone(prices: Any) -> Answer:
    return Answer(prices.price[None, :], prices.status)


BATCHES = [
    Batch("spot_greeks_batch", SPOT, filled(spot_greeks_batch, 14), priced, PRICED),
    Batch("spot_greeks_batch, int8 right", SPOT, filled(spot_greeks_batch, 14, np.int8), priced, PRICED),
    Batch("spot_reduced_batch", SPOT, filled(spot_reduced_batch, 5), priced, PRICED),
    Batch("forward_greeks_batch", FORWARD, filled(forward_greeks_batch, 14), priced, PRICED),
    Batch("forward_reduced_batch", FORWARD, filled(forward_reduced_batch, 5), priced, PRICED),
    Batch("bachelier_greeks_batch", NORMAL, filled(bachelier_greeks_batch, 14), anywhere, PRICED),
    Batch("bachelier_reduced_batch", NORMAL, filled(bachelier_reduced_batch, 5), anywhere, PRICED),
    Batch("dividend_greeks_batch", SPOT, with_dividends, priced, PRICED),
    Batch("ChainGreeks", {k: v for k, v in SPOT.items() if k != "spot"}, chain_greeks, priced, PRICED),
    Batch("GreeksTable", SPOT, table_greeks, priced, PRICED),
    Batch("GreeksRouter on the CPU", {k: v for k, v in SPOT.items() if k != "spot"}, routed, routed_status, PRICED),
    Batch("american_greeks", SPOT, filled(american_greeks, 11, np.int8), priced, PRICED),
    Batch("american_prices", SPOT, filled(american_prices, 0, np.int8), priced, PRICED),
    Batch("american_dividend_greeks", SPOT, american_with_dividends, priced, PRICED),
    Batch("implied_vol_batch", BLACK_PRICES, filled(implied_vol_batch, 0, np.int8), from_price, FOUND),
    Batch("implied_vol_warm", {**BLACK_PRICES, "last_vol": 1.005 * FORWARD["vol"]}, warm, from_price, FOUND),
    Batch(
        "bachelier_implied_vol_batch",
        NORMAL_PRICES,
        filled(bachelier_implied_vol_batch, 0, np.int8),
        from_normal_price,
        FOUND,
    ),
    Batch("american_implied_vol", AMERICAN_PRICES, filled(american_implied_vol, 0, np.int8), from_price, FOUND),
    Batch(
        "american_implied_vol, warm",
        {**AMERICAN_PRICES, "last_vol": 1.01 * SPOT["vol"]},
        american_warm,
        from_price,
        FOUND,
    ),
    Batch("gpu.implied_vol", SPOT_PRICES, api(gpu.implied_vol, vols), from_price, FOUND),
    Batch("gpu.black76_implied_vol", by_rate(BLACK_PRICES), api(gpu.black76_implied_vol, vols), from_price, FOUND),
    Batch(
        "gpu.bachelier_implied_vol",
        by_rate(NORMAL_PRICES),
        api(gpu.bachelier_implied_vol, vols),
        from_normal_price,
        FOUND,
    ),
    Batch("gpu.american_implied_vol", AMERICAN_PRICES, api(gpu.american_implied_vol, vols), from_price, FOUND),
    Batch("gpu.price", SPOT, api(gpu.price, alone), priced, PRICED),
    Batch("gpu.greeks", SPOT, api(gpu.greeks, whole), priced, PRICED),
    Batch("gpu.black76_price", FORWARD, api(gpu.black76_price, alone), priced, PRICED),
    Batch("gpu.black76_greeks", FORWARD, api(gpu.black76_greeks, whole), priced, PRICED),
    Batch("gpu.bachelier_price", NORMAL, api(gpu.bachelier_price, alone), anywhere, PRICED),
    Batch("gpu.bachelier_greeks", NORMAL, api(gpu.bachelier_greeks, whole), anywhere, PRICED),
    Batch("gpu.american_price", SPOT, api(gpu.american_price, alone), priced, PRICED),
    Batch("gpu.american_greeks", SPOT, api(gpu.american_greeks, whole), priced, PRICED),
]


def bad_cells(batch: Batch) -> list[tuple[str, str, float]]:
    cells = []
    for column, sound in batch.sound.items():
        for kind, number in (RIGHTS if column == "right" else NUMBERS).items():
            size = float(np.mean(np.abs(sound))) if kind == "negative" else 1.0
            cells.append((column, kind, number * size))
    return cells


def same_bits(a: Any, b: Any) -> bool:
    return bool(np.array_equal(np.ascontiguousarray(a).view(np.uint8), np.ascontiguousarray(b).view(np.uint8)))


def check(batch: Batch) -> list[str]:
    """Every violation, as a line; empty is right."""
    faults = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        everybody = batch.call(batch.sound)
        assert np.all(everybody.status == 0), everybody.status
        assert np.all(np.isfinite(everybody.values))
        without = {
            position: batch.call({name: np.delete(x, position) for name, x in batch.sound.items()})
            for position in POSITIONS
        }
        for column, kind, number in bad_cells(batch):
            where = f"{batch.name}: {kind} {column} ({number!r})"
            for position in POSITIONS:
                columns = {name: x.copy() for name, x in batch.sound.items()}
                columns[column][position] = number
                try:
                    got = batch.call(columns)
                except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
                    faults.append(f"{where} raised {error!r}")
                    break
                status, row = int(got.status[position]), got.values[:, position]
                right = sorted(map(int, batch.expected(column, kind)))
                if status not in right:
                    faults.append(f"{where} has status {status}, right is {right}")
                    break
                if status in batch.answered and not np.all(np.isfinite(row)):
                    faults.append(f"{where} has status {status} and an output that is not finite: {row}")
                    break
                if status not in batch.answered and not np.all(np.isnan(row)):
                    faults.append(f"{where} has status {status} and an output that is not NaN: {row}")
                    break
                left, reasons = np.delete(got.values, position, axis=1), np.delete(got.status, position)
                before = without[position]
                if not (same_bits(left, before.values) and np.array_equal(reasons, before.status)):
                    faults.append(f"{where} at row {position} changed another row")
                    break
    return faults


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: batch.name)
def test_a_bad_number_is_confined_to_its_row(batch):
    assert check(batch) == []


# Quotes of a chain, a surface, a book: what is not a row of columns


def quote_columns() -> Columns:
    terms = {name: FORWARD[name] for name in ("forward", "strike", "years", "rate", "vol")}
    call, put = (gpu.black76_price(**terms, right=right).price for right in (1, -1))
    discount = np.exp(-FORWARD["rate"] * FORWARD["years"])
    return {
        "call_bid": 0.99 * call, "call_ask": 1.01 * call, "put_bid": 0.99 * put, "put_ask": 1.01 * put,
        "forward": FORWARD["forward"], "discount": discount, "strikes": FORWARD["strike"], "years": FORWARD["years"],
    }  # fmt: skip


def quoted(column: str, kind: str, read: bool) -> set[int]:
    """Status of a strike; ``read``: the bad quote is of the option out of the money."""
    q = QuoteStatus
    if column in ("forward", "discount", "strikes", "years"):
        if kind in ("denormal", "huge"):
            return set(q)
        return {q.BAD_INPUT}
    if not read:
        return {q.OK}
    if kind == "denormal":
        return {q.NO_VOL} if column.endswith("bid") else {q.CROSSED}
    if kind == "huge":
        return {q.CROSSED} if column.endswith("bid") else {q.NO_VOL}
    return {q.NO_BID} if column.endswith("bid") else {q.NO_ASK}


def test_a_bad_quote_is_confined_to_its_strike():
    sound = quote_columns()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for position in POSITIONS:
            without = implied_quotes(**{name: np.delete(x, position) for name, x in sound.items()})
            assert np.all(without.status == QuoteStatus.OK)
            out = "call" if sound["strikes"][position] >= 100.0 else "put"
            for column, kind, number in bad_cells(Batch("quotes", sound, alone, priced, PRICED)):
                columns = {name: x.copy() for name, x in sound.items()}
                columns[column][position] = number
                got = implied_quotes(**columns)
                assert got.status[position] in quoted(column, kind, column.startswith(out)), (column, kind, position)
                for ours, theirs in zip(got, without, strict=True):
                    assert same_bits(np.delete(ours, position), theirs), (column, kind, position)


STRIKES, EXPIRIES = np.arange(80.0, 121.0, 5.0), np.array([0.05, 0.25, 1.0])


def surface_chain() -> tuple[Columns, Any, Any]:
    """Contracts and their quotes, calls and puts in turn."""
    years, strike, right = (x.ravel() for x in np.meshgrid(EXPIRIES, STRIKES, [1.0, -1.0], indexing="ij"))
    vol = 0.2 + 0.1 * np.log(strike / 100.0) ** 2
    price = gpu.price(100.0, strike, years, 0.02, vol, right).price
    half = 0.01 + 0.002 * price
    return {"strike": strike, "years": years, "right": right}, price - half, price + half


def fitted(contracts: Columns, bid: Any, ask: Any) -> tuple[Any, SurfaceFitter]:
    chain = SurfaceChain(contracts["strike"], contracts["years"], contracts["right"])
    fitter = SurfaceFitter(chain, 0.02)
    fitter.fit(bid, ask, 100.0)
    return fitter.surface.nodes.copy(), fitter


UNUSABLE = [
    ("nan", NAN, NAN, {RowStatus.NO_QUOTE}), ("no bid", NAN, None, {RowStatus.NO_QUOTE}),
    ("no ask", None, NAN, {RowStatus.NO_QUOTE}), ("infinite ask", None, INF, {RowStatus.NO_QUOTE}),
    ("infinite", INF, INF, {RowStatus.NO_QUOTE}), ("minus infinite bid", -INF, None, {RowStatus.NO_QUOTE}),
    ("zero bid", 0.0, None, {RowStatus.NO_QUOTE}), ("zero", 0.0, 0.0, {RowStatus.NO_QUOTE}),
    ("negative", -1.0, -0.5, {RowStatus.NO_QUOTE}), ("absurd", 1e308, 1e308, {RowStatus.NO_QUOTE}),
]  # fmt: skip


@pytest.mark.parametrize(("bid", "ask", "statuses"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE])
def test_an_unusable_quote_is_to_a_surface_as_if_it_were_absent(bid, ask, statuses):
    contracts, bids, asks = surface_chain()
    row = 2 * len(STRIKES) + 4 * 2 + 6  # a call out of the money of the second expiry
    assert contracts["strike"][row] > 100.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        absent = bids.copy(), asks.copy()
        absent[0][row] = absent[1][row] = NAN
        expected, _ = fitted(contracts, *absent)
        if bid is not None:
            bids[row] = bid
        if ask is not None:
            asks[row] = ask
        nodes, fitter = fitted(contracts, bids, asks)
    assert fitter.row_status[row] in statuses
    assert same_bits(nodes, expected)


def test_a_crossed_quote_has_its_status_and_the_surface_stands():
    contracts, bids, asks = surface_chain()
    row = 2 * len(STRIKES) + 4 * 2 + 6
    bids[row], asks[row] = asks[row], bids[row]
    nodes, fitter = fitted(contracts, bids, asks)
    assert fitter.row_status[row] == RowStatus.CROSSED
    assert np.all(np.isfinite(nodes))


@pytest.mark.parametrize("column", ["strike", "years", "right"])
def test_a_bad_contract_is_to_a_surface_as_if_it_were_absent(column):
    contracts, bids, asks = surface_chain()
    row = 2 * len(STRIKES) + 4 * 2 + 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected, _ = fitted(
            {k: np.delete(x, row) for k, x in contracts.items()}, np.delete(bids, row), np.delete(asks, row)
        )
        for number in (
            (0.0, 2.0) if column == "right" else (NAN, INF, -INF) + ((0.0, -5.0) if column == "strike" else ())
        ):
            changed = {name: x.copy() for name, x in contracts.items()}
            changed[column][row] = number
            nodes, fitter = fitted(changed, bids, asks)
            assert fitter.row_status[row] == RowStatus.BAD_ROW, number
            assert same_bits(nodes, expected), number


def test_empty_expired_short_and_single_expiries_have_their_status():
    contracts, bids, asks = surface_chain()
    minute, gone = 60.0 / (365 * 86400), -0.1
    columns = {name: np.concatenate((x, x[-6:])) for name, x in contracts.items()}
    columns["years"][-6:] = np.repeat([0.5, minute, gone], 2)
    columns["strike"][-6:], columns["right"][-6:] = 100.0, np.tile([1.0, -1.0], 3)
    bid = np.concatenate((bids, [NAN, NAN, 0.01, 0.01, 1.0, 1.0]))
    ask = np.concatenate((asks, [NAN, NAN, 0.03, 0.03, 1.1, 1.1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected, _ = fitted(contracts, bids, asks)
        nodes, fitter = fitted(columns, bid, ask)
        assert same_bits(nodes[np.isin(nodes[:, 0], expected[:, 0])], expected)
        statuses = {report.years: report.status for report in fitter.fit(bid, ask, 100.0).expiries}
        assert statuses[0.5] == SliceStatus.NO_QUOTES
        assert statuses[minute] == SliceStatus.TOO_SHORT
        assert statuses[gone] == SliceStatus.EXPIRED
        one = columns["strike"] == 100.0
        alone_nodes, _ = fitted({name: x[one] for name, x in columns.items()}, bid[one], ask[one])
        assert np.all(np.isfinite(alone_nodes))


def test_a_surface_answers_nan_to_nonsense_and_the_same_to_the_rest():
    contracts, bids, asks = surface_chain()
    surface = fitted(contracts, bids, asks)[1].surface
    k, years = spread(-0.3, 0.3), spread(0.03, 1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for position in POSITIONS:
            for which in (0, 1):
                for kind, number in NUMBERS.items():
                    given = [k.copy(), years.copy()]
                    given[which][position] = number
                    got = np.array(surface.terms(*given))
                    without = np.array(surface.terms(np.delete(k, position), np.delete(years, position)))
                    assert same_bits(np.delete(got, position, axis=1), without), (which, kind)
                    if kind in ("nan", "infinite", "minus infinite") or (which == 1 and kind == "negative"):
                        assert np.all(np.isnan(got[:, position])), (which, kind, got[:, position])


BOOK: Columns = {name: x for name, x in SPOT.items() if name != "spot"}


@pytest.mark.parametrize("column", [*BOOK, "quantity"])
def test_a_bad_position_is_confined_to_its_underlying_or_left_out_when_asked(column):
    columns = {**BOOK, "quantity": spread(-5.0, 7.0)}
    owner = np.array([0, 0, 0, 1, 1, 1, 1])
    scenarios = gpu.Scenarios(spot_shocks=(-0.1, 0.0, 0.1), vol_shocks=(-0.02, 0.0, 0.02), days=(0, 7))

    def grid(positions: Columns, underlying: Any, skip_bad: bool) -> Any:
        return gpu.portfolio_grid(
            gpu.Book([100.0, 100.0], **positions, underlying=underlying), scenarios, skip_bad=skip_bad
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole_book = grid(columns, owner, False)
        for kind, number in (
            RIGHTS if column == "right" else {"nan": NAN, "infinite": INF, "minus infinite": -INF}
        ).items():
            for position in POSITIONS:
                bad = {name: x.copy() for name, x in columns.items()}
                bad[column][position] = number
                got = grid(bad, owner, False)
                mine = owner[position]
                assert got.status[position] == BAD, (kind, position)
                assert got.bad.tolist() == [position]
                assert np.all(np.isnan(got.pnl))
                assert np.all(np.isnan(got.by_underlying[mine]))
                assert same_bits(got.by_underlying[1 - mine], whole_book.by_underlying[1 - mine])
                less = grid({k: np.delete(x, position) for k, x in columns.items()}, np.delete(owner, position), False)
                left = grid(bad, owner, True)
                assert same_bits(left.pnl, less.pnl), (kind, position)
                assert same_bits(left.greeks, less.greeks), (kind, position)
