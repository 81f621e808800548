"""The matching engine once more, slowly: dictionaries, lists and ``max``; no numba, no numpy.

Written from the rules in ``simulator/matching/engine.py``'s docstring, sharing no code with it but
the enums. Orders are known by a reference number (the n-th accepted order) instead of an OrderID.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from market.enums import (
    ExecType,
    FrameKind,
    OrderAction,
    OrdStatus,
    OrdType,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradingStatus,
)
from simulator.matching import ALL_BOOKS, MAX_ORDER_QTY, CancelCause, CxlRejReason, OrdRejReason

NO_SUCH_ORDER = -1

#: Fields of a report that are 0 unless it says otherwise; ``order_ref`` stands for the OrderID.
ROW_FIELDS = ["instrument", "session", "side", "exec_type", "ord_status", "reason", "cl_ord_id", "orig_cl_ord_id"]
ROW_FIELDS += ["msg_seq", "order_ref", "price_ticks", "last_ticks", "last_qty", "order_qty", "leaves_qty", "cum_qty"]
ROW_FIELDS += ["jseq", "last_report", "tot_reports"]


@dataclass
class Command:
    """The fields of an ORDER frame that matter; ``order_ref`` 0 none, NO_SUCH_ORDER a made-up id."""

    action: int = OrderAction.NEW
    instrument: int = 0
    owner: int = 0
    side: int = Side.BUY
    ord_type: int = OrdType.LIMIT
    tif: int = TimeInForce.DAY
    post_only: int = 0
    price_ticks: int = 0
    qty: int = 0
    cl_ord_id: int = 0
    orig_cl_ord_id: int = 0
    order_ref: int = 0
    reason: int = 0
    ts_ns: int = 0


@dataclass
class TwinOrder:
    """One accepted order."""

    ref: int
    owner: int
    book: int
    side: int
    price: int
    qty: int
    cl_ord_id: int
    cum: int = 0
    notional: int = 0  # the engine says it in msg_seq
    leaves: int = 0

    def status(self) -> int:
        if self.leaves == 0:
            return OrdStatus.FILLED
        return OrdStatus.PARTIALLY_FILLED if self.cum else OrdStatus.NEW


@dataclass
class TwinBook:
    """Orders by price, each list in order of priority."""

    bids: dict[int, list[TwinOrder]] = field(default_factory=dict)
    asks: dict[int, list[TwinOrder]] = field(default_factory=dict)
    status: int = TradingStatus.OPEN
    tick_rule: int = 0
    last: int = 0

    def side(self, side: int) -> dict[int, list[TwinOrder]]:
        return self.bids if side == Side.BUY else self.asks

    def top(self) -> tuple[int, ...]:
        """What a QUOTE publishes: status, last, and two levels a side as (price, quantity)."""
        row = [self.status, self.last]
        for prices, side in ((sorted(self.bids, reverse=True), self.bids), (sorted(self.asks), self.asks)):
            for depth in range(2):
                if depth < len(prices):
                    row += [prices[depth], sum(order.leaves for order in side[prices[depth]])]
                else:
                    row += [0, 0]
        return tuple(row)


def increment(rule: int, price: int) -> int:
    """Price increment by TickRule number."""
    low, high = {0: (1, 1), 1: (5, 10), 2: (1, 5), 3: (5, 5)}[rule]
    return low if price < 300 else high


class Twin:
    """All books of a venue; ``apply`` returns reports as dictionaries of EXECUTION fields."""

    def __init__(self, n_books: int, max_orders: int, max_ticks: int, stp: int) -> None:
        self.books = [TwinBook() for _ in range(n_books)]
        self.max_orders, self.max_ticks, self.stp = max_orders, max_ticks, stp
        self.orders: dict[int, TwinOrder] = {}  # every order ever accepted
        self.alive: dict[int, TwinOrder] = {}  # in order of acceptance
        self.published = [book.top() for book in self.books]
        self.exec_id = self.match = 0
        self.out: list[dict[str, Any]] = []
        self.now = 0

    def live(self) -> list[TwinOrder]:
        return list(self.alive.values())

    def find(self, owner: int, cl_ord_id: int) -> TwinOrder | None:
        if cl_ord_id == 0:
            return None
        return next((o for o in self.alive.values() if o.cl_ord_id == cl_ord_id and o.owner == owner), None)

    def take_changed(self) -> set[int]:
        tops = [book.top() for book in self.books]
        changed = {i for i, top in enumerate(tops) if top != self.published[i]}
        self.published = tops
        return changed

    # Reports

    def row(self, **fields: Any) -> dict[str, Any]:
        self.exec_id += 1
        row: dict[str, Any] = dict.fromkeys(ROW_FIELDS, 0)
        row.update(kind=FrameKind.EXECUTION, exec_id=self.exec_id, ts_ns=self.now)
        row.update(fields)
        self.out.append(row)
        return row

    def tell(self, order: TwinOrder, exec_type: int, status: int, **fields: Any) -> dict[str, Any]:
        row = self.row(instrument=order.book, session=order.owner, side=order.side, exec_type=exec_type,
                       ord_status=status, cl_ord_id=order.cl_ord_id, order_ref=order.ref, price_ticks=order.price,
                       msg_seq=order.notional,
                       order_qty=order.qty, leaves_qty=order.leaves, cum_qty=order.cum)  # fmt: skip
        row.update(fields)
        return row

    def canceled(self, order: TwinOrder, cause: int, **fields: Any) -> None:
        order.leaves = 0
        del self.alive[order.ref]
        self.tell(order, ExecType.CANCELED, OrdStatus.CANCELED, reason=cause, **fields)

    def refuse_new(self, c: Command, reason: int) -> None:
        self.row(instrument=c.instrument, session=c.owner & 0xFFFF, side=c.side, exec_type=ExecType.REJECTED,
                 ord_status=OrdStatus.REJECTED, reason=reason, cl_ord_id=c.cl_ord_id, price_ticks=c.price_ticks,
                 order_qty=min(max(c.qty, 0), MAX_ORDER_QTY))  # fmt: skip

    def refuse_change(self, c: Command, reason: int, order: TwinOrder | None) -> None:
        asked = ExecType.PENDING_REPLACE if c.action == OrderAction.REPLACE else ExecType.PENDING_CANCEL
        row = self.row(kind=FrameKind.CANCEL_REJECT, instrument=c.instrument, session=c.owner & 0xFFFF, side=c.side,
                       exec_type=asked, ord_status=OrdStatus.REJECTED, reason=reason, cl_ord_id=c.cl_ord_id,
                       orig_cl_ord_id=c.orig_cl_ord_id, order_ref=c.order_ref)  # fmt: skip
        if order is not None:
            row.update(order_ref=order.ref, side=order.side, ord_status=order.status(), price_ticks=order.price,
                       order_qty=order.qty, leaves_qty=order.leaves, cum_qty=order.cum)  # fmt: skip

    # Rules

    def price_fault(self, book: TwinBook, side: int, price: int, post_only: int) -> int | None:
        if not 1 <= price <= self.max_ticks - 1:
            return OrdRejReason.PRICE_OUT_OF_RANGE
        if price % increment(book.tick_rule, price):
            return OrdRejReason.PRICE_OFF_TICK
        if post_only and self.marketable(book, side, price) is not None:
            return OrdRejReason.WOULD_CROSS
        return None

    @staticmethod
    def marketable(book: TwinBook, side: int, limit: int | None) -> int | None:
        """Best opposite price if an order with ``limit`` (None: any price) may trade there."""
        if side == Side.BUY:
            best = min(book.asks, default=None)
            return best if best is not None and (limit is None or best <= limit) else None
        best = max(book.bids, default=None)
        return best if best is not None and (limit is None or best >= limit) else None

    def new_fault(self, c: Command) -> int | None:
        if not 0 <= c.instrument < len(self.books):
            return OrdRejReason.UNKNOWN_SYMBOL
        book = self.books[c.instrument]
        if book.status != TradingStatus.OPEN:
            return OrdRejReason.EXCHANGE_CLOSED
        if c.owner > 65_535:
            return OrdRejReason.BAD_OWNER
        if c.side not in (Side.BUY, Side.SELL) or c.tif not in (TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK):
            return OrdRejReason.UNSUPPORTED
        if not 1 <= c.qty <= MAX_ORDER_QTY:
            return OrdRejReason.INCORRECT_QUANTITY
        if c.ord_type not in (OrdType.MARKET, OrdType.LIMIT):
            return OrdRejReason.UNSUPPORTED
        if c.post_only and (c.ord_type == OrdType.MARKET or c.tif != TimeInForce.DAY):
            return OrdRejReason.UNSUPPORTED
        if c.ord_type == OrdType.LIMIT:
            fault = self.price_fault(book, c.side, c.price_ticks, c.post_only)
            if fault is not None:
                return fault
        if self.find(c.owner, c.cl_ord_id):
            return OrdRejReason.DUPLICATE_ORDER
        if len(self.alive) >= self.max_orders:
            return OrdRejReason.NO_CAPACITY
        return None

    def fillable(self, order: TwinOrder, limit: int | None) -> bool:
        """By playing it through on the opposite side's lists."""
        book, needed = self.books[order.book], order.leaves
        opposite = book.asks if order.side == Side.BUY else book.bids
        for price in sorted(opposite, reverse=order.side == Side.SELL):
            if limit is not None and (price > limit if order.side == Side.BUY else price < limit):
                break
            for resting in opposite[price]:
                if resting.owner == order.owner:
                    if self.stp == SelfTradePrevention.CANCEL_RESTING:
                        continue
                    return False
                needed -= min(needed, resting.leaves)
                if needed == 0:
                    return True
        return False

    def remove(self, order: TwinOrder) -> None:
        side = self.books[order.book].side(order.side)
        side[order.price].remove(order)
        if not side[order.price]:
            del side[order.price]

    def trade_through(self, order: TwinOrder, limit: int | None) -> None:
        book = self.books[order.book]
        opposite = book.asks if order.side == Side.BUY else book.bids
        while order.leaves:
            price = self.marketable(book, order.side, limit)
            if price is None:
                return
            resting = opposite[price][0]
            if resting.owner == order.owner:
                self.avoid_self_trade(order, resting)
                continue
            qty = min(order.leaves, resting.leaves)
            self.match += 1
            book.last = price
            for party in (resting, order):
                party.leaves -= qty
                party.cum += qty
                party.notional += price * qty
                self.tell(party, ExecType.TRADE, party.status(), last_ticks=price, last_qty=qty, jseq=self.match)
            if not resting.leaves:
                self.remove(resting)
                del self.alive[resting.ref]

    def avoid_self_trade(self, order: TwinOrder, resting: TwinOrder) -> None:
        if self.stp == SelfTradePrevention.CANCEL_INCOMING:
            self.canceled(order, CancelCause.SELF_TRADE)
        elif self.stp == SelfTradePrevention.CANCEL_RESTING:
            self.remove(resting)
            self.canceled(resting, CancelCause.SELF_TRADE)
        else:
            qty = min(order.leaves, resting.leaves)
            if resting.leaves == qty:
                self.remove(resting)
            for party in (resting, order):
                if party.leaves == qty:
                    self.canceled(party, CancelCause.SELF_TRADE)
                else:
                    party.leaves -= qty
                    party.qty -= qty
                    self.tell(party, ExecType.REPLACED, party.status(), reason=CancelCause.SELF_TRADE,
                              orig_cl_ord_id=party.cl_ord_id)  # fmt: skip

    def locate(self, c: Command) -> TwinOrder | int:
        if c.order_ref:
            order = self.orders.get(c.order_ref)
            if order is None:
                return CxlRejReason.UNKNOWN_ORDER
            if order.ref not in self.alive:
                return CxlRejReason.TOO_LATE
        else:
            order = self.find(c.owner, c.orig_cl_ord_id)
        if order is None or order.owner != c.owner or order.book != c.instrument:
            return CxlRejReason.UNKNOWN_ORDER
        return order

    # Commands

    def apply(self, c: Command) -> list[dict[str, Any]]:
        """Carry out one command; returns its reports in order."""
        self.out, self.now = [], c.ts_ns
        handlers: dict[int, Callable[[Command], None]] = {
            OrderAction.NEW: self.new,
            OrderAction.CANCEL: self.cancel,
            OrderAction.REPLACE: self.replace,
            OrderAction.MASS_CANCEL: self.mass_cancel,
            OrderAction.MASS_STATUS: self.mass_status,
        }
        if c.action in handlers:
            handlers[c.action](c)
        else:
            self.refuse_new(c, OrdRejReason.UNSUPPORTED)
        return self.out

    def new(self, c: Command) -> None:
        fault = self.new_fault(c)
        if fault is not None:
            self.refuse_new(c, fault)
            return
        market = c.ord_type == OrdType.MARKET
        price = 0 if market else c.price_ticks
        order = TwinOrder(len(self.orders) + 1, c.owner, c.instrument, c.side, price, c.qty, c.cl_ord_id, leaves=c.qty)
        self.orders[order.ref] = self.alive[order.ref] = order
        self.tell(order, ExecType.NEW, OrdStatus.NEW)
        limit = None if market else order.price
        if c.tif != TimeInForce.FOK or self.fillable(order, limit):
            self.trade_through(order, limit)
        if order.leaves == 0:
            self.alive.pop(order.ref, None)  # self-trade prevention may have ended it already
        elif c.tif == TimeInForce.DAY and not market:
            self.books[order.book].side(order.side).setdefault(order.price, []).append(order)
        else:
            self.canceled(order, CancelCause.NOT_FILLED)

    def cancel(self, c: Command) -> None:
        order = self.locate(c)
        if isinstance(order, int):
            self.refuse_change(c, order, None)
            return
        self.remove(order)
        self.canceled(order, CancelCause.REQUESTED, cl_ord_id=c.cl_ord_id, orig_cl_ord_id=order.cl_ord_id)

    def replace_fault(self, c: Command, order: TwinOrder) -> int | None:
        book = self.books[order.book]
        if book.status != TradingStatus.OPEN:
            return CxlRejReason.NOT_OPEN
        if c.side != order.side or c.ord_type != OrdType.LIMIT or c.tif != TimeInForce.DAY:
            return CxlRejReason.UNSUPPORTED
        if not 1 <= c.qty <= MAX_ORDER_QTY:
            return CxlRejReason.BAD_QUANTITY
        if c.qty <= order.cum:
            return CxlRejReason.TOO_LATE
        fault = self.price_fault(book, order.side, c.price_ticks, c.post_only)
        if fault is not None:
            return CxlRejReason[OrdRejReason(fault).name]
        return CxlRejReason.DUPLICATE_CL_ORD_ID if self.find(c.owner, c.cl_ord_id) else None

    def replace(self, c: Command) -> None:
        order = self.locate(c)
        if isinstance(order, int):
            self.refuse_change(c, order, None)
            return
        fault = self.replace_fault(c, order)
        if fault is not None:
            self.refuse_change(c, fault, order)
            return
        stays = c.price_ticks == order.price and c.qty <= order.qty
        if not stays:
            self.remove(order)
        old = order.cl_ord_id
        order.cl_ord_id, order.price, order.qty, order.leaves = c.cl_ord_id, c.price_ticks, c.qty, c.qty - order.cum
        self.tell(order, ExecType.REPLACED, order.status(), orig_cl_ord_id=old)
        if not stays:
            self.trade_through(order, order.price)
            if order.leaves:
                self.books[order.book].side(order.side).setdefault(order.price, []).append(order)
            else:
                self.alive.pop(order.ref, None)

    def meant(self, c: Command) -> list[TwinOrder] | None:
        """Orders a mass command is about, oldest first; None where it names no book."""
        if c.instrument == ALL_BOOKS and c.reason == 0:
            return [o for o in self.live() if o.owner == c.owner]
        if c.instrument < len(self.books):
            return [o for o in self.live() if o.owner == c.owner and o.book == c.instrument]
        return None

    def mass_cancel(self, c: Command) -> None:
        for order in self.meant(c) or []:
            self.remove(order)
            self.canceled(order, CancelCause.REQUESTED)

    def mass_status(self, c: Command) -> None:
        found = self.meant(c) or []
        for k, order in enumerate(found):
            self.tell(order, ExecType.ORDER_STATUS, order.status(), orig_cl_ord_id=c.cl_ord_id,
                      tot_reports=len(found), last_report=int(k == len(found) - 1))  # fmt: skip
        if not found:
            self.row(instrument=ALL_BOOKS, session=c.owner, exec_type=ExecType.ORDER_STATUS,
                     ord_status=OrdStatus.REJECTED, orig_cl_ord_id=c.cl_ord_id, last_report=1)  # fmt: skip
