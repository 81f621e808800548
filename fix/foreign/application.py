"""quickfix's callbacks. Every hazard of quickfix-python ends here, or in the process around it:

* *An exception in a callback* makes the binding call ``Py_Exit`` on its own thread, which blocks
  for ever: the socket stays open, no heartbeat leaves, the process looks alive. Every callback
  catches everything, reports it and ends the process (:func:`guarded`).
* *Objects die with the callback*: a message read afterwards gives garbage or a segfault. A
  callback takes ``toString()`` and nothing else; session ids are looked up by their text.
* *A slow callback* makes the peer disconnect. A callback writes to the spool (page cache) and
  posts a record without blocking; it never waits for our application. The one exception is a
  Logon that the parent must judge, bounded by :data:`JUDGE_S`.
* *Locks*: callbacks run under the session's mutex. Nothing here takes a lock that is held while
  quickfix is called; commands arrive on another thread than the one that sends.
* *Logs given to quickfix are freed by it*: they are disowned, and kept alive by their factory.
* *A segfault, an IOException of the FileStore* end the process: the parent sees the pair close.
* *A FIX thread that hangs* is told by its silence: the tracker's ``life``.
* *No group without its dictionary*: messages are built with dictionaries, else quickfix sorts
  the fields of a group and ruins it.
"""

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quickfix

from fix.foreign import filestore
from fix.foreign.records import Report, Said, SessionSpec, Spooled
from fix.foreign.spool import SpoolWriter
from fix.foreign.tracker import Tracker, field, number

#: How long the parent may take to judge a Logon.
JUDGE_S = 3.0
#: Of a session message that is passed on; what is cut off of a Reject's text is no loss.
_MOST_RAW = 100_000


def to_bytes(text: str) -> bytes:
    """What stood on the wire."""
    return text.encode("utf-8", "surrogateescape")


def guarded(*let: type[BaseException]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let quickfix's own exceptions pass; end the process on anything else."""

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: Any, *arguments: Any) -> Any:
            try:
                return method(self, *arguments)
            except let:
                raise
            except BaseException as error:  # noqa: BLE001 - beyond lies a thread that would hang for ever
                self.host.die(f"{method.__name__} raised {type(error).__name__}: {error}", error)

        return call

    return wrap


class Host(ABC):
    """What callbacks need of the worker."""

    @abstractmethod
    def die(self, reason: str, error: BaseException | None = None) -> None:
        """Say why and end the process, now."""

    @abstractmethod
    def emit(self, report: Report) -> None:
        """Post a record to the parent; never blocks."""

    @abstractmethod
    def ask(self, session: int, raw: bytes) -> str:
        """The parent's word on a Logon, empty when it may log on."""

    @abstractmethod
    def is_fix_thread(self) -> bool:
        """Whether the calling thread is quickfix's own."""

    @abstractmethod
    def reset_next_logon(self, line: "Line") -> None:
        """The next Logon of ``line`` must carry ResetSeqNumFlag=Y."""

    @abstractmethod
    def is_down(self, line: "Line") -> None:
        """``line`` has lost its connection."""


class Line:
    """One session in the worker."""

    def __init__(self, index: int, spec: SessionSpec, host: Host, *, acceptor: bool) -> None:
        self.index, self.spec, self.host, self.acceptor = index, spec, host, acceptor
        self.id = quickfix.SessionID(spec.begin_string, spec.sender, spec.target)
        self.key = self.id.toString()
        self.spool = SpoolWriter(Path(spec.spool))
        #: Held while the spool is written or compacted; never while quickfix is called.
        self.spool_lock = threading.Lock()
        #: The message that quickfix may give us twice: it was spooled by a worker that died.
        self.doubtful = self.spool.last
        self.tracker = Tracker(self.say, acceptor=acceptor)
        self.special = frozenset(b"%d" % tag for tag in spec.special_tags)
        self.books: list[Any] = []
        #: Loading FIX.5.0SP2 takes a second: it is done beside the start, by :meth:`load`.
        self.loaded = threading.Event()
        self.stale = frozenset(spec.stale_types)
        self.prefix = Path(spec.files) / f"{spec.begin_string}-{spec.sender}-{spec.target}"
        #: Set by toApp: the message in hand will be stored.
        self.passed = False
        self.up = False
        self.reset_asked = False
        #: HeartBtInt(108) of the peer's Logon.
        self.heartbeat_s = 0

    @property
    def session(self) -> Any:
        """Quickfix's session; looked up anew each time."""
        return quickfix.Session.lookupSession(self.id)

    def load(self) -> None:
        """Read the dictionaries that messages are built with."""
        self.books = [quickfix.DataDictionary(path) for path in self.spec.dictionaries]
        self.loaded.set()

    def build(self, raw: bytes) -> Any:
        """A quickfix message of ``raw``; header and trailer are made anew when it is sent."""
        text = raw.decode("utf-8")
        if self.special.isdisjoint(part.split(b"=", 1)[0] for part in raw.split(b"\x01")):
            return quickfix.Message(text, False)
        self.loaded.wait()
        return quickfix.Message(text, *self.books, False)

    def numbers(self) -> tuple[int, int]:
        """(next_in, next_out) as quickfix has them."""
        session = self.session
        return session.getExpectedTargetNum(), session.getExpectedSenderNum()

    def say(self, kind: str, numbers: tuple[int, ...], text: str, raw: bytes) -> None:
        """Tell the parent, in order with the spool."""
        tracker = self.tracker
        self.host.emit(
            Said(
                self.index,
                self.spool.end,
                kind,
                tracker.next_in,
                tracker.next_out,
                numbers,
                text[:_MOST_RAW],
                raw[:_MOST_RAW],
            )
        )

    def alive(self) -> None:
        """A sign of life, if it is quickfix's thread that calls."""
        if self.host.is_fix_thread():
            self.tracker.touch()

    def mask_secrets(self) -> None:
        """Quickfix stores Logons as they are sent."""
        if any(tag in self.spec.secret_tags for tag, _ in self.spec.logon_fields):
            filestore.mask_secrets(self.prefix, self.spec.secret_tags)

    def seen_before(self, raw: bytes, seq: int) -> bool:
        """Whether a worker that died has spooled this message, and quickfix has not counted it."""
        doubtful, self.doubtful = self.doubtful, None
        return (
            doubtful is not None
            and doubtful.seq == seq
            and field(raw, 43) == b"Y"
            and filestore.essence(raw) == filestore.essence(doubtful.raw)
        )


class Application(quickfix.Application):  # type: ignore[misc]
    """The callbacks, for all sessions of the worker."""

    def __init__(self, host: Host, lines: dict[str, Line]) -> None:
        super().__init__()
        self.host = host
        self.lines = lines

    @guarded()
    def onCreate(self, session_id: Any) -> None:  # noqa: N802 - quickfix's names
        """Nothing to do yet."""

    @guarded()
    def onLogon(self, session_id: Any) -> None:  # noqa: N802
        """Both Logons are exchanged."""
        line = self.lines[session_id.toString()]
        line.alive()
        line.up = True
        next_in, next_out = line.numbers()
        if line.reset_asked:
            line.reset_asked = False
            line.session.setResetOnLogon(False)
        line.mask_secrets()
        line.tracker.logon(next_in, next_out, line.heartbeat_s)

    @guarded()
    def onLogout(self, session_id: Any) -> None:  # noqa: N802
        """The connection is over, or a logon has failed."""
        line = self.lines[session_id.toString()]
        line.alive()
        line.up = False
        line.mask_secrets()
        if line.tracker.logout(*line.numbers()) and line.spec.recover_by_reset:
            self.host.reset_next_logon(line)
        self.host.is_down(line)

    @guarded()
    def toAdmin(self, message: Any, session_id: Any) -> None:  # noqa: N802
        """A session message is about to be sent: constants go in, and what a Logon needs."""
        line = self.lines[session_id.toString()]
        line.alive()
        header = message.getHeader()
        for tag, text in line.spec.header_fields:
            if not header.isSetField(tag):
                header.setField(tag, text)
        msg_type = header.getField(35)
        if msg_type == "A":
            for tag, value in line.spec.logon_fields:
                message.setField(tag, value.decode())
        if not self.host.is_fix_thread():
            line.passed = True
        line.tracker.admin_out(msg_type, to_bytes(message.toString()))

    @guarded(quickfix.RejectLogon)
    def fromAdmin(self, message: Any, session_id: Any) -> None:  # noqa: N802
        """A session message of the peer, before quickfix acts on it."""
        line = self.lines[session_id.toString()]
        line.alive()
        raw = to_bytes(message.toString())
        msg_type = field(raw, 35).decode("latin-1")
        if msg_type == "A":
            line.heartbeat_s = number(raw, 108)
            if line.spec.authenticate:
                refusal = self.host.ask(line.index, raw) if len(raw) < _MOST_RAW else "Logon is too long"
                if refusal:
                    raise quickfix.RejectLogon(refusal)
        line.tracker.admin_in(msg_type, raw)

    @guarded(quickfix.DoNotSend)
    def toApp(self, message: Any, session_id: Any) -> None:  # noqa: N802
        """An application message is about to be stored and sent, for the first time or again."""
        line = self.lines[session_id.toString()]
        line.alive()
        header = message.getHeader()
        if header.isSetField(43) and header.getField(43) == "Y":
            stale = header.getField(35) in line.stale
            line.tracker.app_again(sent=not stale)
            if stale:
                raise quickfix.DoNotSend  # quickfix fills the number: a late order is not an order
            return
        if not line.acceptor and not line.up:
            raise quickfix.DoNotSend  # what an initiator says late would be a stale order
        for tag, text in line.spec.header_fields:
            if not header.isSetField(tag):
                header.setField(tag, text)
        line.passed = True

    @guarded()
    def fromApp(self, message: Any, session_id: Any) -> None:  # noqa: N802
        """An application message in sequence: kept before it counts as received."""
        line = self.lines[session_id.toString()]
        line.alive()
        raw = to_bytes(message.toString())
        seq = number(raw, 34)
        if line.doubtful is None or not line.seen_before(raw, seq):
            with line.spool_lock:
                line.spool.append(seq, raw)
        line.tracker.app_in(seq)
        self.host.emit(Spooled(line.index, line.spool.end, seq + 1))


class Log(quickfix.Log):  # type: ignore[misc]
    """One session's log, read and not written."""

    def __init__(self, host: Host, line: Line | None) -> None:
        super().__init__()
        self.host = host
        self.line = line

    @guarded()
    def onIncoming(self, raw: str) -> None:  # noqa: N802
        """A message has been read from the socket."""
        if self.line is not None:
            self.line.alive()

    @guarded()
    def onOutgoing(self, raw: str) -> None:  # noqa: N802
        """A message goes to the socket."""
        if self.line is not None:
            self.line.alive()
            self.line.tracker.outgoing(to_bytes(raw))

    @guarded()
    def onEvent(self, text: str) -> None:  # noqa: N802
        """Quickfix says what it does."""
        if self.line is not None:
            self.line.alive()
            self.line.tracker.event(text)

    def clear(self) -> None:
        """Nothing is kept."""

    def backup(self) -> None:
        """Nothing is kept."""


class LogFactory(quickfix.LogFactory):  # type: ignore[misc]
    """Makes logs, gives them away to quickfix, and keeps them from being collected."""

    def __init__(self, host: Host, lines: dict[str, Line]) -> None:
        super().__init__()
        self.host = host
        self.lines = lines
        self.made: list[Log] = []

    @guarded()
    def create(self, *session_id: Any) -> Any:
        """A log for a session, or for the engine as a whole."""
        line = self.lines.get(session_id[0].toString()) if session_id else None
        log = Log(self.host, line)
        log.__disown__()
        self.made.append(log)
        return log

    @guarded()
    def destroy(self, log: Any) -> None:
        """The process ends before this matters."""
