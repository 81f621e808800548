"""What a start owes the clients of the run before it, after whatever ending that had.

Two things. Reports that were logged but did not reach a client's message store (the venue died
between the two writes, or while they waited in the delay line) are stored now under new
MsgSeqNums. Orders that the log leaves open are canceled, since the books start empty: a report for
each goes into the log and the store. The client gets both by resend when it logs on.
"""

from typing import Any

import numpy as np

from market import records
from market.enums import ExecType, FrameKind, OrdStatus
from simulator.matching.arena import SLOT_BITS
from simulator.tradelog import LogContents, open_orders
from simulator.venue.settings import FIRST_CLIENT


def next_generation(contents: LogContents) -> int:
    """First order generation above every OrderID that the log holds, so that none is given twice."""
    order_ids = contents.executions["order_id"]
    return int(order_ids.max() >> np.uint64(SLOT_BITS)) + 1 if len(order_ids) else 1


def unsent_reports(contents: LogContents, owner: int, last_position: int) -> tuple[Any, int]:
    """Reports of ``owner`` behind ``last_position`` of the log, and the position of the last one.

    Returned as uint8[n, 128]; ``poss_dup`` is left as it was, since each is a first delivery.
    """
    rows, positions = contents.executions, contents.positions
    wanted = (rows["session"] == owner) & (positions > last_position)
    found = rows[wanted]
    last = int(positions[wanted][-1]) if len(found) else last_position
    return found.view(np.uint8).reshape(len(found), records.FRAME_BYTES), last


def restart_cancels(contents: LogContents, exec_id: int, market_ns: int, wall_ns: int) -> Any:
    """CANCELED reports (uint8[n, 128]) for all orders of clients that the log leaves open.

    ExecIDs count up from ``exec_id``. Participants without FIX begin anew: nobody waits for theirs.
    """
    rows = contents.executions
    cancels = []
    for owner in np.unique(rows["session"]):
        if owner < FIRST_CLIENT:
            continue
        for order_id in open_orders(contents, int(owner)):
            same = (rows["order_id"] == order_id) & (rows["kind"] == FrameKind.EXECUTION)
            cancels.append(np.flatnonzero(same)[-1])
    out = rows[np.sort(np.array(cancels, np.int64))].copy()
    out["exec_type"], out["ord_status"] = ExecType.CANCELED, OrdStatus.CANCELED
    out["leaves_qty"], out["last_qty"], out["last_ticks"], out["commission_e4"] = 0, 0, 0, 0
    out["orig_cl_ord_id"], out["jseq"], out["reason"] = 0, 0, 0
    out["exec_id"] = np.arange(exec_id, exec_id + len(out))
    out["ts_ns"], out["recv_ns"] = market_ns, wall_ns
    return out.view(np.uint8).reshape(len(out), records.FRAME_BYTES)
