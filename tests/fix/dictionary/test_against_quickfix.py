"""The same verdicts as the reference engine's own dictionaries: reason, tag, and which fault comes first.

Messages of every version are made from our dictionaries, given faults, and shown to both. Skipped
where the quickfix package is absent. Raw-data fields are left out: how far they reach is the
parser's affair, and the reference reads beyond the message when a length is wrong.

Known differences, each pinned below or excluded here:

- BeginString, BodyLength, CheckSum a second time: the reference counts none of them for BodyLength,
  so the message is garbled to it; to us it is a repeated tag.
- A tag repeated among more than 16 fields of a part: the reference's sort does not keep equal tags in
  order, so which value it looks at first is chance. Both refuse for that tag.
- A timestamp that ends in a dot; group counts and impossible tags when unknown fields are let pass;
  a FIXT.1.1 message of an application version without dictionary.
"""

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fix.dictionary import VERSIONS, Refusal, RejectReason, Validation, Validator, load
from fix.messages import parse
from tests.fix.dictionary import traffic

XML = Path(sys.prefix) / "share" / "quickfix"
quickfix = pytest.importorskip("quickfix", reason="the quickfix package is not installed")
if not XML.is_dir():
    pytest.skip(f"no dictionaries of the quickfix package at {XML}", allow_module_level=True)

FAULTS = {
    "InvalidTagNumber": RejectReason.INVALID_TAG, "RequiredTagMissing": RejectReason.REQUIRED_TAG_MISSING,
    "TagNotDefinedForMessage": RejectReason.TAG_NOT_DEFINED_FOR_TYPE, "NoTagValue": RejectReason.TAG_WITHOUT_VALUE,
    "IncorrectTagValue": RejectReason.VALUE_INCORRECT, "IncorrectDataFormat": RejectReason.FORMAT_INCORRECT,
    "InvalidMessageType": RejectReason.INVALID_MSG_TYPE, "RepeatedTag": RejectReason.TAG_REPEATED,
    "TagOutOfOrder": RejectReason.TAG_OUT_OF_ORDER,
    "RepeatingGroupCountMismatch": RejectReason.GROUP_COUNT_INCORRECT,
}  # fmt: skip
APPLICATIONS = [version for version in VERSIONS if version != "FIXT.1.1"]
Verdict = tuple[int, int | None] | None


class Reference:
    """The reference engine's session-level check for one version."""

    def __init__(self, version: str) -> None:
        self.fixt = version.startswith("FIX.5")
        self.application = self._dictionary(version)
        self.transport = self._dictionary("FIXT.1.1") if self.fixt else self.application

    @staticmethod
    def _dictionary(version: str) -> Any:
        return quickfix.DataDictionary(str(XML / f"{version.replace('.', '')}.xml"))

    def check(self, raw: bytes) -> Verdict:
        dictionaries = (self.transport, self.application) if self.fixt else (self.transport,)
        message = quickfix.Message(raw.decode("ascii"), *dictionaries, True)
        header = message.getHeader()
        for tag in (49, 56):  # the session looks for these two before it validates
            if not header.isSetField(tag):
                return int(RejectReason.REQUIRED_TAG_MISSING), tag
        admin = header.getField(35) in tuple("0A12345")
        try:
            quickfix.DataDictionary.validate(message, self.transport, self.transport if admin else self.application)
        except quickfix.FIXException as error:
            reason = FAULTS[type(error).__name__]
            return int(reason), None if reason is RejectReason.INVALID_MSG_TYPE else error.field
        for tag in (52, 34):  # and for these after it
            if not header.isSetField(tag):
                return int(RejectReason.REQUIRED_TAG_MISSING), tag
        return None


def ours(validator: Validator, raw: bytes) -> Verdict:
    refusal = validator.check(parse(raw))
    return None if refusal is None else (int(refusal.reason), refusal.ref_tag)


def validator_of(version: str, validation: Validation | None = None) -> Validator:
    if version.startswith("FIX.5"):
        return Validator(load("FIXT.1.1"), load(version), validation)
    return Validator(load(version), None, validation)


class Pair:
    """Both engines for one version, and what messages are made of."""

    def __init__(self, version: str) -> None:
        self.reference = Reference(version)
        self.validator = validator_of(version)
        self.application = load(version)
        self.transport = load("FIXT.1.1") if version.startswith("FIX.5") else self.application
        data = traffic.data_tags(self.application) | traffic.data_tags(self.transport)
        self.tags = [tag for tag in self.application.tags if tag not in data and tag not in (8, 9, 10, 35)]
        self.types = sorted({*self.application.msg_types, *self.transport.msg_types})

    def compare(self, rng: random.Random) -> Verdict:
        msg_type = rng.choice(self.types)
        owner = self.transport if msg_type in self.transport.msg_types else self.application
        fields = traffic.sound_message(self.transport, owner, msg_type, rng, rng.choice((0.0, 0.05, 0.3)))
        for _ in range(rng.choice((0, 1, 1, 2))):
            fields = traffic.mutate(fields, self.tags, rng)
        shown = rng.choice((*[msg_type] * 30, "ZZ", "*", "U1"))
        raw = traffic.wire(self.transport.version, shown, fields)
        expected, got = self.reference.check(raw), ours(self.validator, raw)
        assert got == expected or chance(expected, got, fields), f"{raw.replace(bytes([1]), b'|')!r}"
        return got


def chance(expected: Verdict, got: Verdict, fields: traffic.Fields) -> bool:
    """Both refuse for the same tag, which is repeated in a long message."""
    if expected is None or got is None or expected[1] != got[1] or len(fields) <= 16:
        return False
    return sum(tag == got[1] for tag, _ in fields) > 1


PAIRS: dict[str, Pair] = {}


def pair(version: str) -> Pair:
    if version not in PAIRS:
        PAIRS[version] = Pair(version)
    return PAIRS[version]


@pytest.mark.parametrize("version", APPLICATIONS)
def test_same_verdict_on_a_thousand_messages(version: str) -> None:
    rng = random.Random(f"verdicts of {version}")
    seen = Counter(verdict and verdict[0] for verdict in (pair(version).compare(rng) for _ in range(1000)))
    assert seen[None] > 200
    assert len(seen) >= 10, f"too few kinds of faults were made: {seen}"


@given(version=st.sampled_from(APPLICATIONS), seed=st.integers(0, 1 << 60))
@settings(max_examples=300, deadline=None)
def test_same_verdict_on_any_message(version: str, seed: int) -> None:
    pair(version).compare(random.Random(seed))


@pytest.mark.parametrize("version", APPLICATIONS)
def test_every_format_accepts_the_same_values(version: str) -> None:
    """Each odd value in a field of each data type of the version."""
    both = pair(version)
    transport, application = both.transport, both.application
    by_type = {}
    for msg_type in sorted(application.msg_types):
        definition = application.message(msg_type)
        assert definition is not None
        for tag, member in definition.members.items():
            field = application.field(tag)
            assert field is not None
            if member.group is None and tag in both.tags and (field.type, bool(field.values)) not in by_type:
                by_type[field.type, bool(field.values)] = (msg_type, tag)
    compared = 0
    for msg_type, tag in by_type.values():
        owner = transport if msg_type in transport.msg_types else application
        base = traffic.sound_message(transport, owner, msg_type, random.Random(1), 0.0)
        for value in traffic.ODD:
            fields = [field for field in base if field[0] != tag] + [(tag, value)]
            raw = traffic.wire(transport.version, msg_type, fields)
            assert ours(both.validator, raw) == both.reference.check(raw), (msg_type, tag, value)
            compared += 1
    assert compared >= 7 * len(traffic.ODD)


HEAD: traffic.Fields = [(34, b"2"), (49, b"TW"), (52, b"20240102-03:04:05"), (56, b"ISLD")]
ORDER: traffic.Fields = [(11, b"A"), (40, b"1"), (54, b"1"), (55, b"X"), (60, b"20240102-03:04:05")]
LOOSE = Validation(allow_unknown_msg_fields=True)


@pytest.mark.parametrize(
    ("extra", "validation", "theirs", "mine"),
    [
        ([(386, b"2"), (336, b"1")], LOOSE, None, (16, 386)),
        ([(-1, b"x")], LOOSE, None, (0, -1)),
    ],
)
def test_known_differences(extra: traffic.Fields, validation: Validation, theirs: Verdict, mine: Verdict) -> None:
    reference = Reference("FIX.4.4")
    reference.transport.allowUnknownMsgFields(validation.allow_unknown_msg_fields)
    raw = traffic.wire("FIX.4.4", "D", [*HEAD, *ORDER, *extra])
    assert reference.check(raw) == theirs
    assert ours(validator_of("FIX.4.4", validation), raw) == mine


@pytest.mark.parametrize(
    ("switch", "ours_off"),
    [
        ("checkFieldsOutOfOrder", Validation(validate_fields_out_of_order=False)),
        ("checkFieldsHaveValues", Validation(validate_fields_have_values=False)),
        ("checkUserDefinedFields", Validation(validate_user_defined_fields=False)),
        ("allowUnknownMsgFields", Validation(allow_unknown_msg_fields=True)),
    ],
)
def test_each_switch_means_the_same(switch: str, ours_off: Validation) -> None:
    reference = Reference("FIX.4.4")
    getattr(reference.transport, switch)(switch == "allowUnknownMsgFields")
    validator = validator_of("FIX.4.4", ours_off)
    both = pair("FIX.4.4")
    rng = random.Random(switch)
    loosened = 0
    for _ in range(600):
        msg_type = rng.choice(both.types)
        fields = traffic.sound_message(both.transport, both.transport, msg_type, rng, 0.05)
        fields = traffic.mutate(fields, both.tags, rng)
        raw = traffic.wire("FIX.4.4", msg_type, fields)
        expected, got = reference.check(raw), ours(validator, raw)
        if got is not None and expected is None:  # the two pinned above
            assert got[0] == RejectReason.GROUP_COUNT_INCORRECT or (got[1] or 0) <= 0
        else:
            assert got == expected or chance(expected, got, fields) or (got or (0, 0))[0] == 16, raw
        loosened += got is None and both.validator.check(parse(raw)) is not None
    assert loosened >= 5


def test_an_application_version_without_dictionary_is_refused() -> None:
    version = Reference("FIX.5.0SP2")
    raw = traffic.wire("FIXT.1.1", "D", [*HEAD[:2], (1128, b"7"), *HEAD[2:], (9999, b"x")])
    empty = quickfix.DataDictionary()
    message = quickfix.Message(raw.decode(), version.transport, empty, True)
    quickfix.DataDictionary.validate(message, version.transport, empty)  # the reference checks nothing
    refusal = Validator(load("FIXT.1.1"), {"9": load("FIX.5.0SP2")}).check(parse(raw), "9")
    assert refusal == Refusal(RejectReason.APPL_VERSION_UNSUPPORTED, 1128)
