"""A venue's dialect in TOML."""

from pathlib import Path
from typing import Any

import pytest

from fix.dictionary import Refusal, RejectReason, Validator, load, overlay, validator_for
from fix.errors import DictionaryError
from fix.messages import Message, checksum, parse

HEAD = "34=2|49=TW|52=20240102-03:04:05|56=ISLD|"
ORDER = f"35=D|{HEAD}11=A|40=1|54=1|38=2|55=INTC|60=20240102-03:04:05|"

VENUE = """
[fields.9001]
name = "RouteHint"
type = "CHAR"
values = { A = "AUTO", M = "MANUAL" }

[fields.Side]
values = { Q = "QUIET" }
remove_values = ["G"]

[fields.9002]
name = "VenueDesk"
type = "STRING"

[messages.D]
add = ["RouteHint!", "<NoLegs LegSymbol! LegSide >"]
require = ["Account"]
optional = ["TransactTime"]
remove = ["MinQty"]
groups.NoPartyIDs.require = ["PartyRole"]

[messages.UV]
name = "VenuePing"
category = "app"
add = ["Text!"]

[header]
add = ["9002"]
"""


def message(body: str, begin_string: str = "FIX.4.4") -> Message:
    text = body.replace("|", "\x01").encode("latin-1")
    head = b"8=%b\x019=%d\x01" % (begin_string.encode(), len(text))
    return parse(head + text + b"10=%03d\x01" % checksum(head + text))


@pytest.fixture
def venue(tmp_path: Path) -> Path:
    path = tmp_path / "venue.toml"
    path.write_text(VENUE)
    return path


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"{ORDER}1=ACC|9001=A|", None),
        (f"{ORDER}1=ACC|", Refusal(RejectReason.REQUIRED_TAG_MISSING, 9001)),
        (f"{ORDER}9001=A|", Refusal(RejectReason.REQUIRED_TAG_MISSING, 1)),
        (f"{ORDER}1=ACC|9001=X|", Refusal(RejectReason.VALUE_INCORRECT, 9001)),
        (f"{ORDER}1=ACC|9001=AA|", Refusal(RejectReason.FORMAT_INCORRECT, 9001)),
        (f"{ORDER.replace('54=1', '54=Q')}1=ACC|9001=A|", None),
        (f"{ORDER.replace('54=1', '54=G')}1=ACC|9001=A|", Refusal(RejectReason.VALUE_INCORRECT, 54)),
        (f"{ORDER.replace('60=20240102-03:04:05|', '')}1=ACC|9001=A|", None),
        (f"{ORDER}1=ACC|9001=A|110=5|", Refusal(RejectReason.TAG_NOT_DEFINED_FOR_TYPE, 110)),
        (f"{ORDER}1=ACC|9001=A|555=2|600=X|624=1|600=Y|", None),
        (f"{ORDER}1=ACC|9001=A|555=3|600=X|624=1|600=Y|", Refusal(RejectReason.GROUP_COUNT_INCORRECT, 555)),
        (f"35=UV|{HEAD}9002=desk|58=hello|", None),
        (f"35=UV|{HEAD}", Refusal(RejectReason.REQUIRED_TAG_MISSING, 58)),
    ],
)
def test_a_dialect_adds_and_changes(venue: Path, body: str, expected: Refusal | None) -> None:
    assert Validator(overlay(load("FIX.4.4"), venue)).check(message(body)) == expected


def test_the_version_itself_stays_as_it_was(venue: Path) -> None:
    before = load("FIX.4.4").source.text()
    overlay(load("FIX.4.4"), venue)
    assert load("FIX.4.4").source.text() == before


def test_members_of_a_group_change_too(venue: Path) -> None:
    group = overlay(load("FIX.4.4"), venue).group("D", 453)
    assert group is not None and group.members[452].declared
    assert not load("FIX.4.4").group("D", 453).members[452].declared  # type: ignore[union-attr]


def test_in_fixt_header_and_messages_go_to_their_own_dictionaries(venue: Path) -> None:
    validator = validator_for("FIXT.1.1", "9", overlay_path=venue)
    order = f"{ORDER.replace('49=TW', '49=TW|9002=desk')}1=ACC|9001=A|"
    assert validator.check(message(order, "FIXT.1.1"), "9") is None
    assert validator.check(message(order, "FIXT.1.1"), "8") == Refusal(RejectReason.INVALID_TAG, 9001)
    assert validator_for("FIXT.1.1", "9", overlay_path=venue) is validator


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"field": {}}, r"overlay: field: unknown key; did you mean fields"),
        ({"fields": {"9001": {"name": "X"}}}, r"fields.9001: a new field needs"),
        ({"fields": {"Sid": {"values": {"Q": "QUIET"}}}}, r"fields.Sid: no field 'Sid'; did you mean Side"),
        ({"fields": {"9001": {"name": "Side", "type": "CHAR"}}}, r"the name 'Side' is that of field 54"),
        ({"fields": {"54": {"remove_values": ["Z"]}}}, r"fields.54.remove_values: Side has no value 'Z'"),
        ({"fields": {"54": {"kind": "CHAR"}}}, r"fields.54.kind: unknown key"),
        ({"fields": {"54": 3}}, r"fields.54: must be a table, was 3"),
        ({"messages": {"DD": {"add": ["1"]}}}, r"messages.DD: FIX.4.4 has no such message"),
        ({"messages": {"D": {"require": ["RouteHint"]}}}, r"messages.D.require: no field 'RouteHint'"),
        ({"messages": {"D": {"require": ["QuoteReqID"]}}}, r"messages.D.require: QuoteReqID is not there; list it"),
        ({"messages": {"D": {"remove": ["QuoteReqID"]}}}, r"messages.D.remove: QuoteReqID is not there"),
        ({"messages": {"D": {"add": ["9001"]}}}, r"messages.D.add: FIX.4.4 has no field 9001; define it"),
        ({"messages": {"D": {"add": ["<555 600"]}}}, r"messages.D.add: layout: the group of tag 555 is not closed"),
        ({"messages": {"D": {"add": ["<555 >"]}}}, r"messages.D.add: the group of 555 has no fields"),
        ({"messages": {"D": {"add": "Text"}}}, r"messages.D.add: must be a list of texts"),
        ({"messages": {"D": {"groups": {"NoLegs": {}}}}}, r"messages.D.groups.NoLegs: there is no such group"),
        ({"header": {"remove": ["Text"]}}, r"header.remove: Text is not there"),
    ],
)
def test_mistakes_name_the_key_and_the_mend(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(DictionaryError, match=what):
        overlay(load("FIX.4.4"), changes)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "venue.toml"
    path.write_text("[fields")
    with pytest.raises(DictionaryError, match=r"venue\.toml: no TOML"):
        overlay(load("FIX.4.4"), path)
    with pytest.raises(DictionaryError, match=r"absent\.toml: not readable"):
        overlay(load("FIX.4.4"), tmp_path / "absent.toml")


def test_sessions_are_not_made_of_application_versions() -> None:
    with pytest.raises(DictionaryError, match=r"sessions of it speak FIXT.1.1"):
        validator_for("FIX.5.0")
    with pytest.raises(DictionaryError, match="default_appl_ver_id must be one of"):
        validator_for("FIXT.1.1", "1")
