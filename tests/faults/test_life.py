"""Locks, signals and clocks: what happens to a daemon that is not a venue's doing."""

import json
import os
import signal
import subprocess
import sys

from config.dump import to_toml
from engine.audit import audit
from engine.cli.client import NotRunning
from tests.faults.rig import ROOT, Daemon, Simulator, Venues, assert_settled, profile, until


def axiom(*arguments, **options):
    """One ``axiom`` command as a user types it."""
    command = [sys.executable, "-m", "engine.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False, **options)


async def _trading(config):
    simulator, daemon = Simulator(config), Daemon(config)
    await simulator.open()
    daemon.start()
    await daemon.shows(lambda s: s["chain"]["quoted_two_sided"] >= 10, "quotes")
    return simulator, daemon


async def test_second_daemon_on_the_same_state_is_refused_and_the_first_trades_on(tmp_path):
    config = profile(tmp_path)
    simulator, daemon = await _trading(config)
    path = tmp_path / "profile.toml"
    path.write_text(to_toml(config))
    second = axiom("run", "--config", path)
    assert second.returncode == 1
    assert f"belongs to a running daemon, pid {daemon.process.pid}" in second.stderr
    status = json.loads(axiom("status", "--config", path, "--json").stdout)
    assert status["pid"] == daemon.process.pid
    await daemon.shows(lambda s: s["phase"] == "running" and s["armed"], "that it trades on")
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert_settled(config)
    assert axiom("status", "--config", path).returncode == 3
    await simulator.kill()


async def test_clock_that_jumps_pulls_the_quotes_and_halts_until_a_person_resumes(tmp_path):
    config = profile(tmp_path)
    simulator, clock = Simulator(config), tmp_path / "clock"
    daemon = Daemon(config, clock)
    await simulator.open()
    daemon.start()
    await daemon.shows(lambda s: s["chain"]["quoted_two_sided"] >= 10, "quotes")
    temporary = tmp_path / "clock.new"
    temporary.write_text(str(-3_600_000_000_000))  # somebody sets the clock back by an hour
    temporary.rename(clock)
    halted = "a halt and its reason, which a spinning step tells the event loop a moment later"
    status = await daemon.shows(lambda s: s if s["risk_state"] == "HALTED" and s["state_reason"] else None, halted)
    assert status["state_reason"].startswith("CLOCK_JUMP: wall clock jumped by -3600 s")
    await daemon.shows(lambda s: not s["open_orders"], "quotes pulled")
    assert Venues(config).open() == set()
    daemon.ask("resume", scope="firm", reason="the clock is right again")
    status = await daemon.shows(lambda s: s if s["chain"]["quoted_two_sided"] >= 10 else None, "quotes again")
    assert status["risk_state"] == "ACTIVE"
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    await simulator.kill()
    assert audit(config.state_dir).ok


async def test_sigterm_and_sigint_drain(tmp_path):
    """Quotes are cancelled and answered for before the process ends, by either signal."""
    config = profile(tmp_path, cancel_on_disconnect=False)
    simulator, daemon = await _trading(config)
    daemon.signal(signal.SIGINT)
    assert await daemon.ended() == 0
    assert_settled(config)
    assert "draining" in daemon.said()
    daemon.start()
    await daemon.shows(lambda s: s["chain"]["quoted_two_sided"] >= 10, "quotes in a second run")
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert_settled(config)
    await simulator.kill()


async def test_second_sigterm_stops_a_drain_that_nobody_answers(tmp_path):
    """The venues are frozen, so no cancel is ever acknowledged; the second signal does not wait for it."""
    config = profile(tmp_path, cancel_on_disconnect=True, engine={"drain_timeout_s": 600.0})
    simulator, daemon = await _trading(config)
    simulator.signal(signal.SIGSTOP)
    daemon.signal(signal.SIGTERM)
    status = await daemon.reaches("draining")
    assert status["orders"]["open"] > 0
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert "left to the venues' cancel-on-disconnect" in daemon.said()
    simulator.signal(signal.SIGCONT)
    venues = Venues(config)
    await until(lambda: not venues.open(), "cancel on disconnect")
    await simulator.kill()


async def test_sigterm_while_it_starts(tmp_path):
    """Before the kernels are there, and again while no venue answers: each time it ends in order."""
    config = profile(tmp_path)
    path, log = tmp_path / "profile.toml", tmp_path / "out.log"
    path.write_text(to_toml(config))
    environment = {**os.environ, "AXIOM_CACHE_DIR": str(tmp_path / "empty-cache")}  # it will be compiling for long
    daemon = Daemon(config)
    with log.open("wb") as out:
        command = [sys.executable, "-m", "engine.cli", "run", "--config", str(path)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env=environment)
        await until(lambda: daemon.status().get("phase") == "compiling", "compiling")
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None, "the end")
    assert process.returncode == 0, log.read_text()
    assert not config.control_socket.exists()
    daemon.start()
    await daemon.reaches("connecting")
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0, daemon.tail()
    try:
        daemon.ask("status")
    except NotRunning:
        return
    raise AssertionError("somebody answers")
