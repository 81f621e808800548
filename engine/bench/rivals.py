# ruff: noqa: T201 - rows speak to their parent process through stdout
"""What others would write: the same work in plain asyncio with simplefix, and on quickfix-python.

Both get their ticks on a socket, as programs do that have no ring; both keep a book, price by a table, ask the
same questions of risk in plain Python, journal the tick, and send one NewOrderSingle a tick.
"""

import asyncio
import json
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from engine.bench.venue import SENDER, TARGET, symbol

_TICK = struct.Struct("<HHIQqqIIqqqq")  # a QUOTE frame's beginning, up to its ask quantity
_TICK_BYTES = 128


class Trader:
    """Book, theo, quote and risk, as one writes them on the first day."""

    def __init__(self, directory: Path) -> None:
        self.books: dict[int, tuple[float, float]] = {}
        self.theos: dict[int, tuple[float, float]] = {}
        self.working: dict[int, int] = {}
        self.open_orders = self.sent = 0
        self.spot = 100.0
        self.tokens, self.filled_at = 1e6, time.monotonic()
        self.journal = (directory / "journal").open("ab")

    def decide(self, data: bytes) -> tuple[str, int, str, str] | None:
        """(ClOrdID, quantity, price, symbol) of the order that a tick makes, if it makes one."""
        self.journal.write(data)
        _, _, _, _, _, _, instrument, _, bid, _, ask, _ = _TICK.unpack_from(data)
        self.books[instrument] = (bid / 100.0, ask / 100.0)
        if instrument == 0:
            self.spot = 0.5 * (bid + ask) / 100.0
            return None
        theo, delta = self.theos.setdefault(instrument, (0.30, 0.5))
        fair = theo + delta * (self.spot - 100.0)
        price = round(max(fair + 0.40, 0.01), 2)
        if not self.allowed(instrument, price, fair, 5):
            return None
        self.sent += 1
        self.open_orders += 1
        self.working[instrument] = 5
        return f"{self.sent:016X}", 5, f"{price:.2f}", symbol(instrument)

    def allowed(self, instrument: int, price: float, fair: float, qty: int) -> bool:
        """The limits that everybody has."""
        now = time.monotonic()
        self.tokens = min(1e6, self.tokens + (now - self.filled_at) * 1e6)
        self.filled_at = now
        bid, _ask = self.books[instrument]
        if self.tokens < 1.0 or qty > 50 or price * qty * 100 > 1e6 or self.open_orders > 1e7:
            return False
        if price < fair or price <= bid or abs(price - fair) > 100.0:
            return False
        self.tokens -= 1.0
        return True

    def acknowledged(self) -> None:
        """A report has come."""
        self.open_orders -= 1


async def simplefix_client(args: Any) -> None:
    """Asyncio streams and simplefix."""
    import simplefix

    trader = Trader(args.directory)
    feed, _ = await asyncio.open_connection("127.0.0.1", args.feed)
    reader, writer = await asyncio.open_connection("127.0.0.1", args.port)
    for stream in (writer,):
        stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    store = (args.directory / "messages").open("ab")
    seq = 0

    def message(kind: str) -> Any:
        nonlocal seq
        seq += 1
        made = simplefix.FixMessage()
        for tag, value in ((8, "FIX.4.4"), (35, kind), (34, seq), (49, TARGET)):
            made.append_pair(tag, value, header=True)
        made.append_utc_timestamp(52, precision=3, header=True)
        made.append_pair(56, SENDER, header=True)
        return made

    def send(made: Any) -> None:
        data = made.encode()
        store.write(data)
        writer.write(data)

    logon = message("A")
    logon.append_pair(98, 0)
    logon.append_pair(108, 600)
    send(logon)
    parser = simplefix.FixParser()
    parser.append_buffer(await reader.read(4096))
    parser.get_message()

    async def answers() -> None:
        while data := await reader.read(1 << 16):
            parser.append_buffer(data)
            while (report := parser.get_message()) is not None:
                if report.get(35) == b"8":
                    trader.acknowledged()

    async def ticks() -> None:
        while True:
            found = trader.decide(await feed.readexactly(_TICK_BYTES))
            if found is None:
                continue
            cl_ord_id, qty, price, name = found
            order = message("D")
            for tag, value in ((11, cl_ord_id), (21, 1), (38, qty), (40, 2), (44, price), (54, 2), (55, name), (59, 0)):
                order.append_pair(tag, value)
            order.append_utc_timestamp(60, precision=3)
            send(order)

    tasks = [asyncio.ensure_future(answers()), asyncio.ensure_future(ticks())]
    print(json.dumps({"ready": True, "mode": "simplefix"}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for task in tasks:
        task.cancel()


def quickfix_client(args: Any) -> Any:
    """quickfix-python: typed fields, FileStore, its FIX44 dictionary; a thread that reads the ticks.

    Returns what its threads use, which must not be collected under their feet.
    """
    import quickfix as fix
    import quickfix44 as fix44

    trader = Trader(args.directory)
    feed = socket.create_connection(("127.0.0.1", args.feed))
    spec = Path(sys.prefix) / "share" / "quickfix" / "FIX44.xml"
    dictionary = f"UseDataDictionary=Y\nDataDictionary={spec}" if spec.exists() else "UseDataDictionary=N"
    text = "\n".join([
        "[DEFAULT]", "ConnectionType=initiator", "StartTime=00:00:00", "EndTime=00:00:00", "HeartBtInt=600",
        f"FileStorePath={args.directory}/quickfix", dictionary, "SocketNodelay=Y", "ReconnectInterval=1",
        f"SocketConnectHost=127.0.0.1\nSocketConnectPort={args.port}", "[SESSION]", "BeginString=FIX.4.4",
        f"SenderCompID={TARGET}", f"TargetCompID={SENDER}", "",
    ])  # fmt: skip
    config = args.directory / "quickfix.cfg"
    config.write_text(text)
    started = threading.Event()

    class Application(fix.Application):  # type: ignore[misc]
        """Counts the reports."""

        def onCreate(self, session: Any) -> None: ...  # noqa: N802
        def onLogout(self, session: Any) -> None: ...  # noqa: N802
        def toAdmin(self, message: Any, session: Any) -> None: ...  # noqa: N802
        def fromAdmin(self, message: Any, session: Any) -> None: ...  # noqa: N802
        def toApp(self, message: Any, session: Any) -> None: ...  # noqa: N802

        def onLogon(self, session: Any) -> None:  # noqa: N802
            started.set()

        def fromApp(self, message: Any, session: Any) -> None:  # noqa: N802
            trader.acknowledged()

    settings = fix.SessionSettings(str(config))
    application = Application()
    initiator = fix.SocketInitiator(application, fix.FileStoreFactory(settings), settings)
    initiator.start()
    started.wait(30)
    target = fix.SessionID("FIX.4.4", TARGET, SENDER)

    def ticks() -> None:
        stream = feed.makefile("rb")
        while data := stream.read(_TICK_BYTES):
            found = trader.decide(data)
            if found is None:
                continue
            cl_ord_id, qty, price, name = found
            order = fix44.NewOrderSingle()
            for field in (
                fix.ClOrdID(cl_ord_id), fix.HandlInst("1"), fix.OrderQty(qty), fix.OrdType("2"),
                fix.Price(float(price)), fix.Side("2"), fix.Symbol(name), fix.TimeInForce("0"), fix.TransactTime(),
            ):  # fmt: skip
                order.setField(field)
            fix.Session.sendToTarget(order, target)

    threading.Thread(target=ticks, daemon=True).start()
    print(json.dumps({"ready": True, "mode": "quickfix"}), flush=True)
    sys.stdin.readline()
    return initiator, application, settings


def main(args: Any) -> None:
    """One rival process."""
    _kept = asyncio.run(simplefix_client(args)) if args.mode == "simplefix" else quickfix_client(args)
    print(json.dumps({"alerts": []}), flush=True)
    os._exit(0)
