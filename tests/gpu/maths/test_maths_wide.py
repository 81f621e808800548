"""Wide kernels: the vectors are really there, the last partial vector stays inside its arrays."""

import math
import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import numpy as np
import pytest

from gpu.maths.functions import exp_fast, log_fast
from gpu.maths.memory import bytes_at, doubles_at
from gpu.maths.wide import machine_width, vector_width, wide_helper, wide_kernel, wide_support
from market.jit import JIT_ENABLED, kernel

ROOT = Path(__file__).resolve().parents[3]


@wide_helper
def curve(a, b):
    return (exp_fast(-a) + log_fast(a + b), a / b if a > b else b / a)


@wide_kernel
def many_streams(a, b, c, d, e, f, r0, r1, r2, r3, r4, r5, r6, r7, flags):
    count = 0
    for i in range(a.shape[0]):
        x, y = curve(a[i], b[i])
        high = x > y
        flags[i] = 1 if high else 0
        count += 1 if high else 0
        r0[i], r1[i], r2[i], r3[i] = x, y, x * c[i], y * d[i]
        r4[i], r5[i], r6[i], r7[i] = x * e[i], y * f[i], x + y, x * y
    return count


@kernel
def chained(a, out):
    out[0] = 1.0
    for i in range(1, a.shape[0]):
        out[i] = out[i - 1] / a[i]


@kernel
def negate_at(address, count, flags):
    x, marks = doubles_at(address, count), bytes_at(flags, count)
    for i in range(count):
        x[i] = -x[i]
        marks[i] = 1


def columns(n):
    random = np.random.default_rng(n)
    return [random.uniform(0.5, 3.0, n) for _ in range(6)]


@pytest.mark.parametrize("n", [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 64, 101])
def test_any_length_is_computed_whole_and_nothing_beyond_it_is_touched(n):
    inputs = columns(n)
    room = np.full((8, n + 16), 7.25)
    flags = np.full(n + 16, 9, np.uint8)
    count = many_streams(*inputs, *(row[8 : 8 + n] for row in room), flags[8 : 8 + n])
    a, b, c, d, e, f = inputs
    x, y = np.exp(-a) + np.log(a + b), np.where(a > b, a / b, b / a)
    want = np.array([x, y, x * c, y * d, x * e, y * f, x + y, x * y])
    np.testing.assert_allclose(room[:, 8 : 8 + n], want, rtol=1e-14)
    assert (room[:, :8] == 7.25).all() and (room[:, 8 + n :] == 7.25).all()
    assert (flags[8 : 8 + n] == (x > y)).all() and count == (x > y).sum()
    assert (flags[:8] == 9).all() and (flags[8 + n :] == 9).all()


@pytest.mark.skipif(bool(wide_support()), reason="kernels are narrow here: " + wide_support())
def test_a_loop_over_fifteen_arrays_uses_the_widest_registers_of_the_machine():
    n = 16
    many_streams(*columns(n), *np.empty((8, n)), np.zeros(n, np.uint8))
    assert vector_width(many_streams) == machine_width()


@pytest.mark.skipif(not JIT_ENABLED, reason="machine code is read")
def test_the_width_of_a_loop_that_cannot_be_vectorised_is_zero():
    chained(np.ones(9), np.ones(9))
    assert vector_width(chained) == 0


def run(code, **environment):
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    variables = {**ours, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
import test_maths_wide as t
n = 11
out, flags = np.empty((8, n)), np.zeros(n, np.uint8)
print(t.many_streams(*t.columns(n), *out, flags), t.vector_width(t.many_streams), t.machine_width())
print(repr(float(out.sum())), int(flags.sum()))
print(t.wide_support().split(' ')[0] or 'wide')
"""


def features(*, without: str = " "):
    return {name: has and without not in name for name, has in llvmlite.binding.get_host_cpu_features().items()}


@pytest.mark.parametrize(
    ("cpu", "needs", "without", "bits"),
    [("skylake-avx512", "avx512dq", " ", "512"), ("haswell", "avx2", "avx512", "256")],
)
def test_a_machine_that_prefers_less_or_has_less_uses_all_of_its_width(tmp_path, cpu, needs, without, bits):
    if not features().get(needs):
        pytest.skip(f"needs a machine with {needs}")
    flat = ",".join(("+" if has else "-") + name for name, has in features(without=without).items())
    said = run(SCRIPT, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES=flat, AXIOM_CACHE_DIR=str(tmp_path))
    assert said[1] == said[2] == bits


@pytest.mark.parametrize("name", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_the_same_source_is_right_as_plain_python_and_with_bounds_checked_and_says_why_it_is_slow(tmp_path, name):
    said = run(SCRIPT, **{name: "1", "AXIOM_CACHE_DIR": str(tmp_path)})
    n = 11
    out, flags = np.empty((8, n)), np.zeros(n, np.uint8)
    count = many_streams(*columns(n), *out, flags)
    assert int(said[0]) == count
    assert math.isclose(float(said[3]), out.sum(), rel_tol=1e-14) and int(said[4]) == count
    assert said[5] == name


def test_arrays_at_an_address_are_that_memory():
    values, marks = np.arange(5.0), np.zeros(5, np.uint8)
    negate_at(values.ctypes.data, 4, marks.ctypes.data)
    assert values.tolist() == [0.0, -1.0, -2.0, -3.0, 4.0]
    assert marks.tolist() == [1, 1, 1, 1, 0]
