"""Rows of American puts from their parts, and what needs no boundary: European, certain, mirrored into calls."""

import math
from enum import IntEnum

from gpu.american.rules import F8
from gpu.american.value import (
    BY_DEV,
    BY_DEV2,
    BY_DIVIDEND,
    BY_RATE,
    BY_X,
    BY_X_DEV,
    BY_XX,
    BY_XX_DEV,
    BY_XXX,
    VALUE,
)
from gpu.european.formulas import spot_domain
from gpu.european.greeks import spot_greeks
from market.jit import kernel


class AmericanRow(IntEnum):
    """Row of the ``out`` arrays of this room: the first ten of ``Greek``, then the dividend yield's."""

    PRICE = 0
    DELTA = 1
    GAMMA = 2
    VEGA = 3
    THETA = 4
    RHO = 5
    VANNA = 6
    VOLGA = 7
    CHARM = 8
    VETA = 9
    DIVIDEND_RHO = 10  # d/dq


AMERICAN_ROWS = 11

#: Rates times years smaller than this leave no premium that a double could show.
_NO_PREMIUM = 1e-15


@kernel(inline=True)
def usable(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int
) -> bool:
    """Whether the inputs are finite and in the domain that European options have, too, and ``right`` is +1 or -1."""
    finite = abs(years) + abs(rate) + abs(dividend_yield) + abs(vol) < math.inf
    return finite and spot_domain(spot, strike, max(years, 0.0), rate, dividend_yield, max(vol, 0.0), float(right))


@kernel(inline=True)
def without_trifles(rate: float, years: float) -> float:
    """The rate, or 0 where its effect over the life is below any double of the value (subnormal rates, too)."""
    return 0.0 if abs(rate) * years < _NO_PREMIUM else rate


@kernel
def best_time(spot: float, strike: float, years: float, rate: float, dividend_yield: float) -> float:
    """When a put is exercised if the spot's path is certain: the maximum of K e^-rt - S e^-qt over the life."""
    at, best = 0.0, strike - spot
    last = strike * math.exp(-rate * years) - spot * math.exp(-dividend_yield * years)
    if last > best:
        at, best = years, last
    earned, paid = rate * strike, dividend_yield * spot
    if rate != dividend_yield and earned * paid > 0.0:
        turn = math.log(earned / paid) / (rate - dividend_yield)
        if 0.0 < turn < years and strike * math.exp(-rate * turn) - spot * math.exp(-dividend_yield * turn) > best:
            at = turn
    return at


@kernel
def certain_put(spot: float, strike: float, years: float, rate: float, dividend_yield: float, row: F8) -> None:
    """Price and Greeks of a put without any chance left."""
    years = max(years, 0.0)
    at = best_time(spot, strike, years, rate, dividend_yield)
    cash, carry = strike * math.exp(-rate * at), math.exp(-dividend_yield * at)
    for j in range(AMERICAN_ROWS):
        row[j] = 0.0
    gain = cash - spot * carry
    if gain < 0.0:
        return
    weight = 1.0 if gain > 0.0 else 0.5
    row[0], row[1], row[5], row[10] = gain, -weight * carry, -weight * at * cash, weight * at * spot * carry
    if at == years and years > 0.0:
        row[4] = weight * (rate * cash - dividend_yield * spot * carry)
        row[8] = -weight * dividend_yield * carry
    elif 0.0 < at:
        row[2] = dividend_yield * carry / (spot * (dividend_yield - rate))


@kernel
def put_row(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, into: F8, row: F8
) -> None:
    """Fill ``row`` of a put from ``into``, the derivatives that ``curve_derivatives`` left.

    Theta is the Black-Scholes equation itself, charm and veta its derivatives: exact where the option
    is held; where it is exercised at once the value stands still.
    """
    root = math.sqrt(years)
    price, delta, gamma = strike * into[VALUE], into[BY_X], into[BY_XX] / strike
    vega, vanna = strike * root * into[BY_DEV], root * into[BY_X_DEV]
    row[0], row[1], row[2], row[3], row[6] = price, delta, gamma, vega, vanna
    row[5], row[10] = strike * years * into[BY_RATE], strike * years * into[BY_DIVIDEND]
    row[7] = strike * years * into[BY_DEV2]
    if into[BY_X] == -1.0 and gamma == 0.0:
        row[4] = row[8] = row[9] = 0.0
        return
    speed, zomma = into[BY_XXX] / (strike * strike), root * into[BY_XX_DEV] / strike
    carry, square = rate - dividend_yield, vol * vol
    row[4] = rate * price - carry * spot * delta - 0.5 * square * spot * spot * gamma
    row[8] = rate * delta - carry * (delta + spot * gamma) - square * spot * (gamma + 0.5 * spot * speed)
    row[9] = rate * vega - carry * spot * vanna - vol * spot * spot * gamma - 0.5 * square * spot * spot * zomma


@kernel
def call_row(spot: float, strike: float, row: F8) -> None:
    """Turn the row of the mirrored put (spot and strike, rate and yield exchanged) into the call's."""
    price, delta, gamma, vega, theta, rho = row[0], row[1], row[2], row[3], row[4], row[5]
    ratio = strike / spot
    row[1] = (price - strike * delta) / spot
    row[2] = ratio * ratio * gamma
    row[6] = (vega - strike * row[6]) / spot
    row[8] = (theta - strike * row[8]) / spot
    row[5], row[10] = row[10], rho


@kernel
def european_put(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, row: F8
) -> None:
    """The row of a put that is never exercised early."""
    greeks = spot_greeks(spot, strike, years, rate, dividend_yield, vol, -1)
    row[0], row[1], row[2], row[3], row[4] = greeks[0], greeks[1], greeks[2], greeks[3], greeks[4]
    row[5], row[6], row[7], row[8], row[9] = greeks[5], greeks[6], greeks[7], greeks[8], greeks[9]
    row[10] = -years * spot * greeks[1]


@kernel(inline=True)
def never_early(rate: float, dividend_yield: float, years: float) -> bool:
    """Whether a put gains nothing (that a double could show) from early exercise."""
    return (rate <= 0.0 and dividend_yield >= rate) or max(abs(rate), abs(dividend_yield)) * years < _NO_PREMIUM
