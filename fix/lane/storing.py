"""Append to the message store's window: the bytes and the order of ``MessageStore.append_batch``.

The entry's magic is written last, so that one which a kill has cut short is never taken for an
entry; then index, ``next_out`` and the length, as the store itself does it.
"""

from typing import Any

import numpy as np

from fix.codec.words import store_u64
from fix.lane.crc import crc32
from fix.lane.layout import (
    A_NEXT_DATA,
    A_NEXT_INDEX,
    A_STORE_DATA,
    A_STORE_FAILED,
    A_STORE_INDEX,
    A_STORE_WORDS,
    LANE_WORDS,
    N_NEXT_INDEX,
    N_STORE_INDEX,
    NEXT_BASE,
    NEXT_END,
    NEXT_LENT,
    NEXT_OUT,
    STORE_AT,
    STORE_BASE,
    STORE_DAY_END_NS,
    STORE_END,
    STORE_MOVES,
    STORE_PLACE,
    STORE_TAG,
)
from fix.store.layout import ENTRY, ENTRY_MAGIC, WORDS_BYTES, Word
from market.arrays import bytes_at, words_at
from market.atomics import c_move, fence_release, load_acquire, store_release
from market.jit import kernel

_NEXT_IN, _IN_CHECK = int(Word.NEXT_IN), int(Word.NEXT_IN_CHECK)
_NEXT_OUT, _DATA_BYTES = int(Word.NEXT_OUT), int(Word.DATA_BYTES)
_WORDS = WORDS_BYTES // 8
_HEAD = np.int64(ENTRY.size)
_MAGIC = np.uint64(ENTRY_MAGIC)
_32 = np.uint64(32)
_0 = np.uint64(0)


@kernel(inline=True)
def _fits(lanes: Any, b: int, entry: int, messages: int) -> bool:
    return (
        lanes[b + STORE_AT] + entry <= lanes[b + STORE_END]
        and lanes[b + NEXT_OUT] - 1 + messages <= lanes[b + N_STORE_INDEX]
    )


@kernel(internal=True)
def _go_on(lanes: Any, b: int) -> bool:
    """Write in the next window from now on; False when there is none."""
    if load_acquire(lanes, b + NEXT_LENT) == 0 or lanes[b + STORE_AT] < lanes[b + NEXT_BASE]:
        return False
    lanes[b + STORE_BASE] = lanes[b + NEXT_BASE]
    lanes[b + STORE_END] = lanes[b + NEXT_END]
    lanes[b + A_STORE_DATA] = lanes[b + A_NEXT_DATA]
    lanes[b + A_STORE_INDEX] = lanes[b + A_NEXT_INDEX]
    lanes[b + N_STORE_INDEX] = lanes[b + N_NEXT_INDEX]
    lanes[b + STORE_MOVES] += 1
    store_release(lanes, b + NEXT_LENT, np.int64(0))  # the window before may go
    return True


@kernel
def may_store(lanes: Any, b: int, size: int, messages: int, stamp_ns: int) -> bool:
    """Whether ``messages`` of together ``size`` bytes can be stored now; where need be in the next window."""
    if stamp_ns >= lanes[b + STORE_DAY_END_NS] or load_acquire(words_at(lanes[b + A_STORE_FAILED], 1), 0) != 0:
        return False
    entry = _HEAD + 4 * messages + size
    return _fits(lanes, b, entry, messages) or (_go_on(lanes, b) and _fits(lanes, b, entry, messages))


@kernel
def lane_moves(lanes: Any, k: int) -> int:
    """Times that lane ``k`` has gone on in the next window since its promotion. Step thread."""
    return lanes[k * LANE_WORDS + STORE_MOVES]


@kernel
def store_messages(lanes: Any, b: int, out: Any, size: int, ends: Any, messages: int, stamp_ns: int) -> None:
    """Store ``out[:size]``, message k of which ends at ``ends[k]``, as one entry; ``may_store`` was asked."""
    at = lanes[b + STORE_AT]
    data = bytes_at(lanes[b + A_STORE_DATA], lanes[b + STORE_END] - lanes[b + STORE_BASE])
    o = at - lanes[b + STORE_BASE]
    seq = lanes[b + NEXT_OUT]
    store_u64(data, o + 8, np.uint64(seq))
    store_u64(data, o + 16, np.uint64(messages) | (np.uint64(size) << _32))
    store_u64(data, o + 24, _0)
    store_u64(data, o + 32, np.uint64(stamp_ns))
    store_u64(data, o + 40, np.uint64(lanes[b + STORE_TAG]))
    p = o + _HEAD
    for k in range(messages):  # four bytes each; the other four are written over, at last by the payload
        store_u64(data, p, np.uint64(ends[k]))
        p += 4
    c_move(np.uintp(data.ctypes.data + p), np.uintp(out.ctypes.data), np.uintp(size))
    p += size
    crc = crc32(data, o + 8, p)
    fence_release()
    store_u64(data, o, _MAGIC | (crc << _32))
    index = words_at(lanes[b + A_STORE_INDEX], lanes[b + N_STORE_INDEX])
    for k in range(messages):
        index[seq - 1 + k] = lanes[b + STORE_PLACE] | at
    at += p - o
    lanes[b + STORE_AT] = at
    lanes[b + NEXT_OUT] = seq + messages
    words = words_at(lanes[b + A_STORE_WORDS], _WORDS)
    store_release(words, _NEXT_OUT, seq + messages)
    store_release(words, _DATA_BYTES, at)


@kernel
def store_next_in(lanes: Any, b: int, next_in: int) -> None:
    """Remember that everything before ``next_in`` has been taken."""
    words = words_at(lanes[b + A_STORE_WORDS], _WORDS)
    store_release(words, _NEXT_IN, next_in)
    store_release(words, _IN_CHECK, ~next_in)
