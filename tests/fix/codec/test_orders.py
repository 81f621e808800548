"""Commands at a venue: D, F, G, q, AF to ORDER frames. An instruction is never ignored."""

from typing import Any

import pytest

from fix.codec import NO_INSTRUMENT, HandOver, StopReason, decode, decode_one
from market import ids
from market.enums import FrameKind, OrderAction, OrdType, Side, TimeInForce
from market.records import EXEC_BAD_VALUE, EXEC_FOREIGN_ID, EXEC_UNKNOWN_SYMBOL, ORDER
from tests.fix.codec import wire
from tests.fix.codec.wire import CALL, EQUITY, NOW_MS_NS, NOW_NS, NOW_TEXT, SYMBOLS, array, message

TABLE = wire.symbol_table()
LINK = wire.venue_link()
ID, ORIG = "0001000000020003", "0001000000010002"
NEW: dict[int, Any] = {
    11: ID,
    55: SYMBOLS[CALL],
    54: "1",
    38: 10,
    40: "2",
    44: "12.45",
    59: "0",
    18: "6",
    21: "1",
    60: NOW_TEXT,
}
CANCEL: dict[int, Any] = {41: ORIG, 11: ID, 55: SYMBOLS[CALL], 54: "2", 38: 10, 60: NOW_TEXT}
REPLACE: dict[int, Any] = {
    41: ORIG,
    11: ID,
    55: SYMBOLS[EQUITY],
    54: "2",
    38: 5,
    40: "2",
    44: "701.10",
    59: "0",
    21: "1",
    60: NOW_TEXT,
}
MASS: dict[int, Any] = {11: ID, 530: "7", 60: NOW_TEXT}
STATUS: dict[int, Any] = {584: ID, 585: "7"}
BLANK: dict[str, Any] = {
    "kind": FrameKind.ORDER, "source": 5, "crc": 0, "jseq": 0, "ts_ns": NOW_MS_NS, "recv_ns": NOW_NS,
    "instrument": NO_INSTRUMENT,
    "session": 5, "side": 0, "ord_type": 0, "tif": 0, "action": 0, "post_only": 0, "purpose": 0, "owner": 16,
    "cl_ord_id": int(ID, 16), "orig_cl_ord_id": 0, "price_ticks": 0, "qty": 0, "order_id": 0, "tick_ns": 0,
    "msg_seq": 9,
    "slot": -1, "reason": 0,
}  # fmt: skip


def wire_text(msg_type: str, fields: dict[int, Any], **changes: Any) -> bytes:
    fields = fields | {int(name[1:]): value for name, value in changes.items()}
    return message(msg_type, 9, [(t, v) for t, v in fields.items() if v is not None], to_venue=True)


def decoded(msg_type: str, fields: dict[int, Any], **changes: Any) -> dict[str, Any]:
    data, out = wire_text(msg_type, fields, **changes), wire.frames(1)
    result = decode(LINK.state, TABLE.state, array(data), 0, len(data), 9, NOW_NS, out)
    assert tuple(result) == (len(data), 1, 1, StopReason.NEED_MORE), LINK.hand_over
    return wire.row(ORDER, out)


def refused(msg_type: str, fields: dict[int, Any], **changes: Any) -> tuple[HandOver, int]:
    """Why neither way of decoding takes the message, and the tag."""
    data, out = wire_text(msg_type, fields, **changes), wire.frames(1)
    result = decode(LINK.state, TABLE.state, array(data), 0, len(data), 9, NOW_NS, out)
    assert tuple(result) == (0, 0, 0, StopReason.HAND_OVER)
    why = LINK.hand_over
    assert decode_one(LINK.state, TABLE.state, data, 0, len(data), NOW_NS, out, 0) == -why[0]
    return why


def test_a_new_order() -> None:
    assert decoded("D", NEW) == BLANK | {
        "action": OrderAction.NEW, "instrument": CALL, "side": Side.BUY, "ord_type": OrdType.LIMIT,
        "tif": TimeInForce.DAY,
        "post_only": 1, "price_ticks": 1245, "qty": 10,
    }  # fmt: skip


def test_terms_of_a_new_order() -> None:
    assert decoded("D", NEW, t18=None)["post_only"] == 0
    assert decoded("D", NEW, t59=None)["tif"] == TimeInForce.DAY
    assert decoded("D", NEW, t59="3")["tif"] == TimeInForce.IOC
    assert decoded("D", NEW, t59="4")["tif"] == TimeInForce.FOK
    market = decoded("D", NEW, t40="1", t44=None, t18=None)
    assert (market["ord_type"], market["price_ticks"]) == (OrdType.MARKET, 0)
    assert decoded("D", NEW, t1="ACCOUNT", t58="text", t528="P", t77="O")["reason"] == 0


def test_a_cancel() -> None:
    expected = BLANK | {
        "action": OrderAction.CANCEL, "instrument": CALL, "side": Side.SELL, "qty": 10, "orig_cl_ord_id": int(ORIG, 16),
    }  # fmt: skip
    assert decoded("F", CANCEL) == expected
    assert decoded("F", CANCEL, t38=None) == expected | {"qty": 0}
    assert decoded("F", CANCEL, t37="00000000000000AB") == expected | {"order_id": 0xAB}


def test_a_replace() -> None:
    assert decoded("G", REPLACE) == BLANK | {
        "action": OrderAction.REPLACE, "instrument": EQUITY, "side": Side.SELL, "ord_type": OrdType.LIMIT,
        "tif": TimeInForce.DAY, "price_ticks": 70110, "qty": 5, "orig_cl_ord_id": int(ORIG, 16),
    }  # fmt: skip


def test_mass_cancels() -> None:
    assert decoded("q", MASS) == BLANK | {"action": OrderAction.MASS_CANCEL}
    assert decoded("q", MASS, t530="1", t55="GOOG") == BLANK | {"action": OrderAction.MASS_CANCEL, "instrument": EQUITY}
    assert decoded("q", MASS, t530="1", t55="NOPE")["reason"] == EXEC_UNKNOWN_SYMBOL


def test_a_mass_status_request_is_cold() -> None:
    data, out = wire_text("AF", STATUS), wire.frames(1)
    assert tuple(decode(LINK.state, TABLE.state, array(data), 0, len(data), 9, NOW_NS, out))[3] == StopReason.HAND_OVER
    assert decode_one(LINK.state, TABLE.state, data, 0, len(data), NOW_NS, out, 0) == 1
    assert wire.row(ORDER, out) == BLANK | {"action": OrderAction.MASS_STATUS}
    data = wire_text("AF", STATUS, t585="1")
    assert decode_one(LINK.state, TABLE.state, data, 0, len(data), NOW_NS, out, 0) == -HandOver.UNSUPPORTED


@pytest.mark.parametrize(
    ("msg_type", "fields", "changes", "tag"),
    [
        ("D", NEW, {"t40": "3"}, 40), ("D", NEW, {"t40": "1"}, 40), ("D", NEW, {"t40": "22"}, 40), ("D", NEW,
         {"t59": "1"}, 59),
        ("D", NEW, {"t59": "00"}, 59), ("D", NEW, {"t18": "G"}, 18), ("D", NEW, {"t18": "6 G"}, 18), ("D", NEW,
         {"t54": "5"}, 54),
        ("D", NEW, {"t110": 5}, 110), ("D", NEW, {"t111": 5}, 111), ("D", NEW, {"t99": "1.00"}, 99), ("D", NEW,
         {"t126": NOW_TEXT}, 126),
        ("D", NEW, {"t9000": "x"}, 9000), ("D", NEW, {"t41": ORIG}, 0), ("D", NEW, {"t354": 1, "t355": "x"}, 354),
        ("F", CANCEL, {"t44": "1.00"}, 0), ("F", CANCEL, {"t54": "B"}, 54), ("G", REPLACE, {"t18": "e"}, 18),
        ("q", MASS, {"t54": "1"}, 0), ("q", MASS, {"t530": "3"}, 530), ("q", MASS, {"t55": "GOOG", "t38": 3}, 0),
    ],
)  # fmt: skip
def test_an_instruction_outside_the_conventions_is_refused(
    msg_type: str, fields: dict[int, Any], changes: Any, tag: int
) -> None:
    assert refused(msg_type, fields, **changes) == (HandOver.UNSUPPORTED, tag)


@pytest.mark.parametrize(
    ("msg_type", "fields", "tags"),
    [("D", NEW, (11, 55, 54, 38, 40, 44, 60)), ("F", CANCEL, (41, 11, 55, 54, 60)), ("G", REPLACE, (41, 11, 55, 54, 38,
     40, 44, 60)),
     ("q", MASS, (11, 530, 60)), ("q", MASS | {530: "1", 55: "GOOG"}, (55,))],
)  # fmt: skip
def test_a_missing_field_is_refused(msg_type: str, fields: dict[int, Any], tags: tuple[int, ...]) -> None:
    for tag in tags:
        assert refused(msg_type, {t: v for t, v in fields.items() if t != tag})[0] == HandOver.MISSING_FIELD


@pytest.mark.parametrize(("msg_type", "fields"), [("D", NEW), ("F", CANCEL), ("G", REPLACE), ("q", MASS)])
def test_ids_of_another_form_are_handed_over_and_flagged_by_decode_one(msg_type: str, fields: dict[int, Any]) -> None:
    for tag in [t for t in (11, 41) if t in fields]:
        data, out = wire_text(msg_type, fields | {tag: "mine-1"}), wire.frames(1)
        assert tuple(decode(LINK.state, TABLE.state, array(data), 0, len(data), 9, NOW_NS, out)) == (
            0,
            0,
            0,
            StopReason.HAND_OVER,
        )
        assert LINK.hand_over == (HandOver.UNSUPPORTED, 11)
        assert decode_one(LINK.state, TABLE.state, data, 0, len(data), NOW_NS, out, 0) == 1
        frame = wire.row(ORDER, out)
        assert frame["reason"] == EXEC_FOREIGN_ID
        assert frame["cl_ord_id" if tag == 11 else "orig_cl_ord_id"] == ids.from_wire("mine-1")


@pytest.mark.parametrize(
    "change",
    [{"t38": "-1"}, {"t38": "x"}, {"t38": "2147483648"}, {"t44": "-1"}, {"t44": "1.001"}, {"t44": ".."}],
    ids=str,
)
def test_numbers_that_cannot_be_are_flagged_for_the_venue_to_reject(change: dict[str, Any]) -> None:
    frame = decoded("D", NEW, **change)
    assert (frame["reason"], frame["qty"], frame["price_ticks"]) == (EXEC_BAD_VALUE, 0, 0)
    assert (frame["cl_ord_id"], frame["instrument"], frame["side"]) == (int(ID, 16), CALL, Side.BUY)


def test_an_unknown_symbol_is_flagged_for_the_venue_to_reject() -> None:
    frame = decoded("D", NEW, t55="GOOG151224P00750000")
    assert (frame["reason"], frame["instrument"], frame["qty"], frame["price_ticks"]) == (
        EXEC_UNKNOWN_SYMBOL,
        NO_INSTRUMENT,
        10,
        0,
    )
