"""Market data of any depth by FIX: whole books as W, or what changed in them as X.

The top of the book goes the hot way (publisher.py: two levels, one kernel call for many books). Here
is the rest: MarketDepth(264) = 0 for all levels or N, and incremental refresh by price level. A
subscriber that reads slowly misses intermediate states, never the latest: levels are compared with what
it was told last, not collected. A trade is an entry of type 2 with the match number as MDEntryID(278); a bust
deletes it, a correction changes it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from fix.messages import Field
from market.enums import TradingStatus
from simulator.matching import Arena, depth_levels

BID, OFFER, TRADE = "0", "1", "2"  # MDEntryType(269)
_NEW, _CHANGE, _DELETE = "0", "1", "2"  # MDUpdateAction(279)
_MOST_LEVELS = 1 << 14
_MOST_TRADES = 1_000  # that one subscription may wait to hear of; older ones go

Levels = dict[int, int]


class TapeEntry(NamedTuple):
    """One trade to tell of: a new one, or what has become of one by a bust or a correction."""

    action: str  # MDUpdateAction(279)
    trade_id: int
    ticks: int
    qty: int


class DepthRequest(msgspec.Struct):
    """One book of one client's subscription, and what the client was told of it."""

    request_id: str
    depth: int  # 0: all
    incremental: bool
    bids: bool = True
    offers: bool = True
    trades: bool = False
    once: bool = False
    told: tuple[Levels, Levels] | None = None  # bids and offers, ticks to quantity
    version: int = -1
    status: int = -1
    prints: list[TapeEntry] = msgspec.field(default_factory=list)  # trades to tell


class DepthSubscription:
    """All deep subscriptions of one client, by book."""

    def __init__(self) -> None:
        self.wanted: dict[int, DepthRequest] = {}

    def clear(self) -> None:
        """Forget everything: subscriptions end with the connection."""
        self.wanted.clear()

    @property
    def wants_trades(self) -> bool:
        """Whether any book's trades are to be told."""
        return any(request.trades for request in self.wanted.values())

    def take_prints(self, rows: Any, count: int) -> None:
        """Remember trades (TRADE rows) of the books that are subscribed with trades."""
        for row in rows[:count]:
            request = self.wanted.get(int(row["instrument"]))
            if request is not None and request.trades:
                entry = TapeEntry(_NEW, int(row["trade_id"]), int(row["price_ticks"]), int(row["qty"]))
                _remember(request, entry)

    def take_amendment(self, book: int, trade_id: int, ticks: int, qty: int, *, busted: bool) -> None:
        """Remember that a trade is taken back, or is now ``qty`` at ``ticks``, where trades are subscribed."""
        request = self.wanted.get(book)
        if request is not None and request.trades:
            _remember(request, TapeEntry(_DELETE if busted else _CHANGE, trade_id, ticks, qty))


def _remember(request: DepthRequest, entry: TapeEntry) -> None:
    request.prints.append(entry)
    del request.prints[:-_MOST_TRADES]


class DepthFeed:
    """Makes the messages of deep subscriptions from the books of one venue."""

    def __init__(self, arena: Arena, symbols: list[str], scales: list[int]) -> None:
        self._arena = arena
        self._symbols, self._scales = symbols, scales
        self._ticks = np.zeros(_MOST_LEVELS, np.int64)
        self._quantities = np.zeros(_MOST_LEVELS, np.int64)

    def levels(self, book: int, depth: int) -> tuple[Levels, Levels]:
        """Bids and offers as they stand, best first."""
        most = depth or _MOST_LEVELS
        sides = []
        for is_bid in (True, False):
            count = int(depth_levels(self._arena, book, is_bid, most, self._ticks, self._quantities))
            sides.append(dict(zip(self._ticks[:count].tolist(), self._quantities[:count].tolist(), strict=True)))
        return sides[0], sides[1]

    def messages(self, subscription: DepthSubscription) -> Iterator[tuple[str, list[Field]]]:
        """What the subscriber has not heard yet: MsgType and body, one message a book at most, trades first."""
        versions, statuses = self._arena.books["version"], self._arena.books["status"]
        for book, request in list(subscription.wanted.items()):
            if request.prints:
                yield "X", self._trades(book, request)
            if not (request.bids or request.offers):
                continue
            version, status = int(versions[book]), int(statuses[book])
            if request.told is not None and version == request.version:
                continue
            both = self.levels(book, request.depth)
            levels = both[0] if request.bids else {}, both[1] if request.offers else {}
            if request.told is None or not request.incremental or status != request.status:
                yield "W", self._snapshot(book, request, levels, status)
            else:
                changes = self._changes(book, request.told, levels)
                if changes:
                    yield "X", [(262, request.request_id), (268, len(changes)), *(f for c in changes for f in c)]
            request.told, request.version, request.status = levels, version, status
            if request.once:
                del subscription.wanted[book]

    def _price(self, book: int, ticks: int) -> str:
        scale = self._scales[book]
        whole, decimals = divmod(ticks, 10**scale)
        return f"{whole}.{decimals:0{scale}d}" if scale else str(whole)

    def _snapshot(self, book: int, request: DepthRequest, levels: tuple[Levels, Levels], status: int) -> list[Field]:
        entries: list[list[Field]] = []
        for kind, side in ((BID, levels[0]), (OFFER, levels[1])):
            for position, (ticks, quantity) in enumerate(side.items(), 1):
                entries.append([(269, kind), (270, self._price(book, ticks)), (271, quantity), (290, position)])
        if not entries:  # the group may not be empty: an empty book is one entry of size 0
            kind = BID if request.bids else OFFER
            entries.append([(269, kind), (270, self._price(book, 0)), (271, 0), (290, 1)])
        if status != TradingStatus.OPEN:
            for entry in entries:
                entry.insert(3, (276, "B"))
        head: list[Field] = [(262, request.request_id), (55, self._symbols[book]), (268, len(entries))]
        return [*head, *(field for entry in entries for field in entry)]

    def _changes(self, book: int, before: tuple[Levels, Levels], now: tuple[Levels, Levels]) -> list[list[Field]]:
        """Entries of an X: levels gone first, so that at no point of it a book has more levels than were asked for."""
        symbol = self._symbols[book]
        entries: list[list[Field]] = []
        for kind, old, new in ((BID, before[0], now[0]), (OFFER, before[1], now[1])):
            for ticks in old:
                if ticks not in new:
                    entries.append([(279, _DELETE), (269, kind), (55, symbol), (270, self._price(book, ticks))])
            for ticks, quantity in new.items():
                if old.get(ticks) != quantity:
                    action = _CHANGE if ticks in old else _NEW
                    price = self._price(book, ticks)
                    entries.append([(279, action), (269, kind), (55, symbol), (270, price), (271, quantity)])
        return entries

    def _trades(self, book: int, request: DepthRequest) -> list[Field]:
        prints, request.prints = request.prints, []
        fields: list[Field] = [(262, request.request_id), (268, len(prints))]
        for action, trade_id, ticks, quantity in prints:
            fields += [(279, action), (269, TRADE), (278, f"{trade_id:016X}"), (55, self._symbols[book])]
            fields += [(270, self._price(book, ticks)), (271, quantity)]
        return fields
