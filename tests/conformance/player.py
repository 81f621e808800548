"""Plays a definition against an acceptor over TCP: as a test (:func:`play`) or to see what it says (:func:`record`)."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from tests.conformance.definition import SOH, Action, Definition, Step, completed, difference, shown

#: The slowest step is a TestRequest after 1.2 heartbeats of 6 s, with two ordinary heartbeats before it.
EXPECT_S = 40.0
#: The end of a connection may have to wait for 2.4 heartbeats, half of it after the TestRequest.
DISCONNECT_S = 10.0
_CONNECT_S = 5.0


class Mismatch(Exception):
    """The acceptor did not do what the definition says; names the line and both messages."""


class ConnectionEnded(Exception):
    """The acceptor closed the connection."""


class Client:
    """One client connection: bytes out, whole messages in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> "Client":
        async with asyncio.timeout(_CONNECT_S):
            return cls(*await asyncio.open_connection(host, port))

    async def send(self, data: bytes) -> None:
        """Write; an end of the connection shows in the next receive."""
        self._writer.write(data)
        with suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> bytes:
        """One message: up to BodyLength, that many bytes, and the field after them.

        Raises
        ------
        ConnectionEnded
            There is none any more.
        """
        try:
            head = await self._reader.readuntil(b"\x019=")
            length = await self._reader.readuntil(SOH)
            body = await self._reader.readexactly(int(length[:-1]))
            return head + length + body + await self._reader.readuntil(SOH)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ConnectionEnded(str(error)) from error

    async def receive_any(self) -> bytes:
        """Whatever comes next; nothing at the end of the connection (a reset counts as its end)."""
        try:
            return await self._reader.read(65536)
        except ConnectionError:
            return b""

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def _knock(host: str, port: int) -> None:
    """Open a connection and close it at once: an acceptor must not mind."""
    await (await Client.open(host, port)).close()


async def play(definition: Definition, host: str, port: int) -> None:
    """Play ``definition``; returns when every step held.

    Raises
    ------
    Mismatch
        At the first that did not.
    """
    await _knock(host, port)
    clients: dict[int, Client] = {}
    opened: list[Client] = []
    try:
        for step in definition.steps:
            if step.action is Action.CONNECT:
                clients[step.connection] = await Client.open(host, port)
                opened.append(clients[step.connection])
                continue
            fault = await _play_step(step, clients[step.connection])
            if fault:
                raise Mismatch(f"{definition.name}.def:{step.line}: {fault}")
    finally:
        for client in opened:
            await client.close()


async def _play_step(step: Step, client: Client) -> str:
    """What went wrong, or nothing."""
    if step.action is Action.SEND:
        await client.send(completed(step.body))
        return ""
    if step.action is Action.DISCONNECT:
        await client.close()
        return ""
    try:
        if step.action is Action.EXPECT_DISCONNECT:
            async with asyncio.timeout(DISCONNECT_S):
                data = await client.receive_any()
            return f"expected the end of the connection, received {shown(data)}" if data else ""
        async with asyncio.timeout(EXPECT_S):
            received = await client.receive()
    except TimeoutError:
        return f"nothing came, expected {step.action.value} {shown(step.body)}"
    except ConnectionEnded:
        return f"the connection ended, expected {shown(step.body)}"
    expected = completed(step.body)
    fault = difference(expected, received)
    return f"{fault}\n  expected {shown(expected)}\n  received {shown(received)}" if fault else ""


# --------------------------------------------------------------- what an acceptor says


@dataclass
class Trace:
    """Everything that an acceptor said in answer to a script, per connection, without what the clock decides."""

    #: Connection number and number of its opening -> messages, then how it ended.
    said: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """One line each, comparable."""
        return [f"{number}.{opening} {text}" for (number, opening), texts in self.said.items() for text in texts]


_TIMES = re.compile(rb"(?<=\x01)(42|52|60|122)=\d{8}-\d{2}:\d{2}:\d{2}(\.\d+)?(?=\x01)")
_SUM = re.compile(rb"(?<=\x01)10=(\d{3})\x01$")


def timeless(raw: bytes) -> str:
    """``raw`` with times and a right CheckSum blanked, lengths kept."""
    match = _SUM.search(raw)
    if match is not None and int(match.group(1)) == sum(raw[: match.start()]) & 0xFF:
        raw = raw[: match.start()] + b"10=ok\x01"

    def blank(match: re.Match[bytes]) -> bytes:
        return match.group(1) + b"=time" + (b".%d" % (len(match.group(2)) - 1) if match.group(2) else b"")

    return shown(_TIMES.sub(blank, raw))


@dataclass
class Patience:
    """How long a recording waits: for an answer that the script names, for the end of a connection, and at the end."""

    answer_s: float
    end_s: float
    silence_s: float


class _Listener:
    """Reads one connection as long as it lasts."""

    def __init__(self, client: Client, said: list[str]) -> None:
        self.client = client
        self.said = said
        self.ended = False
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            while True:
                self.said.append(timeless(await self.client.receive()))
                self.news.set()
        except ConnectionEnded:
            self.said.append("closed")
        except ValueError as error:
            self.said.append(f"unreadable: {error}")
        self.ended = True
        self.news.set()

    async def close(self) -> None:
        """Stop listening, then close: an end that we make ourselves is nothing that the acceptor said."""
        self.ended = True
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        await self.client.close()

    async def wait(self, seconds: float, count: int | None) -> None:
        """Until ``count`` things were said (None: the end), or ``seconds`` have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.ended and (count is None or len(self.said) < count):
                    self.news.clear()
                    await self.news.wait()


async def record(
    definition: Definition, host: str, port: int, patience: Patience, clock: Callable[[int], datetime] | None = None
) -> Trace:
    """Play ``definition`` without judging: an expected message is one that is waited for.

    ``clock``: what ``<TIME>`` stands for in a line, so that two recordings can send the same bytes.

    Sending goes on only when the acceptor has said as much as the script expects, or
    ``patience.answer_s`` later, so that two acceptors that differ are still heard to the end.
    """
    trace = Trace()
    listeners: dict[int, _Listener] = {}
    every: list[_Listener] = []
    due: dict[int, int] = {}
    openings: dict[int, int] = {}
    try:
        for step in definition.steps:
            number = step.connection
            if step.action is Action.CONNECT:
                openings[number] = openings.get(number, 0) + 1
                said = trace.said.setdefault((number, openings[number]), [])
                listeners[number] = _Listener(await Client.open(host, port), said)
                every.append(listeners[number])
                due[number] = 0
            elif step.action is Action.SEND:
                await listeners[number].client.send(completed(step.body, clock(step.line) if clock else None))
            elif step.action is Action.EXPECT:
                due[number] += 1
                await listeners[number].wait(patience.answer_s, due[number])
            elif step.action is Action.EXPECT_DISCONNECT:
                await listeners[number].wait(patience.end_s, None)
            else:
                await listeners[number].close()
        await asyncio.gather(*(listener.wait(patience.silence_s, None) for listener in every))
    finally:
        for listener in every:
            await listener.close()
    return trace
