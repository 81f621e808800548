"""Replay: the journal's inputs through the same step; its outputs must come out again, byte for byte.

Used three ways: to restore the state after a crash, to verify a run (``axiom replay --verify``),
and as the oracle of every test that drives the daemon.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine import snapshot
from engine.errors import JournalError, ReplayMismatchError, SnapshotError
from engine.handle import Handle, in_cells, make_handle, out_cells, scalars
from engine.journal import read_journal, segments, trim
from engine.state import W_OUT, Engine, make_engine
from engine.step.dispatch import step
from market.enums import FrameKind
from market.jit import kernel
from market.records import HEADER, as_layout

START_SNAPSHOT = "start.npz"
_ORDER, _STAMPS = int(FrameKind.ORDER), int(FrameKind.STAMPS)


class ReplayResult(NamedTuple):
    """Outcome of a verification."""

    ok: bool
    frames: int
    inputs: int
    outputs: int
    mismatch: str | None
    stamps: int = 0  # telemetry among the frames


@kernel
def replay_frames(
    e: Handle, cells: npt.NDArray[np.int64], kinds: npt.NDArray[np.uint16], tally: npt.NDArray[np.int64]
) -> int:
    """Drive ``cells`` (int64[n, 16], journal order) through the step; -1, or the first differing row.

    ``tally``: [inputs, outputs, outputs still owed by the step from the rows before, stamps]. The header's
    crc and jseq (word 1 and the upper half of word 0) are the journal's and are not compared.
    """
    mask = np.int64(0xFFFFFFFF)
    for row in range(len(cells)):
        if kinds[row] < _ORDER:
            if tally[2] != 0:
                return row  # the step put out more than was journaled
            for k in range(16):
                in_cells(e)[0, k] = cells[row, k]
            in_cells(e)[0, 0] = cells[row, 0] & mask
            in_cells(e)[0, 1] = 0
            tally[2] = step(e, 0)
            tally[0] += 1
            continue
        if kinds[row] == _STAMPS:
            tally[3] += 1
            continue
        at = scalars(e)[W_OUT] - tally[2]
        if tally[2] == 0:
            return row  # more was journaled than the step puts out
        if (cells[row, 0] & mask) != (out_cells(e)[at, 0] & mask):
            return row
        for k in range(2, 16):
            if cells[row, k] != out_cells(e)[at, k]:
                return row
        tally[2] -= 1
        tally[1] += 1
    return -1


def _describe(raw: npt.NDArray[np.uint8], row: int, engine: Engine, owed: int) -> str:
    header: Any = as_layout(raw, HEADER)[row]
    kind = int(header["kind"])
    name = FrameKind(kind).name if kind in FrameKind._value2member_map_ else str(kind)
    where = f"frame {int(header['jseq'])} ({name})"
    if kind < _ORDER:
        return f"{where}: the step put out {owed} more frames than the journal holds before it"
    if owed == 0:
        return f"{where}: the journal holds an output that the step does not put out"
    mine = engine.outputs.cells[int(engine.words[W_OUT]) - owed]
    words = [k for k in range(2, 16) if mine[k] != raw[row].view(np.int64)[k]]
    return f"{where}: output differs in words {words} of 16"


def replay_into(engine: Engine, directory: Path, first_seq: int = 0) -> ReplayResult:
    """Apply the journal in ``directory`` from frame ``first_seq`` on; stops at the first difference.

    A run that died between an input and its outputs leaves outputs owed at the very end: those
    were never sent, and are not a mismatch.
    """
    handle = make_handle(engine)
    tally = np.zeros(4, np.int64)
    total = 0
    for raw in read_journal(directory):
        headers = as_layout(raw, HEADER)
        if total == 0 and len(raw) and int(headers["jseq"][0]) > first_seq:
            raise JournalError(
                f"{directory}: the journal begins at frame {int(headers['jseq'][0])}, needed from {first_seq}: "
                f"a segment is missing"
            )
        skip = int(np.searchsorted(headers["jseq"], np.uint64(first_seq))) if len(raw) else 0
        part = raw[skip:]
        cells = part.view(np.int64)
        bad = replay_frames(handle, cells, np.ascontiguousarray(headers["kind"][skip:]), tally)
        total += len(part)
        if bad >= 0:
            text = _describe(part, int(bad), engine, int(tally[2]))
            return ReplayResult(False, total, int(tally[0]), int(tally[1]), text, int(tally[3]))
    return ReplayResult(True, total, int(tally[0]), int(tally[1]), None, int(tally[3]))


def run_directory(path: Path) -> Path:
    """The run directory meant by ``path``: itself, its newest run, or that of a state directory."""
    if (path / START_SNAPSHOT).exists():
        return path
    for parent in (path, path / "runs"):
        runs = sorted(p for p in parent.glob("[0-9]*") if (p / START_SNAPSHOT).exists())
        if runs:
            return runs[-1]
    raise JournalError(f"no run with a {START_SNAPSHOT} under {path}: give a run directory or engine.state_dir")


def engine_for(path: Path) -> Engine:
    """A state of the same capacity as the snapshot at ``path``."""
    return make_engine(*snapshot.shape_of(snapshot.read_meta(path)))


def verify(path: Path) -> ReplayResult:
    """Replay one run from its start snapshot and compare every output frame.

    Parameters
    ----------
    path
        A run directory, the ``runs`` folder or a state directory (its newest run).

    Raises
    ------
    JournalError, SnapshotError
        When the files are absent or damaged.
    """
    directory = run_directory(Path(path))
    if not segments(directory):
        raise JournalError(f"{directory} holds no journal segment")
    engine = engine_for(directory / START_SNAPSHOT)
    meta = snapshot.load(engine, directory / START_SNAPSHOT)
    return replay_into(engine, directory, meta.next_seq)


def restore(engine: Engine, directory: Path) -> int:
    """Bring ``engine`` to the end of the run in ``directory``; returns the next journal number.

    Starts from the newest readable snapshot. Raises ReplayMismatchError when the journal and this build
    disagree: trading on a state that cannot be reproduced would be guessing.
    """
    snapshots = sorted(directory.glob("snapshot-*.npz"), reverse=True)
    start = directory / START_SNAPSHOT
    for path in (*snapshots, start):
        try:
            meta = snapshot.load(engine, path)
        except SnapshotError:
            if path == start:
                raise
            continue
        result = replay_into(engine, directory, meta.next_seq)
        if not result.ok:
            raise ReplayMismatchError(
                f"{directory}: {result.mismatch}; use the build that wrote it, or a fresh state_dir"
            )
        trim(directory)
        return meta.next_seq + result.frames
    raise JournalError(f"{directory} holds no snapshot")
