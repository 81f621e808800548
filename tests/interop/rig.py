"""One of our sessions joined to a real quickfix peer in a process of its own.

``World(engine=...)`` builds our side either on ``fix.endpoints`` ("axiom") or on ``fix.foreign``
("quickfix"): what is asked of a session must hold whichever engine carries it.
"""

import asyncio
import functools
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fix.codec import SymbolTable
from fix.endpoints import Acceptor, CodecHotPath, FixSession, Initiator, Reconnect
from fix.messages import Field, Message, build, frame, parse, utc_timestamp
from fix.session import Role, SessionEvent, SessionSettings, State
from fix.store import MessageStore
from market import records
from market.enums import FrameKind, OrderAction, OrdType, Side, TimeInForce
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PEER = Path(__file__).with_name("peer.py")
BROKEN_WORKER = Path(__file__).with_name("broken_worker.py")
#: Everything is waited for by what it does; this only ends a test that would never end.
PATIENCE_S = 90
SYMBOL = "GOOG151224C00750000"
FAST = Reconnect(first_s=0.05, max_s=0.2)
VERSIONS = [("FIX.4.0", ""), ("FIX.4.1", ""), ("FIX.4.2", ""), ("FIX.4.3", ""), ("FIX.4.4", ""),
            ("FIXT.1.1", "7"), ("FIXT.1.1", "8"), ("FIXT.1.1", "9")]  # fmt: skip
ADMIN = frozenset("012345A")


Make = Callable[..., "World"]
Scenario = Callable[..., Awaitable[None]]
#: Worlds at once: most of a scenario is waiting for quickfix, which looks at its sessions once a second.
_AT_ONCE = 8


def everywhere(**axes: Iterable[Any]) -> Callable[[Scenario], Callable[[Make], Awaitable[None]]]:
    """Run a scenario for every combination of ``axes``, at the same time; failures say which it was."""

    def decorate(scenario: Scenario) -> Callable[[Make], Awaitable[None]]:
        @functools.wraps(scenario)
        async def test(world: Make) -> None:
            room = asyncio.Semaphore(_AT_ONCE)
            failures: list[Exception] = []

            async def run(case: dict[str, Any]) -> None:
                async with room:
                    try:
                        await scenario(world, **case)
                    except Exception as error:  # noqa: BLE001 - raised below, with all the others
                        error.add_note(f"in the case {case}")
                        failures.append(error)

            cases = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
            await asyncio.gather(*(run(case) for case in cases))
            if failures:
                raise ExceptionGroup(f"{len(failures)} of {len(cases)} cases fail", failures)

        del test.__wrapped__  # pytest reads the arguments of what is wrapped
        return test

    return decorate


@functools.lru_cache(maxsize=1 << 16)
def parsed(raw: bytes) -> Message:
    """A message, taken apart once: conditions look at all of them each time that something happens."""
    return parse(raw)


def symbols() -> SymbolTable:
    """The one instrument of these tests: instrument 3, two decimals, tick 0.01."""
    table = SymbolTable(8)
    table.add(SYMBOL, 3, 2, 100)
    return table


def orders(ids: Iterable[int], **changes: Any) -> Any:
    """ORDER rows: new limit orders, one for each ClOrdID."""
    ids = list(ids)
    rows = records.table(records.ORDER, len(ids))
    rows["kind"], rows["instrument"], rows["session"] = FrameKind.ORDER, 3, 1
    rows["side"], rows["ord_type"], rows["tif"] = Side.BUY, OrdType.LIMIT, TimeInForce.DAY
    rows["action"], rows["price_ticks"], rows["qty"], rows["cl_ord_id"] = OrderAction.NEW, 1_234, 5, ids
    for name, value in changes.items():
        rows[name] = value
    return rows


class Heard:
    """Things that happened, and waiting until enough did."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait until ``condition()`` holds; looked at after everything that happens."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self.changed.clear()
                    with suppress(TimeoutError):  # not every condition changes by something heard
                        async with asyncio.timeout(0.05):
                            await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"never came true: {what or condition}; heard {self}") from None


class Recorder(Heard):
    """A handler that keeps everything."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[np.ndarray[Any, Any]] = []
        self.messages: list[tuple[str, bytes, bool]] = []
        self.states: list[tuple[State, str]] = []
        self.events: list[SessionEvent] = []
        self.failures: list[BaseException] = []
        self.order: list[str] = []

    def on_frames(self, session: Any, frames: Any, count: int) -> None:
        self.frames.extend(frames[:count].copy())
        self.order.extend(["frame"] * count)
        self.changed.set()

    def on_message(self, session: Any, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        self.messages.append((msg_type, raw, poss_dup))
        self.order.append(msg_type)
        self.changed.set()

    def on_state(self, session: Any, state: State, reason: str) -> None:
        self.states.append((state, reason))
        self.order.append(state.name)
        self.changed.set()

    def on_event(self, session: Any, event: SessionEvent) -> None:
        self.events.append(event)
        self.order.append(type(event).__name__)
        self.changed.set()

    def on_failure(self, session: Any, error: BaseException) -> None:
        self.failures.append(error)
        self.changed.set()

    def of(self, kind: type[Any]) -> list[Any]:
        """Events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    def raws(self, msg_type: str) -> list[Message]:
        """Messages of one type that came without a frame."""
        return [parsed(raw) for kind, raw, _ in self.messages if kind == msg_type]

    def rows(self, layout: Any) -> Any:
        """Frames as records."""
        return records.as_layout(np.array(self.frames, np.uint8).reshape(-1, records.FRAME_BYTES), layout)

    def __repr__(self) -> str:
        return f"states={self.states} events={self.events} messages={self.messages[-5:]} failures={self.failures}"


class Peer(Heard):
    """The quickfix process."""

    def __init__(self, directory: Path, role: str, port: int, **changes: Any) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "role": role, "port": port, "directory": str(directory), "heartbeat": 30, "begin_string": "FIX.4.4",
            "appl_ver_id": "", "sender": "OPT", "target": "AXIOM",
        } | changes  # fmt: skip
        self.said: list[dict[str, Any]] = []
        self.process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> "Peer":
        """Start it on what stands in its directory."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(PEER), json.dumps(self.config), cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
        )  # fmt: skip
        before = len(self.of("started"))
        self._reader = asyncio.get_running_loop().create_task(self._read())
        await self.until(lambda: len(self.of("started")) > before, "the peer starts")
        return self

    async def _read(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        while line := await self.process.stdout.readline():
            if line.startswith(b"{"):
                self.said.append(json.loads(line))
                self.changed.set()

    async def do(self, what: str, **values: Any) -> dict[str, Any]:
        """Give a command; the peer's numbers after it."""
        assert self.process is not None and self.process.stdin is not None
        before = len(self.of("done"))
        self.process.stdin.write(json.dumps({"do": what} | values).encode() + b"\n")
        await self.until(lambda: len(self.of("done")) > before, f"the peer does {what}")
        return self.of("done")[-1]

    async def send(self, *texts: str) -> None:
        """Send application messages, given as ``35=..|..|``."""
        await self.do("send", texts=list(texts))

    async def forget(self, seq: int, expecting: int) -> None:
        """Expect ``seq`` again, once it has counted everything before ``expecting``."""
        await self.counted(expecting)
        await self.do("set_in", seq=seq)

    async def counted(self, expecting: int) -> None:
        """Wait until it has counted everything before ``expecting``: its callback speaks before it counts."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.do("numbers"))["next_in"] != expecting:
                pass

    async def kill(self) -> None:
        """Kill -9."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self._reader is not None:
            await self._reader
        self.process = None

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What it said, of one kind."""
        return [said for said in self.said if said["kind"] == kind]

    def messages(self, kind: str, msg_type: str = "") -> list[Message]:
        """Messages that it saw: ``in`` and ``out`` on the wire, ``app`` in its application."""
        all_of = [parsed(said["raw"].encode("latin-1")) for said in self.of(kind)]
        return [message for message in all_of if not msg_type or message.msg_type == msg_type]

    def __repr__(self) -> str:
        return "\n".join(str(said) for said in self.said[-40:])


class Wire:
    """The far side at message level: it says what the test says, with the numbers that the test gives."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.begin_string = "FIX.4.4"
        self._buffer = b""

    def say(self, msg_type: str, seq: int, body: Sequence[Field] = (), header: Sequence[Field] = ()) -> None:
        """Send one message as OPT."""
        stamp = utc_timestamp(time.time_ns())
        self.writer.write(build(self.begin_string, msg_type, seq, "OPT", "AXIOM", stamp, body, header))

    def again(self, msg_type: str, seq: int, body: Sequence[Field] = ()) -> None:
        """Send one message with PossDupFlag=Y."""
        self.say(msg_type, seq, body, [(43, "Y"), (122, utc_timestamp(time.time_ns()))])

    async def hear(self, msg_type: str) -> Message:
        """Wait for a message of this type; others are passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                begin, stop = frame(self._buffer, 0, len(self._buffer))
                if stop > begin:
                    message = parse(self._buffer[begin:stop])
                    self._buffer = self._buffer[stop:]
                    if message.msg_type == msg_type:
                        return message
                    continue
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionResetError(f"closed before a {msg_type} came")
                self._buffer += data

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.reader.read(65536):
                pass

    def cut(self) -> None:
        """Close without a word."""
        self.writer.transport.abort()


class WireServer:
    """Accepts connections of our initiator, one after another."""

    def __init__(self) -> None:
        self._wires: asyncio.Queue[Wire] = asyncio.Queue()
        self._all: list[Wire] = []
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> "WireServer":
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        return self

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._all.append(Wire(reader, writer))
        self._wires.put_nowait(self._all[-1])

    async def logon(self) -> tuple[Wire, Message]:
        """The next connection that says Logon; quickfix at times closes one before it has."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                wire = await self._wires.get()
                with suppress(ConnectionError):
                    return wire, await wire.hear("A")

    def close(self) -> None:
        """Stop listening, and cut what is open."""
        if self._server is not None:
            self._server.close()
        for wire in self._all:
            wire.cut()


class World:
    """Our session and its peer. ``role`` is ours: the peer takes the other."""

    def __init__(
        self, directory: Path, role: Role, engine: str = "axiom", *, version: tuple[str, str] = ("FIX.4.4", ""),
        hot: bool = False, peer: dict[str, Any] | None = None, **changes: Any,
    ) -> None:  # fmt: skip
        self.directory, self.role, self.engine, self.hot = directory, role, engine, hot
        self.port = free_port()
        begin_string, appl_ver_id = version
        names: dict[str, Any] = {"sender_comp_id": "AXIOM", "target_comp_id": "OPT", "begin_string": begin_string}
        if appl_ver_id:
            names["default_appl_ver_id"] = appl_ver_id
        self.settings = SessionSettings(**names, role=role, **({"heartbeat_interval_s": 30} | changes))
        theirs = "acceptor" if role is Role.INITIATOR else "initiator"
        config = {"begin_string": begin_string, "appl_ver_id": appl_ver_id} | (peer or {})
        self.peer = Peer(directory / "peer", theirs, self.port, **config)
        self.handler = Recorder()
        self.session: Any = None
        self.endpoint: Any = None
        self.server: WireServer | None = None
        #: Dictionaries with an overlay, and who may log on.
        self.dictionary: Any = None
        self.authenticate: Any = None
        self.schedule: Any = None
        self.throttle: Any = None
        self.clock: Callable[[], int] = time.time_ns
        #: A fault that the worker has built in, see ``broken_worker.py``.
        self.fault = ""
        #: Restart policy of a worker; None: its default.
        self.policy: Any = None

    def make(self) -> None:
        """Build our side on what stands in its directory."""
        hot = CodecHotPath.for_session(self.settings, symbols(), 1, capacity=512, owner=7) if self.hot else None
        if self.engine == "axiom":
            maker: Any = FixSession
            store: Any = MessageStore(self.directory / "ours")
        else:
            from fix.foreign import QuickfixSession, QuickfixStore

            maker, store = QuickfixSession, QuickfixStore(self.directory / "ours")
        self.session = maker(
            self.settings,
            store,
            self.handler,
            hot,
            1,
            dictionary=self.dictionary,
            clock=self.clock,
            schedule=self.schedule,
            throttle=self.throttle,
            authenticate=self.authenticate,
        )

    async def open_ours(self) -> None:
        """Build and start our endpoint."""
        self.make()
        if self.engine == "axiom":
            initiator: Any = Initiator
            acceptor: Any = Acceptor
        else:
            from fix.foreign import QuickfixAcceptor, QuickfixInitiator

            initiator, acceptor = QuickfixInitiator, QuickfixAcceptor
        options = {"policy": self.policy} if self.engine == "quickfix" else {}
        if self.role is Role.INITIATOR:
            self.endpoint = initiator(self.session, "127.0.0.1", self.port, FAST, **options)
        else:
            self.endpoint = acceptor([self.session], "127.0.0.1", self.port, **options)
        if self.fault:
            self.endpoint.command = [sys.executable, str(BROKEN_WORKER), self.fault]
        started = self.endpoint.start()
        if started is not None:
            await started

    async def open(self) -> "World":
        """Start both and let them log on."""
        if self.role is Role.INITIATOR:
            await self.peer.start()
            await self.open_ours()
        else:
            await self.open_ours()
            await self.peer.start()
        await self.logged_on()
        return self

    async def serve(self) -> WireServer:
        """Instead of a peer: a server that the test plays, message by message."""
        self.server = await WireServer().start(self.port)
        return self.server

    async def logged_on(self, times: int = 1) -> None:
        """Both sides say that they are logged on."""
        await self.handler.until(lambda: self.session.logged_on, "we log on")
        await self.peer.until(lambda: len(self.peer.of("logon")) >= times, "the peer logs on")

    async def steady(self) -> None:
        """Logged on, nothing missing."""
        await self.handler.until(lambda: self.session.steady, "we are steady")

    async def stop_ours(self, *, orderly: bool = True) -> None:
        """Stop our endpoint; not ``orderly``: a worker is killed."""
        if self.endpoint is None:
            return
        if self.engine == "quickfix" and not orderly:
            self.session.abort("the test is over")  # a Logout of quickfix takes a second
        if self.role is Role.INITIATOR:
            await self.endpoint.stop()
        else:
            await self.endpoint.close()
        self.session.store.release()
        self.endpoint = None

    async def crash_ours(self) -> None:
        """As kill -9: the connection breaks, memory is gone, files stay."""
        self.session.abort("killed")
        await self.stop_ours()
        self.handler = Recorder()

    async def close(self) -> None:
        """Everything down."""
        if self.server is not None:
            self.server.close()
        await self.stop_ours(orderly=False)
        await self.peer.kill()
