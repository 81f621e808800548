"""What a network does to a connection: it breaks it anywhere, stretches it, joins it, spoils it, or swallows it."""

import random
from collections.abc import Callable

import pytest

from tests.faults.fix.proxy import Faults, Plan
from tests.faults.fix.rig import Pair, moments

MakePair = Callable[..., Pair]


def logon_plan(rng: random.Random, byte: int) -> Plan:
    """Cut one direction after ``byte`` bytes: a Logon has about 90."""
    faults = Faults(cut_after=byte)
    return Plan(up=faults) if rng.random() < 0.5 else Plan(down=faults)


async def test_cut_inside_messages_at_any_byte(pair: MakePair) -> None:
    """120 connections, each cut in one direction after a random number of bytes."""
    rng = random.Random(1)
    both = pair()
    for count in moments(rng, 120, 60_000):
        both.proxy.plan.append(logon_plan(rng, count))
    await both.start()
    while both.proxy.plan:
        await both.proxy.passes(1)
    await both.finish(least=300)
    assert len(both.proxy.links) > 120


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_cut_inside_the_logon(pair: MakePair, direction: str) -> None:
    """At every fourth byte of the Logon of either side; then one that gets through."""
    both = pair()
    for byte in range(0, 96, 4):
        both.proxy.plan.append(Plan(**{direction: Faults(cut_after=byte)}))
    await both.start()
    await both.proxy.passes(60_000)
    await both.finish(least=50)
    assert both.proxy.plan == type(both.proxy.plan)()


@pytest.mark.parametrize("pattern", [b"\x0135=2\x01", b"\x0143=Y\x01", b"\x0135=4\x01"])
async def test_cut_inside_a_resend(pair: MakePair, pattern: bytes) -> None:
    """Both sides are killed with much unsent; the resends that follow are cut at the request, in a resent
    message, in a gap fill."""
    rng = random.Random(2)
    both = pair(rate=10)
    await both.start()
    await both.proxy.passes(50_000)
    for nth in (1, 2, 3, 10, 40):
        for direction in ("up", "down"):
            # Lose a stretch of the stream, so that there is something to resend.
            link = both.proxy.links[-1]
            getattr(link, direction).faults.swallow_after = 0
            await both.proxy.passes(20_000)
            cuts = [Faults(cut_at=pattern, cut_nth=nth, cut_into=rng.randrange(60)) for _ in range(2)]
            both.proxy.plan.append(Plan(up=cuts[0], down=cuts[1]))
            link.cut()
            await both.proxy.passes(20_000)
    await both.finish(least=500)


async def test_one_byte_at_a_time(pair: MakePair) -> None:
    both = pair(rate=1, last=300)  # so much, and not what a slow machine falls behind with
    both.proxy.plan.append(Plan(up=Faults(split=1), down=Faults(split=1)))
    await both.start()
    await both.proxy.passes(30_000)
    await both.finish(least=20)
    assert len(both.proxy.links) == 1


@pytest.mark.parametrize("split", [7, 100])
async def test_a_few_bytes_at_a_time(pair: MakePair, split: int) -> None:
    both = pair(last=1500)
    both.proxy.plan.append(Plan(up=Faults(split=split), down=Faults(split=split)))
    await both.start()
    await both.proxy.passes(100_000)
    await both.finish(least=50)
    assert len(both.proxy.links) == 1


async def test_a_megabyte_at_once(pair: MakePair) -> None:
    """Each side's stream arrives in lumps of a megabyte, of some thousand messages each."""
    both = pair(rate=20, text_bytes=200)
    both.proxy.plan.append(Plan(up=Faults(join=1 << 20, join_idle_s=0.5), down=Faults(join=1 << 20, join_idle_s=0.5)))
    await both.start()
    await both.proxy.passes(4 << 20)
    await both.finish(least=4000)
    assert len(both.proxy.links) == 1


async def test_delay(pair: MakePair) -> None:
    """A tenth of a second each way: everything is under way twice over, nothing is lost."""
    both = pair()
    both.proxy.plan.append(Plan(up=Faults(delay_s=0.1), down=Faults(delay_s=0.1)))
    await both.start()
    await both.proxy.passes(100_000)
    await both.finish(least=100)
    assert len(both.proxy.links) == 1


async def test_connections_that_overtake_each_other(pair: MakePair) -> None:
    """A held connection whose Logon arrives when a later one is live is dropped and changes nothing."""
    both = pair()
    await both.start()
    for _ in range(5):
        before = len(both.proxy.links)
        both.proxy.plan.append(Plan(held=True))
        both.proxy.cut_all()
        await both.proxy.opened(before + 1)
        held = both.proxy.links[before]
        held.leave()  # the client gives up on it; its Logon stays on the way
        await both.proxy.opened(before + 2)
        await both.proxy.passes(20_000)
        held.admit()
        await held.closed.wait()
        await both.proxy.passes(20_000)
        assert len(both.proxy.links) == before + 2  # the live connection has outlived it
    await both.finish(least=200)


async def test_half_open_connections(pair: MakePair) -> None:
    """The line goes dead without a word: each side finds out by itself, and nothing is lost."""
    both = pair(settings={"heartbeat_interval_s": 1})
    await both.start()
    await both.proxy.passes(10_000)
    link = both.proxy.links[-1]
    link.up.faults.swallow_after = link.down.faults.swallow_after = 0
    await link.closed.wait()
    await both.proxy.passes(20_000)
    assert link.swallowed > 0
    assert "state DISCONNECTED" in both.client.tail()
    await both.finish(least=50)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_one_direction_goes_dead(pair: MakePair, direction: str) -> None:
    both = pair(settings={"heartbeat_interval_s": 1})
    await both.start()
    await both.proxy.passes(10_000)
    link = both.proxy.links[-1]
    getattr(link, direction).faults.swallow_after = 0
    await link.closed.wait()
    await both.proxy.passes(20_000)
    await both.finish(least=50)


# A flipped bit in: a value, BodyLength, BeginString, CheckSum, MsgSeqNum, SOH before MsgType.
@pytest.mark.parametrize(
    ("at", "into"),
    [(b"\x0158=x", 6), (b"\x019=", 3), (b"8=FIX.4.4", 7), (b"\x0110=", 5), (b"\x0134=", 4), (b"\x0135=B", 0)],
    ids=["text", "body-length", "begin-string", "checksum", "seq-num", "soh"],
)
async def test_a_spoiled_byte(pair: MakePair, at: bytes, into: int) -> None:
    """The message is ignored as garbled, or ends the session; it is asked for again, and delivered once."""
    # The spoiled message may be a ResendRequest, which is then said again after a time-out.
    both = pair(settings={"heartbeat_interval_s": 1, "resend_timeout_s": 0.5})
    faults = [Faults(spoil_at=at, spoil_into=into, spoil_nth=50) for _ in range(2)]
    both.proxy.plan.append(Plan(up=faults[0], down=faults[1]))
    await both.start()
    await both.proxy.passes(100_000)
    await both.finish(least=100)
    assert both.proxy.spoiled == 2
