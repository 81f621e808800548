"""The process that runs quickfix: ``python -m fix.foreign.worker FD``, FD one end of a socketpair.

Threads: the main one reads commands and judges nothing itself; a sender carries them out (a call
into quickfix may wait for the session's mutex, and whoever reads the answers of the parent must
not); quickfix's own; and a ticker that says every beat how long quickfix has been silent. When
the parent is gone, so is the worker, and the peer sees the connection close.
"""

import faulthandler
import fcntl
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any

import quickfix

from fix.foreign import filestore
from fix.foreign.application import JUDGE_S, Application, Host, Line, LogFactory
from fix.foreign.records import (
    COMMANDS,
    MAX_RECORD_BYTES,
    Ask,
    Beat,
    Command,
    Compact,
    Cut,
    Failed,
    Logon,
    Logout,
    Numbers,
    Ready,
    Refusal,
    Report,
    Reset,
    Send,
    Sent,
    Setup,
    Spooled,
    Started,
    Stop,
    Stopped,
    Verdict,
    encode,
)  # fmt: skip

EXIT_FAILED = 70
#: Records that the parent has not read; beyond it the parent is taken for dead.
_MOST_WAITING = 100_000
_LOCK_WAIT_S = 5.0
_STOP_MARGIN_S = 1.0


class Worker(Host):
    """Everything in this process. References to what quickfix uses are kept here for its whole life."""

    def __init__(self, pair: socket.socket) -> None:
        self._pair = pair
        self._emit_lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._todo: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._own_threads: set[int] = {threading.get_ident()}
        self._questions: dict[int, tuple[threading.Event, list[str]]] = {}
        self._question = 0
        self._down = threading.Event()
        self.lines: list[Line] = []
        self._by_key: dict[str, Line] = {}
        self._locks: list[int] = []
        self._keep: list[Any] = []
        self._silence: list[float] = []
        self._lives: list[float] = []
        self._back: set[int] = set()  # lines that connect again once they are down

    # ------------------------------------------------------------------ the host

    def die(self, reason: str, error: BaseException | None = None) -> None:
        """Say why and end the process, now; no cleanup: quickfix's threads may hold any lock."""
        try:
            if error is not None:
                traceback.print_exception(error)
            sys.stderr.write(f"worker fails: {reason}\n")
            sys.stderr.flush()
            self._pair.send(encode(Failed(reason[:4000])), socket.MSG_DONTWAIT)
        except BaseException:  # noqa: BLE001 - nothing may keep the process alive now
            pass
        finally:
            os._exit(EXIT_FAILED)

    def emit(self, report: Report) -> None:
        """Post a record; where the parent is slow it waits its turn here."""
        data = encode(report)
        with self._emit_lock:
            if self._waiting and not self._push():
                if isinstance(report, Spooled):
                    return  # the next one says it, or the beat
                if len(self._waiting) >= _MOST_WAITING:
                    os._exit(EXIT_FAILED)
                self._waiting.append(data)
            elif not self._try(data) and not isinstance(report, Spooled):
                self._waiting.append(data)

    def _try(self, data: bytes) -> bool:
        try:
            self._pair.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)  # the parent is gone
        return True

    def _push(self) -> bool:
        """Send what waits; whether nothing waits any more. Under the lock."""
        while self._waiting:
            if not self._try(self._waiting[0]):
                return False
            self._waiting.popleft()
        return True

    def ask(self, session: int, raw: bytes) -> str:
        """Wait, not for long, for the parent's word on a Logon."""
        self._question += 1
        question = self._question
        event, answer = threading.Event(), list[str]()
        self._questions[question] = (event, answer)
        self.emit(Ask(session, question, raw))
        event.wait(JUDGE_S)
        self._questions.pop(question, None)
        return answer[0] if answer else "cannot be judged now; try again"

    def is_fix_thread(self) -> bool:
        """Every thread that is not ours is quickfix's."""
        return threading.get_ident() not in self._own_threads

    def reset_next_logon(self, line: Line) -> None:
        """From the next Logon on both sides count from 1."""
        line.reset_asked = True
        line.session.setResetOnLogon(True)

    def is_down(self, line: Line) -> None:
        """Let an initiator that logged out connect again, and a stop go on."""
        if line.index in self._back:
            self._back.discard(line.index)
            self._todo.put(Logon(line.index))
        self._down.set()

    # -------------------------------------------------------------------- start

    def run(self) -> None:
        """Until the parent goes or says stop."""
        setup = self._receive()
        assert isinstance(setup, Setup), f"the first record must be a setup, was {setup}"
        try:
            self._start(setup)
        except BaseException as error:  # noqa: BLE001 - a worker that cannot start says why
            self.die(f"quickfix did not start: {type(error).__name__}: {error}", error)
        for target in (self._send_loop, self._tick_loop, self._load_books):
            threading.Thread(target=target, args=(setup,), daemon=True, name=target.__name__).start()
        while True:
            command = self._receive()
            if isinstance(command, Verdict):
                waiting = self._questions.get(command.question)
                if waiting is not None:
                    waiting[1].append(command.text)
                    waiting[0].set()
            else:
                self._todo.put(command)

    def _receive(self) -> Command:
        data = self._pair.recv(MAX_RECORD_BYTES)
        if not data:
            os._exit(0)
        return COMMANDS.decode(data)

    def _start(self, setup: Setup) -> None:
        for index, spec in enumerate(setup.sessions):
            self._lock(Path(spec.files) / "worker.lock")
            line = Line(index, spec, self, acceptor=setup.acceptor)
            filestore.mask_secrets(line.prefix, spec.secret_tags)
            if line.spool.torn_bytes:
                line.say("noted", (), f"{spec.spool}: a torn tail of {line.spool.torn_bytes} bytes is cut", b"")
            self.lines.append(line)
            self._by_key[line.key] = line
        self._silence, self._lives = [0.0] * len(self.lines), [0.0] * len(self.lines)
        settings = quickfix.SessionSettings()
        settings.setFromString(setup.config)
        application = Application(self, self._by_key)
        stores, logs = quickfix.FileStoreFactory(settings), LogFactory(self, self._by_key)
        kind = quickfix.SocketAcceptor if setup.acceptor else quickfix.SocketInitiator
        engine = kind(application, stores, settings, logs)
        self._keep += [settings, application, stores, logs, engine]
        for line in self.lines:
            session = line.session
            if line.spec.next_out:
                session.setNextSenderMsgSeqNum(line.spec.next_out)
            if line.spec.next_in:
                session.setNextTargetMsgSeqNum(line.spec.next_in)
            if not line.spec.enabled:
                session.logout()
            line.tracker.next_in, line.tracker.next_out = line.numbers()
        self.emit(Ready(os.getpid(), tuple((line.tracker.next_in, line.tracker.next_out) for line in self.lines)))
        engine.start()
        self.emit(Started())

    def _lock(self, path: Path) -> None:
        """A worker whose parent was killed may not have noticed yet: two would share one store."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self._locks.append(fd)

    # ------------------------------------------------------------------- threads

    def _tick_loop(self, setup: Setup) -> None:
        self._own_threads.add(threading.get_ident())
        try:
            last = time.monotonic()
            while True:
                time.sleep(setup.beat_s)
                now = time.monotonic()
                # A process that was stopped must not count the pause as quickfix's silence.
                self._tick(min(now - last, 2 * setup.beat_s))
                last = now
        except BaseException as error:  # noqa: BLE001 - without beats the parent would kill us anyway
            self.die(f"ticker: {type(error).__name__}: {error}", error)

    def _tick(self, elapsed_s: float) -> None:
        for line in self.lines:
            tracker, index = line.tracker, line.index
            tracker.tick()
            if tracker.life != self._lives[index] or not tracker.connected:
                self._lives[index], self._silence[index] = tracker.life, 0.0
            else:
                self._silence[index] += elapsed_s
        self.emit(
            Beat(
                tuple(self._silence),
                tuple(line.spool.end for line in self.lines),
                tuple(line.tracker.next_out for line in self.lines),
            )
        )

    def _load_books(self, setup: Setup) -> None:
        self._own_threads.add(threading.get_ident())
        try:
            for line in self.lines:
                line.load()
        except BaseException as error:  # noqa: BLE001 - messages would wait for them for ever
            self.die(f"dictionaries: {type(error).__name__}: {error}", error)

    def _send_loop(self, setup: Setup) -> None:
        self._own_threads.add(threading.get_ident())
        try:
            while True:
                self._do(self._todo.get())
        except BaseException as error:  # noqa: BLE001 - a command that cannot be done ends the session visibly
            self.die(f"command failed: {type(error).__name__}: {error}", error)

    def _do(self, command: Command) -> None:
        if isinstance(command, Send):
            self._send(command, self.lines[command.session])
        elif isinstance(command, Stop):
            self._stop(command.text)
        elif isinstance(command, Compact):
            line = self.lines[command.session]
            with line.spool_lock:
                line.spool.compact(command.taken)
        elif isinstance(command, Logout):
            line = self.lines[command.session]
            if command.back and line.tracker.connected:
                self._back.add(line.index)
            line.session.logout(command.text)
        elif isinstance(command, Logon):
            self.lines[command.session].session.logon()
        elif isinstance(command, Cut):
            self.lines[command.session].session.disconnect()
        elif isinstance(command, Numbers):
            self._set_numbers(command, self.lines[command.session])
        elif isinstance(command, Reset):
            line = self.lines[command.session]
            if command.ask and not line.acceptor:
                self.reset_next_logon(line)
            line.session.reset()
            self._say_numbers(line)
        else:
            raise TypeError(f"no command of a running worker: {command}")

    def _set_numbers(self, command: Numbers, line: Line) -> None:
        session = line.session
        if command.next_out:
            session.setNextSenderMsgSeqNum(command.next_out)
        if command.next_in:
            session.setNextTargetMsgSeqNum(command.next_in)
        self._say_numbers(line)

    def _say_numbers(self, line: Line) -> None:
        line.tracker.next_in, line.tracker.next_out = line.numbers()
        line.say("numbers", (), "", b"")

    # ------------------------------------------------------------------- sending

    def _send(self, command: Send, line: Line) -> None:
        known = self._known(command, line)
        for offset, raw in enumerate(command.messages):
            ticket = command.ticket + offset
            essence = filestore.essence(raw) if known else None
            if essence is not None and known.get(essence, 0):
                known[essence] -= 1
                continue
            reason = self._send_one(raw, line)
            if reason:
                self.emit(Refusal(line.index, ticket, raw, reason))
        self.emit(Sent(line.index, command.ticket + len(command.messages) - 1, line.tracker.next_out))

    def _known(self, command: Send, line: Line) -> dict[Any, int]:
        """Messages that a worker which died has stored already, by what they say."""
        known: dict[Any, int] = {}
        if command.look_from:
            next_out = line.numbers()[1]
            for _, _, raw in filestore.standing(line.prefix, command.look_from, next_out):
                essence = filestore.essence(raw)
                known[essence] = known.get(essence, 0) + 1
        return known

    def _send_one(self, raw: bytes, line: Line) -> str:
        """Why the message was not sent, empty when it was stored."""
        try:
            message = line.build(raw)
        except UnicodeDecodeError:
            return "quickfix takes UTF-8 alone"
        except quickfix.FIXException as error:
            return f"quickfix cannot read it: {error}"
        line.passed = False
        try:
            quickfix.Session.sendToTarget(message, line.id)
        except quickfix.FIXException as error:
            if not line.passed:
                return f"quickfix refused it: {error}"
            raise
        if not line.passed:
            return "the session is not logged on"
        line.tracker.next_out = max(line.tracker.next_out, int(message.getHeader().getField(34)) + 1)
        return ""

    # -------------------------------------------------------------------- the end

    def _stop(self, text: str) -> None:
        """Log out, wait for it, end. ``engine.stop()`` is never called: it races with its own threads."""
        self._back.clear()
        live = [line for line in self.lines if line.up]
        for line in self.lines:
            line.session.logout(text)
        longest = max((line.session.getLogoutTimeout() for line in live), default=0)
        deadline = time.monotonic() + longest + _STOP_MARGIN_S
        while any(line.up for line in live) and time.monotonic() < deadline:
            self._down.wait(0.05)
            self._down.clear()
        self.emit(Stopped())
        with self._emit_lock:
            self._push()
        os._exit(0)


def main() -> None:
    """Run on the socket that was inherited."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent logs out in order
    os.umask(0o077)
    pair = socket.socket(fileno=int(sys.argv[1]))
    pair.setblocking(True)
    Worker(pair).run()


if __name__ == "__main__":
    main()
