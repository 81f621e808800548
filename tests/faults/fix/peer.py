"""A FIX process of the fault tests: one session, numbered messages both ways, a durable record of what came in.

What it sends is numbered 1, 2, 3 ... by its application, and the number is the message's
application reference in the store: after a kill the store says which number was the last. What it
receives is appended to ``delivered.bin`` before the handler returns. A message that was seen
before must say PossDupFlag=Y; a number that is not the next is a violation, and so is whatever
else must never happen: it is written to ``violations.txt``.
"""

import asyncio
import os
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from fix.endpoints import Acceptor, FixSession, Initiator, Reconnect
from fix.endpoints.policy import Backpressure
from fix.messages import parse
from fix.session import Role, SessionEvent, SessionSettings, State
from fix.store import GroupSync, MessageStore

NUMBER = struct.Struct("<Q")
#: Unsent bytes above which a peer waits: a load, not a flood.
_BUSY_BYTES = 1 << 18


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is told when it starts."""

    role: str  # client or server
    directory: str
    port: int
    settings: dict[str, Any] = {}
    #: Messages per millisecond while logged on; 0: says nothing of its own.
    rate: int = 3
    #: Stop at this number; 0: go on.
    last: int = 0
    text_bytes: int = 40
    #: Send while the peer is away too (a server; its store keeps it).
    always: bool = False
    clock_offset_s: float = 0.0
    max_backlog_bytes: int = 1 << 26
    #: Wait while the peer does not read; else go on sending.
    patient: bool = True


class Application:
    """Sends, counts, and writes down."""

    def __init__(self, config: PeerConfig, channel: socket.socket) -> None:
        self.config = config
        self.directory = Path(config.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.channel = channel
        self.clock_offset_ns = int(config.clock_offset_s * 1e9)
        self.quiet = config.rate == 0
        self.stopping = asyncio.Event()
        self.duplicates = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._delivered = os.open(self.directory / "delivered.bin", flags, 0o600)
        self._violations = os.open(self.directory / "violations.txt", flags, 0o600)
        size = os.fstat(self._delivered).st_size
        self._last = NUMBER.unpack(os.pread(self._delivered, 8, size - 8))[0] if size else 0
        self._padding = "x" * config.text_bytes
        self.session = self._build()
        for damage in self.session.store.damage:
            self.say(f"damage {damage.text}")

    def _build(self) -> FixSession:
        names = ("CLIENT", "SERVER") if self.config.role == "client" else ("SERVER", "CLIENT")
        role = Role.INITIATOR if self.config.role == "client" else Role.ACCEPTOR
        values = {"sender_comp_id": names[0], "target_comp_id": names[1], "role": role} | self.config.settings
        return FixSession(
            SessionSettings(**values),
            MessageStore(self.directory / "store"),
            self,
            clock=self.clock,
            backpressure=Backpressure(max_backlog_bytes=self.config.max_backlog_bytes),
        )

    def clock(self) -> int:
        """UTC as this process has it."""
        return time.time_ns() + self.clock_offset_ns

    def say(self, line: str) -> None:
        """Tell the test; it may be gone."""
        try:
            self.channel.sendall(line.replace("\n", " ").encode() + b"\n")
        except OSError:
            os._exit(3)

    def violated(self, text: str) -> None:
        """What must never happen has happened."""
        os.write(self._violations, text.encode() + b"\n")
        self.say(f"violation {text}")

    # -- the session's handler -------------------------------------------------------------------

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Take one message: exactly once, in order, written down."""
        message = parse(raw)
        number = message.integer(148)
        if msg_type != "B" or number is None:
            self.violated(f"not a message of ours: {raw!r}")
        elif number == self._last + 1:
            os.write(self._delivered, NUMBER.pack(number))
            self._last = number
        elif number > self._last:
            self.violated(f"number {number} after {self._last} (MsgSeqNum {message.seq}, poss_dup {poss_dup})")
        elif poss_dup:
            self.duplicates += 1
        else:
            self.violated(f"number {number} again without PossDupFlag, after {self._last} (MsgSeqNum {message.seq})")

    def on_frames(self, session: FixSession, frames: Any, count: int) -> None:
        """Nothing is decoded hot here."""
        raise AssertionError("no hot path is bound")

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """Tell the test."""
        self.say(f"state {state.name} {reason}")

    def on_event(self, session: FixSession, event: SessionEvent) -> None:
        """Tell the test."""
        self.say(f"event {event}")

    def on_failure(self, session: FixSession, error: Exception) -> None:
        """An error in the session's own code is a violation."""
        self.violated(f"{type(error).__name__}: {error}")

    def hush(self) -> None:
        """Say nothing of our own from now on."""
        self.quiet = True
        self.say("quiet")

    # -- sending ---------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what is due this millisecond."""
        session = self.session
        store = session.store
        busy = self.config.patient and session.backlog_bytes > _BUSY_BYTES
        if not self.quiet and not busy and (session.logged_on or self.config.always):
            for _ in range(self.config.rate):
                number = store.last_app_ref + 1
                if self.config.last and number > self.config.last:
                    break
                session.send("B", [(148, f"{number:010d}"), (33, 1), (58, self._padding)], app_ref=number)
                if not session.logged_on and not self.config.always:
                    break  # cut while sending
        if not self.stopping.is_set():
            asyncio.get_running_loop().call_later(0.001, self.pump)


async def _live(config: PeerConfig, channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: application.violated(f"loop: {context}"))
    application = Application(config, channel)
    loop.add_signal_handler(signal.SIGTERM, application.stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, application.hush)
    # The clock of this process alone is set forward by five minutes.
    loop.add_signal_handler(
        signal.SIGUSR2, lambda: setattr(application, "clock_offset_ns", application.clock_offset_ns + 300 * 10**9)
    )
    endpoint: Acceptor | Initiator
    if config.role == "server":
        endpoint = Acceptor([application.session], port=config.port, on_drop=lambda text: application.say(text))
        await endpoint.start()
    else:
        endpoint = Initiator(application.session, "127.0.0.1", config.port, Reconnect(first_s=0.005, max_s=0.04))
        endpoint.start()
    sync = GroupSync(0.02, lambda _store, error: application.violated(str(error)))
    sync.add(application.session.store)
    sync.start()
    application.say("up")
    application.pump()
    await application.stopping.wait()
    await (endpoint.close("end") if isinstance(endpoint, Acceptor) else endpoint.stop("end"))
    sync.stop()
    application.session.store.close()
    application.say(f"ended duplicates={application.duplicates}")


def run(config: PeerConfig, channel: socket.socket) -> None:
    """Live until SIGTERM."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_live(config, channel))
