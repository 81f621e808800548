"""Arrays of independent American options: price alone, or price and all first and second order Greeks."""

import threading

import numpy as np
import numpy.typing as npt

from gpu.american.put import AMERICAN_ROWS
from gpu.american.row import american_price, american_row, workspace
from gpu.american.rules import F8
from market.jit import kernel

I1 = npt.NDArray[np.int8]
U1 = npt.NDArray[np.uint8]

_local = threading.local()


def thread_workspace() -> tuple[F8, F8]:
    """The calling thread's own (rules, work) in the standard accuracy, made on first use."""
    if not hasattr(_local, "pair"):
        _local.pair = workspace()
    pair: tuple[F8, F8] = _local.pair
    return pair


@kernel
def american_rows(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: I1,
    rules: F8, work: F8, out: F8, status: U1,
) -> None:  # fmt: skip
    """Kernel of :func:`american_greeks`; ``rules`` and ``work`` from ``workspace()``, no allocation."""
    size = work.shape[0] - AMERICAN_ROWS
    row = work[size:]
    for i in range(spot.shape[0]):
        status[i] = american_row(
            spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], int(right[i]), rules, work[:size], row
        )
        for j in range(AMERICAN_ROWS):
            out[j, i] = row[j]


@kernel
def price_rows(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: I1,
    rules: F8, work: F8, out: F8, status: U1,
) -> None:  # fmt: skip
    """Kernel of :func:`american_prices`."""
    for i in range(spot.shape[0]):
        out[i], status[i] = american_price(
            spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], int(right[i]), rules, work
        )


def american_greeks(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: I1, out: F8, status: U1
) -> None:
    """Fill ``out[AMERICAN_ROWS, n]`` (rows: ``AmericanRow``) and ``status[n]`` (``PriceStatus``) for n options.

    All inputs [n], float64 (``right`` int8, +1 call, -1 put); rates, yields and volatilities per
    year, years ACT/365. A bad row is NaN with its status and touches no other. Rows next to each
    other that share years, rate, yield, volatility and right share one exercise boundary: order a
    book by those and a row costs a twentieth.
    """
    rules, work = thread_workspace()
    american_rows(spot, strike, years, rate, dividend_yield, vol, right, rules, work, out, status)


def american_prices(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: I1, out: F8, status: U1
) -> None:
    """Prices alone into ``out[n]``; otherwise as :func:`american_greeks`."""
    rules, work = thread_workspace()
    price_rows(spot, strike, years, rate, dividend_yield, vol, right, rules, work, out, status)
