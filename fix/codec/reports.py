"""ExecutionReport (8) and OrderCancelReject (9) to EXECUTION frames.

A report is never dropped for what is in it: an unknown symbol, a negative quantity or a foreign
id become flags of the frame (``records.EXEC_*``). Only a field that is missing altogether sends
the message to the session machine, which refuses it by the book.
"""

from typing import Any

import numpy as np

from fix.codec.fields import HandOver, Slot, slot_bits
from fix.codec.link import HAND_OVER_TAG, SESSION, VALUE_AT, VALUE_SIZE
from fix.codec.symbols import PRICE_SCALE, find_symbol
from fix.codec.values import (
    BAD_PRICE,
    id_and_origin,
    id_value,
    is_our_id,
    price_value,
    qty_value,
    time_value,
    uint_value,
)
from market.enums import ExecType, FrameKind, OrdStatus, Side
from market.jit import kernel
from market.records import EXEC_BAD_VALUE, EXEC_FOREIGN_ID, EXEC_QUOTE, EXEC_UNKNOWN_SYMBOL, NO_INSTRUMENT

COMMISSION_SCALE = np.int64(4)  # commission_e4

_MISSING = np.int64(-HandOver.MISSING_FIELD)
_EXECUTION = np.int64(FrameKind.EXECUTION)
_CANCEL_REJECT = np.int64(FrameKind.CANCEL_REJECT)
_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_TRADE, _CORRECT, _BUST = np.int64(ExecType.TRADE), np.int64(ExecType.TRADE_CORRECT), np.int64(ExecType.TRADE_CANCEL)
_ORDER_STATUS = np.int64(ExecType.ORDER_STATUS)
_PENDING_CANCEL, _PENDING_REPLACE = np.int64(ExecType.PENDING_CANCEL), np.int64(ExecType.PENDING_REPLACE)
_UNDISCLOSED = 55  # Side(54)=7: what "no orders" answers carry
_ABSOLUTE, _PER_UNIT = 51, 49  # CommType(13)
_YES = 89
_REASON_OTHER = 99
_0 = np.uint64(0)
_1 = np.uint64(1)

# Known codes as bits, from character '0'.
KNOWN_EXEC_TYPES = np.uint64(sum(1 << (int(m) - 48) for m in ExecType))
KNOWN_ORD_STATUSES = np.uint64(sum(1 << (int(m) - 48) for m in OrdStatus if m))
_REPORT_FIELDS = slot_bits(
    Slot.ORDER_ID, Slot.EXEC_ID, Slot.EXEC_TYPE, Slot.ORD_STATUS, Slot.SYMBOL, Slot.SIDE, Slot.LEAVES_QTY, Slot.CUM_QTY
)
_REJECT_FIELDS = slot_bits(
    Slot.ORDER_ID, Slot.CL_ORD_ID, Slot.ORIG_CL_ORD_ID, Slot.ORD_STATUS, Slot.CXL_REJ_RESPONSE_TO
)

_CL_ORD_ID, _ORIG_CL_ORD_ID = np.int64(Slot.CL_ORD_ID), np.int64(Slot.ORIG_CL_ORD_ID)
_ORDER_ID, _EXEC_ID = np.int64(Slot.ORDER_ID), np.int64(Slot.EXEC_ID)
_EXEC_TYPE, _ORD_STATUS, _SYMBOL, _SIDE = (
    np.int64(Slot.EXEC_TYPE),
    np.int64(Slot.ORD_STATUS),
    np.int64(Slot.SYMBOL),
    np.int64(Slot.SIDE),
)
_ORDER_QTY, _PRICE, _LAST_QTY, _LAST_PX = (
    np.int64(Slot.ORDER_QTY),
    np.int64(Slot.PRICE),
    np.int64(Slot.LAST_QTY),
    np.int64(Slot.LAST_PX),
)
_LEAVES_QTY, _CUM_QTY = np.int64(Slot.LEAVES_QTY), np.int64(Slot.CUM_QTY)
_COMMISSION, _COMM_TYPE, _TRANSACT_TIME = (
    np.int64(Slot.COMMISSION),
    np.int64(Slot.COMM_TYPE),
    np.int64(Slot.TRANSACT_TIME),
)
_ORD_REJ_REASON, _CXL_REJ_REASON = np.int64(Slot.ORD_REJ_REASON), np.int64(Slot.CXL_REJ_REASON)
_CXL_REJ_RESPONSE_TO, _MASS_STATUS_REQ_ID = np.int64(Slot.CXL_REJ_RESPONSE_TO), np.int64(Slot.MASS_STATUS_REQ_ID)
_EXEC_REF_ID, _SECONDARY_ID = np.int64(Slot.EXEC_REF_ID), np.int64(Slot.SECONDARY_CL_ORD_ID)
_TOT_NUM_REPORTS, _LAST_RPT_REQUESTED = np.int64(Slot.TOT_NUM_REPORTS), np.int64(Slot.LAST_RPT_REQUESTED)


@kernel(inline=True)
def has(seen: Any, slot: int) -> bool:
    """Whether the message has the field."""
    return ((seen >> np.uint64(slot)) & _1) != _0


@kernel(inline=True)
def char_value(words: Any, buf: Any, slot: int) -> int:
    """The field's only character; 0 where it has more than one."""
    return np.int64(buf[words[VALUE_AT + slot]]) if words[VALUE_SIZE + slot] == 1 else np.int64(0)


@kernel(inline=True)
def id_field(words: Any, buf: Any, seen: Any, slot: int) -> Any:
    """Id as uint64; 0 where the message has none."""
    return id_value(buf, words[VALUE_AT + slot], words[VALUE_SIZE + slot]) if has(seen, slot) else _0


@kernel(inline=True)
def our_id_field(words: Any, buf: Any, seen: Any, slot: int) -> bool:
    """Whether the field is there and 16 hex digits."""
    return has(seen, slot) and is_our_id(buf, words[VALUE_AT + slot], words[VALUE_SIZE + slot])


@kernel
def qty_field(words: Any, buf: Any, seen: Any, slot: int) -> int:
    """Quantity; 0 where the message has none, -1 where it is no quantity."""
    return qty_value(buf, words[VALUE_AT + slot], words[VALUE_SIZE + slot]) if has(seen, slot) else np.int64(0)


@kernel
def price_field(words: Any, buf: Any, seen: Any, slot: int, scale: int) -> int:
    """Price in units; 0 where the message has none, ``BAD_PRICE`` where it is no price."""
    return price_value(buf, words[VALUE_AT + slot], words[VALUE_SIZE + slot], scale) if has(seen, slot) else np.int64(0)


@kernel(inline=True)
def event_time(words: Any, buf: Any, seen: Any, sending_ns: int) -> int:
    """TransactTime where it is there and readable, else SendingTime."""
    at_ns = np.int64(-1)
    if has(seen, _TRANSACT_TIME):
        at_ns = time_value(words, buf, words[VALUE_AT + _TRANSACT_TIME], words[VALUE_SIZE + _TRANSACT_TIME])
    return at_ns if at_ns >= 0 else sending_ns


@kernel(inline=True)
def known_code(code: int, known: Any) -> bool:
    """Whether the character is one of the codes whose bits, from '0', are in ``known``."""
    return 48 <= code < 112 and ((known >> np.uint64(code - 48)) & _1) != _0


@kernel
def missing_field(words: Any, seen: Any) -> int:
    """-MISSING_FIELD, with no tag to blame in particular."""
    words[HAND_OVER_TAG] = 0
    return _MISSING


@kernel
def _commission_e4(words: Any, buf: Any, seen: Any, last_qty: int) -> int:
    """Commission of this fill in 1/10000; ``BAD_PRICE`` where its kind or text is not understood."""
    if not has(seen, _COMMISSION):
        return np.int64(0)
    value = price_field(words, buf, seen, _COMMISSION, COMMISSION_SCALE)
    kind = char_value(words, buf, _COMM_TYPE) if has(seen, _COMM_TYPE) else np.int64(0)
    if value == BAD_PRICE or kind == _ABSOLUTE:
        return value
    return value * last_qty if kind == _PER_UNIT and abs(value) < 1_000_000_000 else np.int64(BAD_PRICE)


@kernel
def _put_numbers(words: Any, buf: Any, seen: Any, scale: int, rows: Any, i: int) -> bool:
    """Write all prices and quantities of a report, or zeros and False where one is bad; scale < 0: no prices."""
    order_qty = qty_field(words, buf, seen, _ORDER_QTY)
    last_qty = qty_field(words, buf, seen, _LAST_QTY)
    leaves_qty = qty_field(words, buf, seen, _LEAVES_QTY)
    cum_qty = qty_field(words, buf, seen, _CUM_QTY)
    price = np.int64(0)
    last = np.int64(0)
    if scale >= 0:
        price = price_field(words, buf, seen, _PRICE, scale)
        last = price_field(words, buf, seen, _LAST_PX, scale)
    commission = _commission_e4(words, buf, seen, last_qty)
    good = min(min(order_qty, last_qty), min(leaves_qty, cum_qty)) >= 0
    good = good and price >= 0 and last >= 0 and commission != BAD_PRICE
    rows[i].order_qty = order_qty if good else 0
    rows[i].last_qty = last_qty if good else 0
    rows[i].leaves_qty = leaves_qty if good else 0
    rows[i].cum_qty = cum_qty if good else 0
    rows[i].price_ticks = price if good else 0
    rows[i].last_ticks = last if good else 0
    rows[i].commission_e4 = commission if good else 0
    return good


@kernel
def _put_ids(words: Any, buf: Any, seen: Any, msg_seq: int, ts_ns: int, now_ns: int, rows: Any, i: int) -> bool:
    """Header and ids of a report; whether ClOrdID is there and 16 hex digits."""
    session = words[SESSION]
    rows[i].source = session
    rows[i].crc = 0
    rows[i].jseq = 0
    rows[i].ts_ns = ts_ns
    rows[i].recv_ns = now_ns
    rows[i].session = session
    ours = False
    cl_ord_id = _0
    if has(seen, _CL_ORD_ID):
        cl_ord_id, ours = id_and_origin(buf, words[VALUE_AT + _CL_ORD_ID], words[VALUE_SIZE + _CL_ORD_ID])
    rows[i].cl_ord_id = cl_ord_id
    rows[i].orig_cl_ord_id = id_field(words, buf, seen, _ORIG_CL_ORD_ID)
    rows[i].order_id = id_field(words, buf, seen, _ORDER_ID)
    rows[i].exec_id = id_field(words, buf, seen, _EXEC_ID)
    rows[i].msg_seq = np.uint64(msg_seq)
    return ours


@kernel
def _reason(words: Any, buf: Any, seen: Any, slot: int) -> int:
    """Reason code 0..65535; what cannot be read is "other"."""
    if not has(seen, slot):
        return np.int64(0)
    value = uint_value(buf, words[VALUE_AT + slot], words[VALUE_SIZE + slot])
    return value if 0 <= value <= 0xFFFF else np.int64(_REASON_OTHER)


@kernel
def _is_no_orders(words: Any, buf: Any, seen: Any, exec_type: int) -> bool:
    """Whether a status report says that there is nothing to report: Symbol ``[N/A]``, no ClOrdID."""
    at = words[VALUE_AT + _SYMBOL]
    if exec_type != _ORDER_STATUS or words[VALUE_SIZE + _SYMBOL] != 5 or has(seen, _CL_ORD_ID):
        return False
    return buf[at] == 91 and buf[at + 1] == 78 and buf[at + 2] == 47 and buf[at + 3] == 65 and buf[at + 4] == 93


@kernel
def _quote_flag(words: Any, buf: Any, seen: Any, exec_type: int, rows: Any, i: int) -> int:
    """EXEC_QUOTE where SecondaryClOrdID(526) is a QuoteEntryID as our venues write it, else 0."""
    entry = uint_value(buf, words[VALUE_AT + _SECONDARY_ID], words[VALUE_SIZE + _SECONDARY_ID])
    if entry < 0 or has(seen, _ORIG_CL_ORD_ID) or exec_type == _ORDER_STATUS:
        return 0
    rows[i].orig_cl_ord_id = np.uint64(entry)
    return EXEC_QUOTE


@kernel
def decode_report(
    words: Any,
    symbols: Any,
    buf: Any,
    seen: Any,
    msg_seq: int,
    sending_ns: int,
    now_ns: int,
    poss_dup: int,
    rows: Any,
    i: int,
) -> int:
    """ExecutionReport to ``rows[i]`` (EXECUTION): 1, or -HandOver where a required field is missing."""
    if (seen & _REPORT_FIELDS) != _REPORT_FIELDS:
        return missing_field(words, seen)
    exec_type = char_value(words, buf, _EXEC_TYPE)
    ord_status = char_value(words, buf, _ORD_STATUS)
    side = char_value(words, buf, _SIDE)
    flags = 0
    scale = np.int64(-1)
    instrument = np.int64(NO_INSTRUMENT)
    no_orders = _is_no_orders(words, buf, seen, exec_type)
    if no_orders:
        side = 0 if side == _UNDISCLOSED else side
    else:
        found = find_symbol(symbols, buf, words[VALUE_AT + _SYMBOL], words[VALUE_SIZE + _SYMBOL])
        if found < 0:
            flags |= EXEC_UNKNOWN_SYMBOL
        else:
            instrument = found
            scale = symbols.rows[found, PRICE_SCALE]
        if side != _BUY and side != _SELL:
            flags |= EXEC_BAD_VALUE
    trade = exec_type == _TRADE or exec_type == _CORRECT or exec_type == _BUST
    good = _put_numbers(words, buf, seen, scale, rows, i)
    good &= known_code(exec_type, KNOWN_EXEC_TYPES) and known_code(ord_status, KNOWN_ORD_STATUSES)
    # A bust need not say how much: it takes back all of the execution that it names.
    filled = has(seen, _LAST_QTY) and has(seen, _LAST_PX) and rows[i].last_qty > 0
    good &= not trade or exec_type == _BUST or filled
    ours = _put_ids(words, buf, seen, msg_seq, event_time(words, buf, seen, sending_ns), now_ns, rows, i)
    if not ours and not no_orders:
        flags |= EXEC_FOREIGN_ID
    if has(seen, _SECONDARY_ID):
        flags |= _quote_flag(words, buf, seen, exec_type, rows, i)
    if exec_type == _ORDER_STATUS:
        if has(seen, _MASS_STATUS_REQ_ID):
            rows[i].orig_cl_ord_id = id_field(words, buf, seen, _MASS_STATUS_REQ_ID)
    elif exec_type == _BUST or exec_type == _CORRECT:
        rows[i].orig_cl_ord_id = id_field(words, buf, seen, _EXEC_REF_ID)
    if not good:
        flags |= EXEC_BAD_VALUE
    if flags & EXEC_BAD_VALUE:
        _zero_numbers(rows, i)
    reports = qty_field(words, buf, seen, _TOT_NUM_REPORTS)
    rows[i].kind = _EXECUTION
    rows[i].instrument = instrument
    rows[i].side = side
    rows[i].exec_type = exec_type
    rows[i].ord_status = ord_status
    rows[i].poss_dup = poss_dup
    last = has(seen, _LAST_RPT_REQUESTED) and char_value(words, buf, _LAST_RPT_REQUESTED) == _YES
    rows[i].last_report = 1 if last else 0
    rows[i].flags = flags
    rows[i].reason = _reason(words, buf, seen, _ORD_REJ_REASON)
    rows[i].tot_reports = min(max(reports, 0), 0xFFFF)
    return 1


@kernel
def _zero_numbers(rows: Any, i: int) -> None:
    """What EXEC_BAD_VALUE promises."""
    rows[i].order_qty = 0
    rows[i].last_qty = 0
    rows[i].leaves_qty = 0
    rows[i].cum_qty = 0
    rows[i].price_ticks = 0
    rows[i].last_ticks = 0
    rows[i].commission_e4 = 0


@kernel
def decode_cancel_reject(
    words: Any, buf: Any, seen: Any, msg_seq: int, sending_ns: int, now_ns: int, poss_dup: int, rows: Any, i: int
) -> int:
    """OrderCancelReject to ``rows[i]`` (EXECUTION): 1, or -HandOver where a required field is missing.

    The message has no symbol: ``instrument`` is NO_INSTRUMENT. ``exec_type`` says what was refused.
    """
    if (seen & _REJECT_FIELDS) != _REJECT_FIELDS:
        return missing_field(words, seen)
    flags = 0
    ord_status = char_value(words, buf, _ORD_STATUS)
    response_to = char_value(words, buf, _CXL_REJ_RESPONSE_TO)
    if not known_code(ord_status, KNOWN_ORD_STATUSES) or (response_to != 49 and response_to != 50):
        flags |= EXEC_BAD_VALUE
    if not _put_ids(words, buf, seen, msg_seq, event_time(words, buf, seen, sending_ns), now_ns, rows, i):
        flags |= EXEC_FOREIGN_ID
    _zero_numbers(rows, i)
    rows[i].kind = _CANCEL_REJECT
    rows[i].instrument = NO_INSTRUMENT
    rows[i].side = 0
    rows[i].exec_type = _PENDING_REPLACE if response_to == 50 else _PENDING_CANCEL
    rows[i].ord_status = ord_status
    rows[i].poss_dup = poss_dup
    rows[i].last_report = 0
    rows[i].flags = flags
    rows[i].reason = _reason(words, buf, seen, _CXL_REJ_REASON)
    rows[i].tot_reports = 0
    return 1
