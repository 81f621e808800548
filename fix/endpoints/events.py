"""Events that the driver of a session adds to those of the machine; same base, same ``on_event``."""

from fix.session import SessionEvent


class HotRefused(SessionEvent, frozen=True):
    """A message of a hot MsgType was not taken by the kernels, and is delivered as text."""

    msg_type: str
    seq: int
    reason: str
    tag: int  # 0: none in particular


class QueueDropped(SessionEvent, frozen=True):
    """Messages that waited for the throttle were dropped: nothing of them was stored or sent."""

    reason: str
    #: ClOrdID(11) of each as it stood in the row or the fields; empty text where there was none.
    cl_ord_ids: tuple[int | str, ...]


class ScheduleOpened(SessionEvent, frozen=True):
    """The session's hours have begun. ``reset``: the sequence numbers have started over."""

    reset: bool


class ScheduleClosed(SessionEvent, frozen=True):
    """The session's hours are over; it logs out."""


class OperatorAction(SessionEvent, frozen=True):
    """A person has connected, disconnected, reset, or set a number."""

    action: str
    detail: str
