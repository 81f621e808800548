"""The throttle's sliding window in a lane: what :class:`fix.throttle.Throttle` decides, entry for entry."""

from typing import Any

import numpy as np

from fix.lane.layout import (
    A_THROTTLE,
    THROTTLE_COUNT,
    THROTTLE_FIRST,
    THROTTLE_LIMIT,
    THROTTLE_RESERVE,
    THROTTLE_ROOM,
    THROTTLE_USED,
    THROTTLE_WINDOW_NS,
)
from market.arrays import words_at
from market.atomics import monotonic_ns
from market.enums import OrderAction
from market.jit import kernel

_CANCEL, _MASS_CANCEL = np.int64(OrderAction.CANCEL), np.int64(OrderAction.MASS_CANCEL)
_FREE = np.int64(OrderAction.MASS_STATUS)


@kernel
def _expire(lanes: Any, b: int, ring: Any, now_ns: int) -> None:
    horizon = now_ns - lanes[b + THROTTLE_WINDOW_NS]
    room = lanes[b + THROTTLE_ROOM]
    while lanes[b + THROTTLE_COUNT] > 0:
        first = lanes[b + THROTTLE_FIRST]
        if ring[first] > horizon:
            return
        lanes[b + THROTTLE_USED] -= ring[room + first]
        lanes[b + THROTTLE_FIRST] = first + 1 if first + 1 < room else 0
        lanes[b + THROTTLE_COUNT] -= 1


@kernel
def grant(lanes: Any, b: int, orders: Any, first: int, count: int) -> int:
    """How many of ``orders[first:first+count]``, from the first on, may leave now; they are counted as sent."""
    limit = lanes[b + THROTTLE_LIMIT]
    if limit == 0:
        return count
    room = lanes[b + THROTTLE_ROOM]
    ring = words_at(lanes[b + A_THROTTLE], 2 * room)
    now_ns = monotonic_ns()
    _expire(lanes, b, ring, now_ns)
    used = lanes[b + THROTTLE_USED]
    granted = np.int64(0)
    counted = np.int64(0)
    for i in range(first, first + count):
        action = np.int64(orders[i].action)
        if action != _FREE:
            cancel = action == _CANCEL or action == _MASS_CANCEL
            budget = limit if cancel else limit - lanes[b + THROTTLE_RESERVE]
            if used + counted >= budget:
                break
            counted += 1
        granted += 1
    if counted > 0:
        place = (lanes[b + THROTTLE_FIRST] + lanes[b + THROTTLE_COUNT]) % room
        ring[place] = now_ns
        ring[room + place] = counted
        lanes[b + THROTTLE_COUNT] += 1
        lanes[b + THROTTLE_USED] = used + counted
    return granted
