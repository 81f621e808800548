"""Messages of every type and version, sound and with one fault each, made from the reference's own dictionaries.

One session takes hundreds of them in a row: what comes back for each (an echo, a Reject, a business
reject, nothing) must be the same from both engines. Deterministic: no random numbers.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.conformance.definition import Action, Definition, Step
from tests.conformance.versions import SENDER, Session

#: Values by type: a sound one, then what is wrong or nearly wrong.
_VALUES: dict[str, tuple[str, ...]] = {
    "INT": ("7", "+7", "-7", "7.0", "x", "007", ""),
    "LENGTH": ("3",),
    "SEQNUM": ("7", "x", "0"),
    "NUMINGROUP": ("0", "x", "-1", "1"),
    "DAYOFMONTH": ("15", "32", "x"),
    "FLOAT": ("1.5", "1,5", "1e3", ".5", "5.", "+1.5", "-1.5", "--1", "", "1.2.3"),
    "PRICE": ("10.25", "abc", "-10.25", "10.", ""),
    "PRICEOFFSET": ("0.5", "x", "-0.5"),
    "QTY": ("100", "100.5", "-100", "+100", "1 00"),
    "QUANTITY": ("100", "100.5", "x"),
    "AMT": ("1.00", "x", "-1"),
    "PERCENTAGE": ("0.05", "x"),
    "CHAR": ("a", "ab", ""),
    "BOOLEAN": ("Y", "N", "X", "y", ""),
    "STRING": ("text", "a b", "a=b", ""),
    "MULTIPLEVALUESTRING": ("A B", "A", "A  B", " A"),
    "MULTIPLESTRINGVALUE": ("A B", "A"),
    "MULTIPLECHARVALUE": ("A B", "AB"),
    "CURRENCY": ("USD", "US", "usd1"),
    "EXCHANGE": ("XNAS", "N"),
    "COUNTRY": ("GB", "GBR"),
    "LANGUAGE": ("en",),
    "MONTHYEAR": ("202601", "20260115", "202601w2", "202613", "2026", "20260199", "x"),
    "UTCTIMESTAMP": (
        "20260102-03:04:05", "20260102-03:04:05.678", "20260102-03:04:05.678901", "20260102", "x", "20261302-03:04:05",
        "20260102-25:04:05", "20260102-03:04:60",
    ),
    "TIME": ("20260102-03:04:05", "x"),
    "UTCTIMEONLY": ("03:04:05", "03:04:05.678", "3:04:05", "25:00:00", "x"),
    "UTCDATEONLY": ("20260102", "20261302", "2026-01-02", "x"),
    "UTCDATE": ("20260102", "x"),
    "DATE": ("20260102", "x"),
    "LOCALMKTDATE": ("20260102", "20260132", "x"),
    "LOCALMKTTIME": ("03:04:05", "x"),
    "TZTIMEONLY": ("03:04:05Z", "x"),
    "TZTIMESTAMP": ("20260102-03:04:05Z", "x"),
    "TENOR": ("D5", "x"),
    "XID": ("a",), "XIDREF": ("a",), "XMLDATA": ("abc",), "DATA": ("abc",), "PATTERN": ("a",),
    "RESERVED100PLUS": ("7",), "RESERVED1000PLUS": ("7",), "RESERVED4000PLUS": ("7",),
}  # fmt: skip
#: Raw data needs its length before it, or the reference takes the message for garbled (or worse).
PAIRED = frozenset(("LENGTH", "DATA", "XMLDATA"))
_DEFAULT = ("text", "")
_ADMIN = frozenset("012345A")
#: Fields that the session takes for its own.
_SESSION_TAGS = frozenset((8, 9, 10, 34, 35, 43, 49, 52, 56, 90, 91, 97, 122))


@dataclass
class Item:
    """A field or group of a message, a group with what stands in each entry."""

    tag: int
    required: bool
    members: "list[Item]" = field(default_factory=list)


@dataclass
class Spec:
    """What a dictionary says."""

    types: dict[int, str]
    enums: dict[int, list[str]]
    messages: dict[str, list[Item]]
    header: list[int]


@cache
def read_spec(path: Path) -> Spec:
    """What the dictionary in ``path`` says."""
    root = ElementTree.parse(path).getroot()
    names: dict[str, int] = {}
    spec = Spec({}, {}, {}, [])
    for element in root.iterfind("fields/field"):
        tag = int(element.attrib["number"])
        names[element.attrib["name"]] = tag
        spec.types[tag] = element.attrib["type"]
        spec.enums[tag] = [value.attrib["enum"] for value in element.iterfind("value")]
    components = {element.attrib["name"]: element for element in root.iterfind("components/component")}

    def items(parent: ElementTree.Element, required: bool) -> Iterator[Item]:
        for child in parent:
            wanted = required and child.attrib.get("required") == "Y"
            if child.tag == "component":
                yield from items(components[child.attrib["name"]], wanted)
            elif child.tag == "group":
                yield Item(names[child.attrib["name"]], wanted, list(items(child, True)))
            elif child.tag == "field":
                yield Item(names[child.attrib["name"]], wanted)

    spec.header = [names[element.attrib["name"]] for element in root.iterfind("header/field")]
    for element in root.iterfind("messages/message"):
        spec.messages[element.attrib["msgtype"]] = list(items(element, True))
    return spec


def values_of(spec: Spec, tag: int) -> list[str]:
    """A sound value first, then others."""
    values = list(_VALUES.get(spec.types.get(tag, ""), _DEFAULT))
    enums = spec.enums.get(tag)
    if enums:
        values = [enums[0], *([enums[-1]] if len(enums) > 1 else []), *values, f"{enums[0]} {enums[-1]}", "Zz"]
    return list(dict.fromkeys(values))


def sound_fields(spec: Spec, item: Item) -> list[tuple[int, str]]:
    """The fewest fields that make ``item`` sound; a group gets one entry."""
    if not item.members:
        return [(item.tag, values_of(spec, item.tag)[0])]
    fields = [(item.tag, "1")]
    for place, member in enumerate(item.members):
        if place == 0 or member.required:
            fields += sound_fields(spec, member)
    return fields


Fields = list[tuple[int, str]]


def _bodies(spec: Spec, items: list[Item], *, thorough: bool) -> Iterator[Fields]:
    required = [item for item in items if item.required]
    base = [pair for item in required for pair in sound_fields(spec, item)]
    yield base
    for item in required:  # without each
        yield [pair for other in required if other is not item for pair in sound_fields(spec, other)]
    if not thorough:
        return
    for item in items:
        rest = [pair for other in required if other is not item for pair in sound_fields(spec, other)]
        if item.members:
            yield from (rest + group for group in _group_variants(spec, item))
        elif spec.types.get(item.tag) in PAIRED:
            continue  # pairs; the scripts have them
        else:
            yield from ([*rest, (item.tag, value)] for value in values_of(spec, item.tag))
    yield [*base, *base[-1:]]
    yield [*base, (999, "x")]
    yield [*base, (5001, "x")]
    yield [*base, (112, "x")]


def _group_variants(spec: Spec, group: Item) -> Iterator[Fields]:
    one = sound_fields(spec, group)
    count, entry = one[0], one[1:]
    every = [pair for member in group.members for pair in sound_fields(spec, member)]
    whole = [count, *(pair for pair in every if spec.types.get(pair[0]) not in PAIRED)]
    yield one
    yield whole
    yield [(group.tag, "2"), *entry, *entry]
    yield [(group.tag, "2"), *entry]
    yield [(group.tag, "0")]
    yield [(group.tag, "1"), *entry, *entry]
    yield [(group.tag, "0"), *entry]
    yield [count, *reversed(whole[1:])]
    if len(entry) > 1:
        yield [count, *entry[1:]]
    yield [count, *((tag, "" if place else value) for place, (tag, value) in enumerate(entry))]


#: Where every value of every field is tried; elsewhere only what is required.
THOROUGH = ("D", "d", "E")
_ONE_SESSION = 400


def message_lines(directory: Path, session: Session, *, thorough: bool) -> list[tuple[str, Fields]]:
    """(MsgType, body) of every message."""
    spec = read_spec(directory / session.xml)
    lines: list[tuple[str, Fields]] = []
    for msg_type, items in spec.messages.items():
        if msg_type in _ADMIN:
            continue
        usable = [item for item in items if item.tag not in _SESSION_TAGS]
        lines += [(msg_type, body) for body in _bodies(spec, usable, thorough=thorough or msg_type in THOROUGH)]
    return lines


def catalogue(directory: Path, session: Session, *, thorough: bool) -> Iterator[Definition]:
    """Scripts that send every message, a few hundred in each session."""
    lines = message_lines(directory, session, thorough=thorough)
    for start in range(0, len(lines), _ONE_SESSION):
        yield Definition(
            f"{session.name}/catalogue_{start // _ONE_SESSION:02d}",
            tuple(_session_steps(session, lines[start : start + _ONE_SESSION])),
        )


def _session_steps(session: Session, lines: list[tuple[str, Fields]]) -> Iterator[Step]:
    logon: Fields = [(98, "0"), (108, "30")]
    if session.default_appl_ver_id:
        logon.append((1137, session.default_appl_ver_id))
    yield Step(Action.CONNECT, 1, b"", 0)
    yield Step(Action.SEND, 1, message(session, "A", 1, logon), 1)
    yield Step(Action.EXPECT, 1, b"", 1)
    for seq, (msg_type, body) in enumerate(lines, 2):
        yield Step(Action.SEND, 1, message(session, msg_type, seq, body), seq)
    end = len(lines) + 2
    yield Step(Action.SEND, 1, message(session, "5", end, []), end)
    yield Step(Action.EXPECT_DISCONNECT, 1, b"", end)


def message(session: Session, msg_type: str, seq: int, body: Fields) -> bytes:
    """A message without BodyLength and CheckSum."""
    header = (
        f"8={session.begin_string}\x0135={msg_type}\x0134={seq}\x0149={session.target}\x0152=<TIME>\x0156={SENDER}\x01"
    )
    return (header + "".join(f"{tag}={value}\x01" for tag, value in body)).encode("latin-1")
