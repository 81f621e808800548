"""What a scenario does to each position: spot, volatility and time, and the rules between them.

A grid is the product of spot shocks, volatility shocks and days rolled. Each underlying answers a
spot shock through its own beta, each position a volatility shock through a weight made of its
underlying's beta, its maturity and its moneyness. All rules are stated here and nowhere else.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.errors import GpuError

F8: TypeAlias = npt.NDArray[np.float64]

#: Moneyness in standard deviations of one year's scale beyond which ``skew_tilt`` adds no more.
MAX_TILT_MONEYNESS = 2.0


class PortfolioError(GpuError):
    """A book or a grid of scenarios was built with something that cannot work."""


@dataclass(frozen=True, kw_only=True)
class Scenarios:
    """A spot-volatility grid with a roll of time.

    Parameters
    ----------
    spot_shocks
        Relative moves of the spot, each above -1: underlying u goes to spot * (1 + shock)^beta_u,
        which is positive for any beta and to first order beta_u times the move.
    vol_shocks
        Moves of the volatility: in volatility (0.05 = five points), or with ``relative_vol`` in
        parts of each position's own (0.25 = a quarter more).
    days
        Calendar days rolled, each >= 0, counted as 1/365 year. Spot and volatility stay; a position
        that expires on the way is worth its intrinsic value at the scenario's spot.
    relative_vol
        See ``vol_shocks``.
    term_power, term_years, term_floor_years
        The shock of a maturity of T years is (term_years / max(T, term_floor_years))^term_power of
        the stated one. 0 moves all maturities alike, 0.5 is the square-root rule.
    skew_tilt
        The shock is further multiplied by 1 - skew_tilt * z, not below 0, where z = ln(K/F) / sqrt(T)
        within +-2 (T not below ``term_floor_years``): 0.25 steepens the skew when volatility rises.
    stickiness
        How a smile moves with the spot: a position whose smile has the slope dv/d ln K gets
        -stickiness * slope * ln(spot move) more volatility. 0 sticky strike, 1 sticky moneyness.
    vol_floor
        No shock takes a volatility below this (or below itself, if it was lower before).
    spot_beta, vol_beta
        One number for all, or one per underlying.
    """

    spot_shocks: Any
    vol_shocks: Any
    days: Any = (0.0,)
    relative_vol: bool = False
    term_power: float = 0.0
    term_years: float = 0.25
    term_floor_years: float = 7.0 / 365.0
    skew_tilt: float = 0.0
    stickiness: float = 0.0
    vol_floor: float = 0.01
    spot_beta: Any = 1.0
    vol_beta: Any = 1.0

    def __post_init__(self) -> None:
        spot, _, days = self.axes()
        if not np.all(spot > -1.0):
            raise PortfolioError(f"spot_shocks must be above -1, got {spot.min():g}: -0.1 is down ten per cent")
        if not np.all(days >= 0.0):
            raise PortfolioError(f"days must be 0 or more, got {days.min():g}")
        for name in ("term_years", "term_floor_years", "vol_floor"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise PortfolioError(f"{name} must be above 0, was {getattr(self, name):g}")
        for name in ("term_power", "skew_tilt", "stickiness"):
            if not math.isfinite(getattr(self, name)):
                raise PortfolioError(f"{name} must be finite, was {getattr(self, name):g}")

    def axes(self) -> tuple[F8, F8, F8]:
        """(spot shocks, vol shocks, days), each a vector of float64."""
        return _axis("spot_shocks", self.spot_shocks), _axis("vol_shocks", self.vol_shocks), _axis("days", self.days)

    def betas(self, underlyings: int) -> tuple[F8, F8]:
        """(spot beta, vol beta), each [underlyings]."""
        return _per_underlying("spot_beta", self.spot_beta, underlyings), _per_underlying(
            "vol_beta", self.vol_beta, underlyings
        )

    def log_moves(self, underlyings: int) -> F8:
        """ln(scenario spot / spot) [underlyings, spot shocks]."""
        beta, _ = self.betas(underlyings)
        return np.ascontiguousarray(beta[:, None] * np.log1p(self.axes()[0])[None, :])

    def vol_weights(self, underlying: npt.NDArray[np.int64], years: F8, log_strike: F8, vol: F8, count: int) -> F8:
        """Volatility added per unit of shock, for positions; ``log_strike`` = ln(K/F)."""
        _, beta = self.betas(count)
        matters = np.maximum(years, self.term_floor_years)
        weight = beta[underlying] * (self.term_years / matters) ** self.term_power
        if self.skew_tilt != 0.0:
            z = np.clip(log_strike / np.sqrt(matters), -MAX_TILT_MONEYNESS, MAX_TILT_MONEYNESS)
            weight = weight * np.maximum(1.0 - self.skew_tilt * z, 0.0)
        return np.asarray(weight * vol if self.relative_vol else weight)


def _axis(name: str, values: Any) -> F8:
    axis = np.ascontiguousarray(values, np.float64)
    if axis.ndim != 1 or axis.size == 0 or not np.all(np.isfinite(axis)):
        raise PortfolioError(f"{name} must be a list of finite numbers, got an array of shape {axis.shape}: {values!r}")
    return axis


def _per_underlying(name: str, values: Any, count: int) -> F8:
    array = np.asarray(values, np.float64)
    if array.shape not in ((), (count,)) or not np.all(np.isfinite(array)):
        raise PortfolioError(f"{name} must be one finite number or {count}, one per underlying, got {values!r}")
    return np.ascontiguousarray(np.broadcast_to(array, (count,)))
