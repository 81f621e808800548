"""Trades that the venue takes back (ExecType H) or corrects (G): exactly what was counted is uncounted.

The memory of fills says what each execution was booked with, so cash, fees, position and edge
return to what they would be without it; a correction is then booked anew, with the edge of the
corrected price against the same theo. Afterwards the order stands as the report says.

What does not fit (an execution that we do not remember, or not as the venue says it was; one already
busted; a CumQty that does not follow) is counted as far as the report itself says it, and
halts the instrument. Each report counts once, by its ExecID, however often it is delivered.
"""

import numpy as np

from engine.events import EventCode
from engine.handle import Handle, fills, in_execution, instruments, ledger, orders, risk, scalars, unknown_execs
from engine.state import FILL_BUSTED, W_AMENDED, W_DUPLICATES, W_UNKNOWN_EXEC
from engine.step.emit import emit_event
from engine.step.fills import book_fill, find_fill, halt_instrument, recount, unbook_fill
from engine.step.reconcile import cancel_stranger
from market.enums import ExecType, ScopeKind, SecurityKind, Side
from market.jit import kernel
from market.orders import is_terminal
from risk.exposure import on_fill

_X_BUST = np.int64(ExecType.TRADE_CANCEL)
_BUST = np.int64(EventCode.TRADE_BUST)
_CORRECTED = np.int64(EventCode.TRADE_CORRECTED)
_UNPLACED = np.int64(EventCode.BUST_UNPLACED)
_INSTRUMENT = np.int64(ScopeKind.INSTRUMENT)
_BUY = np.int64(Side.BUY)
_OPTION = np.int64(SecurityKind.OPTION)
_STATE_BUSTED = np.int64(FILL_BUSTED)


@kernel(internal=True)
def _seen_before(e: Handle, i: int) -> bool:
    """Remember the ExecID of an amendment of a fill that we do not; True when it was counted already."""
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
def _unplaced(e: Handle, i: int, instrument: int) -> None:
    """What a report says does not fit what we know: a person must look."""
    x = in_execution(e)[i]
    emit_event(e, _UNPLACED, _INSTRUMENT, instrument, x.cl_ord_id, 0.0, 0.0, np.int64(x.exec_id))
    halt_instrument(e, instrument)


@kernel(internal=True)
def _amend_order(e: Handle, i: int, slot: int, change: int) -> bool:
    """The order afterwards, as the report says; False where that does not follow from what we had."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    follows = order.cum_qty + change == np.int64(x.cum_qty)
    order.cum_qty = np.int64(x.cum_qty)
    order.amended += 1
    if is_terminal(order.status):
        if x.leaves_qty > 0:
            cancel_stranger(e, i)  # the venue has put it back into the market; our slot is given away
        return follows
    order.qty = np.int64(x.order_qty)
    recount(e, slot)
    return follows


@kernel(internal=True)
def _amend_unknown(e: Handle, i: int, slot: int, instrument: int) -> None:
    """An execution that is not in our memory: a bust by what it says itself, a correction cannot be."""
    x = in_execution(e)[i]
    if _seen_before(e, i):
        scalars(e)[W_DUPLICATES] += 1
        return
    if x.exec_type == _X_BUST and x.last_qty > 0:
        unbook_fill(e, instrument, np.int64(x.side), np.int64(x.last_qty), x.last_ticks, x.commission_e4, 0.0)
        scalars(e)[W_AMENDED] += 1
    if slot >= 0:
        _amend_order(e, i, slot, np.int64(0))
    _unplaced(e, i, instrument)


@kernel(internal=True)
def _book_corrected(e: Handle, i: int, place: int, instrument: int) -> None:
    """Count a corrected fill. Its edge is measured against the theo of when it was made."""
    x = in_execution(e)[i]
    fill = fills(e)[place]
    side, qty = np.int64(fill.side), np.int64(x.last_qty)
    edge_now = book_fill(e, instrument, side, qty, x.last_ticks, x.commission_e4)
    edge = 0.0
    if instruments(e)[instrument].security == _OPTION and fill.qty > 0:
        unit = np.int64(instruments(e)[instrument].multiplier) * risk(e).instruments[instrument].price_unit
        sign = 1.0 if side == _BUY else -1.0
        edge = (fill.edge / fill.qty + sign * unit * (fill.ticks - x.last_ticks)) * qty
    ledger(e)[instrument].edge += edge - edge_now
    on_fill(risk(e), instrument, side, qty, 0)
    fill.qty, fill.ticks, fill.commission_e4, fill.edge = qty, x.last_ticks, x.commission_e4, edge


@kernel(internal=True)
def on_amendment(e: Handle, i: int, slot: int) -> None:
    """A bust or correction; ``slot`` of the order it names, -1 where that is none of ours any more."""
    x = in_execution(e)[i]
    session = np.int64(x.session)
    if find_fill(e, session, x.exec_id) >= 0:
        scalars(e)[W_DUPLICATES] += 1
        return
    place = find_fill(e, session, x.orig_cl_ord_id)
    if place < 0:
        _amend_unknown(e, i, slot, np.int64(orders(e)[slot].instrument) if slot >= 0 else np.int64(x.instrument))
        return
    fill = fills(e)[place]
    if fill.last_id != x.orig_cl_ord_id and x.poss_dup != 0:
        scalars(e)[W_DUPLICATES] += 1  # of a correction that a later one has followed
        return
    instrument, qty, ticks = np.int64(fill.instrument), fill.qty, fill.ticks
    unit = risk(e).instruments[instrument].price_unit
    bust = x.exec_type == _X_BUST
    if fill.state == _STATE_BUSTED:
        _unplaced(e, i, instrument)
        return
    unbook_fill(e, instrument, np.int64(fill.side), qty, ticks, fill.commission_e4, fill.edge)
    fill.last_id = x.exec_id
    scalars(e)[W_AMENDED] += 1
    agrees = x.instrument == instrument
    change = -qty
    if bust:
        fill.state = _STATE_BUSTED
        agrees = agrees and (x.last_qty == 0 or (np.int64(x.last_qty) == qty and x.last_ticks == ticks))
        emit_event(e, _BUST, _INSTRUMENT, instrument, x.cl_ord_id, ticks * unit, 0.0, qty)
    else:
        _book_corrected(e, i, place, instrument)
        change = np.int64(x.last_qty) - qty
        price, before = x.last_ticks * unit, ticks * unit
        emit_event(e, _CORRECTED, _INSTRUMENT, instrument, x.cl_ord_id, price, before, np.int64(x.last_qty))
    if slot >= 0:
        agrees = _amend_order(e, i, slot, change) and agrees
    if not agrees:
        _unplaced(e, i, instrument)
