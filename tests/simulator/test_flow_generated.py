"""The generated market: one seed one market, fair values without arbitrage, quotes that follow them."""

import math
import os
import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from config.schema import FlowConfig
from market.enums import Right
from market.instruments import OsiSymbol
from simulator.flow import (
    OWNER_TAKER,
    FlowError,
    FlowSettings,
    GeneratedFlow,
    GeneratedSettings,
    TakerSettings,
    open_flow,
    settings_from_config,
)
from simulator.flow.heston import SpotPath, model_words, smile_variance, walk
from simulator.flow.testing import FlowRig, refused

ROOT = Path(__file__).resolve().parents[2]
SECOND = 1_000_000_000
YEAR_NS = 365 * 86_400 * SECOND
TRADE = ord("F")
NO_TAKERS = TakerSettings(trades_per_wall_s=0)
SMALL = GeneratedSettings(expiry_days=(11, 53), strikes=5)


def flow_of(settings: FlowSettings | None = None, seed: int = 7, speed: float = 60.0) -> GeneratedFlow:
    flow = open_flow("generated", seed=seed, speed=speed, settings=settings)
    assert isinstance(flow, GeneratedFlow)
    return flow


def reports_of(flow: GeneratedFlow, steps: int, step_ns: int) -> list[tuple[int, ...]]:
    """What all reports of ``steps`` steps say, apart from identifiers (those count on over runs)."""
    rig = FlowRig(flow)
    rig.begin()
    fields = ["instrument", "session", "side", "exec_type", "price_ticks", "last_qty", "leaves_qty", "ts_ns"]
    said: list[tuple[int, ...]] = []
    for i in range(steps):
        said += rig.step(flow.start_ns + (i + 1) * step_ns)[fields].tolist()
    return said


def test_same_seed_same_market_other_seed_another() -> None:
    runs = [reports_of(flow_of(FlowSettings(generated=SMALL), seed), 100, SECOND) for seed in (7, 7, 8)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_begin_again_is_the_same_run() -> None:
    flow = flow_of(FlowSettings(generated=SMALL))
    first = reports_of(flow, 50, SECOND)
    assert len(first) > 100
    assert reports_of(flow, 50, SECOND) == first


def test_spot_does_not_depend_on_how_time_is_cut() -> None:
    fine, coarse = flow_of(), flow_of()
    fine.begin(fine.start_ns)
    coarse.begin(coarse.start_ns)
    rig = FlowRig(fine)
    far = fine.start_ns + 4 * 3600 * SECOND
    for now in range(fine.start_ns, far + 1, 97 * SECOND):
        fine.step(now, rig.books, rig.orders)
    fine.step(far, rig.books, rig.orders)
    coarse.step(far, rig.books, rig.orders)
    prices = np.zeros((2, fine.master.count))
    fine.fair(prices[0])
    coarse.fair(prices[1])
    assert prices[0].tobytes() == prices[1].tobytes()
    assert prices[0, 0] != 100.0


def test_walk_has_hestons_moments() -> None:
    settings = GeneratedSettings(jumps_per_hour=0.0, variance=0.09, long_variance=0.04, rate=0.05)
    years, steps, paths = 0.25, 50, 4000
    random = np.random.default_rng(2)
    spots, variances = np.zeros((paths, steps + 1)), np.zeros((paths, steps + 1))
    spots[:, 0], variances[:, 0] = 100.0, 0.09
    for p in range(paths):
        normals, uniforms = random.standard_normal((steps, 3)), np.ones(steps)
        walk(model_words(settings), years / steps, normals, uniforms, spots[p], variances[p])
    growth = spots[:, -1] / 100.0
    assert growth.mean() == pytest.approx(math.exp(0.05 * years), abs=4 * growth.std() / math.sqrt(paths))
    expected = 0.04 + (0.09 - 0.04) * math.exp(-3.0 * years)
    assert variances[:, -1].mean() == pytest.approx(expected, rel=0.05)
    logs, shocks = np.diff(np.log(spots), axis=1), np.diff(variances, axis=1)
    assert np.corrcoef(logs.ravel(), shocks.ravel())[0, 1] == pytest.approx(-0.7, abs=0.03)


def test_jumps_come_at_their_rate() -> None:
    settings = GeneratedSettings(jumps_per_hour=60.0, jump_deviation=0.05, variance=1e-6, long_variance=1e-6)
    path = SpotPath(settings, 3, 0, SECOND)
    spots = [path.at(second * SECOND)[0] for second in range(20 * 3600)]
    jumps = np.abs(np.diff(np.log(spots))) > 1e-4
    assert jumps.sum() == pytest.approx(20 * 60, rel=0.1)


def test_fair_values_obey_parity_and_have_no_butterfly() -> None:
    flow = flow_of()
    flow.begin(flow.start_ns)
    fair = np.zeros(flow.master.count)
    flow.fair(fair)
    rows = flow.master.rows
    for expiry in sorted(set(rows["expiry_ns"][1:].tolist())):
        discount = math.exp(-0.02 * (expiry - flow.start_ns) / YEAR_NS)
        calls = np.flatnonzero((rows["expiry_ns"] == expiry) & (rows["right"] == Right.CALL))
        puts = np.flatnonzero((rows["expiry_ns"] == expiry) & (rows["right"] == Right.PUT))
        strikes = rows["strike"][calls]
        assert np.allclose(fair[calls] - fair[puts], fair[0] - strikes * discount, atol=1e-9)
        slopes = np.diff(fair[calls]) / np.diff(strikes)
        assert (slopes > -discount).all()
        assert (slopes < 0).all()
        assert (np.diff(slopes) > -1e-12).all()


def test_smile_is_skewed_and_total_variance_grows_with_time_at_every_strike() -> None:
    model = model_words(GeneratedSettings())
    k = np.linspace(-1.0, 1.0, 201)
    previous = np.zeros(len(k))
    for years in (0.01, 0.1, 0.5, 2.0):
        total = np.array([smile_variance(model, 0.0625 * years, x) for x in k])
        assert smile_variance(model, 0.0625 * years, 0.0) == pytest.approx(0.0625 * years)
        assert total[50] > total[100]
        assert total[50] > total[150]
        assert (total > previous).all()
        previous = total


def test_chain_is_listed_as_asked() -> None:
    flow = flow_of()
    series = [OsiSymbol.parse(s) for s in list(flow.master.symbols())[1:]]
    assert len(series) == 6 * 21 * 2
    expiries = sorted({s.expiry for s in series})
    assert len(expiries) == 6
    assert all(day.weekday() == 4 and day > date(2026, 1, 5) for day in expiries)
    for day in expiries:
        strikes = sorted({s.strike for s in series if s.expiry == day})
        assert len(strikes) == 21
        assert strikes[10] == 100
        assert len({b - a for a, b in pairwise(strikes)}) == 1


def test_quotes_surround_fair_value_and_leave_room_inside() -> None:
    flow = flow_of(FlowSettings(takers=NO_TAKERS))
    rig = FlowRig(flow)
    rig.begin()
    for i in range(300):
        assert len(refused(rig.step(flow.start_ns + i * SECOND))) == 0
    fair = np.zeros(flow.master.count)
    flow.fair(fair)
    bid, ask = rig.books["bid_ticks"], rig.books["ask_ticks"]
    has_bid = rig.books["bid_qty"] > 0
    assert (rig.books["ask_qty"] > 0).all()
    assert (bid[has_bid] < 100 * fair[has_bid]).all()
    assert (ask > 100 * fair).all()
    step = np.where(bid >= 300, 5, 1)
    options = has_bid.copy()
    options[0] = False
    assert has_bid.sum() > 200
    assert ((ask - bid)[options] >= 2 * step[options]).all()
    assert np.median((ask - bid)[options] / step[options]) >= 4
    assert not (rig.executions["exec_type"] == TRADE).any()


def test_message_rate_is_lively_and_sane() -> None:
    for speed, low, high in ((1.0, 100, 1500), (60.0, 300, 4000)):
        flow = flow_of(speed=speed)
        rig = FlowRig(flow)
        rig.begin()
        opening = rig.commands
        for i in range(1, 1001):
            rig.step(flow.start_ns + round(i * 0.01 * speed * SECOND))
        assert low < (rig.commands - opening) / 10 < high
        assert 4 < flow.takers.sent / 10 < 16


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_quotes_have_followed_a_jump_before_any_taker_acts(factor: float) -> None:
    flow = flow_of(FlowSettings(takers=TakerSettings(trades_per_wall_s=200)))
    rig = FlowRig(flow)
    rig.begin()
    now = flow.start_ns
    for _ in range(20):
        now += SECOND
        rig.step(now)
    flow.move_spot(factor)
    now += SECOND
    reports = rig.step(now)
    fair = np.zeros(flow.master.count)
    flow.fair(fair)
    assert abs(fair[0] / 100.0 - factor) < 0.01
    trades = reports[reports["exec_type"] == TRADE]
    # Nobody sold below or bought above what it was worth, apart from takers, who pay for it.
    makers = trades[trades["session"] != OWNER_TAKER]
    assert set(np.unique(trades["jseq"]).tolist()) == set(makers["jseq"].tolist())
    sign = np.where(makers["side"] == ord("1"), 1, -1)
    gain = sign * (100 * fair[makers["instrument"]] - makers["last_ticks"])
    assert (gain > 0).all()
    quoted = rig.books["bid_qty"] > 0
    assert (rig.books["bid_ticks"][quoted] < 100 * fair[quoted]).all()
    assert (rig.books["ask_ticks"] > 100 * fair)[rig.books["ask_qty"] > 0].all()


def test_inventory_moves_a_makers_quotes_against_it() -> None:
    flow = flow_of(FlowSettings(takers=NO_TAKERS, generated=SMALL))
    rig = FlowRig(flow)
    rig.begin()
    before = rig.books["bid_ticks"].copy()
    flow.quoter.position[:] = 10**6
    rig.step(flow.start_ns + 1)
    assert (rig.books["bid_ticks"] <= before).all()
    assert (rig.books["bid_ticks"] < before).mean() > 0.3


def test_expired_series_leave_the_book() -> None:
    flow = flow_of(FlowSettings(takers=NO_TAKERS, generated=SMALL))
    rig = FlowRig(flow)
    rig.begin()
    first = min(set(flow.master.rows["expiry_ns"].tolist()) - {0})
    rig.step(first - 1)
    gone = flow.master.rows["expiry_ns"] == first
    assert (rig.books["ask_qty"][gone] > 0).all()
    rig.step(first)
    assert not rig.books["ask_qty"][gone].any()
    assert (rig.books["ask_qty"][~gone] > 0).all()
    fair = np.zeros(flow.master.count)
    flow.fair(fair)
    assert np.isnan(fair[gone]).all()


def test_profile_settings_are_taken() -> None:
    settings = settings_from_config(FlowConfig(underlying="ZZZ", spot=50.0, expiries=8, strikes=7, makers=5))
    flow = flow_of(settings)
    assert flow.master.count == 1 + 8 * 7 * 2
    assert flow.master.symbol(0) == "ZZZ"
    assert flow.owners == (1, 2, 3, 4, 5, OWNER_TAKER)


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        (GeneratedSettings(first_day="2026-02-30"), "2026-02-30' is no date; give YYYY-MM-DD"),
        (GeneratedSettings(smile_eta=2.0), "smile_eta 2.0 with smile_rho -0.6 has butterfly arbitrage"),
        (GeneratedSettings(maker_widths=(1.0,)), "1 maker_widths and 3 maker_contracts"),
        (GeneratedSettings(spot=0.0), "spot"),
    ],
)
def test_impossible_settings_are_named(settings: GeneratedSettings, finding: str) -> None:
    with pytest.raises(FlowError, match=finding):
        open_flow("generated", settings=FlowSettings(generated=settings))


PROGRAM = """
import hashlib
from simulator.flow import *
from simulator.flow.testing import FlowRig
settings = FlowSettings(generated=GeneratedSettings(expiry_days=(11,), strikes=3))
flow = open_flow("generated", speed=60.0, settings=settings)
rig = FlowRig(flow)
flow.begin(flow.start_ns)
digest = hashlib.sha256()
for i in range(30):
    count = flow.step(flow.start_ns + i * 600_000_000, rig.books, rig.orders)
    digest.update(rig.orders[:count].tobytes())
    rig.apply(rig.orders, count)
print(digest.hexdigest(), rig.commands + flow.takers.sent)
"""


def test_kernels_do_the_same_without_the_jit() -> None:
    outputs = []
    for disabled in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM], env=environment, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
