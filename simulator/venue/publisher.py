"""Market data of one venue: the shared-memory ring, and FIX subscribers.

After each batch the books whose top changed are written as QUOTE frames, trades as TRADE frames,
and parked readers are woken once. ``ts_ns`` is market time: theoretical values need the time that
is left, not the time of day here. A reader that attaches late would never hear of a quiet series,
so each book is repeated about once a second (:meth:`MarketDataPublisher.refresh`), and a frame
that only repeats differs in nothing but ``ts_ns`` and ``src_seq``.

A reader of the ring that was overtaken, or comes late, reads the ring's book table. One that hears the
venue by a stream (:meth:`MarketDataPublisher.open_stream`, Aeron) cannot: it has every book again after
one cycle of the repetition.

FIX subscribers get what changed since they were last served: a slow one misses intermediate states,
never the latest.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from market import records
from market.enums import FrameKind
from market.jit import kernel
from market.records import FRAME_BYTES
from market.rings import W_SILENCE_NS, BroadcastRing, ring_publish, ring_publish_many
from market.transport.bridge import Relay
from market.transport.choose import open_publisher
from simulator.matching import Arena, take_dirty, top_levels
from simulator.venue.core import FrameBuffer

Words = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]  # one per book

FRAME_WORDS = FRAME_BYTES // 8
REFRESH_PERIOD_NS = 1_000_000_000

_QUOTE = int(FrameKind.QUOTE)


@kernel
def publish_tops(
    arena: Arena, books: Words, count: int, quotes: Any, quote_words: Words, ring: Words, market_tops: Any,
    market_words: Words, instrument_of: Words, source: int, market_ns: int, wall_ns: int,
) -> None:  # fmt: skip
    """Write and publish the top of ``books[:count]``.

    ``quotes`` QUOTE[n_books] and the same memory as ``quote_words`` int64[n_books, 16]: the venue's
    own table by book. ``market_tops`` QUOTE[instruments] and ``market_words``: the whole market's,
    by the market's instrument number, for the order flow. Event loop's thread only.
    """
    for at in range(count):
        book = books[at]
        sequence = quotes[book].src_seq + np.uint64(1)
        top_levels(arena, book, quotes, book)
        quote = quotes[book]
        quote.kind = _QUOTE
        quote.source = source
        quote.instrument = book
        quote.ts_ns = market_ns
        quote.recv_ns = wall_ns
        quote.src_seq = sequence
        ring_publish(ring, quote_words, book)
        instrument = instrument_of[book]
        for k in range(FRAME_WORDS):
            market_words[instrument, k] = quote_words[book, k]
        market_tops[instrument].instrument = instrument


@kernel
def mark_changed(books: Words, count: int, wanted: Flags, pending: Flags) -> int:
    """Note in ``pending`` which ``books[:count]`` a subscriber ``wanted``; returns how many are new."""
    new = 0
    for at in range(count):
        book = books[at]
        if wanted[book] != 0 and pending[book] == 0:
            pending[book] = 1
            new += 1
    return new


@kernel
def collect_pending(pending: Flags, quote_words: Words, out: Words) -> int:
    """Move pending books' quotes to ``out`` (int64[m, 16]) until it is full; returns how many."""
    n = 0
    for book in range(len(pending)):
        if pending[book] != 0:
            if n == len(out):
                break
            pending[book] = 0
            for k in range(FRAME_WORDS):
                out[n, k] = quote_words[book, k]
            n += 1
    return n


class Subscription:
    """What one FIX client wants to hear, and what it has not been told yet; arrays by book."""

    def __init__(self, books: int) -> None:
        self.wanted = np.zeros(books, np.uint8)
        self.incremental = np.zeros(books, np.uint8)  # X instead of W
        self.top_only = np.zeros(books, np.uint8)  # one level a side instead of two
        self.first = np.zeros(books, np.uint8)  # the next one is a snapshot whatever was asked for
        self.pending = np.zeros(books, np.uint8)
        self.pending_count = 0
        self.request_of = np.zeros(books, np.int32)  # index into request_ids
        self.request_ids: list[str] = []  # MDReqID(262), each once

    def number_of(self, request_id: str) -> int:
        """Index of a MDReqID in ``request_ids``."""
        if request_id not in self.request_ids:
            self.request_ids.append(request_id)
        return self.request_ids.index(request_id)

    @property
    def active(self) -> bool:
        """Whether anything is subscribed."""
        return bool(self.wanted.any())

    def clear(self) -> None:
        """Forget everything: subscriptions end with the connection."""
        self.wanted[:] = self.incremental[:] = self.first[:] = self.pending[:] = 0
        self.pending_count = 0
        self.request_ids.clear()


class MarketDataPublisher:
    """Publishes one venue's books; ``source`` is written into ``header.source`` of each frame."""

    def __init__(
        self,
        ring: BroadcastRing,
        arena: Arena,
        instrument_of: npt.NDArray[np.int64],
        market_tops: Any,
        market_words: npt.NDArray[np.int64],
        *,
        source: int,
    ) -> None:
        books = len(instrument_of)
        self.ring = ring
        self.quotes = FrameBuffer(records.QUOTE, books)
        self._arena = arena
        self._instrument_of = instrument_of
        self._market_tops, self._market_words = market_tops, market_words
        self._source = source
        self._dirty = np.zeros(books, np.int64)
        self._all = np.arange(books, dtype=np.int64)
        self._refresh_at = 0
        self._refreshed_ns = 0
        self._prints = 0
        self._relays: list[Relay] = []

    def open_stream(self, address: str) -> None:
        """Publish by ``address`` as well (see :mod:`market.transport.address`), from the publisher's own thread.

        Raises
        ------
        TransportError
            The address is wrong, or its carrier is not installed or not reachable.
        """
        silence_ns = int(self.ring.words[W_SILENCE_NS])
        stream = open_publisher(address, books=len(self._all), silence_ns=silence_ns)
        self._relays.append(Relay(self.ring.path, stream))

    def beat(self, market_ns: int, wall_ns: int) -> None:
        """Say that the venue lives."""
        self.ring.beat(wall_ns, market_ns)
        for relay in self._relays:
            relay.beat(wall_ns, market_ns)

    def end(self) -> None:
        """Say that the market data end here, and remove the ring."""
        for relay in self._relays:
            relay.close()
        self._relays.clear()
        self.ring.end()

    def _pass_on(self) -> None:
        """A batch is complete: wake who sleeps, send it to who is elsewhere."""
        self.ring.wake_readers()
        for relay in self._relays:
            relay.pump()

    def publish(
        self,
        market_ns: int,
        wall_ns: int,
        prints: FrameBuffer | None = None,
        n_prints: int = 0,
        subscriptions: tuple[Subscription, ...] = (),
    ) -> int:
        """Publish trades, then the books that changed; returns the number of these."""
        if prints is not None and n_prints:
            rows = prints.rows[:n_prints]
            rows["source"] = self._source
            rows["src_seq"] = np.arange(self._prints + 1, self._prints + n_prints + 1)
            self._prints += n_prints
            ring_publish_many(self.ring.words, prints.words, n_prints)
        count = int(take_dirty(self._arena, self._dirty))
        if count:
            self._publish(self._dirty, count, market_ns, wall_ns)
            for subscription in subscriptions:
                subscription.pending_count += int(
                    mark_changed(self._dirty, count, subscription.wanted, subscription.pending)
                )
        if count or n_prints:
            self._pass_on()
        return count

    def refresh(self, market_ns: int, wall_ns: int) -> None:
        """Repeat as many books as keeps the whole cycle at ``REFRESH_PERIOD_NS``; call every few ms."""
        books = len(self._all)
        elapsed = min(wall_ns - self._refreshed_ns, REFRESH_PERIOD_NS)
        count = min(books - self._refresh_at, books * elapsed // REFRESH_PERIOD_NS)
        if count <= 0:
            return
        self._refreshed_ns = wall_ns
        self._publish(self._all[self._refresh_at : self._refresh_at + count], count, market_ns, wall_ns)
        self._refresh_at = (self._refresh_at + count) % books
        self._pass_on()

    def warm_up(self, out: FrameBuffer) -> None:
        """Load or compile the kernels, without effect."""
        nobody = Subscription(len(self._all))
        self._publish(self._all, 0, 0, 0)
        mark_changed(self._all, 0, nobody.wanted, nobody.pending)
        collect_pending(nobody.pending, self.quotes.words, out.words)
        ring_publish_many(self.ring.words, out.words, 0)

    def _publish(self, books: npt.NDArray[np.int64], count: int, market_ns: int, wall_ns: int) -> None:
        publish_tops(
            self._arena, books, count, self.quotes.rows, self.quotes.words, self.ring.words, self._market_tops,
            self._market_words, self._instrument_of, self._source, market_ns, wall_ns,
        )  # fmt: skip

    @staticmethod
    def drain(subscription: Subscription, quotes: FrameBuffer, out: FrameBuffer) -> int:
        """Move what a subscriber still has to hear into ``out``; returns the number of quotes."""
        if subscription.pending_count <= 0:
            return 0
        count = int(collect_pending(subscription.pending, quotes.words, out.words))
        subscription.pending_count -= count
        return count
