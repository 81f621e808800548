"""``axiom greeks``: a recorded chain at one minute, as forwards, implied volatilities and Greeks.

Per expiry the forward (and, for European options, the discount) comes from put-call parity. A strike's
volatility is implied from its option out of the money, whose price is all time value, and is shared
with the one in the money. American chains are priced, and their volatilities implied, with early exercise.
"""

import csv
import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import typer

from engine.cli.chainfile import DEFAULT_AT, ChainSnapshot, load_chain
from engine.cli.exits import CliError, ExitCode
from engine.cli.output import emit_json, stdout
from engine.cli.profile import JsonOption

F8: TypeAlias = npt.NDArray[np.float64]

_ROUNDS = 5  # timed runs; the fastest counts, the first one also compiles
_NO_QUOTE = "NO_QUOTE"
_PARITY = 0  # ForwardStatus: measured, not carried from the spot
_YIELD_ERROR = 0.05  # one sd per year: a cent over two hours is no yield


class ChainGreeks(NamedTuple):
    """Every contract of a snapshot with its numbers; arrays [n] in the snapshot's order."""

    forward: F8
    discount: F8
    dividend_yield: F8
    rate: F8
    vol: F8
    names: tuple[str, ...]  # rows of ``values``, lower case
    values: F8  # [rows, n]
    status: tuple[str, ...]  # [n] OK, NO_QUOTE, a name of IvStatus or of PriceStatus
    expiries: Any  # ParityCurve
    implied_s: float
    greeks_s: float


def greeks(
    chain: Annotated[Path, typer.Option("--chain", help="Recorded quotes of a chain (zip of minute bars).")],
    at: Annotated[str, typer.Option("--at", help="Minute, New York time, HH:MM.")] = DEFAULT_AT,
    spot: Annotated[float | None, typer.Option("--spot", help="Spot instead of the file's.")] = None,
    rate: Annotated[
        float, typer.Option("--rate", min=-0.5, max=1.0, help="Funding rate per year, continuous; parity refines it.")
    ] = 0.0,
    expiry: Annotated[
        list[str] | None, typer.Option("--expiry", help="Only this expiry, YYYY-MM-DD; may be repeated.")
    ] = None,
    strikes: Annotated[int, typer.Option("--strikes", min=1, max=500, help="Strikes shown around the money.")] = 11,
    as_csv: Annotated[bool, typer.Option("--csv", help="All contracts and all Greeks as CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Forwards, implied volatilities and Greeks of a recorded chain."""
    snapshot = load_chain(chain, at, spot)
    shown = _chosen(snapshot, expiry)
    answer = analyse(snapshot, rate)
    if as_json:
        emit_json({"ok": True, "result": document(snapshot, answer, shown)})
    elif as_csv:
        stdout().print(csv_text(snapshot, answer, shown), markup=False, soft_wrap=True, end="")
    else:
        _print(snapshot, answer, shown, strikes)


def _chosen(snapshot: ChainSnapshot, wanted: list[str] | None) -> list[int]:
    """Expiries to show [ns]; those that have passed are left out unless asked for."""
    days = {f"{snapshot.expiry_day(int(ns)):%Y-%m-%d}": int(ns) for ns in snapshot.expiries}
    if not wanted:
        return [ns for ns in days.values() if ns > snapshot.at_ns]
    for day in wanted:
        if day not in days:
            raise CliError(ExitCode.NOT_FOUND, f"{snapshot.path}: no expiry on {day!r}; it has {', '.join(days)}")
    return [days[day] for day in wanted]


def analyse(snapshot: ChainSnapshot, rate: float) -> ChainGreeks:
    """Forwards, volatilities and Greeks of all contracts; nothing raises on quotes."""
    import gpu
    from gpu.surface.forwards.parity_american import pooled_yields

    s = snapshot
    curve = gpu.forward_from_parity(s.strike, s.years, s.right, s.bid, s.ask, s.spot, rate, american=s.american)
    at = np.clip(np.searchsorted(curve.years, s.years), 0, len(curve.years) - 1) if len(curve.years) else None
    if at is None:
        raise CliError(ExitCode.ERROR, f"{s.path}: every contract has expired at {s.at}; give an earlier --at")
    live = curve.years[at] == s.years
    # A cent on the forward of an option of today is a yield that would make calls worth exercising.
    yields = pooled_yields(curve) if s.american else curve.dividend_yield
    forward, discount, carry, rates = (
        np.where(live, column[at], np.nan) for column in (curve.forward, curve.discount, yields, curve.rate)
    )
    with np.errstate(invalid="ignore"):
        mid = np.where((s.bid > 0.0) & (s.ask >= s.bid), 0.5 * (s.bid + s.ask), np.nan)
    if s.american:
        imply = partial(gpu.american_implied_vol, mid, s.spot, s.strike, s.years, rates, s.right, carry)
    else:
        imply = partial(gpu.black76_implied_vol, mid, forward, s.strike, s.years, rates, s.right)
    implied, implied_s = _timed(imply)
    vol, iv_status = _shared(s, forward, implied)
    model = gpu.american_greeks if s.american else gpu.greeks
    result, greeks_s = _timed(partial(model, s.spot, s.strike, s.years, rates, vol, s.right, carry))
    names = tuple(name for name in result._fields if name not in ("status", "values"))
    return ChainGreeks(
        forward, discount, carry, rates, vol, names, result.values, _statuses(mid, iv_status, result.status), curve,
        implied_s, greeks_s,
    )  # fmt: skip


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """(result, seconds of the fastest of a few runs)."""
    best, result = float("inf"), None
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - began)
    return result, best


def _shared(s: ChainSnapshot, forward: F8, implied: Any) -> tuple[F8, npt.NDArray[np.uint8]]:
    """Each contract's volatility: that of its strike's option out of the money, else its own."""
    from gpu import IvStatus

    vol, status = implied.vol.copy(), implied.status.copy()
    same = np.zeros(s.count, np.int64) - 1  # the other right of the same strike and expiry
    pair = (s.strike[1:] == s.strike[:-1]) & (s.expiry_ns[1:] == s.expiry_ns[:-1])
    first = np.flatnonzero(pair)
    same[first], same[first + 1] = first + 1, first
    with np.errstate(invalid="ignore"):
        inside = s.right * (forward - s.strike) > 0.0
    has = same >= 0
    other = np.where(has, same, 0)
    better = has & (inside | (status != IvStatus.OK)) & (implied.status[other] == IvStatus.OK)
    vol[better] = implied.vol[other[better]]
    status[better] = int(IvStatus.OK)
    return vol, status


def _statuses(mid: F8, implied: npt.NDArray[np.uint8], priced: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """One word per contract: the first thing that went wrong, or OK."""
    from gpu import IvStatus, PriceStatus

    words = []
    for price, iv, status in zip(mid.tolist(), implied.tolist(), priced.tolist(), strict=True):
        if iv != IvStatus.OK:
            words.append(_NO_QUOTE if price != price else IvStatus(iv).name)
        else:
            words.append(PriceStatus(status).name)
    return tuple(words)


def counts(words: tuple[str, ...]) -> dict[str, int]:
    """How many contracts have which status, OK first, the others by name."""
    found = sorted(set(words), key=lambda word: (word != "OK", word))
    return {word: words.count(word) for word in found}


def document(s: ChainSnapshot, a: ChainGreeks, shown: list[int]) -> dict[str, Any]:
    """All of it as plain values; NaN as null."""
    rows = [row for row in range(s.count) if int(s.expiry_ns[row]) in shown]
    return {
        "symbol": s.symbol, "day": s.day.isoformat(), "at": s.at, "style": "american" if s.american else "european",
        "spot": s.spot, "spot_source": s.spot_source, "contracts": s.count, "status": counts(a.status),
        "seconds": {"implied_vol": a.implied_s, "greeks": a.greeks_s},
        "options_per_us": {"implied_vol": _per_us(s.count, a.implied_s), "greeks": _per_us(s.count, a.greeks_s)},
        "expiries": [_expiry(s, a, ns) for ns in shown],
        "options": [_contract(s, a, row) for row in rows],
    }  # fmt: skip


def _expiry(s: ChainSnapshot, a: ChainGreeks, ns: int) -> dict[str, Any]:
    row = int(np.flatnonzero(s.expiry_ns == ns)[0])
    numbers = {
        "years": s.years[row], "forward": a.forward[row], "discount": a.discount[row], "rate": a.rate[row],
        "dividend_yield": a.dividend_yield[row],
    }  # fmt: skip
    return {"expiry": s.expiry_day(ns).isoformat(), **{name: _plain(value) for name, value in numbers.items()}}


def _contract(s: ChainSnapshot, a: ChainGreeks, row: int) -> dict[str, Any]:
    return {
        "symbol": s.symbols[row], "expiry": s.expiry_day(int(s.expiry_ns[row])).isoformat(),
        "strike": float(s.strike[row]), "right": "call" if s.right[row] > 0 else "put",
        "bid": _plain(s.bid[row]), "ask": _plain(s.ask[row]), "status": a.status[row], "vol": _plain(a.vol[row]),
        **{name: _plain(a.values[k, row]) for k, name in enumerate(a.names)},
    }  # fmt: skip


def _plain(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def _per_us(count: int, seconds: float) -> float:
    return count / (1e6 * seconds) if seconds > 0.0 else 0.0


def csv_text(s: ChainSnapshot, a: ChainGreeks, shown: list[int]) -> str:
    """A heading and one line per contract; nothing where there is no number."""
    out = io.StringIO()
    rows = [_contract(s, a, row) for row in range(s.count) if int(s.expiry_ns[row]) in shown]
    writer = csv.DictWriter(out, list(rows[0]) if rows else ["symbol"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _print(s: ChainSnapshot, a: ChainGreeks, shown: list[int], strikes: int) -> None:
    console = stdout()
    style = "American" if s.american else "European"
    console.print(
        f"{s.symbol} {s.day} {s.at} New York, {s.count:,} {style} contracts, spot {s.spot:,.2f} ({s.spot_source})",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    for ns in shown:
        console.print(_table(s, a, ns, strikes, console.width))
    words = ", ".join(f"{name} {count:,}" for name, count in counts(a.status).items())
    console.print(f"status: {words}", markup=False, soft_wrap=True)
    speeds = ", ".join(
        f"{what} {1e3 * seconds:.3g} ms ({_per_us(s.count, seconds):.3g} options per us)"
        for what, seconds in (
            ("implied volatilities", a.implied_s),
            (f"price and {len(a.names) - 1} Greeks", a.greeks_s),
        )
    )
    console.print(speeds, markup=False, soft_wrap=True)


def _table(s: ChainSnapshot, a: ChainGreeks, ns: int, strikes: int, width: int) -> Any:
    """Strikes around the forward: calls on the left, what both share in the middle, puts on the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    here = np.flatnonzero(s.expiry_ns == ns)
    forward = a.forward[here[0]]
    levels = np.unique(s.strike[here])
    centre = int(np.argmin(np.abs(levels - (forward if np.isfinite(forward) else s.spot))))
    low = max(0, min(centre - strikes // 2, len(levels) - strikes))
    table = Table(
        title=_title(s, a, ns), title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD,
        pad_edge=False,
    )  # fmt: skip
    columns = [column for column in _COLUMNS if column.least_width <= width]
    for column in columns:
        style = "bold" if column.head == "strike" else ""
        table.add_column(column.head, justify="right", style=style, no_wrap=True)
    for strike in levels[low : low + strikes]:
        rows = {right: _row(s, here, strike, right) for right in (1, -1)}
        rows[0] = rows[1] if rows[-1] < 0 or (rows[1] >= 0 and a.status[rows[1]] == "OK") else rows[-1]
        cells = [_shown(s, a, column, rows[column.right]) for column in columns]
        table.add_row(*cells, style="reverse" if strike == levels[centre] else "")
    return table


class _Column(NamedTuple):
    """A column of the table: whose row it shows (+1 call, -1 put, 0 either), what, in which scale, from which width."""

    head: str
    right: int
    name: str
    scale: float = 1.0
    least_width: int = 0


_NARROW, _MIDDLE = 110, 150  # columns of a terminal from which on there is room for more
_COLUMNS = (
    _Column("C bid", 1, "bid"), _Column("C ask", 1, "ask"), _Column("C delta", 1, "delta"),
    _Column("C theta/d", 1, "theta", 1 / 365.0, _NARROW), _Column("strike", 0, "strike"),
    _Column("vol %", 0, "vol", 100.0), _Column("gamma", 0, "gamma", 1.0, _NARROW),
    _Column("vega/pt", 0, "vega", 0.01, _NARROW), _Column("vanna/pt", 0, "vanna", 0.01, _MIDDLE),
    _Column("volga/pt2", 0, "volga", 1e-4, _MIDDLE), _Column("P delta", -1, "delta"),
    _Column("P theta/d", -1, "theta", 1 / 365.0, _NARROW), _Column("P bid", -1, "bid"), _Column("P ask", -1, "ask"),
)  # fmt: skip


def _shown(s: ChainSnapshot, a: ChainGreeks, column: _Column, row: int) -> str:
    if row < 0:
        return "-"
    if column.name == "strike":
        return f"{s.strike[row]:g}"
    sides = {"bid": s.bid, "ask": s.ask, "vol": a.vol}
    values = sides[column.name] if column.name in sides else a.values[a.names.index(column.name)]
    digits = _price_digits(s) if column.name in ("bid", "ask") else 2 if column.name == "vol" else 4
    return _cell(float(values[row]) * column.scale, digits)


def _price_digits(s: ChainSnapshot) -> int:
    """Decimals of the chain's quotes: cents, or what finer ticks need (the files hold 1/10000)."""
    prices = np.concatenate([s.bid, s.ask])
    cents = 100.0 * prices[np.isfinite(prices)]
    return 2 if np.allclose(cents, np.round(cents), rtol=0.0, atol=1e-6) else 4


def _title(s: ChainSnapshot, a: ChainGreeks, ns: int) -> str:
    """Date, time left and what parity says; a yield that is mostly error is left out."""
    row = int(np.flatnonzero(s.expiry_ns == ns)[0])
    words = [f"{s.expiry_day(ns)}", f"{365.0 * s.years[row]:.2f} days", f"forward {a.forward[row]:,.4f}"]
    words.append(f"rate {100 * a.rate[row]:z.2f} %")
    at = int(np.searchsorted(a.expiries.years, s.years[row]))
    if at < len(a.expiries.years) and a.expiries.status[at] != _PARITY:
        words.append("(carried from the spot: parity says nothing or contradicts the spot)")
    elif at < len(a.expiries.years) and a.expiries.dividend_yield_error[at] <= _YIELD_ERROR:
        words.append(f"dividend yield {100 * a.dividend_yield[row]:z.2f} %")
    return "  ".join(words)


def _row(s: ChainSnapshot, here: npt.NDArray[np.int64], strike: float, right: int) -> int:
    found = here[(s.strike[here] == strike) & (s.right[here] == right)]
    return int(found[0]) if len(found) else -1


def _at(column: F8, row: int) -> float:
    return float(column[row]) if row >= 0 else float("nan")


def _cell(value: float, digits: int) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:z,.{digits}f}" if abs(value) < 10.0 else f"{value:z,.2f}"
