"""A publisher in a process of its own: ``python -m tests.market.transport.aeron_sender ADDRESS``.

``send FIRST COUNT`` on stdin sends that many frames, again and again until somebody hears the first of
them; ``beat`` beats; ``end`` ends in order. One line answers each.
"""

import sys

import numpy as np

from market.enums import FrameKind
from market.transport.choose import open_publisher


def main() -> None:
    """Serve stdin."""
    publisher = open_publisher(sys.argv[1], books=10, silence_ns=1_000_000_000)
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "send":
            first, count = (int(word) for word in words)
            cells = np.zeros((count, 16), np.int64)
            cells[:, 0] = FrameKind.QUOTE
            cells[:, 4] = np.arange(first, first + count) % 10
            cells[:, 15] = np.arange(first, first + count)
            at = 0
            while at < count:
                at += publisher.publish(cells[at:], min(10, count - at))
        elif verb == "beat":
            publisher.beat(111, 222)
        elif verb == "end":
            publisher.close()
        print(verb, flush=True)


if __name__ == "__main__":
    main()
