"""OrderStatusRequest (35=H): one order as it stands, answered by an ExecutionReport of ExecType I.

A live order is looked up in the books. One that has ended is told as the newest part of the trade log
has it; what is older is answered as an unknown one is: rejected, OrderID NONE.
"""

from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from fix.messages import Field, Message, utc_timestamp
from market import records
from market.enums import ExecType, OrderAction, Side
from simulator.matching import order_status
from simulator.tradelog import TradeLog
from simulator.venue.clients import Client
from simulator.venue.core import FrameBuffer, VenueCore
from simulator.venue.corrections import backwards
from simulator.venue.requests import Answer, Reject, RequestDesk, wire_id

_UNKNOWN_ORDER = 5  # OrdRejReason(103)
_RENAMING = (int(ExecType.CANCELED), int(ExecType.REPLACED))  # their reports have the order's former id as 41


class StatusDesk(RequestDesk, Protocol):
    """What an order status asks of its venue besides."""

    core: VenueCore
    log: TradeLog

    def now_ns(self) -> int:
        """Market time."""

    def next_exec_id(self) -> int:
        """An ExecID for a report that the books did not make."""


class StatusTicket:
    """An order status under way: the report is made when the books have come to it."""

    def __init__(self, desk: StatusDesk, client: Client, message: Message) -> None:
        self.client = client
        self._desk = desk
        self._message = message
        self._body: list[Field] = []

    def outcome(self, row: Any) -> None:
        """Look the order up, now."""
        book, symbol = int(row["instrument"]), self._message.text(55)
        own_id, order_id = int(row["quote_id"]), int(row["ask_ticks"])
        found = self._live(book, own_id, order_id)
        if found is None:
            found = self._logged(book, own_id, order_id)
            live = self._live(book, 0, int(found["order_id"])) if found is not None else None
            found = found if live is None else live  # by another ClOrdID than it had
        self._body = self._unknown(symbol) if found is None else self._report(found, symbol, book)

    def _live(self, book: int, own_id: int, order_id: int) -> Any:
        """Report of a live order (EXECUTION row); None where it is none."""
        out = FrameBuffer(records.EXECUTION, 1)
        found = order_status(
            self._desk.core.arena, self.client.owner, book, np.uint64(own_id), np.int64(order_id).view(np.uint64),
            self._desk.now_ns(), out.rows,
        )  # fmt: skip
        return out.rows[0] if found else None

    def _logged(self, book: int, own_id: int, order_id: int) -> Any:
        """The last report of an order in the newest part of the trade log; None where it has none."""
        rows = next(backwards(self._desk.log.path, self._desk.log.count), None)
        if rows is None or not (own_id or order_id):
            return None
        mine = rows[(rows["session"] == self.client.owner) & (rows["instrument"] == book) & (rows["order_id"] != 0)]
        mine = mine[(mine["flags"] & records.EXEC_QUOTE) == 0]
        if not order_id:
            renamed = np.isin(mine["exec_type"], _RENAMING) & (mine["orig_cl_ord_id"] == own_id)
            named = mine[renamed | (mine["cl_ord_id"] == own_id)]
            order_id = int(named[-1]["order_id"]) if len(named) else -1
        mine = mine[mine["order_id"] == order_id] if order_id > 0 else mine[:0]
        return mine[-1] if len(mine) else None

    def answer(self) -> Answer | None:
        """The report."""
        return "8", self._body

    def _head(self, order_id: str) -> list[Field]:
        fields: list[Field] = [(37, order_id), (11, self._message.text(11, "NONE"))]
        if self._message.get(790) is not None:
            fields.append((790, self._message.text(790)))
        return [*fields, (17, f"{self._desk.next_exec_id():016X}"), (150, "I")]

    def _report(self, row: Any, symbol: str, book: int) -> list[Field]:
        scale = self._desk.price_scale(book)

        def price(ticks: int | Decimal) -> str:
            return f"{Decimal(ticks).scaleb(-scale):f}"

        cum = int(row["cum_qty"])
        average = price(Decimal(int(row["msg_seq"])) / cum) if cum else "0"
        fields = self._head(f"{int(row['order_id']):016X}")
        fields += [(39, chr(row["ord_status"])), (55, symbol), (54, chr(row["side"])), (38, int(row["order_qty"]))]
        fields += [(44, price(int(row["price_ticks"]))), (151, int(row["leaves_qty"])), (14, cum), (6, average)]
        return [*fields, (60, utc_timestamp(int(row["ts_ns"])))]

    def _unknown(self, symbol: str) -> list[Field]:
        side = self._message.text(54)
        known_side = side if side in (chr(Side.BUY), chr(Side.SELL)) else "7"
        fields = [*self._head("NONE"), (39, "8"), (103, _UNKNOWN_ORDER), (55, symbol), (54, known_side)]
        text = "no order of this session, live or ended of late, has this ClOrdID or OrderID"
        return [*fields, (151, 0), (14, 0), (6, 0), (60, utc_timestamp(self._desk.now_ns())), (58, text)]


class OrderStatusDesk:
    """Turns H into a command, so that its answer is of its place in the order of commands."""

    def __init__(self, desk: StatusDesk, reject: Reject) -> None:
        self._desk = desk
        self._reject = reject

    def order_status(self, client: Client, message: Message) -> None:
        """35=H."""
        book = self._desk.book_of(message.text(55))
        if book < 0:
            self._reject(client, message, 2, f"{message.text(55) or 'no symbol'} is not listed here")
            return
        buffer = self._desk.tickets.frames(StatusTicket(self._desk, client, message), OrderAction.ORDER_STATUS, 1)
        row = buffer.rows[0]
        row["instrument"] = book
        # ClOrdID and OrderID: an id of another form is of no order here, and so is 0. OrderIDs are below 2**63.
        order_id = wire_id(message.get(37)) or 0
        row["quote_id"], row["ask_ticks"] = wire_id(message.get(11)) or 0, order_id if order_id < 1 << 63 else -1
        self._desk.submit(buffer)
