"""The session machine against a peer that is played by hand: one rule a test."""

from pathlib import Path

import pytest

from fix.messages import Message, build, utc_timestamp
from fix.session import (
    AppMessage,
    Disconnect,
    GapDetected,
    GapFilled,
    Garbled,
    LoggedOn,
    LoggedOut,
    PeerReject,
    Refused,
    SequencesReset,
    State,
)
from fix.testing import SECOND_NS, START_NS, ScriptedPeer, Side, acceptor_settings, initiator_settings


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
    return Side(tmp_path / "client", initiator_settings(recover_by_reset=True))


def summary(messages: list[Message]) -> list[tuple[str, int]]:
    return [(message.msg_type, message.seq or 0) for message in messages]


# ------------------------------------------------------------------------ logon


def test_logon_is_answered_with_the_peers_heartbeat_interval(venue: Side) -> None:
    (reply,) = ScriptedPeer(venue).logon(heartbeat=17)
    assert (reply.msg_type, reply.seq, reply.text(98), reply.text(108)) == ("A", 1, "0", "17")
    assert venue.machine.state is State.LOGGED_ON and venue.machine.steady
    assert venue.of(LoggedOn) == [LoggedOn(2, 2, 17)]
    assert venue.store.next_in == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sender": "WRONG"}, "CompID"),
        ({"target": "WRONG"}, "CompID"),
        ({"begin_string": "FIX.4.2"}, "BeginString"),
        ({"sending_ns": START_NS - 121 * SECOND_NS}, "SendingTime"),
        ({"sending_ns": START_NS + 121 * SECOND_NS}, "SendingTime"),
        ({"seq": 2, "reset": True}, "MsgSeqNum must be 1"),
        ({"seq": 0}, "malformed"),
    ],
)
def test_bad_logon_is_dropped_without_an_answer(venue: Side, change: dict[str, object], why: str) -> None:
    assert ScriptedPeer(venue).logon(**change) == []  # type: ignore[arg-type]
    (event,) = venue.of(Disconnect)
    assert why in event.reason
    assert venue.store.next_out == 1


def test_first_message_that_is_no_logon_is_dropped(venue: Side) -> None:
    scripted = ScriptedPeer(venue)
    venue.note(venue.machine.connected(START_NS))
    assert scripted.say("D", 1, [(11, "X")]) == []
    assert len(venue.of(Disconnect)) == 1


def test_no_logon_in_time_closes(venue: Side) -> None:
    scripted = ScriptedPeer(venue)
    venue.note(venue.machine.connected(START_NS))
    scripted.wait(9.9)
    assert not venue.of(Disconnect)
    scripted.wait(0.1)
    assert "no Logon for 10.0 s" in venue.of(Disconnect)[0].reason


def test_logon_too_high_is_answered_then_the_gap_is_asked_for(venue: Side) -> None:
    replies = ScriptedPeer(venue).logon(5)
    assert summary(replies) == [("A", 1), ("2", 2)]
    assert (replies[1].text(7), replies[1].text(16)) == ("1", "0")
    assert not venue.machine.steady
    assert venue.of(GapDetected) == [GapDetected(1, 4)]


def test_held_logon_is_counted_once_the_gap_is_filled(venue: Side) -> None:
    scripted = ScriptedPeer(venue)
    scripted.logon(5)
    scripted.say("4", 1, [(36, 5), (123, "Y")], [(43, "Y"), (122, utc_timestamp(START_NS))])
    assert venue.machine.next_in == 6 and venue.machine.steady
    assert venue.of(GapFilled) == [GapFilled(6)]


def test_logon_too_low_is_told_so_and_dropped(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("0", 2)
    venue.note(venue.machine.disconnected(START_NS))
    replies = peer.logon(2)
    assert replies[-1].text(58) == "MsgSeqNum too low, expecting 3 but received 2"
    assert venue.of(Disconnect)
    assert venue.machine.next_in == 3


def test_reset_flag_restarts_both_numbers(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("0", 2)
    venue.note(venue.machine.disconnected(START_NS))
    (reply,) = peer.logon(1, reset=True)
    assert (reply.seq, reply.text(141)) == (1, "Y")
    assert venue.of(SequencesReset) == [SequencesReset(True)]
    assert (venue.store.next_in, venue.store.next_out) == (2, 2)


def test_reset_inside_a_live_session(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("0", 2)
    (reply,) = peer.say("A", 1, [(98, 0), (108, 30), (141, "Y")])
    assert (reply.msg_type, reply.seq, reply.text(141)) == ("A", 1, "Y")
    assert summary(peer.say("1", 2, [(112, "X")])) == [("0", 2)]


# --------------------------------------------------------- sequence of what we receive


def test_application_messages_come_in_order_and_are_counted(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("D", 2, [(11, "A")])
    peer.say("D", 3, [(11, "B")])
    assert [(event.msg_type, event.seq, event.poss_dup) for event in venue.of(AppMessage)] == [
        ("D", 2, False),
        ("D", 3, False),
    ]
    assert venue.store.next_in == 4


def test_gap_is_asked_for_once_and_held_messages_follow_in_order(venue: Side, peer: ScriptedPeer) -> None:
    (request,) = peer.say("D", 4, [(11, "C")])
    assert (request.msg_type, request.text(7), request.text(16)) == ("2", "2", "0")
    assert peer.say("D", 5, [(11, "D")]) == []
    assert not venue.of(AppMessage) and not venue.machine.steady
    peer.poss_dup("D", 2, [(11, "A")])
    peer.poss_dup("D", 3, [(11, "B")])
    assert [event.seq for event in venue.of(AppMessage)] == [2, 3, 4, 5]
    assert [event.poss_dup for event in venue.of(AppMessage)] == [True, True, False, False]
    assert peer.poss_dup("D", 4, [(11, "C")]) == [], "the resend goes on into what we hold: ignored"
    assert len(venue.of(AppMessage)) == 4
    assert venue.machine.next_in == 6 and venue.machine.steady


def test_gap_fill_covers_held_numbers(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("D", 5, [(11, "held, then covered")])
    peer.poss_dup("4", 2, [(36, 9), (123, "Y")])
    assert not venue.of(AppMessage)
    assert venue.machine.next_in == 9 and venue.machine.steady


def test_second_gap_behind_the_first_is_what_the_open_request_asked_for_too(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("D", 4, [(11, "A")])
    peer.say("D", 8, [(11, "B")])
    assert peer.poss_dup("4", 2, [(36, 4), (123, "Y")]) == []
    assert venue.of(GapDetected) == [GapDetected(2, 3), GapDetected(5, 7)]
    peer.poss_dup("4", 5, [(36, 8), (123, "Y")])
    assert [event.seq for event in venue.of(AppMessage)] == [4, 8]
    assert venue.machine.steady


def test_second_gap_that_nobody_fills_is_asked_for_in_time(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("D", 4, [(11, "A")])
    peer.say("D", 8, [(11, "B")])
    peer.poss_dup("4", 2, [(36, 4), (123, "Y")])
    assert summary(peer.wait(9.9)) == []
    assert [(m.msg_type, m.text(7)) for m in peer.wait(0.1)] == [("2", "5")]


def test_gap_without_progress_is_asked_for_again(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("D", 4)
    assert summary(peer.wait(9.9)) == []
    assert [m.text(7) for m in peer.wait(0.1)] == ["2"]
    peer.poss_dup("D", 2, [(11, "A")])
    assert [m.text(7) for m in peer.wait(10)] == ["3"]


def test_too_many_held_messages_are_asked_for_again(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(max_held_messages=2))
    peer = ScriptedPeer(venue)
    peer.logon()
    for seq in (3, 4, 5, 6):
        peer.say("D", seq)
    peer.poss_dup("D", 2)
    assert venue.machine.next_in == 5
    (request,) = peer.say("D", 7)
    assert request.text(7) == "5"


def test_too_low_without_poss_dup_ends_the_session(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("0", 2)
    (reply,) = peer.say("D", 2, [(11, "A")])
    assert (reply.msg_type, reply.text(58)) == ("5", "MsgSeqNum too low, expecting 3 but received 2")
    assert venue.of(Disconnect) and not venue.of(AppMessage)
    assert venue.of(LoggedOut)[0].by_peer is False


def test_poss_dup_already_received_is_ignored(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("D", 2, [(11, "A")])
    assert peer.poss_dup("D", 2, [(11, "A")]) == []
    assert len(venue.of(AppMessage)) == 1


def test_poss_dup_not_yet_received_is_taken(venue: Side, peer: ScriptedPeer) -> None:
    peer.poss_dup("D", 2, [(11, "A")])
    assert [event.poss_dup for event in venue.of(AppMessage)] == [True]


def test_poss_dup_without_original_time_is_rejected(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("0", 2)
    (reply,) = peer.say("D", 2, [(11, "A")], [(43, "Y")])
    assert [reply.text(tag) for tag in (45, 58, 371, 372, 373)] == ["2", "Required tag missing", "122", "D", "1"]
    assert venue.machine.next_in == 3


def test_poss_dup_from_the_future_is_rejected_and_logged_out(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("0", 2)
    header = [(43, "Y"), (122, utc_timestamp(START_NS + 10 * SECOND_NS))]
    assert summary(peer.say("D", 2, [(11, "A")], header)) == [("3", 2), ("5", 3)]
    assert venue.machine.state is State.LOGOUT_SENT


def test_uncommitted_messages_are_asked_for_again_after_a_crash(venue: Side, peer: ScriptedPeer) -> None:
    raw = build("FIX.4.4", "D", 2, "AXIOM", "OPT", utc_timestamp(START_NS), [(11, "A")])
    venue.machine.receive(raw, START_NS)  # handed out, and the process dies before commit
    venue.crash()
    assert venue.machine.next_in == 2
    replies = ScriptedPeer(venue).logon(3)
    assert [(m.msg_type, m.text(7)) for m in replies][1] == ("2", "2")


# ------------------------------------------------------------------ sequence reset


def test_sequence_reset_moves_forward_regardless_of_its_own_number(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("4", 0, [(36, 25)])
    assert summary(peer.say("1", 25, [(112, "X")])) == [("0", 2)]
    peer.say("4", 999, [(36, 50), (123, "N")])
    assert venue.machine.next_in == 50


def test_sequence_reset_backwards_is_rejected(venue: Side, peer: ScriptedPeer) -> None:
    (reply,) = peer.say("4", 0, [(36, 1)])
    assert [reply.text(tag) for tag in (45, 58, 371, 372, 373)] == [
        "0", "Value is incorrect (out of range) for this tag", "", "4", "5",
    ]  # fmt: skip
    assert venue.machine.next_in == 2


def test_sequence_reset_closes_an_open_gap(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("D", 6)
    peer.say("4", 2, [(36, 20)])
    assert venue.machine.steady and venue.machine.next_in == 20


def test_gap_fill_that_fills_nothing_is_rejected(venue: Side, peer: ScriptedPeer) -> None:
    (reply,) = peer.say("4", 2, [(36, 2), (123, "Y")])
    assert reply.msg_type == "3"
    assert venue.machine.next_in == 2


def test_gap_fill_beyond_a_gap_waits_for_it(venue: Side, peer: ScriptedPeer) -> None:
    assert [m.text(7) for m in peer.say("4", 5, [(36, 9), (123, "Y")])] == ["2"]
    peer.poss_dup("4", 2, [(36, 5), (123, "Y")])
    assert venue.machine.next_in == 9


# -------------------------------------------------------------- rejects and checks


@pytest.mark.parametrize(
    ("msg_type", "body", "header", "expected"),
    [
        ("0", [(0, "HI")], [], ("Invalid tag number", "0", "0")),
        ("0", [(-1, "HI")], [], ("Invalid tag number", "-1", "0")),
        ("0", [(112, "")], [], ("Tag specified without a value", "112", "4")),
        ("1", [], [], ("Required tag missing", "112", "1")),
        ("2", [(7, 1)], [], ("Required tag missing", "16", "1")),
        ("D", [(11, "A"), (115, "X")], [], ("Tag specified out of required order", "115", "14")),
        ("D", [(11, "A")], [(122, "yesterday")], ("Incorrect data format for value", "122", "6")),
        ("D", [(11, "A")], [(43, "X")], ("Value is incorrect (out of range) for this tag", "43", "5")),
        ("*", [], [], ("Invalid MsgType", "", "11")),
    ],
)
def test_unsound_message_is_rejected_and_counted(
    venue: Side,
    peer: ScriptedPeer,
    msg_type: str,
    body: list[tuple[int, str]],
    header: list[tuple[int, str]],
    expected: tuple[str, str, str],
) -> None:
    (reply,) = peer.say(msg_type, 2, body, header)
    assert (reply.msg_type, reply.text(45), reply.text(372)) == ("3", "2", msg_type)
    assert (reply.text(58), reply.text(371), reply.text(373)) == expected
    assert len(venue.of(Refused)) == 1 and not venue.of(AppMessage)
    assert venue.machine.next_in == 3 and venue.machine.steady


def test_reject_reverses_the_route(venue: Side, peer: ScriptedPeer) -> None:
    (reply,) = peer.say("D", 2, [(11, "")], [(115, "JCD"), (116, "CS"), (145, "CHI")])
    assert [reply.text(tag) for tag in (128, 129, 144)] == ["JCD", "CS", "CHI"]


@pytest.mark.parametrize("change", [{"sender": "WRONG"}, {"target": "WRONG"}])
def test_wrong_comp_id_is_rejected_and_logged_out(venue: Side, peer: ScriptedPeer, change: dict[str, str]) -> None:
    replies = peer.say("D", 2, [(11, "A")], **change)
    assert summary(replies) == [("3", 2), ("5", 3)]
    assert (replies[0].text(58), replies[0].text(373)) == ("CompID problem", "9")
    assert not venue.of(AppMessage)
    peer.say("5", 3)
    assert venue.of(Disconnect)


@pytest.mark.parametrize(("offset_s", "accepted"), [(-120, True), (-121, False), (120, True), (121, False)])
def test_sending_time_window(venue: Side, peer: ScriptedPeer, offset_s: int, accepted: bool) -> None:
    replies = peer.say("0", 2, sending_ns=START_NS + offset_s * SECOND_NS)
    assert (replies == []) is accepted
    if not accepted:
        assert (replies[0].text(58), replies[0].text(373), replies[1].msg_type) == (
            "SendingTime accuracy problem",
            "10",
            "5",
        )


def test_garbled_message_is_ignored_and_not_counted(venue: Side, peer: ScriptedPeer) -> None:
    good = build("FIX.4.4", "D", 2, "AXIOM", "OPT", utc_timestamp(START_NS), [(11, "A")])
    assert peer.deliver(good[:-4] + b"000\x01") == []
    assert len(venue.of(Garbled)) == 1
    assert venue.machine.next_in == 2
    peer.deliver(good)
    assert len(venue.of(AppMessage)) == 1


def test_wrong_begin_string_is_logged_out(venue: Side, peer: ScriptedPeer) -> None:
    (reply,) = peer.say("1", 2, [(112, "id")], begin_string="FIX.4.1")
    assert (reply.msg_type, reply.text(58)) == ("5", "Incorrect BeginString")
    peer.wait(2)
    assert "no answer to our Logout" in venue.of(Disconnect)[0].reason


def test_missing_number_ends_the_session(venue: Side, peer: ScriptedPeer) -> None:
    raw = build("FIX.4.4", "D", 2, "AXIOM", "OPT", utc_timestamp(START_NS), [(11, "A")])
    body = raw[raw.index(b"35=") : -7].replace(b"34=2\x01", b"")
    head = b"8=FIX.4.4\x019=%d\x01" % len(body)
    (reply,) = peer.deliver(b"%b%b10=%03d\x01" % (head, body, sum(head + body) % 256))
    assert reply.text(58) == "MsgSeqNum missing"
    assert venue.of(Disconnect)


def test_peers_reject_is_reported_and_counted(venue: Side, peer: ScriptedPeer) -> None:
    assert peer.say("3", 2, [(45, 1), (58, "no"), (372, "8"), (373, 5)]) == []
    (event,) = venue.of(PeerReject)
    assert (event.ref_seq, event.ref_msg_type, event.reason, event.text) == (1, "8", 5, "no")
    assert venue.machine.next_in == 3


# --------------------------------------------------------------- heartbeats, time


def test_heartbeat_when_nothing_was_sent(venue: Side, peer: ScriptedPeer) -> None:
    assert peer.wait(29.9) == []
    assert summary(peer.wait(0.1)) == [("0", 2)]


def test_silence_is_tested_then_given_up(venue: Side, peer: ScriptedPeer) -> None:
    peer.wait(30)
    (probe,) = peer.wait(6)
    assert (probe.msg_type, probe.text(112)) == ("1", "TEST")
    assert peer.wait(35.9) == [], "no heartbeat while a test request is open"
    peer.wait(0.1)
    assert "nothing received for 72.0 s" in venue.of(Disconnect)[0].reason


def test_any_message_answers_a_test_request(venue: Side, peer: ScriptedPeer) -> None:
    peer.wait(36)
    peer.say("D", 2, [(11, "A")])
    assert summary(peer.wait(30)) == [("0", 3)]
    assert summary(peer.wait(6)) == [("1", 4)]
    assert not venue.of(Disconnect)


def test_interval_zero_means_no_heartbeats(venue: Side) -> None:
    peer = ScriptedPeer(venue)
    peer.logon(heartbeat=0)
    assert peer.wait(10_000) == []
    assert not venue.of(Disconnect)


def test_clock_that_jumps_does_not_end_the_session(venue: Side, peer: ScriptedPeer) -> None:
    for jump_s in (3600, -7200):
        peer.now_ns += jump_s * SECOND_NS
        venue.machine.clock_jumped(jump_s * SECOND_NS)
        assert peer.wait(1) == []
    assert summary(peer.wait(28)) == [("0", 2)]


# ------------------------------------------------------------------------ logout


def test_logout_is_answered(venue: Side, peer: ScriptedPeer) -> None:
    assert summary(peer.say("5", 2)) == [("5", 2)]
    assert venue.of(LoggedOut) == [LoggedOut("logged out by the peer", True)]
    assert venue.of(Disconnect) and venue.store.next_in == 3


def test_our_logout_waits_for_the_answer_and_still_takes_messages(venue: Side, peer: ScriptedPeer) -> None:
    venue.note(venue.machine.begin_logout("closing", START_NS))
    (said,) = venue.output()
    assert (said.msg_type, said.text(58)) == ("5", "closing")
    peer.say("D", 2, [(11, "in flight")])
    assert len(venue.of(AppMessage)) == 1
    assert peer.say("5", 3) == []
    assert venue.of(LoggedOut)[0].by_peer is False


def test_logout_beyond_a_gap_leaves_the_gap_for_the_next_logon(venue: Side, peer: ScriptedPeer) -> None:
    assert summary(peer.say("5", 7)) == [("5", 2)]
    assert venue.store.next_in == 2


@pytest.mark.parametrize("state", [State.AWAITING_LOGON, State.LOGGED_ON, State.LOGOUT_SENT])
def test_connection_may_be_lost_in_each_state(venue: Side, state: State) -> None:
    peer = ScriptedPeer(venue)
    if state is State.AWAITING_LOGON:
        venue.machine.connected(START_NS)
    else:
        peer.logon()
        if state is State.LOGOUT_SENT:
            venue.machine.begin_logout("", START_NS)
    assert venue.machine.state is state
    venue.note(venue.machine.disconnected(START_NS))
    assert len(venue.of(LoggedOut)) == (state is not State.AWAITING_LOGON)
    assert venue.machine.state is State.DISCONNECTED
    assert venue.machine.take_output() == b""
    assert peer.logon(venue.machine.next_in)[0].msg_type == "A"


def test_nothing_is_taken_after_disconnect_was_said(venue: Side, peer: ScriptedPeer) -> None:
    peer.say("5", 2)
    assert peer.say("D", 3, [(11, "A")]) == []
    assert not venue.of(AppMessage)
