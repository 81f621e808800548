r"""How a value of each FIX data type reads.

``matcher(type, version)`` gives a test of bytes, or None where any non-empty value does. What the
reference engines let pass (local dates, currencies, countries) is tested only in
``strict`` mode. Accepted by them, hence by us: ``5.`` for a price, ``00012`` for an integer, the
31st of any month, second 60, a time that ends in its point.
"""

import calendar
import re
from collections.abc import Callable

Matcher = Callable[[bytes], object]

#: UserMin: tags from here on belong to nobody's specification.
USER_DEFINED_FROM = 5000
#: Types whose values are several enumerated ones, separated by blanks.
MULTIPLE_VALUE_TYPES = frozenset(("MULTIPLEVALUESTRING", "MULTIPLECHARVALUE", "MULTIPLESTRINGVALUE"))
#: Types whose value may contain SOH, its length being announced by the field before.
DATA_TYPES = frozenset(("DATA", "XMLDATA"))

_DECIMAL_TEXT = rb"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_SHORT_INT_TEXT = rb"-?[0-9]{1,9}"
_SHORT_UNSIGNED_TEXT = rb"[0-9]{1,18}"
_DECIMAL = re.compile(_DECIMAL_TEXT).fullmatch
_SHORT_INT = re.compile(_SHORT_INT_TEXT).fullmatch
_SHORT_UNSIGNED = re.compile(_SHORT_UNSIGNED_TEXT).fullmatch
_DIGITS = re.compile(rb"-?[0-9]+").fullmatch
_DATE = rb"[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_TIME = rb"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{0,9})?"
_TIMESTAMP = re.compile(_DATE + rb"-" + _TIME).fullmatch
_TIME_ONLY = re.compile(_TIME).fullmatch
_DATE_ONLY = re.compile(_DATE).fullmatch
_BOOLEAN = frozenset((b"Y", b"N")).__contains__
_ZONE = rb"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
_TZ_TIME = rb"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?)?" + _ZONE

_MAX_INT32 = (1 << 31) - 1
_MAX_UINT64 = (1 << 64) - 1


def is_int32(value: bytes) -> bool:
    """A decimal integer of 32 bits, leading zeros allowed, no ``+``."""
    if _SHORT_INT(value) is not None:
        return True
    if _DIGITS(value) is None:
        return False
    digits = value.lstrip(b"-").lstrip(b"0")
    return len(digits) <= 10 and int(digits or b"0") <= _MAX_INT32 + (value[:1] == b"-")


def is_seq_num(value: bytes) -> bool:
    """An unsigned decimal integer of 64 bits."""
    if _SHORT_UNSIGNED(value) is not None:
        return True
    digits = value.lstrip(b"0")
    return value.isdigit() and len(digits) <= 20 and int(digits or b"0") <= _MAX_UINT64


def is_char(value: bytes) -> bool:
    """Exactly one byte."""
    return len(value) == 1


def is_day(value: bytes) -> bool:
    """``YYYYMMDD`` of a day that exists."""
    if _DATE_ONLY(value) is None:
        return False
    year, month = int(value[:4]), int(value[4:6])
    return year > 0 and int(value[6:]) <= calendar.monthrange(year, month)[1]


def is_timestamp(value: bytes) -> bool:
    """``YYYYMMDD-HH:MM:SS[.s{1,9}]`` on a day that exists."""
    return _TIMESTAMP(value) is not None and value[-1:] != b"." and is_day(value[:8])


def is_time(value: bytes) -> bool:
    """``HH:MM:SS[.s{1,9}]``."""
    return _TIME_ONLY(value) is not None and value[-1:] != b"."


_REFERENCE: dict[str, Matcher] = {
    "CHAR": is_char, "BOOLEAN": _BOOLEAN,
    "INT": is_int32, "NUMINGROUP": is_int32, "LENGTH": is_int32, "SEQNUM": is_seq_num,
    "PRICE": _DECIMAL, "AMT": _DECIMAL, "QTY": _DECIMAL, "FLOAT": _DECIMAL, "PRICEOFFSET": _DECIMAL,
    "PERCENTAGE": _DECIMAL,
    "UTCTIMESTAMP": _TIMESTAMP, "TIME": _TIMESTAMP, "UTCTIMEONLY": _TIME_ONLY,
    "UTCDATE": _DATE_ONLY, "UTCDATEONLY": _DATE_ONLY,
}  # fmt: skip

_STRICT: dict[str, Matcher] = _REFERENCE | {
    "UTCTIMESTAMP": is_timestamp, "TIME": is_timestamp,
    "UTCDATE": is_day, "UTCDATEONLY": is_day, "LOCALMKTDATE": is_day, "DATE": is_day,
    "DAYOFMONTH": re.compile(rb"[1-9]|0[1-9]|[12][0-9]|3[01]").fullmatch,
    "MONTHYEAR": re.compile(rb"[0-9]{4}(?:0[1-9]|1[0-2])(?:w[1-5]|0[1-9]|[12][0-9]|3[01])?").fullmatch,
    "UTCTIMEONLY": is_time, "LOCALMKTTIME": is_time,
    "TZTIMEONLY": re.compile(_TZ_TIME).fullmatch,
    "TZTIMESTAMP": re.compile(_DATE + rb"-" + _TZ_TIME).fullmatch,
    "CURRENCY": re.compile(rb"[A-Z]{3}").fullmatch,
    "COUNTRY": re.compile(rb"[A-Z]{2}").fullmatch,
    "LANGUAGE": re.compile(rb"[a-z]{2}").fullmatch,
    "TAGNUM": re.compile(rb"[1-9][0-9]{0,8}").fullmatch,
}  # fmt: skip


def matcher(field_type: str, version: str, *, strict: bool = False) -> Matcher | None:
    """Test of a value of ``field_type`` in ``version``; None: whatever is not empty.

    CHAR means text before FIX.4.2.
    """
    if field_type == "CHAR" and version in ("FIX.4.0", "FIX.4.1"):
        return None
    return (_STRICT if strict else _REFERENCE).get(field_type)


#: Any value there is.
ANY = rb"[^\x01]+"
#: What stands in a pattern for a test of ``_REFERENCE``: nothing that the test refuses. Rare forms may be left out.
_SURE: dict[str, bytes] = {
    "CHAR": rb"[^\x01]", "BOOLEAN": rb"[YN]",
    "INT": _SHORT_INT_TEXT, "NUMINGROUP": _SHORT_INT_TEXT, "LENGTH": _SHORT_INT_TEXT, "SEQNUM": _SHORT_UNSIGNED_TEXT,
    "PRICE": _DECIMAL_TEXT, "AMT": _DECIMAL_TEXT, "QTY": _DECIMAL_TEXT, "FLOAT": _DECIMAL_TEXT,
    "PRICEOFFSET": _DECIMAL_TEXT, "PERCENTAGE": _DECIMAL_TEXT,
    "UTCTIMESTAMP": _DATE + rb"-" + _TIME, "TIME": _DATE + rb"-" + _TIME, "UTCTIMEONLY": _TIME,
    "UTCDATE": _DATE, "UTCDATEONLY": _DATE,
}  # fmt: skip


def sure(field_type: str, version: str, *, strict: bool = False) -> bytes | None:
    """Pattern of values that surely pass :func:`matcher`'s test, to be part of a larger one; None: ask the test."""
    test = matcher(field_type, version, strict=strict)
    if test is None:
        return ANY
    return _SURE.get(field_type) if test is _REFERENCE.get(field_type) else None
