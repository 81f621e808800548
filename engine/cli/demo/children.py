"""Child processes of the demo: started in groups of their own, never left behind.

A child gets its own session, so that a Ctrl-C in the terminal reaches only the supervisor, which
then ends the children in the right order (daemon first: it needs the venues to cancel its orders).
Should the supervisor itself be killed, the kernel sends each child a SIGTERM, which drains it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import engine
from config.load import ENV_PREFIX

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 15
_TAIL_BYTES = 16_384
_PROJECT_DIR = str(Path(engine.__file__).resolve().parent.parent)


def axiom_command(*args: str) -> list[str]:
    """The command line of an ``axiom`` command in a process of its own, of this very checkout."""
    return [sys.executable, "-m", "engine.cli", *args]


class Child:
    """One program running beside us, its output in a log file."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.starts = 0
        self.started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the present run; 0 before the first."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        """Exit code (negative: the signal that ended it); None while it runs."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start it, or start it again; the log is continued."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith(ENV_PREFIX)}
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_PROJECT_DIR, environ.get("PYTHONPATH"))))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
                preexec_fn=lambda: _end_with(parent),  # noqa: PLW1509 - this process has one thread
            )
        self.starts += 1
        self.started_at = time.monotonic()

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False where it has not come in time."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it now, whatever it is doing."""
        self.signal(signal.SIGKILL)
        self.wait(5.0)

    def tail(self) -> str:
        """Last lines of its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-_TAIL_LINES:])


def _end_with(parent: int) -> None:
    """In the child: ask for a SIGTERM when the parent dies, also if it has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
