"""The formulas behind every European kernel: straight-line arithmetic on one option, no branch, no check.

The wide loops, the scalar twins for the step and the CUDA kernels all inline these; whoever calls
them has checked the domain (``greeks.py`` states it). What is unusual here, and why:

* Everything is built on the out-of-the-money option and on Mills' ratio Y(z) = N(-z)/pdf(z). With
  h = |ln F/K| / dev and z1,2 = h -+ dev/2, the present value of the density is one number,
  D = S e^-qT pdf(d1) = K e^-rT pdf(d2) = near * pdf(z1) (``near`` the smaller of asset and cash), and
  asset N(d1), cash N(d2) are D Y(z1), D Y(z2) or their complements. One exponential serves both
  tails, which keep their relative accuracy as deep as doubles reach.
* The time value D (Y(z1) - Y(z2)) loses digits when dev is small: below ``SMALL_DEVIATION`` its
  Taylor series in dev replaces the difference; the coefficients follow from Y' = zY - 1.
* An in-the-money price is intrinsic plus time value, and the intrinsic near the money is
  near * expm1(|ln F/K|) by series: the difference of asset and cash has no digits left there.
* The calendar Greeks use d(d1)/dT = (dev^2/2 + (r-q)T - ln S/K) / (2 T dev): two of the terms of the
  textbook form cancel each other.
* ln F/K = ln S/K + (r-q)T is summed in pairs of doubles (``pairs.py``): at a small deviation its two terms cancel, and
  what is left, divided by the deviation and squared, is the exponent. Costs the spot model 1.6 ns; without it a
  density loses |d1| |ln S/K| eps / dev, all digits at the domain's end.
"""

import math
from typing import TypeAlias

from gpu.maths.functions import density, exp_near, log_ratio, mills
from gpu.maths.pairs import Pair, add_pairs, difference_times, log_ratio_pair
from gpu.maths.wide import wide_helper

Row: TypeAlias = tuple[float, float, float, float, float, float, float, float, float, float, float, float, float, float]
Reduced: TypeAlias = tuple[float, float, float, float, float]

#: Under it, differences of nearly equal numbers are replaced by their series (error at the seam 2e-12).
SMALL_DEVIATION = 0.02
SMALL_LOG = 0.02

#: The domain: spot and strike between these two, (|r| + |q| + MIN_RATE) (T + MIN_YEARS) <= MAX_EXPONENT
#: (so |r|, |q| <= 6e5 and T <= 6e6), vol <= MAX_VOL. Standard deviations of the log-price from
#: MIN_DEVIATION; below, the option is worth its discounted intrinsic: the difference is under 1e-10
#: of the strike.
MIN_PRICE = 1e-100
MAX_PRICE = 1e100
MIN_RATE = 1e-4
MIN_YEARS = 1e-3
MAX_EXPONENT = 600.0
MAX_VOL = 1e6
MIN_DEVIATION = 1e-10


@wide_helper
def time_value_series(z: float, y: float, dev: float) -> float:
    """Y(z - dev) - Y(z) for z >= 0, y = Y(z), dev <= 0.02: sum of c_n dev^n, all of them positive.

    c_n = (-1)^n Y^(n) / n! obeys (n+1) c_(n+1) = c_(n-1) - z c_n. Cut at n = 6: 6e-13 of the sum.
    """
    c1 = 1.0 - z * y
    c2 = 0.5 * (y - z * c1)
    c3 = (c1 - z * c2) * (1.0 / 3.0)
    c4 = 0.25 * (c2 - z * c3)
    c5 = (c3 - z * c4) * 0.2
    c6 = (c4 - z * c5) * (1.0 / 6.0)
    return dev * (c1 + dev * (c2 + dev * (c3 + dev * (c4 + dev * (c5 + dev * c6)))))


@wide_helper
def growth(x: float) -> float:
    """expm1(x) for 0 <= x <= 0.02, relative error 2e-14."""
    p = 1.0 / 720.0
    p = p * x + 1.0 / 120.0
    p = p * x + 1.0 / 24.0
    p = p * x + 1.0 / 6.0
    p = p * x + 0.5
    return x + x * x * p


@wide_helper
def split_value(
    x: float, asset: float, cash: float, gap: float, dev: float, inv_dev: float, w: float
) -> Reduced:  # fmt: skip
    """(price, asset N(w d1), cash N(w d2), D, x / dev) of an option.

    x = ln(asset / cash), gap = |asset - cash| (whoever knows it more exactly than from the two may say so),
    w = +1 call, -1 put.
    """
    scaled = x * inv_dev
    h, t = abs(scaled), 0.5 * dev
    z1, z2 = h - t, h + t
    above = x > 0.0
    near = cash if above else asset
    far = asset if above else cash
    common = near * density(z1)
    y2 = mills(z2)
    side1 = common * mills(abs(z1))
    tail2 = common * y2
    rest1 = near - side1
    out1 = side1 if z1 >= 0.0 else rest1  # near * N(-z1)
    in1 = rest1 if z1 >= 0.0 else side1  # near * N(z1)
    series = common * time_value_series(z2, y2, dev)
    value = series if dev < SMALL_DEVIATION else out1 - tail2
    gain = near * growth(h * dev) if h * dev < SMALL_LOG else gap
    inside = (w > 0.0) if above else (w < 0.0)  # at the money exactly the call counts as outside
    price = value + gain if inside else value
    near_n = in1 if inside else out1
    far_n = far - tail2 if inside else tail2
    return price, far_n if above else near_n, near_n if above else far_n, common, scaled


@wide_helper
def moved_row(
    spot: float, inv_spot: float, x: float, move: float, carry: float, cash: float, root: float, inv_root: float,
    dev: float, inv_dev: float, rate: float, dividend_yield: float, w: float,
) -> Row:  # fmt: skip
    """All fourteen rows from what a spot move changes (first three) and what it does not.

    x = ln(asset / cash) from :func:`log_moneyness`, move = (r-q) T, carry = e^-qT, cash = strike e^-rT,
    root = sqrt(T), dev = vol root.
    """
    asset = spot * carry
    return gap_row(
        inv_spot, x, move, asset, cash, abs(asset - cash), root, inv_root, dev, inv_dev, rate, dividend_yield, w
    )


@wide_helper
def gap_row(
    inv_spot: float, x: float, move: float, asset: float, cash: float, gap: float, root: float, inv_root: float,
    dev: float, inv_dev: float, rate: float, dividend_yield: float, w: float,
) -> Row:  # fmt: skip
    """As :func:`moved_row` from asset = spot e^-qT, cash and gap = |asset - cash|."""
    price, asset_n, cash_n, common, scaled = split_value(x, asset, cash, gap, dev, inv_dev, w)
    t = 0.5 * dev
    d1, d2 = scaled + t, scaled - t
    d1d2 = d1 * d2
    inv_vol = root * inv_dev
    half_rate = 0.5 * inv_root * inv_root  # 1 / 2T
    d1_years = (t * dev + (2.0 * move - x)) * inv_dev * half_rate
    weight = common * inv_spot
    gamma = weight * inv_spot * inv_dev
    vega = common * root
    delta = w * asset_n * inv_spot
    bend = dividend_yield + d1 * d1_years
    return (
        price,
        delta,
        gamma,
        vega,
        w * (dividend_yield * asset_n - rate * cash_n) - common * dev * half_rate,
        w * (root * root) * cash_n,
        -weight * d2 * inv_vol,
        vega * d1d2 * inv_vol,
        dividend_yield * delta - weight * d1_years,
        vega * (bend - half_rate),
        -gamma * inv_spot * (scaled * inv_dev + 1.5),
        gamma * (d1d2 - 1.0) * inv_vol,
        gamma * (bend + half_rate),
        -vega * inv_vol * inv_vol * (d1d2 * (1.0 - d1d2) + (d1 * d1 + d2 * d2)),
    )


@wide_helper
def moved_reduced(
    spot: float, inv_spot: float, x: float, carry: float, cash: float, root: float, inv_root: float,
    dev: float, inv_dev: float, rate: float, dividend_yield: float, w: float,
) -> Reduced:  # fmt: skip
    """Price, delta, gamma, vega, theta; arguments as :func:`moved_row`."""
    asset = spot * carry
    return gap_reduced(
        inv_spot, x, asset, cash, abs(asset - cash), root, inv_root, dev, inv_dev, rate, dividend_yield, w
    )


@wide_helper
def gap_reduced(
    inv_spot: float, x: float, asset: float, cash: float, gap: float, root: float, inv_root: float,
    dev: float, inv_dev: float, rate: float, dividend_yield: float, w: float,
) -> Reduced:  # fmt: skip
    """As :func:`gap_row`, five rows."""
    price, asset_n, cash_n, common, _ = split_value(x, asset, cash, gap, dev, inv_dev, w)
    return (
        price,
        w * asset_n * inv_spot,
        common * inv_spot * inv_spot * inv_dev,
        common * root,
        w * (dividend_yield * asset_n - rate * cash_n) - common * dev * (0.5 * inv_root * inv_root),
    )


@wide_helper
def spot_domain(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, w: float
) -> bool:
    """Whether :func:`spot_row` holds: no NaN, no infinity, and nothing that overflows in a third-order Greek."""
    rates = (abs(rate) + abs(dividend_yield) + MIN_RATE) * (years + MIN_YEARS)
    prices = (spot >= MIN_PRICE) & (spot <= MAX_PRICE) & (strike >= MIN_PRICE) & (strike <= MAX_PRICE)
    return prices & (rates <= MAX_EXPONENT) & (vol <= MAX_VOL) & (abs(w) == 1.0)


@wide_helper
def deviation_left(years: float, vol: float) -> bool:
    """Whether vol sqrt(years) is over MIN_DEVIATION; no square root, so that any numbers may come."""
    return (vol > 0.0) & (vol * vol * years > MIN_DEVIATION * MIN_DEVIATION)


@wide_helper
def log_moneyness(spot: float, strike: float, years: float, rate: float, dividend_yield: float) -> Pair:
    """ln(spot / strike) + (rate - dividend_yield) years as a pair, whose two terms may cancel to the last digit."""
    k, k_low = log_ratio_pair(spot, strike)
    move, move_low = difference_times(rate, dividend_yield, years)
    return add_pairs(k, k_low, move, move_low)


@wide_helper
def spot_row(spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, w: float) -> Row:
    """Price and thirteen Greeks in the order of ``Greek``; valid inside the domain of ``greeks.py`` only."""
    root = math.sqrt(years)
    dev = vol * root
    inv_dev = 1.0 / dev
    x, x_low = log_moneyness(spot, strike, years, rate, dividend_yield)
    return moved_row(
        spot, 1.0 / spot, x + x_low, (rate - dividend_yield) * years,
        exp_near(-dividend_yield * years), strike * exp_near(-rate * years),
        root, vol * inv_dev, dev, inv_dev, rate, dividend_yield, w,
    )  # fmt: skip


@wide_helper
def spot_reduced(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, w: float
) -> Reduced:
    """Price, delta, gamma, vega, theta; as :func:`spot_row`."""
    root = math.sqrt(years)
    dev = vol * root
    inv_dev = 1.0 / dev
    x, x_low = log_moneyness(spot, strike, years, rate, dividend_yield)
    return moved_reduced(
        spot, 1.0 / spot, x + x_low,
        exp_near(-dividend_yield * years), strike * exp_near(-rate * years),
        root, vol * inv_dev, dev, inv_dev, rate, dividend_yield, w,
    )  # fmt: skip


@wide_helper
def forward_row(forward: float, strike: float, years: float, rate: float, vol: float, w: float) -> Row:
    """Black-76: the spot model with dividend yield = rate; rho at a fixed forward is -years * price.

    Forward less strike is taken before discounting: an in-the-money price is good to its last digits.
    """
    root = math.sqrt(years)
    dev = vol * root
    inv_dev = 1.0 / dev
    discount = exp_near(-rate * years)
    row = gap_row(
        1.0 / forward, log_ratio(forward, strike), 0.0, forward * discount, strike * discount,
        discount * abs(forward - strike), root, vol * inv_dev, dev, inv_dev, rate, rate, w,
    )  # fmt: skip
    rho = -years * row[0]
    return (row[0], row[1], row[2], row[3], row[4], rho, row[6], row[7], row[8], row[9], row[10], row[11],
            row[12], row[13])  # fmt: skip


@wide_helper
def forward_reduced(forward: float, strike: float, years: float, rate: float, vol: float, w: float) -> Reduced:
    """Price, delta, gamma, vega, theta of Black-76."""
    root = math.sqrt(years)
    dev = vol * root
    inv_dev = 1.0 / dev
    discount = exp_near(-rate * years)
    return gap_reduced(
        1.0 / forward, log_ratio(forward, strike), forward * discount, strike * discount,
        discount * abs(forward - strike), root, vol * inv_dev, dev, inv_dev, rate, rate, w,
    )  # fmt: skip


@wide_helper
def black_value(forward: float, strike: float, deviation: float, w: float) -> float:
    """Undiscounted Black value at full relative accuracy; deviation >= MIN_DEVIATION, prices inside the domain."""
    x = log_ratio(forward, strike)
    return split_value(x, forward, strike, abs(forward - strike), deviation, 1.0 / deviation, w)[0]


@wide_helper
def _bachelier_value(
    forward: float, strike: float, years: float, rate: float, vol: float, w: float
) -> tuple[float, float, float, float, float, float]:
    """(price, delta, discounted density, d, root, inv_dev) of Bachelier's model."""
    root = math.sqrt(years)
    dev = vol * root
    inv_dev = 1.0 / dev
    gain = forward - strike
    d = gain * inv_dev
    z = abs(d)
    discount = exp_near(-rate * years)
    weight = discount * density(z)
    y = mills(z)
    tail = weight * y
    value = weight * dev * (1.0 - z * y)  # of the out-of-the-money side: dev (pdf - z N(-z))
    inside = w * d > 0.0
    price = value + discount * abs(gain) if inside else value
    delta = w * (discount - tail) if inside else w * tail
    return price, delta, weight, d, root, inv_dev


@wide_helper
def bachelier_row(forward: float, strike: float, years: float, rate: float, vol: float, w: float) -> Row:
    """Bachelier's fourteen rows: vol in currency per sqrt(year), value discounted at ``rate``, forward fixed.

    V = e^-rT (w (F - K) N(w d) + v sqrt(T) pdf(d)), d = (F - K) / (v sqrt(T)); every Greek is the
    derivative of V that ``Greek`` names, with S read as F and the discount factor moving in r and T.
    """
    price, delta, weight, d, root, inv_dev = _bachelier_value(forward, strike, years, rate, vol, w)
    inv_root = vol * inv_dev
    inv_vol = root * inv_dev
    half_rate = 0.5 * inv_root * inv_root  # 1 / 2T
    dd = d * d
    gamma = weight * inv_dev
    vega = weight * root
    return (
        price,
        delta,
        gamma,
        vega,
        rate * price - 0.5 * weight * vol * inv_root,
        -years * price,
        -weight * d * inv_vol,
        vega * dd * inv_vol,
        rate * delta + weight * d * half_rate,
        vega * (rate - (1.0 + dd) * half_rate),
        -gamma * d * inv_dev,
        gamma * (dd - 1.0) * inv_vol,
        gamma * (rate + (1.0 - dd) * half_rate),
        vega * inv_vol * inv_vol * dd * (dd - 3.0),
    )


@wide_helper
def bachelier_reduced(forward: float, strike: float, years: float, rate: float, vol: float, w: float) -> Reduced:
    """Price, delta, gamma, vega, theta of Bachelier's model."""
    price, delta, weight, _, root, inv_dev = _bachelier_value(forward, strike, years, rate, vol, w)
    return price, delta, weight * inv_dev, weight * root, rate * price - 0.5 * weight * vol * vol * inv_dev


@wide_helper
def bachelier_domain(forward: float, strike: float, years: float, rate: float, vol: float, w: float) -> bool:
    """Whether :func:`bachelier_row` holds; prices of any sign."""
    rates = (abs(rate) + MIN_RATE) * (years + MIN_YEARS)
    prices = (abs(forward) <= MAX_PRICE) & (abs(strike) <= MAX_PRICE) & (abs(vol) <= MAX_PRICE)
    return prices & (rates <= MAX_EXPONENT) & (abs(w) == 1.0)


@wide_helper
def bachelier_open(forward: float, strike: float, years: float, vol: float) -> bool:
    """Whether there is volatility left: vol sqrt(T) over 1e-100 and over MIN_DEVIATION |F - K|, T over 1e-20."""
    gain = forward - strike
    variance = vol * vol * years
    tiny = MIN_DEVIATION * MIN_DEVIATION
    return (vol > 0.0) & (years > tiny) & (variance > MIN_PRICE * MIN_PRICE) & (variance > tiny * gain * gain)
