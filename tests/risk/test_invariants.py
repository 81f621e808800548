"""What the gate is for: no order of events takes exposure past a limit.

A plain-Python venue and order store stand round the kernels: orders are in flight, acknowledged,
filled in part, replaced, canceled and rejected in any interleaving, and reports of a replace
may be crossed by fills. After every step the exposure is counted from the orders themselves, at
the worst they could still do, and held against the limits; and so is what the state says.
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from market.enums import RiskState as TradingState
from market.enums import ScopeKind, Side
from risk.exposure import counted_qty, on_fill, on_open, on_working
from risk.limits import Limit
from risk.state import set_state
from tests.risk.world import CALL, PUT, UNDERLYING, World

UNIT_DELTA = {UNDERLYING: 1.0, CALL: 50.0, PUT: -25.0}
UNIT_VEGA = {UNDERLYING: 0.0, CALL: 1_600.0, PUT: 800.0}
BOUNDS = {
    Limit.MAX_SERIES_POSITION: 12,
    Limit.MAX_UNDERLYING_POSITION: 18,
    Limit.MAX_HEDGE_POSITION: 400,
    Limit.MAX_PORTFOLIO_DELTA: 600,
    Limit.MAX_PORTFOLIO_VEGA: 16_000,
    Limit.MAX_OPEN_ORDERS: 6,
}


@dataclass
class Order:
    instrument: int
    side: Side
    qty: int  # OrderQty, the venue's
    pending_qty: int = 0  # OrderQty of a replace that is on its way
    cum: int = 0
    counted: int = 0


class Trading(RuleBasedStateMachine):
    """Random trading against the gate."""

    @initialize()
    def start(self) -> None:
        self.world = World()
        for limit, value in BOUNDS.items():
            self.world.limit(limit, value)
        self.orders: list[Order] = []
        self.position = {UNDERLYING: 0, CALL: 0, PUT: 0}

    def _count(self, order: Order, alive: bool = True) -> None:
        counted = counted_qty(order.qty, order.pending_qty, order.cum) if alive else 0
        on_working(self.world.risk, order.instrument, int(order.side), counted - order.counted)
        order.counted = counted
        if not alive:
            self.orders.remove(order)
            on_open(self.world.risk, 0, -1)

    @rule(
        instrument=st.sampled_from([UNDERLYING, CALL, PUT]),
        side=st.sampled_from([Side.BUY, Side.SELL]),
        qty=st.integers(1, 14),
        big=st.booleans(),
    )
    def send(self, instrument: int, side: Side, qty: int, big: bool) -> None:
        qty *= 30 if instrument == UNDERLYING and big else 1
        if self.world.ask(instrument, side, qty=qty) == 0:
            order = Order(instrument, side, qty)
            self.orders.append(order)
            on_open(self.world.risk, 0, 1)
            self._count(order)

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 99), open_qty=st.integers(1, 14))
    def send_replace(self, pick: int, open_qty: int) -> None:
        order = self.orders[pick % len(self.orders)]
        if (
            order.pending_qty == 0
            and self.world.ask_replace(order.counted, order.instrument, order.side, open_qty) == 0
        ):
            order.pending_qty = open_qty + order.cum
            self._count(order)

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 99), accepted=st.booleans())
    def replace_answered(self, pick: int, accepted: bool) -> None:
        order = self.orders[pick % len(self.orders)]
        if order.pending_qty:
            if accepted:
                order.qty = order.pending_qty
            order.pending_qty = 0
            self._count(order, alive=order.qty > order.cum)

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 99), part=st.integers(1, 14))
    def venue_fills(self, pick: int, part: int) -> None:
        order = self.orders[pick % len(self.orders)]
        # The venue may have taken the replace already, its report still on the way.
        most = max(order.qty, order.pending_qty) - order.cum
        qty = min(part, most)
        order.cum += qty
        self.position[order.instrument] += qty if order.side == Side.BUY else -qty
        on_fill(self.world.risk, order.instrument, int(order.side), qty, qty)
        order.counted -= qty
        if order.cum >= order.qty and order.pending_qty == 0:
            self._count(order, alive=False)

    @precondition(lambda self: self.orders)
    @rule(pick=st.integers(0, 99))
    def order_is_gone(self, pick: int) -> None:
        self._count(self.orders[pick % len(self.orders)], alive=False)

    @rule(state=st.sampled_from([TradingState.ACTIVE, TradingState.ACTIVE, TradingState.REDUCING]))
    def operator_sets_state(self, state: TradingState) -> None:
        set_state(self.world.risk, int(ScopeKind.FIRM), 0, int(state))

    def _open(self, instrument: int, side: Side) -> int:
        """Counted from the orders alone: the most they could still trade."""
        mine = [o for o in self.orders if (o.instrument, o.side) == (instrument, side)]
        return sum(max(o.qty, o.pending_qty) - o.cum for o in mine)

    @invariant()
    def state_agrees_with_the_orders(self) -> None:
        rows = self.world.risk.instruments
        for instrument, position in self.position.items():
            row = rows[instrument]
            buys, sells = self._open(instrument, Side.BUY), self._open(instrument, Side.SELL)
            assert (row["position"], row["working_buy"], row["working_sell"]) == (position, buys, sells)
        assert self.world.risk.sessions[0]["open_orders"] == len(self.orders)

    @invariant()
    def no_interleaving_of_fills_can_pass_a_limit(self) -> None:
        gross = 0
        ends = {"delta": [0.0, 0.0], "vega": [0.0, 0.0]}
        for instrument, position in self.position.items():
            high = position + self._open(instrument, Side.BUY)
            low = position - self._open(instrument, Side.SELL)
            worst = max(abs(high), abs(low))
            hedge = instrument == UNDERLYING
            assert worst <= BOUNDS[Limit.MAX_HEDGE_POSITION if hedge else Limit.MAX_SERIES_POSITION]
            gross += 0 if hedge else worst
            for name, units in (("delta", UNIT_DELTA), ("vega", UNIT_VEGA)):
                reach = sorted((high * units[instrument], low * units[instrument]))
                ends[name][0] += reach[0]
                ends[name][1] += reach[1]
        assert gross <= BOUNDS[Limit.MAX_UNDERLYING_POSITION]
        assert max(map(abs, ends["delta"])) <= BOUNDS[Limit.MAX_PORTFOLIO_DELTA]
        assert max(map(abs, ends["vega"])) <= BOUNDS[Limit.MAX_PORTFOLIO_VEGA]
        assert len(self.orders) <= BOUNDS[Limit.MAX_OPEN_ORDERS]


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
