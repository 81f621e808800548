"""A client and a venue in one loop, and a bare socket for peers that misbehave."""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np

from fix.codec import SymbolTable
from fix.endpoints import Acceptor, CodecHotPath, FixSession, Initiator, Reconnect
from fix.messages import build, utc_timestamp
from fix.session import SessionEvent, State
from fix.store import MessageStore
from fix.testing import acceptor_settings, initiator_settings, split_messages
from market import records
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, OrdType, Side, TimeInForce

FAST = Reconnect(first_s=0.01, max_s=0.05)
SYMBOL = "GOOG151224C00750000"


class Recorder:
    """A handler that keeps everything and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray[Any, Any]] = []
        self.messages: list[tuple[str, bytes, bool]] = []
        self.states: list[tuple[State, str]] = []
        self.events: list[SessionEvent] = []
        self.failures: list[BaseException] = []
        self.batches: list[int] = []
        self.changed = asyncio.Event()
        self.fail_on = ""

    def on_frames(self, session: FixSession, frames: Any, count: int) -> None:
        self.batches.append(count)
        self.frames.extend(frames[:count].copy())
        self.changed.set()

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        self.changed.set()
        if msg_type == self.fail_on:
            self.fail_on = ""
            raise RuntimeError("the handler breaks")
        self.messages.append((msg_type, raw, poss_dup))

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        self.states.append((state, reason))
        self.changed.set()

    def on_event(self, session: FixSession, event: SessionEvent) -> None:
        self.events.append(event)
        self.changed.set()

    def on_failure(self, session: FixSession, error: BaseException) -> None:
        self.failures.append(error)
        self.changed.set()

    async def until(self, condition: Any) -> None:
        """Wait until ``condition()`` holds; looked at after every callback."""
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def rows(self, layout: Any) -> Any:
        return records.as_layout(np.array(self.frames, np.uint8).reshape(-1, records.FRAME_BYTES), layout)


def symbols() -> SymbolTable:
    table = SymbolTable(8)
    table.add(SYMBOL, 3, 2, 100)
    return table


class World:
    """A client and a venue in one loop, each with its store on disk."""

    def __init__(self, directory: Path, *, hot: bool = True, **changes: Any) -> None:
        self.directory = directory
        self.hot = hot
        self.changes = {"recover_by_reset": False} | changes
        self.port = 0
        self.make_client()
        self.make_venue()

    def make_client(self) -> None:
        settings = initiator_settings(**self.changes)
        hot = CodecHotPath.for_session(settings, symbols(), 1, capacity=512) if self.hot else None
        self.client_handler = Recorder()
        self.client = FixSession(settings, MessageStore(self.directory / "client"), self.client_handler, hot, 1)

    def make_venue(self) -> None:
        settings = acceptor_settings(**self.changes)
        hot = CodecHotPath.for_session(settings, symbols(), 2, capacity=512, owner=16) if self.hot else None
        self.venue_handler = Recorder()
        self.venue = FixSession(settings, MessageStore(self.directory / "venue"), self.venue_handler, hot, 2)

    async def open_venue(self) -> None:
        self.acceptor = Acceptor([self.venue], port=self.port)
        await self.acceptor.start()
        self.port = self.acceptor.port

    async def open_client(self) -> None:
        self.initiator = Initiator(self.client, "127.0.0.1", self.port, FAST)
        self.initiator.start()

    async def open(self) -> "World":
        await self.open_venue()
        await self.open_client()
        await self.both(State.LOGGED_ON)
        return self

    async def both(self, state: State) -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(self.client.wait_state(state), self.venue.wait_state(state))

    async def close(self) -> None:
        if hasattr(self, "initiator"):
            await self.initiator.stop()
        if hasattr(self, "acceptor"):
            await self.acceptor.close()
        self.client.store.release()
        self.venue.store.release()

    async def crash_venue(self) -> None:
        """As kill -9 of the venue: the socket breaks, memory is gone, files stay as they are."""
        self.venue.abort("killed")
        await self.acceptor.close()
        self.venue.store.release()
        self.make_venue()

    async def crash_client(self) -> None:
        self.client.abort("killed")
        await self.initiator.stop()
        self.client.store.release()
        self.make_client()


def new_orders(count: int, first_id: int = 1) -> Any:
    rows = records.table(records.ORDER, count)
    rows["kind"] = FrameKind.ORDER
    rows["action"] = OrderAction.NEW
    rows["instrument"] = 3
    rows["side"], rows["ord_type"], rows["tif"] = Side.BUY, OrdType.LIMIT, TimeInForce.DAY
    rows["cl_ord_id"] = np.arange(first_id, first_id + count)
    rows["price_ticks"], rows["qty"] = 125, 10
    return rows


def reports(count: int, first_id: int = 1) -> Any:
    rows = records.table(records.EXECUTION, count)
    rows["kind"] = FrameKind.EXECUTION
    rows["exec_type"], rows["ord_status"] = ExecType.NEW, OrdStatus.NEW
    rows["instrument"], rows["side"] = 3, Side.BUY
    rows["cl_ord_id"] = rows["exec_id"] = np.arange(first_id, first_id + count)
    rows["order_id"] = rows["exec_id"]
    rows["price_ticks"], rows["order_qty"], rows["leaves_qty"] = 125, 10, 10
    return rows


def now_ns() -> int:
    return time.time_ns()


class Raw:
    """A bare socket, for peers that misbehave."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> "Raw":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def logon(self, seq: int = 1, sender: str = "AXIOM", target: str = "OPT", begin_string: str = "FIX.4.4") -> bytes:
        return build(begin_string, "A", seq, sender, target, utc_timestamp(now_ns()), [(98, 0), (108, 30)])

    def say(self, msg_type: str, seq: int, body: list[tuple[int, Any]]) -> bytes:
        return build("FIX.4.4", msg_type, seq, "AXIOM", "OPT", utc_timestamp(now_ns()), body)

    async def read(self, count: int) -> list[str]:
        """MsgTypes of the next ``count`` messages."""
        data = b""
        async with asyncio.timeout(60):
            while data.count(b"\x0110=") < count:
                data += await self.reader.read(1 << 16)
        return [message.msg_type for message in split_messages(data)]

    async def is_dropped(self) -> bool:
        async with asyncio.timeout(60):
            return await self.reader.read() == b""
