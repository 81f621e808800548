"""Reads the entries of a data file one after the other, and goes on behind a damaged one.

What is damaged is named, never passed over in silence: :class:`Damage` says which bytes, which
MsgSeqNums, and both checksums. After it the next entry is looked for where the damaged one says
it ends, and else by its magic and its checksum; a byte string inside a message would have to carry
a whole entry with a number that fits to be taken for one.
"""

import os
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from fix.store.layout import ENTRY, ENTRY_MAGIC, ENTRY_MAGIC_BYTES, KIND_BITS, U8, Kind

_SEARCH_BYTES = 1 << 20
_KIND_MASK = (1 << KIND_BITS) - 1
_KINDS = frozenset(map(int, Kind))


class Damage(msgspec.Struct, frozen=True):
    """Bytes of a store that do not say any more what was written.

    Attributes
    ----------
    file, offset, size:
        Where. ``size`` is 0 where the end is not known.
    first_seq, last_seq:
        MsgSeqNums that cannot be read for it; ``last_seq`` below ``first_seq``: none, or not known.
    stored_crc, computed_crc:
        What the entry says and what its bytes give; both 0 where the damage is not a checksum's.
    reason:
        What is wrong, in words.
    """

    file: str
    offset: int
    size: int
    first_seq: int
    last_seq: int
    stored_crc: int
    computed_crc: int
    reason: str

    @property
    def text(self) -> str:
        """One line that names all of it."""
        where = f"{self.file}: byte {self.offset}" + (f" to {self.offset + self.size - 1}" if self.size else "")
        numbers = f"MsgSeqNum {self.first_seq} to {self.last_seq}" if self.last_seq >= self.first_seq else "no number"
        crc = f", CRC stored {self.stored_crc:#010x}, computed {self.computed_crc:#010x}" if self.has_crc else ""
        return f"{where}, {numbers}: {self.reason}{crc}"

    @property
    def has_crc(self) -> bool:
        """Whether the two checksums mean something."""
        return self.stored_crc != self.computed_crc


class Entry(NamedTuple):
    """A sound entry."""

    offset: int
    size: int
    kind: int
    epoch: int
    first_seq: int
    messages: int
    app_ref: int
    time_ns: int
    rest: bytes  # end offsets and payload

    @property
    def value(self) -> int:
        """What a control entry carries."""
        return int(U8.unpack(self.rest)[0])

    @property
    def next_out(self) -> int:
        """``next_out`` once this entry is written."""
        if self.kind == Kind.MESSAGES:
            return self.first_seq + self.messages
        return 1 if self.kind == Kind.RESET else self.value

    @property
    def ends(self) -> list[int]:
        """End of each message within :attr:`payload`."""
        return list(memoryview(self.rest[: 4 * self.messages]).cast("I"))

    @property
    def payload(self) -> bytes:
        """The messages, back to back."""
        return self.rest[4 * self.messages :]


class Fault(NamedTuple):
    """Why the bytes at a place are not a sound entry."""

    reason: str
    size: int  # of the entry as its header has it; 0: there is no header
    torn: bool  # as an unfinished write leaves it: the file ends within it, or it is all zeros
    stored_crc: int = 0
    computed_crc: int = 0
    first_seq: int = 0  # as the header has it; either may be what is damaged
    messages: int = 0


class Tail(NamedTuple):
    """The file ends within an entry."""

    offset: int
    size: int
    fault: Fault
    zeros_at: int  # from here on the file is all zeros; its end when its last byte is none


class Break(NamedTuple):
    """A damaged entry, and what follows it."""

    offset: int
    size: int
    fault: Fault
    following: Entry | None  # the next sound entry; None: the damaged one is the last


def read_entry(fd: int, offset: int, limit: int, epoch: int = 0) -> Entry | Fault:
    """The entry at ``offset`` of a file of ``limit`` bytes; ``epoch`` is that of entries without one."""
    head = os.pread(fd, max(min(ENTRY.size, limit - offset), 0), offset)
    if len(head) < ENTRY.size:
        return Fault("the header is cut short", 0, torn=True)
    magic, crc, seq, count, length, app_ref, time_ns, tag = ENTRY.unpack(head)
    if magic != ENTRY_MAGIC:
        return Fault(f"no entry begins here (magic {magic:#010x})", 0, torn=not head.strip(b"\0"))
    size = ENTRY.size + 4 * count + length
    if offset + size > limit:
        return Fault(f"{size} bytes are announced, {limit - offset} are there", size, torn=True)
    rest = os.pread(fd, size - ENTRY.size, offset + ENTRY.size)
    computed = zlib.crc32(rest, zlib.crc32(head[8:]))
    if computed != crc:
        return Fault("the entry fails its checksum", size, False, crc, computed, seq, count)
    kind = tag & _KIND_MASK
    if kind not in _KINDS or (count == 0) != (kind != Kind.MESSAGES) or (kind and len(rest) != U8.size):
        return Fault(f"an entry of a kind that is not known here ({kind})", size, torn=False)
    return Entry(offset, size, kind, tag >> KIND_BITS if tag else epoch, seq, count, app_ref, time_ns, rest)


def _next_sound(fd: int, start: int, limit: int, epoch: int) -> Entry | None:
    """First sound entry at or after ``start``, found by its magic."""
    while start < limit:
        chunk = os.pread(fd, min(_SEARCH_BYTES, limit - start), start)
        at = chunk.find(ENTRY_MAGIC_BYTES)
        while at >= 0:
            found = read_entry(fd, start + at, limit, epoch)
            if isinstance(found, Entry):
                return found
            at = chunk.find(ENTRY_MAGIC_BYTES, at + 1)
        if len(chunk) < _SEARCH_BYTES:
            return None
        start += len(chunk) - len(ENTRY_MAGIC_BYTES) + 1
    return None


def _zeros_at(fd: int, start: int, limit: int) -> int:
    """Where the zeros that end a file begin, at or after ``start``."""
    while start < limit:
        begin = max(limit - _SEARCH_BYTES, start)
        last = len(os.pread(fd, limit - begin, begin).rstrip(b"\0"))
        if last:
            return begin + last
        limit = begin
    return start


def scan(fd: int, offset: int, limit: int, epoch: int = 0) -> Iterator[Entry | Break | Tail]:
    """Everything in a data file from ``offset`` (the start of an entry) to ``limit``, in order."""
    while offset < limit:
        found = read_entry(fd, offset, limit, epoch)
        if isinstance(found, Entry):
            yield found
            offset += found.size
            continue
        following, end = None, offset + found.size
        if not found.torn and found.size and end < limit:  # where the damaged entry says that it ends
            there = read_entry(fd, end, limit, epoch)
            following = there if isinstance(there, Entry) else None
            if isinstance(there, Fault) and not there.torn:
                end = 0
        following = following or _next_sound(fd, offset + 1, limit, epoch)
        if following is None and (found.torn or not offset < end <= limit):
            yield Tail(offset, limit - offset, found, _zeros_at(fd, offset, limit))
            return
        end = end if following is None else following.offset
        yield Break(offset, end - offset, found, following)
        offset = end
