"""The generated market's fair values: a Heston spot with jumps, and an SSVI surface over it.

The spot lives on a fixed grid of simulated time and is a function of the seed and the start alone,
so that two processes that step at different moments see the same market. The surface's
at-the-money variance is Heston's expected variance to expiry, so it moves with the spot variance;
its skew is SSVI's. (Exact Heston prices would cost a Fourier integral per option and tick, and
nothing here needs their smile.) Closed-form, arbitrage-free per slice and over the calendar.
"""

import math
from typing import Any

import numpy as np

from gpu.european.greeks import black_price
from gpu.maths.functions import density, normal_cdf
from market.calendar import calendar_years
from market.instruments import tick_step
from market.jit import kernel
from simulator.flow.settings import GeneratedSettings

_BLOCK = 1024
_NS_PER_YEAR = 365 * 86_400 * 1_000_000_000
_HOURS_PER_YEAR = 365 * 24

# Words of ``model`` (float64), shared by the kernels.
RATE, LONG_VARIANCE, REVERSION, VOL_OF_VARIANCE, CORRELATION = 0, 1, 2, 3, 4
SMILE_RHO, SMILE_ETA, EDGE_VOL, EDGE_SPOT, EDGE_UNDERLYING = 5, 6, 7, 8, 9
JUMPS_PER_YEAR, JUMP_DEVIATION, MODEL_WORDS = 10, 11, 12


def model_words(settings: GeneratedSettings) -> Any:
    """The settings as the flat array that the kernels take."""
    model = np.zeros(MODEL_WORDS)
    model[RATE], model[LONG_VARIANCE], model[REVERSION] = settings.rate, settings.long_variance, settings.reversion
    model[VOL_OF_VARIANCE], model[CORRELATION] = settings.vol_of_variance, settings.correlation
    model[SMILE_RHO], model[SMILE_ETA] = settings.smile_rho, settings.smile_eta
    model[EDGE_VOL], model[EDGE_SPOT] = settings.edge_vol, settings.edge_spot
    model[EDGE_UNDERLYING] = settings.edge_underlying
    model[JUMPS_PER_YEAR] = settings.jumps_per_hour * _HOURS_PER_YEAR
    model[JUMP_DEVIATION] = settings.jump_deviation
    return model


@kernel
def walk(model: Any, years: float, normals: Any, uniforms: Any, spots: Any, variances: Any) -> None:
    """Fill ``spots`` and ``variances`` float64[m + 1] from entry 0, in steps of ``years``.

    Full-truncation Euler (Lord, Koekkoek, van Dijk 2010) for the variance, exact lognormal step for
    the spot given it. ``normals`` float64[m, 3] (spot, variance, jump), ``uniforms`` float64[m].
    """
    root = math.sqrt(years)
    rho = model[CORRELATION]
    other = math.sqrt(max(1.0 - rho * rho, 0.0))
    for j in range(uniforms.shape[0]):
        v = max(variances[j], 0.0)
        deviation = math.sqrt(v) * root
        move = (model[RATE] - 0.5 * v) * years + deviation * normals[j, 0]
        if uniforms[j] < model[JUMPS_PER_YEAR] * years:
            move += model[JUMP_DEVIATION] * normals[j, 2]
        spots[j + 1] = spots[j] * math.exp(move)
        shock = rho * normals[j, 0] + other * normals[j, 1]
        drift = model[REVERSION] * (model[LONG_VARIANCE] - v) * years
        variances[j + 1] = variances[j] + drift + model[VOL_OF_VARIANCE] * deviation * shock


@kernel(inline=True)
def expected_variance(model: Any, variance: float, years: float) -> float:
    """Total variance to ``years`` that Heston expects from spot variance ``variance``."""
    long_run, speed = model[LONG_VARIANCE], model[REVERSION]
    return long_run * years + (variance - long_run) * (1.0 - math.exp(-speed * years)) / speed  # type: ignore[no-any-return]


@kernel(inline=True)
def smile_variance(model: Any, at_the_money: float, k: float) -> float:
    """SSVI total variance at log-moneyness ``k`` for at-the-money total variance > 0."""
    rho = model[SMILE_RHO]
    slope = model[SMILE_ETA] / math.sqrt(at_the_money * (1.0 + at_the_money))
    shifted = slope * k + rho
    return 0.5 * at_the_money * (1.0 + rho * slope * k + math.sqrt(shifted * shifted + 1.0 - rho * rho))  # type: ignore[no-any-return]


@kernel
def fair_values(
    model: Any, spot: float, variance: float, now_ns: int, rows: Any, fair_ticks: Any, half_ticks: Any
) -> None:
    """Fair value and base half-spread, in price units of 0.01, of INSTRUMENT[n] ``rows``.

    Row 0 is the underlying. Expired options get NaN in both. The half-spread is at least two
    increments, so that there is always a price inside. ~100 ns per option.
    """
    fair_ticks[0] = 100.0 * spot
    half_ticks[0] = max(100.0 * model[EDGE_UNDERLYING], 1.0)
    for i in range(1, rows.shape[0]):
        years = calendar_years(now_ns, rows[i].expiry_ns)
        if years <= 0.0:
            fair_ticks[i] = np.nan
            half_ticks[i] = np.nan
            continue
        strike, right = rows[i].strike, rows[i].right
        discount = math.exp(-model[RATE] * years)
        forward = spot / discount
        at_the_money = max(expected_variance(model, max(variance, 1e-6), years), 1e-12)
        deviation = math.sqrt(smile_variance(model, at_the_money, math.log(strike / forward)))
        value = discount * black_price(forward, strike, deviation, right)
        d1 = math.log(forward / strike) / deviation + 0.5 * deviation
        vega = spot * density(d1) * math.sqrt(years)
        half = model[EDGE_VOL] * vega + model[EDGE_SPOT] * normal_cdf(right * d1)
        ticks = 100.0 * value
        fair_ticks[i] = ticks
        half_ticks[i] = max(100.0 * half, 2.0 * tick_step(int(rows[i].tick_rule), int(ticks)))


class SpotPath:
    """Spot and spot variance on a grid from ``start_ns``; a function of the seed, read forwards."""

    def __init__(self, settings: GeneratedSettings, seed: int, start_ns: int, grid_ns: int) -> None:
        self._model = model_words(settings)
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1])))
        self._start_ns = start_ns
        self._grid_ns = grid_ns
        self._first = 0
        self._spots = np.full(_BLOCK + 1, settings.spot)
        self._variances = np.full(_BLOCK + 1, settings.variance)
        self._fill()

    def _fill(self) -> None:
        """Walk one block on from entry 0."""
        normals = self._random.standard_normal((_BLOCK, 3))
        uniforms = self._random.random(_BLOCK)
        walk(self._model, self._grid_ns / _NS_PER_YEAR, normals, uniforms, self._spots, self._variances)

    def index_at(self, now_ns: int) -> int:
        """Number of the grid point at or before ``now_ns``."""
        return max(now_ns - self._start_ns, 0) // self._grid_ns

    def at(self, now_ns: int) -> tuple[float, float]:
        """Spot and variance at the grid point at or before ``now_ns``; instants must not descend by a block."""
        index = self.index_at(now_ns)
        while index >= self._first + _BLOCK:
            self._spots[0], self._variances[0] = self._spots[_BLOCK], self._variances[_BLOCK]
            self._first += _BLOCK
            self._fill()
        return float(self._spots[index - self._first]), float(self._variances[index - self._first])

    def scale(self, factor: float) -> None:
        """Multiply every spot from here on by ``factor`` > 0."""
        self._spots *= factor
