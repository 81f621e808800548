# ruff: noqa: T201 - rows speak to their parent process through stdout
"""Our side of the benchmark: the daemon's spine (loop, step, gateway, journal, store) without the daemon.

What a daemon gets from its venues by message (instruments, theos, books) is posted here as frames; from then on
everything is what trades: the loop in the mode asked for, a real session to the driver, every risk rule.
"""

import asyncio
import gc
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from config.sessions import SessionConfig
from engine.bench.venue import SENDER, SPOT, TARGET, symbol, symbol_table
from engine.fanin import R_CURSOR, word
from engine.gateway import Gateway
from engine.journal import Journal
from engine.latency import Latencies
from engine.loop import StepLoop, new_frame
from engine.replay import START_SNAPSHOT
from engine.snapshot import save
from engine.state import O_QUOTING, O_REPLACE_INTERVAL_NS, O_REQUOTE_FRACTION, O_STUCK_NS, W_OPEN, make_engine
from engine.turn import F_UNDERLYING
from engine.warmup import warm_kernels
from fix.store import MessageStore
from market.atomics import MSG_NOSIGNAL, c_send, cpu_pause, load_acquire
from market.enums import (
    ControlVerb,
    ExecType,
    FrameKind,
    OrderAction,
    OrdStatus,
    Right,
    ScopeKind,
    SecurityKind,
    SessionState,
)
from market.jit import kernel
from market.records import (
    CONTROL,
    EVENT,
    EXECUTION,
    INSTRUMENT,
    NO_INSTRUMENT,
    ORDER,
    RUN_START,
    THEO,
    THEO_COMMIT,
    TIMER,
    as_layout,
    table,
)
from market.rings import FRAME_WORDS, BroadcastRing, ring_read
from risk.limits import Limit
from strategies.quoting import QuotingParam

MAX_ORDERS = 16_384
OPEN_TIMEOUT_S = 60.0
_DAY_NS = 86_400_000_000_000
#: A series that is offered only: its bid would be below one tick. So a move of the spot makes one order, not two.
_THEO, _EDGE_TICKS = 0.30, 40.0
_WIDE = {
    Limit.MAX_MESSAGES_PER_S: 1e6, Limit.MAX_MESSAGE_BURST: 1e6, Limit.MAX_OPEN_ORDERS: 60_000.0,
    Limit.MAX_THEO_AGE_MS: 6e5, Limit.MAX_OPTION_FEED_AGE_MS: 6e5, Limit.MAX_UNDERLYING_AGE_MS: 6e5,
    Limit.MAX_COLLAR_THEO_TICKS: 100.0, Limit.MAX_COLLAR_MARKET_TICKS: 1000.0, Limit.MAX_DUPLICATES: 1e5,
}  # fmt: skip


class Spine:
    """Loop, gateway and journal; its own owner."""

    def __init__(self, directory: Path, ring: Path, port: int, mode: str, series: int, pin_core: int) -> None:
        self.series = series
        self.alerts: list[str] = []
        self.engine = make_engine(series + 1, MAX_ORDERS)
        self._configure()
        self.journal = Journal(directory / "run", 64, 1)
        self.journal.prepare()
        save(self.engine, directory / "run" / START_SNAPSHOT, 1, 0)
        latencies = Latencies(MAX_ORDERS)
        self.loop = StepLoop(self.engine, self.journal, mode, latencies, self._outputs, pin_core)
        self.loop.feeds.words[F_UNDERLYING] = 0
        self.loop.feeds.numbers[0, : series + 1] = np.arange(series + 1)
        config = SessionConfig(
            name="opt", venue="sim", sender_comp_id=TARGET, target_comp_id=SENDER, port=port, heartbeat_interval_s=600,
            heartbeat_max_s=600,
        )  # fmt: skip
        self.store = MessageStore(directory / "fix")
        symbols = symbol_table(series)
        self.gateway = Gateway(0, config, self.store, symbols, self.loop, latencies, self)
        self.ring = BroadcastRing.attach(ring)

    def _configure(self) -> None:
        engine = self.engine
        options, quoting = engine.options, engine.quoting
        options[O_QUOTING], options[O_STUCK_NS], options[O_REPLACE_INTERVAL_NS] = 1.0, 1e18, 0.0
        options[O_REQUOTE_FRACTION] = 1.0  # a series looks at the new spot when its own book moves
        quoting[QuotingParam.MIN_EDGE_TICKS] = _EDGE_TICKS
        for limit, value in _WIDE.items():
            engine.risk.limits[limit] = value
        for limit in (Limit.MAX_PORTFOLIO_DELTA, Limit.MAX_PORTFOLIO_VEGA, Limit.MAX_UNDERLYING_POSITION):
            engine.risk.limits[limit] = 1e8

    # -- the gateway's owner ---------------------------------------------------------------------

    def on_listings(self, gateway: Gateway, page: Any) -> None:
        """There is no list here."""

    def on_list_asked(self, gateway: Gateway) -> None:
        """It is never answered."""
        gateway.forget_list()

    def on_link(self, gateway: Gateway, up: bool, reason: str) -> None:
        """Only a loss is worth a word."""
        if not up:
            self.on_alert("error", f"down: {reason}")

    def on_alert(self, severity: str, text: str) -> None:
        """Kept for the report."""
        self.alerts.append(f"{severity}: {text}")

    def on_fatal(self, reason: str) -> None:
        """Ends the benchmark."""
        print(json.dumps({"fatal": reason}), file=sys.stderr, flush=True)
        os._exit(1)

    def halt(self, scope: ScopeKind, target: int, reason: str) -> None:
        """So does whatever stops trading."""
        self.on_fatal(reason)

    # -- the day's beginning ---------------------------------------------------------------------

    def _outputs(self, cells: Any, count: int) -> None:
        rows = as_layout(cells[:count].view(np.uint8), ORDER)
        orders = rows[rows["kind"] == FrameKind.ORDER]
        asked = orders[orders["action"] == OrderAction.MASS_STATUS]
        for row in asked:
            self._post(
                EXECUTION, FrameKind.EXECUTION, instrument=NO_INSTRUMENT, exec_type=ExecType.ORDER_STATUS,
                ord_status=OrdStatus.REJECTED, orig_cl_ord_id=row["cl_ord_id"], last_report=1, msg_seq=0,
            )  # fmt: skip
        trading = np.ascontiguousarray(orders[orders["action"] != OrderAction.MASS_STATUS])
        if len(trading):
            self.gateway.send(trading, len(trading))
        if not (rows["kind"] == FrameKind.EVENT).any():
            return
        for event in as_layout(cells[:count].view(np.uint8), EVENT)[rows["kind"] == FrameKind.EVENT][:5]:
            self.alerts.append(f"event {int(event['code'])} target {int(event['target'])} value {event['value']:g}")

    def _post(self, layout: Any, kind: FrameKind, **fields: Any) -> None:
        frame = new_frame(layout)
        frame["kind"] = kind
        for name, value in fields.items():
            frame[name] = value
        self.loop.post_frame(frame)

    def _post_rows(self, rows: Any) -> None:
        self.loop.post(np.asarray(rows).view(np.int64).reshape(-1, FRAME_WORDS), len(rows))

    async def open(self) -> None:
        """Log on, define, price, arm, and wait until every series is quoted and acknowledged."""
        self._post(RUN_START, FrameKind.RUN_START, run=1)
        self.loop.start(asyncio.get_running_loop())
        self.gateway.initiator.start()
        while not self.gateway.session.logged_on:
            await asyncio.sleep(0.01)
        self._define()
        self.loop.set_ring(0, self.ring.words, 0)
        self.loop.kick()
        while word(self.loop.feeds.sources, 0, R_CURSOR) < self.ring.cursor:
            await asyncio.sleep(0.01)
        if self.loop.mode == "park":
            self._park()
        self.gateway.tell_step(SessionState.LOGGED_ON)
        await asyncio.sleep(0.05)
        self._post(CONTROL, FrameKind.CONTROL, verb=ControlVerb.ARM)
        self._price()
        while not self._quoted():
            self._post(TIMER, FrameKind.TIMER)
            await asyncio.sleep(0.02)
        if self.loop.mode != "park":
            self.gateway.allow_hot()
            while not self.loop.hot.is_hot(0):
                self.gateway.beat()
                await asyncio.sleep(0.02)

    async def beat(self) -> None:
        """As the daemon's upkeep does."""
        while True:
            self.gateway.beat()
            await asyncio.sleep(0.1)

    def _quoted(self) -> bool:
        acknowledged = int((np.asarray(self.engine.orders["status"]) == OrdStatus.NEW).sum())
        return int(self.engine.words[W_OPEN]) == acknowledged == self.series

    def _define(self) -> None:
        rows = table(INSTRUMENT, self.series + 1)
        rows["kind"], rows["price_scale"] = FrameKind.INSTRUMENT, 2
        rows["instrument"] = np.arange(self.series + 1)
        rows["security"], rows["multiplier"], rows["strike"] = SecurityKind.OPTION, 100, SPOT / 100
        rows["right"], rows["expiry_ns"] = Right.CALL, self.loop.now_ns() + 30 * _DAY_NS
        rows["symbol"] = [symbol(number).encode() for number in range(self.series + 1)]
        rows[0]["security"], rows[0]["multiplier"] = SecurityKind.EQUITY, 1
        self._post_rows(rows)

    def _price(self) -> None:
        rows = table(THEO, self.series)
        rows["kind"], rows["instrument"] = FrameKind.THEO, np.arange(1, self.series + 1)
        rows["theo"], rows["delta"], rows["gamma"], rows["vega"] = _THEO, 0.5, 0.001, 1.0
        rows["vol"], rows["spot_ref"], rows["years"] = 0.2, SPOT / 100, 0.08
        self._post_rows(rows)
        self._post(THEO_COMMIT, FrameKind.THEO_COMMIT, underlying=0, rows=self.series, spot_ref=SPOT / 100)

    def _park(self) -> None:
        """As the daemon's feed does: sleep on the ring's doorbell."""
        descriptor = self.ring.open_doorbell()

        def rung() -> None:
            self.ring.drain_doorbell()
            for _ in range(4):
                self.loop.kick()
                if self.ring.park(word(self.loop.feeds.sources, 0, R_CURSOR)):
                    return
            asyncio.get_running_loop().call_soon(rung)

        asyncio.get_running_loop().add_reader(descriptor, rung)
        rung()

    def describe(self) -> str:
        """How far it has come, for an error's text."""
        statuses = np.unique(np.asarray(self.engine.orders["status"]), return_counts=True)
        return (
            f"session {self.gateway.session.state.value} {self.gateway.session.last_reason}, lane "
            f"{self.gateway.why_cold}, {int(self.engine.words[W_OPEN])} orders open, statuses {statuses}, "
            f"denials {np.unique(np.asarray(self.engine.series['ask_denial']))}, {self.alerts[-3:]}"
        )

    def close(self) -> None:
        """Stop the loop and seal the journal."""
        self.gateway.hot = False
        self.gateway.session.reclaim()
        self.loop.stop()
        self.journal.close()
        self.store.close()


async def burden() -> None:
    """What may go on in the main thread: much garbage, much Python, full collections of 800,000 objects."""
    keep = [[number, {"n": number}] for number in range(400_000)]
    while True:
        for _ in range(20):
            json.loads(json.dumps([{"a": number, "b": [number] * 3} for number in range(2_000)]))
        gc.collect()
        keep.reverse()
        await asyncio.sleep(0)


async def play(args: Any) -> None:
    """One row of ours: ready when all series are quoted, over when stdin closes."""
    warm_kernels(lambda text: None)
    spine = Spine(args.directory, args.ring, args.port, args.mode, args.series, args.core)
    if not args.load:  # under load the collector shall find everything
        gc.collect()
        gc.freeze()
    try:
        await asyncio.wait_for(spine.open(), OPEN_TIMEOUT_S)
    except TimeoutError:
        spine.on_fatal(f"not ready in {OPEN_TIMEOUT_S:g} s: {spine.describe()}")
    tasks = [asyncio.ensure_future(spine.beat()), *([asyncio.ensure_future(burden())] if args.load else [])]
    print(json.dumps({"ready": True, "mode": spine.loop.mode}), flush=True)
    over = asyncio.Event()
    threading.Thread(target=_wait_stdin, args=(asyncio.get_running_loop(), over), daemon=True).start()
    await over.wait()
    for task in tasks:
        task.cancel()
    spine.close()
    lane = spine.gateway.session.lane_snapshot()
    print(json.dumps({"alerts": spine.alerts[:20], "frames": spine.journal.next_seq, "lane": lane}), flush=True)
    os._exit(0)  # the session would say its logout to a driver that has gone


def _wait_stdin(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    sys.stdin.readline()
    loop.call_soon_threadsafe(over.set)


# -- the floor ------------------------------------------------------------------------------------


@kernel
def ring_to_send(ring: Any, cells: Any, stop: Any, fd: int, message: Any) -> int:
    """Send the same bytes for each tick about an option; nothing else. Frames taken."""
    cursor: Any = np.int64(0)
    while load_acquire(stop, 0) == 0:
        if ring_read(ring, cursor, cells, 0) <= 0:
            cpu_pause()
            continue
        cursor += 1
        if cursor > stop[1] and cells[0, 4] & 0xFFFFFFFF != 0:  # ticks of the opening image bring no order
            c_send(np.int32(fd), np.uintp(message.ctypes.data), np.uintp(len(message)), np.int32(MSG_NOSIGNAL))
    return cursor


def floor(args: Any) -> None:
    """The machine's limit: a spinning thread from the ring to ``send`` without any computation."""
    ring = BroadcastRing.attach(args.ring)
    peer = socket.create_connection(("127.0.0.1", args.port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    message, cells = np.full(args.raw, 120, np.uint8), np.zeros((1, FRAME_WORDS), np.int64)
    stop = np.array([1, ring.cursor], np.int64)
    ring_to_send(ring.words, cells, stop, -1, message)
    stop[0] = 0

    def spin() -> None:
        if args.core >= 0:
            os.sched_setaffinity(threading.get_native_id(), {args.core})
        ring_to_send(ring.words, cells, stop, peer.fileno(), message)

    threading.Thread(target=spin, daemon=True).start()
    print(json.dumps({"ready": True, "mode": "floor"}), flush=True)
    sys.stdin.readline()
    print(json.dumps({"alerts": []}), flush=True)
    os._exit(0)


def main(args: Any) -> None:
    """One engine process."""
    if args.mode == "floor":
        floor(args)
    else:
        uvloop.run(play(args))
