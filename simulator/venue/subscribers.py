"""Market data of one venue by FIX: who wants what, and sending it. V in; W, X and Y out.

The top of the book (MarketDepth(264) 1, or 2: two levels a side) as snapshots goes the hot way. With
incremental refresh, depth 1 is told by an X that replaces both sides whenever one has changed; everything
deeper, and trades, by price level (depth.py). A subscriber that does not read waits, and then hears
the latest only.
"""

from enum import IntEnum
from typing import Any, Protocol

import numpy as np

from fix.codec.link import MAX_MD_REQ_ID_BYTES
from fix.messages import Field, Message
from market import records
from simulator.venue.clients import Client
from simulator.venue.core import FrameBuffer, VenueCore
from simulator.venue.depth import BID, OFFER, TRADE, DepthFeed, DepthRequest
from simulator.venue.publisher import MarketDataPublisher
from simulator.venue.requests import Reject

_SLOW_CONSUMER_BYTES = 1 << 20  # market data waits (and conflates) while a client has this much unsent
_BATCH = 1 << 12
_FIELD_MISSING = 5  # BusinessRejectReason(380)
_UNKNOWN_SYMBOL = 0  # MDReqRejReason(281)
_UNSUPPORTED_SUBSCRIPTION = 4
_UNSUPPORTED_DEPTH = 5
_UNSUPPORTED_UPDATE = 6
_UNSUPPORTED_ENTRY_TYPE = 8
_TOP_LEVELS = 2  # what the hot way has


class SubscriptionRequest(IntEnum):
    """SubscriptionRequestType(263)."""

    SNAPSHOT = 0
    SUBSCRIBE = 1
    UNSUBSCRIBE = 2


class DataHost(Protocol):
    """What this desk asks of its venue."""

    core: VenueCore
    clients: list[Client]
    publisher: MarketDataPublisher
    symbol_names: list[str]
    price_scales: list[int]

    def book_of(self, symbol: str) -> int:
        """Book of a symbol, -1 if it is not listed here."""


def _entry_types(message: Message) -> set[str]:
    """MDEntryTypes(269) that are asked for."""
    return {entry[269].decode("latin-1") for entry in message.groups(267, 269)}


def _refusal(message: Message) -> tuple[int, str] | None:
    """MDReqRejReason(281) and text of what is wrong with a V, whatever it is about; None: nothing."""
    kind, update, types = message.integer(263), message.text(265, "0"), _entry_types(message)
    if kind not in tuple(SubscriptionRequest):
        return _UNSUPPORTED_SUBSCRIPTION, f"SubscriptionRequestType(263) must be 0, 1 or 2, was {message.text(263)}"
    if kind == SubscriptionRequest.UNSUBSCRIBE:
        return None
    if update not in ("0", "1"):
        return _UNSUPPORTED_UPDATE, f"MDUpdateType(265) must be 0 or 1, was {update}"
    depth = message.integer(264) if 264 in message else 1
    if depth is None or depth < 0:
        text = f"MarketDepth(264) must be 0 (all) or a number of levels, was {message.text(264)}"
        return _UNSUPPORTED_DEPTH, text
    if not types or not types <= {BID, OFFER, TRADE}:
        text = f"MDEntryType(269) must be {BID}, {OFFER} or {TRADE}, was {', '.join(sorted(types)) or 'missing'}"
        return _UNSUPPORTED_ENTRY_TYPE, text
    if kind == SubscriptionRequest.SNAPSHOT and types == {TRADE}:
        return _UNSUPPORTED_ENTRY_TYPE, "past trades are not kept here: subscribe (263=1) to hear of the next ones"
    return None


def _depth_request(message: Message, request: str) -> DepthRequest:
    """What a V that is not refused asks for."""
    types, once = _entry_types(message), message.integer(263) == SubscriptionRequest.SNAPSHOT
    depth = message.integer(264)
    return DepthRequest(
        request, 1 if depth is None else depth, incremental=message.text(265) == "1" and not once,
        bids=BID in types, offers=OFFER in types, trades=TRADE in types, once=once,
    )  # fmt: skip


def _is_hot(wanted: DepthRequest) -> bool:
    """Whether the hot way has it: both sides of the top, and of increments one level."""
    deepest = 1 if wanted.incremental else _TOP_LEVELS
    return wanted.bids and wanted.offers and not wanted.trades and 1 <= wanted.depth <= deepest


class SubscriberDesk:
    """All FIX market data subscriptions of one venue."""

    def __init__(self, host: DataHost, reject: Reject) -> None:
        self._host = host
        self._reject = reject
        self.feed = DepthFeed(host.core.arena, host.symbol_names, host.price_scales)
        self.out = FrameBuffer(records.QUOTE, _BATCH)

    # ---------------------------------------------------------------- requests

    def request(self, client: Client, message: Message) -> None:
        """35=V."""
        request = message.text(262)
        if not 1 <= len(request) <= MAX_MD_REQ_ID_BYTES or not request.isascii() or not request.isprintable():
            text = f"MDReqID(262) must be 1..{MAX_MD_REQ_ID_BYTES} printable ASCII characters"
            self._reject(client, message, _FIELD_MISSING, text)
            return
        symbols = [entry[55].decode("latin-1") for entry in message.groups(146, 55)]
        books = [self._host.book_of(symbol) for symbol in symbols]
        refusal = _refusal(message)
        if refusal is None and (not books or min(books) < 0):
            unknown = symbols[books.index(-1)] if books else "no symbol"
            refusal = _UNKNOWN_SYMBOL, f"{unknown} is not listed here"
        if refusal is not None:
            client.session.send("Y", [(262, request), (281, refusal[0]), (58, refusal[1])])
            return
        self._forget(client, books)
        if message.integer(263) == SubscriptionRequest.UNSUBSCRIBE:
            return
        wanted = _depth_request(message, request)
        if not _is_hot(wanted):
            for book in books:
                client.depth.wanted[book] = _depth_request(message, request)
        else:
            self._subscribe_top(client, books, wanted)
        self.serve_client(client)

    @staticmethod
    def _forget(client: Client, books: list[int]) -> None:
        """A new request for a book replaces the one before."""
        client.subscription.wanted[books] = 0
        for book in books:
            client.depth.wanted.pop(book, None)

    @staticmethod
    def _subscribe_top(client: Client, books: list[int], wanted: DepthRequest) -> None:
        subscription = client.subscription
        subscription.incremental[books] = wanted.incremental
        subscription.wanted[books] = not wanted.once
        subscription.first[books] = 1
        subscription.top_only[books] = wanted.depth == 1
        subscription.request_of[books] = subscription.number_of(wanted.request_id)
        subscription.pending[books] = 1
        subscription.pending_count = int(subscription.pending.sum())

    # ---------------------------------------------------------------- sending

    def take_prints(self, prints: FrameBuffer, count: int) -> None:
        """Remember trades for those who want to hear of them."""
        for client in self._host.clients if count else ():
            if client.depth.wanted and client.depth.wants_trades:
                client.depth.take_prints(prints.rows, count)

    def take_amendment(self, book: int, trade_id: int, ticks: int, qty: int, *, busted: bool) -> None:
        """A trade that was told is taken back, or is now another."""
        for client in self._host.clients:
            client.depth.take_amendment(book, trade_id, ticks, qty, busted=busted)

    def serve(self) -> None:
        """Send every subscriber what it has not heard yet."""
        for client in self._host.clients:
            self.serve_client(client)

    def serve_client(self, client: Client) -> None:
        """Send one subscriber what it has not heard yet, unless it has too much unsent."""
        subscription = client.subscription
        if not client.session.logged_on or (subscription.pending_count <= 0 and not client.depth.wanted):
            return
        if client.session.backlog_bytes > _SLOW_CONSUMER_BYTES:
            return
        if subscription.pending_count > 0:
            count = self._host.publisher.drain(subscription, self._host.publisher.quotes, self.out)
            self._send_quotes(client, count)
        for msg_type, body in self.feed.messages(client.depth):
            client.session.send(msg_type, body)

    def _send_quotes(self, client: Client, count: int) -> None:
        rows, subscription = self.out.rows[:count], client.subscription
        books = rows["instrument"]
        top_only = subscription.top_only[books] != 0
        for field in ("bid2_ticks", "bid2_qty", "ask2_ticks", "ask2_qty"):
            rows[field][top_only] = 0
        by_increment = (subscription.incremental[books] != 0) & (subscription.first[books] == 0)
        subscription.first[books] = 0
        requests = subscription.request_of[books]
        for number in np.unique(requests):
            request_id = subscription.request_ids[number]
            whole = np.ascontiguousarray(rows[~by_increment & (requests == number)])
            if len(whole):
                client.hot.link.set_md_req_id(request_id)
                client.session.send_quotes(records.as_layout(whole.view(np.uint8), records.QUOTE), len(whole))
            for row in rows[by_increment & (requests == number)]:
                client.session.send("X", self._increments(row, request_id))

    def _increments(self, row: Any, request_id: str) -> list[Field]:
        """Body of a MarketDataIncrementalRefresh that replaces the best bid and offer of one book."""
        book = int(row["instrument"])
        symbol, scale = self._host.symbol_names[book], self._host.price_scales[book]
        fields: list[Field] = [(262, request_id), (268, 2)]
        for entry_type, side in (("0", "bid"), ("1", "ask")):
            quantity = int(row[f"{side}_qty"])
            fields += [(279, "1" if quantity else "2"), (269, entry_type), (55, symbol)]
            if quantity:
                fields += [(270, f"{int(row[f'{side}_ticks']) / 10**scale:.{scale}f}"), (271, quantity)]
        return fields
