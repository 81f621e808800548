"""The acceptors under test as processes of their own: ours, and the reference engine."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port as free_port

ROOT = Path(__file__).resolve().parents[2]
OURS = "fix.acceptance"
REFERENCE = "tests.conformance.reference"
_START_S = 60.0
_STOP_S = 20.0
_LISTENING = re.compile(r"listening on (.+):(\d+)")


@dataclass
class Server:
    """A running acceptor."""

    host: str
    ports: list[int]
    process: asyncio.subprocess.Process


@asynccontextmanager
async def serving(module: str, ports: Sequence[int]) -> AsyncIterator[Server]:
    """Run ``python -m module --port P ...`` until the end of the block; its stderr is shown when it dies."""
    arguments = [part for port in ports for part in ("--port", str(port))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    found: list[int] = []
    try:
        async with asyncio.timeout(_START_S):
            while len(found) < len(ports):
                line = (await process.stdout.readline()).decode()
                match = _LISTENING.search(line)
                if match is None:
                    raise RuntimeError(f"{module} did not start: {line!r}")
                found.append(int(match.group(2)))
        yield Server("127.0.0.1", found, process)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(_STOP_S):
            await process.wait()
