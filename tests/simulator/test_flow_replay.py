"""The replay participant: the books show the recorded market, and stay it when they are traded."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.enums import FrameKind, OrderAction, OrdType, Side, TimeInForce
from market.records import ORDER, table
from simulator.flow import (
    OWNER_TAKER,
    FlowError,
    FlowSettings,
    Recording,
    ReplayFlow,
    ReplaySettings,
    TakerSettings,
    load_replay,
    open_flow,
)
from simulator.flow.testing import FlowRig, refused

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
QUIET = FlowSettings(takers=TakerSettings(trades_per_wall_s=0), replay=ReplaySettings(cache=False))
BUSY = FlowSettings(takers=TakerSettings(trades_per_wall_s=50), replay=ReplaySettings(cache=False))
TRADE = ord("F")
FIELDS = ("bid_ticks", "bid_qty", "ask_ticks", "ask_qty")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Four series over six minutes whose quotes move by more than their spread each minute."""
    path = tmp_path / "xyz_20151224_quote_minute_european.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for right, direction in (("call", 1), ("put", -1)):
            for strike in (95, 105):
                name = f"20151224_xyz_minute_quote_european_{right}_{strike}0000_20160115.csv"
                rows = []
                for m in range(6):
                    bid = (500 + direction * (100 * (m % 3) + 500 - 5 * strike)) * 100
                    rows.append(f"{34_200_000 + 60_000 * m},{bid},{bid},{bid},{bid},{500 + m},{bid + 2000},"
                                f"{bid + 2000},{bid + 2000},{bid + 2000},{900 + m}")  # fmt: skip
                archive.writestr(name, "\n".join(rows))
    return path


def as_of(recording: Recording, now_ns: int) -> dict[int, tuple[int, ...]]:
    """The last recorded quote of every instrument at ``now_ns``, straight from the arrays."""
    seen = {}
    for k in np.flatnonzero(recording.time_ns <= now_ns):
        seen[int(recording.instrument[k])] = tuple(int(getattr(recording, f)[k]) for f in FIELDS)
    return seen


def top(rig: FlowRig, instrument: int) -> tuple[int, ...]:
    return tuple(int(rig.books[instrument][f]) for f in FIELDS)


def client_order(side: Side, ticks: int, qty: int, instrument: int, identifier: int = 1) -> Any:
    row = table(ORDER, 1)
    row[0]["kind"], row[0]["owner"], row[0]["session"] = FrameKind.ORDER, 16, 16
    row[0]["action"], row[0]["ord_type"], row[0]["tif"] = OrderAction.NEW, OrdType.LIMIT, TimeInForce.DAY
    row[0]["side"], row[0]["price_ticks"], row[0]["qty"] = side, ticks, qty
    row[0]["cl_ord_id"], row[0]["instrument"] = identifier, instrument
    return row


def settled(settings: FlowSettings) -> int:
    """Time by which all staggered updates of a bar have been made."""
    return settings.replay.stagger_ms * 1_000_000


def test_books_show_the_recorded_quotes_minute_by_minute(chain: Path) -> None:
    flow = open_flow(f"replay:{chain}", settings=QUIET)
    assert isinstance(flow, ReplayFlow)
    rig = FlowRig(flow)
    rig.begin(flow.recording.first_ns)
    for minute in range(7):
        now = flow.recording.first_ns + minute * MINUTE
        reports = rig.step(now + settled(QUIET))
        assert len(refused(reports)) == 0
        for instrument, quote in as_of(flow.recording, now).items():
            assert top(rig, instrument) == quote
    assert flow.finished
    assert not (rig.executions["exec_type"] == TRADE).any()


def test_a_long_pause_ends_at_the_same_market(chain: Path) -> None:
    tops = []
    for stride in (5 * MINUTE, 7 * SECOND):
        flow = open_flow(f"replay:{chain}", settings=QUIET)
        rig = FlowRig(flow)
        rig.begin(flow.start_ns)
        for now in range(flow.start_ns, flow.end_ns + 10 * MINUTE, stride):
            rig.step(now)
        tops.append([top(rig, i) for i in range(flow.master.count)])
    assert tops[0] == tops[1]


def test_underlying_moves_before_its_options(chain: Path) -> None:
    flow = open_flow(f"replay:{chain}", settings=QUIET)
    assert isinstance(flow, ReplayFlow)
    rig = FlowRig(flow)
    rig.begin(flow.recording.first_ns + settled(QUIET))
    rig.step(flow.recording.first_ns + MINUTE + settled(QUIET))
    before = [top(rig, i) for i in range(flow.master.count)]
    rig.step(flow.recording.first_ns + 2 * MINUTE)
    after = [top(rig, i) for i in range(flow.master.count)]
    assert after[0] != before[0]
    assert after[1:] == before[1:]


def test_traded_quote_is_back_at_its_recorded_size(chain: Path) -> None:
    flow = open_flow(f"replay:{chain}", settings=QUIET)
    rig = FlowRig(flow)
    rig.begin(flow.start_ns)
    quote = top(rig, 1)
    rig.apply(client_order(Side.BUY, quote[2], 3, 1), 1)
    assert top(rig, 1) == (*quote[:3], quote[3] - 3)
    refill = flow.start_ns + QUIET.replay.replenish_ms * 1_000_000
    rig.step(refill - 1)
    assert top(rig, 1) == (*quote[:3], quote[3] - 3)
    rig.step(refill)
    assert top(rig, 1) == quote


def test_client_inside_the_spread_is_the_top_until_the_market_runs_through_it(chain: Path) -> None:
    flow = open_flow(f"replay:{chain}", settings=QUIET)
    assert isinstance(flow, ReplayFlow)
    rig = FlowRig(flow)
    rig.begin(flow.recording.first_ns + settled(QUIET))
    quote = top(rig, 1)
    rig.apply(client_order(Side.SELL, quote[2] - 10, 2, 1), 1)
    rig.step(flow.recording.first_ns + SECOND)
    assert top(rig, 1)[2:] == (quote[2] - 10, 2)
    reports = rig.step(flow.recording.first_ns + 2 * MINUTE + settled(QUIET))  # the call's bid is now above it
    trades = reports[reports["exec_type"] == TRADE]
    assert sorted(trades["session"].tolist()) == [1, 16]
    assert set(trades["last_ticks"].tolist()) == {quote[2] - 10}


def test_same_seed_and_steps_give_the_same_orders(chain: Path) -> None:
    def run(seed: int) -> bytes:
        flow = open_flow(f"replay:{chain}", seed=seed, speed=60, settings=BUSY)
        rig = FlowRig(flow)
        rig.begin()
        return b"".join(rig.step(flow.start_ns + i * SECOND).tobytes() for i in range(120))

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_takers_trade_at_the_recorded_touch(chain: Path) -> None:
    flow = open_flow(f"replay:{chain}", seed=1, speed=1, settings=BUSY)
    rig = FlowRig(flow)
    rig.begin()
    trades = 0
    for i in range(1000):
        before = {n: top(rig, n) for n in range(flow.master.count)}
        reports = rig.step(flow.start_ns + i * SECOND // 100)
        for row in reports[(reports["exec_type"] == TRADE) & (reports["session"] == OWNER_TAKER)]:
            trades += 1
            touch = before[int(row["instrument"])][2 if row["side"] == Side.BUY else 0]
            assert int(row["last_ticks"]) == touch
    assert 300 < trades < 700


def test_expired_series_leave_the_book(chain: Path) -> None:
    flow = open_flow(f"replay:{chain}", settings=QUIET)
    rig = FlowRig(flow)
    rig.begin()
    assert rig.two_sided() == 5
    rig.step(int(flow.master.rows[1]["expiry_ns"]))
    assert rig.two_sided() == 1


def test_only_listed_instruments_get_orders(chain: Path) -> None:
    flow = open_flow(f"replay:{chain}", settings=BUSY)
    flow.list_only([0, 2])
    rig = FlowRig(flow)
    rig.begin()
    for i in range(200):
        rig.step(flow.start_ns + i * SECOND)
        assert set(rig.executions["instrument"][rig.executions["session"] != 0].tolist()) <= {0, 2}
    assert rig.two_sided() == 2


def test_time_does_not_go_back_and_begin_comes_first(chain: Path) -> None:
    flow = open_flow(f"replay:{chain}", settings=QUIET)
    rig = FlowRig(flow)
    with pytest.raises(FlowError, match=r"call begin\(start_ns\) first"):
        rig.step(flow.start_ns)
    rig.begin()
    with pytest.raises(FlowError, match="went back by 1 ns"):
        rig.step(flow.start_ns - 1)


@pytest.mark.parametrize(
    ("market", "seed", "speed", "finding"),
    [
        ("recorded", 7, 1.0, "'recorded' is unknown: give 'generated'"),
        ("generated", -1, 1.0, "seed must be 0 or more, was -1"),
        ("generated", 7, 0.0, "speed must be above 0"),
        ("generated", 7, float("nan"), "speed must be above 0"),
    ],
)
def test_unknown_market_seed_or_speed_is_named(market: str, seed: int, speed: float, finding: str) -> None:
    with pytest.raises(FlowError, match=finding):
        open_flow(market, seed=seed, speed=speed)


def test_setting_out_of_range_is_named_with_its_bound() -> None:
    with pytest.raises(FlowError, match=r"<= 0.95 - at `\$.takers.branching`"):
        open_flow("generated", settings=FlowSettings(takers=TakerSettings(branching=1.0)))


def test_goog_books_equal_the_recording(market_data: Path) -> None:
    flow = ReplayFlow(load_replay(market_data / "goog_20151224_quote_minute_american.zip"), 7, 60.0, QUIET)
    rig = FlowRig(flow)
    rig.begin()
    assert rig.two_sided() >= 1000
    for minute in range(2, 12):
        now = flow.recording.first_ns + minute * MINUTE
        assert len(refused(rig.step(now + settled(QUIET)))) == 0
    expected = as_of(flow.recording, now)
    assert len(expected) > 2000
    wrong = [i for i, quote in expected.items() if top(rig, i) != quote]
    assert wrong == []
    assert rig.two_sided() >= 1800
