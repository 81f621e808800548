"""Venues' message stores reach the disk by themselves, and a disk that refuses ends the simulator."""

import asyncio
from contextlib import asynccontextmanager

from msgspec.structs import replace

from config.schema import DropCopyConfig
from fix.errors import StoreError
from simulator.flow import open_flow, settings_from_config
from simulator.process import EXIT_ERROR, EXIT_OK, SimulatorProcess
from simulator.venue.settings import venue_settings
from tests.simulator.test_venue_process import profile
from tests.simulator.venue_client import DEADLINE_S


class Watched:
    """A store as the group sees it; notes what it was asked and who asked."""

    written = (0, 0, 0)

    def __init__(self, error: StoreError | None = None) -> None:
        self.error = error
        self.rounds = 0

    def sync(self) -> None:
        self.rounds += 1
        if self.error is not None:
            raise self.error


@asynccontextmanager
async def running(directory):
    config = profile(directory)
    copy = (DropCopyConfig(comp_id="COPY", clients=("ALICE",)),)
    venues = [venue_settings(config, replace(venue, drop_copies=copy)) for venue in config.simulator.venues]
    simulator = config.simulator
    flow = open_flow(
        simulator.market, seed=simulator.seed, speed=simulator.speed, settings=settings_from_config(simulator.flow)
    )
    process = SimulatorProcess(config, venues, flow)
    task = asyncio.create_task(process.run())
    async with asyncio.timeout(240):  # the first start compiles
        while process.store_sync is None or not (config.simulator_dir / "ready.json").exists():
            assert not task.done(), task.result()
            await asyncio.sleep(0.005)
    try:
        yield process, task
    finally:
        process.stop("the test is over")
        await asyncio.wait([task])


async def test_every_store_of_every_venue_is_forced_and_the_group_ends_before_they_close(tmp_path) -> None:
    async with running(tmp_path) as (process, task):
        owners = [owner for venue in process.venues for owner in (*venue.clients, *venue.copies)]
        assert len(owners) == 4
        async with asyncio.timeout(DEADLINE_S):
            while process.store_sync.stats().syncs < 4:  # each once: all were new
                await asyncio.sleep(0.005)
        for owner in owners:
            owner.store.set_next_in(7)
        async with asyncio.timeout(DEADLINE_S):
            while process.store_sync.stats().syncs < 8:
                await asyncio.sleep(0.005)
        process.stop("enough")
        async with asyncio.timeout(DEADLINE_S):
            assert await task == EXIT_OK
        ended = process.store_sync.stats()
    assert ended.failures == 0
    assert process.store_sync.stats() == ended  # the thread is gone: no round after the stores were closed


async def test_a_disk_that_refuses_ends_the_simulator_as_failed(tmp_path) -> None:
    async with running(tmp_path) as (process, task):
        process.store_sync.add(Watched(StoreError("the disk is gone")))
        async with asyncio.timeout(DEADLINE_S):
            assert await task == EXIT_ERROR
