"""Requests whose answer depends on the books: mass quotes, quote cancels, order status.

Such a request becomes frames that take their place in the order of commands, delay included. Each
frame carries the number of its *ticket*; what became of it is told to the ticket, which makes the
answer when the last one is through. The answer goes out behind the reports that the request caused,
through the same delay, as a frame that carries the ticket's number and is turned into text when it is due.
"""

from collections.abc import Callable
from typing import Any, Protocol

from fix.messages import Field, Message
from market import records
from market.enums import FrameKind, OrderAction
from market.ids import WIRE_LENGTH
from simulator.venue.clients import Client
from simulator.venue.core import FrameBuffer

Answer = tuple[str, list[Field]]

_HEX_DIGITS = frozenset("0123456789ABCDEF")


class Ticket(Protocol):
    """One request under way."""

    client: Client

    def outcome(self, row: Any) -> None:
        """What became of one of its commands (QUOTE_ENTRY row, after the books have seen it)."""

    def answer(self) -> Answer | None:
        """MsgType and body of the answer; None where none was wanted."""


class Tickets:
    """All requests of one venue that have no answer yet."""

    def __init__(self) -> None:
        self._open: dict[int, Ticket] = {}
        self._answers: dict[int, Answer] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._answers)

    def frames(self, ticket: Ticket, action: OrderAction, count: int) -> FrameBuffer:
        """``count`` QUOTE_ENTRY frames of a new ticket, headed and owned; the caller fills the rest."""
        self._last = self._last % 0x7FFF_FFFF + 1
        self._open[self._last] = ticket
        buffer = FrameBuffer(records.QUOTE_ENTRY, count)
        rows = buffer.rows
        rows["kind"], rows["action"] = FrameKind.ORDER, action
        rows["owner"] = rows["session"] = ticket.client.owner
        rows["ticket"] = self._last
        rows["last_entry"][-1] = 1
        return buffer

    def settle(self, row: Any) -> bool:
        """Tell a ticket what became of ``row`` (QUOTE_ENTRY); whether an answer is now to be sent."""
        number = int(row["ticket"])
        ticket = self._open.get(number)
        if ticket is None:
            return False
        ticket.outcome(row)
        if not row["last_entry"]:
            return False
        del self._open[number]
        answer = ticket.answer()
        if answer is None:
            return False
        self._answers[number] = answer
        return True

    def take_answer(self, number: int) -> Answer | None:
        """The answer of a ticket, once."""
        return self._answers.pop(number, None)


class RequestDesk(Protocol):
    """What the makers of tickets ask of their venue."""

    tickets: Tickets

    def book_of(self, symbol: str) -> int:
        """Book of a symbol, -1 if it is not listed here."""

    def books_of_underlying(self, symbol: str) -> list[int]:
        """Books whose instrument has this underlying."""

    def submit(self, frames: FrameBuffer) -> None:
        """Queue commands behind all that came before."""

    def price_scale(self, book: int) -> int:
        """Decimals of the prices of a book."""


Reject = Callable[[Client, Message, int, str], None]


def wire_id(value: bytes | str | None) -> int | None:
    """An id of 16 upper-case hex digits, not all zero; None for any other: reports could not carry it back."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if text is None or len(text) != WIRE_LENGTH or not _HEX_DIGITS.issuperset(text):
        return None
    return int(text, 16) or None


def ticks_of(text: str | None, scale: int) -> int | None:
    """A price's text in units of ``10**-scale``; None where it is none, or finer than that."""
    if not text:
        return None
    whole, _, decimals = text.partition(".")
    rest = decimals[scale:]
    if not (whole + decimals).isascii() or not (whole + decimals).isdigit() or rest.strip("0") or len(text) > 24:
        return None
    return int(whole + decimals[:scale].ljust(scale, "0") or "0")


def quantity_of(text: str | None) -> int | None:
    """A quantity's text, absent is 0; None where it is none."""
    if not text:
        return 0
    whole, _, decimals = text.partition(".")
    if not whole.isascii() or not whole.isdigit() or decimals.strip("0") or len(text) > 24:
        return None
    return int(whole)
