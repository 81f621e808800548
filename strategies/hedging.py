"""Delta hedging by a no-trade band with the underlying.

Objective. Minimise the cost of trading plus risk_aversion / 2 times the variance of what is left.
With costs proportional to the amount traded, doing nothing inside a band round the target is
optimal, and outside it trading back to the band's edge; for small costs Whalley and Wilmott
(Mathematical Finance 7(3), 1997) give the half width

    (3/2 * exp(-rT) * cost * spot * gamma^2 / risk_aversion)^(1/3)        [shares]

with cost as a fraction of the price and gamma of the portfolio; exp(-rT) is taken as 1, which
widens the band by less than 2 % for a year at 5 %. A price that is paid per order, not per share
(messages, the market's attention), argues for trading further in: TARGET_SHARE says how far.
``MIN_BAND`` keeps a portfolio without gamma from trading share by share, ``MAX_BAND`` holds where
gamma explodes at expiry.
"""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from market.enums import Side
from market.instruments import tick_ceil, tick_floor
from market.jit import kernel
from strategies.params import ParamSpec, default_words

HEDGING_WORDS = 16


class HedgingParam(IntEnum):
    """Index of a hedging parameter in its words. Numbers are in journals: never reuse one."""

    RISK_AVERSION = 1
    FEE_BP = 2
    MIN_BAND = 3
    MAX_BAND = 4
    TARGET_SHARE = 5
    MAX_QTY = 6
    LOT = 7
    PAY_UP_TICKS = 8


HEDGING: dict[HedgingParam, ParamSpec] = {
    HedgingParam.RISK_AVERSION: ParamSpec(
        "1/currency", 1e-4, 1e-9, 1.0, "aversion to the variance of P&L", "the quoting's GAMMA"
    ),
    HedgingParam.FEE_BP: ParamSpec("bp", 0.1, 0, 100, "fees of a hedge, beside the half spread", "0.10 per 100 shares"),
    HedgingParam.MIN_BAND: ParamSpec(
        "shares", 100, 0, 1e9, "the band is never narrower either way", "one contract's worth of delta"
    ),
    HedgingParam.MAX_BAND: ParamSpec(
        "shares", 5_000, 0, 1e9, "nor wider", "the quoting's DELTA_CAPACITY: there the skew can do no more"
    ),
    HedgingParam.TARGET_SHARE: ParamSpec(
        "share", 0.5, 0, 1, "trade back to this share of the band", "1 is the optimum without cost per order"
    ),
    HedgingParam.MAX_QTY: ParamSpec("shares", 5_000, 1, 1e7, "most shares of one order", "half of max_hedge_order_qty"),
    HedgingParam.LOT: ParamSpec("shares", 1, 1, 10_000, "quantities are multiples of it", "odd lots trade"),
    HedgingParam.PAY_UP_TICKS: ParamSpec(
        "price units", 2, 0, 1_000, "limit past the touch", "a touch that just moved is still met"
    ),
}


def default_hedging() -> npt.NDArray[np.float64]:
    """Words float64[16] with the defaults of ``HEDGING``."""
    return default_words(HEDGING, HEDGING_WORDS)


class HedgeOrder(NamedTuple):
    """An immediate-or-cancel order in the underlying; a quantity of 0 means none."""

    side: int
    qty: int
    price_ticks: int


@kernel
def hedge_band(params: npt.NDArray[np.float64], spot: float, port_gamma: float, half_spread: float) -> float:
    """Half width of the no-trade band in shares, within MIN_BAND .. MAX_BAND.

    spot and ``half_spread`` of the underlying in currency, port_gamma in shares per 1.00 of spot. With
    numbers that are none the narrowest band counts: not knowing the risk is no reason to keep it.
    """
    narrow, wide = params[HedgingParam.MIN_BAND], params[HedgingParam.MAX_BAND]
    aversion = params[HedgingParam.RISK_AVERSION]
    cost_per_share = half_spread + params[HedgingParam.FEE_BP] * 1e-4 * spot
    if not (aversion > 0.0 and cost_per_share >= 0.0 and math.isfinite(port_gamma)):
        return narrow
    band = (1.5 * cost_per_share * port_gamma * port_gamma / aversion) ** (1.0 / 3.0)
    return max(min(band, wide), narrow)


@kernel
def hedge_order(
    params: npt.NDArray[np.float64],
    port_delta: float,
    inflight_delta: float,
    band: float,
    bid_ticks: int,
    ask_ticks: int,
    tick_rule: int,
    max_qty: int,
) -> HedgeOrder:
    """The order that takes the portfolio's delta back into the band; quantity 0 inside it.

    ``port_delta`` in shares with the underlying's own position; ``inflight_delta`` is the signed
    quantity of hedges sent and not yet known to be done, counted as done: hedging twice is worse than
    hedging late. ``max_qty`` is what risk allows (<= 0: nothing). No order without the side of
    the market that it would trade with.
    """
    delta = port_delta + inflight_delta
    if not abs(delta) > band:
        return HedgeOrder(0, 0, 0)
    excess = abs(delta) - params[HedgingParam.TARGET_SHARE] * band
    lot = max(int(params[HedgingParam.LOT]), 1)
    most = min(int(params[HedgingParam.MAX_QTY]), max_qty)
    if not excess < 1e15:
        return HedgeOrder(0, 0, 0)
    qty = min(int(excess), most) // lot * lot
    pay_up = int(params[HedgingParam.PAY_UP_TICKS])
    if delta < 0.0:
        side, price = Side.BUY.value, tick_ceil(tick_rule, ask_ticks + pay_up)
        touch = ask_ticks
    else:
        side, price = Side.SELL.value, tick_floor(tick_rule, max(bid_ticks - pay_up, 1))
        touch = bid_ticks
    if qty < 1 or touch < 1 or price < 1:
        return HedgeOrder(0, 0, 0)
    return HedgeOrder(side, qty, price)
