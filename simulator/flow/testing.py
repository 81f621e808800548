"""``FlowRig``: order flow against a real matching engine, without a venue around it.

For tests and benchmarks of order flow, and the shortest example of a venue's cycle.
"""

from typing import Any

import numpy as np

from market.enums import OrdStatus, TradingStatus
from market.instruments import TickRule
from market.records import EXECUTION, ORDER, QUOTE, table
from simulator.flow.flow import Flow
from simulator.matching import apply, make_arena, set_tick_rule, take_dirty, top_levels

_MAX_TICKS = 1 << 20


class FlowRig:
    """Books for every instrument of ``flow``, driven one step at a time."""

    def __init__(self, flow: Flow, max_reports: int = 1 << 16) -> None:
        n = flow.master.count
        self.flow = flow
        self.arena = make_arena(n, 4 * n + flow.max_commands, _MAX_TICKS)
        for number in range(n):
            set_tick_rule(self.arena, number, TickRule(int(flow.master.rows[number]["tick_rule"])))
        self.books: Any = table(QUOTE, n)
        self.books["status"] = int(TradingStatus.OPEN)
        self.orders: Any = table(ORDER, flow.max_commands)
        self.executions: Any = table(EXECUTION, max_reports)
        self.dirty = np.zeros(n, np.int64)
        self.commands = 0
        self.changed_books = 0

    def begin(self, start_ns: int | None = None) -> None:
        """Begin the flow, at its own start unless told, and take the first step there."""
        at = self.flow.start_ns if start_ns is None else start_ns
        self.flow.begin(at)
        self.step(at)

    def step(self, now_ns: int) -> Any:
        """One cycle of a venue; returns the reports of this step (a view, valid until the next)."""
        count = self.flow.step(now_ns, self.books, self.orders)
        self.commands += count
        return self.apply(self.orders, count)

    def apply(self, orders: Any, count: int) -> Any:
        """Apply ORDER rows of anybody; books and flow learn of it. Returns the reports (a view)."""
        reports = 0
        for i in range(count):
            reports = apply(self.arena, orders, i, self.executions, reports)
        changed = take_dirty(self.arena, self.dirty)
        self.changed_books += changed
        for book in self.dirty[:changed]:
            top_levels(self.arena, int(book), self.books, int(book))
        self.flow.on_executions(self.executions, reports)
        return self.executions[:reports]

    def two_sided(self) -> int:
        """Number of books with a bid and an ask."""
        return int(((self.books["bid_qty"] > 0) & (self.books["ask_qty"] > 0)).sum())


def refused(reports: Any) -> Any:
    """The rows of ``reports`` that refuse something."""
    return reports[reports["ord_status"] == int(OrdStatus.REJECTED)]
