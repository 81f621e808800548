"""Why the gate said no: codes ``CATEGORY_CONDITION`` and the text and table made from them.

Codes are 1..99, so that they share EVENT.code with the engine's own events. Kernels bake the
codes in; naming market.jit here makes a change of this file renew their cache.
"""

from dataclasses import dataclass
from enum import IntEnum


class Denial(IntEnum):
    """What a check returns; NONE allows. Numbers are in journals: never reuse one."""

    NONE = 0
    STATE_KILLED = 1
    STATE_HALTED = 2
    STATE_REDUCING = 3
    SESSION_NOT_READY = 4
    INSTRUMENT_UNKNOWN = 5
    INSTRUMENT_NOT_OPEN = 6
    INSTRUMENT_EXPIRED = 7
    ORDER_BAD_SIDE = 10
    ORDER_BAD_QTY = 11
    ORDER_BAD_PRICE = 12
    ORDER_OFF_TICK = 13
    SIZE_QTY = 14
    SIZE_NOTIONAL = 15
    STALE_FEED = 20
    STALE_UNDERLYING = 21
    STALE_THEO = 22
    THEO_UNKNOWN = 23
    MARKET_EMPTY = 24
    MARKET_CROSSED = 25
    COLLAR_THEO = 26
    COLLAR_MARKET = 27
    CROSS_OWN = 28
    POSITION_SERIES = 30
    POSITION_HEDGE = 31
    POSITION_UNDERLYING = 32
    DELTA_PORTFOLIO = 33
    DELTA_HELD = 34
    VEGA_PORTFOLIO = 35
    VEGA_HELD = 36
    RATE_MESSAGES = 40
    RATE_DUPLICATES = 41
    ORDERS_OPEN = 42


@dataclass(frozen=True, slots=True)
class DenialSpec:
    """``value`` and ``bound`` name the two numbers that an event carries beside the code."""

    value: str
    bound: str
    meaning: str


DENIALS: dict[Denial, DenialSpec] = {
    Denial.STATE_KILLED: DenialSpec("state", "", "killed: nothing but cancels until a person re-arms"),
    Denial.STATE_HALTED: DenialSpec("state", "", "firm, underlying, instrument or session is halted"),
    Denial.STATE_REDUCING: DenialSpec("order_qty", "reducible_qty", "only orders that reduce the position may pass"),
    Denial.SESSION_NOT_READY: DenialSpec("link", "needed", "the session is down or not reconciled"),
    Denial.INSTRUMENT_UNKNOWN: DenialSpec("instrument", "defined_below", "no definition of the instrument was seen"),
    Denial.INSTRUMENT_NOT_OPEN: DenialSpec("status", "needed", "the venue does not say that it is open"),
    Denial.INSTRUMENT_EXPIRED: DenialSpec("market_ns", "expiry_ns", "the series has expired"),
    Denial.ORDER_BAD_SIDE: DenialSpec("side", "", "neither buy nor sell"),
    Denial.ORDER_BAD_QTY: DenialSpec("qty", "minimum", "quantity must be at least 1"),
    Denial.ORDER_BAD_PRICE: DenialSpec("price_ticks", "minimum", "price must be at least one unit"),
    Denial.ORDER_OFF_TICK: DenialSpec("price_ticks", "step_ticks", "not a price of the tick table"),
    Denial.SIZE_QTY: DenialSpec("qty", "limit", "larger than max_order_qty or max_hedge_order_qty"),
    Denial.SIZE_NOTIONAL: DenialSpec("notional", "limit", "above max_order_notional or max_hedge_order_notional"),
    Denial.STALE_FEED: DenialSpec("age_ms", "limit_ms", "the instrument's feed is silent"),
    Denial.STALE_UNDERLYING: DenialSpec("age_ms", "limit_ms", "the underlying's feed is silent"),
    Denial.STALE_THEO: DenialSpec("age_ms", "limit_ms", "theo is old"),
    Denial.THEO_UNKNOWN: DenialSpec("theo", "", "there is no theo to hold the price against"),
    Denial.MARKET_EMPTY: DenialSpec("price_ticks", "", "nobody else quotes: no market to hold the price against"),
    Denial.MARKET_CROSSED: DenialSpec("bid_ticks", "ask_ticks", "the market is crossed: its data are not believed"),
    Denial.COLLAR_THEO: DenialSpec("price", "worst_price", "priced too far past theo"),
    Denial.COLLAR_MARKET: DenialSpec("price_ticks", "worst_ticks", "priced too far past the market"),
    Denial.CROSS_OWN: DenialSpec("price_ticks", "own_ticks", "would trade with our own order"),
    Denial.POSITION_SERIES: DenialSpec("worst_qty", "limit", "max_series_position, working orders counted"),
    Denial.POSITION_HEDGE: DenialSpec("worst_qty", "limit", "max_hedge_position, working orders counted"),
    Denial.POSITION_UNDERLYING: DenialSpec("worst_qty", "limit", "max_underlying_position, working orders counted"),
    Denial.DELTA_PORTFOLIO: DenialSpec("worst_delta", "limit", "max_portfolio_delta, working orders counted"),
    Denial.DELTA_HELD: DenialSpec("delta_after", "limit", "max_held_delta, and the order takes it further"),
    Denial.VEGA_PORTFOLIO: DenialSpec("worst_vega", "limit", "max_portfolio_vega, working orders counted"),
    Denial.VEGA_HELD: DenialSpec("vega_after", "limit", "max_held_vega, and the order takes it further"),
    Denial.RATE_MESSAGES: DenialSpec("burst_used", "burst_allowed", "the session's message budget is used up"),
    Denial.RATE_DUPLICATES: DenialSpec("repeats", "limit", "the same order again and again"),
    Denial.ORDERS_OPEN: DenialSpec("open_orders", "limit", "max_open_orders of the session"),
}


def denial_text(code: int, value: float, bound: float) -> str:
    """``CATEGORY_CONDITION: key=value, key=value``; an unknown code is named by its number."""
    try:
        denial = Denial(code)
    except ValueError:
        return f"DENIAL_{code}: value={value:.12g}, bound={bound:.12g}"
    if denial == Denial.NONE:
        return "NONE"
    spec = DENIALS[denial]
    pairs = [f"{name}={number:.12g}" for name, number in ((spec.value, value), (spec.bound, bound)) if name]
    return f"{denial.name}: {', '.join(pairs)}"


def denial_table() -> str:
    """Markdown table of all denials, for the documentation."""
    rows = ["| code | denial | numbers | meaning |", "|---|---|---|---|"]
    for denial, spec in DENIALS.items():
        names = ", ".join(f"`{name}`" for name in (spec.value, spec.bound) if name)
        rows.append(f"| {denial.value} | `{denial.name}` | {names} | {spec.meaning} |")
    return "\n".join(rows) + "\n"
