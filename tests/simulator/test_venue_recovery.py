"""What a restarted venue owes its clients, derived from the log."""

import numpy as np

from market import records
from market.enums import ExecType, OrderAction, OrdStatus, Side
from simulator.tradelog import TradeLog, count_account, open_orders, read_log
from simulator.venue.recovery import next_generation, restart_cancels, unsent_reports
from tests.simulator.venue_orders import ALICE, BOB, MAKER, Orders, options_of, small_core, small_market


def traded_log(path):
    """Alice: one order filled, one half filled, one canceled, one open. Bob: one open. Maker: one open."""
    core = small_core()
    log = TradeLog(path, options_of(small_market())[0])
    orders = Orders()
    orders.add(MAKER, side=Side.SELL, qty=15).add(ALICE, cl_ord_id=1).add(ALICE, cl_ord_id=2)
    orders.add(ALICE, cl_ord_id=3, price_ticks=80).add(ALICE, cl_ord_id=4, price_ticks=81)
    orders.add(ALICE, cl_ord_id=5, orig_cl_ord_id=3, action=OrderAction.CANCEL)
    orders.add(BOB, cl_ord_id=1, price_ticks=80).add(MAKER, side=Side.SELL, price_ticks=120)
    _, reports, *_ = core.apply(orders.buffer.rows, 0, orders.count, 5, 7)
    batch = core.settle(reports, log.count + 1)
    log.append(core.logged.frames, batch.logged)
    log.close()
    return core, read_log(path)


def test_open_orders_of_clients_are_canceled_with_what_they_traded(tmp_path):
    _, contents = traded_log(tmp_path / "trades.log")
    rows = records.as_layout(restart_cancels(contents, 900, 50, 60), records.EXECUTION)
    assert [(int(r["session"]), int(r["cl_ord_id"]), int(r["cum_qty"])) for r in rows] == [
        (ALICE, 2, 5), (ALICE, 4, 0), (BOB, 1, 0),
    ]  # fmt: skip
    assert set(rows["exec_type"]) == {ExecType.CANCELED}
    assert set(rows["ord_status"]) == {OrdStatus.CANCELED}
    assert rows["leaves_qty"].tolist() == rows["last_qty"].tolist() == [0, 0, 0]
    assert rows["exec_id"].tolist() == [900, 901, 902]


def test_cancels_close_every_order_and_change_no_position(tmp_path):
    path = tmp_path / "trades.log"
    _, contents = traded_log(path)
    before = count_account(contents, ALICE)
    frames = restart_cancels(contents, 1 << 50, 50, 60)
    log = TradeLog(path, options_of(small_market())[0])
    log.append(frames, len(frames))
    log.close()
    after = read_log(path)
    assert open_orders(after, ALICE) == open_orders(after, BOB) == {}
    assert count_account(after, ALICE).positions == before.positions
    assert count_account(after, ALICE).cash_e4 == before.cash_e4
    assert len(restart_cancels(after, 1, 1, 1)) == 0


def test_reports_behind_the_stored_position_are_owed_and_no_others(tmp_path):
    _, contents = traded_log(tmp_path / "trades.log")
    mine = contents.positions[contents.executions["session"] == ALICE]
    frames, last = unsent_reports(contents, ALICE, 0)
    assert len(frames) == len(mine)
    assert last == mine[-1]
    frames, last = unsent_reports(contents, ALICE, int(mine[2]))
    assert (
        frames.reshape(-1).view(records.EXECUTION)["exec_id"].tolist()
        == contents.executions["exec_id"][np.isin(contents.positions, mine[3:])].tolist()
    )
    frames, last = unsent_reports(contents, ALICE, int(mine[-1]))
    assert (len(frames), last) == (0, mine[-1])


def test_order_ids_of_the_next_run_are_above_all_that_were_logged(tmp_path):
    _, contents = traded_log(tmp_path / "trades.log")
    core = small_core(run=2, first_generation=next_generation(contents))
    core.apply(Orders().add(ALICE).buffer.rows, 0, 1, 5, 7)
    assert core.reports.rows[0]["order_id"] > contents.executions["order_id"].max()
