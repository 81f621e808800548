"""Stalls of a session that sends for long: ``python benchmarks/lane_windows.py [--orders N] [--rate N] [--rounds N]``.

A step thread sends orders by a hot lane, one every 1/rate seconds, through as many store windows as they fill; the
event loop does nothing but look after the session. What the lane does not send goes by asyncio, as in the engine.
How late an order is: from when it was due to when ``send`` had taken it. How long the loop was held: from one of its
turns to the next, in wall time (neighbours' time slices are in it) and in CPU time of its thread (they are not; the
first round's also loads kernels). At the end the store must hold each order once, and verify: that takes longer.
"""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fix.endpoints.connection import Connection  # noqa: E402
from fix.lane import LaneOwner  # noqa: E402
from fix.store import verify  # noqa: E402
from market import records  # noqa: E402
from market.atomics import c_recv, clock_ns  # noqa: E402
from market.jit import kernel  # noqa: E402
from tests.fix.endpoints.world import new_orders  # noqa: E402
from tests.fix.lane.step import ASKED, COLD, HANDLED, OFFSET_NS, Step, turn  # noqa: E402
from tests.fix.lane.world import Client  # noqa: E402

_TURNS_S = 0.3  # before the first order: the lane is taken, a next window can be ready


@kernel
def paced(lanes: Any, words: Any, orders: Any, cold: Any, got: Any, interval_ns: int, late: Any) -> None:
    """Send ``orders``, one each ``interval_ns``; ``late[k]`` [ns] from due to sent, -1 where asyncio is to send it."""
    start = clock_ns(1)
    for i in range(len(late)):
        due = start + i * interval_ns
        while clock_ns(1) < due:
            turn(lanes, 0, words, orders, cold, got, clock_ns(1) + words[OFFSET_NS])
        before = words[COLD]
        words[ASKED] += 1
        turn(lanes, 0, words, orders, cold, got, clock_ns(1) + words[OFFSET_NS])
        late[i] = clock_ns(1) - due if words[COLD] == before else -1


@kernel
def swallow(fd: int, buffer: Any) -> int:
    """Read until the end."""
    total = np.int64(0)
    while True:
        got = np.int64(c_recv(np.int32(fd), np.uintp(buffer.ctypes.data), np.uintp(len(buffer)), np.int32(0)))
        if got <= 0:
            return total
        total += got


class Held:
    """How long the loop was held between two turns of the measuring coroutine."""

    def __init__(self) -> None:
        self.wall_ns, self.cpu_ns = [0], [0]
        self._wall, self._cpu = time.monotonic_ns(), time.thread_time_ns()

    def look(self) -> None:
        """One turn is over."""
        wall, cpu = time.monotonic_ns(), time.thread_time_ns()
        self.wall_ns.append(wall - self._wall)
        self.cpu_ns.append(cpu - self._cpu)
        self._wall, self._cpu = wall, cpu


async def one_round(directory: Path, count: int, rate: int) -> None:
    """One session's life."""
    client = Client(directory, clock=time.time_ns)
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.peer, _ = listener.accept()
    near.setblocking(False)

    async def connect() -> None:
        await asyncio.get_running_loop().create_connection(lambda: Connection(client.session), sock=near)

    client.connect = connect  # type: ignore[method-assign]
    client.far.now_ns = time.time_ns()
    await client.log_on()
    threading.Thread(target=swallow, args=(client.peer.fileno(), np.zeros(1 << 20, np.uint8)), daemon=True).start()
    step = Step(thread=True)
    step.orders = np.resize(np.ascontiguousarray(new_orders(1000)).view(np.int64).reshape(-1, 16), (count, 16))
    step.cold = np.zeros(count, np.int64)
    late = np.zeros(count, np.int64)
    session = client.session
    session.bind_lane(step.lanes, 0, step)
    cores = sorted(os.sched_getaffinity(0))

    def send() -> None:
        os.sched_setaffinity(threading.get_native_id(), {cores[-1]})
        quiet_until = time.monotonic() + _TURNS_S
        while time.monotonic() < quiet_until or step.owner is not LaneOwner.HOT:
            turn(step.lanes.state, 0, step.words, step.orders, step.cold, step.got, step.now_ns())
        play(late)
        while int(step.words[COLD]) > int(step.words[HANDLED]):  # what asyncio has yet to send
            time.sleep(0.001)

    def play(late: Any) -> None:
        paced(step.lanes.state, step.words, step.orders, step.cold, step.got, int(1e9 / rate), late)

    turn(step.lanes.state, 0, step.words, step.orders, step.cold, step.got, step.now_ns())
    play(late[:0])  # compiled
    step._thread = thread = threading.Thread(target=send, daemon=True)
    begun, held = session.next_out, Held()
    first = time.monotonic_ns()
    thread.start()
    while thread.is_alive():
        session.tend_lane()
        send_cold(step, session)
        if session.steady and not session.lane_out:
            session.offer_lane()
        held.look()
        await asyncio.sleep(0)
    seconds = (time.monotonic_ns() - first) / 1e9
    step._thread = None
    session.reclaim()
    report(session, late, held, seconds)
    assert session.next_out == begun + count
    assert sum(1 for _ in session.store.read(begun, begun + count)) == count
    await client.close()
    assert verify(directory).sound


def send_cold(step: Step, session: Any) -> None:
    """What could not go by the lane, as the engine's gateway sends it: all that waits as one batch."""
    begin, end = int(step.words[HANDLED]), int(step.words[COLD])
    if begin < end:
        rows = step.orders[step.cold[begin:end]].view(records.ORDER).reshape(-1)
        session.send_orders(rows, len(rows))
        step.words[HANDLED] = end


def report(session: Any, late: Any, held: Held, seconds: float) -> None:
    """A line of each kind."""
    hot = np.sort(late[late >= 0])
    at = {name: hot[min(int(len(hot) * part), len(hot) - 1)] / 1e3 for name, part in
          (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))}  # fmt: skip
    text = ", ".join(f"{name} {value:.1f}" for name, value in at.items())
    print(f"{len(late):,} orders in {seconds:.2f} s, by asyncio {len(late) - len(hot):,}, "
          f"{session.lane.windows} windows changed while hot, demotions {session.lane.demotions}")  # fmt: skip
    print(f"  late [us], those of the lane: {text}; {mapped()} MiB of the store mapped at the end")
    wall, cpu = (np.sort(np.asarray(some[2:])) / 1e3 for some in (held.wall_ns, held.cpu_ns))
    print(f"  loop held [us]: wall max {wall[-1]:.0f}, CPU max {cpu[-1]:.0f}, "
          f"next {', '.join(f'{one:.0f}' for one in cpu[-2:-7:-1])}; {len(cpu):,} turns")  # fmt: skip


def mapped() -> int:
    """MiB of message stores that are mapped now."""
    total = 0
    with open("/proc/self/maps") as lines:
        for line in lines:
            if "messages." in line:
                begin, end = (int(part, 16) for part in line.split()[0].split("-"))
                total += end - begin
    return total >> 20


def main() -> None:
    """All rounds, each with a store of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=300_000)
    parser.add_argument("--rate", type=int, default=100_000, help="a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=None, help="file system of the store")
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.2f}")
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory(dir=args.directory) as name:
            asyncio.run(one_round(Path(name), args.orders, args.rate))


if __name__ == "__main__":
    main()
