"""Carriers of frames: addresses, batches against a plain-Python twin, the ring, relay and bridge."""

import random
from pathlib import Path

import numpy as np
import pytest

from market.enums import FrameKind
from market.errors import RingError, TransportError
from market.rings import VOID_NS, W_BOOKS, W_CLOSED, W_HEARTBEAT, BroadcastRing, book_read, ring_read
from market.transport.address import Address, parse_address
from market.transport.aeron import backend
from market.transport.bridge import Bridge, Relay
from market.transport.choose import open_publisher, open_subscriber
from market.transport.ring import RingPublisher, RingSubscriber
from market.transport.wire import (
    BATCH_FRAMES,
    HEADER_WORDS,
    L_BAD,
    L_ENDED,
    L_MISSED,
    L_RESTARTS,
    LINK_WORDS,
    Batches,
    take_batch,
)


def rows(*values: int) -> np.ndarray:
    """One QUOTE frame for each value: its instrument is the value's last digit."""
    cells = np.zeros((len(values), 16), np.int64)
    for at, value in enumerate(values):
        cells[at] = value
        cells[at, 0] = FrameKind.QUOTE
        cells[at, 4] = value % 10
    return cells


def values(cells: np.ndarray, count: int) -> list[int | str]:
    """What :func:`rows` was given; "void" for a void frame."""
    return ["void" if row[0] == FrameKind.TIMER and row[5] == VOID_NS else int(row[15]) for row in cells[:count]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ring:a/b.ring", Address("ring", path=Path("/base/a/b.ring"))),
        ("ring:/a.ring", Address("ring", path=Path("/a.ring"))),
        ("aeron:udp?endpoint=h:1|mtu=1408", Address("aeron", channel="aeron:udp?endpoint=h:1|mtu=1408")),
        ("aeron:ipc;stream=7;dir=/x", Address("aeron", channel="aeron:ipc", stream=7, directory="/x")),
    ],
)
def test_addresses(text, wanted):
    assert parse_address(text, Path("/base")) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "say ring:PATH"), ("ring:", "say ring:PATH"), ("udp:1", "say ring:PATH"), ("aeron:", "say ring:PATH"),
        ("aeron:udp?endpoint=h:1;stream=0", "stream=0"), ("aeron:udp?endpoint=h:1;stream=2147483648", "stream=1.."),
        ("aeron:udp?endpoint=h:1;dir=", "'dir='"), ("aeron:udp?endpoint=h:1;x=1", "'x=1'"),
        ("aeron:ipc", "needs the directory"),
    ],
)  # fmt: skip
def test_a_wrong_address_is_refused_and_says_what_is_right(text, said):
    with pytest.raises(TransportError, match=said):
        parse_address(text)


@pytest.mark.skipif(bool(backend()), reason=f"{backend()} is installed")
def test_aeron_that_is_not_installed_says_what_to_do():
    with pytest.raises(TransportError, match="no Aeron binding is installed"):
        open_publisher("aeron:udp?endpoint=127.0.0.1:40123")


# -- batches ---------------------------------------------------------------------------------------


class Link:
    """A receiver."""

    def __init__(self) -> None:
        self.words = np.zeros(LINK_WORDS, np.int64)
        self.out = np.zeros((64, 16), np.int64)

    def take(self, data: memoryview | bytes) -> list[int | str]:
        count = take_batch(self.words, np.frombuffer(bytes(data), np.int64), self.out, 0)
        return values(self.out, int(count))


class Twin:
    """What a receiver must give, from tuples (epoch, first, frames)."""

    def __init__(self) -> None:
        self.epoch = self.next = 0

    def take(self, epoch: int, first: int, frames: list[int]) -> list[int | str]:
        given: list[int | str] = []
        if epoch < self.epoch:
            return given
        if epoch > self.epoch:
            given += ["void"] if self.epoch else []
            self.epoch, self.next = epoch, first
        elif first > self.next:
            given.append("void")
            self.next = first
        fresh = frames[max(self.next - first, 0) :]
        self.next = max(self.next, first + len(frames))
        return given + fresh


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_lost_doubled_or_swapped_shows_as_in_the_twin(seed):
    rng = random.Random(seed)
    senders = [Batches(epoch, 1, 1) for epoch in (5, 6, 9)]
    sent: list[tuple[int, int, list[int], bytes]] = []
    number = 0
    for sender in senders:
        for _ in range(150):
            count = rng.randrange(1, BATCH_FRAMES + 1)
            wanted = list(range(number, number + count))
            number += count
            first = sender.next
            sent.append((int(sender.words[2]), first, wanted, bytes(sender.fill(rows(*wanted), 0, count))))
    arriving = []
    for k, batch in enumerate(sent):
        fate = rng.random()
        if fate < 0.10:
            continue
        arriving.append(batch)
        if fate < 0.20:
            arriving.append(sent[max(0, k - rng.randrange(3))])
    link, twin = Link(), Twin()
    voids = 0
    for epoch, first, wanted, data in arriving:
        got = link.take(data)
        assert got == twin.take(epoch, first, wanted)
        voids += got.count("void")
    assert voids > 10 and link.words[L_RESTARTS] == 2 and link.words[L_MISSED] > 0 and link.words[L_BAD] == 0


def test_a_batch_of_nothing_shows_what_was_lost_at_the_end():
    """A publisher whose last batch was dropped and who then only beats: the gap is seen all the same."""
    sender, link = Batches(5, 1, 1), Link()
    assert link.take(sender.fill(rows(1), 0, 1)) == [1]
    sender.fill(rows(2), 0, 1)
    assert link.take(sender.beat(7, 8)) == ["void"] and list(link.words[7:9]) == [7, 8]
    assert link.take(sender.end()) == [] and link.words[L_ENDED] == 1
    assert link.take(Batches(6, 1, 1).beat(1, 1)) == ["void"] and link.words[L_ENDED] == 0


@pytest.mark.parametrize("spoil", ["short", "magic", "count", "cut"])
def test_what_is_no_batch_is_counted_and_changes_nothing(spoil):
    link = Link()
    words = np.frombuffer(bytes(Batches(5, 1, 1).fill(rows(1, 2), 0, 2)), np.int64).copy()
    if spoil == "short":
        words = words[:4]
    elif spoil == "magic":
        words[0] ^= 1
    elif spoil == "count":
        words[1] = BATCH_FRAMES + 1
    else:
        words = words[: HEADER_WORDS + 20]
    assert link.take(words.tobytes()) == [] and link.words[L_BAD] == 1 and link.words[:5].sum() == 0


# -- the ring --------------------------------------------------------------------------------------


def test_a_ring_carries_frames_and_marks_what_it_lost(tmp_path):
    publisher = open_publisher("ring:r", base=tmp_path, slots=4)
    subscriber = open_subscriber("ring:r", base=tmp_path)
    out = np.zeros((16, 16), np.int64)
    assert isinstance(publisher, RingPublisher) and isinstance(subscriber, RingSubscriber)
    assert subscriber.poll(out) == 0
    assert publisher.publish(rows(1, 2, 3), 3) == 3
    assert values(out, subscriber.poll(out)) == [1, 2, 3]
    publisher.publish(rows(4, 5, 6, 7, 8), 5)
    assert values(out, subscriber.poll(out)) == ["void"] and subscriber.lapped == 5
    publisher.beat(11, 12)
    assert (subscriber.heartbeat_ns, subscriber.market_ns, subscriber.ended) == (11, 12, False)
    publisher.close()
    assert subscriber.ended and not (tmp_path / "r").exists()
    subscriber.close()
    with pytest.raises(RingError, match="no ring at"):
        open_subscriber("ring:r", base=tmp_path)


def test_a_subscriber_follows_to_the_ring_of_the_next_publisher(tmp_path):
    first = RingPublisher(tmp_path / "r", slots=8)
    subscriber = RingSubscriber(tmp_path / "r")
    out = np.zeros((16, 16), np.int64)
    first.ring.close()  # as a killed process leaves it
    again = RingPublisher(tmp_path / "r", slots=8)
    again.publish(rows(5), 1)
    got: list[int | str] = []
    while len(got) < 2:
        got += values(out, subscriber.poll(out))
    assert got == ["void", 5]
    subscriber.close()
    again.close()


# -- relay and bridge ------------------------------------------------------------------------------


class Wire:
    """Publisher and subscriber in one: batches through a list that a test may meddle with."""

    def __init__(self) -> None:
        self.link = Link()
        self.batches = Batches(5, 1_000_000, 10)
        self.line: list[bytes] = []
        self.closed = False

    def publish(self, cells: np.ndarray, count: int) -> int:
        for first in range(0, count, BATCH_FRAMES):
            self.line.append(bytes(self.batches.fill(cells, first, min(BATCH_FRAMES, count - first))))
        return count

    def beat(self, wall_ns: int, market_ns: int) -> None:
        self.line.append(bytes(self.batches.beat(wall_ns, market_ns)))

    def poll(self, out: np.ndarray) -> int:
        at = 0
        while self.line and at + BATCH_FRAMES < len(out):
            at = int(take_batch(self.link.words, np.frombuffer(self.line.pop(0), np.int64), out, at))
        return at

    heartbeat_ns = property(lambda self: int(self.link.words[7]))
    market_ns = property(lambda self: int(self.link.words[8]))
    silence_ns = property(lambda self: int(self.link.words[9]))
    books = property(lambda self: int(self.link.words[10]))
    ended = property(lambda self: bool(self.link.words[L_ENDED]))

    def close(self) -> None:
        self.closed = True


def test_relay_and_bridge_make_the_far_ring_like_the_near_one(tmp_path):
    near = BroadcastRing.create(tmp_path / "near", 64, books=10)
    wire = Wire()
    relay, bridge = Relay(near.path, wire), Bridge(wire, tmp_path / "far", slots=64)
    assert bridge.pump() == 0 and bridge.ring is None and not (tmp_path / "far").exists()
    out = RingPublisherOver(near)
    out.publish(*range(100, 125))
    assert relay.pump() == 25
    relay.beat(77, 88)
    assert bridge.pump() == 25
    far = BroadcastRing.attach(tmp_path / "far")
    got = np.zeros((1, 16), np.int64)
    assert [ring_read(far.words, n, got, 0) and int(got[0, 15]) for n in range(25)] == list(range(100, 125))
    assert far.words[W_BOOKS] == 10 and far.words[8] == 88 and far.words[W_HEARTBEAT] > 77
    standing = [book_read(far.words, n, got, 0) and int(got[0, 15]) for n in range(10)]
    assert standing == [*range(120, 125), *range(115, 120)]
    beaten = int(far.words[W_HEARTBEAT])
    bridge.pump()
    assert far.words[W_HEARTBEAT] == beaten, "a bridge does not vouch for a publisher that it does not hear"
    out.publish(200)
    relay.pump()
    wire.line.clear()  # lost on the way
    out.publish(201)
    relay.pump()
    bridge.pump()
    assert [book_read(far.words, n, got, 0) for n in range(10)] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    wire.line.append(bytes(wire.batches.end()))
    bridge.pump()
    assert far.words[W_CLOSED] == 1
    bridge.stop()
    assert wire.closed and not (tmp_path / "far").exists()
    far.close()
    near.close()


class RingPublisherOver:
    """Publishes :func:`rows` to a ring that somebody else owns."""

    def __init__(self, ring: BroadcastRing) -> None:
        self._ring = ring

    def publish(self, *numbers: int) -> None:
        from market.rings import ring_publish_many

        ring_publish_many(self._ring.words, rows(*numbers), len(numbers))


def test_a_publisher_with_another_number_of_books_gets_another_ring(tmp_path):
    wire = Wire()
    bridge = Bridge(wire, tmp_path / "far", slots=64)
    wire.beat(1, 1)
    bridge.pump()
    before = bridge.ring.epoch
    wire.batches = Batches(6, 1_000_000, 20)
    wire.beat(2, 1)
    bridge.pump()
    assert bridge.ring.words[W_BOOKS] == 20 and bridge.ring.epoch > before
    bridge.stop()


def test_a_bridge_whose_thread_failed_keeps_the_reason(tmp_path):
    class Broken(Wire):
        def poll(self, out: np.ndarray) -> int:
            raise TransportError("the driver is gone")

    bridge = Bridge(Broken(), tmp_path / "far")
    bridge.start()
    bridge._thread.join(30)
    assert isinstance(bridge.failure, TransportError)
    bridge.stop()
