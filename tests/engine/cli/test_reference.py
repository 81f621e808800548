"""The generated pages in ``docs/`` are what the code says today."""

from pathlib import Path

import pytest

from engine.cli.reference import pages

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("name", ["configuration.md", "risk.md"])
def test_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run `make docs`"


def test_no_table_has_a_row_of_another_width() -> None:
    """A bare bar in a cell would split it; a table has as many bars in every row."""
    for name in ("configuration.md", "risk.md"):
        for block in pages()[name].split("\n\n"):
            rows = [line for line in block.splitlines() if line.startswith("|")]
            assert len({row.replace("\\|", "").count("|") for row in rows}) <= 1, rows
