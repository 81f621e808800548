"""Identifiers that are functions of (run, sequence): unique for ever, the same on replay.

A ClOrdID is a uint64: run (16 bits), sequence within the run (32 bits), slot in the order arena
(16 bits). The slot is itself determined by the history of the run, so the identifier is; carrying
it makes the lookup of an execution report's order one array access. On the wire it is written as
16 uppercase hexadecimal digits. A venue's identifier that is not of that form is represented by
the FNV-1a hash of its bytes: enough to tell two apart, never sent back.
"""

import numpy as np

from market.jit import kernel

RUN_BITS = 16
SEQUENCE_BITS = 32
SLOT_BITS = 16
MAX_RUN = (1 << RUN_BITS) - 1
MAX_SLOTS = 1 << SLOT_BITS
WIRE_LENGTH = 16

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK64 = (1 << 64) - 1


@kernel(inline=True)
def make_cl_ord_id(run: int, sequence: int, slot: int) -> int:
    """Pack run (1..65535), sequence (0..2**32-1) and slot (0..65535) into a uint64."""
    high = (np.uint64(run) << np.uint64(48)) | (np.uint64(sequence) << np.uint64(16))
    return high | np.uint64(slot)  # type: ignore[return-value]


@kernel(inline=True)
def slot_of(cl_ord_id: int) -> int:
    """Slot in the order arena."""
    return np.int64(np.uint64(cl_ord_id) & np.uint64(0xFFFF))  # type: ignore[return-value]


@kernel(inline=True)
def sequence_of(cl_ord_id: int) -> int:
    """Sequence within the run."""
    return np.int64((np.uint64(cl_ord_id) >> np.uint64(16)) & np.uint64(0xFFFFFFFF))  # type: ignore[return-value]


@kernel(inline=True)
def run_of(cl_ord_id: int) -> int:
    """Run that made it."""
    return np.int64(np.uint64(cl_ord_id) >> np.uint64(48))  # type: ignore[return-value]


def to_wire(identifier: int) -> str:
    """Sixteen uppercase hexadecimal digits."""
    return f"{int(identifier):016X}"


def from_wire(text: str) -> int:
    """Inverse of :func:`to_wire`; any other text gives its FNV-1a 64 hash."""
    if len(text) == WIRE_LENGTH and all(c in "0123456789ABCDEF" for c in text):
        return int(text, 16)
    digest = _FNV_OFFSET
    for byte in text.encode("latin-1", "replace"):
        digest = ((digest ^ byte) * _FNV_PRIME) & _MASK64
    return digest
