"""The public functions: shapes, broadcasting, outputs to fill, statuses, and that errors say how to mend the call."""

import subprocess
import sys
import warnings
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import gpu
from gpu.api import ShapeError, __all__
from gpu.european.greeks import GREEK_COUNT

ROW = {"spot": 100.0, "strike": 105.0, "years": 0.5, "rate": 0.03, "vol": 0.25, "right": -1}
FORWARD = {"forward" if name == "spot" else name: value for name, value in ROW.items()}


def test_names_that_people_rely_on() -> None:
    names = {
        "american_greeks", "american_implied_vol", "american_price", "bachelier_greeks", "bachelier_implied_vol",
        "bachelier_price", "black76_greeks", "black76_implied_vol", "black76_price", "fit_surface",
        "forward_from_parity", "greeks", "implied_vol", "option", "portfolio_grid", "price",
        "Book", "Greek", "IvStatus", "PriceStatus", "Scenarios",
    }  # fmt: skip
    assert names <= set(__all__)
    assert names <= set(dir(gpu))
    for name in names:
        assert getattr(gpu, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'greek'"):
        gpu.greek  # noqa: B018


def test_importing_the_package_is_cheap() -> None:
    """Neither numba nor numpy, which is what compiling would begin with."""
    code = "import gpu, sys; dir(gpu); sys.exit('numba' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (0,), (2, 0, 3)])
def test_results_have_the_broadcast_shape(shape: tuple[int, ...]) -> None:
    strike = np.full(shape, 105.0)
    result = gpu.greeks(**{**ROW, "strike": strike})
    assert result.price.shape == result.status.shape == shape
    assert result.values.shape == (GREEK_COUNT, *shape)
    assert gpu.price(**{**ROW, "strike": strike}).price.shape == shape
    assert gpu.implied_vol(7.0, **{k: v for k, v in {**ROW, "strike": strike}.items() if k != "vol"}).vol.shape == shape


def test_arguments_are_broadcast_against_each_other() -> None:
    strike, vol = np.array([90.0, 100.0, 110.0]), np.array([[0.1], [0.4]])
    table = gpu.greeks(100.0, strike, 0.5, 0.03, vol, [1, -1, 1], 0.01)
    for i in range(2):
        for j in range(3):
            one = gpu.option(100.0, strike[j], 0.5, 0.03, vol[i, 0], (1, -1, 1)[j], 0.01)
            assert one.status is gpu.PriceStatus.OK
            assert np.allclose(table.values[:, i, j], one[:-1], rtol=1e-12, atol=1e-300)


def test_named_rows_are_views_in_the_order_of_greek() -> None:
    table = gpu.greeks(**{**ROW, "strike": [90.0, 100.0]})
    for greek in gpu.Greek:
        row = getattr(table, greek.name.lower())
        assert row.base is not None and np.shares_memory(row, table.values)
        assert np.array_equal(row, table.values[greek])


def test_price_against_40_digits_in_all_three_models() -> None:
    with mp.workdps(40):
        F, K, T, r, v, w = (mp.mpf(x) for x in (100.0, 105.0, 0.5, 0.03, 0.25, -1.0))
        q, sd = mp.mpf(0.01), v * mp.sqrt(T)
        spot_forward, discount = F * mp.exp((r - q) * T), mp.exp(-r * T)

        def black(forward: Any) -> float:
            d1 = mp.log(forward / K) / sd + sd / 2
            return float(discount * w * (forward * mp.ncdf(w * d1) - K * mp.ncdf(w * (d1 - sd))))

        bp = mp.mpf(12.0) * mp.sqrt(T)
        d = (F - K) / bp
        normal = float(discount * (w * (F - K) * mp.ncdf(w * d) + bp * mp.npdf(d)))
    assert np.isclose(gpu.price(**ROW, dividend_yield=0.01).price, black(spot_forward), rtol=1e-13)
    assert np.isclose(gpu.black76_price(**FORWARD).price, black(F), rtol=1e-13)
    assert np.isclose(gpu.bachelier_price(**{**FORWARD, "vol": 12.0}).price, normal, rtol=1e-13)
    for whole, alone in (
        (gpu.greeks(**ROW), gpu.price(**ROW)),
        (gpu.black76_greeks(**FORWARD), gpu.black76_price(**FORWARD)),
    ):
        assert np.isclose(whole.price, alone.price, rtol=1e-13)


def test_implied_volatilities_are_those_that_made_the_prices() -> None:
    g = np.random.default_rng(2)
    strike, vol = 100.0 * np.exp(g.uniform(-0.4, 0.4, 500)), g.uniform(0.1, 0.9, 500)
    right = np.where(strike > 100.0, 1, -1)
    at = (strike, 0.7, 0.04)
    spot = gpu.implied_vol(gpu.price(100.0, *at, vol, right, 0.02).price, 100.0, *at, right, 0.02)
    forward = gpu.black76_implied_vol(gpu.black76_price(100.0, *at, vol, right).price, 100.0, *at, right)
    money = gpu.bachelier_implied_vol(gpu.bachelier_price(100.0, *at, 60.0 * vol, right).price, 100.0, *at, right)
    for found, true in ((spot, vol), (forward, vol), (money, 60.0 * vol)):
        assert np.all(found.status == gpu.IvStatus.OK)
        assert np.allclose(found.vol, true, rtol=1e-10)
    warm = gpu.black76_implied_vol(
        gpu.black76_price(100.0, *at, vol, right).price, 100.0, *at, right, start=forward.vol * 1.001, out=forward.vol
    )
    assert warm.vol is forward.vol
    assert np.allclose(warm.vol, vol, rtol=1e-10)


@pytest.mark.parametrize("name", ["greeks", "black76_greeks", "bachelier_greeks"])
def test_outputs_to_fill_are_filled_and_handed_back(name: str) -> None:
    call = getattr(gpu, name)
    row = ROW if name == "greeks" else FORWARD
    out = np.full((GREEK_COUNT, 2, 3), 7.0)
    given = {**row, "strike": np.linspace(90.0, 115.0, 6).reshape(2, 3)}
    result = call(**given, out=out)
    assert result.values is out
    assert np.array_equal(out, call(**given).values)
    single = np.zeros((2, 3))
    assert getattr(gpu, name.replace("greeks", "price"))(**given, out=single).price is single
    assert np.allclose(single, result.price, rtol=1e-13)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.empty((14, 4)), r"shape \(14, 3\), got float64 \(14, 4\)"),
        (np.empty((14, 3), np.float32), "got float32"),
        (np.empty((3, 14)).T, "contiguous in C order"),
        ([0.0], "got list"),
    ],
)
def test_an_output_that_cannot_hold_the_answer_says_what_it_must_be(out: Any, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        gpu.greeks(**{**ROW, "strike": [90.0, 100.0, 110.0]}, out=out)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ShapeError, match=r"strike \(3,\).*vol \(2,\)"):
        gpu.greeks(**{**ROW, "strike": np.ones(3), "vol": np.ones(2)})
    with pytest.raises(ShapeError, match=r"right must be numbers.*\+1 or -1"):
        gpu.greeks(**{**ROW, "right": ["c", "p"]})
    with pytest.raises(ShapeError, match="single numbers"):
        gpu.option(**{**ROW, "strike": [1.0, 2.0]})
    with pytest.raises(ShapeError, match="start must be"):
        gpu.implied_vol(7.0, 100.0, [105.0, 106.0], 0.5, 0.03, -1, start=[0.1, 0.2, 0.3])


BAD = [("spot", np.nan), ("spot", -1.0), ("strike", 0.0), ("years", np.inf), ("rate", np.nan), ("vol", np.nan),
       ("vol", np.inf), ("right", 0), ("right", np.nan), ("right", 3)]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_row_has_a_status_and_no_neighbour_notices(name: str, value: float) -> None:
    columns = {key: np.full(9, float(number)) for key, number in ROW.items()}
    columns["strike"] = np.linspace(80.0, 120.0, 9)
    sound = gpu.greeks(**columns)
    columns[name] = columns[name].copy()
    columns[name][4] = value
    rest = np.arange(9) != 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table, alone = gpu.greeks(**columns), gpu.price(**columns)
        numbers = {key: column[4] for key, column in columns.items()}
        one = gpu.option(**numbers)
        paid = {key: column for key, column in columns.items() if key != "vol"}
        vols = gpu.implied_vol(sound.price, **paid)
    assert table.status[4] == alone.status[4] == one.status == gpu.PriceStatus.BAD_INPUT
    assert np.all(np.isnan(table.values[:, 4])) and np.isnan(alone.price[4]) and np.all(np.isnan(one[:-1]))
    assert np.array_equal(table.values[:, rest], sound.values[:, rest])
    assert np.all(table.status[rest] == gpu.PriceStatus.OK)
    if name != "vol":
        assert vols.status[4] == gpu.IvStatus.BAD_INPUT and np.isnan(vols.vol[4])
        assert np.allclose(vols.vol[rest], 0.25, rtol=1e-9)


def test_no_time_or_volatility_left_is_intrinsic() -> None:
    table = gpu.greeks(100.0, 90.0, [0.0, 0.5, -1.0], 0.0, [0.3, 0.0, 0.3], 1)
    assert np.all(table.status == gpu.PriceStatus.INTRINSIC)
    assert np.allclose(table.price, 10.0)
    assert gpu.option(100.0, 90.0, 0.0, 0.0, 0.3, 1).status is gpu.PriceStatus.INTRINSIC


@pytest.mark.parametrize(
    ("price", "status"),
    [(4.0, "BELOW_INTRINSIC"), (120.0, "ABOVE_MAXIMUM"), (5.0, "NO_TIME_VALUE"), (np.nan, "BAD_INPUT"), (8.0, "OK")],
)
def test_a_price_that_no_volatility_makes_says_why(price: float, status: str) -> None:
    found = gpu.black76_implied_vol([price], 105.0, 100.0, 0.5, 0.0, 1)
    assert gpu.IvStatus(int(found.status[0])).name == status
    assert np.isnan(found.vol[0]) == (status != "OK")


def test_inputs_are_never_written_to() -> None:
    columns = {key: np.full(5, float(value)) for key, value in ROW.items()}
    columns["right"][2] = np.nan
    for column in columns.values():
        column.flags.writeable = False
    before = {key: column.copy() for key, column in columns.items()}
    gpu.greeks(**columns)
    gpu.implied_vol(price=np.full(5, 7.0), **{key: c for key, c in columns.items() if key != "vol"})
    assert all(np.array_equal(columns[key], before[key], equal_nan=True) for key in columns)


def test_american_prices_greeks_and_volatilities_belong_together() -> None:
    strike, right = np.array([[85.0, 100.0, 115.0]]), np.array([[1], [-1]])
    at = (100.0, strike, 0.5, 0.05, 0.3, right, 0.03)
    alone, table = gpu.american_price(*at), gpu.american_greeks(*at)
    assert alone.price.shape == (2, 3) and table.values.shape == (11, 2, 3)
    assert np.all(alone.status == gpu.PriceStatus.OK)
    assert np.allclose(table.price, alone.price, rtol=1e-9)
    assert np.all(alone.price > gpu.price(*at).price)
    h = 1e-3
    up, down = (gpu.american_price(100.0 + x, *at[1:]).price for x in (h, -h))
    assert np.allclose((up - down) / (2.0 * h), table.delta, rtol=0, atol=1e-6)
    up, down = (gpu.american_price(*at[:4], 0.3 + x, right, 0.03).price for x in (h, -h))
    assert np.allclose((up - down) / (2.0 * h), table.vega, rtol=0, atol=1e-3)
    vols = gpu.american_implied_vol(alone.price, *at[:4], right, 0.03)
    assert np.all(vols.status == gpu.IvStatus.OK)
    assert np.allclose(vols.vol, 0.3, rtol=1e-6)
    out = np.empty((11, 2, 3))
    assert gpu.american_greeks(*at, out=out).values is out
    assert np.array_equal(out, table.values)


def test_american_rows_keep_their_places_whatever_their_order() -> None:
    g = np.random.default_rng(6)
    n = 24
    columns = (100.0, g.uniform(80.0, 120.0, n), g.choice([0.1, 0.5], n), 0.04, g.choice([0.2, 0.3], n),
               g.choice([-1, 1], n), 0.01)  # fmt: skip
    together = gpu.american_price(*columns).price
    for i in range(n):
        one = gpu.american_price(*(np.broadcast_to(column, n)[i] for column in columns)).price
        assert np.isclose(together[i], one, rtol=1e-10)


def test_american_bad_rows_have_a_status_and_no_neighbour_notices() -> None:
    right = [1, -1, 0, -1]
    for call, rows in ((gpu.american_price, "price"), (gpu.american_greeks, "values")):
        sound = call(100.0, [90.0, 100.0, 110.0, 95.0], 0.5, 0.05, 0.3, -1)
        broken = call(100.0, [90.0, np.nan, 110.0, 95.0], 0.5, 0.05, 0.3, [-1, -1, 0, -1])
        assert broken.status.tolist() == [0, gpu.PriceStatus.BAD_INPUT, gpu.PriceStatus.BAD_INPUT, 0]
        assert np.all(np.isnan(getattr(broken, rows)[..., [1, 2]]))
        assert np.array_equal(getattr(broken, rows)[..., [0, 3]], getattr(sound, rows)[..., [0, 3]])
    vols = gpu.american_implied_vol([8.0, np.nan, 8.0, 500.0], 100.0, 100.0, 0.5, 0.05, right)
    names = [gpu.IvStatus(int(status)).name for status in vols.status]
    assert names == ["OK", "BAD_INPUT", "BAD_INPUT", "ABOVE_MAXIMUM"]


def test_forwards_and_surface_of_a_chain_of_quotes() -> None:
    """Exact quotes of a flat 20 % surface, rate 3 %, yield 1 %."""
    rows = [(k, t, w) for t in (0.1, 0.5, 1.0) for k in np.arange(80.0, 121.0, 2.5) for w in (1.0, -1.0)]
    strike, years, right = (np.array(column) for column in zip(*rows, strict=True))
    price = gpu.price(100.0, strike, years, 0.03, 0.2, right, 0.01).price
    bid, ask = np.maximum(price - 0.01, 0.0), price + 0.01
    curve = gpu.forward_from_parity(strike, years, right, bid, ask, 100.0, 0.03)
    assert np.allclose(curve.forward, 100.0 * np.exp(0.02 * curve.years), rtol=1e-4)
    surface, report = gpu.fit_surface(strike, years, right, bid, ask, 100.0, 0.03)
    assert np.allclose(surface.vol(np.array([90.0, 100.0, 110.0]), np.array([0.1, 0.5, 1.0])), 0.2, atol=5e-4)
    assert report is not None


def test_outputs_may_lie_in_inputs() -> None:
    """Kernels are told that nothing overlaps; the functions see to it."""
    strike = np.linspace(80.0, 120.0, 64)
    expected = gpu.price(100.0, strike, 0.5, 0.03, 0.2, 1).price
    table = np.zeros((14, 64))
    table[3] = strike
    assert np.array_equal(gpu.greeks(100.0, table[3], 0.5, 0.03, 0.2, 1, out=table).price,
                          gpu.greeks(100.0, strike, 0.5, 0.03, 0.2, 1).price)  # fmt: skip
    assert np.array_equal(gpu.price(100.0, strike, 0.5, 0.03, 0.2, 1, out=strike).price, expected)
