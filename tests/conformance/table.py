"""The conformance table of the documentation, generated from a run."""

import re
from collections.abc import Callable

from tests.conformance.campaign import Results
from tests.conformance.known import KNOWN, known
from tests.conformance.versions import VERSIONS

#: What a definition's number says it is about.
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Logon, identity", ("1", "AlreadyLoggedOn")),
    ("Sequence numbers, garbled messages, identity in a session", ("2", "3")),
    ("Heartbeat, TestRequest", ("4", "6")),
    ("Reject received, resend, gap fill, reset", ("7", "8_", "10", "11", "SessionReset", "RejectResent")),
    ("Logout", ("13",)),
    ("Fields: validation against the dictionary, order, groups", ("14", "15", "21", "ReverseRoute")),
    ("PossResend, simultaneous resends", ("19", "20_")),
)
_HEADER = """# FIX conformance

Generated from a run by `python -m tests.conformance.run --table docs/fix-conformance.md`; do not edit.

"""


def group_of(name: str) -> str:
    """Rule group of a definition; the longest matching beginning decides."""
    base = name.rpartition("/")[2]
    matches = [(len(start), group) for group, starts in _GROUPS for start in starts if base.startswith(start)]
    return max(matches)[1] if matches else "Other"


def _counts(names: dict[str, bool], key: Callable[[str], str]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for name, good in names.items():
        passed, total = counts.get(key(name), (0, 0))
        counts[key(name)] = (passed + good, total + 1)
    return counts


def _definitions(results: Results) -> list[str]:
    lines = ["## Public acceptance definitions", "", "| folder | rules | passed |", "|---|---|---|"]
    folders = sorted({name.partition("/")[0] for name in results.definitions})
    for folder in folders:
        own = {name: not fault for name, fault in results.definitions.items() if name.startswith(f"{folder}/")}
        for group, (passed, total) in sorted(_counts(own, group_of).items()):
            lines.append(f"| {folder} | {group} | {passed} of {total} |")
        lines.append(f"| {folder} | **all** | **{sum(own.values())} of {len(own)}** |")
    return lines


def _versions(results: Results) -> list[str]:
    lines = [
        "## Against the reference engine",
        "",
        "The same scripts to both acceptors; what they say is compared to the byte but for times: the definitions",
        "rewritten for each version, scripts of our own, random conversations and situations (faults in fields and in",
        "bytes, long sessions, ways to end), a catalogue of messages of every type.",
        "",
        "| session | definitions, rewritten | own scripts | random histories | situations | catalogue "
        "| on purpose different |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, session in VERSIONS.items():
        own = [found for found in results.comparisons.values() if found.name.startswith(f"{name}/")]
        cells = []
        for kind in ("definition", "script", "history", "situation", "catalogue"):
            some = [found for found in own if _kind(found.name) == kind and not (known(found.name) and not found.equal)]
            cells.append(f"{sum(found.equal for found in some)} of {len(some)}")
        different = sum(1 for found in own if not found.equal and known(found.name))
        label = f"{session.begin_string} {session.target}"
        lines.append(f"| {label} | {' | '.join(cells)} | {different} |")
    return lines


def _kind(name: str) -> str:
    base = name.rpartition("/")[2]
    for kind in ("catalogue", "history"):
        if base.startswith(f"{kind}_"):
            return kind
    if re.fullmatch(r"(fields|bytes|sessions|endings)_\d{5}", base):
        return "situation"
    return "definition" if base[0].isdigit() or base[0].isupper() else "script"


def _differences(results: Results) -> list[str]:
    lines = ["## Different on purpose", "", "| script | why |", "|---|---|"]
    seen = {found.name for found in results.comparisons.values() if not found.equal}
    for name, reason in KNOWN.items():
        if any(one == name or one.rpartition("/")[2] == name for one in seen):
            lines.append(f"| {name} | {reason} |")
    return lines


def conformance_table(results: Results) -> str:
    """The page."""
    parts = [_definitions(results), _versions(results), _differences(results)]
    return _HEADER + "\n\n".join("\n".join(part) for part in parts) + "\n"
