"""The simulator's control socket: newline-JSON over a unix socket, one request a line, one answer a line.

The same manner as the daemon's: ``{"verb", "args", "v"}`` in, ``{"ok", "result"}`` or ``{"ok", "code",
"error"}`` out, mode 0600, and ``code`` is the exit code of whoever asked. The verbs are those of
:class:`Verbs`: what an operator may do at the venues of this process.

A lock file beside the socket says whose it is, so that a socket left behind by a process that died is
replaced, and one in use is not.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from simulator.errors import (
    ControlSocketError,
    CorrectionError,
    OperatorError,
    SimulatorError,
    UnknownSymbolError,
    UnknownTradeError,
)
from simulator.venue.requests import ticks_of, wire_id
from simulator.venue.venue import Venue

log = structlog.get_logger()

ALL = "all"  #: instead of a symbol: every instrument
_MAX_LINE = 1 << 20
_REFUSED, _NOT_FOUND = 1, 2
_MOST_TRADES = 1_000
Answer = dict[str, Any]


class _Request(msgspec.Struct):
    verb: str
    v: int = 1
    args: dict[str, Any] = {}


class _Amend(msgspec.Struct, forbid_unknown_fields=True):
    exec_id: str
    venue: str = ""
    qty: int | None = None
    price: str | None = None


class _Status(msgspec.Struct, forbid_unknown_fields=True):
    symbol: str
    venue: str = ""


class _News(msgspec.Struct, forbid_unknown_fields=True):
    headline: str
    lines: list[str] = []
    urgent: bool = False
    venue: str = ""


class _Trades(msgspec.Struct, forbid_unknown_fields=True):
    last: int = 20
    venue: str = ""


class Verbs:
    """What may be asked of the venues of one simulator; each takes the request's ``args``."""

    def __init__(self, venues: Sequence[Venue]) -> None:
        self._venues = venues
        self.table: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "bust": self.bust,
            "correct": self.correct,
            "halt": self.halt,
            "reopen": self.reopen,
            "news": self.news,
            "trades": self.trades,
        }

    def bust(self, args: dict[str, Any]) -> Answer:
        """Take a trade back."""
        asked = msgspec.convert(args, _Amend)
        if asked.qty is not None or asked.price is not None:
            raise OperatorError("a bust takes a whole trade back: quantity and price belong to a correction")
        venue, number = self._trade(asked)
        venue.operations.bust(number)
        return {"venue": venue.settings.name, "exec_id": asked.exec_id}

    def correct(self, args: dict[str, Any]) -> Answer:
        """Make a trade one of another quantity or price; what is not given stays."""
        asked = msgspec.convert(args, _Amend)
        if asked.qty is None and asked.price is None:
            raise OperatorError("a correction needs a quantity, a price or both")
        venue, number = self._trade(asked)
        trade = venue.operations.trade_of(number)
        if trade is None:
            raise UnknownTradeError(f"no trade has the ExecID {asked.exec_id}")
        row = trade.sides[0]
        qty, ticks = int(row["last_qty"]) if asked.qty is None else asked.qty, int(row["last_ticks"])
        if asked.price is not None:
            scale = venue.price_scale(int(row["instrument"]))
            read = ticks_of(asked.price, scale)
            if read is None:
                raise CorrectionError(f"a price has up to {scale} decimals here, was {asked.price!r}")
            ticks = read
        venue.operations.correct(number, qty=qty, ticks=ticks)
        return {"venue": venue.settings.name, "exec_id": asked.exec_id, "qty": qty, "ticks": ticks}

    def halt(self, args: dict[str, Any]) -> Answer:
        """Stop trading of one instrument, or of all."""
        asked = msgspec.convert(args, _Status)
        return {"changed": sum(venue.operations.halt(symbol) for venue, symbol in self._listing(asked))}

    def reopen(self, args: dict[str, Any]) -> Answer:
        """Resume trading of one instrument, or of all."""
        asked = msgspec.convert(args, _Status)
        return {"changed": sum(venue.operations.reopen(symbol) for venue, symbol in self._listing(asked))}

    def news(self, args: dict[str, Any]) -> Answer:
        """Tell every client something."""
        asked = msgspec.convert(args, _News)
        venues = self._named(asked.venue)
        return {"told": sum(v.operations.news(asked.headline, asked.lines, urgent=asked.urgent) for v in venues)}

    def trades(self, args: dict[str, Any]) -> Answer:
        """The last executions, newest first, of each venue."""
        asked = msgspec.convert(args, _Trades)
        if not 1 <= asked.last <= _MOST_TRADES:
            raise OperatorError(f"last must be in 1..{_MOST_TRADES}, was {asked.last}")
        lines = [
            {"venue": venue.settings.name, **msgspec.to_builtins(line)}
            for venue in self._named(asked.venue)
            for line in venue.operations.trades(asked.last)
        ]
        lines.sort(key=lambda line: -int(line["time_ns"]))
        return {"trades": lines[: asked.last]}

    # ---------------------------------------------------------------- which venue is meant

    def _named(self, name: str) -> list[Venue]:
        found = [venue for venue in self._venues if name in ("", venue.settings.name)]
        if not found:
            there = ", ".join(venue.settings.name for venue in self._venues)
            raise UnknownSymbolError(f"there is no venue {name!r} in this simulator; there are: {there}")
        return found

    def _trade(self, asked: _Amend) -> tuple[Venue, int]:
        """The venue that an ExecID is of: each venue counts its own, so two may have given the same."""
        number = wire_id(asked.exec_id)
        if number is None:
            raise UnknownTradeError(f"an ExecID has 16 hex digits (0-9, A-F), was {asked.exec_id!r}")
        found = [venue for venue in self._named(asked.venue) if venue.operations.trade_of(number) is not None]
        if not found:
            text = f"no trade has the ExecID {asked.exec_id}; `axiom sim-control trades` lists the last ones"
            raise UnknownTradeError(text)
        if len(found) > 1:
            names = " and ".join(venue.settings.name for venue in found)
            raise OperatorError(f"ExecID {asked.exec_id} is of a trade at {names}: name the venue")
        return found[0], number

    def _listing(self, asked: _Status) -> list[tuple[Venue, str]]:
        """Venues and what to change there; an empty symbol is all."""
        venues = self._named(asked.venue)
        if asked.symbol == ALL:
            return [(venue, "") for venue in venues]
        found = [(venue, asked.symbol) for venue in venues if venue.book_of(asked.symbol) >= 0]
        if not found:
            names = ", ".join(venue.settings.name for venue in venues)
            raise UnknownSymbolError(f"{asked.symbol!r} is not listed at {names}; `{ALL}` is every instrument")
        return found


class ControlServer:
    """Serves verbs on a unix socket, on the event loop's thread."""

    def __init__(self, path: Path, verbs: dict[str, Callable[[dict[str, Any]], Answer]]) -> None:
        self.path = path
        self._verbs = verbs
        self._server: asyncio.AbstractServer | None = None
        self._lock = -1

    async def start(self) -> None:
        """Bind the socket.

        Raises
        ------
        ControlSocketError
            Another simulator that is alive has it, or it cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._take_lock()
            self._server = await asyncio.start_unix_server(self._serve, sock=self._bind(), limit=_MAX_LINE)
        except OSError as error:
            self._drop_lock()
            raise ControlSocketError(f"control socket {self.path}: {error}") from error

    def _take_lock(self) -> None:
        lock = self.path.with_name(f"{self.path.name}.lock")
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._drop_lock()
            text = f"{self.path}: another simulator listens there; stop it, or give this one another engine.runtime_dir"
            raise ControlSocketError(text) from error

    def _drop_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _bind(self) -> socket.socket:
        """The bound socket; nobody else can open it, not even for a moment."""
        self.path.unlink(missing_ok=True)  # the lock is ours: whoever left it is dead
        directory = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(sock.fileno(), 0o600)  # what the file is made with
            sock.bind(f"/proc/self/fd/{directory}/{self.path.name}")  # a long path has no room in an address
        except OSError:
            sock.close()
            raise
        finally:
            os.close(directory)
        self.path.chmod(0o600)
        return sock

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink(missing_ok=True)
        self._drop_lock()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", raw)
        with contextlib.suppress(ConnectionError, ValueError):  # it went away, or sent a line beyond the limit
            while line := await reader.readline():
                writer.write(msgspec.json.encode(self._answer(line, uid, pid)) + b"\n")
                await writer.drain()
        writer.close()

    def _answer(self, line: bytes, uid: int, pid: int) -> Answer:
        try:
            request = msgspec.json.decode(line, type=_Request)
        except msgspec.DecodeError as error:
            return {"ok": False, "code": _REFUSED, "error": f"not a control request: {error}"}
        if self._server is None:
            return {"ok": False, "code": _REFUSED, "error": "the simulator is stopping"}
        verb = self._verbs.get(request.verb)
        if verb is None:
            there = ", ".join(sorted(self._verbs))
            return {"ok": False, "code": _NOT_FOUND, "error": f"unknown verb {request.verb!r}: one of {there}"}
        try:
            result = verb(request.args)
        except (SimulatorError, msgspec.ValidationError) as error:
            missing = isinstance(error, (UnknownTradeError, UnknownSymbolError))
            outcome = {"ok": False, "code": _NOT_FOUND if missing else _REFUSED, "error": str(error)}
        except Exception as error:  # a request's outermost frame: it fails, the simulator does not
            log.exception("control request failed", verb=request.verb)
            outcome = {"ok": False, "code": _REFUSED, "error": f"{request.verb} failed: {error!r}"}
        else:
            outcome = {"ok": True, "result": result}
        log.info(
            "operator", verb=request.verb, args=request.args, uid=uid, pid=pid, ok=outcome["ok"],
            error=outcome.get("error", ""),
        )  # fmt: skip
        return outcome


def socket_path(runtime_dir: Path, venue_names: Sequence[str] | None) -> Path:
    """Where a simulator of these venues listens; None: of all that the profile has."""
    return runtime_dir / ("sim.sock" if venue_names is None else f"sim-{'-'.join(sorted(venue_names))}.sock")
