"""Peers as real processes, and conditions to wait for."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fix.store import StoreReport, verify
from tests.faults.fix.peer import NUMBER, PeerConfig
from tests.faults.fix.proxy import Proxy
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 60.0
T = TypeVar("T")


async def until(condition: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Wait until ``condition`` gives something true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        found = condition()
        if found:
            return found
        if loop.time() > end:
            raise AssertionError(f"{what}: not within {deadline_s} s")
        await asyncio.sleep(0.005)


class Nursery:
    """The process that peers are forked from."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.fix.nursery", str(theirs.fileno())],
                cwd=ROOT, pass_fds=(theirs.fileno(),),
            )  # fmt: skip
        self._link = ours

    def fork(self, config: PeerConfig) -> tuple[int, socket.socket]:
        """Start a peer; its pid, and our end of its channel."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._link, [msgspec.json.encode(config)], [theirs.fileno()])
        return int(self._link.recv(64)), ours

    def close(self) -> None:
        """End it."""
        self._link.close()
        self._process.wait(DEADLINE_S)


class Peer:
    """One side: started, killed, frozen, started again, always on the same directory."""

    def __init__(self, nursery: Nursery, role: str, directory: Path, port: int, **config: Any) -> None:
        self.config = PeerConfig(role=role, directory=str(directory), port=port, **config)
        self.directory = directory
        self.lines: list[str] = []
        self.pid = 0
        self._nursery = nursery
        self._reader: asyncio.Task[None] | None = None

    def start(self, **changes: Any) -> None:
        """Fork it."""
        assert not self.alive
        self.config = msgspec.structs.replace(self.config, **changes)
        self.lines = []
        self.pid, channel = self._nursery.fork(self.config)
        self._reader = asyncio.get_running_loop().create_task(self._listen(channel))

    async def _listen(self, channel: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=channel)
        with suppress(ConnectionResetError):
            async for line in reader:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
        writer.close()
        self.pid = 0

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as its channel says."""
        return self.pid != 0

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait until the kernel has closed all that it had."""
        if self.alive:
            self.signal(signal.SIGKILL)
            await self.ended()

    async def ended(self) -> None:
        """Wait until it is gone."""
        assert self._reader is not None
        async with asyncio.timeout(DEADLINE_S):
            await self._reader
        # The channel may be closed a moment before the lock of the store is.
        await until(lambda: not verify_user(self.directory), f"{self.config.role} to let go of its store")

    async def stop(self) -> None:
        """SIGTERM: log out and end in order."""
        self.signal(signal.SIGTERM)
        await self.ended()
        assert self.lines[-1].startswith("ended"), self.tail()

    async def says(self, text: str, times: int = 1) -> str:
        """Wait for a line that contains ``text``; that line."""

        def said() -> str:
            found = [line for line in self.lines if text in line]
            assert self.alive or len(found) >= times, f"{self.config.role} is gone\n{self.tail()}"
            return found[times - 1] if len(found) >= times else ""

        try:
            return await until(said, f"{self.config.role} to say {text!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def tail(self) -> str:
        """The last it said."""
        return "\n".join(self.lines[-25:])

    # -- what it has on disk ---------------------------------------------------------------------

    @property
    def sent(self) -> int:
        """Number of the last message of its application that is in its store."""
        with suppress(FileNotFoundError):
            raw = (self.directory / "store" / "session.words").read_bytes()
            return NUMBER.unpack_from(raw, 3 * 8)[0] if len(raw) == 4096 else 0
        return 0

    @property
    def delivered_count(self) -> int:
        """How many messages its application has taken."""
        path = self.directory / "delivered.bin"
        return path.stat().st_size // NUMBER.size if path.exists() else 0

    def delivered(self) -> list[int]:
        """The numbers that its application has taken, in order."""
        raw = (self.directory / "delivered.bin").read_bytes()
        return [number for (number,) in NUMBER.iter_unpack(raw)]

    def violations(self) -> str:
        """What must be empty."""
        path = self.directory / "violations.txt"
        return path.read_text() if path.exists() else ""

    def store(self) -> StoreReport:
        """The state of its store."""
        return verify(self.directory / "store")


def verify_user(directory: Path) -> int:
    """Pid of a live process that has the peer's store, or 0."""
    try:
        raw = (directory / "store" / "session.words").read_bytes()
        pid = int(raw[-32:].split(b"\0")[0])
        os.kill(pid, 0)
    except (ValueError, OSError):
        return 0
    return pid


class Pair:
    """A client and a server with the proxy between them."""

    def __init__(self, nursery: Nursery, directory: Path, **config: Any) -> None:
        self.nursery = nursery
        self.directory = directory
        self.port = free_port()
        self.proxy = Proxy(self.port)
        self._config = config
        self.server = Peer(nursery, "server", directory / "server", self.port, **config)
        self.client: Peer

    async def start(self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        """Listen, start both, wait for the first logon."""
        await self.open(server)
        self.client = self.make_client(**(client or {}))
        self.client.start()
        await self.client.says("state LOGGED_ON")

    async def open(self, server: dict[str, Any] | None = None) -> None:
        """Proxy and server only."""
        await self.proxy.start()
        self.server.start(**(server or {}))
        await self.server.says("up")

    def make_client(self, name: str = "client", **config: Any) -> Peer:
        """Another client of the same session."""
        return Peer(self.nursery, "client", self.directory / name, self.proxy.port, **(self._config | config))

    @property
    def peers(self) -> tuple[Peer, Peer]:
        """Both."""
        return self.client, self.server

    async def settle(self) -> None:
        """Both go quiet; wait until each has taken all that the other has stored."""
        for peer in self.peers:
            await peer.says("up")
            peer.signal(signal.SIGUSR1)
        for peer in self.peers:
            await peer.says("quiet")

        def settled() -> bool:
            for peer in self.peers:
                assert peer.alive, f"{peer.config.role} is gone\n{peer.tail()}"
                assert not peer.violations(), peer.violations()
            return self._drained()

        await self._wait(settled, "everything delivered")

    async def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """As :func:`until`, with what both have said when it fails."""
        try:
            await until(condition, what)
        except AssertionError as error:
            raise AssertionError(
                f"{error}: sent {self.client.sent}, {self.server.sent}, "
                f"taken {self.server.delivered_count}, {self.client.delivered_count}\n"
                f"client:\n{self.client.tail()}\nserver:\n{self.server.tail()}"
            ) from None

    def _drained(self) -> bool:
        before = (self.client.sent, self.server.sent)
        return before == (self.server.delivered_count, self.client.delivered_count)

    async def finish(self, least: int = 1) -> tuple[int, int]:
        """Wait for ``least`` messages each way, settle, end in order, check both records; how many went each way."""
        await self._wait(
            lambda: min(peer.delivered_count for peer in self.peers) >= least, f"{least} messages each way"
        )
        await self.settle()
        for peer in (self.client, self.server):
            await peer.stop()
        self.check()
        return self.client.sent, self.server.sent

    def check(self) -> None:
        """Everything once and in order, both ways; both stores sound."""
        for sender, taker in (self.peers, self.peers[::-1]):
            assert taker.violations() == ""
            assert taker.delivered() == list(range(1, sender.sent + 1))
            report = sender.store()
            assert report.sound, "\n".join(report.lines())

    async def close(self) -> None:
        """After the test, however it ended."""
        for peer in (getattr(self, "client", None), self.server):
            if peer is not None and peer.alive:
                with suppress(ProcessLookupError):
                    peer.signal(signal.SIGCONT)
                    peer.signal(signal.SIGKILL)
                await peer.ended()
        await self.proxy.close()


def moments(rng: random.Random, count: int, most_bytes: int) -> Iterable[int]:
    """Bytes to wait for before each of ``count`` faults: as often tens as thousands."""
    for _ in range(count):
        yield int(most_bytes ** rng.random())
