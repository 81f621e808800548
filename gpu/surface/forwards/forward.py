"""Forward and discount of one expiry from put-call parity, robust against the quotes of a real chain.

Parity says call - put = discount * (forward - strike). Each strike with both sides quoted gives an
interval for the forward, [bid(call) - ask(put), ask(call) - bid(put)] / discount + strike; its middle
is one vote, weighted by its width and by its distance from the spot. The answer is the weighted mean
of the votes that agree with their weighted median: a crossed, stale or mistyped strike is outvoted.

The slope in the strike gives the discount, but over a few strikes near the money it is known far
worse than any interest rate is: it is taken as a measurement beside the prior exp(-rate * years),
each with its own error. For AMERICAN options the slope measures early exercise rather than
discounting, so the prior stands; the forward is then the one at which calls and puts near the money
imply the same volatility, which is what the smile needs (a biased forward tears it at the money).
"""

import math
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]


class ForwardStatus(IntEnum):
    """Where a forward comes from; larger is worse."""

    PARITY = 0
    CARRY = 1  # no strike has both sides, or parity contradicts the spot: carried from the spot
    NONE = 2  # no usable spot or the expiry has passed


PARITY = int(ForwardStatus.PARITY)
CARRY = int(ForwardStatus.CARRY)
NONE = int(ForwardStatus.NONE)

#: A price at or over this is no price: it keeps squares and ratios far from overflow.
MAX_PRICE = 1e9

_RATE_ERROR = 0.01  # one sd of the funding rate around the configured one, per year
_DISCOUNT_ERROR = 1e-5  # and its floor, so that an expiry of today keeps its discount of one
_AGREE = 1.5  # votes within this many half-widths of the median are averaged
_MAX_GAP = 0.02  # |ln(forward / spot)| credible at once ...
_MAX_GAP_PER_YEAR = 0.15  # ... and per year of carry


@kernel(allocates=True)
def weighted_median(values: F8, weights: F8, order: npt.NDArray[np.int64], count: int) -> float:
    """Lower weighted median of ``values[:count]``; ``order`` is scratch. Insertion sort: count ~ 10..200."""
    total = 0.0
    for i in range(count):
        order[i] = i
        total += weights[i]
        j = i
        while j > 0 and values[order[j - 1]] > values[order[j]]:
            order[j - 1], order[j] = order[j], order[j - 1]
            j -= 1
    seen = 0.0
    for i in range(count):
        seen += weights[order[i]]
        if seen >= 0.5 * total:
            return float(values[order[i]])
    return math.nan


@kernel(inline=True)
def two_sided(bid: float, ask: float) -> bool:
    """A positive bid under (or at) a credible ask; NaN on either side is no quote."""
    return bid > 0.0 and ask >= bid and ask < MAX_PRICE


@kernel(allocates=True)
def _gather(strike: F8, call_bid: F8, call_ask: F8, put_bid: F8, put_ask: F8, spot: float, years: float,
            work: F8) -> int:  # fmt: skip
    """Votes of one expiry: work rows 0 strike, 1 call - put, 2 half-width, 3 weight. Returns their number."""
    count = 0
    reach = min(max(0.15 * math.sqrt(years), 0.01), 0.1)
    for i in range(strike.shape[0]):
        if not (two_sided(call_bid[i], call_ask[i]) and two_sided(put_bid[i], put_ask[i])):
            continue
        half = 0.5 * (call_ask[i] - call_bid[i] + put_ask[i] - put_bid[i])
        half = max(half, 1e-5 * spot)
        away = math.log(strike[i] / spot) / reach
        work[0, count] = strike[i]
        work[1, count] = 0.5 * (call_bid[i] + call_ask[i] - put_bid[i] - put_ask[i])
        work[2, count] = half
        # Cauchy in the distance: far strikes fade (early exercise, stale deep quotes) yet still
        # count where nothing nearer exists.
        work[3, count] = 1.0 / (half * half * (1.0 + away * away) * (1.0 + away * away))
        count += 1
    return count


@kernel(allocates=True)
def _agreed_forward(work: F8, order: npt.NDArray[np.int64], count: int, discount: float) -> float:
    """Weighted mean of the votes that agree with the weighted median; NaN when there is none."""
    for i in range(count):
        work[4, i] = work[0, i] + work[1, i] / discount
    median = weighted_median(work[4], work[3], order, count)
    top, bottom = 0.0, 0.0
    for i in range(count):
        if abs(work[4, i] - median) <= _AGREE * work[2, i] / discount:
            top += work[3, i] * work[4, i]
            bottom += work[3, i]
    return top / bottom if bottom > 0.0 else math.nan


@kernel(allocates=True)
def _measured_discount(work: F8, count: int, forward: float, prior: float, years: float) -> float:
    """Posterior discount from the slope of the votes around ``forward`` and the prior's error."""
    error = max(_RATE_ERROR * years * prior, _DISCOUNT_ERROR)
    weight, s1, s2, sy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(count):
        x, y = forward - work[0, i], work[1, i]
        if abs(y - prior * x) > 3.0 * work[2, i] + 3.0 * error * abs(x):
            continue  # an outlier must not lever the slope
        w = 3.0 / (work[2, i] * work[2, i])  # variance of a uniform error over +-half
        weight += w
        s1 += w * x
        s2 += w * x * x
        sy += w * y
        sxy += w * x * y
    if weight <= 0.0:
        return prior
    spread = s2 - s1 * s1 / weight  # information on the slope once the level is free
    slope = (sxy - s1 * sy / weight) / spread if spread > 0.0 else prior
    information = 1.0 / (error * error)
    return (slope * spread + prior * information) / (spread + information)


@kernel(allocates=True)
def parity_forward(
    strike: F8,
    call_bid: F8,
    call_ask: F8,
    put_bid: F8,
    put_ask: F8,
    spot: float,
    years: float,
    rate: float,
    american: bool,
    work: F8,
    order: npt.NDArray[np.int64],
) -> tuple[float, float, int, int]:
    """(forward, discount, ForwardStatus, votes) of one expiry; quotes float64[n], one row per strike.

    A missing side is NaN or <= 0. ``work`` float64[>= 5, >= n] and ``order`` int64[>= n] are scratch.
    Status CARRY: the forward is spot * exp(rate * years). Status NONE: both are NaN.
    """
    if not (0.0 < spot < MAX_PRICE and 0.0 < years < math.inf and abs(rate) < 10.0):
        return math.nan, math.nan, NONE, 0
    discount = math.exp(-rate * years)
    carried = spot / discount
    count = _gather(strike, call_bid, call_ask, put_bid, put_ask, spot, years, work)
    if count == 0:
        return carried, discount, CARRY, 0
    forward = _agreed_forward(work, order, count, discount)
    if not american and count >= 2 and forward > 0.0:
        discount = _measured_discount(work, count, forward, discount, years)
        forward = _agreed_forward(work, order, count, discount)
    if not (forward > 0.0 and abs(math.log(forward / spot)) <= _MAX_GAP + _MAX_GAP_PER_YEAR * years):
        return carried, math.exp(-rate * years), CARRY, count
    return forward, discount, PARITY, count
