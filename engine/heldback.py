"""What the step is told of requests that never left: the answers that the venue would have given.

A throttle or a slow peer holds a request back after the step has counted it. Without an answer its order
would hang until reconciliation asked the venue about it; with one the step goes on at once.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.state import Engine
from market.enums import ExecType, FrameKind, OrdStatus
from market.ids import slot_of
from market.records import EXECUTION, as_layout, frames
from market.rings import FRAME_WORDS

#: OrdRejReason(103) and CxlRejReason(102) "other": no venue has said it.
REASON_OTHER = 99


def refusals(engine: Engine, session: int, ids: Iterable[int], now_ns: int) -> npt.NDArray[np.int64]:
    """Frames (int64[n, 16]) that refuse the requests of ``ids``; of an id that nothing waits for there is none."""
    wanted = list(ids)
    cells = frames(len(wanted))
    rows = as_layout(cells, EXECUTION)
    count = 0
    for cl_ord_id in wanted:
        slot = int(slot_of(cl_ord_id))
        if slot < len(engine.orders) and _fill(rows[count], engine.orders[slot], cl_ord_id):
            rows[count]["source"] = rows[count]["session"] = session
            rows[count]["ts_ns"] = rows[count]["recv_ns"] = now_ns
            count += 1
    return cells[:count].reshape(-1).view(np.int64).reshape(count, FRAME_WORDS)


def _fill(row: Any, order: Any, cl_ord_id: int) -> bool:
    """Make ``row`` the refusal of request ``cl_ord_id`` of ``order``; False where the order does not wait for it."""
    status = int(order["status"])
    is_new = int(order["cl_ord_id"]) == cl_ord_id and status == OrdStatus.PENDING_NEW
    if not is_new and int(order["pending_id"]) != cl_ord_id:
        return False
    row["instrument"], row["side"], row["cl_ord_id"] = order["instrument"], order["side"], cl_ord_id
    row["order_qty"], row["cum_qty"], row["reason"] = order["qty"], order["cum_qty"], REASON_OTHER
    if is_new:
        row["kind"], row["exec_type"], row["ord_status"] = FrameKind.EXECUTION, ExecType.REJECTED, OrdStatus.REJECTED
        return True
    stands = OrdStatus.PARTIALLY_FILLED if int(order["cum_qty"]) else OrdStatus.NEW
    row["kind"], row["ord_status"], row["orig_cl_ord_id"] = FrameKind.CANCEL_REJECT, stands, order["cl_ord_id"]
    row["exec_type"] = ExecType.PENDING_REPLACE if int(order["pending_qty"]) else ExecType.PENDING_CANCEL
    return True
