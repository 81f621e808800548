"""Drop copy: every execution report of chosen clients, once more, on a session of somebody else's.

A copy is the client's own report (OrderID, ClOrdID, ExecID and quantities as they were) with
CopyMsgIndicator(797)=Y and the client's CompID as entering firm (PartyRole 7). It is made from what
the trade log holds, at the moment it holds it, so a copy may arrive before the report itself. The
session's store remembers the log position of the last report in it: what a crash kept from it is
stored at the next start, and the peer gets it by resend, as on any session.

Answers to status requests are not copied (the log has them already), nor are cancel rejects.
"""

import asyncio
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from fix.codec import MESSAGE_ROOM, SymbolTable
from fix.endpoints import CodecHotPath, FixSession
from fix.endpoints.hotpath import HotBatch, Stop
from fix.messages import parse
from fix.session import Role, SequencesReset, SessionEvent, SessionSettings, State
from fix.store import MessageStore
from market import records
from market.enums import ExecType, FrameKind
from market.jit import kernel
from simulator.errors import VenueSettingsError
from simulator.matching import REASON_TEXT
from simulator.tradelog import LogContents
from simulator.venue.application import BusinessReject, unknown_symbol_report
from simulator.venue.clients import Client
from simulator.venue.core import FrameBuffer
from simulator.venue.settings import DropCopySettings, VenueSettings

log = structlog.get_logger()

_BATCH = 1 << 12
_OWNERS = 0x1_0000
_SUFFIX_ROOM = 96  # 797=Y and a party group with a CompID of 32 bytes
_TRAILER = 7  # "10=123|"
_EXECUTION = int(FrameKind.EXECUTION)
_STATUS = int(ExecType.ORDER_STATUS)
_TRADES = (int(ExecType.TRADE), int(ExecType.TRADE_CORRECT), int(ExecType.TRADE_CANCEL))
_SOH, _ZERO = 1, 48


@kernel
def mark_copies(
    text: Any, ends: Any, count: int, prefix: int, rows: Any, first: int, suffixes: Any, suffix_bytes: Any, out: Any,
    out_ends: Any,
) -> int:  # fmt: skip
    """Write ``count`` messages from ``text`` (they end at ``ends``) to ``out``, each with its suffix; bytes written.

    ``prefix`` is the length of ``8=...|9=``. Message ``k`` is about row ``first + k`` of EXECUTION ``rows``, whose
    ``session`` chooses the suffix: row of ``suffixes`` uint8[owners, 96], its length in ``suffix_bytes``.
    BodyLength and CheckSum are made anew. About 0.3 us each; the event loop's thread.
    """
    o = 0
    start = 0
    for k in range(count):
        end = ends[k]
        owner = np.int64(rows[first + k].session)
        extra = np.int64(suffix_bytes[owner])
        begin = o
        for i in range(prefix):
            out[o + i] = text[start + i]
        o += prefix
        at = start + prefix
        while text[at] != _SOH:
            at += 1
        body_end = end - _TRAILER
        length = body_end - (at + 1) + extra
        unit = 1
        while unit * 10 <= length:
            unit *= 10
        while unit > 0:
            out[o] = np.uint8(_ZERO + length // unit % 10)
            unit //= 10
            o += 1
        for i in range(at, body_end):
            out[o + i - at] = text[i]
        o += body_end - at
        for i in range(extra):
            out[o + i] = suffixes[owner, i]
        o += extra
        total = np.int64(0)
        for i in range(begin, o):
            total += np.int64(out[i])
        total &= 255
        out[o], out[o + 1], out[o + 2] = np.uint8(49), np.uint8(48), np.uint8(61)
        out[o + 3] = np.uint8(_ZERO + total // 100)
        out[o + 4] = np.uint8(_ZERO + total // 10 % 10)
        out[o + 5] = np.uint8(_ZERO + total % 10)
        out[o + 6] = np.uint8(_SOH)
        o += _TRAILER
        out_ends[k] = o
        start = end
    return o


@kernel
def select_copies(
    rows: Any, words: Any, first: int, count: int, position: int, wanted: Any, trades_only: bool, out: Any, refs: Any,
    n: int,
) -> tuple[int, int]:  # fmt: skip
    """Copy the reports among logged frames ``first .. first+count-1`` that are wanted: ``(rows in out, frames seen)``.

    ``rows`` EXECUTION[n] over the same memory as ``words`` int64[n, 16]; ``position`` is the log's of row ``first``;
    ``wanted`` uint8[65536] by participant. ``out`` has ``n`` rows already; ``refs`` int64 receives each one's
    position. Stops when ``out`` is full.
    """
    for k in range(count):
        i = first + k
        kind = np.int64(rows[i].exec_type)
        trade = kind == _TRADES[0] or kind == _TRADES[1] or kind == _TRADES[2]
        if rows[i].kind != _EXECUTION or kind == _STATUS or wanted[rows[i].session] == 0 or (trades_only and not trade):
            continue
        if n == len(refs):
            return n, k
        for w in range(words.shape[1]):
            out[n, w] = words[i, w]
        refs[n] = position + k
        n += 1
    return n, count


class CopyHotPath(CodecHotPath):
    """Encodes reports as copies. Nothing that comes in is for the market: the machine reads all of it."""

    def __init__(self, settings: SessionSettings, symbols: SymbolTable, clients: dict[int, str]) -> None:
        names = (settings.begin_string, settings.sender_comp_id, settings.target_comp_id)
        super().__init__(*names, symbols, Role.ACCEPTOR)
        self.link.set_reason_texts(REASON_TEXT)
        self.msg_types = frozenset()
        self._prefix = len(f"8={settings.begin_string}\x019=")
        owners = max(clients, default=0) + 1
        self._suffixes = np.zeros((owners, _SUFFIX_ROOM), np.uint8)
        self._suffix_bytes = np.zeros(owners, np.int64)
        for owner, comp_id in clients.items():
            suffix = "".join(f"{tag}={value}\x01" for tag, value in copy_fields(comp_id)).encode("ascii")
            self._suffixes[owner, : len(suffix)] = np.frombuffer(suffix, np.uint8)
            self._suffix_bytes[owner] = len(suffix)
        self._marked = np.zeros(len(self._out) // MESSAGE_ROOM * (MESSAGE_ROOM + _SUFFIX_ROOM), np.uint8)
        self._marked_view: memoryview = self._marked.data
        self._marked_ends = np.zeros(len(self._ends), np.int64)

    def decode(self, buffer: npt.NDArray[np.uint8], start: int, end: int, next_in: int, now_ns: int) -> HotBatch:
        """Hand everything over."""
        return HotBatch(0, 0, 0, Stop.HAND_OVER)

    def decode_one(self, raw: bytes) -> int:
        """Nothing becomes a frame."""
        return 0

    def encode_executions(self, rows: Any, first: int, count: int, seq: int, now_ns: int) -> tuple[memoryview, Any]:
        """As :class:`fix.endpoints.HotPath` says, with the copy's fields."""
        text, ends = super().encode_executions(rows, first, count, seq, now_ns)
        size = mark_copies(
            np.frombuffer(text, np.uint8), ends, len(ends), self._prefix, rows, first, self._suffixes,
            self._suffix_bytes, self._marked, self._marked_ends,
        )  # fmt: skip
        return self._marked_view[: int(size)], self._marked_ends[: len(ends)]


def copy_fields(comp_id: str) -> list[tuple[int, str | int]]:
    """What a copy has more than the report: that it is one, and whose order it was."""
    return [(797, "Y"), (453, 1), (448, comp_id), (447, "D"), (452, 7)]


class DropCopy:
    """One drop-copy session of a venue."""

    def __init__(
        self, venue: VenueSettings, settings: DropCopySettings, clients: dict[int, str], symbols: SymbolTable,
        books: int, on_failure: Any,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.clients = clients
        self._venue, self._books, self._on_failure = venue.name, books, on_failure
        self._wanted = np.zeros(_OWNERS, np.uint8)
        self._wanted[list(clients)] = 1
        session = SessionSettings(
            sender_comp_id=venue.comp_id,
            target_comp_id=settings.comp_id,
            role=Role.ACCEPTOR,
            heartbeat_interval_s=venue.heartbeat_interval_s,
            cancel_on_disconnect=False,
        )
        self.store = MessageStore(venue.directory / "sessions" / session.name)
        self._hot = CopyHotPath(session, symbols, clients)
        self.session = FixSession(session, self.store, self, hot=self._hot)
        self._batch = FrameBuffer(records.EXECUTION, _BATCH)
        self._refs = np.zeros(_BATCH, np.int64)
        self.copies = 0  # sent or stored since the start
        self._held = 0  # rows of the batch that wait for the loop's next turn
        self._scheduled = False
        self._closed = False
        self._was_logged_on = False

    # ---------------------------------------------------------------- what is copied

    def take(self, logged: FrameBuffer, count: int, position: int) -> None:
        """Copy what concerns this session among the frames just logged; ``position`` is the first one's.

        They are sent in the loop's next turn: the report itself goes first, and many copies make one write.
        """
        at = 0
        while at < count:
            held, seen = select_copies(
                logged.rows, logged.words, at, count - at, position + at, self._wanted, self.settings.trades_only,
                self._batch.words, self._refs, self._held,
            )  # fmt: skip
            self._held = int(held)
            at += int(seen)
            if at < count:
                self.flush()
        if self._held and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def owe(self, contents: LogContents) -> int:
        """Store what the log has behind the last stored copy: a crash kept it from us. How many."""
        rows, positions = contents.executions, contents.positions
        behind = positions > self.store.last_app_ref
        rows, positions = rows[behind], positions[behind]
        before = self.copies
        for first in range(0, len(rows), _BATCH):
            some = rows[first : first + _BATCH]
            frames = FrameBuffer(records.EXECUTION, len(some))
            frames.frames[:] = some.view(np.uint8).reshape(len(some), records.FRAME_BYTES)
            held, _ = select_copies(
                frames.rows, frames.words, 0, len(some), 0, self._wanted, self.settings.trades_only,
                self._batch.words, self._refs, 0,
            )  # fmt: skip
            self._held = int(held)
            self._refs[: self._held] = positions[first + self._refs[: self._held]]
            self.flush()
        return self.copies - before

    def _turn(self) -> None:
        """A callback's outermost frame: what cannot be stored stops the venue."""
        self._scheduled = False
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - as said above
            self.on_failure(self.session, error)

    def flush(self) -> None:
        """Send what is held, in order; reports about no book of ours go the cold way."""
        count, self._held = self._held, 0
        if not count or self._closed:
            return
        rows, refs = self._batch.rows, self._refs
        hot = np.asarray(rows["instrument"][:count]) < self._books
        at = 0
        while at < count:
            run = at + 1
            if hot[at]:
                cold = np.flatnonzero(~hot[at:count])
                run = at + int(cold[0]) if len(cold) else count
                self.session.send_executions(rows, run - at, first=at, app_ref=int(refs[run - 1]))
            else:
                body = unknown_symbol_report(rows[at], int(rows[at]["ts_ns"]))
                body += copy_fields(self.clients[int(rows[at]["session"])])
                self.session.send("8", body, app_ref=int(refs[at]))
            at = run
        self.copies += count

    def warm_up(self, now_ns: int) -> None:
        """Load or compile the kernels of a copy."""
        empty = self._batch
        select_copies(empty.rows, empty.words, 0, 0, 0, self._wanted, False, empty.words, self._refs, 0)
        self._hot.encode_executions(empty.rows, 0, 0, 1, now_ns)

    def close(self) -> None:
        """Close the store; what is still held is in the log and owed by the next start."""
        self._closed = True
        self.store.close()

    # ---------------------------------------------------------------- the session's handler

    def on_frames(self, session: FixSession, frames: npt.NDArray[np.uint8], count: int) -> None:
        """Never called: nothing is decoded."""

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Refuse by name: who is on this session only listens."""
        message = parse(raw)
        text = f"a drop-copy session takes no requests (35={msg_type})"
        session.send(
            "j", [(45, message.seq or 0), (372, msg_type), (380, int(BusinessReject.UNSUPPORTED_TYPE)), (58, text)]
        )

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """Say who listens."""
        logged_on = state is State.LOGGED_ON
        if logged_on != self._was_logged_on:
            word = "logged on" if logged_on else "left"
            log.info(f"drop copy {word}", venue=self._venue, client=self.settings.comp_id, reason=reason)
        self._was_logged_on = logged_on

    def on_event(self, session: FixSession, event: SessionEvent) -> None:
        """A reset loses copies that were not received: said aloud, the log still has them."""
        if isinstance(event, SequencesReset):
            log.warning(
                "sequence numbers reset", venue=self._venue, client=self.settings.comp_id, by_peer=event.by_peer
            )

    def on_failure(self, session: FixSession, error: BaseException) -> None:
        """A copy that cannot be stored would be missing for ever: the venue stops."""
        self._on_failure(session, error)


def open_copies(
    venue: VenueSettings, clients: list[Client], symbols: SymbolTable, books: int, on_failure: Any
) -> list[DropCopy]:
    """Open the drop-copy sessions of a venue.

    Raises
    ------
    VenueSettingsError
        A session copies a client that the venue does not have.
    """
    owners = {client.settings.comp_id: client.owner for client in clients}
    copies = []
    for settings in venue.drop_copies:
        names = settings.clients or tuple(owners)
        unknown = [name for name in names if name not in owners]
        if unknown:
            there = ", ".join(owners) or "nobody"
            text = f"venue {venue.name}: drop copy {settings.comp_id} copies {unknown[0]!r}, its clients are {there}"
            raise VenueSettingsError(text)
        chosen = {owners[name]: name for name in names}
        copies.append(DropCopy(venue, settings, chosen, symbols, books, on_failure))
    return copies
