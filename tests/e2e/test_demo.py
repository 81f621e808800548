"""The whole thing, as a user starts it: real processes, real sockets, an independent count at the end.

``axiom demo --json`` compares the daemon's positions, cash, fills and open orders with the venues'
own trade logs, audits the journal against every limit and replays it byte for byte; these tests
read its report. Nothing here asserts how fast anything was.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.matching.reasons import OrdRejReason

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("AXIOM_MARKET_DATA", ROOT.parent / "shared" / "data" / "market"))
GOOG = DATA / "goog_20151224_quote_minute_american.zip"
SPXW = DATA / "spxw_20210106_quote_minute_european.zip"
TIMEOUT_S = 300
CHECKS = {
    "daemon ended in order",
    "simulator ended in order",
    "final status",
    "positions equal the venues'",
    "cash equals the venues'",
    "fills equal the venues'",
    "open orders equal the venues'",
    "drop copies agree",
    "the venues' trades are sound",
    "no limit was exceeded",
    "the journal replays to the same outputs",
}


def demo(state: Path, *options: str, **environment: str) -> dict[str, Any]:
    """Run ``axiom demo --json`` to its end and return the report; its logs are shown on failure."""
    command = [sys.executable, "-m", "engine.cli", "demo", "--json", "--state-dir", str(state), *options]
    patient = {"AXIOM__ENGINE__DRAIN_TIMEOUT_S": "60"}  # a busy machine answers the cancels late
    variables = {**os.environ, **patient, **environment}
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    logs = "\n".join(path.read_text()[-3000:] for path in sorted(state.glob("*/*.log")))
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{logs}"
    report: dict[str, Any] = json.loads(done.stdout)
    assert {check["name"] for check in report["checks"]} >= CHECKS
    assert report["ok"] and all(check["ok"] for check in report["checks"]), report["checks"]
    return report


def few_rejects(final: dict[str, Any]) -> bool:
    """A post-only quote meets a market that moved while it was on its way: rare, and the only reason to be refused."""
    orders = final["orders"]
    refused = [alert["text"] for alert in final["alerts"] if "rejected by the venue" in alert["text"]]
    assert all(text.endswith(f"reason {int(OrdRejReason.WOULD_CROSS)}") for text in refused), refused
    return int(orders["rejected"]) <= 0.005 * (int(orders["sent"]) + int(orders["replaced"]))


@pytest.mark.parametrize("mode", ["park", "poll", "spin"])
def test_a_generated_market_is_made_in_every_loop_mode(tmp_path: Path, mode: str) -> None:
    report = demo(tmp_path / "demo", "--for", "8s", "--seed", "11", AXIOM__ENGINE__LOOP_MODE=mode)
    final = report["final"]
    assert final["loop"]["mode"] == mode
    assert final["fills"]["count"] > 0 and report["quoted_peak"] > 200
    assert few_rejects(final) and not final["open_orders"]
    assert final["chain"]["presence"] >= 0.95
    assert final["loop"]["lapped_frames"] == 0


def test_the_recorded_goog_chain_is_quoted(tmp_path: Path) -> None:
    if not GOOG.exists():
        pytest.skip(f"no recorded market at {GOOG} (AXIOM_MARKET_DATA)")
    report = demo(tmp_path / "demo", "--for", "15s", "--seed", "3", "--market", f"replay:{GOOG}", "--speed", "60")
    final = report["final"]
    assert final["chain"]["series"] == 2192 and report["quoted_peak"] >= 1000
    assert final["chain"]["presence"] >= 0.95
    assert final["fills"]["count"] > 0 and few_rejects(final)
    assert final["loop"]["backlog_seconds"] == 0, "a second went by in which the backlog was never zero"
    assert final["loop"]["rss_mib"] <= 1024


def test_the_recorded_spxw_chain_is_quoted(tmp_path: Path) -> None:
    if not SPXW.exists():
        pytest.skip(f"no recorded market at {SPXW} (AXIOM_MARKET_DATA)")
    report = demo(tmp_path / "demo", "--for", "8s", "--seed", "5", "--market", f"replay:{SPXW}", "--speed", "60")
    assert report["quoted_peak"] > 0 and report["final"]["chain"]["priced"] > 0
