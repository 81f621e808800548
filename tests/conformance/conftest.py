"""The campaign is run once, before the first item that asks for a part of it; items report its results."""

import asyncio
import logging

import pytest

from tests.conformance import reference
from tests.conformance.campaign import Results, definition_files, of_fix44, run


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest) -> Results:
    """What was found by the parts that the selected items need."""
    asked = {
        item.callspec.params["definition"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "definition" in item.fixturenames and hasattr(item, "callspec")
    }
    compare = any(item.path.name == "test_differential.py" for item in request.session.items)
    # asyncio warns about writes to a connection that the acceptor has closed; that is what some scripts provoke.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    files = definition_files()
    played = {name: file for name, file in files.items() if name in asked}
    return asyncio.run(run(played, of_fix44(files) if compare and not reference.available() else None))
