import importlib
import inspect
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.implied.black import IvStatus
from gpu.status import PriceStatus
from gpu.vollib.black import black, normalised_black, undiscounted_black
from gpu.vollib.black.implied_volatility import (
    implied_volatility as black_implied,
)
from gpu.vollib.black.implied_volatility import (
    implied_volatility_of_undiscounted_option_price,
    normalised_implied_volatility,
)
from gpu.vollib.black_scholes import black_scholes
from gpu.vollib.black_scholes.implied_volatility import implied_volatility
from gpu.vollib.black_scholes_merton.implied_volatility import implied_volatility as merton_implied
from gpu.vollib.helpers.exceptions import InvalidArgument, PriceIsAboveMaximum, PriceIsBelowIntrinsic
from tests.gpu.vollib.py_vollib_values import ANALYTICAL, CASES, FIVE, NUMERICAL, SIGNATURES

MODELS = ("black", "black_scholes", "black_scholes_merton")
HIGHER = ("vanna", "volga", "charm", "veta", "speed", "zomma", "colour", "ultima")


def module(path, root="gpu.vollib"):
    return importlib.import_module(f"{root}.{path}")


def arguments(model, case):
    return case if model == "black_scholes_merton" else case[:6]


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in SIGNATURES.items() for name in names])
def test_names_and_order_of_arguments_are_py_vollibs(path, name):
    parameters = inspect.signature(getattr(module(path), name)).parameters.values()
    ours = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert ", ".join(ours) == SIGNATURES[path][name]
    assert all(p.name == "return_status" for p in parameters if p.kind is not p.POSITIONAL_OR_KEYWORD)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("number", range(len(CASES)))
def test_price_and_greeks_are_py_vollibs_in_value_and_unit(model, number):
    given = arguments(model, CASES[number])
    functions = [getattr(module(model), model)] + [getattr(module(f"{model}.greeks.analytical"), g) for g in FIVE]
    assert [f(*given) for f in functions] == pytest.approx(ANALYTICAL[model][number], rel=1e-10)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("number", range(4))
def test_numerical_greeks_take_py_vollibs_steps(model, number):
    given = arguments(model, [case for case in CASES if case[1] > 10.0][number])
    greeks = module(f"{model}.greeks.numerical")
    delta, gamma, theta, vega, rho = NUMERICAL[model][number]
    assert greeks.delta(*given) == pytest.approx(delta, rel=1e-8)
    assert greeks.gamma(*given) == pytest.approx(gamma, rel=1e-4)  # their own rounding shows in the second difference
    assert greeks.theta(*given) == pytest.approx(theta, rel=1e-8)
    assert greeks.vega(*given) == pytest.approx(vega, rel=1e-10)
    assert greeks.rho(*given) == pytest.approx(rho, rel=1e-10)


@pytest.mark.parametrize(
    ("spot", "delta_call", "delta_put", "gamma"),
    [(90.0, 0.0, -1.0, 0.0), (100.0, 0.5, -0.5, math.inf), (110.0, 1.0, 0.0, 0.0)],
)
def test_numerical_delta_and_gamma_at_expiry(spot, delta_call, delta_put, gamma):
    greeks = module("black_scholes.greeks.numerical")
    assert greeks.delta("c", spot, 100.0, 0.0, 0.05, 0.2) == delta_call
    assert greeks.delta("p", spot, 100.0, 0.0, 0.05, 0.2) == delta_put
    assert greeks.gamma("c", spot, 100.0, 0.0, 0.05, 0.2) == gamma


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("flag", ["c", "p"])
def test_higher_greeks_are_changes_of_the_lower_ones_in_the_stated_units(model, flag):
    """Each against a symmetric difference of the one below it, over a small part of its unit."""
    greeks = module(f"{model}.greeks.analytical")
    base = arguments(model, (flag, 100.0, 93.0, 0.7, 0.04, 0.27, 0.015))
    steps = {"under": (1, 1e-3, 1.0), "vol": (5, 1e-5, 0.01), "day": (3, -1e-5, 1.0 / 365.0)}

    def change(name, by):
        position, step, unit = steps[by]
        moved = [list(base), list(base)]
        moved[0][position] += step
        moved[1][position] -= step
        up, down = (getattr(greeks, name)(*m) for m in moved)
        return (up - down) / (2.0 * abs(step)) * unit

    for name, lower, by in (
        ("vanna", "delta", "vol"), ("volga", "vega", "vol"), ("charm", "delta", "day"), ("veta", "vega", "day"),
        ("speed", "gamma", "under"), ("zomma", "gamma", "vol"), ("colour", "gamma", "day"), ("ultima", "volga", "vol"),
        ("gamma", "delta", "under"), ("vanna", "vega", "under"),
    ):  # fmt: skip
        assert getattr(greeks, name)(*base) == pytest.approx(change(lower, by), rel=2e-7), (name, lower)
    assert greeks.vomma is greeks.volga
    assert greeks.color is greeks.colour


def test_rho_of_a_merton_call_is_positive_and_of_its_put_negative():
    """A vectorised peer has the sign of these wrong, and leaves the discounting out of Black's Greeks."""
    greeks = module("black_scholes_merton.greeks.analytical")
    assert (
        greeks.rho("c", 100.0, 90.0, 0.5, 0.03, 0.25, 0.01) > 0.0 > greeks.rho("p", 100.0, 90.0, 0.5, 0.03, 0.25, 0.01)
    )
    greeks = module("black.greeks.analytical")
    for name in ("delta", "gamma", "vega"):
        with_rate = getattr(greeks, name)("c", 100.0, 90.0, 0.5, 0.03, 0.25)
        assert with_rate == pytest.approx(getattr(greeks, name)("c", 100.0, 90.0, 0.5, 0.0, 0.25) * math.exp(-0.015))


@pytest.mark.parametrize("model", MODELS)
def test_arrays_broadcast_and_each_row_is_the_scalars_answer(model):
    strikes, flags = np.array([80.0, 100.0, 125.0]), np.array([["c"], ["p"]])
    rest = (0.5, 0.03, 0.25, 0.01)[: 4 if model == "black_scholes_merton" else 3]
    functions = [getattr(module(model), model)]
    functions += [getattr(module(f"{model}.greeks.analytical"), g) for g in (*FIVE, *HIGHER)]
    functions += [getattr(module(f"{model}.greeks.numerical"), g) for g in FIVE]
    for function in functions:
        table = function(flags, 100.0, strikes, *rest)
        assert table.shape == (2, 3)
        for i, flag in enumerate(("c", "p")):
            for j, strike in enumerate(strikes):
                one = function(flag, 100.0, strike, *rest)
                assert isinstance(one, float)
                assert table[i, j] == pytest.approx(one, rel=1e-12, abs=1e-15), function


def test_round_trips_of_all_three_models():
    for flag, S, K, t, r, sigma, q in CASES:
        assert implied_volatility(black_scholes(flag, S, K, t, r, sigma), S, K, t, r, flag) == pytest.approx(
            sigma, rel=1e-12
        )
        assert black_implied(black(flag, S, K, t, r, sigma), S, K, r, t, flag) == pytest.approx(sigma, rel=1e-12)
        value = module("black_scholes_merton").black_scholes_merton(flag, S, K, t, r, sigma, q)
        assert merton_implied(value, S, K, t, r, q, flag) == pytest.approx(sigma, rel=1e-12)
        bare = undiscounted_black(S, K, sigma, t, flag)
        assert implied_volatility_of_undiscounted_option_price(bare, S, K, t, flag) == pytest.approx(sigma, rel=1e-12)


def test_normalised_functions():
    assert normalised_black(0.05, 0.2, "p") == pytest.approx(0.05714620505256444, rel=1e-13)  # py_vollib 1.0.1
    assert normalised_black(0.05, 0.2, "c") == pytest.approx(0.10715141354866062, rel=1e-13)
    assert undiscounted_black(100, 95, 0.3, 0.5, "p") == pytest.approx(5.974459762526393, rel=1e-13)
    assert normalised_implied_volatility(normalised_black(0.05, 0.2, "p"), 0.05, "p") == pytest.approx(0.2, rel=1e-13)
    limited = module("black.implied_volatility").normalised_implied_volatility_limited_iterations
    assert limited(normalised_black(-0.3, 0.2, "c"), -0.3, "c", 1) == pytest.approx(0.2, rel=1e-13)


@pytest.mark.parametrize(
    ("price", "raises", "status"),
    [
        (9.99, PriceIsBelowIntrinsic, IvStatus.BELOW_INTRINSIC),
        (-1.0, PriceIsBelowIntrinsic, IvStatus.BELOW_INTRINSIC),
        (10.0 + 2e-15, PriceIsBelowIntrinsic, IvStatus.NO_VEGA),
        (100.0, PriceIsAboveMaximum, IvStatus.ABOVE_MAXIMUM),
        (101.0, PriceIsAboveMaximum, IvStatus.ABOVE_MAXIMUM),
        (math.nextafter(100.0, 0.0), PriceIsAboveMaximum, IvStatus.NO_VEGA),
        (math.nan, InvalidArgument, IvStatus.BAD_INPUT),
    ],
)
def test_a_price_without_a_volatility_raises_for_numbers_and_has_a_status_in_arrays(price, raises, status):
    with pytest.raises(raises, match=r"price|forward"):
        implied_volatility(price, 100.0, 90.0, 0.5, 0.0, "c")
    vol, got = implied_volatility(price, 100.0, 90.0, 0.5, 0.0, "c", return_status=True)
    assert math.isnan(vol)
    assert got is status
    vols, codes = implied_volatility([12.0, price, 12.0], 100.0, 90.0, 0.5, 0.0, "c", return_status=True)
    assert codes.tolist() == [IvStatus.OK, status, IvStatus.OK]
    assert math.isnan(vols[1])
    assert vols[0] == vols[2] == implied_volatility(12.0, 100.0, 90.0, 0.5, 0.0, "c")


def test_an_intrinsic_price_has_volatility_zero():
    assert implied_volatility(10.0, 100.0, 90.0, 0.5, 0.0, "c") == 0.0
    vols, codes = implied_volatility([10.0, 0.0], 100.0, [90.0, 110.0], 0.5, 0.0, "c", return_status=True)
    assert vols.tolist() == [0.0, 0.0]
    assert codes.tolist() == [IvStatus.NO_TIME_VALUE] * 2


def test_the_exceptions_are_a_tree_of_value_errors():
    assert issubclass(PriceIsBelowIntrinsic, InvalidArgument)
    assert issubclass(PriceIsAboveMaximum, InvalidArgument)
    assert issubclass(InvalidArgument, ValueError)


@pytest.mark.parametrize("flag", ["x", "C", "call", ""])
def test_a_flag_that_is_neither_is_refused_by_every_function(flag):
    for model in MODELS:
        given = arguments(model, (flag, *CASES[0][1:]))
        for function in (getattr(module(model), model), module(f"{model}.greeks.analytical").delta):
            with pytest.raises(InvalidArgument, match="flag must be"):
                function(*given)
    with pytest.raises(InvalidArgument, match="flag must be"):
        implied_volatility(12.0, 100.0, 90.0, 0.5, 0.0, flag)
    prices, status = black_scholes(["c", flag], 100.0, 90.0, 0.5, 0.0, 0.2, return_status=True)
    assert status.tolist() == [PriceStatus.OK, PriceStatus.BAD_INPUT]
    assert math.isnan(prices[1])


@pytest.mark.parametrize("position", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_numbers_are_nan_with_a_status_and_without_a_warning(position, bad):
    given = list(CASES[0][:6])
    given[position] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (black_scholes, module("black_scholes.greeks.analytical").vanna):
            value, status = function(*given, return_status=True)
            assert math.isnan(value)
            assert status is PriceStatus.BAD_INPUT
            rows = [[sound, x] for sound, x in zip(CASES[0][:6], given, strict=True)]
            values, codes = function(*rows, return_status=True)
            assert codes.tolist() == [PriceStatus.OK, PriceStatus.BAD_INPUT]
            assert math.isnan(values[1])
        _, reason = implied_volatility(12.0, *given[1:5], "c", return_status=True)
        assert (reason is IvStatus.OK) == (position == 5)
        _, reasons = implied_volatility([12.0, 12.0], *([x, x] for x in given[1:5]), "c", return_status=True)
        assert set(reasons.tolist()) == {int(reason)}


def test_no_time_and_no_volatility_left_give_the_intrinsic_value():
    for t, sigma in ((0.0, 0.2), (0.5, 0.0)):
        value, status = black_scholes("c", 100.0, 90.0, t, 0.0, sigma, return_status=True)
        assert value == pytest.approx(10.0, rel=1e-15)
        assert status is PriceStatus.INTRINSIC
        assert module("black_scholes.greeks.analytical").delta("c", 100.0, 90.0, t, 0.0, sigma) == 1.0


@given(
    st.floats(50.0, 200.0), st.floats(0.05, 2.0), st.floats(-0.02, 0.08), st.floats(0.05, 1.0), st.floats(-0.02, 0.08)
)
def test_parity(strike, t, r, sigma, q):
    merton = module("black_scholes_merton").black_scholes_merton
    difference = merton("c", 100.0, strike, t, r, sigma, q) - merton("p", 100.0, strike, t, r, sigma, q)
    assert difference == pytest.approx(100.0 * math.exp(-q * t) - strike * math.exp(-r * t), abs=1e-12 * 200.0)


def test_py_vollib_itself_agrees():
    pytest.importorskip(
        "py_vollib", reason="py_vollib is not installed (pip install axiom[peers]); its literals are tested"
    )
    rng = np.random.default_rng(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(40):
            case = (
                str(rng.choice(["c", "p"])), 100.0, float(rng.uniform(70.0, 140.0)), float(rng.uniform(0.05, 2.0)),
                float(rng.uniform(-0.01, 0.08)), float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.0, 0.05)),
            )  # fmt: skip
            for model in MODELS:
                given = arguments(model, case)
                value = getattr(module(model, "py_vollib"), model)(*given)
                assert getattr(module(model), model)(*given) == pytest.approx(value, rel=1e-10, abs=1e-13)
                for kind, rel in (("analytical", 1e-9), ("numerical", 1e-4)):
                    theirs, ours = (module(f"{model}.greeks.{kind}", root) for root in ("py_vollib", "gpu.vollib"))
                    for name in FIVE:
                        expected = getattr(theirs, name)(*given)
                        assert getattr(ours, name)(*given) == pytest.approx(expected, rel=rel, abs=1e-8), (model, name)
                order = {
                    "black": (1, 2, 4, 3, 0),
                    "black_scholes": (1, 2, 3, 4, 0),
                    "black_scholes_merton": (1, 2, 3, 4, 6, 0),
                }
                terms = [case[i] for i in order[model]]
                expected = module(f"{model}.implied_volatility", "py_vollib").implied_volatility(value, *terms)
                ours_now = module(f"{model}.implied_volatility").implied_volatility(value, *terms)
                assert ours_now == pytest.approx(expected, rel=1e-7, abs=1e-10)
