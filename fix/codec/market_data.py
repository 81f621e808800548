"""MarketDataSnapshotFullRefresh (W) and MarketDataIncrementalRefresh (X) to QUOTE frames.

A frame is always the whole top of book: two levels a side. A snapshot says it all. An incremental
is taken only where, for each of its symbols, it replaces both sides; one that changes a single
side would need a book behind it, so it goes to the session machine's side (``GROUP``).
A level of size 0 is an empty level.
"""

from typing import Any

import numpy as np

from fix.codec.fields import DATA_LENGTH, LAST_TABLE_TAG, REFUSE, TAG_TABLE, HandOver, Slot
from fix.codec.frame import read_tag
from fix.codec.link import HAND_OVER_TAG, SESSION, SOH_AT, VALUE_AT, VALUE_SIZE
from fix.codec.reports import has, missing_field
from fix.codec.symbols import PRICE_SCALE, find_symbol
from fix.codec.values import price_value, qty_value, uint_value
from market.enums import FrameKind, TradingStatus
from market.jit import kernel
from market.records import NO_INSTRUMENT
from market.rings import FIX_SOURCE

TYPE_SNAPSHOT, TYPE_INCREMENTAL = np.int64(ord("W")), np.int64(ord("X"))

_GROUP = np.int64(-HandOver.GROUP)
_OUT_FULL = np.int64(0)
_QUOTE = np.int64(FrameKind.QUOTE)
_OPEN, _HALTED, _UNKNOWN = np.int64(TradingStatus.OPEN), np.int64(TradingStatus.HALTED), np.int64(TradingStatus.UNKNOWN)
_SYMBOL, _NO_MD_ENTRIES = np.int64(Slot.SYMBOL), np.int64(Slot.NO_MD_ENTRIES)
_MD_ENTRY_TYPE, _MD_ENTRY_PX, _MD_ENTRY_SIZE = (
    np.int64(Slot.MD_ENTRY_TYPE),
    np.int64(Slot.MD_ENTRY_PX),
    np.int64(Slot.MD_ENTRY_SIZE),
)
_MD_ENTRY_POSITION, _MD_UPDATE_ACTION = np.int64(Slot.MD_ENTRY_POSITION), np.int64(Slot.MD_UPDATE_ACTION)
_QUOTE_CONDITION = np.int64(Slot.QUOTE_CONDITION)
_FIRST_ENTRY = _MD_ENTRY_TYPE
_BID, _OFFER, _TRADE = 48, 49, 50  # MDEntryType(269)
_DELETE = 50  # MDUpdateAction(279)
_CLOSED = 66  # QuoteCondition(276)=B
# Tally of a symbol's entries: bids, plus offers << 16; a message has fewer fields than that.
_A_BID, _AN_OFFER, _BAD = np.array([1, 1 << 16, -1], np.int64)
_0 = np.uint64(0)
_1 = np.uint64(1)


@kernel
def _begin_quote(words: Any, instrument: int, msg_seq: int, sending_ns: int, now_ns: int, rows: Any, i: int) -> None:
    """An empty top of book, open; unknown where there is no instrument."""
    session = words[SESSION]
    rows[i].kind = _QUOTE
    rows[i].source = FIX_SOURCE + session  # never the number of a ring
    rows[i].crc = 0
    rows[i].jseq = 0
    rows[i].ts_ns = sending_ns
    rows[i].recv_ns = now_ns
    rows[i].instrument = NO_INSTRUMENT if instrument < 0 else instrument
    rows[i].status = _UNKNOWN if instrument < 0 else _OPEN
    _empty_quote(rows, i)
    rows[i].src_seq = np.uint64(msg_seq)
    rows[i].last_ticks = 0


@kernel
def _empty_quote(rows: Any, i: int) -> None:
    rows[i].bid_ticks = 0
    rows[i].bid_qty = 0
    rows[i].ask_ticks = 0
    rows[i].ask_qty = 0
    rows[i].bid2_ticks = 0
    rows[i].bid2_qty = 0
    rows[i].ask2_ticks = 0
    rows[i].ask2_qty = 0


@kernel
def _read_entry(words: Any, buf: Any, first: int, fields: int, delimiter: int) -> Any:
    """``(next field, seen)`` of the group entry that begins at field ``first``; -GROUP where it does not."""
    seen = _0
    k = first
    while k < fields:
        at = words[SOH_AT + k - 1] + 1
        stop = words[SOH_AT + k]
        tag, value = read_tag(buf, at)
        words[HAND_OVER_TAG] = tag
        if tag < 0 or value >= stop:
            return _GROUP, seen
        slot = np.int64(TAG_TABLE[tag]) if tag <= LAST_TABLE_TAG else np.int64(-1)
        if (k == first) != (slot == delimiter):
            return (k, seen) if k > first else (_GROUP, seen)
        if slot == REFUSE or slot == DATA_LENGTH:
            return _GROUP, seen
        if slot >= _FIRST_ENTRY or slot == _SYMBOL:
            bit = _1 << np.uint64(slot)
            if (seen & bit) != _0:
                return _GROUP, seen
            seen |= bit
            words[VALUE_AT + slot] = value
            words[VALUE_SIZE + slot] = stop - value
        elif slot >= 0:  # a field of the message's head among the entries
            return _GROUP, seen
        k += 1
    return k, seen


@kernel
def _level(words: Any, buf: Any, seen: Any, default: int) -> int:
    """1 or 2 (MDEntryPositionNo, else the next of this side); anything else is not kept."""
    if not has(seen, _MD_ENTRY_POSITION):
        return default
    return uint_value(buf, words[VALUE_AT + _MD_ENTRY_POSITION], words[VALUE_SIZE + _MD_ENTRY_POSITION])


@kernel
def _put_level(kind: int, level: int, price: int, qty: int, rows: Any, i: int) -> None:
    if kind == _BID:
        if level == 1:
            rows[i].bid_ticks = price
            rows[i].bid_qty = qty
        elif level == 2:
            rows[i].bid2_ticks = price
            rows[i].bid2_qty = qty
    elif level == 1:
        rows[i].ask_ticks = price
        rows[i].ask_qty = qty
    elif level == 2:
        rows[i].ask2_ticks = price
        rows[i].ask2_qty = qty


@kernel
def _apply_entry(words: Any, buf: Any, seen: Any, scale: int, tally: int, rows: Any, i: int) -> int:
    """Take one entry into ``rows[i]``; the new tally, or ``_BAD`` where the entry is unreadable."""
    if not has(seen, _MD_ENTRY_TYPE) or words[VALUE_SIZE + _MD_ENTRY_TYPE] != 1:
        return _BAD
    kind = np.int64(buf[words[VALUE_AT + _MD_ENTRY_TYPE]])
    if kind != _BID and kind != _OFFER and kind != _TRADE:
        return tally
    price = np.int64(0)
    qty = np.int64(0)
    if has(seen, _MD_ENTRY_PX):
        price = price_value(buf, words[VALUE_AT + _MD_ENTRY_PX], words[VALUE_SIZE + _MD_ENTRY_PX], scale)
    if has(seen, _MD_ENTRY_SIZE):
        qty = qty_value(buf, words[VALUE_AT + _MD_ENTRY_SIZE], words[VALUE_SIZE + _MD_ENTRY_SIZE])
    if price < 0 or qty < 0:
        return _BAD
    if kind == _TRADE:
        rows[i].last_ticks = price
        return tally
    if has(seen, _QUOTE_CONDITION) and buf[words[VALUE_AT + _QUOTE_CONDITION]] == _CLOSED:
        rows[i].status = _HALTED
    if has(seen, _MD_UPDATE_ACTION) and buf[words[VALUE_AT + _MD_UPDATE_ACTION]] == _DELETE:
        qty = np.int64(0)
    level = _level(words, buf, seen, 1 + (tally % _AN_OFFER if kind == _BID else tally // _AN_OFFER))
    if level < 0 or (qty > 0 and price == 0):
        return _BAD
    _put_level(kind, level, price if qty > 0 else np.int64(0), qty, rows, i)
    return tally + (_A_BID if kind == _BID else _AN_OFFER)


@kernel
def _take_entry(words: Any, symbols: Any, buf: Any, seen: Any, instrument: int, tally: int, rows: Any, i: int) -> int:
    """One entry of the symbol in hand; an unreadable one makes its whole quote unknown and empty."""
    if instrument < 0 or tally == _BAD:
        return _BAD
    tally = _apply_entry(words, buf, seen, symbols.rows[instrument, PRICE_SCALE], tally, rows, i)
    if tally == _BAD:
        _empty_quote(rows, i)
        rows[i].status = _UNKNOWN
    return tally


@kernel
def _stated_entries(words: Any, buf: Any) -> int:
    return uint_value(buf, words[VALUE_AT + _NO_MD_ENTRIES], words[VALUE_SIZE + _NO_MD_ENTRIES])


@kernel
def decode_snapshot(
    words: Any, symbols: Any, buf: Any, seen: Any, field: int, fields: int, msg_seq: int, sending_ns: int, now_ns: int,
    rows: Any, i: int,
) -> int:  # fmt: skip
    """Entries from field number ``field`` on to ``rows[i]`` (QUOTE): 1, or -HandOver."""
    if not has(seen, _NO_MD_ENTRIES) or not has(seen, _SYMBOL):
        return missing_field(words, seen)
    stated = _stated_entries(words, buf)
    instrument = find_symbol(symbols, buf, words[VALUE_AT + _SYMBOL], words[VALUE_SIZE + _SYMBOL])
    _begin_quote(words, instrument, msg_seq, sending_ns, now_ns, rows, i)
    tally = np.int64(0)
    entries = 0
    while field < fields:
        field, entry = _read_entry(words, buf, field, fields, _MD_ENTRY_TYPE)
        if field < 0 or has(entry, _SYMBOL):
            return _GROUP
        entries += 1
        tally = _take_entry(words, symbols, buf, entry, instrument, tally, rows, i)
    return 1 if entries == stated else _GROUP


@kernel
def decode_incremental(
    words: Any, symbols: Any, buf: Any, seen: Any, field: int, fields: int, msg_seq: int, sending_ns: int, now_ns: int,
    rows: Any, first_row: int,
) -> int:  # fmt: skip
    """Entries from field number ``field`` on to QUOTE rows, one a symbol: count, 0 (no room), or -HandOver."""
    if not has(seen, _NO_MD_ENTRIES):
        return missing_field(words, seen)
    stated = _stated_entries(words, buf)
    i = np.int64(first_row) - 1
    instrument = np.int64(-1)
    symbol_at = np.int64(-1)
    tally = _BAD
    entries = 0
    while field < fields:
        field, entry = _read_entry(words, buf, field, fields, _MD_UPDATE_ACTION)
        if field < 0:
            return _GROUP
        at = words[VALUE_AT + _SYMBOL] if has(entry, _SYMBOL) else symbol_at
        size = words[VALUE_SIZE + _SYMBOL]
        if at < 0:
            return _GROUP
        if symbol_at < 0 or not _same_value(buf, at, symbol_at, size):
            if not _is_whole(tally):
                return _GROUP
            i += 1
            if i >= rows.shape[0]:
                return _OUT_FULL
            instrument = find_symbol(symbols, buf, at, size)
            _begin_quote(words, instrument, msg_seq, sending_ns, now_ns, rows, i)
            tally = np.int64(0)
        symbol_at = at
        entries += 1
        tally = _take_entry(words, symbols, buf, entry, instrument, tally, rows, i)
    if entries != stated or entries == 0 or not _is_whole(tally):
        return _GROUP
    return i - first_row + 1


@kernel(inline=True)
def _is_whole(tally: int) -> bool:
    """Whether a symbol's entries made a quote: of both sides, or unknown."""
    return tally == _BAD or (tally % _AN_OFFER > 0 and tally >= _AN_OFFER)


@kernel
def _same_value(buf: Any, at: int, other: int, size: int) -> bool:
    """Whether the value at ``other`` is the ``size`` bytes at ``at`` and ends there."""
    for k in range(size):
        if buf[at + k] != buf[other + k]:
            return False
    return buf[other + size] == 1
