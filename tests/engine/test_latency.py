"""Histograms: every duration in a bucket that names it within a sixteenth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.latency import (
    BUCKETS,
    STEP_THREAD,
    Latencies,
    Stage,
    read_latencies,
    record,
    record_answers,
    record_orders,
    upper_bound_ns,
)
from market.ids import make_cl_ord_id
from market.records import EXECUTION, ORDER, table


@given(st.integers(0, 500_000_000_000))
def test_the_upper_bound_is_at_most_a_sixteenth_above(nanos):
    histogram = np.zeros(BUCKETS, np.int64)
    record(histogram, nanos)
    (bucket,) = np.flatnonzero(histogram)
    assert nanos <= upper_bound_ns(int(bucket)) <= nanos * (1 + 1 / 16)


@pytest.mark.parametrize(
    ("nanos", "bucket"), [(-5, 0), (0, 0), (15, 15), (16, 16), (31, 31), (32, 32), (2**62, BUCKETS - 1)]
)
def test_the_edges(nanos, bucket):
    histogram = np.zeros(BUCKETS, np.int64)
    record(histogram, nanos)
    assert histogram[bucket] == 1


def test_percentiles_in_microseconds():
    latencies = Latencies(4)
    for n in range(1, 101):
        latencies.add(Stage.STEP, n * 1000)
    summary = latencies.summary_us(Stage.STEP)
    assert summary["count"] == 100
    assert 50 <= summary["p50"] <= 50 * 17 / 16 and 99 <= summary["p99"] <= 99 * 17 / 16
    assert 100 <= summary["max"] <= 100 * 17 / 16


def _answered(latencies):
    mine = latencies.histograms
    return mine[Stage.ACK], mine[Stage.ROUND_TRIP], latencies.sent_ns, latencies.ring_ns


def test_nothing_measured_is_all_zero():
    assert set(Latencies(4).summary_us(Stage.ACK).values()) == {0}


def test_the_first_answer_to_a_request_is_counted_and_no_other():
    latencies = Latencies(4)
    orders, answers = table(ORDER, 1), table(EXECUTION, 2)
    orders[0]["slot"], orders[0]["tick_ns"] = 2, 1_000
    answers["cl_ord_id"] = make_cl_ord_id(1, 9, 2)
    record_orders(latencies.histograms[Stage.TICK_TO_ORDER], latencies.sent_ns, orders, 1, 6_000)
    latencies.ring_ns[2] = 1_000
    record_answers(*_answered(latencies), answers, 2, 26_000)
    assert 25 <= latencies.summary_us(Stage.ROUND_TRIP)["max"] <= 25 * 17 / 16
    assert latencies.summary_us(Stage.TICK_TO_ORDER)["count"] == latencies.summary_us(Stage.ACK)["count"] == 1
    assert 20 <= latencies.summary_us(Stage.ACK)["max"] <= 20 * 17 / 16


def test_ids_of_mass_requests_have_no_slot_to_write_to():
    latencies = Latencies(4)
    answers = table(EXECUTION, 1)
    answers["cl_ord_id"] = make_cl_ord_id(1, 9, 65_535)
    record_answers(*_answered(latencies), answers, 1, 26_000)
    assert latencies.summary_us(Stage.ACK)["count"] == 0


def test_what_came_late_also_counts_as_what_was_due_meanwhile():
    """A stall of a second of something due every 100 ms: ten measurements, not one."""
    latencies = Latencies(4)
    latencies.add(Stage.LOOP_LAG, 1_000_000_000, 100_000_000)
    for _ in range(10):
        latencies.add(Stage.LOOP_LAG, 0, 100_000_000)
    summary = latencies.summary_us(Stage.LOOP_LAG)
    assert summary["count"] == 20 and 500e3 <= summary["p90"] * 17 / 16


def test_another_process_reads_what_both_threads_count(tmp_path):
    path = tmp_path / "memory" / "latency"
    latencies = Latencies(4, path)
    latencies.add(Stage.ACK, 1_000)
    record(latencies.slots[STEP_THREAD, Stage.ACK], 9_000)
    found = read_latencies(path)
    assert found["ack"]["count"] == 2 and 9 <= found["ack"]["max"] <= 9 * 17 / 16 and found["decide"]["count"] == 0
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(EngineError, match="another build"):
        read_latencies(path)
    latencies.close()
    with pytest.raises(EngineError, match="is the daemon running"):
        read_latencies(path)
