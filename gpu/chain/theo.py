"""Theoretical values of one underlying's whole chain: calibrate on the market, refresh on every tick.

``ChainPricer.calibrate`` (milliseconds) turns the market's quotes into a forward and a smile per
expiry; ``refresh`` (well under a millisecond for two thousand series) turns a spot and a time into
THEO rows. How a value comes about is told in ``chain.py``, whose kernels do the work. One
thread owns a pricer; others get its rows through ``TheoTable`` or as frames.
"""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from gpu.chain.rows import SLICE, Chain, Knob, TheoStatus, calendar_crossings, calibrate_slice, refresh_rows
from gpu.chain.theo_table import TheoTable
from gpu.errors import ChainError
from gpu.surface.smile import SMILE_PARAMS, WORK_ROWS
from market.calendar import NS_PER_S
from market.enums import ExerciseStyle, SecurityKind
from market.records import THEO, table

__all__ = ["THEO_ROW", "CalibrationReport", "ChainPricer", "PricerSettings", "TheoStatus", "TheoTable"]

#: One row of a theo table is one THEO frame.
THEO_ROW = THEO


class PricerSettings(msgspec.Struct, frozen=True):
    """How theo follows the market. The residual is what moves it off the smile; see ``chain.py``.

    The residual's bound is cap_price + cap_vol * vega + cap_spread * (ask - bid), and for AMERICAN
    series the most that early exercise can be worth. Beyond it the series is OFF_MARKET.
    """

    residual: bool = True  # False: theo is the smile's; series outside their market become OFF_MARKET
    residual_inset: float = 0.1  # 0..0.5 of the spread: how far inside the bid-ask theo is brought
    residual_cap_vol: float = 0.03  # three volatility points: more is a bad quote or a bad smile
    residual_cap_spread: float = 1.0  # spreads: a wide market may be further off than a narrow one
    residual_cap_price: float = 0.02  # currency: cheap wings have no vega to measure by
    min_half_spread: float = 0.005  # currency: a locked market is not known better than half a cent
    stale_after_s: float = 900.0  # of market time: a slow series' quotes come minutes apart

    def knobs(self) -> npt.NDArray[np.float64]:
        """Check the values and return the kernels' array; a value out of range raises ChainError."""
        bounds = {
            "residual_inset": (0.0, 0.5), "residual_cap_vol": (0.0, 10.0), "residual_cap_spread": (0.0, 100.0),
            "residual_cap_price": (0.0, math.inf), "min_half_spread": (1e-9, math.inf), "stale_after_s": (0.0, 1e9),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ChainError(f"{name} must be {low:g}..{high:g}, was {value!r}")
        knobs = np.zeros(len(Knob))
        knobs[Knob.RESIDUAL_INSET] = self.residual_inset
        knobs[Knob.RESIDUAL_CAP_VOL] = self.residual_cap_vol
        knobs[Knob.RESIDUAL_CAP_SPREAD] = self.residual_cap_spread
        knobs[Knob.RESIDUAL_CAP_PRICE] = self.residual_cap_price
        knobs[Knob.MIN_HALF_SPREAD] = self.min_half_spread
        knobs[Knob.STALE_AFTER_NS] = self.stale_after_s * NS_PER_S
        knobs[Knob.RESIDUAL_ON] = 1.0 if self.residual else 0.0
        return knobs


class CalibrationReport(msgspec.Struct, frozen=True):
    """What one :meth:`ChainPricer.calibrate` achieved."""

    expiries: int  # calibrated now
    failed: int  # not yet expired, and no forward or no smile this time
    expired: int
    points: int  # two-sided out-of-the-money quotes used
    inside: int  # of these, how many bid-asks hold the smile's own value
    off_market: int  # series beyond the residual's reach
    calendar_crossings: int  # neighbouring expiries whose total variances cross near the money


class ChainPricer:
    """All options of one underlying.

    Parameters
    ----------
    master_rows, count
        INSTRUMENT table and how many of its rows are defined.
    underlying
        Instrument number of the underlying.
    rate
        Continuous funding rate per year: the prior of each expiry's discount.

    Raises
    ------
    ChainError
        No option of that underlying, a strike that is not positive, or settings out of range.
    """

    def __init__(
        self, master_rows: Any, count: int, underlying: int, rate: float, settings: PricerSettings | None = None
    ) -> None:
        if not abs(rate) < 1.0:
            raise ChainError(f"rate must be a fraction per year within -1..1, was {rate!r}")
        self.settings = settings or PricerSettings()
        self.rate = float(rate)
        self.underlying = underlying
        self._master_count = count
        rows = np.asarray(master_rows)[:count]
        mine = (rows["security"] == SecurityKind.OPTION) & (rows["underlying"] == underlying)
        self.instruments = np.flatnonzero(mine).astype(np.uint32)
        self.count = len(self.instruments)
        if self.count == 0:
            raise ChainError(f"underlying {underlying} has no options among the {count} instruments")
        self.row_of = np.full(count, -1, np.int32)
        self.row_of[self.instruments] = np.arange(self.count, dtype=np.int32)
        self.chain = _build_chain(rows[self.instruments], self.instruments, self.settings.knobs())
        self.refreshes = 0
        self._cursor = 0

    @property
    def slices(self) -> Any:
        """SLICE table, one row per expiry in order of time: forward, discount, fit and statuses."""
        return self.chain.slices

    @property
    def expiries(self) -> int:
        """Number of expiries in the chain."""
        return len(self.chain.slices)

    def calibrate(self, bid: Any, ask: Any, spot: float, now_ns: int) -> CalibrationReport:
        """Calibrate every expiry on the market ex own; never raises on quotes.

        ``bid`` and ``ask`` are float64 by instrument number, in currency; NaN or <= 0 is no quote.
        An expiry that fails keeps its last success until that is STALE.
        """
        bid, ask = self._quotes(bid), self._quotes(ask)
        statuses = [
            int(calibrate_slice(self.chain, e, bid, ask, float(spot), int(now_ns), self.rate))
            for e in range(self.expiries)
        ]
        good = np.array([status == TheoStatus.OK for status in statuses])
        expired = statuses.count(TheoStatus.EXPIRED)
        done = np.asarray(self.slices)[good]
        return CalibrationReport(
            expiries=int(good.sum()),
            failed=len(statuses) - int(good.sum()) - expired,
            expired=expired,
            points=int(done["points"].sum()),
            inside=int(done["inside"].sum()),
            off_market=int(done["off_market"].sum()),
            calendar_crossings=int(calendar_crossings(self.chain)),
        )

    def calibrate_next(self, bid: Any, ask: Any, spot: float, now_ns: int, expiries: int = 1) -> int:
        """Calibrate the next ``expiries`` live expiries in turn; returns how many succeeded.

        For event loops: one expiry takes under a millisecond.
        """
        bid, ask = self._quotes(bid), self._quotes(ask)
        succeeded = tried = 0
        for _ in range(self.expiries):
            if tried == expiries:
                break
            e, self._cursor = self._cursor, (self._cursor + 1) % self.expiries
            status = calibrate_slice(self.chain, e, bid, ask, float(spot), int(now_ns), self.rate)
            tried += status != TheoStatus.EXPIRED
            succeeded += status == TheoStatus.OK
        return succeeded

    def refresh(self, spot: float, now_ns: int, out: Any) -> int:
        """Value every series at ``spot`` and ``now_ns`` into ``out`` (THEO rows); returns ``count``.

        Row j is ``instruments[j]``. Any spot and time are answered by a status, never by an exception.
        """
        if len(out) < self.count:
            raise ChainError(f"out must have {self.count} THEO rows, had {len(out)}")
        self.refreshes += 1
        return int(refresh_rows(self.chain, float(spot), int(now_ns), self.refreshes, out))

    def _quotes(self, prices: Any) -> npt.NDArray[np.float64]:
        array = np.ascontiguousarray(prices, np.float64)
        if array.shape != (self._master_count,):
            raise ChainError(f"quotes must be float64[{self._master_count}] by instrument, had shape {array.shape}")
        return array


def _build_chain(rows: Any, instruments: npt.NDArray[np.uint32], knobs: npt.NDArray[np.float64]) -> Chain:
    """Group the options by expiry, pair calls and puts by strike, and allocate everything once."""
    strike = rows["strike"].astype(np.float64)
    if not (np.isfinite(strike) & (strike > 0.0)).all():
        worst = int(instruments[np.flatnonzero(~(np.isfinite(strike) & (strike > 0.0)))[0]])
        raise ChainError(f"strike of instrument {worst} must be positive; correct the instrument definition")
    american = (rows["style"] == ExerciseStyle.AMERICAN).astype(np.int64)
    # Adjusted contracts (another multiplier) and another style have a parity of their own.
    kinds = list(zip(rows["expiry_ns"].tolist(), american.tolist(), rows["multiplier"].tolist(), strict=True))
    groups = sorted(set(kinds))
    index = {group: e for e, group in enumerate(groups)}
    expiry = np.array([index[kind] for kind in kinds], np.int64)
    right = rows["right"].astype(np.int64)
    pairs: list[tuple[float, int, int]] = []
    pair_first, slice_first, slice_rows = [0], [0], []
    slices = table(SLICE, len(groups))
    for e, (expiry_ns, style, _multiplier) in enumerate(groups):
        members = np.flatnonzero(expiry == e)
        by_strike: dict[float, list[int]] = {}
        for row in members.tolist():
            sides = by_strike.setdefault(float(strike[row]), [-1, -1])
            side = 0 if right[row] > 0 else 1
            sides[side] = row if sides[side] < 0 else sides[side]
        pairs.extend((value, call, put) for value, (call, put) in sorted(by_strike.items()))
        pair_first.append(len(pairs))
        slice_rows.extend(members.tolist())
        slice_first.append(len(slice_rows))
        slices[e]["expiry_ns"], slices[e]["american"] = expiry_ns, style
        slices[e]["status"] = TheoStatus.NOT_CALIBRATED
    longest = max(int(np.diff(pair_first).max()) + 2, 64)
    return Chain(
        strike=strike, right=right, american=american, expiry=expiry, instrument=instruments.astype(np.int64),
        pair_strike=np.array([pair[0] for pair in pairs]), pair_call=np.array([pair[1] for pair in pairs], np.int64),
        pair_put=np.array([pair[2] for pair in pairs], np.int64), pair_first=np.array(pair_first, np.int64),
        slice_row=np.array(slice_rows, np.int64), slice_first=np.array(slice_first, np.int64), slices=slices,
        params=np.zeros((len(groups), SMILE_PARAMS)), vol=np.zeros(len(strike)), residual=np.zeros(len(strike)),
        quality=np.zeros(len(strike), np.int64), quotes=np.zeros((8, longest)), work=np.zeros((WORK_ROWS, longest)),
        order=np.zeros(longest, np.int64), trial=np.zeros((2, SMILE_PARAMS)), knobs=knobs,
    )  # fmt: skip
