"""Plays a definition against an acceptor over TCP: as a test (:func:`play`) or to see what it says (:func:`record`)."""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from tests.conformance.definition import SOH, Action, Definition, Step, completed, difference, shown

#: The slowest step is a TestRequest after 1.2 heartbeats of 6 s, with two ordinary heartbeats before it.
EXPECT_S = 40.0
#: The end of a connection may have to wait for 2.4 heartbeats, half of it after the TestRequest.
DISCONNECT_S = 10.0
_CONNECT_S = 30.0
_NOTICE_S = 20.0


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

    async def leave(self) -> None:
        """Say that nothing more comes and wait until the acceptor has noticed: the next one may be the same session."""
        with suppress(OSError):
            self._writer.write_eof()
            async with asyncio.timeout(_NOTICE_S):
                while await self._reader.read(65536):
                    pass

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
    """How long a recording waits: for an answer that the script names, for the end of a connection, and at the end.

    Of several acceptors one may have said less than another: it is waited for as long as ``lag_s``.
    """

    answer_s: float
    end_s: float
    silence_s: float
    lag_s: float = 0.0


class _Listener:
    """Reads one connection as long as it lasts."""

    def __init__(self, client: Client, said: list[str], news: asyncio.Event) -> None:
        self.client = client
        self.said = said
        self.ended = False
        self.news = news
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
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        if not self.ended:
            self.ended = True
            await self.client.leave()
        await self.client.close()


class _Recording:
    """One acceptor's part: what it said, and the connections to it."""

    def __init__(self, host: str, port: int, news: asyncio.Event) -> None:
        self.host, self.port = host, port
        self.trace = Trace()
        self.failure: OSError | None = None
        self.listeners: dict[int, _Listener] = {}
        self.every: list[_Listener] = []
        self._news = news
        self._openings: dict[int, int] = {}

    async def act(self, step: Step, clock: Callable[[int], datetime] | None) -> None:
        """Do what the script's client does; a connection that cannot be opened ends the recording."""
        number = step.connection
        if step.action is Action.CONNECT:
            self._openings[number] = self._openings.get(number, 0) + 1
            said = self.trace.said.setdefault((number, self._openings[number]), [])
            try:
                client = await Client.open(self.host, self.port)
            except OSError as error:  # a TimeoutError is one
                self.failure = error
                return
            self.listeners[number] = _Listener(client, said, self._news)
            self.every.append(self.listeners[number])
        elif step.action is Action.SEND:
            raw = completed(step.body, clock(step.line) if clock else None)
            await self.listeners[number].client.send(raw if step.damage is None else step.damage(raw))
        elif step.action is Action.DISCONNECT:
            await self.listeners[number].close()

    def heard(self, number: int, count: int | None) -> bool:
        """Whether a connection has said ``count`` things (None: all that it ever will)."""
        listener = self.listeners[number]
        return listener.ended or (count is not None and len(listener.said) >= count)


class _Table:
    """Recordings of one script side by side: a step is taken on all of them before the next one is."""

    def __init__(self, addresses: Sequence[tuple[str, int]], patience: Patience) -> None:
        self.news = asyncio.Event()
        self.recordings = [_Recording(host, port, self.news) for host, port in addresses]
        self.patience = patience
        self._lag_s = patience.lag_s

    @property
    def live(self) -> list[_Recording]:
        """Those that have not failed."""
        return [recording for recording in self.recordings if recording.failure is None]

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self.news.clear()
                    await self.news.wait()
        return condition()

    async def heard(self, numbers: Sequence[int], count: int | None, seconds: float) -> None:
        """Until all have said ``count`` things on a connection, or ``seconds`` have passed; then until they are even.

        Who has said less is late, or differs. Only a long silence tells; after the first one nobody is waited for.
        """

        def heard() -> bool:
            return all(one.heard(number, count) for one in self.live for number in numbers if number in one.listeners)

        def even() -> bool:
            counts = [[len(one.listeners[n].said) for n in numbers if n in one.listeners] for one in self.live]
            return all(other == counts[0] for other in counts[1:])

        if not await self._until(heard, seconds) and not await self._until(even, self._lag_s):
            self._lag_s = 0.0

    async def level(self, number: int) -> None:
        """Until all have said equally much on a connection that is about to be closed."""
        await self.heard([number], 1 << 30, 0.0)

    async def close(self) -> None:
        """Every connection."""
        await asyncio.gather(*(listener.close() for recording in self.recordings for listener in recording.every))


async def record_together(
    definition: Definition, addresses: Sequence[tuple[str, int]], patience: Patience,
    clock: Callable[[int], datetime] | None = None,
) -> list[Trace | OSError]:  # fmt: skip
    """Play ``definition`` to several acceptors at once without judging; an expected message is one that is waited for.

    ``clock``: what ``<TIME>`` stands for in a line, so that all recordings send the same bytes.

    Sending goes on only when every acceptor has said as much as the script expects, or
    ``patience.answer_s`` later, so that acceptors that differ are still heard to the end. One that
    has said less than another is waited for: on a busy machine it may only be late.
    """
    table = _Table(addresses, patience)
    due: dict[int, int] = {}
    try:
        for step in definition.steps:
            number = step.connection
            if step.action is Action.CONNECT:
                due[number] = 0
            if step.action is Action.EXPECT:
                due[number] += 1
                await table.heard([number], due[number], patience.answer_s)
            elif step.action is Action.EXPECT_DISCONNECT:
                await table.heard([number], None, patience.end_s)
            else:
                if step.action is Action.DISCONNECT:
                    await table.level(number)
                await asyncio.gather(*(recording.act(step, clock) for recording in table.live))
        await table.heard(list(due), None, patience.silence_s)
    finally:
        await table.close()
    return [recording.failure or recording.trace for recording in table.recordings]


async def record(
    definition: Definition, host: str, port: int, patience: Patience, clock: Callable[[int], datetime] | None = None
) -> Trace:
    """:func:`record_together` with a single acceptor."""
    found = (await record_together(definition, [(host, port)], patience, clock))[0]
    if isinstance(found, OSError):
        raise found
    return found
