"""Option values at 60 digits, and what their last digit allows a volatility to be: the oracle of this directory."""

from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import numpy.typing as npt

EPS = 2.220446049250313e-16
F8 = npt.NDArray[np.float64]


class Options(NamedTuple):
    """Undiscounted options with exact prices, rounded once; every array [n]."""

    price: F8
    forward: F8
    strike: F8
    right: npt.NDArray[np.int8]
    deviation: F8
    vega: F8  # by the deviation

    @property
    def count(self) -> int:
        return len(self.price)

    def relative_unit(self) -> F8:
        """eps of the deviation, plus what eps of the price moves it by: the most that a solver can be held to."""
        return EPS * (self.deviation + self.price / self.vega)

    def floor(self) -> F8:
        """eps * F / vega: the classical conditioning floor, of a price known to eps of the forward."""
        return EPS * self.forward / self.vega


def _black(forward: Any, strike: Any, s: Any, right: int) -> tuple[Any, Any]:
    d1 = mp.log(forward / strike) / s + s / 2
    value = right * (forward * mp.ncdf(right * d1) - strike * mp.ncdf(right * (d1 - s)))
    return value, forward * mp.npdf(d1)


def _bachelier(forward: Any, strike: Any, s: Any, right: int) -> tuple[Any, Any]:
    d = right * (forward - strike) / s
    return s * (mp.npdf(d) + d * mp.ncdf(d)), mp.npdf(d)


def _options(model: Any, forward: F8, strike: F8, deviation: F8, right: npt.NDArray[np.int8]) -> Options:
    pairs = []
    with mp.workdps(60):
        for f, k, s, w in zip(forward.tolist(), strike.tolist(), deviation.tolist(), right.tolist(), strict=True):
            value, vega = model(mp.mpf(f), mp.mpf(k), mp.mpf(s), w)
            pairs.append((float(value), float(vega)))
    price, vega = np.array(pairs).T.copy()
    return Options(price, forward, strike, right, deviation, vega)


def black_options(deviation: F8, distance: F8, forward: float | F8 = 100.0) -> Options:
    """Out of the money at ``distance`` deviations (its sign: + above the forward, a call)."""
    forwards = np.broadcast_to(np.asarray(forward, np.float64), deviation.shape).copy()
    strike = forwards * np.exp(distance * deviation)
    right = np.where(strike >= forwards, 1, -1).astype(np.int8)
    return _options(_black, forwards, strike, deviation, right)


def bachelier_options(deviation: F8, distance: F8, forward: F8) -> Options:
    """As :func:`black_options`, strikes at forward + distance * deviation."""
    strike = forward + distance * deviation
    right = np.where(strike >= forward, 1, -1).astype(np.int8)
    return _options(_bachelier, forward, strike, deviation, right)
