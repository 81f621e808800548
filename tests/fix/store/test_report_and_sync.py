"""verify, show and the group sync, on stores that are in use."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from fix.errors import StoreError
from fix.store import GroupSync, MemoryStore, MessageStore, show, verify


def test_verify_and_show_read_a_store_in_use(tmp_path: Path) -> None:
    before = {}
    with MessageStore(tmp_path) as store:
        store.append(1, b"one", app_ref=3)
        store.skip_out(4)
        store.append(4, b"8=FIX.4.4\x01553=me\x01554=secret\x01925=newer\x0110=000\x01")
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        report = verify(tmp_path)
        shown = list(show(tmp_path))
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        store.append(5, b"five")  # nothing was locked
    assert report.sound
    assert (report.used_by_pid, report.next_out, report.last_app_ref) == (os.getpid(), 5, 3)
    assert [(line.kind, line.seq, line.app_ref) for line in shown] == [
        ("message", 1, 3), ("skipped", 0, 0), ("message", 4, 0),
    ]  # fmt: skip
    assert shown[1].text == "MsgSeqNum 2 to 3 are not stored, by intent"
    assert shown[2].text == "8=FIX.4.4|553=me|554=***|925=***|10=000|"
    assert b"secret" not in shown[2].raw
    assert verify(tmp_path).used_by_pid == 0


def test_show_of_earlier_epochs(tmp_path: Path) -> None:
    with MessageStore(tmp_path) as store:
        store.append(1, b"old")
        store.reset()
        store.append(1, b"new")
        store.set_next_out(7)
        store.set_next_out(1)
    assert [line.text for line in show(tmp_path, resets=0)] == ["old"]
    assert [line.kind for line in show(tmp_path)] == ["reset", "message", "skipped", "set"]
    assert [line.text for line in show(tmp_path, resets=-1) if line.kind == "message"] == ["old", "new"]


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    for read in (verify, lambda path: list(show(path))):
        with pytest.raises(StoreError, match="there is no message store here"):
            read(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_numbers_set_by_an_operator(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    for seq in range(1, 6):
        store.append(seq, b"%d" % seq)
    store.set_next_out(3)
    store.append(3, b"three again")
    store.set_next_out(10)
    store.append(10, b"ten")
    with pytest.raises(StoreError, match="next_out must be 1 or more, was 0"):
        store.set_next_out(0)
    expected = [(1, b"1"), (2, b"2"), (3, b"three again"), (10, b"ten")]
    assert list(store.read(1, 99)) == expected
    store.release()
    (tmp_path / "messages.idx").unlink()
    store = MessageStore(tmp_path)
    assert list(store.read(1, 99)) == expected
    assert (store.next_out, store.damage) == (11, [])
    store.close()
    assert verify(tmp_path).sound


def test_created_is_the_time_of_the_last_reset(tmp_path: Path) -> None:
    times = iter(range(10**18, 10**18 + 1000, 10))
    store = MessageStore(tmp_path, clock=lambda: next(times))
    created = store.created_ns
    store.append(1, b"one")
    assert store.created_ns == created
    store.reset()
    assert store.created_ns > created
    created = store.created_ns
    store.release()
    (tmp_path / "session.words").unlink()  # lost: the data know
    store = MessageStore(tmp_path)
    assert (store.created_ns, store.resets, store.next_out) == (created, 1, 1)
    store.release()


def test_refresh_takes_what_another_hand_has_written(tmp_path: Path) -> None:
    ours = MessageStore(tmp_path / "ours")
    ours.append(1, b"one")
    other = MessageStore(tmp_path / "other")
    other.append(1, b"one")
    before = (tmp_path / "other" / "messages.dat").stat().st_size
    other.append(2, b"two")
    other.release()
    with open(tmp_path / "ours" / "messages.dat", "ab") as file:
        file.write((tmp_path / "other" / "messages.dat").read_bytes()[before:])
    ours.refresh()
    assert ours.next_out == 3
    assert list(ours.read(1, 9)) == [(1, b"one"), (2, b"two")]
    ours.release()


class CountingStore(MessageStore):
    syncs = 0

    def sync(self) -> None:
        self.syncs += 1
        super().sync()


def test_a_round_forces_what_was_written_since_the_last(tmp_path: Path) -> None:
    group = GroupSync()
    busy, idle = CountingStore(tmp_path / "busy"), CountingStore(tmp_path / "idle")
    group.add(busy)
    group.add(idle)
    assert group.round() == 2  # what was there before counts as not forced
    busy.append(1, b"one")
    assert (group.round(), busy.syncs, idle.syncs) == (1, 2, 1)
    idle.set_next_in(2)
    assert (group.round(), busy.syncs, idle.syncs) == (1, 2, 2)
    assert group.round() == 0
    group.remove(busy)
    group.remove(idle)
    busy.close()
    idle.close()
    assert group.round() == 0
    assert group.stats().syncs == 4


def test_the_thread_covers_a_store_while_it_is_written(tmp_path: Path) -> None:
    synced = threading.Event()

    class Store(MessageStore):
        def sync(self) -> None:
            super().sync()
            synced.set()

    with Store(tmp_path) as store:
        group = GroupSync(0.001)
        group.add(store)
        group.start()
        for seq in range(1, 400):
            store.append(seq, b"message")
        synced.clear()
        store.append(400, b"last")
        assert synced.wait(30)
        group.stop()
        assert group.stats().failures == 0
    assert verify(tmp_path).sound


def test_a_disk_that_refuses_stops_the_session(tmp_path: Path) -> None:
    told: list[str] = []
    group = GroupSync(on_failure=lambda _store, error: told.append(str(error)))
    store = MessageStore(tmp_path)
    group.add(store)
    store.append(1, b"one")
    real = store._locked.fd
    store._locked.fd = os.open("/dev/null", os.O_RDWR)  # fdatasync of a device without storage fails with EINVAL
    assert group.round() == 0
    os.close(store._locked.fd)
    store._locked.fd = real
    assert "from fdatasync; replace the disk, then restart" in told[0]
    with pytest.raises(StoreError, match="nothing is stored any more"):
        store.append(2, b"two")
    assert group.stats().failures == 1
    store.release()


@pytest.mark.parametrize("window_s", [0, -1, 61])
def test_a_window_out_of_range_is_refused(window_s: float) -> None:
    with pytest.raises(StoreError, match="window_s must be above 0 and at most 60"):
        GroupSync(window_s)


def test_memory_and_disk_behave_alike(tmp_path: Path) -> None:
    """One history on both, compared after each step."""
    stores = (MessageStore(tmp_path), MemoryStore())
    steps = (
        lambda store: store.append(1, b"one", app_ref=5),
        lambda store: store.append(1, b"again"),
        lambda store: store.append_batch(b"twothree", 2, np.array([3, 8]), 9),
        lambda store: store.append(4, b"four", app_ref=8),
        lambda store: store.skip_out(7),
        lambda store: store.skip_out(3),
        lambda store: store.append(7, b"seven"),
        lambda store: store.set_next_in(12),
        lambda store: store.set_next_out(3),
        lambda store: store.set_next_out(0),
        lambda store: store.append(3, b"three again"),
        lambda store: store.refresh(),
        lambda store: store.reset(),
        lambda store: store.append(1, b"new"),
        lambda store: store.set_next_out(20),
    )
    for number, step in enumerate(steps):
        outcomes = []
        for store in stores:
            try:
                step(store)
                refused = ""
            except StoreError as error:
                refused = str(error).partition(": ")[2]
            outcomes.append(
                (refused, store.next_in, store.next_out, store.last_app_ref, store.resets, list(store.read(1, 99)))
            )
        assert outcomes[0] == outcomes[1], number
    for store in stores:
        store.close()
