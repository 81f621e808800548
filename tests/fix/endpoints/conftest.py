"""Worlds that are open, and closed again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fix.endpoints.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def venue_only(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.open_venue()
    yield made
    await made.close()
