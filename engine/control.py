"""The control socket: newline-JSON over a unix socket, one request a line, one answer a line.

Mode 0600; the peer's uid (SO_PEERCRED) is the actor of every change and goes into the audit log
beside the reason. A change is a CONTROL frame in the step's input; it is answered when the step
said that it was done or refused, so "ok" means that it binds.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from engine.errors import ControlError

_MAX_LINE = 1 << 20
Answer = dict[str, Any]
Verb = Callable[[dict[str, Any], "Actor"], Awaitable[Any]]


class Actor(msgspec.Struct, frozen=True):
    """Who asks."""

    uid: int
    pid: int


class _Request(msgspec.Struct):
    verb: str
    v: int = 1
    args: dict[str, Any] = {}


class Audit:
    """Append-only record of every change asked for: who, what, why, outcome."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, actor: Actor, verb: str, args: dict[str, Any], outcome: str) -> None:
        """One line, written through."""
        line = {
            "ts_ns": time.time_ns(),
            "uid": actor.uid,
            "pid": actor.pid,
            "verb": verb,
            "args": args,
            "outcome": outcome,
        }
        self._file.write(msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Sync and close."""
        os.fsync(self._file.fileno())
        self._file.close()


class ControlServer:
    """Serves ``verbs``; those in ``changing`` are audited."""

    def __init__(self, path: Path, verbs: dict[str, Verb], changing: set[str], audit: Audit) -> None:
        self.path = path
        self._verbs = verbs
        self._changing = changing
        self._audit = audit
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Bind the socket (the state directory's lock makes a leftover one ours to remove)."""
        self.path.unlink(missing_ok=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(str(self.path))
        except OSError as e:
            sock.close()
            raise ControlError(f"control socket {self.path}: {e}; a path of more than 107 bytes is too long") from e
        os.chmod(self.path, 0o600)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=_MAX_LINE)

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", raw)
        try:
            while line := await reader.readline():
                answer = await self._answer(line, Actor(uid, pid))
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client went away, or sent a line beyond the limit
        finally:
            writer.close()

    async def _answer(self, line: bytes, actor: Actor) -> Answer:
        try:
            request = msgspec.json.decode(line, type=_Request)
        except msgspec.DecodeError as e:
            return {"ok": False, "code": 1, "error": f"not a control request: {e}"}
        verb = self._verbs.get(request.verb)
        if verb is None:
            return {
                "ok": False,
                "code": 2,
                "error": f"unknown verb {request.verb!r}: one of {', '.join(sorted(self._verbs))}",
            }
        outcome = "failed"
        try:
            result = await verb(request.args, actor)
            outcome = "done"
            return {"ok": True, "result": result}
        except ControlError as e:
            outcome = str(e)
            return {"ok": False, "code": e.code, "error": str(e)}
        except Exception as e:  # noqa: BLE001 - a request's outermost frame: it fails, the daemon does not
            outcome = repr(e)
            structlog.get_logger().exception("control request failed", verb=request.verb)
            return {"ok": False, "code": 1, "error": f"{request.verb} failed: {e!r}"}
        finally:
            if request.verb in self._changing:
                self._audit.write(actor, request.verb, request.args, outcome)
