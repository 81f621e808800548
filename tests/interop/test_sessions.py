"""What a session does with a real quickfix peer, in both roles, on our engine and on quickfix as ours.

Each behaviour is asked of all four: who connects must not matter, nor which engine carries it.
"""

import time

import pytest

from engine.securities import read_page
from fix.dictionary import validator_for
from fix.endpoints.events import ScheduleClosed, ScheduleOpened
from fix.errors import FixError, ThrottledError
from fix.messages import Message, build, parse, utc_timestamp
from fix.schedule import Schedule
from fix.session import GapDetected, GapFilled, PeerReject, Resent, Role, SequencesReset, State
from fix.throttle import ThrottleSettings
from market import records
from market.enums import ExecType, OrderAction, Right, SecurityKind
from simulator.venue.securities import SecurityList
from tests.interop.rig import SYMBOL, Make, World, everywhere, orders

ENGINES = ("axiom", "quickfix")
NEWS = "35=B|148={}|33=1|58=line|"


def news(text: str) -> list[tuple[int, str | bytes | int]]:
    """A message of the application that goes either way, and is worth sending again."""
    return [(148, text), (33, 1), (58, "line")]


def headlines(messages: list[Message]) -> list[str]:
    return [message.text(148) for message in messages]


async def trade(ours: World, text: str) -> None:
    """One message each way."""
    ours.session.send("B", news(text))
    await ours.peer.until(lambda: text in headlines(ours.peer.messages("app", "B")), f"the peer gets {text}")
    await ours.peer.send(NEWS.format(text))
    await ours.handler.until(lambda: text in headlines(ours.handler.raws("B")), f"we get {text}")


@everywhere(engine=ENGINES)
async def test_orders_cancels_and_replaces_by_the_kernels(world: Make, engine: str) -> None:
    ours = await world(Role.INITIATOR, engine, hot=True).open()
    ours.session.send_orders(orders([1, 2]), 2)
    ours.session.send_orders(orders([3], action=OrderAction.REPLACE, orig_cl_ord_id=1, qty=7), 1)
    ours.session.send_orders(orders([4], action=OrderAction.CANCEL, orig_cl_ord_id=3), 1)
    await ours.handler.until(lambda: len(ours.handler.frames) == 4, "four reports")
    rows = ours.handler.rows(records.EXECUTION)
    assert list(rows["cl_ord_id"]) == [1, 2, 3, 4]
    assert list(rows["orig_cl_ord_id"][2:]) == [1, 3]
    assert list(rows["exec_type"]) == [ExecType.NEW, ExecType.NEW, ExecType.REPLACED, ExecType.CANCELED]
    assert list(rows["msg_seq"]) == [2, 3, 4, 5]
    assert not ours.handler.of(PeerReject)
    await ours.peer.until(lambda: len(ours.peer.messages("app")) == 4)
    sent = ours.peer.messages("app")
    assert [message.msg_type for message in sent] == ["D", "D", "G", "F"]
    assert [message.seq for message in sent] == [2, 3, 4, 5]


@everywhere(engine=ENGINES)
async def test_orders_of_the_peer_become_frames_and_reports_go_back(world: Make, engine: str) -> None:
    ours = await world(Role.ACCEPTOR, engine, hot=True).open()
    body = "55=GOOG151224C00750000|54=1|38=5|40=2|44=12.34|59=0|60=20151224-14:30:00|21=1|"
    await ours.peer.send(f"35=D|11=0000000000000001|{body}", f"35=D|11=0000000000000002|{body}")
    await ours.handler.until(lambda: len(ours.handler.frames) == 2, "two orders")
    rows = ours.handler.rows(records.ORDER)
    assert list(rows["cl_ord_id"]) == [1, 2] and list(rows["price_ticks"]) == [1234, 1234] and rows["owner"][0] == 7


@everywhere(engine=ENGINES)
async def test_mass_quote_keeps_its_quote_sets(world: Make, engine: str) -> None:
    ours = await world(Role.INITIATOR, engine, peer={"groups": True}).open()
    entries = [
        [(299, "1"), (55, "A"), (132, "1.10"), (133, "1.20"), (134, 10), (135, 20)],
        [(299, "2"), (55, "B"), (132, "2.10"), (133, "2.20"), (134, 30), (135, 40)],
    ]
    body: list[tuple[int, str | bytes | int]] = [(117, "Q1"), (296, 2)]
    for quote_set in ("S1", "S2"):
        body += [(302, quote_set), (304, 2), (295, 2), *entries[0], *entries[1]]
    ours.session.send("i", body)
    await ours.handler.until(lambda: ours.handler.raws("b"), "the acknowledgement arrives")
    assert ours.handler.raws("b")[0].text(117) == "Q1"
    assert not ours.handler.of(PeerReject)
    await ours.peer.until(lambda: ours.peer.messages("in", "i"))
    quote = ours.peer.messages("in", "i")[0]
    assert quote.fields[-len(body) - 1 : -1] == [(tag, str(value).encode()) for tag, value in body]
    ours.session.send("Z", [(117, "Q1"), (298, 4)])
    await ours.peer.until(lambda: ours.peer.messages("app", "Z"), "the quote cancel arrives")


@everywhere(engine=ENGINES, role=Role)
async def test_what_the_peer_said_while_apart_arrives_by_resend(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine).open()
    await trade(ours, "first")
    await ours.peer.do("quiet", on=True)
    await ours.crash_ours()
    await ours.peer.until(lambda: ours.peer.of("logout"), "the peer notices")
    await ours.peer.send(NEWS.format("a"), NEWS.format("b"))
    await ours.open_ours()
    await ours.logged_on(2)
    await ours.handler.until(lambda: len(ours.handler.raws("B")) == 2, "both arrive")
    await ours.steady()
    assert headlines(ours.handler.raws("B")) == ["a", "b"]
    assert all(poss_dup for kind, _, poss_dup in ours.handler.messages if kind == "B")
    assert ours.handler.of(GapDetected) and ours.handler.of(GapFilled)
    await trade(ours, "last")
    assert len(ours.handler.raws("B")) == 3


@everywhere(engine=ENGINES, role=Role)
async def test_what_the_peer_lost_is_sent_again_but_never_an_order(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine, peer={"quiet": True}).open()
    await trade(ours, "first")
    order = [(11, "X1"), (21, "1"), (55, "A"), (54, "1"), (60, "20151224-14:30:00"), (38, 5), (40, "1")]
    ours.session.send("D", order)
    ours.session.send("B", news("kept"))
    await ours.peer.until(lambda: "kept" in headlines(ours.peer.messages("app", "B")))
    await ours.peer.forget(3, expecting=5)  # it forgets the order and what came after it
    ours.session.send("B", news("beyond"))
    await ours.peer.until(lambda: "beyond" in headlines(ours.peer.messages("app", "B")), "the gap is closed")
    await ours.handler.until(lambda: ours.handler.of(Resent), "we hear of the resend")
    again = [message for message in ours.peer.messages("in") if message.text(43) == "Y"]
    # 3 was the order (a gap fill up to 4), 4 the news, 5 may come again or be taken from the peer's queue.
    assert [message.msg_type for message in again[:2]] == ["4", "B"]
    assert again[0].text(36) == "4" and again[0].text(123) == "Y"
    assert again[1].text(148) == "kept" and again[1].text(122)
    assert len(ours.peer.messages("app", "D")) == 1
    resent = ours.handler.of(Resent)[0]
    assert (resent.begin, resent.messages, resent.gap_filled) == (3, resent.end - 3, 1)
    await trade(ours, "last")


@everywhere(engine=ENGINES, role=Role)
async def test_gap_in_the_middle_is_asked_for_and_filled(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine, peer={"quiet": True}).open()
    await trade(ours, "first")
    await ours.peer.do("set_out", seq=6)  # as if 3, 4 and 5 were lost, and not worth keeping
    await ours.peer.send(NEWS.format("beyond"))
    await ours.handler.until(lambda: ours.handler.of(GapFilled), "the gap is filled")
    await ours.handler.until(lambda: "beyond" in headlines(ours.handler.raws("B")))
    assert (ours.handler.of(GapDetected)[0].begin, ours.handler.of(GapDetected)[0].end) == (3, 5)
    await ours.steady()
    await trade(ours, "last")
    assert headlines(ours.handler.raws("B")) == ["first", "beyond", "last"]


@everywhere(engine=ENGINES, role=Role)
async def test_peer_resets_on_logon(world: Make, engine: str, role: Role) -> None:
    settings = {"ResetOnLogon": "Y"}
    # Where the peer listens, a Logon of ours that does not reset too would find it at 1: both must be told.
    ours = await world(
        role, engine, peer={"settings": settings, "quiet": True}, reset_on_logon=role is Role.INITIATOR
    ).open()
    await trade(ours, "first")
    await ours.peer.kill()
    await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED)
    await ours.peer.start()
    await ours.logged_on(2)
    await trade(ours, "second")
    if role is Role.ACCEPTOR:  # the peer asks for it in its Logon
        assert any(event.by_peer for event in ours.handler.of(SequencesReset))
        assert ours.peer.messages("in", "B")[-1].seq == 2


@everywhere(engine=ENGINES, role=Role)
async def test_reset_by_an_operator_of_ours(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine, peer={"quiet": True}).open()
    await trade(ours, "first")
    if (role, engine) == (Role.ACCEPTOR, "quickfix"):
        with pytest.raises(FixError, match="let the peer ask"):
            ours.session.reset_sequences()
        return
    ours.session.reset_sequences()
    await ours.handler.until(lambda: ours.handler.of(SequencesReset), "the reset is said")
    await ours.handler.until(lambda: ours.session.steady)
    await trade(ours, "second")
    assert ours.peer.messages("in", "B")[-1].seq == 2
    assert ours.session.next_out == 3


@everywhere(engine=ENGINES, role=Role)
async def test_peer_is_killed_and_comes_back(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine, peer={"quiet": True}).open()
    await trade(ours, "first")
    await ours.peer.counted(ours.session.next_out)
    await ours.peer.kill()
    await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED, "we notice")
    assert ours.handler.states[-1][1], "a disconnect has a reason"
    if role is Role.ACCEPTOR:
        ours.session.send("B", news("while it is away"))  # stored, and sent by resend
    await ours.peer.start()
    await ours.logged_on(2)
    await trade(ours, "second")
    expected = ["first", "while it is away", "second"] if role is Role.ACCEPTOR else ["first", "second"]
    assert headlines(ours.peer.messages("app", "B")) == expected
    assert headlines(ours.handler.raws("B")) == ["first", "second"]


@everywhere(engine=ENGINES, role=Role)
async def test_we_are_killed_and_come_back(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine, peer={"quiet": True}).open()
    await trade(ours, "first")
    numbers = ours.session.next_in, ours.session.next_out
    await ours.crash_ours()
    await ours.open_ours()
    await ours.logged_on(2)
    await trade(ours, "second")
    assert (ours.session.next_in, ours.session.next_out) >= (numbers[0] + 2, numbers[1] + 2), "the numbers go on"
    assert headlines(ours.handler.raws("B")) == ["second"]
    assert headlines(ours.peer.messages("app", "B")) == ["first", "second"]


@everywhere(engine=ENGINES, role=Role)
async def test_peer_cuts_the_line_without_a_word(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine, peer={"quiet": True}).open()
    await trade(ours, "first")
    await ours.peer.do("disconnect")
    await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED, "we notice")
    await ours.logged_on(2)
    await trade(ours, "second")


@everywhere(engine=ENGINES)
async def test_credentials_are_sent_and_never_stored(world: Make, engine: str) -> None:
    ours = await world(
        Role.INITIATOR, engine, peer={"password": "s3cr3t-w0rd"}, username="me", password="s3cr3t-w0rd"
    ).open()
    await trade(ours, "first")
    await ours.stop_ours()
    for path in (ours.directory / "ours").rglob("*"):
        if path.is_file():
            assert b"s3cr3t" not in path.read_bytes(), f"the password stands in {path.name}"
    await ours.open_ours()
    await ours.logged_on(2)
    await ours.peer.forget(1, expecting=ours.session.next_out)  # a resend must run over the Logon that was masked
    await trade(ours, "second")
    assert headlines(ours.peer.messages("app", "B"))[-1] == "second"


@everywhere(engine=ENGINES)
async def test_wrong_password_keeps_the_session_down_and_says_why(world: Make, engine: str) -> None:
    ours = world(Role.INITIATOR, engine, peer={"password": "right"}, username="me", password="wrong")
    await ours.peer.start()
    await ours.open_ours()
    await ours.handler.until(lambda: "Rejected Logon Attempt" in ours.session.last_reason, "the reason is told")
    assert not ours.session.logged_on
    assert not any("wrong" in str(event) for event in ours.handler.events)


@everywhere(engine=ENGINES)
async def test_our_acceptor_refuses_a_wrong_password(world: Make, engine: str) -> None:
    ours = world(Role.ACCEPTOR, engine, peer={"logon_fields": {"553": "me", "554": "wrong"}}, password="right")
    await ours.open_ours()
    await ours.peer.start()
    await ours.peer.until(lambda: ours.peer.of("logout"), "the peer is turned away")
    assert not ours.peer.of("logon") and not ours.session.logged_on


@everywhere(engine=ENGINES, role=Role)
async def test_message_that_is_not_served_is_refused(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine, peer={"quiet": True}).open()
    await ours.peer.send(NEWS.format("odd"))
    await ours.handler.until(lambda: ours.handler.raws("B"))
    ours.session.refuse(ours.handler.messages[-1][1], 3, "Unsupported Message Type")
    await ours.peer.until(lambda: ours.peer.messages("app", "j"), "the peer gets the refusal")
    refusal = ours.peer.messages("app", "j")[0]
    assert (refusal.text(45), refusal.text(372), refusal.text(380)) == ("2", "B", "3")
    assert parse(ours.handler.messages[-1][1]).seq == 2


VENUE = """
[fields.5001]
name = "TickRule"
type = "INT"
[fields.5002]
name = "RingIndex"
type = "INT"
[messages.y]
groups.NoRelatedSym.add = ["TickRule", "RingIndex"]
"""


@everywhere(engine=ENGINES)
async def test_fields_that_a_venue_adds_to_a_group_arrive_as_they_were_sent(world: Make, engine: str) -> None:
    """quickfix sorts the fields of a group that it does not know: the overlay must reach it."""
    ours = world(Role.INITIATOR, engine)
    overlay = ours.directory.with_suffix(".toml")
    overlay.write_text(VENUE)
    ours.dictionary = validator_for("FIX.4.4", overlay_path=overlay)
    server = await ours.serve()
    await ours.open_ours()
    wire, _ = await server.logon()
    wire.say("A", 1, [(98, 0), (108, 30)])
    body: list[tuple[int, str | bytes | int]] = [(320, "R"), (322, "R"), (560, 0), (146, 2)]
    for symbol in ("A", "B"):
        body += [(55, symbol), (5001, 1), (5002, 2)]
    wire.say("y", 2, body)
    await ours.handler.until(lambda: ours.handler.raws("y"), "the list arrives")
    fields = [(tag, value.decode()) for tag, value in ours.handler.raws("y")[0].fields]
    group = [(55, "A"), (5001, "1"), (5002, "2"), (55, "B"), (5001, "1"), (5002, "2")]
    start = fields.index((146, "2"))
    assert fields[start + 1 : start + 7] == group
    ours.session.send("y", body)
    sent = [(tag, value.decode()) for tag, value in (await wire.hear("y")).fields]
    assert sent[sent.index((146, "2")) + 1 :][:6] == group


@everywhere(engine=ENGINES)
async def test_hook_judges_who_may_log_on(world: Make, engine: str) -> None:
    seen: list[str] = []

    def judge(logon: Message) -> str | None:
        seen.append(logon.text(553))
        return None if logon.text(553) == "friend" else "who are you?"

    ours = world(Role.ACCEPTOR, engine, peer={"logon_fields": {"553": "stranger"}})
    ours.authenticate = judge
    await ours.open_ours()
    await ours.peer.start()
    await ours.peer.until(lambda: ours.peer.of("logout"), "the stranger is turned away")
    assert seen[0] == "stranger" and not ours.session.logged_on
    await ours.peer.kill()
    ours.peer.config["logon_fields"] = {"553": "friend"}
    await ours.peer.start()
    await ours.logged_on()
    await trade(ours, "hello")


async def test_throttle_stands_before_quickfix_too(world: Make) -> None:
    ours = world(Role.INITIATOR, "quickfix", peer={"quiet": True}, hot=True)
    ours.throttle = ThrottleSettings(messages=3, window_s=3600.0, reserve_for_cancels=1)
    await ours.open()
    with pytest.raises(ThrottledError) as refusal:
        ours.session.send_orders(orders([1, 2, 3, 4]), 4)
    assert refusal.value.refused == (2, 3)
    ours.session.send_orders(orders([5], action=OrderAction.CANCEL, orig_cl_ord_id=1), 1)
    with pytest.raises(ThrottledError):
        ours.session.send("F", [(41, "1"), (11, "6"), (55, "A"), (54, "1"), (60, "20151224-14:30:00")])
    await ours.peer.until(lambda: len(ours.peer.messages("app")) == 3, "what was let through arrives")
    assert [message.msg_type for message in ours.peer.messages("app")] == ["D", "D", "F"]
    assert ours.session.describe()["throttle"]


async def test_hours_open_close_and_start_the_numbers_over(world: Make) -> None:
    day_ns = 86_400_000_000_000
    now_ns = time.time_ns() // day_ns * day_ns  # midnight: the session opens at noon
    clock = [now_ns + 11 * 3_600_000_000_000]
    ours = world(Role.INITIATOR, "quickfix", peer={"quiet": True}, heartbeat_interval_s=2)
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime((now_ns + day_ns) // 10**9))
    ours.schedule = Schedule(start="12:00:00", end="13:00:00", holidays=(tomorrow,))
    ours.clock = lambda: clock[0]
    await ours.peer.start()
    await ours.open_ours()
    await ours.handler.until(lambda: ours.endpoint.ready)
    assert "hours" in ours.session.closed_reason() and not ours.session.describe()["schedule_open"]
    clock[0] += 3_600_000_000_000
    await ours.logged_on()
    assert len(ours.handler.of(ScheduleOpened)) == 1 and ours.endpoint.attempts == 1, "no attempt before"
    await trade(ours, "first day")
    clock[0] += 3_600_000_000_000
    await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED, "the hours are over")
    assert len(ours.handler.of(ScheduleClosed)) == 1
    await ours.peer.until(lambda: bool(ours.peer.messages("in", "5")), "our Logout arrives")
    assert "hours" in ours.peer.messages("in", "5")[0].text(58)
    await ours.peer.do("reset")  # its day is over, too
    clock[0] += day_ns - 3_600_000_000_000
    ours.session._look_at_schedule()
    assert "hours" in ours.session.closed_reason() and len(ours.handler.of(ScheduleOpened)) == 1, "a holiday"
    clock[0] += day_ns
    await ours.logged_on(2)
    await trade(ours, "second day")
    assert ours.peer.messages("in", "B")[-1].seq == 2


@everywhere(version=[("FIX.4.4", ""), ("FIXT.1.1", "9")])
async def test_security_list_of_our_own_venue_comes_through_quickfix_unharmed(
    world: Make, version: tuple[str, str]
) -> None:
    instruments = records.table(records.INSTRUMENT, 2)
    instruments["symbol"] = [b"GOOG", SYMBOL.encode()]
    instruments["security"] = [SecurityKind.EQUITY, SecurityKind.OPTION]
    instruments["right"], instruments["strike"], instruments["multiplier"] = Right.CALL, 750.0, [1, 100]
    instruments["expiry_ns"], instruments["price_scale"] = 1_450_990_800_000_000_000, 2
    (body,) = SecurityList(instruments, ["", "GOOG"]).answer("R", "S", 4, "")
    ours = world(Role.INITIATOR, "quickfix", version=version)
    server = await ours.serve()
    await ours.open_ours()
    wire, _ = await server.logon()
    wire.begin_string = version[0]
    wire.say("A", 1, [(98, 0), (108, 30), *([(1137, version[1])] if version[1] else [])])
    wire.say("y", 2, body)
    await ours.handler.until(lambda: ours.handler.raws("y"), "the list arrives")
    direct = build(version[0], "y", 2, "OPT", "AXIOM", utc_timestamp(0), body)
    page = read_page(ours.handler.messages[-1][1])
    assert page == read_page(direct) and len(page.listings) == 2 and not page.refused
