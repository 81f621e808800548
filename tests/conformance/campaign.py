"""One run of everything: definitions against our acceptor, and every version against the reference engine.

All of it waits for sockets and timers most of the time, so it is played at once: definitions on a
number of ports of one acceptor process, versions beside each other. The slowest script alone
(two TestRequests with heartbeats of 6 s) takes 35 s.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.definition import Definition, DefinitionError, read_definition
from tests.conformance.differential import Comparison, Extent, compare_versions, is_slow
from tests.conformance.player import ConnectionEnded, Mismatch, play
from tests.conformance.servers import OURS, REFERENCE, ROOT, free_port, serving

#: How many definitions are played at once.
PORTS = 8
_REFERENCES = 3


def definitions_root() -> Path:
    """Folder of the folders of definitions: ``AXIOM_FIX_ACCEPTANCE``, else beside the checkout."""
    return Path(os.environ.get("AXIOM_FIX_ACCEPTANCE", ROOT.parent / "shared" / "fix-acceptance"))


def definition_files(root: Path | None = None) -> dict[str, Path]:
    """``folder/name`` -> file, of every folder that is there."""
    files = sorted((root or definitions_root()).glob("*/*.def"))
    return {f"{file.parent.name}/{file.stem}": file for file in files}


@dataclass
class Results:
    """What a campaign found."""

    #: ``folder/name`` -> fault, empty when the definition held.
    definitions: dict[str, str] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)


async def judge(definition: Definition, host: str, port: int) -> str:
    """Play one definition; the fault, or nothing."""
    try:
        await play(definition, host, port)
    except (Mismatch, ConnectionEnded, OSError, KeyError) as error:
        return str(error) or repr(error)
    return ""


async def play_files(files: dict[str, Path], host: str, ports: Sequence[int]) -> dict[str, str]:
    """Play every file, slow ones first, one at a time on each port."""
    faults: dict[str, str] = {}
    waiting = iter(sorted(files.items(), key=lambda item: not is_slow(item[0])))

    async def lane(port: int) -> None:
        for name, file in waiting:
            try:
                faults[name] = await judge(read_definition(file), host, port)
            except DefinitionError as error:
                faults[name] = str(error)

    await asyncio.gather(*(lane(port) for port in ports))
    return faults


async def run_definitions(files: dict[str, Path]) -> dict[str, str]:
    """Play ``files`` against a fresh acceptor of ours."""
    async with serving(OURS, [0] * min(PORTS, len(files))) as server:
        return await play_files(files, server.host, server.ports)


async def run_differential(files: Iterable[Path], extent: Extent) -> dict[str, Comparison]:
    """Play every version against fresh acceptors of both kinds."""
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(serving(OURS, [0] * _REFERENCES))]
        starting += [stack.enter_async_context(serving(REFERENCE, [free_port()])) for _ in range(_REFERENCES)]
        ours, *references = await asyncio.gather(*starting)
        pairs = [(port, reference.ports[0]) for port, reference in zip(ours.ports, references, strict=True)]
        return await compare_versions(files, pairs, extent)


async def run(definitions: dict[str, Path], compared: Iterable[Path] | None, extent: Extent | None = None) -> Results:
    """Play ``definitions``; compare both engines over ``compared``, the FIX.4.4 definitions (None: do not)."""
    results = Results()

    async def play_all() -> None:
        # On a loop of its own: making and comparing thousands of messages must not hold up a heartbeat that is due.
        if definitions:
            results.definitions = await asyncio.to_thread(asyncio.run, run_definitions(definitions))

    async def compare_all() -> None:
        if compared is not None:
            results.comparisons = await run_differential(compared, extent or Extent())

    await asyncio.gather(play_all(), compare_all())
    return results


def of_fix44(files: dict[str, Path]) -> list[Path]:
    """The definitions that other versions' scripts are made of."""
    return [file for name, file in files.items() if name.startswith("fix44/")]
