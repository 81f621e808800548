"""Mass quotes: rows to 35=i read by simplefix, and i, b, Z read by our own structures."""

from typing import Any

import numpy as np
import pytest

from fix.codec import MAX_ENTRIES, QUOTE_ROOM, EncodeStop, encode_mass_quotes
from fix.codec.quotes import (
    QuoteCancelType,
    QuoteEntry,
    QuoteSet,
    QuoteStatus,
    mass_quote_ack,
    quote_cancel,
    read_mass_quote,
    read_quote_cancel,
)
from fix.errors import GarbledMessageError
from fix.messages import parse
from market import records
from market.records import NO_INSTRUMENT, QUOTE_ENTRY
from tests.fix.codec import wire
from tests.fix.codec.wire import CALL, EQUITY, NOW_NS, PENNY, SYMBOLS, WHOLE

TABLE, LINK = wire.symbol_table(), wire.client_link()
ENTRY: dict[str, Any] = {
    "instrument": CALL, "quote_id": 0xABC, "entry_id": 1, "set_id": 1, "underlying": EQUITY, "bid_ticks": 1240,
    "bid_qty": 5, "ask_ticks": 1250, "ask_qty": 7,
}  # fmt: skip


def encoded(rows: list[dict[str, Any]], per_message: int = MAX_ENTRIES, room: int = 1 << 16) -> tuple[Any, int, int]:
    """Messages, rows taken and stop."""
    table = records.table(QUOTE_ENTRY, len(rows))
    for i, fields in enumerate(rows):
        for name, value in fields.items():
            table[name][i] = value
    out, ends = np.full(room, 0xAA, np.uint8), np.zeros(64, np.int64)
    size, messages, taken, stop = encode_mass_quotes(
        LINK.state, TABLE.state, table, 0, len(rows), per_message, 2, 7, NOW_NS, out, ends
    )
    texts = wire.split(bytes(out[:size]))
    assert len(texts) == messages
    assert np.cumsum([len(text) for text in texts]).tolist() == ends[:messages].tolist()
    for k, text in enumerate(texts):
        assert text == wire.reframe(wire.body_of(text)), "BodyLength without leading zeros, CheckSum right"
        assert wire.parse(text)[5] == (34, str(7 + k))
    return texts, int(taken), EncodeStop(int(stop))


def test_one_entry_of_both_sides() -> None:
    (text,), taken, stop = encoded([ENTRY])
    assert (taken, stop) == (1, EncodeStop.DONE)
    assert wire.parse(text)[7:-1] == [
        (117, f"{0xABC:016X}"), (301, "2"), (296, "1"), (302, "1"), (311, SYMBOLS[EQUITY]), (304, "1"), (893, "Y"),
        (295, "1"), (299, "1"), (55, SYMBOLS[CALL]), (132, "12.40"), (133, "12.50"), (134, "5"), (135, "7"),
    ]  # fmt: skip


def test_a_side_without_quantity_has_no_price() -> None:
    (text,), *_ = encoded([ENTRY | {"bid_qty": 0, "bid_ticks": 1}])
    fields = dict(wire.parse(text))
    assert 132 not in fields and (fields[134], fields[133]) == ("0", "12.50")


def test_sets_follow_set_id_and_underlying() -> None:
    rows = [
        ENTRY, ENTRY | {"entry_id": 2, "instrument": PENNY}, ENTRY | {"entry_id": 3, "set_id": 2},
        ENTRY | {"entry_id": 4, "set_id": 2, "underlying": NO_INSTRUMENT},
    ]  # fmt: skip
    (text,), *_ = encoded(rows)
    quote = read_mass_quote(parse(text))
    assert [(s.set_id, s.underlying, [e.entry_id for e in s.entries]) for s in quote.sets] == [
        ("1", "GOOG", ["1", "2"]), ("2", "GOOG", ["3"]), ("2", "", ["4"]),
    ]  # fmt: skip
    assert quote.sets[0].entries[1].bid == "0.1240", "each price in its own instrument's decimals"


def test_a_set_over_several_messages_says_its_total_and_its_last_fragment() -> None:
    rows = [ENTRY | {"entry_id": k + 1} for k in range(5)] + [ENTRY | {"set_id": 9, "entry_id": 6}]
    texts, taken, _ = encoded(rows, per_message=2)
    assert taken == 6
    quotes = [read_mass_quote(parse(text)) for text in texts]
    said = [[(s.set_id, s.total, s.last_fragment, len(s.entries)) for s in quote.sets] for quote in quotes]
    assert said == [[("1", 5, False, 2)], [("1", 5, False, 2)], [("1", 5, True, 1), ("9", 1, True, 1)]]


def test_another_quote_id_is_another_message() -> None:
    texts, *_ = encoded([ENTRY, ENTRY | {"quote_id": 0xABD}])
    assert [dict(wire.parse(text))[117] for text in texts] == [f"{0xABC:016X}", f"{0xABD:016X}"]


@pytest.mark.parametrize("entries", [1, 2, 99, 100])
def test_body_length_is_right_whatever_its_digits(entries: int) -> None:
    rows = [ENTRY | {"entry_id": 10**17 + k, "instrument": WHOLE, "bid_ticks": 10**15} for k in range(entries)]
    (text,), taken, _ = encoded(rows)
    assert taken == entries and len(read_mass_quote(parse(text)).entries) == entries
    assert len(text) < QUOTE_ROOM * (entries + 1)


@pytest.mark.parametrize(
    "change",
    [
        {"instrument": 1}, {"quote_id": 0}, {"entry_id": 2**63}, {"bid_qty": -1}, {"ask_qty": 2**31},
        {"bid_ticks": 0}, {"ask_ticks": -1}, {"bid_ticks": 10**17 + 1},
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_written_stops_behind_those_before_it(change: dict[str, int]) -> None:
    texts, taken, stop = encoded([ENTRY, ENTRY | change, ENTRY])
    assert (len(texts), taken, stop) == (1, 1, EncodeStop.BAD_ROW)


def test_a_message_that_does_not_fit_is_not_begun() -> None:
    texts, taken, stop = encoded([ENTRY | {"quote_id": k + 1} for k in range(3)], room=QUOTE_ROOM * 2 + 200)
    assert (len(texts), taken, stop) == (1, 1, EncodeStop.OUT_FULL)


def test_default_sizes_stand_for_absent_ones() -> None:
    body = [(117, "Q"), (293, 10), (294, 20), (296, 1), (302, "S"), (304, 2), (295, 2), (299, "a"), (55, "X"),
            (132, "1.0"), (299, "b"), (55, "Y"), (133, "2.0"), (135, 3)]  # fmt: skip
    one, other = read_mass_quote(parse(wire.message("i", 1, body, to_venue=True))).entries
    assert (one.bid_size, one.offer_size) == ("10", None)
    assert (other.bid_size, other.offer_size) == (None, "3")


@pytest.mark.parametrize("count", [{296: 2}, {295: 1}, {295: 3}, {295: "x"}])
def test_counts_that_are_not_true_are_refused(count: dict[int, Any]) -> None:
    body: list[tuple[int, Any]] = [(117, "Q"), (296, 1), (302, "S"), (304, 2), (295, 2), (299, 1), (55, "X"), (299, 2)]
    body = [(tag, count.get(tag, value)) for tag, value in body]
    with pytest.raises(GarbledMessageError, match=r"NoQuote|tag 295"):
        read_mass_quote(parse(wire.message("i", 1, body, to_venue=True)))


def test_an_acknowledgement_reads_back() -> None:
    refused = QuoteSet("7", "GOOG", 3, True, [QuoteEntry("2", "GOOG151224C00750000", reject_reason=8)])
    body = mass_quote_ack("Q1", QuoteStatus.ACCEPTED, level=2, text="two of three", sets=[refused])
    ack = read_mass_quote(parse(wire.message("b", 1, body)))
    assert (ack.quote_id, ack.status, ack.level, ack.text) == ("Q1", QuoteStatus.ACCEPTED, 2, "two of three")
    assert ack.sets == [refused]


def test_a_quote_cancel_reads_back() -> None:
    body = quote_cancel("Q1", QuoteCancelType.SYMBOLS, ["A", "B"])
    cancel = read_quote_cancel(parse(wire.message("Z", 1, body, to_venue=True)))
    assert (cancel.quote_id, cancel.kind, cancel.level, cancel.symbols) == ("Q1", 1, 2, ["A", "B"])
    with pytest.raises(GarbledMessageError, match="298"):
        read_quote_cancel(parse(wire.message("Z", 1, [(117, "Q1")], to_venue=True)))
    with pytest.raises(GarbledMessageError, match="295"):
        read_quote_cancel(parse(wire.message("Z", 1, [(117, "Q1"), (298, 1), (295, 2), (55, "A")], to_venue=True)))
