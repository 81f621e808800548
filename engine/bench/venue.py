# ruff: noqa: T201 - rows speak to their parent process through stdout
"""The driver: publishes ticks, times the orders that come of them, and answers those as a venue does.

One process, one thread, one kernel that never sleeps while it measures: a tick's stamp is taken before it is
published, an order's when ``recv`` has returned its last byte. Every order is acknowledged, so that the engine's
state goes on as it would at a venue.

Ticks visit all series in a fixed, cache-unfriendly order; the spot moves to and fro once a round, by so much that
every series' own tick must move its quote. So each tick makes exactly one order, which is checked. Before a move of
the spot the driver waits until the last answers must have been taken.
"""

import json
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fix.codec import HotLink, Role, StopReason, SymbolTable, decode, encode_executions
from fix.messages import build, frame, parse, utc_timestamp
from market.atomics import MSG_DONTWAIT, MSG_NOSIGNAL, c_recv, c_send, clock_ns, cpu_pause
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, TradingStatus
from market.jit import kernel
from market.records import EXECUTION, ORDER, QUOTE, as_layout, frames, table
from market.rings import BroadcastRing, ring_publish

Words = npt.NDArray[np.int64]

(
    V_FD,
    V_FEED_FD,  # ticks go to this socket; -1: into the ring
    V_RAW,  # bytes of one order that is only counted; 0: orders are FIX
    V_NEXT_IN,
    V_NEXT_OUT,
    V_START,
    V_END,
    V_EXEC,
    V_TICK,  # ticks published
    V_SERIES,
    V_RECV_NS,
    V_STRAY,  # orders about another series than the tick's
    V_SETTLED,  # ns waited before moves of the spot
) = range(13)

CLOSED, HANDED_OVER, SILENT = -1, -2, -3
MOST = 4096  # orders of one burst
SILENCE_NS = 10_000_000_000
SETTLE_NS = 3_000_000
STRIDE = 1597  # the next series is this many away: no neighbour in any cache line
SPOT, SPOT_MOVE = 10_000, 20
SENDER, TARGET = "OPT", "AXIOM"
_BUFFER_BYTES, _SLACK_BYTES = 1 << 22, 64
_NEW, _REPLACE = np.int64(OrderAction.NEW), np.int64(OrderAction.REPLACE)
_EXECUTION, _HAND_OVER = np.int64(FrameKind.EXECUTION), np.int64(StopReason.HAND_OVER)
_E_NEW, _E_REPLACED, _E_CANCELED = (np.int64(e) for e in (ExecType.NEW, ExecType.REPLACED, ExecType.CANCELED))
_S_NEW, _S_CANCELED = np.int64(OrdStatus.NEW), np.int64(OrdStatus.CANCELED)


class Venue(NamedTuple):
    """The driver's memory."""

    words: Words
    buffer: npt.NDArray[np.uint8]
    frames: npt.NDArray[np.uint8]
    orders: Any  # ORDER, the same memory
    cells: Words  # the same
    held: Any  # ORDER[MOST]: orders of a burst, answered when all have come
    held_cells: Words
    reports: Any  # EXECUTION[MOST]
    out: npt.NDArray[np.uint8]
    ends: Words
    sent: Words  # when each tick of a burst was published
    expected: Words  # and its instrument
    tick: Words  # int64[1, 16]
    quote: Any  # the same memory
    link: Any
    symbols: Any


def symbol(number: int) -> str:
    """Symbol(55) of instrument ``number``; 0 is the underlying."""
    return f"AXM{number}" if number else "AXM"


def symbol_table(series: int) -> SymbolTable:
    """Both sides' instruments."""
    symbols = SymbolTable(series + 1)
    for number in range(series + 1):
        symbols.add(symbol(number), number, 2, 100 if number else 1)
    return symbols


def make_venue(series: int, raw_bytes: int) -> Venue:
    """Memory of a driver of ``series`` options."""
    words = np.zeros(16, np.int64)
    words[V_FEED_FD], words[V_RAW], words[V_NEXT_IN], words[V_NEXT_OUT] = -1, raw_bytes, 1, 1
    words[V_SERIES] = series
    incoming, held, tick = frames(MOST), frames(MOST), table(QUOTE, 1)
    return Venue(
        words, np.zeros(_BUFFER_BYTES + _SLACK_BYTES, np.uint8), incoming, as_layout(incoming, ORDER),
        incoming.view(np.int64), as_layout(held, ORDER), held.view(np.int64), table(EXECUTION, MOST),
        np.zeros(MOST * 512, np.uint8), np.zeros(MOST, np.int64), np.zeros(MOST, np.int64), np.zeros(MOST, np.int64),
        np.asarray(tick).view(np.int64).reshape(1, 16), tick, HotLink("FIX.4.4", SENDER, TARGET, role=Role.VENUE).state,
        symbol_table(series).state,
    )  # fmt: skip


@kernel
def receive(v: Venue) -> int:
    """Orders that have come now (rows of ``frames``); CLOSED, or HANDED_OVER for a message that Python must take."""
    w = v.words
    start, end = w[V_START], w[V_END]
    if start == end:
        start = end = np.int64(0)
    elif end > _BUFFER_BYTES // 2:
        for i in range(end - start):
            v.buffer[i] = v.buffer[start + i]
        start, end = np.int64(0), end - start
    got = c_recv(
        np.int32(w[V_FD]), np.uintp(v.buffer.ctypes.data + end), np.uintp(_BUFFER_BYTES - end), np.int32(MSG_DONTWAIT)
    )
    w[V_START], w[V_END] = start, end
    if got == 0:
        return CLOSED
    if got < 0:
        return 0
    w[V_RECV_NS] = clock_ns(1)
    return _decoded(v, end + got)


@kernel
def _decoded(v: Venue, end: int) -> int:
    w = v.words
    start = w[V_START]
    w[V_END] = end
    if w[V_RAW] > 0:
        count = min((end - start) // w[V_RAW], MOST)
        w[V_START] = start + count * w[V_RAW]
        return count
    consumed, count, messages, stop = decode(
        v.link, v.symbols, v.buffer, start, end, w[V_NEXT_IN], clock_ns(0), v.frames
    )
    w[V_START] = start + consumed
    w[V_NEXT_IN] += messages
    return HANDED_OVER if stop == _HAND_OVER and count == 0 else count


@kernel
def answer(v: Venue, orders: Any, count: int) -> None:
    """Acknowledge ``orders[:count]`` in one write."""
    w = v.words
    if w[V_RAW] > 0 or count == 0:
        return
    for i in range(count):
        order, report = orders[i], v.reports[i]
        w[V_EXEC] += 1
        report.kind = _EXECUTION
        report.instrument, report.side = order.instrument, order.side
        report.cl_ord_id, report.orig_cl_ord_id = order.cl_ord_id, np.uint64(0)
        report.order_id, report.exec_id = np.uint64(1 + np.int64(order.instrument)), np.uint64(w[V_EXEC])
        report.price_ticks = order.price_ticks
        report.order_qty = report.leaves_qty = order.qty
        report.exec_type, report.ord_status = _E_NEW, _S_NEW
        if order.action == _REPLACE:
            report.exec_type, report.orig_cl_ord_id = _E_REPLACED, order.orig_cl_ord_id
        elif order.action != _NEW:
            report.exec_type, report.ord_status, report.leaves_qty = _E_CANCELED, _S_CANCELED, 0
            report.orig_cl_ord_id = order.orig_cl_ord_id
    size, messages, _ = encode_executions(
        v.link, v.symbols, v.reports, 0, count, w[V_NEXT_OUT], clock_ns(0), v.out, v.ends
    )
    w[V_NEXT_OUT] += messages
    sent = np.int64(0)
    while sent < size:
        n = c_send(np.int32(w[V_FD]), np.uintp(v.out.ctypes.data + sent), np.uintp(size - sent), np.int32(MSG_NOSIGNAL))
        if n <= 0:
            return
        sent += n


@kernel
def put(v: Venue, ring: Words) -> None:
    """Publish the tick in hand."""
    if v.words[V_FEED_FD] >= 0:
        address = np.uintp(v.tick.ctypes.data)
        c_send(np.int32(v.words[V_FEED_FD]), address, np.uintp(128), np.int32(MSG_NOSIGNAL))
    else:
        ring_publish(ring, v.tick, 0)


@kernel
def _book(v: Venue, instrument: int, bid: int, ask: int) -> None:
    """Write the next tick: a new book of ``instrument``."""
    q = v.quote[0]
    q.instrument = instrument
    q.bid_ticks, q.ask_ticks, q.bid_qty, q.ask_qty = bid, ask, 50, 50
    q.bid2_ticks, q.ask2_ticks, q.bid2_qty, q.ask2_qty = bid - 1, ask + 1, 50, 50
    q.src_seq += np.uint64(1)
    q.ts_ns = q.recv_ns = clock_ns(0)


@kernel
def fire(v: Venue, ring: Words, burst: int) -> None:
    """Publish ``burst`` ticks of different series, stamping each just before.

    The number of series must be a multiple of every burst, lest the spot move in the middle of one.
    """
    w = v.words
    series = w[V_SERIES]
    for b in range(burst):
        turn, place = w[V_TICK] // series, w[V_TICK] % series
        odd = (turn + 1) & 1  # the opening image is the even one
        if place == 0:
            begun = clock_ns(1)
            while clock_ns(1) - begun < SETTLE_NS:
                cpu_pause()
            w[V_SETTLED] += SETTLE_NS
            spot = SPOT + SPOT_MOVE * odd
            _book(v, 0, spot - 1, spot + 1)
            put(v, ring)
        number = 1 + (place * STRIDE) % series
        _book(v, number, 2 + odd, 200 + odd)
        v.expected[b] = number
        w[V_TICK] += 1
        v.sent[b] = clock_ns(1)
        put(v, ring)


@kernel
def collect(v: Venue, burst: int, samples: Words, first: int) -> int:
    """Wait for the orders of ``burst`` ticks, write their ages to ``samples``, answer them; 0, or why not."""
    w = v.words
    taken = 0
    while taken < burst:
        count = receive(v)
        if count < 0:
            return count
        if count == 0:
            cpu_pause()
            if clock_ns(1) - v.sent[0] > SILENCE_NS:
                return SILENT
            continue
        for i in range(min(count, burst - taken)):
            samples[first + taken] = w[V_RECV_NS] - v.sent[taken]
            if w[V_RAW] == 0:
                if v.orders[i].instrument != v.expected[taken]:
                    w[V_STRAY] += 1
                for k in range(16):
                    v.held_cells[taken, k] = v.cells[i, k]
            taken += 1
    answer(v, v.held, taken)
    return 0


@kernel
def measure(v: Venue, ring: Words, count: int, gap_ns: int, burst: int, samples: Words) -> int:
    """Play ``count`` ticks in bursts, at least ``gap_ns`` from one answer to the next burst; 0, or why it ended."""
    for first in range(0, count, burst):
        begun = clock_ns(1)
        # Up to a fifth more, never the same twice running: no other clock may fall into step with ours.
        wait = gap_ns + (first * 7919) % (gap_ns // 5 + 1)
        while clock_ns(1) - begun < wait:
            cpu_pause()
        now = min(burst, count - first)
        fire(v, ring, now)
        failed = collect(v, now, samples, first)
        if failed != 0:
            return failed
    return 0


@kernel
def serve(v: Venue, for_ns: int) -> int:
    """Acknowledge what comes for a while: CLOSED, HANDED_OVER or 0."""
    begun = clock_ns(1)
    while clock_ns(1) - begun < for_ns:
        count = receive(v)
        if count < 0:
            return count
        answer(v, v.orders, count)
        cpu_pause()
    return 0


class Driver:
    """What the parent process talks to: one JSON document a line, each answered by one."""

    def __init__(self, ring_path: Path, series: int, raw_bytes: int, feed: bool) -> None:
        self.venue = make_venue(series, raw_bytes)
        self.ring = BroadcastRing.create(ring_path, books=series + 1, silence_ns=60_000_000_000)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._feeds = socket.create_server(("127.0.0.1", 0)) if feed else None
        self._wake = False
        quote = self.venue.quote
        quote["kind"], quote["status"] = FrameKind.QUOTE, TradingStatus.OPEN
        self._warm()

    def _warm(self) -> None:
        """Compile everything before anybody waits for us."""
        words, empty = self.venue.words, np.zeros(1, np.int64)
        words[V_FD] = -1
        measure(self.venue, self.ring.words, 0, 0, 1, empty)
        fire(self.venue, self.ring.words, 0)
        collect(self.venue, 0, empty, 0)
        serve(self.venue, 0)
        for number in range(int(words[V_SERIES]) + 1):
            bid, ask = (SPOT - 1, SPOT + 1) if number == 0 else (2, 200)
            _book(self.venue, number, bid, ask)
            put(self.venue, self.ring.words)

    def run(self) -> None:
        """Accept, log on, serve until told to stop."""
        self._say(port=self._listener.getsockname()[1], feed=self._feeds.getsockname()[1] if self._feeds else 0)
        peer, _ = self._listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.venue.words[V_FD] = peer.fileno()
        if self._feeds is not None:
            feed, _ = self._feeds.accept()
            feed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.venue.words[V_FEED_FD] = feed.fileno()
        while True:
            now = time.time_ns()
            self.ring.beat(now, now)
            state = serve(self.venue, 2_000_000)
            if state == CLOSED:
                return
            if state == HANDED_OVER:
                self._take_cold(peer)
            if select.select([sys.stdin], [], [], 0)[0]:
                asked = json.loads(sys.stdin.readline() or '{"stop": true}')
                if "stop" in asked:
                    return
                self._play(**asked)

    def _say(self, **document: Any) -> None:
        print(json.dumps(document), flush=True)

    def _take_cold(self, peer: socket.socket) -> None:
        """A message without a frame: a Logon is answered, anything else only counted."""
        words, buffer = self.venue.words, self.venue.buffer
        begin, stop = frame(bytearray(buffer.tobytes()[: words[V_END]]), int(words[V_START]), int(words[V_END]))
        if begin == stop:
            time.sleep(0.001)
            return
        message = parse(buffer[begin:stop].tobytes())
        words[V_START] = stop
        words[V_NEXT_IN] = int(message.text(34)) + 1
        if message.msg_type == "A":
            body: list[tuple[int, str | bytes | int]] = [(98, 0), (108, message.text(108))]
            stamp = utc_timestamp(time.time_ns())
            reply = build("FIX.4.4", "A", int(words[V_NEXT_OUT]), SENDER, TARGET, stamp, body)
            words[V_NEXT_OUT] += 1
            peer.sendall(reply)
        state = _decoded(self.venue, int(words[V_END]))  # orders behind it in the same read
        if state > 0:
            answer(self.venue, self.venue.orders, state)
        elif state == HANDED_OVER:
            self._take_cold(peer)

    def _play(self, ticks: int, gap_us: float, burst: int, pid: int, wake: bool = False) -> None:
        """One leg; ``wake``: the reader sleeps, and must be woken after each burst."""
        samples, words = np.zeros(ticks, np.int64), self.venue.words
        stray, settled, gap_ns = int(words[V_STRAY]), int(words[V_SETTLED]), int(gap_us * 1000)
        cpu_clock = (~pid << 3) | 2  # the kernel's name for all CPU time of another process
        cpu, begun = time.clock_gettime_ns(cpu_clock), time.monotonic_ns()
        if wake:
            failed = 0
            for first in range(0, ticks, burst):
                time.sleep(gap_us / 1e6)
                now = min(burst, ticks - first)
                fire(self.venue, self.ring.words, now)
                self.ring.wake_readers()
                failed = failed or int(collect(self.venue, now, samples, first))
        else:
            failed = int(measure(self.venue, self.ring.words, ticks, gap_ns, burst, samples))
        cpu, wall = time.clock_gettime_ns(cpu_clock) - cpu, time.monotonic_ns() - begun
        self._say(
            failed=failed, stray=int(words[V_STRAY]) - stray, settled_ns=int(words[V_SETTLED]) - settled,
            cpu_ns=cpu, wall_ns=wall,             samples=samples.tolist() if not failed else [],
        )  # fmt: skip


__all__ = ["SENDER", "SPOT", "TARGET", "Driver", "symbol", "symbol_table"]
