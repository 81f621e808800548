"""A venue over real sockets: what a FIX client may do and what it hears."""

import asyncio
import os
import socket

import pytest

from fix.messages import join_fields
from fix.session import State
from market.enums import ExecType, OrderAction, OrdStatus, OrdType, Side, TimeInForce
from simulator.tradelog import audit_trades, count_account, open_orders, read_log
from simulator.venue.settings import ClientSettings, LatencyModel
from tests.simulator.venue_client import VenueRoom
from tests.simulator.venue_orders import ALICE, MAKER, NO_INSTRUMENT, Orders

CALL_90, CALL_100, CALL_110 = range(3)


@pytest.fixture
async def room(tmp_path):
    room = await VenueRoom(tmp_path).open()
    yield room
    await room.close()
    assert room.failures == []


def kinds(executions):
    return [ExecType(int(row["exec_type"])) for row in executions]


async def test_order_is_acknowledged_and_filled_with_commission(room):
    room.flow(Orders().add(MAKER, side=Side.SELL, instrument=CALL_100, price_ticks=125, qty=4))
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, instrument=CALL_100, price_ticks=130, cl_ord_id=0xABC))
    new, fill = await trader.reports(2)
    assert kinds([new, fill]) == [ExecType.NEW, ExecType.TRADE]
    assert (new["cl_ord_id"], new["order_qty"], new["leaves_qty"]) == (0xABC, 10, 10)
    assert (fill["last_qty"], fill["last_ticks"], fill["leaves_qty"], fill["cum_qty"]) == (4, 125, 6, 4)
    assert fill["commission_e4"] == 4 * 6500
    assert fill["order_id"] == new["order_id"] != 0


async def test_report_is_in_the_log_before_the_client_has_it(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0))
    (report,) = await trader.reports(1)
    logged = read_log(room.venue.log.path).executions
    assert report["exec_id"] in logged["exec_id"]
    assert set(logged["session"]) == {ALICE}


async def test_replace_then_cancel_by_client_ids(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=1))
    await trader.reports(1)
    trader.send(Orders().add(0, action=OrderAction.REPLACE, cl_ord_id=2, orig_cl_ord_id=1, price_ticks=99, qty=5))
    trader.send(Orders().add(0, action=OrderAction.CANCEL, cl_ord_id=3, orig_cl_ord_id=2))
    _, replaced, canceled = await trader.reports(3)
    assert (replaced["exec_type"], replaced["orig_cl_ord_id"], replaced["price_ticks"]) == (ExecType.REPLACED, 1, 99)
    assert (canceled["exec_type"], canceled["cl_ord_id"], canceled["leaves_qty"]) == (ExecType.CANCELED, 3, 0)


async def test_cancel_of_an_unknown_order_is_rejected(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, action=OrderAction.CANCEL, cl_ord_id=3, orig_cl_ord_id=2))
    await trader.inbox.until(lambda: trader.inbox.cancel_rejects)
    (reject,) = trader.inbox.cancel_rejects
    assert (reject["cl_ord_id"], reject["orig_cl_ord_id"], reject["reason"]) == (3, 2, 1)


async def test_one_client_cannot_touch_anothers_order(room):
    alice, bob = await room.trader("ALICE").log_on(), await room.trader("BOB").log_on()
    alice.send(Orders().add(0, cl_ord_id=1))
    await alice.reports(1)
    bob.send(Orders().add(0, action=OrderAction.CANCEL, cl_ord_id=2, orig_cl_ord_id=1))
    await bob.inbox.until(lambda: bob.inbox.cancel_rejects)
    assert room.venue.core.live_orders == 1
    assert len(alice.inbox.executions) == 1


async def test_two_clients_trade_and_each_hears_its_own_side(room):
    alice, bob = await room.trader("ALICE").log_on(), await room.trader("BOB").log_on()
    alice.send(Orders().add(0, side=Side.SELL))
    await alice.reports(1)
    bob.send(Orders().add(0, ord_type=OrdType.MARKET, tif=TimeInForce.IOC, price_ticks=0, qty=3))
    fill_of_bob = (await bob.reports(2))[1]
    fill_of_alice = (await alice.reports(2))[1]
    assert (fill_of_alice["side"], fill_of_alice["last_qty"]) == (Side.SELL, 3)
    assert (fill_of_bob["side"], fill_of_bob["last_qty"], fill_of_bob["ord_status"]) == (Side.BUY, 3, OrdStatus.FILLED)


async def test_mass_cancel_is_answered_behind_the_cancels(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=1).add(0, cl_ord_id=2, instrument=CALL_110))
    await trader.reports(2)
    trader.send(Orders().add(0, action=OrderAction.MASS_CANCEL, cl_ord_id=9, instrument=NO_INSTRUMENT))
    (answer,) = await trader.message("r")
    assert kinds(trader.inbox.executions[2:]) == [ExecType.CANCELED, ExecType.CANCELED]
    assert (answer.text(11), answer.text(531), answer.integer(533)) == (f"{9:016X}", "7", 2)


async def test_mass_cancel_of_one_series_leaves_the_others(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=1).add(0, cl_ord_id=2, instrument=CALL_110))
    trader.send(Orders().add(0, action=OrderAction.MASS_CANCEL, cl_ord_id=9, instrument=CALL_110))
    (answer,) = await trader.message("r")
    assert (answer.text(531), answer.integer(533)) == ("1", 1)
    assert room.venue.core.live_orders == 1


async def test_mass_status_lists_open_orders_and_marks_the_last(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=1).add(0, cl_ord_id=2, instrument=CALL_110))
    await trader.reports(2)
    trader.session.send("AF", [(584, f"{77:016X}"), (585, "7")])
    status = (await trader.reports(4))[2:]
    assert kinds(status) == [ExecType.ORDER_STATUS] * 2
    assert [int(row["cl_ord_id"]) for row in status] == [1, 2]
    assert [int(row["orig_cl_ord_id"]) for row in status] == [77, 77]
    assert [(int(row["tot_reports"]), int(row["last_report"])) for row in status] == [(2, 0), (2, 1)]


async def test_mass_status_without_orders_says_none(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("AF", [(584, f"{77:016X}"), (585, "7")])
    (none,) = await trader.reports(1)
    assert (none["exec_type"], none["tot_reports"], none["last_report"]) == (ExecType.ORDER_STATUS, 0, 1)
    assert (none["ord_status"], none["order_id"]) == (OrdStatus.REJECTED, 0)


async def test_unknown_symbol_is_refused_in_its_place(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=1).add(0, cl_ord_id=2, instrument=3).add(0, cl_ord_id=3, price_ticks=99))
    first, refused, last = await trader.reports(3)
    assert [int(row["cl_ord_id"]) for row in (first, refused, last)] == [1, 2, 3]
    assert (refused["exec_type"], refused["ord_status"], refused["reason"]) == (
        ExecType.REJECTED, OrdStatus.REJECTED, 1,
    )  # fmt: skip


async def test_order_with_a_foreign_id_is_refused_by_name(room):
    trader = await room.trader("ALICE").log_on()
    symbol = bytes(room.instruments[0]["symbol"]).decode()
    fields = [(11, "my-order-1"), (55, symbol), (54, "1"), (38, 5), (40, "2"), (44, "1.00"), (59, "0"), (21, "1")]
    trader.session.send("D", [*fields, (60, "20151224-15:00:00.000")])
    await trader.inbox.until(lambda: trader.inbox.executions or trader.inbox.messages)
    assert room.venue.core.live_orders == 0
    assert trader.inbox.executions[0]["exec_type"] == ExecType.REJECTED


async def test_repeated_order_is_refused_not_executed(room):
    trader = await room.trader("ALICE").log_on()
    symbol = bytes(room.instruments[0]["symbol"]).decode()
    fields = [(35, "D"), (34, 5), (43, "Y"), (49, "ALICE"), (52, "20151224-15:00:00.000"), (56, "OPT")]
    fields += [(11, f"{1:016X}"), (55, symbol), (54, "1"), (38, 5), (40, "2"), (44, "1.00")]
    raw = join_fields("FIX.4.4", fields)
    session = room.venue.clients[0].session
    assert session.hot.decode_one(raw) == 0
    room.venue.on_message(session, "D", raw, True)
    (refused,) = await trader.reports(1)
    assert (refused["exec_type"], refused["cl_ord_id"]) == (ExecType.REJECTED, 1)
    assert room.venue.core.live_orders == 0


async def test_unsupported_message_is_refused_by_type(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("AN", [(710, "X"), (724, "0")])
    (refused,) = await trader.message("j")
    assert (refused.text(372), refused.text(380)) == ("AN", "3")


@pytest.mark.parametrize("names", [("EVE", "OPT"), ("ALICE", "EQ"), ("OPT", "ALICE")])
async def test_strangers_are_dropped_without_an_answer(room, names):
    logon = [(35, "A"), (34, 1), (49, names[0]), (52, "20151224-15:00:00.000"), (56, names[1]), (98, 0), (108, 30)]
    reader, writer = await asyncio.open_connection("127.0.0.1", room.venue.port)
    writer.write(join_fields("FIX.4.4", logon))
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert not any(client.session.connected for client in room.venue.clients)


async def test_lost_connection_cancels_and_the_client_learns_it_by_resend(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=1).add(0, cl_ord_id=2, instrument=CALL_110))
    await trader.reports(2)
    await trader.initiator.stop()
    await room.venue.clients[0].session.wait_state(State.DISCONNECTED)
    assert room.venue.core.live_orders == 0
    await trader.log_on()
    canceled = (await trader.reports(4))[2:]
    assert kinds(canceled) == [ExecType.CANCELED] * 2


async def test_orders_of_a_client_that_wants_it_so_survive_its_connection(tmp_path):
    room = await VenueRoom(tmp_path, clients=(ClientSettings(comp_id="ALICE", cancel_on_disconnect=False),)).open()
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=1))
    await trader.reports(1)
    await trader.initiator.stop()
    await room.venue.clients[0].session.wait_state(State.DISCONNECTED)
    assert room.venue.core.live_orders == 1
    await trader.log_on()
    trader.send(Orders().add(0, action=OrderAction.CANCEL, cl_ord_id=2, orig_cl_ord_id=1))
    assert kinds(await trader.reports(2)) == [ExecType.NEW, ExecType.CANCELED]
    await room.close()


async def test_halted_series_takes_cancels_only(room):
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0, cl_ord_id=1))
    await trader.reports(1)
    room.venue.operations.halt(bytes(room.instruments[0]["symbol"]).decode())
    trader.send(Orders().add(0, cl_ord_id=2))
    trader.send(Orders().add(0, action=OrderAction.CANCEL, cl_ord_id=3, orig_cl_ord_id=1))
    assert kinds(await trader.reports(3)) == [ExecType.NEW, ExecType.REJECTED, ExecType.CANCELED]


async def test_subscriber_gets_a_snapshot_then_each_change(room):
    trader = await room.trader("ALICE").log_on()
    symbol = bytes(room.instruments[CALL_100]["symbol"]).decode()
    room.flow(Orders().add(MAKER, instrument=CALL_100, qty=7))
    trader.session.send(
        "V", [(262, "MD1"), (263, 1), (264, 1), (265, 0), (267, 2), (269, "0"), (269, "1"), (146, 1), (55, symbol)]
    )
    await trader.inbox.until(lambda: trader.inbox.quotes)
    assert (trader.inbox.quotes[0]["bid_ticks"], trader.inbox.quotes[0]["bid_qty"]) == (100, 7)
    room.flow(Orders().add(MAKER, instrument=CALL_100, side=Side.SELL, price_ticks=110, cl_ord_id=5))
    room.flow(Orders().add(MAKER, instrument=CALL_90, price_ticks=50, cl_ord_id=6))
    room.venue.step(1, 1)
    await trader.inbox.until(lambda: len(trader.inbox.quotes) >= 2)
    assert (trader.inbox.quotes[1]["instrument"], trader.inbox.quotes[1]["ask_ticks"]) == (CALL_100, 110)
    room.venue.step(1, 1)
    assert len(trader.inbox.quotes) == 2


async def test_incremental_subscriber_gets_changes_as_increments(room):
    trader = await room.trader("ALICE").log_on()
    symbol = bytes(room.instruments[CALL_100]["symbol"]).decode()
    wanted = [(262, "MD1"), (263, 1), (264, 1), (265, 1), (267, 2), (269, "0"), (269, "1"), (146, 1), (55, symbol)]
    trader.session.send("V", wanted)
    await trader.inbox.until(lambda: trader.inbox.quotes)
    room.flow(Orders().add(MAKER, instrument=CALL_100, qty=7))
    room.venue.step(1, 1)
    await trader.inbox.until(lambda: len(trader.inbox.quotes) >= 2 or trader.inbox.messages)
    assert trader.inbox.messages == []
    assert (trader.inbox.quotes[1]["bid_ticks"], trader.inbox.quotes[1]["bid_qty"]) == (100, 7)


async def test_subscription_to_what_is_not_listed_is_refused(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("V", [(262, "MD1"), (263, 1), (264, 1), (267, 1), (269, 0), (146, 1), (55, "NOPE")])
    (refused,) = await trader.message("Y")
    assert (refused.text(262), refused.text(281)) == ("MD1", "0")


async def test_security_list_names_every_series(room):
    trader = await room.trader("ALICE").log_on()
    trader.session.send("x", [(320, "S1"), (559, 4)])
    (page,) = await trader.message("y")
    entries = page.groups(146, 55)
    assert [entry[55] for entry in entries] == [bytes(row["symbol"]) for row in room.instruments]
    assert (page.text(893), page.text(560), entries[1][202]) == ("Y", "0", b"100")


async def test_delays_keep_the_order_of_everything(tmp_path):
    latency = LatencyModel(order_delay_ns=300_000, report_delay_ns=300_000, jitter_ns=500_000)
    room = await VenueRoom(tmp_path, latency=latency).open()
    trader = await room.trader("ALICE").log_on()
    for k in range(1, 41):
        trader.send(Orders().add(0, cl_ord_id=k, price_ticks=k))
    trader.session.send("AF", [(584, f"{77:016X}"), (585, "7")])
    trader.send(Orders().add(0, action=OrderAction.MASS_CANCEL, cl_ord_id=99, instrument=NO_INSTRUMENT))
    (answer,) = await trader.message("r")
    assert answer.integer(533) == 40
    assert kinds(trader.inbox.executions) == (
        [ExecType.NEW] * 40 + [ExecType.ORDER_STATUS] * 40 + [ExecType.CANCELED] * 40
    )
    assert [int(row["cl_ord_id"]) for row in trader.inbox.executions[:40]] == list(range(1, 41))
    await room.close()


async def test_full_disk_ends_the_venue_before_anything_unlogged_is_sent(tmp_path):
    room = await VenueRoom(tmp_path).open()
    trader = await room.trader("ALICE").log_on()
    own, room.venue.log._fd = room.venue.log._fd, os.open("/dev/full", os.O_WRONLY)
    trader.send(Orders().add(0))
    await trader.inbox.until(lambda: trader.inbox.states[-1][0] is State.DISCONNECTED)
    assert "No space left" in str(room.failures[0])
    assert trader.inbox.executions == []
    os.close(room.venue.log._fd)
    room.venue.log._fd = own
    await room.close()


async def test_silent_close_of_a_bare_connection_disturbs_nobody(room):
    with socket.create_connection(("127.0.0.1", room.venue.port)):
        pass
    trader = await room.trader("ALICE").log_on()
    trader.send(Orders().add(0))
    assert len(await trader.reports(1)) == 1


async def test_next_run_settles_what_the_last_one_left(tmp_path):
    """The old venue vanishes with an open order and reports in its delay line; the client misses nothing."""
    slow = LatencyModel(report_delay_ns=3_600_000_000_000)
    room = await VenueRoom(tmp_path, latency=slow).open()
    trader = await room.trader("ALICE").log_on()
    room.flow(Orders().add(MAKER, side=Side.SELL, qty=4))
    trader.send(Orders().add(0, cl_ord_id=1))
    async with asyncio.timeout(60):
        while room.venue.core.live_orders == 0 or not len(room.venue._outbound):
            await asyncio.sleep(0)
    await trader.initiator.stop()
    assert trader.inbox.executions == []
    room.venue._failed = True  # as kill -9 would: nothing more is logged, sent or canceled
    await room.venue.close()

    again = await VenueRoom(tmp_path).open()
    trader.initiator.port = again.venue.port
    await trader.log_on()
    reports = await trader.reports(3)
    assert kinds(reports) == [ExecType.NEW, ExecType.TRADE, ExecType.CANCELED]
    assert (reports[2]["cum_qty"], reports[2]["leaves_qty"]) == (4, 0)
    contents = read_log(again.venue.log.path)
    assert open_orders(contents, ALICE) == {}
    assert count_account(contents, ALICE).traded_qty == 4
    assert audit_trades(contents) == []
    trader.send(Orders().add(0, cl_ord_id=2))
    fresh = (await trader.reports(4))[3]
    assert fresh["order_id"] > reports[0]["order_id"]
    assert len({int(row["exec_id"]) for row in trader.inbox.executions}) == 4
    await trader.leave()
    await again.close()
