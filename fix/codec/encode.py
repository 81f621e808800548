"""From frames to messages: the hot path's way out.

Each encoder writes rows ``first .. first + count`` as complete messages with consecutive
MsgSeqNums, and stops before a row that cannot be put on the wire: nothing is left out silently
and no half-valid message is sent. The caller stores the bytes before it sends them.
"""

from typing import Any

import numpy as np

from fix.codec.fields import EncodeStop
from fix.codec.link import (
    OPEN_CANCEL,
    OPEN_HEARTBEAT,
    OPEN_MASS_CANCEL,
    OPEN_MASS_STATUS,
    OPEN_NEW,
    OPEN_REPLACE,
    LinkState,
)
from fix.codec.symbols import SymbolState
from fix.codec.values import MAX_QTY
from fix.codec.words import put_uint, word_of
from fix.codec.writing import (
    MAX_UNITS,
    MESSAGE_ROOM,
    SHORT_LENGTH,
    close_message,
    is_known,
    open_message,
    put_char,
    put_id,
    put_price,
    put_symbol,
    put_text,
    put_time,
    set_time,
)
from market.enums import OrderAction, OrdType, Side, TimeInForce
from market.jit import kernel
from market.records import NO_INSTRUMENT

_DONE, _OUT_FULL, _BAD_ROW = np.int64(EncodeStop.DONE), np.int64(EncodeStop.OUT_FULL), np.int64(EncodeStop.BAD_ROW)
_NEW, _CANCEL, _REPLACE = np.int64(OrderAction.NEW), np.int64(OrderAction.CANCEL), np.int64(OrderAction.REPLACE)
_MASS_CANCEL, _MASS_STATUS = np.int64(OrderAction.MASS_CANCEL), np.int64(OrderAction.MASS_STATUS)
_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_MARKET, _LIMIT = np.int64(OrdType.MARKET), np.int64(OrdType.LIMIT)
_DAY, _IOC, _FOK = np.int64(TimeInForce.DAY), np.int64(TimeInForce.IOC), np.int64(TimeInForce.FOK)
_0 = np.uint64(0)

_T11 = word_of(b"\x0111=")
_T18_POST_ONLY = word_of(b"\x0118=6")
_T21_AUTOMATED = word_of(b"\x0121=1")
_T38 = word_of(b"\x0138=")
_T40 = word_of(b"\x0140=")
_T41 = word_of(b"\x0141=")
_T44 = word_of(b"\x0144=")
_T54 = word_of(b"\x0154=")
_T55 = word_of(b"\x0155=")
_T59 = word_of(b"\x0159=")
_T60 = word_of(b"\x0160=")
_T530 = word_of(b"\x01530=")
_T584 = word_of(b"\x01584=")
_T585_ALL = word_of(b"\x01585=7")
_ONE_SECURITY, _ALL_ORDERS = np.int64(49), np.int64(55)


@kernel
def _opening_of(symbols: Any, rows: Any, i: int) -> int:
    """Which opening row ``i`` (ORDER) takes; -1 where it cannot be put on the wire."""
    action = np.int64(rows[i].action)
    instrument = np.int64(rows[i].instrument)
    if rows[i].cl_ord_id == _0:
        return -1
    if action == _MASS_STATUS:
        return OPEN_MASS_STATUS
    if action == _MASS_CANCEL:
        return OPEN_MASS_CANCEL if instrument == NO_INSTRUMENT or is_known(symbols, instrument) else -1
    side = np.int64(rows[i].side)
    if not is_known(symbols, instrument) or (side != _BUY and side != _SELL):
        return -1
    if action != _NEW and rows[i].orig_cl_ord_id == _0:
        return -1
    qty = rows[i].qty
    if action == _CANCEL:
        return OPEN_CANCEL if 0 <= qty <= MAX_QTY else -1
    ord_type = np.int64(rows[i].ord_type)
    tif = np.int64(rows[i].tif)
    price = rows[i].price_ticks
    if qty < 1 or qty > MAX_QTY or (tif != _DAY and tif != _IOC and tif != _FOK):
        return -1
    if ord_type != _MARKET and (ord_type != _LIMIT or price < 1 or price > MAX_UNITS):
        return -1
    if action == _NEW:
        return OPEN_NEW
    return OPEN_REPLACE if action == _REPLACE else -1


@kernel
def _put_single(words: Any, symbols: Any, rows: Any, i: int, opening: int, out: Any, o: int) -> int:
    """Body of a new order, cancel or replace."""
    instrument = np.int64(rows[i].instrument)
    if opening != OPEN_NEW:
        o = put_id(out, put_text(out, o, _T41), rows[i].orig_cl_ord_id)
    o = put_id(out, put_text(out, o, _T11), rows[i].cl_ord_id)
    o = put_symbol(symbols, out, put_text(out, o, _T55), instrument)
    o = put_char(out, o, _T54, np.int64(rows[i].side))
    if rows[i].qty > 0:
        o = put_uint(out, put_text(out, o, _T38), np.int64(rows[i].qty))
    if opening != OPEN_CANCEL:
        o = put_char(out, o, _T40, np.int64(rows[i].ord_type))
        if rows[i].ord_type == _LIMIT:
            o = put_price(symbols, out, put_text(out, o, _T44), instrument, rows[i].price_ticks)
        o = put_char(out, o, _T59, np.int64(rows[i].tif))
        if rows[i].post_only != 0:
            o = put_text(out, o, _T18_POST_ONLY)
        o = put_text(out, o, _T21_AUTOMATED)
    return put_time(words, out, put_text(out, o, _T60))


@kernel
def _put_mass(words: Any, symbols: Any, rows: Any, i: int, opening: int, out: Any, o: int) -> int:
    """Body of a mass cancel or mass status request."""
    if opening == OPEN_MASS_STATUS:
        o = put_id(out, put_text(out, o, _T584), rows[i].cl_ord_id)
        return put_text(out, o, _T585_ALL)
    instrument = np.int64(rows[i].instrument)
    o = put_id(out, put_text(out, o, _T11), rows[i].cl_ord_id)
    if instrument == NO_INSTRUMENT:
        o = put_char(out, o, _T530, _ALL_ORDERS)
    else:
        o = put_char(out, o, _T530, _ONE_SECURITY)
        o = put_symbol(symbols, out, put_text(out, o, _T55), instrument)
    return put_time(words, out, put_text(out, o, _T60))


@kernel
def encode_orders(
    link: LinkState, symbols: SymbolState, orders: Any, first: int, count: int, next_out: int, now_ns: int, out: Any,
    ends: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """Write ORDER rows as D, F, G, q or AF by their ``action``.

    ``orders`` ORDER[], ``out`` uint8[], ``ends`` int64[]: ``ends[k]`` is the end of message k in
    ``out``. Message k has MsgSeqNum ``next_out + k`` and ``now_ns`` (UTC) as SendingTime and
    TransactTime. Returns ``(bytes, messages, stop)``; with stop ``BAD_ROW`` row ``first + messages``
    cannot be written (unknown instrument, code or id of 0, quantity or price out of range) and
    used no number; with ``OUT_FULL`` it needs ``MESSAGE_ROOM`` free bytes and an element of ``ends``.
    Cost: about 100 ns a message. Any thread, one at a time per link.
    """
    words = link.words
    text = link.text
    set_time(words, now_ns)
    o = np.int64(0)
    for k in range(count):
        i = first + k
        if o + MESSAGE_ROOM > out.shape[0] or k >= ends.shape[0]:
            return o, k, _OUT_FULL
        opening = _opening_of(symbols, orders, i) if i < orders.shape[0] else -1
        if opening < 0:
            return o, k, _BAD_ROW
        start = o
        o = open_message(words, text, out, o, opening, next_out + k)
        if opening == OPEN_MASS_CANCEL or opening == OPEN_MASS_STATUS:
            o = _put_mass(words, symbols, orders, i, opening, out, o)
        else:
            o = _put_single(words, symbols, orders, i, opening, out, o)
        o = close_message(words, out, start, o, SHORT_LENGTH)
        ends[k] = o
    return o, count, _DONE


@kernel
def encode_heartbeat(link: LinkState, next_out: int, now_ns: int, out: Any, ends: Any) -> int:
    """Write a Heartbeat(35=0) with MsgSeqNum ``next_out`` to the start of ``out`` (MESSAGE_ROOM bytes); its size."""
    words = link.words
    set_time(words, now_ns)
    o = open_message(words, link.text, out, np.int64(0), OPEN_HEARTBEAT, next_out)
    o = close_message(words, out, np.int64(0), o, SHORT_LENGTH)
    ends[0] = o
    return o
