"""A session that changes hands again and again, under load, in front of a real quickfix peer.

``AXIOM_LANE_PROMOTIONS=10000`` runs it at length; the default is a few hundred.
"""

import asyncio
import os
import random
import time
from typing import Any

import numpy as np
import pytest

from fix.lane import LaneOwner
from fix.messages import parse
from fix.session import Role
from fix.store import verify
from market import records
from tests.fix.lane.step import GOT, MOST, Step
from tests.fix.lane.warm import warm
from tests.interop.rig import Make, World, orders

PROMOTIONS = int(os.environ.get("AXIOM_LANE_PROMOTIONS", "300"))
OUTSTANDING = 200
NEWS = "35=B|148={}|33=1|58=line|"


class Merged:
    """What the peer said, by whichever way it came, in the order in which it was delivered."""

    def __init__(self, world: World, step: Step) -> None:
        self.step, self.taken, self.seqs = step, 0, list[int]()
        self.reports: list[int] = []
        self.inner = world.handler
        world.session.handler = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def catch_up(self) -> None:
        """What came hot, before anything that comes cold after it."""
        rows = records.as_layout(self.step.frames[self.taken :], records.EXECUTION)
        self.taken += len(rows)
        self.add(rows)

    def add(self, rows: Any) -> None:
        self.seqs += rows["msg_seq"].tolist()
        self.reports += rows["cl_ord_id"].tolist()

    def on_frames(self, session: Any, frames: Any, count: int) -> None:
        self.catch_up()
        self.add(records.as_layout(frames[:count].copy(), records.EXECUTION))
        self.inner.changed.set()

    def on_message(self, session: Any, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        self.catch_up()
        self.seqs.append(parse(raw).seq or 0)
        self.inner.on_message(session, msg_type, raw, poss_dup)


class Load:
    """Orders, news and changes of hands at random."""

    def __init__(self, ours: World, step: Step, merged: Merged, seed: int) -> None:
        self.ours, self.step, self.merged = ours, step, merged
        self.rng = random.Random(seed)
        self.asked = self.news = self.theirs = 0

    async def turn(self) -> None:
        rng, step, session = self.rng, self.step, self.ours.session
        session.tend_lane()
        step.serve(session)
        if not session.lane_out:
            session.offer_lane()
        if session.lane_out and rng.random() < 0.95:
            await self.taken()
        count = min(rng.choice((0, 1, 1, 3, 8)), MOST - self.asked)
        if not session.logged_on:
            return
        if count and self.asked - len(self.merged.reports) - (int(step.words[GOT]) - self.merged.taken) < OUTSTANDING:
            step.ask(orders(range(self.asked + 1, self.asked + count + 1)))
            self.asked += count
        for _ in range(rng.choice((0, 1, 5, 200))):
            await asyncio.sleep(0)
            if step.owner is LaneOwner.HOT and rng.random() < 0.1:
                break
        dice = rng.random()
        if dice < 0.60:
            session.reclaim()
        elif dice < 0.75:
            self.news += 1
            session.send("B", [(148, f"ours {self.news}"), (33, 1), (58, "line")])
        elif dice < 0.76:
            self.theirs += 1
            await self.ours.peer.send(NEWS.format(f"theirs {self.theirs}"))

    async def taken(self) -> None:
        """The step has the session; on a crowded machine its thread is not always at hand."""
        async with asyncio.timeout(30):
            while self.step.owner is LaneOwner.OFFERED:
                self.step.serve(self.ours.session)
                await asyncio.sleep(0)

    async def finish(self) -> None:
        """Everything that was asked has been sent and answered."""
        step, session = self.step, self.ours.session

        def done() -> bool:
            session.tend_lane()
            step.serve(session)
            self.merged.catch_up()
            return len(self.merged.reports) >= self.asked and not session.backlog_bytes

        async with asyncio.timeout(60):
            while not done():
                await asyncio.sleep(0.001)
        session.reclaim()


async def test_promotions_under_load(world: Make, capsys: pytest.CaptureFixture[str]) -> None:
    warm()  # a kernel that is compiled while the peer waits costs the connection
    ours = await world(Role.INITIATOR, "axiom", hot=True, heartbeat_interval_s=2).open()
    session = ours.session
    first_in, first_out = session.next_in, session.next_out
    with Step(thread=True) as step:
        session.bind_lane(step.lanes, 0, step)
        merged = Merged(ours, step)
        load = Load(ours, step, merged, seed=PROMOTIONS)
        started = time.perf_counter()
        async with asyncio.timeout(60 + PROMOTIONS / 20):
            while session.lane.promotions < PROMOTIONS:
                assert session.logged_on, (session.last_reason, session.lane, ours.handler, ours.peer)
                await load.turn()
        await load.finish()
        elapsed = time.perf_counter() - started
        await check(ours, merged, load, first_in, first_out)
    lane = session.lane
    with capsys.disabled():
        print(
            f"\n{lane.promotions} promotions in {elapsed:.1f} s: {lane.demotions}, {lane.withdrawn} withdrawn; "
            f"{lane.messages_out} of {load.asked} orders and {lane.messages_in} reports hot; heartbeats "
            f"{lane.heartbeats_in} in, {lane.heartbeats_out} out (AXIOM_LANE_PROMOTIONS sets the number)"
        )
    assert lane.messages_out > PROMOTIONS / 2 and lane.messages_in > PROMOTIONS / 2  # a share depends on the machine


async def check(ours: World, merged: Merged, load: Load, first_in: int, first_out: int) -> None:
    """Nothing is lost, doubled or out of order, on either side, in memory or on disk."""
    peer, session = ours.peer, ours.session
    await peer.counted(session.next_out)
    incoming = peer.messages("in")[-(session.next_out - first_out) :]
    assert [message.seq for message in incoming] == list(range(first_out, session.next_out))
    assert not any(message.flag(43) for message in peer.messages("in"))
    app = peer.messages("app")
    assert [int(message.text(11), 16) for message in app if message.msg_type == "D"] == list(range(1, load.asked + 1))
    assert [m.text(148) for m in app if m.msg_type == "B"] == [f"ours {n + 1}" for n in range(load.news)]
    await ours.handler.until(lambda: len(ours.handler.messages) == load.theirs)
    merged.catch_up()
    assert merged.seqs == sorted(set(merged.seqs))
    said = [message for message in peer.messages("out") if (message.seq or 0) >= first_in]
    assert merged.seqs == [message.seq for message in said if message.msg_type in ("8", "B")]
    assert merged.reports == list(range(1, load.asked + 1))
    assert not any(message.msg_type in ("2", "3", "4", "5") for message in said)
    stored = dict(session.store.read(first_out, session.next_out))
    assert stored == {message.seq: message.raw for message in incoming}
    assert np.array_equal(sorted(stored), np.arange(first_out, session.next_out))
    assert verify(ours.directory / "ours").sound
