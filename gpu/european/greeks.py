"""European option values and their thirteen Greeks, in the spot model with a continuous yield and in Black-76.

Conventions: per 1.00 of spot (or forward), per 1.00 of volatility, per year; theta, charm, veta
and colour are derivatives in calendar time, -d/dT, so that all four say what tomorrow changes.
(Much literature prints colour with the other sign.) Not here: early exercise, dividends in cash.
"""

import math
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.maths.normal import norm_cdf, norm_pdf
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I1: TypeAlias = npt.NDArray[np.int8]
Row: TypeAlias = tuple[float, float, float, float, float, float, float, float, float, float, float, float, float, float]


class Greek(IntEnum):
    """Row of the ``out`` array of :func:`greeks`."""

    PRICE = 0
    DELTA = 1  # d/dS
    GAMMA = 2  # d2/dS2
    VEGA = 3  # d/dv
    THETA = 4  # -d/dT
    RHO = 5  # d/dr (at fixed dividend yield; at fixed forward in greeks_forward)
    VANNA = 6  # d2/dS dv
    VOLGA = 7  # d2/dv2
    CHARM = 8  # -d2/dS dT
    VETA = 9  # -d2/dv dT
    SPEED = 10  # d3/dS3
    ZOMMA = 11  # d3/dS2 dv
    COLOUR = 12  # -d3/dS2 dT
    ULTIMA = 13  # d3/dv3


GREEK_COUNT = 14

#: Below this standard deviation of the log-price the option is worth its discounted intrinsic:
#: the value differs by less than 1e-10 of the strike, and d1 would overflow in the third orders.
MIN_DEVIATION = 1e-10


@kernel(inline=True)
def black_price(forward: float, strike: float, deviation: float, right: int) -> float:
    """Undiscounted Black value; ``deviation`` = vol * sqrt(years), ``right`` +1 call or -1 put.

    A deviation under ``MIN_DEVIATION`` (also 0 and negative) gives the intrinsic value.
    """
    if deviation <= MIN_DEVIATION:
        return max(right * (forward - strike), 0.0)
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    return right * (forward * norm_cdf(right * d1) - strike * norm_cdf(right * (d1 - deviation)))


@kernel
def _intrinsic_row(spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: int) -> Row:
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
def spot_greeks(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int
) -> Row:
    """Value and Greeks of one option in the order of :class:`Greek`.

    NaN throughout unless spot and strike are positive and everything is finite. Years or vol at
    or below zero: the discounted intrinsic value. Error: a few eps of max(spot, strike).
    """
    total = spot + strike + years + rate + dividend_yield + vol
    if not (spot > 0.0 and strike > 0.0 and abs(total) < math.inf):
        bad = math.nan
        return bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad
    root = math.sqrt(max(years, 0.0))
    deviation = vol * root
    if deviation <= MIN_DEVIATION:
        return _intrinsic_row(spot, strike, years, rate, dividend_yield, right)
    drift = rate - dividend_yield
    d1 = (math.log(spot / strike) + drift * years) / deviation + 0.5 * deviation
    d2 = d1 - deviation
    carry = math.exp(-dividend_yield * years)
    asset, cash = spot * carry, strike * math.exp(-rate * years)
    n1, n2 = norm_cdf(right * d1), norm_cdf(right * d2)
    density = carry * norm_pdf(d1)
    d1d2 = d1 * d2
    d1_years = drift / deviation - 0.5 * d2 / years  # d(d1)/dT, behind all four calendar Greeks
    gamma = density / (spot * deviation)
    vega = spot * density * root
    price = max(right * (asset * n1 - cash * n2), 0.0)
    theta = -0.5 * vega * vol / years - right * (rate * cash * n2 - dividend_yield * asset * n1)
    return (
        price,
        right * carry * n1,
        gamma,
        vega,
        theta,
        right * years * cash * n2,
        -density * d2 / vol,
        vega * d1d2 / vol,
        right * dividend_yield * carry * n1 - density * d1_years,
        vega * (dividend_yield + d1 * d1_years - 0.5 / years),
        -gamma / spot * (d1 / deviation + 1.0),
        gamma * (d1d2 - 1.0) / vol,
        gamma * (dividend_yield + d1 * d1_years + 0.5 / years),
        -vega / (vol * vol) * (d1d2 * (1.0 - d1d2) + d1 * d1 + d2 * d2),
    )


@kernel
def greeks(spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: I1, out: F8) -> None:
    """Fill ``out[14, n]`` (rows: :class:`Greek`) for n options; all inputs [n], see :func:`spot_greeks`."""
    for i in range(spot.shape[0]):
        row = spot_greeks(spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], int(right[i]))
        for j in range(GREEK_COUNT):
            out[j, i] = row[j]


@kernel
def greeks_forward(forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: I1, out: F8) -> None:
    """Black-76: as :func:`greeks`, per 1.00 of the forward, which stays fixed in time and in rate.

    It is the spot model with dividend yield = rate, apart from rho, which at a fixed forward is
    the discounting's alone: -years * price.
    """
    for i in range(forward.shape[0]):
        row = spot_greeks(forward[i], strike[i], years[i], rate[i], rate[i], vol[i], int(right[i]))
        for j in range(GREEK_COUNT):
            out[j, i] = row[j]
        out[5, i] = -max(years[i], 0.0) * row[0]
