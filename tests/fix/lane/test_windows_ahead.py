"""Windows that follow each other: made ready by a thread, gone over to by a kernel, given back in every case."""

import asyncio
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fix.errors import StoreFullError
from fix.lane import LaneOwner
from fix.lane import layout as at
from fix.store import MessageStore, StoreWindow, verify
from fix.store.files import ACTIVE_NAME
from fix.store.layout import DAY_NS, Word
from fix.testing import START_NS
from tests.disks import mounted
from tests.fix.endpoints.world import new_orders
from tests.fix.lane.step import ASKED, MOST, STEPPED, Step
from tests.fix.lane.test_window import Kernel
from tests.fix.lane.world import Client

ROOT = Path(__file__).resolve().parents[3]
_KIB = 1 << 10
_MIB = 1 << 20
_LIMIT_S = 20.0


def wait(condition: Callable[[], Any]) -> Any:
    """What ``condition`` says once it says something."""
    end = time.monotonic() + _LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end, "not within the limit"
        time.sleep(0.001)
    return found


def lend_next(kernel: Kernel, window: StoreWindow) -> None:
    """As :meth:`fix.lane.Lanes.lend_next` does it for a lane that is bound."""
    words = kernel.lanes.state
    words[at.NEXT_BASE], words[at.NEXT_END] = window.base, window.end
    words[at.A_NEXT_DATA], words[at.A_NEXT_INDEX] = window.data.ctypes.data, window.index.ctypes.data
    words[at.N_NEXT_INDEX], words[at.NEXT_LENT] = len(window.index), 1


def prepare(store: MessageStore, size: int = _MIB) -> StoreWindow:
    store.prepare_window(size=size)
    window: StoreWindow = wait(store.next_window)
    return window


def descriptors(directory: Path) -> int:
    """Descriptors and mappings of this process that belong to the store."""
    links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return sum(link.startswith(str(directory)) for link in links) + Path("/proc/self/maps").read_text().count(
        str(directory)
    )


def test_the_files_are_those_of_a_store_without_windows(tmp_path: Path) -> None:
    """Entries of all lengths over a dozen windows, so that changes fall everywhere within what two of them share."""
    plain = MessageStore(tmp_path / "plain", clock=lambda: START_NS)
    store = MessageStore(tmp_path / "lane", clock=lambda: START_NS)
    kernel = Kernel(store, size=96 * _KIB)
    lend_next(kernel, prepare(store, 128 * _KIB))
    moves, seq = 0, 1
    rng = np.random.default_rng(7)
    while moves < 12:
        batch = [bytes(rng.integers(1, 255, size, np.uint8)) for size in rng.integers(80, 900, rng.integers(1, 60))]
        kernel.append(batch)
        plain.append_batch(b"".join(batch), seq, np.cumsum([len(message) for message in batch]))
        seq += len(batch)
        if kernel.lanes.state[at.STORE_MOVES] > moves:
            moves += 1
            assert kernel.lanes.state[at.NEXT_LENT] == 0
            store.turn_window()
            lend_next(kernel, prepare(store, 128 * _KIB))
    store.take_window()
    for one in (plain, store):
        one.append(seq, b"after")
        assert dict(one.read(seq - 3, seq)).keys() == set(range(seq - 3, seq + 1))
        one.close()
    contents = [(tmp_path / side / ACTIVE_NAME).read_bytes() for side in ("plain", "lane")]
    assert contents[0] == contents[1] and len(contents[0]) > 1_500_000
    assert all(verify(tmp_path / side).sound for side in ("plain", "lane"))


def test_without_a_next_window_nothing_is_stored_beyond_the_present_one(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    kernel = Kernel(store, size=96 * _KIB)
    message = [bytes(40_000)]
    while kernel.may(message, 0):
        kernel.append(message, 0)
    assert store.next_out == 3
    lend_next(kernel, prepare(store))
    kernel.append(message, 0)
    assert kernel.lanes.state[at.STORE_END] == kernel.window.end + _MIB
    store.turn_window()
    store.take_window()
    store.close()
    assert verify(tmp_path).sound


async def test_a_session_stays_hot_over_its_windows(tmp_path: Path) -> None:
    """20 MiB of orders by the lane: what the peer has read is what the store holds, byte for byte."""
    client = Client(tmp_path)
    await client.log_on()
    client.hear()
    said = len(client.sent)
    with Step(thread=True) as step:
        client.session.bind_lane(step.lanes, 0, step)
        step.orders[:] = np.ascontiguousarray(new_orders(MOST)).view(np.int64).reshape(-1, 16)
        client.session.offer_lane()
        await client.until(lambda: step.owner is LaneOwner.HOT)
        for _ in range(230):  # few at a time, so that the peer keeps up
            # As a thread that is not held up for long by other processes has it by itself.
            await client.until(lambda: client.session.tend_lane() or step.lanes.word(0, at.NEXT_LENT))
            step.words[ASKED] += 500
            await client.until(lambda: client.hear() and step.words[STEPPED] == step.words[ASKED])
        assert step.owner is LaneOwner.HOT and client.session.lane.demotions == {}
        assert client.session.lane.windows >= 2
        await client.until(lambda: client.hear() and step.lanes.word(0, at.TAIL_END) == 0)
        client.session.reclaim()
        client.hear()
    heard = client.sent[said:]
    numbers = [int(number) for number in re.findall(rb"\x0134=(\d+)\x01", heard)]
    assert numbers == list(range(numbers[0], numbers[0] + 230 * 500))
    stored = client.stored()
    assert b"".join(stored[number] for number in numbers) == heard
    size = client.session.store.written[1]
    await client.close()
    assert size > 20 * _MIB
    again = MessageStore(tmp_path, clock=lambda: START_NS)
    assert (again.damage, again.next_out) == ([], numbers[-1] + 1)
    again.close()
    assert verify(tmp_path).sound and (tmp_path / ACTIVE_NAME).stat().st_size == size


_KILLED = """
import os, signal, sys
from pathlib import Path
from fix.store import MessageStore
directory, most, lent = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "lent"
store = MessageStore(directory)
store.append(1, b"before")
store.open_window()
if not lent:
    store.take_window()
    store.append(2, b"cold")
allocate, calls = os.posix_fallocate, 0
def killed(fd, start, size):
    global calls
    calls += 1
    if calls > most:
        os.kill(os.getpid(), signal.SIGKILL)
    allocate(fd, start, size)
os.posix_fallocate = killed
store.prepare_window()
signal.pause()
"""


@pytest.mark.parametrize("lent", ["lent", "cold"])
@pytest.mark.parametrize("most", [0, 1, 7, 15, 16])
def test_killed_within_a_preparation(tmp_path: Path, most: int, lent: str) -> None:
    """After so many pieces of it were allocated; the last one is the index's."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), str(most), lent], cwd=ROOT, check=False, timeout=_LIMIT_S
    )
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / ACTIVE_NAME).stat().st_size >= (4 + min(most, 16)) * _MIB
    assert verify(tmp_path).sound
    store = MessageStore(tmp_path)
    wanted = {1: b"before"} | ({2: b"cold"} if lent == "cold" else {})
    assert (store.damage, store.torn_bytes, store.next_out) == ([], 0, len(wanted) + 1)
    assert dict(store.read(1, 9)) == wanted
    assert (tmp_path / ACTIVE_NAME).stat().st_size == store.written[1] < 1000
    store.close()
    assert verify(tmp_path).sound


def test_a_disk_that_fills_while_a_window_is_made_ready(tmp_path: Path) -> None:
    """The kernel refuses in the middle of it: the piece is given back, and what is there is used to its end."""
    store = MessageStore(tmp_path)
    kernel = Kernel(store, size=_MIB)
    end, limits = kernel.window.end, resource.getrlimit(resource.RLIMIT_FSIZE)
    over: list[bool] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (end + 3 * _MIB, limits[1]))
    try:
        store.prepare_window(lambda: over.append(True))
        wait(lambda: over)
        assert (tmp_path / ACTIVE_NAME).stat().st_size == end + 3 * _MIB
        assert store.next_window() is None and "too large" in store.why_no_next
        assert (tmp_path / ACTIVE_NAME).stat().st_size == end == kernel.window.words[Word.WINDOW_END]
        message = [bytes(50_000)]
        while kernel.may(message, 0):
            kernel.append(message, 0)
        store.take_window()
        count = store.next_out
        store.append(count, bytes(50_000))  # by asyncio, behind the window
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert count - 1 == 21
    wait(lambda: store.prepare_window() or store.next_window())  # tried again, a second later
    store.open_window()
    store.take_window()
    store.close()
    assert store.why_no_next == "" and verify(tmp_path).sound


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 24) as directory:
        yield directory


def fill_by_lanes(store: MessageStore, message: bytes) -> None:
    """Window after window, until one cannot be had."""
    while True:
        kernel = Kernel(store)
        store.prepare_window()
        wait(lambda: store.next_window() or store.why_no_next)
        assert "MiB are free" in store.why_no_next
        while kernel.may([message], 0):
            kernel.append([message], 0)
        store.take_window()


def fill(store: MessageStore, message: bytes) -> None:
    """Message after message, until one is refused."""
    while True:
        store.append(store.next_out, message)


def test_a_disk_too_small_for_a_window_ahead_is_used_to_its_end(small_disk: Path) -> None:
    directory = small_disk / "store"
    store = MessageStore(directory)
    message = bytes(60_000)
    with pytest.raises(StoreFullError, match="free disk space"):
        fill_by_lanes(store, message)
    count = store.next_out
    assert 16 * _MIB < count * len(message)
    with pytest.raises(StoreFullError, match="free disk space"):
        fill(store, message)
    stored = dict(store.read(1, 1 << 20))
    assert 23 * _MIB < len(stored) * len(message) and set(stored.values()) == {message}
    assert len(stored) == store.next_out - 1 >= count and verify(directory).sound
    store.close()
    assert verify(directory).sound


@pytest.mark.parametrize("waits", [True, False])
def test_the_day_ends_with_a_window_ready(tmp_path: Path, waits: bool) -> None:
    now = [START_NS]
    store = MessageStore(tmp_path, clock=lambda: now[0])
    kernel = Kernel(store)
    kernel.append([b"today"])
    if waits:
        lend_next(kernel, prepare(store, 16 * _MIB))
    else:
        store.prepare_window()
    tomorrow = now[0] = (START_NS // DAY_NS + 1) * DAY_NS
    assert not kernel.may([b"tomorrow"], tomorrow)
    store.take_window()
    size = store.written[1]
    kernel = Kernel(store)
    kernel.append([b"tomorrow"], tomorrow)
    lend_next(kernel, prepare(store))
    store.take_window()
    old = next(path for path in tmp_path.iterdir() if re.fullmatch(r"messages-\d+\.dat", path.name))
    assert old.stat().st_size == size
    assert dict(store.read(1, 9)) == {1: b"today", 2: b"tomorrow"}
    store.release()  # as a kill would, with a window ready
    assert verify(tmp_path).sound
    again = MessageStore(tmp_path, clock=lambda: now[0])
    assert again.damage == [] and dict(again.read(1, 9)) == {1: b"today", 2: b"tomorrow"}
    again.close()


def test_numbers_that_jump_while_a_window_is_ready(tmp_path: Path) -> None:
    """Its index was made for the numbers as they were: a reset, and a step far ahead, are taken into account."""
    store = MessageStore(tmp_path)
    kernel = Kernel(store, size=96 * _KIB)
    prepare(store)
    store.take_window()
    store.reset()
    store.append(1, b"one again")
    store.skip_out(3_000_000)
    kernel = Kernel(store)
    lend_next(kernel, wait(store.next_window))
    message = [bytes(9_000)]
    while kernel.may(message, 0):
        kernel.append(message, 0)
    assert kernel.lanes.state[at.STORE_MOVES] == 1
    store.turn_window()
    store.take_window()
    last = store.next_out - 1
    assert last > 3_000_100 and dict(store.read(1, last)).keys() == {1, *range(3_000_000, last + 1)}
    store.close()
    assert verify(tmp_path).sound


def test_a_reset_while_a_window_is_being_made_ready(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.append(1, b"before")
    Kernel(store, size=96 * _KIB)
    store.prepare_window()
    store.take_window()
    store.reset()
    wait(store.next_window)
    kernel = Kernel(store)
    lend_next(kernel, wait(store.next_window))
    for _ in range(5):
        kernel.append([bytes(40_000)], 0)
    store.turn_window()
    store.take_window()
    assert sorted(dict(store.read(1, 9))) == [1, 2, 3, 4, 5]
    store.close()
    assert verify(tmp_path).sound


def test_descriptors_and_room_are_given_back(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.append(1, b"one")
    before = descriptors(tmp_path)
    for _ in range(3):
        kernel = Kernel(store)
        lend_next(kernel, prepare(store))
        while not kernel.lanes.state[at.STORE_MOVES]:
            kernel.append([bytes(60_000)], 0)
        store.turn_window()
        store.prepare_window()  # not waited for
        store.take_window()
        store.close_window()
        del kernel
        assert (tmp_path / ACTIVE_NAME).stat().st_size == store.written[1]
        wait(lambda: descriptors(tmp_path) == before)
    store.close()
    wait(lambda: descriptors(tmp_path) == 0)
    assert verify(tmp_path).sound


async def test_a_session_that_ends_gives_its_windows_back(tmp_path: Path) -> None:
    client = Client(tmp_path)
    await client.log_on()
    with Step(thread=True) as step:
        client.session.bind_lane(step.lanes, 0, step)
        client.session.offer_lane()
        await client.until(lambda: step.owner is LaneOwner.HOT and step.lanes.word(0, at.NEXT_LENT))
        assert (tmp_path / ACTIVE_NAME).stat().st_size > 19 * _MIB
        client.peer.close()
        async with asyncio.timeout(20):
            while client.session._connection is not None:
                client.session.tend_lane()
                await asyncio.sleep(0)
        assert (tmp_path / ACTIVE_NAME).stat().st_size == client.session.store.written[1]
    await client.close()
    assert verify(tmp_path).sound
