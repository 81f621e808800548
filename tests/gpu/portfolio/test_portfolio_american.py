"""American books on the grid: cells against QuantLib, and the reported bound against what it bounds."""

import math
from typing import Any

import numpy as np
import pytest
import QuantLib as ql

import gpu
from gpu.european.greeks import Greek
from gpu.maths.wide import machine_width, vector_width, wide_support
from gpu.portfolio import american, grid, premium
from gpu.portfolio.book import Book
from gpu.portfolio.grid import portfolio_grid
from gpu.portfolio.scenarios import Scenarios
from gpu.status import PriceStatus

TODAY = ql.Date(15, 6, 2026)
SHOCKS = Scenarios(spot_shocks=(-0.2, -0.03, 0.0, 0.1), vol_shocks=(-0.08, 0.0, 0.15))


def quantlib(spot: float, strike: float, days: int, rate: float, carry: float, vol: float, right: int) -> float:
    """American value good to 1e-9 near the boundary too; intrinsic on the last day."""
    if days <= 0:
        return max(right * (spot - strike), 0.0)
    ql.Settings.instance().evaluationDate = TODAY
    basis = ql.Actual365Fixed()
    curves = [ql.YieldTermStructureHandle(ql.FlatForward(TODAY, x, basis)) for x in (carry, rate)]
    black = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(TODAY, ql.NullCalendar(), vol, basis))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(spot)), *curves, black)
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if right > 0 else ql.Option.Put, strike)
    option = ql.VanillaOption(payoff, ql.AmericanExercise(TODAY, TODAY + days))
    option.setPricingEngine(ql.QdFpAmericanEngine(process, ql.QdFpTanhSinhIterationScheme(20, 60, 1e-13)))
    return float(option.NPV())


CASES = [  # strike, days, rate, yield, vol, right
    (110.0, 91, 0.05, 0.02, 0.25, -1),
    (100.0, 365, 0.05, 0.0, 0.20, -1),
    (95.0, 182, 0.02, 0.06, 0.35, 1),
    (120.0, 730, 0.03, 0.07, 0.30, 1),
    (80.0, 30, 0.08, 0.01, 0.45, -1),
    (105.0, 182, 0.02, 0.05, 0.30, -1),
    (92.0, 400, 0.06, 0.02, 0.30, 1),
    (100.0, 182, 0.04, 0.04, 0.25, -1),
]


@pytest.mark.parametrize("case", CASES)
def test_cells_are_the_american_value_within_the_reported_bound(case: tuple[Any, ...]) -> None:
    strike, days, rate, carry, vol, right = case
    book = Book(100.0, strike, days / 365.0, rate, carry, vol, right, [1.0], american=True)
    scenarios = Scenarios(spot_shocks=SHOCKS.spot_shocks, vol_shocks=SHOCKS.vol_shocks, days=(0.0, 7.0))
    result = portfolio_grid(book, scenarios, greeks=False)
    now = quantlib(100.0, strike, days, rate, carry, vol, right)
    allowed = result.error_bound[0] + 5e-8  # and the kernel's own error at the nodes
    assert 0.0 < result.error_bound[0] < 1e-3
    assert abs(result.value[0] - now) <= allowed
    for d, i, j in ((0, 0, 0), (0, 3, 2), (0, 1, 1), (1, 0, 1), (1, 3, 0), (1, 2, 2)):
        spot = 100.0 * (1.0 + scenarios.spot_shocks[i])
        then = quantlib(spot, strike, days - (0, 7)[d], rate, carry, vol + scenarios.vol_shocks[j], right)
        assert abs(result.pnl[d, i, j] - (then - now)) <= allowed


def chain(n: int = 60, seed: int = 4) -> dict[str, Any]:
    g = np.random.default_rng(seed)
    years = g.choice([20.0, 60.0, 200.0], n) / 365.0
    strike = np.round(100.0 * np.exp(g.normal(0.0, 1.2, n) * 0.3 * np.sqrt(years)), 1)
    return {
        "strike": strike, "years": years, "rate": 0.04, "dividend_yield": 0.03, "vol": g.uniform(0.15, 0.6, n),
        "right": g.choice([-1, 1], n), "quantity": g.integers(-9, 10, n) * 1.0,
    }  # fmt: skip


def test_the_bound_holds_against_a_much_finer_table() -> None:
    book = Book(100.0, **chain(), american=True)
    coarse, fine = (portfolio_grid(book, SHOCKS, greeks=False, premium_tolerance=tol) for tol in (1.0, 1e-13))
    assert coarse.error_bound[0] > 2.0 * fine.error_bound[0]
    assert np.max(np.abs(coarse.pnl - fine.pnl)) <= coarse.error_bound[0] + fine.error_bound[0]


def test_early_exercise_is_worth_something_and_never_less_than_nothing() -> None:
    p = {**chain(), "quantity": 1.0}
    p["quantity"] = np.ones(60)
    american_, european = (
        portfolio_grid(Book(100.0, **p, american=style), SHOCKS, greeks=False) for style in (True, False)
    )
    gap = (american_.pnl + american_.value[0]) - (european.pnl + european.value[0])
    assert np.all(gap > 0.0)
    at_once = Book(100.0, 150.0, 0.5, 0.05, 0.0, 0.2, -1, [1.0], american=True)
    result = portfolio_grid(at_once, SHOCKS, greeks=False)
    assert result.value[0] == 50.0
    assert np.allclose(result.pnl[0, 0], 20.0, rtol=0, atol=1e-12)


def test_calls_without_dividends_are_european() -> None:
    p = {**chain(), "dividend_yield": 0.0, "right": 1}
    a, e = (portfolio_grid(Book(100.0, **p, american=style), SHOCKS, greeks=False) for style in (True, False))
    assert np.allclose(a.pnl, e.pnl, rtol=0, atol=1e-10)
    assert a.error_bound[0] == 0.0


def test_a_call_is_the_put_with_spot_and_strike_and_rates_exchanged() -> None:
    """C(S, K, r, q) = P(K, S, q, r), at the centre of the grid and away from it."""
    call = Book(100.0, 90.0, 0.7, 0.02, 0.05, 0.3, 1, [1.0], american=True)
    put = Book(90.0, 100.0, 0.7, 0.05, 0.02, 0.3, -1, [1.0], american=True)
    one = Scenarios(spot_shocks=(0.0, 0.1), vol_shocks=(0.0, 0.1))
    other = Scenarios(spot_shocks=(0.0, 1.0 / 1.1 - 1.0), vol_shocks=(0.0, 0.1))
    a, b = portfolio_grid(call, one, greeks=False), portfolio_grid(put, other, greeks=False)
    left, right = a.pnl[0] + a.value[0], b.pnl[0] + b.value[0]
    assert np.allclose(left[0], right[0], rtol=1e-9)
    assert np.allclose(left[1], 1.1 * right[1], rtol=1e-8)  # homogeneous: (110, 90) against 1.1 * (90 / 1.1, 100)


def test_the_cell_without_a_shock_is_zero_and_books_add_up() -> None:
    p, scenarios = chain(), Scenarios(spot_shocks=(-0.1, 0.0), vol_shocks=(0.0, 0.1), days=(0.0, 3.0))
    whole = portfolio_grid(Book(100.0, **p, american=True), scenarios, greeks=False)
    assert whole.pnl[0, 1, 0] == 0.0
    parts = []
    for half in (slice(0, 25), slice(25, 60)):
        some = {name: np.broadcast_to(column, 60)[half] for name, column in p.items()}
        parts.append(portfolio_grid(Book(100.0, **some, american=True), scenarios, greeks=False))
    bound = whole.error_bound[0] + parts[0].error_bound[0] + parts[1].error_bound[0]
    assert np.max(np.abs(whole.pnl - parts[0].pnl - parts[1].pnl)) <= bound


def test_sticky_smiles_move_the_volatility_of_american_series_too() -> None:
    book = Book(100.0, 100.0, 0.5, 0.05, 0.0, 0.3, -1, [1.0], american=True, smile_slope=-0.2)
    moved = Scenarios(spot_shocks=(-0.1,), vol_shocks=(0.0,), stickiness=1.0)
    vol = 0.3 + 0.2 * math.log(0.9)
    expected = quantlib(90.0, 100.0, 182, 0.05, 0.0, vol, -1)
    book = Book(100.0, 100.0, 182 / 365, 0.05, 0.0, 0.3, -1, [1.0], american=True, smile_slope=-0.2)
    result = portfolio_grid(book, moved, greeks=False)
    assert abs(result.pnl[0, 0, 0] + result.value[0] - expected) <= result.error_bound[0] + 5e-8


def test_two_boundaries_have_no_table_and_are_valued_in_full() -> None:
    """Yield below a negative rate; beside an ordinary put of another underlying."""
    p = {"strike": [90.0, 100.0], "years": 1.0, "rate": [-0.01, 0.03], "dividend_yield": [-0.03, 0.0],
         "vol": 0.2, "right": -1, "quantity": [3.0, 1.0]}  # fmt: skip
    scenarios = Scenarios(spot_shocks=(-0.3, 0.0, 0.1), vol_shocks=(-0.12, 0.0, 0.1), days=(0.0, 10.0))
    result = portfolio_grid(Book((100.0, 50.0), **p, underlying=[0, 1], american=True), scenarios)
    assert result.bad.size == 0
    assert result.error_bound[0] == 0.0 < result.error_bound[1]
    spot, vol, days = (np.array(x) for x in ((70.0, 100.0, 110.0), (0.08, 0.2, 0.3), (0.0, 10.0)))
    full = gpu.american_price(spot[:, None], 90.0, 1.0 - days[:, None, None] / 365.0, -0.01, vol, -1, -0.03)
    assert np.all(full.status == PriceStatus.OK)
    now = gpu.american_price(100.0, 90.0, 1.0, -0.01, 0.2, -1, -0.03).price
    assert np.allclose(result.by_underlying[0], 3.0 * (full.price - now), rtol=0, atol=1e-12)
    assert result.by_underlying[0, 0, 1, 1] == 0.0


def test_what_even_the_full_value_does_not_price_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*columns: Any) -> None:
        out, status = columns[-2:]
        out[:], status[:] = np.nan, int(PriceStatus.NOT_CONVERGED)

    monkeypatch.setattr(grid, "american_prices", refuse)
    p = {"strike": [90.0, 100.0], "years": 1.0, "rate": [-0.01, 0.03], "dividend_yield": [-0.03, 0.0],
         "vol": 0.2, "right": -1, "quantity": [1.0, 1.0]}  # fmt: skip
    book = Book((100.0, 50.0), **p, underlying=[0, 1], american=True)
    closed, skipped = (portfolio_grid(book, SHOCKS, skip_bad=skip) for skip in (False, True))
    assert closed.bad.tolist() == [0] and closed.status.tolist() == [PriceStatus.NOT_CONVERGED, PriceStatus.OK]
    assert np.all(np.isnan(closed.by_underlying[0])) and np.all(np.isfinite(closed.by_underlying[1]))
    assert np.all(np.isnan(closed.pnl)) and np.isnan(closed.error_bound[0])
    assert np.all(skipped.by_underlying[0] == 0.0)
    assert np.array_equal(skipped.by_underlying[1], closed.by_underlying[1])


def test_a_table_that_cannot_be_made_is_replaced_by_full_values(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(100.0, [90.0, 105.0], 0.5, 0.05, 0.0, 0.3, -1, [2.0, -1.0], american=True)
    expected = portfolio_grid(book, SHOCKS)
    fit = american.fit_tables

    def unmade(groups: Any, tolerance: float) -> Any:
        tables = fit(groups, tolerance)
        tables.error[:] = np.nan
        tables.coefficients[:] = 0.0
        return tables

    monkeypatch.setattr(american, "fit_tables", unmade)
    result = portfolio_grid(book, SHOCKS)
    assert result.error_bound[0] == 0.0
    assert np.max(np.abs(result.pnl - expected.pnl)) <= expected.error_bound[0]


def test_an_empty_book_gains_nothing() -> None:
    empty: list[float] = []
    result = portfolio_grid(Book(100.0, empty, empty, empty, empty, empty, empty, empty, shares=2.0), SHOCKS)
    assert np.allclose(result.pnl[0, :, 0], 200.0 * np.array(SHOCKS.spot_shocks))
    assert result.status.shape == (0,) and result.series == 0


def test_tables_hold_what_the_full_value_says_between_their_nodes() -> None:
    """At random points of the table, a hundred times as many as the bound was taken from."""
    groups = american.Groups(*(np.array([x]) for x in (0.5, 0.04, 0.01, math.log(0.1), math.log(0.8))))
    tables = american.fit_tables(groups, 1e-9)
    g = np.random.default_rng(8)
    degree = int(tables.shape[0, premium.VOL_DEGREE])
    t, z = g.uniform(-1.0, 1.0, 40), g.uniform(-1.0, 1.0, 100)
    vol = np.exp(tables.shape[0, premium.CENTRE] + t / tables.shape[0, premium.NARROW])
    basis = np.cos(np.outer(np.arange(degree + 1), np.arccos(t)))
    log_b = tables.boundary[:, : degree + 1] @ basis
    x = log_b[:, :, None] + (vol * math.sqrt(0.5))[None, :, None] * (z + 1.0) / tables.shape[0, premium.STEEP]
    centre, narrow = tables.shape[:, premium.CENTRE], tables.shape[:, premium.NARROW]
    curves, _ = american._boundaries(groups, centre, 1.0 / narrow, vol[None, :])
    exact = american._premium(groups, vol[None, :], x, curves)
    table = np.polynomial.chebyshev.chebgrid2d(z, t, tables.coefficients[0, :, : degree + 1]).T
    assert np.max(np.abs(table - exact[0])) <= tables.error[0]
    assert tables.error[0] <= 1e-8


@pytest.mark.skipif(bool(wide_support()), reason="kernels are not wide in this process")
def test_the_kernel_of_an_american_cell_uses_the_widest_vectors_of_the_machine() -> None:
    rows = [np.ones(8) for _ in range(17)]
    premium.cell_values(*rows[:12], 1.0, 1.0, 0.0, *rows[12:])
    assert vector_width(premium.cell_values) == machine_width()


def test_sums_of_greeks_are_the_slopes_of_the_grid() -> None:
    p = chain()
    h, v = 1e-3, 1e-3
    shifts = Scenarios(spot_shocks=(-h, 0.0, h), vol_shocks=(-v, 0.0, v), days=(0.0, 0.02))
    result = portfolio_grid(Book(100.0, **p, american=True, shares=7.0), shifts)
    g = result.pnl
    assert math.isclose(result.greeks[Greek.PRICE, 0], result.value[0], rel_tol=1e-8)
    assert math.isclose((g[0, 2, 1] - g[0, 0, 1]) / (200.0 * h), result.greeks[Greek.DELTA, 0], rel_tol=1e-4)
    assert math.isclose((g[0, 2, 1] + g[0, 0, 1]) / (100.0 * h) ** 2, result.greeks[Greek.GAMMA, 0], rel_tol=1e-2)
    assert math.isclose((g[0, 1, 2] - g[0, 1, 0]) / (2.0 * v), result.greeks[Greek.VEGA, 0], rel_tol=1e-4)
    assert math.isclose(g[1, 1, 1] * 365.0 / 0.02, result.greeks[Greek.THETA, 0], rel_tol=1e-2)
    assert np.all(np.isnan(result.greeks[Greek.SPEED :, 0]))  # American rows end at the second order
