"""``TheoTable``: theo rows handed from one writer thread to any number of readers without a lock.

Two buffers and two words. The writer announces which buffer it is about to overwrite, fills it, then
publishes its sequence with a release store. A reader copies the published buffer and afterwards
checks that the writer has not come round to it meanwhile: then the copy is whole, else it tries
again. The writer never waits; a reader only repeats if two refreshes finish during its copy.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.errors import ChainError
from market.atomics import fence_acquire, fence_release, load_acquire, store_release
from market.jit import kernel
from market.records import THEO, table

Words: TypeAlias = npt.NDArray[np.int64]

PUBLISHED, WRITING, ROWS = 0, 1, 2  #: index into ``TheoTable.words``


@kernel
def theo_begin(words: Words) -> int:
    """Writer: announce the next write; returns the index (0 or 1) of the buffer to fill."""
    following = load_acquire(words, PUBLISHED) + 1
    store_release(words, WRITING, following)
    fence_release()
    return int(following & 1)


@kernel
def theo_publish(words: Words, rows: int) -> int:
    """Writer: make the buffer of the last :func:`theo_begin` the current one; returns its sequence."""
    following = load_acquire(words, WRITING)
    words[ROWS + (following & 1)] = rows
    store_release(words, PUBLISHED, following)
    return int(following)


@kernel
def theo_read(words: Words, first: Any, second: Any, out: Any) -> int:
    """Reader: copy the current rows to ``out``.

    Returns the sequence copied, 0 when nothing has been published, -1 when the writer overtook the
    copy (``out`` is then torn: call again). ``out`` needs as many rows as the table.
    """
    sequence = load_acquire(words, PUBLISHED)
    if sequence == 0:
        return 0
    rows = words[ROWS + (sequence & 1)]
    source = second if sequence & 1 else first
    for i in range(rows):
        out[i] = source[i]
    fence_acquire()
    # The buffer just copied is written again at sequence + 2.
    return sequence if load_acquire(words, WRITING) < sequence + 2 else -1


class TheoTable:
    """Double buffer of ``rows`` THEO frames; one writer, many readers, all in this process."""

    def __init__(self, rows: int) -> None:
        if rows < 1:
            raise ChainError(f"rows of a theo table must be >= 1, was {rows}")
        self.words = np.zeros(8, np.int64)
        self.buffers = (table(THEO, rows), table(THEO, rows))

    def back(self) -> Any:
        """Announce a write and return the THEO rows to fill (then call :meth:`publish`)."""
        return self.buffers[theo_begin(self.words)]

    def publish(self, rows: int) -> int:
        """Publish the first ``rows`` rows of the buffer that :meth:`back` gave; returns the sequence."""
        capacity = len(self.buffers[0])
        if not 0 <= rows <= capacity:
            raise ChainError(f"rows published must be 0..{capacity}, was {rows}")
        return int(theo_publish(self.words, rows))

    def read(self, out: Any) -> int:
        """Copy the newest whole set of rows to ``out`` (as long as the table); 0 if there is none yet."""
        if len(out) < len(self.buffers[0]):
            raise ChainError(f"out must have {len(self.buffers[0])} rows, had {len(out)}")
        while True:
            sequence = int(theo_read(self.words, self.buffers[0], self.buffers[1], out))
            if sequence >= 0:
                return sequence

    @property
    def rows(self) -> int:
        """Rows of the newest published set."""
        return int(self.words[ROWS + (int(self.words[PUBLISHED]) & 1)])
