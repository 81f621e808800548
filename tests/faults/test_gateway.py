"""A gateway over a real session and socket: what it does with orders that FIX cannot say."""

import asyncio

import numpy as np

from engine.gateway import Gateway
from engine.latency import Latencies, Stage
from fix.codec import SymbolTable
from fix.session import State
from fix.store import MessageStore
from market.enums import FrameKind, OrderAction, OrdType, ScopeKind, Side, TimeInForce
from market.records import ORDER, table
from tests.faults.rig import DEADLINE_S, profile, until
from tests.faults.scripted import Script


class Surroundings:
    """Step loop and daemon, as far as a gateway knows them: they write down what they are told."""

    def __init__(self):
        self.halts, self.fatal, self.alerts, self.frames = [], [], [], []
        self.on_alert = lambda *what: self.alerts.append(what)
        self.on_fatal = self.fatal.append
        self.halt = lambda *what: self.halts.append(what)
        self.on_link = self.on_listings = self.on_list_asked = lambda *_: None
        self.post_frame = self.frames.append
        self.now_ns = lambda: 1

    def post(self, cells, count):
        self.frames += list(cells[:count])


def _orders(instruments, action=OrderAction.NEW):
    rows = table(ORDER, len(instruments))
    for number, (row, instrument) in enumerate(zip(rows, instruments, strict=True)):
        row["kind"], row["action"], row["side"] = FrameKind.ORDER, action, Side.BUY
        row["ord_type"], row["tif"], row["price_ticks"], row["qty"] = OrdType.LIMIT, TimeInForce.DAY, 100, 1
        row["instrument"], row["cl_ord_id"] = instrument, 1000 + number
    return rows


async def _logged_on(tmp_path):
    config = profile(tmp_path)
    script = Script(config, tmp_path / "venues")
    await script.opt.start()
    script.opt.acknowledge = False
    symbols = SymbolTable(8)
    symbols.add("AXM", 0, 2, 1)
    symbols.add("AXM261218C00100000", 1, 2, 100)
    world = Surroundings()
    store = MessageStore(tmp_path / "store")
    gateway = Gateway(0, config.sessions[0], store, symbols, world, Latencies(16), world)
    gateway.initiator.start()
    async with asyncio.timeout(DEADLINE_S):
        await gateway.session.wait_state(State.LOGGED_ON)
    return script, gateway, world


async def _leave(script, gateway):
    await gateway.stop()
    gateway.close()
    await script.opt.stop()


async def test_orders_around_one_that_cannot_be_encoded_are_sent_and_its_instrument_halts(tmp_path):
    script, gateway, world = await _logged_on(tmp_path)
    gateway.send(_orders([0, 1, 5, 1, 6, 0]), 6)  # instruments 5 and 6 have no symbol
    await until(lambda: len(script.opt.seen("D")) == 4, "four orders")
    assert [message.text(11) for message in script.opt.seen("D")] == [f"{1000 + k:016X}" for k in (0, 1, 3, 5)]
    assert [(scope, target) for scope, target, _ in world.halts] == [
        (ScopeKind.INSTRUMENT, 5),
        (ScopeKind.INSTRUMENT, 6),
    ]
    assert not world.fatal
    assert gateway.messages_out == 4
    assert int(np.asarray(gateway._latencies.histograms[Stage.TICK_TO_ORDER]).sum()) == 4
    await _leave(script, gateway)


async def test_orders_of_a_session_that_is_down_are_left_to_reconciliation(tmp_path):
    script, gateway, world = await _logged_on(tmp_path)
    await script.opt.stop()
    await until(lambda: not gateway.session.logged_on, "down")
    before = gateway.session.next_out
    gateway.send(_orders([0, 1]), 2)
    assert (gateway.session.next_out, gateway.messages_out, world.fatal) == (before, 0, [])
    await gateway.stop()
    gateway.close()
