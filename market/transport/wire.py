"""Batches of frames as datagrams, for carriers that are not memory.

Eight int64 words, then up to ``BATCH_FRAMES`` frames of 128 bytes, so that a batch fits one Ethernet
packet of Aeron and is never cut up. Every frame of a stream has a number, also those that could not be
sent; the epoch (the publisher's clock when it opened) tells one publisher from the next. From both the
receiver knows what it missed, and puts a void frame where it did.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from market.enums import FrameKind
from market.jit import kernel
from market.rings import FRAME_WORDS, VOID_NS

Words = npt.NDArray[np.int64]

# Words of the header.
B_MAGIC, B_COUNT, B_EPOCH, B_FIRST, B_WALL_NS, B_MARKET_NS, B_SILENCE_NS, B_BOOKS = range(8)
HEADER_WORDS = 8
MAGIC = 0x41584D4241544331  # "AXMBATC1"
BATCH_FRAMES = 10  # 64 + 10 * 128 = 1344 bytes; Aeron's payload is 1376 with the usual MTU
BATCH_WORDS = HEADER_WORDS + BATCH_FRAMES * FRAME_WORDS
ENDED = -1  # B_COUNT of the last word of a publisher

# Words of a receiving link.
(
    L_EPOCH,
    L_NEXT,  # number of the next frame
    L_FRAMES,
    L_GAPS,
    L_MISSED,
    L_RESTARTS,  # publishers that took over from another one
    L_BAD,  # batches that are none
    L_WALL_NS,
    L_MARKET_NS,
    L_SILENCE_NS,
    L_BOOKS,
    L_ENDED,
) = range(12)
LINK_WORDS = 16

_TIMER = np.int64(FrameKind.TIMER)


@kernel
def _void_row(out: Any, at: int) -> None:
    for k in range(FRAME_WORDS):
        out[at, k] = 0
    out[at, 0] = _TIMER
    out[at, 5] = VOID_NS


@kernel
def take_batch(link: Words, data: Words, out: Words, at: int) -> int:
    """Append the frames of one batch to ``out[at:]``; returns the new end. Needs BATCH_FRAMES + 1 free rows.

    ``data`` is what came, as words. Frames seen before, and batches of an earlier publisher, add nothing.
    """
    if len(data) < HEADER_WORDS or data[B_MAGIC] != MAGIC:
        link[L_BAD] += 1
        return at
    count = max(data[B_COUNT], np.int64(0))
    if count > BATCH_FRAMES or len(data) < HEADER_WORDS + count * FRAME_WORDS:
        link[L_BAD] += 1
        return at
    epoch, first = data[B_EPOCH], data[B_FIRST]
    if epoch < link[L_EPOCH]:
        return at
    if epoch > link[L_EPOCH]:
        if link[L_EPOCH] != 0:
            link[L_RESTARTS] += 1
            _void_row(out, at)
            at += 1
        link[L_EPOCH] = epoch
        link[L_NEXT] = first
        link[L_ENDED] = 0
    elif first > link[L_NEXT]:
        link[L_GAPS] += 1
        link[L_MISSED] += first - link[L_NEXT]
        link[L_NEXT] = first
        _void_row(out, at)
        at += 1
    link[L_WALL_NS] = data[B_WALL_NS]
    link[L_MARKET_NS] = data[B_MARKET_NS]
    link[L_SILENCE_NS] = data[B_SILENCE_NS]
    link[L_BOOKS] = data[B_BOOKS]
    if data[B_COUNT] == ENDED:
        link[L_ENDED] = 1
    for k in range(max(link[L_NEXT] - first, np.int64(0)), count):
        base = HEADER_WORDS + k * FRAME_WORDS
        for word in range(FRAME_WORDS):
            out[at, word] = data[base + word]
        at += 1
        link[L_FRAMES] += 1
        link[L_NEXT] = first + k + 1
    return at


class Batches:
    """The sending side's scratch: one batch, filled and numbered."""

    def __init__(self, epoch: int, silence_ns: int, books: int) -> None:
        self.words: Words = np.zeros(BATCH_WORDS, np.int64)
        self.words[[B_MAGIC, B_EPOCH, B_SILENCE_NS, B_BOOKS]] = MAGIC, epoch, silence_ns, books
        self.next = 0
        self._frames = self.words[HEADER_WORDS:].reshape(BATCH_FRAMES, FRAME_WORDS)
        self._bytes = self.words.data.cast("B")

    def fill(self, cells: Words, first: int, count: int) -> memoryview:
        """The batch of ``cells[first:first+count]``; their numbers are used whatever becomes of it."""
        self._frames[:count] = cells[first : first + count]
        return self._finish(count, (HEADER_WORDS + count * FRAME_WORDS) * 8)

    def beat(self, wall_ns: int, market_ns: int) -> memoryview:
        """A batch of no frames."""
        self.words[B_WALL_NS], self.words[B_MARKET_NS] = wall_ns, market_ns
        return self._finish(0, HEADER_WORDS * 8)

    def end(self) -> memoryview:
        """The last word."""
        return self._finish(ENDED, HEADER_WORDS * 8)

    def _finish(self, count: int, size: int) -> memoryview:
        self.words[B_COUNT], self.words[B_FIRST] = count, self.next
        self.next += max(count, 0)
        return self._bytes[:size]
