"""Quoting: the Gueant-Lehalle-Fernandez-Tapia closed form per series, skewed by the portfolio.

Objective. Maximise expected utility -exp(-gamma * P&L) of a maker whose orders at distance delta
from theo fill as a Poisson process of intensity A * exp(-k * delta) and whose inventory q of
standard size moves by sigma per square root of a second. Far from the horizon the optimum is

    bid distance = half + c * (q + 1/2),   ask distance = half - c * (q - 1/2)
    half = (1/gamma) * log(1 + gamma/k)
    c    = sqrt(sigma^2 * gamma / (2 * k * A) * (1 + gamma/k)^(1 + k/gamma))

(Gueant, Lehalle, Fernandez-Tapia, Mathematics and Financial Economics 7(4), 2013.)

One chain has options from 0.05 to 400.00, so nothing above can be one number for all series:

- Distances are counted in a series' own *price scale* u: the largest of its tick, a piece of
  volatility times vega, a piece of the underlying's price times |delta|, and a share of the
  market's half width. ``K`` is per u, so k = K / u. Where the market is wide, or where hedging or
  a wrong volatility would cost much, fills decay slowly and the form quotes wide by itself.
- gamma is per currency of P&L. One lot of the series moves P&L by lot * multiplier times its
  price, so per unit of price gamma is that many times larger, and q is counted in lots.
- sigma is what hedging leaves: volatility of volatility times vega, and the part of the spot's
  moves that the no-trade band lets through.

The series' own c * q ignores that inventory in other series moves with it. In the quadratic
approximation for correlated assets the optimal shift is linear in the portfolio's exposure to each
common factor; with two factors, spot and volatility, that is the same as pricing every option at
a shifted spot and a shifted volatility. ``portfolio_skew`` gives these two shifts, linear up to a
stated capacity and flat beyond, so that no exposure can push a quote without bound.
"""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from market.enums import Side
from market.instruments import tick_ceil, tick_floor, tick_step
from market.jit import kernel
from strategies.params import ParamSpec, default_words

QUOTING_WORDS = 32
_SECONDS_PER_YEAR = 365.0 * 86_400.0
_SMALL = 1e-9  # below it (1 + x)^(1/x) is e to double precision, and computing it is not


class QuotingParam(IntEnum):
    """Index of a quoting parameter in its words. Numbers are in journals: never reuse one."""

    GAMMA = 1
    A_PER_S = 2
    K = 3
    VOL_WIDTH = 4
    SPOT_WIDTH_BP = 5
    MARKET_WIDTH_SHARE = 6
    VOL_OF_VOL = 7
    SPOT_RESIDUAL = 8
    DELTA_CAPACITY = 9
    DELTA_SKEW_BP = 10
    VEGA_CAPACITY = 11
    VEGA_SKEW_VOL = 12
    LOT = 13
    MAX_POSITION = 14
    MIN_EDGE_TICKS = 15
    MIN_EDGE_BP = 16
    REPLACE_STEPS_IN = 17
    REPLACE_STEPS_OUT = 18
    REFILL_SHARE = 19
    REPLACE_SHARE = 20


QUOTING: dict[QuotingParam, ParamSpec] = {
    QuotingParam.GAMMA: ParamSpec(
        "1/currency", 1e-4, 1e-9, 1.0, "risk aversion to P&L", "20 lots at the money shift it by half a half spread"
    ),
    QuotingParam.A_PER_S: ParamSpec(
        "lots/s", 0.05, 1e-6, 1e4, "fills per second of a quote at theo", "one fill in 20 s at theo, one in 54 s at u"
    ),
    QuotingParam.K: ParamSpec(
        "per price scale", 1.0, 0.01, 100, "fills fall e-fold per 1/K price scales", "half spread of one price scale"
    ),
    QuotingParam.VOL_WIDTH: ParamSpec(
        "vol", 0.003, 0, 1, "price scale: this much volatility times vega", "0.3 points: the surface's own error"
    ),
    QuotingParam.SPOT_WIDTH_BP: ParamSpec(
        "bp of spot", 2, 0, 1_000, "price scale: this much of spot times |delta|", "half spread and delay of a hedge"
    ),
    QuotingParam.MARKET_WIDTH_SHARE: ParamSpec(
        "share", 0.5, 0, 2, "price scale: this share of the market's half width", "inside a wide market, not alone"
    ),
    QuotingParam.VOL_OF_VOL: ParamSpec(
        "vol per sqrt(year)", 0.8, 0, 10, "how fast implied volatility moves", "one-month index options, roughly"
    ),
    QuotingParam.SPOT_RESIDUAL: ParamSpec(
        "share", 0.1, 0, 1, "part of the spot's moves that hedging leaves", "a band of a tenth of the usual position"
    ),
    QuotingParam.DELTA_CAPACITY: ParamSpec(
        "shares", 5_000, 1, 1e9, "portfolio delta at which the spot shift is full", "a tenth of max_held_delta"
    ),
    QuotingParam.DELTA_SKEW_BP: ParamSpec(
        "bp of spot", 2, 0, 1_000, "largest shift of the spot", "the cost of hedging instead"
    ),
    QuotingParam.VEGA_CAPACITY: ParamSpec(
        "currency per 1.00 vol", 1e6, 1, 1e12, "portfolio vega at which the volatility shift is full",
        "10,000 per volatility point",
    ),
    QuotingParam.VEGA_SKEW_VOL: ParamSpec(
        "vol", 0.003, 0, 1, "largest shift of the volatility", "one price scale: then one side stops trading"
    ),
    QuotingParam.LOT: ParamSpec(
        "contracts", 5, 1, 100_000, "size of a quote and unit of inventory", "a tenth of max_order_qty"
    ),
    QuotingParam.MAX_POSITION: ParamSpec(
        "contracts", 100, 0, 1_000_000, "position of a series beyond which its side is not quoted",
        "half of max_series_position",
    ),
    QuotingParam.MIN_EDGE_TICKS: ParamSpec(
        "price units", 1, 0, 10_000, "a quote is at least this far from theo", "never give theo away by rounding"
    ),
    QuotingParam.MIN_EDGE_BP: ParamSpec(
        "bp of theo", 5, 0, 10_000, "the same, of theo; the larger counts", "a 400.00 option keeps 0.20"
    ),
    QuotingParam.REPLACE_STEPS_IN: ParamSpec(
        "tick steps", 0.5, 0, 100, "move a quote once it is better than wanted by more", "at half a tick less edge"
    ),
    QuotingParam.REPLACE_STEPS_OUT: ParamSpec(
        "tick steps", 2, 1, 100, "move a quote once it is worse by more", "a place in the queue is worth a tick"
    ),
    QuotingParam.REFILL_SHARE: ParamSpec(
        "share", 0.5, 0, 1, "refill a quote when less than this share of its size is left", "half a lot still shows"
    ),
    QuotingParam.REPLACE_SHARE: ParamSpec(
        "share", 0.2, 0, 1, "nor move it for less than this share of its distance from theo", "wide series move less"
    ),
}  # fmt: skip


def default_quoting() -> npt.NDArray[np.float64]:
    """Words float64[32] with the defaults of ``QUOTING``."""
    return default_words(QUOTING, QUOTING_WORDS)


class Quote(NamedTuple):
    """What one series should show. A quantity of 0 means: nothing on that side."""

    bid_ticks: int
    ask_ticks: int
    bid_qty: int
    ask_qty: int


@kernel
def glft_terms(sigma: float, gamma: float, a_per_s: float, k: float) -> tuple[float, float]:
    """``(half, c)`` of the closed form in units of price: half spread and skew per unit of inventory.

    sigma [price/sqrt(s)] >= 0, gamma [1/price] >= 0, a_per_s and k [1/price] > 0. gamma -> 0 is the
    risk-neutral limit (1/k, 0). Relative error below 1e-12 for gamma/k in 1e-9 .. 1e6; cost ~40 ns.
    """
    if not (a_per_s > 0.0 and k > 0.0 and gamma >= 0.0 and sigma >= 0.0):
        return math.nan, math.nan
    ratio = gamma / k
    if ratio < _SMALL:
        half, log_power = 1.0 / k, 1.0
    else:
        log_ratio = math.log1p(ratio)
        half = log_ratio / gamma
        log_power = (1.0 + 1.0 / ratio) * log_ratio
    return half, math.sqrt(sigma * sigma * gamma / (2.0 * k * a_per_s) * math.exp(log_power))


@kernel
def series_width(
    params: npt.NDArray[np.float64],
    theo: float,
    delta: float,
    vega: float,
    vol: float,
    spot: float,
    multiplier: float,
    step_price: float,
    market_half_spread: float,
) -> tuple[float, float]:
    """``(half_spread, skew_per_lot)`` of a series, in currency per option.

    Per option: theo, delta [1], vega [per 1.00 vol]; vol [1/sqrt(year)]; spot, ``step_price`` (tick
    at theo) and ``market_half_spread`` (0 = unknown) in currency. Both are NaN when an argument is.
    Depends on slow inputs only: compute it when theo is refreshed, keep it until the next.
    """
    scale = max(step_price, params[QuotingParam.VOL_WIDTH] * abs(vega))
    scale = max(scale, params[QuotingParam.SPOT_WIDTH_BP] * 1e-4 * spot * abs(delta))
    scale = max(scale, params[QuotingParam.MARKET_WIDTH_SHARE] * market_half_spread)
    # max() may drop a NaN, so each input that only enters by it is asked by itself.
    if not (0.0 < scale < 1e9 and theo >= 0.0 and market_half_spread >= 0.0 and step_price > 0.0):
        return math.nan, math.nan
    by_vol = params[QuotingParam.VOL_OF_VOL] * vega
    by_spot = params[QuotingParam.SPOT_RESIDUAL] * delta * spot * vol
    sigma = math.sqrt((by_vol * by_vol + by_spot * by_spot) / _SECONDS_PER_YEAR)
    gamma = params[QuotingParam.GAMMA] * params[QuotingParam.LOT] * multiplier
    half, skew = glft_terms(sigma, gamma, params[QuotingParam.A_PER_S], params[QuotingParam.K] / scale)
    return half + 0.5 * skew, skew


@kernel(inline=True)
def _clipped(share: float) -> float:
    return min(max(share, -1.0), 1.0)


@kernel
def portfolio_skew(
    params: npt.NDArray[np.float64], spot: float, port_delta: float, port_vega: float
) -> tuple[float, float]:
    """``(spot_shift, vol_shift)`` at which to price: down when the portfolio is long delta or vega.

    port_delta in shares, port_vega in currency per 1.00 vol; the shifts in currency and in volatility.
    """
    spot_share = _clipped(port_delta / max(params[QuotingParam.DELTA_CAPACITY], 1.0))
    vol_share = _clipped(port_vega / max(params[QuotingParam.VEGA_CAPACITY], 1.0))
    spot_shift = -spot_share * params[QuotingParam.DELTA_SKEW_BP] * 1e-4 * spot
    return spot_shift, -vol_share * params[QuotingParam.VEGA_SKEW_VOL]


@kernel
def glft_quote(
    params: npt.NDArray[np.float64],
    theo: float,
    delta: float,
    vega: float,
    half_spread: float,
    skew_per_lot: float,
    position: int,
    spot_shift: float,
    vol_shift: float,
) -> tuple[float, float]:
    """``(bid, ask)`` in currency, unrounded: theo, shifted by inventory and portfolio, -+ the half spread.

    ``half_spread`` and ``skew_per_lot`` are of ``series_width``, the shifts of ``portfolio_skew``;
    position in contracts. The inventory's shift is held within one half spread, so that a
    large position stops one side and never turns the other into a gift.
    """
    lots = position / max(params[QuotingParam.LOT], 1.0)
    own = min(max(skew_per_lot * lots, -half_spread), half_spread)
    centre = theo - own + delta * spot_shift + vega * vol_shift
    return centre - half_spread, centre + half_spread


@kernel
def place_quote(
    params: npt.NDArray[np.float64],
    bid: float,
    ask: float,
    theo: float,
    price_unit: float,
    tick_rule: int,
    market_bid_ticks: int,
    market_ask_ticks: int,
    position: int,
) -> Quote:
    """Valid prices at or outside ``bid`` and ``ask`` (currency), with sizes.

    Rounds outward to the tick table; stays the minimal edge away from theo; stays a tick short of
    the other side of the market (bid and ask of everybody else, 0 = none), since quotes are
    post-only; and shows no side that cannot be priced (below one tick, not a number), nor
    the side on which ``position`` has reached MAX_POSITION. Only ever moves outward.
    """
    lot, most = int(params[QuotingParam.LOT]), int(params[QuotingParam.MAX_POSITION])
    bid_qty = max(min(lot, most - position), 0)
    ask_qty = max(min(lot, most + position), 0)
    edge = max(params[QuotingParam.MIN_EDGE_TICKS] * price_unit, params[QuotingParam.MIN_EDGE_BP] * 1e-4 * theo)
    if not (bid <= ask and theo >= 0.0 and price_unit > 0.0 and ask < 1e9 * price_unit):
        return Quote(0, 0, 0, 0)
    # A millionth of a unit forgives binary fractions: 5.05 / 0.01 is 504.99999999999994.
    highest = math.floor(min(bid, theo - edge) / price_unit + 1e-6)
    bid_ticks = tick_floor(tick_rule, int(max(highest, 0.0)))
    lowest = math.ceil(max(ask, theo + edge) / price_unit - 1e-6)
    ask_ticks = tick_ceil(tick_rule, int(max(lowest, 1.0)))
    if market_ask_ticks > 0 and bid_ticks >= market_ask_ticks:
        bid_ticks = tick_floor(tick_rule, market_ask_ticks - 1)
    if market_bid_ticks > 0 and ask_ticks <= market_bid_ticks:
        ask_ticks = tick_ceil(tick_rule, market_bid_ticks + 1)
    if bid_ticks < 1:
        bid_ticks, bid_qty = 0, 0
    if bid_ticks >= ask_ticks:  # without a minimal edge both could round to theo
        ask_ticks = bid_ticks + tick_step(tick_rule, bid_ticks)
    return Quote(bid_ticks, ask_ticks, bid_qty, ask_qty)


@kernel
def needs_replace(
    params: npt.NDArray[np.float64],
    side: int,
    working_ticks: int,
    working_qty: int,
    desired_ticks: int,
    desired_qty: int,
    target_ticks: float,
    theo_ticks: float,
    tick_rule: int,
) -> bool:
    """Whether a working quote is worth a message: hysteresis round the unrounded price.

    ``target_ticks`` (what glft_quote gave) and ``theo_ticks`` are in price units, unrounded. Compared
    with the unrounded target a quote does not flicker when theo sits where rounding changes. Giving
    edge away counts sooner than standing back, and both bands widen with the distance from theo; a
    quote within the minimal edge of theo always moves.
    Sizes: a smaller size wanted moves at once, a refill waits for REFILL_SHARE.
    """
    if desired_qty <= 0 or working_qty > desired_qty:
        return True
    if working_qty < params[QuotingParam.REFILL_SHARE] * desired_qty:
        return True
    if working_ticks == desired_ticks:
        return False
    edge = max(params[QuotingParam.MIN_EDGE_TICKS], params[QuotingParam.MIN_EDGE_BP] * 1e-4 * theo_ticks)
    kept = theo_ticks - working_ticks if side == Side.BUY else working_ticks - theo_ticks
    if not kept >= edge - 1e-6:
        return True
    step = float(tick_step(tick_rule, desired_ticks))
    band = params[QuotingParam.REPLACE_SHARE] * abs(theo_ticks - target_ticks)
    better = working_ticks - target_ticks if side == Side.BUY else target_ticks - working_ticks
    if better > max(params[QuotingParam.REPLACE_STEPS_IN] * step, band):
        return True
    return -better > max(params[QuotingParam.REPLACE_STEPS_OUT] * step, band)
