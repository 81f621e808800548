"""What counts as exposure: positions, working orders at their worst, and the Greeks of both.

A working order counts from the moment it is sent until it is known to be gone; while a replace is
not acknowledged the order counts with the larger of its two quantities. So per series the position
lies for certain in ``[position - working_sell, position + working_buy]``: acknowledgements, fills
and cancels only narrow that interval, and only an order let through by the gate widens it.
"""

import math

from market.enums import SecurityKind, Side
from market.jit import kernel
from risk.state import RiskState, int64, underlying_slot

__all__ = [
    "counted_qty", "on_fill", "on_open", "on_working", "portfolio_delta", "portfolio_vega",
    "retotal", "set_greeks", "set_position", "underlying_slot", "worst_qty",
]  # fmt: skip


@kernel(inline=True)
def counted_qty(order_qty: int, pending_qty: int, cum_qty: int) -> int:
    """Contracts an open order may still trade: OrderQty, or that of an unacknowledged replace, less CumQty."""
    return max(max(int64(order_qty), int64(pending_qty)) - int64(cum_qty), 0)


@kernel(inline=True)
def worst_qty(position: int, working_buy: int, working_sell: int) -> int:
    """Largest |position| that the working orders can lead to."""
    return max(abs(position + working_buy), abs(position - working_sell))


@kernel(inline=True)
def _add_greeks(risk: RiskState, instrument: int, sign: float) -> None:
    """Add (+1) or take out (-1) everything the instrument contributes to its underlying's Greeks."""
    row = risk.instruments[instrument]
    book = risk.underlyings[row.underlying]
    held = sign * row.position
    buys = sign * row.working_buy
    sells = sign * row.working_sell
    book.held_delta += held * row.unit_delta
    book.held_gamma += held * row.unit_gamma
    book.held_vega += held * row.unit_vega
    delta_up, delta_down = max(row.unit_delta, 0.0), max(-row.unit_delta, 0.0)
    book.working_delta_up += buys * delta_up + sells * delta_down
    book.working_delta_down += buys * delta_down + sells * delta_up
    vega_up, vega_down = max(row.unit_vega, 0.0), max(-row.unit_vega, 0.0)
    book.working_vega_up += buys * vega_up + sells * vega_down
    book.working_vega_down += buys * vega_down + sells * vega_up


@kernel(inline=True)
def _add_gross(risk: RiskState, instrument: int, sign: int) -> None:
    row = risk.instruments[instrument]
    if row.security == SecurityKind.OPTION:
        gross = worst_qty(row.position, row.working_buy, row.working_sell)
        risk.underlyings[row.underlying].gross_contracts += sign * gross


@kernel(inline=True)
def _shift(risk: RiskState, instrument: int, position: int, buys: int, sells: int) -> None:
    """Add to position and working quantities, and move the totals with them (O(1)).

    Working quantities stop at 0: a report counted twice must not make room for more.
    """
    if instrument < 0 or instrument >= risk.instruments.shape[0]:
        return
    row = risk.instruments[instrument]
    if row.defined == 0:  # no underlying yet: keep the quantities, the next retotal adds them up
        row.position += position
        row.working_buy = max(row.working_buy + buys, 0)
        row.working_sell = max(row.working_sell + sells, 0)
        return
    _add_greeks(risk, instrument, -1.0)
    _add_gross(risk, instrument, -1)
    row.position += position
    row.working_buy = max(row.working_buy + buys, 0)
    row.working_sell = max(row.working_sell + sells, 0)
    _add_greeks(risk, instrument, 1.0)
    _add_gross(risk, instrument, 1)


@kernel
def on_working(risk: RiskState, instrument: int, side: int, delta_qty: int) -> None:
    """The counted quantity of our orders changed by ``delta_qty`` (see ``counted_qty``)."""
    change = int64(delta_qty)
    if side == Side.BUY:
        _shift(risk, instrument, 0, change, 0)
    elif side == Side.SELL:
        _shift(risk, instrument, 0, 0, change)


@kernel
def on_fill(risk: RiskState, instrument: int, side: int, qty: int, released_qty: int) -> None:
    """``qty`` traded; ``released_qty`` of it was counted as working (0 for a fill we cannot place)."""
    filled = int64(qty)
    released = int64(released_qty)
    if side == Side.BUY:
        _shift(risk, instrument, filled, -released, 0)
    elif side == Side.SELL:
        _shift(risk, instrument, -filled, 0, -released)


@kernel
def on_open(risk: RiskState, session: int, change: int) -> None:
    """An order was sent (+1) or is gone (-1)."""
    row = risk.sessions[session]
    row.open_orders = max(row.open_orders + int64(change), 0)


@kernel
def set_position(risk: RiskState, instrument: int, position: int) -> None:
    """Adopt a position from a snapshot, a replay or the venue."""
    if 0 <= instrument < risk.instruments.shape[0]:
        _shift(risk, instrument, int64(position) - risk.instruments[instrument].position, 0, 0)


@kernel
def set_greeks(risk: RiskState, instrument: int, delta: float, gamma: float, vega: float) -> bool:
    """Take an option's Greeks per one option (a THEO row with status OK); totals move with them.

    False, and the last Greeks stay, when one is not finite or the instrument is no defined option.
    """
    if instrument < 0 or instrument >= risk.instruments.shape[0]:
        return False
    row = risk.instruments[instrument]
    if row.defined == 0 or row.security != SecurityKind.OPTION:
        return False
    if not (math.isfinite(delta) and math.isfinite(gamma) and math.isfinite(vega)):
        return False
    _add_greeks(risk, instrument, -1.0)
    row.unit_delta = delta * row.multiplier
    row.unit_gamma = gamma * row.multiplier
    row.unit_vega = vega * row.multiplier
    _add_greeks(risk, instrument, 1.0)
    return True


@kernel
def retotal(risk: RiskState, instrument_count: int) -> None:
    """Compute all totals from nothing, in instrument order: takes the rounding of many updates out."""
    for slot in range(risk.firm[0].underlying_count):
        book = risk.underlyings[slot]
        book.gross_contracts = 0
        book.held_delta = 0.0
        book.working_delta_up = 0.0
        book.working_delta_down = 0.0
        book.held_gamma = 0.0
        book.held_vega = 0.0
        book.working_vega_up = 0.0
        book.working_vega_down = 0.0
    for instrument in range(min(instrument_count, risk.instruments.shape[0])):
        if risk.instruments[instrument].defined != 0:
            _add_greeks(risk, instrument, 1.0)
            _add_gross(risk, instrument, 1)


@kernel
def portfolio_delta(risk: RiskState, slot: int, spot_move: float) -> float:
    """Held delta in shares, moved by gamma over ``spot_move`` (currency since the Greeks' spot)."""
    book = risk.underlyings[slot]
    return book.held_delta + book.held_gamma * spot_move


@kernel
def portfolio_vega(risk: RiskState, slot: int) -> float:
    """Held vega, currency per 1.00 of volatility."""
    return risk.underlyings[slot].held_vega
