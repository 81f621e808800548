"""What a venue says: EXECUTION frames to 8 and 9, QUOTE frames to W. See ``encode.py`` for the rules."""

from typing import Any

import numpy as np

from fix.codec.fields import EncodeStop
from fix.codec.link import (
    MD_REQ_ID_TEXT,
    OPEN_REJECT,
    OPEN_REPORT,
    OPEN_SNAPSHOT,
    REASON_ROOM,
    REASON_TEXT,
    REASONS,
    LinkState,
)
from fix.codec.reports import COMMISSION_SCALE, KNOWN_EXEC_TYPES, KNOWN_ORD_STATUSES, known_code
from fix.codec.symbols import MAX_PRICE_SCALE, PRICE_SCALE, PRICE_UNITS, SymbolState
from fix.codec.words import copy64, put_uint, word_of
from fix.codec.writing import (
    MAX_UNITS,
    MESSAGE_ROOM,
    SHORT_LENGTH,
    close_message,
    is_known,
    open_message,
    put_char,
    put_decimal,
    put_id,
    put_price,
    put_symbol,
    put_text,
    put_time,
    set_time,
)
from market.enums import ExecType, FrameKind, OrdStatus, Side, TradingStatus
from market.jit import kernel
from market.records import EXEC_QUOTE, NO_INSTRUMENT

_DONE, _OUT_FULL, _BAD_ROW = np.int64(EncodeStop.DONE), np.int64(EncodeStop.OUT_FULL), np.int64(EncodeStop.BAD_ROW)
_EXECUTION, _CANCEL_REJECT = np.int64(FrameKind.EXECUTION), np.int64(FrameKind.CANCEL_REJECT)
_TRADE, _CORRECT, _BUST = np.int64(ExecType.TRADE), np.int64(ExecType.TRADE_CORRECT), np.int64(ExecType.TRADE_CANCEL)
_ORDER_STATUS, _REPLACED = np.int64(ExecType.ORDER_STATUS), np.int64(ExecType.REPLACED)
_PENDING_REPLACE = np.int64(ExecType.PENDING_REPLACE)
_REJECTED = np.int64(OrdStatus.REJECTED)
_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_OPEN = np.int64(TradingStatus.OPEN)
_UNDISCLOSED, _YES, _NO, _BID, _OFFER = np.array([55, 89, 78, 48, 49])
_TO_CANCEL, _TO_REPLACE, _FIRST, _SECOND, _NIL, _ZERO = np.array([49, 50, 1, 2, 0, 48])
_COMMISSION_UNITS = np.int64(10_000)
_AVERAGE_DECIMALS = 6  # of AvgPx beyond those of a price
_MAX_AVERAGE = 1_000_000_000  # ticks up to which AvgPx has them
_0 = np.uint64(0)

_T6 = word_of(b"\x016=")
_T11 = word_of(b"\x0111=")
_T12 = word_of(b"\x0112=")
_T13_ABSOLUTE = word_of(b"\x0113=3")
_T14 = word_of(b"\x0114=")
_T17 = word_of(b"\x0117=")
_T19 = word_of(b"\x0119=")
_T31 = word_of(b"\x0131=")
_T32 = word_of(b"\x0132=")
_T37 = word_of(b"\x0137=")
_NONE = word_of(b"NONE")
_T38 = word_of(b"\x0138=")
_T39 = word_of(b"\x0139=")
_T41 = word_of(b"\x0141=")
_T44 = word_of(b"\x0144=")
_T54 = word_of(b"\x0154=")
_T55 = word_of(b"\x0155=")
_NOT_APPLICABLE = word_of(b"[N/A]")
_T58 = word_of(b"\x0158=")
_T60 = word_of(b"\x0160=")
_T102 = word_of(b"\x01102=")
_T103 = word_of(b"\x01103=")
_T150 = word_of(b"\x01150=")
_T151 = word_of(b"\x01151=")
_T262 = word_of(b"\x01262=")
_T268 = word_of(b"\x01268=")
_T269 = word_of(b"\x01269=")
_T270 = word_of(b"\x01270=")
_T271 = word_of(b"\x01271=")
_T276_CLOSED = word_of(b"\x01276=B")
_T290 = word_of(b"\x01290=")
_T434 = word_of(b"\x01434=")
_T526 = word_of(b"\x01526=")
_T584 = word_of(b"\x01584=")
_T911 = word_of(b"\x01911=")
_T912 = word_of(b"\x01912=")


@kernel(inline=True)
def _is_trade(exec_type: int) -> bool:
    return exec_type == _TRADE or exec_type == _CORRECT or exec_type == _BUST


@kernel(inline=True)
def _is_no_orders(rows: Any, i: int) -> bool:
    """Whether the row answers a mass status request of a client without open orders."""
    return rows[i].exec_type == _ORDER_STATUS and rows[i].instrument == NO_INSTRUMENT and rows[i].cl_ord_id == _0


@kernel
def _is_writable(symbols: Any, rows: Any, i: int) -> bool:
    """Whether row ``i`` (EXECUTION) can be put on the wire."""
    kind = np.int64(rows[i].kind)
    if kind == _CANCEL_REJECT:
        return known_code(np.int64(rows[i].ord_status), KNOWN_ORD_STATUSES)
    exec_type = np.int64(rows[i].exec_type)
    if kind != _EXECUTION or not known_code(exec_type, KNOWN_EXEC_TYPES):
        return False
    if not known_code(np.int64(rows[i].ord_status), KNOWN_ORD_STATUSES):
        return False
    side = np.int64(rows[i].side)
    sided = is_known(symbols, np.int64(rows[i].instrument)) and (side == _BUY or side == _SELL)
    if not sided and not _is_no_orders(rows, i):
        return False
    least = min(min(rows[i].order_qty, rows[i].leaves_qty), min(rows[i].cum_qty, rows[i].last_qty))
    prices = 0 <= rows[i].price_ticks <= MAX_UNITS and 0 <= rows[i].last_ticks <= MAX_UNITS
    commission = rows[i].commission_e4
    if least < 0 or not prices or commission > MAX_UNITS or commission < -MAX_UNITS:
        return False
    return exec_type == _BUST or not _is_trade(exec_type) or rows[i].last_qty > 0


@kernel
def _put_order_id(rows: Any, i: int, out: Any, o: int) -> int:
    o = put_text(out, o, _T37)
    return put_text(out, o, _NONE) if rows[i].order_id == _0 else put_id(out, o, rows[i].order_id)


@kernel
def _put_reason(text: Any, tag: Any, reason: int, out: Any, o: int) -> int:
    """Write the reason code and, where there is one, its text."""
    o = put_uint(out, put_text(out, o, tag), reason)
    if reason < REASONS:
        at = REASON_TEXT + reason * REASON_ROOM
        size = np.int64(text[at])
        if size > 0:
            o = put_text(out, o, _T58)
            copy64(out, o, text, at + 1)
            o += size
    return o


@kernel
def _put_fill(symbols: Any, rows: Any, i: int, instrument: int, out: Any, o: int) -> int:
    """LastQty, LastPx, AvgPx and Commission of a trade."""
    o = put_uint(out, put_text(out, o, _T32), np.int64(rows[i].last_qty))
    o = put_price(symbols, out, put_text(out, o, _T31), instrument, rows[i].last_ticks)
    if rows[i].commission_e4 != 0:
        o = put_decimal(out, put_text(out, o, _T12), rows[i].commission_e4, COMMISSION_SCALE, _COMMISSION_UNITS)
        o = put_text(out, o, _T13_ABSOLUTE)
    return o


@kernel
def _put_average(symbols: Any, rows: Any, i: int, instrument: int, trade: bool, out: Any, o: int) -> int:
    """AvgPx(6): the order's notional (``msg_seq`` on this side) by its CumQty.

    Exact where it ends within ``_AVERAGE_DECIMALS`` more digits than a price has, else rounded there.

    A row that knows no notional has an average only where its trade is the order's only one; else 0,
    which is FIX for "not given".
    """
    cum = np.int64(rows[i].cum_qty)
    notional = np.int64(rows[i].msg_seq)
    if cum <= 0 or notional <= 0:
        if trade and rows[i].cum_qty == rows[i].last_qty and cum > 0:
            return put_price(symbols, out, o, instrument, rows[i].last_ticks)
        out[o] = np.uint8(48)
        return o + 1
    whole = notional // cum
    rest = notional - whole * cum
    if rest == 0 or whole > _MAX_AVERAGE:
        return put_price(symbols, out, o, instrument, whole)
    scale = np.int64(symbols.rows[instrument, PRICE_SCALE])
    decimals = scale
    units = np.int64(1)
    while decimals < scale + _AVERAGE_DECIMALS and decimals < MAX_PRICE_SCALE:
        decimals += 1
        units *= 10
    value = whole * units + (rest * units + cum // 2) // cum
    o = put_decimal(out, o, value, decimals, symbols.rows[instrument, PRICE_UNITS] * units)
    while decimals > scale and out[o - 1] == 48:
        o -= 1
        decimals -= 1
    return o


@kernel
def _put_reference(rows: Any, i: int, exec_type: int, out: Any, o: int) -> int:
    """What ``orig_cl_ord_id`` carries, under the tag that it has in this report."""
    if rows[i]["flags"] & EXEC_QUOTE != 0 and exec_type != _CORRECT and exec_type != _BUST:
        return put_uint(out, put_text(out, o, _T526), np.int64(rows[i].orig_cl_ord_id))
    if rows[i].orig_cl_ord_id == _0:
        return o
    if exec_type == _ORDER_STATUS:
        o = put_text(out, o, _T584)
    elif exec_type == _CORRECT or exec_type == _BUST:
        o = put_text(out, o, _T19)
    else:
        o = put_text(out, o, _T41)
    return put_id(out, o, rows[i].orig_cl_ord_id)


@kernel
def _put_report(words: Any, text: Any, symbols: Any, rows: Any, i: int, out: Any, o: int) -> int:
    """Body of an ExecutionReport."""
    instrument = np.int64(rows[i].instrument)
    exec_type = np.int64(rows[i].exec_type)
    trade = _is_trade(exec_type)
    status = exec_type == _ORDER_STATUS
    o = _put_order_id(rows, i, out, o)
    if rows[i].cl_ord_id != _0:
        o = put_id(out, put_text(out, o, _T11), rows[i].cl_ord_id)
    o = _put_reference(rows, i, exec_type, out, o)
    o = put_id(out, put_text(out, o, _T17), rows[i].exec_id)
    o = put_char(out, o, _T150, exec_type)
    o = put_char(out, o, _T39, np.int64(rows[i].ord_status))
    o = put_text(out, o, _T55)
    if is_known(symbols, instrument):
        o = put_symbol(symbols, out, o, instrument)
        o = put_char(out, o, _T54, np.int64(rows[i].side))
        o = put_uint(out, put_text(out, o, _T38), np.int64(rows[i].order_qty))
        if rows[i].price_ticks > 0:
            o = put_price(symbols, out, put_text(out, o, _T44), instrument, rows[i].price_ticks)
        if trade:
            o = _put_fill(symbols, rows, i, instrument, out, o)
    else:
        o = put_text(out, o, _NOT_APPLICABLE)
        o = put_char(out, o, _T54, _UNDISCLOSED)
    o = put_uint(out, put_text(out, o, _T151), np.int64(rows[i].leaves_qty))
    o = put_uint(out, put_text(out, o, _T14), np.int64(rows[i].cum_qty))
    o = _put_average(symbols, rows, i, instrument, trade, out, put_text(out, o, _T6))
    o = put_time(words, out, put_text(out, o, _T60))
    if rows[i].ord_status == _REJECTED:
        o = _put_reason(text, _T103, np.int64(rows[i].reason), out, o)
    if status and rows[i].orig_cl_ord_id != _0:
        o = put_uint(out, put_text(out, o, _T911), np.int64(rows[i].tot_reports))
        o = put_char(out, o, _T912, _YES if rows[i].last_report != 0 else _NO)
    return o


@kernel
def _put_cancel_reject(words: Any, text: Any, rows: Any, i: int, out: Any, o: int) -> int:
    """Body of an OrderCancelReject."""
    replace = rows[i].exec_type == _PENDING_REPLACE or rows[i].exec_type == _REPLACED
    o = _put_order_id(rows, i, out, o)
    o = put_id(out, put_text(out, o, _T11), rows[i].cl_ord_id)
    o = put_id(out, put_text(out, o, _T41), rows[i].orig_cl_ord_id)
    o = put_char(out, o, _T39, np.int64(rows[i].ord_status))
    o = put_char(out, o, _T434, _TO_REPLACE if replace else _TO_CANCEL)
    o = put_time(words, out, put_text(out, o, _T60))
    return _put_reason(text, _T102, np.int64(rows[i].reason), out, o)


@kernel
def encode_executions(
    link: LinkState, symbols: SymbolState, executions: Any, first: int, count: int, next_out: int, now_ns: int,
    out: Any, ends: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """Write EXECUTION rows as 8, or 9 where ``kind`` is CANCEL_REJECT; as :func:`fix.codec.encode_orders`."""
    words = link.words
    text = link.text
    set_time(words, now_ns)
    o = np.int64(0)
    for k in range(count):
        i = first + k
        if o + MESSAGE_ROOM > out.shape[0] or k >= ends.shape[0]:
            return o, k, _OUT_FULL
        if i >= executions.shape[0] or not _is_writable(symbols, executions, i):
            return o, k, _BAD_ROW
        start = o
        if executions[i].kind == _CANCEL_REJECT:
            o = open_message(words, text, out, o, OPEN_REJECT, next_out + k)
            o = _put_cancel_reject(words, text, executions, i, out, o)
        else:
            o = open_message(words, text, out, o, OPEN_REPORT, next_out + k)
            o = _put_report(words, text, symbols, executions, i, out, o)
        o = close_message(words, out, start, o, SHORT_LENGTH)
        ends[k] = o
    return o, count, _DONE


@kernel
def _put_entry(
    symbols: Any, instrument: int, kind: int, position: int, ticks: int, qty: int, is_open: bool, out: Any, o: int
) -> int:
    """One market data entry."""
    o = put_char(out, o, _T269, kind)
    o = put_price(symbols, out, put_text(out, o, _T270), instrument, ticks)
    o = put_uint(out, put_text(out, o, _T271), qty)
    o = put_char(out, o, _T290, _ZERO + position)
    return o if is_open else put_text(out, o, _T276_CLOSED)


@kernel
def _is_level(ticks: int, qty: int) -> bool:
    """Whether a level can be written: empty, or with a price."""
    return qty == 0 or (0 < qty <= 0x7FFFFFFF and 0 < ticks <= MAX_UNITS)


@kernel
def _put_snapshot(text: Any, symbols: Any, rows: Any, i: int, out: Any, o: int) -> int:
    """Body of a snapshot; an empty book is one bid of size 0, since the group may not be empty."""
    instrument = np.int64(rows[i].instrument)
    is_open = rows[i].status == _OPEN
    size = np.int64(text[MD_REQ_ID_TEXT])
    if size > 0:
        o = put_text(out, o, _T262)
        copy64(out, o, text, MD_REQ_ID_TEXT + 1)
        o += size
    o = put_symbol(symbols, out, put_text(out, o, _T55), instrument)
    bids = (1 if rows[i].bid_qty > 0 else 0) + (1 if rows[i].bid2_qty > 0 else 0)
    offers = (1 if rows[i].ask_qty > 0 else 0) + (1 if rows[i].ask2_qty > 0 else 0)
    o = put_char(out, o, _T268, _ZERO + max(1, bids + offers))
    if bids + offers == 0:
        o = _put_entry(symbols, instrument, _BID, _FIRST, _NIL, _NIL, is_open, out, o)
    if rows[i].bid_qty > 0:
        o = _put_entry(symbols, instrument, _BID, _FIRST, rows[i].bid_ticks, rows[i].bid_qty, is_open, out, o)
    if rows[i].bid2_qty > 0:
        o = _put_entry(symbols, instrument, _BID, _SECOND, rows[i].bid2_ticks, rows[i].bid2_qty, is_open, out, o)
    if rows[i].ask_qty > 0:
        o = _put_entry(symbols, instrument, _OFFER, _FIRST, rows[i].ask_ticks, rows[i].ask_qty, is_open, out, o)
    if rows[i].ask2_qty > 0:
        o = _put_entry(symbols, instrument, _OFFER, _SECOND, rows[i].ask2_ticks, rows[i].ask2_qty, is_open, out, o)
    return o


@kernel
def encode_quotes(
    link: LinkState, symbols: SymbolState, quotes: Any, first: int, count: int, next_out: int, now_ns: int, out: Any,
    ends: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """Write QUOTE rows as snapshots (W); as :func:`fix.codec.encode_orders`."""
    words = link.words
    text = link.text
    set_time(words, now_ns)
    o = np.int64(0)
    for k in range(count):
        i = first + k
        if o + MESSAGE_ROOM > out.shape[0] or k >= ends.shape[0]:
            return o, k, _OUT_FULL
        if i >= quotes.shape[0] or not is_known(symbols, np.int64(quotes[i].instrument)):
            return o, k, _BAD_ROW
        bids = _is_level(quotes[i].bid_ticks, quotes[i].bid_qty) and _is_level(quotes[i].bid2_ticks, quotes[i].bid2_qty)
        offers = _is_level(quotes[i].ask_ticks, quotes[i].ask_qty) and _is_level(
            quotes[i].ask2_ticks, quotes[i].ask2_qty
        )
        if not bids or not offers:
            return o, k, _BAD_ROW
        start = o
        o = open_message(words, text, out, o, OPEN_SNAPSHOT, next_out + k)
        o = _put_snapshot(text, symbols, quotes, i, out, o)
        o = close_message(words, out, start, o, SHORT_LENGTH)
        ends[k] = o
    return o, count, _DONE
