"""From received bytes to frames: the hot path's way in.

``decode`` takes what is steady: whole, right, expected, ours. It stops *before* the first message
that is anything else, so that the session machine, which knows every rule, sees that message and
all after it. ``decode_one`` is for that machine's side: it decodes a message that has already
been accepted (a resend, a late one) to the same frames.
"""

from typing import Any

import numpy as np

from fix.codec.fields import HandOver, Role, Slot, StopReason, slot_bits
from fix.codec.frame import NEED_MORE, TRAILER_BYTES, find_message, index_fields, message_type, same_text, scan_fields
from fix.codec.link import (
    CHECK_LATENCY_NS,
    HAND_OVER_CODE,
    HAND_OVER_TAG,
    IN_SENDER,
    IN_SENDER_BYTES,
    IN_TARGET,
    IN_TARGET_BYTES,
    ROLE,
    VALUE_AT,
    VALUE_SIZE,
    LinkState,
)
from fix.codec.market_data import TYPE_INCREMENTAL, TYPE_SNAPSHOT, decode_incremental, decode_snapshot
from fix.codec.orders import TYPE_CANCEL, TYPE_MASS_CANCEL, TYPE_MASS_STATUS, TYPE_NEW, TYPE_REPLACE, decode_order
from fix.codec.reports import char_value, decode_cancel_reject, decode_report, has
from fix.codec.symbols import SymbolState
from fix.codec.values import time_value, uint_value
from fix.codec.views import executions_of, orders_of, quotes_of
from market.jit import kernel

TYPE_REPORT, TYPE_REJECT = np.int64(ord("8")), np.int64(ord("9"))
TYPE_HEARTBEAT = np.int64(ord("0"))
# ``next_in`` of a message that the session machine has accepted already: no role, peer or sequence
# check. Far from every MsgSeqNum, so that a wrong one never means it.
_ACCEPTED = np.int64(-(1 << 62))

_MESSAGE_TYPE = np.int64(-HandOver.MESSAGE_TYPE)
_STRUCTURE = np.int64(-HandOver.STRUCTURE)
_MISSING_FIELD = np.int64(-HandOver.MISSING_FIELD)
_COMP_ID = np.int64(-HandOver.COMP_ID)
_SEQUENCE = np.int64(-HandOver.SEQUENCE)
_POSSIBLE_DUPLICATE = np.int64(-HandOver.POSSIBLE_DUPLICATE)
_SENDING_TIME = np.int64(-HandOver.SENDING_TIME)
_TOO_LARGE = np.int64(-HandOver.TOO_LARGE)
_STOP_NEED_MORE, _STOP_HAND_OVER = np.int64(StopReason.NEED_MORE), np.int64(StopReason.HAND_OVER)
_STOP_OUT_FULL = np.int64(StopReason.OUT_FULL)
_CLIENT, _VENUE = np.int64(Role.CLIENT), np.int64(Role.VENUE)
_SENDER, _TARGET, _SEQ = np.int64(Slot.SENDER_COMP_ID), np.int64(Slot.TARGET_COMP_ID), np.int64(Slot.MSG_SEQ_NUM)
_SENDING, _DUP, _RESEND = np.int64(Slot.SENDING_TIME), np.int64(Slot.POSS_DUP_FLAG), np.int64(Slot.POSS_RESEND)
_HEADER_FIELDS = slot_bits(Slot.MSG_TYPE, Slot.SENDER_COMP_ID, Slot.TARGET_COMP_ID, Slot.MSG_SEQ_NUM, Slot.SENDING_TIME)
_HEARTBEAT_FIELDS = 5  # MsgType, SenderCompID, TargetCompID, MsgSeqNum, SendingTime
_YES, _NO = 89, 78
_0 = np.uint64(0)
_DUP_BITS = slot_bits(Slot.POSS_DUP_FLAG, Slot.POSS_RESEND)


@kernel
def _is_hot(role: int, msg_type: int) -> bool:
    """Whether ``decode`` takes this type in this role."""
    if role == _CLIENT:
        return (
            msg_type == TYPE_REPORT
            or msg_type == TYPE_REJECT
            or msg_type == TYPE_SNAPSHOT
            or msg_type == TYPE_INCREMENTAL
        )
    if role == _VENUE:
        return (
            msg_type == TYPE_NEW or msg_type == TYPE_CANCEL or msg_type == TYPE_REPLACE or msg_type == TYPE_MASS_CANCEL
        )
    return False


@kernel
def _is_command(msg_type: int) -> bool:
    """Whether it is decoded to an ORDER frame."""
    return _is_hot(_VENUE, msg_type) or msg_type == TYPE_MASS_STATUS


@kernel
def _flag(words: Any, buf: Any, seen: Any, slot: int) -> int:
    """1 for Y, 0 for N or absent, -STRUCTURE for anything else."""
    if not has(seen, slot):
        return 0
    value = char_value(words, buf, slot)
    if value == _YES:
        return 1
    return 0 if value == _NO else _STRUCTURE


@kernel
def _header(words: Any, buf: Any, seen: Any) -> Any:
    """``(msg_seq or -HandOver, sending_ns, poss_dup)`` of an indexed message."""
    if (seen & _HEADER_FIELDS) != _HEADER_FIELDS:
        return _MISSING_FIELD, np.int64(0), np.int64(0)
    msg_seq = uint_value(buf, words[VALUE_AT + _SEQ], words[VALUE_SIZE + _SEQ])
    if msg_seq < 1:
        return _SEQUENCE, np.int64(0), np.int64(0)
    sending_ns = time_value(words, buf, words[VALUE_AT + _SENDING], words[VALUE_SIZE + _SENDING])
    if sending_ns < 0:
        return _SENDING_TIME, np.int64(0), np.int64(0)
    poss_dup = np.int64(0)
    if (seen & _DUP_BITS) != _0:
        dup = _flag(words, buf, seen, _DUP)
        resend = _flag(words, buf, seen, _RESEND)
        if dup < 0 or resend < 0:
            return _STRUCTURE, np.int64(0), np.int64(0)
        poss_dup = dup | resend
    return msg_seq, sending_ns, poss_dup


@kernel
def _refusal(words: Any, buf: Any, next_in: int, now_ns: int, msg_seq: int, sending_ns: int, poss_dup: int) -> int:
    """0 where the header is the next one of this session, else -HandOver."""
    sender_size = words[VALUE_SIZE + _SENDER]
    target_size = words[VALUE_SIZE + _TARGET]
    if not same_text(words, buf, words[VALUE_AT + _SENDER], sender_size, IN_SENDER, words[IN_SENDER_BYTES]):
        return _COMP_ID
    if not same_text(words, buf, words[VALUE_AT + _TARGET], target_size, IN_TARGET, words[IN_TARGET_BYTES]):
        return _COMP_ID
    if poss_dup != 0:
        return _POSSIBLE_DUPLICATE
    if msg_seq != next_in:
        return _SEQUENCE
    limit = words[CHECK_LATENCY_NS]
    if limit > 0 and abs(now_ns - sending_ns) > limit:
        return _SENDING_TIME
    return 0


@kernel
def _decode_message(
    words: Any, symbols: SymbolState, buf: Any, start: int, body: int, body_end: int, next_in: int, now_ns: int,
    out: Any, row: int,
) -> int:  # fmt: skip
    """One framed message: frames written from ``row`` on, 0 where there is no room, or -HandOver."""
    words[HAND_OVER_TAG] = 0
    accepted = next_in == _ACCEPTED
    msg_type = message_type(buf, body)
    command = _is_command(msg_type)
    if accepted:
        if not (command or _is_hot(_CLIENT, msg_type)):
            return _MESSAGE_TYPE
    elif not _is_hot(words[ROLE], msg_type):
        return _MESSAGE_TYPE
    fields = scan_fields(words, buf, start, body, body_end)
    if fields < 0:
        return fields
    field, seen = index_fields(words, buf, body, fields, command)
    if field < 0:
        return field
    msg_seq, sending_ns, poss_dup = _header(words, buf, seen)
    if msg_seq < 0:
        return msg_seq
    if not accepted:
        refusal = _refusal(words, buf, next_in, now_ns, msg_seq, sending_ns, poss_dup)
        if refusal != 0:
            return refusal
    if row >= out.shape[0]:
        return 0
    if msg_type == TYPE_REPORT:
        rows = executions_of(out)
        return decode_report(words, symbols, buf, seen, msg_seq, sending_ns, now_ns, poss_dup, rows, row)
    if msg_type == TYPE_REJECT:
        rows = executions_of(out)
        return decode_cancel_reject(words, buf, seen, msg_seq, sending_ns, now_ns, poss_dup, rows, row)
    if command:
        return decode_order(
            words, symbols, buf, seen, msg_type, msg_seq, sending_ns, now_ns, accepted, orders_of(out), row
        )
    quotes = quotes_of(out)
    if msg_type == TYPE_SNAPSHOT:
        return decode_snapshot(words, symbols, buf, seen, field, fields, msg_seq, sending_ns, now_ns, quotes, row)
    return decode_incremental(words, symbols, buf, seen, field, fields, msg_seq, sending_ns, now_ns, quotes, row)


@kernel
def decode(
    link: LinkState, symbols: SymbolState, buf: Any, start: int, end: int, next_in: int, now_ns: int, out: Any
) -> tuple[int, int, int, int]:
    """Decode consecutive steady messages of ``buf[start:end]`` into ``out``.

    ``buf`` uint8[] (writable, else numba compiles once more), ``out`` uint8[n, 128] (C order; row k
    is EXECUTION, QUOTE or ORDER by its kind), ``next_in`` the expected MsgSeqNum, ``now_ns`` UTC
    nanoseconds (becomes ``recv_ns``; compared with SendingTime). Returns ``(consumed, frames,
    messages, stop)``: bytes consumed from ``start``, rows written, MsgSeqNums consumed, StopReason.

    Every consumed message had a right BodyLength, CheckSum, SenderCompID, TargetCompID and MsgSeqNum,
    no PossDupFlag or PossResend, and a type of this role; 8, 9, D, F, G, q give one frame, W and X
    one a symbol. Cost: about 200 ns for a report of 250 bytes. Any thread, one at a time per link.
    """
    words = link.words
    at = np.int64(start)
    frames = np.int64(0)
    messages = np.int64(0)
    stop = _STOP_NEED_MORE
    while at < end:
        status, body, body_end = find_message(words, link.text, buf, at, end)
        if status == NEED_MORE:
            break
        if status == 0:
            expected = _ACCEPTED if next_in == _ACCEPTED else next_in + messages
            status = _decode_message(words, symbols, buf, at, body, body_end, expected, now_ns, out, frames)
        if status <= 0:
            # A message that not even an empty ``out`` can take would never get through here.
            full = status == 0 and frames > 0
            stop = _STOP_OUT_FULL if full else _STOP_HAND_OVER
            words[HAND_OVER_CODE] = -status if status < 0 or full else -_TOO_LARGE
            break
        frames += status
        messages += 1
        at = body_end + TRAILER_BYTES
    return at - start, frames, messages, stop


@kernel
def decode_heartbeat(link: LinkState, buf: Any, start: int, end: int, next_in: int, now_ns: int) -> int:
    """Bytes of the Heartbeat(35=0) at ``start`` that says nothing but that the peer is alive; 0: it is none.

    Held to what :func:`decode` holds a message to, and it must have no field beside those of every
    header: one that answers a TestRequest is for the session machine. Buffers as for :func:`decode`.
    """
    words = link.words
    status, body, body_end = find_message(words, link.text, buf, start, end)
    if status != 0 or message_type(buf, body) != TYPE_HEARTBEAT:
        return 0
    fields = scan_fields(words, buf, start, body, body_end)
    if fields != _HEARTBEAT_FIELDS:
        return 0
    field, seen = index_fields(words, buf, body, fields, True)
    if field < 0 or seen != _HEADER_FIELDS:
        return 0
    msg_seq, sending_ns, poss_dup = _header(words, buf, seen)
    if msg_seq < 0 or _refusal(words, buf, next_in, now_ns, msg_seq, sending_ns, poss_dup) != 0:
        return 0
    return body_end + TRAILER_BYTES - start


def decode_one(
    link: LinkState, symbols: SymbolState, buf: Any, start: int, end: int, now_ns: int, out: Any, row: int
) -> int:
    """Decode the one message ``buf[start:end]`` from row ``row`` of ``out`` on; not a kernel.

    Returns frames written (>= 1) or -HandOver. BodyLength and CheckSum are checked; role, CompIDs,
    MsgSeqNum and SendingTime's age are not: the session machine has done that. Takes both roles'
    types and AF; ``poss_dup`` is set from PossDupFlag or PossResend; ids of another form are
    flagged EXEC_FOREIGN_ID. ``buf`` may also be bytes.
    """
    if not isinstance(buf, np.ndarray) or not buf.flags.writeable:
        buf = np.frombuffer(bytearray(buf), np.uint8)  # a read-only array would compile the kernel once more
    consumed, frames, messages, stop = decode(link, symbols, buf, start, end, _ACCEPTED, now_ns, out[row:])
    if stop == StopReason.HAND_OVER and messages == 0:
        return -int(link.words[HAND_OVER_CODE])
    if stop == StopReason.NEED_MORE and messages == 1 and consumed == end - start:
        return int(frames)
    link.words[HAND_OVER_CODE] = HandOver.GARBLED  # incomplete, or more than one message
    return -int(HandOver.GARBLED)
