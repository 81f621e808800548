"""What a venue says of itself and its instruments on request: definition, status, trading session, user.

35=c/d one instrument's definition; e/f its trading status, once or whenever it changes; g/h the
trading session; BE/BF the user. 35=B goes to everybody who is logged on. Subscriptions end with the
connection.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any, Protocol

from fix.messages import Field, Message, utc_timestamp
from market.enums import TradingStatus
from simulator.venue.clients import Client
from simulator.venue.core import VenueCore
from simulator.venue.requests import Reject
from simulator.venue.securities import SecurityList

ALL_SYMBOLS = "*"  #: Symbol(55) of a status request about every instrument
SESSION_ID = "1"  #: TradingSessionID(336): the day's only one
_ALL_BOOKS = -1
_TOLD_AT_ONCE = 64  # statuses a turn of the event loop
_UNKNOWN_SECURITY = 20  # SecurityTradingStatus(326): unknown or invalid


class DefinitionResponse(IntEnum):
    """SecurityResponseType(323) that are given."""

    AS_ASKED = 1
    NO_MATCH = 6


class SessionStatus(IntEnum):
    """TradSesStatus(340)."""

    HALTED = 1
    OPEN = 2
    CLOSED = 3


class UserStatus(IntEnum):
    """UserStatus(926)."""

    LOGGED_IN = 1
    NOT_RECOGNISED = 3
    OTHER = 6


class ReferenceHost(Protocol):
    """What this desk asks of its venue."""

    securities: SecurityList
    core: VenueCore
    clients: list[Client]

    def book_of(self, symbol: str) -> int:
        """Book of a symbol, -1 if it is not listed here."""

    def symbol_of(self, book: int) -> str:
        """Symbol of a book."""

    def now_ns(self) -> int:
        """Market time."""

    def later(self, work: Iterator[None]) -> None:
        """Run ``work`` one piece per turn of the event loop."""


_END = object()


class _Wishes:
    """What one client wants to hear of unasked: request ids by book, _ALL_BOOKS for all of them."""

    def __init__(self) -> None:
        self.statuses: dict[int, str] = {}
        self.session = ""


class ReferenceDesk:
    """Answers c, e, g and BE of one venue, and tells subscribers what changes."""

    def __init__(self, host: ReferenceHost, reject: Reject) -> None:
        self._host = host
        self._reject = reject
        self._wishes: dict[int, _Wishes] = {}
        self._responses = 0
        self._session = SessionStatus.OPEN

    def forget(self, client: Client) -> None:
        """The connection is gone, and what was subscribed on it."""
        self._wishes.pop(client.owner, None)

    # ---------------------------------------------------------------- requests

    def definition(self, client: Client, message: Message) -> None:
        """35=c: the definition of one instrument."""
        symbol, request = message.text(55), message.text(320)
        if not request:
            self._reject(client, message, 5, "SecurityReqID(320) is needed")
            return
        self._responses += 1
        described = self._host.securities.describe(symbol)
        fields: list[Field] = [(320, request), (322, f"D{self._responses}")]
        if described is None:
            fields += [(323, int(DefinitionResponse.NO_MATCH)), (58, f"{symbol or 'no symbol'} is not listed here")]
        else:
            fields += [(323, int(DefinitionResponse.AS_ASKED)), *described]
        client.session.send("d", fields)

    def status(self, client: Client, message: Message) -> None:
        """35=e: status of one instrument, or of all; once, or from now on."""
        kind, symbol, request = message.text(263), message.text(55), message.text(324)
        if kind not in ("0", "1", "2") or not request:
            text = "SecurityStatusReqID(324) and SubscriptionRequestType(263) of 0, 1 or 2 are needed"
            self._reject(client, message, 5, text)
            return
        book = _ALL_BOOKS if symbol == ALL_SYMBOLS else self._host.book_of(symbol)
        if book < 0 and symbol != ALL_SYMBOLS:
            client.session.send("f", [(324, request), (55, symbol or "[N/A]"), (325, "N"), (326, _UNKNOWN_SECURITY)])
            return
        wishes = self._wishes.setdefault(client.owner, _Wishes()).statuses
        if kind == "2":
            wishes.pop(book, None)
            return
        if kind == "1":
            wishes[book] = request
        if book >= 0:
            self._tell(client, book, request, unasked=False)
        else:
            self._host.later(self._tell_all(client, request))

    def _tell_all(self, client: Client, request: str) -> Iterator[None]:
        """What is not open, then one message that says that everything else is."""
        statuses = self._host.core.arena.books["status"]
        for book in range(len(statuses)):
            if statuses[book] != TradingStatus.OPEN and client.session.logged_on:
                self._tell(client, book, request, unasked=False)
                yield
        if client.session.logged_on:
            body: list[Field] = [(324, request), (55, ALL_SYMBOLS), (325, "N"), (326, int(TradingStatus.OPEN))]
            client.session.send("f", body)

    def _tell(self, client: Client, book: int, request: str, *, unasked: bool) -> None:
        row: Any = self._host.core.arena.books[book]
        symbol, status = self._host.symbol_of(book), int(row["status"])
        body: list[Field] = [(324, request), (55, symbol), (325, "Y" if unasked else "N"), (326, status)]
        client.session.send("f", [*body, (60, utc_timestamp(self._host.now_ns()))])

    def session_status(self, client: Client, message: Message) -> None:
        """35=g: the trading session; there is one."""
        kind, request = message.text(263), message.text(335)
        if kind not in ("0", "1", "2") or not request:
            text = "TradSesReqID(335) and SubscriptionRequestType(263) of 0, 1 or 2 are needed"
            self._reject(client, message, 5, text)
            return
        if kind != "0":  # a single question leaves a subscription as it is
            self._wishes.setdefault(client.owner, _Wishes()).session = request if kind == "1" else ""
        if kind != "2":
            client.session.send("h", self._session_body(request, unasked=False))

    def _session_body(self, request: str, *, unasked: bool) -> list[Field]:
        unsolicited = "Y" if unasked else "N"
        return [(335, request), (336, SESSION_ID), (325, unsolicited), (340, int(self._session))]

    def user(self, client: Client, message: Message) -> None:
        """35=BE: the status of the session's own user; nothing else is kept here."""
        name = message.text(553)
        if not name or not message.text(923):
            self._reject(client, message, 5, "UserRequestID(923) and Username(553) are needed")
            return
        if message.text(924) != "4":
            status, text = UserStatus.OTHER, "only UserRequestType(924)=4 is answered here; users log on by Logon"
        elif name == client.settings.comp_id:
            status, text = UserStatus.LOGGED_IN, ""
        else:
            status, text = UserStatus.NOT_RECOGNISED, f"{name} is not this session's user"
        body: list[Field] = [(923, message.text(923)), (553, name), (926, int(status))]
        client.session.send("BF", [*body, (927, text)] if text else body)

    # ---------------------------------------------------------------- unasked

    def status_changed(self, books: Iterable[int]) -> None:
        """Tell subscribers that these books' status is another; of many books, some per turn of the event loop.

        The trading session is halted while no instrument is open.
        """
        work = self._tell_listeners(list(books))
        if next(work, _END) is not _END:
            self._host.later(work)
        some_open = bool((self._host.core.arena.books["status"] == TradingStatus.OPEN).any())
        self.session_changed(SessionStatus.OPEN if some_open else SessionStatus.HALTED)

    def _tell_listeners(self, books: list[int]) -> Iterator[None]:
        for at, book in enumerate(books, 1):
            for client in self._listeners():
                wishes = self._wishes[client.owner].statuses
                request = wishes.get(book) or wishes.get(_ALL_BOOKS)
                if request:
                    self._tell(client, book, request, unasked=True)
            if at % _TOLD_AT_ONCE == 0:
                yield

    def session_changed(self, status: SessionStatus) -> None:
        """Tell subscribers that the trading session is now this, if it was another."""
        if status == self._session:
            return
        self._session = status
        for client in self._listeners():
            request = self._wishes[client.owner].session
            if request:
                client.session.send("h", self._session_body(request, unasked=True))

    def news(self, headline: str, lines: Sequence[str] = (), *, urgent: bool = False) -> int:
        """35=B to everybody who is logged on; how many those are."""
        body: list[Field] = [(61, "1" if urgent else "0"), (148, headline), (33, max(1, len(lines)))]
        body += [(58, line) for line in lines or (headline,)]
        listening = [client for client in self._host.clients if client.session.logged_on]
        for client in listening:
            client.session.send("B", body)
        return len(listening)

    def _listeners(self) -> list[Client]:
        return [c for c in self._host.clients if c.owner in self._wishes and c.session.logged_on]
