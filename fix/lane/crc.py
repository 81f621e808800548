"""CRC-32 as :func:`zlib.crc32` has it, as a kernel: the checksum of a stored entry."""

from typing import Any

import numpy as np

from fix.codec.words import load_u64
from market.crc import crc_tables
from market.jit import kernel

_POLYNOMIAL = 0xEDB88320  # reflected 0x04C11DB7


_TABLES = crc_tables(_POLYNOMIAL)
_ALL = np.uint64(0xFFFFFFFF)
_255 = np.uint64(255)
_8, _16, _24 = np.uint64(8), np.uint64(16), np.uint64(24)
_32, _40, _48, _56 = np.uint64(32), np.uint64(40), np.uint64(48), np.uint64(56)


@kernel
def crc32(buf: Any, start: int, end: int) -> Any:
    """CRC-32 (uint64) of ``buf[start:end]``, uint8; eight bytes a step. Any thread."""
    crc = _ALL
    i = start
    while i + 8 <= end:
        word = load_u64(buf, i) ^ crc
        crc = np.uint64(
            _TABLES[7, word & _255]
            ^ _TABLES[6, (word >> _8) & _255]
            ^ _TABLES[5, (word >> _16) & _255]
            ^ _TABLES[4, (word >> _24) & _255]
            ^ _TABLES[3, (word >> _32) & _255]
            ^ _TABLES[2, (word >> _40) & _255]
            ^ _TABLES[1, (word >> _48) & _255]
            ^ _TABLES[0, word >> _56]
        )
        i += 8
    while i < end:
        crc = (crc >> _8) ^ np.uint64(_TABLES[0, (crc ^ np.uint64(buf[i])) & _255])
        i += 1
    return crc ^ _ALL
