"""Sessions over real sockets: orders and reports, reconnects, restarts, failures; on asyncio and on uvloop."""

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fix.endpoints import Acceptor, FixSession
from fix.errors import HotPathError, SessionNotLoggedOnError, SettingsError, StoreFullError
from fix.messages import parse
from fix.session import GapDetected, SequencesReset, State
from fix.store import MessageStore
from fix.testing import initiator_settings
from market import records
from tests.fix.endpoints.world import Raw, Recorder, World, new_orders, reports

# ---------------------------------------------------------------------- ordinary life


async def test_orders_and_reports_travel_as_frames(world: World) -> None:
    assert world.client.send_orders(new_orders(700), 700) == 2
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 700)
    got = world.venue_handler.rows(records.ORDER)
    assert got["cl_ord_id"].tolist() == list(range(1, 701))
    assert set(got["owner"].tolist()) == {16} and set(got["price_ticks"].tolist()) == {125}
    assert got["msg_seq"].tolist() == list(range(2, 702))
    assert world.venue.send_executions(reports(700), 700, app_ref=55) == 2
    await world.client_handler.until(lambda: len(world.client_handler.frames) == 700)
    assert world.client_handler.rows(records.EXECUTION)["exec_id"].tolist() == list(range(1, 701))
    assert (world.client.next_in, world.client.store.next_in, world.venue.store.next_in) == (702, 702, 702)
    assert world.venue.store.last_app_ref == 55
    assert world.client.steady and world.venue.steady
    assert not world.client_handler.messages and not world.venue_handler.messages


async def test_part_of_a_table_is_sent(world: World) -> None:
    world.client.send_orders(new_orders(10), 3, first=4)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 3)
    assert world.venue_handler.rows(records.ORDER)["cl_ord_id"].tolist() == [5, 6, 7]


async def test_row_that_cannot_be_encoded_is_named_and_those_before_it_are_sent(world: World) -> None:
    rows = new_orders(5)
    rows[3]["instrument"] = 7
    with pytest.raises(HotPathError, match="row 3 cannot be encoded, 2 rows are unsent"):
        world.client.send_orders(rows, 5)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 3)
    assert world.client.next_out == 5


async def test_cold_messages_travel_as_text(world: World) -> None:
    world.client.send("AF", [(584, "00000000000000AB"), (585, "7")])
    await world.venue_handler.until(lambda: world.venue_handler.messages)
    msg_type, raw, poss_dup = world.venue_handler.messages[0]
    assert (msg_type, parse(raw).text(584), poss_dup) == ("AF", "00000000000000AB", False)
    world.venue.refuse(raw, 3, "Unsupported Message Type")
    await world.client_handler.until(lambda: world.client_handler.messages)
    message = parse(world.client_handler.messages[0][1])
    assert [message.text(tag) for tag in (35, 45, 372, 380)] == ["j", "2", "AF", "3"]


async def test_hot_and_cold_messages_keep_their_order(world: World) -> None:
    world.client.send_orders(new_orders(1), 1)
    world.client.send("V", [(262, "a")])
    world.client.send_orders(new_orders(1, 2), 1)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 2 and world.venue_handler.messages)
    assert world.venue_handler.rows(records.ORDER)["msg_seq"].tolist() == [2, 4]
    assert world.venue.next_in == 5


async def test_orderly_logout_and_states_told(world: World) -> None:
    await world.initiator.stop("done for today")
    await world.both(State.DISCONNECTED)
    assert [state for state, _ in world.client_handler.states] == [
        State.LOGON_SENT, State.LOGGED_ON, State.LOGOUT_SENT, State.DISCONNECTED,
    ]  # fmt: skip
    assert world.venue_handler.states[-1] == (State.DISCONNECTED, "done for today")
    with pytest.raises(SessionNotLoggedOnError):
        world.client.send_orders(new_orders(1), 1)


# ----------------------------------------------------------------- things that go wrong


async def test_venue_that_is_down_at_start_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.open_venue()
    await world.acceptor.close()
    await world.open_client()
    while world.initiator.attempts < 3:
        await asyncio.sleep(0)
    assert f"127.0.0.1:{world.port}" in world.initiator.last_error
    await world.open_venue()
    await world.both(State.LOGGED_ON)
    await world.close()


@pytest.mark.parametrize("side", ["client", "venue"])
async def test_cut_connection_comes_back_with_its_numbers(world: World, side: str) -> None:
    world.client.send_orders(new_orders(5), 5)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 5)
    for _ in range(3):
        getattr(world, side).abort("cut")
        await world.both(State.LOGGED_ON)
        await world.client_handler.until(lambda: world.client.steady and world.venue.steady)
    assert not [event for event in world.client_handler.events if isinstance(event, SequencesReset)]
    world.client.send_orders(new_orders(1, 9), 1)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 6)
    assert world.venue_handler.rows(records.ORDER)["cl_ord_id"].tolist() == [1, 2, 3, 4, 5, 9]


async def test_reports_made_while_the_client_was_away_arrive_by_resend(world: World) -> None:
    await world.initiator.stop()
    await world.both(State.DISCONNECTED)
    world.venue.send_executions(reports(450), 450, app_ref=450)
    world.venue.send("y", [(320, "late list")])
    await world.open_client()
    await world.client_handler.until(lambda: len(world.client_handler.frames) == 450 and world.client_handler.messages)
    got = world.client_handler.rows(records.EXECUTION)
    assert got["exec_id"].tolist() == list(range(1, 451))
    assert set(got["poss_dup"].tolist()) == {1}
    assert world.client_handler.messages[0][2] is True
    await world.client_handler.until(lambda: world.client.steady)


async def test_orders_lost_on_the_way_are_never_sent_again(world: World) -> None:
    """The venue dies with orders unread: they are gap-filled, and the session goes on."""
    world.venue.abort("killed before it read")
    world.client.send_orders(new_orders(20), 20)
    await world.both(State.LOGGED_ON)
    await world.venue_handler.until(lambda: world.venue.next_in == world.client.next_out)
    assert [event for event in world.venue_handler.events if isinstance(event, GapDetected)]
    assert not world.venue_handler.frames
    world.client.send_orders(new_orders(1, 99), 1)
    await world.venue_handler.until(lambda: world.venue_handler.frames)
    assert world.venue_handler.rows(records.ORDER)["cl_ord_id"].tolist() == [99]


async def test_venue_killed_and_restarted_resumes(world: World) -> None:
    world.venue.send_executions(reports(3), 3, app_ref=3)
    await world.client_handler.until(lambda: len(world.client_handler.frames) == 3)
    await world.crash_venue()
    assert world.venue.store.last_app_ref == 3
    world.venue.send_executions(reports(2, 4), 2, app_ref=5)
    await world.open_venue()
    await world.client_handler.until(lambda: len(world.client_handler.frames) == 5)
    assert world.client_handler.rows(records.EXECUTION)["exec_id"].tolist() == [1, 2, 3, 4, 5]


async def test_client_killed_and_restarted_resumes(world: World) -> None:
    world.client.send_orders(new_orders(3), 3)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 3)
    await world.crash_client()
    world.venue.send_executions(reports(4), 4, app_ref=4)
    await world.open_client()
    await world.client_handler.until(lambda: len(world.client_handler.frames) == 4)
    assert len(world.venue_handler.frames) == 3
    world.client.send_orders(new_orders(1, 4), 1)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 4)


@pytest.mark.parametrize("side", ["client", "venue"])
async def test_side_that_lost_its_memory_is_met_by_a_reset(tmp_path: Path, side: str) -> None:
    world = await World(tmp_path, recover_by_reset=True).open()
    world.client.send_orders(new_orders(5), 5)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 5)
    world.venue.send_executions(reports(5), 5)
    await world.client_handler.until(lambda: len(world.client_handler.frames) == 5)
    await (world.crash_client() if side == "client" else world.crash_venue())
    getattr(world, side).store.reset()  # its directory was lost
    await (world.open_client() if side == "client" else world.open_venue())
    await world.client_handler.until(lambda: any(isinstance(e, SequencesReset) for e in world.client_handler.events))
    await world.both(State.LOGGED_ON)
    await world.client_handler.until(lambda: world.client.steady)
    assert world.client.send_orders(new_orders(1, 6), 1) == 2
    await world.venue_handler.until(
        lambda: 6 in [int(row) for row in world.venue_handler.rows(records.ORDER)["cl_ord_id"]]
    )
    await world.close()


async def test_handler_that_raises_gets_the_message_again(world: World) -> None:
    world.venue_handler.fail_on = "V"
    world.client.send("V", [(262, "a")])
    await world.venue_handler.until(lambda: world.venue_handler.failures)
    assert "the handler breaks" in str(world.venue_handler.failures[0])
    assert "handler failed: RuntimeError" in world.venue_handler.states[-1][1]
    assert world.venue.store.next_in == 2, "not counted as taken"
    await world.both(State.LOGGED_ON)
    # A request is stale by policy: the client fills it, and the venue counts it.
    await world.venue_handler.until(lambda: world.venue.next_in == world.client.next_out)


async def test_unread_reports_are_delivered_again_after_a_failure(world: World) -> None:
    world.client_handler.fail_on = "y"
    world.venue.send("y", [(320, "list")])
    await world.client_handler.until(lambda: world.client_handler.failures)
    await world.client_handler.until(lambda: world.client_handler.messages)
    assert [(kind, dup) for kind, _, dup in world.client_handler.messages] == [("y", True)]


async def test_full_disk_refuses_to_send_and_the_session_lives(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(fd: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", no_space)
        with pytest.raises(StoreFullError, match="No space left"):
            world.client.send_orders(new_orders(1), 1)
    assert world.client.logged_on and world.client.next_out == 2
    world.client.send_orders(new_orders(1), 1)
    await world.venue_handler.until(lambda: world.venue_handler.frames)
    assert world.venue.next_in == 3


def test_roles_are_checked(tmp_path: Path) -> None:
    session = FixSession(initiator_settings(), MessageStore(tmp_path / "a"), None)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="needs role ACCEPTOR"):
        Acceptor([session])
    with pytest.raises(HotPathError, match="no hot path is bound"):
        session.send_orders(new_orders(1), 1)
    session.store.release()


@pytest.mark.parametrize(
    "story",
    [
        test_orders_and_reports_travel_as_frames,
        test_hot_and_cold_messages_keep_their_order,
        test_orderly_logout_and_states_told,
        test_reports_made_while_the_client_was_away_arrive_by_resend,
        test_orders_lost_on_the_way_are_never_sent_again,
        test_venue_killed_and_restarted_resumes,
        test_client_killed_and_restarted_resumes,
        test_handler_that_raises_gets_the_message_again,
    ],
)
def test_the_same_on_uvloop(story: Any, tmp_path: Path) -> None:
    """The loop of the daemon has sockets and buffers of its own."""

    async def main() -> None:
        world = await World(tmp_path).open()
        try:
            await story(world)
        finally:
            await world.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class Busy(Recorder):
    """A handler that takes half a millisecond a message, and notes in which turn of the loop it got it."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.turns: Counter[int] = Counter()
        self._next_turn()

    def _next_turn(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self._next_turn)

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        until_ns = time.perf_counter_ns() + 500_000
        while time.perf_counter_ns() < until_ns:
            pass
        self.turns[self.turn] += 1
        super().on_message(session, msg_type, raw, poss_dup)


async def test_a_long_gap_that_closes_leaves_the_loop_to_others_in_between(tmp_path: Path) -> None:
    world = World(tmp_path, hot=False)
    world.venue_handler = busy = Busy()
    world.venue.handler = busy
    await world.open_venue()
    async with Raw(world.port) as peer:
        peer.writer.write(peer.logon())
        peer.writer.write(b"".join([peer.say("B", seq, [(148, f"{seq}")]) for seq in range(3, 203)]))
        async with asyncio.timeout(60):
            while world.venue.machine.snapshot()["held"] != 200:
                await asyncio.sleep(0)
        peer.writer.write(peer.say("B", 2, [(148, "2")]) + peer.say("B", 203, [(148, "203")]))
        async with asyncio.timeout(60):
            while world.venue.next_in != 204:
                await asyncio.sleep(0)
    assert [int(parse(raw).text(148)) for _, raw, _ in busy.messages] == list(range(2, 204))
    assert max(busy.turns.values()) <= 21  # one portion behind the one that used up the turn
    await world.close()
