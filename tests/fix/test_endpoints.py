"""Sessions over real sockets: initiator, acceptor, reconnects, restarts, the hot path."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop

from fix.codec import SymbolTable
from fix.endpoints import Acceptor, CodecHotPath, FixSession, Initiator, Reconnect
from fix.errors import HotPathError, SessionNotLoggedOnError, SettingsError, StoreFullError
from fix.messages import build, parse, utc_timestamp
from fix.session import GapDetected, SequencesReset, SessionEvent, State
from fix.store import MessageStore
from fix.testing import acceptor_settings, initiator_settings, split_messages
from market import records
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, OrdType, Side, TimeInForce

ROOT = Path(__file__).resolve().parents[2]
FAST = Reconnect(first_s=0.01, max_s=0.05)
SYMBOL = "GOOG151224C00750000"


class Recorder:
    """A handler that keeps everything and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray[Any, Any]] = []
        self.messages: list[tuple[str, bytes, bool]] = []
        self.states: list[tuple[State, str]] = []
        self.events: list[SessionEvent] = []
        self.failures: list[BaseException] = []
        self.batches: list[int] = []
        self.changed = asyncio.Event()
        self.fail_on = ""

    def on_frames(self, session: FixSession, frames: Any, count: int) -> None:
        self.batches.append(count)
        self.frames.extend(frames[:count].copy())
        self.changed.set()

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        self.changed.set()
        if msg_type == self.fail_on:
            self.fail_on = ""
            raise RuntimeError("the handler breaks")
        self.messages.append((msg_type, raw, poss_dup))

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        self.states.append((state, reason))
        self.changed.set()

    def on_event(self, session: FixSession, event: SessionEvent) -> None:
        self.events.append(event)
        self.changed.set()

    def on_failure(self, session: FixSession, error: BaseException) -> None:
        self.failures.append(error)
        self.changed.set()

    async def until(self, condition: Any) -> None:
        """Wait until ``condition()`` holds; looked at after every callback."""
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def rows(self, layout: Any) -> Any:
        return records.as_layout(np.array(self.frames, np.uint8).reshape(-1, records.FRAME_BYTES), layout)


def symbols() -> SymbolTable:
    table = SymbolTable(8)
    table.add(SYMBOL, 3, 2, 100)
    return table


class World:
    """A client and a venue in one loop, each with its store on disk."""

    def __init__(self, directory: Path, *, hot: bool = True, **changes: Any) -> None:
        self.directory = directory
        self.hot = hot
        self.changes = {"recover_by_reset": False} | changes
        self.port = 0
        self.make_client()
        self.make_venue()

    def make_client(self) -> None:
        settings = initiator_settings(**self.changes)
        hot = CodecHotPath.for_session(settings, symbols(), 1, capacity=512) if self.hot else None
        self.client_handler = Recorder()
        self.client = FixSession(settings, MessageStore(self.directory / "client"), self.client_handler, hot, 1)

    def make_venue(self) -> None:
        settings = acceptor_settings(**self.changes)
        hot = CodecHotPath.for_session(settings, symbols(), 2, capacity=512, owner=16) if self.hot else None
        self.venue_handler = Recorder()
        self.venue = FixSession(settings, MessageStore(self.directory / "venue"), self.venue_handler, hot, 2)

    async def open_venue(self) -> None:
        self.acceptor = Acceptor([self.venue], port=self.port)
        await self.acceptor.start()
        self.port = self.acceptor.port

    async def open_client(self) -> None:
        self.initiator = Initiator(self.client, "127.0.0.1", self.port, FAST)
        self.initiator.start()

    async def open(self) -> "World":
        await self.open_venue()
        await self.open_client()
        await self.both(State.LOGGED_ON)
        return self

    async def both(self, state: State) -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(self.client.wait_state(state), self.venue.wait_state(state))

    async def close(self) -> None:
        if hasattr(self, "initiator"):
            await self.initiator.stop()
        if hasattr(self, "acceptor"):
            await self.acceptor.close()
        self.client.store.release()
        self.venue.store.release()

    async def crash_venue(self) -> None:
        """As kill -9 of the venue: the socket breaks, memory is gone, files stay as they are."""
        self.venue.abort("killed")
        await self.acceptor.close()
        self.venue.store.release()
        self.make_venue()

    async def crash_client(self) -> None:
        self.client.abort("killed")
        await self.initiator.stop()
        self.client.store.release()
        self.make_client()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.open()
    yield made
    await made.close()


def new_orders(count: int, first_id: int = 1) -> Any:
    rows = records.table(records.ORDER, count)
    rows["kind"] = FrameKind.ORDER
    rows["action"] = OrderAction.NEW
    rows["instrument"] = 3
    rows["side"], rows["ord_type"], rows["tif"] = Side.BUY, OrdType.LIMIT, TimeInForce.DAY
    rows["cl_ord_id"] = np.arange(first_id, first_id + count)
    rows["price_ticks"], rows["qty"] = 125, 10
    return rows


def reports(count: int, first_id: int = 1) -> Any:
    rows = records.table(records.EXECUTION, count)
    rows["kind"] = FrameKind.EXECUTION
    rows["exec_type"], rows["ord_status"] = ExecType.NEW, OrdStatus.NEW
    rows["instrument"], rows["side"] = 3, Side.BUY
    rows["cl_ord_id"] = rows["exec_id"] = np.arange(first_id, first_id + count)
    rows["order_id"] = rows["exec_id"]
    rows["price_ticks"], rows["order_qty"], rows["leaves_qty"] = 125, 10, 10
    return rows


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
    def no_space(fd: int, parts: list[Any], offset: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", no_space)
        with pytest.raises(StoreFullError, match="No space left"):
            world.client.send_orders(new_orders(1), 1)
    assert world.client.logged_on and world.client.next_out == 2
    world.client.send_orders(new_orders(1), 1)
    await world.venue_handler.until(lambda: world.venue_handler.frames)
    assert world.venue.next_in == 3


# ------------------------------------------------------------------------ the doorstep


class Raw:
    """A bare socket, for peers that misbehave."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> "Raw":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def logon(self, seq: int = 1, sender: str = "AXIOM", target: str = "OPT", begin_string: str = "FIX.4.4") -> bytes:
        return build(begin_string, "A", seq, sender, target, utc_timestamp(now_ns()), [(98, 0), (108, 30)])

    def say(self, msg_type: str, seq: int, body: list[tuple[int, Any]]) -> bytes:
        return build("FIX.4.4", msg_type, seq, "AXIOM", "OPT", utc_timestamp(now_ns()), body)

    async def read(self, count: int) -> list[str]:
        """MsgTypes of the next ``count`` messages."""
        data = b""
        async with asyncio.timeout(20):
            while data.count(b"\x0110=") < count:
                data += await self.reader.read(1 << 16)
        return [message.msg_type for message in split_messages(data)]

    async def is_dropped(self) -> bool:
        async with asyncio.timeout(20):
            return await self.reader.read() == b""


def now_ns() -> int:
    import time

    return time.time_ns()


@pytest.fixture
async def venue_only(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.open_venue()
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (lambda raw: raw.logon(sender="STRANGER"), "no session FIX.4.4 of 'OPT' with 'STRANGER'"),
        (lambda raw: raw.logon(target="OTHER"), "no session FIX.4.4 of 'OTHER'"),
        (lambda raw: raw.logon(begin_string="FIX.4.2"), "no session FIX.4.2"),
        (lambda raw: raw.say("0", 1, []), "must be a Logon, was MsgType '0'"),
        (lambda raw: raw.logon()[:-4] + b"999\x01", "garbled first message"),
        (lambda raw: b"GET / HTTP/1.1\r\n" * 8192, "no message in the first"),
    ],
)
async def test_strangers_are_dropped_without_an_answer(venue_only: World, first: Any, why: str) -> None:
    async with Raw(venue_only.port) as raw:
        raw.writer.write(first(raw))
        # A reset is as good as an end: what had not been read was still in the socket.
        with suppress(ConnectionResetError):
            assert await raw.is_dropped()
    assert why in venue_only.acceptor.drops[-1]
    assert venue_only.venue.store.next_out == 1


async def test_connect_and_close_without_a_word_is_harmless(venue_only: World) -> None:
    async with Raw(venue_only.port):
        pass
    await venue_only.open_client()
    await venue_only.both(State.LOGGED_ON)


async def test_second_logon_of_a_live_session_is_dropped_and_the_first_lives(world: World) -> None:
    async with Raw(world.port) as raw:
        raw.writer.write(raw.logon())
        assert await raw.is_dropped()
    assert "is connected already" in world.acceptor.drops[-1]
    world.client.send_orders(new_orders(1), 1)
    await world.venue_handler.until(lambda: world.venue_handler.frames)


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_messages_may_arrive_in_any_pieces(venue_only: World, size: int) -> None:
    async with Raw(venue_only.port) as raw:
        order = [(11, "00000000000000AB"), (55, SYMBOL), (54, 1), (38, 5), (40, 2), (44, "1.25"), (59, 0)]
        order += [(60, utc_timestamp(now_ns())), (21, 1)]
        stream = raw.logon() + raw.say("D", 2, order) + raw.say("1", 3, [(112, "X")]) + raw.say("D", 4, order)
        for start in range(0, len(stream), size):
            raw.writer.write(stream[start : start + size])
            await raw.writer.drain()
            await asyncio.sleep(0)
        assert await raw.read(2) == ["A", "0"]
        await venue_only.venue_handler.until(lambda: len(venue_only.venue_handler.frames) == 2)
    assert venue_only.venue_handler.rows(records.ORDER)["msg_seq"].tolist() == [2, 4]


async def test_half_a_message_at_the_cut_is_forgotten(venue_only: World) -> None:
    async with Raw(venue_only.port) as raw:
        raw.writer.write(raw.logon() + raw.say("1", 2, [(112, "X")])[:-9])
        assert await raw.read(1) == ["A"]
    await venue_only.venue.wait_state(State.DISCONNECTED)
    assert venue_only.venue.next_in == 2
    async with Raw(venue_only.port) as raw:
        raw.writer.write(raw.logon(2) + raw.say("1", 3, [(112, "X")]))
        assert await raw.read(2) == ["A", "0"]


async def test_peer_that_reads_late_gets_every_byte_in_order(venue_only: World) -> None:
    """More than the kernel's buffers hold: part is written at once, the rest waits in the transport."""
    async with Raw(venue_only.port) as raw:
        raw.writer.write(raw.logon())
        await venue_only.venue.wait_state(State.LOGGED_ON)
        for start in range(1, 50_001, 500):
            venue_only.venue.send_executions(reports(500, start), 500)
        assert venue_only.venue.backlog_bytes > 0
        venue_only.venue.send("y", [(320, "last")])
        data = b""
        async with asyncio.timeout(60):
            while b"320=last" not in data[-4096:]:
                data += await raw.reader.read(1 << 20)
        numbers = [int(part[: part.index(b"\x01")]) for part in data.split(b"\x0134=")[1:]]
        assert numbers == list(range(1, 50_003))


async def test_peer_that_does_not_read_is_cut_off(venue_only: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fix.endpoints.session.MAX_BACKLOG_BYTES", 1 << 20)
    async with Raw(venue_only.port) as raw:
        raw.writer.write(raw.logon())
        await venue_only.venue.wait_state(State.LOGGED_ON)
        raw.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for start in range(1, 100_001, 500):
            venue_only.venue.send_executions(reports(500, start), 500)
            if not venue_only.venue.connected:
                break
        assert "reads too slowly" in venue_only.venue.last_reason
    assert venue_only.venue.next_out > start, "what came after is stored for the next logon"


async def test_order_behind_a_gap_waits_and_comes_in_order(venue_only: World) -> None:
    def order(number: int) -> list[tuple[int, Any]]:
        body = [(11, f"{number:016X}"), (55, SYMBOL), (54, 1), (38, 5), (40, 2), (44, "1.25"), (59, 0)]
        return [*body, (60, utc_timestamp(now_ns())), (21, 1)]

    async with Raw(venue_only.port) as raw:
        raw.writer.write(raw.logon() + raw.say("D", 4, order(4)) + raw.say("D", 5, order(5)))
        assert await raw.read(2) == ["A", "2"]
        assert not venue_only.venue_handler.frames
        raw.writer.write(raw.say("D", 2, order(2)) + raw.say("D", 3, order(3)) + raw.say("D", 6, order(6)))
        await venue_only.venue_handler.until(lambda: len(venue_only.venue_handler.frames) == 5)
    assert venue_only.venue_handler.rows(records.ORDER)["cl_ord_id"].tolist() == [2, 3, 4, 5, 6]
    assert venue_only.venue.store.next_in == 7


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
        test_second_logon_of_a_live_session_is_dropped_and_the_first_lives,
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


# ------------------------------------------------------------------------- a real kill


CLIENT_PROCESS = """
import asyncio, sys
import numpy as np
from fix.endpoints import CodecHotPath, FixSession, Initiator, Reconnect
from fix.store import MessageStore
from fix.testing import initiator_settings
from market import records

class Handler:
    def on_frames(self, session, frames, count):
        for number in records.as_layout(frames, records.EXECUTION)["exec_id"][:count].tolist():
            print(number, flush=True)
    def on_message(self, *arguments): ...
    def on_state(self, *arguments): ...

async def main():
    settings = initiator_settings()
    from fix.codec import SymbolTable
    table = SymbolTable(8)
    table.add("GOOG151224C00750000", 3, 2, 100)
    hot = CodecHotPath.for_session(settings, table, 1)
    session = FixSession(settings, MessageStore(sys.argv[1]), Handler(), hot)
    Initiator(session, "127.0.0.1", int(sys.argv[2]), Reconnect(first_s=0.01)).start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_client_killed_by_sigkill_misses_no_report(venue_only: World, tmp_path: Path) -> None:
    """Three lives of a real process; what it printed, over all of them, is every report."""
    seen: set[int] = set()
    next_id = 1
    for _ in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CLIENT_PROCESS,
            str(tmp_path / "killed"),
            str(venue_only.port),
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        async with asyncio.timeout(120):
            await venue_only.venue.wait_state(State.LOGGED_ON)
            target = next_id + 400
            while next_id < target:
                venue_only.venue.send_executions(reports(10, next_id), 10, app_ref=next_id + 9)
                next_id += 10
                await asyncio.sleep(0)
            for _ in range(150):
                seen.add(int(await child.stdout.readline()))
            child.send_signal(signal.SIGKILL)
            seen.update(int(line) for line in (await child.stdout.read()).split())
            await child.wait()
            await venue_only.venue.wait_state(State.DISCONNECTED)
    await finish(venue_only, tmp_path / "killed", seen, next_id)


async def finish(world: World, directory: Path, seen: set[int], next_id: int) -> None:
    """A last life, left to read to the end."""
    settings = initiator_settings()
    handler = Recorder()
    session = FixSession(settings, MessageStore(directory), handler, CodecHotPath.for_session(settings, symbols(), 1))
    initiator = Initiator(session, "127.0.0.1", world.port, FAST)
    initiator.start()
    await handler.until(lambda: session.next_in == world.venue.next_out and session.steady)
    if handler.frames:
        seen.update(handler.rows(records.EXECUTION)["exec_id"].tolist())
    assert seen == set(range(1, next_id))
    await initiator.stop()
    session.store.release()
