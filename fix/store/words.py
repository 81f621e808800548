"""The mapped words of a store, and the lock that keeps a second process out."""

import fcntl
import mmap
import os
import zlib
from contextlib import suppress
from pathlib import Path

from fix.errors import StoreCorruptError, StoreLockedError
from fix.store.layout import WORDS_BYTES, WORDS_MAGIC, Word

WORDS_NAME = "session.words"
_PID_AT = WORDS_BYTES - 32
_COMPLEMENT = (1 << 64) - 1


def check_word(next_in: int) -> int:
    """What :attr:`Word.NEXT_IN_CHECK` must be."""
    return next_in ^ _COMPLEMENT


def read_words(path: Path) -> tuple[list[int], str]:
    """The words and the pid of whoever opened them last, without a lock.

    Raises
    ------
    StoreCorruptError
        The file is not one of ours.
    """
    raw = path.read_bytes()
    if len(raw) != WORDS_BYTES:
        raise StoreCorruptError(f"{path}: must be {WORDS_BYTES} bytes, was {len(raw)}; restore it or delete it")
    words = list(memoryview(raw[:_PID_AT]).cast("Q"))
    if words[Word.MAGIC] not in (0, WORDS_MAGIC):
        raise StoreCorruptError(f"{path}: not a message store of ours")
    return words, raw[_PID_AT:].split(b"\0")[0].decode("ascii", "replace")


class Words:
    """``session.words``, locked and mapped.

    Raises
    ------
    StoreLockedError
        Another process has it; its pid is named.
    StoreCorruptError
        It is not ours.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / WORDS_NAME
        self.fd = self._lock(path)
        try:
            size = os.fstat(self.fd).st_size
            if size not in (0, WORDS_BYTES):
                raise StoreCorruptError(f"{path}: must be {WORDS_BYTES} bytes, was {size}; restore it or delete it")
            # Allocated, not sparse: a store into a hole of a full disk would be SIGBUS.
            os.posix_fallocate(self.fd, 0, WORDS_BYTES)
            magic = int.from_bytes(os.pread(self.fd, 8, 0), "little")
            if magic not in (0, WORDS_MAGIC):
                raise StoreCorruptError(f"{path}: not a message store of ours; give this session another directory")
            os.pwrite(self.fd, str(os.getpid()).encode().ljust(32, b"\0"), _PID_AT)
            self._map = mmap.mmap(self.fd, WORDS_BYTES)
        except BaseException:
            os.close(self.fd)
            raise
        #: A memoryview stores a word in one move, at a third of the price of a numpy array.
        self.view = memoryview(self._map).cast("Q")

    @staticmethod
    def _lock(path: Path) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, _PID_AT).split(b"\0")[0].decode("ascii", "replace")
            os.close(fd)
            raise StoreLockedError(
                f"{path.parent}: in use by pid {holder or '?'}; stop it, or give this session another directory"
            ) from None
        return fd

    def close(self) -> None:
        """Unmap and unlock."""
        self.view = memoryview(b"").cast("Q")
        with suppress(BufferError):  # an exception's traceback may still hold a view of it
            self._map.close()
        os.pwrite(self.fd, bytes(32), _PID_AT)  # not in use any more, says verify
        fcntl.flock(self.fd, fcntl.LOCK_UN)  # a mapping that is still held has a copy of the descriptor
        os.close(self.fd)


def boot_word() -> int:
    """A number that changes with every boot of this machine; 0 where the kernel does not say."""
    try:
        return zlib.crc32(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    except OSError:
        return 0
