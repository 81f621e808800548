"""A stand-in for the daemon: the control socket's protocol on a real socket, answers from a table."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any]]

STATUS: dict[str, Any] = {
    "v": 1, "run": 3, "pid": 0, "phase": "running", "armed": True, "risk_state": "ACTIVE", "uptime_s": 3.5,
    "chain": {"series": 20, "quoted_two_sided": 12, "presence": 0.97, "rows": []},
}  # fmt: skip


class StandIn:
    """Answers one request per connection; remembers what was asked."""

    def __init__(self, path: Path, answers: dict[str, Answer]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rwb") as stream:
                line = stream.readline()
                if not line:
                    return
                request = json.loads(line)
                self.asked.append(request)
                answer = self._answers.get(request["verb"])
                reply = answer(request["args"]) if answer else {"ok": False, "code": 1, "error": "no such verb"}
                stream.write(json.dumps(reply).encode() + b"\n")

    def close(self, path: Path) -> None:
        """End the thread: an empty connection is its sign."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(str(path))
        self._thread.join()
        self._listener.close()
        path.unlink()


def ok(result: dict[str, Any]) -> Answer:
    return lambda _args: {"ok": True, "result": result}


def refused(code: int, text: str) -> Answer:
    return lambda _args: {"ok": False, "code": code, "error": text}


@contextmanager
def stand_in(state_dir: Path, **answers: Answer) -> Iterator[StandIn]:
    """A daemon's control socket in ``state_dir``; verbs spelled with ``__`` for the dot."""
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "control.sock"
    table = {"status": ok(STATUS)} | {name.replace("__", "."): answer for name, answer in answers.items()}
    server = StandIn(path, table)
    try:
        yield server
    finally:
        server.close(path)
