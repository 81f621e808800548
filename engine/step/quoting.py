"""From wanted quotes to requests: one order per side and series, replaced when it is worth a message."""

import numpy as np

from engine.handle import (
    Handle,
    books,
    instruments,
    links,
    options,
    orders,
    quoting_params,
    risk,
    scalars,
    series,
    underlying_of,
    underlyings,
)
from engine.state import (
    NO_SLOT,
    O_QUOTING,
    O_REPLACE_INTERVAL_NS,
    W_ARMED,
    W_DENIAL,
    W_DRAINING,
    W_INSTRUMENTS,
    W_NOW,
)
from engine.step.submit import (
    PURPOSE_QUOTE,
    can_change,
    submit_cancel,
    submit_new,
    submit_replace,
    theo_now,
    trading_status,
)
from market.enums import OrdStatus, RiskState, SecurityKind, SessionState, Side, TimeInForce, TradingStatus
from market.jit import kernel
from risk.denials import Denial
from risk.exposure import portfolio_delta, portfolio_vega
from risk.state import effective_state
from strategies.quoting import glft_quote, needs_replace, place_quote, portfolio_skew

_OPTION = np.int64(SecurityKind.OPTION)
_READY = np.int64(SessionState.READY)
_OPEN = np.int64(TradingStatus.OPEN)
_REDUCING = np.int64(RiskState.REDUCING)
_BUY = np.int64(Side.BUY)
_SELL = np.int64(Side.SELL)
_DAY = np.int64(TimeInForce.DAY)
_RATE_DENIAL = np.int64(Denial.RATE_MESSAGES)
_S_NEW = np.int64(OrdStatus.NEW)
_S_PARTIAL = np.int64(OrdStatus.PARTIALLY_FILLED)
_S_PENDING_REPLACE = np.int64(OrdStatus.PENDING_REPLACE)

ADOPTED_NS = 10_000_000_000  # a start takes three seconds; longer, and a stale quote is just stale
_CANCEL_AGAIN_NS = 1_000_000_000


@kernel(internal=True)
def quotable(e: Handle, instrument: int) -> bool:
    """Whether a series may be quoted at all: everything that is not the strategy's or a limit's matter."""
    if scalars(e)[W_ARMED] == 0 or scalars(e)[W_DRAINING] != 0 or options(e)[O_QUOTING] == 0.0:
        return False
    session = np.int64(instruments(e)[instrument].session)
    if links(e)[session].state != _READY or effective_state(risk(e), instrument, session) > _REDUCING:
        return False
    under = underlying_of(e)[instrument]
    if under < 0:
        return False
    return (
        series(e)[instrument].status == 0
        and trading_status(e, instrument) == _OPEN
        and underlyings(e)[under].spot > 0.0
    )


@kernel(internal=True)
def _cancel_refused(e: Handle, slot: int) -> bool:
    """Whether the venue refused to cancel this order a moment ago: asking again at once is a storm."""
    refused = orders(e)[slot].cancel_refused_ns
    return refused != 0 and scalars(e)[W_NOW] - refused < _CANCEL_AGAIN_NS


@kernel(internal=True)
def pull_side(e: Handle, slot: int) -> bool:
    """Cancel one side's order if it can be cancelled now; True when it is still in flight."""
    if slot < 0:
        return False
    if not can_change(e, slot) or _cancel_refused(e, slot):
        return True
    submit_cancel(e, slot)
    return False


@kernel(internal=True)
def pull(e: Handle, instrument: int) -> None:
    """Take both quotes of a series out of the market; what is in flight is pulled when answered."""
    row = series(e)[instrument]
    bid_busy = pull_side(e, np.int64(row.bid_slot))
    ask_busy = pull_side(e, np.int64(row.ask_slot))
    row.dirty = 1 if bid_busy or ask_busy else 0


@kernel(internal=True)
def _awaits_judgement(e: Handle, instrument: int, slot: int) -> bool:
    """Whether an order kept from the run before may stand although its series cannot be quoted yet.

    Adopting keeps a place in the queue over a restart, until the engine is armed and the series has a
    theo; for ADOPTED_NS at most, and not where anybody has said stop.
    """
    if slot < 0 or orders(e)[slot].adopted_ns == 0 or not can_change(e, slot):
        return False
    if scalars(e)[W_DRAINING] != 0 or risk(e).firm[0].killed != 0:
        return False
    if risk(e).instruments[instrument].state > _REDUCING:
        return False
    judged = scalars(e)[W_ARMED] != 0 and series(e)[instrument].status >= 0
    return not judged and scalars(e)[W_NOW] - orders(e)[slot].adopted_ns < ADOPTED_NS


@kernel(internal=True)
def leave(e: Handle, instrument: int) -> None:
    """A series that may not be quoted: pull it, except for adopted orders that await judgement."""
    row = series(e)[instrument]
    bid, ask = np.int64(row.bid_slot), np.int64(row.ask_slot)
    bid_busy = _awaits_judgement(e, instrument, bid) or pull_side(e, bid)
    ask_busy = _awaits_judgement(e, instrument, ask) or pull_side(e, ask)
    row.dirty = 1 if bid_busy or ask_busy else 0


@kernel(internal=True)
def _new_side(e: Handle, instrument: int, side: int, ticks: int, qty: int, before: int) -> int:
    """Send one side's first order; returns the denial (0 when sent)."""
    row = series(e)[instrument]
    if scalars(e)[W_NOW] < (row.bid_wait_ns if side == _BUY else row.ask_wait_ns):
        row.dirty = 1
        return before
    slot = submit_new(e, instrument, side, ticks, qty, _DAY, 1, PURPOSE_QUOTE, before)
    if side == _BUY:
        row.bid_slot = slot
    else:
        row.ask_slot = slot
    code = scalars(e)[W_DENIAL]
    if code == _RATE_DENIAL:
        row.dirty = 1  # tokens come back by themselves
    return code


@kernel(internal=True)
def _manage_side(
    e: Handle, instrument: int, side: int, ticks: int, qty: int, target: float, theo: float, before: int
) -> int:
    """Bring one side to what is wanted; returns the denial it now shows.

    ``target`` and ``theo`` are the unrounded price and theo in price units.
    """
    row = series(e)[instrument]
    slot = np.int64(row.bid_slot) if side == _BUY else np.int64(row.ask_slot)
    if slot < 0:
        return _new_side(e, instrument, side, ticks, qty, before) if qty > 0 else np.int64(0)
    if not can_change(e, slot):
        row.dirty = 1
        return before
    order = orders(e)[slot]
    if qty <= 0:
        if pull_side(e, slot):
            row.dirty = 1
        return np.int64(0)
    rule = np.int64(instruments(e)[instrument].tick_rule)
    open_qty = order.qty - order.cum_qty
    if not needs_replace(quoting_params(e), side, order.price_ticks, open_qty, ticks, qty, target, theo, rule):
        return np.int64(0)
    book = books(e)[instrument]
    crossing = (side == _BUY and 0 < book.market_ask <= order.price_ticks) or (
        side == _SELL and book.market_bid >= order.price_ticks
    )
    refused = order.replace_refused_ns >= order.sent_ns  # at once again would be refused at once again
    if (not crossing or refused) and scalars(e)[W_NOW] - order.sent_ns < options(e)[O_REPLACE_INTERVAL_NS]:
        row.dirty = 1
        return before
    code = submit_replace(e, slot, ticks, qty, before)
    if code == _RATE_DENIAL or (code != 0 and pull_side(e, slot)):
        row.dirty = 1
    return code


@kernel(internal=True)
def requote(e: Handle, instrument: int) -> None:
    """Decide both sides of one series and ask for what is missing."""
    row = series(e)[instrument]
    row.dirty = 0
    if not quotable(e, instrument):
        leave(e, instrument)
        return
    u = underlyings(e)[underlying_of(e)[instrument]]
    r = risk(e).instruments[instrument]
    theo = theo_now(e, instrument)
    wanted = glft_quote(
        quoting_params(e),
        theo,
        row.delta,
        row.vega,
        row.half_spread,
        row.skew_per_lot,
        r.position,
        u.spot_shift,
        u.vol_shift,
    )
    book = books(e)[instrument]
    quote = place_quote(
        quoting_params(e), wanted[0], wanted[1], theo, r.price_unit, np.int64(r.tick_rule),
        book.market_bid, book.market_ask, r.position,
    )  # fmt: skip
    row.priceable = 1 if quote.bid_ticks > 0 and quote.ask_ticks > 0 else 0
    unit = r.price_unit
    # The side that moves away goes first: in between the two requests we must not meet ourselves.
    bid_slot = np.int64(row.bid_slot)
    rising = bid_slot >= 0 and quote.bid_ticks > orders(e)[bid_slot].price_ticks
    for turn in range(2):
        if (turn == 0) == rising:
            row.ask_denial = _manage_side(
                e,
                instrument,
                _SELL,
                quote.ask_ticks,
                quote.ask_qty,
                wanted[1] / unit,
                theo / unit,
                np.int64(row.ask_denial),
            )
        else:
            row.bid_denial = _manage_side(
                e,
                instrument,
                _BUY,
                quote.bid_ticks,
                quote.bid_qty,
                wanted[0] / unit,
                theo / unit,
                np.int64(row.bid_denial),
            )


@kernel(internal=True)
def refresh_skew(e: Handle, under: int) -> None:
    """Portfolio skew of one underlying's chain at its present spot."""
    u = underlyings(e)[under]
    slot = np.int64(u.risk_slot)
    delta = portfolio_delta(risk(e), slot, u.spot - u.spot_totals)
    shifts = portfolio_skew(quoting_params(e), u.spot, delta, portfolio_vega(risk(e), slot))
    u.spot_shift = shifts[0]
    u.vol_shift = shifts[1]


@kernel(internal=True)
def requote_chain(e: Handle, under: int) -> None:
    """Look at every series of one underlying again."""
    u = underlyings(e)[under]
    u.spot_quoted = u.spot
    refresh_skew(e, under)
    for instrument in range(scalars(e)[W_INSTRUMENTS]):
        if underlying_of(e)[instrument] == under and instruments(e)[instrument].security == _OPTION:
            requote(e, instrument)


@kernel(internal=True)
def requote_dirty(e: Handle) -> None:
    """Look again at the series whose last decision could not be carried out."""
    for instrument in range(scalars(e)[W_INSTRUMENTS]):
        if series(e)[instrument].dirty != 0:
            requote(e, instrument)


@kernel(internal=True)
def two_sided(e: Handle, instrument: int) -> bool:
    """Whether both our orders of a series stand in the market (a replace in flight still stands)."""
    row = series(e)[instrument]
    for slot in (np.int64(row.bid_slot), np.int64(row.ask_slot)):
        if slot == NO_SLOT:
            return False
        status = orders(e)[slot].status
        if not (status == _S_NEW or status == _S_PARTIAL or status == _S_PENDING_REPLACE):
            return False
    return True
