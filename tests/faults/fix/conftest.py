"""One nursery for the folder; no peer outlives its test."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fix.rig import Nursery, Pair


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process that peers are forked from."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
async def pair(nursery: Nursery, tmp_path: Path) -> AsyncIterator[Callable[..., Pair]]:
    """Makes a :class:`Pair` with the given configuration."""
    made: list[Pair] = []

    def make(**config: Any) -> Pair:
        made.append(Pair(nursery, tmp_path / f"pair{len(made)}", **config))
        return made[-1]

    yield make
    for each in made:
        await each.close()
