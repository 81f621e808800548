"""Symbol(55) to instrument number and back, with what prices of that instrument look like in text.

One table serves every session of a process: kernels only read it. A row is one cache line, so that
encoding a price and a symbol costs one miss; lookup is an open-addressing hash at most half full.
"""

from typing import Any, NamedTuple

import numpy as np

from fix.codec.words import first_bytes, hash3, load_u64, word_of
from fix.errors import SettingsError
from market.jit import kernel
from market.records import SYMBOL_BYTES

MAX_PRICE_SCALE = 8

# Columns of a row: int64[8], 64 bytes.
SYMBOL_WORD = 0  # three words: the symbol's bytes, zero padded
SYMBOL_LENGTH = 3  # 0: no such instrument
PRICE_SCALE = 4  # decimals of a price
PRICE_UNITS = 5  # 10**PRICE_SCALE
MULTIPLIER = 6
ROW_COLUMNS = 8

_0 = np.uint64(0)


class SymbolState(NamedTuple):
    """What kernels take."""

    slots: Any  #: int32[2**k]: instrument number, -1 free; indexed by the hash's top k bits
    rows: Any  #: int64[capacity, 8]: see the column constants above
    shift: Any  #: int64[1]: 64 - k


class SymbolTable:
    """Instruments of one process by number and by Symbol(55).

    Parameters
    ----------
    capacity
        Highest instrument number + 1.
    """

    def __init__(self, capacity: int) -> None:
        if not 1 <= capacity <= 1 << 22:
            raise SettingsError(
                f"capacity must be 1..{1 << 22}, was {capacity}: it is the highest instrument number + 1"
            )
        bits = max(4, (2 * capacity - 1).bit_length())
        self._numbers: dict[str, int] = {}
        self.state = SymbolState(
            np.full(1 << bits, -1, np.int32),
            np.zeros((capacity, ROW_COLUMNS), np.int64),
            np.array([64 - bits], np.int64),
        )

    def add(self, symbol: str, instrument: int, price_scale: int = 2, multiplier: int = 1) -> None:
        """Make ``symbol`` known as ``instrument``; prices have ``price_scale`` decimals.

        Raises
        ------
        SettingsError
            The symbol is not 1..24 printable ASCII bytes, the number or the symbol is taken, or a
            value is out of range.
        """
        rows = self.state.rows
        text = symbol.encode("ascii", "replace")
        if not 1 <= len(text) <= SYMBOL_BYTES or not all(32 < byte < 127 for byte in text) or text == b"[N/A]":
            raise SettingsError(f"symbol must be 1..{SYMBOL_BYTES} printable ASCII characters, was {symbol!r}")
        if not 0 <= instrument < len(rows):
            raise SettingsError(f"instrument must be 0..{len(rows) - 1}, was {instrument}: give a larger capacity")
        if not 0 <= price_scale <= MAX_PRICE_SCALE:
            raise SettingsError(f"price_scale of {symbol} must be 0..{MAX_PRICE_SCALE}, was {price_scale}")
        known = self._numbers.get(symbol, instrument)
        if known != instrument or (rows[instrument, SYMBOL_LENGTH] and symbol not in self._numbers):
            taken = self.symbol(instrument) if known == instrument else symbol
            raise SettingsError(f"{symbol} cannot be instrument {instrument}: {taken} is {known} already")
        words = [word_of(text[k : k + 8]) for k in (0, 8, 16)]
        rows[instrument, :3] = np.array(words, np.uint64).view(np.int64)
        rows[instrument, SYMBOL_LENGTH:7] = (len(text), price_scale, 10**price_scale, multiplier)
        if symbol not in self._numbers:
            self._numbers[symbol] = instrument
            self._insert(words, instrument)

    def _insert(self, words: list[np.uint64], instrument: int) -> None:
        slots, shift = self.state.slots, int(self.state.shift[0])
        slot = int(hash3(*words)) >> shift
        while slots[slot] >= 0:
            slot = (slot + 1) % len(slots)
        slots[slot] = instrument

    def index_of(self, symbol: str) -> int:
        """Instrument number of ``symbol``; -1 where unknown."""
        return self._numbers.get(symbol, -1)

    def symbol(self, instrument: int) -> str:
        """Symbol of an instrument number; raises ``KeyError`` where there is none."""
        rows = self.state.rows
        if not 0 <= instrument < len(rows) or rows[instrument, SYMBOL_LENGTH] == 0:
            raise KeyError(f"no instrument {instrument} in this table of {len(self._numbers)}")
        row = rows[instrument, :3].copy().view(np.uint8)
        return bytes(row[: int(rows[instrument, SYMBOL_LENGTH])]).decode("ascii")

    def __len__(self) -> int:
        return len(self._numbers)


@kernel
def find_symbol(symbols: SymbolState, buf: Any, at: int, size: int) -> int:
    """Instrument number of the ``size`` bytes at ``at``; -1 where unknown. About 5 ns.

    Bounds: ``buf`` has at least 7 bytes after the value (a message's trailer has).
    """
    if size < 1 or size > SYMBOL_BYTES:
        return -1
    w1 = _0
    w2 = _0
    if size > 8:
        w0 = load_u64(buf, at)
        if size > 16:
            w1 = load_u64(buf, at + 8)
            w2 = first_bytes(load_u64(buf, at + 16), size - 16)
        else:
            w1 = first_bytes(load_u64(buf, at + 8), size - 8)
    else:
        w0 = first_bytes(load_u64(buf, at), size)
    slots = symbols.slots
    rows = symbols.rows
    mask = slots.shape[0] - 1
    slot = np.int64(hash3(w0, w1, w2) >> np.uint64(symbols.shift[0]))
    while True:  # ends: the table is at most half full
        instrument = np.int64(slots[slot])
        if instrument < 0:
            return -1
        same = np.uint64(rows[instrument, 0]) == w0 and np.uint64(rows[instrument, 1]) == w1
        if same and np.uint64(rows[instrument, 2]) == w2 and rows[instrument, SYMBOL_LENGTH] == size:
            return instrument
        slot = (slot + 1) & mask
