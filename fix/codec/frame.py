"""One message out of the stream: its ends, its checksum, and where each known field's value stands.

Three passes, each over what the one before proved: ``find_message`` reads BeginString, BodyLength
and the trailer; ``scan_fields`` sums the bytes and lists the field ends, 64 bytes at a time;
``index_fields`` reads the tags. After the first, every byte up to the trailer's last is inside
``buf[start:end]``, which is what lets the others load eight bytes at any place of the body.
"""

from typing import Any

import numpy as np

from fix.codec.fields import (
    DATA_LENGTH,
    FIRST_BODY_SLOT,
    FIRST_ENTRY_SLOT,
    HARMLESS,
    HEADER_EXTRA,
    LAST_TABLE_TAG,
    OTHER,
    REFUSE,
    TAG_TABLE,
    HandOver,
    Slot,
)
from fix.codec.link import (
    HAND_OVER_TAG,
    MAX_BODY_BYTES,
    MAX_FIELDS,
    PREFIX_BYTES,
    PREFIX_TEXT,
    SOH_AT,
    VALUE_AT,
    VALUE_SIZE,
)
from fix.codec.words import ALL, digits4, digits8, find_byte, first_bytes, load_u64, lowest_bit, scan64, word_of
from market.jit import kernel

SOH = 1
TRAILER_BYTES = 7  # "10=123|"
NEED_MORE = 1

_GARBLED = np.int64(-HandOver.GARBLED)
_TOO_LARGE = np.int64(-HandOver.TOO_LARGE)
_STRUCTURE = np.int64(-HandOver.STRUCTURE)
_UNSUPPORTED = np.int64(-HandOver.UNSUPPORTED)
_NO_MD_ENTRIES = np.int64(Slot.NO_MD_ENTRIES)
_0 = np.uint64(0)
_1 = np.uint64(1)
_255 = np.uint64(255)
_THREE = np.int64(3)
_SOHS = np.uint64(0x0101010101010101)
_EQUALS = np.uint64(0x3D3D3D3D3D3D3D3D)
_TRAILER_MASK = np.uint64(0xFF000000FFFFFFFF)
_TRAILER = word_of(b"\x0110=\0\0\0\x01")
_MSG_TYPE_MASK = np.uint64(0xFFFFFF)
_MSG_TYPE = word_of(b"35=")
_BYTE_0 = np.uint64(0x30)


@kernel
def _prefix_differs(words: Any, text: Any, buf: Any, start: int, count: int) -> bool:
    """Whether the first ``count`` bytes are no beginning of a message of this version."""
    for k in range(min(count, words[PREFIX_BYTES])):  # noqa: SIM110  any() of a generator is no kernel
        if buf[start + k] != text[PREFIX_TEXT + k]:
            return True
    return False


@kernel
def find_message(words: Any, text: Any, buf: Any, start: int, end: int) -> Any:
    """``(status, body, body_end)`` of the message at ``start``: 0 whole, NEED_MORE, or -HandOver.

    Where whole: ``8=..|9=..|`` is ``buf[start:body]``, ``buf[body_end - 1]`` is SOH and
    ``10=ddd|`` is ``buf[body_end:body_end + 7]``, all before ``end``.
    """
    size = words[PREFIX_BYTES]
    if end - start < size + 8:
        differs = _prefix_differs(words, text, buf, start, end - start)
        return _GARBLED if differs else NEED_MORE, 0, 0
    if size >= 8:
        differs = (load_u64(buf, start) ^ load_u64(text, PREFIX_TEXT)) != _0
        differs |= (load_u64(buf, start + size - 8) ^ load_u64(text, PREFIX_TEXT + size - 8)) != _0
    else:
        differs = _prefix_differs(words, text, buf, start, size)
    if differs:
        return _GARBLED, 0, 0
    word = load_u64(buf, start + size)
    count = find_byte(word, _SOHS)
    if count < 1 or count > 6:
        return _GARBLED, 0, 0
    length = digits8(word, count)
    if length < 5:  # a body is at least 35=X|
        return _GARBLED, 0, 0
    if length > MAX_BODY_BYTES:
        return _TOO_LARGE, 0, 0
    body = start + size + count + 1
    body_end = body + length
    if body_end + TRAILER_BYTES > end:
        return NEED_MORE, 0, 0
    word = load_u64(buf, body_end - 1)
    if (word & _TRAILER_MASK) != _TRAILER or (load_u64(buf, body) & _MSG_TYPE_MASK) != _MSG_TYPE:
        return _GARBLED, 0, 0
    return 0, body, body_end


@kernel
def message_type(buf: Any, body: int) -> int:
    """MsgType of one character as its code, of two as first << 8 | second; -1 for any other."""
    first = np.int64(buf[body + 3])
    second = np.int64(buf[body + 4])
    if first == SOH:
        return -1
    if second == SOH:
        return first
    return (first << 8) | second if buf[body + 5] == SOH else np.int64(-1)


@kernel
def scan_fields(words: Any, buf: Any, start: int, body: int, body_end: int) -> int:
    """List the field ends of the body in ``words[SOH_AT:]`` and check the sum; count or -HandOver."""
    total = _0
    count = 0
    i = start
    while i < body_end:
        ends, part = scan64(buf, i, min(64, body_end - i))
        total += part
        if i < body:  # BeginString and BodyLength: fewer than 64 bytes
            ends &= ALL << np.uint64(body - i)
        while ends != _0:
            if count == MAX_FIELDS:
                return _TOO_LARGE
            words[SOH_AT + count] = i + lowest_bit(ends)
            count += 1
            ends &= ends - _1
        i += 64
    stated = digits8(load_u64(buf, body_end - 1) >> np.uint64(32), _THREE)
    return count if np.int64(total & _255) == stated else _GARBLED


@kernel(inline=True)
def read_tag(buf: Any, at: int) -> Any:
    """``(tag, value_at)`` of the field at ``at``; tag -1 where it is not 1..7 digits and ``=``.

    ``value_at`` may be past the field's end: the caller compares.
    """
    word = load_u64(buf, at)
    equals = find_byte(word, _EQUALS)
    if equals < 1 or equals > 7 or (word & _255) == _BYTE_0:
        return -1, at
    return digits4(word, equals) if equals <= 4 else digits8(word, equals), at + equals + 1


@kernel
def skip_data(words: Any, buf: Any, field: int, fields: int, data_tag: int, size: int) -> int:
    """Field number after the field ``field``, ``data_tag`` with ``size`` bytes; -HandOver where it is not that."""
    if size < 1 or field >= fields:
        return _STRUCTURE
    tag, value = read_tag(buf, words[SOH_AT + field - 1] + 1)
    if tag != data_tag:
        return _STRUCTURE
    for k in range(field, fields):
        if words[SOH_AT + k] == value + size:
            return k + 1
    return _STRUCTURE


@kernel
def index_fields(words: Any, buf: Any, body: int, fields: int, strict: bool) -> Any:
    """``(next field, seen)``: where each known tag's value stands, up to and with NoMDEntries(268).

    ``seen`` has bit ``slot`` set for each known tag; its value is ``words[VALUE_AT + slot]``,
    ``words[VALUE_SIZE + slot]``. ``strict``: a tag that is not known is -UNSUPPORTED.
    On -HandOver the tag is in ``words[HAND_OVER_TAG]``.
    """
    seen = _0
    in_body = False
    at = body
    k = 0
    while k < fields:
        stop = words[SOH_AT + k]
        tag, value = read_tag(buf, at)
        k += 1
        words[HAND_OVER_TAG] = tag
        if tag < 0 or value >= stop:  # no tag, no '=', or no value
            return _STRUCTURE, seen
        slot = np.int64(TAG_TABLE[tag]) if tag <= LAST_TABLE_TAG else np.int64(OTHER)
        if slot >= 0:
            bit = _1 << np.uint64(slot)
            if (seen & bit) != _0 or slot >= FIRST_ENTRY_SLOT or (in_body and slot < FIRST_BODY_SLOT):
                return _STRUCTURE, seen
            in_body |= slot >= FIRST_BODY_SLOT
            seen |= bit
            words[VALUE_AT + slot] = value
            words[VALUE_SIZE + slot] = stop - value
            if slot == _NO_MD_ENTRIES:
                return k, seen
        elif slot == REFUSE or (slot == HEADER_EXTRA and in_body):
            return _STRUCTURE, seen
        elif strict and slot != HARMLESS and slot != HEADER_EXTRA:
            return _UNSUPPORTED, seen
        elif slot == DATA_LENGTH:
            size = digits8(load_u64(buf, value), stop - value) if stop - value <= 8 else -1
            k = skip_data(words, buf, k, fields, tag + 1, size)
            if k < 0:
                return k, seen
            stop = words[SOH_AT + k - 1]
        in_body |= slot != HEADER_EXTRA and slot < 0
        at = stop + 1
    words[HAND_OVER_TAG] = 0
    return k, seen


@kernel(inline=True)
def same_text(words: Any, buf: Any, at: int, size: int, want: int, want_size: int) -> bool:
    """Whether the value equals the ``want_size`` (<= 32) bytes that stand in ``words`` from ``want``."""
    if size != want_size:
        return False
    k = 0
    while 8 * k < size:
        word = load_u64(buf, at + 8 * k)
        if size - 8 * k < 8:
            word = first_bytes(word, size - 8 * k)
        if word != np.uint64(words[want + k]):
            return False
        k += 1
    return True
