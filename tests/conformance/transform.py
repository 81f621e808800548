"""FIX.4.4 definitions rewritten as scripts for another version.

What such a script expects is known only to the reference engine, so an ``E`` line of it means no
more than *something is said here*. Two readings of each script are played: the fields as they
stand, which sends an older version tags it does not know, and the fields that the version has.
"""

import re
from collections.abc import Iterator

from tests.conformance.definition import SOH, Action, Definition, Step
from tests.conformance.versions import Session

_OLD = ("FIX.4.0", "FIX.4.1")


def _set_field(body: bytes, tag: bytes, value: bytes) -> bytes:
    """``body`` with ``tag`` at the end, unless it is there."""
    if re.search(rb"(^|\x01)" + tag + rb"=", body):
        return body
    return body + tag + b"=" + value + SOH


def _drop_field(body: bytes, tag: bytes) -> bytes:
    return re.sub(rb"\x01" + tag + rb"=[^\x01]*(?=\x01)", b"", body)


def _begin_string(value: bytes, session: Session) -> bytes:
    own = session.begin_string.encode()
    if value == b"FIX.4.4":
        return own
    if value == own:  # wrong on purpose, and right by accident
        return b"FIX.4.4" if own != b"FIX.4.4" else b"FIX.4.3"
    return value


def with_identity(body: bytes, session: Session) -> bytes:
    """The session's BeginString and CompID, the ApplVerID that a FIXT Logon names, the end of a resend without end."""
    body = re.sub(
        rb"(?<![0-9])8=(FIX[^\x01]*)", lambda match: b"8=" + _begin_string(match.group(1), session), body, count=1
    )
    body = re.sub(rb"(?<=\x01)49=TW44\x01", b"49=" + session.target.encode() + SOH, body)
    if session.begin_string in _OLD and b"\x0135=2\x01" in body:  # what "all" is called
        body = body.replace(b"\x0116=0\x01", b"\x0116=999999\x01")
    if session.default_appl_ver_id and b"\x0135=A\x01" in body:
        body = _set_field(body, b"1137", session.default_appl_ver_id.encode())
    return body


def _replace_field(body: bytes, tag: bytes, value: bytes) -> bytes:
    return re.sub(rb"(?<=\x01)" + tag + rb"=[^\x01]*(?=\x01)", tag + b"=" + value, body)


def with_fields_of(body: bytes, session: Session) -> bytes:
    """Orders and reports with what the version requires, without what it does not know."""
    old = session.begin_string in _OLD
    if b"\x0135=D\x01" in body and old and b"\x019=" not in body and b"\x0110=" not in body:
        if session.begin_string == "FIX.4.0":  # quantities were integers
            body = body.replace(b"\x0138=002000.00\x01", b"\x0138=2000\x01")
            body = body.replace(b"\x0138=200.00\x01", b"\x0138=200\x01")
        return _set_field(_drop_field(body, b"60"), b"38", b"100")
    if b"\x0135=8\x01" in body:
        if session.begin_string in (*_OLD, "FIX.4.2"):
            for tag, value in ((b"20", b"0"), (b"38", b"100"), (b"31", b"0"), (b"32", b"0")):
                body = _set_field(body, tag, value)
        if session.begin_string == "FIX.4.0":
            body = _replace_field(_drop_field(_drop_field(body, b"150"), b"151"), b"17", b"1")
    if b"\x0135=d\x01" in body and session.begin_string == "FIX.4.2":
        body = _drop_field(_drop_field(body, b"454"), b"323") + b"323=4\x01393=0\x01146=0\x01"
    return body


def transformed(definition: Definition, session: Session, *, fields: bool) -> Definition:
    """``definition`` for ``session``; with ``fields`` the messages carry what its version has."""
    changed = []
    for step in definition.steps:
        body = step.body
        if step.action is Action.SEND:
            body = with_identity(body, session)
            body = with_fields_of(body, session) if fields else body
        elif step.action is Action.EXPECT:
            body = b""
        changed.append(Step(step.action, step.connection, body, step.line))
    suffix = "" if fields else "~as-it-stands"
    return Definition(f"{session.name}/{definition.name}{suffix}", tuple(changed))


def readings(definition: Definition, session: Session) -> Iterator[Definition]:
    """Both readings, where they differ."""
    adapted = transformed(definition, session, fields=True)
    yield adapted
    plain = transformed(definition, session, fields=False)
    if plain.steps != adapted.steps:
        yield plain
