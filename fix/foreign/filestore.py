"""quickfix's FileStore, read and mended from outside: it keeps passwords, and knows what was sent.

``<prefix>.header`` holds ``seq,offset,size`` in blanks, ``<prefix>.body`` the messages.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from fix.messages import checksum

#: Fields that differ each time one message is sent.
_VARIABLE = frozenset(("8", "9", "10", "34", "43", "49", "52", "56", "97", "122"))
_HEADER = frozenset(("35", "50", "57", "115", "116", "128", "129", "142", "143", "144", "145"))
SOH = b"\x01"


def stored(prefix: Path, first: int = 1) -> Iterator[tuple[int, int, bytes]]:
    """``(MsgSeqNum, offset in the body, message)`` of stored messages from ``first`` on, as they were written.

    A number may come twice: see :func:`standing`.
    """
    header, body = prefix.with_name(prefix.name + ".header"), prefix.with_name(prefix.name + ".body")
    if not header.exists() or not body.exists():
        return
    with body.open("rb") as messages:
        for entry in header.read_bytes().split():
            parts = entry.split(b",")
            if len(parts) != 3 or not all(part.isdigit() for part in parts) or int(parts[0]) < first:
                continue
            seq, offset, size = map(int, parts)
            messages.seek(offset)
            raw = messages.read(size)
            if len(raw) == size:
                yield seq, offset, raw


def standing(prefix: Path, first: int = 1, next_out: int = 1 << 62) -> Iterator[tuple[int, int, bytes]]:
    """As :func:`stored`, without what does not count: quickfix writes a message before it uses up its number.

    A worker that is killed in between leaves a message at ``next_out`` that was never sent, and what comes
    next is written under the same number: the last one stands.
    """
    last = {entry[0]: entry for entry in stored(prefix, first)}
    return (last[seq] for seq in sorted(last) if seq < next_out)


def essence(raw: bytes) -> frozenset[tuple[bytes, int]]:
    """What a message says, whatever number and time it went under: its body fields, counted."""
    counts: dict[bytes, int] = {}
    for part in raw.split(SOH):
        tag = part.split(b"=", 1)[0].decode("latin-1")
        if part and tag not in _VARIABLE and (tag == "35" or tag not in _HEADER):
            counts[part] = counts.get(part, 0) + 1
    return frozenset(counts.items())


def masked(raw: bytes, tags: tuple[int, ...]) -> bytes:
    """``raw`` with the values of ``tags`` starred out, same length, CheckSum made right again."""
    mended = bytearray(raw)
    found = False
    for tag in tags:
        at = mended.find(b"\x01%d=" % tag)
        if at >= 0:
            start = mended.index(b"=", at) + 1
            stop = mended.index(SOH, start)
            mended[start:stop] = b"*" * (stop - start)
            found = True
    if not found or mended[-8:-4] != b"\x0110=":
        return raw
    mended[-4:-1] = b"%03d" % checksum(mended[:-7])
    return bytes(mended)


def mask_secrets(prefix: Path, tags: tuple[int, ...]) -> int:
    """Star out credentials of stored Logons in place; how many messages were changed.

    quickfix checks what it reads back, so the CheckSum is mended: a damaged Logon would stop a
    resend that runs over it.
    """
    changed = 0
    body = prefix.with_name(prefix.name + ".body")
    for _, offset, raw in stored(prefix):
        if b"\x0135=A\x01" not in raw[:40]:
            continue
        new = masked(raw, tags)
        if new != raw:
            fd = os.open(body, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(fd, new, offset)
            finally:
                os.close(fd)
            changed += 1
    return changed
