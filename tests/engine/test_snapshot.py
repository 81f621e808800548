"""Snapshots: what was saved comes back to the byte, and anything else is refused with a reason."""

import resource

import numpy as np
import pytest

from engine.errors import SnapshotError
from engine.snapshot import load, read_meta, save, shape_of
from engine.state import durable_arrays, make_engine
from tests.engine.step.rig import Rig


@pytest.fixture
def rig():
    rig = Rig()
    for order in rig.open().orders:
        rig.ack(order)
    return rig


def test_every_durable_array_comes_back(rig, tmp_path):
    save(rig.engine, tmp_path / "s.npz", run=3, next_seq=1234)
    other = make_engine(8, 64)
    meta = load(other, tmp_path / "s.npz")
    assert (meta.run, meta.next_seq) == (3, 1234)
    for name, array in durable_arrays(rig.engine).items():
        assert array.tobytes() == durable_arrays(other)[name].tobytes(), name


def test_saving_leaves_no_temporary_and_replaces_whole(rig, tmp_path):
    for n in range(2):
        save(rig.engine, tmp_path / "s.npz", run=1, next_seq=n)
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]
    assert read_meta(tmp_path / "s.npz").next_seq == 1


def test_the_capacity_can_be_read_without_loading(rig, tmp_path):
    save(rig.engine, tmp_path / "s.npz", 1, 0)
    assert shape_of(read_meta(tmp_path / "s.npz")) == (8, 64)


def test_a_snapshot_of_other_tables_is_refused_and_they_are_named(rig, tmp_path):
    save(rig.engine, tmp_path / "s.npz", 1, 0)
    with pytest.raises(SnapshotError, match=r"other tables \(.*orders.*engine.max_"):
        load(make_engine(8, 65), tmp_path / "s.npz")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_snapshot_is_refused(rig, tmp_path, share):
    path = tmp_path / "s.npz"
    save(rig.engine, path, 1, 0)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SnapshotError, match="cannot be read"):
        load(make_engine(8, 64), path)


def test_a_flipped_bit_inside_an_array_is_refused(rig, tmp_path):
    path = tmp_path / "s.npz"
    save(rig.engine, path, 1, 0)
    data = bytearray(path.read_bytes())
    needle = np.asarray(rig.engine.orders).tobytes()[:64]
    data[data.index(needle) + 20] ^= 4
    path.write_bytes(data)
    with pytest.raises(SnapshotError, match=r"s\.npz cannot be read"):
        load(make_engine(8, 64), path)


def test_a_snapshot_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SnapshotError, match=r"gone\.npz"):
        load(make_engine(8, 64), tmp_path / "gone.npz")


def test_a_file_that_cannot_be_written_to_its_end_leaves_nothing_behind(tmp_path):
    """A full disk needs the room; here it is the process that may write no longer files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    engine = make_engine(64, 512)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(engine, tmp_path / "s.npz", 1, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
