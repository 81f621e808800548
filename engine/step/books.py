"""Market data and theo into the tables, and the market as it is without our own orders.

The venue publishes two levels a side. We have at most one order per side and series, so taking
our open quantity off the first level (and falling to the second where nothing is left) is exact
up to messages in flight.
"""

import numpy as np

from engine.events import EventCode
from engine.handle import (
    Handle,
    books,
    in_commit,
    in_quote,
    in_security_status,
    in_theo,
    instruments,
    options,
    orders,
    quoting_params,
    risk,
    scalars,
    series,
    source_ns,
    underlying_of,
    underlyings,
)
from engine.state import MAX_SOURCES, O_REQUOTE_FRACTION, W_INSTRUMENTS, W_MARKET_NS, W_NOW, W_ORPHANS, W_REFRESH
from engine.step.emit import ZERO, emit_event
from engine.step.quoting import requote, requote_chain
from engine.step.submit import theo_now, trading_status
from market.enums import OrdStatus, ScopeKind, SecurityKind
from market.instruments import tick_step
from market.jit import kernel
from risk.exposure import retotal, set_greeks
from strategies.quoting import series_width

_OPTION = np.int64(SecurityKind.OPTION)
_PENDING_NEW = np.int64(OrdStatus.PENDING_NEW)
_INSTRUMENT = np.int64(ScopeKind.INSTRUMENT)
_STATUS = np.int64(EventCode.SECURITY_STATUS)


@kernel(internal=True)
def own_open(e: Handle, slot: int, ticks: int) -> int:
    """Our open quantity that the venue's book shows at ``ticks``: 0 unless acknowledged there."""
    if slot < 0:
        return np.int64(0)
    order = orders(e)[slot]
    if order.in_use == 0 or order.status == _PENDING_NEW or order.price_ticks != ticks:
        return np.int64(0)
    return order.qty - order.cum_qty


@kernel(internal=True)
def refresh_market(e: Handle, instrument: int) -> None:
    """Recompute ``market_bid`` and ``market_ask`` of one book (own orders taken out)."""
    book = books(e)[instrument]
    row = series(e)[instrument]
    bid = np.int64(0)
    ask = np.int64(0)
    if book.bid_qty > 0:
        bid = book.bid_ticks
        if book.bid_qty <= own_open(e, np.int64(row.bid_slot), bid):
            bid = book.bid2_ticks if book.bid2_qty > 0 else np.int64(0)
    if book.ask_qty > 0:
        ask = book.ask_ticks
        if book.ask_qty <= own_open(e, np.int64(row.ask_slot), ask):
            ask = book.ask2_ticks if book.ask2_qty > 0 else np.int64(0)
    book.market_bid = bid
    book.market_ask = ask


@kernel(internal=True)
def price_unit(e: Handle, instrument: int) -> float:
    """Currency value of one tick count."""
    return risk(e).instruments[instrument].price_unit


@kernel(internal=True)
def on_quote(e: Handle, i: int) -> None:
    """A book changed: take it over, then look again at our quotes that depend on it."""
    q = in_quote(e)[i]
    instrument = np.int64(q.instrument)
    if instrument >= scalars(e)[W_INSTRUMENTS] or q.source >= MAX_SOURCES:
        scalars(e)[W_ORPHANS] += 1
        return
    book = books(e)[instrument]
    if book.source == q.source and q.src_seq < book.src_seq and q.ts_ns <= book.ts_ns:
        return  # older than what stands: a refresh overtaken by its own update
    book.bid_ticks, book.bid_qty = q.bid_ticks, q.bid_qty
    book.ask_ticks, book.ask_qty = q.ask_ticks, q.ask_qty
    book.bid2_ticks, book.bid2_qty = q.bid2_ticks, q.bid2_qty
    book.ask2_ticks, book.ask2_qty = q.ask2_ticks, q.ask2_qty
    book.recv_ns, book.ts_ns, book.src_seq = q.recv_ns, q.ts_ns, q.src_seq
    opened_or_closed = book.status != q.status
    book.status = np.int32(q.status)
    book.source = np.int32(q.source)
    source_ns(e)[q.source] = q.recv_ns
    if q.ts_ns > scalars(e)[W_MARKET_NS]:
        scalars(e)[W_MARKET_NS] = q.ts_ns
    before_bid, before_ask = book.market_bid, book.market_ask
    refresh_market(e, instrument)
    if instruments(e)[instrument].security == _OPTION:
        if opened_or_closed or book.market_bid != before_bid or book.market_ask != before_ask:
            requote(e, instrument)
        return
    _on_spot(e, instrument)


@kernel(internal=True)
def _on_spot(e: Handle, instrument: int) -> None:
    """The underlying's book changed: new spot, and a new look at the chain if it moved enough."""
    under = underlying_of(e)[instrument]
    book = books(e)[instrument]
    if under < 0 or book.market_bid <= 0 or book.market_ask <= 0:
        return
    u = underlyings(e)[under]
    u.spot = 0.5 * (book.market_bid + book.market_ask) * price_unit(e, instrument)
    if abs(u.spot - u.spot_quoted) >= options(e)[O_REQUOTE_FRACTION] * u.spot:
        requote_chain(e, np.int64(under))


@kernel(internal=True)
def forget_book(e: Handle, instrument: int) -> None:
    """A book that no longer holds: closed and never heard of, until its next quote."""
    book = books(e)[instrument]
    book.recv_ns = 0
    book.ts_ns = 0
    book.src_seq = np.uint64(0)
    book.status = 0
    book.market_bid = 0
    book.market_ask = 0
    under = underlying_of(e)[instrument]
    if under >= 0 and underlyings(e)[under].instrument == instrument:
        underlyings(e)[under].spot = 0.0
        underlyings(e)[under].spot_quoted = 0.0  # the next spot requotes the chain, however near it is


@kernel(internal=True)
def on_security_status(e: Handle, i: int) -> None:
    """The venue said by message that an instrument is halted, or trades again: quotes follow at once."""
    s = in_security_status(e)[i]
    instrument = np.int64(s.instrument)
    if instrument >= scalars(e)[W_INSTRUMENTS]:
        scalars(e)[W_ORPHANS] += 1
        return
    before = trading_status(e, instrument)
    books(e)[instrument].said_status = np.int32(s.status)
    if trading_status(e, instrument) == before:
        return
    emit_event(e, _STATUS, _INSTRUMENT, instrument, ZERO, 0.0, 0.0, np.int64(s.status))
    if instruments(e)[instrument].security == _OPTION:
        requote(e, instrument)


@kernel(internal=True)
def on_theo(e: Handle, i: int) -> None:
    """One series' fresh theo: the table row, its Greeks in risk, and its quoting width."""
    t = in_theo(e)[i]
    instrument = np.int64(t.instrument)
    if instrument >= scalars(e)[W_INSTRUMENTS]:
        scalars(e)[W_ORPHANS] += 1
        return
    row = series(e)[instrument]
    row.status = np.int32(t.status)
    if t.status != 0:
        return
    row.theo, row.delta, row.gamma, row.vega = t.theo, t.delta, t.gamma, t.vega
    row.theta, row.vol, row.spot_ref, row.years = t.theta, t.vol, t.spot_ref, t.years
    row.theo_ns = scalars(e)[W_NOW]
    set_greeks(risk(e), instrument, t.delta, t.gamma, t.vega)
    book = books(e)[instrument]
    unit = price_unit(e, instrument)
    definition = instruments(e)[instrument]
    step = tick_step(np.int64(definition.tick_rule), np.int64(t.theo / unit)) * unit
    market_half = 0.0
    if book.market_bid > 0 and book.market_ask > book.market_bid:
        market_half = 0.5 * (book.market_ask - book.market_bid) * unit
    half, skew = series_width(
        quoting_params(e),
        t.theo,
        t.delta,
        t.vega,
        t.vol,
        t.spot_ref,
        np.int64(definition.multiplier),
        step,
        market_half,
    )
    row.half_spread = half
    row.skew_per_lot = skew


@kernel(internal=True)
def on_theo_commit(e: Handle, i: int) -> None:
    """All rows of a refresh are in: total the portfolio again and requote the chain."""
    c = in_commit(e)[i]
    instrument = np.int64(c.underlying)
    if instrument >= scalars(e)[W_INSTRUMENTS]:
        scalars(e)[W_ORPHANS] += 1
        return
    scalars(e)[W_REFRESH] += 1
    retotal(risk(e), scalars(e)[W_INSTRUMENTS])
    under = np.int64(underlying_of(e)[instrument])
    if under >= 0:
        underlyings(e)[under].spot_totals = underlyings(e)[under].spot
        requote_chain(e, under)


__all__ = [
    "forget_book", "on_quote", "on_security_status", "on_theo", "on_theo_commit", "own_open", "price_unit",
    "refresh_market", "theo_now",
]  # fmt: skip
