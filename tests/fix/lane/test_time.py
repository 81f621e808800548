"""Heartbeats, silence, the end of the connection, and offers that nobody takes."""

import asyncio
import socket
import time
from pathlib import Path

import pytest
import uvloop

from fix.lane import LaneOwner
from fix.messages import ADMIN_TYPES
from fix.session import State
from fix.testing import SECOND_NS, split_messages
from tests.fix.endpoints.world import new_orders
from tests.fix.lane.step import GOT, Step
from tests.fix.lane.world import Client


class Hot:
    """A client that is hot, on a clock that the test moves."""

    def __init__(self, directory: Path, heartbeat: int = 10) -> None:
        self.client = Client(directory, settings={"heartbeat_interval_s": heartbeat})
        self.heartbeat = heartbeat
        self.step = Step(thread=False)

    async def __aenter__(self) -> "Hot":
        await self.client.log_on(heartbeat=self.heartbeat)
        self.session = self.client.session
        self.session.bind_lane(self.step.lanes, 0, self.step)
        self.wait(0)
        assert self.client.promote(self.step) == ""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    def wait(self, seconds: float) -> None:
        """Time passes for both; the step turns."""
        self.client.now_ns += int(seconds * SECOND_NS)
        self.step.fixed_ns = self.client.now_ns
        self.step.turn()

    def said(self) -> list[str]:
        return [message.msg_type for message in split_messages(self.client.hear())][1:]


async def test_heartbeats_in_both_directions(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        for turn in range(3):
            hot.wait(9.5)
            assert hot.said() == ["0"] * turn
            hot.client.peer.send(hot.client.far.say("0"))
            hot.wait(0.6)
            assert hot.said() == ["0"] * (turn + 1)
            hot.wait(0.0)
        assert hot.step.owner is LaneOwner.HOT
        assert hot.session.next_in == 5 and hot.session.next_out == 5
        hot.session.reclaim()
        lane = hot.session.lane
        assert lane is not None and (lane.heartbeats_in, lane.heartbeats_out) == (3, 3)
        messages = split_messages(hot.client.hear())[1:]
        assert [message.seq for message in messages] == [2, 3, 4]
        assert hot.client.stored() == {1: hot.client.stored()[1]} | {m.seq: m.raw for m in messages}
        # As the machine says it, to the byte but for the number and the time.
        hot.client.now_ns += 10 * SECOND_NS
        hot.session.tick(hot.client.now_ns)
        last = split_messages(hot.client.hear())[-1]
        assert sorted(last.raw[:-7].replace(b"34=5", b"34=4").split(b"\x01")) != [] and last.msg_type == "0"
        assert [tag for tag, _ in sorted(last.fields)] == [tag for tag, _ in sorted(messages[-1].fields)]


async def test_what_is_sent_puts_the_heartbeat_off(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.wait(9)
        hot.step.ask(new_orders(1))
        hot.client.peer.send(hot.client.far.say("0"))
        hot.wait(0)
        hot.wait(9.9)
        assert hot.said() == ["D"]
        hot.wait(0.2)
        assert hot.said() == ["D", "0"]


async def test_silence_is_the_machines(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.wait(11.9)
        assert hot.step.owner is LaneOwner.HOT
        hot.wait(0.2)  # 1.2 intervals
        assert hot.step.owner is LaneOwner.RETURNED
        assert hot.session.tend_lane()
        assert hot.session.lane is not None and hot.session.lane.demotions == {"timeout": 1}
        hot.session.tick(hot.client.now_ns)
        assert hot.said()[-1] == "1"
        assert hot.session.offer_lane() == "the peer is silent"
        hot.client.peer.send(hot.client.far.say("0", [(112, "TEST")]))
        await hot.client.until(lambda: hot.session.next_in == hot.client.far.seq)
        assert hot.client.promote(hot.step) == ""


async def test_a_test_request_is_answered_by_the_machine(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.client.peer.send(hot.client.far.report(2) + hot.client.far.say("1", [(112, "PING")]))
        hot.wait(1)
        hot.wait(0)
        assert hot.step.owner is LaneOwner.RETURNED and hot.step.words[GOT] == 2
        assert hot.said() == []
        hot.session.tend_lane()
        await hot.client.settle()
        reply = split_messages(hot.client.hear())[-1]
        assert (reply.msg_type, reply.text(112)) == ("0", "PING")
        assert hot.session.next_in == hot.client.far.seq


async def test_times_go_over_and_come_back(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.wait(4)
        hot.client.peer.send(hot.client.far.say("0"))
        hot.wait(0)
        hot.wait(3)
        hot.session.reclaim()  # sent 7 s ago, received 3 s ago
        machine = hot.session.machine.snapshot()
        assert machine["last_received_ns"] == hot.client.now_ns - 3 * SECOND_NS
        assert machine["last_sent_ns"] == hot.client.now_ns - 7 * SECOND_NS
        hot.step.fixed_ns += 1000 * SECOND_NS  # whatever the step's clock says
        assert hot.client.promote(hot.step) == ""
        hot.step.fixed_ns += 3 * SECOND_NS - 1
        hot.step.turn()
        assert hot.said() == []
        hot.step.fixed_ns += 1
        hot.step.turn()
        assert hot.said() == ["0"]
        assert b"52=20151224-14:30:10.000" in hot.client.hear()[-60:]


async def test_a_clock_that_is_stepped(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.client.now_ns += 3600 * SECOND_NS
        hot.session.clock_jumped(3600 * SECOND_NS)
        hot.step.ask(new_orders(1))
        hot.step.turn()
        assert b"52=20151224-15:30:00.000" in hot.client.hear()
        hot.session.reclaim()
        hot.session.tick(hot.client.now_ns)
        assert hot.said() == ["D"]  # no time has passed


async def test_the_end_of_the_connection(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.client.peer.send(hot.client.far.report(3) + hot.client.far.say("B", [(148, "last"), (33, 1), (58, "x")]))
        hot.client.hear()  # or it is a reset
        hot.client.peer.close()
        hot.wait(0)
        hot.wait(0)
        assert hot.session.connected
        hot.session.tend_lane()
        await hot.client.until(lambda: not hot.session.connected)
        assert [kind for kind, _ in hot.client.log.all] == ["B"] and hot.step.words[GOT] == 3
        assert hot.session.next_in == hot.client.far.seq
        assert "closed by the peer" in hot.session.last_reason


async def test_an_end_without_a_word(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.client.hear()  # or it is a reset
        hot.client.peer.close()
        hot.wait(0)
        hot.wait(0)
        hot.session.tend_lane()
        assert hot.session.lane is not None and hot.session.lane.demotions == {"eof": 1}
        await hot.client.until(lambda: not hot.session.connected)


async def test_an_offer_that_nobody_takes_is_withdrawn(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.session.reclaim()
        assert hot.session.offer_lane() == ""
        assert hot.session.offer_lane() == "it is out"
        hot.client.peer.send(hot.client.far.report(1))
        await asyncio.sleep(0)
        assert not hot.client.log.all
        for _ in range(5):
            hot.session.tick(0)
        assert hot.step.owner is LaneOwner.COLD
        assert hot.session.lane is not None and hot.session.lane.withdrawn == 1
        await hot.client.until(lambda: len(hot.client.log.all) == 1)


async def test_a_storm_of_offers_does_not_make_a_session_deaf(tmp_path: Path) -> None:
    async with Hot(tmp_path) as hot:
        hot.session.reclaim()
        hot.client.peer.send(hot.client.far.report(2))
        async with asyncio.timeout(60):
            while not hot.client.log.all:
                hot.session.offer_lane()  # nobody takes it
                await asyncio.sleep(0)
                hot.session.reclaim()
        assert len(hot.client.log.all) == 2
        assert hot.session.lane is not None and hot.session.lane.withdrawn > 0


def test_offers_of_a_loop_that_is_late_do_not_make_a_session_deaf(tmp_path: Path) -> None:
    """uvloop runs what is due before it looks at sockets; and while it looks at them, an offer is taken back."""

    async def scenario() -> int:
        loop, turns = asyncio.get_running_loop(), 0
        async with Hot(tmp_path) as hot:

            async def beat() -> None:
                nonlocal turns
                while turns < 300 and not hot.client.log.all:
                    turns += 1
                    hot.session.offer_lane()
                    await asyncio.sleep(0.001)  # over at every turn

            def take_back() -> None:
                hot.session.reclaim()
                over_ns = time.perf_counter_ns() + 5_000_000  # the turn goes on for longer than any rest
                while time.perf_counter_ns() < over_ns:
                    pass

            hot.session.reclaim()
            hot.client.peer.send(hot.client.far.report(2))
            near, far = socket.socketpair()
            with near, far:
                far.send(b"x")  # never read: always ready
                loop.add_reader(near, take_back)
                await beat()
                await hot.client.until(lambda: len(hot.client.log.all) == 2)
                loop.remove_reader(near)
        return turns

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scenario()) < 30


@pytest.mark.parametrize("act", ["logout", "abort", "disconnect", "reset", "set_in", "set_out", "send", "refuse"])
async def test_whatever_is_asked_of_a_hot_session(tmp_path: Path, act: str) -> None:
    async with Hot(tmp_path) as hot:
        hot.step.ask(new_orders(2))
        hot.client.peer.send(hot.client.far.report(2))
        hot.wait(0)
        hot.wait(0)
        session, next_in, next_out = hot.session, hot.session.next_in, hot.session.next_out
        assert (next_in, next_out) == (4, 4) and session.describe()["lane"]["owner"] == "hot"
        raw = hot.client.far.say("B", [(148, "x")])
        {
            "logout": session.logout, "abort": lambda: session.abort("enough"), "disconnect": session.disconnect,
            "reset": session.reset_sequences, "set_in": lambda: session.set_next_in(9),
            "set_out": lambda: session.set_next_out(9), "send": lambda: session.send("B", [(148, "x"), (33, 0)]),
            "refuse": lambda: session.refuse(raw, 3, "no"),
        }[act]()  # fmt: skip
        assert step_is_cold(hot)
        said = hot.said()
        assert said[:2] == ["D", "D"]
        expected = {
            "logout": (["5"], 4, 5), "abort": ([], 4, 4), "disconnect": (["5"], 4, 5), "reset": (["A"], 4, 2),
            "set_in": ([], 9, 4), "set_out": ([], 4, 9), "send": (["B"], 4, 5), "refuse": (["j"], 4, 5),
        }[act]  # fmt: skip
        assert (said[2:], session.next_in, session.next_out) == expected
        assert session.state in (State.LOGGED_ON, State.LOGOUT_SENT, State.DISCONNECTED)
        assert "0" in ADMIN_TYPES


def step_is_cold(hot: Hot) -> bool:
    return hot.step.owner is LaneOwner.COLD and not hot.session.lane_out
