"""Append-only store of a session's outgoing messages, and its two sequence numbers.

A message is written here before it is sent, so that whatever the peer may have seen can be
resent, and no sequence number is ever used twice. What survives what:

* kill -9 of the process: everything written, since the page cache outlives us. One ``write`` per
  batch; the sequence words are stores into a shared mapping.
* loss of power: what :meth:`MessageStore.sync` (group fdatasync, off the path) has covered.

Files in the session's directory:

``messages.dat``  entries, back to back: a 48-byte header (magic, CRC-32, first MsgSeqNum, count,
                  bytes, application reference, time), ``count`` end offsets (uint32), the messages.
                  It is the truth; an entry that is torn or fails its CRC at the tail is cut and reported.
``messages.idx``  offset of the entry of each MsgSeqNum (uint64 each); rebuilt when it disagrees.
``session.words`` mapped uint64 words, see :class:`Word`; also the lock that keeps a second process out.

Why entries and not one record per message: a batch of a thousand quotes is then one header, one
CRC and one system call, about 10 us instead of 1 ms.
"""

import fcntl
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fix.errors import StoreCorruptError, StoreError, StoreFullError, StoreLockedError

_FILE_MAGIC = b"AXMSGS1\n"
_FILE_HEADER_BYTES = 64
_WORDS_MAGIC = 0x3153444F574D5841  # "AXMWODS1", little-endian
_ENTRY_MAGIC = 0x45584D41
_ENTRY = struct.Struct("<IIQIIQQQ")  # magic, crc, first_seq, count, payload bytes, app_ref, time_ns, reserved
_HEAD, _BODY, _U4 = struct.Struct("<II"), struct.Struct("<QIIQQQ"), struct.Struct("<I")
_INDEX_GROW = 1 << 16
_WORDS_BYTES = 4096
Buffer = bytes | bytearray | memoryview


class Word(IntEnum):
    """Index of each uint64 in ``session.words``. Only ever appended to."""

    MAGIC = 0
    NEXT_IN = 1  # MsgSeqNum expected from the peer
    NEXT_OUT = 2  # MsgSeqNum that we use next
    LAST_APP_REF = 3  # highest application reference ever stored; a reset keeps it
    DATA_BYTES = 4  # length of messages.dat up to which the index is known to be right
    RESETTING = 5  # 1 while a reset is under way: finished when the store is next opened
    BOOT = 6  # hash of the kernel's boot id: after a power cut the index is rebuilt in full
    RESETS = 7  # how often the numbers were reset


_MAGIC, _NEXT_IN, _NEXT_OUT, _LAST_APP_REF, _DATA_BYTES, _RESETTING, _BOOT, _RESETS = map(int, Word)


class MessageStore:
    """Outgoing messages by MsgSeqNum, ``next_in`` and ``next_out`` of one session.

    Parameters
    ----------
    directory:
        Created when absent (mode 0700). One live process at a time.

    Raises
    ------
    StoreLockedError
        Another process has it open; its pid is named.
    StoreCorruptError
        The files are not ours, or damaged other than at the tail.

    Notes
    -----
    One thread writes: the one that sends on the session.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        #: Bytes cut from the tail when this store was opened: 0 unless a write was torn.
        self.torn_bytes = 0
        self._closed = False
        self._index_map: mmap.mmap | None = None
        self._words_fd = self._lock(self.directory / "session.words")
        self._data_fd = os.open(self.directory / "messages.dat", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._index_fd = os.open(self.directory / "messages.idx", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._words_map = self._map_words()
            # A memoryview stores a word in one move, at a third of the price of a numpy array.
            self._words = memoryview(self._words_map).cast("Q")
            self._open_data()
        except BaseException:
            self.release()
            raise

    # ---------------------------------------------------------------- words

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected from the peer, as far as the application has taken its messages."""
        return self._words[_NEXT_IN]

    def set_next_in(self, seq: int) -> None:
        """Remember that everything before ``seq`` has been taken. May lag, must never lead."""
        self._words[_NEXT_IN] = seq

    @property
    def next_out(self) -> int:
        """MsgSeqNum of the next message that we send."""
        return self._words[_NEXT_OUT]

    @property
    def last_app_ref(self) -> int:
        """Highest application reference stored, over all resets; 0 when none."""
        return self._words[_LAST_APP_REF]

    @property
    def resets(self) -> int:
        """How often the sequence numbers of this store were reset."""
        return self._words[_RESETS]

    # --------------------------------------------------------------- writing

    def append(self, seq: int, message: Buffer, app_ref: int = 0) -> None:
        """Store one message under ``seq``, which must be :attr:`next_out`."""
        self._write(seq, 1, _U4.pack(len(message)), message, app_ref)

    def append_batch(self, buffer: Any, first_seq: int, ends: npt.NDArray[np.int64], app_ref: int = 0) -> None:
        """Store ``len(ends)`` consecutive messages that lie back to back in ``buffer``.

        Parameters
        ----------
        buffer:
            Bytes-like (uint8 array); message k ends at ``ends[k]``, the first starts at 0.
        first_seq:
            MsgSeqNum of the first: must be :attr:`next_out`.
        ends:
            int64[n] end offsets, ascending.
        app_ref:
            The application's reference of the last message (0: none). Must not go down.
        """
        count = len(ends)
        if count == 1:
            self.append(first_seq, memoryview(buffer)[: ends[0]], app_ref)
        elif count:
            payload = memoryview(buffer)[: ends[-1]]
            self._write(first_seq, count, ends.astype(np.uint32).tobytes(), payload, app_ref)

    def _write(self, seq: int, count: int, ends: bytes, payload: Buffer, app_ref: int) -> None:
        words = self._words
        if seq != words[_NEXT_OUT]:
            raise StoreError(f"{self.directory}: MsgSeqNum must be {self.next_out}, was {seq}")
        if app_ref and app_ref < words[_LAST_APP_REF]:
            raise StoreError(f"{self.directory}: app_ref must be at least {self.last_app_ref}, was {app_ref}")
        rest = b"".join((_BODY.pack(seq, count, len(payload), app_ref, time.time_ns(), 0), ends, payload))
        start = self._size
        self._grow_index(seq + count)  # before the write: a full disk must leave nothing behind
        self._put([_HEAD.pack(_ENTRY_MAGIC, zlib.crc32(rest)), rest])
        if count == 1:
            self._index_words[seq - 1] = start
        else:
            self._index[seq - 1 : seq - 1 + count] = start
        words[_DATA_BYTES] = self._size
        words[_NEXT_OUT] = seq + count
        if app_ref:
            words[_LAST_APP_REF] = app_ref

    def _put(self, parts: list[bytes]) -> None:
        """Append in one system call; a partial write is undone and refused."""
        total = len(parts[0]) + len(parts[1])
        try:
            written = os.pwritev(self._data_fd, parts, self._size)
        except OSError as error:
            self._cut(self._size)
            raise StoreFullError(f"{self.directory}/messages.dat: {error}; free space, then log on again") from error
        if written != total:
            self._cut(self._size)
            raise StoreFullError(
                f"{self.directory}/messages.dat: {written} of {total} bytes fitted; free space, then log on again"
            )
        self._size += total

    def reset(self) -> None:
        """Forget all messages; both sequence numbers become 1. A kill in between is finished at the next open."""
        self._words[_RESETTING] = 1
        self._finish_reset()

    def _finish_reset(self) -> None:
        os.ftruncate(self._data_fd, _FILE_HEADER_BYTES)
        self._size = _FILE_HEADER_BYTES
        os.ftruncate(self._index_fd, 0)
        self._map_index(_INDEX_GROW)
        words = self._words
        words[_DATA_BYTES] = _FILE_HEADER_BYTES
        words[_NEXT_IN] = 1
        words[_NEXT_OUT] = 1
        words[_RESETS] += 1
        words[_RESETTING] = 0

    def skip_out(self, next_out: int) -> None:
        """Move ``next_out`` forward without storing: the numbers between are gap-filled on a resend."""
        if next_out < self.next_out:
            raise StoreError(f"{self.directory}: next_out must not go down from {self.next_out} to {next_out}")
        self._words[_NEXT_OUT] = next_out

    def sync(self) -> None:
        """Force everything to the disk. Milliseconds: never on the sending path."""
        os.fdatasync(self._data_fd)
        self._words_map.flush()

    # --------------------------------------------------------------- reading

    def read(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Stored messages with ``first <= MsgSeqNum <= last``, ascending; absent numbers are left out.

        Raises
        ------
        StoreCorruptError
            When an entry fails its CRC.
        """
        seq = max(first, 1)
        last = min(last, self.next_out - 1)
        while seq <= last:
            offset = self._offset_of(seq)
            if not offset:
                seq = self._next_present(seq, last)
                continue
            entry_first, ends, payload = self._entry(offset)
            begin = ends[seq - entry_first - 1] if seq > entry_first else 0
            for end in ends[seq - entry_first :]:
                if seq > last:
                    return
                yield seq, payload[begin:end]
                begin = end
                seq += 1

    def _entry(self, offset: int) -> tuple[int, list[int], bytes]:
        """``(first_seq, ends, payload)`` of the entry at ``offset``, checked."""
        head = os.pread(self._data_fd, _ENTRY.size, offset)
        found = self._check_entry(head, offset)
        if found is None:
            raise StoreCorruptError(f"{self.directory}/messages.dat: the entry at byte {offset} fails its checksum")
        seq, ends, payload, _, _ = found
        return seq, ends, payload

    def _check_entry(self, head: bytes, offset: int) -> tuple[int, list[int], bytes, int, int] | None:
        """``(first_seq, ends, payload, app_ref, entry bytes)`` of a sound entry, else None."""
        if len(head) < _ENTRY.size:
            return None
        magic, crc, seq, count, size, app_ref, _, _ = _ENTRY.unpack(head)
        if magic != _ENTRY_MAGIC or not count or offset + _ENTRY.size + 4 * count + size > self._size:
            return None
        rest = os.pread(self._data_fd, 4 * count + size, offset + _ENTRY.size)
        if zlib.crc32(rest, zlib.crc32(head[8:])) != crc:
            return None
        ends = np.frombuffer(rest, np.uint32, count).tolist()
        return seq, ends, rest[4 * count :], app_ref, _ENTRY.size + len(rest)

    # ----------------------------------------------------------------- index

    def _offset_of(self, seq: int) -> int:
        return self._index_words[seq - 1] if seq <= len(self._index_words) else 0

    def _next_present(self, seq: int, last: int) -> int:
        """First number after ``seq`` that is stored, or ``last + 1``."""
        found = np.flatnonzero(self._index[seq - 1 : last])
        return seq + int(found[0]) if len(found) else last + 1

    def _index_entry(self, seq: int, count: int, offset: int) -> None:
        self._grow_index(seq + count)
        self._index[seq - 1 : seq - 1 + count] = offset

    def _grow_index(self, next_seq: int) -> None:
        if next_seq - 1 > len(self._index_words):
            self._map_index(-(-next_seq // _INDEX_GROW) * _INDEX_GROW * 2)

    def _map_index(self, entries: int) -> None:
        """Map ``entries`` words of messages.idx, extending the file with zeros."""
        try:
            # Allocated, not sparse: a store into a hole of a full disk would be SIGBUS.
            os.posix_fallocate(self._index_fd, 0, entries * 8)
        except OSError as error:
            raise StoreFullError(f"{self.directory}/messages.idx: {error}; free space, then log on again") from error
        self._index = np.zeros(0, np.uint64)
        self._index_words = memoryview(b"").cast("Q")
        if self._index_map is not None:
            self._index_map.close()
        self._index_map = mmap.mmap(self._index_fd, entries * 8)
        self._index = np.frombuffer(self._index_map, np.uint64)
        self._index_words = memoryview(self._index_map).cast("Q")

    # --------------------------------------------------------------- opening

    def _lock(self, path: Path) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, _WORDS_BYTES - 32).split(b"\0")[0].decode("ascii", "replace")
            os.close(fd)
            raise StoreLockedError(
                f"{self.directory}: in use by pid {holder or '?'}; stop it, or give this session another directory"
            ) from None
        return fd

    def _map_words(self) -> mmap.mmap:
        size = os.fstat(self._words_fd).st_size
        if size not in (0, _WORDS_BYTES):
            raise StoreCorruptError(f"{self.directory}/session.words: must be {_WORDS_BYTES} bytes, was {size}")
        os.ftruncate(self._words_fd, _WORDS_BYTES)
        os.pwrite(self._words_fd, str(os.getpid()).encode().ljust(32, b"\0"), _WORDS_BYTES - 32)
        return mmap.mmap(self._words_fd, _WORDS_BYTES)

    def _open_data(self) -> None:
        words = self._words
        magic = words[_MAGIC]
        if magic not in (0, _WORDS_MAGIC):
            raise StoreCorruptError(f"{self.directory}/session.words: not a message store of ours")
        self._size = os.fstat(self._data_fd).st_size
        header = _FILE_MAGIC.ljust(_FILE_HEADER_BYTES, b"\0")
        if self._size < _FILE_HEADER_BYTES and header.startswith(os.pread(self._data_fd, self._size, 0)):
            os.pwrite(self._data_fd, header, 0)
            self._size = _FILE_HEADER_BYTES
        elif os.pread(self._data_fd, _FILE_HEADER_BYTES, 0) != header:
            raise StoreCorruptError(f"{self.directory}/messages.dat: not a message store of ours")
        if magic == 0:  # a new store, or one whose words were lost: the data are the truth for next_out
            words[_NEXT_IN] = 1
            words[_NEXT_OUT] = 1
            words[_MAGIC] = _WORDS_MAGIC
        if words[_RESETTING]:
            self._finish_reset()
        boot = _boot_word()
        same_boot = words[_BOOT] == boot
        words[_BOOT] = boot
        known = words[_DATA_BYTES] if same_boot else 0
        entries = os.fstat(self._index_fd).st_size // 8
        if not _FILE_HEADER_BYTES <= known <= self._size or entries < self.next_out - 1:
            known = 0
        self._recover(known, entries)

    def _recover(self, known: int, entries: int) -> None:
        """Read the entries after byte ``known``, cut what is torn, bring index and words up to date."""
        self._map_index(max(entries, _INDEX_GROW))
        if not known:
            self._index[:] = 0
        offset = known or _FILE_HEADER_BYTES
        words = self._words
        while offset < self._size:
            found = self._check_entry(os.pread(self._data_fd, _ENTRY.size, offset), offset)
            if found is None:
                break
            seq, ends, _, app_ref, size = found
            self._index_entry(seq, len(ends), offset)
            words[_NEXT_OUT] = max(self.next_out, seq + len(ends))
            words[_LAST_APP_REF] = max(self.last_app_ref, app_ref)
            offset += size
        self.torn_bytes = self._size - offset
        if self.torn_bytes:
            self._cut(offset)
            self._size = offset
        words[_DATA_BYTES] = offset

    def _cut(self, size: int) -> None:
        os.ftruncate(self._data_fd, size)

    # --------------------------------------------------------------- closing

    def close(self) -> None:
        """Force to disk and release the lock. Further use is an error."""
        if not self._closed:
            self.sync()
            self.release()

    def release(self) -> None:
        """Let go of files and lock without forcing anything to the disk, as a kill would."""
        if self._closed:
            return
        self._closed = True
        self._index = np.zeros(0, np.uint64)
        self._index_words = self._words = memoryview(b"").cast("Q")
        for mapping in (self._index_map, getattr(self, "_words_map", None)):
            if mapping is not None:
                with suppress(BufferError):  # an exception's traceback may still hold a view of it
                    mapping.close()
        for fd in (self._data_fd, self._index_fd, self._words_fd):
            os.close(fd)

    def __enter__(self) -> "MessageStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _boot_word() -> int:
    """A number that changes with every boot of this machine; 0 where the kernel does not say."""
    try:
        return zlib.crc32(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    except OSError:
        return 0
