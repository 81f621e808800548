"""The examples of docs/analytics.md run, in order, in one namespace; what they assert is true."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "analytics.md"


def test_examples_of_the_page_run_as_they_stand() -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = [
        (text.count("\n", 0, match.start(1)), match.group(1))
        for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL)
    ]
    assert len(blocks) >= 7
    namespace: dict[str, Any] = {}
    for line, block in blocks:
        code = compile("\n" * line + block, str(PAGE), "exec")  # so that a failure names the line of the page
        exec(code, namespace)


def test_page_names_every_function_of_the_package() -> None:
    import gpu

    text = PAGE.read_text(encoding="utf-8")
    functions = [name for name in dir(gpu) if name.islower() and not name.startswith("_")]
    assert len(functions) >= 16
    assert [name for name in functions if f"gpu.{name}" not in text] == []


def test_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([\w/.]+\.md)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).is_file(), target
