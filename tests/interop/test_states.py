"""The line goes in every state of a session, on both engines: it comes back and nothing is lost or doubled.

The far side is played message by message, because a real peer would not stop in the middle.
"""

import asyncio
import time

from fix.messages import build, utc_timestamp
from fix.session import GapDetected, GapFilled, Role, SequencesReset, State
from tests.interop.rig import Make, Wire, WireServer, World, everywhere
from tests.interop.test_sessions import headlines, news, trade

ENGINES = ("axiom", "quickfix")
LOGON = [(98, 0), (108, 30)]


async def initiator(world: Make, engine: str, **changes: object) -> tuple[World, WireServer]:
    """Ours, and the server that it connects to."""
    ours = world(Role.INITIATOR, engine, **changes)
    server = await ours.serve()
    await ours.open_ours()
    return ours, server


async def accept(ours: World, server: WireServer, seq: int) -> Wire:
    """Answer the next Logon."""
    wire, _ = await server.logon()
    wire.say("A", seq, LOGON)
    await ours.handler.until(lambda: ours.session.logged_on)
    return wire


async def down(ours: World) -> None:
    await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED, "we notice")


@everywhere(engine=ENGINES)
async def test_nobody_listens_then_a_logon_is_dropped_then_it_works(world: Make, engine: str) -> None:
    ours = world(Role.INITIATOR, engine)
    await ours.open_ours()
    await ours.handler.until(lambda: ours.endpoint.attempts >= 1 and ours.endpoint.last_error)
    assert not ours.session.logged_on
    server = await ours.serve()
    wire, _ = await server.logon()
    wire.cut()  # in state LOGON_SENT
    wire = await accept(ours, server, 1)
    wire.say("B", 2, news("x"))
    await ours.handler.until(lambda: headlines(ours.handler.raws("B")) == ["x"])
    assert ours.endpoint.last_error == ""


@everywhere(engine=ENGINES)
async def test_line_goes_while_our_logout_is_unanswered(world: Make, engine: str) -> None:
    ours, server = await initiator(world, engine)
    wire = await accept(ours, server, 1)
    ours.session.logout("bye")
    await wire.hear("5")
    wire.cut()  # in state LOGOUT_SENT
    await down(ours)
    wire = await accept(ours, server, 2)
    await ours.steady()


@everywhere(engine=ENGINES)
async def test_logout_that_is_never_answered_ends_by_time(world: Make, engine: str) -> None:
    ours, server = await initiator(world, engine, logout_timeout_s=1.0)
    wire = await accept(ours, server, 1)
    ours.session.logout("bye")
    await wire.hear("5")
    await wire.gone()
    await down(ours)


@everywhere(engine=ENGINES)
async def test_line_goes_while_a_gap_is_open(world: Make, engine: str) -> None:
    ours, server = await initiator(world, engine)
    wire = await accept(ours, server, 1)
    wire.say("B", 4, news("c"))
    assert (await wire.hear("2")).text(7) == "2"
    wire.again("B", 2, news("a"))
    await ours.handler.until(lambda: headlines(ours.handler.raws("B")) == ["a"])
    assert not ours.session.steady
    wire.cut()  # 3 is still missing
    await down(ours)
    wire = await accept(ours, server, 5)
    assert (await wire.hear("2")).text(7) == "3"
    for seq, text in ((3, "b"), (4, "c")):
        wire.again("B", seq, news(text))
    wire.again("4", 5, [(36, 6), (123, "Y")])
    await ours.steady()
    assert headlines(ours.handler.raws("B")) == ["a", "b", "c"]
    wire.say("B", 6, news("d"))
    await ours.handler.until(lambda: len(ours.handler.raws("B")) == 4)
    assert len(ours.handler.of(GapDetected)) == 2 and len(ours.handler.of(GapFilled)) == 1


@everywhere(engine=ENGINES)
async def test_line_goes_inside_a_resend_of_ours(world: Make, engine: str) -> None:
    ours, server = await initiator(world, engine)
    wire = await accept(ours, server, 1)
    for k in range(50):
        ours.session.send("B", news(f"n{k}"))
    while (await wire.hear("B")).text(148) != "n49":
        pass
    wire.say("2", 2, [(7, 2), (16, 0)])
    await wire.hear("B")
    wire.cut()
    await down(ours)
    wire = await accept(ours, server, 3)
    wire.say("2", 4, [(7, 2), (16, 51)])
    again = [await wire.hear("B") for _ in range(50)]
    assert headlines(again) == [f"n{k}" for k in range(50)]
    assert [message.seq for message in again] == list(range(2, 52))
    assert all(message.text(43) == "Y" for message in again)


@everywhere(engine=ENGINES)
async def test_peer_that_lost_its_numbers_is_recovered_by_a_reset_if_we_may(world: Make, engine: str) -> None:
    ours, server = await initiator(world, engine, recover_by_reset=True)
    wire = await accept(ours, server, 1)
    wire.say("B", 2, news("a"))
    await ours.handler.until(lambda: ours.handler.raws("B"))
    wire.cut()
    wire, _ = await server.logon()
    wire.say("A", 1, LOGON)  # it begins anew, and does not say so
    await wire.gone()
    await ours.handler.until(lambda: "too low" in ours.session.last_reason, "the reason is told")
    assert not ours.session.logged_on
    wire, logon = await server.logon()
    assert (logon.seq, logon.text(141)) == (1, "Y")
    wire.say("A", 1, [*LOGON, (141, "Y")])
    await ours.steady()
    wire.say("B", 2, news("b"))
    await ours.handler.until(lambda: len(ours.handler.raws("B")) == 2)
    assert headlines(ours.handler.raws("B")) == ["a", "b"]
    assert ours.handler.of(SequencesReset)
    wire.cut()
    wire, logon = await server.logon()
    assert logon.text(141) == "", "asked once, not for ever"


@everywhere(engine=ENGINES)
async def test_peer_that_lost_its_numbers_is_turned_away_until_a_person_decides(world: Make, engine: str) -> None:
    ours, server = await initiator(world, engine)
    wire = await accept(ours, server, 1)
    wire.say("B", 2, news("a"))
    await ours.handler.until(lambda: ours.handler.raws("B"))
    wire.cut()
    wire, _ = await server.logon()
    wire.say("A", 1, LOGON)
    assert "too low" in (await wire.hear("5")).text(58)
    await wire.gone()
    ours.session.set_next_in(1, force=True)  # the person
    wire = await accept(ours, server, 1)
    wire.say("B", 2, news("b"))
    await ours.handler.until(lambda: len(ours.handler.raws("B")) == 2)


@everywhere(engine=ENGINES)
async def test_operator_takes_the_session_down_and_up(world: Make, engine: str) -> None:
    ours = await world(Role.INITIATOR, engine, peer={"quiet": True}).open()
    ours.session.disconnect("maintenance")
    await down(ours)
    assert not ours.session.enabled
    logons = len(ours.peer.of("logon"))
    ours.session.set_next_out(ours.session.next_out + 10)
    ours.session.connect()
    await ours.logged_on(logons + 1)
    await trade(ours, "after")
    assert ours.peer.messages("in", "B")[-1].seq >= 12


@everywhere(engine=ENGINES)
async def test_acceptor_survives_strangers_and_serves_who_is_meant(world: Make, engine: str) -> None:
    ours = world(Role.ACCEPTOR, engine)
    await ours.open_ours()
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01"):
        _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
        writer.write(said)
        await writer.drain()
        writer.transport.abort()
    wire = Wire(*await asyncio.open_connection("127.0.0.1", ours.port))
    wire.say("A", 1, LOGON)
    await wire.hear("A")
    await ours.handler.until(lambda: ours.session.logged_on)
    second = Wire(*await asyncio.open_connection("127.0.0.1", ours.port))
    second.say("A", 2, LOGON)
    await second.gone()  # two logons for one session: the second goes, the first stays
    wire.say("B", 2, news("x"))
    await ours.handler.until(lambda: headlines(ours.handler.raws("B")) == ["x"])
    second.cut()
    wire.cut()
    await down(ours)


@everywhere(engine=ENGINES)
async def test_clock_that_is_five_minutes_off_ends_the_session_with_a_reason(world: Make, engine: str) -> None:
    ours = world(Role.ACCEPTOR, engine)
    await ours.open_ours()
    wire = Wire(*await asyncio.open_connection("127.0.0.1", ours.port))
    wire.say("A", 1, LOGON)
    await ours.handler.until(lambda: ours.session.logged_on)
    late = utc_timestamp(time.time_ns() - 300_000_000_000)
    wire.writer.write(build("FIX.4.4", "B", 2, "OPT", "AXIOM", late, news("x")))
    assert (await wire.hear("3")).text(373) == "10"
    await wire.hear("5")
    wire.cut()
    await down(ours)
    assert ours.session.last_reason and not ours.handler.raws("B")
