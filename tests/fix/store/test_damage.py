"""Flipped bits: each is found and named, and never changes what is handed out or which number comes next."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fix.errors import StoreCorruptError
from fix.store import Damage, MessageStore, Word, verify

MESSAGES = {
    1: b"8=FIX.4.4\x019=5\x0135=A\x0110=000\x01", 2: b"two", 3: b"three", 4: b"four", 6: b"six", 7: b"seven",
    8: b"eight",
}  # fmt: skip
NEXT_IN, NEXT_OUT = 5, 9


def write(directory: Path) -> None:
    """A store with single messages, a batch, a number left out, and a reset before them."""
    store = MessageStore(directory)
    store.append(1, b"before the reset")
    store.reset()
    store.append(1, MESSAGES[1])
    store.append_batch(b"twothreefour", 2, np.array([3, 8, 12]), app_ref=44)
    store.skip_out(6)
    for seq in (6, 7, 8):
        store.append(seq, MESSAGES[seq])
    store.set_next_in(NEXT_IN)
    store.release()


def flip(path: Path, position: int, bit: int) -> None:
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0] ^ 1 << bit
        file.seek(position)
        file.write(bytes([byte]))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pristine")
    write(directory)
    assert verify(directory).sound
    return directory


def copies(pristine: Path, room: Path, name: str, stop: int) -> Iterator[tuple[int, Path]]:
    """A copy for each byte of the file ``name``, with one bit of that byte flipped."""
    for position in range(stop):
        for file in ("messages.dat", "messages.idx", "session.words"):
            shutil.copyfile(pristine / file, room / file)
        flip(room / name, position, position * 5 % 8)
        yield position, room


def named(damage: list[Damage]) -> set[int]:
    return {seq for found in damage for seq in range(found.first_seq, found.last_seq + 1)}


def check_reads(store: MessageStore, before: list[Damage], context: str) -> None:
    """Everything that is handed out is right, and every number that is not has been named."""
    damage = list(before)
    read = dict(store.read(1, 100, damage.append))
    assert {seq: MESSAGES.get(seq) for seq in read} == read, context
    assert set(MESSAGES) - set(read) <= named(damage), (context, damage)
    # A flip is also harmless where it hits what is not looked at again; then nothing is missing.
    assert store.next_out >= NEXT_OUT, context


def test_every_byte_of_the_data_after_a_power_cut(pristine: Path, tmp_path: Path) -> None:
    size = (pristine / "messages.dat").stat().st_size
    for position, directory in copies(pristine, tmp_path, "messages.dat", size):
        assert not verify(directory).sound, position
        flip(directory / "session.words", 6 * 8, 1)  # Word.BOOT: another boot, so the index is not trusted
        if position < 64:
            with pytest.raises(StoreCorruptError, match=r"messages\.dat"):
                MessageStore(directory)
            continue
        store = MessageStore(directory)
        assert store.damage, position
        check_reads(store, store.damage, f"byte {position}")
        assert (store.next_out, store.next_in, store.resets) == (NEXT_OUT, NEXT_IN, 1), position
        store.append(NEXT_OUT, b"next")
        assert list(store.read(NEXT_OUT, NEXT_OUT)) == [(NEXT_OUT, b"next")], position
        store.release()


def test_every_byte_of_the_data_under_a_running_process(pristine: Path, tmp_path: Path) -> None:
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    store = MessageStore(tmp_path)
    assert store.damage == []
    for position in range(64, (pristine / "messages.dat").stat().st_size):
        flip(tmp_path / "messages.dat", position, position * 5 % 8)
        check_reads(store, [], f"byte {position}")
        report = verify(tmp_path)
        assert not report.sound, position
        assert report.used_by_pid == os.getpid()
        assert sum(line.startswith("messages.dat: byte") for line in report.lines()) == len(report.damage)
        flip(tmp_path / "messages.dat", position, position * 5 % 8)
    assert verify(tmp_path).sound
    store.release()


def test_every_used_byte_of_the_index(pristine: Path, tmp_path: Path) -> None:
    for position, directory in copies(pristine, tmp_path, "messages.idx", 8 * (NEXT_OUT - 1)):
        report = verify(directory)
        assert [found.file for found in report.damage] == ["messages.idx"], position
        assert named(report.damage) == {position // 8 + 1}
        store = MessageStore(directory)
        check_reads(store, [], f"byte {position}")
        store.release()


def test_every_used_byte_of_the_words(pristine: Path, tmp_path: Path) -> None:
    for position, directory in copies(pristine, tmp_path, "session.words", 8 * len(Word)):
        word = position // 8
        if word == Word.MAGIC:  # it may be anybody's file
            with pytest.raises(StoreCorruptError, match="not a message store of ours"):
                MessageStore(directory)
            continue
        store = MessageStore(directory)
        check_reads(store, [], f"byte {position}")
        assert dict(store.read(1, 100)) == MESSAGES
        assert 1 <= store.next_in <= NEXT_IN, position  # lower is asked for again, higher would be lost
        assert (store.resets, store.last_app_ref) == (1, 44), position
        # These say where to go on reading, or when: a wrong one costs a look at all the data.
        harmless = (Word.BOOT, Word.DAY, Word.DATA_BYTES, Word.CREATED_NS, Word.WINDOW_END)
        assert bool(store.damage) == (word not in harmless) or (word in (Word.DATA_BYTES, Word.NEXT_OUT)), (
            position, store.damage,
        )  # fmt: skip
        store.release()


def test_damage_names_file_bytes_numbers_and_checksums(pristine: Path, tmp_path: Path) -> None:
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    position = (tmp_path / "messages.dat").read_bytes().index(b"three")
    flip(tmp_path / "messages.dat", position, 0)
    store = MessageStore(tmp_path)
    found: list[Damage] = []
    assert dict(store.read(1, 100, found.append)) == {seq: MESSAGES[seq] for seq in (1, 6, 7, 8)}
    (damage,) = found
    assert (damage.file, damage.first_seq, damage.last_seq) == ("messages.dat", 2, 4)
    assert damage.offset <= position < damage.offset + damage.size
    assert damage.stored_crc != damage.computed_crc
    assert f"byte {damage.offset} to" in damage.text
    assert f"CRC stored {damage.stored_crc:#010x}, computed {damage.computed_crc:#010x}" in damage.text
    with pytest.raises(StoreCorruptError, match="MsgSeqNum 2 to 4") as caught:
        list(store.read(3, 3))
    assert (caught.value.first_seq, caught.value.last_seq) == (2, 4)
    assert verify(tmp_path).damage == [damage]
    store.release()


def test_a_message_that_contains_an_entry_is_not_taken_for_one(tmp_path: Path) -> None:
    """Damage at the entry around it makes the search walk over the bytes of a message."""
    other = tmp_path / "other"
    store = MessageStore(other)
    store.append(1, b"innocent")
    store.release()
    planted = (other / "messages.dat").read_bytes()[64:]
    store = MessageStore(tmp_path / "ours")
    store.append(1, b"one")
    store.append(2, b"text=" + planted)
    store.append(3, b"three")
    store.release()
    data = tmp_path / "ours" / "messages.dat"
    flip(data, data.read_bytes().index(b"text="), 0)
    (tmp_path / "ours" / "messages.idx").unlink()
    store = MessageStore(tmp_path / "ours")
    assert dict(store.read(1, 9, lambda _: None)) == {1: b"one", 3: b"three"}
    assert named(store.damage) == {2}
    store.release()
