"""Scripts of our own for what the public FIX.4.4 definitions do not touch: ``own/*.txt``, in a shorter notation.

=========================  ==========================================================================
``[name]``                 a script begins
``+``                      connect, log on, wait for the answer
``> 35=D|34=2|11=ID``      send: BeginString, CompIDs and SendingTime are put in unless given; ``-52`` leaves one out
``>> 8=...``               send these bytes (framed when they begin with ``8=``)
``* 35=D|11=ID``           send with the next number (from 2 on), wait for one message
``<``                      wait for one message
``<<``                     wait for the end of the connection
``- 5``                    log out with number 5 (the next one when not given), wait for the end
``? 35=A|...``             a connection with this first message, heard to its end
``connect`` ``close``      what they say
=========================  ==========================================================================

``{logon}`` is a Logon of the version, ``{order}`` what an order needs beyond ClOrdID, ``{appl}``
the session's ApplVerID, ``{all}`` the end of a resend without end.

Like the rewritten definitions these have no expectations of their own: the reference engine says
what is right.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

from tests.conformance.definition import Action, Definition, Step
from tests.conformance.versions import SENDER, Session

_DIRECTORY = Path(__file__).with_name("own")
_OLD = ("FIX.4.0", "FIX.4.1")


@cache
def own_scripts() -> dict[str, str]:
    """Name -> text of every script."""
    found: dict[str, str] = {}
    for file in sorted(_DIRECTORY.glob("*.txt")):
        for block in re.split(r"^\[", file.read_text(), flags=re.MULTILINE)[1:]:
            name, _, text = block.partition("]\n")
            found[name] = text
    return found


def script(name: str, text: str, session: Session) -> Definition:
    """The script for ``session``."""
    return Definition(f"{session.name}/{name}", tuple(_steps(text, session)))


def _logon(session: Session, extra: str = "") -> str:
    version = f"|1137={session.default_appl_ver_id}" if session.default_appl_ver_id else ""
    return f"35=A|34=1|98=0|108=30{version}{extra}"


def _order(session: Session) -> str:
    return "21=3|38=100|40=1|54=1|55=INTC" + ("" if session.begin_string in _OLD else "|60=<TIME>")


def _filled(line: str, session: Session) -> str:
    """``line`` with what depends on the version."""
    appl = session.default_appl_ver_id
    line = line.replace("{logon}", _logon(session)).replace("|1137={appl}", f"|1137={appl}" if appl else "")
    line = line.replace("{all}", "999999" if session.begin_string in _OLD else "0")
    line = line.replace("{order}", _order(session)).replace("{appl}", appl or "9")
    return line.replace("{begin}", session.begin_string).replace("{target}", session.target)


def _message(text: str, session: Session) -> bytes:
    fields = [field for field in text.split("|") if field]
    left_out = {field[1:] for field in fields if re.fullmatch(r"-\d+", field)}
    fields = [field for field in fields if not re.fullmatch(r"-\d+", field)]
    given = {field.partition("=")[0] for field in fields}
    own = {"49": session.target, "52": "<TIME>", "56": SENDER}
    head = [field for field in fields if field.partition("=")[0] in ("8", "9")]
    if "8" not in given:
        head.insert(0, f"8={session.begin_string}")
    rest = [field for field in fields if field.partition("=")[0] not in ("8", "9")]
    at = next((index + 1 for index, field in enumerate(rest) if field.startswith("34=")), 1)
    missing = [f"{tag}={value}" for tag, value in own.items() if tag not in given and tag not in left_out]
    return "".join(f"{field}\x01" for field in (*head, *rest[:at], *missing, *rest[at:])).encode("latin-1")


def _numbered(body: str, seq: int) -> str:
    msg_type, _, rest = body.partition("|")
    return f"{msg_type}|34={seq}|{rest}"


def _steps(text: str, session: Session) -> Iterator[Step]:
    numbers = count(2)
    for at, line in enumerate(text.strip().splitlines(), 1):
        word, _, rest = _filled(line.strip(), session).partition(" ")
        connect, wait, end = (
            Step(action, 1, b"", at) for action in (Action.CONNECT, Action.EXPECT, Action.EXPECT_DISCONNECT)
        )

        def send(body: str, line: int = at) -> Step:
            return Step(Action.SEND, 1, _message(body, session), line)

        match word:
            case "+":
                yield from (connect, send(_logon(session, rest)), wait)
            case "?":
                yield from (connect, send(rest), wait, send("35=5|34=2"), wait, end)
            case "*":
                yield from (send(_numbered(rest, next(numbers))), wait)
            case "-":
                yield from (send(f"35=5|34={rest or next(numbers)}"), wait, end)
            case ">":
                yield send(rest)
            case ">>":
                yield Step(Action.SEND, 1, rest.replace("|", "\x01").encode("latin-1"), at)
            case "<":
                yield wait
            case "<<":
                yield end
            case "connect":
                yield connect
            case "close":
                yield Step(Action.DISCONNECT, 1, b"", at)
            case _:
                raise ValueError(f"{session.name}, line {at}: not a line of a script: {line!r}")
