"""The venues' process killed, stopped and ended under a daemon: whose books are void, and that they come back."""

import signal
from typing import Any

import msgspec

from engine.journal import read_journal
from engine.state import SOURCE_VOID
from market.enums import FrameKind
from market.records import TIMER, as_layout
from market.rings import FIX_SOURCE
from tests.faults.rig import Daemon, Simulator, assert_runs_replay, profile


def quoting(status: dict[str, Any]) -> bool:
    return status["phase"] == "running" and status["armed"] and status["chain"]["quoted_two_sided"] >= 8


def voided_sources(config: Any) -> set[int]:
    """Numbers of the sources that a journal says were void at some time."""
    runs = [path for path in (config.state_dir / "runs").iterdir() if list(path.glob("journal-*.bin"))]
    rows = [as_layout(raw, TIMER) for run in runs for raw in read_journal(run)]
    voids = [r["timer"][(r["kind"] == FrameKind.TIMER) & (r["period_ns"] == SOURCE_VOID)] for r in rows]
    return {int(timer) - 1 for some in voids for timer in some}


async def test_a_stopped_venue_loses_its_quotes_and_gets_them_back(tmp_path):
    """SIGSTOP: the sockets stay open, nothing is said any more. The ring's promise ends, and with it the quotes."""
    config = profile(tmp_path)
    simulator, daemon = Simulator(config), Daemon(config)
    await simulator.open()
    daemon.start()
    await daemon.shows(quoting, "quotes")
    simulator.signal(signal.SIGSTOP)
    await daemon.shows(lambda s: not any(x["ring"]["alive"] for x in s["sessions"]), "the rings' silence")
    await daemon.alert("is silent")
    simulator.signal(signal.SIGCONT)
    await daemon.shows(lambda s: all(x["ring"]["alive"] and x["ring"]["restores"] > 1 for x in s["sessions"]), "return")
    await daemon.shows(quoting, "quotes after the stop")
    status = await daemon.shows(lambda s: s, "a status")
    assert all(x["ring"]["deaths"] >= 1 and x["ring"]["restored_books"] > 0 for x in status["sessions"])
    assert status["loop"]["lapped_frames"] == 0
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    simulator.signal(signal.SIGTERM)
    assert await simulator.ended() == 0
    assert voided_sources(config) == {0, 1} and assert_runs_replay(config) == 1


async def test_a_ring_and_a_fix_feed_in_one_daemon_die_and_come_back(tmp_path):
    """The simulated market's clock is not that of its FIX messages, so nothing is priced here: books are looked at."""
    config = profile(tmp_path)
    by_fix = msgspec.structs.replace(config.sessions[1], market_data="fix")
    config = msgspec.structs.replace(config, sessions=(config.sessions[0], by_fix))
    ring = config.ring_path("OPT")

    def heard(status: dict[str, Any]) -> bool:
        counted = status["sessions"][0]["ring"]
        by_fix = [under["bid"] for under in status["underlyings"]]
        return counted["alive"] and counted["restored_books"] >= 20 and bool(by_fix and by_fix[0])

    simulator, daemon = Simulator(config), Daemon(config)
    await simulator.open()
    daemon.start()
    first = await daemon.shows(lambda s: s if heard(s) else None, "books by ring and by FIX")
    assert first["sessions"][1]["ring"] is None
    await simulator.kill()
    assert ring.exists()
    await daemon.shows(lambda s: not s["sessions"][0]["ring"]["alive"], "the ring's death")
    await simulator.open()
    restored = first["sessions"][0]["ring"]["restored_books"] + 20
    await daemon.shows(lambda s: heard(s) and s["sessions"][0]["ring"]["restored_books"] >= restored, "the return")
    simulator.signal(signal.SIGTERM)
    assert await simulator.ended() == 0
    assert not ring.exists(), "a venue that ends takes its ring along"
    await daemon.alert("has ended")
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert voided_sources(config) == {0, FIX_SOURCE + 1}, "a FIX session's books have a source of their own"
    assert assert_runs_replay(config) == 1
