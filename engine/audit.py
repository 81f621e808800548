"""Audit of a run: read its journal as a stranger would, and say where a limit was exceeded.

Plain Python with books of its own; it shares record layouts and limit names with the engine and
nothing else, so a fault in the gate or in exposure counting shows here. For every order that left
the step it checks size, notional, worst-case position (working orders and replaces in flight
counted at their larger quantity), delta and vega held and worst-case, open orders, message budget,
crossing of own orders, and that nothing was sent while halted or killed. Limits are followed
through their changes.

Collars and ages depend on books and clocks of the moment; the gate's own tests cover those.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine import snapshot
from engine.journal import read_journal
from engine.replay import START_SNAPSHOT, engine_for, run_directory
from market.enums import (
    ControlVerb,
    ExecType,
    FrameKind,
    OrderAction,
    OrdStatus,
    RiskState,
    ScopeKind,
    SecurityKind,
    Side,
)
from market.ids import MAX_SLOTS
from market.records import CONTROL, EVENT, EXECUTION, HEADER, INSTRUMENT, ORDER, THEO, as_layout
from risk.limits import Limit

_MOST_SHOWN = 20
_ROUNDING = 1e-9  # sums of floats, in another order than the engine's
_TERMINAL = {int(s) for s in (OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED)}
_SCOPE_STATE = 110  # engine.events.EventCode: written down again, not imported, on purpose
_KILLED, _REARMED, _MISSING = 111, 112, 106
_FILL_STANDS = 1  # engine.state.FILL: likewise


class AuditResult(NamedTuple):
    """Outcome of an audit."""

    ok: bool
    orders: int
    executions: int
    violations: list[str]


class _Order:
    __slots__ = ("counted", "cum", "instrument", "pending", "pending_ticks", "qty", "session", "side", "ticks")

    def __init__(self, instrument: int, session: int, side: int, qty: int, ticks: int) -> None:
        self.instrument, self.session, self.side = instrument, session, side
        self.qty, self.ticks = qty, ticks
        self.pending, self.pending_ticks = 0, 0
        self.cum, self.counted = 0, qty


class _GreekBook:
    """Delta or vega of each underlying: held, and what working orders could add either way."""

    def __init__(self, worst: Limit, held: Limit) -> None:
        self.worst, self.held = worst, held
        self.unit: dict[int, float] = {}  # of one contract, by instrument
        self._parts: dict[int, tuple[float, float, float]] = {}
        self._totals: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    def touch(self, instrument: int, underlying: int, position: int, buys: int, sells: int) -> None:
        """Something about one instrument changed: replace its part of the totals."""
        unit = self.unit.get(instrument, 0.0)
        up, down = (buys, sells) if unit > 0 else (sells, buys)
        part = (unit * position, abs(unit) * up, abs(unit) * down)
        before = self._parts.get(instrument, (0.0, 0.0, 0.0))
        self._parts[instrument] = part
        totals = self._totals[underlying]
        for k in range(3):
            totals[k] += part[k] - before[k]

    def violations(
        self, limits: list[float], instrument: int, underlying: int, sign: int, counted: int
    ) -> Iterator[str]:
        """What an order of ``counted`` contracts (already among the working) exceeds."""
        move = sign * self.unit.get(instrument, 0.0)
        if move == 0.0:
            return
        held, up, down = self._totals[underlying]
        worst = held + up if move > 0 else down - held
        if worst > limits[self.worst] * (1 + _ROUNDING):
            yield f"{self.worst.name.lower()}: {worst:g} exceeds {limits[self.worst]:g}"
        after = abs(held + move * counted)
        if after > limits[self.held] * (1 + _ROUNDING) and after > abs(held) * (1 + _ROUNDING):
            yield f"{self.held.name.lower()}: {after:g} exceeds {limits[self.held]:g}"


class _Auditor:
    """Books of one run."""

    def __init__(self, limits: list[float], definitions: Any, positions: Any) -> None:
        self.limits = limits
        self.definitions: dict[int, tuple[bool, int, float]] = {}
        self.underlying: dict[int, int] = {}
        self.delta = _GreekBook(Limit.MAX_PORTFOLIO_DELTA, Limit.MAX_HELD_DELTA)
        self.vega = _GreekBook(Limit.MAX_PORTFOLIO_VEGA, Limit.MAX_HELD_VEGA)
        for number, row in enumerate(definitions):
            if bytes(row["symbol"]):
                self.define(number, row)
        self.position: dict[int, int] = defaultdict(int, {i: int(p) for i, p in enumerate(positions) if p})
        self.working: dict[tuple[int, int], int] = defaultdict(int)
        self.orders: dict[int, _Order] = {}  # by order slot
        self.fills: dict[tuple[int, int], list[int]] = {}  # session, ExecID: instrument, side, contracts
        self.amended: set[tuple[int, int]] = set()
        self.open: dict[int, int] = defaultdict(int)
        self.sides: dict[tuple[int, int], set[int]] = defaultdict(set)
        self.budget: dict[int, tuple[float, int]] = {}
        self.firm_stopped = True
        self.stopped: set[tuple[int, int]] = set()
        self.checked = self.executions = 0
        self.violations: list[str] = []

    def define(self, number: int, row: Any) -> None:
        option = int(row["security"]) == SecurityKind.OPTION
        multiplier = int(row["multiplier"])
        self.definitions[number] = (option, multiplier, 10.0 ** -int(row["price_scale"]))
        self.underlying[number] = int(row["underlying"])
        # Until theo says better, an option moves like its underlying, as far as it can.
        self.delta.unit.setdefault(number, float(multiplier * int(row["right"]) if option else multiplier))

    def theo(self, row: Any) -> None:
        """A series' fresh Greeks."""
        if int(row["status"]):
            return
        instrument = int(row["instrument"])
        multiplier = self.definitions[instrument][1]
        self.delta.unit[instrument] = float(row["delta"]) * multiplier
        self.vega.unit[instrument] = float(row["vega"]) * multiplier
        self.touch(instrument)

    def touch(self, instrument: int) -> None:
        """Bring the Greek books up to date with one instrument."""
        buys, sells = self.working[instrument, int(Side.BUY)], self.working[instrument, int(Side.SELL)]
        for book in (self.delta, self.vega):
            book.touch(instrument, self.underlying[instrument], self.position[instrument], buys, sells)

    def fail(self, seq: int, what: str) -> None:
        if len(self.violations) < _MOST_SHOWN:
            self.violations.append(f"frame {seq}: {what}")

    def bound(self, seq: int, name: Limit, used: float) -> None:
        if used > self.limits[name] * (1 + 1e-12):
            self.fail(seq, f"{name.name.lower()}: {used:g} exceeds {self.limits[name]:g}")

    # -- orders out ------------------------------------------------------------------------------

    def order(self, row: Any) -> None:
        seq, action, session = int(row["jseq"]), int(row["action"]), int(row["session"])
        self._count_message(seq, session, int(row["recv_ns"]), action)
        if action not in (OrderAction.NEW, OrderAction.REPLACE):
            return
        self.checked += 1
        instrument, side, slot = int(row["instrument"]), int(row["side"]), int(row["slot"])
        qty, ticks = int(row["qty"]), int(row["price_ticks"])
        option, multiplier, unit = self.definitions[instrument]
        scopes = {(int(ScopeKind.INSTRUMENT), instrument), (int(ScopeKind.SESSION), session)}
        if self.firm_stopped or scopes & self.stopped:
            self.fail(seq, "an order was sent while halted")
        if action == OrderAction.NEW:
            order = self.orders[slot] = _Order(instrument, session, side, qty, ticks)
            order.counted = 0
            self.open[session] += 1
            self.sides[instrument, side].add(slot)
        else:
            order = self.orders[slot]
            order.pending, order.pending_ticks = qty, ticks
        open_qty = qty - order.cum
        self._recount(order, max(order.qty, order.pending) - order.cum)
        self.bound(seq, Limit.MAX_ORDER_QTY if option else Limit.MAX_HEDGE_ORDER_QTY, open_qty)
        notional = open_qty * ticks * unit * multiplier
        self.bound(seq, Limit.MAX_ORDER_NOTIONAL if option else Limit.MAX_HEDGE_ORDER_NOTIONAL, notional)
        sign = 1 if side == Side.BUY else -1
        worst = sign * self.position[instrument] + self.working[instrument, side]
        self.bound(seq, Limit.MAX_SERIES_POSITION if option else Limit.MAX_HEDGE_POSITION, worst)
        self.bound(seq, Limit.MAX_OPEN_ORDERS, self.open[session])
        for book in (self.delta, self.vega):
            for text in book.violations(self.limits, instrument, self.underlying[instrument], sign, order.counted):
                self.fail(seq, text)
        self._own_cross(seq, instrument, side, ticks)

    def _own_cross(self, seq: int, instrument: int, side: int, ticks: int) -> None:
        other = Side.SELL if side == Side.BUY else Side.BUY
        for slot in self.sides[instrument, int(other)]:
            order = self.orders[slot]
            for price in {order.ticks, order.pending_ticks if order.pending else order.ticks}:
                if (side == Side.BUY and ticks >= price) or (side == Side.SELL and ticks <= price):
                    self.fail(seq, f"crosses our own order at {price} ticks")

    def _count_message(self, seq: int, session: int, now_ns: int, action: int) -> None:
        """Messages in use of the burst, leaking at the sustained rate; new orders have a share of it."""
        used, since = self.budget.get(session, (0.0, now_ns))
        used = max(0.0, used - (now_ns - since) * 1e-9 * self.limits[Limit.MAX_MESSAGES_PER_S]) + 1.0
        if action in (OrderAction.NEW, OrderAction.REPLACE):
            share = self.limits[Limit.MAX_MESSAGE_BURST] * self.limits[Limit.MAX_NEW_ORDER_SHARE]
            if used > share + 1.0:
                self.fail(seq, f"max_message_burst: {used:.0f} messages in use of {share:.0f}")
        self.budget[session] = (min(used, self.limits[Limit.MAX_MESSAGE_BURST]), now_ns)

    def _recount(self, order: _Order, counted: int) -> None:
        counted = max(0, counted)
        self.working[order.instrument, order.side] += counted - order.counted
        order.counted = counted
        self.touch(order.instrument)

    def _drop(self, slot: int) -> None:
        order = self.orders.pop(slot)
        self._recount(order, 0)
        self.open[order.session] -= 1
        self.sides[order.instrument, order.side].discard(slot)

    # -- answers in ------------------------------------------------------------------------------

    def execution(self, row: Any) -> None:
        self.executions += 1
        kind, exec_type = int(row["kind"]), int(row["exec_type"])
        slot = int(row["cl_ord_id"]) % MAX_SLOTS
        order = self.orders.get(slot)
        if kind != FrameKind.CANCEL_REJECT and exec_type in (ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT):
            self._amend(row, slot)
            return
        if order is None or exec_type == ExecType.ORDER_STATUS:
            return
        if kind == FrameKind.CANCEL_REJECT:
            order.pending = 0
        elif exec_type == ExecType.TRADE:
            traded = int(row["cum_qty"]) - order.cum
            number = (int(row["session"]), int(row["exec_id"]))
            if traded <= 0 or number in self.fills:
                return
            self.fills[number] = [order.instrument, order.side, traded]
            order.cum += traded
            self.position[order.instrument] += traded if order.side == Side.BUY else -traded
            self.touch(order.instrument)
        elif exec_type == ExecType.REPLACED:
            order.qty, order.ticks, order.pending = int(row["order_qty"]), int(row["price_ticks"]), 0
        if int(row["ord_status"]) in _TERMINAL and kind != FrameKind.CANCEL_REJECT:
            self._drop(slot)
        else:
            self._recount(order, max(order.qty, order.pending) - order.cum)

    def _amend(self, row: Any, slot: int) -> None:
        """A bust or correction: the position is without the fill that it names, or with the corrected one."""
        session = int(row["session"])
        number, ref = (session, int(row["exec_id"])), (session, int(row["orig_cl_ord_id"]))
        fill = self.fills.get(ref)
        if number in self.amended or fill is None:
            return
        self.amended.add(number)
        instrument, side, before = fill
        after = int(row["last_qty"]) if int(row["exec_type"]) == ExecType.TRADE_CORRECT else 0
        fill[2] = after
        self.fills[number] = fill  # a later one may name this report
        change = after - before
        self.position[instrument] += change if side == Side.BUY else -change
        order = self.orders.get(slot)
        # Of an order that has ended the slot may be another's by now.
        if order is not None and order.instrument == instrument and int(row["ord_status"]) not in _TERMINAL:
            order.cum, order.qty = int(row["cum_qty"]), int(row["order_qty"])
            self._recount(order, max(order.qty, order.pending) - order.cum)
        self.touch(instrument)

    def event(self, row: Any) -> None:
        code = int(row["code"])
        if code == _MISSING:
            slot = int(row["cl_ord_id"]) % MAX_SLOTS
            if slot in self.orders:
                self._drop(slot)
        elif code == _SCOPE_STATE:
            scope, halted = (int(row["scope"]), int(row["target"])), int(row["ref"]) >= RiskState.HALTED
            if scope[0] == ScopeKind.FIRM:
                self.firm_stopped = halted
            elif halted:
                self.stopped.add(scope)
            else:
                self.stopped.discard(scope)
        elif code in (_KILLED, _REARMED):
            self.firm_stopped = True

    def control(self, row: Any) -> None:
        if int(row["verb"]) == ControlVerb.LIMIT_SET:
            self.limits[int(row["limit"])] = float(row["value"])
        elif int(row["verb"]) == ControlVerb.ARM:
            self.firm_stopped = False  # a refused arming sends nothing either


def _interesting(directory: Path) -> Iterator[tuple[int, Any]]:
    """(kind, row) of the frames an audit looks at, in order."""
    layouts = {
        int(FrameKind.ORDER): ORDER,
        int(FrameKind.EXECUTION): EXECUTION,
        int(FrameKind.CANCEL_REJECT): EXECUTION,
        int(FrameKind.EVENT): EVENT,
        int(FrameKind.CONTROL): CONTROL,
        int(FrameKind.INSTRUMENT): INSTRUMENT,
        int(FrameKind.THEO): THEO,
    }
    for raw in read_journal(directory):
        kinds = np.asarray(as_layout(raw, HEADER)["kind"])
        views = {kind: as_layout(raw, layout) for kind, layout in layouts.items()}
        for at in np.flatnonzero(np.isin(kinds, list(layouts))):
            kind = int(kinds[at])
            yield kind, views[kind][at]


def audit(path: Path) -> AuditResult:
    """Audit one run (see :func:`engine.replay.run_directory` for what ``path`` may be).

    Raises JournalError or SnapshotError when the files are absent or damaged.
    """
    directory = run_directory(Path(path))
    engine = engine_for(directory / START_SNAPSHOT)
    snapshot.load(engine, directory / START_SNAPSHOT)
    auditor = _Auditor(
        [float(v) for v in engine.risk.limits],
        np.asarray(engine.instruments),
        np.asarray(engine.risk.instruments["position"]),
    )
    _take_over(auditor, engine)
    for kind, row in _interesting(directory):
        if kind == FrameKind.ORDER:
            auditor.order(row)
        elif kind in (FrameKind.EXECUTION, FrameKind.CANCEL_REJECT):
            auditor.execution(row)
        elif kind == FrameKind.EVENT:
            auditor.event(row)
        elif kind == FrameKind.CONTROL:
            auditor.control(row)
        elif kind == FrameKind.THEO:
            auditor.theo(row)
        else:
            auditor.define(int(row["instrument"]), row)
    return AuditResult(not auditor.violations, auditor.checked, auditor.executions, auditor.violations)


def _take_over(auditor: _Auditor, engine: Any) -> None:
    """Orders that a run before left open, as the start snapshot has them."""
    known = engine.risk.instruments
    for number in auditor.definitions:
        auditor.delta.unit[number] = float(known[number]["unit_delta"])
        auditor.vega.unit[number] = float(known[number]["unit_vega"])
        auditor.touch(number)
    for fill in np.asarray(engine.fills)[np.asarray(engine.fills["state"]) == _FILL_STANDS]:
        known = [int(fill["instrument"]), int(fill["side"]), int(fill["qty"])]
        for name in ("exec_id", "last_id"):
            auditor.fills[int(fill["session"]), int(fill[name])] = known
    for slot in np.flatnonzero(np.asarray(engine.orders["in_use"])):
        row = engine.orders[int(slot)]
        order = _Order(
            int(row["instrument"]), int(row["session"]), int(row["side"]), int(row["qty"]), int(row["price_ticks"])
        )
        order.cum, order.pending, order.pending_ticks = (
            int(row["cum_qty"]),
            int(row["pending_qty"]),
            int(row["pending_ticks"]),
        )
        order.counted = 0
        auditor.orders[int(slot)] = order
        auditor.open[order.session] += 1
        auditor.sides[order.instrument, order.side].add(int(slot))
        auditor._recount(order, max(order.qty, order.pending) - order.cum)
