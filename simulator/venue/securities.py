"""The security list (35=x in, 35=y out): what this venue lists, in pages of one message each.

Standard fields as far as FIX.4.4 has them; what it has not, because the expiry's instant and our
tick tables are unknown to it, goes into the user range 5001..5005.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import IntEnum
from typing import Any

from market.calendar import NEW_YORK
from market.enums import ExerciseStyle, Right, SecurityKind

PAGE_ENTRIES = 100  #: instruments per message: about 15 kB

Field = tuple[int, str | bytes | int]


class UserTag(IntEnum):
    """Fields of our own in a SecurityList entry."""

    VENUE_INDEX = 5001  # number of the instrument in the venue's ring
    TICK_RULE = 5002  # market.instruments.TickRule
    PRICE_SCALE = 5003  # decimals of a price
    EXPIRY_NS = 5004  # instant of expiry, UTC nanoseconds
    STYLE = 5005  # market.enums.ExerciseStyle


class RequestType(IntEnum):
    """SecurityListRequestType(559) that are answered."""

    SYMBOL = 0
    ALL = 4


class RequestResult(IntEnum):
    """SecurityRequestResult(560)."""

    VALID = 0
    INVALID = 1
    NOT_FOUND = 2


def cfi_code(row: Any) -> str:
    """CFICode(461): equity, or option by right and exercise style; X is "not specified"."""
    if int(row["security"]) == SecurityKind.EQUITY:
        return "ESXXXX"
    right = "C" if int(row["right"]) == Right.CALL else "P"
    style = "E" if int(row["style"]) == ExerciseStyle.EUROPEAN else "A"
    return f"O{right}{style}XXS"


def entry(book: int, row: Any, underlying: str) -> list[Field]:
    """One entry of NoRelatedSym(146), opened by Symbol(55)."""
    fields: list[Field] = [(55, bytes(row["symbol"]).rstrip(b"\0")), (461, cfi_code(row))]
    if int(row["security"]) == SecurityKind.OPTION:
        day = datetime.fromtimestamp(int(row["expiry_ns"]) // 1_000_000_000, NEW_YORK).strftime("%Y%m%d")
        fields += [(541, day), (202, f"{float(row['strike']):.10g}")]
    fields.append((231, int(row["multiplier"])))
    fields += [
        (UserTag.VENUE_INDEX, book),
        (UserTag.TICK_RULE, int(row["tick_rule"])),
        (UserTag.PRICE_SCALE, int(row["price_scale"])),
        (UserTag.EXPIRY_NS, int(row["expiry_ns"])),
        (UserTag.STYLE, int(row["style"])),
    ]
    if int(row["security"]) == SecurityKind.OPTION:
        fields += [(711, 1), (311, underlying)]
    return fields


class SecurityList:
    """Answers to SecurityListRequest; ``instruments`` INSTRUMENT rows by book, ``underlyings`` symbols by book."""

    def __init__(self, instruments: Any, underlyings: list[str]) -> None:
        self._instruments = instruments
        self._underlyings = underlyings
        self._books = {bytes(row["symbol"]).rstrip(b"\0").decode(): book for book, row in enumerate(instruments)}
        self._pages: list[tuple[int, list[Field]]] | None = None

    def answer(self, request_id: str, response_id: str, request_type: int | None, symbol: str) -> Iterator[list[Field]]:
        """Bodies of the SecurityList messages that answer one request, in order."""
        head: list[Field] = [(320, request_id), (322, response_id)]
        if request_type == RequestType.SYMBOL:
            book = self._books.get(symbol)
            if book is None:
                yield [*head, (560, RequestResult.NOT_FOUND)]
                return
            one = entry(book, self._instruments[book], self._underlyings[book])
            yield [*head, (560, RequestResult.VALID), (393, 1), (893, "Y"), (146, 1), *one]
            return
        if request_type != RequestType.ALL:
            yield [*head, (560, RequestResult.INVALID)]
            return
        pages = self._all_pages()
        for number, (count, page) in enumerate(pages, 1):
            last = "Y" if number == len(pages) else "N"
            yield [*head, (560, RequestResult.VALID), (393, len(self._instruments)), (893, last), (146, count), *page]

    def describe(self, symbol: str) -> list[Field] | None:
        """Definition of one instrument, as an entry of the list has it; None where it is not listed."""
        book = self._books.get(symbol)
        return None if book is None else entry(book, self._instruments[book], self._underlyings[book])

    def _all_pages(self) -> list[tuple[int, list[Field]]]:
        if self._pages is None:
            self._pages = []
            for first in range(0, len(self._instruments), PAGE_ENTRIES):
                books = range(first, min(first + PAGE_ENTRIES, len(self._instruments)))
                page = [f for b in books for f in entry(b, self._instruments[b], self._underlyings[b])]
                self._pages.append((len(books), page))
        return self._pages
