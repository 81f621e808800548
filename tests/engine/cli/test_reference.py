"""The generated pages in ``docs/`` are what the code says today."""

from pathlib import Path

import pytest

from engine.cli.reference import pages

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("name", ["configuration.md", "risk.md"])
def test_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run `make docs`"
