"""Carriers of market data frames: one-way latency between two processes, in one run.

    python -m benchmarks.transport [--frames 20000] [--every-us 100] [--rows ring,ipc,udp,bridge]

A sender process stamps each frame with the monotonic clock (the processes of one machine share it) and
publishes it, one every ``--every-us`` microseconds; the receiver polls without pause and takes the clock
when it has the frame in hand. All rows send from Python through the same interface. How they receive:

    ring     the shared-memory ring, polled by a kernel, as the step does
    ring-py  the same ring, polled from Python through ``Subscriber.poll``
    ipc      Aeron IPC (pyaeron, embedded media driver in the receiver, one shared driver thread)
    udp      Aeron UDP over the loopback, a driver in each process
    bridge   Aeron UDP into a thread that copies to a local ring, polled by a kernel: what a daemon does

Aeron rows need the extra ``aeron``; without it they are left out, and said so. The load of the machine is
printed, because spinning processes and driver threads share its cores: on fewer cores than threads the
percentiles of the Aeron rows are those of the scheduler. Beside the percentiles of all frames stands
therefore ``quiet p50``: frames in runs of ten, the twentieth of the runs whose slowest frame was fastest,
their median. It is a selection, the same for all rows: what the carrier takes when nobody is in its way.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from market.atomics import clock_ns, cpu_pause
from market.enums import FrameKind
from market.jit import kernel
from market.records import FRAME_BYTES
from market.rings import BroadcastRing, ring_read
from market.transport.aeron import backend
from market.transport.bridge import Bridge
from market.transport.choose import open_publisher, open_subscriber

ROWS = ("ring", "ring-py", "ipc", "udp", "bridge")
STAMP = 10  # word of the frame that carries the sender's clock
NUMBER = 11
RUN = 10
WARM = 500  # frames that are not counted: connections, caches, compilers
PATIENCE_S = 60.0


def send(address: str, frames: int, every_us: float) -> None:
    """The sender process: ready, a line from the parent, then frames."""
    publisher = open_publisher(address, books=16, silence_ns=10**10)
    cells = np.zeros((1, FRAME_BYTES // 8), np.int64)
    cells[0, 0] = FrameKind.QUOTE
    print("ready", flush=True)
    sys.stdin.readline()
    while publisher.publish(cells, 1) == 0:  # nobody hears us yet; NUMBER is 0
        time.sleep(0.001)
    due = time.monotonic_ns()
    for number in range(1, frames + 1):
        due += int(every_us * 1000)
        while (now := time.monotonic_ns()) < due:
            pass
        due = max(due, now - 1_000_000)  # a stall is not made up for by a burst
        cells[0, NUMBER] = number
        cells[0, STAMP] = time.monotonic_ns()
        publisher.publish(cells, 1)
    print("sent", flush=True)
    sys.stdin.readline()
    publisher.close()


@kernel
def watch(words: Any, cursor: int, out: Any, took: Any, last: int, deadline_ns: int) -> int:
    """Spin on a ring until frame ``last`` came; ``took[n]`` becomes the latency of number n. Returns those seen."""
    seen = 0
    while clock_ns(1) < deadline_ns:
        got = ring_read(words, cursor, out, 0)
        if got == 0:
            cpu_pause()
            continue
        if got < 0:
            return -1
        cursor += 1
        number = out[0, NUMBER]
        if number > 0:
            took[number] = clock_ns(1) - out[0, STAMP]
            seen += 1
            if number == last:
                break
    return seen


@contextmanager
def sender(address: str, frames: int, every_us: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.transport", "--send", address, "--frames", str(frames)]
    process = subprocess.Popen(
        [*command, "--every-us", str(every_us)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", "the sender did not come up"
        yield process
        process.communicate("\n", timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def poll_all(subscriber: Any, took: Any, last: int) -> int:
    """Poll from Python until frame ``last`` came."""
    out = np.zeros((256, FRAME_BYTES // 8), np.int64)
    end = time.monotonic() + PATIENCE_S
    seen = 0
    while time.monotonic() < end:
        count = subscriber.poll(out)
        if count == 0:
            continue
        now = time.monotonic_ns()
        for row in range(count):
            number = out[row, NUMBER]
            if number > 0:
                took[number] = now - out[row, STAMP]
                seen += 1
        if out[count - 1, NUMBER] == last:
            break
    return seen


def watch_ring(ring: BroadcastRing, took: Any, last: int) -> int:
    """Poll by kernel until frame ``last`` came."""
    out = np.zeros((1, FRAME_BYTES // 8), np.int64)
    deadline = time.monotonic_ns() + int(PATIENCE_S * 1e9)
    return int(watch(ring.words, 0, out, took, last, deadline))


def _udp() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"aeron:udp?endpoint=127.0.0.1:{probe.getsockname()[1]}"


def by_ring(directory: Path, frames: int, every_us: float, took: Any) -> int:
    with sender(f"ring:{directory}/a.ring", frames, every_us) as process:
        ring = BroadcastRing.attach(directory / "a.ring")
        _go(process)
        seen = watch_ring(ring, took, frames)
        ring.close()
    return seen


def by_ring_from_python(directory: Path, frames: int, every_us: float, took: Any) -> int:
    with sender(f"ring:{directory}/b.ring", frames, every_us) as process:
        subscriber = open_subscriber(f"ring:{directory}/b.ring")
        _go(process)
        seen = poll_all(subscriber, took, frames)
        subscriber.close()
    return seen


def by_aeron(address: str) -> Callable[[Path, int, float, Any], int]:
    def run(directory: Path, frames: int, every_us: float, took: Any) -> int:
        where = address or f"aeron:ipc;dir={directory}/driver"
        subscriber = open_subscriber(where)
        with sender(where, frames, every_us) as process:
            _go(process)
            seen = poll_all(subscriber, took, frames)
        subscriber.close()
        return seen

    return run


def by_bridge(directory: Path, frames: int, every_us: float, took: Any) -> int:
    address = _udp()
    bridge = Bridge(open_subscriber(address), directory / "c.ring")
    bridge.start()
    with sender(address, frames, every_us) as process:
        _go(process)
        while bridge.ring is None:
            time.sleep(0.001)
        seen = watch_ring(bridge.ring, took, frames)
    bridge.stop()
    return seen


def quiet(counted: Any) -> float:
    """Median of the frames in the twentieth of the runs of ten whose slowest frame was fastest."""
    runs = counted[: len(counted) // RUN * RUN].reshape(-1, RUN)
    order = np.argsort(runs.max(axis=1))
    return float(np.median(runs[order[: max(1, len(runs) // 20)]]))


def measure(name: str, frames: int, every_us: float) -> str:
    """One row of the table."""
    run = {
        "ring": by_ring,
        "ring-py": by_ring_from_python,
        "ipc": by_aeron(""),
        "udp": by_aeron(_udp()),
        "bridge": by_bridge,
    }[name]
    took = np.zeros(frames + 1, np.int64)
    load = os.getloadavg()[0]
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        seen = run(Path(directory), frames, every_us, took)
    counted = took[WARM:][took[WARM:] > 0] / 1000
    if not len(counted):
        return f"| {name} | nothing arrived | | | | | {seen} of {frames} | {load:.2f} |"
    p50, p90, p99 = np.percentile(counted, [50, 90, 99])
    cells = f"{quiet(counted):.2f} | {p50:.2f} | {p90:.2f} | {p99:.1f} | {counted.max():.0f}"
    return f"| {name} | {cells} | {frames - seen} | {load:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--every-us", type=float, default=100.0)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--send", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send(options.send, options.frames, options.every_us)
        return
    if options.frames <= WARM:
        parser.error(f"--frames must be above {WARM}, was {options.frames}")
    wanted = [name for name in options.rows.split(",") if name]
    if unknown := [name for name in wanted if name not in ROWS]:
        parser.error(f"--rows: {unknown[0]!r} is not one of {', '.join(ROWS)}")
    found = backend()
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}, "
        f"Aeron by {found or 'nothing'}; {options.frames} frames of {FRAME_BYTES} bytes every {options.every_us:g} us"
    )
    columns = ("carrier", "quiet p50 us", "p50 us", "p90 us", "p99 us", "max us", "lost", "load before")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in wanted:
        if name in ("ipc", "udp", "bridge") and found != "pyaeron":
            print(f"| {name} | left out: no pyaeron here | | | | | | |")
            continue
        print(measure(name, options.frames, options.every_us), flush=True)


if __name__ == "__main__":
    main()
