"""Writes recorded option files with a known truth: the replay's format, quotes around a surface of ours."""

import math
import zipfile
from datetime import date
from pathlib import Path

import numpy as np

from gpu.european.greeks import black_price
from market.calendar import NS_PER_YEAR as YEAR_NS
from market.calendar import expiry_ns, instant_ns

DAY = date(2026, 3, 2)
SPOT = 100.0
OPEN_MS = 34_200_000  # 09:30 New York
EXPIRIES = (date(2026, 3, 20), date(2026, 6, 19))


def true_vol(strike: float, years: float) -> float:
    """The smile of every file here: free of arbitrage at the strikes used."""
    k = math.log(max(strike, 1e-3) / SPOT)
    return math.sqrt(0.04 + 0.02 * (math.hypot(k + 0.1, 0.3) - 0.9 * k) / math.sqrt(years + 0.3))


def write_chain(
    path: Path, *, style: str = "european", expiries: tuple[date, ...] = EXPIRIES, minutes: tuple[int, ...] = (0, 89),
    strikes: tuple[float, ...] = tuple(np.arange(70.0, 131.0, 5.0)), half_spread: float = 0.05, equity: bool = True,
    one_sided: date | None = None,
) -> Path:  # fmt: skip
    """A zip of one CSV per contract, bars at ``minutes`` after the opening; the underlying's file beside it.

    Rates are zero. ``one_sided``: an expiry whose contracts are only asked for.
    """
    day = f"{DAY:%Y%m%d}"
    with zipfile.ZipFile(path, "w") as archive:
        for expiry in expiries:
            for strike in strikes:
                for right in (1, -1):
                    rows = [_bar(m, strike, expiry, right, half_spread, expiry == one_sided) for m in minutes]
                    name = f"{day}_axm_minute_quote_{style}_{'call' if right > 0 else 'put'}_"
                    archive.writestr(f"{name}{int(strike * 1e4)}_{expiry:%Y%m%d}.csv", "\n".join(rows) + "\n")
    if equity:
        e4 = [f"{OPEN_MS + 60_000 * m}," + ",".join(4 * [f"{int((SPOT - 0.01) * 1e4)}"]) + ",5,"
              + ",".join(4 * [f"{int((SPOT + 0.01) * 1e4)}"]) + ",5" for m in minutes]  # fmt: skip
        companion = path.with_name(f"{path.name.split('_')[0]}_{day}_quote_minute_equity.zip")
        with zipfile.ZipFile(companion, "w") as archive:
            archive.writestr(f"{day}_axm_minute_quote.csv", "\n".join(e4) + "\n")
    return path


def chain_path(directory: Path, style: str = "european") -> Path:
    """The name under which the reader expects such a file."""
    return directory / f"axm_{DAY:%Y%m%d}_quote_minute_{style}.zip"


def value(strike: float, expiry: date, right: int, at_ns: int) -> float:
    """True price at an instant."""
    years = (expiry_ns(expiry) - at_ns) / YEAR_NS
    return (
        black_price(SPOT, max(strike, 1e-3), true_vol(strike, years) * math.sqrt(years), right) if years > 0.0 else 0.0
    )


def _bar(minute: int, strike: float, expiry: date, right: int, half: float, one_sided: bool) -> str:
    from datetime import time

    begin = instant_ns(DAY, time(9, 30)) + minute * 60_000_000_000
    price = value(strike, expiry, right, begin + 60_000_000_000)
    bid, ask = round(100 * (price - half)) * 100, max(round(100 * (price + half)), 1) * 100
    time_ms = OPEN_MS + 60_000 * minute
    bids = ",,,,," if bid <= 0 or one_sided else f"{bid},{bid},{bid},{bid},10,"
    return f"{time_ms},{bids}{ask},{ask},{ask},{ask},10"
