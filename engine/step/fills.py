"""Fills and ends of orders: what risk counts, cash, and the halt of an instrument that contradicts us."""

import numpy as np

from engine.handle import Handle, instruments, ledger, orders, risk, scalars, series
from engine.state import W_CONTRACTS, W_FILLS, W_SHARES
from engine.step.emit import ZERO, emit_event
from engine.step.quoting import pull
from engine.step.submit import release_slot, theo_now
from market.enums import RiskState, ScopeKind, SecurityKind, Side
from market.jit import kernel
from market.orders import is_terminal
from risk.exposure import counted_qty, on_fill, on_working
from risk.state import set_state

_HALTED = np.int64(RiskState.HALTED)
_INSTRUMENT = np.int64(ScopeKind.INSTRUMENT)
_BUY = np.int64(Side.BUY)
_SELL = np.int64(Side.SELL)
_OPTION = np.int64(SecurityKind.OPTION)


@kernel(internal=True)
def halt_instrument(e: Handle, instrument: int) -> None:
    """Fail closed on one instrument: no more orders, quotes pulled, until an operator resumes it."""
    set_state(risk(e), _INSTRUMENT, instrument, _HALTED)
    pull(e, instrument)


@kernel(internal=True)
def recount(e: Handle, slot: int) -> None:
    """Make risk count what the slot may still trade."""
    order = orders(e)[slot]
    now = np.int64(0) if is_terminal(order.status) else counted_qty(order.qty, order.pending_qty, order.cum_qty)
    if now != order.counted:
        on_working(risk(e), np.int64(order.instrument), np.int64(order.side), now - order.counted)
        order.counted = now


@kernel(internal=True)
def finish(e: Handle, slot: int, status: int) -> None:
    """The order is terminal: release what it counted for, and its slot."""
    order = orders(e)[slot]
    order.status = status
    order.pending_id = np.uint64(0)
    order.pending_qty = 0
    recount(e, slot)
    if order.in_use != 0:
        release_slot(e, slot)


@kernel(internal=True)
def book_fill(e: Handle, instrument: int, side: int, qty: int, ticks: int, commission_e4: int) -> None:
    """Cash, fees and statistics of a fill; exact in 1/10000 of the currency."""
    definition = instruments(e)[instrument]
    money = ticks * qty * np.int64(definition.multiplier)
    for _ in range(4 - np.int64(definition.price_scale)):
        money *= 10
    sign = np.int64(1) if side == _BUY else np.int64(-1)
    account = ledger(e)[instrument]
    account.cash_e4 -= sign * money
    account.fees_e4 += commission_e4
    account.fills += 1
    if side == _BUY:
        account.bought += qty
    else:
        account.sold += qty
    scalars(e)[W_FILLS] += 1
    if definition.security == _OPTION:
        scalars(e)[W_CONTRACTS] += qty
        if series(e)[instrument].status == 0:
            price = ticks * risk(e).instruments[instrument].price_unit
            account.edge += sign * qty * np.int64(definition.multiplier) * (theo_now(e, instrument) - price)
    else:
        scalars(e)[W_SHARES] += qty


@kernel(internal=True)
def fill_event(e: Handle, code: int, instrument: int, cl_ord_id: int, side: int, qty: int, ticks: int) -> None:
    """Say that we traded; ``ref`` is twice the quantity, odd for a sale."""
    price = ticks * risk(e).instruments[instrument].price_unit
    theo = theo_now(e, instrument) if series(e)[instrument].status == 0 else 0.0
    emit_event(e, code, _INSTRUMENT, instrument, cl_ord_id, price, theo, qty * 2 + (1 if side == _SELL else ZERO))


@kernel(internal=True)
def fill_order(e: Handle, slot: int, cum: int, ticks: int, commission_e4: int) -> int:
    """Bring a slot's CumQty up to ``cum``: position, working quantity and cash follow; returns the contracts.

    The venue's CumQty is what we trade, whatever a single report says its own quantity was.
    """
    order = orders(e)[slot]
    qty = cum - order.cum_qty
    instrument, side = np.int64(order.instrument), np.int64(order.side)
    order.cum_qty = cum
    released = min(qty, order.counted)
    on_fill(risk(e), instrument, side, qty, released)
    order.counted -= released
    book_fill(e, instrument, side, qty, ticks, commission_e4)
    return qty
