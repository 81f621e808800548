"""The public acceptance definitions, unmodified, against ``python -m fix.acceptance``: one item a file.

Every folder of definitions that is found is played; the files are played at once, on the ports of
one acceptor process, so the slowest decides how long it takes.
"""

import pytest

from tests.conformance.campaign import Results, definition_files, definitions_root

NAMES = list(definition_files())


@pytest.mark.skipif(not NAMES, reason=f"no acceptance definitions at {definitions_root()} (set AXIOM_FIX_ACCEPTANCE)")
@pytest.mark.parametrize("definition", NAMES or ["absent"])
def test_definition_holds(definition: str, campaign: Results) -> None:
    fault = campaign.definitions[definition]
    assert not fault, fault
