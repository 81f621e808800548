"""A TCP proxy that makes faults: it cuts, holds back, swallows, splits, joins and spoils what passes.

It knows nothing of FIX but what a test gives it as a pattern. Each connection that a client opens
is a :class:`Link` of two :class:`Pipe`, ``up`` (client to server) and ``down``. What happens to a
link is said beforehand by :attr:`Proxy.plan`, or done to a live one by the test.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

_READ_BYTES = 1 << 16
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


@dataclass
class Faults:
    """What happens to the bytes of one direction, counted from the connection's first."""

    #: Cut both directions once so many bytes have been passed on.
    cut_after: int | None = None
    #: Cut both directions ``cut_into`` bytes behind the start of the ``cut_nth`` occurrence of this.
    cut_at: bytes = b""
    cut_nth: int = 1
    cut_into: int = 0
    #: Swallow everything from this byte on; the connection stays open: a half-open one.
    swallow_after: int | None = None
    #: Wait so long before passing anything on; the order stays.
    delay_s: float = 0.0
    #: Pass on so many bytes at a time, each in a write and a turn of the loop of its own.
    split: int = 0
    #: Collect so many bytes and pass them on at once; so is what is there when nothing comes for ``join_idle_s``.
    join: int = 0
    join_idle_s: float = 0.05
    #: Flip the lowest bit of the byte ``spoil_into`` behind the start of the ``spoil_nth`` occurrence of ``spoil_at``.
    spoil_at: bytes = b""
    spoil_nth: int = 1
    spoil_into: int = 0
    #: Read nothing more once so many bytes have been passed on; the connection stays open.
    deaf_after: int | None = None


@dataclass
class Plan:
    """Faults of the next connection."""

    up: Faults = field(default_factory=Faults)
    down: Faults = field(default_factory=Faults)
    #: Hold the connection at the door until :meth:`Link.admit`: later ones overtake it.
    held: bool = False


class Pipe:
    """One direction of a link."""

    def __init__(self, link: "Link", name: str, faults: Faults) -> None:
        self.link = link
        self.name = name
        self.faults = faults
        #: Bytes passed on.
        self.passed = 0
        self._tail = b""
        self._cut_byte: int | None = None
        self._joined = bytearray()
        self._matched = 0
        self._spoiling = b""  # what came before, in which the pattern may have begun
        self._spoiled = 0
        self._spoil_byte = -1  # counted from the connection's first
        self._read_bytes = 0

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on until either end closes."""
        while not self._deaf:
            data = await self._read(reader)
            if not data:
                break
            data = self._spoil(data)
            if self.faults.delay_s:
                await asyncio.sleep(self.faults.delay_s)
            cut = self._cut_position(data)
            await self._pass_on(writer, data if cut is None else data[:cut])
            if cut is not None:
                self.link.cut()
                return
        if self._deaf:
            await self.link.closed.wait()
        writer.close()

    @property
    def _deaf(self) -> bool:
        return self.faults.deaf_after is not None and self.passed >= self.faults.deaf_after

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """What to pass on next; empty at the end."""
        size = self.faults.join
        if not size:
            return await reader.read(_READ_BYTES)
        while len(self._joined) < size:
            try:
                async with asyncio.timeout(self.faults.join_idle_s if self._joined else None):
                    data = await reader.read(_READ_BYTES)
            except TimeoutError:
                break
            if not data:
                break
            self._joined += data
        data, self._joined = bytes(self._joined), bytearray()
        return data

    def _cut_position(self, data: bytes) -> int | None:
        """How much of ``data`` passes before the cut; None: all, and no cut."""
        faults = self.faults
        if faults.cut_after is not None and self.passed + len(data) >= faults.cut_after:
            return faults.cut_after - self.passed
        if faults.cut_at and self._cut_byte is None:
            # A pattern may begin in what came before: that much of it is kept.
            seen = self._tail + data
            base = self.passed - len(self._tail)
            self._tail = seen[-len(faults.cut_at) + 1 :]
            start = 0
            while (at := seen.find(faults.cut_at, start)) >= 0 and self._cut_byte is None:
                start = at + 1
                self._matched += 1
                if self._matched == faults.cut_nth:
                    self._cut_byte = base + at + faults.cut_into
        if self._cut_byte is not None and self._cut_byte <= self.passed + len(data):
            return max(self._cut_byte - self.passed, 0)
        return None

    def _spoil(self, data: bytes) -> bytes:
        faults, first = self.faults, self._read_bytes
        self._read_bytes += len(data)
        if not faults.spoil_at:
            return data
        seen, start = self._spoiling + data, 0
        self._spoiling = seen[len(seen) - len(faults.spoil_at) + 1 :]
        while self._spoil_byte < 0 and (at := seen.find(faults.spoil_at, start)) >= 0:
            start = at + 1
            self._spoiled += 1
            if self._spoiled == faults.spoil_nth:
                self._spoil_byte = self._read_bytes - len(seen) + at + faults.spoil_into
        if not first <= self._spoil_byte < self._read_bytes:
            return data
        changed = bytearray(data)
        changed[self._spoil_byte - first] ^= 1
        self.link.proxy.spoiled += 1
        return bytes(changed)

    async def _pass_on(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        swallow = self.faults.swallow_after
        if swallow is not None:
            room = max(swallow - self.passed, 0)
            if len(data) > room:
                self.link.swallowed += len(data) - room
            data = data[:room]
        step = self.faults.split or len(data) or 1
        for start in range(0, len(data), step):
            part = data[start : start + step]
            writer.write(part)
            self.passed += len(part)
            await writer.drain()
            if self.faults.split:
                await asyncio.sleep(0)
            self.link.proxy.moved(len(part))


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy: "Proxy", plan: Plan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.up = Pipe(self, "up", plan.up)
        self.down = Pipe(self, "down", plan.down)
        self.swallowed = 0
        self.was_cut = False
        self.closed = asyncio.Event()
        self._admitted = asyncio.Event()
        if not plan.held:
            self._admitted.set()
        self._reader, self._writer = reader, writer
        self._far: asyncio.StreamWriter | None = None

    def leave(self) -> None:
        """The client's side of a held connection goes away; what it has sent is still under way."""
        self._writer.transport.abort()

    def admit(self) -> None:
        """Let a held connection through."""
        self._admitted.set()

    def cut(self) -> None:
        """Reset both ends now; what was not passed on is lost."""
        self.was_cut = True
        for writer in (self._writer, self._far):
            if writer is not None:
                raw = writer.get_extra_info("socket")
                if raw is not None:
                    with suppress(OSError):
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                writer.transport.abort()

    async def run(self) -> None:
        """Carry both directions until both have ended."""
        try:
            await self._admitted.wait()
            reader, self._far = await asyncio.open_connection("127.0.0.1", self.proxy.target_port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(self.up, self._reader, self._far))
                group.create_task(self._carry(self.down, reader, self._writer))
        except OSError:  # nobody listens there: the client sees its connection closed
            pass
        finally:
            self._writer.close()
            if self._far is not None:
                self._far.close()
            self.closed.set()

    async def _carry(self, pipe: Pipe, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await pipe.run(reader, writer)
            return
        self.cut()  # an end was reset: so is the other


class Proxy:
    """Listens on :attr:`port`, connects each client to ``target_port``."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        #: Plans of the next connections; when there is none, nothing happens to a connection.
        self.plan: deque[Plan] = deque()
        self.links: list[Link] = []
        #: Bytes passed on in all, both ways; bytes spoiled.
        self.total = 0
        self.spoiled = 0
        self._opened = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: list[tuple[int, Callable[[], None]]] = []

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, self.plan.popleft() if self.plan else Plan(), reader, writer)
        self.links.append(link)
        self._opened.set()
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(asyncio.CancelledError):  # by close(); asyncio's own callback would report it as an error
            await link.run()

    def moved(self, count: int) -> None:
        """Bytes have been passed on."""
        self.total += count
        due = [act for at, act in self._watches if at <= self.total]
        if due:
            self._watches = [watch for watch in self._watches if watch[0] > self.total]
            for act in due:
                act()

    async def passes(self, count: int) -> None:
        """Wait until ``count`` further bytes have been passed on."""
        reached = asyncio.Event()
        self._watches.append((self.total + count, reached.set))
        async with asyncio.timeout(60):
            await reached.wait()

    async def opened(self, count: int) -> None:
        """Wait until ``count`` connections have been opened in all."""
        async with asyncio.timeout(60):
            while len(self.links) < count:
                self._opened.clear()
                await self._opened.wait()

    def cut_all(self) -> None:
        """Reset every connection."""
        for link in self.links:
            link.cut()

    async def close(self) -> None:
        """Stop listening and drop everything."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
