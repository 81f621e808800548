"""A lane's way in, its clock, and how it changes hands."""

from typing import Any

import numpy as np

from fix.codec.decode import decode, decode_heartbeat
from fix.codec.fields import StopReason
from fix.lane.layout import (
    A_FRAMES,
    A_RECEIVE,
    BYTES_IN,
    END,
    FD,
    HEARTBEAT_NS,
    HEARTBEATS_IN,
    LANE_FRAMES,
    LANE_WORDS,
    LEAVING,
    MESSAGES_IN,
    NEED_MORE,
    NEXT_IN,
    OWNER,
    PENDING_BYTES,
    PENDING_FRAMES,
    PENDING_MESSAGES,
    RECEIVE_BYTES,
    RECEIVED_NEW,
    RECEIVED_NS,
    SENT_NEW,
    SENT_NS,
    SHIFT_NS,
    SILENCE_NS,
    SLACK_BYTES,
    START,
    TAIL_END,
    TICKED_NS,
    WISH,
    LaneOwner,
    LaneReason,
)
from fix.lane.parts import HOT, RETURNED, leave, link_of, symbols_of
from fix.lane.sending import flush_tail, say_heartbeat
from fix.lane.storing import store_next_in
from market.arrays import bytes_at, frames_at, words_at
from market.atomics import (
    EAGAIN,
    EINTR,
    MSG_DONTWAIT,
    c_errno,
    c_move,
    c_recv,
    compare_exchange,
    cpu_pause,
    load_acquire,
)
from market.jit import kernel

_OFFERED, _COLD = np.int64(LaneOwner.OFFERED), np.int64(LaneOwner.COLD)
_WISH, _MESSAGE, _EOF = np.int64(LaneReason.WISH), np.int64(LaneReason.MESSAGE), np.int64(LaneReason.EOF)
_SOCKET_ERROR, _TIMEOUT = np.int64(LaneReason.SOCKET_ERROR), np.int64(LaneReason.TIMEOUT)
_SEND_ERROR = np.int64(LaneReason.SEND_ERROR)
_NEED_MORE = np.int64(StopReason.NEED_MORE)
_BUFFER = np.int64(RECEIVE_BYTES)
_LOADABLE = np.int64(RECEIVE_BYTES + SLACK_BYTES)
_LEAST_FREE = np.int64(RECEIVE_BYTES // 4)
_FRAMES = np.int64(LANE_FRAMES)
_DONTWAIT = np.int32(MSG_DONTWAIT)
_GONE = np.int64(-1)

# ------------------------------------------------------------------ changing hands


@kernel
def lane_owner(lanes: Any, k: int) -> int:
    """:class:`LaneOwner` of lane ``k``. Any thread."""
    return load_acquire(lanes, k * LANE_WORDS + OWNER)


@kernel
def lane_accept(lanes: Any, k: int, handled: int, last_cold: int) -> None:
    """Take an offered lane, once all that this thread sent the cold way before (``last_cold``) is handled."""
    b = k * LANE_WORDS
    if load_acquire(lanes, b + OWNER) == _OFFERED and handled >= last_cold:
        compare_exchange(lanes, b + OWNER, _OFFERED, HOT)


@kernel
def lane_withdraw(lanes: Any, k: int) -> bool:
    """Asyncio: take an offer back; False when the step thread was faster."""
    return compare_exchange(lanes, k * LANE_WORDS + OWNER, _OFFERED, _COLD)


@kernel
def lane_heed(lanes: Any, k: int) -> bool:
    """Give the lane back if asyncio has asked for it; whether it is still this thread's to use."""
    b = k * LANE_WORDS
    if load_acquire(lanes, b + OWNER) != HOT or lanes[b + LEAVING] != 0:
        return False
    if load_acquire(lanes, b + WISH) != 0:
        leave(lanes, b, _WISH)
        return False
    return True


@kernel
def lane_take_back(lanes: Any, k: int) -> bool:
    """Give the lane back where no other thread plays the step; False while frames of it are in hand."""
    b = k * LANE_WORDS
    if load_acquire(lanes, b + OWNER) == HOT:
        leave(lanes, b, _WISH)
    return load_acquire(lanes, b + OWNER) == RETURNED


@kernel
def lane_wait(lanes: Any, k: int, spins: int) -> bool:
    """Asyncio: spin until the lane is returned; False when ``spins`` ran out."""
    for _ in range(spins):
        if load_acquire(lanes, k * LANE_WORDS + OWNER) == RETURNED:
            return True
        cpu_pause()
    return False


# ------------------------------------------------------------------ receiving


@kernel
def _receive(lanes: Any, b: int) -> bool:
    """Read from the socket; False when there is nothing, or the lane was given back."""
    start = lanes[b + START]
    end = lanes[b + END]
    if start == end:
        start = np.int64(0)
        end = np.int64(0)
    elif _BUFFER - end < _LEAST_FREE:
        buffer = lanes[b + A_RECEIVE]
        c_move(np.uintp(buffer), np.uintp(buffer + start), np.uintp(end - start))
        end -= start
        start = np.int64(0)
    lanes[b + START] = start
    lanes[b + END] = end
    got = np.int64(
        c_recv(np.int32(lanes[b + FD]), np.uintp(lanes[b + A_RECEIVE] + end), np.uintp(_BUFFER - end), _DONTWAIT)
    )
    if got > 0:
        lanes[b + END] = end + got
        lanes[b + BYTES_IN] += got
        lanes[b + NEED_MORE] = 0
        return True
    if got == 0:
        leave(lanes, b, _EOF)
        return False
    error = c_errno()
    if error != EAGAIN and error != EINTR:
        leave(lanes, b, _SOCKET_ERROR)
    return False


@kernel
def _take(lanes: Any, b: int, size: int, messages: int) -> None:
    """``messages`` of ``size`` bytes have done what they do."""
    lanes[b + START] += size
    lanes[b + NEXT_IN] += messages
    lanes[b + RECEIVED_NEW] = 1
    store_next_in(lanes, b, lanes[b + NEXT_IN])


@kernel
def _decode(lanes: Any, b: int, stamp_ns: int) -> int:
    """Frames of the bytes in hand, which are then pending; 0: none yet; -1: the lane was given back."""
    link = link_of(lanes, b)
    buffer = bytes_at(lanes[b + A_RECEIVE], _LOADABLE)
    while lanes[b + START] < lanes[b + END]:
        start = lanes[b + START]
        end = lanes[b + END]
        consumed, frames, messages, stop = decode(
            link, symbols_of(lanes, b), buffer, start, end, lanes[b + NEXT_IN], stamp_ns,
            frames_at(lanes[b + A_FRAMES], _FRAMES),
        )  # fmt: skip
        if frames > 0:
            lanes[b + PENDING_FRAMES] = frames
            lanes[b + PENDING_MESSAGES] = messages
            lanes[b + PENDING_BYTES] = consumed
            lanes[b + NEED_MORE] = 1 if stop == _NEED_MORE else 0
            return frames
        if messages > 0:
            lanes[b + MESSAGES_IN] += messages
            _take(lanes, b, consumed, messages)
        elif stop == _NEED_MORE:
            break
        else:
            size = decode_heartbeat(link, buffer, start, end, lanes[b + NEXT_IN], stamp_ns)
            if size == 0:
                leave(lanes, b, _MESSAGE)
                return _GONE
            lanes[b + HEARTBEATS_IN] += 1
            _take(lanes, b, size, np.int64(1))
    lanes[b + NEED_MORE] = 1
    return 0


@kernel
def lane_receive(lanes: Any, k: int, now_ns: int) -> int:
    """Frames that the peer has sent, now in the lane's hands: at most LANE_FRAMES, 0 for none.

    They count as received only by :func:`lane_taken`; until then the same ones are named again, and
    the lane cannot be given back. So call it where that many whole steps can be journaled.
    Plain Heartbeats are counted here; anything that ``decode`` hands over gives the lane back, with
    the message still unread. The socket is read when the bytes in hand hold no whole message.
    """
    b = k * LANE_WORDS
    if lanes[b + PENDING_FRAMES] > 0 and load_acquire(lanes, b + OWNER) == HOT:
        return lanes[b + PENDING_FRAMES]
    if not lane_heed(lanes, k):
        return 0
    if lanes[b + TAIL_END] > 0 and not flush_tail(lanes, b):
        leave(lanes, b, _SEND_ERROR)
        return 0
    stamp_ns = now_ns + lanes[b + SHIFT_NS]
    while True:
        if lanes[b + NEED_MORE] == 0:
            frames = _decode(lanes, b, stamp_ns)
            if frames != 0:
                return max(frames, 0)
        if not _receive(lanes, b):
            return 0


@kernel
def lane_frame(lanes: Any, k: int, row: int, cells: Any, at: int) -> None:
    """Copy pending frame ``row`` to ``cells[at]`` (int64[n, 16])."""
    frame = words_at(lanes[k * LANE_WORDS + A_FRAMES] + 128 * row, np.int64(16))
    for word in range(16):
        cells[at, word] = frame[word]


@kernel
def lane_taken(lanes: Any, k: int) -> None:
    """The pending frames are journaled and applied: the peer's numbers move, and a lane that waits to leave leaves."""
    b = k * LANE_WORDS
    if lanes[b + PENDING_FRAMES] == 0:
        return
    lanes[b + MESSAGES_IN] += lanes[b + PENDING_MESSAGES]
    _take(lanes, b, lanes[b + PENDING_BYTES], lanes[b + PENDING_MESSAGES])
    lanes[b + PENDING_FRAMES] = 0
    lanes[b + PENDING_MESSAGES] = 0
    lanes[b + PENDING_BYTES] = 0
    reason = lanes[b + LEAVING]
    if reason != 0:
        leave(lanes, b, reason)


# ------------------------------------------------------------------ time


@kernel
def _look(lanes: Any, b: int, now_ns: int) -> None:
    """Date what was sent and received since the last look."""
    if lanes[b + TICKED_NS] == 0:
        lanes[b + SENT_NS] = now_ns - lanes[b + SENT_NS]
        lanes[b + RECEIVED_NS] = now_ns - lanes[b + RECEIVED_NS]
    if lanes[b + SENT_NEW] != 0:
        lanes[b + SENT_NS] = now_ns
        lanes[b + SENT_NEW] = 0
    if lanes[b + RECEIVED_NEW] != 0:
        lanes[b + RECEIVED_NS] = now_ns
        lanes[b + RECEIVED_NEW] = 0
    lanes[b + TICKED_NS] = now_ns


@kernel
def lane_tick(lanes: Any, k: int, now_ns: int) -> None:
    """About every millisecond: a wish, unsent bytes, our Heartbeat, the peer's silence.

    A silent peer gives the lane back; whether it is asked or given up is the session machine's.
    """
    b = k * LANE_WORDS
    if not lane_heed(lanes, k):
        return
    _look(lanes, b, now_ns)
    if not flush_tail(lanes, b):
        leave(lanes, b, _SEND_ERROR)
        return
    if lanes[b + HEARTBEAT_NS] == 0:
        return
    if now_ns - lanes[b + RECEIVED_NS] >= lanes[b + SILENCE_NS]:
        leave(lanes, b, _TIMEOUT)
    elif now_ns - lanes[b + SENT_NS] >= lanes[b + HEARTBEAT_NS]:
        say_heartbeat(lanes, b, now_ns + lanes[b + SHIFT_NS])
        _look(lanes, b, now_ns)
