"""What the parent keeps of a quickfix session: the lock, the spool, how much of it was taken.

Sequence numbers and sent messages are quickfix's own files in ``quickfix/``; the worker has them.
"""

import fcntl
import mmap
import os
import time
from contextlib import suppress
from enum import IntEnum
from pathlib import Path

from fix.errors import StoreCorruptError, StoreLockedError
from fix.foreign.spool import SpoolReader

_MAGIC = 0x3153444F57515841  # "AXQWODS1", little-endian
_BYTES = 4096


class Word(IntEnum):
    """Index of each uint64 in ``session.words``. Only ever appended to."""

    MAGIC = 0
    TAKEN = 1  # place in the spool up to which the handler has taken messages
    NEXT_IN = 2  # as the worker last said
    NEXT_OUT = 3
    LAST_APP_REF = 4  # highest application reference whose messages are in quickfix's store
    CREATED_NS = 5  # when the numbers were last 1


def read_words(path: Path) -> list[int]:
    """The words, for whoever looks from outside.

    Raises
    ------
    StoreCorruptError
        The file is not one of ours.
    """
    raw = path.read_bytes()
    words = list(memoryview(raw).cast("Q")) if len(raw) == _BYTES else [0]
    if words[Word.MAGIC] != _MAGIC:
        raise StoreCorruptError(f"{path}: not the words of a quickfix session; move the directory away")
    return words


class QuickfixStore:
    """A session's directory. One live process at a time.

    Raises
    ------
    StoreLockedError
        Another process has it open; its pid is named.
    StoreCorruptError
        The files are not ours.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        #: Where quickfix keeps its own files.
        self.files = self.directory / "quickfix"
        self.files.mkdir(exist_ok=True, mode=0o700)
        self.spool_path = self.directory / "spool.dat"
        path = self.directory / "session.words"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock(path)
        os.ftruncate(self._fd, _BYTES)
        self._map = mmap.mmap(self._fd, _BYTES)
        self._words = memoryview(self._map).cast("Q")
        if self._words[Word.MAGIC] == 0:
            self._words[Word.NEXT_IN] = self._words[Word.NEXT_OUT] = 1
            self._words[Word.CREATED_NS] = time.time_ns()
            self._words[Word.MAGIC] = _MAGIC
        elif self._words[Word.MAGIC] != _MAGIC:
            self.release()
            raise StoreCorruptError(f"{path}: not the words of a quickfix session; move the directory away")
        self.spool = SpoolReader(self.spool_path)

    def _lock(self, path: Path) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = (self.directory / "session.pid").read_text() if (self.directory / "session.pid").exists() else "?"
            os.close(self._fd)
            raise StoreLockedError(f"{path}: locked by process {holder}; a session has one owner") from None
        (self.directory / "session.pid").write_text(str(os.getpid()))

    def _get(self, word: Word) -> int:
        return self._words[word]

    @property
    def taken(self) -> int:
        """Place in the spool up to which messages were taken."""
        return self._words[Word.TAKEN]

    def set_taken(self, taken: int) -> None:
        """Remember that the handler has taken everything before ``taken``. May lag, must never lead."""
        self._words[Word.TAKEN] = taken

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected from the peer, as the worker last said."""
        return self._words[Word.NEXT_IN]

    @property
    def next_out(self) -> int:
        """MsgSeqNum of the next message sent, as the worker last said."""
        return self._words[Word.NEXT_OUT]

    def note_numbers(self, next_in: int, next_out: int) -> None:
        """Keep what the worker says, for whoever looks while it is down."""
        self._words[Word.NEXT_IN], self._words[Word.NEXT_OUT] = next_in, next_out

    @property
    def last_app_ref(self) -> int:
        """Highest application reference whose messages quickfix has stored; 0 when none."""
        return self._words[Word.LAST_APP_REF]

    def note_app_ref(self, app_ref: int) -> None:
        """Everything up to ``app_ref`` is in quickfix's store. May lag: then it is sent once more."""
        if app_ref > self._words[Word.LAST_APP_REF]:
            self._words[Word.LAST_APP_REF] = app_ref

    @property
    def created_ns(self) -> int:
        """When the sequence numbers were last 1."""
        return self._words[Word.CREATED_NS]

    def note_reset(self, now_ns: int) -> None:
        """The numbers start over."""
        self._words[Word.CREATED_NS] = now_ns

    def sync(self) -> None:
        """Force the spool and quickfix's files to the disk; blocking, any thread."""
        for path in (self.spool_path, *self.files.iterdir()):
            with suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(fd)
                finally:
                    os.close(fd)

    def release(self) -> None:
        """Let the files go as a killed process would."""
        if self._fd < 0:
            return
        if hasattr(self, "spool"):
            self.spool.close()
        self._words.release()
        self._map.close()
        os.close(self._fd)
        self._fd = -1

    def close(self) -> None:
        """Close; nothing is lost."""
        self.release()
