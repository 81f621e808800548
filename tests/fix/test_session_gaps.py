"""Gaps in both directions: how they are asked for, and what is answered when the peer asks."""

from pathlib import Path

import pytest

from fix.errors import SessionNotLoggedOnError
from fix.messages import Field, Message, build, join_fields, parse, utc_timestamp
from fix.session import (
    AppMessage,
    Disconnect,
    GapDetected,
    GapFilled,
    Garbled,
    NumbersSkipped,
    Refused,
    Resent,
    StoreDamaged,
)
from fix.store import MemoryStore
from fix.testing import SECOND_NS, START_NS, MachinePair, ScriptedPeer, Side, acceptor_settings, initiator_settings


@pytest.fixture
def venue(tmp_path: Path) -> Side:
    return Side(tmp_path / "venue", acceptor_settings())


@pytest.fixture
def peer(venue: Side) -> ScriptedPeer:
    """A client of ``venue``, logged on with MsgSeqNum 1."""
    scripted = ScriptedPeer(venue)
    scripted.logon()
    return scripted


@pytest.fixture
def client(tmp_path: Path) -> Side:
    return Side(tmp_path / "client", initiator_settings())


def summary(messages: list[Message]) -> list[tuple[str, int]]:
    return [(message.msg_type, message.seq or 0) for message in messages]


def asked(messages: list[Message]) -> list[tuple[str, str]]:
    return [(m.text(7), m.text(16)) for m in messages if m.msg_type == "2"]


def logged_on(tmp_path: Path, **changes: object) -> tuple[Side, ScriptedPeer]:
    side = Side(tmp_path / "side", acceptor_settings(**changes))
    scripted = ScriptedPeer(side)
    scripted.logon()
    return side, scripted


# ------------------------------------------------------------------ resend requests


def test_reports_are_resent_and_everything_else_is_filled(venue: Side, peer: ScriptedPeer) -> None:
    machine = venue.machine
    original = utc_timestamp(START_NS)
    machine.send("8", [(37, "1"), (58, "first")], START_NS)  # 2
    machine.send("8", [(37, "2")], START_NS)  # 3
    peer.say("1", 2, [(112, "X")])  # heartbeat 4
    machine.send("D", [(11, "stale")], START_NS)  # 5
    machine.send("9", [(37, "3")], START_NS)  # 6
    venue.output()
    peer.now_ns += 5 * SECOND_NS
    answers = peer.say("2", 3, [(7, 1), (16, 0)])
    assert [(m.msg_type, m.seq, m.text(36)) for m in answers] == [
        ("4", 1, "2"), ("8", 2, ""), ("8", 3, ""), ("4", 4, "6"), ("9", 6, ""),
    ]  # fmt: skip
    assert all(m.flag(43) for m in answers)
    first = answers[1]
    assert (first.get(122), first.get(52), first.text(58)) == (original, utc_timestamp(peer.now_ns), "first")
    assert [tag for tag, _ in first.fields] == [8, 9, 35, 34, 43, 49, 52, 56, 122, 37, 58, 10]
    assert venue.of(Resent) == [Resent(1, 6, 3, 3)]
    assert machine.next_out == 7, "a resend uses no number"


@pytest.mark.parametrize(
    ("begin", "end", "expected"), [(2, 2, [2]), (2, 3, [2, 3]), (3, 0, [3, 4]), (3, 999999, [3, 4])]
)
def test_resend_range(venue: Side, peer: ScriptedPeer, begin: int, end: int, expected: list[int]) -> None:
    for _ in range(3):
        venue.machine.send("8", [(37, "1")], START_NS)
    venue.output()
    assert [m.seq for m in peer.say("2", 2, [(7, begin), (16, end)])] == expected


def test_resend_of_numbers_we_never_used_is_rejected(venue: Side, peer: ScriptedPeer) -> None:
    (reply,) = peer.say("2", 2, [(7, 9), (16, 0)])
    assert (reply.msg_type, reply.text(371)) == ("3", "7")


def test_resend_request_is_answered_even_beyond_a_gap(venue: Side, peer: ScriptedPeer) -> None:
    venue.machine.send("8", [(37, "1")], START_NS)
    venue.output()
    answers = peer.say("2", 5, [(7, 2), (16, 0)])
    assert summary(answers) == [("8", 2), ("2", 3)]
    peer.poss_dup("4", 2, [(36, 5), (123, "Y")])
    assert venue.machine.next_in == 6 and venue.machine.steady


def test_resend_after_the_clock_was_set_back_is_of_now(venue: Side, peer: ScriptedPeer) -> None:
    venue.machine.send("8", [(37, "1")], START_NS)
    venue.output()
    peer.now_ns -= 300 * SECOND_NS
    (answer,) = peer.say("2", 2, [(7, 2), (16, 0)])
    assert answer.get(52) == answer.get(122) == utc_timestamp(peer.now_ns)


def test_long_resend_goes_out_in_parts_and_new_messages_keep_their_numbers(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(resend_chunk=10))
    peer = ScriptedPeer(venue)
    peer.logon()
    for k in range(25):
        venue.machine.send("8", [(37, k)], START_NS)
    venue.output()
    assert [m.seq for m in peer.say("2", 2, [(7, 1), (16, 0)])] == [1, *range(2, 11)]
    assert venue.machine.resending and not venue.machine.steady
    venue.machine.send("8", [(37, "new")], START_NS)
    seen = [m.seq for m in peer.wait(0.1)] + [m.seq for m in peer.wait(0.1)]
    assert seen == [27, *range(11, 27)]
    assert venue.machine.steady


def test_messages_stored_while_the_peer_was_away_come_by_resend(venue: Side, peer: ScriptedPeer) -> None:
    venue.note(venue.machine.disconnected(START_NS))
    assert venue.machine.send("8", [(37, "while away")], START_NS) == 2
    assert venue.machine.take_output() == b""
    replies = peer.logon(2)
    assert summary(replies) == [("A", 3)]
    answers = peer.say("2", 3, [(7, 2), (16, 0)])
    assert [(m.msg_type, m.seq, m.flag(43)) for m in answers] == [("8", 2, True), ("4", 3, True)]


def test_initiator_refuses_to_queue_while_down(client: Side) -> None:
    with pytest.raises(SessionNotLoggedOnError, match="it is disconnected"):
        client.machine.send("D", [(11, "A")], START_NS)
    client.machine.connected(START_NS)
    with pytest.raises(SessionNotLoggedOnError, match="it is logon sent"):
        client.machine.send("D", [(11, "A")], START_NS)
    assert client.store.next_out == 2


# ----------------------------------------------------------------- how a gap is asked for


def test_closed_interval_names_the_last_missing_number(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, closed_resend_interval=True)
    assert asked(peer.say("0", 6)) == [("2", "5")]
    for seq in (2, 3, 4, 5):
        peer.poss_dup("0", seq)
    assert venue.machine.next_in == 7 and venue.machine.steady


def test_gap_is_asked_for_in_chunks(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, resend_chunk_size=3)
    assert asked(peer.say("0", 10)) == [("2", "4")]
    assert asked(peer.poss_dup("0", 2) + peer.poss_dup("0", 3)) == []
    assert asked(peer.poss_dup("0", 4)) == [("5", "7")]
    assert asked(peer.poss_dup("4", 5, [(36, 9), (123, "Y")])) == [("9", "9")], "a fill may go beyond its chunk"
    assert asked(peer.poss_dup("0", 9)) == []
    assert venue.machine.next_in == 11 and venue.of(GapFilled) == [GapFilled(11)]


def test_chunk_that_shows_no_progress_is_asked_for_again(tmp_path: Path) -> None:
    _, peer = logged_on(tmp_path, resend_chunk_size=3)
    peer.say("0", 10)
    peer.poss_dup("0", 2)
    assert asked(peer.wait(11)) == [("3", "5")]


def test_second_gap_behind_a_closed_one_is_asked_for(tmp_path: Path) -> None:
    _, peer = logged_on(tmp_path, closed_resend_interval=True)
    peer.say("D", 4, [(11, "A")])
    peer.say("D", 8, [(11, "B")])
    assert asked(peer.poss_dup("4", 2, [(36, 4), (123, "Y")])) == [("5", "7")]


def test_redundant_requests_are_sent_only_when_wanted(tmp_path: Path) -> None:
    for wanted, expected in ((False, []), (True, [("2", "0")])):
        _, peer = logged_on(tmp_path / str(wanted), send_redundant_resend_requests=wanted)
        assert asked(peer.say("0", 5)) == [("2", "0")]
        assert asked(peer.say("0", 8)) == expected


@pytest.mark.parametrize("changes", [{}, {"resend_chunk_size": 7}, {"closed_resend_interval": True}])
def test_long_gap_is_recovered_in_order(changes: dict[str, object], tmp_path: Path) -> None:
    pair = MachinePair(tmp_path, client=changes, venue={"resend_chunk": 5})
    pair.connect()
    for k in range(100):
        pair.venue.machine.send("8" if k % 3 else "i", [(17, k)], pair.now_ns)  # i is stale: gap-filled
    pair.venue.machine.take_output()
    pair.venue.machine.send("8", [(17, 100)], pair.now_ns)
    pair.pump()
    got = [int(parse(event.raw).text(17)) for event in pair.client.of(AppMessage)]
    assert got == [k for k in range(101) if k % 3 or k == 100]
    assert pair.client.machine.steady and pair.venue.machine.steady


def test_faulty_message_beyond_a_gap_does_not_open_it(venue: Side, peer: ScriptedPeer) -> None:
    """Nothing of a faulty message is acted upon, its number included; the next sound one tells of the gap."""
    assert summary(peer.say("1", 7)) == [("3", 2)]
    assert not venue.of(GapDetected) and venue.machine.next_in == 2
    assert asked(peer.say("0", 8)) == [("2", "0")]


def test_faulty_message_below_the_expected_number_is_only_refused(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("0", 2)
    assert summary(peer.say("1", 1)) == [("3", 2)]
    assert venue.machine.next_in == 3 and venue.machine.logged_on


@pytest.mark.parametrize("seq", ["", "x", "-1", "1.0", "+2", str(10**19)])
def test_message_whose_number_cannot_be_read_is_no_message(venue: Side, peer: ScriptedPeer, seq: str) -> None:
    stamp = utc_timestamp(START_NS)
    fields: list[Field] = [(35, "1"), (34, seq), (49, "AXIOM"), (52, stamp), (56, "OPT"), (112, "A")]
    assert peer.deliver(join_fields("FIX.4.4", fields)) == []
    assert [event.reason for event in venue.of(Garbled)] == ["MsgSeqNum(34) is no number"]
    assert venue.machine.next_in == 2 and venue.machine.steady


def test_reset_that_jumps_ahead_says_what_will_never_come(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("4", 2, [(36, 9)])
    assert venue.of(NumbersSkipped) == [NumbersSkipped(2, 8)]
    peer.say("4", 9, [(36, 12), (123, "Y")])
    assert len(venue.of(NumbersSkipped)) == 1, "a gap fill says that nothing was there"
    peer.say("4", 12, [(36, 12)])
    assert len(venue.of(NumbersSkipped)) == 1


# ------------------------------------------------------------- what we answer when asked


def test_two_requests_at_once_are_both_answered(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, resend_chunk=3)
    for k in range(12):
        venue.machine.send("8", [(37, k)], START_NS)
    venue.output()
    said = peer.say("2", 2, [(7, 2), (16, 6)]) + peer.say("2", 3, [(7, 7), (16, 0)])
    while venue.machine.resending:
        said += peer.wait(0.1)
    assert [m.seq for m in said] == list(range(2, 14))
    assert venue.of(Resent) == [Resent(2, 6, 5, 0), Resent(7, 13, 7, 0)]


def test_request_for_what_is_being_resent_is_not_answered_twice(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, resend_chunk=3)
    for k in range(9):
        venue.machine.send("8", [(37, k)], START_NS)
    venue.output()
    said = peer.say("2", 2, [(7, 2), (16, 0)]) + peer.say("2", 3, [(7, 6), (16, 10)])
    while venue.machine.resending:
        said += peer.wait(0.1)
    assert [m.seq for m in said] == list(range(2, 11))


def test_a_flood_of_requests_keeps_the_work_bounded(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, resend_chunk=1)
    for k in range(200):
        venue.machine.send("8", [(37, k)], START_NS)
    venue.output()
    said: list[Message] = []
    for k in range(150, 0, -1):
        said += peer.say("2", 152 - k, [(7, k), (16, k + 40)])
    while venue.machine.resending:
        said += peer.wait(0.1)
    assert {m.seq for m in said} >= set(range(2, 191)), "every number that was asked for is answered"
    assert len(said) < 150 * 40, "but not as often as it was asked for"


def test_request_of_a_side_that_is_itself_asked_for(tmp_path: Path) -> None:
    """Both miss messages and both ask, each beyond the other's gap: neither waits for the other."""
    pair = MachinePair(tmp_path)
    pair.connect()
    for side in (pair.client, pair.venue):
        side.machine.send("8", [(17, "lost")], pair.now_ns)
        side.machine.take_output()
        side.machine.send("8", [(17, "seen")], pair.now_ns)
    pair.pump()
    for side in (pair.client, pair.venue):
        assert [parse(event.raw).text(17) for event in side.of(AppMessage)] == ["lost", "seen"]
        assert side.machine.steady


def damage(directory: Path, text: bytes) -> None:
    """Flip a bit of the stored message that contains ``text``."""
    path = directory / "messages.dat"
    data = bytearray(path.read_bytes())
    data[data.index(text)] ^= 1
    path.write_bytes(data)


def test_damaged_message_is_filled_named_and_the_rest_resent(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    for name in ("one", "two", "three"):
        venue.machine.send("8", [(37, name)], START_NS)
    venue.output()
    damage(venue.directory, b"two")
    for seq in (2, 3):  # each time that it is asked for
        said = peer.say("2", seq, [(7, 1), (16, 0)])
        assert [(m.msg_type, m.seq, m.text(36)) for m in said] == [
            ("4", 1, "2"), ("8", 2, ""), ("4", 3, "4"), ("8", 4, ""),
        ]  # fmt: skip
    found = venue.of(StoreDamaged)
    assert [(event.begin, event.end) for event in found] == [(3, 3), (3, 3)]
    assert "messages.dat" in found[0].text
    assert venue.machine.steady


def test_damage_found_when_the_store_was_opened_is_told_once(tmp_path: Path) -> None:
    venue, _ = logged_on(tmp_path)
    for name in ("one", "two", "three"):
        venue.machine.send("8", [(37, name)], START_NS)
    damage(venue.directory, b"two")
    (venue.directory / "messages.idx").unlink()  # the index is built anew, and everything read
    venue.crash()
    for seq in (2, 3):
        ScriptedPeer(venue).logon(seq)
        venue.note(venue.machine.disconnected(START_NS))
    assert [(event.begin, event.end) for event in venue.of(StoreDamaged)] == [(3, 3)]


def test_machine_runs_on_a_store_in_memory(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings())
    venue.store.close()
    venue.store = MemoryStore()  # type: ignore[assignment]
    venue.machine = type(venue.machine)(venue.settings, venue.store)
    peer = ScriptedPeer(venue)
    peer.logon()
    venue.machine.send("8", [(37, "1")], START_NS)
    venue.output()
    assert summary(peer.say("2", 2, [(7, 1), (16, 0)])) == [("4", 1), ("8", 2)]


def test_our_answers_do_not_overtake_the_applications(tmp_path: Path) -> None:
    """Held: an order, a test request, an order. The application's answer to the first goes before the Heartbeat."""
    venue, peer = logged_on(tmp_path)
    held: list[tuple[int, str, Field]] = [(3, "D", (11, "B")), (4, "1", (112, "T")), (5, "D", (11, "C"))]
    for seq, msg_type, field in held:
        peer.say(msg_type, seq, [field])
    venue.output()
    raw = build("FIX.4.4", "D", 2, "AXIOM", "OPT", utc_timestamp(START_NS), [(11, "A")])
    events = venue.machine.receive(raw, START_NS)
    while events:
        for event in events:
            if isinstance(event, AppMessage):
                venue.machine.send("8", [(37, event.seq)], START_NS)
        venue.note(events)
        events = venue.machine.drain(START_NS) if venue.machine.draining else []
    assert [(m.msg_type, m.text(37)) for m in venue.output()] == [("8", "2"), ("8", "3"), ("0", ""), ("8", "5")]
    assert venue.machine.steady


def test_a_driver_that_does_not_drain_gets_the_rest_by_ticks(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    peer.say("1", 3, [(112, "T")])
    peer.say("D", 4, [(11, "C")])
    assert summary(peer.poss_dup("D", 2, [(11, "A")])) == []
    assert venue.machine.draining and venue.machine.next_due_ns == 0
    assert summary(peer.wait(0.1)) == [("0", 3)]
    assert [event.seq for event in venue.of(AppMessage)] == [2, 4] and venue.machine.steady


def test_what_is_held_behind_a_long_gap_comes_in_portions_and_in_order(tmp_path: Path) -> None:
    """One turn of a loop must not carry a hundred thousand messages; nothing is lost or twice between portions."""
    venue, peer = logged_on(tmp_path)
    for seq in range(3, 103):
        peer.say("D", seq, [(11, seq)])
    raw = build("FIX.4.4", "D", 2, "AXIOM", "OPT", utc_timestamp(START_NS), [(11, "A")])
    portions = [[event.seq for event in venue.machine.receive(raw, START_NS) if isinstance(event, AppMessage)]]
    late = build("FIX.4.4", "D", 103, "AXIOM", "OPT", utc_timestamp(START_NS), [(11, "late")])
    portions.append([event.seq for event in venue.machine.receive(late, START_NS) if isinstance(event, AppMessage)])
    assert venue.machine.draining and not venue.machine.steady
    while venue.machine.draining:
        portions.append([event.seq for event in venue.machine.drain(START_NS) if isinstance(event, AppMessage)])
    assert [seq for portion in portions for seq in portion] == list(range(2, 104))
    assert max(map(len, portions)) <= 11 and venue.machine.steady


def test_header_groups_are_kept_and_resent(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    hops: list[Field] = [(627, 2), (628, "A"), (630, 9), (628, "B"), (629, "20151224-14:30:00")]
    venue.machine.send("8", [(37, "1")], START_NS, header=[*hops, (115, "X")])
    (first,) = venue.output()
    (again,) = peer.say("2", 2, [(7, 2), (16, 0)])
    for message in (first, again):
        shown = [(tag, value.decode()) for tag, value in message.fields if tag in (115, 627, 628, 629, 630)]
        assert shown == [(115, "X"), *[(tag, str(value)) for tag, value in hops]]


def test_peer_that_misses_our_request_itself_is_asked_again_at_once(tmp_path: Path) -> None:
    """Its own request begins at the number of ours: that one never reached it."""
    _, peer = logged_on(tmp_path)
    (request,) = peer.say("0", 5)
    said = peer.say("2", 6, [(7, request.seq or 0), (16, 0)])
    assert [(m.msg_type, m.seq) for m in said] == [("4", 2), ("2", 3)]
    assert asked(peer.say("2", 7, [(7, 1), (16, 0)])) == [], "a request that begins before it has seen ours"


# ------------------------------------------------------------- clocks that part, and storms

LATE_NS = 300 * SECOND_NS


def test_message_with_a_wrong_time_is_refused_once_and_comes_again(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    assert summary(peer.say("8", 2, [(17, "A")], sending_ns=START_NS - LATE_NS)) == [("3", 2), ("5", 3)]
    for seq in range(3, 20):
        assert peer.say("8", seq, [(17, "B")], sending_ns=START_NS - LATE_NS) == [], "logging out, all is said"
    assert venue.machine.next_in == 2 and not venue.of(AppMessage)
    peer.say("5", 20, sending_ns=START_NS - LATE_NS)
    venue.note(venue.machine.disconnected(START_NS))
    assert asked(peer.logon(21)) == [("2", "0")]


def test_logout_with_a_wrong_time_is_still_the_one_that_is_waited_for(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    venue.note(venue.machine.begin_logout("", START_NS))
    peer.say("5", 2, sending_ns=START_NS - LATE_NS)
    assert len(venue.of(Disconnect)) == 1
    other, stranger = logged_on(tmp_path / "other")
    other.note(other.machine.begin_logout("", START_NS))
    stranger.say("5", 2, sender="WRONG")
    assert not other.of(Disconnect)


def test_reject_with_a_wrong_time_is_not_answered_by_a_reject(tmp_path: Path) -> None:
    _, peer = logged_on(tmp_path)
    (logout,) = peer.say("3", 2, [(45, 1)], sending_ns=START_NS - LATE_NS)
    assert (logout.msg_type, logout.text(58)) == ("5", "SendingTime accuracy problem")


def test_rejects_of_rejects_come_to_an_end(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    said = [m.msg_type for seq in range(2, 12) for m in peer.say("3", seq)]  # RefSeqNum(45) is missing
    assert said == ["3"] * 10 and len(venue.of(Refused)) == 10
    assert [m.msg_type for m in peer.say("3", 12)] == ["3", "5"]
    assert venue.of(Disconnect) == [Disconnect("each side refuses the other's Rejects")]


def test_only_rejects_in_a_row_are_counted(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    for seq in range(2, 42, 2):
        peer.say("3", seq)
        peer.say("0", seq + 1)
    assert venue.machine.logged_on


def test_two_whose_clocks_part_end_in_a_few_words(tmp_path: Path) -> None:
    pair = MachinePair(tmp_path)
    pair.connect()
    for k in range(50):
        pair.client.machine.send("8", [(17, k)], pair.now_ns - LATE_NS)
        pair.venue.machine.send("8", [(17, k)], pair.now_ns)
    before = len(pair.client.sent) + len(pair.venue.sent) + 100
    for _ in range(20):  # the client's clock is 5 minutes behind
        for message in pair.client.output():
            pair.venue.note(pair.venue.machine.receive(message.raw, pair.now_ns))
        for message in pair.venue.output():
            pair.client.note(pair.client.machine.receive(message.raw, pair.now_ns - LATE_NS))
    assert pair.client.of(Disconnect) and pair.venue.of(Disconnect)
    assert len(pair.client.sent) + len(pair.venue.sent) - before <= 6
    assert not pair.client.of(AppMessage) and not pair.venue.of(AppMessage)
    assert (pair.client.machine.next_in, pair.venue.machine.next_in) == (2, 2), "nothing of it counts as received"
