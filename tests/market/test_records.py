"""Layouts are pinned: journals on disk and rings of running processes depend on every offset."""

import numpy as np
import pytest

from market.records import FRAME_BYTES, HEADER_BYTES, LAYOUTS, as_layout, frames, packed, table

HEADER = {"kind": 0, "source": 2, "crc": 4, "jseq": 8, "ts_ns": 16, "recv_ns": 24}

PINNED = {
    "HEADER": {},
    "QUOTE": {
        "instrument": 32, "status": 36, "bid_ticks": 40, "bid_qty": 48, "ask_ticks": 56, "ask_qty": 64,
        "bid2_ticks": 72, "bid2_qty": 80, "ask2_ticks": 88, "ask2_qty": 96, "src_seq": 104, "last_ticks": 112,
    },
    "TRADE": {
        "instrument": 32, "aggressor": 36, "pad0": 37, "pad1": 38, "price_ticks": 40, "qty": 48, "trade_id": 56,
        "src_seq": 64,
    },
    "ORDER": {
        "instrument": 32, "session": 36, "side": 38, "ord_type": 39, "tif": 40, "action": 41, "post_only": 42,
        "purpose": 43, "owner": 44, "cl_ord_id": 48, "orig_cl_ord_id": 56, "price_ticks": 64, "qty": 72,
        "order_id": 80, "tick_ns": 88, "msg_seq": 96, "slot": 104, "reason": 108,
    },
    "EXECUTION": {
        "instrument": 32, "session": 36, "side": 38, "exec_type": 39, "ord_status": 40, "poss_dup": 41,
        "last_report": 42, "flags": 43, "reason": 44, "tot_reports": 46, "cl_ord_id": 48, "orig_cl_ord_id": 56,
        "order_id": 64, "exec_id": 72, "msg_seq": 80, "price_ticks": 88, "last_ticks": 96, "last_qty": 104,
        "order_qty": 108, "leaves_qty": 112, "cum_qty": 116, "commission_e4": 120,
    },
    "CONTROL": {
        "verb": 32, "scope": 34, "target": 36, "limit": 40, "actor_uid": 44, "value": 48, "request_id": 56,
        "digest": 64,
    },
    "TIMER": {"timer": 32, "pad0": 36, "period_ns": 40, "wall_ns": 48},
    "THEO": {
        "instrument": 32, "status": 36, "theo": 40, "delta": 48, "gamma": 56, "vega": 64, "theta": 72, "vol": 80,
        "spot_ref": 88, "refresh": 96, "years": 104,
    },
    "THEO_COMMIT": {"refresh": 32, "rows": 40, "underlying": 44, "spot_ref": 48},
    "INSTRUMENT": {
        "instrument": 32, "underlying": 36, "security": 40, "right": 41, "style": 42, "price_scale": 43,
        "session": 44, "tick_rule": 46, "multiplier": 48, "venue_index": 52, "strike": 56, "expiry_ns": 64,
        "symbol": 72,
    },
    "SESSION": {"session": 32, "state": 34, "reason": 36, "next_in": 40, "next_out": 48},
    "SECURITY_STATUS": {"instrument": 32, "status": 36, "session": 40, "pad0": 42, "msg_seq": 44},
    "QUOTE_ENTRY": {
        "instrument": 32, "session": 36, "pad0": 38, "pad1": 40, "action": 41, "last_entry": 42, "pad2": 43,
        "owner": 44, "quote_id": 48, "entry_id": 56, "bid_ticks": 64, "bid_qty": 72, "ask_ticks": 80, "ask_qty": 88,
        "msg_seq": 96, "set_id": 104, "reason": 108, "underlying": 112, "ticket": 116,
    },
    "STAMPS": {
        "cl_ord_id": 32, "slot": 40, "session": 44, "hot": 46, "venue_ns": 48, "ring_ns": 56, "read_ns": 64,
        "decided_ns": 72, "gated_ns": 80, "sent_ns": 88,
    },
    "RUN_START": {"run": 32, "config_digest": 40, "seed": 48},
    "EVENT": {
        "code": 32, "scope": 36, "target": 40, "origin": 44, "cl_ord_id": 48, "value": 56, "bound": 64, "ref": 72,
    },
}  # fmt: skip


def test_every_layout_is_pinned():
    assert set(PINNED) == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_offsets_are_those_on_disk(name):
    layout = LAYOUTS[name]
    assert {f: layout.fields[f][1] for f in layout.names} == HEADER | PINNED[name]


def test_a_quote_entry_travels_as_an_order():
    order, entry = LAYOUTS["ORDER"].fields, LAYOUTS["QUOTE_ENTRY"].fields
    for field in ("kind", "instrument", "session", "action", "owner", "msg_seq", "reason"):
        assert order[field] == entry[field]
    for field, same in (
        ("quote_id", "cl_ord_id"), ("entry_id", "orig_cl_ord_id"), ("bid_ticks", "price_ticks"), ("bid_qty", "qty"),
        ("ask_ticks", "order_id"), ("ask_qty", "tick_ns"), ("last_entry", "post_only"),
    ):  # fmt: skip
        assert order[same][1] == entry[field][1], "the matching engine reads the entry through ORDER"


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_field_lies_inside_the_frame_aligned_and_apart(name):
    layout = LAYOUTS[name]
    assert layout.itemsize == FRAME_BYTES == 128
    spans = sorted((layout.fields[f][1], layout.fields[f][0].itemsize) for f in layout.names)
    for (start, size), (following, _) in zip(spans, [*spans[1:], (FRAME_BYTES, 0)], strict=True):
        assert start + size <= following
    for field in layout.names:
        kind, offset = layout.fields[field][:2]
        assert kind.kind == "S" or offset % kind.itemsize == 0, field


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_little_endian_whatever_the_machine(name):
    layout = LAYOUTS[name]
    for field in layout.names:
        assert layout.fields[field][0].newbyteorder("<") == layout.fields[field][0]


def test_a_view_shares_the_frames_memory():
    raw = frames(3)
    as_layout(raw, LAYOUTS["TIMER"])["wall_ns"][1] = -2
    assert raw.view(np.int64).reshape(3, 16)[1, 6] == -2 and not raw[0].any()


def test_a_record_too_large_is_refused():
    with pytest.raises(ValueError, match="16 bytes exceeds 8"):
        packed([("a", "<i8"), ("b", "<i8")], 8)


def test_tables_are_zeroed_and_header_is_the_same_everywhere():
    for layout in LAYOUTS.values():
        assert not table(layout, 2).view(np.uint8).any()
        assert {f: layout.fields[f] for f in HEADER} == {f: LAYOUTS["HEADER"].fields[f] for f in HEADER}
    assert HEADER_BYTES == 32
