"""A rig that drives ``step`` frame by frame, and counts after every frame what risk must have counted.

No loop, no journal, no sockets: a frame goes in, orders and events come out. ``Rig.feed`` checks the
books of orders and exposure each time, so every test of the step is a test of them too.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.events import EventCode
from engine.handle import make_handle
from engine.state import (
    O_HEDGE_INTERVAL_NS,
    O_HEDGING,
    O_QUOTING,
    O_REASK_NS,
    O_REPLACE_INTERVAL_NS,
    O_REQUOTE_FRACTION,
    O_STUCK_NS,
    SOURCE_VOID,
    W_FREE_COUNT,
    W_FREE_HEAD,
    W_LOST_OUTPUT,
    W_OPEN,
    Engine,
    make_engine,
)
from engine.step.dispatch import step
from market.enums import (
    ControlVerb,
    ExecType,
    FrameKind,
    OrderAction,
    OrdStatus,
    Right,
    ScopeKind,
    SecurityKind,
    SessionState,
    Side,
    TradingStatus,
)
from market.orders import is_open
from market.records import (
    CONTROL,
    EXECUTION,
    INSTRUMENT,
    NO_INSTRUMENT,
    QUOTE,
    RUN_START,
    SESSION,
    THEO,
    THEO_COMMIT,
    TIMER,
    table,
)
from market.rings import FRAME_WORDS
from risk.limits import Limit
from strategies.quoting import QuotingParam

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
S = 1_000_000_000
EXPIRY_NS = START_NS + 30 * 86_400 * S
UNDER, CALL, PUT = 0, 1, 2  # instrument numbers
OPT, EQ = 0, 1  # sessions
LOT = 5
STUCK_NS = 3 * S


@dataclass
class Out:
    """What one frame brought out."""

    orders: list[Any]
    events: list[Any]

    def actions(self) -> list[OrderAction]:
        return [OrderAction(int(o["action"])) for o in self.orders]

    def codes(self) -> list[int]:
        return [int(e["code"]) for e in self.events]

    def event(self, code: int) -> Any:
        found = [e for e in self.events if int(e["code"]) == int(code)]
        assert found, f"no event {int(code)} among {self.codes()}"
        return found[0]

    def of(self, action: OrderAction) -> list[Any]:
        return [o for o in self.orders if int(o["action"]) == action]


class Rig:
    """One underlying on session EQ, options on session OPT; nothing defined until :meth:`open`."""

    def __init__(self, options: int = 2, max_orders: int = 64, hedging: bool = False) -> None:
        self.engine: Engine = make_engine(max(8, options + 1), max_orders)
        self.handle = make_handle(self.engine)
        self.now = START_NS
        self.option_count = options
        self.exec_id = 0
        self.quote_seq = 0
        self.hot = Out([], [])
        words = self.engine.options
        words[O_QUOTING], words[O_HEDGING] = 1.0, float(hedging)
        words[O_REPLACE_INTERVAL_NS], words[O_HEDGE_INTERVAL_NS] = 0, 100 * MS
        words[O_STUCK_NS], words[O_REASK_NS], words[O_REQUOTE_FRACTION] = STUCK_NS, 10 * S, 2e-5
        self.engine.quoting[QuotingParam.LOT] = LOT

    # -- frames ----------------------------------------------------------------------------------

    def feed(self, layout: Any, kind: FrameKind, **fields: Any) -> Out:
        row = table(layout, 1)
        row["kind"], row["recv_ns"] = kind, self.now
        for name, value in fields.items():
            row[name] = value
        self.engine.inputs.cells[0] = np.asarray(row).view(np.int64).reshape(FRAME_WORDS)
        count = int(step(self.handle, 0))
        orders, events = [], []
        for n in range(count):
            if self.engine.outputs.header[n]["kind"] == FrameKind.ORDER:
                orders.append(self.engine.outputs.order[n].copy())
            else:
                events.append(self.engine.outputs.event[n].copy())
        self.check()
        self.hot = Out(orders, events)
        return self.hot

    def wait(self, ns: int) -> None:
        self.now += ns

    def timer(self, after_ns: int = 10 * MS) -> Out:
        self.wait(after_ns)
        return self.feed(TIMER, FrameKind.TIMER, period_ns=10 * MS, wall_ns=self.now)

    def alive(self, *sources: int) -> None:
        for source in sources or (OPT, EQ):
            self.feed(TIMER, FrameKind.TIMER, timer=source + 1, wall_ns=self.now)

    def void(self, source: int) -> Out:
        return self.feed(TIMER, FrameKind.TIMER, timer=source + 1, period_ns=SOURCE_VOID)

    def control(self, verb: ControlVerb, scope: ScopeKind = ScopeKind.FIRM, target: int = 0, **fields: Any) -> Out:
        return self.feed(CONTROL, FrameKind.CONTROL, verb=verb, scope=scope, target=target, **fields)

    def limit(self, limit: Limit, value: float) -> Out:
        return self.control(ControlVerb.LIMIT_SET, limit=limit, value=value)

    def session(self, session: int, state: SessionState) -> Out:
        return self.feed(SESSION, FrameKind.SESSION, session=session, state=state)

    def quote(self, instrument: int, bid: int, ask: int, qty: int = 50, **fields: Any) -> Out:
        """A book of others: ``bid`` and ``ask`` one level each, ours not in it."""
        self.quote_seq += 1
        values = {
            "bid_ticks": bid, "ask_ticks": ask, "bid_qty": qty if bid else 0, "ask_qty": qty if ask else 0,
            "status": TradingStatus.OPEN, "ts_ns": self.now, "src_seq": self.quote_seq,
            "source": EQ if instrument == UNDER else OPT,
        } | fields  # fmt: skip
        return self.feed(QUOTE, FrameKind.QUOTE, instrument=instrument, **values)

    def theo(self, instrument: int, theo: float = 5.0, **fields: Any) -> Out:
        delta = 0.5 if instrument % 2 else -0.5
        values = {
            "delta": delta, "gamma": 0.02, "vega": 10.0, "theta": -5.0, "vol": 0.2, "spot_ref": 100.0, "years": 0.08,
        } | fields  # fmt: skip
        return self.feed(THEO, FrameKind.THEO, instrument=instrument, theo=theo, **values)

    def commit(self) -> Out:
        return self.feed(THEO_COMMIT, FrameKind.THEO_COMMIT, underlying=UNDER, rows=self.option_count, spot_ref=100.0)

    # -- a day's beginning -----------------------------------------------------------------------

    def run_start(self, run: int = 1) -> Out:
        return self.feed(RUN_START, FrameKind.RUN_START, run=run)

    def define(self) -> None:
        common = {"price_scale": 2, "multiplier": 100, "expiry_ns": EXPIRY_NS, "security": SecurityKind.OPTION}
        self.feed(
            INSTRUMENT, FrameKind.INSTRUMENT, instrument=UNDER, underlying=UNDER, security=SecurityKind.EQUITY,
            price_scale=2, multiplier=1, session=EQ, symbol=b"AXM",
        )  # fmt: skip
        for n in range(1, self.option_count + 1):
            right = Right.CALL if n % 2 else Right.PUT
            self.feed(
                INSTRUMENT, FrameKind.INSTRUMENT, instrument=n, underlying=UNDER, right=right, strike=100.0,
                session=OPT, symbol=f"AXM{n}".encode(), **common,
            )  # fmt: skip

    def logon(self, session: int) -> int:
        """Bring a session up as far as its status request; returns the request's id."""
        out = self.session(session, SessionState.LOGGED_ON)
        (request,) = out.of(OrderAction.MASS_STATUS)
        return int(request["cl_ord_id"])

    def no_orders(self, session: int, request: int) -> Out:
        """The venue's word that it holds no order of ours."""
        return self.execution(
            session=session, instrument=NO_INSTRUMENT, exec_type=ExecType.ORDER_STATUS, ord_status=OrdStatus.REJECTED,
            orig_cl_ord_id=request, last_report=1,
        )  # fmt: skip

    def market(self) -> None:
        """Books and theos for everything: call theo 5.00 in a market of 4.80 to 5.20."""
        self.quote(UNDER, 9999, 10001, 1000)
        for n in range(1, self.option_count + 1):
            self.quote(n, 480, 520)
            self.theo(n)

    def ready(self) -> None:
        """Everything but armed."""
        self.run_start()
        self.define()
        for session in (OPT, EQ):
            self.no_orders(session, self.logon(session))
        self.market()

    def open(self) -> Out:
        """Armed; returns the first quotes of the whole chain."""
        self.ready()
        self.control(ControlVerb.ARM)
        return self.commit()

    # -- what the venue answers ------------------------------------------------------------------

    def execution(self, kind: FrameKind = FrameKind.EXECUTION, **fields: Any) -> Out:
        self.exec_id += 1
        values = {"exec_id": self.exec_id, "session": OPT} | fields
        return self.feed(EXECUTION, kind, **values)

    def report(self, order: Any, exec_type: ExecType, status: OrdStatus, **fields: Any) -> Out:
        """A report about the order that an ORDER frame asked for; fields say what differs."""
        qty = int(order["qty"])
        values = {
            "session": order["session"], "instrument": order["instrument"], "side": order["side"],
            "cl_ord_id": order["cl_ord_id"], "orig_cl_ord_id": order["orig_cl_ord_id"], "order_id": 77,
            "price_ticks": order["price_ticks"], "order_qty": qty, "leaves_qty": qty,
        } | fields  # fmt: skip
        return self.execution(exec_type=exec_type, ord_status=status, **values)

    def ack(self, order: Any, **fields: Any) -> Out:
        return self.report(order, ExecType.NEW, OrdStatus.NEW, **fields)

    def fill(self, order: Any, qty: int, cum: int | None = None, **fields: Any) -> Out:
        cum = qty if cum is None else cum
        leaves = max(int(order["qty"]) - cum, 0)
        status = OrdStatus.FILLED if leaves == 0 else OrdStatus.PARTIALLY_FILLED
        values = {"last_qty": qty, "cum_qty": cum, "leaves_qty": leaves, "last_ticks": order["price_ticks"]} | fields
        return self.report(order, ExecType.TRADE, status, **values)

    def canceled(self, order: Any, cum: int = 0, **fields: Any) -> Out:
        return self.report(order, ExecType.CANCELED, OrdStatus.CANCELED, leaves_qty=0, cum_qty=cum, **fields)

    def replaced(self, order: Any, cum: int = 0, **fields: Any) -> Out:
        status = OrdStatus.PARTIALLY_FILLED if cum else OrdStatus.NEW
        leaves = int(order["qty"]) - cum
        return self.report(order, ExecType.REPLACED, status, leaves_qty=leaves, cum_qty=cum, **fields)

    def refuse_change(self, order: Any, status: OrdStatus = OrdStatus.NEW) -> Out:
        """35=9: it names ids, but no instrument and no quantities."""
        return self.execution(
            FrameKind.CANCEL_REJECT, session=order["session"], instrument=NO_INSTRUMENT, ord_status=status,
            cl_ord_id=order["cl_ord_id"], orig_cl_ord_id=order["orig_cl_ord_id"], reason=99,
        )  # fmt: skip

    def status_of(self, slot: int, request: int, last: bool, **fields: Any) -> Out:
        """One line of the answer to a status request, as the slot's order stands with us."""
        o = self.engine.orders[slot]
        values = {
            "session": o["session"], "instrument": o["instrument"], "side": o["side"], "cl_ord_id": o["cl_ord_id"],
            "order_id": 77, "price_ticks": o["price_ticks"], "order_qty": o["qty"], "cum_qty": o["cum_qty"],
            "leaves_qty": o["qty"] - o["cum_qty"], "ord_status": OrdStatus.NEW,
        } | fields  # fmt: skip
        return self.execution(
            exec_type=ExecType.ORDER_STATUS, orig_cl_ord_id=request, tot_reports=1, last_report=int(last), **values
        )

    def halt(self, instrument: int) -> Out:
        return self.control(ControlVerb.HALT, ScopeKind.INSTRUMENT, instrument)

    def freeze(self) -> None:
        """From here on the strategy sends nothing new; what stands, stands."""
        self.engine.options[O_REPLACE_INTERVAL_NS] = 1e18
        self.engine.series["bid_wait_ns"] = self.engine.series["ask_wait_ns"] = self.now + 3600 * S

    # -- questions -------------------------------------------------------------------------------

    def slot(self, instrument: int, side: Side) -> int:
        return int(self.engine.series[instrument]["bid_slot" if side == Side.BUY else "ask_slot"])

    def order(self, instrument: int, side: Side) -> Any:
        slot = self.slot(instrument, side)
        assert slot >= 0, "no order on that side"
        return self.engine.orders[slot]

    def status(self, instrument: int, side: Side) -> OrdStatus:
        return OrdStatus(int(self.order(instrument, side)["status"]))

    def position(self, instrument: int) -> int:
        return int(self.engine.risk.instruments[instrument]["position"])

    def working(self, instrument: int) -> tuple[int, int]:
        row = self.engine.risk.instruments[instrument]
        return int(row["working_buy"]), int(row["working_sell"])

    def cash(self, instrument: int) -> float:
        return int(self.engine.ledger[instrument]["cash_e4"]) / 1e4

    def state(self, instrument: int) -> int:
        return int(self.engine.risk.instruments[instrument]["state"])

    # -- what always holds -----------------------------------------------------------------------

    def check(self) -> None:
        """Risk's quantities are those of the order slots, the slots are all accounted for."""
        engine = self.engine
        orders = np.asarray(engine.orders)
        used = orders["in_use"] != 0
        open_now = np.array([is_open(int(s)) for s in orders["status"]])
        assert not (used & ~open_now).any(), "a slot is held by an order that is over"
        could = np.maximum(np.maximum(orders["qty"], orders["pending_qty"]) - orders["cum_qty"], 0)
        assert (orders["counted"][used] == could[used]).all(), "an order counts with what it may still trade"
        assert (orders["counted"][~used] == 0).all(), "an order that is over counts nothing"
        for n in range(len(engine.instruments)):
            row = engine.risk.instruments[n]
            for side, name in ((Side.BUY, "working_buy"), (Side.SELL, "working_sell")):
                mine = used & (orders["instrument"] == n) & (orders["side"] == side)
                assert row[name] == orders["counted"][mine].sum(), f"{name} of instrument {n}"
            account = engine.ledger[n]
            assert row["position"] == account["bought"] - account["sold"]
            for name, side in (("bid_slot", Side.BUY), ("ask_slot", Side.SELL)):
                slot = engine.series[n][name]
                assert slot < 0 or (used[slot] and orders[slot]["instrument"] == n and orders[slot]["side"] == side)
        assert engine.words[W_OPEN] == used.sum() == engine.risk.sessions["open_orders"].sum()
        free, head, count = engine.free, int(engine.words[W_FREE_HEAD]), int(engine.words[W_FREE_COUNT])
        waiting = free[(head + np.arange(count)) % len(free)]
        assert sorted([*waiting, *np.flatnonzero(used)]) == list(range(len(orders))), "every slot once"
        assert engine.words[W_LOST_OUTPUT] == 0


__all__ = ["CALL", "EQ", "LOT", "MS", "OPT", "PUT", "START_NS", "STUCK_NS", "UNDER", "EventCode", "Out", "Rig", "S"]
