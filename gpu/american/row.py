"""One American option: which regime it is in, its price, its Greeks.

Regimes of a put with rate r and dividend yield q (a call is the put with S and K, r and q exchanged):

=====================  ===============================================================
r > 0, or r = 0 > q    one exercise boundary: ``boundary.py``
r <= 0 and q >= r      never exercised early: the European value
q < r < 0              two boundaries: ``double_boundary.py``
vol sqrt(years) = 0    exercised at the best time of a path without chance: INTRINSIC
=====================  ===============================================================
"""

import math

import numpy as np

from gpu.american.boundary import curve_size, solve_curve
from gpu.american.double_boundary import DOUBLE_WORK, double_boundary_price, double_boundary_row
from gpu.american.put import (
    AMERICAN_ROWS,
    best_time,
    call_row,
    certain_put,
    european_put,
    never_early,
    put_row,
    usable,
    without_trifles,
)
from gpu.american.rules import CURVE_TOP, F8, WORK_SLOT, pack_rules
from gpu.american.value import DERIVATIVES, curve_derivatives, curve_value
from gpu.european.formulas import MIN_DEVIATION
from gpu.european.greeks import spot_greeks
from gpu.status import PriceStatus
from market.jit import kernel

_OK = int(PriceStatus.OK)
_INTRINSIC = int(PriceStatus.INTRINSIC)
_BAD_INPUT = int(PriceStatus.BAD_INPUT)
_NOT_CONVERGED = int(PriceStatus.NOT_CONVERGED)

# The working memory: what the kept curve was solved for, the curve, the derivatives of one option, scratch.
_KEY_RATE, _KEY_DIVIDEND, _KEY_DEV, _KEY_KIND = 0, 1, 2, 3  # kind: 0 none, 1 values, 2 derivatives, -1 failed
_CURVE_AT = 4


def workspace(rules: F8 | None = None) -> tuple[F8, F8]:
    """(rules, work) for the scalar kernels of this room: ``rules`` may be shared, ``work`` is one thread's own."""
    packed = pack_rules() if rules is None else rules
    scratch = max(int(packed[WORK_SLOT]), DOUBLE_WORK)
    return packed, np.zeros(_CURVE_AT + curve_size(packed) + DERIVATIVES + scratch + AMERICAN_ROWS)


@kernel
def _kept_curve(rate: float, dividend: float, dev: float, kind: float, rules: F8, work: F8) -> bool:
    """Make sure that the curve in ``work`` is the one of these parameters; solve it if it is another."""
    if work[_KEY_RATE] == rate and work[_KEY_DIVIDEND] == dividend and work[_KEY_DEV] == dev:
        if work[_KEY_KIND] >= kind:
            return True
        if work[_KEY_KIND] < 0.0:
            return False
    size = curve_size(rules)
    begin = _CURVE_AT + size + DERIVATIVES
    good = solve_curve(rate, dividend, dev, kind > 1.5, rules, work[begin:], work[_CURVE_AT : _CURVE_AT + size])
    work[_KEY_RATE], work[_KEY_DIVIDEND], work[_KEY_DEV] = rate, dividend, dev
    work[_KEY_KIND] = kind if good else -1.0
    return good


@kernel
def _put(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float,
    rules: F8, work: F8, row: F8,
) -> int:  # fmt: skip
    dev = vol * math.sqrt(max(years, 0.0))
    if dev <= MIN_DEVIATION:
        certain_put(spot, strike, years, rate, dividend_yield, row)
        return _INTRINSIC
    if never_early(rate, dividend_yield, years):
        european_put(spot, strike, years, rate, dividend_yield, vol, row)
        return _OK
    if dividend_yield < rate < 0.0:
        work[_KEY_KIND] = 0.0
        begin = _CURVE_AT + curve_size(rules) + DERIVATIVES
        return double_boundary_row(spot, strike, years, rate, dividend_yield, vol, work[begin:], row)
    if not _kept_curve(rate * years, dividend_yield * years, dev, 2.0, rules, work):
        return _NOT_CONVERGED
    size = curve_size(rules)
    into = work[_CURVE_AT + size : _CURVE_AT + size + DERIVATIVES]
    curve_derivatives(
        math.log(spot / strike), rate * years, dividend_yield * years, dev, rules,
        work[_CURVE_AT + size + DERIVATIVES :], work[_CURVE_AT : _CURVE_AT + size], into,
    )  # fmt: skip
    put_row(spot, strike, years, rate, dividend_yield, vol, into, row)
    return _OK


@kernel
def american_row(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    rules: F8, work: F8, row: F8,
) -> int:  # fmt: skip
    """Fill ``row[AMERICAN_ROWS]`` (:class:`AmericanRow`) of one option and return its ``PriceStatus``.

    Units as everywhere (per 1.00 of spot and volatility, per year; calendar derivatives are -d/dT).
    NaN throughout with BAD_INPUT (outside the domain that European options have, too) and
    NOT_CONVERGED. ``rules``, ``work`` from :func:`workspace`; a boundary is kept in ``work`` and used
    again if the next option shares years, rate, yield and volatility: 1 us instead of 14 (q > r: 20).
    """
    for j in range(AMERICAN_ROWS):
        row[j] = math.nan
    if not usable(spot, strike, years, rate, dividend_yield, vol, right):
        return _BAD_INPUT
    rate, dividend_yield = without_trifles(rate, years), without_trifles(dividend_yield, years)
    if right < 0:
        status = _put(spot, strike, years, rate, dividend_yield, vol, rules, work, row)
    else:
        status = _put(strike, spot, years, dividend_yield, rate, vol, rules, work, row)
        call_row(spot, strike, row)
    if status > _INTRINSIC or not abs(row[0]) < math.inf:
        for j in range(AMERICAN_ROWS):
            row[j] = math.nan
        status = max(status, _BAD_INPUT)
    return status


@kernel
def _put_price(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, rules: F8, work: F8
) -> tuple[float, int]:
    dev = vol * math.sqrt(max(years, 0.0))
    size = curve_size(rules)
    begin = _CURVE_AT + size + DERIVATIVES
    if dev <= MIN_DEVIATION:
        at = best_time(spot, strike, max(years, 0.0), rate, dividend_yield)
        return max(strike * math.exp(-rate * at) - spot * math.exp(-dividend_yield * at), 0.0), _INTRINSIC
    if never_early(rate, dividend_yield, years):
        return spot_greeks(spot, strike, years, rate, dividend_yield, vol, -1)[0], _OK
    if dividend_yield < rate < 0.0:
        work[_KEY_KIND] = 0.0
        return double_boundary_price(spot, strike, years, rate, dividend_yield, vol, work[begin:])
    if not _kept_curve(rate * years, dividend_yield * years, dev, 1.0, rules, work):
        return math.nan, _NOT_CONVERGED
    value = curve_value(
        math.log(spot / strike), rate * years, dividend_yield * years, dev, rules,
        work[begin:], work[_CURVE_AT : _CURVE_AT + size],
    )  # fmt: skip
    return strike * value, _OK


@kernel
def american_price(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    rules: F8, work: F8,
) -> tuple[float, int]:  # fmt: skip
    """(price, ``PriceStatus``) of one option; as :func:`american_row`, a quarter cheaper."""
    if not usable(spot, strike, years, rate, dividend_yield, vol, right):
        return math.nan, _BAD_INPUT
    rate, dividend_yield = without_trifles(rate, years), without_trifles(dividend_yield, years)
    if right < 0:
        price, status = _put_price(spot, strike, years, rate, dividend_yield, vol, rules, work)
    else:
        price, status = _put_price(strike, spot, years, dividend_yield, rate, vol, rules, work)
    if status > _INTRINSIC or not abs(price) < math.inf:
        return math.nan, max(status, _BAD_INPUT)
    return price, status


@kernel
def american_boundary(
    years: float, rate: float, dividend_yield: float, vol: float, right: int, rules: F8, work: F8
) -> float:
    """Spot / strike at which the option is exercised at once, ``years`` before expiry.

    A put is exercised below it, a call above. NaN where there is no single boundary (never exercised
    early, two boundaries, no volatility or time, bad input).
    """
    if not usable(1.0, 1.0, years, rate, dividend_yield, vol, right):
        return math.nan
    rate, dividend_yield = without_trifles(rate, years), without_trifles(dividend_yield, years)
    if right >= 0:
        rate, dividend_yield = dividend_yield, rate
    dev = vol * math.sqrt(max(years, 0.0))
    if dev <= MIN_DEVIATION or never_early(rate, dividend_yield, years) or dividend_yield < rate < 0.0:
        return math.nan
    if not _kept_curve(rate * years, dividend_yield * years, dev, 1.0, rules, work):
        return math.nan
    return math.exp(work[_CURVE_AT + CURVE_TOP] if right < 0 else -work[_CURVE_AT + CURVE_TOP])
