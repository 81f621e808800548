"""A venue in this event loop and real FIX clients of it, over real sockets."""

import asyncio

import msgspec

from fix.codec import SymbolTable
from fix.endpoints import CodecHotPath, FixSession, Initiator, Reconnect
from fix.messages import parse
from fix.session import Role, SessionSettings, State
from fix.store import MessageStore
from market import records
from market.enums import FrameKind
from simulator.venue.core import FrameBuffer
from simulator.venue.marketclock import ClockLine, MarketClock
from simulator.venue.settings import ClientSettings, FeeModel, VenueSettings
from simulator.venue.venue import Venue
from tests.simulator.venue_orders import options_of, small_market

MARKET_START_NS = 1_450_000_000_000_000_000
DEADLINE_S = 60  # of a condition: generous, because the first test compiles


class Inbox:
    """What a client heard, with conditions to wait for."""

    def __init__(self):
        self.executions, self.cancel_rejects, self.quotes, self.messages, self.states = [], [], [], [], []
        self._changed = asyncio.Event()

    def on_frames(self, session, frames, count):
        for frame in frames[:count]:
            kind = int(frame.view(records.HEADER)["kind"][0])
            if kind == FrameKind.QUOTE:
                self.quotes.append(frame.copy().view(records.QUOTE)[0])
            else:
                row = frame.copy().view(records.EXECUTION)[0]
                (self.cancel_rejects if kind == FrameKind.CANCEL_REJECT else self.executions).append(row)
        self._changed.set()

    def on_message(self, session, msg_type, raw, poss_dup):
        self.messages.append(parse(raw))
        self._changed.set()

    def on_state(self, session, state, reason):
        self.states.append((state, reason))
        self._changed.set()

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Trader:
    """One FIX client; ``orders`` and ``send`` speak to the venue, ``inbox`` holds what it said."""

    def __init__(self, directory, comp_id, port, instruments, venue_comp_id="OPT"):
        symbols = SymbolTable(len(instruments) + 1)
        for book, row in enumerate(instruments):
            symbols.add(bytes(row["symbol"]).decode(), book, int(row["price_scale"]), int(row["multiplier"]))
        symbols.add("NOSUCH", len(instruments))
        settings = SessionSettings(
            sender_comp_id=comp_id, target_comp_id=venue_comp_id, role=Role.INITIATOR, heartbeat_interval_s=30
        )
        self.inbox = Inbox()
        self.store = MessageStore(directory)
        hot = CodecHotPath("FIX.4.4", comp_id, venue_comp_id, symbols, Role.INITIATOR, 0)
        self.session = FixSession(settings, self.store, self.inbox, hot=hot)
        self.initiator = Initiator(self.session, "127.0.0.1", port, Reconnect(first_s=0.01, max_s=0.05))

    async def log_on(self):
        self.initiator.start()
        async with asyncio.timeout(DEADLINE_S):
            await self.session.wait_state(State.LOGGED_ON)
        return self

    def send(self, orders):
        return self.session.send_orders(orders.buffer.rows, orders.count)

    async def reports(self, count):
        await self.inbox.until(lambda: len(self.inbox.executions) >= count)
        return self.inbox.executions

    async def message(self, msg_type):
        def found():
            return [message for message in self.inbox.messages if message.msg_type == msg_type]

        await self.inbox.until(found)
        return found()

    async def leave(self):
        await self.initiator.stop()
        self.store.close()


class VenueRoom:
    """A started venue over a directory; ``trader`` makes clients. Closed by ``close``."""

    def __init__(self, directory, clients=("ALICE", "BOB"), **changes):
        self.directory = directory
        self.instruments, numbers = options_of(small_market())
        self.failures, self.internal = [], []
        settings = VenueSettings(
            name="OPT", comp_id="OPT", lists_options=True, directory=directory / "venue", port=0,
            ring_path=directory / "OPT.ring", ring_slots=1024, fees=FeeModel(maker_e4=100, taker_e4=6500),
            clients=tuple(c if isinstance(c, ClientSettings) else ClientSettings(comp_id=c) for c in clients),
        )  # fmt: skip
        self.venue = Venue(
            msgspec.structs.replace(settings, **changes), self.instruments, numbers, ["AXM"] * 3,
            FrameBuffer(records.QUOTE, 4), MarketClock(ClockLine(MARKET_START_NS, 0, 1e-9, "test")),
            on_fatal=self.failures.append,
        )  # fmt: skip
        self.traders = []

    async def open(self):
        await self.venue.start()
        return self

    def trader(self, comp_id, name=""):
        trader = Trader(self.directory / (name or comp_id), comp_id, self.venue.port, self.instruments)
        self.traders.append(trader)
        return trader

    def flow(self, orders):
        """Let participants without FIX act; instruments are the market's numbers (book + 1)."""
        orders.buffer.rows["instrument"] += 1
        self.venue.apply_flow(orders.buffer, orders.count)

    async def close(self):
        for trader in self.traders:
            if trader.initiator._task is not None:
                await trader.leave()
        await self.venue.close()
