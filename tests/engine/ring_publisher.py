"""A publisher in a process of its own: ``python -m tests.engine.ring_publisher PATH SLOTS BOOKS SILENCE_MS``.

It beats from a thread while it lives. Commands on stdin, each answered by one line: ``burst COUNT BID``
publishes COUNT quotes over all books in turn (numbers go on, the price is BID + the book's number),
``mute`` stops the heartbeat, ``end`` ends the ring in order.
"""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from market.enums import FrameKind, TradingStatus
from market.jit import kernel
from market.records import QUOTE, as_layout, frames
from market.rings import BroadcastRing, ring_publish


@kernel
def burst(words: Any, rows: Any, cells: Any, first: int, count: int, books: int, bid: int) -> None:
    """Publish ``count`` quotes, book after book, from number ``first`` on."""
    for n in range(first, first + count):
        row = rows[0]
        row.instrument = n % books
        row.src_seq = np.uint64(n // books + 1)
        row.ts_ns = n
        row.bid_ticks = bid + n % books
        row.ask_ticks = bid + n % books + 2
        ring_publish(words, cells, 0)


def main() -> None:
    """Serve stdin."""
    path, slots, books, silence_ms = Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5])
    ring = BroadcastRing.create(path, slots, books, silence_ms * 1_000_000)
    raw = frames(1)
    rows, cells = as_layout(raw, QUOTE), raw.view(np.int64)
    rows[0]["kind"], rows[0]["status"] = FrameKind.QUOTE, TradingStatus.OPEN
    rows[0]["bid_qty"] = rows[0]["ask_qty"] = 10
    burst(ring.words, rows, cells, 0, 0, books, 0)
    muted = threading.Event()

    def live() -> None:
        while not muted.wait(0.005):
            ring.beat(time.time_ns(), 0)

    threading.Thread(target=live, daemon=True).start()
    print("ready", flush=True)
    done = 0
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "burst":
            count, bid = (int(word) for word in words)
            burst(ring.words, rows, cells, done, count, books, bid)
            done += count
            ring.wake_readers()
        elif verb == "mute":
            muted.set()
        elif verb == "end":
            muted.set()
            ring.end()
        print(verb, flush=True)


if __name__ == "__main__":
    main()
