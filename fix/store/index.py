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


class SeqIndex:
    """The index, mapped. Rebuilt from the data whenever it may be wrong: it is never the truth."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / INDEX_NAME
        self._map: mmap.mmap | None = None
        self.array: npt.NDArray[np.uint64] = np.zeros(0, np.uint64)
        self.view = memoryview(b"").cast("Q")
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
            self._resize(_GROW)

    def grow(self, next_seq: int) -> None:
        """Make room for every number below ``next_seq``.

        Raises
        ------
        StoreFullError
            The disk is full.
        """
        if next_seq - 1 > len(self.view):
            self._resize(-(-next_seq // _GROW) * _GROW * 2)

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

    def _resize(self, entries: int) -> None:
        # Opened only for this: a thousand sessions are short of descriptors as it is.
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Allocated, not sparse: a store into a hole of a full disk would be SIGBUS.
            os.posix_fallocate(fd, 0, entries * 8)
            mapping = mmap.mmap(fd, entries * 8)
        except OSError as error:
            raise StoreFullError(f"{self.path}: {error}; free disk space, then log on again") from error
        finally:
            os.close(fd)
        self._release()
        self._map = mapping
        self.array = np.frombuffer(self._map, np.uint64)
        self.view = memoryview(self._map).cast("Q")

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
