"""A data dictionary: fields, messages, groups of one FIX version. Open this file first.

It is read from a text file (``data/``) line by line; a line is decoded when its field or message
is first asked for, so loading the largest version takes milliseconds and a process that trades
ten messages pays for ten. One dictionary is shared by all sessions of a process; it never changes
(:func:`fix.dictionary.overlay` makes another).
"""

import difflib
from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec

from fix.dictionary.formats import DATA_TYPES
from fix.dictionary.layout import Group, Layout, Member, expand, parse_layout
from fix.errors import DictionaryError

#: First line of a dictionary's file, before the version.
MAGIC = "axiom-fix-dictionary 1 "

_ESCAPES = {"%": "%25", " ": "%20", "=": "%3D", "\n": "%0A", "\r": "%0D", "\t": "%09"}


def escape(text: str) -> str:
    """Make a name or value one token of a line."""
    return "".join(_ESCAPES.get(char, char) for char in text)


def unescape(text: str) -> str:
    """Undo :func:`escape`."""
    if "%" not in text:
        return text
    for char, code in _ESCAPES.items():
        if char != "%":
            text = text.replace(code, char)
    return text.replace("%25", "%")


class FieldDefinition(msgspec.Struct, frozen=True):
    """A field: number, name, data type as the specification writes it, and names of enumerated values."""

    tag: int
    name: str
    type: str
    values: dict[str, str]


class MessageDefinition(msgspec.Struct, frozen=True, eq=False):
    """A message: its fields in order, components resolved."""

    msg_type: str
    name: str
    category: str
    members: dict[int, Member]


class Source(msgspec.Struct):
    """What a dictionary's file says, undecoded: tables of lines. Sorted when written."""

    version: str
    #: tag -> ``Name TYPE value=NAME ...``
    fields: dict[int, str]
    #: name -> layout
    components: dict[str, str]
    #: MsgType -> ``Name category layout``
    messages: dict[str, str]
    header: str = ""
    trailer: str = ""

    def text(self) -> str:
        """The whole file."""
        lines = [f"{MAGIC}{self.version}"]
        lines += [f"F {tag} {rest}" for tag, rest in sorted(self.fields.items())]
        lines += [f"C {name} {rest}".rstrip() for name, rest in sorted(self.components.items())]
        if self.header:
            lines.append(f"H {self.header}")
        if self.trailer:
            lines.append(f"T {self.trailer}")
        lines += [f"M {msg_type} {rest}".rstrip() for msg_type, rest in sorted(self.messages.items())]
        return "\n".join(lines) + "\n"


def parse_source(text: str, where: str) -> Source:
    """Read a dictionary's file.

    Raises
    ------
    DictionaryError
        With ``where:line`` of what is wrong.
    """
    lines = text.split("\n")
    if not lines[0].startswith(MAGIC):
        raise DictionaryError(f"{where}:1: must open with {MAGIC!r}, was {lines[0][:40]!r}; generate it anew")
    source = Source(lines[0][len(MAGIC) :].strip(), {}, {}, {})
    fields, components, messages = source.fields, source.components, source.messages
    for number, line in enumerate(lines[1:], 2):
        kind = line[:2]
        key, _, rest = line[2:].partition(" ")
        if kind == "F " and key.isdigit():
            fields[int(key)] = rest
        elif kind == "C ":
            components[key] = rest
        elif kind == "M ":
            messages[key] = rest
        elif kind == "H ":
            source.header = line[2:]
        elif kind == "T ":
            source.trailer = line[2:]
        elif line:
            raise DictionaryError(f"{where}:{number}: no line of a dictionary: {line[:40]!r}")
    return source


class _Lazy(Mapping[str, Layout]):
    """Components of a source, decoded when asked for."""

    def __init__(self, lines: Mapping[str, str]) -> None:
        self._lines = lines
        self._layouts: dict[str, Layout] = {}

    def __getitem__(self, name: str) -> Layout:
        layout = self._layouts.get(name)
        if layout is None:
            layout = self._layouts[name] = parse_layout(self._lines[name].split())
        return layout

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


class DataDictionary:
    """Fields, messages, header and trailer of one version; see the module.

    FIX.5.0 and later have no header of their own: FIXT.1.1 carries it.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        #: ``FIX.4.4``, ``FIXT.1.1``, ``FIX.5.0SP2``...
        self.version = source.version
        self._fields: dict[int, FieldDefinition] = {}
        self._messages: dict[str, MessageDefinition] = {}
        self._components = _Lazy(source.components)

    def __repr__(self) -> str:
        source = self.source
        return f"DataDictionary({self.version}: {len(source.fields)} fields, {len(source.messages)} messages)"

    # ---------------------------------------------------------------- fields

    @property
    def tags(self) -> Mapping[int, object]:
        """All field numbers."""
        return self.source.fields

    def field(self, tag: int) -> FieldDefinition | None:
        """Definition of ``tag``, None when this version has no such field."""
        found = self._fields.get(tag)
        if found is None:
            line = self.source.fields.get(tag)
            if line is None:
                return None
            name, field_type, *values = line.split(" ")
            pairs = (value.partition("=") for value in values)
            found = FieldDefinition(tag, name, field_type, {unescape(a): unescape(b) for a, _, b in pairs})
            self._fields[tag] = found
        return found

    @cached_property
    def _tags_by_name(self) -> dict[str, int]:
        return {line[: line.index(" ")]: tag for tag, line in self.source.fields.items()}

    def tag(self, name: str) -> int:
        """Number of the field called ``name``.

        Raises
        ------
        DictionaryError
            Naming the nearest names there are.
        """
        found = self._tags_by_name.get(name)
        if found is None:
            raise DictionaryError(f"{self.version} has no field {name!r}{did_you_mean(name, self._tags_by_name)}")
        return found

    def knows(self, word: str) -> bool:
        """Whether there is a field of this name or number."""
        return int(word) in self.source.fields if word.isdigit() else word in self._tags_by_name

    def name(self, tag: int) -> str:
        """Name of ``tag``, its number when there is none."""
        line = self.source.fields.get(tag)
        return str(tag) if line is None else line[: line.index(" ")]

    @cached_property
    def data_tags(self) -> dict[int, int]:
        """Length tag -> tag of the raw data that it announces (the data may contain SOH)."""
        names = self._tags_by_name
        found: dict[int, int] = {}
        for tag, line in self.source.fields.items():
            name, field_type, *_ = line.split(" ", 2)
            if field_type in DATA_TYPES:
                length = names.get(f"{name}Len") or names.get(f"{name}Length") or tag - 1
                found[length] = tag
        return found

    # -------------------------------------------------------------- messages

    @property
    def msg_types(self) -> Mapping[str, object]:
        """All MsgTypes."""
        return self.source.messages

    def message(self, msg_type: str) -> MessageDefinition | None:
        """Definition of a MsgType, None when this version has no such message."""
        found = self._messages.get(msg_type)
        if found is None:
            line = self.source.messages.get(msg_type)
            if line is None:
                return None
            name, category, *tokens = line.split()
            members = expand(parse_layout(tokens), self._components)
            found = self._messages[msg_type] = MessageDefinition(msg_type, name, category, members)
        return found

    @cached_property
    def header(self) -> dict[int, Member]:
        """Members of the standard header; empty for FIX.5.0 and later."""
        return expand(parse_layout(self.source.header.split()), self._components)

    @cached_property
    def trailer(self) -> dict[int, Member]:
        """Members of the standard trailer; empty for FIX.5.0 and later."""
        return expand(parse_layout(self.source.trailer.split()), self._components)

    def group(self, msg_type: str, count_tag: int) -> Group | None:
        """The repeating group that ``count_tag`` opens in a message, at any depth."""
        definition = self.message(msg_type)
        return None if definition is None else _find_group(definition.members, count_tag)

    def layout(self, msg_type: str) -> Layout:
        """The message's own layout, components unresolved."""
        _, _, *tokens = self.source.messages[msg_type].split()
        return parse_layout(tokens)

    @property
    def components(self) -> Mapping[str, Layout]:
        """Layouts of the components."""
        return self._components


def _find_group(members: Mapping[int, Member], count_tag: int) -> Group | None:
    for member in members.values():
        if member.group is None:
            continue
        if member.tag == count_tag:
            return member.group
        inner = _find_group(member.group.members, count_tag)
        if inner is not None:
            return inner
    return None


def did_you_mean(word: str, known: Mapping[str, object]) -> str:
    """``; did you mean A, B?`` for an error's text, empty when nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=3)
    return f"; did you mean {', '.join(near)}?" if near else ""
