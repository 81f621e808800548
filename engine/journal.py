"""The journal: every frame the step took and every frame it gave, in order, in mmap'd segments.

A record is the 128-byte frame itself; ``header.jseq`` is its number and ``header.crc`` its
CRC-32C. Appending is a copy into pre-touched pages (tens of nanoseconds), so it stands before the
frame's effect leaves the process; kill -9 loses nothing, because the page cache outlives the
process. Power loss may lose the last ``journal_fsync_interval_ms``: a thread calls fdatasync
once per interval (a group commit), never the step.

The next segment is allocated (real blocks, not a sparse file) and touched ahead of need by
:meth:`Journal.prepare`. A disk that cannot hold it is therefore known half a million frames before
the current segment ends: time to stop trading in order.
"""

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.errors import JournalError, JournalFullError
from engine.state import OUTPUT_FRAMES
from market.crc import count_sound, seal_frames
from market.jit import kernel
from market.pages import touch
from market.records import FRAME_BYTES, HEADER, as_layout

FRAMES_PER_MIB = (1 << 20) // FRAME_BYTES
_PATTERN = "journal-*.bin"

J_POSITION, J_CAPACITY, J_NEXT_SEQ = range(3)
JOURNAL_WORDS = 8


class JournalView(NamedTuple):
    """What the appending kernel writes to. One thread only."""

    words: npt.NDArray[np.int64]  # J_*
    raw: npt.NDArray[np.uint8]  # uint8[capacity, 128]
    cells: npt.NDArray[np.int64]  # int64[capacity, 16], the same memory
    headers: Any  # HEADER[capacity], the same memory


@kernel
def journal_append(journal: JournalView, cells: npt.NDArray[np.int64], first: int, count: int) -> None:
    """Append ``cells[first:first+count]`` (int64[n, 16]), numbering and sealing the copies.

    The caller has made sure of room: ``room(journal) >= count``.
    """
    at = journal.words[J_POSITION]
    sequence = journal.words[J_NEXT_SEQ]
    for i in range(count):
        for k in range(16):
            journal.cells[at + i, k] = cells[first + i, k]
        journal.headers[at + i].jseq = np.uint64(sequence + i)
    seal_frames(journal.raw, at, count)
    journal.words[J_POSITION] = at + count
    journal.words[J_NEXT_SEQ] = sequence + count


@kernel(inline=True)
def room(journal: JournalView) -> int:
    """Frames that still fit in the current segment."""
    return journal.words[J_CAPACITY] - journal.words[J_POSITION]


class _Segment:
    """One allocated, mapped and touched file."""

    def __init__(self, path: Path, frames: int) -> None:
        self.path = path
        size = frames * FRAME_BYTES
        self.fd = -1
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.posix_fallocate(self.fd, 0, size)
            self.mapping = mmap.mmap(self.fd, size, flags=mmap.MAP_SHARED)
            touch(np.frombuffer(self.mapping, np.uint8))  # not MAP_POPULATE: that holds the interpreter's lock
        except OSError as e:
            if self.fd >= 0:
                os.close(self.fd)
            path.unlink(missing_ok=True)
            raise JournalFullError(
                f"no room for a journal segment of {size >> 20} MiB in {path.parent}: {e.strerror}; free disk space"
            ) from e

    def view(self, next_seq: int) -> JournalView:
        raw = np.frombuffer(self.mapping, np.uint8).reshape(-1, FRAME_BYTES)
        words = np.zeros(JOURNAL_WORDS, np.int64)
        words[J_CAPACITY], words[J_NEXT_SEQ] = len(raw), next_seq
        return JournalView(words, raw, raw.view(np.int64), as_layout(raw, HEADER))

    def close(self, used: int) -> None:
        """Sync, give the unused tail back and close; the mapping goes with its last view."""
        os.fdatasync(self.fd)
        os.ftruncate(self.fd, used * FRAME_BYTES)
        os.close(self.fd)


class Journal:
    """Writer of one run's journal. ``view`` is handed to kernels; it changes at a rotation.

    The step's thread appends and rotates; :meth:`prepare` and :meth:`sync` may be called from another.
    """

    def __init__(self, directory: Path, segment_mib: int, min_free_mib: int, next_seq: int = 0) -> None:
        self.directory = directory
        self.segment_frames = segment_mib * FRAMES_PER_MIB
        if self.segment_frames < 2 * OUTPUT_FRAMES:
            least = 2 * OUTPUT_FRAMES // FRAMES_PER_MIB
            raise JournalError(f"engine.journal_segment_mib must be at least {least}, was {segment_mib}")
        self.min_free_bytes = min_free_mib << 20
        directory.mkdir(parents=True, exist_ok=True)
        self._spare: _Segment | None = None
        self._retired: list[tuple[_Segment, int]] = []
        self._preparing = threading.Lock()
        self._handing_over = threading.Lock()  # held for a list operation or a dup, never for a disk
        self._current = self._allocate(directory / "journal-spare.tmp")
        self.view = self._current.view(next_seq)
        self._name_current()

    def _allocate(self, path: Path) -> _Segment:
        free = os.statvfs(self.directory)
        available = free.f_bavail * free.f_frsize
        needed = self.min_free_bytes + self.segment_frames * FRAME_BYTES
        if available < needed:
            raise JournalFullError(
                f"{available >> 20} MiB free in {self.directory}, {needed >> 20} MiB needed for the next journal "
                f"segment and the reserve (engine.journal_min_free_mib): free disk space"
            )
        return _Segment(path, self.segment_frames)

    def _name_current(self) -> None:
        named = self.directory / f"journal-{int(self.view.words[J_NEXT_SEQ]):012d}.bin"
        self._current.path.rename(named)
        self._current.path = named

    @property
    def next_seq(self) -> int:
        """Number of the next frame."""
        return int(self.view.words[J_NEXT_SEQ])

    @property
    def has_spare(self) -> bool:
        """Whether the next segment is ready."""
        return self._spare is not None

    def prepare(self) -> None:
        """Allocate and touch the next segment (tens of ms: call off the loop). JournalFullError."""
        with self._preparing:
            if self._spare is None:
                self._spare = self._allocate(self.directory / "journal-spare.tmp")

    def rotate(self) -> None:
        """Continue in the prepared segment (preparing it now if nobody did).

        The old one is closed by the next :meth:`sync`: its last pages go to the disk off the step.
        """
        self.prepare()
        assert self._spare is not None
        old, used = self._current, int(self.view.words[J_POSITION])
        with self._handing_over:
            self._current, self._spare = self._spare, None
            self._retired.append((old, used))
        self.view = self._current.view(self.next_seq)
        self._name_current()

    def sync(self) -> None:
        """Fdatasync of what was written so far, in order of writing; releases the GIL. Any one thread."""
        with self._handing_over:
            retired, self._retired = self._retired, []
            fd = os.dup(self._current.fd)  # a rotation and close meanwhile do not take it from us
        try:
            for segment, used in retired:
                segment.close(used)
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Seal: sync, cut the unused tail, remove the spare."""
        for segment, used in self._retired:
            segment.close(used)
        self._retired = []
        self._current.close(int(self.view.words[J_POSITION]))
        if self._spare is not None:
            self._spare.close(0)
            self._spare.path.unlink(missing_ok=True)
            self._spare = None


class JournalEnd(NamedTuple):
    """Where a journal stops; ``torn_bytes`` were half written behind the last sound frame."""

    frames: int
    next_seq: int
    torn_bytes: int


def segments(directory: Path) -> list[Path]:
    """The run's journal files in order."""
    return sorted(directory.glob(_PATTERN))


class _Contents(NamedTuple):
    """One segment file as it was found."""

    raw: npt.NDArray[np.uint8]  # uint8[n, 128], all of it
    sound: int  # frames, from the start, whose CRC is right
    written: int  # frames up to the last one that was touched
    torn_bytes: int  # of what was touched, behind the sound frames


def _inspect(path: Path) -> _Contents:
    size = path.stat().st_size
    count, rest = divmod(size, FRAME_BYTES)
    if count == 0:
        return _Contents(np.zeros((0, FRAME_BYTES), np.uint8), 0, 0, rest)
    raw = np.memmap(path, np.uint8, "c", shape=(count, FRAME_BYTES))
    touched = np.flatnonzero(np.any(raw.view(np.int64) != 0, axis=1))
    written = int(touched[-1]) + 1 if len(touched) else 0
    sound = int(count_sound(raw, written))
    return _Contents(raw, sound, written, (written - sound) * FRAME_BYTES + rest)


def read_journal(directory: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield each segment's sound frames as uint8[n, 128] (a copy-on-write mapping).

    Stops quietly at a torn tail of the last segment. Raises JournalError, naming file and frame, where
    that is not what is wrong: damage followed by whole frames, or in a file that was closed in
    order (one that ends with its last frame: a crash leaves the pre-allocated rest behind).
    """
    paths = segments(directory)
    expected: int | None = None
    for number, path in enumerate(paths):
        found = _inspect(path)
        sequence = as_layout(found.raw, HEADER)["jseq"][: found.sound]
        if found.sound:
            first = int(sequence[0]) if expected is None else expected
            expected = first + found.sound
            if not np.array_equal(sequence, np.arange(first, expected, dtype=np.uint64)):
                raise JournalError(f"{path}: frame numbers do not follow each other; restore the file from a copy")
        if found.sound < found.written:
            closed = found.written == len(found.raw) and path.stat().st_size % FRAME_BYTES == 0
            if number < len(paths) - 1 or closed or _sound_beyond(found.raw, found.sound, found.written):
                raise JournalError(
                    f"{path}: frame {found.sound} fails its CRC and is no torn tail; restore it from a copy"
                )
        yield found.raw[: found.sound]


def _sound_beyond(raw: npt.NDArray[np.uint8], bad: int, written: int) -> bool:
    """Whether any frame after the damaged one is whole: then it is damage, not a torn tail."""
    return any(count_sound(raw[i : i + 1], 1) == 1 for i in range(bad + 1, written))


def journal_end(directory: Path) -> JournalEnd:
    """Count the sound frames of a run and the bytes of a torn tail."""
    frames, next_seq = 0, 0
    for raw in read_journal(directory):
        frames += len(raw)
        if len(raw):
            next_seq = int(as_layout(raw, HEADER)["jseq"][-1]) + 1
    paths = segments(directory)
    return JournalEnd(frames, next_seq, _inspect(paths[-1]).torn_bytes if paths else 0)


def trim(directory: Path) -> int:
    """Give back what a run that died left behind: its spare, the unused rest and the torn tail.

    Returns the bytes of the torn tail. The caller owns the directory, and has read it.
    """
    (directory / "journal-spare.tmp").unlink(missing_ok=True)
    paths = segments(directory)
    if not paths:
        return 0
    for path in paths[:-1]:
        os.truncate(path, _inspect(path).written * FRAME_BYTES)
    last = _inspect(paths[-1])
    os.truncate(paths[-1], last.sound * FRAME_BYTES)
    return last.torn_bytes
