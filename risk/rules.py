"""The rules of the gate, one small kernel each: numbers in, ``Denial`` or 0 out.

A rule knows nothing of tables or order: ``gate.py`` fetches what it compares and says in which
order rules speak. Every comparison is written so that NaN denies. A value equal to its limit passes.
"""

from market.enums import RiskState as TradingState
from market.enums import SessionState, Side, TradingStatus
from market.instruments import is_on_tick
from market.jit import kernel
from risk.denials import Denial


@kernel(inline=True)
def trading_state(state: int, qty: int, reducible_qty: int) -> int:
    """Nothing in HALTED or KILLED; in REDUCING no more than ``reducible_qty``."""
    if state == TradingState.ACTIVE:
        return 0
    if state == TradingState.REDUCING:
        return 0 if qty <= reducible_qty else Denial.STATE_REDUCING.value
    return Denial.STATE_HALTED.value if state == TradingState.HALTED else Denial.STATE_KILLED.value


@kernel(inline=True)
def session_ready(link: int) -> int:
    """New risk goes only to a session that is logged on and reconciled."""
    return 0 if link == SessionState.READY else Denial.SESSION_NOT_READY.value


@kernel(inline=True)
def instrument_open(status: int) -> int:
    """The venue says that it is open; UNKNOWN is not open."""
    return 0 if status == TradingStatus.OPEN else Denial.INSTRUMENT_NOT_OPEN.value


@kernel(inline=True)
def not_expired(market_ns: int, expiry_ns: int) -> int:
    """``expiry_ns`` 0 means that the instrument has none."""
    return 0 if expiry_ns == 0 or market_ns < expiry_ns else Denial.INSTRUMENT_EXPIRED.value


@kernel(inline=True)
def side_valid(side: int) -> int:
    """Buy or sell; short sale marking is not ours to choose here."""
    return 0 if side == Side.BUY or side == Side.SELL else Denial.ORDER_BAD_SIDE.value


@kernel(inline=True)
def qty_valid(qty: int) -> int:
    """At least one contract."""
    return 0 if qty >= 1 else Denial.ORDER_BAD_QTY.value


@kernel(inline=True)
def price_valid(price_ticks: int) -> int:
    """At least one price unit: neither spreads nor market orders pass this gate."""
    return 0 if price_ticks >= 1 else Denial.ORDER_BAD_PRICE.value


@kernel(inline=True)
def price_on_tick(tick_rule: int, price_ticks: int) -> int:
    """A price the venue takes."""
    return 0 if is_on_tick(tick_rule, price_ticks) else Denial.ORDER_OFF_TICK.value


@kernel(inline=True)
def order_qty(qty: int, limit: float) -> int:
    """Open quantity of the one order."""
    return 0 if qty <= limit else Denial.SIZE_QTY.value


@kernel(inline=True)
def order_notional(notional: float, limit: float) -> int:
    """Price x quantity x multiplier."""
    return 0 if notional <= limit else Denial.SIZE_NOTIONAL.value


@kernel(inline=True)
def fresh(age_ms: float, limit_ms: float, denial: int) -> int:
    """Data no older than the limit; nor from further ahead, which is a clock that jumped back."""
    return 0 if abs(age_ms) <= limit_ms else denial


@kernel(inline=True)
def theo_known(theo: float, theo_ok: int) -> int:
    """Its status is OK and it is a price."""
    return 0 if theo_ok != 0 and 0.0 <= theo < 1e12 else Denial.THEO_UNKNOWN.value


@kernel(inline=True)
def market_present(bid_ticks: int, ask_ticks: int) -> int:
    """Somebody but us quotes at least one side (0 = none)."""
    return 0 if bid_ticks > 0 or ask_ticks > 0 else Denial.MARKET_EMPTY.value


@kernel(inline=True)
def market_sane(bid_ticks: int, ask_ticks: int) -> int:
    """Not crossed; locked passes, since options lock for moments every day."""
    crossed = bid_ticks > 0 and ask_ticks > 0 and bid_ticks > ask_ticks
    return Denial.MARKET_CROSSED.value if crossed else 0


@kernel(inline=True)
def theo_collar(side: int, price: float, worst_price: float) -> int:
    """A buy at ``worst_price`` at most, a sell at least; see ``worst_price_by_theo``."""
    good = price <= worst_price if side == Side.BUY else price >= worst_price
    return 0 if good else Denial.COLLAR_THEO.value


@kernel(inline=True)
def worst_price_by_theo(side: int, theo: float, limit_bp: float, limit_ticks: float, price_unit: float) -> float:
    """Theo plus (buy) or minus (sell) the wider of ``limit_bp`` of it and ``limit_ticks`` price units.

    A ten-millionth of a unit is added, so that a price on the bound passes despite decimal rounding.
    """
    room = max(theo * limit_bp * 1e-4, limit_ticks * price_unit) + 1e-7 * price_unit
    return theo + room if side == Side.BUY else theo - room


@kernel(inline=True)
def market_collar(side: int, price_ticks: int, worst_ticks: float) -> int:
    """A buy at ``worst_ticks`` at most, a sell at least; see ``worst_ticks_by_market``."""
    good = price_ticks <= worst_ticks if side == Side.BUY else price_ticks >= worst_ticks
    return 0 if good else Denial.COLLAR_MARKET.value


@kernel(inline=True)
def worst_ticks_by_market(side: int, bid_ticks: int, ask_ticks: int, limit_ticks: float) -> float:
    """Limit past the side we could trade with (buy: the ask); past the other side where that is empty."""
    if side == Side.BUY:
        return (ask_ticks if ask_ticks > 0 else bid_ticks) + limit_ticks
    return (bid_ticks if bid_ticks > 0 else ask_ticks) - limit_ticks


@kernel(inline=True)
def no_own_cross(side: int, price_ticks: int, own_opposite_ticks: int) -> int:
    """Does not meet our own order on the other side (0 = we have none there)."""
    if own_opposite_ticks <= 0:
        return 0
    meets = price_ticks >= own_opposite_ticks if side == Side.BUY else price_ticks <= own_opposite_ticks
    return Denial.CROSS_OWN.value if meets else 0


@kernel(inline=True)
def position_within(worst: int, limit: float, denial: int) -> int:
    """Position at the worst the working orders of the order's own side can make of it."""
    return 0 if worst <= limit else denial


@kernel(inline=True)
def gross_within(gross: int, limit: float, adds: bool) -> int:
    """Gross contracts of the underlying; an order that takes a position back adds none."""
    return 0 if not adds or gross <= limit else Denial.POSITION_UNDERLYING.value


@kernel(inline=True)
def worst_greek(worst: float, limit: float, denial: int) -> int:
    """Delta or vega if every working order that moves it in the order's direction fills; ``worst`` is towards it."""
    return 0 if worst <= limit else denial


@kernel(inline=True)
def held_greek(held: float, change: float, limit: float, denial: int) -> int:
    """Delta or vega held once this order has filled: within the limit, or nearer to zero than now."""
    after = abs(held + change)
    return 0 if after <= limit or after <= abs(held) else denial


@kernel(inline=True)
def open_orders(count: int, limit: float) -> int:
    """``count`` includes the order in question."""
    return 0 if count <= limit else Denial.ORDERS_OPEN.value


@kernel(inline=True)
def duplicates(repeats: int, limit: float) -> int:
    """``repeats`` is 0 for an order that differs from the last one."""
    return 0 if repeats <= limit else Denial.RATE_DUPLICATES.value


@kernel(inline=True)
def message_rate(burst_used: float, burst_allowed: float) -> int:
    """Messages of the burst in use once this one is sent; 1e-6 covers the division's rounding."""
    return 0 if burst_used <= burst_allowed + 1e-6 else Denial.RATE_MESSAGES.value
