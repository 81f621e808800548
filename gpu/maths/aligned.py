"""Tables whose rows start on a cache line: a vector that straddles two lines costs two."""

import numpy as np
import numpy.typing as npt

LINE_BYTES = 64
_DOUBLES = LINE_BYTES // 8


def aligned_table(rows: int, n: int) -> npt.NDArray[np.float64]:
    """float64[rows, pitch] of zeros, every row on a cache line of its own; pitch = n rounded up to whole lines."""
    pitch = (n + _DOUBLES - 1) // _DOUBLES * _DOUBLES
    raw = np.zeros(rows * pitch * 8 + LINE_BYTES, np.uint8)
    start = -raw.ctypes.data % LINE_BYTES
    return raw[start : start + rows * pitch * 8].view(np.float64).reshape(rows, pitch)
