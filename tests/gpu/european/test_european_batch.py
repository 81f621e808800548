"""Batches: a bad row gets its status and touches nobody; chains and tables are the batch; the machine code is wide."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpu.errors import ChainError
from gpu.european.bachelier import bachelier_greeks_batch, bachelier_reduced_batch
from gpu.european.batch import forward_greeks_batch, forward_reduced_batch, spot_greeks_batch, spot_reduced_batch
from gpu.european.chain_greeks import ChainGreeks, chain_move, chain_move_reduced
from gpu.european.greeks import Greek, bachelier_greeks, forward_greeks, spot_greeks
from gpu.european.table import GreeksTable
from gpu.maths.wide import machine_width, vector_width, wide_support
from gpu.status import PriceStatus
from market.jit import JIT_ENABLED

ROOT = Path(__file__).resolve().parents[3]
OK, INTRINSIC, BAD = PriceStatus.OK, PriceStatus.INTRINSIC, PriceStatus.BAD_INPUT
SPOT, STRIKE, YEARS, RATE, YIELD, VOL, RIGHT = range(7)


def chain(n, seed=0):
    random = np.random.default_rng(seed)
    uniform = random.uniform
    columns = [uniform(80, 120, n), uniform(70, 130, n), uniform(0.02, 2, n), uniform(0, 0.06, n), uniform(0, 0.04, n)]
    return np.ascontiguousarray(
        np.stack([*columns, uniform(0.08, 0.8, n), np.where(random.random(n) < 0.5, 1.0, -1.0)])
    )


def spot_batch(columns):
    n = columns[0].size
    out, status = np.empty((14, n)), np.full(n, 77, np.uint8)
    spot_greeks_batch(*columns, out, status)
    return out, status


BAD_ROWS = [
    (column, bad, BAD) for column in range(7) for bad in (math.nan, math.inf, -math.inf)
] + [
    (SPOT, 0.0, BAD), (SPOT, -5.0, BAD), (SPOT, 1e-101, BAD), (SPOT, 1e101, BAD), (SPOT, 5e-324, BAD),
    (STRIKE, 0.0, BAD), (STRIKE, -1.0, BAD), (STRIKE, 1e-101, BAD), (STRIKE, 1e101, BAD),
    (YEARS, 0.0, INTRINSIC), (YEARS, -0.5, INTRINSIC), (YEARS, 1e-30, INTRINSIC), (YEARS, 1e8, BAD),
    (VOL, 0.0, INTRINSIC), (VOL, -0.2, INTRINSIC), (VOL, 1e-11, INTRINSIC), (VOL, 1e7, BAD), (VOL, -1e300, INTRINSIC),
    (RATE, 1e5, BAD), (YIELD, -1e5, BAD), (RIGHT, 0.0, BAD), (RIGHT, 2.0, BAD),
    (YEARS, 1.0 / 525_600, OK), (SPOT, 1e-100, OK), (STRIKE, 1e100, OK), (VOL, 50.0, OK), (RATE, 0.0, OK),
]  # fmt: skip


@pytest.mark.parametrize("n", [3, 19])
@pytest.mark.parametrize(("column", "bad", "status"), BAD_ROWS)
def test_a_bad_row_has_its_status_and_its_neighbours_are_untouched(n, column, bad, status):
    clean = chain(n)
    want, good = spot_batch(clean)
    assert not good.any()
    spoilt = clean.copy()
    spoilt[column, 1] = bad
    out, states = spot_batch(spoilt)
    others = np.arange(n) != 1
    assert states[1] == status and not states[others].any()
    assert np.array_equal(out[:, others], want[:, others])
    if status == BAD:
        assert np.isnan(out[:, 1]).all()
    else:
        assert np.isfinite(out[:, 1]).all()


@pytest.mark.parametrize("kind", ["forward", "bachelier"])
@pytest.mark.parametrize(
    ("column", "bad", "status"),
    [(c, b, BAD) for c in range(6) for b in (math.nan, math.inf)]
    + [(2, 0.0, INTRINSIC), (4, -1.0, INTRINSIC), (5, 0.0, BAD)],
)
def test_forward_models_mark_bad_rows_likewise(kind, column, bad, status):
    batch = forward_greeks_batch if kind == "forward" else bachelier_greeks_batch
    columns = np.ascontiguousarray(np.delete(chain(11), YIELD, axis=0))
    want, states = np.empty((14, 11)), np.empty(11, np.uint8)
    batch(*columns, want, states)
    assert not states.any()
    columns[column, 4] = bad
    out = np.empty((14, 11))
    batch(*columns, out, states)
    others = np.arange(11) != 4
    assert states[4] == status and not states[others].any()
    assert np.array_equal(out[:, others], want[:, others])
    assert np.isnan(out[:, 4]).all() == (status == BAD)


@pytest.mark.parametrize(("years", "vol"), [(0.0, 0.3), (-0.1, 0.3), (0.5, 0.0), (0.5, -0.2)])
def test_without_volatility_left_the_value_is_discounted_intrinsic(years, vol):
    t = max(years, 0.0)
    asset, cash = 100.0 * math.exp(-0.01 * t), 90.0 * math.exp(-0.03 * t)
    call = spot_greeks(100.0, 90.0, years, 0.03, 0.01, vol, 1)
    assert call[Greek.PRICE] == pytest.approx(asset - cash)
    assert call[Greek.DELTA] == pytest.approx(asset / 100.0)
    assert call[Greek.THETA] == pytest.approx(0.01 * asset - 0.03 * cash)
    assert call[Greek.RHO] == pytest.approx(t * cash)
    assert call[Greek.CHARM] == pytest.approx(0.01 * asset / 100.0)
    assert spot_greeks(100.0, 90.0, years, 0.03, 0.01, vol, -1) == (0.0,) * 14
    discount = math.exp(-0.03 * t)
    for greeks in (forward_greeks, bachelier_greeks):
        put = greeks(90.0, 100.0, years, 0.03, vol, -1)
        assert put[Greek.PRICE] == pytest.approx(10.0 * discount)
        assert put[Greek.DELTA] == pytest.approx(-discount)
        assert put[Greek.RHO] == pytest.approx(-t * put[Greek.PRICE])
        assert put[Greek.THETA] == pytest.approx(0.03 * put[Greek.PRICE])
        assert greeks(90.0, 100.0, years, 0.03, vol, 1)[Greek.DELTA] == 0.0


def test_intrinsic_value_is_the_limit_of_the_formula():
    near = spot_greeks(100.0, 90.0, 0.5, 0.03, 0.01, 1.5e-10, 1)
    limit = spot_greeks(100.0, 90.0, 0.5, 0.03, 0.01, 0.0, 1)
    assert near[:6] == pytest.approx(limit[:6], rel=1e-12, abs=1e-12)


def test_rights_may_be_bytes_or_doubles():
    columns = chain(21)
    want, _ = spot_batch(columns)
    out, status = np.empty((14, 21)), np.empty(21, np.uint8)
    spot_greeks_batch(*columns[:6], columns[6].astype(np.int8), out, status)
    np.testing.assert_allclose(out, want, rtol=1e-10)
    assert not status.any()


@pytest.mark.parametrize("n", [1, 2, 5, 8, 13, 16, 33])
def test_every_length_gives_the_same_rows_and_writes_nothing_else(n):
    columns = chain(40)
    want, _ = spot_batch(columns)
    room = np.full((14, n + 16), 3.5)
    marks = np.full(n + 16, 9, np.uint8)
    part = [np.ascontiguousarray(c[:n]) for c in columns]
    spot_greeks_batch(*part, room[:, 8 : 8 + n], marks[8 : 8 + n])
    np.testing.assert_allclose(room[:, 8 : 8 + n], want[:, :n], rtol=1e-10)
    assert (room[:, :8] == 3.5).all() and (room[:, 8 + n :] == 3.5).all()
    assert (marks[:8] == 9).all() and (marks[8 + n :] == 9).all() and not marks[8 : 8 + n].any()


def test_a_table_refreshed_by_address_is_the_batch():
    columns = chain(37)
    columns[VOL, 5], columns[SPOT, 6] = -1.0, math.nan
    want, states = spot_batch(columns)
    table = GreeksTable(37)
    for view, column in zip(
        (table.spot, table.strike, table.years, table.rate, table.dividend_yield, table.vol, table.right),
        columns,
        strict=True,
    ):
        view[:] = column
    table.refresh()
    np.testing.assert_allclose(table.out, want, rtol=1e-10)
    assert np.array_equal(table.status, states)
    table.out[:], table.vol[:] = 0.0, 0.3
    table.refresh(4)
    assert (table.out[Greek.VEGA, :4] > 0.0).all() and (table.out[:, 4:] == 0.0).all()
    with pytest.raises(ChainError, match="room for 37 options, count was 38"):
        table.refresh(38)


@pytest.mark.parametrize("spots", [[100.0, 100.5, 99.0], [100.0, 130.0, 60.0, 1e5, 100.0]])
def test_a_moved_chain_is_the_batch_at_the_new_spot(spots):
    columns = chain(61)
    columns[YEARS, 3], columns[VOL, 4], columns[STRIKE, 5] = 0.0, math.nan, -1.0
    group = ChainGreeks(61)
    group.load(*columns[1:6], columns[6].astype(np.int8))
    out, few = np.empty((14, 61)), np.empty((5, 61))
    for spot in spots:
        columns[SPOT] = spot
        want, states = spot_batch(columns)
        group.move(spot, out)
        assert np.array_equal(group.status, states)
        sizes = np.nanmax(np.abs(want), axis=1, keepdims=True)
        np.testing.assert_allclose(out, want, rtol=1e-10, atol=1e-300 + 1e-13 * sizes.min(initial=1.0))
        np.testing.assert_allclose(out[:4], want[:4], rtol=2e-12)
        group.move_reduced(spot, few)
        np.testing.assert_allclose(few, out[:5], rtol=1e-11)


def test_one_expiry_of_a_chain_may_be_loaded_alone():
    columns = chain(50)
    columns[SPOT], columns[VOL, 7] = 100.0, 0.0
    group = ChainGreeks(50)
    group.load(*columns[1:])
    out = np.empty((14, 50))
    group.move(100.0, out)
    columns[VOL] *= 1.25
    columns[VOL, 7], columns[VOL, 21] = 0.3, math.nan
    for first, last in ((0, 13), (13, 13), (13, 37), (37, 50)):
        group.load_rows(first, last, *columns[1:, first:last])
    group.move(100.0, out)
    want, states = spot_batch(columns)
    assert np.array_equal(group.status, states) and states[21] == BAD
    np.testing.assert_allclose(out, want, rtol=1e-9)
    with pytest.raises(ChainError, match=r"rows 40\.\.51"):
        group.load_rows(40, 51, *columns[1:, 40:])


def test_a_chain_survives_a_bad_spot_and_a_reload():
    columns = chain(9)
    columns[SPOT] = 101.0
    group = ChainGreeks(9)
    out = np.empty((14, 9))
    group.load(*columns[1:])
    for bad in (math.nan, 0.0, -3.0, math.inf):
        group.move(bad, out)
        assert np.isnan(out).all() and (group.status == BAD).all()
    group.move(101.0, out)
    np.testing.assert_allclose(out, spot_batch(columns)[0], rtol=1e-10)
    assert not group.status.any()
    columns[VOL] *= 1.5
    group.load(*columns[1:])
    group.move(101.0, out)
    np.testing.assert_allclose(out, spot_batch(columns)[0], rtol=1e-10)
    with pytest.raises(ChainError, match=r"float64\[14, 9\]"):
        group.move(101.0, np.empty((14, 8)))


def test_ten_thousand_moves_do_not_drift():
    columns = chain(40)
    group = ChainGreeks(40)
    group.load(*columns[1:])
    first, out = np.empty((14, 40)), np.empty((14, 40))
    group.move(100.0, first)
    random = np.random.default_rng(3)
    for spot in 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.003, 10_000))):
        group.move(float(spot), out)
    group.move(100.0, out)
    np.testing.assert_allclose(out, first, rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(bool(wide_support()), reason="kernels are narrow here: " + wide_support())
@pytest.mark.parametrize(
    ("batch", "inputs", "rows"),
    [
        (spot_greeks_batch, 7, 14), (spot_reduced_batch, 7, 5), (forward_greeks_batch, 6, 14),
        (forward_reduced_batch, 6, 5), (bachelier_greeks_batch, 6, 14), (bachelier_reduced_batch, 6, 5),
    ],
)  # fmt: skip
def test_the_machine_code_of_every_batch_uses_the_widest_registers(batch, inputs, rows):
    columns = chain(16) if inputs == 7 else np.delete(chain(16), YIELD, axis=0)
    batch(*np.ascontiguousarray(columns), np.empty((rows, 16)), np.empty(16, np.uint8))
    assert vector_width(batch) == machine_width()


@pytest.mark.skipif(bool(wide_support()), reason="kernels are narrow here: " + wide_support())
@pytest.mark.parametrize(("move", "rows"), [(chain_move, 14), (chain_move_reduced, 5)])
def test_the_machine_code_of_a_spot_move_uses_the_widest_registers(move, rows):
    move(np.ones((11, 16)), 100.0, 100.0, np.empty((rows, 16)))
    assert vector_width(move) == machine_width()


SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
import tests.gpu.european.test_european_batch as t
columns = t.chain(5)
columns[t.YEARS, 1], columns[t.SPOT, 2], columns[t.RATE, 3] = 0.0, np.nan, np.inf
out, status = t.spot_batch(columns)
print(status.tolist())
print([float(x) for x in out.T.ravel()])
"""


@pytest.mark.skipif(not JIT_ENABLED, reason="compares with compiled code")
@pytest.mark.parametrize("name", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_plain_python_and_checked_bounds_give_the_same_rows_and_no_warning(tmp_path, name):
    ours = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    variables = {**ours, "PYTHONPATH": str(ROOT), name: "1", "AXIOM_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    states, numbers = done.stdout.splitlines()
    columns = chain(5)
    columns[YEARS, 1], columns[SPOT, 2], columns[RATE, 3] = 0.0, np.nan, np.inf
    want, status = spot_batch(columns)
    assert eval(states) == status.tolist() == [OK, INTRINSIC, BAD, BAD, OK]
    got = np.array(eval(numbers, {"nan": math.nan})).reshape(5, 14).T
    np.testing.assert_allclose(got, want, rtol=1e-11)
