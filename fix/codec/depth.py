"""A book of price levels kept from market data messages: W and X, any depth. Cold, plain Python.

The hot path keeps two levels a side (``market_data.py``); this is for whoever wants the whole book,
and the oracle of what a venue publishes.
"""

from decimal import Decimal

import msgspec

from fix.messages import Message

BID, OFFER = "0", "1"  # MDEntryType(269)
_TRADE = "2"
_NEW, _CHANGE, _DELETE = "0", "1", "2"  # MDUpdateAction(279)


class BookTrade(msgspec.Struct, frozen=True):
    """A trade that market data told of."""

    price: Decimal
    qty: int


class DepthBook:
    """Price levels of one instrument by price; ``apply`` each W and X that is about it.

    A snapshot replaces everything. An incremental refresh is applied to what stands: a price that is new, has
    another size, or is gone; one that does not fit what stands raises no error but marks the book
    ``broken`` until the next snapshot, since deciding from it would be guessing.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.bids: dict[Decimal, int] = {}
        self.offers: dict[Decimal, int] = {}
        self.trades: dict[str, BookTrade] = {}  # those that stand, by MDEntryID(278), oldest first
        self.halted = False
        self.broken = True  # until the first snapshot
        self.updates = 0

    def levels(self, side: str) -> list[tuple[Decimal, int]]:
        """``(price, size)``, best first."""
        prices = self.bids if side == BID else self.offers
        return sorted(prices.items(), reverse=side == BID)

    def apply(self, message: Message) -> bool:
        """Take what a W or X says of this symbol; whether it said anything."""
        if message.msg_type == "W":
            return self._snapshot(message)
        heard = False
        symbol = ""
        for entry in message.groups(268, 279):
            symbol = entry.get(55, symbol.encode()).decode("latin-1")  # an entry without one repeats the last
            if symbol == self.symbol:
                heard = True
                self._update(entry)
        self.updates += heard
        return heard

    def _snapshot(self, message: Message) -> bool:
        if message.text(55) != self.symbol:
            return False
        self.bids, self.offers, self.broken, self.halted = {}, {}, False, False
        for entry in message.groups(268, 269):
            self.halted |= entry.get(276) == b"B"
            kind, qty = entry[269].decode(), int(entry.get(271, b"0"))
            if kind in (BID, OFFER) and qty > 0:
                (self.bids if kind == BID else self.offers)[Decimal(entry[270].decode())] = qty
        self.updates += 1
        return True

    def _update(self, entry: dict[int, bytes]) -> None:
        action, kind = entry[279].decode(), entry.get(269, b"").decode()
        if kind == _TRADE:
            self._trade(action, entry)
            return
        if kind not in (BID, OFFER) or 270 not in entry:
            self.broken = True
            return
        levels, price = (self.bids if kind == BID else self.offers), Decimal(entry[270].decode())
        fits = (price in levels) == (action != _NEW)
        if action == _DELETE:
            levels.pop(price, None)
        elif action in (_NEW, _CHANGE):
            levels[price] = int(entry.get(271, b"0"))
        self.broken |= not fits or action not in (_NEW, _CHANGE, _DELETE)

    def _trade(self, action: str, entry: dict[int, bytes]) -> None:
        """A trade, its correction, or its bust; one that was told before we listened is taken as it is now."""
        number = entry.get(278, b"").decode("latin-1") or f"unnamed {len(self.trades)}"
        if action == _DELETE:
            self.trades.pop(number, None)
        else:
            self.trades[number] = BookTrade(Decimal(entry[270].decode()), int(entry[271]))
