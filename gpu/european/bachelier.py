"""Whole arrays in Bachelier's model: the forward moves by ``vol`` [currency per sqrt(year)], any sign allowed.

Value e^-rT (w (F - K) N(w d) + v sqrt(T) pdf(d)) with d = (F - K) / (v sqrt(T)). Its Greeks are the
derivatives that ``Greek`` names, with the forward for the spot: delta, gamma, speed in F; vega, volga,
ultima in the normal volatility v (per 1.00 of currency per sqrt(year)); theta, charm, veta, colour
are -d/dT with the discount factor e^-rT ageing too; rho at a fixed forward is -T * price.
Shapes, statuses and threads as in ``batch.py``. Row formulas: ``formulas.bachelier_row``.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.formulas import bachelier_domain, bachelier_open, bachelier_reduced, bachelier_row
from gpu.european.greeks import BAD_INPUT, OK, bachelier_greeks, bachelier_status, nan_row
from gpu.maths.wide import wide_kernel
from market.jit import JIT_ENABLED, kernel

F8: TypeAlias = npt.NDArray[np.float64]
U1: TypeAlias = npt.NDArray[np.uint8]


@wide_kernel
def bachelier_loop(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8,
    price: F8, delta: F8, gamma: F8, vega: F8, theta: F8, rho: F8, vanna: F8, volga: F8, charm: F8, veta: F8,
    speed: F8, zomma: F8, colour: F8, ultima: F8, status: U1,
) -> int:  # fmt: skip
    """Wide part of :func:`bachelier_greeks_batch`; the number of rows left to the second pass."""
    flagged = 0
    for i in range(forward.shape[0]):
        f, k, t, r, v, w = forward[i], strike[i], years[i], rate[i], vol[i], float(right[i])
        sound = bachelier_domain(f, k, t, r, v, w) & bachelier_open(f, k, t, v)
        row = bachelier_row(f, k, t, r, v, w) if JIT_ENABLED or sound else nan_row()
        status[i] = OK if sound else BAD_INPUT
        flagged += 0 if sound else 1
        price[i], delta[i], gamma[i], vega[i], theta[i] = row[0], row[1], row[2], row[3], row[4]
        rho[i], vanna[i], volga[i], charm[i], veta[i] = row[5], row[6], row[7], row[8], row[9]
        speed[i], zomma[i], colour[i], ultima[i] = row[10], row[11], row[12], row[13]
    return flagged


@wide_kernel
def bachelier_reduced_loop(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8,
    price: F8, delta: F8, gamma: F8, vega: F8, theta: F8, status: U1,
) -> int:  # fmt: skip
    """Wide part of :func:`bachelier_reduced_batch`."""
    flagged = 0
    for i in range(forward.shape[0]):
        f, k, t, r, v, w = forward[i], strike[i], years[i], rate[i], vol[i], float(right[i])
        sound = bachelier_domain(f, k, t, r, v, w) & bachelier_open(f, k, t, v)
        row = bachelier_reduced(f, k, t, r, v, w) if JIT_ENABLED or sound else nan_row()[:5]
        status[i] = OK if sound else BAD_INPUT
        flagged += 0 if sound else 1
        price[i], delta[i], gamma[i], vega[i], theta[i] = row[0], row[1], row[2], row[3], row[4]
    return flagged


@kernel
def mend_bachelier_rows(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8, out: F8, status: U1
) -> None:  # fmt: skip
    """Second pass over the marked rows alone."""
    for i in range(status.shape[0]):
        if status[i] != OK:
            f, k, t, r, v, w = forward[i], strike[i], years[i], rate[i], vol[i], float(right[i])
            status[i] = bachelier_status(f, k, t, r, v, w)
            row = bachelier_greeks(f, k, t, r, v, w)
            for j in range(out.shape[0]):
                out[j, i] = row[j]


@kernel
def bachelier_greeks_batch(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8, out: F8, status: U1
) -> None:
    """Fill ``out[14, n]`` and ``status[n]`` for n options on a forward in Bachelier's model."""
    flagged = bachelier_loop(
        forward, strike, years, rate, vol, right, out[0], out[1], out[2], out[3], out[4], out[5],
        out[6], out[7], out[8], out[9], out[10], out[11], out[12], out[13], status,
    )  # fmt: skip
    if flagged > 0:
        mend_bachelier_rows(forward, strike, years, rate, vol, right, out, status)


@kernel
def bachelier_reduced_batch(
    forward: F8, strike: F8, years: F8, rate: F8, vol: F8, right: F8, out: F8, status: U1
) -> None:
    """Fill ``out[5, n]`` with price, delta, gamma, vega and theta of Bachelier's model."""
    flagged = bachelier_reduced_loop(
        forward, strike, years, rate, vol, right, out[0], out[1], out[2], out[3], out[4], status
    )
    if flagged > 0:
        mend_bachelier_rows(forward, strike, years, rate, vol, right, out, status)
