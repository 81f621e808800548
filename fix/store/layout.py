"""Bytes of the store: words, file header, entries. Everything little-endian, nothing padded by the compiler."""

import struct
import zlib
from enum import IntEnum

FILE_MAGIC = b"AXMSGS2\n"
OLD_FILE_MAGIC = b"AXMSGS1\n"  # entries alike; without epochs and control entries
FILE_HEADER_BYTES = 64
_FILE_HEADER = struct.Struct("<8sIIQQQQ")  # magic, day, flags, epoch, created_ns, next_out, reserved
_FILE_CRC = struct.Struct("<I")
_CRC_AT = FILE_HEADER_BYTES - 4

WORDS_MAGIC = 0x3153444F574D5841  # "AXMWODS1"
WORDS_BYTES = 4096

#: Far from anything that one flipped bit makes of 0: a reset is never done by accident.
RESET_MARK = 0x52E5E77A5C3B9D61

ENTRY_MAGIC = 0x45584D41
ENTRY_MAGIC_BYTES = ENTRY_MAGIC.to_bytes(4, "little")
ENTRY = struct.Struct("<IIQIIQQQ")  # magic, crc, first_seq, count, payload bytes, app_ref, time_ns, tag
HEAD, BODY, U4, U8 = struct.Struct("<II"), struct.Struct("<QIIQQQ"), struct.Struct("<I"), struct.Struct("<Q")
#: Header and single end offset of an entry of one message: what :meth:`MessageStore.append` packs.
SINGLE = struct.Struct("<QIIQQQI")
#: ``tag`` is the epoch (how often the numbers had been reset) above, the kind below.
KIND_BITS = 8

DAY_NS = 86_400_000_000_000
#: An index word is the day of the file above, the offset of the entry in it below.
DAY_SHIFT = 44
OFFSET_MASK = (1 << DAY_SHIFT) - 1


class Word(IntEnum):
    """Index of each uint64 in ``session.words``. Only ever appended to."""

    MAGIC = 0
    NEXT_IN = 1  # MsgSeqNum expected from the peer
    NEXT_OUT = 2  # MsgSeqNum that we use next
    LAST_APP_REF = 3  # highest application reference ever stored; a reset keeps it
    DATA_BYTES = 4  # length of messages.dat up to which the index is known to be right
    RESETTING = 5  # RESET_MARK ^ new epoch while a reset is under way: finished when the store is next opened
    BOOT = 6  # hash of the kernel's boot id: after a power cut the index is rebuilt in full
    RESETS = 7  # how often the numbers were reset: the epoch of new entries
    CREATED_NS = 8  # when the numbers last began at 1
    NEXT_IN_CHECK = 9  # complement of NEXT_IN, written after it: a flipped bit shows
    DAY = 10  # day of messages.dat, as in its header: DATA_BYTES means that file
    APP_REF_CHECK = 11  # complement of LAST_APP_REF, written after it
    WINDOW_END = 12  # length that messages.dat may have while its end is allocated ahead; 0: its last entry's end


class Kind(IntEnum):
    """What an entry says. All but MESSAGES carry one uint64 and no message."""

    MESSAGES = 0  # first_seq .. first_seq + count - 1
    SKIPPED = 1  # first_seq .. value - 1 are deliberately not stored
    RESET = 2  # the numbers begin at 1 again; value is the new epoch
    SET = 3  # an operator set next_out from first_seq to value; numbers from value on are forgotten
    LOST = 4  # first_seq .. value - 1 were used, and what they were is lost; value is next_out


class Flag(IntEnum):
    """Bits of a file header's flags."""

    CARRIED_OVER = 1  # begun in the old format: numbers may be skipped without an entry that says so


def pack_file_header(day: int, flags: int, epoch: int, created_ns: int, next_out: int) -> bytes:
    """Header of a data file that begins with ``next_out`` in ``epoch``, on ``day`` (days since 1970, UTC)."""
    head = _FILE_HEADER.pack(FILE_MAGIC, day, flags, epoch, created_ns, next_out, 0).ljust(_CRC_AT, b"\0")
    return head + _FILE_CRC.pack(zlib.crc32(head))


def unpack_file_header(raw: bytes) -> tuple[int, int, int, int, int] | None:
    """``(day, flags, epoch, created_ns, next_out)``, or None when its CRC does not hold."""
    if raw[:8] != FILE_MAGIC or len(raw) != FILE_HEADER_BYTES:
        return None
    if _FILE_CRC.unpack_from(raw, _CRC_AT)[0] != zlib.crc32(raw[:_CRC_AT]):
        return None
    _, day, flags, epoch, created_ns, next_out, _ = _FILE_HEADER.unpack_from(raw)
    return day, flags, epoch, created_ns, next_out


def pack_control(kind: Kind, epoch: int, first_seq: int, value: int, now_ns: int) -> bytes:
    """A whole entry of any kind but MESSAGES."""
    rest = BODY.pack(first_seq, 0, U8.size, 0, now_ns, epoch << KIND_BITS | kind) + U8.pack(value)
    return HEAD.pack(ENTRY_MAGIC, zlib.crc32(rest)) + rest
