"""What every kernel of a lane needs: its arrays, and giving the lane back."""

from typing import Any

import numpy as np

from fix.codec.link import TEXT_BYTES, WORDS, LinkState
from fix.codec.symbols import SymbolState
from fix.lane.layout import (
    A_LINK_TEXT,
    A_LINK_WORDS,
    A_ROWS,
    A_SHIFT,
    A_SLOTS,
    LEAVING,
    N_ROWS,
    N_SLOTS,
    OWNER,
    PENDING_FRAMES,
    REASON,
    LaneOwner,
)
from market.arrays import bytes_at, ints_at, lines_at, words_at
from market.atomics import store_release
from market.jit import kernel

HOT, RETURNED = np.int64(LaneOwner.HOT), np.int64(LaneOwner.RETURNED)


@kernel(inline=True)
def link_of(lanes: Any, b: int) -> LinkState:
    """The codec's words and texts of the lane at word ``b``."""
    return LinkState(words_at(lanes[b + A_LINK_WORDS], WORDS), bytes_at(lanes[b + A_LINK_TEXT], TEXT_BYTES))


@kernel(inline=True)
def symbols_of(lanes: Any, b: int) -> SymbolState:
    """The symbol table of the lane at word ``b``."""
    return SymbolState(
        ints_at(lanes[b + A_SLOTS], lanes[b + N_SLOTS]),
        lines_at(lanes[b + A_ROWS], lanes[b + N_ROWS]),
        words_at(lanes[b + A_SHIFT], 1),
    )


@kernel
def leave(lanes: Any, b: int, reason: int) -> None:
    """Give the lane back: now, or once the frames in hand are taken."""
    if lanes[b + PENDING_FRAMES] > 0:
        if lanes[b + LEAVING] == 0:
            lanes[b + LEAVING] = reason
        return
    lanes[b + REASON] = reason
    store_release(lanes, b + OWNER, RETURNED)
