"""Pieces of an outgoing message: opening, fields, trailer.

Every piece writes whole words and advances by what counts, so up to 63 bytes after it are
overwritten with rubbish that the next piece covers: an encoder only starts a message where
``MESSAGE_ROOM`` bytes are free, which is more than the longest message and that slack.
"""

from typing import Any

import numpy as np

from fix.codec.link import OPENING_BYTES, OPENING_ROOM, OPENING_TEXT, OUT_DATE_WORD, OUT_DAY, OUT_TIME, PREFIX_BYTES
from fix.codec.symbols import PRICE_SCALE, PRICE_UNITS, SYMBOL_LENGTH
from fix.codec.values import NANOS_A_DAY
from fix.codec.words import copy64, digit_bytes8, hex_text8, put_digits, put_uint, scan64, store_u64, text_size, word_of
from market.jit import kernel

#: Free bytes that an encoder needs to start a message.
MESSAGE_ROOM = 768
#: Units that a price may have, as many as ``price_value`` reads back.
MAX_UNITS = 10**17

_0 = np.uint64(0)
_8 = np.uint64(8)
_32 = np.uint64(32)
_255 = np.uint64(255)
_DIGITS = np.uint64(0x3030303030303030)
_SENDING_TIME = word_of(b"\x0152=")
_CHECK_SUM = word_of(b"\x0110=")
_POINT, _MINUS, _DASH, _COLON = 46, 45, 45, 58
_THREE_DIGITS = np.int64(3)
SHORT_LENGTH, LONG_LENGTH = np.int64(3), np.int64(4)  #: digits that an opening keeps for BodyLength


@kernel
def date_word(day: int) -> Any:
    """YYYYMMDD, as a word of text, of a day since 1970-01-01 (0..2932896)."""
    # Eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    shifted = day + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * of_year + 2) // 153  # 0 is March
    day_of_month = of_year - (153 * month + 2) // 5 + 1
    year = year_of_era + era * 400 + (1 if month >= 10 else 0)
    month = month - 9 if month >= 10 else month + 3
    return digit_bytes8(np.uint64(year * 10_000 + month * 100 + day_of_month)) | _DIGITS


@kernel
def set_time(words: Any, now_ns: int) -> None:
    """Prepare the text of ``now_ns`` (UTC, from 1970 on, cut to milliseconds) for this batch."""
    day = now_ns // NANOS_A_DAY
    if day != words[OUT_DAY]:
        words[OUT_DATE_WORD] = np.int64(date_word(day))
        words[OUT_DAY] = day
    millis = (now_ns - day * NANOS_A_DAY) // 1_000_000
    seconds = millis // 1000
    minutes = seconds // 60
    hours = minutes // 60
    clock = hours * 1_000_000 + (minutes - hours * 60) * 10_000 + (seconds - minutes * 60) * 100
    raw = digit_bytes8(np.uint64(clock)) | _DIGITS  # HHMMSS00
    pair = np.uint64(0xFFFF)
    text = np.uint64(_DASH) | ((raw & pair) << _8) | (np.uint64(_COLON) << np.uint64(24))
    text |= ((raw >> np.uint64(16)) & pair) << _32
    text |= (np.uint64(_COLON) << np.uint64(48)) | (((raw >> _32) & _255) << np.uint64(56))
    words[OUT_TIME] = np.int64(text)
    fraction = (digit_bytes8(np.uint64(millis - seconds * 1000)) | _DIGITS) >> np.uint64(40)  # three digits
    tail = ((raw >> np.uint64(40)) & _255) | (np.uint64(_POINT) << _8) | (fraction << np.uint64(16))
    words[OUT_TIME + 1] = np.int64(tail)


@kernel(inline=True)
def put_text(out: Any, o: int, word: Any) -> int:
    """Write the text in ``word`` (see ``word_of``); its length folds to a constant where the word is one."""
    store_u64(out, o, word)
    return o + text_size(word)


@kernel(inline=True)
def put_char(out: Any, o: int, tag: Any, char: int) -> int:
    """Write a field of one character; ``tag`` is ``SOH nnn=``."""
    size = text_size(tag)
    store_u64(out, o, tag)
    out[o + size] = np.uint8(char)
    return o + size + 1


@kernel(inline=True)
def put_time(words: Any, out: Any, o: int) -> int:
    """Write the batch's time, ``YYYYMMDD-HH:MM:SS.mmm``."""
    store_u64(out, o, np.uint64(words[OUT_DATE_WORD]))
    store_u64(out, o + 8, np.uint64(words[OUT_TIME]))
    store_u64(out, o + 16, np.uint64(words[OUT_TIME + 1]))
    return o + 21


@kernel(inline=True)
def put_id(out: Any, o: int, value: Any) -> int:
    """Write an id (uint64) as 16 hex digits."""
    store_u64(out, o, hex_text8(value >> _32))
    store_u64(out, o + 8, hex_text8(value))
    return o + 16


@kernel(inline=True)
def put_symbol(symbols: Any, out: Any, o: int, instrument: int) -> int:
    """Write the symbol of a known instrument."""
    rows = symbols.rows
    store_u64(out, o, np.uint64(rows[instrument, 0]))
    store_u64(out, o + 8, np.uint64(rows[instrument, 1]))
    store_u64(out, o + 16, np.uint64(rows[instrument, 2]))
    return o + rows[instrument, SYMBOL_LENGTH]


@kernel
def put_decimal(out: Any, o: int, value: int, scale: int, units: int) -> int:
    """Write ``value`` (|value| <= MAX_UNITS) times 10**-scale with exactly ``scale`` (0..8) decimals."""
    if value < 0:
        out[o] = np.uint8(_MINUS)
        o += 1
        value = -value
    if scale == 0:
        return put_uint(out, o, value)
    whole = value // 100 if scale == 2 else value // max(units, 1)
    o = put_uint(out, o, whole)
    out[o] = np.uint8(_POINT)
    return put_digits(out, o + 1, value - whole * units, scale)


@kernel(inline=True)
def put_price(symbols: Any, out: Any, o: int, instrument: int, ticks: int) -> int:
    """Write a price of a known instrument."""
    rows = symbols.rows
    return put_decimal(out, o, ticks, rows[instrument, PRICE_SCALE], rows[instrument, PRICE_UNITS])


@kernel(inline=True)
def is_known(symbols: Any, instrument: int) -> bool:
    """Whether the instrument can be written."""
    return 0 <= instrument < symbols.rows.shape[0] and symbols.rows[instrument, SYMBOL_LENGTH] > 0


@kernel
def open_message(words: Any, text: Any, out: Any, o: int, opening: int, msg_seq: int) -> int:
    """Write up to and with SendingTime(52), BodyLength still zeros; returns the end."""
    at = OPENING_TEXT + opening * OPENING_ROOM
    copy64(out, o, text, at)
    copy64(out, o + 64, text, at + 64)
    o = put_uint(out, o + words[OPENING_BYTES + opening], msg_seq)
    o = put_text(out, o, _SENDING_TIME)
    return put_time(words, out, o)


@kernel
def _make_room(out: Any, at: int, shift: int, o: int) -> int:
    """Move the bytes ``at .. o`` by ``shift`` places; returns the new end."""
    if shift < 0:
        for i in range(at, o):
            out[i + shift] = out[i]
    else:
        for back in range(o - at):
            i = o - 1 - back
            out[i + shift] = out[i]
    return o + shift


@kernel
def _put_length(out: Any, at: int, length: int, reserved: int, o: int) -> int:
    """Write BodyLength in as many digits as it has, where ``reserved`` are kept; returns the message's end."""
    digits = 1
    rest = length // 10
    while rest > 0:
        digits += 1
        rest //= 10
    if digits != reserved:
        o = _make_room(out, at + reserved, np.int64(digits - reserved), o)
    rest = length
    for back in range(digits):
        out[at + digits - 1 - back] = np.uint8(48 + rest % 10)
        rest //= 10
    return o


@kernel
def close_message(words: Any, out: Any, start: int, o: int, reserved: int) -> int:
    """Write BodyLength and the trailer of the message that began at ``start``; returns its end.

    ``reserved`` digits stand where BodyLength goes. A body of another length is moved: the length has
    no leading zeros, because not every engine takes them.
    """
    length_at = start + words[PREFIX_BYTES]
    length = o - (length_at + reserved)
    if reserved == 3 and 100 <= length < 1000:
        hundreds = length // 100
        tens = length // 10 - hundreds * 10
        out[length_at] = np.uint8(48 + hundreds)
        out[length_at + 1] = np.uint8(48 + tens)
        out[length_at + 2] = np.uint8(48 + length - hundreds * 100 - tens * 10)
    else:
        o = _put_length(out, length_at, length, reserved, o)
    store_u64(out, o, _CHECK_SUM)
    total = _0
    i = start
    while i <= o:
        _, part = scan64(out, i, min(64, o + 1 - i))
        total += part
        i += 64
    o = put_digits(out, o + 4, np.int64(total & _255), _THREE_DIGITS)
    out[o] = np.uint8(1)
    return o + 1
