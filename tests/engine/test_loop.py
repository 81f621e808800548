"""Park, poll and spin: who calls the step differs, what it takes and gives does not."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from engine.fanin import R_ORPHANS, total
from engine.journal import read_journal
from engine.loop import choose_mode, mode_reason, new_frame
from engine.replay import verify
from engine.state import SOURCE_VOID
from engine.turn import F_UNDERLYING
from market.enums import FrameKind, TradingStatus
from market.records import QUOTE, TIMER, as_layout
from market.rings import BroadcastRing, ring_publish
from tests.engine.loop_rig import LoopRig, meaning

MODES = ["park", "poll", "spin"]


async def until(condition: Callable[[], bool]) -> None:
    """Turn the loop until ``condition``; the test's own timeout ends a wait in vain."""
    while not condition():
        await asyncio.sleep(0)


async def _morning(rig: LoopRig) -> None:
    rig.loop.start(asyncio.get_running_loop())
    for layout, kind, fields in rig.script():
        rig.post(layout, kind, **fields)
        taken = int(rig.engine.words[12])
        await until(lambda: rig.loop.frames_behind() == 0)
        assert int(rig.engine.words[12]) == taken, "a posted frame was taken before post returned"
        rig.answer()
    await until(lambda: rig.loop.frames_behind() == 0)


async def test_the_three_modes_put_out_the_same_for_the_same_input(tmp_path):
    seen = {}
    for mode in MODES:
        rig = LoopRig(tmp_path / mode, mode)
        await _morning(rig)
        rig.close()
        seen[mode] = [meaning(frame) for frame in rig.sent]
    assert len(seen["park"]) > 8 and seen["park"] == seen["poll"] == seen["spin"]


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_mode_did_replays_byte_for_byte(tmp_path, mode):
    rig = LoopRig(tmp_path, mode)
    await _morning(rig)
    rig.close()
    result = verify(tmp_path)
    assert result.ok and result.outputs == len(rig.sent) and result.mismatch is None


@pytest.mark.parametrize("mode", MODES)
async def test_a_frame_is_in_the_journal_when_post_returns(tmp_path, mode):
    rig = LoopRig(tmp_path, mode)
    rig.loop.start(asyncio.get_running_loop())
    rig.post(TIMER, FrameKind.TIMER, wall_ns=4711)
    headers = as_layout(rig.journal.view.raw, TIMER)
    assert rig.journal.next_seq == 1 and headers[0]["wall_ns"] == 4711 and headers[0]["recv_ns"] > 0
    rig.close()


def _ring(tmp_path, slots=8) -> BroadcastRing:
    return BroadcastRing.create(tmp_path / "feed", slots)


def _publish(ring: BroadcastRing, count: int, venue_index: int = 3) -> None:
    for n in range(count):
        frame = new_frame(QUOTE)
        frame["kind"], frame["instrument"], frame["status"] = FrameKind.QUOTE, venue_index, TradingStatus.OPEN
        frame["src_seq"], frame["bid_ticks"], frame["bid_qty"] = ring.cursor, 400 + n, 10
        ring_publish(ring.words, np.frombuffer(frame.tobytes(), np.int64).reshape(1, 16), 0)


@pytest.mark.parametrize("mode", MODES)
async def test_ring_quotes_arrive_under_our_own_numbers(tmp_path, mode):
    rig = LoopRig(tmp_path / "run", mode)
    await _morning(rig)
    ring = _ring(tmp_path)
    rig.loop.feeds.numbers[2, 3] = 1
    rig.loop.set_ring(2, ring.words, ring.cursor)
    _publish(ring, 2)
    _publish(ring, 1, venue_index=9)
    rig.loop.kick()
    await until(lambda: rig.engine.books[1]["bid_ticks"] == 401 and total(rig.loop.feeds.sources, R_ORPHANS) == 1)
    assert rig.engine.books[1]["source"] == 2
    rig.loop.set_ring(2, None)
    rig.close()
    ring.close()
    assert verify(tmp_path / "run").ok


async def test_a_lapped_ring_voids_its_books_in_the_journal_too(tmp_path):
    rig = LoopRig(tmp_path / "run", "park")
    await _morning(rig)
    ring = _ring(tmp_path)
    rig.loop.feeds.numbers[0, 3] = 1
    rig.loop.set_ring(0, ring.words, ring.cursor)
    _publish(ring, 1)
    rig.loop.kick()
    assert rig.engine.books[1]["bid_ticks"] == 400
    _publish(ring, 20)
    rig.loop.kick()
    assert rig.loop.laps == 1 and rig.loop.lapped_frames == 20
    assert rig.engine.books[1]["recv_ns"] == 0 and rig.engine.books[1]["status"] == TradingStatus.UNKNOWN
    _publish(ring, 1)
    rig.loop.kick()
    assert rig.engine.books[1]["status"] == TradingStatus.OPEN
    rig.close()
    ring.close()
    frames = np.concatenate([as_layout(raw, TIMER) for raw in read_journal(tmp_path / "run")])
    voids = frames[(frames["kind"] == FrameKind.TIMER) & (frames["period_ns"] == SOURCE_VOID)]
    assert len(voids) == 2, "one when the ring was attached, one when it overtook us"
    assert verify(tmp_path / "run").ok


async def test_a_theo_refresh_is_taken_whole_and_closed_by_a_commit(tmp_path):
    """Also in the smallest journal segment there is: it must not rotate for ever."""
    rig = LoopRig(tmp_path, "park")
    await _morning(rig)
    rig.loop.feeds.words[F_UNDERLYING] = 0
    rows = rig.loop.theo.back()
    rows["kind"] = FrameKind.THEO
    for n in range(4):
        rows[n]["instrument"], rows[n]["theo"], rows[n]["delta"], rows[n]["spot_ref"] = n + 1, 6.0, 0.5, 100.0
    rig.loop.theo.publish(4)
    before = rig.journal.next_seq
    rig.loop.kick()
    assert rig.journal.next_seq >= before + 5
    assert list(rig.engine.series["theo"][1:5]) == [6.0] * 4
    rig.loop.kick()
    rig.close()
    assert verify(tmp_path).ok


async def test_frames_posted_by_the_output_handler_are_taken_after_it(tmp_path):
    """A session that refuses to send tells the step so from inside the hand-over: no recursion."""
    rig = LoopRig(tmp_path, "park")
    posted = []

    def echo(cells, count):
        if len(posted) < 2:
            posted.append(count)
            rig.post(TIMER, FrameKind.TIMER)

    rig.loop._on_outputs = echo
    await _morning_park(rig)
    assert len(posted) == 2 and len(rig.loop.inbox) == 0
    rig.close()


async def _morning_park(rig: LoopRig) -> None:
    rig.loop.start(asyncio.get_running_loop())
    for layout, kind, fields in rig.script():
        rig.post(layout, kind, **fields)


async def test_a_step_thread_that_cannot_go_on_is_seen(tmp_path, monkeypatch):
    rig = LoopRig(tmp_path, "spin")
    monkeypatch.setattr("engine.loop.spin", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    rig.loop.start(asyncio.get_running_loop())
    with pytest.raises(RuntimeError, match="does not take frames"):
        rig.post(TIMER, FrameKind.TIMER)
    assert isinstance(rig.loop.failure, OSError)
    monkeypatch.undo()
    rig.close()


@pytest.mark.parametrize(("cores", "mode"), [(1, "park"), (2, "park"), (3, "spin")])
def test_auto_spins_only_with_three_cores(monkeypatch, cores, mode):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert choose_mode("auto") == mode and f"auto: {cores} cores" in mode_reason("auto")
    assert choose_mode("poll") == "poll" and mode_reason("poll") == "poll as configured"
    assert ("shares its own" in mode_reason("spin")) == (cores < 3)
