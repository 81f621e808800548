"""Whole arrays of European options: price and Greeks of each row in one wide loop, with a status per row.

``out`` is float64[rows, n], C-contiguous, rows as ``Greek`` (the reduced set: its first five).
``status`` is uint8[n] of ``PriceStatus``. Inputs are float64[n]; ``right`` may be float64 or int8.
No array may overlap another. Nothing is allocated and nothing raises: the wide loop computes every
row as if it were sound and marks those that are not; a second, scalar pass gives only those their
NaN or intrinsic value (as plain Python, where garbage would raise, the marked rows are left out at
once: the constant ``JIT_ENABLED`` below). A row never influences another one. Any thread may call (nogil).
Bachelier's model is in ``bachelier.py``; ``table.py`` holds the narrow entrance from Python.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.formulas import deviation_left, forward_reduced, forward_row, spot_domain, spot_reduced, spot_row
from gpu.european.greeks import BAD_INPUT, OK, forward_greeks, nan_row, spot_greeks, spot_status
from gpu.maths.wide import wide_kernel
from market.jit import JIT_ENABLED, kernel

F8: TypeAlias = npt.NDArray[np.float64]
U1: TypeAlias = npt.NDArray[np.uint8]


@wide_kernel
def spot_loop(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: F8,
    price: F8, delta: F8, gamma: F8, vega: F8, theta: F8, rho: F8, vanna: F8, volga: F8, charm: F8, veta: F8,
    speed: F8, zomma: F8, colour: F8, ultima: F8, status: U1,
) -> int:  # fmt: skip
    """Wide part of :func:`spot_greeks_batch`; the number of rows that it marked BAD_INPUT for the second pass."""
    flagged = 0
    for i in range(spot.shape[0]):
        s, k, t, r, q, v, w = spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], float(right[i])
        sound = spot_domain(s, k, t, r, q, v, w) & deviation_left(t, v)
        row = spot_row(s, k, t, r, q, v, w) if JIT_ENABLED or sound else nan_row()
        status[i] = OK if sound else BAD_INPUT
        flagged += 0 if sound else 1
        price[i], delta[i], gamma[i], vega[i], theta[i] = row[0], row[1], row[2], row[3], row[4]
        rho[i], vanna[i], volga[i], charm[i], veta[i] = row[5], row[6], row[7], row[8], row[9]
        speed[i], zomma[i], colour[i], ultima[i] = row[10], row[11], row[12], row[13]
    return flagged


@wide_kernel
def spot_reduced_loop(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: F8,
    price: F8, delta: F8, gamma: F8, vega: F8, theta: F8, status: U1,
) -> int:  # fmt: skip
    """Wide part of :func:`spot_reduced_batch`."""
    flagged = 0
    for i in range(spot.shape[0]):
        s, k, t, r, q, v, w = spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], float(right[i])
        sound = spot_domain(s, k, t, r, q, v, w) & deviation_left(t, v)
        row = spot_reduced(s, k, t, r, q, v, w) if JIT_ENABLED or sound else nan_row()[:5]
        status[i] = OK if sound else BAD_INPUT
        flagged += 0 if sound else 1
        price[i], delta[i], gamma[i], vega[i], theta[i] = row[0], row[1], row[2], row[3], row[4]
    return flagged


@kernel
def mend_spot_rows(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: F8, out: F8, status: U1
) -> None:
    """Second pass over the marked rows alone: their true status, and NaN or the intrinsic row."""
    for i in range(status.shape[0]):
        if status[i] != OK:
            s, k, t, r, q, v, w = spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], float(right[i])
            status[i] = spot_status(s, k, t, r, q, v, w)
            row = spot_greeks(s, k, t, r, q, v, w)
            for j in range(out.shape[0]):
                out[j, i] = row[j]


@kernel
def spot_greeks_batch(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: F8, out: F8, status: U1
) -> None:
    """Fill ``out[14, n]`` and ``status[n]`` for n options on a spot with a continuous yield.

    Units and signs: ``greeks.py``. Domain: ``formulas.py``; a row outside it is BAD_INPUT and NaN, one
    without time or volatility INTRINSIC. Error: docs/numerics/european.md.
    """
    flagged = spot_loop(
        spot, strike, years, rate, dividend_yield, vol, right, out[0], out[1], out[2], out[3], out[4], out[5],
        out[6], out[7], out[8], out[9], out[10], out[11], out[12], out[13], status,
    )  # fmt: skip
    if flagged > 0:
        mend_spot_rows(spot, strike, years, rate, dividend_yield, vol, right, out, status)


@kernel
def spot_reduced_batch(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: F8, out: F8, status: U1
) -> None:
    """Fill ``out[5, n]`` with price, delta, gamma, vega and theta; otherwise :func:`spot_greeks_batch`."""
    flagged = spot_reduced_loop(
        spot, strike, years, rate, dividend_yield, vol, right, out[0], out[1], out[2], out[3], out[4], status
    )
    if flagged > 0:
        mend_spot_rows(spot, strike, years, rate, dividend_yield, vol, right, out, status)


@wide_kernel
def forward_loop(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8,
    price: F8, delta: F8, gamma: F8, vega: F8, theta: F8, rho: F8, vanna: F8, volga: F8, charm: F8, veta: F8,
    speed: F8, zomma: F8, colour: F8, ultima: F8, status: U1,
) -> int:  # fmt: skip
    """Wide part of :func:`forward_greeks_batch`."""
    flagged = 0
    for i in range(forward.shape[0]):
        f, k, t, r, v, w = forward[i], strike[i], years[i], rate[i], vol[i], float(right[i])
        sound = spot_domain(f, k, t, r, r, v, w) & deviation_left(t, v)
        row = forward_row(f, k, t, r, v, w) if JIT_ENABLED or sound else nan_row()
        status[i] = OK if sound else BAD_INPUT
        flagged += 0 if sound else 1
        price[i], delta[i], gamma[i], vega[i], theta[i] = row[0], row[1], row[2], row[3], row[4]
        rho[i], vanna[i], volga[i], charm[i], veta[i] = row[5], row[6], row[7], row[8], row[9]
        speed[i], zomma[i], colour[i], ultima[i] = row[10], row[11], row[12], row[13]
    return flagged


@wide_kernel
def forward_reduced_loop(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8,
    price: F8, delta: F8, gamma: F8, vega: F8, theta: F8, status: U1,
) -> int:  # fmt: skip
    """Wide part of :func:`forward_reduced_batch`."""
    flagged = 0
    for i in range(forward.shape[0]):
        f, k, t, r, v, w = forward[i], strike[i], years[i], rate[i], vol[i], float(right[i])
        sound = spot_domain(f, k, t, r, r, v, w) & deviation_left(t, v)
        row = forward_reduced(f, k, t, r, v, w) if JIT_ENABLED or sound else nan_row()[:5]
        status[i] = OK if sound else BAD_INPUT
        flagged += 0 if sound else 1
        price[i], delta[i], gamma[i], vega[i], theta[i] = row[0], row[1], row[2], row[3], row[4]
    return flagged


@kernel
def mend_forward_rows(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8, out: F8, status: U1
) -> None:  # fmt: skip
    """Second pass over the marked rows of the forward kernels."""
    for i in range(status.shape[0]):
        if status[i] != OK:
            f, k, t, r, v, w = forward[i], strike[i], years[i], rate[i], vol[i], float(right[i])
            status[i] = spot_status(f, k, t, r, r, v, w)
            row = forward_greeks(f, k, t, r, v, w)
            for j in range(out.shape[0]):
                out[j, i] = row[j]


@kernel
def forward_greeks_batch(forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8, out: F8, status: U1) -> None:
    """Black-76: fill ``out[14, n]`` and ``status[n]``; per 1.00 of the forward, which stays fixed in time and rate.

    rho is therefore -years * price; otherwise the spot model with dividend yield = rate.
    """
    flagged = forward_loop(
        forward, strike, years, rate, vol, right, out[0], out[1], out[2], out[3], out[4], out[5],
        out[6], out[7], out[8], out[9], out[10], out[11], out[12], out[13], status,
    )  # fmt: skip
    if flagged > 0:
        mend_forward_rows(forward, strike, years, rate, vol, right, out, status)


@kernel
def forward_reduced_batch(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8, out: F8, status: U1
) -> None:
    """Fill ``out[5, n]`` with price, delta, gamma, vega and theta of Black-76."""
    flagged = forward_reduced_loop(
        forward, strike, years, rate, vol, right, out[0], out[1], out[2], out[3], out[4], status
    )
    if flagged > 0:
        mend_forward_rows(forward, strike, years, rate, vol, right, out, status)
