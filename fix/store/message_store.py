"""The message store of one session on disk; see the package's docstring for the files."""

import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from fix.errors import StoreCorruptError, StoreError, StoreFullError
from fix.store.files import DataFiles, FileHeader, day_of
from fix.store.index import SeqIndex
from fix.store.layout import (
    BODY,
    DAY_NS,
    DAY_SHIFT,
    ENTRY_MAGIC,
    FILE_HEADER_BYTES,
    HEAD,
    KIND_BITS,
    OFFSET_MASK,
    RESET_MARK,
    SINGLE,
    WORDS_MAGIC,
    Flag,
    Kind,
    Word,
    pack_control,
)  # fmt: skip
from fix.store.protocol import Buffer, DamageHandler
from fix.store.recovery import Walk, recover
from fix.store.scan import Damage, Entry, Fault, read_entry
from fix.store.window import LendsWindow
from fix.store.words import WORDS_NAME, Words, boot_word, check_word

(
    _MAGIC, _NEXT_IN, _NEXT_OUT, _LAST_APP_REF, _DATA_BYTES, _RESETTING, _BOOT, _RESETS, _CREATED, _IN_CHECK, _DAY,
    _REF_CHECK, _WINDOW_END,
) = map(int, Word)  # fmt: skip
_U64 = (1 << 64) - 1
_FARTHEST = 1 << 32  # more numbers than this are not used between two starts
KEEP_DAYS = 7


class MessageStore(LendsWindow):
    """Outgoing messages by MsgSeqNum, ``next_in`` and ``next_out`` of one session.

    Parameters
    ----------
    directory:
        Created when absent (mode 0700). One live process at a time.
    keep_days:
        Files of days longer ago are deleted, unless the present numbers began in or before them.
    clock:
        UTC nanoseconds: the time in each entry, and the day of the files.

    Attributes
    ----------
    damage:
        What was found when the store was opened: damaged entries with their numbers, words that
        disagree with the data, numbers whose messages are lost.
    torn_bytes:
        Bytes cut from the tail when the store was opened: 0 unless a write was torn.

    Raises
    ------
    StoreLockedError
        Another process has it open; its pid is named.
    StoreCorruptError
        The files are not ours, or a file's header is damaged.

    Notes
    -----
    One thread writes: the one that sends on the session. :meth:`sync` and :class:`GroupSync` may
    run in another.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep_days: int = KEEP_DAYS,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__()
        if keep_days < 0:
            raise StoreError(f"keep_days must be 0 or more, was {keep_days}")
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.keep_days = keep_days
        self.damage: list[Damage] = []
        self.torn_bytes = 0
        self._clock = clock
        self._closed = False
        self._failed = ""
        # Held for the moment in which descriptors are copied or change; never during a write to disk.
        self._descriptors = Lock()
        self._locked = Words(self.directory)
        self._words = self._locked.view
        try:
            self._files = DataFiles(self.directory)
        except BaseException:
            self._locked.close()
            raise
        self._index = SeqIndex(self.directory)
        try:
            self._open()
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
        words = self._words
        words[_NEXT_IN] = seq
        words[_IN_CHECK] = seq ^ _U64

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

    @property
    def created_ns(self) -> int:
        """When the numbers last began at 1: creation or reset, UTC nanoseconds."""
        return self._words[_CREATED]

    # --------------------------------------------------------------- writing

    def append(self, seq: int, message: Buffer, app_ref: int = 0) -> None:
        """Store one message under ``seq``, which must be :attr:`next_out`."""
        words, files = self._words, self._files
        now_ns = self._clock()
        if seq != words[_NEXT_OUT] or app_ref or now_ns >= self._day_end_ns or self._failed:
            self._check(seq, app_ref, now_ns)
        if seq > len(self._index.view):
            self._index.grow(seq + 1)  # before the write: a full disk must leave nothing behind
        length = len(message)
        rest = SINGLE.pack(seq, 1, length, app_ref, now_ns, self._tag, length) + message
        start = files.size
        self._put(HEAD.pack(ENTRY_MAGIC, zlib.crc32(rest)) + rest)
        self._index.view[seq - 1] = self._place | start
        words[_NEXT_OUT] = seq + 1
        if app_ref:
            words[_LAST_APP_REF] = app_ref
            words[_REF_CHECK] = app_ref ^ _U64
        words[_DATA_BYTES] = files.size  # last: what a kill leaves undone above is done over from the data

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
            return
        if not count:
            return
        words, files = self._words, self._files
        now_ns = self._clock()
        self._check(first_seq, app_ref, now_ns)
        self._index.grow(first_seq + count)
        payload = memoryview(buffer)[: ends[-1]]
        head = BODY.pack(first_seq, count, len(payload), app_ref, now_ns, self._tag)
        rest = b"".join((head, ends.astype(np.uint32).tobytes(), payload))
        start = files.size
        self._put(HEAD.pack(ENTRY_MAGIC, zlib.crc32(rest)) + rest)
        self._index.set_range(first_seq, first_seq + count, self._place | start)
        words[_NEXT_OUT] = first_seq + count
        if app_ref:
            words[_LAST_APP_REF] = app_ref
            words[_REF_CHECK] = app_ref ^ _U64
        words[_DATA_BYTES] = files.size

    def _check(self, seq: int, app_ref: int, now_ns: int) -> None:
        """Refuse what must not be written; begin a new file on a new day."""
        if self._lent:
            raise StoreError(f"{self.directory}: its window is lent to a lane; take the lane back first")
        if self._failed:
            raise StoreError(f"{self.directory}: {self._failed}; nothing is stored any more, restart the process")
        if seq != self.next_out:
            raise StoreError(f"{self.directory}: MsgSeqNum must be {self.next_out}, was {seq}")
        if app_ref and app_ref < self.last_app_ref:
            raise StoreError(f"{self.directory}: app_ref must be at least {self.last_app_ref}, was {app_ref}")
        if now_ns >= self._day_end_ns:
            self._roll(now_ns)

    def _put(self, entry: bytes) -> None:
        """Append in one system call; a partial write is undone and refused."""
        files = self._files
        size = files.size
        if size + len(entry) > self._guard:
            self._settle()  # what lies behind is being allocated
        try:
            written = os.pwrite(files.fd, entry, size)
        except OSError as error:
            self._cut(size)
            raise StoreFullError(f"{files.path}: {error}; free disk space, then log on again") from error
        if written != len(entry):
            self._cut(size)
            fitted = f"{written} of {len(entry)} bytes fitted"
            raise StoreFullError(f"{files.path}: {fitted}; free disk space, then log on again")
        files.size = size + written

    def _put_control(self, kind: Kind, first_seq: int, value: int, now_ns: int) -> None:
        self._put(pack_control(kind, self.resets, first_seq, value, now_ns))

    # -------------------------------------------------------- administration

    def reset(self) -> None:
        """Both numbers become 1 again. A kill in between is finished at the next open."""
        now_ns = self._clock()
        self._check(self.next_out, 0, now_ns)
        words = self._words
        epoch = words[_RESETS] + 1
        words[_RESETTING] = RESET_MARK ^ epoch
        self._put(pack_control(Kind.RESET, epoch, words[_NEXT_OUT], epoch, now_ns))
        words[_RESETS] = epoch
        self._tag = epoch << KIND_BITS
        self._index.clear()
        words[_CREATED] = now_ns
        words[_NEXT_OUT] = 1
        self.set_next_in(1)
        words[_DATA_BYTES] = self._files.size
        words[_RESETTING] = 0
        self._prune(now_ns)

    def skip_out(self, next_out: int) -> None:
        """Move ``next_out`` forward without storing: the numbers between are gap-filled on a resend."""
        words = self._words
        if next_out < words[_NEXT_OUT]:
            raise StoreError(f"{self.directory}: next_out must not go down from {self.next_out} to {next_out}")
        if next_out > words[_NEXT_OUT]:
            self._move_out(Kind.SKIPPED, next_out)

    def set_next_out(self, seq: int) -> None:
        """An operator's word on ``next_out``, up or down. Down: stored messages from ``seq`` on are forgotten.

        What the peer has seen of them it will see again under other contents: for repairing a
        session by agreement with the peer, and for nothing else.
        """
        if seq < 1:
            raise StoreError(f"{self.directory}: next_out must be 1 or more, was {seq}")
        if seq >= self.next_out:
            self.skip_out(seq)
        else:
            self._move_out(Kind.SET, seq)
            self._index.clear(seq)

    def _move_out(self, kind: Kind, next_out: int) -> None:
        now_ns = self._clock()
        self._check(self.next_out, 0, now_ns)
        self._put_control(kind, self.next_out, next_out, now_ns)
        self._words[_NEXT_OUT] = next_out
        self._words[_DATA_BYTES] = self._files.size

    def refresh(self) -> None:
        """Read the files again: entries and numbers that another hand has added count from now on."""
        self.close_window()
        self._files.size = os.fstat(self._files.fd).st_size
        self._recover(full=False, same_boot=True)

    def _roll(self, now_ns: int) -> None:
        """Go on in a new file; delete those that are too old."""
        self.close_window()
        words, files = self._words, self._files
        day = day_of(now_ns)
        with self._descriptors:
            rolled = files.roll(day, words[_RESETS], words[_CREATED], words[_NEXT_OUT])
        if rolled:
            words[_DATA_BYTES] = FILE_HEADER_BYTES
            words[_DAY] = day
            self._place = day << DAY_SHIFT
            self._prune(now_ns)
        self._day_end_ns = (day + 1) * DAY_NS

    def _prune(self, now_ns: int) -> None:
        with self._descriptors:
            self._files.prune(self.resets, day_of(now_ns) - self.keep_days)

    # --------------------------------------------------------------- reading

    def read(self, first: int, last: int, on_damage: DamageHandler | None = None) -> Iterator[tuple[int, bytes]]:
        """Stored messages with ``first <= MsgSeqNum <= last``, ascending; absent numbers are left out.

        Parameters
        ----------
        on_damage:
            Told of each damaged entry, whose numbers are then left out too.

        Raises
        ------
        StoreCorruptError
            An entry is damaged and there is no ``on_damage``.
        """
        index = self._index
        seq = max(first, 1)
        last = min(last, self.next_out - 1)
        while seq <= last:
            word = index.get(seq)
            if not word:
                seq = index.next_present(seq, last)
                continue
            entry = self._entry(seq, word)
            if isinstance(entry, Damage):
                if on_damage is None:
                    raise StoreCorruptError(entry.text, entry.first_seq, entry.last_seq)
                on_damage(entry)
                seq = max(entry.last_seq, seq) + 1
                continue
            ends, payload = entry.ends, entry.payload
            begin = ends[seq - entry.first_seq - 1] if seq > entry.first_seq else 0
            for end in ends[seq - entry.first_seq :]:
                if seq > last:
                    return
                if index.get(seq) != word:
                    break  # forgotten by set_next_out, and perhaps used again
                yield seq, payload[begin:end]
                begin = end
                seq += 1

    def _entry(self, seq: int, word: int) -> Entry | Damage:
        """The entry that holds ``seq``, checked against its checksum and against the index."""
        offset = word & OFFSET_MASK
        day = word >> DAY_SHIFT
        try:
            fd = self._files.of_day(day)
        except StoreCorruptError as error:
            first, last = self._index.extent(seq)
            return Damage(self._files.name_of(day), offset, 0, first, last, 0, 0, str(error))
        limit = self._files.size if fd == self._files.fd else os.fstat(fd).st_size
        entry = read_entry(fd, offset, limit)
        if isinstance(entry, Entry) and not entry.first_seq <= seq < entry.first_seq + entry.messages:
            entry = Fault(f"the index says MsgSeqNum {seq}, the entry {entry.first_seq}", entry.size, torn=False)
        if isinstance(entry, Fault):
            first, last = self._index.extent(seq)
            name = self._files.name_of(day)
            return Damage(name, offset, entry.size, first, last, entry.stored_crc, entry.computed_crc, entry.reason)
        return entry

    # --------------------------------------------------------------- opening

    def _open(self) -> None:
        words, files = self._words, self._files
        now_ns = self._clock()
        lost_words = words[_MAGIC] == 0  # a new store, or one whose words were lost: the data are the truth
        if lost_words:
            words[_CREATED] = now_ns
            words[_NEXT_OUT] = 1
            self.set_next_in(1)
            words[_REF_CHECK] = words[_LAST_APP_REF] ^ _U64
        elif words[_CREATED] == 0:  # written by an earlier version
            words[_CREATED] = os.fstat(files.fd).st_mtime_ns
            self.set_next_in(words[_NEXT_IN])
            words[_REF_CHECK] = words[_LAST_APP_REF] ^ _U64
        files.open(FileHeader(day_of(now_ns), 0, words[_RESETS], words[_CREATED], words[_NEXT_OUT]))
        words[_MAGIC] = WORDS_MAGIC
        boot = boot_word()
        same_boot = words[_BOOT] == boot
        known = words[_DATA_BYTES]
        self._index.open()
        full = (
            lost_words
            or not same_boot
            or words[_DAY] != files.header.day
            or words[_RESETTING] != 0
            or not FILE_HEADER_BYTES <= known <= files.size
            or not self._words_hold()
        )
        self._recover(full=full, same_boot=same_boot)
        words[_BOOT] = boot
        if words[_RESETTING]:
            self._finish_reset()
        if now_ns >= self._day_end_ns:
            self._roll(now_ns)

    def _words_hold(self) -> bool:
        """Whether the words agree with their checks, with each other, and with the last entry."""
        words, index = self._words, self._index
        next_in, other = words[_NEXT_IN], check_word(words[_IN_CHECK])
        if other != next_in:  # a kill between the two, or a flipped bit: the lower is right, or asks for too much
            lower = max(min(other, next_in), 1)
            self._word_damage(_NEXT_IN, f"next_in is {next_in} and by its check {other}; {lower} is taken")
            self.set_next_in(lower)
        app_ref, other = words[_LAST_APP_REF], check_word(words[_REF_CHECK])
        if other != app_ref:
            lower = min(other, app_ref)
            self._word_damage(_LAST_APP_REF, f"last_app_ref is {app_ref} and by its check {other}; the data decide")
            words[_LAST_APP_REF] = lower
            return False
        header = self._files.header
        if header.epoch == words[_RESETS] and header.created_ns != words[_CREATED]:
            self._word_damage(_CREATED, f"created_ns is {words[_CREATED]}, by the file header {header.created_ns}")
            words[_CREATED] = header.created_ns
        next_out = words[_NEXT_OUT]
        if next_out < 2 or not index.get(next_out - 1) or index.get(next_out):
            return self._files.size == FILE_HEADER_BYTES and next_out == header.next_out
        last = self._entry(next_out - 1, index.get(next_out - 1))
        if last.offset + last.size != words[_DATA_BYTES]:
            return False
        # An entry that is damaged is no reason to read all others; it is named when it is asked for.
        return isinstance(last, Damage) or (last.epoch == words[_RESETS] and last.next_out == next_out)

    def _word_damage(self, word: int, reason: str) -> None:
        self.damage.append(Damage(WORDS_NAME, 8 * word, 8, 0, -1, 0, 0, reason))

    def _finish_reset(self) -> None:
        """A kill has left a reset undone; a flipped bit would not look like that."""
        words = self._words
        if words[_RESETTING] ^ RESET_MARK in (words[_RESETS], words[_RESETS] + 1):
            self.reset()
        else:
            self._word_damage(_RESETTING, f"the mark of a reset under way is {words[_RESETTING]:#x}; it is ignored")
            words[_RESETTING] = 0

    def _recover(self, *, full: bool, same_boot: bool) -> None:
        """Bring index and words up to date with the data; see :mod:`fix.store.recovery`."""
        words, files = self._words, self._files
        found = recover(files, self._index, words, full=full)
        self.damage += found.damage
        words[_LAST_APP_REF] = max(words[_LAST_APP_REF], found.last_app_ref)
        words[_REF_CHECK] = words[_LAST_APP_REF] ^ _U64
        # Without a power cut the data are never behind the words.
        if full and same_boot and not found.damage and found.epoch < words[_RESETS]:
            self._word_damage(_RESETS, f"{words[_RESETS]} resets are counted, the data say {found.epoch}")
            words[_RESETS] = found.epoch
        if found.epoch > words[_RESETS]:  # a reset that the words do not know of: theirs is another session
            words[_RESETS] = found.epoch
            words[_CREATED] = found.created_ns
            self.set_next_in(1)
            words[_NEXT_OUT] = found.next_out
        elif found.epoch == words[_RESETS]:
            if words[_NEXT_OUT] - found.next_out > _FARTHEST:
                self._word_damage(_NEXT_OUT, f"next_out is {words[_NEXT_OUT]}, the data say {found.next_out}")
                words[_NEXT_OUT] = 0
            words[_NEXT_OUT] = max(found.next_out, words[_NEXT_OUT])
        self._take_files(found)

    def _take_files(self, found: Walk) -> None:
        """Go on where the data end, and say in them what they lack."""
        words, files = self._words, self._files
        self._place = files.header.day << DAY_SHIFT
        self._tag = words[_RESETS] << KIND_BITS
        self._day_end_ns = (files.header.day + 1) * DAY_NS
        self.torn_bytes += found.torn_bytes
        if found.size < files.size:
            self._cut(found.size)
        words[_WINDOW_END] = 0
        files.size = found.size
        if found.epoch < words[_RESETS]:  # the data lost a reset that the words have seen
            self._index.clear()
            self._put(pack_control(Kind.RESET, words[_RESETS], found.next_out, words[_RESETS], words[_CREATED]))
            found.next_out = 1
        if found.next_out < words[_NEXT_OUT]:
            kind = Kind.SKIPPED if files.header.flags & Flag.CARRIED_OVER else Kind.LOST
            self._put_control(kind, found.next_out, words[_NEXT_OUT], self._clock())
        words[_DAY] = files.header.day
        words[_DATA_BYTES] = files.size

    # --------------------------------------------------------------- the disk

    def sync(self) -> None:
        """Force everything to the disk. Milliseconds: never on the sending path.

        Raises
        ------
        StoreError
            The disk refused. What was not forced may be lost whatever is tried again, so nothing
            is stored any more: the session stands down.
        """
        with self._descriptors:
            if self._closed:
                return
            closed_days = self._files.take_unsynced()
            own = [os.dup(fd) for fd in (*closed_days, self._files.fd, self._locked.fd)]
        try:
            for fd in own:
                os.fdatasync(fd)
        except OSError as error:
            self._failed = f"{error} from fdatasync"
            self._refused[0] = 1  # a lane writes no more either
            raise StoreError(f"{self.directory}: {self._failed}; replace the disk, then restart") from error
        finally:
            for fd in own:
                os.close(fd)

    @property
    def written(self) -> tuple[int, int, int]:
        """Changes whenever there is something new to :meth:`sync`."""
        words = self._words
        # The length by the words: a lane moves that one, and cannot move files.size.
        return (self._files.header.day, words[_DATA_BYTES], words[_NEXT_IN]) if len(words) else (0, 0, 0)

    # --------------------------------------------------------------- closing

    def close(self) -> None:
        """Force to disk and release the lock. Further use is an error."""
        if not self._closed:
            self.close_window()
            try:
                self.sync()
            finally:
                self.release()

    def release(self) -> None:
        """Let go of files and lock without forcing anything to the disk, as a kill would."""
        self._settle()  # the next owner finds nobody at work
        with self._descriptors:
            if self._closed:
                return
            self._closed = True
            if not self._lent:  # a lane may still write to one that is lent
                self._clear(self._window, self._next)
            self._window = self._next = None
            self._words = memoryview(b"").cast("Q")
            self._index.close()
            self._files.close()
            self._locked.close()

    def __enter__(self) -> "MessageStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
