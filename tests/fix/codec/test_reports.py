"""ExecutionReport and OrderCancelReject to EXECUTION frames, and what is flagged in them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix.codec import NO_INSTRUMENT, StopReason, decode
from market import ids
from market.enums import ExecType, FrameKind, OrdStatus, Side
from market.records import EXEC_BAD_VALUE, EXEC_FOREIGN_ID, EXEC_UNKNOWN_SYMBOL, EXECUTION
from tests.fix.codec import wire
from tests.fix.codec.wire import (
    CALL,
    NOW_MS_NS,
    NOW_NS,
    NOW_TEXT,
    SCALES,
    SYMBOLS,
    array,
    message,
    price_text,
    time_text,
)

TABLE = wire.symbol_table()
LINK = wire.client_link()
BASE: dict[int, Any] = {
    37: "00000000000000AB", 11: "0001000000020003", 17: "00000000DEADBEEF", 150: "F", 39: "1", 55: SYMBOLS[CALL],
        54: "1",
    38: 10, 44: "12.50", 32: 3, 31: "12.45", 151: 7, 14: 3, 6: "12.45", 60: "20260102-13:45:12.120",
}  # fmt: skip
NUMBERS = ("price_ticks", "last_ticks", "last_qty", "order_qty", "leaves_qty", "cum_qty", "commission_e4")


def decoded(msg_type: str, fields: dict[int, Any], seq: int = 1) -> dict[str, Any]:
    """The frame of one message; None removes a field."""
    data = message(msg_type, seq, [(tag, value) for tag, value in fields.items() if value is not None])
    out = wire.frames(1)
    result = decode(LINK.state, TABLE.state, array(data), 0, len(data), seq, NOW_NS, out)
    assert tuple(result) == (len(data), 1, 1, StopReason.NEED_MORE), LINK.hand_over
    return wire.row(EXECUTION, out)


def report(**changes: Any) -> dict[str, Any]:
    """The frame of :data:`BASE` with ``t31=...`` changes."""
    return decoded("8", BASE | {int(name[1:]): value for name, value in changes.items()})


def test_a_fill_reads_as_it_was_written() -> None:
    assert decoded("8", BASE, seq=77) == {
        "kind": FrameKind.EXECUTION, "source": 3, "crc": 0, "jseq": 0, "ts_ns": NOW_MS_NS - 3_000_000,
        "recv_ns": NOW_NS,
        "instrument": CALL, "session": 3, "side": Side.BUY, "exec_type": ExecType.TRADE,
        "ord_status": OrdStatus.PARTIALLY_FILLED, "poss_dup": 0, "last_report": 0, "flags": 0, "reason": 0,
        "tot_reports": 0,
        "cl_ord_id": 0x0001000000020003, "orig_cl_ord_id": 0, "order_id": 0xAB, "exec_id": 0xDEADBEEF, "msg_seq": 77,
        "price_ticks": 1250, "last_ticks": 1245, "last_qty": 3, "order_qty": 10, "leaves_qty": 7, "cum_qty": 3,
        "commission_e4": 0,
    }  # fmt: skip


quantities = st.integers(0, 2**31 - 1)
hex_ids = st.integers(0, 2**64 - 1)


@given(
    st.sampled_from(sorted(SYMBOLS)), st.sampled_from(list(Side)), st.sampled_from(list(ExecType)),
    st.sampled_from([s for s in OrdStatus if s]), st.tuples(quantities, quantities, quantities, st.integers(1,
    2**31 - 1)),
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), st.tuples(hex_ids, hex_ids, hex_ids, hex_ids),
    st.integers(0, 4_000_000_000_000), st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_report_in_any_field_order(
    instrument, side, exec_type, status, qty, prices, numbers, at_ms, random
) -> None:  # type: ignore[no-untyped-def]
    reference = 19 if exec_type in (ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT) else 41
    fields = {
        37: ids.to_wire(numbers[0]), 11: ids.to_wire(numbers[1]), reference: ids.to_wire(numbers[2]),
            17: ids.to_wire(numbers[3]),
        150: chr(exec_type), 39: chr(status), 55: SYMBOLS[instrument], 54: chr(side), 38: qty[0], 151: qty[1],
            14: qty[2],
        32: qty[3], 44: price_text(prices[0], instrument), 31: price_text(prices[1], instrument), 6: 0,
        60: time_text(at_ms * 10**6), 5001: "other", 58: "text = with equals",
    }  # fmt: skip
    shuffled = list(fields.items())
    random.shuffle(shuffled)
    frame = decoded("8", dict(shuffled))
    assert frame["flags"] == 0
    assert [frame[n] for n in ("order_id", "cl_ord_id", "orig_cl_ord_id", "exec_id")] == list(numbers)
    assert [frame[n] for n in ("order_qty", "leaves_qty", "cum_qty", "last_qty")] == list(qty)
    assert [frame["price_ticks"], frame["last_ticks"]] == list(prices)
    assert (frame["instrument"], frame["side"], frame["exec_type"], frame["ord_status"]) == (
        instrument,
        side,
        exec_type,
        status,
    )
    assert frame["ts_ns"] == at_ms * 10**6


@pytest.mark.parametrize(
    "change",
    [{"t32": "-3"}, {"t32": "x"}, {"t32": "3.5"}, {"t32": "2147483648"}, {"t32": 0}, {"t32": None}, {"t31": None},
     {"t31": "-12.45"}, {"t31": "12.455"}, {"t31": "1e3"}, {"t31": "99999999999999999.99"}, {"t44": "-0.01"},
      {"t44": "abc"},
     {"t38": "-1"}, {"t151": "-7"}, {"t14": "99999999999"}, {"t54": "5"}, {"t54": "12"}, {"t150": "Z"}, {"t150": "FF"},
     {"t39": "~"}, {"t39": "11"}, {"t12": "0.65"}, {"t12": "0.00001", "t13": 3}, {"t12": "x", "t13": 3}, {"t12": "5",
      "t13": 2}],
    ids=str,
)  # fmt: skip
def test_a_bad_value_is_flagged_and_every_number_zero(change: dict[str, Any]) -> None:
    frame = report(**change)
    assert frame["flags"] == EXEC_BAD_VALUE
    assert [frame[name] for name in NUMBERS] == [0] * 7
    assert (frame["cl_ord_id"], frame["exec_id"], frame["instrument"]) == (0x0001000000020003, 0xDEADBEEF, CALL)


def test_an_unknown_symbol_is_flagged_and_keeps_its_quantities() -> None:
    for symbol in ("GOOG151224C00750001", "GOOG1", "GOO", "X" * 24, "X" * 25, "[N/A]"):
        frame = report(t55=symbol)
        assert (frame["flags"], frame["instrument"]) == (EXEC_UNKNOWN_SYMBOL, NO_INSTRUMENT)
        assert [frame[name] for name in NUMBERS] == [0, 0, 3, 10, 7, 3, 0]  # no scale: no prices


@pytest.mark.parametrize(
    "foreign", ["order-1", "000100000002000a", "00010000000200030", "000100000002000", "0001000000020O03"]
)
def test_a_foreign_order_id_is_flagged_and_known_by_its_hash(foreign: str) -> None:
    frame = report(t11=foreign)
    assert (frame["flags"], frame["cl_ord_id"]) == (EXEC_FOREIGN_ID, ids.from_wire(foreign))


def test_an_order_of_nobody_is_foreign() -> None:
    assert (report(t11=None)["flags"], report(t11=None)["cl_ord_id"]) == (EXEC_FOREIGN_ID, 0)


def test_venue_ids_of_another_form_are_hashed_and_not_flagged() -> None:
    frame = report(t37="ORD#17", t17="E-5", t41="earlier")
    assert frame["flags"] == 0
    names = ("order_id", "exec_id", "orig_cl_ord_id")
    assert [frame[n] for n in names] == [ids.from_wire(text) for text in ("ORD#17", "E-5", "earlier")]
    assert report(t37="NONE")["order_id"] == 0


def test_commission_is_absolute_or_per_unit() -> None:
    assert report(t12="0.65", t13=3)["commission_e4"] == 6500
    assert report(t12="-1.2345", t13=3)["commission_e4"] == -12345
    assert report(t12="0.0007", t13=1)["commission_e4"] == 21


def test_the_time_is_transact_time_or_else_sending_time() -> None:
    assert report()["ts_ns"] == NOW_MS_NS - 3_000_000
    assert report(t60=None)["ts_ns"] == NOW_MS_NS
    assert report(t60="yesterday")["ts_ns"] == NOW_MS_NS
    assert report(t60="20260102-13:45:12")["ts_ns"] == NOW_NS // 10**9 * 10**9


def test_reject_reasons() -> None:
    assert report(t150="8", t39="8", t103=13)["reason"] == 13
    assert [report(t103=text)["reason"] for text in ("-1", "x", "65536", "65535")] == [99, 99, 99, 65535]


def test_status_reports_carry_the_request_and_the_count() -> None:
    frame = report(t150="I", t39="0", t584="00000000000000FF", t911=3, t912="Y", t32=None, t31=None)
    assert (frame["flags"], frame["orig_cl_ord_id"], frame["tot_reports"], frame["last_report"]) == (0, 0xFF, 3, 1)
    frame = report(t150="I", t39="0", t911=70_000, t912="N", t32=None, t31=None)
    assert (frame["tot_reports"], frame["last_report"], frame["orig_cl_ord_id"]) == (65535, 0, 0)


def test_no_open_orders_is_an_answer_without_an_order() -> None:
    change: dict[str, Any] = {
        "t150": "I",
        "t39": "8",
        "t55": "[N/A]",
        "t54": "7",
        "t11": None,
        "t584": "00000000000000FF",
    }
    frame = report(**change, t911=0, t912="Y", t38=None, t44=None, t32=None, t31=None, t151=0, t14=0)
    assert (frame["flags"], frame["instrument"], frame["side"], frame["cl_ord_id"]) == (0, NO_INSTRUMENT, 0, 0)
    assert (frame["orig_cl_ord_id"], frame["tot_reports"], frame["last_report"]) == (0xFF, 0, 1)


def test_prices_have_their_instruments_scale() -> None:
    for instrument, symbol in SYMBOLS.items():
        frame = report(t55=symbol, t44="15", t31=price_text(7, instrument))
        assert (frame["instrument"], frame["price_ticks"], frame["last_ticks"]) == (
            instrument,
            15 * 10 ** SCALES[instrument],
            7,
        )


REJECT: dict[int, Any] = {
    37: "00000000000000AB",
    11: "0001000000020004",
    41: "0001000000020003",
    39: "2",
    434: "1",
    102: 0,
    60: NOW_TEXT,
}


def test_a_cancel_reject_says_which_request_was_refused() -> None:
    frame = decoded("9", REJECT)
    assert frame == {
        "kind": FrameKind.CANCEL_REJECT, "source": 3, "crc": 0, "jseq": 0, "ts_ns": NOW_MS_NS, "recv_ns": NOW_NS,
        "instrument": NO_INSTRUMENT, "session": 3, "side": 0, "exec_type": ExecType.PENDING_CANCEL,
        "ord_status": OrdStatus.FILLED, "poss_dup": 0, "last_report": 0, "flags": 0, "reason": 0, "tot_reports": 0,
        "cl_ord_id": 0x0001000000020004, "orig_cl_ord_id": 0x0001000000020003, "order_id": 0xAB, "exec_id": 0,
        "msg_seq": 1,
        "price_ticks": 0, "last_ticks": 0, "last_qty": 0, "order_qty": 0, "leaves_qty": 0, "cum_qty": 0,
        "commission_e4": 0,
    }  # fmt: skip
    assert decoded("9", REJECT | {434: "2", 102: 5})["exec_type"] == ExecType.PENDING_REPLACE
    assert decoded("9", REJECT | {434: "2", 102: 5})["reason"] == 5
    assert decoded("9", REJECT | {37: "NONE", 39: "8", 102: 1})["order_id"] == 0


def test_odd_cancel_rejects_are_flagged() -> None:
    assert decoded("9", REJECT | {11: "theirs"})["flags"] == EXEC_FOREIGN_ID
    assert decoded("9", REJECT | {434: "3"})["flags"] == EXEC_BAD_VALUE
    assert decoded("9", REJECT | {39: "?"})["flags"] == EXEC_BAD_VALUE
