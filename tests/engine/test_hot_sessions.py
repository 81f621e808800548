"""A session that goes hot and cold under load: nothing lost, nothing twice, and the run replays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partialmethod
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.bench.spine import Spine
from engine.bench.venue import SENDER, SPOT, TARGET, symbol_table
from engine.journal import read_journal
from engine.lanes import L_MOVES, L_RETURNS
from engine.replay import verify
from fix.endpoints import Acceptor, CodecHotPath, FixSession
from fix.lane.layout import NEXT_LENT
from fix.messages import utc_timestamp
from fix.session import Role, SessionSettings
from fix.store import MessageStore
from fix.store import verify as verify_store
from market.enums import ControlVerb, ExecType, FrameKind, OrderAction, OrdStatus, TradingStatus
from market.records import CONTROL, EXECUTION, ORDER, QUOTE, STAMPS, as_layout, table
from market.rings import BroadcastRing, ring_publish
from risk.limits import Limit

SERIES = 5


class Venue:
    """Acknowledges orders and remembers each one; publishes books."""

    def __init__(self, directory: Path) -> None:
        names = {"sender_comp_id": SENDER, "target_comp_id": TARGET}
        settings = SessionSettings(role=Role.ACCEPTOR, **names)
        hot = CodecHotPath.for_session(settings, symbol_table(SERIES), 0)
        self.session = FixSession(settings, MessageStore(directory / "venue"), self, hot)
        self.ring = BroadcastRing.create(directory / "ring", 1 << 10, books=SERIES + 1)
        self.orders: list[int] = []
        self.seq = self.exec_id = 0
        self.beat()

    def beat(self) -> None:
        self.ring.beat(self.ring.cursor + 1, 1)

    def on_frames(self, session: FixSession, frames: Any, count: int) -> None:
        orders = as_layout(frames, ORDER)[:count].copy()
        orders = orders[orders["action"] != OrderAction.MASS_CANCEL]
        rows = table(EXECUTION, len(orders))
        for order, row in zip(orders, rows, strict=True):
            self.exec_id += 1
            self.orders.append(int(order["cl_ord_id"]))
            for name in ("instrument", "side", "cl_ord_id", "price_ticks"):
                row[name] = order[name]
            row["kind"], row["order_id"], row["exec_id"] = FrameKind.EXECUTION, 9, self.exec_id
            row["order_qty"] = row["leaves_qty"] = order["qty"]
            row["exec_type"], row["ord_status"] = ExecType.NEW, OrdStatus.NEW
            if order["action"] != OrderAction.NEW:
                row["orig_cl_ord_id"], row["exec_type"] = order["orig_cl_ord_id"], ExecType.REPLACED
            if order["action"] == OrderAction.CANCEL:
                row["exec_type"], row["ord_status"], row["leaves_qty"] = ExecType.CANCELED, OrdStatus.CANCELED, 0
        if len(rows):
            session.send_executions(rows, len(rows))

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None: ...

    def on_state(self, session: FixSession, state: Any, reason: str) -> None: ...

    def publish(self, instrument: int, bid: int, ask: int) -> None:
        self.seq += 1
        row = table(QUOTE, 1)
        row["kind"], row["instrument"], row["status"] = FrameKind.QUOTE, instrument, TradingStatus.OPEN
        row["bid_ticks"], row["ask_ticks"], row["bid_qty"], row["ask_qty"] = bid, ask, 50, 50
        row["src_seq"] = row["ts_ns"] = self.seq
        ring_publish(self.ring.words, np.asarray(row).view(np.int64).reshape(1, 16), 0)
        self.beat()

    def move(self, turn: int) -> None:
        """The spot moves, and then every series' book: each quote must follow."""
        odd = turn & 1
        self.publish(0, SPOT + 20 * odd - 1, SPOT + 20 * odd + 1)
        for number in range(1, SERIES + 1):
            self.publish(number, 2 + odd, 200 + odd)


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@asynccontextmanager
async def trading(directory: Path, mode: str) -> AsyncIterator[tuple[Spine, Venue]]:
    venue = Venue(directory)
    acceptor = Acceptor([venue.session])
    await acceptor.start()
    venue.move(0)
    spine = Spine(directory, venue.ring.path, acceptor.port, mode, SERIES, -1)
    await asyncio.wait_for(spine.open(), 120)
    try:
        yield spine, venue
    finally:
        await spine.gateway.stop()
        spine.close()
        await acceptor.close()
        venue.session.store.close()
        venue.ring.close()


async def follow(spine: Spine, venue: Venue, turn: int) -> None:
    """Move the market, and wait until every quote has followed and is acknowledged."""
    wanted = len(venue.orders) + SERIES
    venue.move(turn)
    spine.loop.kick()
    await until(lambda: len(venue.orders) >= wanted and spine._quoted())


async def hot(spine: Spine) -> None:
    """As the gateway's beat does."""
    while not spine.loop.hot.is_hot(0):
        spine.gateway.session.offer_lane()
        spine.loop.kick()
        await asyncio.sleep(0.001)


def journaled(directory: Path, kind: FrameKind, layout: Any) -> Any:
    rows = np.concatenate([as_layout(np.asarray(raw), layout) for raw in read_journal(directory / "run")])
    return rows[rows["kind"] == kind]


@pytest.mark.parametrize("mode", ["spin", "poll"])
async def test_orders_leave_by_the_lane_and_their_answers_come_by_it(tmp_path, mode):
    async with trading(tmp_path, mode) as (spine, venue):
        sent, taken = spine.loop.hot.sent(0), spine.loop.hot.taken(0)
        for turn in range(1, 9):
            await follow(spine, venue, turn)
        assert spine.loop.hot.sent(0) - sent == spine.loop.hot.taken(0) - taken == 8 * SERIES
        assert spine.loop.hot.is_hot(0) and spine.gateway.session.next_out == venue.session.next_in
        before = spine.gateway.messages_out
    assert spine.gateway.messages_out == before == SERIES, "only the first quotes went by asyncio"
    assert len(set(venue.orders)) == len(venue.orders)
    stamps = journaled(tmp_path, FrameKind.STAMPS, STAMPS)
    lane = stamps[stamps["hot"] == 1]
    assert len(lane) == 8 * SERIES and set(stamps["cl_ord_id"]) >= set(venue.orders)
    path = [lane[name] for name in ("read_ns", "decided_ns", "gated_ns", "sent_ns")]
    assert all((earlier <= later).all() for earlier, later in pairwise(path))
    assert (stamps["sent_ns"][stamps["hot"] == 0] == 0).all()
    result = verify(tmp_path / "run")
    assert result.ok and result.stamps == len(stamps)


@pytest.mark.parametrize("mode", ["spin", "poll"])
async def test_demotions_under_load_lose_nothing_double_nothing_and_replay(tmp_path, mode):
    """Asyncio wants the session, the venue says what is no report, limits change, trading is killed."""
    async with trading(tmp_path, mode) as (spine, venue):
        for turn in range(1, 41):
            wanted = len(venue.orders) + SERIES
            venue.move(turn)
            if turn % 3 == 0:
                spine.gateway.session.send("H", [(11, f"S{turn}"), (55, "AXM"), (54, "1")])
            elif turn % 3 == 1:
                venue.session.send("B", [(148, "news"), (33, 1), (58, "line"), (42, utc_timestamp(turn))])
            elif turn % 10 == 5:
                spine._post(
                    CONTROL, FrameKind.CONTROL, verb=ControlVerb.LIMIT_SET, limit=Limit.MAX_ORDER_QTY, value=50.0
                )
            spine.loop.kick()
            await until(lambda: len(venue.orders) >= wanted and spine._quoted())  # noqa: B023 - awaited here
            await hot(spine)
        spine._post(CONTROL, FrameKind.CONTROL, verb=ControlVerb.KILL)
        lane = spine.gateway.session.lane
        assert lane is not None and lane.demotions.get("wish", 0) >= 10
        assert lane.demotions.get("message", 0) >= 10
        assert int(spine.loop.hot.memory.rows[0, L_RETURNS]) >= lane.promotions - 1
        expected = len(venue.orders)
        assert expected == 41 * SERIES
    orders = journaled(tmp_path, FrameKind.ORDER, ORDER)
    trading_orders = orders[~np.isin(orders["action"], (OrderAction.MASS_STATUS, OrderAction.MASS_CANCEL))]
    assert list(trading_orders["cl_ord_id"]) == venue.orders, "as decided: each once, in order"
    assert verify(tmp_path / "run").ok


@pytest.mark.parametrize("mode", ["spin", "poll"])
async def test_a_session_stays_hot_from_window_to_window_of_its_store(tmp_path, mode, monkeypatch):
    """Windows of 128 KiB, some 400 orders each: the step tells asyncio of each change, and has the next one in time."""
    monkeypatch.setattr(MessageStore, "open_window", partialmethod(MessageStore.open_window, 1 << 17))
    monkeypatch.setattr(MessageStore, "prepare_window", partialmethod(MessageStore.prepare_window, size=1 << 17))
    async with trading(tmp_path, mode) as (spine, venue):
        lane = spine.gateway.session.lane
        turn = 0
        while lane.windows < 3:
            turn += 1
            await follow(spine, venue, turn)
            await until(lambda: spine.loop.hot.lanes.word(0, NEXT_LENT))
        assert lane.demotions == {} and spine.loop.hot.is_hot(0)
        assert spine.loop.hot.memory.rows[0, L_MOVES] == 3
        expected = (turn + 1) * SERIES
    assert len(set(venue.orders)) == len(venue.orders) == expected
    assert verify(tmp_path / "run").ok and verify_store(tmp_path / "fix").sound


async def test_a_hot_sessions_reports_are_shown_to_drop_copies(tmp_path):
    async with trading(tmp_path, "spin") as (spine, venue):
        seen: list[int] = []
        spine.loop.hot.inform(0)
        spine.loop.hot.tell()
        spine.loop._on_outputs = lambda cells, count: seen.extend(int(word) & 0xFFFFFFFF for word in cells[:count, 0])
        await follow(spine, venue, 1)
        await until(lambda: seen.count(int(FrameKind.EXECUTION)) == SERIES)
        left = int(FrameKind.ORDER) | 1 << 16
        assert seen.count(left) == SERIES and seen.count(int(FrameKind.ORDER)) == 0
