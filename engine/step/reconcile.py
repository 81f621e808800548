"""The venue's truth: OrderMassStatusRequest answered order by order, compared with our slots.

A request is numbered; each report of an open order marks its slot with that number; at the last
report the slots of that session that were sent before the request and not marked are not at the
venue, so they are taken as canceled. Only reports that name the request in hand are its answer: one
of an older request, or repeated by a resend, describes a moment that has passed. Cumulative fills
must agree: executions are delivered by resend before the status, so a difference is a lost
fill; it is counted at the order's own price, and halts the instrument.
"""

import numpy as np

from engine.events import EventCode
from engine.handle import Handle, in_execution, instruments, links, orders, out_order, risk, scalars, series
from engine.state import (
    MASS_SLOT,
    W_DRAINING,
    W_INSTRUMENTS,
    W_NOW,
    W_ORPHANS,
)
from engine.step.emit import ZERO, emit_event, emit_request, new_id
from engine.step.fills import fill_order, finish, halt_instrument, recount
from engine.step.submit import can_change, submit_cancel
from market.enums import OrderAction, OrdStatus, ScopeKind, SecurityKind, SessionState
from market.jit import kernel
from market.orders import is_open, is_terminal
from market.records import EXEC_BAD_VALUE, NO_INSTRUMENT
from risk.gate import check_cancel
from risk.state import set_session

_MASS_STATUS = np.int64(OrderAction.MASS_STATUS)
_MASS_CANCEL = np.int64(OrderAction.MASS_CANCEL)
_CANCEL = np.int64(OrderAction.CANCEL)
_S_NEW = np.int64(OrdStatus.NEW)
_S_PARTIAL = np.int64(OrdStatus.PARTIALLY_FILLED)
_S_CANCELED = np.int64(OrdStatus.CANCELED)
_S_UNKNOWN = np.int64(OrdStatus.UNKNOWN)
_READY = np.int64(SessionState.READY)
_SESSION = np.int64(ScopeKind.SESSION)
_INSTRUMENT = np.int64(ScopeKind.INSTRUMENT)
_MISSING = np.int64(EventCode.RECON_MISSING)
_MISMATCH = np.int64(EventCode.RECON_MISMATCH)
_RECONCILED = np.int64(EventCode.RECONCILED)
_UNKNOWN_ORDER = np.int64(EventCode.UNKNOWN_ORDER)
_UNKNOWN_SYMBOL = np.int64(EventCode.UNKNOWN_SYMBOL)
_BAD_VALUE = np.int64(EventCode.BAD_VALUE)
_OPTION = np.int64(SecurityKind.OPTION)


@kernel(internal=True)
def request_status(e: Handle, session: int) -> None:
    """Ask the venue of ``session`` for all our open orders."""
    link = links(e)[session]
    link.recon_count += 1
    link.recon = link.recon_count
    link.recon_ns = scalars(e)[W_NOW]
    link.recon_corrected = 0
    check_cancel(risk(e), session, scalars(e)[W_NOW])
    link.recon_id = np.uint64(new_id(e, MASS_SLOT))
    emit_request(e, _MASS_STATUS, session, link.recon_id, -1)


@kernel(internal=True)
def mass_cancel(e: Handle, session: int) -> None:
    """Ask the venue of ``session`` to cancel everything; the reports come order by order."""
    check_cancel(risk(e), session, scalars(e)[W_NOW])
    out = emit_request(e, _MASS_CANCEL, session, new_id(e, MASS_SLOT), -1)
    if out >= 0:
        out_order(e)[out].instrument = NO_INSTRUMENT  # all of them


@kernel(internal=True)
def cancel_stranger(e: Handle, i: int) -> None:
    """The venue holds an order that our journal does not: it must not stay."""
    x = in_execution(e)[i]
    session = np.int64(x.session)
    emit_event(e, _UNKNOWN_ORDER, _SESSION, session, x.cl_ord_id, 0.0, 0.0, np.int64(x.leaves_qty))
    check_cancel(risk(e), session, scalars(e)[W_NOW])
    out = emit_request(e, _CANCEL, session, new_id(e, MASS_SLOT), -1)
    if out >= 0:
        frame = out_order(e)[out]
        frame.instrument = x.instrument
        frame.side = x.side
        frame.orig_cl_ord_id = x.cl_ord_id
        frame.order_id = x.order_id
        frame.qty = np.int64(x.order_qty)


@kernel(internal=True)
def missed_fill(e: Handle, slot: int, cum: int) -> None:
    """The venue has filled more of an order than it told us: count it at the order's price, and halt."""
    order = orders(e)[slot]
    instrument = np.int64(order.instrument)
    emit_event(e, _MISMATCH, _INSTRUMENT, instrument, order.cl_ord_id, np.float64(cum), np.float64(order.cum_qty), ZERO)
    if cum > order.cum_qty:
        fill_order(e, slot, cum, order.price_ticks, 0)
    halt_instrument(e, instrument)


@kernel(internal=True)
def _adopt_report(e: Handle, i: int, slot: int) -> None:
    """One open order as the venue has it."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    link = links(e)[x.session]
    order.recon = link.recon
    if x["flags"] & EXEC_BAD_VALUE != 0:
        emit_event(e, _BAD_VALUE, _INSTRUMENT, np.int64(order.instrument), x.cl_ord_id, 0.0, 0.0, np.int64(x.msg_seq))
        halt_instrument(e, np.int64(order.instrument))
        return
    # Requests in flight when the status was asked may be answered either way: the venue's view of
    # price and quantity is adopted only where nothing is in flight since.
    if order.sent_ns <= link.recon_ns:
        if order.price_ticks != x.price_ticks or order.qty != np.int64(x.order_qty) or order.cl_ord_id != x.cl_ord_id:
            link.recon_corrected += 1
        order.cl_ord_id = x.cl_ord_id
        order.order_id = x.order_id
        order.price_ticks = x.price_ticks
        order.qty = np.int64(x.order_qty)
        order.pending_id = np.uint64(0)
        order.pending_qty = 0
        order.status = _S_NEW if order.cum_qty == 0 else _S_PARTIAL
        recount(e, slot)
    if np.int64(x.cum_qty) != order.cum_qty:
        link.recon_corrected += 1
        missed_fill(e, slot, np.int64(x.cum_qty))
        recount(e, slot)


@kernel(internal=True)
def _first_ready(e: Handle, session: int) -> None:
    """The session has just become ready: keep or cancel what it holds, and look at its series again."""
    keep = links(e)[session].adopt != 0 and scalars(e)[W_DRAINING] == 0 and risk(e).firm[0].killed == 0
    for slot in range(len(orders(e))):
        order = orders(e)[slot]
        if order.in_use == 0 or order.session != session or not can_change(e, slot):
            continue
        if keep:
            order.adopted_ns = scalars(e)[W_NOW]
        else:
            submit_cancel(e, slot)
    for instrument in range(scalars(e)[W_INSTRUMENTS]):
        if instruments(e)[instrument].session == session and instruments(e)[instrument].security == _OPTION:
            series(e)[instrument].dirty = 1


@kernel(internal=True)
def _settle(e: Handle, session: int) -> None:
    """The last report is in: whatever was not named is not there."""
    link = links(e)[session]
    agreed = np.int64(0)
    for slot in range(len(orders(e))):
        order = orders(e)[slot]
        if order.in_use == 0 or order.session != session or not is_open(order.status):
            continue
        if order.recon == link.recon:
            agreed += 1
        elif order.sent_ns <= link.recon_ns:
            emit_event(e, _MISSING, _INSTRUMENT, np.int64(order.instrument), order.cl_ord_id, 0.0, 0.0, slot)
            link.recon_corrected += 1
            finish(e, slot, _S_CANCELED)
    emit_event(e, _RECONCILED, _SESSION, session, ZERO, np.float64(link.recon_corrected), 0.0, agreed)
    first = link.state != _READY
    link.recon = 0
    link.state = _READY
    set_session(risk(e), session, _READY)
    if first:
        _first_ready(e, session)


@kernel(internal=True)
def on_order_status(e: Handle, i: int, slot: int) -> None:
    """A 35=8 with ExecType I: one open order, or the word that there is none."""
    x = in_execution(e)[i]
    session = np.int64(x.session)
    link = links(e)[session]
    if link.recon == 0 or x.orig_cl_ord_id != link.recon_id or x.poss_dup != 0:
        return
    if x.tot_reports > 0 or x.cl_ord_id != np.uint64(0):
        if slot >= 0 and not is_terminal(orders(e)[slot].status):
            _adopt_report(e, i, slot)
        elif x.instrument >= scalars(e)[W_INSTRUMENTS]:
            scalars(e)[W_ORPHANS] += 1  # an order in something we cannot name: a person must cancel it
            emit_event(e, _UNKNOWN_SYMBOL, _SESSION, session, x.cl_ord_id, 0.0, 0.0, np.int64(x.msg_seq))
        elif x.leaves_qty > 0:
            cancel_stranger(e, i)
    if x.last_report != 0:
        _settle(e, session)


@kernel(internal=True)
def unknown_orders(e: Handle, session: int) -> int:
    """Mark the session's open orders UNKNOWN (the line is down); returns how many."""
    count = np.int64(0)
    for slot in range(len(orders(e))):
        order = orders(e)[slot]
        if order.in_use != 0 and order.session == session and is_open(order.status):
            order.status = _S_UNKNOWN
            count += 1
    return count
