"""The matching engine against its plain-Python twin: same commands, same reports, same books."""

import random
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from market.enums import (
    ExecType,
    FrameKind,
    OrderAction,
    OrdType,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradingStatus,
)
from market.jit import JIT_ENABLED
from market.records import EXECUTION, ORDER, QUOTE, table
from simulator.matching import (
    ALL_BOOKS,
    CancelCause,
    CxlRejReason,
    OrdRejReason,
    apply,
    make_arena,
    set_status,
    set_tick_rules,
    take_dirty,
    top_levels,
)
from tests.simulator.matching_audit import audit_pools, levels_of
from tests.simulator.matching_twin import NO_SUCH_ORDER, ROW_FIELDS, Command, Twin

OPERATIONS = 20_000 if JIT_ENABLED else 2_000  # times six cases: 120,000 in all
BOOKS, MAX_ORDERS = 5, 60
RULES = [0, 1, 2, 3, 0]
PLAIN_FIELDS = [f.name for f in fields(Command) if f.name != "order_ref"]
REPORT_FIELDS = ["kind", "exec_id", "ts_ns", *(name for name in ROW_FIELDS if name != "order_ref")]
TOP_FIELDS = ["status", "last_ticks", "bid_ticks", "bid_qty", "bid2_ticks", "bid2_qty"]  # in the order of TwinBook.top
TOP_FIELDS += ["ask_ticks", "ask_qty", "ask2_ticks", "ask2_qty"]
UNUSED_FIELDS = ["source", "crc", "poss_dup", "flags", "commission_e4"]


class Pair:
    """Engine and twin side by side; ``send`` compares what they report."""

    def __init__(self, stp: SelfTradePrevention, max_ticks: int) -> None:
        self.arena = make_arena(BOOKS, MAX_ORDERS, max_ticks, stp=stp)
        set_tick_rules(self.arena, np.array(RULES))
        self.twin = Twin(BOOKS, MAX_ORDERS, max_ticks, stp)
        for book, rule in zip(self.twin.books, RULES, strict=True):
            book.tick_rule = rule
        self.orders, self.out = table(ORDER, 1), table(EXECUTION, 2 * MAX_ORDERS + 3)
        self.out.view(np.uint8)[:] = 0xA5  # a field that is not written shows
        self.quotes, self.dirty = table(QUOTE, 1), np.zeros(BOOKS, np.int64)
        self.ids: dict[int, int] = {}  # the twin's reference number -> OrderID

    def send(self, command: Command, bogus_id: int = 1 << 40) -> list[dict[str, Any]]:
        self.orders[0] = np.zeros(1, ORDER)[0]
        for name in PLAIN_FIELDS:
            self.orders[name][0] = getattr(command, name)
        self.orders["kind"][0] = FrameKind.ORDER
        order_id = bogus_id if command.order_ref == NO_SUCH_ORDER else self.ids.get(command.order_ref, 0)
        self.orders["order_id"][0] = order_id
        n = apply(self.arena, self.orders, 0, self.out, 0)
        expected = self.twin.apply(command)
        rows = self.out[:n]
        got = list(zip(*(rows[name].tolist() for name in [*REPORT_FIELDS, "order_id"]), strict=True))
        wanted = []
        for row, (*_, told_id) in zip(expected, got, strict=False):
            ref = row["order_ref"]
            if ref > 0 and ref not in self.ids:
                assert told_id not in (0, *self.ids.values()), "an OrderID was used twice"
                self.ids[ref] = told_id
            order_id = bogus_id if ref == NO_SUCH_ORDER else self.ids.get(ref, 0)
            wanted.append((*(row[name] for name in REPORT_FIELDS), order_id))
        assert got == wanted, f"{command}\nengine {got}\ntwin   {wanted}"
        assert n == len(expected)
        assert not any(rows[name].any() for name in UNUSED_FIELDS)
        return expected

    def compare_books(self) -> None:
        slots = {order_id & 0xFFFFFF: ref for ref, order_id in self.ids.items() if ref in self.twin.alive}
        resting: set[int] = set()
        for i, book in enumerate(self.twin.books):
            for mine, twins in zip(levels_of(self.arena, i), (book.bids, book.asks), strict=True):
                assert {p: [slots[s] for s in level] for p, level in mine.items()} == {
                    p: [order.ref for order in level] for p, level in twins.items()
                }
                resting.update(slot for level in mine.values() for slot in level)
        audit_pools(self.arena, resting)

    def compare_tops(self) -> None:
        n = take_dirty(self.arena, self.dirty)
        assert sorted(self.dirty[:n].tolist()) == sorted(self.twin.take_changed())
        for i, book in enumerate(self.twin.books):
            top_levels(self.arena, i, self.quotes, 0)
            q = self.quotes[0]
            assert tuple(int(q[name]) for name in TOP_FIELDS) == book.top()
            assert (q["instrument"], q["kind"]) == (i, FrameKind.QUOTE)


class Draw:
    """Random commands that mostly mean something, and sometimes nothing."""

    def __init__(self, seed: int, pair: Pair, max_ticks: int) -> None:
        self.random = random.Random(seed)
        self.pair, self.max_ticks = pair, max_ticks
        self.wide = max_ticks > 1000
        self.now = 0

    def price(self, book: int, side: int) -> int:
        r = self.random
        if r.random() < 0.02:
            return r.choice([0, -5, self.max_ticks, self.max_ticks + 7, 1, self.max_ticks - 1])
        if self.wide and r.random() < 0.3:  # far apart: other pages, other summary words, page edges
            low, high = [1, 63, 64, 65, 128], [4095, 4096, 4100, 70_000, 131_071, 131_072, self.max_ticks - 1]
            price = r.choice(low if (side == Side.BUY) == (r.random() < 0.9) else high)
        else:
            middle = 300 if self.wide else self.max_ticks // 2
            price = middle + int(r.gauss(-9 if side == Side.BUY else 9, 8)) * (5 if RULES[book] in (1, 3) else 1)
        if r.random() < 0.9 and RULES[book]:
            price -= price % 10
        return price

    def new(self) -> Command:
        r = self.random
        book, side = r.randrange(BOOKS), r.choice([Side.BUY, Side.SELL])
        kind = r.choices(["day", "ioc", "fok", "market", "post", "odd"], [50, 12, 8, 8, 20, 2])[0]
        c = Command(instrument=book, owner=r.randrange(1, 6), side=side, qty=r.randrange(1, 40))
        c.price_ticks = self.price(book, side)
        c.cl_ord_id = 0 if r.random() < 0.02 else (7 << 48) + (self.now << 16) + r.randrange(64)
        if kind == "ioc":
            c.tif = TimeInForce.IOC
        elif kind == "fok":
            c.tif = TimeInForce.FOK
        elif kind == "market":
            c.ord_type, c.tif = OrdType.MARKET, r.choice(list(TimeInForce))
        elif kind == "post":
            c.post_only = 1
        elif kind == "odd":
            name, values = r.choice(
                [("side", [0, 53]), ("ord_type", [0, 51]), ("tif", [0, 49]), ("instrument", [BOOKS, ALL_BOOKS]),
                 ("qty", [0, -1, 10**9, 10**9 + 1, 1 << 40]), ("owner", [65_535, 65_536, 1 << 31]), ("post_only", [1])]
            )  # fmt: skip
            setattr(c, name, r.choice(values))
            if name == "post_only":
                c.tif = r.choice([TimeInForce.IOC, TimeInForce.FOK])
        if self.pair.twin.alive and r.random() < 0.02:
            c.owner, c.cl_ord_id = (lambda o: (o.owner, o.cl_ord_id))(r.choice(self.pair.twin.live()))
        return c

    def change(self, action: OrderAction) -> Command:
        r, twin = self.random, self.pair.twin
        c = self.new()
        c.action, c.ord_type, c.tif, c.post_only = action, OrdType.LIMIT, TimeInForce.DAY, int(r.random() < 0.2)
        pool = twin.live() if r.random() < 0.95 else list(twin.orders.values())[-300:]
        if not pool or r.random() < 0.02:
            c.order_ref, c.orig_cl_ord_id = r.choice([0, NO_SUCH_ORDER]), r.choice([0, 12345])
            return c
        order = r.choice(pool)
        c.instrument, c.side, c.owner = order.book, order.side, order.owner
        if r.random() < 0.5:
            c.order_ref = order.ref
            c.orig_cl_ord_id = r.choice([0, order.cl_ord_id])
        else:
            c.orig_cl_ord_id = order.cl_ord_id
        what = r.random()
        if what < 0.25:
            c.price_ticks, c.qty = order.price, max(1, order.qty - r.randrange(0, 4))
        elif what < 0.35:
            c.price_ticks, c.qty = order.price, order.qty + r.randrange(1, 4)
        elif what < 0.45:
            c.qty = order.cum
        else:
            c.price_ticks = self.price(order.book, order.side)
        if r.random() < 0.03:
            name, value = r.choice(
                [("owner", 9), ("instrument", (order.book + 1) % BOOKS), ("side", 99 - order.side), ("qty", 1 << 33),
                 ("ord_type", OrdType.MARKET), ("tif", TimeInForce.IOC), ("qty", 0)]
            )  # fmt: skip
            setattr(c, name, value)
        return c

    def command(self) -> Command:
        r = self.random
        self.now += 1
        kind = r.choices(["new", "cancel", "replace", "mass", "status", "odd"], [58, 16, 23, 0.3, 0.4, 0.2])[0]
        if kind == "new":
            c = self.new()
        elif kind in ("cancel", "replace"):
            c = self.change(OrderAction.CANCEL if kind == "cancel" else OrderAction.REPLACE)
        else:
            actions = {"mass": OrderAction.MASS_CANCEL, "status": OrderAction.MASS_STATUS, "odd": r.choice([0, 9, 255])}
            c = Command(action=actions[kind], owner=r.randrange(1, 7), cl_ord_id=self.now)
            c.instrument = r.choice([*range(BOOKS), ALL_BOOKS, ALL_BOOKS, BOOKS])
            c.reason = int(r.random() < 0.2)
        c.ts_ns = self.now * 1000
        return c


@pytest.mark.parametrize("max_ticks", [640, 200_000], ids=["narrow", "wide"])
@pytest.mark.parametrize("stp", list(SelfTradePrevention), ids=lambda stp: stp.name.lower())
def test_random_commands_give_the_twins_reports_and_books(stp: SelfTradePrevention, max_ticks: int) -> None:
    pair = Pair(stp, max_ticks)
    draw = Draw(1000 * int(stp) + max_ticks, pair, max_ticks)
    seen: dict[tuple[int, int, int], int] = {}
    for i in range(OPERATIONS):
        if draw.random.random() < 0.005:
            book = draw.random.randrange(BOOKS)
            status = draw.random.choice([TradingStatus.HALTED, TradingStatus.CLOSED, *2 * [TradingStatus.OPEN]])
            set_status(pair.arena, book, int(status))
            pair.twin.books[book].status = status
        bogus = draw.random.choice([1 << 24, (1 << 24) + 0xFFFF, 5, (1 << 63) + 1, (1 << 62) + 1])
        for row in pair.send(draw.command(), bogus):
            kind = (int(row["kind"]), int(row["exec_type"]), int(row["reason"]))
            seen[kind] = seen.get(kind, 0) + 1
        if i % 16 == 0:
            pair.compare_tops()
        if i % 500 == 0:
            pair.compare_books()
    pair.compare_books()
    if JIT_ENABLED:  # otherwise too few were drawn to meet everything
        assert_everything_was_met(seen, stp)


def assert_everything_was_met(seen: dict[tuple[int, int, int], int], stp: SelfTradePrevention) -> None:
    """Each kind of report and each reason must have occurred, or the comparison proves too little."""
    report, refusal = FrameKind.EXECUTION, FrameKind.CANCEL_REJECT
    wanted = {(report, t, 0) for t in (ExecType.NEW, ExecType.TRADE, ExecType.REPLACED, ExecType.ORDER_STATUS)}
    wanted |= {(report, ExecType.REJECTED, r) for r in OrdRejReason if r != OrdRejReason.OTHER}
    wanted |= {(report, ExecType.CANCELED, cause) for cause in CancelCause}
    wanted |= {(refusal, ExecType.PENDING_REPLACE, r) for r in CxlRejReason if r != CxlRejReason.OTHER}
    wanted |= {(refusal, ExecType.PENDING_CANCEL, r) for r in (CxlRejReason.TOO_LATE, CxlRejReason.UNKNOWN_ORDER)}
    if stp == SelfTradePrevention.DECREMENT_BOTH:
        wanted.add((report, ExecType.REPLACED, CancelCause.SELF_TRADE))
    assert set(seen) == wanted
