"""A client at one end of a socket pair, and a peer at the other that says exactly what the test says."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fix.codec import HotLink, SymbolTable, encode_executions
from fix.codec import Role as CodecRole
from fix.endpoints import CodecHotPath, FixSession
from fix.endpoints.connection import Connection
from fix.messages import Field, build, utc_timestamp
from fix.store import MessageStore
from fix.testing import START_NS, initiator_settings
from tests.fix.endpoints.world import Recorder, reports, symbols
from tests.fix.lane.step import Step


class Far:
    """What the peer says, with numbers that go up by themselves."""

    def __init__(self, table: SymbolTable, now_ns: int = START_NS) -> None:
        self.symbols = table
        self.link = HotLink("FIX.4.4", "OPT", "AXIOM", role=CodecRole.VENUE)
        self.now_ns = now_ns
        self.seq = 1

    def say(self, msg_type: str, body: Sequence[Field] = (), header: Sequence[Field] = (), seq: int = 0) -> bytes:
        number, self.seq = (seq, self.seq) if seq else (self.seq, self.seq + 1)
        return build("FIX.4.4", msg_type, number, "OPT", "AXIOM", utc_timestamp(self.now_ns), body, header)

    def report(self, count: int = 1, first_id: int = 1, seq: int = 0) -> bytes:
        out, ends = np.zeros(1 << 16, np.uint8), np.zeros(64, np.int64)
        size, done, _ = encode_executions(
            self.link.state, self.symbols.state, reports(count, first_id), 0, count, seq or self.seq, self.now_ns,
            out, ends,
        )  # fmt: skip
        assert done == count
        if not seq:
            self.seq += count
        return out[:size].tobytes()


class Log(Recorder):
    """Everything that is delivered, hot or cold, in one order."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[str, bytes]] = []

    def on_frames(self, session: Any, frames: Any, count: int) -> None:
        self.add(frames[:count])

    def add(self, frames: Any) -> None:
        """Frames that came by whichever way; when they were taken is not what they say."""
        rows = frames.copy()
        rows[:, 24:32] = 0  # recv_ns
        self.all += [("frame", row.tobytes()) for row in rows]

    def on_message(self, session: Any, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        self.all.append((msg_type, raw))


class Client:
    """The session under test. Its clock stands still unless the test moves it."""

    def __init__(self, directory: Path, *, clock: Any = None, **options: Any) -> None:
        self.now_ns = START_NS
        changes = options.pop("settings", {})
        self.clock = clock or (lambda: self.now_ns)
        self.symbols = symbols()
        settings = initiator_settings(**changes)
        self.log = Log()
        self.session = FixSession(
            settings, MessageStore(directory, clock=self.clock), self.log,
            CodecHotPath.for_session(settings, self.symbols, 1, capacity=512), 1, clock=self.clock, **options,
        )  # fmt: skip
        self.far = Far(self.symbols)
        self.sent = b""

    async def connect(self, sndbuf: int = 0) -> None:
        near, self.peer = socket.socketpair()
        if sndbuf:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
        near.setblocking(False)
        self.peer.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: Connection(self.session), sock=near)

    async def log_on(self, heartbeat: int = 30, **options: Any) -> None:
        await self.connect(**options)
        self.peer.send(self.far.say("A", [(98, 0), (108, heartbeat)]))
        await self.until(lambda: self.session.steady)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0)

    def hear(self, most: int = 1 << 30) -> bytes:
        """Read up to ``most`` bytes; everything that the session has sent so far."""
        while most > 0:
            try:
                data = self.peer.recv(min(most, 1 << 20))
            except BlockingIOError:
                break
            if not data:
                break
            self.sent += data
            most -= len(data)
        return self.sent

    async def settle(self) -> None:
        """Let the loop take what is unread."""
        await self.until(lambda: self.session._going is None)

    def promote(self, step: Step) -> str:
        """Offer the lane and let the step take it."""
        reason = self.session.offer_lane()
        if not reason:
            step.turn()
        return reason

    async def close(self) -> None:
        self.session.abort("the test is over")
        self.peer.close()
        self.session.store.release()
        await asyncio.sleep(0)

    def stored(self) -> dict[int, bytes]:
        return dict(self.session.store.read(1, 1 << 20))
