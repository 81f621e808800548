"""Rows to messages: read back by simplefix field by field, and by our own decoder row by row."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix.codec import (
    MESSAGE_ROOM,
    NO_INSTRUMENT,
    EncodeStop,
    HotLink,
    StopReason,
    decode,
    decode_one,
    encode_executions,
    encode_orders,
    encode_quotes,
)
from market import ids, records
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, OrdType, Side, TimeInForce, TradingStatus
from tests.fix.codec import wire
from tests.fix.codec.wire import CALL, EQUITY, NOW_MS_NS, NOW_NS, NOW_TEXT, SYMBOLS, WHOLE, array, price_text

TABLE = wire.symbol_table()
CLIENT, VENUE = wire.client_link(), wire.venue_link()
REASONS = {5: "unknown order", 18: "x" * 60}
VENUE.set_reason_texts(REASONS)
HEADER = {8: "FIX.4.4", 52: NOW_TEXT}

NEW: dict[str, Any] = {
    "kind": FrameKind.ORDER, "action": OrderAction.NEW, "instrument": CALL, "side": Side.BUY, "ord_type": OrdType.LIMIT,
    "tif": TimeInForce.DAY, "cl_ord_id": 0x0001000000020003, "price_ticks": 1245, "qty": 10, "post_only": 1,
}  # fmt: skip
CANCEL = NEW | {
    "action": OrderAction.CANCEL,
    "orig_cl_ord_id": 7,
    "price_ticks": 0,
    "post_only": 0,
    "ord_type": 0,
    "tif": 0,
}
REPLACE = NEW | {"action": OrderAction.REPLACE, "orig_cl_ord_id": 7, "post_only": 0}
MASS = {"kind": FrameKind.ORDER, "action": OrderAction.MASS_CANCEL, "instrument": NO_INSTRUMENT, "cl_ord_id": 9}
STATUS = {
    "kind": FrameKind.ORDER,
    "action": OrderAction.MASS_STATUS,
    "instrument": NO_INSTRUMENT,
    "cl_ord_id": 2**64 - 1,
}
FILL: dict[str, Any] = {
    "kind": FrameKind.EXECUTION, "instrument": CALL, "side": Side.SELL, "exec_type": ExecType.TRADE,
    "ord_status": OrdStatus.PARTIALLY_FILLED, "cl_ord_id": 0x0001000000020003, "order_id": 5, "exec_id": 9,
    "price_ticks": 1245,
    "last_ticks": 1244, "last_qty": 3, "order_qty": 10, "leaves_qty": 7, "cum_qty": 3, "commission_e4": -6500,
}  # fmt: skip
REJECT = {
    "kind": FrameKind.CANCEL_REJECT,
    "ord_status": OrdStatus.REJECTED,
    "cl_ord_id": 1,
    "orig_cl_ord_id": 2,
    "reason": 5,
}
QUOTE: dict[str, Any] = {
    "kind": FrameKind.QUOTE, "instrument": CALL, "status": TradingStatus.OPEN, "bid_ticks": 1240, "bid_qty": 5,
    "ask_ticks": 1250,
    "ask_qty": 7, "bid2_ticks": 1235, "bid2_qty": 1, "ask2_ticks": 1255, "ask2_qty": 2,
}  # fmt: skip
ENCODERS = {
    "orders": (encode_orders, records.ORDER, CLIENT, VENUE), "executions": (encode_executions, records.EXECUTION,
    VENUE, CLIENT),
    "quotes": (encode_quotes, records.QUOTE, VENUE, CLIENT),
}  # fmt: skip


def encoded(
    kind: str, rows: list[dict[str, Any]], seq: int = 1, room: int = 1 << 16, ends: int = 64
) -> tuple[list[bytes], int]:
    """Messages of ``rows`` and why the encoder stopped; what it says of them is checked."""
    encode, layout, link, _ = ENCODERS[kind]
    table, out, marks = records.table(layout, len(rows)), np.full(room, 0xAA, np.uint8), np.zeros(ends, np.int64)
    for i, fields in enumerate(rows):
        for name, value in fields.items():
            table[name][i] = value
    size, messages, stop = encode(link.state, TABLE.state, table, 0, len(rows), seq, NOW_NS, out, marks)
    texts = wire.split(bytes(out[:size]))
    assert len(texts) == messages
    assert np.cumsum([len(text) for text in texts]).tolist() == marks[:messages].tolist()
    return texts, int(stop)


def fields_of(kind: str, row: dict[str, Any], seq: int = 1) -> list[tuple[int, str]]:
    """simplefix' reading of one row's message, after the checks that simplefix does not make."""
    (text,), stop = encoded(kind, [row], seq)
    assert stop == EncodeStop.DONE
    fields = wire.parse(text)
    assert text == wire.reframe(wire.body_of(text)), "BodyLength without leading zeros, CheckSum with them"
    assert int(fields[1][1]) == len(wire.body_of(text))
    assert fields[-1] == (10, f"{sum(text[:-7]) % 256:03d}")
    sender, target = ("AXIOM01", "OPTVENUE1") if kind == "orders" else ("OPTVENUE1", "AXIOM01")
    assert fields[3:7] == [(49, sender), (56, target), (34, str(seq)), (52, NOW_TEXT)]
    return [fields[2], *fields[7:-1]]


def test_new_order() -> None:
    assert fields_of("orders", NEW, 12) == [
        (35, "D"), (11, "0001000000020003"), (55, SYMBOLS[CALL]), (54, "1"), (38, "10"), (40, "2"), (44, "12.45"), (59,
         "0"),
        (18, "6"), (21, "1"), (60, NOW_TEXT),
    ]  # fmt: skip


def test_market_order_has_no_price_and_plain_order_no_instruction() -> None:
    tags = [
        tag
        for tag, _ in fields_of("orders", NEW | {"ord_type": OrdType.MARKET, "tif": TimeInForce.IOC, "post_only": 0})
    ]
    assert tags == [35, 11, 55, 54, 38, 40, 59, 21, 60]


def test_cancel_and_replace() -> None:
    assert fields_of("orders", CANCEL) == [
        (35, "F"), (41, f"{7:016X}"), (11, "0001000000020003"), (55, SYMBOLS[CALL]), (54, "1"), (38, "10"), (60,
         NOW_TEXT),
    ]  # fmt: skip
    assert [tag for tag, _ in fields_of("orders", CANCEL | {"qty": 0})] == [35, 41, 11, 55, 54, 60]
    assert fields_of("orders", REPLACE | {"instrument": WHOLE}) == [
        (35, "G"), (41, f"{7:016X}"), (11, "0001000000020003"), (55, SYMBOLS[WHOLE]), (54, "1"), (38, "10"), (40, "2"),
         (44, "1245"),
        (59, "0"), (21, "1"), (60, NOW_TEXT),
    ]  # fmt: skip


def test_mass_cancel_and_mass_status() -> None:
    assert fields_of("orders", MASS) == [(35, "q"), (11, f"{9:016X}"), (530, "7"), (60, NOW_TEXT)]
    assert fields_of("orders", MASS | {"instrument": EQUITY}) == [
        (35, "q"), (11, f"{9:016X}"), (530, "1"), (55, "GOOG"), (60, NOW_TEXT),
    ]  # fmt: skip
    assert fields_of("orders", STATUS) == [(35, "AF"), (584, "F" * 16), (585, "7")]


def test_a_fill() -> None:
    assert fields_of("executions", FILL, 2**40) == [
        (35, "8"), (37, f"{5:016X}"), (11, "0001000000020003"), (17, f"{9:016X}"), (150, "F"), (39, "1"), (55,
         SYMBOLS[CALL]),
        (54, "2"), (38, "10"), (44, "12.45"), (32, "3"), (31, "12.44"), (12, "-0.6500"), (13, "3"), (151, "7"), (14,
         "3"),
        (6, "12.44"), (60, NOW_TEXT),
    ]  # fmt: skip


def test_the_average_price_is_given_where_the_row_knows_it() -> None:
    assert dict(fields_of("executions", FILL | {"cum_qty": 8}))[6] == "0"
    assert dict(fields_of("executions", FILL | {"exec_type": ExecType.NEW}))[6] == "0"


def test_a_rejected_order_says_why() -> None:
    rejected = FILL | {"exec_type": ExecType.REJECTED, "ord_status": OrdStatus.REJECTED, "order_id": 0, "reason": 5}
    fields = fields_of("executions", rejected)
    assert fields[1] == (37, "NONE")
    assert fields[-2:] == [(103, "5"), (58, "unknown order")]
    assert {31, 32, 12, 13}.isdisjoint(dict(fields))
    assert fields_of("executions", rejected | {"reason": 18})[-1] == (58, REASONS[18])
    assert fields_of("executions", rejected | {"reason": 65535})[-1] == (103, "65535")
    assert fields_of("executions", rejected | {"reason": 127})[-1] == (103, "127")


def test_status_reports() -> None:
    status = FILL | {
        "exec_type": ExecType.ORDER_STATUS, "orig_cl_ord_id": 77, "tot_reports": 3, "last_report": 1,
        "ord_status": OrdStatus.NEW
    }  # fmt: skip
    fields = dict(fields_of("executions", status))
    assert (fields[584], fields[911], fields[912], fields.get(41)) == (f"{77:016X}", "3", "Y", None)
    nothing = {
        "kind": FrameKind.EXECUTION, "exec_type": ExecType.ORDER_STATUS, "instrument": NO_INSTRUMENT,
        "orig_cl_ord_id": 77,
        "last_report": 1, "ord_status": OrdStatus.REJECTED, "exec_id": 4,
    }  # fmt: skip
    fields = dict(fields_of("executions", nothing))
    assert (fields[55], fields[54], fields[911], fields[912], fields.get(11)) == ("[N/A]", "7", "0", "Y", None)


def test_a_cancel_reject() -> None:
    assert fields_of("executions", REJECT) == [
        (35, "9"), (37, "NONE"), (11, f"{1:016X}"), (41, f"{2:016X}"), (39, "8"), (434, "1"), (60, NOW_TEXT), (102,
         "5"),
        (58, "unknown order"),
    ]  # fmt: skip
    assert dict(fields_of("executions", REJECT | {"exec_type": ExecType.PENDING_REPLACE}))[434] == "2"
    assert dict(fields_of("executions", REJECT | {"exec_type": ExecType.REPLACED}))[434] == "2"


def test_a_snapshot() -> None:
    assert fields_of("quotes", QUOTE) == [
        (35, "W"), (55, SYMBOLS[CALL]), (268, "4"), (269, "0"), (270, "12.40"), (271, "5"), (290, "1"), (269, "0"),
         (270, "12.35"),
        (271, "1"), (290, "2"), (269, "1"), (270, "12.50"), (271, "7"), (290, "1"), (269, "1"), (270, "12.55"), (271,
         "2"), (290, "2"),
    ]  # fmt: skip


def test_a_snapshot_of_an_empty_halted_book() -> None:
    empty = {"kind": FrameKind.QUOTE, "instrument": EQUITY, "status": TradingStatus.HALTED}
    assert fields_of("quotes", empty) == [
        (35, "W"), (55, "GOOG"), (268, "1"), (269, "0"), (270, "0.00"), (271, "0"), (290, "1"), (276, "B"),
    ]  # fmt: skip


def test_the_subscription_s_name_goes_with_its_snapshots() -> None:
    VENUE.set_md_req_id("M" * 32)
    try:
        assert fields_of("quotes", QUOTE)[1] == (262, "M" * 32)
    finally:
        VENUE.set_md_req_id("")
    assert fields_of("quotes", QUOTE)[1][0] == 55


BAD_ORDERS = [
    NEW | change
    for change in (
        {"instrument": 1}, {"instrument": 15}, {"instrument": 16}, {"instrument": NO_INSTRUMENT}, {"side": 0},
         {"side": 51},
        {"ord_type": 0}, {"ord_type": 51}, {"tif": 0}, {"tif": 49}, {"qty": 0}, {"qty": -1}, {"qty": 2**31},
         {"price_ticks": 0},
        {"price_ticks": -1}, {"price_ticks": 10**17 + 1}, {"cl_ord_id": 0}, {"action": 0}, {"action": 6},
    )
] + [
    CANCEL | {"orig_cl_ord_id": 0}, CANCEL | {"qty": -1}, CANCEL | {"instrument": 1}, REPLACE | {"orig_cl_ord_id": 0},
    REPLACE | {"qty": 0}, MASS | {"instrument": 1}, MASS | {"cl_ord_id": 0}, STATUS | {"cl_ord_id": 0},
]  # fmt: skip
BAD_EXECUTIONS = [
    FILL | change
    for change in (
        {"kind": 0}, {"kind": FrameKind.ORDER}, {"instrument": 1}, {"instrument": NO_INSTRUMENT}, {"side": 0},
         {"exec_type": 0},
        {"exec_type": 255}, {"ord_status": 0}, {"ord_status": 127}, {"last_qty": 0}, {"last_qty": -1},
         {"order_qty": -1},
        {"leaves_qty": -1}, {"cum_qty": -1}, {"price_ticks": -1}, {"last_ticks": -1}, {"commission_e4": 10**17 + 1},
    )
] + [REJECT | {"ord_status": 0}]  # fmt: skip
BAD_QUOTES = [
    QUOTE | change
    for change in (
        {"instrument": 1},
        {"instrument": NO_INSTRUMENT},
        {"bid_ticks": 0},
        {"ask_ticks": -1},
        {"bid2_qty": -1},
        {"ask2_qty": 2**31},
    )
]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [("orders", NEW, row) for row in BAD_ORDERS] + [("executions", FILL, row) for row in BAD_EXECUTIONS] + [("quotes",
     QUOTE, row) for row in BAD_QUOTES],
)  # fmt: skip
def test_a_row_that_cannot_be_written_stops_the_encoder_before_it(
    kind: str, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    texts, stop = encoded(kind, [good, bad, good])
    assert (len(texts), stop) == (1, EncodeStop.BAD_ROW)


@pytest.mark.parametrize(("kind", "row"), [("orders", NEW), ("executions", FILL), ("quotes", QUOTE)])
def test_an_encoder_stops_where_room_or_ends_run_out(kind: str, row: dict[str, Any]) -> None:
    assert encoded(kind, [row] * 3, room=MESSAGE_ROOM - 1) == ([], EncodeStop.OUT_FULL)
    texts, stop = encoded(kind, [row] * 3, room=MESSAGE_ROOM)
    assert (len(texts), stop) == (1, EncodeStop.OUT_FULL)
    texts, stop = encoded(kind, [row] * 3, ends=2)
    assert (len(texts), stop) == (2, EncodeStop.OUT_FULL)
    assert encoded(kind, []) == ([], EncodeStop.DONE)


@pytest.mark.parametrize(("kind", "row"), [("orders", NEW), ("executions", FILL), ("quotes", QUOTE)])
def test_rows_beyond_the_table_are_not_read(kind: str, row: dict[str, Any]) -> None:
    encode, layout, link, _ = ENCODERS[kind]
    table, out, ends = records.table(layout, 1), np.zeros(4096, np.uint8), np.zeros(8, np.int64)
    for name, value in row.items():
        table[name][0] = value
    size, messages, stop = encode(link.state, TABLE.state, table, 0, 2, 1, NOW_NS, out, ends)
    assert (messages, stop) == (1, EncodeStop.BAD_ROW)
    assert size == ends[0]


def test_the_longest_message_fits_its_room() -> None:
    table = wire.SymbolTable(1)
    table.add("S" * 24, 0, 8)
    link = HotLink("FIX.4.4xxxxx", "S" * 32, "T" * 32)
    link.set_reason_texts({0: "r" * 60})
    link.set_md_req_id("m" * 32)
    big = dict.fromkeys(("order_qty", "last_qty", "leaves_qty", "cum_qty"), 2**31 - 1) | {"commission_e4": -(10**17)}
    prices = {"price_ticks": 10**17, "last_ticks": 10**17, "cl_ord_id": 1, "orig_cl_ord_id": 1, "order_id": 1}
    report = FILL | big | prices | {"instrument": 0, "ord_status": OrdStatus.REJECTED, "reason": 65535}
    quote = {"instrument": 0} | {f"{s}_ticks": 10**17 for s in ("bid", "bid2", "ask", "ask2")}
    quote |= {f"{s}_qty": 2**31 - 1 for s in ("bid", "bid2", "ask", "ask2")}
    for encode, layout, row in (
        (encode_executions, records.EXECUTION, report), (encode_executions, records.EXECUTION, report | {"reason": 0}),
        (encode_quotes, records.QUOTE, quote), (encode_orders, records.ORDER, NEW | {"instrument": 0,
         "price_ticks": 10**17}),
    ):  # fmt: skip
        rows, out, ends = records.table(layout, 1), np.full(MESSAGE_ROOM + 64, 0xAA, np.uint8), np.zeros(1, np.int64)
        for name, value in row.items():
            rows[name][0] = value
        size, messages, _ = encode(link.state, table.state, rows, 0, 1, 2**63 - 2, NOW_NS, out[:MESSAGE_ROOM], ends)
        assert messages == 1
        assert size + 64 <= MESSAGE_ROOM
        assert set(out[MESSAGE_ROOM:].tolist()) == {0xAA}
        assert sum(wire.split(bytes(out[:size]))[0][:-7]) % 256 == int(bytes(out[size - 4 : size - 1]))


instruments = st.sampled_from(sorted(SYMBOLS))
id_numbers = st.integers(1, 2**64 - 1)
quantities = st.integers(1, 2**31 - 1)
ticks = st.integers(1, 10**12)
order_rows = st.fixed_dictionaries(
    {"action": st.sampled_from([OrderAction.NEW, OrderAction.REPLACE]), "instrument": instruments,
     "side": st.sampled_from(list(Side)),
     "ord_type": st.just(OrdType.LIMIT), "tif": st.sampled_from(list(TimeInForce)), "cl_ord_id": id_numbers,
     "orig_cl_ord_id": id_numbers, "price_ticks": ticks, "qty": quantities, "post_only": st.integers(0, 1)}
)  # fmt: skip
execution_rows = st.fixed_dictionaries(
    {"kind": st.just(FrameKind.EXECUTION), "instrument": instruments, "side": st.sampled_from(list(Side)),
     "exec_type": st.sampled_from(list(ExecType)), "ord_status": st.sampled_from([s for s in OrdStatus if s]),
     "cl_ord_id": id_numbers, "orig_cl_ord_id": st.integers(0, 2**64 - 1), "order_id": st.integers(0, 2**64 - 1),
     "exec_id": id_numbers, "price_ticks": st.integers(0, 10**12), "last_ticks": ticks, "last_qty": quantities,
     "order_qty": quantities, "leaves_qty": quantities, "cum_qty": quantities, "commission_e4": st.integers(-(10**9),
     10**9),
     "reason": st.integers(0, 65535), "tot_reports": st.integers(0, 65535), "last_report": st.integers(0, 1)}
)  # fmt: skip
quote_rows = st.fixed_dictionaries(
    {"instrument": instruments, "status": st.sampled_from([TradingStatus.OPEN, TradingStatus.HALTED])}
    | {f"{side}_{what}": ticks if what == "ticks" else st.integers(0, 2**31 - 1)
       for side in ("bid", "bid2", "ask", "ask2") for what in ("ticks", "qty")}
)  # fmt: skip


def round_trip(kind: str, rows: list[dict[str, Any]], layout: Any, seq: int) -> list[dict[str, Any]]:
    texts, stop = encoded(kind, rows, seq)
    assert (len(texts), stop) == (len(rows), EncodeStop.DONE)
    data, out, receiver = b"".join(texts), wire.frames(len(rows)), ENCODERS[kind][3]
    result = decode(receiver.state, TABLE.state, array(data), 0, len(data), seq, NOW_NS, out)
    assert tuple(result) == (len(data), len(rows), len(rows), StopReason.NEED_MORE), receiver.hand_over
    return [wire.row(layout, out, i) for i in range(len(rows))]


@given(st.lists(order_rows, min_size=1, max_size=8), st.integers(1, 10**18 - 10))
def test_orders_read_back(rows: list[dict[str, Any]], seq: int) -> None:
    for k, (row, back) in enumerate(zip(rows, round_trip("orders", rows, records.ORDER, seq), strict=True)):
        if row["action"] == OrderAction.NEW:
            row = row | {"orig_cl_ord_id": 0}
        assert {name: back[name] for name in row} == row
        assert (back["msg_seq"], back["reason"], back["ts_ns"], back["owner"]) == (seq + k, 0, NOW_MS_NS, 16)


@given(st.lists(execution_rows, min_size=1, max_size=8), st.integers(1, 10**18 - 10))
def test_executions_read_back(rows: list[dict[str, Any]], seq: int) -> None:
    for k, (row, back) in enumerate(zip(rows, round_trip("executions", rows, records.EXECUTION, seq), strict=True)):
        gone = set()
        if row["exec_type"] not in (ExecType.TRADE, ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL):
            gone |= {"last_ticks", "last_qty", "commission_e4"}
        if row["exec_type"] != ExecType.ORDER_STATUS:
            gone |= {"tot_reports", "last_report"}
        if row["ord_status"] != OrdStatus.REJECTED:
            gone.add("reason")
        assert {name: back[name] for name in row} == row | dict.fromkeys(gone, 0)
        assert (back["msg_seq"], back["flags"], back["ts_ns"], back["session"]) == (seq + k, 0, NOW_MS_NS, 3)


@given(st.lists(quote_rows, min_size=1, max_size=8), st.integers(1, 10**18 - 10))
def test_quotes_read_back(rows: list[dict[str, Any]], seq: int) -> None:
    for k, (row, back) in enumerate(zip(rows, round_trip("quotes", rows, records.QUOTE, seq), strict=True)):
        for side in ("bid", "bid2", "ask", "ask2"):
            if row[f"{side}_qty"] == 0:
                row[f"{side}_ticks"] = 0
        assert {name: back[name] for name in row} == row
        assert (back["src_seq"], back["ts_ns"]) == (seq + k, NOW_MS_NS)


@pytest.mark.parametrize("row", [CANCEL, MASS, MASS | {"instrument": CALL}, STATUS])
def test_other_commands_read_back(row: dict[str, Any]) -> None:
    (text,), _ = encoded("orders", [row])
    out = wire.frames(1)
    assert decode_one(VENUE.state, TABLE.state, text, 0, len(text), NOW_NS, out, 0) == 1
    back = wire.row(records.ORDER, out)
    assert {name: back[name] for name in row} == row


def test_prices_on_the_wire_are_what_people_write() -> None:
    for instrument in SYMBOLS:
        for units in (1, 9, 10, 99, 100, 101, 12345, 10**8, 10**8 + 1, 10**16):
            price = dict(fields_of("orders", NEW | {"instrument": instrument, "price_ticks": units}))[44]
            assert price == price_text(units, instrument) or float(price) == float(price_text(units, instrument))
    assert ids.from_wire(dict(fields_of("orders", NEW))[11]) == NEW["cl_ord_id"]


@pytest.mark.parametrize(
    ("notional", "cum", "text"),
    [
        (3 * 1244, 3, "12.44"),
        (1244 + 1245, 2, "12.445"),
        (2 * 1244 + 1245, 3, "12.44333333"),
        (1244 + 2 * 1245, 3, "12.44666667"),
        (7 * 1244 + 1, 8 - 1, "12.44142857"),
        (10**16 * 2 + 1, 2, "100000000000000.00"),
    ],
)
def test_the_average_price_follows_from_the_notional(notional: int, cum: int, text: str) -> None:
    """``msg_seq`` of the venue's row is the notional: exact as far as eight decimals go, then rounded."""
    row = FILL | {"msg_seq": notional, "cum_qty": cum}
    assert dict(fields_of("executions", row))[6] == text
    assert dict(fields_of("executions", row | {"exec_type": ExecType.CANCELED}))[6] == text, "whatever the report"


@pytest.mark.parametrize("exec_type", [ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT])
def test_a_bust_and_a_correction_name_the_report_they_amend(exec_type: ExecType) -> None:
    fields = dict(fields_of("executions", FILL | {"exec_type": exec_type, "orig_cl_ord_id": 0xE1}))
    assert (fields[150], fields[19], fields.get(41)) == (chr(exec_type), f"{0xE1:016X}", None)
    assert (fields[32], fields[31], fields[12]) == ("3", "12.44", "-0.6500")
    row = FILL | {"exec_type": exec_type, "orig_cl_ord_id": 0xE1}
    (back,) = round_trip("executions", [row], records.EXECUTION, 1)
    assert {name: back[name] for name in row} == row and back["flags"] == 0


def test_a_quotes_report_carries_its_entry() -> None:
    row = FILL | {"orig_cl_ord_id": 17, "flags": records.EXEC_QUOTE}
    fields = dict(fields_of("executions", row))
    assert (fields[11], fields[526], fields.get(41)) == (f"{row['cl_ord_id']:016X}", "17", None)
    (back,) = round_trip("executions", [row], records.EXECUTION, 1)
    assert back["orig_cl_ord_id"] == 17


@pytest.mark.parametrize("comp_id", ["A", "A" * 32])
def test_body_length_has_no_leading_zeros(comp_id: str) -> None:
    link = HotLink("FIX.4.4", comp_id, "B", role=CLIENT.role)
    table = records.table(records.ORDER, 2)
    for name, value in STATUS.items():
        table[name] = value
    out, ends = np.zeros(4096, np.uint8), np.zeros(4, np.int64)
    size, messages, _ = encode_orders(link.state, TABLE.state, table, 0, 2, 1, NOW_NS, out, ends)
    first, second = wire.split(bytes(out[:size]))
    assert messages == 2
    for text in (first, second):
        assert text == wire.reframe(wire.body_of(text))
    assert len(wire.parse(first)[1][1]) == (2 if comp_id == "A" else 3)
