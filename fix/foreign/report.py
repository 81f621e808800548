"""``verify`` and ``show`` of a quickfix session's directory: read-only, without a lock, in use or not.

Two owners, two formats: ``spool.dat`` and ``session.words`` are ours and checked byte by byte; what
lies in ``quickfix/`` (body, header, seqnums) is quickfix's own FileStore, whose only safeguard is the
CheckSum of each message.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fix.errors import StoreCorruptError, StoreError
from fix.foreign.filestore import SOH, standing, stored
from fix.foreign.spool import SpoolReader
from fix.foreign.store import Word, read_words
from fix.messages import checksum, mask_secrets

OWN_FILES = "quickfix keeps its own files in quickfix/ (body, header, seqnums); spool.dat holds what it has received"


class ShownMessage(msgspec.Struct, frozen=True):
    """One message that quickfix has stored as sent; passwords are masked."""

    file: str
    offset: int
    time_ns: int  # 0: quickfix keeps none
    kind: str
    seq: int
    app_ref: int
    raw: bytes
    text: str


class QuickfixReport(msgspec.Struct, frozen=True):
    """What :func:`verify` found."""

    directory: str
    engine: str
    sound: bool
    used_by_pid: int  # a live process, or 0
    next_in: int  # as the worker last said
    next_out: int
    files: dict[str, int]  # bytes of each
    sent: int  # messages that quickfix has stored
    spooled: int  # messages in the spool
    waiting: int  # of them, not taken by the application yet
    damage: list[str]

    def lines(self) -> list[str]:
        """The report as text, one finding a line."""
        user = f"in use by pid {self.used_by_pid}" if self.used_by_pid else "not in use"
        return [
            f"{self.directory}: {'sound' if self.sound else f'{len(self.damage)} damaged'}, {user}, engine quickfix",
            OWN_FILES,
            f"next_in {self.next_in}, next_out {self.next_out}, as the worker last said",
            f"{self.sent} messages sent are stored, {self.spooled} received are spooled, {self.waiting} not taken yet",
            *(f"{name}: {size} bytes" for name, size in self.files.items()),
            *self.damage,
        ]


def is_quickfix(directory: str | os.PathLike[str]) -> bool:
    """Whether a session's directory is one of engine ``quickfix``."""
    return (Path(directory) / "quickfix").is_dir()


def verify(directory: str | os.PathLike[str]) -> QuickfixReport:
    """Read spool and file store through, and say what does not hold.

    Raises
    ------
    StoreError
        There is no quickfix session in ``directory``.
    """
    path = Path(directory)
    words = _words(path)
    damage: list[str] = []
    spooled = waiting = 0
    try:
        reader = SpoolReader(path / "spool.dat")
        for entry in reader.entries(0):
            if not entry.carried:
                spooled += 1
                waiting += entry.end > words[Word.TAKEN]
        reader.close()
    except StoreCorruptError as error:
        damage.append(str(error))
    sent = 0
    for prefix in _prefixes(path):
        for seq, offset, raw in stored(prefix):
            sent += 1
            if raw[-8:-4] != b"\x0110=" or raw[-4:-1] != b"%03d" % checksum(raw[:-7]):
                damage.append(f"{prefix.name}.body: MsgSeqNum {seq} at offset {offset} fails its CheckSum")
    sizes = {
        str(file.relative_to(path)): file.stat().st_size
        for file in (path / "session.words", path / "spool.dat", *sorted((path / "quickfix").iterdir()))
        if file.is_file()
    }
    return QuickfixReport(
        str(path), "quickfix", not damage, _user(path), words[Word.NEXT_IN], words[Word.NEXT_OUT], sizes, sent,
        spooled, waiting, damage,
    )  # fmt: skip


def show(directory: str | os.PathLike[str], first: int = 1, last: int = 0) -> Iterator[ShownMessage]:
    """Messages that quickfix has stored as sent, ``first <= MsgSeqNum <= last`` (0: to the end).

    Raises
    ------
    StoreError
        There is no quickfix session in ``directory``.
    """
    path = Path(directory)
    _words(path)
    for prefix in _prefixes(path):
        for seq, offset, raw in standing(prefix, first):
            if not last or seq <= last:
                masked = mask_secrets(raw)
                text = masked.replace(SOH, b"|").decode("latin-1")
                yield ShownMessage(f"quickfix/{prefix.name}.body", offset, 0, "message", seq, 0, masked, text)


def _words(path: Path) -> list[int]:
    try:
        return read_words(path / "session.words")
    except FileNotFoundError:
        raise StoreError(f"{path}: there is no quickfix session here; name the directory of one") from None


def _prefixes(path: Path) -> list[Path]:
    return [file.with_suffix("") for file in sorted((path / "quickfix").glob("*.body"))]


def _user(path: Path) -> int:
    """The live process that has the session open, or 0."""
    try:
        pid = int((path / "session.pid").read_text())
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, ValueError):
        return 0
    return pid
