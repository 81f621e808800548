"""What must hold between keys; ranges of single keys stand in the schema."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from config.lines import KeyPath
from config.schema import AxiomConfig, VenueConfig
from config.sessionchecks import check_sessions
from market.errors import TransportError
from market.transport.address import parse_address

_WRITTEN_OUT = 1e15

Finding = tuple[KeyPath, str]

#: Dotted key of a table of numbers, then name to lowest and highest value.
Tables = Mapping[str, Mapping[str, tuple[float, float]]]


def nearest(word: str, known: list[str]) -> str | None:
    """The known word most like ``word``; None where nothing comes near."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return found[0] if found else None


def plain(value: float) -> str:
    """A number as people write it: no exponent on what they would write out."""
    return str(int(value)) if abs(value) < _WRITTEN_OUT and value == int(value) else f"{value:g}"


def check(config: AxiomConfig, tables: Tables | None = None) -> Iterator[Finding]:
    """Yield ``(key path, what is wrong)`` for each rule that ``config`` breaks."""
    yield from _unique("name", [entry.name for entry in config.sessions], ("sessions",))
    yield from _unique("name", [entry.name for entry in config.simulator.venues], ("simulator", "venues"))
    yield from _unique("port", [entry.port for entry in config.simulator.venues], ("simulator", "venues"))
    yield from check_sessions(config)
    yield from _venues(config.simulator.venues)
    yield from _streams(config)
    yield from _directories(config)
    yield from _named_numbers(config, tables or {})


def _unique(key: str, values: Sequence[object], path: KeyPath) -> Iterator[Finding]:
    for number, value in enumerate(values):
        first = values.index(value)
        if first != number:
            yield (*path, number, key), f"must be unique, but entry {first} has {value!r} as well"


def _venues(venues: Sequence[VenueConfig]) -> Iterator[Finding]:
    for number, venue in enumerate(venues):
        path: KeyPath = ("simulator", "venues", number)
        clients = [client.comp_id for client in venue.clients]
        yield from _unique("comp_id", clients, (*path, "clients"))
        yield from _unique("comp_id", [copy.comp_id for copy in venue.drop_copies], (*path, "drop_copies"))
        for place, copy in enumerate(venue.drop_copies):
            where: KeyPath = (*path, "drop_copies", place)
            if copy.comp_id in clients:
                yield (*where, "comp_id"), f"must differ from every client's, was {copy.comp_id!r}"
            unknown = [name for name in copy.clients if name not in clients]
            if unknown:
                there = ", ".join(clients) or "nobody"
                yield (*where, "clients"), f"must be clients of venue {venue.name} ({there}), was {unknown[0]!r}"
        if venue.ring_slots & (venue.ring_slots - 1):
            lower = 1 << (venue.ring_slots.bit_length() - 1)
            words = f"must be a power of two ({lower} or {lower * 2}), was {venue.ring_slots}"
            yield (*path, "ring_slots"), words
        if venue.aeron and (said := _wrong_address(venue.aeron)):
            yield (*path, "aeron"), said
    kinds = [venue.kind for venue in venues]
    if venues and kinds.count("equity") > 1:
        second = [number for number, kind in enumerate(kinds) if kind == "equity"][1]
        yield ("simulator", "venues", second, "kind"), "must not be equity twice: a market has one underlying"


def _wrong_address(text: str) -> str:
    """What is wrong with the address of an Aeron stream; empty: nothing."""
    try:
        scheme = parse_address(text).scheme
    except TransportError as error:
        return f"must be an Aeron stream: {error}"
    return "" if scheme == "aeron" else f"must begin with aeron:, was {text!r}"


def _streams(config: AxiomConfig) -> Iterator[Finding]:
    if config.engine.telemetry.startswith("aeron:") and (said := _wrong_address(config.engine.telemetry)):
        yield ("engine", "telemetry"), said
    for number, session in enumerate(config.sessions):
        if session.market_data.startswith("aeron:") and (said := _wrong_address(session.market_data)):
            yield ("sessions", number, "market_data"), said


def _directories(config: AxiomConfig) -> Iterator[Finding]:
    if config.state_dir == config.simulator_dir:
        yield ("simulator", "state_dir"), "must differ from engine.state_dir: each process keeps its own truth"
    for path, directory in (
        (("engine", "state_dir"), config.state_dir),
        (("simulator", "state_dir"), config.simulator_dir),
    ):
        blocker = _not_a_directory(directory)
        if blocker is not None:
            yield path, f"must be a directory, but {blocker} is a file"


def _not_a_directory(directory: Path) -> Path | None:
    for part in (directory, *directory.parents):
        if part.exists():
            return None if part.is_dir() else part
    return None


def _named_numbers(config: AxiomConfig, tables: Tables) -> Iterator[Finding]:
    for dotted, bounds in tables.items():
        path: KeyPath = tuple(dotted.split("."))
        chosen: Any = config
        for part in path:
            chosen = getattr(chosen, str(part))
        for name, value in chosen.items():
            if name not in bounds:
                guess = nearest(name, list(bounds))
                mend = f"did you mean {guess}?" if guess else f"known: {', '.join(sorted(bounds))}"
                yield (*path, name), f"is not a known name; {mend}"
                continue
            low, high = bounds[name]
            if not low <= value <= high:
                yield (*path, name), f"must be in {plain(low)}..{plain(high)}, was {plain(value)}"
