"""What an endpoint allows: a slow peer, a crowded doorstep; and the counters that show it."""

from enum import Enum

import msgspec

from fix.errors import SettingsError


class OnExceed(Enum):
    """What happens when more than ``max_backlog_bytes`` are unsent."""

    DISCONNECT = "disconnect"  # the peer is cut off; what it missed it gets by resend
    REFUSE = "refuse"  # sending raises BackpressureError until the peer has read


class Backpressure(msgspec.Struct, frozen=True, kw_only=True):
    """Limits towards a peer that reads too slowly. Raises SettingsError when a value is out of range."""

    #: Unsent bytes. 64 MiB is minutes of a busy quote stream: whoever is that far behind is gone.
    max_backlog_bytes: int = 1 << 26
    #: A resend waits while this much is unsent, so that it does not fill the memory.
    pause_resend_bytes: int = 1 << 20
    on_exceed: OnExceed = OnExceed.DISCONNECT
    #: Received messages that take the cold path in one turn of the loop; then the others' turn.
    max_cold_per_turn: int = 20

    def __post_init__(self) -> None:
        for name in ("max_backlog_bytes", "pause_resend_bytes", "max_cold_per_turn"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, was {getattr(self, name)}")


class Doorstep(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of connections that have not said who they are. Raises SettingsError when out of range."""

    #: Until the first message is whole (and TLS agreed, each).
    wait_s: float = 10.0
    max_waiting: int = 256
    max_bytes: int = 1 << 16

    def __post_init__(self) -> None:
        for name in ("wait_s", "max_waiting", "max_bytes"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0, was {getattr(self, name)}")


class Counters(msgspec.Struct):
    """What a session has done since the process began. Telemetry: it decides nothing."""

    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    #: Received by the kernels, by the plain steady path, by the machine.
    hot_in: int = 0
    steady_in: int = 0
    machine_in: int = 0
    connections: int = 0
    #: Greatest number of unsent bytes; refusals and cuts because of them.
    backlog_peak_bytes: int = 0
    backlog_refused: int = 0
    backlog_cuts: int = 0
    throttled: int = 0
    queued: int = 0
    queue_dropped: int = 0
    #: Times that this process was found to have been frozen.
    stalls: int = 0
    #: Hot messages that the kernels did not take, and were delivered as text.
    hot_refused: int = 0
