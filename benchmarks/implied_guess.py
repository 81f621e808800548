"""Where the constants of ``gpu/implied/log_price.py`` come from: the two fits of its first guess.

    python -m benchmarks.implied_guess [--rounds 80]

Prints both polynomials' coefficients and their largest error as a ``step_size``. Solutions of the bracketed
solver on a grid in the fits' own coordinates; products of Chebyshev polynomials, fitted by least squares whose weights
are raised where the error is largest (Lawson), which comes close to the smallest possible maximum. Other rounds
give other digits and the same maximum within a few per cent.
"""

import argparse
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from gpu.implied.black import normalised_deviation
from market.jit import kernel

F8 = npt.NDArray[np.float64]

MAX_LOG_RATIO = 60.0
MAX_SHARE = 0.98
SPLIT, OVERLAP, MAX_FAR, MIN_EXCESS = 1.0, 1.05, 16.0, 0.05


class Points(NamedTuple):
    """What is fitted at each point of the grid; every array [points]."""

    u: F8  # first coordinate in -1..1
    v: F8  # second
    value: F8
    weight: F8  # of an error of the value, in step_size


@kernel
def solutions(price: F8, missing: F8, moneyness: F8, out: F8) -> None:
    """Deviation of each normalised price."""
    for i in range(price.shape[0]):
        out[i] = normalised_deviation(price[i], missing[i], moneyness[i])


def weights(s: F8, k: F8, value: F8) -> F8:
    """Both fitted values go as 1 / s^2, so ln s moves by half of their relative error."""
    return (1.0 + (k / s) ** 2 / 3.0 + 0.25 * s * s) / (2.0 * value)


def grid(n: int, m: int) -> tuple[F8, F8]:
    """Chebyshev extremes of both coordinates."""
    u, v = (np.cos(np.arange(count) * math.pi / (count - 1)) for count in (n, m))
    first, second = np.meshgrid(u, v, indexing="ij")
    return first.ravel(), second.ravel()


def near_points() -> Points:
    """(p / s)^2 over (L^2 + 25)^(1/4) and p^2, for k up to a little over the split."""
    low, high = math.sqrt(5.0), (MAX_LOG_RATIO**2 + 25.0) ** 0.25
    u, v = grid(100, 100)
    log_ratio = np.sqrt(np.maximum((low + (high - low) * (u + 1.0) / 2.0) ** 4 - 25.0, 0.0))
    share = MAX_SHARE * np.sqrt((v + 1.0) / 2.0)
    edge = OVERLAP + (MAX_LOG_RATIO - OVERLAP) * np.linspace(1e-4, 1.0, 400) ** 2
    on_edge = math.tanh(OVERLAP / 2.0) / np.tanh(edge / 2.0)
    log_ratio = np.concatenate((log_ratio, edge[on_edge <= MAX_SHARE]))
    share = np.maximum(np.concatenate((share, on_edge[on_edge <= MAX_SHARE])), 1e-5)
    k = 2.0 * np.arctanh(np.tanh(log_ratio / 2.0) * share)  # |F - K| / (F + K) = tanh(k / 2) = tanh(L / 2) p
    keep = k <= OVERLAP + 1e-9
    log_ratio, share, k = log_ratio[keep], share[keep], k[keep]
    price = share * np.cosh(k / 2.0) * 2.0 / (1.0 + np.exp(log_ratio))
    s = np.empty_like(k)
    solutions(price, np.exp(-k / 2.0) - price, k, s)
    value = (share / s) ** 2
    u = 2.0 * ((log_ratio**2 + 25.0) ** 0.25 - low) / (high - low) - 1.0
    return Points(u, 2.0 * (share / MAX_SHARE) ** 2 - 1.0, value, weights(s, k, value))


def far_points() -> Points:
    """Fit of k / s^2 over sqrt(L - k) and 1 / sqrt(k)."""
    u, v = grid(90, 70)
    low, high = math.sqrt(MIN_EXCESS), math.sqrt(MAX_LOG_RATIO)
    excess = (low + (high - low) * (u + 1.0) / 2.0) ** 2
    first, last = 1.0 / math.sqrt(SPLIT), 1.0 / math.sqrt(MAX_FAR)
    k = (first + (last - first) * (v + 1.0) / 2.0) ** -2.0
    part = -np.expm1(-k) / (np.exp(excess) - np.exp(-k))  # of the maximum
    top = np.exp(-k / 2.0)
    s = np.empty_like(k)
    solutions(part * top, (1.0 - part) * top, k, s)
    value = k / s**2
    return Points(u, v, value, weights(s, k, value))


def fitted(points: Points, degree_u: int, degree_v: int, rounds: int) -> tuple[F8, float]:
    """(coefficients of u^i v^j, largest weighted error)."""
    first = chebyshev.chebvander(points.u, degree_u)
    second = chebyshev.chebvander(points.v, degree_v)
    matrix = (first[:, :, None] * second[:, None, :]).reshape(len(points.u), -1)
    emphasis, best, chosen = np.ones_like(points.value), math.inf, np.zeros(matrix.shape[1])
    for _ in range(rounds):
        scale = points.weight * np.sqrt(emphasis)
        trial = np.linalg.lstsq(matrix * scale[:, None], points.value * scale, rcond=None)[0]
        error = np.abs((matrix @ trial - points.value) * points.weight)
        if error.max() < best:
            best, chosen = float(error.max()), trial
        emphasis *= error / error.mean() + 1e-3
        emphasis /= emphasis.mean()
    to_powers = [
        np.array([np.pad(chebyshev.cheb2poly(np.eye(n + 1)[i]), (0, n - i)) for i in range(n + 1)])
        for n in (degree_u, degree_v)
    ]
    return to_powers[0].T @ chosen.reshape(degree_u + 1, degree_v + 1) @ to_powers[1], best


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=80)
    rounds = parser.parse_args().rounds
    for name, points, degrees in (("near", near_points(), (6, 4)), ("far", far_points(), (7, 4))):
        powers, worst = fitted(points, *degrees, rounds)
        print(f"# {name}: largest step_size {worst:.4f}; rows u^n .. u^0, columns v^0 .. v^{degrees[1]}")
        for row in powers[::-1]:
            print("  " + ", ".join(f"{c:.9g}" for c in row))


if __name__ == "__main__":
    main()
