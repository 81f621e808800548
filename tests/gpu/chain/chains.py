"""Chains for the tests: synthetic with a known truth, and recorded ones where the files are."""

import csv
import io
import zipfile
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpu.european.greeks import black_price
from market.calendar import expiry_ns, instant_ns
from market.enums import ExerciseStyle, SecurityKind
from market.records import INSTRUMENT, table

NOW = instant_ns(date(2026, 3, 2), time(10, 30))
YEAR_NS = 365 * 86_400 * 10**9


class Market(NamedTuple):
    master: Any  # INSTRUMENT rows; 0 is the underlying
    count: int
    bid: Any  # float64[count]
    ask: Any
    spot: float
    now_ns: int

    def numbers(self, years: float | None = None, strike: float | None = None, right: int | None = None) -> Any:
        rows = self.master[: self.count]
        mask = rows["security"] == SecurityKind.OPTION
        if years is not None:
            mask &= rows["expiry_ns"] == self.now_ns + int(years * YEAR_NS)
        if strike is not None:
            mask &= rows["strike"] == strike
        if right is not None:
            mask &= rows["right"] == right
        return np.flatnonzero(mask)


def true_vol(strike: Any, forward: float, years: float) -> Any:
    """A skewed smile that is arbitrage free at the strikes used here."""
    x = np.log(strike / forward) / np.sqrt(years)
    return 0.22 - 0.12 * x + 0.15 * x * x / (1.0 + np.abs(x))


def synthetic(
    spot: float = 100.0,
    rate: float = 0.03,
    dividend_yield: float = 0.01,
    maturities: tuple[float, ...] = (0.05, 0.25, 1.0),
    strikes: Any = None,
    half_spread: float = 0.02,
    style: ExerciseStyle = ExerciseStyle.EUROPEAN,
) -> Market:
    """Quotes half a spread around Black values on ``true_vol``; sides that would be under a cent are absent."""
    strikes = np.arange(70.0, 131.0, 2.5) if strikes is None else np.asarray(strikes, float)
    count = 1 + 2 * len(maturities) * len(strikes)
    master = table(INSTRUMENT, count)
    bid, ask = np.full(count, np.nan), np.full(count, np.nan)
    number = 1
    for years in maturities:
        forward, discount = spot * np.exp((rate - dividend_yield) * years), np.exp(-rate * years)
        for strike in strikes:
            for right in (1, -1):
                row = master[number]
                row["instrument"], row["underlying"], row["security"] = number, 0, SecurityKind.OPTION
                row["right"], row["style"], row["strike"], row["multiplier"] = right, style, strike, 100
                row["expiry_ns"] = NOW + int(years * YEAR_NS)
                deviation = float(true_vol(strike, forward, years) * np.sqrt(years))
                value = discount * black_price(forward, float(strike), deviation, right)
                if value - half_spread >= 0.01:
                    bid[number] = value - half_spread
                ask[number] = value + half_spread
                number += 1
    return Market(master, count, bid, ask, spot, NOW)


class Recorded(NamedTuple):
    """A recorded day: minute-end bids and asks by instrument, NaN before the first quote."""

    master: Any
    count: int
    bid: Any  # float64[count, minutes of the day]
    ask: Any
    spot: Any  # float64[minutes]; NaN without an equity file
    day: date

    def at(self, hour: int, minute: int) -> Market:
        column = hour * 60 + minute
        now = instant_ns(self.day, time(hour, minute, 59))
        return Market(
            self.master, self.count, self.bid[:, column].copy(), self.ask[:, column].copy(),
            float(self.spot[column]), now,
        )  # fmt: skip


def _bars(text: str, bid: Any, ask: Any) -> None:
    """Closing bid and ask of each minute; an empty side means no update."""
    for row in csv.reader(io.StringIO(text)):
        minute = int(row[0]) // 60_000
        if minute < bid.shape[0]:
            bid[minute] = float(row[4]) / 1e4 if row[4] else np.nan
            ask[minute] = float(row[9]) / 1e4 if row[9] else np.nan
    for side in (bid, ask):
        for minute in range(1, side.shape[0]):
            if np.isnan(side[minute]):
                side[minute] = side[minute - 1]


def recorded(options: Path, equity: Path | None, style: ExerciseStyle, minutes: int = 960) -> Recorded:
    """Load one zip of recorded option bars, and the underlying's where there is one."""
    with zipfile.ZipFile(options) as archive:
        names = sorted(archive.namelist())
        count = len(names) + 1
        master = table(INSTRUMENT, count)
        bid, ask = np.full((count, minutes), np.nan), np.full((count, minutes), np.nan)
        for number, name in enumerate(names, start=1):
            parts = name.removesuffix(".csv").split("_")
            row = master[number]
            row["instrument"], row["security"], row["style"] = number, SecurityKind.OPTION, style
            row["right"], row["strike"], row["multiplier"] = 1 if parts[5] == "call" else -1, int(parts[6]) / 1e4, 100
            row["expiry_ns"] = expiry_ns(datetime.strptime(parts[7], "%Y%m%d").date())
            _bars(archive.read(name).decode(), bid[number], ask[number])
    spot = np.full(minutes, np.nan)
    if equity is not None:
        with zipfile.ZipFile(equity) as archive:
            sides = np.full((2, minutes), np.nan)
            _bars(archive.read(archive.namelist()[0]).decode(), sides[0], sides[1])
            spot = sides.mean(axis=0)
    day = datetime.strptime(options.name.split("_")[1], "%Y%m%d").date()
    return Recorded(master, count, bid, ask, spot, day)
