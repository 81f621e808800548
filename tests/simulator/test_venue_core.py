"""A batch of commands: what is logged, sent, told to the flow and printed."""

import numpy as np
import pytest

from market import records
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, SelfTradePrevention, Side, TimeInForce
from simulator.matching import ALL_BOOKS
from simulator.tradelog import TradeLog, audit_trades, count_account, read_log
from simulator.venue.core import FrameBuffer
from simulator.venue.kernels import BatchStop, claim_commands, group_by_session, route_commands
from tests.simulator.venue_orders import (
    ALICE,
    BOB,
    MAKER,
    NO_INSTRUMENT,
    TAKER,
    Orders,
    options_of,
    small_core,
    small_market,
)  # fmt: skip

MARKET_NS, WALL_NS = 5, 7


def run(core, orders, position=1):
    at, reports, stop, ended = core.apply(orders.buffer.rows, 0, orders.count, MARKET_NS, WALL_NS)
    return at, reports, stop, ended, core.settle(reports, position)


def test_trade_between_makers_is_logged_and_printed_but_not_sent():
    core = small_core()
    orders = Orders().add(MAKER, side=Side.SELL).add(TAKER, tif=TimeInForce.IOC, qty=4)
    *_, batch = run(core, orders)
    assert (batch.logged, batch.outbox, batch.prints) == (2, 0, 1)
    assert batch.internal == 4  # two NEW, two TRADE
    tape = core.prints.rows[0]
    assert (tape["kind"], tape["price_ticks"], tape["qty"], tape["aggressor"]) == (FrameKind.TRADE, 100, 4, Side.BUY)
    assert (tape["ts_ns"], tape["recv_ns"]) == (MARKET_NS, WALL_NS)


def test_client_hears_everything_about_its_orders_and_nothing_about_others():
    core = small_core()
    orders = Orders().add(MAKER, side=Side.SELL).add(ALICE, qty=4).add(BOB, price_ticks=90)
    *_, batch = run(core, orders, position=50)
    sent = core.outbox.rows[: batch.outbox]
    assert [(int(r["session"]), int(r["exec_type"])) for r in sent] == [
        (ALICE, ExecType.NEW), (ALICE, ExecType.TRADE), (BOB, ExecType.NEW),
    ]  # fmt: skip
    logged = core.logged.rows[: batch.logged]
    assert [int(r["session"]) for r in logged] == [ALICE, MAKER, ALICE, BOB]
    assert core.outbox_refs[: batch.outbox].tolist() == [50, 52, 53]


def test_resting_side_pays_the_maker_fee_and_the_other_the_taker_fee():
    core = small_core()
    *_, batch = run(core, Orders().add(ALICE, side=Side.SELL).add(BOB, qty=4))
    paid = {int(r["session"]): int(r["commission_e4"]) for r in core.logged.rows[: batch.logged] if r["last_qty"]}
    assert paid == {ALICE: 400, BOB: 26000}


def test_sweep_of_two_levels_prints_two_trades_with_their_own_match_numbers():
    core = small_core()
    orders = Orders().add(MAKER, side=Side.SELL, qty=3).add(MAKER, side=Side.SELL, price_ticks=101, qty=3)
    *_, batch = run(core, orders.add(ALICE, price_ticks=101, qty=6))
    assert [(int(r["price_ticks"]), int(r["qty"])) for r in core.prints.rows[: batch.prints]] == [(100, 3), (101, 3)]
    assert len(set(core.prints.rows[: batch.prints]["trade_id"])) == 2


def test_internal_reports_carry_the_markets_instrument_number_and_clients_the_books():
    core = small_core()
    *_, batch = run(core, Orders().add(MAKER, instrument=2, side=Side.SELL).add(ALICE, instrument=2))
    assert set(core.internal.rows[: batch.internal]["instrument"]) == {3}
    assert set(core.outbox.rows[: batch.outbox]["instrument"]) == {2}


def test_mass_cancel_ends_a_batch_and_counts_the_orders_it_ended():
    core = small_core()
    orders = Orders().add(ALICE).add(BOB).add(ALICE, instrument=1)
    orders.add(ALICE, action=OrderAction.MASS_CANCEL, instrument=ALL_BOOKS).add(ALICE)
    at, _, stop, ended, batch = run(core, orders)
    assert (at, stop, ended) == (4, BatchStop.MASS_CANCEL, 2)
    assert [int(r["session"]) for r in core.outbox.rows[: batch.outbox]][-2:] == [ALICE, ALICE]
    at, reports, stop, _ = core.apply(orders.buffer.rows, at, orders.count, MARKET_NS, WALL_NS)
    assert (at, reports, stop) == (5, 1, BatchStop.DONE)


def test_mass_status_is_sent_but_not_logged():
    core = small_core()
    *_, batch = run(core, Orders().add(ALICE).add(ALICE, action=OrderAction.MASS_STATUS, instrument=ALL_BOOKS))
    assert (batch.logged, batch.outbox) == (1, 2)
    assert core.outbox_refs[:2].tolist() == [1, 0]
    status = core.outbox.rows[1]
    assert (status["exec_type"], status["tot_reports"], status["last_report"]) == (ExecType.ORDER_STATUS, 1, 1)


@pytest.mark.parametrize(
    ("mode", "live"),
    [
        (SelfTradePrevention.CANCEL_INCOMING, 1),
        (SelfTradePrevention.CANCEL_RESTING, 1),
        (SelfTradePrevention.DECREMENT_BOTH, 0),
    ],
)
def test_self_trade_prevention_is_the_incoming_owners_choice(mode, live):
    core = small_core()
    core.stp_of_owner[ALICE] = int(mode)
    *_, batch = run(core, Orders().add(ALICE, side=Side.SELL).add(ALICE))
    assert batch.prints == 0
    assert core.live_orders == live
    resting_survives = core.outbox.rows[: batch.outbox][-1]["side"] == Side.BUY
    if mode is SelfTradePrevention.CANCEL_INCOMING:
        assert resting_survives


def test_reports_of_the_next_run_never_repeat_an_exec_id_or_match_number():
    first, second = small_core(run=1), small_core(run=2)
    for core in (first, second):
        run(core, Orders().add(MAKER, side=Side.SELL).add(ALICE))
    both = np.concatenate([first.logged.rows[:3]["exec_id"], second.logged.rows[:3]["exec_id"]])
    assert len(set(both.tolist())) == 6
    assert first.logged.rows[1]["jseq"] != second.logged.rows[1]["jseq"]


def test_owner_is_stamped_whatever_the_client_wrote():
    orders = Orders().add(BOB).add(MAKER)
    claim_commands(orders.buffer.rows, 0, 2, ALICE)
    assert orders.buffer.rows[:2]["owner"].tolist() == [ALICE, ALICE]
    assert orders.buffer.rows[:2]["session"].tolist() == [ALICE, ALICE]


def test_grouping_keeps_each_clients_order():
    rng = np.random.default_rng(5)
    mixed, grouped = FrameBuffer(records.EXECUTION, 300), FrameBuffer(records.EXECUTION, 300)
    mixed.rows["session"] = rng.integers(ALICE, ALICE + 4, 300)
    mixed.rows["exec_id"] = np.arange(300)
    mixed.rows["kind"] = FrameKind.EXECUTION
    refs, out_refs, starts = np.arange(300) * 10, np.zeros(300, np.int64), np.zeros(5, np.int64)
    assert group_by_session(mixed.rows, mixed.words, refs, 300, 3, starts, grouped.words, out_refs) == 0
    for client in range(4):
        mine = grouped.rows[starts[client] : starts[client + 1]]
        assert mine["exec_id"].tolist() == mixed.rows["exec_id"][mixed.rows["session"] == ALICE + client].tolist()
        assert (out_refs[starts[client] : starts[client + 1]] == mine["exec_id"] * 10).all()


def test_answers_and_unknown_symbols_are_counted_as_cold():
    mixed, grouped = FrameBuffer(records.EXECUTION, 4), FrameBuffer(records.EXECUTION, 4)
    mixed.rows["session"], mixed.rows["kind"] = ALICE, FrameKind.EXECUTION
    mixed.rows[1]["kind"] = FrameKind.ORDER
    mixed.rows[2]["instrument"] = NO_INSTRUMENT
    mixed.rows[3]["instrument"], mixed.rows[3]["exec_type"] = NO_INSTRUMENT, ExecType.ORDER_STATUS
    starts, refs = np.zeros(2, np.int64), np.zeros(4, np.int64)
    assert group_by_session(mixed.rows, mixed.words, refs, 4, 3, starts, grouped.words, refs.copy()) == 2


def test_flow_commands_are_routed_by_listing_and_renumbered():
    orders = Orders()
    for instrument in (0, 2, 3, 9, 1):
        orders.add(MAKER, instrument=instrument)
    book_of = np.array([-1, 0, 1, 2])
    out = FrameBuffer(records.ORDER, 8)
    assert route_commands(orders.buffer.rows, orders.buffer.words, 5, book_of, out.words, out.rows) == 3
    assert out.rows[:3]["instrument"].tolist() == [1, 2, 0]
    assert out.rows[:3]["cl_ord_id"].tolist() == [1001, 1002, 1004]


def test_random_session_balances_in_the_log(tmp_path):
    """The log alone gives the positions that the books' trades imply, whoever traded."""
    core = small_core(max_orders=4096)
    instruments, _ = options_of(small_market())
    log = TradeLog(tmp_path / "trades.log", instruments)
    rng = np.random.default_rng(11)
    expected: dict[tuple[int, int], int] = {}
    for step in range(40):
        orders = Orders()
        for k in range(60):
            orders.add(
                int(rng.choice([MAKER, TAKER, ALICE, BOB])), cl_ord_id=1 + step * 60 + k,
                instrument=int(rng.integers(3)),
                side=int(rng.choice([Side.BUY, Side.SELL])), price_ticks=int(rng.integers(95, 106)),
                qty=int(rng.integers(1, 20)), tif=int(rng.choice([TimeInForce.DAY, TimeInForce.IOC])),
            )  # fmt: skip
        *_, batch = run(core, orders, log.count + 1)
        log.append(core.logged.frames, batch.logged)
        for row in core.prints.rows[: batch.prints]:
            expected[int(row["instrument"]), 0] = expected.get((int(row["instrument"]), 0), 0) + int(row["qty"])
    log.close()
    contents = read_log(tmp_path / "trades.log")
    assert audit_trades(contents) == []
    accounts = [count_account(contents, owner) for owner in (MAKER, TAKER, ALICE, BOB)]
    for row in instruments:
        symbol = bytes(row["symbol"]).decode()
        assert sum(account.positions.get(symbol, 0) for account in accounts) == 0
    assert sum(account.traded_qty for account in accounts) == 2 * sum(expected.values())
    assert sum(account.cash_e4 + account.commission_e4 for account in accounts) == 0
    live = sum(len(account.open_orders) for account in accounts[2:])
    status = Orders()
    for owner in (ALICE, BOB):
        status.add(owner, action=OrderAction.MASS_STATUS, instrument=ALL_BOOKS)
    *_, batch = run(core, status)
    assert live == sum(1 for r in core.outbox.rows[: batch.outbox] if r["ord_status"] != OrdStatus.REJECTED) > 0
