"""The end of a data file, allocated ahead and mapped: where a step thread appends without a system call.

While a window is out, whoever has it writes the entries, the index and the words, as
:meth:`MessageStore.append` would; the store refuses to. The file is longer than its entries then, by
zeros; ``session.words`` says up to where, so that the next start cuts them off without calling
it damage if the process was killed.

Windows follow each other without a pause: while one is written, a thread (``ahead.py``) makes the next ready, which
begins a little before the first one ends. Both are the same pages of the same file, so that a writer goes over
where an entry does not fit any more. ``Word.WINDOW_END`` is moved before the file grows, never after it.
"""

import mmap
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from fix.errors import StoreError, StoreFullError
from fix.store.ahead import HELPER, Clear, Task
from fix.store.files import DataFiles
from fix.store.index import SeqIndex, map_index, rounded
from fix.store.layout import Word
from market.pages import touch

WINDOW_BYTES = 1 << 24  #: of one that is made ready ahead: about 60,000 orders
#: Of one that somebody waits for: allocated at once, touched by the thread.
FIRST_BYTES = 1 << 22
#: By how much windows overlap; wider than any entry of one send.
OVERLAP_BYTES = 1 << 16
_PAGE = mmap.PAGESIZE
#: The shortest message with its entry: how many numbers a window may need.
_LEAST_ENTRY = 128
#: With less room than this a window is not lent again.
_WORTH_KEEPING = 1 << 18
#: Allocated in one call: a write to the same file waits for so much at most.
_PART = 1 << 20
_RETRY_NS = 1_000_000_000
_NOWHERE = 1 << 62


class StoreWindow:
    """Memory of one store that a kernel writes; all positions are those in the data file.

    Attributes
    ----------
    at, base, end:
        Where the next entry goes when it is lent, the position of ``data[0]``, and where the window ends.
    first:
        MsgSeqNum of that entry.
    data, index, words:
        The file, ``messages.idx`` (an int64 a MsgSeqNum, from 1 on) and ``session.words``.
    day_end_ns, place, tag:
        From when on nothing may be written here; the day in an index word; the tag of an entry.
    failed:
        int64[1], not 0 once the disk has refused: nothing may be written any more.
    """

    def __init__(self, fd: int, base: int, end: int, failed: npt.NDArray[np.int64]) -> None:
        self.at = self.base = base
        self.end = end
        self.first = 1
        self._map = mmap.mmap(fd, end - base, mmap.MAP_SHARED, offset=base)
        self.data: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self.index: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.words: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.failed = failed
        self.day_end_ns = self.place = self.tag = 0

    def numbers(self, end: int) -> int:
        """MsgSeqNums that fit at most up to position ``end``."""
        return (end - self.at) // _LEAST_ENTRY

    def give_up_views(self) -> None:
        """Hold neither index nor words any more: the store may map them anew."""
        self.index, self.words = self.index[:0].copy(), self.words[:0].copy()

    def close(self) -> None:
        """Unmap; an array that somebody still holds stays mapped until it goes."""
        self.give_up_views()
        self.data = self.data[:0].copy()
        with suppress(BufferError):
            self._map.close()


class _Touch(Task):
    """Make a window's pages present: what it is given stays mapped until then."""

    def __init__(self, window: StoreWindow) -> None:
        super().__init__()
        self._data, self._index = window.data[window.at - window.base :], window.index[window.first - 1 :]

    def act(self) -> None:
        """A window that was given up meanwhile need not be touched."""
        with suppress(OSError):
            touch(self._data)
            touch(self._index)
        del self._data, self._index


class _Preparation(Task):
    """The window after ``window``: its part of the file, and of the index, allocated, mapped and touched."""

    def __init__(
        self, fd: int, window: StoreWindow, end: int, index: SeqIndex, when_over: Callable[[], None] | None
    ) -> None:
        super().__init__(when_over)
        self._fd, self._from, self._end, self._failed = fd, window.end, end, window.failed
        self._base = max(window.end - OVERLAP_BYTES, window.base)
        self._index, self._known = index.path, len(index.view)
        self._first, self._entries = window.first, rounded(window.first + window.numbers(end))
        self.generation = index.generation
        self.window: StoreWindow | None = None
        self.index: mmap.mmap | None = None

    def act(self) -> None:
        """As the class says; what an error leaves allocated is for the store to give back."""
        try:
            disk = os.fstatvfs(self._fd)
            free, size = disk.f_bavail * disk.f_frsize, self._end - self._from
            if free < 2 * size:  # others need it more
                raise StoreFullError(f"{free >> 20} MiB are free, {2 * size >> 20} wanted for a window ahead")
            for at in range(self._from, self._end, _PART):
                os.posix_fallocate(self._fd, at, min(_PART, self._end - at))
            window = StoreWindow(self._fd, self._base, self._end, self._failed)
            touch(window.data)
            self.index = map_index(self._index, max(self._entries, self._known), self._known)
            touch(np.frombuffer(self.index, np.uint64), 8 * (self._first - 1), 8 * self._entries)
            self.window = window
        finally:
            os.close(self._fd)

    def cancel(self) -> bool:
        """As for every task."""
        cancelled = super().cancel()
        if cancelled:
            os.close(self._fd)
        return cancelled


class LendsWindow(ABC):
    """The part of :class:`fix.store.message_store.MessageStore` that lends its end."""

    directory: Path
    _clock: Callable[[], int]
    _words: memoryview
    _files: DataFiles
    _index: SeqIndex
    _descriptors: Lock
    _day_end_ns: int
    _place: int
    _tag: int
    _window: StoreWindow | None = None
    _lent: bool = False  # somebody else writes to it
    _next: StoreWindow | None = None  # made ready
    _next_index: mmap.mmap | None = None  # longer, of the same file; not used yet
    _under_way: _Preparation | None = None
    #: Up to here the file may be written while the part behind it is being allocated.
    _guard: int = _NOWHERE
    _retry_ns: int = 0  # a preparation has failed: not before
    #: Why the last preparation came to nothing; empty when it did not.
    why_no_next: str = ""

    def __init__(self) -> None:
        self._refused = np.zeros(1, np.int64)

    @property
    @abstractmethod
    def next_out(self) -> int:
        """MsgSeqNum of the next message that we send."""

    @abstractmethod
    def _check(self, seq: int, app_ref: int, now_ns: int) -> None:
        """Refuse what must not be written; begin a new file on a new day."""

    # ------------------------------------------------------------ lending

    def open_window(self, size: int = FIRST_BYTES) -> StoreWindow:
        """Lend the end of the store to a lane; the store itself refuses to be written until :meth:`take_window`.

        A fresh window, of ``size`` bytes, is made only where there is none that has room.

        Raises
        ------
        StoreFullError
            There is no room on the disk; nothing has changed.
        StoreError
            It is lent already, or the disk has failed.
        """
        now_ns = self._clock()
        self._check(self.next_out, 0, now_ns)
        window = self._window
        if window is not None:
            room = window.end - self._files.size
            if room < _WORTH_KEEPING:
                self._settle()
            if room < (_WORTH_KEEPING if self._next is None else OVERLAP_BYTES):
                window = self._go_on() if self._next_fits() else None
        if window is None:
            window = self._make_window(size)
        window.at, window.first = self._files.size, self.next_out
        end = window.end if self._next is None else self._next.end
        self._index.grow(window.first + window.numbers(end))
        self._lend(window)
        self._lent, self._day_end_ns = True, 0  # by which every append asks _check
        return window

    def _lend(self, window: StoreWindow) -> None:
        """Give ``window`` all that its writer needs."""
        window.index = self._index.array.view(np.int64)
        window.words = np.frombuffer(self._words, np.int64)
        window.place, window.tag = self._place, self._tag
        window.day_end_ns = self._day_end_ns

    def _make_window(self, size: int) -> StoreWindow:
        """Allocate and map the end of the file; the thread touches it."""
        files, used = self._files, [window for window in (self._window, self._next) if window is not None]
        self._window = self._next = None
        base, end = files.size // _PAGE * _PAGE, -(-(files.size + size) // _PAGE) * _PAGE
        end = max(end, self._words[Word.WINDOW_END])  # never less than the file may have
        self._words[Word.WINDOW_END] = end
        try:
            # Allocated, not sparse: a store into a hole of a full disk would be SIGBUS.
            os.posix_fallocate(files.fd, files.size, end - files.size)
            window = StoreWindow(files.fd, base, end, self._refused)
        except OSError as error:
            self._cut(files.size)
            raise StoreFullError(f"{files.path}: {error}; free disk space, then log on again") from error
        finally:
            self._clear(*used)
        self._window = window
        window.at, window.first = files.size, self.next_out
        self._index.grow(window.first + window.numbers(end))
        window.index = self._index.array.view(np.int64)
        HELPER.ask(_Touch(window))
        return window

    def take_window(self) -> None:
        """The lane has come back: what it wrote is this store's, which may be written again."""
        if self._lent and self._window is not None:
            self._lent, self._day_end_ns = False, self._window.day_end_ns
            self._window.give_up_views()
            if self._next is not None:
                self._next.give_up_views()
            self._files.size = self._words[Word.DATA_BYTES]
            self._adopt_index()

    def close_window(self) -> None:
        """Let the data file end with its last entry again."""
        if self._lent:
            raise StoreError(f"{self.directory}: its window is lent to a lane; take the lane back first")
        self._settle()
        if self._window is not None:
            self._cut(self._files.size)

    def _cut(self, size: int) -> None:
        """Let the data file end at ``size``."""
        self._settle()
        self._clear(self._window, self._next)
        self._window = self._next = None
        os.ftruncate(self._files.fd, size)
        self._words[Word.WINDOW_END] = 0

    @staticmethod
    def _clear(*used: StoreWindow | mmap.mmap | None) -> None:
        """Have mappings closed by the thread; the caller holds none of them any more."""
        if any(one is not None for one in used):
            HELPER.ask(Clear(*(one for one in used if one is not None)))

    # ------------------------------------------------------------ the next one

    def prepare_window(self, when_over: Callable[[], None] | None = None, size: int = WINDOW_BYTES) -> None:
        """Have the window after the present one made ready, unless it is, or is being made.

        Parameters
        ----------
        when_over:
            Called on the helper's thread when :meth:`next_window` may say more than before.
        size:
            Bytes by which it goes further than the present one.
        """
        window = self._window
        if window is None or self._next is not None or self._under_way is not None:
            return
        if time.monotonic_ns() < self._retry_ns:
            return
        try:
            with self._descriptors:
                fd = os.dup(self._files.fd)
        except OSError as error:  # no descriptor is free
            self.why_no_next, self._retry_ns = str(error), time.monotonic_ns() + _RETRY_NS
            return
        end = window.end + size
        self._words[Word.WINDOW_END] = end  # before the file grows: whatever a kill leaves is within it
        self._guard = window.end
        self._under_way = _Preparation(fd, window, end, self._index, when_over)
        HELPER.ask(self._under_way)

    def next_window(self) -> StoreWindow | None:
        """The window in which whoever has the present one may go on; None while there is none."""
        if self._under_way is not None and self._under_way.over:
            self._collect(self._under_way)
        window = self._next
        if window is not None and self._lent and self._window is not None and not len(window.index):
            present, longer = self._window, self._next_index
            if longer is None:
                self._index.grow(present.first + present.numbers(window.end))
            window.index = self._index.array.view(np.int64) if longer is None else np.frombuffer(longer, np.int64)
            window.words, window.place, window.tag = present.words, self._place, self._tag
            window.day_end_ns = present.day_end_ns
        return window

    def turn_window(self) -> None:
        """Whoever has the present window has gone on in the next one."""
        if self._next is not None:  # else the store was released meanwhile
            self._go_on()

    def _go_on(self) -> StoreWindow:
        window, words = self._next, self._words
        assert window is not None
        used, self._window, self._next = self._window, window, None
        window.at = words[Word.DATA_BYTES]  # before the number, which is moved before it
        window.first = words[Word.NEXT_OUT]
        self._clear(used)
        self._adopt_index()
        return window

    def _next_fits(self) -> bool:
        """Whether the next window begins before the end of the file and has room behind it."""
        window = self._next
        return window is not None and window.base <= self._files.size <= window.end - _WORTH_KEEPING

    def _settle(self) -> None:
        """No preparation is under way any more: it is waited for if it was begun."""
        task = self._under_way
        if task is None:
            return
        if task.cancel():
            self._give_back()
        else:
            self._collect(task)

    def _collect(self, task: _Preparation) -> None:
        """Take what the thread has made."""
        if task.window is None:
            self.why_no_next = str(task.error)
            self._retry_ns = time.monotonic_ns() + _RETRY_NS
            self._give_back()
            self._clear(task.index)
            return
        self._under_way, self._guard, self.why_no_next = None, _NOWHERE, ""
        self._next = task.window
        if task.generation == self._index.generation:
            self._next_index = task.index
        else:  # of a file that is no more
            self._clear(task.index)
        if not self._lent:
            self._adopt_index()

    def _give_back(self) -> None:
        """A preparation came to nothing: the file ends where it did before."""
        self._under_way, self._guard = None, _NOWHERE
        assert self._window is not None
        end = self._window.end
        os.ftruncate(self._files.fd, end if self._lent else max(end, self._files.size))
        self._words[Word.WINDOW_END] = end

    def _adopt_index(self) -> None:
        """Use the longer mapping of the index, where there is one."""
        longer, self._next_index = self._next_index, None
        if longer is not None:
            self._clear(*self._index.adopt(longer))
