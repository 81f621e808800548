"""Mass quotes in, their acknowledgements, quote cancels: i, b and Z as structures. Cold, plain Python.

Nested groups are read by position (a set opens with QuoteSetID, an entry with QuoteEntryID), so no
dictionary is needed. Prices stay text: whoever knows the instrument's scale turns them into ticks.
Sending an i is hot and therefore a kernel, ``encode_mass_quote.py``.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from fix.errors import GarbledMessageError
from fix.messages import TRAILER_TAGS, Field, Message, parse_int

SET_ID, ENTRY_ID, NO_SETS, NO_ENTRIES, TOTAL_ENTRIES = 302, 299, 296, 295, 304
SYMBOL, UNDERLYING, QUOTE_ID, STATUS, LEVEL = 55, 311, 117, 297, 301
BID, OFFER, BID_SIZE, OFFER_SIZE, LAST_FRAGMENT = 132, 133, 134, 135, 893
CANCEL_TYPE, REJECT_REASON, ENTRY_REJECT_REASON, TEXT = 298, 300, 368, 58
_DEFAULT_BID_SIZE, _DEFAULT_OFFER_SIZE = 293, 294


class ResponseLevel(IntEnum):
    """QuoteResponseLevel(301): what of a mass quote is acknowledged."""

    NONE = 0
    REFUSALS = 1
    ALL = 2


class QuoteStatus(IntEnum):
    """QuoteStatus(297) of FIX.4.4, as far as acknowledgements use it."""

    ACCEPTED = 0
    CANCELED_FOR_SYMBOLS = 1
    CANCELED_FOR_UNDERLYING = 3
    CANCELED_ALL = 4
    REJECTED = 5
    NOT_FOUND = 9


class QuoteCancelType(IntEnum):
    """QuoteCancelType(298); SINGLE_QUOTE came with FIX.5.0 SP1 and is taken in every version."""

    SYMBOLS = 1
    UNDERLYING = 3
    ALL = 4
    SINGLE_QUOTE = 5


class QuoteRejectReason(IntEnum):
    """QuoteRejectReason(300) and QuoteEntryRejectReason(368); 0 is ours: taken."""

    TAKEN = 0
    UNKNOWN_SYMBOL = 1
    CLOSED = 2
    EXCEEDS_LIMIT = 3
    TOO_LATE = 4
    UNKNOWN_QUOTE = 5
    DUPLICATE = 6
    INVALID_SPREAD = 7
    INVALID_PRICE = 8
    NOT_AUTHORIZED = 9
    OTHER = 99


class QuoteEntry(msgspec.Struct):
    """One entry of a set; prices as text, None where the message has none; sizes None likewise."""

    entry_id: str
    symbol: str = ""
    bid: str | None = None
    offer: str | None = None
    bid_size: str | None = None
    offer_size: str | None = None
    reject_reason: int = 0


class QuoteSet(msgspec.Struct):
    """One quote set: its name, underlying and entries; ``total`` of all messages of this quote."""

    set_id: str
    underlying: str = ""
    total: int = 0
    last_fragment: bool = True
    entries: list[QuoteEntry] = msgspec.field(default_factory=list)


class MassQuote(msgspec.Struct):
    """A 35=i or 35=b: the sets, and of a b its status, reason and text."""

    quote_id: str
    level: int = 0
    sets: list[QuoteSet] = msgspec.field(default_factory=list)
    status: int = 0
    reject_reason: int = 0
    text: str = ""

    @property
    def entries(self) -> list[QuoteEntry]:
        """Entries of all sets, in wire order."""
        return [entry for group in self.sets for entry in group.entries]


class QuoteCancel(msgspec.Struct):
    """A 35=Z: which quotes to take out of the market."""

    quote_id: str
    kind: int
    level: int = 0
    symbols: list[str] = msgspec.field(default_factory=list)


_ENTRY_FIELDS = {SYMBOL: "symbol", BID: "bid", OFFER: "offer", BID_SIZE: "bid_size", OFFER_SIZE: "offer_size"}


def read_mass_quote(message: Message) -> MassQuote:
    """Structure of a MassQuote (i) or MassQuoteAcknowledgement (b).

    Raises
    ------
    GarbledMessageError
        A group does not have as many members as it says, or a count is no number.
    """
    quote = MassQuote(message.text(QUOTE_ID), level=message.integer(LEVEL) or 0)
    quote.status, quote.text = message.integer(STATUS) or 0, message.text(TEXT)
    quote.reject_reason = message.integer(REJECT_REASON) or 0
    counts: list[tuple[str, int, QuoteSet | None]] = []
    for tag, raw in message.fields:
        if tag in TRAILER_TAGS:
            break
        value = raw.decode("latin-1")
        if tag == NO_SETS:
            counts.append((f"NoQuoteSets({NO_SETS})", _count(tag, raw), None))
        elif tag == SET_ID:
            quote.sets.append(QuoteSet(value))
        elif quote.sets:
            _read_set_field(quote.sets[-1], tag, value, raw, counts)
    for name, stated, group in counts:
        found = len(quote.sets) if group is None else len(group.entries)
        if found != stated:
            raise GarbledMessageError(f"{name} is {stated}, the message has {found}")
    bid_size, offer_size = message.get(_DEFAULT_BID_SIZE), message.get(_DEFAULT_OFFER_SIZE)
    for entry in quote.entries if bid_size or offer_size else ():
        if entry.bid_size is None and bid_size and entry.bid is not None:
            entry.bid_size = bid_size.decode("latin-1")
        if entry.offer_size is None and offer_size and entry.offer is not None:
            entry.offer_size = offer_size.decode("latin-1")
    return quote


read_mass_quote_ack = read_mass_quote


def _read_set_field(
    group: QuoteSet, tag: int, value: str, raw: bytes, counts: list[tuple[str, int, QuoteSet | None]]
) -> None:
    if tag == ENTRY_ID:
        group.entries.append(QuoteEntry(value))
    elif tag == NO_ENTRIES:
        counts.append((f"NoQuoteEntries({NO_ENTRIES}) of set {group.set_id}", _count(tag, raw), group))
    elif not group.entries:
        if tag == UNDERLYING:
            group.underlying = value
        elif tag == TOTAL_ENTRIES:
            group.total = _count(tag, raw)
        elif tag == LAST_FRAGMENT:
            group.last_fragment = value == "Y"
    elif tag == ENTRY_REJECT_REASON:
        group.entries[-1].reject_reason = _count(tag, raw)
    elif tag in _ENTRY_FIELDS:
        setattr(group.entries[-1], _ENTRY_FIELDS[tag], value)


def _count(tag: int, raw: bytes) -> int:
    number = parse_int(raw)
    if number is None or number < 0:
        raise GarbledMessageError(f"tag {tag} must be a number >= 0, was {raw.decode('latin-1')!r}")
    return number


def read_quote_cancel(message: Message) -> QuoteCancel:
    """Structure of a QuoteCancel (Z).

    Raises
    ------
    GarbledMessageError
        QuoteCancelType is missing or no number, or NoQuoteEntries is not the number of symbols.
    """
    kind = message.integer(CANCEL_TYPE)
    if kind is None:
        raise GarbledMessageError(f"QuoteCancelType({CANCEL_TYPE}) is missing or no number")
    symbols = [entry[SYMBOL].decode("latin-1") for entry in message.groups(NO_ENTRIES, SYMBOL)]
    stated = message.integer(NO_ENTRIES)
    if (stated or 0) != len(symbols):
        raise GarbledMessageError(f"NoQuoteEntries({NO_ENTRIES}) is {stated}, the message has {len(symbols)}")
    return QuoteCancel(message.text(QUOTE_ID), kind, message.integer(LEVEL) or 0, symbols)


def quote_cancel(
    quote_id: str, kind: QuoteCancelType, symbols: Sequence[str] = (), level: ResponseLevel = ResponseLevel.ALL
) -> list[Field]:
    """Body of a QuoteCancel (Z): everything, the series ``symbols``, or the quote ``quote_id`` alone."""
    fields: list[Field] = [(QUOTE_ID, quote_id), (CANCEL_TYPE, int(kind)), (LEVEL, int(level))]
    if symbols:
        fields += [(NO_ENTRIES, len(symbols)), *((SYMBOL, symbol) for symbol in symbols)]
    return fields


def mass_quote_ack(
    quote_id: str,
    status: QuoteStatus,
    *,
    level: int = 0,
    reason: int = 0,
    text: str = "",
    sets: Iterable[QuoteSet] = (),
) -> list[Field]:
    """Body of a MassQuoteAcknowledgement (b); ``sets`` hold the entries that it names, with their reasons."""
    fields: list[Field] = [(QUOTE_ID, quote_id), (STATUS, int(status))]
    if reason:
        fields.append((REJECT_REASON, int(reason)))
    fields.append((LEVEL, level))
    if text:
        fields.append((TEXT, text))
    named = [group for group in sets if group.entries or group.total]
    if named:
        fields.append((NO_SETS, len(named)))
    for group in named:
        fields.append((SET_ID, group.set_id))
        if group.underlying:
            fields.append((UNDERLYING, group.underlying))
        fields += [(TOTAL_ENTRIES, group.total), (LAST_FRAGMENT, "Y" if group.last_fragment else "N")]
        if group.entries:
            fields.append((NO_ENTRIES, len(group.entries)))
        for entry in group.entries:
            fields += [(ENTRY_ID, entry.entry_id), (SYMBOL, entry.symbol)]
            if entry.reject_reason:
                fields.append((ENTRY_REJECT_REASON, entry.reject_reason))
    return fields
