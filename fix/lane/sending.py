"""A lane's way out: throttle, encode, store, ``send``; what the socket does not take is kept in order."""

from typing import Any

import numpy as np

from fix.codec.encode import encode_heartbeat, encode_orders
from fix.codec.views import orders_of
from fix.codec.writing import MESSAGE_ROOM
from fix.lane.layout import (
    A_ENDS,
    A_OUT,
    A_TAIL,
    BYTES_OUT,
    FD,
    HEARTBEATS_OUT,
    LANE_BATCH,
    LANE_WORDS,
    LEAVING,
    MESSAGES_OUT,
    NEXT_OUT,
    OWNER,
    PARTIAL_SENDS,
    SENT_NEW,
    SHIFT_NS,
    SLACK_BYTES,
    TAIL_BYTES,
    TAIL_END,
    TAIL_LIMIT,
    TAIL_START,
    LaneReason,
)
from fix.lane.parts import HOT, leave, link_of, symbols_of
from fix.lane.storing import may_store, store_messages
from fix.lane.throttling import grant
from market.arrays import bytes_at, frames_at, words_at
from market.atomics import EAGAIN, EINTR, MSG_DONTWAIT, MSG_NOSIGNAL, c_errno, c_move, c_send, load_acquire
from market.jit import kernel

_FLAGS = np.int32(MSG_DONTWAIT | MSG_NOSIGNAL)
_OUT_BYTES = np.int64(LANE_BATCH * MESSAGE_ROOM + SLACK_BYTES)
_BATCH = np.int64(LANE_BATCH)
_ROOM = np.int64(MESSAGE_ROOM)
_TAIL = np.int64(TAIL_BYTES)
_SEND_ERROR, _BACKLOG = np.int64(LaneReason.SEND_ERROR), np.int64(LaneReason.BACKLOG)
_THROTTLE, _STORE, _ENCODE = np.int64(LaneReason.THROTTLE), np.int64(LaneReason.STORE), np.int64(LaneReason.ENCODE)


@kernel
def _send(lanes: Any, b: int, address: int, size: int) -> int:
    """Bytes that the socket has taken, 0 when it takes none now; -1 when it is broken."""
    sent = np.int64(c_send(np.int32(lanes[b + FD]), np.uintp(address), np.uintp(size), _FLAGS))
    if sent >= 0:
        return sent
    error = c_errno()
    return 0 if error == EAGAIN or error == EINTR else -1


@kernel
def flush_tail(lanes: Any, b: int) -> bool:
    """Offer the unsent bytes to the socket again; False when it is broken."""
    start = lanes[b + TAIL_START]
    size = lanes[b + TAIL_END] - start
    if size == 0:
        return True
    sent = _send(lanes, b, lanes[b + A_TAIL] + start, size)
    if sent < 0:
        return False
    if sent == size:
        lanes[b + TAIL_START] = 0
        lanes[b + TAIL_END] = 0
    else:
        lanes[b + TAIL_START] = start + sent
    return True


@kernel
def _keep(lanes: Any, b: int, address: int, size: int) -> None:
    """Put bytes behind the unsent ones; the caller has seen to the room."""
    start = lanes[b + TAIL_START]
    end = lanes[b + TAIL_END]
    if end + size > _TAIL:
        tail = lanes[b + A_TAIL]
        c_move(np.uintp(tail), np.uintp(tail + start), np.uintp(end - start))
        end -= start
        lanes[b + TAIL_START] = 0
    c_move(np.uintp(lanes[b + A_TAIL] + end), np.uintp(address), np.uintp(size))
    lanes[b + TAIL_END] = end + size


@kernel
def _put_out(lanes: Any, b: int, size: int) -> bool:
    """Send what was encoded, behind what is unsent; False when the socket is broken. No byte is dropped."""
    address = lanes[b + A_OUT]
    lanes[b + BYTES_OUT] += size
    lanes[b + SENT_NEW] = 1
    sent = np.int64(0)
    if lanes[b + TAIL_END] == 0:
        sent = _send(lanes, b, address, size)
        if sent == size:
            return True
    if sent < 0:
        _keep(lanes, b, address, size)
        return False
    lanes[b + PARTIAL_SENDS] += 1
    behind = lanes[b + TAIL_END] > 0
    _keep(lanes, b, address + sent, size - sent)
    return flush_tail(lanes, b) if behind else True


@kernel
def say_heartbeat(lanes: Any, b: int, stamp_ns: int) -> None:
    """Store and send a Heartbeat."""
    out = bytes_at(lanes[b + A_OUT], _OUT_BYTES)
    ends = words_at(lanes[b + A_ENDS], _BATCH)
    size = encode_heartbeat(link_of(lanes, b), lanes[b + NEXT_OUT], stamp_ns, out, ends)
    if not may_store(lanes, b, size, np.int64(1), stamp_ns):
        leave(lanes, b, _STORE)
        return
    if lanes[b + TAIL_END] - lanes[b + TAIL_START] + size > _TAIL:
        leave(lanes, b, _BACKLOG)
        return
    store_messages(lanes, b, out, size, ends, np.int64(1), stamp_ns)
    lanes[b + HEARTBEATS_OUT] += 1
    if not _put_out(lanes, b, size):
        leave(lanes, b, _SEND_ERROR)


@kernel
def _send_batch(lanes: Any, b: int, orders: Any, first: int, count: int, stamp_ns: int) -> int:
    """Send up to ``count`` rows as one write; rows done, and the lane is given back where it is less."""
    room = (_TAIL - (lanes[b + TAIL_END] - lanes[b + TAIL_START])) // _ROOM
    count = min(count, room)
    if count < 1:
        leave(lanes, b, _BACKLOG)
        return 0
    out = bytes_at(lanes[b + A_OUT], _OUT_BYTES)
    ends = words_at(lanes[b + A_ENDS], _BATCH)
    size, messages, _ = encode_orders(
        link_of(lanes, b), symbols_of(lanes, b), orders, first, count, lanes[b + NEXT_OUT], stamp_ns, out, ends
    )
    if messages < 1:
        leave(lanes, b, _ENCODE)
        return 0
    if not may_store(lanes, b, size, messages, stamp_ns):
        leave(lanes, b, _STORE)
        return 0
    granted = grant(lanes, b, orders, first, messages)
    if granted > 0:
        size = ends[granted - 1]
        store_messages(lanes, b, out, size, ends, granted, stamp_ns)
        lanes[b + MESSAGES_OUT] += granted
        if not _put_out(lanes, b, size):
            leave(lanes, b, _SEND_ERROR)
            return granted
    if granted < messages:
        leave(lanes, b, _THROTTLE)
    elif lanes[b + TAIL_END] - lanes[b + TAIL_START] > lanes[b + TAIL_LIMIT]:
        leave(lanes, b, _BACKLOG)
    return granted


@kernel
def lane_send(lanes: Any, k: int, cells: Any, first: int, count: int, now_ns: int) -> int:
    """Send ORDER rows ``cells[first:first+count]`` (int64[n, 16]); how many were stored and are on their way.

    Fewer than ``count``: the lane is given back, at once or at ``lane_taken``; the rest goes the
    cold way, which puts it behind these. Each row is stored before it is sent; rows are sent in order,
    and a number is used by no more than one. Step thread, or whoever plays it; ``now_ns`` is the driver's
    clock.
    """
    b = k * LANE_WORDS
    if load_acquire(lanes, b + OWNER) != HOT:
        return 0
    stamp_ns = now_ns + lanes[b + SHIFT_NS]
    orders = orders_of(frames_at(np.int64(cells.ctypes.data), np.int64(cells.shape[0])))
    done = np.int64(0)
    while done < count and lanes[b + LEAVING] == 0 and lanes[b + OWNER] == HOT:
        done += _send_batch(lanes, b, orders, first + done, min(count - done, _BATCH), stamp_ns)
    return done
