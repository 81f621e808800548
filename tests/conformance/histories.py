"""Random conversations of one session, for both engines: gaps, duplicates, fills, resets and faults in any order.

A seed gives one history, the same for every run. What is known to be answered differently
(``known.py``) is not said; nor is a gap closed by a fill, a reset or a refused message, or a second
one opened behind it: the reference then waits for numbers that will never come, ours asks again.
"""

import random
from collections.abc import Iterator

from tests.conformance.definition import Definition
from tests.conformance.scripts import script
from tests.conformance.versions import Session

_DUP = "43=Y|122=<TIME>"
_REFUSED = (
    "35=D|{seq}|11=|{order}",
    "35=D|{seq}|{order}",
    "35=*|{seq}",
    "35=1|{seq}",
    "35=0|{seq}|999=1",
    "35=0|{seq}|58=",
)


class _Peer:
    """What the other side has said so far, as well as it can know: the number expected of it and what is held."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.expected = 2
        self.held: set[int] = set()
        self.order = 0

    def taken(self, seq: int) -> None:
        """``seq`` was said and not refused for its number."""
        if seq > self.expected:
            self.held.add(seq)
        elif seq == self.expected:
            self.expected += 1
        while self.expected in self.held:
            self.held.discard(self.expected)
            self.expected += 1

    def number(self) -> tuple[int, str]:
        """A number to say, and the flags it needs: expected, beyond a gap, or a duplicate."""
        draw = self.random.random()
        if draw < 0.6:
            return self.expected, _DUP if self.held and self.random.random() < 0.5 else ""
        if draw < 0.85:
            return (max(self.held) + 1 if self.held else self.expected + self.random.randint(1, 4)), ""
        return self.random.randint(1, self.expected - 1), _DUP

    def line(self) -> str:
        """One message."""
        draw = self.random.random()
        if draw < 0.1 and not self.held:
            return self.reset()
        if draw < 0.2 and not self.held:
            seq = self.expected
            self.taken(seq)
            return f"35=2|34={seq}|7=1|16={self.random.choice(('{all}', '1', '2'))}"
        calm = not self.held
        seq, flags = self.number()
        shown = f"34={seq}" + (f"|{flags}" if flags else "")
        self.taken(seq)
        if draw < 0.4 and calm and not self.held:
            return self.random.choice(_REFUSED).replace("{seq}", shown)
        if draw < 0.6:
            return f"35=1|{shown}|112=T{seq}"
        if draw < 0.7:
            return f"35=0|{shown}"
        self.order += 1
        resend = "|97=Y" if self.random.random() < 0.15 else ""
        known = self.random.randint(1, self.order)
        return f"35=D|{shown}{resend}|11=O{known}|{{order}}"

    def reset(self) -> str:
        """A gap fill or a reset, upwards."""
        new = self.expected + self.random.randint(1, 4)
        if self.random.random() < 0.6:
            seq = self.expected
            self.expected = new
            return f"35=4|34={seq}|36={new}|123=Y"
        seq = self.random.choice((0, 1, self.expected))
        self.expected = new
        return f"35=4|34={seq}|36={new}"


def history(session: Session, seed: int, length: int = 25) -> Definition:
    """One random conversation, ended by a Logout with the number that should be expected."""
    peer = _Peer(f"{session.name}/{seed}")
    lines = ["+"]
    for _ in range(length):
        lines.append(f"> {peer.line()}")
    lines.append(f"- {peer.expected}")
    return script(f"history_{seed:03d}", "\n".join(lines), session)


def histories(session: Session, count: int) -> Iterator[Definition]:
    """``count`` of them."""
    return (history(session, seed) for seed in range(count))
