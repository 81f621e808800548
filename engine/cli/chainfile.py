"""Recorded option files as chains at one minute: what ``axiom surface`` and ``axiom greeks`` read.

The reader of the files is the market replay's (``simulator.flow.recording``); here its quote events
are cut at an instant into arrays, one row per contract. Arrays and kernels are imported where they are
used: every ``axiom`` command imports this module, and few need them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.cli.exits import CliError, ExitCode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    F8: TypeAlias = npt.NDArray[np.float64]
    I8: TypeAlias = npt.NDArray[np.int64]

#: The minute that is read when none is asked for: every session, half days included, is liquid then.
DEFAULT_AT = "11:00"
_UNITS = 100.0  # price units per 1.00; dividing gives the nearest double to the decimal price


@dataclass(frozen=True)
class ChainSnapshot:
    """One recorded chain as it stood at ``at_ns``.

    The arrays have a row per contract, ordered by expiry, strike, and call before put. ``bid`` and
    ``ask`` [currency] are NaN where that side had no quote; ``years`` is ACT/365 and <= 0 once expired.
    """

    path: Path
    symbol: str
    day: date
    at_ns: int
    american: bool
    spot: float
    spot_source: str
    symbols: tuple[str, ...]
    strike: F8
    right: npt.NDArray[np.int8]  # +1 call, -1 put
    expiry_ns: I8
    years: F8
    bid: F8
    ask: F8
    bid_qty: I8
    ask_qty: I8

    @property
    def count(self) -> int:
        """Number of contracts."""
        return len(self.strike)

    @property
    def at(self) -> str:
        """The instant as New York wall time, HH:MM."""
        return f"{_wall(self.at_ns):%H:%M}"

    @property
    def expiries(self) -> I8:
        """Expiry instants [ns], ascending, each once."""
        import numpy as np

        return np.unique(self.expiry_ns)

    def expiry_day(self, expiry_ns: int) -> date:
        """New York date of an expiry instant."""
        return _wall(expiry_ns).date()


def load_chain(path: str | Path, at: str = DEFAULT_AT, spot: float | None = None) -> ChainSnapshot:
    """Read one recorded file and cut it at ``at``.

    Parameters
    ----------
    path
        Zip of minute quote bars per contract; the underlying's file is found beside it.
    at
        New York wall time, HH:MM. A bar's close is known at its end: 11:00 sees the bar of 10:59.
    spot
        Price of the underlying, instead of the recorded one.

    Raises
    ------
    CliError
        The file is absent or damaged, the time is no time or lies outside the file's quotes, no
        contract is quoted then, or there is no usable spot. The message names value, bound and mend.
    """
    from market.calendar import instant_ns
    from market.errors import MarketError
    from simulator.errors import ReplayDataError
    from simulator.flow.recording import load_replay

    clock = parse_clock(at)
    if spot is not None and not 0.0 < spot < 1e9:
        raise CliError(ExitCode.ERROR, f"--spot must be a price over 0 and under 1e9, was {spot!r}")
    source = Path(path).expanduser()
    try:
        recording = load_replay(source)
    except ReplayDataError as error:
        raise CliError(ExitCode.ERROR if source.exists() else ExitCode.NOT_FOUND, str(error)) from error
    except MarketError as error:
        raise CliError(ExitCode.ERROR, f"{source}: names a contract that cannot be: {error}") from error
    at_ns = instant_ns(recording.day, clock)
    if not recording.first_ns <= at_ns <= recording.last_ns:
        span = f"{_wall(recording.first_ns):%H:%M} to {_wall(recording.last_ns):%H:%M}"
        raise CliError(
            ExitCode.ERROR, f"{source}: has no quotes at {at}; it has them from {span} New York, give --at within"
        )
    return _cut(recording, source, at_ns, spot)


def load_chains(
    paths: Sequence[str | Path], at: str = DEFAULT_AT, spot: float | None = None
) -> tuple[ChainSnapshot, ...]:
    """:func:`load_chain` of each file; ``spot`` may only be given for one."""
    if spot is not None and len(paths) > 1:
        raise CliError(ExitCode.ERROR, f"--spot is of one underlying, but {len(paths)} files were given; drop one")
    return tuple(load_chain(path, at, spot) for path in paths)


def parse_clock(text: str) -> time:
    """HH:MM as a time; CliError otherwise."""
    try:
        return datetime.strptime(text.strip(), "%H:%M").time()
    except ValueError as error:
        raise CliError(ExitCode.ERROR, f"--at must be a New York time from 00:00 to 23:59, was {text!r}") from error


def _wall(instant: int) -> datetime:
    """New York wall time of UTC nanoseconds."""
    from market.calendar import NEW_YORK, NS_PER_S

    return datetime.fromtimestamp(instant // NS_PER_S, UTC).astimezone(NEW_YORK)


def _cut(recording: Any, source: Path, at_ns: int, spot: float | None) -> ChainSnapshot:
    """The last event of each instrument up to ``at_ns``, as a snapshot."""
    import numpy as np

    from market.calendar import NS_PER_YEAR
    from market.enums import ExerciseStyle

    count = recording.master.count
    seen = int(np.searchsorted(recording.time_ns, at_ns, side="right"))
    last = np.full(count, -1, np.int64)
    last[recording.instrument[:seen]] = np.arange(seen)  # of several assignments the last one stands
    bid, ask, bid_qty, ask_qty = _sides(recording, last)
    rows = recording.master.rows[:count]
    styles = np.unique(rows["style"][1:])
    if len(styles) != 1:
        raise CliError(ExitCode.ERROR, f"{source}: mixes American and European contracts; give one file of each")
    if not (np.isfinite(bid[1:]) & np.isfinite(ask[1:])).any():
        raise CliError(ExitCode.ERROR, f"{source}: no contract has a bid and an ask at that minute; give another --at")
    price, origin = (spot, "given") if spot is not None else _recorded_spot(recording, source, bid[0], ask[0])
    order = 1 + np.lexsort((-rows["right"][1:].astype(np.int64), rows["strike"][1:], rows["expiry_ns"][1:]))
    chosen = rows[order]
    expiry = chosen["expiry_ns"].astype(np.int64)
    return ChainSnapshot(
        path=source, symbol=recording.symbol, day=recording.day, at_ns=at_ns,
        american=bool(styles[0] == ExerciseStyle.AMERICAN), spot=float(price), spot_source=origin,
        symbols=tuple(recording.master.symbol(int(number)) for number in order),
        strike=chosen["strike"].astype(np.float64), right=chosen["right"].astype(np.int8), expiry_ns=expiry,
        years=(expiry - at_ns) / NS_PER_YEAR, bid=bid[order], ask=ask[order], bid_qty=bid_qty[order],
        ask_qty=ask_qty[order],
    )  # fmt: skip


def _sides(recording: Any, last: I8) -> tuple[F8, F8, I8, I8]:
    """(bid, ask, bid quantity, ask quantity) by instrument from its last event; NaN and 0 where none."""
    import numpy as np

    known = last >= 0
    at = np.where(known, last, 0)
    bid_qty = np.where(known, recording.bid_qty[at], 0)
    ask_qty = np.where(known, recording.ask_qty[at], 0)
    bid = np.where(bid_qty > 0, recording.bid_ticks[at] / _UNITS, np.nan)
    ask = np.where(ask_qty > 0, recording.ask_ticks[at] / _UNITS, np.nan)
    return bid, ask, bid_qty, ask_qty


def _recorded_spot(recording: Any, source: Path, bid: float, ask: float) -> tuple[float, str]:
    """Middle of the underlying's quote, or the one side that there is."""
    sides = [side for side in (bid, ask) if math.isfinite(side)]
    if not sides:
        raise CliError(ExitCode.ERROR, f"{source}: the underlying has no quote at that minute; give --spot")
    return sum(sides) / len(sides), recording.underlying_source
