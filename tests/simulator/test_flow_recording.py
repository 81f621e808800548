"""Recorded quote files: what bars become, which grid they are on, and what is said of bad files."""

import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from market.calendar import expiry_ns, new_york_midnight_ns
from market.enums import ExerciseStyle, Right, SecurityKind
from market.instruments import TickRule, is_on_tick
from simulator.flow import Recording, ReplayDataError, ReplaySettings, load_replay

DAY = date(2015, 12, 24)
CALL = "20151224_xyz_minute_quote_american_call_1000000_20160115.csv"
PUT = "20151224_xyz_minute_quote_american_put_1000000_20160115.csv"
OPEN_MS = 34_200_000
MINUTE = 60_000


def bar(
    minute: int, bid: tuple[int, int] | None, ask: tuple[int, int] | None, open_bid: int = 0, open_ask: int = 0
) -> str:
    """A CSV row; prices in cents, ``open_*`` 0 meaning the close."""
    cells: list[object] = [OPEN_MS + minute * MINUTE]
    for side, opened in ((bid, open_bid), (ask, open_ask)):
        if side is None:
            cells += ["", "", "", "", 0]
        else:
            close, size = side[0] * 100, side[1]
            first = opened * 100 or close
            cells += [first, max(first, close), min(first, close), close, size]
    return ",".join(map(str, cells))


def write_zip(path: Path, entries: dict[str, list[str]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in entries.items():
            archive.writestr(name, "\n".join(rows) + ("\n" if rows else ""))
    return path


def chain(
    tmp_path: Path,
    calls: list[str],
    puts: list[str] | None = None,
    name: str = "xyz_20151224_quote_minute_american.zip",
) -> Path:
    entries = {CALL: calls}
    if puts is not None:
        entries[PUT] = puts
    return write_zip(tmp_path / name, entries)


def stock(tmp_path: Path, rows: list[str] | None = None) -> Path:
    rows = rows or [bar(m, (9990 + m, 100), (10010 + m, 200)) for m in range(3)]
    return write_zip(tmp_path / "xyz_20151224_quote_minute_equity.zip", {"20151224_xyz_minute_quote.csv": rows})


def load(path: Path) -> Recording:
    return load_replay(path, ReplaySettings(cache=False))


def quotes(recording: Recording, instrument: int) -> list[tuple[float, int, int, int, int]]:
    """(minutes after the open, bid, bid size, ask, ask size) of one instrument."""
    opened = new_york_midnight_ns(DAY) + OPEN_MS * 1_000_000
    mine = recording.instrument == instrument
    minutes = (recording.time_ns[mine] - opened) / (MINUTE * 1_000_000)
    columns = (recording.bid_ticks, recording.bid_qty, recording.ask_ticks, recording.ask_qty)
    return list(zip(minutes.tolist(), *(c[mine].tolist() for c in columns), strict=True))


def test_first_open_stands_at_its_beginning_and_closes_at_the_end_of_their_bars(tmp_path: Path) -> None:
    stock(tmp_path)
    rows = [bar(0, (200, 5), (220, 6), open_bid=190, open_ask=230), bar(1, (205, 7), (225, 8))]
    assert quotes(load(chain(tmp_path, rows)), 1) == [(0, 190, 5, 230, 6), (1, 200, 5, 220, 6), (2, 205, 7, 225, 8)]


def test_empty_side_did_not_change(tmp_path: Path) -> None:
    stock(tmp_path)
    rows = [bar(0, (200, 5), (220, 6)), bar(1, None, (225, 8)), bar(2, (195, 3), None), bar(3, None, None)]
    assert quotes(load(chain(tmp_path, rows)), 1)[2:] == [(2, 200, 5, 225, 8), (3, 195, 3, 225, 8)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (bar(1, None, (200, 8)), (2, 0, 0, 200, 8)),
        (bar(1, None, (205, 8)), (2, 200, 5, 205, 8)),
        (bar(1, (220, 3), None), (2, 220, 3, 0, 0)),
        (bar(1, (215, 3), None), (2, 215, 3, 220, 6)),
    ],
    ids=["ask reaches carried bid", "ask above it", "bid reaches carried ask", "bid below it"],
)
def test_carried_side_that_the_other_reached_is_dropped(
    tmp_path: Path, row: str, expected: tuple[float, int, int, int, int]
) -> None:
    stock(tmp_path)
    assert quotes(load(chain(tmp_path, [bar(0, (200, 5), (220, 6)), row])), 1)[-1] == expected


def test_locked_and_crossed_bars_are_moved_apart_on_the_grid(tmp_path: Path) -> None:
    stock(tmp_path)
    rows = [
        bar(0, (200, 5), (220, 6)),
        bar(1, (210, 5), (210, 6)),
        bar(2, (340, 5), (320, 6)),
        bar(3, (300, 5), (300, 5)),
    ]
    recording = load(chain(tmp_path, rows))
    assert recording.tick_rule == TickRule.NICKEL_DIME
    assert quotes(recording, 1)[2:] == [(2, 205, 5, 215, 6), (3, 320, 5, 340, 6), (4, 290, 5, 310, 5)]


@pytest.mark.parametrize(
    ("low", "high", "rule"),
    [
        (205, 310, TickRule.NICKEL_DIME),
        (205, 315, TickRule.NICKEL),
        (203, 315, TickRule.PENNY_NICKEL),
        (203, 312, TickRule.UNIT),
        (205, 312, TickRule.UNIT),
    ],
)
def test_tick_rule_is_the_coarsest_that_all_quotes_satisfy(tmp_path: Path, low: int, high: int, rule: TickRule) -> None:
    stock(tmp_path)
    recording = load(chain(tmp_path, [bar(0, (low, 5), (high, 6))]))
    assert recording.tick_rule == rule
    assert recording.master.rows[1]["tick_rule"] == rule
    assert recording.master.rows[0]["tick_rule"] == TickRule.UNIT


def test_instruments_follow_the_entries_names(tmp_path: Path) -> None:
    stock(tmp_path)
    master = load(chain(tmp_path, [bar(0, (200, 5), (220, 6))], [bar(0, (200, 5), (220, 6))])).master
    assert list(master.symbols()) == ["XYZ", "XYZ160115C00100000", "XYZ160115P00100000"]
    call, put = master.rows[1], master.rows[2]
    assert (call["right"], put["right"]) == (Right.CALL, Right.PUT)
    assert call["security"] == SecurityKind.OPTION
    assert call["style"] == ExerciseStyle.AMERICAN
    assert call["strike"] == 100.0
    assert call["multiplier"] == 100
    assert call["expiry_ns"] == expiry_ns(date(2016, 1, 15))
    assert call["underlying"] == 0


def test_underlying_comes_from_its_own_file_before_the_options_of_the_same_instant(tmp_path: Path) -> None:
    stock(tmp_path)
    recording = load(chain(tmp_path, [bar(0, (200, 5), (220, 6))]))
    assert recording.underlying_source == "xyz_20151224_quote_minute_equity.zip"
    assert quotes(recording, 0) == [
        (0, 9990, 100, 10010, 200), (1, 9990, 100, 10010, 200), (2, 9991, 100, 10011, 200), (3, 9992, 100, 10012, 200),
    ]  # fmt: skip
    assert (np.diff(recording.time_ns) >= 0).all()
    assert recording.instrument[recording.time_ns == recording.time_ns[0]].tolist() == [0, 1]


def test_without_its_file_the_underlying_is_put_call_parity_of_the_quoted_pairs(tmp_path: Path) -> None:
    calls = [bar(0, (500, 5), (510, 5)), bar(1, (520, 5), (530, 5))]
    puts = [bar(0, (300, 5), (310, 5)), bar(1, None, (290, 5))]
    recording = load_replay(
        chain(tmp_path, calls, puts), ReplaySettings(cache=False, parity_half_spread_bp=1.0, parity_qty=77)
    )
    assert recording.underlying_source == "put-call parity"
    # 100.00 + 5.05 - 3.05 = 102.00, half a spread of 1 bp rounded outward; the put's ask then
    # reaches its carried bid, which leaves no pair.
    assert quotes(recording, 0) == [(0, 10198, 77, 10202, 77), (1, 10198, 77, 10202, 77)]


@pytest.mark.parametrize("wanted", ["companion", "pair"])
def test_without_a_pair_parity_says_so(tmp_path: Path, wanted: str) -> None:
    puts = None if wanted == "companion" else [bar(0, None, (310, 5))]
    path = chain(tmp_path, [bar(0, (500, 5), (510, 5))], puts)
    with pytest.raises(ReplayDataError, match=r"equity\.zip beside it"):
        load(path)


def test_cache_gives_the_same_and_a_damaged_one_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXIOM_CACHE_DIR", str(tmp_path / "cache"))
    stock(tmp_path)
    path = chain(tmp_path, [bar(0, (200, 5), (220, 6)), bar(1, (205, 7), None)])
    first = load_replay(path)
    (cached,) = (tmp_path / "cache" / "replay").iterdir()
    again = load_replay(path)
    cached.write_bytes(cached.read_bytes()[:100])
    repaired = load_replay(path)
    for other in (again, repaired):
        assert quotes(other, 1) == quotes(first, 1)
        assert quotes(other, 0) == quotes(first, 0)
        assert other.master.rows.tobytes() == first.master.rows.tobytes()
        assert (other.first_ns, other.last_ns, other.sha) == (first.first_ns, first.last_ns, first.sha)


def test_another_underlying_file_is_another_cache_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXIOM_CACHE_DIR", str(tmp_path / "cache"))
    stock(tmp_path)
    path = chain(tmp_path, [bar(0, (200, 5), (220, 6))])
    load_replay(path)
    stock(tmp_path, [bar(0, (50, 1), (51, 1))])
    assert quotes(load_replay(path), 0)[0] == (0, 50, 1, 51, 1)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip_inside(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    start = len(CALL) + 40
    raw[start] ^= 0xFF
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("damage", "finding", "mend"),
    [
        (Path.unlink, "no such file", "give the path"),
        (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)", "copy it again"),
        (
            lambda p: p.write_bytes(b"time,bid,ask\n1,2,3\n"),
            "is not a zip file .begins with b'time,bid'", "give a zip of",
        ),
        (_truncate, "is a truncated zip", "copy it again"),
        (_flip_inside, "is a damaged zip", "copy it again"),
        (lambda p: write_zip(p, {}), "zip without entries", "copy it again"),
        (lambda p: write_zip(p, {"readme.txt": ["hello"]}), "another format .entry 'readme.txt'", "give a zip of"),
        (
            lambda p: write_zip(p, {CALL.replace("quote", "trade"): ["1,2,3,4,5,6"]}),
            "holds trades, not option quotes", "quote_minute_american.zip",
        ),
        (
            lambda p: write_zip(p, {CALL.replace("quote", "openinterest"): ["1,2"]}),
            "holds open interest", "quote_minute_american.zip",
        ),
        (
            lambda p: write_zip(p, {"20151224_xyz_minute_quote.csv": [bar(0, (1, 1), (2, 2))]}),
            "quotes of an equity, not of its options", "quote_minute_american.zip",
        ),
        (
            lambda p: write_zip(p, {CALL: [bar(0, (1, 1), (2, 2))], PUT.replace("xyz", "abc"): []}),
            "mixes abc", "one symbol and one day",
        ),
        (lambda p: write_zip(p, {CALL.replace("20160115", "20161315"): []}), "impossible expiry", "YYYYMMDD"),
        (lambda p: write_zip(p, {CALL: []}), "1 contracts without a single quote", "a day with quotes"),
        (lambda p: write_zip(p, {CALL: [bar(0, None, None)]}), "without a single quote", "a day with quotes"),
        (
            lambda p: write_zip(p, {CALL: [bar(0, (1, 1), (2, 2)), "1,2,3"]}),
            "line 2 has not 11 columns: '1,2,3'", "format is",
        ),
        (
            lambda p: write_zip(p, {CALL: [bar(0, (1, 1), (2, 2)) + ",9"]}),
            "line 1 has not 11 columns", "format is",
        ),
        (
            lambda p: write_zip(p, {CALL: [bar(0, (1, 1), (2, 2)).replace("200", "2.5")]}),
            "line 1 has a column that is not a whole number", "format is",
        ),
        (
            lambda p: write_zip(p, {CALL: [bar(0, (1, 1), (-2, 2))]}),
            "line 1 has a column that is not a whole number", "format is",
        ),
        (
            lambda p: write_zip(p, {CALL: [bar(0, (1, 1), (10**18, 2))]}),
            "line 1 has a column that is not a whole number", "format is",
        ),
        (
            lambda p: write_zip(p, {CALL: [bar(0, (1, 1), (10**11, 2))]}),
            "price or size of 100000000000", "at most 2147483647",
        ),
        (
            lambda p: write_zip(p, {CALL: [bar(1, (1, 1), (2, 2)), bar(1, (1, 1), (2, 2))]}),
            "line 2 has a time that does not ascend", "format is",
        ),
        (lambda p: write_zip(p, {CALL: [bar(999, (1, 1), (2, 2))]}), "lies outside the day", "format is"),
    ],
)  # fmt: skip
def test_bad_file_is_named_with_the_finding_and_the_mend(
    tmp_path: Path, damage: object, finding: str, mend: str
) -> None:
    stock(tmp_path)
    path = chain(tmp_path, [bar(m, (200 + m, 5), (220 + 7 * m, 6)) for m in range(50)])
    damage(path)  # type: ignore[operator]
    with pytest.raises(ReplayDataError, match=finding) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert mend in str(caught.value)


def test_bad_companion_is_the_file_that_is_named(tmp_path: Path) -> None:
    companion = stock(tmp_path)
    path = chain(tmp_path, [bar(0, (200, 5), (220, 6))])
    _truncate(companion)
    with pytest.raises(ReplayDataError, match="truncated") as caught:
        load(path)
    assert str(caught.value).startswith(str(companion))


def test_windows_line_ends_blank_lines_and_a_missing_last_one_are_fine(tmp_path: Path) -> None:
    stock(tmp_path)
    path = tmp_path / "xyz_20151224_quote_minute_american.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CALL, bar(0, (200, 5), (220, 6)) + "\r\n\r\n" + bar(1, (205, 5), (220, 6)))
    assert len(quotes(load(path), 1)) == 3


def test_goog_chain(market_data: Path) -> None:
    recording = load(market_data / "goog_20151224_quote_minute_american.zip")
    assert recording.master.count == 2193
    assert len(set(recording.master.rows["expiry_ns"].tolist()) - {0}) == 12
    assert recording.tick_rule == TickRule.NICKEL_DIME
    both = (recording.bid_qty > 0) & (recording.ask_qty > 0)
    assert (recording.bid_ticks[both] < recording.ask_ticks[both]).all()
    rule = recording.master.rows["tick_rule"][recording.instrument]
    for ticks, qty in ((recording.bid_ticks, recording.bid_qty), (recording.ask_ticks, recording.ask_qty)):
        valid = np.array([is_on_tick(int(r), int(t)) for r, t in zip(rule[::37], ticks[::37], strict=True)])
        assert (valid | (qty[::37] == 0)).all()
    stock_mid = (recording.bid_ticks + recording.ask_ticks)[(recording.instrument == 0) & both] / 200
    assert 720 < np.median(stock_mid) < 780


@pytest.mark.parametrize(("day", "series", "low", "high"), [("20210104", 12, 3660, 3770), ("20210106", 16, 3700, 3790)])
def test_spxw_parity_gives_the_index(market_data: Path, day: str, series: int, low: float, high: float) -> None:
    # The S&P 500's ranges of those two days were 3662.71-3769.99 and 3705.34-3783.04.
    recording = load(market_data / f"spxw_{day}_quote_minute_european.zip")
    assert recording.master.count == series + 1
    assert recording.master.symbol(0) == "SPX"
    assert (recording.master.rows["style"][1:] == ExerciseStyle.EUROPEAN).all()
    mine = recording.instrument == 0
    mid = (recording.bid_ticks[mine] + recording.ask_ticks[mine]) / 200
    assert len(mid) > 380
    assert low < mid.min()
    assert mid.max() < high
    assert np.abs(np.diff(mid)).max() < 15
