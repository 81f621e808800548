"""Our acceptor says what the reference engine says, in every version; differences on purpose are listed in known.py."""

import pytest

from tests.conformance import reference
from tests.conformance.campaign import Results
from tests.conformance.known import KNOWN, known
from tests.conformance.versions import VERSIONS

pytestmark = pytest.mark.skipif(
    bool(reference.available()), reason=f"no reference engine to compare with: {reference.available()}"
)


@pytest.mark.parametrize("version", list(VERSIONS))
def test_both_engines_say_the_same(version: str, campaign: Results) -> None:
    own = [found for name, found in campaign.comparisons.items() if name.startswith(f"{version}/")]
    assert len(own) > 60
    differing = [found for found in own if not found.equal and not known(found.name)]
    assert not differing, "\n".join(found.report() for found in differing)


@pytest.mark.parametrize("version", list(VERSIONS))
def test_every_script_ran_to_an_answer(version: str, campaign: Results) -> None:
    for name, found in campaign.comparisons.items():
        if name.startswith(f"{version}/"):
            assert found.ours and not found.ours[0].startswith("failed"), found.report()


def test_no_difference_is_listed_that_is_none(campaign: Results) -> None:
    differing = {found.name for found in campaign.comparisons.values() if not found.equal}
    for name in KNOWN:
        assert any(one == name or one.rpartition("/")[2] == name for one in differing), (
            f"{name} is equal now: unlist it"
        )
