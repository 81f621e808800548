"""The end of a data file, allocated ahead and mapped: where a step thread appends without a system call.

While a window is out, whoever has it writes the entries, the index and the words, as
:meth:`MessageStore.append` would; the store refuses to. The file is longer than its entries then, by
zeros; ``session.words`` says up to where, so that the next start cuts them off without calling
it damage if the process was killed.
"""

import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fix.errors import StoreError, StoreFullError
from fix.store.files import DataFiles
from fix.store.index import SeqIndex
from fix.store.layout import Word

WINDOW_BYTES = 1 << 24  #: about 60,000 orders
_PAGE = mmap.PAGESIZE
#: The shortest message with its entry: how many numbers a window may need.
_LEAST_ENTRY = 128
#: Wider than any entry of one send: with less, a fresh window is made.
_WORTH_KEEPING = 1 << 22


class StoreWindow:
    """Memory of one store that a kernel writes; all positions are those in the data file.

    Attributes
    ----------
    at, base, end:
        Where the next entry goes, the position of ``data[0]``, and where the window ends.
    data, index, words:
        The file, ``messages.idx`` (an int64 a MsgSeqNum, from 1 on) and ``session.words``.
    day_end_ns, place, tag:
        From when on nothing may be written here; the day in an index word; the tag of an entry.
    failed:
        int64[1], not 0 once the disk has refused: nothing may be written any more.
    """

    def __init__(self, fd: int, path: object, at: int, size: int) -> None:
        self.at = at
        self.base = at // _PAGE * _PAGE
        self.end = -(-(at + size) // _PAGE) * _PAGE
        try:
            # Allocated, not sparse: a store into a hole of a full disk would be SIGBUS.
            os.posix_fallocate(fd, at, self.end - at)
            # Populated: the first touch of a page would cost more than the message.
            self._map = mmap.mmap(fd, self.end - self.base, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=self.base)
        except OSError as error:
            os.ftruncate(fd, at)
            raise StoreFullError(f"{path}: {error}; free disk space, then log on again") from error
        self.data: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self.index: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.words: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.failed = np.zeros(1, np.int64)
        self.day_end_ns = self.place = self.tag = 0

    @property
    def worth_keeping(self) -> bool:
        """Whether there is room for another while."""
        return self.end - self.at >= _WORTH_KEEPING

    @property
    def numbers(self) -> int:
        """MsgSeqNums that fit at most."""
        return (self.end - self.at) // _LEAST_ENTRY

    def give_up_views(self) -> None:
        """Hold neither index nor words any more: the store may map them anew."""
        self.index, self.words = self.index[:0].copy(), self.words[:0].copy()

    def close(self) -> None:
        """Unmap; an array that somebody still holds stays mapped until it goes."""
        self.give_up_views()
        self.data = self.data[:0].copy()
        with suppress(BufferError):
            self._map.close()


class LendsWindow(ABC):
    """The part of :class:`fix.store.message_store.MessageStore` that lends its end."""

    directory: Path
    _clock: Callable[[], int]
    _words: memoryview
    _files: DataFiles
    _index: SeqIndex
    _day_end_ns: int
    _place: int
    _tag: int
    _window: StoreWindow | None = None
    _lent: bool = False  # somebody else writes to it

    @property
    @abstractmethod
    def next_out(self) -> int:
        """MsgSeqNum of the next message that we send."""

    @abstractmethod
    def _check(self, seq: int, app_ref: int, now_ns: int) -> None:
        """Refuse what must not be written; begin a new file on a new day."""

    def open_window(self, size: int = WINDOW_BYTES) -> StoreWindow:
        """Lend the end of the store to a lane; the store itself refuses to be written until :meth:`take_window`.

        Raises
        ------
        StoreFullError
            There is no room on the disk; nothing has changed.
        StoreError
            It is lent already, or the disk has failed.
        """
        now_ns = self._clock()
        self._check(self.next_out, 0, now_ns)
        files, words, window = self._files, self._words, self._window
        if window is not None:
            window.at = files.size
            if not window.worth_keeping:
                self.close_window()
                window = None
        if window is None:
            window = self._window = StoreWindow(files.fd, files.path, files.size, size)
            words[Word.WINDOW_END] = window.end
        first = self.next_out
        self._index.grow(first + window.numbers)
        self._index.array[first - 1 : first + window.numbers : 512] |= np.uint64(0)  # touch each page once
        window.index = self._index.array.view(np.int64)
        window.words = np.frombuffer(words, np.int64)
        window.day_end_ns, window.place, window.tag = self._day_end_ns, self._place, self._tag
        self._lent, self._day_end_ns = True, 0  # by which every append asks _check
        return window

    def take_window(self) -> None:
        """The lane has come back: what it wrote is this store's, which may be written again."""
        if self._lent and self._window is not None:
            self._lent, self._day_end_ns = False, self._window.day_end_ns
            self._window.give_up_views()
            self._files.size = self._words[Word.DATA_BYTES]

    def close_window(self) -> None:
        """Let the data file end with its last entry again."""
        if self._lent:
            raise StoreError(f"{self.directory}: its window is lent to a lane; take the lane back first")
        if self._window is not None:
            self._cut(self._files.size)

    def _cut(self, size: int) -> None:
        """Let the data file end at ``size``."""
        if self._window is not None:
            self._window.close()
            self._window = None
        os.ftruncate(self._files.fd, size)
        self._words[Word.WINDOW_END] = 0
