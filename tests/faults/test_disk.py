"""A disk that fills up under a trading daemon: it stops trading, says why, and ends in order."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.replay import verify
from tests.disks import mounted
from tests.faults.rig import Daemon, Simulator, Venues, profile, with_engine

_MIB = 1 << 20
# Whoever meets the full disk first says it: the reserve's check, the journal's next segment, a message store, a
# ledger. Which of them it is depends on the moment; what mends it is said by all of them.
_MEND = "free disk space"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 64) as directory:
        yield directory


async def _trading(config):
    simulator, daemon = Simulator(config), Daemon(config)
    await simulator.open()
    daemon.start()
    await daemon.shows(lambda s: s["chain"]["quoted_two_sided"] >= 10 and s["fills"]["count"], "fills")
    return simulator, daemon


async def _stopped_in_order(config, simulator, daemon):
    """Exit code 1, nothing left in the market, and a journal that replays."""
    assert await daemon.ended() == 1
    assert Venues(config).open() == set()
    assert verify(config.state_dir).ok
    await simulator.kill()


def _fill(path: Path, free: int) -> None:
    """Take all of a file system but ``free`` bytes; others may take some of it at the same time."""
    with path.open("wb") as file:
        while True:
            disk = os.statvfs(path.parent)
            try:
                os.posix_fallocate(
                    file.fileno(), 0, os.fstat(file.fileno()).st_size + disk.f_bavail * disk.f_frsize - free
                )
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                continue
            return


async def test_reserve_that_is_touched_stops_trading_while_cancels_can_still_be_written(small_disk, tmp_path):
    config = profile(tmp_path, cancel_on_disconnect=False)
    config = with_engine(config, state_dir=str(small_disk / "run"), journal_min_free_mib=8)
    simulator, daemon = await _trading(config)
    _fill(small_disk / "ballast", 4 * _MIB)
    await _stopped_in_order(config, simulator, daemon)
    assert _MEND in daemon.said()
    assert "logged out" in daemon.said() or "client left" in simulator.said()


async def test_disk_without_a_free_byte_stops_trading(small_disk, tmp_path):
    """Nothing can be written any more, not even a cancel: the venue's cancel-on-disconnect has to do it."""
    config = profile(tmp_path, cancel_on_disconnect=True)
    config = with_engine(config, state_dir=str(small_disk / "run"), journal_min_free_mib=1)
    simulator, daemon = await _trading(config)
    _fill(small_disk / "ballast", 0)
    await _stopped_in_order(config, simulator, daemon)
    assert _MEND in daemon.said()
    assert "Traceback" not in daemon.said()


async def test_journal_that_cannot_have_its_next_segment_stops_the_daemon(small_disk, tmp_path):
    """The next segment is made long before it is needed, so this is known while there is time."""
    config = profile(tmp_path, cancel_on_disconnect=False)
    config = with_engine(config, state_dir=str(small_disk / "run"), journal_min_free_mib=1)
    simulator, daemon = Simulator(config), Daemon(config)
    await simulator.open()
    # The first segment and the reserve, not a second one: not even if nothing else were written meanwhile.
    _fill(small_disk / "ballast", 16 * _MIB)
    daemon.start()
    await _stopped_in_order(config, simulator, daemon)
    assert "needed for the next journal segment" in daemon.said()


async def test_no_room_at_start_is_said_and_nothing_is_started(small_disk, tmp_path):
    config = with_engine(profile(tmp_path), state_dir=str(small_disk / "run"), journal_min_free_mib=100)
    daemon = Daemon(config)
    daemon.start()
    assert await daemon.ended() == 1
    assert "needed for the next journal segment" in daemon.said()
    assert "Traceback" not in daemon.said()
