"""Recorded quote files: minute bars of a whole option chain, and of its underlying, from zip files.

Format: a zip of one CSV per contract, named ``DATE_symbol_minute_quote_style_right_strike10000_expiry.csv``;
eleven columns without a header: milliseconds since midnight New York (of the *beginning* of the
bar), bid open, high, low, close, last bid size, ask open, high, low, close, last ask size; prices in
1/10000 of the currency. The underlying's file lies beside it: ``symbol_DATE_quote_minute_equity.zip``
with one ``DATE_symbol_minute_quote.csv``.

How a bar becomes quotes, and why:

* Its close is known at its end, so the event stands one bar after the bar's time; only the day's
  first bar also gives its open, at its beginning, so that the market is there from the open on.
* An empty side means that this side did not change within the bar, not that it was withdrawn: in
  liquid series one side is empty every few minutes between two equal prices. The last value is
  carried on. A carried side that the other one has since reached must have moved: it is dropped
  until it is recorded again.
* A bar whose two closes lock or cross sampled them at different instants: both sides are moved to
  the nearest valid prices around their middle.

Where there is no file of the underlying (an index), one is made from put-call parity: each minute
the tightest pairs of the nearest expiry give a forward each, weighted by the inverse square of
their spread. It is discounted to a spot with ``parity_rate`` and no dividends, so it is the price
of a synthetic instrument and not the index: near expiry they are the same to a few cents.
"""

import hashlib
import os
import re
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from market.calendar import expiry_ns, new_york_midnight_ns
from market.enums import ExerciseStyle, Right, SecurityKind
from market.instruments import InstrumentMaster, OsiSymbol, TickRule
from market.jit import cache_root, kernel
from simulator.errors import ReplayDataError
from simulator.flow.settings import ReplaySettings

BAR_NS = 60_000_000_000
MULTIPLIER = 100
_FORMAT_VERSION = 1
_MAX_BYTES = 1 << 31
_COLUMNS = 11
_EMPTY = -1
_PARITY_PAIRS = 4
_NS_PER_YEAR = 365 * 86_400 * 1_000_000_000

_OPTION_FILE = re.compile(
    r"^(?P<day>\d{8})_(?P<symbol>[a-z0-9.]{1,6})_minute_quote_(?P<style>american|european)_"
    r"(?P<right>call|put)_(?P<strike>\d{1,12})_(?P<expiry>\d{8})\.csv$"
)
_EQUITY_FILE = re.compile(r"^(?P<day>\d{8})_(?P<symbol>[a-z0-9.]{1,6})_minute_quote\.csv$")
_WANTED = "a zip of minute quote bars per contract (SYMBOL_DATE_quote_minute_american.zip or ..._european.zip)"

#: Roots whose underlying has another name.
_UNDERLYING_OF_ROOT = {"SPXW": "SPX", "NDXP": "NDX", "RUTW": "RUT", "VIXW": "VIX"}

#: Tick rules from coarse to fine: the first one that all recorded prices satisfy is the file's.
_RULES = (TickRule.NICKEL_DIME, TickRule.NICKEL, TickRule.PENNY_NICKEL, TickRule.UNIT)

# Findings of the parse kernel.
_OK, _WRONG_COLUMNS, _NOT_A_NUMBER, _TIME_BACK = 0, 1, 2, 3
_FINDINGS = {
    _WRONG_COLUMNS: f"not {_COLUMNS} columns",
    _NOT_A_NUMBER: "a column that is not a whole number below 10^15",
    _TIME_BACK: "a time that does not ascend, or lies outside the day",
}


@dataclass(frozen=True, slots=True)
class Contract:
    """One entry of the zip. ``strike_e4`` is in 1/10000 of the currency."""

    style: ExerciseStyle
    right: Right
    strike_e4: int
    expiry: date


@dataclass(frozen=True)
class Recording:
    """A recorded day: quote events ascending in time, and the instruments they are about.

    The arrays have one entry per event. A quantity of 0 means no quote on that side. Prices are in
    price units of 0.01; instrument 0 is the underlying.
    """

    path: Path
    symbol: str
    day: date
    master: InstrumentMaster
    tick_rule: TickRule
    time_ns: npt.NDArray[np.int64]
    instrument: npt.NDArray[np.int64]
    bid_ticks: npt.NDArray[np.int64]
    bid_qty: npt.NDArray[np.int64]
    ask_ticks: npt.NDArray[np.int64]
    ask_qty: npt.NDArray[np.int64]
    #: The first and the last event of an option.
    first_ns: int
    last_ns: int
    #: Where the underlying's quotes are from: a file name, or "put-call parity".
    underlying_source: str
    sha: str

    @property
    def events(self) -> int:
        """Number of quote events."""
        return len(self.time_ns)


@kernel
def parse_rows(text: Any, bounds: Any, cells: Any, owner: Any, finding: Any) -> int:
    """Parse the CSV files in ``text`` uint8[m]; file f is ``text[bounds[f]:bounds[f + 1]]``.

    Writes int64[rows, 11] ``cells`` (-1 for an empty column) and each row's file to int32[rows]
    ``owner``. Returns the number of rows; at the first bad one stops with ``finding`` int64[3] =
    code, file, line (from 1). ~1.5 ns per byte.
    """
    row = 0
    for f in range(bounds.shape[0] - 1):
        at, end = bounds[f], bounds[f + 1]
        line, last_ms = 0, -1
        while at < end:
            line += 1
            column, digits, value, used, good = 0, 0, 0, 0, True
            while True:
                c = int(text[at]) if at < end else 10
                at += 1
                if 48 <= c <= 57 and digits < 15:
                    value = value * 10 + (c - 48)
                    digits += 1
                    used += 1
                elif c == 44 or c == 10:
                    if column < 11:
                        cells[row, column] = value if digits > 0 else -1
                    column += 1
                    value, digits = 0, 0
                    if c == 10:
                        break
                    used += 1
                elif c != 13:
                    good = False
                    used += 1
            if used == 0:
                continue  # a blank line
            finding[1], finding[2] = f, line
            if not good:
                finding[0] = _NOT_A_NUMBER
                return row
            if column != 11:
                finding[0] = _WRONG_COLUMNS
                return row
            if cells[row, 0] <= last_ms or cells[row, 0] >= 86_400_000:
                finding[0] = _TIME_BACK
                return row
            last_ms = cells[row, 0]
            owner[row] = f
            row += 1
    finding[0] = _OK
    return row


@kernel(inline=True)
def _put(
    events: Any, k: int, time_ms: int, instrument: int, bid: int, bid_qty: int, ask: int, ask_qty: int, unit: int
) -> None:
    """Write event ``k``; a locked or crossed pair is moved apart around its middle by ``unit``."""
    if bid_qty > 0 and ask_qty > 0 and bid >= ask:
        middle = (bid + ask) // 2
        bid = (middle - 1) // unit * unit
        ask = (middle // unit + 1) * unit
        if bid <= 0:
            bid, bid_qty = 0, 0
    events[k, 0] = time_ms
    events[k, 1] = instrument
    events[k, 2] = bid if bid_qty > 0 else 0
    events[k, 3] = bid_qty
    events[k, 4] = ask if ask_qty > 0 else 0
    events[k, 5] = ask_qty


@kernel
def assemble_events(cells: Any, owner: Any, first_instrument: int, rule: int, bar_ms: int, events: Any) -> int:
    """Turn parsed bars into quote events int64[2 * rows, 6]; return how many (unsorted).

    Columns of ``events``: ms since midnight, instrument, bid price unit, bid quantity, ask, ask
    quantity. Prices that are no multiple of 0.01 are rounded outward. Rules: the module's text.
    """
    k, previous = 0, -1
    bid = bid_qty = ask = ask_qty = 0
    for r in range(cells.shape[0]):
        instrument = first_instrument + owner[r]
        if owner[r] != previous:
            previous = owner[r]
            bid = bid_qty = ask = ask_qty = 0
            has_bid = cells[r, 1] > 0 and cells[r, 5] > 0
            has_ask = cells[r, 6] > 0 and cells[r, 10] > 0
            if has_bid or has_ask:
                high = max(cells[r, 1], cells[r, 6]) // 100
                unit = _step_at(rule, high)
                _put(events, k, cells[r, 0], instrument, cells[r, 1] // 100, cells[r, 5] if has_bid else 0,
                     (cells[r, 6] + 99) // 100, cells[r, 10] if has_ask else 0, unit)  # fmt: skip
                k += 1
        fresh_bid = cells[r, 4] > 0 and cells[r, 5] > 0
        fresh_ask = cells[r, 9] > 0 and cells[r, 10] > 0
        if fresh_bid:
            bid, bid_qty = cells[r, 4] // 100, cells[r, 5]
            if not fresh_ask and ask_qty > 0 and ask <= bid:
                ask_qty = 0
        if fresh_ask:
            ask, ask_qty = (cells[r, 9] + 99) // 100, cells[r, 10]
            if not fresh_bid and bid_qty > 0 and bid >= ask:
                bid_qty = 0
        if fresh_bid or fresh_ask:
            _put(events, k, cells[r, 0] + bar_ms, instrument, bid, bid_qty, ask, ask_qty, _step_at(rule, max(bid, ask)))
            k += 1
    return k


@kernel(inline=True)
def _step_at(rule: int, ticks: int) -> int:
    """Increment of ``rule`` that divides every valid price around ``ticks``: the coarser side of the break."""
    if rule == _NICKEL_DIME:
        return 10 if ticks >= 300 else 5
    if rule == _NICKEL:
        return 5
    if rule == _PENNY_NICKEL:
        return 5 if ticks >= 300 else 1
    return 1


_NICKEL_DIME, _NICKEL, _PENNY_NICKEL = int(TickRule.NICKEL_DIME), int(TickRule.NICKEL), int(TickRule.PENNY_NICKEL)


def load_replay(path: str | Path, settings: ReplaySettings | None = None) -> Recording:
    """Read a recorded option chain and its underlying.

    Raises ReplayDataError, naming the file, the finding and the mend, when the file or its
    companion is absent, truncated, empty, damaged or of another format.
    """
    wanted = settings or ReplaySettings()
    source = Path(path).expanduser()
    raw = _read_file(source)
    match = re.match(r"^(?P<symbol>[^_]+)_(?P<day>\d{8})_", source.name)
    companion = source.with_name(f"{match['symbol']}_{match['day']}_quote_minute_equity.zip") if match else None
    raw_equity = _read_file(companion) if companion is not None and companion != source and companion.exists() else b""
    digest = hashlib.sha256(raw)
    digest.update(hashlib.sha256(raw_equity).digest())
    digest.update(repr((wanted.parity_half_spread_bp, wanted.parity_qty, wanted.parity_rate)).encode())
    sha = digest.hexdigest()
    cached = cache_root() / "replay" / f"{sha[:24]}-v{_FORMAT_VERSION}.npz"
    parsed = _from_cache(cached) if wanted.cache else None
    if parsed is None:
        parsed = _parse(source, companion, bool(raw_equity), wanted)
        if wanted.cache:
            _to_cache(cached, parsed)
    return _recording(source, companion if raw_equity else None, parsed, sha)


def _fail(path: Path, finding: str, mend: str) -> NoReturn:
    raise ReplayDataError(f"{path}: {finding}; {mend}")


def _read_file(path: Path) -> bytes:
    """The file's bytes, once it looks like a whole zip."""
    if not path.exists():
        _fail(path, "no such file", "give the path of " + _WANTED)
    if not path.is_file():
        _fail(path, "is not a regular file", "give the path of " + _WANTED)
    raw = path.read_bytes()
    if not raw:
        _fail(path, "is empty (0 bytes)", "copy it again from its source")
    if not raw.startswith(b"PK"):
        _fail(path, f"is not a zip file (begins with {raw[:8]!r})", "give " + _WANTED)
    if not zipfile.is_zipfile(path):
        _fail(path, f"is a truncated zip ({len(raw)} bytes, no central directory)", "copy it again from its source")
    return raw


def _read_entries(path: Path) -> tuple[list[str], list[bytes]]:
    """Names and contents of all entries, in order of their names."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = sorted((e for e in archive.infolist() if not e.is_dir()), key=lambda e: e.filename)
            total = sum(e.file_size for e in entries)
            if total > _MAX_BYTES:
                _fail(path, f"unpacks to {total} bytes, at most {_MAX_BYTES} are read", "split it by day or symbol")
            return [e.filename for e in entries], [archive.read(e) for e in entries]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as e:
        raise ReplayDataError(f"{path}: is a damaged zip ({e}); copy it again from its source") from e


def _parse_texts(
    path: Path, names: list[str], texts: list[bytes]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Cells and owners of all rows of all entries; ReplayDataError at the first bad row."""
    text = np.frombuffer(b"".join(texts), np.uint8)
    bounds = np.concatenate(([0], np.cumsum([len(t) for t in texts]))).astype(np.int64)
    room = int(np.count_nonzero(text == ord("\n"))) + len(texts) + 1
    cells = np.empty((room, _COLUMNS), np.int64)
    owner = np.empty(room, np.int32)
    finding = np.zeros(3, np.int64)
    rows = parse_rows(text, bounds, cells, owner, finding)
    if finding[0] != _OK:
        number, line = int(finding[1]), int(finding[2])
        shown = texts[number].split(b"\n")[line - 1][:60].decode("ascii", "replace")
        _fail(
            path, f"entry {names[number]} line {line} has {_FINDINGS[int(finding[0])]}: {shown!r}",
            "the format is time, bid open/high/low/close/size, ask open/high/low/close/size in whole numbers",
        )  # fmt: skip
    return cells[:rows], owner[:rows]


def _contracts(path: Path, names: list[str]) -> tuple[str, date, list[Contract]]:
    """Symbol, day and contracts that the entries' names tell."""
    if not names:
        _fail(path, "is a zip without entries", "copy it again from its source")
    found: list[Contract] = []
    header: tuple[str, str] | None = None
    for name in names:
        match = _OPTION_FILE.match(Path(name).name)
        if match is None:
            _fail(path, f"holds {_kind_of(name)}", "give " + _WANTED)
        if header is None:
            header = (match["symbol"], match["day"])
        elif header != (match["symbol"], match["day"]):
            _fail(path, f"mixes {header[0]} of {header[1]} with entry {name}", "give a file of one symbol and one day")
        style = ExerciseStyle.AMERICAN if match["style"] == "american" else ExerciseStyle.EUROPEAN
        right = Right.CALL if match["right"] == "call" else Right.PUT
        try:
            found.append(Contract(style, right, int(match["strike"]), _day(match["expiry"])))
        except ValueError:
            _fail(path, f"entry {name} names an impossible expiry", "the name ends in _YYYYMMDD.csv")
    assert header is not None
    if len(set(found)) != len(found):
        _fail(path, "holds a contract twice", "give a file with one entry per contract")
    try:
        return header[0].upper(), _day(header[1]), found
    except ValueError:
        _fail(path, f"entries name an impossible day {header[1]}", "names begin with YYYYMMDD")


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()


def _kind_of(name: str) -> str:
    """What an entry that is not an option quote file seems to be, for the error's text."""
    lower = name.lower()
    for key, kind in (
        ("openinterest", "open interest"),
        ("trade", "trades"),
        ("quote_tick", "quote ticks of an equity"),
    ):
        if key in lower:
            return f"{kind}, not option quotes (entry {name})"
    if _EQUITY_FILE.match(lower):
        return f"quotes of an equity, not of its options (entry {name})"
    return f"another format (entry {name!r})"


def _parse(source: Path, companion: Path | None, has_equity: bool, wanted: ReplaySettings) -> dict[str, Any]:
    """Everything the recording needs, as flat arrays fit for the cache."""
    names, texts = _read_entries(source)
    symbol, day, contracts = _contracts(source, names)
    cells, owner = _parse_texts(source, names, texts)
    quoted = (cells[:, [4, 9]] > 0).any() if len(cells) else False
    if not quoted:
        _fail(source, f"holds {len(names)} contracts without a single quote", "give a file of a day with quotes")
    rule = _tick_rule(cells)
    events = np.empty((2 * len(cells), 6), np.int64)
    options = events[: assemble_events(cells, owner, 1, int(rule), BAR_NS // 1_000_000, events)]
    if has_equity:
        assert companion is not None
        stock = _equity_events(companion)
    else:
        stock = _parity_events(source, options, contracts, day, wanted)
    both = np.concatenate([stock, options])
    if len(both) and both.max() > np.iinfo(np.int32).max:
        _fail(source, f"holds a price or size of {both.max()} (prices in 0.01)", "at most 2147483647 is possible")
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    return {
        "events": both.astype(np.int32),
        "span": np.array([options[:, 0].min(), options[:, 0].max()], np.int64),
        "contracts": np.array([(c.style, c.right, c.strike_e4, c.expiry.toordinal()) for c in contracts], np.int64),
        "head": np.array([day.toordinal(), int(rule)], np.int64),
        "symbol": np.array(symbol),
    }


def _tick_rule(cells: npt.NDArray[np.int64]) -> TickRule:
    """The coarsest rule that every recorded bid and ask satisfies; UNIT otherwise."""
    prices = cells[:, [1, 2, 3, 4, 6, 7, 8, 9]]
    prices = prices[prices > 0]
    low, high = prices[prices < 30_000], prices[prices >= 30_000]
    steps = {TickRule.NICKEL_DIME: (500, 1000), TickRule.NICKEL: (500, 500), TickRule.PENNY_NICKEL: (100, 500)}
    for rule, (below, above) in steps.items():
        if not (low % below).any() and not (high % above).any():
            return rule
    return TickRule.UNIT


def _equity_events(path: Path) -> npt.NDArray[np.int64]:
    """Quote events of the underlying's own file, as instrument 0."""
    names, texts = _read_entries(path)
    if len(names) != 1 or _EQUITY_FILE.match(Path(names[0]).name.lower()) is None:
        _fail(
            path,
            f"holds {names[:2]}",
            "the underlying's file holds one DATE_symbol_minute_quote.csv; mend or remove it",
        )
    cells, owner = _parse_texts(path, names, texts)
    events = np.empty((2 * len(cells), 6), np.int64)
    count = assemble_events(cells, owner, 0, int(TickRule.UNIT), BAR_NS // 1_000_000, events)
    if count == 0:
        _fail(path, "holds no quotes", "mend or remove it: without it an underlying is made from put-call parity")
    return events[:count]


def _parity_events(
    path: Path, options: npt.NDArray[np.int64], contracts: list[Contract], day: date, wanted: ReplaySettings
) -> npt.NDArray[np.int64]:
    """Quotes of a synthetic underlying from put-call parity; the module's text says how."""
    calls = {(c.expiry, c.strike_e4): i for i, c in enumerate(contracts) if c.right == Right.CALL}
    puts = {(c.expiry, c.strike_e4): i for i, c in enumerate(contracts) if c.right == Right.PUT}
    pairs = sorted(calls.keys() & puts.keys())
    if not pairs:
        _fail(path, "has no companion quote file of its underlying and no strike with both a call and a put",
              "put SYMBOL_DATE_quote_minute_equity.zip beside it")  # fmt: skip
    order = np.argsort(options[:, 0], kind="stable")
    times, at = np.unique(options[order, 0], return_inverse=True)
    middle = np.full((len(times), len(contracts)), np.nan)
    width = np.full((len(times), len(contracts)), np.nan)
    rows = options[order]
    whole = (rows[:, 3] > 0) & (rows[:, 5] > 0)
    middle[at, rows[:, 1] - 1] = np.where(whole, (rows[:, 2] + rows[:, 4]) / 2, np.inf)
    width[at, rows[:, 1] - 1] = rows[:, 4] - rows[:, 2]
    _carry_forward(middle, width)
    call = np.array([calls[p] for p in pairs])
    put = np.array([puts[p] for p in pairs])
    strike = np.array([p[1] / 100 for p in pairs])
    expiry = np.array([(expiry_ns(p[0]) - new_york_midnight_ns(day)) // 1_000_000 for p in pairs])
    years = (expiry[None, :] - times[:, None]) * 1_000_000 / _NS_PER_YEAR
    growth = np.exp(wanted.parity_rate * years)
    spot = strike / growth + (middle[:, call] - middle[:, put])
    spread = np.maximum(width[:, call] + width[:, put], 1.0)
    spread = np.where(np.isfinite(spot) & (years > 0), spread, np.inf)
    return _parity_quotes(path, times, spot, spread, expiry, wanted)


def _carry_forward(middle: npt.NDArray[np.float64], width: npt.NDArray[np.float64]) -> None:
    """Fill NaN (no event) with the last value along time; an infinite middle (one-sided) becomes NaN."""
    for t in range(1, len(middle)):
        old = np.isnan(middle[t])
        middle[t, old] = middle[t - 1, old]
        width[t, old] = width[t - 1, old]
    middle[np.isinf(middle)] = np.nan


def _parity_quotes(
    path: Path, times: npt.NDArray[np.int64], spot: npt.NDArray[np.float64], spread: npt.NDArray[np.float64],
    expiry: npt.NDArray[np.int64], wanted: ReplaySettings,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Quote events around the weighted spots of each minute; minutes without a pair give none."""
    out = []
    for t, now in enumerate(times):
        usable = np.isfinite(spread[t])
        if not usable.any():
            continue
        nearest = usable & (expiry == expiry[usable].min())
        best = np.flatnonzero(nearest)[np.argsort(spread[t, nearest], kind="stable")[:_PARITY_PAIRS]]
        value = float(np.average(spot[t, best], weights=spread[t, best] ** -2.0))
        half = max(1.0, value * wanted.parity_half_spread_bp * 1e-4)
        if value - half > 0:
            bid, ask = int(np.floor(value - half)), int(np.ceil(value + half))
            out.append((int(now), 0, bid, wanted.parity_qty, ask, wanted.parity_qty))
    if not out:
        _fail(path, "never quotes a call and a put of one strike at the same time, and has no companion file",
              "put SYMBOL_DATE_quote_minute_equity.zip beside it")  # fmt: skip
    return np.array(out, np.int64)


def _from_cache(path: Path) -> dict[str, Any] | None:
    """The parsed arrays, or None where there are none or they are damaged: the file is parsed again."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {key: stored[key] for key in ("events", "span", "contracts", "head", "symbol")}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _to_cache(path: Path, parsed: dict[str, Any]) -> None:
    """Write the arrays beside their place and rename: a reader sees a whole file or none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, **parsed)
        os.replace(temporary, path)
    except OSError:
        return  # a read-only or full cache costs the next start a fraction of a second, nothing else


def _recording(source: Path, companion: Path | None, parsed: dict[str, Any], sha: str) -> Recording:
    """Define the instruments and turn the arrays' times into UTC."""
    symbol = str(parsed["symbol"])
    day = date.fromordinal(int(parsed["head"][0]))
    rule = TickRule(int(parsed["head"][1]))
    midnight = new_york_midnight_ns(day)
    events = parsed["events"]
    columns = [np.ascontiguousarray(events[:, c]).astype(np.int64) for c in range(6)]
    span = parsed["span"]
    return Recording(
        path=source,
        symbol=symbol,
        day=day,
        master=_master(symbol, parsed["contracts"], rule),
        tick_rule=rule,
        time_ns=midnight + columns[0] * 1_000_000,
        instrument=columns[1],
        bid_ticks=columns[2],
        bid_qty=columns[3],
        ask_ticks=columns[4],
        ask_qty=columns[5],
        first_ns=midnight + int(span[0]) * 1_000_000,
        last_ns=midnight + int(span[1]) * 1_000_000,
        underlying_source=companion.name if companion else "put-call parity",
        sha=sha,
    )


def _master(symbol: str, contracts: npt.NDArray[np.int64], rule: TickRule) -> InstrumentMaster:
    """Underlying first, then the contracts in the order of their files' names."""
    master = InstrumentMaster(len(contracts) + 1)
    master.add(symbol=_UNDERLYING_OF_ROOT.get(symbol, symbol), security=SecurityKind.EQUITY)
    closes: dict[int, int] = {}
    for style, right, strike_e4, ordinal in contracts.tolist():
        expiry = date.fromordinal(ordinal)
        if ordinal not in closes:
            closes[ordinal] = expiry_ns(expiry)
        osi = OsiSymbol(symbol, expiry, Right(right), Decimal(strike_e4) / 10_000)
        master.add(
            symbol=osi.compact(), security=SecurityKind.OPTION, underlying=0, right=Right(right),
            style=ExerciseStyle(style), strike=strike_e4 / 10_000, expiry_ns=closes[ordinal],
            multiplier=MULTIPLIER, tick_rule=rule,
        )  # fmt: skip
    return master
