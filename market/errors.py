"""Errors of ``market``.

MarketError
├── SymbolError        a text is not an OSI symbol, or too long for a record
├── InstrumentError    an instrument definition contradicts itself or the master is full
├── PriceError         a price is not a multiple of the instrument's price unit
├── RingError          a shared-memory ring is absent, of another format, or already published to
└── TransportError     a carrier of frames is not installed, not reachable or wrongly addressed
"""


class MarketError(Exception):
    """Root of this package's errors."""


class SymbolError(MarketError):
    """A text that should name an instrument does not."""


class InstrumentError(MarketError):
    """An instrument cannot be added to the master."""


class PriceError(MarketError):
    """A price cannot be expressed in the instrument's price unit."""


class RingError(MarketError):
    """A shared-memory ring cannot be used."""


class TransportError(MarketError):
    """A carrier of frames cannot be used."""
