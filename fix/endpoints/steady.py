"""The plain fast path: steady application messages without the session machine, in plain Python.

Same seam as the kernels' (:mod:`fix.endpoints.hotpath`): used only while ``machine.steady``; whatever is
not exactly the next message in order, with the header that everybody writes and a body like one
that the machine has accepted before, is left for the machine, which decides. So this path never
refuses, rejects or ignores anything; it only recognises the ordinary. About 5 us a message, where
the machine takes 30.

What is checked: BeginString, BodyLength, CheckSum, CompIDs, MsgSeqNum, SendingTime, no PossDup or other
further header field, no empty value, and the list of tags: whatever a verdict owes to the tags alone was
settled when the machine accepted a message with the same ones. A dictionary also looks at values:
what surely passes its tests is part of the shape's expression, other tests are run on the values that
need them. Repeating groups are left to the machine.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any
from zlib import adler32

from fix.dictionary import DataDictionary, Validator
from fix.dictionary.formats import ANY, Matcher
from fix.dictionary.plan import Values, both
from fix.messages import (
    ADMIN_TYPES,
    DATA_LENGTH_TAGS,
    HEADER_TAGS,
    TRAILER_TAGS,
    Field,
    checksum,
    parse_utc_timestamp,
    utc_timestamp,
)
from fix.session import SessionSettings
from fix.session.settings import HEADER_FIELDS

_SECOND_NS = 1_000_000_000
_MAX_SHAPES = 8  # of one peer; a MsgType with its list of tags
_MAX_FORMS = 64
#: Tags of a body whose value the structural check looks at, or that may hide a SOH: for the machine.
_INSPECTED = frozenset(str(tag).encode() for tag in (
    *HEADER_TAGS, *TRAILER_TAGS, *DATA_LENGTH_TAGS, *DATA_LENGTH_TAGS.values(), 7, 16, 36, 45, 98, 108, 123, 141,
))  # fmt: skip
_NOT_WRITTEN = HEADER_TAGS | TRAILER_TAGS | set(DATA_LENGTH_TAGS) | set(DATA_LENGTH_TAGS.values())
_FIELD = re.compile(rb"=[^\x01]+\x01")
_ASCII_SUM_BYTES = 65520 // 127
_MILLIS = 3
_MILLI_TEXTS = tuple([f".{value:03d}" for value in range(1000)])


#: CheckSum as it ends a message.
_ENDINGS = tuple([b"10=%03d\x01" % value for value in range(256)])
#: What a sound message's bytes add up to, all of them and modulo 256, by the digits of its CheckSum.
_TOTALS = {ending[3:]: (value + sum(ending)) & 0xFF for value, ending in enumerate(_ENDINGS)}


def _ending(data: bytes) -> bytes:
    """CheckSum as it ends a message. Adler-32 holds the exact sum as long as it is below 65521."""
    if len(data) <= _ASCII_SUM_BYTES and data.isascii():
        return _ENDINGS[(adler32(data) - 1) & 0xFF]
    return _ENDINGS[checksum(data)]


class SteadyMessage:
    """One recognised message; the reader makes it again and again."""

    __slots__ = ("msg_type", "raw", "stop")

    def __init__(self) -> None:
        self.raw = b""
        self.msg_type = ""
        self.stop = 0


class SteadyReader:
    """Recognises the next message of one peer.

    A shape that is known is one regular expression over the whole message: no object is made for a field.

    Parameters
    ----------
    settings:
        Of the session: the peer's names, the latency that is accepted.
    validator:
        Of the session; None: the structure alone is checked.
    """

    def __init__(self, settings: SessionSettings, validator: Validator | None = None) -> None:
        self._values = value_tests(validator)
        self._left = _INSPECTED
        if validator is not None:
            lengths = validator.data_tags
            self._left = _INSPECTED | {b"%d" % tag for tag in (*lengths, *lengths.values())}
        sender, target = re.escape(settings.target_comp_id.encode()), re.escape(settings.sender_comp_id.encode())
        stamp = rb"(\d{8}-\d\d:\d\d:\d\d)(?:\.\d{3})?"
        self._opening = rb"8=%b\x019=(\d{1,5})\x0135=" % re.escape(settings.begin_string.encode())
        #: Of a message, what BodyLength does not count besides its own digits.
        self._around = len(f"8={settings.begin_string}|9=|10=000|")
        self._orders = (  # ascending, as most engines write it, and as our kernels do
            rb"\x0134=(\d{1,9})\x0149=%b\x0152=%b\x0156=%b\x01" % (sender, stamp, target),
            rb"\x0149=%b\x0156=%b\x0134=(\d{1,9})\x0152=%b\x01" % (sender, target, stamp),
        )
        self._headers = [re.compile(b"%b([A-Za-z0-9]{1,2})%b" % (self._opening, order)) for order in self._orders]
        self._latency_ns = (
            int(settings.check_latency_s * _SECOND_NS) - _SECOND_NS if settings.check_latency else 1 << 62
        )
        self._second = b""
        self._second_ns = 0
        self._known: list[tuple[re.Pattern[bytes], str, tuple[Matcher, ...]]] = []
        self.message = SteadyMessage()

    def take(self, buffer: bytearray, start: int, end: int, next_in: int, now_ns: int) -> SteadyMessage | None:
        """The message at ``start`` if it is whole, ordinary and number ``next_in``; else None: ask the machine.

        The result is overwritten by the next call.
        """
        known = self._known
        for entry in known:
            found = entry[0].match(buffer, start, end)
            if found is not None:
                break
        else:
            return None
        if entry is not known[0]:  # what came last comes next
            known.remove(entry)
            known.insert(0, entry)
        groups = found.groups()
        length, seq, second = groups[:3]
        raw = found.group()
        size = len(raw)
        if int(seq) != next_in or int(length) != size - self._around - len(length):
            return None
        if size <= _ASCII_SUM_BYTES and raw.isascii():
            if (adler32(raw) - 1) & 0xFF != _TOTALS.get(groups[-1]):
                return None
        elif _ENDINGS[checksum(raw[:-7])] != raw[-7:]:
            return None
        if second != self._second and not self._read_second(second):
            return None
        if abs(now_ns - self._second_ns) > self._latency_ns:
            return None
        if entry[2]:
            for test, value in zip(entry[2], groups[3:-1], strict=True):
                if not test(value):
                    return None
        message = self.message
        message.raw, message.stop, message.msg_type = raw, start + size, entry[1]
        return message

    def _read_second(self, second: bytes) -> bool:
        read = parse_utc_timestamp(second)
        if read is None:
            return False
        self._second, self._second_ns = second, read
        return True

    def accepted(self, raw: bytes) -> None:
        """The machine has accepted ``raw``, fresh and in order: its like is ordinary from now on."""
        for header, order in zip(self._headers, self._orders, strict=True):
            found = header.match(raw)
            if found is not None:
                self._learn(raw, found, order)
                return

    def forget(self) -> None:
        """A new connection: the peer may say that it speaks another version."""
        self._known.clear()

    def _learn(self, raw: bytes, header: re.Match[bytes], order: bytes) -> None:
        tags = _FIELD.split(raw[header.end() : -7])
        msg_type = header.group(2)
        if tags.pop() or not self._left.isdisjoint(tags) or msg_type.decode() in ADMIN_TYPES:
            return
        if len(set(tags)) != len(tags) or any(not tag.isdigit() or tag[:1] == b"0" for tag in tags):
            return
        tests, body = [], []
        for tag in tags:
            group, pattern, test = self._values(msg_type.decode(), int(tag))
            if group:
                return
            if test is None:
                body.append(b"%b=%b\x01" % (tag, pattern))
            else:
                tests.append(test)
                body.append(b"%b=(%b)\x01" % (tag, pattern))
        text = b"%b%b%b%b10=(\\d{3}\x01)" % (self._opening, msg_type, order, b"".join(body))
        if len(self._known) >= _MAX_SHAPES:
            self._known.pop()  # the one that has not come for longest
        self._known.insert(0, (re.compile(text), msg_type.decode(), tuple(tests)))


def readable_by(dictionary: object) -> bool:
    """Whether the verdicts of ``dictionary`` are known well enough to read without asking it."""
    if dictionary is None:
        return True
    if not isinstance(dictionary, Validator):
        return False
    return dictionary.application is None or isinstance(dictionary.application, DataDictionary)


def value_tests(validator: Validator | None) -> Callable[[str, int], tuple[bool, bytes, Matcher | None]]:
    """What a validator asks of a field's value: whether it counts a group, a pattern, and a test where needed."""
    dictionary = None
    if validator is not None:
        dictionary = validator.transport if validator.application is None else validator.application
    if validator is None or not isinstance(dictionary, DataDictionary):
        return lambda msg_type, tag: (False, ANY, None)
    values = Values(dictionary, validator.validation)

    def of(msg_type: str, tag: int) -> tuple[bool, bytes, Matcher | None]:
        pattern, test = values.pattern(tag), both(values.tests(tag))
        group = values.dictionary.group(msg_type, tag) is not None
        return group, pattern or ANY, None if pattern else test

    return of


class SteadyWriter:
    """Builds application messages of one session: what ``machine.send`` would write, byte for byte."""

    def __init__(self, settings: SessionSettings) -> None:
        constants = [(49, settings.sender_comp_id), (56, settings.target_comp_id)]
        constants += [(tag, getattr(settings, name)) for name, tag in HEADER_FIELDS.items() if getattr(settings, name)]
        constants.sort()
        self._before = "".join([f"{tag}={value}\x01" for tag, value in constants if tag < 52])
        self._after = "".join([f"{tag}={value}\x01" for tag, value in constants if tag > 52])
        self._head = f"8={settings.begin_string}\x019="
        self._decimals = int(settings.precision)
        self._shapes: dict[tuple[int, ...], tuple[str, int]] = {}
        self._at = -1
        self._at_text = ""
        #: Whether the header is the same in every message but for number and time.
        self.usable = not settings.last_msg_seq_num_processed

    def build(self, msg_type: str, seq: int, fields: Sequence[Field], now_ns: int) -> bytes | None:
        """The message; None: it has something unusual in it, the machine builds or refuses it."""
        tags = tuple([field[0] for field in fields])
        shape = self._shapes.get(tags) or self._learn(tags)
        if shape is None:
            return None
        values = [field[1] if field[1].__class__ is str else _text(field[1]) for field in fields]
        body = shape[0] % (msg_type, seq, self._stamp(now_ns), *values)
        if body.count("\x01") != shape[1]:
            return None
        message = f"{self._head}{len(body)}\x01{body}".encode("latin-1", "replace")
        return message + _ending(message)

    def _stamp(self, now_ns: int) -> str:
        if self._decimals != _MILLIS:
            return utc_timestamp(now_ns, self._decimals).decode()
        second, millis = divmod(now_ns // 1_000_000, 1000)
        if second != self._at:
            self._at, self._at_text = second, utc_timestamp(now_ns, 0).decode()
        return self._at_text + _MILLI_TEXTS[millis]

    def _learn(self, tags: tuple[int, ...]) -> tuple[str, int] | None:
        """What a message of these tags looks like, and how many fields it has from MsgType on."""
        if not _NOT_WRITTEN.isdisjoint(tags) or any(tag.__class__ is not int or tag < 1 for tag in tags):
            return None
        if len(self._shapes) >= _MAX_FORMS:
            self._shapes.clear()
        before, after = self._before.replace("%", "%%"), self._after.replace("%", "%%")
        fields = "".join([f"{tag}=%s\x01" for tag in tags])
        form = f"35=%s\x0134=%d\x01{before}52=%s\x01{after}{fields}"
        shape = self._shapes[tags] = form, form.count("\x01")
        return shape


def _text(value: Any) -> str:
    return value.decode("latin-1") if value.__class__ is bytes else str(value)
