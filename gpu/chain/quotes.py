"""Recorded or live QUOTE rows to prices in currency, with our own resting orders taken out.

A quoter that calibrates on a market containing its own quotes chases itself. Two book levels are
enough to remove one own order a side: where level 1 is all ours, level 2 is the market's price.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
I8: TypeAlias = npt.NDArray[np.int64]


@kernel(inline=True)
def ex_own_level(ticks: int, qty: int, ticks2: int, qty2: int, own_ticks: int, own_qty: int) -> int:
    """Best price in ticks once ``own_qty`` at ``own_ticks`` is taken away; -1 when nothing is left."""
    if qty > 0 and (ticks != own_ticks or qty > own_qty):
        return ticks
    if qty2 > 0 and (ticks2 != own_ticks or qty2 > own_qty):
        return ticks2
    return -1


@kernel
def ex_own_prices(
    quotes: Any,
    price_unit: F8,
    own_bid_ticks: I8,
    own_bid_qty: I8,
    own_ask_ticks: I8,
    own_ask_qty: I8,
    bid_out: F8,
    ask_out: F8,
) -> None:
    """Market bid and ask of n instruments without our own orders, in currency; NaN = none.

    ``quotes`` QUOTE[n]; ``price_unit`` the worth of one tick; own quantities are what rests on the
    book now (0 = nothing there). All [n], row = instrument number. About 5 ns a row.
    """
    for i in range(price_unit.shape[0]):
        q = quotes[i]
        bid = ex_own_level(q.bid_ticks, q.bid_qty, q.bid2_ticks, q.bid2_qty, own_bid_ticks[i], own_bid_qty[i])
        ask = ex_own_level(q.ask_ticks, q.ask_qty, q.ask2_ticks, q.ask2_qty, own_ask_ticks[i], own_ask_qty[i])
        bid_out[i] = bid * price_unit[i] if bid > 0 else math.nan
        ask_out[i] = ask * price_unit[i] if ask > 0 else math.nan
