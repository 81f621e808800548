"""Expiries and time to them, in calendar time (discounting) and trading time (volatility).

All instants are UTC nanoseconds. New York wall time is converted with the system's zone data, in
plain Python, when instruments are defined; kernels only subtract.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from market.jit import kernel

NEW_YORK = ZoneInfo("America/New_York")
NS_PER_S = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_S
DAYS_PER_YEAR = 365  # ACT/365
NS_PER_YEAR = DAYS_PER_YEAR * NS_PER_DAY
SESSION_SECONDS = 23_400  # 09:30-16:00
TRADING_DAYS = 252
CLOSE = time(16, 0)


def instant_ns(day: date, clock: time, zone: ZoneInfo = NEW_YORK) -> int:
    """UTC nanoseconds of a wall-clock time in ``zone``."""
    stamp = datetime.combine(day, clock, tzinfo=zone)
    return int(stamp.timestamp()) * NS_PER_S + stamp.microsecond * 1000


def expiry_ns(day: date, close: time = CLOSE) -> int:
    """UTC nanoseconds of the close (16:00 New York unless told) on the expiry date."""
    return instant_ns(day, close)


def new_york_midnight_ns(day: date) -> int:
    """UTC nanoseconds of 00:00 New York: recorded files count milliseconds from there."""
    return instant_ns(day, time(0, 0))


@kernel(inline=True)
def calendar_years(now_ns: int, expiry: int) -> float:
    """Time to expiry in years of 365 days; 0 or negative once expired."""
    return (expiry - now_ns) / 31_536_000_000_000_000.0


def trading_years(now_ns: int, expiry: int) -> float:
    """Time to expiry in years of 252 sessions of 6.5 h: weekdays only, no holiday table.

    An intraday instant counts the part of its own session that is left. Plain Python: it is
    evaluated once a calibration per expiry, not per tick.
    """
    if expiry <= now_ns:
        return 0.0
    begin = datetime.fromtimestamp(now_ns / NS_PER_S, NEW_YORK)
    end = datetime.fromtimestamp(expiry / NS_PER_S, NEW_YORK)
    seconds = 0.0
    day = begin.date()
    while day <= end.date():
        if day.weekday() < 5:
            opening = datetime.combine(day, time(9, 30), NEW_YORK)
            closing = datetime.combine(day, CLOSE, NEW_YORK)
            seconds += max(0.0, (min(end, closing) - max(begin, opening)).total_seconds())
        day += timedelta(days=1)
    return seconds / (SESSION_SECONDS * TRADING_DAYS)
