"""European options on a spot that pays dividends in cash at known dates: two closed forms, Greeks included.

The market's model is the *piecewise lognormal* one: the spot is lognormal between dividend dates and
falls by the dividend at each (``piecewise.py`` solves it to ten digits, at a few microseconds for one
dividend). The closed forms here replace it by one lognormal variable with the same forward:

* *escrowed*: the spot less the present value of the dividends before expiry is lognormal. Exact for
  a dividend paid at once; a later one is priced with too little volatility (the whole spot moves
  until it goes ex), typically 1 % of the time value for a dividend of 2 % in the middle of the life.
* *split* (Bos and Vandermark, "Finessing fixed dividends", Risk, September 2002): of each dividend
  the share 1 - t/T is taken off the spot and t/T, carried to expiry, is added to the strike. About a
  tenth of the escrowed error; also exact for a dividend at expiry.

All Greeks are derivatives of that closed form in the true spot, with the dates coming nearer as time
passes and the present values moving with the rate. Dates are in years from now; dividends at or
before now, or after expiry, are ignored. Carry is rate - dividend_yield (the yield: borrow).
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.formulas import Row
from gpu.european.greeks import BAD_INPUT, nan_row, spot_greeks, spot_status
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]
U1: TypeAlias = npt.NDArray[np.uint8]
Shift: TypeAlias = tuple[float, float, float, float, float, float]


@kernel
def escrowed_shift(years: float, carry: float, dates: F8, amounts: F8) -> Shift:
    """What comes off the spot and onto the strike, and the derivatives of both in calendar time and in the rate."""
    off = off_time = off_rate = 0.0
    for i in range(dates.shape[0]):
        t = dates[i]
        if 0.0 < t <= years:
            value = amounts[i] * math.exp(-carry * t)
            off += value
            off_time += carry * value
            off_rate -= t * value
    return off, off_time, off_rate, 0.0, 0.0, 0.0


@kernel
def split_shift(years: float, carry: float, dates: F8, amounts: F8) -> Shift:
    """As :func:`escrowed_shift` for the split between spot and strike."""
    off = off_time = off_rate = on = on_time = on_rate = 0.0
    for i in range(dates.shape[0]):
        t = dates[i]
        if 0.0 < t <= years:
            share = 1.0 - t / years
            near = share * amounts[i] * math.exp(-carry * t)
            carried = amounts[i] * math.exp(carry * (years - t))
            off += near
            off_time += near * (carry + 1.0 / years)
            off_rate -= t * near
            on += (1.0 - share) * carried
            on_time -= share * carried / years
            on_rate += (years - t) * (1.0 - share) * carried
    return off, off_time, off_rate, on, on_time, on_rate


@kernel
def shifted_greeks(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: float,
    shift: Shift,
) -> Row:  # fmt: skip
    """Greeks in the true spot of the formula at (spot - off, strike + on).

    Derivatives in the strike follow from homogeneity: K V_K = V - S V_S, and so on for its derivatives.
    """
    off, off_time, off_rate, on, on_time, on_rate = shift
    s, k = spot - off, strike + on
    row = spot_greeks(s, k, years, rate, dividend_yield, vol, right)
    price, delta, gamma, vega, theta, rho, vanna, volga, charm, veta, speed, zomma, colour, ultima = row
    slope = on_time / k
    return (
        price,
        delta,
        gamma,
        vega,
        theta - delta * off_time + (price - s * delta) * slope,
        rho - delta * off_rate + (price - s * delta) * (on_rate / k),
        vanna,
        volga,
        charm - gamma * off_time - s * gamma * slope,
        veta - vanna * off_time + (vega - s * vanna) * slope,
        speed,
        zomma,
        colour - speed * off_time - (gamma + s * speed) * slope,
        ultima,
    )


@kernel
def dividend_status(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: float,
    dates: F8, amounts: F8, off: float,
) -> int:  # fmt: skip
    """As ``spot_status``; BAD_INPUT also for a negative or non-finite dividend and where none of the spot is left."""
    for i in range(dates.shape[0]):
        if not (abs(dates[i]) < math.inf and 0.0 <= amounts[i] < math.inf):
            return BAD_INPUT
    if spot_status(spot, strike, years, rate, dividend_yield, vol, right) == BAD_INPUT:
        return BAD_INPUT
    return spot_status(spot - off, strike, years, rate, dividend_yield, vol, right)


@kernel
def escrowed_greeks(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: float,
    dates: F8, amounts: F8,
) -> Row:  # fmt: skip
    """Value and thirteen Greeks of one option, dividends escrowed; NaN where ``dividend_status`` is BAD_INPUT."""
    shift = escrowed_shift(years, rate - dividend_yield, dates, amounts)
    state = dividend_status(spot, strike, years, rate, dividend_yield, vol, right, dates, amounts, shift[0])
    if state == BAD_INPUT:
        return nan_row()
    return shifted_greeks(spot, strike, years, rate, dividend_yield, vol, right, shift)


@kernel
def split_greeks(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: float,
    dates: F8, amounts: F8,
) -> Row:  # fmt: skip
    """Value and thirteen Greeks of one option, dividends split between spot and strike (Bos and Vandermark)."""
    shift = split_shift(years, rate - dividend_yield, dates, amounts)
    state = dividend_status(spot, strike, years, rate, dividend_yield, vol, right, dates, amounts, shift[0])
    if state == BAD_INPUT:
        return nan_row()
    return shifted_greeks(spot, strike, years, rate, dividend_yield, vol, right, shift)


@kernel
def dividend_greeks_batch(
    spot: F8, strike: F8, years: F8, rate: F8, dividend_yield: F8, vol: F8, right: F8,
    dates: F8, amounts: F8, split: bool, out: F8, status: U1,
) -> None:  # fmt: skip
    """Fill ``out[14, n]`` and ``status[n]`` for n options on one underlying with ``amounts[m]`` paid at ``dates[m]``.

    ``split`` chooses Bos and Vandermark, else escrowed. Scalar code, about 0.15 us each.
    """
    for i in range(spot.shape[0]):
        s, k, t, r, q, v, w = spot[i], strike[i], years[i], rate[i], dividend_yield[i], vol[i], float(right[i])
        if split:
            shift = split_shift(t, r - q, dates, amounts)
        else:
            shift = escrowed_shift(t, r - q, dates, amounts)
        status[i] = dividend_status(s, k, t, r, q, v, w, dates, amounts, shift[0])
        row = nan_row() if status[i] == BAD_INPUT else shifted_greeks(s, k, t, r, q, v, w, shift)
        for j in range(out.shape[0]):
            out[j, i] = row[j]
