"""What a lane sends: nothing lost, doubled or out of order, whatever the socket takes; never beyond the throttle."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fix.errors import ThrottledError
from fix.lane import LaneOwner, lane_frame, lane_receive, lane_send, lane_taken
from fix.store import verify
from fix.testing import split_messages
from fix.throttle import ThrottlePolicy, ThrottleSettings
from market.enums import OrderAction
from tests.fix.endpoints.world import new_orders
from tests.fix.lane.step import BATCH, COLD, HANDLED, STEPPED, Step
from tests.fix.lane.world import Client


def orders_in(data: bytes) -> list[tuple[int, int]]:
    """MsgSeqNum and ClOrdID of every order in the stream; every number must be there once, in order."""
    messages = split_messages(data)
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    return [(message.seq or 0, int(message.text(11), 16)) for message in messages if message.msg_type in "DF"]


def cancels(count: int, first_id: int) -> Any:
    rows = new_orders(count, first_id)
    rows["action"], rows["orig_cl_ord_id"] = OrderAction.CANCEL, np.arange(count) + 1
    return rows


@pytest.mark.parametrize("seed", range(4))
async def test_a_peer_that_reads_slowly(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    client = Client(tmp_path)
    await client.log_on(sndbuf=4096)
    session, total = client.session, 3000
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns
        step.words[BATCH] = rng.choice((1, 5, 64))
        session.bind_lane(step.lanes, 0, step)
        rows = new_orders(total)
        asked = 0
        async with asyncio.timeout(30):
            while asked < total or step.words[STEPPED] < total or step.serve(session) or session.backlog_bytes:
                if rng.random() < 0.5:
                    client.promote(step)
                if asked < total and rng.random() < (0.7 if step.owner is LaneOwner.HOT else 0.02):
                    count = min(rng.choice((1, 3, 50, 400)), total - asked)
                    step.ask(rows[asked : asked + count])
                    asked += count
                step.turn()
                if rng.random() < 0.5:
                    client.hear(rng.choice((1, 100, 5000, 100_000)))
                if rng.random() < 0.6:
                    step.serve(session)
                if rng.random() < 0.1:
                    session.reclaim()
                session.tend_lane()
                await asyncio.sleep(0)
        session.reclaim()
        found = orders_in(client.hear())
        assert [order for _, order in found] == list(range(1, total + 1))
        assert {seq: raw for seq, raw in client.stored().items() if seq > 1} == {
            message.seq: message.raw for message in split_messages(client.sent) if message.seq != 1
        }
        lane = session.lane
        assert lane is not None and lane.partial_sends > 10 and lane.messages_out > total / 2
    await client.close()
    assert verify(tmp_path).sound


async def test_bytes_that_nobody_takes_come_back_with_the_lane(tmp_path: Path) -> None:
    client = Client(tmp_path)
    await client.log_on(sndbuf=4096)
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns
        client.session.bind_lane(step.lanes, 0, step)
        assert client.promote(step) == ""
        step.ask(new_orders(2000))
        step.turn()
        assert step.owner is LaneOwner.RETURNED  # too much is unsent
        assert client.session.backlog_bytes > 1 << 16
        assert client.session.tend_lane()
        assert client.session.lane is not None and client.session.lane.demotions == {"backlog": 1}
        assert client.session.offer_lane() == "bytes are unsent"
        sent = client.session.next_out - 2
        assert 64 < sent < 2000
        await client.until(lambda: len(client.hear()) >= 0 and client.session.backlog_bytes == 0)
        assert [order for _, order in orders_in(client.hear())] == list(range(1, sent + 1))
        assert step.serve(client.session) == 2000 - sent
        await client.until(lambda: len(client.hear()) >= 0 and client.session.backlog_bytes == 0)
        assert [order for _, order in orders_in(client.hear())] == list(range(1, 2001))
    await client.close()


async def test_a_socket_that_breaks_while_hot(tmp_path: Path) -> None:
    client = Client(tmp_path)
    await client.log_on()
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns
        client.session.bind_lane(step.lanes, 0, step)
        assert client.promote(step) == ""
        client.peer.close()
        step.orders[0] = new_orders(1).view(np.int64)
        assert lane_send(step.lanes.state, 0, step.orders, 0, 1, step.now_ns()) == 1  # stored: it is resent one day
        assert step.owner is LaneOwner.RETURNED
        assert client.session.tend_lane()
        assert client.session.lane is not None and client.session.lane.demotions == {"send_error": 1}
        await client.until(lambda: not client.session.connected)
        assert sorted(client.stored()) == [1, 2] and client.session.next_out == 3
    client.session.store.release()


async def test_a_lane_with_frames_in_hand_returns_after_them(tmp_path: Path) -> None:
    client = Client(tmp_path, throttle=ThrottleSettings(messages=2, window_s=3600))
    await client.log_on()
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns
        session = client.session
        session.bind_lane(step.lanes, 0, step)
        assert client.promote(step) == ""
        client.peer.send(client.far.report(5))
        lanes, now_ns = step.lanes.state, step.now_ns()
        assert lane_receive(lanes, 0, now_ns) == 5
        step.orders[:4] = new_orders(4).view(np.int64).reshape(-1, 16)
        assert lane_send(lanes, 0, step.orders, 0, 4, now_ns) == 2  # no budget for the third
        assert step.owner is LaneOwner.HOT
        assert lane_send(lanes, 0, step.orders, 2, 2, now_ns) == 0
        assert lane_receive(lanes, 0, now_ns) == 5
        for row in range(5):
            lane_frame(lanes, 0, row, step.got, row)
        before = session.store.next_in
        lane_taken(lanes, 0)
        assert step.owner is LaneOwner.RETURNED and session.store.next_in == before + 5
        assert session.tend_lane()
        assert session.machine.next_in == before + 5 == client.far.seq
        await client.settle()
        assert not client.log.all
        with pytest.raises(ThrottledError):
            session.send_orders(new_orders(2, 3), 2)
    await client.close()


async def test_the_throttle_counts_hot_and_cold_as_one(tmp_path: Path) -> None:
    limits = ThrottleSettings(messages=50, window_s=3600, reserve_for_cancels=10)
    client = Client(tmp_path, throttle=limits)
    await client.log_on()
    session = client.session
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns
        session.bind_lane(step.lanes, 0, step)
        session.send_orders(new_orders(15), 15)
        assert client.promote(step) == ""
        step.ask(new_orders(20, 16))
        step.turn()
        assert step.owner is LaneOwner.HOT
        session.reclaim()
        assert session.throttle is not None and session.throttle.throttle.snapshot(time.monotonic_ns())["used"] == 35
        session.send_orders(new_orders(2, 36), 2)
        assert client.promote(step) == ""
        step.ask(new_orders(10, 38))
        step.turn()
        assert step.owner is LaneOwner.RETURNED  # three of ten: the rest is reserved
        with pytest.raises(ThrottledError) as caught:
            step.serve(session)
        assert session.lane is not None and session.lane.demotions == {"wish": 1, "throttle": 1}
        assert caught.value.refused and session.throttle.throttle.free(time.monotonic_ns(), cancels=False) == 0
        step.words[HANDLED] = step.words[COLD]
        assert client.promote(step) == ""
        step.ask(cancels(12, 100))
        step.turn()
        session.tend_lane()
        assert session.throttle.throttle.free(time.monotonic_ns(), cancels=True) == 0
        await asyncio.sleep(0)
        assert len(orders_in(client.hear())) == 50
    await client.close()


async def test_the_window_slides_in_the_lane(tmp_path: Path) -> None:
    limits = ThrottleSettings(messages=10, window_s=5.0, policy=ThrottlePolicy.QUEUE)
    client = Client(tmp_path, throttle=limits)
    await client.log_on()
    session = client.session
    gate = session.throttle
    assert gate is not None
    now_ns = time.monotonic_ns()
    gate.throttle.sent = [(now_ns - 5_000_000_001, 4), (now_ns - 5_000_000_000, 3), (now_ns + 3_600_000_000_000, 3)]
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns
        session.bind_lane(step.lanes, 0, step)
        assert client.promote(step) == ""
        step.ask(new_orders(10))
        step.turn()
        assert step.owner is LaneOwner.RETURNED
        session.tend_lane()
        assert [count for _, count in gate.throttle.sent] == [3, 7]  # seven are gone, seven may go
        step.serve(session)
        assert gate.waiting == 3
        assert session.offer_lane() == "messages wait for the throttle"
        assert len(orders_in(client.hear())) == 7
    await client.close()


async def test_a_row_that_cannot_be_sent_goes_the_cold_way(tmp_path: Path) -> None:
    client = Client(tmp_path)
    await client.log_on()
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns
        client.session.bind_lane(step.lanes, 0, step)
        assert client.promote(step) == ""
        rows = new_orders(5)
        rows["instrument"][2] = 5  # no symbol
        step.ask(rows)
        step.turn()
        assert step.owner is LaneOwner.RETURNED and step.words[COLD] == 3
        client.session.tend_lane()
        assert client.session.lane is not None and client.session.lane.demotions == {"encode": 1}
        assert len(orders_in(client.hear())) == 2
    await client.close()
