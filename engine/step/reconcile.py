"""The venue's truth: OrderMassStatusRequest answered order by order, compared with our slots.

A request is numbered; each report of an open order marks its slot with that number; at the last
report the slots of that session that were sent before the request and not marked are not at the
venue, so they are taken as canceled. Cumulative fills must agree: executions are delivered by
resend before the status, so a difference is a lost fill, and halts the instrument.
"""

import numpy as np

from engine.events import EventCode
from engine.handle import Handle, in_execution, links, orders, out_order, risk, scalars
from engine.state import (
    MASS_SLOT,
    W_INSTRUMENTS,
    W_NOW,
)
from engine.step.emit import emit_event, emit_request, new_id
from engine.step.submit import can_change, release_slot, submit_cancel
from market.enums import OrderAction, OrdStatus, RiskState, ScopeKind, SessionState
from market.jit import kernel
from market.orders import is_open, is_terminal
from market.records import NO_INSTRUMENT
from risk.exposure import counted_qty, on_working
from risk.gate import check_cancel
from risk.state import set_session, set_state

_MASS_STATUS = int(OrderAction.MASS_STATUS)
_MASS_CANCEL = int(OrderAction.MASS_CANCEL)
_CANCEL = int(OrderAction.CANCEL)
_S_NEW = int(OrdStatus.NEW)
_S_PARTIAL = int(OrdStatus.PARTIALLY_FILLED)
_S_CANCELED = int(OrdStatus.CANCELED)
_S_PENDING_NEW = int(OrdStatus.PENDING_NEW)
_S_UNKNOWN = int(OrdStatus.UNKNOWN)
_READY = int(SessionState.READY)
_HALTED = int(RiskState.HALTED)
_SESSION = int(ScopeKind.SESSION)
_INSTRUMENT = int(ScopeKind.INSTRUMENT)
_MISSING = int(EventCode.RECON_MISSING)
_MISMATCH = int(EventCode.RECON_MISMATCH)
_RECONCILED = int(EventCode.RECONCILED)
_UNKNOWN_ORDER = int(EventCode.UNKNOWN_ORDER)


@kernel(internal=True)
def request_status(e: Handle, session: int) -> None:
    """Ask the venue of ``session`` for all our open orders."""
    link = links(e)[session]
    link.recon_count += 1
    link.recon = link.recon_count
    link.recon_ns = scalars(e)[W_NOW]
    link.recon_corrected = 0
    check_cancel(risk(e), session, scalars(e)[W_NOW])
    emit_request(e, _MASS_STATUS, session, new_id(e, MASS_SLOT), -1)


@kernel(internal=True)
def mass_cancel(e: Handle, session: int) -> None:
    """Ask the venue of ``session`` to cancel everything; the reports come order by order."""
    check_cancel(risk(e), session, scalars(e)[W_NOW])
    out = emit_request(e, _MASS_CANCEL, session, new_id(e, MASS_SLOT), -1)
    if out >= 0:
        out_order(e)[out].instrument = NO_INSTRUMENT  # all of them


@kernel(internal=True)
def _cancel_stranger(e: Handle, i: int) -> None:
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
def _adopt_report(e: Handle, i: int, slot: int) -> None:
    """One open order as the venue has it."""
    x = in_execution(e)[i]
    order = orders(e)[slot]
    link = links(e)[x.session]
    order.recon = link.recon
    if np.int64(x.cum_qty) != order.cum_qty:
        instrument = np.int64(order.instrument)
        emit_event(
            e, _MISMATCH, _INSTRUMENT, instrument, x.cl_ord_id, np.float64(x.cum_qty), np.float64(order.cum_qty), 0
        )
        set_state(risk(e), _INSTRUMENT, instrument, _HALTED)
        link.recon_corrected += 1
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
        counted = counted_qty(order.qty, np.int64(0), order.cum_qty)
        on_working(risk(e), np.int64(order.instrument), np.int64(order.side), counted - order.counted)
        order.counted = counted


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
            order.status = _S_CANCELED
            order.pending_id = np.uint64(0)
            order.pending_qty = 0
            on_working(risk(e), np.int64(order.instrument), np.int64(order.side), -order.counted)
            order.counted = 0
            release_slot(e, slot)
    emit_event(e, _RECONCILED, _SESSION, session, 0, np.float64(link.recon_corrected), 0.0, agreed)
    first = link.state != _READY
    link.recon = 0
    link.state = _READY
    set_session(risk(e), session, _READY)
    if first and link.adopt == 0 and agreed > 0:
        for slot in range(len(orders(e))):
            order = orders(e)[slot]
            if order.in_use != 0 and order.session == session and can_change(e, slot):
                submit_cancel(e, slot)


@kernel(internal=True)
def on_order_status(e: Handle, i: int, slot: int) -> None:
    """A 35=8 with ExecType I: one open order, or the word that there is none."""
    x = in_execution(e)[i]
    session = np.int64(x.session)
    if links(e)[session].recon == 0:
        return  # unasked, or an answer to a request of a dead run
    if x.tot_reports > 0 or x.cl_ord_id != np.uint64(0):
        if slot < 0 or (slot >= 0 and is_terminal(orders(e)[slot].status)):
            if x.instrument < scalars(e)[W_INSTRUMENTS] and x.leaves_qty > 0:
                _cancel_stranger(e, i)
        else:
            _adopt_report(e, i, slot)
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
