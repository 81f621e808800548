"""The page ``docs/fix-reference.md``: what a FIX session may say and why, from the tables in the code."""

from collections.abc import Iterable, Iterator
from enum import IntEnum

import fix.errors
from fix.dictionary import reject_catalogue
from fix.session import events as session_events
from fix.session.logon import LogonFault
from fix.session.states import TRANSITIONS
from fix.session.versions import BEGIN_STRINGS, rules
from simulator.matching.reasons import REASON_TEXT, CxlRejReason, OrdRejReason


def fix_page() -> str:
    """The whole page."""
    parts = [
        "# FIX reference: versions, states, events, rejects",
        _section("Versions", "What differs at session level.", _versions()),
        _section("Session states", "What may follow what; anything else is an error of ours.", _states()),
        _section("Logon faults", "Why the first message of a connection closes it.", _logon_faults()),
        _section("Rejects that we send", "By Text(58); the code stands in the tag named.", _rejects()),
        _section(
            "Order rejects of the simulated venues", "ExecutionReport with OrdStatus=8: OrdRejReason(103).",
            _reasons(OrdRejReason),
        ),
        _section(
            "Cancel rejects of the simulated venues", "OrderCancelReject: CxlRejReason(102).", _reasons(CxlRejReason)
        ),
        _section("Session events", "What a session tells the application; the daemon logs each.", _events()),
        _section("Errors", "What the packages of `fix` raise, and what it means.", _errors()),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _section(title: str, intro: str, table: Iterable[str]) -> str:
    return "\n".join([f"## {title}", "", intro, "", *table])


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |"


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _versions() -> Iterator[str]:
    def row(name: str) -> tuple[object, ...]:
        at = rules(name)
        yes = ("no", "yes")
        return (
            f"`{name}`", at.precision.name.lower(), at.all_messages, yes[at.reject_reasons], yes[at.business_reject],
            yes[at.reset_flag], yes[at.last_processed], yes[at.next_expected], yes[at.appl_ver_id],
        )  # fmt: skip

    heads = ("BeginString", "stamps", "EndSeqNo for all", "373 in Reject", "35=j", "141", "369", "789", "1137")
    return _table(heads, (row(name) for name in BEGIN_STRINGS))


def _states() -> Iterator[str]:
    rows = ((before.value, signal.value, after.value) for (before, signal), after in TRANSITIONS.items())
    return _table(("state", "what happens", "next state"), rows)


def _logon_faults() -> Iterator[str]:
    rows = (
        (f"`{fault.name}`", fault.value, "nothing" if fault.silent else "Logout with the text") for fault in LogonFault
    )
    return _table(("fault", "text", "answer"), rows)


def _rejects() -> Iterator[str]:
    rows = ((row.message, f"{row.tag}={row.code}", row.text, row.when) for row in reject_catalogue())
    return _table(("message", "code", "text", "when"), rows)


def _reasons(kind: type[IntEnum]) -> Iterator[str]:
    return _table(("code", "reason", "text"), ((int(r), f"`{r.name}`", REASON_TEXT.get(int(r), "")) for r in kind))


def _events() -> Iterator[str]:
    base = session_events.SessionEvent
    kinds = [kind for kind in vars(session_events).values() if isinstance(kind, type) and issubclass(kind, base)]
    rows = (
        (f"`{kind.__name__}`", ", ".join(kind.__struct_fields__), _first_line(kind))
        for kind in kinds
        if kind is not base
    )
    return _table(("event", "fields", "meaning"), rows)


def _errors() -> Iterator[str]:
    kinds = [kind for kind in vars(fix.errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return _table(("error", "meaning"), ((f"`{kind.__name__}`", _first_line(kind)) for kind in kinds))
