"""The hazards of quickfix-python, each set off on purpose in a real worker process.

Whatever happens in there, trading on the session ends visibly, with a reason, and nothing that
the peer said is lost or delivered twice.
"""

import asyncio
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fix.errors import FixError, SessionNotLoggedOnError, WorkerFailedError
from fix.foreign import Unsent, WorkerFailed, WorkerPolicy
from fix.messages import build, frame, parse, utc_timestamp
from fix.session import Role, State
from tests.interop.rig import ROOT, SYMBOL, Make, Recorder, World, everywhere
from tests.interop.test_sessions import NEWS, headlines, news, trade

BOOM = "35=B|148={}|33=1|58=boom|"
QUICK = WorkerPolicy(first_s=0.05, factor=1.0, max_s=0.05, most_failures=50)


def initiator(world: Make, fault: str = "", **changes: Any) -> World:
    """Ours on quickfix, with a worker that is started again at once."""
    made = world(Role.INITIATOR, "quickfix", peer={"quiet": True}, **({"heartbeat_interval_s": 2} | changes))
    made.policy, made.fault = QUICK, fault
    return made


@pytest.fixture
def ours(world: Make) -> World:
    """The same, without a fault."""
    return initiator(world)


async def failed(ours: World) -> WorkerFailed:
    """The worker's end, as it is told."""
    await ours.handler.until(lambda: ours.handler.of(WorkerFailed), "the end of the worker is told")
    found: WorkerFailed = ours.handler.of(WorkerFailed)[0]
    return found


# ------------------------------------------------------------ exceptions in callbacks


@everywhere(callback=["fromApp", "toApp", "fromAdmin", "toAdmin", "onLogon"])
async def test_exception_in_a_callback_ends_trading_visibly(world: Make, callback: str) -> None:
    ours = initiator(world, f"raise:{callback}")
    await ours.peer.start()
    await ours.open_ours()
    if callback in ("fromApp", "toApp"):
        await ours.logged_on()
        if callback == "toApp":
            ours.session.send("B", [(148, "x"), (33, 1), (58, "boom")])
        else:
            await ours.peer.send(BOOM.format("x"))
    failure = await failed(ours)
    assert f"{callback} raised ValueError: broken on purpose" in failure.reason
    await ours.handler.until(lambda: ours.handler.failures, "the failure is reported")
    assert failure.standing_down and isinstance(ours.handler.failures[0], WorkerFailedError)
    assert ours.session.state is State.DISCONNECTED and not ours.session.logged_on
    if callback in ("fromApp", "toApp"):
        assert "broken on purpose" in ours.handler.states[-1][1]
        await ours.peer.until(lambda: ours.peer.of("logout"), "the peer sees the line go")
        with pytest.raises(SessionNotLoggedOnError):
            ours.session.send("B", news("y"))
    assert ours.endpoint.standing_down and ours.endpoint.worker_pid == 0
    ours.session.connect()  # a person has looked at it
    await ours.handler.until(lambda: ours.session.steady, "up again")
    await trade(ours, "after")


async def silent_thread(world: Make, fault: str) -> None:
    """quickfix's thread is dead or hangs: two heartbeats at most, and the message is not lost."""
    ours = await initiator(world, fault).open()
    await ours.peer.send(NEWS.format("before"), BOOM.format("x"))
    reason = (await failed(ours)).reason
    silence = re.fullmatch(r"quickfix's thread has been silent for (\d+\.\d) s \(HeartBtInt 2 s\)", reason)
    assert silence is not None and float(silence[1]) <= 4.0, reason
    assert (State.DISCONNECTED, reason) in ours.handler.states
    await ours.handler.until(lambda: "x" in headlines(ours.handler.raws("B")), "it comes after the restart")
    assert headlines(ours.handler.raws("B")) == ["before", "x"]
    await trade(ours, "after")


async def frozen_process(world: Make) -> None:
    """The worker as a whole stands still."""
    ours = await initiator(world).open()
    pid = ours.endpoint.worker_pid
    os.kill(pid, signal.SIGSTOP)
    silence = re.fullmatch(r"the worker has said nothing for (\d+\.\d) s", (await failed(ours)).reason)
    assert silence is not None and float(silence[1]) <= 4.0
    await ours.handler.until(lambda: ours.session.steady)
    assert ours.endpoint.worker_pid != pid
    await trade(ours, "after")


async def quiet_session(world: Make) -> None:
    """Nothing but heartbeats is life enough."""
    ours = await initiator(world).open()
    await ours.peer.until(lambda: len(ours.peer.messages("in", "0")) >= 3, "three heartbeats of ours")
    assert not ours.handler.of(WorkerFailed) and ours.session.steady


@everywhere(what=["dead thread", "hanging callback", "frozen process", "quiet session"])
async def test_silence_is_noticed_within_two_heartbeats_and_quiet_is_not_silence(world: Make, what: str) -> None:
    if what == "dead thread":
        await silent_thread(world, "unguarded")
    elif what == "hanging callback":
        await silent_thread(world, "hang")
    elif what == "frozen process":
        await frozen_process(world)
    else:
        await quiet_session(world)


# ----------------------------------------------------------------- the process dies


async def test_segfault_is_seen_with_its_signal(ours: World) -> None:
    ours.fault = "segfault"
    await ours.open()
    await ours.peer.send(BOOM.format("x"))
    assert f"signal {int(signal.SIGSEGV)}" in (await failed(ours)).reason
    await ours.handler.until(lambda: headlines(ours.handler.raws("B")) == ["x"], "it comes after the restart")


async def test_message_that_kills_quickfix_each_time_ends_in_standing_down(world: Make) -> None:
    """quickfix reads a raw data length without a bound: what it says is believed, and the process dies."""
    logons = 0

    async def venue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal logons
        buffer = b""
        while data := await reader.read(4096):
            buffer += data
            begin, stop = frame(buffer, 0, len(buffer))
            if stop == begin:
                continue
            logons += 1
            writer.write(
                build(
                    "FIX.4.4",
                    "A",
                    logons,
                    "OPT",
                    "AXIOM",
                    utc_timestamp(time.time_ns()),
                    [(98, 0), (108, 30), (141, "Y")],
                )
            )
            body = [(148, "x"), (33, 1), (58, "y"), (354, 900_000_000), (355, "z")]
            writer.write(build("FIX.4.4", "B", 2, "OPT", "AXIOM", utc_timestamp(time.time_ns()), body))
            buffer = b""
            logons = 0
        writer.close()

    ours = world(Role.INITIATOR, "quickfix", reset_on_logon=True)
    ours.policy = WorkerPolicy(first_s=0.01, factor=1.0, max_s=0.01, most_failures=3)
    server = await asyncio.start_server(venue, "127.0.0.1", ours.port)
    await ours.open_ours()
    await ours.handler.until(lambda: ours.handler.failures, "it stands down")
    assert [event.standing_down for event in ours.handler.of(WorkerFailed)] == [False, False, True]
    assert all("signal 11" in event.reason for event in ours.handler.of(WorkerFailed))
    server.close()


async def test_worker_that_cannot_start_says_why(ours: World) -> None:
    ours.fault = "start"
    await ours.open_ours()
    await ours.handler.until(lambda: ours.handler.failures)
    assert "did not start: ZeroDivisionError" in ours.handler.of(WorkerFailed)[0].reason


async def test_port_that_is_taken_fails_the_start(world: Make) -> None:
    ours = world(Role.ACCEPTOR, "quickfix")
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", ours.port)
    with pytest.raises(OSError, match=str(ours.port)):
        await ours.open_ours()
    server.close()


async def test_message_spooled_but_not_counted_is_delivered_once(ours: World) -> None:
    ours.fault = "spooled"
    await ours.open()
    await ours.peer.send(NEWS.format("before"), BOOM.format("x"))
    await ours.handler.until(lambda: ours.handler.of(WorkerFailed), "the worker dies")
    await ours.handler.until(lambda: ours.session.steady)
    await trade(ours, "after")
    assert headlines(ours.handler.raws("B")) == ["before", "x", "after"]


async def test_message_stored_but_not_counted_by_quickfix_is_sent_once(world: Make) -> None:
    """Its number goes to the next Logon: what stands in the store under it was never sent."""
    ours = world(Role.ACCEPTOR, "quickfix", peer={"quiet": True})
    ours.policy, ours.fault = QUICK, "stored"
    await ours.open()
    await trade(ours, "before")
    for text in ("x", "y"):
        ours.session.send("B", [(148, text), (33, 1), (58, "boom")])
    assert f"signal {int(signal.SIGKILL)}" in (await failed(ours)).reason
    await ours.handler.until(lambda: ours.session.steady)
    await trade(ours, "after")
    told = ["before", "x", "y", "after"]
    assert headlines(ours.peer.messages("app", "B")) == told
    os.kill(ours.endpoint.worker_pid, signal.SIGKILL)  # the third one reads the number twice in the files
    await ours.handler.until(lambda: len(ours.handler.of(WorkerFailed)) == 2)
    await ours.handler.until(lambda: ours.session.steady)
    await trade(ours, "last")
    await ours.peer.forget(1, expecting=ours.session.next_out)
    ours.session.send("B", news("beyond"))
    await ours.peer.until(lambda: headlines(ours.peer.messages("app", "B"))[-1] == "beyond")
    assert headlines(ours.peer.messages("app", "B")) == [*told, "last", *told, "last", "beyond"]


@everywhere(role=Role)
async def test_kill_9_of_the_worker_under_load_loses_and_doubles_nothing(world: Make, role: Role) -> None:
    ours = world(role, "quickfix", peer={"quiet": True})
    ours.policy = QUICK
    await ours.open()
    chance = random.Random(7)
    sent, told = 0, 0
    for _ in range(6):
        for _ in range(chance.randint(1, 40)):
            await ours.peer.send(*(NEWS.format(f"p{sent + k}") for k in range(5)))
            sent += 5
            if role is Role.ACCEPTOR:  # what an acceptor says is kept for the peer, whatever happens
                ours.session.send("B", news(f"o{told}"))
                told += 1
        before = ours.endpoint.restarts
        os.kill(ours.endpoint.worker_pid, signal.SIGKILL)
        await ours.handler.until(lambda: ours.endpoint.restarts > before, "the death is noticed")  # noqa: B023
        await ours.handler.until(lambda: ours.session.steady, "it is up again")
    await ours.handler.until(lambda: len(ours.handler.raws("B")) >= sent, "everything has come")
    await trade(ours, "last")
    assert headlines(ours.handler.raws("B")) == [f"p{k}" for k in range(sent)] + ["last"]
    await ours.peer.until(lambda: "last" in headlines(ours.peer.messages("app", "B")))
    assert headlines(ours.peer.messages("app", "B")) == [f"o{k}" for k in range(told)] + ["last"]


# ------------------------------------------------------------------ the parent dies


PARENT = """
import asyncio, os, sys
from pathlib import Path
from fix.session import Role
from tests.interop.rig import Recorder, World

class Deadly(Recorder):
    def on_message(self, session, msg_type, raw, poss_dup):
        if b"58=boom" in raw:
            os.kill(os.getpid(), 9)

async def main():
    world = World(Path(sys.argv[1]), Role.INITIATOR, "quickfix")
    world.port = int(sys.argv[2])
    world.handler = Deadly()
    await world.open_ours()
    await world.handler.until(lambda: world.session.logged_on)
    print(world.endpoint.worker_pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_kill_9_of_the_parent_takes_the_worker_along_and_loses_nothing(ours: World) -> None:
    await ours.peer.start()
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(ours.directory), str(ours.port), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    worker = int(await parent.stdout.readline())
    await ours.peer.until(lambda: ours.peer.of("logon"))
    await ours.peer.send(NEWS.format("taken"), BOOM.format("x"), NEWS.format("y"))
    assert await parent.wait() == -signal.SIGKILL
    await ours.peer.until(lambda: ours.peer.of("logout"), "the line goes with the parent")
    await ours.open_ours()
    await ours.handler.until(lambda: len(ours.handler.raws("B")) >= 2, "what was not taken comes again")
    await trade(ours, "after")
    assert headlines(ours.handler.raws("B")) == ["x", "y", "after"]
    assert ours.handler.messages[0][2], "it may have been acted upon: a possible duplicate"
    stat = Path(f"/proc/{worker}/stat")  # without an init that reaps, a zombie remains
    assert not stat.exists() or stat.read_text().split()[2] == "Z", "the worker lives on"


async def test_handler_that_raises_ends_the_session_and_gets_the_message_again(ours: World) -> None:
    class Fragile(Recorder):
        def on_message(self, session: Any, msg_type: str, raw: bytes, poss_dup: bool) -> None:
            if b"58=boom" in raw and not self.failures:
                raise RuntimeError("cannot take it")
            super().on_message(session, msg_type, raw, poss_dup)

    ours.handler = Fragile()
    await ours.open()
    await ours.peer.send(NEWS.format("a"), BOOM.format("x"), NEWS.format("b"))
    await ours.handler.until(lambda: ours.handler.failures)
    assert any("handler failed: RuntimeError: cannot take it" in reason for _, reason in ours.handler.states)
    await ours.handler.until(lambda: len(ours.handler.raws("B")) == 3, "after the next logon")
    assert headlines(ours.handler.raws("B")) == ["a", "x", "b"]
    assert not ours.handler.of(WorkerFailed), "a cut of ours is no failure of the worker"


# ------------------------------------------------------------- orders that come late


async def test_order_that_misses_the_line_is_refused_and_never_sent(ours: World) -> None:
    await ours.open()
    await ours.peer.kill()
    await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED)
    ours.session._state = State.LOGGED_ON  # as in the moment before we hear of it
    ours.session.send("D", [(11, "late"), (55, SYMBOL), (54, 1), (38, 5), (40, 1)])
    ours.session._state = State.DISCONNECTED
    await ours.handler.until(lambda: ours.handler.of(Unsent), "the refusal is said")
    refused = ours.handler.of(Unsent)[0]
    assert refused.msg_type == "D" and parse(refused.raw).text(11) == "late" and "not logged on" in refused.reason
    await ours.peer.start()
    await ours.logged_on(2)
    await trade(ours, "after")
    assert not ours.peer.messages("in", "D")


async def test_text_that_is_not_utf8_is_refused_and_the_session_goes_on(ours: World) -> None:
    await ours.open()
    ours.session.send("B", [(148, b"\xff\xfe"), (33, 1), (58, "x")])
    await ours.handler.until(lambda: ours.handler.of(Unsent))
    assert "UTF-8" in ours.handler.of(Unsent)[0].reason
    await trade(ours, "after")


async def test_largest_message_goes_and_a_larger_one_is_refused(ours: World) -> None:
    await ours.open()
    ours.session.send("B", [(148, "large"), (33, 1), (58, "x" * 299_000)])
    await ours.peer.until(lambda: ours.peer.messages("app", "B"), "it arrives")
    assert len(ours.peer.messages("app", "B")[0].text(58)) == 299_000
    with pytest.raises(FixError, match="at most 300000 fit"):
        ours.session.send("B", [(148, "larger"), (33, 1), (58, "x" * 300_000)])
    await trade(ours, "after")


# ------------------------------------------------------------------ the peer dies


@everywhere(engine=["axiom", "quickfix"], role=Role)
async def test_kill_9_of_the_peer_under_load_loses_and_doubles_nothing(world: Make, engine: str, role: Role) -> None:
    ours = await world(role, engine, peer={"quiet": True}).open()
    chance = random.Random(11)
    sent, told = 0, 0
    for _ in range(4):
        for _ in range(chance.randint(5, 40)):
            await ours.peer.send(*(NEWS.format(f"p{sent + k}") for k in range(5)))
            sent += 5
            for _ in range(5):
                ours.session.send("B", news(f"o{told}"))
                told += 1
        await ours.peer.kill()
        await ours.handler.until(lambda: ours.session.state is State.DISCONNECTED, "we notice")
        logons = len(ours.peer.of("logon"))
        await ours.peer.start()
        await ours.logged_on(logons + 1)
    await trade(ours, "last")
    assert headlines(ours.handler.raws("B")) == [f"p{k}" for k in range(sent)] + ["last"]
    refused = {parse(event.raw).text(148) for event in ours.handler.of(Unsent)}
    expected = [f"o{k}" for k in range(told) if f"o{k}" not in refused] + ["last"]
    # What it had said to its application and not yet counted when it was killed, it says again, marked.
    seen: list[str] = []
    for message in ours.peer.messages("app", "B"):
        if message.text(148) in seen:
            assert message.text(43) == "Y", message.text(148)
        else:
            seen.append(message.text(148))
    assert seen == expected
