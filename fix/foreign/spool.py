"""The inbound spool: application messages of the peer between quickfix and the application.

quickfix counts a message as received when its callback returns, so the worker writes it here
first. The parent delivers from here and moves its ``taken`` word after the handler has returned:
a crash of either process in between loses nothing. One writer (the FIX thread of the worker), one
reader (the parent); what survives is what survives a kill -9, the page cache.

File: a 16-byte header (magic, generation), then entries: magic, CRC-32, length, MsgSeqNum, flags,
the message. Compacting writes a new file of the next generation that holds the last entry alone
(carried: not delivered again, kept because quickfix may not have counted it yet).
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fix.errors import StoreCorruptError, StoreFullError

_FILE = struct.Struct("<8sQ")
_MAGIC = b"AXSPOOL1"
_HEAD = struct.Struct("<IIIIQ")  # magic, crc, bytes, flags, seq
_ENTRY_MAGIC = 0x4C505341
_CARRIED = 1
_REST = struct.Struct("<IIQ")
#: A place is one word: the generation above, the offset below.
OFFSET_BITS = 44
_OFFSET_MASK = (1 << OFFSET_BITS) - 1
#: A spool that was taken in full is started anew beyond this.
COMPACT_BYTES = 1 << 26


class Entry(NamedTuple):
    """One message of the spool; ``end`` is the place after it."""

    seq: int
    raw: bytes
    carried: bool
    end: int


def place(generation: int, offset: int) -> int:
    """A position in a spool over all generations; later is greater."""
    return generation << OFFSET_BITS | offset


def _pack(seq: int, raw: bytes, flags: int = 0) -> bytes:
    rest = _REST.pack(len(raw), flags, seq)
    return b"".join((struct.pack("<II", _ENTRY_MAGIC, zlib.crc32(raw, zlib.crc32(rest))), rest, raw))


def _write(fd: int, data: bytes, offset: int, path: Path) -> None:
    try:
        written = os.pwrite(fd, data, offset)
    except OSError as error:
        raise StoreFullError(f"{path}: cannot spool {len(data)} bytes: {error}; make room on the disk") from error
    if written != len(data):
        raise StoreFullError(f"{path}: only {written} of {len(data)} bytes were written; make room on the disk")


class SpoolWriter:
    """The worker's end. Opening cuts a torn tail: what it held was never counted as received."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Bytes cut from the tail.
        self.torn_bytes = 0
        #: The last message: quickfix may deliver it once more, if it died before counting it.
        self.last: Entry | None = None
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < _FILE.size:
            os.ftruncate(self._fd, 0)
            _write(self._fd, _FILE.pack(_MAGIC, 1), 0, path)
        reader = SpoolReader(path)
        self.generation = reader.generation
        for entry in reader.entries(place(reader.generation, _FILE.size)):
            self.last = entry
        self._offset = (self.last.end & _OFFSET_MASK) if self.last else _FILE.size
        reader.close()
        self.torn_bytes = os.fstat(self._fd).st_size - self._offset
        if self.torn_bytes:
            os.ftruncate(self._fd, self._offset)

    @property
    def end(self) -> int:
        """Place after the last message."""
        return place(self.generation, self._offset)

    def append(self, seq: int, raw: bytes) -> None:
        """Keep one message.

        Raises
        ------
        StoreFullError
            It could not be written; the message must not count as received.
        """
        data = _pack(seq, raw)
        _write(self._fd, data, self._offset, self.path)
        self._offset += len(data)
        self.last = Entry(seq, raw, carried=False, end=self.end)

    def compact(self, taken: int) -> bool:
        """Start anew when everything is taken and the file has grown large; whether it did."""
        if taken != self.end or self._offset < COMPACT_BYTES:
            return False
        new = self.path.with_suffix(".new")
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        kept = _pack(self.last.seq, self.last.raw, _CARRIED) if self.last else b""
        _write(fd, _FILE.pack(_MAGIC, self.generation + 1) + kept, 0, new)
        os.replace(new, self.path)
        os.close(self._fd)
        self._fd, self._offset = fd, _FILE.size + len(kept)
        self.generation += 1
        return True


class SpoolReader:
    """The parent's end. It follows the file over generations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = 0
        self._fd = -1
        self._open()

    def _open(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        head = os.pread(self._fd, _FILE.size, 0)
        if len(head) < _FILE.size:
            return  # being created
        magic, self.generation = _FILE.unpack(head)
        if magic != _MAGIC:
            raise StoreCorruptError(f"{self.path}: not a spool (magic {magic!r}); move it away")

    def entries(self, taken: int, until: int | None = None) -> Iterator[Entry]:
        """Messages after place ``taken``, up to ``until`` or the end; carried ones too.

        Raises
        ------
        StoreCorruptError
            An entry that is not the last fails its checksum; its offset is named.
        """
        if self._fd < 0 or until is None or until >> OFFSET_BITS != self.generation:
            self._open()
        if self._fd < 0:
            return
        size = os.fstat(self._fd).st_size
        if taken >> OFFSET_BITS == self.generation:
            offset = max(taken & _OFFSET_MASK, _FILE.size)
        else:
            offset = _FILE.size  # all of the generations before was taken, or the new one could not be
        stop = size if until is None else min(size, until & _OFFSET_MASK)
        while offset < stop:
            head = os.pread(self._fd, _HEAD.size, offset)
            if len(head) < _HEAD.size:
                return
            magic, crc, length, flags, seq = _HEAD.unpack(head)
            end = offset + _HEAD.size + length
            raw = os.pread(self._fd, length, offset + _HEAD.size) if magic == _ENTRY_MAGIC and end <= size else b""
            if magic == _ENTRY_MAGIC and end > size and not self._more_follows(offset + 1, size):
                return  # torn by a death in the middle of the write; the peer sends it again
            if magic != _ENTRY_MAGIC or end > size or zlib.crc32(raw, zlib.crc32(head[8:])) != crc:
                raise StoreCorruptError(
                    f"{self.path}: the entry at offset {offset} (MsgSeqNum {seq}) fails its checksum; "
                    "restore the file or compare with the peer's records"
                )
            offset = end
            yield Entry(seq, raw, bool(flags & _CARRIED), place(self.generation, end))

    def _more_follows(self, offset: int, size: int) -> bool:
        """Whether a sound entry stands anywhere after ``offset``: then the damage is not a torn tail."""
        data = os.pread(self._fd, size - offset, offset)
        at = data.find(struct.pack("<I", _ENTRY_MAGIC))
        while at >= 0:
            head = data[at : at + _HEAD.size]
            if len(head) == _HEAD.size:
                _, crc, length, _, _ = _HEAD.unpack(head)
                raw = data[at + _HEAD.size : at + _HEAD.size + length]
                if len(raw) == length and zlib.crc32(raw, zlib.crc32(head[8:])) == crc:
                    return True
            at = data.find(struct.pack("<I", _ENTRY_MAGIC), at + 1)
        return False

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
