"""What an operator does at a venue: busts and corrections, halts, news, and looking trades up.

Whatever cannot be done as asked raises an OperatorError and changes nothing. What fails on the way
(log, store) ends the venue, as it does anywhere else.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import structlog

from market.enums import ExecType, Side, TradingStatus
from simulator.errors import CorrectionError, OperatorError, UnknownSymbolError
from simulator.matching import set_status
from simulator.tradelog import TradeLog
from simulator.venue.application import Application
from simulator.venue.clients import Client
from simulator.venue.core import FrameBuffer, VenueCore
from simulator.venue.corrections import ABOUT_TRADES, LoggedTrade, amend_trade, backwards, find_trade
from simulator.venue.settings import FIRST_CLIENT, VenueSettings

log = structlog.get_logger()

_MOST_FRAMES = 1 << 20  # of the log's end that are searched for the last trades
_MAX_TEXT = 200
_KINDS = {
    int(ExecType.TRADE): "trade",
    int(ExecType.TRADE_CORRECT): "correction",
    int(ExecType.TRADE_CANCEL): "bust",
}


class OperatedVenue(Protocol):
    """What operations ask of their venue."""

    settings: VenueSettings
    core: VenueCore
    log: TradeLog
    clients: list[Client]
    application: Application
    symbol_names: list[str]

    @property
    def failed(self) -> bool:
        """Whether it has stopped for good."""

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """One pass over the venue's buffers."""

    def record(self, rows: FrameBuffer) -> None:
        """Log, copy and send reports that no command caused."""

    def publish_books(self) -> None:
        """Publish what changed in the books without a command."""

    def pump(self) -> None:
        """Let go what is due."""

    def book_of(self, symbol: str) -> int:
        """Book of a symbol, -1 if it is not listed here."""

    def price_scale(self, book: int) -> int:
        """Decimals of the prices of a book."""

    def now_ns(self) -> int:
        """Market time."""


class TradeLine(msgspec.Struct, frozen=True):
    """One client's side of a trade, bust or correction, as the log has it."""

    exec_id: str
    kind: str  # trade, correction, bust
    stands: bool  # neither a bust nor taken back by a later one
    client: str
    symbol: str
    side: str
    qty: int
    price: str
    cl_ord_id: str
    match: int
    ref: str  # ExecID of the report that a bust or correction takes back
    time_ns: int  # wall clock, UTC


class Operations:
    """The verbs of one venue's operator; call them between the event loop's turns."""

    def __init__(self, venue: OperatedVenue) -> None:
        self._venue = venue

    # ---------------------------------------------------------------- trades

    def bust(self, exec_id: int) -> None:
        """Take a trade back: both sides are told by ExecType H. Raises CorrectionError where that cannot be."""
        self._amend(exec_id, 0, 0)

    def correct(self, exec_id: int, *, qty: int, ticks: int) -> None:
        """Make a trade one of ``qty`` at ``ticks``: both sides are told by ExecType G. Errors as :meth:`bust`."""
        if qty < 1:
            raise CorrectionError(f"a correction needs a quantity of 1 or more, was {qty}; to take it back, bust it")
        self._amend(exec_id, qty, ticks)

    def trade_of(self, exec_id: int) -> LoggedTrade | None:
        """The trade that an ExecID is a report of, as it now stands; None where there is none."""
        return find_trade(self._venue.log.path, self._venue.log.count, exec_id)

    def _amend(self, exec_id: int, qty: int, ticks: int) -> None:
        venue = self._running()
        with venue.turn():
            rows = amend_trade(
                venue.core, venue.log.path, venue.log.count, exec_id, qty=qty, ticks=ticks, market_ns=venue.now_ns(),
                wall_ns=time.time_ns(),
            )  # fmt: skip
            venue.record(rows)
            told = rows.rows[0]
            venue.application.subscribers.take_amendment(
                int(told["instrument"]), int(told["jseq"]), int(told["last_ticks"]), int(told["last_qty"]),
                busted=qty == 0,
            )  # fmt: skip
        self._running()
        log.warning("trade amended", venue=venue.settings.name, exec_id=f"{exec_id:016X}", qty=qty, ticks=ticks)
        venue.pump()

    def trades(self, most: int) -> list[TradeLine]:
        """The last executions of FIX clients, newest first: at most ``most``, of the end of the log."""
        venue = self._venue
        names = {client.owner: client.settings.comp_id for client in venue.clients}
        found: list[TradeLine] = []
        taken_back: set[int] = set()
        for row in _newest_trades(venue.log.path, venue.log.count):
            kind = int(row["exec_type"])
            ref = int(row["orig_cl_ord_id"]) if kind != ExecType.TRADE else 0
            stands = int(row["exec_id"]) not in taken_back and kind != ExecType.TRADE_CANCEL
            taken_back.add(ref)
            owner = int(row["session"])
            if owner >= FIRST_CLIENT:
                found.append(self._line(row, names.get(owner, str(owner)), stands, ref))
            if len(found) == most:
                break
        return found

    def _line(self, row: Any, client: str, stands: bool, ref: int) -> TradeLine:
        book = int(row["instrument"])
        scale = self._venue.price_scale(book)
        return TradeLine(
            exec_id=f"{int(row['exec_id']):016X}", kind=_KINDS[int(row["exec_type"])], stands=stands, client=client,
            symbol=self._venue.symbol_names[book], side=Side(int(row["side"])).name.lower(), qty=int(row["last_qty"]),
            price=price_text(int(row["last_ticks"]), scale), cl_ord_id=f"{int(row['cl_ord_id']):016X}",
            match=int(row["jseq"]), ref=f"{ref:016X}" if ref else "", time_ns=int(row["recv_ns"]),
        )  # fmt: skip

    # ---------------------------------------------------------------- trading status and news

    def halt(self, symbol: str = "") -> int:
        """Stop trading of one instrument, or of all: cancels only. How many were not halted before."""
        return self._set_status(symbol, TradingStatus.HALTED)

    def reopen(self, symbol: str = "") -> int:
        """Resume trading of one instrument, or of all. How many were not open before."""
        return self._set_status(symbol, TradingStatus.OPEN)

    def _set_status(self, symbol: str, status: TradingStatus) -> int:
        venue = self._running()
        books = range(venue.core.books)
        if symbol:
            book = venue.book_of(symbol)
            if book < 0:
                raise UnknownSymbolError(f"{symbol} is not listed at {venue.settings.name}")
            books = range(book, book + 1)
        changed = [book for book in books if venue.core.arena.books[book]["status"] != status]
        with venue.turn():
            for book in changed:
                set_status(venue.core.arena, book, int(status))
            venue.publish_books()
            venue.application.reference.status_changed(changed)
        self._running()
        log.warning(f"trading status {status.name}", venue=venue.settings.name, symbol=symbol, books=len(changed))
        venue.pump()
        return len(changed)

    def news(self, headline: str, lines: Sequence[str] = (), *, urgent: bool = False) -> int:
        """Send News (35=B) to every client that is logged on; how many those are."""
        venue = self._running()
        for text in (headline, *lines):
            if not 1 <= len(text) <= _MAX_TEXT or not text.isascii() or not text.isprintable():
                raise OperatorError(f"a line of news must be 1..{_MAX_TEXT} printable ASCII characters, was {text!r}")
        told = 0
        with venue.turn():
            told = venue.application.reference.news(headline, lines, urgent=urgent)
        self._running()
        return told

    def _running(self) -> OperatedVenue:
        if self._venue.failed:
            raise OperatorError(f"venue {self._venue.settings.name} has failed and takes nothing any more; see its log")
        return self._venue


def price_text(ticks: int, scale: int) -> str:
    """A price of ``scale`` decimals, exact."""
    whole, rest = divmod(ticks, 10**scale)
    return f"{whole}.{rest:0{scale}d}" if scale else str(whole)


def _newest_trades(path: Path, count: int) -> Iterator[Any]:
    """EXECUTION rows about trades of the log's end, newest first."""
    seen = 0
    for rows in backwards(path, count):
        yield from rows[np.isin(rows["exec_type"], ABOUT_TRADES)][::-1]
        seen += len(rows)
        if seen >= _MOST_FRAMES:
            return
