"""What is checked of one MsgType, precomputed from the dictionaries when it is first seen."""

import re
from collections.abc import Mapping

from fix.dictionary.formats import ANY, MULTIPLE_VALUE_TYPES, USER_DEFINED_FROM, Matcher, matcher, sure
from fix.dictionary.groups import HEADER_TAGS, TRAILER_TAGS
from fix.dictionary.layout import Member
from fix.dictionary.model import DataDictionary
from fix.dictionary.validation import Validation

HEADER, BODY, TRAILER = 0, 1, 2
#: What sorts before or after the other fields of its part, which go by tag.
_HEADER_RANK = {8: -3, 9: -2, 35: -1}
_TRAILER_RANK = {93: -2, 89: -1, 10: 1 << 40}
#: Longer lists of values are looked up faster than they are tried one after another.
_MOST_ALTERNATIVES = 16


class Values:
    """Tests of the values of one dictionary's fields, made when a field is first seen."""

    def __init__(self, dictionary: DataDictionary, validation: Validation) -> None:
        self.dictionary = dictionary
        self._strict = validation.strict
        self._tests: dict[int, tuple[Matcher | None, Matcher | None]] = {}

    def tests(self, tag: int) -> tuple[Matcher | None, Matcher | None]:
        """(format, enumeration) of a field; None where anything passes."""
        found = self._tests.get(tag)
        if found is None:
            found = self._tests[tag] = self._make(tag)
        return found

    def _make(self, tag: int) -> tuple[Matcher | None, Matcher | None]:
        field = self.dictionary.field(tag)
        if field is None:
            return None, None
        form = matcher(field.type, self.dictionary.version, strict=self._strict)
        if not field.values:
            return form, None
        known = frozenset(value.encode("latin-1", "replace") for value in field.values)
        if field.type in MULTIPLE_VALUE_TYPES:
            return form, lambda value: known.issuperset(value.split(b" "))
        return form, known.__contains__

    def pattern(self, tag: int) -> bytes | None:
        """A regular expression of values that surely pass :meth:`tests`; None: the tests themselves must be asked."""
        field = self.dictionary.field(tag)
        if field is None:
            return ANY
        if not field.values:
            return sure(field.type, self.dictionary.version, strict=self._strict)
        form, enumeration = self.tests(tag)
        assert enumeration is not None
        several = field.type in MULTIPLE_VALUE_TYPES
        if several and form is not None:
            return None
        texts = sorted(value.encode("latin-1", "replace") for value in field.values)
        single = _alternatives([text for text in texts if enumeration(text) and (form is None or form(text))])
        return rb"%b(?: %b)*" % (single, single) if several and single is not None else single


def _alternatives(texts: list[bytes]) -> bytes | None:
    """Pattern of exactly these values."""
    if not texts or any(not text or b"\x01" in text for text in texts):
        return None
    if all(len(text) == 1 for text in texts):
        return b"[%b]" % b"".join(map(re.escape, texts))
    if len(texts) > _MOST_ALTERNATIVES:
        return None
    return b"(?:%b)" % b"|".join(map(re.escape, texts))


def both(tests: tuple[Matcher | None, Matcher | None]) -> Matcher | None:
    """One test of two."""
    form, enumeration = tests
    if form is None or enumeration is None:
        return enumeration if form is None else form
    return lambda value: form(value) and enumeration(value)


class Plan:
    """Everything about one MsgType.

    Attributes
    ----------
    sound:
        tag -> (part, test or None) of the fields that a sound message without groups consists of.
        What is not in it (unknown tags, groups) is looked at closely.
    required:
        Tags that a sound message has.
    """

    def __init__(self, msg_type: str, transport: Values, application: Values, validation: Validation) -> None:
        carrier = transport.dictionary
        definition = application.dictionary.message(msg_type)
        self.known = definition is not None
        self.transport = transport
        self.application = application
        self.header: Mapping[int, Member] = carrier.header
        self.trailer: Mapping[int, Member] = carrier.trailer
        self.body: Mapping[int, Member] = {} if definition is None else definition.members
        # Only a dictionary that carries the header requires its fields: FIX.5.0 and later do not.
        own = application.dictionary is carrier
        self.required_header = _required(self.header) if own else ()
        self.required_trailer = _required(self.trailer) if own else ()
        self.required_body = _required(self.body)
        self.sound: dict[int, tuple[int, Matcher | None]] = {}
        self.required: frozenset[int] = frozenset()
        if self.known:
            self._make_sound(validation)

    def _make_sound(self, validation: Validation) -> None:
        for part, members, values in (
            (BODY, self.body, self.application),
            (TRAILER, self.trailer, self.transport),
            (HEADER, self.header, self.transport),
        ):
            for tag, member in members.items():
                if part == BODY and (tag in HEADER_TAGS or tag in TRAILER_TAGS or tag in self.header):
                    continue  # read as header or trailer wherever it stands
                if member.group is None and tag in values.dictionary.tags:
                    self.sound[tag] = (part, both(values.tests(tag)))
        needed = {49, 56, 34, 52}
        if validation.check_required:
            needed.update(self.required_header, self.required_trailer, self.required_body)
        self.required = frozenset(needed)


def _required(members: Mapping[int, Member]) -> tuple[int, ...]:
    return tuple(sorted(tag for tag, member in members.items() if member.required))


def header_rank(tag: int) -> int:
    """Sort key of header fields: BeginString, BodyLength, MsgType, then ascending."""
    return _HEADER_RANK.get(tag, tag)


def trailer_rank(tag: int) -> int:
    """Sort key of trailer fields: CheckSum last."""
    return _TRAILER_RANK.get(tag, tag)


def user_defined(tag: int) -> bool:
    """Whether ``tag`` belongs to nobody's specification."""
    return tag >= USER_DEFINED_FROM
