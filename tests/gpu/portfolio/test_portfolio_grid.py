"""A book on the grid: every cell against 40-digit revaluation, and what must hold of any such grid."""

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.european.greeks import Greek
from gpu.maths.wide import machine_width, vector_width, wide_support
from gpu.portfolio.book import Book
from gpu.portfolio.grid import portfolio_grid
from gpu.portfolio.scenarios import PortfolioError, Scenarios
from gpu.portfolio.value import BLOCK, cell_values
from gpu.status import PriceStatus

SPOT = np.array([100.0, 40.0, 4000.0])
SHOCKS = {"spot_shocks": (-0.25, -0.05, 0.0, 0.1), "vol_shocks": (-0.1, 0.0, 0.2)}


def positions(n: int, seed: int = 3) -> dict[str, Any]:
    g = np.random.default_rng(seed)
    owner = g.integers(0, 3, n)
    return {
        "strike": np.round(SPOT[owner] * np.exp(g.normal(0.0, 0.2, n)), 1),
        "years": g.choice([3, 30, 91, 365, 800], n) / 365.0,
        "rate": g.choice([0.03, 0.045], n), "dividend_yield": g.choice([0.0, 0.02], n),
        "vol": g.uniform(0.08, 0.9, n), "right": g.choice([-1, 1], n), "quantity": g.integers(-30, 31, n) * 1.0,
        "multiplier": g.choice([10.0, 100.0], n), "underlying": owner, "smile_slope": g.uniform(-0.3, 0.0, n),
    }  # fmt: skip


def exact(spot: Any, strike: Any, years: Any, rate: Any, dividend_yield: Any, vol: Any, right: Any) -> Any:
    """Black-Scholes-Merton in mpmath; the intrinsic value without time."""
    asset, cash = spot * mp.exp(-dividend_yield * years), strike * mp.exp(-rate * years)
    if years <= 0 or vol <= 0:
        return max(right * (asset - cash), mp.mpf(0))
    d1 = mp.log(asset / cash) / (vol * mp.sqrt(years)) + vol * mp.sqrt(years) / 2
    return right * (asset * mp.ncdf(right * d1) - cash * mp.ncdf(right * (d1 - vol * mp.sqrt(years))))


def cell_by_hand(p: dict[str, Any], s: Scenarios, day: float, spot_shock: float, vol_shock: float) -> tuple[Any, Any]:
    """(gain per underlying, gross value of all legs) of one cell, position by position, from the rules' words."""
    gain, gross = [mp.mpf(0)] * 3, mp.mpf(0)
    spot_beta, vol_beta = np.broadcast_to(s.spot_beta, 3), np.broadcast_to(s.vol_beta, 3)
    with mp.workdps(40):
        for i in range(len(p["strike"])):
            u = int(p["underlying"][i])
            K, T, r, q, v = (mp.mpf(float(p[k][i])) for k in ("strike", "years", "rate", "dividend_yield", "vol"))
            right, weight = int(p["right"][i]), mp.mpf(float(p["quantity"][i])) * mp.mpf(float(p["multiplier"][i]))
            S = mp.mpf(float(SPOT[u]))
            move = mp.mpf(float(spot_beta[u])) * mp.log(1 + mp.mpf(spot_shock))
            counted = max(T, mp.mpf(s.term_floor_years))
            shock = mp.mpf(vol_shock) * mp.mpf(float(vol_beta[u])) * (mp.mpf(s.term_years) / counted) ** s.term_power
            z = (mp.log(K / S) - (r - q) * T) / mp.sqrt(counted)
            shock *= max(1 - s.skew_tilt * max(min(z, 2), -2), 0)
            if s.relative_vol:
                shock *= v
            moved = v + shock - s.stickiness * mp.mpf(float(p["smile_slope"][i])) * move
            left = max(T - mp.mpf(day) / 365, mp.mpf(0))
            after = exact(S * mp.exp(move), K, left, r, q, max(moved, min(v, mp.mpf(s.vol_floor))), right)
            gain[u] += weight * (after - exact(S, K, T, r, q, v, right))
            gross += abs(weight) * (S + K)
    return gain, gross


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"relative_vol": True, "vol_shocks": (-0.5, 0.0, 1.0)},
        {"term_power": 0.5, "skew_tilt": 0.25, "vol_beta": (1.0, 0.5, 2.0)},
        {"stickiness": 1.0, "spot_beta": (1.0, 1.4, -0.3)},
        {"vol_shocks": (-0.8, 0.0, 0.3), "vol_floor": 0.05},
    ],
)
def test_every_cell_is_the_exact_revaluation(rules: dict[str, Any]) -> None:
    p = positions(40)
    scenarios = Scenarios(**{**SHOCKS, "days": (0.0, 5.0), **rules})
    result = portfolio_grid(Book(SPOT, **p), scenarios, greeks=False)
    spots, vols, days = scenarios.axes()
    for d, i, j in ((0, 0, 0), (0, 3, 2), (1, 2, 1), (1, 0, 2), (0, 1, 1)):
        gain, gross = cell_by_hand(p, scenarios, days[d], spots[i], vols[j])
        for u in range(3):
            assert abs(result.by_underlying[u, d, i, j] - float(gain[u])) <= 2e-15 * float(gross)
        assert abs(result.pnl[d, i, j] - float(sum(gain))) <= 4e-15 * float(gross)


def test_the_cell_without_a_shock_is_exactly_zero_and_value_is_what_is_held() -> None:
    p = positions(3 * BLOCK + 5)
    result = portfolio_grid(Book(SPOT, **p, shares=(5.0, -3.0, 0.0)), Scenarios(**SHOCKS), greeks=False)
    assert np.all(result.by_underlying[:, 0, 2, 1] == 0.0)
    held = [5.0 * 100.0, -3.0 * 40.0, 0.0]
    with mp.workdps(40):
        for i, u in enumerate(p["underlying"]):
            row = [mp.mpf(float(p[k][i])) for k in ("strike", "years", "rate", "dividend_yield", "vol")]
            held[u] += exact(mp.mpf(SPOT[u]), *row, int(p["right"][i])) * p["quantity"][i] * p["multiplier"][i]
    assert np.allclose(result.value, [float(x) for x in held], rtol=1e-13, atol=1e-6)


@given(st.integers(1, 60), st.integers(0, 10_000))
@settings(max_examples=25)
def test_books_add_up_and_change_sign(n: int, seed: int) -> None:
    first, second = positions(n, seed), positions(n + 3, seed + 1)
    scenarios = Scenarios(**SHOCKS, days=(0.0, 2.0), stickiness=0.5)
    both = {k: np.concatenate((first[k], second[k])) for k in first}
    turned = {**first, "quantity": -first["quantity"]}
    a, b, ab, minus = (
        portfolio_grid(Book(SPOT, **p), scenarios, greeks=False).by_underlying for p in (first, second, both, turned)
    )
    scale = 1e-13 * np.sum(np.abs(both["quantity"] * both["multiplier"]) * SPOT[both["underlying"]])
    assert np.all(np.abs(a + b - ab) <= scale + 1e-300)
    assert np.array_equal(minus, -a)


def test_order_of_the_positions_does_not_matter_and_equal_contracts_are_netted() -> None:
    p = positions(50)
    order = np.random.default_rng(5).permutation(50)
    twice = {k: np.concatenate((v[order], v)) for k, v in p.items()}
    once, both = Book(SPOT, **p), Book(SPOT, **twice)
    assert len(both.series.strike) == len(once.series.strike)
    assert np.array_equal(both.series.weight, 2.0 * once.series.weight)
    nothing = Book(SPOT, **{k: np.concatenate((v[order], -v if k == "quantity" else v)) if k != "quantity"
                            else np.concatenate((p[k][order], -v)) for k, v in p.items()})  # fmt: skip
    assert len(nothing.series.strike) == 0
    result = portfolio_grid(nothing, Scenarios(**SHOCKS))
    assert np.all(result.pnl == 0.0)
    assert np.all(result.greeks == 0.0)


def test_a_call_less_a_put_is_a_forward_whatever_the_volatility() -> None:
    book = Book(100.0, [90.0, 90.0], 0.5, 0.03, 0.01, 0.3, [1, -1], [7.0, -7.0], multiplier=100.0)
    result = portfolio_grid(book, Scenarios(**SHOCKS), greeks=False)
    moved = 700.0 * 100.0 * np.asarray(SHOCKS["spot_shocks"]) * math.exp(-0.01 * 0.5)
    assert np.allclose(result.pnl[0], moved[:, None], rtol=0, atol=1e-9)


def test_shares_move_with_the_spot_alone_and_hedge_the_delta() -> None:
    book = Book((100.0, 50.0), 100.0, 1.0, 0.0, 0.0, 0.2, 1, [0.0], shares=(10.0, -4.0))
    result = portfolio_grid(book, Scenarios(spot_shocks=(-0.1, 0.2), vol_shocks=(0.0, 0.5), spot_beta=(1.0, 2.0)))
    assert np.allclose(result.by_underlying[0, 0], [[-100.0] * 2, [200.0] * 2])
    assert np.allclose(result.by_underlying[1, 0], [[-200.0 * (0.81 - 1.0)] * 2, [-200.0 * (1.44 - 1.0)] * 2])
    assert result.greeks[Greek.DELTA].tolist() == [10.0, -4.0]
    assert result.value.tolist() == [1000.0, -200.0]


@pytest.mark.parametrize(("right", "worth"), [(1, [0.0, 0.0, 10.0]), (-1, [15.0, 5.0, 0.0])])
def test_an_option_that_expires_on_the_way_is_worth_its_intrinsic_value(right: int, worth: list[float]) -> None:
    book = Book(100.0, [105.0], 2.0 / 365.0, 0.05, 0.0, 0.4, right, [1.0])
    scenarios = Scenarios(spot_shocks=(-0.1, 0.0, 0.15), vol_shocks=(0.0, 0.3), days=(2.0, 10.0))
    result = portfolio_grid(book, scenarios, greeks=False)
    for j in range(2):
        for d in range(2):
            assert np.allclose(result.pnl[d, :, j] + result.value[0], worth, rtol=0, atol=1e-8)


def test_sums_of_greeks_are_the_slopes_of_the_grid() -> None:
    book = Book(SPOT, **positions(300))
    h, v, t = 1e-4, 1e-4, 0.05
    shifts = Scenarios(spot_shocks=(-h, 0.0, h), vol_shocks=(-v, 0.0, v), days=(0.0, t))
    result = portfolio_grid(book, shifts)
    g = result.by_underlying
    gross = np.sum(np.abs(result.greeks[Greek.PRICE])) + 1e4
    step = SPOT * h
    for u in range(3):
        assert math.isclose(
            (g[u, 0, 2, 1] - g[u, 0, 0, 1]) / (2 * step[u]), result.greeks[Greek.DELTA, u], rel_tol=1e-4, abs_tol=1e-2
        )
        assert math.isclose(
            (g[u, 0, 2, 1] + g[u, 0, 0, 1]) / step[u] ** 2, result.greeks[Greek.GAMMA, u], rel_tol=1e-3,
            abs_tol=1e-10 * gross / step[u] ** 2 + 1e-3,
        )  # fmt: skip
        assert math.isclose((g[u, 0, 1, 2] - g[u, 0, 1, 0]) / (2 * v), result.greeks[Greek.VEGA, u], rel_tol=1e-4)
        assert math.isclose(g[u, 1, 1, 1] * 365.0 / t, result.greeks[Greek.THETA, u], rel_tol=2e-2)


BAD = [
    ("strike", math.nan), ("strike", 0.0), ("strike", -5.0), ("years", math.inf), ("rate", math.nan), ("rate", 1e4),
    ("vol", math.nan), ("right", 0), ("right", 2), ("quantity", math.inf), ("multiplier", math.nan),
    ("dividend_yield", -math.inf), ("smile_slope", math.nan),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_row_is_reported_and_spoils_its_underlying_alone(name: str, value: float) -> None:
    p = {k: v.astype(float) if k != "underlying" else v for k, v in positions(30).items()}
    row = int(np.flatnonzero(p["underlying"] == 1)[2])
    sound = portfolio_grid(Book(SPOT, **{k: np.delete(v, row) for k, v in p.items()}), Scenarios(**SHOCKS))
    p[name][row] = value
    book = Book(SPOT, **p)
    assert book.status[row] == PriceStatus.BAD_INPUT
    assert book.statuses() == {"OK": 29, "BAD_INPUT": 1}
    closed, skipped = (portfolio_grid(book, Scenarios(**SHOCKS), skip_bad=skip) for skip in (False, True))
    assert closed.bad.tolist() == skipped.bad.tolist() == [row]
    assert (closed.skipped, skipped.skipped) == (False, True)
    assert np.all(np.isnan(closed.pnl)) and np.all(np.isnan(closed.by_underlying[1]))
    assert np.isnan(closed.value[1]) and np.all(np.isnan(closed.greeks[:, 1]))
    assert np.array_equal(closed.by_underlying[[0, 2]], sound.by_underlying[[0, 2]])
    assert np.array_equal(skipped.by_underlying, sound.by_underlying)
    assert np.array_equal(skipped.pnl, sound.pnl)
    assert np.array_equal(skipped.greeks, sound.greeks)


@pytest.mark.parametrize("spot", [math.nan, 0.0, -1.0, math.inf])
def test_an_underlying_without_a_price_spoils_itself_alone(spot: float) -> None:
    p = positions(30)
    book = Book([100.0, spot, 4000.0], **p, shares=1.0)
    closed, skipped = (portfolio_grid(book, Scenarios(**SHOCKS), skip_bad=skip) for skip in (False, True))
    assert np.array_equal(closed.bad, np.flatnonzero(p["underlying"] == 1))
    assert np.all(np.isnan(closed.by_underlying[1])) and np.all(np.isfinite(closed.by_underlying[[0, 2]]))
    assert np.all(skipped.by_underlying[1] == 0.0) and np.all(np.isfinite(skipped.pnl))


def test_no_time_and_no_volatility_are_intrinsic_not_bad() -> None:
    book = Book(100.0, [90.0, 90.0, 90.0], [0.0, -0.1, 1.0], 0.0, 0.0, [0.2, 0.2, 0.0], 1, [1.0, 1.0, 1.0])
    assert book.status.tolist() == [PriceStatus.INTRINSIC] * 3
    result = portfolio_grid(book, Scenarios(spot_shocks=(-0.2, 0.0), vol_shocks=(0.0,)))
    assert math.isclose(result.value[0], 30.0, rel_tol=1e-12)
    assert np.allclose(result.pnl[0, :, 0], [-30.0, 0.0], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"spot_shocks": (-1.0, 0.0)}, "above -1"),
        ({"vol_shocks": ()}, "vol_shocks must be a list"),
        ({"vol_shocks": (0.0, math.nan)}, "finite"),
        ({"days": (-1.0,)}, "0 or more"),
        ({"vol_floor": 0.0}, "vol_floor must be above 0"),
        ({"term_power": math.nan}, "term_power must be finite"),
    ],
)
def test_scenarios_that_make_no_sense_say_why(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(PortfolioError, match=words):
        Scenarios(**{**SHOCKS, **wrong})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strike": np.ones(3)}, "one length"),
        ({"underlying": 3}, "0 to 2"),
        ({"underlying": 0.5}, "whole numbers"),
        ({"shares": (1.0, 2.0)}, "one number or 3"),
    ],
)
def test_books_that_do_not_fit_together_say_why(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(PortfolioError, match=words):
        Book(SPOT, **{**positions(5), **wrong})


def test_betas_of_another_number_of_underlyings_say_why() -> None:
    with pytest.raises(PortfolioError, match="one per underlying"):
        portfolio_grid(Book(SPOT, **positions(5)), Scenarios(**SHOCKS, spot_beta=(1.0, 2.0)))


@pytest.mark.skipif(bool(wide_support()), reason="kernels are not wide in this process")
def test_the_kernel_of_a_cell_uses_the_widest_vectors_of_the_machine() -> None:
    cell_values(*(np.ones(8) for _ in range(8)), 1.0, 0.0, np.empty(8))
    assert vector_width(cell_values) == machine_width()
