"""kill -9 in the middle of sending: what the peer has seen is in the store, and the store says what comes next."""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from fix.store import MessageStore, verify
from fix.store.files import ACTIVE_NAME
from fix.testing import START_NS, split_messages
from tests.fix.endpoints.world import now_ns, symbols
from tests.fix.lane.world import Far

ROOT = Path(__file__).resolve().parents[3]


class Venue:
    """Lets one client log on, reads, and reports on what it reads."""

    def __init__(self) -> None:
        self.data = b""
        self.far = Far(symbols(), START_NS)
        self.said = 0
        self.enough = asyncio.Event()
        self.wanted = 1 << 60

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.data += await reader.read(1 << 16)
        self.far.now_ns = now_ns()
        writer.write(self.far.say("A", [(98, 0), (108, 30)]))
        try:
            while data := await reader.read(1 << 16):
                self.data += data
                self.far.now_ns = now_ns()
                writer.write(self.far.report(2))
                self.said += 2
                if len(self.data) >= self.wanted:
                    self.enough.set()
        except ConnectionError:
            pass
        writer.close()


def whole(data: bytes) -> bytes:
    """Up to the end of the last whole message."""
    at = data.rfind(b"\x0110=")
    return data[: at + 8] if at >= 0 and len(data) >= at + 8 else data[: data.rfind(b"\x0110=", 0, at) + 8]


@pytest.mark.parametrize("seed", range(3))
async def test_killed_while_hot(tmp_path: Path, seed: int) -> None:
    venue = Venue()
    venue.wanted = random.Random(seed).randrange(30_000, 600_000)
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = Path(__file__).with_name("killed.py")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')", str(script), str(tmp_path), str(port), cwd=ROOT,
    )  # fmt: skip
    async with asyncio.timeout(120):
        await venue.enough.wait()
        child.kill()
        await child.wait()
    server.close()
    await server.wait_closed()
    seen = {message.seq: message.raw for message in split_messages(whole(venue.data))}
    assert sorted(seen) == list(range(1, len(seen) + 1)) and len(seen) > 100
    before = (tmp_path / ACTIVE_NAME).stat().st_size
    store = MessageStore(tmp_path)
    stored = dict(store.read(1, 1 << 30))
    assert sorted(stored) == list(range(1, store.next_out))  # every number has its message, and no other is used
    assert {seq: raw for seq, raw in stored.items() if seq in seen} == seen
    assert store.next_out > len(seen)
    assert 2 <= store.next_in <= 2 + venue.said
    assert all(damage.last_seq < damage.first_seq for damage in store.damage)
    assert (tmp_path / ACTIVE_NAME).stat().st_size < before  # what was allocated ahead is gone
    store.append(store.next_out, b"goes on")
    store.close()
    assert verify(tmp_path).sound
