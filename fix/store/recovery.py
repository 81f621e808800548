"""Walks through the entries of data files and says what the numbers are, what is stored where, and what is damaged.

The data are the truth for ``next_out`` and the index. A walk over a store that is being opened
fills the index; one for a report only counts.
"""

from dataclasses import dataclass, field
from typing import Protocol

from fix.store.files import DataFiles, FileHeader
from fix.store.index import SeqIndex
from fix.store.layout import DAY_SHIFT, FILE_HEADER_BYTES, Flag, Kind, Word
from fix.store.scan import Break, Damage, Entry, Tail, scan


class IndexSink(Protocol):
    """Who is told where each number is."""

    def clear(self, first_seq: int = 1) -> None:
        """Forget every number from ``first_seq`` on."""

    def set_range(self, first_seq: int, next_seq: int, word: int) -> None:
        """Numbers ``first_seq .. next_seq - 1`` are in the entry at ``word``."""


@dataclass
class Walk:
    """What the entries seen so far amount to.

    ``next_out`` of 0 means not known yet: the first entry says.
    """

    epoch: int
    next_out: int
    index: IndexSink | None = None
    used_out: int = 0  # next_out as the words have it, in ``used_epoch``
    used_epoch: int = -1
    created_ns: int = 0
    last_app_ref: int = 0
    window_end: int = 0  # length of the last file as far as it was allocated ahead
    size: int = 0  # of the last file, up to which it is to be kept
    torn_bytes: int = 0
    entries: int = 0
    messages: int = 0
    message_bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    damage: list[Damage] = field(default_factory=list)

    def file(self, name: str, fd: int, start: int, limit: int, header: FileHeader) -> None:
        """Take one data file, from byte ``start`` (of an entry) to ``limit``."""
        place = header.day << DAY_SHIFT
        strict = not header.flags & Flag.CARRIED_OVER
        self.size, self.torn_bytes = limit, 0
        for item in scan(fd, start, limit, header.entry_epoch):
            if isinstance(item, Entry):
                self._entry(name, item, place, strict=strict)
            elif isinstance(item, Break):
                self._break(name, item, place)
            else:
                self._tail(name, item)

    def _entry(self, name: str, entry: Entry, place: int, *, strict: bool) -> None:
        self.entries += 1
        self.first_ns = self.first_ns or entry.time_ns
        self.last_ns = entry.time_ns
        self.last_app_ref = max(self.last_app_ref, entry.app_ref)  # a reset does not take it back
        if entry.epoch > self.epoch:
            self._begin_epoch(entry)
        elif entry.epoch < self.epoch:
            return
        if entry.kind == Kind.MESSAGES:
            self._messages(name, entry, place, strict=strict)
        elif entry.kind == Kind.LOST:
            self._note(name, entry, entry.first_seq, entry.value - 1, "used, and lost before an earlier start")
        if entry.kind == Kind.SET and self.index is not None:
            self.index.clear(entry.value)
        self.next_out = entry.next_out

    def _begin_epoch(self, entry: Entry) -> None:
        self.epoch = entry.epoch
        self.created_ns = entry.time_ns
        self.next_out = 1
        if self.index is not None:
            self.index.clear()

    def _messages(self, name: str, entry: Entry, place: int, *, strict: bool) -> None:
        self.messages += entry.messages
        self.message_bytes += len(entry.rest) - 4 * entry.messages
        if self.next_out and entry.first_seq > self.next_out and strict:
            self._note(name, entry, self.next_out, entry.first_seq - 1, "no entry holds or explains these numbers")
        if self.index is not None:
            if entry.first_seq < self.next_out:  # the entry that set next_out down is damaged
                self.index.clear(entry.first_seq)
            self.index.set_range(entry.first_seq, entry.next_out, place | entry.offset)

    def _note(self, name: str, entry: Entry, first: int, last: int, reason: str) -> None:
        self.damage.append(Damage(name, entry.offset, entry.size, first, last, 0, 0, reason))

    def _break(self, name: str, item: Break, place: int) -> None:
        """Numbers of a damaged entry are those between its neighbours'."""
        fault, following = item.fault, item.following
        first = self.next_out or fault.first_seq or self.used_out
        after = first
        if following is not None:
            after = following.first_seq if following.epoch == self.epoch else first
        elif fault.first_seq == first:
            after = first + fault.messages
        if self.index is not None and after > first:
            # Found again, and named again, by whoever asks for these numbers.
            self.index.set_range(first, after, place | item.offset)
        self.damage.append(
            Damage(name, item.offset, item.size, first, after - 1, fault.stored_crc, fault.computed_crc, fault.reason)
        )
        self.next_out = max(after, first)

    def _tail(self, name: str, item: Tail) -> None:
        self.size = item.offset
        end = item.offset + item.size
        # Zeros within what was allocated ahead were never written: no write was torn there. The file may be
        # shorter than the word says: it was about to grow.
        written = item.zeros_at - item.offset if end <= self.window_end else item.size
        if not written:
            return
        self.torn_bytes = written
        fault = item.fault
        first = self.next_out or self.used_out
        last = self.used_out - 1 if self.epoch == self.used_epoch else first - 1
        reason = f"an unfinished write: {fault.reason}"
        self.damage.append(
            Damage(name, item.offset, written, first, last, fault.stored_crc, fault.computed_crc, reason)
        )


def recover(files: DataFiles, index: SeqIndex, words: memoryview, *, full: bool) -> Walk:
    """Walk through what the index does not cover yet; ``full``: through all that the present numbers are in."""
    epoch, used_out = words[Word.RESETS], words[Word.NEXT_OUT]
    if not full:
        walk = Walk(epoch, 0, index, used_out, epoch, window_end=words[Word.WINDOW_END])
        walk.file(files.path.name, files.fd, words[Word.DATA_BYTES], files.size, files.header)
        walk.next_out = walk.next_out or used_out
        return walk
    index.clear()
    headers = [(day, files.header_of(day)) for day in files.needed_days(files.header.epoch)]
    headers.append((files.header.day, files.header))
    first = headers[0][1]
    walk = Walk(first.epoch, first.next_out, index, used_out, epoch, first.created_ns)
    for day, header in headers:
        walk.window_end = words[Word.WINDOW_END] if day == files.header.day else 0
        name, fd = files.name_of(day), files.of_day(day)
        limit = files.size if fd == files.fd else files.size_of(day)
        walk.file(name, fd, FILE_HEADER_BYTES, limit, header)
    if not walk.torn_bytes and walk.epoch == epoch and walk.next_out < used_out and not first.flags:
        reason = "used according to session.words, and not in the data"
        walk.damage.append(Damage(files.path.name, walk.size, 0, walk.next_out, used_out - 1, 0, 0, reason))
    return walk
