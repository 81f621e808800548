"""The message store: what it remembers, and what it makes of a crash at any byte."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix.errors import StoreCorruptError, StoreError, StoreFullError, StoreLockedError
from fix.store import MessageStore, Word
from fix.store.layout import RESET_MARK

ROOT = Path(__file__).resolve().parents[3]


def reopen(store: MessageStore) -> MessageStore:
    store.release()
    return MessageStore(store.directory)


def test_messages_and_numbers_survive_a_crash(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    assert (store.next_in, store.next_out, store.last_app_ref) == (1, 1, 0)
    store.append(1, b"logon")
    store.append_batch(np.frombuffer(b"aabbbc", np.uint8), 2, np.array([2, 5, 6]), app_ref=40)
    store.set_next_in(9)
    store = reopen(store)
    assert (store.next_in, store.next_out, store.last_app_ref, store.torn_bytes) == (9, 5, 40, 0)
    assert list(store.read(1, 10)) == [(1, b"logon"), (2, b"aa"), (3, b"bbb"), (4, b"c")]
    assert list(store.read(3, 3)) == [(3, b"bbb")]
    store.append(5, b"next")
    assert list(store.read(4, 5)) == [(4, b"c"), (5, b"next")]
    store.close()


def test_a_number_is_never_used_twice(tmp_path: Path) -> None:
    with MessageStore(tmp_path) as store:
        store.append(1, b"a")
        for seq in (1, 3):
            with pytest.raises(StoreError, match="MsgSeqNum must be 2"):
                store.append(seq, b"b")
        assert store.next_out == 2


def test_app_ref_does_not_go_down(tmp_path: Path) -> None:
    with MessageStore(tmp_path) as store:
        store.append(1, b"a", app_ref=7)
        store.append(2, b"heartbeat")
        with pytest.raises(StoreError, match="at least 7, was 6"):
            store.append(3, b"b", app_ref=6)
        assert store.last_app_ref == 7


def test_reset_forgets_messages_and_keeps_app_ref(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.append(1, b"a", app_ref=3)
    store.set_next_in(5)
    store.reset()
    store = reopen(store)
    assert (store.next_in, store.next_out, store.last_app_ref, store.resets) == (1, 1, 3, 1)
    assert list(store.read(1, 9)) == []
    store.append(1, b"b")
    assert list(store.read(1, 9)) == [(1, b"b")]
    store.close()


def test_skipped_numbers_are_absent(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.skip_out(5)
    store.append(5, b"five")
    store.skip_out(9)
    store = reopen(store)
    assert store.next_out == 9
    assert list(store.read(1, 100)) == [(5, b"five")]
    store.close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_torn_tail_is_cut_and_reported(tmp_path: Path, cut: int) -> None:
    store = MessageStore(tmp_path)
    store.append(1, b"first")
    whole = (tmp_path / "messages.dat").stat().st_size
    store.append(2, b"second-message")
    store.release()
    end = (tmp_path / "messages.dat").stat().st_size
    os.truncate(tmp_path / "messages.dat", end - cut)
    (tmp_path / "messages.idx").unlink()  # as after a power cut: only the data are to be trusted
    store = MessageStore(tmp_path)
    assert store.torn_bytes == end - cut - whole
    assert list(store.read(1, 9)) == [(1, b"first")]
    # The word says that 2 was used: it may have been sent, so it is filled and not used again.
    assert store.next_out == 3
    store.append(3, b"third")
    assert list(store.read(1, 9)) == [(1, b"first"), (3, b"third")]
    store.close()


def test_data_written_before_the_words_is_found(tmp_path: Path) -> None:
    """Killed between the write and the number: the data say that the number is taken."""
    store = MessageStore(tmp_path)
    store.append(1, b"first")
    words = (tmp_path / "session.words").read_bytes()
    index = (tmp_path / "messages.idx").read_bytes()
    store.append(2, b"second", app_ref=11)
    store.release()
    (tmp_path / "session.words").write_bytes(words)
    (tmp_path / "messages.idx").write_bytes(index)
    store = MessageStore(tmp_path)
    assert (store.next_out, store.last_app_ref) == (3, 11)
    assert list(store.read(1, 9)) == [(1, b"first"), (2, b"second")]
    store.close()


def test_kill_inside_a_reset_is_finished_at_the_next_open(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.append(1, b"first")
    store._words[Word.RESETTING] = RESET_MARK ^ 1  # what a kill right after the first store of reset() leaves
    store = reopen(store)
    assert (store.next_out, list(store.read(1, 9))) == (1, [])
    store.close()


@given(
    st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=5), max_size=12),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_any_batches_read_back_in_any_range(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], first: int, last: int
) -> None:
    store = MessageStore(tmp_path_factory.mktemp("store"))
    expected: list[tuple[int, bytes]] = []
    for batch in batches:
        ends = np.cumsum([len(message) for message in batch])
        expected += list(enumerate(batch, store.next_out))
        store.append_batch(b"".join(batch), store.next_out, ends)
    store = reopen(store)
    assert list(store.read(first, last)) == [(seq, raw) for seq, raw in expected if first <= seq <= last]
    store.release()


def test_index_grows_past_its_first_mapping(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    count = (1 << 16) + 10
    store.append_batch(b"x" * count, 1, np.arange(1, count + 1))
    store.append(count + 1, b"last")
    store = reopen(store)
    assert list(store.read(count, count + 1)) == [(count, b"x"), (count + 1, b"last")]
    store.close()


def test_second_process_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    with MessageStore(tmp_path), pytest.raises(StoreLockedError, match=f"in use by pid {os.getpid()}"):
        MessageStore(tmp_path)
    MessageStore(tmp_path).close()


def test_foreign_files_are_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "messages.dat").write_bytes(b"somebody else's file, longer than our header of sixty-four bytes....")
    before = (tmp_path / "messages.dat").read_bytes()
    with pytest.raises(StoreCorruptError, match="not a message store of ours"):
        MessageStore(tmp_path)
    assert (tmp_path / "messages.dat").read_bytes() == before


def test_damaged_message_is_not_handed_out(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    store.append(1, b"first-message")
    store.append(2, b"second")
    position = (tmp_path / "messages.dat").read_bytes().index(b"first-message")
    with open(tmp_path / "messages.dat", "r+b") as file:
        file.seek(position)
        file.write(b"F")
    with pytest.raises(StoreCorruptError, match="fails its checksum"):
        list(store.read(1, 2))
    assert list(store.read(2, 2)) == [(2, b"second")]
    store.close()


def test_full_disk_sends_nothing_and_uses_no_number(tmp_path: Path) -> None:
    """A real file size limit of a real process stands in for the full disk."""
    script = (
        "import resource, signal, sys\n"
        "from fix.errors import StoreFullError\n"
        "from fix.store import MessageStore\n"
        "store = MessageStore(sys.argv[1])\n"
        "store.append(1, b'before')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "size = (store.directory / 'messages.dat').stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    store.append(2, b'x' * 500)\n"
        "except StoreFullError as error:\n"
        "    print('refused', store.next_out, (store.directory / 'messages.dat').stat().st_size == size)\n"
        "store.append(2, b'y')\n"
        "print(list(store.read(1, 9)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["refused 2 True", "[(1, b'before'), (2, b'y')]"], done.stderr
    assert StoreFullError.__mro__[1] is StoreError


def test_kill_9_at_any_moment_leaves_a_consistent_store(tmp_path: Path) -> None:
    """A child appends as fast as it can and is killed; what it had announced must be there."""
    script = (
        "import sys\n"
        "import numpy as np\n"
        "from fix.store import MessageStore\n"
        "store = MessageStore(sys.argv[1])\n"
        "while True:\n"
        "    seq = store.next_out\n"
        "    if seq % 3:\n"
        "        store.append(seq, b'message %d' % seq, app_ref=seq)\n"
        "    else:\n"
        "        raws = [b'message %d' % number for number in range(seq, seq + 3)]\n"
        "        store.append_batch(b''.join(raws), seq, np.cumsum([len(raw) for raw in raws]), app_ref=seq + 2)\n"
        "    store.set_next_in(store.next_out - 1)\n"
        "    print(store.next_out - 1, flush=True)\n"
    )
    announced = 0
    for lines in (50, 300, 7):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(lines):
            announced = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split("\n")
        announced = int(rest[-2]) if len(rest) > 1 else announced
        child.stdout.close()
        child.wait()
        store = MessageStore(tmp_path)
        assert store.next_out > announced
        assert store.next_in >= announced
        assert list(store.read(1, store.next_out)) == [(seq, b"message %d" % seq) for seq in range(1, store.next_out)]
        assert store.last_app_ref == store.next_out - 1
        store.release()
