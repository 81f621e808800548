"""A store that forgets everything with its process: for tests and for peers that start from nothing."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fix.errors import StoreError
from fix.store.protocol import Buffer, DamageHandler
from fix.store.scan import Damage


class MemoryStore:
    """Same interface and same refusals as :class:`MessageStore`, nothing on disk."""

    def __init__(self, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.damage: list[Damage] = []
        self.torn_bytes = 0
        self.next_in = 1
        self.next_out = 1
        self.last_app_ref = 0
        self.resets = 0
        self.created_ns = clock()
        self._clock = clock
        self._messages: dict[int, bytes] = {}

    def set_next_in(self, seq: int) -> None:
        """Everything before ``seq`` has been taken."""
        self.next_in = seq

    def append(self, seq: int, message: Buffer, app_ref: int = 0) -> None:
        """Store one message under ``seq``, which must be :attr:`next_out`."""
        self._check(seq, app_ref)
        self._messages[seq] = bytes(message)
        self.next_out = seq + 1
        self.last_app_ref = app_ref or self.last_app_ref

    def append_batch(self, buffer: Any, first_seq: int, ends: npt.NDArray[np.int64], app_ref: int = 0) -> None:
        """Store ``len(ends)`` consecutive messages that lie back to back in ``buffer``."""
        if not len(ends):
            return
        self._check(first_seq, app_ref)
        view = memoryview(buffer)
        begin = 0
        for seq, end in enumerate(ends.tolist(), first_seq):
            self._messages[seq] = bytes(view[begin:end])
            begin = end
        self.next_out = first_seq + len(ends)
        self.last_app_ref = app_ref or self.last_app_ref

    def _check(self, seq: int, app_ref: int) -> None:
        if seq != self.next_out:
            raise StoreError(f"memory store: MsgSeqNum must be {self.next_out}, was {seq}")
        if app_ref and app_ref < self.last_app_ref:
            raise StoreError(f"memory store: app_ref must be at least {self.last_app_ref}, was {app_ref}")

    def reset(self) -> None:
        """Forget all messages; both numbers become 1."""
        self._messages.clear()
        self.next_in = self.next_out = 1
        self.resets += 1
        self.created_ns = self._clock()

    def skip_out(self, next_out: int) -> None:
        """Move ``next_out`` forward without storing."""
        if next_out < self.next_out:
            raise StoreError(f"memory store: next_out must not go down from {self.next_out} to {next_out}")
        self.next_out = next_out

    def set_next_out(self, seq: int) -> None:
        """An operator's word on ``next_out``, up or down; messages from ``seq`` on are forgotten."""
        if seq < 1:
            raise StoreError(f"memory store: next_out must be 1 or more, was {seq}")
        for stored in [number for number in self._messages if number >= seq]:
            del self._messages[stored]
        self.next_out = seq

    def refresh(self) -> None:
        """Nothing to read again."""

    def read(self, first: int, last: int, on_damage: DamageHandler | None = None) -> Iterator[tuple[int, bytes]]:
        """Stored messages with ``first <= MsgSeqNum <= last``, ascending; absent numbers are left out."""
        del on_damage  # memory is taken to be sound
        for seq in range(max(first, 1), min(last, self.next_out - 1) + 1):
            message = self._messages.get(seq)
            if message is not None:
                yield seq, message

    def sync(self) -> None:
        """Nothing outlives the process."""

    def close(self) -> None:
        """Nothing to let go of."""

    def release(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> "MemoryStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
