import math

import numpy as np
import pytest

from gpu.cuda.errors import RetargetError
from gpu.cuda.kernels import refresh_kernel, serve_kernel
from gpu.cuda.primitives import thread_count
from gpu.cuda.retarget import Retargeter, global_names, plain
from gpu.european.greeks import spot_greeks
from gpu.maths import functions, pairs
from market.jit import kernel
from tests.gpu.cuda.columns import chain

SCALE = 3.0
NAMES = {"a": 1}


@kernel(inline=True)
def tripled(x: float) -> float:
    return SCALE * x


@kernel
def total(n: int) -> float:
    value = 0.0
    for i in range(n * thread_count()):
        value += tripled(math.sqrt(float(i)))
    return value


@kernel
def looks_up(n: int) -> int:
    return NAMES["a"] + n


@kernel
def calls_it(n: int) -> int:
    return looks_up(n)


def as_it_is(function):
    return function


def bits(x):
    return int(np.float64(x).view(np.int64))


def floating(word):
    return float(np.int64((int(word) + (1 << 63)) % (1 << 64) - (1 << 63)).view(np.float64))


CASTS = {functions.bits_of: bits, functions.float_of: floating, pairs.fused: pairs.fused_exactly}


def test_every_function_below_is_compiled_for_the_target_and_once():
    seen = []

    def compile_function(function):
        seen.append(function.__name__)
        return function

    retarget = Retargeter(compile_function, {thread_count: lambda: 2})
    twin = retarget(total)
    assert twin(3) == total(6)
    assert retarget(total) is twin
    assert retarget(tripled)(2.0) == 6.0
    assert sorted(seen) == ["total", "tripled"] or sorted(seen) == ["tripled", "total"]


def test_a_copys_globals_are_its_own():
    twin = Retargeter(as_it_is, {thread_count: lambda: 1}).copy(total)
    assert twin.__globals__["tripled"] is not tripled
    assert set(twin.__globals__) == {"__builtins__", "__name__", "math", "thread_count", "tripled"}
    assert (twin.__module__, twin.__qualname__) == (plain(total).__module__, "total")


def test_what_a_target_cannot_have_is_refused_by_function_and_name():
    with pytest.raises(RetargetError, match=r"test_cuda_retarget\.looks_up uses NAMES, a dict: .* substitute"):
        Retargeter(as_it_is, {})(calls_it)


def test_a_closure_is_refused():
    hidden = 3.0

    def closing(x):
        return x * hidden

    with pytest.raises(RetargetError, match=r"closing closes over \('hidden',\)"):
        Retargeter(as_it_is, {})(closing)


def test_what_is_no_python_function_is_refused():
    with pytest.raises(RetargetError, match="is no kernel of ours"):
        plain(math.sqrt)


def test_names_of_attributes_are_not_names_of_globals():
    assert global_names(plain(total).__code__) == {"float", "math", "range", "thread_count", "tripled"}


@pytest.mark.parametrize("function", [refresh_kernel, serve_kernel, spot_greeks])
def test_the_real_kernels_use_nothing_that_a_device_cannot_have(function):
    Retargeter(as_it_is, CASTS | _primitives())(function)


def _primitives():
    from gpu.cuda import primitives

    return {getattr(primitives, name): as_it_is for name in ("barrier", "fence_everywhere", "load_host_word",
            "store_host_word", "load_board_word", "store_board_word", "take_ticket", "rest")}  # fmt: skip


def test_the_formula_retargeted_to_plain_python_gives_the_compiled_ones_values():
    """One source: what differs between the targets is rounding."""
    twin = Retargeter(as_it_is, CASTS)(spot_greeks)
    columns = chain(25)
    columns[1, 3], columns[4, 4], columns[0, 5], columns[0, 6] = 0.0, 0.0, -1.0, 1e-3
    for column in columns.T:
        arguments = (100.0, *(float(x) for x in column[:5]), int(column[5]))
        np.testing.assert_allclose(twin(*arguments), spot_greeks(*arguments), rtol=1e-11, atol=1e-11)
