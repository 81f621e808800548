"""Frames out of the step: order commands and events, appended to the output buffer."""

import numpy as np

from engine.handle import Handle, out_cells, out_event, out_header, out_order, out_stamps, scalars
from engine.state import (
    OUTPUT_FRAMES,
    STAMP_DECIDED,
    STAMP_GATED,
    STAMP_WORDS,
    W_LOST_OUTPUT,
    W_NOW,
    W_OUT,
    W_RUN,
    W_SEQUENCE,
)
from market.atomics import clock_ns
from market.enums import FrameKind, OrdType
from market.ids import make_cl_ord_id
from market.jit import kernel

_ORDER = np.int64(FrameKind.ORDER)
_EVENT = np.int64(FrameKind.EVENT)
_LIMIT = np.int64(OrdType.LIMIT)

#: Zero as an argument. numba compiles a callee anew for each literal integer it is given, so codes and
#: zeros are typed constants throughout the step.
ZERO = np.int64(0)


@kernel(internal=True)
def _next_row(e: Handle, kind: int) -> int:
    """Clear and head the next output frame; -1 when the buffer is full (sized so that it never is)."""
    row = scalars(e)[W_OUT]
    if row >= OUTPUT_FRAMES:
        scalars(e)[W_LOST_OUTPUT] += 1
        return -1
    for k in range(16):
        out_cells(e)[row, k] = 0
    for k in range(STAMP_WORDS):
        out_stamps(e)[STAMP_WORDS * row + k] = 0
    out_header(e)[row].kind = kind
    out_header(e)[row].ts_ns = scalars(e)[W_NOW]
    out_header(e)[row].recv_ns = scalars(e)[W_NOW]
    scalars(e)[W_OUT] = row + 1
    return row


@kernel(inline=True)
def new_id(e: Handle, slot: int) -> int:
    """Next ClOrdID of this run for ``slot``."""
    scalars(e)[W_SEQUENCE] += 1
    return make_cl_ord_id(scalars(e)[W_RUN], scalars(e)[W_SEQUENCE], slot)


@kernel(internal=True)
def emit_request(e: Handle, action: int, session: int, cl_ord_id: int, slot: int) -> int:
    """Head an ORDER frame for ``session``; returns its row for the caller to fill, -1 if lost."""
    row = _next_row(e, _ORDER)
    if row < 0:
        return row
    frame = out_order(e)[row]
    frame.session = session
    frame.action = action
    frame.ord_type = _LIMIT
    frame.cl_ord_id = np.uint64(cl_ord_id)
    frame.tick_ns = scalars(e)[W_NOW]
    frame.slot = slot
    return row


@kernel(inline=True)
def stamp_request(e: Handle, row: int, decided: int) -> None:
    """Note when a request was decided on (monotonic clock), and that it is through the gate now. Telemetry."""
    if row >= 0:
        out_stamps(e)[STAMP_WORDS * row + STAMP_DECIDED] = decided
        out_stamps(e)[STAMP_WORDS * row + STAMP_GATED] = clock_ns(1)


@kernel(internal=True)
def emit_event(
    e: Handle, code: int, scope: int, target: int, cl_ord_id: int, value: float, bound: float, ref: int
) -> None:
    """Say something to people; see engine.events and risk.denials for the codes."""
    row = _next_row(e, _EVENT)
    if row < 0:
        return
    frame = out_event(e)[row]
    frame.code = code
    frame.scope = scope
    frame.target = target
    frame.cl_ord_id = np.uint64(cl_ord_id)
    frame.value = value
    frame.bound = bound
    frame.ref = np.uint64(ref)
