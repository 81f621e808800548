"""Random messages of any version, sound ones and ones with a fault, made from the dictionaries."""

import functools
import random

from fix.dictionary import DataDictionary
from fix.dictionary.layout import Group, Member
from fix.messages import checksum

HEADER_FIRST = (8, 9, 35)
Fields = list[tuple[int, bytes]]

SAMPLES = {
    "CHAR": b"1", "BOOLEAN": b"Y", "INT": b"7", "NUMINGROUP": b"1", "LENGTH": b"3", "SEQNUM": b"9",
    "UTCTIMESTAMP": b"20240102-03:04:05", "TIME": b"20240102-03:04:05.678", "UTCTIMEONLY": b"03:04:05",
    "UTCDATE": b"20240102", "UTCDATEONLY": b"20240102", "LOCALMKTDATE": b"20240102", "DATE": b"20240102",
    "MONTHYEAR": b"202401", "DAYOFMONTH": b"15", "CURRENCY": b"USD", "COUNTRY": b"US", "DATA": b"abc",
    "XMLDATA": b"abc", "LOCALMKTTIME": b"03:04:05", "LANGUAGE": b"en", "TAGNUM": b"55",
    "TZTIMEONLY": b"03:04Z", "TZTIMESTAMP": b"20240102-03:04Z",
}  # fmt: skip
NUMBERS = ("PRICE", "AMT", "QTY", "FLOAT", "PRICEOFFSET", "PERCENTAGE")
#: Values at the edges of the formats.
ODD = (
    b"", b"-", b"+1", b"1", b"-1", b"01", b"1.", b".5", b"-.5", b".", b"1e5", b"1.5.", b" 1", b"1 2", b"Y", b"N", b"y",
    b"YES", b"2147483647", b"2147483648", b"-2147483648", b"-2147483649", b"00000000000000001", b"4294967296",
    b"18446744073709551615", b"18446744073709551616", b"99999999999999999999999", b"20240231-00:00:00",
    b"20241301-00:00:00", b"20240132-00:00:00", b"20240101-24:00:00", b"20240101-23:59:60", b"20240101-23:59:61",
    b"20240101-00:00:00.1", b"20240101-00:00:00.123456789", b"20240101-00:00:00.1234567890", b"20240101 00:00:00",
    b"20240101", b"2024010", b"20240100", b"23:59:60", b"24:00:00", b"A B", b"A  B", b"zz", b"*", b"US1",
)  # fmt: skip


def value_of(dictionary: DataDictionary, tag: int, rng: random.Random) -> bytes:
    """A value that every engine takes."""
    field = dictionary.field(tag)
    if field is None:
        return b"1"
    if field.values:
        return rng.choice(sorted(field.values)).encode("latin-1")
    if field.type in NUMBERS:
        return rng.choice((b"1", b"2.5", b"-3", b"0.00"))
    return SAMPLES.get(field.type, b"text")


@functools.cache
def data_tags(dictionary: DataDictionary) -> frozenset[int]:
    """Raw data and its lengths: how far such a field reaches is the parser's affair."""
    return frozenset(dictionary.data_tags) | frozenset(dictionary.data_tags.values())


def entries(dictionary: DataDictionary, group: Group, count: int, rng: random.Random) -> Fields:
    fields: Fields = []
    for _ in range(count):
        for tag, member in group.members.items():
            if tag in data_tags(dictionary):
                continue
            if tag == group.delimiter or member.required or rng.random() < 0.3:
                fields += member_fields(dictionary, member, rng)
    return fields


def member_fields(dictionary: DataDictionary, member: Member, rng: random.Random) -> Fields:
    """One member with what belongs to it: a group with its entries."""
    if member.group is None:
        return [(member.tag, value_of(dictionary, member.tag, rng))]
    field = dictionary.field(member.tag)
    counts = [int(value) for value in field.values] if field and field.values else (0, 1, 2)
    count = rng.choice(counts)
    return [(member.tag, b"%d" % count), *entries(dictionary, member.group, count, rng)]


def sound_message(
    transport: DataDictionary, application: DataDictionary, msg_type: str, rng: random.Random, optional: float
) -> Fields:
    """Fields after MsgType, before CheckSum: header, then body."""
    definition = application.message(msg_type)
    assert definition is not None
    data = data_tags(transport) | data_tags(application)
    fields: Fields = []
    for dictionary, members in ((transport, transport.header), (application, definition.members)):
        for tag, member in members.items():
            if tag in HEADER_FIRST or tag in data or tag in (1128, 1129):
                continue
            if member.required or tag in (34, 49, 52, 56) or rng.random() < optional:
                fields += member_fields(dictionary, member, rng)
    return fields


def mutate(fields: Fields, tags: list[int], rng: random.Random) -> Fields:
    """One fault, or none that matters."""
    fields = list(fields)
    kind = rng.randrange(10)
    place = rng.randrange(len(fields)) if fields else 0
    if kind == 0 and fields:
        fields.pop(place)
    elif kind == 1 and fields:
        fields.insert(rng.randrange(len(fields) + 1), fields[place])
    elif kind == 2 and fields:
        fields[place] = (fields[place][0], b"")
    elif kind in (3, 4, 5) and fields:
        fields[place] = (fields[place][0], rng.choice(ODD))
    elif kind == 6:
        fields.insert(rng.randrange(len(fields) + 1), (rng.choice(tags), rng.choice((b"1", b"A", b""))))
    elif kind == 7:
        fields.insert(len(fields), (rng.choice((0, -1, 999, 4999, 5000, 20000)), b"1"))
    elif kind == 8 and fields:
        other = rng.randrange(len(fields))
        fields[place], fields[other] = fields[other], fields[place]
    elif kind == 9:
        rng.shuffle(fields)
    return fields


def wire(begin_string: str, msg_type: str, fields: Fields) -> bytes:
    """The whole message."""
    body = b"35=%b\x01" % msg_type.encode("latin-1") + b"".join(b"%d=%b\x01" % field for field in fields)
    head = b"8=%b\x019=%d\x01" % (begin_string.encode(), len(body))
    return head + body + b"10=%03d\x01" % checksum(head + body)
