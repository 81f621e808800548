"""The data files of a store: the one that is written, and those of earlier days.

``messages.dat`` is written; at the first entry of a new day (UTC) it becomes
``messages-YYYYMMDD.dat``, by the day that it was begun. A file knows from its header in which
epoch it begins, so which of the old ones the present numbers still need is read from the headers.
"""

import datetime
import os
import re
from pathlib import Path
from typing import NamedTuple

from fix.errors import StoreCorruptError, StoreFullError
from fix.store.layout import (
    DAY_NS,
    FILE_HEADER_BYTES,
    FILE_MAGIC,
    OLD_FILE_MAGIC,
    Flag,
    pack_file_header,
    unpack_file_header,
)  # fmt: skip

ACTIVE_NAME = "messages.dat"
_OLD_NAME = re.compile(r"messages-(\d{4})(\d\d)(\d\d)\.dat")
_FIRST_DAY = datetime.date(1970, 1, 1)


class FileHeader(NamedTuple):
    """What a data file says of itself."""

    day: int
    flags: int
    epoch: int
    created_ns: int
    next_out: int

    @property
    def entry_epoch(self) -> int:
        """Epoch of an entry that does not carry one."""
        return self.epoch if self.flags & Flag.CARRIED_OVER else 0


def day_of(now_ns: int) -> int:
    """Days since 1970, UTC."""
    return now_ns // DAY_NS


def day_text(day: int) -> str:
    """``YYYYMMDD``."""
    return (_FIRST_DAY + datetime.timedelta(days=day)).strftime("%Y%m%d")


def old_name(day: int) -> str:
    """Name of the file that was begun on ``day``."""
    return f"messages-{day_text(day)}.dat"


def old_days(directory: Path) -> list[int]:
    """Days of the files kept, oldest first."""
    days = []
    for name in os.listdir(directory):
        match = _OLD_NAME.fullmatch(name)
        if match:
            year, month, day = map(int, match.groups())
            days.append((datetime.date(year, month, day) - _FIRST_DAY).days)
    return sorted(days)


def read_header(path: Path | str, fd: int) -> FileHeader:
    """Header of an open data file.

    Raises
    ------
    StoreCorruptError
        The file is not one of ours, or its header is damaged.
    """
    raw = os.pread(fd, FILE_HEADER_BYTES, 0)
    if raw == OLD_FILE_MAGIC.ljust(FILE_HEADER_BYTES, b"\0"):
        return FileHeader(day_of(os.fstat(fd).st_mtime_ns), Flag.CARRIED_OVER, 0, 0, 1)
    header = unpack_file_header(raw)
    if header is None and raw.startswith(FILE_MAGIC):
        raise StoreCorruptError(
            f"{path}: byte 0 to {FILE_HEADER_BYTES - 1}: the file header fails its checksum; "
            "restore the file from a copy, or move the session's directory away and reset both sides"
        )
    if header is None:
        raise StoreCorruptError(f"{path}: not a message store of ours; give this session another directory")
    return FileHeader(*header)


class DataFiles:
    """The data files of one directory, the last of which is written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / ACTIVE_NAME
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self.fd).st_size
        self.header = FileHeader(0, 0, 0, 0, 1)
        #: Open files of earlier days, by day.
        self._old: dict[int, int] = {}
        #: Files that were written since the last sync and are not written any more.
        self._unsynced: list[int] = []

    def open(self, fresh: FileHeader) -> None:
        """Read the header of the file that is written; a new file gets ``fresh``.

        Raises
        ------
        StoreCorruptError
            As :func:`read_header`.
        """
        if self.size < FILE_HEADER_BYTES and self._is_beginning(os.pread(self.fd, self.size, 0)):
            self._begin(fresh)
        self.header = read_header(self.path, self.fd)
        if self.header.flags & Flag.CARRIED_OVER and not self.header.epoch:
            self._begin(self.header._replace(epoch=fresh.epoch, created_ns=fresh.created_ns), self.size)

    @staticmethod
    def _is_beginning(raw: bytes) -> bool:
        """Whether a kill may have left ``raw`` of a header that was being written."""
        return FILE_MAGIC.startswith(raw[:8]) or OLD_FILE_MAGIC.startswith(raw[:8])

    def _begin(self, header: FileHeader, size: int = FILE_HEADER_BYTES) -> None:
        os.pwrite(self.fd, pack_file_header(*header), 0)
        self.header = header
        self.size = size

    def roll(self, day: int, epoch: int, created_ns: int, next_out: int) -> bool:
        """Go on in a new file; False where the old one's name is taken, and it goes on being written.

        Raises
        ------
        StoreFullError
            No file can be made.
        """
        target = self.directory / old_name(self.header.day)
        if target.exists():
            return False
        try:
            os.rename(self.path, target)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFullError(f"{self.path}: {error}; free disk space, then log on again") from error
        self._old[self.header.day] = self.fd
        self._unsynced.append(self.fd)
        self.fd = fd
        self._begin(FileHeader(day, 0, epoch, created_ns, next_out))
        return True

    def of_day(self, day: int) -> int:
        """File descriptor of the file that was begun on ``day``.

        Raises
        ------
        StoreCorruptError
            There is none.
        """
        if day == self.header.day:
            return self.fd
        fd = self._old.get(day)
        if fd is None:
            try:
                fd = os.open(self.directory / old_name(day), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise StoreCorruptError(
                    f"{self.directory / old_name(day)} is missing, and messages of this session are in it; restore it"
                ) from None
            self._old[day] = fd
        return fd

    def name_of(self, day: int) -> str:
        """File name of the file that was begun on ``day``."""
        return ACTIVE_NAME if day == self.header.day else old_name(day)

    def header_of(self, day: int) -> FileHeader:
        """Header of the file that was begun on ``day``."""
        return read_header(self.directory / self.name_of(day), self.of_day(day))

    def size_of(self, day: int) -> int:
        """Bytes of the file that was begun on ``day``."""
        return os.fstat(self.of_day(day)).st_size

    def needed_days(self, epoch: int) -> list[int]:
        """Days of the old files that numbers of ``epoch`` may be in, oldest first."""
        needed: list[int] = []
        newer = self.header
        for day in reversed(old_days(self.directory)):
            if newer.epoch != epoch or newer.next_out == 1:
                break
            needed.insert(0, day)
            newer = self.header_of(day)
        return needed

    def prune(self, epoch: int, oldest_day: int) -> list[str]:
        """Delete what was begun before ``oldest_day`` and is not needed; the names that went."""
        needed = set(self.needed_days(epoch))
        gone = []
        for day in old_days(self.directory):
            if day >= oldest_day or day in needed:
                continue
            fd = self._old.pop(day, None)
            if fd is not None and fd not in self._unsynced:
                os.close(fd)
            os.unlink(self.directory / old_name(day))
            gone.append(old_name(day))
        return gone

    def take_unsynced(self) -> list[int]:
        """Descriptors of closed days to force to the disk, and forget them; they stay open."""
        taken, self._unsynced = self._unsynced, []
        return taken

    def close(self) -> None:
        """Let go of all files."""
        for fd in {self.fd, *self._old.values(), *self._unsynced}:
            os.close(fd)
        self._old.clear()
        self._unsynced.clear()
