"""FIX endpoints beside their floor and a peer: NewOrderSingle out, ExecutionReport back, on loopback.

Every row is the same shape: a server process and a client process, one message outstanding (closed
loop) or a window of them (pipelined). Rounds of all rows alternate, so that a busy neighbour meets
them all; a row shows its best round.

    python benchmarks/fix_latency.py [--rounds 5] [--seconds 1.5] [--only NAME ...]

=================  ==================================================================================
blocking echo      200 bytes, plain sockets: the floor
uvloop echo        200 bytes, an asyncio protocol on uvloop at both ends: what the ratios refer to
cold               our endpoints: the session machine in plain Python; the message store and a journal
                   of every received message (one write each) at both ends
cold, validated    the same with the FIX.4.4 dictionary checking every message
hot                the same endpoints with the codec kernels bound; store and journal as above
cold/hot window    200 orders outstanding: round trips a second
quickfix           quickfix-python at both ends as its users write it: typed fields, FileStore (a journal of
                   what is sent, as ours), its FIX44 dictionary, no log
quickfix, least    the least that it can do: fields set by number, memory store, no dictionary
=================  ==================================================================================
"""

# ruff: noqa: D102, N802 - methods bear the names that their callers give them

import argparse
import asyncio
import gc
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

WARM_UP = 300
WINDOW = 200
SYMBOL = "GOOG151224C00750000"
CLOSED = ("blocking echo", "uvloop echo", "cold", "cold, validated", "hot", "quickfix", "quickfix, least")
PIPELINED = ("cold window", "hot window", "quickfix window")


def finish(samples: list[int], begun: int, done: int) -> None:
    """Report a client's measurement to the parent: minimum, p50, p99 in ns and round trips a second."""
    samples.sort()
    rate = done / (time.perf_counter_ns() - begun) * 1e9
    at = [samples[0], samples[len(samples) // 2], samples[len(samples) * 99 // 100]] if samples else [0, 0, 0]
    print(*at, rate, flush=True)


class Meter:
    """Paces a client: warm-up, then ``seconds`` of round trips; closed loop or a window of them."""

    def __init__(self, seconds: float, window: int, send: Callable[[int], None], over: Callable[[], None]) -> None:
        self.samples: list[int] = []
        self._send, self._over, self._window = send, over, window
        self._seconds = seconds
        self._left = WARM_UP if window == 1 else 10 * window
        self._begun = self._sent_ns = self._deadline = self._outstanding = self._done = 0

    def begin(self) -> None:
        """Fill the window."""
        self._refill()

    def _refill(self) -> None:
        count = self._window - self._outstanding
        self._outstanding += count
        self._sent_ns = time.perf_counter_ns()
        self._send(count)

    def answered(self, count: int = 1) -> None:
        """``count`` answers have come."""
        now = time.perf_counter_ns()
        self._outstanding -= count
        if self._deadline:
            if self._window == 1:
                self.samples.append(now - self._sent_ns)
            self._done += count
            if now > self._deadline:
                finish(self.samples, self._begun, self._done)
                self._deadline = 1 << 62
                self._over()
                return
        else:
            self._left -= count
            if self._left <= 0:
                gc.collect()
                gc.freeze()
                self._begun = time.perf_counter_ns()
                self._deadline = self._begun + int(self._seconds * 1e9)
        if self._outstanding <= self._window // 2:
            self._refill()


# ---------------------------------------------------------------------------------- echoes


def blocking_server() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    peer, _ = listener.accept()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := peer.recv(4096):
        peer.sendall(data)


def blocking_client(port: int, seconds: float) -> None:
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    message, samples = b"x" * 200, []
    for _ in range(WARM_UP):
        peer.sendall(message)
        peer.recv(4096)
    begun = sent = time.perf_counter_ns()
    while sent - begun < seconds * 1e9:
        sent = time.perf_counter_ns()
        peer.sendall(message)
        peer.recv(4096)
        samples.append(time.perf_counter_ns() - sent)
    finish(samples, begun, len(samples))


class EchoServer(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class EchoClient(asyncio.Protocol):
    """Sends again when its message has come back."""

    def __init__(self, seconds: float, over: asyncio.Event) -> None:
        self.meter = Meter(seconds, 1, lambda _: self.transport.write(b"x" * 200), over.set)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.meter.begin()

    def data_received(self, data: bytes) -> None:
        self.meter.answered()


async def uvloop_server() -> None:
    server = await asyncio.get_running_loop().create_server(EchoServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def uvloop_client(port: int, seconds: float) -> None:
    over = asyncio.Event()
    await asyncio.get_running_loop().create_connection(lambda: EchoClient(seconds, over), "127.0.0.1", port)
    await over.wait()


# ------------------------------------------------------------------------------------ ours


def field(text: str, opening: str) -> str:
    """Value of the field that opens with SOH, tag and ``=``."""
    start = text.find(opening) + len(opening)
    return text[start : text.find("\x01", start)]


class Venue:
    """Acknowledges every order: 35=8, 150=0; each message is in the journal before it is answered."""

    def __init__(self, directory: Path) -> None:
        self.journal = os.open(directory / "venue.journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.next_id = 1

    def on_message(self, session: Any, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        os.write(self.journal, raw)
        number = f"{self.next_id:016X}"
        self.next_id += 1
        text = raw.decode("latin-1")
        session.send("8", [
            (37, number), (11, field(text, "\x0111=")), (17, number), (150, "0"), (39, "0"), (55, SYMBOL),
            (54, field(text, "\x0154=")), (38, field(text, "\x0138=")), (44, field(text, "\x0144=")), (151, "10"),
            (14, "0"), (6, "0"), (60, field(text, "\x0160=")),
        ])  # fmt: skip

    def on_frames(self, session: Any, frames: Any, count: int) -> None:
        os.write(self.journal, frames[:count])
        if frames is not self.frames:
            self.look_at(frames)
        for source, target in self.columns:
            target[:count] = source[:count]
        for target in self.numbers:
            target[:count] = self.ids[self.next_id & 4095 : (self.next_id & 4095) + count]
        self.next_id += count
        session.send_executions(self.rows, count)

    def look_at(self, frames: Any) -> None:
        """Views of both tables, made once, as an application would."""
        from market import records

        orders = records.as_layout(frames, records.ORDER)
        names = [(name, name) for name in ("cl_ord_id", "instrument", "side", "price_ticks")]
        names += [("qty", "order_qty"), ("qty", "leaves_qty")]
        self.frames = frames
        self.columns = [(orders[source], self.rows[target]) for source, target in names]
        self.numbers = [self.rows["order_id"], self.rows["exec_id"]]

    def prepare(self) -> None:
        import numpy as np

        from market import records
        from market.enums import ExecType, FrameKind, OrdStatus

        self.rows = records.table(records.EXECUTION, 4096)
        self.rows["kind"], self.rows["exec_type"] = FrameKind.EXECUTION, ExecType.NEW
        self.rows["ord_status"] = OrdStatus.NEW
        self.ids = np.arange(1, 8193, dtype=np.uint64)
        self.frames: Any = None

    def on_state(self, session: Any, state: Any, reason: str) -> None: ...


class Client:
    """Sends orders as the meter says, counts the reports."""

    def __init__(self, directory: Path, seconds: float, window: int, hot: bool) -> None:
        self.journal = os.open(directory / "client.journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.over = asyncio.Event()
        self.meter = Meter(seconds, window, self.send_hot if hot else self.send_cold, self.over.set)
        self.next_id = 1
        self.session: Any = None

    def send_cold(self, count: int) -> None:
        from fix.messages import utc_timestamp

        for _ in range(count):
            self.session.send("D", [
                (11, f"{self.next_id:016X}"), (21, "1"), (38, "10"), (40, "2"), (44, "12.45"), (54, "1"),
                (55, SYMBOL), (59, "0"), (60, utc_timestamp(time.time_ns())),
            ])  # fmt: skip
            self.next_id += 1

    def send_hot(self, count: int) -> None:
        self.numbers[:count] = self.ids[self.next_id & 4095 : (self.next_id & 4095) + count]
        self.next_id += count
        self.session.send_orders(self.rows, count)

    def prepare(self) -> None:
        import numpy as np

        from market import records
        from market.enums import FrameKind, OrderAction, OrdType, Side, TimeInForce

        self.rows = records.table(records.ORDER, WINDOW)
        self.rows["kind"], self.rows["action"], self.rows["instrument"] = FrameKind.ORDER, OrderAction.NEW, 3
        self.rows["side"], self.rows["ord_type"], self.rows["tif"] = Side.BUY, OrdType.LIMIT, TimeInForce.DAY
        self.rows["price_ticks"], self.rows["qty"] = 1245, 10
        self.ids, self.numbers = np.arange(1, 8193, dtype=np.uint64), self.rows["cl_ord_id"]

    def on_message(self, session: Any, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        os.write(self.journal, raw)
        self.meter.answered()

    def on_frames(self, session: Any, frames: Any, count: int) -> None:
        os.write(self.journal, frames[:count])
        self.meter.answered(count)

    def on_state(self, session: Any, state: Any, reason: str) -> None:
        from fix.session import State

        if state is State.LOGGED_ON:
            self.session = session
            asyncio.get_running_loop().call_soon(self.meter.begin)


def build_session(row: str, directory: Path, handler: Any, role: Any) -> Any:
    """One side of ours."""
    from fix.endpoints import CodecHotPath, FixSession
    from fix.session import Role, SessionSettings
    from fix.store import MessageStore

    names = ("AXIOM", "OPT") if role is Role.INITIATOR else ("OPT", "AXIOM")
    settings = SessionSettings(sender_comp_id=names[0], target_comp_id=names[1], role=role, heartbeat_interval_s=30)
    hot = dictionary = None
    if row.startswith("hot"):
        from fix.codec import SymbolTable

        symbols = SymbolTable(8)
        symbols.add(SYMBOL, 3, 2, 100)
        handler.prepare()
        hot = CodecHotPath.for_session(settings, symbols, 1)
    elif "validated" in row:
        from fix.dictionary import validator_for

        dictionary = validator_for(settings.begin_string)
    store = MessageStore(directory / names[0])
    return FixSession(settings, store, handler, hot, 1, dictionary)


async def our_server(row: str, directory: Path) -> None:
    from fix.endpoints import Acceptor
    from fix.session import Role

    acceptor = Acceptor([build_session(row, directory, Venue(directory), Role.ACCEPTOR)])
    await acceptor.start()
    print(acceptor.port, flush=True)
    await asyncio.Event().wait()


async def our_client(row: str, directory: Path, port: int, seconds: float) -> None:
    from fix.endpoints import Initiator
    from fix.session import Role

    handler = Client(directory, seconds, WINDOW if "window" in row else 1, row.startswith("hot"))
    initiator = Initiator(build_session(row, directory, handler, Role.INITIATOR), "127.0.0.1", port)
    initiator.start()
    await handler.over.wait()


# -------------------------------------------------------------------------------- quickfix


def quickfix_side(row: str, directory: Path, port: int, seconds: float) -> None:
    """Either side by quickfix-python."""
    import threading

    import quickfix as fix
    import quickfix44 as fix44

    client = port > 0
    if not client:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    names = ("AXIOM", "OPT") if client else ("OPT", "AXIOM")
    least = "least" in row
    spec = Path(sys.prefix) / "share" / "quickfix" / "FIX44.xml"
    dictionary = "UseDataDictionary=N" if least or not spec.exists() else f"UseDataDictionary=Y\nDataDictionary={spec}"
    text = "\n".join([
        "[DEFAULT]", f"ConnectionType={'initiator' if client else 'acceptor'}", "StartTime=00:00:00",
        "EndTime=00:00:00", "HeartBtInt=30", f"FileStorePath={directory}/{names[0]}",
        dictionary, "SocketNodelay=Y", "ReconnectInterval=1",
        f"SocketConnectHost=127.0.0.1\nSocketConnectPort={port}" if client else f"SocketAcceptPort={port}",
        "[SESSION]", "BeginString=FIX.4.4", f"SenderCompID={names[0]}", f"TargetCompID={names[1]}", "",
    ])  # fmt: skip
    config = directory / f"quickfix-{names[0]}.cfg"
    config.write_text(text)
    over, started = threading.Event(), threading.Event()

    class Application(fix.Application):  # type: ignore[misc]
        session: Any = None

        def onCreate(self, session: Any) -> None: ...
        def onLogout(self, session: Any) -> None: ...
        def toAdmin(self, message: Any, session: Any) -> None: ...
        def fromAdmin(self, message: Any, session: Any) -> None: ...
        def toApp(self, message: Any, session: Any) -> None: ...

        def onLogon(self, session: Any) -> None:
            self.session = fix.SessionID("FIX.4.4", *names)
            started.set()

        def fromApp(self, message: Any, session: Any) -> None:
            if client:
                meter.answered()
                return
            report = least_report(message) if least else typed_report(message)
            fix.Session.sendToTarget(report, self.session)

    def least_report(message: Any) -> Any:
        report = fix.Message()
        report.getHeader().setField(35, "8")
        for tag in (11, 54, 38, 44, 60):
            report.setField(tag, message.getField(tag))
        fixed = ((37, "1"), (17, "1"), (150, "0"), (39, "0"), (55, SYMBOL), (151, "10"), (14, "0"), (6, "0"))
        for tag, value in fixed:
            report.setField(tag, value)
        return report

    def typed_report(message: Any) -> Any:
        echoed = [fix.ClOrdID(), fix.Side(), fix.OrderQty(), fix.Price(), fix.TransactTime()]
        report = fix44.ExecutionReport()
        for field in echoed:
            message.getField(field)
            report.setField(field)
        for field in (
            fix.OrderID("1"), fix.ExecID("1"), fix.ExecType("0"), fix.OrdStatus("0"), fix.Symbol(SYMBOL),
            fix.LeavesQty(10), fix.CumQty(0), fix.AvgPx(0),
        ):  # fmt: skip
            report.setField(field)
        return report

    def least_order() -> Any:
        order = fix.Message()
        order.getHeader().setField(35, "D")
        for tag, value in (
            (11, "00000000000000AB"), (21, "1"), (38, "10"), (40, "2"), (44, "12.45"), (54, "1"), (55, SYMBOL),
            (59, "0"), (60, "20260102-13:45:12.123"),
        ):  # fmt: skip
            order.setField(tag, value)
        return order

    def typed_order() -> Any:
        order = fix44.NewOrderSingle()
        for field in (
            fix.ClOrdID("00000000000000AB"), fix.HandlInst("1"), fix.OrderQty(10), fix.OrdType("2"), fix.Price(12.45),
            fix.Side("1"), fix.Symbol(SYMBOL), fix.TimeInForce("0"), fix.TransactTime(),
        ):  # fmt: skip
            order.setField(field)
        return order

    def send(count: int) -> None:
        for _ in range(count):
            fix.Session.sendToTarget(least_order() if least else typed_order(), application.session)

    meter = Meter(seconds, WINDOW if "window" in row else 1, send, over.set)
    application = Application()
    settings = fix.SessionSettings(str(config))
    store = fix.MemoryStoreFactory() if least else fix.FileStoreFactory(settings)
    engine = (fix.SocketInitiator if client else fix.SocketAcceptor)(application, store, settings)
    engine.start()
    if not client:
        print(port, flush=True)
        threading.Event().wait()
    started.wait(30)
    meter.begin()
    over.wait()
    os._exit(0)


# ---------------------------------------------------------------------------------- parent


def play(role: str, row: str, directory: Path, port: int, seconds: float) -> None:
    """One process of one row."""
    import uvloop

    if row.startswith("quickfix"):
        quickfix_side(row, directory, port if role == "client" else 0, seconds)
    elif row == "blocking echo":
        blocking_client(port, seconds) if role == "client" else blocking_server()
    elif row == "uvloop echo":
        uvloop.run(uvloop_client(port, seconds) if role == "client" else uvloop_server())
    elif role == "client":
        uvloop.run(our_client(row, directory, port, seconds))
    else:
        uvloop.run(our_server(row, directory))


def measure(row: str, seconds: float) -> list[float]:
    """One round of one row in two fresh processes: min, p50, p99 [ns], round trips a second."""
    with tempfile.TemporaryDirectory() as directory:
        base = [sys.executable, __file__, "--row", row, "--directory", directory, "--seconds", str(seconds)]
        server = subprocess.Popen([*base, "--role", "server"], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            done = subprocess.run([*base, "--role", "client", "--port", port], stdout=subprocess.PIPE, check=True,
                                  text=True, timeout=120)  # fmt: skip
        finally:
            server.kill()
            server.wait()
    return [float(word) for word in done.stdout.split()]


def best_of(rounds: list[list[float]]) -> list[float]:
    """The quietest round: the one with the lowest p50, or the highest rate."""
    return min(rounds, key=lambda found: (found[1], -found[3]))


def report(found: dict[str, list[list[float]]]) -> None:
    """Print both tables with ratios to the uvloop echo and to quickfix."""
    best = {row: best_of(rounds) for row, rounds in found.items()}
    echo = best.get("uvloop echo", [0.0, 0.0])[1]
    foreign = best.get("quickfix", [0.0, 0.0])[1]
    rounds = len(next(iter(found.values())))
    print(f"\nNewOrderSingle to ExecutionReport, closed loop, two processes, loopback (best of {rounds} rounds)")
    print(f"{'':20}{'min us':>9}{'p50 us':>9}{'p99 us':>9}{'x echo':>9}{'quickfix x':>12}")
    for row in CLOSED:
        if row in best:
            low, p50, p99, _ = best[row]
            ratio = f"{p50 / echo:9.2f}" if echo else f"{'':9}"
            other = f"{foreign / p50:12.1f}" if foreign else ""
            print(f"{row:20}{low / 1e3:9.1f}{p50 / 1e3:9.1f}{p99 / 1e3:9.1f}{ratio}{other}")
    print(f"\nPipelined, {WINDOW} outstanding")
    print(f"{'':20}{'round trips/s':>15}")
    for row in PIPELINED:
        if row in best:
            print(f"{row:20}{best[row][3]:15,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="FIX endpoints beside an echo and quickfix")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--role", default="")
    parser.add_argument("--row", default="")
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.role:
        play(chosen.role, chosen.row, chosen.directory, chosen.port, chosen.seconds)
        return
    rows = [row for row in (*CLOSED, *PIPELINED) if not chosen.only or row in chosen.only]
    try:
        import quickfix  # noqa: F401
    except ImportError:
        rows = [row for row in rows if not row.startswith("quickfix")]
        print("quickfix is not installed: its rows are left out")
    found: dict[str, list[list[float]]] = {row: [] for row in rows}
    for _ in range(chosen.rounds):
        for row in rows:
            found[row].append(measure(row, chosen.seconds))
    report(found)


if __name__ == "__main__":
    main()
