"""Interoperation needs the quickfix package: without it these tests are skipped, and say so."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
HAVE = importlib.util.find_spec("quickfix") is not None
REASON = "the quickfix package is not installed (pip install quickfix; it builds from source): no peer to talk to"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what stands in this folder where there is no quickfix."""
    if not HAVE:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Make worlds; close them after the test."""
    from tests.interop.rig import World

    made: list[World] = []

    def make(*arguments: Any, **options: Any) -> World:
        made.append(World(tmp_path / f"w{len(made)}", *arguments, **options))
        return made[-1]

    yield make
    await asyncio.gather(*(each.close() for each in made))
