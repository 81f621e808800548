"""A simulated venue with a drop copy, the daemon's two sessions with it, and stand-ins for step and daemon."""

import asyncio
import json

from config.sessions import SessionConfig
from engine.copygateway import LOOKS, CopyGateway
from engine.gateway import Gateway
from engine.latency import Latencies
from engine.state import make_engine
from fix.codec import SymbolTable
from fix.store import MessageStore
from market.enums import Side
from simulator.venue.settings import ClientSettings, DropCopySettings
from tests.simulator.venue_client import DEADLINE_S, VenueRoom
from tests.simulator.venue_orders import MAKER, Orders

MS = 1_000_000


class World:
    """A venue with a drop copy, our two sessions with it, and a step and daemon that write down what they are told."""

    def __init__(self, directory, copy=None, session=None, clients=("AXIOM",)):
        self.directory = directory
        self.venue_directory = directory / "room"
        self.room = VenueRoom(
            self.venue_directory,
            clients=tuple(ClientSettings(comp_id=name, cancel_on_disconnect=False) for name in clients),
            drop_copies=(DropCopySettings(comp_id="COPY"),),
        )
        self.changes, self.copy_changes = session or {}, copy or {}
        self.halts, self.alerts, self.fatal, self.links, self.posted = [], [], [], [], []
        self.engine = make_engine(8, 64)
        self.at_ns = 1_000_000_000_000
        self.behind = 0

    # -- StepLoop and GatewayOwner, as far as they are asked
    def now_ns(self):
        return self.at_ns

    def post(self, cells, count):
        self.posted += [cells[k].copy() for k in range(count)]

    def post_frame(self, frame):
        pass

    def frames_behind(self):
        return self.behind

    def on_link(self, gateway, up, reason):
        self.links.append((up, reason))

    def on_listings(self, gateway, page):
        pass

    def on_list_asked(self, gateway):
        pass

    def on_alert(self, severity, text):
        self.alerts.append((severity, text))

    def on_fatal(self, reason):
        self.fatal.append(reason)

    def halt(self, scope, target, reason):
        self.halts.append((scope, target, reason))

    async def open(self):
        await self.room.open()
        common = {"venue": "OPT", "target_comp_id": "OPT", "port": self.room.venue.port, "reconnect_min_ms": 10,
                  "heartbeat_interval_s": 30}  # fmt: skip
        symbols = SymbolTable(8)
        for book, row in enumerate(self.room.instruments):
            symbols.add(bytes(row["symbol"]).decode(), book, int(row["price_scale"]), int(row["multiplier"]))
            self.engine.instruments[book]["symbol"] = row["symbol"]
            self.engine.instruments[book]["session"] = 5
        traded = SessionConfig(name="TRADE", sender_comp_id="AXIOM", **{**common, **self.changes})
        copied = SessionConfig(
            name="DC", sender_comp_id="COPY", role="drop_copy", drop_copy_timeout_ms=1000, **common, **self.copy_changes
        )
        self.gateway = Gateway(5, traded, MessageStore(self.directory / "trade"), symbols, self, Latencies(16), self)
        store = MessageStore(self.directory / "copy")
        self.copy = CopyGateway(6, copied, store, symbols, self, self, [self.gateway], self.directory / "dropcopy")
        self.gateway.initiator.start()
        self.copy.start()
        await self.until(lambda: self.copy.listening)
        self.copy.beat()
        return self

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0)

    def later(self, milliseconds):
        """Let it look, as often as it takes to believe a difference of positions, at that time."""
        self.at_ns += milliseconds * MS
        for _ in range(LOOKS):
            self.copy.beat()

    def trade(self, qty, cl_ord_id=0x10001):
        """Buy from the maker; the step books it at once."""
        self.room.flow(Orders().add(MAKER, side=Side.SELL, qty=qty))
        orders = Orders().add(0, cl_ord_id=cl_ord_id, qty=qty)
        self.gateway.session.send_orders(orders.buffer.rows, orders.count)

    def book(self, qty):
        self.engine.risk.instruments[0]["position"] += qty

    @property
    def record(self):
        path = self.directory / "dropcopy" / "DC.mismatches.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def close(self):
        for gateway in (self.gateway, self.copy):
            await gateway.stop()
            gateway.close()
        await self.room.close()
        assert not self.fatal
