"""The store's window: what a kernel writes is what the store writes, and a kill leaves nothing that matters."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fix.errors import StoreError
from fix.lane import Lanes
from fix.lane import layout as at
from fix.lane.crc import crc32
from fix.lane.storing import may_store, store_messages, store_next_in
from fix.store import MessageStore, verify
from fix.store.files import ACTIVE_NAME
from fix.store.layout import DAY_NS
from fix.testing import START_NS

MESSAGES = [bytes(8 + 7 * k) + b"|%d" % k for k in range(40)]


def test_the_checksum_is_zlibs() -> None:
    rng = np.random.default_rng(1)
    data = rng.integers(0, 256, 700, np.uint8)
    for start in range(9):
        for end in (start, start + 1, start + 7, start + 8, start + 9, start + 250, 690):
            assert int(crc32(data, start, end)) == zlib.crc32(data[start:end].tobytes())


class Kernel:
    """Writes a store by the lane's kernels."""

    def __init__(self, store: MessageStore, **options: Any) -> None:
        self.store, self.lanes = store, Lanes(1)
        self.window = window = store.open_window(**options)
        words = self.lanes.state
        words[at.NEXT_OUT] = store.next_out
        words[at.STORE_AT], words[at.STORE_BASE], words[at.STORE_END] = window.at, window.base, window.end
        words[at.STORE_DAY_END_NS], words[at.STORE_PLACE] = window.day_end_ns, window.place
        words[at.STORE_TAG], words[at.N_STORE_INDEX] = window.tag, len(window.index)
        words[at.A_STORE_DATA], words[at.A_STORE_WORDS] = window.data.ctypes.data, window.words.ctypes.data
        words[at.A_STORE_INDEX], words[at.A_STORE_FAILED] = window.index.ctypes.data, window.failed.ctypes.data

    def may(self, messages: list[bytes], now_ns: int = START_NS) -> bool:
        return bool(may_store(self.lanes.state, 0, sum(map(len, messages)), len(messages), now_ns))

    def append(self, messages: list[bytes], now_ns: int = START_NS) -> None:
        assert self.may(messages, now_ns)
        out = np.frombuffer(bytearray(b"".join(messages) + bytes(8)), np.uint8)
        ends = np.cumsum([len(message) for message in messages])
        store_messages(self.lanes.state, 0, out, int(ends[-1]), ends, len(messages), now_ns)


def test_the_files_are_the_same_to_the_byte(tmp_path: Path) -> None:
    plain = MessageStore(tmp_path / "plain", clock=lambda: START_NS)
    store = MessageStore(tmp_path / "lane", clock=lambda: START_NS)
    for one in (plain, store):
        one.append(1, b"before")
    kernel = Kernel(store)
    seq = 2
    for first, count in ((0, 1), (1, 1), (2, 5), (7, 30), (37, 3)):
        batch = MESSAGES[first : first + count]
        kernel.append(batch)
        plain.append_batch(b"".join(batch), seq, np.cumsum([len(message) for message in batch]))
        seq += count
        assert (store.next_out, store.written) == (plain.next_out, plain.written)
    plain.set_next_in(77)
    store_next_in(kernel.lanes.state, 0, 77)
    store.take_window()
    for one in (plain, store):
        one.append(seq, b"after")
    store.close_window()
    assert dict(store.read(1, 100)) == dict(plain.read(1, 100))
    plain.close()
    store.close()
    for name in ("messages.dat", "messages.idx"):
        sizes = [(tmp_path / side / name).stat().st_size for side in ("plain", "lane")]
        contents = [(tmp_path / side / name).read_bytes()[: min(sizes)] for side in ("plain", "lane")]
        assert contents[0] == contents[1], name
        assert name == "messages.idx" or sizes[0] == sizes[1]
    reports = [verify(tmp_path / side) for side in ("plain", "lane")]
    assert all(report.sound for report in reports) and reports[0].next_in == reports[1].next_in == 77


def test_a_lent_store_refuses_to_be_written(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.open_window()
    for act in (
        lambda: store.append(1, b"x"), lambda: store.reset(), lambda: store.skip_out(5), lambda: store.open_window(),
        lambda: store.refresh(), lambda: store.append_batch(b"xy", 1, np.array([1, 2])), lambda: store.set_next_out(3),
    ):  # fmt: skip
        with pytest.raises(StoreError, match="lent"):
            act()
    store.take_window()
    store.append(1, b"x")
    assert store.next_out == 2
    store.close()
    assert verify(tmp_path).sound


def test_a_window_ends_with_its_room_its_day_and_its_disk(tmp_path: Path) -> None:
    now = [START_NS]
    store = MessageStore(tmp_path, clock=lambda: now[0])
    kernel = Kernel(store, size=4096)
    message = [bytes(1000)]
    while kernel.may(message):
        kernel.append(message)
    assert 3 <= store.next_out - 1 <= 7
    assert kernel.may([bytes(10)])
    kernel.window.failed[0] = 1
    assert not kernel.may([bytes(10)])
    kernel.window.failed[0] = 0
    tomorrow = (START_NS // DAY_NS + 1) * DAY_NS
    assert kernel.may([bytes(10)], tomorrow - 1) and not kernel.may([bytes(10)], tomorrow)
    store.take_window()
    count = store.next_out
    now[0] = tomorrow
    kernel = Kernel(store)  # in a new file
    kernel.append(message, tomorrow)
    store.take_window()
    store.close()
    report = verify(tmp_path)
    assert report.sound and len(report.files) == 2 and report.next_out == count + 1


def test_the_same_window_serves_again(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    first = Kernel(store)
    first.append([b"one, hot"])
    store.take_window()
    store.append(2, b"two, cold")
    second = Kernel(store)
    assert second.window is first.window
    second.append([b"three, hot"])
    store.take_window()
    store.reset()
    third = Kernel(store)
    third.append([b"one again"])
    store.take_window()
    assert dict(store.read(1, 9)) == {1: b"one again"} and store.resets == 1
    store.close()
    assert verify(tmp_path).sound


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("lost_word", [False, True])
def test_a_kill_leaves_zeros_that_are_cut(tmp_path: Path, rebuild: bool, lost_word: bool) -> None:
    store = MessageStore(tmp_path)
    kernel = Kernel(store)
    kernel.append(MESSAGES[:5])
    size = store.written[1]
    if lost_word:  # killed after the entry and before the words
        words = kernel.window.words
        words[2], words[4] = 1, at.MAX_LANES * 0 + 64
    store.release()
    assert (tmp_path / ACTIVE_NAME).stat().st_size > size + (1 << 20)
    if rebuild:
        (tmp_path / "messages.idx").unlink()
    again = MessageStore(tmp_path)
    assert (again.damage, again.torn_bytes, again.next_out) == ([], 0, 6)
    assert (tmp_path / ACTIVE_NAME).stat().st_size == size
    assert dict(again.read(1, 9)) == dict(enumerate(MESSAGES[:5], 1))
    again.append(6, b"goes on")
    again.close()
    assert verify(tmp_path).sound


@pytest.mark.parametrize("cut", [9, 20, 60, 200, -1])
def test_a_kill_within_an_entry(tmp_path: Path, cut: int) -> None:
    """Bytes of an entry are there, its magic is not: nothing was sent of it, no number is used."""
    store = MessageStore(tmp_path)
    kernel = Kernel(store)
    kernel.append([b"whole"])
    start = store.written[1]
    kernel.append([b"x" * 300])
    end = store.written[1]
    base = kernel.window.base
    kernel.window.data[start - base : start - base + 8] = 0
    kernel.window.data[(end if cut < 0 else start + cut) - base : end - base] = 0
    kernel.window.words[2], kernel.window.words[4] = 2, start
    kernel.window.index[1] = 0
    store.release()
    again = MessageStore(tmp_path)
    assert again.next_out == 2 and again.torn_bytes <= end - start
    assert all(damage.last_seq < damage.first_seq for damage in again.damage)
    assert dict(again.read(1, 9)) == {1: b"whole"}
    again.append(2, b"goes on")
    again.close()
    assert verify(tmp_path).sound


def test_damage_before_the_zeros_is_still_named(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    kernel = Kernel(store)
    for message in MESSAGES[10:13]:
        kernel.append([message])
    kernel.window.data[100 + 64 - kernel.window.base] ^= 1  # in the first entry
    store.release()
    (tmp_path / "messages.idx").unlink()
    (tmp_path / "session.words").unlink()
    again = MessageStore(tmp_path)
    assert [(damage.first_seq, damage.last_seq) for damage in again.damage if damage.last_seq] == [(1, 1)]
    assert again.next_out == 4
    again.release()


def test_zeros_of_a_file_that_was_not_allocated_ahead_are_damage(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.append(1, b"one")
    store.close()
    with open(tmp_path / ACTIVE_NAME, "ab") as file:
        file.write(bytes(500))
    again = MessageStore(tmp_path)
    assert again.torn_bytes == 500 and len(again.damage) == 1
    again.release()
