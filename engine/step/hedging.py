"""Delta hedging: one marketable order in the underlying at a time, when the band is left."""

import numpy as np

from engine.handle import Handle, books, hedging_params, instruments, links, options, risk, scalars, underlyings
from engine.state import O_HEDGE_INTERVAL_NS, O_HEDGING, W_ARMED, W_DENIAL, W_DRAINING, W_NOW
from engine.step.emit import ZERO
from engine.step.submit import PURPOSE_HEDGE, submit_new
from market.enums import RiskState, SessionState, TimeInForce, TradingStatus
from market.jit import kernel
from risk.exposure import portfolio_delta
from risk.state import effective_state
from strategies.hedging import HedgingParam, hedge_band, hedge_order

_READY = np.int64(SessionState.READY)
_OPEN = np.int64(TradingStatus.OPEN)
_REDUCING = np.int64(RiskState.REDUCING)
_IOC = np.int64(TimeInForce.IOC)


@kernel(internal=True)
def maybe_hedge(e: Handle, under: int) -> None:
    """Send a hedge if portfolio delta is outside the no-trade band and none is in flight."""
    u = underlyings(e)[under]
    now = scalars(e)[W_NOW]
    if scalars(e)[W_ARMED] == 0 or scalars(e)[W_DRAINING] != 0 or options(e)[O_HEDGING] == 0.0:
        return
    if u.hedge_slot >= 0 or now - u.hedge_ns < options(e)[O_HEDGE_INTERVAL_NS]:
        return
    instrument = np.int64(u.instrument)
    session = np.int64(instruments(e)[instrument].session)
    book = books(e)[instrument]
    ready = links(e)[session].state == _READY and book.status == _OPEN
    if (
        not ready
        or effective_state(risk(e), instrument, session) > _REDUCING
        or book.market_bid <= 0
        or book.market_ask <= 0
    ):
        return
    slot = np.int64(u.risk_slot)
    unit = risk(e).instruments[instrument].price_unit
    delta = portfolio_delta(risk(e), slot, u.spot - u.spot_totals)
    half = 0.5 * (book.market_ask - book.market_bid) * unit
    band = hedge_band(hedging_params(e), u.spot, risk(e).underlyings[slot].held_gamma, half)
    rule = np.int64(instruments(e)[instrument].tick_rule)
    most = np.int64(hedging_params(e)[HedgingParam.MAX_QTY])
    wanted = hedge_order(hedging_params(e), delta, 0.0, band, book.market_bid, book.market_ask, rule, most)
    if wanted.qty <= 0:
        return
    u.hedge_ns = now
    before = np.int64(u.hedge_denial)
    u.hedge_slot = submit_new(
        e, instrument, wanted.side, wanted.price_ticks, wanted.qty, _IOC, ZERO, PURPOSE_HEDGE, before
    )
    u.hedge_denial = scalars(e)[W_DENIAL]
