"""Drop copy of a venue: who is told what of whose trades, over real sockets, also after a crash."""

import asyncio

import numpy as np
import pytest

from fix.codec import SymbolTable
from fix.messages import frame, parse
from fix.session import Role, SessionSettings
from market.enums import ExecType, OrderAction, Side
from simulator.errors import VenueSettingsError
from simulator.tradelog import TradeLog, read_log
from simulator.venue.dropcopy import CopyHotPath
from simulator.venue.settings import DropCopySettings
from tests.simulator.venue_client import VenueRoom
from tests.simulator.venue_orders import ALICE, BOB, MAKER, Orders, options_of, small_core, small_market

WATCHER = DropCopySettings(comp_id="WATCHER")
IDS = ("exec_id", "order_id", "cl_ord_id", "exec_type", "ord_status", "last_qty", "last_ticks", "cum_qty", "leaves_qty")


def ids(rows):
    return [tuple(int(row[name]) for name in IDS) for row in rows]


def encoded(owner, rows, count):
    settings = SessionSettings(sender_comp_id="OPT", target_comp_id="WATCHER", role=Role.ACCEPTOR)
    symbols = SymbolTable(3)
    for book, row in enumerate(options_of(small_market())[0]):
        symbols.add(bytes(row["symbol"]).decode(), book, int(row["price_scale"]), int(row["multiplier"]))
    hot = CopyHotPath(settings, symbols, {ALICE: "ALICE", BOB: "B" * 32})
    rows["session"][:count] = owner
    text, ends = hot.encode_executions(rows, 0, count, 7, 1_700_000_000_000_000_000)
    return bytes(text), [int(end) for end in ends]


@pytest.mark.parametrize(("owner", "comp_id"), [(ALICE, "ALICE"), (BOB, "B" * 32)])
def test_a_copy_is_the_report_and_says_so(owner, comp_id):
    core = small_core()
    core.apply(Orders().add(MAKER, side=Side.SELL, qty=15).add(ALICE, cl_ord_id=1).buffer.rows, 0, 2, 5, 7)
    text, ends = encoded(owner, core.reports.rows, 3)
    assert ends[-1] == len(text) and len(ends) == 3
    start = 0
    for number, end in enumerate(ends):
        message = parse(text[start:end])  # raises where BodyLength or CheckSum is wrong
        assert (message.msg_type, message.seq) == ("8", 7 + number)
        assert [message.text(tag) for tag in (797, 453, 448, 447, 452)] == ["Y", "1", comp_id, "D", "7"]
        assert message.text(17) == f"{int(core.reports.rows[number]['exec_id']):016X}"
        start = end
    assert frame(bytearray(text), 0, len(text)) == (0, ends[0])


async def test_every_report_of_every_client_is_copied_with_its_ids(tmp_path):
    room = await VenueRoom(tmp_path, drop_copies=(WATCHER,)).open()
    watcher = await room.trader("WATCHER").log_on()
    alice, bob = await room.trader("ALICE").log_on(), await room.trader("BOB").log_on()
    room.flow(Orders().add(MAKER, side=Side.SELL, qty=3))
    alice.send(Orders().add(0, cl_ord_id=1, qty=5))
    await alice.reports(2)
    bob.send(
        Orders().add(0, cl_ord_id=9, price_ticks=80).add(0, cl_ord_id=10, orig_cl_ord_id=9, action=OrderAction.CANCEL)
    )
    await bob.reports(2)
    copies = await watcher.reports(4)
    assert ids(copies) == ids(alice.inbox.executions) + ids(bob.inbox.executions)
    assert not room.failures
    await room.close()


async def test_a_group_hears_its_own_clients_and_trades_only_where_it_asks(tmp_path):
    copies = (
        DropCopySettings(comp_id="ONE", clients=("ALICE",)),
        DropCopySettings(comp_id="TWO", clients=("ALICE", "BOB"), trades_only=True),
    )
    room = await VenueRoom(tmp_path, drop_copies=copies).open()
    one, two = await room.trader("ONE").log_on(), await room.trader("TWO").log_on()
    alice, bob = await room.trader("ALICE").log_on(), await room.trader("BOB").log_on()
    alice.send(Orders().add(0, cl_ord_id=1, side=Side.SELL, qty=5))
    await alice.reports(1)
    bob.send(Orders().add(0, cl_ord_id=1, qty=5))
    await bob.reports(2)
    await alice.reports(2)
    assert ids(await one.reports(2)) == ids(alice.inbox.executions)
    trades = await two.reports(2)
    assert {int(row["exec_type"]) for row in trades} == {ExecType.TRADE}
    assert {int(row["exec_id"]) for row in trades} == {
        int(row["exec_id"])
        for row in alice.inbox.executions + bob.inbox.executions
        if row["exec_type"] == ExecType.TRADE
    }
    await room.close()


async def test_copies_made_while_nobody_listened_come_at_the_next_logon(tmp_path):
    room = await VenueRoom(tmp_path, drop_copies=(WATCHER,)).open()
    alice = await room.trader("ALICE").log_on()
    alice.send(Orders().add(0, cl_ord_id=1, price_ticks=80).add(0, cl_ord_id=2, price_ticks=81))
    await alice.reports(2)
    watcher = await room.trader("WATCHER").log_on()
    copies = await watcher.reports(2)
    assert ids(copies) == ids(alice.inbox.executions)
    assert {int(row["poss_dup"]) for row in copies} == {1}
    await room.close()


async def test_an_order_for_a_symbol_that_is_not_listed_is_copied_too(tmp_path):
    room = await VenueRoom(tmp_path, drop_copies=(WATCHER,)).open()
    watcher, alice = await room.trader("WATCHER").log_on(), await room.trader("ALICE").log_on()
    alice.send(Orders().add(0, cl_ord_id=1).add(0, cl_ord_id=2, instrument=3).add(0, cl_ord_id=3))
    await watcher.reports(3)
    assert [int(row["cl_ord_id"]) for row in watcher.inbox.executions] == [1, 2, 3]
    await room.close()


async def test_a_request_on_a_drop_copy_session_is_refused_by_name(tmp_path):
    room = await VenueRoom(tmp_path, drop_copies=(WATCHER,)).open()
    watcher = await room.trader("WATCHER").log_on()
    watcher.send(Orders().add(0, cl_ord_id=1))
    [refusal] = await watcher.message("j")
    assert (refusal.text(372), refusal.text(380)) == ("D", "3")
    assert not watcher.inbox.executions
    assert int(room.venue.core.live_orders) == 0
    await room.close()


async def test_what_a_crash_kept_from_the_copy_is_stored_at_the_next_start_once(tmp_path):
    core = small_core()
    (tmp_path / "venue").mkdir()
    (tmp_path / "venue" / "participants.json").write_text(f'{{"ALICE": {ALICE}, "BOB": {BOB}}}')
    log = TradeLog(tmp_path / "venue" / "trades.log", options_of(small_market())[0])
    orders = Orders().add(MAKER, side=Side.SELL, qty=15).add(ALICE, cl_ord_id=1).add(ALICE, cl_ord_id=2)
    _, reports, *_ = core.apply(orders.buffer.rows, 0, orders.count, 5, 7)
    log.append(core.logged.frames, core.settle(reports, log.count + 1).logged)
    log.close()
    for _ in range(2):  # the second start owes nothing more
        room = await VenueRoom(tmp_path, drop_copies=(WATCHER,)).open()
        await room.close()
    room = await VenueRoom(tmp_path, drop_copies=(WATCHER,)).open()
    contents = read_log(room.venue.log.path)
    of_alice = contents.executions[contents.executions["session"] == ALICE]
    watcher = await room.trader("WATCHER").log_on()
    copies = await watcher.reports(len(of_alice))
    assert [int(row["exec_id"]) for row in copies] == [int(row["exec_id"]) for row in of_alice]
    assert watcher.session.next_in > len(of_alice)
    await room.close()


def test_a_copy_of_nobody_is_a_fault_of_the_settings(tmp_path):
    with pytest.raises(VenueSettingsError, match="drop copy WATCHER copies 'CAROL', its clients are ALICE, BOB"):
        VenueRoom(tmp_path, drop_copies=(DropCopySettings(comp_id="WATCHER", clients=("CAROL",)),))


async def test_copies_of_a_long_burst_are_all_there_in_order(tmp_path):
    room = await VenueRoom(tmp_path, drop_copies=(WATCHER,)).open()
    watcher, alice = await room.trader("WATCHER").log_on(), await room.trader("ALICE").log_on()
    for first in range(0, 9000, 1000):
        orders = Orders(1000)
        for number in range(first, first + 1000):
            orders.add(0, cl_ord_id=number + 1, price_ticks=50 + number % 7)
        alice.send(orders)
        await asyncio.sleep(0)
    copies = await watcher.reports(9000)
    assert [int(row["cl_ord_id"]) for row in copies] == list(range(1, 9001))
    await alice.leave()  # and the orders are canceled: more reports in one batch than the copy holds at once
    copies = await watcher.reports(18_000)
    assert {int(row["exec_type"]) for row in copies[9000:]} == {ExecType.CANCELED}
    assert len({int(row["cl_ord_id"]) for row in copies[9000:]}) == 9000
    assert np.array_equal([row["exec_id"] for row in copies], sorted(row["exec_id"] for row in copies))
    assert not room.failures
    await room.close()


AMENDMENT = (*IDS, "orig_cl_ord_id", "commission_e4")


async def test_busts_and_corrections_are_copied_with_what_they_refer_to(tmp_path):
    trades_only = DropCopySettings(comp_id="WATCHER", trades_only=True)
    room = await VenueRoom(tmp_path, drop_copies=(trades_only,)).open()
    watcher, alice = await room.trader("WATCHER").log_on(), await room.trader("ALICE").log_on()
    room.flow(Orders().add(MAKER, side=Side.SELL, qty=3))
    alice.send(Orders().add(0, cl_ord_id=1, qty=5))
    fill = int((await alice.reports(2))[1]["exec_id"])
    room.venue.operations.correct(fill, qty=2, ticks=99)
    room.venue.operations.bust(fill)
    _, *reports = await alice.reports(4)
    copies = await watcher.reports(3)

    def said(rows):
        return [tuple(int(row[name]) for name in AMENDMENT) for row in rows]

    assert said(copies) == said(reports)
    assert [int(row["orig_cl_ord_id"]) for row in copies] == [0, fill, int(reports[1]["exec_id"])]
    assert [int(row["exec_type"]) for row in copies[1:]] == [ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL]
    assert not room.failures
    await room.close()
