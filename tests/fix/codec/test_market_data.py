"""W and X to QUOTE frames: always a whole top of book, or nothing."""

from typing import Any

import pytest

from fix.codec import NO_INSTRUMENT, HandOver, StopReason, decode
from market.enums import FrameKind, TradingStatus
from market.records import QUOTE
from market.rings import FIX_SOURCE
from tests.fix.codec import wire
from tests.fix.codec.wire import CALL, EQUITY, NOW_MS_NS, NOW_NS, SYMBOLS, array, message

TABLE = wire.symbol_table()
LINK = wire.client_link()
LEVELS = ("bid_ticks", "bid_qty", "ask_ticks", "ask_qty", "bid2_ticks", "bid2_qty", "ask2_ticks", "ask2_qty")
BID, OFFER, TRADE = "0", "1", "2"


def entry(kind: str, price: Any, size: Any, position: Any = None, **extra: Any) -> wire.Fields:
    fields: wire.Fields = [(269, kind), (270, price), (271, size), (290, position)]
    fields += [(int(name[1:]), value) for name, value in extra.items()]
    return [(tag, value) for tag, value in fields if value is not None]


def change(action: str, symbol: str | None, *fields: tuple[int, Any]) -> wire.Fields:
    return [(279, action), *([(55, symbol)] if symbol else []), *fields]


def taken(msg_type: str, body: wire.Fields, rows: int = 8) -> list[dict[str, Any]] | tuple[Any, Any]:
    """Frames of one message, or why it was left."""
    data, out = message(msg_type, 4, body), wire.frames(rows)
    consumed, frames, messages, stop = decode(LINK.state, TABLE.state, array(data), 0, len(data), 4, NOW_NS, out)
    if stop == StopReason.NEED_MORE:
        assert (consumed, messages) == (len(data), 1)
        return [wire.row(QUOTE, out, i) for i in range(frames)]
    assert (consumed, frames, messages) == (0, 0, 0)
    return StopReason(int(stop)), LINK.hand_over[0]


def snapshot(*entries: wire.Fields, symbol: str | None = SYMBOLS[CALL], count: int | None = None) -> Any:
    body: wire.Fields = [
        (262, "MD1"),
        *([(55, symbol)] if symbol else []),
        (268, len(entries) if count is None else count),
    ]
    return taken("W", body + [field for fields in entries for field in fields])


def levels(frame: dict[str, Any]) -> list[int]:
    return [frame[name] for name in LEVELS]


def test_a_snapshot_of_two_levels() -> None:
    (frame,) = snapshot(
        entry(BID, "12.45", 5, 1), entry(BID, "12.40", 6, 2), entry(OFFER, "12.50", 7, 1), entry(OFFER, "12.55", 8, 2)
    )
    assert frame == {
        "kind": FrameKind.QUOTE, "source": FIX_SOURCE + 3, "crc": 0, "jseq": 0, "ts_ns": NOW_MS_NS, "recv_ns": NOW_NS,
        "instrument": CALL,
        "status": TradingStatus.OPEN, "bid_ticks": 1245, "bid_qty": 5, "ask_ticks": 1250, "ask_qty": 7,
        "bid2_ticks": 1240,
        "bid2_qty": 6, "ask2_ticks": 1255, "ask2_qty": 8, "src_seq": 4, "last_ticks": 0,
    }  # fmt: skip


def test_levels_go_by_position_or_else_by_order() -> None:
    (frame,) = snapshot(
        entry(OFFER, "2", 1), entry(BID, "1.5", 2), entry(OFFER, "3", 3), entry(BID, "1", 4), entry(BID, "0.5", 9)
    )
    assert levels(frame) == [150, 2, 200, 1, 100, 4, 300, 3]
    (frame,) = snapshot(entry(BID, "1", 4, 2), entry(BID, "1.5", 2, 1), entry(BID, "0.5", 9, 3))
    assert levels(frame) == [150, 2, 0, 0, 100, 4, 0, 0]


def test_an_empty_side_and_an_empty_book() -> None:
    (frame,) = snapshot(entry(OFFER, "2", 1))
    assert (levels(frame), frame["status"]) == ([0, 0, 200, 1, 0, 0, 0, 0], TradingStatus.OPEN)
    (frame,) = snapshot(entry(BID, "0.00", 0))
    assert (levels(frame), frame["status"]) == ([0] * 8, TradingStatus.OPEN)


def test_a_closed_quote_is_a_halt_and_a_trade_is_the_last_price() -> None:
    (frame,) = snapshot(entry(BID, "1", 4, t276="B"), entry(TRADE, "1.25", 2), entry("4", "9", 1))
    assert (frame["status"], frame["last_ticks"], levels(frame)[:2]) == (TradingStatus.HALTED, 125, [100, 4])


@pytest.mark.parametrize(
    "bad",
    [entry(BID, "-1", 4), entry(BID, "x", 4), entry(BID, "1", -4), entry(BID, "1", "x"), entry(BID, None, 4),
     entry(BID, "1", 4, "x"),
     entry("01", "1", 4), entry(BID, "1.001", 4)],
    ids=str,
)  # fmt: skip
def test_an_unreadable_entry_makes_the_whole_quote_unknown(bad: wire.Fields) -> None:
    for entries in ((bad, entry(OFFER, "2", 1)), (entry(OFFER, "2", 1), bad)):
        (frame,) = snapshot(*entries)
        assert (frame["status"], frame["instrument"], levels(frame)) == (TradingStatus.UNKNOWN, CALL, [0] * 8)


def test_an_unknown_symbol_is_an_unknown_quote_of_no_instrument() -> None:
    (frame,) = snapshot(entry(BID, "1", 4), symbol="NOPE")
    assert (frame["status"], frame["instrument"], levels(frame)) == (TradingStatus.UNKNOWN, NO_INSTRUMENT, [0] * 8)


def test_a_group_that_is_not_as_stated_is_left() -> None:
    left = (StopReason.HAND_OVER, HandOver.GROUP)
    two = (entry(BID, "1", 4), entry(OFFER, "2", 1))
    assert snapshot(*two, count=1) == left
    assert snapshot(*two, count=3) == left
    assert snapshot(count=0) != left  # nothing stated, nothing there: an empty book
    assert snapshot([(270, "1")], entry(BID, "1", 4)) == left
    assert snapshot([*entry(BID, "1", 4), (270, "2")]) == left
    assert snapshot([*entry(BID, "1", 4), (34, "2")]) == left
    assert snapshot([*entry(BID, "1", 4), (55, "GOOG")]) == left
    assert snapshot(*two, symbol=None) == (StopReason.HAND_OVER, HandOver.MISSING_FIELD)
    assert taken("W", [(55, "GOOG")]) == (StopReason.HAND_OVER, HandOver.MISSING_FIELD)


def incremental(*entries: wire.Fields, rows: int = 8) -> Any:
    return taken("X", [(262, "MD1"), (268, len(entries)), *(field for fields in entries for field in fields)], rows)


def test_an_incremental_that_replaces_both_sides_of_each_symbol() -> None:
    first, second = incremental(
        change("1", "GOOG", *entry(BID, "701.00", 100)),
        change("1", None, *entry(OFFER, "701.05", 200)),
        change("0", SYMBOLS[CALL], *entry(BID, "12.45", 5, 1)),
        change("2", SYMBOLS[CALL], *entry(OFFER, "12.50", 7, 1)),
    )
    assert (first["instrument"], levels(first)) == (EQUITY, [70100, 100, 70105, 200, 0, 0, 0, 0])
    assert (second["instrument"], levels(second)) == (CALL, [1245, 5, 0, 0, 0, 0, 0, 0])


def test_an_incremental_of_one_side_needs_a_book_and_is_left() -> None:
    left = (StopReason.HAND_OVER, HandOver.GROUP)
    assert incremental(change("1", "GOOG", *entry(BID, "701.00", 100))) == left
    both = [change("1", "GOOG", *entry(BID, "701.00", 100)), change("1", "GOOG", *entry(OFFER, "701.05", 200))]
    assert incremental(change("1", SYMBOLS[CALL], *entry(BID, "1", 1)), *both) == left
    assert incremental(change("1", None, *entry(BID, "701.00", 100))) == left
    assert incremental() == left
    assert len(incremental(*both)) == 1


def test_symbols_that_begin_alike_are_two() -> None:
    quotes = incremental(
        *(change("1", s, *entry(k, "1", 1)) for s in ("GOOG", SYMBOLS[CALL], "GOOGX") for k in (BID, OFFER))
    )
    assert [q["instrument"] for q in quotes] == [EQUITY, CALL, NO_INSTRUMENT]


def test_an_incremental_is_taken_whole_or_not_at_all() -> None:
    body = [change("1", s, *entry(k, "1", 1)) for s in ("GOOG", SYMBOLS[CALL], "A") for k in (BID, OFFER)]
    assert incremental(*body, rows=2) == (StopReason.HAND_OVER, HandOver.TOO_LARGE)
    one = message("W", 4, [(55, "GOOG"), (268, 1), *entry(BID, "1", 4)])
    data = one + message("X", 5, [(268, 6), *(f for fields in body for f in fields)])
    out = wire.frames(3)
    result = decode(LINK.state, TABLE.state, array(data), 0, len(data), 4, NOW_NS, out)
    assert tuple(result) == (len(one), 1, 1, StopReason.OUT_FULL)
