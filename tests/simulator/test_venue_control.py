"""The operator's socket: who may use it, what each verb does, and what is refused by name."""

import asyncio
import json
import os

import pytest

from market.enums import ExecType, Side, TradingStatus
from simulator.control import ControlServer, Verbs, socket_path
from simulator.errors import ControlSocketError
from tests.simulator.venue_client import VenueRoom
from tests.simulator.venue_orders import Orders


class Desk:
    """A venue, or two of one name each, and the socket of their process."""

    def __init__(self, directory, names=("OPT",)):
        self.path = directory / "sim.sock"
        self.rooms = [VenueRoom(directory / name, name=name) for name in names]

    async def open(self):
        for room in self.rooms:
            await room.open()
        self.server = ControlServer(self.path, Verbs([room.venue for room in self.rooms]).table)
        await self.server.start()
        return self

    async def ask(self, verb, **args):
        [answer] = await self.say(json.dumps({"verb": verb, "args": args}).encode())
        return answer

    async def say(self, *lines):
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(b"".join(line + b"\n" for line in lines))
        answers = [json.loads(await reader.readline()) for _ in lines]
        writer.close()
        return answers

    async def close(self):
        await self.server.stop()
        for room in self.rooms:
            await room.close()
            assert room.failures == []


@pytest.fixture
async def desk(tmp_path):
    desk = await Desk(tmp_path).open()
    yield desk
    await desk.close()


async def traded(room):
    """ALICE buys 4 of BOB at 1.25; both sides' fills as ALICE and BOB heard of them."""
    alice, bob = await room.trader("ALICE").log_on(), await room.trader("BOB").log_on()
    bob.send(Orders().add(0, side=Side.SELL, price_ticks=125, qty=4, cl_ord_id=0xB))
    await bob.reports(1)
    alice.send(Orders().add(0, price_ticks=125, qty=4, cl_ord_id=0xA))
    fills = (await alice.reports(2))[1], (await bob.reports(2))[1]
    return alice, [f"{int(fill['exec_id']):016X}" for fill in fills]


async def test_trades_name_what_can_be_busted_and_say_what_became_of_it(desk):
    room = desk.rooms[0]
    alice, (bought, sold) = await traded(room)
    trades = (await desk.ask("trades"))["result"]["trades"]
    assert [(t["exec_id"], t["client"], t["side"], t["qty"], t["price"], t["stands"]) for t in trades] == [
        (bought, "ALICE", "buy", 4, "1.25", True), (sold, "BOB", "sell", 4, "1.25", True),
    ]  # fmt: skip
    done = await desk.ask("correct", exec_id=sold, price="1.2")
    assert done == {"ok": True, "result": {"venue": "OPT", "exec_id": sold, "qty": 4, "ticks": 120}}
    done = await desk.ask("correct", exec_id=bought, qty=3)
    assert done["result"] == {"venue": "OPT", "exec_id": bought, "qty": 3, "ticks": 120}
    assert (await desk.ask("bust", exec_id=bought))["ok"]
    *_, corrected, again, bust = await alice.reports(5)
    assert [int(row["exec_type"]) for row in (corrected, again, bust)] == [
        ExecType.TRADE_CORRECT, ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL,
    ]  # fmt: skip
    trades = (await desk.ask("trades", last=4))["result"]["trades"]
    assert [(t["kind"], t["client"], t["qty"], t["stands"]) for t in trades] == [
        ("bust", "ALICE", 3, False), ("bust", "BOB", 3, False), ("correction", "ALICE", 3, False),
        ("correction", "BOB", 3, False),
    ]  # fmt: skip
    assert trades[0]["ref"] == trades[2]["exec_id"] == f"{int(again['exec_id']):016X}"
    assert not any(t["stands"] for t in (await desk.ask("trades"))["result"]["trades"])


async def test_halt_reopen_and_news_reach_the_clients(desk):
    room = desk.rooms[0]
    symbol = bytes(room.instruments[1]["symbol"]).decode()
    trader = await room.trader("ALICE").log_on()
    trader.session.send("e", [(324, "E"), (55, symbol), (263, "1")])
    await trader.message("f")
    assert (await desk.ask("halt", symbol=symbol))["result"] == {"changed": 1}
    assert (await desk.ask("halt", symbol="all", venue="OPT"))["result"] == {"changed": 2}
    assert (await desk.ask("reopen", symbol="all"))["result"] == {"changed": 3}
    assert (await desk.ask("news", headline="Hear", lines=["one", "two"], urgent=True))["result"] == {"told": 1}
    (news,) = await trader.message("B")
    assert (news.text(148), news.text(61), news.text(33)) == ("Hear", "1", "2")
    statuses = [m.integer(326) for m in await trader.message("f")]
    assert statuses == [TradingStatus.OPEN, TradingStatus.HALTED, TradingStatus.OPEN]


@pytest.mark.parametrize(
    ("verb", "args", "code", "why"),
    [
        ("bust", {"exec_id": "00000000000000AA"}, 2, "no trade has the ExecID 00000000000000AA"),
        ("bust", {"exec_id": "0x000000000000AA"}, 2, "16 hex digits"),
        ("bust", {"exec_id": "00000000000000AA", "qty": 1}, 1, "a bust takes a whole trade back"),
        ("bust", {}, 1, "exec_id"),
        ("bust", {"exec_id": 5}, 1, "Expected `str`"),
        ("correct", {"exec_id": "00000000000000AA"}, 1, "a quantity, a price or both"),
        ("halt", {"symbol": "NOPE"}, 2, "'NOPE' is not listed at OPT"),
        ("halt", {"symbol": "all", "venue": "NYSE"}, 2, "there is no venue 'NYSE' in this simulator; there are: OPT"),
        ("halt", {"symbol": "all", "reason": "x"}, 1, "unknown field `reason`"),
        ("news", {"headline": ""}, 1, "1..200 printable ASCII"),
        ("trades", {"last": 0}, 1, "1..1000"),
        ("close", {}, 2, "unknown verb 'close': one of bust, correct, halt, news, reopen, trades"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(desk, verb, args, code, why):
    answer = await desk.ask(verb, **args)
    assert (answer["ok"], answer["code"]) == (False, code)
    assert why in answer["error"]


async def test_a_price_that_the_instrument_cannot_have_is_refused(desk):
    _, (bought, _) = await traded(desk.rooms[0])
    for price in ("1.255", "-1", "abc", "1e3", ""):
        answer = await desk.ask("correct", exec_id=bought, price=price)
        assert (answer["code"], "up to 2 decimals" in answer["error"]) == (1, True), price
    assert "is busted already" not in (await desk.ask("bust", exec_id=bought)).get("error", "")
    assert "is busted already" in (await desk.ask("bust", exec_id=bought))["error"]


async def test_lines_that_are_no_requests_are_answered_and_the_next_one_counts(desk):
    garbage, array, good = await desk.say(b"{not json", b"[1]", b'{"verb":"trades"}')
    assert [garbage["ok"], array["ok"], good] == [False, False, {"ok": True, "result": {"trades": []}}]
    assert "not a control request" in garbage["error"]


async def test_an_exec_id_of_two_venues_needs_the_venues_name(tmp_path):
    desk = await Desk(tmp_path, ("ONE", "TWO")).open()
    _, (bought, _) = await traded(desk.rooms[0])
    _, (same, _) = await traded(desk.rooms[1])
    assert bought == same
    answer = await desk.ask("bust", exec_id=bought)
    assert (answer["code"], answer["error"]) == (1, f"ExecID {bought} is of a trade at ONE and TWO: name the venue")
    assert (await desk.ask("bust", exec_id=bought, venue="TWO"))["result"]["venue"] == "TWO"
    stands = {t["venue"]: t["stands"] for t in reversed((await desk.ask("trades"))["result"]["trades"])}
    assert stands == {"ONE": True, "TWO": False}
    await desk.close()


async def test_a_venue_that_has_failed_takes_nothing_any_more(tmp_path):
    desk = await Desk(tmp_path).open()
    room = desk.rooms[0]
    _, (bought, _) = await traded(room)
    os.close(room.venue.log._fd)  # the disk is gone
    room.venue.log._fd = os.open("/dev/full", os.O_WRONLY)
    for verb, args in (("bust", {"exec_id": bought}), ("halt", {"symbol": "all"}), ("news", {"headline": "x"})):
        answer = await desk.ask(verb, **args)
        assert "has failed and takes nothing any more" in answer["error"]
    assert len(room.failures) == 1
    room.failures.clear()
    os.close(room.venue.log._fd)
    room.venue.log._fd = -1
    await desk.close()


async def test_the_socket_is_its_owners_alone_and_goes_with_the_server(tmp_path):
    path = tmp_path / ("deep" * 30) / "sim.sock"  # longer than a socket's address can be
    server = ControlServer(path, {})
    await server.start()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ControlSocketError, match="another simulator listens there"):
        await ControlServer(path, {}).start()
    assert path.exists()
    await server.stop()
    assert not path.exists()
    path.touch()  # left behind by one that died
    again = ControlServer(path, {"x": lambda _args: {"y": 1}})
    await again.start()
    assert path.is_socket()
    await again.stop()


async def test_who_is_still_connected_when_the_simulator_stops_is_told(desk):
    reader, writer = await asyncio.open_unix_connection(str(desk.path))
    writer.write(b'{"verb":"trades"}\n')
    assert json.loads(await reader.readline())["ok"]
    await desk.server.stop()
    writer.write(b'{"verb":"halt","args":{"symbol":"all"}}\n')
    assert json.loads(await reader.readline())["error"] == "the simulator is stopping"
    writer.close()


async def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ControlSocketError, match=r"file/sim\.sock"):
        await ControlServer(tmp_path / "file" / "sim.sock", {}).start()


def test_venues_of_one_profile_in_two_processes_have_a_socket_each(tmp_path):
    names = {socket_path(tmp_path, chosen).name for chosen in (None, ["OPT"], ["EQ"])}
    assert names == {"sim.sock", "sim-OPT.sock", "sim-EQ.sock"}
