"""Delay lines: order is kept, nothing is lost, the same seed gives the same delays."""

import asyncio
import time

import numpy as np
import pytest

from simulator.venue.delayline import NEVER_NS, DelayLine, DueTimer


def numbered(first, count):
    frames = np.zeros((count, 16), np.int64)
    frames[:, 0] = np.arange(first, first + count)
    return frames


def push(line, first, count, now_ns):
    line.push(numbered(first, count), np.arange(first, first + count), count, now_ns)


def pop(line, now_ns, room=64):
    out, refs = np.zeros((room, 16), np.int64), np.zeros(room, np.int64)
    count = line.pop(out, refs, now_ns)
    assert out[:count, 0].tolist() == refs[:count].tolist()
    return out[:count, 0].tolist()


def test_without_delay_a_frame_is_due_at_once():
    line = DelayLine()
    push(line, 0, 3, 50)
    assert line.next_due_ns == 50
    assert pop(line, 50) == [0, 1, 2]
    assert line.next_due_ns == NEVER_NS


def test_delay_holds_until_exactly_its_time():
    line = DelayLine(delay_ns=100)
    push(line, 0, 1, 50)
    assert pop(line, 149) == []
    assert pop(line, 150) == [0]


def test_jitter_never_lets_a_frame_overtake_and_stays_in_its_bounds():
    line = DelayLine(delay_ns=100, jitter_ns=1000, seed=3, slots=4)
    for k in range(200):
        push(line, k, 1, k * 10)
    taken, waits = [], []
    for now in range(200 * 10 + 1101):
        for k in pop(line, now):
            taken.append(k)
            waits.append(now - k * 10)
    assert taken == list(range(200))
    assert min(waits) >= 100
    assert max(waits) <= 1100
    assert len(set(waits)) > 50


@pytest.mark.parametrize(("seed", "same"), [(3, True), (4, False)])
def test_delays_are_a_function_of_the_seed(seed, same):
    def due_times(of_seed):
        line = DelayLine(jitter_ns=1_000_000, seed=of_seed)
        times = []
        for k in range(20):
            push(line, k, 1, k * 10_000_000)
            times.append(line.next_due_ns)
            pop(line, NEVER_NS)
        return times

    assert (due_times(3) == due_times(seed)) == same


def test_full_line_grows_and_keeps_order_over_the_wrap():
    line = DelayLine(delay_ns=5, slots=8)
    push(line, 0, 6, 0)
    assert pop(line, 5) == [0, 1, 2, 3, 4, 5]
    push(line, 6, 30, 10)
    assert len(line) == 30
    assert pop(line, 15, room=64) == list(range(6, 36))


def test_pop_takes_no_more_than_there_is_room():
    line = DelayLine()
    push(line, 0, 10, 0)
    assert pop(line, 0, room=4) == [0, 1, 2, 3]
    assert pop(line, 0, room=64) == [4, 5, 6, 7, 8, 9]


async def test_timer_fires_at_its_time_not_before_and_can_be_moved():
    loop = asyncio.get_running_loop()
    fired = loop.create_future()
    timer = DueTimer(loop, lambda: fired.set_result(time.monotonic_ns()))
    due = time.monotonic_ns() + 2_000_000
    timer.arm(due + 3_600_000_000_000)
    timer.arm(due)
    assert await fired >= due
    timer.arm(NEVER_NS)
    timer.close()
