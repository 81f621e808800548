"""``verify`` and ``show``: read a store that may be in use, changing nothing and taking no lock.

What is being written at that moment may be missing from either; nothing of it is reported as
damage, because the words say how far the writer had come.
"""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np

from fix.errors import StoreCorruptError, StoreError
from fix.store.files import ACTIVE_NAME, FileHeader, day_text, old_days, old_name, read_header
from fix.store.index import INDEX_NAME
from fix.store.layout import FILE_HEADER_BYTES, Kind, Word
from fix.store.recovery import Walk
from fix.store.scan import Break, Damage, Entry, Tail, scan
from fix.store.words import WORDS_NAME, check_word, read_words

#: Password, NewPassword, RawData, EncryptedPassword, EncryptedNewPassword.
_SECRETS = re.compile(rb"(\x01(?:554|925|96|1402|1404)=)[^\x01]*")
_KIND_TEXT = {
    Kind.SKIPPED: "MsgSeqNum {first} to {last} are not stored, by intent",
    Kind.RESET: "reset: the numbers begin at 1",
    Kind.SET: "an operator set next_out from {first} to {value}",
    Kind.LOST: "MsgSeqNum {first} to {last} were used and are lost",
}  # fmt: skip


class StoredMessage(msgspec.Struct, frozen=True):
    """One line of :func:`show`.

    ``seq`` is 0 and ``raw`` empty for what is not a message; ``text`` says what it is. Passwords in
    ``raw`` are replaced by three stars, so its BodyLength and CheckSum may not hold.
    """

    file: str
    offset: int
    time_ns: int
    resets: int
    kind: str  # message, skipped, reset, set, lost, damaged
    seq: int
    app_ref: int
    raw: bytes
    text: str


class FileReport(msgspec.Struct, frozen=True):
    """One data file."""

    name: str
    day: str  # YYYYMMDD on which it was begun
    size: int
    entries: int
    messages: int
    message_bytes: int
    first_ns: int
    last_ns: int
    needed: bool  # messages in it may be asked for


class StoreReport(msgspec.Struct, frozen=True):
    """What :func:`verify` found. ``sound``: every entry holds, every number is explained, index and words agree."""

    directory: str
    sound: bool
    used_by_pid: int  # a live process, or 0
    next_in: int
    next_out: int
    resets: int
    created_ns: int
    last_app_ref: int
    files: list[FileReport]
    damage: list[Damage]

    def lines(self) -> list[str]:
        """The report as text, one finding a line."""
        user = f"in use by pid {self.used_by_pid}" if self.used_by_pid else "not in use"
        lines = [
            f"{self.directory}: {'sound' if self.sound else f'{len(self.damage)} damaged'}, {user}",
            f"next_in {self.next_in}, next_out {self.next_out}, {self.resets} resets, since {self.created_ns} ns UTC",
        ]
        for file in self.files:
            kept = "needed" if file.needed else "kept for the record"
            lines.append(
                f"{file.name}: {file.size} bytes, {file.entries} entries, {file.messages} messages "
                f"of {file.message_bytes} bytes, {kept}"
            )
        return lines + [damage.text for damage in self.damage]


def verify(directory: str | os.PathLike[str]) -> StoreReport:
    """Read every byte of a store and say what is damaged; the store may be in use.

    Raises
    ------
    StoreError
        There is no store in ``directory``.
    """
    path = Path(directory)
    words, pid = _words(path)
    # The words first: whatever they count was written before, so it must be in the data.
    resets, next_out = words[Word.RESETS], words[Word.NEXT_OUT]
    files: list[FileReport] = []
    damage: list[Damage] = []
    walk: Walk | None = None
    index = _ExpectedIndex()
    for name in _names(path):
        try:
            with _Reader(path / name) as reader:
                walk, report = _verify_file(reader, walk, words, index)
        except StoreCorruptError as error:
            damage.append(Damage(name, 0, FILE_HEADER_BYTES, 0, -1, 0, 0, str(error)))
            continue
        files.append(report)
    live = _alive(pid)
    if walk is not None:
        damage += [found for found in walk.damage if not _being_written(found, walk, words, live=live)]
        if walk.epoch == resets and walk.next_out < next_out and not walk.torn_bytes:
            reason = "used according to session.words, and not in the data"
            damage.append(Damage(ACTIVE_NAME, walk.size, 0, walk.next_out, next_out - 1, 0, 0, reason))
        if walk.epoch < resets:
            reason = f"session.words count {resets} resets, the data {walk.epoch}"
            damage.append(Damage(ACTIVE_NAME, walk.size, 0, 0, -1, 0, 0, reason))
        if not live:  # the writer is ahead of what was read above
            damage += _check_index(path, index, walk.next_out)
    other = check_word(words[Word.NEXT_IN_CHECK])
    if words[Word.CREATED_NS] and other != words[Word.NEXT_IN] and not live:
        reason = f"next_in is {words[Word.NEXT_IN]} and by its check {other}"
        damage.append(Damage(WORDS_NAME, 8 * Word.NEXT_IN, 8, 0, -1, 0, 0, reason))
    return StoreReport(
        str(path), not damage, live, words[Word.NEXT_IN], next_out, resets, words[Word.CREATED_NS],
        words[Word.LAST_APP_REF], files, damage,
    )  # fmt: skip


def show(
    directory: str | os.PathLike[str], first: int = 1, last: int = 0, resets: int | None = None
) -> Iterator[StoredMessage]:
    """Everything stored with ``first <= MsgSeqNum <= last``, oldest first; the store may be in use.

    Parameters
    ----------
    last:
        0: to the end.
    resets:
        The epoch to show: how often the numbers had been reset by then. None: the present one;
        -1: all that is still kept.

    Raises
    ------
    StoreError
        There is no store in ``directory``.
    """
    path = Path(directory)
    words, _ = _words(path)
    wanted = words[Word.RESETS] if resets is None else resets
    last = last or (1 << 63)
    for name in _names(path):
        with _Reader(path / name) as reader:
            for item in reader.items():
                if isinstance(item, Tail):
                    break  # cut at the next start, or being written
                if isinstance(item, Break):
                    fault = item.fault
                    text = Damage(
                        name, item.offset, item.size, 0, -1, fault.stored_crc, fault.computed_crc, fault.reason
                    ).text
                    yield StoredMessage(name, item.offset, 0, wanted, "damaged", 0, 0, b"", text)
                elif wanted in (-1, item.epoch):
                    yield from _shown(name, item, first, last)


def _shown(name: str, entry: Entry, first: int, last: int) -> Iterator[StoredMessage]:
    kind = Kind(entry.kind)
    if kind is not Kind.MESSAGES:
        low, high = entry.first_seq, entry.value
        if kind is Kind.RESET or (low <= last and high > first) or kind is Kind.SET:
            text = _KIND_TEXT[kind].format(first=low, last=high - 1, value=high)
            yield StoredMessage(name, entry.offset, entry.time_ns, entry.epoch, kind.name.lower(), 0, 0, b"", text)
        return
    begin = 0
    payload = entry.payload
    for seq, end in enumerate(entry.ends, entry.first_seq):
        if first <= seq <= last:
            raw = _SECRETS.sub(rb"\1***", payload[begin:end])
            app_ref = entry.app_ref if seq == entry.next_out - 1 else 0
            text = raw.replace(b"\x01", b"|").decode("latin-1")
            yield StoredMessage(name, entry.offset, entry.time_ns, entry.epoch, "message", seq, app_ref, raw, text)
        begin = end


class _Reader(closing["_Reader"]):
    """One data file, read-only."""

    def __init__(self, path: Path) -> None:
        super().__init__(self)
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size

    def header(self) -> FileHeader:
        return read_header(self.path, self.fd)

    def items(self) -> Iterator[Entry | Break | Tail]:
        if self.size > FILE_HEADER_BYTES:
            yield from scan(self.fd, FILE_HEADER_BYTES, self.size, self.header().entry_epoch)

    def close(self) -> None:
        os.close(self.fd)


class _ExpectedIndex:
    """What the index must say, by the data."""

    def __init__(self) -> None:
        self.array = np.zeros(1 << 12, np.uint64)

    def clear(self, first_seq: int = 1) -> None:
        self.array[first_seq - 1 :] = 0

    def set_range(self, first_seq: int, next_seq: int, word: int) -> None:
        if next_seq > len(self.array):
            grown = np.zeros(2 * next_seq, np.uint64)
            grown[: len(self.array)] = self.array
            self.array = grown
        self.array[first_seq - 1 : next_seq - 1] = word


def _check_index(path: Path, expected: _ExpectedIndex, next_out: int) -> list[Damage]:
    """Where messages.idx does not say what the data say, as ranges of numbers."""
    if not (path / INDEX_NAME).exists():
        return []  # rebuilt at the next start
    stored = np.fromfile(path / INDEX_NAME, np.uint64)[: next_out - 1]
    right = np.zeros(len(stored), np.uint64)
    shared = min(len(stored), len(expected.array))
    right[:shared] = expected.array[:shared]
    damage = []
    wrong = np.flatnonzero(stored != right)
    for run in np.split(wrong, np.flatnonzero(np.diff(wrong) > 1) + 1) if len(wrong) else []:
        first, last = int(run[0]) + 1, int(run[-1]) + 1
        reason = "the index does not say where the data have these numbers; delete it, it is rebuilt"
        damage.append(Damage(INDEX_NAME, 8 * (first - 1), 8 * len(run), first, last, 0, 0, reason))
    return damage


def _being_written(found: Damage, walk: Walk, words: list[int], *, live: int) -> bool:
    """Whether ``found`` is the end of a file that a live process is writing."""
    at_the_end = found.file == ACTIVE_NAME and found.offset >= words[Word.DATA_BYTES]
    return bool(live) and at_the_end and found.offset + found.size >= walk.size


def _words(path: Path) -> tuple[list[int], str]:
    if not (path / WORDS_NAME).is_file() or not (path / ACTIVE_NAME).is_file():
        raise StoreError(f"{path}: there is no message store here; name the directory of a session")
    return read_words(path / WORDS_NAME)


def _names(path: Path) -> list[str]:
    return [*map(old_name, old_days(path)), ACTIVE_NAME]


def _alive(pid: str) -> int:
    """``pid`` when it is that of a live process, else 0."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return 0
    except PermissionError:
        pass
    return int(pid)


def _verify_file(
    reader: _Reader, walk: Walk | None, words: list[int], index: "_ExpectedIndex"
) -> tuple[Walk, FileReport]:
    header = reader.header()
    resets, next_out = words[Word.RESETS], words[Word.NEXT_OUT]
    if walk is None:
        walk = Walk(header.epoch, header.next_out, index, next_out, resets)
    elif (walk.epoch, walk.next_out) != (header.epoch, header.next_out):
        reason = (
            f"begins in epoch {header.epoch} at MsgSeqNum {header.next_out}, "
            f"the file before it ends in epoch {walk.epoch} at {walk.next_out}"
        )
        walk.damage.append(Damage(reader.path.name, 0, FILE_HEADER_BYTES, 0, -1, 0, 0, reason))
        walk.epoch, walk.next_out = header.epoch, header.next_out
    before = (walk.entries, walk.messages, walk.message_bytes)
    walk.first_ns = 0
    # Zeros that were allocated ahead of a writer are no damage.
    walk.window_end = words[Word.WINDOW_END] if reader.path.name == ACTIVE_NAME else 0
    walk.file(reader.path.name, reader.fd, FILE_HEADER_BYTES, max(reader.size, FILE_HEADER_BYTES), header)
    report = FileReport(
        reader.path.name, day_text(header.day), reader.size, walk.entries - before[0], walk.messages - before[1],
        walk.message_bytes - before[2], walk.first_ns, walk.last_ns, walk.epoch == resets,
    )  # fmt: skip
    return walk, report
