"""Runs the protocol in numba's CUDA simulator, which a process can only choose before numba is imported."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from market.jit import JIT_ENABLED

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = Path(__file__).with_name("simulated.py")


def test_the_conversation_holds_in_the_cuda_simulator():
    if importlib.util.find_spec("numba.cuda") is None:
        pytest.skip("this numba has no CUDA simulator")
    if not JIT_ENABLED:
        pytest.skip("the host's half waits in Python here, and the simulator's threads need Python")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(SCENARIOS)],
        cwd=ROOT, env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    scenarios = re.findall(r"^def test_", SCENARIOS.read_text(), re.MULTILINE)
    assert "......" in run.stdout
    assert len(scenarios) == 4
