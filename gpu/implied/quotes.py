"""Implied volatilities straight from the bid and ask quotes of a chain, one strike a row.

Each strike is read from the option out of the money (the put below the forward, else the call):
its price is time value alone, while a price in the money carries its intrinsic value along, whose
rounding and whose errors of forward and rate enter the volatility. What is wrong with a strike's
quotes is said in its status; nothing is invented for a missing side.
"""

from enum import IntEnum
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.implied.batch import implied_vol_batch
from gpu.implied.black import OK
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I1: TypeAlias = npt.NDArray[np.int8]
U1: TypeAlias = npt.NDArray[np.uint8]


class QuoteStatus(IntEnum):
    """What the quotes of one strike gave."""

    OK = 0  # bid, mid and ask have a volatility
    NO_BID = 1  # an ask alone (a bid of zero is none): vol_ask stands, the others are NaN
    NO_ASK = 2  # a bid alone: vol_bid stands, the others are NaN
    NO_QUOTE = 3  # neither: all NaN
    CROSSED = 4  # bid above ask: one of them is old, and nobody knows which: all NaN
    NO_VOL = 5  # a quote is outside what any volatility gives, or says nothing about it: that side is NaN
    BAD_INPUT = 6  # strike, forward, discount or time is not finite or not positive: all NaN


_OK = int(QuoteStatus.OK)
_NO_BID = int(QuoteStatus.NO_BID)
_NO_ASK = int(QuoteStatus.NO_ASK)
_NO_QUOTE = int(QuoteStatus.NO_QUOTE)
_CROSSED = int(QuoteStatus.CROSSED)
_NO_VOL = int(QuoteStatus.NO_VOL)
_BAD_INPUT = int(QuoteStatus.BAD_INPUT)


class ImpliedQuotes(NamedTuple):
    """Result of :func:`implied_quotes`; every array has the broadcast shape of the arguments."""

    vol_bid: F8  # per sqrt(year), NaN where the status says so
    vol_mid: F8  # volatility of the price in the middle
    vol_ask: F8
    side: I1  # which option was read: +1 call, -1 put, 0 with BAD_INPUT
    status: U1  # QuoteStatus


@kernel(inline=True)
def _sides(bid: float, ask: float) -> int:
    """``QuoteStatus`` of one option's quotes by themselves."""
    has_bid, has_ask = 0.0 < bid < np.inf, 0.0 < ask < np.inf
    if has_bid and has_ask:
        return _OK if bid <= ask else _CROSSED
    return _NO_ASK if has_bid else (_NO_BID if has_ask else _NO_QUOTE)


@kernel
def implied_quotes_batch(
    call_bid: F8, call_ask: F8, put_bid: F8, put_ask: F8, forward: F8, discount: F8, strike: F8, years: F8,
    either_side: bool, scratch: F8, out: F8, side: I1, status: U1,
) -> None:  # fmt: skip
    """:func:`implied_quotes` on arrays [n] without allocation: ``out[3, n]`` is bid, mid and ask volatility.

    ``scratch`` is float64[4, n]; nothing may overlap.
    """
    n = strike.shape[0]
    bids, mids, asks, ignored = scratch[0], scratch[1], scratch[2], scratch[3]
    for i in range(n):
        positive = forward[i] > 0.0 and discount[i] > 0.0 and strike[i] > 0.0 and years[i] > 0.0
        if not (positive and forward[i] + discount[i] + strike[i] + years[i] < np.inf):
            status[i], side[i] = _BAD_INPUT, 0
            bids[i] = mids[i] = asks[i] = np.nan
            continue
        call = strike[i] >= forward[i]
        found = _sides(call_bid[i], call_ask[i]) if call else _sides(put_bid[i], put_ask[i])
        if either_side and found in (_NO_QUOTE, _CROSSED):
            other = _sides(put_bid[i], put_ask[i]) if call else _sides(call_bid[i], call_ask[i])
            if other == _OK:
                found, call = other, not call
        bid, ask = (call_bid[i], call_ask[i]) if call else (put_bid[i], put_ask[i])
        status[i], side[i] = found, 1 if call else -1
        bids[i] = bid if found in (_OK, _NO_ASK) else np.nan
        asks[i] = ask if found in (_OK, _NO_BID) else np.nan
        mids[i] = 0.5 * (bid + ask) if found == _OK else np.nan
    _solve(bids, mids, asks, ignored, forward, discount, strike, years, out, side, status)


@kernel
def _solve(
    bids: F8, mids: F8, asks: F8, ignored: F8, forward: F8, discount: F8, strike: F8, years: F8,
    out: F8, side: I1, status: U1,
) -> None:  # fmt: skip
    n = strike.shape[0]
    reasons = ignored.view(np.uint8)[:n]
    for j in range(3):
        prices = bids if j == 0 else (mids if j == 1 else asks)
        implied_vol_batch(prices, forward, strike, years, discount, side, out[j], reasons)
        for i in range(n):
            if reasons[i] != OK and prices[i] == prices[i] and status[i] < _NO_VOL:
                status[i] = _NO_VOL


def implied_quotes(
    call_bid: npt.ArrayLike, call_ask: npt.ArrayLike, put_bid: npt.ArrayLike, put_ask: npt.ArrayLike,
    forward: npt.ArrayLike, discount: npt.ArrayLike, strikes: npt.ArrayLike, years: npt.ArrayLike,
    *, either_side: bool = False,
) -> ImpliedQuotes:  # fmt: skip
    """Black volatilities of bid, mid and ask per strike, from the option out of the money.

    Parameters
    ----------
    call_bid, call_ask, put_bid, put_ask : array_like
        Discounted quotes in currency, broadcast with the rest. NaN, zero or negative: no quote.
    forward, discount, strikes, years : array_like
        Forward and discount factor to expiry (from put-call parity, see ``gpu.surface``), strikes, ACT/365.
    either_side : bool
        Where the option out of the money is not quoted, or crossed, read the one in the money if that has a
        sound two-sided quote. Its error is that of a price reduced by its intrinsic value.

    Returns
    -------
    ImpliedQuotes
        ``vol_bid``, ``vol_mid``, ``vol_ask``, ``side``, ``status``. No row influences another.
    """
    columns = np.broadcast_arrays(call_bid, call_ask, put_bid, put_ask, forward, discount, strikes, years)
    shape, n = columns[0].shape, columns[0].size
    cb, ca, pb, pa, f, d, k, t = (np.array(column, np.float64).reshape(n) for column in columns)
    out, side, status = np.empty((3, n)), np.empty(n, np.int8), np.empty(n, np.uint8)
    implied_quotes_batch(cb, ca, pb, pa, f, d, k, t, either_side, np.empty((4, n)), out, side, status)
    bid, mid, ask = out.reshape((3, *shape))
    return ImpliedQuotes(bid, mid, ask, side.reshape(shape), status.reshape(shape))
