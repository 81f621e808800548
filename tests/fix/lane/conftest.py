"""Kernels compiled before a test waits for anything."""

import pytest

from tests.fix.lane.warm import warm


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    warm()
