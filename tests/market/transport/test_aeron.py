"""Aeron between two processes: nothing lost, in order, restarts and ends seen. Needs a binding (extra ``aeron``)."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from market.enums import FrameKind
from market.errors import TransportError
from market.rings import VOID_NS, BroadcastRing, book_read
from market.transport.aeron import backend
from market.transport.bridge import Bridge
from market.transport.choose import open_publisher, open_subscriber

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(
    backend() != "pyaeron", reason="no Aeron here: pip install 'axiom[aeron]' needs Python 3.12 or later"
)


def udp() -> str:
    """A channel on a free port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"aeron:udp?endpoint=127.0.0.1:{probe.getsockname()[1]}"


class Sender:
    """A process of ``aeron_sender``."""

    def __init__(self, address: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.market.transport.aeron_sender", address],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout.readline() == "ready\n"

    def order(self, words: str) -> None:
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def done(self) -> None:
        assert self.process.stdout.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def sending(address: str) -> Iterator[Sender]:
    sender = Sender(address)
    try:
        yield sender
    finally:
        sender.close()


def gather(subscriber, count: int) -> list[int | str]:
    """Poll until ``count`` frames came; the test's own timeout ends a wait in vain."""
    out, got = np.zeros((256, 16), np.int64), []
    while len(got) < count:
        for row in out[: subscriber.poll(out)]:
            void = row[0] == FrameKind.TIMER and row[5] == VOID_NS
            got.append("void" if void else int(row[15]))
    return got


def test_udp_between_two_processes_loses_and_swaps_nothing():
    address = udp()
    subscriber = open_subscriber(address)
    with sending(address) as sender:
        sender.order("send 0 50000")
        assert gather(subscriber, 50_000) == list(range(50_000))
        sender.done()
        sender.order("beat")
        out = np.zeros((64, 16), np.int64)
        while subscriber.heartbeat_ns != 111:
            assert subscriber.poll(out) == 0
        assert (subscriber.market_ns, subscriber.books, subscriber.silence_ns) == (222, 10, 10**9)
    with sending(address) as again:
        again.order("send 70000 100")
        assert gather(subscriber, 101) == ["void", *range(70_000, 70_100)]
        again.order("end")
        while not subscriber.ended:
            subscriber.poll(out)
    assert subscriber.counters == {"frames": 50_100, "gaps": 0, "missed": 0, "restarts": 1, "bad": 0}
    subscriber.close()


def test_ipc_through_a_driver_that_both_share(tmp_path):
    address = f"aeron:ipc;stream=9;dir={tmp_path / 'driver'}"
    subscriber = open_subscriber(address)  # brings the driver up
    with sending(address) as sender:
        sender.order("send 0 5000")
        assert gather(subscriber, 5000) == list(range(5000))
    subscriber.close()


def test_a_bridge_fills_a_local_ring_from_the_network(tmp_path):
    address = udp()
    bridge = Bridge(open_subscriber(address), tmp_path / "local.ring")
    bridge.start()
    with sending(address) as sender:
        sender.order("send 0 2000")
        sender.done()
        while bridge.ring is None or bridge.ring.cursor < 2000:
            assert bridge.failure is None
        reader = BroadcastRing.attach(tmp_path / "local.ring")
        got = np.zeros((1, 16), np.int64)
        assert [book_read(reader.words, n, got, 0) and int(got[0, 15]) for n in range(10)] == list(range(1990, 2000))
        reader.close()
    bridge.stop()
    assert not (tmp_path / "local.ring").exists()


def test_a_publisher_that_nobody_hears_goes_on():
    publisher = open_publisher(udp())
    assert publisher.publish(np.zeros((25, 16), np.int64), 25) == 0
    assert (publisher.unheard, publisher.dropped) == (3, 0)
    publisher.close()


def test_two_streams_of_one_process_share_a_driver_and_the_last_one_ends_it(tmp_path):
    directory = tmp_path / "driver"
    one = open_publisher(f"{udp()};dir={directory}")
    two = open_subscriber(f"{udp()};dir={directory}")
    one.close()
    assert directory.exists()
    two.close()
    with pytest.raises(TransportError):
        open_publisher("aeron:udp?endpoint=no.such.host.invalid:1;dir=" + str(directory))
