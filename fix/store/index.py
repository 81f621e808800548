"""``messages.idx``: for each MsgSeqNum the day of its file and the offset of its entry there, 0 when not stored."""

import mmap
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fix.errors import StoreFullError

INDEX_NAME = "messages.idx"
_GROW = 1 << 12  # 32 kB: a thousand idle sessions must not fill a disk
_MOST_AHEAD = 1 << 16  # 512 kB: allocated in a fraction of a millisecond


def rounded(numbers: int) -> int:
    """Entries of a file that has room for ``numbers``."""
    return -(-numbers // _GROW) * _GROW


def map_index(path: Path, entries: int, allocated: int) -> mmap.mmap:
    """Map ``entries`` of the index file, the first ``allocated`` of which have their blocks. Any thread.

    Raises
    ------
    StoreFullError
        The disk is full.
    """
    # Opened only for this: a thousand sessions are short of descriptors as it is.
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Allocated, not sparse: a store into a hole of a full disk would be SIGBUS.
        if entries > allocated:
            os.posix_fallocate(fd, allocated * 8, (entries - allocated) * 8)
        return mmap.mmap(fd, entries * 8)
    except OSError as error:
        raise StoreFullError(f"{path}: {error}; free disk space, then log on again") from error
    finally:
        os.close(fd)


class SeqIndex:
    """The index, mapped. Rebuilt from the data whenever it may be wrong: it is never the truth."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / INDEX_NAME
        self._map: mmap.mmap | None = None
        self.array: npt.NDArray[np.uint64] = np.zeros(0, np.uint64)
        self.view = memoryview(b"").cast("Q")
        #: Changes when the file is another one: a mapping of the one before is worth nothing.
        self.generation = 0
        #: Numbers that the file had room for when it was opened.
        self.found_entries = self.path.stat().st_size // 8 if self.path.exists() else 0

    def open(self) -> None:
        """Map what is there."""
        self._resize(max(self.found_entries, _GROW))

    def clear(self, first_seq: int = 1) -> None:
        """Forget every number from ``first_seq`` on."""
        if first_seq > 1:
            self.array[first_seq - 1 :] = 0
        else:
            self._release()
            self.path.unlink(missing_ok=True)
            self.generation += 1
            self._resize(_GROW)

    def grow(self, next_seq: int) -> None:
        """Make room for every number below ``next_seq``.

        Raises
        ------
        StoreFullError
            The disk is full.
        """
        if next_seq - 1 > len(self.view):
            self._resize(rounded(next_seq) + min(rounded(next_seq), _MOST_AHEAD))

    def set_range(self, first_seq: int, next_seq: int, word: int) -> None:
        """Numbers ``first_seq .. next_seq - 1`` are in the entry at ``word``."""
        self.grow(next_seq)
        self.array[first_seq - 1 : next_seq - 1] = word

    def get(self, seq: int) -> int:
        """Word of ``seq``; 0 when it is not stored."""
        return self.view[seq - 1] if seq <= len(self.view) else 0

    def next_present(self, seq: int, last: int) -> int:
        """First number from ``seq`` on that is stored, or ``last + 1``."""
        found = np.flatnonzero(self.array[seq - 1 : last])
        return seq + int(found[0]) if len(found) else last + 1

    def extent(self, seq: int) -> tuple[int, int]:
        """First and last number that share the entry of ``seq``."""
        word = self.view[seq - 1]
        first = last = seq
        while first > 1 and self.view[first - 2] == word:
            first -= 1
        while last < len(self.view) and self.view[last] == word:
            last += 1
        return first, last

    def adopt(self, mapping: mmap.mmap) -> list[mmap.mmap]:
        """Go on in a longer mapping of the same file; what is not needed any more, for the caller to close."""
        if len(mapping) <= 8 * len(self.view):
            return [mapping]
        old, self._map = self._map, None
        self._use(mapping)
        return [] if old is None else [old]

    def _resize(self, entries: int) -> None:
        mapping = map_index(self.path, entries, len(self.view))
        self._release()
        self._use(mapping)

    def _use(self, mapping: mmap.mmap) -> None:
        self._map = mapping
        self.array = np.frombuffer(mapping, np.uint64)
        self.view = memoryview(mapping).cast("Q")

    def _release(self) -> None:
        self.array = np.zeros(0, np.uint64)
        self.view = memoryview(b"").cast("Q")
        if self._map is not None:
            with suppress(BufferError):  # an exception's traceback may still hold a view: it goes with that
                self._map.close()
            self._map = None

    def close(self) -> None:
        """Let go of the file."""
        self._release()
