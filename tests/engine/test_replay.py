"""Replay: the same inputs give the same outputs, and a journal that says otherwise is found out."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from engine import snapshot
from engine.errors import JournalError, ReplayMismatchError, SnapshotError
from engine.journal import Journal, journal_append, segments
from engine.replay import START_SNAPSHOT, restore, run_directory, verify
from engine.state import durable_arrays, make_engine
from market.crc import seal_frames
from market.enums import FrameKind
from market.records import HEADER, ORDER, TIMER, as_layout
from tests.engine.loop_rig import LoopRig


@pytest.fixture
def run(tmp_path) -> LoopRig:
    """A finished morning in ``tmp_path/runs/000001``."""
    directory = tmp_path / "runs" / "000001"
    directory.mkdir(parents=True)
    rig = LoopRig(directory, "park")

    async def morning() -> None:
        rig.loop.start(asyncio.get_running_loop())
        for layout, kind, fields in rig.script():
            rig.post(layout, kind, **fields)
            rig.answer()
        rig.close()

    asyncio.run(morning())
    return rig


def _rewrite(directory: Path, change) -> None:
    """Change frames and seal them again, as only a wrong step or a forger could."""
    (path,) = segments(directory)
    raw = np.fromfile(path, np.uint8).reshape(-1, 128)
    raw = change(raw)
    as_layout(raw, HEADER)["jseq"] = np.arange(len(raw))
    seal_frames(raw, 0, len(raw))
    raw.tofile(path)


def _first_order(raw) -> int:
    return int(np.flatnonzero(as_layout(raw, HEADER)["kind"] == FrameKind.ORDER)[0])


def test_a_run_verifies(run, tmp_path):
    result = verify(tmp_path)
    assert result.ok and result.outputs == len(run.sent)
    assert result.inputs + result.outputs + result.stamps == result.frames


def test_a_run_is_found_by_its_own_its_runs_or_its_state_directory(run, tmp_path):
    for path in (tmp_path, tmp_path / "runs", run.directory):
        assert run_directory(path) == run.directory
    with pytest.raises(JournalError, match="give a run directory"):
        run_directory(tmp_path / "elsewhere")


def test_one_changed_byte_of_an_output_is_found_and_named(run, tmp_path):
    def change(raw):
        row = _first_order(raw)
        as_layout(raw, ORDER)["qty"][row] += 1
        return raw

    _rewrite(run.directory, change)
    result = verify(tmp_path)
    assert not result.ok and "(ORDER): output differs in words [9] of 16" in result.mismatch


def test_a_changed_input_shows_in_the_outputs(run, tmp_path):
    def change(raw):
        rows = as_layout(raw, HEADER)
        theo = np.flatnonzero(rows["kind"] == FrameKind.THEO)[0]
        raw[theo, 47] ^= 1  # inside the theo's exponent
        return raw

    _rewrite(run.directory, change)
    assert not verify(tmp_path).ok


def test_a_missing_output_is_found(run, tmp_path):
    _rewrite(run.directory, lambda raw: np.delete(raw, _first_order(raw), axis=0))
    result = verify(tmp_path)
    assert not result.ok and result.mismatch


def test_an_output_too_many_is_found(run, tmp_path):
    def change(raw):
        last = len(raw) - 1
        while as_layout(raw, HEADER)["kind"][last] >= FrameKind.ORDER:
            last -= 1
        return np.insert(raw, last + 1, raw[_first_order(raw)], axis=0)

    _rewrite(run.directory, change)
    result = verify(tmp_path)
    assert not result.ok and result.mismatch


def test_a_byte_changed_without_a_new_seal_is_the_journals_error(run, tmp_path):
    (path,) = segments(run.directory)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalError, match="frame 0"):
        verify(tmp_path)


def _cut_before_outputs(run) -> int:
    """As if the process had died between an input and what it put out; returns the frames left."""
    (path,) = segments(run.directory)
    raw = np.fromfile(path, np.uint8).reshape(-1, 128)
    left = _first_order(raw[: len(raw) - 1])
    raw[:left].tofile(path)
    return left


def test_a_run_that_died_between_input_and_output_is_no_mismatch(run, tmp_path):
    left = _cut_before_outputs(run)
    result = verify(tmp_path)
    assert result.ok and result.frames == left


def test_restore_arrives_at_the_same_bytes(run):
    engine = make_engine(8, 64)
    assert restore(engine, run.directory) == run.journal.next_seq
    for name, array in durable_arrays(run.engine).items():
        assert array.tobytes() == durable_arrays(engine)[name].tobytes(), name


def test_restore_after_a_death_between_input_and_output_counts_the_lost_orders_as_working(run):
    left = _cut_before_outputs(run)
    engine = make_engine(8, 64)
    assert restore(engine, run.directory) == left
    assert engine.orders["in_use"].sum() == engine.risk.sessions["open_orders"].sum() >= 0


def test_restore_starts_from_the_newest_snapshot_that_can_be_read(run):
    middle = make_engine(8, 64)
    restore(middle, run.directory)
    snapshot.save(middle, run.directory / f"snapshot-{run.journal.next_seq:012d}.npz", 1, run.journal.next_seq)
    (run.directory / "snapshot-999999999999.npz").write_bytes(b"half a file")
    engine = make_engine(8, 64)
    assert restore(engine, run.directory) == run.journal.next_seq
    assert engine.orders.tobytes() == run.engine.orders.tobytes()


def test_restore_refuses_a_journal_that_this_build_does_not_reproduce(run):
    def change(raw):
        as_layout(raw, ORDER)["price_ticks"][_first_order(raw)] += 1
        return raw

    _rewrite(run.directory, change)
    with pytest.raises(ReplayMismatchError, match="use the build that wrote it"):
        restore(make_engine(8, 64), run.directory)


def test_restore_without_the_start_snapshot_is_refused(run):
    (run.directory / START_SNAPSHOT).write_bytes(b"")
    with pytest.raises(SnapshotError):
        restore(make_engine(8, 64), run.directory)


def test_a_journal_that_begins_later_than_the_snapshot_is_refused(tmp_path):
    snapshot.save(make_engine(8, 64), tmp_path / START_SNAPSHOT, 1, 0)
    journal = Journal(tmp_path, 8, 1, next_seq=100)
    cells = np.zeros((1, 16), np.int64)
    as_layout(cells.view(np.uint8), TIMER)["kind"] = FrameKind.TIMER
    journal_append(journal.view, cells, 0, 1)
    journal.close()
    with pytest.raises(JournalError, match="begins at frame 100, needed from 0"):
        verify(tmp_path)


def test_verify_without_any_segment_says_so(tmp_path):
    snapshot.save(make_engine(8, 64), tmp_path / START_SNAPSHOT, 1, 0)
    with pytest.raises(JournalError, match="no journal segment"):
        verify(tmp_path)


@pytest.mark.parametrize("mode", ["park", "spin"])
def test_a_snapshot_taken_between_two_frames_restores_the_same_state(tmp_path, mode):
    rig = LoopRig(tmp_path, mode)

    async def morning() -> None:
        rig.loop.start(asyncio.get_running_loop())
        script = rig.script()
        for number, (layout, kind, fields) in enumerate(script):
            rig.post(layout, kind, **fields)
            if number == len(script) // 2:
                frozen = rig.loop.freeze(1)
                snapshot.write(frozen, tmp_path / f"snapshot-{frozen.meta.next_seq:012d}.npz")
                assert 0 < frozen.meta.next_seq
        rig.close()

    asyncio.run(morning())
    (tmp_path / START_SNAPSHOT).unlink()  # only the snapshot in the middle is left to begin from
    engine = make_engine(8, 64)
    assert restore(engine, tmp_path) == rig.journal.next_seq
    wanted = durable_arrays(rig.engine)
    for name, array in durable_arrays(engine).items():
        assert np.asarray(array).tobytes() == np.asarray(wanted[name]).tobytes(), name
