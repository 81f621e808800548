"""Costs of a hot lane: ``python benchmarks/lane.py``.

One NewOrderSingle out (encode, throttle check, store, ``send``) and one ExecutionReport in
(``recv``, decode, frame copied, number stored), over loopback TCP; parts of each by themselves. Reports
come forty at a time, so that what one costs beside the system calls can be told. CPU time of the
thread, wall time beside it; median of ROUNDS.
"""

import asyncio
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fix.codec import encode_executions  # noqa: E402
from fix.codec.encode import encode_orders  # noqa: E402
from fix.codec.views import orders_of  # noqa: E402
from fix.endpoints.connection import Connection  # noqa: E402
from fix.lane import lane_frame, lane_receive, lane_send, lane_taken  # noqa: E402
from fix.lane import layout as at  # noqa: E402
from fix.lane.crc import crc32  # noqa: E402
from fix.lane.parts import link_of, symbols_of  # noqa: E402
from fix.lane.sending import flush_tail  # noqa: E402
from fix.lane.storing import may_store, store_messages  # noqa: E402
from fix.lane.throttling import grant  # noqa: E402
from market.arrays import bytes_at, frames_at, words_at  # noqa: E402
from market.atomics import c_recv, c_send  # noqa: E402
from market.jit import kernel  # noqa: E402
from tests.fix.endpoints.world import new_orders, reports  # noqa: E402
from tests.fix.lane.step import Step  # noqa: E402
from tests.fix.lane.world import Client  # noqa: E402

COUNT = 1000
ROUNDS = 15
BATCH = 40
_ROOM = np.int64(at.LANE_BATCH * 768 + 64)


@kernel
def sends(lanes: Any, cells: Any, count: int, now_ns: int) -> int:
    """One order a call."""
    done = 0
    for i in range(count):
        done += lane_send(lanes, np.int64(0), cells, np.int64(i), np.int64(1), now_ns)
    return done


@kernel
def only_encode(lanes: Any, cells: Any, count: int, now_ns: int) -> int:
    """The encoding alone."""
    out = bytes_at(lanes[at.A_OUT], _ROOM)
    ends = words_at(lanes[at.A_ENDS], np.int64(at.LANE_BATCH))
    orders = orders_of(frames_at(np.int64(cells.ctypes.data), np.int64(cells.shape[0])))
    total = 0
    for i in range(count):
        size, _, _ = encode_orders(
            link_of(lanes, np.int64(0)), symbols_of(lanes, np.int64(0)), orders, i, 1, 1000 + i, now_ns, out, ends
        )
        total += size
    return total


@kernel
def all_but_send(lanes: Any, cells: Any, count: int, now_ns: int) -> int:
    """What ``lane_send`` does for one order, up to the system call."""
    out = bytes_at(lanes[at.A_OUT], _ROOM)
    ends = words_at(lanes[at.A_ENDS], np.int64(at.LANE_BATCH))
    orders = orders_of(frames_at(np.int64(cells.ctypes.data), np.int64(cells.shape[0])))
    b, one = np.int64(0), np.int64(1)
    done = 0
    for i in range(count):
        size, _, _ = encode_orders(
            link_of(lanes, b), symbols_of(lanes, b), orders, i, 1, lanes[at.NEXT_OUT], now_ns, out, ends
        )
        if may_store(lanes, b, size, one, now_ns):
            done += grant(lanes, b, orders, np.int64(i), one)
            store_messages(lanes, b, out, size, ends, one, now_ns)
    return done


@kernel
def only_store(lanes: Any, size: int, count: int, now_ns: int) -> int:
    """The append alone, of whatever stands in the output."""
    out = bytes_at(lanes[at.A_OUT], _ROOM)
    ends = words_at(lanes[at.A_ENDS], np.int64(at.LANE_BATCH))
    ends[0] = size
    done = 0
    for _ in range(count):
        if may_store(lanes, np.int64(0), size, np.int64(1), now_ns):
            store_messages(lanes, np.int64(0), out, size, ends, np.int64(1), now_ns)
            done += 1
    return done


@kernel
def only_crc(lanes: Any, size: int, count: int) -> Any:
    """The checksum of an entry alone."""
    out = bytes_at(lanes[at.A_OUT], _ROOM)
    total = np.uint64(0)
    for _ in range(count):
        total += crc32(out, np.int64(0), size + 44)
    return total


@kernel
def only_send(lanes: Any, size: int, count: int) -> int:
    """The system call alone, with as many bytes."""
    done = 0
    for _ in range(count):
        sent = c_send(np.int32(lanes[at.FD]), np.uintp(lanes[at.A_OUT]), np.uintp(size), np.int32(0x4000))
        done += sent == size
    return done


@kernel
def receives(lanes: Any, peer: int, stream: Any, ends: Any, batch: int, cells: Any, now_ns: int) -> int:
    """The peer says ``batch`` reports at a time, the lane takes them: each has its ``send`` and its ``recv``."""
    got = 0
    start = 0
    for k in range(batch - 1, len(ends), batch):
        c_send(np.int32(peer), np.uintp(stream.ctypes.data + start), np.uintp(ends[k] - start), np.int32(0x4000))
        start = ends[k]
        while got <= k:
            count = lane_receive(lanes, np.int64(0), now_ns)
            for row in range(count):
                lane_frame(lanes, np.int64(0), row, cells, row)
            if count > 0:
                lane_taken(lanes, np.int64(0))
            got += count
    return got


@kernel
def only_calls(lanes: Any, peer: int, stream: Any, ends: Any, batch: int) -> int:
    """The system calls of ``receives`` alone."""
    got = np.int64(0)
    start = 0
    for k in range(batch - 1, len(ends), batch):
        c_send(np.int32(peer), np.uintp(stream.ctypes.data + start), np.uintp(ends[k] - start), np.int32(0x4000))
        start = ends[k]
        while got < start:
            more = c_recv(np.int32(lanes[at.FD]), np.uintp(lanes[at.A_TAIL]), np.uintp(at.TAIL_BYTES), np.int32(0x40))
            if more > 0:
                got += more
    return got


def timed(call: Any, per: int) -> tuple[float, float]:
    """CPU and wall nanoseconds for one."""
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    call()
    return (time.thread_time_ns() - cpu) / per, (time.perf_counter_ns() - wall) / per


async def measure(directory: Path) -> None:
    """Print the table."""
    client = Client(directory)
    listener = socket.create_server(("127.0.0.1", 0))

    async def connect() -> None:
        near = socket.create_connection(listener.getsockname())
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.peer, _ = listener.accept()
        client.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.setblocking(False)
        client.peer.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: Connection(client.session), sock=near)

    client.connect = connect  # type: ignore[method-assign]
    await client.log_on()
    peer = client.peer
    peer.setblocking(True)
    threading.Thread(target=drain, args=(peer,), daemon=True).start()
    step = Step(thread=False)
    step.fixed_ns = client.now_ns
    client.session.bind_lane(step.lanes, 0, step)
    step.orders[:COUNT] = np.ascontiguousarray(new_orders(COUNT)).view(np.int64).reshape(-1, 16)
    figures: dict[str, list[tuple[float, float]]] = {}
    for turn in range(ROUNDS + 1):
        assert client.promote(step) == "", client.session.why_not_hot()
        found = one_round(client, step)
        client.session.reclaim()
        if turn:
            for name, pair in found.items():
                figures.setdefault(name, []).append(pair)
    size = len(client.stored()[2])
    print(f"one order is {size} bytes; {COUNT} a round, median of {ROUNDS} rounds\n{'':38}{'CPU ns':>9}{'wall ns':>10}")
    for name, pairs in figures.items():
        cpu, wall = (statistics.median(pair[k] for pair in pairs) for k in (0, 1))
        print(f"{name:38}{cpu:9.0f}{wall:10.0f}")
    await client.close()


def one_round(client: Client, step: Step) -> dict[str, tuple[float, float]]:
    """Each figure once."""
    lanes, now_ns, peer = step.lanes.state, step.now_ns(), client.peer.fileno()
    found = {"order: lane_send, all of it": timed(lambda: sends(lanes, step.orders, COUNT, now_ns), COUNT)}
    while not_empty(step):
        flush_tail(lanes, 0)
    size = int(step.lanes.word(0, at.BYTES_OUT) // step.lanes.word(0, at.MESSAGES_OUT))
    found["  encode"] = timed(lambda: only_encode(lanes, step.orders, COUNT, now_ns), COUNT)
    found["  send of as many bytes"] = timed(lambda: only_send(lanes, size, COUNT), COUNT)
    stream, ends = np.zeros(COUNT * 768 + 64, np.uint8), np.zeros(COUNT, np.int64)
    encode_executions(
        client.far.link.state, client.symbols.state, reports(COUNT), 0, COUNT, client.far.seq, now_ns, stream, ends
    )
    found["report: system calls alone"] = timed(lambda: only_calls(lanes, peer, stream, ends, BATCH), COUNT)
    found["report: with all else"] = timed(
        lambda: receives(lanes, peer, stream, ends, BATCH, step.got, now_ns), COUNT
    )  # fmt: skip
    client.far.seq += COUNT
    # Last: these use numbers that are not sent.
    found["order: all but the send"] = timed(lambda: all_but_send(lanes, step.orders, COUNT, now_ns), COUNT)
    found["  store"] = timed(lambda: only_store(lanes, size, COUNT, now_ns), COUNT)
    found["  CRC-32 of the entry"] = timed(lambda: only_crc(lanes, size, COUNT), COUNT)
    return found


def not_empty(step: Step) -> bool:
    """Whether bytes are unsent."""
    return step.lanes.word(0, at.TAIL_END) > 0


def drain(peer: socket.socket) -> None:
    """Read for ever."""
    with peer:
        while peer.recv(1 << 20):
            pass


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(measure(Path(name)))
