"""Our acceptor and the reference engine, given the same scripts: what they say must be the same."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path

from tests.conformance.catalogue import catalogue
from tests.conformance.definition import Action, Definition, read_definition
from tests.conformance.histories import histories
from tests.conformance.known import known
from tests.conformance.player import Patience, record_together
from tests.conformance.reference import dictionaries
from tests.conformance.scripts import own_scripts, script
from tests.conformance.situations import situations
from tests.conformance.transform import readings
from tests.conformance.versions import VERSIONS, Session

#: What one says and the other does not is waited for this long: on a busy machine it may only be late.
_LAG_S = 20.0
#: An answer that neither gives for this long is none; too short a wait only sends the next message earlier.
QUICK = Patience(answer_s=0.15, end_s=15.0, silence_s=0.2, lag_s=_LAG_S)
#: Scripts about heartbeats of 6 s.
SLOW = Patience(answer_s=20.0, end_s=12.0, silence_s=1.0, lag_s=_LAG_S)
#: Hundreds of messages at once.
LONG = Patience(answer_s=5.0, end_s=60.0, silence_s=0.2, lag_s=_LAG_S)
_SLOW_NAMES = ("4a_", "6_")
_LONG_NAMES = re.compile("/(catalogue|fields|bytes|sessions)_")


@dataclass(frozen=True)
class Extent:
    """How much is compared beyond the scripts."""

    #: Random conversations of each version.
    histories: int = 40
    #: Every value of every field in every message type, not only in those that are echoed: 300,000 messages.
    thorough: bool = False
    #: Conversations of each kind of situations, from seed ``first`` on.
    situations: int = 3
    first: int = 0


@dataclass(frozen=True)
class Comparison:
    """One script and what both said."""

    name: str
    ours: tuple[str, ...]
    reference: tuple[str, ...]
    #: Messages that the script sends.
    sent: int = 0

    @property
    def equal(self) -> bool:
        """Whether they said the same."""
        return self.ours == self.reference

    def report(self, most: int = 8) -> str:
        """The first lines that differ."""
        lines = [f"{self.name}:"]
        for ours, reference in zip_longest(self.ours, self.reference, fillvalue="(nothing)"):
            if ours != reference:
                lines += [f"  ours      {ours}", f"  reference {reference}"]
                if len(lines) > 2 * most:
                    break
        return "\n".join(lines)


def is_slow(name: str) -> bool:
    """Whether a script lives on heartbeats."""
    return name.rpartition("/")[2].startswith(_SLOW_NAMES)


def patience_for(name: str) -> Patience:
    """How long to wait in a script."""
    if is_slow(name):
        return SLOW
    return LONG if _LONG_NAMES.search(name) else QUICK


def scripts_for(session: Session, definitions: Iterable[Path], extent: Extent) -> Iterator[Definition]:
    """Everything that is played for one version, but the catalogue."""
    for path in sorted(definitions):
        yield from readings(read_definition(path), session)
    for name, text in own_scripts().items():
        yield script(name, text, session)
    yield from histories(session, extent.histories)
    yield from situations(dictionaries(), session, extent.situations, extent.first)


def catalogue_for(session: Session, extent: Extent) -> Iterator[Definition]:
    """The catalogue of one version; nothing where the reference's dictionaries are absent."""
    directory = dictionaries()
    if directory is not None:
        yield from catalogue(directory, session, thorough=extent.thorough)


async def compare(definition: Definition, ours: int, reference: int, patience: Patience) -> Comparison:
    """Play one script against both ports at the same time, step by step.

    Where they are known to differ, who says less is not waited for.
    """
    times: dict[int, datetime] = {}  # who comes first to a line says what time it is there

    def clock(line: int) -> datetime:
        return times.setdefault(line, datetime.now(UTC))

    if known(definition.name):
        patience = replace(patience, lag_s=0.0)
    addresses = [("127.0.0.1", port) for port in (ours, reference)]
    said = [
        (f"failed: {trace!r}",) if isinstance(trace, OSError) else tuple(trace.lines())
        for trace in await record_together(definition, addresses, patience, clock)
    ]
    sent = sum(step.action is Action.SEND for step in definition.steps)
    return Comparison(definition.name, said[0], said[1], sent)


async def compare_version(
    session: Session, definitions: Iterable[Path], ports: Sequence[tuple[int, int]], extent: Extent
) -> list[Comparison]:
    """All scripts of one version, slow ones first; each pair of ports plays one script at a time."""
    every = [*scripts_for(session, definitions, extent), *catalogue_for(session, extent)]
    every.sort(key=lambda definition: not is_slow(definition.name))
    waiting = iter(every)

    async def lane(ours: int, reference: int) -> list[Comparison]:
        return [await compare(one, ours, reference, patience_for(one.name)) for one in waiting]

    done = await asyncio.gather(*(lane(ours, reference) for ours, reference in ports))
    return [comparison for part in done for comparison in part]


async def compare_versions(
    definitions: Iterable[Path], ports: Sequence[tuple[int, int]], extent: Extent
) -> dict[str, Comparison]:
    """Every version at once: they are different sessions of the same acceptors."""
    paths = list(definitions)
    done = await asyncio.gather(*(compare_version(session, paths, ports, extent) for session in VERSIONS.values()))
    return {comparison.name: comparison for part in done for comparison in part}
