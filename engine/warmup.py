"""Compile or load every kernel of the daemon before the first logon, telling how far it is.

The kernels are exercised through their real entry points on a throw-away state, so that what is
compiled is exactly what trading calls.
"""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.event import Listener, install_listener

from engine.dropcopy import pick_executions
from engine.journal import Journal
from engine.latency import Latencies, Stage, record_answers, record_orders
from engine.loop import StepLoop, new_frame, partition, store_word, wait_taken
from engine.replay import replay_frames
from engine.state import make_engine
from engine.turn import F_STOP, finish_lane, linger, spin
from fix.codec import SymbolTable
from fix.endpoints import CodecHotPath
from fix.session import Role
from gpu.chain.theo import ChainPricer
from market.crc import count_sound
from market.enums import ExerciseStyle, FrameKind, OrderAction, Right, SecurityKind, Side
from market.records import EXECUTION, INSTRUMENT, ORDER, RUN_START, THEO, frames, table
from market.rings import FRAME_WORDS

Progress = Callable[[str], None]

EXPECTED_COMPILATIONS = 605  #: of a cold start, for the progress bar
_DAY_NS = 86_400_000_000_000


def _step_kernels(say: Progress) -> int:
    say("compiling the step")
    engine = make_engine(64, 64)
    with tempfile.TemporaryDirectory(prefix="axiom-warm-") as name:
        journal = Journal(Path(name), 8, 0)
        latencies = Latencies(64)
        loop = StepLoop(engine, journal, "park", latencies, lambda rows, count: None)
        frame = new_frame(RUN_START)
        frame["kind"], frame["run"] = FrameKind.RUN_START, 1
        loop.post_frame(frame)
        say("compiling the spin loop")
        loop.feeds.words[F_STOP] = 1
        spin(loop.handle, journal.view, loop.feeds, 1, -1, np.ones(1, np.int64))
        linger(loop.handle, journal.view, loop.feeds, 1, 1)
        finish_lane(loop.handle, journal.view, loop.feeds, 0)
        cells = np.zeros((1, 16), np.int64)
        wait_taken(loop.inbox.words, 0, 1)
        store_word(loop.inbox.words, 0, 0)
        partition(cells, 1, cells.copy(), np.zeros(2, np.int64))
        say("compiling replay")
        replay_frames(loop.handle, cells, np.zeros(1, np.uint16), np.zeros(4, np.int64))
        count_sound(frames(1), 1)
        loop.theo.read(loop.feeds.theo_rows)
        record_orders(latencies.histograms[Stage.ACK], latencies.sent_ns, table(ORDER, 1), 1, 0)
        record_answers(
            latencies.histograms[Stage.ACK], latencies.histograms[Stage.ROUND_TRIP], latencies.sent_ns,
            latencies.ring_ns, table(EXECUTION, 1), 1, 0,
        )  # fmt: skip
        latencies.add(Stage.STEP, 1)
        journal.close()
        loop.inbox.close()
        loop.outbox.close()
    return 11


def _codec_kernels(say: Progress) -> int:
    say("compiling the FIX codec")
    symbols = SymbolTable(4)
    symbols.add("AXM", 0)
    hot = CodecHotPath("FIX.4.4", "A", "B", symbols, Role.INITIATOR)
    rows = table(ORDER, 1)
    row = rows[0]
    row["kind"], row["action"], row["side"] = FrameKind.ORDER, OrderAction.NEW, Side.BUY
    row["ord_type"], row["tif"], row["price_ticks"], row["qty"], row["cl_ord_id"] = 50, 48, 100, 1, 1
    data, _ends = hot.encode_orders(rows, 0, 1, 1, 1_700_000_000_000_000_000)
    buffer = np.zeros(4096, np.uint8)
    buffer[: len(data)] = np.frombuffer(data, np.uint8)
    hot.decode(buffer, 0, len(data), 1, 1_700_000_000_000_000_000)
    hot.decode_one(bytes(data))
    executions = table(EXECUTION, 1)
    words = np.asarray(executions).view(np.int64).reshape(1, FRAME_WORDS)
    pick_executions(executions, words, 1, words.copy())
    return 4


def _analytics_kernels(say: Progress) -> int:
    say("compiling the analytics")
    strikes = np.arange(80.0, 121.0, 5.0)
    rows = table(INSTRUMENT, 1 + 2 * len(strikes))
    rows["security"], rows["multiplier"], rows["price_scale"] = SecurityKind.OPTION, 100, 2
    rows[0]["security"] = SecurityKind.EQUITY
    for i, strike in enumerate(np.repeat(strikes, 2)):
        rows[i + 1]["strike"], rows[i + 1]["expiry_ns"] = strike, 200 * _DAY_NS
        rows[i + 1]["right"], rows[i + 1]["style"] = Right.CALL if i % 2 else Right.PUT, ExerciseStyle.AMERICAN
    pricer = ChainPricer(np.asarray(rows), len(rows), 0, 0.01)
    value = np.maximum(np.asarray(rows["right"]) * (100.0 - np.asarray(rows["strike"])), 0.0) + 3.0
    pricer.calibrate(value - 0.05, value + 0.05, 100.0, 100 * _DAY_NS)
    pricer.calibrate_next(value - 0.05, value + 0.05, 100.0, 100 * _DAY_NS, 1)
    pricer.refresh(100.0, 100 * _DAY_NS, table(THEO, len(rows)))
    return 4


class _Counter(Listener):  # type: ignore[misc]
    """Counts finished compilations; what comes from the cache is no compilation."""

    def __init__(self, counted: Callable[[int], None]) -> None:
        self._counted = counted
        self._done = 0

    def on_start(self, event: Any) -> None:
        """Nothing: nested compilations begin before their callers end."""

    def on_end(self, event: Any) -> None:
        """One more."""
        self._done += 1
        self._counted(self._done)


def warm_kernels(say: Progress, counted: Callable[[int], None] | None = None) -> int:
    """Compile or load everything; returns the entry points warmed.

    ``say`` is told what is being done, ``counted`` how many functions have been compiled (of about
    ``EXPECTED_COMPILATIONS`` when nothing is cached).
    """
    with contextlib.ExitStack() as stack:
        if counted is not None:
            stack.enter_context(install_listener("numba:compile", _Counter(counted)))
        return _step_kernels(say) + _codec_kernels(say) + _analytics_kernels(say)


async def warm_kernels_aside(say: Progress, counted: Callable[[int], None]) -> None:
    """:func:`warm_kernels` in a thread that, unlike an executor's, nobody waits for at the end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def work() -> None:
        error: BaseException | None = None
        try:
            warm_kernels(say, counted)
        except BaseException as e:  # noqa: BLE001 - the thread's outermost frame: handed to who waits
            error = e
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=work, name="axiom-compiler", daemon=True).start()
    await done
