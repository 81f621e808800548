"""How many ticks a second the step takes on one core, and for how long: ``python benchmarks/step_throughput.py``.

A process of its own publishes quotes of 4,096 instruments into a ring at a fixed rate; the spin thread takes
each one: ring, book, theo, quote decision, journal. Our quotes stand in every series, so each tick is a full
decision; prices stay inside the threshold, so none leads to an order (what an order costs on top is what
``axiom bench tick-to-order`` shows).

Rows: the floor (the same ring, read and thrown away), the ceiling (the publisher waits only where the ring
would lap its reader), the rate asked for over the time asked for, and the soak. Each of ours checks at its end
that nothing was lost: frames taken = frames published, no lap, and each book is the last one
published. The journal is in shared memory unless --directory says otherwise, and its sealed segments are removed
while it runs: a million ticks a second are 128 MB a second, and on a disk it is the disk that is measured.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from engine.fanin import source_report
from engine.journal import Journal, segments
from engine.latency import Latencies
from engine.loop import StepLoop, new_frame
from engine.state import O_QUOTING, O_REQUOTE_FRACTION, O_STUCK_NS, W_OPEN, make_engine
from engine.turn import F_BACKLOG_MAX
from market import records
from market.atomics import clock_ns, cpu_pause, load_acquire, store_release
from market.enums import (
    ControlVerb,
    ExecType,
    FrameKind,
    OrderAction,
    OrdStatus,
    Right,
    SecurityKind,
    SessionState,
    TradingStatus,
)
from market.jit import kernel
from market.records import as_layout, table
from market.rings import FRAME_WORDS, W_CURSOR, BroadcastRing, ring_publish, ring_read
from risk.limits import Limit

_SLOTS = 1 << 18  # a quarter of a second of a million a second: a stall of the machine is not a loss
_SPOT, _THEO_TICKS = 10_000, 300
_MAX_ORDERS = 16_384
_DAY_NS = 86_400_000_000_000
_WIDE = {
    Limit.MAX_MESSAGES_PER_S: 1e6, Limit.MAX_MESSAGE_BURST: 1e6, Limit.MAX_OPEN_ORDERS: 60_000.0,
    Limit.MAX_THEO_AGE_MS: 6e5, Limit.MAX_OPTION_FEED_AGE_MS: 6e5, Limit.MAX_UNDERLYING_AGE_MS: 6e5,
    Limit.MAX_COLLAR_THEO_TICKS: 100.0, Limit.MAX_COLLAR_MARKET_TICKS: 1000.0, Limit.MAX_PORTFOLIO_DELTA: 1e9,
    Limit.MAX_PORTFOLIO_VEGA: 1e9, Limit.MAX_UNDERLYING_POSITION: 1e9,
}  # fmt: skip

# ctl words shared with the publisher (a file mapped by both)
_TAKEN, _STOP = 0, 8


# -- the publisher ----------------------------------------------------------------------------------


@kernel
def publish_paced(
    ring: Any, cells: Any, quotes: Any, ctl: Any, total: int, gap_ns: float, instruments: int, slots: int
) -> int:
    """Publish ``total`` quotes, one every ``gap_ns`` (0: as the reader follows); the longest delay behind plan."""
    started = clock_ns(1)
    late = np.int64(0)
    seq = np.int64(0)
    for n in range(total):
        if gap_ns > 0:
            due = started + np.int64(n * gap_ns)
            now = clock_ns(1)
            late = max(late, now - due)
            while now < due:
                cpu_pause()
                now = clock_ns(1)
        else:
            while ring[W_CURSOR] - load_acquire(ctl, _TAKEN) > slots // 2:
                cpu_pause()
        k = np.int64(n % instruments)
        if k == 0:
            seq += 1
        row = quotes[0]
        row.instrument = np.int32(k)
        row.src_seq = np.uint64(seq)
        row.ts_ns = clock_ns(0) if n & 15 == 0 else row.ts_ns
        centre = _SPOT if k == 0 else _THEO_TICKS
        width = np.int64(20 + (n // instruments) % 5)
        row.bid_ticks, row.ask_ticks = centre - width, centre + width
        ring_publish(ring, cells, 0)
        if load_acquire(ctl, _STOP) != 0:
            break
    return late


def _beat(ring: BroadcastRing) -> None:
    """Sign of life between the rows."""
    while True:
        ring.beat(time.time_ns(), time.time_ns())
        time.sleep(0.1)


def publish(args: argparse.Namespace) -> None:
    """The publisher's process: one line of JSON at its end."""
    ring = BroadcastRing.create(args.ring, _SLOTS, args.instruments, silence_ns=2_000_000_000)
    ctl = np.memmap(args.ctl, np.int64, "r+", shape=(64,))
    quotes = table(records.QUOTE, 1)
    cells = np.asarray(quotes).view(np.int64).reshape(1, FRAME_WORDS)
    quotes["kind"], quotes["status"] = FrameKind.QUOTE, TradingStatus.OPEN
    quotes["bid_qty"], quotes["ask_qty"] = 10, 10
    # The opening image, which also compiles: every book once.
    publish_paced(ring.words, cells, quotes, ctl, args.instruments, 1.0, args.instruments, _SLOTS)
    threading.Thread(target=_beat, args=(ring,), daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        begun = time.perf_counter()
        late = publish_paced(ring.words, cells, quotes, ctl, task["ticks"], task["gap_ns"], args.instruments, _SLOTS)
        spent = time.perf_counter() - begun
        print(json.dumps({"seconds": spent, "late_us": late / 1e3, "cursor": ring.cursor}), flush=True)
    ring.end()


# -- the engine -------------------------------------------------------------------------------------


class Pit:
    """Engine, journal and spin thread; orders are acknowledged on the spot, by no venue."""

    def __init__(self, directory: Path, ring: Path, instruments: int, core: int) -> None:
        self.instruments = instruments
        self.engine = make_engine(instruments, _MAX_ORDERS)
        options = self.engine.options
        options[O_QUOTING], options[O_STUCK_NS], options[O_REQUOTE_FRACTION] = 1.0, 1e18, 1.0
        for limit, value in _WIDE.items():
            self.engine.risk.limits[limit] = value
        self.directory = directory / "run"
        self.journal = Journal(self.directory, 256, 1)
        self.journal.prepare()
        self.orders = 0
        self.events: list[str] = []
        self.loop = StepLoop(self.engine, self.journal, "spin", Latencies(_MAX_ORDERS), self._outputs, core)
        self.loop.feeds.numbers[0, :instruments] = np.arange(instruments)
        self.ring = BroadcastRing.attach(ring)

    def _outputs(self, cells: Any, count: int) -> None:
        rows = as_layout(cells[:count].view(np.uint8), records.ORDER)
        orders = rows[rows["kind"] == FrameKind.ORDER]
        for event in as_layout(cells[:count].view(np.uint8), records.EVENT)[rows["kind"] == FrameKind.EVENT]:
            if len(self.events) < 20:
                self.events.append(f"event {int(event['code'])} target {int(event['target'])} value {event['value']:g}")
        if len(orders) == 0:
            return
        self.orders += len(orders)
        answers = table(records.EXECUTION, len(orders))
        answers["kind"], answers["exec_type"], answers["ord_status"] = FrameKind.EXECUTION, ExecType.NEW, OrdStatus.NEW
        for name in ("cl_ord_id", "orig_cl_ord_id", "instrument", "session", "side", "price_ticks"):
            answers[name] = orders[name]
        answers["order_qty"] = answers["leaves_qty"] = orders["qty"]
        answers["order_id"] = answers["exec_id"] = orders["cl_ord_id"]
        asked = orders["action"] == OrderAction.MASS_STATUS
        answers["exec_type"][asked], answers["ord_status"][asked] = ExecType.ORDER_STATUS, OrdStatus.REJECTED
        answers["orig_cl_ord_id"][asked] = orders["cl_ord_id"][asked]
        answers["instrument"][asked], answers["last_report"][asked] = records.NO_INSTRUMENT, 1
        self._post_rows(answers)

    def _post(self, layout: Any, kind: FrameKind, **fields: Any) -> None:
        frame = new_frame(layout)
        frame["kind"] = kind
        for name, value in fields.items():
            frame[name] = value
        self.loop.post_frame(frame)

    def _post_rows(self, rows: Any) -> None:
        self.loop.post(np.asarray(rows).view(np.int64).reshape(-1, FRAME_WORDS), len(rows))

    async def open(self) -> None:
        """Define, price, arm, and wait until every series is quoted."""
        self._post(records.RUN_START, FrameKind.RUN_START, run=1)
        rows = table(records.INSTRUMENT, self.instruments)
        rows["kind"], rows["price_scale"], rows["instrument"] = FrameKind.INSTRUMENT, 2, np.arange(len(rows))
        rows["security"], rows["multiplier"], rows["strike"] = SecurityKind.OPTION, 100, _SPOT / 100
        rows["right"], rows["expiry_ns"] = Right.CALL, self.loop.now_ns() + 30 * _DAY_NS
        rows["symbol"] = [f"AXM{k}".encode() for k in range(len(rows))]
        rows[0]["security"], rows[0]["multiplier"] = SecurityKind.EQUITY, 1
        self.loop.start(asyncio.get_running_loop())
        self._post_rows(rows)
        self.loop.set_ring(0, self.ring.words, 0)
        await self._until(lambda: self.taken() >= int(self.ring.words[W_CURSOR]))
        self._post(records.SESSION, FrameKind.SESSION, session=0, state=SessionState.LOGGED_ON)
        await asyncio.sleep(0.05)
        self._post(records.CONTROL, FrameKind.CONTROL, verb=ControlVerb.ARM)
        theos = table(records.THEO, self.instruments - 1)
        theos["kind"], theos["instrument"] = FrameKind.THEO, np.arange(1, self.instruments)
        theos["theo"], theos["delta"], theos["gamma"], theos["vega"] = _THEO_TICKS / 100, 0.5, 0.001, 1.0
        theos["vol"], theos["spot_ref"], theos["years"] = 0.2, _SPOT / 100, 0.08
        self._post_rows(theos)
        self._post(
            records.THEO_COMMIT, FrameKind.THEO_COMMIT, underlying=0, rows=len(theos), spot_ref=_SPOT / 100
        )  # fmt: skip
        wanted = 2 * (self.instruments - 1)
        for _ in range(500):
            if self._standing() == int(self.engine.words[W_OPEN]) == wanted:
                return
            self._post(records.TIMER, FrameKind.TIMER)
            await asyncio.sleep(0.02)
        series = self.engine.series[1]
        print(*self.events, f"series 1: {series}", f"its book: {self.engine.books[1]}", sep="\n", file=sys.stderr)
        raise SystemExit(f"only {int(self.engine.words[W_OPEN])} of {wanted} quotes stand: no decision to measure")

    def _standing(self) -> int:
        return int((np.asarray(self.engine.orders["status"]) == OrdStatus.NEW).sum())

    @staticmethod
    async def _until(done: Any) -> None:
        while not done():
            await asyncio.sleep(0.005)

    def taken(self) -> int:
        """Frames of the ring that the step has taken."""
        return self.source("frames")

    def source(self, name: str) -> int:
        """One of the counts of the ring's source."""
        return int(source_report(self.loop.feeds.sources, 0).counters[name])

    def thread_seconds(self) -> float:
        """CPU time of the step thread."""
        thread = self.loop._thread
        assert thread is not None and thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))

    def lost(self, cursor: int, instruments: int) -> list[str]:
        """What is wrong after a row; empty: nothing was lost."""
        found = []
        if self.taken() != cursor:
            found.append(f"{cursor - self.taken()} frames not taken")
        if self.source("laps") or self.source("lapped_frames") or self.source("orphans"):
            found.append("lapped or orphaned frames")
        books, cells = self.engine.books, np.zeros((1, FRAME_WORDS), np.int64)
        row = as_layout(cells.view(np.uint8), records.QUOTE)
        for n in range(cursor - instruments, cursor):
            if ring_read(self.ring.words, n, cells, 0) != 1:
                found.append(f"frame {n} is gone")
                continue
            book = books[int(row[0]["instrument"])]
            same = book["src_seq"] == row[0]["src_seq"] and book["bid_ticks"] == row[0]["bid_ticks"]
            if not same:
                found.append(f"book {int(row[0]['instrument'])} is not the last one published")
        return found[:5]


def housekeeping(pit: Pit, over: threading.Event) -> None:
    """What the daemon does off the path: the next segment ready, old ones away."""
    while not over.wait(0.02):
        pit.journal.prepare()
        for path in segments(pit.directory)[:-2]:
            path.unlink()


def resident_mib() -> float:
    """Resident memory without file pages."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


@kernel
def read_only(ring: Any, cells: Any, ctl: Any, cursor: int, until: int) -> int:
    """The floor: read each frame and do nothing; frames lost."""
    lost = np.int64(0)
    while cursor < until:
        got = ring_read(ring, cursor, cells, 0)
        if got == 0:
            cpu_pause()
            continue
        lost += got < 0
        cursor += 1
        store_release(ctl, _TAKEN, cursor)
    return lost


class Driver:
    """Plays rows against the publisher's process."""

    def __init__(self, pit: Pit, publisher: "subprocess.Popen[str]", ctl: Any) -> None:
        self.pit, self.publisher, self.ctl = pit, publisher, ctl

    def _ask(self, ticks: int, gap_ns: float) -> None:
        assert self.publisher.stdin is not None
        self.publisher.stdin.write(json.dumps({"ticks": ticks, "gap_ns": gap_ns}) + "\n")
        self.publisher.stdin.flush()

    async def _answer(self) -> dict[str, Any]:
        assert self.publisher.stdout is not None
        line = await asyncio.get_running_loop().run_in_executor(None, self.publisher.stdout.readline)
        return dict(json.loads(line))

    async def floor(self, ticks: int) -> dict[str, Any]:
        """The ring read by a thread of its own while the step's source is detached."""
        ring, cells = self.pit.ring, np.zeros((1, FRAME_WORDS), np.int64)
        start = ring.cursor
        read_only(ring.words, cells, self.ctl, start, start)
        self._ask(ticks, 0.0)
        loop = asyncio.get_running_loop()
        begun = time.perf_counter()
        lost = await loop.run_in_executor(None, read_only, ring.words, cells, self.ctl, start, start + ticks)
        spent = time.perf_counter() - begun
        await self._answer()
        return {"row": "floor: read the ring, nothing else", "ticks": ticks, "per_s": ticks / spent, "lost": int(lost)}

    async def row(self, name: str, ticks: int, rate: float) -> dict[str, Any]:
        """One row of ours."""
        print(f"{name}: {ticks:,} ticks ...", file=sys.stderr, flush=True)
        pit = self.pit
        words = pit.loop.feeds.words
        orders, frames = pit.orders, pit.journal.next_seq
        words[F_BACKLOG_MAX] = 0
        cpu, memory, begun = pit.thread_seconds(), resident_mib(), time.perf_counter()
        self._ask(ticks, 1e9 / rate if rate else 0.0)
        answering = asyncio.ensure_future(self._answer())
        while not answering.done():  # the publisher without a rate waits for this word
            self.ctl[_TAKEN] = pit.taken()
            await asyncio.sleep(0.0005 if rate == 0.0 else 0.05)
        answer = answering.result()
        await pit._until(lambda: pit.taken() + pit.source("lapped_frames") >= answer["cursor"])
        spent = time.perf_counter() - begun
        used = pit.thread_seconds() - cpu
        busy = used if rate == 0.0 else None  # a paced thread spins while it waits
        return {
            "row": name, "ticks": ticks, "per_s": ticks / spent, "cpu_ns_per_tick": busy and busy / ticks * 1e9,
            "backlog_max": int(words[F_BACKLOG_MAX]), "publisher_late_us": answer["late_us"],
            "journaled": pit.journal.next_seq - frames, "orders": pit.orders - orders,
            "memory_mib": [round(memory, 1), round(resident_mib(), 1)],
            "lost": pit.lost(answer["cursor"], pit.instruments),
        }  # fmt: skip


async def play(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows."""
    with tempfile.TemporaryDirectory(dir=args.directory) as name:
        directory = Path(name)
        ring = Path(f"/dev/shm/axiom-throughput-{os.getpid()}")
        (directory / "ctl").write_bytes(bytes(512))
        ctl = np.memmap(directory / "ctl", np.int64, "r+", shape=(64,))
        command = [sys.executable, __file__, "--publish", "--ring", str(ring), "--ctl", str(directory / "ctl"),
                   "--instruments", str(args.instruments)]  # fmt: skip
        publisher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert publisher.stdout is not None
        publisher.stdout.readline()
        if len(os.sched_getaffinity(0)) > 1:
            os.sched_setaffinity(publisher.pid, {max(os.sched_getaffinity(0))})
        core = min(os.sched_getaffinity(0)) if len(os.sched_getaffinity(0)) > 1 else -1
        pit = Pit(directory, ring, args.instruments, core)
        over = threading.Event()
        keeper = threading.Thread(target=housekeeping, args=(pit, over), daemon=True)
        keeper.start()
        await pit.open()
        driver = Driver(pit, publisher, ctl)
        rows = []
        try:
            # The step is attached as well during the floor, on the other core with the publisher at its side: so twice.
            rows.append(await driver.row("ceiling: as fast as the step takes them", args.ceiling, 0.0))
            rows.append(await driver.row(f"{args.rate:,.0f} ticks/s", int(args.rate * args.seconds), args.rate))
            rows.append(await driver.row("soak", args.soak, 0.0))
            pit.loop.stop()
            rows.insert(0, await driver.floor(args.ceiling))
        finally:
            over.set()
            keeper.join()
            publisher.stdin.close()  # type: ignore[union-attr]
            publisher.wait(10)
            pit.journal.close()
            ring.unlink(missing_ok=True)
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1e6)
    parser.add_argument("--soak", type=int, default=10_000_000)
    parser.add_argument("--ceiling", type=int, default=5_000_000)
    parser.add_argument("--instruments", type=int, default=4_096)
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="where the journal is written")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ring", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ctl", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.publish:
        publish(args)
        return
    before = os.getloadavg()[0]
    rows = uvloop.run(play(args))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {before:.1f} before")
    print(f"{'row':<42}{'ticks':>12}{'ticks/s':>13}{'ns/tick':>9}{'backlog':>9}{'orders':>8}  MiB          lost")
    for row in rows:
        cpu = row.get("cpu_ns_per_tick")
        memory = " -> ".join(f"{value:.0f}" for value in row.get("memory_mib", []))
        print(
            f"{row['row']:<42}{row['ticks']:>12,}{row['per_s']:>13,.0f}{f'{cpu:.0f}' if cpu else '':>9}"
            f"{row.get('backlog_max', ''):>9}{row.get('orders', ''):>8}  {memory:<12} {row['lost'] or 'nothing'}"
        )
    if args.json:
        document = {"machine": platform.platform(), "cores": os.cpu_count(), "load_before": before, "rows": rows}
        args.json.write_text(json.dumps(document, indent=1) + "\n")
    if any(row["lost"] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
