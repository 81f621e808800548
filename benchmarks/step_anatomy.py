"""Where the nanoseconds of one message are: ``python benchmarks/step_anatomy.py [--instructions]``.

One thread, no sockets, no other process: a kernel plays prepared frames through the parts of the path, first
through none of them and then through one more in each row. CPU time of the thread, median of the rounds; what a
part costs is the difference to the row before. ``--instructions`` counts machine instructions as well, by callgrind
(valgrind must be installed; the kernels are then compiled for a CPU that valgrind knows: the counts are of that code).
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.handle import (
    Handle,
    in_cells,
    in_execution,
    in_header,
    make_handle,
    out_cells,
    out_order,
)
from engine.journal import J_POSITION, Journal, journal_append
from engine.state import (
    O_QUOTING,
    O_REPLACE_INTERVAL_NS,
    O_REQUOTE_FRACTION,
    O_STUCK_NS,
    OUTPUT_FRAMES,
    W_OPEN,
    W_OUT,
    make_engine,
)
from engine.step.dispatch import step
from fix.codec import HotLink, Role, SymbolTable
from fix.codec.encode import encode_orders
from fix.codec.views import orders_of
from market import records
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
from market.records import table
from market.rings import FRAME_WORDS
from risk.limits import Limit

INSTRUMENTS = 4_096
_SPOT, _THEO = 10_000, 300
_START_NS = 1_700_000_000_000_000_000
_DAY_NS = 86_400_000_000_000
_GAP_NS = 1_000  # of step time between two frames
_NEW, _REPLACED = np.int64(ExecType.NEW), np.int64(ExecType.REPLACED)
_ORDER, _EXECUTION = np.int64(FrameKind.ORDER), np.int64(FrameKind.EXECUTION)
_ASK_NEW = np.int64(OrderAction.NEW)
_REPLACE, _STANDS = np.int64(OrderAction.REPLACE), np.int64(OrdStatus.NEW)
_WIDE = {
    Limit.MAX_MESSAGES_PER_S: 1e9, Limit.MAX_MESSAGE_BURST: 1e9, Limit.MAX_OPEN_ORDERS: 60_000.0,
    Limit.MAX_THEO_AGE_MS: 6e8, Limit.MAX_OPTION_FEED_AGE_MS: 6e8, Limit.MAX_UNDERLYING_AGE_MS: 6e8,
    Limit.MAX_COLLAR_THEO_TICKS: 1e5, Limit.MAX_COLLAR_MARKET_TICKS: 1e5, Limit.MAX_PORTFOLIO_DELTA: 1e9,
    Limit.MAX_PORTFOLIO_VEGA: 1e9, Limit.MAX_UNDERLYING_POSITION: 1e9,
}  # fmt: skip
#: What a row plays: name, whether it journals, steps, moves prices, moves the spot as well, encodes.
ROWS = (
    ("frame copied", False, False, False, False, False),
    ("+ journal, with its CRC", True, False, False, False, False),
    ("+ step: book, prices as they were", True, True, False, False, False),
    ("+ step: quote decision, nothing to send", True, True, True, False, False),
    ("+ step: a replace a tick, gate and order state, its answer", True, True, True, True, False),
    ("+ encode to FIX", True, True, True, True, True),
)


@kernel
def play(
    e: Handle, journal: Any, script: Any, first: int, count: int, journaled: bool, stepped: bool, encoded: bool,
    link: Any, symbols: Any, out: Any, ends: Any, held: Any, held_bytes: Any,
) -> int:  # fmt: skip
    """Play rows ``first .. first + count`` of ``script`` (wrapping); orders that came out, each answered at once."""
    orders = np.int64(0)
    for n in range(count):
        at = (first + n) % len(script)
        for k in range(FRAME_WORDS):
            in_cells(e)[0, k] = script[at, k]
        in_header(e)[0].recv_ns = in_header(e)[0].ts_ns = _START_NS + (first + n) * _GAP_NS
        if journaled:
            journal_append(journal, in_cells(e), 0, 1)
        if not stepped:
            continue
        made = step(e, 0)
        if made == 0:
            continue
        journal_append(journal, out_cells(e), 0, made)
        if encoded:
            encode_orders(link, symbols, out_order(e), 0, made, 1 + n, in_header(e)[0].recv_ns, out, ends)
        orders += made
        now_ns = in_header(e)[0].recv_ns
        for row in range(made):  # answers are steps of their own, and write the output anew
            for k in range(FRAME_WORDS):
                held[row, k] = out_cells(e)[row, k]
        for row in range(made):
            _answer(e, journal, orders_of(held_bytes), row, now_ns)
    return orders


@kernel
def _answer(e: Handle, journal: Any, orders: Any, row: int, now_ns: int) -> None:
    """The venue's word that the order or replace ``orders[row]`` stands."""
    order = orders[row]
    action = np.int64(order.action)
    if np.int64(order.kind) != _ORDER or not (action == _REPLACE or action == _ASK_NEW):
        return
    for k in range(FRAME_WORDS):
        in_cells(e)[0, k] = 0
    report = in_execution(e)[0]
    report.kind, report.recv_ns = _EXECUTION, now_ns
    report.exec_type = _REPLACED if action == _REPLACE else _NEW
    report.ord_status = _STANDS
    report.cl_ord_id, report.orig_cl_ord_id = order.cl_ord_id, order.orig_cl_ord_id
    report.exec_id = report.order_id = order.cl_ord_id
    report.instrument, report.session, report.side = order.instrument, order.session, order.side
    report.price_ticks = order.price_ticks
    report.order_qty, report.leaves_qty = order.qty, order.qty
    journal_append(journal, in_cells(e), 0, 1)
    step(e, 0)


class Bench:
    """An engine with a quoted chain."""

    def __init__(self, directory: Path) -> None:
        self.engine = make_engine(INSTRUMENTS, 16_384)
        self.handle = make_handle(self.engine)
        self.journal = Journal(directory / "run", 256, 1)
        self.now = _START_NS - 10 * _DAY_NS
        options = self.engine.options
        options[O_QUOTING], options[O_STUCK_NS], options[O_REPLACE_INTERVAL_NS] = 1.0, 1e18, 0.0
        options[O_REQUOTE_FRACTION] = 1.0
        for limit, value in _WIDE.items():
            self.engine.risk.limits[limit] = value
        self.link = HotLink("FIX.4.4", "AXIOM", "VENUE", role=Role.CLIENT)
        self.symbols = SymbolTable(INSTRUMENTS)
        for number in range(INSTRUMENTS):
            self.symbols.add(f"AXM{number}", number, 2, 100 if number else 1)
        self.out, self.ends = np.zeros(1 << 16, np.uint8), np.zeros(64, np.int64)
        self.held_bytes = np.zeros((OUTPUT_FRAMES, 8 * FRAME_WORDS), np.uint8)
        self.held = self.held_bytes.view(np.int64)
        self.played = 0

    def feed(self, layout: Any, kind: FrameKind, **fields: Any) -> int:
        """One frame into the step, its orders answered; how many frames came out."""
        row = table(layout, 1)
        row["kind"] = kind
        for name, value in fields.items():
            row[name] = value
        self._rewind()
        script = np.asarray(row).view(np.int64).reshape(1, FRAME_WORDS)
        self._play(script, 1, journaled=True, stepped=True, encoded=False)
        return int(self.engine.words[W_OUT])

    def _rewind(self) -> None:
        """The journal's memory again from its start: no file is kept, no page is new."""
        self.journal.view.words[J_POSITION] = 0

    def _play(self, script: Any, count: int, *, journaled: bool, stepped: bool, encoded: bool) -> int:
        made = play(
            self.handle, self.journal.view, script, self.played, count, journaled, stepped, encoded, self.link.state,
            self.symbols.state, self.out, self.ends, self.held, self.held_bytes,
        )  # fmt: skip
        self.played += count
        return int(made)

    def open(self) -> None:
        """Define, log on, show a market, price, arm: one quote a side in every series."""
        self.feed(records.RUN_START, FrameKind.RUN_START, run=1)
        expiry = _START_NS + 30 * _DAY_NS
        self.feed(
            records.INSTRUMENT, FrameKind.INSTRUMENT, security=SecurityKind.EQUITY, price_scale=2, multiplier=1,
            symbol=b"AXM0",
        )  # fmt: skip
        for number in range(1, INSTRUMENTS):
            self.feed(
                records.INSTRUMENT, FrameKind.INSTRUMENT, instrument=number, security=SecurityKind.OPTION,
                price_scale=2, multiplier=100, strike=_SPOT / 100, right=Right.CALL, expiry_ns=expiry,
                symbol=f"AXM{number}".encode(),
            )  # fmt: skip
        made = self.feed(records.SESSION, FrameKind.SESSION, state=SessionState.LOGGED_ON)
        [request] = [row["cl_ord_id"] for row in self.engine.outputs.order[:made] if row["kind"] == FrameKind.ORDER]
        self.feed(
            records.EXECUTION, FrameKind.EXECUTION, instrument=records.NO_INSTRUMENT, exec_type=ExecType.ORDER_STATUS,
            ord_status=OrdStatus.REJECTED, orig_cl_ord_id=request, last_report=1,
        )  # fmt: skip
        self._play(self.quotes(prices=True, spot=False), INSTRUMENTS, journaled=True, stepped=True, encoded=False)
        self.feed(records.CONTROL, FrameKind.CONTROL, verb=ControlVerb.ARM)
        for number in range(1, INSTRUMENTS):
            self.feed(
                records.THEO, FrameKind.THEO, instrument=number, theo=_THEO / 100, delta=0.5, gamma=0.001, vega=1.0,
                vol=0.2, spot_ref=_SPOT / 100, years=0.08,
            )  # fmt: skip
        self.feed(records.THEO_COMMIT, FrameKind.THEO_COMMIT, rows=INSTRUMENTS - 1, spot_ref=_SPOT / 100)
        self._rewind()
        for _ in range(3):
            self._play(self.quotes(prices=True, spot=False), INSTRUMENTS, journaled=True, stepped=True, encoded=False)
            self._rewind()
        wanted = 2 * (INSTRUMENTS - 1)
        if int(self.engine.words[W_OPEN]) != wanted:
            raise SystemExit(f"{int(self.engine.words[W_OPEN])} of {wanted} quotes stand: nothing to measure")

    def quotes(self, *, prices: bool, spot: bool) -> Any:
        """Ticks of all series, each with other ``prices``; before each a ``spot`` elsewhere: its quotes must follow."""
        rows = table(records.QUOTE, 4 * INSTRUMENTS)
        rows["kind"], rows["status"], rows["bid_qty"], rows["ask_qty"] = FrameKind.QUOTE, TradingStatus.OPEN, 10, 10
        place = np.arange(len(rows))
        if spot:
            rows["instrument"] = np.where(place % 2 == 0, 0, 1 + (place // 2) % (INSTRUMENTS - 1))
            level = _SPOT + np.where((place // 2) // (INSTRUMENTS - 1) % 2 == 0, 40, -40)
        else:
            rows["instrument"] = place % INSTRUMENTS
            level = np.full(len(rows), _SPOT)
        option = rows["instrument"] != 0
        width = np.where(option, 60 + (place // INSTRUMENTS % 4 if prices else 0), 1)
        centre = np.where(option, _THEO, level)
        rows["bid_ticks"], rows["ask_ticks"], rows["src_seq"] = centre - width, centre + width, place + 1
        return np.asarray(rows).view(np.int64).reshape(-1, FRAME_WORDS)

    def row(self, number: int, count: int) -> tuple[int, int]:
        """CPU ns and orders of ``count`` ticks of one row of the table."""
        _, journaled, stepped, prices, spot, encoded = ROWS[number]
        script = self.quotes(prices=prices, spot=spot)
        self._rewind()
        self._play(script, len(script), journaled=True, stepped=True, encoded=False)  # what it changes, is changed now
        self._rewind()
        began = time.thread_time_ns()
        made = self._play(script, count, journaled=journaled, stepped=stepped, encoded=encoded)
        return time.thread_time_ns() - began, made


def child(args: argparse.Namespace) -> None:
    """Under callgrind: say when to count."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        bench.open()
        for number in range(len(ROWS)):
            bench.row(number, args.count)
        print("ready", flush=True)
        for line in sys.stdin:
            number, count = map(int, line.split())
            spent, made = bench.row(number, count)
            print(json.dumps({"orders": made, "ns": spent}), flush=True)


def instructions(count: int) -> list[float] | None:
    """Machine instructions a tick of each row, by callgrind; None without valgrind."""
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        print("no instruction counts: valgrind is not installed", file=sys.stderr)
        return None
    environment = {**os.environ, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+popcnt"}
    command = [sys.executable, __file__, "--child", "--count", str(count)]
    print("compiling for valgrind's CPU, then counting (minutes) ...", file=sys.stderr)
    subprocess.run(command, env=environment, check=True, input="", text=True, stdout=subprocess.DEVNULL)
    found = []
    with tempfile.TemporaryDirectory() as name:
        under = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={name}/out.%p", *command]
        process = subprocess.Popen(under, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        with contextlib.closing(process.stdin):
            while process.stdout.readline().strip() != "ready":
                if process.poll() is not None:
                    raise SystemExit("the run under valgrind ended before it began to count")
            _counted(process, Path(name), 0, count)  # what happens once, happens now
            for number in range(len(ROWS)):  # twice, so that what surrounds the ticks falls out
                few, many = (_counted(process, Path(name), number, n) for n in (count, 3 * count))
                found.append((many - few) / (2 * count))
        process.wait(60)
    return found


def _counted(process: "subprocess.Popen[str]", directory: Path, number: int, count: int) -> int:
    """Instructions of the whole process while it plays ``count`` ticks of a row."""
    assert process.stdin is not None and process.stdout is not None
    _control(process.pid, "-i", "on")
    process.stdin.write(f"{number} {count}\n")
    process.stdin.flush()
    process.stdout.readline()
    _control(process.pid, "-d")
    _control(process.pid, "-i", "off")
    _control(process.pid, "-z")
    newest = max(directory.glob("out.*"), key=lambda path: path.stat().st_mtime_ns)
    totals = [line for line in newest.read_text().splitlines() if line.startswith(("totals:", "summary:"))]
    return int(totals[-1].split()[1])


def _control(pid: int, *arguments: str) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["callgrind_control", *arguments, str(pid)], check=True, **quiet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000, help="ticks a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        bench.open()
        times: list[list[float]] = [[] for _ in ROWS]
        orders = [0] * len(ROWS)
        for _ in range(args.rounds):
            for number in range(len(ROWS)):
                spent, orders[number] = bench.row(number, args.count)
                times[number].append(spent / args.count)
    counts = instructions(20_000) if args.instructions else None
    print(f"load {load:.1f}; per tick, median of {args.rounds} rounds of {args.count:,}")
    print(f"{'':<58}{'ns':>8}{'part':>8}{'orders':>9}{'instr.':>9}{'part':>8}")
    before, before_count, rows = 0.0, 0.0, []
    for number, (label, *_) in enumerate(ROWS):
        ns = float(np.median(times[number]))
        count = counts[number] if counts else 0.0
        share = orders[number] / args.count
        line = f"{label:<58}{ns:>8.1f}{ns - before:>8.1f}{share:>9.2f}"
        print(line + (f"{count:>9.0f}{count - before_count:>8.0f}" if counts else ""))
        rows.append({"row": label, "ns": ns, "orders_per_tick": share, "instructions": count or None})
        before, before_count = ns, count
    if args.json:
        args.json.write_text(json.dumps({"load": load, "count": args.count, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
