"""Exact European Greeks: textbook formulas at 60 digits, and the size of the terms that they are summed from.

The formulas are checked against high-precision derivatives of the price in ``test_european_oracle.py``; the kernel
shares none of them (it is built on the out-of-the-money side, Mills' ratio and series).
"""

import math

import mpmath as mp
import numpy as np

GREEKS = ("price", "delta", "gamma", "vega", "theta", "rho", "vanna", "volga", "charm", "veta", "speed", "zomma",
          "colour", "ultima")  # fmt: skip


#: price, delta, theta, rho, charm: in the money they stay when the density has left the range of doubles.
FINITE_WITHOUT_DENSITY = (0, 1, 4, 5, 8)


def tail(x):
    """N(x), accurate far out."""
    return mp.erfc(-x / mp.sqrt(2)) / 2


def spot_price(s, k, t, r, q, v, w):
    dev = v * mp.sqrt(t)
    d1 = (mp.log(s / k) + (r - q) * t) / dev + dev / 2
    return w * (s * mp.exp(-q * t) * tail(w * d1) - k * mp.exp(-r * t) * tail(w * (d1 - dev)))


def forward_price(f, k, t, r, v, w):
    return spot_price(f, k, t, r, r, v, w)


def bachelier_price(f, k, t, r, v, w):
    dev = v * mp.sqrt(t)
    d = (f - k) / dev
    return mp.exp(-r * t) * (w * (f - k) * tail(w * d) + dev * mp.npdf(d))


def spot_exact(case):
    """(fourteen values, fourteen scales) of one option (s, k, t, r, q, v, w), 60 digits.

    The scale is what a relative error is measured against: the value itself where the formula is a
    product (price, delta, gamma, vega, rho), elsewhere the same formula with every term positive,
    d1 = (ln(s/k) + (r-q)t)/dev + dev/2 counting as three terms.
    """
    with mp.workdps(60):
        s, k, t, r, q, v = (mp.mpf(x) for x in case[:6])
        w = int(case[6])
        root = mp.sqrt(t)
        dev = v * root
        log, move = mp.log(s / k), (r - q) * t
        d1 = (log + move) / dev + dev / 2
        d2 = d1 - dev
        carry, cash = mp.exp(-q * t), k * mp.exp(-r * t)
        asset = s * carry
        pdf = mp.npdf(d1)
        n1, n2 = tail(w * d1), tail(w * d2)
        gamma = carry * pdf / (s * dev)
        vega = asset * pdf * root
        drift = (r - q) / dev - d2 / (2 * t)
        terms = (abs(log) + abs(move) + dev * dev / 2) / dev  # d1 and d2, every term positive
        drift_terms = terms / (2 * t)
        values = (
            w * (asset * n1 - cash * n2),
            w * carry * n1,
            gamma,
            vega,
            -asset * pdf * v / (2 * root) - w * (r * cash * n2 - q * asset * n1),
            w * t * cash * n2,
            -carry * pdf * d2 / v,
            vega * d1 * d2 / v,
            w * q * carry * n1 - carry * pdf * drift,
            vega * (q + d1 * drift - 1 / (2 * t)),
            -gamma / s * (d1 / dev + 1),
            gamma * (d1 * d2 - 1) / v,
            gamma * (q + d1 * drift + 1 / (2 * t)),
            -vega / v**2 * (d1 * d2 * (1 - d1 * d2) + d1**2 + d2**2),
        )
        scales = (
            abs(values[0]),
            abs(values[1]),
            gamma,
            vega,
            asset * pdf * v / (2 * root) + abs(r) * cash * n2 + abs(q) * asset * n1,
            abs(values[5]),
            carry * pdf * terms / v,
            vega * terms**2 / v,
            abs(q) * carry * n1 + carry * pdf * drift_terms,
            vega * (abs(q) + terms * drift_terms + 1 / (2 * t)),
            gamma / s * (terms / dev + 1),
            gamma * (terms**2 + 1) / v,
            gamma * (abs(q) + terms * drift_terms + 1 / (2 * t)),
            vega / v**2 * (terms**2 * (1 + terms**2) + 2 * terms**2),
        )
        return values, scales


def forward_exact(case):
    """As :func:`spot_exact` for (f, k, t, r, v, w) in Black-76, the forward fixed in rate and time."""
    f, k, t, r, v, w = case
    values, scales = spot_exact((f, k, t, r, r, v, w))
    with mp.workdps(60):
        rho = -mp.mpf(t) * values[0]
    return (*values[:5], rho, *values[6:]), (*scales[:5], abs(rho), *scales[6:])


def bachelier_exact(case):
    """As :func:`spot_exact` for (f, k, t, r, v, w) in Bachelier's model."""
    with mp.workdps(60):
        f, k, t, r, v = (mp.mpf(x) for x in case[:5])
        w = int(case[5])
        root = mp.sqrt(t)
        dev = v * root
        d = (f - k) / dev
        pdf, n = mp.exp(-r * t) * mp.npdf(d), mp.exp(-r * t) * tail(w * d)
        price = w * (f - k) * n + dev * pdf
        half = 1 / (2 * t)
        values = (
            price, w * n, pdf / dev, root * pdf, r * price - pdf * v / (2 * root), -t * price, -pdf * d / v,
            root * pdf * d**2 / v, r * w * n + pdf * d * half, root * pdf * (r - (1 + d**2) * half),
            -pdf / dev**2 * d, pdf / dev * (d**2 - 1) / v, pdf / dev * (r + (1 - d**2) * half),
            root * pdf * d**2 * (d**2 - 3) / v**2,
        )  # fmt: skip
        scales = (
            price, n, pdf / dev, root * pdf, abs(r) * price + pdf * v / (2 * root), t * price, abs(values[6]),
            values[7], abs(r) * n + pdf * abs(d) * half, root * pdf * (abs(r) + (1 + d**2) * half),
            abs(values[10]), pdf / dev * (d**2 + 1) / v, pdf / dev * (abs(r) + (1 + d**2) * half),
            root * pdf * d**2 * (d**2 + 3) / v**2,
        )  # fmt: skip
        return values, scales


def market(n, seed, years=(1e-6, 100.0), vols=(1e-3, 5.0), reach=30.0):
    """Spots, strikes... of n options: log-uniform times and volatilities, strikes to +-reach standard deviations."""
    random = np.random.default_rng(seed)
    t = np.exp(random.uniform(math.log(years[0]), math.log(years[1]), n))
    v = np.exp(random.uniform(math.log(vols[0]), math.log(vols[1]), n))
    r, q = random.uniform(-0.05, 0.15, (2, n))
    r[: n // 8] = 0.0
    q[n // 16 : n // 6] = 0.0
    q[n // 6 : n // 4] = r[n // 6 : n // 4]
    far = random.uniform(-reach, reach, n)
    far[::5] = random.uniform(-0.1, 0.1, far[::5].size)
    far[1::5] = random.uniform(-2.0, 2.0, far[1::5].size)
    far[7] = 0.0
    s = np.exp(random.uniform(-3.0, 10.0, n))
    k = np.clip(s * np.exp((r - q) * t - np.clip(far * v * np.sqrt(t), -200.0, 200.0)), 1e-90, 1e90)
    w = np.where(random.random(n) < 0.5, 1.0, -1.0)
    return [s, k, t, r, q, v, w]


def cancelling(n, seed, years, deviations, carry, reach=37.0):
    """As :func:`market`, with ln(s/k) and (r-q)t up to ``carry`` that cancel to within ``reach`` deviations."""
    random = np.random.default_rng(seed)
    t = np.exp(random.uniform(math.log(years[0]), math.log(years[1]), n))
    dev = np.exp(random.uniform(math.log(deviations[0]), math.log(deviations[1]), n))
    r, q = random.uniform(-0.75, 0.75, (2, n)) * carry / t
    s = np.exp(random.uniform(-3.0, 10.0, n))
    k = s * np.exp((r - q) * t + dev * random.uniform(-reach, reach, n))
    w = np.where(random.random(n) < 0.5, 1.0, -1.0)
    return [s, k, t, r, q, dev / np.sqrt(t), w]


def worst_errors(got, cases, exact, floor=1e-290):
    """(largest error over scale, largest strictly relative error away from crossings) per Greek, and where.

    A value below ``floor`` counts as right if the answer is below it too: doubles end there. So do they
    for what is built on the density alone where that (vega) is below.
    """
    worst = [(0.0, None)] * 14
    strict = [0.0] * 14
    for i, case in enumerate(cases):
        values, scales = exact(case)
        for j in range(14):
            error = abs(mp.mpf(float(got[j][i])) - values[j])
            if scales[3] < floor and j not in FINITE_WITHOUT_DENSITY:
                assert not error > max(scales[j], floor), (GREEKS[j], case, got[j][i], values[j])
                continue
            if scales[j] < floor:
                assert error < floor, (GREEKS[j], case, got[j][i], values[j])
                continue
            measure = float(error / scales[j])
            if not measure <= worst[j][0]:
                worst[j] = (measure, case)
            if abs(values[j]) > scales[j] / 100:
                strict[j] = max(strict[j], float(error / abs(values[j])))
    return worst, strict
