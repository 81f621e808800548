"""A thousand acceptor sessions in one process on one core: memory of an idle one, CPU when idle and when trading.

    python benchmarks/fix_sessions.py [--sessions 1000] [--seconds 10] [--rate 5] [--heartbeat 5]
    python benchmarks/fix_sessions.py --resend 10000 [--live 2000]

The server process is pinned to one core. It holds real sessions: message store on disk, acceptor,
machine, latency histograms, the codec kernels bound to each (``--cold``: none). The peers are bare
sockets in this process on the other core, which log on, heartbeat, and send ``rate`` orders a second
each, spread evenly; every order is answered by an ExecutionReport.

Memory of an idle session is the growth of the server's resident set from before the first session
was made until all are logged on and quiet, divided by their number: machine, store and its mapped
pages, connection, all.

``--resend``: instead, one client comes back to a venue that has that many reports for it. The venue sends
``--live`` fresh ones the moment that it is logged on, which the client must hold until the others are there.
Printed is the longest turn of the event loop on either side, as CPU time of the thread and as wall time:
what everybody else on that loop has to wait for.
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


# ---------------------------------------------------------------------------------- resend


class Turns:
    """Measures every turn of the loop, by being called once in each."""

    def __init__(self) -> None:
        self.cpu_ns: list[int] = []
        self.wall_ns: list[int] = []
        self.running = True
        self._last = (time.thread_time_ns(), time.perf_counter_ns())
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        now = (time.thread_time_ns(), time.perf_counter_ns())
        self.cpu_ns.append(now[0] - self._last[0])
        self.wall_ns.append(now[1] - self._last[1])
        self._last = (time.thread_time_ns(), time.perf_counter_ns())
        if self.running:
            asyncio.get_running_loop().call_soon(self._turn)

    def result(self) -> dict[str, Any]:
        self.running = False
        busy = sorted(turn for turn in self.cpu_ns if turn > 20_000)
        return {
            "longest_cpu_us": max(self.cpu_ns) / 1e3, "longest_wall_us": max(self.wall_ns) / 1e3,
            "late": sum(turn > 1_000_000 for turn in self.cpu_ns),
            "busy_turns": len(busy), "median_cpu_us": busy[len(busy) // 2] / 1e3 if busy else 0.0,
        }  # fmt: skip


class Counting:
    """Counts reports, and says when all are there; ``on_logon`` is called once."""

    def __init__(self, expected: int, on_logon: Any = None) -> None:
        self.reports, self.expected, self.on_logon = 0, expected, on_logon
        self.done = asyncio.Event()

    def on_frames(self, session: Any, frames: Any, count: int) -> None:
        self.reports += count
        if self.reports >= self.expected:
            self.done.set()

    def on_message(self, session: Any, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        raise RuntimeError(f"a report was not decoded: {raw!r}")

    def on_state(self, session: Any, state: Any, reason: str) -> None:
        if session.logged_on and self.on_logon is not None:
            self.on_logon, call = None, self.on_logon
            call(session)


def resend_session(role: Any, directory: Path, handler: Any) -> Any:
    """One end of the session, with store and kernels."""
    from fix.codec import SymbolTable
    from fix.endpoints import CodecHotPath, FixSession
    from fix.session import Role, SessionSettings
    from fix.store import MessageStore

    symbols = SymbolTable(8)
    symbols.add(SYMBOL, 3, 2, 100)
    names = ("OPT", "AXIOM") if role is Role.ACCEPTOR else ("AXIOM", "OPT")
    settings = SessionSettings(
        sender_comp_id=names[0], target_comp_id=names[1], role=role, heartbeat_interval_s=30, check_latency=False
    )
    kernels = CodecHotPath.for_session(settings, symbols, 0, capacity=256)
    kernels.decode_one(b"8=FIX.4.4\x019=5\x0135=0\x0110=163\x01")  # kernels are loaded now, not in a turn
    return FixSession(settings, MessageStore(directory / settings.name), handler, kernels, 0)


async def resend_server(directory: Path, count: int, live: int) -> None:
    """Store ``count`` reports, wait for the client; a line on stdin asks for the turns."""
    from fix.endpoints import Acceptor
    from fix.session import Role

    venue = Venue()
    venue.prepare()

    def fresh(session: Any, rest: int, batch: int) -> None:
        for first in range(0, rest, batch):
            venue.rows["exec_id"] += 1
            session.send_executions(venue.rows, min(batch, rest - first))

    session = resend_session(Role.ACCEPTOR, directory, Counting(1, lambda session: fresh(session, live, 10)))
    fresh(session, count, 10)
    acceptor = Acceptor([session])
    await acceptor.start()
    gc.collect()
    gc.freeze()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(acceptor.port, flush=True)
    await reader.readline()
    turns = Turns()
    await reader.readline()
    print(json.dumps(turns.result()), flush=True)


async def resend_drive(chosen: argparse.Namespace, process: Any, directory: Path) -> None:
    """Come back after ``chosen.resend`` reports; print the turns of both sides."""
    from fix.endpoints import Initiator
    from fix.session import Role

    port = int(process.stdout.readline())
    handler = Counting(chosen.resend + chosen.live)
    session = resend_session(Role.INITIATOR, directory, handler)
    gc.collect()
    gc.freeze()
    process.stdin.write("begin\n")
    process.stdin.flush()
    initiator = Initiator(session, "127.0.0.1", port)
    turns = Turns()
    begun = time.perf_counter()
    initiator.start()
    async with asyncio.timeout(30):
        await handler.done.wait()
    seconds = time.perf_counter() - begun
    sides = {"client, which receives": turns.result()}
    process.stdin.write("end\n")
    process.stdin.flush()
    sides["venue, which sends again"] = json.loads(process.stdout.readline())
    print(f"\nresend of {chosen.resend:,} reports, {chosen.live:,} fresh ones behind them: {seconds:.2f} s")
    print(f"  taken {handler.reports:,}, next expected {session.next_in:,}; turns of the event loop:")
    for side, found in sides.items():
        print(
            f"  {side:26} longest {found['longest_cpu_us']:9,.0f} us CPU, {found['longest_wall_us']:9,.0f} us wall; "
            f"{found['busy_turns']:5} busy ones, {found['late']} above 1 ms, median {found['median_cpu_us']:.0f} us CPU"
        )
    await initiator.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="1,000 acceptor sessions on one core")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=5.0, help="orders a second of each session")
    parser.add_argument("--heartbeat", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="no codec kernels")
    parser.add_argument("--resend", type=int, default=0, help="reports that a client has missed")
    parser.add_argument("--live", type=int, default=2000, help="fresh reports behind them")
    parser.add_argument("--server", type=Path)
    chosen = parser.parse_args()
    import uvloop

    cores = sorted(os.sched_getaffinity(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8 * chosen.sessions + 256)), hard))
    if chosen.server:
        os.sched_setaffinity(0, cores[-1:])
        if chosen.resend:
            uvloop.run(resend_server(chosen.server, chosen.resend, chosen.live))
            return
        uvloop.run(server(chosen.sessions, chosen.server, not chosen.cold))
        return
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, __file__, "--server", directory, "--sessions", str(chosen.sessions)]
        command += ["--resend", str(chosen.resend), "--live", str(chosen.live)]
        process = subprocess.Popen(
            [*command, *(["--cold"] if chosen.cold else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
        try:
            if chosen.resend:
                uvloop.run(resend_drive(chosen, process, Path(directory)))
            else:
                uvloop.run(drive(chosen, process))
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
