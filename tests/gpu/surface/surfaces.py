"""Surfaces for the tests: chains with a known truth, recorded ones as arrays, and a proof on a dense grid."""

from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.special import ndtr

from market.enums import ExerciseStyle
from tests.gpu.chain.chains import YEAR_NS, recorded

SPOT, RATE, YIELD = 100.0, 0.03, 0.01
#: theta, rho, phi of five expiries, free of arbitrage: phi = 0.8 / sqrt(theta), psi rises.
MATURITIES = np.array([0.02, 0.1, 0.35, 1.0, 2.5])
THETA = 0.05 * MATURITIES + 0.0002
RHO = np.array([-0.55, -0.5, -0.45, -0.42, -0.4])
PHI = 0.8 / np.sqrt(THETA)


def ssvi_variance(theta: float, rho: float, phi: float, k: Any) -> Any:
    """Gatheral and Jacquier's formula as printed."""
    return 0.5 * theta * (1.0 + rho * phi * k + np.sqrt((phi * k + rho) ** 2 + 1.0 - rho * rho))


def black(forward: Any, strike: Any, w: Any, right: Any) -> Any:
    """Undiscounted Black value by scipy's normal distribution, independent of the project's kernels."""
    root = np.sqrt(w)
    d1 = np.log(forward / strike) / root + 0.5 * root
    return right * (forward * ndtr(right * d1) - strike * ndtr(right * (d1 - root)))


class Chain(NamedTuple):
    strike: Any
    years: Any
    right: Any
    bid: Any
    ask: Any
    spot: float

    def of(self, years: float) -> Any:
        return self.years == years


def chain_of(
    variance: Any,
    maturities: Any = MATURITIES,
    half: Any = 0.01,
    deviations: float = 3.0,
    strikes: int = 25,
    mid_noise: Any = None,
    least: float = 1e-9,
) -> Chain:
    """Calls and puts at ``strikes`` strikes per expiry within ``deviations``; ``variance(i, k)`` is the truth.

    Quotes stand ``half`` (a share of the value, at least ``least``) around the value; no rounding.
    """
    columns: list[list[Any]] = [[], [], [], [], []]
    for i, years in enumerate(maturities):
        forward, discount = SPOT * np.exp((RATE - YIELD) * years), np.exp(-RATE * years)
        root = np.sqrt(variance(i, 0.0))
        strike = forward * np.exp(root * np.linspace(-deviations, 0.7 * deviations, strikes))
        for right in (1, -1):
            w = variance(i, np.log(strike / forward))
            value = discount * black(forward, strike, w, right)
            otm = discount * black(forward, strike, w, np.where(strike >= forward, 1, -1))
            width = np.maximum(half * otm, least)
            middle = value if mid_noise is None else value + width * mid_noise(i, len(strike))
            for column, values in zip(columns, (strike, years, right, middle - width, middle + width), strict=True):
                column.extend(np.broadcast_to(values, strike.shape).tolist())
    return Chain(*(np.array(column) for column in columns), SPOT)  # type: ignore[arg-type]


def true_variance(i: int, k: Any) -> Any:
    return ssvi_variance(THETA[i], RHO[i], PHI[i], k)


class Margins(NamedTuple):
    """Worst point of each kind on the grid; all must be >= 0 but for rounding."""

    density: float  # Durrleman's g
    slope: float  # T dw/dT / w
    calendar: float  # relative change of w from row to row at the same k
    convexity: float  # second differences of call prices, over the spot
    monotone: float  # least of -dC/dK and 1 + dC/dK


def grid_times(expiries: Any) -> Any:
    """Every expiry, three dates between neighbours, two before the first and two after the last."""
    between = [a + (b - a) * x for a, b in pairwise(expiries) for x in (0.03, 0.5, 0.97)]
    return np.unique(
        np.concatenate([expiries, between, expiries[0] * np.array([0.1, 0.6]), expiries[-1] * np.array([1.4, 2.0])])
    )


def margins(surface: Any, points: int = 400, reach: float = 9.0) -> Margins:
    """Look for arbitrage at ``points`` k to ``reach`` deviations either side, at all of ``grid_times``."""
    times = grid_times(surface.expiries)
    density, slope, convexity, monotone = np.inf, np.inf, np.inf, np.inf
    far = reach * float(np.sqrt(surface.variance(0.0, times[-1])))
    common = far * np.sinh(np.linspace(-6.0, 6.0, points)) / np.sinh(6.0)
    before = None
    calendar = np.inf
    for years in times:
        root = float(np.sqrt(surface.variance(0.0, years)))
        within = min(reach, 650.0 / root)  # a strike is still a number
        k = root * np.sinh(np.linspace(-1.0, 1.0, points) * np.arcsinh(within))
        w, first, second, rate = surface.terms(k, years)
        assert (w > 0.0).all()
        g = (1.0 - 0.5 * k * first / w) ** 2 - 0.25 * first**2 * (1.0 / w + 0.25) + 0.5 * second
        density, slope = min(density, g.min()), min(slope, (years * rate / w).min())
        strike = np.exp(k)
        call = black(1.0, strike, w, 1)
        steepness = np.diff(call) / np.diff(strike)
        # Rounding of a price is eps of 1; divided by the strike's step.
        rounding = 1e-14 / np.diff(strike)
        convexity = min(convexity, (np.diff(steepness) + rounding[1:] + rounding[:-1]).min())
        monotone = min(monotone, (-steepness + rounding).min(), (1.0 + steepness + rounding).min())
        here = surface.variance(common, years)
        if before is not None:
            calendar = min(calendar, ((here - before) / here).min())
        before = here
    return Margins(float(density), float(slope), float(calendar), float(convexity), float(monotone))


def assert_no_arbitrage(surface: Any, points: int = 400, reach: float = 9.0) -> None:
    found = margins(surface, points, reach)
    assert found.density >= 0.0, found
    assert min(found.slope, found.calendar) >= -1e-12, found
    assert min(found.convexity, found.monotone) >= 0.0, found


_CACHE: dict[Path, Any] = {}


def recorded_chain(directory: Path, name: str, hour: int, minute: int) -> Chain:
    """One minute of a recorded file as arrays; skips where the file is absent. SPXW's spot is read off parity."""
    path = directory / name
    equity = directory / name.replace("american", "equity") if "american" in name else None
    if not path.is_file() or (equity is not None and not equity.is_file()):
        pytest.skip(f"no {name} in {directory}")
    if path not in _CACHE:
        style = ExerciseStyle.AMERICAN if equity is not None else ExerciseStyle.EUROPEAN
        _CACHE[path] = recorded(path, equity, style, minutes=960)
    market = _CACHE[path].at(hour, minute)
    rows = market.master[1 : market.count]
    years = (rows["expiry_ns"] - market.now_ns) / YEAR_NS
    chain = Chain(
        rows["strike"].astype(float), years, rows["right"].astype(int), market.bid[1:], market.ask[1:], market.spot
    )
    if np.isfinite(chain.spot):
        return chain
    middle = 0.5 * (chain.bid + chain.ask)
    near = years == years[years > 0.0].min()
    strike = np.unique(chain.strike[near])[0]
    call, put = (middle[near & (chain.strike == strike) & (chain.right == right)][0] for right in (1, -1))
    return chain._replace(spot=float(strike + call - put))


GOOG = "goog_20151224_quote_minute_american.zip"
GOOG_DAY = date(2015, 12, 24)
SPXW = ("spxw_20210104_quote_minute_european.zip", "spxw_20210106_quote_minute_european.zip")
