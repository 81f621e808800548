"""Who gets in, who is dropped; bytes in any pieces; peers that read late or never."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from fix.endpoints import Backpressure, OnExceed
from fix.errors import BackpressureError
from fix.messages import utc_timestamp
from fix.session import State
from market import records
from tests.fix.endpoints.world import SYMBOL, Raw, World, new_orders, now_ns, reports


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


async def test_peer_that_does_not_read_is_cut_off(venue_only: World) -> None:
    venue_only.venue.backpressure = Backpressure(max_backlog_bytes=1 << 20)
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


async def test_sending_is_refused_beyond_the_backlog_where_that_is_the_policy(venue_only: World) -> None:
    venue_only.venue.backpressure = Backpressure(max_backlog_bytes=1 << 20, on_exceed=OnExceed.REFUSE)
    async with Raw(venue_only.port) as raw:
        raw.writer.write(raw.logon())
        await venue_only.venue.wait_state(State.LOGGED_ON)
        raw.reader._transport.pause_reading()  # type: ignore[attr-defined]
        start = 1
        while venue_only.venue.backlog_bytes <= 1 << 20:
            venue_only.venue.send_executions(reports(500, start), 500)
            start += 500
        with pytest.raises(BackpressureError, match="bytes are unsent, at most 1048576 may be"):
            venue_only.venue.send_executions(reports(500, start), 500)
        assert venue_only.venue.connected
        stored = venue_only.venue.next_out
        with pytest.raises(BackpressureError):
            venue_only.venue.send("y", [(320, "list")])
        assert venue_only.venue.next_out == stored, "what is refused uses no number"
        raw.reader._transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            while venue_only.venue.backlog_bytes:
                await raw.reader.read(1 << 20)
        venue_only.venue.send("y", [(320, "list")])
    counters = venue_only.venue.counters
    assert counters.backlog_refused == 2
    assert counters.backlog_peak_bytes > 1 << 20
