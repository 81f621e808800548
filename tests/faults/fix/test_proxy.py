"""The proxy does to the bytes what it is told: otherwise the tests beside this one would prove nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.faults.fix.proxy import Faults, Link, Pipe, Plan, Proxy

SENT = bytes(range(256)) * 40


class Sink:
    """A server that keeps what each connection sends, in the chunks in which it arrives."""

    def __init__(self) -> None:
        self.chunks: list[list[bytes]] = []
        self.ended: list[asyncio.Event] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunks: list[bytes] = []
        ended = asyncio.Event()
        self.chunks.append(chunks)
        self.ended.append(ended)
        try:
            while data := await reader.read(1 << 20):
                chunks.append(data)
        except ConnectionResetError:
            chunks.append(b"RESET")
        writer.close()
        ended.set()

    def got(self, link: int = 0) -> bytes:
        return b"".join(self.chunks[link]) if link < len(self.chunks) else b""


@pytest.fixture
async def line() -> AsyncIterator[tuple[Proxy, Sink]]:
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    yield proxy, sink
    await proxy.close()
    server.close()
    await server.wait_closed()


async def send(line: tuple[Proxy, Sink], faults: Faults, data: bytes = SENT) -> bytes:
    """What arrives of ``data`` that is sent through ``faults``, then ended by the sender."""
    proxy, sink = line
    proxy.plan.append(Plan(up=faults))
    _reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(data)
    writer.write_eof()
    await proxy.opened(1)
    await proxy.links[0].closed.wait()
    writer.close()
    if sink.ended:
        await sink.ended[0].wait()
        return sink.got()
    return b""


async def test_nothing_is_changed_without_a_plan(line: tuple[Proxy, Sink]) -> None:
    assert await send(line, Faults()) == SENT
    assert line[0].total == len(SENT)


@pytest.mark.parametrize("count", [1, 77, 5000])
async def test_cut_after(line: tuple[Proxy, Sink], count: int) -> None:
    assert await send(line, Faults(cut_after=count)) in (SENT[:count], SENT[:count] + b"RESET")
    assert line[0].links[0].was_cut


async def test_cut_at_the_nth_pattern_even_across_reads(line: tuple[Proxy, Sink]) -> None:
    proxy, sink = line
    proxy.plan.append(Plan(up=Faults(cut_at=b"35=2", cut_nth=2, cut_into=6)))
    _reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    for part in (b"35=2 first, second 3", b"5=2 after"):
        before = proxy.total
        writer.write(part)
        await proxy.passes(max(1, 20 - before))
        await proxy.opened(1)
    await proxy.links[0].closed.wait()
    await sink.ended[0].wait()
    assert sink.got().removesuffix(b"RESET") == b"35=2 first, second 35=2 a"
    writer.close()


async def test_spoil_flips_one_bit_of_one_byte(line: tuple[Proxy, Sink]) -> None:
    got = await send(line, Faults(spoil_at=b"\x10\x11", spoil_nth=2, spoil_into=1))
    assert [(i, SENT[i] ^ got[i]) for i in range(len(SENT)) if SENT[i] != got[i]] == [(256 + 17, 1)]
    assert line[0].spoiled == 1


@pytest.mark.parametrize("size", [1, 3, 4, 7])
async def test_spoil_finds_its_byte_wherever_reads_end(line: tuple[Proxy, Sink], size: int) -> None:
    proxy, _sink = line
    pipe = Pipe(Link(proxy, Plan(), None, None), "up", Faults(spoil_at=b"34=", spoil_nth=2, spoil_into=4))  # type: ignore[arg-type]
    data = b"34=11|34=22|34=33|"
    got = b"".join(pipe._spoil(data[at : at + size]) for at in range(0, len(data), size))
    assert got == b"34=11|34=23|34=33|" and proxy.spoiled == 1


async def test_swallow(line: tuple[Proxy, Sink]) -> None:
    assert await send(line, Faults(swallow_after=300)) == SENT[:300]
    assert line[0].links[0].swallowed == len(SENT) - 300


async def test_split_and_join(line: tuple[Proxy, Sink]) -> None:
    assert await send(line, Faults(split=1), SENT[:500]) == SENT[:500]


async def test_join_collects(line: tuple[Proxy, Sink]) -> None:
    proxy, sink = line
    proxy.plan.append(Plan(up=Faults(join=9, join_idle_s=30.0)))
    _reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    for part in (b"abc", b"def", b"ghi"):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    await proxy.passes(9 - proxy.total)
    writer.close()
    await proxy.links[0].closed.wait()
    await sink.ended[0].wait()
    assert sink.chunks[0] == [b"abcdefghi"]


async def test_a_held_connection_waits(line: tuple[Proxy, Sink]) -> None:
    proxy, sink = line
    proxy.plan.append(Plan(held=True))
    _reader, held = await asyncio.open_connection("127.0.0.1", proxy.port)
    held.write(b"early")
    _reader, free = await asyncio.open_connection("127.0.0.1", proxy.port)
    free.write(b"late")
    await proxy.passes(4)
    assert [sink.got(0)] in ([b"late"], [b""])
    proxy.links[0].admit()
    await proxy.passes(5)
    held.close()
    free.close()
    for link in proxy.links:
        await link.closed.wait()
    assert [sink.got(0), sink.got(1)] == [b"late", b"early"]
