"""Compile or load every kernel of the daemon before the first logon, telling how far it is.

The kernels are exercised through their real entry points on a throw-away state, so that what is
compiled is exactly what trading calls.
"""

import asyncio
import contextlib
import gc
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types

from engine import lanes
from engine.crew import Crew
from engine.dropcopy import pick_executions
from engine.journal import Journal
from engine.latency import Latencies, Stage, record_answers, record_orders
from engine.loop import StepLoop, new_frame, partition, store_word, wait_taken
from engine.replay import replay_frames
from engine.state import make_engine
from engine.step.control import on_control, on_instrument, on_run_start, on_session, on_timer
from engine.step.reports import on_execution
from engine.turn import F_STOP, finish_lane, linger, spin
from fix.codec import SymbolTable
from fix.endpoints import CodecHotPath
from fix.session import Role
from gpu.chain.theo import ChainPricer
from market.crc import count_sound
from market.enums import ExerciseStyle, FrameKind, OrderAction, Right, SecurityKind, Side
from market.jit import JIT_ENABLED
from market.records import EXECUTION, INSTRUMENT, ORDER, RUN_START, THEO, frames, table
from market.rings import FRAME_WORDS

Progress = Callable[[str], None]

EXPECTED_COMPILATIONS = 586  #: different functions of a cold start, for the progress bar
_DAY_NS = 86_400_000_000_000


@contextlib.contextmanager
def calm_collector() -> Iterator[None]:
    """Collect garbage rarely: compiling makes little of it and much that stays, which would be walked each time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextlib.contextmanager
def _spine() -> Iterator[StepLoop]:
    """A step loop on a throw-away state."""
    with tempfile.TemporaryDirectory(prefix="axiom-warm-") as name:
        journal = Journal(Path(name), 8, 0)
        loop = StepLoop(make_engine(64, 64), journal, "park", Latencies(64), lambda rows, count: None)
        try:
            yield loop
        finally:
            journal.close()
            loop.inbox.close()
            loop.outbox.close()


def _step_kernels(say: Progress, crew: Crew) -> int:
    say("compiling the step")
    with _spine() as loop:
        cells = np.zeros((1, 16), np.int64)
        # The step alone first: a helper needs that time for what the loop around it is made of.
        replay_frames(loop.handle, cells, np.zeros(1, np.uint16), np.zeros(4, np.int64))
        crew.wait("lanes")
        say("compiling the loop around it")
        frame = new_frame(RUN_START)
        frame["kind"], frame["run"] = FrameKind.RUN_START, 1
        loop.post_frame(frame)
        loop.feeds.words[F_STOP] = 1
        view = loop.journal.view
        spin(loop.handle, view, loop.feeds, 1, -1, np.ones(1, np.int64))
        linger(loop.handle, view, loop.feeds, 1, 1)
        finish_lane(loop.handle, view, loop.feeds, 0)
        wait_taken(loop.inbox.words, 0, 1)
        store_word(loop.inbox.words, 0, 0)
        partition(cells, 1, cells.copy(), np.zeros(2, np.int64))
        count_sound(frames(1), 1)
        loop.theo.read(loop.feeds.theo_rows)
        latencies = loop.latencies
        record_orders(latencies.histograms[Stage.ACK], latencies.sent_ns, table(ORDER, 1), 1, 0)
        record_answers(
            latencies.histograms[Stage.ACK], latencies.histograms[Stage.ROUND_TRIP], latencies.sent_ns,
            latencies.ring_ns, table(EXECUTION, 1), 1, 0,
        )  # fmt: skip
        latencies.add(Stage.STEP, 1)
    return 11


def _lane_kernels(say: Progress) -> int:
    """What the loop asks of hot sessions; by its types, since nothing here may be called without a socket."""
    say("compiling the lanes")
    with _spine() as loop:
        e, view, hot = numba.typeof(loop.handle), numba.typeof(loop.journal.view), numba.typeof(loop.feeds.hot)
        words, slots = numba.typeof(loop.feeds.outbox_words), numba.typeof(loop.feeds.outbox_slots)
    number = types.int64
    wanted: list[tuple[Any, tuple[Any, ...]]] = [
        (lanes.hand_on, (e, hot, words, slots, number)),
        (lanes.stamp, (e, view, hot, number)),
        (lanes.received, (hot, number, number)),
        (lanes.next_frame, (e, hot, number, number)),
        (lanes.frame_taken, (e, hot, number, words, slots)),
        (lanes.begin_turn, (hot,)),
        (lanes.offered, (hot, types.boolean)),
        (lanes.end_turn, (hot,)),
    ]
    return _compile(wanted)


def _handler_kernels(say: Progress) -> int:
    """Handlers of the step, in another order than it names them: another process begins with the first."""
    say("compiling the step's handlers")
    with _spine() as loop:
        signature = (numba.typeof(loop.handle), types.literal(0))
    handlers = (on_execution, on_control, on_run_start, on_instrument, on_session, on_timer)
    return _compile([(handler, signature) for handler in handlers])


def _compile(wanted: list[tuple[Any, tuple[Any, ...]]]) -> int:
    if JIT_ENABLED:
        for function, signature in wanted:
            function.compile(signature)
    return len(wanted)


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


#: What helpers may be asked for, by name.
TASKS: dict[str, Callable[[Progress], int]] = {
    "lanes": _lane_kernels,
    "handlers": _handler_kernels,
    "codec": _codec_kernels,
    "analytics": _analytics_kernels,
}


def warm_kernels(say: Progress, counted: Callable[[int], None] | None = None, helpers: int | None = None) -> int:
    """Compile or load everything; returns the entry points warmed.

    Parameters
    ----------
    say
        Told what is being done.
    counted
        Told how many functions have been compiled (of about ``EXPECTED_COMPILATIONS`` when nothing is
        cached); called from several threads, one at a time.
    helpers
        Processes that compile beside this one, if anything is to be compiled; None: as many as the
        machine bears.
    """
    with calm_collector(), Crew(counted or (lambda _count: None), helpers) as crew:
        done = _step_kernels(say, crew)
        crew.wait("codec")
        done += _codec_kernels(say)
        crew.wait("analytics")
        return done + _analytics_kernels(say)


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
