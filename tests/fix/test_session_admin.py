"""What an operator may do to a session's numbers, and what time does to it: silence, stalls, policies."""

from pathlib import Path

import pytest

from fix.errors import FixError
from fix.messages import Message, parse
from fix.session import (
    AppMessage,
    Disconnect,
    GapFilled,
    SequenceAdjusted,
    SequencesReset,
    Stalled,
    State,
    TestRequestPolicy,
)
from fix.testing import SECOND_NS, START_NS, MachinePair, ScriptedPeer, Side, acceptor_settings, initiator_settings


def logged_on(tmp_path: Path, **changes: object) -> tuple[Side, ScriptedPeer]:
    side = Side(tmp_path / "side", acceptor_settings(**changes))
    scripted = ScriptedPeer(side)
    scripted.logon()
    return side, scripted


def summary(messages: list[Message]) -> list[tuple[str, int]]:
    return [(message.msg_type, message.seq or 0) for message in messages]


# -------------------------------------------------------------------------- set-seq


@pytest.mark.parametrize("connected", [False, True])
def test_operator_sets_the_numbers(connected: bool, tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    if not connected:
        venue.note(venue.machine.disconnected(START_NS))
    venue.note(venue.machine.set_next_in(7))
    venue.note(venue.machine.set_next_out(9))
    assert venue.of(SequenceAdjusted) == [SequenceAdjusted("in", 2, 7), SequenceAdjusted("out", 2, 9)]
    assert (venue.store.next_in, venue.store.next_out) == (7, 9)
    if connected:
        assert summary(peer.say("1", 7, [(112, "A")])) == [("0", 9)]
    else:
        assert summary(peer.logon(7)) == [("A", 9)]


@pytest.mark.parametrize("name", ["set_next_in", "set_next_out"])
def test_numbers_go_down_only_by_force(name: str, tmp_path: Path) -> None:
    venue, _ = logged_on(tmp_path)
    change = getattr(venue.machine, name)
    change(5)
    with pytest.raises(FixError, match="is 5; to go down to 4, force it"):
        change(4)
    with pytest.raises(FixError, match="must be 1 or more, was 0"):
        change(0, force=True)
    change(4, force=True)
    assert getattr(venue.machine, name.removeprefix("set_")) == 4


def test_number_set_beyond_a_gap_closes_it(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    peer.say("D", 5, [(11, "A")])
    peer.say("D", 6, [(11, "B")])
    venue.note(venue.machine.set_next_in(6))
    assert venue.machine.gap is None
    peer.say("D", 7, [(11, "C")])
    assert [parse(event.raw).text(11) for event in venue.of(AppMessage)] == ["B", "C"]
    assert venue.machine.steady


def test_numbers_skipped_by_an_operator_are_filled_when_asked_for(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    venue.machine.send("8", [(37, "1")], START_NS)
    venue.note(venue.machine.set_next_out(6))
    venue.machine.send("8", [(37, "2")], START_NS)
    venue.output()
    said = peer.say("2", 2, [(7, 1), (16, 0)])
    assert [(m.msg_type, m.seq, m.text(36)) for m in said] == [("4", 1, "2"), ("8", 2, ""), ("4", 3, "6"), ("8", 6, "")]


# ---------------------------------------------------------------------------- reset


@pytest.mark.parametrize("version", ["FIX.4.1", "FIX.4.4", "FIXT.1.1"])
@pytest.mark.parametrize("who", ["client", "venue"])
def test_reset_in_place(who: str, version: str, tmp_path: Path) -> None:
    pair = MachinePair(tmp_path, begin_string=version)
    pair.connect()
    pair.client.machine.send("8", [(17, "before")], pair.now_ns)
    pair.pump()
    side = getattr(pair, who)
    side.note(side.machine.reset_sequences(pair.now_ns))
    assert not side.machine.steady
    pair.pump()
    for end in (pair.client, pair.venue):
        assert (end.machine.next_in, end.machine.next_out, end.store.next_in) == (2, 2, 2)
        assert end.machine.steady and len(end.of(SequencesReset)) == 1
    pair.client.machine.send("8", [(17, "after")], pair.now_ns)
    pair.pump()
    assert [parse(event.raw).text(17) for event in pair.venue.of(AppMessage)] == ["before", "after"]


def test_messages_under_way_while_resetting_are_taken(tmp_path: Path) -> None:
    pair = MachinePair(tmp_path)
    pair.connect()
    pair.client.note(pair.client.machine.reset_sequences(pair.now_ns))
    for name in ("a", "b"):
        pair.venue.machine.send("8", [(17, name)], pair.now_ns)  # under the old numbers
    pair.client.machine.send("8", [(17, "c")], pair.now_ns)
    pair.pump()
    assert [parse(event.raw).text(17) for event in pair.client.of(AppMessage)] == ["a", "b"]
    assert [parse(event.raw).text(17) for event in pair.venue.of(AppMessage)] == ["c"]
    assert pair.client.machine.steady and pair.venue.machine.steady


def test_both_reset_at_once(tmp_path: Path) -> None:
    pair = MachinePair(tmp_path)
    pair.connect()
    for side in (pair.client, pair.venue):
        side.note(side.machine.reset_sequences(pair.now_ns))
    pair.pump()
    for side in (pair.client, pair.venue):
        assert (side.machine.next_in, side.machine.next_out, side.machine.steady) == (2, 2, True)


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("lost", ["question", "answer"])
def test_reset_that_is_cut_short_is_finished_by_the_next_logon(lost: str, crash: bool, tmp_path: Path) -> None:
    pair = MachinePair(tmp_path, recover_by_reset=True)
    pair.connect()
    pair.wait(120)
    pair.client.note(pair.client.machine.reset_sequences(pair.now_ns))
    if lost == "answer":
        for message in pair.client.output():
            pair.venue.note(pair.venue.machine.receive(message.raw, pair.now_ns))
    pair.cut()
    if crash:
        pair.client.crash()
    for _ in range(3):
        if not (pair.client.machine.steady and pair.venue.machine.steady):
            pair.cut()
            pair.connect()
    assert pair.client.machine.steady and pair.venue.machine.steady
    assert pair.client.machine.next_in == pair.venue.machine.next_out
    assert pair.venue.machine.next_in == pair.client.machine.next_out


def test_reset_that_is_not_answered_ends_the_session(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, heartbeat_interval_s=0)
    venue.note(venue.machine.reset_sequences(START_NS))
    assert [m.text(141) for m in venue.output()] == ["Y"]
    peer.wait(9.9)
    assert not venue.of(Disconnect)
    peer.wait(0.2)
    assert venue.of(Disconnect)[0].reason.startswith("no answer to our reset for 10.1 s")


def test_gap_is_not_asked_for_while_resetting(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    venue.note(venue.machine.reset_sequences(START_NS))
    venue.output()
    assert peer.say("0", 9) == []
    assert peer.say("A", 1, [(98, 0), (108, 30), (141, "Y")]) == []
    assert venue.machine.steady and venue.machine.next_in == 2


def test_version_without_reset_flag_logs_out_first(tmp_path: Path) -> None:
    pair = MachinePair(tmp_path, begin_string="FIX.4.0")
    pair.connect()
    pair.client.note(pair.client.machine.reset_sequences(pair.now_ns))
    pair.pump()
    assert pair.client.sent[-1].msg_type == "5" and not pair.client.of(SequencesReset)
    pair.cut()
    assert (pair.client.store.next_in, pair.client.store.next_out) == (1, 1)


def test_reset_while_down_is_said_by_the_next_logon(tmp_path: Path) -> None:
    pair = MachinePair(tmp_path)
    pair.connect()
    pair.wait(300)
    pair.cut()
    pair.client.note(pair.client.machine.reset_sequences(pair.now_ns))
    assert (pair.client.store.next_in, pair.client.store.next_out) == (1, 1)
    pair.connect()
    assert pair.client.sent[-1].text(141) == "Y"
    assert pair.client.machine.steady and pair.venue.machine.steady


@pytest.mark.parametrize("state", [State.AWAITING_LOGON, State.LOGOUT_SENT])
def test_reset_in_between_is_refused(state: State, tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings())
    if state is State.AWAITING_LOGON:
        venue.note(venue.machine.connected(START_NS))
    else:
        ScriptedPeer(venue).logon()
        venue.machine.begin_logout("", START_NS)
    with pytest.raises(FixError, match=f"cannot reset while {state.value}"):
        venue.machine.reset_sequences(START_NS)


# --------------------------------------------------------------------- silence, stalls


def ticks(side: Side, start_s: float, stop_s: float, step_s: float = 0.5) -> list[tuple[float, str]]:
    """Look at the machine every half second; when it said what."""
    said = []
    for k in range(round((stop_s - start_s) / step_s)):
        at_s = start_s + (k + 1) * step_s
        side.note(side.machine.tick(START_NS + int(at_s * SECOND_NS)))
        said += [(at_s, message.msg_type) for message in side.output()]
    return said


@pytest.mark.parametrize(
    ("policy", "tested_at"),
    [
        (TestRequestPolicy.ONCE, [12.0]),
        (TestRequestPolicy.REPEATED, [12.0, 22.0, 32.0, 42.0]),
        (TestRequestPolicy.NEVER, []),
    ],
)
def test_policy_for_a_silent_peer(policy: TestRequestPolicy, tested_at: list[float], tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(test_request_policy=policy, disconnect_after=4.5))
    ScriptedPeer(venue).logon(heartbeat=10)
    said = ticks(venue, 0, 44.5)
    assert [at_s for at_s, msg_type in said if msg_type == "1"] == tested_at
    assert not venue.of(Disconnect)
    ticks(venue, 44.5, 45)
    assert venue.of(Disconnect) == [Disconnect("nothing received for 45.0 s")]


def test_times_of_silence_are_settings(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(test_request_after=2.0, disconnect_after=3.0))
    ScriptedPeer(venue).logon(heartbeat=10)
    assert ticks(venue, 0, 29.5) == [(10.0, "0"), (20.0, "1")]
    ticks(venue, 29.5, 30)
    assert len(venue.of(Disconnect)) == 1


@pytest.mark.parametrize("late_s", [0.0, 2.0, 2.5, 9.5])
def test_late_heartbeat_still_comes_before_the_test_request(late_s: float, tmp_path: Path) -> None:
    """Looked at when both are overdue, the peer has as long to answer as it would have had."""
    venue = Side(tmp_path, acceptor_settings(stall_after_s=0.0))
    ScriptedPeer(venue).logon(heartbeat=10)
    assert ticks(venue, 10 + late_s - 0.5, 22 + late_s) == [(10 + late_s, "0"), (12 + late_s, "1")]
    assert not venue.of(Disconnect)
    ticks(venue, 23.5 + late_s, 24 + late_s)
    assert len(venue.of(Disconnect)) == 1


def test_a_frozen_process_does_not_blame_its_peer(tmp_path: Path) -> None:
    """The peer spoke all the time; we were stopped for ten minutes, and its words lie in the socket."""
    venue, peer = logged_on(tmp_path)
    ticks(venue, 0, 5)
    peer.now_ns = START_NS + 600 * SECOND_NS
    venue.note(venue.machine.tick(peer.now_ns))
    assert [event.seconds for event in venue.of(Stalled)] == [pytest.approx(570.0)]
    assert venue.output() == [] and not venue.of(Disconnect)
    peer.say("0", 2)
    assert [msg_type for _, msg_type in ticks(venue, 600, 610)] == ["0"]
    assert venue.machine.steady and len(venue.of(Stalled)) == 1


def test_a_peer_that_is_gone_when_we_wake_up_is_asked_first(tmp_path: Path) -> None:
    venue, _ = logged_on(tmp_path)
    ticks(venue, 0, 5)
    venue.note(venue.machine.tick(START_NS + 600 * SECOND_NS))
    assert ticks(venue, 600, 601) == [(600.5, "1")]
    ticks(venue, 601, 635.5)
    assert not venue.of(Disconnect)
    ticks(venue, 635.5, 636)
    assert venue.of(Disconnect)[0].reason == "nothing received for 72.0 s"


@pytest.mark.parametrize("state", ["awaiting logon", "logout sent"])
def test_other_deadlines_wait_for_the_socket_too(state: str, tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings())
    if state == "awaiting logon":
        venue.note(venue.machine.connected(START_NS))
    else:
        ScriptedPeer(venue).logon()
        venue.note(venue.machine.begin_logout("", START_NS))
    late_ns = START_NS + 60 * SECOND_NS
    venue.note(venue.machine.tick(late_ns))
    assert not venue.of(Disconnect)
    venue.note(venue.machine.tick(late_ns + 1))
    assert len(venue.of(Disconnect)) == 1


def test_driver_may_say_itself_that_it_was_frozen(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, stall_after_s=0.0)
    peer.now_ns += 600 * SECOND_NS
    venue.machine.stalled(peer.now_ns)
    venue.note(venue.machine.tick(peer.now_ns))
    assert venue.output() == [] and not venue.of(Disconnect)
    assert summary(peer.wait(0.2)) == [("1", 2)]


def test_detection_of_stalls_can_be_switched_off(tmp_path: Path) -> None:
    venue, _ = logged_on(tmp_path, stall_after_s=0.0)
    venue.note(venue.machine.tick(START_NS + 600 * SECOND_NS))
    assert len(venue.of(Disconnect)) == 1


def test_a_driver_that_looks_only_when_something_is_due_misses_nothing(tmp_path: Path) -> None:
    pair = MachinePair(tmp_path)
    pair.connect()
    looks = 0
    while pair.now_ns < START_NS + 3600 * SECOND_NS:
        pair.now_ns = min(pair.client.machine.next_due_ns, pair.venue.machine.next_due_ns)
        for side in (pair.client, pair.venue):
            if side.machine.next_due_ns <= pair.now_ns:
                looks += 1
                side.note(side.machine.tick(pair.now_ns))
        pair.pump()
    assert pair.client.machine.steady and pair.venue.machine.steady
    assert not pair.client.of(Stalled) and not pair.client.of(GapFilled)
    heartbeats = sum(m.msg_type == "0" for side in (pair.client, pair.venue) for m in side.sent)
    assert heartbeats == 240 and looks == heartbeats


@pytest.mark.parametrize(
    ("prepare", "due_s"),
    [("connected", 10), ("logon", 10), ("gap", 10), ("logout", 2), ("reset", 10), ("tested", 72)],
)
def test_next_due_is_when_something_happens(prepare: str, due_s: float, tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(stall_after_s=0.0))
    peer = ScriptedPeer(venue)
    if prepare == "connected":
        venue.note(venue.machine.connected(START_NS))
    else:
        peer.logon(heartbeat=10 if prepare == "logon" else 30)
    if prepare == "gap":
        peer.say("0", 9)
    elif prepare == "logout":
        venue.note(venue.machine.begin_logout("", START_NS))
    elif prepare == "reset":
        venue.note(venue.machine.reset_sequences(START_NS))
    elif prepare == "tested":
        for at_s in (30, 36):
            venue.note(venue.machine.tick(START_NS + at_s * SECOND_NS))
    venue.output()
    due_ns = venue.machine.next_due_ns
    assert due_ns == START_NS + due_s * SECOND_NS
    venue.note(venue.machine.tick(due_ns - 1))
    assert venue.output() == [] and not venue.of(Disconnect)
    venue.note(venue.machine.tick(due_ns))
    assert venue.output() or venue.of(Disconnect)


def test_a_resend_that_is_owed_is_due_at_once(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path, resend_chunk=2)
    for k in range(6):
        venue.machine.send("8", [(37, k)], START_NS)
    peer.say("2", 2, [(7, 1), (16, 0)])
    assert venue.machine.next_due_ns == 0


def test_snapshot_says_how_it_stands(tmp_path: Path) -> None:
    venue, peer = logged_on(tmp_path)
    peer.say("0", 5)
    shown = venue.machine.snapshot()
    assert (shown["state"], shown["next_in"], shown["next_out"]) == ("logged on", 2, 3)
    assert (shown["gap"], shown["held"], shown["resends_owed"]) == ([2, 4], 1, 0)
    assert shown["last_received_ns"] == shown["last_sent_ns"] == START_NS


def test_no_two_of_one_session_at_once(tmp_path: Path) -> None:
    client = Side(tmp_path, initiator_settings())
    client.note(client.machine.connected(START_NS))
    with pytest.raises(FixError, match="already connected"):
        client.machine.connected(START_NS)
