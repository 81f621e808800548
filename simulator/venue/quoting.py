"""Mass quotes at the venue: 35=i taken entry by entry, 35=Z, and the acknowledgement 35=b of both."""

from typing import Any

from fix.codec.quotes import (
    MassQuote,
    QuoteCancel,
    QuoteCancelType,
    QuoteEntry,
    QuoteRejectReason,
    QuoteSet,
    QuoteStatus,
    ResponseLevel,
    mass_quote_ack,
    read_mass_quote,
    read_quote_cancel,
)
from fix.errors import GarbledMessageError
from fix.messages import Message
from market.enums import OrderAction
from market.records import NO_INSTRUMENT
from simulator.matching import MAX_ORDER_QTY
from simulator.venue.clients import Client
from simulator.venue.requests import Answer, Reject, RequestDesk, quantity_of, ticks_of, wire_id

MAX_ENTRIES = 1_000  #: of one message, all sets together
_MAX_ENTRY_ID_DIGITS = 18
_CANCELED = {
    QuoteCancelType.SYMBOLS: QuoteStatus.CANCELED_FOR_SYMBOLS,
    QuoteCancelType.UNDERLYING: QuoteStatus.CANCELED_FOR_UNDERLYING,
    QuoteCancelType.ALL: QuoteStatus.CANCELED_ALL,
    QuoteCancelType.SINGLE_QUOTE: QuoteStatus.CANCELED_FOR_SYMBOLS,
}
_OTHER = int(QuoteRejectReason.OTHER)


class QuoteTicket:
    """A mass quote under way: which entries were refused so far."""

    def __init__(self, client: Client, quote: MassQuote) -> None:
        self.client = client
        self.quote = quote
        self._entries = quote.entries
        self.refused = 0

    def outcome(self, row: Any) -> None:
        """Note a refused entry; ``set_id`` of the row is the entry's place in the message."""
        if row["reason"]:
            self._entries[int(row["set_id"])].reject_reason = int(row["reason"])
            self.refused += 1

    def answer(self) -> Answer | None:
        """The acknowledgement, where the message asked for one."""
        level = self.quote.level
        if level == ResponseLevel.NONE or (level == ResponseLevel.REFUSALS and not self.refused):
            return None
        nothing = self.refused == len(self._entries)
        status = QuoteStatus.REJECTED if nothing else QuoteStatus.ACCEPTED
        reason = self._entries[0].reject_reason if nothing else 0
        return "b", mass_quote_ack(
            self.quote.quote_id, status, level=level, reason=reason, sets=_refused_of(self.quote.sets)
        )


def _refused_of(sets: list[QuoteSet]) -> list[QuoteSet]:
    """The sets with their refused entries only."""
    found = []
    for group in sets:
        refused = [entry for entry in group.entries if entry.reject_reason]
        if refused:
            total = group.total or len(group.entries)
            found.append(QuoteSet(group.set_id, group.underlying, total, group.last_fragment, refused))
    return found


class CancelTicket:
    """A quote cancel under way: how many sides it has ended so far."""

    def __init__(self, client: Client, cancel: QuoteCancel) -> None:
        self.client = client
        self.cancel = cancel
        self.ended = 0

    def outcome(self, row: Any) -> None:
        """``bid_qty`` of the row is the number of sides that this command ended."""
        self.ended += int(row["bid_qty"])

    def answer(self) -> Answer | None:
        """The acknowledgement, where the message asked for one."""
        kind = QuoteCancelType(self.cancel.kind)
        status = _CANCELED[kind]
        if kind is QuoteCancelType.SINGLE_QUOTE and not self.ended:
            status = QuoteStatus.NOT_FOUND
        level = self.cancel.level
        if level == ResponseLevel.NONE or (level == ResponseLevel.REFUSALS and status is not QuoteStatus.NOT_FOUND):
            return None
        text = f"{self.ended} quote sides canceled"
        return "b", mass_quote_ack(self.cancel.quote_id, status, level=level, text=text)


class QuoteDesk:
    """Turns i and Z into commands."""

    def __init__(self, desk: RequestDesk, reject: Reject) -> None:
        self._desk = desk
        self._reject = reject

    def mass_quote(self, client: Client, message: Message) -> None:
        """35=i."""
        try:
            quote = read_mass_quote(message)
        except GarbledMessageError as error:
            self._reject(client, message, 5, str(error))
            return
        fault = self._fault(quote, message)
        if fault:
            self._refuse(client, quote.quote_id, quote.level, fault)
            return
        entries = quote.entries
        buffer = self._desk.tickets.frames(QuoteTicket(client, quote), OrderAction.QUOTE, len(entries))
        number = wire_id(quote.quote_id)
        for place, entry in enumerate(entries):
            row = buffer.rows[place]
            row["quote_id"], row["set_id"], row["msg_seq"] = number, place, message.seq or 0
            self._fill(row, entry)
        self._desk.submit(buffer)

    def _fault(self, quote: MassQuote, message: Message) -> str:
        """Why the message as a whole cannot be taken; empty if it can."""
        count = len(quote.entries)
        if message.flag(43):
            return "stale mass quote (PossDupFlag=Y): never entered late"
        if wire_id(quote.quote_id) is None:
            return "QuoteID(117) must be 16 hex digits (0-9, A-F), not all zero"
        if not 1 <= count <= MAX_ENTRIES:
            return f"a mass quote must have 1..{MAX_ENTRIES} entries, this one has {count}"
        if quote.level not in tuple(ResponseLevel):
            return f"QuoteResponseLevel(301) must be 0, 1 or 2, was {quote.level}"
        return ""

    def _fill(self, row: Any, entry: QuoteEntry) -> None:
        """Terms of one entry; ``reason`` where they cannot be read."""
        book = self._desk.book_of(entry.symbol)
        if book < 0:
            row["instrument"], row["reason"] = NO_INSTRUMENT, QuoteRejectReason.UNKNOWN_SYMBOL
            return
        row["instrument"] = book
        bid_qty, ask_qty = quantity_of(entry.bid_size), quantity_of(entry.offer_size)
        entry_id = entry.entry_id
        readable = entry_id.isascii() and entry_id.isdigit() and len(entry_id) <= _MAX_ENTRY_ID_DIGITS
        if bid_qty is None or ask_qty is None or max(bid_qty, ask_qty) > MAX_ORDER_QTY or not readable:
            row["reason"] = _OTHER
            return
        scale = self._desk.price_scale(book)
        for side, qty, text in (("bid", bid_qty, entry.bid), ("ask", ask_qty, entry.offer)):
            ticks = ticks_of(text, scale) if qty else 0
            if ticks is None or ticks >= 1 << 62:
                row["reason"] = QuoteRejectReason.INVALID_PRICE
                return
            row[f"{side}_ticks"], row[f"{side}_qty"] = ticks, qty
        row["entry_id"] = int(entry_id)

    def quote_cancel(self, client: Client, message: Message) -> None:
        """35=Z."""
        try:
            cancel = read_quote_cancel(message)
        except GarbledMessageError as error:
            self._reject(client, message, 5, str(error))
            return
        targets = self._targets(cancel, message)
        if isinstance(targets, str):
            self._refuse(client, cancel.quote_id, cancel.level, targets)
            return
        buffer = self._desk.tickets.frames(CancelTicket(client, cancel), OrderAction.QUOTE_CANCEL, len(targets))
        buffer.rows["instrument"] = targets
        if cancel.kind == QuoteCancelType.SINGLE_QUOTE:
            buffer.rows["entry_id"] = wire_id(cancel.quote_id)  # seen by the books as OrigClOrdID
        self._desk.submit(buffer)

    def _targets(self, cancel: QuoteCancel, message: Message) -> list[int] | str:
        """Books to cancel in, or why not."""
        if message.flag(43):
            return "stale quote cancel (PossDupFlag=Y); send it anew"
        if cancel.kind == QuoteCancelType.SYMBOLS:
            books = [self._desk.book_of(symbol) for symbol in cancel.symbols]
            if not books:
                return "QuoteCancelType(298)=1 needs NoQuoteEntries(295) and a Symbol(55) each"
            if min(books) < 0:
                return f"{cancel.symbols[books.index(-1)]} is not listed here"
            return books
        if cancel.kind == QuoteCancelType.UNDERLYING:
            underlying = message.text(311) or message.text(55)
            return self._desk.books_of_underlying(underlying) or f"no instrument of {underlying or 'nothing'} here"
        if cancel.kind == QuoteCancelType.SINGLE_QUOTE and wire_id(cancel.quote_id) is None:
            return "QuoteID(117) must be 16 hex digits (0-9, A-F), not all zero"
        if cancel.kind in (QuoteCancelType.ALL, QuoteCancelType.SINGLE_QUOTE):
            return [NO_INSTRUMENT]
        return f"QuoteCancelType(298) must be 1, 3, 4 or 5, was {cancel.kind}"

    @staticmethod
    def _refuse(client: Client, quote_id: str, level: int, text: str) -> None:
        """A message refused whole is answered whatever level it asked for: silence would look like success."""
        body = mass_quote_ack(quote_id or "NONE", QuoteStatus.REJECTED, level=level, reason=_OTHER, text=text)
        client.session.send("b", body)
