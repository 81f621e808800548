"""The metrics endpoint of a real daemon, read by the client library's own parser, beside the status document."""

import asyncio
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.latency import FILE_NAME, read_latencies
from tests.faults.rig import Child, Daemon, Simulator, profile
from tests.ports import free_port


@pytest.fixture(autouse=True)
def _no_orphans():
    yield
    while Child.all_of_them:
        Child.all_of_them.pop().destroy()


async def scraped(port):
    """Every sample by name and labels."""
    url = f"http://127.0.0.1:{port}/metrics"
    with await asyncio.to_thread(urllib.request.urlopen, url, timeout=60) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}


async def test_a_scrape_says_what_status_and_latency_say(tmp_path):
    port = free_port()
    config = profile(tmp_path, engine={"metrics_port": port})
    simulator, daemon = Simulator(config), Daemon(config)
    await simulator.open()
    daemon.start()
    await daemon.reaches("running")
    before = await daemon.shows(lambda s: s if s["fills"]["count"] >= 5 else None, "fills")
    trips = read_latencies(config.runtime_dir / FILE_NAME)["ack"]["count"]
    found = await scraped(port)
    seen = found["axiom_fills_total",]
    after = await daemon.shows(lambda s: s if s["fills"]["count"] > seen else None, "more fills")

    for name, section, key in (
        ("axiom_fills_total", "fills", "count"),
        ("axiom_contracts_total", "fills", "contracts"),
        ("axiom_steps_total", "loop", "steps"),
    ):
        assert before[section][key] <= found[name,] <= after[section][key], name
    assert before["orders"]["sent"] <= found["axiom_requests_total", "sent"] <= after["orders"]["sent"]
    assert (found["axiom_phase", "running"], found["axiom_phase", "stopped"], found["axiom_armed",]) == (1, 0, 1)
    assert found["axiom_risk_state", "active"] == 1
    assert (found["axiom_session_ready", "OPT"], found["axiom_session_ready", "EQ"]) == (1, 1)
    frames = {row["name"]: row["ring"]["frames"] for row in before["sessions"]}
    assert all(found["axiom_ring_total", *sorted((name, "frames"))] >= count for name, count in frames.items())
    limits = {row["limit"]: row for row in before["risk"]}
    values = {key[1:]: value for key, value in found.items() if key[0] == "axiom_limit"}
    assert values == {tuple(sorted((name, row["unit"]))): row["value"] for name, row in limits.items()}

    count = found["axiom_latency_seconds_count", "ack"]
    buckets = sorted((float(key[1]), value) for key, value in found.items()
                     if key[0] == "axiom_latency_seconds_bucket" and key[2] == "ack")  # fmt: skip
    assert trips <= count == buckets[-1][1] and buckets[-1][0] == float("inf")
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)


async def test_a_port_that_is_taken_ends_the_start_with_its_name(tmp_path):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    daemon = Daemon(profile(tmp_path, engine={"metrics_port": port}))
    daemon.start()
    assert await daemon.ended() != 0
    assert f"engine.metrics_port {port}" in daemon.said()
    server.close()
