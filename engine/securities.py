"""The venue's security list (35=y) read into instrument definitions.

The inverse of ``simulator.venue.securities``: standard fields first, our venues' user fields
(5001..5005) for what FIX.4.4 cannot say. An entry that cannot be read is refused by name and left
out: an instrument that we do not understand is not traded.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from fix.messages import parse
from market.calendar import expiry_ns
from market.enums import ExerciseStyle, Right, SecurityKind
from market.instruments import TickRule

_SYMBOL = 55


class Listing(NamedTuple):
    """One instrument as a venue lists it."""

    symbol: str
    security: SecurityKind
    right: Right
    style: ExerciseStyle
    strike: float
    expiry_ns: int
    multiplier: int
    price_scale: int
    tick_rule: TickRule
    venue_index: int
    underlying: str


class Page(NamedTuple):
    """One SecurityList message."""

    listings: list[Listing]
    refused: list[str]
    last: bool
    request_id: str  # SecurityReqID(320) that it answers


def _entries(fields: list[tuple[int, bytes]]) -> Iterator[dict[int, str]]:
    """Split the repeating group at its first field, Symbol(55)."""
    entry: dict[int, str] | None = None
    for tag, value in fields:
        if tag == _SYMBOL:
            if entry is not None:
                yield entry
            entry = {}
        if entry is not None:
            entry.setdefault(tag, value.decode("latin-1"))
    if entry is not None:
        yield entry


def _listing(entry: dict[int, str]) -> Listing:
    cfi = entry[461]
    option = cfi.startswith("O")
    right = {"C": Right.CALL, "P": Right.PUT}[cfi[1]] if option else Right.NONE
    style = ExerciseStyle.AMERICAN if option and cfi[2] == "A" else ExerciseStyle.EUROPEAN
    expiry = 0
    if option:
        exact = int(entry.get(5004, "0"))
        expiry = exact or expiry_ns(datetime.strptime(entry[541], "%Y%m%d").date())
    return Listing(
        symbol=entry[_SYMBOL],
        security=SecurityKind.OPTION if option else SecurityKind.EQUITY,
        right=right,
        style=style,
        strike=float(entry.get(202, "0")),
        expiry_ns=expiry,
        multiplier=int(float(entry.get(231, "1"))),
        price_scale=int(entry.get(5003, "2")),
        tick_rule=TickRule(int(entry.get(5002, "0"))),
        venue_index=int(entry.get(5001, "0")),
        underlying=entry.get(311, ""),
    )


def read_page(raw: bytes) -> Page:
    """Read one 35=y message; entries that make no sense are named in ``refused``."""
    fields = parse(raw).fields
    last = any(tag == 893 and value == b"Y" for tag, value in fields)
    request_id = next((value.decode("latin-1") for tag, value in fields if tag == 320), "")
    listings: list[Listing] = []
    refused: list[str] = []
    for entry in _entries(fields):
        try:
            listings.append(_listing(entry))
        except (KeyError, ValueError, IndexError) as e:
            refused.append(f"{entry.get(_SYMBOL, '?')}: {e!r}")
    return Page(listings, refused, last, request_id)
