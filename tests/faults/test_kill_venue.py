"""kill -9 of the venues' process at random moments, under a daemon that stays up and trades on."""

import os
import random
import signal

from tests.faults.rig import (
    Daemon,
    Simulator,
    Venues,
    assert_runs_replay,
    assert_sent_once,
    assert_settled,
    profile,
    until,
)

KILLS = int(os.environ.get("AXIOM_KILLS", "20"))
SEED = int(os.environ.get("AXIOM_KILL_SEED", "21"))  # of the moments; another one looks elsewhere


async def test_killed_venue_comes_back_and_the_daemon_agrees_with_it(tmp_path):
    """Agreement is counted while the firm is halted: no order is on its way then."""
    rng = random.Random(SEED)
    config = profile(tmp_path, cancel_on_disconnect=False)
    simulator, daemon, venues = Simulator(config), Daemon(config), Venues(config)
    await simulator.open()
    daemon.start()
    logons = {session.name: 0 for session in config.sessions}
    for kill in range(KILLS + 1):
        await daemon.shows(
            lambda s: s["phase"] == "running" and s["armed"] and s["chain"]["quoted_two_sided"] >= 10,
            f"quotes after kill {kill}",
        )
        daemon.ask("halt", scope="firm", reason="counting")
        status = await daemon.shows(lambda s: s if not s["open_orders"] and venues.agree(s) else None, "agreement")
        assert status["orders"]["unknown"] == 0
        for session in status["sessions"]:
            assert session["next_in"] > logons[session["name"]], "sequence numbers began anew"
            logons[session["name"]] = session["next_in"]
        daemon.ask("resume", scope="firm", reason="counted")
        if kill == KILLS:
            break
        size = venues.size() + rng.randrange(20, 400)
        await until(lambda size=size: venues.size() >= size, "trading")
        await simulator.kill()
        if rng.random() < 0.5:
            await daemon.shows(lambda s: all(x["state"] == "DOWN" for x in s["sessions"]), "sessions down")
        await simulator.open()

    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    simulator.signal(signal.SIGTERM)
    assert await simulator.ended() == 0
    assert daemon.starts == 1
    assert "reset the sequence numbers" not in daemon.said()
    final = assert_settled(config)
    assert final["fills"]["count"] > KILLS
    assert all(session["reconnects"] >= KILLS for session in final["sessions"])
    assert assert_sent_once(config, venues) > 50 * KILLS
    assert assert_runs_replay(config) == 1
