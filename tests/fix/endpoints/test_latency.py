"""Histograms: percentiles within 6.25 %, and what a session counts where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix.latency import MAX_OPEN_REQUESTS, Histogram, SessionLatency
from tests.fix.endpoints.world import World, new_orders, reports


@given(st.lists(st.integers(0, 30 * 10**9), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_percentile_is_right_to_a_sixteenth(values: list[int], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    wanted = sorted(values)
    exact = next(value for k, value in enumerate(wanted, 1) if k >= share * len(wanted) - 1e-9)
    found = histogram.percentile_ns(share)
    assert exact <= found <= max(exact * 1.0625 + 64, 64) or found == histogram.max_ns
    assert found <= histogram.max_ns == max(values)


def test_extremes_have_a_bucket() -> None:
    histogram = Histogram()
    for value in (-5, 0, 63, 64, 1 << 60):
        histogram.record(value)
    assert histogram.total == 5 == sum(histogram.counts)
    assert histogram.percentile_ns(1.0) == 34359738367.0, "beyond the last bucket its upper bound stands for all"


def test_counts_add_up_when_merged() -> None:
    one, other = Histogram(), Histogram()
    one.record(100, 3)
    other.record(5_000_000, 2)
    one.merge(other)
    snapshot = one.snapshot()
    assert (snapshot["count"], snapshot["max_us"]) == (5, 5000.0)
    assert snapshot["p50_us"] <= 0.13 < 4000 < snapshot["p99_us"]


def test_first_answer_counts_and_forgotten_requests_do_not() -> None:
    latency = SessionLatency()
    latency.requested(1, "D", 1_000)
    latency.requested(2, "F", 1_000)
    latency.answered(1, 3_000)
    latency.answered(1, 9_000)
    latency.forget_requests()
    latency.answered(2, 9_000)
    assert latency.snapshot()["round_trip"] == {"D": latency.round_trip["D"].snapshot()}
    assert latency.round_trip["D"].total == 1
    assert latency.round_trip["D"].max_ns == 2_000


def test_requests_without_an_answer_do_not_pile_up() -> None:
    latency = SessionLatency()
    for number in range(MAX_OPEN_REQUESTS + 10):
        latency.requested(number, "D", number)
    latency.answered_all(range(MAX_OPEN_REQUESTS + 10), 10**6)
    assert latency.round_trip["D"].total == MAX_OPEN_REQUESTS


@pytest.mark.parametrize("count", [1, 40])
async def test_session_measures_handling_round_trip_and_store(world: World, count: int) -> None:
    for k in range(16):
        world.client.send_orders(new_orders(count, 1 + k * count), count)
    world.client.send("F", [(11, "C1"), (41, "1"), (55, "X")])
    await world.venue_handler.until(
        lambda: len(world.venue_handler.frames) == 16 * count and world.venue_handler.messages
    )
    for k in range(16):
        world.venue.send_executions(reports(count, 1 + k * count), count)
    world.venue.send("9", [(11, "C1"), (39, "8"), (434, "1")])
    await world.client_handler.until(
        lambda: len(world.client_handler.frames) == 16 * count and world.client_handler.messages
    )
    sides = world.client.latency.snapshot(), world.venue.latency.snapshot()
    assert sides[0]["handle"]["8"]["count"] == 16 * count
    assert sides[1]["handle"]["D"]["count"] == 16 * count
    counted = {name: found["count"] for name, found in sides[0]["round_trip"].items()}
    assert counted.keys() == {"D", "F"}
    assert counted["F"] == 1
    # Of a batch eight at each end are timed, and the answers of several may come in one.
    assert counted["D"] == 16 if count == 1 else 16 <= counted["D"] <= 256
    assert not sides[1]["round_trip"]
    assert sum(found["count"] for found in sides[0]["store"].values()) == 1, "one append in sixteen is timed"
