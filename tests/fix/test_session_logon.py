"""How a session logs on: credentials, resets, what is expected next, and what of it may be printed."""

from pathlib import Path

import pytest

from fix.errors import SettingsError
from fix.messages import Message, parse
from fix.session import (
    AppMessage,
    Disconnect,
    GapDetected,
    LoggedOn,
    LogonRefused,
    Resent,
    Role,
    SequencesReset,
    StandDown,
)
from fix.store import MessageStore
from fix.testing import START_NS, MachinePair, ScriptedPeer, Side, acceptor_settings, initiator_settings


@pytest.fixture
def client(tmp_path: Path) -> Side:
    return Side(tmp_path / "client", initiator_settings(recover_by_reset=True))


def summary(messages: list[Message]) -> list[tuple[str, int]]:
    return [(message.msg_type, message.seq or 0) for message in messages]


def first_logon(tmp_path: Path, **changes: object) -> tuple[Side, Message]:
    """A client and the Logon that it opens with."""
    client = Side(tmp_path, initiator_settings(**changes))
    client.note(client.machine.connected(START_NS))
    (logon,) = client.output()
    return client, logon


# ------------------------------------------------------------ the initiator's side


def test_initiator_logs_on(client: Side) -> None:
    peer = ScriptedPeer(client)
    client.note(client.machine.connected(START_NS))
    (logon,) = client.output()
    assert (logon.msg_type, logon.seq, logon.text(49), logon.text(56), logon.text(108)) == (
        "A",
        1,
        "AXIOM",
        "OPT",
        "30",
    )
    peer.say("A", 1, [(98, 0), (108, 30)])
    assert client.machine.steady
    assert client.machine.send("D", [(11, "A")], START_NS) == 2


def test_venue_that_lost_its_memory_is_reset_when_so_configured(client: Side) -> None:
    """It answers with a lower number than expected: out of step, so the next logon asks for a reset."""
    peer = ScriptedPeer(client)
    peer.logon(1)
    for seq in (2, 3):
        peer.say("0", seq)
    client.note(client.machine.disconnected(START_NS))
    client.output()
    replies = peer.logon(1)
    assert replies[-1].text(58) == "MsgSeqNum too low, expecting 4 but received 1"
    client.note(client.machine.disconnected(START_NS))
    client.note(client.machine.connected(START_NS))
    (logon,) = client.output()
    assert (logon.seq, logon.text(141)) == (1, "Y")
    peer.say("A", 1, [(98, 0), (108, 30), (141, "Y")])
    assert client.machine.steady and (client.machine.next_in, client.machine.next_out) == (2, 2)


def test_venue_that_lost_its_memory_is_left_alone_by_default(tmp_path: Path) -> None:
    client = Side(tmp_path, initiator_settings())
    peer = ScriptedPeer(client)
    peer.logon(1)
    peer.say("0", 2)
    client.note(client.machine.disconnected(START_NS))
    peer.logon(1)
    client.note(client.machine.disconnected(START_NS))
    client.output()
    client.note(client.machine.connected(START_NS))
    (logon,) = client.output()
    assert 141 not in logon


def test_logon_refused_because_our_number_is_too_low(client: Side) -> None:
    peer = ScriptedPeer(client)
    client.note(client.machine.connected(START_NS))
    client.output()
    peer.say("5", 1, [(58, "MsgSeqNum too low, expecting 50 but received 1")])
    assert "expecting 50" in client.of(Disconnect)[0].reason
    client.note(client.machine.disconnected(START_NS))
    client.note(client.machine.connected(START_NS))
    assert [m.text(141) for m in client.output()] == ["Y"]


@pytest.mark.parametrize("text", ["MsgSeqNum too low, expecting 50 but received 1", "Sequence number is too low"])
def test_refused_number_is_left_to_a_person_by_default(text: str, tmp_path: Path) -> None:
    """Dialling on would use up numbers until they fit by accident."""
    client = Side(tmp_path, initiator_settings())
    client.note(client.machine.connected(START_NS))
    ScriptedPeer(client).say("5", 1, [(58, text)])
    assert client.of(StandDown) == [StandDown(f"our Logon was refused: {text}", ours_low=True)]
    assert isinstance(client.events[-1], Disconnect)


@pytest.mark.parametrize("role", [Role.INITIATOR, Role.ACCEPTOR])
def test_logon_too_low_is_left_to_a_person_by_default(role: Role, tmp_path: Path) -> None:
    side = Side(tmp_path, initiator_settings() if role is Role.INITIATOR else acceptor_settings())
    side.store.set_next_in(9)
    side.crash()
    ScriptedPeer(side).logon(4)
    (stand_down,) = side.of(StandDown)
    assert stand_down.reason == "the peer's Logon was refused: MsgSeqNum too low, expecting 9 but received 4"
    assert not stand_down.ours_low


def test_an_acceptor_whose_memory_has_gone_back_hears_it_from_the_peer(tmp_path: Path) -> None:
    side = Side(tmp_path, acceptor_settings())
    peer = ScriptedPeer(side)
    peer.logon(1)
    peer.say("5", 2, [(58, "MsgSeqNum too low, expecting 50 but received 1")])
    text = "the peer has logged out: MsgSeqNum too low, expecting 50 but received 1"
    assert side.of(StandDown) == [StandDown(text, ours_low=True)]
    assert isinstance(side.events[-1], Disconnect)


@pytest.mark.parametrize(("seq", "next_in"), [(4, 5), (6, 4)])
def test_logged_on_says_the_number_that_is_expected_from_then_on(seq: int, next_in: int, tmp_path: Path) -> None:
    """The Logon itself is counted, unless it lies behind a gap."""
    side = Side(tmp_path, acceptor_settings())
    side.store.set_next_in(4)
    side.crash()
    ScriptedPeer(side).logon(seq)
    (logged_on,) = side.of(LoggedOn)
    assert (logged_on.next_in, side.machine.next_in) == (next_in, next_in)


def test_other_refusals_are_not_about_numbers(client: Side) -> None:
    client.note(client.machine.connected(START_NS))
    ScriptedPeer(client).say("5", 1, [(58, "unknown user")])
    assert not client.of(StandDown) and client.machine.snapshot()["reset_pending"] is False


def test_venue_that_resets_unasked_is_followed(client: Side) -> None:
    peer = ScriptedPeer(client)
    peer.logon(1)
    for seq in (2, 3):
        peer.say("0", seq)
    client.note(client.machine.disconnected(START_NS))
    peer.logon(1, reset=True)
    assert client.of(SequencesReset) == [SequencesReset(True)]
    assert client.machine.steady
    assert (client.machine.next_in, client.machine.next_out) == (2, 2)
    assert summary(peer.say("2", 2, [(7, 1), (16, 0)])) == [("4", 1)], "whichever way it counts, it can be served"


def test_reset_on_logon(tmp_path: Path) -> None:
    client = Side(tmp_path, initiator_settings(reset_on_logon=True))
    for _ in range(2):
        client.note(client.machine.connected(START_NS))
        (logon,) = client.output()
        assert (logon.seq, logon.text(141)) == (1, "Y")
        ScriptedPeer(client).say("A", 1, [(98, 0), (108, 30), (141, "Y")])
        assert client.machine.steady
        client.note(client.machine.disconnected(START_NS))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sender_comp_id": ""}, "sender_comp_id must be 1..32"),
        ({"heartbeat_interval_s": -1}, "heartbeat_interval_s must be 0..3600, was -1"),
        ({"logout_timeout_s": 0.0}, "logout_timeout_s must be above 0"),
        ({"resend_chunk": 0}, "resend_chunk must be at least 1"),
    ],
)
def test_settings_out_of_range_say_so(change: dict[str, object], text: str) -> None:
    with pytest.raises(SettingsError, match=text.replace(".", r"\.")):
        acceptor_settings(**change)


# ---------------------------------------------------------------------- credentials


SECRETS = {"username": "me", "password": "s3cret", "new_password": "n3wer", "raw_data": b"to\x01ken"}


def test_logon_carries_credentials_and_further_fields(tmp_path: Path) -> None:
    _, logon = first_logon(tmp_path, **SECRETS, logon_fields=((9001, "CANCEL"), (9002, "Y")))
    assert [(tag, value) for tag, value in logon.body()] == [
        (95, b"6"), (96, b"to\x01ken"), (98, b"0"), (108, b"30"), (553, b"me"), (554, b"s3cret"), (925, b"n3wer"),
        (9001, b"CANCEL"), (9002, b"Y"),
    ]  # fmt: skip


def test_secrets_are_neither_printed_nor_stored(tmp_path: Path) -> None:
    client, logon = first_logon(tmp_path, **SECRETS)
    ((_, stored),) = client.store.read(1, 1)
    shown = [repr(client.settings), repr(logon), repr(stored), repr(AppMessage("A", logon.raw, 1, False))]
    for text in shown:
        for secret in ("s3cret", "n3wer", "ken"):
            assert secret not in text
    assert [parse(stored).text(tag) for tag in (49, 553, 554, 925)] == ["AXIOM", "me", "***", "***"]
    assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_logon_that_is_asked_for_again_is_filled_not_sent(tmp_path: Path) -> None:
    client, _ = first_logon(tmp_path, **SECRETS)
    peer = ScriptedPeer(client)
    peer.say("A", 1, [(98, 0), (108, 30)])
    assert [(m.msg_type, m.text(36)) for m in peer.say("2", 2, [(7, 1), (16, 0)])] == [("4", "2")]


@pytest.mark.parametrize(
    ("fields", "let_in"),
    [
        ([(553, "me"), (554, "s3cret")], True),
        ([(553, "me"), (554, "s3cre")], False),
        ([(553, "you"), (554, "s3cret")], False),
        ([(553, "me")], False),
        ([], False),
    ],
)
def test_acceptor_demands_its_credentials(fields: list[tuple[int, str]], let_in: bool, tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(username="me", password="s3cret"))
    replies = ScriptedPeer(venue).logon(fields=fields)
    assert venue.machine.logged_on is let_in
    expected = ("A", "") if let_in else ("5", "Invalid credentials")
    assert [(m.msg_type, m.text(58)) for m in replies] == [expected]
    assert [event.text for event in venue.of(LogonRefused)] == ([] if let_in else ["Invalid credentials"])
    assert 553 not in replies[0] and 554 not in replies[0], "what an acceptor demands it does not say"


def test_authenticate_sees_the_logon_and_may_refuse_it(tmp_path: Path) -> None:
    seen: list[str] = []

    def authenticate(logon: Message) -> str | None:
        seen.append(logon.text(553))
        return None if logon.text(553) == "me" else "no such user"

    venue = Side(tmp_path, acceptor_settings(), authenticate=authenticate)
    refusal = ScriptedPeer(venue).logon(fields=[(553, "you")])
    assert [(m.msg_type, m.text(58)) for m in refusal] == [("5", "no such user")]
    assert venue.of(Disconnect) == [Disconnect("no such user")]
    venue.note(venue.machine.disconnected(START_NS))
    assert summary(ScriptedPeer(venue).logon(fields=[(553, "me")])) == [("A", 2)]
    assert seen == ["you", "me"]


def test_a_stranger_changes_no_numbers(tmp_path: Path) -> None:
    """Neither by a number of its own nor by asking for a reset: only our Logout has used one."""
    venue = Side(tmp_path, acceptor_settings(username="me"))
    peer = ScriptedPeer(venue)
    peer.logon(fields=[(553, "me")])
    for seq in (2, 3, 4):
        peer.say("0", seq)
    for seq, reset in ((5, False), (1, True)):
        venue.note(venue.machine.disconnected(START_NS))
        peer.logon(seq, reset=reset)
        assert venue.store.next_in == 5 and not venue.of(SequencesReset)
    assert venue.store.next_out == 4


@pytest.mark.parametrize(("interval", "let_in"), [(4, False), (5, True), (60, True), (61, False), (-1, False)])
def test_heartbeat_interval_of_the_peer_is_bounded(interval: int, let_in: bool, tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(heartbeat_min_s=5, heartbeat_max_s=60))
    (reply,) = ScriptedPeer(venue).logon(heartbeat=interval)
    assert venue.machine.logged_on is let_in
    assert reply.text(58) == ("" if let_in else f"HeartBtInt(108) must be 5..60, was {interval}")


@pytest.mark.parametrize("interval", [-1, 61])
def test_reset_inside_a_session_keeps_to_the_bounds(interval: int, tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(heartbeat_max_s=60))
    peer = ScriptedPeer(venue)
    peer.logon()
    (reject,) = peer.say("A", 1, [(98, 0), (108, interval), (141, "Y")])
    assert (reject.msg_type, reject.text(371)) == ("3", "108")
    assert not venue.of(SequencesReset) and venue.machine.snapshot()["heartbeat_interval_s"] == 30


def test_encryption_is_refused_aloud(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings())
    venue.note(venue.machine.connected(START_NS))
    (reply,) = ScriptedPeer(venue).say("A", 1, [(98, 1), (108, 30)])
    assert (reply.msg_type, reply.text(58)) == ("5", "EncryptMethod(98) must be 0")


def test_second_logon_inside_a_session_ends_it(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings())
    peer = ScriptedPeer(venue)
    peer.logon()
    assert summary(peer.say("A", 2, [(98, 0), (108, 30)])) == [("5", 2)]
    assert len(venue.of(Disconnect)) == 1


def test_checks_of_the_peer_can_be_switched_off(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(check_comp_id=False, check_latency=False))
    peer = ScriptedPeer(venue)
    assert summary(peer.logon(sender="OTHER", sending_ns=START_NS - 10**12)) == [("A", 1)]
    assert peer.say("D", 2, [(11, "A")], sender="OTHER", sending_ns=START_NS + 10**12) == []
    assert venue.machine.next_in == 3


# --------------------------------------------------------------------------- resets


@pytest.mark.parametrize("switch", ["reset_on_logon", "reset_on_logout", "reset_on_disconnect"])
def test_both_sides_start_over_by_the_same_switch(switch: str, tmp_path: Path) -> None:
    pair = MachinePair(tmp_path, **{switch: True})
    for _ in range(2):
        pair.connect()
        assert pair.client.sent[-1].text(141) == "Y"
        pair.venue.machine.send("8", [(37, "1")], pair.now_ns)
        pair.pump()
        assert (pair.client.machine.next_in, pair.venue.machine.next_in) == (3, 2)
        pair.client.note(pair.client.machine.begin_logout("", pair.now_ns))
        pair.pump()
        pair.cut()
    expected = (3, 3) if switch == "reset_on_logon" else (1, 1)
    assert (pair.client.store.next_out, pair.venue.store.next_in) == expected


@pytest.mark.parametrize(("switch", "numbers"), [("reset_on_logout", (2, 2)), ("reset_on_disconnect", (1, 1))])
def test_a_lost_connection_is_no_logout(switch: str, numbers: tuple[int, int], tmp_path: Path) -> None:
    pair = MachinePair(tmp_path, **{switch: True})
    pair.connect()
    pair.cut()
    assert (pair.client.store.next_in, pair.client.store.next_out) == numbers


def test_acceptor_that_resets_on_logon_starts_every_session_at_1(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(reset_on_logon=True))
    peer = ScriptedPeer(venue)
    for _ in range(2):
        (reply,) = peer.logon()
        assert reply.seq == 1 and 141 not in reply
        peer.say("0", 2)
        venue.note(venue.machine.disconnected(START_NS))


def test_numbers_of_a_shared_store_are_read_again(tmp_path: Path) -> None:
    class Shared(MessageStore):
        """As if another process had moved the numbers since."""

        def refresh(self) -> None:
            super().refresh()
            self.set_next_in(40)
            self.skip_out(50)

    client = Side(tmp_path / "first", initiator_settings(refresh_on_logon=True))
    client.store.close()
    client.store = Shared(tmp_path / "second")
    client.machine = type(client.machine)(client.settings, client.store)
    client.note(client.machine.connected(START_NS))
    assert [m.seq for m in client.output()] == [50]
    ScriptedPeer(client).say("A", 40, [(98, 0), (108, 30)])
    assert client.machine.steady


# --------------------------------------------------- NextExpectedMsgSeqNum(789), 369


@pytest.fixture
def pair(tmp_path: Path) -> MachinePair:
    made = MachinePair(tmp_path, next_expected_msg_seq_num=True)
    made.connect()
    return made


def asked(pair: MachinePair) -> list[str]:
    return [m.msg_type for side in (pair.client, pair.venue) for m in side.sent if m.msg_type == "2"]


def test_logons_say_what_is_expected_next(pair: MachinePair) -> None:
    assert [side.sent[0].text(789) for side in (pair.client, pair.venue)] == ["1", "2"]
    pair.cut()
    pair.connect()
    assert [side.sent[-1].text(789) for side in (pair.client, pair.venue)] == ["2", "3"]


def test_both_sides_resend_without_being_asked(pair: MachinePair) -> None:
    for k in range(3):
        pair.venue.machine.send("8", [(37, k)], pair.now_ns)
        pair.client.machine.send("8", [(37, k)], pair.now_ns)
    pair.cut()
    pair.connect()
    for side in (pair.client, pair.venue):
        assert [parse(event.raw).text(37) for event in side.of(AppMessage)] == ["0", "1", "2"]
        assert side.machine.steady
    assert asked(pair) == []
    assert pair.venue.of(Resent) == [Resent(2, 5, 3, 1)], "through the Logon itself"
    assert pair.client.of(GapDetected) == [GapDetected(2, 4)]


def test_a_resend_that_never_comes_is_asked_for(pair: MachinePair) -> None:
    pair.venue.machine.send("8", [(37, "1")], pair.now_ns)
    pair.cut()
    pair.venue.note(pair.venue.machine.connected(pair.now_ns))
    pair.client.note(pair.client.machine.connected(pair.now_ns))
    pair.pump(drop=frozenset("8"))
    assert pair.client.machine.gap == (2, 2) and asked(pair) == []
    pair.wait(11)
    assert asked(pair) == ["2"] and pair.client.machine.steady


def test_peer_without_789_is_asked_as_ever(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(next_expected_msg_seq_num=True))
    assert summary(ScriptedPeer(venue).logon(5)) == [("A", 1), ("2", 2)]


@pytest.mark.parametrize(("expected", "let_in"), [(1, True), (2, True), (3, False)])
def test_peer_that_expects_more_than_there_is_is_refused(expected: int, let_in: bool, tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(next_expected_msg_seq_num=True))
    venue.store.skip_out(2)
    replies = ScriptedPeer(venue).logon(fields=[(789, expected)])
    assert venue.machine.logged_on is let_in
    if not let_in:
        assert replies[0].text(58) == "NextExpectedMsgSeqNum too high, expecting 2 but received 3"


def test_a_reset_leaves_nothing_to_be_expected(tmp_path: Path) -> None:
    pair = MachinePair(tmp_path, next_expected_msg_seq_num=True, reset_on_logon=True)
    for _ in range(2):
        pair.connect()
        assert [side.sent[-1].text(789) for side in (pair.client, pair.venue)] == ["1", "2"]
        assert pair.client.machine.steady and pair.venue.machine.steady
        pair.venue.machine.send("8", [(37, "lost")], pair.now_ns)
        pair.cut()


def test_every_header_says_what_was_processed_last(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings(last_msg_seq_num_processed=True))
    peer = ScriptedPeer(venue)
    said = peer.logon() + peer.say("1", 2, [(112, "A")]) + peer.say("2", 3, [(7, 1), (16, 0)])
    assert [(m.msg_type, m.text(369)) for m in said] == [("A", "0"), ("0", "2"), ("4", "3")]
    assert [tag for tag, _ in said[1].fields][:9] == [8, 9, 35, 34, 49, 52, 56, 369, 112]


def test_routing_constants_stand_in_every_header(tmp_path: Path) -> None:
    route = {"sender_sub_id": "DESK", "target_sub_id": "GW", "on_behalf_of_comp_id": "FUND", "deliver_to_comp_id": "MM",
             "sender_location_id": "LDN"}  # fmt: skip
    client, logon = first_logon(tmp_path, **route)
    assert [tag for tag, _ in logon.fields][3:12] == [34, 49, 50, 52, 56, 57, 115, 128, 142]
    ScriptedPeer(client).say("A", 1, [(98, 0), (108, 30)])
    client.machine.send("D", [(11, "A")], START_NS, header=[(115, "OTHER"), (97, "Y"), (43, "Y"), (122, "x")])
    (order,) = client.output()
    assert [order.text(tag) for tag in (50, 57, 97, 115, 128, 142)] == ["DESK", "GW", "Y", "OTHER", "MM", "LDN"]
    assert 43 not in order and 122 not in order, "these belong to resends"


def test_application_may_mark_its_own_duplicates(tmp_path: Path) -> None:
    client, _ = first_logon(tmp_path, allow_poss_dup=True)
    ScriptedPeer(client).say("A", 1, [(98, 0), (108, 30)])
    client.machine.send("D", [(11, "A")], START_NS, header=[(43, "Y"), (122, "20151224-14:00:00")])
    assert client.output()[0].text(122) == "20151224-14:00:00"
    with pytest.raises(ValueError, match="tag 49 is not a header field of the application's"):
        client.machine.send("D", [(11, "A")], START_NS, header=[(49, "ME")])


def test_poss_resend_is_told_to_the_application(tmp_path: Path) -> None:
    venue = Side(tmp_path, acceptor_settings())
    peer = ScriptedPeer(venue)
    peer.logon()
    peer.say("D", 2, [(11, "A")], [(97, "Y")])
    assert [(event.poss_dup, event.poss_resend) for event in venue.of(AppMessage)] == [(False, True)]


# ------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"password": "a\x01b"}, "password must be latin-1 text without SOH"),
        ({"logon_fields": ((108, "5"),)}, "logon_fields: tag 108 is the session's own"),
        ({"logon_fields": ((49, "X"),)}, "logon_fields: tag 49 is the session's own"),
        ({"logon_fields": ((9001, ""),)}, "logon_fields: tag 9001 needs a value"),
        ({"heartbeat_min_s": 10, "heartbeat_max_s": 5}, "heartbeat_min_s must be 0..heartbeat_max_s (5), was 10"),
        ({"disconnect_after": 1.0}, "disconnect_after must be above test_request_after (1.2), was 1.0"),
        ({"resend_chunk_size": -1}, "resend_chunk_size must be at least 0, was -1"),
        ({"target_sub_id": "a\tb"}, "target_sub_id must be 1..32 printable ASCII characters"),
    ],
)
def test_settings_of_the_logon_are_checked(change: dict[str, object], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        acceptor_settings(**change)
    assert text in str(caught.value)
