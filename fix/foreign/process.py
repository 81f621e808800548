"""The worker process as its parent sees it: started, watched, killed, started again.

A worker is taken for dead when the socketpair closes, when no record has come for as long as the
watch allows, or when quickfix's own thread has been silent for nearly two heartbeats of a
connected session. Silence is counted in ticks of the parent's loop: a parent that was frozen does
not take its own pause for the worker's.
"""

import asyncio
import os
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Protocol

import msgspec

from fix.errors import SettingsError
from fix.foreign.records import MAX_RECORD_BYTES, REPORTS, Beat, Command, Failed, Report, Setup, Stopped, encode

_ROOT = Path(__file__).resolve().parents[2]
_BUFFER_BYTES = 4 << 20
_LOG_BYTES = 1 << 20
_READS_PER_TURN = 64
#: Until its first word: it loads quickfix and its dictionaries, on a busy machine beside others. Nothing trades yet.
_START_S = 60.0
#: Of two heartbeats: what remains is the beat that reports it.
_SILENCE_HEARTBEATS = 1.85
_LEAST_SILENCE_S = 2.0
_LEAST_BEATLESS_S = 1.0


class WorkerPolicy(msgspec.Struct, frozen=True):
    """When a worker that died is started again: after ``first_s``, times ``factor``, up to ``max_s``.

    After ``most_failures`` deaths inside ``window_s`` its sessions stand down until an operator
    says connect. An exception in a callback is our own fault, and stands down at once.
    """

    first_s: float = 0.5
    factor: float = 2.0
    max_s: float = 30.0
    most_failures: int = 5
    window_s: float = 300.0

    def __post_init__(self) -> None:
        if not (0 <= self.first_s <= self.max_s and self.factor >= 1 and self.most_failures >= 1 and self.window_s > 0):
            raise SettingsError(
                "a worker policy needs 0 <= first_s <= max_s, factor >= 1, most_failures >= 1 and window_s > 0, "
                f"was {self}"
            )


def beat_s(heartbeat_s: int) -> float:
    """How often a worker says that it lives: a fraction of the shortest heartbeat."""
    return min(max(heartbeat_s / 16, 0.05), 1.0) if heartbeat_s else 1.0


class Owner(Protocol):
    """Whom a worker's process tells."""

    def on_report(self, report: Report) -> None:
        """One record, in order."""

    def on_death(self, reason: str, *, fault: bool) -> None:
        """The process is gone; ``fault``: by an exception in a callback."""


class WorkerProcess:
    """One run of a worker. It ends once, whoever ends it."""

    def __init__(
        self, owner: Owner, setup: Setup, log: Path, heartbeat_s: Callable[[int], int], command: Sequence[str]
    ) -> None:
        self._owner = owner
        self._setup = setup
        self._log_path = log
        self._command = command
        self._heartbeat_s = heartbeat_s  # of session k now, 0: none
        self._pair: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._queue: deque[bytes] = deque()
        self._buffer = bytearray(MAX_RECORD_BYTES)
        self._view = memoryview(self._buffer)
        self._timer: asyncio.TimerHandle | None = None
        self._beatless_s = 0.0
        self._first = True
        self._failed = ""
        self._killed = ""
        self._stopped = False
        self._dead = False
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """Of the process, 0 before it runs."""
        return self._process.pid if self._process else 0

    @property
    def backlog_bytes(self) -> int:
        """Commands that the worker has not read."""
        return sum(map(len, self._queue))

    # --------------------------------------------------------------------- start

    async def start(self) -> None:
        """Start it and send the setup."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        ours.setblocking(False)
        try:
            self._process = await loop.run_in_executor(None, self._spawn, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._pair = ours
        loop.add_reader(ours.fileno(), self._read)
        self._timer = loop.call_later(self._setup.beat_s, self._watch)
        self.tell(self._setup)

    def _spawn(self, theirs: socket.socket) -> "subprocess.Popen[bytes]":
        environment = dict(os.environ)
        paths = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH", "")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        with self._open_log() as log:
            return subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )

    def _open_log(self) -> IO[bytes]:
        self._log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        large = self._log_path.exists() and self._log_path.stat().st_size > _LOG_BYTES
        return self._log_path.open("wb" if large else "ab")

    # ------------------------------------------------------------------- traffic

    def tell(self, command: Command) -> None:
        """Send a command; what the worker does not take now goes later, in order."""
        if self._dead or self._pair is None:
            return
        data = encode(command)
        if len(data) > MAX_RECORD_BYTES:
            raise ValueError(f"a command of {len(data)} bytes; at most {MAX_RECORD_BYTES} fit a record")
        if self._queue or not self._put(data):
            if not self._queue:
                asyncio.get_running_loop().add_writer(self._pair.fileno(), self._drain)
            self._queue.append(data)

    def _put(self, data: bytes) -> bool:
        assert self._pair is not None
        try:
            self._pair.send(data)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True  # it is dead: reading will tell
        return True

    def _drain(self) -> None:
        while self._queue:
            if not self._put(self._queue[0]):
                return
            self._queue.popleft()
        if self._pair is not None:
            asyncio.get_running_loop().remove_writer(self._pair.fileno())

    def _read(self) -> None:
        for _ in range(_READS_PER_TURN):
            if self._pair is None:
                return
            try:
                size = self._pair.recv_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if not size:
                self._end()
                return
            self._beatless_s, self._first = 0.0, False
            report = REPORTS.decode(self._view[:size])
            if isinstance(report, Beat):
                self._check(report)
            elif isinstance(report, Failed):
                self._failed = report.reason
            elif isinstance(report, Stopped):
                self._stopped = True
            if not self._dead:
                self._owner.on_report(report)

    # --------------------------------------------------------------------- watch

    def _check(self, beat: Beat) -> None:
        """Has quickfix's own thread called within two heartbeats?"""
        for index, silence_s in enumerate(beat.silence_s):
            heartbeat_s = self._heartbeat_s(index)
            if heartbeat_s and silence_s > max(_SILENCE_HEARTBEATS * heartbeat_s, _LEAST_SILENCE_S):
                self.kill(f"quickfix's thread has been silent for {silence_s:.1f} s (HeartBtInt {heartbeat_s} s)")
                return

    def _watch(self) -> None:
        tick_s = self._setup.beat_s
        self._timer = asyncio.get_running_loop().call_later(tick_s, self._watch)
        self._beatless_s += tick_s
        shortest = min(filter(None, (self._heartbeat_s(k) for k in range(len(self._setup.sessions)))), default=30)
        limit_s = _START_S if self._first else max(_LEAST_BEATLESS_S, _SILENCE_HEARTBEATS * shortest)
        if self._beatless_s > limit_s:
            self.kill(f"the worker has said nothing for {self._beatless_s:.1f} s")

    # ----------------------------------------------------------------------- end

    def kill(self, reason: str) -> None:
        """End it now; the owner is told at once, with ``reason``."""
        if self._dead:
            return
        self._killed = self._killed or reason
        if self._process is not None:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        """The pair is closed, or we close it: reap the process and tell the owner."""
        if self._dead:
            return
        self._dead = True
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        if self._pair is not None:
            loop.remove_reader(self._pair.fileno())
            loop.remove_writer(self._pair.fileno())
            self._pair.close()
            self._pair = None
        reap = loop.run_in_executor(None, self._reap)
        reap.add_done_callback(lambda done: self._gone(done.result()))

    def _reap(self) -> int:
        if self._process is None:
            return 0
        try:
            return self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _gone(self, code: int) -> None:
        """The process is reaped: nothing writes its files any more."""
        if self._killed:
            reason = self._killed
        elif self._failed:
            reason = self._failed
        elif self._stopped:
            reason = "stopped"
        else:
            reason = f"the quickfix worker died: {f'signal {-code}' if code < 0 else f'exit status {code}'}"
        if not self.gone.done():
            self.gone.set_result(None)
        self._owner.on_death(reason, fault=bool(self._failed) and not self._killed)
