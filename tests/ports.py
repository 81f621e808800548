"""TCP ports for servers of tests: not those that the kernel gives to outgoing connections.

A port that ``bind(0)`` names is of the same range as the local ends of connections: between the look and the
server's start, and while a server is being restarted, a connection of any process may take it; a client that
dials it meanwhile may even be connected to itself.
"""

import random
import socket
from contextlib import ExitStack
from pathlib import Path

_LOWEST = 20_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_CHOICE = random.SystemRandom()  # a seeded one would lead two runs at once to the same ports


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until the last is found, so that they differ."""
    below = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 0
    if below <= _LOWEST + 1_000:
        below = 1 << 15
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", _CHOICE.randrange(_LOWEST, below)))
            except OSError:
                continue
            found.append(int(probe.getsockname()[1]))
    return found


def free_port() -> int:
    """One port that nobody listens on."""
    return free_ports(1)[0]
