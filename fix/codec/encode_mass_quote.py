"""Mass quotes out: QUOTE_ENTRY frames to 35=i, many entries a message. See ``encode.py`` for the rules.

Reading them, acknowledgements and quote cancels are cold: ``quotes.py``.
"""

from typing import Any

import numpy as np

from fix.codec.fields import EncodeStop
from fix.codec.link import OPEN_MASS_QUOTE, LinkState
from fix.codec.symbols import SymbolState
from fix.codec.values import MAX_QTY
from fix.codec.words import put_uint, word_of
from fix.codec.writing import (
    LONG_LENGTH,
    MAX_UNITS,
    close_message,
    is_known,
    open_message,
    put_char,
    put_id,
    put_price,
    put_symbol,
    put_text,
    set_time,
)
from market.jit import kernel

#: Free bytes that a mass quote of ``n`` entries needs: QUOTE_ROOM * (n + 1).
QUOTE_ROOM = 288
#: Entries of one message: what keeps it below what the receiving hot path and most venues take.
MAX_ENTRIES = 100

_DONE, _OUT_FULL, _BAD_ROW = np.int64(EncodeStop.DONE), np.int64(EncodeStop.OUT_FULL), np.int64(EncodeStop.BAD_ROW)
_ACK_NOTHING, _YES, _NO = 48, np.int64(89), np.int64(78)
_0 = np.uint64(0)
_MAX_ID = np.uint64((1 << 63) - 1)

_T55 = word_of(b"\x0155=")
_T117 = word_of(b"\x01117=")
_T132 = word_of(b"\x01132=")
_T133 = word_of(b"\x01133=")
_T134 = word_of(b"\x01134=")
_T135 = word_of(b"\x01135=")
_T295 = word_of(b"\x01295=")
_T296 = word_of(b"\x01296=")
_T299 = word_of(b"\x01299=")
_T301 = word_of(b"\x01301=")
_T302 = word_of(b"\x01302=")
_T304 = word_of(b"\x01304=")
_T311 = word_of(b"\x01311=")
_T893 = word_of(b"\x01893=")


@kernel
def _side_is_writable(ticks: int, qty: int) -> bool:
    return qty == 0 or (0 < qty <= MAX_QTY and 0 < ticks <= MAX_UNITS)


@kernel
def _is_writable(symbols: Any, rows: Any, i: int) -> bool:
    """Whether row ``i`` (QUOTE_ENTRY) can be put on the wire."""
    if rows[i].quote_id == _0 or rows[i].entry_id > _MAX_ID or not is_known(symbols, np.int64(rows[i].instrument)):
        return False
    return _side_is_writable(rows[i].bid_ticks, rows[i].bid_qty) and _side_is_writable(
        rows[i].ask_ticks, rows[i].ask_qty
    )


@kernel
def _same_set(rows: Any, one: int, other: int) -> bool:
    same = rows[one].quote_id == rows[other].quote_id and rows[one].set_id == rows[other].set_id
    return same and rows[one].underlying == rows[other].underlying


@kernel
def _set_end(rows: Any, start: int, end: int) -> int:
    """Row after the last of the set that ``start`` belongs to."""
    at = start + 1
    while at < end and _same_set(rows, start, at):
        at += 1
    return at


@kernel
def _message_end(symbols: Any, rows: Any, start: int, end: int, most: int) -> int:
    """Row after the last that goes into the message which begins with ``start``: one quote, writable rows."""
    at = start
    while at < end and at - start < most and rows[at].quote_id == rows[start].quote_id:
        if not _is_writable(symbols, rows, at):
            break
        at += 1
    return at


@kernel
def _put_entry(symbols: Any, rows: Any, i: int, out: Any, o: int) -> int:
    """One entry; a side without quantity has size 0 and no price: it is taken out of the market."""
    instrument = np.int64(rows[i].instrument)
    o = put_uint(out, put_text(out, o, _T299), np.int64(rows[i].entry_id))
    o = put_symbol(symbols, out, put_text(out, o, _T55), instrument)
    if rows[i].bid_qty > 0:
        o = put_price(symbols, out, put_text(out, o, _T132), instrument, rows[i].bid_ticks)
    if rows[i].ask_qty > 0:
        o = put_price(symbols, out, put_text(out, o, _T133), instrument, rows[i].ask_ticks)
    o = put_uint(out, put_text(out, o, _T134), rows[i].bid_qty)
    return put_uint(out, put_text(out, o, _T135), rows[i].ask_qty)


@kernel
def _put_set(symbols: Any, rows: Any, bounds: Any, out: Any, o: int) -> int:
    """One quote set: rows ``bounds[0] .. bounds[1]`` of the set ``bounds[2] .. bounds[3]``."""
    first, end, set_first, set_end = bounds
    o = put_uint(out, put_text(out, o, _T302), np.int64(rows[first].set_id))
    underlying = np.int64(rows[first].underlying)
    if is_known(symbols, underlying):
        o = put_symbol(symbols, out, put_text(out, o, _T311), underlying)
    o = put_uint(out, put_text(out, o, _T304), np.int64(set_end - set_first))
    o = put_char(out, o, _T893, _YES if end == set_end else _NO)
    o = put_uint(out, put_text(out, o, _T295), np.int64(end - first))
    for i in range(first, end):
        o = _put_entry(symbols, rows, i, out, o)
    return o


@kernel
def _put_sets(
    symbols: Any, rows: Any, start: int, stop: int, batch_first: int, batch_end: int, out: Any, o: int
) -> int:
    """NoQuoteSets and the sets of rows ``start .. stop`` of the batch's."""
    sets = 0
    at = start
    while at < stop:
        at = _set_end(rows, at, stop)
        sets += 1
    o = put_uint(out, put_text(out, o, _T296), np.int64(sets))
    at = start
    set_first = np.int64(start)
    while set_first > batch_first and _same_set(rows, start, set_first - 1):
        set_first -= 1  # the set began in the message before
    while at < stop:
        end = _set_end(rows, at, stop)
        o = _put_set(symbols, rows, (at, end, set_first, _set_end(rows, at, batch_end)), out, o)
        at = end
        set_first = end
    return o


@kernel
def encode_mass_quotes(
    link: LinkState, symbols: SymbolState, entries: Any, first: int, count: int, per_message: int, level: int,
    next_out: int, now_ns: int, out: Any, ends: Any,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Write QUOTE_ENTRY rows ``first .. first + count`` as mass quotes (i) of at most ``per_message`` entries.

    Consecutive rows of one ``quote_id`` go into one message as far as they fit, those of one
    ``set_id`` and ``underlying`` into one quote set. ``level`` is QuoteResponseLevel(301): 0 no
    acknowledgement, 1 refusals only, 2 each message. Returns ``(bytes, messages, rows, stop)``; message k ends
    at ``ends[k]`` and has MsgSeqNum ``next_out + k``; with stop ``BAD_ROW`` row ``first + rows`` cannot be
    written. Needs ``QUOTE_ROOM`` free bytes per entry and once more. Cost: about 50 ns an entry.
    """
    words = link.words
    text = link.text
    set_time(words, now_ns)
    o = np.int64(0)
    k = np.int64(0)
    at = np.int64(first)
    end = np.int64(min(first + count, entries.shape[0]))
    while at < end:
        stop = _message_end(symbols, entries, at, end, per_message)
        if stop == at:
            return o, k, at - first, _BAD_ROW
        if o + QUOTE_ROOM * (stop - at + 1) > out.shape[0] or k >= ends.shape[0]:
            return o, k, at - first, _OUT_FULL
        start = o
        o = open_message(words, text, out, o, OPEN_MASS_QUOTE, next_out + k)
        o = put_id(out, put_text(out, o, _T117), entries[at].quote_id)
        o = put_char(out, o, _T301, np.int64(_ACK_NOTHING + level))
        o = _put_sets(symbols, entries, at, stop, np.int64(first), end, out, o)
        o = close_message(words, out, start, o, LONG_LENGTH)
        ends[k] = o
        k += 1
        at = stop
    return o, k, at - first, _DONE if at - first == count else _BAD_ROW
