"""Fixtures and settings for every test: kernel cache, real market data, hypothesis profiles."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent

# Deadlines are wall-clock asserts in disguise: the first call of a kernel compiles it.
settings.register_profile(
    "axiom", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("explore", deadline=None, max_examples=2000, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "axiom"))


def market_data_dir() -> Path:
    """Where recorded market files are looked for: ``AXIOM_MARKET_DATA``, else beside the checkout."""
    return Path(os.environ.get("AXIOM_MARKET_DATA", ROOT.parent / "shared" / "data" / "market"))


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Directory of recorded market files; skips the test, with the reason, where there is none."""
    directory = market_data_dir()
    if not directory.is_dir():
        pytest.skip(f"no recorded market data at {directory} (set AXIOM_MARKET_DATA to its directory)")
    return directory


@pytest.fixture(autouse=True)
def _no_configuration_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's AXIOM__ variables must not change what tests see."""
    for name in [name for name in os.environ if name.startswith("AXIOM__")]:
        monkeypatch.delenv(name)
