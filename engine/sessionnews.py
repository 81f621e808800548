"""What a FIX session noticed, in words for people: severity and text. What must be done about it is the gateway's."""

from collections.abc import Callable
from typing import Any

from fix.endpoints import HotRefused, OperatorAction, QueueDropped, ScheduleClosed, ScheduleOpened
from fix.foreign.events import Unsent, WorkerFailed
from fix.session import (
    GapDetected,
    Garbled,
    NumbersSkipped,
    SequenceAdjusted,
    SequencesReset,
    SessionEvent,
    Stalled,
    StoreDamaged,
)

News = tuple[str, str]

_SAID: dict[type[SessionEvent], Callable[[Any], News]] = {
    GapDetected: lambda e: ("warning", f"messages {e.begin}..{e.end} are missing: asked again"),
    Garbled: lambda e: ("warning", f"ignored bytes that are no message: {e.reason}"),
    HotRefused: lambda e: (
        "warning",
        f"message {e.seq} (35={e.msg_type}) not taken by the kernels: {e.reason}{f', tag {e.tag}' if e.tag else ''}",
    ),
    NumbersSkipped: lambda e: ("error", f"messages {e.begin}..{e.end} were skipped by the peer and will never come"),
    OperatorAction: lambda e: ("warning", f"{e.action} by hand {e.detail}".rstrip()),
    QueueDropped: lambda e: ("warning", f"{len(e.cl_ord_ids)} messages dropped by the throttle: {e.reason}"),
    ScheduleClosed: lambda _: ("info", "its hours are over"),
    ScheduleOpened: lambda e: ("info", f"its hours have begun, numbers {'begin at 1' if e.reset else 'go on'}"),
    SequenceAdjusted: lambda e: ("warning", f"next {e.direction} set by hand from {e.before} to {e.after}"),
    SequencesReset: lambda e: ("warning", f"{'the venue' if e.by_peer else 'we'} reset the sequence numbers"),
    Stalled: lambda e: ("warning", f"this process stood still for {e.seconds:.1f} s"),
    StoreDamaged: lambda e: ("error", f"messages {e.begin}..{e.end} cannot be sent again: {e.text}"),
    Unsent: lambda e: ("warning", f"a message (35={e.msg_type}) was not sent: {e.reason}"),
    WorkerFailed: lambda e: (
        "error",
        f"the quickfix worker ended and {'stands down' if e.standing_down else 'is started again'}: {e.reason}",
    ),
}


def news(event: SessionEvent) -> News | None:
    """Severity and text of an event; None where there is nothing to say."""
    say = _SAID.get(type(event))
    return say(event) if say is not None else None
