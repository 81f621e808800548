"""One file a day: what was sent stays readable for as many days as asked, and longer while it may be asked for."""

import os
from pathlib import Path

import pytest

from fix.errors import StoreCorruptError, StoreError
from fix.store import MessageStore, show, verify
from fix.store.layout import DAY_NS

NOON = 16_780 * DAY_NS + DAY_NS // 2  # 2015-12-11


class Days:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_ns = NOON

    def __call__(self) -> int:
        return self.now_ns

    def later(self, days: int) -> None:
        self.now_ns += days * DAY_NS


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("messages*.dat"))


def test_a_new_day_begins_a_new_file_and_old_messages_are_still_read(tmp_path: Path) -> None:
    clock = Days()
    store = MessageStore(tmp_path, keep_days=0, clock=clock)
    store.append(1, b"friday")
    clock.later(3)
    store.append(2, b"monday")
    clock.later(1)
    store.append(3, b"tuesday")
    assert names(tmp_path) == ["messages-20151211.dat", "messages-20151214.dat", "messages.dat"]
    expected = [(1, b"friday"), (2, b"monday"), (3, b"tuesday")]
    assert list(store.read(1, 9)) == expected
    store.release()
    (tmp_path / "messages.idx").unlink()  # all of it is found again from the files alone
    store = MessageStore(tmp_path, keep_days=0, clock=clock)
    assert list(store.read(1, 9)) == expected
    assert store.damage == []
    store.append(4, b"more")
    store.close()
    report = verify(tmp_path)
    assert report.sound, report.lines()
    assert [file.needed for file in report.files] == [True, True, True]
    assert [message.text for message in show(tmp_path, 2, 3)] == ["monday", "tuesday"]


@pytest.mark.parametrize(("keep_days", "kept"), [(0, []), (1, ["20151213"]), (2, ["20151212", "20151213"])])
def test_days_that_nobody_can_ask_for_go_after_keep_days(tmp_path: Path, keep_days: int, kept: list[str]) -> None:
    clock = Days()
    store = MessageStore(tmp_path, keep_days=keep_days, clock=clock)
    for day in range(4):
        store.append(1, b"day %d" % day)
        store.append(2, b"more")
        if day < 3:
            clock.later(1)
            store.reset()
    assert names(tmp_path) == [*(f"messages-{day}.dat" for day in kept), "messages.dat"]
    assert list(store.read(1, 9)) == [(1, b"day 3"), (2, b"more")]
    store.release()


def test_a_session_of_weeks_keeps_its_first_day(tmp_path: Path) -> None:
    clock = Days()
    store = MessageStore(tmp_path, keep_days=1, clock=clock)
    store.append(1, b"before the reset")
    store.reset()
    store.append(1, b"first")
    for seq in range(2, 22):
        clock.later(1)
        store.append(seq, b"day")
    assert len(names(tmp_path)) == 21
    assert next(store.read(1, 1)) == (1, b"first")
    clock.later(1)
    store.reset()
    clock.later(1)
    store.append(1, b"new session")
    # Kept: the day before, because of keep_days; the day before that began before the reset.
    assert names(tmp_path) == ["messages-20160101.dat", "messages.dat"]
    store.release()


def test_a_day_that_is_missing_is_named_with_its_numbers(tmp_path: Path) -> None:
    clock = Days()
    store = MessageStore(tmp_path, clock=clock)
    store.append(1, b"one")
    store.append(2, b"two")
    clock.later(1)
    store.append(3, b"three")
    store.release()
    (tmp_path / "messages-20151211.dat").unlink()
    store = MessageStore(tmp_path, clock=clock)
    with pytest.raises(StoreCorruptError, match=r"messages-20151211\.dat is missing"):
        list(store.read(1, 9))
    found = []
    assert list(store.read(1, 9, found.append)) == [(3, b"three")]
    assert {seq for damage in found for seq in range(damage.first_seq, damage.last_seq + 1)} == {1, 2}
    store.release()


@pytest.mark.parametrize("created", [False, True])
def test_killed_while_a_day_is_closed(tmp_path: Path, created: bool) -> None:
    clock = Days()
    store = MessageStore(tmp_path, clock=clock)
    store.append(1, b"one", app_ref=7)
    store.set_next_in(5)
    store.release()
    clock.later(1)
    (tmp_path / "messages.dat").rename(tmp_path / "messages-20151211.dat")
    if created:
        (tmp_path / "messages.dat").touch()
    store = MessageStore(tmp_path, clock=clock)
    assert (store.next_in, store.next_out, store.last_app_ref, store.damage) == (5, 2, 7, [])
    store.append(2, b"two")
    assert list(store.read(1, 9)) == [(1, b"one"), (2, b"two")]
    store.release()


def test_a_clock_that_goes_back_does_not_begin_a_day(tmp_path: Path) -> None:
    clock = Days()
    store = MessageStore(tmp_path, clock=clock)
    store.append(1, b"one")
    clock.later(-2)
    store.append(2, b"two")
    store.release()
    store = MessageStore(tmp_path, clock=clock)
    assert names(tmp_path) == ["messages.dat"]
    assert list(store.read(1, 9)) == [(1, b"one"), (2, b"two")]
    store.release()


def test_keep_days_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="keep_days must be 0 or more, was -1"):
        MessageStore(tmp_path, keep_days=-1)


def test_a_store_of_the_earlier_format_is_carried_over(tmp_path: Path) -> None:
    """Same entries without epochs; a number could be skipped without a word about it."""
    store = MessageStore(tmp_path)
    for seq, raw in ((1, b"one"), (2, b"two")):
        store.append(seq, raw, app_ref=seq)
    store.set_next_in(4)
    store.release()
    words = bytearray((tmp_path / "session.words").read_bytes())
    words[8 * 8 : 12 * 8] = bytes(32)  # the words that it did not have
    words[7 * 8] = 3  # three resets, each of which had truncated the file
    words[2 * 8] = 6  # and 3 to 5 were skipped
    (tmp_path / "session.words").write_bytes(words)
    data = (tmp_path / "messages.dat").read_bytes()
    (tmp_path / "messages.dat").write_bytes(b"AXMSGS1\n".ljust(64, b"\0") + data[64:])
    os.unlink(tmp_path / "messages.idx")
    store = MessageStore(tmp_path)
    assert (store.next_in, store.next_out, store.resets, store.last_app_ref) == (4, 6, 3, 2)
    assert store.damage == []
    store.append(6, b"six")
    store.release()
    store = MessageStore(tmp_path)
    assert list(store.read(1, 9)) == [(1, b"one"), (2, b"two"), (6, b"six")]
    store.close()
    assert verify(tmp_path).sound, verify(tmp_path).lines()
