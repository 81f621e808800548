"""A session that goes to a step and back, over real sockets."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fix.lane import LaneOwner
from fix.store import verify
from market import records
from tests.fix.endpoints.world import World, new_orders, reports
from tests.fix.lane.step import GOT, Step


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("thread", [True, False])
async def test_orders_and_reports_by_the_lane(tmp_path: Path, thread: bool) -> None:
    world = World(tmp_path)
    await world.open()
    with Step(thread=thread) as step:
        client, venue = world.client, world.venue
        client.bind_lane(step.lanes, 0, step)
        before = (client.next_in, client.next_out)
        assert client.offer_lane() == ""

        def turned() -> bool:
            if not thread:
                step.turn()
            return step.owner is LaneOwner.HOT

        await until(turned)
        step.ask(new_orders(100))
        venue.send_executions(reports(70), 70)

        def done() -> bool:
            if not thread:
                step.turn()
            return len(world.venue_handler.frames) == 100 and step.words[GOT] == 70

        await until(done)
        assert step.owner is LaneOwner.HOT
        assert (client.next_in, client.next_out) == (before[0] + 70, before[1] + 100)
        assert list(world.venue_handler.rows(records.ORDER)["cl_ord_id"]) == list(range(1, 101))
        rows = records.as_layout(step.frames, records.EXECUTION)
        assert list(rows["cl_ord_id"]) == list(range(1, 71))
        client.send("B", [(148, "cold again")])
        assert step.owner is LaneOwner.COLD and client.lane.demotions == {"wish": 1}
        await world.venue_handler.until(lambda: world.venue_handler.messages)
        assert (client.machine.next_in, client.next_out) == (before[0] + 70, before[1] + 101)
        assert venue.machine.next_in == before[1] + 101
        stored = dict(client.store.read(1, 1000))
        assert len(stored) == before[1] + 100
    await world.close()
    assert verify(tmp_path / "client").sound
