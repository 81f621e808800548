"""Fills and ends of orders: what risk counts, cash, and the halt of an instrument that contradicts us."""

import numpy as np

from engine.handle import Handle, fills, in_execution, instruments, ledger, orders, risk, scalars, series
from engine.state import FILL_STANDS, W_CONTRACTS, W_FILLS, W_NEXT_FILL, W_SHARES
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
_STANDS = np.int64(FILL_STANDS)


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
def _account(e: Handle, instrument: int, side: int, qty: int, ticks: int, commission_e4: int, count: int) -> None:
    """Cash, fees and statistics of a fill (``count`` 1), or of one taken back (-1, all others negative).

    Exact in 1/10000 of the currency.
    """
    definition = instruments(e)[instrument]
    money = ticks * qty * np.int64(definition.multiplier)
    for _ in range(4 - np.int64(definition.price_scale)):
        money *= 10
    account = ledger(e)[instrument]
    account.fees_e4 += commission_e4
    account.fills += count
    if side == _BUY:
        account.cash_e4 -= money
        account.bought += qty
    else:
        account.cash_e4 += money
        account.sold += qty
    scalars(e)[W_FILLS] += count
    if definition.security == _OPTION:
        scalars(e)[W_CONTRACTS] += qty
    else:
        scalars(e)[W_SHARES] += qty


@kernel(internal=True)
def book_fill(e: Handle, instrument: int, side: int, qty: int, ticks: int, commission_e4: int) -> float:
    """Account for a fill; returns the edge (theo against price) that it was counted with."""
    _account(e, instrument, side, qty, ticks, commission_e4, np.int64(1))
    edge = 0.0
    if instruments(e)[instrument].security == _OPTION and series(e)[instrument].status == 0:
        price = ticks * risk(e).instruments[instrument].price_unit
        sign = 1.0 if side == _BUY else -1.0
        edge = sign * qty * np.int64(instruments(e)[instrument].multiplier) * (theo_now(e, instrument) - price)
    ledger(e)[instrument].edge += edge
    return edge


@kernel(internal=True)
def unbook_fill(e: Handle, instrument: int, side: int, qty: int, ticks: int, commission_e4: int, edge: float) -> None:
    """Take a fill back, as :func:`book_fill` had counted it, and its position with it."""
    _account(e, instrument, side, -qty, ticks, -commission_e4, np.int64(-1))
    ledger(e)[instrument].edge -= edge
    on_fill(risk(e), instrument, side, -qty, 0)


@kernel(internal=True)
def remember_fill(e: Handle, i: int, instrument: int, side: int, qty: int, edge: float) -> None:
    """Keep what report ``i`` was counted as, in place of the oldest fill."""
    x = in_execution(e)[i]
    place = scalars(e)[W_NEXT_FILL]
    fill = fills(e)[place]
    fill.exec_id = x.exec_id
    fill.last_id = x.exec_id
    fill.commission_e4 = x.commission_e4
    fill.ticks = x.last_ticks
    fill.qty = qty
    fill.edge = edge
    fill.instrument = instrument
    fill.session = x.session
    fill.side = side
    fill.state = _STANDS
    scalars(e)[W_NEXT_FILL] = (place + 1) % len(fills(e))


@kernel(internal=True)
def find_fill(e: Handle, session: int, exec_id: int) -> int:
    """Place of the fill that an ExecID names, by its first or newest report; -1 unknown. Rare, so a scan."""
    for place in range(len(fills(e))):
        fill = fills(e)[place]
        if fill.state != 0 and (fill.exec_id == exec_id or fill.last_id == exec_id) and fill.session == session:
            return np.int64(place)
    return np.int64(-1)


@kernel(internal=True)
def fill_event(e: Handle, code: int, instrument: int, cl_ord_id: int, side: int, qty: int, ticks: int) -> None:
    """Say that we traded; ``ref`` is twice the quantity, odd for a sale."""
    price = ticks * risk(e).instruments[instrument].price_unit
    theo = theo_now(e, instrument) if series(e)[instrument].status == 0 else 0.0
    emit_event(e, code, _INSTRUMENT, instrument, cl_ord_id, price, theo, qty * 2 + (1 if side == _SELL else ZERO))


@kernel(internal=True)
def fill_order(e: Handle, slot: int, cum: int, ticks: int, commission_e4: int) -> tuple[int, float]:
    """Bring a slot's CumQty up to ``cum``: position, working quantity and cash follow; ``(contracts, edge)``.

    The venue's CumQty is what we trade, whatever a single report says its own quantity was.
    """
    order = orders(e)[slot]
    qty = cum - order.cum_qty
    instrument, side = np.int64(order.instrument), np.int64(order.side)
    order.cum_qty = cum
    released = min(qty, order.counted)
    on_fill(risk(e), instrument, side, qty, released)
    order.counted -= released
    edge = book_fill(e, instrument, side, qty, ticks, commission_e4)
    return qty, edge
