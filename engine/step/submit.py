"""Orders on their way out: order slots, the risk gate, and the three things one may ask of a venue.

A request is gated, counted in risk and written to its slot before its frame is emitted, so that
"working" always includes what is in flight. A slot is freed when its order is terminal, at the end
of a FIFO: late messages about it still find its last state for thousands of orders to come.
"""

import numpy as np

from engine.events import EventCode
from engine.handle import (
    Handle,
    books,
    free_slots,
    instruments,
    orders,
    out_order,
    risk,
    scalars,
    series,
    source_ns,
    underlying_of,
    underlyings,
)
from engine.state import (
    NO_SLOT,
    W_CANCELS,
    W_DENIAL,
    W_DENIED,
    W_FREE_COUNT,
    W_FREE_HEAD,
    W_MARKET_NS,
    W_NOW,
    W_OPEN,
    W_REPLACED,
    W_SENT,
)
from engine.step.emit import ZERO, emit_event, emit_request, new_id, stamp_request
from market.atomics import clock_ns
from market.enums import OrderAction, OrdStatus, ScopeKind, SecurityKind, Side, TradingStatus
from market.jit import kernel
from risk.exposure import counted_qty, on_open, on_working
from risk.gate import Intent, MarketView, check_cancel, check_new, check_replace
from risk.limits import Limit, bound

_NEW = np.int64(OrderAction.NEW)
_CANCEL = np.int64(OrderAction.CANCEL)
_REPLACE = np.int64(OrderAction.REPLACE)
_BUY = np.int64(Side.BUY)
_S_NEW = np.int64(OrdStatus.NEW)
_S_PARTIAL = np.int64(OrdStatus.PARTIALLY_FILLED)
_S_PENDING_NEW = np.int64(OrdStatus.PENDING_NEW)
_S_PENDING_CANCEL = np.int64(OrdStatus.PENDING_CANCEL)
_S_PENDING_REPLACE = np.int64(OrdStatus.PENDING_REPLACE)
_OPTION = np.int64(SecurityKind.OPTION)
_OPEN = np.int64(TradingStatus.OPEN)
_INSTRUMENT = np.int64(ScopeKind.INSTRUMENT)
_FIRM = np.int64(ScopeKind.FIRM)
_ARENA_FULL = np.int64(EventCode.ARENA_FULL)
_FEED_AGE = np.int64(Limit.MAX_OPTION_FEED_AGE_MS)
_UNDERLYING_AGE = np.int64(Limit.MAX_UNDERLYING_AGE_MS)
_THEO_AGE = np.int64(Limit.MAX_THEO_AGE_MS)

PURPOSE_QUOTE = np.int64(1)
PURPOSE_HEDGE = np.int64(2)


@kernel(internal=True)
def take_slot(e: Handle) -> int:
    """Oldest free slot, NO_SLOT when the arena is full."""
    if scalars(e)[W_FREE_COUNT] == 0:
        return NO_SLOT
    slot = free_slots(e)[scalars(e)[W_FREE_HEAD]]
    scalars(e)[W_FREE_HEAD] = (scalars(e)[W_FREE_HEAD] + 1) % len(free_slots(e))
    scalars(e)[W_FREE_COUNT] -= 1
    return np.int64(slot)


@kernel(internal=True)
def release_slot(e: Handle, slot: int) -> None:
    """Return a terminal order's slot; its contents stay readable until it is taken again."""
    order = orders(e)[slot]
    order.in_use = 0
    tail = (scalars(e)[W_FREE_HEAD] + scalars(e)[W_FREE_COUNT]) % len(free_slots(e))
    free_slots(e)[tail] = slot
    scalars(e)[W_FREE_COUNT] += 1
    scalars(e)[W_OPEN] -= 1
    on_open(risk(e), np.int64(order.session), -1)
    row = series(e)[order.instrument]
    if row.bid_slot == slot:
        row.bid_slot = NO_SLOT
    if row.ask_slot == slot:
        row.ask_slot = NO_SLOT
    under = underlying_of(e)[order.instrument]
    if under >= 0 and underlyings(e)[under].hedge_slot == slot:
        underlyings(e)[under].hedge_slot = NO_SLOT


@kernel(internal=True)
def theo_now(e: Handle, instrument: int) -> float:
    """Theo moved from its refresh to the present spot by delta and gamma, in currency."""
    row = series(e)[instrument]
    under = underlying_of(e)[instrument]
    if under < 0:
        return row.theo
    move = underlyings(e)[under].spot - row.spot_ref
    return row.theo + (row.delta + 0.5 * row.gamma * move) * move


@kernel(internal=True)
def _working_ticks(e: Handle, slot: int, higher: bool) -> int:
    """The more aggressive of an order's acknowledged and pending price; 0 without an order."""
    if slot < 0:
        return np.int64(0)
    order = orders(e)[slot]
    ticks = order.price_ticks
    if order.pending_qty > 0:
        if higher and order.pending_ticks > ticks:
            ticks = order.pending_ticks
        if not higher and (order.pending_ticks < ticks or ticks == 0):
            ticks = order.pending_ticks
    return ticks


@kernel(internal=True)
def _alive_ns(e: Handle, instrument: int) -> int:
    """When the instrument's feed was last heard; 0 if it never sent a book."""
    book = books(e)[instrument]
    if book.recv_ns == 0:
        return np.int64(0)
    return max(book.recv_ns, source_ns(e)[book.source])


@kernel(internal=True)
def data_fresh(e: Handle, instrument: int) -> bool:
    """Whether an option's feed, its underlying's and its theo are within their age limits.

    What the gate asks of a new order, asked of orders that stand: silence must not keep them there.
    """
    under = underlying_of(e)[instrument]
    if under < 0:
        return False
    words, now = risk(e).limits, scalars(e)[W_NOW]
    ages = (
        (now - _alive_ns(e, instrument), bound(words, _FEED_AGE)),
        (now - _alive_ns(e, np.int64(underlyings(e)[under].instrument)), bound(words, _UNDERLYING_AGE)),
        (now - series(e)[instrument].theo_ns, bound(words, _THEO_AGE)),
    )
    for age_ns, limit_ms in ages:  # noqa: SIM110  (kernels have no generators)
        if not abs(age_ns * 1e-6) <= limit_ms:
            return False
    return True


@kernel(internal=True)
def trading_status(e: Handle, instrument: int) -> int:
    """TradingStatus of a book: what the venue said by message holds against what its market data still show."""
    book = books(e)[instrument]
    said = np.int64(book.said_status)
    return said if said != 0 and said != _OPEN else np.int64(book.status)


@kernel(internal=True)
def market_view(e: Handle, instrument: int, side: int) -> MarketView:
    """What the gate looks at, gathered for one order."""
    book = books(e)[instrument]
    row = series(e)[instrument]
    is_option = instruments(e)[instrument].security == _OPTION
    under = underlying_of(e)[instrument]
    opposite = (
        _working_ticks(e, np.int64(row.ask_slot), False)
        if side == _BUY
        else _working_ticks(e, np.int64(row.bid_slot), True)
    )
    theo = 0.0
    theo_ok = 0
    theo_ns = np.int64(0)
    underlying_ns = np.int64(0)
    if under >= 0:
        underlying_ns = _alive_ns(e, np.int64(underlyings(e)[under].instrument))
        if is_option:
            theo = theo_now(e, instrument)
            theo_ok = 1 if row.status == 0 else 0
            theo_ns = row.theo_ns
    return MarketView(
        trading_status(e, instrument), book.market_bid, book.market_ask, opposite, theo, theo_ok,
        _alive_ns(e, instrument), underlying_ns, theo_ns, scalars(e)[W_MARKET_NS],
    )  # fmt: skip


@kernel(internal=True)
def _denied(e: Handle, code: int, instrument: int, before: int) -> int:
    """Record a denial; an EVENT only when it is not the one this side already has."""
    scalars(e)[W_DENIAL] = code
    scalars(e)[W_DENIED] += 1
    if code != before:
        emit_event(e, code, _INSTRUMENT, instrument, ZERO, risk(e).firm[0].value, risk(e).firm[0].bound, ZERO)
    return np.int64(NO_SLOT)


@kernel(internal=True)
def submit_new(
    e: Handle, instrument: int, side: int, ticks: int, qty: int, tif: int, post_only: int, purpose: int, before: int
) -> int:
    """Gate and send a new limit order: its slot, or NO_SLOT with the denial in words[W_DENIAL].

    ``before`` is the denial this side already shows (0 none), so that it is not repeated.
    """
    decided = clock_ns(1)
    session = np.int64(instruments(e)[instrument].session)
    now = scalars(e)[W_NOW]
    intent = Intent(instrument, session, side, ticks, qty)
    code = check_new(risk(e), intent, market_view(e, instrument, side), now)
    if code != 0:
        return _denied(e, code, instrument, before)
    slot = take_slot(e)
    if slot < 0:
        if before != _ARENA_FULL:
            emit_event(e, _ARENA_FULL, _FIRM, ZERO, ZERO, 0.0, 0.0, ZERO)
        scalars(e)[W_DENIAL] = _ARENA_FULL
        return np.int64(NO_SLOT)
    scalars(e)[W_DENIAL] = 0
    order = orders(e)[slot]
    order.cl_ord_id = np.uint64(new_id(e, slot))
    order.first_id = order.cl_ord_id
    order.last_id = order.cl_ord_id
    order.pending_id = np.uint64(0)
    order.order_id = np.uint64(0)
    order.price_ticks = ticks
    order.qty = qty
    order.cum_qty = 0
    order.pending_ticks = 0
    order.pending_qty = 0
    order.counted = qty
    order.sent_ns = now
    order.cancel_refused_ns = 0
    order.replace_refused_ns = 0
    order.adopted_ns = 0
    order.recon = 0
    order.instrument = instrument
    order.session = session
    order.side = side
    order.status = _S_PENDING_NEW
    order.tif = tif
    order.purpose = purpose
    order.in_use = 1
    on_working(risk(e), instrument, side, qty)
    on_open(risk(e), session, 1)
    scalars(e)[W_OPEN] += 1
    scalars(e)[W_SENT] += 1
    out = emit_request(e, _NEW, session, order.cl_ord_id, slot)
    stamp_request(e, out, decided)
    if out >= 0:
        frame = out_order(e)[out]
        frame.instrument = instrument
        frame.side = side
        frame.tif = tif
        frame.post_only = post_only
        frame.purpose = purpose
        frame.price_ticks = ticks
        frame.qty = qty
    return slot


@kernel(internal=True)
def _emit_change(e: Handle, slot: int, action: int) -> int:
    """Frame of a cancel or replace of ``slot`` under a fresh pending ClOrdID."""
    order = orders(e)[slot]
    order.pending_id = np.uint64(new_id(e, slot))
    order.last_id = order.pending_id
    order.sent_ns = scalars(e)[W_NOW]
    out = emit_request(e, action, np.int64(order.session), order.pending_id, slot)
    if out >= 0:
        frame = out_order(e)[out]
        frame.instrument = order.instrument
        frame.side = order.side
        frame.tif = order.tif
        frame.purpose = order.purpose
        frame.orig_cl_ord_id = order.cl_ord_id
        frame.order_id = order.order_id
        frame.price_ticks = order.price_ticks
        frame.qty = order.qty
    return out


@kernel(internal=True)
def submit_replace(e: Handle, slot: int, ticks: int, open_qty: int, before: int) -> int:
    """Gate and send a cancel/replace to ``ticks`` and ``open_qty`` still open: 0, or the denial."""
    decided = clock_ns(1)
    order = orders(e)[slot]
    instrument = np.int64(order.instrument)
    intent = Intent(instrument, np.int64(order.session), np.int64(order.side), ticks, open_qty)
    view = market_view(e, instrument, np.int64(order.side))
    code = check_replace(risk(e), intent, view, scalars(e)[W_NOW], order.counted)
    if code != 0:
        _denied(e, code, instrument, before)
        return code
    scalars(e)[W_DENIAL] = 0
    out = _emit_change(e, slot, _REPLACE)
    stamp_request(e, out, decided)
    order.pending_ticks = ticks
    order.pending_qty = order.cum_qty + open_qty
    order.status = _S_PENDING_REPLACE
    counted = counted_qty(order.qty, order.pending_qty, order.cum_qty)
    on_working(risk(e), instrument, np.int64(order.side), counted - order.counted)
    order.counted = counted
    scalars(e)[W_REPLACED] += 1
    if out >= 0:
        frame = out_order(e)[out]
        frame.price_ticks = ticks
        frame.qty = order.pending_qty
        frame.post_only = 1 if order.purpose == PURPOSE_QUOTE else 0
    return np.int64(0)


@kernel(internal=True)
def can_change(e: Handle, slot: int) -> bool:
    """Whether the order is acknowledged, open and has no request in flight."""
    status = orders(e)[slot].status
    return status == _S_NEW or status == _S_PARTIAL


@kernel(internal=True)
def submit_cancel(e: Handle, slot: int) -> None:
    """Ask for the cancel of one acknowledged order; cancels always pass the gate."""
    order = orders(e)[slot]
    decided = clock_ns(1)
    check_cancel(risk(e), np.int64(order.session), scalars(e)[W_NOW])
    stamp_request(e, _emit_change(e, slot, _CANCEL), decided)
    order.status = _S_PENDING_CANCEL
    scalars(e)[W_CANCELS] += 1
