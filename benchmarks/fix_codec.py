"""FIX codec: parse an ExecutionReport, encode a NewOrderSingle, beside the peers.

Prints CPU nanoseconds a message (best of several rounds of this thread's CPU time, so that
neighbours on the machine count little) and the ratio to ours, all from one run:

    python benchmarks/fix_codec.py

Peers: simplefix; ``bytes.split`` into a dict (no checksum, no numbers); quickfix where installed.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import simplefix

from fix.codec import HotLink, Role, StopReason, SymbolTable, decode, encode_executions, encode_orders
from market import records
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, OrdType, Side, TimeInForce

NOW_NS = 1_767_361_512_123_456_789
BATCH = 2_000
ROUNDS = 30
SYMBOL = "GOOG151224C00750000"

try:
    import quickfix
except ImportError:
    quickfix = None


def best_ns(call: Callable[[], Any], messages: int, rounds: int = ROUNDS) -> float:
    """CPU nanoseconds a message of ``call``, which handles ``messages``: the best round."""
    call()
    best = float("inf")
    for _ in range(rounds):
        begin = time.thread_time_ns()
        call()
        best = min(best, time.thread_time_ns() - begin)
    return best / messages


def execution_rows(count: int) -> Any:
    """Rows of partial fills, as a venue writes them."""
    rows = records.table(records.EXECUTION, count)
    for name, value in (
        ("kind", FrameKind.EXECUTION), ("instrument", 7), ("side", Side.BUY), ("exec_type", ExecType.TRADE),
        ("ord_status", OrdStatus.PARTIALLY_FILLED), ("cl_ord_id", 0x0001_00000002_0003), ("order_id", 0xAB),
        ("price_ticks", 1250), ("last_ticks", 1245), ("last_qty", 3), ("order_qty", 10), ("leaves_qty", 7), ("cum_qty",
         3),
    ):  # fmt: skip
        rows[name] = value
    rows["exec_id"] = np.arange(1, count + 1)
    return rows


def order_rows(count: int) -> Any:
    """Rows of new limit orders."""
    rows = records.table(records.ORDER, count)
    for name, value in (
        ("action", OrderAction.NEW), ("instrument", 7), ("side", Side.BUY), ("ord_type", OrdType.LIMIT),
        ("tif", TimeInForce.DAY), ("price_ticks", 1245), ("qty", 10),
    ):  # fmt: skip
        rows[name] = value
    rows["cl_ord_id"] = np.arange(1, count + 1)
    return rows


def simplefix_order(seq: int) -> bytes:
    """The same NewOrderSingle by simplefix."""
    message = simplefix.FixMessage()
    for tag, value in (
        (8, "FIX.4.4"), (35, "D"), (49, "AXIOM"), (56, "OPT"), (34, seq), (52, "20260102-13:45:12.123"), (11,
         f"{seq:016X}"),
        (55, SYMBOL), (54, "1"), (38, 10), (40, "2"), (44, "12.45"), (59, "0"), (21, "1"), (60,
         "20260102-13:45:12.123"),
    ):  # fmt: skip
        message.append_pair(tag, value)
    return bytes(message.encode())


def simplefix_parse(message: bytes) -> Any:
    """One message through simplefix' parser."""
    parser = simplefix.FixParser()
    parser.append_buffer(message)
    return parser.get_message()


def split_parse(message: bytes) -> dict[bytes, bytes]:
    """Tags to values, nothing checked, nothing converted."""
    return dict(field.split(b"=", 1) for field in message.split(b"\x01")[:-1])  # type: ignore[misc]


def table(title: str, rows: list[tuple[str, float]]) -> None:
    """Print rows and their ratio to the first."""
    print(f"\n{title}\n{'':34}{'ns/message':>12}{'ratio':>9}")
    for name, nanos in rows:
        print(f"{name:34}{nanos:12,.0f}{nanos / rows[0][1]:8.1f}x")


def measure_parse(client: HotLink, venue: HotLink, symbols: SymbolTable) -> None:
    """ExecutionReports of a partial fill: in a batch, one a call, and the peers'."""
    out = np.zeros(BATCH * 1024, np.uint8)
    ends = np.zeros(BATCH, np.int64)
    total, count, _ = encode_executions(
        venue.state, symbols.state, execution_rows(BATCH), 0, BATCH, 100_001, NOW_NS, out, ends
    )
    frames = records.frames(BATCH)
    one = bytes(out[: int(ends[0])])

    def batch() -> None:
        result = decode(client.state, symbols.state, out, 0, total, 100_001, NOW_NS, frames)
        if result != (total, BATCH, BATCH, StopReason.NEED_MORE):
            raise RuntimeError(f"decode stopped early: {result}, {client.hand_over}")

    first, buffer = int(ends[0]), np.frombuffer(bytearray(one), np.uint8)
    rows = [
        ("decode, in the kernel", best_ns(batch, count)),
        (
            "decode, one message a call",
            best_ns(lambda: decode(client.state, symbols.state, buffer, 0, first, 100_001, NOW_NS, frames), 1, 2000),
        ),
        ("bytes.split to dict, unchecked", best_ns(lambda: split_parse(one), 1, 2000)),
        ("simplefix", best_ns(lambda: simplefix_parse(one), 1, 500)),
    ]
    if quickfix is not None:
        text = one.decode()
        rows.append(("quickfix.Message(text)", best_ns(lambda: quickfix.Message(text, False), 1, 500)))
    table(f"Parse and check an ExecutionReport of {len(one)} bytes", rows)


def measure_encode(client: HotLink, symbols: SymbolTable) -> None:
    """NewOrderSingles: in a batch, one a call, and the peers'."""
    orders = order_rows(BATCH)
    out = np.zeros(BATCH * 1024, np.uint8)
    ends = np.zeros(BATCH, np.int64)

    def batch(count: int) -> int:
        total, messages, stop = encode_orders(client.state, symbols.state, orders, 0, count, 100_001, NOW_NS, out, ends)
        if messages != count:
            raise RuntimeError(f"encode stopped at row {messages}: {stop}")
        return int(total)

    size = batch(1)
    rows = [
        ("encode_orders, in the kernel", best_ns(lambda: batch(BATCH), BATCH)),
        ("encode_orders, one message a call", best_ns(lambda: batch(1), 1, 2000)),
        ("simplefix", best_ns(lambda: simplefix_order(100_001), 1, 500)),
    ]
    if quickfix is not None:
        rows.append(("quickfix, typed fields + toString", best_ns(quickfix_order, 1, 500)))
    table(f"Encode a NewOrderSingle of {size} bytes", rows)


def quickfix_order() -> str:
    """The same NewOrderSingle by quickfix."""
    message = quickfix.Message()
    message.getHeader().setField(8, "FIX.4.4")
    for tag, value in ((35, "D"), (49, "AXIOM"), (56, "OPT"), (34, "100001"), (52, "20260102-13:45:12.123")):
        message.getHeader().setField(tag, value)
    for tag, value in (
        (11, "0000000000000001"), (55, SYMBOL), (54, "1"), (38, "10"), (40, "2"), (44, "12.45"), (59, "0"), (21, "1"),
        (60, "20260102-13:45:12.123"),
    ):  # fmt: skip
        message.setField(tag, value)
    return str(message.toString())


def main() -> None:
    """Print both tables."""
    symbols = SymbolTable(4096)
    for instrument in range(3000):
        symbols.add(SYMBOL if instrument == 7 else f"GOOG151224P{instrument:08d}", instrument)
    client = HotLink("FIX.4.4", "AXIOM", "OPT", role=Role.CLIENT)
    venue = HotLink("FIX.4.4", "OPT", "AXIOM", role=Role.VENUE)
    measure_parse(client, venue, symbols)
    measure_encode(client, symbols)
    if quickfix is None:
        print("\nquickfix is not installed: its rows are left out")


if __name__ == "__main__":
    main()
