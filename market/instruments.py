"""Instrument master: OSI symbols, tick tables, and the table of INSTRUMENT frames kernels index.

An instrument's number is its row. Definitions are frames, so they are journaled like any other
input and a replay needs no reference data from elsewhere.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from market.enums import ExerciseStyle, FrameKind, Right, SecurityKind
from market.errors import InstrumentError, PriceError, SymbolError
from market.jit import kernel
from market.records import INSTRUMENT, SYMBOL_BYTES, table

_OSI = re.compile(r"^(?P<root>[A-Z0-9.]{1,6}) *(?P<day>\d{6})(?P<right>[CP])(?P<strike>\d{8})\Z")


@dataclass(frozen=True, slots=True)
class OsiSymbol:
    """An option series in the Options Symbology Initiative's terms.

    ``root`` has 1..6 characters; ``strike`` is in currency, 0.001 .. 99999.999.
    """

    root: str
    expiry: date
    right: Right
    strike: Decimal

    @classmethod
    def parse(cls, text: str) -> "OsiSymbol":
        """Read the 21-character form (root padded with blanks) or the compact one (no blanks).

        Raises SymbolError naming the text when it is neither, or names an impossible date.
        """
        match = _OSI.match(text)
        if match is None:
            raise SymbolError(f"{text!r} is not an OSI symbol: expected root, YYMMDD, C or P, strike in 8 digits")
        day = match["day"]
        try:
            expiry = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
        except ValueError as e:
            raise SymbolError(f"{text!r}: {day} is not a date (YYMMDD)") from e
        right = Right.CALL if match["right"] == "C" else Right.PUT
        return cls(match["root"], expiry, right, Decimal(match["strike"]) / 1000)

    def _tail(self) -> str:
        mills = self.strike * 1000
        if mills != int(mills) or not 1 <= mills <= 99_999_999:
            raise SymbolError(f"strike {self.strike} cannot be written in OSI: 0.001 to 99999.999 in steps of 0.001")
        return f"{self.expiry:%y%m%d}{'C' if self.right == Right.CALL else 'P'}{int(mills):08d}"

    def format(self) -> str:
        """The 21-character form."""
        return f"{self.root:<6}{self._tail()}"

    def compact(self) -> str:
        """Without blanks: what stands in Symbol(55) and in records."""
        return f"{self.root}{self._tail()}"


class TickRule(IntEnum):
    """Which prices an instrument may trade at, in units of 0.01 (price_scale 2)."""

    UNIT = 0  # every price unit
    NICKEL_DIME = 1  # 0.05 below 3.00, 0.10 from 3.00
    PENNY_NICKEL = 2  # 0.01 below 3.00, 0.05 from 3.00
    NICKEL = 3  # 0.05


_BREAK_TICKS = 300  # 3.00 in price units of 0.01
_LOW = np.array([1, 5, 1, 5], np.int64)
_HIGH = np.array([1, 10, 5, 5], np.int64)


@kernel(inline=True)
def tick_step(rule: int, ticks: int) -> int:
    """Minimum increment, in price units, at price ``ticks`` and above."""
    return _LOW[rule] if ticks < _BREAK_TICKS else _HIGH[rule]


@kernel(inline=True)
def tick_floor(rule: int, ticks: int) -> int:
    """Largest valid price <= ``ticks`` (ticks >= 0)."""
    step = tick_step(rule, ticks)
    return ticks - ticks % step


@kernel(inline=True)
def tick_ceil(rule: int, ticks: int) -> int:
    """Smallest valid price >= ``ticks`` (ticks >= 0)."""
    step = tick_step(rule, ticks)
    rest = ticks % step
    return ticks if rest == 0 else ticks + step - rest


@kernel(inline=True)
def is_on_tick(rule: int, ticks: int) -> bool:
    """Whether ``ticks`` is a valid price."""
    return ticks % tick_step(rule, ticks) == 0


class InstrumentMaster:
    """All instruments one process knows, numbered from 0 in order of definition.

    ``rows`` is the INSTRUMENT[capacity] table for kernels; ``count`` rows are defined.
    """

    def __init__(self, capacity: int) -> None:
        self.rows: Any = table(INSTRUMENT, capacity)
        self.capacity = capacity
        self.count = 0
        self._numbers: dict[str, int] = {}

    def add(
        self,
        *,
        symbol: str,
        security: SecurityKind,
        underlying: int | None = None,
        right: Right = Right.NONE,
        style: ExerciseStyle = ExerciseStyle.EUROPEAN,
        strike: float = 0.0,
        expiry_ns: int = 0,
        multiplier: int = 1,
        price_scale: int = 2,
        tick_rule: TickRule = TickRule.UNIT,
        session: int = 0,
        venue_index: int = 0,
    ) -> int:
        """Define an instrument and return its number.

        Raises InstrumentError for a duplicate or over-long symbol, a full master, an option
        without strike, expiry or right, or a tick rule that its price scale does not fit.
        """
        raw = symbol.encode("ascii", "replace")
        if not 0 < len(raw) <= SYMBOL_BYTES:
            raise InstrumentError(f"symbol {symbol!r} has {len(raw)} bytes, must be 1..{SYMBOL_BYTES}")
        if symbol in self._numbers:
            raise InstrumentError(f"symbol {symbol!r} is already instrument {self._numbers[symbol]}")
        if self.count >= self.capacity:
            raise InstrumentError(f"master is full at {self.capacity} instruments: raise engine.max_instruments")
        if security == SecurityKind.OPTION and (strike <= 0 or expiry_ns <= 0 or right == Right.NONE):
            raise InstrumentError(f"option {symbol!r} needs strike > 0, an expiry and a right")
        if tick_rule != TickRule.UNIT and price_scale != 2:
            raise InstrumentError(f"{symbol!r}: tick rule {tick_rule.name} needs price_scale 2, was {price_scale}")
        if multiplier <= 0 or not 0 <= price_scale <= 8:
            raise InstrumentError(f"{symbol!r}: multiplier {multiplier} must be > 0 and price_scale {price_scale} 0..8")
        number = self.count
        row = self.rows[number]
        row["kind"], row["instrument"] = FrameKind.INSTRUMENT, number
        row["underlying"] = number if underlying is None else underlying
        row["security"], row["right"], row["style"] = security, right, style
        row["price_scale"], row["tick_rule"], row["session"] = price_scale, tick_rule, session
        row["multiplier"], row["venue_index"] = multiplier, venue_index
        row["strike"], row["expiry_ns"], row["symbol"] = strike, expiry_ns, raw
        self._numbers[symbol] = number
        self.count = number + 1
        return number

    def rebuild(self, count: int) -> None:
        """Take the first ``count`` rows as defined (after they were restored from a snapshot)."""
        self.count = count
        self._numbers = {self.symbol(i): i for i in range(count)}

    def index_of(self, symbol: str) -> int:
        """Number of ``symbol``, -1 if unknown."""
        return self._numbers.get(symbol, -1)

    def symbol(self, number: int) -> str:
        """Symbol(55) of an instrument."""
        return bytes(self.rows[number]["symbol"]).decode("ascii")

    def symbols(self) -> Iterable[str]:
        """All symbols in order of their numbers."""
        return (self.symbol(i) for i in range(self.count))

    def options_of(self, underlying: int) -> npt.NDArray[np.int64]:
        """Numbers of the options on ``underlying``."""
        rows = self.rows[: self.count]
        mask = (rows["security"] == int(SecurityKind.OPTION)) & (rows["underlying"] == underlying)
        return np.flatnonzero(mask).astype(np.int64)

    def to_price(self, number: int, ticks: int) -> Decimal:
        """Price in currency of ``ticks`` price units."""
        return Decimal(int(ticks)).scaleb(-int(self.rows[number]["price_scale"]))

    def to_ticks(self, number: int, price: Decimal) -> int:
        """Inverse of :meth:`to_price`; PriceError when ``price`` is not a whole number of units."""
        ticks = price.scaleb(int(self.rows[number]["price_scale"]))
        if ticks != int(ticks):
            raise PriceError(f"{price} is not a multiple of the price unit of {self.symbol(number)}")
        return int(ticks)
