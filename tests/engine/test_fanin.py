"""Fan-in: kernels against a plain-Python twin, and what follows from single events."""

import random

import numpy as np
import pytest

from engine.fanin import (
    COUNTERS,
    R_DEAD,
    R_LAPS,
    bind_source,
    fan_in,
    fan_waiting,
    make_sources,
    source_report,
    total,
    wish_restore,
    word,
)
from engine.handle import make_handle
from engine.state import SOURCE_VOID, W_INSTRUMENTS, W_NOW, make_engine
from engine.step.dispatch import step
from market.enums import FrameKind, TradingStatus
from market.records import QUOTE, TIMER, TRADE, as_layout, frames
from market.rings import (
    FIX_SOURCE,
    HEADER_WORDS,
    MAX_RINGS,
    SLOT_WORDS,
    VOID_NS,
    W_SLOTS,
    BroadcastRing,
    ring_publish,
)
from tests.engine import fanin_twin as twin

MS = 1_000_000
START = 1_700_000_000_000_000_000
SILENCE = 40 * MS


def cells(layout, **fields):
    """One frame as int64[1, 16]."""
    raw = frames(1)
    row = as_layout(raw, layout)[0]
    for name, value in fields.items():
        row[name] = value
    return raw.view(np.int64).reshape(1, 16)


def quote(index: int, seq: int, bid: int = 100):
    return cells(
        QUOTE, kind=FrameKind.QUOTE, instrument=index, src_seq=seq, ts_ns=seq, bid_ticks=bid, bid_qty=5,
        ask_ticks=bid + 2, ask_qty=5, status=TradingStatus.OPEN,
    )  # fmt: skip


class Rig:
    """A state, its sources, and the frames that they gave; each is applied to the state as it comes."""

    def __init__(self, capacity: int = 32) -> None:
        self.engine = make_engine(capacity, 16)
        self.engine.words[W_INSTRUMENTS] = capacity
        self.engine.words[W_NOW] = START
        self.handle = make_handle(self.engine)
        self.sources = make_sources()
        self.numbers = np.full((MAX_RINGS, 64), -1, np.int32)
        self._mapped = []

    def bind(self, place: int, ring: BroadcastRing, known: dict[int, int]) -> None:
        reader = BroadcastRing.attach(ring.path)
        self._mapped.append(reader)
        for index, number in known.items():
            self.numbers[place, index] = number
        bind_source(self.sources, place, reader.words, reader.cursor)

    def pull(self, place: int):
        """The next frame of a source as the step took it, None if there is none."""
        if not fan_in(self.handle, self.sources, self.numbers, place):
            return None
        now = int(self.engine.words[W_NOW])
        self.engine.inputs.header[0]["recv_ns"] = now
        raw = np.array(self.engine.inputs.cells[:1]).view(np.uint8)
        step(self.handle, 0)
        kind = int(as_layout(raw, QUOTE)[0]["kind"])
        return as_layout(raw, TIMER if kind == FrameKind.TIMER else QUOTE)[0]

    def drain(self, place: int) -> list:
        given = []
        while (frame := self.pull(place)) is not None:
            given.append(frame)
        return given

    def wait(self, ns: int) -> None:
        self.engine.words[W_NOW] += ns

    def close(self) -> None:
        for place in range(MAX_RINGS):
            bind_source(self.sources, place, None)
        for reader in self._mapped:
            reader.close()


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.close()


@pytest.fixture
def ring(tmp_path):
    ring = BroadcastRing.create(tmp_path / "A.ring", 8, books=8, silence_ns=SILENCE)
    yield ring
    ring.close()


def beat(ring: BroadcastRing) -> None:
    ring.beat(int(ring.words[5]) + 1, 0)


def told(frame) -> str:
    if frame["kind"] == FrameKind.QUOTE:
        return twin.QUOTE
    return twin.VOID if frame["period_ns"] == SOURCE_VOID else twin.ALIVE


def test_the_ring_and_the_step_agree_on_what_void_means():
    assert VOID_NS == SOURCE_VOID
    assert FIX_SOURCE >= MAX_RINGS, "a FIX session's source is never the number of a ring"


@pytest.mark.parametrize("seed", range(8))
def test_kernels_give_what_the_twin_gives(tmp_path, seed):
    """Bursts, laps, silence, returns, voids, trades, orphans, wishes and time in any order; also the counters."""
    rng = random.Random(seed)
    rig = Rig()
    ring = BroadcastRing.create(tmp_path / "A.ring", 8, books=6, silence_ns=SILENCE)
    them = twin.Publisher(8, 6, SILENCE)
    known = {0, 1, 2, 4, 7}  # 3 and 5 are not ours, 7 is beyond the table
    rig.bind(3, ring, {index: index + 10 for index in known})
    model = twin.Reader(them, known, 0)
    seqs = dict.fromkeys(range(8), 0)
    seen = {twin.QUOTE: 0, twin.VOID: 0, twin.ALIVE: 0}
    for _ in range(3000):
        action = rng.random()
        if action < 0.35:
            for _ in range(rng.choice([1, 1, 2, 5, 20])):
                index = rng.randrange(8)
                seqs[index] += rng.choice([1, 1, 1, 3])
                ring_publish(ring.words, quote(index, seqs[index]), 0)
                them.publish((twin.QUOTE, index, seqs[index]))
        elif action < 0.40:
            ring_publish(ring.words, cells(TRADE, kind=FrameKind.TRADE, instrument=1, qty=1), 0)
            them.publish((twin.TRADE, 1, 0))
        elif action < 0.50:
            beat(ring)
            them.beats += 1
        elif action < 0.52:
            ring.void()
            them.void()
        elif action < 0.54:
            wish_restore(rig.sources, 3)
            model.wished = True
        elif action < 0.80:
            rig.wait(rng.choice([MS // 3, MS, 7 * MS, SILENCE + MS, 150 * MS]))
        else:
            for _ in range(rng.choice([1, 3, 50])):
                now = int(rig.engine.words[W_NOW])
                frame, wanted = rig.pull(3), model.next(now)
                assert (frame is None) == (wanted is None)
                if frame is None:
                    break
                assert told(frame) == wanted[0] and frame["source"] == 3
                seen[wanted[0]] += 1
                if wanted[0] == twin.QUOTE:
                    assert (frame["instrument"], frame["src_seq"]) == (wanted[1] + 10, wanted[2])
                elif wanted[0] == twin.ALIVE:
                    assert (frame["timer"], frame["wall_ns"]) == (4, now)
        assert int(fan_waiting(rig.sources, 3)) == len(them.frames) - model.cursor
    report = source_report(rig.sources, 3)
    for name in COUNTERS:
        if name not in ("torn_books", "longest_restore_ns"):
            assert report.counters[name] == model.counts.get(name, 0), name
    assert report.alive == (not model.dead)
    assert min(seen.values()) > 5 and model.counts["laps"] > 5 and model.counts["deaths"] > 0, "nothing was tried"
    rig.close()
    ring.close()


def test_a_fresh_reader_reads_every_book_once_the_publisher_gives_a_sign_of_life(rig, ring):
    for index in range(4):
        ring_publish(ring.words, quote(index, 1, bid=100 + index), 0)
    rig.bind(0, ring, {index: index for index in range(4)})
    rig.wait(MS)
    assert rig.drain(0) == [], "a table that nobody answers for proves nothing"
    beat(ring)
    rig.wait(MS)
    assert [told(frame) for frame in rig.drain(0)] == [twin.ALIVE] + [twin.QUOTE] * 4
    assert list(rig.engine.books["bid_ticks"][:4]) == [100, 101, 102, 103]


def test_a_lapped_reader_has_every_book_of_now_after_one_pass_of_the_table(rig, ring):
    """Also those whose frames were overwritten, and without anything being repeated."""
    rig.bind(0, ring, {index: index for index in range(8)})
    for seq in range(1, 50):
        for index in range(8):
            ring_publish(ring.words, quote(index, seq, bid=1000 + 10 * seq + index), 0)
    rig.wait(MS)
    rig.drain(0)
    rig.drain(0)
    assert word(rig.sources, 0, R_LAPS) == 1 and int(fan_waiting(rig.sources, 0)) == 0
    assert list(rig.engine.books["bid_ticks"][:8]) == [1000 + 490 + index for index in range(8)]
    assert (rig.engine.books["src_seq"][:8] == 49).all()


def test_what_is_published_during_a_restoration_is_not_undone_by_it(rig, ring):
    rig.bind(0, ring, {index: index for index in range(8)})
    for index in range(8):
        ring_publish(ring.words, quote(index, 1), 0)
    ring_publish(ring.words, quote(0, 2), 0)
    rig.wait(MS)
    frame = rig.pull(0)
    while frame is None or told(frame) != twin.VOID:
        frame = rig.pull(0)
    for _ in range(3):
        rig.pull(0)
    for index in range(8):
        ring_publish(ring.words, quote(index, 3, bid=300), 0)
    rig.drain(0)
    assert (rig.engine.books["bid_ticks"][:8] == 300).all() and (rig.engine.books["src_seq"][:8] == 3).all()


def test_silence_beyond_the_promise_voids_the_books_and_a_beat_brings_them_back(rig, ring):
    rig.bind(2, ring, {0: 5})
    ring_publish(ring.words, quote(0, 1, bid=77), 0)
    rig.wait(MS)
    rig.drain(2)
    assert rig.engine.books[5]["recv_ns"] > 0 and source_report(rig.sources, 2).alive
    rig.wait(SILENCE)
    assert rig.drain(2) == [], "exactly what was promised is not too long"
    rig.wait(MS)
    assert [told(frame) for frame in rig.drain(2)] == [twin.VOID]
    assert rig.engine.books[5]["recv_ns"] == 0 and rig.engine.books[5]["status"] == TradingStatus.UNKNOWN
    assert not source_report(rig.sources, 2).alive
    rig.wait(10 * SILENCE)
    assert rig.drain(2) == [], "it is said once"
    beat(ring)
    rig.wait(MS)
    assert [told(frame) for frame in rig.drain(2)] == [twin.ALIVE, twin.QUOTE]
    assert rig.engine.books[5]["bid_ticks"] == 77 and rig.engine.books[5]["status"] == TradingStatus.OPEN


def test_an_end_in_order_is_seen_at_once_and_after_its_last_words(rig, tmp_path):
    ring = BroadcastRing.create(tmp_path / "B.ring", 8, books=8, silence_ns=10**15)
    rig.bind(0, ring, {0: 0, 1: 1})
    ring_publish(ring.words, quote(0, 1), 0)
    rig.wait(MS)
    rig.drain(0)
    ring_publish(ring.words, quote(1, 1), 0)
    ring.end()
    rig.wait(MS)
    rig.drain(0)
    rig.wait(MS)
    rig.drain(0)
    assert (rig.engine.books["recv_ns"][:2] == 0).all()
    rig.wait(MS)
    assert rig.drain(0) == []


def test_a_death_voids_its_own_books_only(rig, tmp_path):
    rings = [BroadcastRing.create(tmp_path / f"{n}.ring", 8, books=8, silence_ns=SILENCE) for n in range(MAX_RINGS)]
    for place, ring in enumerate(rings):
        rig.bind(place, ring, {0: place})
        ring_publish(ring.words, quote(0, 1), 0)
    step_quote = cells(QUOTE, kind=FrameKind.QUOTE, source=FIX_SOURCE + 3, instrument=20, bid_ticks=9, bid_qty=1,
                       status=TradingStatus.OPEN, recv_ns=START)  # fmt: skip
    rig.engine.inputs.cells[0] = step_quote[0]
    step(rig.handle, 0)
    rig.wait(MS)
    for place in range(MAX_RINGS):
        rig.drain(place)
    rig.wait(SILENCE + MS)
    for place, ring in enumerate(rings):
        if place != 3:
            beat(ring)
        rig.drain(place)
    dead = rig.engine.books["recv_ns"][:MAX_RINGS] == 0
    assert list(np.flatnonzero(dead)) == [3] and [word(rig.sources, k, R_DEAD) for k in range(4)] == [0, 0, 0, 1]
    assert rig.engine.books[20]["recv_ns"] > 0, "the FIX session of the same number keeps its books"
    for ring in rings:
        ring.close()


def test_books_are_read_again_when_their_instruments_get_numbers(rig, ring):
    rig.bind(0, ring, {})
    ring_publish(ring.words, quote(0, 1, bid=42), 0)
    rig.wait(MS)
    rig.drain(0)
    assert source_report(rig.sources, 0).counters["orphans"] == 1
    rig.numbers[0, 0] = 6
    assert rig.drain(0) == []
    wish_restore(rig.sources, 0)
    rig.drain(0)
    assert rig.engine.books[6]["bid_ticks"] == 42


def test_a_row_of_the_table_whose_writer_died_is_counted_and_left_out(rig, ring):
    for index in range(2):
        ring_publish(ring.words, quote(index, 1), 0)
    ring.words[HEADER_WORDS + int(ring.words[W_SLOTS]) * SLOT_WORDS] += 1  # in the middle of row 0
    rig.bind(0, ring, {0: 0, 1: 1})
    beat(ring)
    rig.wait(MS)
    rig.drain(0)
    assert rig.engine.books[0]["recv_ns"] == 0 and rig.engine.books[1]["recv_ns"] > 0
    assert source_report(rig.sources, 0).counters["torn_books"] == 1


def test_a_flood_of_foreign_frames_does_not_hold_the_step(rig, tmp_path):
    ring = BroadcastRing.create(tmp_path / "C.ring", 4096)
    rig.bind(0, ring, {0: 0})
    rig.wait(MS)
    rig.drain(0)
    for _ in range(3000):
        ring_publish(ring.words, cells(TRADE, kind=FrameKind.TRADE), 0)
    ring_publish(ring.words, quote(0, 1), 0)
    pulls = 0
    while rig.engine.books[0]["recv_ns"] == 0:
        rig.pull(0)
        pulls += 1
    assert 3 <= pulls <= 5
    ring.close()


def test_counters_outlive_the_ring_and_sum_over_all(rig, ring):
    rig.bind(0, ring, {0: 0})
    for seq in range(1, 30):
        ring_publish(ring.words, quote(0, seq), 0)
    rig.wait(MS)
    rig.drain(0)
    bind_source(rig.sources, 0, None)
    assert total(rig.sources, R_LAPS) == 1 and rig.drain(0) == [] and int(fan_waiting(rig.sources, 0)) == 0
