"""Builds the instruments and ORDER rows that the venue's tests use."""

import numpy as np

from market import records
from market.enums import FrameKind, OrderAction, OrdType, Right, SecurityKind, Side, TimeInForce
from market.instruments import InstrumentMaster
from simulator.venue.core import FrameBuffer, VenueCore
from simulator.venue.settings import FeeModel

MAKER, TAKER = 1, 15
ALICE, BOB = 16, 17
NO_INSTRUMENT = 0xFFFF_FFFF
EXPIRY_NS = 1_451_000_000_000_000_000


def small_market():
    """An underlying (instrument 0) and three options (1..3); options are books 0..2 of their venue."""
    master = InstrumentMaster(4)
    master.add(symbol="AXM", security=SecurityKind.EQUITY)
    for strike in (90, 100, 110):
        master.add(
            symbol=f"AXM151224C{strike * 1000:08d}", security=SecurityKind.OPTION, underlying=0, right=Right.CALL,
            strike=float(strike), expiry_ns=EXPIRY_NS, multiplier=100,
        )  # fmt: skip
    return master


def options_of(master):
    numbers = np.arange(1, 4, dtype=np.int64)
    return np.array(master.rows[numbers]), numbers


def small_core(**changes):
    instruments, numbers = options_of(small_market())
    settings = {"max_orders": 256, "max_ticks": 1 << 16, "fees": FeeModel(maker_e4=100, taker_e4=6500), **changes}
    return VenueCore(instruments, numbers, **settings)


class Orders:
    """ORDER rows by name; a day limit order to buy 10 at 100 unless told otherwise."""

    def __init__(self, capacity=64):
        self.buffer = FrameBuffer(records.ORDER, capacity)
        self.count = 0

    def add(self, owner, **fields):
        values = {
            "kind": FrameKind.ORDER, "action": OrderAction.NEW, "ord_type": OrdType.LIMIT, "tif": TimeInForce.DAY,
            "side": Side.BUY, "owner": owner, "session": owner, "instrument": 0, "price_ticks": 100, "qty": 10,
            "cl_ord_id": 1000 + self.count, **fields,
        }  # fmt: skip
        self.buffer.words[self.count] = 0
        for name, value in values.items():
            self.buffer.rows[self.count][name] = value
        self.count += 1
        return self
