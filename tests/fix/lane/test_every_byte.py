"""A recorded session, handed over and taken back at every byte of it, equals one that was never hot."""

import asyncio
import random
from pathlib import Path

import pytest

from fix.lane import LaneOwner
from fix.store import verify
from fix.testing import SECOND_NS
from tests.fix.endpoints.world import SYMBOL, new_orders
from tests.fix.lane.step import GOT, Step
from tests.fix.lane.world import Client, Far

SNAPSHOT = [(262, "m"), (55, SYMBOL), (268, 2), (269, 0), (270, "1.25"), (271, 10), (269, 1), (270, "1.30"), (271, 5)]


def recorded(far: Far) -> bytes:
    """What a venue says in a session in which nearly everything happens."""
    reject = [(37, "NONE"), (11, "0000000000000001"), (41, "0000000000000002"), (39, 8), (434, 1)]
    duplicate = [(43, "Y"), (122, "20151224-14:29:00.000")]
    parts = [
        far.report(3), far.say("0"), far.say("0"), far.report(1, 4), far.say("1", [(112, "PING")]), far.report(2, 5),
        far.say("W", SNAPSHOT), far.say("0", [(112, "PONG")]), far.say("B", [(148, "news"), (33, 1), (58, "text")]),
        far.say("2", [(7, 1), (16, 0)]), far.report(2, 7), far.say("3", [(45, 2), (58, "no")]),
    ]  # fmt: skip
    missing = far.seq
    far.seq += 3
    parts += [far.report(1, 12), far.say("0")]
    parts += [far.say("4", [(123, "Y"), (36, missing + 2)], duplicate, seq=missing)]
    parts += [far.say("B", [(148, "late"), (33, 1), (58, "text")], duplicate, seq=missing + 2)]
    garbled = far.report(1, 13), far.say("0").replace(b"\x0110=", b"\x0110=9"), far.report(2, 14)
    parts += garbled
    far.seq -= 3  # it counts as never said, so the gap is closed by its number
    parts += [far.report(1, 16)]
    far.seq += 2
    parts += [far.say("0"), far.report(1, 17), far.say("9", reject), far.report(2, 18)]
    return b"".join(parts)


async def session_of(directory: Path) -> Client:
    client = Client(directory)
    await client.log_on()
    client.session.send_orders(new_orders(4), 4)
    return client


async def cold(directory: Path) -> Client:
    """The same without a lane."""
    client = await session_of(directory)
    client.peer.send(recorded(client.far))
    want = client.far.seq
    await client.until(lambda: client.session.next_in == want)
    await client.settle()
    return client


def compare(hot: Client, plain: Client) -> None:
    assert hot.log.all == plain.log.all
    assert (hot.session.next_in, hot.session.next_out) == (plain.session.next_in, plain.session.next_out)
    assert hot.stored() == plain.stored()
    assert hot.hear() == plain.hear()
    assert hot.session.store.next_in == plain.session.store.next_in
    assert [type(event) for event in hot.log.events] == [type(event) for event in plain.log.events]


class Play:
    """Delivers bytes to a session that changes hands."""

    def __init__(self, client: Client, step: Step) -> None:
        self.client, self.step = client, step
        self.taken = self.hot_bytes = 0
        assert client.session.connection is not None
        self.sent = client.session.connection.received

    def send(self, data: bytes) -> None:
        self.client.peer.send(data)
        self.sent += len(data)

    def note(self) -> None:
        """Log what the step has taken meanwhile."""
        frames = self.step.frames
        self.client.log.add(frames[self.taken :])
        self.taken = len(frames)

    async def feed(self, data: bytes) -> None:
        """Deliver ``data`` to a session that is hot, if it can be."""
        client, step, session = self.client, self.step, self.client.session
        connection = session.connection
        assert connection is not None
        if client.promote(step) == "" and step.owner is LaneOwner.HOT:
            self.send(data)
            self.hot_bytes += len(data)
            step.turn(2)
            self.note()
            session.reclaim()
            await client.settle()
        else:  # it cannot go over now, or came straight back
            session.reclaim()
            self.send(data)
            await client.until(lambda: connection.received == self.sent or connection.dead)
            await client.settle()


async def test_demotion_at_every_byte(tmp_path: Path) -> None:
    plain = await cold(tmp_path / "cold")
    client = await session_of(tmp_path / "hot")
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns
        client.session.bind_lane(step.lanes, 0, step)
        data = recorded(client.far)
        play = Play(client, step)
        for at in range(len(data)):
            await play.feed(data[at : at + 1])
        compare(client, plain)
        lane = client.session.lane
        assert lane is not None and step.owner is LaneOwner.COLD
        assert lane.promotions == play.hot_bytes > len(data) * 0.7  # the rest lies between the gap and its end
        assert lane.messages_in == step.words[GOT] == 14
        assert lane.demotions["message"] >= 8 and lane.demotions["wish"] > 1000
    await client.close()
    await plain.close()
    assert verify(tmp_path / "hot").sound


@pytest.mark.parametrize("seed", range(12))
async def test_demotion_anywhere(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    plain = await cold(tmp_path / "cold")
    client = await session_of(tmp_path / "hot")
    with Step(thread=False) as step:
        step.fixed_ns = client.now_ns + rng.randrange(-SECOND_NS, SECOND_NS)  # another clock than the session's
        client.session.bind_lane(step.lanes, 0, step)
        data = recorded(client.far)
        play = Play(client, step)
        at = 0
        while at < len(data):
            size = rng.choice((1, 7, 40, 300, 1500))
            if rng.random() < 0.3:  # it arrives before the offer, and goes over unread
                play.send(data[at : at + size])
                await asyncio.sleep(0)
                at += size
                size = rng.choice((1, 300))
            if at < len(data):
                await play.feed(data[at : at + size])
            at += size
        await client.until(lambda: client.session.next_in == plain.session.next_in)
        await client.settle()
        compare(client, plain)
    await client.close()
    await plain.close()
