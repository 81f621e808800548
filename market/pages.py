"""Pages of a mapped file, made present before somebody writes to them who must not wait for them.

``mmap(MAP_POPULATE)`` does the same, but Python's ``mmap`` holds the interpreter's lock meanwhile: a thread that
prepares a segment of 64 MiB would hold up the event loop for as long as if it had done it itself.
"""

import ctypes
import errno
import mmap
import os
from typing import Any

import numpy as np
import numpy.typing as npt

_POPULATE_READ = 22  # MADV_POPULATE_READ, Linux 5.14
#: A call keeps the process from mapping memory elsewhere: a tenth of a millisecond at a time.
_CHUNK = 1 << 19
_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def touch(array: npt.NDArray[Any], first: int = 0, size: int = -1) -> None:
    """Make the pages under bytes ``first .. first + size - 1`` of a mapped array present; ``size`` -1: to its end.

    Nothing is written, so others may write there at the same time. Any thread; other threads run meanwhile.

    Raises
    ------
    OSError
        A page cannot be had: the file ends before it, the disk cannot be read, or there is no memory.
    """
    raw = array.view(np.uint8)
    last = len(raw) if size < 0 else min(first + size, len(raw))
    begin = (raw.ctypes.data + first) // mmap.PAGESIZE * mmap.PAGESIZE
    end = raw.ctypes.data + last
    for at in range(begin, end, _CHUNK):
        if _libc.madvise(at, min(_CHUNK, end - at), _POPULATE_READ) == 0:
            continue
        error = ctypes.get_errno()
        if error != errno.EINVAL:
            raise OSError(error, os.strerror(error))
        raw[first : last : mmap.PAGESIZE].sum()  # an older kernel
        return
