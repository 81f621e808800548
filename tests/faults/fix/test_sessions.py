"""Peers that misbehave as a whole: they never read, come twice, forget, freeze, or have another time."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.fix.proxy import Faults, Plan
from tests.faults.fix.rig import Pair, Peer, until

MakePair = Callable[..., Pair]


def resident_bytes(peer: Peer) -> int:
    return int(Path(f"/proc/{peer.pid}/statm").read_text().split()[1]) * 4096


async def test_a_peer_that_never_reads_is_cut_off_and_told_why(pair: MakePair) -> None:
    """The server goes on for itself in bounded memory; once the client reads again it has everything."""
    both = pair(rate=0, settings={"heartbeat_interval_s": 1})
    both.proxy.plan.append(Plan(down=Faults(deaf_after=1000)))
    limit = 2 << 20
    await both.start(server={"rate": 20, "text_bytes": 1000, "patient": False, "max_backlog_bytes": limit})
    memory = resident_bytes(both.server)
    await both.server.says("state DISCONNECTED the peer reads too slowly: ")
    assert resident_bytes(both.server) < memory + 4 * limit
    await both.client.says("state LOGGED_ON", 2)
    await both.settle()
    for peer in both.peers:
        await peer.stop()
    assert both.client.delivered() == list(range(1, both.server.sent + 1))
    assert both.server.sent > 1000


@pytest.mark.parametrize("side", ["client", "server"])
async def test_sequence_numbers_that_go_back(pair: MakePair, side: str) -> None:
    """A side comes back with the store of yesterday's copy: both stand down with the reason, nothing is taken twice."""
    both = pair()
    await both.start()
    await both.proxy.passes(10_000)
    victim, other = (both.client, both.server) if side == "client" else (both.server, both.client)
    await victim.kill()
    shutil.copytree(victim.directory / "store", victim.directory / "copy")
    victim.start()
    await both.proxy.passes(30_000)
    ends = sum("state DISCONNECTED" in line for line in other.lines)
    await victim.kill()
    await other.says("state DISCONNECTED", ends + 1)  # by then it has taken all that was still under way
    before = other.delivered_count
    shutil.rmtree(victim.directory / "store")
    shutil.copytree(victim.directory / "copy", victim.directory / "store")
    victim.start()
    await both.client.says("MsgSeqNum too low, expecting ")
    # Each further attempt would use up numbers until they fit again, with a hole that nobody knows of.
    await both.client.says("event StandDown(")
    await until(lambda: all(link.closed.is_set() for link in both.proxy.links), "the line to be given up")
    assert other.delivered_count == before
    assert both.client.violations() == both.server.violations() == ""


async def test_numbers_that_go_back_are_mended_by_an_agreed_reset(pair: MakePair) -> None:
    """With recover_by_reset the client asks for a reset, and both go on from 1; the record shows where."""
    both = pair(settings={"recover_by_reset": True})
    await both.start()
    await both.proxy.passes(10_000)
    await both.settle()
    for peer in both.peers:
        await peer.stop()
    for peer in both.peers:
        shutil.rmtree(peer.directory / "store") if peer is both.client else None
    both.server.start()
    await both.server.says("up")
    both.client.start(rate=0)
    await both.client.says("SequencesReset")
    await both.client.says("state LOGGED_ON")
    await both.server.says("SequencesReset")
    assert both.server.store().resets == 1


async def test_two_logons_for_one_session(pair: MakePair) -> None:
    """The second is dropped, however often it tries; the first goes on as if nothing had been."""
    both = pair()
    await both.start()
    intruder = both.make_client("intruder", rate=0)
    links = len(both.proxy.links)
    intruder.start()
    await both.server.says("is connected already; the second connection goes", 5)
    assert not any("LOGGED_ON" in line for line in intruder.lines)
    assert len(both.proxy.links) >= links + 5
    await intruder.kill()
    await both.proxy.passes(20_000)
    await both.finish(least=50)
    assert not both.proxy.links[0].was_cut


async def test_two_logons_at_the_same_moment(pair: MakePair) -> None:
    """Two connections are held at the door and let in together: one of them gets the session."""
    both = pair(rate=0)
    await both.open()
    both.proxy.plan.extend([Plan(held=True), Plan(held=True)])
    both.client = both.make_client("one")
    two = both.make_client("two")
    for client in (both.client, two):
        client.start()
    await both.proxy.opened(2)
    for link in both.proxy.links[:2]:
        link.admit()
    await both.server.says("is connected already")
    logged_on = await until(
        lambda: [peer for peer in (both.client, two) if any("LOGGED_ON" in line for line in peer.lines)], "a logon"
    )
    assert len(logged_on) == 1
    await two.kill()


@pytest.mark.parametrize("offset_s", [300.0, -300.0])
async def test_a_clock_five_minutes_off_is_not_let_in(pair: MakePair, offset_s: float) -> None:
    both = pair()
    await both.open()
    both.client = both.make_client(clock_offset_s=offset_s)
    both.client.start()
    await both.server.says("SendingTime accuracy problem", 2)
    assert not any("LOGGED_ON" in line for line in both.client.lines)
    assert both.client.violations() == both.server.violations() == ""
    await both.client.kill()
    both.client.start(clock_offset_s=0.0)  # set right, it is served
    await both.client.says("state LOGGED_ON")
    await both.proxy.passes(20_000)
    await both.finish(least=20)


async def test_a_clock_that_goes_wrong_in_the_middle(pair: MakePair) -> None:
    """The peer's times are refused and the session ends with that reason; set right, it goes on where it was."""
    both = pair()
    await both.start()
    await both.proxy.passes(10_000)
    both.client.signal(signal.SIGUSR2)
    await both.server.says("SendingTime accuracy problem")
    await both.client.says("state DISCONNECTED")
    await both.client.kill()
    both.client.start()
    await both.client.says("state LOGGED_ON")
    await both.proxy.passes(20_000)
    await both.finish(least=50)


async def test_a_clock_five_minutes_off_where_that_is_agreed(pair: MakePair) -> None:
    both = pair(settings={"check_latency_s": 600.0})
    await both.start(client={"clock_offset_s": 300.0})
    await both.proxy.passes(20_000)
    await both.finish(least=50)


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_frozen_process(pair: MakePair, side: str) -> None:
    """SIGSTOP for longer than the peer bears: the peer leaves, the thawed process comes back, nothing is lost."""
    both = pair(settings={"heartbeat_interval_s": 1})
    await both.start()
    await both.proxy.passes(10_000)
    frozen, other = (both.client, both.server) if side == "client" else (both.server, both.client)
    frozen.signal(signal.SIGSTOP)
    await other.says("state DISCONNECTED nothing received for")
    frozen.signal(signal.SIGCONT)
    await both.client.says("state LOGGED_ON", 2)
    await both.proxy.passes(20_000)
    await both.finish(least=50)


async def test_a_process_that_freezes_does_not_take_it_for_the_peers_silence(pair: MakePair) -> None:
    """What the peer said meanwhile lies in the socket; it is read before anybody is given up."""
    both = pair(rate=1, settings={"heartbeat_interval_s": 1})
    await both.start(server={"settings": {"heartbeat_interval_s": 1, "disconnect_after": 30.0}})
    await both.proxy.passes(10_000)
    both.client.signal(signal.SIGSTOP)
    await asyncio.sleep(3.0)  # the fault itself: it stands still for longer than the 2.4 s of silence that it bears
    both.client.signal(signal.SIGCONT)
    before = both.client.delivered_count
    await until(lambda: both.client.delivered_count > before + 1000, "messages after the thaw")
    await both.finish()
    assert len(both.proxy.links) == 1


async def test_a_damaged_message_is_named_and_the_rest_is_resent(pair: MakePair) -> None:
    """A flipped bit in what must be resent: its number is filled, said aloud, and the others arrive."""
    both = pair(rate=0)
    await both.open(server={"rate": 1, "last": 30, "always": True})
    await until(lambda: both.server.sent == 30, "messages in the server's store")
    path = both.server.directory / "store" / "messages.dat"
    data = bytearray(path.read_bytes())
    data[data.index(b"148=0000000007") + 6] ^= 1
    path.write_bytes(data)
    both.client = both.make_client()
    both.client.start()
    line = await both.server.says("StoreDamaged")
    assert "fails its checksum" in line
    await both.client.says("violation number 8 after 6")
    assert [found.file for found in both.server.store().damage] == ["messages.dat"]
    await both.client.says("GapFilled")
