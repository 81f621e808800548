"""The simulator's market data over Aeron UDP, between two processes, into the daemon. Needs the extra ``aeron``."""

import signal
import socket
from collections.abc import Iterator

import msgspec
import pytest

from market.rings import W_BOOKS, BroadcastRing
from market.transport.aeron import backend
from tests.faults.rig import (
    Child,
    Daemon,
    Simulator,
    Venues,
    assert_runs_replay,
    assert_settled,
    profile,
)

pytestmark = pytest.mark.skipif(
    backend() != "pyaeron", reason="no Aeron here: pip install 'axiom[aeron]' needs Python 3.12 or later"
)


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    yield
    for child in Child.all_of_them:
        child.destroy()
    Child.all_of_them.clear()


def channels(count: int) -> list[str]:
    """UDP channels on ports that nobody uses."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return [f"aeron:udp?endpoint=127.0.0.1:{port}" for port in ports]


async def test_both_venues_are_heard_over_udp_and_quoted_also_after_a_kill(tmp_path):
    """Nothing but Aeron carries the books: the rings that the venues write stand where the daemon does not look."""
    config = profile(tmp_path)
    addresses = channels(2)
    sessions = tuple(
        msgspec.structs.replace(session, market_data=address)
        for session, address in zip(config.sessions, addresses, strict=True)
    )
    venues = tuple(
        msgspec.structs.replace(venue, aeron=address)
        for venue, address in zip(config.simulator.venues, addresses, strict=True)
    )
    config = msgspec.structs.replace(
        config, sessions=sessions, simulator=msgspec.structs.replace(config.simulator, venues=venues)
    )
    simulator, daemon, logs = Simulator(config), Daemon(config), Venues(config)
    await simulator.open()
    daemon.start()
    for kill in range(2):
        status = await daemon.shows(
            lambda s: s if s["armed"] and s["chain"]["quoted_two_sided"] >= 8 and s["fills"]["count"] > 20 else None,
            f"quotes and fills on books that came by UDP, kill {kill}",
        )
        assert all(session["ring"]["alive"] for session in status["sessions"])
        if kill == 0:
            bridged = BroadcastRing.attach(config.market_data_path(config.sessions[0]))
            assert bridged.words[W_BOOKS] == 20 and bridged.cursor > 0
            bridged.close()
            await simulator.kill()
            await daemon.shows(lambda s: not any(x["ring"]["alive"] for x in s["sessions"]), "the far ends' deaths")
            await daemon.shows(lambda s: s["chain"]["quoted_two_sided"] == 0, "no quotes on void books")
            await simulator.open()
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    simulator.signal(signal.SIGTERM)
    assert await simulator.ended() == 0
    final = assert_settled(config)
    assert final["loop"]["lapped_frames"] == 0 and final["fills"]["count"] > 20
    assert logs.size() > 0 and assert_runs_replay(config) == 1
    assert not config.market_data_path(config.sessions[0]).exists()
