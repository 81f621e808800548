"""The seam between a session and the codec kernels.

:class:`HotPath` is what a session asks of its kernels; :class:`CodecHotPath` binds those of
``fix.codec`` to one session. The arrays that they write into are used within one call, so all
sessions of a thread share them: a thousand sessions need no gigabyte.
"""

import threading
import time
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fix.codec import (
    MAX_ENTRIES,
    MESSAGE_ROOM,
    HotLink,
    StopReason,
    SymbolTable,
    decode,
    decode_one,
    encode_executions,
    encode_mass_quotes,
    encode_orders,
    encode_quotes,
)  # fmt: skip
from fix.codec import Role as CodecRole
from fix.session import Role, SessionSettings
from market import records

_SCRATCH_BYTES = 1 << 15
_SLACK_BYTES = 64  # kernels load eight bytes at a time
_MOST_ENCODED = 2048  # messages in one write, about 400 kB


class _Arrays:
    """What kernels write into: used within one call, so all sessions of a thread share it."""

    def __init__(self, capacity: int) -> None:
        self.frames: npt.NDArray[np.uint8] = records.frames(capacity)
        self.out = np.zeros(min(capacity, _MOST_ENCODED) * MESSAGE_ROOM, np.uint8)
        self.ends = np.zeros(capacity, np.int64)
        self.scratch = np.zeros(_SCRATCH_BYTES, np.uint8)


class _Shared(threading.local):
    """The arrays of one thread by capacity."""

    def __init__(self) -> None:
        self.arrays: dict[int, _Arrays] = {}

    def of(self, capacity: int) -> _Arrays:
        found = self.arrays.get(capacity)
        if found is None:
            found = self.arrays[capacity] = _Arrays(capacity)
        return found


_shared = _Shared()


class Stop(Enum):
    """Why a decode ended."""

    NEED_MORE = 0  # the rest is not a whole message
    HAND_OVER = 1  # the next message is for the session machine
    OUT_FULL = 2  # no room for another frame: take these and come again


_STOPS = {int(StopReason.NEED_MORE): Stop.NEED_MORE, int(StopReason.HAND_OVER): Stop.HAND_OVER,
          int(StopReason.OUT_FULL): Stop.OUT_FULL}  # fmt: skip


class HotBatch(NamedTuple):
    """Outcome of one decode."""

    consumed: int  # bytes
    frames: int  # rows of ``frames`` that were written
    messages: int  # MsgSeqNums that were consumed; a message may give no frame or several
    stop: Stop


class HotPath(Protocol):
    """Kernels bound to one session: its CompIDs, its symbols, its role."""

    frames: npt.NDArray[np.uint8]  #: uint8[n, 128]: what the last decode wrote
    msg_types: frozenset[str]  #: MsgTypes that become frames on this side
    max_batch: int  #: rows that one encode takes

    @property
    def last_refusal(self) -> tuple[str, int]:
        """Why the last message was not taken, and at which tag (0: none in particular)."""
        ...

    def decode(self, buffer: npt.NDArray[np.uint8], start: int, end: int, next_in: int, now_ns: int) -> HotBatch:
        """Decode steady messages from ``buffer[start:end]`` into :attr:`frames`."""
        ...

    def decode_one(self, raw: bytes) -> int:
        """Decode one whole message without a check of its number; frames written, 0 when it is not for a frame."""
        ...

    def encode_orders(self, rows: Any, first: int, count: int, seq: int, now_ns: int) -> tuple[memoryview, Any]:
        """Encode ORDER rows as complete messages numbered from ``seq``: bytes and int64 end offsets.

        Fewer offsets than ``count``: come again for the rest. None: row ``first`` cannot be encoded.
        """
        ...

    def encode_executions(self, rows: Any, first: int, count: int, seq: int, now_ns: int) -> tuple[memoryview, Any]:
        """Encode EXECUTION rows as 35=8 and 35=9, as :meth:`encode_orders`."""
        ...

    def encode_quotes(self, rows: Any, first: int, count: int, seq: int, now_ns: int) -> tuple[memoryview, Any]:
        """Encode QUOTE rows as 35=W, as :meth:`encode_orders`."""
        ...

    def encode_mass_quotes(
        self, entries: Any, first: int, count: int, seq: int, now_ns: int, level: int
    ) -> tuple[memoryview, Any, int]:
        """Encode QUOTE_ENTRY rows as 35=i: as :meth:`encode_orders`, and how many rows the messages hold."""
        ...


class CodecHotPath:
    """The kernels of ``fix.codec`` bound to one session.

    Parameters
    ----------
    begin_string, sender, target:
        As in the session's settings: ``sender`` is us.
    symbols:
        Instruments by Symbol(55); shared by all sessions of a process.
    role:
        INITIATOR decodes 8, 9, W, X; ACCEPTOR decodes D, F, G, q.
    index:
        Written to ``header.source`` and ``session`` of every decoded frame.
    capacity:
        Frames of one decode, and rows of one encode.
    owner:
        Participant number of decoded orders (venue side).

    Attributes
    ----------
    link:
        The codec's own object: ``link.set_reason_texts`` names reject reasons on the wire.
    """

    def __init__(
        self,
        begin_string: str,
        sender: str,
        target: str,
        symbols: SymbolTable,
        role: Role,
        index: int = 0,
        capacity: int = 4096,
        owner: int = 0,
        check_latency_s: float = 120.0,
    ) -> None:
        client = role is Role.INITIATOR
        self.link = HotLink(
            begin_string, sender, target, role=CodecRole.CLIENT if client else CodecRole.VENUE, session=index,
            owner=owner, check_latency_ns=int(check_latency_s * 1e9),
        )  # fmt: skip
        self.symbols = symbols
        self.msg_types = frozenset(("8", "9", "W", "X") if client else ("D", "F", "G", "q"))
        self.max_batch = capacity
        arrays = _shared.of(capacity)
        self.frames: npt.NDArray[np.uint8] = arrays.frames
        self._out = arrays.out
        self._view: memoryview = self._out.data
        self._ends = arrays.ends
        self._scratch = arrays.scratch

    @property
    def last_refusal(self) -> tuple[str, int]:
        """As :class:`HotPath` says."""
        reason, tag = self.link.hand_over
        return reason.name.lower().replace("_", " "), tag

    @classmethod
    def for_session(
        cls, settings: SessionSettings, symbols: SymbolTable, index: int = 0, **options: Any
    ) -> "CodecHotPath":
        """Bind to the session of ``settings``; ``options`` as the constructor's."""
        names = (settings.begin_string, settings.sender_comp_id, settings.target_comp_id)
        return cls(*names, symbols, settings.role, index, check_latency_s=settings.check_latency_s, **options)

    def decode(self, buffer: npt.NDArray[np.uint8], start: int, end: int, next_in: int, now_ns: int) -> HotBatch:
        """Decode steady messages from ``buffer[start:end]`` into :attr:`frames`."""
        consumed, frames, messages, stop = decode(
            self.link.state, self.symbols.state, buffer, start, end, next_in, now_ns, self.frames
        )
        return HotBatch(consumed, frames, messages, _STOPS[stop])

    def decode_one(self, raw: bytes) -> int:
        """Frames of one whole message that the session has accepted; 0 when it gives none."""
        size = len(raw)
        if size > _SCRATCH_BYTES - _SLACK_BYTES:
            return 0
        self._scratch[:size] = np.frombuffer(raw, np.uint8)
        now_ns = time.time_ns()
        count = decode_one(self.link.state, self.symbols.state, self._scratch, 0, size, now_ns, self.frames, 0)
        return max(int(count), 0)

    def encode_orders(self, rows: Any, first: int, count: int, seq: int, now_ns: int) -> tuple[memoryview, Any]:
        """As :class:`HotPath` says."""
        return self._encode(encode_orders, rows, first, count, seq, now_ns)

    def encode_executions(self, rows: Any, first: int, count: int, seq: int, now_ns: int) -> tuple[memoryview, Any]:
        """As :class:`HotPath` says."""
        return self._encode(encode_executions, rows, first, count, seq, now_ns)

    def encode_quotes(self, rows: Any, first: int, count: int, seq: int, now_ns: int) -> tuple[memoryview, Any]:
        """As :class:`HotPath` says."""
        return self._encode(encode_quotes, rows, first, count, seq, now_ns)

    def encode_mass_quotes(
        self, entries: Any, first: int, count: int, seq: int, now_ns: int, level: int
    ) -> tuple[memoryview, Any, int]:
        """As :class:`HotPath` says."""
        size, messages, rows, _ = encode_mass_quotes(
            self.link.state, self.symbols.state, entries, first, count, MAX_ENTRIES, level, seq, now_ns, self._out,
            self._ends,
        )  # fmt: skip
        return self._view[:size], self._ends[:messages], int(rows)

    def _encode(self, kernel: Any, rows: Any, first: int, count: int, seq: int, now_ns: int) -> tuple[memoryview, Any]:
        size, messages, _ = kernel(
            self.link.state, self.symbols.state, rows, first, count, seq, now_ns, self._out, self._ends
        )
        return self._view[:size], self._ends[:messages]
