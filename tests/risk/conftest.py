"""Fixtures of the risk tests."""

import pytest

from tests.risk.world import World


@pytest.fixture
def world() -> World:
    """A fresh, armed world."""
    return World()
