"""Rings: nothing torn, nothing lost unnoticed, a dead or new publisher seen, sleepers woken."""

import itertools
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from market.errors import RingError
from market.records import HEADER, table
from market.rings import (
    HEADER_WORDS,
    W_CLOSED,
    W_CURSOR,
    W_HEARTBEAT,
    W_PID,
    BroadcastRing,
    SpscRing,
    ring_publish,
    ring_publish_many,
    ring_read,
    spsc_pop,
    spsc_push,
)

ROOT = Path(__file__).resolve().parents[2]


def _frame(n: int) -> np.ndarray:
    return np.full((1, 16), n, np.int64)


def _read(ring: BroadcastRing, cursor: int) -> tuple[int, int]:
    out = np.zeros((1, 16), np.int64)
    return int(ring_read(ring.words, cursor, out, 0)), int(out[0, 0])


@pytest.fixture
def ring(tmp_path):
    ring = BroadcastRing.create(tmp_path / "ring", slots=4)
    yield ring
    ring.close()


def test_a_reader_sees_what_was_published_and_then_nothing(ring):
    reader = BroadcastRing.attach(ring.path)
    assert _read(reader, 0)[0] == 0
    for n in range(3):
        ring_publish(ring.words, _frame(100 + n), 0)
    assert [_read(reader, n) for n in range(3)] == [(1, 100), (1, 101), (1, 102)]
    assert _read(reader, 3)[0] == 0
    reader.close()


def test_a_batch_is_published_in_order(ring):
    rows = np.arange(48, dtype=np.int64).reshape(3, 16)
    ring_publish_many(ring.words, rows, 3)
    assert [_read(ring, n) for n in range(3)] == [(1, 0), (1, 16), (1, 32)]


def test_a_lapped_reader_is_told_so_at_exactly_one_lap(ring):
    for n in range(4):
        ring_publish(ring.words, _frame(n), 0)
    assert _read(ring, 0) == (1, 0)
    ring_publish(ring.words, _frame(4), 0)
    assert _read(ring, 0)[0] == -1 and _read(ring, 1) == (1, 1)


def test_a_frame_being_written_is_not_read(ring):
    ring_publish(ring.words, _frame(1), 0)
    ring.words[HEADER_WORDS] = 1  # as the publisher leaves it in the middle of frame 0
    assert _read(ring, 0)[0] == 0
    ring.words[HEADER_WORDS] = 2 * 4 + 1  # and of frame 4, in the same slot
    assert _read(ring, 0)[0] == -1


@pytest.mark.parametrize("slots", [0, 1, 3, 100])
def test_slots_are_a_power_of_two(tmp_path, slots):
    with pytest.raises(RingError, match=f"was {slots}"):
        BroadcastRing.create(tmp_path / "ring", slots)


def test_an_absent_ring_is_an_error_that_names_it(tmp_path):
    with pytest.raises(RingError, match=r"no ring at .*nowhere.*is its publisher running"):
        BroadcastRing.attach(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [0, 100, HEADER_WORDS * 8, 8192])
def test_another_file_is_not_a_ring(tmp_path, size):
    (tmp_path / "file").write_bytes(bytes(size))
    with pytest.raises(RingError, match="not a"):
        BroadcastRing.attach(tmp_path / "file")


def test_a_restarted_publisher_has_a_later_epoch_and_readers_notice(ring):
    reader = BroadcastRing.attach(ring.path)
    before = reader.epoch
    assert not reader.replaced()
    again = BroadcastRing.create(ring.path, slots=4)
    assert again.epoch > before == reader.epoch and reader.replaced()
    reader.close()
    again.close()


def test_an_epoch_never_comes_again_although_the_file_was_removed(ring, monkeypatch):
    """Nor when somebody has set the clock back meanwhile, as long as the old file is there to tell."""
    before = ring.epoch
    assert abs(before - time.time_ns()) < 60_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: before - 10**12)
    behind = BroadcastRing.create(ring.path, slots=4)
    assert behind.epoch == before + 1
    monkeypatch.undo()
    behind.end()
    again = BroadcastRing.create(ring.path, slots=4)
    assert again.epoch > before + 1
    again.close()


def test_a_publisher_that_ends_says_so_and_takes_its_file_along(ring):
    reader = BroadcastRing.attach(ring.path)
    assert reader.words[W_CLOSED] == 0
    with pytest.raises(RingError, match="only its publisher"):
        reader.end()
    ring.end()
    assert reader.words[W_CLOSED] == 1 and not ring.path.exists() and not reader.replaced()
    reader.close()


def test_a_publisher_that_was_replaced_leaves_its_successors_file(ring):
    again = BroadcastRing.create(ring.path, slots=4)
    ring.end()
    reader = BroadcastRing.attach(ring.path)
    assert reader.epoch == again.epoch and reader.words[W_CLOSED] == 0
    reader.close()
    again.close()


def test_a_ring_that_was_closed_but_not_ended_says_nothing_of_an_end(ring):
    reader = BroadcastRing.attach(ring.path)
    ring.close()
    assert reader.words[W_CLOSED] == 0 and ring.path.exists()
    reader.close()


def test_a_ring_with_a_living_publisher_is_not_taken_over(ring):
    ring.words[W_PID] = os.getppid()
    with pytest.raises(RingError, match=f"published to by process {os.getppid()}"):
        BroadcastRing.create(ring.path, slots=4)


def test_a_silent_or_dead_publisher_is_replaced(ring):
    ring.words[W_PID] = os.getppid()
    ring.words[W_HEARTBEAT] = 0
    before = ring.epoch
    assert BroadcastRing.create(ring.path, slots=4).epoch > before


def test_the_heartbeat_carries_the_markets_time(ring):
    reader = BroadcastRing.attach(ring.path)
    ring.beat(123, 456)
    assert reader.words[W_HEARTBEAT] == 123 and reader.words[8] == 456
    reader.close()


def test_park_refuses_to_sleep_when_frames_are_there(ring):
    reader = BroadcastRing.attach(ring.path)
    assert reader.park(0)
    ring_publish(ring.words, _frame(1), 0)
    assert not reader.park(0) and reader.park(1)
    reader.close()


def _rings(fd: int, seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def test_nobody_is_woken_who_does_not_sleep(ring):
    reader = BroadcastRing.attach(ring.path)
    fd = reader.open_doorbell()
    ring.wake_readers()
    assert not _rings(fd, 0)
    reader.park(0)
    ring.wake_readers()
    assert _rings(fd, 10)
    reader.drain_doorbell()
    assert not _rings(fd, 0)
    reader.close()
    assert not list(ring.path.parent.glob("*.bell.*"))


def test_the_bell_of_a_dead_reader_is_removed(ring):
    reader = BroadcastRing.attach(ring.path)
    reader.open_doorbell()
    reader._bell.close()  # as its process leaves it
    ring.words[7] = 1
    ring.wake_readers()
    assert not list(ring.path.parent.glob("*.bell.*"))


_PUBLISHER = """
import sys
from pathlib import Path
import numpy as np
from market.rings import BroadcastRing, ring_publish
ring = BroadcastRing.create(Path(sys.argv[1]), 8)
print("ready", flush=True)
for line in sys.stdin:
    ring_publish(ring.words, np.full((1, 16), int(line), np.int64), 0)
    ring.wake_readers()
"""


def test_a_sleeping_reader_is_woken_by_another_process(tmp_path):
    path = tmp_path / "ring"
    with subprocess.Popen(
        [sys.executable, "-c", _PUBLISHER, str(path)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == "ready\n"
        reader = BroadcastRing.attach(path)
        assert reader.words[W_PID] == other.pid
        fd = reader.open_doorbell()
        for n in range(3):
            assert reader.park(n)
            other.stdin.write(f"{700 + n}\n")
            other.stdin.flush()
            assert _rings(fd, 60)
            reader.drain_doorbell()
            assert _read(reader, n) == (1, 700 + n)
        other.stdin.close()
    assert other.returncode == 0
    reader.close()


# -- between two threads ---------------------------------------------------------------------------


@pytest.fixture
def spsc():
    ring = SpscRing(8)
    yield ring
    ring.close()


def test_full_and_empty_are_said_not_waited_for(spsc):
    out = np.zeros((1, 16), np.int64)
    assert not spsc_pop(spsc.words, spsc.slots, out, 0)
    pushed = [bool(spsc_push(spsc.words, spsc.slots, _frame(n), 0)) for n in range(9)]
    assert pushed == [True] * 8 + [False] and len(spsc) == 8
    for n in range(8):
        assert spsc_pop(spsc.words, spsc.slots, out, 0) and out[0, 15] == n
    assert not spsc_pop(spsc.words, spsc.slots, out, 0)


def test_a_row_of_any_layout_can_be_pushed(spsc):
    row = table(HEADER, 1)[0]
    row["recv_ns"] = 99
    assert spsc.push(row)
    out = np.zeros((1, 16), np.int64)
    spsc_pop(spsc.words, spsc.slots, out, 0)
    assert out[0, 3] == 99


def test_between_two_threads_nothing_is_lost_or_reordered(spsc):
    total = 20_000
    seen = np.zeros(total, np.int64)
    torn = []

    def consume() -> None:
        out = np.zeros((1, 16), np.int64)
        n = 0
        while n < total:
            if spsc_pop(spsc.words, spsc.slots, out, 0):
                seen[n] = out[0, 0]
                if (out != out[0, 0]).any():
                    torn.append(n)
                n += 1

    consumer = threading.Thread(target=consume)
    consumer.start()
    frame = np.zeros((1, 16), np.int64)
    for n in range(total):
        frame[:] = n
        while not spsc_push(spsc.words, spsc.slots, frame, 0):
            pass
    consumer.join()
    assert np.array_equal(seen, np.arange(total)) and not torn


def test_wake_ups_coalesce_into_one(spsc):
    spsc.notify()
    spsc.notify()
    assert _rings(spsc.eventfd, 10)
    spsc.acknowledge()
    assert not _rings(spsc.eventfd, 0)
    spsc.acknowledge()


@pytest.mark.parametrize("count", [0, 1, 6])
def test_spsc_slots_are_a_power_of_two(count):
    with pytest.raises(RingError, match=f"was {count}"):
        SpscRing(count)


def test_a_ring_torn_between_two_threads_is_never_read_as_whole(ring):
    """One thread publishes, some bursts longer than the ring; what a reader accepts is whole and in order."""
    stop = threading.Event()

    def publish() -> None:
        frame = np.zeros((1, 16), np.int64)
        n = 0
        for burst in itertools.cycle(range(1, 7)):
            if stop.is_set():
                return
            for _ in range(burst):
                frame[:] = n
                ring_publish(ring.words, frame, 0)
                n += 1
            # Where the two share a core, four slots would be gone before the reader ever had its turn.
            os.sched_yield()

    publisher = threading.Thread(target=publish)
    publisher.start()
    out = np.zeros((1, 16), np.int64)
    got = lapped = cursor = 0
    try:
        while got < 20_000 or lapped < 20:
            result = ring_read(ring.words, cursor, out, 0)
            if result == 1:
                assert (out == cursor).all()
                got, cursor = got + 1, cursor + 1
            elif result < 0:
                lapped, cursor = lapped + 1, int(ring.words[W_CURSOR])
            else:
                os.sched_yield()
    finally:
        stop.set()
        publisher.join()  # it writes into the ring's mapping, which ends with the test
