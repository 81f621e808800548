"""``step``: the one function through which everything happens."""

import numpy as np

from engine.handle import Handle, in_header, scalars
from engine.state import W_NOW, W_OUT, W_STEPS
from engine.step.books import on_quote, on_security_status, on_theo, on_theo_commit
from engine.step.control import on_control, on_instrument, on_run_start, on_session, on_timer
from engine.step.reports import on_execution
from market.enums import FrameKind
from market.jit import kernel

_QUOTE = np.int64(FrameKind.QUOTE)
_EXECUTION = np.int64(FrameKind.EXECUTION)
_REJECT = np.int64(FrameKind.CANCEL_REJECT)
_THEO = np.int64(FrameKind.THEO)
_COMMIT = np.int64(FrameKind.THEO_COMMIT)
_TIMER = np.int64(FrameKind.TIMER)
_CONTROL = np.int64(FrameKind.CONTROL)
_SESSION = np.int64(FrameKind.SESSION)
_INSTRUMENT = np.int64(FrameKind.INSTRUMENT)
_RUN_START = np.int64(FrameKind.RUN_START)
_SECURITY_STATUS = np.int64(FrameKind.SECURITY_STATUS)


@kernel
def step(e: Handle, i: int) -> int:
    """Apply input frame ``i`` of ``e.inputs``; returns how many frames it put out.

    Deterministic: the time is the frame's ``recv_ns``. The output buffer is cleared first. An
    unknown kind of frame changes nothing (a newer build may write kinds we do not know).
    """
    kind = in_header(e)[i].kind
    scalars(e)[W_NOW] = in_header(e)[i].recv_ns
    scalars(e)[W_OUT] = 0
    scalars(e)[W_STEPS] += 1
    if kind == _QUOTE:
        on_quote(e, i)
    elif kind == _EXECUTION or kind == _REJECT:
        on_execution(e, i)
    elif kind == _THEO:
        on_theo(e, i)
    elif kind == _COMMIT:
        on_theo_commit(e, i)
    elif kind == _TIMER:
        on_timer(e, i)
    elif kind == _CONTROL:
        on_control(e, i)
    elif kind == _SESSION:
        on_session(e, i)
    elif kind == _INSTRUMENT:
        on_instrument(e, i)
    elif kind == _SECURITY_STATUS:
        on_security_status(e, i)
    elif kind == _RUN_START:
        on_run_start(e, i)
    return scalars(e)[W_OUT]
