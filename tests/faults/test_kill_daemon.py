"""kill -9 of the daemon at random moments: it comes back where it was, and the venues agree."""

import os
import random
import signal

from market.enums import ExecType
from tests.faults.rig import (
    Daemon,
    Simulator,
    Venues,
    assert_runs_replay,
    assert_sent_once,
    assert_settled,
    profile,
    until,
    with_engine,
    with_sessions,
)

KILLS = int(os.environ.get("AXIOM_KILLS", "20"))
SEED = int(os.environ.get("AXIOM_KILL_SEED", "20"))  # of the moments; another one looks elsewhere


def _cancels(venues):
    return sum(int((venues.ours(name)["exec_type"] == ExecType.CANCELED).sum()) for name in ("OPT", "EQ"))


async def test_killed_daemon_resumes_and_agrees_with_the_venues(tmp_path):
    """Some kills hit a trading daemon, some one that is just starting: logging on, reconciling, not yet armed."""
    rng = random.Random(SEED)
    config = with_engine(profile(tmp_path), auto_arm=False)
    simulator, daemon, venues = Simulator(config), Daemon(config), Venues(config)
    await simulator.open()
    numbers = {session.name: 1 for session in config.sessions}
    adopted = 0
    for kill in range(KILLS):
        adopt = rng.random() < 0.5
        daemon.use(with_sessions(config, on_restart="adopt" if adopt else "cancel"))
        before, cancels = venues.open() if kill else set(), _cancels(venues) if kill else 0
        daemon.start()
        if kill and rng.random() < 0.25:
            await daemon.reaches(rng.choice(["connecting", "reconciling", "running"]))
            await daemon.kill()
            continue
        await daemon.reaches("running")
        status = await daemon.shows(lambda s: s if venues.agree(s) else None, "agreement after the restart")
        for session in status["sessions"]:
            assert session["next_out"] > numbers[session["name"]], "sequence numbers began anew"
            numbers[session["name"]] = session["next_out"]
        if adopt:
            assert _cancels(venues) == cancels, "adopted orders were cancelled"
            adopted += len(before)
        else:
            await daemon.shows(lambda s: not s["open_orders"] and venues.agree(s), "cancel of what was found")
        daemon.ask("arm", reason="test")
        size = venues.size() + rng.randrange(20, 400)
        await until(lambda size=size: venues.size() >= size or not daemon.alive, "trading")
        await daemon.kill()
        # What it sent last is still to be read by the venues, and counts: they read it before they see the end.
        await until(lambda: simulator.said().count("client left") == simulator.said().count("client logged on"), "left")
    assert adopted > 0

    daemon.use(config)
    daemon.start()
    await daemon.reaches("running")
    daemon.ask("arm", reason="test")
    await daemon.shows(lambda s: s["chain"]["quoted_two_sided"] >= 10, "quotes after the last restart")
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    simulator.signal(signal.SIGTERM)
    assert await simulator.ended() == 0
    assert "reset the sequence numbers" not in daemon.said()
    assert "sequence numbers reset" not in simulator.said()
    assert assert_settled(config)["fills"]["count"] > KILLS
    assert assert_sent_once(config, venues) > 50 * KILLS
    assert assert_runs_replay(config) > KILLS // 2
