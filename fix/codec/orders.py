"""NewOrderSingle, cancel, replace, mass cancel, mass status (D F G q AF) to ORDER frames.

An instruction is never ignored: a field or a code outside the conventions sends the message to
the session machine's side (``UNSUPPORTED``), where it is refused with its raw text at hand. What
can be told by a number is told by ``reason``: ``EXEC_*`` bits, 0 for a clean command.
"""

from typing import Any

import numpy as np

from fix.codec.fields import FIRST_BODY_SLOT, HandOver, Slot, slot_bits
from fix.codec.link import HAND_OVER_TAG, OWNER, SESSION, VALUE_AT, VALUE_SIZE
from fix.codec.reports import (
    char_value,
    event_time,
    has,
    id_field,
    missing_field,
    our_id_field,
    price_field,
    qty_field,
)
from fix.codec.symbols import PRICE_SCALE, find_symbol
from market.enums import FrameKind, OrderAction, OrdType, Side, TimeInForce
from market.jit import kernel
from market.records import EXEC_BAD_VALUE, EXEC_FOREIGN_ID, EXEC_UNKNOWN_SYMBOL, NO_INSTRUMENT

TYPE_NEW, TYPE_CANCEL, TYPE_REPLACE, TYPE_MASS_CANCEL = np.array([ord(c) for c in "DFGq"], np.int64)
TYPE_MASS_STATUS = np.int64((ord("A") << 8) | ord("F"))

_UNSUPPORTED = np.int64(-HandOver.UNSUPPORTED)
_ORDER = np.int64(FrameKind.ORDER)
_NEW, _CANCEL, _REPLACE = np.int64(OrderAction.NEW), np.int64(OrderAction.CANCEL), np.int64(OrderAction.REPLACE)
_MASS_CANCEL, _MASS_STATUS = np.int64(OrderAction.MASS_CANCEL), np.int64(OrderAction.MASS_STATUS)
_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_MARKET, _LIMIT = np.int64(OrdType.MARKET), np.int64(OrdType.LIMIT)
_DAY, _IOC, _FOK = np.int64(TimeInForce.DAY), np.int64(TimeInForce.IOC), np.int64(TimeInForce.FOK)
_POST_ONLY = 54  # ExecInst(18)=6: participate, don't initiate
_TAG_18, _TAG_40, _TAG_54, _TAG_59, _TAG_530, _TAG_585 = np.array([18, 40, 54, 59, 530, 585], np.int64)
_TAG_11, _NO_TAG = np.int64(11), np.int64(0)
_ONE_SECURITY, _ALL_ORDERS = 49, 55  # MassCancelRequestType(530), MassStatusReqType(585)

_CL_ORD_ID, _ORIG_CL_ORD_ID = np.int64(Slot.CL_ORD_ID), np.int64(Slot.ORIG_CL_ORD_ID)
_ORDER_ID, _SYMBOL, _SIDE = np.int64(Slot.ORDER_ID), np.int64(Slot.SYMBOL), np.int64(Slot.SIDE)
_ORDER_QTY, _PRICE, _ORD_TYPE = np.int64(Slot.ORDER_QTY), np.int64(Slot.PRICE), np.int64(Slot.ORD_TYPE)
_TIME_IN_FORCE, _EXEC_INST = np.int64(Slot.TIME_IN_FORCE), np.int64(Slot.EXEC_INST)
_MASS_TYPE, _STATUS_ID = np.int64(Slot.MASS_CANCEL_REQUEST_TYPE), np.int64(Slot.MASS_STATUS_REQ_ID)
_STATUS_TYPE = np.int64(Slot.MASS_STATUS_REQ_TYPE)

_COMMON = (Slot.CL_ORD_ID, Slot.SYMBOL, Slot.SIDE, Slot.TRANSACT_TIME)
_TERMS = (Slot.ORD_TYPE, Slot.ORDER_QTY)
_OPTIONAL_TERMS = (Slot.PRICE, Slot.TIME_IN_FORCE, Slot.EXEC_INST)
_HEADER = tuple(Slot)[:FIRST_BODY_SLOT]
_NEW_NEEDS = slot_bits(*_COMMON, *_TERMS)
_NEW_TAKES = slot_bits(*_HEADER, *_COMMON, *_TERMS, *_OPTIONAL_TERMS)
_CANCEL_NEEDS = slot_bits(*_COMMON, Slot.ORIG_CL_ORD_ID)
_CANCEL_TAKES = slot_bits(*_HEADER, *_COMMON, Slot.ORIG_CL_ORD_ID, Slot.ORDER_ID, Slot.ORDER_QTY)
_REPLACE_NEEDS = slot_bits(*_COMMON, *_TERMS, Slot.ORIG_CL_ORD_ID)
_REPLACE_TAKES = slot_bits(*_HEADER, *_COMMON, *_TERMS, *_OPTIONAL_TERMS, Slot.ORIG_CL_ORD_ID, Slot.ORDER_ID)
_MASS_CANCEL_NEEDS = slot_bits(Slot.CL_ORD_ID, Slot.MASS_CANCEL_REQUEST_TYPE, Slot.TRANSACT_TIME)
_MASS_CANCEL_TAKES = _MASS_CANCEL_NEEDS | slot_bits(*_HEADER, Slot.SYMBOL)
_MASS_STATUS_NEEDS = slot_bits(Slot.MASS_STATUS_REQ_ID, Slot.MASS_STATUS_REQ_TYPE)
_MASS_STATUS_TAKES = _MASS_STATUS_NEEDS | slot_bits(*_HEADER)
_0 = np.uint64(0)


@kernel
def _vocabulary(msg_type: int) -> Any:
    """``(needs, takes)``: fields without which a message of this type is none, and all that it may have."""
    if msg_type == TYPE_NEW:
        return _NEW_NEEDS, _NEW_TAKES
    if msg_type == TYPE_CANCEL:
        return _CANCEL_NEEDS, _CANCEL_TAKES
    if msg_type == TYPE_REPLACE:
        return _REPLACE_NEEDS, _REPLACE_TAKES
    if msg_type == TYPE_MASS_CANCEL:
        return _MASS_CANCEL_NEEDS, _MASS_CANCEL_TAKES
    return _MASS_STATUS_NEEDS, _MASS_STATUS_TAKES


@kernel
def _put_header(words: Any, buf: Any, seen: Any, msg_seq: int, ts_ns: int, now_ns: int, rows: Any, i: int) -> None:
    """Everything that does not depend on the type; the rest of the row zeroed."""
    session = words[SESSION]
    rows[i].kind = _ORDER
    rows[i].source = session
    rows[i].crc = 0
    rows[i].jseq = 0
    rows[i].ts_ns = ts_ns
    rows[i].recv_ns = now_ns
    rows[i].instrument = NO_INSTRUMENT
    rows[i].session = session
    rows[i].side = 0
    rows[i].ord_type = 0
    rows[i].tif = 0
    rows[i].action = 0
    rows[i].post_only = 0
    rows[i].purpose = 0
    rows[i].owner = words[OWNER]
    rows[i].cl_ord_id = id_field(words, buf, seen, _CL_ORD_ID)
    rows[i].orig_cl_ord_id = id_field(words, buf, seen, _ORIG_CL_ORD_ID)
    rows[i].price_ticks = 0
    rows[i].qty = 0
    rows[i].order_id = id_field(words, buf, seen, _ORDER_ID)
    rows[i].tick_ns = 0
    rows[i].msg_seq = np.uint64(msg_seq)
    rows[i].slot = -1
    rows[i].reason = 0


@kernel
def _unsupported(words: Any, tag: int) -> int:
    words[HAND_OVER_TAG] = tag
    return _UNSUPPORTED


@kernel
def _put_terms(words: Any, buf: Any, seen: Any, rows: Any, i: int) -> int:
    """OrdType, TimeInForce and ExecInst of a new order or replace: 1, or -UNSUPPORTED."""
    ord_type = char_value(words, buf, _ORD_TYPE)
    tif = char_value(words, buf, _TIME_IN_FORCE) if has(seen, _TIME_IN_FORCE) else np.int64(_DAY)
    if ord_type != _LIMIT and (ord_type != _MARKET or has(seen, _PRICE)):
        return _unsupported(words, _TAG_40)
    if tif != _DAY and tif != _IOC and tif != _FOK:
        return _unsupported(words, _TAG_59)
    if has(seen, _EXEC_INST):
        if char_value(words, buf, _EXEC_INST) != _POST_ONLY:
            return _unsupported(words, _TAG_18)
        rows[i].post_only = 1
    rows[i].ord_type = ord_type
    rows[i].tif = tif
    if ord_type == _LIMIT and not has(seen, _PRICE):
        return missing_field(words, seen)
    return 1


@kernel
def _put_instrument(words: Any, symbols: Any, buf: Any, rows: Any, i: int) -> int:
    """Write the instrument; its price scale, or -1 with the flag set where the symbol is unknown."""
    found = find_symbol(symbols, buf, words[VALUE_AT + _SYMBOL], words[VALUE_SIZE + _SYMBOL])
    if found < 0:
        rows[i].reason |= EXEC_UNKNOWN_SYMBOL
        return -1
    rows[i].instrument = found
    return symbols.rows[found, PRICE_SCALE]


@kernel
def _put_single(words: Any, symbols: Any, buf: Any, seen: Any, msg_type: int, rows: Any, i: int) -> int:
    """Side, instrument, quantity and, where it has them, price and terms of D, F and G: 1 or -HandOver."""
    terms = msg_type != TYPE_CANCEL
    side = char_value(words, buf, _SIDE)
    if side != _BUY and side != _SELL:
        return _unsupported(words, _TAG_54)
    rows[i].side = side
    if terms:
        result = _put_terms(words, buf, seen, rows, i)
        if result < 0:
            return result
    scale = _put_instrument(words, symbols, buf, rows, i)
    qty = qty_field(words, buf, seen, _ORDER_QTY)
    price = price_field(words, buf, seen, _PRICE, scale) if terms and scale >= 0 else np.int64(0)
    if qty < 0 or price < 0:
        rows[i].reason |= EXEC_BAD_VALUE
    else:
        rows[i].qty = qty
        rows[i].price_ticks = price
    return 1


@kernel
def decode_order(
    words: Any, symbols: Any, buf: Any, seen: Any, msg_type: int, msg_seq: int, sending_ns: int, now_ns: int,
    foreign_ids: bool, rows: Any, i: int,
) -> int:  # fmt: skip
    """One command to ``rows[i]`` (ORDER): 1, or -HandOver.

    ``foreign_ids``: take ids of another form (flagged) instead of handing the message over.
    """
    needs, takes = _vocabulary(msg_type)
    if (seen & needs) != needs:
        return missing_field(words, seen)
    if (seen & ~takes) != _0:
        return _unsupported(words, _NO_TAG)
    id_slot = _STATUS_ID if msg_type == TYPE_MASS_STATUS else _CL_ORD_ID
    ours = our_id_field(words, buf, seen, id_slot)
    if has(seen, _ORIG_CL_ORD_ID):
        ours &= our_id_field(words, buf, seen, _ORIG_CL_ORD_ID)
    if not ours and not foreign_ids:
        return _unsupported(words, _TAG_11)
    _put_header(words, buf, seen, msg_seq, event_time(words, buf, seen, sending_ns), now_ns, rows, i)
    if not ours:
        rows[i].reason |= EXEC_FOREIGN_ID
    if msg_type == TYPE_NEW:
        rows[i].action = _NEW
        return _put_single(words, symbols, buf, seen, msg_type, rows, i)
    if msg_type == TYPE_REPLACE:
        rows[i].action = _REPLACE
        return _put_single(words, symbols, buf, seen, msg_type, rows, i)
    if msg_type == TYPE_CANCEL:
        rows[i].action = _CANCEL
        return _put_single(words, symbols, buf, seen, msg_type, rows, i)
    if msg_type == TYPE_MASS_STATUS:
        rows[i].action = _MASS_STATUS
        rows[i].cl_ord_id = id_field(words, buf, seen, _STATUS_ID)
        return 1 if char_value(words, buf, _STATUS_TYPE) == _ALL_ORDERS else _unsupported(words, _TAG_585)
    rows[i].action = _MASS_CANCEL
    scope = char_value(words, buf, _MASS_TYPE)
    if scope == _ALL_ORDERS:
        return 1
    if scope != _ONE_SECURITY:
        return _unsupported(words, _TAG_530)
    if not has(seen, _SYMBOL):
        return missing_field(words, seen)
    _put_instrument(words, symbols, buf, rows, i)
    return 1
