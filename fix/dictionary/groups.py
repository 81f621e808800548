"""Repeating groups, nested ones included, read right from the fields of a message.

An entry begins at the group's first field, or where a field of the entry comes a second time;
the group ends at the first field that is none of its members. This is how the reference engines
read, so what one side writes sloppily both sides see alike.
"""

from collections.abc import Mapping, Sequence

from fix.dictionary.layout import Group, Member
from fix.dictionary.model import DataDictionary
from fix.messages import Message

#: Standard header fields of all versions, whatever the dictionary says.
HEADER_TAGS = frozenset(
    (8, 9, 34, 35, 43, 49, 50, 52, 56, 57, 90, 91, 97, 115, 116, 122, 128, 129, 142, 143, 144, 145, 212, 213, 347, 369,
     370, 627, 1128, 1129)
)  # fmt: skip
TRAILER_TAGS = frozenset((10, 89, 93))


class Entry:
    """Fields of one group entry, or of a message's header, body or trailer.

    Attributes
    ----------
    fields:
        ``(tag, value)`` in wire order, NumInGroup fields included, members of groups not.
    groups:
        Entries by NumInGroup tag.
    """

    __slots__ = ("_first", "fields", "groups")

    def __init__(self) -> None:
        self.fields: list[tuple[int, bytes]] = []
        self.groups: dict[int, list[Entry]] = {}
        self._first: dict[int, bytes] = {}

    def __contains__(self, tag: int) -> bool:
        return tag in self._first

    def __repr__(self) -> str:
        return f"Entry({self._first}, groups={self.groups})"

    def add(self, tag: int, value: bytes) -> None:
        """Append a field."""
        self.fields.append((tag, value))
        self._first.setdefault(tag, value)

    def get(self, tag: int) -> bytes | None:
        """First value of ``tag``, or None."""
        return self._first.get(tag)

    def text(self, tag: int, default: str = "") -> str:
        """First value of ``tag`` as latin-1 text."""
        value = self._first.get(tag)
        return default if value is None else value.decode("latin-1")

    def group(self, count_tag: int) -> "list[Entry]":
        """Entries of a group of this entry, none when it is absent."""
        return self.groups.get(count_tag, [])


class Parts:
    """A message in its three parts.

    ``misplaced``: the first tag that stands behind a part it does not belong to, 0 when none.
    """

    __slots__ = ("body", "header", "misplaced", "trailer")

    def __init__(self) -> None:
        self.header = Entry()
        self.body = Entry()
        self.trailer = Entry()
        self.misplaced = 0


def split(
    fields: Sequence[tuple[int, bytes]],
    header: Mapping[int, Member],
    trailer: Mapping[int, Member],
    body: Mapping[int, Member],
) -> Parts:
    """Divide a message's fields into header, body and trailer, and each into fields and groups."""
    parts = Parts()
    position, size, stage = 0, len(fields), 0
    while position < size:
        tag, value = fields[position]
        position += 1
        if tag in HEADER_TAGS or tag in header:
            wrong, part, member = stage > 0, parts.header, header.get(tag)
        elif tag in TRAILER_TAGS or tag in trailer:
            wrong, part, member, stage = False, parts.trailer, trailer.get(tag), 2
        else:
            wrong, part, member, stage = stage == 2, parts.body, body.get(tag), 1
        if wrong and not parts.misplaced:
            parts.misplaced = tag
        part.add(tag, value)
        if member is not None and member.group is not None:
            entries, position = _entries(fields, position, member.group)
            if entries:  # a second group of the same tag continues the first
                part.groups.setdefault(tag, []).extend(entries)
    return parts


def _entries(fields: Sequence[tuple[int, bytes]], position: int, group: Group) -> tuple[list[Entry], int]:
    """Entries from ``position`` on, and the position of the first field after them."""
    entries: list[Entry] = []
    entry: Entry | None = None
    members, delimiter = group.members, group.delimiter
    while position < len(fields):
        tag, value = fields[position]
        member = members.get(tag)
        if member is None:
            break
        if entry is None or tag == delimiter or tag in entry:
            entry = Entry()
            entries.append(entry)
        entry.add(tag, value)
        position += 1
        if member.group is not None:
            inner, position = _entries(fields, position, member.group)
            if inner:
                entry.groups.setdefault(tag, []).extend(inner)
    return entries, position


def decode(message: Message, application: DataDictionary, transport: DataDictionary | None = None) -> Parts:
    """A message's header, body and trailer with their groups.

    ``transport`` is FIXT.1.1's dictionary when ``application`` is FIX.5.0 or later.
    """
    carrier = transport or application
    definition = application.message(message.msg_type) or carrier.message(message.msg_type)
    return split(message.fields, carrier.header, carrier.trailer, definition.members if definition else {})
