"""What venues answer: execution reports and cancel rejects applied to order slots, risk and ledger.

Nothing is believed that contradicts what we know: a report for an order we never sent, a fill
beyond the order's quantity, an impossible change of state or an unreadable value halts the
instrument and says so. A fill is counted once, by its CumQty, however often it is delivered; busts
and corrections are ``amendments.py``. An
order in state UNKNOWN leaves it only by its end or by the venue's answer to a status request.

(``x["flags"]`` and not ``x.flags``: in plain Python that is numpy's own attribute of a record.)
"""

import numpy as np

from engine.events import EventCode
from engine.handle import (
    Handle,
    in_execution,
    instruments,
    orders,
    risk,
    scalars,
    series,
    underlying_of,
    unknown_execs,
)
from engine.state import (
    MASS_SLOT,
    MAX_SESSIONS,
    W_AMENDED,
    W_DUPLICATES,
    W_FILLS,
    W_INSTRUMENTS,
    W_NOW,
    W_ORPHANS,
    W_REJECTED,
    W_UNKNOWN_EXEC,
)
from engine.step.amendments import on_amendment
from engine.step.books import refresh_market
from engine.step.emit import emit_event
from engine.step.fills import (
    book_fill,
    fill_event,
    fill_order,
    find_fill,
    finish,
    halt_instrument,
    recount,
    remember_fill,
)
from engine.step.hedging import maybe_hedge
from engine.step.quoting import refresh_skew, requote
from engine.step.reconcile import cancel_stranger, missed_fill, on_order_status
from engine.step.submit import PURPOSE_QUOTE
from market.enums import ExecType, FrameKind, OrdStatus, ScopeKind, SecurityKind, Side
from market.ids import slot_of
from market.jit import kernel
from market.orders import allowed, is_terminal
from market.records import EXEC_BAD_VALUE, EXEC_FOREIGN_ID, EXEC_QUOTE, EXEC_UNKNOWN_SYMBOL
from risk.exposure import on_fill

_X_NEW = np.int64(ExecType.NEW)
_X_TRADE = np.int64(ExecType.TRADE)
_X_REPLACED = np.int64(ExecType.REPLACED)
_X_STATUS = np.int64(ExecType.ORDER_STATUS)
_X_CANCELED = np.int64(ExecType.CANCELED)
_X_EXPIRED = np.int64(ExecType.EXPIRED)
_X_REJECTED = np.int64(ExecType.REJECTED)
_X_BUST = np.int64(ExecType.TRADE_CANCEL)
_X_CORRECT = np.int64(ExecType.TRADE_CORRECT)
_S_NEW = np.int64(OrdStatus.NEW)
_S_PARTIAL = np.int64(OrdStatus.PARTIALLY_FILLED)
_S_FILLED = np.int64(OrdStatus.FILLED)
_S_CANCELED = np.int64(OrdStatus.CANCELED)
_S_EXPIRED = np.int64(OrdStatus.EXPIRED)
_S_REJECTED = np.int64(OrdStatus.REJECTED)
_S_PENDING_NEW = np.int64(OrdStatus.PENDING_NEW)
_S_UNKNOWN = np.int64(OrdStatus.UNKNOWN)
_REJECT_FRAME = np.int64(FrameKind.CANCEL_REJECT)
_INSTRUMENT = np.int64(ScopeKind.INSTRUMENT)
_SESSION = np.int64(ScopeKind.SESSION)
_BUY = np.int64(Side.BUY)
_OPTION = np.int64(SecurityKind.OPTION)
_FILL = np.int64(EventCode.FILL)
_UNKNOWN_FILL = np.int64(EventCode.UNKNOWN_FILL)
_ORDER_REJECTED = np.int64(EventCode.ORDER_REJECTED)
_CANCEL_REJECTED = np.int64(EventCode.CANCEL_REJECTED)
_BAD_VALUE = np.int64(EventCode.BAD_VALUE)
_UNKNOWN_SYMBOL = np.int64(EventCode.UNKNOWN_SYMBOL)
_OVERFILL = np.int64(EventCode.OVERFILL)
_ILLEGAL = np.int64(EventCode.ILLEGAL_TRANSITION)

_REJECT_WAIT_NS = 250_000_000  # a side whose order the venue rejected is quoted again after this


@kernel(internal=True)
def find_order(e: Handle, cl_ord_id: int, orig_cl_ord_id: int) -> int:
    """Slot of the order a report is about, by any ClOrdID it ever had; -1 unknown.

    Ids of a slot ascend, so those of the order that holds it lie between its first and its newest:
    a report delivered again after later replaces is still recognised, one about the slot's order
    before is not taken for this one's.
    """
    for candidate in (np.uint64(cl_ord_id), np.uint64(orig_cl_ord_id)):
        slot = slot_of(candidate)
        if candidate == np.uint64(0) or slot == MASS_SLOT or slot >= len(orders(e)):
            continue
        order = orders(e)[slot]
        if order.first_id <= candidate and candidate <= order.last_id:
            return slot
    return np.int64(-1)


@kernel(internal=True)
def _seen_before(e: Handle, i: int) -> bool:
    """Remember the ExecID of a fill of an unknown order; True when it was counted already.

    Venues count their ExecIDs independently of each other, hence the session in the key.
    """
    x = in_execution(e)[i]
    key = np.uint64(x.exec_id) ^ (np.uint64(np.int64(x.session) + 1) << np.uint64(56))
    for k in range(len(unknown_execs(e))):
        if unknown_execs(e)[k] == key:
            return True
    place = scalars(e)[W_UNKNOWN_EXEC]
    unknown_execs(e)[place] = key
    scalars(e)[W_UNKNOWN_EXEC] = (place + 1) % len(unknown_execs(e))
    return False


@kernel(internal=True)
def _unknown_report(e: Handle, i: int) -> None:
    """A report about an order that is not in the arena: its fills are ours, and it must not stay."""
    x = in_execution(e)[i]
    if x.exec_type != _X_TRADE:
        if x.leaves_qty > 0 and x.poss_dup == 0:
            cancel_stranger(e, i)
        else:
            scalars(e)[W_ORPHANS] += 1  # the end of an order that we do not hold: nothing can follow
        return
    if find_fill(e, np.int64(x.session), x.exec_id) >= 0 or _seen_before(e, i):
        scalars(e)[W_DUPLICATES] += 1
        return
    # The venue says that we traded, so the position is real whoever sent the order.
    instrument, side, qty = np.int64(x.instrument), np.int64(x.side), np.int64(x.last_qty)
    on_fill(risk(e), instrument, side, qty, 0)
    edge = book_fill(e, instrument, side, qty, x.last_ticks, x.commission_e4)
    remember_fill(e, i, instrument, side, qty, edge)
    fill_event(e, _UNKNOWN_FILL, instrument, x.cl_ord_id, side, qty, x.last_ticks)
    halt_instrument(e, instrument)


@kernel(internal=True)
def _on_trade(e: Handle, i: int, slot: int) -> None:
    """A fill of a known order: once, by CumQty."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    cum = np.int64(x.cum_qty)
    again = cum <= order.cum_qty
    if order.amended != 0 and not again:  # a bust has lowered CumQty: a fill of before may be told again
        again = find_fill(e, np.int64(x.session), x.exec_id) >= 0
    if again:
        scalars(e)[W_DUPLICATES] += 1
        return
    instrument = np.int64(order.instrument)
    # A fill that we missed, one beyond the order, or one after its end: counted, and then we stop.
    contradiction = (
        cum - order.cum_qty != x.last_qty or cum > max(order.qty, order.pending_qty) or is_terminal(order.status)
    )
    qty, edge = fill_order(e, slot, cum, x.last_ticks, x.commission_e4)
    remember_fill(e, i, instrument, np.int64(order.side), qty, edge)
    fill_event(e, _FILL, instrument, x.cl_ord_id, np.int64(order.side), qty, x.last_ticks)
    if not is_terminal(order.status):
        if x.leaves_qty == 0:
            finish(e, slot, _S_FILLED)
        else:
            if order.status == _S_NEW or order.status == _S_PENDING_NEW:
                order.status = _S_PARTIAL
            recount(e, slot)
    if contradiction:
        emit_event(e, _OVERFILL, _INSTRUMENT, instrument, x.cl_ord_id, 0.0, 0.0, np.int64(x.last_qty))
        halt_instrument(e, instrument)


@kernel(internal=True)
def _on_acknowledged(e: Handle, i: int, slot: int) -> None:
    """NEW or REPLACED: the order stands at the venue as the report says."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    if x.exec_type == _X_NEW:
        order.order_id = x.order_id
        if order.status == _S_PENDING_NEW:
            order.status = _S_NEW if order.cum_qty == 0 else _S_PARTIAL
        return
    if x.cl_ord_id < order.cl_ord_id:
        scalars(e)[W_DUPLICATES] += 1  # of a replace that a later one has followed
        return
    order.order_id = x.order_id
    order.cl_ord_id = x.cl_ord_id
    order.price_ticks = x.price_ticks
    order.qty = np.int64(x.order_qty)
    # A venue may also reduce an order by itself (self-trade prevention): our own request stays open.
    if order.pending_id == x.cl_ord_id:
        order.pending_id = np.uint64(0)
        order.pending_qty = 0
        if order.status != _S_UNKNOWN:
            order.status = _S_NEW if order.cum_qty == 0 else _S_PARTIAL
    recount(e, slot)


@kernel(internal=True)
def _on_cancel_reject(e: Handle, i: int, slot: int) -> None:
    """A cancel or replace was refused: the order is what it was, unless the venue says it is gone."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    if order.pending_id != x.cl_ord_id:
        scalars(e)[W_DUPLICATES] += 1
        return
    if order.pending_qty > 0:
        order.replace_refused_ns = scalars(e)[W_NOW]
    else:
        order.cancel_refused_ns = scalars(e)[W_NOW]
    order.pending_id = np.uint64(0)
    order.pending_qty = 0
    emit_event(e, _CANCEL_REJECTED, _INSTRUMENT, np.int64(order.instrument), x.cl_ord_id, 0.0, 0.0, np.int64(x.reason))
    if is_terminal(x.ord_status):
        order.status = _S_UNKNOWN  # its report is on the way, or was lost: reconciliation decides
    elif order.status != _S_UNKNOWN:
        order.status = _S_NEW if order.cum_qty == 0 else _S_PARTIAL
    recount(e, slot)


@kernel(internal=True)
def _on_rejected(e: Handle, i: int, slot: int) -> None:
    """The venue refused a new order. Its side waits a little: the same order would fare the same."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    instrument = np.int64(order.instrument)
    scalars(e)[W_REJECTED] += 1
    if order.purpose == PURPOSE_QUOTE:
        until = scalars(e)[W_NOW] + _REJECT_WAIT_NS
        if order.side == _BUY:
            series(e)[instrument].bid_wait_ns = until
        else:
            series(e)[instrument].ask_wait_ns = until
    emit_event(e, _ORDER_REJECTED, _INSTRUMENT, instrument, x.cl_ord_id, 0.0, 0.0, np.int64(x.reason))
    finish(e, slot, _S_REJECTED)


@kernel(internal=True)
def _apply(e: Handle, i: int, slot: int) -> None:
    """A readable report about a known order."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    instrument = np.int64(order.instrument)
    if x.kind == _REJECT_FRAME:
        if not is_terminal(order.status):
            _on_cancel_reject(e, i, slot)
        return
    if x.exec_type == _X_TRADE:
        _on_trade(e, i, slot)
        return
    if np.int64(x.cum_qty) > order.cum_qty:
        missed_fill(e, slot, np.int64(x.cum_qty))
    if is_terminal(order.status):
        scalars(e)[W_DUPLICATES] += 1
    elif x.exec_type == _X_NEW or x.exec_type == _X_REPLACED:
        _on_acknowledged(e, i, slot)
    elif x.exec_type == _X_CANCELED:
        finish(e, slot, _S_CANCELED)
    elif x.exec_type == _X_EXPIRED:
        finish(e, slot, _S_EXPIRED)
    elif x.exec_type == _X_REJECTED:
        _on_rejected(e, i, slot)
    elif not allowed(order.status, x.ord_status):
        before = np.float64(order.status)
        emit_event(e, _ILLEGAL, _INSTRUMENT, instrument, x.cl_ord_id, before, 0.0, np.int64(x.ord_status))
        halt_instrument(e, instrument)


@kernel(internal=True)
def on_execution(e: Handle, i: int) -> None:
    """Entry point of every 35=8 and 35=9."""
    x = in_execution(e)[i]
    if x.session >= MAX_SESSIONS:
        scalars(e)[W_ORPHANS] += 1
        return
    slot = np.int64(-1)
    amends = x.kind != _REJECT_FRAME and (x.exec_type == _X_BUST or x.exec_type == _X_CORRECT)
    if x["flags"] & EXEC_FOREIGN_ID == 0:
        # orig_cl_ord_id of an amendment is ExecRefID, of a quote's report its entry: no order's name.
        other = amends or x["flags"] & EXEC_QUOTE != 0
        slot = find_order(e, x.cl_ord_id, np.uint64(0) if other else x.orig_cl_ord_id)
    if x.exec_type == _X_STATUS and x.kind != _REJECT_FRAME:
        on_order_status(e, i, slot)
        return
    if slot < 0 and x.kind == _REJECT_FRAME:
        scalars(e)[W_ORPHANS] += 1  # of a stranger's cancel: it names no instrument
        emit_event(e, _CANCEL_REJECTED, _SESSION, np.int64(x.session), x.cl_ord_id, 0.0, 0.0, np.int64(x.reason))
        return
    if slot < 0 and (x["flags"] & EXEC_UNKNOWN_SYMBOL != 0 or x.instrument >= scalars(e)[W_INSTRUMENTS]):
        scalars(e)[W_ORPHANS] += 1
        emit_event(e, _UNKNOWN_SYMBOL, _SESSION, np.int64(x.session), x.cl_ord_id, 0.0, 0.0, np.int64(x.msg_seq))
        return
    instrument = np.int64(orders(e)[slot].instrument) if slot >= 0 else np.int64(x.instrument)
    if x["flags"] & EXEC_BAD_VALUE != 0:
        emit_event(e, _BAD_VALUE, _INSTRUMENT, instrument, x.cl_ord_id, 0.0, 0.0, np.int64(x.msg_seq))
        halt_instrument(e, instrument)
        return
    if slot < 0 and not amends:
        _unknown_report(e, i)
        return
    before = scalars(e)[W_FILLS] + scalars(e)[W_AMENDED]
    if amends:
        on_amendment(e, i, slot)
    else:
        _apply(e, i, slot)
    refresh_market(e, instrument)
    under = np.int64(underlying_of(e)[instrument])
    if scalars(e)[W_FILLS] + scalars(e)[W_AMENDED] != before and under >= 0:
        refresh_skew(e, under)
        maybe_hedge(e, under)
    if instruments(e)[instrument].security == _OPTION:
        requote(e, instrument)
