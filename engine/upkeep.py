"""What the daemon does by the clock: ticks, liveness, group commits, segments, snapshots, disk, marks.

All of it runs on the event loop between other things; what takes longer than a millisecond goes
to a thread. Whatever fails here stops trading: the daemon guards both tasks.
"""

import asyncio
import os
import time
from typing import TYPE_CHECKING

from engine import snapshot
from engine.errors import JournalFullError
from engine.journal import J_POSITION
from engine.latency import Stage
from engine.loop import new_frame
from engine.state import OUTPUT_FRAMES, W_LOST_OUTPUT
from engine.turn import F_EMPTY
from market.clock import ClockWatch
from market.enums import ControlVerb, FrameKind
from market.records import CONTROL, TIMER

if TYPE_CHECKING:
    from engine.daemon import Daemon

_CHECK_S = 0.1  # feeds, clock and failures are looked at this often
_DISK_CHECK_S = 1.0
_STALL_S = 5 * _CHECK_S  # after so long the process has stood still, and not only been late


class Upkeep:
    """The two periodic tasks of one daemon, and what they measured."""

    def __init__(self, daemon: "Daemon", clock_watch: ClockWatch) -> None:
        self.most_two_sided = 0
        self.seconds_to_1000: float | None = None
        self.backlog_seconds = 0  # longest run of seconds in which the backlog never was zero
        self._daemon = daemon
        self._clock_watch = clock_watch
        self._syncing: asyncio.Future[None] | None = None

    async def settle(self) -> None:
        """Wait for the thread of a sync whose task was cancelled."""
        if self._syncing is not None:
            await asyncio.gather(self._syncing, return_exceptions=True)

    async def tick(self) -> None:
        """The step's clock, source liveness, jumps of the wall clock, statistics."""
        daemon = self._daemon
        assert daemon.loop is not None
        period_s = daemon.config.engine.timer_interval_ms / 1000.0
        frame = new_frame(TIMER)
        frame["kind"], frame["period_ns"] = FrameKind.TIMER, int(period_s * 1e9)
        due = time.monotonic()
        next_check, checked = 0.0, due
        while True:
            due = max(due + period_s, time.monotonic())
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            daemon.latencies.add(Stage.LOOP_LAG, int((now - due) * 1e9), int(period_s * 1e9))
            frame["wall_ns"] = time.time_ns()
            daemon.loop.post_frame(frame)
            if now >= next_check:
                next_check = now + _CHECK_S
                if now - checked > _STALL_S:
                    for copy in daemon.drop_copies:
                        copy.stalled()
                checked = now
                for feed in daemon.feeds:
                    feed.check()
                for gateway in daemon.sessions:
                    gateway.beat()
                if daemon.telemetry is not None:
                    daemon.telemetry.beat()
                self._watch()

    def _watch(self) -> None:
        """What must never go unnoticed."""
        daemon = self._daemon
        assert daemon.loop is not None and daemon.engine is not None
        if jump := self._clock_watch.check():
            frame = new_frame(CONTROL)
            frame["kind"], frame["verb"], frame["value"] = FrameKind.CONTROL, ControlVerb.CLOCK_JUMP, jump / 1e9
            daemon.loop.post_frame(frame)
        if daemon.loop.failure is not None:
            daemon.on_fatal(f"the step thread failed: {daemon.loop.failure!r}")
        if daemon.greeks is not None and daemon.greeks.failure is not None:
            daemon.on_fatal(f"the Greeks thread failed: {daemon.greeks.failure!r}")
        while daemon.greeks is not None and daemon.greeks.news:
            daemon.alerts.say(*daemon.greeks.news.popleft())
        if int(daemon.engine.words[W_LOST_OUTPUT]):
            daemon.on_fatal("the step's output buffer overflowed: orders were lost")

    async def keep(self) -> None:
        """Group sync, the next journal segment, snapshots, presence marks: twenty times a second."""
        daemon = self._daemon
        assert daemon.journal is not None and daemon.engine is not None and daemon.loop is not None
        interval = max(0.01, daemon.config.engine.journal_fsync_interval_ms / 1000.0)
        behind = 0
        next_second = time.monotonic() + 1.0
        next_disk_check = 0.0
        empty_turns = 0
        next_snapshot = time.monotonic() + daemon.config.engine.snapshot_interval_s
        while True:
            await asyncio.sleep(interval)
            started = time.perf_counter_ns()
            if daemon.config.engine.journal_fsync_interval_ms:
                self._syncing = asyncio.get_running_loop().run_in_executor(None, self._sync)
                await self._syncing
                daemon.latencies.add(Stage.JOURNAL_SYNC, time.perf_counter_ns() - started, int(interval * 1e9))
            await self._prepare_segment()
            if time.monotonic() >= next_disk_check:
                next_disk_check = time.monotonic() + _DISK_CHECK_S
                self._check_disk()
            self._mark_presence()
            if time.monotonic() >= next_snapshot:
                next_snapshot = time.monotonic() + daemon.config.engine.snapshot_interval_s
                await self._snapshot()
            if time.monotonic() >= next_second:
                next_second += 1.0
                empty = int(daemon.loop.feeds.words[F_EMPTY])
                behind = 0 if empty != empty_turns else behind + 1
                empty_turns = empty
                self.backlog_seconds = max(self.backlog_seconds, behind)

    def _sync(self) -> None:
        """Group commit of journal and drop-copy ledgers; in a thread. Message stores have a group of their own."""
        daemon = self._daemon
        assert daemon.journal is not None
        daemon.journal.sync()
        for copy in daemon.drop_copies:
            copy.sync()

    def _check_disk(self) -> None:
        """Stop while there is still room to stop in order: cancels and their answers are written too."""
        daemon = self._daemon
        assert daemon.journal is not None
        if daemon.stopping:
            return
        free, reserve = self._free_bytes(), daemon.journal.min_free_bytes
        if free < reserve:
            daemon.on_fatal(
                f"disk nearly full: {free >> 20} MiB free in {daemon.journal.directory}, the reserve is "
                f"{reserve >> 20} MiB (engine.journal_min_free_mib): free disk space and start again"
            )

    def _free_bytes(self) -> int:
        """What the disk of the journal has left for us."""
        assert self._daemon.journal is not None
        disk = os.statvfs(self._daemon.journal.directory)
        return disk.f_bavail * disk.f_frsize

    async def _snapshot(self) -> None:
        """Copy the state between two frames, write it in a thread, keep the last two.

        None is written on a disk that has only the reserve left, which is for cancels and their answers.
        """
        daemon = self._daemon
        assert daemon.loop is not None and daemon.journal is not None
        if self._free_bytes() < daemon.journal.min_free_bytes:
            return
        frozen = daemon.loop.freeze(daemon.run_number)
        directory = daemon.journal.directory
        path = directory / f"snapshot-{frozen.meta.next_seq:012d}.npz"
        try:
            await asyncio.to_thread(snapshot.write, frozen, path)
        except OSError as e:  # the journal alone restores the state, only slower
            daemon.alerts.say("warning", f"snapshot not written: {e}")
            return
        for old in sorted(directory.glob("snapshot-*.npz"))[:-2]:
            old.unlink(missing_ok=True)

    async def _prepare_segment(self) -> None:
        daemon = self._daemon
        journal = daemon.journal
        assert journal is not None
        used = int(journal.view.words[J_POSITION])
        half = used * 2 >= journal.segment_frames or journal.segment_frames - used < 2 * OUTPUT_FRAMES
        if journal.has_spare or not half:
            return
        try:
            await asyncio.to_thread(journal.prepare)
        except JournalFullError as e:
            daemon.on_fatal(str(e))

    def _mark_presence(self) -> None:
        daemon = self._daemon
        assert daemon.engine is not None
        if not daemon.armed_once:
            return
        both = daemon.quoted_mask(daemon.engine, "bid_slot") & daemon.quoted_mask(daemon.engine, "ask_slot")
        count = int(both.sum())
        self.most_two_sided = max(self.most_two_sided, count)
        if count >= 1000 and self.seconds_to_1000 is None:
            self.seconds_to_1000 = round((time.time_ns() - daemon.started_ns) / 1e9, 3)
