"""Busts, corrections and halts by a venue's operator, between real processes: all accounts stay the same to the cent.

Daemon and venues run as a user runs them, and what the operator does is done by ``axiom sim-control``. The venues'
own trade logs are the independent count; nothing else is compared with.
"""

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.cli.demo.preparation import write_effective
from market.enums import ExecType
from tests.engine.test_dropcopy_daemon import SETTLED, with_copies
from tests.faults.rig import (
    US,
    Child,
    Daemon,
    Simulator,
    Venues,
    assert_runs_replay,
    assert_settled,
    profile,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_orphans():
    yield
    while Child.all_of_them:
        Child.all_of_them.pop().destroy()


class Operator:
    """``axiom sim-control`` on the profile of a test."""

    def __init__(self, config):
        self._profile = write_effective(config)

    def does(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        command = [sys.executable, "-m", "engine.cli", "sim-control", *arguments, "--config", str(self._profile)]
        done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document["result"] if code == 0 else document

    def newest(self, venue: str) -> dict[str, Any]:
        """Our newest trade that stands as it was made."""
        rows = self.does("trades", "--last", "1000", "--venue", venue)["trades"]
        return next(row for row in rows if row["client"] == US and row["kind"] == "trade" and row["stands"])


def agreed(venues):
    """A condition: daemon, drop copies and venues say the same, amendments included."""

    def condition(status):
        copies = status["drop_copies"]
        ours = sum(copy["trades"] + copy["trades_before"] for copy in copies)
        settled = not any(copy[name] for copy in copies for name in SETTLED)
        return status if settled and venues.agree(status) and ours == status["fills"]["count"] else None

    return condition


def traded(venues):
    """Whether we have traded at each venue."""
    return all((venues.ours(name)["exec_type"] == ExecType.TRADE).any() for name in ("OPT", "EQ"))


def connections(status):
    """How often each session has come back."""
    return [session["reconnects"] for session in (*status["sessions"], *status["drop_copies"])]


def held(status):
    """What an account comes to: positions, cash with fees, fills."""
    positions = {row["symbol"]: row["qty"] for row in status["positions"]}
    return positions, status["pnl"]["cash_e4"], status["fills"]["count"], status["fills"]["contracts"]


def amendments(venues, kind):
    return sum(int((venues.ours(name)["exec_type"] == kind).sum()) for name in ("OPT", "EQ"))


async def test_busts_corrections_and_halts_leave_every_account_the_same(tmp_path):
    config = with_copies(profile(tmp_path))
    simulator, daemon, venues, operator = Simulator(config), Daemon(config), Venues(config), Operator(config)
    await simulator.open()
    daemon.start()
    await daemon.reaches("running")
    await daemon.shows(lambda s: s["fills"]["count"] >= 12 and traded(venues), "fills at both venues")

    first = operator.newest("OPT")  # while everything trades
    operator.does("bust", first["exec_id"], "--venue", "OPT")
    await daemon.alert("busted")

    assert operator.does("halt", "all")["changed"] > 10
    await daemon.shows(lambda s: s["chain"]["quoted"] == 0 and not s["open_orders"], "quotes pulled by the halt")
    await daemon.shows(agreed(venues), "agreement after a bust")

    second, third = operator.newest("OPT"), operator.newest("EQ")
    price = str(Decimal(second["price"]) + Decimal("0.03"))
    operator.does("correct", second["exec_id"], "--venue", "OPT", "--qty", str(second["qty"] + 2), "--price", price)
    await daemon.alert("corrected")
    operator.does("bust", third["exec_id"], "--venue", "EQ")
    before = await daemon.shows(
        lambda s: agreed(venues)(s) if amendments(venues, ExecType.TRADE_CANCEL) == 2 else None, "agreement after all"
    )
    assert before["fills"]["count"] > 0 and before["chain"]["quoted"] == 0

    await daemon.kill()
    daemon.start()
    await daemon.reaches("running")
    after = await daemon.shows(agreed(venues), "agreement after kill -9")
    assert held(after) == held(before)
    assert after["chain"]["quoted"] == 0, "halted series are quoted after a restart"

    [line] = [row for row in operator.does("trades", "--last", "1000")["trades"] if row["kind"] == "correction"]
    assert (line["ref"], line["qty"], line["stands"]) == (second["exec_id"], second["qty"] + 2, True)
    operator.does("correct", line["exec_id"], "--venue", "OPT", "--qty", str(second["qty"]))  # a correction corrected
    operator.does("reopen", "all")
    await daemon.shows(lambda s: s["chain"]["quoted_two_sided"] >= 5, "quotes after the reopening")

    operator.does("bust", operator.newest("OPT")["exec_id"], "--venue", "OPT")
    before = connections(await daemon.shows(lambda s: s, "a status"))
    await simulator.kill()  # whether the daemon has heard of it or not
    await simulator.open()
    await daemon.shows(
        lambda s: (
            s["chain"]["quoted_two_sided"] >= 5
            and all(copy["listening"] for copy in s["drop_copies"])
            and all(now > then for now, then in zip(connections(s), before, strict=True))
        ),
        "quotes after the venue's restart",
    )
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    simulator.signal(signal.SIGTERM)
    assert await simulator.ended() == 0

    final = assert_settled(config)
    assert agreed(venues)(final), final["drop_copies"]
    assert (amendments(venues, ExecType.TRADE_CANCEL), amendments(venues, ExecType.TRADE_CORRECT)) == (3, 2)
    assert assert_runs_replay(config) == 2
    assert "MISMATCH" not in daemon.said() and "contradicts" not in daemon.said()


async def test_the_operator_is_told_what_cannot_be(tmp_path):
    config = profile(tmp_path)
    operator = Operator(config)
    assert "no simulator is running" in operator.does("halt", "all", code=3)["error"]
    simulator = Simulator(config)
    await simulator.open()
    assert "no trade has the ExecID" in operator.does("bust", "00000000000000FF", code=2)["error"]
    assert "16 hex digits" in operator.does("bust", "12", code=2)["error"]
    assert "is not listed" in operator.does("halt", "NOPE", code=2)["error"]
    assert "no venue 'NYSE'" in operator.does("trades", "--venue", "NYSE", code=2)["error"]
    assert operator.does("news", "Opening", "--text", "all is well", "--flash") == {"told": 0}
    await simulator.kill()
    assert "no simulator is running" in operator.does("halt", "all", code=3)["error"]
    await simulator.open()  # the socket of the dead one is replaced
    assert operator.does("trades")["trades"] == [] or operator.does("trades")
    assert (config.runtime_dir / "sim.sock").stat().st_mode & 0o777 == 0o600
