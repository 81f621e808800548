"""What the sessions of both engines send as rows, past the throttle, by the kernels: orders, reports, quotes."""

from abc import ABC, abstractmethod
from typing import Any

from fix.codec import MAX_ENTRIES
from fix.endpoints.gate import Gate
from fix.endpoints.hotpath import HotPath
from fix.errors import HotPathError
from fix.session import SessionSettings


class RowSending(ABC):
    """Sends records; how encoded messages are numbered, stored and put on a line is the engine's."""

    settings: SessionSettings
    hot: HotPath | None
    #: What holds back orders, mass quotes and cancels; None without a throttle.
    throttle: Gate | None = None

    @abstractmethod
    def _require_sendable(self) -> None:
        """Raise what forbids to send now; nothing has been used up then."""

    @abstractmethod
    def _send_rows(self, encode: Any, rows: Any, first: int, count: int, app_ref: int) -> int:
        """Encode and send ``rows[first:first+count]``; the first MsgSeqNum. Asks :meth:`_require_sendable` first."""

    @abstractmethod
    def _held_back(self, queued: int, refused: int) -> None:
        """The throttle has let rows wait, or refused them."""

    def send_orders(self, orders: Any, count: int, first: int = 0) -> int:
        """Send ORDER rows ``first .. first+count``; the first MsgSeqNum (0: none was sent, all wait).

        A session on quickfix is numbered in its worker: there it is the number that is most likely.

        Raises
        ------
        HotPathError
            A row cannot be put on the wire: those before it are sent, it and those after it are not.
        ThrottledError
            ``error.refused`` were not sent and do not wait; the others are on their way.
        SessionNotLoggedOnError, StoreFullError, BackpressureError
            As ``send``.
        """
        if self.throttle is None:
            return self._send_rows(self._kernels().encode_orders, orders, first, count, 0)
        kernels = self._kernels()
        self._require_sendable()
        rows, refused = self.throttle.admit_rows(orders, first, count)
        self._held_back(count - len(rows) - len(refused), len(refused))
        try:
            seq = self._send_rows(kernels.encode_orders, rows, 0, len(rows), 0) if len(rows) else 0
        except HotPathError as error:
            error.refused = refused
            raise
        if refused:
            raise self.throttle.refusal(refused, len(rows))
        return seq

    def send_executions(self, executions: Any, count: int, first: int = 0, app_ref: int = 0) -> int:
        """Send EXECUTION rows as 35=8 or 9 by ``header.kind``; the first MsgSeqNum. Errors as :meth:`send_orders`."""
        return self._send_rows(self._kernels().encode_executions, executions, first, count, app_ref)

    def send_quotes(self, quotes: Any, count: int, first: int = 0) -> int:
        """Send QUOTE rows as 35=W; the first MsgSeqNum. Errors as :meth:`send_orders`."""
        return self._send_rows(self._kernels().encode_quotes, quotes, first, count, 0)

    def send_mass_quote(self, entries: Any, count: int, first: int = 0, level: int = 2) -> int:
        """Send QUOTE_ENTRY rows as mass quotes (35=i), many rows a message; the first MsgSeqNum.

        Rows of one ``quote_id`` make one quote, those of one ``set_id`` one quote set of it. ``level`` is
        QuoteResponseLevel(301): 0 no acknowledgement, 1 refusals only, 2 all. The answer (35=b) comes to
        ``on_message``; :func:`fix.codec.quotes.read_mass_quote_ack` reads it.
        A throttle counts messages and refuses the whole call where they do not all fit (ThrottledError).
        Errors as :meth:`send_orders`.
        """
        self._require_sendable()
        if self.throttle is not None:
            self.throttle.admit_quotes(entries, first, count, MAX_ENTRIES)

        def encode(rows: Any, at: int, rest: int, seq: int, now_ns: int) -> tuple[memoryview, Any, int]:
            return self._kernels().encode_mass_quotes(rows, at, rest, seq, now_ns, level)

        return self._send_rows(encode, entries, first, count, 0)

    def _kernels(self) -> HotPath:
        if self.hot is None:
            raise HotPathError(f"{self.settings.name}: no hot path is bound; give the session one, or use send()")
        return self.hot
