"""Busts and corrections by a venue: both sides hear of them, the log agrees, what cannot be is refused."""

import pytest

from market.enums import ExecType, OrdStatus, Side, TimeInForce
from simulator.errors import CorrectionError
from simulator.tradelog import audit_trades, count_account, read_log, read_trades
from tests.simulator.venue_client import VenueRoom
from tests.simulator.venue_orders import ALICE, BOB, MAKER, Orders


@pytest.fixture
async def room(tmp_path):
    room = await VenueRoom(tmp_path).open()
    yield room
    await room.close()
    assert room.failures == []


async def traded(room, qty=4, ticks=125, wanted=10):
    """ALICE buys ``qty`` of BOB at ``ticks``; her order for ``wanted`` rests with what is left."""
    alice, bob = await room.trader("ALICE").log_on(), await room.trader("BOB").log_on()
    bob.send(Orders().add(0, side=Side.SELL, price_ticks=ticks, qty=qty, cl_ord_id=0xB))
    await bob.reports(1)
    alice.send(Orders().add(0, price_ticks=ticks, qty=wanted, cl_ord_id=0xA))
    await alice.reports(2)
    await bob.reports(2)
    return alice, bob


def account(room, owner):
    return count_account(read_log(room.venue.log.path), owner)


async def test_a_bust_reaches_both_sides_and_leaves_no_trace_in_the_accounts(room):
    alice, bob = await traded(room)
    room.venue.operations.bust(int(alice.inbox.executions[1]["exec_id"]))
    (*_, at_alice), (*_, at_bob) = await alice.reports(3), await bob.reports(3)
    for report, trader in ((at_alice, alice), (at_bob, bob)):
        fill = trader.inbox.executions[1]
        assert (report["exec_type"], report["orig_cl_ord_id"]) == (ExecType.TRADE_CANCEL, fill["exec_id"])
        assert (report["last_qty"], report["last_ticks"], report["cum_qty"]) == (4, 125, 0)
        assert report["commission_e4"] == fill["commission_e4"] and report["order_id"] == fill["order_id"]
        assert report["cl_ord_id"] == fill["cl_ord_id"]
    assert (at_alice["ord_status"], at_alice["leaves_qty"], at_alice["order_qty"]) == (OrdStatus.NEW, 6, 6)
    assert (at_bob["ord_status"], at_bob["leaves_qty"], at_bob["order_qty"]) == (OrdStatus.CANCELED, 0, 4)
    for owner in (ALICE, BOB):
        counted = account(room, owner)
        assert (counted.cash_e4, counted.commission_e4, counted.fills) == (0, 0, 0)
        assert set(counted.positions.values()) <= {0}
    assert audit_trades(read_log(room.venue.log.path)) == []
    assert len(read_trades(room.venue.log.path)) == 0


async def test_the_rest_of_a_busted_order_trades_on_with_the_right_average(room):
    alice, bob = await traded(room)
    room.venue.operations.bust(int(bob.inbox.executions[1]["exec_id"]))
    bob.send(Orders().add(0, side=Side.SELL, price_ticks=120, qty=6, cl_ord_id=0xB2))
    *_, fill = await alice.reports(4)
    assert (fill["exec_type"], fill["cum_qty"], fill["ord_status"]) == (ExecType.TRADE, 6, OrdStatus.FILLED)
    assert account(room, ALICE).cash_e4 == -6 * 125 * 100 * 100 - 6 * 100, "all at her resting price, as a maker"


async def test_a_correction_moves_price_and_quantity_of_both_sides(room):
    alice, bob = await traded(room)
    exec_id = int(alice.inbox.executions[1]["exec_id"])
    room.venue.operations.correct(exec_id, qty=3, ticks=120)
    (*_, at_alice), (*_, at_bob) = await alice.reports(3), await bob.reports(3)
    assert [int(r["exec_type"]) for r in (at_alice, at_bob)] == [ExecType.TRADE_CORRECT] * 2
    assert (at_alice["last_qty"], at_alice["last_ticks"], at_alice["cum_qty"], at_alice["order_qty"]) == (3, 120, 3, 9)
    assert at_alice["commission_e4"] == 3 * 6500 and at_bob["commission_e4"] == 3 * 100
    counted = account(room, ALICE)
    assert counted.cash_e4 == -3 * 120 * 100 * 100 - 3 * 6500
    assert (counted.traded_qty, sum(counted.positions.values())) == (3, 3)
    room.venue.operations.correct(int(at_bob["exec_id"]), qty=4, ticks=125)
    room.venue.operations.bust(exec_id)
    *_, second, bust = await alice.reports(5)
    assert second["orig_cl_ord_id"] == at_alice["exec_id"], "the newest report of the trade is the one corrected"
    assert bust["orig_cl_ord_id"] == second["exec_id"] and bust["cum_qty"] == 0
    assert account(room, ALICE).cash_e4 == 0
    assert audit_trades(read_log(room.venue.log.path)) == []


async def test_the_market_flows_side_is_logged_too(room):
    room.flow(Orders().add(MAKER, side=Side.SELL, price_ticks=125, qty=4))
    alice = await room.trader("ALICE").log_on()
    alice.send(Orders().add(0, price_ticks=125, qty=4, tif=TimeInForce.IOC))
    *_, fill = await alice.reports(2)
    room.venue.operations.bust(int(fill["exec_id"]))
    *_, bust = await alice.reports(3)
    assert (bust["ord_status"], bust["leaves_qty"]) == (OrdStatus.CANCELED, 0)
    contents = read_log(room.venue.log.path)
    assert audit_trades(contents) == [] and count_account(contents, MAKER).cash_e4 == 0


async def test_average_price_on_the_wire_is_of_all_fills(room):
    bob = await room.trader("BOB").log_on()
    for k, ticks in enumerate((100, 101, 103)):
        bob.send(Orders().add(0, side=Side.SELL, price_ticks=ticks, qty=1, cl_ord_id=k + 1))
    await bob.reports(3)
    alice = await room.trader("ALICE").log_on()
    heard = []
    decode_one, decode = alice.session.hot.decode_one, alice.session.hot.decode

    def listen(buffer, start, end, *rest):
        heard.append(bytes(buffer[start:end]))
        return decode(buffer, start, end, *rest)

    alice.session.hot.decode = listen
    alice.send(Orders().add(0, price_ticks=103, qty=3, tif=TimeInForce.IOC))
    await alice.reports(4)
    averages = [f[2:] for f in b"".join(heard).split(b"\x01") if f.startswith(b"6=")]
    assert averages[:4] == [b"0", b"1.00", b"1.005", b"1.01333333"]
    assert decode_one is not None


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda desk, fill: desk.bust(12345), "no trade has the ExecID"),
        (lambda desk, fill: desk.bust(fill - 2), "no trade has the ExecID"),
        (lambda desk, fill: (desk.bust(fill), desk.bust(fill)), "busted already"),
        (lambda desk, fill: desk.correct(fill, qty=4, ticks=125), "4 at 125 ticks already"),
        (lambda desk, fill: desk.correct(fill, qty=0, ticks=125), "quantity of 1 or more"),
        (lambda desk, fill: desk.correct(fill, qty=4, ticks=0), "a price > 0"),
        (lambda desk, fill: desk.correct(fill, qty=2_000_000_000, ticks=1), "quantity in 1"),
        (lambda desk, fill: desk.correct(fill, qty=1, ticks=1 << 62), "up to 1048575 ticks"),
    ],
)
async def test_what_cannot_be_amended_is_refused_and_the_venue_goes_on(room, ask, why):
    alice, _ = await traded(room)
    before = room.venue.log.count
    with pytest.raises(CorrectionError, match=why):
        ask(room.venue.operations, int(alice.inbox.executions[1]["exec_id"]))
    assert room.venue.log.count - before in (0, 2) and audit_trades(read_log(room.venue.log.path)) == []
    alice.send(Orders().add(0, instrument=1, cl_ord_id=0xC))
    await alice.inbox.until(lambda: any(row["cl_ord_id"] == 0xC for row in alice.inbox.executions))


async def test_a_trade_of_an_earlier_run_is_busted_and_a_client_away_hears_of_it(tmp_path):
    room = await VenueRoom(tmp_path).open()
    alice, _ = await traded(room, wanted=4)
    exec_id = int(alice.inbox.executions[1]["exec_id"])
    await room.close()
    again = await VenueRoom(tmp_path).open()
    try:
        again.venue.operations.bust(exec_id)
        alice = await again.trader("ALICE").log_on()
        await alice.inbox.until(lambda: any(r["exec_type"] == ExecType.TRADE_CANCEL for r in alice.inbox.executions))
        assert account(again, ALICE).cash_e4 == 0
    finally:
        await again.close()
    assert room.failures + again.failures == []
