"""The pieces of the quickfix adapter that need no session: spool, tracker, configuration, file store."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fix.dictionary import VERSIONS, Validation, Validator, load, overlay
from fix.errors import SettingsError, StoreCorruptError, StoreLockedError
from fix.foreign import QuickfixSession, QuickfixStore, WorkerPolicy, filestore, spool
from fix.foreign.configuration import check_settings, default_section, dictionary_xml, session_section, special_tags
from fix.foreign.outbox import Outbox
from fix.foreign.records import MAX_RECORD_BYTES, encode
from fix.foreign.spool import SpoolReader, SpoolWriter, place
from fix.foreign.tracker import Tracker
from fix.messages import build, parse
from fix.session import Role
from fix.testing import acceptor_settings, initiator_settings
from tests.interop.rig import Recorder

# ----------------------------------------------------------------------- spool


def texts(reader: SpoolReader, taken: int = 0, until: int | None = None) -> list[bytes]:
    return [entry.raw for entry in reader.entries(taken, until)]


def test_spool_gives_back_what_was_kept_in_order_from_any_place(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool.dat")
    ends = []
    for seq in range(1, 6):
        writer.append(seq, b"message %d" % seq)
        ends.append(writer.end)
    reader = SpoolReader(tmp_path / "spool.dat")
    assert texts(reader) == [b"message %d" % seq for seq in range(1, 6)]
    assert texts(reader, ends[1], ends[3]) == [b"message 3", b"message 4"]
    assert texts(reader, ends[4]) == []
    assert ends == sorted(ends)


@pytest.mark.parametrize("cut", [1, 5, 23, 24, 30])
def test_torn_tail_of_the_spool_is_cut_and_said(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "spool.dat"
    writer = SpoolWriter(path)
    writer.append(1, b"whole")
    size = path.stat().st_size
    writer.append(2, b"torn apart")
    os.truncate(path, size + cut)
    assert texts(SpoolReader(path)) == [b"whole"]
    again = SpoolWriter(path)
    assert again.torn_bytes == cut and again.last is not None and again.last.seq == 1
    again.append(2, b"once more")
    assert texts(SpoolReader(path)) == [b"whole", b"once more"]


@pytest.mark.parametrize("at", [0, 4, 8, 12, 16, 24, 26], ids=lambda at: f"byte-{at}")
def test_flipped_bit_in_the_spool_is_named_never_skipped(tmp_path: Path, at: int) -> None:
    path = tmp_path / "spool.dat"
    writer = SpoolWriter(path)
    for seq in (1, 2, 3):
        writer.append(seq, b"message %d" % seq)
    data = bytearray(path.read_bytes())
    second = 16 + 24 + 9
    data[second + at] ^= 0x10
    path.write_bytes(data)
    entries = SpoolReader(path).entries(0)
    assert next(entries).seq == 1
    with pytest.raises(StoreCorruptError, match=f"offset {second} "):
        next(entries)
    with pytest.raises(StoreCorruptError):
        SpoolWriter(path)  # the worker must not cut what comes after


def test_flipped_bit_in_the_last_message_is_no_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "spool.dat"
    SpoolWriter(path).append(1, b"counted by quickfix")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match="MsgSeqNum 1"):
        list(SpoolReader(path).entries(0))


def test_compacted_spool_carries_the_last_message_and_delivers_it_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "COMPACT_BYTES", 100)
    path = tmp_path / "spool.dat"
    writer = SpoolWriter(path)
    reader = SpoolReader(path)
    for seq in range(1, 11):
        writer.append(seq, b"message %d" % seq)
    old = writer.end
    assert not writer.compact(place(1, 40)), "something is not taken"
    assert writer.compact(old) and writer.generation == 2
    writer.append(11, b"message 11")
    entries = list(reader.entries(old, writer.end))
    assert [(entry.seq, entry.carried) for entry in entries] == [(10, True), (11, False)]
    assert entries[-1].end == writer.end > old
    again = SpoolWriter(path)
    assert again.last is not None and again.last.seq == 11 and again.generation == 2


def test_store_has_one_owner_and_keeps_its_words(tmp_path: Path) -> None:
    store = QuickfixStore(tmp_path)
    store.set_taken(77)
    store.note_numbers(5, 6)
    store.note_app_ref(9)
    store.note_app_ref(3)
    with pytest.raises(StoreLockedError, match=str(os.getpid())):
        QuickfixStore(tmp_path)
    created = store.created_ns
    store.close()
    store.close()
    store = QuickfixStore(tmp_path)
    assert (store.taken, store.next_in, store.next_out, store.last_app_ref) == (77, 5, 6, 9)
    assert store.created_ns == created
    store.sync()
    store.close()


# --------------------------------------------------------------------- tracker


class Told:
    """A tracker, a clock that the test moves, and what was said."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.said: list[tuple[Any, ...]] = []
        self.tracker = Tracker(self.say, clock=lambda: self.now, **options)

    def say(self, kind: str, numbers: tuple[int, ...], text: str, raw: bytes) -> None:
        self.said.append((kind, *numbers, *([text] if text else [])))

    def dial(self) -> None:
        self.tracker.event("Connecting to 127.0.0.1 on port 1 (Source :0) ReconnectInterval=1")
        self.tracker.event("Initiated logon request")

    def logon(self) -> "Told":
        self.dial()
        self.tracker.logon(2, 2, 30)
        self.said.clear()
        return self


def message(msg_type: str, seq: int, *body: tuple[int, Any]) -> bytes:
    return build("FIX.4.4", msg_type, seq, "OPT", "AXIOM", b"20151224-14:30:00.000", body)


def test_gap_is_said_once_and_filled_when_the_last_of_it_has_come() -> None:
    told = Told().logon()
    told.tracker.event("MsgSeqNum too high, expecting 2 but received 6")
    told.tracker.event("MsgSeqNum too high, expecting 2 but received 7")
    told.tracker.app_in(2)
    told.tracker.admin_in("4", message("4", 3, (36, 5), (123, "Y")))
    assert told.said == [("gap", 2, 5)]
    told.tracker.app_in(5)
    assert told.said == [("gap", 2, 5), ("filled", 6)]


def test_gap_fill_that_runs_over_the_end_fills_it() -> None:
    told = Told().logon()
    told.tracker.event("MsgSeqNum too high, expecting 2 but received 6")
    told.tracker.admin_in("4", message("4", 2, (36, 9), (123, "Y")))
    assert told.said == [("gap", 2, 5), ("filled", 9)]


def test_reset_to_a_higher_number_is_said_as_numbers_skipped() -> None:
    told = Told().logon()
    told.tracker.admin_in("4", message("4", 2, (36, 9)))
    assert told.said == [("skipped", 2, 8)]


@pytest.mark.parametrize("end", [0, 999999, 6])
def test_resend_is_counted_and_said_when_something_else_happens(end: int) -> None:
    told = Told().logon()
    told.tracker.next_out = 7
    told.tracker.event(f"Received ResendRequest FROM: 3 TO: {end}")
    told.tracker.app_again(sent=True)
    told.tracker.app_again(sent=False)
    told.tracker.admin_out("4", message("4", 3, (36, 4), (123, "Y")))
    assert told.said == []
    told.tracker.app_in(2)
    assert told.said[0] == ("resent", 3, 6, 1, 3)


def test_resend_is_said_after_a_quiet_moment_too() -> None:
    told = Told().logon()
    told.tracker.next_out = 4
    told.tracker.event("Received ResendRequest FROM: 3 TO: 0")
    told.tracker.tick()
    assert told.said == []
    told.now = 1.0
    told.tracker.tick()
    assert told.said == [("resent", 3, 3, 0, 1)]


@pytest.mark.parametrize(
    ("acceptor", "first", "by_peer"), [(False, "out", 0), (True, "in", 1)], ids=["initiator", "acceptor"]
)
def test_who_asked_for_a_reset_is_who_opened_the_connection(acceptor: bool, first: str, by_peer: int) -> None:
    told = Told(acceptor=acceptor)
    logon = message("A", 1, (141, "Y"))
    told.tracker.admin_out("A", logon)
    told.tracker.admin_in("A", logon)
    told.tracker.logon(2, 2, 30)
    assert told.said[0] == ("reset", by_peer)


@pytest.mark.parametrize(
    ("lines", "peer_text", "our_text", "expected"),
    [
        (["Socket Error: reset", "Disconnecting"], None, None, (0, "Socket Error: reset")),
        ([], "end of day", None, (1, "logged out by the peer: end of day")),
        ([], None, "bye", (0, "bye")),
        (["Timed out waiting for heartbeat", "Disconnecting"], None, None, (0, "Timed out waiting for heartbeat")),
        ([], None, None, (0, "connection lost")),
    ],
)  # fmt: skip
def test_disconnect_always_has_a_reason(
    lines: list[str], peer_text: str | None, our_text: str | None, expected: tuple[int, str]
) -> None:
    told = Told().logon()
    if our_text is not None:
        told.tracker.admin_out("5", message("5", 2, (58, our_text)))
    if peer_text is not None:
        told.tracker.admin_in("5", message("5", 2, (58, peer_text)))
    for line in lines:
        told.tracker.event(line)
    told.tracker.logout(2, 2)
    assert told.said[-1] == ("down", *expected)
    assert not told.tracker.connected


def test_logon_into_a_lost_connection_is_not_taken_for_an_attempt() -> None:
    told = Told().logon()
    told.tracker.event("Socket Error: Connection reset by peer.")
    told.tracker.logout(2, 2)
    told.tracker.event("Initiated logon request")
    told.tracker.logout(2, 3)
    assert [said[0] for said in told.said] == ["down", "numbers"]


def test_number_too_low_is_told_to_who_may_ask_for_a_reset() -> None:
    told = Told()
    told.dial()
    told.tracker.event("MsgSeqNum too low, expecting 5 but received 1")
    assert told.tracker.logout(5, 3) is True
    told.dial()
    assert told.tracker.logout(5, 3) is False


# ---------------------------------------------------------------------- outbox


def test_outbox_gives_a_fresh_worker_what_the_dead_one_may_have_stored() -> None:
    outbox = Outbox(5)
    outbox.add([b"a", b"b"], 7, told=True)
    outbox.add([b"c"], 9, told=False)
    assert len(outbox) == 3 and outbox.bytes == 3
    assert outbox.sent(1, 6) == 0, "7 belongs to the last of its batch"
    first, second = outbox.again(0, 20)
    assert (first.messages, first.ticket, first.look_from) == ((b"b",), 2, 6)
    assert (second.messages, second.ticket, second.look_from) == ((b"c",), 3, 0)
    assert [record.look_from for record in outbox.again(0, 20)] == [6], "now a worker has them all"
    outbox.refused(2)
    assert outbox.sent(3, 7) == 9 and not outbox and outbox.bytes == 0


def test_outbox_cuts_records_that_would_not_fit() -> None:
    outbox = Outbox(1)
    items = outbox.add([b"x" * 1000] * 600, 0, told=True)
    records = list(outbox.records(items, 3))
    assert [message for record in records for message in record.messages] == [b"x" * 1000] * 600
    assert [record.ticket for record in records] == [1, 257, 513]
    assert all(len(encode(record)) < MAX_RECORD_BYTES for record in records)


# --------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"last_msg_seq_num_processed": True}, "last_msg_seq_num_processed"),
        ({"resend_chunk_size": 100}, "resend_chunk_size"),
        ({"closed_resend_interval": True}, "closed_resend_interval"),
        ({"logout_timeout_s": 0.2}, "logout_timeout_s"),
        ({"raw_data": b"\xff\x00"}, "raw_data"),
        ({"sender_comp_id": "A#B"}, "CompID"),
    ],
)
def test_what_quickfix_cannot_do_is_refused_by_name(tmp_path: Path, change: dict[str, Any], name: str) -> None:
    settings = initiator_settings(**change)
    store = QuickfixStore(tmp_path)
    with pytest.raises(SettingsError, match=name):
        QuickfixSession(settings, store, Recorder())
    store.close()


def test_validation_that_quickfix_has_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="strict"):
        check_settings(initiator_settings(), Validation(strict=True))


def test_settings_become_quickfix_settings() -> None:
    settings = initiator_settings(reset_on_logout=True, next_expected_msg_seq_num=True, check_latency_s=30.0)
    text = session_section(settings, Path("/store"), [Path("/d.xml")], Validation(validate_fields_have_values=False))
    lines = set(text.splitlines())
    assert {
        "ResetOnLogon=N", "ResetOnLogout=Y", "SendNextExpectedMsgSeqNum=Y", "MaxLatency=30", "HeartBtInt=30",
        "ValidateFieldsHaveValues=N", "ValidateFieldsOutOfOrder=Y", "DataDictionary=/d.xml", "FileStorePath=/store",
    } <= lines  # fmt: skip
    hosts = default_section(Role.INITIATOR, [("one", 1), ("two", 2)], 0.1).splitlines()
    assert {"SocketConnectHost=one", "SocketConnectHost1=two", "SocketConnectPort1=2", "ReconnectInterval=1"} <= set(
        hosts
    )
    accept = default_section(Role.ACCEPTOR, [("127.0.0.1", 9)], 1.0).splitlines()
    assert "SocketAcceptPort=9" in accept and not any("HeartBtInt" in line for line in accept)


def test_secrets_do_not_stand_in_the_configuration() -> None:
    settings = initiator_settings(username="me", password="s3cr3t")
    assert "s3cr3t" not in session_section(settings, Path("/s"), [Path("/d")], Validation())
    assert "s3cr3t" not in session_section(acceptor_settings(password="s3cr3t"), Path("/s"), [Path("/d")], Validation())


def test_worker_policy_checks_itself() -> None:
    with pytest.raises(SettingsError, match="most_failures >= 1"):
        WorkerPolicy(most_failures=0)


@pytest.mark.parametrize("version", [v for v in VERSIONS if v != "FIX.5.0SP2"])
def test_our_dictionaries_say_the_same_as_quickfixs_own(tmp_path: Path, version: str) -> None:
    """FIX.5.0SP2 is compared in the dictionary's own tests: quickfix takes seconds to read it."""
    import quickfix

    shipped = Path(sys.prefix) / "share" / "quickfix" / f"{version.replace('.', '')}.xml"
    if not shipped.exists():
        pytest.skip(f"no {shipped.name} beside quickfix")
    book = load(version)
    path = tmp_path / "ours.xml"
    path.write_text(dictionary_xml(book))
    ours, theirs = quickfix.DataDictionary(str(path)), quickfix.DataDictionary(str(shipped))
    for tag in book.tags:
        assert ours.isField(tag) and theirs.isField(tag)
        assert ours.isHeaderField(tag) == theirs.isHeaderField(tag)
        for msg_type in book.msg_types:
            have = ours.isMsgField(msg_type, tag), ours.isRequiredField(msg_type, tag), ours.isGroup(msg_type, tag)
            want = (
                theirs.isMsgField(msg_type, tag),
                theirs.isRequiredField(msg_type, tag),
                theirs.isGroup(msg_type, tag),
            )
            assert have == want, (msg_type, tag)


def test_groups_and_raw_data_need_the_dictionary_and_an_overlay_adds_its_own() -> None:
    book = load("FIX.4.4")
    tags = special_tags(book)
    assert {146, 296, 295, 95, 354} <= tags and not {11, 55, 38} & tags
    table = {"fields": {"5100": {"name": "NoTicks", "type": "NUMINGROUP"}, "5101": {"name": "TickAt", "type": "PRICE"}},
             "messages": {"y": {"add": ["<NoTicks TickAt >"]}}}  # fmt: skip
    changed = overlay(book, table)
    assert 5100 in special_tags(changed)
    assert Validator(changed).transport is changed


# ------------------------------------------------------------------- file store


def quickfix_files(prefix: Path, *messages: bytes) -> None:
    offset, header = 0, b""
    for seq, raw in enumerate(messages, 1):
        header += b"%d,%d,%d " % (seq, offset, len(raw))
        offset += len(raw)
    prefix.with_name(prefix.name + ".header").write_bytes(header)
    prefix.with_name(prefix.name + ".body").write_bytes(b"".join(messages))


def test_stored_password_is_starred_out_and_the_message_stays_sound(tmp_path: Path) -> None:
    prefix = tmp_path / "FIX.4.4-A-B"
    logon = message("A", 1, (98, 0), (108, 30), (553, "me"), (554, "s3cr3t"), (95, 5), (96, "token"))
    order = message("D", 2, (11, "x"), (554, "not a logon"))
    quickfix_files(prefix, logon, order)
    assert filestore.mask_secrets(prefix, (554, 96)) == 1
    (_, _, first), (_, _, second) = filestore.stored(prefix)
    assert parse(first).text(554) == "******" and parse(first).text(96) == "*****" and parse(first).text(553) == "me"
    assert second == order and len(first) == len(logon)
    assert filestore.mask_secrets(prefix, (554, 96)) == 0, "once is enough"


def test_message_whose_number_was_not_used_up_does_not_stand(tmp_path: Path) -> None:
    """Killed between writing a message and counting it: the next Logon goes out under its number."""
    prefix = tmp_path / "FIX.4.4-A-B"
    first, lost, logon, last = message("B", 1), message("B", 2, (11, "x")), message("A", 2), message("B", 3)
    quickfix_files(prefix, first, lost, last)
    assert [raw for _, _, raw in filestore.standing(prefix, 1, 3)] == [first, lost]
    assert [raw for _, _, raw in filestore.standing(prefix, 1, 2)] == [first]
    header, body = (prefix.with_name(f"{prefix.name}.{end}") for end in ("header", "body"))
    header.write_bytes(header.read_bytes() + b"2,%d,%d " % (len(body.read_bytes()), len(logon)))
    body.write_bytes(body.read_bytes() + logon)
    assert [raw for _, _, raw in filestore.standing(prefix)] == [first, logon, last]
    assert [raw for _, _, raw in filestore.stored(prefix)] == [first, lost, last, logon], "all are there to be masked"


def test_essence_is_what_a_message_says_whenever_it_was_sent() -> None:
    one = build("FIX.4.4", "8", 5, "A", "B", b"20151224-14:30:00.000", [(11, "x"), (39, "0")])
    two = build("FIX.4.4", "8", 9, "A", "B", b"20151224-15:00:00.000", [(39, "0"), (11, "x")], [(43, "Y"), (122, "t")])
    other = build("FIX.4.4", "8", 5, "A", "B", b"20151224-14:30:00.000", [(11, "x"), (39, "0"), (39, "0")])
    assert filestore.essence(one) == filestore.essence(two) != filestore.essence(other)
