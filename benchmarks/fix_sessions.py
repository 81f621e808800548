"""A thousand acceptor sessions in one process on one core: memory of an idle one, CPU when idle and when trading.

    python benchmarks/fix_sessions.py [--sessions 1000] [--seconds 10] [--rate 5] [--heartbeat 5]

The server process is pinned to one core. It holds real sessions: message store on disk, acceptor,
machine, latency histograms, the codec kernels bound to each (``--cold``: none). The peers are bare
sockets in this process on the other core, which log on, heartbeat, and send ``rate`` orders a second
each, spread evenly; every order is answered by an ExecutionReport.

Memory of an idle session is the growth of the server's resident set from before the first session
was made until all are logged on and quiet, divided by their number: machine, store and its mapped
pages, connection, all.
"""

# ruff: noqa: D102 - methods bear the names that their callers give them

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SYMBOL = "GOOG151224C00750000"
IDLE_LIMIT_KIB = 100


# ---------------------------------------------------------------------------------- server


class Venue:
    """Acknowledges every order of every session."""

    def __init__(self) -> None:
        self.next_id = 0
        self.orders = 0

    def on_message(self, session: Any, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        self.orders += 1
        start = raw.find(b"\x0111=") + 4
        number = f"{self.orders:016X}"
        session.send("8", [
            (37, number), (11, raw[start : raw.find(b"\x01", start)]), (17, number), (150, "0"), (39, "0"),
            (55, SYMBOL), (54, "1"), (38, "10"), (44, "12.45"), (151, "10"), (14, "0"), (6, "0"),
        ])  # fmt: skip

    def on_frames(self, session: Any, frames: Any, count: int) -> None:
        self.orders += count
        rows = self.rows
        rows["cl_ord_id"][:count] = self.orders_of(frames)[:count]
        rows["exec_id"][:count] = rows["order_id"][:count] = self.orders
        session.send_executions(rows, count)

    def prepare(self) -> None:
        from market import records
        from market.enums import ExecType, FrameKind, OrdStatus, Side

        self.rows = records.table(records.EXECUTION, 256)
        for name, value in (
            ("kind", FrameKind.EXECUTION), ("exec_type", ExecType.NEW), ("ord_status", OrdStatus.NEW),
            ("instrument", 3), ("side", Side.BUY), ("price_ticks", 1245), ("order_qty", 10), ("leaves_qty", 10),
        ):  # fmt: skip
            self.rows[name] = value
        self.orders_of = lambda frames: records.as_layout(frames, records.ORDER)["cl_ord_id"]

    def on_state(self, session: Any, state: Any, reason: str) -> None: ...


def resident_kib() -> int:
    """Resident set of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


async def server(count: int, directory: Path, hot: bool) -> None:
    """Hold the sessions; answer each line on stdin by a line of figures."""
    from fix.codec import SymbolTable
    from fix.endpoints import Acceptor, CodecHotPath, Doorstep, FixSession
    from fix.session import Role, SessionSettings, State
    from fix.store import MessageStore

    symbols = SymbolTable(8)
    symbols.add(SYMBOL, 3, 2, 100)
    venue = Venue()
    venue.prepare()

    def session(number: int) -> Any:
        settings = SessionSettings(
            sender_comp_id="OPT", target_comp_id=f"C{number:04d}", role=Role.ACCEPTOR, heartbeat_interval_s=30
        )
        kernels = CodecHotPath.for_session(settings, symbols, number, capacity=256) if hot else None
        return FixSession(settings, MessageStore(directory / settings.name), venue, kernels, number)

    warm = session(9999)  # what the first session loads is not the price of a session
    acceptor = Acceptor([warm], doorstep=Doorstep(max_waiting=count + 1))
    await acceptor.start()
    gc.collect()
    empty_kib = resident_kib()
    for number in range(count):
        acceptor.add(session(number))
    print(acceptor.port, flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        live = [one for one in acceptor.sessions if one.state is State.LOGGED_ON]
        gc.collect()
        print(json.dumps({
            "kib": resident_kib() - empty_kib, "cpu_s": time.process_time(), "orders": venue.orders, "live": len(live),
            "drops": acceptor.drop_count, "hot": sum(one.counters.hot_in for one in live),
        }), flush=True)  # fmt: skip


# ---------------------------------------------------------------------------------- peers


class Peer(asyncio.Protocol):
    """One client on a bare socket: it keeps its numbers, and takes every answer for granted."""

    def __init__(self, number: int, heartbeat_s: int, samples: list[int]) -> None:
        self.name = f"C{number:04d}"
        self.seq = 0
        self.heartbeat_s = heartbeat_s
        self.samples = samples
        self.reports = 0
        self.sent_ns = 0
        self.logged_on: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.say("A", [(98, 0), (108, self.heartbeat_s)])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.logged_on.done():
            self.logged_on.set_exception(ConnectionError(f"{self.name} was dropped"))

    def data_received(self, data: bytes) -> None:
        if not self.logged_on.done():
            self.logged_on.set_result(None)
        reports = data.count(b"\x0135=8\x01")
        if reports:
            self.reports += reports
            self.samples.append(time.perf_counter_ns() - self.sent_ns)

    def say(self, msg_type: str, body: list[tuple[int, Any]]) -> None:
        from fix.messages import build, utc_timestamp

        self.seq += 1
        stamp = utc_timestamp(time.time_ns())
        self.transport.write(build("FIX.4.4", msg_type, self.seq, self.name, "OPT", stamp, body))

    def order(self) -> None:
        from fix.messages import utc_timestamp

        self.sent_ns = time.perf_counter_ns()
        self.say("D", [
            (11, f"{self.seq:016X}"), (21, "1"), (38, "10"), (40, "2"), (44, "12.45"), (54, "1"), (55, SYMBOL),
            (59, "0"), (60, utc_timestamp(time.time_ns())),
        ])  # fmt: skip


async def spread(peers: list[Peer], every_s: float, call: Any, until_s: float) -> None:
    """Let each peer do ``call`` once in ``every_s``, evenly spread, in slices of 5 ms."""
    loop = asyncio.get_running_loop()
    begun, done = loop.time(), 0
    while loop.time() < until_s:
        due = int((loop.time() - begun) / every_s * len(peers))
        while done < due:
            call(peers[done % len(peers)])
            done += 1
        await asyncio.sleep(0.005)


def rate_of(before: dict[str, float], after: dict[str, float], seconds: float) -> float:
    """Share of one core that the server used."""
    return (after["cpu_s"] - before["cpu_s"]) / seconds * 100


async def drive(chosen: argparse.Namespace, process: Any) -> None:
    """Log all peers on, let them be quiet, let them trade; print the figures."""

    def ask() -> dict[str, float]:
        process.stdin.write("\n")
        process.stdin.flush()
        return dict(json.loads(process.stdout.readline()))

    loop = asyncio.get_running_loop()
    port = int(process.stdout.readline())
    samples: list[int] = []
    begun = loop.time()
    peers = []
    for number in range(chosen.sessions):
        _, peer = await loop.create_connection(lambda n=number: Peer(n, chosen.heartbeat, samples), "127.0.0.1", port)
        peers.append(peer)
    await asyncio.gather(*(peer.logged_on for peer in peers))
    logon_s = loop.time() - begun
    idle_kib = ask()["kib"] / chosen.sessions
    beats = asyncio.create_task(spread(peers, chosen.heartbeat, lambda peer: peer.say("0", []), 1e18))
    before = ask()
    await asyncio.sleep(chosen.seconds)
    quiet = ask()
    await spread(peers, 1 / chosen.rate, Peer.order, loop.time() + chosen.seconds)
    busy = ask()
    beats.cancel()
    samples.sort()
    orders = busy["orders"] - quiet["orders"]
    print(f"\n{chosen.sessions} acceptor sessions, one process, one core{', cold path' if chosen.cold else ''}")
    print(f"  logged on in {logon_s:.2f} s, alive at the end: {busy['live']:.0f}, dropped: {busy['drops']:.0f}")
    print(f"  memory of an idle session      {idle_kib:8.1f} KiB   (limit {IDLE_LIMIT_KIB})")
    print(f"  idle, heartbeat {chosen.heartbeat} s            {rate_of(before, quiet, chosen.seconds):8.1f} % CPU")
    print(
        f"  trading, {orders / chosen.seconds:,.0f} orders/s        {rate_of(quiet, busy, chosen.seconds):8.1f} % CPU"
    )
    if samples:
        p50, p99 = samples[len(samples) // 2] / 1e3, samples[len(samples) * 99 // 100] / 1e3
        reports = sum(peer.reports for peer in peers)
        print(f"  order to report, seen by peers {p50:8.0f} us p50, {p99:.0f} us p99 ({reports:,} reports)")


def main() -> None:
    parser = argparse.ArgumentParser(description="1,000 acceptor sessions on one core")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=5.0, help="orders a second of each session")
    parser.add_argument("--heartbeat", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="no codec kernels")
    parser.add_argument("--server", type=Path)
    chosen = parser.parse_args()
    import uvloop

    cores = sorted(os.sched_getaffinity(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8 * chosen.sessions + 256)), hard))
    if chosen.server:
        os.sched_setaffinity(0, cores[-1:])
        uvloop.run(server(chosen.sessions, chosen.server, not chosen.cold))
        return
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, __file__, "--server", directory, "--sessions", str(chosen.sessions)]
        process = subprocess.Popen(
            [*command, *(["--cold"] if chosen.cold else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
        try:
            uvloop.run(drive(chosen, process))
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
