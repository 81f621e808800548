"""A random but consistent venue against the step: whatever the interleaving, the books agree.

The venue keeps its own orders and handles requests in order, late; it fills, refuses, drops the line
and answers status requests. Its fills are the independent count: after every frame ``Rig.check``
compares risk with the order slots, and here positions and cash are compared with the venue's
trades, and every open order of the venue with what risk counts as working.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import EventCode
from market.enums import ControlVerb, ExecType, FrameKind, OrderAction, OrdStatus, SessionState, Side
from market.orders import is_open
from tests.engine.step.rig import CALL, MS, OPT, PUT, UNDER, Rig

CONTRADICTIONS = {
    EventCode.UNKNOWN_FILL, EventCode.UNKNOWN_ORDER, EventCode.OVERFILL, EventCode.RECON_MISMATCH,
    EventCode.ILLEGAL_TRANSITION, EventCode.BAD_VALUE,
}  # fmt: skip


@dataclass
class Resting:
    """One order as the venue has it."""

    cl_ord_id: int
    instrument: int
    session: int
    side: int
    ticks: int
    qty: int
    cum: int = 0

    @property
    def leaves(self) -> int:
        return self.qty - self.cum


class Venue:
    """Requests in, reports out, both in order and both late."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.inbound: deque[Any] = deque()
        self.reports: deque[dict[str, Any]] = deque()
        self.orders: dict[int, Resting] = {}
        self.bought = np.zeros(8, np.int64)
        self.cash_e4 = np.zeros(8, np.int64)
        self.told = {"position": np.zeros(8, np.int64), "cash": np.zeros(8, np.int64)}
        self.up = True
        self.seen: list[int] = []

    # -- at the venue ------------------------------------------------------------------------------

    def _say(self, order: Resting, exec_type: ExecType, status: OrdStatus, **fields: Any) -> None:
        values = {
            "session": order.session, "instrument": order.instrument, "side": order.side, "cl_ord_id": order.cl_ord_id,
            "order_id": 1, "price_ticks": order.ticks, "order_qty": order.qty, "cum_qty": order.cum,
            "leaves_qty": order.leaves, "exec_type": exec_type, "ord_status": status,
        } | fields  # fmt: skip
        self.reports.append(values)

    def _status(self, order: Resting) -> OrdStatus:
        if order.leaves == 0:
            return OrdStatus.FILLED
        return OrdStatus.PARTIALLY_FILLED if order.cum else OrdStatus.NEW

    def trade(self, order: Resting, qty: int) -> None:
        qty = min(qty, order.leaves)
        order.cum += qty
        sign = 1 if order.side == Side.BUY else -1
        self.bought[order.instrument] += sign * qty
        multiplier = 1 if order.instrument == UNDER else 100
        self.cash_e4[order.instrument] -= sign * qty * order.ticks * multiplier * 100
        self._say(order, ExecType.TRADE, self._status(order), last_qty=qty, last_ticks=order.ticks)
        if order.leaves == 0:
            del self.orders[order.cl_ord_id]

    def handle(self, refuse: bool, trade_at_once: int) -> None:
        """The oldest request."""
        if not self.inbound:
            return
        request = self.inbound.popleft()
        action = OrderAction(int(request["action"]))
        new_id, old_id = int(request["cl_ord_id"]), int(request["orig_cl_ord_id"])
        if action == OrderAction.NEW:
            order = Resting(
                new_id, int(request["instrument"]), int(request["session"]), int(request["side"]),
                int(request["price_ticks"]), int(request["qty"]),
            )  # fmt: skip
            if refuse:
                self._say(order, ExecType.REJECTED, OrdStatus.REJECTED, leaves_qty=0)
                return
            self.orders[new_id] = order
            self._say(order, ExecType.NEW, OrdStatus.NEW)
            if trade_at_once:
                self.trade(order, trade_at_once)
        elif action == OrderAction.MASS_CANCEL:
            for order in [o for o in self.orders.values() if o.session == int(request["session"])]:
                self._cancel(order, 0)
        elif action == OrderAction.MASS_STATUS:
            self._mass_status(int(request["session"]), new_id)
        else:
            self._change(action, request, refuse, new_id, old_id)

    def _change(self, action: OrderAction, request: Any, refuse: bool, new_id: int, old_id: int) -> None:
        order = self.orders.get(old_id)
        too_late = order is None or (action == OrderAction.REPLACE and int(request["qty"]) <= order.cum)
        if refuse or too_late:
            status = OrdStatus.REJECTED if order is None else self._status(order)
            self.reports.append(
                {"refused": True, "session": int(request["session"]), "cl_ord_id": new_id, "orig_cl_ord_id": old_id,
                 "ord_status": status, "instrument": 0xFFFFFFFF}
            )  # fmt: skip
        elif action == OrderAction.CANCEL:
            self._cancel(order, new_id)
        else:
            del self.orders[old_id]
            order.cl_ord_id, order.ticks, order.qty = new_id, int(request["price_ticks"]), int(request["qty"])
            self.orders[new_id] = order
            self._say(order, ExecType.REPLACED, self._status(order), orig_cl_ord_id=old_id)

    def _cancel(self, order: Resting, new_id: int) -> None:
        del self.orders[order.cl_ord_id]
        ids = {"cl_ord_id": new_id, "orig_cl_ord_id": order.cl_ord_id} if new_id else {}
        self._say(order, ExecType.CANCELED, OrdStatus.CANCELED, leaves_qty=0, **ids)

    def _mass_status(self, session: int, request: int) -> None:
        held = [o for o in self.orders.values() if o.session == session]
        for n, order in enumerate(held):
            last = {"orig_cl_ord_id": request, "tot_reports": len(held), "last_report": int(n == len(held) - 1)}
            self._say(order, ExecType.ORDER_STATUS, self._status(order), **last)
        if not held:
            self.reports.append(
                {"session": session, "instrument": 0xFFFFFFFF, "exec_type": ExecType.ORDER_STATUS,
                 "ord_status": OrdStatus.REJECTED, "orig_cl_ord_id": request, "last_report": 1}
            )  # fmt: skip

    # -- between us --------------------------------------------------------------------------------

    def deliver(self, again: bool = False) -> None:
        """The oldest report, to the step; ``again`` delivers it twice, as a resend may."""
        if not self.reports:
            return
        fields = self.reports.popleft()
        for poss_dup in (0, 1) if again else (0,):
            if fields.get("refused"):
                values = {k: v for k, v in fields.items() if k != "refused"}
                self.take(self.rig.execution(FrameKind.CANCEL_REJECT, **values, poss_dup=poss_dup))
            else:
                self.take(self.rig.execution(**fields, poss_dup=poss_dup))
        if fields.get("exec_type") == ExecType.TRADE:
            n, sign = fields["instrument"], 1 if fields["side"] == Side.BUY else -1
            qty, unit = fields["last_qty"], 1 if fields["instrument"] == UNDER else 100
            self.told["position"][n] += sign * qty
            self.told["cash"][n] -= sign * qty * fields["last_ticks"] * unit * 100
        self.compare()

    def take(self, out: Any) -> None:
        """Orders on their way; with the line down they are lost."""
        self.seen += out.codes()
        self.inbound.extend(o for o in out.orders if self.up or int(o["session"]) != OPT)

    def drop(self) -> None:
        self.up = False
        self.inbound = deque(o for o in self.inbound if int(o["session"]) != OPT)
        self.take(self.rig.session(OPT, SessionState.DOWN))

    def return_(self) -> None:
        """Back, and all that we missed is resent first."""
        self.up = True
        while self.reports:
            self.deliver()
        self.take(self.rig.session(OPT, SessionState.LOGGED_ON))

    def settle(self) -> None:
        """Until nobody has anything to say."""
        for _ in range(2000):
            if not self.inbound and not self.reports:
                return
            self.handle(refuse=False, trade_at_once=0)
            self.deliver()
        raise AssertionError("requests and answers go round for ever")

    # -- the comparison ------------------------------------------------------------------------------

    def compare(self) -> None:
        rig = self.rig
        ledger = np.asarray(rig.engine.ledger)
        positions = np.asarray(rig.engine.risk.instruments)["position"]
        assert np.array_equal(positions, self.told["position"]), "positions are the fills delivered"
        assert np.array_equal(ledger["cash_e4"], self.told["cash"]), "cash to the last 1/10000"
        # Each order that lives at the venue counts with at least what it can still trade.
        open_at_venue = np.zeros((8, 2), np.int64)
        for order in self.orders.values():
            open_at_venue[order.instrument, int(order.side == Side.SELL)] += order.leaves
        for n in range(8):
            undelivered = abs(int(self.bought[n] - self.told["position"][n]))
            buys, sells = rig.working(n)
            assert buys >= open_at_venue[n, 0] and sells >= open_at_venue[n, 1], "nothing works uncounted"
            assert undelivered <= 10_000


def _market(rig: Rig, venue: Venue, shift: int) -> None:
    rig.alive()
    for n in (CALL, PUT):
        venue.take(rig.quote(n, 480 + shift, 520 + shift))
        venue.take(rig.theo(n, (500 + shift) / 100))
    venue.take(rig.quote(UNDER, 9999, 10001, 1000))
    venue.take(rig.commit())


STEP = st.one_of(
    st.tuples(st.just("handle"), st.booleans(), st.integers(0, 3)),
    st.tuples(st.just("handle"), st.just(False), st.just(0)),
    st.tuples(st.just("deliver"), st.just(False), st.just(0)),
    st.tuples(st.just("deliver"), st.booleans(), st.just(0)),
    st.tuples(st.just("trade"), st.booleans(), st.integers(1, 5)),
    st.tuples(st.just("market"), st.booleans(), st.integers(-12, 12)),
    st.tuples(st.just("timer"), st.booleans(), st.integers(1, 300)),
    st.tuples(st.just("line"), st.booleans(), st.just(0)),
    st.tuples(st.just("halt"), st.booleans(), st.integers(CALL, PUT)),
)


@settings(max_examples=60)
@given(st.lists(STEP, min_size=20, max_size=120), st.booleans(), st.booleans())
def test_every_interleaving_keeps_positions_cash_and_exposure_true(steps, hedging, adopt):
    rig = Rig(hedging=hedging)
    rig.engine.links["adopt"] = int(adopt)
    venue = Venue(rig)
    venue.take(rig.open())
    for what, flag, number in steps:
        if what == "handle":
            venue.handle(flag, number)
        elif what == "deliver" and venue.up:
            venue.deliver(flag)
        elif what == "trade" and venue.orders:
            venue.trade(list(venue.orders.values())[number % len(venue.orders)], number)
        elif what == "market":
            _market(rig, venue, number)
        elif what == "timer":
            rig.wait(number * MS)
            rig.alive()
            venue.take(rig.timer(0))
        elif what == "line":
            (venue.drop if venue.up else venue.return_)()
        elif what == "halt":
            verb = ControlVerb.HALT if flag else ControlVerb.RESUME
            venue.take(rig.control(verb, 2, number))
        venue.compare()
    _finish(rig, venue)


def _finish(rig: Rig, venue: Venue) -> None:
    """Line up, everything answered, then a drain: the venue holds nothing, and neither do we."""
    if not venue.up:
        venue.return_()
    venue.settle()
    venue.take(rig.control(ControlVerb.DRAIN))
    venue.settle()
    for _ in range(4):  # what was refused a moment ago is asked again a second later
        rig.wait(4_000 * MS)
        rig.alive()
        venue.take(rig.timer(0))
        venue.settle()
    assert not venue.orders, "nothing stays at the venue"
    assert not any(is_open(int(s)) for s in rig.engine.orders["status"][rig.engine.orders["in_use"] != 0])
    assert rig.working(CALL) == rig.working(PUT) == rig.working(UNDER) == (0, 0)
    positions = np.asarray(rig.engine.risk.instruments)["position"]
    assert np.array_equal(positions, venue.bought), "we hold what the venue says we bought"
    assert not CONTRADICTIONS & set(venue.seen), "a consistent venue is never accused"
