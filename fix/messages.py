"""Cold FIX messages: parse, build, frame, timestamps. Plain Python over ``bytes``, complete, not fast.

For what a session handles a few times a minute (logon, resend, security lists). The per-message
path is ``fix/codec``. A parsed message keeps every field in wire order, so repeating groups need
no dictionary: the caller names the count tag and the tag that opens an entry.
"""

import calendar
import re
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat

from fix.errors import GarbledMessageError

SOH = b"\x01"
_EIGHT = 0x38
#: Longest message that the cold framer waits for. 100 SecurityList entries are about 25 kB; a
#: corrupted BodyLength must not make a session wait for gigabytes.
MAX_MESSAGE_BYTES = 1 << 20

#: Standard header of FIX.4.0 to FIXT.1.1. A field outside it opens the body.
HEADER_TAGS = frozenset(
    (8, 9, 35, 34, 43, 49, 50, 52, 56, 57, 90, 91, 97, 115, 116, 122, 128, 129, 142, 143, 144, 145, 212, 213, 347, 369,
     370, 627, 628, 629, 630, 1128, 1129, 1156)
)  # fmt: skip
TRAILER_TAGS = frozenset((89, 93, 10))

#: Length tags and the raw-data tags that they announce: the data may contain SOH.
DATA_LENGTH_TAGS = {
    90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 352: 353, 354: 355, 356: 357, 358: 359,
    360: 361, 362: 363, 364: 365, 445: 446, 618: 619, 621: 622, 1184: 1185, 1277: 1278, 1280: 1281, 1282: 1283,
    1397: 1398, 1401: 1402, 1403: 1404, 1468: 1469, 1525: 1527, 1578: 1579, 1620: 1621, 1664: 1665, 1678: 1697,
    1733: 1734, 1871: 1872, 1874: 1875, 2072: 2073, 2074: 2075, 2111: 2112, 2179: 2180, 2287: 2288, 2351: 2352,
}  # fmt: skip

#: Raw-data tags, and the first version that has them: an older one knows no such field.
_DATA_SINCE = {
    tag: b"FIX.4.0" if tag < 100 else b"FIX.4.2" if tag < 500 else b"FIX.4.3" if tag < 1000 else b"FIXT.1.1"
    for tag in DATA_LENGTH_TAGS.values()
}

#: Session-level MsgTypes of all versions.
ADMIN_TYPES = frozenset(["0", "1", "2", "3", "4", "5", "A"])

Field = tuple[int, str | bytes | int]


class Message:
    """A parsed message: fields in wire order and the first occurrence of each tag.

    Attributes
    ----------
    raw:
        The bytes as received, from ``8=`` to the SOH after CheckSum.
    fields:
        ``(tag, value)`` in wire order, header and trailer included.
    first:
        The first value of each tag; the last field of the message comes first.
    """

    __slots__ = ("fields", "first", "raw")

    def __init__(self, raw: bytes, fields: list[tuple[int, bytes]], first: dict[int, bytes] | None = None) -> None:
        self.raw = raw
        self.fields = fields
        # The last one put in stays: the first occurrence.
        self.first = dict(fields[::-1]) if first is None else first

    def __contains__(self, tag: int) -> bool:
        return tag in self.first

    def __repr__(self) -> str:
        return f"Message({mask_secrets(self.raw).replace(SOH, b'|')!r})"

    def get(self, tag: int) -> bytes | None:
        """First value of ``tag``, or None."""
        return self.first.get(tag)

    def text(self, tag: int, default: str = "") -> str:
        """First value of ``tag`` as latin-1 text."""
        value = self.first.get(tag)
        return default if value is None else value.decode("latin-1")

    def integer(self, tag: int) -> int | None:
        """First value of ``tag`` as a plain decimal integer; None when absent or not one.

        Python's own ``int`` would take ``+1``, ``1_000`` and blanks, which FIX does not.
        """
        value = self.first.get(tag)
        return None if value is None else parse_int(value)

    def flag(self, tag: int) -> bool:
        """Whether a Boolean field is present and ``Y``."""
        return self.first.get(tag) == b"Y"

    @property
    def msg_type(self) -> str:
        """MsgType(35)."""
        return _msg_type(self.first[35])

    @property
    def seq(self) -> int | None:
        """MsgSeqNum(34), None when absent or unreadable."""
        return self.integer(34)

    def groups(self, count_tag: int, first_tag: int) -> list[dict[int, bytes]]:
        """Entries of a flat repeating group: each opens with ``first_tag`` after ``count_tag``.

        The last entry runs to the trailer, so fields after the group fall into it: our own
        messages put their groups last.
        """
        entries: list[dict[int, bytes]] = []
        inside = False
        for tag, value in self.fields:
            if tag == count_tag:
                inside = True
            elif tag in TRAILER_TAGS:
                inside = False
            elif inside and tag == first_tag:
                entries.append({tag: value})
            elif inside and entries:
                entries[-1][tag] = value
        return entries

    def body(self) -> Iterator[tuple[int, bytes]]:
        """Fields outside header and trailer, in wire order."""
        return ((tag, value) for tag, value in self.fields if tag not in HEADER_TAGS and tag not in TRAILER_TAGS)


@lru_cache(maxsize=512)
def _msg_type(value: bytes) -> str:
    return value.decode("latin-1")


def parse_int(value: bytes) -> int | None:
    """Decimal integer with an optional leading minus and at most 18 digits, else None."""
    digits = value[1:] if value[:1] == b"-" else value
    return int(value) if digits.isdigit() and len(digits) <= 18 else None


def checksum(data: bytes | bytearray | memoryview) -> int:
    """FIX CheckSum(10) of ``data``: the sum of its bytes modulo 256.

    The low half of Adler-32 is 1 + that sum modulo 65521, hence exact up to 256 bytes of any
    value; six times faster than adding them up in Python.
    """
    if len(data) <= 256:
        return (zlib.adler32(data) - 1) & 0xFF if data else 0
    view = memoryview(data)
    return sum([(zlib.adler32(view[k : k + 256]) & 0xFFFF) - 1 for k in range(0, len(data), 256)]) & 0xFF


#: Password, NewPassword, RawData, EncryptedPassword, EncryptedNewPassword: never printed, never stored.
SECRET_TAGS = frozenset((554, 925, 96, 1402, 1404))
_THREE_DIGITS = tuple(b"%03d" % value for value in range(256))
_SECRETS = re.compile(rb"(?:^|\x01)(?:554|925|1402|1404|96)=")
_ANNOUNCED = re.compile(rb"(?:95|1401|1403)=(\d{1,6})$")


def mask_secrets(raw: bytes) -> bytes:
    """``raw`` with Password(554), NewPassword(925), RawData(96) and their encrypted kin as ``***``.

    For whatever is printed. BodyLength and CheckSum are left as they were.
    """
    found = _SECRETS.search(raw)
    if found is None:
        return raw
    out = bytearray()
    done = 0
    while found is not None:
        start = found.end()
        announced = _ANNOUNCED.search(raw, max(0, found.start() - 12), found.start())
        end = start + int(announced[1]) if announced else start
        end = raw.find(SOH, min(end, len(raw)))
        end = len(raw) if end < 0 else end
        out += raw[done:start] + b"***"
        done = end
        found = _SECRETS.search(raw, end)
    return bytes(out + raw[done:])


class _Tags(dict[bytes, int]):
    """Tags by their digits. Another spelling ("035", "-1") is read but not kept.

    Those of raw data, and those that announce it, are never kept, so that they end the quick split.
    """

    def __missing__(self, digits: bytes) -> int:
        tag = parse_int(digits)
        if tag is None or tag in DATA_LENGTH_TAGS or tag in _DATA_SINCE:
            raise GarbledMessageError(f"tag must be an integer, was {digits[:24]!r}")
        if 0 < tag < 100_000 and digits == b"%d" % tag:
            self[digits] = tag
        return tag


_TAGS = _Tags()


def split_fields(raw: bytes) -> list[tuple[int, bytes]]:
    """Split one framed message into ``(tag, value)``.

    Raises
    ------
    GarbledMessageError
        When a field has no ``=`` or its tag is not an integer.
    """
    return _split(raw)[0]


def _split(raw: bytes) -> tuple[list[tuple[int, bytes]], dict[int, bytes]]:
    """Fields in wire order, and the first value of each tag."""
    parts = raw.split(SOH)
    tags = _TAGS
    try:
        fields = [(tags[tag], value) for tag, equals, value in map(bytes.partition, parts, repeat(b"=")) if equals]
        if len(fields) != len(parts) - 1 or parts[-1]:
            fields = _walk_fields(raw)
    except GarbledMessageError:  # raw data, or no message at all: the slow walk decides
        fields = _walk_fields(raw)
    return fields, dict(fields[::-1])


def _walk_fields(raw: bytes) -> list[tuple[int, bytes]]:
    """Field by field, with raw data taken as long as its length field, anywhere before it, has said."""
    fields: list[tuple[int, bytes]] = []
    position, size = 0, len(raw)
    announced: dict[int, int] = {}
    while position < size:
        equals = raw.find(b"=", position)
        if equals < 0:
            raise GarbledMessageError(f"no '=' in the field at byte {position}")
        tag = parse_int(raw[position:equals])
        if tag is None:
            raise GarbledMessageError(f"the tag at byte {position} must be an integer")
        end = raw.find(SOH, equals + 1)
        if tag in announced:
            length = announced.pop(tag)
            end = equals + 1 + length  # it may contain SOH
            if raw[end : end + 1] != SOH:
                raise GarbledMessageError(f"tag {tag} does not end after the {length} bytes that were announced")
        elif tag in _DATA_SINCE and fields and fields[0][1] >= _DATA_SINCE[tag]:
            raise GarbledMessageError(f"raw data in tag {tag} without its length before it: where it ends is not known")
        if end < 0:
            raise GarbledMessageError(f"tag {tag} is not terminated by SOH")
        value = raw[equals + 1 : end]
        fields.append((tag, value))
        if tag in DATA_LENGTH_TAGS:
            size_said = parse_int(value)
            announced.pop(DATA_LENGTH_TAGS[tag], None)
            if size_said is not None and size_said >= 0:
                announced[DATA_LENGTH_TAGS[tag]] = size_said
        position = end + 1
    return fields


def parse(raw: bytes) -> Message:
    """Parse one framed message and check BodyLength, CheckSum and the first three fields.

    Raises
    ------
    GarbledMessageError
        When any of them is wrong: FIX says to ignore such a message and to count nothing.
    """
    if raw[:2] != b"8=" or raw[-1:] != SOH or raw[-8:-4] != b"\x0110=":
        raise GarbledMessageError(f"a message must open with 8= and close with 10=nnn, was {raw[:12]!r}..{raw[-8:]!r}")
    fields, first = _split(raw)
    if len(fields) < 4 or fields[0][0] != 8 or fields[1][0] != 9 or fields[2][0] != 35:
        raise GarbledMessageError(f"the first three fields must be 8, 9, 35, were {[tag for tag, _ in fields[:3]]}")
    said = fields[1][1]
    expected = len(raw) - 13 - len(fields[0][1]) - len(said)
    if not said.isdigit() or len(said) > 9 or int(said) != expected:
        raise GarbledMessageError(f"BodyLength must be {expected}, was {said[:12]!r}")
    total = _THREE_DIGITS[checksum(raw[:-7])]
    if raw[-4:-1] != total:
        raise GarbledMessageError(f"CheckSum must be {total.decode()}, was {raw[-4:-1]!r}")
    if not fields[2][1]:
        raise GarbledMessageError("MsgType(35) is empty")
    return Message(raw, fields, first)


def encode_value(value: str | bytes | int) -> bytes:
    """Wire bytes of one value."""
    if isinstance(value, bytes):
        return value
    return str(value).encode("latin-1", "replace")


def join_fields(begin_string: str, fields: Iterable[Field]) -> bytes:
    """Build a message from all its fields but BeginString, BodyLength and CheckSum.

    A SOH inside a value would forge fields, hence it is refused unless the field before it
    announced raw data.
    """
    body = encode_fields(fields)
    return seal(b"8=%b\x019=" % begin_string.encode("latin-1"), body)


def encode_fields(fields: Iterable[Field]) -> bytes:
    """Wire bytes of ``fields``, each with its SOH.

    Raises
    ------
    ValueError
        A value contains SOH and is not announced raw data.
    """
    # As one text, encoded once: half the price of encoding each value.
    parts = [f"{tag}={value.decode('latin-1') if isinstance(value, bytes) else value}\x01" for tag, value in fields]
    encoded = "".join(parts).encode("latin-1", "replace")
    if encoded.count(SOH) != len(parts):
        _check_raw_data(parts)
    return encoded


def _check_raw_data(parts: list[str]) -> None:
    """A SOH inside a value is allowed only where the field before it announced raw data."""
    previous = 0
    for part in parts:
        tag = int(part[: part.index("=")])
        if part.count("\x01") > 1 and DATA_LENGTH_TAGS.get(previous) != tag:
            shown = "***" if tag in SECRET_TAGS else repr(part[part.index("=") + 1 :][:40])
            raise ValueError(f"tag {tag}: a value must not contain SOH, was {shown}; send it as raw data")
        previous = tag


def seal(opening: bytes, body: bytes) -> bytes:
    """Whole message of ``opening`` (``8=...|9=``) and all from MsgType on; BodyLength and CheckSum are put in."""
    message = b"%b%d\x01%b" % (opening, len(body), body)
    return b"%b10=%b\x01" % (message, _THREE_DIGITS[checksum(message)])


def build(
    begin_string: str,
    msg_type: str,
    seq: int,
    sender: str,
    target: str,
    sending_time: bytes,
    body: Sequence[Field] = (),
    header: Sequence[Field] = (),
) -> bytes:
    """Build a whole message; header fields stand in ascending order of tag after MsgType."""
    ordered: list[Field] = [(34, seq), (49, sender), (52, sending_time), (56, target), *header]
    ordered.sort(key=lambda field: field[0])
    return join_fields(begin_string, [(35, msg_type), *ordered, *body])


@lru_cache(maxsize=4)
def _second_text(second: int) -> bytes:
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(second)).encode()


def utc_timestamp(now_ns: int, decimals: int = 3) -> bytes:
    """``YYYYMMDD-HH:MM:SS.sss`` of UTC nanoseconds, rounded down, with 0, 3, 6 or 9 ``decimals``."""
    second, rest = divmod(now_ns, 1_000_000_000)
    if decimals == 3:
        return b"%b.%03d" % (_second_text(second), rest // 1_000_000)
    if decimals == 0:
        return _second_text(second)
    return b"%b.%0*d" % (_second_text(second), decimals, rest // 10 ** (9 - decimals))


@lru_cache(maxsize=256)
def _second_of(text: bytes) -> int | None:
    """UTC seconds of ``YYYYMMDD-HH:MM:SS``; neighbours in a stream share their second."""
    if len(text) != 17 or text[8:9] != b"-" or text[11:12] != b":" or text[14:15] != b":":
        return None
    digits = (text[0:4], text[4:6], text[6:8], text[9:11], text[12:14], text[15:17])
    if not all(part.isdigit() for part in digits):
        return None
    year, month, day, hour, minute, second = (int(part) for part in digits)
    if not (1970 <= year and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second, folded into the next minute
        return None
    return calendar.timegm((year, month, day, hour, minute, 0)) + second


def parse_utc_timestamp(value: bytes) -> int | None:
    """UTC nanoseconds of a UTCTimestamp with 0 to 9 decimals of a second, None when it is not one.

    A point without decimals behind it passes, as in the reference engines.
    """
    second = _second_of(value[:17])
    if second is None:
        return None
    fraction = value[17:]
    if fraction in (b"", b"."):
        return second * 1_000_000_000
    if fraction[:1] != b"." or not fraction[1:].isdigit() or len(fraction) > 10:
        return None
    return second * 1_000_000_000 + int(fraction[1:].ljust(9, b"0"))


def frame(buffer: bytes | bytearray, start: int, end: int) -> tuple[int, int]:
    """Find the next message in ``buffer[start:end]``: ``(begin, stop)``.

    ``stop > begin``: a message stands in ``buffer[begin:stop]``. ``stop == begin``: none is whole
    yet, and bytes before ``begin`` are noise to be dropped. A message is delimited as BodyLength
    says, then to the first CheckSum field from there: a wrong length thus swallows what it covers
    and :func:`parse` refuses the whole, as the acceptance definitions want it. A message may open
    with any BeginString, so that a wrong one is answered.
    """
    offset = start
    while True:
        begin = buffer.find(b"8=", offset, end)
        if begin < 0:
            begin = end - (end > offset and buffer[end - 1] == _EIGHT)  # the rest of it may be on its way
            return begin, begin
        stop = _message_end(buffer, begin, end)
        if stop >= 0:
            return begin, stop or begin
        offset = begin + 2


def _message_end(buffer: bytes | bytearray, begin: int, end: int) -> int:
    """End of the message that opens at ``begin``; 0: more bytes are needed; -1: it is none."""
    first = buffer.find(SOH, begin, min(end, begin + 16))
    if first < 0:
        return -1 if end - begin >= 16 else 0
    if not b"9=".startswith(buffer[first + 1 : min(end, first + 3)]):
        return -1
    if not buffer.startswith(b"8=FIX", begin) and buffer.find(b"=", begin + 2, first) >= 0:
        return -1  # the message opens later
    second = buffer.find(SOH, first + 1, min(end, first + 16))
    if second < 0:
        return -1 if end - first >= 16 else 0
    length = parse_int(bytes(buffer[first + 3 : second]))
    if length is None or not 0 <= length <= MAX_MESSAGE_BYTES:
        return -1
    trailer = buffer.find(b"\x0110=", second + length, end)
    if trailer < 0:
        return -1 if end - begin > MAX_MESSAGE_BYTES + 64 else 0
    stop = buffer.find(SOH, trailer + 4, end)
    if stop < 0:
        return -1 if end - trailer > 16 else 0
    return stop + 1
