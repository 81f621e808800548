"""Helpers compile beside the process that waits: the same functions, and none stays behind."""

import os
import signal
import subprocess
import sys
import time

import numba
import pytest
from numba import types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.errors import CompilerError
from numba.core.typed_passes import NopythonTypeInference

from engine import crew, lanes, turn, warmup
from engine.step import control, dispatch, reports
from market.jit import JIT_ENABLED

_PARENT = """
import sys
from engine import crew
crew.ROSTERS = (("analytics",),),
with crew.Crew(lambda count: None, 0) as hands:
    hands.start()
    print(hands._processes[0].pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("cores", "free_gib", "helpers"),
    [(1, 64, 0), (2, 64, 1), (3, 64, 2), (4, 64, 3), (64, 64, 3), (4, 1, 1), (4, 0, 0)],
)
def test_a_helper_for_each_other_core_that_has_memory(cores, free_gib, helpers):
    assert crew.helpers_for(cores, free_gib << 30) == helpers
    tasks = [task for tasks in crew.ROSTERS[helpers] for task in tasks]
    assert len(set(tasks)) == len(tasks) and set(tasks) <= set(warmup.TASKS)


class _TypesAlone(CompilerBase):
    """numba's own passes, as far as the types."""

    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        last = [each for each, _text in passes.passes].index(NopythonTypeInference)
        passes.passes = passes.passes[: last + 1]
        passes.finalize()
        self.state.cr = None  # no code comes of it
        return [passes]


def _load_callees(function, *arguments):
    """Work out the types in a function that is cached, which loads what it calls for exactly its types."""
    with pytest.raises(CompilerError):
        numba.njit(pipeline_class=_TypesAlone)(function.py_func).compile(arguments)


@pytest.mark.skipif(not JIT_ENABLED, reason="nothing is compiled")
def test_helpers_compile_the_very_signatures_that_the_start_needs():
    """One that differed, by a literal say, would be compiled twice and gain nothing."""
    warmup.warm_kernels(lambda _text: None, helpers=0)
    with warmup._spine() as loop:
        e, view, feeds = (numba.typeof(x) for x in (loop.handle, loop.journal.view, loop.feeds))
    for caller in (turn.turn, turn._sources, turn._from_lanes):
        _load_callees(caller, e, view, feeds, types.int64)
    _load_callees(turn.take, e, view, feeds, types.boolean)
    _load_callees(dispatch.step, e, types.literal(0))
    names = ["hand_on", "stamp", "received", "next_frame", "frame_taken", "begin_turn", "offered", "end_turn"]
    wanted = [getattr(lanes, name) for name in names]
    wanted += [reports.on_execution, control.on_control, control.on_run_start, control.on_instrument]
    wanted += [control.on_session, control.on_timer]
    needed = {function: set(function.overloads) for function in wanted}
    assert all(needed.values())
    warmup.TASKS["lanes"](lambda _text: None)
    warmup.TASKS["handlers"](lambda _text: None)
    assert {function: set(function.overloads) for function in wanted} == needed


def test_who_waits_for_a_helper_that_failed_goes_on(monkeypatch):
    monkeypatch.setattr(crew, "ROSTERS", ((("no such task", "codec"),),))
    with crew.Crew(lambda _count: None, 0) as hands:
        hands.start()
        hands.wait("no such task", "codec", "a task that nobody was given")
        (helper,) = hands._processes
        assert helper.wait(30) == 1
    assert helper.returncode == 1


def test_no_helper_is_left_behind(monkeypatch):
    monkeypatch.setattr(crew, "ROSTERS", ((("analytics",),),))
    with crew.Crew(lambda _count: None, 0) as hands:
        hands.start()
        hands.start()
        (helper,) = hands._processes
    assert helper.returncode == -signal.SIGKILL


def test_a_helper_ends_with_a_parent_that_was_killed(tmp_path):
    environ = {**os.environ, "AXIOM_CACHE_DIR": str(tmp_path)}  # an empty cache: it is busy for a long time
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as parent:
        helper = int(parent.stdout.readline())
        assert _lives(helper)
        parent.kill()
    deadline = time.monotonic() + 60
    while _lives(helper) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _lives(helper)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
