"""A real kill of a real client process: what it printed, over all its lives, is every report."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from fix.endpoints import CodecHotPath, FixSession, Initiator
from fix.session import State
from fix.store import MessageStore
from fix.testing import initiator_settings
from market import records
from tests.fix.endpoints.world import FAST, Recorder, World, reports, symbols

ROOT = Path(__file__).resolve().parents[3]

CLIENT_PROCESS = """
import asyncio, sys
import numpy as np
from fix.endpoints import CodecHotPath, FixSession, Initiator, Reconnect
from fix.store import MessageStore
from fix.testing import initiator_settings
from market import records

class Handler:
    def on_frames(self, session, frames, count):
        for number in records.as_layout(frames, records.EXECUTION)["exec_id"][:count].tolist():
            print(number, flush=True)
    def on_message(self, *arguments): ...
    def on_state(self, *arguments): ...

async def main():
    settings = initiator_settings()
    from fix.codec import SymbolTable
    table = SymbolTable(8)
    table.add("GOOG151224C00750000", 3, 2, 100)
    hot = CodecHotPath.for_session(settings, table, 1)
    session = FixSession(settings, MessageStore(sys.argv[1]), Handler(), hot)
    Initiator(session, "127.0.0.1", int(sys.argv[2]), Reconnect(first_s=0.01)).start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_client_killed_by_sigkill_misses_no_report(venue_only: World, tmp_path: Path) -> None:
    """Three lives of a real process; what it printed, over all of them, is every report."""
    seen: set[int] = set()
    next_id = 1
    for _ in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CLIENT_PROCESS,
            str(tmp_path / "killed"),
            str(venue_only.port),
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        async with asyncio.timeout(120):
            await venue_only.venue.wait_state(State.LOGGED_ON)
            target = next_id + 400
            while next_id < target:
                venue_only.venue.send_executions(reports(10, next_id), 10, app_ref=next_id + 9)
                next_id += 10
                await asyncio.sleep(0)
            for _ in range(150):
                seen.add(int(await child.stdout.readline()))
            child.send_signal(signal.SIGKILL)
            seen.update(int(line) for line in (await child.stdout.read()).split())
            await child.wait()
            await venue_only.venue.wait_state(State.DISCONNECTED)
    await finish(venue_only, tmp_path / "killed", seen, next_id)


async def finish(world: World, directory: Path, seen: set[int], next_id: int) -> None:
    """A last life, left to read to the end."""
    settings = initiator_settings()
    handler = Recorder()
    session = FixSession(settings, MessageStore(directory), handler, CodecHotPath.for_session(settings, symbols(), 1))
    initiator = Initiator(session, "127.0.0.1", world.port, FAST)
    initiator.start()
    await handler.until(lambda: session.next_in == world.venue.next_out and session.steady)
    if handler.frames:
        seen.update(handler.rows(records.EXECUTION)["exec_id"].tolist())
    assert seen == set(range(1, next_id))
    await initiator.stop()
    session.store.release()
