"""Session administration on live sessions, and what a throttle of ours does to the step's requests."""

from types import SimpleNamespace

import numpy as np
import pytest

from config.sessions import ThrottleConfig
from engine.control import Actor
from engine.errors import ControlError
from engine.sessionverbs import CHANGING_SESSIONS, SessionVerbs
from engine.verbs import CHANGING
from fix.session import State
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus
from market.ids import slot_of
from market.records import EXECUTION
from tests.engine.copy_rig import World
from tests.simulator.venue_orders import Orders

WHO = Actor(uid=1, pid=2)


class Desk:
    """The verbs over the sessions of a :class:`World`."""

    def __init__(self, world):
        self.world = world
        daemon = SimpleNamespace(
            sessions=[world.gateway, world.copy],
            drop_copies=[world.copy],
            phase="running",
            require_engine=lambda: world.engine,
        )
        self.table = SessionVerbs(daemon).table()

    async def ask(self, verb, name="TRADE", reason="why", **args):
        return await self.table[f"session.{verb}"]({"name": name, "reason": reason, **args}, WHO)

    async def refused(self, verb, **args):
        with pytest.raises(ControlError) as caught:
            await self.ask(verb, **args)
        return caught.value


@pytest.fixture
async def desk(tmp_path):
    world = await World(tmp_path).open()
    yield Desk(world)
    await world.close()


def test_every_change_is_audited():
    table = SessionVerbs(SimpleNamespace()).table()
    assert set(table) - CHANGING_SESSIONS == {"session.list"}
    assert CHANGING_SESSIONS <= CHANGING


async def test_the_list_shows_state_numbers_and_address(desk):
    rows = {row["name"]: row for row in (await desk.ask("list"))["sessions"]}
    assert set(rows) == {"TRADE", "DC"}
    assert (rows["TRADE"]["state"], rows["DC"]["role"]) == ("LOGGED_ON", "drop_copy")
    assert rows["TRADE"]["address"] == f"127.0.0.1:{desk.world.room.venue.port}"
    assert rows["TRADE"]["next_out"] == desk.world.gateway.session.next_out


async def test_a_disconnected_session_stays_down_until_it_is_connected(desk):
    session = desk.world.gateway.session
    await desk.ask("disconnect")
    await desk.world.until(lambda: session.state is State.DISCONNECTED)
    attempts = desk.world.gateway.initiator.attempts
    for _ in range(200):
        await desk.world.until(lambda: True)
    assert desk.world.gateway.initiator.attempts == attempts
    await desk.ask("connect")
    await desk.world.until(lambda: session.logged_on)


async def test_numbers_go_up_by_word_and_down_by_force_only(desk):
    await desk.ask("disconnect")
    session = desk.world.gateway.session
    await desk.world.until(lambda: session.state is State.DISCONNECTED)
    answer = await desk.ask("set_seq", next_in=40, next_out=50)
    assert (answer["next_in"], answer["next_out"]) == (session.next_in, session.next_out) == (40, 50)
    assert answer["before"]["next_in"] < 40
    error = await desk.refused("set_seq", next_in=39)
    assert "next_in is 40" in str(error)
    assert (await desk.ask("set_seq", next_in=39, force=True))["next_in"] == 39


@pytest.mark.parametrize("verb", ["reset", "set_seq"])
async def test_what_would_lose_reports_about_open_orders_needs_force(desk, verb):
    desk.world.engine.risk.sessions[5]["open_orders"] = 3
    args = {"next_in": 1000} if verb == "set_seq" else {}
    assert "TRADE has 3 open orders" in str(await desk.refused(verb, **args))
    desk.world.engine.risk.sessions[5]["open_orders"] = 0
    await desk.ask(verb, **args)


async def test_a_reset_begins_both_sides_at_one_while_logged_on(desk):
    session = desk.world.gateway.session
    desk.world.trade(1)
    await desk.world.until(lambda: session.next_out > 3)
    await desk.ask("reset")
    await desk.world.until(lambda: session.store.resets == 1 and session.steady and session.next_in == 2)
    assert desk.world.room.venue.clients[0].store.resets == 1
    assert session.next_out == 2


@pytest.mark.parametrize(
    ("verb", "args", "code", "found"),
    [
        ("connect", {"name": "NOPE"}, 2, "there is no session 'NOPE'; there are: TRADE, DC"),
        ("connect", {"reason": " "}, 4, "a reason is required"),
        ("set_seq", {}, 4, "give next_in, next_out or both"),
        ("set_seq", {"next_in": 0}, 4, "next_in must be 1..999999999, was 0"),
        ("set_seq", {"next_out": True}, 4, "next_out must be 1..999999999, was True"),
        ("accept", {}, 4, "TRADE is no drop copy; there are: DC"),
    ],
)
async def test_what_cannot_be_done_is_said(desk, verb, args, code, found):
    error = await desk.refused(verb, **args)
    assert error.code == code
    assert found in str(error)


async def test_accepting_clears_what_is_open(desk):
    assert await desk.ask("accept", name="DC") == {"name": "DC", "accepted": 0}


# -- the throttle -------------------------------------------------------------------------------


def waiting(world, ids):
    """Orders that the step has sent and not heard of, in the slots that their ids name."""
    for cl_ord_id in ids:
        order = world.engine.orders[slot_of(cl_ord_id)]
        order["cl_ord_id"], order["status"] = cl_ord_id, OrdStatus.PENDING_NEW


async def test_orders_beyond_the_throttle_are_refused_to_the_step_and_cancels_pass(tmp_path):
    throttle = ThrottleConfig(messages=4, window_ms=60_000, reserve_for_cancels=2)
    world = await World(tmp_path, session={"throttle": throttle}).open()
    ids = [0x1_0000_0001, 0x1_0000_0002, 0x1_0000_0003]
    waiting(world, ids)
    orders = Orders()
    for cl_ord_id in ids:
        orders.add(0, cl_ord_id=cl_ord_id, price_ticks=80)
    world.gateway.send(orders.buffer.rows[:3], 3)
    rows = np.concatenate(world.posted).view(EXECUTION)
    assert [(int(row["kind"]), int(row["exec_type"]), int(row["cl_ord_id"])) for row in rows] == [
        (FrameKind.EXECUTION, ExecType.REJECTED, ids[2])
    ]
    assert world.gateway.held_back == 1
    assert any("held back: 1 message is beyond the throttle of 4" in text for _, text in world.alerts)
    pull = Orders().add(0, cl_ord_id=0x2_0000_0001, orig_cl_ord_id=ids[0], action=OrderAction.CANCEL)
    world.gateway.send(pull.buffer.rows[:1], 1)
    await world.until(lambda: world.room.venue.core.live_orders == 1)
    assert world.gateway.held_back == 1
    await world.close()
