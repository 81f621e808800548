"""Cost and error of what stands beside the American core: implied volatility, cash dividends, two boundaries, the grid.

    python benchmarks/american_extras.py

Times: smallest of several rounds' medians, per option. Errors in units of a strike of 100: of the grid against
the collocation, of the recursion against the grid, of two boundaries against 30 nodes' worth of
Richardson, of implied volatilities in the price that they give back. QuantLib's grid stands beside ours.
"""

import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 - the checkout must be importable first

from benchmarks import analytics_peers as peers  # noqa: E402
from gpu.american.batch import american_greeks, american_prices  # noqa: E402
from gpu.american.dividends import DividendMethod, american_dividend_greeks  # noqa: E402
from gpu.american.double_boundary import DOUBLE_WORK, double_boundary_price, double_boundary_row  # noqa: E402
from gpu.american.finite_difference import (  # noqa: E402
    GRID_WORK,
    OUT_ROWS,
    DividendModel,
    finite_difference_row,
)
from gpu.american.implied import american_implied_vol  # noqa: E402
from gpu.implied.black import IvStatus  # noqa: E402

NONE = np.empty(0)


def market(n, seed=0):
    """Columns of a listed market: 10 days to 4 years, rates and yields to 8 %, volatility 10 to 80 %."""
    rng = np.random.default_rng(seed)
    right = rng.choice([-1, 1], n).astype(np.int8)
    years, vol = 10 ** rng.uniform(-1.6, 0.6, n), 10 ** rng.uniform(-1.0, -0.1, n)
    spot = 100.0 * np.exp(rng.normal(size=n) * vol * np.sqrt(years) * 0.7)
    return spot, np.full(n, 100.0), years, rng.uniform(0.0, 0.08, n), rng.uniform(0.0, 0.08, n), vol, right


def implied_rows(n=400):
    *columns, vol, right = market(n)
    price, status, out, greeks = np.empty(n), np.empty(n, np.uint8), np.empty(n), np.empty((11, n))
    american_prices(*columns, vol, right, price, status)
    guess = vol * 1.01
    rows = [
        ("price", peers.best_ns(lambda: american_prices(*columns, vol, right, price, status), n) / 1e3, None),
        ("all Greeks", peers.best_ns(lambda: american_greeks(*columns, vol, right, greeks, status), n) / 1e3, None),
    ]
    again = np.empty(n)
    for name, start in (("implied volatility, cold", None), ("implied volatility, guess 1 % off", guess)):
        cost = peers.best_ns(lambda: american_implied_vol(price, *columns, right, out, status, start), n) / 1e3  # noqa: B023
        good = status == IvStatus.OK
        american_prices(*[c[good] for c in columns], out[good], right[good], again[: good.sum()], status[good])
        rows.append((name, cost, float(np.abs(again[: good.sum()] - price[good]).max())))
    return rows


def dividend_rows():
    rows = []
    for dates in (1, 2, 4, 8):
        amounts, times = np.full(dates, 4.0 / dates), (np.arange(dates) + 0.6) / dates
        for right, name in ((1, "call"), (-1, "put")):
            columns = [np.array([x]) for x in (100.0, 100.0, 1.0, 0.04, 0.0, 0.25)] + [np.array([right], np.int8)]
            out, status, fine = np.empty((11, 1)), np.empty(1, np.uint8), np.empty((11, 1))
            american_dividend_greeks(
                *columns, amounts, times, fine, status, method=DividendMethod.GRID, nodes=3200, all_greeks=False
            )
            for greeks in (False, True):
                if greeks and right < 0 and dates > 1:
                    continue

                def call(greeks=greeks, columns=columns, amounts=amounts, times=times, out=out, status=status):
                    american_dividend_greeks(*columns, amounts, times, out, status, all_greeks=greeks)

                cost = peers.best_ns(call) / 1e3
                what = "11 rows" if greeks else "price, delta, gamma, theta, charm"
                rows.append((f"{name}, {dates} dates, {what}", cost, abs(float(out[0, 0] - fine[0, 0]))))
    return rows


def grid_rows():
    from tests.gpu.american.quantlib_american import DAY, exact, grid

    cases = [(90.0, 100.0, 365, 0.05, 0.0, 0.25, -1), (110.0, 100.0, 73, 0.05, 0.02, 0.4, -1),
             (100.0, 120.0, 1825, 0.02, 0.07, 0.3, 1), (100.0, 100.0, 365, 0.05, 0.05, 0.25, -1)]  # fmt: skip
    reference = [exact(*case) for case in cases]
    rows, last = [], [0.0] * len(cases)
    for nodes in (100, 200, 400, 800, 1600):
        work, out = np.empty((GRID_WORK, nodes)), np.empty(OUT_ROWS)

        def price(case, nodes=nodes, work=work, out=out):
            spot, strike, days, *rest = case
            finite_difference_row(
                spot, strike, days * DAY, *rest, NONE, NONE, DividendModel.SPOT, True, nodes // 2, False, work, out
            )
            return out[0]

        values = [price(case) for case in cases]
        cost = peers.best_ns(lambda price=price: [price(case) for case in cases], len(cases)) / 1e3
        error = max(abs(v - r) for v, r in zip(values, reference, strict=True))
        better = max(abs(v + (v - w) / 3.0 - r) for v, w, r in zip(values, last, reference, strict=True))
        rows.append((f"grid, {nodes} nodes", cost, error))
        if nodes > 100:
            rows.append((f"  with half of it, extrapolated, {nodes}", None, better))
        last = values
        if nodes in (100, 400):
            foreign = peers.best_ns(lambda nodes=nodes: grid(*cases[0], nodes=nodes)) / 1e3
            error = max(abs(grid(*c, nodes=nodes)[0] - r) for c, r in zip(cases, reference, strict=True))
            rows.append((f"QuantLib's grid, {nodes} x {nodes}", foreign, error))
    return rows


def double_rows():
    work, row = np.empty(DOUBLE_WORK), np.empty(11)
    rows = []
    for name, case in (("both stand", (1.0, -0.01, -0.02, 0.1)), ("met", (5.0, -0.005, -0.01, 0.15))):
        errors = []
        for spot in (45.0, 80.0, 95.0, 110.0):
            values = []
            for nodes in (1600, 3200):
                grid_work, out = np.empty((GRID_WORK, nodes)), np.empty(OUT_ROWS)
                finite_difference_row(
                    spot, 100.0, *case, -1, NONE, NONE, DividendModel.SPOT, True, nodes // 2, False, grid_work, out
                )
                values.append(out[0])
            errors.append(
                abs(values[1] + (values[1] - values[0]) / 3.0 - double_boundary_price(spot, 100.0, *case, work)[0])
            )
        cost = peers.best_ns(lambda case=case: double_boundary_price(95.0, 100.0, *case, work)) / 1e3
        rows.append((f"two boundaries, {name}: price", cost, max(errors)))
        cost = peers.best_ns(lambda case=case: double_boundary_row(95.0, 100.0, *case, work, row)) / 1e3
        rows.append((f"two boundaries, {name}: 11 rows", cost, None))
    return rows


def main():
    print(", ".join(f"{key} {value}" for key, value in peers.machine().items()))
    for title, rows in (
        ("implied volatility (error: price given back)", implied_rows()),
        ("cash dividends, default size (error: against a grid of 3,200 nodes)", dividend_rows()),
        ("grid (error: against collocation)", grid_rows()),
        ("two boundaries (error: against grids of 1,600 and 3,200 nodes)", double_rows()),
    ):
        text = [
            (name, cost, "-" if error is None or math.isnan(error) else f"{error:.1e}") for name, cost, error in rows
        ]
        print("\n" + peers.table((title, "us", "error"), text))


if __name__ == "__main__":
    main()
