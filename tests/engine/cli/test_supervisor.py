"""The demo's supervisor over real processes: order of the end, restarts, and what is given up."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config import AxiomConfig
from config.schema import EngineConfig, SimulatorConfig
from engine.cli.demo.children import Child
from engine.cli.demo.supervisor import Supervisor
from engine.cli.exits import CliError, ExitCode

ROOT = Path(__file__).resolve().parents[3]

DAEMON = """
    import os, signal, sys, threading
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from tests.engine.cli.stand_in import STATUS, ok, stand_in
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    directory = Path({directory!r})
    (directory / "control.sock").unlink(missing_ok=True)
    with stand_in(directory, status=ok(STATUS | {{"pid": os.getpid()}})):
        while not ended.wait(0.05):
            pass
    with open(directory / "order", "a") as order:
        order.write("daemon ")
"""
SIMULATOR = """
    import signal, threading
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while not ended.wait(0.05):
        pass
    with open({directory!r} + "/order", "a") as order:
        order.write("simulator ")
"""


def child(name: str, source: str, directory: Path) -> Child:
    text = textwrap.dedent(source).format(root=str(ROOT), directory=str(directory))
    return Child(name, [sys.executable, "-c", text], directory / f"{name}.log")


@pytest.fixture
def config(tmp_path: Path) -> AxiomConfig:
    (tmp_path / "run").mkdir()
    return AxiomConfig(
        engine=EngineConfig(state_dir=str(tmp_path / "run"), drain_timeout_s=2.0),
        simulator=SimulatorConfig(state_dir=str(tmp_path / "sim")),
    )


def supervisor(
    config: AxiomConfig, daemon: str, simulator: str, draw: Callable[[dict[str, Any], str], None]
) -> Supervisor:
    directory = config.state_dir
    return Supervisor(config, child("daemon", daemon, directory), child("simulator", simulator, directory), draw)


def ignore(_status: dict[str, Any], _note: str) -> None:
    return


@contextlib.contextmanager
def gone_after(watched: Supervisor) -> Iterator[None]:
    yield
    for process in (watched.daemon, watched.simulator):
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def test_time_up_ends_the_daemon_before_the_venues(config: AxiomConfig) -> None:
    watched = supervisor(config, DAEMON, SIMULATOR, ignore)
    with gone_after(watched):
        watched.run(0.2, 60.0)
    assert (config.state_dir / "order").read_text() == "daemon simulator "
    assert (watched.daemon.exit_code, watched.simulator.exit_code) == (0, 0)
    assert watched.running_after_s is not None
    assert watched.quoted_peak == 12
    assert set(watched.quoted_after_s) == {"1", "10"}


def test_interrupt_drains(config: AxiomConfig) -> None:
    seen = threading.Event()

    def interrupt_once(status: dict[str, Any], _note: str) -> None:
        if status.get("phase") == "running" and not seen.is_set():
            seen.set()
            os.kill(os.getpid(), signal.SIGINT)

    watched = supervisor(config, DAEMON, SIMULATOR, interrupt_once)
    with gone_after(watched):
        watched.run(None, 60.0)
    assert (config.state_dir / "order").read_text() == "daemon simulator "


@pytest.mark.parametrize("victim", ["daemon", "simulator"])
def test_killed_child_is_started_again(config: AxiomConfig, victim: str) -> None:
    state = {"killed": False}
    notes: list[str] = []

    def kill_once(status: dict[str, Any], note: str) -> None:
        notes.append(note)
        if status.get("phase") != "running":
            return
        if not state["killed"]:
            state["killed"] = True
            os.kill(getattr(watched, victim).pid, signal.SIGKILL)
        elif getattr(watched, victim).starts == 2 and status.get("pid") == watched.daemon.pid:
            os.kill(os.getpid(), signal.SIGTERM)

    watched = supervisor(config, DAEMON, SIMULATOR, kill_once)
    with gone_after(watched):
        watched.run(None, 60.0)
    assert getattr(watched, victim).starts == 2
    assert any(f"{victim} ended with signal SIGKILL: started again" in note for note in notes)


def test_configuration_that_a_child_refuses_ends_the_demo_with_its_words(config: AxiomConfig) -> None:
    refusing = "import sys; print('quotes.zip: is truncated'); sys.exit(4)"
    watched = supervisor(config, DAEMON, refusing, ignore)
    with gone_after(watched), pytest.raises(CliError, match=r"quotes\.zip: is truncated") as caught:
        watched.run(1.0, 60.0)
    assert caught.value.code == ExitCode.CONFIG


def test_daemon_that_never_runs_is_given_up(config: AxiomConfig) -> None:
    watched = supervisor(config, SIMULATOR, SIMULATOR, ignore)
    with gone_after(watched), pytest.raises(CliError, match=r"not running within 0\.5 s") as caught:
        watched.run(1.0, 0.5)
    assert caught.value.code == ExitCode.TIMEOUT


def test_daemon_stopped_by_its_own_verb_ends_the_demo(config: AxiomConfig) -> None:
    watched = supervisor(config, "pass", SIMULATOR, ignore)
    with gone_after(watched):
        watched.run(None, 60.0)
    assert watched.daemon.starts == 1


def test_children_drain_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    source = f"""
        import sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from engine.cli.demo.children import Child
        code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('drained'))); "
        code += "print('up', flush=True); signal.pause()"
        child = Child("c", [sys.executable, "-c", code], Path({str(tmp_path)!r}) / "c.log")
        child.start()
        while "up" not in child.tail():
            time.sleep(0.01)
        print(child.pid, flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        handle = os.pidfd_open(pid)
        parent.kill()
    with contextlib.closing(os.fdopen(handle)) as ended:
        assert select.select([ended], [], [], 30.0)[0], "the child outlived its supervisor"
    assert "drained" in (tmp_path / "c.log").read_text()
