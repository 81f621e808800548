"""From listings to instruments: which numbers the step uses for what the venues list.

Options need their underlying's number, so nothing is defined until every session has delivered its
list once. A symbol keeps its number for the life of the state directory; a venue that comes back
may number its market data differently, which only changes the map from its index to our number.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.securities import Listing
from engine.startup import instrument_numbers
from engine.state import W_INSTRUMENTS, Engine
from fix.codec import SymbolTable
from market.enums import FrameKind, SecurityKind
from market.records import INSTRUMENT, SYMBOL_BYTES, table

_MAX_SCALE = 4  # money is exact to 1/10000


class InstrumentDirectory:
    """Numbers, symbols and definitions; feeds the codec's symbol table and the rings' index maps."""

    def __init__(self, engine: Engine, symbols: SymbolTable, numbers: npt.NDArray[np.int32]) -> None:
        self._engine = engine
        self._symbols = symbols
        self._maps = numbers
        self.numbers = instrument_numbers(engine, int(engine.words[W_INSTRUMENTS]))
        rows = engine.instruments
        for symbol, number in self.numbers.items():
            row = rows[number]
            symbols.add(symbol, number, int(row["price_scale"]), int(row["multiplier"]))

    @property
    def count(self) -> int:
        """Instruments known."""
        return len(self.numbers)

    def define(self, session: int, listings: list[Listing], alerts: list[str]) -> Any:
        """INSTRUMENT frames for what is new or changed in one session's list.

        Appends to ``alerts`` what cannot be defined: a full table, an option whose underlying no
        session lists, a price scale beyond 4.
        """
        frames = table(INSTRUMENT, len(listings))
        filled = 0
        self._maps[session, :] = -1
        for item in sorted(listings, key=lambda entry: entry.security != SecurityKind.EQUITY):
            problem = self._problem(item)
            if problem:
                alerts.append(problem)
                continue
            number = self.numbers.get(item.symbol, self.count)
            known = number < self.count
            row = frames[filled]
            self._fill(row, item, number, session)
            if 0 <= item.venue_index < self._maps.shape[1]:
                self._maps[session, item.venue_index] = number
            self.numbers[item.symbol] = number
            if not known:
                self._symbols.add(item.symbol, number, item.price_scale, item.multiplier)
            elif self._same(row, number):
                continue
            filled += 1
        return frames[:filled]

    def _problem(self, item: Listing) -> str:
        if len(item.symbol.encode()) > SYMBOL_BYTES:
            return f"symbol {item.symbol!r} is longer than {SYMBOL_BYTES} bytes: not traded"
        if item.symbol not in self.numbers and self.count >= len(self._engine.instruments):
            return f"{item.symbol} is beyond engine.max_instruments = {len(self._engine.instruments)}: raise it"
        if item.price_scale > _MAX_SCALE:
            return f"{item.symbol} has {item.price_scale} price decimals, at most {_MAX_SCALE} are exact: not traded"
        if item.security == SecurityKind.OPTION and item.underlying not in self.numbers:
            return f"{item.symbol}: its underlying {item.underlying!r} is listed by no session: not traded"
        return ""

    def _fill(self, row: Any, item: Listing, number: int, session: int) -> None:
        row["kind"], row["source"], row["instrument"] = FrameKind.INSTRUMENT, session, number
        option = item.security == SecurityKind.OPTION
        row["underlying"] = self.numbers[item.underlying] if option else number
        row["security"], row["right"], row["style"] = item.security, item.right, item.style
        row["price_scale"], row["tick_rule"], row["session"] = item.price_scale, item.tick_rule, session
        row["multiplier"], row["venue_index"] = item.multiplier, item.venue_index
        row["strike"], row["expiry_ns"], row["symbol"] = item.strike, item.expiry_ns, item.symbol.encode()

    def _same(self, row: Any, number: int) -> bool:
        old = self._engine.instruments[number]
        names = [
            n for n in INSTRUMENT.names or () if n not in ("crc", "jseq", "ts_ns", "recv_ns", "venue_index", "source")
        ]
        return all(old[n] == row[n] for n in names)
