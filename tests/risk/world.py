"""One small world for all tests of the gate: an underlying (0), a call (1) and a put (2) on it."""

from dataclasses import dataclass, field
from typing import Any

from market.enums import Right, ScopeKind, SecurityKind, SessionState, Side, TradingStatus
from market.enums import RiskState as TradingState
from market.instruments import TickRule
from risk.exposure import on_fill, on_working, set_greeks
from risk.gate import Intent, MarketView, check_new, check_replace
from risk.limits import Limit
from risk.state import RiskState, define_instrument, make_risk_state, set_limit, set_session, set_state

UNDERLYING, CALL, PUT = 0, 1, 2
NOW_NS = 1_450_969_800_000_000_000
EXPIRY_NS = NOW_NS + 30 * 86_400 * 1_000_000_000


def quiet_market(instrument: int, **changes: Any) -> MarketView:
    """A market in which an order at 5.00 (option) or 100.00 (underlying) is unremarkable."""
    price = 10_000 if instrument == UNDERLYING else 500
    view = MarketView(
        status=int(TradingStatus.OPEN),
        bid_ticks=price - 10,
        ask_ticks=price + 10,
        own_opposite_ticks=0,
        theo=0.0 if instrument == UNDERLYING else 5.0,
        theo_ok=0 if instrument == UNDERLYING else 1,
        feed_ns=NOW_NS,
        underlying_ns=NOW_NS,
        theo_ns=NOW_NS,
        market_ns=NOW_NS,
    )
    return view._replace(**changes)


@dataclass
class World:
    """A risk state with what tests say to it most."""

    risk: RiskState = field(default_factory=lambda: make_risk_state(4, 2, 2))

    def __post_init__(self) -> None:
        define_instrument(
            self.risk, UNDERLYING, UNDERLYING, int(SecurityKind.EQUITY), 0, 1, 2, int(TickRule.UNIT), 0, 0
        )
        for number, right in ((CALL, Right.CALL), (PUT, Right.PUT)):
            define_instrument(
                self.risk,
                number,
                UNDERLYING,
                int(SecurityKind.OPTION),
                int(right),
                100,
                2,
                int(TickRule.UNIT),
                0,
                EXPIRY_NS,
            )
        set_greeks(self.risk, CALL, 0.5, 0.0, 16.0)
        set_greeks(self.risk, PUT, -0.25, 0.0, 8.0)
        set_session(self.risk, 0, int(SessionState.READY))
        set_state(self.risk, int(ScopeKind.FIRM), 0, int(TradingState.ACTIVE))

    def limit(self, limit: Limit, value: float) -> None:
        assert set_limit(self.risk, int(limit), value)

    def ask(
        self, instrument: int = CALL, side: Side = Side.BUY, price: int = 0, qty: int = 1, now_ns: int = NOW_NS,
        session: int = 0, **market: Any,
    ) -> int:  # fmt: skip
        """Ask for a new order; nothing is counted."""
        price = price or (10_000 if instrument == UNDERLYING else 500)
        intent = Intent(instrument, session, int(side), price, qty)
        return int(check_new(self.risk, intent, quiet_market(instrument, **market), now_ns))

    def ask_replace(self, old_counted: int, instrument: int = CALL, side: Side = Side.BUY, qty: int = 1) -> int:
        price = 10_000 if instrument == UNDERLYING else 500
        intent = Intent(instrument, 0, int(side), price, qty)
        return int(check_replace(self.risk, intent, quiet_market(instrument), NOW_NS, old_counted))

    def work(self, instrument: int, side: Side, qty: int) -> None:
        on_working(self.risk, instrument, int(side), qty)

    def fill(self, instrument: int, side: Side, qty: int, released: int = 0) -> None:
        on_fill(self.risk, instrument, int(side), qty, released)

    def verdict(self) -> tuple[float, float]:
        """The two numbers of the last denial."""
        return float(self.risk.firm[0]["value"]), float(self.risk.firm[0]["bound"])
