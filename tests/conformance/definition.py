"""The language of acceptance definitions (``.def``): lines of a script, completion of messages, comparison.

A definition is the script of one or more clients of an acceptor. Each line is one step::

    iCONNECT  i2,CONNECT     open a connection (number 1 unless said)
    I8=FIX.4.4...            send a message; BodyLength and CheckSum are put in where they are not given
    E8=FIX.4.4...            the next message received must be this one
    eDISCONNECT              the next thing received must be the end of the connection
    iDISCONNECT              close the connection

Nothing here uses Axiom's own codec: an oracle that shares the code under test proves nothing.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

SOH = b"\x01"
_TIME = re.compile(rb"<TIME([+-]\d+)?>")
_CONNECTION = re.compile(rb"^[IEie]\d,")
_CHECKSUM_LAST = re.compile(rb"(?:^|\x01)(10=[^\x01]*\x01)$")

#: Values that vary from run to run are matched by form: CheckSum, and the four times.
_TIME_FORM = r"\d{8}-\d{2}:\d{2}:\d{2}"
FORMS = {10: r"\d{3}", 42: _TIME_FORM, 52: _TIME_FORM, 60: _TIME_FORM, 122: _TIME_FORM}


class DefinitionError(Exception):
    """A definition that cannot be read; names file, line and what is wrong."""


class Action(Enum):
    """What a line asks for."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    SEND = "send"
    EXPECT = "expect"
    EXPECT_DISCONNECT = "expect the end of the connection"


@dataclass(frozen=True)
class Step:
    """One line of a definition."""

    action: Action
    connection: int
    body: bytes
    line: int
    #: What is done to a message once it is complete; the same bytes in give the same bytes out.
    damage: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class Definition:
    """A whole script."""

    name: str
    steps: tuple[Step, ...]


_ACTIONS = {
    (b"i", b"CONNECT"): Action.CONNECT,
    (b"i", b"DISCONNECT"): Action.DISCONNECT,
    (b"e", b"DISCONNECT"): Action.EXPECT_DISCONNECT,
}


def steps(text: bytes, name: str = "") -> Iterator[Step]:
    """Steps of a script.

    Raises
    ------
    DefinitionError
        A line that is none of the five forms.
    """
    for number, line in enumerate(text.split(b"\n"), 1):
        line = line.rstrip(b"\r")
        if not line.strip() or line.startswith(b"#"):
            continue
        connection, body = 1, line[1:]
        if _CONNECTION.match(line):
            connection, body = int(line[1:2]), line[3:]
        kind = line[:1]
        if kind == b"I":
            yield Step(Action.SEND, connection, body, number)
        elif kind == b"E":
            yield Step(Action.EXPECT, connection, body, number)
        else:
            action = _ACTIONS.get((kind, body.strip()))
            if action is None:
                raise DefinitionError(f"{name}:{number}: not a step of a server definition: {line[:60]!r}")
            yield Step(action, connection, b"", number)


def read_definition(path: Path) -> Definition:
    """The script in ``path``."""
    return Definition(path.stem, tuple(steps(path.read_bytes(), path.name)))


def checksum(data: bytes) -> int:
    """CheckSum(10) of ``data``."""
    return sum(data) & 0xFF


def timed(body: bytes, now: datetime) -> bytes:
    """``<TIME>``, ``<TIME+n>`` and ``<TIME-n>`` replaced by UTC in whole seconds."""

    def stamp(match: re.Match[bytes]) -> bytes:
        moment = now + timedelta(seconds=int(match.group(1) or 0))
        return moment.strftime("%Y%m%d-%H:%M:%S").encode()

    return _TIME.sub(stamp, body)


def framed(body: bytes) -> bytes:
    """Put in BodyLength and CheckSum where they are not given; they may be wrong on purpose.

    What does not begin with BeginString is sent as it stands.
    """
    if not body.startswith(b"8=") or SOH not in body:
        return body
    head, _, rest = body.partition(SOH)
    head += SOH
    trailer = b""
    match = _CHECKSUM_LAST.search(rest)
    if match is not None:
        trailer = match.group(1)
        rest = rest[: match.start(1)]
    if not re.search(rb"(?:^|\x01)9=", rest):
        head += b"9=%d\x01" % len(rest)
    return head + rest + (trailer or b"10=%03d\x01" % checksum(head + rest))


def completed(body: bytes, now: datetime | None = None) -> bytes:
    """The bytes that a line stands for."""
    return framed(timed(body, now or datetime.now(UTC)))


def fields_of(raw: bytes) -> list[tuple[str, str]]:
    """(tag, value) as the definitions' language sees them: the value ends at a second ``=``."""
    parts = raw.decode("latin-1").split("\x01")
    while parts and not parts[-1]:
        parts.pop()
    fields = []
    for part in parts:
        pieces = part.split("=")
        fields.append((pieces[0], pieces[1] if len(pieces) > 1 else ""))
    return fields


def difference(expected: bytes, received: bytes) -> str:
    """What is not as expected, or nothing. BodyLength is compared to the letter, so it pins the length of times."""
    want, have = fields_of(expected), fields_of(received)
    if [tag for tag, _ in want] != [tag for tag, _ in have]:
        return f"fields {' '.join(tag for tag, _ in have)} instead of {' '.join(tag for tag, _ in want)}"
    for (tag, wanted), (_, value) in zip(want, have, strict=True):
        form = FORMS.get(int(tag)) if tag.isdigit() else None
        if form is not None:
            if not re.search(form, value):
                return f"tag {tag}: {value!r} is not of the form {form}"
        elif value != wanted:
            return f"tag {tag}: {value!r} instead of {wanted!r}"
    return ""


def shown(raw: bytes) -> str:
    """``raw`` for people: bars for the separators."""
    return raw.replace(SOH, b"|").decode("latin-1")
