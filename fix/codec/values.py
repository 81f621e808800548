"""A field's bytes to a number: integers, quantities, prices, ids, times.

Every function takes ``buf``, ``at`` and ``size`` (>= 1) of a value that lies inside a framed
message, so at least 7 bytes (the trailer) follow it in ``buf``: an eight-byte load that begins in
the value is in bounds. None of them trusts a byte; what does not parse is the sentinel.
"""

from typing import Any

import numpy as np

from fix.codec.link import IN_CLOCK_NS, IN_CLOCK_WORD, IN_DATE_NS, IN_DATE_WORD
from fix.codec.words import digits8, find_byte, first_bytes, fnv1a, hex8, load_u64
from market.jit import kernel

#: Of :func:`price_value`: no price of this scale.
BAD_PRICE = np.int64(-(1 << 62))
#: Quantities in reports are int32.
MAX_QTY = (1 << 31) - 1
NANOS_A_SECOND = 1_000_000_000
NANOS_A_DAY = 86_400 * NANOS_A_SECOND

_MAX_UNITS = 10**17
_DOTS = np.uint64(0x2E2E2E2E2E2E2E2E)
_MINUS, _POINT, _ZERO = 45, 46, 48
_TWO, _EIGHT, _UNITS = np.int64(2), np.int64(8), np.int64(0)
_0 = np.uint64(0)
_8 = np.uint64(8)
_32 = np.uint64(32)
_COLONS_OF_TIME = np.uint64(0x0000FF0000FF0000)  # HH:MM:SS, bytes 2 and 5
_COLONS = np.uint64(0x00003A00003A0000)
_DAYS_BEFORE = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int64)


@kernel
def uint_value(buf: Any, at: int, size: int) -> int:
    """Unsigned integer of up to 18 digits, leading zeros allowed; -1 where it is none."""
    if size <= 8:
        return digits8(load_u64(buf, at), size)
    if size > 18:
        return -1
    high = digits8(load_u64(buf, at), _EIGHT)
    if size <= 16:
        low = digits8(load_u64(buf, at + 8), size - 8)
        power = 1
        for _ in range(size - 8):
            power *= 10
    else:
        middle = digits8(load_u64(buf, at + 8), _EIGHT)
        tail = digits8(load_u64(buf, at + 16), size - 16)
        power = 1_000_000_000 if size == 17 else 10_000_000_000
        low = -1 if middle < 0 or tail < 0 else middle * (power // 100_000_000) + tail
    if high < 0 or low < 0:
        return -1
    return high * power + low


@kernel
def _price_by_char(buf: Any, at: int, size: int, scale: int) -> int:
    """Any decimal, one character at a time; see :func:`price_value`."""
    i = at
    end = at + size
    negative = np.int64(buf[i]) == _MINUS
    if negative:
        i += 1
    value = 0
    digits = 0
    decimals = -1  # -1: no point yet
    while i < end:
        c = np.int64(buf[i])
        i += 1
        if c == _POINT:
            if decimals >= 0:
                return BAD_PRICE
            decimals = 0
        elif c < _ZERO or c > _ZERO + 9:
            return BAD_PRICE
        else:
            digits += 1
            if decimals >= scale:  # finer than the instrument's unit: only zeros
                if c != _ZERO:
                    return BAD_PRICE
            else:
                value = value * 10 + (c - _ZERO)
                if decimals >= 0:
                    decimals += 1
                if value > _MAX_UNITS:
                    return BAD_PRICE
    if digits == 0:
        return BAD_PRICE
    for _ in range(scale - max(decimals, 0)):
        value *= 10
        if value > _MAX_UNITS:
            return BAD_PRICE
    return -value if negative else value


@kernel
def price_value(buf: Any, at: int, size: int, scale: int) -> int:
    """Decimal as a count of 10**-scale, exact; ``BAD_PRICE`` where it is no such number.

    A sign, a missing integer or fraction part and leading or trailing zeros are fine; exponents,
    blanks, more than 10**17 units, and decimals beyond ``scale`` that are not zero are not.
    """
    if size <= 8:
        word = first_bytes(load_u64(buf, at), size)
        point = find_byte(word, _DOTS)
        if point >= size:
            value = digits8(word, size)
            missing = scale
        elif size == 1:
            return BAD_PRICE
        else:  # close the gap that the point leaves
            if point == 0:
                joined = word >> _8
            else:
                head = first_bytes(word, point)
                joined = head | (((word >> np.uint64(8 * point)) >> _8) << np.uint64(8 * point))
            value = digits8(joined, size - 1)
            missing = scale - (size - 1 - point)
        if value >= 0 and missing >= 0:
            for _ in range(missing):
                value *= 10
            return value
    return _price_by_char(buf, at, size, scale)


@kernel
def qty_value(buf: Any, at: int, size: int) -> int:
    """Quantity 0..2**31 - 1; FIX Qty may be written ``100.0``. -1 where it is no such number."""
    value = np.int64(-1)
    if size <= 8:
        value = digits8(load_u64(buf, at), size)
    if value < 0:
        value = _price_by_char(buf, at, size, _UNITS)
    return value if 0 <= value <= MAX_QTY else np.int64(-1)


@kernel(inline=True)
def is_our_id(buf: Any, at: int, size: int) -> bool:
    """Whether the value is 16 uppercase hex digits."""
    return size == 16 and hex8(load_u64(buf, at)) >= 0 and hex8(load_u64(buf, at + 8)) >= 0


@kernel
def id_and_origin(buf: Any, at: int, size: int) -> Any:
    """``(id_value, is_our_id)`` for the price of one."""
    if size == 16:
        high = hex8(load_u64(buf, at))
        low = hex8(load_u64(buf, at + 8))
        if high >= 0 and low >= 0:
            return (np.uint64(high) << _32) | np.uint64(low), True
    return id_value(buf, at, size), False


@kernel
def id_value(buf: Any, at: int, size: int) -> Any:
    """Id as uint64: 16 hex digits as they read, ``NONE`` as 0, anything else by FNV-1a."""
    if size == 16:
        high = hex8(load_u64(buf, at))
        low = hex8(load_u64(buf, at + 8))
        if high >= 0 and low >= 0:
            return (np.uint64(high) << _32) | np.uint64(low)
    if size == 4 and buf[at] == 78 and buf[at + 1] == 79 and buf[at + 2] == 78 and buf[at + 3] == 69:
        return _0
    return fnv1a(buf, at, size)


@kernel
def days_of_date(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a Gregorian date from 1970 to 9999; -1 where there is no such day."""
    if year < 1970 or year > 9999 or month < 1 or month > 12 or day < 1:
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if month == 2:
        last = 29 if leap else 28
    if day > last:
        return -1
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400 - 477  # 477 of them before 1970
    days = (year - 1970) * 365 + leap_days + _DAYS_BEFORE[month] + day - 1
    return days + 1 if leap and month > 2 else days


@kernel
def _midnight_ns(words: Any, date: Any) -> int:
    """UTC midnight of the YYYYMMDD in ``date``, remembered in ``words``; -1 where there is no such day."""
    if date == np.uint64(words[IN_DATE_WORD]):
        return words[IN_DATE_NS]
    number = digits8(date, _EIGHT)
    if number < 0:
        return -1
    days = days_of_date(number // 10_000, number // 100 % 100, number % 100)
    if days < 0:
        return -1
    words[IN_DATE_WORD] = np.int64(date)
    words[IN_DATE_NS] = days * NANOS_A_DAY
    return words[IN_DATE_NS]


@kernel
def _clock_ns(words: Any, clock: Any) -> int:
    """Nanoseconds since midnight of the HH:MM:SS in ``clock``, remembered in ``words``; -1 where it is none."""
    if clock == np.uint64(words[IN_CLOCK_WORD]):
        return words[IN_CLOCK_NS]
    if (clock & _COLONS_OF_TIME) != _COLONS:
        return -1
    hour = digits8(clock, _TWO)
    minute = digits8(clock >> np.uint64(24), _TWO)
    second = digits8(clock >> np.uint64(48), _TWO)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 60:
        return -1
    words[IN_CLOCK_WORD] = np.int64(clock)
    words[IN_CLOCK_NS] = ((hour * 60 + minute) * 60 + second) * NANOS_A_SECOND
    return words[IN_CLOCK_NS]


@kernel
def time_value(words: Any, buf: Any, at: int, size: int) -> int:
    """UTC nanoseconds of ``YYYYMMDD-HH:MM:SS`` with 0, 3, 6 or 9 decimals; -1 where it is no such time.

    A leap second (SS = 60) reads as the first second after it.
    """
    if size < 17 or buf[at + 8] != 45:
        return -1
    midnight = _midnight_ns(words, load_u64(buf, at))
    clock_ns = _clock_ns(words, load_u64(buf, at + 9))
    if midnight < 0 or clock_ns < 0:
        return -1
    fraction = np.int64(0)
    if size > 17:
        decimals = size - 18
        if buf[at + 17] != _POINT or (decimals != 3 and decimals != 6 and decimals != 9):
            return -1
        fraction = uint_value(buf, at + 18, decimals)
        if fraction < 0:
            return -1
        if decimals == 3:
            fraction *= 1_000_000
        elif decimals == 6:
            fraction *= 1_000
    return midnight + clock_ns + fraction
