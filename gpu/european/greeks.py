"""One European option at a time: value and thirteen Greeks in the spot model, Black-76 and Bachelier's model.

Conventions: per 1.00 of spot (or forward), per 1.00 of volatility, per year; theta, charm, veta
and colour are derivatives in calendar time, -d/dT, so that all four say what tomorrow changes.
(Much literature prints colour with the other sign.) These are the scalar twins, for the step and for
rows that a wide loop has flagged; whole arrays go through ``batch.py``. Not here: early exercise,
dividends in cash (``dividends.py``).
"""

import math
from enum import IntEnum

from gpu.european.formulas import (
    MIN_DEVIATION,
    Row,
    bachelier_domain,
    bachelier_open,
    bachelier_row,
    deviation_left,
    forward_row,
    spot_domain,
    spot_row,
)
from gpu.maths.functions import normal_cdf
from gpu.status import PriceStatus
from market.jit import kernel


class Greek(IntEnum):
    """Row of the ``out`` array of every pricing batch."""

    PRICE = 0
    DELTA = 1  # d/dS
    GAMMA = 2  # d2/dS2
    VEGA = 3  # d/dv
    THETA = 4  # -d/dT
    RHO = 5  # d/dr (at fixed dividend yield; at fixed forward in the forward models)
    VANNA = 6  # d2/dS dv
    VOLGA = 7  # d2/dv2
    CHARM = 8  # -d2/dS dT
    VETA = 9  # -d2/dv dT
    SPEED = 10  # d3/dS3
    ZOMMA = 11  # d3/dS2 dv
    COLOUR = 12  # -d3/dS2 dT
    ULTIMA = 13  # d3/dv3


GREEK_COUNT = 14

OK = int(PriceStatus.OK)
INTRINSIC = int(PriceStatus.INTRINSIC)
BAD_INPUT = int(PriceStatus.BAD_INPUT)


@kernel(inline=True)
def black_price(forward: float, strike: float, deviation: float, right: int) -> float:
    """Undiscounted Black value; ``deviation`` = vol * sqrt(years), ``right`` +1 call or -1 put.

    A deviation under ``MIN_DEVIATION`` (also 0 and negative) gives the intrinsic value. Error: a few
    eps of max(forward, strike); ``formulas.black_value`` is accurate relative to the price itself.
    """
    if deviation <= MIN_DEVIATION:
        return max(right * (forward - strike), 0.0)
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    return right * (forward * normal_cdf(right * d1) - strike * normal_cdf(right * (d1 - deviation)))


@kernel
def nan_row() -> Row:
    """Fourteen times no number."""
    bad = math.nan
    return bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad


@kernel
def intrinsic_row(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: float
) -> Row:  # fmt: skip
    """Price and Greeks where no volatility is left: a forward contract if in the money, else nothing."""
    years = max(years, 0.0)
    asset, cash = spot * math.exp(-dividend_yield * years), strike * math.exp(-rate * years)
    gain = right * (asset - cash)
    weight = 1.0 if gain > 0.0 else (0.5 if gain == 0.0 else 0.0)
    delta = weight * right * asset / spot
    theta = -weight * right * (rate * cash - dividend_yield * asset)
    rho = weight * right * years * cash
    charm = dividend_yield * delta
    return max(gain, 0.0), delta, 0.0, 0.0, theta, rho, 0.0, 0.0, charm, 0.0, 0.0, 0.0, 0.0, 0.0


@kernel
def spot_status(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: float
) -> int:
    """``PriceStatus`` of the inputs: BAD_INPUT outside the domain of ``formulas.py``, INTRINSIC without deviation."""
    years_left = max(years, 0.0) if years > -math.inf else math.nan
    if not (spot_domain(spot, strike, years_left, rate, dividend_yield, vol, right) and vol > -math.inf):
        return BAD_INPUT
    return OK if deviation_left(years_left, vol) else INTRINSIC


@kernel
def spot_greeks(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: float
) -> Row:
    """Value and Greeks of one option in the order of :class:`Greek`.

    NaN throughout unless spot and strike are positive and everything is finite (``spot_status`` tells;
    the domain's far ends are in ``formulas.py``). Years or vol at or below zero: the discounted
    intrinsic value. Error: see docs/numerics/european.md; about 1e-13 of each Greek's terms.
    """
    w = float(right)
    status = spot_status(spot, strike, years, rate, dividend_yield, vol, w)
    if status == BAD_INPUT:
        return nan_row()
    if status == INTRINSIC:
        return intrinsic_row(spot, strike, years, rate, dividend_yield, w)
    return spot_row(spot, strike, years, rate, dividend_yield, vol, w)


@kernel
def forward_greeks(forward: float, strike: float, years: float, rate: float, vol: float, right: float) -> Row:
    """Black-76: as :func:`spot_greeks`, per 1.00 of the forward, which stays fixed in time and in rate.

    It is the spot model with dividend yield = rate, apart from rho, which at a fixed forward is
    the discounting's alone: -years * price.
    """
    w = float(right)
    status = spot_status(forward, strike, years, rate, rate, vol, w)
    if status == BAD_INPUT:
        return nan_row()
    if status == OK:
        return forward_row(forward, strike, years, rate, vol, w)
    row = intrinsic_row(forward, strike, years, rate, rate, w)
    return row[0], row[1], 0.0, 0.0, row[4], -max(years, 0.0) * row[0], 0.0, 0.0, row[8], 0.0, 0.0, 0.0, 0.0, 0.0


@kernel
def bachelier_status(forward: float, strike: float, years: float, rate: float, vol: float, right: float) -> int:
    """``PriceStatus`` of the inputs of Bachelier's model: forward and strike of any sign, +-1e100."""
    years_left = max(years, 0.0) if years > -math.inf else math.nan
    if not bachelier_domain(forward, strike, years_left, rate, vol, right):
        return BAD_INPUT
    return OK if bachelier_open(forward, strike, years_left, vol) else INTRINSIC


@kernel
def bachelier_greeks(forward: float, strike: float, years: float, rate: float, vol: float, right: float) -> Row:
    """Bachelier's model: the forward moves by ``vol`` [currency per sqrt(year)]; conventions as :func:`forward_greeks`.

    Forward and strike may be zero or negative.
    """
    w = float(right)
    status = bachelier_status(forward, strike, years, rate, vol, w)
    if status == BAD_INPUT:
        return nan_row()
    if status == OK:
        return bachelier_row(forward, strike, years, rate, vol, w)
    left = max(years, 0.0)
    discount = math.exp(-rate * left)
    gain = w * (forward - strike)
    weight = 1.0 if gain > 0.0 else (0.5 if gain == 0.0 else 0.0)
    price, delta = discount * max(gain, 0.0), weight * w * discount
    return price, delta, 0.0, 0.0, rate * price, -left * price, 0.0, 0.0, rate * delta, 0.0, 0.0, 0.0, 0.0, 0.0
