"""kill -9 of either side, at random moments, under load in both directions."""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.fix.rig import Pair, moments

KILLS = 200
#: Other moments: AXIOM_FAULT_SEED=7 pytest tests/faults/fix/test_kill.py
SEED = int(os.environ.get("AXIOM_FAULT_SEED", "20151224"))


async def test_200_kills_of_either_side(pair: Callable[..., Pair]) -> None:
    """The moments are bytes on the wire since the last start: inside logons, resends and messages."""
    rng = random.Random(SEED)
    both = pair()
    await both.start()
    kills = [0, 0]
    for count in moments(rng, KILLS, 300_000):
        await both.proxy.passes(count)
        victim = rng.randrange(2)
        await both.peers[victim].kill()
        both.peers[victim].start()
        kills[victim] += 1
    up, down = await both.finish(least=1000)
    assert min(kills) > KILLS // 3
    print(f"{kills} kills, {up} and {down} messages, {len(both.proxy.links)} connections")


@pytest.mark.parametrize(
    "settings",
    [
        {"next_expected_msg_seq_num": True},
        {"resend_chunk_size": 7},
        {"closed_resend_interval": True, "last_msg_seq_num_processed": True},
        {"begin_string": "FIX.4.0"},
        {"begin_string": "FIX.4.2"},
        {"begin_string": "FIXT.1.1", "default_appl_ver_id": "9"},
    ],
    ids=["789", "chunks", "closed-intervals", "FIX.4.0", "FIX.4.2", "FIXT.1.1"],
)
async def test_kills_with_other_ways_to_resend(pair: Callable[..., Pair], settings: dict[str, Any]) -> None:
    rng = random.Random(f"{SEED} {settings}")
    both = pair(settings=settings)
    await both.start()
    for count in moments(rng, 20, 100_000):
        await both.proxy.passes(count)
        victim = both.peers[rng.randrange(2)]
        await victim.kill()
        victim.start()
    await both.finish(least=100)


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_clean_stop_and_start_loses_nothing(pair: Callable[..., Pair], side: str) -> None:
    both = pair()
    await both.start()
    for _ in range(3):
        await both.proxy.passes(5000)
        peer = getattr(both, side)
        await peer.stop()
        peer.start()
    await both.finish()
