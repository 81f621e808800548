"""Cold FIX messages: parse, build, frame, timestamps. Plain Python over ``bytes``, complete, not fast.

For what a session handles a few times a minute (logon, resend, security lists). The per-message
path is ``fix/codec``. A parsed message keeps every field in wire order, so repeating groups need
no dictionary: the caller names the count tag and the tag that opens an entry.
"""

import calendar
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from fix.errors import GarbledMessageError

SOH = b"\x01"
#: Longest message that the cold framer waits for. 100 SecurityList entries are about 25 kB; a
#: corrupted BodyLength must not make a session wait for gigabytes.
MAX_MESSAGE_BYTES = 1 << 20

#: Standard header of FIX.4.4 (and the routing fields). A field outside it opens the body.
HEADER_TAGS = frozenset(
    (8, 9, 35, 34, 43, 49, 50, 52, 56, 57, 90, 91, 97, 115, 116, 122, 128, 129, 142, 143, 144, 145, 212, 213, 347, 369,
     627, 628, 629, 630)
)  # fmt: skip
TRAILER_TAGS = frozenset((89, 93, 10))

#: Length tags and the raw-data tags that they announce: the data may contain SOH.
DATA_LENGTH_TAGS = {
    90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 352: 353, 354: 355, 356: 357, 358: 359,
    360: 361, 362: 363, 364: 365, 445: 446, 618: 619, 621: 622,
}  # fmt: skip

#: Session-level MsgTypes of FIX.4.x.
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
    """

    __slots__ = ("_first", "fields", "raw")

    def __init__(self, raw: bytes, fields: list[tuple[int, bytes]]) -> None:
        self.raw = raw
        self.fields = fields
        first: dict[int, bytes] = {}
        for tag, value in fields:
            if tag not in first:
                first[tag] = value
        self._first = first

    def __contains__(self, tag: int) -> bool:
        return tag in self._first

    def __repr__(self) -> str:
        return f"Message({self.raw.replace(SOH, b'|')!r})"

    def get(self, tag: int) -> bytes | None:
        """First value of ``tag``, or None."""
        return self._first.get(tag)

    def text(self, tag: int, default: str = "") -> str:
        """First value of ``tag`` as latin-1 text."""
        value = self._first.get(tag)
        return default if value is None else value.decode("latin-1")

    def integer(self, tag: int) -> int | None:
        """First value of ``tag`` as a plain decimal integer; None when absent or not one.

        Python's own ``int`` would take ``+1``, ``1_000`` and blanks, which FIX does not.
        """
        value = self._first.get(tag)
        return None if value is None else parse_int(value)

    def flag(self, tag: int) -> bool:
        """Whether a Boolean field is present and ``Y``."""
        return self._first.get(tag) == b"Y"

    @property
    def msg_type(self) -> str:
        """MsgType(35)."""
        return self._first[35].decode("latin-1")

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


def parse_int(value: bytes) -> int | None:
    """Decimal integer with an optional leading minus and at most 18 digits, else None."""
    digits = value[1:] if value[:1] == b"-" else value
    return int(value) if digits.isdigit() and len(digits) <= 18 else None


def checksum(data: bytes | bytearray | memoryview) -> int:
    """FIX CheckSum(10) of ``data``: the sum of its bytes modulo 256."""
    return sum(data) & 0xFF


def split_fields(raw: bytes) -> list[tuple[int, bytes]]:
    """Split one framed message into ``(tag, value)``.

    Raises
    ------
    GarbledMessageError
        When a field has no ``=`` or its tag is not an integer.
    """
    fields: list[tuple[int, bytes]] = []
    position, size = 0, len(raw)
    announced: tuple[int, int] | None = None
    while position < size:
        equals = raw.find(b"=", position)
        if equals < 0:
            raise GarbledMessageError(f"no '=' in the field at byte {position}: {raw[position : position + 24]!r}")
        tag = parse_int(raw[position:equals])
        if tag is None:
            raise GarbledMessageError(f"tag must be an integer, was {raw[position:equals][:24]!r} at byte {position}")
        end = raw.find(SOH, equals + 1)
        if announced is not None and announced[0] == tag and raw[equals + 1 + announced[1] :][:1] == SOH:
            end = equals + 1 + announced[1]  # raw data: its length was announced, it may contain SOH
        if end < 0:
            raise GarbledMessageError(f"tag {tag} is not terminated by SOH")
        value = raw[equals + 1 : end]
        fields.append((tag, value))
        length = parse_int(value) if tag in DATA_LENGTH_TAGS else None
        announced = (DATA_LENGTH_TAGS[tag], length) if length is not None and length >= 0 else None
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
    fields = split_fields(raw)
    if [tag for tag, _ in fields[:3]] != [8, 9, 35]:
        raise GarbledMessageError(f"the first three fields must be 8, 9, 35, were {[tag for tag, _ in fields[:3]]}")
    body_start = len(fields[0][1]) + len(fields[1][1]) + 6
    length = parse_int(fields[1][1])
    if length != len(raw) - 7 - body_start:
        raise GarbledMessageError(f"BodyLength must be {len(raw) - 7 - body_start}, was {fields[1][1][:12]!r}")
    expected = b"%03d" % checksum(raw[:-7])
    if raw[-4:-1] != expected:
        raise GarbledMessageError(f"CheckSum must be {expected.decode()}, was {raw[-4:-1]!r}")
    if not fields[2][1]:
        raise GarbledMessageError("MsgType(35) is empty")
    return Message(raw, fields)


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
    parts: list[bytes] = []
    previous = 0
    for tag, value in fields:
        encoded = encode_value(value)
        if SOH in encoded and DATA_LENGTH_TAGS.get(previous) != tag:
            raise ValueError(f"tag {tag}: a value must not contain SOH, was {encoded[:40]!r}; send it as raw data")
        parts.append(b"%d=%b\x01" % (tag, encoded))
        previous = tag
    body = b"".join(parts)
    head = b"8=%b\x019=%d\x01" % (begin_string.encode("latin-1"), len(body))
    return b"%b%b10=%03d\x01" % (head, body, (checksum(head) + checksum(body)) & 0xFF)


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


def utc_timestamp(now_ns: int) -> bytes:
    """``YYYYMMDD-HH:MM:SS.sss`` of UTC nanoseconds, rounded down."""
    second, rest = divmod(now_ns, 1_000_000_000)
    return b"%b.%03d" % (_second_text(second), rest // 1_000_000)


def parse_utc_timestamp(value: bytes) -> int | None:
    """UTC nanoseconds of a UTCTimestamp with 0 to 9 decimals of a second, None when it is not one."""
    if len(value) < 17 or value[8:9] != b"-" or value[11:12] != b":" or value[14:15] != b":":
        return None
    digits = (value[0:4], value[4:6], value[6:8], value[9:11], value[12:14], value[15:17])
    if not all(part.isdigit() for part in digits):
        return None
    year, month, day, hour, minute, second = (int(part) for part in digits)
    fraction = value[17:]
    if fraction and not (fraction[:1] == b"." and fraction[1:].isdigit() and len(fraction) <= 10):
        return None
    if not (1970 <= year and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second, folded into the next minute
        return None
    seconds = calendar.timegm((year, month, day, hour, minute, 0)) + second
    return seconds * 1_000_000_000 + (int(fraction[1:].ljust(9, b"0")) if fraction else 0)


def frame(buffer: bytes | bytearray, start: int, end: int) -> tuple[int, int]:
    """Find the next message in ``buffer[start:end]``: ``(begin, stop)``.

    ``stop > begin``: a message stands in ``buffer[begin:stop]``. ``stop == begin``: none is whole
    yet, and bytes before ``begin`` are noise to be dropped. A message is delimited as BodyLength
    says, then to the first CheckSum field from there: a wrong length thus swallows what it covers
    and :func:`parse` refuses the whole, as the acceptance definitions want it.
    """
    offset = start
    while True:
        begin = buffer.find(b"8=FIX", offset, end)
        if begin < 0:
            return (_partial_start(buffer, offset, end),) * 2
        stop = _message_end(buffer, begin, end)
        if stop >= 0:
            return begin, stop or begin
        offset = begin + 5


def _partial_start(buffer: bytes | bytearray, start: int, end: int) -> int:
    """Where a prefix of ``8=FIX`` stands at the end of the bytes, else ``end``."""
    for size in (4, 3, 2, 1):
        if end - size >= start and buffer[end - size : end] == b"8=FIX"[:size]:
            return end - size
    return end


def _message_end(buffer: bytes | bytearray, begin: int, end: int) -> int:
    """End of the message that opens at ``begin``; 0: more bytes are needed; -1: it is none."""
    first = buffer.find(SOH, begin, min(end, begin + 16))
    if first < 0:
        return -1 if end - begin >= 16 else 0
    if not b"9=".startswith(buffer[first + 1 : min(end, first + 3)]):
        return -1
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
