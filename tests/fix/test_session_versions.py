"""What each FIX version does its own way: stamps, ranges, rejects, resets, application versions."""

from pathlib import Path

import pytest

from fix.dictionary import Validator, load
from fix.errors import SettingsError
from fix.messages import Field, Message
from fix.session import (
    BEGIN_STRINGS,
    AppMessage,
    GapDetected,
    LoggedOn,
    Refused,
    RejectReason,
    State,
    TimestampPrecision,
    appl_ver_id,
)
from fix.testing import START_NS, MachinePair, ScriptedPeer, Side, acceptor_settings, initiator_settings

OLD = ("FIX.4.0", "FIX.4.1")
WITH_REASONS = tuple(version for version in BEGIN_STRINGS if version not in OLD)


def logged_on(tmp_path: Path, version: str, **changes: object) -> tuple[Side, ScriptedPeer]:
    venue = Side(tmp_path, acceptor_settings(begin_string=version, **changes))
    peer = ScriptedPeer(venue)
    peer.logon()
    return venue, peer


def body(message: Message) -> list[tuple[int, str]]:
    return [(tag, value.decode()) for tag, value in message.body()]


def tags(message: Message) -> list[int]:
    return [tag for tag, _ in message.fields]


@pytest.mark.parametrize("version", BEGIN_STRINGS)
def test_the_logon_says_what_the_version_needs(version: str, tmp_path: Path) -> None:
    client = Side(tmp_path, initiator_settings(begin_string=version))
    client.note(client.machine.connected(START_NS))
    (logon,) = client.output()
    stamp = "20151224-14:30:00" if version in OLD else "20151224-14:30:00.000"
    assert (logon.text(8), logon.text(52)) == (version, stamp)
    assert body(logon) == [(98, "0"), (108, "30"), *([(1137, "9")] if version == "FIXT.1.1" else [])]


@pytest.mark.parametrize("version", BEGIN_STRINGS)
def test_two_of_a_version_log_on_lose_a_message_and_recover(version: str, tmp_path: Path) -> None:
    pair = MachinePair(tmp_path, begin_string=version)
    pair.connect()
    pair.venue.machine.send("8", [(37, "lost")], pair.now_ns)
    pair.cut()
    pair.connect()
    taken = pair.client.of(AppMessage)
    assert [event.poss_dup for event in taken] == [True]
    assert pair.client.machine.steady and pair.venue.machine.steady


@pytest.mark.parametrize("version", BEGIN_STRINGS)
def test_all_messages_are_asked_for_as_the_version_writes_it(version: str, tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, version)
    (request,) = peer.say("0", 5)
    assert body(request) == [(7, "2"), (16, "999999" if version in OLD else "0")]
    assert venue.of(GapDetected) == [GapDetected(2, 4)]


@pytest.mark.parametrize(
    ("version", "end"),
    [(version, end) for version in BEGIN_STRINGS for end in (0, 999_999) if end or version not in OLD],
)
def test_either_infinity_is_understood(version: str, end: int, tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, version)
    venue.machine.send("8", [(37, "1")], START_NS)
    venue.output()
    assert [(m.msg_type, m.seq, m.text(36)) for m in peer.say("2", 2, [(7, 1), (16, end)])] == [
        ("4", 1, "2"), ("8", 2, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("version", sorted(OLD))
def test_an_end_of_zero_asks_for_nothing_before_it_was_invented(version: str, tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, version)
    assert peer.say("2", 2, [(7, 1), (16, 0)]) == []
    assert venue.machine.next_in == 3


@pytest.mark.parametrize("version", BEGIN_STRINGS)
def test_resent_and_filled_messages_carry_the_versions_stamps(version: str, tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, version)
    venue.machine.send("8", [(37, "1")], START_NS)
    venue.output()
    fill, report = peer.say("2", 2, [(7, 1), (16, 999_999)])
    stamp = "20151224-14:30:00" if version in OLD else "20151224-14:30:00.000"
    for message in (fill, report):
        assert tags(message)[:9] == [8, 9, 35, 34, 43, 49, 52, 56, 122]
        assert (message.text(52), message.text(122)) == (stamp, stamp)


@pytest.mark.parametrize("version", OLD)
def test_reject_without_reasons_names_the_tag_in_the_text(version: str, tmp_path: Path) -> None:
    _, peer = logged_on(tmp_path, version)
    (reject,) = peer.say("1", 2)
    assert body(reject) == [(45, "2"), (58, "Required tag missing (112)")]


@pytest.mark.parametrize("version", WITH_REASONS)
def test_reject_with_reasons_names_tag_type_and_reason(version: str, tmp_path: Path) -> None:
    _, peer = logged_on(tmp_path, version)
    (reject,) = peer.say("1", 2)
    assert body(reject) == [(45, "2"), (58, "Required tag missing"), (371, "112"), (372, "1"), (373, "1")]


@pytest.mark.parametrize(
    ("version", "reasons"), [("FIX.4.2", False), ("FIX.4.3", True), ("FIX.4.4", True), ("FIXT.1.1", True)]
)
def test_reasons_that_the_version_does_not_know_are_left_out(version: str, reasons: bool, tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, version)
    (reject,) = peer.say("0", 2, [(112, "A"), (34, 9)])  # a header field in the body: reason 14
    expected: list[tuple[int, str]] = [(45, "2"), (58, "Tag specified out of required order"), (371, "34"), (372, "0")]
    assert body(reject) == expected + ([(373, "14")] if reasons else [])
    assert venue.of(Refused)[0].reason == RejectReason.TAG_OUT_OF_ORDER


@pytest.mark.parametrize(
    ("version", "msg_type", "expected"),
    [
        ("FIX.4.0", "3", [(45, "2"), (58, "Unsupported message type")]),
        ("FIX.4.1", "3", [(45, "2"), (58, "Unsupported message type")]),
        ("FIX.4.2", "j", [(45, "2"), (58, "Unsupported Message Type"), (372, "R"), (380, "3")]),
        ("FIX.4.4", "j", [(45, "2"), (58, "Unsupported Message Type"), (372, "R"), (380, "3")]),
        ("FIXT.1.1", "j", [(45, "2"), (58, "Unsupported Message Type"), (372, "R"), (380, "3")]),
    ],
)
def test_application_messages_are_refused_as_the_version_can(
    version: str, msg_type: str, expected: list[tuple[int, str]], tmp_path: Path
) -> None:
    venue, peer = logged_on(tmp_path, version)
    peer.say("R", 2, [(131, "A")])
    (event,) = venue.of(AppMessage)
    venue.machine.refuse_business(event.raw, 3, "Unsupported Message Type", START_NS)
    (answer,) = venue.output()
    assert (answer.msg_type, body(answer)) == (msg_type, expected)


def test_business_reject_can_name_the_application_version(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, "FIXT.1.1", business_reject_appl_ver_id=True)
    peer.say("R", 2, [(131, "A")])
    venue.machine.refuse_business(venue.of(AppMessage)[0].raw, 3, "Unsupported Message Type", START_NS)
    assert body(venue.output()[0])[-1] == (1137, "9")


def test_application_may_refuse_at_session_level(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, "FIX.4.4")
    peer.say("D", 2, [(11, "A")])
    raw = venue.of(AppMessage)[0].raw
    venue.machine.refuse_session(raw, RejectReason.VALUE_INCORRECT, START_NS, 11)
    (answer,) = venue.output()
    text = "Value is incorrect (out of range) for this tag"
    assert body(answer) == [(45, "2"), (58, text), (371, "11"), (372, "D"), (373, "5")]


ROUTE: list[Field] = [(115, "JCD"), (116, "CS"), (128, "MG"), (129, "CG"), (144, "OL"), (145, "DL")]


@pytest.mark.parametrize("version", BEGIN_STRINGS)
def test_rejects_go_back_the_way_the_message_came(version: str, tmp_path: Path) -> None:
    _, peer = logged_on(tmp_path, version)
    (reject,) = peer.say("1", 2, header=ROUTE)
    route = [(tag, reject.text(tag)) for tag in (115, 116, 128, 129, 144, 145) if tag in reject]
    expected = [(115, "MG"), (116, "CG"), (128, "JCD"), (129, "CS")]
    assert route == expected + ([] if version == "FIX.4.0" else [(144, "DL"), (145, "OL")])


def test_version_without_reset_flag_does_not_obey_it(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(begin_string="FIX.4.0"))
    peer = ScriptedPeer(venue)
    peer.logon()
    peer.say("0", 2)
    venue.note(venue.machine.disconnected(START_NS))
    replies = peer.logon(1, reset=True)
    assert [m.text(58) for m in replies][-1] == "MsgSeqNum too low, expecting 3 but received 1"


def test_version_without_reset_flag_starts_over_silently(tmp_path: Path) -> None:
    client = Side(tmp_path, initiator_settings(begin_string="FIX.4.0", reset_on_logon=True))
    for _ in range(2):
        client.note(client.machine.connected(START_NS))
        (logon,) = client.output()
        assert logon.seq == 1 and 141 not in logon
        client.note(client.machine.disconnected(START_NS))


# ------------------------------------------------------------------------- FIXT.1.1


def test_the_peers_application_version_is_known_and_forgotten(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(begin_string="FIXT.1.1"))
    ScriptedPeer(venue).logon(appl_ver_id="7")
    assert venue.of(LoggedOn)[0].appl_ver_id == venue.machine.peer_appl_ver_id == "7"
    venue.note(venue.machine.disconnected(START_NS))
    assert venue.machine.peer_appl_ver_id == ""


def test_fixt_logon_without_application_version_is_dropped(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(begin_string="FIXT.1.1"))
    peer = ScriptedPeer(venue)
    venue.note(venue.machine.connected(START_NS))
    assert peer.say("A", 1, [(98, 0), (108, 30)]) == []
    assert venue.machine.state is State.AWAITING_LOGON and not venue.machine.logged_on


@pytest.mark.parametrize(
    ("peers_default", "header", "refused"),
    [("9", [], False), ("7", [], True), ("7", [(1128, "9")], False), ("9", [(1128, "7")], True)],
)
def test_messages_are_checked_by_their_own_application_version(
    peers_default: str, header: list[Field], refused: bool, tmp_path: Path
) -> None:
    """UserRequest's field EncryptedPasswordMethod(1400) came with FIX.5.0SP1."""
    dictionary = Validator(load("FIXT.1.1"), {"7": load("FIX.5.0"), "9": load("FIX.5.0SP2")})
    venue = Side(tmp_path, acceptor_settings(begin_string="FIXT.1.1"), dictionary)
    peer = ScriptedPeer(venue)
    peer.logon(appl_ver_id=peers_default)
    peer.say("BE", 2, [(923, "R"), (924, 1), (553, "me"), (1400, 0)], header)
    assert (len(venue.of(Refused)), len(venue.of(AppMessage))) == ((1, 0) if refused else (0, 1))


# ------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("version", "precision", "stamp"),
    [
        ("FIX.4.4", TimestampPrecision.NANOS, "20151224-14:30:00.123456789"),
        ("FIXT.1.1", TimestampPrecision.MICROS, "20151224-14:30:00.123456"),
        ("FIX.4.2", TimestampPrecision.SECONDS, "20151224-14:30:00"),
    ],
)
def test_precision_of_stamps(version: str, precision: TimestampPrecision, stamp: str, tmp_path: Path) -> None:
    client = Side(tmp_path, initiator_settings(begin_string=version, timestamp_precision=precision))
    client.note(client.machine.connected(START_NS + 123_456_789))
    assert client.output()[0].text(52) == stamp


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"begin_string": "FIX.5.0"}, "FIX.5.0 is FIXT.1.1 with default_appl_ver_id"),
        ({"begin_string": "FIX.3.0"}, "begin_string must be one of FIX.4.0"),
        ({"begin_string": "FIXT.1.1", "default_appl_ver_id": ""}, 'needs default_appl_ver_id "0".."9"'),
        ({"default_appl_ver_id": "9"}, "default_appl_ver_id belongs to FIXT.1.1"),
        ({"begin_string": "FIX.4.2", "timestamp_precision": TimestampPrecision.MICROS}, "needs FIX.4.4 or FIXT.1.1"),
        ({"begin_string": "FIX.4.3", "next_expected_msg_seq_num": True}, "FIX.4.3 does not have this field"),
        ({"begin_string": "FIX.4.1", "last_msg_seq_num_processed": True}, "FIX.4.1 does not have this field"),
        ({"begin_string": "FIX.4.0", "deliver_to_location_id": "X"}, "FIX.4.0 does not have OnBehalfOfLocationID"),
    ],
)
def test_settings_that_the_version_cannot_do_say_so(change: dict[str, object], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        acceptor_settings(**change)
    assert text in str(caught.value)


def test_application_versions_have_codes() -> None:
    assert [appl_ver_id(name) for name in ("FIX.4.4", "FIX.5.0", "FIX.5.0SP1", "FIX.5.0SP2", "9")] == list("67899")
    assert initiator_settings(begin_string="FIXT.1.1").appl_version == "FIX.5.0SP2"
    assert initiator_settings(begin_string="FIX.4.2").appl_version == "FIX.4.2"
    with pytest.raises(SettingsError, match=r"was 'FIX\.6'"):
        appl_ver_id("FIX.6")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"begin_string": "FIXT.1.1"}, None),
        ({"begin_string": "FIX.4.2"}, "begin_string FIX.4.2"),
        ({"timestamp_precision": TimestampPrecision.MICROS}, "timestamp_precision MICROS"),
        ({"sender_sub_id": "DESK"}, "routing constants"),
        ({"last_msg_seq_num_processed": True}, "last_msg_seq_num_processed"),
    ],
)
def test_settings_say_why_the_kernels_cannot_serve_them(change: dict[str, object], fault: str | None) -> None:
    faults = initiator_settings(**change).hot_faults
    assert len(faults) == (fault is not None) and all(text.startswith(fault or "") for text in faults)
