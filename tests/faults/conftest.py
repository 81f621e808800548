"""No child outlives its test."""

from collections.abc import Iterator

import pytest

from tests.faults.rig import Child


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    yield
    for child in Child.all_of_them:
        child.destroy()
    Child.all_of_them.clear()
