"""Early exercise premium of a whole chain, so that parity and the smile can be read as if it were European.

An American option is worth its European twin and the premium of exercising early. The premium is a small
and slowly moving number that depends on the smile and the carry, which depend on it: so it is computed on the
surface fitted without it, taken off bid and ask alike, and the surface fitted again; each round leaves
about a tenth of the bias. Between cold fits it is kept: in the minutes between them it moves by less than
the surface does.
"""

import numpy as np
import numpy.typing as npt

from gpu.american.batch import american_prices
from gpu.european.batch import spot_reduced_batch
from gpu.status import PriceStatus
from gpu.surface.forwards.forward import ForwardStatus
from gpu.surface.forwards.parity import ParityCurve
from gpu.surface.layout import SurfaceChain
from gpu.surface.surface import Surface

F8 = npt.NDArray[np.float64]

_COMMON_ERROR = 0.02  # per year: sd of an expiry's dividend yield around the chain's


def pooled_yields(curve: ParityCurve) -> F8:
    """Dividend yield per expiry [e], each drawn to the chain's precision-weighted mean as far as its error says.

    A cent on the forward of an option of today is a yield of several per cent a year: alone it would make
    calls worth exercising that are not.
    """
    measured = (curve.status == ForwardStatus.PARITY) & np.isfinite(curve.dividend_yield_error)
    if not measured.any():
        return np.zeros(len(curve.years))
    own = np.where(measured, np.nan_to_num(curve.dividend_yield), 0.0)
    weight = np.zeros(len(own))
    weight[measured] = 1.0 / np.maximum(curve.dividend_yield_error[measured], 1e-6) ** 2
    common = weight + 1.0 / _COMMON_ERROR**2
    spread = weight / common  # how far an expiry speaks for itself
    mean = float((own * spread).sum() / spread.sum())
    return np.asarray((own * weight + mean / _COMMON_ERROR**2) / common)


def exercise_premium(surface: Surface, chain: SurfaceChain, curve: ParityCurve) -> F8:
    """American less European value of every row, float64[n] in currency, >= 0; 0 where the surface says nothing.

    Both values are taken at the surface's volatility, the discount's rate and the pooled dividend yield, constant until
    expiry: cash dividends at their dates are not known to a surface, and enter as a yield.
    """
    premium = np.zeros(chain.count)
    e = chain.expiry
    sound = (e >= 0) & (curve.years[e] > 0.0) & np.isfinite(curve.rate[e])
    rows = np.flatnonzero(sound)
    if not len(rows):
        return premium
    e, yields = e[rows], pooled_yields(curve)
    strike, years, right = chain.strike[rows], curve.years[e], chain.right[rows].astype(np.int8)
    vol, rate, dividend = surface.vol(strike, years), curve.rate[e], yields[e]
    spot = np.full(len(rows), surface.spot)
    american, status = np.empty(len(rows)), np.empty(len(rows), np.uint8)
    american_prices(spot, strike, years, rate, dividend, vol, right, american, status)
    # The European twin at the same carry, not at the forward's own: the difference must be the right to exercise alone.
    european = _european(spot, strike, years, rate, dividend, vol, right)
    found = american - european
    good = (status == PriceStatus.OK) & np.isfinite(found)
    premium[rows[good]] = np.maximum(found[good], 0.0)
    return premium


def _european(spot: F8, strike: F8, years: F8, rate: F8, dividend: F8, vol: F8, right: npt.NDArray[np.int8]) -> F8:
    """European values of the same rows."""
    out, status = np.empty((5, len(spot))), np.empty(len(spot), np.uint8)
    spot_reduced_batch(spot, strike, years, rate, dividend, vol, right.astype(np.float64), out, status)
    return out[0]
