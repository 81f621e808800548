"""Client of the daemon's control socket: one request and one reply, a line of JSON each."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from engine.cli.exits import CliError, ExitCode

PROTOCOL_VERSION = 1
REPLY_TIMEOUT_S = 5.0
_SUN_PATH_BYTES = 107
_MAX_REPLY_BYTES = 64 << 20


class NotRunning(CliError):  # noqa: N818 - a state of the daemon
    """No daemon answers on the socket."""

    def __init__(self, path: Path) -> None:
        text = f"no daemon is running on {path.parent} (start one with `axiom run`, or name its --state-dir)"
        super().__init__(ExitCode.NOT_RUNNING, text)


class Request(msgspec.Struct, omit_defaults=False):
    """What goes over the socket; ``v`` lets an old client be refused by name."""

    verb: str
    args: dict[str, Any]
    v: int = PROTOCOL_VERSION


class Reply(msgspec.Struct):
    """What comes back; ``code`` is an exit code when not ``ok``."""

    ok: bool
    result: Any = None
    code: int = 1
    error: str = ""


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of the socket that fits ``sockaddr_un``: long paths go through a directory descriptor."""
    if len(os.fsencode(path)) <= _SUN_PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def request(
    path: Path, verb: str, args: dict[str, Any] | None = None, *, timeout_s: float = REPLY_TIMEOUT_S
) -> dict[str, Any]:
    """Ask the daemon on socket ``path`` to do ``verb`` and return its result.

    Raises
    ------
    NotRunning
        Nothing listens there.
    CliError
        The daemon refused (its own code), or did not answer in time (TIMEOUT).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with reachable(path) as name:
                connection.connect(name)
            connection.sendall(msgspec.json.encode(Request(verb, args or {})) + b"\n")
            line = _read_line(connection)
        except TimeoutError as error:
            text = f"the daemon on {path} did not answer within {timeout_s:g} s; is it stopped (kill -CONT)?"
            raise CliError(ExitCode.TIMEOUT, text) from error
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NotRunning(path) from error
        except PermissionError as error:
            text = f"{path} may not be opened by uid {os.getuid()}: the control socket is its owner's alone"
            raise CliError(ExitCode.ERROR, text) from error
        except (ConnectionResetError, BrokenPipeError) as error:
            raise NotRunning(path) from error
    if not line:
        raise NotRunning(path)
    return _result(line, path)


def _read_line(connection: socket.socket) -> bytes:
    parts = bytearray()
    while not parts.endswith(b"\n"):
        chunk = connection.recv(1 << 16)
        if not chunk or len(parts) > _MAX_REPLY_BYTES:
            break
        parts += chunk
    return bytes(parts)


def _result(line: bytes, path: Path) -> dict[str, Any]:
    try:
        reply = msgspec.json.decode(line, type=Reply)
    except msgspec.DecodeError as error:
        text = f"the answer on {path} is not a reply of this protocol ({error}); is the daemon of another version?"
        raise CliError(ExitCode.ERROR, text) from error
    if not reply.ok:
        raise CliError(reply.code, reply.error)
    return reply.result if isinstance(reply.result, dict) else {"result": reply.result}
