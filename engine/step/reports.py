"""What venues answer: execution reports and cancel rejects applied to order slots, risk and ledger.

Nothing is believed that contradicts what we know: a report for an order we never sent, a fill
beyond the order's quantity, an impossible change of state or an unreadable value halts the
instrument and says so. A fill is counted once, by its CumQty, however often it is delivered.
"""

import numpy as np

from engine.events import EventCode
from engine.handle import (
    Handle,
    in_execution,
    instruments,
    ledger,
    links,
    orders,
    risk,
    scalars,
    series,
    underlying_of,
    unknown_execs,
)
from engine.state import (
    MASS_SLOT,
    W_CONTRACTS,
    W_DUPLICATES,
    W_FILLS,
    W_INSTRUMENTS,
    W_ORPHANS,
    W_REJECTED,
    W_SHARES,
    W_UNKNOWN_EXEC,
)
from engine.step.books import refresh_market
from engine.step.emit import emit_event
from engine.step.hedging import maybe_hedge
from engine.step.quoting import pull, refresh_skew, requote
from engine.step.reconcile import on_order_status
from engine.step.submit import release_slot, theo_now
from market.enums import ExecType, FrameKind, OrdStatus, RiskState, ScopeKind, SecurityKind, Side
from market.ids import slot_of
from market.jit import kernel
from market.orders import allowed, is_terminal
from market.records import EXEC_BAD_VALUE, EXEC_FOREIGN_ID, EXEC_UNKNOWN_SYMBOL
from risk.exposure import counted_qty, on_fill, on_working
from risk.state import set_state

_X_NEW = int(ExecType.NEW)
_X_TRADE = int(ExecType.TRADE)
_X_REPLACED = int(ExecType.REPLACED)
_X_STATUS = int(ExecType.ORDER_STATUS)
_X_CANCELED = int(ExecType.CANCELED)
_X_EXPIRED = int(ExecType.EXPIRED)
_X_REJECTED = int(ExecType.REJECTED)
_X_BUST = int(ExecType.TRADE_CANCEL)
_X_CORRECT = int(ExecType.TRADE_CORRECT)
_S_NEW = int(OrdStatus.NEW)
_S_PARTIAL = int(OrdStatus.PARTIALLY_FILLED)
_S_FILLED = int(OrdStatus.FILLED)
_S_PENDING_NEW = int(OrdStatus.PENDING_NEW)
_S_PENDING_CANCEL = int(OrdStatus.PENDING_CANCEL)
_S_PENDING_REPLACE = int(OrdStatus.PENDING_REPLACE)
_S_UNKNOWN = int(OrdStatus.UNKNOWN)
_REJECT_FRAME = int(FrameKind.CANCEL_REJECT)
_HALTED = int(RiskState.HALTED)
_INSTRUMENT = int(ScopeKind.INSTRUMENT)
_SESSION = int(ScopeKind.SESSION)
_BUY = int(Side.BUY)
_SELL = int(Side.SELL)
_OPTION = int(SecurityKind.OPTION)
_FILL = int(EventCode.FILL)
_UNKNOWN_FILL = int(EventCode.UNKNOWN_FILL)
_UNKNOWN_ORDER = int(EventCode.UNKNOWN_ORDER)
_ORDER_REJECTED = int(EventCode.ORDER_REJECTED)
_CANCEL_REJECTED = int(EventCode.CANCEL_REJECTED)
_BAD_VALUE = int(EventCode.BAD_VALUE)
_UNKNOWN_SYMBOL = int(EventCode.UNKNOWN_SYMBOL)
_OVERFILL = int(EventCode.OVERFILL)
_ILLEGAL = int(EventCode.ILLEGAL_TRANSITION)
_BUST = int(EventCode.TRADE_BUST)


@kernel(internal=True)
def find_order(e: Handle, cl_ord_id: int, orig_cl_ord_id: int) -> int:
    """Slot of the order a report is about (by its own, pending or original ClOrdID), -1 unknown."""
    for candidate in (np.uint64(cl_ord_id), np.uint64(orig_cl_ord_id)):
        slot = slot_of(candidate)
        if candidate == np.uint64(0) or slot == MASS_SLOT or slot >= len(orders(e)):
            continue
        order = orders(e)[slot]
        if order.cl_ord_id == candidate or order.pending_id == candidate:
            return slot
    return np.int64(-1)


@kernel(internal=True)
def halt_instrument(e: Handle, instrument: int) -> None:
    """Fail closed on one instrument: no more orders, quotes pulled, until an operator resumes it."""
    set_state(risk(e), _INSTRUMENT, instrument, _HALTED)
    pull(e, instrument)


@kernel(internal=True)
def _recount(e: Handle, slot: int) -> None:
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
    _recount(e, slot)
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
def _fill_event(e: Handle, code: int, instrument: int, cl_ord_id: int, side: int, qty: int, ticks: int) -> None:
    price = ticks * risk(e).instruments[instrument].price_unit
    theo = theo_now(e, instrument) if series(e)[instrument].status == 0 else 0.0
    emit_event(e, code, _INSTRUMENT, instrument, cl_ord_id, price, theo, qty * 2 + (1 if side == _SELL else 0))


@kernel(internal=True)
def _unknown_report(e: Handle, i: int) -> None:
    """A report about an order that is not in the arena."""
    x = in_execution(e)[i]
    instrument = np.int64(x.instrument)
    if x.exec_type != _X_TRADE:
        emit_event(e, _UNKNOWN_ORDER, _SESSION, np.int64(x.session), x.cl_ord_id, 0.0, 0.0, np.int64(x.exec_type))
        return
    for k in range(len(unknown_execs(e))):
        if unknown_execs(e)[k] == x.exec_id:
            scalars(e)[W_DUPLICATES] += 1
            return
    place = scalars(e)[W_UNKNOWN_EXEC]
    unknown_execs(e)[place] = x.exec_id
    scalars(e)[W_UNKNOWN_EXEC] = (place + 1) % len(unknown_execs(e))
    # The venue says that we traded, so the position is real whoever sent the order.
    side, qty = np.int64(x.side), np.int64(x.last_qty)
    on_fill(risk(e), instrument, side, qty, 0)
    book_fill(e, instrument, side, qty, x.last_ticks, x.commission_e4)
    _fill_event(e, _UNKNOWN_FILL, instrument, x.cl_ord_id, side, qty, x.last_ticks)
    halt_instrument(e, instrument)


@kernel(internal=True)
def _on_trade(e: Handle, i: int, slot: int) -> None:
    """A fill of a known order: once, by CumQty."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    cum = np.int64(x.cum_qty)
    if cum <= order.cum_qty:
        scalars(e)[W_DUPLICATES] += 1
        return
    instrument, side = np.int64(order.instrument), np.int64(order.side)
    qty = cum - order.cum_qty
    if qty != x.last_qty or cum > max(order.qty, order.pending_qty) or is_terminal(order.status):
        # A fill we missed, or one beyond the order: take the venue's quantity, and stop.
        emit_event(e, _OVERFILL, _INSTRUMENT, instrument, x.cl_ord_id, 0.0, 0.0, np.int64(x.last_qty))
        halt_instrument(e, instrument)
        qty = np.int64(x.last_qty)
    order.cum_qty = cum
    released = min(qty, order.counted)
    on_fill(risk(e), instrument, side, qty, released)
    order.counted -= released
    book_fill(e, instrument, side, qty, x.last_ticks, x.commission_e4)
    _fill_event(e, _FILL, instrument, x.cl_ord_id, side, qty, x.last_ticks)
    if is_terminal(order.status):
        return
    if x.leaves_qty == 0 and x.ord_status == _S_FILLED:
        finish(e, slot, _S_FILLED)
        return
    if order.status == _S_NEW or order.status == _S_PENDING_NEW or order.status == _S_UNKNOWN:
        order.status = _S_PARTIAL
    _recount(e, slot)


@kernel(internal=True)
def _on_acknowledged(e: Handle, i: int, slot: int) -> None:
    """NEW or REPLACED: the order stands at the venue as the report says."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    order.order_id = x.order_id
    if x.exec_type == _X_NEW:
        if order.status == _S_PENDING_NEW or order.status == _S_UNKNOWN:
            order.status = _S_NEW if order.cum_qty == 0 else _S_PARTIAL
        return
    order.cl_ord_id = x.cl_ord_id
    order.price_ticks = x.price_ticks
    order.qty = np.int64(x.order_qty)
    if order.pending_id == x.cl_ord_id or order.status == _S_PENDING_REPLACE:
        order.pending_id = np.uint64(0)
        order.pending_qty = 0
        order.status = _S_NEW if order.cum_qty == 0 else _S_PARTIAL
    _recount(e, slot)


@kernel(internal=True)
def _on_cancel_reject(e: Handle, i: int, slot: int) -> None:
    """A cancel or replace was refused: the order is what it was, unless the venue says it is gone."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    if order.pending_id != x.cl_ord_id:
        scalars(e)[W_DUPLICATES] += 1
        return
    order.pending_id = np.uint64(0)
    order.pending_qty = 0
    emit_event(e, _CANCEL_REJECTED, _INSTRUMENT, np.int64(order.instrument), x.cl_ord_id, 0.0, 0.0, np.int64(x.reason))
    if is_terminal(x.ord_status):
        order.status = _S_UNKNOWN  # its report is on the way, or was lost: reconciliation decides
    else:
        order.status = _S_NEW if order.cum_qty == 0 else _S_PARTIAL
    _recount(e, slot)


@kernel(internal=True)
def _apply(e: Handle, i: int, slot: int) -> None:
    """A readable report about a known order."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    if x.kind == _REJECT_FRAME:
        if not is_terminal(order.status):
            _on_cancel_reject(e, i, slot)
    elif x.exec_type == _X_TRADE:
        _on_trade(e, i, slot)
    elif x.exec_type == _X_BUST or x.exec_type == _X_CORRECT:
        emit_event(e, _BUST, _INSTRUMENT, np.int64(order.instrument), x.cl_ord_id, 0.0, 0.0, np.int64(x.last_qty))
        halt_instrument(e, np.int64(order.instrument))
    elif is_terminal(order.status):
        scalars(e)[W_DUPLICATES] += 1
    elif x.exec_type == _X_NEW or x.exec_type == _X_REPLACED:
        _on_acknowledged(e, i, slot)
    elif x.exec_type == _X_CANCELED or x.exec_type == _X_EXPIRED:
        finish(e, slot, np.int64(x.ord_status))
    elif x.exec_type == _X_REJECTED:
        scalars(e)[W_REJECTED] += 1
        emit_event(
            e, _ORDER_REJECTED, _INSTRUMENT, np.int64(order.instrument), x.cl_ord_id, 0.0, 0.0, np.int64(x.reason)
        )
        finish(e, slot, np.int64(x.ord_status))
    elif not allowed(order.status, x.ord_status):
        before = np.float64(order.status)
        emit_event(
            e, _ILLEGAL, _INSTRUMENT, np.int64(order.instrument), x.cl_ord_id, before, 0.0, np.int64(x.ord_status)
        )
        halt_instrument(e, np.int64(order.instrument))


@kernel(internal=True)
def on_execution(e: Handle, i: int) -> None:
    """Entry point of every 35=8 and 35=9."""
    x = in_execution(e)[i]
    link = links(e)[x.session]
    if x.msg_seq > link.last_in_seq:
        link.last_in_seq = x.msg_seq
    if x.exec_type == _X_STATUS and x.kind != _REJECT_FRAME:
        on_order_status(e, i, find_order(e, x.cl_ord_id, x.orig_cl_ord_id))
        return
    slot = np.int64(-1)
    if x.flags & EXEC_FOREIGN_ID == 0:
        slot = find_order(e, x.cl_ord_id, x.orig_cl_ord_id)
    if slot < 0 and (x.flags & EXEC_UNKNOWN_SYMBOL != 0 or x.instrument >= scalars(e)[W_INSTRUMENTS]):
        scalars(e)[W_ORPHANS] += 1
        emit_event(e, _UNKNOWN_SYMBOL, _SESSION, np.int64(x.session), x.cl_ord_id, 0.0, 0.0, np.int64(x.msg_seq))
        return
    instrument = np.int64(orders(e)[slot].instrument) if slot >= 0 else np.int64(x.instrument)
    if x.flags & EXEC_BAD_VALUE != 0:
        emit_event(e, _BAD_VALUE, _INSTRUMENT, instrument, x.cl_ord_id, 0.0, 0.0, np.int64(x.msg_seq))
        halt_instrument(e, instrument)
        return
    if slot < 0:
        _unknown_report(e, i)
        return
    fills = scalars(e)[W_FILLS]
    _apply(e, i, slot)
    refresh_market(e, instrument)
    under = np.int64(underlying_of(e)[instrument])
    if scalars(e)[W_FILLS] != fills and under >= 0:
        refresh_skew(e, under)
        maybe_hedge(e, under)
    if instruments(e)[instrument].security == _OPTION:
        requote(e, instrument)
