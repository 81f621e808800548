"""Snapshots: every durable array of the state in one file, written beside and renamed into place.

The file is a numpy ``.npz`` (a zip: each member carries a CRC-32 that is checked on reading), plus
a member that names build, journal position and array layouts.
"""

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from engine.errors import SnapshotError
from engine.state import Engine, durable_arrays

FORMAT = 2  # 2: memory of fills, trading status by message
_META = "meta"
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, msgspec.DecodeError)


class SnapshotMeta(msgspec.Struct, frozen=True):
    """What the arrays belong to."""

    format: int
    run: int
    next_seq: int  # first journal frame that is not in the snapshot
    layouts: dict[str, str]


def _layouts(engine: Engine) -> dict[str, str]:
    return {name: f"{array.dtype.descr!r}{list(array.shape)}" for name, array in durable_arrays(engine).items()}


class Frozen(NamedTuple):
    """A copy of the state between two frames, to be written while trading goes on."""

    meta: SnapshotMeta
    arrays: dict[str, Any]


def freeze(engine: Engine, run: int, next_seq: int) -> Frozen:
    """Copy the state (a few MB, about a millisecond). On the step's thread, between two frames."""
    meta = SnapshotMeta(FORMAT, run, next_seq, _layouts(engine))
    return Frozen(meta, {name: np.array(array) for name, array in durable_arrays(engine).items()})


def save(engine: Engine, path: Path, run: int, next_seq: int) -> None:
    """Write the state as it stands to ``path`` (atomically: a crash leaves the old file or none)."""
    arrays = {name: np.asarray(array) for name, array in durable_arrays(engine).items()}
    write(Frozen(SnapshotMeta(FORMAT, run, next_seq, _layouts(engine)), arrays), path)


def write(frozen: Frozen, path: Path) -> None:
    """Write a copy to ``path``; any thread."""
    meta = np.frombuffer(msgspec.json.encode(frozen.meta), np.uint8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **{_META: meta}, **frozen.arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # half of one helps nobody, and a full disk needs the room
        raise


def load(engine: Engine, path: Path) -> SnapshotMeta:
    """Fill ``engine`` from ``path``.

    Raises SnapshotError when the file is damaged or was made by a build (or a capacity setting)
    whose tables look different.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            meta = msgspec.json.decode(stored[_META].tobytes(), type=SnapshotMeta)
            wanted = _layouts(engine)
            if meta.format != FORMAT or meta.layouts != wanted:
                differing = sorted(k for k in wanted | meta.layouts if wanted.get(k) != meta.layouts.get(k))
                raise SnapshotError(
                    f"{path}: made for other tables ({', '.join(differing) or 'format'}): start with the build and "
                    f"the engine.max_* settings that wrote it, or with a fresh engine.state_dir"
                )
            for name, array in durable_arrays(engine).items():
                np.asarray(array)[...] = stored[name]
    except _UNREADABLE as e:
        raise SnapshotError(f"{path} cannot be read ({e}): remove it to replay from the snapshot before") from e
    return meta


def read_meta(path: Path) -> SnapshotMeta:
    """Only the description of a snapshot."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return msgspec.json.decode(stored[_META].tobytes(), type=SnapshotMeta)
    except _UNREADABLE as e:
        raise SnapshotError(f"{path} cannot be read: {e}") from e


def shape_of(meta: SnapshotMeta) -> tuple[int, int]:
    """(max_instruments, max_orders) of the tables in a snapshot."""

    def length(name: str) -> int:
        layout: Any = meta.layouts[name]
        return int(layout.rsplit("[", 1)[1].split(",")[0].rstrip("]"))

    return length("books"), length("orders")
