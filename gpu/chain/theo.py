"""Theoretical values of one underlying's whole chain: calibrate on the market, refresh on every tick.

``ChainPricer.calibrate`` (milliseconds) turns the market's quotes into a forward and a smile per
expiry; ``refresh`` (tens of microseconds for two thousand series) turns a spot and a time into
THEO rows. How a value comes about is told in ``rows.py``; who computes it (this CPU, a GPU) is the
router's business. One thread owns a pricer; others get its rows through ``TheoTable`` or as frames.
"""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from gpu.chain.premium import EarlyExercise, clear_premiums
from gpu.chain.rows import (
    PREMIUM_ROWS,
    SLICE,
    Chain,
    Knob,
    TheoStatus,
    calendar_crossings,
    fit_slice,
    load_rows,
    publish_rows,
    store_slice,
)
from gpu.chain.theo_table import TheoTable
from gpu.cuda.driver import CudaDriver
from gpu.errors import ChainError
from gpu.router.paths import OpenDriver
from gpu.router.router import GreeksRouter, Path, RouterReport, RouterSettings
from gpu.surface.forwards.forward import MAX_PRICE
from gpu.surface.slices.smile import SMILE_PARAMS, WORK_ROWS
from market.calendar import NS_PER_S
from market.enums import ExerciseStyle, SecurityKind
from market.records import THEO, table

__all__ = ["THEO_ROW", "CalibrationReport", "ChainPricer", "PricerSettings", "TheoStatus", "TheoTable"]

#: One row of a theo table is one THEO frame.
THEO_ROW = THEO

#: Discounts and roots of time are taken over again when the time has moved by this much, or by this part of
#: the nearest expiry's remaining life: between, an at-the-money value is off by at most 5e-6 of itself.
TIME_STEP_NS = NS_PER_S
TIME_STEP_PARTS = 100_000


#: A first calibration takes its premiums out of the quotes and fits again, until the largest one has settled to
#: this part of its strike; each round leaves about a fifth of the error. Later ones start from the last premiums.
_NOTICEABLE = 1e-5
_FIRST_ROUNDS = 6


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
    early_exercise: bool = True  # False: AMERICAN series are valued as European, not under intrinsic

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
        self._exercise: EarlyExercise | None = None  # made by the first American calibration, in its thread
        self._router: GreeksRouter | None = None
        self._loaded_ns = 0  # when the router's inputs were made; 0: never
        self._nearest_ns = 0
        self._expiry_ns = np.array(self.chain.slices["expiry_ns"], np.int64)  # ascending
        self._scales = np.ones(len(self.chain.slices))
        self._dirty: set[int] = set()  # expiries calibrated since

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
        statuses = [self._calibrate_slice(e, bid, ask, spot, now_ns) for e in range(self.expiries)]
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
            status = self._calibrate_slice(e, bid, ask, spot, now_ns)
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
        router = self.router
        spot, now_ns = float(spot), int(now_ns)
        if 0.0 < spot < MAX_PRICE:
            self._load(router, now_ns)
            values = router.refresh(spot)
        else:
            values = router.columns  # not looked at: every row is BAD_SPOT
        return int(publish_rows(self.chain, spot, now_ns, self.refreshes, self._scales, values, out))

    @property
    def router(self) -> GreeksRouter:
        """Who computes the values: this CPU, unless :meth:`route` was called."""
        if self._router is None:
            self._router = GreeksRouter(self.count, reduced=True, settings=RouterSettings(device="cpu", rounds=3))
        return self._router

    @property
    def path(self) -> Path:
        """Who computes the values now; of any thread."""
        return Path.CPU if self._router is None else self._router.path

    @property
    def losses(self) -> int:
        """How often a device was lost since :meth:`route`; of any thread."""
        return 0 if self._router is None else self._router.losses

    def route(self, settings: RouterSettings, open_driver: OpenDriver = CudaDriver) -> RouterReport:
        """Open and measure the devices that ``settings`` allow; may take seconds. Gives back those of before."""
        self.close()
        self._router = GreeksRouter(self.count, reduced=True, settings=settings, open_driver=open_driver)
        self._loaded_ns = 0
        return self._router.report

    def close(self) -> None:
        """Give a device back; refreshes go on, on the CPU."""
        if self._router is not None:
            self._router.close()

    def _calibrate_slice(self, e: int, bid: npt.NDArray[np.float64], ask: Any, spot: float, now_ns: int) -> int:
        chain, spot, now_ns = self.chain, float(spot), int(now_ns)
        american = self.settings.early_exercise and bool(chain.slices[e]["american"])
        first = int(chain.slices[e]["calibrated_ns"]) == 0
        status = int(fit_slice(chain, e, bid, ask, spot, now_ns, self.rate))
        if american and status in (TheoStatus.NO_FORWARD, TheoStatus.NO_SMILE) and not first:
            # Perhaps premiums of a bad moment leave nothing of the quotes: once more, as if there were none.
            status, first = self._fit_afresh(e, bid, ask, spot, now_ns), True
        if status != TheoStatus.OK:
            return status
        self._dirty.add(e)
        if american:
            self._settle_premiums(e, bid, ask, spot, now_ns, _FIRST_ROUNDS if first else 0)
        store_slice(chain, e, bid, ask)
        return status

    def _fit_afresh(self, e: int, bid: Any, ask: Any, spot: float, now_ns: int) -> int:
        kept = self.chain.premium.copy()
        clear_premiums(self.chain, e)
        status = int(fit_slice(self.chain, e, bid, ask, spot, now_ns, self.rate))
        if status != TheoStatus.OK:
            self.chain.premium[...] = kept
        return status

    def _settle_premiums(self, e: int, bid: Any, ask: Any, spot: float, now_ns: int, rounds: int) -> None:
        """Premiums of a fitted expiry; while ``rounds`` last, fit again without them until they stand."""
        self._exercise = self._exercise or EarlyExercise()
        known, largest = 0.0, self._exercise.fill(self.chain, e)
        for _ in range(rounds):
            if abs(largest - known) <= _NOTICEABLE:
                break
            if fit_slice(self.chain, e, bid, ask, spot, now_ns, self.rate) != TheoStatus.OK:
                break
            known, largest = largest, self._exercise.fill(self.chain, e)

    def _load(self, router: GreeksRouter, now_ns: int) -> None:
        """Bring the router's inputs up to date: all of them when time has moved, else what was calibrated."""
        step = min(TIME_STEP_NS, max(self._nearest_ns - now_ns, 0) // TIME_STEP_PARTS)
        if self._nearest_ns == 0:
            step = TIME_STEP_NS  # nothing left to expire
        if self._loaded_ns == 0 or abs(now_ns - self._loaded_ns) > step:
            load_rows(self.chain, 0, self.expiries, now_ns, router.columns, self._scales)
            ahead = self._expiry_ns[self._expiry_ns > now_ns]
            self._loaded_ns, self._nearest_ns = now_ns, int(ahead[0]) if ahead.size else 0
            router.changed()
        else:
            for e in self._dirty:
                load_rows(self.chain, e, e + 1, now_ns, router.columns, self._scales)
                router.changed(int(self.chain.slice_first[e]), int(self.chain.slice_first[e + 1]))
        self._dirty.clear()

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
        premium=np.zeros((len(strike), PREMIUM_ROWS)),
        quality=np.zeros(len(strike), np.int64), quotes=np.zeros((8, longest)), work=np.zeros((WORK_ROWS, longest)),
        order=np.zeros(longest, np.int64), trial=np.zeros((2, SMILE_PARAMS)), knobs=knobs,
    )  # fmt: skip
