"""What a session asks of its store, on disk or in memory."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fix.store.scan import Damage

Buffer = bytes | bytearray | memoryview
DamageHandler = Callable[[Damage], None]


class Store(Protocol):
    """:class:`MessageStore`, :class:`MemoryStore`, or another with the same promises."""

    damage: list[Damage]
    torn_bytes: int

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected from the peer."""

    @property
    def next_out(self) -> int:
        """MsgSeqNum of the next message that we send."""

    @property
    def last_app_ref(self) -> int:
        """Highest application reference stored, over all resets."""

    @property
    def resets(self) -> int:
        """How often the numbers were reset."""

    @property
    def created_ns(self) -> int:
        """When the numbers last began at 1."""

    def set_next_in(self, seq: int) -> None:
        """Everything before ``seq`` has been taken."""

    def append(self, seq: int, message: Buffer, app_ref: int = 0) -> None:
        """Store one message."""

    def append_batch(self, buffer: Any, first_seq: int, ends: npt.NDArray[np.int64], app_ref: int = 0) -> None:
        """Store messages that lie back to back."""

    def reset(self) -> None:
        """Both numbers become 1."""

    def skip_out(self, next_out: int) -> None:
        """Leave numbers out."""

    def set_next_out(self, seq: int) -> None:
        """An operator's word, up or down."""

    def refresh(self) -> None:
        """Read the numbers again."""

    def read(self, first: int, last: int, on_damage: DamageHandler | None = None) -> Iterator[tuple[int, bytes]]:
        """Stored messages, ascending."""

    def sync(self) -> None:
        """Force everything to the disk."""

    def close(self) -> None:
        """Force to the disk and let go."""

    def release(self) -> None:
        """Let go as a kill would."""
