"""The journal's auditor finds orders that a correct gate would not have let out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import snapshot
from engine.audit import audit
from engine.journal import Journal, journal_append
from engine.replay import START_SNAPSHOT
from engine.state import make_engine
from market.enums import (
    ControlVerb,
    ExecType,
    FrameKind,
    OrderAction,
    OrdStatus,
    ScopeKind,
    SecurityKind,
    Side,
)
from market.records import CONTROL, EVENT, EXECUTION, INSTRUMENT, ORDER, THEO, table
from risk.limits import Limit


class Run:
    """A journal written by hand: one option (number 1) on one underlying (number 0)."""

    def __init__(self, directory: Path) -> None:
        engine = make_engine(8, 8)
        engine.risk.limits[Limit.MAX_ORDER_QTY] = 10
        engine.risk.limits[Limit.MAX_SERIES_POSITION] = 15
        engine.risk.limits[Limit.MAX_OPEN_ORDERS] = 3
        snapshot.save(engine, directory / START_SNAPSHOT, 1, 0)
        self.journal = Journal(directory, 8, 0)
        self.clock = 0
        for number, kind in ((0, SecurityKind.EQUITY), (1, SecurityKind.OPTION)):
            self.add(INSTRUMENT, kind=FrameKind.INSTRUMENT, instrument=number, security=kind, multiplier=100,
                     price_scale=2, symbol=b"X%d" % number)  # fmt: skip
        self.add(CONTROL, kind=FrameKind.CONTROL, verb=ControlVerb.ARM)

    def add(self, layout: Any, **fields: Any) -> None:
        row = table(layout, 1)
        self.clock += 1_000_000_000
        for name, value in {"recv_ns": self.clock, **fields}.items():
            row[name] = value
        journal_append(self.journal.view, np.asarray(row).view(np.int64).reshape(1, 16), 0, 1)

    def order(
        self, slot: int, qty: int = 5, ticks: int = 100, side: Side = Side.BUY, action: OrderAction = OrderAction.NEW
    ) -> None:
        self.add(
            ORDER, kind=FrameKind.ORDER, action=action, instrument=1, slot=slot, side=side, qty=qty, price_ticks=ticks
        )

    def report(self, slot: int, exec_type: ExecType, status: OrdStatus, **fields: Any) -> None:
        self.add(
            EXECUTION,
            kind=FrameKind.EXECUTION,
            instrument=1,
            cl_ord_id=slot,
            exec_type=exec_type,
            ord_status=status,
            **fields,
        )

    def violations(self) -> list[str]:
        directory = self.journal.directory
        self.journal.close()
        result = audit(directory)
        assert result.ok == (not result.violations)
        return [text.partition(": ")[2] for text in result.violations]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_orders_within_every_limit_pass(run: Run) -> None:
    run.order(0, qty=10)
    run.order(1, qty=5)
    run.order(2, qty=10, ticks=110, side=Side.SELL)
    assert run.violations() == []


def test_order_one_beyond_its_size_is_found(run: Run) -> None:
    run.order(0, qty=11)
    assert run.violations() == ["max_order_qty: 11 exceeds 10"]


def test_position_counts_fills_and_working_orders(run: Run) -> None:
    run.order(0, qty=10)
    run.report(0, ExecType.TRADE, OrdStatus.FILLED, cum_qty=10, last_qty=10)
    run.order(1, qty=6)
    assert run.violations() == ["max_series_position: 16 exceeds 15"]


def test_replace_in_flight_counts_with_its_larger_quantity(run: Run) -> None:
    run.order(0, qty=10)
    run.order(0, qty=2, action=OrderAction.REPLACE)
    run.order(1, qty=6)
    assert run.violations() == ["max_series_position: 16 exceeds 15"]


def test_acknowledged_replace_releases_what_it_gave_up(run: Run) -> None:
    run.order(0, qty=10)
    run.order(0, qty=2, action=OrderAction.REPLACE)
    run.report(0, ExecType.REPLACED, OrdStatus.NEW, order_qty=2, price_ticks=100)
    run.order(1, qty=6)
    assert run.violations() == []


def test_fill_delivered_twice_counts_once(run: Run) -> None:
    run.order(0, qty=10)
    for _ in range(2):
        run.report(0, ExecType.TRADE, OrdStatus.PARTIALLY_FILLED, cum_qty=4, last_qty=4)
    run.order(1, qty=5)
    assert run.violations() == []


def test_held_and_worst_case_delta_follow_theo(run: Run) -> None:
    run.add(CONTROL, kind=FrameKind.CONTROL, verb=ControlVerb.LIMIT_SET, limit=Limit.MAX_HELD_DELTA, value=300)
    run.add(CONTROL, kind=FrameKind.CONTROL, verb=ControlVerb.LIMIT_SET, limit=Limit.MAX_PORTFOLIO_DELTA, value=450)
    run.add(THEO, kind=FrameKind.THEO, instrument=1, delta=0.5, vega=10.0)
    run.order(0, qty=6)  # 6 contracts x 100 x 0.5 = 300 shares: just within
    run.order(1, qty=4)  # 500 shares if both fill
    run.order(2, qty=7, ticks=110, side=Side.SELL)  # the other way: 350 shares short if it fills
    assert run.violations() == ["max_portfolio_delta: 500 exceeds 450", "max_held_delta: 350 exceeds 300"]


def test_order_that_brings_delta_back_passes_beyond_the_limit(run: Run) -> None:
    run.add(THEO, kind=FrameKind.THEO, instrument=1, delta=0.5, vega=10.0)
    run.order(0, qty=10)
    run.report(0, ExecType.TRADE, OrdStatus.FILLED, cum_qty=10, last_qty=10)
    run.add(CONTROL, kind=FrameKind.CONTROL, verb=ControlVerb.LIMIT_SET, limit=Limit.MAX_HELD_DELTA, value=100)
    run.order(1, qty=5, ticks=110, side=Side.SELL)
    run.order(2, qty=1)
    assert run.violations() == ["max_held_delta: 550 exceeds 100"]


def test_open_orders_are_counted_until_terminal(run: Run) -> None:
    for slot in range(3):
        run.order(slot, qty=1)
    run.report(0, ExecType.CANCELED, OrdStatus.CANCELED)
    run.order(3, qty=1)
    run.order(4, qty=1)
    assert run.violations() == ["max_open_orders: 4 exceeds 3"]


def test_crossing_an_own_order_is_found(run: Run) -> None:
    run.order(0, ticks=100)
    run.order(1, ticks=100, side=Side.SELL)
    assert run.violations() == ["crosses our own order at 100 ticks"]


def test_order_while_halted_is_found_and_after_resume_is_not(run: Run) -> None:
    for state in (2, 0):
        run.add(EVENT, kind=FrameKind.EVENT, code=110, scope=ScopeKind.INSTRUMENT, target=1, ref=state)
        run.order(state, qty=1)
    assert run.violations() == ["an order was sent while halted"]


def test_tightened_limit_binds_from_the_next_order_on(run: Run) -> None:
    run.order(0, qty=8)
    run.add(CONTROL, kind=FrameKind.CONTROL, verb=ControlVerb.LIMIT_SET, limit=Limit.MAX_ORDER_QTY, value=4)
    run.order(1, qty=5)
    assert run.violations() == ["max_order_qty: 5 exceeds 4"]
