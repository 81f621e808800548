"""The trade log: what is in it after every kind of ending, and what can be counted from it."""

import os
from pathlib import Path

import numpy as np
import pytest

from market import records
from market.enums import ExecType, FrameKind, OrdStatus, Right, SecurityKind, Side
from market.instruments import InstrumentMaster
from market.records import FRAME_BYTES
from simulator.errors import TradeLogError, VenueStateError
from simulator.tradelog import (
    TradeLog,
    audit_trades,
    count_account,
    open_orders,
    participant_numbers,
    positions_and_cash,
    read_log,
    read_trades,
)
from simulator.venue.clients import Participants

CLIENT, MAKER = 16, 1
OPTION, STOCK = 0, 1


def instruments():
    master = InstrumentMaster(2)
    master.add(
        symbol="GOOG151224C00750000", security=SecurityKind.OPTION, underlying=1, right=Right.CALL,
        strike=750.0, expiry_ns=1, multiplier=100,
    )  # fmt: skip
    master.add(symbol="GOOG", security=SecurityKind.EQUITY)
    return master.rows[:2]


class Reports:
    """Builds EXECUTION frames by name; the exec_id counts up by itself."""

    def __init__(self):
        self.frames = records.frames(64)
        self.rows = self.frames.reshape(-1).view(records.EXECUTION)
        self.count = 0

    def add(self, **fields):
        row = self.rows[self.count]
        values = {"kind": FrameKind.EXECUTION, "exec_id": self.count + 1, "session": CLIENT, "side": Side.BUY, **fields}
        for name, value in values.items():
            row[name] = value
        self.count += 1

    def trade(self, match, instrument, price_ticks, qty, *, buyer, seller, commission_e4=0, order_id=0):
        common = {
            "exec_type": ExecType.TRADE, "instrument": instrument, "last_ticks": price_ticks, "last_qty": qty,
            "jseq": match, "commission_e4": commission_e4, "ord_status": OrdStatus.FILLED, "order_id": order_id,
        }  # fmt: skip
        self.add(session=seller, side=Side.SELL, **common)
        self.add(session=buyer, side=Side.BUY, **common)


def write(path: Path, reports: Reports) -> TradeLog:
    log = TradeLog(path, instruments())
    log.append(reports.frames, reports.count)
    return log


def test_cash_counts_multiplier_price_scale_and_commission(tmp_path):
    reports = Reports()
    reports.trade(1, OPTION, 125, 10, buyer=CLIENT, seller=MAKER, commission_e4=6500)  # buys 10 at 1.25, pays 0.65
    reports.trade(2, OPTION, 150, 4, buyer=MAKER, seller=CLIENT, commission_e4=2600)
    reports.trade(3, STOCK, 74850, 100, buyer=MAKER, seller=CLIENT)
    write(tmp_path / "trades.log", reports).close()

    account = positions_and_cash(tmp_path / "trades.log", CLIENT)
    assert account.positions == {"GOOG151224C00750000": 6, "GOOG": -100}
    assert account.cash_e4 == -10 * 100 * 12500 - 6500 + 4 * 100 * 15000 - 2600 + 100 * 7485000
    assert str(account.cash) == "74199.0900"
    assert (account.commission_e4, account.fills, account.traded_qty) == (9100, 3, 114)
    assert len(read_trades(tmp_path / "trades.log")) == 6


def test_two_participants_of_one_trade_sum_to_zero_but_for_commission(tmp_path):
    reports = Reports()
    reports.trade(1, OPTION, 125, 10, buyer=CLIENT, seller=MAKER, commission_e4=6500)
    write(tmp_path / "trades.log", reports).close()
    contents = read_log(tmp_path / "trades.log")
    one, other = count_account(contents, CLIENT), count_account(contents, MAKER)
    assert one.positions["GOOG151224C00750000"] == -other.positions["GOOG151224C00750000"]
    assert one.cash_e4 + other.cash_e4 == -13000


@pytest.mark.parametrize(
    ("exec_type", "status", "is_open"),
    [
        (ExecType.NEW, OrdStatus.NEW, True),
        (ExecType.TRADE, OrdStatus.PARTIALLY_FILLED, True),
        (ExecType.TRADE, OrdStatus.FILLED, False),
        (ExecType.CANCELED, OrdStatus.CANCELED, False),
        (ExecType.EXPIRED, OrdStatus.EXPIRED, False),
        (ExecType.REJECTED, OrdStatus.REJECTED, False),
        (ExecType.REPLACED, OrdStatus.NEW, True),
    ],
)
def test_last_report_decides_whether_an_order_is_open(tmp_path, exec_type, status, is_open):
    reports = Reports()
    reports.add(exec_type=ExecType.NEW, ord_status=OrdStatus.NEW, order_id=7, cl_ord_id=70, leaves_qty=5)
    reports.add(exec_type=exec_type, ord_status=status, order_id=7, cl_ord_id=71, leaves_qty=3)
    reports.add(kind=FrameKind.CANCEL_REJECT, ord_status=OrdStatus.CANCELED, order_id=7, cl_ord_id=72)
    write(tmp_path / "trades.log", reports).close()
    found = open_orders(read_log(tmp_path / "trades.log"), CLIENT)
    assert (7 in found) == is_open
    if is_open:
        assert (found[7].cl_ord_id, found[7].leaves_qty) == (71, 3)


@pytest.mark.parametrize("kept_bytes", [1, 64, 127])
def test_torn_append_is_cut_and_the_next_one_follows_the_last_sound_frame(tmp_path, kept_bytes):
    path = tmp_path / "trades.log"
    reports = Reports()
    reports.add(exec_type=ExecType.NEW, ord_status=OrdStatus.NEW, order_id=1)
    reports.add(exec_type=ExecType.NEW, ord_status=OrdStatus.NEW, order_id=2)
    write(path, reports).close()
    os.truncate(path, path.stat().st_size - FRAME_BYTES + kept_bytes)

    again = TradeLog(path, instruments())
    assert again.recovered.torn_bytes == kept_bytes
    assert [int(i) for i in again.recovered.executions["order_id"]] == [1]
    again.close()
    assert read_log(path).torn_bytes == 0
    assert len(read_log(path).runs) == 2


def test_damage_before_sound_frames_is_refused_not_cut(tmp_path):
    path = tmp_path / "trades.log"
    reports = Reports()
    for order_id in range(1, 6):
        reports.add(exec_type=ExecType.NEW, ord_status=OrdStatus.NEW, order_id=order_id)
    write(path, reports).close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 3 * FRAME_BYTES + 50)
        byte = file.read(1)[0]
        file.seek(size - 3 * FRAME_BYTES + 50)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(TradeLogError, match="frame 6 of 8 is damaged"):
        TradeLog(path, instruments())
    assert path.stat().st_size == size


def test_positions_are_file_positions_and_runs_count_up(tmp_path):
    path = tmp_path / "trades.log"
    reports = Reports()
    reports.add(exec_type=ExecType.NEW)
    reports.add(exec_type=ExecType.NEW)
    first = TradeLog(path, instruments())
    assert first.run == 1
    assert first.append(reports.frames, 2) == 4  # two instruments and the start stand before
    assert first.append(reports.frames, 1) == 6
    first.close()
    second = TradeLog(path, instruments())
    assert second.run == 2
    assert second.recovered.positions.tolist() == [4, 5, 6]
    assert second.append(reports.frames, 1) == 8
    second.close()


def test_log_of_another_market_is_refused(tmp_path):
    path = tmp_path / "trades.log"
    TradeLog(path, instruments()).close()
    with pytest.raises(VenueStateError, match="another state directory"):
        TradeLog(path, instruments()[:1])


def test_full_disk_leaves_no_partial_batch_and_no_second_chance(tmp_path):
    log = TradeLog(tmp_path / "trades.log", instruments())
    reports = Reports()
    reports.add(exec_type=ExecType.NEW, order_id=1)
    log.append(reports.frames, 1)
    full = os.open("/dev/full", os.O_WRONLY)
    own, log._fd = log._fd, full
    with pytest.raises(TradeLogError, match="No space left"):
        log.append(reports.frames, 1)
    log._fd = own
    with pytest.raises(TradeLogError, match="earlier append failed"):
        log.append(reports.frames, 1)
    os.close(full)
    os.close(own)
    assert len(read_log(tmp_path / "trades.log").executions) == 1


def test_audit_finds_one_sided_unequal_and_self_trades(tmp_path):
    reports = Reports()
    reports.trade(1, OPTION, 125, 10, buyer=CLIENT, seller=MAKER)
    assert audit_trades(read_back(tmp_path / "good.log", reports)) == []
    reports.trade(2, OPTION, 125, 10, buyer=CLIENT, seller=CLIENT)
    reports.trade(3, OPTION, 125, 10, buyer=CLIENT, seller=MAKER)
    reports.rows[reports.count - 1]["last_qty"] = 9
    reports.add(exec_type=ExecType.TRADE, jseq=4, last_qty=1)
    reports.rows[0]["exec_id"] = 2
    findings = audit_trades(read_back(tmp_path / "bad.log", reports))
    found = [finding.split(":")[0] for finding in findings]
    assert found == ["match 2", "match 3", "match 4", "exec_id 0000000000000002 occurs 2 times"]


def test_a_participant_keeps_its_number_whatever_the_configuration_lists_first(tmp_path):
    path = tmp_path / "trades.log"
    first = Participants(path)
    assert [first.number_of("ALICE"), first.number_of("BOB")] == [16, 17]
    again = Participants(path)
    assert [again.number_of("CAROL"), again.number_of("BOB"), again.number_of("ALICE")] == [18, 17, 16]
    assert participant_numbers(path) == {"ALICE": 16, "BOB": 17, "CAROL": 18}


def test_unreadable_participants_are_named_not_renumbered(tmp_path):
    (tmp_path / "participants.json").write_text('{"ALICE": "x"}')
    with pytest.raises(VenueStateError, match=r"participants\.json"):
        Participants(tmp_path / "trades.log")


def read_back(path, reports):
    write(path, reports).close()
    contents = read_log(path)
    assert np.array_equal(contents.executions["exec_id"], reports.rows[: reports.count]["exec_id"])
    return contents
