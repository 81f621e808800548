"""Drop copy between real processes: every fill reconciled through kill -9 of either side; a false one stops trading."""

import signal

import msgspec
import numpy as np
import pytest

from config.schema import AxiomConfig, DropCopyConfig
from engine.dropcopy import OWN, Ledger
from market.enums import ExecType, FrameKind, Side
from market.records import EXECUTION, as_layout, frames
from tests.faults.rig import US, Child, Daemon, Simulator, Venues, profile, until

SETTLED = ("pending", "mismatched", "unresolved")


def with_copies(config: AxiomConfig) -> AxiomConfig:
    """The profile with a drop-copy session beside each of its two."""
    replace = msgspec.structs.replace
    venues = tuple(
        replace(venue, drop_copies=(DropCopyConfig(comp_id="COPY", clients=(US,)),))
        for venue in config.simulator.venues
    )
    # Five seconds: of three processes on a busy machine, one may have to wait for a second until it is its turn.
    copies = tuple(
        replace(
            session, name=f"{session.name}-COPY", role="drop_copy", sender_comp_id="COPY", drop_copy_timeout_ms=5_000
        )
        for session in config.sessions
    )
    return replace(config, sessions=config.sessions + copies, simulator=replace(config.simulator, venues=venues))


@pytest.fixture
def rig(tmp_path):
    """Simulator, daemon and the venues' logs, all gone after the test."""
    config = with_copies(profile(tmp_path))
    yield Simulator(config), Daemon(config), Venues(config)
    while Child.all_of_them:
        Child.all_of_them.pop().destroy()


def trades(status, venues):
    """Fills that both sides agree on, where they are all that the venues know of; None while they are not."""
    copies = status["drop_copies"]
    known = sum(copy["trades"] + copy["trades_before"] for copy in copies)
    ours = sum(int((venues.ours(name)["exec_type"] == ExecType.TRADE).sum()) for name in ("OPT", "EQ"))
    settled = all(copy[name] == 0 for copy in copies for name in SETTLED)
    return known if settled and known == ours and known else None


async def test_every_fill_is_reconciled_through_kills_of_either_side(rig):
    simulator, daemon, venues = rig
    await simulator.open()
    for victim in ("daemon", "simulator", "daemon", "nobody"):
        if not daemon.alive:
            daemon.start()
        await daemon.reaches("running")
        await daemon.shows(lambda s: all(copy["listening"] for copy in s["drop_copies"]), "drop copies that listen")
        size = venues.size() + 300
        await until(lambda size=size: venues.size() >= size, "trading")
        if victim == "daemon":
            await daemon.kill()
        elif victim == "simulator":
            await simulator.kill()
            await simulator.open()
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    final = msgspec.json.decode((daemon.config.state_dir / "final.json").read_bytes())
    assert trades(final, venues) > 20, final["drop_copies"]
    assert "MISMATCH" not in daemon.said()


async def test_an_execution_that_the_venue_does_not_know_halts_its_session_until_it_is_accepted(rig):
    simulator, daemon, _venues = rig
    ledger = Ledger(daemon.config.state_dir / "dropcopy" / "OPT-COPY.ledger")
    cells = frames(1)
    row = as_layout(cells, EXECUTION)[0]
    row["kind"], row["exec_type"], row["side"], row["last_qty"] = FrameKind.EXECUTION, ExecType.TRADE, Side.BUY, 3
    row["exec_id"], row["session"], row["source"] = np.uint64(0xABC), 0, OWN
    ledger.append(cells)
    ledger.close()
    await simulator.open()
    daemon.start()
    await daemon.alert("DROP_COPY_MISMATCH: our execution is not on the drop copy: buy 3 (ExecID 0000000000000ABC")

    def halted(status):
        return [scope for scope in status["scopes"] if scope["scope"] == "session" and scope["state"] == "HALTED"]

    [scope] = await daemon.shows(halted, "the session's halt")
    assert (scope["name"], scope["reason"][:18]) == ("OPT", "DROP_COPY_MISMATCH")
    assert daemon.ask("session.accept", name="OPT-COPY", reason="test")["accepted"] == 1
    daemon.ask("resume", scope="session:OPT", reason="test")
    await daemon.shows(lambda s: not halted(s) and s["chain"]["quoted_two_sided"] >= 5, "quotes again")
    assert '"verb":"session.accept"' in (daemon.config.state_dir / "audit.log").read_text()
    record = (daemon.config.state_dir / "dropcopy" / "OPT-COPY.mismatches.jsonl").read_text()
    assert [msgspec.json.decode(line)["what"] for line in record.splitlines()] == ["not_copied", "accepted"]
