"""The screen as a picture: an SVG with nothing in it that is loaded from elsewhere."""

import io
import re
from typing import Any

from rich.console import Console

from engine.view.screen import screen

COLUMNS, LINES = 160, 46


def svg(status: dict[str, Any]) -> str:
    """The live screen of ``status``, as SVG."""
    console = Console(record=True, width=COLUMNS, height=LINES, file=io.StringIO(), force_terminal=True)
    console.print(screen(status, width=COLUMNS, height=LINES))
    drawn = console.export_svg(title="axiom", unique_id="axiom")
    # rich links a web font; a document's picture should need no network.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
