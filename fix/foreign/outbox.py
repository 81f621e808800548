"""Messages that were handed over and are not yet known to stand in quickfix's store.

An acceptor's messages must reach the peer whatever happens: those that a worker took along when
it died are given to the next one, which looks into quickfix's store for what they say before it
sends. An initiator's are forgotten: sent or not, nobody knows, and the venue must be asked.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fix.foreign.records import MAX_RECORD_BYTES, Send

#: Messages of one record, and so the largest message; the rest is room for the encoding.
BATCH_BYTES = MAX_RECORD_BYTES - 100_000
_BATCH_MESSAGES = 256


class Pending(NamedTuple):
    """One message; ``told``: a worker was given it."""

    ticket: int
    raw: bytes
    app_ref: int
    told: bool


class Outbox:
    """Of one session."""

    def __init__(self, next_out: int) -> None:
        #: Bytes that are not confirmed.
        self.bytes = 0
        #: Every message before this number is known to be one of the confirmed.
        self.confirmed = next_out
        self._pending: deque[Pending] = deque()
        self._ticket = 0

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, messages: list[bytes], app_ref: int, *, told: bool) -> list[Pending]:
        """Take messages; ``app_ref`` belongs to the last of them."""
        added = []
        for raw in messages:
            self._ticket += 1
            added.append(Pending(self._ticket, raw, 0, told))
            self.bytes += len(raw)
        if added:
            added[-1] = added[-1]._replace(app_ref=app_ref)
        self._pending.extend(added)
        return added

    def records(self, items: Iterable[Pending], session: int, look_from: int = 0) -> Iterator[Send]:
        """Commands that carry ``items``."""
        batch: list[bytes] = []
        size = first = 0
        for item in items:
            if batch and (size + len(item.raw) > BATCH_BYTES or len(batch) == _BATCH_MESSAGES):
                yield Send(session, first, tuple(batch), look_from)
                batch, size = [], 0
            if not batch:
                first = item.ticket
            batch.append(item.raw)
            size += len(item.raw)
        if batch:
            yield Send(session, first, tuple(batch), look_from)

    def again(self, session: int, next_out: int) -> list[Send]:
        """For a fresh worker: everything there is, what an earlier one may have stored with the advice to look."""
        told = [item for item in self._pending if item.told]
        fresh = [item for item in self._pending if not item.told]
        if not told:
            self.confirmed = next_out
        self._pending = deque(item._replace(told=True) for item in self._pending)
        return [*self.records(told, session, max(self.confirmed, 1)), *self.records(fresh, session)]

    def sent(self, ticket: int, next_out: int) -> int:
        """Everything up to ``ticket`` is stored; the highest application reference among it."""
        app_ref = 0
        while self._pending and self._pending[0].ticket <= ticket:
            item = self._pending.popleft()
            self.bytes -= len(item.raw)
            app_ref = max(app_ref, item.app_ref)
        self.confirmed = next_out
        return app_ref

    def refused(self, ticket: int) -> None:
        """One message was not sent."""
        for item in self._pending:
            if item.ticket == ticket:
                self._pending.remove(item)
                self.bytes -= len(item.raw)
                return

    def clear(self) -> None:
        """Forget them all."""
        self._pending.clear()
        self.bytes = 0
