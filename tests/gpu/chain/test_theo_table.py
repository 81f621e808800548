import threading

import numpy as np
import pytest

from gpu.chain.theo import THEO_ROW, TheoTable
from gpu.chain.theo_table import PUBLISHED, WRITING, theo_begin, theo_publish, theo_read
from gpu.errors import ChainError
from market.records import THEO, table


def test_nothing_published_reads_as_zero():
    assert TheoTable(4).read(table(THEO, 4)) == 0
    assert THEO_ROW is THEO


def test_a_reader_gets_the_last_published_rows_while_the_next_are_being_written():
    theos, out = TheoTable(3), table(THEO, 3)
    for refresh in (1, 2, 3):
        back = theos.back()
        back["theo"], back["refresh"] = 10.0 * refresh, refresh
        assert theos.publish(3) == refresh
        theos.back()["theo"] = -1.0  # the next write has begun, unpublished
        assert theos.read(out) == refresh
        assert out["theo"].tolist() == [10.0 * refresh] * 3
    assert theos.rows == 3


def test_a_copy_that_the_writer_overtook_is_refused():
    theos, out = TheoTable(2), table(THEO, 2)
    theos.back()
    theos.publish(2)
    words = theos.words
    words[WRITING] = words[PUBLISHED] + 2  # what a reader sees when a second write has begun meanwhile
    assert theo_read(words, theos.buffers[0], theos.buffers[1], out) == -1


def test_the_buffer_announced_is_never_the_published_one():
    theos = TheoTable(1)
    for _ in range(5):
        index = theo_begin(theos.words)
        assert index != theos.words[PUBLISHED] & 1
        theo_publish(theos.words, 1)


def test_readers_in_other_threads_never_see_a_mixture():
    rows, rounds = 64, 300
    theos = TheoTable(rows)
    theos.back()["refresh"] = 1
    theos.publish(rows)
    torn, done = [], threading.Event()

    def read():
        out = table(THEO, rows)
        last = 0
        while not done.is_set():
            sequence = theos.read(out)
            if sequence < last or (np.asarray(out["refresh"]) != sequence).any():
                torn.append(sequence)
            last = sequence

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for refresh in range(2, rounds):
        theos.back()["refresh"] = refresh
        assert theos.publish(rows) == refresh
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []


def test_sizes_are_checked():
    theos = TheoTable(2)
    with pytest.raises(ChainError, match=r"0\.\.2, was 3"):
        theos.publish(3)
    with pytest.raises(ChainError, match="2 rows, had 1"):
        theos.read(table(THEO, 1))
    with pytest.raises(ChainError, match="must be >= 1, was 0"):
        TheoTable(0)
